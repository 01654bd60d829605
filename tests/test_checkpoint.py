"""Checkpoints of every family, in every form they are found in: read strictly, explained, converted, spoken with."""

import json
import lzma
import subprocess
import sys
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from infer.cli import doctor
from infer.cli.doctor import convert
from infer.engine.pipeline import Engine
from infer.request import BadRequest, SpeechError, SpeechRequest
from infer.settings import load_settings
from models import VARIANTS, CheckpointError, load_checkpoint, recognise
from models.checkpoint import inference_state, is_training_only, read_config
from models.checkpoint.doctor import examine
from tests.conftest import golden, writable_copy
from tests.networks import golden_network
from tests.releases import config_of, make_release, read_tensors, state_of
from tests.test_hostile import POINTER
from tests.voices import loaded, speak

ROOT = Path(__file__).resolve().parents[1]


def same(network, other) -> bool:
    theirs = other.state_dict()
    ours = network.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(value, theirs[key]) for key, value in ours.items())


def test_a_release_in_its_own_pickle_is_the_same_network(tmp_path):
    source = golden() / "models" / "extra-fix"
    with lzma.open(source / "G_golden.safetensors.xz") as file:
        state = OrderedDict((k, v.float()) for k, v in safetensors.torch.load(file.read()).items())
    state._metadata = {"": {"version": 1}}  # as Module.state_dict() makes it
    release = {"model": state, "iteration": 8000, "optimizer": {"state": {}}, "learning_rate": 1e-4}
    (tmp_path / "models").mkdir()
    torch.save(release, tmp_path / "models" / "G_8000.pth")
    (tmp_path / "config.json").write_bytes((source / "config.json").read_bytes())
    network, why = load_checkpoint(tmp_path / "models" / "G_8000.pth")
    assert "2.4" in str(why)
    assert same(network, golden_network("extra-fix"))


@pytest.mark.parametrize("family", [f for f in VARIANTS if f not in ("zh-clap", "extra")])  # stored like extra-fix
def test_every_family_loads_in_every_form(family, tmp_path):
    """As released, in half precision, without the posterior encoder, with torch's newer names for weight norm."""
    weights = make_release(tmp_path / "voice", family)
    config = read_config(tmp_path / "voice" / "config.json")
    network, _ = load_checkpoint(weights, config)
    assert network.config.variant.name == family
    assert next(network.parameters()).dtype == torch.float32
    state = read_tensors(weights)
    assert any(name.endswith("weight_g") for name in state) and any(map(is_training_only, state))
    slim = {k: v for k, v in state.items() if not k.startswith("enc_q.")}
    newer = {
        k.replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1"
        ): v
        for k, v in slim.items()
    }
    for form in (slim, newer, {"model": slim, "iteration": 1}):
        torch.save(form, tmp_path / "G_1.pth")
        assert same(load_checkpoint(tmp_path / "G_1.pth", config)[0], network)
    safetensors.torch.save_file(newer, tmp_path / "G.safetensors")
    assert same(load_checkpoint(tmp_path / "G.safetensors", config)[0], network)
    torch.save({k: v.half() for k, v in slim.items()}, tmp_path / "G_2.pth")
    half, _ = load_checkpoint(tmp_path / "G_2.pth", config)
    for ours, theirs in zip(half.parameters(), network.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=5e-3)


@pytest.mark.parametrize("family", ["extra-fix", "v2.1", "v2.2", "japanese-extra"])
def test_newer_quantisers_store_other_statistics(family, tmp_path):
    """`initted` became a bool without dimensions; it and its like play no part in inference."""
    config = config_of(family)
    state = state_of(family, config)
    expected = inference_state(state)
    for name in [n for n in state if n.endswith("initted")]:
        state[name] = torch.tensor(True)
        state[name.replace("_codebook.initted", "zero")] = torch.tensor(0.0)
    torch.save(state, tmp_path / "G_1.pth")
    network, _ = load_checkpoint(tmp_path / "G_1.pth", config)
    assert all(torch.equal(value, expected[key]) for key, value in network.state_dict().items())
    state[next(n for n in state if n.endswith("_codebook.embed")).replace("embed", "codebook_mean")] = torch.zeros(1)
    torch.save(state, tmp_path / "G_1.pth")
    with pytest.raises(CheckpointError, match=r"has enc_p\.emo_\w+\._codebook\.codebook_mean besides"):
        load_checkpoint(tmp_path / "G_1.pth", config)


