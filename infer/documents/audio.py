"""Samples -> files: wav, flac, mp3, ogg, opus, with the recipe of the speech in the file's metadata."""

import base64
import errno
import io
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
import soxr

from infer.documents.comments import comment_of
from infer.files import whole
from infer.request import BadRequest, Speech, SpeechRequest

if TYPE_CHECKING:
    from infer.documents.project import Project

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
SYSTEM_ERROR = 2  # libsndfile's number for what the system refuses
# Samples handed to the encoder at once: libvorbis needs a deep stack for more, and its pages end where they do, so that
# a file is the same however its sound came.
BLOCK = 65536


class Writer:
    """A sound file that is written as its sound comes; used as a context, which closes it."""

    def __init__(
        self,
        target: Path | io.BytesIO,
        rate: int,
        format: str = "wav",
        recipe: "SpeechRequest | Project | None" = None,
    ) -> None:
        """rate: Hz of what is added. Raises BadRequest for an unknown format or rate, OSError.

        A recipe with tens of thousands of characters may have no room in wav and opus, and is left out there.
        """
        if format not in FORMATS:
            raise BadRequest("audio.unknown_format", format=format, formats=[*FORMATS])
        container, subtype = FORMATS[format]
        self.rate, own = rate, file_rate(format, rate)
        self._target = target
        # It makes the very samples of the pieces that it would make of the whole.
        self._resampler = soxr.ResampleStream(rate, own, 1, dtype="float32") if own != rate else None
        if isinstance(target, Path):
            target.touch()  # where nothing can be written, the system's own words say why
        try:
            place = by_name(target) if isinstance(target, Path) else target
            self._file = soundfile.SoundFile(place, "w", own, 1, subtype, format=container)
        except soundfile.LibsndfileError as error:
            if error.code == SYSTEM_ERROR:
                raise _refusal(self._target) from error
            reason = error.error_string.strip(" .")  # without the name of the buffer
            raise BadRequest("audio.no_rate", format=format, rate=rate, reason=reason) from error
        self._rest = np.zeros(0, np.int16)  # less than a block
        comment = _comment(recipe.as_dict()) if recipe else ""
        if comment and (len(comment) <= COMMENT_LIMIT or format not in ("wav", "opus")):
            self._file.comment = comment

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        try:
            if not kind:
                if self._resampler:
                    self._write(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
                self._flush(self._rest)
        finally:
            with self._refusals():
                self._file.close()

    def add(self, samples: np.ndarray) -> None:
        """Float mono samples [n] in -1..1, or 16-bit ones where the file has their rate. Raises OSError."""
        self._write(self._resampler.resample_chunk(np.asarray(samples, np.float32)) if self._resampler else samples)

    def rest(self, count: int) -> None:
        """So many samples of silence, which are never held at once. Raises OSError."""
        for block in silence(count):
            self.add(block)

    def speak(self, piece: Speech) -> None:
        """A piece and its pause. Raises OSError."""
        self.add(piece.samples)
        self.rest(piece.silence)

    def _write(self, samples: np.ndarray) -> None:
        pcm = np.concatenate((self._rest, samples if samples.dtype == np.int16 else to_pcm16(samples)))
        whole = len(pcm) // BLOCK * BLOCK
        for begin in range(0, whole, BLOCK):
            self._flush(pcm[begin : begin + BLOCK])
        self._rest = pcm[whole:]

    def _flush(self, pcm: np.ndarray) -> None:
        with self._refusals():
            self._file.write(pcm)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except (soundfile.LibsndfileError, AssertionError) as error:  # it asserts that all was written
            raise _refusal(self._target) from error


def silence(count: int) -> Iterator[np.ndarray]:
    """So many samples of it, at most BLOCK at once."""
    return (np.zeros(min(BLOCK, count - begin), np.float32) for begin in range(0, count, BLOCK))


def by_name(file: Path) -> str | bytes:
    """A file's name for soundfile, which encodes text strictly: of a name that is no UTF-8 it would know nothing."""
    return os.fsencode(file) if os.name == "posix" else str(file)


def _refusal(target: Path | io.BytesIO) -> OSError:
    """Why a write to a file that is let go of failed: libsndfile does not tell, but a write of our own does."""
    try:
        if isinstance(target, Path):
            with target.open("ab", buffering=0) as file:
                for _ in range(2):  # the first may find a little room
                    file.write(bytes(2 * BLOCK))
    except OSError as error:
        return error
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def encode(
    samples: np.ndarray, rate: int, format: str = "wav", recipe: "SpeechRequest | Project | None" = None
) -> bytes:
    """Float mono samples [n] in -1..1 -> the bytes of a file, otherwise as Writer. Raises BadRequest."""
    buffer = io.BytesIO()
    with Writer(buffer, rate, format, recipe) as file:
        file.add(samples)
    return buffer.getvalue()


def file_rate(format: str, rate: int) -> int:
    """Hz of a file that holds sound of `rate` Hz: Opus takes the next rate that it knows, all others `rate` itself."""
    return next((r for r in OPUS_RATES if r >= rate), OPUS_RATES[-1]) if format == "opus" else rate


def format_of(path: Path) -> str:
    """A sound file's format, by its ending; wav where it has none."""
    return path.suffix.lower().lstrip(".") or "wav"


def saving(
    path: Path,
    pieces: Iterable[Speech],
    recipe: "SpeechRequest | Project | None" = None,
    keep: Callable[[], bool] = lambda: True,
) -> Iterator[Speech]:
    """Writes a speech as it comes and hands its pieces on, without their samples. Raises BadRequest, OSError.

    recipe: by default the request of the first piece. keep: asked when all has come; the file is there afterwards,
    unless it says no, nothing has come, or the iterator was not taken to its end.
    """
    file: Writer | None = None
    with whole(path, keep=lambda: file is not None and keep()) as part, ExitStack() as stack:
        for piece in pieces:
            if file is None:
                file = Writer(part, piece.sampling_rate, format_of(path), recipe or piece.request)
                stack.enter_context(file)
            file.speak(piece)
            yield piece.silent()


def joined(pieces: Iterable[Speech]) -> np.ndarray:
    """Pieces end to end, with the silence of their pauses [n]: for who needs the whole in memory."""
    parts = [part for piece in pieces for part in (piece.samples, np.zeros(piece.silence, np.float32))]
    return np.concatenate([np.zeros(0, np.float32), *parts])


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
        values = json.loads(comment) if comment.count("[") + comment.count("{") <= NESTED else None
    except (ValueError, zlib.error, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


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
