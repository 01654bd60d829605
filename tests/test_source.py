"""Pulses and noise that drive a voice whose latent tells its pitch."""

import math

import pytest
import torch

from models.config import SMALL, SynthesizerConfig
from models.source import HIGHEST, PULSE, Pitch, driven, finer, pulses, turns
from tests.voices import CONFIG

HOP, RATE = 256, 22050
PITCH = Pitch(0, 1, 100.0)


def sentence(f0: list[float]) -> torch.Tensor:
    """A latent that tells this F0; 0 where unvoiced."""
    hertz = torch.tensor(f0)
    return torch.stack((torch.where(hertz > 0, hertz.clamp(min=1) / 100, 1.0).log2(), (hertz > 0).float()))[None]


def samples(z: torch.Tensor) -> torch.Tensor:
    """The pulses alone [samples]."""
    return driven(z, torch.zeros(1, HOP, z.shape[-1]), PITCH, RATE)[0, 2 : 2 + HOP].T.flatten().double()


def test_pulses_are_the_sum_of_all_harmonics():
    f0 = 140.0
    time = (torch.arange(12 * HOP, dtype=torch.double) + 0.5 - HOP / 2) / RATE  # 0 at the first frame's centre
    wanted = sum(torch.cos(2 * math.pi * k * f0 * time) for k in range(1, int(HIGHEST / f0) + 1))
    assert torch.allclose(samples(sentence([f0] * 12)), PULSE * wanted, atol=1e-3)


def test_a_glide_goes_on_from_frame_to_frame():
    f0 = torch.linspace(100, 200, 60).tolist()
    cycles = turns(sentence(f0), PITCH, HOP, RATE)
    assert torch.allclose(cycles[0] * RATE / HOP, torch.tensor(f0).double(), atol=1e-4)
    peaks = (samples(sentence(f0)) > 1).nonzero().flatten()
    gaps = peaks[1:][peaks.diff() > 20] - peaks[:-1][peaks.diff() > 20]
    assert (gaps.diff() <= 3).all() and gaps[0] > 180 and gaps[-1] < 125  # periods of 220 samples, then of 110


def test_what_is_unvoiced_has_no_pulses_and_each_voiced_stretch_starts_anew():
    first, second = sentence([0, 0, 150, 160, 170, 0]), sentence([90, 80, 0, 0, 0, 150, 160, 170])
    heard = samples(first)
    assert not heard[: 2 * HOP].any() and not heard[5 * HOP :].any()
    assert torch.equal(heard[2 * HOP : 4 * HOP], samples(second)[5 * HOP : 7 * HOP])


def test_any_latent_gives_finite_pulses():
    wild = torch.tensor([[-1e4, 1e4, 0.0, math.log2(20), 30.0], [1, 1, 1, 1, 1]])[None]
    assert samples(wild).isfinite().all() and samples(wild).abs().max() <= PULSE * HOP / 2
    none = pulses(torch.zeros(1, 3, dtype=torch.double), torch.zeros(1, 3, dtype=torch.double), HOP, RATE)
    assert none.shape == (1, HOP, 3) and not none.any()


def test_samples_stay_in_order_on_the_way_to_the_last_stage():
    frames = torch.arange(6.0 * HOP).reshape(1, 6, HOP).mT  # [1, HOP, 6]: sample t of the sentence is t
    x = torch.cat((frames, -frames), dim=1)
    for rate in (8, 2, 4, 4):
        x = finer(x, rate)
    assert (
        x.shape == (1, 2, 6 * HOP) and torch.equal(x[0, 0], torch.arange(6.0 * HOP)) and torch.equal(x[0, 1], -x[0, 0])
    )
    flat = finer(torch.cat((frames, -frames), dim=1).unsqueeze(2), 8)  # [B, C, 1, T], as training has it
    assert torch.equal(flat.squeeze(2), finer(torch.cat((frames, -frames), dim=1), 8))


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        ("high", "the block 'pitch' is missing"),
        ({"channel": 2, "voiced": 16, "base": 100}, "whole numbers from 0 to 15"),
        ({"channel": True, "voiced": 3, "base": 100}, "whole numbers from 0 to 15"),
        ({"channel": 2, "voiced": 3, "base": "100"}, "a number of Hz"),
        ({"channel": 2, "voiced": 3, "base": float("nan")}, "a number of Hz"),
        ({"channel": 2, "voiced": 3}, "a number of Hz"),
    ],
)
def test_a_pitch_that_no_voice_can_have_is_a_sentence(told, fault):
    config = {**CONFIG, "model": {**CONFIG["model"], "pitch": told}}
    with pytest.raises(ValueError, match=fault):
        SynthesizerConfig.from_json(config, SMALL)
