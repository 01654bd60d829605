"""Pulses and noise that drive a voice whose latent tells its pitch."""

import math

import pytest
import torch

from models.config import SMALL, SynthesizerConfig
from models.source import HIGHEST, MARGIN, PULSE, Pitch, cycles_per_frame, excite, extend, pulses, refine
from tests.voices import CONFIG

HOP, RATE = 256, 22050
PITCH = Pitch(0, 1, 100.0)


def sentence(f0: list[float]) -> torch.Tensor:
    """A latent that tells this F0; 0 where unvoiced."""
    hertz = torch.tensor(f0)
    return torch.stack((torch.where(hertz > 0, hertz.clamp(min=1) / 100, 1.0).log2(), (hertz > 0).float()))[None]


def samples(z: torch.Tensor) -> torch.Tensor:
    """The pulses alone [samples]."""
    return excite(z, torch.zeros(1, HOP, z.shape[-1]), PITCH, RATE)[0, 2 : 2 + HOP].T.flatten().double()


def test_pulses_are_the_sum_of_all_harmonics():
    f0 = 140.0
    time = (torch.arange(12 * HOP, dtype=torch.double) + 0.5 - HOP / 2) / RATE  # 0 at the first frame's centre
    wanted = sum(torch.cos(2 * math.pi * k * f0 * time) for k in range(1, int(HIGHEST / f0) + 1))
    assert torch.allclose(samples(sentence([f0] * 12)), PULSE * wanted, atol=1e-3)


def test_a_glide_goes_on_from_frame_to_frame():
    f0 = torch.linspace(100, 200, 60).tolist()
    cycles = cycles_per_frame(sentence(f0), PITCH, HOP, RATE)
    assert torch.allclose(cycles[0] * RATE / HOP, torch.tensor(f0).double(), atol=1e-4)
    peaks = (samples(sentence(f0)) > 1).nonzero().flatten()
    gaps = peaks[1:][peaks.diff() > 20] - peaks[:-1][peaks.diff() > 20]
    assert (gaps.diff() <= 3).all() and gaps[0] > 180 and gaps[-1] < 125  # periods of 220 samples, then of 110


def test_pitch_moves_evenly_from_centre_to_centre():
    """A straight glide is exact in every sample, not at the frames' centres alone."""
    frames, low, high = 40, 304.0, 311.0  # with 32 harmonics from end to end
    f0 = torch.linspace(low, high, frames)
    seconds = (torch.arange(frames * HOP, dtype=torch.double) + 0.5 - HOP / 2) / RATE
    phase = low * seconds + (high - low) / ((frames - 1) * HOP / RATE) * seconds.square() / 2
    wanted = PULSE * sum(torch.cos(2 * math.pi * k * phase) for k in range(1, 33))
    within = slice(HOP // 2, -HOP // 2)
    assert torch.allclose(samples(sentence(f0.tolist()))[within], wanted[within], atol=2e-3)


def test_pulses_go_on_a_little_and_each_voiced_stretch_starts_anew():
    first = sentence([0, 0, 0, 0, 150, 160, 170, 0, 0, 0])
    second = sentence([90, 80, 0, 0, 0, 0, 0, 0, 150, 160, 170, 0, 0, 0])
    heard = samples(first)
    assert not heard[: (4 - MARGIN) * HOP].any() and not heard[(7 + MARGIN) * HOP :].any()
    assert all(frame.any() for frame in heard[(4 - MARGIN) * HOP : (7 + MARGIN) * HOP].split(HOP))
    again = samples(second)[4 * HOP :]
    assert torch.equal(heard[4 * HOP : 7 * HOP], again[4 * HOP : 7 * HOP])
    assert (heard[2 * HOP : 9 * HOP] - again[2 * HOP : 9 * HOP]).abs().max() < 1e-12


def test_a_held_pitch_is_the_nearest_one():
    cycles = torch.tensor([[0, 0, 0, 5, 7, 0, 0, 0, 0, 0, 3, 0], [4, 0, 6, 0, 0, 0, 0, 0, 2, 0, 0, 1]]).double()
    wanted = torch.tensor([[0, 5, 5, 5, 7, 7, 7, 0, 3, 3, 3, 3], [4, 6, 6, 6, 6, 0, 2, 2, 2, 2, 1, 1]]).double()
    assert torch.equal(extend(cycles, 2), wanted) and torch.equal(extend(cycles, 0), cycles)
    assert not extend(torch.zeros(1, 4), 2).any()


def test_any_latent_gives_finite_pulses():
    wild = torch.tensor([[-1e4, 1e4, 0.0, math.log2(20), 30.0], [1, 1, 1, 1, 1]])[None]
    assert samples(wild).isfinite().all() and samples(wild).abs().max() <= PULSE * HOP / 2
    none = pulses(torch.zeros(1, 3, dtype=torch.double), torch.zeros(1, 3, dtype=torch.double), HOP, RATE)
    assert none.shape == (1, HOP, 3) and not none.any()


def test_samples_stay_in_order_on_the_way_to_the_last_stage():
    frames = torch.arange(6.0 * HOP).reshape(1, 6, HOP).mT  # [1, HOP, 6]: sample t of the sentence is t
    x = torch.cat((frames, -frames), dim=1)
    for rate in (8, 2, 4, 4):
        x = refine(x, rate)
    assert (
        x.shape == (1, 2, 6 * HOP) and torch.equal(x[0, 0], torch.arange(6.0 * HOP)) and torch.equal(x[0, 1], -x[0, 0])
    )
    flat = refine(torch.cat((frames, -frames), dim=1).unsqueeze(2), 8)  # [B, C, 1, T], as training has it
    assert torch.equal(flat.squeeze(2), refine(torch.cat((frames, -frames), dim=1), 8))


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        ("high", "the block 'pitch' is missing"),
        ({"channel": 2, "voiced": 16, "base": 100}, "whole numbers from 0 to 15"),
        ({"channel": True, "voiced": 3, "base": 100}, "whole numbers from 0 to 15"),
        ({"channel": 2, "voiced": 3, "base": "100"}, "a number of Hz"),
        ({"channel": 2, "voiced": 3, "base": float("nan")}, "a number of Hz"),
        ({"channel": 2, "voiced": 3}, "a number of Hz"),
        ({"channel": 2, "voiced": 3, "base": 100, "phase": ["minimum"]}, "zero.* or .*minimum.*, not a list"),
    ],
)
def test_a_pitch_that_no_voice_can_have_is_a_sentence(told, fault):
    config = {**CONFIG, "model": {**CONFIG["model"], "pitch": told}}
    with pytest.raises(ValueError, match=fault):
        SynthesizerConfig.from_json(config, SMALL)
