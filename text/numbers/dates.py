"""Dates, times, years and days that are known by their digits."""

import re

from text.numbers.numerals import COUNTED, cardinal, counted, digits
from text.numbers.patterns import after, before, is_score


def date_year_last(m: re.Match[str]) -> str | None:
    """5/6/2024: the month first, unless it cannot be."""
    month, day = sorted((m["a"], m["b"]), key=int) if int(m["a"]) > 12 else (m["a"], m["b"])
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return None
    return f"{digits(m['y'])}年{cardinal(str(int(month)))}月{cardinal(str(int(day)))}日"


_DURATION_BEFORE = re.compile("(?:时长|片长|全长|用时|耗时|成绩|配速|跑进|跑出)(?:为|是|了|约|[::])? ?$")


def time(m: re.Match[str]) -> str | None:
    """9:30 -> 九点三十分; 16:10的屏幕, 以21:18获胜 are no times."""
    if _DURATION_BEFORE.search(before(m)):
        return _duration(*(part for part in (m["h"], m["m"], m["s"]) if part))
    if int(m["h"]) > 24 or is_score(before(m), after(m)):
        return None
    return clock(m)


def clock(m: re.Match[str]) -> str:
    """The time of day by the hour and, where they are there, minutes, seconds and am or pm."""
    hour, minute, second, half = (m.groupdict(default="").get(name, "") for name in ("h", "m", "s", "half"))
    words = "两点" if int(hour) == 2 else f"{cardinal(str(int(hour)))}点"
    if half and not re.search("[上下中]午|早上|晚上|凌晨", before(m)):
        words = {"a": "上午", "p": "下午"}[half.lower()] + words
    if minute and (minute != "00" or second):
        words += _two_digits(minute) + "分"
    return words + (_two_digits(second) + "秒" if second else "")


def _duration(*parts: str) -> str:
    """用时3:45 -> 三分四十五秒."""
    names = ["小时", "分", "秒"][-len(parts) :]
    plain = [str(int(part)) if part.isdecimal() else part for part in parts]
    return "".join(counted(part, name) + name for part, name in zip(plain, names, strict=True))


def _two_digits(written: str) -> str:
    """Minutes and seconds: 05 -> 零五, 00 -> 零, 30 -> 三十."""
    if "." in written:
        whole, decimals = written.split(".")
        return _two_digits(whole) + "点" + digits(decimals)
    return "零" if written == "00" else digits(written) if written[0] == "0" else cardinal(written)


def years(m: re.Match[str]) -> str | None:
    """1998-2003年, (1881-1936): two years in order that count nothing."""
    names_a_year = re.match(r" ?(?:年(?!前|后)|[级届款版]|赛季|学年|财年|年度)", after(m))
    if not names_a_year and (COUNTED.match(after(m)) or not "1000" < m["a"] < m["b"] < "2100"):
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


def year(m: re.Match[str]) -> str | None:
    """2008年 and 98年出生 digit by digit; 500年前, 近1000年, 30年 are durations."""
    year, following = m["it"], after(m).lstrip()
    if following.startswith("年代"):
        return cardinal(year) if len(year) == 2 and year[0] != "0" else digits(year)
    if following.startswith("年级"):
        return None
    if re.search("(?:公元前?|[纪汉唐宋元明清朝]|西元前?) ?$", before(m)):
        return digits(year)
    lasts = bool(_DURING_BEFORE.search(before(m)) or _DURING_AFTER.match(after(m)))
    if len(year) == 4:
        is_round = year.endswith("00") and (lasts or year > "2100")
        return cardinal(year) if year == "1000" or is_round else digits(year)
    recent = year >= "76" and year[1] != "0" and not lasts
    if len(year) == 2 and (year[0] == "0" or recent or _DATED_AFTER.match(after(m))):
        return digits(year)
    return None


def with_its_zero(m: re.Match[str]) -> str:
    """05月, 08点."""
    return "零" if m["it"] == "00" else counted(m["it"][1], after(m))


def memorable(m: re.Match[str]) -> str:
    """5.1假期 is 五一, 3·15晚会 三一五, 10.1黄金周 十一, 11.11 双十一."""
    month, day = m["m"], m["d"]
    if int(month) < 10:
        return digits(month) + digits(day)
    return "双" + cardinal(month) if month == day else cardinal(month) + cardinal(day)
