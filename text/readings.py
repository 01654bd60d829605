"""Readings: which syllable, with which tone, a character has where it stands.

Four sources, the surer first: the words of text/data/readings.txt, written by hand; rules of grammar; g2pM (Park and
Lee, "g2pM: A Neural Grapheme-to-Phoneme Conversion Package for Mandarin Chinese Based on a New Open Benchmark
Dataset", Interspeech 2020), which decides by the whole sentence; pypinyin's dictionaries of phrases and characters. A
`Reader` is a function, so another source can take their place; see text.g2pw.
"""

import functools
import itertools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from text.phones import split_reading, syllable_phones
from text.symbols import PUNCTUATION
from text.words import is_known, segment, spans

# 一 and 不 change with what follows; that is sandhi's work, so their readings are the plain ones.
PLAIN = {"一": "yi1", "不": "bu4", "儿": "er2"}

# g2pM says le5, zhe5, de5 for these nearly always, also in 了解, 着急, 目的; its training set has few of them.
PARTICLES = frozenset("了着的地得过")

# g2pM is too sure of itself: its log-probabilities are cut off at the first number and weighed with the second. A
# phrase of pypinyin's adds to its reading by what it is: one word of two characters, one longer word, several words.
# Fitted by maximum likelihood on CPP's development set: 136 mistakes, 134 to 137 in five-fold cross-validation.
G2PM_LEAST, G2PM_WEIGHT = -12.0, 0.46
PHRASE_WEIGHTS = {"word2": 2.9, "word3": 2.2, "words3": 0.45}

# How often these are right on CPP's development set.
LEXICON_CONFIDENCE, RULE_CONFIDENCE, PARTICLE_CONFIDENCE = 0.97, 0.96, 0.97
ONLY_CONFIDENCE, UNKNOWN_CONFIDENCE = 0.99, 0.5  # a character with one reading; with several, and no hint

# g2pM was trained on sentences with full-width punctuation.
_FULL_WIDTH = str.maketrans({",": "，", ".": "。", "!": "！", "?": "？", "-": "—", "'": "”"})

_NUMERAL = "〇零一二两三四五六七八九十百千万"
_PAUSE = r"(?=[,.!?…'-]|$)"

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
    "得": [("de5", "(?<![获取夺赢所求博拿值只必])得(?=较|很|太|更|非常|十分|比较|极为|极其|如此|越来越)")],
    "背": [("bei1", "背(?=着[她他它我你孩包枪炸药书行囊篓人])")],
    "钉": [("ding4", "钉(?=[在上入进满死成])")],
    "挨": [("ai1", "挨(?=[近着个家次门边肩])")],
    "撒": [("sa3", "撒(?=[上在些满盐粉种播布落入])")],
    "盛": [("cheng2", "(?<![丰茂旺昌繁强全极鼎隆兴])盛(?=[饭米汤酒满着入器菜]|水(?!期))")],
    "炸": [("zha2", "(?<![轰爆])炸(?=[鸡鱼虾酱薯糕丸豆肉猪排饼串熟透制至])|(?<=[油煎酥软香清烹])炸")],
    "藏": [("cang2", "(?<=[所收珍隐])藏")],
    "冠": [("guan1", "冠(?=[帽羽毛状脉层檐巾服鸟鹤鹰])")],
    "卷": [("juan4", rf"(?<=[第上中下{_NUMERAL}])卷(?![起入走进曲成发])|卷(?=[{_NUMERAL}])")],
    "觉": [("jiao4", "(?<=[睡午懒])觉")],
    "差": [("cha4", "(?<=[很太较更最极不])差(?![异别距额值分错])")],
}

# Readings as a surname, where the segmenter sees a person's name.
SURNAMES = {
    **{"任": "ren2", "单": "shan4", "解": "xie4", "仇": "qiu2", "查": "zha1", "曾": "zeng1", "华": "hua4", "盖": "ge3"},
    **{"区": "ou1", "朴": "piao2", "翟": "zhai2", "曲": "qu1", "宁": "ning4", "员": "yun4"},
}


