"""text/homophones.py: a character for every sound."""

import json
from importlib.resources import files

import pytest
from pypinyin import Style, pinyin

from tests.conftest import golden
from text.homophones import carrier


def test_every_syllable_of_the_phone_set_has_a_carrier_for_every_tone():
    for syllable in json.loads((golden() / "facts" / "syllables.json").read_text("utf-8")):
        for tone in range(1, 6):
            assert len(carrier(f"{syllable}{tone}")) == 1, f"{syllable}{tone}"


# Sounds that a dictionary does not give to any common character; written so by everyone, or by nobody.
BY_HAND = {"ei1 诶", "nun2 嫩", "cei4 测"}


def test_the_carrier_can_be_read_as_what_it_stands_for():
    other = set()
    for line in files("text").joinpath("data/carriers.txt").read_text("utf-8").splitlines():
        reading, char = line.split()
        known = pinyin(char, Style.TONE3, heteronym=True, neutral_tone_with_five=True)[0]
        assert carrier(reading) == char
        if reading not in {r.replace("ü", "v") for r in known}:
            other.add(line)
    assert other == BY_HAND


def test_common_sounds_get_common_characters():
    assert carrier("hang2") == "航"
    assert carrier("lv4") == "律"
    with pytest.raises(ValueError, match="is not a Mandarin syllable"):
        carrier("xyz1")
