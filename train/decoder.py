"""Stage 1: the decoder from scratch on the teacher's latents. `python -m train.decoder --resume`"""

import argparse
import math

import numpy as np
import torch
from torch import Tensor, nn

from models.generator import Generator
from train.common import Average, Clock, Utterance, arguments, build, corpus, keep, speakers, start
from train.fast import generate, speed_up
from train.features import CLOCK_SLICE, F0_BASE, HOP, SAMPLE_RATE, TENTS, VOICED
from train.losses import energy_loss, log_mels, mel_loss, stft_losses
from train.speakers import read_cast

FRAMES = 32  # of a training segment
PHASES = 16
BREATH = 0.7  # largest standard deviation of the noise that stands in for the clock (prosody.py)
# from step -> weights of energy, complex spectra, log magnitudes, log mels. Phase first: magnitudes lead to a hum.
PLAN = ((0, (1.0, 1.0, 0.0, 0.0)), (1_000, (0.5, 2.0, 0.5, 0.0)), (2_500, (0.1, 0.5, 1.0, 2.0)))


def breath_frames(u: Utterance) -> np.ndarray:
    """[F]: 1 in unvoiced initials, where noise stands in for the clock (prosody.breath)."""
    voiced = np.concatenate(([0], np.cumsum(u.latent[:, VOICED] > 0.5)))
    ends = np.cumsum(u.durations.numpy())
    durations, tones = u.durations.numpy(), u.tones.numpy()
    hiss = (voiced[ends] - voiced[ends - durations] <= 1) & (durations > 2) & (tones > 0)
    return np.repeat(hiss.astype(np.float32), durations)


def batch(data, step: int, size: int):
    """Segments of random utterances, the same for the same step -> latent [B, C, F], wave [B, samples], speaker [B]."""
    rng = np.random.default_rng(step)
    latents, waves, who, hiss = [], [], [], []
    while len(latents) < size:
        u = data[rng.integers(len(data))]
        if u.item.frames < FRAMES:
            continue
        start = rng.integers(u.item.frames - FRAMES + 1)
        latents.append(u.latent[start : start + FRAMES].T)
        waves.append(u.wav[start * HOP : (start + FRAMES) * HOP])
        who.append(u.item.speaker)
        hiss.append(breath_frames(u)[start : start + FRAMES] * rng.uniform(0.3 * BREATH, BREATH))
    latent = torch.from_numpy(np.stack(latents).astype(np.float32))
    noise = rng.normal(0, 1, (size, 2, FRAMES)) * np.stack(hiss)[:, None]
    latent[:, CLOCK_SLICE] += torch.from_numpy(noise.astype(np.float32))
    wave = torch.from_numpy(np.stack(waves).astype(np.float32) / 32768)
    return latent, wave, torch.tensor(who)


@torch.no_grad()
def start_from_clock(dec: Generator) -> None:
    """Begin with the fundamental turning at its own speed: from random weights a small decoder hums for long.

    A unit of conv_pre passes the clock's cosine or sine (or its negative) where its F0 tent is up. The first
    upsampling turns it through the frame at that tent's speed, cross-fading neighbouring frames; the second
    interpolates it at 16 phase offsets, half of them with a threshold, as a bank of pulses for the rest to shape.
    """
    pre, first, second = dec.conv_pre, dec.ups[0], dec.ups[1]
    centre = pre.kernel_size[0] // 2
    taps = first.kernel_size[0]
    time = (torch.arange(taps) + 0.5 - taps / 2) / first.stride[0]  # of each tap, in frames
    fade = 1 - time.abs()
    units = [(k, part, sign) for k in range(TENTS) for part in (0, 1) for sign in (1, -1)]
    for unit, (tent, part, sign) in enumerate(units):
        pre.weight[unit] *= 0.1
        pre.weight[unit, :, centre] = 0
        pre.weight[unit, CLOCK_SLICE.start + part, centre] = sign
        pre.weight[unit, tent, centre] = 1
        pre.bias[unit] = -1
        dec.cond.weight[unit] *= 0.1
        dec.cond.bias[unit] = 0
        turned = 2 * math.pi * F0_BASE * 2 ** (tent / 4) * HOP / SAMPLE_RATE * time
        cosine, sine = (turned.cos(), turned.sin()) if part == 0 else (-turned.sin(), turned.cos())
        for copy in range(0, 16, 4):  # cosine, sine and their negatives, four times
            for place, wave in enumerate((cosine, sine, -cosine, -sine)):
                first.weight[unit, copy + place] = sign * fade * wave / 1.1
    first.weight[len(units) :, :16] *= 0.1
    second.weight[:16] *= 0.05
    second.weight[16:, :PHASES] *= 0.2
    for q in range(PHASES):
        angle = 2 * math.pi * q / PHASES
        for copy in range(0, 16, 4):
            for place, amount in enumerate((math.cos(angle), math.sin(angle), -math.cos(angle), -math.sin(angle))):
                second.weight[copy + place, q] += amount * fade / 4.4
    second.bias.zero_()
    second.bias[1:PHASES:2] = -0.5


