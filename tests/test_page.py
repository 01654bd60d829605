"""The page as a person uses it: the real server in a process of its own, headless Chromium in front of it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

import webui
from infer import audio
from infer.pipeline import Engine, speak
from infer.request import SpeechRequest
from infer.settings import load_settings
from tests.voices import make_tiny_voice
from text import Char

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 3000  # max_characters of the server under test
SENTENCE = "你好，世界。银行里有2个人！"
LONG = "春天来了，小河解冻了。" * 250  # minutes of sound: nobody clicks as late as that
PATIENT = 120_000  # milliseconds; only a page that hangs comes near

CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]

# What the browser is given to sound: when, how much, and the samples themselves.
LISTEN = """
window.heard = [];
const start = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (when) {
  const samples = Array.from(this.buffer.getChannelData(0), (x) => Math.round(x * 32768));
  window.heard.push({when, rate: this.buffer.sampleRate, seconds: this.buffer.duration, samples});
  start.call(this, when);
};
"""

# Python runs this in the server before all else: it notes every address that the process talks to or asks for.
WATCH_NETWORK = """
import os, socket
def note(address):
    with open(os.environ["NETWORK_LOG"], "a") as log:
        log.write(f"{address}\\n")
connect, getaddrinfo = socket.socket.connect, socket.getaddrinfo
def watched_connect(self, address):
    note(address[0] if isinstance(address, tuple) else "unix")
    return connect(self, address)
def watched_getaddrinfo(host, *args, **kwargs):
    note(host)
    return getaddrinfo(host, *args, **kwargs)
