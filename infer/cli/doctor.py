"""Can this checkpoint speak here?  python -m infer.doctor G_8000.pth [--set bert_path=…]

The report of `python -m models.checkpoint`, and which of the model files that it needs are missing here.
Exit code 0 when it can speak, 1 when it cannot.
"""

import argparse
import sys
from pathlib import Path

from infer import log
from infer.engine import devices
from infer.engine.voice import Features
from infer.request import SpeechError
from infer.settings import load_settings
from models.checkpoint.doctor import examine


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m infer.doctor", description="Tell whether a checkpoint can speak here.")
    parser.add_argument("file", type=Path, help="G_*.pth or a safetensors file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting: bert_path=…")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings(overrides=options.set)
    except SpeechError as error:
        print(error, file=sys.stderr)
        return 1
    log.set_up(settings.webui.debug)
    report = examine(options.file)
    missing = Features(settings, devices.choose("cpu")).missing(report.variant) if report.usable else []
    sys.stdout.reconfigure(errors="replace")
    print(report.text())
    for english, _ in missing:
        print(f"  MISSING         {english}")
    return 0 if report.usable and not missing else 1
