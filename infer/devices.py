"""Which device runs the network: what is here, what was asked for, what is used and why."""

from dataclasses import dataclass

import torch

import bert


@dataclass(frozen=True)
class Device:
    """The device in use, the precision of the network there, and a sentence for the log about how it was chosen."""

    torch: torch.device
    dtype: torch.dtype
    note: str

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
    if torch.xpu.is_available():
        found += [f"xpu:{i}" for i in range(torch.xpu.device_count())]
    if torch.cuda.is_available():
        found += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return [*found, "cpu"]


def choose(wanted: str = "auto", half: bool = False, eight_bit: bool = False) -> Device:
    """`wanted`: auto, cpu, cuda, xpu, or with an index. What is not here falls back aloud, never silently."""
    here = available()
    wanted = wanted.strip().lower() or "auto"
    matching = [name for name in here if wanted == "auto" or name == wanted or name.split(":")[0] == wanted]
    name = matching[0] if matching else here[0]
    notes = []
    if not matching:
        notes.append(f"device {wanted!r} is not here (found: {', '.join(here)}); using {name}")
    _, note = bert.precision(name.split(":")[0], half, eight_bit)
    notes += [note] if note else []
    dtype = torch.float16 if half and name != "cpu" else torch.float32
    return Device(torch.device(name), dtype, "; ".join(notes))