@dataclass(frozen=True)
class Reading:
    """pinyin: a syllable with tone ("hang2", "lv4"; "" for punctuation); source: who said so; confidence: 0-1.

    others: what else the character can be in Mandarin, the usual first.
    """

    pinyin: str
    source: str
    confidence: float
    others: tuple[str, ...] = ()


Reader = Callable[[str], list[Reading]]  # normalised text, n characters -> n readings

PUNCTUATION_READING = Reading("", "punctuation", 1.0)


def read(text: str) -> list[Reading]:
    """One reading for each character of a normalised text (Chinese characters and `PUNCTUATION`)."""
    readings: list[Reading] = []
    by_g2pm = _g2pm_scores(text)
    for run, is_chinese in runs(text):
        readings += _read_run(text, len(readings), run, by_g2pm) if is_chinese else [PUNCTUATION_READING] * len(run)
    return readings


def reading_of(char: str, pinyin: str, source: str, confidence: float) -> Reading:
    """A reading that knows what else it could be."""
    return Reading(pinyin, source, confidence, tuple(other for other in known_readings(char) if other != pinyin))


def _read_run(text: str, start: int, run: str, by_g2pm: list[dict[str, float]]) -> list[Reading]:
    """The readings of the run of Chinese characters that begins at `start` of `text`."""
    certain, phrases, grammar = _lexicon_readings(run), _phrase_readings(run), _by_grammar(run)
    readings = []
    for i, char in enumerate(run):
        if char in PLAIN:
            found = (PLAIN[char], "rule", 1.0)
        elif certain[i] and certain[i] != "?":
            found = (certain[i], "lexicon", LEXICON_CONFIDENCE)
        elif i in grammar:
            found = (grammar[i], "rule", RULE_CONFIDENCE)
        elif ruled := _by_rule(text, start + i):
            found = (ruled, "rule", RULE_CONFIDENCE)
        else:
            found = _weighed(char, by_g2pm[start + i], ("", "") if certain[i] == "?" else phrases[i])
        readings.append(reading_of(char, *found))
    return readings


def _weighed(char: str, scores: dict[str, float], phrase: tuple[str, str]) -> tuple[str, str, float]:
    """Reading, source and confidence by g2pM's log-probabilities and a phrase (reading, kind; both "" for none)."""
    pinyin, kind = phrase
    if pinyin and (not scores or (char in PARTICLES and kind != "words3")):
        return pinyin, "pypinyin", PARTICLE_CONFIDENCE
    if not scores:
        only = len(known_readings(char)) == 1
        return usual_pinyin(char), "pypinyin", ONLY_CONFIDENCE if only else UNKNOWN_CONFIDENCE
    if len(scores) == 1:
        return next(iter(scores)), "g2pm", ONLY_CONFIDENCE
    weighed = {p: G2PM_WEIGHT * max(score, G2PM_LEAST) for p, score in scores.items()}
    if pinyin in weighed:
        weighed[pinyin] += PHRASE_WEIGHTS[kind]
    best = max(weighed, key=weighed.get)
    confidence = 1 / sum(math.exp(weight - weighed[best]) for weight in weighed.values())
    return best, "g2pm" if best == max(scores, key=scores.get) else "pypinyin", confidence


# --- words written by hand, and rules ----------------------------------------------------------------------------


@functools.cache
def _lexicon() -> dict[str, tuple[str, ...]]:
    """Word -> a reading for each of its characters: "" where none is given, "?" where pypinyin's is not trusted."""
    words: dict[str, list[str]] = {}
    for line in files("text").joinpath("data/readings.txt").read_text("utf-8").splitlines():
        char, reading, *listed = line.split()
        for word in listed:
            known = words.setdefault(word, [""] * len(word))
            for i, other in enumerate(word):
                if other == char:
                    known[i] = reading
    return {word: tuple(known) for word, known in words.items()}


def _lexicon_readings(run: str) -> list[str]:
    """For each character what the longest phrase of the lexicon that it stands in says, "" if there is none."""
    lexicon = _lexicon()
    found, lengths = [""] * len(run), [0] * len(run)
    for start, end in spans(run):
        for i, reading in enumerate(lexicon.get(run[start:end], ()), start):
            if reading and end - start > lengths[i]:
                found[i], lengths[i] = reading, end - start
    return found


