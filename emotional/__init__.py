"""Emotion vectors: CLAP (Wu et al. 2023, HTSAT fused) hears audio and reads text into one space of 512 numbers.

Voices without a CLAP input have a table of emotions instead: see emotional.table.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pretrained import WEIGHTS, MissingModel, ModelFolder, in_memory
from words import Fault, Message

__all__ = ["FILES", "REPOSITORY", "WEIGHTS", "BadClip", "ClapEmotion", "MissingModel", "missing_files", "resample"]

CACHED_VECTORS = 256  # 512 KiB
CROP_SEED = 0  # where the three crops of a clip longer than 10 s begin

FILES = ("config.json", "preprocessor_config.json", "tokenizer.json")
REPOSITORY = "laion/clap-htsat-fused"


class BadClip(Fault, ValueError):
    """A clip that has no vector."""


class ClapEmotion:
    """Emotion vectors of prompts and clips, kept for the most recent ones.

    `load` brings the text tower (0.5 GB in float32); the audio tower (0.12 GB) comes with the first clip.
    """

    def __init__(self, folder: Path, device: str | torch.device) -> None:
        self.folder = model_folder(folder)
        self.device = torch.device(device)
        self._cache: OrderedDict[tuple, Tensor] = OrderedDict()
        self._lock = threading.RLock()
        self._audio: tuple | None = None
        from transformers import AutoTokenizer, ClapTextModelWithProjection

        self._text_model = self._tower(ClapTextModelWithProjection, "text_config")
        with self.folder.reading():
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        # Positions of this RoBERTa begin after the padding index, so two of them are never used.
        self._max_tokens = self._text_model.config.max_position_embeddings - 2

    @classmethod
    def load(cls, folder: str | Path, device: str | torch.device = "cpu") -> ClapEmotion:
        """Load the text tower from `folder`; nothing is fetched from elsewhere. Raises MissingModel."""
        folder = Path(folder)
        if missing := missing_files(folder):
            raise model_folder(folder).refusal("pretrained.lacks", names=missing)
        return cls(folder, device)

    def text(self, prompt: str) -> Tensor:
        """Vector of a prompt in words, of length 1, float32 [512]; what is beyond the model's 512 tokens is cut off."""
        return self._cached(("text", prompt), lambda: self._of_text(prompt))

    def audio(self, samples: np.ndarray, rate: int) -> Tensor:
        """Vector of a clip, of length 1, float32 [512].

        samples: mono [n], floats in -1..1 or integers of full scale. rate: Hz, any.
        Raises BadClip for an empty clip, several channels or numbers that are not finite.
        """
        samples = np.asarray(samples)
        if samples.ndim != 1 or not samples.size:
            raise BadClip("emotional.shape", shape=str(samples.shape))
        if rate <= 0:
            raise BadClip("emotional.rate", rate=rate)
        if samples.dtype.kind == "i":
            samples = samples / -float(np.iinfo(samples.dtype).min)
        samples = np.ascontiguousarray(samples, dtype=np.float32)
        if not np.isfinite(samples).all():
            raise BadClip("emotional.not_finite")
        key = ("audio", hashlib.sha256(samples.data).digest(), rate)
        return self._cached(key, lambda: self._of_audio(samples, rate))

    def file(self, data: bytes, read: Callable[[bytes], tuple[np.ndarray, int]]) -> Tensor:
        """As `audio`, of a file that `read` turns into samples and Hz; it is read no more while its vector is kept."""
        key = ("file", hashlib.sha256(data).digest())
        with self._lock:
            known = key in self._cache
        clip = None if known else read(data)  # outside of the lock: a decoder may take seconds
        return self._cached(key, lambda: self.audio(*(clip or read(data))))

    def _cached(self, key: tuple, compute: Callable[[], Tensor]) -> Tensor:
        with self._lock:
            if key not in self._cache:
                self._cache[key] = F.normalize(compute().float(), dim=0)
            self._cache.move_to_end(key)
            if len(self._cache) > CACHED_VECTORS:
                self._cache.popitem(last=False)
            return self._cache[key].clone()

    @torch.no_grad()
    def _of_text(self, prompt: str) -> Tensor:
        tokens = self._tokenizer(prompt, truncation=True, max_length=self._max_tokens, return_tensors="pt")
        return self._text_model(**tokens.to(self.device)).text_embeds[0]

    @torch.no_grad()
    def _of_audio(self, samples: np.ndarray, rate: int) -> Tensor:
        if self._audio is None:
            from transformers import ClapAudioModelWithProjection, ClapFeatureExtractor

            model = self._tower(ClapAudioModelWithProjection, "audio_config")
            with self.folder.reading():
                self._audio = model, ClapFeatureExtractor.from_pretrained(self.folder.path, local_files_only=True)
        model, extractor = self._audio
        samples = resample(samples, rate, extractor.sampling_rate)
        with _seeded_numpy(CROP_SEED):
            mel = extractor(samples, sampling_rate=extractor.sampling_rate, return_tensors="pt")
        features = mel["input_features"].to(self.device, torch.float32)
        return model(input_features=features, is_longer=mel["is_longer"].to(self.device)).audio_embeds[0]

    def _tower(self, tower: Any, part: str) -> Any:
        """One tower with its projection, in float32 whatever the file holds."""
        from transformers import ClapConfig

        with self.folder.reading():
            config = ClapConfig.from_pretrained(self.folder.path, local_files_only=True)
            model, info = tower.from_pretrained(
                self.folder.path,
                config=getattr(config, part),
                dtype=torch.float32,
                local_files_only=True,
                weights_only=True,
                output_loading_info=True,
            )
        state = model.state_dict()  # tables of integers are computed, and some releases store them
        self.folder.check([name for name in sorted(info["missing_keys"]) if state[name].is_floating_point()])
        return in_memory(model, self.device)


def resample(samples: np.ndarray, rate: int, target: int) -> np.ndarray:
    """Band-limited change of sampling rate, float32 [n] -> [ceil(n * target / rate)]."""
    if rate == target:
        return samples
    from scipy.signal import resample_poly  # costs a second, and only audio prompts need it

    common = math.gcd(rate, target)
    return resample_poly(samples, target // common, rate // common).astype(np.float32)


def model_folder(folder: str | Path) -> ModelFolder:
    return ModelFolder(Path(folder), FILES, REPOSITORY)


def missing_files(folder: str | Path) -> list[str | Message]:
    """Names of the files that ClapEmotion.load needs and `folder` lacks; reads none of them."""
    return model_folder(folder).missing()


@contextmanager
def _seeded_numpy(seed: int) -> Iterator[None]:
    """The feature extractor draws its crops from numpy's global generator: seed it, then put it back as it was."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)
