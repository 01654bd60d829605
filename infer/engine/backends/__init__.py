"""Ways to run the two static halves of the network: one small file each, the same calls: encode, flow, head, tail."""

import importlib.util
from collections.abc import Sequence
from math import gcd
from pathlib import Path
from typing import Protocol

from torch import Tensor, get_num_threads  # not torch itself: a module here has its name

from infer.engine.devices import Device
from infer.request import SpeechError
from models import Prior, Synthesizer

NAMES = ("auto", "onnx", "torch", "openvino", "ipex")


class Backend(Protocol):
    """What the pipeline asks of a backend; lengths are those of infer.engine.shapes, tensors float32 on the CPU."""

    size: int  # bytes of the weights, in the form that it keeps them
    compiles: bool  # whether a shape that it has not seen costs time

    def encode(self, ids: tuple[Tensor, ...], bert: tuple[Tensor, ...], *rest: Tensor, sdp_ratio: float) -> Prior:
        """ids: phones, tones, languages and mask; rest: emotion, speaker and noise. See Synthesizer.encode."""

    def flow(self, z_p: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        """Prior sample [1, I, F] -> latent [1, I, F], zero under the mask."""

    def head(self, z: Tensor, speaker: Tensor, mask: Tensor | None) -> Tensor:
        """A window of the latent, with what drives the voice [1, I, size] -> the decoder's first stage
        [1, C, size * rate], on any device."""

    def tail(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """A window of the first stage [1, C, size * rate] -> samples [size * hop]."""


def choose(wanted: str, device: Device) -> str:
    """The name of a backend, "openvino:gpu" with its device. Raises SpeechError for an unknown one.

    auto: on a CPU onnxruntime, which `make bench` shows to be the fastest, where it is installed; torch on GPUs.
    """
    name = wanted.strip().lower() or "auto"
    if name.partition(":")[0] not in NAMES or (":" in name and not name.startswith("openvino:")):
        raise SpeechError("engine.no_backend", backend=wanted, backends=NAMES)
    if name != "auto":
        return name
    there = all(importlib.util.find_spec(package) for package in ("onnxruntime", "onnx"))
    return "onnx" if there and device.torch.type == "cpu" else "torch"


def make(
    name: str, network: Synthesizer, device: Device, store: Path | None, windows: Sequence[int], threads: int = 0
) -> Backend:
    """The backend of a name that choose() gave. store: where graphs are kept, or None. Raises SpeechError."""
    kind, _, place = name.partition(":")
    threads = threads or get_num_threads()
    if kind == "torch":
        from infer.engine.backends.torch_backend import TorchBackend

        return TorchBackend(network, device)
    if kind == "onnx":
        from infer.engine.backends.onnx_backend import OnnxBackend

        return OnnxBackend(network, store, gcd(*windows), threads)
    if kind == "openvino":
        from infer.engine.backends.openvino_backend import OpenVinoBackend

        return OpenVinoBackend(network, store, gcd(*windows), threads, place)
    from infer.engine.backends.ipex_backend import IpexBackend

    return IpexBackend(network, device)
