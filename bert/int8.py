"""The network with 8-bit weights, on the CPU, by onnxruntime: a quarter of the memory, and cheaper products.

Weights have one scale for each output (made offline by bert.quantise), activations one for each token, found as they
come. So the padding and an outlier of one token change nothing for the others, unlike with the one scale for all that
the usual dynamic quantisation has. Norms, attention, biases and embeddings are float32.

The file holds tensors only; the graph is built here and finds the 8-bit ones by their place in the file. That is
mapped while they are packed for the CPU, and no longer: who overwrote a mapped file would end the process (SIGBUS).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bert.files import INT8_WEIGHTS, Shape, model_folder
from pretrained import Unfit

FORMAT = "1"  # of the file; another one is made anew
OPSET, IR_VERSION = 21, 10


class Int8Network:
    """hidden_states[-3] of a window of tokens. positions: how many fit."""

    device = torch.device("cpu")
    dtype = torch.int8

    def __init__(self, session: Any, positions: int, levels: int) -> None:
        self.session = session
        self.positions = positions
        self.levels = levels

    @classmethod
    def load(cls, folder: Path) -> Int8Network:
        """From model.int8.safetensors of `folder`. Raises MissingModel."""
        shape = Shape.read(folder)
        with model_folder(folder).reading():
            file = folder / INT8_WEIGHTS
            graph = build(shape, layout(file), file)
            return cls(_session(graph, folder), shape.positions, 63 if _saturates() else 127)

    def __call__(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids, mask [1, size], ones for what exists -> float32 [size, hidden]."""
        feed = {
            "ids": ids[0].numpy(),
            "bias": torch.zeros(mask.shape).masked_fill(mask == 0, -math.inf).numpy(),
            "levels": np.array(self.levels, np.float32),
            "middle": np.array(self.levels + 1, np.uint8),
        }
        [hidden] = self.session.run(None, feed)
        return torch.from_numpy(hidden)


def layout(file: Path) -> dict[str, tuple[str, list[int], int, int]]:
    """Name -> (type, sizes, first byte, bytes) of each tensor of a safetensors file. Raises ValueError."""
    from safetensors import safe_open

    with safe_open(file, "pt") as checked:  # the library verifies that the header fits the file
        if (checked.metadata() or {}).get("int8_format") != FORMAT:
            raise Unfit("bert.other_version", name=file.name)
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(size))
    del header["__metadata__"]
    return {
        name: (entry["dtype"], entry["shape"], 8 + size + begin, end - begin)
        for name, entry in header.items()
        for begin, end in [entry["data_offsets"]]
    }


def is_current(file: Path) -> bool:
    """Whether a file of 8-bit weights is there and of this version."""
    try:
        return bool(layout(file))
    except Exception:  # missing, cut off, or something else: it is made anew
        return False


def build(shape: Shape, tensors: Mapping[str, tuple[str, list[int], int, int]], file: Path) -> bytes:
    """The network as an ONNX model: its 8-bit weights lie in `file`, what is not packed for the CPU in the model.

    Inputs: ids int64 [tokens]; bias float32 [1, tokens], 0 for what exists and -inf for padding; levels, middle: the
    largest step of an activation, and the number that stands for zero. Output: hidden float32 [tokens, hidden].
    Raises ValueError, KeyError.
    """
    from onnx import TensorProto, parser

    model = parser.parse_model(graph_text(shape))
    types = {"F32": TensorProto.FLOAT, "I8": TensorProto.INT8}
    for name, sizes in expected_sizes(shape).items():
        dtype, stored_sizes, offset, length = tensors[name]
        if tuple(stored_sizes) != sizes:
            raise Unfit("bert.sizes", file=INT8_WEIGHTS, name=name, sizes=str(stored_sizes), expected=str(list(sizes)))
        tensor = TensorProto(name=_identifier(name), data_type=types[dtype], dims=sizes)
        if dtype == "I8":
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", INT8_WEIGHTS), ("offset", offset), ("length", length)):
                tensor.external_data.add(key=key, value=str(value))
        else:
            tensor.raw_data = np.fromfile(file, np.uint8, length, offset=offset).tobytes()
        model.graph.initializer.append(tensor)
    return model.SerializeToString()


