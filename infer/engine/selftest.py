"""Does the device compute what plain torch on the CPU does?  python -m infer.selftest [--set webui.device=xpu]

The voice says a fixed sentence on both, stage by stage, on the same durations and the same frames. Exit code 0 when
they agree, 1 when they do not: then the engine goes on with torch on the CPU and says so.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch
from torch import Tensor

import text
from infer import log
from infer.engine import shapes
from infer.engine.decoding import decode
from infer.engine.pipeline import DURATION_NOISE, LATENT_NOISE, SLOT_NOISE, TABLES, Engine, tokenise, with_source
from infer.engine.voice import Voice
from infer.request import SpeechError
from models import Prior, Synthesizer, align, load_checkpoint
from models.checkpoint import read_config
from models.config import CLAP_WIDTH
from models.synthesizer import sample_prior

SENTENCE = "今天天气真好。"
SEED = 1
SAFE = "cpu", "torch"  # where the engine goes on after a failure
# The largest difference that may be, relative to the largest value: rounding adds up over some hundred layers, GPUs
# round the factors of float32 products to 10 bits as a rule, and half precision has no more than that.
LIMITS = {"cpu": 1e-3, "gpu": 2e-2, "half": 1e-1}
T = TypeVar("T")


@dataclass(frozen=True)
class Report:
    """What came out. differences: by stage, relative to the largest value. rtf: by stage, of the second run.

    error: what the backend threw, instead. fell_back: the engine has gone on with torch on the CPU.
    """

    voice: str
    device: str
    backend: str
    limit: float
    differences: dict[str, float] = field(default_factory=dict)
    rtf: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    fell_back: bool = False

    @property
    def worst(self) -> float:
        return max(self.differences.values(), default=float("inf"))

    @property
    def passed(self) -> bool:
        return not self.error and self.worst <= self.limit

    @property
    def sentence(self) -> tuple[str, str]:
        """English, Chinese."""
        english, chinese = f"{self.backend} on {self.device}", f"{self.device} 上的 {self.backend} "
        if self.passed:
            return (
                f"Passed: {english} agrees with plain torch on the CPU; the largest difference is {self.worst:.1e}, "
                f"{self.limit:.0e} is allowed.",
                f"通过：{chinese}与 CPU 上的 torch 结果一致，最大相差 {self.worst:.1e}（允许 {self.limit:.0e}）。",
            )
        what = (
            (f"it stops with {self.error}", f"运行时出错 {self.error}")
            if self.error
            else (
                f"it differs by {self.worst:.1e}, {self.limit:.0e} is allowed",
                f"最大相差 {self.worst:.1e}（允许 {self.limit:.0e}）",
            )
        )
        after = (
            ("the engine goes on with torch on the CPU", "已改用 CPU 上的 torch")
            if self.fell_back
            else (
                "this is a fault of the program, please report this line",
                "这是程序的错误，请把这一行报告给我们",
            )
        )
        return (
            f"Failed: {english} does not agree with plain torch on the CPU: {what[0]}; {after[0]}.",
            f"未通过：{chinese}与 CPU 上的 torch 不一致，{what[1]}；{after[1]}。",
        )


def is_due(engine: Engine) -> bool:
    """Whether the device is one that our own tests cannot vouch for: drivers differ from machine to machine."""
    return engine.device.torch.type != "cpu" or engine.backend not in ("torch", "onnx")


def check(engine: Engine, name: str = "") -> Report:
    """The report on a voice, also kept as engine.report; after a failure the engine uses torch on the CPU.

    name: empty for the voice used last. Raises SpeechError without a voice.
    """
    report = compare(engine, name or next((voice.id for voice in reversed(engine.in_memory)), ""))
    if not report.passed and (engine.device.torch.type, engine.backend) != SAFE:
        report = replace(report, fell_back=True)
        logging.getLogger(__name__).warning(report.sentence[0])
        engine.use(*SAFE, eight_bit=engine.settings.webui.int8_run, reason=report.sentence)
    engine.report = report
    return report


def compare(engine: Engine, name: str = "") -> Report:
    """One voice on the device in use against the same file in plain torch. Changes nothing."""
    voice, device, backend = engine.load(name), engine.device, engine.backend
    kind = "half" if device.dtype != torch.float32 else "cpu" if device.torch.type == "cpu" else "gpu"
    # OpenVINO has the GPU by its own ways, whatever torch's device is.
    kind = "gpu" if kind == "cpu" and backend.partition(":")[2] not in ("", "cpu") else kind
    where = "CPU" if device.torch.type == "cpu" else device.name
    report = Report(voice.id, where, backend, LIMITS[kind])
    files = engine.files(voice.id)
    network, _ = load_checkpoint(files.weights, read_config(files.config))
    try:
        return _measured(report, voice, network.eval(), engine.settings.windows)
    except SpeechError:
        raise
    except Exception as error:  # whatever a driver throws
        log.failure(f"the self-test of {backend} on {device.torch}", error)
        return replace(report, error=type(error).__name__)


@torch.inference_mode()
def _measured(report: Report, voice: Voice, network: Synthesizer, windows: list[int]) -> Report:
    config, variant = network.config, network.config.variant
    tokens = tokenise(text.analyse(SENTENCE)[0], config.add_blank, TABLES[variant.table])
    length = len(tokens.phones)
    ids = [torch.tensor([row]) for row in (tokens.phones, tokens.tones, [0] * length)]
    speaker = voice.speaker(next(iter(voice.speakers)))
    widths = [
        (variant.bert_pre or width) if i == 0 else width for i, (_, width) in enumerate(variant.bert)
    ]  # noise in the place of BERT's features: the network's arithmetic is asked here, not what it says
    bert = [shapes.noise(SEED, 0, i, length, width)[None] / length**0.5 for i, width in enumerate(widths, SLOT_NOISE)]
    emotion = torch.ones(1, CLAP_WIDTH) / CLAP_WIDTH**0.5 if variant.needs_clap else torch.eye(1, len(config.emotions))
    noise = shapes.noise(SEED, 0, DURATION_NOISE, length, 2)[None] * 0.8

    whole = shapes.mask(length, length)
    theirs = network.encode(*ids, whole, tuple(bert), emotion, speaker, noise, 0.5)
    durations = align(theirs.log_durations.clamp(max=3), whole, 1.0)[0]  # noise may ask for hours
    frames = int(durations.sum())
    latent_noise = shapes.noise(SEED, 0, LATENT_NOISE, frames, config.inter_channels)
    z_p = sample_prior(theirs.mean[0], theirs.log_std[0], durations, latent_noise, 0.6)[None]
    z = network.flow(z_p, shapes.mask(frames, frames), speaker)
    driven = with_source(z, config, SEED, 0)
    wave = network.dec(driven, speaker)[0, 0]
    if not wave.isfinite().all():
        raise SpeechError(
            f"The voice {voice.id!r} gives no sound in plain torch either, so its file is damaged; look at it with "
            "python -m infer.doctor.",
            f"音色 {voice.id!r} 在 torch 上也发不出声音，文件已损坏；请用 python -m infer.doctor 检查。",
        )

    size = shapes.bucket(length, shapes.TOKEN_BUCKETS)
    padded = tuple(shapes.pad(x, size) for x in ids), tuple(shapes.pad(x, size) for x in bert)
    size_of_z = shapes.bucket(frames, shapes.FRAME_BUCKETS)

    def encode() -> Prior:
        mask, rest = shapes.mask(length, size), shapes.pad(noise, size)
        return voice.backend.encode((*padded[0], mask), padded[1], emotion, speaker, rest, sdp_ratio=0.5)

    def flow() -> Tensor:
        return voice.backend.flow(shapes.pad(z_p, size_of_z), shapes.mask(frames, size_of_z), speaker)

    def sound() -> Tensor:
        return torch.cat(list(decode(voice.backend, config, driven, speaker, windows, first=True)))

    seconds = frames * config.hop / config.sampling_rate
    (ours, encoding), (ours_z, flowing), (ours_wave, decoding) = map(_second, (encode, flow, sound))
    parts = ("mean", "log_std", "log_durations")
    return replace(
        report,
        seconds=seconds,
        differences={
            "encode": max(_difference(getattr(ours, p)[..., :length], getattr(theirs, p)) for p in parts),
            "flow": _difference(ours_z[..., :frames], z),
            "decode": _difference(ours_wave, wave),
        },
        rtf={"encode": encoding / seconds, "flow": flowing / seconds, "decode": decoding / seconds},
    )


def _second(work: Callable[[], T]) -> tuple[T, float]:
    """The result and the seconds of a second run: the first may compile."""
    work()
    began = time.perf_counter()
    return work(), time.perf_counter() - began


def _difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest one, relative to the largest value; infinite where something is no number."""
    largest = ((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-9)).item()
    return largest if largest == largest else float("inf")
