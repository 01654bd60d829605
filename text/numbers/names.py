"""Addresses, telephones and other numbers that are names: digit by digit, 1 as 幺."""

import re

from text.numbers.numerals import digits
from text.numbers.rules import Rule, Written, groups, unless_counted

_URL_SIGNS = {
    **{".": "点", "/": "斜杠", ":": "冒号", "?": "问号", "=": "等于", "&": "和", "-": "杠", "_": "下划线", "@": "艾特"},
    **{"%": "百分号", "#": "井号", "+": "加", "~": "波浪号", "!": "叹号", ",": "逗号", ";": "分号", "$": "美元符号"},
    **dict.fromkeys("'()*[]", ""),
}


def _address(m: re.Match[str]) -> str:
    words = []
    for part in re.findall(r"[A-Za-z]+|\d+|.", re.sub(r"\bwww\.", "三W.", m[0])):
        if part[0].isascii() and part.isalpha():
            words.append(f" {part if len(part) > 1 else part.upper()} ")
        else:
            words.append(digits(part, "幺") if part.isdecimal() else _URL_SIGNS.get(part, part))
    return "".join(words).strip()


def _ip_address(m: re.Match[str]) -> str | None:
    if any(int(part) > 255 for part in m["host"].split(".")):
        return None
    return f"{Written(m[0]):name}"


def _car_plate(m: re.Match[str]) -> str:
    signs = [char for char in m["it"] if char.isalnum()]
    return "".join(digits(char, "幺") if char.isdecimal() else f" {char} " for char in signs).strip()


def _train(m: re.Match[str]) -> str:
    return digits(m["it"], "幺" if len(m["it"]) > 1 else "一")


RULES = (
    Rule(  # www.example.com/a -> 三W点 example 点 com 斜杠 a
        r"(?<![A-Za-z0-9@.])(?:(?:https?|ftp)://[\w.~:/?#\[\]@!$&'()*+,;=%-]*[\w/=&#~%+-]"
        r"|[\w.+-]{0,63}\w@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"
        r"|(?:[A-Za-z0-9-]{1,63}\.)+(?:«tlds»)(?![A-Za-z0-9-]|\.[A-Za-z0-9])(?::\d+)?"
        r"(?:/(?:[\w.~:/?#\[\]@!$&'*+,;=%-]*[\w/=&#~%+-])?)?"
        r"|www\.[\w.~:/?#@!$&'*+;=%-]*[\w/])",
        _address,
        re.ASCII,
    ),
    # main.py -> main 点 P Y; Node.js
    Rule(
        r"(?<=[A-Za-z0-9_])\.(?P<name>py|js|ts|md|gz|sh|rs|pt)(?![A-Za-z0-9])",
        lambda m: "点 " + " ".join(m["name"].upper()),
    ),
    # README.txt, ASP.NET, .NET
    Rule(r"(?<=[A-Za-z0-9_])\.(?=(?:«extensions»|NET)(?![A-Za-z0-9]))", "点"),
    Rule(r"(?<![A-Za-z0-9])\.(?=NET(?![A-Za-z]))", "点"),
    Rule(  # 010-12345678 -> 零幺零,幺二三四五六七八
        r"(?<![\dA-Za-z.+-])(?:"
        r"(?:\(?(?:\+|00)86\)?[- ]?|86[- ])?1[3-9]\d([- ]?)\d{4}\1\d{4}"  # mobile
        r"|(?:\(?(?:\+|00)86\)?[- ]?)?(?:\(0\d{2,3}\) ?|0\d{2,3}[- ])\d{3,4}[- ]?\d{4}(?:-\d{1,6})?"  # landline
        r"|\+86[- ]?[1-9]\d{1,2}[- ]?\d{7,8}"
        r"|[48]00(?:[- ]\d{3}[- ]\d{4}|[- ]\d{4}[- ]\d{3}|[- ]?\d{7})"
        r"|\+\d{1,3}(?:[- ]?\(\d{1,4}\)|[- ]\d{1,4})(?:[- ]?\d{2,4}){1,4}"  # abroad
        r"|\d{3}-\d{4}-\d{4}|\d{4}(?: \d{4}){2,3}(?: \d{1,3})?|\d{4}(?:-\d{4}){2,3}"  # cards
        r")(?![\d%]|\.\d| ?[=+×÷])",
        lambda m: groups(m[0].replace("(+", "+")),
    ),
    Rule(r"(?<![\dA-Za-z.])\d{17}[\dXx](?![\dA-Za-z])", "{it:name}"),  # of an identity card
    Rule(r"(?<![\dA-Za-z.])(?P<host>\d{1,3}(?:\.\d{1,3}){3})(?:[:/]\d{1,5})?(?!\.{0,9}\d)", _ip_address),
    Rule(  # 京A·12345 -> 京A,幺二三四五, the letters one by one
        "(?<=[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼])"
        r"(?P<it>[A-Z][·.• -]?(?=[A-Z]{0,5}\d)[A-HJ-NP-Z0-9]{5,6}(?:挂|警|学)?)(?![A-Za-z0-9])",
        _car_plate,
    ),
    Rule(r"(?<![A-Za-z\d])[GDCZTKYLS](?P<it>\d{1,4})(?= ?(?:次|号?列车|动车|高铁|趟))", _train),
    Rule(r"(?:高铁|动车|列车|火车|车次|乘坐|乘) ?[GDCZTKYLS](?P<it>\d{1,4})(?![A-Za-z\d])", _train),
    # GB/T 2312-1980, ISO 27001
    Rule(
        r"(?<![A-Za-z])(?:GB|ISO|IEC|IEEE|RFC|JB|DIN|ANSI|DB|YY|HJ)(?:/[TZ])? ?(?P<it>\d{3,}(?:[.-]\d+)*)(?!\d)",
        "{it:name}",
    ),
    # 尾号8888, 拨打12306
    Rule(
        r"(?:«named»)(?:是|为|[::])? ?[A-Z]{0,3}(?P<it>\d{3,})(?![.,%:/-]{0,9}\d)(?![A-Za-z%])",
        unless_counted("{it:name}"),
    ),
    # 110, where there is danger, or in a list of such numbers
    Rule(
        r"(?<![\d.])(?P<it>«emergency»)"
        r"(?= ?(?:报警|电话|急救|指挥|接警|救护|热线|平台|火警|查号|[、和或及/]«emergency»(?!\d)))",
        "{it:name}",
    ),
    Rule(r"(?<=[打拨叫])(?P<it>«emergency»)(?![\d.个多])", "{it:name}"),
    Rule(r"(?<=«done»{3}[、和或及/])(?P<it>«emergency»)(?!\d)", "{it:name}"),
    # 12306, 10086, 95588: nobody counts to them
    Rule(
        r"(?<![\d.第])(?:100(?:1[0-9]|86)|123(?:0[56]|1[0-9]|2[0-9]|3[0-9]|4[58]|5[0-9]|6[0-9]|8[0-9]|9[0-9])"
        r"|12345|11185|9[56]\d{3})(?![.,:%/-]{0,9}\d)(?![A-Za-z%‰])",
        unless_counted("{it:name}"),
    ),
)
