"""What the tests need of the machine beside Python's packages: a browser."""

import os
import shutil

from playwright.sync_api import Browser, Error, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",  # a microphone that beeps
    "--use-fake-ui-for-media-stream",
]


class Missing(Exception):
    """Something that the tests need is not here; the message says what, in one line."""


def open_browser(playwright: Playwright) -> Browser:
    """The first Chromium that starts: the one that CHROMIUM names, else the system's, else Playwright's own."""
    named = os.environ.get("CHROMIUM")
    paths = [named] if named else [*filter(None, map(shutil.which, NAMES)), None]  # None: Playwright's own
    broken = []
    for path in paths:
        try:
            return playwright.chromium.launch(executable_path=path, args=FLAGS)
        except Error as error:
            if path or "Executable doesn't exist" not in str(error):
                broken.append(path or "Playwright's Chromium")
    raise Missing(f"{' and '.join(broken)} cannot start" if broken else "there is no Chromium")
