"""Money, percentages, temperatures, units, fractions and powers."""

import re
import unicodedata

from text.numbers.numerals import cardinal, counted, number, sign_of
from text.numbers.patterns import MINUS, after, before
from text.tables import table
from text.units import units

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ−", "0123456789-+n-")


def share(a: str, b: str) -> str:
    """3 and 4 -> 四分之三."""
    return f"{number(b, '二')}分之{number(a, '二')}"


def percent(written: str) -> str:
    return {"%": "百分之", "‰": "千分之"}[written[-1]] + number(written[:-1].rstrip(), "二")


def quantity(a: str, b: str | None, unit: str, powers: str = "") -> str:
    """One figure or a range, perhaps of 万 or 亿, with its unit."""
    ahead, behind = units()[unit]
    measure = powers or behind if not behind.isascii() else ""
    return ahead + "到".join(counted(figure, measure) for figure in (a, b) if figure) + powers + behind


def power(written: str) -> str:
    """What is said for an exponent: ² is 的平方."""
    plain = written.translate(_SUPERSCRIPTS).lstrip("^").strip("{}")
    if plain in ("2", "3"):
        return {"2": "的平方", "3": "的立方"}[plain]
    exponent = plain.lstrip("-+")
    words = cardinal(exponent, "二") if exponent.isdecimal() else f" {exponent} "
    return f"的{'负' if plain[0] == '-' else ''}{words}次方"


def times_a_power_of_ten(written: str) -> str:
    """1e-5 -> 一乘十的负五次方."""
    figure, exponent = re.split("[eE]", written)
    words = power(f"^{int(exponent.replace('−', '-'))}").replace("的平方", "的二次方").replace("的立方", "的三次方")
    return f"{number(figure)}乘十{words}"


def money(m: re.Match[str]) -> str:
    """$1,234.56 -> 一千二百三十四点五六美元; ¥3亿; $1.5B; HK$100; 100 USD, 20€."""
    part = {"sign": "", "pa": "", "plus": "", "again": "", **m.groupdict(default="")}
    name = table("units")["currencies"][part["c"]]
    if part["again"] and (name == "元" or part["again"] != "元"):
        name = part["again"]
    of_first = part["pa"] if part["b"] else part["pa"] or part["p"]
    figures = [(part["a"], of_first), (part["b"], part["p"])]
    amounts = "到".join(_amount(figure, powers, name) for figure, powers in figures if figure)
    return sign_of(part["sign"]) + amounts + name + ("加" if part["plus"] else "")


def _amount(figure: str, powers: str, name: str) -> str:
    exponent = table("units")["powers_of_ten"].get(powers.strip())
    return _times_ten_to(figure, exponent) if exponent else counted(figure, powers or name) + powers


def _times_ten_to(figure: str, exponent: int) -> str:
    """1.5 and 9 -> 十五亿."""
    sign = figure[0] if figure[0] in "-−+±" else ""
    whole, _, decimals = figure.lstrip("-−+±").replace(",", "").partition(".")
    if len(decimals) > exponent:
        return number(figure)
    return number(sign + (whole + decimals.ljust(exponent, "0")).lstrip("0").rjust(1, "0"))


def percent_range(m: re.Match[str]) -> str:
    """30%-50% -> 百分之三十到百分之五十; 3-5% -> 百分之三到五."""
    a, b = m["a"], m["b"]
    return f"{percent(a + m['s'])}到{percent(b + m['s2'])}" if m["s"] else f"{percent(a + m['s2'])}到{number(b)}"


def temperature(m: re.Match[str]) -> str | None:
    """-5℃ -> 零下五摄氏度; -5度 too, unless it is an angle or an eye."""
    a, b, unit = m["a"], m["b"], m["u"].replace(" ", "")
    freezing = unit != "度" or a[0] in MINUS
    if not freezing or re.search("近视|散光|角|转|偏|倾|纬|经 ?$", before(m)):
        return None if unit == "度" else "到".join(number(figure) for figure in (a, b) if figure) + units()[unit][1]
    words = [
        number(figure).replace("负", "零下", 1) if figure[0] in MINUS else counted(figure, "度")
        for figure in (a, b)
        if figure
    ]
    return "到".join(words) + (units()[unit][1] if unit in units() else unit)


def unit(m: re.Match[str]) -> str | None:
    """5kg, 60km/h -> 每小时六十公里, 3-5cm."""
    unit, a = m["u"], m["a"]
    one_letter = len(unit) == 1 and unit.isalpha() and unit.isascii()
    is_doubtful = unit in table("units")["doubtful"]
    if is_doubtful and (len(a) < 2 or re.match("[座栋级区口门馆楼层班组型类号]", after(m))):
        return None  # 5A景区, 12A座
    if one_letter and re.search(r"(?<!\dh)(?<!\dmin)(?<=[A-Za-z])[ -]?$", before(m)):
        return None  # iPhone 6s
    return quantity(a, m["b"], unit, m["p"])


def unit_alone(m: re.Match[str]) -> str | None:
    """km/h -> 公里每小时."""
    return "".join(reversed(units()[m[0]])) if m[0] in units() and len(m[0]) > 3 else None


def vulgar_fraction(m: re.Match[str]) -> str:
    a, b = unicodedata.normalize("NFKC", m["f"]).split("⁄")
    return _mixed(sign_of(m[0]), m["w"], a, b)


def fraction(m: re.Match[str]) -> str | None:
    """3/4 -> 四分之三; 1 1/2; but no date, and no 血压120/80."""
    a, b = m["a"], m["b"]
    is_pressure = re.match(" ?mmHg| ?毫米汞柱", after(m)) or re.search("血压[为是::]? ?$", before(m))
    if len(b) > 6 or int(a) > int(b) > 12 or is_pressure:
        return None
    return _mixed(sign_of(m["sign"] or ""), m["w"], a, b)


def _mixed(sign: str, whole: str | None, a: str, b: str) -> str:
    return sign + (number(whole) + "又" if whole else "") + share(a, b)
