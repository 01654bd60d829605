"""text/readings.py and text/words.py: words and rules written by hand, the weighing, what a reading says of itself."""

import json
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from benchmarks.reading import answer, main, questions
from tests.conftest import golden
from text.phones import split_reading, syllable_phones
from text.reading_rules import patterns
from text.readings import Reading, _lexicon, known_readings, read
from text.tables import table
from text.tone_sandhi import spoken_readings
from text.words import cut, segment, spans

COMMITTED = questions(golden() / "text" / "polyphones_dev.tsv")[:200]
EVERYDAY = questions(Path(__file__).parent / "data" / "everyday.tsv")


def reading(text: str, char: str) -> Reading:
    """Of the only `char` in a normalised text."""
    assert text.count(char) == 1
    return read(text)[text.index(char)]


def test_the_public_questions_are_answered_as_well_as_measured():
    """All of the first 200, 98.6 % of all 9,893; g2pM alone has 97.3 % of them."""
    right = [answer(sentence, index, read).reading == wanted for sentence, index, wanted in COMMITTED]
    assert sum(right) >= 198


def test_everyday_speech_is_read_as_well_as_measured():
    """Lines with an even number were looked at while the rules were written, those with an odd one were not."""
    right = [answer(sentence, index, read).reading == wanted for sentence, index, wanted in EVERYDAY]
    assert len(right) >= 450
    assert sum(right[1::2]) / len(right[1::2]) >= 0.98
    assert sum(right[0::2]) / len(right[0::2]) >= 0.95


@pytest.mark.parametrize(
    ("text", "char", "pinyin"),
    [
        *[("今天天气真好,哈哈哈", "好", "hao3"), ("他好喝酒", "好", "hao4"), ("他这人好吗", "好", "hao3")],
        *[("他得去一趟", "得", "dei3"), ("我得走了", "得", "dei3"), ("你得多吃点", "得", "dei3")],
        *[("开车得小心", "得", "dei3"), ("必须得去", "得", "dei3"), ("你一定得来", "得", "dei3")],
        *[("他长得高", "得", "de5"), ("你说得对", "得", "de5"), ("病得很重", "得", "de5")],
        *[
            ("他得了奖", "得", "de2"),
            ("我得第一名", "得", "de2"),
            ("我得知你来", "得", "de2"),
            ("读书心得", "得", "de2"),
        ],
        *[("我为他做饭", "为", "wei4"), ("为人民服务", "为", "wei4"), ("你为什么不早说", "为", "wei4")],
        *[("被视为他的对手", "为", "wei2"), ("他为大家所知", "为", "wei2"), ("他为人正直", "为", "wei2")],
        *[("人数一共三百", "数", "shu4"), ("票数了三遍", "数", "shu3"), ("奶奶数着钱", "数", "shu3")],
        *[("书我还了", "还", "huan2"), ("我还了解他", "还", "hai2"), ("钱下个月还", "还", "huan2")],
        *[("孩子又长高了", "长", "zhang3"), ("又黑又长", "长", "chang2"), ("这种花很香", "种", "zhong3")],
        *[("我背着他说话", "背", "bei4"), ("他背着弟弟", "背", "bei1"), ("屋里很宁静", "宁", "ning2")],
    ],
)
def test_everyday_readings_with_and_without_an_end(text, char, pinyin):
    for end in ("", ".", ","):
        assert reading(text + end, char).pinyin == pinyin


@pytest.mark.parametrize(
    ("text", "char", "pinyin"),
    [
        *[("蒜剥几瓣够用", "剥", "bao1"), ("不能剥夺他的权利", "剥", "bo1"), ("我们弹个曲子吧", "弹", "tan2")],
        *[("我去划会儿船", "划", "hua2"), ("我今天累得够呛", "累", "lei4"), ("我晕得厉害", "晕", "yun1")],
    ],
)
def test_a_character_that_is_a_word_has_its_spoken_reading(text, char, pinyin):
    assert reading(text, char).pinyin == pinyin


def test_a_counting_verb_and_a_number_stand_side_by_side():
    assert [r.pinyin for r in read("数一数数字")] == ["shu3", "yi1", "shu3", "shu4", "zi4"]
    assert spoken_readings("数一数数字", ["shu3", "yi1", "shu3", "shu4", "zi4"])[:3] == ["shu3", "yi5", "shu3"]


def test_a_settled_must_is_not_made_neutral():
    assert spoken_readings("他得去", ["ta1", "dei3", "qu4"]) == ["ta1", "dei3", "qu4"]


@pytest.mark.parametrize(
    ("text", "char", "pinyin", "source"),
    [
        *[("两校相差很大", "差", "cha1", "lexicon"), ("他的自传体小说", "传", "zhuan4", "lexicon")],
        *[("他们去划船", "划", "hua2", "lexicon"), ("质朴的人", "朴", "pu3", "lexicon")],
        *[("武汉市黄陂区", "陂", "pi2", "lexicon"), ("征西大将军", "将", "jiang1", "lexicon")],
        *[("他尽心帮助别人", "尽", "jin4", "lexicon"), ("请尽快回来", "尽", "jin3", "lexicon")],
        *[("新华路九十三弄,到了", "弄", "long4", "rule"), ("把羽毛弄干", "弄", "nong4", "rule")],
        *[("麻涌镇", "涌", "chong1", "rule"), ("泪水涌出来", "涌", "yong3", "g2pm")],
        *[("山顶有一处古庙", "处", "chu4", "lexicon"), ("一起处理问题", "处", "chu3", "lexicon")],
        *[("他预见性地警告", "地", "de5", "rule"), ("这块地很大", "地", "di4", "g2pm")],
        *[("单田芳先生", "单", "shan4", "rule"), ("任何人", "任", "ren4", "g2pm")],
        *[("他病得很重", "得", "de5", "rule"), ("告就告呗.", "呗", "bei5", "rule")],
        *[("女儿", "儿", "er2", "rule"), ("㐀", "㐀", "qiu1", "pypinyin")],
    ],
)
def test_readings(text, char, pinyin, source):
    found = reading(text, char)
    assert (found.pinyin, found.source) == (pinyin, source)


