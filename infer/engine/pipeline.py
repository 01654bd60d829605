"""Text in, sound out: Engine.stream. One generator behind the page, the API, the command line and the benchmark.

    sentence -> phones -> [encode: a token bucket] -> durations -> [flow: a frame bucket] -> [decoder: fixed windows]

The shapes in brackets are the only ones a device ever sees (shapes.py); all randomness is drawn on the host from the
request's seed and the sentence's place.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

import text
from infer import log
from infer.documents import audio
from infer.ending import ending
from infer.engine import backends, devices, shapes
from infer.engine.backends import Backend
from infer.engine.catalogue import Catalogue, VoiceFiles, VoiceInfo, some
from infer.engine.decoding import decode
from infer.engine.devices import Device
from infer.engine.record import Record, Spoken
from infer.engine.turns import Line
from infer.engine.voice import Features, Voice
from infer.engine.warmth import Warmth
from infer.hub.listing import command
from infer.request import BadRequest, MissingFiles, Speech, SpeechError, SpeechRequest, Timed, too_long
from infer.settings import Settings, SettingsError
from models import Synthesizer, SynthesizerConfig, align
from models.config import plain
from models.source import driven
from models.synthesizer import sample_prior
from text import Utterance, g2pw
from text.symbols import TABLE_V1_0, TABLE_V1_1, TABLE_V2, SymbolTable, phone_ids

if TYPE_CHECKING:
    from infer.engine.selftest import Report

# Streams of shapes.noise; there are at most two unused slots.
DURATION_NOISE, LATENT_NOISE, SLOT_NOISE, SOURCE_NOISE = 0, 1, 2, 4
TABLES = {"v2": TABLE_V2, "v1.1": TABLE_V1_1, "v1.0": TABLE_V1_0}  # by Variant.table
FADE = 0.002  # seconds; a sentence begins and ends without a click


class Engine:
    """Voices, features and a device, from settings. Safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        """Looks for voices; loads nothing yet. Raises SpeechError when there is no voice at all."""
        self.settings = settings
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.device = devices.choose(settings.webui.device, settings.webui.fp16_run, settings.webui.int8_run)
        self.backend, self.backend_note = backends.choose(settings.backend, self.device)
        self.features = Features(settings, self.device)
        self.catalogue = Catalogue(settings)
        self.default_voice = self.catalogue.default()
        if not self.default_voice:
            raise SpeechError(
                f"There is no voice in {', '.join(settings.voices)}; put a folder with config.json and "
                "G_*.pth there, or restore the embedded voice with: git checkout voices",
                f"{'、'.join(settings.voices)} 里没有音色；请放入含 config.json 与 G_*.pth 的文件夹。",
            )
        self.record = Record()
        self.reason: tuple[str, str] | None = None  # why `use` was called last, in English and Chinese
        self.report: Report | None = None  # of the last self-test of this device
        self._voices: OrderedDict[str, tuple[tuple, Voice]] = OrderedDict()  # by id: stamp and voice, latest use last
        self._lock = threading.Lock()
        self._switching = threading.Lock()
        self.line = Line()  # where whoever has many listeners has them wait for their turns

    def voices(self) -> dict[str, VoiceInfo]:
        """All voices that are there now, by id, with their speakers and what they lack; broken ones say why."""
        found = self.catalogue.find().items()
        return {name: self.catalogue.describe(files, self.features.missing) for name, files in found}

    def files(self, name: str = "") -> VoiceFiles:
        """Where a voice lies now. Raises BadRequest that names the others, BrokenVoice for one without its files."""
        name = name or self.default_voice
        found = self.catalogue.find()
        if name not in found:
            raise BadRequest(
                f"There is no voice {plain(name)!r}; there are {some(list(found))}.",
                f"没有音色 {plain(name)!r}；可选：{some(list(found))}。",
            )
        if fault := found[name].fault:
            raise found[name].broken(fault)
        return found[name]

    @property
    def loaded(self) -> frozenset[str]:
        """Ids of the voices in memory."""
        return frozenset(self._voices)

    @property
    def in_memory(self) -> list[Voice]:
        """The voices in memory, the one used last at the end."""
        return [voice for _, voice in list(self._voices.values())]

    @property
    def warmth(self) -> dict[str, Warmth]:
        """How far the voices in memory are with warming up, by id."""
        return {name: voice.warmth for name, (_, voice) in self._voices.items()}

    @property
    def reader(self) -> text.Reader:
        """g2pW where its folder is complete now: it may have come since the start."""
        return g2pw.reader(self.settings.path(self.settings.g2pw_path) if self.settings.g2pw_path else None)

    def load(self, name: str = "") -> Voice:
        """A voice by id: loaded once, and again when its files have changed. Raises SpeechError.

        Voices that were used longest ago make room, once they all fill more than the setting `voices_mb`. One that is
        still speaking goes on to its end.
        """
        files = self.files(name)
        name, stamp = files.id, files.stamp()
        with self._lock:
            kept, voice = self._voices.get(name, (None, None))
            if kept != stamp:
                if voice:
                    voice.warmth.stop()
                voice = self._loaded(files, self.device, self.backend)
            self._voices[name] = stamp, voice
            self._voices.move_to_end(name)
            while len(self._voices) > 1 and self.memory() > self.settings.voices_mb * 1e6:
                _, (_, voice_gone) = self._voices.popitem(last=False)
                voice_gone.warmth.stop()
            return voice

    def use(
        self,
        device: str = "auto",
        backend: str = "auto",
        half: bool = False,
        eight_bit: bool = False,
        reason: tuple[str, str] | None = None,
    ) -> None:
        """Another device, backend and precision from the next request on, and in `settings`. Who speaks goes on.

        The voice used last is loaded there first: if that fails, all stays as it was. half, eight_bit: as fp16_run and
        int8_run. reason: kept as `reason`. Raises SpeechError.
        """
        with self._switching:
            where = devices.choose(device, half, eight_bit)
            here = devices.available()
            if not devices.matching(device, here):
                raise BadRequest(
                    f"There is no device {device!r} here; choose one of auto, {', '.join(here)}.",
                    f"这里没有设备 {device!r}；可选：auto、{'、'.join(here)}。",
                )
            name, note = backends.choose(backend, where)
            with self._lock:
                files = self.files(next(reversed(self._voices), ""))
            stamp = files.stamp()
            try:
                voice = self._loaded(files, where, name)
            except SpeechError:
                raise
            except Exception as error:  # whatever a driver throws
                log.failure(f"loading {name} on {where.torch}", error)
                kind = type(error).__name__
                raise SpeechError(
                    f"The voice {files.id!r} cannot be loaded on {where.torch} with {name} ({kind}; the terminal has "
                    f"the cause); {self.device.torch} with {self.backend} stays in use.",
                    f"音色 {files.id!r} 无法在 {where.torch} 上用 {name} 载入（{kind}，原因见终端）；"
                    f"仍用 {self.device.torch} 和 {self.backend}。",
                ) from error
            webui = {"device": device, "fp16_run": half, "int8_run": eight_bit}
            settings = self.settings.but(webui, backend=backend)
            of_bert = [(s.webui.fp16_run, s.webui.int8_run) for s in (self.settings, settings)]
            with self._lock:
                for other in self.in_memory:
                    other.warmth.stop()
                if where.torch != self.device.torch or of_bert[0] != of_bert[1]:
                    self.features = Features(settings, where)
                self.device, self.backend, self.backend_note = where, name, note
                self.settings, self.reason = settings, reason
                self._voices.clear()
                self._voices[files.id] = stamp, voice
                self.record, self.report = Record(), None

    def _loaded(self, files: VoiceFiles, device: Device, backend: str) -> Voice:
        sizes, cache = self.settings.windows, self.settings.cache_path
        store = self.settings.path(cache) if cache else None

        def make(network: Synthesizer) -> Backend:
            return backends.make(backend, network, device, store, sizes, self.settings.threads)

        voice = Voice.load(files, make)
        for size, halo, which in zip((max(sizes), min(sizes)), voice.halos, ("the largest", "every"), strict=True):
            if size <= 2 * halo:
                raise SettingsError(
                    f"windows: {size} frames are too few for the voice {files.id!r}; {which} size must be above "
                    f"{2 * halo}."
                )
        voice.warm_up(sizes)
        return voice

    def memory(self) -> int:
        """Bytes of the voices that are loaded."""
        return sum(voice.size for _, voice in self._voices.values())

    def stream(self, request: SpeechRequest, cancelled: Callable[[], bool] = lambda: False) -> Iterator[Speech]:
        """The speech of a request, piece by piece, as it is made: put end to end, the pieces are the whole.

        Stops within one decoder window when `cancelled` turns true, the iterator is closed or the program ends. Raises
        SpeechError; BadRequest as soon as it is known that the whole lasts longer than the setting max_seconds.
        """
        asked = time.perf_counter()
        self.check_length(request)
        voice, features, record = self.load(request.voice), self.features, self.record
        request = voice.complete(request)
        speaker = voice.speaker(request.speaker)
        if missing := features.missing(voice.config.variant):
            raise MissingFiles(*missing[0])
        timings: dict[str, float] = {}
        with _timed(timings, "text"):
            utterances = self._analyse(request, lead=self.settings.first_piece)
        limit = self.settings.max_seconds
        spoken, pauses = _aloud(utterances, request, limit)
        with _timed(timings, "emotion"):
            emotion, notices = voice.emotion(request, features)
        notices = _skipped(utterances) + notices

        def prepare(place: int, timings: dict[str, float]) -> tuple:
            return *self._sentence(voice, features, spoken[place], place, request, speaker, emotion, timings), timings

        coming: Future | None = None
        try:
            start = 0.0
            for place, (utterance, pause) in enumerate(zip(spoken, pauses, strict=True)):
                if cancelled() or ending():
                    return
                phones, characters, latent, timings = coming.result() if coming else prepare(place, timings)
                coming = None
                sound = latent.shape[-1] * voice.config.hop / voice.config.sampling_rate
                if start + sound + pause > limit:
                    raise too_long(limit)
                phones, characters = (tuple(timed.later(start) for timed in both) for both in (phones, characters))
                for samples, last in self._windows(voice, latent, speaker, timings, place == 0):
                    if not start:
                        record.first(time.perf_counter() - asked)
                    if last:
                        record.add(Spoken(sound, dict(timings)))
                    piece = Speech(
                        samples=samples,
                        sampling_rate=voice.config.sampling_rate,
                        start=start,
                        sentence=place,
                        sentences=len(spoken),
                        utterance=utterance,
                        phones=phones,
                        characters=characters,
                        timings=dict(timings),
                        request=request,
                        last=last,
                        notices=tuple(notices),
                        pause=pause if last else 0.0,
                    )
                    yield piece
                    notices = []
                    start += piece.duration
                    if cancelled() or ending():
                        return
                    if coming is None and place < len(spoken) - 1:  # not before the first sound: it would have to share
                        coming = _soon(partial(prepare, place + 1, {}))
        finally:
            if coming:
                coming.cancel()

    def read(self, request: SpeechRequest) -> list[Utterance]:
        """How the text of a request will be read, without a voice. Raises SpeechError."""
        self.check_length(request)
        return self._analyse(request)

    def _analyse(self, request: SpeechRequest, lead: int = 0) -> list[Utterance]:
        try:
            return text.analyse(request.text, self.reader, self.glossary(request), lead)
        except g2pw.BrokenModel as error:
            place = self.settings.g2pw_path
            raise MissingFiles(
                f"g2pW in {place} cannot be used ({error}); bring it again with {command(self.settings.path(place))}, "
                "or set g2pw_path: '' to read without it.",
                f"{place} 里的 g2pW 不能用（{error}）；请重新下载，或设置 g2pw_path: '' 不用它。",
            ) from error

    def glossary(self, request: SpeechRequest) -> text.Glossary:
        """The glossary's file, and the request's own readings, which win. Raises BadRequest naming the faulty line."""
        file = self.settings.path(self.settings.glossary) if self.settings.glossary else None
        try:
            kept = text.read_glossary(file) if file else text.Glossary({})
            return kept | text.parse_glossary(request.readings)
        except text.GlossaryError as error:
            raise BadRequest(str(error), f"读音表有误：{error}") from error
        except (OSError, UnicodeDecodeError) as error:
            raise BadRequest(
                f"The glossary {self.settings.glossary} cannot be read; save it as UTF-8 text.",
                f"读不了读音表 {self.settings.glossary}；请存成 UTF-8 文本。",
            ) from error

    def check_length(self, request: SpeechRequest) -> None:
        """Raises BadRequest for a text that is empty, or longer than the settings allow."""
        if not request.text.strip():
            raise BadRequest("There is no text to say; type some.", "没有要说的文字，请先输入。")
        limit = self.settings.max_characters
        if len(request.text) > limit:
            raise BadRequest(
                f"The text has {len(request.text)} characters and the limit is {limit}; say it in parts or raise "
                "max_characters in config.yml.",
                f"文字有 {len(request.text)} 字，上限是 {limit} 字；请分几次，或在 config.yml 里调高 max_characters。",
            )

    def _sentence(
        self,
        voice: Voice,
        features: Features,
        utterance: Utterance,
        place: int,
        request: SpeechRequest,
        speaker: Tensor,
        emotion: Tensor,
        timings: dict[str, float],
    ) -> tuple[tuple[Timed, ...], tuple[Timed, ...], Tensor]:
        """Phone times, character times and the decoder's latent [1, I, F] of one sentence, at their true lengths."""
        tokens = tokenise(utterance, voice.config.add_blank, TABLES[voice.config.variant.table])
        with _timed(timings, "bert"):
            bert = self._bert(voice, features, utterance, tokens.word2ph, place, request)
        length = len(tokens.phones)
        size = shapes.bucket(length, shapes.TOKEN_BUCKETS)
        mask = shapes.mask(length, size)
        words = word_starts(utterance, voice.config.add_blank) if voice.config.words else [0] * length
        ids = [shapes.pad(torch.tensor([row]), size) for row in (tokens.phones, tokens.tones, words)]
        durations_noise = shapes.noise(request.seed, place, DURATION_NOISE, length, 2)[None] * request.noise_w
        with _timed(timings, "encode"):
            prior = voice.backend.encode(
                (*ids, mask),
                tuple(shapes.pad(f[None], size) for f in bert),
                emotion,
                speaker,
                shapes.pad(durations_noise, size),
                sdp_ratio=request.sdp_ratio,
            )
        durations = align(prior.log_durations, mask, request.length_scale)[0, :length]
        frames = max(1, int(durations.sum()))
        noise = shapes.noise(request.seed, place, LATENT_NOISE, frames, voice.config.inter_channels)
        z_p = sample_prior(prior.mean[0, :, :length], prior.log_std[0, :, :length], durations, noise, request.noise)
        size = shapes.bucket(frames, shapes.FRAME_BUCKETS)
        with _timed(timings, "flow"):
            z = voice.backend.flow(shapes.pad(z_p[None], size), shapes.mask(frames, size), speaker)[..., :frames]
            z = with_source(z, voice.config, request.seed, place)
        second = voice.config.hop / voice.config.sampling_rate
        phones, characters = times(utterance, durations.tolist(), voice.config.add_blank, second)
        return phones, characters, z

    def _bert(
        self,
        voice: Voice,
        features: Features,
        utterance: Utterance,
        word2ph: list[int],
        place: int,
        request: SpeechRequest,
    ) -> tuple[Tensor, ...]:
        """A feature [width, tokens] for each of the voice's slots: Chinese first, then what the others are used to."""
        variant = voice.config.variant
        if not variant.needs_bert:
            return ()
        feature = features.bert(
            utterance.bert_text, word2ph, variant.bert_width, request.style_text, request.style_weight
        )
        unused = (
            unused_slot(variant.unused_slots, request.seed, place, stream, feature.shape[-1], width)
            for stream, (_, width) in enumerate(variant.bert[1:], SLOT_NOISE)
        )
        return feature, *unused

    def _windows(
        self, voice: Voice, z: Tensor, speaker: Tensor, timings: dict[str, float], first: bool
    ) -> Iterator[tuple[np.ndarray, bool]]:
        """Samples of each decoder window, and whether it is the sentence's last."""
        hop, rate = voice.config.hop, voice.config.sampling_rate
        fade = np.linspace(0, 1, round(FADE * rate), endpoint=False, dtype=np.float32)
        pieces = decode(voice.backend, voice.config, z, speaker, self.settings.windows, first)
        left, begun = z.shape[-1] * hop, False
        while left:
            with _timed(timings, "decode"):
                samples = next(pieces).numpy().copy()
            left -= len(samples)
            if not begun:
                samples[: len(fade)] *= fade
                begun = True
            if not left:
                samples[-len(fade) :] *= fade[::-1]
            yield samples, not left


