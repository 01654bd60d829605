"""What the stages share: the voice's config and network, how it speaks, and the corpus in memory."""

import json
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import stages
from models.config import SMALL, SynthesizerConfig
from models.stages import Sliders
from models.synthesizer import Synthesizer
from text.phones import split_reading, syllable_phones
from text.symbols import phone_ids
from train.data import Item
from train.features import CHANNELS, HOP, PITCH, SAMPLE_RATE
from train.sentences import is_syllable
from train.speakers import EMOTIONS, SPEAKERS, Speaker, read_cast

CONFIG = Path(__file__).with_name("config.json")


def config(cast: tuple[Speaker, ...] = SPEAKERS) -> dict[str, Any]:
    """The voice's config.json."""
    values = json.loads(CONFIG.read_text("utf-8"))
    values["title"] = "、".join(speaker.name for speaker in cast)
    ids = {speaker.name: i for i, speaker in enumerate(cast)}
    values["data"] |= {"sampling_rate": SAMPLE_RATE, "hop_length": HOP, "n_speakers": len(cast), "spk2id": ids}
    values["model"] |= {"emotions": list(EMOTIONS), "inter_channels": CHANNELS, "pitch": PITCH}
    return values


def build(cast: tuple[Speaker, ...] = SPEAKERS, seed: int = 0) -> Synthesizer:
    """The network with fresh weights, the same for the same seed.

    The speaker vectors are drawn once and stay: text side and decoder train apart and must agree on them. Each comes
    from a generator of its own, so that a new speaker leaves the others as they were.
    """
    torch.manual_seed(seed)
    net = Synthesizer(SynthesizerConfig.from_json(config(cast), SMALL))
    net.emb_g.requires_grad_(False)
    for speaker, row in zip(cast, net.emb_g.weight, strict=True):
        row.copy_(torch.randn(len(row), generator=torch.Generator().manual_seed(speaker.vector)))
    return net


def network(args: Namespace) -> Synthesizer:
    """With fresh weights and the speakers of a stage's data, on its device."""
    return build(read_cast(args.runs / "data")).to(args.device)


@torch.no_grad()
def scale_layers(module: nn.Module, name: str, factor: float) -> None:
    """Begin with small steps: the weights of every layer of that name times a factor, its bias nothing."""
    for path, parameter in module.named_parameters():
        if path.split(".")[-2:-1] == [name]:
            parameter.mul_(factor if path.endswith("weight") else 0)


def speakers(net: Synthesizer, ids: Tensor) -> Tensor:
    """[B] -> [B, G, 1]."""
    return net.emb_g(ids).unsqueeze(-1)


@torch.inference_mode()
def speak(
    net: Synthesizer, tokens: list[str], speaker: int, emotion: int, how: Sliders, seed: int = 0, sound: bool = True
) -> tuple[np.ndarray, Tensor]:
    """-> float samples (none without sound), durations [T]."""
    generator = torch.Generator().manual_seed(seed)

    def noise(_: int, length: int, channels: int) -> Tensor:
        return torch.randn(channels, length, generator=generator)

    phones, tones = (torch.tensor([ids]) for ids in tokens_to_ids(tokens))
    g, mood = speakers(net, torch.tensor([speaker])), torch.eye(len(EMOTIONS))[[emotion]]
    inputs = stages.Inputs(phones, tones, torch.zeros_like(phones), (), mood, g)
    prior, durations = stages.durations(stages.Whole(net), inputs, noise, how)
    if not sound:
        return np.zeros(0), durations
    _, z = stages.latent(stages.Whole(net), net.config, prior, durations, g, noise, how.noise_scale)
    return net.dec(stages.with_source(z, net.config, noise), g)[0, 0].numpy().astype(np.float64), durations


@dataclass(frozen=True)
class Utterance:
    phones: Tensor  # [T] with blanks
    tones: Tensor  # [T]
    durations: Tensor  # [T]
    latent: np.ndarray  # [F, CHANNELS] float16
    wav: np.ndarray  # int16
    centres: np.ndarray  # [F], the sample in the middle of each frame: a frame is not always HOP samples (train.data)
    item: Item

    def sample(self, place: np.ndarray | float) -> np.ndarray:
        """Samples of places in frames: 0.5 is the first frame's middle."""
        return np.interp(place, np.arange(len(self.centres)) + 0.5, self.centres)


def tokens_to_ids(tokens: list[str]) -> tuple[list[int], list[int]]:
    """Syllables and marks -> phone and tone ids with "_" at both ends and blanks between, as the product feeds them."""
    phones, tones = ["_"], [0]
    for token in tokens:
        if is_syllable(token):
            syllable, tone = split_reading(token)
            phones += syllable_phones(syllable)
            tones += [tone, tone]
        else:
            phones.append(token)
            tones.append(0)
    return with_blanks([*phone_ids(phones), 0]), with_blanks([*tones, 0])


def with_blanks(ids: list[int]) -> list[int]:
    return [0, *(x for i in ids for x in (i, 0))]


def initials(tones: Tensor) -> Tensor:
    """Which of the tokens [..., T] are initials: a syllable is initial, blank, final, and both phones have its tone."""
    spoken = tones > 0
    return spoken & (spoken.cumsum(-1) % 2 == 1)


def in_syllables(tones: Tensor) -> Tensor:
    """Which of the tokens [..., T] are a syllable's: its phones, and the blanks beside them."""
    spoken = tones > 0
    return spoken | F.pad(spoken[..., :-1], (1, 0)) | F.pad(spoken[..., 1:], (0, 1))


def corpus(split: str, folder: Path) -> list[Utterance]:
    """split: train or test; folder: what train.data or train.recordings made. Raises ValueError if it is damaged."""
    out = []
    for speaker in range(len(read_cast(folder))):
        where = folder / f"{split}-{speaker}"
        wav, centres, latent = (np.load(where / f"{name}.npy", mmap_mode="r") for name in ("wav", "centres", "latent"))
        for line in (where / "items.json").read_text("utf-8").splitlines():
            item = Item(**json.loads(line))
            ids = tokens_to_ids(item.tokens)
            if len(ids[0]) != len(item.durations) or sum(item.durations) != item.frames:
                raise ValueError(f"{where}: durations and phones disagree in {item.tokens}; run train.data again")
            phones, tones, durations = (torch.tensor(values) for values in (*ids, item.durations))
            frames, samples = slice(item.start, item.start + item.frames), slice(item.first, item.first + item.samples)
            out.append(Utterance(phones, tones, durations, latent[frames], wav[samples], centres[frames], item))
    return out
