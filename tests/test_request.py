"""infer/request.py: whatever is given for an option, a request stands or one sentence says why it does not."""

import pytest

from infer.engine.voice import parse_mix
from infer.request import MOST_TEXT, BadRequest, SpeechRequest


@pytest.mark.parametrize(
    ("option", "most"),
    [
        ("text", MOST_TEXT),
        ("voice", 500),
        ("speaker", 2000),
        ("emotion", 1000),
        ("emotion_b", 1000),
        ("style_text", 5000),
        ("readings", 20_000),
    ],
)
def test_every_text_has_a_limit(option, most):
    values = {"text": "好", option: " " * most}
    assert SpeechRequest.from_dict(values)
    with pytest.raises(BadRequest, match=f"{option} has {most + 1} characters and the limit is {most}") as caught:
        SpeechRequest.from_dict(values | {option: " " * (most + 1)})
    assert str(most) in caught.value.message.say("zh") and caught.value.message.say("zh") != str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seed": 10**400}, "from 0 to 4294967295, not 1000"),
        ({"seed": -(10**5000)}, "from 0"),
        ({"speed": float("nan")}, "not nan"),
        ({"speed": float("inf")}, "not inf"),
        ({"speed": 10**400}, "not 1000"),
        ({"speed": True}, "not True"),
        ({"emotion": ["x"] * 1_000_000}, "emotion must be text"),
        ({"emotion": {"a": 1}}, "emotion must be text"),
        ({"emotion": "\ud83d"}, "half a character"),
        ({"style_text": "好\udc00"}, "half a character"),
        ({"opens": 1}, "opens must be true, false or nothing, not 1"),
        ({"opens": "yes"}, "opens must be"),
        ({"x" * 100_000: 1}, "is no option"),
        ({7: 1, "y": 2}, "is no option"),
    ],
)
def test_a_value_at_fault_is_one_short_sentence(values, message):
    with pytest.raises(BadRequest, match=message) as caught:
        SpeechRequest.from_dict({"text": "好"} | values)
    assert len(str(caught.value)) < 600 and len(caught.value.message.say("zh")) < 600 and "\n" not in str(caught.value)


def test_what_is_no_set_of_options():
    for values in ([], "text", None, 3):
        with pytest.raises(BadRequest, match="a set of options"):
            SpeechRequest.from_dict(values)


@pytest.mark.parametrize(
    ("wanted", "mix"),
    [
        ("a", {"a": 1.0}),
        (" a ( 2 ) + b（０.5）＋c(.5)", {"a": 2.0, "b": 0.5, "c": 0.5}),
        ("a+a(2)", {"a": 3.0}),
        ("张(老师)(2)", {"张(老师)": 2.0}),
        ("张(老师)", {"张(老师)": 1.0}),
        ("(2)", {"(2)": 1.0}),
        ("a(2", {"a(2": 1.0}),
        ("a(-1)", {"a(-1)": 1.0}),
    ],
)
def test_mixes(wanted, mix):
    assert parse_mix(wanted) == mix


@pytest.mark.parametrize("wanted", ["", " " * 30_000, "+", "a+", "a(0)", "a(" + "9" * 39 + ")", "+" * 2000])
def test_a_mix_at_fault_is_one_short_sentence(wanted):
    with pytest.raises(BadRequest) as caught:
        parse_mix(wanted)
    assert len(str(caught.value)) < 200
