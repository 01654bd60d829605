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
    from onnx import TensorProto, helper

    types = {"F32": TensorProto.FLOAT, "I8": TensorProto.INT8}
    nodes: list[Any] = []
    weights: dict[str, Any] = {}
    constants: dict[str, Any] = {}

    def stored(name: str, *sizes: int) -> str:
        dtype, stored_sizes, offset, length = tensors[name]
        if tuple(stored_sizes) != sizes:
            raise Unfit("bert.sizes", file=INT8_WEIGHTS, name=name, sizes=str(stored_sizes), expected=str(list(sizes)))
        tensor = TensorProto(name=name, data_type=types[dtype], dims=sizes)
        if dtype == "I8":
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", INT8_WEIGHTS), ("offset", offset), ("length", length)):
                tensor.external_data.add(key=key, value=str(value))
        else:
            tensor.raw_data = np.fromfile(file, np.uint8, length, offset=offset).tobytes()
        weights[name] = tensor
        return name

    def constant(*values: float, dtype: int = TensorProto.INT64, dims: tuple[int, ...] | None = None) -> str:
        name = f"constant{len(constants)}"
        dims = (len(values),) if dims is None else dims
        constants[name] = helper.make_tensor(name, dtype, dims, values)
        return name

    def add(op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        names = [f"{op}{len(nodes)}_{i}" for i in range(outputs)]
        nodes.append(helper.make_node(op, inputs, names, name=f"{op}{len(nodes)}", **attributes))
        return names[0] if outputs == 1 else names

    last, first = constant(-1), constant(0)
    unit = constant(1.0, dtype=TensorProto.FLOAT, dims=())
    tiny = constant(1e-30, dtype=TensorProto.FLOAT)
    zeros = constant(0, dtype=TensorProto.INT8, dims=())
    split, merged = constant(0, shape.heads, shape.hidden // shape.heads), constant(0, shape.hidden)

    def norm(x: str, name: str) -> str:
        scale, shift = (stored(f"{name}.{part}", shape.hidden) for part in ("weight", "bias"))
        return add("LayerNormalization", x, scale, shift, axis=-1, epsilon=shape.eps)

    def linear(x: str, name: str, width: int, to: int) -> str:
        largest = add("Max", add("ReduceMax", add("Abs", x), last, keepdims=1), tiny)
        step = add("Div", largest, "levels")  # [tokens, 1]
        steps = add("Squeeze", step, last)
        codes = add("QuantizeLinear", x, steps, add("Expand", "middle", add("Shape", steps)), axis=0)
        weight, scale = stored(f"{name}.weight", width, to), stored(f"{name}.scale", to)
        # MatMulInteger and the scales of the outputs in one pass
        sums = add("MatMulIntegerToFloat", codes, weight, unit, scale, "middle", zeros, domain="com.microsoft")
        return add("Add", add("Mul", sums, step), stored(f"{name}.bias", to))

    def attention(x: str, layer: int) -> str:
        qkv = add("Split", linear(x, f"{layer}.qkv", shape.hidden, 3 * shape.hidden), axis=-1, num_outputs=3, outputs=3)
        q, k, v = (add("Reshape", part, split) for part in qkv)  # [tokens, heads, width of a head]
        q, k, v = (add("Transpose", q, perm=[1, 0, 2]), add("Transpose", k, perm=[1, 2, 0]),
                   add("Transpose", v, perm=[1, 0, 2]))  # fmt: skip
        root = constant((shape.hidden // shape.heads) ** -0.5, dtype=TensorProto.FLOAT)
        scores = add("Add", add("Mul", add("MatMul", q, k), root), "bias")
        sums = add("Transpose", add("MatMul", add("Softmax", scores, axis=-1), v), perm=[1, 0, 2])
        return linear(add("Reshape", sums, merged), f"{layer}.out", shape.hidden, shape.hidden)

    def feed_forward(x: str, layer: int) -> str:
        inner = add("Gelu", linear(x, f"{layer}.up", shape.hidden, shape.inner), approximate=shape.gelu)
        return linear(inner, f"{layer}.down", shape.inner, shape.hidden)

    words = add("Gather", stored("words", shape.vocabulary, shape.hidden), "ids")
    places = stored("positions", shape.positions, shape.hidden)
    x = add("Add", words, add("Slice", places, first, add("Shape", "ids"), first))
    x = x if shape.pre_norm else norm(x, "norm")
    for layer in range(shape.layers):
        if shape.pre_norm:
            x = add("Add", x, attention(norm(x, f"{layer}.norm1"), layer))
            x = add("Add", x, feed_forward(norm(x, f"{layer}.norm2"), layer))
        else:
            x = norm(add("Add", x, attention(x, layer)), f"{layer}.norm1")
            x = norm(add("Add", x, feed_forward(x, layer)), f"{layer}.norm2")
    nodes.append(helper.make_node("Identity", [x], ["hidden"]))

    inputs: tuple[Any, ...] = (
        *(("ids", TensorProto.INT64, ["tokens"]), ("bias", TensorProto.FLOAT, [1, "tokens"])),
        *(("levels", TensorProto.FLOAT, []), ("middle", TensorProto.UINT8, [])),
    )
    outputs = [helper.make_tensor_value_info("hidden", TensorProto.FLOAT, ["tokens", shape.hidden])]
    graph = helper.make_graph(
        nodes, "bert", [helper.make_tensor_value_info(*i) for i in inputs], outputs,
        [*weights.values(), *constants.values()],
    )  # fmt: skip
    return _model(graph)


def _model(graph: Any) -> bytes:
    from onnx import helper

    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION).SerializeToString()


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
    from onnx import TensorProto, helper

    weight = helper.make_tensor("w", TensorProto.INT8, (64, 64), [127] * 4096)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
        "probe",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [8, 64])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [8, 64])],
        [weight],
    )
    [sums] = _session(_model(graph)).run(None, {"x": np.full((8, 64), 255, np.uint8)})
    return bool((sums != 64 * 255 * 127).any())
