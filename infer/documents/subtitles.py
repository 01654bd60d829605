"""The pieces of a speech -> its subtitles (srt, vtt, lrc) and the times of its words, shown as they were written.

    pieces -> words: what is said, where it stands in the given text, when -> cues: a sentence or a clause -> a file

Times are the predicted durations, so they are exact; pauses, and the marks that stand for them, lie outside of cues.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, pairwise
from pathlib import Path

from infer.documents.project import by_card
from infer.files import write_whole
from infer.request import BadRequest, Speech
from text.markup import parse
from text.words import cut

MOST = 22  # characters of a cue, as written: one line on a phone, and read while it is heard
LYRIC_GAP = 0.5  # seconds; lrc lines have no end, so a longer pause gets an empty one

_PAUSE = re.compile(r"[，,；;：:。｡.！!？?…—～~\n]")
_MARK = re.compile(r"\W")
_CHINESE = re.compile(r"[\u3400-\u9fff]+")
_WHOLE = (  # not cut inside, beside what is said otherwise: foreign words and what joins them, dates, 3 with its 个
    re.compile(r"[A-Za-z0-9\u00c0-\u024f](?:[!-~\u00c0-\u024f]*[A-Za-z0-9%\u00c0-\u024f])?"),
    re.compile(r"(?<!\d)\d+(?:\s?[年月日号时点分秒]\s?\d+)+"),
    re.compile(r"\d\s?\w"),
)


@dataclass(frozen=True)
class Word:
    """One written character that is said; of what is said otherwise than it is written, its share of that.

    text: as written, which is the given text's [index, stop) in code points. start, end: seconds from the start of
    the speech. sentence: its number, from 0.
    """

    text: str
    index: int
    stop: int
    start: float
    end: float
    sentence: int


@dataclass(frozen=True)
class Cue:
    """What is shown from `start` to `end`, in seconds. parts: the shown text, cut before each of its words."""

    words: tuple[Word, ...]
    parts: tuple[str, ...]

    @property
    def text(self) -> str:
        return "".join(self.parts)

    @property
    def start(self) -> float:
        return self.words[0].start

    @property
    def end(self) -> float:
        return self.words[-1].end


def words(pieces: Sequence[Speech]) -> list[Word]:
    """All that is said in the sentences that the pieces belong to, in order; one piece of each is enough.

    A number's or a foreign word's parts are as fine as they can be told: 3, . and 5 for 3.5, all of it for "Hello".
    Inline readings (银行[yin2 hang2]) are not said. asdict() of a word is ready for JSON.
    """
    return [placed.word for card in by_card(pieces) for placed in _placed(card)]


def cues(pieces: Sequence[Speech]) -> list[Cue]:
    """Sentences, cut to at most `MOST` characters: at a pause, else at another mark, else between two words.

    Numbers and foreign words stay whole, however long. The cues are in order, do not overlap, and every word is in
    exactly one; what cannot be read is shown where it stands in a sentence, and sentences of nothing else are not.
    Of a speech that was stopped, there are those that are heard. The pieces may be a project's, card after card.
    """
    return [cue for card in by_card(pieces) for cue in _cues(card)]


def _cues(pieces: Sequence[Speech]) -> list[Cue]:
    marked = parse(pieces[0].request.text, {})
    plain, whole = marked.text, _changed(pieces, marked.places)
    sources = {piece.sentence: piece.utterance.source for piece in pieces}
    total = pieces[-1].start + pieces[-1].duration
    heard = [replace(p, word=replace(p.word, end=min(p.word.end, total))) for p in _placed(pieces)]
    heard = [p for p in heard if p.word.start < p.word.end]
    result: list[Cue] = []
    done = 0  # of the plain text
    for sentence, group in groupby(heard, lambda placed: placed.word.sentence):
        placed = list(group)
        begin, end = _extent(plain, sources[sentence], done, placed)
        for a, b in pairwise([begin, *_ends(plain, begin, end, _borders(plain, begin, end, placed, whole))]):
            inside = [p for p in placed if a <= p.begin < b]
            edges = [a, *(p.begin for p in inside[1:]), b]
            parts = [_clean(plain[i:j]) for i, j in pairwise(edges)]
            parts[0], parts[-1] = parts[0].lstrip(), parts[-1].rstrip()
            result.append(Cue(tuple(p.word for p in inside), tuple(parts)))
        done = end
    return result


@dataclass(frozen=True)
class _Placed:
    """A word, and where it stands in the text without inline readings: [begin, end)."""

    word: Word
    begin: int
    end: int


def _placed(pieces: Sequence[Speech]) -> list[_Placed]:
    given = pieces[0].request.text
    places = parse(given, {}).places
    said: list[list] = []  # begin, start, end, sentence
    for _, group in groupby(pieces, lambda piece: piece.sentence):
        piece = next(group)
        for char, timed in zip(piece.utterance.chars, piece.characters, strict=True):
            begin = bisect_left(places, char.position)
            if not char.reading:
                continue
            if said and said[-1][0] == begin:  # said for the same character, even if a sentence was cut in between
                said[-1][2] = timed.end
            else:
                said.append([begin, timed.start, timed.end, piece.sentence])
    stops = {i: b for a, b in _changed(pieces, places) for i in range(a, b)}
    result = []
    for (begin, start, end, sentence), following in zip(said, [*(s[0] for s in said[1:]), len(places)], strict=True):
        stop = min(following, stops.get(begin, begin + 1))
        index, after = places[begin], places[stop - 1] + 1
        result.append(_Placed(Word(given[index:after], index, after, start, end, sentence), begin, stop))
    return result


def _changed(pieces: Sequence[Speech], places: Sequence[int]) -> list[tuple[int, int]]:
    """What is said otherwise than it is written: stretches [begin, end) of the text without inline readings."""
    changes = dict.fromkeys(change for piece in pieces for change in piece.utterance.changes)
    begins = [(bisect_left(places, change.position), len(change.text)) for change in changes]
    return [(begin, begin + length) for begin, length in begins]


def _extent(plain: str, source: str, done: int, placed: Sequence[_Placed]) -> tuple[int, int]:
    """Where a sentence stands: its source around its words, behind what is done."""
    first, last = placed[0].begin, placed[-1].end
    found = plain.find(source, max(done, first - len(source) + 1), first + len(source)) if source else -1
    begin = found if 0 <= found <= first else first
    return begin, max(begin + len(source) if found == begin else last, last)


# --- where cues end --------------------------------------------------------------------------------------------------


def _borders(
    plain: str, begin: int, end: int, placed: Sequence[_Placed], changed: Sequence[tuple[int, int]]
) -> dict[int, int]:
    """Where a new cue may begin, and how good a place it is: 0 behind a pause, 1 a mark, 2 a word, 3 inside one."""
    line = plain[begin:end]
    whole = [*changed, *((begin + m.start(), begin + m.end()) for pattern in _WHOLE for m in pattern.finditer(line))]
    closed = {i for a, b in whole for i in range(max(a, begin) + 1, min(b, end))}
    behind_words = {
        begin + run.start() + i for run in _CHINESE.finditer(line) for i in accumulate(map(len, cut(run[0])))
    }
    borders = {}
    for one, other in pairwise(placed):
        border = other.begin
        while border > one.end and _opens(plain, begin, border - 1):
            border -= 1
        if border in closed:
            continue
        between = plain[one.end : border]
        grades = (_PAUSE.search(between), _MARK.search(between), border in behind_words)
        borders[border] = next((i for i, grade in enumerate(grades) if grade), 3)
    return borders


def _opens(plain: str, begin: int, i: int) -> bool:
    """Whether a mark belongs to what follows it: an opening bracket or quotation mark."""
    if plain[i] == '"':
        return plain.count('"', begin, i) % 2 == 0
    return unicodedata.category(plain[i]) in ("Ps", "Pi")


def _ends(plain: str, begin: int, end: int, borders: Mapping[int, int]) -> list[int]:
    """Ends of the cues of a stretch: cut at the best border, the one nearest to the middle, till all are short."""
    inside = {place: grade for place, grade in borders.items() if begin < place < end}
    if not inside or len(_clean(plain[begin:end]).strip()) <= MOST:
        return [end]
    middle = (begin + end) / 2
    place = min(inside, key=lambda place: (inside[place], abs(place - middle)))
    return [*_ends(plain, begin, place, inside), *_ends(plain, place, end, inside)]


def _clean(text: str) -> str:
    """On one line, and without what no player shows: control characters and halves of surrogate pairs."""
    return "".join(c for c in re.sub(r"\s+", " ", text) if unicodedata.category(c) not in ("Cc", "Cs"))


# --- files -----------------------------------------------------------------------------------------------------------


def srt(pieces: Sequence[Speech]) -> str:
    """SubRip."""
    return "".join(
        f"{i}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{cue.text}\n\n"
        for i, cue in enumerate(cues(pieces), 1)
    )


def vtt(pieces: Sequence[Speech], karaoke: bool = False) -> str:
    """WebVTT; for karaoke, each word has its time."""
    blocks = ["WEBVTT\n"]
    for cue in cues(pieces):
        text, shown = "", _clock(cue.start, ".")
        for word, part in zip(cue.words, cue.parts, strict=True):
            at = _clock(word.start, ".")
            if karaoke and shown < at < _clock(cue.end, "."):  # only later times than the one before are allowed
                text, shown = f"{text}<{at}>", at
            text += part.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        blocks.append(f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{text}\n")
    return "\n".join(blocks)


def lrc(pieces: Sequence[Speech]) -> str:
    """Lyrics: a time and a line each; an empty one begins a longer pause and the end."""
    lines = []
    found = cues(pieces)
    for cue, following in zip(found, [*found[1:], None], strict=True):
        lines.append(f"[{_lyric_clock(cue.start)}]{cue.text}\n")
        if following is None or following.start - cue.end >= LYRIC_GAP:
            lines.append(f"[{_lyric_clock(cue.end)}]\n")
    return "".join(lines)


FORMATS = {"srt": srt, "vtt": vtt, "lrc": lrc}


def format_of(path: Path) -> str:
    """srt, vtt or lrc, by the ending. Raises BadRequest for another."""
    format = path.suffix.lower().lstrip(".")
    if format not in FORMATS:
        raise BadRequest(
            f"{path}: the ending of subtitles must be one of {', '.join(FORMATS)}.",
            f"{path}：字幕的扩展名须为 {'、'.join(FORMATS)} 之一。",
        )
    return format


def write(path: Path, pieces: Sequence[Speech]) -> None:
    """Subtitles in the format of the file's ending, UTF-8. Raises BadRequest, OSError."""
    write_whole(path, FORMATS[format_of(path)](pieces))


def _clock(seconds: float, point: str) -> str:
    rest, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}{point}{milliseconds:03}"


def _lyric_clock(seconds: float) -> str:
    rest, hundredths = divmod(round(seconds * 100), 100)
    return f"{rest // 60:02}:{rest % 60:02}.{hundredths:02}"
