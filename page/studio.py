"""What the editor asks for: how a text is read, speech piece by piece, files, pictures of the sound.

The editor (editor.js) holds the project; here is only what is being made (Run), while the engine keeps what was made.
So a page that was reloaded, or a server that was started again, goes on where it was.
"""

import base64
import re
import secrets
import shutil
import threading
import time
from asyncio import sleep
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from pypinyin.contrib.tone_convert import to_tone

from infer import log
from infer.documents import audio, subtitles
from infer.documents import project as projects
from infer.documents.picture import picture_of
from infer.documents.project import MOST_CARDS, Project, split
from infer.ending import ending
from infer.engine.catalogue import VoiceInfo
from infer.engine.pipeline import Engine
from infer.engine.turns import Turn, listener_named
from infer.files import TemporaryFolder
from infer.request import BadRequest, Speech, SpeechError, SpeechRequest
from page import answers, private
from page.files import TEMPORARY, Files, check_room, not_written
from page.glossary import remember
from page.guard import asker, asking
from page.sample import Samples
from text import Utterance
from text.markup import with_reading
from text.normalize import IDEOGRAPHS
from text.words import cut
from words import message, pairs

PATIENCE, POLL = 10.0, 0.02  # seconds: how long the editor's question stays open, how often it is looked at
HERE, AWAY = 2.0, 10.0  # seconds since a question: a listener is waiting at this moment; nothing more is made for one
FORSAKEN = 60.0  # seconds without a question, after which what was made is forgotten
BUFFER = 4 << 20  # bytes, about, that are made and not fetched yet: then the making waits
MOST_RUNS = 64  # that are remembered, the finished ones too
MOST_SEEN = 300  # seconds of a picture
UNSURE = 0.8  # a reading with less confidence is marked
FORMATS = (*audio.FORMATS, *subtitles.FORMATS)
# Prompts that the editor offers, by name in words/; a voice with emotions of its own shows those first.
EMOTIONS = ("neutral", "happy", "sad", "angry", "slightly happy", "slightly sad")
PROMPTS = ("surprised", "fearful", "gentle", "excited")  # for CLAP, which takes any words
Make = Callable[[Callable[[], bool]], Generator[dict[str, Any] | None, None, None]]


