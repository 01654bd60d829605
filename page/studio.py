"""What the editor asks for: how a text is read, speech piece by piece, files, pictures of the sound.

The editor (editor.js) holds the project; here are only what was made (Takes) and what is being made (Run). So a page
that was reloaded, or a server that was started again, goes on where it was.
"""

import base64
import re
import secrets
import threading
import time
from asyncio import sleep
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pypinyin.contrib.tone_convert import to_tone

from infer import audio, log, subtitles
from infer import project as projects
from infer.ending import ending
from infer.look import look
from infer.pipeline import Engine
from infer.project import Project, split
from infer.request import BadRequest, Speech, SpeechError, SpeechRequest
from infer.takes import Takes
from infer.voices import VoiceInfo
from page import answering, private
from page.files import Files
from page.glossary import remember
from page.guard import asker
from page.sample import Samples
from text import Utterance
from text.markup import with_reading
from text.normalize import IDEOGRAPHS
from text.words import cut

PATIENCE, POLL = 10.0, 0.02  # seconds: how long the editor's question stays open, how often it is looked at
FORSAKEN = 60.0  # seconds without a question, after which nobody listens any more
LISTENERS = 4  # speeches made at the same time; the others wait
UNSURE = 0.8  # a reading with less confidence is marked
FORMATS = (*audio.FORMATS, *subtitles.FORMATS)
EMOTIONS = {  # prompt -> Chinese, English; a voice with emotions of its own shows those first
    "neutral": ("平静", "neutral"),
    "happy": ("开心", "happy"),
    "sad": ("难过", "sad"),
    "angry": ("生气", "angry"),
    "slightly happy": ("有点开心", "slightly happy"),
    "slightly sad": ("有点难过", "slightly sad"),
}
PROMPTS = {  # for CLAP, which takes any words
    "surprised": ("惊讶", "surprised"),
    "fearful": ("害怕", "fearful"),
    "gentle": ("温柔", "gentle"),
    "excited": ("兴奋", "excited"),
}


@dataclass
class Run:
    """What is being made for one listener. parts wait here till the editor has asked for them. scope: see Takes."""

    listener: str
    scope: str = field(default_factory=asker.get)
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    parts: list[dict[str, Any]] = field(default_factory=list)
    asked: float = field(default_factory=time.monotonic)
    stopped: threading.Event = field(default_factory=threading.Event)
    waiting: bool = True
    done: bool = False
    error: list[str] | None = None

    def cancelled(self) -> bool:
        return self.stopped.is_set() or ending() or time.monotonic() - self.asked > FORSAKEN


