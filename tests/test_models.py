"""The network computes the original's function, and checkpoints are read strictly and safely."""

import lzma
import os
import pickle

import pytest
import safetensors.torch
import torch

from models import VARIANTS, CheckpointError, SynthesizerConfig, detect, load_checkpoint
from models.checkpoint import fold_weight_norm, inference_state, read_tensors
from models.config import UnknownCheckpoint
from models.generator import receptive_field
from tests import golden as runner
from tests.conftest import golden
from tests.networks import golden_network
from tests.voices import CONFIG, make_tiny_voice

FAMILIES = [f for f in ("extra-fix", "zh-clap", "extra") if (golden() / "models" / f).is_dir()]


@pytest.mark.parametrize("family", FAMILIES)
def test_parity_with_the_original(family):
    rows = runner.check(golden() / "models" / family)
    assert {"wav", "z", "z_p", "w_ceil", "enc_x", "vq_idx"} <= {row.tensor for row in rows}
    assert not [row for row in rows if not row.passed]


def test_the_golden_command_fails_on_a_wrong_number(tmp_path, capsys):
    import numpy as np

    source = golden() / "models" / "zh-clap"
    folder = tmp_path / "zh-clap"
    folder.mkdir()
    for name in ("config.json", "info.json", "G_golden.safetensors.xz"):
        (folder / name).write_bytes((source / name).read_bytes())
    case = dict(np.load(source / "case_short.npz"))
    case["wav"] = case["wav"] + 2e-5
    np.savez(folder / "case_short.npz", **case)
    assert runner.main([str(folder)]) == 1
    assert "PAST THE LIMIT" in capsys.readouterr().out
    assert runner.main([str(tmp_path / "nothing")]) == 2


def test_family_by_shape_with_the_version_as_a_hint():
    special = ["enc_p.emb.weight", "enc_p.bert_pre_proj.weight"]
    assert detect(special, "2.4")[0].name == "extra-fix"
    assert detect(special, "2.3")[0].name == "zh-clap"
    assert detect(special, "2.3", override="extra-fix")[0].name == "extra-fix"
    assert "decides nothing" in detect(special, "9")[1]
    with pytest.raises(UnknownCheckpoint, match="not supported yet"):
        detect(["enc_p.emb.weight", "enc_p.ja_bert_proj.weight"], "2.4")
    with pytest.raises(UnknownCheckpoint, match=r"enc_p\.emb\.weight"):
        detect(["optimizer.state"], "2.4")
    with pytest.raises(UnknownCheckpoint, match="does not fit"):
        detect(special, "2.4", override="small")
    with pytest.raises(UnknownCheckpoint, match="is not known"):
        detect(special, "2.4", override="extra_fix")


def test_a_release_in_its_own_pickle_is_the_same_network(tmp_path):
    source = golden() / "models" / "extra-fix"
    with lzma.open(source / "G_golden.safetensors.xz") as file:
        state = {k: v.float() for k, v in safetensors.torch.load(file.read()).items()}
    release = {"model": state, "iteration": 8000, "optimizer": {"state": {}}, "learning_rate": 1e-4}
    (tmp_path / "models").mkdir()
    torch.save(release, tmp_path / "models" / "G_8000.pth")
    (tmp_path / "config.json").write_bytes((source / "config.json").read_bytes())
    network, why = load_checkpoint(tmp_path / "models" / "G_8000.pth")
    assert "2.4" in why
    theirs = golden_network("extra-fix").state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in network.state_dict().items())


def test_weight_norm_in_both_spellings():
    g, v = torch.rand(4, 1, 1) + 0.5, torch.randn(4, 3, 5)
    expected = torch.stack([g[i] * v[i] / v[i].norm() for i in range(4)])
    old = fold_weight_norm({"a.weight_g": g, "a.weight_v": v, "a.bias": g[:, 0, 0]})
    new = fold_weight_norm({"a.parametrizations.weight.original0": g, "a.parametrizations.weight.original1": v})
    assert torch.allclose(old["a.weight"], expected) and torch.allclose(new["a.weight"], expected)
    assert set(old) == {"a.weight", "a.bias"} and set(new) == {"a.weight"}


