"""Stage 1: the decoder from scratch on the teacher's latents. `python -m train.decoder --resume`"""

import argparse
import math

import numpy as np
import torch
from torch import Tensor, nn

from models.generator import Generator
from models.source import Pitch, driven, pulses, turns
from train.common import Average, Clock, arguments, build, corpus, keep, speakers, start
from train.fast import generate, speed_up
from train.features import CLOCK_SLICE, HOP, PITCH, SAMPLE_RATE
from train.losses import log_mels, mel_loss, stft_losses
from train.speakers import read_cast

FRAMES = 32  # of a training segment
WEIGHTS = (0.5, 1.0, 2.0)  # of complex spectra, log magnitudes, log mels


def with_source(latent: Tensor, noise: Tensor, real: Tensor | None = None) -> Tensor:
    """What the decoder takes: a latent [B, C, F] and noise [B, HOP, F] -> [B, C + 2 * HOP, F].

    real: the teacher's latent, whose clock says where the pulses stand in its wave; without, they start anywhere.
    """
    pitch = Pitch(**PITCH)
    if real is None:
        return driven(latent, noise, pitch, SAMPLE_RATE)
    cosine, sine = real[:, CLOCK_SLICE].double().unbind(1)
    phase = torch.atan2(sine, cosine) / (2 * math.pi)
    train = pulses(turns(latent, pitch, HOP, SAMPLE_RATE), phase, HOP, SAMPLE_RATE)
    return torch.cat((latent, train, noise), dim=1)


def batch(data, step: int, size: int):
    """Segments of random utterances, the same for the same step -> latent and source [B, C + 2 * HOP, F], wave
    [B, samples], speaker [B]."""
    rng = np.random.default_rng(step)
    latents, waves, who = [], [], []
    while len(latents) < size:
        u = data[rng.integers(len(data))]
        if u.item.frames < FRAMES:
            continue
        start = rng.integers(u.item.frames - FRAMES + 1)
        latents.append(u.latent[start : start + FRAMES].T)
        waves.append(u.wav[start * HOP : (start + FRAMES) * HOP])
        who.append(u.item.speaker)
    latent = torch.from_numpy(np.stack(latents).astype(np.float32))
    noise = torch.from_numpy(rng.standard_normal((size, HOP, FRAMES), np.float32))
    wave = torch.from_numpy(np.stack(waves).astype(np.float32) / 32768)
    return with_source(latent, noise, latent), wave, torch.tensor(who)


@torch.no_grad()
def level(dec: Generator, latent: Tensor, speaker: Tensor) -> None:
    """Scale each layer's weights to a set output size on a real batch; PyTorch's defaults fade along the stack."""
    layers: list[tuple[nn.Module, float]] = []
    for i, up in enumerate(dec.ups):
        layers.append((up, 1.0))
        for block in dec.resblocks[i * dec.n_kernels : (i + 1) * dec.n_kernels]:
            layers += [(conv, 0.5) for conv in block.convs]
    for layer, size in [*layers, (dec.conv_post, 0.05)]:
        if layer.bias is not None:
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
        parts = torch.stack((*stft_losses(fake, wave), mel_loss(log_mels(fake), log_mels(wave))))
        loss = (parts * torch.tensor(WEIGHTS, device=device)).sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.dec.parameters(), 1.0)
        optimizer.step()
        average.update()
        seen.append(parts.tolist())
        step += 1
        say, store = clock.tick()
        if say:
            near, magnitude, mel = np.mean(seen, 0)
            line = f"step {step}  complex {near:.4f}  magnitude {magnitude:.3f}  mel {mel:.3f}"
            print(f"{line}  {clock.spent:.0f} s", flush=True)
            seen = []
        if store or step == args.steps:
            keep(args.out, net, ("dec",), optimizer, step, clock.spent, average=average.weights)


if __name__ == "__main__":
    main()
