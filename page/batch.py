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
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from infer import log
from infer.documents import audio
from infer.documents.batch import KINDS, REPORT, Batch, Entry, Result, read_entries
from infer.ending import ending
from infer.engine.pipeline import Engine
from infer.engine.turns import Turn, listener_named
from infer.files import MOST_BYTES, write_whole
from infer.request import BadRequest, Busy, Speech, SpeechError, SpeechRequest
from page import answers, panel
from page.files import KEPT, Files, check_room, not_written
from page.guard import asking
from page.sample import Samples, decoded
from words import Message, message, pairs

AT_ONCE, WAITING, EACH = 2, 8, 2  # batches that are made at the same time, that wait, and of one listener
HERE = 5.0  # seconds since a look: somebody is waiting at this moment
STOPPING = 10.0  # seconds that a new start waits for the end of the same batch, which was stopped
ABANDONED = 60.0  # seconds without a look, after which a batch stops: its tab was closed
PACE = 0.5  # seconds between two looks; the server waits, since browsers slow down the clocks of hidden tabs
AT_A_LOOK, SHOWN, FAULTS = 500, 8, 20  # results in one answer, first texts and faults that are shown
AGE, MOST_KEPT = 2 * 24 * 3600, 8 << 30  # seconds and bytes that stopped and finished batches stay on disk
MOST_RUN = 4 << 30  # bytes of one batch
REMEMBERED, MOST_ROWS = 64, 50_000  # finished batches whose results can still be asked for, and rows in them all
MOST_BYTES_A_SECOND = 2 * 48_000  # of a joined wav

EXAMPLE = (
    "text,name,speed,emotion\r\n"
    "大家好，欢迎收听今天的节目。,开场,,\r\n"
    '"今天说三件事：天气、交通，还有一本好书。",目录,1.1,\r\n'
    "谢谢收听，明天再见！,结尾,0.9,happy\r\n"
)


def entries_from(name: str, data: bytes, paragraphs: bool = False, fit: bool = False) -> list[Entry]:
    """What is in a file that has come from a page; its name is shown and never used as a path. Raises BadRequest."""
    stem, _, ending = name.replace("\\", "/").rpartition("/")[2].rpartition(".")
    file = Path(f"{_safe(stem) or 'file'}.{re.sub('[^A-Za-z0-9]', '', ending)[:8]}")
    entries = read_entries(file, paragraphs, data)
    return entries if fit else [replace(entry, slot=None) for entry in entries]


def _safe(stem: str) -> str:
    return re.sub(r"\W+", "_", stem).strip("_")[:40]


def faults(engine: Engine, entries: Sequence[Entry], base: SpeechRequest) -> Iterator[tuple[Entry, SpeechError]]:
    """Entries that cannot be said, as far as that can be told before anything is spoken."""

    @functools.cache  # as many rows name the same
    def check(voice: str, speaker: str) -> None:
        name = engine.files(voice).id
        if speaker and name in engine.loaded:
            engine.load(name).speaker(speaker)

    for entry in entries:
        try:
            request = entry.request(base)
            if entry.options:
                check(request.voice, request.speaker)
            engine.check_length(request)
        except SpeechError as error:
            yield entry, error


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
        folders = [folder for folder in self.root.iterdir() if re.fullmatch("[0-9a-f]{64}", folder.name)]
        total = 0
        for folder in sorted(folders, key=lambda folder: folder.stat().st_mtime, reverse=True):
            for file in folder.rglob("*"):
                with suppress(FileNotFoundError):  # another batch may be at work in it
                    total += file.stat().st_size
            old = time.time() - folder.stat().st_mtime > AGE
            if folder.name not in busy and (old or total > MOST_KEPT):
                shutil.rmtree(folder, ignore_errors=True)


