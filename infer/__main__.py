"""Speak from the command line: python -m infer "你好，世界。" -o out.wav --speaker … --emotion … --seed …

Exit codes: 0 spoken, 2 a request or setting at fault, 3 model files missing, 1 anything else, 130 interrupted.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from infer import audio, subtitles
from infer import project as projects
from infer.pipeline import Engine
from infer.project import Project
from infer.request import BadRequest, MissingFiles, SpeechError, SpeechRequest
from infer.settings import SettingsError, load_settings


def parser() -> argparse.ArgumentParser:
    """The flags, made from SpeechRequest's fields."""
    result = argparse.ArgumentParser(prog="python -m infer", description="Speak Chinese text with a Bert-VITS2 voice.")
    result.add_argument("text", nargs="?", help="what to say; - reads standard input")
    result.add_argument("-f", "--file", type=Path, help="read the text from this UTF-8 file")
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
    """The flags of everything that speaks: a request's fields but the text, and the settings."""
    for option in fields(SpeechRequest):
        if option.name != "text":
            _add(result, option)
    result.add_argument("--config", type=Path, help="settings file (config.yml)")
    result.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting: webui.device=cpu")
    result.add_argument("-q", "--quiet", action="store_true", help="no progress, no report")


def options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the flags say of a request."""
    return {f.name: getattr(arguments, f.name) for f in fields(SpeechRequest) if f.name != "text"}


def _add(result: argparse.ArgumentParser, option: Field) -> None:
    low, high = option.metadata["low"], option.metadata["high"]
    span = "" if low is None else f", {low:g} to {high:.10g}"
    default = "" if option.default in (MISSING, "", b"") else f" ({option.default}{span})"
    result.add_argument(
        "--" + option.name.replace("_", "-"),
        type=_content if isinstance(option.default, bytes) else type(option.default),
        default=option.default,
        help=(option.metadata["en"] + default).replace("%", "%%"),
        metavar=option.name.upper(),
    )


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path} cannot be read ({error.strerror}); name a sound file") from error


def read_text(arguments: argparse.Namespace) -> str:
    """The text from the argument, a file or standard input. Raises BadRequest."""
    if arguments.file and arguments.text:
        raise BadRequest("Give the text or --file, not both.", "文字与 --file 只能给一个。")
    try:
        if arguments.file:
            return arguments.file.read_text(encoding="utf-8-sig")
        if arguments.text == "-" or (arguments.text is None and not sys.stdin.isatty()):
            return sys.stdin.buffer.read().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(
            f"The text cannot be read ({error}); give a UTF-8 file.", f"读不了文字（{error}）。"
        ) from error
    if arguments.text is None:
        raise BadRequest('There is no text to say; try: python -m infer "你好，世界。"', "没有要说的文字。")
    return arguments.text


def read_project(arguments: argparse.Namespace) -> Project:
    """The project in a json file, or in a sound file that was made from one. Raises BadRequest."""
    if arguments.file or arguments.text:
        raise BadRequest("Give a text or --project, not both.", "文字与 --project 只能给一个。")
    try:
        if arguments.project.suffix.lower() == ".json":
            values = json.loads(arguments.project.read_text(encoding="utf-8-sig"))
        else:
            values = audio.metadata(arguments.project)
    except (OSError, ValueError, RuntimeError) as error:
        raise BadRequest(
            f"The project {arguments.project} cannot be read ({error}); give a json file that the page has saved, or a "
            "sound that it has made.",
            f"读不了项目 {arguments.project}（{error}）；请给出页面保存的 json 文件或其生成的音频。",
        ) from error
    return Project.from_dict(values).without_takes()


def run(arguments: argparse.Namespace) -> None:
    report = (lambda *_: None) if arguments.quiet else (lambda line: print(line, file=sys.stderr))
    engine = Engine(load_settings(arguments.config, arguments.set))
    if arguments.list:
        for info in engine.voices().values():
            print(
                f"{info.id}\tspeakers: {', '.join(info.speakers)}\temotions: {', '.join(info.emotions) or '(in words)'}"
            )
            for english, _ in info.missing:
                print(f"\t{english}")
        return
    format = arguments.output.suffix.lower().lstrip(".")
    if format not in audio.FORMATS:
        raise BadRequest(f"{arguments.output}: the ending must be one of {', '.join(audio.FORMATS)}.")
    for file in arguments.subtitles:
        subtitles.format_of(file)
    project = read_project(arguments) if arguments.project else None
    request = None if project else SpeechRequest(text=read_text(arguments), **options(arguments))
    id = str(project.controls.get("voice", "")) if project else request.voice

    if engine.device.note:
        report(engine.device.note)
    began = time.perf_counter()
    voice = engine.load(id)
    report(
        f"{voice.id}: {voice.config.variant.name} on {engine.device.name}, {time.perf_counter() - began:.1f} s to load"
    )
    began, pieces, stages = time.perf_counter(), [], Counter()
    limit = engine.settings["max_seconds"]
    speaking = projects.stream(project, engine.stream, limit=limit) if project else engine.stream(request)
    with tqdm(unit=" sentences", disable=arguments.quiet, leave=False, mininterval=0) as bar:
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
        subtitles.write(file, pieces)
    spent, seconds = time.perf_counter() - began, pieces[-1].start + pieces[-1].duration
    shares = ", ".join(f"{stage} {value:.2f}" for stage, value in stages.items())
    report(f"{arguments.output}: {seconds:.1f} s of sound in {spent:.1f} s, RTF {spent / seconds:.2f} ({shares} s)")


def main(argv: list[str] | None = None) -> int:
    return exit_code(partial(run, parser().parse_args(argv)))


def exit_code(call: Callable[[], None]) -> int:
    """Calls it; what goes wrong is a sentence on stderr and a number."""
    try:
        call()
    except KeyboardInterrupt:
        return 130
    except (BadRequest, SettingsError) as error:
        print(error, file=sys.stderr)
        return 2
    except MissingFiles as error:
        print(error, file=sys.stderr)
        return 3
    except (SpeechError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
