"""The network computes the original's function, in every family, and each family is recognised."""

import json

import numpy as np
import pytest
import torch

from models import VARIANTS, Synthesizer, SynthesizerConfig, UnknownCheckpoint, detect, halos
from models.checkpoint import fold_weight_norm, inference_state, misfits, outline
from models.flow import Flow
from tests import parity as runner
from tests.conftest import golden
from tests.networks import golden_network
from tests.voices import CONFIG, GENERATOR
from text import symbols

FAMILIES = sorted(folder.name for folder in (golden() / "models").iterdir())
RELEASED = [name for name in VARIANTS if name not in ("small", "v2.1-first")]


@pytest.mark.parametrize("family", FAMILIES)
def test_parity_with_the_original(family):
    rows = runner.check(golden() / "models" / family)
    variant = golden_network(family).config.variant
    codes = {"vq_idx", "vq_in", "vq_out"} if variant.codes else set()
    assert {"wav", "z", "z_p", "w_ceil", "enc_x", "logw_sdp"} | codes <= {row.tensor for row in rows}
    assert variant.name == family
    assert not [row for row in rows if not row.passed]


def test_the_golden_command_fails_on_a_wrong_number(tmp_path, capsys):
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


def released(family: str) -> tuple[dict[str, torch.Tensor], dict]:
    """A full-size release of a family without its numbers: every stored name and shape, and its config.json."""
    facts = golden() / "facts"
    tree = json.loads((facts / "tree_extra-fix.json").read_text())["tree"]
    change = json.loads((facts / "tree_differences.json").read_text()).get(family, {})
    for name in change.get("removed", ()):
        del tree[name]
    tree |= change.get("other_shape", {}) | change.get("added", {})
    config = json.loads((golden() / "models" / "extra-fix" / "config.json").read_text(encoding="utf-8"))
    sizes = {"inter_channels": 192, "hidden_channels": 192, "filter_channels": 768, "n_layers": 6}
    sizes |= {"upsample_initial_channel": 512, "gin_channels": change.get("gin_channels", 256)}
    config["model"] |= sizes
    config["data"]["n_speakers"] = change.get("n_speakers", 512)
    config["version"] = {"extra": "2.3", "zh-clap": "2.3", "extra-fix": "2.4", "japanese-extra": "2.4"}.get(
        family, family.removeprefix("v")
    )
    return {name: torch.empty(shape, device="meta") for name, shape in tree.items()}, config


def shapes(state: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in inference_state(state).items()}


@pytest.mark.parametrize("family", RELEASED)
def test_a_release_of_full_size_is_recognised_and_fits(family):
    state, config = released(family)
    variant, why = detect(shapes(state), config["version"], "extra" if family == "extra" else "")
    assert variant.name == family and why
    network = outline(SynthesizerConfig.from_json(config, variant), len(state))
    assert misfits(network, inference_state(state)) == []
    assert network.config.hop == 512
    del state["dec.conv_post.weight"]
    assert list(map(str, misfits(network, inference_state(state)))) == ["lacks dec.conv_post.weight"]


@pytest.mark.parametrize("family", [f for f in RELEASED if not f.startswith(("extra", "zh-clap", "v2.0", "v2.3"))])
def test_shapes_alone_tell_most_families(family):
    """Whatever version a config claims: 1.0 and 1.1 have none, and released ones are wrong."""
    state, _ = released(family)
    for version in ("", "2.4", "9"):
        found, why = detect(shapes(state), version)
        assert found.name == family
        assert ("although" in str(why)) == bool(version and not version.startswith(found.versions))


@pytest.mark.parametrize(
    ("family", "version", "found"),
    [
        *(("extra-fix", "2.4", "extra-fix"), ("extra-fix", "2.3", "zh-clap"), ("extra-fix", "", "extra-fix")),
        *(("v2.3", "2.3", "v2.3"), ("v2.3", "2.2", "v2.3"), ("v2.0.1", "2.0", "v2.0.1")),
        *(("v2.0.1", "2.0.2-fix", "v2.0.1"), ("v2.0.1", "", "v2.3")),
    ],
)
def test_the_version_decides_where_shapes_cannot(family, version, found):
    variant, why = detect(shapes(released(family)[0]), version)
    assert variant.name == found
    assert (f"version {version}" if version else "decides nothing, so the newest") in str(why)


