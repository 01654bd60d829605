"""Rules by which the readings of a character are told apart: what stands beside it, and parts of speech."""

import functools
import re

from text.words import is_known, is_phrase, segment

_NUMERAL = "〇零一二两三四五六七八九十百千万"
_PAUSE = r"(?=[,.!?…'-]|$)"
_END = rf"[了吗吧呢啊呀的]{{0,2}}{_PAUSE}"  # nothing follows in the clause but particles
_WHO = "你我他她它您咱谁"

# Characters whose readings are told apart by what stands beside them: reading and pattern, the first that fits.
RULES = {
    # only in 尽管, 尽量, 尽早, 尽快, 尽先, 尽可能 it is jin3, "to the utmost"
    "尽": [("jin3", r"尽(?=[管量早快先]|可能)"), ("jin4", "尽")],
    # a lane, which is counted or named; else the verb, which has a result
    "弄": [("long4", rf"(?<=[{_NUMERAL}])弄"), ("nong4", "弄(?=[清干大小懂死丢坏脏乱不得错成出到些来虚破醒湿碎掉])")],
    # a creek in Guangdong, at the end of a name; else the verb
    "涌": [
        ("chong1", rf"(?<=[^,.!?…'\-汹喷奔泉翻云潮蜂风浪腾迸溢上在不管])涌(?:(?=[镇河村尾滘街路站湾区围两])|{_PAUSE})"),
    ],
    "刨": [("bao4", "刨(?=[床子花冰刀木平光工])"), ("pao2", "刨")],
    # a biography, behind what it is about
    "传": [("zhuan4", r"(?<=[列自左外正别评氏])传(?![达送说统播递动染奇承授到令唤输世])")],
    # years: 三年五载, 天宝三载
    "载": [("zai3", rf"(?<=[{_NUMERAL}半几数])载(?![人客货重物荷体波具])")],
    # a counted place; else the verb 处理, 处于
    "处": [("chu4", rf"(?<=[{_NUMERAL}几多数各某每此何])处(?![理于分罚境死决置女方世暑斩刑事身在以])")],
    "幢": [("zhuang4", rf"(?<=[{_NUMERAL}几数这那每整栋各某此该])幢")],
    "胖": [("pang4", "胖")],
    "撮": [("zuo3", "撮(?=[毛胡白黑须鬓长]|头发|小胡)"), ("cuo1", "撮")],
    "呗": [("bei5", rf"(?<![梵赞歌唱])呗{_PAUSE}")],
    "哩": [("li5", rf"(?<![{_NUMERAL}英海公])哩{_PAUSE}")],
    # the complement of a verb, before how it is: 死得较为突然
    "挨": [("ai1", "挨(?=[近着个家次门边肩])")],
    "盛": [("cheng2", "(?<![丰茂旺昌繁强全极鼎隆兴])盛(?=[饭米汤酒满着入器菜]|水(?!期))")],
    "炸": [("zha2", "(?<![轰爆])炸(?=[鸡鱼虾酱薯糕丸豆肉猪排饼串熟透制至])|(?<=[油煎酥软香清烹])炸")],
    "藏": [("cang2", "(?<=[所收珍隐])藏")],
    "冠": [("guan1", "冠(?=[帽羽毛状脉层檐巾服鸟鹤鹰])")],
    "卷": [("juan4", rf"(?<=[第上中下{_NUMERAL}])卷(?![起入走进曲成发])|卷(?=[{_NUMERAL}])")],
    # "must" and the mark of a complement are told apart by parts of speech, in _de
    "得": [
        ("de5", "(?<![获取夺赢所求博拿值只必])得(?=较|很|太|更|非常|十分|比较|极为|极其|如此|越来越)"),
        ("de5", "(?<=[吃走跑来去做干受忍搬用管办拿装赢怪])得(?=[了着动起])"),
    ],
    # a preposition before whom or what it is for; else "to be", "as"
    "为": [
        (
            "wei2",
            rf"(?<=[以成认称作视奉变化改选命译拜收娶分名定列尊立引封誉评推敬])为(?!了?[{_WHO}何])|为(?=[^,.!?]{{1,8}}所)",
        ),
        ("wei4", rf"(?<![以成认称作视奉变化改选命译拜收分名定列尊立引封誉评推敬])为(?=[{_WHO}]|大家|自己|别人|人家)"),
        (
            "wei4",
            "(?<![以成认称作视])为(?=[^,.!?]{1,9}(?:干杯|加油|鼓掌|服务|[操担]心|高兴|骄傲|自豪|发愁|奔波|着[想急]|祈祷"
            "|喝彩|叫好|送行|生气|难过|牺牲|争光|立功|立了功|准备|做饭|而(?!且|成)))",
        ),
    ],
    # good, unless it is one of the words for liking
    "好": [
        ("hao4", "好(?=吃懒|喝酒|赌|管闲|打抱不平|面子|读书)"),
        (
            "hao3",
            f"(?<![爱喜嗜癖偏所])好(?={_END})|(?<=[真很太最还挺更])好|好(?=好|学生|久|多|几|些|看|吃|听|玩|像|容易)",
        ),
    ],
    # to count, by what is counted or how it comes out; else a number
    "数": [
        (
            "shu3",
            "数(?=一数|一数二|数[^字学据量目码]|着(?!名)|不[清完尽过出]|得[清过着出]|[钱星羊]|[你我他她它]|到[一二三十百]|[了过].?遍)",
        ),
        ("shu3", "(?<=从一)数(?=到)|(?<=一)数(?=二)|(?<=数一)数(?![千百十万])"),
    ],
    # to grow, by what grows or how; long, where it is how long something is
    "长": [
        (
            "zhang3",
            "长(?=[高胖壮瘦大成满出进齐歪得毛牙草]|[了着].?[颗个身张脸双层根头副条](?!时)|在|越|好(?!时)|什么|这么大)",
        ),
        ("zhang3", "(?<=越)长(?=越)|(?<=[生成增助滋疯])长"),
        ("chang2", f"(?<=[很好太多更最这那么够又还挺不])长(?={_END}|又)|(?<=又)长(?=又)|长(?=着呢)"),
    ],
    # to give back, which has an object or ends the clause; an adverb does neither
    "还": [
        ("huan2", "还(?=[钱债账款贷价嘴手]|书(?!没|不)|给|清[了吗]|[不得]起|房贷|个价|人家|[你我他她][的]?[钱书账])"),
        ("huan2", f"还(?={_END})|还(?=了(?![解得不结却断]))|还(?=[你我他她]们?{_END})"),
    ],
    # a row or a trade; the rest of its words are in the list
    "行": [
        (
            "hang2",
            rf"(?<=第[{_NUMERAL}])行|(?<=[{_NUMERAL}几])行(?=[字诗树泪]|代码|文字)|(?<=干[我你他]们这)行|(?<=[隔懂])行",
        ),
    ],
    # heavy, where it is how heavy something is; a layer, which is counted
    "重": [
        ("zhong4", f"(?<=[很太更最真好么点挺较斤])重(?={_END}|得)"),
        ("chong2", "重(?=重[包围阻困叠障])|(?<=重)重(?=[包围阻困叠障])"),
    ],
    # the result of a verb: 买着了, 够不着
    "着": [
        ("zhao2", rf"(?<=不)着(?![边痕调陆]){_PAUSE}|(?<=[睡猜逮捞够找买碰见点借])着(?=了|没有?{_PAUSE}|[票火]了)"),
        ("zhao2", "着(?=[火凉急慌迷魔])|(?<=[用犯数管])得着"),
    ],
    # the result of a verb: 吃不了, 走得了
    "了": [("liao3", r"(?<=[^也都再从就又,.!?…'-]不)了(?!了)|(?<=[走吃去来干做受搬办忘跑用管赢]得)了(?![第奖病感])")],
    # 雨哗哗地下着
    "地": [("de5", "(?:(?<=哗哗)|(?<=沙沙)|(?<=簌簌)|(?<=纷纷)|(?<=不停))地(?=下|[说走跑笑哭看])")],
    "和": [
        ("huo2", "和(?=[面泥](?:[,.!?呢了]|$))"),
        ("hu2", f"(?<=[{_WHO}])和(?=[了牌]{{1,2}}{_PAUSE})"),
        ("he4", "(?<=[来])和(?=[一两]首)"),
    ],
    # what has been done before, unless it is a way that is gone
    "过": [
        (
            "guo5",
            "(?<=[去来吃喝看见听说读写学做用想打挨玩穿住坐骑爱买试问谈养])过"
            f"(?![年节日生马河桥街冬夜关路头分瘾程度于来去得好]|一遍)(?={_END}|这|那|没|他|她|你|我|[一两几]次|[北上])",
        ),
    ],
    # to plant, by what is planted or where; a kind, which is counted
    "种": [
        (
            "zhong4",
            "(?<![这那各哪几每某此何一两三四五多])种(?=[花树地菜田草瓜豆粮稻麦]|[着满了下上](?!等)|在|什么|点|小麦|水稻|玉米|棉|果)",
        ),
        ("zhong4", "(?<=[己爷奶爸妈家])种(?=的)"),
    ],
    "更": [("geng1", "更(?=了.?[一两几]?[章集篇])|(?<=[断停催日])更")],
    # to teach somebody or something; else in words
    "教": [
        (
            "jiao1",
            "(?<![请宗受指管任执家道佛调])教(?=[你我他她它您咱](?!会)|[了过得着]|[一两几]遍|教|孩子|学生|大家|会|给|[数语英]|唱|画)",
        ),
        ("jiao1", "(?<=教)教(?=[你我他她])"),
    ],
    "觉": [("jiao4", "(?<=[睡午懒])觉|(?<=小时的)觉"), ("jiao4", f"(?<=[睡][了个])觉(?={_END})")],
    # to look after
    "看": [("kan1", "(?<=[我你他她帮])看(?=一下(?:行李|孩子|包|店|摊))|看(?=孩子[,.!?呢了]|家[,.!?]|大门)")],
    "乐": [("le4", f"乐(?=什么|了{_PAUSE}|[得坏翻呵滋]|个不停|开了)|(?<=[{_WHO}们])乐(?=了)")],
    "量": [("liang2", "(?<![数质重产流容饭酒力热能音分少大销含用])量(?=了?一?量|一下|[了过个着]|[体血身腰胸尺])")],
    # to turn round and round
    "转": [
        (
            "zhuan4",
            f"(?<=[^左右好反逆周扭倒流])转(?=起来|得|个不停|{_END})|转(?=[一两三几]?圈|着圈|来转去|转)|(?<=来)转(?=去)|(?<=转)转",
        ),
    ],
    "倒": [
        (
            "dao4",
            "(?<![摔跌推打刮病累绊滑晕压撞碰吓难])倒(?=[一两半]?杯|[水茶酒油醋掉]|垃圾|[进入](?:去|来|碗|锅|杯)|着走|[是也还])",
        ),
        ("dao4", "(?<=垃圾)倒(?=[了掉])"),
    ],
    "假": [("jia4", "(?<=[请放休准度销批病事婚产寒暑天])假(?!装|[话的如牙])")],
    # to leave out or behind
    "落": [("la4", f"(?<=[一没])落(?={_END})|落(?=[了下]?[一两几][个行字]|[家车]里?了|在[^,.!?]{{1,4}}[里上]了)")],
    "挑": [("tiao3", "(?<=刺)挑(?=出|破)|挑(?=起[^,.!?]{0,3}(?:帘|矛盾|战争|事端|争端))")],
    "应": [("ying1", "(?<=本不)应|(?<=理)应"), ("ying4", f"(?:(?<=[么叫都]不)|(?<=没人))应(?={_END})")],
    "扎": [("za1", "扎(?=着?(?:[一两三]条|[个根条]|[小大马]?辫|腰带|皮带|马尾|头发|一条))")],
    "弹": [("tan2", "弹(?=[了着过得]|[一两三几]?[个两][小]?时|[琴唱奏开回]|钢琴|吉他|一[首曲会])")],
    # a knot of words for carrying on the back
    "背": [
        (
            "bei1",
            f"背(?=着[她他它我你孩包枪炸药书行囊篓人弟妹妈爷奶柴])(?!着[她他它我你][^,.!?]{{0,4}}(?:说|干|做))|背(?=[{_WHO}])",
        ),
        ("bei1", f"(?<=身上)背(?={_END})"),
        ("bei4", f"(?<=[了文词书诗])背(?={_END}|[得了不])"),
    ],
    "钉": [("ding4", "钉(?=[在上入进满死成好个]|扣|一[下个]|马掌)")],
    "撒": [("sa3", "撒(?=[上在些满盐粉种播布落入把点]|[了出][一得来]|化肥|葱|[多少]了)")],
    "差": [
        ("cha4", "(?<=[很太较更最极不])差(?![异别距额值分错])"),
        (
            "cha4",
            f"(?<=[{_WHO}还就只能])差(?=哪|什么|[一二两三四五六七八九十几]|{_END})|差(?=[一两三几][点个块分]|劲|点)",
        ),
    ],
    # thin
    "薄": [("bao2", f"(?<=[很太更最真点么又])薄(?={_END})|(?<=[纸被冰皮])薄(?=得|{_PAUSE})|薄(?=薄)|(?<=薄)薄")],
    # to head for
    "奔": [("ben4", "奔(?=着[^跑,.!?]|[^跑走波向驰腾流放忙丧涌赴赛]{1,3}[堂家场店站去](?:[,.!?了]|$))")],
    # to vomit
    "吐": [("tu4", f"(?<![吞谈吐])吐(?={_END}|了|得|奶|血)(?!了?口)"), ("tu4", "(?<=[想老又要直])吐(?![槽痰舌字丝])")],
    "咳": [("hai1", r"(?:^|(?<=[,.!?…'-]))咳(?=[,.!?…]|$)")],
    "哪": [("na5", f"(?<=[着您天人呢看])哪{_PAUSE}|(?<=快来看)哪")],
    # a shell; the words of geology and of the cicada are in the list
    "壳": [("ke2", "(?<![地甲躯脱])壳")],
    "哄": [("hong3", f"(?<![起哄])哄(?=[{_WHO}孩]|着|好|笑了|睡|老人)")],
    "划": [("hua2", "划(?=[船桨拳水破伤]|啊|着?火柴|了?[一个]?道)|(?<=桨)划|(?<=啊)划")],
    "禁": [("jin1", "(?<=[真很更不])禁(?=[穿用玩打脏折住得起]|[^,.!?止烟令区])")],
    "劲": [("jin4", "(?<=[点使用卖没有差费酒])劲(?!敌|旅)|劲(?=儿|头)")],
    "塞": [("sai1", "(?<![要边关出堵阻闭搪])塞(?=[进满住给到得车牙入])")],
    "累": [("lei4", f"(?<![积日连拖牵带累])累(?={_END}|死|坏|得|不累|倒|病|垮)")],
    "凉": [("liang4", "凉(?=[一]?凉再|一下再|一会儿|着吧)|(?<=凉一)凉|(?<=先)凉(?=着|一)")],
    "相": [("xiang4", f"(?<=[张个张照])相(?={_END})")],
    "空": [("kong4", f"(?<=[有没抽得])空(?={_END}|[再来去就儿帮一])|空(?=出来)")],
    "中": [("zhong4", "(?<=[打击射看猜说选相蒙投扎刺])中(?=了|过)")],
    "只": [("zhi1", rf"(?<=[{_NUMERAL}几这那哪每半])只(?![有要是能会好顾管得不])")],
    "卡": [("qia3", "卡(?=[住在着](?!片))")],
    "占": [("zhan1", "占(?=了?[一两]?[卦卜])")],
    "涨": [("zhang4", "(?<=[脸脑])涨(?=[得红])|涨(?=红)|(?<=泡)涨")],
    "散": [("san3", "(?<=[带辫发])散(?=了|开)")],
    "切": [("qie1", "(?<![一亲密迫贴关急确恳])切(?=[菜肉成开丁丝片块段碎了好]|[一两]下)")],
    "铺": [("pu1", "(?<![床店药当上下中])铺(?=[了着满上平好开在地床])")],
    "似": [("shi4", "(?<![相类近])似(?=的)")],
}

