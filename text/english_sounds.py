"""English sounds -> the Mandarin syllables nearest to them: how a Chinese speaker without English would repeat a word.

Sounds are written as in the CMU Pronouncing Dictionary (ARPAbet): consonants "TH", vowels with their stress "AE1"
(1 primary, 2 secondary, 0 none). text/data/NOTICE.md says whose dictionary that is. Words it lacks go through
spelling rules.
"""

import functools
import re

from text.tables import lines, table

_VOWEL = re.compile("[AEIOU]")
_UNASPIRATED = {"P": "B", "T": "D", "K": "G", "KW": "GW", "TR": "DR"}  # as they sound behind s: speak, star, school


@functools.cache
def syllables() -> frozenset[str]:
    """The syllables of Mandarin as they are spelt. Nothing else is ever said."""
    table_of_finals = table("english_sounds")["syllables"]
    return frozenset(initial + final for initial, finals in table_of_finals.items() for final in finals.split())


@functools.cache
def _table(name: str) -> dict[str, list[str]]:
    """ "HH=h,x S=s" in the table of that name -> {"HH": ["h", "x"], "S": ["s"]}"""
    pairs = (item.split("=") for item in table("english_sounds")[name].split())
    return {key: values.split(",") for key, values in pairs}


# --- sounds -> syllables -----------------------------------------------------------------------------------------


def mandarin(sounds: str) -> tuple[str, ...]:
    """ "HH AE1 P IY0" -> ("hai4", "pi5"): readings, syllable and tone; at least one if there is a sound.

    The stressed syllable falls, those before it are high, those behind it and added vowels are light.
    """
    phones = _joined(sounds.split())
    parts: list[tuple[str, int]] = []  # syllables with 1, 2 for stress, 0 for none, -1 for an added vowel
    i = 0
    while i < len(phones):
        consonant = "" if _is_vowel(phones[i]) else phones[i]
        place = i + (consonant != "")
        if place < len(phones) and _is_vowel(phones[place]):
            own, i = _syllable(consonant, phones, place)
            parts += own
        elif consonant == "Y":
            i += 1
        else:
            if not _is_silent(phones, i):
                parts.append((_alone(consonant), -1))
            i += 1
    return _toned(parts)


def _joined(phones: list[str]) -> list[str]:
    """Consonants that Mandarin says as one become one; light vowels get symbols of their own."""
    joined: list[str] = []
    for i, phone in enumerate(phones):
        before = joined[-1] if joined else ""
        after = phones[i + 1] if i + 1 < len(phones) else ""
        last = i == len(phones) - 1
        if phone == "R" and before in ("T", "D") and _is_vowel(after):
            joined[-1] = before + "R"
        elif phone == "W" and before in ("K", "G", "HH", "S", "T") and _is_vowel(after):
            joined[-1] = before[0] + "W"
        elif phone == "Y" and before in ("L", "N") and _is_vowel(after) and not after.startswith(("UW", "UH")):
            joined[-1] = before + "Y"
        elif phone.startswith("ER") and _is_vowel(after):
            joined += [phone, "R"]
        elif phone == "S" and before == "T" and not _is_vowel(after):
            joined[-1] = "TS"
        elif phone == "Z" and before == "D" and not _is_vowel(after):
            joined[-1] = "Z"
        elif phone[:2] in ("UW", "UH") and before == "Y":
            joined[-1] = "YUW" + phone[2:]
        elif phone == "AH0" and after == "L" and (i + 2 == len(phones) or not _is_vowel(phones[i + 2])):
            joined.append("LX0")
        elif phone == "L" and before == "LX0":
            continue
        elif phone == "AH0" and not last:
            joined.append("AX0")
        else:
            joined.append(phone)
    return [_softened(joined, i) for i in range(len(joined))]


def _softened(phones: list[str], i: int) -> str:
    """The stops of star, speak, street, mistake are not aspirated; those of test and sister are."""
    if not i or phones[i - 1] != "S" or phones[i] not in _UNASPIRATED:
        return phones[i]
    place = i + 1 + (phones[i + 1 : i + 2] in (["L"], ["R"], ["W"], ["Y"]))
    plain = place < len(phones) and _is_vowel(phones[place]) and (i == 1 or not phones[place].endswith("0"))
    return _UNASPIRATED[phones[i]] if plain else phones[i]


