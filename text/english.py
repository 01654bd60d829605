"""Latin words as a Chinese-only voice can say them: letters by name, known words by a lexicon, the rest by its sounds.

>>> speak("GPT").readings
('ji4', 'pi4', 'ti4')
>>> speak("hello").chars
'哈喽'

Nothing is loaded before the first call.
"""

import functools
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from text.english_sounds import guessed_sounds, is_spelt_out, known_sounds, mandarin, syllables
from text.homophones import carrier
from text.tables import lines, table

_STROKED = re.compile("LATIN (SMALL|CAPITAL) LETTER ([A-Z]) WITH ")  # ł, ø, đ by their names: Unicode takes none apart
_LATIN = re.compile("[A-Za-z]")


@dataclass(frozen=True)
class Syllables:
    """chars: n Chinese characters that carry the syllables; readings: n syllables with tone, as "ei1".

    kind: "letters" (one by one), "word" (by the lexicon) or "approximation" (by rule).
    """

    chars: str
    readings: tuple[str, ...]
    kind: str


@functools.lru_cache(maxsize=4096)
def speak(word: str) -> Syllables | None:
    """How a stretch of letters is said, with what may stand inside: digits, ' - . _ and accents. Never raises.

    None if it holds neither a Latin nor a Greek letter.
    """
    plain = _folded(word)
    if not any(char.isalpha() for char in plain):
        return None
    is_dotted = re.fullmatch(r"(?:[A-Za-z]\.)+[A-Za-z]?\.?", plain)  # U.S.A., e.g.
    parts = [_spelling(plain)] if is_dotted else _parts(plain)
    kind = min((part.kind for part in parts), key=("approximation", "word", "letters").index)
    return Syllables("".join(part.chars for part in parts), tuple(r for part in parts for r in part.readings), kind)


# --- what a stretch consists of ----------------------------------------------------------------------------------


def _folded(word: str) -> str:
    """Letters without their accents; of other characters only Greek letters, digits and the marks inside a word."""
    chars, plain = [], _plain_letters()
    for char in unicodedata.normalize("NFKD", word.translate(plain)).translate(plain):
        if stroked := _STROKED.match(unicodedata.name(char, "")):
            char = stroked[2] if stroked[1] == "CAPITAL" else stroked[2].lower()
        if char.lower() in _names() or char in "'-._":
            chars.append(char)
        elif not unicodedata.combining(char):
            chars.append(" ")
    return "".join(chars)


def _parts(plain: str) -> list[Syllables]:
    """The parts of a stretch in order: as a whole if it is known so (e-mail, don't), else between its marks."""
    whole = plain.strip(" '-._")
    is_spelt = plain.isupper() and plain.isalpha() and not _is_word_in_capitals(plain)
    is_word = not is_spelt and re.fullmatch("[A-Za-z'._-]+", whole)
    if is_word and (entry := _from_lexicon(whole) or _from_lexicon(re.sub("[-._]", "", whole))):
        return [entry]
    pieces = re.findall(r"[A-Za-z]+(?:'[A-Za-z]+)*'?|\d|[^\W\d_]|\.", plain)
    letters = [piece for piece in pieces if piece != "."]
    is_address = letters[-1].lower() in table("english")["domains"].split() and len(letters) > 1
    parts = []
    for i, piece in enumerate(pieces):
        if piece == ".":
            if is_address and 0 < i < len(pieces) - 1:
                parts.append(Syllables("点", ("dian3",), "letters"))
        elif _LATIN.match(piece):
            parts += _piece(piece)
        else:
            parts.append(_spelling(piece))
    return parts


def _piece(piece: str) -> list[Syllables]:
    """A stretch of the letters a-z in any case, perhaps with an apostrophe inside."""
    letters = piece.strip("'")
    plural = re.fullmatch(r"([A-Z]{2,5})'?s", letters)
    if plural and not _is_word_in_capitals(plural[1]):
        return [_spelling(plural[1]), _syllables(["si5"], "letters")]
    if letters.isupper() or len(letters) == 1:
        return [_word(letters) if _is_word_in_capitals(letters) else _spelling(letters)]
    if _is_known(letters):
        return [_word(letters)]
    if "'" in letters:
        return _at_apostrophes(letters)
    if letters[1:].islower():
        return [_word(letters)]
    if len(letters) <= 4:  # PhD, IoT, mRNA
        return [_spelling(letters)]
    cased = re.findall("[A-Z]+(?![a-z])|[A-Z]?[a-z]+", letters)
    return [part for chunk in cased for part in _piece(chunk)]


def _at_apostrophes(letters: str) -> list[Syllables]:
    """O'Neill, Tom's."""
    *chunks, last = letters.split("'")
    parts = [part for chunk in chunks for part in _piece(chunk)]
    endings = {"s": "si5", "ll": "ou5", "re": "er5", "ve": "fu5", "d": "de5", "t": "te5", "m": "mu5"}
    return parts + ([_syllables([endings[last]], "approximation")] if last in endings else _piece(last))


def _is_word_in_capitals(letters: str) -> bool:
    """NASA and HELLO are words, HTTP and WHO are not."""
    if len(letters) <= 3:
        return letters in table("english")["in_capitals"].split()
    if _is_known(letters):
        return True
    return len(letters) > 5 and re.search("[^AEIOUY]{4}", letters) is None


def _is_known(letters: str) -> bool:
    """Whether it is known as a word, not as a row of letters."""
    if entry := _from_lexicon(letters):
        return entry.kind == "word"
    lower = letters.lower()
    return known_sounds(lower) is not None and not is_spelt_out(lower)


# --- words -------------------------------------------------------------------------------------------------------


