"""Numbers, units and signs -> Chinese, as a reader says them: 2024-05-06 -> 二零二四年五月六日, 3:2 -> 三比二.

Rules in the order in which they are tried: what one has claimed, the later ones leave alone, so the special stand
before the general. Each sees the text around its match and may decline (None). The result may hold Latin words
("三W") and marks; both are said like any others.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from text.numerals import COUNTED, cardinal, counted, digits, number, sign_of
from text.units import CURRENCIES, DOUBTFUL_UNITS, POWERS_OF_TEN, SIGNS, UNITS

HAN = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff〇"
DONE = "\uffff"  # stands for a character that a rule has claimed; no character, so nothing else means it

VULGAR = "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞↉"
CIRCLED = "\u2460-\u249b\u24ea\u24eb-\u24ff\u2776-\u2793\u3251-\u325f\u32b1-\u32bf"

NUM = r"(?:\d{1,3}(?:,\d{3}){1,10}(?!\d)|\d+)(?:\.\d+)?"
_START = r"(?<![\d.])"
_MINUS = "-−"
# A minus is none between two things (3-5, A-5, 3个-5个); a plus is none behind a word (苹果+3).
_SIGN = (
    rf"(?:(?<![\dA-Za-z)\]%‰℃°{DONE}-])(?<![\d{DONE}][{HAN}])(?<![\d{DONE}][{HAN}]{{2}})[{_MINUS}±]"
    rf"|(?<![\w)\]%‰℃°{DONE}+])\+)"
)
_TO = r" ?(?:——|[-−–—―~～至到]) ?"
SIGNED = rf"{_START}(?:{_SIGN})?{NUM}"
RANGE = rf"(?P<a>{SIGNED})(?:{_TO}(?P<b>[{_MINUS}]?{NUM}))?"

_RANKED = re.compile(
    f"(?:第{DONE}+[、,和~到-]|第|初|高|大|小|周|星期|礼拜|农历|农历初|图|表|例|题|编号|[在到上于]|地下) ?$"
)


_SCORE_BEFORE = re.compile(
    "(?:比分|比|以|总分|局分|领先|落后|击败|战胜|不敌|力克|逆转|横扫|[大险惨完战小]胜|负|得分|比例|配比|打成|战成|踢成|按)"
    "(?:为|是|了|[::])? ?$"
)
_SCORE_AFTER = re.compile(
    " ?(?:获胜|战胜|击败|领先|落后|险胜|大胜|力克|逆转|淘汰|横扫|取胜|完胜|小胜|惨败|不敌|负于|告负|落败|战平|打平"
    "|[输赢平胜负]|的?(?:比分|比例|优势|成绩|大比分|宽?屏|画面|分辨率|显示))"
)


@dataclass(frozen=True)
class Span:
    """A stretch [begin, end) of the text and what is said in its place."""

    begin: int
    end: int
    said: str


def spans(text: str) -> list[Span]:
    """What the rules say, in order, without overlap; the rest of the text is said as it is written."""
    if not _WORTH_A_LOOK.search(text):
        return []
    found: list[Span] = []
    for pattern, say in _RULES:
        for match in list(pattern.finditer(text)):
            said = say(match)
            begin, end = match.span("it") if "it" in pattern.groupindex else match.span()
            if said is None or begin == end:
                continue
            found.append(Span(begin, end, said))
            text = text[:begin] + DONE * (end - begin) + text[end:]
    return sorted(found, key=lambda span: span.begin)


def _to(a: str, b: str | None, after: str = "", say: Callable[[str], str] | None = None) -> str:
    """One number or a range of two, before what `after` begins with."""
    say = say or (lambda written: counted(written, after))
    return f"{say(a)}到{say(b)}" if b else say(a)


# --- the rules ---------------------------------------------------------------------------------------------------

_RULES: list[tuple[re.Pattern[str], Callable[[re.Match[str]], str | None]]] = []


def _rule(pattern: str, flags: int = 0):
    """Adds a function as the rule for a pattern; of a pattern with a group "it", only that is claimed."""

    def add(say: Callable[[re.Match[str]], str | None]):
        _RULES.append((re.compile(pattern, flags), say))
        return say

    return add


def _before(match: re.Match[str], length: int = 8) -> str:
    begin = match.start("it") if "it" in match.re.groupindex else match.start()
    return match.string[max(0, begin - length) : begin]


def _after(match: re.Match[str], length: int = 8) -> str:
    end = match.end("it") if "it" in match.re.groupindex else match.end()
    return match.string[end : end + length]


def _is_score(match: re.Match[str]) -> bool:
    return bool(_SCORE_BEFORE.search(_before(match)) or _SCORE_AFTER.match(_after(match)))


def _any(words: str) -> str:
    """A pattern for any of some words, the longest first."""
    return "|".join(re.escape(word) for word in sorted(words.split(), key=len, reverse=True))


# Addresses: what people say for their signs.

_URL_SIGNS = {
    **{".": "点", "/": "斜杠", ":": "冒号", "?": "问号", "=": "等于", "&": "和", "-": "杠", "_": "下划线", "@": "艾特"},
    **{"%": "百分号", "#": "井号", "+": "加", "~": "波浪号", "!": "叹号", ",": "逗号", ";": "分号", "$": "美元符号"},
}
_TLD = (
    "com cn net org edu gov io ai cc me tv co info app dev top xyz site online club vip shop uk jp hk tw de fr us ru kr"
)


@_rule(
    r"(?<![A-Za-z0-9@.])(?:(?:https?|ftp)://[\w.~:/?#\[\]@!$&'()*+,;=%-]*[\w/=&#~%+-]"
    r"|[\w.+-]{0,63}\w@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"
    rf"|(?:[A-Za-z0-9-]{{1,63}}\.)+(?:{_any(_TLD)})(?![A-Za-z0-9-]|\.[A-Za-z0-9])(?::\d+)?"
    r"(?:/(?:[\w.~:/?#\[\]@!$&'*+,;=%-]*[\w/=&#~%+-])?)?"
    r"|www\.[\w.~:/?#@!$&'*+;=%-]*[\w/])",
    re.ASCII,
)
def _address(m: re.Match[str]) -> str:
    """www.example.com/a -> 三W点 example 点 com 斜杠 a."""
    said = []
    for part in re.findall(r"[A-Za-z]+|\d+|.", re.sub(r"\bwww\.", "三W.", m[0])):
        if part[0].isascii() and part.isalpha():
            said.append(f" {part if len(part) > 1 else part.upper()} ")
        else:
            said.append(
                digits(part, "幺") if part.isdecimal() else _URL_SIGNS.get(part, "" if part in "'()*[]" else part)
            )
    return "".join(said).strip()


_EXTENSIONS = (
    "py js ts jsx tsx txt md pdf doc docx xls xlsx ppt pptx csv json yaml yml toml htm html css jpg jpeg png gif svg "
    "mp3 mp4 wav flac avi mkv mov zip rar gz tar exe apk dmg dll ini log sh bat cpp java go rs php sql onnx pt pth bin"
)


@_rule(r"(?<=[A-Za-z0-9_])\.(?P<name>py|js|ts|md|gz|sh|rs|pt)(?![A-Za-z0-9])")
def _short_file_name(m: re.Match[str]) -> str:
    """main.py -> main 点 P Y; Node.js."""
    return "点 " + " ".join(m["name"].upper())


@_rule(r"(?<![A-Za-z0-9])(?P<it>\.)(?=NET(?![A-Za-z]))")
@_rule(rf"(?<=[A-Za-z0-9_])(?P<it>\.)(?=(?:{_any(_EXTENSIONS)}|NET)(?![A-Za-z0-9]))")
def _file_name(_m: re.Match[str]) -> str:
    """README.txt, ASP.NET."""
    return "点"


# Telephones and other numbers that are names: digit by digit, 1 as 幺.


def _groups(written: str) -> str:
    """Groups of digits with a short pause between them."""
    said = ",".join(digits(group, "幺") for group in re.findall(r"\d+", written))
    return ("加" if written.startswith("+") else "") + said


@_rule(
    r"(?<![\dA-Za-z.+-])(?:"
    r"(?:\(?(?:\+|00)86\)?[- ]?|86[- ])?1[3-9]\d([- ]?)\d{4}\1\d{4}"  # mobile
    r"|(?:\(?(?:\+|00)86\)?[- ]?)?(?:\(0\d{2,3}\) ?|0\d{2,3}[- ])\d{3,4}[- ]?\d{4}(?:-\d{1,6})?"  # landline
    r"|\+86[- ]?[1-9]\d{1,2}[- ]?\d{7,8}"
    r"|[48]00(?:[- ]\d{3}[- ]\d{4}|[- ]\d{4}[- ]\d{3}|[- ]?\d{7})"
    r"|\+\d{1,3}(?:[- ]?\(\d{1,4}\)|[- ]\d{1,4})(?:[- ]?\d{2,4}){1,4}"  # abroad
    r"|\d{3}-\d{4}-\d{4}|\d{4}(?: \d{4}){2,3}(?: \d{1,3})?|\d{4}(?:-\d{4}){2,3}"  # cards
    r")(?![\d%]|\.\d| ?[=+×÷])"
)
def _telephone(m: re.Match[str]) -> str:
    """010-12345678 -> 零幺零,幺二三四五六七八."""
    return _groups(m[0].replace("(+", "+"))


@_rule(r"(?<![\dA-Za-z.])\d{17}[\dXx](?![\dA-Za-z])")
def _identity_card(m: re.Match[str]) -> str:
    return digits(m[0][:17], "幺") + (digits(m[0][17], "幺") if m[0][17].isdecimal() else " X")


@_rule(r"(?<![\dA-Za-z.])\d{1,3}(?:\.\d{1,3}){3}(?:(?P<slash>[:/])(?P<port>\d{1,5}))?(?!\.{0,9}\d)")
def _ip_address(m: re.Match[str]) -> str | None:
    host = re.match(r"[\d.]+", m[0])[0].split(".")
    if any(int(part) > 255 for part in host):
        return None
    port = _URL_SIGNS[m["slash"]] + digits(m["port"], "幺") if m["slash"] else ""
    return "点".join(digits(part, "幺") for part in host) + port


_PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"


@_rule(rf"(?<=[{_PROVINCES}])(?P<it>[A-Z][·.• -]?(?=[A-Z]{{0,5}}\d)[A-HJ-NP-Z0-9]{{5,6}}(?:挂|警|学)?)(?![A-Za-z0-9])")
def _car_plate(m: re.Match[str]) -> str:
    """京A·12345 -> 京A,幺二三四五, the letters one by one."""
    signs = [char for char in m[0] if char.isalnum()]
    return "".join(digits(char, "幺") if char.isdecimal() else f" {char} " for char in signs).strip()


@_rule(r"(?<![A-Za-z\d])[GDCZTKYLS](?P<it>\d{1,4})(?= ?(?:次|号?列车|动车|高铁|趟))")
def _train(m: re.Match[str]) -> str:
    return digits(m["it"], "幺" if len(m["it"]) > 1 else "一")


@_rule(r"(?:高铁|动车|列车|火车|车次|乘坐|乘) ?[GDCZTKYLS](?P<it>\d{1,4})(?![A-Za-z\d])")
def _train_named_before(m: re.Match[str]) -> str:
    return digits(m["it"], "幺" if len(m["it"]) > 1 else "一")


_NAMED = (
    "编号 股票 尾号 验证码 校验码 密码 邮编 邮政编码 学号 工号 座位号 房号 房间 房间号 门牌 门牌号 车号 单号 订单 "
    "订单号 流水号 卡号 账号 帐号 账户 证号 证件号 号码 电话 手机 手机号 电话号码 座机 热线 拨打 拨 致电 呼叫 "
    "航班 航班号 车次 代码 批号 代号 QQ QQ号 QQ群 群号 微信号 ID 分机 分机号 转 取件码 提取码 邀请码 序列号 "
    "口令 身份证 身份证号 波音 空客 骁龙 麒麟 天玑 保时捷 宝马 标致 诺基亚"
)


def digits_and(written: str, signs: dict[str, str]) -> str:
    return "".join(signs.get(char) or digits(char, "幺") for char in written)


@_rule(r"(?<![A-Za-z])(?:GB|ISO|IEC|IEEE|RFC|JB|DIN|ANSI|DB|YY|HJ)(?:/[TZ])? ?(?P<it>\d{3,}(?:[.-]\d+)*)(?!\d)")
def _standard(m: re.Match[str]) -> str:
    """GB/T 2312-1980, ISO 27001."""
    return digits_and(m["it"], {"-": "杠", ".": "点"})


@_rule(rf"(?:{_any(_NAMED)})(?:是|为|[::])? ?[A-Z]{{0,3}}(?P<it>\d{{3,}})(?![.,%:/-]{{0,9}}\d)(?![A-Za-z%])")
def _named(m: re.Match[str]) -> str | None:
    """尾号8888, 拨打12306, 波音747: digit by digit, unless they count something."""
    return None if COUNTED.match(_after(m)) else digits(m["it"], "幺")


_EMERGENCY = "(?:110|112|114|119|120|122|911|999)"
_RESCUE = "报警|电话|急救|指挥|接警|救护|热线|平台|火警|查号"


@_rule(rf"(?<={DONE}{{3}}[、和或及/])(?P<it>{_EMERGENCY})(?!\d)")  # the last of a list
@_rule(rf"(?<=[打拨叫])(?P<it>{_EMERGENCY})(?![\d.个多])")
@_rule(rf"(?<![\d.])(?P<it>{_EMERGENCY})(?= ?(?:{_RESCUE}|[、和或及/]{_EMERGENCY}(?!\d)))")
def _emergency(m: re.Match[str]) -> str:
    return digits(m["it"], "幺")


@_rule(
    r"(?<![\d.第])(?:100(?:1[0-9]|86)|123(?:0[56]|1[0-9]|2[0-9]|3[0-9]|4[58]|5[0-9]|6[0-9]|8[0-9]|9[0-9])|12345|11185|9[56]\d{3})(?![.,:%/-]{0,9}\d)(?![A-Za-z%‰])"
)
def _service_number(m: re.Match[str]) -> str | None:
    """12306, 10086, 95588: nobody counts to them; 95000元 is an amount."""
    return None if COUNTED.match(_after(m)) else digits(m[0], "幺")


# Dates and times.

_YEAR, _MONTH, _DAY = r"[12]\d{3}", r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12]\d|3[01])"


def _month_day(month: str, day: str) -> str:
    return f"{cardinal(str(int(month)), '二')}月{cardinal(str(int(day)), '二')}日"


@_rule(
    rf"{_START}(?P<y>{_YEAR})(?P<s> ?[-/.] ?)(?P<m>{_MONTH})(?P=s)(?P<d>{_DAY})"
    rf"(?:{_TO}(?P<m2>{_MONTH})(?P=s)(?P<d2>{_DAY})(?![\d./-])|(?!\d|[-/.]\d))[日号]?(?:T(?=\d\d:))?"
)
def _date(m: re.Match[str]) -> str:
    """2024-05-06, 2024/5/6, 2024.5.6, and 2024.5.6-5.8."""
    until = "到" + _month_day(m["m2"], m["d2"]) if m["m2"] else ""
    return f"{digits(m['y'])}年{_month_day(m['m'], m['d'])}{until}"


@_rule(rf"{_START}(?<![-/])(?P<a>\d{{1,2}})(?P<s>[-/.])(?P<b>\d{{1,2}})(?P=s)(?P<y>{_YEAR})(?!\d|[-/.]\d)")
def _date_year_last(m: re.Match[str]) -> str | None:
    """5/6/2024: the month first, unless it cannot be."""
    month, day = sorted((m["a"], m["b"]), key=int) if int(m["a"]) > 12 else (m["a"], m["b"])
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return None
    return f"{digits(m['y'])}年{_month_day(month, day)}"


@_rule(rf"{_START}(?<![-/])(?P<y>{_YEAR})[-/](?P<m>0[1-9]|1[0-2])(?![\d年]|[-/.]\d| ?(?:赛季|学年|财年|年度|届|室|号))")
def _year_and_month(m: re.Match[str]) -> str:
    return f"{digits(m['y'])}年{cardinal(str(int(m['m'])))}月"


@_rule(rf"(?<=[周期拜][一二三四五六日天]\()(?P<m>{_MONTH})/(?P<d>{_DAY})(?=\))")
def _month_and_day_of_a_week(m: re.Match[str]) -> str:
    """周三(5/8)."""
    return _month_day(m["m"], m["d"])


@_rule(rf"{_START}(?<![-/A-Za-z])0[1-9]-(?:0[1-9]|[12]\d|3[01])(?!\d|[-/.%]\d| ?[号室栋单%])")
def _month_and_day(m: re.Match[str]) -> str:
    """05-06, the month with its zero."""
    return _month_day(*m[0].split("-"))


_HALF_DAYS = {"a": "上午", "p": "下午"}
_DURATION_BEFORE = re.compile("(?:时长|片长|全长|用时|耗时|成绩|配速|跑进|跑出)(?:为|是|了|约|[::])? ?$")


@_rule(
    r"(?<![\d.])(?<!\d[:∶])(?P<h>\d{1,2})[:∶](?P<m>[0-5]\d)(?:[:∶](?P<s>[0-5]\d(?:\.\d+)?))?(?![:∶.]?\d)(?:Z(?![A-Za-z]))?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm](?![A-Za-z]))?"
)
def _time(m: re.Match[str]) -> str | None:
    """9:30 -> 九点三十分; 16:10的屏幕, 以21:18获胜 are no times."""
    if _DURATION_BEFORE.search(_before(m)):
        return _duration(m["h"], m["m"], m["s"])
    if int(m["h"]) > 24 or _is_score(m):
        return None
    return _clock(m["h"], m["m"], m["s"], m["half"], _before(m))


def _clock(hour: str, minute: str, second: str | None, half: str | None, before: str) -> str:
    said = f"{_hour(hour)}点"
    if half and not re.search("[上下中]午|早上|晚上|凌晨", before):
        said = _HALF_DAYS[half.lower()] + said
    if minute != "00" or second:
        said += _two_digits(minute) + "分"
    return said + (_two_digits(second) + "秒" if second else "")


def _duration(first: str, second: str, third: str | None) -> str:
    parts = [first, second, third] if third else [first, second]
    names = ["小时", "分", "秒"][-len(parts) :]
    return "".join(
        counted(str(int(part)) if part.isdecimal() else part, name) + name
        for part, name in zip(parts, names, strict=True)
    )


def _hour(hour: str) -> str:
    return "两" if int(hour) == 2 else cardinal(str(int(hour)), "二")


def _two_digits(written: str) -> str:
    """Minutes and seconds: 05 -> 零五, 00 -> 零, 30 -> 三十."""
    if "." in written:
        whole, decimals = written.split(".")
        return _two_digits(whole) + "点" + digits(decimals)
    return "零" if written == "00" else digits(written) if written[0] == "0" else cardinal(written, "二")


@_rule(r"(?<![\d.A-Za-z])(?<!\d:)(?P<h>1?\d|2[0-4])(?: ?(?P<half>[AaPp])\.?[Mm])(?![A-Za-z])")
def _am_or_pm(m: re.Match[str]) -> str:
    """9am -> 上午九点."""
    return _clock(m["h"], "00", None, m["half"], _before(m))


@_rule(
    rf"{_START}(?P<a>[12]\d{{3}}){_TO}(?P<b>[12]\d{{3}}|\d{{2}}(?= ?(?:赛季|学年|财年|年度)))"
    r"(?!\d|[.,:/-]\d| ?[%‰A-Za-z万亿])"
)
def _years(m: re.Match[str]) -> str | None:
    """1998-2003年, (1881-1936): two years in order that count nothing."""
    names_a_year = re.match(r" ?(?:年(?!前|后)|[级届款版]|赛季|学年|财年|年度)", _after(m))
    if not names_a_year and (COUNTED.match(_after(m)) or not "1000" < m["a"] < m["b"] < "2100"):
        return None
    return f"{digits(m['a'])}到{digits(m['b'])}"


_DURING_BEFORE = re.compile(
    r"(?:[近约逾达历超满]|长达|超过|[不至]?[足少]|[过经]去?|大?约|将近|整整|了|距今|共|活了|每|[前后]) ?$"
)
_DURING_AFTER = re.compile(
    r" ?年(?:[前后来间多以之内里]|历史|的历史|时间|的时间|光阴|岁月|寿命|文明|古[镇城都树]|老店|不[变遇])"
)
_DATED_AFTER = re.compile(
    r" ?年(?: ?\d|[初底末春夏秋冬版款级生]|出生|毕业|入学|入职|世界杯|奥运|上半|下半|高考|参军|入伍)"
)


@_rule(rf"{_START}(?<!,)(?P<it>\d{{2,4}})(?= ?年)")
def _year(m: re.Match[str]) -> str | None:
    """2008年 and 98年出生 digit by digit; 500年前, 近1000年, 30年 are durations."""
    year, after = m["it"], _after(m)
    if after.lstrip().startswith("年代"):
        return cardinal(year) if len(year) == 2 and year[0] != "0" else digits(year)
    if after.lstrip().startswith("年级"):
        return None
    if re.search("(?:公元前?|[纪汉唐宋元明清朝]|西元前?) ?$", _before(m)):
        return digits(year)
    lasts = bool(_DURING_BEFORE.search(_before(m)) or _DURING_AFTER.match(after))
    if len(year) == 4:
        is_round = year.endswith("00")
        return cardinal(year) if year == "1000" or (is_round and (lasts or year > "2100")) else digits(year)
    if len(year) == 2 and (year[0] == "0" or _DATED_AFTER.match(after)):
        return digits(year)
    if len(year) == 2 and year >= "76" and year[1] != "0" and not lasts:
        return digits(year)
    return None


@_rule(r"(?<![\d.A-Za-z'])(?P<it>(?:1[5-9]|20)\d0'?s)(?![A-Za-z])")
def _decade(m: re.Match[str]) -> str:
    """1990s -> 一九九零年代."""
    return digits(m["it"][:4]) + "年代"


_YEARLY = (
    "财年 学年 赛季 年度 级 届 款 版 春晚 春节 奥运 世界杯 欧洲杯 亚运 考研 高考 新年 国考 双十一 "
    "中国 全国 全球 国际 世界 巴黎 东京 央视"
)


@_rule(rf"(?<![\d.])(?P<it>(?:19|20)\d\d)(?= ?(?:{_any(_YEARLY)}|[{HAN}]{{1,4}}奥运|[{HAN}]{{2}}世界杯))")
def _year_without_its_word(m: re.Match[str]) -> str:
    return digits(m["it"])


@_rule(r"(?<=《)(?P<it>\d{4})(?!\d)")
def _year_of_a_title(m: re.Match[str]) -> str:
    """《1984》."""
    return digits(m["it"])


@_rule(r"(?<=[在从自到至于©]) ?(?P<it>20[0-4]\d|19\d\d)(?= ?(?:[,，。、;；!?！？]|$))")
def _year_alone(m: re.Match[str]) -> str:
    return digits(m["it"])


@_rule(r"(?<!\d)(?<!\d[.:])(?P<it>0\d)(?= ?(?:月|日|[点时](?!代|间|候)))")
def _with_its_zero(m: re.Match[str]) -> str:
    """05月, 08点."""
    digit = m["it"][1]
    return counted(digit, _after(m)) if digit != "0" else "零"


_MEMORABLE = (
    "假期 劳动节 黄金周 长假 小长假 放假 国庆 事件 地震 恐袭 晚会 大促 "
    "事变 惨案 运动 妇女节 儿童节 青年节 消费者 购物节 特大"
)


@_rule(rf"(?<![\d.])(?P<m>1[0-2]|[1-9])[.·](?P<d>[12]\d|3[01]|[1-9])(?= ?(?:{_any(_MEMORABLE)}))")
def _memorable_day(m: re.Match[str]) -> str:
    """5.1假期 is 五一, 3·15晚会 三一五, 10.1黄金周 十一."""
    return _memorable(m["m"], m["d"])


@_rule(r"(?<![\d.])(?P<m>12|1[01]|[1-9])·(?P<d>[12]\d|3[01]|[1-9])(?![\d.·])")
def _memorable_day_with_its_dot(m: re.Match[str]) -> str:
    return _memorable(m["m"], m["d"])


def _memorable(month: str, day: str) -> str:
    if int(month) < 10:
        return digits(month) + digits(day)
    return "双" + cardinal(month) if month == day else cardinal(month) + cardinal(day, "二")


_KNOWN_BY_DIGITS = (
    r"985|211(?=大学|高校|工程|院校|[、/和]985)|996(?![\d.万元个])|911(?=事件|恐袭)|315(?=晚会|打假|曝光)|618(?=大促|购物|活动|年中|期间|电商)|404(?=错误|页面|界面)"
    r"|360(?=安全|卫士|浏览器|杀毒|公司|集团)|58(?=同城|到家)|36(?=氪)|(?:163|126)(?=邮箱)|51(?=job)|4399|1688(?=[批网采])"
)


@_rule(rf"(?<![\d.,])(?:{_KNOWN_BY_DIGITS})(?!\d)")
def _known_by_digits(m: re.Match[str]) -> str | None:
    if COUNTED.match(_after(m)):
        return None
    return digits(m[0], "幺" if m[0] == "211" else "一")


@_rule(r"(?<!\d)(?P<it>\d[05])(?=后(?![天年来]|[^,，。的]{0,2}[天年]))")
def _generation(m: re.Match[str]) -> str:
    """90后 -> 九零后."""
    return digits(m["it"])


# Versions, codes, scores.


@_rule(r"(?<=[A-Za-z0-9])_(?=[A-Za-z0-9])")
def _underscore(_m: re.Match[str]) -> str:
    return "下划线"


@_rule(rf"{_START}(?P<it>\d+(?:\.\d+){{2,}})(?!\d|\.\d)")
def _version(m: re.Match[str]) -> str:
    """3.11.7 -> 三点十一点七."""
    return "点".join(cardinal(part, "二") if len(part) < 3 else digits(part) for part in m["it"].split("."))


_VERSIONED = (
    "Python iOS iPadOS macOS Android Go Node PHP Ruby Rust Django CUDA PyTorch Ubuntu Kotlin Java v V 版本 版本号"
)


@_rule(rf"(?:{_any(_VERSIONED)}) ?(?P<it>\d+\.\d\d)(?![\d.%]|[倍个])")
def _version_of_two_parts(m: re.Match[str]) -> str:
    """Python 3.11 -> 三点十一; Ubuntu 22.04."""
    return "点".join(cardinal(part, "二") for part in m["it"].split("."))


@_rule(r"(?<![\d.A-Za-z])(?P<it>\d+(?:\.\d+)?(?: ?[:∶] ?\d+(?:\.\d+)?)+)(?![\d:∶])")
def _ratio(m: re.Match[str]) -> str | None:
    """3:2 -> 三比二; but 步骤1：2个鸡蛋."""
    parts = re.split(r" ?[:∶] ?", m["it"])
    if COUNTED.match(_after(m)) and not _is_score(m):
        return None
    if re.search(
        "(?:步骤|问题|选项|方案|阶段|环节|案例|规则|任务|要点|原因|技巧|方法|建议|答案|[题图表第注条]|(?<!比)例) ?$",
        _before(m),
    ):
        return None
    return "比".join(map(number, parts))


@_rule(r"(?<![\dA-Za-z.\-])(?P<it>(?:[A-Za-z]-)?\d+(?:-\d+){1,9})(?![\d.]|-?[A-Za-z]| ?[=＝≈×÷+*])")
def _code(m: re.Match[str]) -> str | None:
    """3-2-501 -> 三杠二杠五零幺; of two numbers only where something says that they are no range."""
    parts = re.findall(r"\d+", m["it"])
    letter = m["it"][0] + " 杠" if m["it"][0].isalpha() else ""
    if len(parts) == 2 and not letter:
        if parts[0][0] == "0" and len(parts[0]) > 1 and len(parts[0]) == len(parts[1]):
            return None  # 01-05号
        names = re.match(" ?(?:室|号房|房间|号楼)", _after(m)) or re.search("[图表例题式附] ?$", _before(m))
        if not names or (len(parts[0]) == len(parts[1]) and not re.search("[图表例题式附] ?$", _before(m))):
            return None
    if len(parts) > 3 or any(len(part) > 4 for part in parts):
        return _groups(m["it"])
    return letter + "杠".join(
        digits(part, "幺") if len(part) > 2 or part[0] == "0" else cardinal(part, "二") for part in parts
    )


@_rule(
    r"(?<![\d.])\d{3,4}(?= ?(?:室|房间|号房|教室|宿舍|包间|病房|会议室|寝室|机房|实验室|路公?[交共]|国道|省道|县道))"
)
def _room_or_road(m: re.Match[str]) -> str:
    return digits(m[0], "幺")


# Formulas.

_UNIT = "|".join(re.escape(unit) for unit in sorted(UNITS, key=len, reverse=True))
_SUPERSCRIPTS = {char: unicodedata.normalize("NFKC", char).replace("−", "-") for char in "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ"}
_POWER = r"(?:[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹ⁿ]+|\^[-−]?(?:\d+|[A-Za-z])|\^\{[-−]?\w+\})"
_FORMULA_SIGNS = r"+\-−×÷*/·=<>≤≥≦≧≠≈≡±√^"
_SCIENTIFIC = r"\d+(?:\.\d+)?[eE][-−+]?\d{1,3}"
_FORMULA_TOKEN = re.compile(
    rf"(?P<scientific>(?<![A-Za-z\d.]){_SCIENTIFIC}(?![A-Za-z\d.]))"
    rf"|(?P<fraction>(?<![\d./])\d+/\d+(?![\d./]))|(?P<percent>{NUM}[%‰])|(?P<unit>{NUM} ?(?:{_UNIT})(?![A-Za-z0-9²³]))"
    rf"|(?P<unit_alone>(?:(?<=[⁰¹²³⁴⁵⁶⁷⁸⁹])|(?<=\^\d)|(?<=\^\d\d)) ?(?:{_UNIT})(?![A-Za-z0-9²³]))"
    rf"|(?P<number>{NUM})|(?P<power>{_POWER})|(?P<word>[A-Za-z]+)|(?P<sign>.)"
)
_OPERAND = r"[\dA-Za-zα-ωΑ-Ω)%‰∞°℃⁰¹²³⁴⁵⁶⁷⁸⁹ⁿ₀-₉]"
_RELATION = re.compile(rf"{_OPERAND} ?(?:[=<>≤≥≦≧≠≈≡×÷±]|\+(?!\+)) ?[-−+±√(\dA-Za-zα-ωΑ-Ω∞]")
_FUNCTIONS = frozenset("sin cos tan cot log ln lg lim max min exp mod det".split())


@_rule(
    r"(?<![A-Za-z\d.])(?P<it>[\dA-Za-zα-ωΑ-Ω(√±\-−]"
    rf"[\dA-Za-zα-ωΑ-Ω.,()%‰∞Δ°℃⁰¹²³⁴⁵⁶⁷⁸⁹⁻ⁿ₀-₉ {{}}|{_FORMULA_SIGNS}]{{0,300}}"
    r"[\dA-Za-zα-ω)%‰∞°℃⁰¹²³⁴⁵⁶⁷⁸⁹ⁿ₀-₉])"
)
def _formula(m: re.Match[str]) -> str | None:
    """3+5=8, x²+y²=z²: a whole formula, in which - is 减 and / 除以; letters stand alone, mc is m c."""
    written = re.sub(r"(?<=\d) ?[xX*] ?(?=\d)", "×", m["it"])
    if not _RELATION.search(written) or re.search(r"--|[-=]>|<-|\.\.", written):
        return None
    if any(
        len(word) > 2 and word not in _FUNCTIONS and word not in UNITS for word in re.findall(r"[A-Za-z]+", written)
    ):
        return None
    if written.count("(") != written.count(")") or re.search(r"[A-Za-z]\+$|(?<=[A-Za-z\d]) (?=[A-Za-z\d])", written):
        return None
    said: list[str] = []
    for token in _FORMULA_TOKEN.finditer(written):
        part = token[0]
        if token["scientific"]:
            said.append(_times_a_power_of_ten(part))
        elif token["fraction"]:
            a, b = part.split("/")
            divides = int(b) == 0 or int(a) % int(b) == 0
            said.append(f"{number(a)}除以{number(b)}" if divides else _fraction_words(a, b))
        elif token["percent"]:
            said.append(_percent_words(part))
        elif token["unit"]:
            figure = re.match(NUM, part)[0]
            said.append(_quantity(figure, None, part[len(figure) :].strip()))
        elif token["unit_alone"]:
            said.append("".join(UNITS[part.strip()]))
        elif token["number"]:
            said.append(number(part))
        elif token["power"]:
            said.append(_power_words(part))
        elif token["word"]:
            said.append(f" {part} " if part.isupper() or part in _FUNCTIONS else f" {' '.join(part).upper()} ")
        elif part in "-−":
            said.append("减" if re.search(rf"{_OPERAND}\s*$", written[: token.start()]) else "负")
        else:
            plain = unicodedata.normalize("NFKC", part)
            said.append(_OPERATORS.get(part) or SIGNS.get(part) or (cardinal(plain) if plain.isdecimal() else plain))
    return "".join(said).strip()


_OPERATORS = {"*": "乘", "/": "除以", "·": "乘", "(": "'", ")": "'", "{": "'", "}": "'", "|": "'", "−": "减", "-": "减"}


def _power_words(written: str) -> str:
    plain = "".join(_SUPERSCRIPTS.get(char, char) for char in written).lstrip("^").strip("{}")
    special = {"2": "的平方", "3": "的立方"}.get(plain)
    if special:
        return special
    exponent = plain.lstrip("-−+")
    return (
        "的"
        + ("负" if plain[0] in "-−" else "")
        + (cardinal(exponent, "二") if exponent.isdecimal() else f" {exponent} ")
        + "次方"
    )


# Money, percent, units, fractions.

_CURRENCY = _any(" ".join(CURRENCIES))
_SIGNS_BEHIND = " ".join(name for name in CURRENCIES if name.isalpha() or name in "€£₽₹₩")
_POWER_OF_TEN = "[万亿千百]{1,2}|(?:[kKMmBb]|bn)(?![A-Za-z0-9])| ?(?:million|billion|trillion)(?![A-Za-z])"


@_rule(
    rf"(?P<sign>{_SIGN})?(?<![A-Za-z])(?P<c>{_CURRENCY}) ?(?P<a>{SIGNED})(?P<pa>{_POWER_OF_TEN})?"
    rf"(?:{_TO}(?P<b>[{_MINUS}]?{NUM})(?P<p>{_POWER_OF_TEN})?)?(?P<plus>\+)?"
    r" ?(?P<again>(?:美|欧|日|港|澳|加|韩)?元|美金|港币|英镑|人民币)?"
)
def _money(m: re.Match[str]) -> str:
    """$1,234.56 -> 一千二百三十四点五六美元; ¥3亿; $1.5B; HK$100."""
    name = CURRENCIES[m["c"]]
    if m["again"] and (name == "元" or m["again"] != "元"):
        name = m["again"]
    sign = sign_of(m["sign"] or "")
    figures = [(m["a"], m["pa"] or ""), (m["b"], m["p"] or "")] if m["b"] else [(m["a"], m["pa"] or "")]
    return sign + "到".join(_amount(*figure, name) for figure in figures) + name + ("加" if m["plus"] else "")


@_rule(rf"{RANGE}(?P<p>{_POWER_OF_TEN})? ?(?P<c>{_any(_SIGNS_BEHIND)})(?![A-Za-z0-9])")
def _money_with_its_sign_behind(m: re.Match[str]) -> str:
    """100 USD, 20€."""
    name, power = CURRENCIES[m["c"]], m["p"] or ""
    return (
        _amount(m["a"], "", name) + "到" + _amount(m["b"], power, name) if m["b"] else _amount(m["a"], power, name)
    ) + name


def _amount(figure: str, power: str, name: str) -> str:
    exponent = POWERS_OF_TEN.get(power.strip())
    return _times_ten_to(figure, exponent) if exponent else counted(figure, power or name) + power


def _times_ten_to(figure: str, exponent: int) -> str:
    """1.5 and 9 -> 十五亿."""
    sign = figure[0] if figure[0] in "-−+±" else ""
    whole, _, decimals = figure.lstrip("-−+±").replace(",", "").partition(".")
    if len(decimals) > exponent:
        return number(figure)
    return number(sign + (whole + decimals.ljust(exponent, "0")).lstrip("0").rjust(1, "0"))


@_rule(rf"(?P<a>{SIGNED}) ?(?P<s>[%‰])?{_TO}(?P<b>[{_MINUS}]?{NUM}) ?(?P<s2>[%‰])")
def _percent_range(m: re.Match[str]) -> str:
    """30%-50% -> 百分之三十到百分之五十; 3-5% -> 百分之三到五."""
    if not m["s"]:
        return f"{_percent_words(m['a'] + m['s2'])}到{number(m['b'])}"
    return f"{_percent_words(m['a'] + m['s'])}到{_percent_words(m['b'] + m['s2'])}"


@_rule(rf"(?P<a>{SIGNED}) ?(?P<s>[%‰])")
def _percent(m: re.Match[str]) -> str:
    return _percent_words(m["a"] + m["s"])


def _percent_words(written: str) -> str:
    return {"%": "百分之", "‰": "千分之"}[written[-1]] + number(written[:-1], "二")


_DEGREES = "℃|° ?C(?![A-Za-z])|℉|° ?F(?![A-Za-z])"


@_rule(rf"{RANGE} ?(?P<u>{_DEGREES}|摄氏度|华氏度|度(?![假量角]))")
def _temperature(m: re.Match[str]) -> str | None:
    """-5℃ -> 零下五摄氏度; -5度 too, unless it is an angle or an eye."""
    a, b, unit = m["a"], m["b"], m["u"].replace(" ", "")
    freezing = unit != "度" or a[0] in _MINUS
    if not freezing or re.search("近视|散光|角|转|偏|倾|纬|经 ?$", _before(m)):
        return None if unit == "度" else _to(number(a), b and number(b), say=str) + UNITS[unit][1]
    name = UNITS[unit][1] if unit in UNITS else unit
    said = [
        number(figure).replace("负", "零下", 1) if figure[0] in "-−" else counted(figure, "度")
        for figure in (a, b)
        if figure
    ]
    return "到".join(said) + name


@_rule(r"(?<![\d.])(?P<m>\d{1,3})['′’](?P<s>\d{1,2}(?:\.\d+)?)(?:[\"”]|''|′′)")
def _minutes_and_seconds(m: re.Match[str]) -> str:
    """4'30"."""
    return f"{number(m['m'], '二')}分{number(m['s'])}秒"


