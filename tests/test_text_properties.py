"""text/: what holds for every string."""

import json

from hypothesis import given
from hypothesis import strategies as st

from text import analyse
from text.__main__ import line
from text.normalize import DIGITS, normalise
from text.readings import readable
from text.split import MOST, paragraphs, sentences
from text.symbols import PUNCTUATION, SYMBOLS_V2
from text.tables import table
from text.units import units

CHINESE = "你好世界不一个三儿们的地得了着过银行长为我很老虎水果看听走说十百零"
MARKS = "，。！？；：、…—“”‘’（）《》,.!?;:'\"()[]{}-~ \t\n\r\\"
NUMBERS = "0123456789０１②½Ⅳ%￥$°℃㎡+-=/:."
OTHERS = (
    "abcXYZéßЖλ한あ👍👨‍👩‍👧🇨🇳❤️𠀀𪚥𫝀﨑々〇龥鿿嗯呣噷覅兙桛\x00\x7f\u200b\ufeff\u0301\ufe0f\ud800\udfff\ue000\U0010ffff"
)

# What numbers are made of: every sign, unit and currency there is, exponents, digits of other scripts, marks that stand
# on letters, what is invisible, what NFKC takes apart, and readings, good and bad.
FIGURES = [
    *"0123456789０９٣𝟘①⑽⒈Ⅳↂ²₂½↉ⁿ⁻⁺^eEeE.,:/%‰-−±+×÷=√∞°'″~～",
    *units(), *(word for name in ("signs", "currencies", "powers_of_ten") for word in table("units")[name]),
    *"abkmwxIVXαΩжאあ한ｅＥ\u0301\u0316\u20dd\u20e3\ufe0f\u202e\x00\x1b\n\ud800\udfff",
    *("e0", "E00", "e-0", "×10^", "^{-", "}", "第", "年", "月", "号", "点", "个", "元", "度"),
    *("[hao3]", "[bong1]", "[", "ﷺ", "㏂", "㎡"),
]  # fmt: skip

# Any code point at all, lone surrogates included, and denser mixtures of what a text may hold.
ANY = (
    st.text(st.characters(), max_size=80)
    | st.text(st.sampled_from(CHINESE + MARKS + NUMBERS + OTHERS), max_size=200)
    | st.lists(st.sampled_from(FIGURES), max_size=20).map("".join)
)


@given(ANY)
def test_any_text_is_analysed(text):
    utterances = analyse(text)
    for utterance in utterances:
        assert len(utterance.phones) == len(utterance.tones) == sum(utterance.word2ph)
        assert len(utterance.word2ph) == len(utterance.text) + 2 == len(utterance.chars) + 2
        assert set(utterance.phones) <= set(SYMBOLS_V2)
        assert set(utterance.tones) <= set(range(6))
        assert len(utterance.text) <= MOST
        assert all((char.text in PUNCTUATION) == (char.reading == "") for char in utterance.chars)
        assert all(0 <= item.position < len(text) and item.text for item in utterance.skipped)
        assert utterance.text.strip("".join(PUNCTUATION)) or (len(utterances) == 1 and utterance.skipped)
        json.loads(line(utterance))
    positions = [item.position for utterance in utterances for item in utterance.skipped]
    assert positions == sorted(positions)
    assert not utterances or utterances[-1].ends == "paragraph" or not utterances[-1].text


@given(st.text(st.sampled_from("你好世界银行不的жひ👍𪚥龘，。！？\n"), max_size=400))
def test_every_character_is_said_or_reported(text):
    utterances = analyse(text)
    said = "".join(char.text for u in utterances for char in u.chars if char.text not in PUNCTUATION)
    skipped = "".join(item.text for u in utterances for item in u.skipped)
    wanted = [char for char in text if char not in "，。！？\n"]
    assert said == "".join(char for char in wanted if char not in "жひ👍" and readable(char))
    assert skipped == "".join(char for char in wanted if char in "жひ👍" or not readable(char))


@given(ANY)
def test_positions_never_decrease(text):
    normalised = normalise(text)
    assert len(normalised.positions) == len(normalised.text)
    assert list(normalised.positions) == sorted(normalised.positions)
    assert all(0 <= position < len(text) for position in normalised.positions)


@given(ANY)
def test_splitting_loses_nothing_but_blank_lines(text):
    lines = dict(paragraphs(text))
    assert all(text.startswith(part, start) for start, part in lines.items())
    assert sum(len(part.strip()) for part in lines.values()) >= len("".join(text.split()))
    for part in lines.values():
        assert "".join(sentence for _, sentence in sentences(part)) == part


@given(st.integers(0, 10**12))
def test_every_number_is_read(number):
    utterances = analyse(f"共{number}个")
    said = "".join(utterance.text for utterance in utterances)
    assert not any(utterance.skipped for utterance in utterances)
    assert set(said) <= set(DIGITS + "共个十百千万亿兆幺两")
