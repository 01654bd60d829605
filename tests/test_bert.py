"""bert/: features equal the reference on tiny models, and one belongs to each character whatever the text is."""

import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from bert import BertFeatures, MissingModel, missing_files, windows
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
    assert len(megatron.model.encoder.layer) == 3


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


def test_sentences_are_cached(megatron, monkeypatch):
    text, word2ph = "你叫什么名字?", [2] * 9
    first = megatron(text, word2ph, "我很生气!")
    before = first.clone()
    first.zero_()  # what a caller does with its features must not reach the cache
    monkeypatch.setattr(megatron, "model", None)
    assert torch.equal(megatron(text, word2ph, "我很生气!"), before)
    assert megatron(text, [1] * 9).shape == (64, 9)
    with pytest.raises(AttributeError):
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
    assert half.model.dtype == dtype
    result, expected = half(text, word2ph), megatron(text, word2ph)
    assert result.dtype == torch.float32
    assert 0 < (result - expected).norm() < 0.02 * expected.norm()


def test_overflow_is_said():
    features = BertFeatures.load(MEGATRON, dtype=torch.float16)
    features.model.embeddings.word_embeddings.weight.data.fill_(6e4)
    features.model.embeddings.position_embeddings.weight.data.fill_(6e4)
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
    assert missing_files(folder) == ["config.json", "vocab.txt", "model.safetensors or pytorch_model.bin"]
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
