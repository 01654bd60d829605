"""What the tests share."""

import logging
import os
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import settings
from playwright.sync_api import Browser

from tests.needs import Missing, find_ffmpeg, open_browser

# The same examples on every machine, and no failure because a machine is busy.
settings.register_profile("project", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("project")
os.environ["LC_ALL"] = "C.UTF-8"  # commands speak English here, whatever this terminal's language


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says at the end how many tests were not run, and why, in a line for each reason."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    for reason, count in reasons.items():
        terminalreporter.write_line(f"{count} not run: {reason}")


def golden() -> Path:
    """The folder of golden fixtures: the full set beside the repository where there is one, else the committed part."""
    repository = Path(__file__).resolve().parents[1]
    shared = repository.parent / "shared" / "golden"
    return shared if shared.exists() else repository / "tests" / "golden"


def writable_copy(source: Path, target: Path) -> Path:
    """A copy of a folder's files to change; the fixtures themselves may be read-only."""
    target.mkdir(parents=True)
    for file in source.iterdir():
        shutil.copyfile(file, target / file.name)
    return target


@pytest.fixture(autouse=True)
def errors_told_as_before() -> Iterator[None]:
    """A main program says how its process tells errors (infer/log.py); the next test is another program."""
    before = sys.excepthook, threading.excepthook, logging.getLogRecordFactory()
    yield
    sys.excepthook, threading.excepthook = before[:2]
    logging.setLogRecordFactory(before[2])


@pytest.fixture(scope="module")  # not of the session: some tests want a loop of their own in this thread
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(open_browser())
        except Missing as missing:
            go_without(missing)
        yield running


@pytest.fixture
def ffmpeg() -> str:
    """The program's path."""
    try:
        return find_ffmpeg()
    except Missing as missing:
        go_without(missing)


def go_without(missing: Missing) -> NoReturn:
    """Ends a test that lacks something: a person may be without it, and is told, but never CI."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(str(missing))