def _syllable(consonant: str, phones: list[str], place: int) -> tuple[list[tuple[str, int]], int]:
    """The syllables of a consonant (or "") and the vowel at `place`, and where the next one begins."""
    vowel, stress = phones[place][:-1], int(phones[place][-1])
    end = place + 1
    nasal = ""
    closed = end < len(phones) and phones[end] in ("N", "NG", "M")
    if closed and (phones[end] == "NG" or not _is_vowel(phones[end + 1 : end + 2])):
        labial = phones[end + 1 : end + 2] in (["B"], ["P"], ["F"], ["V"])
        if phones[end] != "M" or labial or vowel in ("AE", "AA", "OH"):
            nasal = "G" if phones[end] == "NG" else "N"
    if nasal and phones[end] == "M" and not labial:
        end -= 1  # Sam is shan-mu: the nasal is heard twice
    if nasal and (syllable := _nearest(consonant, vowel + nasal)):
        return [(syllable, stress)], end + 1
    parts = _open(consonant, vowel, stress)
    if nasal and parts[-1][0] == "yi":  # coin, fine
        return [*parts[:-1], ("yin", -1)], end + 1
    return parts, place + 1


def _open(consonant: str, vowel: str, stress: int) -> list[tuple[str, int]]:
    """A consonant and a vowel that nothing closes."""
    if vowel == "OY":
        rounded = f"{consonant.lower()}o"
        return [(rounded if rounded in syllables() else _nearest(consonant, "OW") or "ou", stress), ("yi", -1)]
    if syllable := _nearest(consonant, vowel):
        return [(syllable, stress)]
    if consonant.endswith("W"):  # swipe
        return [(_alone(consonant), -1), (_nearest("W", vowel) or "wa", stress)]
    if vowel == "AY":  # fine, five: there is no fai
        return [(_nearest(consonant, "AA") or "a", stress), ("yi", -1)]
    if vowel == "YUW":  # few, view, pure
        return [(_nearest(consonant, "IY") or "yi", 0), ("you", stress)]
    return [(_alone(consonant) if consonant else "e", -1), (_nearest("", vowel) or "a", stress)]


@functools.cache
def _nearest(consonant: str, vowel: str) -> str:
    """The syllable for a consonant (or "") and a vowel with or without N, G; "" if Mandarin has none."""
    if exception := _table("exceptions").get(f"{consonant}+{vowel}"):
        return exception[0]
    buzzing = {initial + "i" for initial in ("z", "c", "s", "zh", "ch", "sh", "r")}
    for final in _table("finals").get(vowel, []):
        for initial in _table("onsets").get(consonant, [""]):
            syllable = initial + final
            if syllable in syllables() and syllable not in buzzing:
                return syllable
    return ""


def _alone(consonant: str) -> str:
    return _table("alone")[consonant][0]


def _is_silent(phones: list[str], i: int) -> bool:
    """Whether the r or l that no vowel follows is only a colour of the vowel before it: park, cold, but not car."""
    before = phones[i - 1][:-1] if i and _is_vowel(phones[i - 1]) else ""
    last = i == len(phones) - 1
    if phones[i] == "R":
        return (before in ("AA", "AO") and not last) or before == "ER"
    return phones[i] == "L" and before in ("OW", "AO") and not last


def _toned(parts: list[tuple[str, int]]) -> tuple[str, ...]:
    """Tones by stress."""
    stresses = [stress for _, stress in parts]
    peak = next((i for level in (1, 2, 0, -1) for i, stress in enumerate(stresses) if stress == level), 0)
    tones = [
        4 if i == peak or stress == 1 else 1 if i == 0 or stress == 2 or (i < peak and stress == 0) else 5
        for i, stress in enumerate(stresses)
    ]
    return tuple(f"{syllable}{tone}" for (syllable, _), tone in zip(parts, tones, strict=True))


def _is_vowel(phone: str | list[str]) -> bool:
    """phone: or a list with one or none."""
    name = phone if isinstance(phone, str) else "".join(phone)
    return name[-1:].isdigit()


# --- spelling -> sounds ------------------------------------------------------------------------------------------


