"""File -> tensors only -> drop training parts -> rename -> fold weight norm -> strict load.

Nothing in a checkpoint is ever executed: safetensors, or torch.load with weights_only.
"""

import json
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from models.config import SynthesizerConfig, detect
from models.synthesizer import Synthesizer

# The posterior encoder, the half of the stochastic predictor that sees true durations, and the code book's statistics.
_TRAINING_ONLY = re.compile(r"enc_q\.|sdp\.(post_|flows\.1\.)|.*_codebook\.(initted|cluster_size|embed_avg)$|ref_enc\.")


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message says why and what to do."""


def load_checkpoint(path: Path, config: Mapping[str, Any] | None = None) -> tuple[Synthesizer, str]:
    """A released `G_*.pth` or a safetensors file -> the network on the CPU in float32, and how its family was found.

    `config` is the parsed config.json; by default the one that find_config finds. Raises CheckpointError in one
    sentence when anything is missing, superfluous or of the wrong shape.
    """
    config = config if config is not None else read_config(find_config(path))
    state = read_tensors(path)
    try:
        variant, why = detect(state.keys(), str(config.get("version", "")), str(config.get("variant", "")))
        sizes = SynthesizerConfig.from_json(config, variant)
    except ValueError as error:
        raise CheckpointError(f"{path.name}: {error}") from error
    return build(sizes, inference_state(state), path.name), why


def build(sizes: SynthesizerConfig, state: Mapping[str, Tensor], name: str) -> Synthesizer:
    """Network of these sizes with exactly these tensors, in float32, ready for inference."""
    with torch.device("meta"):  # no memory, no random initialisation
        network = Synthesizer(sizes)
    expected = network.state_dict()
    missing, strange = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    misfits = [
        f"{key} is {tuple(state[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in sorted(expected.keys() & state.keys())
        if state[key].shape != expected[key].shape
    ]
    for problem, found in (("lacks", missing), ("has unknown", strange), ("does not fit its config.json:", misfits)):
        if found:
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            raise CheckpointError(
                f"{name} {problem} {', '.join(found[:3])}{more}; use the config.json that belongs to this checkpoint."
            )
    network.load_state_dict({k: v.to(torch.float32, copy=True) for k, v in state.items()}, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def find_config(weights: Path) -> Path:
    """The config.json of a checkpoint: beside it, or one folder above, where releases keep it."""
    for folder in (weights.parent, weights.parent.parent):
        if (folder / "config.json").is_file():
            return folder / "config.json"
    raise CheckpointError(f"There is no config.json beside {weights.name}; put the one of the release there.")


def read_config(file: Path) -> dict[str, Any]:
    """A parsed config.json."""
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file.name} is not valid JSON ({error}); get it again from the release.") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{file.name} must hold an object with train, data and model; get it again.")
    return config


def tensor_names(path: Path) -> list[str]:
    """The names in a checkpoint, without reading its numbers where the format allows it."""
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                return list(file.keys())
        except (SafetensorError, OSError):
            pass  # read_tensors says what is wrong
    return list(read_tensors(path))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All named tensors of a file, as stored."""
    if not path.is_file():
        raise CheckpointError(f"The checkpoint {path.name} does not exist; check the voice's folder.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (pickle.UnpicklingError, RuntimeError, SafetensorError, EOFError, OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"{path.name} was refused, since it is damaged or holds more than tensors ({reason}); "
            "get the file again from its source."
        ) from error
    state = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) and isinstance(k, str) for k, v in state.items()):
        raise CheckpointError(f"{path.name} holds no state dict of tensors; choose the generator's G_*.pth file.")
    return dict(state)


def inference_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A file's tensors -> those of Synthesizer: training parts dropped, renamed, weight norm folded in."""
    kept = {
        key.replace("._codebook.embed", ".codebook"): value
        for key, value in state.items()
        if not _TRAINING_ONLY.match(key)
    }
    return fold_weight_norm(kept)


def fold_weight_norm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """weight = g * v / |v|, the norm over all dimensions but the first; both spellings of the parametrisation."""
    spellings = (
        (".weight_g", ".weight_v"),
        (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
    )
    folded = dict(state)
    for g_end, v_end in spellings:
        for key in [k for k in folded if k.endswith(g_end)]:
            layer = key.removesuffix(g_end)
            if layer + v_end not in folded:
                continue  # the strict load will name it
            g, v = folded.pop(key).float(), folded.pop(layer + v_end).float()
            folded[layer + ".weight"] = v * (
                g / torch.linalg.vector_norm(v, dim=tuple(range(1, v.dim())), keepdim=True)
            )
    return folded
