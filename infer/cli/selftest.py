"""Does the device compute what plain torch on the CPU does?  python -m infer.selftest [--set webui.device=xpu]

Exit code 0 when they agree, 1 when they do not.
"""

import argparse
import sys

from infer import log
from infer.engine.pipeline import Engine
from infer.engine.selftest import check
from infer.request import SpeechError
from infer.settings import load_settings


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m infer.selftest", description="Compare the device with torch on a CPU.")
    parser.add_argument("voice", nargs="?", default="", help="a voice's id; the default voice if none is named")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting: webui.device=cpu")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings(overrides=options.set)
        log.set_up(settings.webui.debug)
        engine = Engine(settings)
        engine.load(options.voice)
        report = check(engine, options.voice)
    except SpeechError as error:
        print(error, file=sys.stderr)
        return 1
    sys.stdout.reconfigure(errors="replace")
    if engine.reason is None and engine.device.note:
        print(engine.device.note)
    print(f"voice {report.voice}, {report.seconds:.2f} s of speech")
    for stage, difference in report.differences.items():
        print(f"  {stage:8}  difference {difference:.1e}   RTF {report.rtf[stage]:.4f}")
    print(report.sentence)
    return 0 if report.passed else 1
