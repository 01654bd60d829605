"""documents/batch.py: files in, items, files out; what is there stays, what fails is told, nothing is half written."""

import io
import json
import time
import zipfile
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from infer.cli import say
from infer.cli.batch import main
from infer.documents import audio, batch, subtitles
from infer.documents.batch import Batch, Entry, Result, decode, fitted, read_entries
from infer.engine.pipeline import Engine
from infer.engine.turns import Line
from infer.request import BadRequest, SpeechRequest, Timed
from infer.settings import load_settings
from page.files import Files
from page.sample import Samples
from page.studio import Studio
from tests.test_subtitles import said
from tests.test_text_properties import ANY
from tests.test_turns import hear, samples_of, saying
from tests.voices import make_tiny_voice, speak

SRT = "1\n00:00:01,000 --> 00:00:02,500\n<i>你好，</i>\n世界。\n\n2\n00:00:04,000 --> 00:00:06,000\n再见。\n"


@pytest.fixture(scope="module")
def overrides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    make_tiny_voice(folder / "tiny")
    return [f"voices=[{folder}]", "webui.device=cpu"]


@pytest.fixture(scope="module")
def engine(overrides):
    return Engine(load_settings(overrides=overrides, environment={}))


@pytest.fixture
def call(overrides):
    def run_command(*arguments, command=main):
        return command([*map(str, arguments), *(f for o in overrides for f in ("--set", o))])

    return run_command


