"""text/english.py: Latin words in Mandarin syllables."""

from importlib.resources import files

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from text.english import speak
from text.english_sounds import guessed_sounds, is_spelt_out, known_sounds, mandarin
from text.english_sounds import syllables as mandarin_syllables
from text.homophones import carrier
from text.phones import split_reading, syllable_phones


def said(word: str) -> str:
    syllables = speak(word)
    return "" if syllables is None else " ".join(syllables.readings)


def kind(word: str) -> str:
    return speak(word).kind


def check(syllables) -> None:
    """Each character has its reading, and each reading is a Mandarin syllable with phones."""
    assert len(syllables.chars) == len(syllables.readings) > 0
    assert all("\u4e00" <= char <= "\u9fff" for char in syllables.chars)
    for reading in syllables.readings:
        syllable, _ = split_reading(reading)
        syllable_phones(syllable)
        assert syllable in mandarin_syllables()
    assert syllables.kind in ("letters", "word", "approximation")


# --- letters -----------------------------------------------------------------------------------------------------


SPELT = "AI CPU GDP HTTP USB NBA KTV WTO VIP US IT WHO APP A a html mp vs U.S.A. e.g. PhD IoT mRNA xkcd ＡＢＣ GPT-4 α"


@pytest.mark.parametrize("word", SPELT.split())
def test_spelt(word):
    assert kind(word) == "letters"


def test_letter_names():
    assert said("GPT") == "ji4 pi4 ti4"
    assert said("U.S.A.") == said("USA") == "you1 ai2 si5 ei1"
    assert said("w") == "da2 bu5 liu5"
    assert said("CPUs") == said("CPU") + " si5"
    assert said("mp3") == "ai2 mu5 pi4 san1"
    assert said("Ω") == "ou1 mi3 ga1"


@pytest.mark.parametrize("word", "NASA NATO OPEC IKEA HELLO COVID UNESCO GAME STOP OK".split())
def test_capitals_that_are_words(word):
    assert kind(word) != "letters"


# --- words -------------------------------------------------------------------------------------------------------


def lexicon_lines() -> list[list[str]]:
    lines = files("text").joinpath("data/english.tsv").read_text("utf-8").splitlines()
    return [line.split("\t") for line in lines]


def test_lexicon():
    lines = lexicon_lines()
    assert len(lines) > 1000
    words = [line[0] for line in lines]
    assert words == sorted(set(words))
    for word, readings, *chars in lines:
        assert word.replace("'", "").isascii() and word.replace("'", "").isalpha()
        if readings == "*":
            assert kind(word) == "letters" and not chars
            continue
        check(speak(word))
        assert kind(word) == "word"
        assert said(word) == readings
        if chars:
            assert speak(word).chars == chars[0]


def test_lexicon_characters_have_the_readings_given():
    """Where the entry has its own characters, a dictionary of Mandarin knows them with that syllable."""
    from pypinyin import Style, pinyin

    odd = set()
    for word, readings, *chars in lexicon_lines():
        for char, reading in zip("".join(chars), readings.split() if chars else (), strict=True):
            known = pinyin(char, style=Style.TONE3, heteronym=True)[0]
            if reading[:-1] not in {k.rstrip("12345") for k in known}:
                odd.add((word, char, reading))
    assert odd == set()


@pytest.mark.parametrize(
    ("word", "syllables"),
    [
        ("hello", "ha1 lou4"),
        ("Google", "gu3 ge1"),
        ("e-mail", "yi1 mei4 er3"),
        ("Wi-Fi", "wai1 fa4 yi5"),
        ("Beijing", "bei3 jing1"),
        ("don't", "dong4 te5"),
        ("iPhone", "ai4 feng4"),
        ("Jobs", "qiao2 bu4 si1"),
        ("Zürich", "su1 li2 shi4"),
        ("Pokémon", "bao2 ke3 meng4"),
    ],
)
def test_words_of_the_lexicon(word, syllables):
    assert said(word) == syllables
    assert kind(word) == "word"


