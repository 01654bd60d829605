"""bert/: features equal the reference on tiny models, and one belongs to each character whatever the text is."""

import json
import os
import platform
import re
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import bert
from benchmarks import bert as benchmark
from bert import INT8_WEIGHTS, BertFeatures, MissingModel, bucket, int8, missing_files, network, quantise, windows
from infer.cli.models import main
from infer.engine import devices
from infer.engine.voice import Features
from infer.request import MissingFiles
from infer.settings import load_settings
from tests.conftest import golden, writable_copy

LIMIT = 1e-5
MEGATRON = golden() / "bert" / "megatron-tiny"
ROBERTA = golden() / "bert" / "roberta-tiny"


def cases(folder):
    data = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    return [pytest.param(folder, index, case, id=f"{folder.name}-{index}") for index, case in enumerate(data)]


@pytest.fixture(scope="module")
def models():
    return {MEGATRON: BertFeatures.load(MEGATRON), ROBERTA: BertFeatures.load(ROBERTA, normalise=False)}


@pytest.fixture(scope="module")
def megatron(models):
    return models[MEGATRON]


@pytest.mark.parametrize(("folder", "index", "case"), cases(MEGATRON) + cases(ROBERTA))
def test_parity(models, folder, index, case):
    with np.load(folder / "golden.npz") as expected:
        ids, word2ph, feature = (expected[f"c{index}_{name}"] for name in ("ids", "word2ph", "feature"))
    assert models[folder].character_ids(case["text"]) == tuple(ids)
    result = models[folder](case["text"], word2ph.tolist(), case["style_text"], case["style_weight"])
    assert result.dtype == torch.float32 and result.shape == (feature.shape[0], word2ph.sum())
    np.testing.assert_allclose(result.numpy(), feature, rtol=0, atol=LIMIT)


def test_hidden_state_is_the_raw_stream(megatron):
    with np.load(MEGATRON / "golden.npz") as expected:
        hidden = megatron._hidden(tuple(expected["c0_ids"].tolist()))
        np.testing.assert_allclose(hidden.numpy(), expected["c0_hidden_m3"], rtol=0, atol=LIMIT)


def test_the_last_two_layers_are_not_loaded(megatron):
    assert json.loads((MEGATRON / "config.json").read_text())["num_hidden_layers"] == 5
    assert len(megatron.network.model.encoder.layer) == 3


def test_style_changes_the_feature_and_a_blank_one_does_not(megatron):
    text, word2ph = "你好", [1, 2, 2, 1]
    plain = megatron(text, word2ph)
    assert torch.equal(megatron(text, word2ph, "  "), plain)
    assert torch.equal(megatron(text, word2ph, "我很生气!", 0.0), plain)
    full = megatron(text, word2ph, "我很生气!", 1.0)
    assert not torch.allclose(full, plain) and torch.allclose(full, full[:, :1].expand_as(full))


@given(text=st.text(max_size=40) | st.text(alphabet="今天2024 abcＡé\n\x00##[UNK]…😀龘", max_size=40))
def test_one_feature_a_character_for_any_text(models, text):
    megatron = models[MEGATRON]
    assert len(megatron.character_ids(text)) == len(text) + 2
    assert megatron(text, [1] * (len(text) + 2)).shape == (64, len(text) + 2)


