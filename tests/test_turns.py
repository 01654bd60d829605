"""The line before the engine, and what the page makes in it: fair and bounded; what was delivered does not stay."""

import asyncio
import base64
import threading
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest

import webui
from infer.documents import audio
from infer.documents.project import split
from infer.engine import turns
from infer.engine.pipeline import Engine
from infer.engine.takes import SHARE, Takes
from infer.engine.turns import Line, Turn, listener_named
from infer.request import BadRequest, Busy, SpeechRequest
from infer.settings import load_settings
from page import studio as page_studio
from page.files import Files
from page.sample import Samples
from page.studio import BUFFER, FORSAKEN, MOST_RUNS, Run, Studio
from tests.voices import make_tiny_voice, speak

PATIENT = 120  # seconds; only what hangs comes near


class Scripted(Turn):
    """A turn of so many steps, which notes each in a list that is shared."""

    def __init__(self, name: str, steps: int, noted: list[str], there: bool = True) -> None:
        self.listener, self.name, self.left, self.noted, self.there = name, name, steps, noted, there
        self.gone, self.stuck = False, False
        self.error: Exception | None = None
        self.ended = threading.Event()

    def step(self) -> bool:
        self.noted.append(self.name)
        self.left -= 1
        return self.left > 0

    def end(self, error: Exception | None) -> None:
        self.error = error
        self.ended.set()

    def cancelled(self) -> bool:
        return self.gone

    def ready(self) -> bool:
        return not self.stuck

    def asked_for(self) -> bool:
        return self.there


def entered(line: Line, *scripted: Turn) -> None:
    for turn in scripted:
        line.enter(turn)


def run_out(line: Line, most: int = 10_000) -> int:
    """Takes all steps there are, here; how many."""
    for count in range(most):
        if not line.step():
            return count
    raise AssertionError("it has no end")


# --- the line --------------------------------------------------------------------------------------------------------


def test_turns_go_round():
    noted, line = [], Line(workers=0)
    entered(line, Scripted("a", 3, noted), Scripted("b", 1, noted), Scripted("c", 2, noted))
    assert run_out(line) == 6 and noted == ["a", "b", "c", "a", "c", "a"] and not len(line)


def test_a_newcomer_waits_for_the_step_that_is_taken_and_not_for_300_who_left():
    noted, line = [], Line(workers=1)
    gate, inside = threading.Event(), threading.Event()

    class Slow(Scripted):
        def step(self) -> bool:
            inside.set()
            assert gate.wait(PATIENT)
            return super().step()

    line.enter(Slow("first", 5, noted))
    assert inside.wait(PATIENT)
    left = [Scripted(f"left {i}", 5, noted, there=False) for i in range(300)]
    entered(line, *left)
    assert len(line) == line.most
    assert sum(thread.name == "speak" for thread in threading.enumerate()) == 1, "nobody waits in a thread"
    newcomer = Scripted("new", 2, noted)
    line.enter(newcomer)
    evicted = [turn for turn in left if turn.ended.is_set()]
    assert len(evicted) == 300 - line.most + 2 and all(isinstance(turn.error, Busy) for turn in evicted)
    for turn in left:
        turn.gone = True
    gate.set()
    assert newcomer.ended.wait(PATIENT) and newcomer.error is None
    assert noted[:2] == ["first", "new"]
    assert all(turn.ended.wait(PATIENT) for turn in left)
    assert not any(name.startswith("left") for name in noted), "who has left costs nothing"


def crowd(noted: list[str], count: int) -> list[Scripted]:
    """Turns of listeners that somebody at one address has invented, and goes on asking for."""
    made = [Scripted(f"invented {i}", 5, noted) for i in range(count)]
    for turn in made:
        turn.address = "10.0.0.1"
    return made


def test_a_crowd_at_one_address_keeps_nobody_out():
    noted, line = [], Line(workers=0, most=8)
    invented, newcomers = crowd(noted, 9), [Scripted(f"new {i}", 1, noted) for i in range(5)]
    for i, turn in enumerate(newcomers):
        turn.address = f"10.0.1.{i}"
    entered(line, *invented[:8])
    with pytest.raises(Busy):
        line.enter(invented[8])
    entered(line, *newcomers)
    assert [turn.ended.is_set() for turn in invented] == [False] * 3 + [True] * 5 + [False]
    assert all(isinstance(turn.error, Busy) for turn in invented[3:8]), "the latest of them made room"
    with pytest.raises(Busy):
        line.enter(invented[8])
    newcomers[0].there = False  # has not asked for its first sound yet
    with pytest.raises(Busy):
        line.enter(crowd(noted, 1)[0])
    run_out(line)
    assert all(turn.ended.is_set() and turn.error is None for turn in newcomers)


