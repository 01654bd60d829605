"""Many texts at once: python -m infer.batch story.txt -o story (a folder), -o story.zip or --join story.wav

    txt, csv, srt, vtt -> items -> run: a sound file for each, one after the other -> a folder, a zip, one sound file

Whatever the end, each item is a file of its own first, with its recipe in it: a run that was stopped goes on where it
was, and only what has changed is made again. Exit codes: those of python -m infer, for the first item that failed.
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
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import chain, groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from infer.documents import audio
from infer.engine.pipeline import Engine
from infer.files import MOST_BYTES, PART, decode, read, whole, within, write_whole
from infer.request import BadRequest, Speech, SpeechError, SpeechRequest, shown
from text.markup import parse

MOST_ITEMS = 10_000
MOST_LINES = 500_000  # of a file, before it is taken apart: a subtitle has four or five
LONGEST = 12 * 3600  # seconds of a joined file at most: a wav of 16 bits and 44,100 Hz ends at 4 GB, 13.5 hours
NAME = 24  # characters of a text in the name of its file
NAME_FROM = 500  # characters that are looked at for it: a long run of accents takes quadratic time to put in order
TOLERANCE = 0.05  # seconds that a line may be longer than its slot, or late: nobody hears it, and mp3 pads as much
REPORT = "report.jsonl"

_OPTIONS = {option.name: option for option in fields(SpeechRequest) if not isinstance(option.default, bytes)}
_FASTEST = _OPTIONS["speed"].metadata["high"]
_TIME = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})(?:[,.](\d{1,3}))?"  # hours may be left out in vtt
_TIMES = re.compile(rf"{_TIME}\s*-->\s*{_TIME}", re.ASCII)
_LONG_NUMBER = re.compile(r"&#(?=[0-9]{9})")
_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"  # as str.splitlines knows them
_TAG = re.compile(r"<(?:/?[A-Za-z]|\d\d:)[^<>]*>|\{\\[^{}]*\}")  # <i>, <00:00:01.000>, {\an8}


@dataclass(frozen=True)
class Item:
    """One thing to say. number: from 1. name: for its file; empty: its text. options: a csv row's cells, by option.

    slot: when it begins and ends in its video, in seconds. fault: why it cannot be said (English, Chinese). notices:
    what the user should know about the whole file, on its first item. line: of its file where it begins, from 1.
    """

    number: int
    text: str
    name: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    slot: tuple[float, float] | None = None
    fault: tuple[str, str] | None = None
    notices: tuple[tuple[str, str], ...] = ()
    line: int = 0

    def request(self, base: SpeechRequest) -> SpeechRequest:
        """`base` with the item's text and options. Raises BadRequest."""
        if self.fault:
            raise BadRequest(*self.fault)
        values: dict[str, Any] = {}
        for name, cell in self.options.items():
            try:
                values[name] = type(_OPTIONS[name].default)(cell)
            except ValueError as error:
                raise BadRequest(
                    f"{name} must be a number, not {shown(cell)}.", f"{name} 必须是数，而不是 {shown(cell)}。"
                ) from error
        return base.but(text=self.text, **values)

    def file(self, total: int, format: str) -> str:
        """Its file's name among `total`: 001-你好.wav. Only letters, digits, - and _, whatever the text holds."""
        said = self.name or parse(self.text[:NAME_FROM], {}).text
        name = re.sub(r"[^\w-]+", "_", unicodedata.normalize("NFC", said[:NAME_FROM]))
        stem = f"{self.number:0{max(3, len(str(total)))}}-{name.strip('_-')[:NAME]}"
        return f"{stem.rstrip('_-')}.{format}"


