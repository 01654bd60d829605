"""Speak from the command line: python -m infer "你好，世界。" -o out.wav --speaker … --emotion … --seed …

Exit codes: 0 spoken, 2 a request or setting at fault, 3 model files missing, 1 anything else, 130 interrupted (143: by
SIGTERM). Whatever the end, each file is whole, or as it was before.
"""

import argparse
import io
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import MISSING, Field, fields
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from infer.cli import Parser, exit_code, local, settings_of
from infer.documents import audio, clips, subtitles
from infer.documents import project as projects
from infer.documents.project import Project
from infer.engine.pipeline import Engine
from infer.files import decode, head, read, read_from, writing
from infer.request import BadRequest, SpeechRequest, help_of, shown
from words import Message, message

HEAD = 2_000_000  # bytes of a sound that may hold a project, which stands before the sound


def parser() -> argparse.ArgumentParser:
    """The flags, made from SpeechRequest's fields."""
    result = Parser("infer", message("cli.say"))
    result.add_argument("text", nargs="?", help="what to say; - reads standard input")
    result.add_argument("-f", "--file", type=Path, help="read the text from this file (UTF-8, UTF-16 or GB18030)")
    result.add_argument(
        "-o", "--output", type=Path, default=Path("out.wav"), help="wav, flac, mp3, ogg or opus (out.wav)"
    )
    result.add_argument(
        "--subtitles",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="write subtitles, too: srt, vtt or lrc; may be given several times",
    )
    result.add_argument(
        "--project",
        type=Path,
        metavar="FILE",
        help="speak a project of the page (json) or what a sound file holds of it",
    )
    result.add_argument("--list", action="store_true", help="list voices, speakers and emotions, and stop")
    add_options(result)
    return result


def add_options(result: argparse.ArgumentParser) -> None:
    """The flags of everything that speaks: a request's fields but the text."""
    for option in fields(SpeechRequest):
        if option.name != "text":
            _add(result, option)