def test_a_newcomer_does_not_wait_for_all_of_a_crowd_at_one_address():
    noted, line = [], Line(workers=0)
    gate = Scripted("one that speaks", 2, noted)

    def meanwhile() -> bool:
        newcomer = Scripted("new", 1, noted)
        newcomer.address = "10.0.1.1"
        line.enter(newcomer)
        return line.step()  # as another thread would, beside this one

    gate.address, gate.step = "10.0.0.1", meanwhile
    entered(line, gate, *crowd(noted, 9))
    assert line.step() and noted == ["new"]


def test_who_has_too_much_in_the_line_pushes_nobody_out():
    noted, line = [], Line(workers=0, most=3, each=2)
    idle = Scripted("idle", 1, noted, there=False)
    entered(line, Scripted("a", 1, noted), Scripted("a", 1, noted), idle)
    with pytest.raises(Busy):
        line.enter(Scripted("a", 1, noted))
    assert not idle.ended.is_set()


def test_a_full_line_refuses_in_one_sentence():
    noted, line = [], Line(workers=0, most=3, each=2)
    entered(line, *(Scripted(name, 1, noted) for name in "abc"))
    with pytest.raises(Busy, match=r"^3 requests are being spoken or waiting, .* try again in \d+ s\.$") as caught:
        line.enter(Scripted("d", 1, noted))
    assert "秒后再试" in caught.value.message.say("zh") and len(line) == 3
    own = Line(workers=0, each=2)
    entered(own, Scripted("a", 1, noted), Scripted("a", 1, noted))
    with pytest.raises(Busy, match="much at the same time"):
        own.enter(Scripted("a", 1, noted))
    own._turns[0].gone = True  # what was stopped makes room at once
    own.enter(Scripted("a", 1, noted))
    assert len(own) == 2


def test_what_was_cancelled_leaves_before_it_begins():
    noted, line = [], Line(workers=0)
    one, other = Scripted("a", 1, noted), Scripted("b", 1, noted)
    entered(line, one, other)
    one.gone = True
    assert run_out(line) == 2 and noted == ["b"] and one.ended.is_set() and one.error is None


def test_one_listener_has_one_turn_at_a_time():
    noted, line, gate = [], Line(workers=4), threading.Event()
    busy, most = 0, 0
    lock = threading.Lock()

    class Counted(Scripted):
        def step(self) -> bool:
            nonlocal busy, most
            with lock:
                busy, most = busy + 1, max(most, busy + 1)
            gate.wait(0.01)
            with lock:
                busy -= 1
            return super().step()

    own = [Counted("one", 3, noted) for _ in range(5)]
    entered(line, *own)
    assert all(turn.ended.wait(PATIENT) for turn in own) and most == 1 and len(noted) == 15


def test_who_cannot_go_on_is_passed_by():
    noted, line = [], Line(workers=0)
    stuck = Scripted("stuck", 2, noted)
    entered(line, stuck, Scripted("b", 2, noted))
    stuck.stuck = True
    assert run_out(line) == 2 and noted == ["b", "b"]
    stuck.stuck = False
    assert run_out(line) == 2 and noted[2:] == ["stuck"] * 2


def test_what_goes_wrong_ends_one_turn():
    noted, line = [], Line(workers=2)

    class Broken(Scripted):
        def step(self) -> bool:
            raise ZeroDivisionError

    broken, good = Broken("a", 1, noted), Scripted("b", 2, noted)
    entered(line, broken, good)
    assert broken.ended.wait(PATIENT) and good.ended.wait(PATIENT)
    assert isinstance(broken.error, ZeroDivisionError) and good.error is None


@pytest.mark.parametrize("name", [None, "", 3, ["a"], "x" * 65, "名" * 600])
def test_names_of_listeners_are_short(name):
    with pytest.raises(BadRequest, match="1 to 64 characters"):
        listener_named(name)


# --- what the page makes in it ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    make_tiny_voice(folder / "tiny")
    overrides = [f"voices=[{folder}]", "webui.device=cpu", "glossary=", "max_seconds=60"]
    return load_settings(overrides=overrides, environment={})


