"""The tab of batches: a file of many texts becomes a zip of sounds or one sound; what was stopped goes on.

    file -> batch_read: what is in it -> batch_start -> batch_look, again and again -> batch_take: an address

The page (batch.js) sends the file each time, so that neither a reload nor a restart of the server loses anything. What
is made lies in a folder named after what was asked for: the same file with the same settings goes on there.
"""

import functools
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
import threading
import time
from asyncio import sleep
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import gradio as gr

from infer import log
from infer.documents import audio
from infer.documents.batch import MOST_BYTES, MOST_ITEMS, REPORT, TOLERANCE, Item, Result, items_in, steps
from infer.ending import ending
from infer.engine.pipeline import Engine
from infer.engine.turns import Turn, listener_named
from infer.engine.voice import Voice
from infer.files import write_whole
from infer.request import BadRequest, Busy, Speech, SpeechError, SpeechRequest
from page import answering
from page.files import KEPT, Files
from page.guard import asking
from page.sample import Samples, decoded

AT_ONCE, WAITING, EACH = 2, 8, 2  # batches that are made at the same time, that wait, and of one listener
HERE = 5.0  # seconds since a look: somebody is waiting at this moment
STOPPING = 10.0  # seconds that a new start waits for the end of the same batch, which was stopped
ABANDONED = 60.0  # seconds without a look, after which a batch stops: its tab was closed
PACE = 0.5  # seconds between two looks; the server waits, since browsers slow down the clocks of hidden tabs
AT_A_LOOK, SHOWN, FAULTS = 500, 8, 20  # results in one answer, first texts and faults that are shown
AGE, MOST_KEPT = 2 * 24 * 3600, 8 << 30  # seconds and bytes that stopped and finished batches stay on disk
MOST_RUN, SPARE = 4 << 30, 500 << 20  # bytes of one batch, and of the disk that are left to others
REMEMBERED, MOST_ROWS = 64, 50_000  # finished batches whose results can still be asked for, and rows in them all
MOST_BYTES_A_SECOND = 2 * 48_000  # of a joined wav

