"""Cards: any text split into them is the same speech, each alone is the same, and files bring them back."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infer.documents import audio, subtitles
from infer.documents.project import Card, Project, split
from infer.engine.pipeline import Engine
from infer.engine.takes import Takes
from infer.request import BadRequest, Speech, SpeechRequest
from infer.settings import load_settings
from tests.voices import make_tiny_voice
from text import analyse

STORY = (
    "银行里有2个人。重[chong2]庆很大！“你好，”他说：“再见。”\n第二段很短……真的？Hello world，"
    + "再长一点，" * 20
    + "完了。"
)

OPENING = "今天天气很好，我们一起去公园散步然后再去吃一顿晚饭吧。"
REST = "我们一起去公园散步然后再去吃一顿晚饭吧."


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Engine:
    folder = tmp_path_factory.mktemp("voices")
    make_tiny_voice(folder / "tiny", seed=0)
    settings = [f"voices=[{folder}]", "webui.device=cpu", f"glossary={folder}/glossary.txt"]
    return Engine(load_settings(overrides=settings, environment={}))


def cards_of(text: str, **options) -> Project:
    request = SpeechRequest(text, **options)
    return split(request, analyse(text))


def said(engine: Engine, project: Project, scope: str | None = None) -> list[Speech]:
    return list(engine.speak(project.requests, pauses=project.pauses, scope=scope))


def texts(pieces: list[Speech]) -> list[str]:
    """The utterances."""
    return [piece.utterance.text for piece in pieces if piece.last]


def made(pieces: list[Speech]) -> list[str]:
    """Texts of what was not in memory."""
    return [piece.request.text for piece in pieces if piece.final and piece.timings]


def test_a_card_is_a_sentence():
    cards = cards_of(STORY).cards
    assert [card.text for card in cards][:4] == [
        "银行里有2个人。",
        "重[chong2]庆很大！",
        "“你好，”他说：“再见。”",
        "第二段很短……真的？",
    ]
    assert [card.ends for card in cards] == ["sentence", "sentence", "paragraph", "sentence", "paragraph"]
    assert [card.place for card in cards] == [0, 1, 2, 3, 4]
    assert cards_of(STORY).text == STORY


@given(st.text(alphabet=st.sampled_from("你好长行了人。，！？…“”《》\n 2a[]chang2-—🙂"), max_size=60))
def test_cards_lose_no_character(text):
    project = cards_of(text)
    kept = "".join(card.text for card in project.cards)
    if project.cards:
        assert "".join(kept.split()) == "".join(text.split())
        assert Project.from_dict(json.loads(json.dumps(project.as_dict()))).cards == project.cards


def test_cards_sound_as_the_text_itself(engine):
    request = engine.load().complete(SpeechRequest(STORY, seed=2**32 - 2, pause=0.3))
    whole, parts = list(engine.speak([request])), said(engine, split(request, engine.read(request)))
    one, other = (audio.joined(pieces) for pieces in (whole, parts))
    assert len(one) == len(other) and np.abs(one - other).max() < 1e-4
    assert [c for p in parts if p.last for c in p.characters] == [
        type(c)(c.text, pytest.approx(c.start), pytest.approx(c.end)) for p in whole if p.last for c in p.characters
    ]
    assert [cue.text for cue in subtitles.cues(parts)] == [cue.text for cue in subtitles.cues(whole)]
    assert parts[-1].start + parts[-1].duration == pytest.approx(len(one) / whole[0].sampling_rate)


@pytest.mark.parametrize(
    "text",
    [
        OPENING + "你好，今天真好。再见。",
        OPENING + "\n" + OPENING + OPENING,
        "🙂。" + OPENING + "再见。",
        "“你好！今天天气很好，我们一起去公园散步，然后再去吃一顿晚饭吧，”他说。再见。",
        "我们一起去" * 9 + "，" + OPENING + "🙂\n" + OPENING + "🙂\n再见。",
        OPENING,
        OPENING + "🙂",
        "再见。" + OPENING,
    ],
)
def test_a_first_sentence_that_is_cut_is_cut_as_a_card(engine, text):
    request = engine.load().complete(SpeechRequest(text, seed=7))
    project = split(request, engine.read(request))
    whole, parts = list(engine.speak([request])), said(engine, project)
    assert texts(whole) == texts(parts)
    one, other = (audio.joined(pieces) for pieces in (whole, parts))
    assert len(one) == len(other) and np.abs(one - other).max() < 1e-4


def test_the_first_of_several_cards_opens(engine, monkeypatch):
    monkeypatch.setattr(engine, "takes", Takes(256))
    project = cards_of(OPENING + "再见。" + OPENING)
    assert [request.opens for request in project.requests] == [True, False, False]
    assert [request.opens for request in cards_of(OPENING).requests] == [None]
    parts = said(engine, project, "mine")
    assert texts(parts) == ["今天天气很好,", REST, "再见.", "今天天气很好," + REST]
    turned = Project(project.controls, project.cards[::-1])
    assert made(said(engine, turned, "mine")) == [OPENING, OPENING], "but the second, which stands where it stood"
    opened = project.requests[1].but(opens=True)
    assert made(list(engine.speak([opened], scope="mine"))) == [], "a short one is not cut"
    assert [u.text for u in engine.read(project.requests[0])] == ["今天天气很好,", REST], "read as it is said"


def test_a_changed_card_changes_no_other(engine):
    project = cards_of("你好。我是人。再见。", seed=5)
    changed = Project(project.controls, (project.cards[2], Card("新的。", 9), *project.cards[:2]))
    alone = [list(engine.speak([project.request(card)])) for card in (project.cards[2], *project.cards[:2])]
    parts = [piece for piece in said(engine, changed) if piece.card != 1]
    for piece, own in zip(parts, (piece for pieces in alone for piece in pieces), strict=True):
        assert np.array_equal(piece.samples, own.samples)


def test_options_and_pauses_of_a_card_win():
    project = Project(
        {"speaker": "乙", "seed": 3, "pause": 0.5, "paragraph_pause": 1.0},
        (
            Card("你好。", 4, options={"speed": 1.5, "speaker": "甲"}),
            Card("再见。", 5, "paragraph"),
            Card("完。", options={"seed": 9}, pause=0.0),
            Card("完。"),
        ),
    )
    assert [project.pause(card) for card in project.cards] == [0.5, 1.0, 0.0, 0.5]
    requests = [project.request(card) for card in project.cards]
    assert [(r.speaker, r.speed, r.seed) for r in requests] == [
        ("甲", 1.5, 7),
        ("乙", 1.0, 8),
        ("乙", 1.0, 9),
        ("乙", 1.0, 3),
    ]


def test_only_what_changed_is_made_again(engine, monkeypatch):
    monkeypatch.setattr(engine, "takes", Takes(256))
    project = cards_of("你好。我是人。再见。")
    first = said(engine, project, "mine")
    again = said(engine, Project(project.controls, project.cards[::-1]), "mine")
    assert made(first) == ["你好。", "我是人。", "再见。"] and made(again) == [] and len(first) == len(again)
    for piece in again:
        (own,) = [p for p in first if p.card == 2 - piece.card and np.array_equal(p.samples, piece.samples)]
        assert [c.text for c in own.characters] == [c.text for c in piece.characters]
        assert piece.characters[0].start - piece.start == pytest.approx(own.characters[0].start - own.start)
    assert made(said(engine, project, "another's")) == made(first) == made(said(engine, project))
    assert made(list(engine.speak([project.requests[0].but(seed=8)], scope="mine"))) == ["你好。"]
    engine.settings.path(engine.settings.glossary).write_text("人 ren2\n", encoding="utf-8")
    assert made(list(engine.speak([project.requests[1]], scope="mine"))), "another glossary may mean another sound"
    engine.settings.path(engine.settings.glossary).unlink()
    assert engine.takes.size > sum(piece.samples.nbytes for piece in first)
    engine.takes.recent.most = engine.takes.size  # one more, and those used longest ago make room
    new = SpeechRequest("新的。")
    assert made(list(engine.speak([new], scope="mine"))) and not made(list(engine.speak([new], scope="mine")))
    assert engine.takes.size <= engine.takes.recent.most
    assert "再见。" in made(said(engine, project, "mine")), "the oldest of all"


def test_a_stopped_take_is_not_kept(engine):
    request, pieces = SpeechRequest("春天来了，小河解冻了。" * 9), []
    for piece in engine.speak([request], lambda: bool(pieces), scope=""):
        pieces.append(piece)
    assert len(pieces) == 1 and next(engine.speak([request], scope="")).timings


GOOD = cards_of("你好。再见。").as_dict()


@pytest.mark.parametrize(
    "values",
    [
        None,
        [],
        {},
        {"format": "x"},
        GOOD | {"version": 2},
        GOOD | {"controls": []},
        GOOD | {"controls": {"text": "不"}},
        GOOD | {"controls": {"emotion_audio": "x"}},
        GOOD | {"controls": {"speed": 99}},
        GOOD | {"controls": {"x" * 100_000: 1}},
        GOOD | {"cards": "你好"},
        GOOD | {"cards": [1]},
        GOOD | {"cards": [{"text": 3}]},
        GOOD | {"cards": [{"text": "你", "path": "/etc"}]},
        GOOD | {"cards": [{"text": "你", "options": {"seed": -1}}]},
        GOOD | {"cards": [{"text": "你", "options": {"seed": "1"}}]},
        GOOD | {"cards": [{"text": "你", "pause": -1}]},
        GOOD | {"cards": [{"text": "你", "pause": float("nan")}]},
        GOOD | {"cards": [{"text": "你", "place": True}]},
        GOOD | {"cards": [{"text": "你", "ends": "word"}]},
        GOOD | {"cards": [{"text": "你", "locked": 1}]},
        GOOD | {"cards": [{"text": "你", "takes": [{"options": {}}]}]},
        GOOD | {"cards": [{"text": "你", "takes": [{"text": "", "options": {"no": 1}}]}]},
        GOOD | {"cards": [{"text": "你"}] * 2001},
    ],
)
def test_a_bad_project_is_a_sentence(values):
    with pytest.raises(BadRequest) as error:
        Project.from_dict(values)
    assert 0 < len(str(error.value)) < 400 and error.value.message.say("zh")


def test_voices_of_two_rates_are_not_mixed_in_one_whole(tmp_path):
    for name, rate in (("one", 22050), ("two", 16000)):
        make_tiny_voice(tmp_path / name)
        config = json.loads((tmp_path / name / "config.json").read_text("utf-8"))
        config["data"]["sampling_rate"] = rate
        (tmp_path / name / "config.json").write_text(json.dumps(config), "utf-8")
    engine = Engine(load_settings(overrides=[f"voices=[{tmp_path}]", "webui.device=cpu"], environment={}))
    lines = [SpeechRequest("你好。", voice="one"), SpeechRequest("再见。", voice="two")]
    assert {piece.sampling_rate for piece in engine.speak(lines)} == {22050, 16000}, "a page plays each at its own"
    with pytest.raises(BadRequest, match="one rate"):
        list(engine.speak(lines, pauses=[0.2, 0.0]))


def test_a_project_without_cards_has_no_text():
    project = Project.from_dict(GOOD | {"cards": []})
    assert (project.text, project.requests, project.pauses) == ("", [], [])