def _soon(work: Callable[[], Any]) -> Future:
    """Has it done beside what its caller does, in a thread that ends with it: who is kept waiting keeps none."""
    future: Future = Future()

    def run() -> None:
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(work())
            except BaseException as error:  # it is raised where the result is wanted
                future.set_exception(error)

    threading.Thread(target=run, name="next-sentence", daemon=False).start()
    return future


def unused_slot(kind: str, seed: int, place: int, stream: int, length: int, width: int) -> Tensor:
    """What a Chinese sentence feeds to the slot of another language [width, length]: see Variant.unused_slots."""
    if kind == "zeros":
        return torch.zeros(width, length)
    normal = shapes.noise(seed, place, stream, length, width)
    return torch.special.ndtr(normal) if kind == "uniform" else normal


def with_source(z: Tensor, config: SynthesizerConfig, seed: int, place: int) -> Tensor:
    """What the decoder takes, of a sentence's latent [1, I, F]: with pulses and noise, if the voice tells its pitch."""
    if not config.pitch:
        return z
    noise = shapes.noise(seed, place, SOURCE_NOISE, z.shape[-1], config.hop)
    return driven(z, noise[None], config.pitch, config.sampling_rate)


def _aloud(utterances: list[Utterance], request: SpeechRequest, limit: float) -> tuple[list[Utterance], list[float]]:
    """The utterances that sound, and the seconds of silence after each. Raises BadRequest.

    limit: seconds of all. Pauses cost nothing to make, so a text with hours of them is soon written.
    """
    spoken = [u for u in utterances if any(c.reading for c in u.chars)]
    if not spoken:
        raise BadRequest(
            "There is nothing to read aloud in this text; write some Chinese.",
            "这段文字里没有能读出的内容，请输入中文。",
        )
    pauses = [*(_pause_after(utterance, request) for utterance in spoken[:-1]), 0.0]
    if sum(pauses) > limit:
        raise too_long(limit)
    return spoken, pauses


