"""Many texts at once: a file of them becomes a folder or a zip of sound files, or one sound.

    txt, csv, srt, vtt -> entries -> Batch: a sound file each, one after the other -> a folder, a zip, one sound

Whatever the end, each entry is a file of its own first, with its recipe in it: a run that was stopped goes on where it
was, and only what has changed is made again.
"""

import csv
import html
import io
import json
import math
import re
import shutil
import unicodedata
import zipfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from infer.documents import audio
from infer.engine.pipeline import Engine
from infer.files import MOST_BYTES, PART, decode, read, whole, within, write_whole
from infer.request import OPTIONS, BadRequest, Speech, SpeechError, SpeechRequest, shown
from text.markup import parse
from words import Message, message

MOST_ENTRIES = 10_000
MOST_LINES = 500_000  # of a file, before it is taken apart: a subtitle has four or five
LONGEST = 12 * 3600  # seconds of a joined file at most: a wav of 16 bits and 44,100 Hz ends at 4 GB, 13.5 hours
NAME = 24  # characters of a text in the name of its file
NAME_FROM = 500  # characters that are looked at for it: a long run of accents takes quadratic time to put in order
TOLERANCE = 0.05  # seconds that a line may be longer than its slot, or late: nobody hears it, and mp3 pads as much
REPORT = "report.jsonl"

KINDS: dict[str, Any] = {"text": str} | {option.name: option.type for option in OPTIONS if option.type is not bytes}
_FASTEST: float = next(option.metadata["high"] for option in OPTIONS if option.name == "speed")
_TIME = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})(?:[,.](\d{1,3}))?"  # hours may be left out in vtt
_TIMES = re.compile(rf"{_TIME}\s*-->\s*{_TIME}", re.ASCII)
_LONG_NUMBER = re.compile(r"&#(?=[0-9]{9})")
_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"  # as str.splitlines knows them
_TAG = re.compile(r"<(?:/?[A-Za-z]|\d\d:)[^<>]*>|\{\\[^{}]*\}")  # <i>, <00:00:01.000>, {\an8}


@dataclass(frozen=True)
class Entry:
    """One thing to say. number: from 1. name: for its file; empty: its text. options: a csv row's cells, by option.

    slot: when it begins and ends in its video, in seconds. fault: why it cannot be said. notices: what the user should
    know about the whole file, on its first entry. line: of its file where it begins, from 1.
    """

    number: int
    text: str
    name: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    slot: tuple[float, float] | None = None
    fault: Message | None = None
    notices: tuple[Message, ...] = ()
    line: int = 0

    @property
    def room(self) -> float | None:
        """Seconds of its slot."""
        return self.slot[1] - self.slot[0] if self.slot else None

    def request(self, base: SpeechRequest) -> SpeechRequest:
        """`base` with the entry's text and options. Raises BadRequest."""
        if self.fault:
            raise BadRequest.of(self.fault)
        values: dict[str, Any] = {}
        for name, cell in self.options.items():
            try:
                values[name] = KINDS[name](cell)
            except ValueError as error:
                raise BadRequest("batch.no_number", name=name, value=shown(cell)) from error
        return base.but(text=self.text, **values)

    def file(self, total: int, format: str) -> str:
        """Its file's name among `total`: 001-你好.wav. Only letters, digits, - and _, whatever the text holds."""
        text = self.name or parse(self.text[:NAME_FROM], {}).text
        name = re.sub(r"[^\w-]+", "_", unicodedata.normalize("NFC", text[:NAME_FROM]))
        stem = f"{self.number:0{max(3, len(str(total)))}}-{name.strip('_-')[:NAME]}"
        return f"{stem.rstrip('_-')}.{format}"


@dataclass(frozen=True)
class Result:
    """What became of an entry. status: made, skipped (its file is there already) or failed, with the error.

    file: its name. seconds: of sound. speed: that it is spoken at. start: seconds, where it lies in the joined sound.
    notices: what the user should know.
    """

    entry: Entry
    status: str
    file: str = ""
    seconds: float = 0.0
    speed: float = 1.0
    start: float = 0.0
    error: SpeechError | None = None
    notices: tuple[Message, ...] = ()

    @property
    def unfit(self) -> bool:
        """Whether it lasts longer than its slot."""
        room = self.entry.room
        return room is not None and not self.error and self.seconds > room + TOLERANCE

    def as_dict(self) -> dict[str, Any]:
        """A line of the report, ready for JSON."""
        line: dict[str, Any] = {"number": self.entry.number, "text": self.entry.text, "status": self.status}
        if self.error:
            return line | {"error": str(self.error), "zh": self.error.message.say("zh")}
        numbers = {name: round(getattr(self, name), 3) for name in ("seconds", "speed", "start")}
        return line | {"file": self.file} | numbers | {"notices": [str(notice) for notice in self.notices]}