class Run(Turn):
    """What is being made for one listener: speech, a file, a picture.

    Its parts wait here until the editor asks for those that come after them: then it has them, and they are let go.
    """

    def __init__(
        self,
        listener: str,
        kind: str,
        make: Make,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """make: of `cancelled` the parts, with None for a step without one. clock: in seconds."""
        self.listener, self.kind, self.clock, self.address = listener, kind, clock, asking()
        self.id = secrets.token_urlsafe(16)
        self.waiting, self.done, self.stopped = True, False, False
        self.error: tuple[str, str] | None = None  # Chinese, English
        self.held = 0  # bytes of the parts, about
        self._parts: deque[tuple[dict[str, Any], int]] = deque()
        self._first = 0  # number of the first of them
        self._asked, self._met = clock(), False
        self._lock = threading.Lock()
        self._steps = make(self.cancelled)

    def begin(self) -> None:
        self.waiting = False

    def step(self) -> bool:
        for part in self._steps:
            if part is not None:
                size = 500 + len(part.get("pcm", "")) + 64 * len(part.get("times", ()))
                with self._lock:
                    self._parts.append((part, size))
                    self.held += size
            return True
        return False

    def end(self, error: Exception | None) -> None:
        self._steps.close()
        if isinstance(error, OSError):
            error = not_written(error)
        if isinstance(error, SpeechError):
            self.error = error.message.pair
        elif error:  # whatever it was, the listener's text stays and the page goes on
            log.failure(self.kind, error)
            self.error = message("studio.went_wrong", error=type(error).__name__).pair
        self.done = True

    def cancelled(self) -> bool:
        return self.stopped or ending() or self.silence > FORSAKEN

    def ready(self) -> bool:
        """The first step is taken for anyone, so that sound is there when the listener first asks."""
        return self.waiting or (self._met and self.held < BUFFER and self.silence < AWAY)

    def asked_for(self) -> bool:
        return self._met and self.silence < HERE

    @property
    def silence(self) -> float:
        """Seconds since the listener last asked."""
        return self.clock() - self._asked

    def meet(self) -> None:
        """The listener asks for it."""
        self._asked, self._met = self.clock(), True

    def fetch(self, number: int) -> tuple[list[dict[str, Any]], int]:
        """The parts from a number on, and the number of what comes next. What is before them was received."""
        with self._lock:
            while self._parts and self._first < number:
                self.held -= self._parts.popleft()[1]
                self._first += 1
            return [part for part, _ in self._parts], self._first + len(self._parts)


class Studio:
    """The editor's server functions, for all listeners of an engine."""

    def __init__(
        self, engine: Engine, files: Files, samples: Samples, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.engine = engine
        self.files = files
        self.samples = samples
        self.clock = clock
        self.runs: dict[str, Run] = {}  # by id, the latest last
        self._lock = threading.Lock()

    def functions(self) -> list[Callable]:
        """For the editor's scripts, by name."""
        named = ("voices", "read", "reading", "remember", "speak", "pieces", "stop", "file", "look", "open")
        return answers(**{name: getattr(self, name) for name in named})

    # --- what can be chosen, and how it is read ------------------------------------------------------------------

    def voices(self, _: Any) -> dict[str, Any]:
        """All voices by id, with what the editor offers for each."""
        return {id: _shown(info) for id, info in self.engine.voices().items()}

    def read(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """{text, controls} -> the text in cards, each with how its characters are read."""
        request = self._request({**ask["controls"], "text": ask["text"]})
        utterances = self.engine.read(request)
        project = split(request, utterances)
        if not project.cards:
            raise BadRequest("reading.nothing")
        cards, end = [], 0
        for card, own in zip(project.cards, projects.sentences(utterances), strict=True):
            begin = request.text.index(card.text, end)
            end = begin + len(card.text)
            cards.append({"text": card.text, "place": card.place, "ends": card.ends} | _read(own, begin))
        return {"cards": cards}

    def reading(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """{text, position, reading} -> the text with that reading for the character; an empty one takes it away."""
        try:
            return {"text": with_reading(str(ask["text"]), int(ask["position"]), str(ask["reading"]))}
        except ValueError as error:
            raise BadRequest("studio.no_reading", cause=error) from error

    def remember(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """{text, position}: the word around that character is read so in every text from now on."""
        settings = self.engine.settings
        if not settings.glossary or not private(settings):
            raise BadRequest("studio.glossary_shared")
        term, reading = word_at(self.engine.read(SpeechRequest(ask["text"], opens=False)), int(ask["position"]))
        remember(settings.path(settings.glossary), term, reading)
        return {"term": term}

    def _reading(self, text: str, request: SpeechRequest) -> dict[str, Any]:
        return _read(self.engine.read(request.but(text=text)) if text.strip() else [], 0)

    def _check(self, texts: Sequence[str]) -> None:
        """Raises BadRequest if they are too long together."""
        self.engine.check_length(SpeechRequest("".join(texts)))

    def _request(self, values: Mapping[str, Any]) -> SpeechRequest:
        """What the editor asks for; `sample` names a sample of sound. Raises BadRequest."""
        sample = values.get("sample")
        wanted = SpeechRequest.from_dict({k: v for k, v in values.items() if k != "sample"})
        return wanted.but(emotion_audio=self.samples.get(str(sample))) if sample else wanted

    # --- what takes its turns --------------------------------------------------------------------------------------

    def speak(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """{listener, requests}: begins to make them one after the other; ends what the listener was hearing."""
        listener, wanted = listener_named(ask.get("listener")), ask.get("requests")
        if not isinstance(wanted, list) or len(wanted) > MOST_CARDS:
            raise BadRequest("studio.too_many", most=MOST_CARDS)
        requests = [self._request(values) for values in wanted]
        self._check([request.text for request in requests])
        self._stop(run for run in list(self.runs.values()) if (run.listener, run.kind) == (listener, "speak"))
        return self._begin(listener, "speak", partial(self._spoken, asker.get(), requests))

    def file(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """{listener, project, format, sample}: the whole as a sound file or subtitles; makes what is not here yet.

        Its one part is {"address", "name", "seconds"}.
        """
        project, format = Project.from_dict(ask["project"]).without_takes(), ask["format"]
        if format not in FORMATS:
            raise BadRequest("studio.no_format", format=format)
        self._check([card.text for card in project.cards])
        sample = self.samples.get(str(ask["sample"])) if ask.get("sample") else b""
        make = partial(self._filed, asker.get(), project, format, sample)
        return self._begin(listener_named(ask["listener"]), "file", make)

    def look(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """{listener, request}: the picture of a card's sound, which is its one part."""
        make = partial(self._seen, asker.get(), self._request(ask["request"]))
        return self._begin(listener_named(ask.get("listener")), "look", make)

    def _begin(self, listener: str, kind: str, make: Make) -> dict[str, Any]:
        """The id of a run that waits for its turns. Raises Busy."""
        run = Run(listener, kind, make, self.clock)
        self.engine.line.enter(run)
        with self._lock:
            self.runs[run.id] = run
        self._sweep()
        return {"run": run.id}

    def _spoken(
        self, scope: str, requests: Sequence[SpeechRequest], cancelled: Callable[[], bool]
    ) -> Generator[dict[str, Any] | None, None, None]:
        """The parts of a speech. scope: whose it is, see Engine.speak."""
        at, began = (-1, -1), 0.0  # card and sentence, and when the card began
        with closing(self.engine.speak(requests, cancelled, scope=scope)) as pieces:
            for piece in pieces:
                if piece.card != at[0]:
                    began = piece.start
                yield _part(piece, began, (piece.card, piece.sentence) != at)
                at = piece.card, piece.sentence

    def _filed(
        self, scope: str, project: Project, format: str, sample: bytes, cancelled: Callable[[], bool]
    ) -> Generator[dict[str, Any] | None, None, None]:
        requests = [request.but(emotion_audio=sample) for request in project.requests]
        pieces = self.engine.speak(requests, cancelled, project.pauses, scope)
        with TemporaryFolder(TEMPORARY) as folder, closing(pieces):
            path, heard = Path(folder, f"speech.{format}"), []
            is_sound = format not in subtitles.FORMATS
            for piece in audio.saving(path, pieces, project) if is_sound else pieces:
                check_room(Path(folder))
                heard.append(piece.silent())
                yield None
            if cancelled():
                return
            if not heard:
                raise BadRequest("studio.no_sentence")
            if not is_sound:
                subtitles.write(path, heard)
            name = re.sub(r"\[[^\[\]]*\]|\W+", "", project.text)[:16] or "speech"  # readings are no part of the text
            name = f"{name}-{heard[0].request.seed}.{format}"
            address = self.files.offer(name, lambda target: shutil.move(path, target), scope)
        yield {"address": address, "name": name, "seconds": heard[-1].start + heard[-1].duration}

    def _seen(
        self, scope: str, request: SpeechRequest, cancelled: Callable[[], bool]
    ) -> Generator[dict[str, Any] | None, None, None]:
        heard: list[Speech] = []
        with closing(self.engine.speak([request], cancelled, scope=scope)) as pieces:
            for piece in pieces:
                heard.append(piece)
                if piece.start + piece.duration > MOST_SEEN:
                    raise BadRequest("studio.too_much_to_see", seconds=MOST_SEEN)
                yield None
        if heard and not cancelled():
            yield picture_of(heard).as_dict()

    async def pieces(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """{run, next}: the parts from number `next` on. Waits until there is something to say.

        The id of a run is known to its listener alone. What comes before `next` was received, and is forgotten.
        """
        self._sweep()
        run = self._run(ask)
        if run is None:
            return {"parts": [], "next": 0, "done": True}
        first = ask.get("next")
        first = first if isinstance(first, int) else 0
        run.meet()
        run.fetch(first)
        self.engine.line.wake()  # there may be room for more now
        for _ in range(round(PATIENCE / POLL)):
            run.meet()
            done = run.done or run.stopped  # asked before the parts: what came between is asked for again
            parts, following = run.fetch(first)
            if parts or done:
                break
            await sleep(POLL)
        answer = {"parts": parts, "next": following, "done": done, "waiting": run.waiting}
        return answer | ({"error": run.error} if done and run.error else {})

    def stop(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """{run}: ends the making within a decoder window; what is complete stays. Not a later run of the listener."""
        if run := self._run(ask):
            self._stop([run])
        return {}

    def leave(self, listener: str) -> None:
        """Forgets all that is made for a listener: the tab was closed."""
        self._stop(run for run in list(self.runs.values()) if run.listener == listener)

    def _run(self, ask: Any) -> Run | None:
        id = ask.get("run") if isinstance(ask, Mapping) else None
        return self.runs.get(id) if isinstance(id, str) else None

    def _stop(self, runs: Iterable[Run]) -> None:
        for run in runs:
            run.stopped = True
            with self._lock:
                self.runs.pop(run.id, None)

    def _sweep(self) -> None:
        """Forgets the runs that nobody asks for any more, and the oldest finished ones where there are too many."""
        with self._lock:
            done = [run for run in self.runs.values() if run.done]
            over = max(0, len(self.runs) - MOST_RUNS)
            forsaken = [run for run in self.runs.values() if run.silence > FORSAKEN]
            for run in {*done[:over], *forsaken}:
                del self.runs[run.id]

    def open(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """{project}: a project of anybody, checked, with how its cards are read."""
        project = Project.from_dict(ask["project"])
        if project.text.strip():
            self._check([card.text for card in project.cards])
        told = project.as_dict()
        read = [self._reading(card.text, project.request(card)) for card in project.cards]
        cards = [card | chars for card, chars in zip(told["cards"], read, strict=True)]
        return {"project": told, "text": project.text, "cards": cards}


def word_at(utterances: Sequence[Utterance], position: int) -> tuple[str, str]:
    """The word that holds the character at `position` of the given text, and its pinyin, as a glossary has them."""
    for utterance in utterances:
        for run in re.finditer(f"[{IDEOGRAPHS}]+", utterance.text):
            begin = run.start()
            for word in cut(run[0]):
                chars = utterance.chars[begin : begin + len(word)]
                if position in (char.position for char in chars):
                    return word, " ".join(char.reading for char in chars)
                begin += len(word)
    raise BadRequest("studio.no_word")


def _shown(info: VoiceInfo) -> dict[str, Any]:
    """A voice for the editor. emotions: prompt, Chinese, English."""
    names = info.emotions or (*EMOTIONS[:4], *PROMPTS)
    labels = pairs("emotions")
    if set(info.emotions) >= {"neutral", "happy", "sad"}:
        names = tuple(dict.fromkeys((*info.emotions, *EMOTIONS)))
    return {
        "title": info.title,
        "speakers": list(info.speakers),
        "emotions": [[name, *labels.get(name, (name, name))] for name in names],
        "rate": info.sampling_rate,
    }


def _read(utterances: Sequence[Utterance], begin: int) -> dict[str, Any]:
    """How the text of a card, which begins at `begin`, is read: its characters, and what is said otherwise."""
    changes = [{"text": change.text, "said": change.words} for u in utterances for change in u.changes]
    return {"chars": [char for utterance in utterances for char in _chars(utterance, begin)], "changes": changes}


def _chars(utterance: Utterance, begin: int) -> list[dict[str, Any]]:
    """An utterance's characters with the pinyin that is spoken, what else it could be, and how sure it is."""
    shown = []
    for char in utterance.chars:
        told: dict[str, Any] = {"text": char.text, "position": char.position - begin}
        if char.reading:
            told |= {"pinyin": to_tone(char.spoken), "tone": int(char.spoken[-1]), "reading": char.reading}
            told["known"] = [[reading, to_tone(reading)] for reading in dict.fromkeys((char.reading, *char.others))]
            if char.source == "approximation":
                told["mark"] = "approximation"
            elif char.source in ("user", "glossary"):
                told["mark"] = char.source
            elif char.confidence < UNSURE:
                told["mark"] = "unsure"
        shown.append(told)
    return shown


def _part(piece: Speech, began: float, first: bool) -> dict[str, Any]:
    """A piece for the editor: 16-bit samples in base64, its pause, and when its sentence's characters sound.

    Times are seconds from the beginning of the card, at `began`, and come with the sentence's first piece. Of what was
    made before there are no timings: it has taken no time now.
    """
    if "pcm" not in piece.forms:
        piece.forms["pcm"] = base64.b64encode(audio.to_pcm16(piece.samples).astype("<i2").tobytes()).decode()
    part: dict[str, Any] = {
        "card": piece.card,
        "pcm": piece.forms["pcm"],
        "rate": piece.sampling_rate,
        "sentence": piece.sentence,
        "last": piece.final,
    }
    if first:
        part["times"] = [[round(char.start - began, 4), round(char.end - began, 4)] for char in piece.characters]
    if piece.pause:
        part["pause"] = piece.pause
    if piece.notices:
        part["notices"] = [notice.pair for notice in piece.notices]
    if piece.last and piece.timings:
        part["timings"] = {stage: round(seconds, 4) for stage, seconds in piece.timings.items()}
    return part
