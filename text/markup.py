"""What the user says about readings: inline (银行[yin2 hang2], 重[chong2]庆) and in a glossary (term -> pinyin)."""

import functools
import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from text.normalize import IDEOGRAPHS, Override, Skipped
from text.phones import ReadingError, spelling, split_reading, syllable_phones
from words import Fault

LONGEST_TERM = 100  # characters of a glossary's term
LONGEST_SYLLABLE = 12  # characters of one syllable in any spelling, zhuang2 and zhuāng being the longest
MOST_TERMS = 50_000
MOST_BYTES = 4_000_000  # of a glossary's file, which every request reads

_BRACKET = re.compile(r"[\[［]([^\[\]［］]{1,200})[\]］]")
_BETWEEN = re.compile(r"[\s'’·,，-]+|(?<=\d)(?=[^\W\d])")
# Of what stands before a bracket, read from its end: a search from the front would try every beginning.
_CHINESE_TAIL = re.compile(f"[{IDEOGRAPHS}]*")
_WORD_TAIL = re.compile(r"(?:[.'’+#_-]*[A-Za-zÀ-ɏ0-9])*")
_CHINESE = re.compile(f"[{IDEOGRAPHS}]+")
_ENTRY_END = re.compile(r"[\n\r;；]")
_AFTER_TERM = re.compile(r"\s*[=＝]\s*|\s+")
_MARKED = re.compile("[āáǎàēéěèīíǐìōóǒòūúǔùǖǘǚǜńňǹ\u0304\u0301\u030c\u0300]")


class GlossaryError(Fault, ValueError):
    """A glossary line that cannot be used; the message names it and the remedy."""


class Glossary(Mapping[str, tuple[str, ...]]):
    """Terms and their syllables with tone. It never changes, so that it can be kept and shared."""

    def __init__(self, readings: Mapping[str, tuple[str, ...]]) -> None:
        self._readings = dict(readings)

    def __getitem__(self, term: str) -> tuple[str, ...]:
        return self._readings[term]

    def __iter__(self) -> Iterator[str]:
        return iter(self._readings)

    def __len__(self) -> int:
        return len(self._readings)

    def __or__(self, other: "Glossary") -> "Glossary":
        """Both; of a term in both, the other's readings."""
        return Glossary({**self, **other}) if other else self

    @functools.cached_property
    def digest(self) -> bytes:
        """The same for equal glossaries; reckoned once."""
        return hashlib.sha256(repr(sorted(self._readings.items())).encode("utf-8", "surrogatepass")).digest()

    @functools.cached_property
    def _folded(self) -> dict[str, tuple[str, ...]]:
        return {_folded(term): readings for term, readings in self._readings.items()}

    @functools.cached_property
    def _lengths(self) -> dict[str, list[int]]:
        """First character -> lengths of the terms that begin with it, the longest first."""
        lengths: dict[str, set[int]] = {}
        for term in self._folded:
            lengths.setdefault(term[:1], set()).add(len(term))
        return {first: sorted(own, reverse=True) for first, own in lengths.items()}

    def found_in(self, text: str, taken: Sequence[Override] = ()) -> Iterator[Override]:
        """Where its terms stand in a text, from left to right, the longest first, and not in what is `taken`.

        A dictionary is asked once for each length that a term with this first character has, so the time grows with
        the text alone. Case does not matter; a term in Latin letters does not match inside a longer word.
        """
        folded, starts, place = _folded(text), [override.start for override in taken], 0
        while place < len(text):
            i = bisect_right(starts, place)
            begin = max(place, taken[i - 1].end if i else 0)
            room = (starts[i] if i < len(starts) else len(text)) - place
            for length in self._lengths.get(folded[place], ()) if begin == place else ():
                end = place + length
                if length <= room and (readings := self._folded.get(folded[place:end])) and _is_whole(text, place, end):
                    yield Override(place, end, readings, "glossary")
                    begin = end
                    break
            place = max(begin, place + 1)


@dataclass(frozen=True)
class Marked:
    """text: without the inline readings; places: for each of its characters the index in the given text.

    overrides: where a reading is settled, in the coordinates of `text`; skipped: readings that fit nothing, in the
    coordinates of the given text.
    """

    text: str
    places: tuple[int, ...]
    overrides: tuple[Override, ...]
    skipped: tuple[Skipped, ...]


def parse_reading(pinyin: str) -> str:
    """ "háng", "hang2", "lü4", "lu:4", "de0" -> "hang2", "lv4", "de5". Raises ReadingError for anything else."""
    pinyin = pinyin.strip().lower()
    if len(pinyin) > LONGEST_SYLLABLE:
        raise ReadingError("text.long_syllable", pinyin=pinyin[:LONGEST_SYLLABLE])
    if _MARKED.search(pinyin):
        from pypinyin.contrib.tone_convert import to_tone3

        pinyin = to_tone3(pinyin, neutral_tone_with_five=True)
    pinyin = spelling(pinyin)
    if pinyin[-1:] == "0":
        pinyin = pinyin[:-1] + "5"
    syllable, tone = split_reading(pinyin if pinyin[-1:].isdigit() else pinyin + "5")
    syllable_phones(syllable)
    return f"{syllable}{tone}"


def parse_readings(pinyin: str) -> tuple[str, ...]:
    """Syllables with tone digits or marks, with or without blanks between: "yin2 hang2", "yín háng", "yin2hang2".

    Raises ReadingError if one of them is no reading, or if there is no tone at all.
    """
    readings = tuple(parse_reading(part) for part in _BETWEEN.split(pinyin.strip()) if part)
    if not readings or not (re.search("[0-5]", pinyin) or _MARKED.search(pinyin.lower())):
        raise ReadingError("text.no_tones", pinyin=pinyin[:LONGEST_TERM])
    return readings