def options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the flags say of a request. Raises BadRequest."""
    said = {f.name: getattr(arguments, f.name) for f in fields(SpeechRequest) if f.name != "text"}
    return {name: clips.read_file(value) if isinstance(value, Path) else value for name, value in said.items()}


def _add(result: argparse.ArgumentParser, option: Field) -> None:
    low, high = option.metadata["low"], option.metadata["high"]
    span = "" if low is None else f", {low:g} to {high:.10g}"
    default = "" if option.default in (MISSING, "", b"") else f" ({option.default}{span})"
    result.add_argument(
        "--" + option.name.replace("_", "-"),
        type=Path if isinstance(option.default, bytes) else partial(_value, type(option.default)),
        default=option.default,
        help=(local(help_of(option)) + default).replace("%", "%%"),
        metavar=option.name.upper(),
    )


def _value(kind: type, word: str) -> Any:
    try:
        return kind(word)
    except ValueError as error:
        wanted = "a whole number" if kind is int else "a number"
        raise argparse.ArgumentTypeError(f"it must be {wanted}, not {shown(word)}") from error


def read_text(arguments: argparse.Namespace) -> tuple[str, tuple[Message, ...]]:
    """The text from the argument, a file or standard input, and notices. Raises BadRequest."""
    if arguments.file and arguments.text:
        raise BadRequest("Give the text or --file, not both.", "文字与 --file 只能给一个。")
    if arguments.file:
        return decode(read(arguments.file))
    if arguments.text == "-" or (arguments.text is None and not sys.stdin.isatty()):
        try:
            return decode(read_from(sys.stdin.buffer, "Standard input"))
        except OSError as error:
            raise BadRequest(
                f"Standard input cannot be read ({error.strerror}); give the text or a file.",
                f"读不了标准输入（{error.strerror}）；请给出文字或文件。",
            ) from error
    if arguments.text is None:
        raise BadRequest(
            'There is no text to say; try: python -m infer "你好，世界。"',
            "没有要说的文字；可以试试：python -m infer “你好，世界。”",
        )
    return arguments.text, ()


def read_project(arguments: argparse.Namespace) -> Project:
    """The project in a json file, or in a sound file that was made from one. Raises BadRequest."""
    if arguments.file or arguments.text:
        raise BadRequest("Give a text or --project, not both.", "文字与 --project 只能给一个。")
    try:
        if arguments.project.suffix.lower() == ".json":
            values = json.loads(decode(read(arguments.project))[0])
        else:
            values = audio.metadata(io.BytesIO(head(arguments.project, HEAD)))
    except (ValueError, RecursionError) as error:
        raise BadRequest(
            f"The project {arguments.project} cannot be read ({error}); give a json file that the page has saved, or "
            "a sound that it has made.",
            f"读不了项目 {arguments.project}（{error}）；请给出页面保存的 json 文件或其生成的音频。",
        ) from error
    return Project.from_dict(values).without_takes()


def check_place(out: Path, sources: Iterable[Path | None]) -> None:
    """Raises BadRequest if a file cannot be written to, or is one of those that are read: before anything is spoken."""
    try:
        folder = out.is_dir()
    except OSError as error:  # too long a name, for one
        raise BadRequest(
            f"{shown(str(out))} cannot be written ({error.strerror}); name another file.",
            f"{shown(str(out))} 写不了（{error.strerror}）；请换个文件名。",
        ) from error
    if folder:
        raise BadRequest(f"{out} is a folder; name a file in it.", f"{out} 是文件夹；请给出其中的文件名。")
    if any(source and source.exists() and out.exists() and source.samefile(out) for source in sources):
        raise BadRequest(
            f"{out} is read, too, and would be lost; name another file.", f"{out} 同时是输入，会被覆盖；请换个文件名。"
        )
    there = next(folder for folder in out.absolute().parents if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise BadRequest(
            f"{out} cannot be written: {there} is no folder, or nobody gave you the right to write there.",
            f"{out} 写不了：{there} 不是文件夹，或没有写权限。",
        )


def run(arguments: argparse.Namespace) -> None:
    report = (lambda *_: None) if arguments.quiet else (lambda line: print(line, file=sys.stderr))
    settings = settings_of(arguments)
    engine = Engine(settings)
    if arguments.list:
        for info in engine.voices().values():
            if not info.family:
                print(f"{info.id}\t{info.missing[0][0]}")
                continue
            print(
                f"{info.id}\tspeakers: {', '.join(info.speakers)}\temotions: {', '.join(info.emotions) or '(in words)'}"
            )
            for english, _ in info.missing:
                print(f"\t{english}")
        return
    format = arguments.output.suffix.lower().lstrip(".")
    if format not in audio.FORMATS:
        raise BadRequest(
            f"{arguments.output}: the ending must be one of {', '.join(audio.FORMATS)}.",
            f"{arguments.output}：扩展名须为 {'、'.join(audio.FORMATS)} 之一。",
        )
    for file in arguments.subtitles:
        subtitles.format_of(file)
    for file in (arguments.output, *arguments.subtitles):
        check_place(file, (arguments.file, arguments.project, arguments.emotion_audio or None))
    project, request = read_project(arguments) if arguments.project else None, None
    if project is None:
        text, notices = read_text(arguments)
        for english, _ in notices:
            report(english)
        request = SpeechRequest(text=text, **options(arguments))
        engine.check_length(request)
    id = str(project.controls.get("voice", "")) if project else request.voice

    if engine.device.note:
        report(engine.device.note)
    began = time.perf_counter()
    voice = engine.load(id)
    report(
        f"{voice.id}: {voice.config.variant.name} on {engine.device.name}, {time.perf_counter() - began:.1f} s to load"
    )
    began, pieces, stages = time.perf_counter(), [], Counter()
    limit = engine.settings.max_seconds
    speaking = projects.stream(project, engine.stream, limit=limit) if project else engine.stream(request)
    bars = tqdm(unit=" sentences", disable=arguments.quiet, leave=False, mininterval=0)
    with writing(arguments.output), bars as bar:
        for speech in audio.saving(arguments.output, speaking, project):
            pieces.append(speech)
            bar.total = max(speech.sentences, len(project.cards) if project else 0)
            for english, _ in speech.notices:
                tqdm.write(english, file=sys.stderr)
            if speech.last:
                bar.update()
                stages.update(speech.timings)
    if not pieces:
        raise BadRequest("The project has no sentence to speak.", "项目里没有要说的句子。")
    for file in arguments.subtitles:
        with writing(file):
            subtitles.write(file, pieces)
    spent, seconds = time.perf_counter() - began, pieces[-1].start + pieces[-1].duration
    shares = ", ".join(f"{stage} {value:.2f}" for stage, value in stages.items())
    report(f"{arguments.output}: {seconds:.1f} s of sound in {spent:.1f} s, RTF {spent / seconds:.2f} ({shares} s)")


def main(argv: list[str] | None = None) -> int:
    return exit_code(lambda: run(parser().parse_args(argv)))
