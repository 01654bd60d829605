"""Whole formulas, in which a hyphen is 减, a slash 除以, and letters stand alone."""

import re
import unicodedata

from text.numbers.numerals import cardinal, number
from text.numbers.patterns import pattern_of
from text.numbers.quantities import percent, power, quantity, share, times_a_power_of_ten
from text.tables import table
from text.units import units

_OPERAND = r"[\dA-Za-zα-ωΑ-Ω)%‰∞°℃⁰¹²³⁴⁵⁶⁷⁸⁹ⁿ₀-₉]"
_RELATION = re.compile(rf"{_OPERAND} ?(?:[=<>≤≥≦≧≠≈≡×÷±]|\+(?!\+)) ?[-−+±√(\dA-Za-zα-ωΑ-Ω∞]")
_FUNCTIONS = frozenset("sin cos tan cot log ln lg lim max min exp mod det".split())
_OPERATORS = {"*": "乘", "/": "除以", "·": "乘", **dict.fromkeys("(){}|", "'")}
_TOKEN = (
    r"(?P<scientific>(?<![A-Za-z\d.])«scientific»(?![A-Za-z\d.]))"
    r"|(?P<fraction>(?<![\d./])\d+/\d+(?![\d./]))|(?P<percent>«num»[%‰])|(?P<unit>«num» ?(?:«unit»)(?![A-Za-z0-9²³]))"
    r"|(?P<unit_alone>(?:(?<=[«superscript»])|(?<=\^\d)|(?<=\^\d\d)) ?(?:«unit»)(?![A-Za-z0-9²³]))"
    r"|(?P<number>«num»)|(?P<power>«power»)|(?P<word>[A-Za-z]+)|(?P<sign>.)"
)


def formula(m: re.Match[str]) -> str | None:
    """3+5=8, x²+y²=z²; mc is m c."""
    written = re.sub(r"(?<=\d) ?[xX*] ?(?=\d)", "×", m["it"])
    if not _RELATION.search(written) or re.search(r"--|[-=]>|<-|\.\.", written):
        return None
    words = re.findall("[A-Za-z]+", written)
    if any(len(word) > 2 and word not in _FUNCTIONS and word not in units() for word in words):
        return None
    if written.count("(") != written.count(")") or re.search(r"[A-Za-z]\+$|(?<=[A-Za-z\d]) (?=[A-Za-z\d])", written):
        return None
    return "".join(_token(token, written[: token.start()]) for token in pattern_of(_TOKEN).finditer(written)).strip()


def _token(token: re.Match[str], text_before: str) -> str:
    """What is said for a token of a formula behind `text_before`."""
    part = token[0]
    match token.lastgroup:
        case "scientific":
            return times_a_power_of_ten(part)
        case "fraction":
            a, b = part.split("/")
            divides = int(b) == 0 or int(a) % int(b) == 0
            return f"{number(a)}除以{number(b)}" if divides else share(a, b)
        case "percent":
            return percent(part)
        case "unit":
            name = pattern_of("^«num»").sub("", part)
            return quantity(part.removesuffix(name), None, name.strip())
        case "unit_alone":
            return "".join(units()[part.strip()])
        case "number":
            return number(part)
        case "power":
            return power(part)
        case "word":
            return f" {part} " if part.isupper() or part in _FUNCTIONS else f" {' '.join(part).upper()} "
    if part in "-−":
        return "减" if re.search(rf"{_OPERAND}\s*$", text_before) else "负"
    plain = unicodedata.normalize("NFKC", part)
    return (
        _OPERATORS.get(part) or table("units")["signs"].get(part) or (cardinal(plain) if plain.isdecimal() else plain)
    )
