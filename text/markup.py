"""What the user says about readings: inline (银行[yin2 hang2], 重[chong2]庆) and in a glossary (term -> pinyin)."""

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from text.normalize import IDEOGRAPHS, Override, Skipped
from text.phones import spelling, split_reading, syllable_phones

Glossary = Mapping[str, tuple[str, ...]]  # term -> its syllables with tone

_BRACKET = re.compile(r"[\[［]([^\[\]［］]{1,200})[\]］]")
_BETWEEN = re.compile(r"[\s'’·,，-]+|(?<=\d)(?=[^\W\d])")
_CHINESE_TAIL = re.compile(f"[{IDEOGRAPHS}]+$")
_WORD_TAIL = re.compile(r"[A-Za-zÀ-ɏ0-9][A-Za-zÀ-ɏ0-9.'’+#_-]*$")
_CHINESE = re.compile(f"[{IDEOGRAPHS}]+")
_MARKED = re.compile("[āáǎàēéěèīíǐìōóǒòūúǔùǖǘǚǜńňǹ\u0304\u0301\u030c\u0300]")


class GlossaryError(ValueError):
    """A glossary line that cannot be used; the message names it and the remedy."""


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
    """ "háng", "hang2", "lü4", "lu:4", "de0" -> "hang2", "lv4", "de5". Raises ValueError for anything else."""
    pinyin = pinyin.strip().lower()
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

    Raises ValueError if one of them is no reading, or if there is no tone at all.
    """
    readings = tuple(parse_reading(part) for part in _BETWEEN.split(pinyin.strip()) if part)
    if not readings or not (re.search("[0-5]", pinyin) or _MARKED.search(pinyin.lower())):
        raise ValueError(f"{pinyin!r} has no tones; write pinyin such as yin2 hang2 or yín háng.")
    return readings


def parse_glossary(lines: str) -> dict[str, tuple[str, ...]]:
    """A glossary's text: one term a line (or between semicolons), then its pinyin: 重庆 chong2 qing4.

    An equals sign may stand between the two. Empty lines and those that begin with # are passed over.
    Raises GlossaryError.
    """
    glossary: dict[str, tuple[str, ...]] = {}
    for line in re.split(r"[\n\r;；]+", lines.removeprefix("\ufeff")):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        term, _, pinyin = (part.strip() for part in re.sub(r"\s*[=＝\t]\s*|\s+", "\t", line, count=1).partition("\t"))
        try:
            readings = parse_readings(pinyin)
        except ValueError as error:
            raise GlossaryError(
                f"Glossary, {line!r}: {error} A line is a term and its pinyin: 重庆 chong2 qing4."
            ) from None
        if _CHINESE.fullmatch(term) and len(readings) != len(term):
            raise GlossaryError(
                f"Glossary, {line!r}: {len(term)} characters need {len(term)} syllables, and there are {len(readings)}."
            )
        glossary[term] = readings
    return glossary


def parse(text: str, glossary: Glossary) -> Marked:
    """Takes the inline readings out of a text and finds the glossary's terms in the rest. Never raises.

    A bracket counts if it holds pinyin with a tone, as many syllables as it settles characters before it; behind a
    Latin word it settles the whole word. Other brackets are left alone.
    """
    plain: list[str] = []
    places: list[int] = []
    overrides: list[Override] = []
    skipped: list[Skipped] = []
    done = length = 0
    for match in _BRACKET.finditer(text):
        try:
            readings = parse_readings(match[1])
        except ValueError:
            continue
        before = text[done : match.start()]
        chinese, word = _CHINESE_TAIL.search(before), _WORD_TAIL.search(before)
        if chinese and len(chinese[0]) >= len(readings):
            settled = len(readings)
        elif word:
            settled = len(word[0])
        else:
            skipped.append(Skipped(match[0], match.start(), "it has more syllables than characters before it"))
            settled = 0
        plain.append(before)
        places += range(done, match.start())
        length += len(before)
        done = match.end()
        if settled:
            overrides.append(Override(length - settled, length, readings, "user"))
    plain.append(text[done:])
    places += range(done, len(text))
    joined = "".join(plain)
    return Marked(joined, tuple(places), tuple(_with_terms(joined, overrides, glossary)), tuple(skipped))


def with_reading(text: str, position: int, reading: str) -> str:
    """`text` with an inline reading for the Chinese character at `position`: 长大 -> 长[zhang3]大.

    An inline reading that covers the character keeps what it says of its other characters. An empty `reading` takes
    the character's away. Raises ValueError for no reading, or a place without a Chinese character.
    """
    if not (0 <= position < len(text) and _CHINESE.fullmatch(text[position])):
        raise ValueError("Only a Chinese character takes a reading; change the text itself instead.")
    said = parse_readings(reading)[0] if reading.strip() else ""
    marked = parse(text, {})
    settled = {  # given index -> reading, of the characters that have one already
        marked.places[override.start + i]: syllable
        for override in marked.overrides
        if len(override.readings) == override.end - override.start
        for i, syllable in enumerate(override.readings)
    }
    if position not in settled:
        return f"{text[: position + 1]}[{said}]{text[position + 1 :]}" if said else text
    begin = end = position
    while begin - 1 in settled:
        begin -= 1
    while end in settled:
        end += 1
    close = _BRACKET.match(text, end).end()
    readings = {i: settled[i] for i in range(begin, end)} | {position: said}
    apart = (text[i] + (f"[{pinyin}]" if pinyin else "") for i, pinyin in readings.items())
    return text[:begin] + "".join(apart) + text[close:]


def _with_terms(text: str, overrides: list[Override], glossary: Glossary) -> list[Override]:
    """The overrides and, where they leave room, the glossary's terms, the longest first; in order."""
    if not glossary:
        return overrides
    terms = sorted(glossary, key=len, reverse=True)
    pattern = re.compile("|".join(_whole_word(term) for term in terms), re.IGNORECASE)
    folded = {term.casefold(): readings for term, readings in glossary.items()}
    starts = [o.start for o in overrides]
    found = list(overrides)
    for match in pattern.finditer(text):
        i = bisect_right(starts, match.start())
        free = (i == 0 or overrides[i - 1].end <= match.start()) and (i == len(starts) or match.end() <= starts[i])
        if free and (readings := folded.get(match[0].casefold())):
            found.append(Override(*match.span(), readings, "glossary"))
    return sorted(found, key=lambda override: override.start)


def _whole_word(term: str) -> str:
    """A Latin term does not match inside a longer word."""
    left = r"(?<![A-Za-z])" if term[0].isascii() and term[0].isalpha() else ""
    right = r"(?![A-Za-z])" if term[-1].isascii() and term[-1].isalpha() else ""
    return left + re.escape(term) + right
