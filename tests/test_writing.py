"""Files that are written as their sound comes: byte for byte what one write of the whole gives, in little memory."""

import hashlib
import io
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import soxr

from infer.documents import audio
from infer.documents.audio import BLOCK, FORMATS, Writer, joined, saving
from infer.request import BadRequest
from tests.test_subtitles import said

RATE = 22050


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, count).astype(np.float32)


@pytest.fixture
def pieces():
    """A speech with pauses: one between two samples, one of more than a block, one at the end."""
    one = said("好")[0]
    sounds = ((1, 0.0), (50_000, 1.0001), (BLOCK + 7, 3.2), (30_000, 0.0), (700, 0.5))
    return [
        replace(one, samples=noise(count, i), sampling_rate=RATE, pause=pause)
        for i, (count, pause) in enumerate(sounds)
    ]


def in_one_write(samples: np.ndarray, format: str) -> bytes:
    """The file as libsndfile makes it of one array, in blocks of one size: pages of ogg depend on them."""
    container, subtype = FORMATS[format]
    rate = audio.file_rate(format, RATE)
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", rate, 1, subtype, format=container) as file:
        pcm = audio.to_pcm16(samples if rate == RATE else soxr.resample(samples, RATE, rate))
        for begin in range(0, len(pcm), BLOCK):
            file.write(pcm[begin : begin + BLOCK])
    return buffer.getvalue()


def without_serials(data: bytes) -> bytes:
    """Ogg pages carry a random number of their stream, and a sum over it."""
    pages = data.split(b"OggS")
    return b"OggS".join(page[:10] + page[14:18] + page[22:] for page in pages)


@pytest.mark.parametrize("format", FORMATS)
def test_pauses_as_numbers_are_written_as_the_silence_they_were(pieces, tmp_path, format):
    zeros = [part for piece in pieces for part in (piece.samples, np.zeros(round(piece.pause * RATE), np.float32))]
    whole = np.concatenate(zeros)
    assert np.array_equal(joined(pieces), whole)
    buffer = io.BytesIO()
    with Writer(buffer, RATE, format) as file:
        for piece in pieces:
            file.speak(piece)
    expected, content = in_one_write(whole, format), buffer.getvalue()
    if format in ("ogg", "opus"):
        expected, content = without_serials(expected), without_serials(content)
    assert content == expected
    told = list(saving(tmp_path / f"a.{format}", pieces))
    assert sum(len(piece.samples) for piece in told) == 0
    assert sum(piece.silence for piece in told) == len(whole)
    assert [path.name for path in tmp_path.iterdir()] == [f"a.{format}"]


@pytest.mark.parametrize("rate", [22050, 44100, 16000])
@pytest.mark.parametrize("size", [1, 777, BLOCK])
def test_a_rate_is_changed_piece_by_piece_as_of_the_whole(rate, size):
    sound = noise(3000 if size == 1 else 150_001)
    files = []
    for step in (size, len(sound)):
        with Writer(buffer := io.BytesIO(), rate, "opus") as file:
            for begin in range(0, len(sound), step):
                file.add(sound[begin : begin + step])
        files.append(without_serials(buffer.getvalue()))
    assert files[0] == files[1]


def test_an_hour_of_silence_needs_no_memory(tmp_path):
    """As float samples it is 317 MB."""
    tracemalloc.start()
    try:
        with Writer(path := tmp_path / "a", RATE) as file:
            file.add(noise(100))
            file.rest(3600 * RATE)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 5e6
    assert soundfile.info(path).duration == pytest.approx(3600, abs=0.1)


def test_what_is_broken_off_leaves_no_file(pieces, tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"what was there")
    before = hashlib.sha256(path.read_bytes()).digest()
    begun = saving(path, pieces)
    next(begun)
    begun.close()
    list(saving(path, pieces, keep=lambda: False))
    list(saving(path, []))
    with pytest.raises(BadRequest, match="choose wav"):
        list(saving(tmp_path / "b.mp3", [replace(piece, sampling_rate=96_000) for piece in pieces]))
    assert [file.name for file in tmp_path.iterdir()] == ["a.wav"]
    assert hashlib.sha256(path.read_bytes()).digest() == before


@pytest.mark.parametrize("format", FORMATS)
def test_a_full_disk_is_the_system_s_own_error(format, tmp_path):
    full = tmp_path / f"full.{format}"
    full.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"), Writer(full, RATE, format) as file:
        for i in range(20):
            file.add(noise(BLOCK, i))
    with pytest.raises(FileNotFoundError):
        Writer(tmp_path / "missing" / f"a.{format}", RATE, format)