@_rule(
    r"(?<![\d.])(?P<d>\d{1,3}(?:\.\d+)?)°(?:(?P<m>\d{1,2}(?:\.\d+)?)['′’](?:(?P<s>\d{1,2}(?:\.\d+)?)(?:[\"”]|''|′′))?)"
)
def _angle(m: re.Match[str]) -> str:
    """39°54′20″ -> 三十九度五十四分二十秒."""
    return f"{number(m['d'])}度{number(m['m'])}分" + (f"{number(m['s'])}秒" if m["s"] else "")


@_rule(r"(?<![\d.])(?P<n>\d+(?:\.\d+)?)[wW](?=\+| ?[人次条个粉播阅点])")
def _ten_thousands(m: re.Match[str]) -> str:
    """10w+人."""
    return counted(m["n"], "万") + "万"


@_rule(rf"{RANGE}(?P<p>[万亿千百]{{0,2}}) ?(?P<u>{_UNIT})(?![A-Za-z²³]|(?<!\dh)(?<!min)\d)")
def _unit(m: re.Match[str]) -> str | None:
    """5kg, 60km/h -> 每小时六十公里, 3-5cm."""
    unit, a = m["u"], m["a"]
    one_letter = len(unit) == 1 and unit.isalpha() and unit.isascii()
    if unit in DOUBTFUL_UNITS and (len(a) < 2 or re.match("[座栋级区口门馆楼层班组型类号]", _after(m))):
        return None  # 5A景区, 12A座
    if one_letter and re.search(r"(?<!\dh)(?<!\dmin)(?<=[A-Za-z])[ -]?$", _before(m)):
        return None  # iPhone 6s
    return _quantity(a, m["b"], unit, m["p"])


