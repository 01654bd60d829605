"""Ordinals, digits beside letters, and what no other rule takes: ranges and numbers."""

import re
import unicodedata

from text.numbers.numerals import COUNTED, cardinal, counted, digits, number, sign_of
from text.numbers.patterns import CIRCLED, DONE, HAN, MINUS, after, before, is_score, pattern_of
from text.tables import table


def roman_numeral(m: re.Match[str]) -> str:
    """The numerals that are characters of their own: Ⅳ; those that are no letters one by one."""
    letters = unicodedata.normalize("NFKC", m[0]).upper()
    if set(letters) <= set(_ROMAN):
        return roman(letters)
    return "".join(cardinal(str(int(unicodedata.numeric(char))), "二") for char in m[0])


_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


def roman(letters: str) -> str:
    """XIV -> 十四."""
    values = [_ROMAN[letter] for letter in letters]
    return cardinal(str(sum(-a if a < b else a for a, b in zip(values, [*values[1:], 0], strict=True))), "二")


def circled(m: re.Match[str]) -> str | None:
    """① of a list has pauses around it; 步骤① has none."""
    value = unicodedata.numeric(m[0], None)
    if value is None:
        return None
    first = re.search(rf"(?:^|[^{HAN}\w{DONE}])[{CIRCLED}] ?[{HAN}]", m.string)
    is_list = bool(first and m["word"])
    inside = first and is_list and first.start() < m.start() - 1 and re.search(f"[{HAN}]$", before(m))
    return ("," if inside else "") + cardinal(str(int(value)), "二") + ("," if is_list else "")


def small_digits(m: re.Match[str]) -> str:
    """H₂O, and footnotes."""
    parts = re.findall(r"\d+|\D", unicodedata.normalize("NFKC", m[0]))
    return "".join(
        cardinal(part, "二") if part.isdecimal() else table("units")["signs"].get(part, "") for part in parts
    )


_COUNTS_BEHIND = r"[-,.:/~%]\d|«to»\d| ?[年月日号点时万亿元度]| ?[«han»]{0,2}%"


def behind_letters(m: re.Match[str]) -> str | None:
    """iPhone15 -> 十五, F-16 -> 十六, COVID-19, PM2.5; three digits and more one by one: MH370, RTX4090."""
    figure = m["n"]
    spaced = m["it"][0] == " "
    if spaced and (COUNTED.match(after(m)) or pattern_of(_COUNTS_BEHIND).match(after(m))):
        return None
    if "." in figure:
        return number(figure)
    if len(figure) < 3:
        mask = figure == "95" and re.search("(?:^|[^A-Za-z])K?N$", before(m))
        return digits(figure) if figure[0] == "0" or mask else cardinal(figure, "二")
    if figure.endswith("00") and figure[0] != "0":
        return cardinal(figure)
    if spaced and len(figure) > 4:
        return None
    return digits(figure, "一" if len(figure) == 4 and figure[:2] in ("19", "20") else "幺")


_RANKED = re.compile(
    f"(?:第{DONE}+[、,和~到-]|第|初|高|大|小|周|星期|礼拜|农历|农历初|图|表|例|题|编号|[在到上于]|地下) ?$"
)


def plain(m: re.Match[str]) -> str | None:
    a, b, text_before, text_after = m["a"], m["b"], before(m), m.string[m.end("b") if m["b"] else m.end("a") :][:8]
    if m["more"]:
        return None
    if not b:
        return _number(a, text_before, text_after)
    between = "到" if re.search("[~～到至]", m[0]) else _between(a, b, m[0], text_before, text_after)
    if between == "到":
        return f"{_number(a, text_before, text_after)}到{_number(b, '', text_after)}"
    return number(a) + between + number(b)


def _between(a: str, b: str, written: str, text_before: str, text_after: str) -> str:
    """What a hyphen between two numbers says: 比, 减, 杠 or 到."""
    if is_score(text_before, text_after) or (a == b and len(a) < 3):
        return "比"
    low, high = (float(figure.replace(",", "").replace("−", "-").lstrip("+±")) for figure in (a, b))
    if low < high or b[0] in MINUS:
        return "到"
    if re.match(" ?(?:等于|的差|得)| ?=", text_after) or " - " in written or text_before.endswith("满"):
        return "减"
    return "杠" if max(len(a), len(b)) > 2 or re.match(" ?[号栋室]", text_after) else "比"


def _number(written: str, text_before: str, text_after: str) -> str:
    if written == "2":
        is_rank = _RANKED.search(text_before) and not re.match(" ?(?:个|[小分]|米|公)", text_after)
        return "二" if is_rank else counted(written, text_after)
    figure = written.lstrip("-−+±")
    if figure.isdecimal() and len(figure) > 7 and not COUNTED.match(text_after) and not figure.endswith("000"):
        return sign_of(written) + digits(figure, "幺")
    return number(written)
