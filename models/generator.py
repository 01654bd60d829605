"""The HiFi-GAN decoder (Kong et al., 2020): latent frames -> waveform (docs/network.md, 8).

Weight norm is folded when a checkpoint is read, so these are plain convolutions.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.config import SynthesizerConfig

SLOPE = 0.1
LAST_SLOPE = 0.01


def _same(channels: int, kernel: int, dilation: int) -> nn.Conv1d:
    return nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=(kernel - 1) * dilation // 2)


class ResBlock1(nn.Module):
    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(_same(channels, kernel, d) for d in dilations[:3])
        self.convs2 = nn.ModuleList(_same(channels, kernel, 1) for _ in dilations[:3])

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        for conv1, conv2 in zip(self.convs1, self.convs2, strict=True):
            y = conv1(masked(F.leaky_relu(x, SLOPE), mask))
            x = x + conv2(masked(F.leaky_relu(y, SLOPE), mask))
        return x


class ResBlock2(nn.Module):
    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_same(channels, kernel, d) for d in dilations[:2])

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        for conv in self.convs:
            x = x + conv(masked(F.leaky_relu(x, SLOPE), mask))
        return x


class Generator(nn.Module):
    def __init__(self, config: SynthesizerConfig) -> None:
        super().__init__()
        channels = config.upsample_initial_channel
        self.rates = config.upsample_rates
        self.n_kernels = len(config.resblock_kernel_sizes)
        self.conv_pre = nn.Conv1d(config.inter_channels, channels, 7, padding=3)
        self.cond = nn.Conv1d(config.gin_channels, channels, 1)
        block = ResBlock1 if config.resblock == "1" else ResBlock2
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for rate, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
            self.ups.append(nn.ConvTranspose1d(channels, channels // 2, kernel, rate, padding=(kernel - rate) // 2))
            channels //= 2
            for k, dilations in zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True):
                self.resblocks.append(block(channels, k, dilations))
        self.conv_post = nn.Conv1d(channels, 1, 7, padding=3, bias=False)

    def forward(self, z: Tensor, speaker: Tensor, mask: Tensor | None = None) -> Tensor:
        """Latent [B, I, F], speaker [B, G, 1] -> waveform in -1..1 [B, 1, F * hop].

        With a mask [B, 1, F] the masked frames act as the zero padding that every layer sees beyond a true end, so
        that a sentence in a longer window sounds exactly as it does alone; what lies under the mask is 0.
        """
        return self.tail(self.head(z, speaker, mask), mask)

    def head(self, z: Tensor, speaker: Tensor, mask: Tensor | None = None) -> Tensor:
        """The first stage, a fifth of the work and nearly all of the context: [B, I, F] -> [B, C / 2, F * rates[0]]."""
        x = self.conv_pre(masked(z, mask)) + self.cond(speaker)
        return self._stage(0, x, mask)[0]

    def tail(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """All other stages: what head() gives -> waveform [B, 1, F * hop]. The mask is that of the frames."""
        mask = None if mask is None else mask.repeat_interleave(self.rates[0], dim=-1)
        for i in range(1, len(self.rates)):
            x, mask = self._stage(i, x, mask)
        x = self.conv_post(masked(F.leaky_relu(x, LAST_SLOPE), mask))
        return masked(torch.tanh(x), mask)

    def _stage(self, i: int, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        x = self.ups[i](masked(F.leaky_relu(x, SLOPE), mask))
        mask = None if mask is None else mask.repeat_interleave(self.rates[i], dim=-1)
        blocks = self.resblocks[i * self.n_kernels : (i + 1) * self.n_kernels]
        return sum(block(x, mask) for block in blocks) / self.n_kernels, mask


def masked(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask


def halos(config: SynthesizerConfig) -> tuple[int, int]:
    """Frames on each side that an output of head(), and one of tail() alone, depend on. 11 and 2 for releases."""
    return _reach(config, 0, 0, stages=1), -(-_reach(config, 1, 3) // config.upsample_rates[0])


def _reach(config: SynthesizerConfig, first: int, last: int, stages: int | None = None) -> int:
    """Context on each side at the input of stage `first`, of an output that `last` more positions around belong to."""
    first_kind = config.resblock == "1"  # three dilations, each followed by a plain convolution; else two alone
    used = 3 if first_kind else 2
    left = right = last  # conv_post, in samples
    upsampling = list(zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True))[first:stages]
    for rate, kernel in reversed(upsampling):
        reach = max(
            sum((k - 1) * d // 2 + (k // 2 if first_kind else 0) for d in dilations[:used])
            for k, dilations in zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True)
        )
        padding = (kernel - rate) // 2
        left = (left + reach + kernel - 1 - padding) // rate
        right = (right + reach - 1 + padding) // rate + 1
    return max(left, right) + (0 if first else 3)  # conv_pre
