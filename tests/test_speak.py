"""Engine.speak, the one way to a sound: nothing is done twice, the next line is ready in time, every face is equal."""

import asyncio
import base64
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import text
from infer.cli import batch as cli_batch
from infer.cli import say as cli_say
from infer.documents import audio
from infer.documents.project import Project, split
from infer.engine import waiting
from infer.engine.catalogue import VoiceFiles
from infer.engine.features import Features
from infer.engine.pipeline import Engine
from infer.engine.takes import Takes
from infer.engine.turns import Line
from infer.engine.waiting import Loads, NotWanted, Pool, waited
from infer.request import BadRequest, SpeechRequest
from infer.settings import Settings, load_settings
from page import studio as page_studio
from page.files import Files
from page.sample import Samples
from page.studio import Studio
from tests.voices import loaded, make_tiny_voice

TEXT = "春天来了，小河解冻了。今天天气很好！银行在前面。他说，再见。"  # four sentences
PATIENT = 60  # seconds; only what hangs comes near


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("speak")
    make_tiny_voice(folder / "voices" / "tiny")
    (folder / "glossary.txt").write_text("前面 qian2 mian4\n", encoding="utf-8")
    overrides = [f"voices=[{folder / 'voices'}]", "webui.device=cpu", f"glossary={folder / 'glossary.txt'}"]
    return load_settings(overrides=overrides, environment={})


@pytest.fixture
def engine(settings: Settings) -> Engine:
    engine = Engine(settings)
    engine.line = Line(workers=0)  # steps are taken here
    loaded(engine)
    return engine


