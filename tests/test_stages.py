"""models/stages.py: the steps of a sentence, written once, are the network's own."""

import torch

from models import stages
from models.config import SMALL, SynthesizerConfig
from models.source import excite
from models.stages import Inputs, Sliders, Whole
from models.synthesizer import Synthesizer, align, sample_prior
from train.common import config


def drawn(stream: int, length: int, channels: int) -> torch.Tensor:
    """Frame by frame, so that a longer draw begins with the shorter one."""
    return torch.randn(length, channels, generator=torch.Generator().manual_seed(stream)).T


@torch.inference_mode()
def test_stage_by_stage_is_the_network_in_one_go():
    torch.manual_seed(0)
    net = Synthesizer(SynthesizerConfig.from_json(config(), SMALL)).eval()
    ids, speaker = torch.tensor([[0, 5, 0, 9, 0, 7, 0]]), torch.randn(1, net.config.gin_channels, 1)
    inputs = Inputs(ids, ids % 5, torch.zeros_like(ids), (), torch.eye(len(net.config.emotions))[:1], speaker)
    prior, frames = stages.durations(Whole(net), inputs, drawn, Sliders(1.2, 0.6, 0.8, 0.3))
    z_p, z = stages.latent(Whole(net), net.config, prior, frames, speaker, drawn, 0.6)
    wave = net.dec(stages.with_source(z, net.config, drawn), speaker)

    mask, noise = torch.ones(1, 1, 7), drawn(stages.DURATION_NOISE, 7, 2)[None] * 0.8
    expected = net.encode(ids, ids % 5, torch.zeros_like(ids), mask, (), inputs.emotion, speaker, noise, 0.3)
    assert torch.equal(frames, align(expected.log_durations, mask, 1.2)[0]) and frames.min() >= 1
    total = int(frames.sum())
    noise = drawn(stages.LATENT_NOISE, total, net.config.inter_channels)
    assert torch.equal(z_p[0], sample_prior(expected.mean[0], expected.log_std[0], frames, noise, 0.6))
    breath = drawn(stages.SOURCE_NOISE, total, net.config.hop)[None]
    z = net.flow(z_p, torch.ones(1, 1, total), speaker)
    assert torch.equal(wave, net.dec(excite(z, breath, net.config.pitch, net.config.sampling_rate), speaker))
    assert wave.shape == (1, 1, total * net.config.hop)


@torch.inference_mode()
def test_a_sentence_of_no_frames_has_one():
    net = Synthesizer(SynthesizerConfig.from_json(config(), SMALL)).eval()
    prior = stages.Prior(*torch.zeros(2, 1, net.config.inter_channels, 3), torch.zeros(1, 1, 3))
    speaker, none = torch.zeros(1, net.config.gin_channels, 1), torch.zeros(3, dtype=torch.long)
    assert stages.latent(Whole(net), net.config, prior, none, speaker, drawn, 1.0)[1].shape[-1] == 1
