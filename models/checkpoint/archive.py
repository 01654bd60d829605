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
from words import Fault, Message

_KINDS = (  # in a pickle of torch, and in safetensors
    *(("Double", "F64", torch.float64), ("Float", "F32", torch.float32), ("Half", "F16", torch.float16)),
    *(("BFloat16", "BF16", torch.bfloat16), ("Long", "I64", torch.int64), ("Int", "I32", torch.int32)),
    *(("Short", "I16", torch.int16), ("Char", "I8", torch.int8), ("Byte", "U8", torch.uint8)),
    ("Bool", "BOOL", torch.bool),
)
DTYPES = {f"{name}Storage": dtype for name, _, dtype in _KINDS}
_SAFETENSORS_DTYPES = {name: dtype for _, name, dtype in _KINDS}
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


class Refused(Fault, ValueError):
    """Why a file is not read, as the middle of a sentence that its name begins."""


class BadJson(Fault, ValueError):
    """What no JSON of a voice has, as the end of a sentence."""


def _demand(key: str, fine: object) -> None:
    """Raises Refused with that sentence unless it is so."""
    if not fine:
        raise Refused(key)


@dataclass(frozen=True)
class _Storage:
    dtype: torch.dtype
    key: str
    elements: int

    @property
    def bytes(self) -> int:
        return self.elements * self.dtype.itemsize


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
        with _reasons():
            tensors = _opened(file, stack)
        yield tensors


def open_file(path: Path) -> io.FileIO:
    """A file to read, unbuffered. Raises Refused for a folder, a pipe or a device, which could make the reader wait
    for ever, and OSError."""
    try:
        _demand("checkpoint.no_file", stat.S_ISREG(path.stat().st_mode))  # some devices act when they are opened
        file = _Frugal(path, opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0)))
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Refused("checkpoint.loop") from error
        raise
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # it was put there meanwhile
        file.close()
        raise Refused("checkpoint.no_file")
    return file


def instead(start: bytes) -> str | None:
    """Key of what lies where a voice's file should be, by its first bytes: the two that failed downloads leave."""
    if start.startswith(b"version https://git-lfs"):
        return "checkpoint.pointer"
    if re.match(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|\?xml)\b", start, re.IGNORECASE):
        return "checkpoint.web_page"
    return None


def _opened(file: io.FileIO, stack: ExitStack) -> TensorFile:
    size = os.fstat(file.fileno()).st_size
    _demand("checkpoint.large_file", size <= _MOST_FILE)
    start = file.read(200) or b""
    _demand("checkpoint.empty", start)
    if start[8:9] == b"{":
        return _Safetensors(file, size)
    _demand(instead(start) or "checkpoint.other_kind", start[:4] == b"PK\x03\x04")
    return _TorchZip(stack.enter_context(zipfile.ZipFile(file)), size)


@contextmanager
def _reasons() -> Iterator[None]:
    """What the readers raise, as Refused, without the place of the file, which is nobody's business."""
    try:
        yield
    except Refused:
        raise
    except (
        *(zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError),
        *(ValueError, TypeError, LookupError, OverflowError, MemoryError, AttributeError),
    ) as error:
        raise Refused("checkpoint.damaged", reason=short(error)) from error


def short(error: Exception) -> str | Message:
    """What an error says, on one line that is not long, without the name of a file."""
    if isinstance(error, Fault):
        return error.message
    words = getattr(error, "strerror", None) or str(error)
    return plain(" ".join(words.split()), 160) or type(error).__name__


class _Safetensors(TensorFile):
    """Eight bytes with the header's length, the header (JSON), and the numbers of one tensor after the other."""

    def __init__(self, file: io.FileIO, size: int) -> None:
        self._file = file
        length = int.from_bytes(_exactly(file, 0, 8), "little")
        _demand("checkpoint.long_header", 0 < length <= MOST_AT_ONCE)
        header = json.loads(str(_exactly(file, 8, length), "utf-8"), object_pairs_hook=unique)
        if not isinstance(header, dict):
            raise Refused("checkpoint.no_header")
        header.pop("__metadata__", None)
        self._places: dict[str, tuple[int, int]] = {}
        self.described = {}
        for name, entry in header.items():
            match entry:
                case {"dtype": str(kind), "shape": list(shape), "data_offsets": [int(first), int(end)]}:
                    pass
                case _:
                    raise Refused("checkpoint.other_header")
            if kind not in _SAFETENSORS_DTYPES:
                raise Refused("checkpoint.no_kind", kind=plain(kind, 20))
            _demand("checkpoint.shape", len(shape) <= 8 and all(map(_is_size, (*shape, first, end))))
            self.described[name] = torch.empty(shape, dtype=_SAFETENSORS_DTYPES[kind], device="meta")
            _demand("checkpoint.count", math.prod(shape) * _SAFETENSORS_DTYPES[kind].itemsize == end - first)
            self._places[name] = 8 + length + first, end - first
        place = 8 + length
        for start, count in sorted(self._places.values()):  # one after the other, without holes, to the very end
            _demand("checkpoint.holes", start == place)
            place += count
        _demand("checkpoint.length", place == size)

    def read(self, name: str) -> Tensor:
        start, count = self._places[name]
        with _reasons():
            _demand("checkpoint.large_tensor", count <= _MOST_NUMBERS)
            described = self.described[name]
            if not count:
                return torch.empty(described.shape, dtype=described.dtype)
            return torch.frombuffer(_exactly(self._file, start, count), dtype=described.dtype).reshape(described.shape)


