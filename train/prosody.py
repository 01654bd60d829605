"""Stage 2, beside stage 1: text encoder, durations and flow towards the latent. `python -m train.prosody --resume`

First the encoder alone (the flow bypassed), then the flow on.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import partial
from itertools import count

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.synthesizer import Synthesizer
from train.common import Utterance, corpus, initials, network, scale_layers, speakers
from train.ear import Ear, ear_losses, frame_labels
from train.features import CHANNELS, LOG2_F0, MEL_SLICE, PITCH_SLICE
from train.loop import Run, load, stage_options, take_over
from train.speakers import EMOTIONS


def by_channel(usual: float, *others: tuple[slice | int, float]) -> Tensor:
    """A value for each channel of the latent [C]."""
    values = torch.full((CHANNELS,), usual)
    for channels, value in others:
        values[channels] = value
    return values


# Standard deviation of the prior: a little life in the mels, next to none in F0.
PRIOR_STD = by_channel(0.02, (MEL_SLICE, 0.1), (LOG2_F0, 0.004))
# Of the loss: pitch and voicing count more than one mel does, F0 itself most.
WEIGHTS = by_channel(1.0, (PITCH_SLICE, 3.0), (LOG2_F0, 10.0))
EAR_WEIGHT = 0.5
LONGEST = 600  # frames; attention costs their square
PARTS = ("enc_p", "dp", "flow")


@dataclass(frozen=True)
class Batch:
    """Some utterances side by side, padded."""

    phones: Tensor  # [B, T]
    tones: Tensor
    durations: Tensor  # [B, T], 0 in the padding
    mask: Tensor  # [B, 1, T]
    speaker: Tensor  # [B]
    emotion: Tensor  # [B, E], one-hot
    rate: Tensor  # [B]
    latent: Tensor  # [B, C, F]
    frame_mask: Tensor  # [B, 1, F]
    labels: Tensor  # [B, F], the phone of each frame (ear.py), -100 in the padding

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


def collate(rows: list[Utterance]) -> Batch:
    pad = partial(nn.utils.rnn.pad_sequence, batch_first=True)
    phones, tones, durations = (pad([getattr(u, name) for u in rows]) for name in ("phones", "tones", "durations"))
    speaker, emotion, rate = (torch.tensor([getattr(u.item, n) for u in rows]) for n in ("speaker", "emotion", "rate"))
    return Batch(
        phones,
        tones,
        durations,
        (durations > 0).float().unsqueeze(1),
        speaker,
        F.one_hot(emotion, len(EMOTIONS)).float(),
        rate,
        pad([torch.from_numpy(u.latent.astype(np.float32)) for u in rows]).mT.contiguous(),
        pad([torch.ones(u.item.frames) for u in rows]).unsqueeze(1),
        pad([torch.from_numpy(frame_labels(u)) for u in rows], padding_value=-100),
    )


def batches(data: list[Utterance], seed: int, frames: int) -> Iterator[Batch]:
    """Batches without end of utterances of like length, about `frames` frames each, the same for the same seed."""
    for epoch in count(seed):
        rng = np.random.default_rng(epoch)
        order = sorted(range(len(data)), key=lambda i: data[i].item.frames * rng.uniform(0.9, 1.1))
        groups, current = [], list[int]()
        for i in order:
            if current and data[i].item.frames * (len(current) + 1) > frames:
                groups.append(current)
                current = []
            current.append(i)
        groups.append(current)
        for g in rng.permutation(len(groups)):
            yield collate([data[i] for i in groups[g]])


def expand(x: Tensor, durations: Tensor) -> Tensor:
    """Token t repeated durations[t] times: [B, C, T] -> [B, C, F], zeros after the end."""
    rows = [row.mT.repeat_interleave(d, dim=0) for row, d in zip(x, durations, strict=True)]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True).mT.contiguous()


def encode(net: Synthesizer, batch: Batch, speaker: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """-> hidden states [B, H, T], prior mean and log standard deviation [B, C, T]."""
    languages = torch.zeros_like(batch.phones)
    return net.enc_p(batch.phones, batch.tones, languages, batch.mask, (), batch.emotion, speaker)


def predict(net: Synthesizer, mean: Tensor, batch: Batch, speaker: Tensor, noise: float) -> Tensor:
    """The flow's latent [B, C, F] with the teacher's durations."""
    z, std = expand(mean, batch.durations), PRIOR_STD[:, None].to(mean.device)
    z = z + noise * std * torch.randn_like(z) * batch.frame_mask
    return net.flow(z, batch.frame_mask, speaker)


def parts_of(net: Synthesizer) -> dict[str, nn.Module]:
    """What this stage trains."""
    return {part: net.get_submodule(part) for part in PARTS}


def latent_loss(z: Tensor, batch: Batch) -> Tensor:
    """L1 of the latent and of its change, which makes a burst a burst; consonants, being short, count threefold."""
    heavy = batch.frame_mask * (1 + 2 * expand(initials(batch.tones)[:, None].float(), batch.durations))
    apart = (z - batch.latent) * (WEIGHTS / WEIGHTS.mean())[:, None].to(z.device)
    both = heavy[..., 1:] * batch.frame_mask[..., :-1]
    near = (apart.abs() * heavy).sum() / heavy.sum()
    change = (apart.diff(dim=-1).abs() * both).sum() / both.sum()
    return (near + 0.5 * change) / CHANNELS


def ear_loss(ear: Ear, z: Tensor, batch: Batch) -> Tensor:
    """What the ear makes of the predicted mels, beside the teacher's."""
    real = batch.latent[:, MEL_SLICE]
    heard, misheard = ear_losses(ear, torch.where(batch.frame_mask > 0, z[:, MEL_SLICE], real), real, batch.labels)
    return heard + 0.1 * misheard


