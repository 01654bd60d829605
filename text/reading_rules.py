"""Rules by which the readings of a character are told apart: what stands beside it, and parts of speech."""

import functools
import re

from text.tables import table, with_parts
from text.words import is_known, is_phrase, segment

# What may follow to the end of a clause: nothing; and nothing but particles.
_PAUSE = r"(?=[,.!?…'-]|$)"
_END = rf"[了吗吧呢啊呀的]{{0,2}}{_PAUSE}"


@functools.cache
def patterns(char: str) -> list[tuple[str, re.Pattern[str]]]:
    """Reading and pattern of each rule that the table has for a character."""
    rules = table("reading_rules")
    parts = {"numeral": rules["numeral"], "who": rules["who"], "pause": _PAUSE, "end": _END}
    entries = (entry.split(" ", 1) for entry in rules["beside"].get(char, ()))
    return [(reading, re.compile(with_parts(pattern, parts))) for reading, pattern in entries]


def by_rule(text: str, i: int) -> str:
    """The reading by what stands beside the character at `i`; "" for none."""
    return next((reading for reading, pattern in patterns(text[i]) if pattern.match(text, i)), "")


def by_grammar(run: str) -> dict[int, str]:
    """Place -> reading, where it takes parts of speech to tell."""
    surnames: dict[str, str] = table("reading_rules")["surnames"]
    if not any(char in surnames or char in "地得" for char in run):
        return {}
    readings, start = {}, 0
    words = [("", ""), *segment(run), ("", "")]
    for before, (word, tag), after in zip(words, words[1:], words[2:], strict=False):
        # 地 between a manner and a verb: 慢慢地走, but not 这块地
        manner = before[1][:1] in ("a", "b", "d", "i", "l", "o", "v", "z") or before[0].endswith("性")
        if word == "地" and before[0] and after[0] and manner:
            readings[start] = "de5"
        elif "得" in word:
            place, pinyin = _de_in(word, tag, before, after, run[start + 1 :])
            if pinyin:
                readings[start + place] = pinyin
        # a name, unless it is a word besides: 宁静
        named = tag == "nr" and 2 <= len(word) <= 3 and is_known(word)
        if named and word[0] in surnames and not is_phrase(word):
            readings[start] = surnames[word[0]]
        start += len(word)
    return readings


def alone(run: str) -> dict[int, str]:
    """Place -> spoken reading of the characters that are words of their own, once or twice."""
    once: dict[str, str] = table("reading_rules")["alone"]
    twice = once | table("reading_rules")["twice"]
    if not any(char in twice for char in run):
        return {}
    readings: dict[int, str] = {}
    start = 0
    for word, _ in segment(run):
        pinyin = (once if len(word) == 1 else twice).get(word[0])
        if pinyin and len(set(word)) == 1 and len(word) <= 2:
            readings |= {start + i: pinyin for i in range(len(word))}
        start += len(word)
    return readings


# Adverbs and auxiliaries that jieba takes for verbs, behind which 得 is "must" all the same.
_MODAL = frozenset("可能 应该 必须 可 要 恐怕 估计 看来 起码 至少 大概 肯定 一定 那 非 总 都 就 也 还 又 先 真".split())
# Behind these it is a part of the word: 取得, 不得, 值得.
_BEFORE_DE2 = frozenset("获取夺赢求所博拿值不只必总非还难心")
# What is got, not what must be done: 得奖, 得满分, 得感冒.
_GOT = re.compile(
    ".{0,4}(?:奖|牌|冠军|亚军|满分|名次|感冒|癌|病(?!人|房)|炎)|[了过到胜逞宠势救罪]|第|[〇零一二两三四五六七八九十百千万]+分(?!钟)"
)


def _de_in(word: str, tag: str, before: tuple[str, str], after: tuple[str, str], rest: str) -> tuple[int, str]:
    """Where in a word its 得 stands, and the reading, "" where grammar does not tell; rest: what follows 得 itself."""
    guessed = word != "得" and not is_phrase(word)  # the segmenter's guess at a word: 得去, 说得对
    if word == "得" or (guessed and word[0] == "得" and (word == "得来" or not is_known(word))):
        return 0, _de(before, (word[1:], tag) if guessed else after, rest)
    place = word.find("得")
    is_complement = guessed and tag[0] in "vlad" and 0 < place < len(word) - 1 and word[place - 1] not in _BEFORE_DE2
    return place, "de5" if is_complement else ""


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