def _pause_after(utterance: Utterance, request: SpeechRequest) -> float:
    """Seconds of silence; a long sentence that was cut goes on sooner, and at once where it was cut between words."""
    pauses = {"paragraph": request.paragraph_pause, "sentence": request.pause, "clause": request.pause / 2}
    return pauses.get(utterance.ends, 0.0)


@dataclass(frozen=True)
class Tokens:
    """What the network reads for a sentence: ids with the blanks in, and how many each character has."""

    phones: list[int]
    tones: list[int]
    word2ph: list[int]


def tokenise(utterance: Utterance, add_blank: bool, table: SymbolTable = TABLE_V2) -> Tokens:
    """Phone and tone ids; with blanks, id 0 before, between and after: n phones become 2 n + 1 tokens."""
    phones, tones, word2ph = phone_ids(utterance.phones, table), list(utterance.tones), list(utterance.word2ph)
    if not add_blank:
        return Tokens(phones, tones, word2ph)
    return Tokens(_blanks(phones), _blanks(tones), [2 * n + (i == 0) for i, n in enumerate(word2ph)])


def word_starts(utterance: Utterance, add_blank: bool) -> list[int]:
    """1 at the first phone of each word and at each mark, else 0, as long as the tokens: what a voice with
    config.words is given in the place of languages."""
    begins = text.words.begins(utterance.text, [bool(char.spoken) for char in utterance.chars])
    first, *counts = utterance.word2ph
    starts = [0] * first
    for begin, count in zip([*begins, False], counts, strict=True):
        starts += [int(begin), *[0] * (count - 1)]
    return _blanks(starts) if add_blank else starts


