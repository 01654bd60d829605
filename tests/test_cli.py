"""python -m infer: what a script can rely on."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from infer.cli.say import main
from infer.documents import audio
from infer.engine.pipeline import Engine
from infer.request import SpeechRequest
from infer.settings import load_settings
from tests.test_files import PATIENT, python
from tests.voices import make_tiny_voice, speak


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
        (["你好", "-o", "-"], 2, "must be one of wav"),
        (["你好", "-o", "folder"], 2, "must be one of wav"),
        (["你好", "-o", "folder.wav"], 2, "folder.wav is a folder"),
        (["你好", "--subtitles", "folder.srt"], 2, "folder.srt is a folder"),
        (["你好", "--subtitles", "a.exe"], 2, "must be one of srt"),
        (["你好", "-o", "text.txt/out.wav"], 2, "text.txt is no folder"),
        (["你好", "-o", "长" * 200 + ".wav"], 2, "cannot be written (File name too long); name another file"),
        (["你好", "--subtitles", "长" * 200 + "/a.srt"], 2, "cannot be written (File name too long)"),
        (["-f", "text.srt", "--subtitles", "./text.srt"], 2, "is read, too"),
        (["你好", "--emotion-audio", "sound.wav", "-o", "sound.wav"], 2, "is read, too"),
        (["你好", "--emotion-audio", "none.wav"], 2, "none.wav cannot be read"),
        (["你好", "--emotion-audio", "/dev/zero"], 2, "of no format that is known here"),
        (["-f", "folder"], 2, "folder cannot be read"),
        (["-f", "large.txt"], 2, "large.txt has more than 10 MB"),
        (["-f", "/dev/zero"], 2, "zero has more than 10 MB"),
        (["-f", "sound.wav"], 2, "no text"),
        (["--project", "folder"], 2, "folder cannot be read"),
        (["--project", "/dev/zero"], 2, "cannot be read"),
        (["--project", "large.json"], 2, "large.json has more than 10 MB"),
        (["--project", "deep.json"], 2, "deep.json cannot be read"),
        (["--project", "digits.json"], 2, "digits.json cannot be read"),
        (["--project", "text.txt"], 2, "text.txt cannot be read (it is no wav, flac, mp3, ogg or opus file)"),
        (["--project", "none.json"], 2, "none.json cannot be read"),
        (["你好", "--seed", "abc"], 2, "argument --seed: it must be a whole number, not 'abc'"),
        (["你好", "--seed", "1.5"], 2, "it must be a whole number, not '1.5'"),
        (["你好", "--seed", "9" * 5000], 2, "it must be a whole number, not '999"),
        (["你好", "--seed", "100000000000000000000"], 2, "seed must be a whole number from 0 to 4294967295"),
        (["你好", "--speed", "fast"], 2, "argument --speed: it must be a number, not 'fast'"),
        (["你好", "--noise", "nan"], 2, "noise must be a number from 0 to 1.5"),
        (["你好", "--speed", "1e400"], 2, "speed must be a number from 0.5 to 2"),
        (["你好", "--sped", "1"], 2, "unrecognized arguments"),
        (["你好", "--seed"], 2, "expected one argument"),
        (["你好", "再见"], 2, "unrecognized arguments"),
        (["好" * 5001], 2, "5001 characters and the limit is"),
        (["你好", "--config", "no.yml"], 2, "does not exist"),
    ],
)
def test_a_mistake_is_one_sentence_and_an_exit_code(run, tmp_path, monkeypatch, capsys, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    for name in ("folder", "folder.wav", "folder.srt"):
        Path(name).mkdir()
    Path("text.txt").write_text("你好。", "utf-8")
    Path("text.srt").write_text("你好。", "utf-8")
    Path("deep.json").write_text("[" * 100_000)
    Path("digits.json").write_text("9" * 5000)
    for name in ("large.txt", "large.json"):
        with Path(name).open("wb") as file:
            file.truncate(13 << 30)  # without a block on the disk
    Path("sound.wav").write_bytes(audio.encode(np.zeros(9), 22050))
    before = sorted(tmp_path.rglob("*"))
    assert run(*arguments, "-q") == code
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error and len(error.strip().splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before and len(error) < 400


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gbk", "gb18030"])
def test_a_text_of_every_usual_encoding(run, tmp_path, monkeypatch, capsys, encoding):
    (tmp_path / "text.txt").write_bytes("银行行长。".encode(encoding))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("银行行长。".encode(encoding))))
    for name, arguments in {"file": ["-f", str(tmp_path / "text.txt")], "pipe": ["-"]}.items():
        assert run(*arguments, "-o", str(tmp_path / f"{name}.wav")) == 0
        assert audio.recipe(tmp_path / f"{name}.wav").text == "银行行长。"
        assert ("was read as GB18030" in capsys.readouterr().err) == encoding.startswith("gb")


def test_standard_input_without_an_end(run, monkeypatch, capsys):
    class Endless(io.RawIOBase):
        taken = 0

        def readable(self):
            return True

        def readinto(self, buffer):
            Endless.taken += len(buffer)
            buffer[:] = b"y\n" * (len(buffer) // 2) + b"y" * (len(buffer) % 2)
            return len(buffer)

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Endless())))
    assert run("-", "-q") == 2
    assert "Standard input has more than 10 MB" in capsys.readouterr().err and Endless.taken < 20_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="macOS and Windows have no such names")
def test_a_name_may_be_any_bytes(run, tmp_path):
    out = tmp_path / os.fsdecode(b"\xff") / os.fsdecode(b"\xc4\xe3.wav")  # GBK
    assert run("你好。", "-q", "-o", str(out)) == 0
    assert soundfile.info(os.fsencode(out)).frames


def test_the_folder_is_made(run, tmp_path):
    out = tmp_path / "a" / "b"
    assert run("你好。", "-q", "-o", str(out / "a.wav"), "--subtitles", str(out / "c" / "a.srt")) == 0
    assert {path.name for path in out.rglob("*.*")} == {"a.wav", "a.srt"}


FULL = """
import resource, sys
from pathlib import Path
from infer.cli import batch, say
voices, out = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
settings = ["--set", f"voices=[{voices}]", "--set", "webui.device=cpu", "--set", "cache_path=", "-q"]
print(say.main(["你好。", "-o", f"{out}/a.wav", *settings]), flush=True)
for where in (["-o", f"{out}/b"], ["--join", f"{out}/c.wav"]):
    print(batch.main([f"{out}/in.txt", *where, *settings]), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="this system cannot limit the size of files")
def test_a_full_disk_leaves_no_cut_file(voices, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"before")
    (tmp_path / "in.txt").write_text("你好。\n", "utf-8")
    full = python(FULL, voices, tmp_path, stderr=subprocess.PIPE)
    codes, said = full.communicate(timeout=PATIENT)
    assert codes.split() == ["1", "1", "1"]
    lines = said.splitlines()
    assert [line.partition(" cannot be written (File too large); ")[0] for line in lines] == [
        str(tmp_path / name) for name in ("a.wav", "b", "c.wav")
    ]
    assert (tmp_path / "a.wav").read_bytes() == b"before"
    kept = {"a.wav", "in.txt", "b", "b/report.jsonl", "c.report.jsonl", "c.wav.parts"}
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")} == kept


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
