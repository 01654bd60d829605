"""Distances between waves."""

import torch
import torch.nn.functional as F
from torch import Tensor

from train.features import FFT, HOP, MEL_FLOOR, mel_filters

MEL_FILTERS = torch.from_numpy(mel_filters())
RESOLUTIONS = ((256, 64), (768, 192), (2048, 512))


def log_spectra(wav: Tensor) -> list[Tensor]:
    """[B, samples] -> log magnitudes [B, bins, frames] for each resolution, scaled so that noise is equal in all."""
    out = []
    for size, hop in RESOLUTIONS:
        x = torch.stft(wav, size, hop, window=torch.hann_window(size, device=wav.device), return_complex=True)
        out.append(log_magnitude(x / size**0.5))
    return out


def log_magnitude(x: Tensor) -> Tensor:
    """Complex -> natural log, of nearly nothing a floor."""
    return 0.5 * (torch.view_as_real(x).square().sum(-1) + 1e-6).log()


def stft_loss(fake: Tensor, real: Tensor, heavy: Tensor | None = None) -> Tensor:
    """Both [B, samples] -> L1 of log magnitudes; heavy [B, F]: how much a frame counts."""
    apart = [(x - y).abs().mean(1) for x, y in zip(log_spectra(fake), log_spectra(real), strict=True)]
    heavy = fake.new_ones(len(fake), 1) if heavy is None else heavy
    return torch.stack([weighted(x, F.interpolate(heavy[:, None], x.shape[-1])[:, 0]) for x in apart]).mean()


def weighted(apart: Tensor, heavy: Tensor) -> Tensor:
    """Mean of [B, F] by weights [B, F]."""
    return (apart * heavy).sum() / heavy.sum()


def log_mels(wav: Tensor) -> Tensor:
    """[B, F * HOP] -> [B, MELS, F], what features.log_mel gives but for the edges, where the wave is mirrored."""
    edge = (FFT - HOP) // 2
    x = F.pad(wav.unsqueeze(1), (edge, edge), mode="reflect").squeeze(1)
    window = torch.hann_window(FFT, device=wav.device)
    x = torch.stft(x, FFT, HOP, window=window, return_complex=True, center=False)
    magnitude = (torch.view_as_real(x).square().sum(-1) + 1e-9).sqrt()
    return (MEL_FILTERS.to(wav.device) @ magnitude / (FFT / 4)).clamp(min=MEL_FLOOR).log()


def mel_loss(fake: Tensor, real: Tensor, heavy: Tensor | None = None) -> Tensor:
    """log_mels of both -> their L1; heavy [B, F]: how much a frame counts."""
    apart = (fake - real).abs().mean(1)
    return apart.mean() if heavy is None else weighted(apart, heavy)
