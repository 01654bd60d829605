"""Signing in and out: one name and password, and guesses at them that take ever longer."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import HTTPException, Request, Response

from infer.files import Recent
from page.guard import asker
from words import message

FREE = 5  # wrong passwords from one address before it has to wait; a name has ten times as many
LONGEST, LONGEST_NAME = 60.0, 4.0  # seconds between two guesses, at most
FORGIVEN = 900.0  # seconds without a guess, after which all are forgotten
REMEMBERED = 4096  # addresses, and shares of all names


class Guesses:
    """Wrong guesses by key, each doubling the time until the next; the keys used longest ago are forgotten."""

    def __init__(self, free: int, longest: float, clock: Callable[[], float]) -> None:
        self.free, self.longest, self.clock = free, longest, clock
        self._made: Recent[str, tuple[int, float]] = Recent(REMEMBERED)  # how many, when the last

    def wait(self, key: str) -> float:
        """Seconds until the next guess is heard; 0: at once."""
        made, last = self._made.get(key) or (0, 0.0)
        pause = min(2.0 ** min(made - self.free, 30), self.longest) if made >= self.free else 0.0
        return max(0.0, last + pause - self.clock())

    def wrong(self, key: str) -> None:
        made, last = self._made.get(key) or (0, 0.0)
        now = self.clock()
        self._made.put(key, ((1 if now - last > FORGIVEN else made + 1), now))

    def right(self, key: str) -> None:
        self._made.remove(key)


class Door:
    """Whether a name and password are the right ones, as Gradio asks it.

    Guesses are slowed down by the address they come from, and by the name they are for, since one guesser may have
    many addresses. From where somebody has signed in before, only the address counts: nobody else's guesses at a name
    shut its owner out there. Names go by a hash into a fixed number of shares, so nobody learns which there are.
    """

    def __init__(self, user: str, password: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.user, self.password = user.strip(), password
        self.addresses = Guesses(FREE, LONGEST, clock)
        self.names = Guesses(10 * FREE, LONGEST_NAME, clock)
        self.owners: Recent[str, bool] = Recent(REMEMBERED)  # addresses from which somebody has signed in
        self._salt = secrets.token_bytes(16)

    def __call__(self, name: str, password: str) -> bool:
        """Raises HTTPException 429 for a guess that comes too early, be it right or wrong."""
        address = asker.get()
        share = str(int.from_bytes(self._hash(name)[:4]) % REMEMBERED)
        wait = max(self.addresses.wait(address), 0.0 if address in self.owners else self.names.wait(share))
        if wait:
            seconds = int(wait) + 1
            wrong = message("signin.too_early", seconds=seconds)
            raise HTTPException(429, wrong.pair, {"retry-after": str(seconds)})
        named = hmac.compare_digest(self._hash(name), self._hash(self.user))
        right = hmac.compare_digest(self._hash(password), self._hash(self.password))
        if not (named and right):  # both were compared: the time tells nothing
            self.addresses.wrong(address)
            self.names.wrong(share)
            return False
        self.addresses.right(address)
        self.owners.put(address, True)
        return True

    def _hash(self, word: str) -> bytes:
        return hashlib.sha256(self._salt + word.encode("utf-8", "surrogatepass")).digest()


def signed_in(app: Any, cookies: Mapping[str, str]) -> bool:
    """Whether who sends these cookies may see the page; Gradio's own check cannot be called from outside."""
    return app.auth is None or any(cookies.get(name) in app.tokens for name in _names(app) if name in cookies)


def mount(app: Any) -> None:
    """Serves signing out, which takes a POST: a link or a picture on another site must not do it."""

    @app.post("/logout", status_code=204)
    def sign_out(request: Request) -> Response:
        response = Response(status_code=204)
        for name in _names(app):
            app.tokens.pop(request.cookies.get(name), None)
            response.delete_cookie(name)
        return response


def _names(app: Any) -> tuple[str, str]:
    return f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}"
