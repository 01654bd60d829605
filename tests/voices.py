"""A voice for tests: the whole network in its smallest form, with random weights. It hisses and says nothing."""

import json
import math
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from infer.documents import audio
from infer.engine.pipeline import Engine
from infer.engine.voice import Voice
from infer.request import SpeechRequest
from models.config import SMALL, SynthesizerConfig
from models.synthesizer import Synthesizer

SPEAKERS = ("甲", "乙")
EMOTIONS = ("neutral", "happy", "sad", "angry")
FRAMES_PER_TOKEN = 5  # at 172 frames a second and four tokens a syllable, about the pace of speech

CONFIG = {
    "version": "small-1",
    "train": {},
    "data": {
        "sampling_rate": 22050,
        "hop_length": 128,
        "add_blank": True,
        "n_speakers": len(SPEAKERS),
        "spk2id": {name: i for i, name in enumerate(SPEAKERS)},
    },
    "model": {
        "emotions": list(EMOTIONS),
        "inter_channels": 16,
        "hidden_channels": 16,
        "filter_channels": 32,
        "n_heads": 2,
        "n_layers": 3,
        "kernel_size": 3,
        "n_flow_layer": 1,
        "n_layers_trans_flow": 3,
        "gin_channels": 8,
        "resblock": "2",
        "resblock_kernel_sizes": [3, 3],
        "resblock_dilation_sizes": [[1, 2], [1, 1]],
        "upsample_rates": [4, 32],
        "upsample_initial_channel": 16,
        "upsample_kernel_sizes": [256, 128],
        "pitch": {"channel": 2, "voiced": 3, "base": 150.0},
    },
}
GENERATOR = {  # what a release has in the place of CONFIG's filter: the decoder of models/generator.py
    "resblock_kernel_sizes": [3, 5],
    "resblock_dilation_sizes": [[1, 3], [1, 3]],
    "upsample_rates": [8, 4, 4],
    "upsample_kernel_sizes": [16, 8, 8],
    "pitch": None,
}


def make_tiny_voice(folder: Path, seed: int = 0, **model: object) -> Path:
    """Write config.json and G.safetensors (fp16, like the embedded voice) into `folder`, and return it.

    model: what is other than in CONFIG.
    """
    config = {**CONFIG, "model": CONFIG["model"] | model}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Synthesizer(SynthesizerConfig.from_json(config, SMALL))
    with torch.no_grad():  # random layers take no time and whisper around an offset: give them a pace and a level
        network.dp.proj.bias.fill_(math.log(FRAMES_PER_TOKEN))
        network.sdp.flows["0"].logs.fill_(3.0)  # the stochastic ones vary by some per cent around the same pace
        network.sdp.flows["0"].m.fill_(-math.exp(3.0) * math.log(FRAMES_PER_TOKEN))
        if network.config.pitch:
            network.dec.conv_post.bias.fill_(-3.0)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, ensure_ascii=False, indent=1), encoding="utf-8")
    save_file({k: v.half().contiguous() for k, v in network.state_dict().items()}, folder / "G.safetensors")
    return folder


def loaded(engine: Engine) -> Voice:
    """The engine's voice, its warm-up over: who listens in on the backend then hears requests alone."""
    voice = engine.load()
    assert voice.warmth.wait(120), voice.warmth.error
    return voice


def speak(engine: Engine, request: SpeechRequest) -> tuple[np.ndarray, int]:
    """The whole speech at once, pauses included: samples and sampling rate."""
    pieces = list(engine.speak([request]))
    return audio.joined(pieces), pieces[0].sampling_rate
