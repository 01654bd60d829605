"""Stage 3: the decoder learns what the text side really gives it. `python -m train.finetune --resume`

The text side is frozen; its latents (with the prior's noise, at a random scale) are made once for part of the data.
Log magnitudes and mels are compared, initials counting more, how loud the frames are, and what the ear (ear.py) hears.
Every other batch has the teacher's pitch, so that high harmonics stand where they do in its wave.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from models.synthesizer import Synthesizer
from train.common import Average, Clock, Utterance, arguments, build, corpus, initials, keep, load, speakers, start
from train.decoder import FRAMES, MEL, sound, stack, windows
from train.ear import Ear, ear_losses, frame_labels
from train.features import HOP, PITCH_SLICE, scale_mel
from train.losses import EDGE, cut, level_loss, log_mels, mel_loss, stft_loss
from train.prosody import collate, encode, predict, text_side
from train.speakers import read_cast

NOISE = (0.0, 1.0)  # scales of the prior's noise
INITIALS = 3.0  # what a frame of an initial counts: they are short, and most of what is misheard
LEVEL = 0.5  # weight of how loud the frames are
EAR = (2.0, 0.2)  # weights of what the ear hears and of the phones it takes it for


@torch.inference_mode()
def predicted(net: Synthesizer, data: list[Utterance], device: torch.device) -> list[np.ndarray]:
    """The text side's latents at the teacher's durations: [C, F] float16 each."""
    out = {}
    order = sorted(range(len(data)), key=lambda i: data[i].item.frames)
    for i in tqdm(range(0, len(order), 8), desc="latents", mininterval=10):
        rows = order[i : i + 8]
        torch.manual_seed(i)
        batch = collate([data[k] for k in rows]).to(device)
        speaker = speakers(net, batch.speaker)
        _, mean, _ = encode(net, batch, speaker)
        z = predict(net, mean, batch, speaker, NOISE[0] + (NOISE[1] - NOISE[0]) * torch.rand(()).item())
        for k, row in zip(rows, z.cpu(), strict=True):
            out[k] = row[:, : data[k].item.frames].numpy().astype(np.float16)
    return [out[k] for k in range(len(data))]


def segments(
    data: list[Utterance], latents: list[np.ndarray], size: int, rng: np.random.Generator, device: torch.device
) -> tuple[Tensor, ...]:
    """-> latent [B, C, F], the teacher's [B, C, F], noise [B, HOP, F], speaker [B], inside the edges phones and
    weights [B, F], windows of the teacher's wave."""
    rows = []
    for k in rng.integers(len(data), size=size):
        u, start = data[k], rng.integers(data[k].item.frames - FRAMES + 1)
        segment, inside = slice(start, start + FRAMES), slice(start + EDGE, start + FRAMES - EDGE)
        latent, teacher = latents[k][:, segment].astype(np.float32), u.latent[segment].T.astype(np.float32)
        noise = rng.standard_normal((HOP, FRAMES), np.float32)
        heavy = np.repeat(np.where(initials(u.tones), INITIALS, 1).astype(np.float32), u.durations.numpy())
        who = np.array(u.item.speaker)
        rows.append((latent, teacher, noise, who, frame_labels(u)[inside], heavy[inside], *windows(u, start)))
    parts = stack(rows, device)
    return *parts[:6], parts[6:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--share", type=float, default=0.4, help="of the data to make latents of")
    parser.add_argument("--seed", type=int, default=0, help="another one gives another order of the data")
    parser.add_argument("--prosody", type=Path, help="text side (RUNS/prosody.pt)")
    parser.add_argument("--decoder", type=Path, help="where to start (RUNS/decoder.pt)")
    args = arguments(parser, "finetune.pt")
    device = args.device
    net = build(read_cast(args.runs / "data")).to(device)
    optimizer = torch.optim.AdamW(net.dec.parameters(), args.lr, betas=(0.8, 0.99), weight_decay=0.0)
    step, seconds = start(args, net, ("dec",), optimizer)
    if step < 0:
        before = load(args.decoder or args.runs / "decoder.pt")
        net.dec.load_state_dict(before["average"])
        step, seconds = 0, before["seconds"]
    text_side(net, args)
    ear = Ear.load(args.runs / "ear.pt").to(device)
    rng = np.random.default_rng([99, args.seed])
    data = [
        u for u in corpus("train", args.runs / "data") if FRAMES <= u.item.frames <= 800 and rng.random() < args.share
    ]
    latents = predicted(net, data, device)
    average = Average(net.dec, args.out if step else None, decay=0.998)
    clock, seen = Clock(seconds), []
    while step < args.steps:
        rng = np.random.default_rng([step, args.seed])
        latent, teacher, noise, who, phones, heavy, real = segments(data, latents, args.batch, rng, device)
        if step % 2:
            latent[:, PITCH_SLICE] = teacher[:, PITCH_SLICE]
        for group in optimizer.param_groups:
            group["lr"] = args.lr * min(1, (step + 1) / 50) * (1 - 0.9 * step / args.steps)
        fake = cut(sound(net, latent, noise, who))
        mels, real_mels = log_mels(fake), log_mels(real)
        magnitude, mel = stft_loss(fake, real, heavy), mel_loss(mels, real_mels, heavy)
        heard, misheard = ear_losses(ear, scale_mel(mels), scale_mel(real_mels), phones)
        level = level_loss(mels, real_mels)
        loss = magnitude + MEL * mel + LEVEL * level + EAR[0] * heard + EAR[1] * misheard
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.dec.parameters(), 1.0)
        optimizer.step()
        average.update()
        seen.append((magnitude.item(), mel.item(), level.item(), heard.item(), misheard.item()))
        step += 1
        say, store = clock.tick()
        if say:
            names = ("stft", "mel", "level", "heard", "misheard")
            line = "  ".join(f"{name} {value:.4f}" for name, value in zip(names, np.mean(seen, 0), strict=True))
            print(f"step {step}  {line}  {clock.spent:.0f} s", flush=True)
            seen = []
        if store or step == args.steps:
            keep(args.out, net, ("dec",), optimizer, step, clock.spent, average=average.weights)


if __name__ == "__main__":
    main()