@functools.cache
def _patterns(char: str) -> list[tuple[str, re.Pattern[str]]]:
    return [(reading, re.compile(pattern)) for reading, pattern in RULES.get(char, ())]


def _by_rule(text: str, i: int) -> str:
    return next((reading for reading, pattern in _patterns(text[i]) if pattern.match(text, i)), "")


def _by_grammar(run: str) -> dict[int, str]:
    """Place -> reading, where it takes parts of speech to tell."""
    if not any(char in SURNAMES or char == "地" for char in run):
        return {}
    words, found, start = segment(run), {}, 0
    for i, (word, tag) in enumerate(words):
        before, after = words[i - 1] if i else ("", ""), words[i + 1] if i + 1 < len(words) else ("", "")
        # 地 between a manner and a verb: 慢慢地走, but not 这块地
        manner = before[1][:1] in ("a", "b", "d", "i", "l", "o", "v", "z") or before[0].endswith("性")
        if word == "地" and before[0] and after[0] and manner:
            found[start] = "de5"
        if tag == "nr" and word[0] in SURNAMES and 2 <= len(word) <= 3 and is_known(word):
            found[start] = SURNAMES[word[0]]
        start += len(word)
    return found


@functools.lru_cache(maxsize=65536)
def readable(char: str) -> bool:
    """Whether any source knows a Mandarin syllable for this character."""
    return is_spoken(usual_pinyin(char))


@functools.lru_cache(maxsize=65536)
def known_readings(char: str) -> tuple[str, ...]:
    """All Mandarin readings of a character that can be said, the usual first: pypinyin's, then CC-CEDICT's."""
    pypinyin = _pypinyin()
    (listed,) = pypinyin.pinyin(char, style=pypinyin.Style.TONE3, heteronym=True, neutral_tone_with_five=True)
    readings = (_as_pinyin(reading) for reading in (*listed, *_g2pm().cedict.get(char, ())))
    return tuple(reading for reading in dict.fromkeys(readings) if is_spoken(reading))


# --- pypinyin ----------------------------------------------------------------------------------------------------


@functools.cache
def _pypinyin():
    import pypinyin

    return pypinyin


def pypinyin_of_run(run: str) -> list[str]:
    """pypinyin's readings of a run of Chinese characters: the longest phrases it knows, else the usual reading."""
    pypinyin = _pypinyin()
    readings = pypinyin.lazy_pinyin(run, style=pypinyin.Style.TONE3, neutral_tone_with_five=True)
    # A phrase of which it keeps the characters together (none is known) must not shift the others.
    if len(readings) != len(run):
        readings = [usual_pinyin(char) for char in run]
    return [_as_pinyin(reading) for reading in readings]


def usual_pinyin(char: str) -> str:
    pypinyin = _pypinyin()
    return _as_pinyin(pypinyin.lazy_pinyin(char, style=pypinyin.Style.TONE3, neutral_tone_with_five=True)[0])


def _phrase_readings(run: str) -> list[tuple[str, str]]:
    """For each character the reading by the longest of pypinyin's phrases it stands in, and its kind; else "", ""."""
    phrases = _pypinyin().constants.PHRASES_DICT
    starts = set(itertools.accumulate((len(word) for word, _ in segment(run)), initial=0))
    found, lengths = [("", "")] * len(run), [0] * len(run)
    for start, end in spans(run):
        phrase = run[start:end]
        if phrase not in phrases:
            continue
        joined = any(place in starts for place in range(start + 1, end))
        if joined and end - start == 2:
            continue
        kind = f"{'words' if joined else 'word'}{min(end - start, 3)}"
        for i, reading in enumerate(_phrase(phrase), start):
            if end - start > lengths[i] and is_spoken(reading):
                found[i], lengths[i] = (reading, kind), end - start
    return found


@functools.lru_cache(maxsize=8192)
def _phrase(phrase: str) -> list[str]:
    return pypinyin_of_run(phrase)


