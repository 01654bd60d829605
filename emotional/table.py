"""Emotions of voices that hold a table of them instead of a CLAP input: words in, weights over the table's rows out.

>>> emotion_weights("有点难过", ["neutral", "happy", "sad", "angry"])
([0.5, 0.0, 0.5, 0.0], True)
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import yaml

from words import Message, message

CALLED = {  # emotions that have a name in Chinese
    "neutral": "emotional.neutral",
    "happy": "emotional.happy",
    "sad": "emotional.sad",
    "angry": "emotional.angry",
    "gentle": "emotional.gentle",
    "whisper": "emotional.whisper",
}


@cache
def keywords() -> Mapping[str, tuple[str, ...]]:
    """Emotion -> the words that ask for it."""
    words = yaml.safe_load(Path(__file__).with_name("keywords.yml").read_text(encoding="utf-8"))
    return {name: tuple(map(str.strip, listed.split(","))) for name, listed in words.items()}


# What may stand right before a keyword, among its last characters alone: every search costs the same, however long
# the prompt. 特别 and its like are not the 别 that forbids.
NEAR = 60
DENIED = re.compile(
    r"((?<![特分个告离])别|不|没有?|沒有?|毫?无|毫?無|并非|並非)"
    r"(是|太|很|要|会|會|再|那么|那麼|这么|怎么|怎麼|大|能|必|用|该|感到|觉得|显得|特别|非常|\s){0,12}$"
    r"|((?<![a-z])(not|no|never|without|hardly|cannot)|n't)"
    r"( (a|be|being|so|too|very|that|really|all|at|bit|little|feel|feeling|get)){0,12} ?$"
)
MILD = re.compile(
    r"(有一?点|有點|点|點|一?些|略|稍|微|一丝|一絲|几分|幾分)(儿|微|稍|许|带|帶|有|的|地|\s){0,12}$"
    r"|(?<![a-z])(slightly|mildly|somewhat|faintly|an? (little )?(little|bit|touch|hint))( of)?( (a|an))? ?$"
)


def emotion_weights(prompt: str, emotions: Mapping[str, Sequence[str]] | Sequence[str]) -> tuple[list[float], bool]:
    """Weights over `emotions`, in their order and with sum 1, and whether the prompt was understood.

    emotions: the voice's emotions, the neutral one first: names alone (their keywords() count), or name -> keywords.
        A name is always a keyword of its own; a keyword listed twice belongs to the first.
    Several emotions share the weight; a mild one ("有点难过", "slightly sad") counts half, and what is left is neutral.
    A denied keyword means its denied form where one is listed (不太开心 -> 不开心, sad), otherwise nothing (别生气).
    A prompt without any known word is neutral and False; a blank one asks for nothing: neutral and True.
    Words for gentle are neutral to a voice without that mood; words for whispering say nothing to one that cannot.
    Raises ValueError if there are no emotions.
    """
    if not emotions:
        raise ValueError("A table of emotions needs at least one: the neutral one, first.")
    names = list(emotions)
    table = emotions if isinstance(emotions, Mapping) else {name: keywords().get(_plain(name), ()) for name in names}
    owner: dict[str, int] = {}
    for index, name in enumerate(names):
        for word in (name, *table[name]):
            owner.setdefault(_plain(word), index)
    if _plain(names[0]) == "neutral" or "neutral" in table[names[0]]:
        for word in ("gentle", *keywords()["gentle"]):
            owner.setdefault(_plain(word), 0)

    text = _plain(prompt)
    matches = list(_pattern(owner).finditer(text))
    weights = [0.0] * len(names)
    for match in matches:
        word, before = match[0], text[max(0, match.start() - NEAR) : match.start()]
        if denial := DENIED.search(before):
            word = next((form for form in (f"不{word}", f"not {word}") if form in owner), "")
            before = before[: denial.start()]
        if word:
            weights[owner[word]] = max(weights[owner[word]], 0.5 if MILD.search(before) else 1.0)
    weights[0] += max(0.0, 1.0 - sum(weights))
    total = sum(weights)
    return [weight / total for weight in weights], bool(matches) or not text


def _plain(text: str) -> str:
    """One form for full and half width, capitals, curly apostrophes and runs of white space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().replace("’", "'").split())


def _pattern(words: Mapping[str, int]) -> re.Pattern[str]:
    """Any of the words, the longest first; Latin ones only as whole words, so that "made" is not mad."""
    longest_first = sorted(filter(None, words), key=len, reverse=True)
    either = "|".join(rf"(?<![a-z]){re.escape(w)}(?![a-z])" if w.isascii() else re.escape(w) for w in longest_first)
    return re.compile(either)


def in_words(weights: Sequence[float], emotions: Sequence[str]) -> Message:
    """Weights over emotions for a person: "sad 50 %, neutral 50 %", the strongest first."""
    shares = sorted(zip(weights, emotions, strict=True), key=lambda share: -share[0])
    called = [(message(CALLED[_plain(name)]) if _plain(name) in CALLED else name, w) for w, name in shares if w]
    return message("emotional.shares", shares=[message("emotional.share", name=n, percent=100 * w) for n, w in called])
