"""Cards: any text split into them is the same speech, each alone is the same, and files bring them back."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infer.documents import audio, subtitles
from infer.documents import project as projects
from infer.documents.project import Card, Project, split
from infer.documents.takes import Takes
from infer.engine.pipeline import Engine
from infer.request import BadRequest, SpeechRequest
from infer.settings import load_settings
from tests.voices import make_tiny_voice
from text import analyse

STORY = (
    "银行里有2个人。重[chong2]庆很大！“你好，”他说：“再见。”\n第二段很短……真的？Hello world，"
    + "再长一点，" * 20
    + "完了。"
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Engine:
    folder = tmp_path_factory.mktemp("voices")
    make_tiny_voice(folder / "tiny", seed=0)
    settings = [f"voices=[{folder}]", "webui.device=cpu", f"glossary={folder}/glossary.txt"]
    return Engine(load_settings(overrides=settings, environment={}))


def cards_of(text: str, **options) -> Project:
    request = SpeechRequest(text, **options)
    return split(request, analyse(text))


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
    whole = list(engine.stream(request))
    parts = list(projects.stream(split(request, engine.read(request)), engine.stream))
    one, other = (audio.joined(pieces) for pieces in (whole, parts))
    assert len(one) == len(other) and np.abs(one - other).max() < 1e-4
    assert [c for p in parts if p.last for c in p.characters] == [
        type(c)(c.text, pytest.approx(c.start), pytest.approx(c.end)) for p in whole if p.last for c in p.characters
    ]
    assert [cue.text for cue in subtitles.cues(parts)] == [cue.text for cue in subtitles.cues(whole)]
    assert parts[-1].start + parts[-1].duration == pytest.approx(len(one) / whole[0].sampling_rate)


def test_a_changed_card_changes_no_other(engine):
    project = cards_of("你好。我是人。再见。", seed=5)
    changed = Project(project.controls, (project.cards[2], Card("新的。", 9), *project.cards[:2]))
    alone = {card.text: list(engine.stream(project.request(card))) for card in project.cards}
    for piece in projects.stream(changed, engine.stream):
        if piece.card != 1:
            own = alone[changed.cards[piece.card].text]
            assert any(
                len(p.samples) <= len(piece.samples) and np.array_equal(p.samples, piece.samples[: len(p.samples)])
                for p in own
            )


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


def test_only_what_changed_is_made_again(engine):
    class Counting:
        files, glossary = engine.files, engine.glossary

        def __init__(self):
            self.made = []

        def stream(self, request, cancelled):
            self.made.append(request.text)
            return engine.stream(request, cancelled)

    counting = Counting()
    takes = Takes(counting)
    project = cards_of("你好。我是人。再见。")
    first = list(projects.stream(project, takes.stream))
    again = list(projects.stream(Project(project.controls, project.cards[::-1]), takes.stream))
    assert counting.made == ["你好。", "我是人。", "再见。"] and len(first) == len(again)
    list(takes.stream(project.request(project.cards[0]).but(seed=8)))
    assert counting.made[3:] == ["你好。"]
    engine.settings.path(engine.settings.glossary).write_text("人 ren2\n", encoding="utf-8")
    assert takes.find(project.request(project.cards[1])) is None, "another glossary may mean another sound"
    engine.settings.path(engine.settings.glossary).unlink()
    assert takes.size > sum(piece.samples.nbytes for piece in first)
    takes.limit = takes.size  # one more, and those used longest ago make room
    list(takes.stream(SpeechRequest("新的。")))
    assert takes.find(project.request(project.cards[2])) is None and takes.find(SpeechRequest("新的。"))
    assert takes.size <= takes.limit


def test_a_stopped_take_is_not_kept(engine):
    takes, pieces = Takes(engine), []
    for piece in takes.stream(SpeechRequest("春天来了，小河解冻了。" * 9), lambda: bool(pieces)):
        pieces.append(piece)
    assert pieces and takes.find(SpeechRequest("春天来了，小河解冻了。" * 9)) is None


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
    assert 0 < len(str(error.value)) < 400 and error.value.zh


def test_voices_of_two_rates_are_not_mixed(engine):
    def say(request, cancelled):
        for piece in engine.stream(request, cancelled):
            object.__setattr__(piece, "sampling_rate", 16000 if request.text == "再见。" else piece.sampling_rate)
            yield piece

    with pytest.raises(BadRequest, match="one rate"):
        list(projects.stream(cards_of("你好。再见。"), say))


def test_a_project_without_cards_has_no_text():
    assert Project.from_dict(GOOD | {"cards": []}).text == ""
