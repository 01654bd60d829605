"""Text in, sound out: Engine.speak. One generator behind the page, the API, the command line and the benchmark.

    requests -> Script -> part (a line from memory, or a sentence but for the decoder) -> pieces (decoder windows)

A line is a request, and has a sentence or more. Any of them is prepared while the one before it sounds, across lines.
"""

import functools
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

import text
from infer import log
from infer.ending import ending
from infer.engine import backends, devices, stages, turns
from infer.engine.backends import Backend
from infer.engine.catalogue import Catalogue, VoiceFiles, VoiceInfo, some
from infer.engine.devices import Device
from infer.engine.features import Features
from infer.engine.lines import Known, Line, Part, Place, Sentence, skipped, spoken, timed
from infer.engine.memory import Memory
from infer.engine.record import Record, SelfTest, Spoken
from infer.engine.takes import Draft, Takes, key_of
from infer.engine.voice import Voice
from infer.engine.waiting import Cancelled, NotWanted, Pool, never, waited
from infer.hub.listing import command
from infer.request import BadRequest, MissingFiles, Speech, SpeechError, SpeechRequest, Timed, too_long
from infer.settings import Settings, SettingsError
from models import Synthesizer
from models.config import plain
from models.stages import Noise, Sliders, durations, latent, with_source
from text import Glossary, Reader, Utterance, g2pw
from words import Message

READINGS = 1024  # pieces of text whose readings are remembered: the page reads a text, and then speaks its sentences
MOOD = "emotion emotion_audio emotion_b emotion_mix emotion_strength".split()  # options that decide on the emotion