def runs(text: str) -> list[tuple[str, bool]]:
    """Stretches of normalised text: (Chinese characters, True) or (punctuation, False); joined they are `text`."""
    stretches: list[tuple[str, bool]] = []
    for char in text:
        is_chinese = char not in PUNCTUATION
        if stretches and stretches[-1][1] == is_chinese:
            stretches[-1] = (stretches[-1][0] + char, is_chinese)
        else:
            stretches.append((char, is_chinese))
    return stretches


def _as_pinyin(reading: str) -> str:
    return reading.replace("u:", "v").replace("ü", "v")


@functools.lru_cache(maxsize=8192)
def is_spoken(pinyin: str) -> bool:
    try:
        syllable_phones(split_reading(pinyin)[0])
    except ValueError:
        return False
    return True


# --- g2pM --------------------------------------------------------------------------------------------------------


@functools.cache
def _g2pm():
    from g2pM import G2pM

    return G2pM()


@functools.cache
def _g2pm_classes() -> dict[str, int]:
    return {pinyin: i for i, pinyin in _g2pm().idx2class.items()}


def _g2pm_scores(text: str) -> list[dict[str, float]]:
    """For each character its readings with their log-probabilities; none where g2pM knows none that can be spoken."""
    model, classes = _g2pm(), _g2pm_classes()
    found: list[dict[str, float]] = []
    asked: dict[int, list[str]] = {}  # place -> the readings to choose from
    for i, char in enumerate(text):
        candidates = [p for p in model.cedict.get(char, ()) if is_spoken(_as_pinyin(p))]
        found.append({_as_pinyin(candidates[0]): 0.0} if len(candidates) == 1 else {})
        if len(candidates) > 1 and (known := [p for p in candidates if p in classes]):
            asked[i] = known
    if not asked:
        return found
    for (i, known), logits in zip(asked.items(), _g2pm_logits(text, list(asked)), strict=True):
        # The network scores all of its syllables; only those of this character are in question.
        scores = logits[[classes[p] for p in known]].astype(np.float64)
        scores -= scores.max() + np.log(np.exp(scores - scores.max()).sum())
        found[i] = {_as_pinyin(p): float(score) for p, score in zip(known, scores, strict=True)}
    return found


def _g2pm_logits(text: str, places: list[int]) -> np.ndarray:
    """g2pM's network (a bidirectional LSTM): scores [len(places), classes] of the characters at `places`."""
    model = _g2pm()
    unknown = model.char2idx["<UNK>"]
    ids = [model.char2idx.get(char, unknown) for char in text.translate(_FULL_WIDTH)]
    ids = np.array([model.char2idx["시"], *ids, model.char2idx["끝"]])  # its marks of beginning and end
    embedded = model.embeddings[ids]  # [n + 2, channels]
    inward = np.stack([model.weight_ih, model.weight_ih_reverse]).transpose(0, 2, 1)
    onward = np.stack([model.weight_hh, model.weight_hh_reverse]).transpose(0, 2, 1)
    bias = np.stack([model.bias_ih + model.bias_hh, model.bias_ih_reverse + model.bias_hh_reverse])
    inputs = np.stack([embedded, embedded[::-1]]) @ inward + bias[:, None]
    forward, backward = _lstm(inputs, onward)
    hidden = np.concatenate([forward, backward[::-1]], axis=1)
    return model.fc_layer(hidden[[place + 1 for place in places]])


def _lstm(inputs: np.ndarray, onward: np.ndarray) -> np.ndarray:
    """Two LSTMs side by side, gates in PyTorch's order (input, forget, cell, output).

    inputs: what the steps bring to the gates [2, n, 4 * hidden]; onward: recurrent weights [2, hidden, 4 * hidden];
    returns the states [2, n, hidden].
    """
    hidden = np.zeros((2, 1, onward.shape[1]), np.float32)
    cell = np.zeros_like(hidden)
    states = []
    for step in range(inputs.shape[1]):
        gates = inputs[:, step : step + 1] + hidden @ onward
        enter, forget, new, leave = np.split(gates, 4, axis=2)
        cell = _sigmoid(forget) * cell + _sigmoid(enter) * np.tanh(new)
        hidden = _sigmoid(leave) * np.tanh(cell)
        states.append(hidden)
    return np.concatenate(states, axis=1)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(0.5 * x)  # this form cannot overflow
