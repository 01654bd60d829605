"""The model's folder: which files belong there, what is missing, and what a user is told about it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

UNUSED_LAYERS = 2  # hidden_states[-3] is what goes into the last two

FILES = ("config.json", "vocab.txt")
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
INT8_WEIGHTS = "model.int8.safetensors"  # made here, by python -m bert.quantise
REPOSITORIES = {  # folder name -> model repository whose files belong there
    "Erlangshen-MegatronBert-1.3B-Chinese": "IDEA-CCNL/Erlangshen-UniMC-MegatronBERT-1.3B-Chinese",
    "chinese-roberta-wwm-ext-large": "hfl/chinese-roberta-wwm-ext-large",
}
GELU = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}  # hidden_act -> how it is approximated


class MissingModel(RuntimeError):
    """Files of the model are missing or cannot be used; the message names them, their place and their source.

    zh: the same in Chinese.
    """

    def __init__(self, message: str, zh: str = "") -> None:
        super().__init__(message)
        self.zh = zh or message


def missing_files(folder: str | Path, int8: bool = False) -> list[str]:
    """Names of the files that BertFeatures.load needs and `folder` lacks; reads none of them.

    int8: the 8-bit weights do, without those that they were made from.
    """
    folder = Path(folder)
    missing = [name for name in FILES if not (folder / name).is_file()]
    enough = (*WEIGHTS, INT8_WEIGHTS) if int8 else WEIGHTS
    return missing if any((folder / name).is_file() for name in enough) else [*missing, " or ".join(WEIGHTS)]


def weights_file(folder: Path) -> Path | None:
    """The released weights in `folder`."""
    return next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)


def refusal(folder: Path, what: str, zh: str) -> MissingModel:
    """What is wrong with the files in `folder`, and what brings better ones."""
    repository = REPOSITORIES.get(folder.name)
    files, source = f"{', '.join(FILES)} and {' or '.join(WEIGHTS)}", repository or "the model"
    return MissingModel(
        f"{what}: put {files} of {'the model repository ' if repository else ''}{source} into {folder}.",
        f"{zh}：请把{f'模型仓库 {repository} ' if repository else '模型'}的 "
        f"{'、'.join(FILES)} 和 {' 或 '.join(WEIGHTS)} 放进 {folder}。",
    )


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Whatever a reader raises, as MissingModel."""
    try:
        yield
    except MissingModel:
        raise
    except Exception as error:  # the readers of JSON, pickle and safetensors each have errors of their own
        reason = " ".join(str(error).split())[:300]
        raise refusal(folder, f"{folder} cannot be read ({reason})", f"{folder} 无法读取（{reason}）") from error


@dataclass(frozen=True)
class Shape:
    """The part of a BERT that is used. layers: without the last two. pre_norm: Megatron's order, else BERT's of 2018.

    inner: width between the two halves of a feed-forward layer. gelu: none or tanh.
    """

    vocabulary: int
    positions: int
    hidden: int
    heads: int
    inner: int
    layers: int
    eps: float
    gelu: str
    pre_norm: bool

    @classmethod
    def read(cls, folder: Path) -> Shape:
        """From config.json. Raises MissingModel for a network of another kind."""
        with reading(folder):
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            kind, act = config["model_type"], config.get("hidden_act", "gelu")
            if kind not in ("megatron-bert", "bert") or act not in GELU:
                raise ValueError(f"a {kind} with {act} has no 8-bit form here: set int8_run: false")
            if config.get("position_embedding_type", "absolute") != "absolute":
                raise ValueError("positions that are not absolute have no 8-bit form here: set int8_run: false")
            numbers = {
                "vocabulary": config["vocab_size"],
                "positions": config["max_position_embeddings"],
                "hidden": config["hidden_size"],
                "heads": config["num_attention_heads"],
                "inner": config["intermediate_size"],
                "layers": max(config["num_hidden_layers"] - UNUSED_LAYERS, 0),
            }
            if bad := [name for name, value in numbers.items() if type(value) is not int or value < 0]:
                raise ValueError(f"config.json: {bad[0]}")
            return cls(**numbers, eps=float(config["layer_norm_eps"]), gelu=GELU[act], pre_norm=kind == "megatron-bert")


def read_weights(file: Path) -> dict[str, Tensor]:
    """All tensors of a release by the names of the bare model, memory mapped; nothing in the file is run.

    Heads of the training keep their names and nobody asks for them; norms have their names of before 2019 changed.
    """
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        table = load_file(file)
    else:  # files of before torch 1.6 are no zip archives and are read whole
        table = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    renamed = ((name.removeprefix("bert."), tensor.detach()) for name, tensor in table.items())
    return {name.replace(".gamma", ".weight").replace(".beta", ".bias"): tensor for name, tensor in renamed}
