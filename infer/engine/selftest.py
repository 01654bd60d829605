"""Does the device compute what plain torch on the CPU does?  python -m infer.selftest [--set webui.device=xpu]

The voice says a fixed sentence on both, stage by stage, on the same durations and the same frames. Exit code 0 when
they agree, 1 when they do not: then the engine goes on with torch on the CPU and says so.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

import text
from infer import log
from infer.engine import stages
from infer.engine.decoding import decode
from infer.engine.pipeline import Engine
from infer.engine.record import SelfTest
from infer.engine.voice import Voice
from infer.request import SpeechError
from models import Synthesizer, align, load_checkpoint
from models.checkpoint import read_config
from models.config import CLAP_WIDTH
from models.stages import DURATION_NOISE, SLOT_NOISE, Whole, latent, ones, with_source

SENTENCE = "今天天气真好。"
SEED = 1
SAFE = "cpu", "torch"  # where the engine goes on after a failure
# The largest difference that may be, relative to the largest value: rounding adds up over some hundred layers, GPUs
# round the factors of float32 products to 10 bits as a rule, and half precision has no more than that.
LIMITS = {"cpu": 1e-3, "gpu": 2e-2, "half": 1e-1}
T = TypeVar("T")


def is_due(engine: Engine) -> bool:
    """Whether the device is one that our own tests cannot vouch for: drivers differ from machine to machine."""
    return engine.device.torch.type != "cpu" or engine.backend not in ("torch", "onnx")


def check(engine: Engine, name: str = "") -> SelfTest:
    """The report on a voice, also kept as engine.report; after a failure the engine uses torch on the CPU.

    name: empty for the voice used last. Raises SpeechError without a voice.
    """
    report = compare(engine, name or next((voice.id for voice in reversed(engine.in_memory)), ""))
    if not report.passed and (engine.device.torch.type, engine.backend) != SAFE:
        report = replace(report, fell_back=True)
        logging.getLogger(__name__).warning(report.sentence)
        engine.use(*SAFE, eight_bit=engine.settings.webui.int8_run, reason=report.sentence)
    engine.report = report
    return report


def compare(engine: Engine, name: str = "") -> SelfTest:
    """One voice on the device in use against the same file in plain torch. Changes nothing."""
    voice, device, backend = engine.load(name), engine.device, engine.backend
    kind = "half" if device.dtype != torch.float32 else "cpu" if device.torch.type == "cpu" else "gpu"
    # OpenVINO has the GPU by its own ways, whatever torch's device is.
    kind = "gpu" if kind == "cpu" and backend.partition(":")[2] not in ("", "cpu") else kind
    where = "CPU" if device.torch.type == "cpu" else device.name
    report = SelfTest(voice.id, where, backend, LIMITS[kind])
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
def _measured(report: SelfTest, voice: Voice, network: Synthesizer, windows: list[int]) -> SelfTest:
    config, variant, noise = network.config, network.config.variant, stages.noise(SEED, 0)
    utterance = text.analyse(SENTENCE)[0]
    tokens = stages.tokenise(utterance, config.add_blank, stages.TABLES[variant.table])
    length, speaker = len(tokens.phones), voice.speaker(next(iter(voice.speakers)))
    widths = [
        (variant.bert_pre or width) if i == 0 else width for i, (_, width) in enumerate(variant.bert)
    ]  # noise in the place of BERT's features: the network's arithmetic is asked here, not what it says
    bert = tuple(noise(i, length, width) / length**0.5 for i, width in enumerate(widths, SLOT_NOISE))
    emotion = torch.ones(1, CLAP_WIDTH) / CLAP_WIDTH**0.5 if variant.needs_clap else torch.eye(1, len(config.emotions))
    inputs = stages.inputs(utterance, tokens, config, bert, emotion, speaker)
    rhythm = noise(DURATION_NOISE, length, 2)[None] * 0.8

    plain, parts = Whole(network), stages.Bucketed(voice.backend)
    prior = plain.encode(inputs, rhythm, 0.5)
    frames = align(prior.log_durations.clamp(max=3), ones(inputs.phones), 1.0)[0]  # noise may ask for hours
    z_p, z = latent(plain, config, prior, frames, speaker, noise, 0.6)
    source = with_source(z, config, noise)
    wave = network.dec(source, speaker)[0, 0]
    if not wave.isfinite().all():
        raise SpeechError("engine.damaged", voice=voice.id)

    def sound() -> Tensor:
        return torch.cat(list(decode(voice.backend, config, source, speaker, windows, first=True)))

    ours, encoding = _second(lambda: parts.encode(inputs, rhythm, 0.5))
    ours_z, flowing = _second(lambda: parts.flow(z_p, speaker))
    ours_wave, decoding = _second(sound)
    seconds = len(wave) / config.sampling_rate
    of_prior = ("mean", "log_std", "log_durations")
    return replace(
        report,
        seconds=seconds,
        differences={
            "encode": max(_difference(getattr(ours, name), getattr(prior, name)) for name in of_prior),
            "flow": _difference(ours_z, z),
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