WORDS = {  # key -> Chinese, English
    "tab": ("批量", "Batch"),
    "intro": (
        "把一个文件里的许多句子一次读完。音色、情感、语速等都用“朗读”页上现在的设置。",
        "Speak all the lines of a file in one go, with voice, emotion, speed and the rest as set on the Speak tab.",
    ),
    "choose": ("选择文件", "Choose a file"),
    "other": ("换一个文件", "Another file"),
    "drop": ("或把 txt、csv、srt、vtt 文件拖到这里", "or drop a txt, csv, srt or vtt file here"),
    "kinds": ("可以用哪些文件？", "Which files can be used?"),
    "kind.txt": (
        "每行一条；也可以选择“按段落”，空行之间为一条。",
        "A line each; or a paragraph each, where empty lines stand between them.",
    ),
    "kind.csv": (
        "表格：第一行是列名。text 是要说的话；还可以有 name（文件名）、voice、speaker、emotion、speed、seed 等列，"
        "空着的格用页面上的设置。",
        "A table whose first line names the columns. text is what to say; name (of the file), voice, speaker, emotion, "
        "speed, seed and other options may be added. Empty cells follow the page.",
    ),
    "kind.srt": (
        "字幕：可以让每一行在它的时间内说完。vtt 也一样。",
        "Subtitles: each line can be fitted into its time. The same goes for vtt.",
    ),
    "example": ("下载 csv 示例", "Download an example csv"),
    "found": ("{0} 条，共 {1} 字", "{0} items, {1} characters"),
    "span": ("字幕从 {0} 到 {1}", "subtitles from {0} to {1}"),
    "more": ("……还有 {0} 条", "… and {0} more"),
    "faulty": (
        "{0} 条有问题，做的时候会跳过：",
        "{0} items are at fault and will be left out:",
    ),
    "faulty.one": ("有 1 条有问题，做的时候会跳过：", "1 item is at fault and will be left out:"),
    "line": ("第 {0} 行", "Line {0}"),
    "result": ("得到什么", "What you get"),
    "zip": ("一个 zip，里面是编好号的文件", "A zip of numbered files"),
    "joined": ("连成一个声音文件", "One sound file of all"),
    "format": ("声音格式", "Format"),
    "format.wav": ("wav（无损，大）", "wav (lossless, large)"),
    "format.flac": ("flac（无损）", "flac (lossless)"),
    "format.mp3": ("mp3（小，到处能放）", "mp3 (small, plays everywhere)"),
    "format.ogg": ("ogg（小）", "ogg (small)"),
    "format.opus": ("opus（最小）", "opus (smallest)"),
    "paragraphs": ("按段落，而不是按行", "By paragraphs, not by lines"),
    "fit": ("让每行在它的时间内说完", "Fit each line into its time"),
    "fit.help": (
        "说不完的行会加快，最快两倍；连成一个文件时，各行放在字幕的时间上。不选则按平常语速一行接一行。",
        "Lines that would take too long are spoken faster, at most twice as fast; in one sound file each begins at its "
        "time. Without this, they follow each other at their usual speed.",
    ),
    "with": ("现在的设置：{0}", "As set now: {0}"),
    "start": ("开始", "Start"),
    "stop": ("停止", "Stop"),
    "resume": ("继续", "Go on"),
    "again": ("重试失败的", "Try again what failed"),
    "reading": ("正在读取文件……", "Reading the file …"),
    "starting": ("正在开始……", "Starting …"),
    "waiting": ("前面还有别的批量任务，轮到后自动开始……", "Another batch is being made; this one begins after it …"),
    "making": ("正在合成……", "Making …"),
    "stopping": ("正在停止……", "Stopping …"),
    "stopped": (
        "已停止。做好的都还在，按“继续”只做剩下的。",
        "Stopped. What is made stays; Go on makes only what is missing.",
    ),
    "stopped.choose": (
        "已停止。做好的都还在：再选同一个文件、用同样的设置，就只做剩下的。",
        "Stopped. What is made stays: choose the same file with the same settings, and only what is missing is made.",
    ),
    "lost": ("连不上服务器，正在重试……", "The server is not reached; trying again …"),
    "gone": (
        "服务器重新启动过。做好的都还在：按“继续”，或再选同一个文件。",
        "The server was started anew. What is made stays: Go on, or choose the same file again.",
    ),
    "done": ("完成了。", "Finished."),
    "done.nothing": ("没有一条能做出来，原因见下表。", "Nothing could be made; the table has the reasons."),
    "progress": ("{0} / {1} 条", "{0} of {1}"),
    "sentence": ("第 {0} 条的第 {1} / {2} 句", "item {0}, sentence {1} of {2}"),
    "left": ("剩余约 {0}", "about {0} left"),
    "hours": ("{0} 小时 {1} 分", "{0} h {1} min"),
    "minutes": ("{0} 分 {1} 秒", "{0} min {1} s"),
    "seconds": ("{0} 秒", "{0} s"),
    "made": ("新做", "made"),
    "skipped": ("已有", "kept"),
    "failed": ("失败", "failed"),
    "unfit": ("说不完", "too long"),
    "sum": (
        "新做 {0} 条，已有 {1} 条，失败 {2} 条；共 {3} 秒",
        "{0} made, {1} kept, {2} failed; {3} s of sound",
    ),
    "sum.unfit": ("{0} 行在时间内说不完", "{0} lines did not fit into their time"),
    "sum.unfit.one": ("1 行在时间内说不完", "1 line did not fit into its time"),
    "table": ("结果", "Results"),
    "column.line": ("行", "Line"),
    "column.text": ("文字", "Text"),
    "column.status": ("结果", "Result"),
    "column.seconds": ("秒", "Seconds"),
    "column.speed": ("语速", "Speed"),
    "hidden": (
        "表里只列出前 {0} 条和有问题的；全部见报告。",
        "The table has the first {0} and those with a fault; the report has all.",
    ),
    "download.zip": ("下载 zip", "Download the zip"),
    "download.sound": ("下载 {0}", "Download the {0}"),
    "download.report": ("下载报告", "Download the report"),
    "large": ("{0} 超过 {1} MB；请分成几个文件。", "{0} has more than {1} MB; cut it into several files."),
    "unexpected": (
        "出错了（{0}）。做好的都还在，请再试一次；原因见终端。",
        "Something went wrong ({0}). What is made stays: try again, or look into the terminal for the cause.",
    ),
}
EXAMPLE = (
    "text,name,speed,emotion\r\n"
    "大家好，欢迎收听今天的节目。,开场,,\r\n"
    '"今天说三件事：天气、交通，还有一本好书。",目录,1.1,\r\n'
    "谢谢收听，明天再见！,结尾,0.9,happy\r\n"
)
_FLOATS = frozenset(option.name for option in fields(SpeechRequest) if isinstance(option.default, float))


