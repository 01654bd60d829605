"""Does the network compute the same function as the original?  `python -m tests.golden FOLDER…`

Runs every case of folders laid out like golden/models/<family>, prints a row for each tensor with its largest
difference and its limit, and exits 1 when one is past its limit (2 when a folder cannot be run).
"""

import hashlib
import json
import lzma
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from models import Synthesizer, SynthesizerConfig, align, detect
from models.checkpoint import CheckpointError, build, inference_state
from models.config import WAV2VEC_WIDTH, version_of
from models.synthesizer import sample_prior

EXACT = 0.0
# Limits of golden/README.md: codes and durations equal, encoder relative to its scale, latents, waveform.
LIMITS = {
    "vq_idx": EXACT,
    "w_ceil": EXACT,
    "y_lengths": EXACT,
    "attn_durations": EXACT,
    "enc_in": 6e-6,
    "enc_x": 6e-6,
    "vq_in": 6e-6,
    "vq_out": 6e-6,
    "m_p": 5e-5,
    "logs_p": 5e-5,
    "logw_sdp": 5e-5,
    "logw_dp": 5e-5,
    "logw": 5e-5,
    "w": 5e-5,
    "z_p": 5e-5,
    "z": 5e-5,
    "wav": 1e-5,
}
RELATIVE = {"enc_in", "enc_x", "vq_in", "vq_out", "w"}  # of the tensor's largest value, where that is above 1


@dataclass(frozen=True)
class Row:
    case: str
    tensor: str
    difference: float
    limit: float

    @property
    def passed(self) -> bool:
        return self.difference <= self.limit


def load_folder(folder: Path) -> tuple[Synthesizer, str]:
    """The network of one family's folder, through the product's own loader but for the xz around the file."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    info_file = folder / "info.json"
    info = json.loads(info_file.read_text(encoding="utf-8")) if info_file.is_file() else {}
    with lzma.open(folder / "G_golden.safetensors.xz") as file:
        packed = file.read()
    digest = info.get("sha256_safetensors")
    if digest and hashlib.sha256(packed).hexdigest() != digest:
        raise CheckpointError(
            f"{folder.name}: the weights differ from the SHA-256 in info.json; copy the folder again."
        )
    state = inference_state(safetensors.torch.load(packed))
    override = info.get("reference_family", "")  # what the version string in a config cannot tell
    try:
        variant, why = detect({k: tuple(v.shape) for k, v in state.items()}, version_of(config), override)
        sizes = SynthesizerConfig.from_json(config, variant)
    except ValueError as error:
        raise CheckpointError(f"{folder.name}: {error}") from error
    return build(sizes, state, folder.name), why


@torch.inference_mode()
def run_case(network: Synthesizer, case: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """Every tensor that a case file can hold, computed by our network from the case's inputs and noise."""

    def floats(name: str) -> Tensor:
        return torch.from_numpy(np.asarray(case[name], dtype=np.float32))

    def ids(name: str) -> Tensor:
        return torch.from_numpy(np.asarray(case[name], dtype=np.int64))

    variant = network.config.variant
    phones, lengths = ids("in_x"), ids("in_x_lengths")
    mask = (torch.arange(phones.shape[1]) < lengths[:, None])[:, None].float()
    bert = tuple(floats(f"in_{name}") for name, _ in variant.bert)
    emotion = floats("in_emo").reshape(len(phones), -1) if "in_emo" in case else torch.zeros(len(phones), 0)
    if variant.emotion == "codes" and emotion.shape[-1] == 1:  # the index of a code; we take weights over all of them
        emotion = torch.nn.functional.one_hot(emotion[:, 0].long(), variant.codes).float()
    speaker = network.emb_g(ids("in_sid")).unsqueeze(-1)
    noise_w = floats("noise_sdp") * floats("in_noise_scale_w")
    sdp_ratio, length_scale = float(case["in_sdp_ratio"]), float(case["in_length_scale"])

    out: dict[str, Tensor] = {}
    enc = network.enc_p
    embedded = (phones, ids("in_tone"), ids("in_language"), mask, bert, emotion)
    out["enc_in"] = enc.embed(*embedded)
    out["enc_x"], out["m_p"], out["logs_p"] = enc(*embedded, speaker)
    if variant.emotion == "clap":
        out["vq_in"] = enc.in_feature_net(emotion)
        out["vq_out"], out["vq_idx"] = enc.emo_vq(out["vq_in"])
    elif variant.emotion == "codes" and emotion.shape[-1] == WAV2VEC_WIDTH:
        out["vq_in"] = enc.emo_proj(emotion)
        out["vq_out"], out["vq_idx"] = enc.emo_quantizer(out["vq_in"])
    if variant.stochastic_durations:
        out["logw_sdp"] = network.sdp(out["enc_x"], mask, speaker, noise_w)
    out["logw_dp"] = network.dp(out["enc_x"], mask, speaker)

    prior = network.encode(*embedded, speaker, noise_w, sdp_ratio)
    durations = align(prior.log_durations, mask, length_scale)
    lengths = durations.sum(1).clamp(min=1)
    noise = floats("noise_z")
    frames = noise.shape[-1]
    frame_mask = (torch.arange(frames) < lengths[:, None])[:, None].float()
    z_p = torch.stack(
        [
            sample_prior(mean, log_std, d, n, float(case["in_noise_scale"]))[:, :frames]
            for mean, log_std, d, n in zip(prior.mean, prior.log_std, durations, noise, strict=True)
        ]
    )
    z = network.flow(z_p, frame_mask, speaker)
    return out | {
        "logw": prior.log_durations,
        "w": torch.exp(prior.log_durations) * mask * length_scale,
        "w_ceil": durations,
        "attn_durations": durations,
        "y_lengths": lengths,
        "z_p": z_p,
        "z": z,
        "wav": network.dec(z * frame_mask, speaker),
    }


