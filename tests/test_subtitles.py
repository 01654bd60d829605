"""infer/documents/subtitles.py: what is said, shown as it was written, when it is heard."""

import io
import itertools
import re
import sys
from dataclasses import replace

import numpy as np
import pysubs2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infer.cli.say import main
from infer.documents import audio, subtitles
from infer.engine.pipeline import Engine
from infer.engine.stages import times
from infer.request import BadRequest, Speech, SpeechRequest
from infer.settings import load_settings
from tests.test_text_properties import ANY
from tests.voices import make_tiny_voice
from text import analyse
from text.markup import parse

FRAME, PAUSE = 0.01, 0.2  # seconds; four frames a token in the speech below


def said(text: str) -> list[Speech]:
    """The pieces of a speech with even durations, made without a voice."""
    spoken = [u for u in analyse(text) if any(c.reading for c in u.chars)]
    pieces, start = [], 0.0
    for i, utterance in enumerate(spoken):
        durations = [4] * (2 * len(utterance.phones) + 1)
        phones, characters = (tuple(t.later(start) for t in x) for x in times(utterance, durations, True, FRAME))
        seconds = sum(durations) * FRAME + (PAUSE if i < len(spoken) - 1 else 0)
        samples = np.zeros(round(seconds * 100), np.float32)
        request = SpeechRequest(text)
        pieces.append(
            Speech(samples, 100, start, i, len(spoken), utterance, phones, characters, {}, request, last=True)
        )
        start += pieces[-1].duration
    return pieces


def words(pieces: list[Speech]) -> tuple[str, list[subtitles.Word]]:
    """The text without inline readings, and what is said of it."""
    marked = parse(pieces[0].request.text, {})
    return marked.text, subtitles._words(pieces, marked.places, subtitles._changed(pieces, marked.places))


def texts(text: str) -> list[str]:
    return [cue.text for cue in subtitles.cues(said(text))]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("今天是2024年3月5日，花了3.5元。再见！", ["今天是2024年3月5日，花了3.5元。", "再见！"]),
        ("银行[yin2 hang2]行长用AI[ei1 ai1]。", ["银行行长用AI。"]),
        ("我爱 Python 3.11 😀！\n\n안녕하세요\n再見", ["我爱 Python 3.11 😀！", "再見"]),
        (
            "他说：“今天天气真好啊，我们一起去公园散步吧！”于是大家都出发了。",
            ["他说：“今天天气真好啊，", "我们一起去公园散步吧！”", "于是大家都出发了。"],
        ),
        (
            "他从来没有听说过这样的事情（她也没有听说过这样的事情）",
            ["他从来没有听说过这样的事情", "（她也没有听说过这样的事情）"],
        ),
        ("带着水果、面包、牛奶、矿泉水、相机、雨伞和地图册", ["带着水果、面包、牛奶、", "矿泉水、相机、雨伞和地图册"]),
        (
            "没有任何标点的句子很长很长没有任何标点的句子很长很长",
            ["没有任何标点的句子很长很长", "没有任何标点的句子很长很长"],
        ),
        ("他的电话号码是13812345678901234567890123456789", ["他的电话号码是", "13812345678901234567890123456789"]),
        ("我们昨天下午在学校的图书馆里一直等到2024年12月31日才回家", None),
        ("请登录https://www.example.com/a/b_c看看", None),
        ("一行\t里\x00有  空白", ["一行 里有 空白"]),
    ],
)
def test_what_is_shown(text, shown):
    assert texts(text) == shown or shown is None
    for whole in re.findall(r"\d+年\d+月\d+日|https\S+?[!-~]+|\d{12,}", text):
        assert any(whole in cue for cue in texts(text))


def test_times_are_those_of_the_words_and_pauses_lie_outside():
    pieces = said("“你好！”\n再见。")
    found = subtitles.cues(pieces)
    a, b = ({c.text: c for c in p.characters} for p in pieces)
    assert [(c.text, c.start, c.end) for c in found] == [
        ("“你好！”", a["你"].start, a["好"].end),
        ("再见。", b["再"].start, b["见"].end),
    ]
    assert found[1].start - found[0].end > PAUSE


def test_words_lie_where_they_were_written():
    text = "用AI[ei1 ai1]花了3.5元，2005个Hello。"
    plain, found = words(said(text))
    assert [plain[w.begin : w.stop] for w in found] == [
        "用",
        "A",
        "I",
        "花",
        "了",
        "3",
        ".",
        "5",
        "元",
        "2",
        "0",
        "0",
        "5",
        "个",
        "Hello",
    ]
    assert all(x.start < x.end <= y.start for x, y in itertools.pairwise(found))
    assert subtitles.cues([]) == []


