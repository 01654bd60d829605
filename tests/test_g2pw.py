"""text/g2pw.py: what reaches the network and what becomes of its answers, by the fixtures; a small real ONNX file."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import golden
from text import analyse
from text.g2pw import FILES, MONOPHONIC, NETWORK, POLYPHONIC, SYLLABLES, VOCABULARY, G2pw, missing_files, reader, tables
from text.phones import syllable_phones
from text.readings import read

CASES = [json.loads(line) for line in (golden() / "g2pw" / "plumbing.jsonl").read_text("utf-8").splitlines()]

# The authors' tables come with their model and are not here. These are the polyphonic characters of the fixtures, with
# their readings; what stands between them in the real tables is filled up, so that all ids are the real ones.
_POLYPHONES = """
    了 ㄌㄜ5 ㄌㄧㄠ3, 他 ㄊㄚ1 ㄊㄨㄛ1, 來 ㄌㄞ2 ㄌㄞ4, 們 ㄇㄣ2 ㄇㄣ5, 兒 ㄋㄧ2 ㄦ1 ㄦ2,
    參 ㄕㄣ1 ㄘㄢ1 ㄘㄣ1 ㄙㄢ1, 啊 ㄚ1 ㄚ3 ㄚ4 ㄚ5, 好 ㄏㄠ3 ㄏㄠ4, 學 ㄒㄧㄠ2 ㄒㄧㄠ4 ㄒㄩㄝ2,
    平 ㄅㄧㄢ4 ㄆㄧㄢ2 ㄆㄧㄥ2, 幹 ㄍㄢ4 ㄏㄢ2, 得 ㄉㄜ2 ㄉㄜ5 ㄉㄞ3 ㄉㄟ3, 把 ㄅㄚ3 ㄅㄚ4, 排 ㄆㄞ2 ㄆㄞ3,
    會 ㄍㄨㄟ4 ㄎㄨㄞ4 ㄏㄨㄟ3 ㄏㄨㄟ4, 有 ㄧㄡ3 ㄧㄡ4, 樂 ㄌㄜ4 ㄌㄠ2 ㄧㄠ4 ㄩㄝ4, 毒 ㄉㄞ4 ㄉㄨ2 ㄉㄨ3,
    沒 ㄇㄛ4 ㄇㄟ2, 為 ㄨㄟ2 ㄨㄟ4, 發 ㄅㄛ1 ㄈㄚ1, 的 ㄉㄜ5 ㄉㄧ2 ㄉㄧ4, 給 ㄍㄟ3 ㄐㄧ3, 蛇 ㄕㄜ2 ㄧ2,
    行 ㄏㄤ2 ㄏㄤ4 ㄒㄧㄥ2 ㄒㄧㄥ4, 要 ㄧㄠ1 ㄧㄠ4, 語 ㄩ3 ㄩ4, 還 ㄏㄞ2 ㄏㄨㄢ2 ㄒㄩㄢ2,
    重 ㄓㄨㄥ4 ㄔㄨㄥ2, 長 ㄓㄤ3 ㄓㄤ4 ㄔㄤ2, 隊 ㄉㄨㄟ4 ㄓㄨㄟ4, 音 ㄧㄣ1 ㄧㄣ4, 頭 ㄊㄡ2 ㄊㄡ5,
    齊 ㄐㄧ4 ㄑㄧ2 ㄓㄞ1 ㄗ1
