"""What the stages share: the voice's config, the corpus in memory, checkpoints, the loop's bookkeeping."""

import argparse
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from models import stages
from models.checkpoint import load_checkpoint
from models.config import SMALL, SynthesizerConfig
from models.stages import Sliders
from models.synthesizer import Synthesizer
from text.phones import split_reading, syllable_phones
from text.symbols import phone_ids
from train.data import RUNS, Item
from train.features import CHANNELS, HOP, PITCH, SAMPLE_RATE
from train.speakers import EMOTIONS, SPEAKERS, Speaker, read_cast

MODEL = {
    "emotions": list(EMOTIONS),
    "inter_channels": CHANNELS,
    "hidden_channels": 96,
    "filter_channels": 384,
    "n_heads": 2,
    "n_layers": 4,
    "kernel_size": 3,
    "p_dropout": 0.0,
    "n_flow_layer": 2,
    "n_layers_trans_flow": 3,
    "use_transformer_flow": True,
    "use_spk_conditioned_encoder": True,
    "gin_channels": 64,
    "resblock": "2",
    "resblock_kernel_sizes": [3, 3, 3, 3],
    "resblock_dilation_sizes": [[1, 2], [1, 1], [1, 2], [1, 1]],
    "upsample_rates": [4, 64],
    "upsample_initial_channel": 256,
    "upsample_kernel_sizes": [512, 256],
    "pitch": PITCH,
}


def config(cast: tuple[Speaker, ...] = SPEAKERS) -> dict:
    """The voice's config.json."""
    return {
        "version": "small-1",
        "title": "、".join(speaker.name for speaker in cast),
        "train": {"segment_size": 12288, "learning_rate": 1e-3, "betas": [0.8, 0.99]},
        "data": {
            "sampling_rate": SAMPLE_RATE,
            "hop_length": HOP,
            "filter_length": 1024,
            "win_length": 1024,
            "n_mel_channels": 80,
            "add_blank": True,
            "n_speakers": len(cast),
            "spk2id": {speaker.name: i for i, speaker in enumerate(cast)},
        },
        "model": MODEL,
    }


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


def speakers(net: Synthesizer, ids: Tensor) -> Tensor:
    """[B] -> [B, G, 1]."""
    return net.emb_g(ids).unsqueeze(-1)


def is_syllable(token: str) -> bool:
    return token[-1].isdigit()


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
        if token[-1].isdigit():
            syllable, tone = split_reading(token)
            phones += syllable_phones(syllable)
            tones += [tone, tone]
        else:
            phones.append(token)
            tones.append(0)
    return with_blanks([*phone_ids(phones), 0]), with_blanks([*tones, 0])


def initials(tones: Tensor) -> Tensor:
    """Which of the tokens [..., T] are initials: a syllable is initial, blank, final, and both phones have its tone."""
    spoken = tones > 0
    return spoken & (spoken.cumsum(-1) % 2 == 1)


def with_blanks(ids: list[int]) -> list[int]:
    out = [0] * (2 * len(ids) + 1)
    out[1::2] = ids
    return out


def corpus(split: str, folder: Path) -> list[Utterance]:
    """split: train or test; folder: what train.data or train.recordings made."""
    out = []
    for speaker in range(len(read_cast(folder))):
        where = folder / f"{split}-{speaker}"
        wav, centres, latent = (np.load(where / f"{name}.npy", mmap_mode="r") for name in ("wav", "centres", "latent"))
        for line in (where / "items.json").read_text().splitlines():
            item = Item(**json.loads(line))
            phones, tones = tokens_to_ids(item.tokens)
            if len(phones) != len(item.durations) or sum(item.durations) != item.frames:
                raise ValueError(f"{where}: durations and phones disagree in {item.tokens}; run train.data again")
            stop = item.start + item.frames
            out.append(
                Utterance(
                    torch.tensor(phones),
                    torch.tensor(tones),
                    torch.tensor(item.durations),
                    latent[item.start : stop],
                    wav[item.first : item.first + item.samples],
                    centres[item.start : stop],
                    item,
                )
            )
    return out