@dataclass(frozen=True)
class Result:
    """What became of an item. status: made, skipped (its file is there already) or failed, with the error.

    file: its name. seconds: of sound. speed: that it is spoken at. start: seconds, where it lies in the joined sound.
    notices: what the user should know (English, Chinese).
    """

    item: Item
    status: str
    file: str = ""
    seconds: float = 0.0
    speed: float = 1.0
    start: float = 0.0
    error: SpeechError | None = None
    notices: tuple[tuple[str, str], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """A line of the report, ready for JSON."""
        told = {"number": self.item.number, "text": self.item.text, "status": self.status}
        if self.error:
            return told | {"error": str(self.error), "zh": self.error.zh}
        numbers = {name: round(getattr(self, name), 3) for name in ("seconds", "speed", "start")}
        return told | {"file": self.file} | numbers | {"notices": [english for english, _ in self.notices]}


# --- a file -> items -------------------------------------------------------------------------------------------------


def items(file: Path, paragraphs: bool = False) -> list[Item]:
    """What a file asks for; see `items_in`. Raises BadRequest."""
    _reader(file, paragraphs)
    return items_in(file, read(file, MOST_BYTES), paragraphs)


def items_in(file: Path, data: bytes, paragraphs: bool = False) -> list[Item]:
    """What a txt, csv, srt or vtt file of this content asks for. Raises BadRequest if it is at fault as a whole.

    txt: an item for each line that is not empty, or, for `paragraphs`, for each stretch between empty lines. csv: a
    header that names `text` and any options of a request, and `name` for the file; empty cells mean the default.
    srt, vtt: an item for each subtitle, in order of time, with its slot.
    """
    reader = _reader(file, paragraphs)
    text, notices = decode(within(data, file.name, MOST_BYTES))
    if sum(map(text.count, _LINE_ENDS)) > MOST_LINES:
        raise BadRequest(
            f"{file.name} has more than {MOST_LINES} lines; cut it into several files.",
            f"{file.name} 超过 {MOST_LINES} 行；请分成几个文件。",
        )
    found = reader(text)
    if not found:
        raise BadRequest(
            f"There is nothing to say in {file.name}; write a text a line, or a subtitle with its times.",
            f"{file.name} 里没有要说的内容；请每行写一段文字，或写带时间的字幕。",
        )
    if len(found) > MOST_ITEMS:
        raise BadRequest(
            f"{file.name} has more than {MOST_ITEMS} items, which is the limit; cut it into several files.",
            f"{file.name} 超过 {MOST_ITEMS} 条的上限；请分成几个文件。",
        )
    return [replace(found[0], notices=notices), *found[1:]]


def _reader(file: Path, paragraphs: bool) -> Callable[[str], list[Item]]:
    """By the ending. Raises BadRequest."""
    readers = {"txt": _paragraphs if paragraphs else _lines, "csv": _rows, "srt": _subtitles, "vtt": _subtitles}
    reader = readers.get(file.suffix.lower().lstrip("."))
    if reader is None:
        raise BadRequest(
            f"{file.name}: the ending must be one of {', '.join(readers)}.",
            f"{file.name}：扩展名须为 {'、'.join(readers)} 之一。",
        )
    return reader


def _lines(text: str) -> list[Item]:
    """One more than the limit at most, which is enough to refuse the file; so do the others."""
    said = islice(filter(itemgetter(1), _numbered(text)), MOST_ITEMS + 1)
    return [Item(i, said, line=line) for i, (line, said) in enumerate(said, 1)]


def _paragraphs(text: str) -> list[Item]:
    parts = (list(part) for written, part in groupby(_numbered(text), lambda line: bool(line[1])) if written)
    parts = islice(parts, MOST_ITEMS + 1)
    return [Item(i, "\n".join(said for _, said in part), line=part[0][0]) for i, part in enumerate(parts, 1)]


def _numbered(text: str) -> Iterator[tuple[int, str]]:
    return enumerate(map(str.strip, text.splitlines()), 1)


def _rows(text: str) -> list[Item]:
    table = text.lstrip("\r\n")
    delimiter = max(",;\t", key=table.partition("\n")[0].count)  # as spreadsheets of other countries write it, too
    reader = csv.reader(io.StringIO(table, newline=""), delimiter=delimiter)
    before = len(text[: len(text) - len(table)].splitlines())  # empty lines above the header
    try:
        columns, rows = _columns(next(reader, [])), []
        while len(rows) <= MOST_ITEMS:
            line = before + reader.line_num + 1  # before it is read: a cell may have several lines
            if (row := next(reader, None)) is None:
                break
            if any(cell.strip() for cell in row):
                rows.append((line, row))
    except csv.Error as error:
        raise BadRequest(
            f"The table cannot be read ({error}); save it as csv again.", f"读不了表格（{error}）；请重新存成 csv。"
        ) from error
    return [_row(number, line, columns, row) for number, (line, row) in enumerate(rows, 1)]


def _columns(header: Sequence[str]) -> list[str]:
    """The names of a table's columns. Raises BadRequest for one that means nothing, and if none is text."""
    columns = [cell.strip().lower() for cell in header]
    if "text" not in columns:
        raise BadRequest(
            "The first line of a csv file names its columns, and one of them must be text.",
            "csv 的第一行是列名，其中必须有 text 一列。",
        )
    for i, column in enumerate(columns):
        if column not in (*_OPTIONS, "name") or column in columns[:i]:
            raise BadRequest(
                f"The column {shown(column)} is no option, or there twice; the options are {', '.join(_OPTIONS)} and "
                "name.",
                f"列名 {shown(column)} 不是选项，或重复了；可用的有：{'、'.join(_OPTIONS)}、name。",
            )
    return columns


def _row(number: int, line: int, columns: Sequence[str], row: Sequence[str]) -> Item:
    cells = {name: cell.strip() for name, cell in zip(columns, row, strict=False) if cell.strip()}
    text, name = cells.pop("text", ""), cells.pop("name", "")
    fault = None
    if any(cell.strip() for cell in row[len(columns) :]):
        fault = (
            f"The row has {len(row)} cells and there are {len(columns)} columns; put a text with commas in quotes.",
            f"这一行有 {len(row)} 格，而列只有 {len(columns)} 个；含逗号的文字请加引号。",
        )
    return Item(number, text, name, cells, fault=fault, line=line)


def _subtitles(text: str) -> list[Item]:
    """srt and vtt, by hand, since libraries take minutes over a line of open brackets."""
    found: list[tuple[float, float, int, list[str]]] = []
    inside = False  # a subtitle's lines go on to the next empty one
    for number, line in _numbered(text):
        if times := _TIMES.match(line):
            if inside and found[-1][3] and found[-1][3][-1].isdecimal():  # the number of this one: no line was empty
                found[-1][3].pop()
            found.append((_seconds(*times.groups()[:4]), _seconds(*times.groups()[4:]), number, []))
            inside = True
        elif inside and line:
            found[-1][3].append(line)
        else:
            inside = False
    entities = _without_entities if text.startswith("WEBVTT") else str
    lines = [(*at, entities(_TAG.sub("", " ".join(lines)).replace("\\N", " ").strip())) for *at, lines in found]
    backwards = ("The line ends before it begins; correct its times.", "这一行的结束时间不晚于开始时间；请改正。")
    lines = sorted((line for line in lines if line[3]), key=itemgetter(0))
    return [
        Item(i, said, slot=(start, end), fault=None if end > start else backwards, line=number)
        for i, (start, end, number, said) in enumerate(lines, 1)
    ]


def _without_entities(text: str) -> str:
    """&amp; as &, as in html; a number longer than any character's stays as it is, for Python refuses the longest."""
    return html.unescape(_LONG_NUMBER.sub("&amp;#", text))


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str | None) -> float:
    return int(hours or 0) * 3600 + int(minutes) * 60 + float(f"{int(seconds)}.{fraction or 0}")


