"""What the commands share: how they begin and end, their flags, their exit codes, the language of the terminal.

Exit codes: 0 done, 2 a request or setting at fault, 3 model files missing, 1 anything else, 130 interrupted (143: by
SIGTERM).
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from infer import log
from infer.ending import leave, listen
from infer.request import BadRequest, MissingFiles
from infer.settings import Settings, SettingsError, load_settings
from words import Fault, Message, message


def start(command: str) -> NoReturn:
    """Runs infer/cli/COMMAND.py as this process, and ends it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the imports take seconds, in which Ctrl+C is no error either
    main: Callable[[], int] = import_module(f"infer.cli.{command}").main
    listen()
    leave(main())


def local(line: Message | Fault | object) -> str:
    """A message in the language of the terminal: Chinese where the locale is, else English. Other things as text."""
    locale = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    if isinstance(line, Fault):
        line = line.message
    return line.say("zh" if locale.lower().startswith("zh") else "en") if isinstance(line, Message) else str(line)


def report(*lines: Message | Fault | object, quiet: bool = False) -> None:
    """Tells lines on stderr, in the language of the terminal."""
    for line in () if quiet else lines:
        print(local(line), file=sys.stderr)


class Parser(argparse.ArgumentParser):
    """With the flags that all commands have; what is wrong is a sentence, in the place of the usage.

    quiet: whether the command has so much to tell that one may not want it.
    """

    def __init__(self, command: str, description: Message, quiet: bool = False) -> None:
        super().__init__(prog=command, description=local(description))
        self.flag("--config", message("cli.config"), type=Path)
        self.flag("--set", message("cli.set"), action="append", default=[], metavar="KEY=VALUE")
        if quiet:
            self.flag("-q", "--quiet", message("cli.quiet"), action="store_true")

    def flag(self, *names: Any, **options: Any) -> None:
        """An argument: its names, then its help."""
        *flags, help = names
        self.add_argument(*flags, help=local(help).replace("%", "%%"), **options)

    def error(self, message: str) -> NoReturn:
        raise BadRequest("cli.usage", reason=message, command=self.prog)


def settings_of(arguments: argparse.Namespace) -> Settings:
    """The settings that the flags name; from now on errors are told as they say. Raises SettingsError."""
    settings = load_settings(arguments.config, arguments.set)
    log.set_up(settings.webui.debug)
    return settings


def exit_code(call: Callable[[], int | None]) -> int:
    """Calls it, and its number or 0; what goes wrong is a sentence on stderr and a number."""
    try:
        return call() or 0
    except KeyboardInterrupt as interrupt:
        return getattr(interrupt, "code", 130)
    except (Fault, OSError) as error:
        report(error)
        return 2 if isinstance(error, BadRequest | SettingsError) else 3 if isinstance(error, MissingFiles) else 1
