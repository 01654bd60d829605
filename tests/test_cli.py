"""python -m infer: what a script can rely on."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from infer import audio, clips
from infer.__main__ import main
from infer.pipeline import Engine, speak
from infer.request import BadRequest, SpeechRequest
from infer.settings import load_settings
from tests.voices import make_tiny_voice


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    make_tiny_voice(folder / "tiny")
    return folder


@pytest.fixture
def run(voices, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("从管道来。".encode())))

    def call(*arguments):
        return main([*arguments, "--set", f"voices=[{voices}]", "--set", "webui.device=cpu"])

    return call


def test_the_file_holds_the_engine_s_samples(run, voices, tmp_path, capsys):
    out = tmp_path / "a.wav"
    assert (
        run("你好，世界。", "-o", str(out), "--speaker", "乙", "--emotion", "开心", "--seed", "7", "--speed", "1.2")
        == 0
    )
    request = SpeechRequest("你好，世界。", speaker="乙", emotion="开心", seed=7, speed=1.2)
    engine = Engine(load_settings(overrides=[f"voices=[{voices}]", "webui.device=cpu"], environment={}))
    samples, rate = speak(engine, request)
    request = engine.load().complete(request)  # the recipe names the voice, too
    assert out.read_bytes() == audio.encode(samples, rate, "wav", request)
    captured = capsys.readouterr()
    assert captured.out == "" and "tiny: small on CPU" in captured.err and "RTF" in captured.err


@pytest.mark.parametrize("format", ["flac", "mp3", "ogg", "opus"])
def test_other_formats_by_the_ending(run, tmp_path, format):
    out = tmp_path / f"a.{format}"
    assert run("你好。", "-q", "-o", str(out)) == 0
    assert format.upper() in (soundfile.info(out).format, soundfile.info(out).subtype)  # opus: in Ogg


def test_text_from_a_file_and_from_a_pipe(run, tmp_path):
    (tmp_path / "text.txt").write_text("\ufeff文件里的话。", encoding="utf-8")
    for name, arguments in {"file": ["-f", str(tmp_path / "text.txt")], "pipe": ["-"]}.items():
        assert run(*arguments, "-q", "-o", str(tmp_path / f"{name}.wav")) == 0
    recipes = {name: audio.recipe(tmp_path / f"{name}.wav").text for name in ("file", "pipe")}
    assert recipes == {"file": "文件里的话。", "pipe": "从管道来。"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["你好", "--speaker", "丁"], 2, "no speaker '丁'"),
        (["你好", "--speed", "9"], 2, "speed must be a number from 0.5 to 2"),
        (["你好", "--set", "webui.prot=1"], 2, "did you mean 'webui.port'"),
        (["你好", "-f", "x.txt"], 2, "not both"),
        (["-f", "no-such-file.txt"], 2, "cannot be read"),
        (["你好", "-o", "out.exe"], 2, "must be one of wav, flac, mp3, ogg, opus"),
        (["你好", "-o", "no/such/folder/out.wav"], 1, "no/such/folder"),
        (["你好", "--config", "no.yml"], 2, "does not exist"),
    ],
)
def test_a_mistake_is_one_sentence_and_an_exit_code(run, tmp_path, monkeypatch, capsys, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments, "-q") == code
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error and len(error.strip().splitlines()) == 1
    assert not list(tmp_path.glob("out*"))


def test_what_goes_without_saying_gives_the_same_file(run, tmp_path):
    a, b = tmp_path / "a.wav", tmp_path / "b.wav"
    assert run("你好。", "-q", "-o", str(a)) == 0
    assert run("你好。", "-q", "-o", str(b), "--voice", "tiny", "--speaker", "甲", "--emotion", "neutral") == 0
    assert a.read_bytes() == b.read_bytes()


def test_the_list_names_speakers_and_emotions(run, capsys):
    assert run("--list") == 0
    assert capsys.readouterr().out.strip() == "tiny\tspeakers: 甲, 乙\temotions: neutral, happy, sad, angry"


def test_a_progress_bar_counts_sentences(run, tmp_path, capsys):
    assert run("你好。再见。", "-o", str(tmp_path / "a.wav")) == 0
    assert "2/2" in capsys.readouterr().err


def test_silence_never_stands_for_speech(run, tmp_path):
    out = tmp_path / "a.wav"
    assert run("你好。", "-q", "-o", str(out)) == 0
    samples, _ = soundfile.read(out)
    assert np.abs(samples).max() > 0.01


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no file without an end")
def test_a_sample_of_the_emotion_is_read_to_its_bound(run, tmp_path, monkeypatch):
    asked = []

    def stream(_, request):
        asked.append(request)
        raise BadRequest("Enough.")

    monkeypatch.setattr(Engine, "stream", stream)
    assert run("你好。", "-q", "-o", str(tmp_path / "a.wav"), "--emotion-audio", "/dev/zero") == 2
    assert len(asked[0].emotion_audio) == clips.LARGEST