@pytest.fixture
def file(tmp_path):
    """Writes a file to read from."""

    def write(content, name="in.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def run(engine, entries, *where, **how):
    """What becomes of the entries."""
    return (step for step in Batch(engine, *where, **how).steps(entries) if isinstance(step, Result))


# --- reading ---------------------------------------------------------------------------------------------------------


def test_lines_and_paragraphs(file):
    source = file("\ufeff一。\r\n\r\n  二。  \r\n三。\r\n \r\n\r\n四。")
    assert [(i.number, i.text) for i in read_entries(source)] == [(1, "一。"), (2, "二。"), (3, "三。"), (4, "四。")]
    assert [i.text for i in read_entries(source, paragraphs=True)] == ["一。", "二。\n三。", "四。"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table(file, delimiter):
    rows = [["text", "Speaker", "speed", "name", "seed"], ["你好", "乙", "1.5", "开场", "7"], ["再见", "", "", "", ""]]
    source = file("\r\n".join(delimiter.join(row) for row in [*rows, [""] * 5]), "in.csv")
    first, second = read_entries(source)
    base = SpeechRequest("", speed=0.9)
    assert first.request(base) == SpeechRequest("你好", speaker="乙", speed=1.5, seed=7) and first.name == "开场"
    assert second.request(base) == SpeechRequest("再见", speed=0.9)


def test_what_is_wrong_with_a_row_is_its_own_fault(file):
    source = file('text,speed\n你好,fast\n你好，9\n你好,9\n一,1,二\n"有,逗号",1', "in.csv")
    messages = []
    for item in read_entries(source):
        try:
            item.request(SpeechRequest(""))
            messages.append("")
        except BadRequest as error:
            assert "\n" not in str(error) and error.message.say("zh") != str(error)
            messages.append(str(error))
    assert ["must be a number, not 'fast'" in messages[0], messages[1], messages[4]] == [True, "", ""]
    assert "from 0.5 to 2" in messages[2] and "3 cells and there are 2 columns" in messages[3]


def test_subtitles_are_read_in_order_of_time(file):
    first, second = read_entries(file(SRT, "in.srt"))
    assert (first.text, first.slot) == ("你好， 世界。", (1.0, 2.5)) and (second.text, second.slot) == (
        "再见。",
        (4.0, 6.0),
    )
    vtt = "WEBVTT\n\n00:00:04.000 --> 00:00:06.000\n后\n\n00:01.000 --> 00:02.000\n先\n"
    assert [i.text for i in read_entries(file(vtt, "in.vtt"))] == ["先", "后"]
    loose = "1\n0:0:1.5 --> 0:0:2\n{\\an8}3 < 5\n2\n00:00:03,000  -->  00:00:04,000 X1:5\n2024\n\n3\n"
    loose += "\n4\n00:00:05 --> 00:00:06\n\n空"
    assert [(i.text, i.slot) for i in read_entries(file(loose, "in.srt"))] == [
        ("3 < 5", (1.5, 2.0)),
        ("2024", (3.0, 4.0)),
    ]
    marked = "WEBVTT\n\nNOTE 注\n\n1\n00:01.000 --> 00:02.000 align:left\n<v 甲>a<00:00:01.500> &lt; b</v>\n"
    assert [i.text for i in read_entries(file(marked, "in.vtt"))] == ["a < b"]
    (item,) = read_entries(file("1\n00:00:04,000 --> 00:00:03,000\n反\n", "in.srt"))
    with pytest.raises(BadRequest, match="ends before it begins"):
        item.request(SpeechRequest(""))


@pytest.mark.parametrize("part", ["{", "<b ", "<font ", "<", "\n", "1", "00:00:01,000 --> ", " "])
def test_no_subtitles_take_long(file, part):
    began = time.thread_time()
    read_entries(file("1\n00:00:01,000 --> 00:00:02,000\n好" + part * 200_000 + "\n好", "in.srt"))
    assert time.thread_time() - began < 5


def test_numbers_of_characters_that_nobody_has_stay_as_they_are(file):
    written = f"WEBVTT\n\n00:01.000 --> 00:02.000\n&#{'1' * 5000}; &#22909; &amp;\n"
    (item,) = read_entries(file(written, "in.vtt"))
    assert item.text == f"&#{'1' * 5000}; 好 &"


def test_items_know_their_line(file):
    assert [i.line for i in read_entries(file("一\r\n\r\n二\n"))] == [1, 3]
    assert [i.line for i in read_entries(file("\n一\n二\n \n三"), paragraphs=True)] == [2, 5]
    assert [i.line for i in read_entries(file('\r\n\r\ntext\r\n"一\r\n一"\r\n\r\n二\r\n', "in.csv"))] == [4, 7]
    assert [i.line for i in read_entries(file(SRT, "in.srt"))] == [2, 7]


@given(st.text(st.sampled_from("他在2024年走过3.5的路看Hello，。、“”（）😀\n "), max_size=150))
def test_our_own_subtitles_are_read_back(text):
    for write in (subtitles.srt, subtitles.vtt):
        cues = subtitles.cues(said(text))
        read = batch._subtitles(write(said(text)))
        assert [item.text for item in read] == [cue.text for cue in cues]
        assert [item.slot for item in read] == [(round(cue.start, 3), round(cue.end, 3)) for cue in cues]


def test_encodings(file):
    (item,) = read_entries(file("你好，世界。".encode("gb18030")))
    assert item.text == "你好，世界。" and "read as GB18030" in str(item.notices[0])
    for data in ("你好".encode(), "你好".encode("utf-8-sig"), "你好".encode("utf-16")):
        assert decode(data) == ("你好", ())
    for data in (b"\x00\x01\x02", b"\xff\xff\xff\xff"):
        with pytest.raises(BadRequest, match="no text"):
            decode(data)


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("", "in.txt", "nothing to say in in.txt"),
        ("\n \n", "in.txt", "nothing to say"),
        ("你好", "in.docx", "the ending must be one of txt, csv, srt, vtt"),
        ("你好", "in.srt", "nothing to say"),
        ("name,speed\n你好,1", "in.csv", "one of them must be text"),
        ("", "in.csv", "must be text"),
        ("text,sped\n你好,1", "in.csv", "'sped' is no option"),
        ("text,text\n你好,1", "in.csv", "'text' is no option, or there twice"),
        ("text,emotion_audio\n你好,/etc/passwd", "in.csv", "'emotion_audio' is no option"),
        ("好\n" * 10_001, "in.txt", "more than 10000 items"),
        ("text\n" + "好\n\n" * 10_001, "in.csv", "more than 10000 items"),
        ("好\n\n" * 10_001, "in.srt", "nothing to say"),
        ("text\n" + "a\n" * 500_000, "in.csv", "more than 500000 lines"),
        ("\v" * 500_001, "in.txt", "more than 500000 lines"),
        ("x" * 9_000_000 + "\n", "in.csv", "cannot be read|must be text"),
        (b"x" * 10_000_001, "in.txt", "more than 10 MB"),
    ],
)
def test_a_file_at_fault_is_one_sentence(file, content, name, message):
    with pytest.raises(BadRequest, match=message) as caught:
        read_entries(file(content, name))
    assert "\n" not in str(caught.value) and caught.value.message.say("zh") != str(caught.value)


@pytest.mark.parametrize(
    ("item", "name"),
    [
        (Entry(1, "你好，世界！"), "001-你好_世界.wav"),
        (Entry(2, "../../etc/passwd"), "002-etc_passwd.wav"),
        (Entry(3, "x", name="CON"), "003-CON.wav"),
        (Entry(4, "😀"), "004.wav"),
        (Entry(5, "银行[yin2 hang2]的行长"), "005-银行的行长.wav"),
        (Entry(6, "好" * 5000), f"006-{'好' * 24}.wav"),
    ],
)
def test_names_of_files(item, name):
    assert item.file(10, "wav") == name


