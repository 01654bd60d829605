"""Stage 4: the stochastic duration predictor, by the likelihood of varied durations. `python -m train.rhythm`

The network samples: noise -> log durations. Trained is the other direction, with the density it gives to durations
(VITS, Kim et al., 2021, section 2.2.2). The flow needs a second channel to hold on to; noise of its own fills
it, which keeps the likelihood a lower bound. The teacher speaks a text at one rate in one way: only that rate varies,
by 25 % (data.JITTER), and the rounding to frames. Learned as they are and drawn anew for each phone, both broke words
(phone errors 10 % -> 23 %; without the rate 9 % -> 18 %). So the lengths vary around the plain predictor's, by SPREAD.
"""

import math

import torch
from torch import Tensor

from models.duration import TAIL, SplineFlow, StochasticDurationPredictor, bin_of, knots
from train.common import corpus, in_syllables, initials, network, scale_layers, speakers
from train.loop import Run, adam, stage_options, warm_up
from train.prosody import LONGEST, Batch, batches, encode, text_side

SPREAD = (0.05, 0.08, 0.2)  # deviation of the log duration of an initial, of the rest of a syllable, of a pause


def spline(x: Tensor, widths: Tensor, heights: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
    """The monotonic rational-quadratic spline (Durkan et al., 2019, equations 4 and 5) and the log of its slope.

    x [...]; widths and heights [..., 10], slopes [..., 9], as models.duration.inverse_spline takes them.
    """
    inside, place = (x > -TAIL) & (x < TAIL), x.clamp(-TAIL, TAIL)
    x0, y0, width, height, d0, d1 = bin_of(place, knots(widths), knots(widths), knots(heights), slopes)
    r, s = (place - x0) / width, height / width
    below = s + (d0 + d1 - 2 * s) * r * (1 - r)
    y = y0 + height * (s * r * r + d0 * r * (1 - r)) / below
    slope = s * s * (d1 * r * r + 2 * s * r * (1 - r) + d0 * (1 - r) ** 2) / below**2
    return torch.where(inside, y, x), torch.where(inside, slope.clamp(min=1e-9).log(), torch.zeros_like(x))


def to_noise(
    sdp: StochasticDurationPredictor, x: Tensor, mask: Tensor, speaker: Tensor, pair: Tensor
) -> tuple[Tensor, Tensor]:
    """The inverse of sampling: log durations and their companion [B, 2, T] -> noise [B, 2, T], log determinant."""
    condition = sdp.proj(sdp.convs(sdp.pre(x) + sdp.cond(speaker), mask)) * mask
    logs = sdp.get_parameter("flows.0.logs")
    z = (pair * logs.exp() + sdp.get_parameter("flows.0.m")) * mask
    log_det = logs.sum() * mask.squeeze(1)
    for i in ("3", "5", "7"):
        flow = sdp.flows[i]
        assert isinstance(flow, SplineFlow)
        z0, z1 = z.flip(1).chunk(2, dim=1)
        z1, log_slope = spline(z1.squeeze(1), *flow.shape(z0, mask, condition))
        z, log_det = torch.cat((z0, z1.unsqueeze(1)), dim=1) * mask, log_det + log_slope * mask.squeeze(1)
    return z.flip(1), log_det


def spread(batch: Batch) -> Tensor:
    """[B, T]: SPREAD of each token; the blanks beside a final are its thirds."""
    initial, final, pause = SPREAD
    return torch.where(initials(batch.tones), initial, torch.where(in_syllables(batch.tones), final, pause))


def rhythm_loss(
    sdp: StochasticDurationPredictor, x: Tensor, mask: Tensor, speaker: Tensor, durations: Tensor
) -> Tensor:
    """Nats a token of the bound on the likelihood of log durations [B, T] (the companion's entropy taken off)."""
    companion = torch.randn(durations.shape, device=x.device)
    z, log_det = to_noise(sdp, x, mask, speaker, torch.stack((durations, companion), 1))
    surplus = 0.5 * z.square().sum(1) - log_det - 0.5 * companion.square()
    return (surplus * mask.squeeze(1)).sum() / mask.sum() + 0.5 * math.log(2 * math.pi)


def main() -> None:
    args = stage_options(__doc__, "rhythm.pt", steps=4_000, frames=1_500, lr=2e-3, prosody=None)
    net = network(args)
    scale_layers(net.sdp.flows, "proj", 0.0)  # begin as the identity, at the size of a log duration
    run = Run(args, {"sdp": net.sdp}, adam(net.sdp, args.lr))
    text_side(net, args)
    data = [u for u in corpus("train", args.runs / "data") if u.item.frames <= LONGEST]
    source = batches(data, 5000 + run.step, args.frames)

    def learn(step: int) -> tuple[Tensor, dict[str, Tensor]]:
        batch = next(source).to(args.device)
        torch.manual_seed(step)
        speaker = speakers(net, batch.speaker)
        with torch.no_grad():
            x, _, _ = encode(net, batch, speaker)
            plain = net.dp(x, batch.mask, speaker)[:, 0]
            varied = plain + spread(batch) * torch.randn_like(plain)
        loss = rhythm_loss(net.sdp, x, batch.mask, speaker, varied)
        return loss, {"nats": loss}

    run.loop(learn, warm_up(args))


if __name__ == "__main__":
    main()
