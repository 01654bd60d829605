"""Files made to harm: each is refused with one sentence, in seconds and little memory, and nothing in it is run.

One process reads them all, as the page and the command line would, with a limit on its memory.
"""

import contextlib
import io
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models import VARIANTS, CheckpointError, load_checkpoint, recognise
from models.checkpoint import archive, read_config
from models.checkpoint.doctor import examine
from tests.releases import config_of, state_of

ROOT = Path(__file__).resolve().parents[1]
FAMILY = "v1.1.1"
MEMORY = 400 << 20  # bytes that one file may add to the process
SECONDS = 10
SENTENCE = re.compile(r"[^\n\x1b]{20,900}\.")


class Call:
    """Pickled as: call `function` with `arguments`."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def raw(*names: str, end: bytes = b"") -> bytes:
    """A pickle of protocol 2 that calls module.function("touch executed") for each name and stops."""
    calls = b"".join(
        b"c" + n.replace(".", "\n").encode() + b"\n" + b"X\x0e\x00\x00\x00touch executed\x85R" for n in names
    )
    return b"\x80\x02" + calls + end + b"."


def zipped(pickled: bytes, **entries: bytes) -> bytes:
    """A torch archive with this list of tensors."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in {"data.pkl": pickled, "version": b"3\n", "byteorder": b"little", **entries}.items():
            archive.writestr(f"archive/{name}", content)
    return file.getvalue()


def saved(content: object, **options) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def tensor(
    key: str = "0", elements: int = 4, offset: int = 0, shape=(4,), stride=(1,), kind: str = "FloatStorage"
) -> bytes:
    """The opcodes of one tensor in a list of tensors."""

    def number(n: int) -> bytes:
        size = n.bit_length() // 8 + 1
        return b"\x8a" + bytes([size]) + n.to_bytes(size, "little", signed=True)

    def text(t: str) -> bytes:
        return b"X" + struct.pack("<I", len(t)) + t.encode()

    storage = b"(" + text("storage") + b"ctorch\n" + kind.encode() + b"\n" + text(key) + text("cpu") + number(elements)
    tuples = b"".join(b"(" + b"".join(map(number, numbers)) + b"t" for numbers in (shape, stride))
    empty = b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"tQ" + number(offset) + tuples + b"\x89" + empty + b"tR"


def listing(*tensors: tuple[bytes, bytes]) -> bytes:
    """A state dict: opcodes of the name, opcodes of the tensor."""
    return b"\x80\x02}" + b"".join(name + value + b"s" for name, value in tensors) + b"."


NAME = b"X\x10\x00\x00\x00enc_p.emb.weight"
FOUR = struct.pack("<4f", 1, 2, 3, 4)


def resaved(change: Callable[[zipfile.ZipFile, dict[str, bytes]], None]) -> bytes:
    """A good release whose entries are changed on the way into a new archive."""
    with zipfile.ZipFile(io.BytesIO(saved(state()))) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        change(archive, entries)
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def add(name: str, content: bytes = b"x", mode: int = 0, packed: bool = False):
    def change(archive, _):
        entry = zipfile.ZipInfo(name)
        entry.external_attr = mode << 16
        entry.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
        archive.writestr(entry, content)

    return resaved(change)


def header(entries: dict | bytes, numbers: bytes = b"", length: int | None = None) -> bytes:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + numbers


def entry(shape, start: int, end: int, kind: str = "F32") -> dict:
    return {"dtype": kind, "shape": shape, "data_offsets": [start, end]}


@cache
def good() -> dict[str, torch.Tensor]:
    return state_of(FAMILY, config_of(FAMILY))


def state(**changes) -> dict[str, torch.Tensor]:
    """A good state dict with something else in it."""
    return {**good(), **changes}


def deep(levels: int) -> bytes:
    """A tuple in a tuple in a tuple … as a name: hashing it overflows the stack."""
    return b"\x80\x02}" + b")" + b"\x85" * levels + tensor() + b"s."


def wide(levels: int) -> bytes:
    """A tuple of the same tuple twice, and so on: hashing it takes 2 ** levels steps."""
    doubled = b"".join(b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(levels))
    return b"\x80\x02" + b")q\x00" + doubled + b"}h%c" % levels + tensor() + b"s."