# --- items -> files --------------------------------------------------------------------------------------------------


def run(
    engine: Engine,
    items: Sequence[Item],
    out: Path,
    base: SpeechRequest | None = None,
    format: str = "wav",
    again: bool = False,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Result]:
    """Says the items, one result each; an item that fails does not stop the others.

    The results of `steps`, where all is told.
    """
    for told in steps(engine, items, out, base, format, again, cancelled):
        if isinstance(told, Result):
            yield told


def steps(
    engine: Engine,
    items: Sequence[Item],
    out: Path,
    base: SpeechRequest | None = None,
    format: str = "wav",
    again: bool = False,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Speech | Result | None]:
    """Says the items: the pieces of each as they are written, without samples, and what became of it.

    Then, where all goes into one file, None for every small part of that work.

    out: a folder; or a .zip; or a sound file (.wav, .mp3 …) in which all are joined: each at its slot's start, or, if
    it has none, behind a pause as between paragraphs. Those two stand when the iterator has ended; till then, and
    after a stop, the items lie in the folder OUT.parts. base: options for all items. format: of the single files.
    again: makes anew what is there already, too. A report lies in the folder and the zip, or beside the joined sound.
    Raises BadRequest, OSError (a full disk, no permission).
    """
    base = base or SpeechRequest("")
    ending = out.suffix.lower().lstrip(".")
    joined, zipped = ending in audio.FORMATS, ending == "zip"
    format = "wav" if joined else format
    folder = out.with_name(f"{out.name}.parts") if joined or zipped else out
    report = out.with_name(f"{out.stem}.{REPORT}") if joined else folder / REPORT
    if format not in audio.FORMATS or (folder.exists() and not folder.is_dir()):
        raise BadRequest(
            f"{folder} is a file, or {format!r} is none of {', '.join(audio.FORMATS)}; name a folder and a format.",
            f"{folder} 是文件，或 {format!r} 不在 {'、'.join(audio.FORMATS)} 之中；请给出文件夹与格式。",
        )
    folder.mkdir(parents=True, exist_ok=True)
    names = {item.number: item.file(len(items), format) for item in items}
    if zipped and out.exists():
        _unpack(out, folder, set(names.values()))
    longest = min(engine.settings.max_joined_hours * 3600, LONGEST)
    results: list[Result] = []
    end = -base.paragraph_pause  # of the sound so far; the first item has no pause before it
    try:
        for item in items:
            if cancelled():
                return
            try:
                if joined and item.slot and item.slot[1] > longest:
                    raise _past(longest)
                result = yield from _said(engine, item, folder / names[item.number], base, again, cancelled)
                if result is None:
                    return
                if joined:
                    result = _placed(result, end, base.paragraph_pause, longest)
                    end = result.start + result.seconds
            except SpeechError as error:
                result = Result(item, "failed", error=error)
            result = replace(result, notices=(*item.notices, *result.notices))
            results.append(result)
            yield result
    finally:
        write_whole(report, report_of(results))
    if joined or zipped:
        yield from _together(results, folder, out, report, cancelled)
        there = [bool(result.file) for result in results]
        if any(there) and not cancelled() and (zipped or all(there)):  # else the parts wait for the items that failed
            _remove(folder, [*names.values(), REPORT])