def test_code_books_decide_where_the_version_cannot():
    special = shapes(released("extra-fix")[0])
    assert detect(special, "", unit_codes=True)[0].name == "extra-fix"
    assert detect(special, "9", unit_codes=False)[0].name == "zh-clap"
    assert "length 1" in str(detect(special, "", unit_codes=True)[1])
    assert detect(special, "2.4", unit_codes=False)[0].name == "extra-fix"  # the version comes first


def test_the_owner_s_word_wins_where_it_can_fit():
    special = shapes(released("extra-fix")[0])
    assert detect(special, "2.3", "extra-fix")[0].name == "extra-fix"
    assert detect(special, "2.4", "extra")[0].name == "extra"
    with pytest.raises(UnknownCheckpoint, match=r"'small' does not fit this file, whose inputs are those of extra-fix"):
        detect(special, "2.4", "small")
    with pytest.raises(UnknownCheckpoint, match=r"'extra_fix' is not known; known are extra-fix, zh-clap"):
        detect(special, "2.4", "extra_fix")


def test_an_unknown_fingerprint_is_an_error_that_lists_the_keys():
    state = shapes(released("v2.2")[0])
    strange = {**state, "enc_p.fr_bert_proj.weight": (192, 1024, 1), "enc_p.emb.weight": (130, 192)}
    del strange["enc_p.ja_bert_proj.bias"]
    with pytest.raises(UnknownCheckpoint) as caught:
        detect(strange, "2.2")
    assert "compared with v2.2, the nearest" in str(caught.value)
    for part in ("has enc_p.fr_bert_proj.weight besides", "lacks enc_p.ja_bert_proj.bias", "(130, 192)"):
        assert part in str(caught.value)
    state["enc_p.emo_vq._codebook.batch_mean"] = (1,)  # a quantiser that does something else
    with pytest.raises(UnknownCheckpoint, match="batch_mean besides"):
        detect(state, "2.2")
    with pytest.raises(UnknownCheckpoint, match=r"no Bert-VITS2 generator: .*optimizer\.state"):
        detect({"optimizer.state": (1,)}, "2.4")


def test_every_family_counts_in_the_table_it_names():
    tables = {"v2": symbols.TABLE_V2, "v1.1": symbols.TABLE_V1_1, "v1.0": symbols.TABLE_V1_0}
    for variant in VARIANTS.values():
        table = tables[variant.table]
        assert (len(table.symbols), table.num_tones) == (variant.symbols, variant.tones), variant.name
        assert table.language_ids["ZH"] == 0  # what infer feeds
        assert variant.bert_width in ((2048,) if variant.bert_pre else (0, 1024))
        assert len(variant.bert) <= 1 or variant.unused_slots in ("zeros", "uniform", "normal")


def test_v2_1_takes_a_vector_an_index_or_nothing():
    """The vector's nearest code, that code by its index, and a mix; the first 2.1, which has no codes, is neutral."""
    torch.manual_seed(0)
    sizes = {**CONFIG, "model": CONFIG["model"] | GENERATOR}
    sizes["model"].pop("emotions")
    encoder = Synthesizer(SynthesizerConfig.from_json(sizes, VARIANTS["v2.1"])).enc_p
    with torch.inference_mode():
        vector = torch.randn(2, 1024)
        _, codes = encoder.emo_quantizer(encoder.emo_proj(vector))
        one_hot = torch.nn.functional.one_hot(codes[:, 0], 10).float()
        assert torch.allclose(encoder.emotion(vector), encoder.emotion(one_hot), atol=1e-5)
        half = encoder.emotion(torch.tensor([[0.5, 0.5, *[0.0] * 8]]))
        ends = encoder.emotion(torch.eye(10)[:2])
        assert torch.allclose(half, ends.mean(0, keepdim=True), atol=1e-5)
        first = Synthesizer(SynthesizerConfig.from_json(sizes, VARIANTS["v2.1-first"])).enc_p
        assert torch.allclose(first.emotion(torch.zeros(1, 0)), first.emo_q_proj.bias)
        assert first.emotion(vector).shape == (2, 16)
    sizes["model"]["emotions"] = ["calm"]
    with pytest.raises(ValueError, match="list of 10 names"):
        SynthesizerConfig.from_json(sizes, VARIANTS["v2.1"])


