"""Sound files of strangers: which are read, and what the others cost, which is next to nothing."""

import base64
import io
import shutil
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from infer.documents import audio, clips, decoder
from infer.documents.clips import read_clip
from infer.request import BadRequest, SpeechRequest
from tests import hostile_sounds as hostile

SINE = (0.5 * np.sin(np.arange(24_000) / 20)).astype(np.float32)  # a second and a half
OTHERS = "W64 RF64 CAF AIFF VOC PAF SVX SDS MAT4 MAT5 NIST IRCAM AVR HTK PVF".split()
limited = pytest.mark.skipif(sys.platform != "linux", reason="this system limits no process")


def refused(data: bytes, words: str) -> None:
    with pytest.raises(BadRequest, match=words) as caught:
        read_clip(data)
    assert caught.value.message.say("zh").startswith("读不了情感样本：") and "BytesIO" not in str(caught.value)


def shut_out(monkeypatch) -> None:
    """From now on whatever asks libsndfile, here or in a decoder of its own, fails the test."""
    monkeypatch.setattr(soundfile, "SoundFile", None)
    monkeypatch.setattr(clips, "shut_in", None)


# --- what is not read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", OTHERS)
def test_no_other_format_reaches_a_decoder(format, monkeypatch):
    data = hostile.written(SINE, 16_000, format, "PCM_16" if format in ("SVX", "SDS") else None)
    shut_out(monkeypatch)
    refused(data, "of no format that is known here")
    refused(hostile.hidden(data), "of no format that is known here")
    with pytest.raises(ValueError, match="no wav, flac, mp3, ogg or opus"):
        audio.metadata(io.BytesIO(data))
    assert audio.recipe(io.BytesIO(hostile.hidden(data))) is None


@pytest.mark.parametrize("encoding", [23, 24, 25, 26, 27])
def test_a_kilobyte_is_not_endless_sound(encoding, monkeypatch):
    """G.721 and G.723 in au: a gigabyte a second until the server was killed."""
    shut_out(monkeypatch)
    refused(hostile.au(encoding), "of no format that is known here")


@pytest.mark.parametrize("data", [hostile.gsm_wav(), hostile.adpcm_wav(2), hostile.adpcm_wav(17)])
def test_a_wav_holds_plain_samples(data, monkeypatch):
    shut_out(monkeypatch)
    refused(data, "only plain samples")


@pytest.mark.parametrize(
    ("data", "channels", "rate"),
    [
        (hostile.wav(1, 16, rate=hostile.LARGEST_RATE), 1, hostile.LARGEST_RATE),
        (hostile.wav(1, 16, rate=7_999), 1, 7_999),
        (hostile.wav(1, 16, rate=0), 1, 0),
        (hostile.wav(1, 16, channels=1024, rate=48_000), 1024, 48_000),
        (hostile.wav(1, 16, channels=0), 0, 8_000),
        (hostile.written(np.zeros((99, 9)), 48_000, "OGG", "OPUS"), 9, 48_000),
        (hostile.wide_flac(seconds=1), 8, 655_350),
        (hostile.written(SINE, 7_000, "OGG", "VORBIS"), 1, 7_000),
    ],
)
def test_rates_and_channels_are_bounded(data, channels, rate):
    refused(data, f"it is of {rate} Hz in {channels} channels; 8000 to 192000 Hz in 1 to 8 are read")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"RIFF    WAVE",
        hostile.wav(1, 16)[:36],
        hostile.wav(1, 16)[:30],
        b"RIFF    WAVEdata\4\0\0\0\1\1\1\1",
        b"RIFF    WAVE" + bytes(8 * 200) + hostile.wav(1, 16)[12:],
    ],
)
def test_a_damaged_wav_is_one_sentence(data):
    refused(data, "wav header is damaged|no format that is known")


