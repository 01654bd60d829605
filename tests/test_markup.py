"""text/markup.py: readings that the user gives, inline and in a glossary, and what becomes of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from text import GlossaryError, analyse, parse_glossary, read_glossary
from text.markup import parse, parse_reading, parse_readings


def chars(text: str, **glossary: str) -> list[tuple[str, str, str]]:
    """(character, reading as spoken, source) of everything that is pronounced."""
    terms = {term: parse_readings(pinyin) for term, pinyin in glossary.items()}
    found = [char for utterance in analyse(text, glossary=terms) for char in utterance.chars]
    return [(char.text, char.spoken, char.source) for char in found if char.reading]


@pytest.mark.parametrize(
    "written, reading",
    [("hang2", "hang2"), ("háng", "hang2"), ("lü4", "lv4"), ("lu:4", "lv4"), ("lǜ", "lv4"), ("de0", "de5"),
     ("de", "de5"), (" HANG2 ", "hang2"), ("nǚ", "nv3"), ("er2", "er2")],
)  # fmt: skip
def test_a_reading_may_be_spelt_in_several_ways(written, reading):
    assert parse_reading(written) == reading


@pytest.mark.parametrize("written", ["", "xyz3", "hang6", "hang22", "银", "hang2 hang2", "3", "a-1"])
def test_what_is_no_reading_is_refused(written):
    with pytest.raises(ValueError):
        parse_reading(written)


@pytest.mark.parametrize("written", ["yin2 hang2", "yín háng", "yin2hang2", "yin2-hang2", " yin2'hang2 "])
def test_readings_may_be_separated_in_several_ways(written):
    assert parse_readings(written) == ("yin2", "hang2")


def test_inline_readings_settle_the_characters_before_them():
    assert chars("重[chong2]庆") == [("重", "chong2", "user"), ("庆", "qing4", "g2pm")]
    assert chars("银行[yin2 xing2]") == [("银", "yin2", "user"), ("行", "xing2", "user")]
    assert chars("我们去银行[xíng]。")[-1] == ("行", "xing2", "user")
    assert chars("重［chong2］庆")[0] == ("重", "chong2", "user")


def test_an_inline_reading_is_said_as_it_was_written():
    assert chars("一[yi1]个") == [("一", "yi1", "user"), ("个", "ge5", "g2pm")] or chars("一[yi1]个")[0][1] == "yi1"
    assert [spoken for _, spoken, _ in chars("你[ni3]好")] == ["ni3", "hao3"]
    assert [spoken for _, spoken, _ in chars("你好")] == ["ni2", "hao3"]


def test_the_neighbours_follow_the_reading():
    assert [spoken for _, spoken, _ in chars("不好")] == ["bu4", "hao3"]
    assert [spoken for _, spoken, _ in chars("不好[hao4]")] == ["bu2", "hao4"]


def test_a_word_of_letters_or_digits_takes_a_reading_too():
    assert [(s, source) for _, s, source in chars("GPT[ji4 pi4 ti4]很好")][:3] == [
        ("ji4", "user"), ("pi4", "user"), ("ti4", "user")
    ]  # fmt: skip
    assert [s for _, s, _ in chars("房间1314[yao1 san1 yao1 si4]")][2:] == ["yao1", "san1", "yao1", "si4"]


def test_brackets_without_pinyin_are_brackets():
    for text in ("苹果[水果]很甜", "见[1]", "数组[abc]", "[yin2]", "重[chong]庆"):
        assert not any(source == "user" for _, _, source in chars(text)), text


def test_more_syllables_than_characters_are_reported():
    (utterance,) = analyse("行[yin2 hang2]了")
    assert [(item.text, item.position) for item in utterance.skipped] == [("[yin2 hang2]", 1)]
    assert "more syllables" in utterance.skipped[0].reason


def test_positions_are_those_of_the_given_text():
    text = "重[chong2]庆有3个😀。"
    (utterance,) = analyse(text)
    assert [text[char.position] for char in utterance.chars] == list("重庆有3个。")
    assert utterance.skipped[0].position == text.index("😀")
    assert [(change.text, change.position) for change in utterance.changes] == [("3", text.index("3"))]
    assert utterance.source == "重庆有3个😀。"


def test_a_glossary_settles_its_terms_everywhere():
    assert [s for _, s, _ in chars("重庆和重庆", 重庆="chong2 qing4")] == ["chong2", "qing4", "he2", "chong2", "qing4"]
    assert chars("我姓单", 单="shan4")[-1] == ("单", "shan4", "glossary")
    longest = chars("长城长", 长城="chang2 cheng2", 长="zhang3")
    assert [s for _, s, _ in longest] == ["chang2", "cheng2", "zhang3"]


def test_glossary_readings_change_with_their_neighbours_as_a_dictionary_s_do():
    assert [s for _, s, _ in chars("老李", 老李="lao3 li3")] == ["lao2", "li3"]


def test_latin_terms_match_whole_words_in_any_case():
    assert chars("用bert吧", Bert="bo1 te4")[1:3] == [("拨", "bo1", "glossary"), ("特", "te4", "glossary")]
    assert not any(source == "glossary" for _, _, source in chars("用Roberta吧", Bert="bo1 te4"))


def test_inline_wins_over_the_glossary():
    assert chars("银行[xing2]", 银行="yin2 hang2")[-1] == ("行", "xing2", "user")


def test_parse_glossary():
    lines = "\ufeff# names\n重庆 chong2 qing4\n\n单=shàn；GPT-4\tji4 pi4 ti4 si4\r\n"
    assert parse_glossary(lines) == {
        "重庆": ("chong2", "qing4"),
        "单": ("shan4",),
        "GPT-4": ("ji4", "pi4", "ti4", "si4"),
    }


@pytest.mark.parametrize(
    "line, complaint",
    [("重庆", "pinyin"), ("重庆 chong2", "2 characters need 2 syllables, and there are 1"), ("重庆 abc1 de2", "abc1")],
)
def test_a_glossary_line_at_fault_is_named(line, complaint):
    with pytest.raises(GlossaryError, match=complaint) as caught:
        parse_glossary("好 hao3\n" + line)
    assert line in str(caught.value)
    chinese = caught.value.message.say("zh")
    assert chinese.startswith(f"“{line}”") and "needs" not in chinese and "write" not in chinese


def test_a_term_that_is_in_the_way_leaves_room_for_a_shorter_one():
    glossary = parse_glossary("行长 hang2 zhang3\n长 zhang3")
    (utterance,) = analyse("银行[yin2 hang2]长", glossary=glossary)
    assert [(c.reading, c.source) for c in utterance.chars[1:]] == [("hang2", "user"), ("zhang3", "glossary")]


@pytest.mark.parametrize("line", ["= hao3", "好" * 101 + " hao3", "好 " + "hao3" * 500, "a " + "ā" * 200])
def test_a_line_without_its_word_or_without_end_is_refused(line):
    with pytest.raises(GlossaryError) as caught:
        parse_glossary(line)
    assert len(str(caught.value)) < 400


def test_a_glossary_s_file_is_read_once_and_has_a_limit(tmp_path, monkeypatch):
    file = tmp_path / "words.txt"
    assert read_glossary(file) == {}
    file.write_text("\ufeff重庆 chong2 qing4\r\n单 shan4\n", "utf-8")
    assert read_glossary(file) == {"重庆": ("chong2", "qing4"), "单": ("shan4",)}
    assert read_glossary(file) is read_glossary(file)
    file.write_text("单 dan1", "utf-8")
    assert read_glossary(file) == {"单": ("dan1",)}, "whatever the clock says"
    monkeypatch.setattr("text.markup.MOST_BYTES", 5)
    with pytest.raises(GlossaryError, match="more than"):
        read_glossary(file)
    monkeypatch.setattr("text.markup.MOST_TERMS", 1)
    with pytest.raises(GlossaryError, match="more than 1 terms"):
        parse_glossary("重庆 chong2 qing4\n单 shan4")


@pytest.mark.parametrize("text", ["好[bong1]", "hello[fe2 dong1]", "3[we1]", "銀行[biang2 hang2]"])
def test_a_syllable_that_is_none_of_mandarin_is_said_all_the_same(text):
    (utterance,) = analyse(text)
    assert utterance.chars[0].source == "user" and len(utterance.bert_text) == len(utterance.text)


def test_bert_reads_a_homophone_where_the_reading_is_unusual_and_nothing_else_changes():
    (plain,) = analyse("他去银行取钱。")
    (settled,) = analyse("他去银行[yin2 xing2]取钱。")
    assert plain.bert_text == plain.text
    assert settled.text == plain.text
    assert settled.bert_text == "他去银型取钱."
    assert settled.word2ph == plain.word2ph
    different = [i for i, (a, b) in enumerate(zip(settled.phones, plain.phones, strict=True)) if a != b]
    assert different == [7, 8]  # the pad, two characters with two phones each, 银's two, then 行's
    assert analyse("行[xing2]人")[0].bert_text == "行人"  # as expected: nothing to help
    assert analyse("我姓单", glossary={"单": ("shan4",)})[0].bert_text == "我姓善"


def test_a_settled_reading_is_never_cut_in_two():
    term = "春眠不觉晓处处闻啼鸟夜来风雨声花落知多少"
    readings = ("chun1", *("mian2",) * (len(term) - 1))
    text = (term + "和") * 12
    for utterance in analyse(text, glossary={term: readings}):
        assert utterance.text.count("春") == utterance.text.count("少")


@given(st.text(st.sampled_from("你好银行长12a.,。 []［］yinhaogx234ǎü:"), max_size=60))
def test_any_markup_is_analysed(text):
    marked = parse(text, {"银行": ("yin2", "hang2"), "a": ("ei1",)})
    assert len(marked.text) == len(marked.places)
    assert all(marked.text[i] == text[place] for i, place in enumerate(marked.places))
    for utterance in analyse(text, glossary={"银行": ("yin2", "hang2"), "a": ("ei1",)}):
        assert all(0 <= char.position < len(text) for char in utterance.chars)
        assert len(utterance.bert_text) == len(utterance.text)


def test_a_glossary_is_known_by_what_it_says():
    one, other = parse_glossary("重庆 chong2 qing4\n单 shan4"), parse_glossary("单 shan4\n重庆 chong2 qing4")
    assert one.digest == other.digest != parse_glossary("单 dan1\n重庆 chong2 qing4").digest
