"""What drives a voice whose latent tells its pitch: pulses and noise, as in a neural source-filter model.

(Wang, Takaki and Yamagishi, 2019.) Upsampling convolutions alone have to invent each harmonic from a latent that in a
steady vowel stays the same from frame to frame, so they hum at multiples of the frame rate. Given pulses, they filter.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

HIGHEST = 10_000.0  # Hz, of the pulses' harmonics
PULSE = 1 / 16  # amplitude of each
MARGIN = 1  # frame by which pulses go on before and after what is voiced


@dataclass(frozen=True)
class Pitch:
    """Where the latent tells it: the channels of log2(F0 / base) and of voicing, above 0.5 where there is F0.

    minimum_phase: of the filter that the pulses go through (models/filter.py).
    """

    channel: int
    voiced: int
    base: float  # Hz
    minimum_phase: bool = False


def excite(z: Tensor, noise: Tensor, pitch: Pitch, rate: int) -> Tensor:
    """Latent [B, I, F] of whole sentences and noise [B, hop, F] -> [B, I + 2 * hop, F]: with pulses and noise besides.

    The samples of a frame lie in channels, so that windows may be cut anywhere and see the same. rate: samples a
    second.
    """
    hop = noise.shape[1]
    cycles = extend(cycles_per_frame(z, pitch, hop, rate), MARGIN)
    before = F.pad(cycles, (1, 0))[:, :-1]
    turned = torch.where(before > 0, (cycles + before) / 2, 0).cumsum(1)
    # It starts anew with each voiced stretch, so that the last digits of F0 do not add up over a sentence.
    phase = turned - torch.where(before > 0, 0, turned).cummax(1).values
    return torch.cat((z, pulses(cycles, phase, hop, rate), noise.to(z)), dim=1)


def cycles_per_frame(z: Tensor, pitch: Pitch, hop: int, rate: int) -> Tensor:
    """Latent [B, I, F] -> cycles of the fundamental a frame [B, F], in double precision; 0 where unvoiced."""
    f0 = (pitch.base * z[:, pitch.channel].double().exp2()).clamp(20, rate / 4)
    return f0 * hop / rate * (z[:, pitch.voiced] > 0.5)


def extend(cycles: Tensor, frames: int) -> Tensor:
    """Some more frames of each voiced stretch's first and last pitch: where the voice sets in, the filter says."""
    for _ in range(frames):
        before, after = F.pad(cycles, (1, 0))[:, :-1], F.pad(cycles, (0, 1))[:, 1:]
        cycles = torch.where(cycles > 0, cycles, torch.maximum(before, after))
    return cycles


def pulses(cycles: Tensor, phase: Tensor, hop: int, rate: int) -> Tensor:
    """Cycles a frame and their phase at its centre [B, F] -> [B, hop, F]: cosines of all harmonics up to HIGHEST.

    Their sum has a closed form (Dirichlet's kernel). Between the centres of two frames
    the pitch moves evenly.
    """
    beside = F.pad(cycles[:, None], (1, 1), mode="replicate")[:, 0]
    before, after = (torch.where(x > 0, x, cycles) for x in (beside[:, :-2], beside[:, 2:]))
    place = ((torch.arange(hop, dtype=torch.double, device=cycles.device) + 0.5) / hop - 0.5)[:, None]
    bend = torch.where(place > 0, (after - cycles)[:, None], (cycles - before)[:, None])
    turn = (phase[:, None] + cycles[:, None] * place + bend / 2 * place.square()).frac()
    count = (HIGHEST * hop / rate / cycles.clamp(min=1e-3)).floor().clamp(max=hop // 2)[:, None]
    below = (math.pi * turn).sin()
    near = below.abs() < 1e-6
    total = (((2 * count + 1) * math.pi * turn).sin() / torch.where(near, 1.0, below) - 1) / 2
    return (PULSE * torch.where(near, count, total) * (cycles > 0)[:, None]).float()


def refine(source: Tensor, rate: int) -> Tensor:
    """Pulses and noise [B, 2 * n, ..., T], n samples a step -> [B, 2 * n / rate, ..., T * rate]."""
    return source.unflatten(1, (2, rate, -1)).movedim(2, -1).flatten(-2).flatten(1, 2)
