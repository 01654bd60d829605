"""python -m benchmarks.speed: how fast each backend speaks, as ratios to eager torch measured in the same process.

The reference is the network as it was trained: weight norm kept, every part whole and at its true length. A backend
gets what the pipeline gives it: buckets, and windows of the decoder. They take turns, so that whatever else the machine
does meets all alike; figures are medians. CPU time is the whole process's: on a shared machine the one to trust. The
floor is the time in which a product of two 1024 x 1024 matrices does as many operations. Text, BERT and CLAP are not
in it. On a GPU look at the wall time. The last line is JSON.
"""

import argparse
import copy
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.flop_counter import FlopCounterMode

from infer.engine import backends, devices, shapes
from infer.engine.backends import Backend
from infer.engine.decoding import decode
from infer.request import SpeechError
from infer.settings import load_settings
from models import VARIANTS, Synthesizer, SynthesizerConfig, load_checkpoint
from models.checkpoint import read_config
from models.config import CLAP_WIDTH
from models.flow import WaveNetStack
from models.generator import Generator
from models.stages import with_source

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 5.0  # of sound in the measured sentence
SYLLABLES = 22  # in it: at four tokens a syllable and the ends, 93 tokens

FULL = SynthesizerConfig(  # as released: the Chinese special family at 44.1 kHz
    variant=VARIANTS["extra-fix"],
    n_speakers=4,
    inter_channels=192,
    hidden_channels=192,
    filter_channels=768,
    n_heads=2,
    n_layers=6,
    kernel_size=3,
    gin_channels=256,
    resblock="1",
    resblock_kernel_sizes=(3, 7, 11),
    resblock_dilation_sizes=((1, 3, 5),) * 3,
    upsample_rates=(8, 8, 2, 2, 2),
    upsample_initial_channel=512,
    upsample_kernel_sizes=(16, 16, 8, 2, 2),
)


def full_network() -> Synthesizer:
    """The full-size network with random weights: it hisses, at the cost of a real voice."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Synthesizer(FULL).eval().requires_grad_(False)


def embedded_network() -> Synthesizer:
    folder = ROOT / "voices" / "xiaoyu"
    return load_checkpoint(folder / "G.safetensors", read_config(folder / "config.json"))[0]


class Reference:
    """Plain eager torch with weight norm kept, as the original project runs it."""

    compiles, size = False, 0

    def __init__(self, network: Synthesizer, device: devices.Device) -> None:
        self.network = copy.deepcopy(network)
        dec = self.network.dec
        normed = [*dec.ups, *dec.resblocks.modules()] if isinstance(dec, Generator) else []  # a Filter never had any
        normed += [m for stack in self.network.modules() if isinstance(stack, WaveNetStack) for m in stack.modules()]
        for layer in normed:
            if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
                weight_norm(layer)
        self.network.to(device.torch, device.dtype)
        self._there = lambda x: x.to(device.torch, device.dtype if x.is_floating_point() else None)

    @torch.inference_mode()
    def encode(self, ids: tuple, bert: tuple, *rest: Tensor, sdp_ratio: float) -> Tensor:
        ids, bert, rest = (tuple(map(self._there, group)) for group in (ids, bert, rest))
        return self.network.encode(*ids, bert, *rest, sdp_ratio).log_durations.cpu()

    @torch.inference_mode()
    def flow(self, z_p: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        return (self.network.flow(*map(self._there, (z_p, mask, speaker))) * self._there(mask)).cpu()

    @torch.inference_mode()
    def whole(self, z: Tensor, speaker: Tensor) -> Tensor:
        return self.network.dec(self._there(z), self._there(speaker)).cpu()


@dataclass
class Sentence:
    """Random inputs of the shapes that a sentence has; `padded`: in the buckets, as the pipeline gives them."""

    config: SynthesizerConfig
    tokens: int
    frames: int
    padded: bool

    def __post_init__(self) -> None:
        config, variant = self.config, self.config.variant
        random = torch.Generator().manual_seed(self.frames)
        t = shapes.bucket(self.tokens, shapes.TOKEN_BUCKETS) if self.padded else self.tokens
        f = shapes.bucket(self.frames, shapes.FRAME_BUCKETS) if self.padded else self.frames

        def normal(channels: int, length: int, size: int) -> Tensor:
            return shapes.pad(torch.randn(1, channels, length, generator=random), size)

        ids = torch.randint(1, 100, (1, self.tokens), generator=random)
        zeros = torch.zeros(1, t, dtype=torch.long)
        self.ids = shapes.pad(ids, t), zeros, zeros, shapes.mask(self.tokens, t)
        widths = [variant.bert_width, *(width for _, width in variant.bert[1:])] if variant.needs_bert else []
        self.bert = tuple(normal(width, self.tokens, t) for width in widths)
        emotion = torch.zeros(1, CLAP_WIDTH if variant.needs_clap else len(config.emotions))
        emotion[:, :1] = 1
        self.speaker = normal(config.gin_channels, 1, 1)
        self.rest = emotion, self.speaker, normal(2, self.tokens, t)
        self.z_p, self.mask = normal(config.inter_channels, self.frames, f), shapes.mask(self.frames, f)
        self.z = with_source(self.z_p[..., : self.frames], config, 0, 0)

    def encode(self, backend: Backend | Reference) -> object:
        return backend.encode(self.ids, self.bert, *self.rest, sdp_ratio=0.5)

    def flow(self, backend: Backend | Reference) -> Tensor:
        z = backend.flow(self.z_p, self.mask, self.speaker)[..., : self.frames]
        return with_source(z, self.config, 0, 0)

    def windows(self, backend: Backend, sizes: list[int]) -> list[Tensor]:
        return list(decode(backend, self.config, self.z, self.speaker, sizes, first=False))

    def first_sound(self, backend: Backend, sizes: list[int]) -> Tensor:
        """All that is done before the first samples are there."""
        self.encode(backend)
        return next(decode(backend, self.config, self.flow(backend), self.speaker, sizes, first=True))


class Blank:
    """A backend that computes nothing and writes down the shapes that reach it."""

    def __init__(self, config: SynthesizerConfig) -> None:
        self.seen: set[tuple] = set()
        self._channels, self._rate = config.head_channels, config.upsample_rates[0]
        self._hop = config.hop // self._rate

    def encode(self, ids: tuple[Tensor, ...], *_: object, **__: object) -> None:
        self.seen.add(("encode", ids[0].shape))

    def flow(self, z_p: Tensor, *_: Tensor) -> Tensor:
        self.seen.add(("flow", z_p.shape))
        return z_p

    def head(self, z: Tensor, _: Tensor, mask: Tensor | None) -> Tensor:
        self.seen.add(("head", z.shape, mask is None))
        return torch.zeros(1, self._channels, z.shape[-1] * self._rate)

    def tail(self, x: Tensor, mask: Tensor | None) -> Tensor:
        self.seen.add(("tail", x.shape, mask is None))
        return torch.zeros(x.shape[-1] * self._hop)


@dataclass
class Times:
    """CPU and wall seconds of one thing, once for each round."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def take(self, work: Callable[[], object]) -> None:
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        self.cpu.append(time.process_time() - cpu)
        self.wall.append(time.perf_counter() - wall)


