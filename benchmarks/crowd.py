"""python -m benchmarks.crowd: a crowd at the page; its memory and its threads must stay flat.

Invented listeners ask for speech, six emotions, files and pictures, and every third leaves without a word. At every
hundredth request: memory, threads, runs, and what is kept of speech. Then 300 ask at once and leave, and a newcomer's
first sound is timed against the same without them. All in this process, without HTTP; it ends by itself after
--seconds. The last line is JSON.
"""

import argparse
import asyncio
import json
import random
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

from benchmarks.speed import memory_mb
from infer.engine.pipeline import Engine
from infer.request import Busy
from infer.settings import load_settings
from page.files import Files
from page.sample import Samples
from page.studio import EMOTIONS, Studio

AT_ONCE = 8  # listeners who ask at the same time
STEP = 100  # requests between two looks at the memory
LEAVE = 300
WORDS = "春天来了小河解冻了柳树发芽孩子们脱下厚厚的棉衣跑到田野里放风筝"


class Crowd:
    """Listeners of a page, each with a name of its own and one wish."""

    def __init__(self, studio: Studio, seed: int = 0) -> None:
        self.studio, self.random, self.asked = studio, random.Random(seed), 0
        self.done = dict.fromkeys(("speech", "emotions", "pauses", "file", "picture", "left", "refused"), 0)

    def text(self, length: int) -> str:
        return "".join(self.random.choices(WORDS, k=length)) + "。"

    async def take(self, run: str) -> float | None:
        """Seconds to the first part of a run, all of whose parts are fetched."""
        began, first = time.perf_counter(), None
        got: dict[str, Any] = {"next": 0, "done": False}
        while not got["done"]:
            got = await self.studio.pieces({"run": run, "next": got["next"]})
            if got["parts"] and first is None:
                first = time.perf_counter() - began
        return first

    async def one(self) -> None:
        """The next listener comes, and goes."""
        self.asked += 1
        name, line = f"listener {self.asked}", {"text": self.text(self.random.randint(6, 24)), "seed": self.asked}
        kind = self.random.choice(["speech", "emotions", "pauses", "file", "picture", "left", "left", "left"])
        project = {"format": "bert-vits2 project", "version": 1, "controls": {}, "cards": [{"text": line["text"]}]}
        wishes: dict[str, Callable[[], dict[str, Any]]] = {
            "emotions": lambda: self.speak(name, [line | {"emotion": emotion} for emotion in EMOTIONS]),
            "pauses": lambda: self.speak(name, [{"text": self.text(2) * 20, "pause": 5.0}]),
            "file": lambda: self.studio.file({
                "listener": name, "project": project, "format": self.random.choice(["wav", "mp3", "opus", "srt"]),
            }),
            "picture": lambda: self.studio.look({"listener": name, "request": line}),
        }  # fmt: skip
        try:
            run = wishes.get(kind, lambda: self.speak(name, [line]))()["run"]
        except Busy:
            self.done["refused"] += 1
            return await asyncio.sleep(0.5)
        if kind != "left":
            await self.take(run)
        self.done[kind] += 1

    def speak(self, name: str, requests: list[dict[str, Any]]) -> dict[str, Any]:
        return self.studio.speak({"listener": name, "requests": requests})

    async def first_sound(self, name: str) -> float:
        """Seconds that a listener waits for it."""
        first = await self.take(self.speak(name, [{"text": self.text(8)}])["run"])
        return first if first is not None else float("nan")

    def look(self) -> dict[str, float]:
        kept, runs = self.studio.engine.takes.size / 1e6, len(self.studio.runs)
        return {"memory_mb": memory_mb(), "threads": threading.active_count(), "runs": runs, "takes_mb": kept}


async def measure(crowd: Crowd, requests: int, seconds: float) -> dict[str, Any]:
    """Figures by the number of requests, and of those who leave all at once."""
    until, seen = time.monotonic() + seconds, {0: crowd.look()}

    async def listeners() -> None:
        while crowd.asked < requests and time.monotonic() < until:
            await crowd.one()
            if crowd.asked % STEP == 0 and crowd.asked not in seen:
                seen[crowd.asked] = crowd.look()
                print(f"{crowd.asked:5} requests: {_shown(seen[crowd.asked])}", flush=True)

    await asyncio.gather(*(listeners() for _ in range(AT_ONCE)))
    alone = statistics.median([await crowd.first_sound(f"alone {i}") for i in range(3)])
    before = crowd.look()["threads"]
    for i in range(LEAVE):
        with suppress(Busy):
            crowd.speak(f"gone {i}", [{"text": crowd.text(200), "seed": i}])
    threads = crowd.look()["threads"]
    newcomer = await crowd.first_sound("newcomer")
    left = {"before": before, "threads": threads, "alone_s": alone, "newcomer_s": newcomer}
    print(f"{LEAVE} came and left: {before} threads, then {threads}; first sound {alone:.2f} s, then {newcomer:.2f} s")
    return {"requests": crowd.asked, "seen": seen, "left": left, "done": crowd.done}


def _shown(seen: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.0f}" for name, value in seen.items())


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.crowd", description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=500, help="in all (500)")
    parser.add_argument("--seconds", type=float, default=300, help="after which no listener comes any more (300)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting: webui.device=cpu")
    options = parser.parse_args(arguments)
    # Little is kept, so that the first hundred fill it and what grows later is a leak.
    engine = Engine(load_settings(overrides=["takes_mb=16", "glossary=", *options.set]))
    engine.load().warmth.wait(60)
    with closing(Files()) as files:
        studio = Studio(engine, files, Samples())
        figures = asyncio.run(measure(Crowd(studio), options.requests, options.seconds))
        for run in list(studio.runs.values()):
            studio.leave(run.listener)
        while len(engine.line):
            time.sleep(0.1)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
