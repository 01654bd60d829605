"""The parts that the patterns of numbers have in common, and what stands beside a match."""

import functools
import re
from collections.abc import Iterable

from text.numbers.numerals import COUNTED, digits
from text.tables import table, with_parts
from text.units import units

HAN = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff〇"
DONE = "\uffff"  # stands for a character that a rule has claimed; no character, so nothing else means it
VULGAR = "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞↉"
CIRCLED = "\u2460-\u249b\u24ea\u24eb-\u24ff\u2776-\u2793\u3251-\u325f\u32b1-\u32bf"
MINUS = "-−"
NUM = r"(?:\d{1,3}(?:,\d{3}){1,10}(?!\d)|\d+)(?:\.\d+)?"

# «name» in a pattern is one of these or of the lists in numbers.yml and units.yml.
_PARTS = {
    **{"han": HAN, "done": DONE, "vulgar": VULGAR, "circled": CIRCLED, "minus": MINUS, "num": NUM},
    "start": r"(?<![\d.])",
    # A minus is none between two things (3-5, A-5, 3个-5个); a plus is none behind a word (苹果+3).
    "sign": r"(?:(?<![\dA-Za-z)\]%‰℃°«done»-])(?<![\d«done»][«han»])(?<![\d«done»][«han»]{2})[«minus»±]"
    r"|(?<![\w)\]%‰℃°«done»+])\+)",
    "to": r" ?(?:——|[-−–—―~～至到]) ?",
    "signed": "«start»(?:«sign»)?«num»",
    "range": "(?P<a>«signed»)(?:«to»(?P<b>[«minus»]?«num»))?",
    "year": r"[12]\d{3}",
    "month": r"(?:0?[1-9]|1[0-2])",
    "day": r"(?:0?[1-9]|[12]\d|3[01])",
    "date": r"«start»(?P<y>«year»)(?P<s> ?[-/.] ?)(?P<m>«month»)(?P=s)(?P<d>«day»)",
    "superscript": "⁰¹²³⁴⁵⁶⁷⁸⁹",
    "power": r"(?:[⁻⁺]?[«superscript»ⁿ]+|\^[-−]?(?:\d+|[A-Za-z])|\^\{[-−]?\w+\})",
    "scientific": r"\d+(?:\.\d+)?[eE][-−+]?\d{1,3}",
    "roman": r"(?P<it>(?=[IVXL]+)(?:XL|L?X{0,3})(?:IX|IV|V?I{0,3}))(?![A-Za-z0-9])",
    "power of ten": "[万亿千百]{1,2}|(?:[kKMmBb]|bn)(?![A-Za-z0-9])| ?(?:million|billion|trillion)(?![A-Za-z])",
    "degrees": "℃|° ?C(?![A-Za-z])|℉|° ?F(?![A-Za-z])",
    "octet": r"(?:25[0-5]|2[0-4]\d|[01]?\d?\d)",
    "emergency": "(?:110|112|114|119|120|122|911|999)",
}


@functools.cache
def pattern_of(pattern: str) -> re.Pattern[str]:
    """The regular expression, with its parts put in."""
    return re.compile(with_parts(pattern, _parts()))


@functools.cache
def _parts() -> dict[str, str]:
    words = {name: _any(listed.split()) for name, listed in table("numbers")["words"].items()}
    currencies, signs = table("units")["currencies"], table("units")["signs"]
    return {
        **_PARTS,
        **words,
        "counted": COUNTED.pattern,
        "unit": _any(units()),
        "currency": _any(currencies),
        "currency behind": _any(name for name in currencies if name.isalpha() or name in "€£₽₹₩"),
        "signs": re.escape("".join(signs)),
    }


def _any(words: Iterable[str]) -> str:
    """A pattern for any of some words, the longest first."""
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


def before(match: re.Match[str], length: int = 8) -> str:
    begin = match.start("it") if "it" in match.re.groupindex else match.start()
    return match.string[max(0, begin - length) : begin]


def after(match: re.Match[str], length: int = 8) -> str:
    end = match.end("it") if "it" in match.re.groupindex else match.end()
    return match.string[end : end + length]


_SCORE_BEFORE = re.compile(
    "(?:比分|比|以|总分|局分|领先|落后|击败|战胜|不敌|力克|逆转|横扫|[大险惨完战小]胜|负|得分|比例|配比|打成|战成|踢成|按)"
    "(?:为|是|了|[::])? ?$"
)
_SCORE_AFTER = re.compile(
    " ?(?:获胜|战胜|击败|领先|落后|险胜|大胜|力克|逆转|淘汰|横扫|取胜|完胜|小胜|惨败|不敌|负于|告负|落败|战平|打平"
    "|[输赢平胜负]|的?(?:比分|比例|优势|成绩|大比分|宽?屏|画面|分辨率|显示))"
)


def is_score(text_before: str, text_after: str) -> bool:
    return bool(_SCORE_BEFORE.search(text_before) or _SCORE_AFTER.match(text_after))


def groups(written: str) -> str:
    """Groups of digits with a short pause between them."""
    parts = ",".join(digits(part, "幺") for part in re.findall(r"\d+", written))
    return ("加" if written.startswith(("+", "(+")) else "") + parts