@pytest.fixture(scope="module")
def made(settings) -> Engine:
    engine = Engine(settings)
    engine.load()
    return engine


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def studio(made, monkeypatch) -> Iterator[Studio]:
    """A studio whose steps are taken here, one by one, and whose clock stands still."""
    monkeypatch.setattr(page_studio, "PATIENCE", page_studio.POLL)
    monkeypatch.setattr(made, "line", Line(workers=0))
    with closing(Files()) as files:
        yield Studio(made, files, Samples(), Clock())


def fetch(studio: Studio, run: str, number: int = 0) -> dict:
    return asyncio.run(studio.pieces({"run": run, "next": number}))


def hear(studio: Studio, run: str) -> tuple[list[dict], dict]:
    """All parts of a run, and its last answer."""
    parts, got = [], {"next": 0, "done": False}
    while not got["done"]:
        studio.engine.line.step()
        got = fetch(studio, run, got["next"])
        parts += got["parts"]
    return parts, got


def samples_of(parts: list[dict]) -> np.ndarray:
    """As the page plays them: the pauses are numbers."""
    waves = []
    for part in parts:
        waves.append(np.frombuffer(base64.b64decode(part["pcm"]), "<i2"))
        waves.append(np.zeros(round(part.get("pause", 0) * part["rate"]), np.int16))
    return np.concatenate(waves)


def saying(text: str, listener: str = "one", **options: object) -> dict:
    return {"listener": listener, "requests": [{"text": text, **options}]}


def test_the_page_hears_what_the_engine_says_and_pauses_are_numbers(studio, made):
    request = SpeechRequest("你好，世界。再见！\n完了。", pause=4.0, paragraph_pause=7.5)
    parts, last = hear(studio, studio.speak(saying(**vars(request) | {"emotion_audio": b""}))["run"])
    whole, rate = speak(made, request)
    np.testing.assert_array_equal(samples_of(parts), audio.to_pcm16(whole))
    assert [part["pause"] for part in parts if "pause" in part] == [4.0, 7.5] and "error" not in last
    assert sum(len(part["pcm"]) for part in parts) < 4 / 3 * 2 * (len(whole) - 11 * rate)
    with_times = [part["sentence"] for part in parts if "times" in part]
    assert with_times == [0, 1, 2] and len(parts) > 3, "times come once for each sentence"


def test_what_was_delivered_is_dropped(studio):
    run = studio.runs[studio.speak(saying("春天来了，小河解冻了。" * 6))["run"]]
    run.meet()
    for _ in range(4):
        studio.engine.line.step()
    first = fetch(studio, run.id)
    assert len(first["parts"]) == first["next"] == 4 and fetch(studio, run.id)["parts"] == first["parts"], "not lost"
    held = run.held
    got = fetch(studio, run.id, 4)
    assert not got["parts"] and run.held == 0 < held and got["next"] == 4
    assert fetch(studio, run.id, 10**30)["next"] == 4 and fetch(studio, run.id, "x")["next"] == 4
    studio.engine.line.step()
    assert [part["sentence"] for part in fetch(studio, run.id, 4)["parts"]] and fetch(studio, run.id, 4)["next"] == 5


def test_the_making_waits_for_a_listener_who_does_not_fetch(studio, made, monkeypatch):
    text = "春天来了，小河解冻了。" * 12
    monkeypatch.setattr(page_studio, "BUFFER", 200_000)
    run = studio.runs[studio.speak(saying(text))["run"]]
    run.meet()
    run_out(made.line)
    assert 200_000 <= run.held < 400_000 and not run.done and len(made.line) == 1
    parts, _ = hear(studio, run.id)
    np.testing.assert_array_equal(samples_of(parts), audio.to_pcm16(speak(made, SpeechRequest(text))[0]))


def test_nothing_more_than_a_first_piece_is_made_for_one_who_never_asks(studio, made):
    for i in range(300):
        studio.speak(saying("春天来了，小河解冻了。" * 20, f"gone {i}", seed=i))
    assert len(made.line) == made.line.most and len(studio.runs) <= MOST_RUNS
    assert run_out(made.line) == made.line.most
    assert sum(run.held for run in studio.runs.values()) < made.line.most * 200_000 < 2 * BUFFER
    newcomer = studio.speak(saying("你好。", "new"))["run"]
    assert fetch(studio, newcomer)["waiting"]
    made.line.step()
    assert fetch(studio, newcomer)["parts"], "the very next step is the newcomer's"
    studio.clock.now += FORSAKEN + 1
    studio.speak(saying("你好。", "another"))
    run_out(made.line)
    assert [run.listener for run in studio.runs.values()] == ["another"], "forsaken runs are forgotten by themselves"
    assert len(made.line) == 1


