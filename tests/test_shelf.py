"""page/shelf.py and the file side of page/glossary.py: what is kept on disk, whatever comes in."""

import base64
import json
import os
import stat
import sys
import threading
import time
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import text
from infer.documents import audio
from infer.documents.project import Card, Project
from infer.request import BadRequest, SpeechError, SpeechRequest
from infer.settings import load_settings
from page import answering, glossary, shelf
from page.shelf import NAME, Shelf
from tests.test_files import PATIENT, python

ANYTHING = st.text(max_size=30) | st.text(st.characters(categories=["Cs", "Lo", "P"]), max_size=30)


def project(text: str = "你好，世界。", **controls) -> dict:
    return Project(controls, (Card(text),)).as_dict()


def names(folder: Path) -> list[str]:
    """Of the files there, without the lock."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


@pytest.fixture
def kept(tmp_path) -> Shelf:
    return Shelf(tmp_path / "history", most=3)


# --- history ---------------------------------------------------------------------------------------------------------


def test_the_newest_come_first_and_only_so_many_stay(kept):
    for seed in range(5):
        kept.add(project(seed=seed), seconds=seed + 0.5, when=1000.0 + seed)
    assert [entry.seconds for entry in kept.history()] == [4.5, 3.5, 2.5]
    assert len(names(kept.folder)) == 3
    assert kept.project(kept.history()[0].id) == project(seed=4)


def test_the_same_project_again_moves_to_the_top(kept):
    for seed in (1, 2, 1):
        kept.add(project(seed=seed), seconds=1.0)
    assert [kept.project(entry.id)["controls"]["seed"] for entry in kept.history()] == [1, 2]
    kept.add(dict(reversed(project(seed=2).items())), seconds=1.0)
    assert [kept.project(entry.id)["controls"]["seed"] for entry in kept.history()] == [2, 1]

    tried = project(seed=1)
    tried["cards"][0]["takes"] = [{"text": "你好，世界。", "options": {"seed": 5}}]  # tried, and not what is heard
    kept.add(tried, seconds=1.0)
    assert [kept.project(entry.id) for entry in kept.history()] == [tried, project(seed=2)]


def test_another_shelf_finds_what_one_has_kept(kept):
    kept.add(project("床前明月光，疑是地上霜。举头望明月，低头思故乡。一二三四"), seconds=12.25)
    (entry,) = Shelf(kept.folder, most=3).history()
    assert entry.title == "床前明月光，疑是地上霜。举头望明月，低头思故乡。…" and entry.seconds == 12.25


def test_no_time_to_come_holds_the_top(kept):
    kept.add(project("一。"), 1.0, when=9e12)
    kept.add(project("二。"), 1.0)
    assert [entry.title for entry in kept.history()] == ["二。", "一。"]


def test_a_clock_that_was_set_back_hides_nothing(kept, monkeypatch):
    clock = iter([1e9, 2e9, 2e9 - 86400, 2e9 - 2 * 86400, 5.0])
    monkeypatch.setattr(time, "time", lambda: next(clock))
    for seed in range(5):
        kept.add(project(seed=seed), 1.0)
        assert kept.project(kept.history()[0].id)["controls"].get("seed", 0) == seed, "the newest is on top, and there"
    assert [entry.when for entry in kept.history()] == [5.0, 2e9 - 2 * 86400, 2e9 - 86400]


def test_what_was_deleted_comes_back_to_its_place(kept):
    for seed in range(3):
        kept.add(project(seed=seed), 1.0)
    before = kept.history()
    kept.remove(before[1].id)
    kept.add(project(seed=1), 1.0, before[1].when, before[1].order)
    assert kept.history() == before
    kept.add(project(seed=7), 1.0, order=2**52)  # nobody holds the top
    kept.add(project(seed=8), 1.0)
    assert [kept.project(entry.id)["controls"]["seed"] for entry in kept.history()[:2]] == [8, 7]


def test_a_damaged_order_hides_nothing_that_comes_later(kept):
    kept.add(project(seed=1), 1.0)
    (file,) = kept.folder.glob("*.json")
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | {"order": 2**53 - 1}), "utf-8")
    kept.add(project(seed=2), 1.0)
    assert len(kept.history()) == 2


def test_entries_of_earlier_days_are_older_than_any(kept):
    kept.add(project(seed=1), 1.0)
    (file,) = kept.folder.glob("*.json")
    content = json.loads(file.read_text())
    del content["order"]
    file.write_text(json.dumps(content | {"when": 9e9}))
    kept.add(project(seed=2), 1.0)
    assert [kept.project(entry.id)["controls"]["seed"] for entry in kept.history()] == [2, 1]


@given(words=ANYTHING, style=ANYTHING)
def test_any_text_comes_back(tmp_path_factory, words, style):
    kept = Shelf(tmp_path_factory.mktemp("shelf"))
    wanted = project(f"好{words}", style_text=style)
    kept.add(wanted, seconds=1.0)
    (entry,) = kept.history()
    got = kept.project(entry.id)
    json.dumps(got, ensure_ascii=False).encode()  # can be sent
    whole = all(not 0xD800 <= ord(c) < 0xE000 for c in words + style)
    assert got == wanted or not whole
    assert len(got["cards"][0]["text"]) == len(wanted["cards"][0]["text"]) or not whole


@pytest.mark.parametrize(
    "bad",
    [
        None,
        [],
        "text",
        {},
        project() | {"version": 2},
        project() | {"cards": [{"text": 1}]},
        project() | {"controls": {"speed": float("nan")}},
        project() | {"note": float("inf")},
        project("  "),
        project() | {"note": "长" * shelf.LARGEST},
        project() | {"note": 2**64},
        project() | {"note": -(10**4000)},
        project() | {"version": 10**5000},
        project() | {"controls": {"seed": 10**20}},
        project() | {"cards": [{"text": "好", "pause": 10**400}]},
        project() | {"cards": [{"text": "好", "place": 2**64}]},
        project() | {"cards": [{"text": "好", "takes": [{"text": "好", "options": {"speed": 10**400}}]}]},
    ],
)
def test_what_is_no_project_is_refused(kept, bad):
    kept.add(project(), seconds=1.0)
    with pytest.raises(BadRequest) as refused:
        kept.add(bad, seconds=1.0)
    assert refused.value.message.say("zh") != str(refused.value)
    assert len(kept.history()) == 1


def test_a_value_too_deep_is_refused(kept):
    deep: dict = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(BadRequest):
        kept.add(project() | {"note": deep}, seconds=1.0)


@pytest.mark.parametrize(
    "seconds", [None, "1", True, float("nan"), float("inf"), -1.0, 1e300, 2**64, pytest.param(10**5000, id="long")]
)
def test_seconds_are_a_number(kept, seconds):
    with pytest.raises(BadRequest):
        kept.add(project(), seconds)
    with pytest.raises(BadRequest):
        kept.add(project(), 1.0, when=seconds if seconds is not None else "now")


@pytest.mark.parametrize(
    "id", [None, 3, "", "..", "../presets", "presets", "a" * 31, "A" * 32, "a" * 31 + "/", "a" * 33]
)
def test_an_id_is_never_a_path(kept, id):
    kept.save_preset("好", {"speed": 1.2})
    (kept.folder.parent / "secret.json").write_text(json.dumps({"project": {}}))
    for ask in (kept.project, kept.remove):
        with pytest.raises(BadRequest):
            ask(id)
    assert kept.presets() and (kept.folder.parent / "secret.json").exists()


@given(junk=st.binary(max_size=60) | st.text().map(str.encode), cut=st.integers(1, 200))
def test_damaged_files_are_passed_over(tmp_path_factory, junk, cut):
    kept = Shelf(tmp_path_factory.mktemp("shelf"), most=2)
    kept.add(project("好。"), seconds=1.0)
    kept.add(project("坏。"), seconds=2.0)
    file = next(kept.folder.glob("*.json"))
    (kept.folder / f"{'0' * 32}.json").write_bytes(junk)
    (kept.folder / f"{'1' * 32}.json").write_bytes(file.read_bytes()[:-cut])
    (kept.folder / f"{'2' * 32}.json").write_text(json.dumps({"project": [], "title": 1, "when": "x", "seconds": None}))
    (kept.folder / f"{'3' * 32}.json").mkdir()
    (kept.folder / "presets.json").write_bytes(junk)
    assert sorted(entry.seconds for entry in kept.history()) == [1.0, 2.0]
    with pytest.raises(BadRequest):
        kept.project("2" * 32)
    assert isinstance(kept.presets(), dict)
    kept.add(project("又。"), seconds=3.0)
    assert [entry.seconds for entry in kept.history()] == [3.0, 2.0]


def test_deleting_and_clearing(kept):
    for seed in range(3):
        kept.add(project(seed=seed), seconds=float(seed), when=seed)
    kept.save_preset("慢", {"speed": 0.8})
    first = kept.history()[0]
    kept.remove(first.id)
    kept.remove(first.id)  # another window has been quicker
    with pytest.raises(BadRequest):
        kept.project(first.id)
    (kept.folder / f"{'0' * 32}.json").write_bytes(b"{")
    (kept.folder / "notes.json").write_text("mine")
    kept.clear()
    assert kept.history() == []
    assert names(kept.folder) == ["notes.json", "presets.json"]


def test_others_on_the_machine_cannot_read_it(kept):
    kept.add(project(), seconds=1.0)
    kept.save_preset("慢", {"speed": 0.8})
    assert stat.S_IMODE(kept.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept.folder.iterdir()} == {0o600}


def test_several_at_once(tmp_path):
    shelves = [Shelf(tmp_path, most=5) for _ in range(2)]  # two servers of one folder

    def work(n: int) -> None:
        for seed in range(8):
            shelves[n % 2].add(project(f"第{n}位。", seed=seed), seconds=1.0)
            assert len(shelves[n % 2].history()) <= 5

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(shelves[0].history()) == 5 and len(names(tmp_path)) == 5


def test_a_shelf_without_a_folder_keeps_nothing(tmp_path):
    nothing = Shelf(None)
    assert nothing.history() == [] and nothing.presets() == {}
    nothing.add(project(), seconds=1.0)
    for act in (nothing.clear, lambda: nothing.save_preset("慢", {}), lambda: nothing.project("0" * 32)):
        with pytest.raises(BadRequest):
            act()
    Shelf(tmp_path / "none", most=0).add(project(), seconds=1.0)
    assert not (tmp_path / "none").exists()


def test_a_disk_that_refuses_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SpeechError, match="cannot be written") as refused:
        Shelf(tmp_path / "file" / "history").add(project(), seconds=1.0)
    assert str(
        tmp_path
    ) not in f"{refused.value}{refused.value.message.say('zh')}" and "历史文件夹写不进去" in refused.value.message.say(
        "zh"
    )


# --- presets ---------------------------------------------------------------------------------------------------------


@given(name=ANYTHING | st.text(min_size=41, max_size=50))
def test_a_name_may_be_anything_short(tmp_path_factory, name):
    kept = Shelf(tmp_path_factory.mktemp("shelf"))
    values = {"speed": 1.2, "emotion": name, "seed": 2**32 - 1}
    if not name.split() or len(" ".join(name.split())) > NAME:
        with pytest.raises(BadRequest):
            kept.save_preset(name, values)
        return
    saved = kept.save_preset(name, values)
    assert list(kept.presets()) == [saved] and names(kept.folder) == ["presets.json"]
    if all(not 0xD800 <= ord(c) < 0xE000 for c in name):
        assert kept.presets() == {" ".join(name.split()): values}
    kept.delete_preset(saved)
    assert kept.presets() == {}


def test_saving_again_replaces_and_only_one_goes(kept):
    kept.save_preset("慢", {"speed": 0.8})
    kept.save_preset("快", {"speed": 1.5})
    kept.save_preset(" 慢\n", {"speed": 0.7})
    assert kept.presets() == {"慢": {"speed": 0.7}, "快": {"speed": 1.5}}
    kept.delete_preset("../快")
    kept.delete_preset(None)
    kept.delete_preset("慢")
    assert kept.presets() == {"快": {"speed": 1.5}}


BAD_PRESETS = {  # what JSON can say and no request takes
    "no object": "[]",
    "nothing": "null",
    "an unknown option": '{"speeed": 1}',
    "nested": '{"speed": {"a": [1]}}',
    "a list": '{"emotion": ["happy"]}',
    "none": '{"seed": null}',
    "a truth": '{"seed": true}',
    "a word": '{"speed": "fast"}',
    "beyond 64 bits": '{"seed": 100000000000000000000}',
    "below": '{"seed": -1}',
    "beyond 32 bits": '{"seed": 4294967296}',
    "no whole number": '{"seed": 1.5}',
    "of 5,000 digits": f'{{"seed": {"9" * 5000}}}',
    "a speed of 5,000 digits": f'{{"speed": {"9" * 5000}}}',
    "a float beyond all": '{"speed": 1e400}',
    "not a number": '{"speed": NaN}',
    "infinite": '{"noise": -Infinity}',
    "out of range": '{"pause": 11}',
    "a sample that is none": '{"sample": 7}',
    "bytes": '{"emotion_audio": ""}',
    "a text that is none": '{"text": 7}',
    "half a surrogate": '{"emotion": "\\ud800"}',
    "too long": json.dumps({"emotion": "长" * (64 << 10)}),
    "deep": '{"emotion": ' + "[" * 900 + "]" * 900 + "}",
}


@pytest.mark.parametrize("said", BAD_PRESETS.values(), ids=BAD_PRESETS.keys())
def test_a_preset_holds_what_a_request_takes_and_a_bad_one_hides_no_other(kept, said):
    sys.set_int_max_str_digits(6000)
    try:
        values = json.loads(said)
    finally:
        sys.set_int_max_str_digits(4300)
    if "ud800" not in said:  # that becomes U+FFFD
        with pytest.raises(BadRequest) as refused:
            kept.save_preset("好", values)
        assert len(str(refused.value)) < 500 and refused.value.message.say("zh") != str(refused.value)
    assert kept.presets() == {}

    kept.save_preset("慢", {"speed": 0.8})
    file = kept.folder / "presets.json"
    damaged = f'{{"坏": {said}, "慢": {{"speed": 0.8, "sample": ""}}}}'
    file.write_text(damaged, "utf-8")
    assert kept.presets() == {"慢": {"speed": 0.8, "sample": ""}}
    orjson.dumps(kept.presets())  # as Gradio sends it
    kept.save_preset("坏", {"speed": 1.5})
    assert kept.presets().keys() == {"慢", "坏"} and json.loads(file.read_text("utf-8"))["坏"] == {"speed": 1.5}
    assert (kept.folder / "presets.damaged").read_text("utf-8") == damaged, "who can mend it has it"


@pytest.mark.parametrize("name", ["", " 慢", "慢 ", "慢" * 41, "\\ud800"])
def test_a_bad_name_hides_no_other(kept, name):
    kept.save_preset("慢", {"speed": 0.8})
    (kept.folder / "presets.json").write_text(f'{{"{name}": {{}}, "慢": {{"speed": 0.8}}}}', "utf-8")
    assert kept.presets() == {"慢": {"speed": 0.8}}


@pytest.mark.parametrize(
    "change",
    [
        {"when": 10**400},
        {"when": 1e300},
        {"seconds": 2**64},
        {"order": 10**25},
        {"order": "1"},
        {"title": "\ud800"},
        {"project": project() | {"note": 10**25}, "seconds": 10**25},
    ],
)
def test_a_bad_entry_hides_no_other(kept, change):
    kept.add(project("好。"), seconds=1.0)
    kept.add(project("坏。"), seconds=1.0)
    bad = kept._path(kept.history()[0].id)
    bad.write_text(json.dumps(json.loads(bad.read_text()) | change))
    assert [entry.title for entry in kept.history()] == ["好。"]
    kept.add(project("坏。"), seconds=1.0)
    assert [entry.title for entry in kept.history()] == ["坏。", "好。"]


def test_a_project_that_was_changed_by_hand_is_checked(kept):
    kept.add(project("好。"), seconds=1.0)
    file = kept._path(kept.history()[0].id)
    file.write_text(file.read_text().replace('"controls": {}', '"controls": {"seed": 100000000000000000000}'))
    with pytest.raises(BadRequest, match="seed must be a whole number"):
        kept.project(file.stem)


def save_sixty(who: str, folder: Path) -> None:
    for n in range(60):
        Shelf(folder).save_preset(f"{who}{n}", {"seed": n})
        glossary.remember(folder / "words.txt", chr(0x4E00 + n + 100 * (who == "a")), "hao3")


SAVER = """
import os, sys
from pathlib import Path
from tests.test_shelf import save_sixty
os.fsync = lambda _: None
print("ready", flush=True)
sys.stdin.readline()
save_sixty("a", Path(sys.argv[1]))
"""


def test_two_servers_on_one_folder_lose_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)  # a busy disk takes most of the time, and has no part in this
    other = python(SAVER, tmp_path)
    assert other.stdout.readline() == "ready\n"
    other.stdin.write("\n")
    other.stdin.flush()
    save_sixty("b", tmp_path)
    assert other.communicate(timeout=PATIENT) and other.returncode == 0
    assert len(Shelf(tmp_path).presets()) == len(text.parse_glossary(glossary.read(tmp_path / "words.txt"))) == 120


# --- settings, recipes, server functions -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "overrides,why",
    [
        ([], ""),
        (["history="], "off"),
        (["host=0.0.0.0"], "shared"),
        (["webui.share=true"], "shared"),
        (["host=0.0.0.0", "user=a", "password=b"], ""),
        (["host=0.0.0.0", "history="], "off"),
    ],
)
def test_strangers_have_no_history(tmp_path, overrides, why):
    settings = load_settings(overrides=overrides, environment={}, root=tmp_path)
    kept, reason = shelf.shelf_of(settings)
    assert reason == why and kept.folder == (None if why else tmp_path / "history")
    assert kept.most == 50


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("format", audio.FORMATS)
def test_a_sound_made_here_says_how(format):
    request = SpeechRequest("银行行长说：“你好！”" * 20, speaker="乙", seed=7, speed=1.25)
    sound = audio.encode(np.zeros(24000 * 60, np.float32), 24000, format, request)
    assert shelf.recipe_of(encoded(sound[: shelf.HEAD])) == {"request": request.as_dict()}


def test_a_project_in_a_sound_comes_back(monkeypatch):
    monkeypatch.setattr(audio, "metadata", lambda _: project(seed=3))
    assert shelf.recipe_of(encoded(b"RIFF")) == {"project": project(seed=3)}
    monkeypatch.setattr(audio, "metadata", lambda _: project() | {"version": 99})
    with pytest.raises(BadRequest, match="version 99"):
        shelf.recipe_of(encoded(b"RIFF"))


@pytest.mark.parametrize("data", [b"", b"no sound", b"RIFF" * 100, audio.encode(np.zeros(99), 22050, "wav")])
def test_a_sound_from_elsewhere_is_one_sentence(data):
    with pytest.raises(BadRequest, match="does not say how it was made"):
        shelf.recipe_of(encoded(data))


@pytest.mark.parametrize("data", [None, 3, "§§", "长", encoded(bytes(shelf.HEAD + 1))])
def test_what_does_not_come_whole_is_refused(data):
    with pytest.raises(BadRequest):
        shelf.recipe_of(data)


def test_server_functions_answer_in_sentences(caplog):
    def work(data):
        if data == "bad":
            raise BadRequest("shelf.unnamed")
        return {"got": data["x"]}

    ask = answering(work)
    assert ask({"x": 1}) == {"got": 1}
    assert ask("bad") == {"error": ("请先给预设起个名字。", "Give the preset a name first.")}
    assert "KeyError" in ask({})["error"][0] and "Traceback" in caplog.text


# --- the glossary's file ---------------------------------------------------------------------------------------------


@pytest.fixture
def words(tmp_path) -> Path:
    return tmp_path / "words.txt"


def test_a_glossary_is_saved_whole(words):
    content = "# 人名\n单 shan4\n\n重庆 chóng qìng\n"
    assert glossary.read(words) == ""
    assert glossary.save(words, content, base="") is None
    assert words.read_bytes().decode() == content and glossary.check(content) == 2
    words.chmod(0o640)
    glossary.save(words, "", base=content)
    assert words.read_bytes() == b"" and stat.S_IMODE(words.stat().st_mode) == 0o640


def test_a_line_at_fault_is_named_and_nothing_is_lost(words):
    glossary.save(words, "单 shan4", base="")
    with pytest.raises(glossary.BadLine, match=r"Line 3 .*重庆 chong2") as fault:
        glossary.save(words, "单 shan4\n\n重庆 chong2\n好 hao", base="单 shan4")
    assert fault.value.message.facts["number"] == 3 and "第 3 行“重庆 chong2”" in fault.value.message.say("zh")
    assert words.read_text() == "单 shan4"
    with pytest.raises(BadRequest, match="limit"):
        glossary.save(words, "#" * (glossary.LARGEST + 1), base="单 shan4")


def test_two_who_change_it_lose_nothing(words):
    base = "# 人名\n单 shan4\n仇 qiu2\n"
    words.write_text("# 人名\n单 shan4\n仇 qiu2\n查 zha1\n")  # another has added one
    both = glossary.save(words, "# 人名\n单 shan4\n解 xie4\n", base)  # I took 仇 out, and brought 解
    assert both == "# 人名\n单 shan4\n查 zha1\n解 xie4\n"
    assert "查" in words.read_text() and "解" not in words.read_text(), "nothing is written before it was looked at"
    assert glossary.save(words, both, base=words.read_text()) is None
    assert text.parse_glossary(words.read_text()).keys() == {"单", "查", "解"}
    assert glossary.save(words, both, base="older") is None, "the same text twice is no quarrel"


LINES = st.lists(st.sampled_from(["", "# 一", "单 shan4", "单 dan1", "仇 qiu2", "查 zha1"]), max_size=6).map("\n".join)


@given(base=LINES, mine=LINES, theirs=LINES)
def test_all_that_either_has_written_is_in_both(base, mine, theirs):
    both = glossary.together(base, mine, theirs).split("\n")
    for version in (mine, theirs):
        assert {line for line in version.split("\n") if line and line not in base.split("\n")} <= set(both)
    assert glossary.together(base, base, theirs) == theirs


def test_a_reading_is_remembered(words):
    glossary.remember(words, "重庆", "chong2 qing4")
    glossary.remember(words, "单", "dan1")
    glossary.remember(words, "单", "shàn")
    assert words.read_text() == "重庆 chong2 qing4\n单 shàn\n"
    words.write_text("﻿# 备注\r\n单=dan1；行知 xing2 zhi1\r\n", newline="")
    glossary.remember(words, "单", "shan4")
    assert words.read_text() == "# 备注\n单=dan1；行知 xing2 zhi1\n单 shan4\n"
    assert text.parse_glossary(words.read_text())["单"] == ("shan4",), "the last one counts"


@pytest.mark.parametrize(
    "term,reading",
    [
        ("重庆", "chong2"),
        ("重庆", "chong qing"),
        ("", "hao3"),
        ("# 好", "hao3"),
        ("好 吗", "hao3"),
        ("好\n吗", "hao3"),
        ("好=", "hao3"),
        ("好", "hao3; 吗 ma5"),
        ("好", "hao3\n吗 ma5"),
        ("好", None),
        (None, "hao3"),
    ],
)
def test_what_is_no_reading_is_not_remembered(words, term, reading):
    words.write_text("单 shan4\n")
    with pytest.raises(BadRequest):
        glossary.remember(words, term, reading)
    assert words.read_text() == "单 shan4\n"


@given(term=ANYTHING, reading=ANYTHING | st.sampled_from(["hao3", "chong2 qing4"]))
def test_remembering_never_spoils_the_file(tmp_path_factory, term, reading):
    words = tmp_path_factory.mktemp("words") / "words.txt"
    words.write_text("单 shan4\n")
    try:
        glossary.remember(words, term, reading)
    except BadRequest:
        assert words.read_text() == "单 shan4\n"
    else:
        assert text.parse_glossary(glossary.read(words))["单"] == ("shan4",) or term == "单"


def test_a_file_that_is_no_text_stays_as_it_is(words):
    words.write_bytes("单 shan4".encode("utf-16"))
    before = words.read_bytes()
    for act in (
        lambda: glossary.read(words),
        lambda: glossary.save(words, "", ""),
        lambda: glossary.remember(words, "好", "hao3"),
    ):
        with pytest.raises(BadRequest, match="UTF-8"):
            act()
    assert words.read_bytes() == before
    with pytest.raises(SpeechError, match="cannot be written"):
        (words.parent / "file").write_text("")
        glossary.save(words.parent / "file" / "words.txt", "好 hao3", "")
