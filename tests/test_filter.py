"""The decoder that filters pulses and noise."""

import copy
from functools import cache

import pytest
import torch

from infer.engine import devices, shapes
from infer.engine.backends.torch_backend import TorchBackend
from infer.engine.decoding import decode
from infer.engine.stages import noise
from models import Synthesizer, SynthesizerConfig, halos, load_checkpoint
from models.config import SMALL
from models.filter import MinimumPhase, Transform
from models.stages import with_source
from tests.voices import CONFIG, make_tiny_voice


@cache
def voice(phase: str = "zero") -> Synthesizer:
    told = {**CONFIG["model"]["pitch"], "phase": phase}
    config = {**CONFIG, "model": {**CONFIG["model"], "pitch": told}}
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False):
        torch.manual_seed(0)
        network = Synthesizer(SynthesizerConfig.from_json(config, SMALL)).eval().requires_grad_(False)
    network.dec.conv_post.bias.sub_(3)  # a whisper, that nothing is clamped
    return network


def given(network: Synthesizer, frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A random latent with its pulses and noise, and a speaker."""
    random = torch.Generator().manual_seed(frames)
    z = torch.randn(1, network.config.inter_channels, frames, generator=random)
    return with_source(z, network.config, noise(frames, 0)), torch.randn(
        1, network.config.gin_channels, 1, generator=random
    )


@pytest.mark.parametrize(("window", "step"), [(512, 64), (256, 64), (256, 32), (128, 32), (160, 32), (8, 2)])
def test_a_flat_magnitude_changes_nothing(window, step):
    transform, steps = Transform(window, step), 40
    wave = torch.randn(1, 1, steps * step, generator=torch.Generator().manual_seed(window))
    same = transform(wave, torch.ones(1, window // 2 + 1, steps))
    inside = slice(window, -window)
    assert same.shape == wave.shape and (same - wave)[..., inside].abs().max() < 1e-5


@pytest.mark.parametrize(("window", "step"), [(512, 64), (480, 60), (128, 32)])
def test_a_minimum_phase_answers_a_pulse_after_it(window, step):
    """Told the magnitudes of a causal filter (two poles and a zero), it gives that filter's own answer."""
    answer = torch.zeros(window, dtype=torch.double)
    for n in range(window):
        before = [answer[n - k] if n >= k else 0.0 for k in (1, 2)]
        answer[n] = (n == 0) + 0.6 * (n == 1) + 0.9 * before[0] - 0.6 * before[1]
    logs = torch.fft.rfft(answer).abs().log().float()[None, :, None].repeat(1, 1, 40)
    transform, phase = Transform(window, step), MinimumPhase(window)
    wave = torch.zeros(1, 1, 40 * step)
    wave[..., 20 * step] = 1.0
    heard = transform(wave, logs.exp(), phase(logs))[0, 0, 20 * step :].double()
    assert (heard[: window // 4] - answer[: window // 4]).abs().max() < 0.05  # the window takes some of its end
    causal = transform(wave, logs.exp(), phase(logs))[0, 0, : 20 * step]
    zero = transform(wave, logs.exp())[0, 0, : 20 * step]
    assert causal.abs().max() < 1e-3 < 0.1 < zero.abs().max()


def test_a_louder_filter_has_the_same_phase():
    phase, logs = MinimumPhase(128), torch.randn(1, 65, 3, generator=torch.Generator().manual_seed(0))
    assert (
        torch.allclose(phase(logs + 5), phase(logs), atol=1e-4) and not phase(torch.ones(1, 65, 1)).abs().max() > 1e-5
    )


@pytest.mark.parametrize("phase", ["zero", "minimum"])
def test_flat_filters_let_pulses_through(phase):
    dec, config = copy.deepcopy(voice(phase).dec), voice().config
    dec.conv_post.weight.zero_()
    dec.conv_post.bias.copy_(torch.tensor([0.1, 0]).log().repeat_interleave(torch.tensor(dec.bins)).repeat(4))
    z, speaker = given(voice(), 30)
    pulses = z[0, config.inter_channels :][: config.hop].T.flatten()
    wave = dec(z, speaker)[0, 0]
    inside = slice(config.upsample_kernel_sizes[0], -config.upsample_kernel_sizes[0])
    assert pulses.any() and (wave - 0.1 * pulses)[inside].abs().max() < 1e-5


def test_each_source_has_its_filter():
    dec, config = copy.deepcopy(voice().dec), voice().config
    z, speaker = given(voice(), 30)
    pulses, noise = z.clone(), z.clone()
    pulses[:, -config.hop :] = 0
    noise[:, config.inter_channels : -config.hop] = 0
    whole = dec(z, speaker)
    assert whole.abs().max() < 1  # else what follows would be no sum
    assert torch.allclose(dec(pulses, speaker) + dec(noise, speaker), whole, atol=1e-6)
    dec.conv_post.bias[:] = torch.tensor([0, -1e4]).repeat_interleave(torch.tensor(dec.bins)).repeat(4)
    assert not dec(noise, speaker).any() and dec(pulses, speaker).any()


def test_silence_stays_silence():
    z, speaker = given(voice(), 20)
    z[:, voice().config.inter_channels :] = 0
    assert not voice().dec(z, speaker).any()


@pytest.mark.parametrize("phase", ["zero", "minimum"])
@pytest.mark.parametrize("size", [0.0, 1.0, 100.0, 1e4, 1e30])
def test_any_latent_gives_samples(size, phase):
    z, speaker = given(voice(), 20)
    z = with_source(size * z[:, : voice().config.inter_channels], voice().config, noise(0, 0))
    wave = voice(phase).dec(z, speaker)
    assert wave.shape == (1, 1, 20 * voice().config.hop) and wave.isfinite().all() and wave.abs().max() <= 1


@pytest.mark.parametrize("phase", ["zero", "minimum"])
@pytest.mark.parametrize("frames", [1, 2, 3, 7, 13, 14])
def test_a_mask_is_the_end_of_the_sentence(frames, phase):
    """Whatever lies beyond it, and in both parts."""
    network, size = voice(phase), 15
    z, speaker = given(network, frames)
    head, wave = network.dec.head(z, speaker), network.dec(z, speaker)
    longer = torch.cat((z, torch.randn(1, z.shape[1], size - frames)), dim=-1)
    x = network.dec.head(longer, speaker, shapes.mask(frames, size))
    rate, end = network.config.upsample_rates[0], frames * network.config.hop
    assert (x[..., : frames * rate] - head).abs().max() < 2e-6 * head.abs().max()
    masked = network.dec.tail(x, shapes.mask(frames, size))
    assert (masked[..., :end] - wave).abs().max() < 2e-6 * wave.abs().max() and not masked[..., end:].any()


@pytest.mark.parametrize("frames", [1, 2, 5, 14, 15, 16, 17, 22, 29, 30, 31, 44, 45, 46, 47, 59, 60, 61, 79, 90, 150])
@torch.inference_mode()
def test_windows_give_the_whole_decoder_s_samples(frames):
    network = voice()
    z, speaker = given(network, frames)
    whole = network.dec(z, speaker)[0, 0]
    backend = TorchBackend(copy.deepcopy(network), devices.choose("cpu"))
    for first in (True, False):
        pieces = torch.cat(list(decode(backend, network.config, z, speaker, (15, 30, 45), first)))
        assert (pieces - whole).abs().max() < 2e-6 * whole.abs().max()


@pytest.mark.parametrize("phase", ["zero", "minimum"])
@torch.inference_mode()
def test_the_halos_are_what_the_parts_depend_on(phase):
    """A window of just that context has the whole's values, and one frame less is heard, on either side."""
    network = copy.deepcopy(voice(phase)).double()
    config, (halo_1, halo_2) = network.config, halos(network.config)
    assert (halo_1, halo_2) == (7, 2)
    z, speaker = (x.double() for x in given(network, 60))
    x, rate, hop = network.dec.head(z, speaker), config.upsample_rates[0], config.hop
    wave = network.dec.tail(x)

    def errors(before: int, after: int, part, given, whole, of: int, to: int) -> float:
        """Of the frames 20 … 39 from a window with so much around."""
        window = part(given[..., (20 - before) * of : (40 + after) * of])[..., before * to : (before + 20) * to]
        return (window - whole[..., 20 * to : 40 * to]).abs().max().item()

    head = (lambda z: network.dec.head(z, speaker)), z, x, 1, rate
    for halo, part in ((halo_1, head), (halo_2, (network.dec.tail, x, wave, rate, hop))):
        assert errors(halo, halo, *part) < 1e-14
        assert min(errors(halo - 1, halo, *part), errors(halo, halo - 1, *part)) > 1e-14


@pytest.mark.parametrize("phase", ["zero", "minimum"])
def test_half_precision_sounds_the_same(phase):
    z, speaker = given(voice(), 30)
    wave = voice(phase).dec(z, speaker)
    half = copy.deepcopy(voice(phase).dec).half()(z.half(), speaker.half())
    assert (half.float() - wave).abs().max() < 1e-2 * wave.abs().max()


def test_transforms_are_no_weights(tmp_path):
    """They are in no file, and whole after one was read."""
    assert not any("transforms" in name for name in voice().state_dict())
    network, _ = load_checkpoint(make_tiny_voice(tmp_path) / "G.safetensors")
    for ours, theirs in zip(network.dec.transforms, voice().dec.transforms, strict=True):
        assert torch.equal(ours.forth, theirs.forth) and torch.equal(ours.back, theirs.back)
