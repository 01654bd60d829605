"""Waiting for others: whoever waits looks whether it is still wanted, and no thread is kept that has nothing to do."""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from infer.ending import ending

TICK = 0.05  # seconds between two looks at whether it is still wanted
IDLE = 1.0  # seconds that a thread of a pool waits for more: a new one would begin without torch's helpers
T = TypeVar("T")
Cancelled = Callable[[], bool]


class NotWanted(Exception):
    """Who waited is not wanted any more, or the program ends. It ends a speech, and is told to nobody."""


def never() -> bool:
    return False


def waited(future: "Future[T]", cancelled: Cancelled = never) -> T:
    """A result once it is there, or what its maker raised. Raises NotWanted."""
    while not (cancelled() or ending()):
        wait((future,), TICK)
        if future.done():
            return future.result()
    raise NotWanted


class Loads:
    """What is being loaded, by key: who asks for one of them waits for that one, and it is loaded once."""

    def __init__(self) -> None:
        self._going: dict[Any, Future[Any]] = {}
        self._lock = threading.Lock()  # of the table, never held while something is loaded

    def get(self, key: Any, load: Callable[[], T], cancelled: Cancelled = never) -> T:
        """load: gives what is there, or brings and keeps it; its exception is raised for all who wait for it."""
        with self._lock:
            mine = key not in self._going
            future: Future[T] = self._going.setdefault(key, Future())
        if not mine:
            return waited(future, cancelled)
        try:
            future.set_result(load())
        except BaseException as error:
            future.set_exception(error)
        finally:
            with self._lock:
                del self._going[key]
        return future.result()


class Pool:
    """A few threads that do what is handed in; they begin when there is work, and end a moment after the last of it.

    They are no daemons, and end when the program does: what then still waits is never done, so wait with `waited`.
    """

    def __init__(self, name: str, most: int) -> None:
        self.name, self.most = name, most
        self._work: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._threads = self._idle = 0
        self._changed = threading.Condition()

    def submit(self, work: Callable[[], T]) -> "Future[T]":
        future: Future[T] = Future()
        with self._changed:
            self._work.append((future, work))
            if self._idle >= len(self._work):
                self._changed.notify()
            elif self._threads < self.most:
                self._threads += 1
                threading.Thread(target=self._run, name=self.name, daemon=False).start()
        return future

    def _run(self) -> None:
        while taken := self._next():
            future, work = taken
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as error:  # it is raised where the result is wanted
                future.set_exception(error)
            del taken, future, work  # gigabytes may hang on them while this thread waits

    def _next(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        until = time.monotonic() + IDLE
        with self._changed:
            while not self._work and not ending() and time.monotonic() < until:
                self._idle += 1
                self._changed.wait(TICK)
                self._idle -= 1
            if self._work and not ending():
                return self._work.popleft()
            self._threads -= 1
            return None