# --- a file -> entries -----------------------------------------------------------------------------------------------


def read_entries(file: Path, paragraphs: bool = False, data: bytes | None = None) -> list[Entry]:
    """What a txt, csv, srt or vtt file asks for. Raises BadRequest if it is at fault as a whole.

    txt: an entry for each line that is not empty, or, for `paragraphs`, for each stretch between empty lines. csv: a
    header that names `text` and any options of a request, and `name` for the file; empty cells mean the default.
    srt, vtt: an entry for each subtitle, in order of time, with its slot. data: what the file holds, where it is not
    to be read: a file from a page.
    """
    text_reader = partial(_lines, paragraphs=paragraphs)
    readers: dict[str, Callable[[str], list[Entry]]]
    readers = {"txt": text_reader, "csv": _rows, "srt": _subtitles, "vtt": _subtitles}
    reader = readers.get(file.suffix.lower().lstrip("."))
    if reader is None:
        raise BadRequest("batch.wrong_ending", file=file.name, endings=[*readers])
    text, notices = decode(read(file, MOST_BYTES) if data is None else within(data, file.name, MOST_BYTES))
    if sum(map(text.count, _LINE_ENDS)) > MOST_LINES:
        raise BadRequest("batch.too_many_lines", file=file.name, most=MOST_LINES)
    entries = reader(text)
    if not entries:
        raise BadRequest("batch.nothing", file=file.name)
    if len(entries) > MOST_ENTRIES:
        raise BadRequest("batch.too_many", file=file.name, most=MOST_ENTRIES)
    return [replace(entries[0], notices=notices), *entries[1:]]


def _lines(text: str, paragraphs: bool = False) -> list[Entry]:
    """One more than the limit at most, which is enough to refuse the file; so do the others."""
    stretches = (list(lines) for filled, lines in groupby(_numbered(text), lambda line: bool(line[1])) if filled)
    parts = stretches if paragraphs else ([line] for lines in stretches for line in lines)
    some = islice(parts, MOST_ENTRIES + 1)
    return [Entry(i, "\n".join(line for _, line in part), line=part[0][0]) for i, part in enumerate(some, 1)]


def _numbered(text: str) -> Iterator[tuple[int, str]]:
    return enumerate(map(str.strip, text.splitlines()), 1)


def _rows(text: str) -> list[Entry]:
    table = text.lstrip("\r\n")
    delimiter = max(",;\t", key=table.partition("\n")[0].count)  # as spreadsheets of other countries write it, too
    reader = csv.reader(io.StringIO(table, newline=""), delimiter=delimiter)
    before = len(text[: len(text) - len(table)].splitlines())  # empty lines above the header
    entries: list[Entry] = []
    try:
        columns = _columns(next(reader, []))
        line = before + reader.line_num + 1  # where the next row begins: a cell may have several lines
        for row in reader:
            if any(cell.strip() for cell in row):
                entries.append(_entry(len(entries) + 1, line, columns, row))
            if len(entries) > MOST_ENTRIES:
                break
            line = before + reader.line_num + 1
    except csv.Error as error:
        raise BadRequest("batch.no_table", reason=str(error)) from error
    return entries


def _columns(header: Sequence[str]) -> list[str]:
    """The names of a table's columns. Raises BadRequest for one that means nothing, and if none is text."""
    columns = [cell.strip().lower() for cell in header]
    if "text" not in columns:
        raise BadRequest("batch.no_text_column")
    for i, column in enumerate(columns):
        if column not in (*KINDS, "name") or column in columns[:i]:
            raise BadRequest("batch.wrong_column", column=shown(column), options=[*KINDS])
    return columns


