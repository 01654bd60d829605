"""A sentence from phones to what the decoder takes: encode -> align -> prior -> flow -> source, written once.

Who computes is an argument (Parts): the network itself, whole and at true lengths (Whole), or a backend in its buckets.
So the engine, its self-test, the benchmarks and training all speak by the same steps. Noise is an argument, too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from models.config import SynthesizerConfig
from models.source import excite
from models.synthesizer import Prior, Synthesizer, align, sample_prior

# (stream, length, channels) -> standard normal [channels, length]; a longer draw begins with the shorter one.
Noise = Callable[[int, int, int], Tensor]
DURATION_NOISE, LATENT_NOISE, SLOT_NOISE, SOURCE_NOISE = 0, 1, 2, 4  # streams; SLOT_NOISE: two, of unused BERT slots


@dataclass(frozen=True)
class Inputs:
    """What the network reads of one sentence of T tokens, blanks included; see Synthesizer.encode."""

    phones: Tensor  # [1, T]
    tones: Tensor  # [1, T]
    languages: Tensor  # [1, T]; where words begin, for a voice with config.words
    bert: tuple[Tensor, ...]  # of each slot [1, width, T]
    emotion: Tensor  # [1, E]
    speaker: Tensor  # [1, G, 1]


@dataclass(frozen=True)
class Sliders:
    """How a sentence is said, as the original names it."""

    length_scale: float = 1.0
    noise_scale: float = 0.6
    noise_w: float = 0.8
    sdp_ratio: float = 0.0


class Parts(Protocol):
    """Who computes the two halves whose length depends on data. Lengths are true ones, outside and in what returns."""

    def encode(self, inputs: Inputs, noise: Tensor, sdp_ratio: float) -> Prior:
        """noise [1, 2, T], already times noise_w."""

    def flow(self, z_p: Tensor, speaker: Tensor) -> Tensor:
        """Prior sample [1, I, F] -> latent [1, I, F]."""


@dataclass(frozen=True)
class Whole:
    """The network as it is: what every backend is measured against."""

    network: Synthesizer

    def encode(self, inputs: Inputs, noise: Tensor, sdp_ratio: float) -> Prior:
        ids = inputs.phones, inputs.tones, inputs.languages, ones(inputs.phones)
        return self.network.encode(*ids, inputs.bert, inputs.emotion, inputs.speaker, noise, sdp_ratio)

    def flow(self, z_p: Tensor, speaker: Tensor) -> Tensor:
        return self.network.flow(z_p, ones(z_p), speaker)


def ones(x: Tensor) -> Tensor:
    """[..., L] -> the mask of a whole sentence [1, 1, L]."""
    return torch.ones(1, 1, x.shape[-1], device=x.device)


def durations(parts: Parts, inputs: Inputs, noise: Noise, sliders: Sliders) -> tuple[Prior, Tensor]:
    """Encode and align: the prior of each token, and its whole frames [T]."""
    drawn = noise(DURATION_NOISE, inputs.phones.shape[-1], 2)[None] * sliders.noise_w
    prior = parts.encode(inputs, drawn, sliders.sdp_ratio)
    return prior, align(prior.log_durations, ones(inputs.phones), sliders.length_scale)[0]


def latent(
    parts: Parts, config: SynthesizerConfig, prior: Prior, frames: Tensor, speaker: Tensor, noise: Noise, scale: float
) -> tuple[Tensor, Tensor]:
    """Prior and flow: -> the prior's sample and the latent, both [1, I, F], F one frame or more.

    frames [T]: of each token. scale: of the prior's noise.
    """
    drawn = noise(LATENT_NOISE, max(1, int(frames.sum())), config.inter_channels)
    z_p = sample_prior(prior.mean[0], prior.log_std[0], frames, drawn, scale)[None]
    return z_p, parts.flow(z_p, speaker)


def with_source(z: Tensor, config: SynthesizerConfig, noise: Noise) -> Tensor:
    """What the decoder takes, of a sentence's latent [1, I, F]: with pulses and noise, if the voice tells its pitch."""
    if not config.pitch:
        return z
    return excite(z, noise(SOURCE_NOISE, z.shape[-1], config.hop)[None], config.pitch, config.sampling_rate)