def test_finished_runs_are_forgotten(studio, made):
    ids = [studio.speak(saying("好。", str(i)))["run"] for i in range(3)]
    for id in ids:
        studio.runs[id].meet()
    run_out(made.line)
    assert all(studio.runs[id].done for id in ids)
    studio.clock.now += FORSAKEN + 1
    assert fetch(studio, ids[0]) == {"parts": [], "next": 0, "done": True} and not studio.runs


@pytest.mark.parametrize("kind", ["speak", "file", "look"])
def test_all_that_speaks_obeys_stop_leave_and_the_clock(studio, made, monkeypatch, kind):
    spoken, speak = [], made.speak

    def counted(*asked: object, **options: object) -> Iterator:
        for piece in speak(*asked, **options):
            spoken.append(piece)
            yield piece

    monkeypatch.setattr(made, "speak", counted)
    monkeypatch.setattr(made, "takes", Takes(64))
    request = SpeechRequest("春天来了，小河解冻了。" * 9)
    project = split(request, made.read(request)).as_dict()
    asks = {
        "speak": saying(request.text),
        "file": {"listener": "one", "project": project, "format": "wav"},
        "look": {"listener": "one", "request": {"text": request.text}},
    }
    for how in ("stop", "leave", "clock", "before"):
        spoken.clear()
        run = getattr(studio, kind)(asks[kind])["run"]
        fetch(studio, run)
        for _ in range(0 if how == "before" else 3):
            made.line.step()
        if how in ("stop", "before"):
            studio.stop({"run": run})
        elif how == "leave":
            studio.leave("one")
        else:
            studio.clock.now += FORSAKEN + 1
        run_out(made.line)
        assert len(spoken) == (0 if how == "before" else 3) and not len(made.line)
        assert fetch(studio, run) == {"parts": [], "next": 0, "done": True} and not studio.runs


def test_a_file_and_a_picture_come_as_parts(studio, made):
    request = SpeechRequest("你好。再见。", pause=1.0)
    project = split(request, made.read(request))
    (file,), _ = hear(studio, studio.file({"listener": "a", "project": project.as_dict(), "format": "wav"})["run"])
    kept = studio.files.get(file["address"].split("/")[1])
    whole, rate = speak(made, request)
    assert kept.path.read_bytes() == audio.encode(whole, rate, "wav", project) and kept.name == "你好再见-0.wav"
    assert file["seconds"] == pytest.approx(len(whole) / rate)
    read = project.as_dict() | {"cards": [{"text": "长[chang2]的。"}]}
    (subtitles,), _ = hear(studio, studio.file({"listener": "a", "project": read, "format": "srt"})["run"])
    assert subtitles["name"] == "长的-0.srt", "a reading is no part of the name"
    (seen,), _ = hear(studio, studio.look({"listener": "a", "request": {"text": "你好。"}})["run"])
    assert seen["columns"] > 100
    with pytest.raises(BadRequest, match="no text to say"):
        studio.file({"listener": "a", "project": split(request, ()).as_dict(), "format": "srt"})


def test_seconds_are_bounded_pauses_included(studio, made, monkeypatch):
    with pytest.raises(BadRequest, match=r"last more than 60 s; .* raise max_seconds"):
        next(made.speak([SpeechRequest("今天天气很好。" * 50, pause=2.0)]))  # told before anything is made
    heard = []
    with pytest.raises(BadRequest, match="more than 60 s"):
        heard += made.speak([SpeechRequest("春天来了，小河解冻了。" * 60)])
    many = [{"text": "春天来了。", "seed": i, "pause": 0.0, "length": 2.0, "speed": 0.5} for i in range(60)]
    parts, last = hear(studio, studio.speak({"listener": "a", "requests": many})["run"])
    assert "max_seconds" in last["error"][1] and 50 < len(samples_of(parts)) / 22050 <= 60
    request = SpeechRequest("你好。" * 20, pause=3.5)
    project = split(request, made.read(request)).as_dict()
    _, last = hear(studio, studio.file({"listener": "a", "project": project, "format": "wav"})["run"])
    assert "max_seconds" in last["error"][1]
    monkeypatch.setattr(page_studio, "MOST_SEEN", 1)
    _, last = hear(studio, studio.look({"listener": "a", "request": {"text": "春天来了，小河解冻了。"}})["run"])
    assert "at most 1 s" in last["error"][1]


