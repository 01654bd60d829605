"""The whole network, cut where the length becomes data-dependent; models/stages.py puts the parts in a row."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.config import SynthesizerConfig
from models.duration import DurationPredictor, StochasticDurationPredictor
from models.encoder import TextEncoder
from models.filter import Filter
from models.filter import halos as filter_halos
from models.flow import Flow
from models.generator import Generator
from models.generator import halos as generator_halos


@dataclass(frozen=True)
class Prior:
    """What encode() gives for each token: mean and log standard deviation [B, I, T], log frames [B, 1, T]."""

    mean: Tensor
    log_std: Tensor
    log_durations: Tensor


class Synthesizer(nn.Module):
    """VITS2 (Kong et al., 2023) in the form of Bert-VITS2, from ids to waveform. Noise is always an argument."""

    def __init__(self, config: SynthesizerConfig) -> None:
        super().__init__()
        self.config = config
        self.enc_p = TextEncoder(config)
        if config.variant.stochastic_durations:
            self.sdp = StochasticDurationPredictor(config)
        self.dp = DurationPredictor(config)
        self.flow = Flow(config)
        self.dec = Filter(config) if config.pitch else Generator(config)
        self.emb_g = nn.Embedding(config.n_speakers, config.gin_channels)

    def encode(
        self,
        phones: Tensor,
        tones: Tensor,
        languages: Tensor,
        mask: Tensor,
        bert: tuple[Tensor, ...],
        emotion: Tensor,
        speaker: Tensor,
        noise: Tensor,
        sdp_ratio: Tensor | float,
    ) -> Prior:
        """The half whose length is the number of tokens T (blanks included).

        phones, tones, languages: ids [B, T]. mask [B, 1, T]. bert: one [B, width, T] for each of the variant's slots.
        emotion: see TextEncoder.emotion. speaker [B, G, 1]. noise [B, 2, T], already times noise_w; sdp_ratio is
        the share of the stochastic predictor. A variant without that predictor ignores both.
        """
        x, mean, log_std = self.enc_p(phones, tones, languages, mask, bert, emotion, speaker)
        log_durations = self.dp(x, mask, speaker)
        if self.config.variant.stochastic_durations:
            stochastic = self.sdp(x, mask, speaker, noise)
            log_durations = stochastic * sdp_ratio + log_durations * (1 - sdp_ratio)
        return Prior(mean, log_std, log_durations)


def halos(config: SynthesizerConfig) -> tuple[int, int]:
    """Frames on each side that an output of the decoder's head(), and one of its tail() alone, depend on."""
    return filter_halos(config) if config.pitch else generator_halos(config)


def align(log_durations: Tensor, mask: Tensor, length_scale: float) -> Tensor:
    """Log frames [B, 1, T] -> whole frames [B, T], on whatever device they are."""
    return torch.ceil(torch.exp(log_durations) * mask * length_scale).squeeze(1).long()


def sample_prior(mean: Tensor, log_std: Tensor, durations: Tensor, noise: Tensor, noise_scale: float) -> Tensor:
    """Repeat token t durations[t] times and add the noise: [I, T], [I, T], [T], [I, F] -> z_p [I, F].

    Frames beyond the sum of the durations (batch padding) are noise_scale * noise, as in the original.
    """
    mean, log_std = (x.repeat_interleave(durations, dim=-1) for x in (mean, log_std))
    missing = noise.shape[-1] - mean.shape[-1]
    mean, log_std = (torch.nn.functional.pad(x, (0, missing)) for x in (mean, log_std))
    return mean + noise * torch.exp(log_std) * noise_scale
