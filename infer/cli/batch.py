"""Many texts at once: python -m infer.batch story.txt -o story (a folder), -o story.zip or --join story.wav

The work is infer/documents/batch.py's. Exit codes: those of python -m infer, for the first item that failed.
"""

import argparse
import sys
import time
from contextlib import closing
from pathlib import Path

from tqdm import tqdm

from infer.cli import Parser, exit_code, local, settings_of
from infer.cli.say import add_options, check_place, options
from infer.documents import audio
from infer.documents.batch import Batch, Result, read_entries
from infer.engine.pipeline import Engine
from infer.files import writing
from infer.request import BadRequest, SpeechRequest
from words import message


def parser() -> Parser:
    result = Parser("python -m infer.batch", message("cli.batch"), quiet=True)
    result.flag("file", message("cli.entries"), type=Path)
    where = result.add_mutually_exclusive_group(required=True)
    where.add_argument("-o", "--output", type=Path, metavar="OUT", help=local(message("cli.folder_or_zip")))
    where.add_argument("--join", type=Path, metavar="FILE", help=local(message("cli.join")))
    result.flag("--paragraphs", message("cli.paragraphs"), action="store_true")
    result.flag("--format", message("cli.format"), choices=audio.FORMATS, default="wav")
    result.flag("--again", message("cli.again"), action="store_true")
    add_options(result)
    return result


def command(arguments: argparse.Namespace) -> None:
    def report(line: object) -> None:
        if not arguments.quiet:
            tqdm.write(local(line), file=sys.stderr)

    out: Path = arguments.join or arguments.output
    if bool(arguments.join) != (out.suffix.lower().lstrip(".") in audio.FORMATS):
        raise BadRequest("batch.wrong_output", out=out, formats=[*audio.FORMATS])
    if arguments.join:
        check_place(out, (arguments.file, arguments.emotion_audio or None))
    base = SpeechRequest("", **options(arguments))
    entries = read_entries(arguments.file, arguments.paragraphs)
    engine = Engine(settings_of(arguments))
    if engine.device.note:
        report(engine.device.note)
    began, results = time.perf_counter(), list[Result]()
    steps = Batch(engine, out, base, arguments.format, arguments.again).steps(entries)
    bar = tqdm(total=len(entries), unit=local(message("cli.items")), disable=arguments.quiet, leave=False)
    with writing(out), closing(steps), bar:
        for result in steps:
            if isinstance(result, Result):
                results.append(result)
                for cause in (result.error,) if result.error else result.notices:
                    report(message("batch.entry_fault", number=result.entry.number, cause=cause))
                bar.update()
    counts = {status: sum(result.status == status for result in results) for status in ("made", "skipped", "failed")}
    sound, seconds = sum(result.seconds for result in results), time.perf_counter() - began
    report(message("batch.summary", out=out, sound=sound, seconds=seconds, **counts))
    if failed := [(result.entry.number, result.error) for result in results if result.error]:
        number, cause = failed[0]
        raise type(cause)("batch.failed", count=len(failed), total=len(entries), number=number, cause=cause)


def main(argv: list[str] | None = None) -> int:
    return exit_code(lambda: command(parser().parse_args(argv)))