@pytest.mark.parametrize("ask", [None, [], {}, {"run": None}, {"run": ["x"]}, {"run": "x", "next": None}])
def test_what_no_page_asks_for_has_no_parts(studio, ask):
    assert asyncio.run(studio.pieces(ask)) == {"parts": [], "next": 0, "done": True} and studio.stop(ask) == {}


def test_a_full_disk_is_a_sentence_and_leaves_nothing(studio, made, monkeypatch, tmp_path, caplog):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("page.files.SPARE", 1 << 60)
    project = split(SpeechRequest("你好。"), made.read(SpeechRequest("你好。"))).as_dict()
    _, last = hear(studio, studio.file({"listener": "a", "project": project, "format": "wav"})["run"])
    assert "cannot write the file (No space left on device)" in last["error"][1] and "腾出空间" in last["error"][0]
    assert not list(tmp_path.iterdir()) and not caplog.records


def test_a_fault_of_ours_is_a_sentence(studio, made, monkeypatch, caplog):
    monkeypatch.setattr(made, "analyse", lambda *_: 1 / 0)
    _, last = hear(studio, studio.speak(saying("不好。"))["run"])
    assert "ZeroDivisionError" in last["error"][1] and "ZeroDivisionError" in caplog.text


def test_the_page_in_threads(made, monkeypatch):
    """As it is served: the line's own threads, and a listener who waits."""
    monkeypatch.setattr(made, "line", Line())
    with closing(Files()) as files:
        studio = Studio(made, files, Samples())

        async def listen(i: int) -> list[dict]:
            run, parts, got = (
                studio.speak(saying("你好，世界。", str(i), seed=i))["run"],
                [],
                {"next": 0, "done": False},
            )
            while not got["done"]:
                got = await studio.pieces({"run": run, "next": got["next"]})
                parts += got["parts"]
            return parts

        async def all_listen() -> list[list[dict]]:
            return await asyncio.gather(*map(listen, range(20)))

        for i, parts in enumerate(asyncio.run(all_listen())):
            whole, _ = speak(made, SpeechRequest("你好，世界。", seed=i))
            np.testing.assert_array_equal(samples_of(parts), audio.to_pcm16(whole))
    assert sum(thread.name == "speak" for thread in threading.enumerate()) <= turns.WORKERS


def test_names_of_listeners_are_bounded_in_number(studio, made, monkeypatch):
    monkeypatch.setattr(webui, "SESSIONS", 5)
    page = webui.Page(made, studio)
    for i in range(9):
        visitor = SimpleNamespace(session_hash=str(i), cookies={}, headers={})
        assert page.visit("tiny", visitor)[0]["listener"] == page.listeners.get(str(i))
    assert [name for name in "012345678" if name in page.listeners] == list("45678")


# --- what is kept ----------------------------------------------------------------------------------------------------


def is_known(engine: Engine, request: SpeechRequest) -> bool:
    return not next(engine.speak([request], scope="")).timings


@pytest.fixture
def kept(made, monkeypatch) -> Takes:
    monkeypatch.setattr(made, "takes", Takes(256))
    return made.takes


def test_equal_requests_have_one_take(made, kept):
    list(made.speak([SpeechRequest("你好。", speed=1, noise=0, seed=3)], scope=""))
    assert is_known(made, SpeechRequest("你好。", speed=1.0, noise=0.0, seed=3, voice="tiny"))
    assert not is_known(made, SpeechRequest("你好。", speed=1.0, noise=0.0, seed=4)) and kept.size


def test_no_take_fills_the_room_of_others(made, kept):
    small, large = SpeechRequest("你好。"), SpeechRequest("春天来了，小河解冻了。" * 9)
    list(made.speak([small], scope=""))
    assert is_known(made, small) and 0 < kept.size < 1e6
    kept.recent.most = SHARE * 2 * kept.size
    list(made.speak([large], scope=""))
    assert is_known(made, small) and not is_known(made, large)
    heavy = small.but(style_text="好" * 5_000, emotion_audio=bytes(3_000_000))
    list(made.speak([heavy], scope=""))
    assert not is_known(made, heavy)
    kept.recent.most = 64 << 20
    list(made.speak([heavy], scope=""))
    assert is_known(made, heavy) and kept.size > 3_000_000, "what a request holds counts as well"


def test_a_run_ends_when_its_maker_does(studio):
    run = Run("one", "speak", lambda _: iter(()), studio.clock)
    assert not run.step()
