"""The large model files, brought from a model hub into the project's folders: python -m infer.models bert clap"""

import argparse
import difflib
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

import bert
from bert import quantise
from infer.cli import Parser, exit_code, local, report, settings_of
from infer.files import bytes_in_words
from infer.hub import FetchError
from infer.hub.download import bring, check_space
from infer.hub.listing import MODELS, Model, Status, size_of, status
from infer.hub.repository import Plan, look_up
from infer.request import BadRequest
from infer.settings import ROOT
from words import Message, message


class Bars:
    """A Progress that draws: one bar after another, with bytes and rate; none where nobody watches."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet or None  # None: drawn where there is a terminal
        self._label = ""
        self._bar: tqdm | None = None

    def __call__(self, label: str, done: int, total: int) -> None:
        if self._bar is None or label != self._label:
            self.close()
            self._label, self._bar = (
                label,
                tqdm(desc=label, total=total, initial=done, unit="B", unit_scale=True, disable=self.quiet, leave=False),
            )
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None


def parser() -> Parser:
    result = Parser("python -m infer.models", message("cli.models"), quiet=True)
    result.flag("names", message("cli.names", names=[model.name for model in MODELS]), nargs="*", metavar="NAME")
    result.flag("--all", message("cli.all"), action="store_true")
    result.flag("--list", message("cli.list"), action="store_true")
    result.flag("--repo", message("cli.repo"), action="append", default=[], metavar="NAME=OWNER/REPO")
    result.flag("--revision", message("cli.revision"), action="append", default=[], metavar="NAME=REVISION")
    result.flag("--keep-bin", message("cli.keep_bin"), action="store_true")
    return result


def named(name: str) -> Model:
    """Raises BadRequest that names the nearest one."""
    models = {model.name: model for model in MODELS}
    if name not in models:
        near = difflib.get_close_matches(name, models, n=1, cutoff=0.0)[0]
        raise BadRequest("cli.no_model", name=name, near=near, names=list(models))
    return models[name]


def altered(repos: Sequence[str], revisions: Sequence[str]) -> tuple[Model, ...]:
    """MODELS with what --repo and --revision say. Another repository may hold another file: only the hub's hash counts
    then, and the report says whether it is the known file. Raises BadRequest.
    """
    models = {model.name: model for model in MODELS}
    for flag, texts, pattern in (("repo", repos, r"[\w.-]+/[\w.-]+"), ("revision", revisions, r"[\w./-]+")):
        for text in texts:
            name, _, value = text.partition("=")
            model = models[named(name).name]
            if not re.fullmatch(pattern, value, re.ASCII) or ".." in value:
                raise BadRequest("cli.write_as", flag=flag, value=text, name=name, example=getattr(model, flag))
            if flag == "revision":
                models[name] = replace(model, revision=value)
            elif value != model.repo:
                models[name] = replace(model, repo=value, sha256={})
    return tuple(models.values())


def listing(states: Sequence[Status]) -> list[str]:
    """Two lines for each model: name, size, state; use and place."""
    lines = []
    for number, state in enumerate(states, 1):
        size, part = bytes_in_words(sum(state.here.values())), bytes_in_words(state.part)
        how = message("cli.here", size=size) if state.ready else message("cli.missing", names=state.missing)
        how = message("cli.part", state=how, size=part) if state.part else how
        model, gigabytes = state.model, state.model.size / 1e9
        lines.append(local(message("cli.model", number=number, name=model.name, gigabytes=gigabytes, state=how)))
        lines.append(f"   {_within_project(state.folder)}: {local(model.use)}")
    return lines


def outline(plan: Plan) -> list[str]:
    """What a plan would bring, with sizes, and what it cannot."""
    model = plan.model
    if not plan.files and not plan.lacking:
        return [local(message("cli.complete", name=model.name))]
    folder, size = _within_project(plan.folder), bytes_in_words(plan.size)
    lines: list[Message] = [message("cli.plan", name=model.name, repo=model.repo, folder=folder, size=size)]
    for file in plan.files:
        part = size_of(file.part(plan.folder))
        name = message("cli.came", name=file.name, size=bytes_in_words(part)) if part else file.name
        lines.append(message("cli.file", size=bytes_in_words(file.size), name=name))
    return [local(line) for line in (*lines, *(message("cli.by_hand", name=name) for name in plan.lacking))]


def _within_project(folder: Path) -> Path:
    return folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder


def ask(states: Sequence[Status]) -> list[str]:
    """Names of the models that the user picks from the list, by number or name."""
    try:
        answer = input(f"\n{local(message('cli.which'))} ").strip()
    except EOFError:
        answer = ""
    picks = re.split(r"[\s,，、]+", answer) if answer else []
    names = [state.model.name for state in states]
    if picks == ["all"]:
        return names
    return [names[int(pick) - 1] if pick.isdecimal() and 0 < int(pick) <= len(names) else pick for pick in picks]


def agreed() -> bool:
    return input(f"{local(message('cli.go_on'))} ").strip().lower() in ("", "y", "yes", "是")


def run(arguments: argparse.Namespace) -> None:
    settings, models = settings_of(arguments), altered(arguments.repo, arguments.revision)
    names = [model.name for model in models] if arguments.all else arguments.names
    by_hand = not names
    if arguments.list or by_hand:
        states = status(settings, models)
        print(*listing(states), sep="\n")
        if arguments.list or not (sys.stdin.isatty() and sys.stdout.isatty()):
            print(f"\n{local(message('cli.bring'))}")
            return
        names = ask(states)
    chosen = {named(name).name for name in names}
    plans = [look_up(model, settings) for model in models if model.name in chosen]
    print(*(f"{line}\n" for plan in plans for line in outline(plan)), sep="", end="", flush=True)
    check_space(plans, arguments.keep_bin)
    if by_hand and any(plan.files for plan in plans) and not agreed():
        return
    bars = Bars(arguments.quiet)
    try:
        for plan in plans:
            lines = bring(plan, bars, arguments.keep_bin)
            bars.close()
            print(*(f"{plan.model.name}: {local(line)}\n" for line in lines), sep="", end="", flush=True)
            if settings.webui.int8_run and plan.model.files == bert.FILES and quantise.is_needed(plan.folder):
                label = local(message("cli.quantising", name=plan.model.name))
                file = quantise.quantise(plan.folder, partial(bars, label))
                bars.close()
                print(local(message("cli.quantised", name=plan.model.name, file=file.name)), flush=True)
    except bert.MissingModel as error:
        raise FetchError.of(error.message) from error
    finally:
        bars.close()


def main(argv: list[str] | None = None) -> int:
    # Read when huggingface_hub is first imported: what is installed here is nobody's business.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    code = exit_code(lambda: run(parser().parse_args(argv)))
    if code > 128:
        report(message("cli.interrupted"))
    return code