def _entry(number: int, line: int, columns: Sequence[str], row: Sequence[str]) -> Entry:
    cells = {name: cell.strip() for name, cell in zip(columns, row, strict=False) if cell.strip()}
    text, name = cells.pop("text", ""), cells.pop("name", "")
    fault = None
    if any(cell.strip() for cell in row[len(columns) :]):
        fault = message("batch.too_many_cells", cells=len(row), columns=len(columns))
    return Entry(number, text, name, cells, fault=fault, line=line)


def _subtitles(text: str) -> list[Entry]:
    """srt and vtt, by hand, since libraries take minutes over a line of open brackets."""
    cues: list[tuple[tuple[float, float], int, list[str]]] = []  # slot, line of the file, lines of text
    inside = False  # a subtitle's lines go on to the next empty one
    for number, line in _numbered(text):
        if times := _TIMES.match(line):
            if inside and cues[-1][2] and cues[-1][2][-1].isdecimal():  # the number of this one: no line was empty
                cues[-1][2].pop()
            cues.append(((_seconds(*times.groups()[:4]), _seconds(*times.groups()[4:])), number, []))
            inside = True
        elif inside and line:
            cues[-1][2].append(line)
        else:
            inside = False
    unescape = _without_entities if text.startswith("WEBVTT") else str
    texts = [unescape(_TAG.sub("", " ".join(lines)).replace("\\N", " ").strip()) for _, _, lines in cues]
    backwards = message("batch.backwards")
    filled = sorted(((*cue, text) for cue, text in zip(cues, texts, strict=True) if text), key=lambda cue: cue[0][0])
    return [
        Entry(i, text, slot=slot, fault=None if slot[1] > slot[0] else backwards, line=line)
        for i, (slot, line, _, text) in enumerate(filled, 1)
    ]


def _without_entities(text: str) -> str:
    """&amp; as &, as in html; a number longer than any character's stays as it is, for Python refuses the longest."""
    return html.unescape(_LONG_NUMBER.sub("&amp;#", text))


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str | None) -> float:
    return int(hours or 0) * 3600 + int(minutes) * 60 + float(f"{int(seconds)}.{fraction or 0}")


