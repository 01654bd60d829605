"""g2pM: a small network that chooses between the readings of a character by the whole sentence, with numpy alone.

Park and Lee, "g2pM: A Neural Grapheme-to-Phoneme Conversion Package for Mandarin Chinese Based on a New Open Benchmark
Dataset", Interspeech 2020. Its package brings weights and CC-CEDICT's readings.
"""

import functools
from typing import Any

import numpy as np

from text.phones import is_spoken, spelling

# g2pM was trained on sentences with full-width punctuation.
_FULL_WIDTH = str.maketrans({",": "，", ".": "。", "!": "！", "?": "？", "-": "—", "'": "”"})


def listed(char: str) -> list[str]:
    """CC-CEDICT's readings of a character, in the spelling of this package; also such as cannot be said."""
    return [spelling(reading) for reading in _g2pm().cedict.get(char, ())]


@functools.cache
def _g2pm() -> Any:
    from g2pM import G2pM

    return G2pM()


@functools.cache
def _classes() -> dict[str, int]:
    return {pinyin: i for i, pinyin in _g2pm().idx2class.items()}


def scores_of(text: str) -> list[dict[str, float]]:
    """For each character its readings with their log-probabilities; none where g2pM knows none that can be spoken."""
    model, classes = _g2pm(), _classes()
    scores_of_all: list[dict[str, float]] = []
    asked: dict[int, list[str]] = {}  # place -> the readings to choose from
    for i, char in enumerate(text):
        candidates = [p for p in model.cedict.get(char, ()) if is_spoken(spelling(p))]
        scores_of_all.append({spelling(candidates[0]): 0.0} if len(candidates) == 1 else {})
        if len(candidates) > 1 and (own := [p for p in candidates if p in classes]):
            asked[i] = own
    if not asked:
        return scores_of_all
    for (i, own), logits in zip(asked.items(), _logits(text, list(asked)), strict=True):
        # The network scores all of its syllables; only those of this character are in question.
        scores = logits[[classes[p] for p in own]].astype(np.float64)
        scores -= scores.max() + np.log(np.exp(scores - scores.max()).sum())
        scores_of_all[i] = {spelling(p): float(score) for p, score in zip(own, scores, strict=True)}
    return scores_of_all


def _logits(text: str, places: list[int]) -> np.ndarray:
    """g2pM's network (a bidirectional LSTM): scores [len(places), classes] of the characters at `places`."""
    model = _g2pm()
    unknown = model.char2idx["<UNK>"]
    ids = [model.char2idx.get(char, unknown) for char in text.translate(_FULL_WIDTH)]
    ends = [model.char2idx[mark] for mark in "시끝"]  # its marks of beginning and end
    embedded = model.embeddings[np.array([ends[0], *ids, ends[1]])]  # [n + 2, channels]
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