# As a word of its own a character has its spoken reading, in compounds the literary one: 剥个橘子 bao1, 剥夺 bo1.
ALONE = {
    **{
        "剥": "bao1",
        "削": "xiao1",
        "弹": "tan2",
        "划": "hua2",
        "藏": "cang2",
        "缝": "feng2",
        "晕": "yun1",
        "切": "qie1",
    },
    **{
        "壳": "ke2",
        "累": "lei4",
        "哄": "hong3",
        "教": "jiao1",
        "挑": "tiao1",
        "涨": "zhang3",
        "差": "cha4",
        "磨": "mo2",
    },
}
# Said twice it is a verb: 量量, 数数, 调调.
TWICE = ALONE | {"数": "shu3", "量": "liang2", "调": "tiao2", "转": "zhuan4", "背": "bei4"}

# Readings as a surname, where the segmenter sees a person's name.
SURNAMES = {
    **{"任": "ren2", "单": "shan4", "解": "xie4", "仇": "qiu2", "查": "zha1", "曾": "zeng1", "华": "hua4", "盖": "ge3"},
    **{"区": "ou1", "朴": "piao2", "翟": "zhai2", "曲": "qu1", "宁": "ning4", "员": "yun4"},
}


@functools.cache
def _patterns(char: str) -> list[tuple[str, re.Pattern[str]]]:
    return [(reading, re.compile(pattern)) for reading, pattern in RULES.get(char, ())]


