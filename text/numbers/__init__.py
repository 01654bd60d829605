"""Numbers, units and signs -> Chinese, as a reader says them: 2024-05-06 -> 二零二四年五月六日, 3:2 -> 三比二.

One list of rules, in the order in which they are tried: what one has claimed, the later ones leave alone, so the
special stand before the general. The words may be Latin ("三W") or marks; both are said like any others.
"""

import functools
import re
from dataclasses import dataclass

from text.numbers import codes, dates, formulas, names, plain, quantities, signs
from text.numbers.rules import DONE, pattern_of, say

RULES = (*names.RULES, *dates.RULES, *codes.RULES, *formulas.RULES, *quantities.RULES, *plain.RULES, *signs.RULES)

_WORTH_A_LOOK = r"每[A-Za-zμ]|[·\d/~～\-–—#*×.§★⭐➡«signs»«vulgar»«circled»\u2160-\u2188IVXL\u00b2\u00b3\u2070-\u2089]"


@dataclass(frozen=True)
class Span:
    """A stretch [begin, end) of the text and the words in its place."""

    begin: int
    end: int
    words: str


@functools.cache
def patterns() -> list[re.Pattern[str]]:
    """Where each of RULES applies."""
    return [pattern_of(rule.pattern, rule.flags) for rule in RULES]


def spans(text: str) -> list[Span]:
    """What the rules say, in order, without overlap; the rest of the text is said as it is written."""
    if not pattern_of(_WORTH_A_LOOK).search(text):
        return []
    claimed: list[Span] = []
    for rule, pattern in zip(RULES, patterns(), strict=True):
        for match in list(pattern.finditer(text)):
            words = say(rule, match)
            begin, end = match.span("it") if "it" in pattern.groupindex else match.span()
            if words is None or begin == end:
                continue
            claimed.append(Span(begin, end, words))
            text = text[:begin] + DONE * (end - begin) + text[end:]
    return sorted(claimed, key=lambda span: span.begin)
