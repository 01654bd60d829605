"""The large model files, brought from a model hub into the project's folders: python -m infer.models bert clap

Exit codes: 0 done, 2 a request or setting at fault, 1 anything else, 130 interrupted.
"""

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
from infer.hub.download import (
    ITEMS,
    FetchError,
    Item,
    Plan,
    Status,
    _bytes,
    _shown,
    _size,
    bring,
    check_space,
    look_up,
    status,
)
from infer.request import BadRequest, SpeechError
from infer.settings import SettingsError, load_settings


class Bars:
    """A Progress that draws: one bar after another, with bytes and rate; none where nobody watches."""

    def __init__(self) -> None:
        self._label, self._bar = "", None

    def __call__(self, label: str, done: int, total: int) -> None:
        if label != self._label:
            self.close()
            self._label = label
            self._bar = tqdm(
                desc=label, total=total, initial=done, unit="B", unit_scale=True, disable=None, leave=False
            )
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._label, self._bar = "", None


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="python -m infer.models", description="Bring the large model files. 下载大模型文件。"
    )
    result.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(item.name for item in ITEMS)}")
    result.add_argument("--all", action="store_true", help="all of them")
    result.add_argument("--list", action="store_true", help="what is here and what is missing, and stop")
    result.add_argument("--repo", action="append", default=[], metavar="NAME=OWNER/REPO", help="another repository")
    result.add_argument("--revision", action="append", default=[], metavar="NAME=REVISION", help="branch, tag, commit")
    result.add_argument("--keep-bin", action="store_true", help="keep pytorch_model.bin beside model.safetensors")
    result.add_argument("--config", type=Path, help="settings file (config.yml)")
    result.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting: bert_path=…")
    return result


def named(name: str) -> Item:
    """Raises BadRequest that names the nearest one."""
    items = {item.name: item for item in ITEMS}
    if name not in items:
        near = difflib.get_close_matches(name, items, n=1, cutoff=0.0)[0]
        raise BadRequest(
            f"There is no model {name!r} to fetch; did you mean {near!r}? There are {', '.join(items)}.",
            f"没有名为 {name!r} 的模型；是不是 {near!r}？可选：{'、'.join(items)}。",
        )
    return items[name]


def altered(repos: Sequence[str], revisions: Sequence[str]) -> tuple[Item, ...]:
    """ITEMS with what --repo and --revision say. Another repository may hold another file: only the hub's hash counts
    then, and the report says whether it is the known file. Raises BadRequest.
    """
    items = {item.name: item for item in ITEMS}
    for flag, texts, pattern in (("repo", repos, r"[\w.-]+/[\w.-]+"), ("revision", revisions, r"[\w./-]+")):
        for text in texts:
            name, _, value = text.partition("=")
            item = items[named(name).name]
            if not re.fullmatch(pattern, value, re.ASCII) or ".." in value:
                raise BadRequest(f"--{flag} {text}: write it as {item.name}={getattr(item, flag)}.")
            other = flag == "repo" and value != item.repo
            items[name] = replace(item, **{flag: value}, **({"sha256": {}} if other else {}))
    return tuple(items.values())


def listing(states: Sequence[Status]) -> list[str]:
    """Two lines for each model: name, size, state; use and place."""
    lines = []
    for number, state in enumerate(states, 1):
        what = f"here, {_bytes(sum(state.here.values()))}" if state.ready else f"missing: {', '.join(state.missing)}"
        part = f" ({_bytes(state.part)} of it came before an interruption)" if state.part else ""
        lines.append(f"{number}  {state.item.name:8} about {state.item.size / 1e9:.1f} GB  {what}{part}")
        lines.append(f"   {_shown(state.folder)}: {' · '.join(state.item.use)}")
    return lines


def outline(plan: Plan) -> list[str]:
    """What a plan would bring, with sizes, and what it cannot."""
    if not plan.files and not plan.lacking:
        return [f"{plan.item.name}: everything is here · 已齐备"]
    lines = [f"{plan.item.name}: {plan.item.repo} -> {_shown(plan.folder)}, {_bytes(plan.size)} to fetch · 需下载"]
    for file in plan.files:
        came = _size(file.part(plan.folder))
        lines.append(f"   {_bytes(file.size):>9}  {file.name}" + (f" ({_bytes(came)} is here)" if came else ""))
    return lines + [f"   {name} is not there: put it here yourself · 仓库没有，请自行放入" for name in plan.lacking]


def ask(states: Sequence[Status]) -> list[str]:
    """Names of the models that the user picks from the list, by number or name."""
    try:
        answer = input("\nWhich? Numbers or names, all, or nothing · 要哪些？编号或名称，all 为全部，回车取消: ")
    except EOFError:
        answer = ""
    picks = re.split(r"[\s,，、]+", answer.strip()) if answer.strip() else []
    names = [state.item.name for state in states]
    if picks == ["all"]:
        return names
    return [names[int(pick) - 1] if pick.isdecimal() and 0 < int(pick) <= len(names) else pick for pick in picks]


def agreed() -> bool:
    return input("Go on? · 开始吗？[Y/n] ").strip().lower() in ("", "y", "yes", "是")


def run(arguments: argparse.Namespace) -> None:
    settings = load_settings(arguments.config, arguments.set)
    items = altered(arguments.repo, arguments.revision)
    names, watched = arguments.names, sys.stdin.isatty() and sys.stdout.isatty()
    if arguments.all:
        names = [item.name for item in items]
    if arguments.list or not names:
        states = status(settings, items)
        print(*listing(states), sep="\n")
        if arguments.list or not watched:
            print("\nBring them · 下载: python -m infer.models bert clap (or --all)")
            return
        names = ask(states)
    if not names:
        return
    wanted = {named(name).name for name in names}
    plans = [look_up(item, settings) for item in items if item.name in wanted]
    print(*(line for plan in plans for line in outline(plan)), sep="\n", flush=True)
    check_space(plans, arguments.keep_bin)
    chosen_by_hand = not arguments.names and not arguments.all
    if chosen_by_hand and any(plan.files for plan in plans) and not agreed():
        return
    bars = Bars()
    try:
        for plan in plans:
            for line in bring(plan, bars, arguments.keep_bin):
                bars.close()
                print(f"{plan.item.name}: {line}", flush=True)
            if settings.webui.int8_run and plan.item.files == bert.FILES and quantise.is_needed(plan.folder):
                made = quantise.quantise(plan.folder, partial(bars, f"{plan.item.name}: 8-bit weights, layers"))
                bars.close()
                print(f"{plan.item.name}: {made.name}: made for int8_run", flush=True)
    except bert.MissingModel as error:
        raise FetchError(str(error), error.zh) from error
    finally:
        bars.close()


def main(argv: list[str] | None = None) -> int:
    # Read when huggingface_hub is first imported: what is installed here is nobody's business.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    arguments = parser().parse_args(argv)
    try:
        run(arguments)
    except KeyboardInterrupt:
        print("\nInterrupted: run it again, and it goes on from here. 已中断：再运行一次就接着下载。", file=sys.stderr)
        return 130
    except SpeechError as error:
        print(error, file=sys.stderr)
        if error.zh != str(error):
            print(error.zh, file=sys.stderr)
        return 2 if isinstance(error, BadRequest | SettingsError) else 1
    return 0