def _quantity(a: str, b: str | None, unit: str, power: str = "") -> str:
    before, behind = UNITS[unit]
    return before + _to(a, b, power or behind if not behind.isascii() else "") + power + behind


@_rule(rf"(?<=每) ?(?P<it>{_UNIT})(?![A-Za-z0-9²³])")
def _unit_after_per(m: re.Match[str]) -> str:
    return "".join(UNITS[m["it"]])


@_rule(rf"(?<=[元角分块万亿次个人台件辆吨{DONE}]) ?/ ?(?P<u>{_UNIT})(?![A-Za-z0-9²³])")
def _per_unit(m: re.Match[str]) -> str:
    """5元/kg."""
    return "每" + UNITS[m["u"]][1]


@_rule(
    rf"(?<=[元角分块万亿镑币次个人台件辆吨米{DONE}]) ?(?P<it>/) ?(?=[人次天日月年周分秒个斤平亩套台件份位瓶"
    r"盒包张只吨升米晚间股桶杯支户节季度袋片颗粒克场期条辆百]|小时|公[里斤顷]|课时|学期|[千毫]克|毫升|千[瓦米]|立方)"
)
def _per(_m: re.Match[str]) -> str:
    return "每"


@_rule(r"(?<![A-Za-z\d/])(?P<u>[A-Za-zμ]{1,4}/[A-Za-z]{1,3}[²³]?)(?![A-Za-z\d/])")
def _unit_alone(m: re.Match[str]) -> str | None:
    """km/h -> 公里每小时."""
    if m["u"] not in UNITS or len(m["u"]) < 4:
        return None
    return "".join(reversed(UNITS[m["u"]]))


