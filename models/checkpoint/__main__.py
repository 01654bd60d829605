"""What is this checkpoint?  python -m models.checkpoint G_8000.pth [--convert voice/G.safetensors [--fp16] [--force]]

Exit code 0: it can be used (and was converted); 1: it cannot, and the reason is printed.
"""

import argparse
import sys
from pathlib import Path

from models.checkpoint import CheckpointError
from models.checkpoint.doctor import convert, examine


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m models.checkpoint", description="Tell what a checkpoint is.")
    parser.add_argument(
        "file", type=Path, help="G_*.pth or a safetensors file, with its config.json beside or above it"
    )
    parser.add_argument("--config", type=Path, help="its config.json, where that lies elsewhere")
    parser.add_argument("--convert", type=Path, metavar="OUT.safetensors", help="write what speaking needs")
    parser.add_argument("--fp16", action="store_true", help="half the size, in half precision")
    parser.add_argument("--force", action="store_true", help="write over what is there")
    options = parser.parse_args(arguments)
    if (options.fp16 or options.force) and not options.convert:
        parser.error("--fp16 and --force belong to --convert")
    report = examine(options.file, options.config)
    sys.stdout.reconfigure(errors="replace")
    print(report.text())
    if not options.convert:
        return 0 if report.usable else 1
    try:
        convert(options.file, options.convert, options.config, options.fp16, options.force)
    except CheckpointError as error:
        print(f"not converted: {error}", file=sys.stderr)
        return 1
    print(f"written: {options.convert} ({options.convert.stat().st_size / 1e6:,.1f} MB) and config.json beside it")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
