"""Which device runs the network: what is here, what was asked for, what is used and why."""

import contextlib
import importlib.util
from dataclasses import dataclass

import torch
from torch import dtype as DType

import bert
from words import Message, message

IPEX = "intel_extension_for_pytorch"


@dataclass(frozen=True)
class Device:
    """The device in use, the precision of the network there, and why it is not what was asked for."""

    torch: torch.device
    dtype: DType
    note: Message | None = None

    @property
    def name(self) -> str:
        """A name that people know: NVIDIA …, Intel(R) Arc(TM) …, CPU."""
        if self.torch.type == "cuda":
            return torch.cuda.get_device_name(self.torch)
        if self.torch.type == "xpu":
            return torch.xpu.get_device_name(self.torch)
        return f"CPU ({torch.get_num_threads()} threads)"


def available() -> list[str]:
    """Names of the devices here, the best first; the CPU is always the last."""
    found = []
    if not torch.xpu.is_available() and importlib.util.find_spec(IPEX):
        with contextlib.suppress(ImportError, OSError):  # a torch too old for the GPU itself: this teaches it
            importlib.import_module(IPEX)
    if torch.xpu.is_available():
        found += [f"xpu:{i}" for i in range(torch.xpu.device_count())]
    if torch.cuda.is_available():
        found += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return [*found, "cpu"]


def matching(wanted: str, here: list[str]) -> list[str]:
    """Which of the devices here are meant by auto, cpu, cuda, xpu or a name with an index."""
    wanted = wanted.strip().lower() or "auto"
    return [name for name in here if wanted == "auto" or name == wanted or name.split(":")[0] == wanted]


def choose(wanted: str = "auto", half: bool = False, eight_bit: bool = False) -> Device:
    """`wanted`: auto, cpu, cuda, xpu, or with an index. What is not here falls back aloud, never silently."""
    here = available()
    wanted = wanted.strip().lower() or "auto"
    fitting = matching(wanted, here)
    name = fitting[0] if fitting else here[0]
    notes = [] if fitting else [message("device.not_here", device=wanted, devices=here, choice=name)]
    _, note = bert.precision(torch.device(name).type, half, eight_bit)
    if note:
        notes.append(note)
    dtype = torch.float16 if half and name != "cpu" else torch.float32
    return Device(torch.device(name), dtype, message("device.notes", notes=notes) if notes else None)