def _is_size(value: Any) -> bool:
    """Of a tensor, or a place in a file."""
    return type(value) is int and 0 <= value < 1 << 62


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For json.loads, which would silently take the last of two equal keys."""
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise BadJson("checkpoint.twice")
    return mapping


def _exactly(file: io.FileIO, start: int, count: int) -> bytearray:
    """So many bytes from there on, in memory of their own."""
    content = bytearray(count)
    file.seek(start)
    place = 0
    while place < count:
        count_read = file.readinto(memoryview(content)[place : place + _CHUNK])
        if not count_read:  # cut off meanwhile, or of a kind that makes its readers wait
            raise Refused("checkpoint.cut")
        place += count_read
    return content


class _Frugal(io.FileIO):
    """A file that hands out little at once: zipfile would hold a directory of any size that the file claims."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:  # to the end
            size = os.fstat(self.fileno()).st_size - self.tell()
        _demand("checkpoint.directory", size <= MOST_AT_ONCE)
        return super().read(max(size, 0))


class _TorchZip(TensorFile):
    """Every entry must be stored as it is, lie in one folder and take its place in the file for itself alone."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self._archive, entries = archive, archive.infolist()
        for entry in entries:
            link = stat.S_ISLNK(entry.external_attr >> 16)
            _demand("checkpoint.entry", _ENTRY.fullmatch(entry.filename) and not link)
            plainly = entry.compress_type == zipfile.ZIP_STORED and entry.compress_size == entry.file_size
            _demand("checkpoint.packed", plainly)
        self._entries = {entry.filename.partition("/")[2]: entry for entry in entries}
        roots = {entry.filename.partition("/")[0] for entry in entries}
        _demand("checkpoint.folders", len(self._entries) == len(entries) and len(roots) == 1)
        _demand("checkpoint.claims", sum(entry.file_size for entry in entries) <= size)
        names = self._entries.get("data.pkl")
        _demand("checkpoint.no_list", names and names.file_size <= _MOST_PICKLE)
        little = "byteorder" not in self._entries or self._bytes("byteorder") == b"little"
        _demand("checkpoint.byte_order", little)
        content, storages = walk(bytes(self._bytes("data.pkl")))
        if isinstance(content, dict) and isinstance(content.get("model"), dict):
            content = content["model"]
        named = isinstance(content, dict) and all(isinstance(k, str) for k in content)
        _demand("checkpoint.no_state", named and content and all(isinstance(v, _View) for v in content.values()))
        for storage in storages:
            stored = self._entries.get(f"data/{storage.key}")
            _demand("checkpoint.lost_numbers", stored and stored.file_size == storage.bytes)
        used = {view.storage.key for view in content.values()}
        _demand("checkpoint.shared_numbers", len(used) == len(content))
        few = any(math.prod(view.shape) > view.storage.elements for view in content.values())
        _demand("checkpoint.few_numbers", not few)
        self._views: dict[str, _View] = content
        self.described = {
            name: torch.empty(v.shape, dtype=v.storage.dtype, device="meta") for name, v in content.items()
        }
        self.other_bytes = sum(s.bytes for s in set(storages) if s.key not in used)

    def read(self, name: str) -> Tensor:
        view = self._views[name]
        with _reasons():
            _demand("checkpoint.large_tensor", view.storage.bytes <= _MOST_NUMBERS)
            if not view.storage.elements:
                return torch.empty(view.shape, dtype=view.storage.dtype)
            numbers = torch.frombuffer(self._bytes(f"data/{view.storage.key}"), dtype=view.storage.dtype)
            tensor = numbers.as_strided(view.shape, view.stride, view.offset)  # checks that it lies inside
            return tensor if tensor.numel() == numbers.numel() else tensor.clone()  # lets go of the rest

    def _bytes(self, name: str) -> bytearray:
        """An entry, in small pieces; zipfile checks its CRC."""
        content = bytearray()
        with self._archive.open(self._entries[name]) as file:
            while piece := file.read(_CHUNK):
                content += piece
        _demand("checkpoint.cut", len(content) == self._entries[name].file_size)
        return content


_MARK = object()
_VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "MARK": _MARK}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def walk(pickled: bytes) -> tuple[Any, list[_Storage]]:
    """The value that a pickle of torch.save describes, tensors as _View, and all storages it names.

    Only what torch.save writes is understood (protocol 2). Anything else is Refused, above all every name of a
    function or class beside three that stand for a dict, a tensor and a parameter, and these are not called either.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    storages: list[_Storage] = []
    for step, (op, argument, _) in enumerate(pickletools.genops(pickled)):
        _demand("checkpoint.no_list", step <= _MOST_STEPS)
        match op.name:
            case "PROTO":
                if argument != 2:
                    raise Refused("checkpoint.protocol", protocol=argument)
            case "STOP":
                _demand("checkpoint.broken_list", len(stack) == 1)
                return stack[0], storages
            case name if name in _VALUES:
                stack.append(argument)
            case name if name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            case name if name in _EMPTY:
                stack.append(_EMPTY[name]())
            case "TUPLE":
                stack.append(tuple(_since_mark(stack)))
            case name if name in _TUPLES:
                stack[-_TUPLES[name] :] = [tuple(stack[-_TUPLES[name] :])]
            case "BINPUT" | "LONG_BINPUT":
                memo[_of(argument, int)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[_of(argument, int)])
            case "APPEND" | "APPENDS":
                items = _since_mark(stack) if op.name == "APPENDS" else [stack.pop()]
                _of(stack[-1], list).extend(items)
            case "SETITEM" | "SETITEMS":
                items = _since_mark(stack) if op.name == "SETITEMS" else [stack.pop(-2), stack.pop()]
                fill(_of(stack[-1], dict), items)
            case "GLOBAL":
                if argument not in _GLOBALS:
                    raise Refused("checkpoint.code", name=plain(str(argument)).replace(" ", "."))
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
                raise Refused("checkpoint.instruction", name=name)
    raise Refused("checkpoint.broken_list")