@pytest.fixture
def studio(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    monkeypatch.setattr(page_studio, "PATIENCE", page_studio.POLL)
    with closing(Files()) as files:
        yield Studio(engine, files, Samples())


def project_of(engine: Engine, request: SpeechRequest) -> Project:
    return split(request, engine.read(request))


def cards_of(studio: Studio, said: str) -> list[dict]:
    """The requests that the editor makes of a text."""
    cards = studio.read({"text": said, "controls": {}})["cards"]
    return [{"text": card["text"], "seed": card["place"]} for card in cards]


def begin(studio: Studio, requests: list[dict]) -> str:
    return studio.speak({"listener": "one", "requests": requests})["run"]


def parts_of(studio: Studio, run: str) -> list[dict]:
    parts, got = [], {"next": 0, "done": False}
    while not got["done"]:
        studio.engine.line.step()
        got = asyncio.run(studio.pieces({"run": run, "next": got["next"]}))
        parts += got["parts"]
    assert "error" not in got
    return parts


def pcm(parts: list[dict]) -> list[bytes]:
    """The samples of each card."""
    cards: dict[int, bytes] = {}
    for part in parts:
        cards[part["card"]] = cards.get(part["card"], b"") + base64.b64decode(part["pcm"])
    return list(cards.values())


# --- nothing is done twice -------------------------------------------------------------------------------------------


def test_all_that_lines_share_is_looked_up_once(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, counts = studio.engine, Counter[str]()

    def count(owner: object, name: str) -> None:
        real = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *given: counts.update([name]) or real(*given))

    for owner, name in ((engine.catalogue, "find"), (text, "read_glossary"), (text, "parse_glossary")):
        count(owner, name)
    count(loaded(engine), "emotion")
    count(VoiceFiles, "stamp")
    cards = cards_of(studio, TEXT)
    read = engine._reader[1].cache_info().misses
    counts.clear()
    parts_of(studio, begin(studio, cards))
    assert len(cards) == read == 4, "each sentence is read once"
    assert engine._reader[1].cache_info().misses == read, "what was read for the cards is spoken"
    assert counts == {"find": 1, "read_glossary": 1, "parse_glossary": 2, "stamp": 2, "emotion": 1}


def test_a_replay_encodes_nothing_again(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    cards = cards_of(studio, TEXT)
    first = parts_of(studio, begin(studio, cards))
    monkeypatch.setattr(audio, "to_pcm16", lambda _: 1 / 0)
    again = parts_of(studio, begin(studio, [cards[2], *cards[:2], cards[3]]))
    assert [part["pcm"] for part in again if part["card"] == 0] == [part["pcm"] for part in first if part["card"] == 2]
    assert all("timings" not in part for part in again), "it has taken no time now"
    assert [part["times"] for part in again if "times" in part and part["card"] == 3] == [
        part["times"] for part in first if "times" in part and part["card"] == 3
    ]


# --- the first sound, and the next line ------------------------------------------------------------------------------


def listen_in(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Calls of the backend: part, length, thread."""
    calls, backend = [], loaded(engine).backend

    def spy(name: str) -> None:
        real = getattr(backend, name)

        def call(first: torch.Tensor | tuple, *rest: object, **options: object) -> object:
            x = first[0] if isinstance(first, tuple) else first
            calls.append((name, x.shape[-1], threading.current_thread().name))
            return real(first, *rest, **options)

        monkeypatch.setattr(backend, name, call)

    for name in ("encode", "flow", "head", "tail"):
        spy(name)
    return calls


def test_the_page_s_first_sound_takes_what_the_engine_s_takes(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """No clock: the same calls of the backend, one step of the line, and one trip for the first piece."""
    calls = listen_in(studio.engine, monkeypatch)
    first = next(studio.engine.speak([SpeechRequest(TEXT)]))
    whole, cards = calls.copy(), cards_of(studio, TEXT)
    calls.clear()
    run = begin(studio, cards)
    assert studio.engine.line.step() and calls == whole and [name for name, *_ in calls].count("tail") == 1
    (part,) = asyncio.run(studio.pieces({"run": run, "next": 0}))["parts"]
    assert base64.b64decode(part["pcm"]) == audio.to_pcm16(first.samples).tobytes()


@pytest.mark.parametrize("face", ["engine", "page"])
def test_the_next_line_is_prepared_while_this_one_is_decoded(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, face: str
) -> None:
    """The second window of a line waits here until the next line has been encoded: in another thread, or never."""
    engine, ready = studio.engine, threading.Event()
    backend = loaded(engine).backend
    encode, tail, windows = backend.encode, backend.tail, []

    def encoding(*given: object, **options: object) -> object:
        if threading.current_thread().name == "next-sentence":
            ready.set()
        return encode(*given, **options)

    def decoding(*given: object) -> object:
        windows.append(given)
        assert len(windows) != 2 or ready.wait(PATIENT)
        return tail(*given)

    monkeypatch.setattr(backend, "encode", encoding)
    monkeypatch.setattr(backend, "tail", decoding)
    cards = cards_of(studio, TEXT)
    if face == "engine":
        pieces = list(engine.speak([SpeechRequest(**card) for card in cards]))
        assert [piece.card for piece in pieces if piece.final] == [0, 1, 2, 3]
    else:
        assert len(pcm(parts_of(studio, begin(studio, cards)))) == 4


def test_a_fault_comes_in_its_turn(engine: Engine) -> None:
    lines, heard = [SpeechRequest("你好。"), SpeechRequest("再见。", speaker="丁"), SpeechRequest("完了。")], []
    with pytest.raises(BadRequest, match="no speaker '丁'"):
        for piece in engine.speak(lines):
            heard.append(piece.card)
    assert set(heard) == {0}


# --- every face ------------------------------------------------------------------------------------------------------


def test_every_face_gives_the_same_samples(
    studio: Studio, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = studio.engine
    flags = ["-q", "--set", f"voices=[{settings.voices[0]}]", "--set", "webui.device=cpu"]
    flags += ["--set", f"glossary={settings.glossary}"]
    project = project_of(engine, SpeechRequest(TEXT))
    pieces = list(engine.speak(project.requests, pauses=project.pauses))
    whole = audio.to_pcm16(audio.joined(pieces))
    cards = [audio.to_pcm16(np.concatenate([p.samples for p in pieces if p.card == i])) for i in range(4)]

    assert pcm(parts_of(studio, begin(studio, cards_of(studio, TEXT)))) == [card.tobytes() for card in cards]
    monkeypatch.setattr(engine, "takes", Takes(64))  # the file is made anew, too
    (file,) = parts_of(studio, studio.file({"listener": "one", "project": project.as_dict(), "format": "wav"})["run"])
    kept = studio.files.get(file["address"].split("/")[1]).path
    np.testing.assert_array_equal(soundfile.read(kept, dtype="int16")[0], whole)
    (tmp_path / "a.bv2.json").write_text(json.dumps(project.as_dict()), "utf-8")
    assert cli_say.main(["--project", str(tmp_path / "a.bv2.json"), "-o", str(tmp_path / "a.wav"), *flags]) == 0
    np.testing.assert_array_equal(soundfile.read(tmp_path / "a.wav", dtype="int16")[0], whole)

    table = "".join(f"{request.text},{request.seed}\n" for request in project.requests)
    (tmp_path / "lines.csv").write_text(f"text,seed\n{table}", "utf-8")
    assert cli_batch.main([str(tmp_path / "lines.csv"), "-o", str(tmp_path / "lines"), *flags]) == 0
    for card, path in zip(cards, sorted((tmp_path / "lines").glob("*.wav")), strict=True):
        np.testing.assert_array_equal(soundfile.read(path, dtype="int16")[0], card)
    assert cli_say.main([project.requests[0].text, "-o", str(tmp_path / "b.wav"), *flags]) == 0
    np.testing.assert_array_equal(soundfile.read(tmp_path / "b.wav", dtype="int16")[0], cards[0])


def test_a_line_sounds_the_same_whatever_stands_beside_it(engine: Engine) -> None:
    lines = [SpeechRequest(said, seed=i) for i, said in enumerate(("春天来了，小河解冻了。", "你好。再见！"))]
    forwards, backwards = (list(engine.speak(order)) for order in (lines, lines[::-1]))
    for piece in backwards:
        assert any(np.array_equal(piece.samples, other.samples) for other in forwards if other.card == 1 - piece.card)
    assert len(forwards) == len(backwards)


# --- who waits for whom ----------------------------------------------------------------------------------------------


class Held:
    """Something that is loaded when it is let go."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()

    def wait(self) -> None:
        self.begun.set()
        assert self.go.wait(PATIENT)


def test_loading_a_voice_blocks_only_who_asked_for_it(settings: Settings, tmp_path: Path) -> None:
    for name in "ab":
        make_tiny_voice(tmp_path / name)
    engine, held, loads = Engine(settings.but(voices=[str(tmp_path)])), Held(), []
    load = engine._voices._load

    def slow(files: VoiceFiles) -> object:
        loads.append(files.id)
        if files.id == "a":
            held.wait()
        return load(files)

    engine._voices._load = slow
    pool = Pool("test", 2)
    first = pool.submit(lambda: engine.load("a"))
    assert held.begun.wait(PATIENT)
    assert engine.load("b").id == "b" and not first.done()
    with pytest.raises(NotWanted):  # who has left waits no longer
        engine._voices.get(engine.files("a"), cancelled=lambda: True)
    second = pool.submit(lambda: engine.load("a"))
    held.go.set()
    assert first.result(PATIENT) is second.result(PATIENT) and loads == ["a", "b"]


def test_a_voice_that_comes_when_its_device_has_gone_is_not_kept(settings: Settings) -> None:
    engine, held = Engine(settings), Held()
    load, room = engine._voices._load, engine._voices
    room._load = lambda files: held.wait() or load(files)
    pool = Pool("test", 1)
    late = pool.submit(engine.load)
    assert held.begun.wait(PATIENT)
    engine.use("cpu", "torch")
    held.go.set()
    voice = late.result(PATIENT)
    assert voice not in engine.in_memory and voice.warmth._stopped.is_set()


def test_bert_does_not_wait_for_clap(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held()
    monkeypatch.setattr("emotional.ClapEmotion.load", lambda *_: held.wait())
    features = Features(settings, Engine(settings).device)
    monkeypatch.setattr("bert.BertFeatures.load", lambda *_, **__: lambda *_: torch.zeros(1024, 4))
    pool = Pool("test", 1)
    clap = pool.submit(lambda: features.clap("happy"))
    assert held.begun.wait(PATIENT)
    assert features.bert("你好", [1] * 4, 1024, "", 0.7).shape == (1024, 4)
    held.go.set()
    assert isinstance(clap.exception(PATIENT), AttributeError)  # it got None


def test_what_could_not_be_loaded_is_told_to_all_who_waited_and_tried_again() -> None:
    loads, held, tries = Loads(), Held(), []

    def load() -> str:
        tries.append(1)
        if len(tries) == 1:
            held.wait()
            raise OSError("gone")
        return "there"

    pool = Pool("test", 2)
    waiting_for = [pool.submit(lambda: loads.get("x", load)) for _ in range(2)]
    assert held.begun.wait(PATIENT)
    while pool._threads != 2:
        pass
    held.go.set()
    told = [future.exception(PATIENT) for future in waiting_for]
    assert isinstance(told[0], OSError) and (told[1] is None or isinstance(told[1], OSError))
    assert loads.get("x", lambda: "again") == "again"


def test_a_pool_has_few_threads_and_none_when_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "IDLE", 0.0)
    pool, held, names = Pool("few", 2), Held(), []

    def work() -> None:
        names.append(threading.current_thread().ident)
        held.wait()

    futures = [pool.submit(work) for _ in range(5)]
    assert held.begun.wait(PATIENT)
    futures[4].cancel()
    held.go.set()
    for future in futures[:4]:
        waited(future)
    assert len(set(names)) <= 2 and len(names) == 4
    for thread in threading.enumerate():
        if thread.name == "few":
            thread.join(PATIENT)
    assert pool._threads == 0


def test_nobody_waits_when_the_program_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, held = Pool("ending", 1), Held()
    busy, never = pool.submit(held.wait), pool.submit(lambda: None)
    assert held.begun.wait(PATIENT)
    monkeypatch.setattr(waiting, "ending", lambda: True)
    with pytest.raises(NotWanted):
        waited(never)
    held.go.set()
    busy.result(PATIENT)
    for thread in threading.enumerate():
        if thread.name == "ending":
            thread.join(PATIENT)
    assert not never.done() and pool._threads == 0