# --- entries -> files ------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Batch:
    """How entries are spoken, and where to.

    out: a folder; or a .zip; or a sound file (.wav, .mp3 …) in which all are joined: each at its slot's start, or, if
    it has none, behind a pause as between paragraphs. Those two stand when all is done; till then, and after a stop,
    the entries lie in the folder OUT.parts. A report lies in the folder and the zip, or beside the joined sound. base:
    options for all entries. format: of the single files. again: makes anew what is there already, too. sample: the
    sound whose emotion is taken; unlike base.emotion_audio it is the same at each run, so that files that were made
    with it stay.
    """

    engine: Engine
    out: Path
    base: SpeechRequest = field(default_factory=lambda: SpeechRequest(""))
    format: str = "wav"
    again: bool = False
    cancelled: Callable[[], bool] = lambda: False
    sample: bytes = b""

    def __post_init__(self) -> None:
        ending = self.out.suffix.lower().lstrip(".")
        self.joined, self.zipped = ending in audio.FORMATS, ending == "zip"
        if self.joined:
            self.format = "wav"
        # Where the entries' own files lie.
        self.folder = self.out.with_name(f"{self.out.name}.parts") if self.joined or self.zipped else self.out
        self.report = self.out.with_name(f"{self.out.stem}.{REPORT}") if self.joined else self.folder / REPORT

    def steps(self, entries: Sequence[Entry]) -> Generator[Speech | Result | None, None, None]:
        """Speaks the entries: the pieces of each as they are written, without samples, and what became of it.

        An entry that fails does not stop the others. Then, where all goes into one file, None for every small part of
        that work. Raises BadRequest, OSError (a full disk, no permission).
        """
        if self.format not in audio.FORMATS or (self.folder.exists() and not self.folder.is_dir()):
            formats = [*audio.FORMATS]
            raise BadRequest("batch.wrong_place", folder=self.folder.name, format=self.format, formats=formats)
        self.folder.mkdir(parents=True, exist_ok=True)
        names = {entry.number: entry.file(len(entries), self.format) for entry in entries}
        if self.zipped and self.out.exists():
            self._unpack(set(names.values()))
        results: list[Result] = []
        end = -self.base.paragraph_pause  # of the sound so far; the first entry has no pause before it
        try:
            for entry in entries:
                try:
                    result = yield from self._speak(entry, self.folder / names[entry.number], end)
                except SpeechError as error:
                    result = Result(entry, "failed", error=error)
                if result is None:
                    return
                if result.file:
                    end = result.start + result.seconds
                result = replace(result, notices=(*entry.notices, *result.notices))
                results.append(result)
                yield result
        finally:
            write_whole(self.report, report_of(results))
        files = [result for result in results if result.file]
        if files and (self.joined or self.zipped):
            yield from self._join(files) if self.joined else self._pack(files)
            if not self.cancelled() and (self.zipped or len(files) == len(results)):
                _remove(self.folder, [*names.values(), REPORT])  # else the parts wait for the entries that failed

    def _speak(self, entry: Entry, path: Path, end: float) -> Generator[Speech, None, Result | None]:
        """Makes the entry's file, unless it is there, and returns what became of it; None when it was cancelled.

        end: seconds of the joined sound so far. Yields the pieces, without samples, as they are written. Raises
        SpeechError, OSError.
        """
        if self.cancelled():
            return None
        if self.joined and entry.slot:
            self._check_length(entry.slot[1])
        request = entry.request(self.base)
        request = self.engine.load(request.voice).complete(request)
        if earlier := None if self.again else _earlier(path, request, entry.room):
            result = Result(entry, "skipped", path.name, *earlier)
        else:
            try:
                pieces = yield from fitted(self._pieces, request, entry.room, path, self.cancelled)
            except RuntimeError as error:  # the device's memory, for one
                raise SpeechError("batch.not_spoken", reason=str(error).partition("\n")[0]) from error
            if not pieces or self.cancelled():
                return None
            seconds = sum(piece.silence for piece in pieces) / pieces[0].sampling_rate
            result = Result(entry, "made", path.name, seconds, pieces[0].request.speed, notices=pieces[0].notices)
        if result.unfit:
            notice = message("batch.unfit", speed=result.speed, seconds=result.seconds, slot=entry.room)
            result = replace(result, notices=(*result.notices, notice))
        return self._placed(result, end) if self.joined else result

    def _pieces(self, request: SpeechRequest) -> Iterator[Speech]:
        line = request.but(emotion_audio=self.sample or request.emotion_audio)
        return self.engine.speak([line], self.cancelled)

    def _check_length(self, seconds: float) -> None:
        """Raises BadRequest for a joined sound that would last so long, if it is too long."""
        longest = min(self.engine.settings.max_joined_hours * 3600, LONGEST)
        if seconds > longest:
            raise BadRequest("batch.too_long", hours=longest / 3600, most=LONGEST // 3600)

    def _placed(self, result: Result, end: float) -> Result:
        """Where the entry lies in the joined sound that lasts till `end`: nobody speaks two lines at once."""
        begin = result.entry.slot[0] if result.entry.slot else end + self.base.paragraph_pause
        start = max(begin, end)
        self._check_length(start + result.seconds)
        late = (message("batch.late", seconds=start - begin),) if start - begin > TOLERANCE else ()
        return replace(result, start=start, notices=(*result.notices, *late))

    def _join(self, results: Sequence[Result]) -> Iterator[None]:
        """One sound file of all, in the rate of the first, block by block. Raises BadRequest, OSError."""
        format = audio.format_of(self.out)
        rate = audio.file_rate(format, soundfile.info(audio.by_name(self.folder / results[0].file)).samplerate)
        with self._whole() as part, audio.Writer(part, rate, format) as file:
            written = 0  # samples
            for result in results:
                silence = max(0, round(result.start * rate) - written)
                for block in chain(audio.silence(silence), _blocks(self.folder / result.file, rate)):
                    if self.cancelled():
                        return
                    file.add(block)
                    written += len(block)
                    yield

    def _pack(self, results: Sequence[Result]) -> Iterator[None]:
        with self._whole() as part, zipfile.ZipFile(part, "w") as archive:  # sound does not get smaller
            for file in (*(self.folder / result.file for result in results), self.report):
                if self.cancelled():
                    return
                archive.write(file, file.name)
                yield

    def _whole(self) -> AbstractContextManager[Path]:
        return whole(self.out, keep=lambda: not self.cancelled())

    def _unpack(self, names: set[str]) -> None:
        """Brings the entries of an earlier zip back, those that are wanted. Raises BadRequest for another file.

        What is packed was not put there by us, and could unpack to anything.
        """
        try:
            with zipfile.ZipFile(self.out) as archive:
                for packed in archive.infolist():
                    place = self.folder / packed.filename
                    if packed.filename in names and packed.compress_type == zipfile.ZIP_STORED and not place.exists():
                        with archive.open(packed) as source, whole(place) as part, part.open("wb") as file:
                            shutil.copyfileobj(source, file)
        except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError) as error:
            raise BadRequest("batch.no_zip", file=self.out.name, reason=str(error)) from error