"""
POLYPHONES = {char: listed for char, *listed in map(str.split, _POLYPHONES.split(","))}
CHARACTERS, LABELS = 3582, 1305


def filled(known: dict[str, int], total: int) -> list[str]:
    """`total` strings in order, in which each of `known` stands at its place."""
    names, last = [], "\x01"
    places = {place: name for name, place in known.items()}
    for place in range(total):
        last = places.get(place, last)
        names.append(places.get(place, f"{last}~{place:04d}"))
    assert names == sorted(names)
    return names


def ids() -> tuple[dict[str, int], dict[str, int]]:
    """Ids of the characters and labels above, as the fixtures have them."""
    chars, labels = {}, {}
    order = sorted(POLYPHONES)
    seen = sorted({pair for case in CASES for call in case["calls"] for pair in _rows(call)})
    for char, (char_id, mask) in zip(order, seen, strict=True):
        chars[char] = char_id
        labels |= dict(zip(sorted(POLYPHONES[char]), mask, strict=True))
    return chars, labels


def _rows(call: dict) -> list[tuple[int, tuple[int, ...]]]:
    return list(zip(call["char_ids"], map(tuple, call["phoneme_mask_on"]), strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The real tables if G2PW_FOLDER names them, else the reduced ones; without the network."""
    target = tmp_path_factory.mktemp("g2pw")
    shutil.copyfile(golden() / "bert" / "megatron-tiny" / "vocab.txt", target / VOCABULARY)
    if real := os.environ.get("G2PW_FOLDER"):
        hashes = json.loads((golden() / "g2pw" / "tables.json").read_text("utf-8"))["table_sha256"]
        for name in (POLYPHONIC, MONOPHONIC, SYLLABLES):
            shutil.copyfile(Path(real) / name, target / name)
            assert hashlib.sha256((target / name).read_bytes()).hexdigest() == hashes[name]
        return target
    chars, labels = ids()
    char_names, label_names = filled(chars, CHARACTERS), filled(labels, LABELS)
    fillers = [name for name in char_names if "~" in name]
    pairs = [(char, label) for char, listed in POLYPHONES.items() for label in listed]
    pairs += [(fillers[i % len(fillers)], label) for i, label in enumerate(label_names)]
    pairs += [(filler, label_names[0]) for filler in fillers[len(label_names) :]]
    (target / POLYPHONIC).write_text("\n".join(f"{char}\t{label}" for char, label in pairs), "utf-8")
    (target / MONOPHONIC).write_text("你\tㄋㄧ3\n似\tㄙ5\n", "utf-8")
    shutil.copyfile(Path(__file__).parent / "golden" / "g2pw" / SYLLABLES, target / SYLLABLES)
    return target


class StandIn:
    """Stands in for the network, as the fixtures were made, and notes what it is given."""

    def __init__(self) -> None:
        self.calls: list[dict[str, np.ndarray]] = []

    def __call__(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        self.calls.append(inputs)
        columns = np.arange(LABELS)[None]
        chars, places = inputs["char_ids"][:, None], inputs["position_ids"][:, None]
        return inputs["phoneme_mask"] * (1 + (7 * chars + 13 * columns + 3 * places) % 101)


def test_the_table_of_syllables_is_the_authors():
    file = Path(__file__).parent / "golden" / "g2pw" / SYLLABLES
    hashes = json.loads((golden() / "g2pw" / "tables.json").read_text("utf-8"))["table_sha256"]
    assert hashlib.sha256(file.read_bytes()).hexdigest() == hashes[SYLLABLES]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["text"])
def test_what_reaches_the_network(case, folder):
    network = StandIn()
    utterances = analyse(case["text"], G2pw(network, *tables(folder)))
    assert len(network.calls) == len(case["calls"])
    for given, expected in zip(network.calls, case["calls"], strict=True):
        assert {name: str(array.dtype) for name, array in given.items()} == case["dtypes"]
        assert given["input_ids"].tolist() == expected["input_ids"]
        assert not given["token_type_ids"].any() and given["attention_mask"].all()
        assert given["token_type_ids"].shape == given["attention_mask"].shape == given["input_ids"].shape
        assert given["char_ids"].tolist() == expected["char_ids"]
        assert given["position_ids"].tolist() == expected["position_ids"]
        assert [np.flatnonzero(row).tolist() for row in given["phoneme_mask"]] == expected["phoneme_mask_on"]
        assert given["phoneme_mask"].shape[1] == expected["n_labels"]
    phones = [phone for utterance in utterances for phone in utterance.phones[1:-1]]
    tones = [tone for utterance in utterances for tone in utterance.tones[1:-1]]
    assert ["_", *phones, "_"] == case["phones"]
    if case["text"] == "他长得很高，头发也长长了。":
        tones[4:6] = [5, 5]  # the original makes every 得 neutral, here dei3 too
    assert [0, *tones, 0] == case["tones"]