@pytest.mark.parametrize("subtype", ["PCM_24", "FLOAT", "DOUBLE"])
def test_a_damaged_wav_is_read_or_refused(subtype):
    data, random, read = hostile.written(SINE[:99], 24_000, "WAVEX", subtype), np.random.default_rng(0), 0
    for _ in range(500):
        damaged = bytearray(data)
        for at in random.integers(4, len(data), 3):
            damaged[at] = random.integers(256)
        try:
            mono, rate = read_clip(bytes(damaged))
        except BadRequest:
            continue
        read += 1
        assert mono.dtype == np.float32 and 8_000 <= rate <= 192_000
    assert 0 < read < 500


@pytest.mark.parametrize("magic", [b"fLaC", b"OggS", b"\xff\xfb\x90\x64", b"ID3\3\0\0\0\0\0\0\xff\xfb\x90\x64"])
def test_what_is_damaged_is_one_sentence(magic):
    refused(magic + np.random.default_rng(0).bytes(9_999), "it is damaged, or takes more than")


def test_tags_without_end_are_passed_by_once():
    refused((b"ID3\3" + bytes(6)) * 500_000, "of no format that is known here")
    refused(b"ID3\3" + bytes(5_000_000), "of no format that is known here")


# --- what is ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW"])
@pytest.mark.parametrize("format", ["WAV", "WAVEX"])
def test_a_wav_is_read_as_libsndfile_reads_it(format, subtype):
    stereo = np.stack([SINE, 0.2 * SINE], axis=1)
    data = hostile.written(stereo, 16_000, format, subtype)
    expected, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    mono, rate = read_clip(data)
    assert rate == 16_000 and np.array_equal(mono, expected.mean(axis=1))


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_wav_of_a_recorder_that_was_cut_off_is_read(size):
    data = hostile.wav(1, 16, data=(SINE * 9999).astype("<i2").tobytes())
    odd = data[:12] + b"LIST\3\0\0\0abc\0" + data[12:].replace(b"data", b"data" + size.to_bytes(4, "little"), 1)
    odd = odd.replace(size.to_bytes(4, "little") + (48_000).to_bytes(4, "little"), size.to_bytes(4, "little"), 1)
    mono, rate = read_clip(odd)
    assert rate == 8_000 and len(mono) == len(SINE)


@pytest.mark.parametrize(
    ("format", "subtype"), [("FLAC", None), ("MP3", None), ("OGG", "VORBIS"), ("OGG", "OPUS")], ids=str
)
def test_a_decoder_has_a_process_of_its_own(format, subtype, monkeypatch):
    data = hostile.written(np.stack([SINE, SINE], axis=1), 24_000, format, subtype)
    monkeypatch.setattr(soundfile, "SoundFile", None)  # here: in its own process it has another
    mono, rate = read_clip(data)
    assert rate == 24_000 and abs(len(mono) - len(SINE)) < 3_000 and mono.dtype == np.float32
    assert np.sqrt(np.mean(mono**2)) == pytest.approx(np.sqrt(np.mean(SINE**2)), rel=0.1)