def test_weight_norm_in_both_spellings():
    g, v = torch.rand(4, 1, 1) + 0.5, torch.randn(4, 3, 5)
    expected = torch.stack([g[i] * v[i] / v[i].norm() for i in range(4)])
    old = fold_weight_norm({"a.weight_g": g, "a.weight_v": v, "a.bias": g[:, 0, 0]})
    new = fold_weight_norm({"a.parametrizations.weight.original0": g, "a.parametrizations.weight.original1": v})
    assert torch.allclose(old["a.weight"], expected) and torch.allclose(new["a.weight"], expected)
    assert set(old) == {"a.weight", "a.bias"} and set(new) == {"a.weight"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_channels": "192"}, "hidden_channels must be a whole number"),
        ({"n_layers": 2}, "at least 3"),
        ({"n_layers_trans_flow": 2}, "at least 3"),
        ({"upsample_rates": []}, "upsample_rates must be a list"),
        (GENERATOR | {"upsample_rates": [8, 4]}, "equally long"),
        (GENERATOR | {"upsample_kernel_sizes": [16, 8, 7]}, "plus an even number"),
        (GENERATOR | {"upsample_kernel_sizes": [16, 8, 256]}, "at most 128"),
        (GENERATOR | {"upsample_initial_channel": 7}, "too small to be halved"),
        ({"upsample_kernel_sizes": [2048, 128]}, "whole number from 1 to 1024"),
        ({"upsample_rates": [4, 8, 4]}, "two model.upsample_rates and two"),
        ({"upsample_kernel_sizes": [256, 128, 64]}, "two model.upsample_rates and two"),
        ({"resblock": "1"}, 'must have model.resblock "2"'),
        ({"upsample_rates": [4, 31], "upsample_kernel_sizes": [248, 124]}, "must be even, and each of"),
        ({"upsample_kernel_sizes": [256, 144]}, "a multiple of it"),
        ({"upsample_kernel_sizes": [256, 96]}, "four times or more"),
        ({"resblock_kernel_sizes": [3, 4]}, "must be odd"),
        (GENERATOR | {"resblock": "1"}, "must hold 3 numbers"),
        ({"hidden_channels": 10**9}, "whole number from 1"),
        ({"flow_share_parameter": True}, "flow_share_parameter"),
        ({"use_spk_conditioned_encoder": False}, "speaker must condition the encoder"),
        ({"gin_channels": 0}, "speaker must condition the encoder"),
        ({"use_transformer_flow": "false"}, "use_transformer_flow must be true or false"),
        ({"n_heads": 3}, "multiple of"),
        ({"emotions": []}, "list of 1 to 256 names"),
        ({"emotions": 7}, "list of 1 to 256 names"),
    ],
)
def test_an_impossible_config_is_one_sentence(change, message):
    config = {**CONFIG, "model": {**CONFIG["model"], **change}}
    with pytest.raises(ValueError, match=message):
        SynthesizerConfig.from_json(config, VARIANTS["small"])


@pytest.mark.parametrize("resblock", ["1", "2"])
def test_the_decoder_looks_no_further_than_its_halos(resblock):
    """A change beyond them changes nothing; at released sizes they are 13 frames, and the 13th is really used."""
    network = golden_network("extra-fix") if resblock == "1" else _tiny_network()
    halo = sum(halos(network.config))
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
    if resblock == "1":
        assert halo == 13 and max(inside) > 0


def _tiny_network():
    torch.manual_seed(0)
    config = {**CONFIG, "model": CONFIG["model"] | GENERATOR}
    return Synthesizer(SynthesizerConfig.from_json(config, VARIANTS["small"]))


def test_older_configs_with_a_wavenet_flow_invert_what_they_do():
    """No golden file has use_transformer_flow false; the coupling itself must still be its own inverse's inverse."""
    config = {**CONFIG, "model": {**CONFIG["model"], "use_transformer_flow": False, "n_flow_layer": 3}}
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
