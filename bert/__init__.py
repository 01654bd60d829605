"""BERT features of Chinese text: one column for each phone, by a transformers model in a local folder.

The voices were trained on `hidden_states[-3]`: the last two layers and the norm after them are neither loaded nor run.
The 2048-wide Megatron-BERT of the Chinese special voices is normalised across the tokens of a sentence; the 1024-wide
BERT of the releases 1.0 to 2.3 is not.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from bert.files import FILES, INT8_WEIGHTS, REPOSITORIES, missing_files, model_folder
from bert.network import TorchNetwork, bfloat16_is_fast
from pretrained import WEIGHTS, MissingModel
from words import Fault, Message, message

__all__ = [
    "FILES", "INT8_WEIGHTS", "REPOSITORIES", "WEIGHTS", "BertFeatures", "MissingModel", "bucket", "missing_files",
    "precision", "windows",
]  # fmt: skip

CACHED_TOKENS = 8192  # 64 MiB of 2048 float32 values


class Overflow(Fault, FloatingPointError):
    """The numbers left the range of the dtype."""


class Network(Protocol):
    """hidden_states[-3] of a window of tokens: a TorchNetwork or an Int8Network. positions: how many fit."""

    dtype: torch.dtype
    positions: int

    def __call__(self, ids: Tensor, mask: Tensor) -> Tensor: ...


class BertFeatures:
    """Features of sentences, kept for the most recent ones: a re-roll or another speaker costs no BERT."""

    def __init__(self, network: Network, tokenizer: Any, normalise: bool = True) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self.normalise = normalise
        self.window = network.positions - 2  # [CLS] and [SEP] take two positions
        self._cache: OrderedDict[tuple[int, ...], Tensor] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls,
        folder: str | Path,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        normalise: bool = True,
    ) -> BertFeatures:
        """Load config.json, vocab.txt and the weights from `folder`; nothing is fetched from elsewhere.

        dtype: what the network computes in (float32, bfloat16 or float16); features are float32 in any case. int8
        brings 8-bit weights, which run on the CPU whatever the device; they are made first, once, where they are not
        there (minutes, see bert.quantise).
        normalise: divide every channel by its norm over the sentence (extra-fix, zh-clap, extra), or not (1.0 to 2.3).
        Raises MissingModel.
        """
        folder, int8 = Path(folder), dtype == torch.int8
        if missing := missing_files(folder, int8):
            raise model_folder(folder).refusal("pretrained.lacks", names=missing)
        with model_folder(folder).reading():
            from transformers import BertTokenizer

            tokenizer = BertTokenizer.from_pretrained(folder, local_files_only=True)
        if int8:
            from bert.int8 import Int8Network
            from bert.quantise import is_needed, quantise

            if is_needed(folder):
                logging.getLogger(__name__).warning("Making the 8-bit weights of %s, once: minutes.", folder.name)
                quantise(folder)
            return cls(Int8Network.load(folder), tokenizer, normalise)
        return cls(TorchNetwork.load(folder, device, dtype), tokenizer, normalise)

    def __call__(
        self, text: str, word2ph: Sequence[int], style_text: str | None = None, style_weight: float = 0.7
    ) -> Tensor:
        """Features of `text`, float32 [hidden, sum(word2ph)], on the model's device.

        text: normalised, n characters. word2ph: how many phones [CLS], each character and [SEP] have, n + 2 numbers.
        style_text: its mean over tokens is mixed into every column, by style_weight (0..1); a blank one counts as none.
        Raises ValueError if word2ph does not fit, Overflow if the numbers left the range of the dtype.
        """
        if len(word2ph) != len(text) + 2:
            counts = f"{len(word2ph)} numbers for a text of {len(text)} characters"
            raise ValueError(f"word2ph has {counts}: it needs {len(text) + 2}.")
        rows = self._rows(self.character_ids(text))
        if style_text and style_text.strip():
            style = self._rows(tuple(self.tokenizer(style_text, verbose=False)["input_ids"])).mean(dim=0)
            rows = (1 - style_weight) * rows + style_weight * style
        repeats = torch.tensor(word2ph, device=rows.device)
        return rows.repeat_interleave(repeats, dim=0, output_size=sum(word2ph)).T.contiguous()

    def character_ids(self, text: str) -> tuple[int, ...]:
        """[CLS], one id for each character, [SEP].

        The tokenizer is asked for one character at a time: it would merge "2024" to one piece and drop a space, and
        a feature would no longer belong to a character. What is not exactly one piece is [UNK].
        """
        inner = (self._character_id(character) for character in text)
        return (self.tokenizer.cls_token_id, *inner, self.tokenizer.sep_token_id)

    def _character_id(self, character: str) -> int:
        pieces = self.tokenizer.tokenize(character)
        return self.tokenizer.convert_tokens_to_ids(pieces[0]) if len(pieces) == 1 else self.tokenizer.unk_token_id

    def _rows(self, ids: tuple[int, ...]) -> Tensor:
        """Features of the tokens, float32 [tokens, hidden], from the cache if they are there."""
        with self._lock:
            if ids in self._cache:
                self._cache.move_to_end(ids)
                return self._cache[ids]
        rows = self._hidden(ids)
        if not rows.isfinite().all():
            raise Overflow("bert.overflow", dtype=str(self.network.dtype).removeprefix("torch."))
        if self.normalise:
            rows = F.normalize(rows, dim=0, eps=1e-12)  # over the tokens of the sentence, not over the channels
        with self._lock:
            self._cache[ids] = rows
            while len(self._cache) > 1 and sum(map(len, self._cache)) > CACHED_TOKENS:
                self._cache.popitem(last=False)
        return rows

    def _hidden(self, ids: tuple[int, ...]) -> Tensor:
        """hidden_states[-3] of the whole model, float32 [tokens, hidden]; long texts go through in windows.

        Each is padded up to its bucket, so the network sees few shapes; nothing of the padding is left here, where the
        norm over the tokens comes.
        """
        first, *inner, last = ids
        kept = []
        for start, begin, end in windows(len(inner), self.window):
            piece = torch.tensor([[first, *inner[start : start + self.window], last]])
            padding = (0, bucket(piece.shape[1], self.window + 2) - piece.shape[1])
            hidden = self.network(F.pad(piece, padding), F.pad(torch.ones_like(piece), padding))
            kept.append(hidden[begin - start : end - start])
        return torch.cat(kept)


def bucket(tokens: int, most: int) -> int:
    """What `tokens` are padded to: a multiple of 8, of 16 beyond 64, of 32 beyond 128, and so on; never over `most`.

    Up to 512 these are 20 lengths, and beyond 64 less than a fifth of each is padding.
    """
    step = max(64, 1 << (tokens - 1).bit_length()) // 8
    return min(-(-tokens // step) * step, most)


def precision(device: str, half: bool, eight_bit: bool) -> tuple[torch.dtype, Message | None]:
    """What BERT computes in where fp16_run (half) and int8_run (eight_bit) are set, and what to know about it.

    device: cpu, cuda or xpu. 8 bits go before 16.
    """
    if eight_bit:
        return torch.int8, message("bert.int8")
    if not half or device != "cpu":
        return torch.float16 if half else torch.float32, None
    if bfloat16_is_fast():
        return torch.bfloat16, message("bert.bfloat16")
    return torch.float32, message("bert.no_bfloat16")


def windows(length: int, size: int) -> list[tuple[int, int, int]]:
    """Overlapping windows of `size` tokens over `length` ones: (start, first row kept, row after the last kept).

    Rows count [CLS] as 0 and [SEP] as length + 1. Each token is kept from the window that shows most of what is around
    it: neighbours overlap by at least half and meet in the middle.
    """
    last = max(length - size, 0)
    starts = [*range(0, last, size // 2), last]
    meet = [(left + right + size) // 2 + 1 for left, right in pairwise(starts)]
    return list(zip(starts, [0, *meet], [*meet, length + 2], strict=True))
