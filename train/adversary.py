"""Small discriminators for the decoder's finish: periods (Kong et al., 2020) and spectrograms (Jang et al., 2021)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.losses import log_magnitude

PERIODS = (2, 3, 5, 7, 11)
SPECTRA = ((1024, 256), (256, 64))
SLOPE = 0.1


class _Stack(nn.Module):
    """Strided 2-D convolutions to one score map; also returns what each layer saw."""

    def __init__(self, shapes: tuple[tuple[int, tuple[int, int], tuple[int, int]], ...]) -> None:
        super().__init__()
        layers, width = [], 1
        for channels, kernel, stride in shapes:
            padding = (kernel[0] // 2, kernel[1] // 2)
            layers.append(nn.utils.parametrizations.weight_norm(nn.Conv2d(width, channels, kernel, stride, padding)))
            width = channels
        self.layers = nn.ModuleList(layers)
        self.last = nn.Conv2d(width, 1, (3, 1), padding=(1, 0))

    def forward(self, x: Tensor) -> list[Tensor]:
        seen = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
            seen.append(x)
        return [*seen, self.last(x)]


class Adversary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        k, s = (5, 1), (3, 1)
        self.periods = nn.ModuleList(
            _Stack(((16, k, s), (32, k, s), (64, k, s), (64, (3, 1), (1, 1)))) for _ in PERIODS
        )
        wide, step = (3, 5), (2, 1)
        self.spectra = nn.ModuleList(
            _Stack(((12, wide, step), (16, wide, (2, 2)), (32, wide, (2, 2)), (32, (3, 3), step))) for _ in SPECTRA
        )

    def forward(self, wav: Tensor) -> list[list[Tensor]]:
        """[B, samples] -> per discriminator the layers' outputs, the score map last."""
        out = []
        for period, stack in zip(PERIODS, self.periods, strict=True):
            cut = wav[:, : wav.shape[1] // period * period]
            out.append(stack(cut.unflatten(1, (-1, period)).unsqueeze(1)))
        for (size, hop), stack in zip(SPECTRA, self.spectra, strict=True):
            x = (
                torch.stft(wav, size, hop, window=torch.hann_window(size, device=wav.device), return_complex=True)
                / size**0.5
            )
            out.append(stack(log_magnitude(x).unsqueeze(1) / 3 + 1))
        return out


def judge_loss(real: list[list[Tensor]], fake: list[list[Tensor]]) -> Tensor:
    """Least squares (Mao et al., 2017): real to 1, fake to 0."""
    return torch.stack(
        [((r[-1] - 1) ** 2).mean() + (f[-1] ** 2).mean() for r, f in zip(real, fake, strict=True)]
    ).mean()


def fool_loss(real: list[list[Tensor]], fake: list[list[Tensor]]) -> tuple[Tensor, Tensor]:
    """-> adversarial loss, feature matching (L1 over the features' own size)."""
    adversarial = torch.stack([((f[-1] - 1) ** 2).mean() for f in fake]).mean()
    pairs = [(r, f) for rs, fs in zip(real, fake, strict=True) for r, f in zip(rs[:-1], fs[:-1], strict=True)]
    matching = torch.stack([(r.detach() - f).abs().mean() / r.detach().abs().mean() for r, f in pairs]).mean()
    return adversarial, matching