def test_loading_is_strict(tmp_path):
    weights = make_tiny_voice(tmp_path) / "G.safetensors"
    state = safetensors.torch.load_file(weights)

    def load_with(**changes):
        safetensors.torch.save_file({k: v for k, v in {**state, **changes}.items() if v is not None}, weights)
        return load_checkpoint(weights)

    with pytest.raises(CheckpointError, match=r"lacks dp\.proj\.bias"):
        load_with(**{"dp.proj.bias": None})
    with pytest.raises(CheckpointError, match=r"unknown dec\.extra"):
        load_with(**{"dec.extra": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"emb_g\.weight is \(9, 8\) instead of \(2, 8\)"):
        load_with(**{"emb_g.weight": torch.zeros(9, 8)})
    network, _ = load_with(**{"enc_q.pre.weight": torch.zeros(3)})  # training parts are dropped
    assert next(network.parameters()).dtype == torch.float32


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    make_tiny_voice(tmp_path)
    for name, content in {
        "zip": lambda file: torch.save({"model": Attack()}, file),
        "plain": lambda file: file.write_bytes(pickle.dumps({"model": Attack()}, protocol=2)),
        "text": lambda file: file.write_text("not a checkpoint"),
        "empty": lambda file: file.write_bytes(b""),
    }.items():
        file = tmp_path / f"G_{name}.pth"
        content(file)
        with pytest.raises(CheckpointError, match=r"refused|holds no state dict"):
            read_tensors(file)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_channels": "192"}, "hidden_channels must be a whole number"),
        ({"n_layers": 2}, "at least 3"),
        ({"upsample_rates": []}, "upsample_rates must be a list"),
        ({"hidden_channels": 10**9}, "whole number from 1"),
        ({"flow_share_parameter": True}, "flow_share_parameter"),
        ({"n_heads": 3}, "multiple of"),
    ],
)
def test_an_impossible_config_is_one_sentence(change, message):
    config = {**CONFIG, "model": {**CONFIG["model"], **change}}
    with pytest.raises(ValueError, match=message):
        SynthesizerConfig.from_json(config, VARIANTS["small"])


@pytest.mark.parametrize("resblock", ["1", "2"])
def test_the_receptive_field_is_what_the_decoder_has(resblock):
    """A change beyond it changes nothing; at released sizes it is 13 frames, and the 13th is really used."""
    network = golden_network("extra-fix") if resblock == "1" else _tiny_network()
    halo = receptive_field(network.config)
    decoder, width = network.dec.double(), network.config.inter_channels
    speaker = torch.zeros(1, network.config.gin_channels, 1, dtype=torch.double)
    z = torch.randn(1, width, 4 * halo, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    middle, hop = 2 * halo, network.config.hop

    def heard(frame: int) -> float:
        changed = z.clone()
        changed[..., frame] += 1000
        difference = decoder(changed, speaker) - decoder(z, speaker)
        return difference[..., middle * hop : (middle + 1) * hop].abs().max().item()

    with torch.inference_mode():
        outside = [heard(middle - halo - 1), heard(middle + halo + 1)]
        inside = [heard(middle - halo), heard(middle + halo)]
    network.dec.float()
    assert max(outside) == 0
    assert max(inside) > 0
    if resblock == "1":
        assert halo == 13


def _tiny_network():
    from models import Synthesizer

    torch.manual_seed(0)
    return Synthesizer(SynthesizerConfig.from_json(CONFIG, VARIANTS["small"]))


def test_older_configs_with_a_wavenet_flow_invert_what_they_do():
    """No golden file has use_transformer_flow false; the coupling itself must still be its own inverse's inverse."""
    config = {**CONFIG, "model": {**CONFIG["model"], "use_transformer_flow": False, "n_flow_layer": 3}}
    from models.flow import Flow

    torch.manual_seed(0)
    sizes = SynthesizerConfig.from_json(config, VARIANTS["small"])
    flow = Flow(sizes)
    assert len(flow.flows) == 4
    z_p, mask = torch.randn(1, 16, 9), torch.ones(1, 1, 9)
    speaker = torch.randn(1, sizes.gin_channels, 1)
    with torch.inference_mode():
        z = flow(z_p, mask, speaker)
        back = z
        for coupling in flow.flows.values():
            x0, x1 = back.chunk(2, dim=1)
            shift = coupling.post(coupling.enc(coupling.pre(x0) * mask, mask, speaker)) * mask
            back = torch.cat((x0, x1 + shift), dim=1).flip(1)
    assert torch.allclose(back, z_p, atol=1e-5)
    assert not torch.allclose(z, z_p, atol=1e-2)


def test_training_parts_do_not_reach_the_network():
    names = ["enc_q.pre.weight", "sdp.post_pre.weight", "sdp.flows.1.pre.weight", "enc_p.emo_vq._codebook.initted"]
    kept = ["sdp.flows.0.m", "sdp.flows.3.pre.weight", "enc_p.emo_vq._codebook.embed"]
    state = inference_state({name: torch.zeros(1) for name in names + kept})
    assert set(state) == {"sdp.flows.0.m", "sdp.flows.3.pre.weight", "enc_p.emo_vq.codebook"}