def _together(
    results: Sequence[Result], folder: Path, out: Path, report: Path, cancelled: Callable[[], bool]
) -> Iterator[None]:
    """One file of all that was made, if anything was. Raises BadRequest, OSError."""
    files = [result for result in results if result.file]
    if not files:
        return
    if out.suffix.lower() == ".zip":
        yield from _pack([*(folder / result.file for result in files), report], out, cancelled)
    else:
        yield from _join(files, folder, out, cancelled)


def report_of(results: Sequence[Result]) -> str:
    """JSON lines: one for each item, and the sums."""
    sums = {status: sum(r.status == status for r in results) for status in ("made", "skipped", "failed")}
    lines = [*(r.as_dict() for r in results), sums | {"seconds": round(sum(r.seconds for r in results), 3)}]
    return "".join(f"{json.dumps(_encodable(line), ensure_ascii=False)}\n" for line in lines)


def _encodable(line: dict[str, Any]) -> dict[str, Any]:
    """Halves of surrogate pairs, which no file can hold, become question marks."""
    return {k: v.encode("utf-8", "replace").decode("utf-8") if isinstance(v, str) else v for k, v in line.items()}


def _said(
    engine: Engine, item: Item, path: Path, base: SpeechRequest, again: bool, cancelled: Callable[[], bool]
) -> Generator[Speech, None, Result | None]:
    """Makes the item's file, unless it is there, and returns what became of it; None when it was cancelled.

    Yields the pieces, without samples, as they are written. Raises SpeechError, OSError.
    """
    request = item.request(base)
    request = engine.load(request.voice).complete(request)
    slot = item.slot[1] - item.slot[0] if item.slot else None
    kept = None if again else _kept(path, request, slot)
    if kept:
        seconds, speed = kept
        return Result(item, "skipped", path.name, seconds, speed, notices=_too_long(seconds, speed, slot))
    try:
        pieces = yield from fitted(engine, request, slot, path, cancelled)
    except RuntimeError as error:  # the device's memory, for one
        reason = str(error).partition("\n")[0]
        raise SpeechError(
            f"It could not be spoken ({reason}); say it in shorter parts.", f"合成失败（{reason}）；请分成更短的几段。"
        ) from error
    if not pieces or cancelled():
        return None
    rate, speed = pieces[0].sampling_rate, pieces[0].request.speed
    seconds = sum(piece.silence for piece in pieces) / rate
    notices = (*pieces[0].notices, *_too_long(seconds, speed, slot))
    return Result(item, "made", path.name, seconds, speed, notices=notices)


