"""What a speech is made of: lines, which are requests, and their sentences; each is ready but for the decoder."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor

from infer.engine import stages
from infer.engine.takes import Draft
from infer.engine.voice import Voice
from infer.request import BadRequest, Speech, SpeechRequest, Timed, too_long
from text import Utterance
from words import Message, message


@dataclass(frozen=True)
class Place:
    """Which sentence of which line, and when it begins, in seconds from the beginning of the line."""

    line: int
    sentence: int = 0
    start: float = 0.0


@dataclass(frozen=True)
class Line:
    """A request with what is needed to say it. pauses: seconds after each utterance, none after the last.

    timings: seconds that its own stages took, text and emotion. draft: keeps what is made, where that is wanted.
    """

    request: SpeechRequest
    voice: Voice
    speaker: Tensor
    emotion: Tensor
    utterances: Sequence[Utterance]
    pauses: Sequence[float]
    notices: tuple[Message, ...]
    timings: dict[str, float]
    draft: Draft | None


@dataclass(frozen=True)
class Known:
    """A line that was said before. following: the place after it. seconds: of its sound and pauses."""

    pieces: tuple[Speech, ...]
    following: Place | None

    @property
    def seconds(self) -> float:
        return sum(piece.duration for piece in self.pieces)

    def speech(self, _: Sequence[int]) -> Iterator[Speech]:
        yield from self.pieces


@dataclass(frozen=True)
class Sentence:
    """A sentence that only lacks the decoder. latent: what that takes [1, I, F]. phones, characters: times in its line.

    following: the place after it. seconds: it lasts so long, its pause included.
    """

    line: Line
    place: Place
    following: Place | None
    latent: Tensor
    phones: tuple[Timed, ...]
    characters: tuple[Timed, ...]
    seconds: float
    timings: dict[str, float]

    @property
    def sound(self) -> float:
        """Seconds without the pause."""
        config = self.line.voice.config
        return self.latent.shape[-1] * config.hop / config.sampling_rate

    def speech(self, sizes: Sequence[int]) -> Iterator[Speech]:
        """Its pieces, as soon as each can be had; times from the beginning of the line. sizes: of windows.

        A line's first sentence begins with the smallest window, wherever the line stands: so it always sounds the same.
        """
        line, place, timings = self.line, self.place, self.timings
        rate, first, start = line.voice.config.sampling_rate, place.sentence == 0, place.start
        left = self.latent.shape[-1] * line.voice.config.hop
        windows = stages.sound(line.voice.backend, line.voice.config, self.latent, line.speaker, sizes, first)
        notices = line.notices if first else ()
        while left:
            with timed(timings, "decode"):
                samples = next(windows)
            left -= len(samples)
            piece = Speech(
                samples=samples,
                sampling_rate=rate,
                start=start,
                sentence=place.sentence,
                sentences=len(line.utterances),
                utterance=line.utterances[place.sentence],
                phones=self.phones,
                characters=self.characters,
                timings=dict(timings),
                request=line.request,
                last=not left,
                notices=notices,
                pause=0.0 if left else line.pauses[place.sentence],
            )
            if line.draft:
                line.draft.add(piece)
            yield piece
            start, notices = start + piece.duration, ()


Part = Known | Sentence


def spoken(
    utterances: Sequence[Utterance], request: SpeechRequest, limit: float
) -> tuple[list[Utterance], list[float]]:
    """The utterances that sound, and the seconds of silence after each. Raises BadRequest.

    limit: seconds of all. Pauses cost nothing to make, so a text with hours of them is soon written.
    """
    aloud = [u for u in utterances if any(c.reading for c in u.chars)]
    if not aloud:
        raise BadRequest("reading.nothing")
    # A long sentence that was cut goes on sooner, and at once where it was cut between words.
    after = {"paragraph": request.paragraph_pause, "sentence": request.pause, "clause": request.pause / 2}
    pauses = [*(after.get(utterance.ends, 0.0) for utterance in aloud[:-1]), 0.0]
    if sum(pauses) > limit:
        raise too_long(limit)
    return aloud, pauses


def skipped(utterances: Sequence[Utterance]) -> list[Message]:
    """What the user should know of what is not said."""
    left_out = [s for u in utterances for s in u.skipped]
    if not left_out:
        return []
    shown = " ".join(f"{s.text!r} ({s.position})" for s in left_out[:5]) + (" …" if len(left_out) > 5 else "")
    return [message("reading.skipped", characters=shown)]


@contextmanager
def timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    began = time.perf_counter()
    try:
        yield
    finally:
        timings[stage] = timings.get(stage, 0.0) + time.perf_counter() - began
