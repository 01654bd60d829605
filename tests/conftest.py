"""What the tests share."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from playwright.sync_api import Browser, sync_playwright

from tests.needs import Missing, open_browser

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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium; a person may be without one, who is told, but never CI."""
    with sync_playwright() as playwright:  # of a module, not of the session: others may want a loop of their own
        try:
            running = open_browser(playwright)
        except Missing as missing:
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"no browser: {missing}")
        yield running
        running.close()
