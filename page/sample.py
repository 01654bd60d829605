"""A sample of sound whose feeling a voice takes: chosen, dropped or recorded in the browser, kept here by its content.

file or microphone -> the browser: mono, 30 s, wav -> take_sample -> Samples -> its id, which a request names
"""

import base64
import binascii
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
import numpy as np
import soxr

from infer.documents import audio, clips
from infer.request import BadRequest
from page import answers, panel
from words import pairs

LARGEST = 20 << 20  # bytes of a file
SECONDS = 30  # of a sample; what comes later is cut off
SHORTEST = 0.3  # seconds, in which nobody can say anything
QUIETEST = 1e-3  # peak; a microphone that is switched off gives less
EACH = 4  # samples of a listener
MOST_BYTES = 256 << 20  # of all listeners together
NAME = 64  # characters of a listener's name
IDLE = 1800.0  # seconds without use after which a sample is forsaken and may make room for another's
RATE = 48_000  # Hz that the browser decodes to, which is what CLAP hears, and the most that is kept


@dataclass
class Sample:
    """A sound that some listeners have brought, and when one of them last did something with it, by the clock."""

    data: bytes
    used: float
    listeners: set[str] = field(default_factory=set)


class Samples:
    """Sounds that listeners have brought, by a hash of what is in them.

    Each listener has room for EACH, where the one used longest ago gives way to another. All of them together have a
    bounded room, where nobody's sound gives way to somebody else's before it has been left alone for IDLE seconds. Who
    knows an id knows the sound, so an id tells nobody what somebody else has brought.
    """

    def __init__(
        self, each: int = EACH, most_bytes: int = MOST_BYTES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.each, self.most_bytes, self.clock = each, most_bytes, clock
        self._samples: OrderedDict[str, Sample] = OrderedDict()  # the one used longest ago first
        self._lock = threading.Lock()

    def add(self, data: bytes, listener: str = "") -> str:
        """Keeps a sound file's bytes for a listener and returns their id. Raises BadRequest if there is no room."""
        id = hashlib.sha256(data).hexdigest()
        with self._lock:
            mine = [other for other, sample in self._samples.items() if listener in sample.listeners and other != id]
            leaving = mine[: max(0, len(mine) + 1 - self.each)]
            self._make_room(0 if id in self._samples else len(data), leaving, listener)
            for other in leaving:
                self._leave(other, listener)
            self._samples.setdefault(id, Sample(data, 0)).listeners.add(listener)
            self._use(id)
        return id

    def get(self, id: str) -> bytes:
        """The bytes of an id, none for "". Raises BadRequest if they have made room for others."""
        if not id:
            return b""
        with self._lock:
            if id not in self._samples:
                raise BadRequest("sample.gone")
            self._use(id)
            return self._samples[id].data

    def _use(self, id: str) -> None:
        self._samples[id].used = self.clock()
        self._samples.move_to_end(id)

    def _leave(self, id: str, listener: str) -> None:
        self._samples[id].listeners.discard(listener)
        if not self._samples[id].listeners:
            del self._samples[id]

    def _make_room(self, size: int, leaving: Sequence[str], listener: str) -> None:
        """Forgets forsaken sounds till `size` bytes fit once the listener's own have left. Raises BadRequest."""
        alone = [id for id in leaving if self._samples[id].listeners == {listener}]
        over = size + sum(len(sample.data) for id, sample in self._samples.items() if id not in alone) - self.most_bytes
        forsaken = []
        for id, sample in self._samples.items():
            if over <= 0 or self.clock() - sample.used < IDLE:
                break
            if id not in alone:
                forsaken.append(id)
                over -= len(sample.data)
        if over > 0:
            raise BadRequest("sample.full")
        for id in forsaken:
            del self._samples[id]


def decoded(data: str) -> bytes:
    """base64 as a page sends it -> bytes. Raises BadRequest."""
    if isinstance(data, str):
        _check_size(len(data) * 3 // 4 - 2)  # 2: what it is filled up with at the end
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise BadRequest("sample.torn") from error


def prepared(data: bytes) -> tuple[bytes, float]:
    """A sound file -> a wav of at most SECONDS, mono, at most RATE, and its seconds. Raises BadRequest."""
    _check_size(len(data))
    samples, rate = clips.read_clip(data)
    samples = samples[: SECONDS * rate]
    if rate > RATE:
        samples, rate = soxr.resample(samples, rate, RATE), RATE
    if len(samples) < SHORTEST * rate:
        raise BadRequest("sample.short")
    if np.abs(samples).max() < QUIETEST:
        raise BadRequest("sample.silent")
    return audio.encode(samples, rate), len(samples) / rate


def component(samples: Samples, **shown: Any) -> gr.HTML:
    """The part of the page; `window.sample.id` is "" or what Samples.get takes. shown: gr.HTML's layout arguments."""

    def take_sample(ask: Mapping[str, Any]) -> dict[str, Any]:
        """{data: a sound file in base64, listener} -> {"id", "seconds"}."""
        wav, seconds = prepared(decoded(ask["data"]))
        return {"id": samples.add(wav, str(ask["listener"])[:NAME]), "seconds": seconds}

    def kept_sample(id: str) -> dict[str, Any]:
        """The wav of an id in base64: for a page that was loaded anew, or whose browser could not decode the file."""
        return {"wav": base64.b64encode(samples.get(id)).decode()}

    return panel(
        '<div class="sample"></div>',
        "sample.js",
        functions=answers(take_sample=take_sample, kept_sample=kept_sample),
        words=pairs("sample"),
        limits={"largest": LARGEST, "seconds": SECONDS, "shortest": SHORTEST, "quietest": QUIETEST, "rate": RATE},
        apply_default_css=False,
        **({"elem_id": "sample"} | shown),
    )


def _check_size(size: int) -> None:
    """Raises BadRequest for a file of so many bytes if they are too many."""
    if size > LARGEST:
        raise BadRequest("sample.large", size=f"{size / (1 << 20):.1f}", most=LARGEST >> 20)
