"""Speeches that were made already, so that only what has changed is made again."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from infer.pipeline import Engine
from infer.request import Speech, SpeechRequest


class Takes:
    """The most recent speeches of an engine by their requests. Safe to use from several threads."""

    def __init__(self, engine: Engine, megabytes: int = 256) -> None:
        """megabytes: of samples that are kept; the take used longest ago makes room."""
        self.engine = engine
        self.limit = megabytes << 20
        self._made: OrderedDict[Any, tuple[Speech, ...]] = OrderedDict()
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
        key, pieces = self._key(request, scope), []
        if kept := self._find(key):
            yield from kept
            return
        for piece in self.engine.stream(request, cancelled):
            pieces.append(piece)
            yield piece
        if pieces and pieces[-1].last and pieces[-1].sentence == pieces[-1].sentences - 1:
            with self._lock:
                self._made[key] = tuple(pieces)
                while len(self._made) > 1 and self._size() > self.limit:
                    self._made.popitem(last=False)

    def _find(self, key: Any) -> tuple[Speech, ...] | None:
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
            return self._made.get(key)

    def _key(self, request: SpeechRequest, scope: str) -> Any:
        """Whose it is, and what decides on the sound: the request, the voice's files, the glossary as it stands."""
        voice = self.engine.files(request.voice)
        glossary = tuple(sorted(self.engine.glossary(request).items()))
        return scope, request.but(voice=voice.id), voice.stamp(), glossary

    def _size(self) -> int:
        return sum(piece.samples.nbytes for pieces in self._made.values() for piece in pieces)
