"""What this machine is: its CPU, memory, accelerators and packages. Nothing here fails; what is unknown is empty."""

import importlib.util
import os
import platform
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

INSTRUCTIONS = {  # what torch.cpu.get_capabilities calls it, and what people do; the one with the most last
    "avx2": "AVX2",
    "avx512_f": "AVX-512",
    "avx_vnni": "AVX-VNNI (int8)",
    "avx512_vnni": "AVX-512 VNNI (int8)",
    "avx512_bf16": "AVX-512 BF16",
    "amx_int8": "AMX (int8)",
    "amx_bf16": "AMX (bfloat16)",
    "neon": "NEON",
    "sve": "SVE",
    "bf16": "BF16",
}
PACKAGES = ("torch", "onnxruntime", "openvino", "intel-extension-for-pytorch")
KIND = {"GPU": "gpu", "NPU": "npu", "CPU": "cpu"}  # OpenVINO's names -> those of backend: openvino:…


@dataclass(frozen=True)
class Accelerator:
    """A GPU that torch sees. memory: bytes, 0 where it is not told."""

    id: str
    name: str
    memory: int


@cache
def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def cores() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def instructions() -> tuple[str, ...]:
    """The sets of instructions that make networks fast, in words."""
    if not hasattr(torch.cpu, "get_capabilities"):  # torch before 2.10
        return (torch.backends.cpu.get_cpu_capability(),)
    can = torch.cpu.get_capabilities()
    return tuple(words for name, words in INSTRUCTIONS.items() if can.get(name))


def accelerators() -> list[Accelerator]:
    found = []
    for kind, module in (("xpu", torch.xpu), ("cuda", torch.cuda)):
        for i in range(module.device_count() if module.is_available() else 0):
            about = module.get_device_properties(i)
            found.append(Accelerator(f"{kind}:{i}", about.name, getattr(about, "total_memory", 0)))
    return found


@cache
def openvino() -> dict[str, str]:
    """What OpenVINO finds: its device -> the device's name. Empty where the package is not installed."""
    if not importlib.util.find_spec("openvino"):
        return {}
    try:
        from openvino import Core

        core = Core()
        return {device: core.get_property(device, "FULL_DEVICE_NAME") for device in core.available_devices}
    except Exception:  # a broken driver must not take the page with it
        return {}


def backends() -> list[str]:
    """The backends that can be used here, auto first."""
    names = ["auto", "torch"]
    if all(importlib.util.find_spec(package) for package in ("onnxruntime", "onnx")):
        names.append("onnx")
    names += sorted({f"openvino:{KIND[d.partition('.')[0]]}" for d in openvino() if d.partition(".")[0] in KIND})
    return [*names, "ipex"] if importlib.util.find_spec("intel_extension_for_pytorch") else names


@cache
def packages() -> dict[str, str]:
    """Versions of what computes, by package; those that are not installed are left out."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def memory() -> tuple[int, int]:
    """Bytes of memory in all and free for programs; 0 where it is not told."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
        return kilobytes["MemTotal"] * 1024, kilobytes["MemAvailable"] * 1024
    except (OSError, KeyError):
        pages = getattr(os, "sysconf_names", {}).get("SC_PHYS_PAGES")
        return (os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE") if pages else 0), 0


def resident() -> int:
    """Bytes of memory that this process fills now; 0 where it is not told."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        if sys.platform == "darwin":
            import resource

            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # its peak
        return 0
