"""File -> family and sizes -> strict check by shape -> numbers -> training parts dropped, renamed, weight norm folded.

Nothing in a checkpoint is ever executed, and its numbers are read only when its shapes fit its config.json, so no file
can take more memory than the network that its config.json describes. `python -m models.checkpoint FILE` tells what a
file is, in words.
"""

import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.checkpoint.archive import Refused, TensorFile, instead, open_file, open_tensors, unique
from models.config import SynthesizerConfig, plain, version_of
from models.families import detect, listed
from models.synthesizer import Synthesizer

# The posterior encoder, the half of the stochastic predictor that sees true durations, and the code book's statistics.
_TRAINING_ONLY = re.compile(
    r"enc_q\.|sdp\.(post_|flows\.1\.)|enc_p\.emo_(vq|quantizer)\.(zero|_codebook\.(initted|cluster_size|embed_avg))$"
)
CODES = "enc_p.emo_vq.codebook"
_MOST_JSON = 4 << 20  # bytes of a config.json; 65,536 speakers have 2 MB
_MOST_PARAMETERS = 1 << 29  # 2 GiB in float32; the largest release has 77 million


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message says why and what to do."""


def load_checkpoint(path: Path, config: Mapping[str, Any] | None = None) -> tuple[Synthesizer, str]:
    """A released `G_*.pth` or a safetensors file -> the network on the CPU in float32, and how its family was found.

    `config` is the parsed config.json; by default the one that find_config finds. Raises CheckpointError in one
    sentence when anything is missing, superfluous or of the wrong shape.
    """
    config = config if config is not None else read_config(find_config(path))
    with opened(path) as file:
        sizes, why = _recognise(file, path.name, config)
        state = inference_state({name: file.read(name) for name in file.described if not is_training_only(name)})
    return build(sizes, state, path.name), why


def recognise(path: Path, config: Mapping[str, Any]) -> tuple[SynthesizerConfig, str]:
    """Family and sizes of a checkpoint, and how the family was found, without reading its numbers.

    All that a file can lack but numbers that are finite. Raises CheckpointError.
    """
    with opened(path) as file:
        return _recognise(file, path.name, config)


def _recognise(file: TensorFile, name: str, config: Mapping[str, Any]) -> tuple[SynthesizerConfig, str]:
    name, state = plain(name), inference_state(file.described)
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    override = config.get("variant", "")
    try:
        variant, why = detect(
            shapes, version_of(config), override if isinstance(override, str) else "?", have_unit_codes(file)
        )
        sizes = SynthesizerConfig.from_json(config, variant)
    except ValueError as error:
        raise CheckpointError(f"{name}: {error}") from error
    check_fit(outline(sizes, len(state)), state, name)
    return sizes, why


def have_unit_codes(file: TensorFile) -> bool | None:
    """Whether the rows of a CLAP code book have length 1, as training leaves them in extra-fix; None without one."""
    stored = CODES.replace(".codebook", "._codebook.embed")
    name = stored if stored in file.described else CODES
    if name not in file.described or file.described[name].numel() > 1 << 20 or not file.described[name].dim():
        return None
    lengths = file.read(name).float().norm(dim=-1)
    return bool(((lengths - 1).abs() < 0.01).all())


def outline(sizes: SynthesizerConfig, tensors: int) -> Synthesizer:
    """The network without numbers: no memory, no random initialisation.

    tensors: how many the file has. Raises CheckpointError, before anything is built, if they are too few for the
    layers that config.json describes, or if those are too wide.
    """
    if 2 * sizes.layers > tensors:  # a weight and a bias each, at least
        raise CheckpointError(
            f"config.json describes {sizes.layers} layers, more than the checkpoint's {tensors} tensors can hold; use "
            "the config.json that belongs to this checkpoint."
        )
    with torch.device("meta"):
        network = Synthesizer(sizes)
    if sum(p.numel() for p in network.parameters()) > _MOST_PARAMETERS:
        raise CheckpointError("config.json describes a network far larger than any voice; use the one of the release.")
    return network


def build(sizes: SynthesizerConfig, state: Mapping[str, Tensor], name: str) -> Synthesizer:
    """Network of these sizes with exactly these tensors, in float32, ready for inference. Raises CheckpointError."""
    network = outline(sizes, len(state))
    check_fit(network, state, name)
    state = {key: value.to(torch.float32) for key, value in state.items()}
    if broken := sorted(key for key, value in state.items() if not value.isfinite().all()):
        raise CheckpointError(
            f"{name} holds values in {listed(broken)} that are not finite numbers, as when training has failed; "
            "take a checkpoint from before that."
        )
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def check_fit(network: Synthesizer, state: Mapping[str, Tensor], name: str) -> None:
    """Names, shapes and kinds of the tensors are exactly those of the network, or CheckpointError."""
    if problems := misfits(network, state):
        cure = cures(network, state)
        raise CheckpointError(f"{name} {problems[0]}; {cure}.")


def misfits(network: Synthesizer, state: Mapping[str, Tensor]) -> list[str]:
    """What does not fit, as ends of sentences that begin with the file's name."""
    expected = network.state_dict()
    both = sorted(expected.keys() & state.keys())
    found = {
        "lacks": [plain(key) for key in sorted(expected.keys() - state.keys())],
        "has unknown": [plain(key) for key in sorted(state.keys() - expected.keys())],
        "does not fit its config.json:": [
            f"{key} is {tuple(state[key].shape)} instead of {tuple(expected[key].shape)}"
            for key in both
            if state[key].shape != expected[key].shape
        ],
        "holds something else than weights:": [
            f"{key} is of the kind {str(state[key].dtype).removeprefix('torch.')}"
            for key in both
            if state[key].dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
        ],
    }
    return [f"{problem} {listed(names, escape=False)}" for problem, names in found.items() if names]