def duration_loss(net: Synthesizer, x: Tensor, batch: Batch, speaker: Tensor) -> Tensor:
    """L1 of log(d - 0.5), since the product rounds up; at the emotion's own rate, so that jitter is no noise here."""
    goal = (batch.durations.clamp(min=1) - 0.5).log() + batch.rate.log()[:, None]
    predicted = net.dp(x.detach(), batch.mask, speaker)
    return ((predicted[:, 0] - goal).abs() * batch.mask[:, 0]).sum() / batch.mask.sum()


def text_side(net: Synthesizer, args: argparse.Namespace) -> None:
    """Put this stage's weights, or else those of the voice to start from, into a network for a later stage."""
    path, parts = args.prosody or args.runs / "prosody.pt", parts_of(net)
    if args.voice and not path.exists():
        return take_over(args.voice, parts)
    weights = load(path)
    for name, part in parts.items():
        part.load_state_dict(weights[name])


def main() -> None:
    args = stage_options(__doc__, "prosody.pt", steps=6_500, flow_from=1_500, frames=1_000, lr=1e-3)
    net = network(args)
    scale_layers(net.flow, "post", 0.1)  # the flow begins near the identity
    parts = parts_of(net)
    parameters = [p for part in parts.values() for p in part.parameters()]
    run = Run(args, parts, torch.optim.Adam(parameters, args.lr, betas=(0.9, 0.98)))
    weights = net.enc_p.get_parameter("proj.weight"), net.enc_p.get_parameter("proj.bias")
    with torch.no_grad():
        weights[0][CHANNELS:], weights[1][CHANNELS:] = 0, PRIOR_STD.log()
    if args.voice and run.step == 0:
        run.step = args.flow_from  # released weights know the flow already
    data = [u for u in corpus("train", args.runs / "data") if u.item.frames <= LONGEST]
    ear, source = Ear.load(args.runs / "ear.pt").to(args.device), batches(data, 1000 + run.step, args.frames)

    def rate(step: int) -> float:
        late = max(0, step - args.flow_from) / max(1, args.steps - args.flow_from)
        return args.lr * (0.6 if step >= args.flow_from else 1.0) * min(1, (step + 1) / 300) * (1 - 0.9 * late)

    def learn(step: int) -> tuple[Tensor, dict[str, Tensor]]:
        batch = next(source).to(args.device)
        torch.manual_seed(step)
        speaker = speakers(net, batch.speaker)
        x, mean, _ = encode(net, batch, speaker)
        durations = duration_loss(net, x, batch, speaker)
        if step >= args.flow_from:
            z = predict(net, mean, batch, speaker, torch.rand(()).item())
        else:
            z = expand(mean, batch.durations)
        near, heard = latent_loss(z, batch), ear_loss(ear, z, batch)
        figures = {"latent": near, "durations": durations, "heard": heard}
        return near + 0.3 * durations + EAR_WEIGHT * heard, figures

    run.loop(learn, rate)


if __name__ == "__main__":
    main()
