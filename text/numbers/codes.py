"""Versions, ratios, codes of several parts, rooms and roads."""

import re

from text.numbers.numerals import COUNTED, cardinal, digits, number
from text.numbers.patterns import after, before, groups, is_score

_NO_RATIO_BEHIND = re.compile(
    "(?:步骤|问题|选项|方案|阶段|环节|案例|规则|任务|要点|原因|技巧|方法|建议|答案|[题图表第注条]|(?<!比)例) ?$"
)


def version(m: re.Match[str]) -> str:
    """3.11.7 -> 三点十一点七."""
    return "点".join(cardinal(part, "二") if len(part) < 3 else digits(part) for part in m["it"].split("."))


def ratio(m: re.Match[str]) -> str | None:
    """3:2 -> 三比二; but 步骤1：2个鸡蛋."""
    is_list = COUNTED.match(after(m)) and not is_score(before(m), after(m))
    if is_list or _NO_RATIO_BEHIND.search(before(m)):
        return None
    return "比".join(map(number, re.split(r" ?[:∶] ?", m["it"])))


def code(m: re.Match[str]) -> str | None:
    """3-2-501 -> 三杠二杠五零幺; of two numbers only where something says that they are no range."""
    parts = re.findall(r"\d+", m["it"])
    letter = m["it"][0] + " 杠" if m["it"][0].isalpha() else ""
    if len(parts) == 2 and not letter:
        same = len(parts[0]) == len(parts[1])
        if parts[0][0] == "0" and len(parts[0]) > 1 and same:
            return None  # 01-05号
        captioned = re.search("[图表例题式附] ?$", before(m))
        if not captioned and (same or not re.match(" ?(?:室|号房|房间|号楼)", after(m))):
            return None
    if len(parts) > 3 or any(len(part) > 4 for part in parts):
        return groups(m["it"])
    return letter + "杠".join(
        digits(part, "幺") if len(part) > 2 or part[0] == "0" else cardinal(part, "二") for part in parts
    )
