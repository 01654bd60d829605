"""How a program ends when it is told to: what computes stops by itself, files are whole, temporary folders go.

listen() -> the first SIGINT or SIGTERM raises Interrupted -> end_work() -> leave(code); a second one ends at once
"""

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import NoReturn

_TOLD = threading.Event()


class Interrupted(KeyboardInterrupt):
    """A signal has told the program to end. code: what it ends with, 130 for SIGINT and 143 for SIGTERM."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = 128 + number


def listen() -> None:
    """From now on SIGINT and SIGTERM raise Interrupted in the main thread, which calls this, and the second of them
    ends the process with no word more."""

    def at_once(number: int, _: FrameType | None) -> None:
        os._exit(128 + number)

    def first(number: int, _: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, at_once)
        raise Interrupted(number)

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, first)


def ending() -> bool:
    """Whether the program is at its end. Whatever computes asks for this, and stops after a step or a window."""
    return _TOLD.is_set() or not threading.main_thread().is_alive()


def end_work(seconds: float = 20.0) -> bool:
    """Tells all that computes to stop, and waits for its threads; whether they have ended.

    They are those that are no daemons. A thread that a web server's thread starts is one unless it is told otherwise.
    """
    _TOLD.set()
    until = time.monotonic() + seconds
    working = [t for t in threading.enumerate() if not t.daemon and t is not threading.current_thread()]
    for thread in working:
        thread.join(max(0.0, until - time.monotonic()))
    return not any(thread.is_alive() for thread in working)


def leave(code: int) -> NoReturn:
    """Ends the process, and tears nothing down.

    sys.exit() tears down the threads that are daemons, as the web server's are, and one that is inside of onnxruntime
    or torch then takes the whole process down: "terminate called without an active exception", SIGABRT.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads it any more
            stream.flush()
    os._exit(code)
