"""infer/ending.py: programs of their own that are told to end while they speak."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.test_files import HOLDER, PATIENT, ROOT, python
from tests.voices import make_tiny_voice

LONG = "春天来了，小河解冻了。" * 250  # minutes of sound
STARTED = "to load"  # ends the line that is printed before the first sentence is spoken


@pytest.fixture(scope="module")
def voices(tmp_path_factory) -> Path:
    return make_tiny_voice(tmp_path_factory.mktemp("voices") / "tiny").parent


@pytest.fixture
def begin(voices, tmp_path) -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts a program with the tiny voice, and its temporary files in a folder of their own."""
    (tmp_path / "temporary").mkdir()
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary"), "PYTHONUNBUFFERED": "1"}
    running: list[subprocess.Popen] = []

    def start(*arguments: object) -> subprocess.Popen:
        own = {
            "voices": f"[{voices}]",
            "voice": "tiny",
            "threads": 1,
            "webui.device": "cpu",
            "history": "",
            "glossary": "",
        }
        settings = [word for key, value in own.items() for word in ("--set", f"{key}={value}")]
        command = [sys.executable, *map(str, arguments), *settings]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        running.append(subprocess.Popen(command, cwd=ROOT, env=environment, **pipes))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def read_to(process: subprocess.Popen, words: str) -> str:
    """What it prints, as far as these words."""
    said = b""
    while words.encode() not in said:
        more = process.stdout.read(1)
        assert more, said.decode()
        said += more
    return said.decode()


def told(process: subprocess.Popen, number: int) -> tuple[int, str]:
    """What it ends with, and prints, once it is sent a signal."""
    process.send_signal(number)
    said, _ = process.communicate(timeout=PATIENT)
    return process.returncode, said.decode()


# --- the page --------------------------------------------------------------------------------------------------------


class Server:
    """The page's server; `ask` calls a function of its editor."""

    def __init__(self, begin: Callable[..., subprocess.Popen]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.process = begin("webui.py", "--port", port)
        read_to(self.process, "(Ctrl+C ends it)\n")
        self.url = f"http://127.0.0.1:{port}/"
        with urllib.request.urlopen(self.url, timeout=PATIENT) as answer:
            config = answer.read().decode().partition("window.gradio_config = ")[2]
        components = json.JSONDecoder().raw_decode(config)[0]["components"]
        self.editor = next(c["id"] for c in components if c["props"].get("elem_id") == "editor")

    def ask(self, name: str, **data: Any) -> dict[str, Any]:
        body = {"data": data, "fn_name": name, "component_id": self.editor, "session_hash": "one"}
        request = urllib.request.Request(
            f"{self.url}gradio_api/component_server",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENT) as answer:
            return json.load(answer)

    def speak(self) -> None:
        """Till the first sound is there, of minutes."""
        run = self.ask("speak", listener="one", requests=[{"text": LONG}])["run"]
        told = self.ask("pieces", run=run, next=0)
        assert told["parts"] and not told["done"]


def folders(temporary: Path) -> set[Path]:
    return {path for path in temporary.iterdir() if path.name.startswith(("speech-", "batch"))}


@pytest.mark.parametrize("number,code", [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_server_that_speaks_ends_cleanly_and_clears_up_after_a_killed_one(begin, tmp_path, number, code):
    killed = python(HOLDER, tmp_path / "temporary")
    left = Path(killed.stdout.readline().strip())
    killed.kill()
    killed.communicate(timeout=PATIENT)
    server = Server(begin)
    now = folders(tmp_path / "temporary")
    assert now and left.parent == tmp_path / "temporary" and left not in now
    server.speak()
    assert told(server.process, number) == (code, "")
    assert not folders(tmp_path / "temporary")


# --- the command line ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number,code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_command_line_ends_without_a_word_or_half_a_file(begin, tmp_path, number, code):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.srt").write_text("before")
    speaking = begin("-m", "infer", LONG, "-o", tmp_path / "out" / "a.wav", "--subtitles", tmp_path / "out" / "a.srt")
    read_to(speaking, STARTED)
    ended, said = told(speaking, number)
    assert ended == code and "Traceback" not in said and "Error" not in said
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.srt"]
    assert (tmp_path / "out" / "a.srt").read_text() == "before"


def test_a_batch_keeps_what_is_whole(begin, tmp_path):
    (tmp_path / "in.txt").write_text(f"你好。\n{LONG}\n", "utf-8")
    speaking = begin("-m", "infer.batch", tmp_path / "in.txt", "-o", tmp_path / "out")
    read_to(speaking, "| 1/2")
    ended, said = told(speaking, signal.SIGINT)
    assert ended == 130 and "Traceback" not in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["001-你好.wav", "report.jsonl"]
    assert json.loads((tmp_path / "out" / "report.jsonl").read_text("utf-8").splitlines()[-1])["made"] == 1


def test_ctrl_c_while_libraries_are_imported_says_nothing(begin, tmp_path):
    starting = begin("-X", "importtime", "-m", "infer", "你好。", "-o", tmp_path / "a.wav")
    read_to(starting, "| numpy")
    ended, said = told(starting, signal.SIGINT)
    assert ended in (-signal.SIGINT, 130) and "Traceback" not in said  # which a shell calls 130 both


TIDYING = """
import sys
from infer.ending import Interrupted, leave, listen
listen()
try:
    print("ready", flush=True)
    sys.stdin.readline()
except Interrupted as told:
    print("tidying", flush=True)
    sys.stdin.readline()  # for ever
leave(0)
"""


def test_the_second_signal_ends_at_once():
    process = python(TIDYING)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "tidying\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENT) == 130
    process.communicate()


COMPUTING = """
import threading
from infer.ending import end_work, ending, leave
started = threading.Event()
def work():
    started.set()
    while not ending():
        pass
    print("stopped", flush=True)
thread = threading.Thread(target=work)
thread.start()
started.wait()
print(end_work(), thread.is_alive(), flush=True)
leave(3)
"""


def test_what_computes_is_waited_for():
    process = python(COMPUTING)
    assert process.communicate(timeout=PATIENT)[0] == "stopped\nTrue False\n" and process.returncode == 3
