"""Numbers, units and signs -> Chinese, as a reader says them: 2024-05-06 -> 二零二四年五月六日, 3:2 -> 三比二.

text/data/numbers.yml has the rules, one ordered list; what takes more than a template is a function of the module of
its kind. The words may be Latin ("三W") or marks; both are said like any others.
"""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass

from text.numbers import codes, dates, formulas, names, plain, quantities
from text.numbers.numerals import cardinal, digits, number, sign_of
from text.numbers.patterns import DONE, groups, pattern_of
from text.tables import table
from text.units import units

_WORTH_A_LOOK = r"每[A-Za-zμ]|[·\d/~～\-–—#*×.§★⭐➡«signs»«vulgar»«circled»\u2160-\u2188IVXL\u00b2\u00b3\u2070-\u2089]"
_KINDS = {module.__name__.rpartition(".")[2]: module for module in (names, dates, codes, formulas, quantities, plain)}
_SIGNS_OF_NAMES = {"-": "杠", ".": "点", ":": "冒号", "/": "斜杠", "X": " X", "x": " X"}
_FORMATS: dict[str, Callable[[str], str]] = {
    "": str,
    "cardinal": cardinal,
    "count": lambda written: "两" if written == "2" else number(written),
    "digits": lambda written: "点".join(map(digits, written.split("."))),
    "groups": groups,
    "letters": lambda written: " ".join(written.upper()),
    "meaning": lambda sign: table("units")["signs"][sign],
    "name": lambda written: "".join(_SIGNS_OF_NAMES.get(char) or digits(char, "幺") for char in written),
    "number": number,
    "part": lambda written: cardinal(str(int(written))),  # of a date: 05 is 五
    "percent": quantities.percent,
    "power": quantities.power,
    "rank": lambda written: cardinal(written, "二"),
    "roman": plain.roman,
    "scientific": quantities.times_a_power_of_ten,
    "sign": sign_of,
    "unit": lambda unit: "".join(units()[unit]),
    "unit_name": lambda unit: units()[unit][1],
}
Say = Callable[[re.Match[str]], str | None]


@dataclass(frozen=True)
class Span:
    """A stretch [begin, end) of the text and the words in its place."""

    begin: int
    end: int
    words: str


class _Written(str):
    """A part of the text; as a format, how it is said: {year:digits}."""

    def __format__(self, how: str) -> str:
        return _FORMATS[how](str(self))


@functools.cache
def rules() -> list[tuple[re.Pattern[str], Say]]:
    """Where each rule applies, and what it says there, or None where it declines."""
    listed = []
    for kind, entries in table("numbers")["rules"].items():
        for entry in entries:
            say = getattr(_KINDS[kind], entry["by"]) if "by" in entry else functools.partial(_filled, entry["say"])
            listed.append((pattern_of("".join(entry["at"])), say))
    return listed


def _filled(template: str, match: re.Match[str]) -> str:
    """A rule's template with what its groups took; "it" is all that is claimed."""
    groups_of = {"it": match[0], **match.groupdict(default="")}
    return template.format_map({name: _Written(group) for name, group in groups_of.items()})


def spans(text: str) -> list[Span]:
    """What the rules say, in order, without overlap; the rest of the text is said as it is written."""
    if not pattern_of(_WORTH_A_LOOK).search(text):
        return []
    claimed: list[Span] = []
    for pattern, say in rules():
        for match in list(pattern.finditer(text)):
            words = say(match)
            begin, end = match.span("it") if "it" in pattern.groupindex else match.span()
            if words is None or begin == end:
                continue
            claimed.append(Span(begin, end, words))
            text = text[:begin] + DONE * (end - begin) + text[end:]
    return sorted(claimed, key=lambda span: span.begin)
