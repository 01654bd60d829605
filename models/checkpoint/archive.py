"""Files of tensors as data: what is in them first, the numbers later, and nothing in them is ever called.

torch.load(weights_only=True) still calls some functions with a file's own arguments (150 bytes can make it fill 3 GB,
nested keys can end the process), so a release's pickle is walked here as a list of plain values, and its numbers are
read out of the zip around it. What is read is bounded by the size of the file, whatever the file claims.

No file is mapped into memory: a map of a file that its owner overwrites ends the process (SIGBUS). That is why
safetensors, whose library maps, is read here as well.
"""

import errno
import io
import json
import math
import os
import pickletools
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.config import plain

DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_GLOBALS = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"}
_GLOBALS |= {f"torch {name}" for name in DTYPES}

MOST_AT_ONCE = 4 << 20  # bytes of a zip directory (a release with its optimizer has 0.4 MB) and of a header
_MOST_PICKLE = 2 << 20  # bytes; a release with its optimizer has 0.5 MB
_MOST_STEPS = 1 << 20  # instructions of a pickle; a release with its optimizer has 0.2 million
_MOST_NUMBER = 1 << 16  # as a key: an optimizer counts its parameters
_MOST_NUMBERS = 1 << 30  # bytes of one tensor; the largest of a release has 6 MB
_MOST_FILE = 16 << 30  # bytes; a release with its optimizer has 1 GB
_CHUNK = 1 << 20
_ENTRY = re.compile(r"(?!\.\.?/)[^/\\:\0]{1,100}/(data\.pkl|version|byteorder|data/\d{1,9}|\.[\w.]+(/[\w.]+)?)")


class Refused(ValueError):
    """Why a file is not read, as the middle of a sentence."""


@dataclass(frozen=True)
class _Storage:
    dtype: torch.dtype
    key: str
    elements: int


@dataclass(frozen=True)
class _View:
    """A tensor as the pickle describes it: a view of a storage, in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True)
class _Global:
    name: str


class TensorFile:
    """Tensors by name. `described`: without their numbers, on no device. `read`: one tensor, as stored."""

    described: Mapping[str, Tensor]
    other_bytes: int = 0  # of numbers beside the state dict: the optimizer's

    def read(self, name: str) -> Tensor:
        raise NotImplementedError


@contextmanager
def open_tensors(path: Path) -> Iterator[TensorFile]:
    """A safetensors file, or the zip of a torch.save with a state dict. Raises Refused for anything else."""
    with ExitStack() as stack:
        file = stack.enter_context(open_file(path))
        with _reasons(path):
            opened = _opened(path, file, stack)
        yield opened


def open_file(path: Path) -> io.FileIO:
    """A file to read, unbuffered. Raises Refused for a folder, a pipe or a device, which could make the reader wait
    for ever, and OSError."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # some devices act when they are opened
            raise Refused("is no file but a folder or a device")
        file = _Frugal(path, opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0)))
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Refused("is a link that leads back to itself") from error
        raise
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # it was put there meanwhile
        file.close()
        raise Refused("is no file but a folder or a device")
    return file


def instead(start: bytes) -> str | None:
    """What lies where a voice's file should be, by its first bytes: the two that failed downloads leave."""
    if start.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, which only names the real file: run git lfs pull, or download the file itself"
    if re.match(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|\?xml)\b", start, re.IGNORECASE):
        return "is a web page, as when a download asks to sign in: download the file itself"
    return None


def _opened(path: Path, file: io.FileIO, stack: ExitStack) -> TensorFile:
    size = os.fstat(file.fileno()).st_size
    if size > _MOST_FILE:
        raise Refused("is far larger than a voice")
    start = file.read(200) or b""
    if not start:
        raise Refused("is empty")
    if start[8:9] == b"{":
        return _Safetensors(path, file, size)
    if start[:4] != b"PK\x03\x04":
        raise Refused(
            instead(start) or "is neither safetensors nor the zip that torch.save has written since torch 1.6"
        )
    return _TorchZip(path, stack.enter_context(zipfile.ZipFile(file)))


@contextmanager
def _reasons(path: Path) -> Iterator[None]:
    """What the readers raise, as Refused, without the place of the file, which is nobody's business."""
    try:
        yield
    except Refused:
        raise
    except (
        *(zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError),
        *(ValueError, TypeError, LookupError, OverflowError, MemoryError, AttributeError),
    ) as error:
        words = plain(" ".join(str(error).replace(str(path), path.name).split()), 160) or type(error).__name__
        raise Refused(f"is damaged ({words})") from error


