"""Stage 3: the decoder learns what the text side really gives it. `python -m train.finetune --resume`

The text side is frozen; its latents (with the prior's noise, at a random scale) are made once for part of the data.
The predicted clock starts where it likes, so only magnitudes can be compared: log-STFT and mel. With --adversary
discriminators join in, as the last step.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from models.synthesizer import Synthesizer
from train.adversary import Adversary, fool_loss, judge_loss
from train.common import Average, Clock, Utterance, build, corpus, keep, load, options, save, speakers, start
from train.data import RUNS
from train.decoder import batch as teacher_batch
from train.decoder import breath_frames
from train.fast import generate, speed_up
from train.features import HOP
from train.losses import mel_loss, stft_losses
from train.prosody import PARTS, collate, encode, predict

FRAMES = 40  # of a training segment
TEACHER_EVERY = 4  # steps: a batch of the teacher's own latents keeps the phases in order
NOISE = (0.3, 1.0)  # scales of the prior's noise: without any, breath can only repeat itself
JUDGED = 4  # segments of a batch that the discriminators hear
ADVERSARY = 0.15  # weight of what the discriminators say, beside mel and log-STFT


def repeat_loss(fake: Tensor, hiss: Tensor) -> Tensor:
    """Likeness of a frame to the next two where there is breath: [B, F * HOP], [B, F].

    From latents that hardly change a decoder makes the same noise in each frame, which is a buzz at 86 Hz.
    """
    x = fake.unflatten(1, (-1, HOP))
    total = fake.new_zeros(())
    for k in (1, 2):
        a, b, both = x[:, k:], x[:, :-k], hiss[:, k:] * hiss[:, :-k]
        likeness = (a * b).sum(2) / (a.square().sum(2) * b.square().sum(2) + 1e-6).sqrt()
        total = total + (likeness.abs() * both).sum() / both.sum().clamp(min=1)
    return total / 2


@torch.inference_mode()
def predicted(net: Synthesizer, data: list[Utterance]) -> list[np.ndarray]:
    """The text side's latents at the teacher's durations: [C, F] float16 each."""
    out = {}
    order = sorted(range(len(data)), key=lambda i: data[i].item.frames)
    for i in tqdm(range(0, len(order), 8), desc="latents", mininterval=10):
        rows = order[i : i + 8]
        torch.manual_seed(i)
        batch = collate([data[k] for k in rows])
        speaker = speakers(net, batch.speaker)
        _, mean, _ = encode(net, batch, speaker)
        z = predict(net, mean, batch, speaker, NOISE[0] + (NOISE[1] - NOISE[0]) * torch.rand(()).item())
        for k, row in zip(rows, z, strict=True):
            out[k] = row[:, : data[k].item.frames].numpy().astype(np.float16)
    return [out[k] for k in range(len(data))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--share", type=float, default=0.4, help="of the data to make latents of")
    parser.add_argument("--seed", type=int, default=0, help="another one gives another order of the data")
    parser.add_argument("--adversary", action="store_true", help="add discriminators, kept beside --out")
    parser.add_argument("--prosody", type=Path, default=RUNS / "prosody.pt")
    parser.add_argument("--decoder", type=Path, default=RUNS / "decoder.pt")
    options(parser, RUNS / "finetune.pt")
    args = parser.parse_args()
    torch.set_num_threads(1)
    net = build()
    optimizer = torch.optim.AdamW(net.dec.parameters(), args.lr, betas=(0.8, 0.99), weight_decay=0.0)
    step, seconds = start(args, net, ("dec",), optimizer)
    if step < 0:
        before = load(args.decoder)
        net.dec.load_state_dict(before["average"])
        step, seconds = 0, before["seconds"]
    if not args.voice or args.prosody.exists():
        prosody = load(args.prosody)
        for part in PARTS:
            net.get_submodule(part).load_state_dict(prosody[part])
    judges = Adversary() if args.adversary else None
    if judges:
        judging = torch.optim.AdamW(judges.parameters(), 4e-4, betas=(0.8, 0.99))
        judges_out = args.out.with_suffix(".judges.pt")
        if args.resume and judges_out.exists():
            state = load(judges_out)
            judges.load_state_dict(state["judges"])
            judging.load_state_dict(state["optimizer"])
    rng = np.random.default_rng([99, args.seed])
    data = [u for u in corpus("train") if FRAMES <= u.item.frames <= 800 and rng.random() < args.share]
    latents = predicted(net, data)
    speed_up(net.dec)
    average = Average(net.dec, args.out if step else None)
    clock, seen = Clock(seconds), []
    while step < args.steps:
        rng = np.random.default_rng([step, args.seed])
        chosen = rng.integers(len(data), size=args.batch)
        starts = [rng.integers(data[k].item.frames - FRAMES + 1) for k in chosen]
        z = np.stack([latents[k][:, s : s + FRAMES] for k, s in zip(chosen, starts, strict=True)])
        wav = np.stack([data[k].wav[s * HOP : (s + FRAMES) * HOP] for k, s in zip(chosen, starts, strict=True)])
        real = torch.from_numpy(wav.astype(np.float32) / 32768)
        who = torch.tensor([data[k].item.speaker for k in chosen])
        for group in optimizer.param_groups:
            group["lr"] = args.lr * min(1, (step + 1) / 50) * (1 - 0.9 * step / args.steps)
        fake = generate(net.dec, torch.from_numpy(z.astype(np.float32)), speakers(net, who))
        near, mel = stft_losses(fake, real)[1], mel_loss(fake, real)
        hiss = np.stack([breath_frames(data[k])[s : s + FRAMES] for k, s in zip(chosen, starts, strict=True)])
        repeat = repeat_loss(fake, torch.from_numpy(hiss))
        loss = near + 2 * mel + repeat
        scores = (0.0, 0.0, 0.0)
        if judges:
            heard = judges(real[:JUDGED])
            caught = judge_loss(heard, judges(fake[:JUDGED].detach()))
            judging.zero_grad()
            caught.backward()
            judging.step()
            judges.requires_grad_(False)
            fooled, matching = fool_loss(heard, judges(fake[:JUDGED]))
            judges.requires_grad_(True)
            loss = loss + ADVERSARY * (fooled + 2 * matching)
            scores = (caught.item(), fooled.item(), matching.item())
        if step % TEACHER_EVERY == 0:
            latent, wave, who = teacher_batch(data, step + 1_000_000 * args.seed, args.batch)
            phase, magnitude = stft_losses(generate(net.dec, latent, speakers(net, who)), wave)
            loss = loss + 2 * phase + magnitude
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.dec.parameters(), 1.0)
        optimizer.step()
        average.update()
        seen.append((near.item(), mel.item(), repeat.item(), *scores))
        step += 1
        say, store = clock.tick()
        if say:
            names = ("stft", "mel", "repeat", "caught", "fooled", "matching")
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