@functools.cache
def _dictionary() -> dict[str, str]:
    return {word: sounds for word, _, sounds in (line.partition(" ") for line in lines("cmudict.txt"))}


def known_sounds(word: str) -> str | None:
    """The sounds of a lower-case word in the dictionary, if it is there: "nasa" -> "N AE1 S AH0"."""
    sounds = _dictionary().get(word)
    return sounds and _as_spelt(word, sounds)


def _as_spelt(word: str, sounds: str) -> str:
    """A murmured vowel as a foreign ear expects it from the spelling: u-ni-ver-si-ty, Ca-na-da, com-puter."""
    if "new" in word:
        sounds = sounds.replace("N UW", "N Y UW")
    letters = re.findall("[aeiouy]+", re.sub("^y|(?<=[^aeiouy])(?<![^aeiouy]l)es?$", "", word))
    phones = sounds.split()
    vowels = [i for i, phone in enumerate(phones) if _is_vowel(phone)]
    if len(letters) != len(vowels):
        return sounds
    for i, letter in zip(vowels, letters, strict=True):
        after = phones[i + 1] if i + 1 < len(phones) else ""
        if phones[i][:2] == "AA" and (letter[0] == "o" or letter == "au"):
            phones[i] = "OH" + phones[i][2:]  # not as in father: hot, dollar, August
        if phones[i] != "AH0" or not after:
            continue
        if letter in ("i", "y") or (letter in ("a", "e") and after == "JH"):
            phones[i] = "IH0"
        elif letter == "u" and phones[i - 1] in ("CH", "JH", "Y"):
            phones[i] = "UW0"
        elif after not in ("L", "M", "N", {"a": "R", "u": "S"}.get(letter)) and (
            letter == "u" or (letter == "a" and i)
        ):
            phones[i] = "AA0"
        elif letter == "o" and after in ("M", "N") and i <= 2 and i < vowels[-1]:  # not in button
            phones[i] = "OH0"
    return " ".join(phones)


def is_spelt_out(word: str) -> bool:
    """Whether the dictionary has a lower-case word as a row of letters: "cpu" -> "S IY2 P IY2 Y UW1"."""
    sounds = _dictionary().get(word)
    if sounds is None or "'" in word:
        return False
    names = [phone for char in word.upper() for phone in _table("letters")[char]]
    return re.sub("[0-9]", "", sounds).split() == names


@functools.cache
def spelling_rules() -> tuple[re.Pattern[str], list[list[str]]]:
    """All rules as one pattern with a group for each, and the sounds of each."""
    rules = re.findall(r"(?<!\S)(\S+)=(-|[A-Z]+(?: [A-Z]+)*)(?=\s)", table("english_sounds")["spelling"])
    pattern = "|".join(f"({spelling.replace('V', '[aeiouy]')})" for spelling, _ in rules)
    return re.compile(pattern), [sounds.replace("-", "").split() for _, sounds in rules]


def guessed_sounds(word: str) -> str:
    """What a word of the letters a-z sounds like by the rules of spelling: "blick" -> "B L IH1 K"."""
    pattern, sounds = spelling_rules()
    phones: list[str] = []
    for match in pattern.finditer(word):  # there is a rule for each letter
        own = sounds[(match.lastindex or 0) - 1]
        doubled = bool(own) and phones[-1:] == own[:1] and not _VOWEL.match(own[0])
        phones += own[1:] if doubled else own
    vowels = [i for i, phone in enumerate(phones) if _VOWEL.match(phone)]
    stressed = _stressed(word, len(vowels))
    for number, i in enumerate(vowels):
        phones[i] += "1" if number == stressed else "0"
    return " ".join(phones)


def _stressed(word: str, count: int) -> int:
    """Which of the `count` vowels has the stress."""
    if count > 1 and re.search(r"(?:[st]ion|ic|ics|ian|ial|cious|tious|ia|io)s?$", word):
        return max(count - (3 if re.search("i[ao]$", word) else 2), 0)
    if count > 2 and re.search(r"(?:ity|ify|ogy|aphy|ical|ate|ize)$", word):
        return count - 3
    if count > 2 and word[-1] in "aoi":  # as names of the south are said
        return count - 2
    return 0
