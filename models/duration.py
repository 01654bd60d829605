"""How long each phone lasts: a plain predictor and a stochastic one (a flow over durations, VITS section 2.2.2).

docs/network.md, 7. Only the directions and layers that inference uses.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.config import SynthesizerConfig
from models.encoder import ChannelNorm

FILTER = 256  # channels of the plain predictor; not in any config
BINS = 10  # of the spline
TAIL = 5.0  # the spline covers [-5, 5]; outside it is the identity
SMALLEST = 1e-3  # bin width, bin height and slope


class DurationPredictor(nn.Module):
    """Two convolutions; the ReLU comes before the norm."""

    def __init__(self, config: SynthesizerConfig) -> None:
        super().__init__()
        self.conv_1 = nn.Conv1d(config.hidden_channels, FILTER, 3, padding=1)
        self.norm_1 = ChannelNorm(FILTER)
        self.conv_2 = nn.Conv1d(FILTER, FILTER, 3, padding=1)
        self.norm_2 = ChannelNorm(FILTER)
        self.proj = nn.Conv1d(FILTER, 1, 1)
        self.cond = nn.Conv1d(config.gin_channels, config.hidden_channels, 1)

    def forward(self, x: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        """x [B, H, T] -> log durations in frames [B, 1, T]."""
        x = x + self.cond(speaker)
        x = self.norm_1(torch.relu(self.conv_1(x * mask)))
        x = self.norm_2(torch.relu(self.conv_2(x * mask)))
        return self.proj(x * mask) * mask


class DilatedStack(nn.Module):
    """Three depth-separable convolutions with dilations 1, 3, 9 and residual connections."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs_sep = nn.ModuleList(
            nn.Conv1d(channels, channels, 3, padding=3**i, dilation=3**i, groups=channels) for i in range(3)
        )
        self.convs_1x1 = nn.ModuleList(nn.Conv1d(channels, channels, 1) for _ in range(3))
        self.norms_1 = nn.ModuleList(ChannelNorm(channels) for _ in range(3))
        self.norms_2 = nn.ModuleList(ChannelNorm(channels) for _ in range(3))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        layers = zip(self.convs_sep, self.norms_1, self.convs_1x1, self.norms_2, strict=True)
        for separate, norm_1, mix, norm_2 in layers:
            y = F.gelu(norm_1(separate(x * mask)))
            x = x + F.gelu(norm_2(mix(y)))
        return x * mask


class SplineFlow(nn.Module):
    """A coupling of the two duration channels by a rational-quadratic spline (Durkan et al., 2019), inverse only."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.pre = nn.Conv1d(1, channels, 1)
        self.convs = DilatedStack(channels)
        self.proj = nn.Conv1d(channels, 3 * BINS - 1, 1)

    def forward(self, z: Tensor, mask: Tensor, condition: Tensor) -> Tensor:
        """z [B, 2, T] -> [B, 2, T]."""
        z0, z1 = z.chunk(2, dim=1)
        z1 = inverse_spline(z1.squeeze(1), *self.shape(z0, mask, condition))
        return torch.cat((z0, z1.unsqueeze(1)), dim=1) * mask

    def shape(self, z0: Tensor, mask: Tensor, condition: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the first channel [B, 1, T] makes of the second one's spline: widths, heights, slopes before norming."""
        h = self.proj(self.convs(self.pre(z0) + condition, mask)) * mask
        widths, heights, slopes = h.mT.split((BINS, BINS, BINS - 1), dim=-1)
        return widths / math.sqrt(self.channels), heights / math.sqrt(self.channels), slopes


def inverse_spline(y: Tensor, widths: Tensor, heights: Tensor, slopes: Tensor) -> Tensor:
    """Invert a monotonic rational-quadratic spline with linear tails.

    y [...]; widths and heights [..., 10], slopes [..., 9], all before normalisation -> x [...].
    """
    target = y.clamp(-TAIL, TAIL)
    x0, y0, width, height, d0, d1 = bin_of(target, knots(heights), knots(widths), knots(heights), slopes)
    slope = height / width
    offset = target - y0
    bend = offset * (d0 + d1 - 2 * slope)
    a = bend + height * (slope - d0)
    b = height * d0 - bend
    c = -slope * offset
    root = 2 * c / (-b - (b * b - 4 * a * c).clamp(min=0).sqrt())
    return torch.where((y >= -TAIL) & (y <= TAIL), root * width + x0, y)


def bin_of(place: Tensor, edges: Tensor, x_knots: Tensor, y_knots: Tensor, slopes: Tensor) -> tuple[Tensor, ...]:
    """The bin between whose edges a place [...] lies: its left end x, y, width, height, slopes at its ends, [...] each.

    edges, x_knots, y_knots: [..., 11]; slopes [..., 9], before normalisation: at the outer ends they are 1.
    """
    boundary = math.log(math.exp(1 - SMALLEST) - 1)  # softplus of it, plus SMALLEST, is a slope of 1
    slopes = SMALLEST + F.softplus(F.pad(slopes, (1, 1), value=boundary))
    index = ((place.unsqueeze(-1) >= edges).sum(-1, keepdim=True) - 1).clamp(0, BINS - 1)

    def at(values: Tensor, shift: int = 0) -> Tensor:
        return values.gather(-1, index + shift).squeeze(-1)

    x0, y0 = at(x_knots), at(y_knots)
    return x0, y0, at(x_knots, 1) - x0, at(y_knots, 1) - y0, at(slopes), at(slopes, 1)


def knots(raw: Tensor) -> Tensor:
    """Unnormalised sizes of the bins [..., 10] -> knots [..., 11] from -5 to 5 exactly."""
    sizes = SMALLEST + (1 - SMALLEST * BINS) * raw.softmax(-1)
    inner = 2 * TAIL * sizes.cumsum(-1)[..., :-1] - TAIL
    inner = F.pad(inner, (1, 0), value=-TAIL)
    return F.pad(inner, (0, 1), value=TAIL)


class _Affine(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.m = nn.Parameter(torch.zeros(2, 1))
        self.logs = nn.Parameter(torch.zeros(2, 1))

    def forward(self, z: Tensor, mask: Tensor) -> Tensor:
        return (z - self.m) * torch.exp(-self.logs) * mask


class StochasticDurationPredictor(nn.Module):
    """Noise -> log durations. Files number the flows with gaps (flips), and the one at 1 serves training only."""

    def __init__(self, config: SynthesizerConfig) -> None:
        super().__init__()
        channels = config.hidden_channels
        self.pre = nn.Conv1d(channels, channels, 1)
        self.cond = nn.Conv1d(config.gin_channels, channels, 1)
        self.convs = DilatedStack(channels)
        self.proj = nn.Conv1d(channels, channels, 1)
        self.flows = nn.ModuleDict({"0": _Affine(), **{str(i): SplineFlow(channels) for i in (3, 5, 7)}})

    def forward(self, x: Tensor, mask: Tensor, speaker: Tensor, noise: Tensor) -> Tensor:
        """x [B, H, T], noise [B, 2, T] already scaled -> log durations in frames [B, 1, T]."""
        condition = self.proj(self.convs(self.pre(x) + self.cond(speaker), mask)) * mask
        z = noise
        for i in ("7", "5", "3"):
            z = self.flows[i](z.flip(1), mask, condition)
        return self.flows["0"](z.flip(1), mask)[:, :1]
