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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.flop_counter import FlopCounterMode

from infer.engine import backends, devices, stages
from infer.engine.backends import Backend
from infer.engine.decoding import decode
from infer.engine.stages import Bucketed
from infer.request import SpeechError
from infer.settings import load_settings
from models import VARIANTS, Prior, Synthesizer, SynthesizerConfig, load_checkpoint
from models.checkpoint import read_config
from models.config import CLAP_WIDTH
from models.flow import WaveNetStack
from models.generator import Generator
from models.stages import DURATION_NOISE, LATENT_NOISE, SLOT_NOISE, Inputs, Parts, Whole, with_source

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
    def encode(self, inputs: Inputs, noise: Tensor, sdp_ratio: float) -> Prior:
        there = {name: self._there(value) for name, value in vars(inputs).items() if name != "bert"}
        there["bert"] = tuple(map(self._there, inputs.bert))
        return Whole(self.network).encode(Inputs(**there), self._there(noise), sdp_ratio)

    @torch.inference_mode()
    def flow(self, z_p: Tensor, speaker: Tensor) -> Tensor:
        return Whole(self.network).flow(self._there(z_p), self._there(speaker)).cpu()

    @torch.inference_mode()
    def whole(self, z: Tensor, speaker: Tensor) -> Tensor:
        return self.network.dec(self._there(z), self._there(speaker)).cpu()


class Sentence:
    """Random inputs of the shapes that a sentence has."""

    def __init__(self, config: SynthesizerConfig, tokens: int, frames: int) -> None:
        self.config, variant, noise = config, config.variant, stages.noise(frames, 0)
        ids = torch.randint(1, 100, (1, tokens), generator=torch.Generator().manual_seed(frames))
        widths = [variant.bert_width, *(width for _, width in variant.bert[1:])] if variant.needs_bert else []
        emotion = torch.zeros(1, CLAP_WIDTH if variant.needs_clap else len(config.emotions))
        emotion[:, :1] = 1
        bert = tuple(noise(SLOT_NOISE, tokens, width)[None] for width in widths)
        self.speaker = noise(SLOT_NOISE, 1, config.gin_channels)[None]
        self.inputs = Inputs(ids, ids * 0, ids * 0, bert, emotion, self.speaker)
        self.rhythm = noise(DURATION_NOISE, tokens, 2)[None]
        self.z_p = noise(LATENT_NOISE, frames, config.inter_channels)[None]
        self.z = with_source(self.z_p, config, noise)
        self._noise = noise

    def encode(self, parts: Parts) -> object:
        return parts.encode(self.inputs, self.rhythm, 0.5)

    def flow(self, parts: Parts) -> Tensor:
        return with_source(parts.flow(self.z_p, self.speaker), self.config, self._noise)

    def windows(self, backend: Backend, sizes: list[int]) -> list[Tensor]:
        return list(decode(backend, self.config, self.z, self.speaker, sizes, first=False))

    def first_sound(self, backend: Backend, sizes: list[int]) -> Tensor:
        """All that is done before the first samples are there."""
        self.encode(Bucketed(backend))
        return next(decode(backend, self.config, self.flow(Bucketed(backend)), self.speaker, sizes, first=True))


class Blank:
    """A backend that computes nothing and writes down the shapes that reach it."""

    compiles, size = False, 0

    def __init__(self, config: SynthesizerConfig) -> None:
        self.seen: set[tuple] = set()
        self._channels, self._rate = config.head_channels, config.upsample_rates[0]
        self._hop = config.hop // self._rate

    def encode(self, ids: tuple[Tensor, ...], *_: object, **__: object) -> Prior:
        self.seen.add(("encode", ids[0].shape))
        return Prior(*torch.zeros(3, 1, 1, ids[0].shape[-1]))

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


Work = dict[str, Callable[[], object]]  # by stage
TimesOf = dict[tuple[str, str], Times]  # by variant and stage
STAGES = ("encode", "flow", "decode")


