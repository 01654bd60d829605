"""One line before the engine: whoever wants something spoken waits in it, without a thread, and takes turns.

    enter -> [turn, turn, turn …] -> a few threads: a step of the next that can go on, then to the end of the line

So a newcomer waits for the steps that are being taken, and for others who are there as well: one who has left costs
nothing, and what a listener does not fetch is not made. Listeners are invented easily and addresses are not: those of
one address share what one of another has alone.
"""

import math
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

from infer.ending import ending
from infer.request import BadRequest, Busy

WORKERS = 4  # steps that are taken at the same time
MOST, EACH = 32, 8  # turns in the line, and of one listener
TICK = 0.1  # seconds between two looks at turns of which none can go on
LONGEST_NAME = 64  # characters of a listener's name, which pages invent


class Turn:
    """Something that is made for a listener, step by step. Made to be derived from; compared by identity."""

    listener: str
    address: str = ""  # where the listener is

    def begin(self) -> None:
        """A step is about to be taken. Called with the line held: no more than a note."""

    def step(self) -> bool:
        """Takes a step, of a second or so; False when it was the last. What it raises ends the turn."""
        raise NotImplementedError

    def end(self, error: Exception | None) -> None:
        """It has left the line: is done, was cancelled, has failed, or has made room for others (Busy)."""

    def cancelled(self) -> bool:
        """Whether it should leave the line."""
        return False

    def ready(self) -> bool:
        """Whether a step can be taken now: its listener is there and has room for more."""
        return True

    def asked_for(self) -> bool:
        """Whether somebody is waiting for it at this moment: such turns go before all others."""
        return True


class Line:
    """Turns in their order. Its threads begin with the first and end with the last."""

    def __init__(self, workers: int = WORKERS, most: int = MOST, each: int = EACH) -> None:
        self.workers, self.most, self.each = workers, most, each
        self._turns: list[Turn] = []
        self._taken: set[Turn] = set()  # a step of them is being taken
        self._threads = 0
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._turns)

    def enter(self, turn: Turn) -> None:
        """Puts it at the end. Raises Busy when the line is full, or the listener has too much in it.

        Where it is full, the first that nobody is asking for makes room, or else the latest of a crowd at one address.
        One of a crowd pushes out nobody who is not.
        """
        with self._changed:
            waiting = [other for other in self._turns if other not in self._taken]
            left: list[tuple[Turn, Busy | None]] = [(other, None) for other in waiting if other.cancelled()]
            there = len(self._turns) - len(left)
            if there >= self.most and not self._too_many(turn):
                alive = [other for other in waiting if not other.cancelled()]
                left += [(other, busy(there)) for other in self._in_the_way(turn, alive)[:1]]
            self._turns = [other for other in self._turns if all(other is not gone for gone, _ in left)]
            refusal = self._refusal(turn)
            if refusal is None:
                self._turns.append(turn)
                if self._threads < min(self.workers, len(self._turns)):
                    self._threads += 1
                    threading.Thread(target=self._work, name="speak", daemon=False).start()
            self._changed.notify()
        for gone, error in left:
            gone.end(error)
        if refusal:
            raise refusal

    def wake(self) -> None:
        """Something can go on that could not before."""
        with self._changed:
            self._changed.notify()

    def _in_the_way(self, turn: Turn, alive: Sequence[Turn]) -> list[Turn]:
        """Who may make room for a turn: who is not asking, else the address that has the most, if this has far less."""
        there = Counter(other.address for other in self._turns)
        idle = [other for other in alive if not other.asked_for() and there[other.address] >= there[turn.address]]
        most = max(there.values())
        if idle or there[turn.address] + 1 >= most:
            return idle
        return [other for other in reversed(alive) if there[other.address] == most]

    def _too_many(self, turn: Turn) -> bool:
        return sum(other.listener == turn.listener for other in self._turns) >= self.each

    def _refusal(self, turn: Turn) -> Busy | None:
        if self._too_many(turn):
            return Busy("engine.too_much")
        return busy(len(self._turns)) if len(self._turns) >= self.most else None

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (turn := self._next()):
                    if not self._turns or ending():
                        self._threads -= 1
                        return
                    self._changed.wait(TICK)
            self._take(turn)

    def step(self) -> bool:
        """Takes one step in the thread that calls; False when nobody can go on now."""
        with self._changed:
            turn = self._next()
        if turn:
            self._take(turn)
        return turn is not None

    def _next(self) -> Turn | None:
        """Whose turn it is. The line is held."""
        speaking = {turn.listener for turn in self._taken}
        able = [turn for turn in self._turns if turn not in self._taken and turn.listener not in speaking]
        able = [turn for turn in able if turn.cancelled() or turn.ready()]
        if not able:
            return None
        served = Counter(turn.address for turn in self._taken)
        turn = min(able, key=lambda turn: (not turn.asked_for(), served[turn.address]))
        self._taken.add(turn)
        turn.begin()
        return turn

    def _take(self, turn: Turn) -> None:
        more, error = False, None
        try:
            more = not turn.cancelled() and turn.step()
        except Exception as caught:  # whose turn it was knows what to say of it
            error = caught
        with self._changed:
            self._taken.discard(turn)
            self._turns.remove(turn)
            if more:
                self._turns.append(turn)
            self._changed.notify()
        if not more:
            turn.end(error)


def busy(there: int) -> Busy:
    """Why nobody else is let in."""
    return Busy("engine.busy", there=there, seconds=max(5, math.ceil(there / WORKERS)))


def listener_named(name: Any) -> str:
    """A listener's name as a page gives it. Raises BadRequest."""
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        raise BadRequest("engine.no_listener", most=LONGEST_NAME)
    return name
