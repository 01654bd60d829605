"""The voices in memory, of one device and backend: loaded once, and again when their files have changed."""

import threading
from collections import OrderedDict
from collections.abc import Callable

from infer.engine.catalogue import VoiceFiles
from infer.engine.voice import Voice
from infer.engine.waiting import Cancelled, Loads, never


class Memory:
    """Voices by id, the one used last at the end. Who waits for one of them to be loaded waits for no other."""

    def __init__(self, load: Callable[[VoiceFiles], Voice], megabytes: int) -> None:
        """megabytes: of them all; those used longest ago make room. One that is still speaking goes on to its end."""
        self._load, self._limit = load, megabytes * 1e6
        self._voices: OrderedDict[str, tuple[tuple, Voice]] = OrderedDict()  # by id: stamp and voice
        self._closed = False
        self._loads = Loads()
        self._lock = threading.Lock()

    @property
    def voices(self) -> list[Voice]:
        return [voice for _, voice in list(self._voices.values())]

    @property
    def size(self) -> int:
        """Bytes of them all."""
        return sum(voice.size for voice in self.voices)

    def get(self, files: VoiceFiles, cancelled: Cancelled = never) -> Voice:
        """Raises SpeechError, NotWanted."""
        stamp = files.stamp()

        def load() -> Voice:
            return self._there(files.id, stamp) or self.keep(files.id, stamp, self._load(files))

        return self._there(files.id, stamp) or self._loads.get((files.id, stamp), load, cancelled)

    def _there(self, id: str, stamp: tuple) -> Voice | None:
        with self._lock:
            kept, voice = self._voices.get(id, (None, None))
            if voice is None or kept != stamp:
                return None
            self._voices.move_to_end(id)
            return voice

    def keep(self, id: str, stamp: tuple, voice: Voice) -> Voice:
        """Puts a loaded voice in the place of that of the same id; the others make room."""
        with self._lock:
            gone = [self._voices.pop(id)[1]] if id in self._voices else []
            self._voices[id] = stamp, voice
            while len(self._voices) > 1 and self.size > self._limit:
                gone.append(self._voices.popitem(last=False)[1][1])
            gone += [voice] if self._closed else []
        for other in gone:
            other.warmth.stop()
        return voice

    def close(self) -> None:
        """Others take their place: they are not warmed up any further."""
        with self._lock:
            self._closed = True
        for voice in self.voices:
            voice.warmth.stop()
