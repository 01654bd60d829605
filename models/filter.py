"""A decoder that filters: pulses that follow F0, and noise, each through a filter that the latent asks for.

A source-filter model (Fant, 1960) with filters from a network, as in a neural homomorphic vocoder (Liu, Chen and Yu,
2020): four times a frame the network gives magnitudes over frequency, which short Fourier transforms of pulses and
noise are multiplied by. Pitch is never learned, so it is right at once, and nearly all of the work is done at the rate
of the frames. For voices whose latent tells its pitch (models/source.py); released checkpoints have a Generator.

A vocal tract answers a pulse after it, not before: with Pitch.minimum_phase the pulses' filter has the phase that a
causal one of its magnitudes has. Older voices of our own were trained with none.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.config import SynthesizerConfig
from models.generator import SLOPE, ResBlock2, masked
from models.source import refine

LOUDEST = 4.0  # log magnitude
QUIETEST = -16.0  # for the phase, which would listen to silence as much
KERNEL = 5


class Transform(nn.Module):
    """A short Fourier transform and its inverse, as convolutions that every device has."""

    def __init__(self, window: int, step: int) -> None:
        super().__init__()
        self.window, self.step = window, step
        # On the CPU even where a checkpoint's network is outlined on no device: no file will bring these numbers.
        time, bins = (torch.arange(n, dtype=torch.double, device="cpu") for n in (window, window // 2 + 1))
        time += 0.5
        hann = torch.sin(torch.pi * time / window).square()
        angle = 2 * torch.pi * bins[:, None] * time / window
        bank = torch.cat((angle.cos(), -angle.sin()))
        weight = torch.where((bins == 0) | (bins == window // 2), 1 / window, 2 / window)[:, None]
        overlap = 3 / 8 * window / step  # what squared windows add up to
        self.forth = nn.Buffer((hann * bank).float()[:, None], persistent=False)
        self.back = nn.Buffer((hann * bank * weight.repeat(2, 1) / overlap).float()[:, None], persistent=False)

    def forward(self, wave: Tensor, magnitudes: Tensor, phases: Tensor | None = None) -> Tensor:
        """[B, 1, T * step], both [B, window // 2 + 1, T] -> [B, 1, T * step]."""
        padding = (self.window - self.step) // 2
        spectrum = F.conv1d(wave, self.forth, stride=self.step, padding=padding)
        if phases is None:
            spectrum = spectrum * magnitudes.repeat(1, 2, 1)
        else:
            real, imaginary = spectrum.chunk(2, dim=1)
            x, y = magnitudes * phases.cos(), magnitudes * phases.sin()
            spectrum = torch.cat((real * x - imaginary * y, real * y + imaginary * x), dim=1)
        return F.conv_transpose1d(spectrum, self.back, stride=self.step, padding=padding)


class MinimumPhase(nn.Module):
    """Log magnitudes over frequency -> the phase of the causal filter that has them.

    The cepstrum's second half folded onto its first (Oppenheim and Schafer): linear, so it is one matrix.
    """

    def __init__(self, window: int) -> None:
        super().__init__()
        bins = window // 2 + 1
        fold = torch.zeros(window, dtype=torch.double, device="cpu")
        fold[0] = 1
        fold[1 : (window + 1) // 2] = 2
        if window % 2 == 0:
            fold[window // 2] = 1
        cepstra = torch.fft.irfft(torch.eye(bins, dtype=torch.double, device="cpu"), window)
        phases = torch.fft.rfft(cepstra * fold).imag  # [of a magnitude, to a phase]
        self.matrix = nn.Buffer(phases.mT.float()[..., None].contiguous(), persistent=False)

    def forward(self, logs: Tensor) -> Tensor:
        """[B, window // 2 + 1, T] -> the same, radians."""
        return F.conv1d(logs, self.matrix)


class Filter(nn.Module):
    """Of config.json: upsample_rates are steps a frame and samples a step, upsample_kernel_sizes the two windows, of
    pulses and of noise; one residual block follows another, all of upsample_initial_channel channels."""

    def __init__(self, config: SynthesizerConfig) -> None:
        super().__init__()
        channels, self.latent = config.upsample_initial_channel, config.inter_channels
        self.rates = config.upsample_rates
        self.bins = [window // 2 + 1 for window in config.upsample_kernel_sizes]
        self.conv_pre = nn.Conv1d(config.inter_channels, channels, KERNEL, padding=KERNEL // 2)
        self.cond = nn.Conv1d(config.gin_channels, channels, 1)
        self.blocks = nn.ModuleList(
            ResBlock2(channels, kernel, dilations)
            for kernel, dilations in zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True)
        )
        self.conv_post = nn.Conv1d(channels, self.rates[0] * sum(self.bins), 1)
        self.transforms = nn.ModuleList(Transform(window, self.rates[1]) for window in config.upsample_kernel_sizes)
        self.phase = (
            MinimumPhase(config.upsample_kernel_sizes[0]) if config.pitch and config.pitch.minimum_phase else None
        )

    def forward(self, z: Tensor, speaker: Tensor, mask: Tensor | None = None) -> Tensor:
        """What source.excite() makes of a latent [B, I + 2 * hop, F], speaker [B, G, 1] -> waveform [B, 1, F * hop].

        With a mask [B, 1, F] the masked frames act as what lies beyond a true end, as in Generator.
        """
        return self.tail(self.head(z, speaker, mask), mask)

    def head(self, z: Tensor, speaker: Tensor, mask: Tensor | None = None) -> Tensor:
        """The network: -> log magnitudes of both filters, then pulses and noise [B, head_channels, F * rates[0]]."""
        z, source = z[:, : self.latent], z[:, self.latent :]
        x = self.conv_pre(masked(z, mask)) + self.cond(speaker)
        for block in self.blocks:
            x = block(x, mask)
        x = self.conv_post(F.leaky_relu(x, SLOPE)).unflatten(1, (self.rates[0], -1))  # [B, steps, bins, F]
        x = x.permute(0, 2, 3, 1).flatten(2)
        return torch.cat((x, refine(source, self.rates[0])), dim=1)

    def tail(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """The filters: what head() gives -> waveform [B, 1, F * hop]. The mask is that of the frames."""
        filters, source = x[:, : sum(self.bins)], x[:, sum(self.bins) :]
        mask = None if mask is None else mask.repeat_interleave(self.rates[0], dim=-1)
        logs = filters.clamp(max=LOUDEST)
        of_pulses, of_noise = masked(logs.exp(), mask).split(self.bins, dim=1)
        pulses, noise = refine(masked(source, mask), self.rates[1]).split(1, dim=1)
        phases = self.phase(logs[:, : self.bins[0]].clamp(min=QUIETEST)) if self.phase else None
        first, second = self.transforms
        wave = first(pulses, of_pulses, phases) + second(noise, of_noise)  # noise has a phase of its own
        return masked(wave.clamp(-1, 1), None if mask is None else mask.repeat_interleave(self.rates[1], dim=-1))


def halos(config: SynthesizerConfig) -> tuple[int, int]:
    """Frames on each side that an output of head(), and one of tail() alone, depend on."""
    blocks = zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True)
    network = KERNEL // 2 + sum((kernel - 1) * sum(dilations[:2]) // 2 for kernel, dilations in blocks)
    return network, -(-max(config.upsample_kernel_sizes) // config.hop)
