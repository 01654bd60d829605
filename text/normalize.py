"""Any characters -> what a reader would say: Chinese characters and the seven punctuation marks.

Numbers, dates, units and money go through the package `wetext` (WeText's grammars); the rest is mapped one character
at a time, so that every character of the result knows where it came from, and what cannot be read is reported.
"""

import functools
import re
import unicodedata
from dataclasses import dataclass
from difflib import SequenceMatcher

from text.readings import readable
from text.symbols import PUNCTUATION

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

# Characters without a syllable of their own, written as one says them: interjections and old one-character units.
SAID_AS = {
    **{"嗯": "恩", "呣": "母", "噷": "哼", "〇": "零"},
    **{"兙": "十克", "兡": "百克", "兛": "千克", "兝": "分克", "兞": "毫克", "兣": "厘克", "嗧": "加仑"},
    **{"瓧": "十瓦", "瓩": "千瓦", "瓰": "分瓦", "瓱": "毫瓦", "瓸": "百瓦", "瓼": "厘瓦", "甅": "厘米"},
}

# Marks that keep their form until the numbers are read; 3：2 and （010） are for wetext, in half width.
_AS_IT_IS = frozenset(PUNCTUATION_OF) - frozenset("：（）．")
LINE_BREAKS = "\n\r\v\f\x85\u2028\u2029"
DIGITS = "零一二三四五六七八九"

# wetext sees only the stretches that hold a digit: it is slow on long texts and escapes quotes and backslashes.
_NUMBER_STRETCH = re.compile(r"[^，。！？；、…“”‘’《》【】「」『』\"\\]*\d[^，。！？；、…“”‘’《》【】「」『』\"\\]*")
_IDEOGRAPHS = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff〇々"
_IDEOGRAPH = re.compile(f"[{_IDEOGRAPHS}]")
_LETTERS = rf"[^\W\d_{_IDEOGRAPHS}]+"
_FOREIGN_WORD = re.compile(rf"{_LETTERS}(?:['’.@_-]?{_LETTERS})*")


@dataclass(frozen=True)
class Skipped:
    """Something that is not spoken. position: its index in the text that was given, as near as can be known."""

    text: str
    position: int
    reason: str


@dataclass(frozen=True)
class Change:
    """Something that is said otherwise than it was written. position: the index of `text` in the given text.

    kind: "number" (digits, units, signs), "letters" (an acronym), "word" (a foreign word, by the lexicon) or
    "approximation" (a foreign word, by rule). said: Chinese characters.
    """

    text: str
    said: str
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


def normalise(raw: str, start: int = 0) -> Normalised:
    """Normalises a sentence that begins at index `start` of the given text. Never raises."""
    chars, positions = _compatible(raw, start)
    chars, positions = _numbers(chars, positions)
    return _spoken(chars, positions)


# --- the steps: text and positions in, text and positions out ----------------------------------------------------


def _compatible(raw: str, start: int) -> tuple[str, list[int]]:
    """Full width -> half width, traditional -> simplified, invisible characters away, exotic digits -> 0-9."""
    chars, positions = [], []
    for i, char in enumerate(raw, start):
        category = unicodedata.category(char)
        if char in LINE_BREAKS:
            char = "\n"
        elif char.isspace():
            char = " "
        elif category in ("Cc", "Cf") or "\ufe00" <= char <= "\ufe0f":  # controls, joiners, variation selectors
            continue
        elif category in ("Nd", "No") and (digit := unicodedata.digit(char, None)) is not None:
            char = str(digit)
        elif category != "So" and char not in _AS_IT_IS:
            char = unicodedata.normalize("NFKC", char)
        chars.append(char)
        positions += [i] * len(char)
    return _simplified("".join(chars)), positions


def _simplified(text: str) -> str:
    """Traditional -> simplified characters, one for one."""
    return "".join(map(_simplified_char, text))


@functools.lru_cache(maxsize=65536)
def _simplified_char(char: str) -> str:
    if char < "\u3400":  # nothing before the CJK blocks has another form; surrogates do not come so far
        return char
    if unicodedata.category(char) != "Lo":
        return char
    simple = _wetext().normalize(char)
    return simple if len(simple) == 1 else char


@functools.cache
def _wetext():
    from wetext import Normalizer

    return Normalizer(lang="zh", operator="tn", traditional_to_simple=True, full_to_half=True)


def _numbers(text: str, positions: list[int]) -> tuple[str, list[int]]:
    """Stretches with digits are read by wetext."""
    chars, places, done = [], [], 0
    for match in _NUMBER_STRETCH.finditer(text):
        said = _number_words(match[0])
        chars += [text[done : match.start()], said]
        places += positions[done : match.start()]
        places += [positions[match.start() + i] for i in _alignment(match[0], said)]
        done = match.end()
    return "".join([*chars, text[done:]]), places + positions[done:]


@functools.lru_cache(maxsize=1024)
def _number_words(stretch: str) -> str:
    # UTF-8 has no lone surrogates: they are set aside as a character that wetext leaves alone.
    plain = re.sub("[\ud800-\udfff]", "\ufffd", stretch)
    return _wetext().normalize(plain) or plain  # "" where its grammar has no way through: then digit by digit


def _alignment(before: str, after: str) -> list[int]:
    """For each character of `after`, the index in `before` that it came from."""
    indices: list[int] = []
    for _, i, i_end, j, j_end in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        last = min(max(i_end - 1, i), len(before) - 1)
        indices += [min(i + k, last) for k in range(j_end - j)]
    return indices


def _spoken(text: str, positions: list[int]) -> Normalised:
    """Keeps what can be said and marks; the rest is reported."""
    chars: list[str] = []
    places: list[int] = []
    skipped: list[Skipped] = []

    def keep(said: str, i: int) -> None:
        chars.append(said)
        places.extend([positions[i]] * len(said))

    i = 0
    while i < len(text):
        char = text[i]
        if text.startswith("...", i):
            keep("…", i)
            i += 3
            continue
        if word := _FOREIGN_WORD.match(text, i):
            skipped.append(Skipped(word[0], positions[i], "words in Latin or other alphabets are not read yet"))
            i = word.end()
            continue
        if char in PUNCTUATION_OF:
            keep(PUNCTUATION_OF[char], i)
        elif char == "\n" and chars and chars[-1] not in PUNCTUATION:
            keep(".", i)
        elif char in SAID_AS:
            keep(SAID_AS[char], i)
        elif char.isdecimal():
            keep(DIGITS[int(char)], i)
        elif char == "々" and chars and chars[-1] not in PUNCTUATION:
            keep(chars[-1][-1], i)
        elif _IDEOGRAPH.match(char) and readable(char):
            keep(char, i)
        elif not char.isspace():
            reason = "no Mandarin reading is known" if _IDEOGRAPH.match(char) else "not a character that is spoken"
            skipped.append(Skipped(char, positions[i], reason))
        i += 1
    said = "".join(chars)
    return Normalised(said, tuple(places), ("",) * len(said), ("",) * len(said), tuple(_grouped(skipped)), ())


def _grouped(skipped: list[Skipped]) -> list[Skipped]:
    """Neighbours that are skipped for the same reason become one entry."""
    grouped: list[Skipped] = []
    for item in skipped:
        last = grouped[-1] if grouped else None
        if last and last.reason == item.reason and last.position + len(last.text) == item.position:
            grouped[-1] = Skipped(last.text + item.text, last.position, item.reason)
        else:
            grouped.append(item)
    return grouped
