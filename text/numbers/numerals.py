"""Numerals in Chinese: digit by digit, as a cardinal, and before a measure word, where 2 is 两."""

import re

DIGITS = "零一二三四五六七八九"

# What 2 is said 两 before: measure words, units and powers of ten, but not 二月, 二号, 二年级, 二次元, 二分之一.
COUNTED = re.compile(
    " ?(?:小?个(?!位数)|[只条张本支枝枚件辆架艘台名天岁秒刻座栋幢间所桌席场局轮届起宗笔档道步圈遍趟顿番阵者边侧国人家"
    "种样项款门部集章节篇段句行列页卷册套份批群堆排串双对副幅盒箱包袋瓶杯碗盘桶罐盆锅勺片块粒颗滴根束株棵朵层房厅卫"
    "米里尺丈寸亩升吨克斤磅瓦伏帕焦倍折成股毛角半百千万亿周口头组代餐拳针球胜負负盏匹扇团颗]"
    "|把(?!手)|晚(?![会上餐饭间年期宴])|夜(?![间晚])|位(?!数)|次(?![元方函曲型创污感电开])|年(?!级|度)|点(?!五)"
    "|时(?!代)|分(?!之|法)|度(?!假|量)|元(?!一?次|论)"
    "|字(?!头)|室(?=\\d)|回(?!合?旋)|下(?!面)|地(?=分居)|日(?=游)|季(?!度)|美元|美金|欧元|英镑|日元|港[元币]|韩元|卢布"
    "|小时|钟头|公[里斤顷分]|[千厘毫分微纳]米|海里|英[里尺寸]|平方|立方|平米|毫升|[千毫微]克|盎司|千瓦|赫兹|分贝|千?卡(?!通)"
    "|安培|星期|礼拜|世纪(?=以来|前)|摄氏度|多[个年天次]|几[个年])"
)


def digits(number: str, one: str = "一") -> str:
    """One after the other; one="幺" for numbers that name something (telephones, rooms, trains)."""
    return "".join(one if digit == "1" else DIGITS[int(digit)] for digit in number)


def cardinal(number: str, two: str = "两") -> str:
    """2008 -> 两千零八; two="二" for ordinals: 第二百. Leading zeros or more than 16 digits: one after the other."""
    if len(number) > 16 or (number[0] == "0" and number != "0"):
        return digits(number)
    words = _under_ten_to_the_16(int(number))
    if words[0] == "二" and words[1:2] in tuple("百千万亿"):
        words = two + words[1:]
    return words[1:] if words.startswith("一十") else words


def _under_ten_to_the_16(number: int) -> str:
    for power, name in ((10**8, "亿"), (10**4, "万"), (1000, "千"), (100, "百"), (10, "十")):
        if number >= power:
            high, low = divmod(number, power)
            gap = "零" if 0 < low < power // 10 else ""
            return _under_ten_to_the_16(high) + name + gap + (_under_ten_to_the_16(low) if low else "")
    return DIGITS[number]


def number(written: str, two: str = "两") -> str:
    """A number with sign, thousands separators and decimals: "-1,234.50" -> 负一千二百三十四点五零."""
    whole, _, decimals = written.lstrip("-−+±").replace(",", "").partition(".")
    return sign_of(written) + cardinal(whole, two) + ("点" + digits(decimals) if decimals else "")


def sign_of(written: str) -> str:
    """The word for the sign that a number begins with; "" where it has none."""
    return {"-": "负", "−": "负", "+": "正", "±": "正负"}.get(written[:1], "")


def counted(written: str, after: str) -> str:
    """A number before a measure word: 2 is 两."""
    return "两" if written == "2" and COUNTED.match(after) else number(written)