def fitted(
    engine: Engine, request: SpeechRequest, slot: float | None, path: Path, cancelled: Callable[[], bool]
) -> Generator[Speech, None, list[Speech]]:
    """Writes a speech as fast as it must be to last at most `slot` seconds, if it can be; never slower.

    Yields the pieces of every try, and returns those of the last, without their samples.
    """
    while True:
        pieces: list[Speech] = []
        fits = partial(_fits, pieces, slot)
        for piece in audio.saving(path, engine.stream(request, cancelled), keep=lambda: fits() and not cancelled()):  # noqa: B023
            pieces.append(piece)
            yield piece
        if not pieces or cancelled() or fits():
            return pieces
        request = request.but(speed=_faster(pieces, slot))


def _fits(pieces: Sequence[Speech], slot: float | None) -> bool:
    """Whether a speech needs no other try."""
    fast = pieces[0].request.speed >= _FASTEST
    return slot is None or fast or sum(piece.duration for piece in pieces) <= slot


def _faster(pieces: Sequence[Speech], slot: float) -> float:
    """The speed at which these pieces will last `slot` seconds."""
    sounding = sum(piece.phones[-1].end - piece.phones[0].start for piece in pieces if piece.last)
    room = slot - (sum(piece.duration for piece in pieces) - sounding)  # pauses stay as long as they are
    speed = pieces[0].request.speed
    needed = speed * sounding / room if room > 0 else _FASTEST
    # Durations are rounded up to frames, so a little more is needed than the quotient says.
    return min(math.ceil(max(needed, speed) * 1.02 * 100) / 100, _FASTEST)


def _kept(path: Path, request: SpeechRequest, slot: float | None) -> tuple[float, float] | None:
    """Seconds and speed of the file that is there, if making it anew would give the same."""
    if not path.exists() or request.emotion_audio:  # a recipe does not tell one sample of sound from another
        return None
    try:
        recipe, seconds = audio.recipe(path), soundfile.info(audio.by_name(path)).duration
    except (soundfile.LibsndfileError, RuntimeError):
        return None
    if recipe is None or recipe.but(speed=request.speed).as_dict() != request.as_dict():
        return None
    fits = slot is None or seconds <= slot + TOLERANCE
    if recipe.speed == request.speed:
        right = fits or recipe.speed == _FASTEST
    else:  # made for a slot: for this one?
        right = slot is not None and recipe.speed > request.speed
        right = right and (seconds >= 0.8 * slot if fits else recipe.speed == _FASTEST)
    return (seconds, recipe.speed) if right else None


def _too_long(seconds: float, speed: float, slot: float | None) -> tuple[tuple[str, str], ...]:
    if slot is None or seconds <= slot + TOLERANCE:
        return ()
    return (
        (
            f"It lasts {seconds:.2f} s at speed {speed:g} and has {slot:.2f} s; shorten it or give it more time.",
            f"以 {speed:g} 倍速说需要 {seconds:.2f} 秒，而只有 {slot:.2f} 秒；请缩短文字或延长时间。",
        ),
    )


