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

from infer.comments import comment_of
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
UNPACKED_LIMIT = 4 << 20  # bytes; what a stranger's file unpacks to beyond them is no recipe
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)  # Hz; RFC 6716 knows no other
NESTED = 50_000  # lists and objects in a comment: a million of them take seconds, in which nobody else is answered
HEAD = 2 << 20  # bytes of a file in which its comment stands: it comes before the sound
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
        reason = error.error_string.strip(" .")  # without the name of the buffer
        raise BadRequest(
            f"{format} cannot hold {rate} Hz audio ({reason}); choose wav.",
            f"{format} 存不了 {rate} Hz 的声音（{reason}）；请选 wav。",
        ) from error
    return buffer.getvalue()


def file_rate(format: str, rate: int) -> int:
    """Hz of a file that holds sound of `rate` Hz: Opus takes the next rate that it knows, all others `rate` itself."""
    return next((r for r in OPUS_RATES if r >= rate), OPUS_RATES[-1]) if format == "opus" else rate


def write(path: Path, samples: np.ndarray, rate: int, request: SpeechRequest | None = None, format: str = "") -> None:
    """A file in the format of its suffix, or the one given. Raises BadRequest, OSError."""
    write_whole(path, encode(samples, rate, format or path.suffix.lower().lstrip(".") or "wav", request))


def recipe(file: Path | io.BytesIO) -> SpeechRequest | None:
    """The request that made a file, from its metadata; None when it holds none. Raises OSError."""
    try:
        return SpeechRequest.from_dict(metadata(file))
    except (ValueError, TypeError, BadRequest):
        return None


def metadata(file: Path | io.BytesIO) -> dict[str, Any]:
    """The JSON object in a file's comment; empty when there is none.

    The first HEAD bytes of a file are enough, whatever its length. Raises ValueError for what is none of FORMATS.
    """
    with file.open("rb") if isinstance(file, Path) else io.BytesIO(file.getvalue()) as opened:
        comment = comment_of(opened.read(HEAD))
    try:
        if comment.startswith(PACKED):
            packed = base64.b64decode(comment.removeprefix(PACKED))
            comment = zlib.decompressobj().decompress(packed, UNPACKED_LIMIT).decode()
        found = json.loads(comment) if comment.count("[") + comment.count("{") <= NESTED else None
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


def to_pcm16(samples: np.ndarray) -> np.ndarray:
    """Float samples in -1..1 -> int16."""
    return np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)
