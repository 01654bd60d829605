"""What was measured: the sentences that were spoken last, whoever listened, and the last self-test."""

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from words import Message, message

KEPT = 20  # sentences, and first sounds


@dataclass(frozen=True)
class Spoken:
    """A sentence: seconds of its sound without the pause, and seconds that each stage took."""

    sound: float
    stages: Mapping[str, float]


class Record:
    """A moving view. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spoken: deque[Spoken] = deque(maxlen=KEPT)
        self._firsts: deque[float] = deque(maxlen=KEPT)

    def add(self, spoken: Spoken) -> None:
        with self._lock:
            self._spoken.append(spoken)

    def first(self, seconds: float) -> None:
        """From a request to its first sound."""
        with self._lock:
            self._firsts.append(seconds)

    @property
    def spoken(self) -> list[Spoken]:
        """The sentences, the latest last."""
        with self._lock:
            return list(self._spoken)

    @property
    def firsts(self) -> list[float]:
        """Seconds to the first sound of the last requests, the latest last."""
        with self._lock:
            return list(self._firsts)

    def rtf(self) -> dict[str, float]:
        """By stage, seconds of work per second of sound over all of these sentences; empty where there are none.

        Stages of neighbouring sentences overlap, so their sum is no less than what a listener waits for.
        """
        spoken = self.spoken
        stages = dict.fromkeys(stage for one in spoken for stage in one.stages)
        sound = sum(one.sound for one in spoken)
        return {stage: sum(one.stages.get(stage, 0.0) for one in spoken) / sound for stage in stages}


@dataclass(frozen=True)
class SelfTest:
    """What came out of a self-test.

    differences: by stage, relative to the largest value. rtf: by stage, of the second run. error: what the backend
    threw, instead. fell_back: the engine has gone on with torch on the CPU.
    """

    voice: str
    device: str
    backend: str
    limit: float
    differences: dict[str, float] = field(default_factory=dict)
    rtf: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    fell_back: bool = False

    @property
    def worst(self) -> float:
        return max(self.differences.values(), default=float("inf"))

    @property
    def passed(self) -> bool:
        return not self.error and self.worst <= self.limit

    @property
    def sentence(self) -> Message:
        """The verdict."""
        what = {"backend": self.backend, "device": self.device}
        differs = {"worst": self.worst, "limit": self.limit}
        if self.passed:
            return message("engine.passed", **what, **differs)
        why = message("engine.stops", error=self.error) if self.error else message("engine.differs", **differs)
        after = message("engine.fell_back" if self.fell_back else "engine.our_fault")
        return message("engine.failed", **what, why=why, after=after)