def measure(name: str, network: Synthesizer, names: list[str], options: argparse.Namespace) -> dict:
    """Everything about one network: prints a table, returns the figures."""
    config, device = network.config, devices.choose(options.device)
    sizes = load_settings(environment={}).windows
    step = sizes[0]  # a whole decode, for comparison, must have a length that the graphs were made for
    frames = round(SECONDS * config.sampling_rate / config.hop / step) * step
    seconds = frames * config.hop / config.sampling_rate
    sentence, reference = Sentence(config, 4 * SYLLABLES + 5, frames), Reference(network, device)
    eager: Work = {
        "encode": partial(sentence.encode, reference),
        "flow": partial(sentence.flow, reference),
        "decode": partial(reference.whole, sentence.z, sentence.speaker),
    }
    flops = {stage: _flops(run) for stage, run in eager.items()}
    ready: dict[str, Backend] = {}
    rows: dict[str, dict[str, Any]] = {"eager": {}}
    for backend in names:
        before, began = memory_mb(), time.perf_counter()
        try:
            ready[backend] = backends.make(backend, copy.deepcopy(network), device, None, sizes, options.threads)
        except SpeechError as error:
            print(f"{backend}: left out. {error}", file=sys.stderr)
            continue
        rows[backend] = {"load_s": time.perf_counter() - began}
        sentence.first_sound(ready[backend], sizes)
        sentence.windows(ready[backend], sizes)
        rows[backend]["memory_mb"] = memory_mb() - before

    times, rate = _in_turns({"eager": eager} | {k: _work(b, sentence, sizes) for k, b in ready.items()}, options.rounds)
    for variant, row in rows.items():
        for stage in (*STAGES, "all"):
            row[stage] = _share(times, variant, STAGES if stage == "all" else (stage,), flops, rate, seconds)
        if variant != "eager":
            row |= _first(times, variant) | {"shapes": shapes_seen(config, sizes)}
            row["new_length"] = _new_length(ready[variant], config, sizes)
    result = {"network": name, "seconds": seconds, "frames": frames, "gflops_sgemm": rate / 1e9, "backends": rows}
    _print(result)
    return result


def _flops(run: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def _work(backend: Backend, sentence: Sentence, sizes: list[int]) -> Work:
    return {
        "encode": partial(sentence.encode, Bucketed(backend)),
        "flow": partial(sentence.flow, Bucketed(backend)),
        "decode": partial(sentence.windows, backend, sizes),
        "whole": partial(_whole, backend, sentence),
        "first": partial(sentence.first_sound, backend, sizes),
    }


def _in_turns(variants: dict[str, Work], rounds: int) -> tuple[TimesOf, float]:
    """The times of each, after a round to warm up, and operations a second of one thread in a product of matrices."""
    square, floor, times = torch.randn(1024, 1024), Times(), TimesOf()
    for turn in range(rounds + 1):
        floor.take(lambda: square @ square)
        for variant, work in variants.items():
            for stage, run in work.items():
                times.setdefault((variant, stage), Times()).take(run)
        if turn == 0:
            floor, times = Times(), {}
    return times, 2 * 1024**3 / statistics.median(floor.cpu)


def _median(times: TimesOf, variant: str, stages: Sequence[str], kind: str) -> float:
    return sum(statistics.median(getattr(times[variant, stage], kind)) for stage in stages)


def _share(
    times: TimesOf, variant: str, stages: Sequence[str], flops: dict[str, int], rate: float, seconds: float
) -> dict[str, float]:
    cpu, wall = (_median(times, variant, stages, kind) for kind in ("cpu", "wall"))
    eager, eager_wall = (_median(times, "eager", stages, kind) for kind in ("cpu", "wall"))
    figures = {"cpu": cpu / seconds, "wall": wall / seconds, "x": eager / cpu, "x_wall": eager_wall / wall}
    return figures | {"floor": cpu / (sum(flops[stage] for stage in stages) / rate)}


def _first(times: TimesOf, variant: str) -> dict[str, float]:
    """The first sound, against the whole sentence in eager torch; windows, against the decoder over the whole."""
    cpu, wall = (_median(times, variant, ("first",), kind) for kind in ("cpu", "wall"))
    decoder = [_median(times, variant, (stage,), "cpu") for stage in ("decode", "whole")]
    return {
        "windows_to_whole": decoder[0] / decoder[1],
        "first_sound_s": wall,
        "first_sound_x": _median(times, "eager", STAGES, "cpu") / cpu,
        "first_sound_x_wall": _median(times, "eager", STAGES, "wall") / wall,
    }


def _whole(backend: Backend, sentence: Sentence) -> Tensor:
    return backend.tail(backend.head(sentence.z, sentence.speaker, None), None)


def _new_length(backend: Backend, config: SynthesizerConfig, sizes: list[int]) -> float:
    """CPU time of a sentence of a new length against the same again; the median of several lengths."""
    ratios = []
    for i in range(5):
        sentence, parts = Sentence(config, 41 + 13 * i, 101 + 37 * i), Bucketed(backend)
        taken = Times()
        for _ in range(4):
            taken.take(lambda: (sentence.encode(parts), sentence.flow(parts), sentence.windows(backend, sizes)))  # noqa: B023
        ratios.append(taken.cpu[0] / statistics.median(taken.cpu[1:]))
    return statistics.median(ratios)


def shapes_seen(config: SynthesizerConfig, sizes: list[int]) -> int:
    """How many shapes reach a backend in 300 sentences of different lengths, first ones and others."""
    blank = Blank(config)
    for i in range(300):
        sentence = Sentence(config, 9 + i, 13 + 5 * i)
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