@_rule(r"(?<![\d/.A-Za-z])24/7(?![\d/])")
def _always(_m: re.Match[str]) -> str:
    return "七天二十四小时"


@_rule(rf"{_START}(?:{_SIGN})?(?P<w>\d+)? ?(?P<f>[{VULGAR}])|(?P<alone>[{VULGAR}])")
def _vulgar_fraction(m: re.Match[str]) -> str:
    sign = sign_of(m[0])
    a, b = unicodedata.normalize("NFKC", m["f"] or m["alone"]).split("⁄")
    return sign + (number(m["w"]) + "又" if m["w"] else "") + _fraction_words(a, b)


@_rule(
    rf"(?<![\d/.A-Za-z])(?<![A-Za-z] )(?P<sign>{_SIGN})?(?:(?P<w>\d+)[又 ])?(?P<a>\d+) ?[/⁄] ?"
    r"(?P<b>[1-9]\d*)(?![\d/]|\.\d)"
)
def _fraction(m: re.Match[str]) -> str | None:
    """3/4 -> 四分之三; 1 1/2; 血压120/80."""
    a, b = m["a"], m["b"]
    if (
        len(b) > 6
        or int(a) > int(b) > 12
        or re.match(" ?mmHg| ?毫米汞柱", _after(m))
        or re.search("血压[为是::]? ?$", _before(m))
    ):
        return None
    sign = sign_of(m["sign"] or "")
    return sign + (number(m["w"]) + "又" if m["w"] else "") + _fraction_words(a, b)