@given(ANY, st.integers(1, 10_000))
def test_no_text_makes_a_dangerous_name(text, number):
    name = Entry(number, text).file(10_000, "wav")
    assert len(name.encode()) < 150 and name.startswith(f"{number:05}")
    assert not set(name) & set('/\\:*?"<>|\0\r\n') and not name.removesuffix(".wav").endswith((".", " "))


# --- speaking --------------------------------------------------------------------------------------------------------


def test_a_folder_goes_on_where_it_was(engine, tmp_path):
    wanted = [
        Entry(1, "你好。"),
        Entry(2, "你好。", options={"speaker": "丁"}),
        Entry(3, "再见。", options={"seed": "5"}),
    ]
    base = SpeechRequest("", speaker="乙")
    results = list(run(engine, wanted, tmp_path / "out", base))
    assert [r.status for r in results] == ["made", "failed", "made"] and "no speaker '丁'" in str(results[1].error)
    samples, rate = speak(engine, base.but(text="再见。", seed=5))
    kept = (tmp_path / "out" / "003-再见.wav").read_bytes()
    assert kept == audio.encode(samples, rate, "wav", engine.load().complete(base.but(text="再见。", seed=5)))
    assert results[2].seconds == len(samples) / rate
    lines = [json.loads(line) for line in (tmp_path / "out" / "report.jsonl").read_text("utf-8").splitlines()]
    assert lines[0] | {"seconds": 0} == {
        "number": 1, "text": "你好。", "status": "made", "file": "001-你好.wav",
        "seconds": 0, "speed": 1.0, "start": 0.0, "notices": [],
    }  # fmt: skip
    assert "丁" in lines[1]["zh"] and lines[3]["made"] == 2 and lines[3]["failed"] == 1

    wanted[1] = Entry(2, "你好。")
    assert [r.status for r in run(engine, wanted, tmp_path / "out", base)] == ["skipped", "made", "skipped"]
    assert [r.status for r in run(engine, wanted, tmp_path / "out", base.but(pause=1.0))] == ["made"] * 3
    (tmp_path / "out" / "001-你好.wav").write_bytes(b"torn")
    wanted[2] = Entry(3, "再见。", options={"seed": "6"})
    again = list(run(engine, wanted, tmp_path / "out", base.but(pause=1.0)))
    assert [r.status for r in again] == ["made", "skipped", "made"]
    assert [r.status for r in run(engine, wanted[:1], tmp_path / "out", base.but(pause=1.0), again=True)] == ["made"]


def test_a_recipe_is_read_however_long_the_text():
    for text in ("好" * 5000, "好"):
        request = SpeechRequest(text)
        assert audio.recipe(io.BytesIO(audio.encode(np.zeros(99, np.float32), 22050, "wav", request))) == request


def test_a_zip_goes_on_too(engine, tmp_path):
    out = tmp_path / "out.zip"
    wanted = [Entry(1, "你好。"), Entry(2, "再见。")]
    assert [r.status for r in run(engine, wanted, out, format="ogg")] == ["made", "made"]
    assert sorted(zipfile.ZipFile(out).namelist()) == ["001-你好.ogg", "002-再见.ogg", "report.jsonl"]
    assert [r.status for r in run(engine, [*wanted, Entry(3, "😀")], out, format="ogg")] == [
        "skipped",
        "skipped",
        "failed",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["out.zip"]
    out.write_bytes(b"no zip")
    with pytest.raises(BadRequest, match="no zip file"):
        next(run(engine, wanted, out))
    assert out.read_bytes() == b"no zip"


@pytest.mark.parametrize("damaged", [False, True])
def test_what_is_packed_in_an_earlier_zip_is_made_anew(engine, tmp_path, damaged):
    """It could unpack to any number of bytes; we pack nothing."""
    out = tmp_path / "out.zip"
    list(run(engine, [Entry(1, "你好")], tmp_path))
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "001-你好.wav", "001-你好.wav")
    if damaged:
        content = bytearray(out.read_bytes())
        content[30 + len("001-你好.wav".encode())] ^= 0xFF
        out.write_bytes(content)
    assert [result.status for result in run(engine, [Entry(1, "你好")], out)] == ["made"]
    with zipfile.ZipFile(out) as archive:
        assert archive.read("001-你好.wav")[:4] == b"RIFF" and not archive.testzip()


