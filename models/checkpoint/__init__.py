"""File -> family and sizes -> strict check by shape -> numbers -> training parts dropped, renamed, weight norm folded.

Nothing in a checkpoint is ever executed, and its numbers are read only when its shapes fit its config.json, so no file
can take more memory than the network that its config.json describes. `python -m infer.doctor FILE` tells what it is.
"""

import io
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.checkpoint.archive import BadJson, Refused, TensorFile, instead, open_file, open_tensors, short, unique
from models.config import CheckpointError, SynthesizerConfig, plain, version_of
from models.families import detect, listed, mismatch
from models.synthesizer import Synthesizer
from words import Message, message

# The posterior encoder, the half of the stochastic predictor that sees true durations, and the code book's statistics.
_TRAINING_ONLY = re.compile(
    r"enc_q\.|sdp\.(post_|flows\.1\.)|enc_p\.emo_(vq|quantizer)\.(zero|_codebook\.(initted|cluster_size|embed_avg))$"
)
CODES = "enc_p.emo_vq.codebook"
_MOST_JSON = 4 << 20  # bytes of a config.json; 65,536 speakers have 2 MB
_MOST_PARAMETERS = 1 << 29  # 2 GiB in float32; the largest release has 77 million


def load_checkpoint(path: Path, config: Mapping[str, Any] | None = None) -> tuple[Synthesizer, Message]:
    """A released `G_*.pth` or a safetensors file -> the network on the CPU in float32, and how its family was found.

    `config` is the parsed config.json; by default the one that find_config finds. Raises CheckpointError in one
    sentence when anything is missing, superfluous or of the wrong shape.
    """
    config = config if config is not None else read_config(find_config(path))
    with opened(path) as file:
        sizes, why = _recognise(file, path.name, config)
        state = inference_state(stored(file))
    return build(sizes, state, path.name), why


def recognise(path: Path, config: Mapping[str, Any]) -> tuple[SynthesizerConfig, Message]:
    """Family and sizes of a checkpoint, and how the family was found, without reading its numbers.

    All that a file can lack but numbers that are finite. Raises CheckpointError.
    """
    with opened(path) as file:
        return _recognise(file, path.name, config)


def _recognise(file: TensorFile, name: str, config: Mapping[str, Any]) -> tuple[SynthesizerConfig, Message]:
    name, state = plain(name), inference_state(file.described)
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    override = config.get("variant", "")
    try:
        variant, why = detect(
            shapes, version_of(config), override if isinstance(override, str) else "?", have_unit_codes(file)
        )
        sizes = SynthesizerConfig.from_json(config, variant)
    except CheckpointError as error:
        raise CheckpointError("checkpoint.named", name=name, cause=error) from error
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
        raise CheckpointError("checkpoint.layers", layers=sizes.layers, tensors=tensors)
    with torch.device("meta"):
        network = Synthesizer(sizes)
    if sum(p.numel() for p in network.parameters()) > _MOST_PARAMETERS:
        raise CheckpointError("checkpoint.parameters")
    return network


def build(sizes: SynthesizerConfig, state: Mapping[str, Tensor], name: str) -> Synthesizer:
    """Network of these sizes with exactly these tensors, in float32, ready for inference. Raises CheckpointError."""
    network = outline(sizes, len(state))
    check_fit(network, state, name)
    state = {key: value.to(torch.float32) for key, value in state.items()}
    if broken := sorted(key for key, value in state.items() if not value.isfinite().all()):
        raise CheckpointError("checkpoint.not_finite", name=plain(name), tensors=listed(broken))
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def check_fit(network: Synthesizer, state: Mapping[str, Tensor], name: str) -> None:
    """Names, shapes and kinds of the tensors are exactly those of the network, or CheckpointError."""
    if problems := misfits(network, state):
        raise CheckpointError("checkpoint.misfit", name=name, misfit=problems[0], cure=cure(network, state))


def misfits(network: Synthesizer, state: Mapping[str, Tensor]) -> list[Message]:
    """What does not fit, as ends of sentences that begin with the file's name."""
    expected = network.state_dict()
    both = sorted(expected.keys() & state.keys())
    shapes = [(key, state[key].shape, expected[key].shape) for key in both]
    weights = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    faults: dict[str, Sequence[str | Message]] = {
        "checkpoint.lacks": sorted(expected.keys() - state.keys()),
        "checkpoint.unknown": [plain(key) for key in sorted(state.keys() - expected.keys())],
        "checkpoint.shapes": [mismatch(*shape) for shape in shapes if shape[1] != shape[2]],
        "checkpoint.kinds": [
            message("checkpoint.kind", name=key, kind=kind_of(state[key]))
            for key in both
            if state[key].dtype not in weights
        ],
    }
    return [message(key, names=listed(items)) for key, items in faults.items() if items]


def kind_of(tensor: Tensor) -> str:
    """float32, int64 …"""
    return str(tensor.dtype).removeprefix("torch.")


