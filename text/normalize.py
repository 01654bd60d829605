"""Any characters -> what a reader would say: Chinese characters and the seven punctuation marks.

Numbers, units and signs are said by text.numbers, words in Latin and Greek letters by text.english; the rest is mapped
one character at a time, so that every character of the result knows where it came from, and what cannot be read is
reported.
"""

import functools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from text import numbers
from text.english import speak
from text.homophones import carrier
from text.numbers.numerals import DIGITS
from text.numbers.patterns import CIRCLED, HAN, VULGAR
from text.readings import readable
from text.symbols import PUNCTUATION
from text.tables import lines, table

_MARKS = {
    ",": "，,：:；;、·•‧・﹐﹑､",
    ".": "。.｡",
    "!": "！!",
    "?": "？?",
    "…": "…⋯",
    "'": "'“”\"‘’（）()《》〈〉【】[]「」『』〔〕｛｝{}",
    "-": "-—–―～~",
}
PUNCTUATION_OF = {char: mark for mark, chars in _MARKS.items() for char in chars}

# Marks that keep their form until the numbers are read; 3：2 and （010） are read in half width.
_AS_IT_IS = frozenset(PUNCTUATION_OF) - frozenset("：（）．")
LINE_BREAKS = "\n\r\v\f\x85\u2028\u2029"

IDEOGRAPHS = f"{HAN}々"
_IDEOGRAPH = re.compile(f"[{IDEOGRAPHS}]")
_SPELT = "A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u03ff\u1e00-\u1fff"  # Latin and Greek
_MARKED = "[\u0300-\u036f]*"  # accents that stand behind their letter
_SPOKEN_WORD = rf"(?:[A-Za-z]\.){{2,}}(?![A-Za-z])|[{_SPELT}]{_MARKED}(?:['’.-]?[{_SPELT}]{_MARKED})*"
_OTHER = rf"[^\W\d_{IDEOGRAPHS}{_SPELT}]"
_FOREIGN_WORD = re.compile(rf"{_SPOKEN_WORD}|{_OTHER}{_MARKED}(?:['’.-]?{_OTHER}{_MARKED})*")

# Characters that numbers need in their own form, which NFKC would take away: ², ₂, ½, Ⅳ, ①.
_OF_NUMBERS = re.compile(f"[\u00b2\u00b3\u00b9\u2070-\u208e{VULGAR}{CIRCLED}\u2160-\u2188]")
_SILENT = frozenset("™®℠\u20e3")  # the last is the key around 1️⃣
_CERTAINTY = ("approximation", "word", "letters", "number")  # a change of several kinds has the first of these


@dataclass(frozen=True)
class Skipped:
    """Something that is not spoken. position: its index in the text that was given, as near as can be known."""

    text: str
    position: int
    reason: str


@dataclass(frozen=True)
class Change:
    """Something that is said otherwise than it was written. position: the index of `text` in the given text.

    kind: "number" (digits, units, signs), "letters" (an acronym), "word" (a foreign word, by the lexicon),
    "approximation" (a foreign word, by rule), "user" or "glossary" (by an override). words: Chinese and marks.
    """

    text: str
    words: str
    position: int
    kind: str


@dataclass(frozen=True)
class Override:
    """A stretch of the given text, [start, end), whose syllables are settled by hand ("hang2"): user or glossary."""

    start: int
    end: int
    readings: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Normalised:
    """text: n characters; positions: where in the given text each came from, never decreasing.

    readings: n syllables with tone ("ei1") of the characters whose reading is settled already, "" where it is not;
    sources: n names of who settled them ("letters", "word", "approximation", "user", "glossary"), "" likewise.
    """

    text: str
    positions: tuple[int, ...]
    readings: tuple[str, ...]
    sources: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    changes: tuple[Change, ...]


