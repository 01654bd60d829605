"""Checkpoints as the releases write them, of every family, tiny and with random weights."""

import json
from pathlib import Path

import torch
from torch import Tensor

from models import VARIANTS, Synthesizer, SynthesizerConfig
from models.checkpoint import opened
from tests.voices import CONFIG, FRAMES_PER_TOKEN, GENERATOR

VERSIONS = {"extra-fix": "2.4", "zh-clap": "2.3", "extra": "2.3", "japanese-extra": "2.4", "v2.1-first": "2.1"}
NORMED = ("dec.ups.", "dec.resblocks.")


def config_of(family: str, **model: object) -> dict:
    """A config.json as a release of the family would have it."""
    config = json.loads(json.dumps(CONFIG))
    if family != "small":
        del config["model"]["emotions"]
        config["model"] |= GENERATOR
    config["version"] = VERSIONS.get(family, family.removeprefix("v"))
    config["model"] |= model
    return config


def state_of(family: str, config: dict, seed: int = 0) -> dict[str, Tensor]:
    """The stored tensors: weight norm taken apart, the code book under its old name, training parts with them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Synthesizer(SynthesizerConfig.from_json(config, VARIANTS[family]))
    torch.nn.init.constant_(network.dp.proj.bias, float(torch.tensor(FRAMES_PER_TOKEN).log()))
    state: dict[str, Tensor] = {}
    for name, value in network.state_dict().items():
        layer = name.removesuffix(".weight")
        if name.endswith(".weight") and (name.startswith(NORMED) or ".enc.in_layers." in name):
            norm = value.norm(dim=tuple(range(1, value.dim())), keepdim=True)
            state |= {f"{layer}.weight_g": norm, f"{layer}.weight_v": value * 3}
        else:
            state[name.replace(".codebook", "._codebook.embed")] = value
    for name in [n for n in state if n.endswith("_codebook.embed")]:
        book = name.removesuffix("embed")
        state |= {f"{book}initted": torch.ones(1), f"{book}embed_avg": state[name].clone()}
        state[f"{book}cluster_size"] = torch.ones(state[name].shape[:2])
    training = ("enc_q.pre.weight", "enc_q.enc.in_layers.0.weight_g", "sdp.post_pre.weight", "sdp.flows.1.pre.weight")
    return state | {name: torch.zeros(3, 2, 1) for name in training}


def make_release(folder: Path, family: str, **model: object) -> Path:
    """`folder`/models/G_100.pth and `folder`/config.json; returns the checkpoint."""
    config = config_of(family, **model)
    (folder / "models").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")
    optimizer = {"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(5)}}, "param_groups": [{"lr": 1e-4}]}
    release = {"model": state_of(family, config), "iteration": 1, "optimizer": optimizer, "learning_rate": 1e-4}
    torch.save(release, folder / "models" / "G_100.pth")
    return folder / "models" / "G_100.pth"


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """All named tensors of a file, as stored."""
    with opened(path) as file:
        return {name: file.read(name) for name in file.described}