class _Safetensors(TensorFile):
    """Eight bytes with the header's length, the header (JSON), and the numbers of one tensor after the other."""

    def __init__(self, path: Path, file: io.FileIO, size: int) -> None:
        self._path, self._file = path, file
        length = int.from_bytes(_exactly(file, 0, 8), "little")
        if not 0 < length <= MOST_AT_ONCE:
            raise Refused("has a header too large for a voice")
        header = json.loads(str(_exactly(file, 8, length), "utf-8"), object_pairs_hook=unique)
        if not isinstance(header, dict):
            raise Refused("has a header that names no tensors")
        header.pop("__metadata__", None)
        self._places: dict[str, tuple[int, int]] = {}
        self.described = {}
        for name, entry in header.items():
            match entry:
                case {"dtype": str(kind), "shape": list(shape), "data_offsets": [int(first), int(end)]}:
                    pass
                case _:
                    raise Refused("has a header that safetensors does not write")
            if kind not in _SAFETENSORS_DTYPES:
                raise Refused(f"has numbers of the kind {plain(kind, 20)}, which no voice has")
            if len(shape) > 8 or not all(type(n) is int and 0 <= n < 1 << 62 for n in (*shape, first, end)):
                raise Refused("has a tensor of an impossible shape")
            self.described[name] = torch.empty(shape, dtype=_SAFETENSORS_DTYPES[kind], device="meta")
            if math.prod(shape) * _SAFETENSORS_DTYPES[kind].itemsize != end - first:
                raise Refused("claims more or fewer numbers than it holds")
            self._places[name] = 8 + length + first, end - first
        place = 8 + length
        for start, count in sorted(self._places.values()):  # one after the other, without holes, to the very end
            if start != place:
                raise Refused("has tensors that overlap or leave holes")
            place += count
        if place != size:
            raise Refused("is damaged (it is longer or shorter than its header says)")

    def read(self, name: str) -> Tensor:
        start, count = self._places[name]
        with _reasons(self._path):
            if count > _MOST_NUMBERS:
                raise Refused("has a tensor too large for a voice")
            told = self.described[name]
            if not count:
                return torch.empty(told.shape, dtype=told.dtype)
            return torch.frombuffer(_exactly(self._file, start, count), dtype=told.dtype).reshape(told.shape)


_SAFETENSORS_DTYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8},
    "BOOL": torch.bool,
}


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For json.loads, which would silently take the last of two equal keys."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _exactly(file: io.FileIO, start: int, count: int) -> bytearray:
    """So many bytes from there on, in memory of their own."""
    content = bytearray(count)
    file.seek(start)
    place = 0
    while place < count:
        got = file.readinto(memoryview(content)[place : place + _CHUNK])
        if not got:  # cut off meanwhile, or of a kind that makes its readers wait
            raise Refused("ends before its numbers do")
        place += got
    return content


class _Frugal(io.FileIO):
    """A file that hands out little at once: zipfile would hold a directory of any size that the file claims."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:  # to the end
            size = os.fstat(self.fileno()).st_size - self.tell()
        if size > MOST_AT_ONCE:
            raise Refused("has a directory too large for a voice")
        return super().read(max(size, 0))


class _TorchZip(TensorFile):
    """Every entry must be stored as it is, lie in one folder and take its place in the file for itself alone."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path, self._archive = path, archive
        self._entries = {entry.filename.partition("/")[2]: entry for entry in archive.infolist()}
        roots = {entry.filename.partition("/")[0] for entry in archive.infolist()}
        for entry in archive.infolist():
            if not _ENTRY.fullmatch(entry.filename) or stat.S_ISLNK(entry.external_attr >> 16):
                raise Refused("has an entry that torch.save does not write")
            if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
                raise Refused("is packed, which torch.save does not do")
        if len(self._entries) != len(archive.infolist()) or len(roots) != 1:
            raise Refused("has entries twice or in several folders")
        if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
            raise Refused("claims more than it holds")
        if "data.pkl" not in self._entries or self._entries["data.pkl"].file_size > _MOST_PICKLE:
            raise Refused("has no list of tensors of a sensible length")
        if "byteorder" in self._entries and self._bytes("byteorder") != b"little":
            raise Refused("was written on a machine with another byte order")
        content, storages = walk(bytes(self._bytes("data.pkl")))
        if isinstance(content, dict) and isinstance(content.get("model"), dict):
            content = content["model"]
        named = isinstance(content, dict) and all(isinstance(k, str) for k in content)
        if not named or not content or not all(isinstance(v, _View) for v in content.values()):
            raise Refused("holds no state dict of tensors")
        for storage in storages:
            entry = self._entries.get(f"data/{storage.key}")
            if entry is None or entry.file_size != storage.elements * storage.dtype.itemsize:
                raise Refused("lacks numbers that it claims to hold")
        used = {view.storage.key for view in content.values()}
        if len(used) != len(content):
            raise Refused("has two tensors on the same numbers")
        for view in content.values():
            if math.prod(view.shape) > view.storage.elements:
                raise Refused("claims more numbers than it holds")
        self._views: dict[str, _View] = content
        self.described = {
            name: torch.empty(v.shape, dtype=v.storage.dtype, device="meta") for name, v in content.items()
        }
        self.other_bytes = sum(s.elements * s.dtype.itemsize for s in set(storages) if s.key not in used)

    def read(self, name: str) -> Tensor:
        view = self._views[name]
        with _reasons(self._path):
            if view.storage.elements * view.storage.dtype.itemsize > _MOST_NUMBERS:
                raise Refused("has a tensor too large for a voice")
            if not view.storage.elements:
                return torch.empty(view.shape, dtype=view.storage.dtype)
            numbers = torch.frombuffer(self._bytes(f"data/{view.storage.key}"), dtype=view.storage.dtype)
            tensor = numbers.as_strided(view.shape, view.stride, view.offset)  # checks that it lies inside
            return tensor if tensor.numel() == numbers.numel() else tensor.clone()  # lets go of the rest

    def _bytes(self, name: str) -> bytearray:
        """An entry, in small pieces; zipfile checks its CRC."""
        entry = self._entries[name]
        content = bytearray(entry.file_size)
        place = 0
        with self._archive.open(entry) as file:
            while piece := file.read(_CHUNK):
                content[place : place + len(piece)] = piece
                place += len(piece)
        if place != entry.file_size:
            raise Refused("ends before its numbers do")
        return content


