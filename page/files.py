"""Files that a listener may fetch: at an address that nobody can guess, without the place where they lie."""

import errno
import os
import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import FileResponse

from infer.files import TemporaryFolder
from infer.request import SpeechError
from page.guard import asker
from words import message

KEPT = 3600  # seconds that a file stays on disk for its listener
MOST, MOST_BYTES = 400, 2 << 30  # files of all listeners together, and their bytes
EACH, EACH_BYTES = 100, 1 << 30  # of one listener
SPARE = 500 << 20  # bytes of the disk that are left to others
ROUTE = "/made"
TEMPORARY = "speech-"  # begins the name of every temporary folder of a server


@dataclass(frozen=True)
class Made:
    """A finished file. token: by which it is asked for. when: by the clock. name: what it is offered under.

    owner: who has asked for it.
    """

    token: str
    when: float
    path: Path
    name: str
    owner: str
    size: int


class Files:
    """A temporary folder of finished files.

    Each is forgotten after KEPT seconds or when its room is needed, and all of them at the end. Room is made by who has
    the most: nobody can push out the files of others, who have less.
    """

    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES, clock: Callable[[], float] = time.monotonic):
        self.most, self.most_bytes, self.clock = most, most_bytes, clock
        self._folder = TemporaryFolder(TEMPORARY)
        self._made: dict[str, Made] = {}  # by token, the oldest first
        self._lock = threading.Lock()

    def offer(self, name: str, write: Callable[[Path], object], owner: str = "") -> str:
        """Has `write` make a file, whose path ends as `name` does, and returns its address on the page.

        owner: whose it is; by default whoever asks for it in this thread. Raises SpeechError where the disk refuses,
        and nothing of the file stays.
        """
        token = secrets.token_urlsafe(16)
        path = Path(self._folder.name, token + Path(name).suffix)
        try:
            check_room(path.parent)
            write(path)
            size = path.stat().st_size
        except BaseException as error:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise not_written(error) from error
            raise
        with self._lock:
            self._made[token] = Made(token, self.clock(), path, name, owner or asker.get(), size)
            self._make_room()
        return f"{ROUTE[1:]}/{token}/{quote(name)}"  # relative: the page may stand behind a proxy's path

    def has(self, address: str) -> bool:
        """Whether what `offer` has given this address is still there."""
        return self.get(address.split("/")[1]) is not None

    def get(self, token: str) -> Made | None:
        """The file of an address, while it is there."""
        with self._lock:
            self._make_room()
            return self._made.get(token)

    def mount(self, app: FastAPI, allowed: Callable[[Mapping[str, str]], bool]) -> None:
        """Serves them to whom `allowed` lets in, by the cookies of the request."""

        @app.get(ROUTE + "/{token}/{name}")
        def made(token: str, request: Request) -> FileResponse:
            if not allowed(request.cookies):
                raise HTTPException(401, str(message("signin.first")))
            file = self.get(token)
            if file is None or not file.path.is_file():
                raise HTTPException(404, str(message("guard.file_gone")))
            return FileResponse(file.path, filename=file.name, content_disposition_type="inline")

    def close(self) -> None:
        self._folder.cleanup()

    def _make_room(self) -> None:
        """Forgets what is too old or too much. The newest file always stays."""
        victims = [file for file in self._made.values() if self.clock() - file.when > KEPT]
        while victims or (victims := self._too_much()):
            with suppress(OSError):  # where a file that is being sent cannot be removed, it goes at the end
                self._made.pop(victims.pop().token).path.unlink(missing_ok=True)

    def _too_much(self) -> list[Made]:
        """The oldest file of who has too many, or too much, while there are others than the newest.

        Of all together, who has the most is looked for by address first: a stranger may invent a browser for each file.
        """
        everybody = list(self._made.values())  # the oldest first
        weights: tuple[tuple[Callable[[Made], int], int, int], ...] = (
            (lambda _: 1, self.most, EACH),
            (lambda file: file.size, self.most_bytes, EACH_BYTES),
        )
        for weigh, most, each in weights:
            too_much = sum(map(weigh, everybody)) > most
            group = _heaviest(everybody, weigh, lambda file: file.owner.partition(" ")[0]) if too_much else everybody
            group = _heaviest(group, weigh, lambda file: file.owner)
            if too_much or sum(map(weigh, group)) > each:
                older = [file for file in [*group, *(everybody if too_much else [])] if file is not everybody[-1]]
                if older:
                    return older[:1]
        return []


def check_room(folder: Path, more: float = 0) -> None:
    """Raises OSError where the disk has less than SPARE left beside so many bytes more."""
    if shutil.disk_usage(folder).free < SPARE + more:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def not_written(error: OSError) -> SpeechError:
    """What a listener is told whose file the disk has refused."""
    return SpeechError("guard.not_written", reason=error.strerror or type(error).__name__)


def _heaviest(files: list[Made], weigh: Callable[[Made], int], whose: Callable[[Made], str]) -> list[Made]:
    """The files of who has the most of them."""
    weights = Counter[str]()
    for file in files:
        weights[whose(file)] += weigh(file)
    heaviest = weights.most_common(1)
    return [file for file in files if whose(file) == heaviest[0][0]]