def test_an_unsure_phrase_of_pypinyin_is_not_believed():
    """pypinyin reads 夹克 jia2."""
    assert reading("皮夹克", "夹").pinyin == "jia1"


def test_what_else_it_could_be():
    assert known_readings("行")[0] == "xing2"
    assert "hang2" in known_readings("行")
    found = reading("银行", "行")
    assert found.pinyin == "hang2"
    assert found.others[0] == "xing2" and "hang2" not in found.others
    assert reading("猫,", "猫").others == known_readings("猫")[1:]
    assert read(",")[0].others == ()
    for char in "得都长了啊和":
        for other in known_readings(char):
            syllable_phones(split_reading(other)[0])  # the voices can say it


def test_confidence_means_something():
    """All of the 200 are right, so that it should be sure; it is not where there is nothing to go by."""
    answers = [answer(sentence, index, read) for sentence, index, _ in COMMITTED]
    assert all(0 < char.confidence <= 1 for char in answers)
    assert sum(char.confidence for char in answers) / len(answers) > 0.97
    assert read("银行")[1].confidence > 0.95
    assert read("长")[0].confidence < 0.95 and read("重")[0].confidence < 0.9


# --- the tables --------------------------------------------------------------------------------------------------


def test_the_words_are_sound():
    lines = files("text").joinpath("data/readings.txt").read_text("utf-8").splitlines()
    assert lines == sorted(lines)
    said: dict[tuple[str, str], str] = {}
    for line in lines:
        char, pinyin, *words = line.split()
        assert len(char) == 1 and words
        assert pinyin == "?" or pinyin in known_readings(char), line
        for word in words:
            assert char in word and len(word) > 1, line
            assert said.setdefault((char, word), pinyin) == pinyin, f"{word} has {char} twice"
    assert {word for _, word in said} == set(_lexicon())


def test_the_rules_are_sound():
    for char in table("reading_rules")["beside"]:
        for pinyin, pattern in patterns(char):
            assert pinyin in known_readings(char), (char, pinyin)
            assert char in pattern.pattern
    assert all(pinyin in known_readings(char) for char, pinyin in table("reading_rules")["surnames"].items())


# --- words -------------------------------------------------------------------------------------------------------


def test_the_segmenter_is_jieba_with_and_without_tags():
    import jieba.posseg

    reference = jieba.Tokenizer()
    reference.FREQ, reference.total = reference.gen_pfdict(reference.get_dict_file())
    reference.initialized = True
    tagger = jieba.posseg.POSTokenizer(reference)
    for sentence, _, _ in COMMITTED:
        assert cut(sentence) == list(reference.cut(sentence))
        assert segment(sentence) == [(pair.word, pair.flag) for pair in tagger.cut(sentence)]


def test_spans_are_of_whole_words_or_within_one():
    assert "".join(word for word, _ in segment("北京大学生活")) == "北京大学生活"
    found = {"我们去北京大学学习"[start:end] for start, end in spans("我们去北京大学学习")}
    assert {"我们", "北京大学", "北京", "大学", "我们去", "北京大学学习"} <= found
    assert not {"学学", "大学学", "们去", "京大"} & found


# --- from the outside --------------------------------------------------------------------------------------------


def test_nothing_is_loaded_before_and_nothing_written_at_the_first_call(tmp_path):
    heavy = "{'jieba', 'pypinyin', 'g2pM', 'opencc', 'onnxruntime', 'tokenizers', 'transformers'}"
    code = f"import sys, text, text.g2pw; print({heavy} & set(sys.modules))"
    code += "; text.analyse('银行'); print('jieba' in sys.modules)"
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", env=environment, check=True
    )
    assert done.stdout.split() == ["set()", "True"]
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_the_benchmark_ends_with_json(tmp_path, capsys, monkeypatch):
    file = tmp_path / "own.tsv"
    file.write_text("我在银行。\t3\thang2\n旅行\t1\thang2\n女的\t0\tnu:3\n", "utf-8")
    monkeypatch.setattr(sys, "argv", ["reading", str(file)])
    main()
    lines = capsys.readouterr().out.splitlines()
    summary = json.loads(lines[-1])
    assert (summary["n"], summary["accuracy"]) == (3, pytest.approx(2 / 3, abs=1e-6))
    assert any("行: hang2, given xing2" in line for line in lines)


@pytest.mark.parametrize("line", ["我在银行。", "我在银行。\t9\thang2", "我在银行。\tx\thang2"])
def test_a_line_that_is_no_question_is_named(tmp_path, line):
    file = tmp_path / "own.tsv"
    file.write_text(f"我\t0\two3\n{line}\n", "utf-8")
    with pytest.raises(ValueError, match=r"own\.tsv, line 2"):
        questions(file)