def _blanks(ids: list[int]) -> list[int]:
    return [0, *(x for i in ids for x in (i, 0))]


def times(
    utterance: Utterance, durations: list[int], add_blank: bool, frame: float
) -> tuple[tuple[Timed, ...], tuple[Timed, ...]]:
    """When each phone and each character sounds, in seconds of its sentence; a blank is shared by its neighbours.

    durations: frames of each token. frame: seconds a frame.
    """
    ends = [0, *accumulate(durations)]
    if add_blank:  # tokens 0, 2, 4 … are blanks; phone k is token 2 k + 1
        middles = [(ends[i] + ends[i + 1]) / 2 for i in range(0, len(durations), 2)]
        edges = [0.0, *middles[1:-1], float(ends[-1])]
    else:
        edges = [float(e) for e in ends]
    phones = tuple(Timed(phone, edges[i] * frame, edges[i + 1] * frame) for i, phone in enumerate(utterance.phones))
    firsts = [0, *accumulate(utterance.word2ph)]
    characters = tuple(
        Timed(char, edges[firsts[i + 1]] * frame, edges[firsts[i + 2]] * frame) for i, char in enumerate(utterance.text)
    )
    return phones, characters


def _skipped(utterances: list[Utterance]) -> list[tuple[str, str]]:
    skipped = [s for u in utterances for s in u.skipped]
    if not skipped:
        return []
    shown = " ".join(f"{s.text!r} ({s.position})" for s in skipped[:5]) + (" …" if len(skipped) > 5 else "")
    return [(f"Left out, since it cannot be read yet: {shown}", f"以下内容还读不了，已略过：{shown}")]


@contextmanager
def _timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    began = time.perf_counter()
    try:
        yield
    finally:
        timings[stage] = timings.get(stage, 0.0) + time.perf_counter() - began


def speak(engine: Engine, request: SpeechRequest) -> tuple[np.ndarray, int]:
    """The whole speech at once, pauses included: samples and sampling rate."""
    pieces = list(engine.stream(request))
    return audio.joined(pieces), pieces[0].sampling_rate