class Engine:
    """Voices, features and a device, from settings. Safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        """Looks for voices; loads nothing yet. Raises SpeechError when there is no voice at all."""
        self.settings = settings
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.device = devices.choose(settings.webui.device, settings.webui.fp16_run, settings.webui.int8_run)
        self.backend = backends.choose(settings.backend, self.device)
        self.features = Features(settings, self.device)
        self._voices = self._room(self.device, self.backend)
        self.catalogue = Catalogue(settings)
        self.default_voice = self.catalogue.default()
        if not self.default_voice:
            raise SpeechError("engine.no_voices", folders=settings.voices)
        self.takes = Takes(settings.takes_mb)
        self.record = Record()
        self.reason: Message | None = None  # why `use` was called last
        self.report: SelfTest | None = None  # of this device
        self.line = turns.Line()  # where whoever has many listeners has them wait for their turns
        self._ahead = Pool("next-sentence", turns.WORKERS)
        self._reader: tuple[Reader, Reader] = text.read, functools.lru_cache(READINGS)(text.read)
        self._switching = threading.Lock()

    # --- voices ----------------------------------------------------------------------------------------------------

    def voices(self) -> dict[str, VoiceInfo]:
        """All voices that are there now, by id, with their speakers and what they lack; broken ones say why."""
        found = self.catalogue.find().items()
        return {name: self.catalogue.describe(files, self.features.missing) for name, files in found}

    def files(self, name: str = "", found: Mapping[str, VoiceFiles] | None = None) -> VoiceFiles:
        """Where a voice lies now. Raises BadRequest that names the others, BrokenVoice for one without its files.

        found: what Catalogue.find gave, where that was asked before.
        """
        name = name or self.default_voice
        found = self.catalogue.find() if found is None else found
        if name not in found:
            raise BadRequest("engine.no_voice", voice=plain(name), voices=some(list(found)))
        if fault := found[name].fault:
            raise found[name].broken(fault)
        return found[name]

    def load(self, name: str = "") -> Voice:
        """A voice by id, from memory where it is there and its files have not changed. Raises SpeechError."""
        return self._voices.get(self.files(name))

    @property
    def loaded(self) -> frozenset[str]:
        """Ids of the voices in memory."""
        return frozenset(voice.id for voice in self.in_memory)

    @property
    def in_memory(self) -> list[Voice]:
        """The voices in memory, the one used last at the end."""
        return self._voices.voices

    def memory(self) -> int:
        """Bytes of the voices in memory."""
        return self._voices.size

    def use(
        self,
        device: str = "auto",
        backend: str = "auto",
        half: bool = False,
        eight_bit: bool = False,
        reason: Message | None = None,
    ) -> None:
        """Another device, backend and precision from the next request on, and in `settings`. Who speaks goes on.

        The voice used last is loaded there first: if that fails, all stays as it was. half, eight_bit: as fp16_run and
        int8_run. reason: kept as `reason`. Raises SpeechError.
        """
        with self._switching:
            where = devices.choose(device, half, eight_bit)
            if not devices.matching(device, here := devices.available()):
                raise BadRequest("engine.no_device", device=device, devices=here)
            name = backends.choose(backend, where)
            files = self.files(next((voice.id for voice in reversed(self.in_memory)), ""))
            voices = self._room(where, name)
            try:
                voices.get(files)
            except SpeechError:
                raise
            except Exception as error:  # whatever a driver throws
                log.failure(f"loading {name} on {where.torch}", error)
                raise SpeechError(
                    "engine.not_on_device",
                    voice=files.id,
                    device=where.torch,
                    backend=name,
                    error=type(error).__name__,
                    device_now=self.device.torch,
                    backend_now=self.backend,
                ) from error
            settings = self.settings.but({"device": device, "fp16_run": half, "int8_run": eight_bit}, backend=backend)
            of_bert = [(s.webui.fp16_run, s.webui.int8_run) for s in (self.settings, settings)]
            if where.torch != self.device.torch or of_bert[0] != of_bert[1]:
                self.features = Features(settings, where)
            before, self._voices = self._voices, voices
            before.close()
            self.device, self.backend, self.settings, self.reason = where, name, settings, reason
            self.record, self.report = Record(), None

    def _room(self, device: Device, backend: str) -> Memory:
        """Where voices will be, on a device and backend."""
        settings = self.settings
        sizes, store = settings.windows, settings.path(settings.cache_path) if settings.cache_path else None

        def make(network: Synthesizer) -> Backend:
            return backends.make(backend, network, device, store, sizes, settings.threads)

        def load(files: VoiceFiles) -> Voice:
            voice = Voice.load(files, make)
            largest, every = voice.halos
            for key, size, halo in (
                ("engine.small_largest_window", max(sizes), largest),
                ("engine.small_windows", min(sizes), every),
            ):
                if size <= 2 * halo:
                    raise SettingsError(key, size=size, voice=files.id, least=2 * halo)
            voice.warm_up(sizes)
            return voice

        return Memory(load, settings.voices_mb)

    # --- text ------------------------------------------------------------------------------------------------------

    @property
    def reader(self) -> Reader:
        """g2pW where its folder is complete now: it may have come since the start. It remembers what it has read."""
        reader = g2pw.reader(self.settings.path(self.settings.g2pw_path) if self.settings.g2pw_path else None)
        if reader is not self._reader[0]:
            self._reader = reader, functools.lru_cache(READINGS)(reader)
        return self._reader[1]

    def read(self, request: SpeechRequest) -> list[Utterance]:
        """How the text of a request will be read, without a voice. Raises SpeechError."""
        self.check_length(request)
        return self.analyse(request, self.reader, self.glossary(request.readings))

    def analyse(self, request: SpeechRequest, reader: Reader, glossary: Glossary) -> list[Utterance]:
        lead = 0 if request.opens is False else self.settings.first_piece
        try:
            return text.analyse(request.text, reader, glossary, lead, more=bool(request.opens))
        except g2pw.BrokenModel as error:
            place = self.settings.g2pw_path
            raise MissingFiles(
                "reading.broken_g2pw", folder=place, cause=error, command=command(self.settings.path(place))
            ) from error

    def glossary(self, readings: str = "", file: Glossary | None = None) -> Glossary:
        """The glossary's file, and readings of a request's own, which win. Raises BadRequest naming the faulty line.

        file: what the file holds, where that was asked before.
        """
        path = self.settings.path(self.settings.glossary) if self.settings.glossary else None
        try:
            if file is None:
                file = text.read_glossary(path) if path else Glossary({})
            return file | text.parse_glossary(readings)
        except text.GlossaryError as error:
            raise BadRequest("reading.glossary", cause=error) from error
        except (OSError, UnicodeDecodeError) as error:
            raise BadRequest("reading.no_glossary", file=self.settings.glossary) from error

    def check_length(self, request: SpeechRequest) -> None:
        """Raises BadRequest for a text that is empty, or longer than the settings allow."""
        if not request.text.strip():
            raise BadRequest("reading.empty")
        limit = self.settings.max_characters
        if len(request.text) > limit:
            raise BadRequest("reading.too_long", count=len(request.text), most=limit)

    # --- speech ----------------------------------------------------------------------------------------------------

    def speak(
        self,
        lines: Sequence[SpeechRequest],
        cancelled: Cancelled = never,
        pauses: Sequence[float] | None = None,
        scope: str | None = None,
    ) -> Generator[Speech, None, None]:
        """The speech of the lines, piece by piece, as it is made: put end to end, the pieces are the whole.

        pauses: seconds of silence after each line; with them the lines are one whole, of one sampling rate. Without,
        they follow each other at once. scope: for whom; what was said before in the same scope comes from memory, and
        what is new is kept. None: neither.

        A line always sounds the same, whatever stands beside it and whoever asks; Speech.card tells which it is. Stops
        within one decoder window when `cancelled` turns true, the iterator is closed or the program ends. Raises
        SpeechError; BadRequest as soon as it is known that the whole lasts longer than the setting max_seconds.
        """
        asked = time.perf_counter()
        timeline, script = Timeline(pauses, self.settings.max_seconds), Script(self, lines, scope, cancelled)
        record, sizes, first = self.record, self.settings.windows, True
        place, coming = Place(0) if lines else None, None
        try:
            while place and not (cancelled() or ending()):
                part = waited(coming, cancelled) if coming else script.part(place)
                coming = None
                timeline.begin(place, part.seconds)
                for piece in part.speech(sizes):
                    if isinstance(part, Sentence):
                        if first:
                            record.first(time.perf_counter() - asked)
                        if piece.last:
                            record.add(Spoken(part.sound, piece.timings))
                    first = False
                    yield timeline.placed(piece)
                    if cancelled() or ending():
                        return
                    if coming is None and part.following:  # not before the first sound: it would have to share
                        coming = self._ahead.submit(partial(script.part, part.following))
                place = part.following
        except NotWanted:
            return
        finally:
            if coming:
                coming.cancel()


class Timeline:
    """Where the pieces of the lines lie in the whole. Times in seconds."""

    def __init__(self, pauses: Sequence[float] | None, limit: float) -> None:
        """pauses: as of Engine.speak. limit: of the whole. Raises BadRequest."""
        self._pauses, self._limit = pauses, limit
        self._line, self._start, self._began, self._rate = -1, 0.0, 0.0, 0
        self._times: tuple[object, tuple[Timed, ...], tuple[Timed, ...]] = None, (), ()  # of one sentence
        if sum(pauses or ()) > limit:
            raise too_long(limit)

    def begin(self, place: Place, seconds: float) -> None:
        """What comes now lasts so long. Raises BadRequest."""
        if place.line != self._line:
            self._line, self._began = place.line, self._start
        if self._start + seconds > self._limit:
            raise too_long(self._limit)

    def placed(self, piece: Speech) -> Speech:
        """A piece of the line as a piece of the whole. Raises BadRequest for a second sampling rate."""
        pause = piece.pause
        if self._pauses is not None:
            self._rate = self._rate or piece.sampling_rate
            if piece.sampling_rate != self._rate:
                raise BadRequest("project.two_rates", rate=self._rate, other=piece.sampling_rate)
            if piece.final:
                pause = self._pauses[self._line]
        if self._times[0] is not piece.characters:  # made once for all pieces of a sentence, which share them
            phones = tuple(phone.later(self._began) for phone in piece.phones)
            characters = tuple(character.later(self._began) for character in piece.characters)
            self._times = piece.characters, phones, characters
        _, phones, characters = self._times
        placed = replace(piece, card=self._line, start=self._start, pause=pause, phones=phones, characters=characters)
        self._start += placed.duration
        return placed


class Script:
    """The lines of one call. Voices, glossaries, speakers and emotions are looked up once for them all.

    Used by one thread at a time: who asks, and who prepares for him.
    """

    def __init__(
        self, engine: Engine, requests: Sequence[SpeechRequest], scope: str | None, cancelled: Cancelled
    ) -> None:
        self._engine, self._requests, self._scope, self._cancelled = engine, requests, scope, cancelled
        self._features, self._reader = engine.features, engine.reader
        found, file = functools.cache(engine.catalogue.find), functools.cache(engine.glossary)

        @functools.cache
        def files(name: str) -> tuple[VoiceFiles, tuple]:
            files = engine.files(name, found())
            return files, files.stamp()

        self._files = files
        self._glossary = functools.cache(lambda readings: engine.glossary(readings, file()))
        self._voice = functools.cache(lambda files: engine._voices.get(files, cancelled))
        self._speaker = functools.cache(Voice.speaker)
        self._read = functools.lru_cache(1)(lambda one: engine.analyse(one, self._reader, self._glossary(one.readings)))
        self._moods: dict[tuple, tuple[Tensor, list[Message]]] = {}
        self._line: Line  # the one that is being said

    def part(self, place: Place) -> Part:
        """What is to be said at a place. Raises SpeechError, NotWanted."""
        if place.sentence == 0:
            request = self._requests[place.line]
            self._engine.check_length(request)
            files, stamp = self._files(request.voice)
            key = self._key(request, files, stamp)
            if key and (pieces := self._engine.takes.find(key)):
                return Known(pieces, self._after(place.line))
            line = self._line = self._prepared(request, files, key)
        else:
            line = self._line
        return self._sentence(line, place)

    def _key(self, request: SpeechRequest, files: VoiceFiles, stamp: tuple) -> bytes | None:
        if self._scope is None:
            return None
        if request.opens and len(self._read(request)) < 2:
            request = request.but(opens=False)  # there is nothing to cut: anywhere among the cards it sounds the same
        return key_of(self._scope, request, files.id, stamp, self._glossary(request.readings).digest)

    def _after(self, line: int) -> Place | None:
        return Place(line + 1) if line + 1 < len(self._requests) else None

    def _prepared(self, asked: SpeechRequest, files: VoiceFiles, key: bytes | None) -> Line:
        voice = self._voice(files)
        request = voice.complete(asked)
        speaker = self._speaker(voice, request.speaker)
        if missing := self._features.missing(voice.config.variant):
            raise MissingFiles.of(missing[0])
        timings: dict[str, float] = {}
        with timed(timings, "text"):
            utterances = self._read(asked)
        aloud, pauses = spoken(utterances, request, self._engine.settings.max_seconds)
        with timed(timings, "emotion"):
            emotion, notices = self._mood(voice, request)
        return Line(
            request=request,
            voice=voice,
            speaker=speaker,
            emotion=emotion,
            utterances=aloud,
            pauses=pauses,
            notices=(*skipped(utterances), *notices),
            timings=timings,
            draft=Draft(self._engine.takes, key, request) if key else None,
        )

    def _mood(self, voice: Voice, request: SpeechRequest) -> tuple[Tensor, list[Message]]:
        key = voice, *(getattr(request, name) for name in MOOD)
        if key not in self._moods:
            self._moods[key] = voice.emotion(request, self._features, self._cancelled)
        return self._moods[key]

    def _sentence(self, line: Line, place: Place) -> Sentence:
        utterance, voice, request = line.utterances[place.sentence], line.voice, line.request
        config = voice.config
        timings = dict(line.timings) if place.sentence == 0 else {}
        tokens = stages.tokenise(utterance, config.add_blank, stages.TABLES[config.variant.table])
        noise, parts = stages.noise(request.seed, place.sentence), stages.Bucketed(voice.backend)
        with timed(timings, "bert"):
            bert = self._bert(line, utterance, tokens, noise)
        inputs = stages.inputs(utterance, tokens, config, bert, line.emotion, line.speaker)
        how = Sliders(request.length_scale, request.noise, request.noise_w, request.sdp_ratio)
        with timed(timings, "encode"):
            prior, frames = durations(parts, inputs, noise, how)
        with timed(timings, "flow"):
            _, z = latent(parts, config, prior, frames, line.speaker, noise, how.noise_scale)
            z = with_source(z, config, noise)
        rate, hop = config.sampling_rate, config.hop
        both = stages.times(utterance, frames.tolist(), config.add_blank, hop / rate)
        phones, characters = (tuple(one.later(place.start) for one in of) for of in both)
        seconds = (z.shape[-1] * hop + round(line.pauses[place.sentence] * rate)) / rate
        following: Place | None = Place(place.line, place.sentence + 1, place.start + seconds)
        if place.sentence + 1 == len(line.utterances):
            following = self._after(place.line)
        return Sentence(line, place, following, z, phones, characters, seconds, timings)

    def _bert(self, line: Line, utterance: Utterance, tokens: stages.Tokens, noise: Noise) -> tuple[Tensor, ...]:
        """A feature [width, tokens] for each of the voice's slots: Chinese first, then what the others are used to."""
        config, request = line.voice.config, line.request
        if not config.variant.needs_bert:
            return ()
        style, width = (request.style_text, request.style_weight), config.variant.bert_width
        feature = self._features.bert(utterance.bert_text, tokens.word2ph, width, *style, self._cancelled)
        return feature, *stages.unused_slots(config, feature.shape[-1], noise)