_MARK = object()
_VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def walk(pickled: bytes) -> tuple[Any, list[_Storage]]:
    """The value that a pickle of torch.save describes, tensors as _View, and all storages it names.

    Only what torch.save writes is understood (protocol 2). Anything else is Refused, above all every name of a
    function or class beside three that stand for a dict, a tensor and a parameter, and these are not called either.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    storages: list[_Storage] = []

    def since_mark() -> list[Any]:
        for i in range(len(stack) - 1, -1, -1):
            if stack[i] is _MARK:
                items = stack[i + 1 :]
                del stack[i:]
                return items
        raise Refused("has a broken list of tensors")

    for step, (op, argument, _) in enumerate(pickletools.genops(pickled)):
        if step > _MOST_STEPS:
            raise Refused("has no list of tensors of a sensible length")
        match op.name:
            case "PROTO":
                if argument != 2:
                    raise Refused(f"is written in pickle protocol {argument}, and torch.save writes 2")
            case "STOP":
                if len(stack) != 1:
                    raise Refused("has a broken list of tensors")
                return stack[0], storages
            case "MARK":
                stack.append(_MARK)
            case name if name in _VALUES:
                stack.append(argument)
            case name if name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE":
                stack.append(tuple(since_mark()))
            case name if name in _TUPLES:
                items = tuple(stack[-_TUPLES[name] :])
                del stack[-_TUPLES[name] :]
                stack.append(items)
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "APPEND" | "APPENDS":
                items = since_mark() if op.name == "APPENDS" else [stack.pop()]
                _of(stack[-1], list).extend(items)
            case "SETITEM" | "SETITEMS":
                items = since_mark() if op.name == "SETITEMS" else [stack.pop(-2), stack.pop()]
                fill(_of(stack[-1], dict), items)
            case "GLOBAL":
                if argument not in _GLOBALS:
                    raise Refused(f"wants to run {_printable(argument)}")
                stack.append(_Global(argument))
            case "BINPERSID":
                storages.append(_storage(stack.pop()))
                stack.append(storages[-1])
            case "REDUCE":
                arguments, function = _of(stack.pop(), tuple), _of(stack.pop(), _Global)
                stack.append(_rebuilt(function.name, arguments))
            case "BUILD":  # attributes of a state dict: the versions of its modules
                stack.pop()
                _of(stack[-1], dict)
            case name:
                raise Refused(f"has the instruction {name}, which torch.save does not write")
    raise Refused("has a broken list of tensors")


def fill(target: dict, items: list[Any]) -> None:
    """Keys are text and small numbers. A nested tuple could keep the hash busy for ever, and the hash of a large number
    is what its writer likes: multiples of 2 ** 61 - 1 all have the hash 0, and each would be compared to all before."""
    if len(items) % 2:
        raise Refused("has a broken list of tensors")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not (isinstance(key, str) or (type(key) is int and 0 <= key < _MOST_NUMBER)) or key in target:
            raise Refused("names its tensors by something that is no name, or twice")
        target[key] = value


def _storage(identity: Any) -> _Storage:
    match identity:
        case ("storage", _Global(name=kind), str(key), str(), int(elements)) if kind.startswith("torch "):
            if elements < 0:
                raise Refused("claims a negative number of numbers")
            return _Storage(DTYPES[kind.removeprefix("torch ")], key, elements)
    raise Refused("names its numbers in a way that torch.save does not")


def _rebuilt(function: str, arguments: tuple) -> Any:
    match function, arguments:
        case "collections OrderedDict", ():
            return {}
        case "torch._utils _rebuild_parameter", (_View() as view, *_):
            return view
        case "torch._utils _rebuild_tensor_v2", (_Storage() as storage, int(offset), tuple(shape), tuple(stride), *_):
            numbers = (offset, *shape, *stride)
            if len(shape) == len(stride) <= 8 and all(type(n) is int and 0 <= n < 1 << 62 for n in numbers):
                return _View(storage, offset, shape, stride)
            raise Refused("has a tensor of an impossible shape")
    raise Refused(f"wants to run {function.replace(' ', '.')} on something else than torch.save does")


def _of(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise Refused("has a broken list of tensors")
    return value


def _printable(name: str) -> str:
    return plain(name).replace(" ", ".")