def _fraction_words(a: str, b: str) -> str:
    return f"{number(b, '二')}分之{number(a, '二')}"


@_rule(rf"(?<![A-Za-z])(?P<n>{SIGNED})(?P<p>{_POWER})(?![A-Za-z\d])")
def _power(m: re.Match[str]) -> str:
    """10⁸, 2^10."""
    words = _power_words(m["p"])
    return number(m["n"]) + words


@_rule(rf"(?<![A-Za-z])(?P<n>[A-Za-zα-ω])(?P<p>{_POWER})(?![A-Za-z])")
def _power_of_a_letter(m: re.Match[str]) -> str:
    return f" {m['n'].upper()} {_power_words(m['p'])}"


@_rule(rf"(?<![A-Za-z])(?:{_SIGN})?{_START}{_SCIENTIFIC}(?![A-Za-z\d.])")
def _scientific(m: re.Match[str]) -> str:
    """1e-5 -> 一乘十的负五次方."""
    return _times_a_power_of_ten(m[0])


def _times_a_power_of_ten(written: str) -> str:
    figure, power = re.split("[eE]", written)
    words = _power_words(f"^{int(power.replace('−', '-'))}").replace("的平方", "的二次方").replace("的立方", "的三次方")
    return f"{number(figure)}乘十{words}"


