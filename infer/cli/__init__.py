"""What the commands share: how they begin and end, their parser, their exit codes.

Exit codes: 0 done, 2 a request or setting at fault, 3 model files missing, 1 anything else, 130 interrupted (143: by
SIGTERM).
"""

import argparse
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from typing import NoReturn

from infer.ending import Interrupted, leave, listen
from infer.request import BadRequest, MissingFiles, SpeechError
from infer.settings import SettingsError


def start(command: str) -> NoReturn:
    """Runs infer/cli/COMMAND.py as this process, and ends it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the imports take seconds, in which Ctrl+C is no error either
    main: Callable[[], int] = import_module(f"infer.cli.{command}").main
    listen()
    leave(main())


class Parser(argparse.ArgumentParser):
    """One that says what is wrong in a sentence, in the place of the usage."""

    def error(self, message: str) -> NoReturn:
        raise BadRequest(f"{message}; see {self.prog} --help", f"{message}；用法见 {self.prog} --help")


def exit_code(call: Callable[[], None]) -> int:
    """Calls it; what goes wrong is a sentence on stderr and a number."""
    try:
        call()
    except KeyboardInterrupt as told:
        return told.code if isinstance(told, Interrupted) else 130
    except (BadRequest, SettingsError) as error:
        print(error, file=sys.stderr)
        return 2
    except MissingFiles as error:
        print(error, file=sys.stderr)
        return 3
    except (SpeechError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
