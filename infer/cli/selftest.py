"""Does the device compute what plain torch on the CPU does?  python -m infer.selftest [--set webui.device=xpu]

Exit code 0 when they agree, 1 when they do not.
"""

import argparse

from infer.cli import Parser, exit_code, local, settings_of
from infer.engine.pipeline import Engine
from infer.engine.selftest import check
from words import message


def parser() -> Parser:
    result = Parser("python -m infer.selftest", message("cli.selftest"))
    result.flag("voice", message("cli.voice"), nargs="?", default="")
    return result


def run(arguments: argparse.Namespace) -> int:
    engine = Engine(settings_of(arguments))
    engine.load(arguments.voice)
    result = check(engine, arguments.voice)
    if engine.reason is None and engine.device.note:
        print(local(engine.device.note))
    print(local(message("cli.voice_and_seconds", voice=result.voice, seconds=result.seconds)))
    for stage, difference in result.differences.items():
        print(local(message("cli.stage", stage=stage, difference=difference, rtf=result.rtf[stage])))
    print(local(result.sentence))
    return 0 if result.passed else 1


def main(argv: list[str] | None = None) -> int:
    return exit_code(lambda: run(parser().parse_args(argv)))
