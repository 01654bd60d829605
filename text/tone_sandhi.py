"""Tone sandhi: how the tones of Mandarin change in running speech.

The order and the reach of the rules are those the checkpoints were trained with; a rule that would overwrite a
reading which is surely right (土地 tu3 di4, 取得 qu3 de2) is kept from doing so.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from text.phones import split_reading
from text.tables import lines
from text.words import halves, segment

DIGITS = frozenset("零〇一二三四五六七八九")
SAID_OF_NUMBERS = DIGITS | {"幺"}  # in a telephone number nothing fades
NUMERALS = DIGITS | frozenset("十百千万亿兆两")
KEEP_TONE = frozenset(["男子", "女子", "分子", "原子", "量子", "莲子", "石子", "瓜子", "电子", "人人", "虎虎"])
PARTICLES = frozenset("吧呢啊呐噻嘛吖嗨哦哒额滴哩哟喽啰耶喔诶")
BEFORE_GE = frozenset("几有两半多各整每做是")


@dataclass(frozen=True)
class Word:
    """A word with its part of speech and one syllable and tone (1-5) per character."""

    text: str
    tag: str
    syllables: tuple[str, ...]
    tones: tuple[int, ...]

    def joined(self, other: "Word", tag: str | None = None) -> "Word":
        """Self and `other` as one word, tagged as self unless told otherwise."""
        return Word(self.text + other.text, tag or self.tag, self.syllables + other.syllables, self.tones + other.tones)


def spoken_readings(run: str, readings: Sequence[str]) -> list[str]:
    """Readings of a run of Chinese characters (no punctuation) -> the readings as spoken.

    run: n characters; readings: n times a syllable with its tone, as "ni3"; returns n of them.
    """
    parts = iter([split_reading(reading) for reading in readings])
    words = merge(Word(text, tag, *zip(*itertools.islice(parts, len(text)), strict=True)) for text, tag in segment(run))
    tones: list[int] = []
    for word in words:
        end = len(tones) + len(word.text)
        tones += sandhi(word, run[len(tones) - 1 : len(tones)] if tones else "", run[end : end + 1])
    _third_across(tones)
    return [f"{s}{t}" for s, t in zip((s for word in words for s in word.syllables), tones, strict=True)]


def sandhi(word: Word, before: str = "", after: str = "") -> list[int]:
    """The tones of one (merged) word as spoken. before, after: the characters it stands between, if any."""
    tones = list(word.tones)
    _bu(word.text, tones)
    _yi(word.text, tones, before, after)
    _neutral(word, tones)
    _third(word.text, tones)
    return tones


# --- words that are said in one breath become one word -----------------------------------------------------------


def merge(words: Iterable[Word]) -> list[Word]:
    """Joins the words across which sandhi works."""
    words = _joined(words, lambda before, _: before.text == "不", tag_of_second=True)
    words = _joined(_merge_doubled(words), lambda before, _: before.text == "一")
    words = _joined(words, lambda before, word: before.text == word.text)
    words = _merge_third(words, lambda a, b: _all_third(a.tones + b.tones))
    words = _merge_third(words, lambda a, b: a.tones[-1] == b.tones[0] == 3)
    return _joined(words, lambda _, word: word.text == "儿")


Test = Callable[[Word, Word], bool]


def _joined(words: Iterable[Word], fits: Test, tag_of_second: bool = False) -> list[Word]:
    """Joins a word to the one before, or to what that has become, where `fits` says so."""
    merged: list[Word] = []
    for word in words:
        if merged and fits(merged[-1], word):
            merged[-1] = merged[-1].joined(word, word.tag if tag_of_second else None)
        else:
            merged.append(word)
    return merged


def _merge_doubled(words: list[Word]) -> list[Word]:
    """听 一 听 -> 听一听."""
    merged: list[Word] = []
    i = 0
    while i < len(words):
        word, *following = words[i : i + 3]
        if [other.text for other in following] == ["一", word.text] and word.tag == "v":
            word = word.joined(following[0]).joined(following[1])
            i += 2
        merged.append(word)
        i += 1
    return merged


def _merge_third(words: list[Word], fits: Test) -> list[Word]:
    """Joins two words of at most three characters together, and no third; `fits` sees them as they were given."""
    merged: list[Word] = []
    previous: Word | None = None  # the word before this one, unless that was joined
    for word in words:
        if previous and fits(previous, word) and not _is_doubled(previous.text) and len(previous.text + word.text) <= 3:
            merged[-1] = merged[-1].joined(word)
            previous = None
        else:
            merged.append(word)
            previous = word
    return merged


# --- the rules; each changes `tones` in place -------------------------------------------------------------------


def _bu(text: str, tones: list[int]) -> None:
    """看不懂 kan4 bu5 dong3; 不怕 bu2 pa4."""
    if len(text) == 3 and text[1] == "不":
        tones[1] = 5
        return
    for i in range(len(text) - 1):
        if text[i] == "不" and tones[i + 1] == 4:
            tones[i] = 2


def _yi(text: str, tones: list[int], word_before: str, word_after: str) -> None:
    """看一看 kan4 yi5 kan4; 一段 yi2 duan4; 一天 yi4 tian1; 一百 yi4 bai3.

    It stays yi1 where it counts without measuring: digits, 第一次, 二十一个, 一月, 一号, 一点半, and at a word's end.
    """
    if len(text) == 3 and text[1] == "一" and text[0] == text[2] and text[0] not in NUMERALS:
        tones[1] = 5
        return
    for i, char in enumerate(text[:-1]):
        before, after = text[i - 1] if i else word_before, text[i + 1]
        if char != "一":
            continue
        behind = text[i + 2] if i + 2 < len(text) else word_after
        at_the_hour = after == "点" and (behind in DIGITS or behind in ("钟", "半", "整", "十"))
        if before == "第" or before in NUMERALS or after in DIGITS or after in "十月号" or at_the_hour:
            tones[i] = 1
        else:
            tones[i] = 2 if tones[i + 1] == 4 else 4


def _neutral(word: Word, tones: list[int]) -> None:
    text, tag = word.text, word.tag
    first, second = halves(text)
    if tag[:1] in ("n", "v", "a") and text not in KEEP_TONE:
        for i in range(1, len(text)):
            # 妈妈, 看看, but not 银行行长: there the equal neighbours belong to two words
            if text[i] == text[i - 1] and text[i] not in SAID_OF_NUMBERS and not (i == len(first) > 1 < len(second)):
                if tag[0] == "v" and tones[i - 1] == tones[i] == 3:
                    tones[i - 1] = 2  # 想想 xiang2 xiang5, but 姐姐 jie3 jie5
                tones[i] = 5
    last, before = text[-1], text[-2:-1]
    ge = text.find("个")
    if (
        last in PARTICLES
        or _is_structural(word)
        or (before and last in "们子" and tag in ("r", "n") and text not in KEEP_TONE)
        or (before and last in "上下里" and tag in ("s", "l", "f"))
        or (before and last in "来去" and before in "上下进出回过起开")
    ):
        tones[-1] = 5
    elif text == "个" or (ge > 0 and (text[ge - 1] in NUMERALS or text[ge - 1] in BEFORE_GE)):
        tones[ge] = 5
    elif _ends_neutral(text):
        tones[-1] = 5
    if second and _ends_neutral(first):
        tones[len(first) - 1] = 5
    if _ends_neutral(second or first):
        tones[-1] = 5


def _third(text: str, tones: list[int]) -> None:
    """Of two third tones the first rises: 水果 shui2 guo3; 展览馆 zhan2 lan2 guan3; 纸老虎 zhi3 lao2 hu3."""
    if len(tones) == 2:
        _third_pair(tones, 0)
    elif len(tones) == 3:
        cut = len(halves(text)[0])
        if _all_third(tones):
            tones[:2] = [2, 2] if cut == 2 else [3, 2]
        elif cut == 2 or not _third_pair(tones, 1):
            _third_pair(tones, 0)
    elif len(tones) == 4:
        _third_pair(tones, 0)
        _third_pair(tones, 2)


def _third_across(tones: list[int]) -> None:
    """What is still third before third, across words: 我想你 wo2 xiang2 ni3. No two of them are spoken in a row."""
    for i in range(len(tones) - 1):
        _third_pair(tones, i)


def _third_pair(tones: list[int], i: int) -> bool:
    """Applies the rule to the syllables i and i + 1; whether it did."""
    if tones[i] == tones[i + 1] == 3:
        tones[i] = 2
        return True
    return False


def _all_third(tones: Sequence[int]) -> bool:
    return all(tone == 3 for tone in tones)


def _is_doubled(text: str) -> bool:
    return len(text) == 2 and text[0] == text[1]


def _is_structural(word: Word) -> bool:
    """的 and 地 as particles, by their syllable: not in 目的, 土地 (di4). Of 得 the reader knows: de5, de2 or dei3."""
    return word.syllables[-1] == "de" and word.text[-1] in "的地"


@functools.cache
def _neutral_words() -> frozenset[str]:
    """Words whose last syllable is neutral; text/data/NOTICE.md says whose list this is."""
    return frozenset(lines("neutral_tone_words.txt"))


def _ends_neutral(text: str) -> bool:
    return text in _neutral_words() or text[-2:] in _neutral_words()