def _past(longest: float) -> BadRequest:
    hours = longest / 3600
    return BadRequest(
        f"The joined sound would pass {hours:g} hours, its silence included; cut the file, or raise max_joined_hours "
        f"in config.yml to at most {LONGEST // 3600}.",
        f"合并的声音（含静音）会超过 {hours:g} 小时；请分成几个文件，或在 config.yml 里调高 max_joined_hours"
        f"（最多 {LONGEST // 3600}）。",
    )


def _placed(result: Result, end: float, pause: float, longest: float) -> Result:
    """Where the item lies in the joined sound that lasts till `end`: nobody speaks two lines at once."""
    if result.item.slot is None:
        start = end + pause
    else:
        start = max(result.item.slot[0], end)
        if (late := start - result.item.slot[0]) > TOLERANCE:
            notice = (
                f"It begins {late:.2f} s late, since the line before is still being spoken.",
                f"前一行还没说完，这一行晚了 {late:.2f} 秒。",
            )
            result = replace(result, notices=(*result.notices, notice))
    if start + result.seconds > longest:
        raise _past(longest)
    return replace(result, start=start)


def _join(
    results: Sequence[Result], folder: Path, out: Path, cancelled: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """One sound file of all, in the rate of the first, block by block. Raises BadRequest, OSError."""
    format = audio.format_of(out)
    rate = audio.file_rate(format, soundfile.info(audio.by_name(folder / results[0].file)).samplerate)
    with whole(out, keep=lambda: not cancelled()) as part, audio.Writer(part, rate, format) as file:
        written = 0  # samples
        for result in results:
            silence = max(0, round(result.start * rate) - written)
            for block in chain(audio.silence(silence), _blocks(folder / result.file, rate)):
                if cancelled():
                    return
                file.add(block)
                written += len(block)
                yield


def _blocks(file: Path, rate: int) -> Iterator[np.ndarray]:
    """A sound file's samples, at most audio.BLOCK at once, as 16-bit ones or brought to another rate."""
    with soundfile.SoundFile(audio.by_name(file)) as sound:
        if sound.samplerate == rate:
            yield from sound.blocks(audio.BLOCK, dtype="int16")
            return
        resampler = audio.Resampler(rate, sound.samplerate)
        for pcm in sound.blocks(audio.BLOCK, dtype="int16"):
            yield resampler.add(pcm / 32767)
        yield resampler.end()


def _pack(files: Sequence[Path], out: Path, cancelled: Callable[[], bool]) -> Iterator[None]:
    keep = whole(out, keep=lambda: not cancelled())
    with keep as part, zipfile.ZipFile(part, "w") as archive:  # sound does not get smaller
        for file in files:
            if cancelled():
                return
            archive.write(file, file.name)
            yield


def _unpack(out: Path, folder: Path, names: set[str]) -> None:
    """Brings the items of an earlier zip back, those that are wanted. Raises BadRequest if `out` is something else.

    What is packed was not put there by us, and could unpack to anything.
    """
    try:
        with zipfile.ZipFile(out) as archive:
            for entry in archive.infolist():
                place = folder / entry.filename
                if entry.filename in names and entry.compress_type == zipfile.ZIP_STORED and not place.exists():
                    with archive.open(entry) as kept, whole(place) as part, part.open("wb") as file:
                        shutil.copyfileobj(kept, file)
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError) as error:
        raise BadRequest(
            f"{out.name} is there already and no zip file of sounds ({error}); name another or remove it.",
            f"{out.name} 已存在，但不是声音的 zip 文件（{error}）；请换个名字或删除它。",
        ) from error


def _remove(folder: Path, names: Sequence[str]) -> None:
    """Removes our files, and the folder if nothing else is in it."""
    for file in (*(folder / name for name in names), *folder.glob(f".*{PART}")):  # the parts: of a run that was killed
        file.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()