@pytest.mark.parametrize(("format", "subtype"), [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)])
def test_of_a_file_that_was_cut_off_the_beginning_is_heard(format, subtype):
    """So is a long one on the command line, of which no more than LARGEST bytes are read."""
    whole = hostile.written(np.random.default_rng(0).normal(0, 0.1, 5 * 48_000), 48_000, format, subtype)
    mono, rate = read_clip(whole[: len(whole) // 2])
    assert rate == 48_000 and len(mono) >= decoder.BLOCK
    with pytest.raises(BadRequest, match="it is damaged"):
        read_clip(whole[:100])


def test_a_tag_in_front_and_streams_behind_harm_nobody():
    mp3, ogg = hostile.written(SINE, 24_000, "MP3"), hostile.written(SINE, 24_000, "OGG", "VORBIS")
    assert len(read_clip(hostile.hidden(mp3))[0]) >= len(SINE)
    assert len(read_clip(ogg + hostile.written(SINE, 8_000, "OGG", "VORBIS"))[0]) == len(SINE)
    assert len(read_clip(hostile.lying_mp3())[0]) < 30_000


class Endless:
    """A decoder that gives frames for ever, whatever its header says of their number."""

    samplerate, frames = 8_000, 10

    def __init__(self) -> None:
        self.given = 0

    def read(self, frames: int, **_) -> np.ndarray:
        self.given += frames
        assert self.given <= decoder.SECONDS * self.samplerate
        return np.zeros((frames, 2), np.float32)


def test_frames_are_counted_as_they_come():
    file = Endless()
    assert sum(map(len, decoder.mixed(file))) == file.given == decoder.SECONDS * file.samplerate


# --- a decoder under limits ---------------------------------------------------------------------------------------


@limited
def test_codebooks_of_gigabytes_stop_at_the_limit(monkeypatch):
    """3 kB of Vorbis took 2 GB and 7 s as soon as it was opened: also when it was only dropped on the page."""
    data = hostile.vorbis_bomb()
    assert len(data) < 4_000
    refused(data, "it is damaged, or takes more than")
    code, _ = clips.shut_in([sys.executable, "-c", f"bytearray({clips.MEMORY})"], b"")
    assert code, "which no decoder can have"
    monkeypatch.setattr(soundfile, "SoundFile", None)
    assert audio.metadata(io.BytesIO(data)) == {}


@limited
def test_a_decoder_s_time_ends(monkeypatch):
    monkeypatch.setattr(clips, "CPU", 1)
    code, answer = clips.shut_in([sys.executable, "-c", "while True: pass"], b"")
    assert code and not answer


@pytest.mark.parametrize(
    ("program", "patience", "answer"),
    [
        ("import time; time.sleep(600)", 0.5, 0),  # reads nothing, says nothing
        ("import sys\nwhile True: sys.stdout.buffer.write(bytes(65536))", 60, 1000),
        ("import os; os.abort()", 60, 0),
    ],
    ids=["asleep", "endless", "crash"],
)
def test_a_decoder_s_whims_end_with_it(program, patience, answer, monkeypatch):
    monkeypatch.setattr(clips, "PATIENCE", patience)
    monkeypatch.setattr(clips, "ANSWER", 1000)
    code, got = clips.shut_in([sys.executable, "-c", program], bytes(1 << 20))
    assert code and len(got) == answer
    monkeypatch.undo()
    assert clips.shut_in([sys.executable, "-c", "print(1)"], b"") == (0, b"1\n"), "and its turn is free again"


def test_the_line_before_the_decoders_is_short(monkeypatch):
    """Who waits holds one of the threads that answer the whole page."""
    monkeypatch.setattr(clips, "line", threading.BoundedSemaphore(1))
    with clips.line, pytest.raises(BadRequest, match="Too many sounds are being read just now"):
        clips.shut_in([sys.executable, "-c", "print(1)"], b"")
    assert clips.shut_in([sys.executable, "-c", "print(1)"], b"")[0] == 0


def test_a_decoder_knows_no_password(monkeypatch):
    monkeypatch.setenv("WEBUI_PASSWORD", "secret")
    _, answer = clips.shut_in([sys.executable, "-c", "import os; print(dict(os.environ))"], b"")
    assert b"PATH" in answer and b"secret" not in answer


# --- m4a, and files of the command line ---------------------------------------------------------------------------


def test_an_m4a_needs_ffmpeg_and_never_has_it_on_the_page(tmp_path, monkeypatch):
    data = b"\0\0\0\x20ftypM4A " + bytes(99)
    (tmp_path / "-i.m4a").write_bytes(data)
    refused(data, "an m4a, which a browser can decode")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert clips.read_file(tmp_path / "-i.m4a") == data
    asked = []
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/ffmpeg")
    monkeypatch.setattr(clips, "shut_in", lambda command, given: asked.append((command, given)) or (0, b"RIFF"))
    assert clips.read_file(tmp_path / "-i.m4a") == b"RIFF"
    assert asked[0][1] == data and not any("m4a" in word for word in asked[0][0]), "never a name from outside"
    monkeypatch.setattr(clips, "shut_in", lambda *_: (1, b"cut o"))
    assert clips.read_file(tmp_path / "-i.m4a") == data, "what ffmpeg cannot read is refused with the same sentence"


def test_ffmpeg_reads_an_m4a(ffmpeg, tmp_path):
    """Of half a MB, with its index at the end as telephones leave it."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 48_000 * 15).astype(np.float32)
    encode = "-v error -f f32le -ar 48000 -ac 1 -i pipe:0 -c:a aac -b:a 256k".split()
    code, _ = clips.shut_in([ffmpeg, *encode, str(tmp_path / "a.m4a")], noise.tobytes())
    assert code == 0 and (tmp_path / "a.m4a").stat().st_size > 400_000
    mono, rate = read_clip(clips.read_file(tmp_path / "a.m4a"))
    assert rate == 48_000 and len(mono) / rate == pytest.approx(15, abs=0.1) and 0.4 < np.abs(mono).max() <= 1


def test_a_file_is_read_to_its_bound(tmp_path):
    long = tmp_path / "long.wav"
    long.write_bytes(hostile.written(SINE, 24_000, "WAV"))
    with long.open("r+b") as file:
        file.truncate(13 << 30)  # without a block on the disk
    assert len(clips.read_file(long)) == clips.LARGEST
    zeros = Path("/dev/zero")
    if zeros.exists():
        with pytest.raises(BadRequest, match="of no format that is known here"):
            clips.read_file(zeros)
    refused(b"RIFF" + bytes(clips.LARGEST), "it has more than 20 MB")


# --- what a file says of itself -----------------------------------------------------------------------------------


@pytest.mark.parametrize("format", audio.FORMATS)
def test_a_recipe_is_found_without_a_decoder(format, monkeypatch):
    request = SpeechRequest("你好，世界。" * 2000, seed=9)
    data = audio.encode(np.zeros(999, np.float32), 22_050, format, request)
    shut_out(monkeypatch)
    assert audio.recipe(io.BytesIO(data)) == request


@pytest.mark.parametrize("format", audio.FORMATS)
def test_a_damaged_beginning_is_no_error(format):
    request = SpeechRequest("你好", seed=9)
    data = audio.encode(SINE, 24_000, format, request)[:3000]
    random = np.random.default_rng(0)
    found = 0
    for length in range(12, 600):
        assert audio.recipe(io.BytesIO(data[:length])) in (None, request)
    for _ in range(1000):
        damaged = bytearray(data)
        for at in random.integers(4, 400, 3):
            damaged[at] = random.integers(256)
        found += audio.recipe(io.BytesIO(bytes(damaged))) is not None
    assert 0 < found < 1000


@pytest.mark.parametrize(
    "head",
    [
        b"fLaC" + bytes(2 << 20),
        b"ID3\4" + b"\x7f" * 6 + b"COMM" + bytes(2 << 20),
        b"OggS" + bytes(22) + b"\xff" * (2 << 20),
        (b"OggS" + bytes(22) + b"\1\0") * 70_000,
        b"RIFF    WAVEICMT\xff\xff\xff\xff" + b"[" * (2 << 20),
        hostile.commented(b"[" + b"{}," * 600_000 + b"0]"),
        hostile.commented(b"zlib:" + base64.b64encode(zlib.compress(b'{"text": [' + b"[]," * 1_300_000 + b"0]}"))),
    ],
    ids=["flac", "mp3", "ogg", "pages", "wav", "objects", "lists"],
)
def test_no_beginning_takes_long(head):
    """2 MB of the smallest parts that each format has, and JSON of the smallest values: 5 kB of it were 4 s."""
    assert audio.metadata(io.BytesIO(head)) == {}
