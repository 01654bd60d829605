"""What stages 2 and 3 listen with: a classifier of phones, frame by frame, on the teacher's mels. `python -m train.ear`

It hears both kinds of mels: the latent's envelopes, and those of the wave itself.

Its layers' outputs are compared for the decoder's sound and the teacher's (a perceptual loss, Johnson et al., 2016), so
that what tells phones apart counts for more than its share of decibels. It hears the voice's own speakers and knows
nothing of the judge (recognise.py), which is trained on others, with other features and another loss.
"""

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from text.symbols import SYMBOLS_V2
from train.common import Utterance, corpus, in_syllables, initials
from train.features import MEL_SLICE, MELS, log_mel, scale_mel
from train.loop import Run, load, stage_options, warm_up

WIDTH = 160
FRAMES = 96  # of a training segment
DILATIONS = (1, 1, 2, 4, 1)


def frame_labels(u: Utterance) -> np.ndarray:
    """[F]: the phone of each frame; 0 in pauses. A final's blanks are its own thirds, so they have its label."""
    phones = u.phones.numpy().copy()
    finals = np.flatnonzero((u.tones > 0) & ~initials(u.tones))
    phones[finals - 1] = phones[finals + 1] = phones[finals]
    return np.repeat(np.where(in_syllables(u.tones), phones, 0), u.durations.numpy())


class Ear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers, width = nn.ModuleList(), MELS
        for dilation in DILATIONS:
            conv = nn.Conv1d(width, WIDTH, 5, dilation=dilation, padding=2 * dilation)
            self.layers.append(nn.Sequential(conv, nn.BatchNorm1d(WIDTH), nn.ReLU()))
            width = WIDTH
        self.last = nn.Conv1d(WIDTH, len(SYMBOLS_V2), 1)

    def forward(self, mel: Tensor) -> list[Tensor]:
        """Scaled log-mels [B, MELS, F] -> what each layer hears, and at last the phones' scores [B, symbols, F]."""
        outputs = []
        for layer in self.layers:
            mel = layer(mel)
            outputs.append(mel)
        return [*outputs, self.last(F.dropout(mel, 0.1, self.training))]

    @classmethod
    def load(cls, path: Path) -> "Ear":
        ear = cls()
        ear.load_state_dict(load(path)["ear"])
        return ear.eval().requires_grad_(False)


def ear_losses(ear: Ear, fake: Tensor, real: Tensor, phones: Tensor) -> tuple[Tensor, Tensor]:
    """Scaled log-mels of both [B, MELS, F], phones [B, F] -> L1 of what is heard over its size, cross entropy."""
    *layers, scores = ear(fake)
    with torch.no_grad():
        *goals, _ = ear(real)
    apart = [(a - b).abs().mean() / b.abs().mean().clamp(min=1e-3) for a, b in zip(layers, goals, strict=True)]
    return torch.stack(apart).mean(), F.cross_entropy(scores, phones)


def augment(mel: Tensor, rng: np.random.Generator) -> Tensor:
    """Noise, an equaliser, loudness and a hidden band: [B, MELS, F]."""
    size = len(mel)
    bends = torch.from_numpy(rng.normal(0, 0.15, (size, 6, 1)).astype(np.float32))
    tilt = F.interpolate(bends.mT, MELS, mode="linear", align_corners=True).mT
    amount = torch.from_numpy(rng.uniform(0, 0.3, (size, 1, 1)).astype(np.float32))
    out = mel + (tilt + amount * torch.from_numpy(rng.standard_normal(mel.shape).astype(np.float32)))
    low = rng.integers(MELS - 10)
    out[: size // 2, low : low + rng.integers(10)] = 0
    return out


def segments(data: list[Utterance], rng: np.random.Generator, size: int) -> tuple[Tensor, Tensor]:
    """-> scaled log-mels [B, MELS, FRAMES], half of them envelopes, and the phone of each frame [B, FRAMES]."""
    mels, phones = [], []
    for k in rng.integers(len(data), size=size):
        u, start = data[k], rng.integers(data[k].item.frames - FRAMES + 1)
        cut = slice(start, start + FRAMES)
        mel = u.latent[cut, MEL_SLICE] if rng.random() < 0.5 else scale_mel(log_mel(u.wav / 32768, u.centres[cut]))
        mels.append(mel.T.astype(np.float32))
        phones.append(frame_labels(u)[cut])
    return torch.from_numpy(np.stack(mels)), torch.from_numpy(np.stack(phones))


def main() -> None:
    args = stage_options(__doc__, "ear.pt", voice=False, steps=2_000, batch=24, lr=2e-3)
    torch.manual_seed(1)
    ear = Ear().to(args.device)
    run = Run(args, {"ear": ear}, torch.optim.AdamW(ear.parameters(), args.lr, weight_decay=1e-2))
    data = [u for u in corpus("train", args.runs / "data") if u.item.frames >= FRAMES]

    def learn(step: int) -> tuple[Tensor, dict[str, Tensor]]:
        rng = np.random.default_rng([7, step])
        mel, phones = segments(data, rng, args.batch)
        scores, phones = ear(augment(mel, rng).to(args.device))[-1], phones.to(args.device)
        loss = F.cross_entropy(scores, phones)
        return loss, {"entropy": loss, "right": (scores.argmax(1) == phones)[phones > 0].float().mean()}

    run.loop(learn, warm_up(args, 100, 0.95), clip=math.inf)


if __name__ == "__main__":
    main()