socket.socket.connect, socket.getaddrinfo = watched_connect, watched_getaddrinfo
"""


@dataclass(frozen=True)
class Server:
    url: str
    voices: Path
    output: Path


@pytest.fixture(scope="module")
def voices(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("voices")
    make_tiny_voice(folder / "tiny", seed=0)
    make_tiny_voice(folder / "other", seed=1)
    return folder


def start(voices: Path, folder: Path, *arguments: str) -> tuple[subprocess.Popen, Server]:
    """The page in a process of its own, started from another folder, with temporary files and network noted."""
    (folder / "temporary").mkdir(parents=True)
    (folder / "sitecustomize.py").write_text(WATCH_NETWORK)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    output = folder / "output"
    environment = os.environ | {
        "PATH": str(folder),  # no ffmpeg, nor any other program: the page needs none
        "PYTHONPATH": str(folder),
        "NETWORK_LOG": str(folder / "network"),
        "TMPDIR": str(folder / "temporary"),
        "PYTHONUNBUFFERED": "1",
    }
    settings = ("--device", "cpu", "--set", f"voices=[{voices}]", "--set", "voice=tiny", "--set", "threads=1")
    with output.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, ROOT / "webui.py", "--port", str(port), *settings, *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
        )
    while "Page: " not in output.read_text():
        assert process.poll() is None, output.read_text()
        try:
            process.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            continue
    return process, Server(f"http://127.0.0.1:{port}/", voices, output)


@pytest.fixture(scope="module")
def server(voices, tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    process, running = start(voices, folder, "--set", f"max_characters={LIMIT}")
    yield running
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    assert len(running.output.read_text().splitlines()) == 2, "only the voice and the address are printed"
    addresses = set((folder / "network").read_text().split())
    assert addresses <= {"127.0.0.1", "localhost", "unix"}, "the server talks to nobody else"
    left = [path for path in (folder / "temporary").rglob("*") if path.suffix[1:] in audio.FORMATS]
    assert not left and not list((folder / "temporary").glob("speech-*")), "no file of a listener stays behind"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.fail("Chromium is missing, which this test drives; install it, on Debian with: apt install chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=CHROMIUM)
        yield running
        running.close()


@pytest.fixture
def visit(browser, server):
    """Opens the page as a new listener; every request must go to the server itself."""
    contexts, requested = [], []

    def open_page(locale: str = "zh-CN") -> Page:
        context = browser.new_context(locale=locale)
        contexts.append(context)
        context.set_default_timeout(PATIENT)
        context.on("request", lambda request: requested.append(request.url))
        context.add_init_script(LISTEN)
        page = context.new_page()
        page.goto(server.url)
        expect(page.locator("#speaker input")).to_have_value("甲", timeout=PATIENT)  # the page knows its voice
        return page

    yield open_page
    for context in contexts:
        context.close()
    own = urlsplit(server.url).netloc
    assert requested and not [url for url in requested if urlsplit(url).netloc not in (own, "")]


@pytest.fixture(scope="module")
def engine(voices) -> Engine:
    return Engine(load_settings(overrides=[f"voices=[{voices}]", "voice=tiny", "webui.device=cpu"], environment={}))


def say(page: Page, text: str) -> None:
    page.locator("#text textarea").fill(text)
    page.locator("#speak").click()


def wait_until_finished(page: Page) -> None:
    expect(page.locator("#state .done")).to_be_visible(timeout=PATIENT)


def heard(page: Page, samples: int) -> list[dict]:
    """What was given to the loudspeaker, once it is as long as expected."""
    page.wait_for_function(f"heard.reduce((n, piece) => n + piece.samples.length, 0) >= {samples}", timeout=PATIENT)
    return page.evaluate("heard")


def joined(pieces: list[dict]) -> np.ndarray:
    return np.concatenate([np.array(piece["samples"], dtype=np.int16) for piece in pieces])


def downloaded(page: Page) -> tuple[str, bytes]:
    with page.expect_download() as download:
        page.locator("#download").click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_type_speak_listen_and_download(visit, engine, voices, tmp_path):
    page = visit()
    page.locator("#speaker input").click()
    page.get_by_role("option", name="乙").click()
    page.locator("#emotion input").fill("有点难过")
    page.locator("#emotion input").press("Enter")
    page.locator("#seed input").fill("7")
    page.locator("#text textarea").fill(SENTENCE)
    page.locator("#text textarea").press("Control+Enter")
    wait_until_finished(page)

    request = engine.load().complete(SpeechRequest(SENTENCE, speaker="乙", emotion="有点难过", seed=7))
    samples, rate = speak(engine, request)
    pieces = heard(page, len(samples))
    np.testing.assert_array_equal(joined(pieces), audio.to_pcm16(samples))
    assert {piece["rate"] for piece in pieces} == {rate}
    for before, after in pairwise(pieces):
        assert after["when"] >= before["when"] + before["seconds"] - 1e-6, "pieces never overlap"

    name, content = downloaded(page)
    assert name == "你好世界银行里有2个人-7.wav"
    out = tmp_path / "out.wav"
    command = [sys.executable, "-m", "infer", SENTENCE, "-q", "-o", str(out), "--set", f"voices=[{voices}]"]
    options = "--set voice=tiny --set webui.device=cpu --speaker 乙 --emotion 有点难过 --seed 7".split()
    subprocess.run([*command, *options], check=True, cwd=ROOT)
    assert content == out.read_bytes()

    shown = page.evaluate("performance.getEntriesByType('resource').map((e) => e.name).find((n) => n.endsWith('.wav'))")
    assert page.context.request.get(shown).body() == content, "the whole speech on the page is the same file"
    assert page.locator("#readings ruby rt").all_inner_texts()[:4] == ["ní", "hǎo", "shì", "jiè"]

    page.locator("#format").get_by_text("flac").click()
    expect(page.locator("#download")).to_have_text("下载 flac", timeout=PATIENT)
    name, content = downloaded(page)
    assert name.endswith(".flac") and content == audio.encode(samples, rate, "flac", request)


def test_errors_are_sentences_and_nothing_is_lost(visit):
    page = visit()
    say(page, "  ")
    expect(page.locator("#state .error")).to_contain_text("没有要说的文字", timeout=PATIENT)
    long = "长" * (LIMIT + 1)
    say(page, long)
    expect(page.locator("#state .error")).to_contain_text(f"上限是 {LIMIT} 字", timeout=PATIENT)
    assert page.locator("#text textarea").input_value() == long
    page.locator("#seed input").fill("-1")
    say(page, "你好。")
    expect(page.locator("#state .error")).to_contain_text("seed", timeout=PATIENT)
    page.locator("#seed input").fill("1")
    say(page, "你好。")
    wait_until_finished(page)


def test_an_english_browser_reads_english(visit):
    page = visit("en-US")
    expect(page.locator("#speak")).to_have_text("Speak", timeout=PATIENT)
    say(page, "")
    expect(page.locator("#state .error")).to_contain_text("There is no text to say", timeout=PATIENT)
    say(page, "你好。")
    expect(page.locator("#state .done")).to_contain_text("of speech in", timeout=PATIENT)


def test_stop_stops_and_another_speech_begins(visit, engine):
    page = visit()
    say(page, LONG)
    heard(page, 1)
    page.locator("#stop").click()
    expect(page.locator("#state p")).to_have_text("已停止。", timeout=PATIENT)
    assert not page.locator("#whole").is_visible()

    page.evaluate("heard.length = 0")
    say(page, SENTENCE)
    wait_until_finished(page)
    samples, _ = speak(engine, SpeechRequest(SENTENCE))
    np.testing.assert_array_equal(joined(heard(page, len(samples))), audio.to_pcm16(samples))


def test_a_click_while_speaking_takes_over(visit, engine):
    page = visit()
    say(page, LONG)
    say(page, LONG)
    heard(page, 1)
    say(page, SENTENCE)
    wait_until_finished(page)
    samples, _ = speak(engine, SpeechRequest(SENTENCE))
    expected = audio.to_pcm16(samples)
    page.wait_for_function(f"heard.reduce((n, p) => n + p.samples.length, 0) >= {len(samples)}")
    page.wait_for_function("document.querySelector('.player').dataset.state === 'idle'")
    np.testing.assert_array_equal(joined(page.evaluate("heard"))[-len(samples) :], expected)
    assert page.locator("#readings ruby").count() == len(SENTENCE) - 3


def test_two_listeners_do_not_disturb_each_other(visit, engine):
    pages = visit(), visit("en-US")
    texts = "第一位听众在听这一句。", "第二位听众听的是另一句！"
    for page, text in zip(pages, texts, strict=True):
        say(page, text)
    for page, text in zip(pages, texts, strict=True):
        wait_until_finished(page)
        samples, _ = speak(engine, SpeechRequest(text))
        np.testing.assert_array_equal(joined(heard(page, len(samples))), audio.to_pcm16(samples))


def test_text_is_never_markup_or_code(visit):
    page = visit()
    attack = "<img src=x onerror='window.hacked=1'>你好<script>window.hacked=1</script>${window.hacked=1}{{this}}"
    page.locator("#emotion input").fill(attack)
    page.locator("#emotion input").press("Enter")
    say(page, attack)
    wait_until_finished(page)
    assert page.evaluate("window.hacked") is None
    assert page.locator("#state img, #readings img, #state script, #readings script").count() == 0


def test_what_is_shown_is_escaped():
    evil = "<img src=x>"
    char = Char(text=evil, reading=evil, spoken=evil + "5", source="", confidence=1.0)
    mark = Char(text=evil, reading="", spoken="", source="punctuation", confidence=1.0)
    shown = webui.state_html(evil) + webui.lines_html([(evil, "notice")]) + webui.stages_html({evil: 1.0}, 0)
    shown += webui.ruby_html(SimpleNamespace(chars=(char, mark)))
    assert "<img" not in shown and shown.count("&lt;img") >= 6


def test_speakers_emotions_and_rate_follow_the_voice(visit, engine):
    page = visit()
    page.locator("#voice input").click()
    page.get_by_role("option", name="other").click()
    say(page, SENTENCE)
    wait_until_finished(page)
    samples, _ = speak(engine, SpeechRequest(SENTENCE, voice="other"))
    np.testing.assert_array_equal(joined(heard(page, len(samples))), audio.to_pcm16(samples))


def test_every_option_has_a_control_and_its_defaults_ask_for_nothing(engine):
    assert [c.name for c in webui.CONTROLS if c.name not in webui.OPTIONS] == []
    assert {c.name for c in webui.CONTROLS} == {option.name for option in fields(SpeechRequest)}
    page = webui.Page(engine)
    untouched = {"text": SENTENCE, "voice": "tiny", "speaker": "甲", "emotion": ""}
    values = [untouched.get(c.name, webui.OPTIONS[c.name].default) for c in webui.CONTROLS]
    plain = engine.load().complete(SpeechRequest(SENTENCE))  # what the command line's file would say
    assert engine.load().complete(page.request(values)) == plain
    whole = page.request([int(v) if v == 1.0 else v for v in values])  # browsers write 1.0 as 1
    assert engine.load().complete(whole).as_dict() == plain.as_dict()


def test_a_closed_tab_ends_its_work(engine):
    page = webui.Page(engine)
    listener = SimpleNamespace(session_hash="one", headers={"accept-language": "zh-CN"})
    values = {"text": LONG, "voice": "tiny", "speaker": "甲", "emotion": ""}
    page.begin("tiny", listener)
    run = page.runs["one"]
    updates = page.speak(listener, *(values.get(c.name, webui.OPTIONS[c.name].default) for c in webui.CONTROLS), "wav")
    assert "第 1 /" in next(updates)["state"]
    page.leave(listener)
    made = len(run.pieces)
    assert not any(updates) and run.done and len(run.pieces) <= made + 1
    assert page.runs == {}


def test_a_password_is_asked_for(voices, tmp_path, browser):
    process, server = start(voices, tmp_path / "server", "--set", "user=alice", "--set", "password=secret")
    try:
        page = browser.new_page(locale="zh-CN")
        assert page.request.get(server.url + "config").status == 401
        page.goto(server.url)
        page.locator("input[type=password]").wait_for(timeout=PATIENT)
        assert page.locator("#speak").count() == 0
        page.close()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def test_a_busy_port_and_a_wrong_setting_are_one_sentence(voices, capfd):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert webui.main(["--port", port, "--device", "cpu", "--set", f"voices=[{voices}]"]) == 1
    captured = capfd.readouterr()
    assert f"Port {port} on 127.0.0.1 cannot be used" in captured.err and captured.err.count("\n") == 1
    assert webui.main(["--set", "webui.prot=1"]) == 2
    captured = capfd.readouterr()
    assert "did you mean 'webui.port'?" in captured.err and captured.err.count("\n") == 1
    assert webui.main(["--set", "user=alice"]) == 2