def parse_entry(entry: str) -> tuple[str, tuple[str, ...]] | None:
    """A term and its readings from one line of a glossary; None for an empty one and a note. Raises GlossaryError."""
    entry = entry.strip()
    if not entry or entry.startswith("#"):
        return None
    quoted = entry if len(entry) <= LONGEST_TERM else f"{entry[:LONGEST_TERM]}…"
    term, _, pinyin = (part.strip() for part in _AFTER_TERM.sub("\t", entry, count=1).partition("\t"))
    if len(entry) > LONGEST_TERM * LONGEST_SYLLABLE or not 0 < len(term) <= LONGEST_TERM:
        raise GlossaryError("glossary.term", entry=quoted, limit=LONGEST_TERM)
    try:
        readings = parse_readings(pinyin)
    except ReadingError as error:
        raise GlossaryError("glossary.pinyin", entry=quoted, cause=error) from None
    if _CHINESE.fullmatch(term) and len(readings) != len(term):
        raise GlossaryError("glossary.syllables", entry=quoted, characters=len(term), syllables=len(readings))
    return term, readings


def parse_glossary(lines: str) -> Glossary:
    """A glossary's text: one term a line (or between semicolons), then its pinyin: 重庆 chong2 qing4.

    An equals sign may stand between the two. Empty lines and those that begin with # are passed over.
    Raises GlossaryError.
    """
    glossary: dict[str, tuple[str, ...]] = {}
    for line in _ENTRY_END.split(lines.removeprefix("\ufeff")):
        if entry := parse_entry(line):
            glossary[entry[0]] = entry[1]
        if len(glossary) > MOST_TERMS:
            raise GlossaryError("glossary.terms", limit=MOST_TERMS)
    return Glossary(glossary)


def read_glossary(file: Path) -> Glossary:
    """A glossary's file; without one it is empty. Raises GlossaryError, UnicodeDecodeError, OSError."""
    return _parsed(glossary_lines(file))


_parsed = functools.lru_cache(maxsize=4)(parse_glossary)  # by what it holds: every request brings the same again


def glossary_lines(file: Path) -> str:
    """What a glossary's file holds, in UTF-8; "" where there is none. Raises as read_glossary."""
    if not file.is_file():
        return ""
    with file.open("rb") as opened:
        data = opened.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise GlossaryError("glossary.size", megabytes=MOST_BYTES // 1_000_000)
    return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")


def parse(text: str, glossary: Mapping[str, tuple[str, ...]]) -> Marked:
    """Takes the inline readings out of a text and finds the glossary's terms in the rest. Never raises.

    A bracket counts if it holds pinyin with a tone, as many syllables as it settles characters before it; behind a
    Latin word it settles the whole word. Other brackets are left alone.
    """
    places: list[int] = []
    overrides: list[Override] = []
    skipped: list[Skipped] = []
    done = 0
    for match in _BRACKET.finditer(text):
        try:
            readings = parse_readings(match[1])
        except ReadingError:
            continue
        before = text[done : match.start()]
        tails = (pattern.match(before[::-1]) for pattern in (_CHINESE_TAIL, _WORD_TAIL))
        chinese, word = (tail.end() if tail else 0 for tail in tails)
        settled = len(readings) if chinese >= len(readings) else word
        if not settled:
            skipped.append(Skipped(match[0], match.start(), "it has more syllables than characters before it"))
        places += range(done, match.start())
        done = match.end()
        if settled:
            overrides.append(Override(len(places) - settled, len(places), readings, "user"))
    places += range(done, len(text))
    plain = "".join(text[place] for place in places)
    if glossary:
        terms = glossary if isinstance(glossary, Glossary) else Glossary(glossary)
        overrides = sorted((*overrides, *terms.found_in(plain, overrides)), key=lambda override: override.start)
    return Marked(plain, tuple(places), tuple(overrides), tuple(skipped))


def with_reading(text: str, position: int, reading: str) -> str:
    """`text` with an inline reading for the Chinese character at `position`: 长大 -> 长[zhang3]大.

    An inline reading that covers the character keeps what it says of its other characters. An empty `reading` takes
    the character's away. Raises ReadingError for no reading, or a place without a Chinese character.
    """
    if not (0 <= position < len(text) and _CHINESE.fullmatch(text[position])):
        raise ReadingError("text.not_chinese")
    pinyin = parse_readings(reading)[0] if reading.strip() else ""
    marked = parse(text, {})
    settled = {  # given index -> reading, of the characters that have one already
        marked.places[override.start + i]: syllable
        for override in marked.overrides
        if len(override.readings) == override.end - override.start
        for i, syllable in enumerate(override.readings)
    }
    if position not in settled:
        return f"{text[: position + 1]}[{pinyin}]{text[position + 1 :]}" if pinyin else text
    begin = end = position
    while begin - 1 in settled:
        begin -= 1
    while end in settled:
        end += 1
    bracket = _BRACKET.match(text, end)
    close = bracket.end() if bracket else end
    readings = {i: settled[i] for i in range(begin, end)} | {position: pinyin}
    apart = (text[i] + (f"[{own}]" if own else "") for i, own in readings.items())
    return text[:begin] + "".join(apart) + text[close:]


def _folded(text: str) -> str:
    """The same character for small and capital ones, one for one."""
    return "".join(next((c for c in (char.casefold(), char.lower()) if len(c) == 1), char) for char in text)


def _is_whole(text: str, begin: int, end: int) -> bool:
    """Whether what stands there is no part of a longer Latin word."""
    edges = text[max(begin - 1, 0) : begin + 1], text[end - 1 : end + 1]
    return not any(len(edge) == 2 and edge.isascii() and edge.isalpha() for edge in edges)
