"""Graphs on disk, by what they were made from: made once, and anew when the weights or the exporter change."""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from infer.files import PART, write_whole
from models import Synthesizer

MOST = 4_000_000_000  # bytes in the folder; the files used longest ago make room
OLD = 3600  # seconds, after which nobody writes a file any more
_DIGEST = 32


def fingerprint(network: Synthesizer, exporter: Path, *options: object) -> str:
    """Of the weights, the constants, the sizes, the exporter's source and its options."""
    seen = hashlib.blake2b(exporter.read_bytes(), digest_size=_DIGEST)
    seen.update(repr((network.config, options)).encode())
    for name, value in (network.state_dict() | dict(network.named_buffers())).items():
        seen.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        seen.update(value.detach().contiguous().numpy())
    return seen.hexdigest()


def kept(folder: Path | None, name: str, make: Callable[[], bytes]) -> bytes:
    """The content of that name, from `folder` where it lies there whole, else made and put there.

    A folder that cannot be written, or none, means that it is made every time: nothing fails for want of a cache.
    """
    if folder is None:
        return make()
    file = folder / name
    with contextlib.suppress(OSError):
        data = file.read_bytes()
        if hashlib.blake2b(data[_DIGEST:], digest_size=_DIGEST).digest() == data[:_DIGEST]:
            os.utime(file)
            return data[_DIGEST:]
    content = make()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(file, hashlib.blake2b(content, digest_size=_DIGEST).digest() + content)
        _make_room(folder, file)
    return content


def _make_room(folder: Path, new: Path) -> None:
    for part in folder.glob(f".*{PART}"):  # of a program that was killed; another may be writing a younger one
        if time.time() - part.stat().st_mtime > OLD:
            part.unlink(missing_ok=True)
    files = sorted(((f.stat().st_mtime, f.stat().st_size, f) for f in folder.glob("*.onnx") if f != new), reverse=True)
    used = new.stat().st_size
    for _, size, file in files:
        used += size
        if used > MOST:
            file.unlink(missing_ok=True)
