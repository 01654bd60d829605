"""What went wrong, in the terminal: a line, and where the setting `webui.debug` is true the traceback as well.

`failure` is what all parts of the program call; `set_up` is for the main program alone, since it says how this process
tells all its errors, those of libraries and those that nobody caught among them.
"""

import logging
import sys
import threading
from types import TracebackType
from typing import Any


def failure(what: str, error: BaseException) -> None:
    """Tells that something went wrong which its user was told in other words. what: was being done."""
    logging.getLogger("infer").error("%s went wrong", what, exc_info=error)


def set_up(debug: bool) -> None:
    """From now on errors are told in one line of this process's terminal, or with debug as Python does."""
    logging.setLogRecordFactory(logging.LogRecord if debug else _Short)
    sys.excepthook = sys.__excepthook__ if debug else _uncaught
    threading.excepthook = threading.__excepthook__ if debug else _uncaught_in_thread


def line(error: BaseException) -> str:
    """An error in one line of bounded length."""
    words = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


class _Short(logging.LogRecord):
    """What is logged, with the error's kind and words in the place of its traceback."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.exc_info and self.exc_info[1]:
            words = f"{self.getMessage()} ({line(self.exc_info[1])}; webui.debug: true shows where)"
            self.msg, self.args, self.exc_info = words, (), None


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    print(f"Something went wrong ({line(error)}); webui.debug: true shows where.", file=sys.stderr)


def _uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None and not isinstance(arguments.exc_value, SystemExit):
        _uncaught(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
