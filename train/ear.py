"""What stages 2 and 3 listen with: a classifier of phones, frame by frame, on the teacher's mels. `python -m train.ear`

It hears both kinds of mels: the latent's envelopes, and those of the wave itself.

Its layers' outputs are compared for the decoder's sound and the teacher's (a perceptual loss, Johnson et al., 2016), so
that what tells phones apart counts for more than its share of decibels. It hears the voice's own speakers and knows
nothing of the judge (recognise.py), which is trained on others, with other features and another loss.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from text.symbols import SYMBOLS_V2
from train.common import Clock, Utterance, arguments, corpus, initials, load, save
from train.features import MEL_SLICE, MELS, log_mel, scale_mel

WIDTH = 160
FRAMES = 96  # of a training segment
DILATIONS = (1, 1, 2, 4, 1)


def frame_labels(u: Utterance) -> np.ndarray:
    """[F]: the phone of each frame; 0 in pauses. A final's blanks are its own thirds, so they have its label."""
    phones, spoken = u.phones.numpy().copy(), u.tones.numpy() > 0
    finals = np.flatnonzero(spoken & ~initials(u.tones).numpy())
    phones[finals - 1] = phones[finals + 1] = phones[finals]
    speech = spoken.copy()
    speech[1:] |= spoken[:-1]
    speech[:-1] |= spoken[1:]
    return np.repeat(np.where(speech, phones, 0), u.durations.numpy())


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
        heard = []
        for layer in self.layers:
            mel = layer(mel)
            heard.append(mel)
        return [*heard, self.last(F.dropout(mel, 0.1, self.training))]

    @classmethod
    def load(cls, path: Path) -> "Ear":
        ear = cls()
        ear.load_state_dict(load(path)["ear"])
        return ear.eval().requires_grad_(False)


def ear_losses(ear: Ear, fake: Tensor, real: Tensor, phones: Tensor) -> tuple[Tensor, Tensor]:
    """Scaled log-mels of both [B, MELS, F], phones [B, F] -> L1 of what is heard over its size, cross entropy."""
    *heard, scores = ear(fake)
    with torch.no_grad():
        *wanted, _ = ear(real)
    apart = [(a - b).abs().mean() / b.abs().mean().clamp(min=1e-3) for a, b in zip(heard, wanted, strict=True)]
    return torch.stack(apart).mean(), F.cross_entropy(scores, phones)


def augment(mel: Tensor, generator: np.random.Generator) -> Tensor:
    """Noise, an equaliser, loudness and a hidden band: [B, MELS, F]."""
    size = len(mel)
    tilt = generator.normal(0, 0.15, (size, 6, 1)).astype(np.float32)
    tilt = F.interpolate(torch.from_numpy(tilt).mT, MELS, mode="linear", align_corners=True).mT
    amount = torch.from_numpy(generator.uniform(0, 0.3, (size, 1, 1)).astype(np.float32))
    noise = torch.from_numpy(generator.standard_normal(mel.shape).astype(np.float32))
    out = mel + (tilt + amount * noise.to(mel.device).cpu()).to(mel.device)
    low = generator.integers(MELS - 10)
    out[: size // 2, low : low + generator.integers(10)] = 0
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--batch", type=int, default=24, help="segments")
    args = arguments(parser, "ear.pt", voice=False)
    device = args.device
    torch.manual_seed(1)
    ear = Ear().to(device)
    optimizer = torch.optim.AdamW(ear.parameters(), 2e-3, weight_decay=1e-2)
    step, seconds = 0, 0.0
    if args.resume and args.out.exists():
        state = load(args.out)
        ear.load_state_dict(state["ear"])
        optimizer.load_state_dict(state["optimizer"])
        step, seconds = state["step"], state["seconds"]
    data = [u for u in corpus("train", args.runs / "data") if u.item.frames >= FRAMES]
    clock, seen = Clock(seconds), []
    while step < args.steps:
        rng = np.random.default_rng([7, step])
        mels, phones = [], []
        for k in rng.integers(len(data), size=args.batch):
            start = rng.integers(data[k].item.frames - FRAMES + 1)
            cut = slice(start, start + FRAMES)
            u = data[k]
            mel = u.latent[cut, MEL_SLICE] if rng.random() < 0.5 else scale_mel(log_mel(u.wav / 32768, u.centres[cut]))
            mels.append(mel.T.astype(np.float32))
            phones.append(frame_labels(data[k])[cut])
        mel, wanted = torch.from_numpy(np.stack(mels)), torch.from_numpy(np.stack(phones)).to(device)
        scores = ear(augment(mel, rng).to(device))[-1]
        loss = F.cross_entropy(scores, wanted)
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 100) * (1 - 0.95 * step / args.steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        spoken = wanted > 0
        seen.append((loss.item(), (scores.argmax(1) == wanted)[spoken].float().mean().item()))
        step += 1
        say, store = clock.tick()
        if say or step == args.steps:
            entropy, right = np.mean(seen, 0)
            print(f"step {step}  entropy {entropy:.3f}  right {right:.3f}  {clock.spent:.0f} s", flush=True)
            seen = []
        if store or step == args.steps:
            save(args.out, ear=ear.state_dict(), optimizer=optimizer.state_dict(), step=step, seconds=clock.spent)


if __name__ == "__main__":
    main()
