"""Readings: which syllable, with which tone, a character has where it stands.

Four sources, the surer first: the words of text/data/readings.txt, written by hand; rules of grammar; g2pM (Park and
Lee, "g2pM: A Neural Grapheme-to-Phoneme Conversion Package for Mandarin Chinese Based on a New Open Benchmark
Dataset", Interspeech 2020), which decides by the whole sentence; pypinyin's dictionaries of phrases and characters. A
`Reader` is a function, so another source can take their place; see text.g2pw.
"""

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

from text import g2pm
from text.phones import is_spoken, spelling
from text.reading_rules import alone, by_grammar, by_rule
from text.symbols import PUNCTUATION
from text.tables import lines
from text.words import is_phrase, segment, spans

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
    # Whether a sentence has its full stop must not matter, and g2pM was trained on those that have.
    by_g2pm = g2pm.scores_of(text if text[-1:] in PUNCTUATION else text + ".")
    for run, is_chinese in runs(text):
        readings += _read_run(text, len(readings), run, by_g2pm) if is_chinese else [PUNCTUATION_READING] * len(run)
    return readings


def reading_of(char: str, pinyin: str, source: str, confidence: float) -> Reading:
    """A reading that knows what else it could be."""
    return Reading(pinyin, source, confidence, tuple(other for other in known_readings(char) if other != pinyin))


def _read_run(text: str, start: int, run: str, by_g2pm: list[dict[str, float]]) -> list[Reading]:
    """The readings of the run of Chinese characters that begins at `start` of `text`."""
    certain, phrases, grammar, singles = _lexicon_readings(run), _phrase_readings(run), by_grammar(run), alone(run)
    readings = []
    for i, char in enumerate(run):
        if char in PLAIN:
            reading = (PLAIN[char], "rule", 1.0)
        elif certain[i] and certain[i] != "?":
            reading = (certain[i], "lexicon", LEXICON_CONFIDENCE)
        elif pinyin := grammar.get(i) or by_rule(text, start + i) or singles.get(i, ""):
            reading = (pinyin, "rule", RULE_CONFIDENCE)
        else:
            reading = _weighed(char, by_g2pm[start + i], ("", "") if certain[i] == "?" else phrases[i])
        readings.append(reading_of(char, *reading))
    return readings


def by_pypinyin(char: str, pinyin: str = "") -> tuple[str, str, float]:
    """Reading, source and confidence where there is no hint but pypinyin's `pinyin`, or its usual reading."""
    only = len(known_readings(char)) == 1
    return pinyin or usual_pinyin(char), "pypinyin", ONLY_CONFIDENCE if only else UNKNOWN_CONFIDENCE


def _weighed(char: str, scores: dict[str, float], phrase: tuple[str, str]) -> tuple[str, str, float]:
    """Reading, source and confidence by g2pM's log-probabilities and a phrase (reading, kind; both "" for none)."""
    pinyin, kind = phrase
    if pinyin and (not scores or (char in PARTICLES and kind != "words3")):
        return pinyin, "pypinyin", PARTICLE_CONFIDENCE
    if not scores:
        return by_pypinyin(char)
    if len(scores) == 1:
        return next(iter(scores)), "g2pm", ONLY_CONFIDENCE
    weighed = {p: G2PM_WEIGHT * max(score, G2PM_LEAST) for p, score in scores.items()}
    if pinyin in weighed:
        weighed[pinyin] += PHRASE_WEIGHTS[kind]
    best = max(weighed, key=weighed.__getitem__)
    confidence = 1 / sum(math.exp(weight - weighed[best]) for weight in weighed.values())
    return best, "g2pm" if best == max(scores, key=scores.__getitem__) else "pypinyin", confidence


# --- words written by hand ----------------------------------------------------------------------------


@functools.cache
def _lexicon() -> dict[str, tuple[str, ...]]:
    """Word -> a reading for each of its characters: "" where none is given, "?" where pypinyin's is not trusted."""
    words: dict[str, list[str]] = {}
    for line in lines("readings.txt"):
        char, reading, *listed = line.split()
        for word in listed:
            own = words.setdefault(word, [""] * len(word))
            for i, other in enumerate(word):
                if other == char:
                    own[i] = reading
    return {word: tuple(own) for word, own in words.items()}


def _lexicon_readings(run: str) -> list[str]:
    """For each character what the longest phrase of the lexicon that it stands in says, "" if there is none."""
    lexicon = _lexicon()
    pinyin, lengths = [""] * len(run), [0] * len(run)
    for start, end in spans(run):
        for i, reading in enumerate(lexicon.get(run[start:end], ()), start):
            if reading and end - start > lengths[i]:
                pinyin[i], lengths[i] = reading, end - start
    return pinyin


@functools.lru_cache(maxsize=65536)
def readable(char: str) -> bool:
    """Whether any source knows a Mandarin syllable for this character."""
    return is_spoken(usual_pinyin(char))


@functools.lru_cache(maxsize=65536)
def known_readings(char: str) -> tuple[str, ...]:
    """All Mandarin readings of a character that can be said, the usual first: pypinyin's, then CC-CEDICT's."""
    from pypinyin import Style, pinyin

    (listed,) = pinyin(char, style=Style.TONE3, heteronym=True, neutral_tone_with_five=True)
    readings = (*map(spelling, listed), *g2pm.listed(char))
    return tuple(reading for reading in dict.fromkeys(readings) if is_spoken(reading))


# --- pypinyin ----------------------------------------------------------------------------------------------------


def _lazy_pinyin(run: str) -> list[str]:
    from pypinyin import Style, lazy_pinyin

    return [spelling(pinyin) for pinyin in lazy_pinyin(run, style=Style.TONE3, neutral_tone_with_five=True)]


def pypinyin_of_run(run: str) -> list[str]:
    """pypinyin's readings of a run of Chinese characters: the longest phrases it knows, else the usual reading."""
    readings = _lazy_pinyin(run)
    # A phrase of which it keeps the characters together (none is known) must not shift the others.
    return readings if len(readings) == len(run) else [usual_pinyin(char) for char in run]


def usual_pinyin(char: str) -> str:
    return _lazy_pinyin(char)[0]


def _phrase_readings(run: str) -> list[tuple[str, str]]:
    """For each character the reading by the longest of pypinyin's phrases it stands in, and its kind; else "", ""."""
    starts = set(itertools.accumulate((len(word) for word, _ in segment(run)), initial=0))
    phrases, lengths = [("", "")] * len(run), [0] * len(run)
    for start, end in spans(run):
        phrase = run[start:end]
        if not is_phrase(phrase):
            continue
        joined = any(place in starts for place in range(start + 1, end))
        if joined and end - start == 2:
            continue
        kind = f"{'words' if joined else 'word'}{min(end - start, 3)}"
        for i, reading in enumerate(_phrase(phrase), start):
            if end - start > lengths[i] and is_spoken(reading):
                phrases[i], lengths[i] = (reading, kind), end - start
    return phrases


@functools.lru_cache(maxsize=8192)
def _phrase(phrase: str) -> list[str]:
    return pypinyin_of_run(phrase)


def runs(text: str) -> list[tuple[str, bool]]:
    """Stretches of normalised text: (Chinese characters, True) or (punctuation, False); joined they are `text`."""
    stretches = itertools.groupby(text, lambda char: char not in PUNCTUATION)
    return [("".join(chars), is_chinese) for is_chinese, chars in stretches]
