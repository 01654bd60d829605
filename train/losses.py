"""Distances of a decoder's wave from the teacher's, of which each frame lies where the frame's middle is said to be.

Both are cut into windows, the decoder's at even steps and the teacher's at the same places of its own frames.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from train.features import FFT, HOP, MEL_FLOOR, frames, mel_filters

WINDOWS = ((256, 64), (768, 192), (2048, 512), (FFT, HOP))  # size and step of three spectra, and of the mels
EDGE = 4  # frames at each end of a segment where no window lies in the middle: the teacher's wave came from before


def places(samples: int, step: int) -> np.ndarray:
    """The middles of a segment's windows."""
    return np.arange(EDGE * HOP + step // 2, samples - EDGE * HOP, step)


def cut(wav: Tensor) -> list[Tensor]:
    """[B, samples] -> for each of WINDOWS [B, windows, size]."""
    out = []
    for size, step in WINDOWS:
        at = places(wav.shape[1], step)
        out.append(wav[:, at[0] - size // 2 : at[-1] + size // 2].unfold(1, size, step))
    return out


def cut_at(wav: np.ndarray, at: np.ndarray) -> list[np.ndarray]:
    """Of a whole wave the windows around its samples `at`, one for each sample of a segment: as cut() has them."""
    return [frames(wav, size, np.round(at[places(len(at), step)]).astype(int)) for size, step in WINDOWS]


def spectrum(windows: Tensor) -> Tensor:
    """[B, windows, size] -> complex [B, bins, windows]."""
    return torch.fft.rfft(windows * torch.hann_window(windows.shape[-1], device=windows.device)).mT


def log_magnitude(x: Tensor) -> Tensor:
    """Complex -> natural log, of nearly nothing a floor."""
    return 0.5 * (torch.view_as_real(x).square().sum(-1) + 1e-6).log()


def stft_loss(fake: list[Tensor], real: list[Tensor], heavy: Tensor | None = None) -> Tensor:
    """What cut() gives of both -> L1 of log magnitudes; heavy [B, F]: how much a frame inside the edges counts.

    All windows are scaled so that noise is equally loud in them.
    """
    logs = [[log_magnitude(spectrum(x) / x.shape[-1] ** 0.5) for x in windows[:-1]] for windows in (fake, real)]
    apart = [(x - y).abs().mean(1) for x, y in zip(*logs, strict=True)]
    heavy = apart[0].new_ones(len(apart[0]), 1) if heavy is None else heavy
    return torch.stack([weighted(x, F.interpolate(heavy[:, None], x.shape[-1])[:, 0]) for x in apart]).mean()


def weighted(apart: Tensor, heavy: Tensor) -> Tensor:
    """Mean of [B, F] by weights [B, F]."""
    return (apart * heavy).sum() / heavy.sum()


def log_mels(windows: list[Tensor]) -> Tensor:
    """What cut() gives -> [B, MELS, F], as features.log_mel has them."""
    magnitude = (torch.view_as_real(spectrum(windows[-1])).square().sum(-1) + 1e-9).sqrt()
    return (torch.from_numpy(mel_filters()).to(magnitude.device) @ magnitude / (FFT / 4)).clamp(min=MEL_FLOOR).log()


def mel_loss(fake: Tensor, real: Tensor, heavy: Tensor | None = None) -> Tensor:
    """log_mels of both -> their L1; heavy [B, F]: how much a frame counts."""
    apart = (fake - real).abs().mean(1)
    return apart.mean() if heavy is None else weighted(apart, heavy)


def level_loss(fake: Tensor, real: Tensor) -> Tensor:
    """log_mels of both -> L1 of how loud the frames are, nats.

    Bands whose logs are each right in the median add up to less than the teacher's: without this the voice is quieter.
    """
    return ((2 * fake).logsumexp(1) - (2 * real).logsumexp(1)).abs().mean() / 2
