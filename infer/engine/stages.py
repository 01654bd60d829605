"""A sentence between text and models.stages: tokens, times, buckets, windows. The engine and its self-test share them.

    Utterance -> tokens -> [encode: a token bucket] -> durations -> [flow: a frame bucket] -> [decoder: fixed windows]

The shapes in brackets are the only ones a device ever sees (shapes.py); all randomness is drawn on the host from the
request's seed and the sentence's place.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

import text
from infer.engine import shapes
from infer.engine.backends import Backend
from infer.engine.decoding import decode
from infer.request import Timed
from models import Prior, SynthesizerConfig
from models.stages import SLOT_NOISE, Inputs, Noise
from text import Utterance
from text.symbols import TABLE_V1_0, TABLE_V1_1, TABLE_V2, SymbolTable, phone_ids

TABLES = {"v2": TABLE_V2, "v1.1": TABLE_V1_1, "v1.0": TABLE_V1_0}  # by Variant.table
FADE = 0.002  # seconds; a sentence begins and ends without a click


def noise(seed: int, place: int) -> Noise:
    """What is drawn for a sentence of a request; see shapes.noise."""
    return partial(shapes.noise, seed, place)


@dataclass(frozen=True)
class Tokens:
    """What the network reads for a sentence: ids with the blanks in, and how many each character has."""

    phones: list[int]
    tones: list[int]
    word2ph: list[int]


def tokenise(utterance: Utterance, add_blank: bool, table: SymbolTable = TABLE_V2) -> Tokens:
    """Phone and tone ids; with blanks, id 0 before, between and after: n phones become 2 n + 1 tokens."""
    phones, tones, word2ph = phone_ids(utterance.phones, table), list(utterance.tones), list(utterance.word2ph)
    if not add_blank:
        return Tokens(phones, tones, word2ph)
    return Tokens(_blanks(phones), _blanks(tones), [2 * n + (i == 0) for i, n in enumerate(word2ph)])


def word_starts(utterance: Utterance, add_blank: bool) -> list[int]:
    """1 at the first phone of each word and at each mark, else 0, as long as the tokens: what a voice with
    config.words is given in the place of languages."""
    begins = text.words.begins(utterance.text, [bool(char.spoken) for char in utterance.chars])
    first, *counts = utterance.word2ph
    starts = [0] * first
    for begin, count in zip([*begins, False], counts, strict=True):
        starts += [int(begin), *[0] * (count - 1)]
    return _blanks(starts) if add_blank else starts


def _blanks(ids: list[int]) -> list[int]:
    return [0, *(x for i in ids for x in (i, 0))]


def inputs(
    utterance: Utterance,
    tokens: Tokens,
    config: SynthesizerConfig,
    bert: tuple[Tensor, ...],
    emotion: Tensor,
    speaker: Tensor,
) -> Inputs:
    """What the network reads. bert: a feature [width, T] for each of the voice's slots."""
    words = word_starts(utterance, config.add_blank) if config.words else [0] * len(tokens.phones)
    phones, tones, languages = (torch.tensor([row]) for row in (tokens.phones, tokens.tones, words))
    return Inputs(phones, tones, languages, tuple(feature[None] for feature in bert), emotion, speaker)


def unused_slots(config: SynthesizerConfig, length: int, noise: Noise) -> tuple[Tensor, ...]:
    """What a Chinese sentence feeds to the slots of other languages, each [width, length]: see Variant.unused_slots."""
    kind, found = config.variant.unused_slots, []
    for stream, (_, width) in enumerate(config.variant.bert[1:], SLOT_NOISE):
        normal = torch.zeros(width, length) if kind == "zeros" else noise(stream, length, width)
        found.append(torch.special.ndtr(normal) if kind == "uniform" else normal)
    return tuple(found)


@dataclass(frozen=True)
class Bucketed:
    """A backend as models.stages.Parts: true lengths outside, those of the buckets inside."""

    backend: Backend

    def encode(self, inputs: Inputs, noise: Tensor, sdp_ratio: float) -> Prior:
        length = inputs.phones.shape[-1]
        size = shapes.bucket(length, shapes.TOKEN_BUCKETS)
        ids = (shapes.pad(row, size) for row in (inputs.phones, inputs.tones, inputs.languages))
        prior = self.backend.encode(
            (*ids, shapes.mask(length, size)),
            tuple(shapes.pad(feature, size) for feature in inputs.bert),
            inputs.emotion,
            inputs.speaker,
            shapes.pad(noise, size),
            sdp_ratio=sdp_ratio,
        )
        return Prior(*(x[..., :length] for x in (prior.mean, prior.log_std, prior.log_durations)))

    def flow(self, z_p: Tensor, speaker: Tensor) -> Tensor:
        frames = z_p.shape[-1]
        size = shapes.bucket(frames, shapes.FRAME_BUCKETS)
        return self.backend.flow(shapes.pad(z_p, size), shapes.mask(frames, size), speaker)[..., :frames]


def times(
    utterance: Utterance, durations: list[int], add_blank: bool, frame: float
) -> tuple[tuple[Timed, ...], tuple[Timed, ...]]:
    """When each phone and each character sounds, in seconds of its sentence; a blank is shared by its neighbours.

    durations: frames of each token. frame: seconds a frame.
    """
    ends = [0, *accumulate(durations)]
    if add_blank:  # tokens 0, 2, 4 … are blanks; phone k is token 2 k + 1
        middles = [(ends[i] + ends[i + 1]) / 2 for i in range(0, len(durations), 2)]
        edges = [0.0, *middles[1:-1], float(ends[-1])]
    else:
        edges = [float(e) for e in ends]
    phones = tuple(Timed(phone, edges[i] * frame, edges[i + 1] * frame) for i, phone in enumerate(utterance.phones))
    firsts = [0, *accumulate(utterance.word2ph)]
    characters = tuple(
        Timed(char, edges[firsts[i + 1]] * frame, edges[firsts[i + 2]] * frame) for i, char in enumerate(utterance.text)
    )
    return phones, characters


def sound(
    backend: Backend, config: SynthesizerConfig, z: Tensor, speaker: Tensor, sizes: Sequence[int], first: bool
) -> Iterator[np.ndarray]:
    """Samples of each decoder window of a sentence, faded in and out. z, sizes, first: see decode."""
    fade = np.linspace(0, 1, round(FADE * config.sampling_rate), endpoint=False, dtype=np.float32)
    left = total = z.shape[-1] * config.hop
    for piece in decode(backend, config, z, speaker, sizes, first):
        samples = piece.numpy().copy()
        if left == total:
            samples[: len(fade)] *= fade
        left -= len(samples)
        if not left:
            samples[-len(fade) :] *= fade[::-1]
        yield samples