def test_pieces_do_not_merge(tmp_path):
    """A vocabulary with "2024" and "##a": the tokenizer alone would give fewer pieces than characters."""
    folder = writable_copy(MEGATRON, tmp_path / "bert")
    vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")[:172]
    vocabulary[-4:] = ["2024", "2", "a", "##a"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    features = BertFeatures.load(folder)
    assert features.tokenizer("2024")["input_ids"] == [6, 168, 7]
    assert features.character_ids("2024") == (6, 169, 5, 169, 5, 7)
    assert features.character_ids("aÁＡ ") == (6, 170, 170, 5, 5, 7)  # lower case without accents, as BERT does it


@pytest.mark.parametrize("length", [125, 126, 127, 189, 190, 600])
def test_texts_longer_than_the_model(megatron, length):
    """126 characters fit the tiny model. Beyond, each end is as if the model had been shown only that end."""
    text = ("今天天气真好,我们去公园散步吧." * 40)[:length]
    rows = megatron._hidden(megatron.character_ids(text))
    head = megatron._hidden(megatron.character_ids(text[:126]))
    tail = megatron._hidden(megatron.character_ids(text[-126:]))
    assert rows.shape == (length + 2, 64) and rows.isfinite().all()
    assert torch.equal(rows[:64], head[:64]) and torch.equal(rows[-64:], tail[-64:])
    assert length <= 126 or not torch.equal(rows[:128], head)  # the end of the head window is not kept


@given(length=st.integers(0, 3000), size=st.integers(2, 510))
def test_windows_cover_every_token_once(length, size):
    pieces = windows(length, size)
    rows = [row for _, begin, end in pieces for row in range(begin, end)]
    assert rows == list(range(length + 2))
    for start, begin, end in pieces:
        shown = min(size, length - start)
        assert start <= begin and end <= start + shown + 2  # rows of the window: [CLS], `shown` tokens, [SEP]
        assert begin > start or start == 0  # the [CLS] and [SEP] that are kept are the true ones
        assert end <= start + shown + 1 or start + shown == length


def unpadded(features, ids):
    """What the network gives for exactly these tokens, window by window."""
    first, *inner, last = ids
    kept = []
    for start, begin, end in windows(len(inner), features.window):
        piece = torch.tensor([[first, *inner[start : start + features.window], last]])
        kept.append(features.network(piece, torch.ones_like(piece))[begin - start : end - start])
    return torch.cat(kept)


EDGES = [8 * i + j for i in range(1, 9) for j in (-2, -1)] + [124, 125, 126, 127, 128, 189, 190, 252, 253, 254]


@given(length=st.integers(0, 320) | st.sampled_from(EDGES), data=st.data())
def test_padding_changes_nothing(models, length, data):
    features = models[data.draw(st.sampled_from([MEGATRON, ROBERTA]))]
    start = data.draw(st.integers(5, 100))
    ids = (6, *(start + i * i % 67 for i in range(length)), 7)
    torch.testing.assert_close(features._hidden(ids), unpadded(features, ids), rtol=0, atol=LIMIT)


def test_padding_is_cut_before_the_norm_over_tokens(megatron):
    ids = megatron.character_ids("你好吗")
    rows = megatron._rows(ids)
    assert rows.shape == (5, 64)
    torch.testing.assert_close(rows.norm(dim=0), torch.ones(64))
    torch.testing.assert_close(rows, F.normalize(unpadded(megatron, ids), dim=0), rtol=0, atol=LIMIT)


def test_few_shapes_reach_the_network(megatron, monkeypatch):
    shapes = set()

    def network(ids, mask):
        assert ids.shape == mask.shape and (ids[mask == 0] == 0).all() and mask[0, 0] == 1
        shapes.add(ids.shape)
        return torch.zeros(ids.shape[1], 64)

    monkeypatch.setattr(megatron, "network", network)
    for length in range(600):
        assert megatron._hidden((6, *[9] * length, 7)).shape == (length + 2, 64)
    assert {size for _, size in shapes} == {8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128}


@given(tokens=st.integers(2, 512), most=st.integers(2, 512))
def test_buckets(tokens, most):
    size = bucket(tokens, most)
    assert size <= most
    if tokens <= most:
        assert tokens <= size and size - tokens < max(8, tokens / 4)
    assert bucket(size, most) == size
    assert len({bucket(n, 512) for n in range(2, 513)}) == 20


def test_sentences_are_cached(megatron, monkeypatch):
    text, word2ph = "你叫什么名字?", [2] * 9
    first = megatron(text, word2ph, "我很生气!")
    before = first.clone()
    first.zero_()  # what a caller does with its features must not reach the cache
    monkeypatch.setattr(megatron, "network", None)
    assert torch.equal(megatron(text, word2ph, "我很生气!"), before)
    assert megatron(text, [1] * 9).shape == (64, 9)
    with pytest.raises(TypeError):
        megatron("另一句", [1] * 5)


def test_cache_is_bounded(monkeypatch):
    monkeypatch.setattr("bert.CACHED_TOKENS", 10)
    features = BertFeatures.load(MEGATRON)
    for text in ("今", "天", "今", "我们去", "去公园"):
        features(text, [1] * (len(text) + 2))
    assert [len(ids) for ids in features._cache] == [5, 5]
    features("今天天气真好,我们去公园散步吧.", [1] * 18)
    assert [len(ids) for ids in features._cache] == [18]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near(megatron, dtype):
    text, word2ph = "今天天气真好", [2] * 8
    half = BertFeatures.load(MEGATRON, dtype=dtype)
    assert half.network.dtype == dtype
    result, expected = half(text, word2ph), megatron(text, word2ph)
    assert result.dtype == torch.float32
    assert 0 < (result - expected).norm() < 0.02 * expected.norm()


def test_overflow_is_said():
    features = BertFeatures.load(MEGATRON, dtype=torch.float16)
    features.network.model.embeddings.word_embeddings.weight.data.fill_(6e4)
    features.network.model.embeddings.position_embeddings.weight.data.fill_(6e4)
    with pytest.raises(FloatingPointError, match="bfloat16 or float32"):
        features("今天", [1] * 4)


def test_word2ph_must_fit(megatron):
    with pytest.raises(ValueError, match="3 numbers for a text of 2 characters: it needs 4"):
        megatron("你好", [1, 1, 1])


def test_files_of_a_release_load(tmp_path, megatron):
    """pytorch_model.bin of the masked-LM model: another prefix, an output head, old buffers; vocab.txt alone."""
    state = load_file(MEGATRON / "model.safetensors")
    release = {f"bert.{name}": tensor for name, tensor in state.items()}
    release |= {"cls.predictions.bias": torch.zeros(172), "bert.embeddings.position_ids": torch.arange(128)[None]}
    torch.save(release, tmp_path / "pytorch_model.bin")
    for name in ("config.json", "vocab.txt"):
        shutil.copy(MEGATRON / name, tmp_path)
    text, word2ph = "音乐让人快乐!", [2] * 9
    assert torch.equal(BertFeatures.load(tmp_path)(text, word2ph), megatron(text, word2ph))


def test_missing_files_are_named(tmp_path):
    folder = tmp_path / "bert" / "Erlangshen-MegatronBert-1.3B-Chinese"
    missing = list(map(str, missing_files(folder)))
    assert missing == ["config.json", "vocab.txt", "model.safetensors or pytorch_model.bin"]
    folder.mkdir(parents=True)
    shutil.copy(MEGATRON / "config.json", folder)
    shutil.copy(MEGATRON / "model.safetensors", folder)
    message = r"lacks vocab.txt: put .* of the model repository IDEA-CCNL/.* into .*Erlangshen-MegatronBert"
    with pytest.raises(MissingModel, match=message):
        BertFeatures.load(folder)


def test_missing_tensors_are_named(tmp_path):
    folder = writable_copy(MEGATRON, tmp_path / "bert")
    state = load_file(MEGATRON / "model.safetensors")
    del state["encoder.layer.1.output.dense.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(MissingModel, match=r"lack 1 tensors \(encoder.layer.1.output.dense.weight\)"):
        BertFeatures.load(folder)


def test_code_in_a_pickle_does_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    for name in ("config.json", "vocab.txt"):
        shutil.copy(MEGATRON / name, tmp_path)
    torch.save({"embeddings": Bomb()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(MissingModel, match="cannot be read"):
        BertFeatures.load(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_load_says_nothing(capfd):
    BertFeatures.load(MEGATRON)("今天", [1] * 4)
    assert capfd.readouterr() == ("", "")


# --- 8 bits ------------------------------------------------------------------------------------------------------

TEXTS = [case["text"] for case in json.loads((MEGATRON / "cases.json").read_text(encoding="utf-8"))]


MODELS = (MEGATRON, ROBERTA)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The same models with 8-bit weights."""
    folders = {source: writable_copy(source, tmp_path_factory.mktemp("int8") / source.name) for source in MODELS}
    return {s: BertFeatures.load(f, dtype=torch.int8, normalise=s == MEGATRON) for s, f in folders.items()}


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
@pytest.mark.parametrize(("levels", "least"), [(127, 0.9997), (63, 0.999)])
def test_int8_is_near_float32(models, small, folder, levels, least, monkeypatch):
    if levels > small[folder].network.levels:
        pytest.skip("this CPU adds products in 16 bits, so the program does not use 8 of them")
    monkeypatch.setattr(small[folder].network, "levels", levels)
    monkeypatch.setattr(small[folder], "_cache", type(small[folder]._cache)())
    for text in (*TEXTS, "今天天气真好,我们去公园散步吧." * 20):
        word2ph = [1] * (len(text) + 2)
        result, expected = small[folder](text, word2ph), models[folder](text, word2ph)
        assert result.dtype == torch.float32 and result.shape == expected.shape
        assert least < F.cosine_similarity(result.flatten(), expected.flatten(), dim=0) < 1 - 1e-7


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_int8_is_float32_but_for_the_rounding_of_activations(folder, tmp_path):
    """Against float32 with the weights that the file stands for, and activations that fit 8 bits better and better."""
    copy = writable_copy(folder, tmp_path / "bert")
    quantise.quantise(copy)
    weights = load_file(copy / "model.safetensors")
    for name, weight in weights.items():
        if "encoder.layer" in name and weight.ndim == 2:
            codes, scale = quantise.quantised(weight.float())
            weights[name] = (codes.float() * scale).T.contiguous()
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    os.utime(copy / INT8_WEIGHTS)  # it belongs to these weights, too
    exact, coded = BertFeatures.load(copy), BertFeatures.load(copy, dtype=torch.int8)
    ids = exact.character_ids(TEXTS[0])
    fine = coded._hidden(ids) - exact._hidden(ids)
    all_levels, coded.network.levels = coded.network.levels, 15
    coarse = coded._hidden(ids) - exact._hidden(ids)
    assert 0.5 < coarse.norm() / fine.norm() / (all_levels / 15) < 2  # nothing else differs
    assert fine.norm() < 0.02 * (127 / all_levels) * exact._hidden(ids).norm()


def test_padding_and_neighbours_change_no_code(small):
    """One scale a token: the same activations give the same codes, whatever stands beside them."""
    features = small[MEGATRON]
    for length in (0, 3, 6, 7, 30, 65, 126):
        ids = (6, *(9 + i * i % 67 for i in range(length)), 7)
        alone, padded = unpadded(features, ids), features._hidden(ids)
        assert F.cosine_similarity(alone.flatten(), padded.flatten(), dim=0) > 0.99999


@given(seed=st.integers(0, 99), rows=st.integers(1, 40), columns=st.integers(1, 40))
def test_weights_are_rounded_to_the_nearest_code(seed, rows, columns):
    weight = (
        torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * torch.logspace(-3, 3, rows)[:, None]
    )
    codes, scale = quantise.quantised(weight)
    assert codes.dtype == torch.int8 and codes.shape == (columns, rows) and scale.shape == (rows,)
    assert codes.abs().amax(0).eq(127).all()  # the whole range, for each output by itself
    assert ((codes * scale).T - weight).abs().le(scale[:, None] * 0.501).all()


def test_the_8_bit_file_is_made_once_and_again_for_new_weights(tmp_path, caplog):
    folder = writable_copy(MEGATRON, tmp_path / "bert")
    file, text = folder / INT8_WEIGHTS, ("你好", [1] * 4)
    first = BertFeatures.load(folder, dtype=torch.int8)(*text)
    assert [record.message for record in caplog.records] == ["Making the 8-bit weights of bert, once: minutes."]
    stamp = file.stat().st_mtime_ns
    assert torch.equal(BertFeatures.load(folder, dtype=torch.int8)(*text), first)
    assert file.stat().st_mtime_ns == stamp

    weights = load_file(folder / "model.safetensors")
    weights["embeddings.word_embeddings.weight"] += torch.randn(172, 64)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    os.utime(folder / "model.safetensors", ns=(stamp + 1, stamp + 1))
    assert not torch.allclose(BertFeatures.load(folder, dtype=torch.int8)(*text), first)

    for broken in (b"", file.read_bytes()[:-1], file.read_bytes().replace(b'"int8_format":"1"', b'"int8_format":"0"')):
        file.write_bytes(broken)
        assert quantise.is_needed(folder)
    BertFeatures.load(folder, dtype=torch.int8)
    assert not quantise.is_needed(folder)
    assert sorted(f.name for f in folder.iterdir()) == sorted({f.name for f in MEGATRON.iterdir()} | {INT8_WEIGHTS})


def test_the_8_bit_file_is_enough(tmp_path, small):
    folder = writable_copy(MEGATRON, tmp_path / "bert")
    quantise.quantise(folder)
    (folder / "model.safetensors").unlink()
    assert missing_files(folder, int8=True) == []
    assert list(map(str, missing_files(folder))) == ["model.safetensors or pytorch_model.bin"]
    text = ("你好", [1] * 4)
    assert torch.equal(BertFeatures.load(folder, dtype=torch.int8)(*text), small[MEGATRON](*text))
    with pytest.raises(MissingModel, match=r"lacks model\.safetensors or pytorch_model\.bin"):
        BertFeatures.load(folder)


def test_8_bits_of_a_pickle(tmp_path):
    folder = writable_copy(ROBERTA, tmp_path / "bert")
    made = load_file(quantise.quantise(folder))
    table = load_file(folder / "model.safetensors")
    old = (("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta"))  # names of before 2019
    state = {name.replace(*old[0]).replace(*old[1]): tensor for name, tensor in table.items()}
    assert sum("gamma" in name for name in state) > 5
    torch.save(state | {"cls.predictions.bias": torch.zeros(172)}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    again = load_file(quantise.quantise(folder))
    assert made.keys() == again.keys() and all(torch.equal(made[name], again[name]) for name in made)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": 128}, r"sizes \[172, 64\] and \[172, 128\] were expected"),
        ({"model_type": "gpt2"}, "a gpt2 with gelu_new has no 8-bit form here: set int8_run: false"),
        ({"hidden_act": "relu"}, "has no 8-bit form"),
        ({"num_hidden_layers": 9}, "cannot be read"),
        ({"vocab_size": "many"}, "config.json: vocabulary"),
    ],
)
def test_a_config_that_does_not_fit_the_8_bit_file(tmp_path, change, message):
    folder = writable_copy(MEGATRON, tmp_path / "bert")
    quantise.quantise(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(MissingModel, match=message) as caught:
        int8.Int8Network.load(folder)
    assert caught.value.message.say("zh") != str(caught.value)


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    folder = writable_copy(MEGATRON, tmp_path / "bert")

    def full(_, part, **__):
        Path(part).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(MissingModel, match=r"No space left.*make 0\.0 GB of room.*or set int8_run: false"):
        quantise.quantise(folder)
    assert sorted(f.name for f in folder.iterdir()) == sorted(f.name for f in MEGATRON.iterdir())


def test_quantise_on_the_command_line(tmp_path, capsys):
    folder = writable_copy(MEGATRON, tmp_path / "bert")
    assert quantise.main([str(folder)]) == 0
    assert "int8_run: true" in capsys.readouterr().out and not quantise.is_needed(folder)
    state = load_file(folder / "model.safetensors")
    del state["encoder.layer.1.output.dense.weight"]
    save_file(state, folder / "model.safetensors")
    assert quantise.main([str(folder)]) == 1
    assert "lacks 'encoder.layer.1.output.dense.weight': put" in capsys.readouterr().err
    assert quantise.main([str(tmp_path / "nothing")]) == 1
    english, chinese = capsys.readouterr().err.splitlines()
    assert "lacks config.json" in english and "缺少 config.json" in chinese


def test_make_models_makes_them_where_int8_run_is_set(tmp_path, capsys):
    folder = writable_copy(MEGATRON, tmp_path / "bert")
    arguments = ["bert", "--set", f"bert_path={folder}", "--set"]  # everything is here, so no hub is asked
    assert main([*arguments, "webui.int8_run=false"]) == 0 and quantise.is_needed(folder)
    assert main([*arguments, "webui.int8_run=true"]) == 0 and not quantise.is_needed(folder)
    assert f"bert: {INT8_WEIGHTS}: made for int8_run" in capsys.readouterr().out
    save_file({"a": torch.zeros(1)}, folder / "model.safetensors")
    (folder / INT8_WEIGHTS).unlink()
    assert main([*arguments, "webui.int8_run=true"]) == 1
    assert "lacks 'embeddings.token_type_embeddings.weight'" in capsys.readouterr().err


def test_a_cpu_whose_sums_overflow_gets_7_bits(monkeypatch, tmp_path):
    folder = writable_copy(MEGATRON, tmp_path / "bert")
    quantise.quantise(folder)
    for saturates, levels in ((True, 63), (False, 127)):
        monkeypatch.setattr(int8, "_saturates", lambda answer=saturates: answer)
        assert int8.Int8Network.load(folder).levels == levels


def test_the_benchmark_measures(tmp_path, monkeypatch, capsys):
    folder, threads = writable_copy(MEGATRON, tmp_path / "bert"), torch.get_num_threads()
    monkeypatch.setattr(benchmark, "alone", lambda work, *arguments: work(*arguments))
    try:
        assert benchmark.main([str(folder), "--rounds", "1"]) == 0
    finally:
        torch.set_num_threads(threads)
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["weights"] == "bert" and set(result["memory"]) >= {"float32", "int8"}
    least = 0.999 if int8._saturates() else 0.9997  # as in test_int8_is_near_float32
    for row in result["times"]:
        assert row["float32"]["cosine"] == pytest.approx(1, abs=1e-6)
        assert least < row["int8"]["cosine"] < 1 and row["int8"]["cpu_s"] > 0


# --- which precision, and when in memory -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "half", "eight_bit", "fast", "dtype", "words"),
    [
        ("cpu", False, False, True, torch.float32, None),
        ("cpu", True, False, True, torch.bfloat16, "fp16_run: BERT computes in bfloat16"),
        ("cpu", True, False, False, torch.float32, "fp16_run: this CPU has no bfloat16.*stays in float32"),
        ("cuda", True, False, False, torch.float16, None),
        ("cuda", True, True, True, torch.int8, "int8_run: BERT has 8-bit weights and runs on the CPU"),
        ("cpu", False, True, False, torch.int8, "int8_run"),
    ],
)
def test_what_fp16_run_and_int8_run_do(monkeypatch, device, half, eight_bit, fast, dtype, words):
    monkeypatch.setattr(bert, "bfloat16_is_fast", lambda: fast)
    chosen, note = bert.precision(device, half, eight_bit)
    assert chosen == dtype and (re.fullmatch(f"{words}.*", str(note)) if words else note is None)


@pytest.mark.skipif(
    platform.machine() != "x86_64" or not Path("/proc/cpuinfo").exists(), reason="flags of Linux on x86"
)
def test_bfloat16_is_what_the_system_says():
    flags = Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split()
    assert network.bfloat16_is_fast() == bool({"avx512_bf16", "amx_bf16"} & set(flags))


def shared_features(folder: Path, *overrides: str) -> Features:
    """Features of a tiny model in the place of the large one."""
    features = Features(load_settings(overrides=overrides, environment={}), devices.choose("cpu"))
    features.bert_paths[64] = folder
    return features


@pytest.mark.parametrize(("flags", "dtype"), [((), torch.float32), (("webui.int8_run=true",), torch.int8)])
def test_listeners_who_need_bert_at_once_load_it_once(monkeypatch, tmp_path, flags, dtype):
    folder = writable_copy(MEGATRON, tmp_path / "bert")
    features = shared_features(folder, *flags)
    loads, load, begun = [], BertFeatures.load, threading.Barrier(4)

    def slow(*arguments, **options):
        loads.append(arguments[2])
        threading.Event().wait(0.1)
        return load(*arguments, **options)

    def listen():
        begun.wait()
        heard.append(features.bert("你好", [1] * 4, 64, "", 0.7))

    monkeypatch.setattr(BertFeatures, "load", slow)
    heard: list[torch.Tensor] = []
    listeners = [threading.Thread(target=listen) for _ in range(4)]
    for listener in listeners:
        listener.start()
    for listener in listeners:
        listener.join()
    assert loads == [dtype] and len(heard) == 4 and all(torch.equal(each, heard[0]) for each in heard)


def test_bert_leaves_when_idle_and_comes_back(monkeypatch):
    now, timers = [100.0], []

    class Timer:
        def __init__(self, seconds, call):
            timers.append((seconds, call))

        def start(self):
            assert self.daemon

    monkeypatch.setattr("infer.engine.features.time.monotonic", lambda: now[0])
    monkeypatch.setattr("infer.engine.features.threading.Timer", Timer)
    features = shared_features(MEGATRON, "bert_idle_minutes=10")
    first = features.bert("你好", [1] * 4, 64, "", 0.7)
    now[0] += 400
    features.bert("你好", [1] * 4, 64, "", 0.7)
    [(seconds, call)] = timers  # one timer, however often it is used
    assert seconds == 600
    now[0] += 200
    call()
    assert features._bert and timers[1][0] == 400  # it was used 200 s ago
    now[0] += 400
    timers[1][1]()
    assert not features._bert and len(timers) == 2
    assert torch.equal(features.bert("你好", [1] * 4, 64, "", 0.7), first)
    assert features._bert and len(timers) == 3

    monkeypatch.setattr("infer.engine.features.threading.Timer", None)
    always = shared_features(MEGATRON, "bert_idle_minutes=0")
    always.bert("你好", [1] * 4, 64, "", 0.7)
    assert always._bert


def test_what_is_wrong_is_said_in_both_languages(tmp_path):
    features = shared_features(tmp_path / "bert", "webui.int8_run=true")
    with pytest.raises(MissingFiles, match=r"lacks config\.json") as caught:
        features.bert("你好", [1] * 4, 64, "", 0.7)
    assert "缺少 config.json" in caught.value.message.say("zh") and str(
        tmp_path.parent
    ) not in caught.value.message.say("zh")
