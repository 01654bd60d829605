"""Can this checkpoint speak here?  python -m infer.doctor G_8000.pth [--convert voice/G.safetensors [--fp16] [--force]]

The doctor's report, and which of the model files that the voice needs are missing here. Exit code 0 when it can speak
(or was converted), 1 when it cannot.
"""

import argparse
import sys
from pathlib import Path

from safetensors.torch import save_file

from infer import files, log
from infer.engine import devices
from infer.engine.voice import Features
from infer.request import BadRequest, SpeechError
from infer.settings import load_settings
from models.checkpoint import CheckpointError, find_config, load_checkpoint, read_config, speaking_tensors
from models.checkpoint.doctor import examine


def convert(path: Path, target: Path, config_file: Path | None = None, half: bool = False, force: bool = False) -> None:
    """Write what speaking needs as safetensors, under the release's own names, and config.json beside it.

    half: float16, but for the code books, where rounding could choose another code. force: write over what is there.
    The new file is read back before it gets its name. Raises CheckpointError, SpeechError; then nothing is written.
    """
    if target.suffix != ".safetensors":
        raise BadRequest("checkpoint.convert_name", name=target.name)
    source_config, config_target = config_file or find_config(path), target.parent / "config.json"
    config = read_config(source_config)
    content = source_config.read_bytes()
    if target.exists() and (not force or target.samefile(path)):
        raise BadRequest("checkpoint.convert_there", name=target.name)
    if config_target.exists() and config_target.read_bytes() != content and not force:
        raise BadRequest("checkpoint.convert_config", name=target.name)
    load_checkpoint(path, config)
    tensors = speaking_tensors(path, half)
    with files.writing(target), files.whole(target, path.stat().st_mode & 0o666) as part:
        save_file(tensors, part, metadata={"format": "pt"})
        load_checkpoint(part, config)
    files.write_whole(config_target, content)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m infer.doctor", description="Tell whether a checkpoint can speak here.")
    parser.add_argument(
        "file", type=Path, help="G_*.pth or a safetensors file, with its config.json beside or above it"
    )
    parser.add_argument("--config", type=Path, help="its config.json, where that lies elsewhere")
    parser.add_argument("--convert", type=Path, metavar="OUT.safetensors", help="write what speaking needs")
    parser.add_argument("--fp16", action="store_true", help="half the size, in half precision")
    parser.add_argument("--force", action="store_true", help="write over what is there")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting: bert_path=…")
    return parser


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if (options.fp16 or options.force) and not options.convert:
        parser().error("--fp16 and --force belong to --convert")
    try:
        settings = load_settings(overrides=options.set)
    except SpeechError as error:
        print(error, file=sys.stderr)
        return 1
    log.set_up(settings.webui.debug)
    report = examine(options.file, options.config)
    variant = report.variant if report.usable else None
    missing = Features(settings, devices.choose("cpu")).missing(variant) if variant else []
    sys.stdout.reconfigure(errors="replace")
    print(report.text())
    for sentence in missing:
        print(f"  {'MISSING':<20}{sentence}")
    if not options.convert:
        return 0 if report.usable and not missing else 1
    try:
        convert(options.file, options.convert, options.config, options.fp16, options.force)
    except (CheckpointError, SpeechError) as error:
        print(f"not converted: {error}", file=sys.stderr)
        return 1
    print(f"written: {options.convert} ({options.convert.stat().st_size / 1e6:,.1f} MB) and config.json beside it")
    return 0