class Studio:
    """The editor's server functions, for all listeners of an engine."""

    def __init__(self, engine: Engine, files: Files, samples: Samples) -> None:
        self.engine = engine
        self.takes = Takes(engine)
        self.files = files
        self.samples = samples
        self.runs: dict[str, Run] = {}  # by listener: the latest
        self._turn = threading.Semaphore(LISTENERS)

    def functions(self) -> list[Callable]:
        """For gr.HTML; Gradio marks them, so they cannot be bound methods."""

        async def pieces(ask: Any) -> dict[str, Any]:
            return await self.pieces(ask)

        named = ("voices", "read", "reading", "remember", "speak", "stop", "file", "look", "open")
        return [answering(pieces), *(answering(_plain(getattr(self, name))) for name in named)]

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
            raise BadRequest(
                "There is nothing to read aloud in this text; write some Chinese.",
                "这段文字里没有能读出的内容，请输入中文。",
            )
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
            raise BadRequest(str(error), "这不是带声调的拼音；请写成 hang2 或 háng。") from error

    def remember(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """{text, position}: the word around that character is read so in every text from now on."""
        settings = self.engine.settings
        if not settings["glossary"] or not private(settings):
            raise BadRequest(
                "The glossary is switched off or shared with others, so only this sentence was to be changed; untick "
                "“remember”.",
                "读音表已关闭，或与他人共用，所以不能记住；请去掉“记住”的勾，只改这一句。",
            )
        term, reading = word_at(self.engine.read(SpeechRequest(ask["text"])), int(ask["position"]))
        remember(settings.path(settings["glossary"]), term, reading)
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

    # --- speech ----------------------------------------------------------------------------------------------------

    def speak(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """{listener, requests}: begins to make them one after the other; ends what the listener was hearing."""
        listener = str(ask["listener"])
        requests = [self._request(values) for values in ask["requests"]]
        self._check([request.text for request in requests])
        self.leave(listener)
        run = self.runs[listener] = Run(listener)
        threading.Thread(target=self._make, args=(run, requests), name="speak", daemon=False).start()
        return {"run": run.id}

    def _make(self, run: Run, requests: Sequence[SpeechRequest]) -> None:
        try:
            with self._turn:
                run.waiting = False
                for card, request in enumerate(requests):
                    known = self.takes.find(request, run.scope) is not None
                    with closing(self.takes.stream(request, run.cancelled, run.scope)) as pieces:
                        for piece in pieces:
                            run.parts.append(_part(piece, card, known))
                    if run.cancelled():
                        break
        except SpeechError as error:
            run.error = [error.zh, str(error)]
        except Exception as error:  # whatever it was, the listener's text stays and the page goes on
            log.failure("speaking", error)
            name = type(error).__name__
            run.error = [
                f"出错了（{name}）。文字还在，请再试一次；仍不行请看终端里的说明。",
                f"Something went wrong ({name}). Your text is still here: try again, or look into the terminal for "
                "the cause.",
            ]
        finally:
            run.done = True

    async def pieces(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """{run, next}: the parts from number `next` on. Waits until there is something to say.

        The id of a run is known to its listener alone.
        """
        run = self._run(ask["run"])
        if run is None:
            return {"parts": [], "next": 0, "done": True}
        first = int(ask["next"])
        for _ in range(round(PATIENCE / POLL)):
            run.asked = time.monotonic()
            done, parts = run.done, run.parts[first:]  # done before the parts: what came between is asked for again
            if parts or done or run.stopped.is_set():
                break
            await sleep(POLL)
        ended = run.stopped.is_set() or (done and first + len(parts) == len(run.parts))
        answer = {"parts": parts, "next": first + len(parts), "done": ended, "waiting": run.waiting}
        return answer | ({"error": run.error} if ended and run.error else {})

    def stop(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """{run}: ends the making within a decoder window; what is complete stays. Not a later run of the listener."""
        if run := self._run(ask["run"]):
            self.leave(run.listener)
        return {}

    def _run(self, id: Any) -> Run | None:
        return next((run for run in list(self.runs.values()) if run.id == id), None)

    def leave(self, listener: str) -> None:
        """Forgets what a listener was hearing: another speech takes its place, or the tab was closed."""
        if run := self.runs.pop(listener, None):
            run.stopped.set()

    # --- the whole -------------------------------------------------------------------------------------------------

    def file(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """{project, format, sample}: the whole as a sound file or subtitles; only what is not here yet is made."""
        project, format = Project.from_dict(ask["project"]).without_takes(), ask["format"]
        if format not in FORMATS:
            raise BadRequest(f"The format {format!r} is not known.", f"不支持 {format!r} 格式。")
        self._check([card.text for card in project.cards])
        pieces = list(projects.stream(project, self._say(ask)))
        if not pieces:
            raise BadRequest("There is no sentence to speak; write one.", "没有要说的句子，请先输入。")
        name = re.sub(r"\W+", "", project.text)[:16] or "speech"
        name = f"{name}-{pieces[0].request.seed}.{format}"
        if format in subtitles.FORMATS:
            address = self.files.offer(name, lambda path: subtitles.write(path, pieces))
        else:
            samples = np.concatenate([piece.samples for piece in pieces])
            address = self.files.offer(name, lambda path: audio.write(path, samples, pieces[0].sampling_rate, project))
        return {"address": address, "name": name, "seconds": pieces[-1].start + pieces[-1].duration}

    def look(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """{request}: the picture of a card's sound."""
        return look(list(self.takes.stream(self._request(ask["request"]), scope=asker.get()))).as_dict()

    def open(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """{project}: a project of anybody, checked, with how its cards are read."""
        project = Project.from_dict(ask["project"])
        if project.text.strip():
            self._check([card.text for card in project.cards])
        told = project.as_dict()
        read = [self._reading(card.text, project.request(card)) for card in project.cards]
        cards = [card | chars for card, chars in zip(told["cards"], read, strict=True)]
        return {"project": told, "text": project.text, "cards": cards}

    def _say(self, ask: Mapping[str, Any]) -> projects.Say:
        sample = self.samples.get(str(ask["sample"])) if ask.get("sample") else b""
        scope = asker.get()
        return lambda request, cancelled: self.takes.stream(request.but(emotion_audio=sample), cancelled, scope)


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
    raise BadRequest("There is no Chinese word to remember here.", "这里没有可以记住读音的汉字词。")


def _plain(method: Callable) -> Callable:
    """A bound method as a plain function of the same name, which is what the editor calls it by."""

    def call(ask: Any) -> Any:
        return method(ask)

    call.__name__ = method.__name__
    return call


def _shown(info: VoiceInfo) -> dict[str, Any]:
    """A voice for the editor. emotions: prompt, Chinese, English."""
    names = info.emotions or (*tuple(EMOTIONS)[:4], *PROMPTS)
    known = EMOTIONS | PROMPTS
    if set(info.emotions) >= {"neutral", "happy", "sad"}:
        names = tuple(dict.fromkeys((*info.emotions, *EMOTIONS)))
    return {
        "title": info.title,
        "speakers": list(info.speakers),
        "emotions": [[name, *known.get(name, (name, name))] for name in names],
        "rate": info.sampling_rate,
    }


def _read(utterances: Sequence[Utterance], begin: int) -> dict[str, Any]:
    """How the text of a card, which begins at `begin`, is read: its characters, and what is said otherwise."""
    changes = [{"text": change.text, "said": change.said} for u in utterances for change in u.changes]
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


def _part(piece: Speech, card: int, known: bool) -> dict[str, Any]:
    """A piece for the editor: 16-bit samples in base64, and when its sentence's characters sound.

    Times are seconds from the beginning of the card. known: it was made before, so it has taken no time now.
    """
    part: dict[str, Any] = {
        "card": card,
        "pcm": base64.b64encode(audio.to_pcm16(piece.samples).astype("<i2").tobytes()).decode(),
        "rate": piece.sampling_rate,
        "sentence": piece.sentence,
        "last": piece.last and piece.sentence == piece.sentences - 1,
        "times": [[round(char.start, 4), round(char.end, 4)] for char in piece.characters],
    }
    if piece.notices:
        part["notices"] = [[zh, en] for en, zh in piece.notices]
    if piece.last and not known:
        part["timings"] = {stage: round(seconds, 4) for stage, seconds in piece.timings.items()}
    return part
