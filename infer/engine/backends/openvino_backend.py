"""OpenVINO on Intel CPUs, GPUs and NPUs; an optional package (requirements-openvino.txt)."""

import threading
from pathlib import Path
from typing import Any

import numpy as np

from infer.engine.backends.exported import ExportedBackend
from infer.request import SpeechError
from models import Synthesizer

DRIVERS = {
    "GPU": "the graphics driver with OpenCL (Debian and Ubuntu: apt install intel-opencl-icd)",
    "NPU": "the NPU driver (intel/linux-npu-driver; on Windows from Intel's driver page)",
}


class OpenVinoBackend(ExportedBackend):
    """See ExportedBackend. On a CPU a graph takes any length; elsewhere each shape is compiled once."""

    toom = False  # its own convolutions and the GPU's do better with plain ones

    def __init__(self, network: Synthesizer, store: Path | None, multiple: int, threads: int, wanted: str) -> None:
        """wanted: cpu, gpu, npu or auto. Raises SpeechError when the package or the driver is missing."""
        openvino = _package()
        self._core = openvino.Core()
        self._device = _device(self._core.available_devices, wanted)
        self.compiles = self._device != "CPU"
        if store:  # read, not mapped: who clears the cache while a voice speaks would end the process (SIGBUS)
            self._core.set_property({"CACHE_DIR": str(store / "openvino"), "ENABLE_MMAP": False})
        self._properties: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if self._device == "CPU":
            self._properties["INFERENCE_NUM_THREADS"] = threads
        self._graphs: dict[str, bytes] = {}
        self._ready: dict[tuple, Any] = {}
        self._compiling = threading.Lock()
        super().__init__(network, store, multiple)

    def _load(self, part: str, model: bytes) -> None:
        self._graphs[part] = model
        if not self.compiles:
            self._ready[part,] = self._compiled(part, {})

    def _compiled(self, part: str, shapes: dict[str, tuple[int, ...]]) -> Any:
        model = self._core.read_model(self._graphs[part])
        if shapes:
            model.reshape(shapes)
        return self._core.compile_model(model, self._device, self._properties)

    def _run(self, part: str, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        shapes = {name: value.shape for name, value in inputs.items()} if self.compiles else {}
        key = (part, *shapes.values())
        if key not in self._ready:
            with self._compiling:  # once, whoever asks first: the warm-up or a listener
                if key not in self._ready:
                    self._ready[key] = self._compiled(part, shapes)
        request = self._ready[key].create_infer_request()  # of its own: several may speak at once
        results = request.infer(inputs, share_inputs=True)
        return [np.array(results[output]) for output in self._ready[key].outputs]


def _package() -> Any:
    try:
        import openvino
    except ImportError as error:
        raise SpeechError("engine.no_openvino") from error
    return openvino


def _device(found: list[str], wanted: str) -> str:
    """CPU, GPU, GPU.1, NPU as OpenVINO calls them; AUTO takes the first GPU, else the CPU. Raises SpeechError."""
    wanted = wanted.upper() or "AUTO"
    if wanted == "AUTO":
        return next((name for name in found if name.startswith("GPU")), "CPU")
    matching = [name for name in found if name == wanted or name.split(".")[0] == wanted]
    if not matching:
        remedy = DRIVERS.get(wanted.split(".")[0], "one of those that are here")
        raise SpeechError("engine.no_openvino_device", place=wanted.lower(), kind=wanted, found=found, remedy=remedy)
    return matching[0]