def _word(letters: str) -> Syllables:
    """A word of the letters a-z, in any case, and apostrophes."""
    if entry := _from_lexicon(letters):
        return entry
    lower = letters.lower()
    if is_spelt_out(lower) or not (re.search("[aeiouy]", lower) or known_sounds(lower)):
        return _spelling(lower)
    pinyin = _pinyin(lower)
    sounds = known_sounds(lower)
    if pinyin and (sounds is None or re.search("zh|^x|^q[^u]|[iu]ang", lower)):
        return _syllables([syllable + "1" for syllable in pinyin], "approximation")
    return _syllables(mandarin(sounds or _sounds(lower.replace("'", ""))), "approximation")


def _sounds(lower: str) -> str:
    """The sounds of a word that the dictionary lacks: of two words it has (snap-chat), else by its spelling."""
    cuts = range(4, len(lower) - 3) if len(lower) <= 24 else ()
    for cut in sorted(cuts, key=lambda cut: abs(2 * cut - len(lower))):
        halves = known_sounds(lower[:cut]), known_sounds(lower[cut:])
        if halves[0] and halves[1]:
            return f"{halves[0]} {halves[1].replace('1', '2')}"
    return guessed_sounds(lower)


def _spelling(plain: str) -> Syllables:
    names = [_names()[char] for char in plain.lower() if char in _names()]
    return Syllables("".join(chars for chars, _ in names), tuple(r for _, own in names for r in own), "letters")


def _syllables(readings: Iterable[str], kind: str, chars: str = "") -> Syllables:
    readings = tuple(readings)
    return Syllables(chars or "".join(map(_carrier, readings)), readings, kind)


def _carrier(reading: str) -> str:
    return table("english")["carriers"].get(reading) or carrier(reading)


@functools.cache
def _names() -> dict[str, tuple[str, tuple[str, ...]]]:
    """letter or digit -> characters, readings"""
    entries = ((letter, entry.split()) for letter, entry in table("english")["names"].items())
    return {letter: (chars, tuple(readings)) for letter, (chars, *readings) in entries}


@functools.cache
def _plain_letters() -> dict[int, str]:
    """For str.translate: letters that are none of a-z with something added."""
    return str.maketrans(table("english")["plain"])


def _pinyin(lower: str) -> list[str] | None:
    """The Mandarin syllables that a word spells from end to end, if it does: "nihao" -> ["ni", "hao"].

    As pinyin is written: without an apostrophe no syllable inside begins with a vowel.
    """
    if re.search("[^aeiou]e$", lower[3:]) and not re.search("zh|x|q", lower):
        return None  # rather an English silent e: Supabase
    ends: dict[int, list[str]] = {0: []}  # where a row of syllables can end -> the shortest such row
    for end in range(1, len(lower) + 1):
        for start in range(max(end - 6, 0), end):
            if start in ends and lower[start:end] in syllables() and (not start or lower[start] not in "aeo"):
                row = [*ends[start], lower[start:end]]
                if end not in ends or len(row) < len(ends[end]):
                    ends[end] = row
    return ends.get(len(lower))


# --- the lexicon -------------------------------------------------------------------------------------------------


@functools.cache
def _lexicon() -> dict[str, Syllables]:
    """Lines of word, readings and perhaps characters, between tabs; "*" for a word that is spelt.

    Jobs is not jobs: a word with a capital stands for a name.
    """
    lexicon = {}
    for word, readings, *chars in (line.split("\t") for line in lines("english.tsv") if line[:1] not in ("", "#")):
        if readings == "*":
            lexicon[word] = _spelling(word)
        else:
            lexicon[word] = _syllables(readings.split(), "word", *chars)
    return lexicon


def _from_lexicon(letters: str) -> Syllables | None:
    """The word's entry, or its stem's with an ending."""
    lower = letters.lower()
    if entry := _entry(lower, letters[:1].isupper()):
        return entry
    for ending in ("'s", "s'", "es", "s", "ed", "ing", "in'", "er", "ers", "ly"):
        stem = lower.removesuffix(ending)
        if stem == lower or len(stem) < 2:
            continue
        spellings = [stem]
        if ending not in ("'s", "s'", "s", "ly"):
            spellings += [stem + "e"]
            spellings += [stem[:-1]] if stem[-1] == stem[-2] else []
        if stem[-1] == "i":
            spellings += [stem[:-1] + "y"]
        for spelling in spellings:
            entry = _entry(spelling, letters[:1].isupper())
            if entry and entry.kind == "word":
                return _with_ending(entry, spelling, ending)
    return None


def _entry(lower: str, is_capital: bool) -> Syllables | None:
    return (is_capital and _lexicon().get(lower.capitalize())) or _lexicon().get(lower)


def _with_ending(entry: Syllables, stem: str, ending: str) -> Syllables:
    last = entry.readings[-1][:-1]
    is_light = entry.readings[-1][-1] == "5"
    kind = "ing" if ending in ("ing", "in'") else "er" if ending in ("er", "ers") else ""
    if is_light and kind and last in table("english")[f"with_{kind}"]:
        reading = table("english")[f"with_{kind}"][last] + "5"
        return Syllables(entry.chars[:-1] + _carrier(reading), (*entry.readings[:-1], reading), entry.kind)
    is_sharp = is_light and last in ("te", "ke", "pu", "fu", "si", "shi", "qi")
    if kind == "ing":
        added = "ning5" if re.search("ne?$", stem) else "ying5"
    elif kind == "er":
        added = "ne5" if re.search("ne?$", stem) else "er5"
    else:
        added = {"ed": "te5" if is_sharp else "de5", "ly": "li5"}.get(ending) or ("si5" if is_sharp else "zi5")
    return Syllables(entry.chars + _carrier(added), (*entry.readings, added), entry.kind)
