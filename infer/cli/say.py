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
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, Field, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from infer.cli import Parser, exit_code, local, report, settings_of
from infer.documents import audio, clips, subtitles
from infer.documents.project import Project
from infer.engine.pipeline import Engine
from infer.files import decode, head, read, read_from, writing
from infer.request import OPTIONS, BadRequest, Speech, SpeechRequest, help_of, shown
from words import Message, message

HEAD = 2_000_000  # bytes of a sound that may hold a project, which stands before the sound


def parser() -> Parser:
    """The flags, made from SpeechRequest's options."""
    result = Parser("python -m infer", message("cli.say"), quiet=True)
    result.flag("text", message("cli.text"), nargs="?")
    result.flag("-f", "--file", message("cli.text_file"), type=Path)
    result.flag("-o", "--output", message("cli.output"), type=Path, default=Path("out.wav"))
    result.flag("--subtitles", message("cli.subtitles"), type=Path, action="append", default=[], metavar="FILE")
    result.flag("--project", message("cli.project"), type=Path, metavar="FILE")
    result.flag("--list", message("cli.list_voices"), action="store_true")
    add_options(result)
    return result


def add_options(result: argparse.ArgumentParser) -> None:
    """The flags of everything that speaks: a request's options."""
    for option in OPTIONS:
        _add(result, option)


def options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the flags say of a request. Raises BadRequest."""
    said = {option.name: getattr(arguments, option.name) for option in OPTIONS}
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
        raise BadRequest("cli.two_texts")
    if arguments.file:
        return decode(read(arguments.file))
    if arguments.text == "-" or (arguments.text is None and not sys.stdin.isatty()):
        try:
            return decode(read_from(sys.stdin.buffer, "Standard input"))
        except OSError as error:
            raise BadRequest("cli.no_input", reason=error.strerror) from error
    if arguments.text is None:
        raise BadRequest("cli.no_text")
    return arguments.text, ()


def read_project(arguments: argparse.Namespace) -> Project:
    """The project in a json file, or in a sound file that was made from one. Raises BadRequest."""
    if arguments.file or arguments.text:
        raise BadRequest("cli.text_and_project")
    try:
        if arguments.project.suffix.lower() == ".json":
            values = json.loads(decode(read(arguments.project))[0])
        else:
            values = audio.metadata(io.BytesIO(head(arguments.project, HEAD)))
    except (ValueError, RecursionError) as error:
        raise BadRequest("cli.no_project", file=arguments.project, reason=error) from error
    return Project.from_dict(values).without_takes()


def check_place(out: Path, sources: Iterable[Path | None]) -> None:
    """Raises BadRequest if a file cannot be written to, or is one of those that are read: before anything is spoken."""
    try:
        folder = out.is_dir()
    except OSError as error:  # too long a name, for one
        raise BadRequest("cli.unwritable", file=shown(str(out)), reason=error.strerror) from error
    if folder:
        raise BadRequest("cli.folder", file=out)
    if any(source and source.exists() and out.exists() and source.samefile(out) for source in sources):
        raise BadRequest("cli.read_too", file=out)
    there = next(folder for folder in out.absolute().parents if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise BadRequest("cli.no_right", file=out, folder=there)


def show_voices(engine: Engine) -> None:
    for info in engine.voices().values():
        if info.family:
            emotions = info.emotions or message("cli.in_words")
            print(local(message("cli.voice_line", id=info.id, speakers=info.speakers, emotions=emotions)))
        for i, missing in enumerate(info.missing):
            id = "" if info.family or i else info.id  # that of a broken one has not been told yet
            print(f"{id}\t{local(missing)}")


@dataclass(frozen=True)
class Task:
    """What is to be spoken. notices: on how its text was read."""

    lines: Sequence[SpeechRequest]
    pauses: Sequence[float]
    project: Project | None = None
    notices: tuple[Message, ...] = ()


def task(arguments: argparse.Namespace, engine: Engine) -> Task:
    """What the flags ask for, once it is known that it can be written. Raises BadRequest."""
    if arguments.output.suffix.lower().lstrip(".") not in audio.FORMATS:
        raise BadRequest("cli.ending", file=arguments.output, endings=list(audio.FORMATS))
    for file in arguments.subtitles:
        subtitles.format_of(file)
    for file in (arguments.output, *arguments.subtitles):
        check_place(file, (arguments.file, arguments.project, arguments.emotion_audio or None))
    if arguments.project:
        project = read_project(arguments)
        return Task(project.requests, project.pauses, project)
    text, notices = read_text(arguments)
    request = SpeechRequest(text=text, **options(arguments))
    engine.check_length(request)
    return Task([request], [0.0], notices=notices)


def run(arguments: argparse.Namespace) -> None:
    tell = partial(report, quiet=arguments.quiet)
    settings = settings_of(arguments)
    engine = Engine(settings)
    if arguments.list:
        return show_voices(engine)
    wanted = task(arguments, engine)
    tell(*filter(None, (*wanted.notices, engine.device.note)))
    began = time.perf_counter()
    voice = engine.load(wanted.lines[0].voice if wanted.lines else "")
    about = {"voice": voice.id, "family": voice.config.variant.name, "device": engine.device.name}
    tell(message("cli.loaded", **about, seconds=time.perf_counter() - began))
    began = time.perf_counter()
    pieces = speak(engine, wanted, arguments.output, arguments.quiet)
    for file in arguments.subtitles:
        with writing(file):
            subtitles.write(file, pieces)
    spent, seconds = time.perf_counter() - began, pieces[-1].start + pieces[-1].duration
    stages = Counter[str]()
    for piece in pieces:
        if piece.last:
            stages.update(piece.timings)
    shares = [f"{stage} {value:.2f}" for stage, value in stages.items()]
    file = {"file": arguments.output, "sound": seconds, "seconds": spent}
    tell(message("cli.done", **file, rtf=spent / seconds, stages=shares))


def speak(engine: Engine, wanted: Task, out: Path, quiet: bool) -> list[Speech]:
    """Writes the sound as it is made; its pieces without samples. Raises SpeechError."""
    pieces: list[Speech] = []
    speech = engine.speak(wanted.lines, pauses=wanted.pauses)
    with writing(out), tqdm(unit=local(message("cli.sentences")), disable=quiet, leave=False, mininterval=0) as bar:
        for piece in audio.saving(out, speech, wanted.project):
            pieces.append(piece)
            bar.total = max(piece.sentences, len(wanted.lines))
            for notice in piece.notices:
                tqdm.write(local(notice), file=sys.stderr)
            if piece.last:
                bar.update()
    if not pieces:
        raise BadRequest("cli.empty_project")
    return pieces


def main(argv: list[str] | None = None) -> int:
    return exit_code(lambda: run(parser().parse_args(argv)))
