"""Stage 2, beside stage 1: text encoder, durations and flow towards the latent. `python -m train.prosody --resume`

First the encoder alone (the flow bypassed), then the flow on.
"""

import argparse
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.checkpoint import load_checkpoint
from models.synthesizer import Synthesizer
from train.common import Clock, Utterance, arguments, build, corpus, initials, keep, load, speakers, start
from train.ear import Ear, ear_losses, frame_labels
from train.features import CHANNELS, LOG2_F0, MEL_SLICE, PITCH_SLICE
from train.speakers import EMOTIONS, read_cast


def prior_std() -> Tensor:
    """Standard deviation of each channel of the prior [C]: a little life in the mels, next to none in F0."""
    std = torch.full((CHANNELS,), 0.02)
    std[MEL_SLICE], std[LOG2_F0] = 0.1, 0.004
    return std


PRIOR_STD = prior_std()
EAR_WEIGHT = 0.5
LONGEST = 900  # frames; attention costs their square
PARTS = ("enc_p", "dp", "flow")


@dataclass(frozen=True)
class Batch:
    """Some utterances side by side, padded."""

    phones: Tensor  # [B, T]
    tones: Tensor
    words: Tensor
    durations: Tensor  # [B, T], 0 in the padding
    mask: Tensor  # [B, 1, T]
    speaker: Tensor  # [B]
    emotion: Tensor  # [B, E], one-hot
    rate: Tensor  # [B]
    latent: Tensor  # [B, C, F]
    frame_mask: Tensor  # [B, 1, F]
    heard: Tensor  # [B, F], the phone of each frame (ear.py), -100 in the padding

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


def collate(rows: list[Utterance]) -> Batch:
    pad = torch.nn.utils.rnn.pad_sequence
    durations = pad([u.durations for u in rows], batch_first=True)
    frame_mask = pad([torch.ones(u.item.frames) for u in rows], batch_first=True).unsqueeze(1)
    latent = pad([torch.from_numpy(u.latent.astype(np.float32)) for u in rows], batch_first=True).mT.contiguous()
    return Batch(
        pad([u.phones for u in rows], batch_first=True),
        pad([u.tones for u in rows], batch_first=True),
        pad([u.words for u in rows], batch_first=True),
        durations,
        (durations > 0).float().unsqueeze(1),
        torch.tensor([u.item.speaker for u in rows]),
        F.one_hot(torch.tensor([u.item.emotion for u in rows]), len(EMOTIONS)).float(),
        torch.tensor([u.item.rate for u in rows]),
        latent,
        frame_mask,
        pad([torch.from_numpy(frame_labels(u)) for u in rows], batch_first=True, padding_value=-100),
    )


def batches(data: list[Utterance], seed: int, frames: int):
    """Batches without end of utterances of like length, about `frames` frames each, the same for the same seed."""
    epoch = seed
    while True:
        rng = np.random.default_rng(epoch)
        order = sorted(range(len(data)), key=lambda i: data[i].item.frames * rng.uniform(0.9, 1.1))
        groups, current = [], []
        for i in order:
            if current and data[i].item.frames * (len(current) + 1) > frames:
                groups.append(current)
                current = []
            current.append(i)
        groups.append(current)
        for g in rng.permutation(len(groups)):
            yield collate([data[i] for i in groups[g]])
        epoch += 1


def expand(x: Tensor, durations: Tensor) -> Tensor:
    """Token t repeated durations[t] times: [B, C, T] -> [B, C, F], zeros after the end."""
    rows = [row.repeat_interleave(d, dim=-1) for row, d in zip(x, durations, strict=True)]
    length = max(row.shape[-1] for row in rows)
    return torch.stack([F.pad(row, (0, length - row.shape[-1])) for row in rows])


