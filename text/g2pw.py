"""Readings by g2pW, a BERT that chooses between the readings of a character; used where its folder is there.

Chen et al., "g2pW: A Conditional Weighted Softmax BERT for Polyphone Disambiguation in Mandarin", Interspeech 2022. The
network is the authors' ONNX file, run with onnxruntime; it sees the text in Taiwan's traditional characters.
"""

import functools
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from text.phones import is_spoken
from text.readings import (
    ONLY_CONFIDENCE,
    PLAIN,
    PUNCTUATION_READING,
    Reader,
    Reading,
    by_pypinyin,
    pypinyin_of_run,
    read,
    reading_of,
    runs,
)
from words import Fault

NETWORK, POLYPHONIC, MONOPHONIC = "g2pw.onnx", "POLYPHONIC_CHARS.txt", "MONOPHONIC_CHARS.txt"
SYLLABLES, VOCABULARY = "bopomofo_to_pinyin_wo_tune_dict.json", "vocab.txt"
FILES = (NETWORK, POLYPHONIC, MONOPHONIC, SYLLABLES, VOCABULARY)  # the last is bert-base-chinese's

# The network was not trained on these: too few examples, or readings that change with the next word.
NEVER_ASKED = frozenset("一不和咋嗲剖差攢倒難奔勁拗肖瘙誒泊听噢")
NOT_MONOPHONIC = frozenset("似攢")
LONGEST = 510  # tokens


class BrokenModel(Fault, ValueError):
    """Files of the model that are there and cannot be used."""


Network = Callable[[dict[str, np.ndarray]], np.ndarray]  # inputs -> probabilities [rows, labels]


def missing_files(folder: Path) -> list[str]:
    """Names of the files that g2pW needs and `folder` lacks."""
    return [name for name in FILES if not (folder / name).is_file()]


def reader(folder: Path | None) -> Reader:
    """g2pW's reader if its folder is complete, else the built-in one. Nothing is loaded before the first call."""
    if folder is None or missing_files(folder):
        return read
    return lambda text: _loaded(folder)(text)


@functools.cache
def _loaded(folder: Path) -> "G2pw":
    try:
        return G2pw.load(folder)
    except BrokenModel:
        raise
    except (OSError, ValueError, KeyError) as error:  # what reading tables can raise
        raise BrokenModel("text.g2pw_tables", reason=error) from error