def colliding(count: int) -> bytes:
    """A dict whose keys all have the hash 0, as multiples of 2 ** 61 - 1 do: each is compared to all before."""
    keys = (i * ((1 << 61) - 1) for i in range(1, count + 1))
    numbers = ((n.bit_length() // 8 + 1, n) for n in keys)
    long1 = (b"\x8a" + bytes([size]) + n.to_bytes(size, "little", signed=True) + b"N" for size, n in numbers)
    return b"\x80\x02}(" + b"".join(long1) + b"u."


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 857\n"


def unspoken() -> dict[str, torch.Tensor]:
    return {name: value for name, value in state().items() if name != "emb_g.weight"}


# name of the file -> its content, and what the sentence must say
PICKLES: dict[str, tuple[Callable[[], bytes], str]] = {
    "os.system": (lambda: saved({"model": Call(os.system, "touch executed")}), "wants to run posix.system"),
    "exec": (lambda: saved({"model": Call(exec, "open('executed', 'w')")}), "wants to run builtins.exec|__builtin__"),
    "eval": (lambda: saved({"model": Call(eval, "open('executed', 'w')")}), "wants to run .*eval"),
    "in the optimizer": (
        lambda: saved({"model": state(), "optimizer": Call(os.system, "touch executed")}),
        "wants to run posix.system",
    ),
    "as a tensor": (lambda: saved({"model": state(x=Call(os.mkdir, "executed"))}), "wants to run posix.mkdir"),
    "nested": (lambda: saved([[{"a": (Call(Call, Call(os.system, "touch executed")),)}]]), "wants to run"),
    "before the stop": (lambda: zipped(raw("os.system", "builtins.eval", end=b"0}")), "wants to run os.system"),
    "stop at once": (lambda: zipped(b"\x80\x02."), "broken list"),
    "stop gadget": (lambda: zipped(b"\x80\x02}(X\x01\x00\x00\x00acos\nsystem\nu."), "wants to run os.system"),
    "after the stop": (lambda: zipped(listing() + raw("os.system")), "no state dict"),
    "getattr": (lambda: zipped(raw("builtins.getattr")), "wants to run builtins.getattr"),
    "instance": (lambda: zipped(b"\x80\x02(X\x01\x00\x00\x00aios\nsystem\n."), "the instruction INST"),
    "new object": (lambda: zipped(b"\x80\x02ccollections\nOrderedDict\n)\x81."), "the instruction NEWOBJ"),
    "a name off the stack": (
        lambda: zipped(b"\x80\x02X\x02\x00\x00\x00osX\x06\x00\x00\x00system\x93."),
        "STACK_GLOBAL",
    ),
    "extension code": (lambda: zipped(b"\x80\x02\x82\x01."), "the instruction EXT1"),
    "build": (lambda: zipped(b"\x80\x02ccollections\nOrderedDict\n}b."), "broken list"),
    "bytearray of 100 GB": (lambda: zipped(raw(end=b"cbuiltins\nbytearray\n\x8a\x05\x00\xe8vH\x17\x85R")), "bytearray"),
    "dict of arguments": (lambda: zipped(raw(end=b"ccollections\nOrderedDict\n(K\x01tR")), "wants to run"),
    "protocol 4": (lambda: saved(state(), pickle_protocol=4), "protocol 4"),
    "protocol 0": (
        lambda: zipped(pickle.dumps({"model": Call(os.system, "touch executed")}, 0)),
        "wants to run|instruct",
    ),
    "old format": (
        lambda: saved({"model": Call(os.system, "touch executed")}, _use_new_zipfile_serialization=False),
        "neither safetensors nor the zip",
    ),
    "bare pickle": (lambda: pickle.dumps({"model": Call(os.system, "touch executed")}, 2), "neither safetensors nor"),
    "a whole module": (lambda: saved(torch.nn.Linear(2, 2)), "wants to run"),
    "deep name": (lambda: zipped(deep(300_000), **{"data/0": FOUR}), "no name"),
    "wide name": (lambda: zipped(wide(200), **{"data/0": FOUR}), "no name"),
    "a number as name": (lambda: saved({7: torch.ones(2)}), "no state dict"),
    "a name twice": (lambda: zipped(listing((NAME, tensor()), (NAME, tensor())), **{"data/0": FOUR}), "or twice"),
    "long list": (lambda: zipped(b"\x80\x02" + b"}" * (3 << 20) + b"."), "sensible length"),
    "busy list": (lambda: zipped(b"\x80\x02" + b"}" * 2_000_000 + b"."), "sensible length"),
    "numbers with one hash": (lambda: zipped(colliding(130_000)), "no name"),
    "a large number as key": (lambda: zipped(colliding(1)), "no name"),
    "truth as key": (lambda: zipped(b"\x80\x02}(\x88Nu."), "no name"),
    "fraction as key": (lambda: zipped(b"\x80\x02}(G" + struct.pack(">d", 2.0**61) + b"Nu."), "no name"),
    "no memo": (lambda: zipped(b"\x80\x02h\x07."), "damaged"),
    "empty stack": (lambda: zipped(b"\x80\x02R."), "damaged"),
    "weights as numbers": (lambda: saved({"model": {"enc_p.emb.weight": 5}}), "no state dict"),
    "weights as text": (lambda: saved({"model": "weights"}), "no state dict"),
    "nothing in it": (lambda: saved({"model": OrderedDict()}), "no state dict"),
}

TENSORS: dict[str, tuple[Callable[[], bytes], str]] = {
    "view of 4 TB": (
        lambda: zipped(listing((NAME, tensor(shape=(1 << 20, 1 << 20), stride=(0, 0)))), **{"data/0": FOUR}),
        "claims more",
    ),
    "storage of 4 EB": (lambda: zipped(listing((NAME, tensor(elements=1 << 60))), **{"data/0": FOUR}), "lacks numbers"),
    "negative storage": (lambda: zipped(listing((NAME, tensor(elements=-4))), **{"data/0": FOUR}), "negative"),
    "negative shape": (lambda: zipped(listing((NAME, tensor(shape=(-4,)))), **{"data/0": FOUR}), "impossible shape"),
    "negative offset": (lambda: zipped(listing((NAME, tensor(offset=-1))), **{"data/0": FOUR}), "impossible shape"),
    "vast shape": (
        lambda: zipped(listing((NAME, tensor(shape=(0, 1 << 61, 1 << 61), stride=(1, 1, 1)))), **{"data/0": FOUR}),
        "damaged|no usable",
    ),
    "no numbers": (lambda: zipped(listing((NAME, tensor(key="9"))), **{"data/0": FOUR}), "lacks numbers"),
    "path as a key": (lambda: zipped(listing((NAME, tensor(key="../../x"))), **{"data/0": FOUR}), "lacks numbers"),
    "wrong kind": (lambda: zipped(listing((NAME, tensor(kind="HalfStorage"))), **{"data/0": FOUR}), "lacks numbers"),
    "shared numbers": (
        lambda: zipped(listing((NAME, tensor()), (b"X\x01\x00\x00\x00b", tensor())), **{"data/0": FOUR}),
        "same numbers",
    ),
    "integers": (lambda: saved(state(**{"dp.proj.bias": torch.ones(1, dtype=torch.int32)})), "of the kind int32"),
    "truth values": (lambda: saved(state(**{"dp.proj.bias": torch.ones(1, dtype=torch.bool)})), "of the kind bool"),
    "complex": (
        lambda: saved(state(**{"dp.proj.bias": torch.ones(1, dtype=torch.complex64)})),
        "wants to run torch.Compl",
    ),
    "NaN": (lambda: saved(state(**{"dp.proj.bias": torch.tensor([float("nan")])})), "not finite"),
    "infinite": (lambda: saved(state(**{"dec.conv_pre.bias": torch.full((16,), float("inf"))})), "not finite"),
    "norm of nothing": (lambda: saved(state(**{"dec.ups.0.weight_v": torch.zeros(16, 8, 16)})), "not finite"),
    "wrong shape": (lambda: saved(state(**{"dp.proj.bias": torch.ones(2)})), "instead of"),
    "wrong norm": (lambda: saved(state(**{"dec.ups.0.weight_g": torch.ones(5)})), "lacks dec.ups.0.weight"),
    "codes of no size": (
        lambda: saved(state(**{"enc_p.emo_vq._codebook.embed": torch.tensor(1.0)})),
        "no known family",
    ),
    "emotions of no size": (lambda: saved(state(**{"enc_p.emo_emb.weight": torch.tensor(1.0)})), "no known family"),
    "no channels": (lambda: saved(state(**{"enc_p.proj.weight": torch.ones(0, 16, 1)})), "no usable"),
    "escape in a name": (lambda: saved(state(**{"\x1b[2J\n" * 9: torch.ones(2)})), "has unknown"),
    "name of 1 MB": (lambda: saved(state(**{"enc_p." + "x" * 1_000_000: torch.ones(2)})), "no known family"),
    "sparse": (lambda: saved({"enc_p.emb.weight": torch.ones(2, 2).to_sparse()}), "wants to run"),
}

ARCHIVES: dict[str, tuple[Callable[[], bytes], str]] = {
    "path out": (lambda: add("../../executed"), "does not write"),
    "absolute path": (lambda: add("/tmp/executed"), "does not write"),
    "backslash": (lambda: add("archive\\..\\executed"), "does not write"),
    "link": (lambda: add("archive/data/99999", b"/etc/passwd", 0o120777), "does not write"),
    "code": (lambda: add("archive/code/run.py"), "does not write"),
    "another folder": (lambda: add("other/data.pkl", pickle.dumps(1)), "twice or in several"),
    "bomb": (lambda: add("archive/data/99999", bytes(64 << 20), packed=True), "is packed"),
    "packed": (lambda: add("archive/data/99999", b"abc" * 99, packed=True), "is packed"),
    "big endian": (
        lambda: resaved(lambda _, e: e.update({n: b"big" for n in e if n.endswith("byteorder")})),
        "byte order",
    ),
    "no list": (lambda: resaved(lambda _, e: e.pop(next(n for n in e if n.endswith("data.pkl")))), "no list"),
    "lost numbers": (lambda: resaved(lambda _, e: e.pop(next(n for n in e if n.endswith("data/3")))), "lacks numbers"),
    "flipped bit": (lambda: flipped(saved(state())), "damaged|CRC|several|does not write"),
    "cut in the middle": (lambda: (c := saved(state()))[: len(c) // 2], "damaged"),
    "last byte lost": (lambda: saved(state())[:-1], "damaged"),
    "zip of nothing": (lambda: b"PK\x05\x06" + bytes(18), "neither safetensors nor"),
    "first bytes alone": (lambda: b"PK\x03\x04", "damaged"),
    "claims 4 GB": (
        lambda: zipped(listing())[:-10] + struct.pack("<IIH", 0xFFFFFFF0, 0, 0),
        "damaged|too large",
    ),
}

SAFETENSORS: dict[str, tuple[Callable[[], bytes], str]] = {
    "huge header": (lambda: header(b"{}", length=1 << 62), "header too large"),
    "header beyond the end": (lambda: header(b"{}", length=1 << 20), "ends before"),
    "no header": (lambda: header(b"{", length=1), "damaged"),
    "broken header": (lambda: header(b'{"a": '), "damaged"),
    "deep header": (lambda: header(b'{"a":' + b"[" * 100_000), "damaged"),
    "overlap": (lambda: header({"a": entry([1], 0, 4), "b": entry([1], 2, 6)}, bytes(6)), "overlap"),
    "hole": (lambda: header({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, bytes(12)), "leave holes"),
    "beyond the end": (lambda: header({"a": entry([1 << 40], 0, 4 << 40)}, bytes(4)), "damaged"),
    "overflow": (lambda: header({"a": entry([1 << 40, 1 << 40], 0, 4)}, bytes(4)), "damaged"),
    "negative size": (lambda: header({"a": entry([-1], 0, 4)}, bytes(4)), "impossible shape"),
    "unknown kind": (lambda: header({"a": entry([1], 0, 4, "Q9")}, bytes(4)), "of the kind Q9"),
    "strange kind": (lambda: header({"a": entry([4], 0, 4, "F8_E4M3")}, bytes(4)), "of the kind F8_E4M3"),
    "number for a name": (
        lambda: header(b'{7: {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}}', bytes(4)),
        "damaged",
    ),
    "no tensors": (lambda: header({}), "no Bert-VITS2"),
    "trailing": (lambda: header({"a": entry([1], 0, 4)}, bytes(400)), "damaged"),
    "name twice": (
        lambda: header(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' * 2 + b'"b":1}', bytes(4)),
        "damaged",
    ),
}

FILES = {
    f"{kind} {name}.{kind}": made
    for kind, group in {"pth": PICKLES | TENSORS | ARCHIVES, "safetensors": SAFETENSORS}.items()
    for name, made in group.items()
} | {
    "empty.pth": (lambda: b"", "is empty"),
    "pointer.pth": (lambda: POINTER, "is a Git LFS pointer, .* run git lfs pull"),
    "pointer.safetensors": (lambda: POINTER, "is a Git LFS pointer"),
    "page with a doctype.pth": (lambda: b"\n<!DOCTYPE HTML>\n<html>" + bytes(9999), "is a web page"),
    "no speakers.pth": (lambda: saved({"model": unspoken()}), "it has no speakers"),
    "text.pth": (lambda: b"hello, I am a voice\n" * 99, "neither safetensors nor"),
    "page.safetensors": (lambda: b"<html>404</html>", "is a web page"),
}

CONFIGS: dict[str, tuple[Callable[[], bytes | dict], str]] = {
    **{
        f"{key} {str(value)[:16]}": (lambda key=key, value=value: config_of(FAMILY, **{key: value}), key.split(".")[0])
        for key, value in {
            "n_layers": 10**9,
            "n_layers_trans_flow": 10**9,
            "n_flow_layer": 10**9,
            "filter_channels": 2**40,
            "hidden_channels": -1,
            "gin_channels": 10**300,
            "n_heads": 0,
            "kernel_size": 1e3,
            "inter_channels": None,
            "upsample_rates": [10**4, 10**4, 10**4],
            "upsample_kernel_sizes": [[16], 8, 8],
            "resblock_dilation_sizes": [[1, 10**9], [1, 3]],
            "resblock_kernel_sizes": [3] * 10_000,
            "use_transformer_flow": "no",
            "upsample_initial_channel": True,
        }.items()
    },
    "product": (lambda: config_of(FAMILY, upsample_rates=[64] * 3, upsample_kernel_sizes=[64] * 3), "product"),
    "long kernels": (
        lambda: config_of(FAMILY, upsample_kernel_sizes=[1024] * 3),
        "sizes must be at most",
    ),
    "speakers": (lambda: config_of(FAMILY) | {"data": {"n_speakers": 10**9, "sampling_rate": 1}}, "n_speakers"),
    "a network of 100 GB": (
        lambda: config_of(
            FAMILY, hidden_channels=8192, filter_channels=32768, n_layers=8, n_layers_trans_flow=8, n_flow_layer=8
        ),
        "far larger than any voice",
    ),
    "no blocks": (dict, "the block 'model' is missing"),
    "blocks of text": (lambda: {"model": "x", "data": "y", "train": 0}, "the block 'model' is missing"),
    "a list": (lambda: b"[]", "must hold an object"),
    "a number": (lambda: b"7", "must hold an object"),
    "nothing": (lambda: b"", "not valid JSON"),
    "deep": (lambda: b"[" * 200_000, "not valid JSON"),
    "deep object": (lambda: b'{"a":' * 100_000, "not valid JSON"),
    "NaN": (lambda: b'{"model": {"n_layers": NaN}}', "NaN is no number"),
    "infinite": (lambda: b'{"model": {"n_layers": -Infinity}}', "Infinity is no number"),
    "a key twice": (lambda: b'{"model": {}, "model": {}}', "stands there twice"),
    "10,000 digits": (lambda: b'{"model": ' + b"9" * 10_000 + b"}", "not valid JSON"),
    "not UTF-8": (lambda: b'{"model": "\xff\xfe"}', "not valid JSON"),
    "GBK": (lambda: '{"title": "小雨"}'.encode("gbk"), "is GBK text and must be UTF-8: .* save it as UTF-8"),
    "UTF-16": (lambda: '{"title": "小雨"}'.encode("utf-16"), "is UTF-16 text and must be UTF-8"),
    "pointer": (lambda: POINTER, "is a Git LFS pointer"),
    "page": (lambda: b"<!doctype html><title>Sign in</title>", "is a web page"),
    "infinite by its exponent": (
        lambda: b'{"model": {"n_layers": 1e999}, "data": {}}',
        "n_layers|must be a whole number",
    ),
    "layers without tensors": (
        lambda: config_of(FAMILY, n_layers=64, n_layers_trans_flow=64, n_flow_layer=16),
        "describes 1094 layers, more than the checkpoint's .* tensors can hold",
    ),
    "speakers without a table": (lambda: more_speakers(65536), "set data.n_speakers to 2 there"),
    "variant of a list": (lambda: config_of(FAMILY) | {"variant": ["v2.3"]}, "is not known"),
    "variant of escapes": (lambda: config_of(FAMILY) | {"variant": "\x1b[2J\n" * 999}, "is not known"),
}


def more_speakers(count: int) -> dict:
    config = config_of(FAMILY)
    config["data"]["n_speakers"] = count
    return config


READ = """
import json, resource, sys, time
from pathlib import Path
from tests import test_hostile
folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
for item in json.loads(sys.argv[2]):
    began = time.process_time()
    told = test_hostile.ask(folder, item)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    print(json.dumps([item, told, time.process_time() - began, peak]), flush=True)
"""


def ask(folder: Path, item: str) -> str:
    """What the loader says of a file, and a check that the doctor says it too; runs in a process of its own."""
    file, config_file = folder / item, folder / "config.json"
    if item.startswith("config "):
        file, config_file = folder / "good.pth", file
    try:
        load_checkpoint(file, read_config(config_file))
    except CheckpointError as error:
        told = str(error)
    else:
        return "LOADED"
    report = examine(file, config_file)
    if report.usable or "\x1b" in report.text():
        return "THE DOCTOR TOOK IT"
    with contextlib.suppress(CheckpointError):  # what the page asks of every voice
        recognise(file, read_config(config_file))
    return told


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """name -> (sentence, seconds, peak memory in bytes) of every file, read in one process in a folder of its own."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "config.json").write_text(json.dumps(config_of(FAMILY)))
    (folder / "good.pth").write_bytes(saved({"model": state()}))
    for name, (make, _) in FILES.items():
        (folder / name).write_bytes(make())
    for name, (make, _) in CONFIGS.items():
        content = make()
        (folder / f"config {name}").write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    special(folder)
    items = ["good.pth", *FILES, *SPECIAL, *(f"config {name}" for name in CONFIGS)]
    before = {f.name for f in folder.iterdir()}
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", READ, str(folder), json.dumps(items)]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    told = {item: tuple(rest) for item, *rest in map(json.loads, run.stdout.splitlines())}
    assert {f.name for f in folder.iterdir()} == before, "a payload left a file"
    assert run.returncode == 0, f"the process ended after {len(told)} of {len(items)}: {run.stderr[-2000:]}"
    return told


SPECIAL = {
    "a folder.pth": "a folder or a device",
    "zero.pth": "a folder or a device",
    "pipe.pth": "a folder or a device",
    "dangling.pth": "does not exist",
    "1 TB of nothing.pth": "far larger than a voice",
    "1 TB tensor.safetensors": "far larger than a voice",
    "9 GB of nothing.pth": "neither safetensors nor",
    "9 GB after a zip.pth": "damaged|too large",
    "2 GB tensor.safetensors": "no usable",
    "directory of 1 GB.pth": "too large",
    "config of 1 GB": "far too large",
    "config pipe": "is no file",
    "config zero": "is no file",
    "config folder": "is no file but a folder",
    "config loop": "a link that leads back to itself",
    "loop.pth": "a link that leads back to itself",
    "config dangling": "cannot be read",
}


def special(folder: Path) -> None:
    """What is no ordinary file, and files with holes: large to look at, small on the disk."""
    (folder / "a folder.pth").mkdir()
    (folder / "zero.pth").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.pth")
    (folder / "dangling.pth").symlink_to(folder / "nothing")
    os.mkfifo(folder / "config pipe")
    (folder / "config zero").symlink_to("/dev/zero")
    (folder / "config folder").mkdir()
    (folder / "config loop").symlink_to(folder / "config loop")
    (folder / "loop.pth").symlink_to(folder / "loop.pth")
    (folder / "config dangling").symlink_to(folder / "nothing")

    def sparse(name: str, size: int, start: bytes = b"", end: bytes = b"") -> None:
        with (folder / name).open("wb") as file:
            file.write(start)
            file.truncate(size)
            file.seek(size - len(end))
            file.write(end)

    sparse("config of 1 GB", 1 << 30, b"{")
    sparse("1 TB of nothing.pth", 1 << 40)
    sparse("9 GB of nothing.pth", 9 << 30)
    sparse("9 GB after a zip.pth", 9 << 30, zipped(listing()))
    for name, numbers in {"1 TB tensor": 1 << 38, "2 GB tensor": 1 << 29}.items():
        named = header({"enc_p.emb.weight": entry([numbers >> 4, 16], 0, 4 * numbers)})
        sparse(f"{name}.safetensors", 4 * numbers + len(named), named)
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 65535, 65535, (1 << 30) - 100, 50, 0)
    sparse("directory of 1 GB.pth", 1 << 30, b"PK\x03\x04", end)


@pytest.mark.parametrize("item", [*FILES, *SPECIAL, *(f"config {name}" for name in CONFIGS)])
def test_refused_with_one_sentence(answers, item):
    expected = SPECIAL.get(item) or (FILES.get(item) or CONFIGS[item.removeprefix("config ")])[1]
    told, seconds, _ = answers[item]
    assert re.search(expected, told), told
    assert SENTENCE.fullmatch(told), told
    assert "hostile0" not in told, "the folder is nobody's business"
    assert seconds < SECONDS


def test_memory_stays_small(answers):
    """The peak of the whole process never rises far above what a good file took, which is read first."""
    base = answers["good.pth"][2]
    assert {item: peak >> 20 for item, (_, _, peak) in answers.items() if peak > base + MEMORY} == {}


def test_the_good_file_is_read(answers):
    assert answers["good.pth"][0] == "LOADED"


def test_the_tests_would_notice(tmp_path, monkeypatch):
    """torch.load without weights_only runs what these files hold."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "x.pth"
    file.write_bytes(PICKLES["as a tensor"][0]())
    torch.load(file, weights_only=False)
    assert (tmp_path / "executed").exists()


def test_keys_with_one_hash_are_refused_at_once():
    """Not after comparing each to all before: the very first ends it, whatever follows."""
    hashed = []

    class Watched(int):
        def __hash__(self):
            hashed.append(self)
            return 0

    keys = [Watched(i << 61) for i in range(1, 1000)]
    with pytest.raises(archive.Refused, match="no name"):
        archive.fill({}, [x for key in keys for x in (key, None)])
    assert not hashed
    archive.fill(kept := {}, [x for number in range(1000) for x in (number, None)])  # as an optimizer's
    assert len(kept) == 1000


def test_what_a_config_says_is_short_and_can_be_written():
    from models.config import SynthesizerConfig, speakers, title_of, version_of

    config = config_of("small")
    config |= {"title": "题" * 3_000_000, "version": "\ud800\x1b" * 9}
    config["data"]["spk2id"] = {"甲\ud800": 0, "乙" * 100_000: 1, " ": 0, "\u3000丙\u3000丁\n": 1}
    config["model"]["emotions"] = ["neutral", "\udfff", "x" * 10_000, "a\nb"]
    sizes = SynthesizerConfig.from_json(config, VARIANTS["small"])
    told = [title_of(config), version_of(config), *speakers(config, 2), *sizes.emotions]
    assert [len(words) for words in told] == [80, 18, 2, 80, 3, 7, 1, 80, 3]
    assert all((words.encode() and words.isprintable()) or "\u3000" in words for words in told)
    assert list(speakers(config, 2)) == ["甲?", "乙" * 79 + "…", "丙\u3000丁"]
    for garbage in (None, 7, ["x"], {"a": 1}, float("inf"), True):
        assert title_of({"title": garbage}) == ""


def test_garbage_for_names_of_speakers_numbers_them(tmp_path):
    from models.config import speakers

    for garbage in (None, 7, "甲", [], {}, {"甲": "0"}, {"甲": -1}, {"甲": 10**9}, {"甲": 0.0}, {"甲": True}, {"": 0}):
        assert speakers({"data": {"spk2id": garbage}}, 2) == {"0": 0, "1": 1}
    assert speakers({"data": {"spk2id": {"甲": 1, "乙": None, "丙": 7}}}, 2) == {"甲": 1}
    assert speakers({"data": 3}, 1) == speakers({}, 1) == {"0": 0}
    save_file(state(), tmp_path / "G.safetensors")
    config = config_of(FAMILY)
    config["data"]["spk2id"] = {"\x1b]0;x\x07": 0, "乙" * 10_000: 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    report = examine(tmp_path / "G.safetensors")
    assert report.usable and "\x1b" not in report.text() and len(report.text()) < 3000