def normalise(raw: str, start: int = 0, overrides: Sequence[Override] = ()) -> Normalised:
    """Normalises a sentence that begins at index `start` of the given text. Never raises for any string.

    Overrides that lie in the sentence win over every rule; of those that overlap, the first.
    """
    parts: list[Normalised] = []
    done = start
    for override in sorted(overrides, key=lambda override: override.start):
        if done <= override.start < override.end <= start + len(raw) and override.readings:
            parts.append(_spoken(raw[done - start : override.start - start], done))
            parts.append(_overridden(raw[override.start - start : override.end - start], override))
            done = override.end
    parts.append(_spoken(raw[done - start :], done))
    names = ("positions", "readings", "sources", "skipped", "changes")
    lists = {name: tuple(item for part in parts for item in getattr(part, name)) for name in names}
    lists["skipped"] = tuple(_grouped_skips(lists["skipped"]))
    return Normalised("".join(part.text for part in parts), **lists)


def _overridden(raw: str, override: Override) -> Normalised:
    """One character for each reading: those that are written, if there are as many, else ones that sound like it."""
    written, positions = _compatible(raw, override.start)
    readings, n = override.readings, len(override.readings)
    changes: tuple[Change, ...] = ()
    if len(written) != n or not all(map(_IDEOGRAPH.match, written)) or set("〇々") & set(written):
        written = "".join(map(carrier, readings))
        positions = [override.start + i * len(raw) // n for i in range(n)]
        changes = (Change(raw, written, override.start, override.source),)
    return Normalised(written, tuple(positions), readings, (override.source,) * n, (), changes)


def _spoken(raw: str, start: int) -> Normalised:
    """Says what no override does."""
    text, positions = _compatible(raw, start)
    speech = _Speech(raw, start)
    done = 0
    for span in numbers.spans(text):
        speech.say(text[done : span.begin], positions[done : span.begin])
        places = positions[span.begin : span.end]
        speech.say_instead(places, span.words, [places[i] for i in _alignment(text[span.begin : span.end], span.words)])
        done = span.end
    speech.say(text[done:], positions[done:])
    return speech.normalised()


# --- the steps ---------------------------------------------------------------------------------------------------


def _compatible(raw: str, start: int) -> tuple[str, list[int]]:
    """Full width -> half width, traditional -> simplified, invisible characters away, exotic digits -> 0-9."""
    chars, positions = [], []
    for i, char in enumerate(raw, start):
        category = unicodedata.category(char)
        if char in LINE_BREAKS:
            char = "\n"
        elif char.isspace():
            char = " "
        elif category in ("Cc", "Cf") or "\ufe00" <= char <= "\ufe0f" or char in _SILENT:
            continue  # controls, joiners, variation selectors
        elif _OF_NUMBERS.match(char) or char in _AS_IT_IS:
            pass
        elif category in ("Nd", "No") and (digit := unicodedata.digit(char, None)) is not None:
            char = str(digit)
        elif "\u3358" <= char <= "\u33ff":  # ㎏, ㎡, ㏄, ㏠
            char = unicodedata.normalize("NFKC", char)
            char = re.sub("(?<=m)[23]", lambda power: "²³"[int(power[0]) - 2], char)
        elif category != "So":
            char = unicodedata.normalize("NFKC", char)
        chars.append(char)
        positions += [i] * len(char)
    return "".join(chars).translate(_simplified()), positions


@functools.cache
def _simplified() -> dict[int, str]:
    """For str.translate: traditional characters and variants -> simplified ones."""
    return {ord(other): line[0] for line in lines("simplified.txt") for other in line[1:]}


_NUMERALS = str.maketrans({**{str(i): digit for i, digit in enumerate(DIGITS)}, "两": "二", "幺": "一"})


def _alignment(before: str, after: str) -> list[int]:
    """For each character of `after`, the index in `before` that it came from, never decreasing."""
    if len(before) * len(after) > 20_000:  # the search below could take minutes
        return [i * len(before) // len(after) for i in range(len(after))]
    indices: list[int] = []
    before, after = before.translate(_NUMERALS), after.translate(_NUMERALS)
    for _, i, i_end, j, j_end in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        last = min(max(i_end - 1, i), len(before) - 1)
        indices += [min(i + k, last) for k in range(j_end - j)]
    return indices


class _Speech:
    """Collects what is said of a stretch of the given text, and reports what is not."""

    def __init__(self, raw: str, start: int) -> None:
        self.raw, self.start = raw, start
        self.chars: list[str] = []
        self.positions: list[int] = []
        self.readings: list[str] = []
        self.sources: list[str] = []
        self.skipped: list[Skipped] = []
        self.changes: list[Change] = []

    def say_instead(self, places: list[int], words: str, positions: list[int]) -> None:
        """Says `words` for the characters of the given text at `places`, and records that as one change."""
        begin, others = len(self.chars), len(self.changes)
        self.say(words, positions)
        kinds = {"number", *(change.kind for change in self.changes[others:])}
        del self.changes[others:]
        self._changed(places, begin, next(kind for kind in _CERTAINTY if kind in kinds))

    def say(self, text: str, positions: list[int]) -> None:
        """Says text character by character, but Latin by the word."""
        i = 0
        while i < len(text):
            char, begin = text[i], len(self.chars)
            if text.startswith("...", i):
                self._put("…", positions[i])
                i += 3
                continue
            if word := _FOREIGN_WORD.match(text, i):
                self._say_word(text, word.span(), positions)
                i = word.end()
                continue
            if char in PUNCTUATION_OF:
                self._put(PUNCTUATION_OF[char], positions[i])
            elif char == "\n" and self.chars and self.chars[-1] not in PUNCTUATION:
                self._put(".", positions[i])
            elif words := table("units")["characters"].get(char):
                self._put(words, positions[i])
                if len(words) > 1:
                    self._changed(positions[i : i + 1], begin, "number")
            elif char == "々" and self.chars and self.chars[-1] not in PUNCTUATION:
                self._put(self.chars[-1], positions[i])
            elif _IDEOGRAPH.match(char) and readable(char):
                self._put(char, positions[i])
            elif not char.isspace():
                reason = "no Mandarin reading is known" if _IDEOGRAPH.match(char) else "not a character that is spoken"
                self._skip(positions[i : i + 1], reason)
            i += 1

    def _say_word(self, text: str, span: tuple[int, int], positions: list[int]) -> None:
        begin, end = span
        word, places, start = text[begin:end], positions[begin:end], len(self.chars)
        alone = not re.search("[A-Za-z] $", text[:begin]) and not re.match(" [A-Za-z]", text[end:])
        is_letter = alone and word in "abcdefghijklmnopqrstuvwxyz"
        syllables = speak(word.upper() if is_letter else unicodedata.normalize("NFC", word))
        if syllables is None:
            self._skip(places, "a word in letters that are neither Chinese nor Latin")
            return
        for char, reading in zip(syllables.chars, syllables.readings, strict=True):
            self._put(char, places[0], reading, syllables.kind)
        self._changed(places, start, syllables.kind)

    def _skip(self, places: list[int], reason: str) -> None:
        text = self.raw[places[0] - self.start : places[-1] + 1 - self.start]
        if not (self.skipped and self.skipped[-1].position == places[0]):  # one character can become several
            self.skipped.append(Skipped(text, places[0], reason))

    def _put(self, words: str, position: int, reading: str = "", source: str = "") -> None:
        self.chars += words
        self.positions += [position] * len(words)
        self.readings += [reading] * len(words)
        self.sources += [source] * len(words)

    def _changed(self, places: list[int], begin: int, kind: str) -> None:
        """What the characters since `begin` say stands for the given ones at `places`."""
        words = "".join(self.chars[begin:])
        text = self.raw[places[0] - self.start : places[-1] + 1 - self.start]
        last = self.changes[-1] if self.changes else None
        if last and last.kind == kind == "number" and last.position + len(last.text) == places[0]:
            self.changes[-1] = replace(last, text=last.text + text, words=last.words + words)
        elif words:
            self.changes.append(Change(text, words, places[0], kind))

    def normalised(self) -> Normalised:
        lists = tuple(self.positions), tuple(self.readings), tuple(self.sources)
        return Normalised("".join(self.chars), *lists, tuple(_grouped_skips(self.skipped)), tuple(self.changes))


def _grouped_skips(skipped: Sequence[Skipped]) -> list[Skipped]:
    """Neighbours that are skipped for the same reason become one entry."""
    grouped: list[Skipped] = []
    for item in skipped:
        last = grouped[-1] if grouped else None
        if last and last.reason == item.reason and last.position + len(last.text) == item.position:
            grouped[-1] = Skipped(last.text + item.text, last.position, item.reason)
        else:
            grouped.append(item)
    return grouped
