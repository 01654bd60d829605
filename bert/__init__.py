"""BERT features of Chinese text: one column for each phone, by a transformers model in a local folder.

The voices were trained on `hidden_states[-3]`: the last two layers and the norm after them are neither loaded nor run.
The 2048-wide Megatron-BERT of the Chinese special voices is normalised across the tokens of a sentence; the 1024-wide
BERT of the releases 1.0 to 2.3 is not.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

UNUSED_LAYERS = 2  # hidden_states[-3] is what goes into the last two
CACHED_TOKENS = 8192  # 64 MiB of 2048 float32 values

FILES = ("config.json", "vocab.txt")
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
REPOSITORIES = {  # folder name -> model repository whose files belong there
    "Erlangshen-MegatronBert-1.3B-Chinese": "IDEA-CCNL/Erlangshen-UniMC-MegatronBERT-1.3B-Chinese",
    "chinese-roberta-wwm-ext-large": "hfl/chinese-roberta-wwm-ext-large",
}


class MissingModel(RuntimeError):
    """Files of the model are missing or cannot be used; the message names them, their place and their source."""


class BertFeatures:
    """Features of sentences, kept for the most recent ones: a re-roll or another speaker costs no BERT."""

    def __init__(self, model: torch.nn.Module, tokenizer, normalise: bool = True) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.normalise = normalise
        self.window = model.config.max_position_embeddings - 2  # [CLS] and [SEP] take two positions
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

        dtype: what the network computes in (float32, bfloat16 or float16); features are float32 in any case.
        normalise: divide every channel by its norm over the sentence (extra-fix, zh-clap, extra), or not (1.0 to 2.3).
        Raises MissingModel.
        """
        folder = Path(folder)
        if missing := missing_files(folder):
            raise MissingModel(f"{folder} lacks {', '.join(missing)}: {_remedy(folder)}")
        options = {"local_files_only": True, "trust_remote_code": False}
        with _quiet_transformers():
            from transformers import AutoConfig, AutoModel, BertTokenizer

            try:
                tokenizer = BertTokenizer.from_pretrained(folder, local_files_only=True)
                config = AutoConfig.from_pretrained(folder, **options)
                config.num_hidden_layers -= UNUSED_LAYERS
                model, info = AutoModel.from_pretrained(
                    folder,
                    config=config,
                    dtype=dtype,
                    add_pooling_layer=False,
                    weights_only=True,
                    output_loading_info=True,
                    **options,
                )
            except Exception as error:  # the readers of JSON, pickle and safetensors each have errors of their own
                raise MissingModel(f"{folder} cannot be read ({error}): {_remedy(folder)}") from error
        if absent := sorted(info["missing_keys"]):  # transformers would go on with random numbers
            raise MissingModel(f"The weights in {folder} lack {len(absent)} tensors ({absent[0]}): {_remedy(folder)}")
        if hasattr(model.encoder, "ln"):  # Megatron's norm after the last layer: the feature is the stream before it
            model.encoder.ln = torch.nn.Identity()
        return cls(model.to(device).eval(), tokenizer, normalise)

    def __call__(
        self, text: str, word2ph: Sequence[int], style_text: str | None = None, style_weight: float = 0.7
    ) -> Tensor:
        """Features of `text`, float32 [hidden, sum(word2ph)], on the model's device.

        text: normalised, n characters. word2ph: how many phones [CLS], each character and [SEP] have, n + 2 numbers.
        style_text: its mean over tokens is mixed into every column, by style_weight (0..1); a blank one counts as none.
        Raises ValueError if word2ph does not fit, FloatingPointError if the numbers left the range of the dtype.
        """
        if len(word2ph) != len(text) + 2:
            raise ValueError(
                f"word2ph has {len(word2ph)} numbers for a text of {len(text)} characters: it needs {len(text) + 2}."
            )
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
            raise FloatingPointError(f"BERT overflowed in {self.model.dtype}: load it in bfloat16 or float32.")
        if self.normalise:
            rows = F.normalize(rows, dim=0, eps=1e-12)  # over the tokens of the sentence, not over the channels
        with self._lock:
            self._cache[ids] = rows
            while len(self._cache) > 1 and sum(map(len, self._cache)) > CACHED_TOKENS:
                self._cache.popitem(last=False)
        return rows

    @torch.no_grad()
    def _hidden(self, ids: tuple[int, ...]) -> Tensor:
        """hidden_states[-3] of the whole model, float32 [tokens, hidden]; long texts go through in windows."""
        first, *inner, last = ids
        kept = []
        for start, begin, end in windows(len(inner), self.window):
            piece = torch.tensor([[first, *inner[start : start + self.window], last]], device=self.model.device)
            hidden = self.model(input_ids=piece, attention_mask=torch.ones_like(piece)).last_hidden_state[0]
            kept.append(hidden[begin - start : end - start])
        return torch.cat(kept).float()


def windows(length: int, size: int) -> list[tuple[int, int, int]]:
    """Overlapping windows of `size` tokens over `length` ones: (start, first row kept, row after the last kept).

    Rows count [CLS] as 0 and [SEP] as length + 1. Each token is kept from the window that shows most of what is around
    it: neighbours overlap by at least half and meet in the middle.
    """
    last = max(length - size, 0)
    starts = [*range(0, last, size // 2), last]
    meet = [(left + right + size) // 2 + 1 for left, right in pairwise(starts)]
    return list(zip(starts, [0, *meet], [*meet, length + 2], strict=True))


def missing_files(folder: str | Path) -> list[str]:
    """Names of the files that BertFeatures.load needs and `folder` lacks; reads none of them."""
    folder = Path(folder)
    missing = [name for name in FILES if not (folder / name).is_file()]
    return missing if any((folder / name).is_file() for name in WEIGHTS) else [*missing, " or ".join(WEIGHTS)]


def _remedy(folder: Path) -> str:
    repository = REPOSITORIES.get(folder.name)
    source = f"the model repository {repository}" if repository else "the model"
    return f"put {', '.join(FILES)} and {' or '.join(WEIGHTS)} of {source} into {folder}."


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No progress bar and no report on the layers that are left out on purpose; as it was afterwards."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