def cure(network: Synthesizer, state: Mapping[str, Tensor]) -> Message:
    """What would make the file fit: a line of config.json, where one alone tells."""
    sizes = network.config
    speakers = tuple(state["emb_g.weight"].shape) if "emb_g.weight" in state else ()
    if not speakers and any(name.startswith("ref_enc.") for name in state):
        return message("checkpoint.copies")
    if not speakers:
        return message("checkpoint.speakerless")
    layers = {int(n[1]) for name in state if (n := re.match(r"flow\.flows\.0\.enc\.attn_layers\.(\d{1,3})\.", name))}
    there = {
        "data.n_speakers": (speakers[:1], sizes.n_speakers),
        "model.gin_channels": (speakers[1:], sizes.gin_channels),
        "model.n_layers_trans_flow": ((len(layers),) if layers else (), sizes.n_layers_trans_flow),
    }
    lines = [
        message("checkpoint.line", key=key, value=found[0])
        for key, (found, configured) in there.items()
        if found and found != (configured,)
    ]
    return message("checkpoint.correct", lines=lines) if lines else message("checkpoint.belonging")


@contextmanager
def opened(path: Path) -> Iterator[TensorFile]:
    """open_tensors with its refusals as CheckpointError."""
    try:
        with open_tensors(path) as file:
            yield file
    except Refused as error:
        raise CheckpointError("checkpoint.refused", name=plain(path.name), reason=error) from error
    except FileNotFoundError as error:
        key = "checkpoint.dangling" if path.is_symlink() else "checkpoint.gone"
        raise CheckpointError(key, name=plain(path.name)) from error
    except OSError as error:
        raise CheckpointError("checkpoint.unreadable", name=plain(path.name), reason=error.strerror) from error


def find_config(weights: Path) -> Path:
    """The config.json of a checkpoint: beside it, or one folder above, where releases keep it."""
    places = [folder / "config.json" for folder in (weights.parent, weights.parent.parent)]
    for is_there in (os.path.isfile, os.path.lexists):  # what is no file is found as well, to be named
        if found := next(filter(is_there, places), None):
            return found
    raise CheckpointError("checkpoint.no_config", name=plain(weights.name))


def read_config(file: Path) -> dict[str, Any]:
    """A parsed config.json. Raises CheckpointError."""
    name = plain(file.name)
    try:
        with open_file(file) as stream:
            content = io.BufferedReader(stream).read(_MOST_JSON + 1) or b""
        if len(content) > _MOST_JSON:
            raise CheckpointError("checkpoint.large_config", name=name)
        config = json.loads(_decoded(content), object_pairs_hook=unique, parse_constant=_no_constant)
    except CheckpointError:
        raise
    except Refused as error:
        raise CheckpointError("checkpoint.refused_config", name=name, reason=error) from error
    except OSError as error:
        raise CheckpointError("checkpoint.unreadable", name=name, reason=error.strerror) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError("checkpoint.no_json", name=name, reason=short(error)) from error
    if not isinstance(config, dict):
        raise CheckpointError("checkpoint.no_object", name=name)
    return config


def _decoded(content: bytes) -> str:
    """The text of a config.json, which is UTF-8. Raises Refused, ValueError."""
    if reason := instead(content[:200]):
        raise Refused(reason)
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise Refused("checkpoint.encoding", encoding="UTF-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        try:
            json.loads(content.decode("gb18030"))
        except (ValueError, RecursionError):
            raise error from None
        raise Refused("checkpoint.encoding", encoding="GBK") from error


def _no_constant(name: str) -> Any:
    raise BadJson("checkpoint.no_number", name=name)


def speaking_tensors(path: Path, half: bool = False) -> dict[str, Tensor]:
    """The tensors of a file that speaking needs, by the names they have there. Raises CheckpointError.

    half: in float16, but for the code books, where rounding could choose another code.
    """
    with opened(path) as file:
        tensors = {name: value.contiguous() for name, value in stored(file).items()}
    if half:
        tensors = {name: value if "codebook" in name else value.half() for name, value in tensors.items()}
        if large := [name for name, value in tensors.items() if not value.isfinite().all()]:
            raise CheckpointError("checkpoint.large_numbers", name=plain(path.name), tensor=large[0])
    return tensors


def stored(file: TensorFile) -> dict[str, Tensor]:
    """The tensors that speaking needs, as they are stored."""
    return {name: file.read(name) for name in file.described if not is_training_only(name)}


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
            if (
                v is None
                or v.dim() < 2
                or g.shape != (len(v), *(1 for _ in v.shape[1:]))
                or f"{layer}.weight" in folded
            ):
                continue
            if not (g.is_floating_point() and v.is_floating_point()):
                continue
            g, v = folded.pop(key).float(), folded.pop(layer + v_end).float()
            norm = torch.linalg.vector_norm(v, dim=tuple(range(1, v.dim())), keepdim=True)
            folded[layer + ".weight"] = v * (g / norm)
    return folded
