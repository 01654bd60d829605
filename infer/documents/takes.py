"""Speeches that were made already, so that only what has changed is made again."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from infer.engine.pipeline import Engine
from infer.request import Speech, SpeechRequest

SHARE = 4  # one take fills at most one part in so many of the room: it would push out all others
CHARACTER_BYTES = 3000  # about what a character costs beside its sound: readings, phones and their times


@dataclass(frozen=True)
class _Take:
    pieces: tuple[Speech, ...]
    size: int


class Takes:
    """The most recent speeches of an engine by their requests. Safe to use from several threads."""

    def __init__(self, engine: Engine, megabytes: int = 256) -> None:
        """megabytes: of all that is kept; the take used longest ago makes room."""
        self.engine = engine
        self.limit = megabytes << 20
        self.size = 0  # bytes of what is kept
        self._made: OrderedDict[bytes, _Take] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, request: SpeechRequest, scope: str = "") -> tuple[Speech, ...] | None:
        """The pieces of an equal request that was spoken to its end in the same scope. Raises SpeechError."""
        return self._find(self._key(request, scope))

    def stream(
        self, request: SpeechRequest, cancelled: Callable[[], bool] = lambda: False, scope: str = ""
    ) -> Iterator[Speech]:
        """Engine.stream, from memory where the same was said before in the same scope.

        scope: for whom. An answer that comes at once tells what was said before, which is nobody else's business.
        """
        key = self._key(request, scope)
        if known := self._find(key):
            yield from known
            return
        pieces: list[Speech] | None = []
        size = _size(request)
        for piece in self.engine.stream(request, cancelled):
            size += piece.samples.nbytes + CHARACTER_BYTES * len(piece.characters) * piece.last
            if pieces is not None and size <= self.limit // SHARE:
                pieces.append(piece)
            else:
                pieces = None  # too large to be kept: let go of what there is
            yield piece
        if pieces and pieces[-1].final:
            self._keep(key, _Take(tuple(pieces), size))

    def _keep(self, key: bytes, take: _Take) -> None:
        with self._lock:
            if before := self._made.pop(key, None):  # two listeners asked for the same at the same time
                self.size -= before.size
            self._made[key] = take
            self.size += take.size
            while self.size > self.limit:
                self.size -= self._made.popitem(last=False)[1].size

    def _find(self, key: bytes) -> tuple[Speech, ...] | None:
        with self._lock:
            if key not in self._made:
                return None
            self._made.move_to_end(key)
            return self._made[key].pieces

    def _key(self, request: SpeechRequest, scope: str) -> bytes:
        """Whose it is, and what decides on the sound: request, voice's files, the glossary as it stands. In short."""
        voice = self.engine.files(request.voice)
        asked = vars(request.but(voice=voice.id, emotion_audio=b"")).items()
        # A page says 1 where a project says 1.0: requests that are equal have one key.
        options = [(name, float(value) if isinstance(value, int) else value) for name, value in asked]
        values = scope, options, voice.stamp(), self.engine.glossary(request.readings).digest
        return hashlib.sha256(repr(values).encode() + request.emotion_audio).digest()


def _size(request: SpeechRequest) -> int:
    """Bytes of a request, which its pieces hold on to."""
    values = [value for value in vars(request).values() if isinstance(value, str | bytes)]
    return sum(len(value) * (4 if isinstance(value, str) else 1) for value in values)