def expected_sizes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Of the file's tensors, by name."""
    hidden, inner = shape.hidden, shape.inner
    matrices = {"qkv": (hidden, 3 * hidden), "out": (hidden, hidden), "up": (hidden, inner), "down": (inner, hidden)}
    norms = [*([] if shape.pre_norm else ["norm"]), *(f"{i}.norm{n}" for i in range(shape.layers) for n in (1, 2))]
    sizes: dict[str, tuple[int, ...]] = {"words": (shape.vocabulary, hidden), "positions": (shape.positions, hidden)}
    sizes |= {f"{norm}.{part}": (hidden,) for norm in norms for part in ("weight", "bias")}
    for layer in range(shape.layers):
        for name, (width, to) in matrices.items():
            sizes |= {f"{layer}.{name}.weight": (width, to)}
            sizes |= {f"{layer}.{name}.{part}": (to,) for part in ("scale", "bias")}
    return sizes


def _identifier(name: str) -> str:
    """A tensor's name in ONNX's text: 0.qkv.weight is _0_qkv_weight."""
    return f"_{name.replace('.', '_')}"


def graph_text(shape: Shape) -> str:
    """The model in ONNX's text but for its weights."""
    text = Path(__file__).with_name("int8_layers.txt").read_text(encoding="utf-8")
    blocks = (block.partition("]\n") for block in text.split("\n[")[1:])
    parts = {name: "".join(line for line in body.splitlines(True) if line[0] not in "#\n") for name, _, body in blocks}
    width = shape.hidden // shape.heads
    facts = {"heads": shape.heads, "width": width, "hidden": shape.hidden, "root": f"{width**-0.5:.9g}"}
    facts |= {"eps": f"{shape.eps:.9g}", "gelu": shape.gelu}
    lines: list[str] = []

    def part(kind: str, y: str, x: str = "", other: str = "") -> str:
        lines.append(parts[kind].format(y=y, x=x, other=other, **facts))
        return y

    def attention(x: str, i: int) -> str:
        return part("linear", f"_{i}_out", part("heads", f"_{i}_heads", part("linear", f"_{i}_qkv", x)))

    def feed_forward(x: str, i: int) -> str:
        return part("linear", f"_{i}_down", part("gelu", f"_{i}_gelu", part("linear", f"_{i}_up", x)))

    x = part("begin", "embedded")
    x = x if shape.pre_norm else part("norm", "_norm", x)
    for i in range(shape.layers):
        for n, half in ((1, attention), (2, feed_forward)):
            if shape.pre_norm:
                x = part("add", f"_{i}_sum{n}", x, half(part("norm", f"_{i}_norm{n}", x), i))
            else:
                x = part("norm", f"_{i}_norm{n}", part("add", f"_{i}_sum{n}", x, half(x, i)))
    part("end", "hidden", x)
    inputs = "int64[tokens] ids, float[1, tokens] bias, float levels, uint8 middle"
    return (
        f'<ir_version: {IR_VERSION}, opset_import: ["": {OPSET}, "com.microsoft": 1]>\n'
        f"bert ({inputs}) => (float[tokens, {shape.hidden}] hidden)\n<int8 zeros = {{0}}>\n{{\n{''.join(lines)}}}"
    )


def _session(model: bytes, folder: Path | None = None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False  # what a long sentence took is given back
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the cores to others
    if folder:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _saturates() -> bool:
    """Whether sums of 8-bit products overflow here.

    On a CPU without the VNNI instructions two products are added in 16 bits. Activations of 7 bits stay below that.
    """
    from onnx import numpy_helper, parser

    model = parser.parse_model(
        f'<ir_version: {IR_VERSION}, opset_import: ["": {OPSET}]> probe (uint8[8, 64] x) => (int32[8, 64] y) '
        "{ y = MatMulInteger (x, w) }"
    )
    model.graph.initializer.append(numpy_helper.from_array(np.full((64, 64), 127, np.int8), "w"))
    [sums] = _session(model.SerializeToString()).run(None, {"x": np.full((8, 64), 255, np.uint8)})
    return bool((sums != 64 * 255 * 127).any())
