"""Stage 3: the decoder learns what the text side really gives it. `python -m train.finetune --resume`

The text side is frozen; its latents (with the prior's noise, at a random scale) are made once for part of the data.
Log magnitudes and mels are compared, initials counting more, and what the ear (ear.py) hears. Every other batch has the
teacher's pitch, so that high harmonics stand where they do in its wave. With --adversary discriminators join in, as the
last step.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from models.synthesizer import Synthesizer
from train.adversary import Adversary, fool_loss, judge_loss
from train.common import Average, Clock, Utterance, arguments, build, corpus, keep, load, save, speakers, start
from train.decoder import EDGE, MEL, inner, sound
from train.ear import Ear, ear_losses, frame_labels
from train.features import HOP, PITCH_SLICE, scale_mel
from train.losses import log_mels, mel_loss, stft_loss
from train.prosody import collate, encode, predict, text_side
from train.speakers import read_cast

FRAMES = 40  # of a training segment
NOISE = (0.0, 1.0)  # scales of the prior's noise
INITIALS = 3.0  # what a frame of an initial counts: they are short, and most of what is misheard
EAR = (2.0, 0.2)  # weights of what the ear hears and of the phones it takes it for
JUDGED = 4  # segments of a batch that the discriminators hear
ADVERSARY = 0.15  # weight of what the discriminators say, beside mel and log-STFT


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


def segments(data: list[Utterance], latents: list[np.ndarray], size: int, rng: np.random.Generator, device):
    """-> latent [B, C, F], the teacher's [B, C, F], wave [B, samples], speaker [B], phones [B, F], weights [B, F]."""
    columns = [], [], [], [], [], []
    for k in rng.integers(len(data), size=size):
        start = rng.integers(data[k].item.frames - FRAMES + 1)
        cut = slice(start, start + FRAMES)
        first = data[k].tones.numpy() > 0
        first &= first.cumsum() % 2 == 1  # of a syllable's two phones
        columns[0].append(latents[k][:, cut].astype(np.float32))
        columns[1].append(data[k].latent[cut].T.astype(np.float32))
        columns[2].append(data[k].wav[start * HOP : (start + FRAMES) * HOP].astype(np.float32) / 32768)
        columns[3].append(data[k].item.speaker)
        columns[4].append(frame_labels(data[k])[cut])
        columns[5].append(np.repeat(np.where(first, INITIALS, 1).astype(np.float32), data[k].durations.numpy())[cut])
    return tuple(torch.from_numpy(np.stack(column)).to(device) for column in columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--share", type=float, default=0.4, help="of the data to make latents of")
    parser.add_argument("--seed", type=int, default=0, help="another one gives another order of the data")
    parser.add_argument("--adversary", action="store_true", help="add discriminators, kept beside --out")
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
    judges = Adversary().to(device) if args.adversary else None
    if judges:
        judging = torch.optim.AdamW(judges.parameters(), 4e-4, betas=(0.8, 0.99))
        judges_out = args.out.with_suffix(".judges.pt")
        if args.resume and judges_out.exists():
            state = load(judges_out)
            judges.load_state_dict(state["judges"])
            judging.load_state_dict(state["optimizer"])
    rng = np.random.default_rng([99, args.seed])
    data = [
        u for u in corpus("train", args.runs / "data") if FRAMES <= u.item.frames <= 800 and rng.random() < args.share
    ]
    latents = predicted(net, data, device)
    average = Average(net.dec, args.out if step else None, decay=0.998)
    clock, seen = Clock(seconds), []
    while step < args.steps:
        rng = np.random.default_rng([step, args.seed])
        latent, teacher, real, who, phones, heavy = segments(data, latents, args.batch, rng, device)
        noise = torch.from_numpy(rng.standard_normal((args.batch, HOP, FRAMES), np.float32)).to(device)
        if step % 2:
            latent[:, PITCH_SLICE] = teacher[:, PITCH_SLICE]
        for group in optimizer.param_groups:
            group["lr"] = args.lr * min(1, (step + 1) / 50) * (1 - 0.9 * step / args.steps)
        fake, real = inner(sound(net, latent, noise, who)), inner(real)
        mels, real_mels = log_mels(fake), log_mels(real)
        heavy, phones = heavy[:, EDGE:-EDGE], phones[:, EDGE:-EDGE]
        magnitude, mel = stft_loss(fake, real, heavy), mel_loss(mels, real_mels, heavy)
        heard, misheard = ear_losses(ear, scale_mel(mels), scale_mel(real_mels), phones)
        loss = magnitude + MEL * mel + EAR[0] * heard + EAR[1] * misheard
        scores = (0.0, 0.0, 0.0)
        if judges:
            kept = judges(real[:JUDGED])
            caught = judge_loss(kept, judges(fake[:JUDGED].detach()))
            judging.zero_grad()
            caught.backward()
            judging.step()
            judges.requires_grad_(False)
            fooled, matching = fool_loss(kept, judges(fake[:JUDGED]))
            judges.requires_grad_(True)
            loss = loss + ADVERSARY * (fooled + 2 * matching)
            scores = (caught.item(), fooled.item(), matching.item())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.dec.parameters(), 1.0)
        optimizer.step()
        average.update()
        seen.append((magnitude.item(), mel.item(), heard.item(), misheard.item(), *scores))
        step += 1
        say, store = clock.tick()
        if say:
            names = ("stft", "mel", "heard", "misheard", "caught", "fooled", "matching")
            line = "  ".join(
                f"{name} {value:.4f}" for name, value in zip(names, np.mean(seen, 0), strict=True) if value
            )
            print(f"step {step}  {line}  {clock.spent:.0f} s", flush=True)
            seen = []
        if store or step == args.steps:
            keep(args.out, net, ("dec",), optimizer, step, clock.spent, average=average.weights)
            if judges:
                save(judges_out, judges=judges.state_dict(), optimizer=judging.state_dict())


if __name__ == "__main__":
    main()
