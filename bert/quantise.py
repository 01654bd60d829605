"""Make the 8-bit weights of a BERT, once:  python -m bert.quantise bert/Erlangshen-MegatronBert-1.3B-Chinese

Writes model.int8.safetensors beside the released weights, which are mapped and quantised layer by layer: symmetric,
one scale for each output. Exit code 0 when it is done, 1 when it cannot be.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from bert.files import INT8_WEIGHTS, Shape, missing_files, model_folder, read_weights, weights_file
from bert.int8 import FORMAT, is_current
from pretrained import MissingModel
from words import message

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
        raise model_folder(folder).refusal("pretrained.lacks", names=missing_files(folder))
    shape = Shape.read(folder)
    with model_folder(folder).reading():
        read_weights(source)
    try:  # mapped anew for each layer: the pages of a file that were read count as ours until they are let go
        tensors = _embeddings(read_weights(source), shape)
        for layer in range(shape.layers):
            progress(layer, shape.layers)
            tensors |= _layer(read_weights(source), layer, shape.pre_norm)
    except KeyError as error:
        raise model_folder(folder).refusal("bert.lacks_tensor", file=source.name, name=str(error)) from error
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

    tensors: dict[str, Tensor] = {}
    for ours, name in zip(("norm1", "norm2"), NORMS[pre_norm], strict=True):
        tensors |= {f"{layer}.{ours}.{part}": joined((name,), part) for part in ("weight", "bias")}
    for ours, names in MATRICES.items():
        codes, scale = quantised(joined(names, "weight"))
        tensors |= {f"{layer}.{ours}.weight": codes, f"{layer}.{ours}.scale": scale}
        tensors[f"{layer}.{ours}.bias"] = joined(names, "bias")
    return tensors


def quantised(weight: Tensor) -> tuple[Tensor, Tensor]:
    """float32 [out, in] -> int8 [in, out] and its scales [out], as onnxruntime's quantiser makes them."""
    scale = weight.abs().amax(1) / 127
    scale = torch.where(scale < torch.finfo(torch.float32).tiny, 1.0, scale)
    return (weight / scale[:, None]).round().to(torch.int8).T.contiguous(), scale


def _write(tensors: dict[str, Tensor], file: Path) -> Path:
    """A name never stands for half a file, nor for one of two processes at once (a leaf has no infer.files)."""
    from safetensors.torch import save_file

    part = file.with_name(f".{file.name}.{secrets.token_hex(4)}.part")
    try:
        save_file(tensors, part, metadata={"format": "pt", "int8_format": FORMAT})
        shutil.copymode(file.with_name("config.json"), part)  # safetensors writes for the owner alone
        with part.open("rb+") as stream:
            os.fsync(stream.fileno())
        part.replace(file)
    except Exception as error:  # safetensors has an error of its own for a full disk
        size = sum(tensor.nbytes for tensor in tensors.values()) / 1e9
        reason = getattr(error, "strerror", None) or str(error)
        raise MissingModel(
            "bert.unwritable", folder=model_folder(file.parent).name, reason=reason, size=size
        ) from error
    finally:
        part.unlink(missing_ok=True)
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
        print(*reversed(error.message.pair), sep="\n", file=sys.stderr)
        return 1
    print(message("bert.made", file=str(file), size=file.stat().st_size / 1e9))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