# Ordinals and Roman numerals.


@_rule(rf"第 ?(?P<it>(?P<a>\d+)(?:{_TO}(?P<b>\d+))?)(?![.\d])")
def _ordinal(m: re.Match[str]) -> str:
    return _to(m["a"], m["b"], say=lambda written: cardinal(written, "二"))


@_rule(r"(?<![A-Za-z])(?:N[oO]\. ?|№ ?|no\.)(?P<n>\d+)(?!\.{0,9}\d)")
def _number_sign(m: re.Match[str]) -> str:
    """No.1 -> 第一; No.20240501 -> 编号 and its digits."""
    return "编号" + digits(m["n"], "幺") if len(m["n"]) > 3 or m["n"][0] == "0" else "第" + cardinal(m["n"], "二")


@_rule(r"(?<![\w&#])#(?P<n>\d{1,4})(?![\dA-Za-z#]|[.:]\d)")
def _hash_number(m: re.Match[str]) -> str:
    """#1 -> 一号."""
    return cardinal(m["n"], "二") + ("" if _after(m).startswith("号") else "号")


@_rule(r"(?<![\d.A-Za-z])(?P<n>\d*(?:1st|2nd|3rd|\dth|1[123]th))(?![A-Za-z])", re.IGNORECASE)
def _english_ordinal(m: re.Match[str]) -> str:
    return "第" + cardinal(m["n"][:-2], "二")