def constant(column: int):
    """A network that is sure of one label, whatever it is asked."""

    def network(inputs: dict[str, np.ndarray]) -> np.ndarray:
        scores = np.full((len(inputs["char_ids"]), LABELS), 1e-4, np.float32)
        scores[:, column] = 1 - 1e-4 * (LABELS - 1)
        return scores

    return network


def test_order_confidence_and_others(folder):
    labels = ids()[1]
    readings = G2pw(constant(labels["ㄏㄤ2"]), *tables(folder))("行,你一㐀")
    assert [reading.pinyin for reading in readings] == ["hang2", "", "ni3", "yi1", "qiu1"]
    assert [reading.source for reading in readings] == ["g2pw", "punctuation", "g2pw", "rule", "pypinyin"]
    assert readings[0].confidence == pytest.approx(1 - 1e-4 * (LABELS - 1))
    assert readings[0].others[0] == "xing2"
    assert all(0 < reading.confidence <= 1 for reading in readings)


def test_what_the_phones_cannot_say_is_left_to_pypinyin(folder):
    polyphonic, monophonic, syllables, vocabulary = tables(folder)
    labels = ids()[1]
    unspeakable = G2pw(constant(labels["ㄏㄤ2"]), polyphonic, monophonic, syllables | {"ㄏㄤ": "hng"}, vocabulary)
    (reading,) = unspeakable("行")
    assert (reading.pinyin, reading.source) == ("xing2", "pypinyin")


def test_long_runs_are_cut_around_the_asked_character(folder):
    network = StandIn()
    readings = G2pw(network, *tables(folder))("你" * 600 + "行" + "你" * 100)
    assert len(readings) == 701
    assert network.calls[0]["input_ids"].shape == (1, 512)
    row, place = network.calls[0]["input_ids"][0], int(network.calls[0]["position_ids"][0])
    assert place == 1 + 600 - (701 - 510)
    assert row[place] != row[place - 1]


def test_without_a_complete_folder_the_built_in_reader_serves(tmp_path, folder):
    assert reader(None) is read
    assert missing_files(tmp_path) == list(FILES)
    assert missing_files(folder) == [NETWORK]
    assert reader(folder) is read
    with pytest.raises(FileNotFoundError, match=r"lacks g2pw\.onnx"):
        G2pw.load(folder)


def test_a_real_onnx_file(tmp_path, folder):
    import onnx

    shutil.copytree(folder, tmp_path / "model")
    int64, float32 = onnx.TensorProto.INT64, onnx.TensorProto.FLOAT
    # It prefers the last of a character's labels; onnxruntime insists on each of the inputs that a graph has.
    weights = onnx.numpy_helper.from_array(np.arange(LABELS, dtype=np.float32)[None], "weights")
    rows = {"input_ids": int64, "token_type_ids": int64, "attention_mask": int64}
    singles = {"char_ids": int64, "position_ids": int64}
    values = onnx.helper.make_tensor_value_info
    inputs = [values(name, kind, ["rows", "tokens"]) for name, kind in rows.items()]
    inputs += [values("phoneme_mask", float32, ["rows", LABELS])]
    inputs += [values(name, kind, ["rows"]) for name, kind in singles.items()]
    nodes = [onnx.helper.make_node("Mul", ["phoneme_mask", "weights"], ["scores"])]
    nodes += [onnx.helper.make_node("Softmax", ["scores"], ["probs"], axis=1)]
    nodes += [onnx.helper.make_node("Identity", [name], [f"{name}_used"]) for name in (*rows, *singles)]
    graph = onnx.helper.make_graph(
        nodes, "g2pw", inputs, [values("probs", float32, ["rows", LABELS])], initializer=[weights]
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "model" / NETWORK)
    assert missing_files(tmp_path / "model") == []
    (utterance,) = analyse("头发也长。", reader(tmp_path / "model"))
    by_char = {char.text: char for char in utterance.chars}
    assert by_char["长"].reading == "chang2"  # ㄔㄤ2 is the last of the three
    assert by_char["长"].source == "g2pw"
    assert by_char["长"].others == ("zhang3",)
    assert syllable_phones("chang")[0] in utterance.phones


def test_a_broken_onnx_file_is_named(tmp_path, folder):
    shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "model" / NETWORK).write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"g2pw\.onnx is not an ONNX network"):
        G2pw.load(tmp_path / "model")
