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

# 一 and 不 change with what follows; that is sandhi's work, so their readings are the plain ones.
PLAIN = {"一": "yi1", "不": "bu4", "儿": "er2"}

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
    """One reading for each character of a normalised text (Chinese characters and `PUNCTUATION`)."""
    readings = _by_g2pm(text)
    by_dictionary = None
    for i, char in enumerate(text):
        if char in PUNCTUATION:
            readings[i] = PUNCTUATION_READING
        elif char in PLAIN:
            readings[i] = Reading(PLAIN[char], "rule", 1.0)
        elif readings[i] is None:
            by_dictionary = by_dictionary or _by_pypinyin(text)
            readings[i] = by_dictionary[i]
    return readings


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


def _by_pypinyin(text: str) -> list[Reading]:
    readings: list[Reading] = []
    for run, is_chinese in runs(text):
        if not is_chinese:
            readings += [PUNCTUATION_READING] * len(run)
            continue
        for char, pinyin in zip(run, pypinyin_of_run(run), strict=True):
            known = _is_spoken(pinyin)
            readings.append(Reading(pinyin if known else _default_pinyin(char), "pypinyin", 0.9 if known else 0.5))
    return readings


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
    embedded = model.get_embedding(ids)[:, None]  # [n + 2, 1, channels]
    forward = _states(model.fw_lstm_cell, embedded)
    backward = _states(model.bw_lstm_cell, embedded[::-1])[::-1]
    hidden = np.concatenate([forward, backward], axis=1)
    return model.fc_layer(hidden[[place + 1 for place in places]])


def _states(cell, inputs: np.ndarray) -> np.ndarray:
    """Runs an LSTM cell over inputs [n, 1, channels]; its outputs [n, channels]."""
    states, outputs = None, []
    for step in inputs:
        states = cell(step, states)
        outputs.append(states[0][0])
    return np.stack(outputs)
