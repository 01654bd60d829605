"""Stage 4: the stochastic duration predictor, by the likelihood of varied durations. `python -m train.rhythm`

The network samples: noise -> log durations. Trained is the other direction, with the density it gives to durations
(VITS, Kim et al., 2021, section 2.2.2). The flow needs a second channel to hold on to; noise of its own fills
it, which keeps the likelihood a lower bound. The teacher speaks a text at one rate in one way: only that rate varies,
by 25 % (data.JITTER), and the rounding to frames. Learned as they are and drawn anew for each phone, both broke words
(phone errors 10 % -> 23 %; without the rate 9 % -> 18 %). So the lengths vary around the plain predictor's, by SPREAD.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.duration import SMALLEST, TAIL, SplineFlow, StochasticDurationPredictor, knots
from train.common import Clock, arguments, build, corpus, initials, keep, speakers, start
from train.prosody import LONGEST, Batch, batches, encode, text_side
from train.speakers import read_cast

SPREAD = (
    0.05,
    0.08,
    0.2,
)  # standard deviation of the log duration of an initial, of the rest of a syllable, of a pause


def spline(x: Tensor, widths: Tensor, heights: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
    """The monotonic rational-quadratic spline (Durkan et al., 2019, equations 4 and 5) and the log of its slope.

    x [...]; widths and heights [..., 10], slopes [..., 9], as models.duration.inverse_spline takes them.
    """
    inside = (x > -TAIL) & (x < TAIL)
    place = x.clamp(-TAIL, TAIL)
    x_knots, y_knots = knots(widths), knots(heights)
    slopes = SMALLEST + F.softplus(F.pad(slopes, (1, 1), value=math.log(math.exp(1 - SMALLEST) - 1)))
    index = ((place.unsqueeze(-1) >= x_knots).sum(-1, keepdim=True) - 1).clamp(0, widths.shape[-1] - 1)

    def at(values: Tensor, shift: int = 0) -> Tensor:
        return values.gather(-1, index + shift).squeeze(-1)

    x0, y0, d0, d1 = at(x_knots), at(y_knots), at(slopes), at(slopes, 1)
    width, height = at(x_knots, 1) - x0, at(y_knots, 1) - y0
    r, s = (place - x0) / width, height / width
    below = s + (d0 + d1 - 2 * s) * r * (1 - r)
    y = y0 + height * (s * r * r + d0 * r * (1 - r)) / below
    slope = s * s * (d1 * r * r + 2 * s * r * (1 - r) + d0 * (1 - r) ** 2) / below**2
    return torch.where(inside, y, x), torch.where(inside, slope.clamp(min=1e-9).log(), torch.zeros_like(x))


def couple(flow: SplineFlow, z: Tensor, mask: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of the coupling's forward(): [B, 2, T] -> [B, 2, T], log determinant [B, T]."""
    z0, z1 = z.chunk(2, dim=1)
    h = flow.proj(flow.convs(flow.pre(z0) + condition, mask)) * mask
    bins = (h.shape[1] + 1) // 3
    widths, heights, slopes = h.mT.split((bins, bins, bins - 1), dim=-1)
    size = math.sqrt(flow.channels)
    z1, log_slope = spline(z1.squeeze(1), widths / size, heights / size, slopes)
    return torch.cat((z0, z1.unsqueeze(1)), dim=1) * mask, log_slope * mask.squeeze(1)


def to_noise(
    sdp: StochasticDurationPredictor, x: Tensor, mask: Tensor, speaker: Tensor, pair: Tensor
) -> tuple[Tensor, Tensor]:
    """The inverse of sampling: log durations and their companion [B, 2, T] -> noise [B, 2, T], log determinant."""
    condition = sdp.proj(sdp.convs(sdp.pre(x) + sdp.cond(speaker), mask)) * mask
    affine = sdp.flows["0"]
    z = (pair * affine.logs.exp() + affine.m) * mask
    log_det = affine.logs.sum() * mask.squeeze(1)
    for i in ("3", "5", "7"):
        z, more = couple(sdp.flows[i], z.flip(1), mask, condition)
        log_det = log_det + more
    return z.flip(1), log_det


def spread(batch: Batch) -> Tensor:
    """[B, T]: SPREAD of each token; the blanks beside a final are its thirds."""
    first, spoken = initials(batch.tones), batch.tones > 0
    inside = spoken | F.pad(spoken[:, :-1], (1, 0)) | F.pad(spoken[:, 1:], (0, 1))
    initial, final, pause = SPREAD
    return torch.where(first, initial, torch.where(inside, final, pause))


def rhythm_loss(
    sdp: StochasticDurationPredictor, x: Tensor, mask: Tensor, speaker: Tensor, durations: Tensor
) -> Tensor:
    """Nats a token of the bound on the likelihood of log durations [B, T] (the companion's entropy taken off)."""
    companion = torch.randn(durations.shape, device=x.device)
    z, log_det = to_noise(sdp, x, mask, speaker, torch.stack((durations, companion), 1))
    surplus = 0.5 * z.square().sum(1) - log_det - 0.5 * companion.square()
    return (surplus * mask.squeeze(1)).sum() / mask.sum() + 0.5 * math.log(2 * math.pi)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--frames", type=int, default=1_500, help="frames a batch")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--prosody", type=Path, help="text side (RUNS/prosody.pt)")
    args = arguments(parser, "rhythm.pt")
    device = args.device
    net = build(read_cast(args.runs / "data"))
    with torch.no_grad():
        for name, flow in net.sdp.flows.items():  # begin as the identity, at the size of a log duration
            if name != "0":
                flow.proj.weight.zero_()
                flow.proj.bias.zero_()
    net.to(device)
    optimizer = torch.optim.AdamW(net.sdp.parameters(), args.lr, betas=(0.8, 0.99), weight_decay=0.0)
    step, seconds = start(args, net, ("sdp",), optimizer)
    step = max(0, step)
    text_side(net, args)
    data = [u for u in corpus("train", args.runs / "data") if u.item.frames <= LONGEST]
    source = batches(data, 5000 + step, args.frames)
    clock, seen = Clock(seconds), []
    while step < args.steps:
        batch = next(source).to(device)
        torch.manual_seed(step)
        speaker = speakers(net, batch.speaker)
        with torch.no_grad():
            x, _, _ = encode(net, batch, speaker)
            plain = net.dp(x, batch.mask, speaker)[:, 0]
            varied = plain + spread(batch) * torch.randn_like(plain)
        loss = rhythm_loss(net.sdp, x, batch.mask, speaker, varied)
        for group in optimizer.param_groups:
            group["lr"] = args.lr * min(1, (step + 1) / 50) * (1 - 0.9 * step / args.steps)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.sdp.parameters(), 1.0)
        optimizer.step()
        seen.append(loss.item())
        step += 1
        say, store = clock.tick()
        if say or step == args.steps:
            print(f"step {step}  nats {np.mean(seen):.4f}  {clock.spent:.0f} s", flush=True)
            seen = []
        if store or step == args.steps:
            keep(args.out, net, ("sdp",), optimizer, step, clock.spent)


if __name__ == "__main__":
    main()