def cures(network: Synthesizer, state: Mapping[str, Tensor]) -> str:
    """What would make the file fit: a line of config.json, where one alone tells."""
    sizes = network.config
    speakers = tuple(state["emb_g.weight"].shape) if "emb_g.weight" in state else ()
    if not speakers and any(name.startswith("ref_enc.") for name in state):
        return "it copies a recording instead of having speakers, which is not supported: choose another checkpoint"
    if not speakers:
        return "it has no speakers, and a voice needs one at least: choose the generator's G_*.pth as it was trained"
    layers = {int(n[1]) for name in state if (n := re.match(r"flow\.flows\.0\.enc\.attn_layers\.(\d{1,3})\.", name))}
    wrong = {
        "data.n_speakers": (speakers[:1], (sizes.n_speakers,)),
        "model.gin_channels": (speakers[1:], (sizes.gin_channels,)),
        "model.n_layers_trans_flow": ((len(layers),) if layers else (), (sizes.n_layers_trans_flow,)),
    }
    lines = [f"{key} to {is_[0]}" for key, (is_, said) in wrong.items() if is_ and is_ != said]
    belonging = "use the config.json that belongs to this checkpoint"
    return f"{belonging}, or set {' and '.join(lines)} there" if lines else belonging


@contextmanager
def opened(path: Path) -> Iterator[TensorFile]:
    """open_tensors with its refusals as CheckpointError."""
    try:
        with open_tensors(path) as file:
            yield file
    except Refused as error:
        raise CheckpointError(
            f"{plain(path.name)} was refused, since it {error}; choose the generator's G_*.pth or G.safetensors, "
            "or get the file again from its source."
        ) from error
    except FileNotFoundError as error:
        what = "is a link to a file that does not exist" if path.is_symlink() else "does not exist"
        raise CheckpointError(f"The checkpoint {plain(path.name)} {what}; check the voice's folder.") from error
    except OSError as error:
        raise CheckpointError(f"{plain(path.name)} cannot be read ({error.strerror}); check the file.") from error


def find_config(weights: Path) -> Path:
    """The config.json of a checkpoint: beside it, or one folder above, where releases keep it."""
    places = [folder / "config.json" for folder in (weights.parent, weights.parent.parent)]
    for is_there in (os.path.isfile, os.path.lexists):  # what is no file is found as well, to be named
        if found := next(filter(is_there, places), None):
            return found
    raise CheckpointError(f"There is no config.json beside {plain(weights.name)}; put the one of the release there.")


def read_config(file: Path) -> dict[str, Any]:
    """A parsed config.json. Raises CheckpointError."""
    name = plain(file.name)
    try:
        with open_file(file) as stream:
            content = io.BufferedReader(stream).read(_MOST_JSON + 1) or b""
            if len(content) > _MOST_JSON:
                raise CheckpointError(f"{name} is far too large for a config.json; get it from the release.")
        config = json.loads(_decoded(content), object_pairs_hook=unique, parse_constant=_no_constant)
    except CheckpointError:
        raise
    except Refused as error:
        raise CheckpointError(f"{name} {error}; put the config.json of the release there.") from error
    except OSError as error:
        raise CheckpointError(
            f"{name} cannot be read ({error.strerror}); check the file, or get it from the release."
        ) from error
    except (ValueError, RecursionError) as error:
        words = plain(" ".join(str(error).split()), 160)
        raise CheckpointError(f"{name} is not valid JSON ({words}); get it again from the release.") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{name} must hold an object with train, data and model; get it again from the release.")
    return config


def _decoded(content: bytes) -> str:
    """The text of a config.json, which is UTF-8. Raises Refused, ValueError."""
    if reason := instead(content[:200]):
        raise Refused(reason)
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise Refused("is UTF-16 text and must be UTF-8: open it in an editor and save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        try:
            json.loads(content.decode("gb18030"))
        except (ValueError, RecursionError):
            raise error from None
        raise Refused("is GBK text and must be UTF-8: open it in an editor and save it as UTF-8") from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All named tensors of a file, as stored. Raises CheckpointError."""
    with opened(path) as file:
        return {name: file.read(name) for name in file.described}


def is_training_only(name: str) -> bool:
    """Whether a stored tensor serves training alone."""
    return bool(_TRAINING_ONLY.match(name))


def inference_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A file's tensors -> those of Synthesizer: training parts dropped, renamed, weight norm folded in."""
    kept = {key: value for key, value in state.items() if not is_training_only(key)}
    renamed = {key: key.replace("._codebook.embed", ".codebook") for key in kept}
    return fold_weight_norm(
        {key if renamed[key] in kept else renamed[key]: value for key, value in kept.items()}  # never over another one
    )


def fold_weight_norm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """weight = g * v / |v|, the norm over all dimensions but the first; both spellings of the parametrisation.

    A pair that cannot be folded stays as it is: the strict check will name it.
    """
    spellings = (
        (".weight_g", ".weight_v"),
        (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
    )
    folded = dict(state)
    for g_end, v_end in spellings:
        for key in [k for k in folded if k.endswith(g_end)]:
            layer = key.removesuffix(g_end)
            g, v = folded[key], folded.get(layer + v_end)
            ours = v is not None and v.dim() > 1 and g.shape == (len(v), *(1 for _ in v.shape[1:]))
            if not ours or layer + ".weight" in folded or not (g.is_floating_point() and v.is_floating_point()):
                continue
            g, v = folded.pop(key).float(), folded.pop(layer + v_end).float()
            norm = torch.linalg.vector_norm(v, dim=tuple(range(1, v.dim())), keepdim=True)
            folded[layer + ".weight"] = v * (g / norm)
    return folded
