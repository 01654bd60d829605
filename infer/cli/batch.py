"""Many texts at once: python -m infer.batch story.txt -o story (a folder), -o story.zip or --join story.wav

The work is infer/documents/batch.py's. Exit codes: those of python -m infer, for the first item that failed.
"""

import argparse
import sys
import time
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path

from tqdm import tqdm

from infer.cli import Parser, exit_code, settings_of
from infer.cli.say import add_options, check_place, options
from infer.documents import audio
from infer.documents.batch import items, run
from infer.engine.pipeline import Engine
from infer.files import writing
from infer.request import BadRequest, SpeechRequest
from words import message


def parser() -> argparse.ArgumentParser:
    result = Parser("infer.batch", message("cli.batch"))
    result.add_argument("file", type=Path, help="txt (a line each), csv (with a header), srt or vtt")
    where = result.add_mutually_exclusive_group(required=True)
    where.add_argument("-o", "--output", type=Path, metavar="OUT", help="a folder, or a .zip, of numbered files")
    where.add_argument("--join", type=Path, metavar="FILE", help="one sound file; subtitles lie at their times")
    result.add_argument("--paragraphs", action="store_true", help="txt: an item is what stands between empty lines")
    result.add_argument("--format", choices=audio.FORMATS, default="wav", help="of the numbered files (wav)")
    result.add_argument("--again", action="store_true", help="make anew what is there already, too")
    add_options(result)
    return result


def command(arguments: argparse.Namespace) -> None:
    report = (lambda *_: None) if arguments.quiet else partial(print, file=sys.stderr)
    out: Path = arguments.join or arguments.output
    if bool(arguments.join) != (out.suffix.lower().lstrip(".") in audio.FORMATS):
        raise BadRequest(
            f"{out}: --join wants a file that ends in {', '.join(audio.FORMATS)}, and -o a folder or a .zip.",
            f"{out}：--join 须为 {'、'.join(audio.FORMATS)} 文件，-o 须为文件夹或 .zip。",
        )
    if arguments.join:
        check_place(out, (arguments.file, arguments.emotion_audio or None))
    base = SpeechRequest("", **options(arguments))
    found = items(arguments.file, arguments.paragraphs)
    engine = Engine(settings_of(arguments))
    if engine.device.note:
        report(engine.device.note)
    began, results = time.perf_counter(), []
    running = run(engine, found, out, base, arguments.format, arguments.again)
    with (
        writing(out),
        closing(running),
        tqdm(total=len(found), unit=" items", disable=arguments.quiet, leave=False) as bar,
    ):
        for result in running:
            results.append(result)
            lines = [str(result.error)] if result.error else [english for english, _ in result.notices]
            for line in lines if not arguments.quiet else []:
                tqdm.write(f"{result.item.number:03}: {line}", file=sys.stderr)
            bar.update()
    counts = Counter(result.status for result in results)
    seconds = sum(result.seconds for result in results)
    report(
        f"{out}: {counts['made']} made, {counts['skipped']} skipped, {counts['failed']} failed; "
        f"{seconds:.1f} s of sound in {time.perf_counter() - began:.1f} s"
    )
    if failed := [result for result in results if result.error]:
        first = failed[0]
        raise type(first.error)(
            f"{len(failed)} of {len(found)} items failed, the first is {first.item.number:03}: {first.error}"
        )


def main(argv: list[str] | None = None) -> int:
    return exit_code(lambda: command(parser().parse_args(argv)))
