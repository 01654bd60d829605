"""The benchmark measures what it says, and ends with one line of JSON."""

import json

import pytest
import torch

from benchmarks import speed
from infer.engine import devices
from infer.engine.backends.torch_backend import TorchBackend
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
    sentence = speed.Sentence(tiny.config, 21, 90)
    z = sentence.flow(reference)
    with torch.inference_mode():
        latent, whole = tiny.flow(sentence.z_p, torch.ones(1, 1, 90), sentence.speaker), tiny.dec(z, sentence.speaker)
    assert (z[:, : latent.shape[1]] - latent).abs().max() < 1e-5
    assert (reference.whole(z, sentence.speaker) - whole).abs().max() < 1e-5
    ours = sentence.flow(speed.Bucketed(TorchBackend(tiny, devices.choose("cpu"))))
    assert (ours - z)[:, : latent.shape[1]].abs().max() < 1e-4


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