@torch.no_grad()
def level(dec: Generator, latent: Tensor, speaker: Tensor) -> None:
    """Scale each layer's weights to a set output size on a real batch; PyTorch's defaults fade along the stack."""
    layers: list[tuple[nn.Module, float]] = []
    for i, up in enumerate(dec.ups):
        layers.append((up, 1.0))
        for block in dec.resblocks[i * dec.n_kernels : (i + 1) * dec.n_kernels]:
            layers += [(conv, 0.5) for conv in block.convs]
    for layer, size in [*layers, (dec.conv_post, 0.05)]:
        if layer.bias is not None and layer is not dec.ups[1]:
            layer.bias.zero_()
        seen: list[Tensor] = []
        hook = layer.register_forward_hook(lambda _module, _inputs, output, seen=seen: seen.append(output))
        dec(latent, speaker)
        hook.remove()
        layer.weight *= size / seen[0].std()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--lr", type=float, default=1e-3)
    args = arguments(parser, "decoder.pt")
    device = args.device
    net, data = build(read_cast(args.runs / "data")).to(device), corpus("train", args.runs / "data")
    optimizer = torch.optim.AdamW(net.dec.parameters(), args.lr, betas=(0.8, 0.99), weight_decay=0.0)
    step, seconds = start(args, net, ("dec",), optimizer)
    if step < 0:
        step = 0
        net.cpu()
        start_from_clock(net.dec)
        latent, _, who = batch(data, 0, 16)
        level(net.dec, latent, speakers(net, who))
        net.to(device)
    speed_up(net.dec)
    average = Average(net.dec, args.out if step else None)
    clock, seen = Clock(seconds), []
    while step < args.steps:
        latent, wave, who = (x.to(device) for x in batch(data, step, args.batch))
        for group in optimizer.param_groups:
            group["lr"] = args.lr * 0.9999 ** max(0, step - 1_000) * min(1, (step + 1) / 50)
        fake = generate(net.dec, latent, speakers(net, who))
        parts = torch.stack(
            (energy_loss(fake, wave), *stft_losses(fake, wave), mel_loss(log_mels(fake), log_mels(wave)))
        )
        weights = next(w for start, w in reversed(PLAN) if step >= start)
        loss = (parts * torch.tensor(weights, device=device)).sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.dec.parameters(), 1.0)
        optimizer.step()
        average.update()
        seen.append(parts.tolist())
        step += 1
        say, store = clock.tick()
        if say:
            energy, near, magnitude, mel = np.mean(seen, 0)
            line = f"step {step}  energy {energy:.3f}  complex {near:.4f}  magnitude {magnitude:.3f}  mel {mel:.3f}"
            print(f"{line}  {clock.spent:.0f} s", flush=True)
            seen = []
        if store or step == args.steps:
            keep(args.out, net, ("dec",), optimizer, step, clock.spent, average=average.weights)


if __name__ == "__main__":
    main()
