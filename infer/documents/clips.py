"""A stranger's sound file -> mono samples, whatever is in it: wav, flac, mp3, ogg and opus, and m4a where ffmpeg is.

first bytes -> its kind -> a wav: its samples alone, read here; all else: a decoder in a process of its own, with bounds
on its memory, its time and what it may answer. Nothing else reaches libsndfile, which knows 20 formats more.

The libsndfile that soundfile brings, 1.2.2, has open advisories. Shut out with their formats are CVE-2022-33065 (au
and mat4), CVE-2026-88372 (mat4) and the frames without end of G.721, G.723 and XI; CVE-2026-37555 (IMA ADPCM in wav and
w64) with the header of every wav, which libsndfile never sees. CVE-2024-50612 (Vorbis) and CVE-2025-56226 (MP3, a
leak) are in encoders, which get no samples and no header but ours. What remains, known or not, is in the decoders of
flac, mp3, Vorbis and Opus: it meets a process that knows nothing of the server's, and ends.
"""

import io
import os
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from infer.documents.decoder import CHANNELS, RATES, SECONDS, bounded, mixed
from infer.files import head
from infer.request import BadRequest
from words import Message, message

LARGEST = 20 << 20  # bytes of a file
MEMORY = 512 << 20  # bytes of address space for a decoder; Python, numpy and libsndfile take 150 MB of them
CPU, PATIENCE = 10, 20  # seconds of a decoder: of work, and by the clock
ANSWER = 8 + 4 * SECONDS * RATES[1]  # bytes that a decoder may give
RATE = 48_000  # Hz that m4a is brought to, which is what CLAP hears
SUBTYPES = {  # a wav's tag and bits -> libsndfile's name
    (1, 8): "PCM_U8",
    (1, 16): "PCM_16",
    (1, 24): "PCM_24",
    (1, 32): "PCM_32",
    (3, 32): "FLOAT",
    (3, 64): "DOUBLE",
    (6, 8): "ALAW",
    (7, 8): "ULAW",
}
EXTENSIBLE = 0xFFFE  # the tag comes later in the chunk
PARTS = 100  # of a file that are passed by on the way to its sound

ENVIRONMENT = "PATH LD_LIBRARY_PATH DYLD_LIBRARY_PATH SYSTEMROOT TMPDIR TEMP TMP".split()  # a decoder's; no password

turns = threading.BoundedSemaphore(2)  # decoders at the same time
line = threading.BoundedSemaphore(8)  # they and who waits for one: each holds a thread that others need, too


def read_clip(data: bytes) -> tuple[np.ndarray, int]:
    """A sound file's first SECONDS -> mono float32 samples [n], Hz. Raises BadRequest."""
    if len(data) > LARGEST:
        raise _unread(message("clips.large", most=LARGEST >> 20))
    sound = untagged(data)
    kind = _known_kind(sound)
    if kind == "wav":
        mono, rate = _wav(sound)
    elif kind == "m4a":
        raise _unread(message("clips.m4a"))
    else:
        mono, rate = _decoded(sound)
    if not mono.size or not np.isfinite(mono).all() or not mono.any():
        raise BadRequest("clips.silent")
    return mono, rate


def read_file(path: Path) -> bytes:
    """A clip's file as a request takes it, an m4a as wav if ffmpeg is there; of a long one the beginning.

    Raises BadRequest.
    """
    data = head(path, LARGEST)
    _known_kind(untagged(data))
    if kind_of(data) != "m4a" or not (ffmpeg := shutil.which("ffmpeg")):
        return data
    # No protocol but this pipe, whatever the file refers to; "cache" keeps what must be read twice.
    options = f"-v quiet -threads 1 -protocol_whitelist cache,pipe -f mov -i cache:pipe:0 -map a:0 -t {SECONDS}"
    code, wav = shut_in([ffmpeg, *options.split(), *f"-ac 1 -ar {RATE} -f wav pipe:1".split()], data)
    return data if code else wav


def untagged(data: bytes) -> bytes:
    """Without the ID3 tags in front: libsndfile skips them and looks anew, so any of its readers could hide there."""
    at = 0
    for _ in range(PARTS):
        if data[at : at + 3] != b"ID3" or len(data) < at + 10:
            break
        at += 10 + id3_number(data[at + 6 : at + 10]) + (10 if data[at + 5] & 0x10 else 0)
    return data[at:].lstrip(b"\0") if at else data  # some leave room behind the tag


def id3_number(four: bytes) -> int:
    """ID3 counts in seven bits a byte."""
    return sum((byte & 127) << 7 * place for place, byte in enumerate(reversed(four)))


