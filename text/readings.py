"""Readings: which syllable, with which tone, a character has where it stands.

g2pM (Park and Lee, "g2pM: A Neural Grapheme-to-Phoneme Conversion Package for Mandarin Chinese Based on a New Open
Benchmark Dataset", Interspeech 2020) decides between the readings of a character by the whole sentence; pypinyin's
dictionaries serve the characters it does not know. A `Reader` is a function, so another source can take their place.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from text.phones import split_reading, syllable_phones
from text.symbols import PUNCTUATION
from text.words import search_words, segment

# 一 and 不 change with what follows; that is sandhi's work, so their readings are the plain ones.
PLAIN = {"一": "yi1", "不": "bu4", "儿": "er2"}

# Below this probability of g2pM a phrase of the dictionary is right more often than g2pM (measured on CPP's dev set).
SURE = 0.999

# g2pM says le5, zhe5, de5 for these nearly always, also in 了解, 着急, 目的; its training set has few of them.
PARTICLES = frozenset("了着的地得过")

# g2pM was trained on sentences with full-width punctuation.
_FULL_WIDTH = str.maketrans({",": "，", ".": "。", "!": "！", "?": "？", "-": "—", "'": "”"})


@dataclass(frozen=True)
class Reading:
    """pinyin: a syllable with tone ("hang2", "lv4"; "" for punctuation); source: who said so; confidence: 0-1."""

    pinyin: str
    source: str
    confidence: float


Reader = Callable[[str], list[Reading]]  # normalised text, n characters -> n readings

PUNCTUATION_READING = Reading("", "punctuation", 1.0)


def read(text: str) -> list[Reading]:
    """One reading for each character of a normalised text (Chinese characters and `PUNCTUATION`).

    g2pM's where it is sure; where it hesitates or knows nothing, that of a phrase in the dictionary if there is one.
    """
    readings: list[Reading] = []
    by_g2pm = _by_g2pm(text)
    for run, is_chinese in runs(text):
        guesses = by_g2pm[len(readings) : len(readings) + len(run)]
        readings += _read_run(run, guesses) if is_chinese else [PUNCTUATION_READING] * len(run)
    return readings


def _read_run(run: str, guesses: list[Reading | None]) -> list[Reading]:
    """guesses: g2pM's."""
    doubtful = [i for i, (char, guess) in enumerate(zip(run, guesses, strict=True)) if _is_doubtful(char, guess)]
    phrases = _phrase_readings(run) if doubtful else []
    readings = guesses.copy()
    for i in doubtful:
        if phrases[i]:
            readings[i] = Reading(phrases[i], "pypinyin", 0.95)
        elif guesses[i] is None:
            readings[i] = Reading(_default_pinyin(run[i]), "pypinyin", 0.5)
    readings = [
        Reading(PLAIN[char], "rule", 1.0) if char in PLAIN else r for char, r in zip(run, readings, strict=True)
    ]
    for i in _adverbial(run) if "地" in run else ():
        readings[i] = Reading("de5", "rule", 0.9)
    return readings


def _is_doubtful(char: str, guess: Reading | None) -> bool:
    return guess is None or guess.confidence < SURE or char in PARTICLES


def _adverbial(run: str) -> list[int]:
    """Places of 地 between a manner and a verb: 慢慢地走, but not 这块地."""
    words, places, start = segment(run), [], 0
    for i, (word, _) in enumerate(words):
        if word == "地" and 0 < i < len(words) - 1 and words[i - 1][1][:1] in ("a", "b", "d", "i", "l", "o", "v", "z"):
            places.append(start)
        start += len(word)
    return places


@functools.lru_cache(maxsize=65536)
def readable(char: str) -> bool:
    """Whether any source knows a Mandarin syllable for this character."""
    return _is_spoken(_default_pinyin(char))


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
        readings = [_default_pinyin(char) for char in run]
    return [_as_pinyin(reading) for reading in readings]


def _default_pinyin(char: str) -> str:
    pypinyin = _pypinyin()
    return _as_pinyin(pypinyin.lazy_pinyin(char, style=pypinyin.Style.TONE3, neutral_tone_with_five=True)[0])


def _phrase_readings(run: str) -> list[str]:
    """What pypinyin's dictionary of phrases says, for the characters that stand in a word it holds; "" elsewhere."""
    phrases = _pypinyin().constants.PHRASES_DICT
    found, lengths = [""] * len(run), [0] * len(run)
    for word, start in search_words(run):
        if len(word) == 1 or word not in phrases:
            continue
        for i, reading in enumerate(pypinyin_of_run(word), start):
            if len(word) > lengths[i] and _is_spoken(reading):
                found[i], lengths[i] = reading, len(word)
    return found


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
def _is_spoken(pinyin: str) -> bool:
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


def _by_g2pm(text: str) -> list[Reading | None]:
    """g2pM's readings with their probabilities; None where it knows none that can be spoken."""
    model, classes = _g2pm(), _g2pm_classes()
    found: list[Reading | None] = []
    asked: dict[int, list[str]] = {}  # place -> the readings to choose from
    for i, char in enumerate(text):
        candidates = [p for p in model.cedict.get(char, ()) if _is_spoken(_as_pinyin(p))]
        found.append(Reading(_as_pinyin(candidates[0]), "g2pm", 1.0) if len(candidates) == 1 else None)
        if len(candidates) > 1:
            asked[i] = candidates
    if not asked:
        return found
    for (i, candidates), logits in zip(asked.items(), _g2pm_logits(text, list(asked)), strict=True):
        known = [p for p in candidates if p in classes]
        if known:
            # The network scores all of its syllables; only those of this character are in question.
            scores = logits[[classes[p] for p in known]]
            chances = np.exp(scores - scores.max())
            best = int(chances.argmax())
            found[i] = Reading(_as_pinyin(known[best]), "g2pm", float(chances[best] / chances.sum()))
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
