"""The benchmark measures what it says, and ends with one line of JSON."""

import json

import pytest
import torch

from benchmarks import speed
from infer.engine import devices
from models import VARIANTS, Synthesizer, SynthesizerConfig
from tests.releases import config_of
from tests.voices import GENERATOR


@pytest.fixture(params=["generator", "filter"])
def tiny(request):
    config = config_of("small", use_transformer_flow=False, **GENERATOR if request.param == "generator" else {})
    return Synthesizer(SynthesizerConfig.from_json(config, VARIANTS["small"])).eval().requires_grad_(False)


def test_the_reference_keeps_weight_norm_and_computes_the_same(tiny):
    reference = speed.Reference(tiny, devices.choose("cpu"))
    convolutions = [*reference.network.flow.flows["0"].enc.in_layers]
    if not tiny.config.pitch:
        convolutions += [*reference.network.dec.ups, *reference.network.dec.resblocks[0].convs]
    assert all(hasattr(layer, "parametrizations") for layer in convolutions)
    assert not any(hasattr(layer, "parametrizations") for layer in tiny.modules())
    plain, padded = (speed.Sentence(tiny.config, 21, 90, bucketed) for bucketed in (False, True))
    z = plain.flow(reference)
    with torch.inference_mode():
        latent, whole = tiny.flow(plain.z_p, plain.mask, plain.speaker), tiny.dec(z, plain.speaker)
    assert (z[:, : latent.shape[1]] - latent).abs().max() < 1e-5
    assert (reference.whole(z, plain.speaker) - whole).abs().max() < 1e-5
    assert padded.mask.shape[-1] == 96 and torch.equal(padded.z, plain.z)


def test_it_prints_a_table_and_one_line_of_json(tiny, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(speed, "embedded_network", lambda: tiny)
    threads = torch.get_num_threads()
    try:
        speed.main(["--quick", "--backends", "torch", "onnx", "ipex", "--json", str(tmp_path / "out.json")])
    finally:
        torch.set_num_threads(threads)
    told = capsys.readouterr()
    last = told.out.strip().splitlines()[-1]
    summary = json.loads(last)
    assert json.loads((tmp_path / "out.json").read_text()) == summary and summary["threads"] == 1
    (result,) = summary["results"]
    assert list(result["backends"]) == ["eager", "torch", "onnx"] and "ipex: left out." in told.err
    assert result["gflops_sgemm"] > 0 and result["backends"]["eager"]["all"]["x"] == 1
    for name in ("torch", "onnx"):
        row = result["backends"][name]
        assert {"windows_to_whole", "first_sound_s", "first_sound_x", "new_length", "shapes", "memory_mb"} <= set(row)
        assert row["all"]["cpu"] == pytest.approx(sum(row[s]["cpu"] for s in ("encode", "flow", "decode")))
    assert "first sound" in told.out and "embedded voice" in told.out
