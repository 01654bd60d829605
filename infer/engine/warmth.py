"""Every shape that a backend will ever see, seen once before anybody waits for it."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from infer.ending import ending
from infer.engine import shapes
from infer.engine.backends import Backend
from models import SynthesizerConfig


@dataclass
class Warmth:
    """How far a voice is: `done` of `total` shapes. error: why it stopped; the voice speaks all the same."""

    done: int = 0
    total: int = 0
    error: str = ""
    _stopped: threading.Event = field(default_factory=threading.Event, repr=False)
    _thread: threading.Thread | None = field(default=None, repr=False)

    def start(self, steps: Sequence[Callable[[], object]]) -> None:
        """Take the steps one after the other in a thread of their own. Requests may come meanwhile."""
        self.total = len(steps)
        self._thread = threading.Thread(target=self._run, args=(steps,), name="warm-up", daemon=False)
        self._thread.start()

    def _run(self, steps: Sequence[Callable[[], object]]) -> None:
        for step in steps:
            if self._stopped.is_set() or ending():
                return
            try:
                step()
            except Exception as error:  # the request that needs this shape will say it to somebody
                self.error = f"{type(error).__name__}: {error}"
                return
            self.done += 1

    def wait(self, seconds: float | None = None) -> bool:
        """Whether all is warm, after waiting for it so long."""
        if self._thread:
            self._thread.join(seconds)
        return self.done == self.total

    def stop(self) -> None:
        """After the step that is being taken."""
        self._stopped.set()


def calls(
    backend: Backend,
    config: SynthesizerConfig,
    halos: tuple[int, int],
    sizes: Sequence[int],
    emotion: int,
    speaker: Tensor,
) -> list[Callable[[], object]]:
    """A call for each shape of the fixed set, the decoder's first.

    Where no shape costs anything, the smallest of each part, which wake its threads and claim its memory.
    emotion: how many values the emotion input has.
    """
    widths = [
        (config.variant.bert_pre or width) if i == 0 else width for i, (_, width) in enumerate(config.variant.bert)
    ]
    rate, latent = config.upsample_rates[0], config.inter_channels + config.source_channels

    def encode(size: int) -> object:
        ids = torch.zeros(1, size, dtype=torch.long)
        bert = tuple(torch.zeros(1, width, size) for width in widths)
        rest = torch.zeros(1, emotion), speaker, torch.zeros(1, 2, size)
        return backend.encode((ids, ids, ids, shapes.mask(size, size)), bert, *rest, sdp_ratio=0.5)

    def flow(size: int) -> object:
        return backend.flow(torch.zeros(1, config.inter_channels, size), shapes.mask(size, size), speaker)

    def head(size: int, mask: Tensor | None = None) -> object:
        return backend.head(torch.zeros(1, latent, size), speaker, mask)

    def tail(size: int, mask: Tensor | None = None) -> object:
        return backend.tail(torch.zeros(1, config.head_channels, size * rate), mask)

    heads, tails = (sorted(size for size in sizes if size > 2 * halo) for halo in halos)
    parts = (tail, tails), (head, heads), (encode, shapes.TOKEN_BUCKETS), (flow, shapes.FRAME_BUCKETS)
    if not backend.compiles:
        return [partial(part, sizes[0]) for part, sizes in parts]
    masked = [partial(part, of[0], shapes.mask(of[0], of[0])) for part, of in parts[:2]]
    return [*(partial(part, size) for part, sizes in parts for size in sizes), *masked]
