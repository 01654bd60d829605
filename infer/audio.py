"""Samples -> files: wav, flac, mp3, ogg, with the recipe of the speech in the file's metadata."""

import io
import json
from pathlib import Path

import numpy as np
import soundfile

from infer.request import BadRequest, SpeechRequest

FORMATS = {  # name -> libsndfile's format and subtype
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg": ("OGG", "VORBIS"),
}
CLIP_SECONDS = 60  # of a reference clip; what comes later is not heard
BLOCK = 65536  # samples handed to the encoder at once: libvorbis needs a deep stack for long writes


def encode(samples: np.ndarray, rate: int, format: str = "wav", request: SpeechRequest | None = None) -> bytes:
    """Float mono samples [n] in -1..1 -> the bytes of a file. Raises BadRequest for an unknown format or rate."""
    if format not in FORMATS:
        raise BadRequest(
            f"The format {format!r} is not known; choose {', '.join(FORMATS)}.",
            f"不支持 {format!r} 格式；可选：{'、'.join(FORMATS)}。",
        )
    container, subtype = FORMATS[format]
    buffer = io.BytesIO()
    try:
        with soundfile.SoundFile(buffer, "w", rate, 1, subtype, format=container) as file:
            if request is not None:
                file.comment = json.dumps(request.as_dict(), sort_keys=True)  # ASCII: mp3 tags are Latin-1
            pcm = to_pcm16(samples)
            for begin in range(0, len(pcm), BLOCK):
                file.write(pcm[begin : begin + BLOCK])
    except soundfile.LibsndfileError as error:
        raise BadRequest(f"{format} cannot hold {rate} Hz audio ({error}); choose wav.") from error
    return buffer.getvalue()


def write(path: Path, samples: np.ndarray, rate: int, request: SpeechRequest | None = None, format: str = "") -> None:
    """A file in the format of its suffix, or the one given. Raises BadRequest."""
    path.write_bytes(encode(samples, rate, format or path.suffix.lower().lstrip(".") or "wav", request))


def recipe(file: Path | io.BytesIO) -> SpeechRequest | None:
    """The request that made a file, from its metadata; None when it holds none."""
    with soundfile.SoundFile(file) as opened:
        comment = opened.comment or (_wav_comment(file) if opened.format == "WAV" else "")
    try:
        return SpeechRequest.from_dict(json.loads(comment))
    except (ValueError, TypeError, BadRequest):
        return None


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