def by_rule(text: str, i: int) -> str:
    """The reading that RULES give the character at `i`; "" for none."""
    return next((reading for reading, pattern in _patterns(text[i]) if pattern.match(text, i)), "")


def by_grammar(run: str) -> dict[int, str]:
    """Place -> reading, where it takes parts of speech to tell."""
    if not any(char in SURNAMES or char in "地得" for char in run):
        return {}
    words, found, start = segment(run), {}, 0
    for i, (word, tag) in enumerate(words):
        before, after = words[i - 1] if i else ("", ""), words[i + 1] if i + 1 < len(words) else ("", "")
        # 地 between a manner and a verb: 慢慢地走, but not 这块地
        manner = before[1][:1] in ("a", "b", "d", "i", "l", "o", "v", "z") or before[0].endswith("性")
        if word == "地" and before[0] and after[0] and manner:
            found[start] = "de5"
        # 得 alone, or what the segmenter guessed to be a word: 得去, 说得对
        joined = word != "得" and "得" in word and not is_phrase(word)
        if word == "得" or (joined and word[0] == "得" and (word == "得来" or not is_known(word))):
            if pinyin := _de(before, (word[1:], tag) if joined else after, run[start + 1 :]):
                found[start] = pinyin
        elif (
            joined
            and tag[0] in "vlad"
            and 0 < (middle := word.find("得")) < len(word) - 1
            and word[middle - 1] not in _BEFORE_DE2
        ):
            found[start + middle] = "de5"
        # a name, unless it is a word besides: 宁静
        named = tag == "nr" and 2 <= len(word) <= 3 and is_known(word)
        if named and word[0] in SURNAMES and not is_phrase(word):
            found[start] = SURNAMES[word[0]]
        start += len(word)
    return found