def fitted(
    speak: Callable[[SpeechRequest], Iterator[Speech]],
    request: SpeechRequest,
    room: float | None,
    path: Path,
    cancelled: Callable[[], bool],
) -> Generator[Speech, None, list[Speech]]:
    """Writes a speech as fast as it must be to last at most `room` seconds, if it can be; never slower.

    Yields the pieces of every try, and returns those of the last, without their samples.
    """
    while True:
        pieces: list[Speech] = []
        fits = partial(_fits, pieces, room)
        for piece in audio.saving(path, speak(request), keep=lambda: fits() and not cancelled()):  # noqa: B023
            pieces.append(piece)
            yield piece
        if not pieces or cancelled() or room is None or fits():
            return pieces
        request = request.but(speed=_faster(pieces, room))


def _fits(pieces: Sequence[Speech], room: float | None) -> bool:
    """Whether a speech needs no other try."""
    fast = pieces[0].request.speed >= _FASTEST
    return room is None or fast or sum(piece.duration for piece in pieces) <= room


def _faster(pieces: Sequence[Speech], room: float) -> float:
    """The speed at which these pieces will last `room` seconds."""
    sounding = sum(piece.phones[-1].end - piece.phones[0].start for piece in pieces if piece.last)
    left = room - (sum(piece.duration for piece in pieces) - sounding)  # pauses stay as long as they are
    speed = pieces[0].request.speed
    needed = speed * sounding / left if left > 0 else _FASTEST
    # Durations are rounded up to frames, so a little more is needed than the quotient says.
    return min(math.ceil(max(needed, speed) * 1.02 * 100) / 100, _FASTEST)


def _earlier(path: Path, request: SpeechRequest, room: float | None) -> tuple[float, float] | None:
    """Seconds and speed of the file that is there, if making it anew would give the same."""
    if not path.exists() or request.emotion_audio:  # a recipe does not tell one sample of sound from another
        return None
    try:
        recipe, seconds = audio.recipe(path), soundfile.info(audio.by_name(path)).duration
    except (soundfile.LibsndfileError, RuntimeError):
        return None
    if recipe is None or recipe.but(speed=request.speed).as_dict() != request.as_dict():
        return None
    fits, fastest = room is None or seconds <= room + TOLERANCE, recipe.speed == _FASTEST
    if recipe.speed == request.speed:
        right = fits or fastest
    elif room is None or recipe.speed < request.speed:
        right = False
    else:  # made for a slot: for this one?
        right = seconds >= 0.8 * room if fits else fastest
    return (seconds, recipe.speed) if right else None


def report_of(results: Sequence[Result]) -> bytes:
    """JSON lines: one for each entry, and the sums. Halves of surrogate pairs, which no file can hold, become ?."""
    sums = {status: sum(r.status == status for r in results) for status in ("made", "skipped", "failed")}
    lines = [*(r.as_dict() for r in results), sums | {"seconds": round(sum(r.seconds for r in results), 3)}]
    return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines).encode("utf-8", "replace")


def _blocks(file: Path, rate: int) -> Iterator[np.ndarray]:
    """A sound file's samples, at most audio.BLOCK at once, as 16-bit ones or brought to another rate."""
    with soundfile.SoundFile(audio.by_name(file)) as sound:
        if sound.samplerate == rate:
            yield from sound.blocks(audio.BLOCK, dtype="int16")
            return
        resampler = soxr.ResampleStream(sound.samplerate, rate, 1, dtype="float32")
        for pcm in sound.blocks(audio.BLOCK, dtype="int16"):
            yield resampler.resample_chunk((pcm / 32767).astype(np.float32))
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def _remove(folder: Path, names: Sequence[str]) -> None:
    """Removes our files, and the folder if nothing else is in it."""
    for file in (*(folder / name for name in names), *folder.glob(f".*{PART}")):  # the parts: of a run that was killed
        file.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()
