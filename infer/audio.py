"""Samples -> files: wav, flac, mp3, ogg, opus, with the recipe of the speech in the file's metadata."""

import base64
import io
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from scipy.signal import resample_poly

from infer.files import write_whole
from infer.request import BadRequest, SpeechRequest

FORMATS = {  # name -> libsndfile's format and subtype
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
}
COMMENT_LIMIT = 51_000  # libsndfile leaves a longer one out of wav, and breaks opus with it
PACKED = "zlib:"  # before the base64 of what zlib made of a long comment
UNPACKED_LIMIT = 10_000_000  # bytes; what a stranger's file unpacks to beyond them is no recipe
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)  # Hz; RFC 6716 knows no other
CLIP_SECONDS = 60  # of a reference clip; what comes later is not heard
BLOCK = 65536  # samples handed to the encoder at once: libvorbis needs a deep stack for long writes


def encode(samples: np.ndarray, rate: int, format: str = "wav", request: SpeechRequest | None = None) -> bytes:
    """Float mono samples [n] in -1..1 -> the bytes of a file. Raises BadRequest for an unknown format or rate.

    A recipe with tens of thousands of characters may have no room in wav and opus, and is left out there.
    """
    if format not in FORMATS:
        raise BadRequest(
            f"The format {format!r} is not known; choose {', '.join(FORMATS)}.",
            f"不支持 {format!r} 格式；可选：{'、'.join(FORMATS)}。",
        )
    container, subtype = FORMATS[format]
    buffer, own = io.BytesIO(), file_rate(format, rate)
    try:
        with soundfile.SoundFile(buffer, "w", own, 1, subtype, format=container) as file:
            comment = _comment(request.as_dict()) if request else ""
            if comment and (len(comment) <= COMMENT_LIMIT or format not in ("wav", "opus")):
                file.comment = comment
            pcm = to_pcm16(samples if own == rate else resample_poly(samples, own, rate))
            for begin in range(0, len(pcm), BLOCK):
                file.write(pcm[begin : begin + BLOCK])
    except soundfile.LibsndfileError as error:
        raise BadRequest(f"{format} cannot hold {rate} Hz audio ({error}); choose wav.") from error
    return buffer.getvalue()


def file_rate(format: str, rate: int) -> int:
    """Hz of a file that holds sound of `rate` Hz: Opus takes the next rate that it knows, all others `rate` itself."""
    return next((r for r in OPUS_RATES if r >= rate), OPUS_RATES[-1]) if format == "opus" else rate


def write(path: Path, samples: np.ndarray, rate: int, request: SpeechRequest | None = None, format: str = "") -> None:
    """A file in the format of its suffix, or the one given. Raises BadRequest, OSError."""
    write_whole(path, encode(samples, rate, format or path.suffix.lower().lstrip(".") or "wav", request))


def recipe(file: Path | io.BytesIO) -> SpeechRequest | None:
    """The request that made a file, from its metadata; None when it holds none. Otherwise as `metadata`."""
    try:
        return SpeechRequest.from_dict(metadata(file))
    except (ValueError, TypeError, BadRequest):
        return None


def metadata(file: Path | io.BytesIO) -> dict[str, Any]:
    """The JSON object in a file's comment; empty when there is none.

    The first 2 MB of a file are enough, whatever its length. Raises soundfile.LibsndfileError for what is no sound.
    """
    with soundfile.SoundFile(file) as opened:
        comment = opened.comment or (_wav_comment(file) if opened.format == "WAV" else "")
    try:
        if comment.startswith(PACKED):
            packed = base64.b64decode(comment.removeprefix(PACKED))
            comment = zlib.decompressobj().decompress(packed, UNPACKED_LIMIT).decode()
        found = json.loads(comment)
    except (ValueError, zlib.error, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _comment(values: dict[str, Any]) -> str:
    """JSON in ASCII, since mp3's tags are Latin-1, and packed when it is long.

    Of 31 characters at least: LAME puts a shorter comment at the end of the file, where a cut one has lost it.
    """
    comment = json.dumps(values, sort_keys=True)
    if len(comment) > COMMENT_LIMIT:
        comment = PACKED + base64.b64encode(zlib.compress(comment.encode())).decode()
    return comment.ljust(31)


def _wav_comment(file: Path | io.BytesIO) -> str:
    """A wav file's comment, however long: libsndfile writes it whole, but reads none of more than 2,045 bytes."""
    with file.open("rb") if isinstance(file, Path) else io.BytesIO(file.getvalue()) as opened:
        data = opened.read(1 << 20)  # it stands before the sound
    begin = data.find(b"INFOICMT", 12, 4096)
    length = int.from_bytes(data[begin + 8 : begin + 12], "little")
    return data[begin + 12 : begin + 12 + length].rstrip(b"\0").decode("utf-8", "replace") if begin > 0 else ""


def to_pcm16(samples: np.ndarray) -> np.ndarray:
    """Float samples in -1..1 -> int16."""
    return np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)


def read_clip(data: bytes) -> tuple[np.ndarray, int]:
    """A sound file of any format, rate and number of channels -> mono float32 samples [n], Hz. Raises BadRequest."""
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            rate = file.samplerate
            blocks = file.blocks(BLOCK, frames=CLIP_SECONDS * rate, dtype="float32", always_2d=True)
            # Block by block: of many channels and much silence, a small file becomes gigabytes.
            mono = np.concatenate([np.zeros(0, np.float32), *(block.mean(axis=1) for block in blocks)])
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        raise BadRequest(
            f"The sample of the emotion cannot be read ({error}); use a {', '.join(FORMATS)} file.",
            f"读不了情感样本（{error}）；请用 {'、'.join(FORMATS)} 文件。",
        ) from error
    if not mono.size or not np.isfinite(mono).all() or not mono.any():
        raise BadRequest(
            "The sample of the emotion holds no sound; record or choose another one.",
            "情感样本里没有声音；请重新录制或另选一段。",
        )
    return mono, rate
