"""What the tests need of the machine beside Python's packages: found, else installed where nobody need be asked.

python -m tests.needs          a browser and ffmpeg, before the tests
python3 tests/needs.py venv    what makes .venv, before there is any package
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # no package is there yet when .venv is made
    from playwright.sync_api import Browser, Playwright

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
PLAYWRIGHT = [sys.executable, "-m", "playwright"]
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
DOWNLOAD = 600  # seconds, for about 110 MB
PACKAGES = ("chromium", "libatomic1", "fonts-noto-cjk")  # with what Playwright's Node.js and Chinese pictures need
HOW = (
    f"to have one: sudo apt install {' '.join(PACKAGES)}, or .venv/bin/python -m playwright install --with-deps "
    "chromium, or name yours: CHROMIUM=/path/to/it make test"
)


class Missing(Exception):
    """Something that the tests need is not here; the message says what it is and how to get it, in one line."""


def start(playwright: Playwright) -> Browser:
    """The first Chromium that starts: the one that CHROMIUM names, else the system's, else Playwright's own."""
    from playwright.sync_api import Error

    named = os.environ.get("CHROMIUM")
    paths = [named] if named else [*filter(None, map(shutil.which, NAMES)), None]  # None: Playwright's own
    broken = []
    for path in paths:
        try:
            return playwright.chromium.launch(executable_path=path, args=FLAGS)
        except Error as error:
            if path or "Executable doesn't exist" not in str(error):
                broken.append(path or "Playwright's Chromium")
    raise Missing(f"{' and '.join(broken) or 'Chromium'} {'cannot start' if broken else 'is not here'}; {HOW}")


def driver_fault() -> str:
    """Why Playwright's driver does not start, which is a program of Node.js; empty where it does."""
    done = subprocess.run([*PLAYWRIGHT, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return re.split("[\n/]", done.stderr.strip())[-1] or "no reason given" if done.returncode else ""


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A headless Chromium, while it is used; Missing where none starts."""
    from playwright.sync_api import sync_playwright

    if wrong := driver_fault():
        raise Missing(f"Playwright cannot start ({wrong}); {HOW}")
    with sync_playwright() as playwright:
        browser = start(playwright)
        yield browser
        browser.close()


def fault() -> str:
    """Why no browser starts here; empty where one does."""
    try:
        with open_browser():
            return ""
    except Missing as missing:
        return str(missing)


def as_root() -> list[str] | None:
    """What makes root of a command and asks nobody: nothing for root, a sudo without password; None without either."""
    if os.geteuid() == 0:
        return []
    sudo = ["sudo", "-n"]
    return sudo if shutil.which("sudo") and not subprocess.run([*sudo, "true"], **QUIET).returncode else None


def install(*packages: str) -> None:
    """Installs Debian's packages where that asks nobody; whether it worked is seen by what is there then."""
    root = as_root()
    if root is None or not shutil.which("apt-get"):
        return
    print("Installing", *packages, "with apt-get", flush=True)
    apt = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-y", "--no-install-recommends"]
    apt += ["-o", "Acquire::http::Timeout=30", "-o", "DPkg::Lock::Timeout=120"]
    for command in ([*apt, "update"], [*apt, "install", *packages]):
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def install_browser() -> None:
    install(*PACKAGES)


def download_browser() -> None:
    """Playwright's own Chromium, and the libraries that it lacks where they can be installed without asking."""
    print(f"Downloading Playwright's Chromium, about 110 MB, for at most {DOWNLOAD // 60} minutes", flush=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        environment = os.environ | {"TMPDIR": folder, "PLAYWRIGHT_DOWNLOAD_CONNECTION_TIMEOUT": "10000"}  # ms
        command = [*PLAYWRIGHT, "install", "--only-shell", "chromium"]
        process = subprocess.Popen(command, env=environment, process_group=0, **QUIET)
        try:
            process.wait(timeout=DOWNLOAD)
        except subprocess.TimeoutExpired:
            return
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # it has children
            process.wait()
    root = as_root()
    if process.returncode == 0 and root is not None and fault():
        subprocess.run([*root, *PLAYWRIGHT, "install-deps", "chromium"], stdin=subprocess.DEVNULL)


def bring_browser() -> None:
    """A browser that starts, else Missing."""
    # A package brings the libraries, too, but a person's system is left alone where a download will do.
    ways = [install_browser, download_browser] if os.geteuid() == 0 else [download_browser, install_browser]
    while (wrong := fault()) and ways and "CHROMIUM" not in os.environ:
        ways.pop(0)()
    if wrong:
        raise Missing(wrong)


def find_ffmpeg() -> str:
    """ffmpeg's path, else Missing."""
    if path := shutil.which("ffmpeg"):
        return path
    raise Missing("ffmpeg is not here; to have it: sudo apt install ffmpeg")


def bring_ffmpeg() -> None:
    if not shutil.which("ffmpeg"):
        install("ffmpeg")
    find_ffmpeg()


def bring_venv() -> None:
    """ensurepip, which Debian has in a package of its own, else Missing."""
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    if not importlib.util.find_spec("ensurepip"):
        install(package)
        importlib.invalidate_caches()
    if not importlib.util.find_spec("ensurepip"):
        raise Missing(f"{sys.executable} has no ensurepip, which makes .venv; to have it: sudo apt install {package}")


def main() -> None:
    before_all = sys.argv[1:] == ["venv"]
    for bring in (bring_venv,) if before_all else (bring_browser, bring_ffmpeg):
        try:
            bring()
        except Missing as missing:
            if before_all or os.environ.get("CI") == "true":
                sys.exit(f"make: {missing}")
            print(f"make test: tests will be left out: {missing}")


if __name__ == "__main__":
    main()