def compare(case_name: str, case: dict[str, np.ndarray], ours: dict[str, Tensor]) -> Iterator[Row]:
    """A row for each tensor that the file and we have; a difference in shape counts as infinite."""
    for name, limit in LIMITS.items():
        if name not in case or name not in ours:
            continue
        theirs = torch.from_numpy(np.asarray(case[name])).double().squeeze()
        mine = ours[name].double().squeeze()
        if theirs.shape != mine.shape and theirs.numel() != mine.numel():
            yield Row(case_name, name, float("inf"), limit)
            continue
        difference = (theirs.reshape(-1) - mine.reshape(-1)).abs().max().item()
        if name in RELATIVE:
            difference /= max(1.0, theirs.abs().max().item())
        yield Row(case_name, name, difference if difference == difference else float("inf"), limit)


def check(folder: Path) -> list[Row]:
    network, _ = load_folder(folder)
    rows: list[Row] = []
    for file in sorted(folder.glob("case_*.npz")):
        case = dict(np.load(file, allow_pickle=False))
        rows += compare(file.stem.removeprefix("case_"), case, run_case(network, case))
    if not rows:
        raise CheckpointError(
            f"{folder.name}: no case_*.npz there; give a folder laid out like golden/models/<family>."
        )
    return rows


def main(arguments: list[str]) -> int:
    if not arguments:
        print("usage: python -m tests.golden FOLDER…", file=sys.stderr)
        return 2
    status = 0
    print(f"{'family':<16}{'case':<14}{'tensor':<16}{'difference':>12}{'limit':>10}")
    for folder in map(Path, arguments):
        try:
            rows = check(folder)
        except (CheckpointError, OSError) as error:
            print(f"{folder.name}: {error}", file=sys.stderr)
            status = max(status, 2)
            continue
        for row in rows:
            mark = "" if row.passed else "  PAST THE LIMIT"
            print(f"{folder.name:<16}{row.case:<14}{row.tensor:<16}{row.difference:>12.2e}{row.limit:>10.0e}{mark}")
        if not all(row.passed for row in rows):
            status = max(status, 1)
    return status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