def test_joined_with_pauses(engine, tmp_path):
    out = tmp_path / "out.flac"
    results = list(run(engine, [Entry(1, "你好。"), Entry(2, "再见。")], out, SpeechRequest("", paragraph_pause=0.5)))
    samples, rate = soundfile.read(out, dtype="int16")
    one, other = (audio.to_pcm16(speak(engine, SpeechRequest(text))[0]) for text in ("你好。", "再见。"))
    assert np.array_equal(samples, np.concatenate([one, np.zeros(round(0.5 * rate), np.int16), other]))
    assert [r.start for r in results] == [0.0, len(one) / rate + 0.5]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.flac", "out.report.jsonl"]


def test_subtitles_lie_at_their_times_and_fit(engine, tmp_path):
    seconds = {text: len(speak(engine, SpeechRequest(text))[0]) / 22050 for text in ("今天天气很好。", "再见。")}
    long, short = seconds["今天天气很好。"], seconds["再见。"]
    slots = [(0.5, 0.5 + 0.7 * long), (3.0, 3.0 + 0.1 * long), (3.2, 9.0), (20.0, 20.0 + 2 * short)]
    texts = ["今天天气很好。", "今天天气很好。", "再见。", "再见。"]
    wanted = [Entry(i, text, slot=slot) for i, (text, slot) in enumerate(zip(texts, slots, strict=True), 1)]
    results = list(run(engine, wanted, tmp_path / "out", SpeechRequest("")))
    fits, over, free, calm = results
    assert 1 < fits.speed < 2 and 0.6 * long < fits.seconds <= 0.7 * long and not fits.notices
    assert over.speed == 2 and "at speed 2 and has" in str(over.notices[0])
    assert free.speed == calm.speed == 1 and calm.seconds == short
    assert [r.status for r in run(engine, wanted, tmp_path / "out")] == ["skipped"] * 4
    wider = [Entry(1, "今天天气很好。", slot=(0.5, 9.0)), *wanted[1:]]
    assert [r.status for r in run(engine, wider, tmp_path / "out")] == ["made", *["skipped"] * 3]

    out = tmp_path / "out.wav"
    results = list(run(engine, wanted, out))
    assert [r.start for r in results] == [0.5, 3.0, 3.0 + results[1].seconds, 20.0]
    assert "late" in str(results[2].notices[0])
    samples, rate = soundfile.read(out)
    assert not samples[: round(0.5 * rate)].any() and not samples[round(15 * rate) : round(20 * rate)].any()
    assert np.abs(samples[round(20 * rate) :]).max() > 0.01 and len(samples) / rate == pytest.approx(
        20 + short, abs=1e-3
    )
    (late,) = run(engine, [Entry(1, "你好。", slot=(1e6, 1e6 + 1))], tmp_path / "b.wav")
    assert "4 hours" in str(late.error) and not (tmp_path / "b.wav").exists()


def test_the_speed_that_fits_leaves_pauses_alone(tmp_path):
    (plain,) = said("好")

    def stream(request):
        tried.append(request.speed)
        frames = np.ceil(4 / request.speed) / 4  # coarse, as durations are
        phones = Timed("h", 0, frames * 1.5), Timed("ao", 1, frames * 3)
        yield replace(plain, samples=np.zeros(round(frames * 300)), pause=0.5, request=request, phones=phones)

    def fit(request, slot):
        tried.clear()
        trying = fitted(stream, request, slot, tmp_path / "out.wav", lambda: False)
        assert [piece.request.speed for piece in trying] == tried and not list(tmp_path.glob(".*"))
        info = soundfile.info(tmp_path / "out.wav")
        return tried[-1], info.frames / 100

    tried = []
    assert fit(SpeechRequest("好"), None) == (1, 3.5)
    speed, seconds = fit(SpeechRequest("好"), 2.9)
    assert seconds <= 2.9 and tried == sorted(set(tried)) and speed < 2
    assert fit(SpeechRequest("好"), 0.4)[0] == 2
    assert fit(SpeechRequest("好", speed=0.5), 100.0)[0] == 0.5


def test_other_rates_are_brought_to_the_first(tmp_path):
    for name, rate in (("a.wav", 22050), ("b.wav", 44100)):
        (tmp_path / name).write_bytes(audio.encode(np.full(rate, 0.25, np.float32), rate))
    results = [Result(Entry(i, "好"), "made", name, 1.0, 1.0, i) for i, name in enumerate(("a.wav", "b.wav"))]
    for name, rate in (("out.mp3", 22050), ("out.opus", 24000)):
        joining = Batch(None, tmp_path / name)
        (tmp_path / f"{name}.parts").symlink_to(tmp_path)
        list(joining._join(results))
        info = soundfile.info(tmp_path / name)
        assert info.samplerate == rate and info.duration == pytest.approx(2, abs=0.1)


