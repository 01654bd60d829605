"""The model's folder: which files belong there, and what they hold."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pretrained import WEIGHTS, ModelFolder, Unfit
from words import Message

UNUSED_LAYERS = 2  # hidden_states[-3] is what goes into the last two

FILES = ("config.json", "vocab.txt")
INT8_WEIGHTS = "model.int8.safetensors"  # made here, by python -m bert.quantise
REPOSITORIES = {  # folder name -> model repository whose files belong there
    "Erlangshen-MegatronBert-1.3B-Chinese": "IDEA-CCNL/Erlangshen-UniMC-MegatronBERT-1.3B-Chinese",
    "chinese-roberta-wwm-ext-large": "hfl/chinese-roberta-wwm-ext-large",
}
GELU = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}  # hidden_act -> how it is approximated


def model_folder(folder: str | Path) -> ModelFolder:
    return ModelFolder(Path(folder), FILES, REPOSITORIES.get(Path(folder).name))


def missing_files(folder: str | Path, int8: bool = False) -> list[str | Message]:
    """Names of the files that BertFeatures.load needs and `folder` lacks; reads none of them.

    int8: the 8-bit weights do, without those that they were made from.
    """
    return model_folder(folder).missing(*([INT8_WEIGHTS] if int8 else []))


def weights_file(folder: Path) -> Path | None:
    """The released weights in `folder`."""
    return next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)


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
        with model_folder(folder).reading():
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            kind, act = config["model_type"], config.get("hidden_act", "gelu")
            if kind not in ("megatron-bert", "bert") or act not in GELU:
                raise Unfit("bert.other_kind", kind=kind, act=act)
            if config.get("position_embedding_type", "absolute") != "absolute":
                raise Unfit("bert.positions")
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