@pytest.mark.parametrize(
    ("word", "syllables"),
    [
        ("loves", "la1 fu5 si5"),
        ("loved", "la1 fu5 te5"),
        ("lover", "la1 fo5"),
        ("making", "mei4 keng5"),
        ("stopped", "si1 dao4 pu5 te5"),
        ("running", "rang4 ning5"),
        ("winner", "wen4 ne5"),
        ("cities", "xi4 ti5 zi5"),
        ("happily", "hai1 pi4 li5"),
        ("Tom's", "tang1 mu3 zi5"),
        ("iPhones", "ai4 feng4 zi5"),
    ],
)
def test_forms_of_words_of_the_lexicon(word, syllables):
    assert said(word) == syllables
    assert kind(word) == "word"


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("YouTube", "YouTube"),
        ("ChatGPT", "Chat GPT"),
        ("OpenAI", "Open AI"),
        ("WeiboCloud", "Weibo Cloud"),
        ("iPadOS", "iPad OS"),
        ("machine_learning", "machine learning"),
        ("T-shirt", "T shirt"),
        ("node.js", "node js"),
        ("Tom-Cat", "Tom cat"),
    ],
)
def test_parts_are_said_one_by_one(word, parts):
    assert said(word) == " ".join(map(said, parts.split()))


def test_digits_inside_are_said():
    assert said("GPT-4") == said("GPT") + " si4"


def test_the_dot_of_an_address_is_said():
    assert speak("baidu.com").chars[2] == "点"
    assert "点" not in speak("node.js").chars + speak("U.S.A.").chars + speak("Mr.").chars


# --- by sound ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "syllables"),
    [
        ("elephant", "ai4 le5 fen5 te5"),
        ("strawberry", "si1 zhuo4 bei1 rui5"),
        ("snapchat", "si1 nai4 pu5 chai5 te5"),
        ("canyon", "kai4 nian5"),
        ("Müller", "ma4 le5"),
    ],
)
def test_by_sound(word, syllables):
    assert said(word) == syllables


def test_pinyin_is_said_as_pinyin():
    assert said("zhongguancun") == "zhong1 guan1 cun1"
    assert said("Liangxiang") == "liang1 xiang1"
    assert kind("Liangxiang") == "approximation"


def test_stress_falls_and_what_is_added_is_light():
    assert mandarin("S T AA1 R") == ("si1", "da4", "er5")  # not aspirated behind s
    assert mandarin("T EH1 S T") == ("tai4", "si5", "te5")
    assert mandarin("HH OW0 T EH1 L") == ("hou1", "tai4", "er5")


def test_spelling_rules():
    assert guessed_sounds("knight") == "N AY1 T"
    assert guessed_sounds("phone") == "F OW1 N"
    assert guessed_sounds("nation") == "N EY1 SH AH0 N"
    assert guessed_sounds("cell") == "S EH1 L"
    assert guessed_sounds("write") == "R AY1 T"
    assert guessed_sounds("table") == "T EY1 B AH0 L"


def test_dictionary():
    assert known_sounds("nasa") == "N AE1 S AH0"
    assert known_sounds("qwertyuiop") is None
    assert is_spelt_out("html") and not is_spelt_out("nasa")


def test_every_sound_has_a_syllable():
    consonants = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH".split()
    vowels = "AA AE AH AO AW AY EH ER EY IH IY OH OW OY UH UW".split()
    for consonant in consonants:
        for vowel in vowels:
            for coda in ["", "N", "NG", "M", "L", "R", "K", "N D", "S T"]:
                readings = mandarin(f"{consonant} {vowel}1 {coda}")
                assert readings, (consonant, vowel, coda)
                assert {reading[:-1] for reading in readings} <= mandarin_syllables(), (consonant, vowel, coda)


# --- any string --------------------------------------------------------------------------------------------------

WORDS = st.text(st.sampled_from("aeiouybcdfghjklmnpqrstvwxzABCEGKNSTUXY'’-._ 019éüßłŁﬁαΩ"), max_size=40)


@given(st.text(st.characters(), max_size=40) | WORDS)
@example("")
@example("ŉ")
@example("Ǆ")
@example("ⅷ")
@example("\ud800a")
@example("'s")
@example("s'")
@example("-ing")
def test_any_string(text):
    syllables = speak(text)
    if syllables is not None:
        check(syllables)


@pytest.mark.parametrize("text", ["", " ", "мир", "こんにちは", "123", "...", "你好", "'", "한국어", "👍"])
def test_no_letters(text):
    assert speak(text) is None


def test_no_letter_is_lost():
    assert all(speak(chr(code)) for code in range(0x41, 0x180) if chr(code).isalpha() and chr(code) not in "ªºŉĸſ")


def test_carriers_are_said_as_the_reading():
    assert speak("street").chars[-1] == "特"  # as in foreign names; a light te has no character of its own
    assert speak("Liang").chars == carrier("liang1")
