"""Signs between what has been claimed, and signs alone."""

import re

from text.numbers.rules import Rule, before
from text.tables import table


def _dot_in_a_name(m: re.Match[str]) -> str | None:
    return None if re.search("(?:Mr|Mrs|Ms|Dr|St|vs|Prof|Fig|Vol|Inc|Ltd|Jr|etc)$", before(m)) else "点"


RULES = (
    Rule(r"\*(?=号?键|号(?!\d))", "星"),  # *号键
    Rule(r"#(?=号?键|号(?!\d))", "井"),
    Rule("(?<=«done») ?[★⭐](?![★⭐])", "星"),  # 5★
    Rule("和/或", "和或"),
    # 5月1日-5月7日, 3个~5个, 第1-第3名, 8:00-9:30; A-C栋; A~Z
    Rule("(?<=«done»)(?P<unit>[«han»]{0,3}) ?(?P<it>[-−–—―~～]{1,2}) ?(?=第?«done»)", "到"),
    Rule("(?<=(?<![A-Za-z])[A-Z])[-–](?=[A-Z](?:[栋座区组班级轮等]|[到至]))", "到"),
    Rule("(?<=(?<![A-Za-z])[A-Z])[~～](?=[A-Z](?![A-Za-z]))", "到"),
    Rule("(?<=«done»)-(?=[A-Za-z])", " "),  # 7-Eleven: nothing is said
    # 周一~周五
    Rule(
        "(?<=[一二三四五六日末天月年季晨早午晚期级])[-–—~～]"
        "(?=(?:周|星期|礼拜|[一二三四五六七八九十]|早|中午|下午|晚|凌晨|次))",
        "到",
    ),
    Rule(r"(?<![\w«done»])[~～](?=«done»)", "约"),
    # 1920x1080, 7*24小时
    Rule("(?<=«done») ?(?P<it>[xX*]) ?(?=«done»)", "乘"),
    Rule("(?<=«done») ?(?P<it>·) ?(?=«done»)", ","),
    Rule("(?<=[A-Za-z])#(?![A-Za-z0-9#])", " sharp "),
    Rule("(?<=[一二三四五六七八九十])·(?=[一二三四五六七八九十])", ""),  # 七·七事变
    Rule("×{2,}", lambda m: "某" * min(len(m[0]), 3)),
    Rule("[-=]{1,2}>|➡", "到"),
    # 男/女: a short pause; between words none; at the beginning of a path
    Rule("(?<=[«han»«done»]) ?(?P<it>/) ?(?=[«han»«done»])", ","),
    Rule("(?<=[A-Za-z])/(?=[A-Za-z])", " "),
    Rule(r"(?<=[A-Za-z]{2})\.(?=[a-z]{2}|[A-Z]{2})", _dot_in_a_name),
    Rule(r"(?<!\S)/(?=[A-Za-z])", "斜杠"),
    Rule("/+", ","),
    Rule("[«signs»]", lambda m: table("units")["signs"][m[0]]),
)
