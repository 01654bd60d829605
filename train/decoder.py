"""Stage 1: the decoder on the teacher's latents. `python -m train.decoder --resume`"""

import argparse
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from models.filter import Filter
from models.source import driven
from models.synthesizer import Synthesizer
from train.common import Average, Clock, Utterance, arguments, build, corpus, keep, speakers, start
from train.features import HOP
from train.losses import cut, cut_at, log_mels, mel_loss, stft_loss
from train.speakers import read_cast

FRAMES = 40  # of a training segment
MEL = 2.0  # weight of the mels' distance, beside that of short spectra
QUIET = (-1.5, -5.0)  # log magnitudes of pulses and noise that training begins with


def sound(net: Synthesizer, latent: Tensor, noise: Tensor, who: Tensor) -> Tensor:
    """Latent [B, C, F], noise [B, HOP, F], speakers [B] -> wave [B, F * HOP]."""
    given = driven(latent, noise, net.config.pitch, net.config.sampling_rate)
    return net.dec(given, speakers(net, who)).flatten(1)


def windows(u: Utterance, start: int) -> list[np.ndarray]:
    """The teacher's wave under a segment's frames, as losses.cut() has the decoder's."""
    return cut_at(u.wav / np.float32(32768), u.sample(start + np.arange(FRAMES * HOP) / HOP))


def stack(columns: Iterable[Iterable[np.ndarray]], device: torch.device) -> list[Tensor]:
    """Segments' parts -> a tensor of each."""
    return [torch.from_numpy(np.stack(column)).to(device) for column in zip(*columns, strict=True)]


def batch(data: list[Utterance], step: int, size: int, device: torch.device) -> tuple[Tensor, ...]:
    """Segments of random utterances, the same for the same step -> latent [B, C, F], noise [B, HOP, F],
    speaker [B], windows of the teacher's wave."""
    rng = np.random.default_rng(step)
    rows = []
    for k in rng.integers(len(data), size=size):
        start = rng.integers(data[k].item.frames - FRAMES + 1)
        latent = data[k].latent[start : start + FRAMES].T.astype(np.float32)
        noise = rng.standard_normal((HOP, FRAMES), np.float32)
        rows.append((latent, noise, np.array(data[k].item.speaker), *windows(data[k], start)))
    latent, noise, who, *real = stack(rows, device)
    return latent, noise, who, real


@torch.no_grad()
def level(dec: Filter) -> None:
    """Begin with filters that are flat and about as loud as speech."""
    dec.conv_post.weight.mul_(0.1)
    level = torch.cat([torch.full((bins,), quiet) for bins, quiet in zip(dec.bins, QUIET, strict=True)])
    dec.conv_post.bias.copy_(level.repeat(dec.rates[0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=1e-3)
    args = arguments(parser, "decoder.pt")
    device = args.device
    net = build(read_cast(args.runs / "data"))
    data = [u for u in corpus("train", args.runs / "data") if u.item.frames >= FRAMES]
    level(net.dec)
    net.to(device)
    optimizer = torch.optim.AdamW(net.dec.parameters(), args.lr, betas=(0.8, 0.99), weight_decay=0.0)
    step, seconds = start(args, net, ("dec",), optimizer)
    step = max(0, step)
    average = Average(net.dec, args.out if step else None, decay=0.998)
    clock, seen = Clock(seconds), []
    while step < args.steps:
        latent, noise, who, real = batch(data, step, args.batch, device)
        for group in optimizer.param_groups:
            group["lr"] = args.lr * min(1, (step + 1) / 50) * (1 - 0.9 * step / args.steps)
        fake = cut(sound(net, latent, noise, who))
        parts = torch.stack((stft_loss(fake, real), mel_loss(log_mels(fake), log_mels(real))))
        loss = parts[0] + MEL * parts[1]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.dec.parameters(), 1.0)
        optimizer.step()
        average.update()
        seen.append(parts.tolist())
        step += 1
        say, store = clock.tick()
        if say:
            magnitude, mel = np.mean(seen, 0)
            print(f"step {step}  magnitude {magnitude:.3f}  mel {mel:.3f}  {clock.spent:.0f} s", flush=True)
            seen = []
        if store or step == args.steps:
            keep(args.out, net, ("dec",), optimizer, step, clock.spent, average=average.weights)


if __name__ == "__main__":
    main()