def test_the_formats():
    pieces = said("你<&。\n好。谢谢。")
    assert subtitles.srt(pieces) == (
        "1\n00:00:00,100 --> 00:00:00,740\n你<&。\n\n2\n00:00:01,220 --> 00:00:01,780\n好。谢谢。\n\n"
    )
    assert subtitles.vtt(pieces) == (
        "WEBVTT\n\n00:00:00.100 --> 00:00:00.740\n你&lt;&amp;。\n\n00:00:01.220 --> 00:00:01.780\n好。谢谢。\n"
    )
    assert subtitles.lrc(pieces) == "[00:00.10]你<&。\n[00:01.22]好。谢谢。\n[00:01.78]\n"


def test_long_times():
    assert subtitles._clock(3723.4567, ",") == "01:02:03,457"
    assert subtitles._clock(59.9996, ".") == "00:01:00.000"
    assert subtitles._lyric_clock(6000.239) == "100:00.24"


@given(ANY | st.text(st.sampled_from("他在2024年走过3.5km的路看Hello，。、“”（）😀ж\n "), max_size=150))
def test_any_text(text):
    pieces = said(text)
    found = subtitles.cues(pieces)
    plain, spoken = words(pieces) if pieces else ("", [])
    inside = [[w for w in spoken if cue.start <= w.start and w.end <= cue.end] for cue in found]
    assert [w for cue in inside for w in cue] == spoken  # each in exactly one cue, in order
    assert {w.sentence for w in spoken} == {p.sentence for p in pieces}
    for cue, sounding in zip(found, inside, strict=True):
        assert sounding and (cue.start, cue.end) == (sounding[0].start, sounding[-1].end)
        assert cue.text == cue.text.strip() and "\n" not in cue.text
        at = 0
        for word in sounding:  # one after the other
            part = subtitles._clean(plain[word.begin : word.stop]).strip()
            at = cue.text.index(part, at) + len(part)
    for one, other in itertools.pairwise(found):
        assert one.end <= other.start
    if found:
        assert 0 <= found[0].start < found[0].end and found[-1].end <= pieces[-1].start + pieces[-1].duration + 1e-6
    # what was written of the spoken sentences, once each
    written = "".join(subtitles._clean(p.utterance.source) for p in pieces)
    assert re.sub(r"\s", "", "".join(cue.text for cue in found)) == re.sub(r"\s", "", written)


@given(st.text(st.sampled_from("他在2024年走过3.5的路看Hello，。、“”（）😀\n "), max_size=150))
def test_another_parser_reads_the_same(text):
    pieces = said(text)
    shown = [cue.text for cue in subtitles.cues(pieces)]
    for format in ("srt", "vtt"):
        read = pysubs2.SSAFile.from_string(subtitles.FORMATS[format](pieces), format_=format)
        assert [line.plaintext for line in read] == shown
        assert [line.start for line in read] == [round(cue.start * 1000) for cue in subtitles.cues(pieces)]
        assert [line.end for line in read] == [round(cue.end * 1000) for cue in subtitles.cues(pieces)]


def test_a_stopped_speech_has_the_cues_that_are_heard():
    pieces = said("你好，世界。再见。谢谢。")
    half = replace(pieces[1], samples=pieces[1].samples[:30])  # 0.3 s: 再 sounds from 0.1 to 0.26, 见 to 0.42
    found = subtitles.cues([pieces[0], half])
    assert [cue.text for cue in found] == ["你好，世界。", "再见。"]
    assert found[1].end == half.start + half.duration


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    make_tiny_voice(folder / "tiny")
    return [f"voices=[{folder}]", "webui.device=cpu"]


def test_the_engine_s_pieces(voices):
    pieces = list(
        Engine(load_settings(overrides=voices, environment={})).speak([SpeechRequest("你好，世界。再见，3.5元。")])
    )
    found = subtitles.cues(pieces)
    assert [cue.text for cue in found] == ["你好，世界。", "再见，3.5元。"]
    rate = pieces[0].sampling_rate
    samples = audio.joined(pieces)
    for cue in found:
        assert np.abs(samples[round(cue.start * rate) : round(cue.end * rate)]).max() > 0.01
    assert found[-1].end <= len(samples) / rate


def test_the_command_line_writes_them_beside_the_sound(voices, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    files = [str(tmp_path / f"a.{format}") for format in subtitles.FORMATS]
    flags = [flag for setting in voices for flag in ("--set", setting)]
    wanted = [flag for file in files for flag in ("--subtitles", file)]
    assert main(["你好，世界。", "-q", "-o", str(tmp_path / "a.wav"), *wanted, *flags]) == 0
    assert [pysubs2.load(file)[0].plaintext for file in files[:2]] == ["你好，世界。"] * 2
    assert "]你好，世界。" in (tmp_path / "a.lrc").read_text("utf-8")
    assert main(["你好。", "-q", "-o", str(tmp_path / "b.wav"), "--subtitles", "b.txt", *flags]) == 2
    assert "must be one of srt, vtt, lrc" in capsys.readouterr().err and not (tmp_path / "b.wav").exists()
    with pytest.raises(BadRequest):
        subtitles.write(tmp_path / "a.ass", [])