@dataclass(frozen=True)
class Order:
    """One batch as it was asked for. stem: for the names of files. ending: zip, or the format of the joined sound.

    listener: who has asked. sample: id of the emotion's sound. key: names the folder; other files, settings or
    listeners have others.
    """

    listener: str
    stem: str
    items: Sequence[Item]
    base: SpeechRequest
    sample: str
    ending: str
    format: str
    key: str


def found(name: str, data: bytes, paragraphs: bool = False, fit: bool = False) -> list[Item]:
    """The items of a file that has come from a page; its name is shown and never used as a path. Raises BadRequest."""
    stem, _, ending = name.replace("\\", "/").rpartition("/")[2].rpartition(".")
    safe = f"{_safe(stem) or 'file'}.{re.sub('[^A-Za-z0-9]', '', ending)[:8]}"
    read = items_in(Path(safe), data, paragraphs)
    return read if fit else [replace(item, slot=None) for item in read]


def _safe(stem: str) -> str:
    return re.sub(r"\W+", "_", stem).strip("_")[:40]


def faults(engine: Engine, wanted: Sequence[Item], base: SpeechRequest) -> Iterator[tuple[Item, SpeechError]]:
    """Items that cannot be said, as far as that can be told before anything is spoken."""
    limit = engine.settings.max_characters

    @functools.cache  # as many rows name the same
    def check(voice: str, speaker: str) -> None:
        name = engine.files(voice).id
        if speaker and name in engine.loaded:
            engine.load(name).speaker(speaker)

    for item in wanted:
        try:
            request = item.request(base)
            if item.options:
                check(request.voice, request.speaker)
            if len(request.text) > limit:
                raise BadRequest(
                    f"The text has {len(request.text)} characters and the limit is {limit}; cut it into several.",
                    f"文字有 {len(request.text)} 字，上限是 {limit} 字；请分成几条。",
                )
        except SpeechError as error:
            yield item, error


class Work:
    """The folders of batches, which outlive the server: for AGE seconds, and MOST_KEPT bytes all together."""

    def __init__(self, root: Path | None = None) -> None:
        """root: where; by default this user's own folder among the temporary files."""
        user = os.getuid() if hasattr(os, "getuid") else "own"
        self._root = root or Path(tempfile.gettempdir(), f"bert-vits2-batches-{user}")

    @functools.cached_property
    def root(self) -> Path:
        with suppress(FileExistsError):
            self._root.mkdir(mode=0o700, parents=True)
        if hasattr(os, "getuid") and (self._root.is_symlink() or self._root.stat().st_uid != os.getuid()):
            return Path(tempfile.mkdtemp(prefix="batches-"))  # somebody else was first: nothing of ours goes there
        return self._root

    def folder(self, key: str) -> Path:
        """The folder of a key, made if need be, and young again."""
        folder = self.root / key
        folder.mkdir(mode=0o700, exist_ok=True)
        os.utime(folder)
        return folder

    def tidy(self, busy: set[str]) -> None:
        """Removes what is too old or too much, oldest first, but no folder whose key is busy."""
        if not self._root.is_dir():
            return
        there = [folder for folder in self.root.iterdir() if re.fullmatch("[0-9a-f]{64}", folder.name)]
        total = 0
        for folder in sorted(there, key=lambda folder: folder.stat().st_mtime, reverse=True):
            total += _size(folder)
            old = time.time() - folder.stat().st_mtime > AGE
            if folder.name not in busy and (old or total > MOST_KEPT):
                shutil.rmtree(folder, ignore_errors=True)