@_rule("[\u2160-\u2182\u2185-\u2188]+")  # the two left out are letters
def _roman(m: re.Match[str]) -> str | None:
    value = _roman_value(unicodedata.normalize("NFKC", m[0]).upper())
    return (
        cardinal(str(value), "二") if value else "".join(cardinal(str(int(unicodedata.numeric(c))), "二") for c in m[0])
    )


_ROMAN = r"(?P<it>(?=[IVXL]+)(?:XL|L?X{0,3})(?:IX|IV|V?I{0,3}))(?![A-Za-z0-9])"


@_rule(rf"(?<=第) ?{_ROMAN}")
def _roman_after_ordinal(m: re.Match[str]) -> str | None:
    value = _roman_value(m["it"])
    return cardinal(str(value), "二") if value else None


@_rule(rf"(?<![A-Za-z0-9.'&-]){_ROMAN}(?= ?(?:期|级|型(?!号)|类|度|章|卷|世|相|阶段|篇|部分))")
def _roman_before_its_word(m: re.Match[str]) -> str | None:
    """II期, IV型; X型 and V级 are letters."""
    value = _roman_value(m["it"])
    return cardinal(str(value), "二") if value and not re.fullmatch("X+|V|L", m["it"]) else None


@_rule(r"(?<![A-Za-z0-9.'&-])(?P<it>II|III|VII|VIII|IX|XII|XIII|XIV|XVI|XVII|XVIII)(?![A-Za-z0-9.'&-])")
def _roman_alone(m: re.Match[str]) -> str:
    return cardinal(str(_roman_value(m["it"])), "二")


