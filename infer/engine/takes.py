"""Lines that were spoken already, so that only what has changed is made again: the cache of Engine.speak."""

import hashlib
import threading
from dataclasses import dataclass, field, replace

from infer.files import Recent
from infer.request import Speech, SpeechRequest

SHARE = 4  # one take fills at most one part in so many of the room: it would push out all others
CHARACTER_BYTES = 3000  # about what a character costs beside its sound: readings, phones and their times
ENCODED = 5 / 3  # bytes of a piece for each of its samples': faces keep its 16-bit form in base64 with it


@dataclass(frozen=True)
class _Take:
    pieces: tuple[Speech, ...]
    size: int


class Takes:
    """The most recent lines by their keys. Safe to use from several threads."""

    def __init__(self, megabytes: int) -> None:
        """megabytes: of all that is kept; the take used longest ago makes room."""
        self.recent: Recent[bytes, _Take] = Recent(megabytes << 20, lambda take: take.size)
        self._lock = threading.Lock()

    @property
    def size(self) -> float:
        """Bytes of what is kept."""
        return self.recent.weight

    def find(self, key: bytes) -> tuple[Speech, ...] | None:
        """The pieces of a line that was spoken to its end; their times begin with the line."""
        with self._lock:
            take = self.recent.get(key)
        return take.pieces if take else None

    def keep(self, key: bytes, pieces: tuple[Speech, ...], size: int) -> None:
        with self._lock:
            self.recent.put(key, _Take(pieces, size))


@dataclass
class Draft:
    """A take in the making: it is kept when its last piece comes, and let go of when it becomes too large."""

    takes: Takes
    key: bytes
    request: SpeechRequest
    _pieces: list[Speech] | None = field(default_factory=list)
    _size: float = 0.0

    def add(self, piece: Speech) -> None:
        self._size += piece.samples.nbytes * ENCODED + CHARACTER_BYTES * len(piece.characters) * piece.last
        size = round(self._size) + request_bytes(self.request)
        if self._pieces is None or size > self.takes.recent.most // SHARE:
            self._pieces = None
            return
        self._pieces.append(replace(piece, timings={}))  # from memory it takes no time
        if piece.final:
            self.takes.keep(self.key, tuple(self._pieces), size)


def key_of(scope: str, request: SpeechRequest, voice: str, stamp: tuple, glossary: bytes) -> bytes:
    """Whose a line is, and what decides on its sound: request, voice's id and files, the glossary's digest. In short.

    scope: for whom. An answer that comes at once tells what was said before, which is nobody else's business.
    """
    asked = vars(request.but(voice=voice, emotion_audio=b"")).items()
    # A page says 1 where a project says 1.0: requests that are equal have one key.
    options = [(name, float(value) if isinstance(value, int) else value) for name, value in asked]
    return hashlib.sha256(repr((scope, options, stamp, glossary)).encode() + request.emotion_audio).digest()


def request_bytes(request: SpeechRequest) -> int:
    """Of what its pieces hold on to."""
    values = [value for value in vars(request).values() if isinstance(value, str | bytes)]
    return sum(len(value) * (4 if isinstance(value, str) else 1) for value in values)
