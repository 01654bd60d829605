"""Which device runs the network: what is here, what was asked for, what is used and why."""

import contextlib
import importlib.util
from dataclasses import dataclass

import torch

import bert

IPEX = "intel_extension_for_pytorch"


@dataclass(frozen=True)
class Device:
    """The device in use, the precision of the network there, and a sentence where it is not what was asked for."""

    torch: torch.device
    dtype: torch.dtype
    note: str
    note_zh: str = ""

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
    notes, chinese = [], []
    if not fitting:
        notes.append(f"device {wanted!r} is not here (found: {', '.join(here)}); using {name}")
        chinese.append(f"这里没有设备 {wanted!r}（有：{'、'.join(here)}），改用 {name}")
    _, note = bert.precision(torch.device(name).type, half, eight_bit)
    if note:
        notes.append(note.say("en"))
        chinese.append(note.say("zh"))
    dtype = torch.float16 if half and name != "cpu" else torch.float32
    return Device(torch.device(name), dtype, "; ".join(notes), "；".join(chinese))
