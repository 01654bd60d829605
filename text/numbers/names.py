"""Addresses, telephones and other numbers that are names: digit by digit, 1 as 幺."""

import re

from text.numbers.numerals import digits

_URL_SIGNS = {
    **{".": "点", "/": "斜杠", ":": "冒号", "?": "问号", "=": "等于", "&": "和", "-": "杠", "_": "下划线", "@": "艾特"},
    **{"%": "百分号", "#": "井号", "+": "加", "~": "波浪号", "!": "叹号", ",": "逗号", ";": "分号", "$": "美元符号"},
    **dict.fromkeys("'()*[]", ""),
}


def address(m: re.Match[str]) -> str:
    words = []
    for part in re.findall(r"[A-Za-z]+|\d+|.", re.sub(r"\bwww\.", "三W.", m[0])):
        if part[0].isascii() and part.isalpha():
            words.append(f" {part if len(part) > 1 else part.upper()} ")
        else:
            words.append(digits(part, "幺") if part.isdecimal() else _URL_SIGNS.get(part, part))
    return "".join(words).strip()


def car_plate(m: re.Match[str]) -> str:
    signs = [char for char in m["it"] if char.isalnum()]
    return "".join(digits(char, "幺") if char.isdecimal() else f" {char} " for char in signs).strip()
