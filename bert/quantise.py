"""Make the 8-bit weights of a BERT, once:  python -m bert.quantise bert/Erlangshen-MegatronBert-1.3B-Chinese

Writes model.int8.safetensors beside the released weights, which are mapped and quantised layer by layer, by the
quantiser of onnxruntime: symmetric, one scale for each output. Exit code 0 when it is done, 1 when it cannot be.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from bert.files import (
    INT8_WEIGHTS,
    MissingModel,
    Shape,
    missing_files,
    read_weights,
    reading,
    refusal,
    weights_file,
)
from bert.int8 import FORMAT, IR_VERSION, OPSET, is_current

MATRICES = {  # ours: the release's, one after another
    "qkv": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "out": ("attention.output.dense",),
    "up": ("intermediate.dense",),
    "down": ("output.dense",),
}
NORMS = {True: ("attention.ln", "ln"), False: ("attention.output.LayerNorm", "output.LayerNorm")}  # by pre_norm

Progress = Callable[[int, int], None]  # layers done, layers in all


def is_needed(folder: str | Path) -> bool:
    """Whether the 8-bit weights are missing, of another version, or older than those that they are made from."""
    file, source = Path(folder) / INT8_WEIGHTS, weights_file(Path(folder))
    if not is_current(file):
        return True
    return source is not None and source.stat().st_mtime_ns > file.stat().st_mtime_ns


def quantise(folder: str | Path, progress: Progress = lambda *_: None) -> Path:
    """Write the 8-bit weights of the released ones in `folder`; the file gets its name when it is complete.

    Memory: what is written, and one layer in float32 a few times. Raises MissingModel.
    """
    folder = Path(folder)
    source = weights_file(folder)
    if source is None:
        lacking = ", ".join(missing_files(folder))
        raise refusal(folder, f"{folder} lacks {lacking}", f"{folder} 缺少 {lacking.replace(' or ', ' 或 ')}")
    shape = Shape.read(folder)
    with reading(folder):
        read_weights(source)
    try:  # mapped anew for each layer: the pages of a file that were read count as ours until they are let go
        tensors = _embeddings(read_weights(source), shape)
        for layer in range(shape.layers):
            progress(layer, shape.layers)
            tensors |= _layer(read_weights(source), layer, shape.pre_norm)
    except KeyError as error:
        raise refusal(
            folder, f"{source.name} in {folder} lacks {error}", f"{folder} 里的 {source.name} 缺少 {error}"
        ) from error
    progress(shape.layers, shape.layers)
    return _write(tensors, folder / INT8_WEIGHTS)


def _embeddings(weights: Mapping[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """Every token is of the first type, so its vector is added to the positions."""
    first = weights["embeddings.token_type_embeddings.weight"][:1].float()
    tensors = {
        "words": weights["embeddings.word_embeddings.weight"].float(),
        "positions": weights["embeddings.position_embeddings.weight"].float() + first,
    }
    if not shape.pre_norm:
        tensors |= {f"norm.{part}": weights[f"embeddings.LayerNorm.{part}"].float() for part in ("weight", "bias")}
    return tensors


def _layer(weights: Mapping[str, Tensor], layer: int, pre_norm: bool) -> dict[str, Tensor]:
    """The tensors of a layer under our names: int8 weights [in, out], float32 scales [out], biases and norms."""

    def joined(names: tuple[str, ...], part: str) -> Tensor:
        return torch.cat([weights[f"encoder.layer.{layer}.{name}.{part}"].float() for name in names])

    tensors = {}
    for ours, name in zip(("norm1", "norm2"), NORMS[pre_norm], strict=True):
        tensors |= {f"{layer}.{ours}.{part}": joined((name,), part) for part in ("weight", "bias")}
    for ours, names in MATRICES.items():
        codes, scale = quantised(joined(names, "weight"))
        tensors |= {f"{layer}.{ours}.weight": codes, f"{layer}.{ours}.scale": scale}
        tensors[f"{layer}.{ours}.bias"] = joined(names, "bias")
    return tensors


def quantised(weight: Tensor) -> tuple[Tensor, Tensor]:
    """float32 [out, in] -> int8 [in, out] and its scales [out], by onnxruntime's quantiser."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime.quantization import QuantType, quantize_dynamic

    inside, outside = weight.shape[1], weight.shape[0]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="y")],
        "weight",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, inside])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, outside])],
        [numpy_helper.from_array(weight.T.contiguous().numpy(), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})  # else it advises to do that first
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "weight.onnx"
        quantize_dynamic(model, file, per_channel=True, weight_type=QuantType.QInt8)
        made = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(file).graph.initializer}
    if made["w_zero_point"].any():
        raise ValueError("onnxruntime gave zero points where weights are symmetric")
    return torch.from_numpy(made["w_quantized"].copy()), torch.from_numpy(made["w_scale"].copy())


def _write(tensors: dict[str, Tensor], file: Path) -> Path:
    """A name never stands for half a file, nor for one of two processes at once."""
    from safetensors.torch import save_file

    try:
        handle, part = tempfile.mkstemp(prefix=f"{file.name}.", suffix=".part", dir=file.parent)
        os.close(handle)
        try:
            save_file(tensors, part, metadata={"format": "pt", "int8_format": FORMAT})
            shutil.copymode(file.with_name("config.json"), part)  # else only their owner can read temporary files
            with Path(part).open("rb+") as stream:
                os.fsync(stream.fileno())
            Path(part).replace(file)
        finally:
            Path(part).unlink(missing_ok=True)
    except Exception as error:  # safetensors has an error of its own for a full disk
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) / 1e9
        raise MissingModel(
            f"The 8-bit weights cannot be written into {file.parent} ({error}): make {size:.1f} GB of room there and "
            "let it be written to, or set int8_run: false.",
            f"8 位权重无法写入 {file.parent}（{error}）：请腾出 {size:.1f} GB 空间并确保可写，或设 int8_run: false。",
        ) from error
    return file


def main(arguments: list[str] | None = None) -> int:
    from tqdm import tqdm

    parser = argparse.ArgumentParser("python -m bert.quantise", description="Make the 8-bit weights of a BERT.")
    parser.add_argument("folder", type=Path, help="with config.json, vocab.txt and the released weights")
    folder = parser.parse_args(arguments).folder
    try:
        with tqdm(desc=INT8_WEIGHTS, unit=" layers", disable=None, leave=False) as bar:

            def show(done: int, layers: int) -> None:
                bar.total = layers
                bar.update(done - bar.n)

            file = quantise(folder, show)
    except MissingModel as error:
        print(error, error.zh, sep="\n", file=sys.stderr)
        return 1
    print(f"{file}: {file.stat().st_size / 1e9:.2f} GB; int8_run: true uses it. 设 int8_run: true 即可使用。")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
