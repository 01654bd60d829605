"""What the tests share."""

import logging
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples on every machine, and no failure because a machine is busy.
settings.register_profile("project", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("project")


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