def encode(net: Synthesizer, batch: Batch, speaker: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """-> hidden states [B, H, T], prior mean and log standard deviation [B, C, T]."""
    return net.enc_p(batch.phones, batch.tones, batch.words, batch.mask, (), batch.emotion, speaker)


def predict(net: Synthesizer, mean: Tensor, batch: Batch, speaker: Tensor, noise: float) -> Tensor:
    """The flow's latent [B, C, F] with the teacher's durations."""
    z, std = expand(mean, batch.durations), PRIOR_STD[:, None].to(mean.device)
    z = z + noise * std * torch.randn_like(z) * batch.frame_mask
    return net.flow(z, batch.frame_mask, speaker)


def channel_weights() -> Tensor:
    """Pitch and voicing count more than one mel does, F0 itself most."""
    weights = torch.ones(CHANNELS, 1)
    weights[PITCH_SLICE], weights[LOG2_F0] = 3.0, 10.0
    return weights / weights.mean()


WEIGHTS = channel_weights()


def latent_loss(z: Tensor, batch: Batch) -> Tensor:
    """L1 of the latent and of its change, which makes a burst a burst; consonants, being short, count threefold."""
    heavy = batch.frame_mask * (1 + 2 * expand(initials(batch.tones)[:, None].float(), batch.durations))
    apart = (z - batch.latent) * WEIGHTS.to(z.device)
    both = heavy[..., 1:] * batch.frame_mask[..., :-1]
    near = (apart.abs() * heavy).sum() / heavy.sum()
    change = (apart.diff(dim=-1).abs() * both).sum() / both.sum()
    return (near + 0.5 * change) / CHANNELS


def heard_loss(ear: Ear, z: Tensor, batch: Batch) -> Tensor:
    """What the ear makes of the predicted mels, beside the teacher's."""
    real = batch.latent[:, MEL_SLICE]
    heard, misheard = ear_losses(ear, torch.where(batch.frame_mask > 0, z[:, MEL_SLICE], real), real, batch.heard)
    return heard + 0.1 * misheard


def log_durations(batch: Batch) -> Tensor:
    """[B, T]: log(d - 0.5), since the product rounds up; at the emotion's own rate, so that jitter is no noise here."""
    return (batch.durations.clamp(min=1) - 0.5).log() + batch.rate.log()[:, None]


def duration_loss(net: Synthesizer, x: Tensor, batch: Batch, speaker: Tensor) -> Tensor:
    predicted = net.dp(x.detach(), batch.mask, speaker)
    return ((predicted[:, 0] - log_durations(batch)).abs() * batch.mask[:, 0]).sum() / batch.mask.sum()


def text_side(net: Synthesizer, args: argparse.Namespace) -> None:
    """Put this stage's weights, or else those of the voice to start from, into a network for a later stage."""
    path = args.prosody or args.runs / "prosody.pt"
    if args.voice and not path.exists():
        released, _ = load_checkpoint(args.voice / "G.safetensors")
        weights = {part: released.get_submodule(part).state_dict() for part in PARTS}
    else:
        weights = load(path)
    for part in PARTS:
        net.get_submodule(part).load_state_dict(weights[part])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=6_500)
    parser.add_argument("--flow-from", type=int, default=1_500, help="step at which the flow comes in")
    parser.add_argument("--frames", type=int, default=1_000, help="frames a batch")
    parser.add_argument("--lr", type=float, default=1e-3)
    args = arguments(parser, "prosody.pt")
    device = args.device
    net = build(read_cast(args.runs / "data"))
    with torch.no_grad():
        for coupling in net.flow.flows.values():  # the flow begins near the identity
            coupling.post.weight.mul_(0.1)
            coupling.post.bias.zero_()
    net.to(device)
    parameters = [p for part in PARTS for p in net.get_submodule(part).parameters()]
    optimizer = torch.optim.Adam(parameters, args.lr, betas=(0.9, 0.98))
    step, seconds = start(args, net, PARTS, optimizer)
    with torch.no_grad():
        net.enc_p.proj.weight[CHANNELS:] = 0
        net.enc_p.proj.bias[CHANNELS:] = PRIOR_STD.log()
    step = args.flow_from if args.voice and step == 0 else max(0, step)  # released weights know the flow already
    data = [u for u in corpus("train", args.runs / "data") if u.item.frames <= LONGEST]
    ear = Ear.load(args.runs / "ear.pt").to(device)
    clock, seen = Clock(seconds), []
    source = batches(data, 1000 + step, args.frames)
    while step < args.steps:
        batch = next(source).to(device)
        torch.manual_seed(step)
        flow_on = step >= args.flow_from
        rate = args.lr * (0.6 if flow_on else 1.0) * min(1, (step + 1) / 300)
        late = max(0, step - args.flow_from) / max(1, args.steps - args.flow_from)
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - 0.9 * late)
        speaker = speakers(net, batch.speaker)
        x, mean, _ = encode(net, batch, speaker)
        durations = duration_loss(net, x, batch, speaker)
        z = predict(net, mean, batch, speaker, torch.rand(()).item()) if flow_on else expand(mean, batch.durations)
        near, heard = latent_loss(z, batch), heard_loss(ear, z, batch)
        loss = near + 0.3 * durations + EAR_WEIGHT * heard
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        seen.append((near.item(), durations.item(), heard.item()))
        step += 1
        say, store = clock.tick()
        if say:
            names = ("latent", "durations", "heard")
            line = "  ".join(f"{name} {value:.4f}" for name, value in zip(names, np.mean(seen, 0), strict=True))
            print(f"step {step}  {line}  {clock.spent:.0f} s", flush=True)
            seen = []
        if store or step == args.steps:
            keep(args.out, net, PARTS, optimizer, step, clock.spent)


if __name__ == "__main__":
    main()