def _roman_value(written: str) -> int:
    values = [{"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}.get(char, 0) for char in written]
    if 0 in values:
        return 0
    return sum(-a if a < b else a for a, b in zip(values, [*values[1:], 0], strict=True))


@_rule(rf"[{CIRCLED}](?= ?(?P<word>[{HAN}]))?")
def _circled(m: re.Match[str]) -> str | None:
    """① of a list has pauses around it; 步骤① has none."""
    value = unicodedata.numeric(m[0], None)
    if value is None:
        return None
    first = re.search(rf"(?:^|[^{HAN}\w{DONE}])[{CIRCLED}] ?[{HAN}]", m.string)
    is_list = bool(first and m["word"])
    inside = is_list and first.start() < m.start() - 1 and re.search(f"[{HAN}]$", _before(m))
    return ("," if inside else "") + cardinal(str(int(value)), "二") + ("," if is_list else "")


@_rule("[\u2080-\u2089\u00b2\u00b3\u00b9\u2070-\u2079]+")
def _small_digits(m: re.Match[str]) -> str:
    """H₂O, and footnotes."""
    plain = unicodedata.normalize("NFKC", m[0])
    return "".join(
        cardinal(part, "二") if part.isdecimal() else SIGNS.get(part, "") for part in re.findall(r"\d+|\D", plain)
    )


# Digits beside letters.


@_rule(r"(?<![A-Za-z0-9])(?P<a>[A-Z])2(?P<b>[A-Z])(?![A-Za-z0-9])")
def _to_in_digits(m: re.Match[str]) -> str:
    """B2B: business to business."""
    return f"{m['a']}兔{m['b']}"


@_rule(r"(?<![A-Za-z0-9])(?:CO|NO|SO|[HNO])(?P<it>2)(?![\d.])(?!B)")
def _molecule(m: re.Match[str]) -> str:
    return digits(m["it"])


@_rule(r"(?:(?<=[A-Za-z]\d)|(?<=[A-Za-z]\d\.\d)|(?<=[A-Za-z]\d\d))-(?P<n>\d{3,}|\d+(?=[A-Za-z]))(?!\d)")
def _model(m: re.Match[str]) -> str:
    """i7-12700K, Qwen2.5-7B: the hyphen is neither a minus nor a range."""
    return digits(m["n"]) if len(m["n"]) > 2 else cardinal(m["n"], "二")


@_rule(r"(?<=[A-Za-z])(?P<it>[-‐‑ ]?(?P<n>\d+(?:\.\d+)?))(?!\d)")
def _behind_letters(m: re.Match[str]) -> str | None:
    """iPhone15 -> 十五, F-16 -> 十六, COVID-19, PM2.5; three digits and more one by one: MH370, RTX4090."""
    figure = m["n"]
    spaced = m["it"][0] == " "
    if spaced and (
        COUNTED.match(_after(m))
        or re.match(rf"[-,.:/~%]\d|{_TO}\d| ?[年月日号点时万亿元度]| ?[{HAN}]{{0,2}}%", _after(m))
    ):
        return None
    if "." in figure:
        return number(figure)
    if len(figure) < 3:
        return (
            digits(figure)
            if figure[0] == "0" or (figure == "95" and re.search("(?:^|[^A-Za-z])K?N$", _before(m)))
            else cardinal(figure, "二")
        )
    if figure.endswith("00") and figure[0] != "0":
        return cardinal(figure)
    if spaced and len(figure) > 4:
        return None
    return digits(figure, "一" if len(figure) == 4 and figure[:2] in ("19", "20") else "幺")


@_rule(r"(?<![A-Za-z])(?!N?O\.)[A-Z]{1,4}(?P<it>(?:\.\d+)+)(?!\d)")
def _dotted(m: re.Match[str]) -> str:
    """H.265, BA.5."""
    return "".join("点" + digits(part) for part in m["it"][1:].split("."))


@_rule(r"(?<=Vol|Fig|Ver|Sec|vol|fig|ver|sec)(?P<it>\.) ?(?=\d)")
def _abbreviated(_m: re.Match[str]) -> str:
    """Vol.2: nothing is said."""
    return " "


@_rule(r"(?<![\d.])\d{3,4}(?=[pPi](?![A-Za-z]))")
def _lines_of_a_picture(m: re.Match[str]) -> str:
    """1080P."""
    return digits(m[0])


@_rule(r"(?<=秒|米)(?<=\d.)(?P<it>\d\d)(?![\d.]| ?[分秒厘个])")
def _hundredths(m: re.Match[str]) -> str:
    """9秒58, 1米83."""
    return digits(m["it"])


@_rule(r"§ ?(?P<n>\d+)(?![.\d])")
def _section(m: re.Match[str]) -> str:
    return f"第{cardinal(m['n'], '二')}节"


# What is left: ranges and plain numbers.

_KIND_OF_MACHINE = re.compile(
    "(?:歼|运|轰|直|强|东风|长征|嫦娥|神舟|天宫|天舟|苏|米|图|伊尔|安|红旗|鹰击|霹雳|巨浪|教|武直|歼轰|北斗|海洋|快舟|天问|风云|问天)$"
)


@_rule(rf"(?<=[{HAN}])-(?P<n>\d{{1,4}})(?![\d.%℃°])")
def _machine(m: re.Match[str]) -> str | None:
    """歼-20, 苏-27: the hyphen is no minus."""
    if not _KIND_OF_MACHINE.search(_before(m)):
        return None
    return cardinal(m["n"], "二") if len(m["n"]) < 3 else digits(m["n"], "幺")


@_rule(rf"{RANGE}(?![\d])(?P<more>(?:{_TO}\d)?)")
def _plain(m: re.Match[str]) -> str | None:
    a, b, before, after = m["a"], m["b"], _before(m), m.string[m.end("b") if m["b"] else m.end("a") :][:8]
    if m["more"]:
        return None
    if b:
        return _plain_range(m, a, b, after)
    return _plain_number(a, before, after)


def _plain_range(m: re.Match[str], a: str, b: str, after: str) -> str | None:
    if "~" not in m[0] and "～" not in m[0] and "到" not in m[0] and "至" not in m[0]:
        if _SCORE_BEFORE.search(_before(m)) or _SCORE_AFTER.match(after) or (a == b and len(a) < 3):
            return f"{number(a)}比{number(b)}"
        if (
            float(a.replace(",", "").replace("−", "-").lstrip("+±")) >= float(b.replace(",", "").replace("−", "-"))
            and b[0] not in _MINUS
        ):
            if re.match(" ?(?:等于|的差|得)| ?=", after) or " - " in m[0] or _before(m).endswith("满"):
                return f"{number(a)}减{number(b)}"
            between = "杠" if max(len(a), len(b)) > 2 or re.match(" ?[号栋室]", after) else "比"
            return f"{number(a)}{between}{number(b)}"
    return f"{_plain_number(a, _before(m), after)}到{_plain_number(b, '', after)}"


def _plain_number(written: str, before: str, after: str) -> str:
    if written == "2":
        return (
            "二" if _RANKED.search(before) and not re.match(" ?(?:个|[小分]|米|公)", after) else counted(written, after)
        )
    figure = written.lstrip("-−+±")
    if figure.isdecimal() and len(figure) > 7 and not COUNTED.match(after) and not figure.endswith("000"):
        return sign_of(written) + digits(figure, "幺")
    return number(written)


@_rule(rf"(?:{_SIGN})?(?<![\w.{DONE}])\.(?P<n>\d+)(?![\d.])")
def _bare_decimals(m: re.Match[str]) -> str:
    """.5, -.5."""
    return sign_of(m[0]) + "零点" + digits(m["n"])


@_rule(r"\d+")
def _any_digits(m: re.Match[str]) -> str:
    """Whatever no rule took."""
    return cardinal(m[0]) if len(m[0]) < 8 else digits(m[0], "幺")


# Signs between what has been claimed.


@_rule(r"[*#](?=号?键|号(?!\d))")
def _key(m: re.Match[str]) -> str:
    """*号键, #键."""
    return "星" if m[0] == "*" else "井"


@_rule(rf"(?<={DONE}) ?[★⭐](?![★⭐])")
def _star(_m: re.Match[str]) -> str:
    """5★."""
    return "星"


@_rule("和/或")
def _and_or(_m: re.Match[str]) -> str:
    return "和或"


@_rule(r"(?<=(?<![A-Za-z])[A-Z])(?P<it>[~～])(?=[A-Z](?![A-Za-z]))")
@_rule(r"(?<=(?<![A-Za-z])[A-Z])(?P<it>[-–])(?=[A-Z](?:[栋座区组班级轮等]|[到至]))")
@_rule(rf"(?<={DONE})(?P<unit>[{HAN}]{{0,3}}) ?(?P<it>[-−–—―~～]{{1,2}}) ?(?=第?{DONE})")
def _until(_m: re.Match[str]) -> str:
    """5月1日-5月7日, 3个~5个, 第1-第3名, 8:00-9:30, A~Z."""
    return "到"


@_rule(rf"(?<={DONE})(?P<it>-)(?=[A-Za-z])")
def _hyphen_before_letters(_m: re.Match[str]) -> str:
    """7-Eleven: nothing is said."""
    return " "


@_rule(
    r"(?<=[一二三四五六日末天月年季晨早午晚期级])(?P<it>[-–—~～])(?=(?:周|星期|礼拜|[一二三四五六七八九十]|早|中午|下午|晚|凌晨|次))"
)
def _until_in_words(_m: re.Match[str]) -> str:
    """周一~周五."""
    return "到"


@_rule(rf"(?<![\w{DONE}])[~～](?={DONE})")
def _about(_m: re.Match[str]) -> str:
    return "约"


@_rule(rf"(?<={DONE}) ?(?P<it>[xX*·]) ?(?={DONE})")
def _times(m: re.Match[str]) -> str:
    """1920x1080, 7*24小时."""
    return "乘" if m["it"] != "·" else ","


@_rule("(?<=[A-Za-z])#(?![A-Za-z0-9#])")
def _sharp(_m: re.Match[str]) -> str:
    return " sharp "


@_rule("(?<=[一二三四五六七八九十])·(?=[一二三四五六七八九十])")
def _dot_of_a_day(_m: re.Match[str]) -> str:
    """七·七事变: nothing is said."""
    return ""


@_rule(r"×{2,}")
def _somebody(m: re.Match[str]) -> str:
    return "某" * min(len(m[0]), 3)


@_rule(r"[-=]{1,2}>|➡")
def _arrow(_m: re.Match[str]) -> str:
    return "到"


@_rule(rf"(?<=[{HAN}{DONE}]) ?(?P<it>/) ?(?=[{HAN}{DONE}])")
def _slash(_m: re.Match[str]) -> str:
    """男/女: a short pause."""
    return ","


@_rule(r"(?<=[A-Za-z])(?P<it>/)(?=[A-Za-z])")
def _slash_between_words(_m: re.Match[str]) -> str:
    return " "


@_rule(r"(?<=[A-Za-z]{2})(?P<it>\.)(?=[a-z]{2}|[A-Z]{2})")
def _dot_in_a_name(m: re.Match[str]) -> str | None:
    return None if re.search(r"(?:Mr|Mrs|Ms|Dr|St|vs|Prof|Fig|Vol|Inc|Ltd|Jr|etc)$", _before(m)) else "点"


@_rule(r"(?<!\S)/(?=[A-Za-z])")
def _slash_of_a_path(_m: re.Match[str]) -> str:
    return "斜杠"


@_rule("/+")
def _slash_elsewhere(_m: re.Match[str]) -> str:
    return ","


@_rule(f"[{re.escape(''.join(SIGNS))}]")
def _sign(m: re.Match[str]) -> str:
    return SIGNS[m[0]]


_WORTH_A_LOOK = re.compile(
    rf"每[A-Za-zμ]|[·\d/~～\-–—#*×.§★⭐➡{re.escape(''.join(SIGNS))}{VULGAR}{CIRCLED}\u2160-\u2188IVXL\u00b2\u00b3\u2070-\u2089]"
)