@dataclass(frozen=True)
class G2pw:
    """A `Reader`: polyphonic characters by the network, others by the table of monophonic ones, the rest by pypinyin.

    network: see `Network`; polyphonic: traditional character -> readings in bopomofo with tone ("ㄓㄤ3"); monophonic:
    traditional character -> reading; syllables: bopomofo without tone -> pinyin; vocabulary: token -> id.
    """

    network: Network
    polyphonic: dict[str, list[str]]
    monophonic: dict[str, str]
    syllables: dict[str, str]
    vocabulary: dict[str, int]

    @classmethod
    def load(cls, folder: Path) -> "G2pw":
        """From the folder of the authors' model. Raises FileNotFoundError if it is not complete."""
        if missing := missing_files(folder):
            raise FileNotFoundError(f"{folder} lacks {', '.join(missing)}; see the README on g2pW.")
        return cls(onnx_network(folder / NETWORK), *tables(folder))

    @functools.cached_property
    def labels(self) -> dict[str, int]:
        """Bopomofo -> column of the network's output."""
        return {label: i for i, label in enumerate(sorted({p for listed in self.polyphonic.values() for p in listed}))}

    @functools.cached_property
    def char_ids(self) -> dict[str, int]:
        return {char: i for i, char in enumerate(sorted(self.polyphonic))}

    def __call__(self, text: str) -> list[Reading]:
        """One reading for each character of a normalised text, as text.readings.read."""
        readings: list[Reading] = []
        for run, is_chinese in runs(text):
            readings += self._read_run(run) if is_chinese else [PUNCTUATION_READING] * len(run)
        return readings

    def _read_run(self, run: str) -> list[Reading]:
        traditional = to_taiwanese(run)
        asked = [i for i, c in enumerate(traditional) if c in self.polyphonic and c not in NEVER_ASKED]
        answers = self._ask(traditional, asked)
        fallback = pypinyin_of_run(run)
        readings = []
        for i, (char, other) in enumerate(zip(run, traditional, strict=True)):
            pinyin, confidence = answers.get(i, ("", 0.0))
            if not pinyin and other in self.monophonic and other not in NOT_MONOPHONIC:
                pinyin, confidence = self._pinyin(self.monophonic[other]), ONLY_CONFIDENCE
            source = "g2pw"
            if char in PLAIN and i not in answers:
                pinyin, source, confidence = PLAIN[char], "rule", 1.0
            elif not is_spoken(pinyin):
                pinyin, source, confidence = by_pypinyin(char, fallback[i] if is_spoken(fallback[i]) else "")
            readings.append(reading_of(char, pinyin, source, confidence))
        return readings

    def _ask(self, traditional: str, asked: list[int]) -> dict[int, tuple[str, float]]:
        """Place -> reading and probability, for the places `asked` of a run of traditional characters."""
        if not asked:
            return {}
        scores = self.network(self._inputs(traditional, asked))
        answers = {}
        for i, row in zip(asked, scores, strict=True):
            best = int(row.argmax())
            # Outside of the mask the network gives next to nothing, but not nothing.
            answers[i] = (self._pinyin(list(self.labels)[best]), float(row[best] / row.sum()))
        return answers

    def _inputs(self, traditional: str, asked: list[int]) -> dict[str, np.ndarray]:
        """One row for each asked character: the whole run, or the 510 tokens around it."""
        # Each Chinese character is a token of its own, known or not.
        tokens = [self.vocabulary.get(char.lower(), self.vocabulary["[UNK]"]) for char in traditional]
        rows, places = [], []
        for i in asked:
            start = max(0, min(i - LONGEST // 2, len(tokens) - LONGEST))
            row = tokens[start : start + LONGEST]
            rows.append([self.vocabulary["[CLS]"], *row, self.vocabulary["[SEP]"]])
            places.append(i - start + 1)
        mask = np.zeros((len(asked), len(self.labels)), np.float32)
        for labels, i in zip(mask, asked, strict=True):
            labels[[self.labels[label] for label in self.polyphonic[traditional[i]]]] = 1
        ids = np.array(rows, np.int64)
        return {
            "input_ids": ids,
            "token_type_ids": np.zeros_like(ids),
            "attention_mask": np.ones_like(ids),
            "phoneme_mask": mask,
            "char_ids": np.array([self.char_ids[traditional[i]] for i in asked], np.int64),
            "position_ids": np.array(places, np.int64),
        }

    def _pinyin(self, bopomofo: str) -> str:
        """ "ㄓㄤ3" -> "zhang3"; "" for what is in no table."""
        syllable = self.syllables.get(bopomofo[:-1], "")
        return syllable and syllable + bopomofo[-1]


def tables(folder: Path) -> tuple[dict[str, list[str]], dict[str, str], dict[str, str], dict[str, int]]:
    """The fields of `G2pw` after the network, from the files of its folder."""
    polyphonic: dict[str, list[str]] = {}
    for char, bopomofo in _pairs(folder / POLYPHONIC):
        polyphonic.setdefault(char, []).append(bopomofo)
    syllables = json.loads((folder / SYLLABLES).read_text("utf-8"))
    tokens = (folder / VOCABULARY).read_text("utf-8").split("\n")  # splitlines() would see more breaks than there are
    return polyphonic, dict(_pairs(folder / MONOPHONIC)), syllables, {token: i for i, token in enumerate(tokens)}


def _pairs(file: Path) -> list[tuple[str, str]]:
    lines = file.read_text("utf-8").splitlines()
    return [(char, bopomofo) for char, bopomofo in (line.split("\t") for line in lines if line.strip())]


def onnx_network(file: Path) -> Network:
    """The network in an ONNX file, run on the CPU. Raises ValueError if it is none."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no common class for what a broken file raises
        raise BrokenModel("text.g2pw_network", file=file.name, reason=error) from error
    logging.getLogger(__name__).info("g2pW from %s", file)
    names = [given.name for given in session.get_inputs()]
    return lambda inputs: session.run(None, {name: inputs[name] for name in names})[0]


@functools.cache
def _opencc() -> Any:
    import opencc

    return opencc.OpenCC("s2tw")


def to_taiwanese(run: str) -> str:
    """Simplified -> Taiwan's traditional characters, one for one."""
    converted = _opencc().convert(run)
    return converted if len(converted) == len(run) else run
