"""Latin words as a Chinese-only voice can say them: letters by name, known words by a lexicon, the rest by rule."""

import functools
import re
import unicodedata
from dataclasses import dataclass

# The names of the letters as they are said in Mandarin: carrier characters and their readings.
LETTERS = {
    "A": "欸 ei1",
    "B": "必 bi4",
    "C": "西 xi1",
    "D": "弟 di4",
    "E": "易 yi4",
    "F": "挨夫 ai2 fu5",
    "G": "寄 ji4",
    "H": "欸取 ei1 qu5",
    "I": "爱 ai4",
    "J": "这 zhei4",
    "K": "剋 kei1",
    "L": "艾鲁 ai2 lu5",
    "M": "艾木 ai2 mu5",
    "N": "恩 en1",
    "O": "欧 ou1",
    "P": "辟 pi4",
    "Q": "扣 kou4",
    "R": "阿尔 a1 er5",
    "S": "艾斯 ai2 si5",
    "T": "替 ti4",
    "U": "优 you1",
    "V": "微 wei1",
    "W": "达布溜 da2 bu5 liu5",
    "X": "艾克斯 ai2 ke5 si5",
    "Y": "外 wai4",
    "Z": "贼 zei4",
}
DIGITS = {
    **{"0": "零 ling2", "1": "壹 yi1", "2": "贰 er4", "3": "叁 san1", "4": "肆 si4"},
    **{"5": "伍 wu3", "6": "陆 liu4", "7": "柒 qi1", "8": "捌 ba1", "9": "玖 jiu3"},
}


@dataclass(frozen=True)
class Syllables:
    """chars: n Chinese characters that carry the syllables; readings: n syllables with tone, as "ei1".

    kind: "letters" (one by one), "word" (by the lexicon) or "approximation" (by rule).
    """

    chars: str
    readings: tuple[str, ...]
    kind: str


def speak(word: str) -> Syllables | None:
    """How a stretch of Latin letters (with digits, ' - . _ inside) is said; None if it holds none. Never raises."""
    plain = _folded(word)
    if not re.search("[A-Za-z]", plain):
        return None
    said = [(LETTERS | DIGITS)[char.upper()] for char in plain if char.isalnum()]
    chars, readings = zip(*(_entry(item) for item in said), strict=True)
    return Syllables("".join(chars), tuple(r for group in readings for r in group), "letters")


def _entry(line: str) -> tuple[str, tuple[str, ...]]:
    chars, *readings = line.split()
    return chars, tuple(readings)


@functools.lru_cache(maxsize=4096)
def _folded(word: str) -> str:
    """Letters without their accents, in ASCII; what has no such form is left out."""
    return "".join(char for char in unicodedata.normalize("NFKD", word) if char.isascii())