def memory_mb() -> float:
    """Resident now; where the system does not tell, the most so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def measure(name: str, network: Synthesizer, names: list[str], options: argparse.Namespace) -> dict:
    """Everything about one network: prints a table, returns the figures."""
    config, device = network.config, devices.choose(options.device)
    sizes = load_settings(environment={})["windows"]
    step = sizes[0]  # a whole decode, for comparison, must have a length that the graphs were made for
    frames = round(SECONDS * config.sampling_rate / config.hop / step) * step
    seconds = frames * config.hop / config.sampling_rate
    plain, padded = (Sentence(config, 4 * SYLLABLES + 5, frames, bucketed) for bucketed in (False, True))

    reference = Reference(network, device)
    work = {"encode": partial(plain.encode, reference), "flow": partial(plain.flow, reference)}
    work["decode"] = partial(reference.whole, plain.z, plain.speaker)
    flops = {}
    for stage, run in work.items():
        with FlopCounterMode(display=False) as counter:
            run()
        flops[stage] = counter.get_total_flops()

    ready: dict[str, Backend] = {}
    made: dict[str, dict[str, float]] = {}
    for backend in names:
        before, began = memory_mb(), time.perf_counter()
        try:
            ready[backend] = backends.make(backend, copy.deepcopy(network), device, None, sizes, options.threads)
        except SpeechError as error:
            print(f"{backend}: left out. {error}", file=sys.stderr)
            continue
        made[backend] = {"load_s": time.perf_counter() - began}
        padded.first_sound(ready[backend], sizes)
        padded.windows(ready[backend], sizes)
        made[backend]["memory_mb"] = memory_mb() - before

    variants = {"eager": work}
    for backend, made_ready in ready.items():
        variants[backend] = {
            "encode": partial(padded.encode, made_ready),
            "flow": partial(padded.flow, made_ready),
            "decode": partial(padded.windows, made_ready, sizes),
            "whole": partial(_whole, made_ready, plain),
            "first": partial(padded.first_sound, made_ready, sizes),
        }
    times = {(v, stage): Times() for v, stages in variants.items() for stage in stages}
    square, floor = torch.randn(1024, 1024), Times()
    for turn in range(options.rounds + 1):
        floor.take(lambda: square @ square)
        for (variant, stage), taken in times.items():
            taken.take(variants[variant][stage])
        if turn == 0:  # to warm up
            floor = Times()
            times = {key: Times() for key in times}
    rate = 2 * 1024**3 / statistics.median(floor.cpu)  # operations a second and thread

    distinct = shapes_seen(config, sizes)
    result: dict = {"network": name, "seconds": seconds, "frames": frames, "gflops_sgemm": rate / 1e9, "backends": {}}
    for variant in variants:
        row = {}
        for stage in ("encode", "flow", "decode", "all"):
            parts = ("encode", "flow", "decode") if stage == "all" else (stage,)
            cpu, wall, eager, eager_wall = (
                sum(statistics.median(getattr(times[v, part], kind)) for part in parts)
                for v, kind in ((variant, "cpu"), (variant, "wall"), ("eager", "cpu"), ("eager", "wall"))
            )
            row[stage] = {"cpu": cpu / seconds, "wall": wall / seconds, "x": eager / cpu, "x_wall": eager_wall / wall}
            row[stage]["floor"] = cpu / (sum(flops[part] for part in parts) / rate)
        if variant != "eager":
            whole, first = times[variant, "whole"], times[variant, "first"]
            row["windows_to_whole"] = statistics.median(times[variant, "decode"].cpu) / statistics.median(whole.cpu)
            row["first_sound_s"] = statistics.median(first.wall)
            eager = {
                kind: sum(statistics.median(getattr(times["eager", s], kind)) for s in work) for kind in ("cpu", "wall")
            }
            row["first_sound_x"] = eager["cpu"] / statistics.median(first.cpu)
            row["first_sound_x_wall"] = eager["wall"] / row["first_sound_s"]
            row |= made[variant] | {"new_length": _new_length(ready[variant], config, sizes), "shapes": distinct}
        result["backends"][variant] = row
    _print(result)
    return result


def _whole(backend: Backend, sentence: Sentence) -> Tensor:
    return backend.tail(backend.head(sentence.z, sentence.speaker, None), None)


def _new_length(backend: Backend, config: SynthesizerConfig, sizes: list[int]) -> float:
    """CPU time of a sentence of a new length against the same again; the median of several lengths."""
    ratios = []
    for i in range(5):
        sentence = Sentence(config, 41 + 13 * i, 101 + 37 * i, padded=True)
        taken = Times()
        for _ in range(4):
            taken.take(lambda: (sentence.encode(backend), sentence.flow(backend), sentence.windows(backend, sizes)))  # noqa: B023
        ratios.append(taken.cpu[0] / statistics.median(taken.cpu[1:]))
    return statistics.median(ratios)


def shapes_seen(config: SynthesizerConfig, sizes: list[int]) -> int:
    """How many shapes reach a backend in 300 sentences of different lengths, first ones and others."""
    blank = Blank(config)
    for i in range(300):
        sentence = Sentence(config, 9 + i, 13 + 5 * i, padded=True)
        sentence.first_sound(blank, sizes)
        sentence.windows(blank, sizes)
    return len(blank.seen)


def _print(result: dict) -> None:
    print(f"\n{result['network']}: a sentence of {result['seconds']:.2f} s; sgemm {result['gflops_sgemm']:.0f} GFLOP/s")
    print("CPU seconds a second of sound (x: times faster than eager, f: multiple of the sgemm floor)")
    stages = ("encode", "flow", "decode", "all")
    print(f"{'':14}" + "".join(f"{stage:>26}" for stage in stages) + f"{'wall, all':>16}")
    for name, row in result["backends"].items():
        cells = "".join(f"{row[s]['cpu']:10.4f} {row[s]['x']:6.2f}x {row[s]['floor']:6.2f}f" for s in stages)
        print(f"{name:14}{cells}{row['all']['wall']:9.3f} {row['all']['x_wall']:5.2f}x")
    print(f"{'':14}{'first sound':>24}{'windows/whole':>15}{'new length':>12}{'shapes':>8}{'load':>8}{'memory':>10}")
    for name, row in result["backends"].items():
        if name != "eager":
            sound = f"{row['first_sound_s']:9.3f} s {row['first_sound_x']:5.1f}x CPU"
            print(f"{name:14}{sound} {row['windows_to_whole']:14.3f}{row['new_length']:12.3f}{row['shapes']:8}", end="")
            print(f"{row['load_s']:6.1f} s{row['memory_mb']:7.0f} MB")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.speed", description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cpu", help="cpu, cuda, xpu, auto (cpu)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (1)")
    parser.add_argument("--backends", nargs="+", metavar="NAME", help="torch, onnx, openvino:cpu … (all that are here)")
    parser.add_argument("--network", choices=("full", "embedded", "both"), default="both")
    parser.add_argument("--rounds", type=int, default=7, help="how often each takes its turn (7)")
    parser.add_argument("--quick", action="store_true", help="the embedded voice alone, in three rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args(arguments)
    if options.quick:
        options.network, options.rounds = "embedded", 3
    torch.set_num_threads(options.threads)
    device = devices.choose(options.device)
    names = options.backends or (["torch", "onnx", "openvino:cpu"] if device.torch.type == "cpu" else ["torch"])
    networks = {"embedded voice": embedded_network, "full size": full_network}
    wanted = [n for n in networks if options.network == "both" or n.startswith(options.network)]
    results = [measure(name, networks[name](), names, options) for name in wanted]
    summary = {"device": device.name, "threads": options.threads, "torch": torch.__version__, "results": results}
    line = json.dumps(summary, default=float)
    if options.json:
        options.json.write_text(line + "\n", encoding="utf-8")
    print(line)


if __name__ == "__main__":
    main()
