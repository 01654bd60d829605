"""Files that a listener may fetch: at an address that nobody can guess, without the place where they lie."""

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import FileResponse

from infer.files import TemporaryFolder

KEPT = 3600  # seconds that a file stays on disk for its listener
ROUTE = "/made"
TEMPORARY = "speech-"  # begins the name of every temporary folder of a server


class Files:
    """A temporary folder of finished files. Each is forgotten after KEPT seconds, and all of them at the end."""

    def __init__(self) -> None:
        self._folder = TemporaryFolder(TEMPORARY)
        self._made: dict[str, tuple[float, Path, str]] = {}  # by token: when, where, the name it is offered under
        self._lock = threading.Lock()

    def offer(self, name: str, write: Callable[[Path], None]) -> str:
        """Has `write` make a file, whose path ends as `name` does, and returns its address on the page."""
        token = secrets.token_urlsafe(16)
        path = Path(self._folder.name, token + Path(name).suffix)
        write(path)
        with self._lock:
            self._made[token] = time.monotonic(), path, name
        self._forget()
        return f"{ROUTE[1:]}/{token}/{quote(name)}"  # relative: the page may stand behind a proxy's path

    def mount(self, app: FastAPI, allowed: Callable[[Mapping[str, str]], bool]) -> None:
        """Serves them to whom `allowed` lets in, by the cookies of the request."""

        @app.get(ROUTE + "/{token}/{name}")
        def made(token: str, request: Request) -> FileResponse:
            if not allowed(request.cookies):
                raise HTTPException(401, "Sign in on the page first.")
            if token not in self._made:
                raise HTTPException(404, "This file is gone; make it again on the page.")
            _, path, name = self._made[token]
            return FileResponse(path, filename=name, content_disposition_type="inline")

    def close(self) -> None:
        self._folder.cleanup()

    def _forget(self) -> None:
        with self._lock:
            for token, (when, path, _) in list(self._made.items()):
                if time.monotonic() - when > KEPT:
                    del self._made[token]
                    path.unlink(missing_ok=True)