@dataclass(eq=False)
class Job(Turn):
    """A batch as it was asked for, and what has become of it.

    listener: who has asked. stem: for the names of files. sample: id of the emotion's sound. ending: zip, or the format
    of the joined sound. key: names the folder; other files, settings or listeners have others. room: whether another
    batch may begin.

    steps: of the making, None each. rows: what became of the entries. state: waiting, making, stopped, abandoned, done
    or failed (error). at: the entry being spoken, its sentence and how many. looked: when a page last asked. began:
    when the first entry was. Times are of the monotonic clock. offered: when which file was last offered, and where.
    """

    listener: str
    stem: str
    entries: Sequence[Entry]
    base: SpeechRequest
    sample: str
    format: str
    ending: str
    key: str
    folder: Path
    room: Callable[[], bool]
    steps: Generator[None, None, None] | None = None
    address: str = field(default_factory=asking)
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    rows: list[dict[str, Any]] = field(default_factory=list)
    state: str = "waiting"
    error: Message | None = None
    at: tuple[int, int, int] | None = None
    looked: float = field(default_factory=time.monotonic)
    began: float = 0.0
    stop: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    offered: dict[str, tuple[float, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.total = len(self.entries)
        self.out = self.folder / f"out.{self.ending}"

    def begin(self) -> None:
        self.state = "making"

    def step(self) -> bool:
        return self.steps is not None and next(self.steps, False) is None

    def end(self, error: Exception | None) -> None:
        try:
            if self.steps:
                self.steps.close()  # the report is written here
        except Exception as caught:
            error = error or caught
        if isinstance(error, OSError):
            error = not_written(error)
        if isinstance(error, SpeechError):
            self.error = error.message
        elif error:  # whatever it was, the page must not wait for ever
            log.failure("a batch", error)
            self.error = message("batch.unexpected", error=type(error).__name__)
        if self.error:
            self.state = "failed"
        elif self.state in ("waiting", "making"):
            self.state = "stopped" if self.stop.is_set() else "abandoned"
        self.entries = ()  # up to 10 MB of texts
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
        lengths = [len(entry.text) for entry in self.entries]
        finished = list(zip(lengths, self.rows, strict=False))
        made: float = sum(length for length, row in finished if row["status"] == "made")
        total = sum(lengths) - sum(length for length, row in finished if row["status"] != "made")
        if self.at and len(finished) < len(lengths):
            made += lengths[len(finished)] * self.at[1] / self.at[2]
        return max(0.0, total - made) * (time.monotonic() - self.began) / made if made else None

    def shown(self, seen: int) -> dict[str, Any]:
        """What a page that has `seen` so many rows shows next."""
        counts = Counter(row["status"] for row in self.rows)
        return {
            "state": self.state,
            "stopping": self.stop.is_set(),
            "error": self.error and self.error.pair,
            "total": self.total,
            "done": len(self.rows),
            "rows": self.rows[seen : seen + AT_A_LOOK],
            "counts": {status: counts[status] for status in ("made", "skipped", "failed")},
            "unfit": sum(row["unfit"] for row in self.rows),
            "seconds": sum(row["seconds"] for row in self.rows),
            "at": self.at,
            "left": self.left(),
            "size": self.out.stat().st_size if self.state == "done" and self.out.exists() else 0,
            "ending": self.ending,
        }


class Batches:
    """All batches of this process, which take their turns in the engine's line."""

    def __init__(self, engine: Engine, files: Files, samples: Samples, folder: Path | None = None) -> None:
        self.engine, self.files, self.samples = engine, files, samples
        self.work = Work(folder)
        self.jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def read(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """What is in a file: how many entries, the first of them, and what is wrong. Raises BadRequest."""
        base, _ = self._base(ask["request"])
        entries = entries_from(ask["name"], decoded(ask["data"]), ask["paragraphs"], fit=True)
        slots = [entry.slot for entry in entries if entry.slot]
        wrong = list(faults(self.engine, entries, base))
        return {
            "count": len(entries),
            "characters": sum(len(entry.text) for entry in entries),
            "span": [slots[0][0], max(end for _, end in slots)] if slots else None,
            "first": [
                {"line": e.line, "text": e.text[:200], "slot": e.slot, "options": [*e.options.values()]}
                for e in entries[:SHOWN]
            ],
            "faults": [[entry.line, *error.message.pair] for entry, error in wrong[:FAULTS]],
            "faulty": len(wrong),
            "notices": [notice.pair for notice in entries[0].notices],
        }

    def order(self, ask: Mapping[str, Any]) -> Job:
        """A batch that is not begun. Raises SpeechError."""
        base, sample = self._base(ask["request"])
        format = ask["format"]
        if format not in audio.FORMATS:
            raise BadRequest("audio.unknown_format", format=format, formats=[*audio.FORMATS])
        entries = entries_from(ask["name"], decoded(ask["data"]), ask["paragraphs"], ask["fit"])
        self.samples.get(sample)  # gone? said before anything begins
        listener = listener_named(ask["listener"])
        settings = [listener, ask["joined"], format, sample, base.as_dict(), self._stamps(entries, base)]
        texts = [[entry.text, entry.name, dict(entry.options), entry.slot] for entry in entries]
        key = hashlib.sha256(json.dumps([settings, texts], sort_keys=True).encode()).hexdigest()
        stem, ending = _safe(ask["name"].rpartition(".")[0]) or "batch", format if ask["joined"] else "zip"
        return Job(listener, stem, entries, base, sample, format, ending, key, self.work.root / key, self._room)

    def start(self, ask: Mapping[str, Any]) -> Job:
        """Begins a batch, or goes on with it; one that is being made is joined. Raises SpeechError."""
        new = self.order(ask)
        for job in list(self.jobs.values()):
            if job.key == new.key and job.stop.is_set() and not job.ended.wait(STOPPING):
                raise BadRequest("batch.still_stopping")
        with self._lock:
            going = [job for job in self.jobs.values() if not job.ended.is_set()]
            for job in going:
                if job.key == new.key:
                    job.looked = time.monotonic()
                    return job
            if sum(job.listener == new.listener for job in going) >= EACH:
                raise Busy("batch.too_many_yours", most=EACH)
            most, here = AT_ONCE + WAITING, sum(job.address == new.address for job in going)
            if len(going) >= most or here >= most - EACH:  # whoever invents listeners leaves room to another address
                raise Busy("batch.too_many_wait")
            self.work.tidy({job.key for job in going} | {new.key})
            self.work.folder(new.key)
            new.steps = self._make(new)
            self.jobs[new.id] = new
            try:
                self.engine.line.enter(new)
            except Busy:
                del self.jobs[new.id]
                raise
            self._forget()
        return new

    def _room(self) -> bool:
        return sum(job.state == "making" for job in list(self.jobs.values())) < AT_ONCE

    def _forget(self) -> None:
        """Lets go of the oldest finished batches, once they are too many."""
        ended = [job for job in self.jobs.values() if job.ended.is_set()]
        while len(ended) > REMEMBERED or sum(len(job.rows) for job in ended) > MOST_ROWS:
            del self.jobs[ended.pop(0).id]

    async def look(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """{"id", "seen": rows} -> Job.shown; waits a little, and is the sign that somebody still listens."""
        job = self.jobs.get(ask["id"])
        if job is None:
            return {"gone": True}
        job.looked = time.monotonic()
        if not job.ended.is_set() and len(job.rows) - ask["seen"] < AT_A_LOOK:
            await sleep(PACE)
        return job.shown(ask["seen"])

    def stop(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        if job := self.jobs.get(ask["id"]):
            job.stop.set()
        return {}

    def take(self, id: str, what: str) -> str:
        """The address of the finished file of a batch, or of its report. Raises BadRequest if it is gone."""
        job = self.jobs.get(id)
        when, address = job.offered.get(what, (0.0, "")) if job else (0.0, "")
        if address and time.monotonic() - when < KEPT / 2 and self.files.has(address):
            return address
        source = job and (job.out.with_name(f"out.{REPORT}") if what == "report" else job.out)
        if not job or not source or not source.exists():
            raise BadRequest("batch.gone")
        name = f"{job.stem}.{REPORT if what == 'report' else job.ending}"
        address = self.files.offer(name, functools.partial(_link, source))
        job.offered[what] = time.monotonic(), address
        return address

    def _base(self, controls: Mapping[str, Any]) -> tuple[SpeechRequest, str]:
        """The page's controls as a request without a text, and the id of the sample. Raises BadRequest."""
        values = {
            name: float(value)
            if KINDS.get(name) is float and isinstance(value, int)
            else value  # 1 and 1.0 are one key
            for name, value in controls.items()
            if name not in ("text", "sample")
        }
        return SpeechRequest.from_dict(values | {"text": ""}), str(controls.get("sample") or "")

    def _stamps(self, entries: Sequence[Entry], base: SpeechRequest) -> list[str]:
        """What changes when a voice or the glossary does: then all is made anew."""
        names = {base.voice, *(entry.options["voice"] for entry in entries if "voice" in entry.options)}
        stamps = []
        for name in sorted(names):
            with suppress(BadRequest):  # there is no such voice: its rows fail by themselves
                stamps.append(repr(self.engine.files(name).stamp()))
        return [*stamps, self.engine.glossary(base.readings).digest.hex()]

    def _make(self, job: Job) -> Generator[None, None, None]:
        finished = job.folder / "finished.json"  # beside a file that is complete: its rows, for a joined one's are gone
        if finished.exists() and job.out.exists():
            job.rows = [row | {"status": "skipped"} for row in json.loads(finished.read_text("utf-8"))]
            job.state = "done"
            return
        job.began = time.monotonic()
        written, sample = 0, self.samples.get(job.sample)  # bytes
        batch = Batch(self.engine, job.out, job.base, job.format, cancelled=job.cancelled, sample=sample)
        with closing(batch.steps(job.entries)) as steps:
            for step in steps:
                if isinstance(step, Speech):
                    number = job.entries[len(job.rows)].number
                    job.at = number, step.sentence + step.last, step.sentences
                elif step:
                    job.rows.append(row_of(step))
                    job.at = None
                    with suppress(OSError):
                        written += (batch.folder / step.file).stat().st_size if step.file else 0
                    if written > MOST_RUN:
                        raise BadRequest("batch.too_large", most=MOST_RUN >> 30)
                    joined = (step.start + step.seconds) * MOST_BYTES_A_SECOND if job.ending == "wav" else 0
                    check_room(job.folder, joined)
                yield
        if len(job.rows) == job.total and not job.cancelled():
            if job.out.exists() and not any(row["status"] == "failed" for row in job.rows):
                write_whole(finished, json.dumps(job.rows))
            job.state = "done"


def row_of(result: Result) -> dict[str, Any]:
    """A result as the page's table shows it."""
    return {
        "number": result.entry.number,
        "line": result.entry.line,
        "text": result.entry.text[:120],
        "status": result.status,
        "seconds": round(result.seconds, 2),
        "speed": round(result.speed, 2),
        "unfit": result.unfit,
        "notes": [note.pair for note in ((result.error.message,) if result.error else ()) + result.notices],
    }


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)  # no second copy of gigabytes
    except OSError:
        shutil.copyfile(source, target)


def build(engine: Engine, files: Files, samples: Samples, folder: Path | None = None) -> None:
    """Lays out the tab's contents where the caller is. folder: where batches are made, if not among temporary files."""
    batches = Batches(engine, files, samples, folder)
    batches.work.tidy(set())
    panel(
        '<div class="batch"></div>',
        "batch.js",
        functions=answers(
            batch_read=batches.read,
            batch_start=lambda ask: {"id": batches.start(ask).id},
            batch_look=batches.look,
            batch_stop=batches.stop,
            batch_take=lambda ask: {"address": batches.take(ask["id"], ask["what"])},
        ),
        words=pairs("batch_tab"),
        example=EXAMPLE,
        formats=list(audio.FORMATS),
        limits={"bytes": MOST_BYTES},
        apply_default_css=False,
        elem_id="batch",
    )