def test_the_first_2_1_speaks_without_its_lost_emotions(tmp_path):
    weights = make_release(tmp_path, "v2.1-first")
    network, why = load_checkpoint(weights)
    assert network.config.variant.name == "v2.1-first" and "of no other family" in str(why)
    assert "never saved its ten emotions" in examine(weights).text()


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_wavenet_flow_counts_its_layers_in_n_flow_layer(layers, tmp_path):
    weights = make_release(tmp_path, "v1.0.1", use_transformer_flow=False, n_flow_layer=layers)
    network, _ = load_checkpoint(weights)
    assert list(network.flow.flows) == ["0", "2", "4", "6"]
    assert all(len(coupling.enc.in_layers) == layers for coupling in network.flow.flows.values())


def test_loading_is_strict_and_names_the_line_to_correct(tmp_path):
    config = config_of("v2.3")
    state = state_of("v2.3", config)

    def load_with(**changes):
        torch.save({k: v for k, v in {**state, **changes}.items() if v is not None}, tmp_path / "G_1.pth")
        return load_checkpoint(tmp_path / "G_1.pth", config)

    with pytest.raises(CheckpointError, match=r"lacks dp\.proj\.bias; use the config\.json that belongs"):
        load_with(**{"dp.proj.bias": None})
    with pytest.raises(CheckpointError, match=r"unknown dec\.extra"):
        load_with(**{"dec.extra": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"lacks dec\.ups\.0\.weight"):  # half of a pair
        load_with(**{"dec.ups.0.weight_g": None})
    with pytest.raises(CheckpointError, match=r"\(9, 8\) instead of \(2, 8\); .* set data\.n_speakers to 9 there"):
        load_with(**{"emb_g.weight": torch.zeros(9, 8)})
    with pytest.raises(
        CheckpointError, match=r"holds something else than weights: dp\.proj\.bias is of the kind int64"
    ):
        load_with(**{"dp.proj.bias": torch.zeros(1, dtype=torch.int64)})
    with pytest.raises(CheckpointError, match=r"dp\.proj\.bias that are not finite"):
        load_with(**{"dp.proj.bias": torch.tensor([float("nan")])})
    with pytest.raises(CheckpointError, match=r"copies a recording instead of having speakers"):
        load_with(**{"emb_g.weight": None, "ref_enc.convs.0.bias": torch.zeros(1)})
    config["model"]["n_layers_trans_flow"] = 4
    with pytest.raises(CheckpointError, match=r"set model\.n_layers_trans_flow to 3 there"):
        load_with()


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """A random BERT of the width of 1.0 to 2.3, one of 2048, and a CLAP."""
    from transformers import ClapConfig, ClapModel

    folder = tmp_path_factory.mktemp("features")
    random = torch.Generator().manual_seed(0)
    for source, name, width in (("roberta-tiny", "narrow", 1024), ("megatron-tiny", "wide", 2048)):
        bert = writable_copy(golden() / "bert" / source, folder / name)
        config = json.loads((bert / "config.json").read_text()) | {"hidden_size": width, "num_hidden_layers": 2}
        (bert / "config.json").write_text(json.dumps(config))
        rows = {"word": config["vocab_size"], "position": config["max_position_embeddings"], "token_type": 2}
        weights = {
            f"embeddings.{n}_embeddings.weight": torch.randn(r, width, generator=random) for n, r in rows.items()
        }
        norm = "embeddings.LayerNorm" if width == 1024 else "encoder.ln"
        weights |= {f"{norm}.weight": torch.ones(width), f"{norm}.bias": torch.zeros(width)}
        safetensors.torch.save_file(weights, bert / "model.safetensors", metadata={"format": "pt"})
    clap = writable_copy(golden() / "clap-tiny", folder / "clap")
    (clap / "model.safetensors").unlink()
    config = ClapConfig.from_pretrained(golden() / "clap-tiny")
    config.projection_dim = config.text_config.projection_dim = config.audio_config.projection_dim = 512
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ClapModel(config).save_pretrained(clap)
    return folder


def engine_of(family, folder, features):
    make_release(folder / "voice", family)
    paths = {"bert_path": "wide", "bert_1024_path": "narrow", "clap_path": "clap"}
    overrides = [f"{key}={features / name}" for key, name in paths.items()]
    return Engine(load_settings(overrides=[f"voices=[{folder}]", "webui.device=cpu", *overrides], environment={}))


@pytest.mark.parametrize(
    "family", [f for f in VARIANTS if "ZH" in VARIANTS[f].speaks and f not in ("extra", "zh-clap")]
)
def test_a_chinese_text_runs_through_every_family(family, tmp_path, features):
    engine = engine_of(family, tmp_path, features)
    voice = loaded(engine)
    assert voice.config.variant.name == family
    seen = []
    encode = voice.backend.encode
    voice.backend.encode = lambda ids, bert, *rest, **options: (
        seen.append((ids, bert, *rest)) or encode(ids, bert, *rest, **options)
    )
    request = SpeechRequest("你好，女儿。", seed=3)
    samples, _ = speak(engine, request)
    assert np.isfinite(samples).all() and np.abs(samples).max() > 0
    assert np.array_equal(samples, speak(engine, request)[0])
    ids, bert, emotion, *_ = seen[0]
    variant, length = voice.config.variant, int(ids[3].sum())
    assert [f.shape[1] for f in bert] == [variant.bert_width, *(w for _, w in variant.bert[1:])][: len(bert)]
    assert len(bert) == len(variant.bert)
    for slot in (f[0, :, :length] for f in bert[1:]):
        if variant.unused_slots == "zeros":
            assert not slot.any()
        elif variant.unused_slots == "uniform":
            assert slot.min() >= 0 and slot.max() <= 1 and abs(slot.std() - 12**-0.5) < 0.01
        else:
            assert abs(slot.mean()) < 0.02 and abs(slot.std() - 1) < 0.02
    if len(bert) == 3 and variant.unused_slots != "zeros":
        assert not torch.equal(bert[1], bert[2])
        speak(engine, request.but(seed=4))
        assert not torch.equal(seen[-1][1][1], bert[1])
    width = {"clap": 512, "codes": variant.codes, "table": 4, "none": 0}[variant.emotion]
    assert emotion.shape == (1, width)
    assert ids[2].any() == torch.tensor(False)  # Chinese is language 0 everywhere


def test_v1_0_counts_phones_in_its_own_table(tmp_path, features):
    """The same sentence, the same phones, other ids."""
    from text.symbols import TABLE_V1_0, TABLE_V2

    engine = engine_of("v1.0.1", tmp_path, features)
    voice, seen = loaded(engine), []
    encode = voice.backend.encode
    voice.backend.encode = lambda ids, *rest, **options: seen.append(ids[0]) or encode(ids, *rest, **options)
    speech = next(iter(engine.speak([SpeechRequest("知道。")])))
    phones = seen[0][0, 1 : 2 * len(speech.utterance.phones) : 2].tolist()
    assert [TABLE_V1_0.symbols[i] for i in phones] == list(speech.utterance.phones)
    assert [TABLE_V2.symbols[i] for i in phones] != list(speech.utterance.phones)


def test_emotions_of_v2_1_are_numbers(tmp_path, features):
    engine = engine_of("v2.1", tmp_path, features)
    assert engine.voices()["voice"].emotions == tuple("0123456789")
    backend, seen = loaded(engine).backend, []
    encode = backend.encode
    backend.encode = lambda ids, bert, emotion, *rest, **options: (
        seen.append(emotion) or encode(ids, bert, emotion, *rest, **options)
    )
    for words, code, known in (
        ("7", 7, True),
        ("", 0, True),
        ("neutral", 0, True),
        ("平静", 0, True),
        ("happy", 0, False),
    ):
        speech = next(iter(engine.speak([SpeechRequest("好。", emotion=words)])))
        assert seen[-1].argmax() == code and seen[-1].sum() == 1
        assert known == (not speech.notices)


def test_japanese_extra_is_told_apart_in_one_sentence(tmp_path, features):
    engine = engine_of("japanese-extra", tmp_path, features)
    with pytest.raises(SpeechError, match="there is no Japanese front end here"):
        engine.load()
    assert "Japanese" in engine.voices()["voice"].missing[0].say("en")


def test_each_family_s_bert_is_asked_for_by_name(tmp_path):
    make_release(tmp_path / "old", "v2.0.1")
    make_release(tmp_path / "special", "zh-clap")
    paths = (f"bert_path={tmp_path}/Erlangshen", f"bert_1024_path={tmp_path}/chinese-roberta-wwm-ext-large")
    engine = Engine(load_settings(overrides=[f"voices=[{tmp_path}]", "webui.device=cpu", *paths], environment={}))
    missing = {name: list(map(str, info.missing)) for name, info in engine.voices().items()}
    assert len(missing["old"]) == 1 and "hfl/chinese-roberta-wwm-ext-large" in missing["old"][0]
    assert len(missing["special"]) == 2 and "Erlangshen" in missing["special"][0] and "CLAP" in missing["special"][1]


def test_the_doctor_explains_a_voice(tmp_path, capsys):
    weights = make_release(tmp_path, "extra-fix")
    assert doctor.main([str(weights), "--set", "missing_features=zeros"]) == 0
    told = capsys.readouterr().out
    for words in (
        *("G_100.pth: this voice can be used", "extra-fix. It has the inputs of", "config says version 2.4"),
        *("22,050 samples a second, 128 a frame", "2: 甲, 乙", "Erlangshen-MegatronBert", "clap-htsat-fused"),
        *("training only", "(float32)"),
    ):
        assert words in told, words
    report = examine(weights)
    stored = read_tensors(weights)
    speaking = [value for name, value in stored.items() if not is_training_only(name)]
    assert report.parameters == sum(v.numel() for v in speaking) and report.speaking_bytes == 4 * report.parameters
    assert report.training_bytes == sum(v.nbytes for v in stored.values()) - report.speaking_bytes + 24  # the optimizer
    assert report.speakers == ("甲", "乙") and report.usable and not report.notes


def test_the_doctor_names_what_is_wrong_and_the_cure(tmp_path, capsys):
    weights = make_release(tmp_path / "voice", "v2.2")
    config_file = tmp_path / "voice" / "config.json"
    config = read_config(config_file)

    def told(**changes):
        config_file.write_text(json.dumps({**config, **changes}))
        status = doctor.main([str(weights), "--set", "missing_features=zeros"])
        return status, capsys.readouterr().out

    status, words = told(data={**config["data"], "n_speakers": 5})
    assert status == 1 and "PROBLEM" in words and "set data.n_speakers to 2 there" in words
    assert "v2.2" in words and "cannot be used" in words
    status, words = told(model={**config["model"], "n_layers": "six"})
    assert status == 1 and "n_layers must be a whole number" in words
    status, words = told(variant="v2.3")
    assert status == 1 and "does not fit this file" in words
    status, words = told(data={**config["data"], "spk2id": {"a\x1b[31m": 0, "far": 9}})
    assert status == 0 and "\x1b" not in words and "1 of the names" in words
    status, words = told(data={**config["data"], "spk2id": ["甲"]})
    assert status == 0 and "2: 0, 1" in words and "are numbered" in words
    config_file.unlink()
    assert doctor.main([str(weights)]) == 1
    words = capsys.readouterr().out
    assert "There is no config.json" in words and "v2.2. It has the inputs of v2.2" in words
    assert doctor.main([str(tmp_path / "nothing.pth")]) == 1
    assert "does not exist" in capsys.readouterr().out


def test_a_code_book_of_length_1_that_claims_zh_clap_is_doubted(tmp_path):
    config = config_of("zh-clap")
    state = state_of("zh-clap", config)
    book = "enc_p.emo_vq._codebook.embed"
    state[book] = torch.nn.functional.normalize(state[book], dim=-1)
    torch.save(state, tmp_path / "G_1.pth")
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert '"variant": "extra-fix"' in examine(tmp_path / "G_1.pth").text()
    del config["version"]
    assert recognise(tmp_path / "G_1.pth", config)[0].variant.name == "extra-fix"
    assert not examine(make_release(tmp_path / "other", "zh-clap")).notes


def test_japanese_extra_is_no_use_here(tmp_path):
    report = examine(make_release(tmp_path, "japanese-extra"))
    assert not report.usable and "Japanese alone" in str(report.problems[0]) and report.variant.name == "japanese-extra"


@pytest.mark.parametrize("half", [False, True])
def test_converting_keeps_what_speaking_needs(half, tmp_path):
    weights = make_release(tmp_path / "voice", "extra-fix")
    network, _ = load_checkpoint(weights)
    out = tmp_path / "out" / "G.safetensors"
    arguments = [str(weights), "--convert", str(out), *(["--fp16"] if half else [])]
    assert doctor.main(arguments) == 0
    assert (tmp_path / "out" / "config.json").read_bytes() == (tmp_path / "voice" / "config.json").read_bytes()
    assert sorted(f.name for f in out.parent.iterdir()) == ["G.safetensors", "config.json"]
    names = read_tensors(out)
    assert not any(map(is_training_only, names)) and "dec.ups.0.weight_v" in names
    assert out.stat().st_mode == weights.stat().st_mode
    again, _ = load_checkpoint(out)
    assert again.config == network.config
    if half:
        assert out.stat().st_size < 0.55 * weights.stat().st_size
        assert {v.dtype for n, v in names.items() if "codebook" not in n} == {torch.float16}
        assert torch.equal(again.enc_p.emo_vq.codebook, network.enc_p.emo_vq.codebook)
    else:
        assert same(again, network)
    content = out.read_bytes()
    assert doctor.main(arguments) == 2  # never over what is there
    assert out.read_bytes() == content
    assert doctor.main([*arguments, "--force"]) == 0


def test_converting_refuses_rather_than_spoils(tmp_path):
    weights = make_release(tmp_path / "voice", "v2.3")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text("{}")
    with pytest.raises(BadRequest, match="Another config"):
        convert(weights, tmp_path / "out" / "G.safetensors")
    with pytest.raises(BadRequest, match="must end in"):
        convert(weights, tmp_path / "G.pth")
    convert(weights, tmp_path / "new" / "G.safetensors")
    with pytest.raises(BadRequest, match="already there"):
        convert(tmp_path / "new" / "G.safetensors", tmp_path / "new" / "G.safetensors", force=True)
    state = read_tensors(weights)
    state["dp.proj.bias"] = torch.tensor([1e6])
    torch.save(state, weights)
    with pytest.raises(CheckpointError, match="too large for float16"):
        convert(weights, tmp_path / "half" / "G.safetensors", half=True)
    assert not (tmp_path / "half").exists() and [f.name for f in (tmp_path / "out").iterdir()] == ["config.json"]


def test_the_command_says_nothing_else(tmp_path):
    weights = make_release(tmp_path, "v1.1.1")
    run = subprocess.run(
        [sys.executable, "-m", "infer.doctor", str(weights), "--set", "missing_features=zeros"],
        **{"cwd": ROOT, "capture_output": True, "text": True, "timeout": 120},
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert "v1.1.1" in run.stdout and "chinese-roberta-wwm-ext-large" in run.stdout


def test_infer_s_doctor_looks_for_the_needed_files(tmp_path, capsys):
    weights = make_release(tmp_path, "v2.0.1")
    assert doctor.main([str(weights), "--set", f"bert_1024_path={tmp_path}/no"]) == 1
    assert "MISSING" in capsys.readouterr().out
    assert doctor.main([str(weights), "--set", "missing_features=zeros"]) == 0
    assert replace(examine(weights), problems=("x",)).usable is False


@pytest.mark.parametrize(
    ("name", "content", "cause", "remedy"),
    [
        ("config.json", '{"title": "小雨"}'.encode("gbk"), "config.json is GBK text", "save it as UTF-8"),
        ("config.json", POINTER, "config.json is a Git LFS pointer", "run git lfs pull"),
        ("config.json", b"<!DOCTYPE html>", "config.json is a web page", "download the file itself"),
        ("G_100.pth", POINTER, "G_100.pth was refused, since it is a Git LFS pointer", "run git lfs pull"),
        ("G_100.pth", b"<html><body>404", "since it is a web page", "download the file itself"),
        ("G_100.pth", None, "It lacks emb_g.weight; it has no speakers", "choose the generator's G_*.pth"),
    ],
)
def test_the_doctor_names_what_downloads_and_editors_leave(name, content, cause, remedy, tmp_path, capsys):
    weights = make_release(tmp_path, "v2.3")
    if content is None:
        state = {key: value for key, value in read_tensors(weights).items() if key != "emb_g.weight"}
        torch.save({"model": state}, weights)
    else:
        (weights if name == weights.name else tmp_path / "config.json").write_bytes(content)
    assert doctor.main([str(weights), "--set", "missing_features=zeros"]) == 1
    told = capsys.readouterr().out
    assert "cannot be used" in told and "PROBLEM" in told and cause in told and remedy in told