def save(path: Path, **content) -> None:
    """Written whole or not at all: a killed run leaves the file before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def load(path: Path) -> dict:
    if not path.exists():
        raise SystemExit(f"{path} is not there; run the stage before first (train/README.md)")
    return torch.load(path, weights_only=True, map_location="cpu")


def arguments(parser: argparse.ArgumentParser, name: str, voice: bool = True) -> argparse.Namespace:
    """Parse what every stage takes beside its own options; voice: it can start from a released one.

    One thread on the CPU, since stages run side by side. Raises SystemExit if torch cannot use the device.
    """
    parser.add_argument("--resume", action="store_true", help="go on from --out, if it is there")
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of data and states")
    parser.add_argument("--out", type=Path, help=f"the stage's state (RUNS/{name})")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or another one of torch's")
    if voice:
        parser.add_argument("--from", dest="voice", type=Path, help="a voice's folder to start from, without --out")
    args = parser.parse_args()
    args.out = args.out or args.runs / name
    torch.set_num_threads(1)
    try:
        torch.zeros(1, device=args.device)
    except (RuntimeError, AssertionError) as error:
        why = f"torch cannot use the device {args.device!r} ({str(error).splitlines()[0]})"
        raise SystemExit(f"{why}; leave --device out to train on the CPU") from None
    args.device = torch.device(args.device)
    return args


def start(args: argparse.Namespace, net: Synthesizer, parts: Iterable[str], optimizer: Optimizer) -> tuple[int, float]:
    """Put weights into the stage's parts -> steps and seconds done; (-1, 0) if the weights are fresh."""
    if args.resume and args.out.exists():
        state = load(args.out)
        for part in parts:
            net.get_submodule(part).load_state_dict(state[part])
        optimizer.load_state_dict(state["optimizer"])
        return state["step"], state["seconds"]
    if args.voice:
        released, _ = load_checkpoint(args.voice / "G.safetensors")
        for part in parts:
            net.get_submodule(part).load_state_dict(released.get_submodule(part).state_dict())
        return 0, 0.0
    return -1, 0.0


def keep(
    path: Path, net: Synthesizer, parts: Iterable[str], optimizer: Optimizer, step: int, seconds: float, **more
) -> None:
    """What start() reads."""
    weights = {part: net.get_submodule(part).state_dict() for part in parts}
    save(path, **weights, optimizer=optimizer.state_dict(), step=step, seconds=seconds, **more)


class Average:
    """The running average of a module's weights over the last thousand steps or so: what a voice is made of."""

    def __init__(self, module: nn.Module, path: Path | None = None, decay: float = 0.999) -> None:
        """path: a stage's state to go on from."""
        kept = load(path).get("average") if path and path.exists() else None
        self.weights = {name: value.clone() for name, value in module.state_dict().items()}
        for name, value in (kept or {}).items():
            self.weights[name].copy_(value)
        self.module, self.decay = module, decay

    @torch.no_grad()
    def update(self) -> None:
        now = self.module.state_dict()
        torch._foreach_lerp_(list(self.weights.values()), [now[name] for name in self.weights], 1 - self.decay)


class Clock:
    """Says when to print and when to save, and how long this run has trained, breaks not counted."""

    def __init__(self, seconds: float, print_every: float = 30, save_every: float = 120):
        self.spent, self.last = seconds, time.monotonic()
        self.print_every, self.save_every = print_every, save_every
        self.next_print, self.next_save = seconds + print_every, seconds + save_every

    def tick(self) -> tuple[bool, bool]:
        now = time.monotonic()
        self.spent += now - self.last
        self.last = now
        shall = self.spent >= self.next_print, self.spent >= self.next_save
        self.next_print += self.print_every * shall[0]
        self.next_save += self.save_every * shall[1]
        return shall