def kind_of(data: bytes) -> str:
    """wav, flac, ogg (which opus is in, too), mp3, m4a; "" for all else. By the first bytes, whatever its name."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "wav"
    if data[:4] in (b"fLaC", b"OggS"):
        return data[:4].decode().removesuffix("S").lower()
    if data[4:8] == b"ftyp":
        return "m4a"
    return "mp3" if len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0 and data[1] & 6 else ""


def _wav(data: bytes) -> tuple[np.ndarray, int]:
    """libsndfile gets the samples alone, and reads them as raw."""
    fmt, at = b"", 12
    for _ in range(PARTS):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8
        if name == b"fmt ":
            fmt = fmt or data[at : at + min(size, 40)]
        if name == b"data" or at >= len(data):
            break
        at += size + size % 2
    if len(fmt) < 16 or name != b"data":
        raise _unread(message("clips.header"))
    tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", fmt[:16])
    if tag == EXTENSIBLE:
        tag = int.from_bytes(fmt[24:26], "little")
    if (tag, bits) not in SUBTYPES:
        raise _unread(message("clips.codec", codec=tag, bits=bits))
    _check(rate, channels)
    frame = channels * bits // 8
    size = min(size or len(data), SECONDS * rate * frame)  # a recorder that was cut off leaves 0
    whole = len(data[at : at + size]) // frame * frame
    raw = {"samplerate": rate, "channels": channels, "format": "RAW", "endian": "LITTLE"}
    with soundfile.SoundFile(io.BytesIO(data[at : at + whole]), subtype=SUBTYPES[tag, bits], **raw) as file:
        return np.concatenate([np.zeros(0, np.float32), *mixed(file)]), rate


def _decoded(data: bytes) -> tuple[np.ndarray, int]:
    program = "import sys; sys.path[:] = sys.argv[1:]; from infer.documents import decoder; decoder.main()"
    # -I: neither the folder that the server was started in nor its environment is asked for modules.
    code, answer = shut_in([sys.executable, "-I", "-c", program, *sys.path], data)
    if len(answer) >= 8:
        rate, channels = struct.unpack("<2I", answer[:8])
        _check(rate, channels)
    if code or len(answer) < 8:
        raise _unread(message("clips.damaged", seconds=CPU, most=MEMORY >> 20))
    return np.frombuffer(answer[8 : len(answer) // 4 * 4], np.float32), rate


def shut_in(command: Sequence[str], data: bytes) -> tuple[int, bytes]:
    """Runs a decoder: `data` on its stdin -> its exit code, not 0 when it was stopped, and the ANSWER's bytes."""
    if not line.acquire(blocking=False):
        raise BadRequest("clips.busy")
    try:
        with turns:
            return _run(command, data)
    finally:
        line.release()


def _run(command: Sequence[str], data: bytes) -> tuple[int, bytes]:
    # One thread: each takes address space, and the BLAS that numpy brings starts one for each core.
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ} | {"OPENBLAS_NUM_THREADS": "1"}
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=nothing) as process:
        assert process.stdin and process.stdout
        _limit(process.pid)
        feeder = threading.Thread(target=_feed, args=(process.stdin, data))
        clock = threading.Timer(PATIENCE, process.kill)
        feeder.start()
        clock.start()
        try:
            answer = process.stdout.read(ANSWER)
            process.stdout.close()  # who has more to say is stopped by it
            return process.wait(), answer
        finally:
            process.kill()
            clock.cancel()
            feeder.join()


def _feed(pipe: BinaryIO, data: bytes) -> None:
    with suppress(OSError):  # it may end before it has read all
        pipe.write(data)
    with suppress(OSError):
        pipe.close()


def _limit(pid: int) -> None:
    """Before it has got any data. Where the system has no such limits, the clock and the ANSWER's size remain."""
    with suppress(ImportError, AttributeError):  # Windows has none of it, macOS no prlimit
        import resource

        for what, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, CPU), (resource.RLIMIT_CORE, 0)):
            with suppress(OSError, ValueError):  # it has ended, or is limited to less
                resource.prlimit(pid, what, (most, most))


def _check(rate: int, channels: int) -> None:
    if not bounded(rate, channels):
        bounds = {"lowest": RATES[0], "highest": RATES[1], "most": CHANNELS}
        raise _unread(message("clips.bounds", rate=rate, channels=channels, **bounds))


def _known_kind(data: bytes) -> str:
    """Raises BadRequest for what kind_of does not know."""
    if kind := kind_of(data):
        return kind
    raise _unread(message("clips.unknown"))


def _unread(cause: Message) -> BadRequest:
    return BadRequest("clips.unread", cause=cause)
