"""A pinyin syllable -> its two phones, an initial and a final: the phone set of the released checkpoints."""

import functools
import re

from words import Fault

# Longest first, so that "zh" is found before "z".
_INITIALS = "zh ch sh b p m f d t n l g k h j q x r z c s y w"
INITIALS = tuple(_INITIALS.split())

# As spelled in pinyin, ü written v.
_FINALS = """
    a ai an ang ao e ei en eng er o ong ou
    i ia ian iang iao ie in ing iong iu u ua uai uan uang ui un uo v van ve vn
"""
FINALS = frozenset(_FINALS.split())

# A syllable without an initial gets one named after its first letter.
ZERO_INITIALS = {"a": "AA", "e": "EE", "o": "OO"}

_READING = re.compile(r"([a-zê]+(?::[a-z]*)?)([1-5])")


class ReadingError(Fault, ValueError):
    """What is no pinyin, or none with a tone; the message says how it is written."""


def syllable_phones(pinyin: str) -> tuple[str, str]:
    """The initial and the final of a syllable in its usual spelling, without a tone: "hang" -> ("h", "ang").

    ü may be written v, ü or u:, and after j, q, x, y simply u.
    Raises ReadingError for what is no Mandarin syllable.
    """
    syllable = spelling(pinyin.lower())
    initial = next((i for i in INITIALS if syllable.startswith(i)), "")
    final = syllable[len(initial) :]
    if not initial:
        initial = ZERO_INITIALS.get(syllable[:1], "")
    elif (initial in ("j", "q", "x", "y") and final.startswith("u")) or (initial in ("n", "l") and final == "ue"):
        final = "v" + final[1:]
    if not initial or final not in FINALS:
        raise ReadingError("text.no_syllable", pinyin=pinyin)
    if final == "i" and initial in ("zh", "ch", "sh", "r"):
        final = "ir"
    elif final == "i" and initial in ("z", "c", "s"):
        final = "i0"
    elif initial == "y":
        final = {"an": "En", "e": "E"}.get(final, final)
    return initial, final


def split_reading(reading: str) -> tuple[str, int]:
    """ "hang2" -> ("hang", 2); tones are 1-5, 5 is the neutral one. Raises ReadingError for anything else."""
    match = _READING.fullmatch(reading)
    if match is None:
        raise ReadingError("text.no_reading", reading=reading)
    return match[1], int(match[2])


def spelling(pinyin: str) -> str:
    """ü, which sources write in several ways, as v."""
    return pinyin.replace("u:", "v").replace("ü", "v")


@functools.lru_cache(maxsize=8192)
def is_spoken(reading: str) -> bool:
    """Whether "hang2" is a syllable and tone that the phone set can say."""
    try:
        syllable_phones(split_reading(reading)[0])
    except ReadingError:
        return False
    return True
