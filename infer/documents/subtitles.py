"""The pieces of a speech -> its subtitles (srt, vtt, lrc), shown as it was written.

    pieces -> words: what is said, where it stands in the text, when -> cues: a sentence or a clause -> a file

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
    """One written character that is said; where it is said otherwise than it is written, all of that.

    begin, stop: [begin, stop) of the text without inline readings. start, end: seconds from the start of the speech.
    sentence: its number, from 0.
    """

    begin: int
    stop: int
    start: float
    end: float
    sentence: int


@dataclass(frozen=True)
class Cue:
    """What is shown from `start` to `end`, in seconds."""

    text: str
    start: float
    end: float


def cues(pieces: Sequence[Speech]) -> list[Cue]:
    """Sentences, cut to at most `MOST` characters: at a pause, else at another mark, else between two words.

    Numbers and foreign words stay whole, however long. The cues are in order, do not overlap, and every word is in
    exactly one; what cannot be read is shown where it stands in a sentence, and sentences of nothing else are not.
    Of a speech that was stopped, there are those that are heard. The pieces may be a project's, card after card; one
    of each sentence is enough.
    """
    return [cue for card in by_card(pieces) for cue in _cues(card)]


def _cues(pieces: Sequence[Speech]) -> list[Cue]:
    marked = parse(pieces[0].request.text, {})
    plain, changed = marked.text, _changed(pieces, marked.places)
    sources = {piece.sentence: piece.utterance.source for piece in pieces}
    total = pieces[-1].start + pieces[-1].duration
    sounding = [replace(word, end=min(word.end, total)) for word in _words(pieces, marked.places, changed)]
    result: list[Cue] = []
    done = 0  # of the plain text
    for sentence, group in groupby((word for word in sounding if word.start < word.end), lambda word: word.sentence):
        words = list(group)
        begin, end = _extent(plain, sources[sentence], done, words)
        for a, b in pairwise([begin, *_ends(plain, begin, end, _borders(plain, begin, end, words, changed))]):
            inside = [word for word in words if a <= word.begin < b]
            result.append(Cue(_clean(plain[a:b]).strip(), inside[0].start, inside[-1].end))
        done = end
    return result


def _words(pieces: Sequence[Speech], places: Sequence[int], changed: Sequence[tuple[int, int]]) -> list[Word]:
    """All that is said, in order. places: where each character of the text without inline readings was given.

    A number's or a foreign word's parts are as fine as they can be told: 3, . and 5 for 3.5, all of it for "Hello".
    """
    words: list[Word] = []
    for sentence, group in groupby(pieces, lambda piece: piece.sentence):
        piece = next(group)
        for char, timed in zip(piece.utterance.chars, piece.characters, strict=True):
            begin = bisect_left(places, char.position)
            if not char.reading:
                continue
            if words and words[-1].begin == begin:  # said for the same character, even if a sentence was cut in between
                words[-1] = replace(words[-1], end=timed.end)
            else:
                words.append(Word(begin, begin + 1, timed.start, timed.end, sentence))
    stops = {i: b for a, b in changed for i in range(a, b)}
    following = [*(word.begin for word in words[1:]), len(places)]
    return [
        replace(word, stop=min(after, stops.get(word.begin, word.stop)))
        for word, after in zip(words, following, strict=True)
    ]


def _changed(pieces: Sequence[Speech], places: Sequence[int]) -> list[tuple[int, int]]:
    """What is said otherwise than it is written: stretches [begin, end) of the text without inline readings."""
    changes = dict.fromkeys(change for piece in pieces for change in piece.utterance.changes)
    begins = [(bisect_left(places, change.position), len(change.text)) for change in changes]
    return [(begin, begin + length) for begin, length in begins]


def _extent(plain: str, source: str, done: int, words: Sequence[Word]) -> tuple[int, int]:
    """Where a sentence stands: its source around its words, behind what is done."""
    first, last = words[0].begin, words[-1].stop
    place = plain.find(source, max(done, first - len(source) + 1), first + len(source)) if source else -1
    return (place, max(place + len(source), last)) if 0 <= place <= first else (first, last)


# --- where cues end --------------------------------------------------------------------------------------------------


def _borders(
    plain: str, begin: int, end: int, words: Sequence[Word], changed: Sequence[tuple[int, int]]
) -> dict[int, int]:
    """Where a new cue may begin, and how good a place it is: 0 behind a pause, 1 a mark, 2 a word, 3 inside one."""
    line = plain[begin:end]
    whole = [*changed, *((begin + m.start(), begin + m.end()) for pattern in _WHOLE for m in pattern.finditer(line))]
    closed = {i for a, b in whole for i in range(max(a, begin) + 1, min(b, end))}
    behind_words = {
        begin + run.start() + i for run in _CHINESE.finditer(line) for i in accumulate(map(len, cut(run[0])))
    }
    borders = {}
    for one, other in pairwise(words):
        border = other.begin
        while border > one.stop and _opens(plain, begin, border - 1):
            border -= 1
        if border in closed:
            continue
        between = plain[one.stop : border]
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


def vtt(pieces: Sequence[Speech]) -> str:
    """WebVTT."""
    blocks = ["WEBVTT\n"]
    for cue in cues(pieces):
        text = cue.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        blocks.append(f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{text}\n")
    return "\n".join(blocks)


def lrc(pieces: Sequence[Speech]) -> str:
    """Lyrics: a time and a line each; an empty one begins a longer pause and the end."""
    lines, shown = [], cues(pieces)
    for cue, following in zip(shown, [*shown[1:], None], strict=True):
        lines.append(f"[{_lyric_clock(cue.start)}]{cue.text}\n")
        if following is None or following.start - cue.end >= LYRIC_GAP:
            lines.append(f"[{_lyric_clock(cue.end)}]\n")
    return "".join(lines)


FORMATS = {"srt": srt, "vtt": vtt, "lrc": lrc}


def format_of(path: Path) -> str:
    """srt, vtt or lrc, by the ending. Raises BadRequest for another."""
    format = path.suffix.lower().lstrip(".")
    if format not in FORMATS:
        raise BadRequest("subtitles.wrong_ending", file=path, formats=[*FORMATS])
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
