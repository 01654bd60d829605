"""The page as a person uses it: the real server in a process of its own, headless Chromium in front of it."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

import webui
from infer.documents import audio, subtitles
from infer.documents.project import Project, split
from infer.engine.pipeline import Engine
from infer.request import Speech, SpeechRequest
from infer.settings import load_settings
from page.signin import FREE
from tests.voices import make_tiny_voice

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 3000  # max_characters of the server under test
SENTENCE = "你好，世界。银行里有2个人！"
LONG = "春天来了，小河解冻了。" * 250  # minutes of sound: nobody clicks as late as that
PATIENT = 60_000  # milliseconds; only a page that hangs comes near

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
    own = {"voices": f"[{voices}]", "voice": "tiny", "threads": 1, "glossary": folder / "glossary.txt", "history": ""}
    settings = ("--device", "cpu", *(word for key, value in own.items() for word in ("--set", f"{key}={value}")))
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


@pytest.fixture
def visit(browser, server):
    """Opens the page as a new listener; every request must go to the server itself."""
    contexts, requested, refused = [], [], []

    def open_page(locale: str = "zh-CN") -> Page:
        context = browser.new_context(locale=locale)
        contexts.append(context)
        context.set_default_timeout(PATIENT)
        context.on("request", lambda request: requested.append(request.url))
        context.on("console", lambda line: "Security Policy" in line.text and refused.append(line.text))
        context.add_init_script(LISTEN)
        page = context.new_page()
        page.goto(server.url)
        expect(page.locator("#speaker input")).to_have_value("甲", timeout=PATIENT)  # the page knows its voice
        page.locator("#editor [data-ready=true], #editor[data-ready=true]").first.wait_for(
            timeout=PATIENT, state="attached"
        )
        return page

    yield open_page
    for context in contexts:
        context.close()
    own = urlsplit(server.url).netloc
    assert requested and not [url for url in requested if urlsplit(url).netloc not in (own, "")]
    assert not refused, "what the page does is what its policy lets it do"


@pytest.fixture(scope="module")
def engine(voices) -> Engine:
    return Engine(load_settings(overrides=[f"voices=[{voices}]", "voice=tiny", "webui.device=cpu"], environment={}))


def say(page: Page, text: str) -> None:
    page.locator("#text textarea").fill(text)
    page.locator("#speak").click()


def wait_until_finished(page: Page) -> None:
    """Everything is made and the file of the whole is there."""
    expect(part(page, "state")).to_have_class("state done", timeout=PATIENT)
    expect(part(page, "whole")).to_be_visible(timeout=PATIENT)


def part(page: Page, name: str) -> Locator:
    return page.locator(f"[data-part={name}]")


def sentence(page: Page, number: int) -> Locator:
    return page.locator(".sentence").nth(number)


def spoken(engine: Engine, text: str, **options) -> list[Speech]:
    """What the engine says of a text in cards, without the pauses between them, which the player makes."""
    request = engine.load(options.get("voice", "")).complete(SpeechRequest(text, **options))
    project = split(request.but(pause=0.0, paragraph_pause=0.0), engine.read(request))
    return said(engine, project)


def said(engine: Engine, project: Project) -> list[Speech]:
    return list(engine.speak(project.requests, pauses=project.pauses))


def pcm(pieces: list[Speech]) -> np.ndarray:
    return audio.to_pcm16(audio.joined(pieces))


def heard(page: Page, samples: int) -> list[dict]:
    """What was given to the loudspeaker, once it is as long as expected."""
    page.wait_for_function(f"heard.reduce((n, piece) => n + piece.samples.length, 0) >= {samples}", timeout=PATIENT)
    return page.evaluate("heard")


def joined(pieces: list[dict]) -> np.ndarray:
    return np.concatenate([np.array(piece["samples"], dtype=np.int16) for piece in pieces])


def downloaded(page: Page) -> tuple[str, bytes]:
    with page.expect_download(timeout=PATIENT) as download:
        part(page, "download").click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def project_of(page: Page) -> Project:
    return Project.from_dict(page.evaluate("studio.project()"))


def count_made(page: Page) -> list[str]:
    """Notes from now on which texts the page has made, in window.asked, and whether they open, in window.opens."""
    page.evaluate(
        """() => {
          [window.asked, window.opens] = [[], []];
          const send = window.fetch;
          window.fetch = (url, options) => {
            const body = typeof options?.body === "string" ? options.body : "";
            if (body.includes('"speak"')) {
              const requests = JSON.parse(body).data?.requests ?? [];
              window.asked.push(...requests.map((one) => one.text));
              window.opens.push(...requests.map((one) => one.opens));
            }
            return send(url, options);
          };
        }"""
    )


def test_type_speak_listen_and_download(visit, engine, voices, tmp_path):
    page = visit()
    expect(part(page, "empty")).to_be_visible()
    page.locator("#speaker input").click()
    page.get_by_role("option", name="乙").click()
    page.locator("#emotion input").fill("有点难过")
    page.locator("#emotion input").press("Enter")
    page.locator("#seed input").fill("7")
    page.locator("#text textarea").fill(SENTENCE)
    page.locator("#text textarea").press("Control+Enter")
    wait_until_finished(page)

    pieces = spoken(engine, SENTENCE, speaker="乙", emotion="有点难过", seed=7)
    got = heard(page, len(pcm(pieces)))
    np.testing.assert_array_equal(joined(got), pcm(pieces))
    assert {piece["rate"] for piece in got} == {pieces[0].sampling_rate}
    for before, after in pairwise(got):
        assert after["when"] >= before["when"] + before["seconds"] - 1e-6, "pieces never overlap"

    saved = tmp_path / "project.json"
    saved.write_text(json.dumps(page.evaluate("studio.project()")), encoding="utf-8")
    out = tmp_path / "out.wav"
    command = [sys.executable, "-m", "infer", "--project", str(saved), "-q", "-o", str(out)]
    options = f"--set voices=[{voices}] --set voice=tiny --set webui.device=cpu --subtitles {tmp_path}/out.srt".split()
    subprocess.run([*command, *options], check=True, cwd=ROOT)
    name, content = downloaded(page)
    assert name == "你好世界银行里有2个人-7.wav" and content == out.read_bytes()

    # What the <audio> element plays, decoded by the browser itself, is the engine's sound with its pauses.
    decoded = page.evaluate(
        """async (rate) => {
          const bytes = await (await fetch(document.querySelector("[data-part=audio]").src)).arrayBuffer();
          const sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes);
          return Array.from(sound.getChannelData(0), (x) => Math.round(x * 32768));
        }""",
        pieces[0].sampling_rate,
    )
    whole = said(engine, project_of(page))
    np.testing.assert_array_equal(np.array(decoded, np.int16), pcm(whole))

    for format in ("flac", "opus"):
        part(page, "format").select_option(format)
        expect(part(page, "download")).to_have_text(f"下载 {format}")
        name, content = downloaded(page)
        assert name.endswith(f".{format}")
        assert Project.from_dict(audio.metadata(io.BytesIO(content))) == project_of(page).without_takes()
    part(page, "format").select_option("srt")
    assert downloaded(page)[1].decode() == subtitles.srt(whole) == (tmp_path / "out.srt").read_text("utf-8")


def test_the_first_card_is_cut_as_the_text_is_wherever_playing_starts(visit, engine):
    page = visit()
    count_made(page)
    first, second = "今天天气很好，我们一起去公园散步然后再去吃一顿晚饭吧。", "再见。"
    say(page, first + second)
    wait_until_finished(page)
    assert page.evaluate("opens") == [True, False]
    whole = list(engine.speak([engine.load().complete(SpeechRequest(first + second, pause=0.0, paragraph_pause=0.0))]))
    expected = np.concatenate([audio.to_pcm16(piece.samples) for piece in whole])
    np.testing.assert_array_equal(joined(heard(page, len(expected))), expected)
    page.evaluate("heard.length = 0")
    sentence(page, 0).locator(".tool.play").click()
    alone = np.concatenate([audio.to_pcm16(piece.samples) for piece in whole if piece.sentence < 2])
    np.testing.assert_array_equal(joined(heard(page, len(alone))), alone)
    page.reload()
    expect(page.locator(".sentence")).to_have_count(2, timeout=PATIENT)
    count_made(page)
    sentence(page, 0).locator(".tool.play").click()
    page.wait_for_function("opens.length > 0", timeout=PATIENT)
    assert page.evaluate("opens") == [True], "by itself as in its place"


def test_the_character_that_sounds_is_lit(visit):
    page = visit()
    page.evaluate(
        """() => {
          window.lit = [];
          new MutationObserver(() => {
            const now = document.querySelector(".char.now ruby")?.firstChild.textContent;
            if (now && now !== lit.at(-1)) lit.push(now);
          }).observe(document.body, { subtree: true, attributeFilter: ["class"] });
        }"""
    )
    say(page, "春天来了，小河解冻。")
    wait_until_finished(page)
    page.wait_for_function("document.querySelector('.player').dataset.state === 'idle'", timeout=PATIENT)
    live = page.evaluate("lit")
    page.evaluate("(window.lit = [], document.querySelector('[data-part=audio]').play())")
    page.wait_for_function("document.querySelector('[data-part=audio]').ended", timeout=PATIENT)
    again = page.evaluate("lit")
    for seen in (live, again):  # a busy machine may skip some, but they come in order
        places = ["春天来了，小河解冻。".index(char) for char in seen]
        assert len(seen) >= 4 and places == sorted(places)


def test_a_click_on_a_character_changes_its_reading(visit, engine):
    page = visit()
    say(page, "银行行长来了。你好。")
    wait_until_finished(page)
    assert sentence(page, 0).locator("rt").all_inner_texts() == ["yín", "háng", "háng", "zhǎng", "lái", "le"]
    count_made(page)
    sentence(page, 0).locator(".char").nth(2).click()
    choices = sentence(page, 0).locator(".picker .choice[aria-pressed]")
    assert choices.all_inner_texts()[0] == "háng" and choices.first.get_attribute("aria-pressed") == "true"
    page.evaluate("heard.length = 0")
    choices.get_by_text("xíng", exact=True).click()
    expect(sentence(page, 0).locator("rt").nth(2)).to_have_text("xíng", timeout=PATIENT)
    expect(page.locator("#text textarea")).to_have_value("银行行[xing2]长来了。你好。")
    expected = pcm(spoken(engine, "银行行[xing2]长来了。"))
    np.testing.assert_array_equal(joined(heard(page, len(expected))), expected)
    assert page.evaluate("asked") == ["银行行[xing2]长来了。"], "the other sentence is not made again"

    sentence(page, 1).locator(".char").nth(1).click()
    own = sentence(page, 1).locator(".picker input[type=text]")
    own.fill("good")
    own.press("Enter")
    expect(sentence(page, 1).locator(".picker .error")).to_contain_text("拼音", timeout=PATIENT)
    own.fill("hào")
    own.press("Enter")
    expect(sentence(page, 1).locator("rt").nth(1)).to_have_text("hào", timeout=PATIENT)
    assert sentence(page, 1).locator(".char").nth(1).evaluate("char => char === document.activeElement")
    page.keyboard.press("Control+z")
    expect(page.locator("#text textarea")).to_have_value("银行行[xing2]长来了。你好。")


def test_a_reading_can_be_remembered_for_every_text(visit, server):
    page = visit()
    say(page, "这里是单家。")
    wait_until_finished(page)
    sentence(page, 0).locator(".char").nth(3).click()
    sentence(page, 0).locator(".picker input[type=checkbox]").check()
    sentence(page, 0).locator(".picker input[type=text]").fill("shan4")
    sentence(page, 0).locator(".picker form button").click()
    expect(sentence(page, 0).locator("rt").nth(3)).to_have_text("shàn", timeout=PATIENT)
    assert "shan4" in (server.output.parent / "glossary.txt").read_text("utf-8")
    other = visit()
    say(other, "单家来了。")
    wait_until_finished(other)
    assert other.locator("rt").first.inner_text() == "shàn"
    (server.output.parent / "glossary.txt").unlink()


def test_cards_are_changed_one_by_one(visit, engine):
    page = visit()
    say(page, "第一句。第二句。第三句。")
    wait_until_finished(page)
    count_made(page)

    sentence(page, 1).locator(".tool.reroll").click()
    expect(sentence(page, 1).locator(".take")).to_have_count(2, timeout=PATIENT)
    sentence(page, 0).locator(".tool.edit").click()
    sentence(page, 0).locator("textarea").fill("改了的一句。又多一句。")
    sentence(page, 0).locator("textarea").press("Enter")
    expect(page.locator(".sentence")).to_have_count(4, timeout=PATIENT)
    sentence(page, 3).locator(".tool.more").click()
    sentence(page, 3).locator(".panel").get_by_label("说话人").select_option("乙")
    sentence(page, 3).locator(".panel").get_by_label("语速").fill("1.5")
    sentence(page, 3).locator(".panel").get_by_label("语速").press("Tab")
    expect(sentence(page, 3).locator(".badge")).to_have_text("未合成")
    part(page, "play").click()
    wait_until_finished(page)
    assert page.evaluate("asked") == ["第二句。", "改了的一句。", "又多一句。", "第三句。"], "only what changed is made"
    cards = project_of(page).cards
    assert [card.text for card in cards] == ["改了的一句。", "又多一句。", "第二句。", "第三句。"]
    assert cards[3].options == {"speaker": "乙", "speed": 1.5} and "seed" in cards[2].options
    whole = pcm(said(engine, project_of(page)))
    part(page, "format").select_option("wav")
    assert downloaded(page)[1] == audio.encode(
        whole / 32767, engine.load().config.sampling_rate, "wav", project_of(page).without_takes()
    )

    sentence(page, 2).locator(".take").first.click()  # the first take comes back, and is known
    expect(sentence(page, 2).locator(".take").first).to_have_attribute("aria-pressed", "true", timeout=PATIENT)
    assert project_of(page).request(project_of(page).cards[2]).seed == 1
    sentence(page, 2).locator(".tool.lock").click()
    page.locator("#seed input").fill("99")
    page.locator("#seed input").press("Tab")
    expect(sentence(page, 0).locator(".badge")).to_have_text("未合成", timeout=PATIENT)
    assert sentence(page, 2).locator(".badge").count() == 0, "what is locked keeps its sound"
    assert sentence(page, 2).locator(".tool.edit").is_disabled()

    sentence(page, 2).locator(".tool.up").click()
    sentence(page, 3).locator(".tool.remove").click()
    expect(page.locator("#text textarea")).to_have_value("改了的一句。第二句。又多一句。")
    part(page, "undo").click()
    expect(page.locator(".sentence")).to_have_count(4)
    assert len(page.evaluate("asked")) == 4, "nothing of this needed a sound"


def test_the_text_field_changes_only_what_was_changed_in_it(visit):
    page = visit()
    say(page, "第一句。第二句。第三句。")
    wait_until_finished(page)
    sentence(page, 2).locator(".tool.reroll").click()
    expect(sentence(page, 2).locator(".take")).to_have_count(2, timeout=PATIENT)
    count_made(page)
    say(page, "新的开头。第一句。第三句。")
    expect(sentence(page, 0).locator(".said")).to_contain_text("新", timeout=PATIENT)
    wait_until_finished(page)
    assert page.evaluate("asked") == ["新的开头。"]
    assert [card.text for card in project_of(page).cards] == ["新的开头。", "第一句。", "第三句。"]
    page.locator("#text textarea").fill("新的开头。没说过的。")
    page.evaluate("studio.settle()")  # as saving the project does
    assert [card.text for card in project_of(page).cards] == ["新的开头。", "没说过的。"]


def test_pauses_between_cards(visit, engine):
    page = visit()
    say(page, "第一句。\n第二句。第三句。")
    wait_until_finished(page)
    gaps = page.locator(".gap input")
    assert [gaps.nth(i).input_value() for i in (0, 1)] == ["0.6", "0.2"]
    gaps.nth(1).fill("2")
    gaps.nth(1).press("Tab")
    part(page, "format").select_option("wav")
    rate = engine.load().config.sampling_rate
    own = pcm(spoken(engine, "第一句。\n第二句。第三句。"))
    assert len(downloaded(page)[1]) // 2 - len(own) == pytest.approx(2.6 * rate, abs=2000)  # and the file's head
    assert project_of(page).cards[1].pause == 2


def test_one_line_in_six_emotions(visit):
    page = visit()
    say(page, "今天天气真好。")
    wait_until_finished(page)
    sentence(page, 0).locator(".tool.more").click()
    count_made(page)
    sentence(page, 0).get_by_text("用六种情感听这一句").click()
    expect(sentence(page, 0).locator(".hear:not([disabled])")).to_have_count(6, timeout=PATIENT)
    assert sentence(page, 0).locator(".hear").all_inner_texts()[:4] == ["平静", "开心", "难过", "生气"]
    sentence(page, 0).get_by_label("用它: 难过").click()
    expect(sentence(page, 0).locator(".chip")).to_contain_text("sad")
    assert project_of(page).cards[0].options["emotion"] == "sad"
    assert sentence(page, 0).locator(".badge").count() == 0, "it was made already"
    assert len(page.evaluate("asked")) <= 6


def test_the_sound_can_be_seen(visit):
    page = visit()
    say(page, "这一句还没有说过。")
    wait_until_finished(page)
    assert part(page, "stages").locator("*").count() > 3
    sentence(page, 0).locator(".tool.more").click()
    sentence(page, 0).get_by_text("看声音").click()
    expect(sentence(page, 0).locator(".picture canvas[role=img]").first).to_be_visible(timeout=PATIENT)


def test_a_reload_finds_everything_again(visit):
    page = visit()
    page.locator("#speaker input").click()
    page.get_by_role("option", name="乙").click()
    say(page, "第一句。第二句。")
    wait_until_finished(page)
    sentence(page, 1).locator(".tool.reroll").click()
    expect(sentence(page, 1).locator(".take")).to_have_count(2, timeout=PATIENT)
    page.wait_for_timeout(600)  # the page writes what it keeps after a moment of rest
    before = page.evaluate("studio.project()")
    page.reload()
    expect(page.locator(".sentence")).to_have_count(2, timeout=PATIENT)
    expect(page.locator("#speaker input")).to_have_value("乙", timeout=PATIENT)
    page.wait_for_function("studio.project().controls.speaker === '乙'", timeout=PATIENT)
    after = page.evaluate("studio.project()")
    assert Project.from_dict(after) == Project.from_dict(before)
    count_made(page)
    part(page, "play").click()
    wait_until_finished(page)
    assert sentence(page, 1).locator(".take").count() == 2


def test_language_and_look_by_a_switch(visit):
    page = visit()
    say(page, "你好。")
    wait_until_finished(page)
    page.locator("#title button").first.click()
    expect(page.locator("#speak")).to_have_text("Speak", timeout=PATIENT)
    expect(part(page, "state")).to_have_text("This is what was here last time.", timeout=PATIENT)
    assert page.evaluate("document.documentElement.lang") == "en"
    dark = page.evaluate("document.body.classList.contains('dark')")
    page.locator("#title button").nth(1).click()
    assert page.evaluate("document.body.classList.contains('dark')") is not dark
    page.reload()
    expect(page.locator("#speak")).to_have_text("Speak", timeout=PATIENT)
    page.wait_for_function(f"document.body.classList.contains('dark') === {str(not dark).lower()}", timeout=PATIENT)


def test_by_keyboard_alone(visit):
    page = visit()
    page.locator("#text textarea").focus()
    page.keyboard.type("长大以后。")
    page.keyboard.press("Control+Enter")
    wait_until_finished(page)
    sentence(page, 0).locator(".tool").first.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    expect(sentence(page, 0).locator(".picker")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the second choice
    expect(page.locator("#text textarea")).to_have_value("长[chang2]大以后。", timeout=PATIENT)
    expect(sentence(page, 0).locator(".take")).to_have_count(2, timeout=PATIENT)
    sentence(page, 0).locator(".char").first.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(sentence(page, 0).locator(".picker")).to_be_hidden()
    assert page.evaluate("document.activeElement.className.includes('char')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_shut_out(visit, scheme):
    page = visit()
    page.emulate_media(color_scheme=scheme)
    page.evaluate("scheme => document.body.classList.toggle('dark', scheme === 'dark')", scheme)
    page.evaluate("scheme => localStorage.setItem('look', scheme)", scheme)
    say(page, "银行里有2个人。Hello！")
    wait_until_finished(page)
    page.wait_for_function("document.querySelector('.player').dataset.state === 'idle'", timeout=PATIENT)
    sentence(page, 0).locator(".tool.more").click()
    sentence(page, 0).locator(".char").first.click()
    for tab in range(page.locator("#tabs [role=tab]").count()):
        page.locator("#tabs [role=tab]").nth(tab).click()
        page.wait_for_timeout(700)
        found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        bad = [(v["id"], v["nodes"][0]["html"][:150]) for v in found if v["impact"] in ("serious", "critical")]
        assert not bad, bad


def test_errors_are_sentences_and_nothing_is_lost(visit):
    page = visit()
    say(page, "  ")
    expect(part(page, "error")).to_contain_text("没有要说的文字", timeout=PATIENT)
    long = "长" * (LIMIT + 1)
    say(page, long)
    expect(part(page, "error")).to_contain_text(f"上限是 {LIMIT} 字", timeout=PATIENT)
    assert page.locator("#text textarea").input_value() == long
    page.locator("#seed input").fill("-1")
    say(page, "你好。")
    expect(part(page, "error")).to_contain_text("seed", timeout=PATIENT)
    page.locator("#seed input").fill("1")
    say(page, "🙂……")
    expect(part(page, "error")).to_contain_text("没有能读出的内容", timeout=PATIENT)
    say(page, "你好。")
    wait_until_finished(page)
    assert part(page, "error").inner_text() == ""


def test_an_english_browser_reads_english(visit):
    page = visit("en-US")
    expect(page.locator("#speak")).to_have_text("Speak", timeout=PATIENT)
    say(page, "")
    expect(part(page, "error")).to_contain_text("There is no text to say", timeout=PATIENT)
    say(page, "你好。")
    wait_until_finished(page)
    expect(part(page, "state")).to_contain_text("s of speech")


def test_stop_stops_and_another_speech_begins(visit, engine):
    page = visit()
    say(page, LONG)
    page.wait_for_function("heard.length > 0", timeout=PATIENT)
    expect(part(page, "progress")).to_be_visible(timeout=PATIENT)
    page.locator("#stop").click()
    expect(part(page, "state")).to_have_text("已停止。", timeout=PATIENT)
    assert not part(page, "whole").is_visible()

    page.evaluate("heard.length = 0")
    say(page, SENTENCE)
    wait_until_finished(page)
    expected = pcm(spoken(engine, SENTENCE))
    np.testing.assert_array_equal(joined(heard(page, len(expected))), expected)


def test_a_click_while_speaking_takes_over(visit, engine):
    page = visit()
    say(page, LONG)
    say(page, LONG)
    page.wait_for_function("heard.length > 0", timeout=PATIENT)
    say(page, SENTENCE)
    expect(page.locator(".sentence")).to_have_count(2, timeout=PATIENT)
    wait_until_finished(page)
    expected = pcm(spoken(engine, SENTENCE))
    page.wait_for_function("document.querySelector('.player').dataset.state === 'idle'", timeout=PATIENT)
    # Only the last pieces: a minute of samples takes longer to come out of the browser than to be spoken.
    np.testing.assert_array_equal(joined(page.evaluate("heard.slice(-20)"))[-len(expected) :], expected)


def test_two_listeners_do_not_disturb_each_other(visit, engine):
    pages = visit(), visit("en-US")
    texts = "第一位听众在听这一句。", "第二位听众听的是另一句！"
    for page, text in zip(pages, texts, strict=True):
        say(page, text)
    for page, text in zip(pages, texts, strict=True):
        wait_until_finished(page)
        expected = pcm(spoken(engine, text))
        np.testing.assert_array_equal(joined(heard(page, len(expected))), expected)


def test_a_slow_network_loses_nothing(visit, engine):
    page = visit()
    dropped = []

    def slowly(route):
        if len(dropped) < 4 and '"pieces"' in (route.request.post_data or ""):
            dropped.append(route)
            return route.abort()
        time.sleep(0.15)
        return route.continue_()

    page.route("**/component_server**", slowly)
    say(page, SENTENCE)
    wait_until_finished(page)
    expected = pcm(spoken(engine, SENTENCE))
    np.testing.assert_array_equal(joined(heard(page, len(expected))), expected)
    assert len(dropped) == 4


def test_text_is_never_markup_or_code(visit):
    page = visit()
    attack = "<img src=x onerror='window.hacked=1'>你好<script>window.hacked=1</script>${window.hacked=1}{{this}}"
    page.locator("#emotion input").fill(attack)
    page.locator("#emotion input").press("Enter")
    say(page, attack)
    wait_until_finished(page)
    assert page.evaluate("window.hacked") is None
    assert page.locator("#editor img, #editor script").count() == 0


def test_no_place_on_the_server_is_shown(visit, server):
    page = visit()
    say(page, SENTENCE)
    wait_until_finished(page)
    shown = page.content() + "".join(
        page.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
    )
    for secret in (str(server.output.parent), str(server.voices), str(ROOT), "/tmp/"):
        assert secret not in shown
    address = page.evaluate("document.querySelector('[data-part=audio]').src")
    for stranger in ("x", "../../webui.py", "%2e%2e%2fwebui.py", "/etc/passwd"):
        assert page.request.get(f"{server.url}made/{stranger}/a.wav").status == 404
    assert page.request.get(address).status == 200
    # A site whose name points to this machine is not served.
    assert page.request.get(server.url, headers={"Host": "evil.example"}).status == 400


def test_speakers_emotions_and_rate_follow_the_voice(visit, engine):
    page = visit()
    page.locator("#voice input").click()
    page.get_by_role("option", name="other").click()
    say(page, SENTENCE)
    wait_until_finished(page)
    expected = pcm(spoken(engine, SENTENCE, voice="other"))
    np.testing.assert_array_equal(joined(heard(page, len(expected))), expected)


def test_every_option_has_a_control():
    named = list(webui.CONTROLS)
    assert named[0] == "text" and set(named) == {o.name for o in fields(SpeechRequest)} - {"emotion_audio", "opens"}
    assert webui.defaults() | {"text": "好"} == {name: getattr(SpeechRequest("好"), name) for name in named}


def enter(page: Page, password: str) -> None:
    page.locator("input:not([type=password])").first.fill("alice")
    page.locator("input[type=password]").fill(password)
    with page.expect_response(lambda answer: answer.url.endswith("/login")):
        page.locator("input[type=password]").press("Enter")


def test_a_password_is_asked_for(voices, tmp_path, browser):
    process, server = start(voices, tmp_path / "server", "--set", "user=alice", "--set", "password=secret")
    try:
        page = browser.new_page(locale="zh-CN")
        assert page.request.get(server.url + "config").status == 404
        assert page.request.get(server.url + "gradio_api/queue/data").status == 401
        assert page.request.get(server.url + "made/x/a.wav").status == 401
        page.goto(server.url)
        page.locator("input[type=password]").wait_for(timeout=PATIENT)
        assert page.locator("#speak").count() == 0
        for _ in range(FREE + 1):
            enter(page, "wrong")
        expect(page.locator("#too-early")).to_contain_text("秒后再试", timeout=PATIENT)
        time.sleep(2)  # as it says
        enter(page, "secret")
        expect(page.locator("#speaker input")).to_have_value("甲", timeout=PATIENT)
        address = page.evaluate("fetch('made/x/y.wav').then((answer) => answer.status)")
        assert address == 404, "let in, though there is no such file"
        page.get_by_role("button", name="退出登录").click()
        page.locator("input[type=password]").wait_for(timeout=PATIENT)
        assert page.evaluate("fetch('made/x/y.wav').then((answer) => answer.status)") == 401
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