def _size(folder: Path) -> int:
    """Bytes in a folder, in which another batch may be at work."""
    total = 0
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


@dataclass(eq=False)
class Job(Turn):
    """A batch and what has become of it. state: waiting, making, stopped, abandoned, done or failed (error).

    steps: of the making, None each. room: whether another batch may begin. rows: what became of the items. at: the
    item being spoken, its sentence and how many. looked: when a page last asked. began: when the first item was. Times
    are of the monotonic clock.
    """

    order: Order
    folder: Path
    room: Callable[[], bool] = lambda: True
    address: str = field(default_factory=asking)
    steps: Iterator[None] = field(default_factory=lambda: iter(()))
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    rows: list[dict[str, Any]] = field(default_factory=list)
    state: str = "waiting"
    error: tuple[str, str] | None = None
    at: tuple[int, int, int] | None = None
    looked: float = field(default_factory=time.monotonic)
    began: float = 0.0
    stop: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    offered: dict[str, tuple[float, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.total = len(self.order.items)

    @property
    def listener(self) -> str:
        return self.order.listener

    @property
    def out(self) -> Path:
        return self.folder / f"out.{self.order.ending}"

    @property
    def report(self) -> Path:
        return self.out.with_name(f"{self.out.stem}.{REPORT}")

    @property
    def finished(self) -> Path:
        """Stands beside a file that is complete: its rows, since a joined file's items are gone."""
        return self.folder / "finished.json"

    def begin(self) -> None:
        self.state = "making"

    def step(self) -> bool:
        return next(self.steps, False) is None

    def end(self, error: Exception | None) -> None:
        try:
            self.steps.close()  # the report is written here
        except Exception as caught:
            error = error or caught
        if isinstance(error, SpeechError):
            self.state, self.error = "failed", _without_paths(error, self.folder)
        elif isinstance(error, OSError):
            reason = error.strerror or type(error).__name__
            self.state, self.error = (
                "failed",
                (
                    f"服务器写不了文件（{reason}）。做好的都还在；请腾出空间后继续。",
                    f"The server cannot write files ({reason}). What is made stays; make room and go on.",
                ),
            )
        elif error:  # whatever it was, the page must not wait for ever
            log.failure("a batch", error)
            chinese, english = (words.format(type(error).__name__) for words in WORDS["unexpected"])
            self.state, self.error = "failed", (chinese, english)
        elif self.state in ("waiting", "making"):
            self.state = "stopped" if self.stop.is_set() else "abandoned"
        self.order = replace(self.order, items=())  # up to 10 MB of texts
        self.ended.set()

    def cancelled(self) -> bool:
        return ending() or self.stop.is_set() or time.monotonic() - self.looked > ABANDONED

    def ready(self) -> bool:
        return self.state == "making" or self.room()

    def asked_for(self) -> bool:
        return time.monotonic() - self.looked < HERE

    def left(self) -> float | None:
        """Seconds to go, by the characters that were made so far; None before that can be told."""
        if self.state != "making":
            return None
        made = {row["number"] for row in self.rows if row["status"] == "made"}
        length = [len(item.text) for item in self.order.items]
        done = sum(length[number - 1] for number in made)
        if self.at and len(self.rows) < len(length):
            done += length[len(self.rows)] * self.at[1] / self.at[2]
        if not done:
            return None
        kept = sum(length[: len(self.rows)]) - sum(length[number - 1] for number in made)
        return max(0.0, sum(length) - kept - done) * (time.monotonic() - self.began) / done

    def shown(self, seen: int) -> dict[str, Any]:
        """What a page that has `seen` so many rows shows next."""
        counts = Counter(row["status"] for row in self.rows)
        return {
            "state": self.state,
            "stopping": self.stop.is_set(),
            "error": self.error,
            "total": self.total,
            "done": len(self.rows),
            "rows": self.rows[seen : seen + AT_A_LOOK],
            "counts": {status: counts[status] for status in ("made", "skipped", "failed")},
            "unfit": sum(row["unfit"] for row in self.rows),
            "seconds": sum(row["seconds"] for row in self.rows),
            "at": self.at,
            "left": self.left(),
            "size": self.out.stat().st_size if self.state == "done" and self.out.exists() else 0,
            "ending": self.order.ending,
        }


class _Narrator:
    """The engine as a batch uses it: with the sample of the emotion.

    The sample is put in here, not in the batch's request: the folder belongs to one sample, so that files made with it
    need not be made again.
    """

    def __init__(self, engine: Engine, sample: bytes) -> None:
        self.engine, self.settings, self.sample = engine, engine.settings, sample

    def load(self, name: str = "") -> Voice:
        return self.engine.load(name)

    def stream(self, request: SpeechRequest, cancelled: Callable[[], bool]) -> Iterator[Speech]:
        return self.engine.stream(request.but(emotion_audio=self.sample), cancelled)


class Batches:
    """All batches of this process, which take their turns in the engine's line."""

    def __init__(self, engine: Engine, files: Files, samples: Samples, folder: Path | None = None) -> None:
        self.engine, self.files, self.samples = engine, files, samples
        self.work = Work(folder)
        self.jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def read(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """What is in a file: how many items, the first of them, and what is wrong. Raises BadRequest."""
        base, _ = self._base(ask["request"])
        wanted = found(ask["name"], decoded(ask["data"]), bool(ask["paragraphs"]), fit=True)
        wrong = list(faults(self.engine, wanted, base))
        return {
            "count": len(wanted),
            "characters": sum(len(item.text) for item in wanted),
            "timed": wanted[0].slot is not None,
            "span": [wanted[0].slot[0], max(item.slot[1] for item in wanted)] if wanted[0].slot else None,
            "first": [
                {"line": i.line, "text": i.text[:200], "slot": i.slot, "options": [*i.options.values()]}
                for i in wanted[:SHOWN]
            ],
            "faults": [[item.line, error.zh, str(error)] for item, error in wrong[:FAULTS]],
            "faulty": len(wrong),
            "notices": [[chinese, english] for english, chinese in wanted[0].notices],
        }

    def order(self, ask: Mapping[str, Any]) -> Order:
        """Raises SpeechError."""
        base, sample = self._base(ask["request"])
        data, joined, format = decoded(ask["data"]), ask["joined"] is True, str(ask["format"])
        if format not in audio.FORMATS:
            raise BadRequest(
                f"The format {format!r} is not known; choose {', '.join(audio.FORMATS)}.",
                f"不支持 {format!r} 格式；可选：{'、'.join(audio.FORMATS)}。",
            )
        wanted = found(ask["name"], data, bool(ask["paragraphs"]), bool(ask["fit"]))
        self.samples.get(sample)  # gone? said before anything begins
        listener = listener_named(ask["listener"])
        asked = [listener, joined, format, sample, base.as_dict(), self._stamps(wanted, base)]
        said = [[item.text, item.name, dict(item.options), item.slot] for item in wanted]
        key = hashlib.sha256(json.dumps([asked, said], sort_keys=True).encode()).hexdigest()
        stem = _safe(ask["name"].rpartition(".")[0]) or "batch"
        return Order(listener, stem, wanted, base, sample, format if joined else "zip", format, key)

    def start(self, ask: Mapping[str, Any]) -> Job:
        """Begins a batch, or goes on with it; one that is being made is joined. Raises SpeechError."""
        order = self.order(ask)
        for job in list(self.jobs.values()):
            if job.order.key == order.key and job.stop.is_set() and not job.ended.wait(STOPPING):
                raise BadRequest("It is still stopping; try again in a moment.", "还在停止，请稍后再试。")
        with self._lock:
            going = [job for job in self.jobs.values() if not job.ended.is_set()]
            for job in going:
                if job.order.key == order.key:
                    job.looked = time.monotonic()
                    return job
            if sum(job.listener == order.listener for job in going) >= EACH:
                raise Busy(
                    f"{EACH} batches of yours are being made or waiting; start this one when one of them is finished.",
                    f"你已有 {EACH} 个批量任务在做或在等；等其中一个完成后再开始这个。",
                )
            most = AT_ONCE + WAITING
            here = sum(job.address == asking() for job in going)
            if len(going) >= most or here >= most - EACH:  # whoever invents listeners leaves room to another address
                raise Busy(
                    "Too many batches are waiting; try again when some are finished.",
                    "等待的批量任务太多了；请过一会儿再试。",
                )
            self.work.tidy({job.order.key for job in going} | {order.key})
            job = Job(order, self.work.folder(order.key), self._room)
            job.steps = self._make(job)
            self.jobs[job.id] = job
            try:
                self.engine.line.enter(job)
            except Busy:
                del self.jobs[job.id]
                raise
            self._forget()
        return job

    def _room(self) -> bool:
        return sum(job.state == "making" for job in list(self.jobs.values())) < AT_ONCE

    def _forget(self) -> None:
        """Lets go of the oldest finished batches, once they are too many."""
        ended = [job for job in self.jobs.values() if job.ended.is_set()]
        while len(ended) > REMEMBERED or sum(len(job.rows) for job in ended) > MOST_ROWS:
            del self.jobs[ended.pop(0).id]

    def take(self, job: Job, what: str) -> str:
        """The address of the finished file, or of its report. Raises BadRequest if it is gone."""
        source = job.report if what == "report" else job.out
        name = f"{job.order.stem}.{REPORT if what == 'report' else job.order.ending}"
        when, address = job.offered.get(what, (0.0, ""))
        if address and time.monotonic() - when < KEPT / 2 and self.files.has(address):
            return address
        if not source.exists():
            raise BadRequest("The file is gone; start the batch again.", "文件已经不在了；请重新开始。")
        address = self.files.offer(name, functools.partial(_link, source))
        job.offered[what] = time.monotonic(), address
        return address

    def _base(self, controls: Mapping[str, Any]) -> tuple[SpeechRequest, str]:
        """The page's controls as a request without a text, and the id of the sample. Raises BadRequest."""
        values = {name: value for name, value in controls.items() if name not in ("text", "sample")}
        values = {name: float(v) if name in _FLOATS and isinstance(v, int) else v for name, v in values.items()}
        return SpeechRequest.from_dict(values | {"text": ""}), str(controls.get("sample") or "")

    def _stamps(self, wanted: Sequence[Item], base: SpeechRequest) -> list[str]:
        """What changes when a voice or the glossary does: then all is made anew."""
        names = {base.voice, *(item.options["voice"] for item in wanted if "voice" in item.options)}
        stamps = []
        for name in sorted(names):
            with suppress(BadRequest):  # there is no such voice: its rows fail by themselves
                stamps.append(repr(self.engine.files(name).stamp()))
        glossary = self.engine.settings.glossary
        file = self.engine.settings.path(glossary) if glossary else None
        return [*stamps, file.read_bytes().hex() if file and file.is_file() else ""]

    def _make(self, job: Job) -> Iterator[None]:
        if job.finished.exists() and job.out.exists():
            job.rows = [row | {"status": "skipped"} for row in json.loads(job.finished.read_text("utf-8"))]
            job.state = "done"
            return
        job.began = time.monotonic()
        order, written = job.order, 0
        engine: Any = _Narrator(self.engine, self.samples.get(order.sample))
        telling = steps(engine, order.items, job.out, order.base, order.format, cancelled=job.cancelled)
        with closing(telling):
            for told in telling:
                if isinstance(told, Speech):
                    number = order.items[len(job.rows)].number
                    job.at = number, told.sentence + told.last, told.sentences
                elif told:
                    job.rows.append(row_of(told))
                    job.at = None
                    with suppress(OSError):
                        written += (job.folder / f"{job.out.name}.parts" / told.file).stat().st_size
                    whole = (told.start + told.seconds) * MOST_BYTES_A_SECOND if order.ending == "wav" else 0
                    _check_room(written, job.folder, whole)
                yield
        if len(job.rows) == len(order.items) and not job.cancelled():
            if job.out.exists() and not any(row["status"] == "failed" for row in job.rows):
                write_whole(job.finished, json.dumps(job.rows))
            job.state = "done"


def row_of(result: Result) -> dict[str, Any]:
    """A result as the page's table shows it."""
    item = result.item
    slot = item.slot[1] - item.slot[0] if item.slot else None  # seconds
    lines = [(result.error.zh, str(result.error))] if result.error else []
    return {
        "number": item.number,
        "line": item.line,
        "text": item.text[:120],
        "status": result.status,
        "seconds": round(result.seconds, 2),
        "speed": round(result.speed, 2),
        "unfit": slot is not None and not result.error and result.seconds > slot + TOLERANCE,
        "notes": lines + [(chinese, english) for english, chinese in result.notices],
    }


def _check_room(written: int, folder: Path, whole: float) -> None:
    """written: bytes so far. whole: those of the file in which all will be joined."""
    if written > MOST_RUN:
        raise BadRequest(
            f"The sounds fill more than {MOST_RUN >> 30} GB; choose mp3 or ogg, or cut the file into several.",
            f"声音超过 {MOST_RUN >> 30} GB；请选 mp3 或 ogg，或把文件分成几个。",
        )
    if shutil.disk_usage(folder).free < SPARE + whole:
        raise BadRequest(
            "The server's disk is nearly full. What is made stays; make room and go on.",
            "服务器的磁盘快满了。做好的都还在；请腾出空间后继续。",
        )


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)  # no second copy of gigabytes
    except OSError:
        shutil.copyfile(source, target)


def _without_paths(error: SpeechError, folder: Path) -> tuple[str, str]:
    chinese, english = (words.replace(f"{folder}{os.sep}", "") for words in (error.zh, str(error)))
    return chinese, english


def build(engine: Engine, files: Files, samples: Samples, folder: Path | None = None) -> None:
    """Lays out the tab's contents where the caller is. folder: where batches are made, if not among temporary files."""
    batches = Batches(engine, files, samples, folder)
    batches.work.tidy(set())

    @answering
    def batch_read(ask: dict) -> dict[str, Any]:
        return batches.read(ask)

    @answering
    def batch_start(ask: dict) -> dict[str, Any]:
        return {"id": batches.start(ask).id}

    @answering
    async def batch_look(ask: dict) -> dict[str, Any]:
        """{"id", "seen": rows} -> Job.shown; waits a little, and is the sign that somebody still listens."""
        job = batches.jobs.get(ask["id"])
        if job is None:
            return {"gone": True}
        job.looked = time.monotonic()
        if not job.ended.is_set() and len(job.rows) - ask["seen"] < AT_A_LOOK:
            await sleep(PACE)
        return job.shown(ask["seen"])

    @answering
    def batch_stop(ask: dict) -> dict[str, Any]:
        if job := batches.jobs.get(ask["id"]):
            job.stop.set()
        return {}

    @answering
    def batch_take(ask: dict) -> dict[str, Any]:
        if job := batches.jobs.get(ask["id"]):
            return {"address": batches.take(job, ask["what"])}
        raise BadRequest("The file is gone; start the batch again.", "文件已经不在了；请重新开始。")

    gr.HTML(
        html_template='<div class="batch"></div>',
        js_on_load=Path(__file__).with_name("batch.js").read_text(encoding="utf-8"),
        server_functions=[batch_read, batch_start, batch_look, batch_stop, batch_take],
        words=WORDS,
        example=EXAMPLE,
        formats=list(audio.FORMATS),
        limits={"bytes": MOST_BYTES, "items": MOST_ITEMS},
        apply_default_css=False,
        elem_id="batch",
    )