def alone(run: str) -> dict[int, str]:
    """Place -> spoken reading of the characters that are words of their own, once or twice."""
    found: dict[int, str] = {}
    if not any(char in TWICE for char in run):
        return found
    start = 0
    for word, _ in segment(run):
        table = ALONE if len(word) == 1 else TWICE
        if len(set(word)) == 1 and len(word) <= 2 and word[0] in table:
            found |= {start + i: table[word[0]] for i in range(len(word))}
        start += len(word)
    return found


# Adverbs and auxiliaries that jieba takes for verbs, behind which 得 is "must" all the same.
_MODAL = frozenset("可能 应该 必须 可 要 恐怕 估计 看来 起码 至少 大概 肯定 一定 那 非 总 都 就 也 还 又 先 真".split())
# What is got, not what must be done: 得奖, 得满分, 得感冒.
_GOT = re.compile(
    rf".{{0,4}}(?:奖|牌|冠军|亚军|满分|名次|感冒|癌|病(?!人|房)|炎)|[了过到胜逞宠势救罪]|第|[{_NUMERAL}]+分(?!钟)"
)


# Behind these it is a part of the word: 取得, 不得, 值得.
_BEFORE_DE2 = frozenset("获取夺赢求所博拿值不只必总非还难心")


def _de(before: tuple[str, str], after: tuple[str, str], rest: str) -> str:
    """得 standing alone: dei3, "must", of a subject or an adverb before a verb; de5 of a verb before how it is done."""
    word, kind = before[0], before[1][:1]
    if not after[0] or (word[-1:] in _BEFORE_DE2 and word not in _MODAL):
        return ""
    # what has its object cannot have a complement as well: 开车得小心
    if kind == "v" and len(word) == 2 and word[1] in "车饭觉人班课试票床门路书酒衣钱歌活戏学":
        return "dei3"
    if word not in _MODAL and (kind in ("v", "a", "z", "i", "l") or word in ("下", "上", "病", "画")):
        return "de5"
    must = not word or kind in ("r", "d", "c", "t", "n", "s", "f", "u", "k") or word in _MODAL
    return "dei3" if must and not _GOT.match(rest) and after[1] not in ("ul", "uz", "uj") else ""