def _since_mark(stack: list[Any]) -> list[Any]:
    """Takes what was put on the stack since the last mark, and the mark."""
    for i in range(len(stack) - 1, -1, -1):
        if stack[i] is _MARK:
            items = stack[i + 1 :]
            del stack[i:]
            return items
    raise Refused("checkpoint.broken_list")


def fill(target: dict, items: list[Any]) -> None:
    """Keys are text and small numbers. A nested tuple could keep the hash busy for ever, and the hash of a large number
    is what its writer likes: multiples of 2 ** 61 - 1 all have the hash 0, and each would be compared to all before."""
    _demand("checkpoint.broken_list", len(items) % 2 == 0)
    for key, value in zip(items[::2], items[1::2], strict=True):
        named = isinstance(key, str) or (type(key) is int and 0 <= key < _MOST_NUMBER)
        _demand("checkpoint.no_name", named and key not in target)
        target[key] = value


def _storage(identity: Any) -> _Storage:
    match identity:
        case ("storage", _Global(name=kind), str(key), str(), int(elements)) if kind.startswith("torch "):
            _demand("checkpoint.negative", elements >= 0)
            return _Storage(DTYPES[kind.removeprefix("torch ")], key, elements)
    raise Refused("checkpoint.other_numbers")


def _rebuilt(function: str, arguments: tuple) -> Any:
    match function, arguments:
        case "collections OrderedDict", ():
            return {}
        case "torch._utils _rebuild_parameter", (_View() as view, *_):
            return view
        case "torch._utils _rebuild_tensor_v2", (_Storage() as storage, int(offset), tuple(shape), tuple(stride), *_):
            sizes = all(map(_is_size, (offset, *shape, *stride)))
            _demand("checkpoint.shape", len(shape) == len(stride) <= 8 and sizes)
            return _View(storage, offset, shape, stride)
    raise Refused("checkpoint.other_arguments", name=function.replace(" ", "."))


def _of(value: Any, kind: type) -> Any:
    _demand("checkpoint.broken_list", isinstance(value, kind))
    return value