def test_a_cancelled_run_keeps_what_is_done(engine, tmp_path):
    made = []
    for result in run(engine, [Entry(1, "你好。"), Entry(2, "再见。")], tmp_path / "out", cancelled=lambda: bool(made)):
        made.append(result.file)
    assert made == ["001-你好.wav"] and not (tmp_path / "out" / "002-再见.wav").exists()
    running = run(engine, [Entry(1, "早。"), Entry(2, "晚。")], tmp_path / "b.zip")
    next(running)
    running.close()
    assert (tmp_path / "b.zip.parts" / "001-早.wav").exists() and not (tmp_path / "b.zip").exists()
    assert [r.status for r in run(engine, [Entry(1, "早。"), Entry(2, "晚。")], tmp_path / "b.zip")] == [
        "skipped",
        "made",
    ]


def test_every_face_makes_the_same_samples(engine, call, tmp_path, monkeypatch):
    """The command line, a batch and the page, which says a card."""
    text, options = "你好，世界。再见！\n完了。", {"seed": 7, "pause": 0.3, "speaker": "乙"}
    flags = [str(flag) for name, value in options.items() for flag in (f"--{name}", value)]
    assert call(text, "-q", "-o", tmp_path / "say.wav", *flags, command=say.main) == 0
    (result,) = run(engine, [Entry(1, text)], tmp_path / "batch", SpeechRequest("", **options))
    assert (tmp_path / "batch" / result.file).read_bytes() == (tmp_path / "say.wav").read_bytes()
    monkeypatch.setattr(engine, "line", Line(workers=0))
    with closing(Files()) as files:
        studio = Studio(engine, files, Samples())
        parts, _ = hear(studio, studio.speak(saying(text, **options))["run"])
    samples, _ = soundfile.read(tmp_path / "say.wav", dtype="int16")
    assert np.array_equal(samples_of(parts), samples)


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_reports_and_goes_on(call, file, tmp_path, capsys):
    source = file("text,speaker\n你好。,乙\n你好。,丁\n", "in.csv")
    assert call(source, "-o", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "002: The voice 'tiny' has no speaker '丁'" in error and "1 made, 0 skipped, 1 failed" in error
    assert "1 of 2 items failed, the first is 002" in error and "Traceback" not in error
    source.write_text("text,speaker\n你好。,乙\n你好。,甲\n", "utf-8")
    assert call(source, "-o", tmp_path / "out") == 0
    assert "1 made, 1 skipped, 0 failed" in capsys.readouterr().err
    assert call(source, "--join", tmp_path / "all.mp3", "-q", "--speed", "1.5") == 0
    assert capsys.readouterr().err == "" and soundfile.info(tmp_path / "all.mp3").duration > 0.5


def test_ctrl_c_leaves_whole_files(call, file, tmp_path, monkeypatch):
    speak, calls = audio.Writer.speak, []

    def interrupted(file, piece):
        calls.append(piece.final)
        if calls.count(True) == 2:
            raise KeyboardInterrupt
        speak(file, piece)

    monkeypatch.setattr(audio.Writer, "speak", interrupted)
    assert call(file("一二。\n三四。\n五六。"), "-o", tmp_path / "out", "-q") == 130
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["001-一二.wav", "report.jsonl"]
    assert json.loads((tmp_path / "out" / "report.jsonl").read_text("utf-8").splitlines()[-1])["made"] == 1
    assert audio.recipe(tmp_path / "out" / "001-一二.wav").text == "一二。"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "out.wav"], "--join wants a file"),
        (["--join", "out.zip"], "--join wants a file"),
        (["-o", "in.txt"], "is a file"),
        (["-o", "out", "--speed", "9"], "from 0.5 to 2"),
        (["-o", "out", "--seed", "abc"], "argument --seed: it must be a whole number, not 'abc'"),
        (["-o", "out", "--format", "exe"], "invalid choice: 'exe'"),
        ([], "one of the arguments -o/--output --join is required"),
        (["-o", "out", "--join", "a.wav"], "not allowed with"),
        (["--join", "in.txt/a.wav"], "in.txt is no folder"),
        (["-o", "out", "--emotion-audio", "none.wav"], "none.wav cannot be read"),
    ],
)
def test_a_mistake_is_one_sentence(call, file, tmp_path, monkeypatch, capsys, arguments, message):
    source = file("你好。")
    monkeypatch.chdir(tmp_path)
    assert call(source.name, "-q", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in.txt"]
