"""The emotion's sample as a person brings it: a file, a drop, a microphone; on a small page beside the batch tab."""

import base64
import io
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import soundfile
from axe_playwright_python.sync_playwright import Axe
from gradio.context import Context
from playwright.sync_api import Page, expect

import webui
from infer.documents import clips
from infer.engine.pipeline import Engine
from infer.request import BadRequest
from infer.settings import load_settings
from page import batch, sample
from page.files import Files
from page.sample import EACH, IDLE, Samples, prepared
from tests import hostile_sounds
from tests.test_page import PATIENT
from tests.voices import make_tiny_voice

expect.set_options(timeout=PATIENT / 4)

# What the rest of the page offers: the language, and the controls.
HEAD = """
<script>
window.pageLanguage = navigator.language.startsWith("zh") ? 0 : 1;
window.controls = {voice: "tiny", speaker: "乙", emotion: "", speed: 1, seed: 7, pause: 0.2};
window.studio = {request: () => ({...window.controls, sample: window.sample?.id ?? ""})};
</script>
"""


@dataclass
class Parts:
    """A page with a sample and a batch tab, and what stands behind it."""

    url: str
    engine: Engine
    samples: Samples
    port: int


@contextmanager
def serving(engine: Engine, folder: Path, port: int = 0) -> Iterator[Parts]:
    if not port:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    samples, files = Samples(), Files()
    Context.id = 0  # as in a process of its own: an open page knows the parts by their numbers
    with gr.Blocks(analytics_enabled=False) as blocks, gr.Tabs():
        with gr.Tab("Batch", id="batch"):
            batch.build(engine, files, samples, folder)
        with gr.Tab("Sample", id="sample", render_children=True):
            sample.component(samples)
    look = webui.look() | {"head": HEAD}
    app, *_ = blocks.launch(server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, quiet=True, **look)
    files.mount(app, lambda _: True)
    try:
        yield Parts(f"http://127.0.0.1:{port}/", engine, samples, port)
    finally:
        blocks.close(verbose=False)
        files.close()


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Engine:
    folder = tmp_path_factory.mktemp("voices")
    make_tiny_voice(folder / "tiny")
    settings = load_settings(overrides=[f"voices=[{folder}]", "voice=tiny", "webui.device=cpu"], environment={})
    running = Engine(settings)
    running.load()  # as the page does before it opens
    return running


@pytest.fixture(scope="module")
def parts(engine, tmp_path_factory) -> Iterator[Parts]:
    with serving(engine, tmp_path_factory.mktemp("work")) as running:
        yield running


@pytest.fixture
def visit(browser, parts):
    """Opens the tab of the sample; at the end no page has stumbled over a script of its own."""
    pages, stumbled = [], []

    def open_page(locale: str = "zh-CN", before: str = "") -> Page:
        context = browser.new_context(locale=locale)
        context.set_default_timeout(PATIENT)
        context.add_init_script(before)
        page = context.new_page()
        pages.append(page)
        page.on("pageerror", lambda error: stumbled.append(str(error)))
        page.goto(parts.url)
        page.get_by_role("tab").nth(1).click()
        page.locator(".sample-record").wait_for()
        return page

    yield open_page
    for page in pages:
        page.context.close()
    assert not stumbled


def tone(seconds: float, rate: int = 44100, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 300 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def sound(samples: np.ndarray, rate: int = 44100, format: str = "WAV", **options) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=format, **options)
    return buffer.getvalue()


def choose(page: Page, data: bytes, name: str = "happy.wav") -> None:
    if len(data) > 1 << 20:  # far quicker by its path
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, name).write_bytes(data)
            page.locator(".sample input").set_input_files(Path(folder, name))
        return
    page.locator(".sample input").set_input_files({"name": name, "mimeType": "audio/wav", "buffer": data})


def drop(page: Page, data: bytes, name: str) -> None:
    transfer = page.evaluate_handle(
        """([data, name]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name));
          return transfer;
        }""",
        [base64.b64encode(data).decode(), name],
    )
    for event in ("dragover", "drop"):
        page.locator(".sample, .batch").filter(visible=True).dispatch_event(event, {"dataTransfer": transfer})


def shut_out(page: Page, part: str) -> list[str]:
    """What axe-core finds in a part of the page that keeps somebody from using it."""
    found = Axe().run(page, context=part).response["violations"]
    return [f"{fault['id']}: {fault['nodes'][0]['html']}" for fault in found]


def kept(page: Page, parts: Parts) -> tuple[np.ndarray, int]:
    """What the server has of the sample in use."""
    return clips.read_clip(parts.samples.get(page.evaluate("window.studio.request().sample")))


def test_a_chosen_file_is_brought_played_and_removed(visit, parts):
    page = visit()
    stereo = np.stack([tone(2), np.zeros(88200, np.float32)], axis=1)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="选择文件").filter(visible=True).click()
    chooser.value.set_files({"name": "happy.wav", "mimeType": "audio/wav", "buffer": sound(stereo)})
    expect(page.locator(".sample-name")).to_have_text("happy.wav · 2.0 秒")
    samples, rate = kept(page, parts)
    assert rate == 48000 and len(samples) == 96000
    expected = tone(2, 48000, 0.25)  # mixed to mono
    assert np.abs(samples - expected)[1000:-1000].max() < 0.01
    expect(page.locator(".sample-play")).to_be_focused()
    assert not shut_out(page, ".sample")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="停止播放")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="播放", exact=True)).to_be_visible()
    page.get_by_role("button", name="移除").click()
    assert page.evaluate("window.sample.id") == ""
    expect(page.locator(".sample [role=status]")).to_have_text("已移除样本。")


@pytest.mark.parametrize("format", ["FLAC", "MP3", "OGG"])
def test_a_dropped_file_of_any_format_is_cut_to_what_is_heard(visit, parts, format):
    page = visit("en-US")
    page.evaluate("document.addEventListener('sample:changed', (event) => { window.told = event.detail.id })")
    drop(page, sound(tone(31, 24000), 24000, format), f"<b>.{format}")
    expect(page.locator(".sample-name")).to_have_text(f"<b>.{format} · 30.0 s")
    expect(page.locator(".sample [role=status]")).to_contain_text("Only the first 30 s are used.")
    samples, rate = kept(page, parts)
    assert len(samples) == 30 * rate and 0.4 < np.abs(samples).max() < 0.6
    assert page.evaluate("window.told") == page.evaluate("window.sample.id")


def test_the_microphone_is_heard_and_let_go(visit, parts):
    page = visit(
        before="""
        const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = async (wanted) => (window.stream = await ask(wanted));
        """
    )
    page.get_by_role("button", name="录音").click()
    expect(page.get_by_role("button", name="停止录音")).to_be_focused()
    expect(page.locator(".sample-row:visible .sample-hint")).to_have_text("正在录音：2 / 30 秒")
    assert not shut_out(page, ".sample")
    page.keyboard.press("Enter")
    expect(page.locator(".sample-name")).to_contain_text("录音 · ")
    samples, rate = kept(page, parts)
    assert len(samples) > rate and np.abs(samples).max() > 0.01, "Chromium's microphone beeps once a second"
    assert page.evaluate("stream.getTracks().map((track) => track.readyState)") == ["ended"]


def test_what_the_browser_cannot_decode_the_server_may(visit, parts):
    page = visit(before="OfflineAudioContext.prototype.decodeAudioData = () => Promise.reject(new Error('unknown'))")
    choose(page, sound(tone(2), format="FLAC"), "a.flac")
    expect(page.locator(".sample-name")).to_have_text("a.flac · 2.0 秒")
    samples, rate = kept(page, parts)
    assert rate == 44100 and np.abs(samples - tone(2)).max() < 1e-3
    expect(page.get_by_role("button", name="播放")).to_be_visible()  # as a wav that the server has made


@pytest.mark.parametrize(
    ("data", "chinese", "english"),
    [
        (b"", "文件是空的", "The file is empty"),
        (b"no sound" * 99, "读不了情感样本", "cannot be read"),
        (hostile_sounds.au(23), "不认识它的格式", "of no format that is known here"),
        (sound(np.zeros(44100, np.float32)), "听不到声音", "There is no sound in it"),
        (sound(tone(0.1)), "太短了", "too short to hear a feeling"),
        (bytes((20 << 20) + 999_999), "文件有 21.0 MB，上限是 20 MB", "has 21.0 MB and the limit is 20 MB"),
    ],
    ids=["empty", "text", "endless", "silent", "short", "large"],
)
def test_what_is_no_sample_is_said_and_the_last_one_stays(visit, data, chinese, english):
    for locale, sentence in (("zh-CN", chinese), ("en-US", english)):
        page = visit(locale)
        choose(page, sound(tone(1)))
        page.locator(".sample-name").wait_for()
        before = page.evaluate("window.sample.id")
        choose(page, data, "bad.wav")
        expect(page.locator(".sample [role=alert]")).to_contain_text(sentence)
        assert page.evaluate("window.sample.id") == before != ""


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        ("NotAllowedError", "not allowed to use the microphone; allow it"),
        ("NotFoundError", "No microphone was found"),
        ("NotReadableError", "perhaps since another program has it"),
        ("", "only on this machine itself or over https"),
    ],
)
def test_no_microphone_is_a_sentence(visit, error, sentence):
    refuse = f"navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', '{error}'))"
    insecure = "Object.defineProperty(navigator, 'mediaDevices', {value: undefined})"
    page = visit("en-US", refuse if error else insecure)
    page.get_by_role("button", name="Record").click()
    expect(page.locator(".sample [role=alert]")).to_contain_text(sentence)
    choose(page, sound(tone(1)))  # and a file does
    page.locator(".sample-name").wait_for()


def test_a_reload_keeps_the_sample_while_the_server_does(visit, parts):
    page = visit("en-US")
    choose(page, sound(tone(1.5)))
    page.locator(".sample-name").wait_for()
    before = page.evaluate("window.sample.id")
    page.reload()
    page.get_by_role("tab").nth(1).click()
    expect(page.locator(".sample-name")).to_have_text("happy.wav · 1.5 s")
    assert page.evaluate("window.sample.id") == before
    parts.samples._samples.clear()
    page.reload()
    page.get_by_role("tab").nth(1).click()
    expect(page.locator(".sample [role=alert]")).to_contain_text("no longer here; choose or record it again")
    assert page.evaluate("window.sample.id") == ""


# --- without a browser -------------------------------------------------------------------------------------------


def is_kept(samples: Samples, id: str) -> bool:
    try:
        return bool(samples.get(id))
    except BadRequest as gone:
        assert "choose or record it again" in str(gone)
        return False


def test_a_listener_s_own_samples_give_way_to_each_other():
    samples = Samples(each=2)
    one, two = samples.add(b"1234", "a"), samples.add(b"5678", "a")
    assert samples.add(b"1234", "a") == one and samples.get(one) == b"1234" and samples.get("") == b""
    three = samples.add(b"9", "a")  # the third: what was used longest ago makes room
    assert is_kept(samples, one) and is_kept(samples, three) and not is_kept(samples, two)
    assert samples.add(b"9", "b") == three  # the same sound of another
    samples.add(b"10", "a"), samples.add(b"11", "a")
    assert is_kept(samples, three) and not is_kept(samples, one), "it stays as long as one of them has it"


def test_samples_never_push_out_another_listener_s():
    """64 samples of one listener, or of 64 invented ones, and everybody else's were gone."""
    samples = Samples(most_bytes=10 * (EACH + 2))
    mine = samples.add(b"mine".ljust(10), "me")
    for number in range(64):
        samples.add(b"%010d" % number, "one")
    assert is_kept(samples, mine)
    last = samples.add(b"last room.", "another")
    for number in range(64):
        with pytest.raises(BadRequest, match="no room for another sample just now"):
            samples.add(b"%010d" % (100 + number), f"invented {number}")
    assert is_kept(samples, mine) and is_kept(samples, last)
    assert samples.add(b"mine again", "one"), "one's own still give way"
    assert is_kept(samples, mine) and is_kept(samples, last)


def test_forsaken_samples_make_room():
    now = [0.0]
    samples = Samples(most_bytes=30, clock=lambda: now[0])
    forsaken, used = samples.add(bytes(10), "a"), samples.add(b"1" * 10, "b")
    now[0] = IDLE - 1
    assert is_kept(samples, used)
    now[0] = IDLE + 1
    samples.add(b"2" * 10, "c")  # fits beside them, so nothing has to go
    assert forsaken in samples._samples
    with pytest.raises(BadRequest, match="no room"):
        samples.add(b"3" * 21, "d")
    assert forsaken in samples._samples, "what is refused has cost nobody anything"
    new = samples.add(b"3" * 10, "d")
    assert is_kept(samples, used) and is_kept(samples, new) and not is_kept(samples, forsaken)


def test_what_goes_up_is_checked_again():
    for bad in ("???", None, 5, "é"):
        with pytest.raises(BadRequest, match="did not come whole"):
            sample.decoded(bad)
    with pytest.raises(BadRequest, match="the limit is 20 MB"):
        sample.decoded("A" * (sample.LARGEST * 4 // 3 + 9))
    assert len(sample.decoded(base64.b64encode(bytes(sample.LARGEST)).decode())) == sample.LARGEST
    for data, sentence in (
        (bytes(sample.LARGEST + 1), "the limit is 20 MB"),
        (sound(tone(0.1)), "too short"),
        (sound(np.full(44100, 1e-4, np.float32)), "no sound in it"),
        (sound(np.zeros(44100, np.float32)), "no sound"),
    ):
        with pytest.raises(BadRequest, match=sentence) as caught:
            prepared(data)
        assert caught.value.message.say("zh") != str(caught.value)


def test_many_channels_of_silence_stay_small():
    """A flac of 8 channels and a minute is a few kB, and was a gigabyte in memory."""
    samples = np.zeros((61 * 8000, 8), np.float32)
    samples[100, 0] = 0.8
    mono, rate = clips.read_clip(sound(samples, 8000, "FLAC"))
    assert len(mono) == 60 * rate and mono.dtype == np.float32 and mono[100] == pytest.approx(0.1, abs=1e-4)
    wav, seconds = prepared(sound(samples, 8000, "FLAC"))
    assert seconds == 30 and len(wav) < 30 * 8000 * 2 + 100


def test_a_sample_is_kept_at_no_more_than_what_is_heard():
    wav, seconds = prepared(sound(tone(1, 192_000), 192_000))
    mono, rate = clips.read_clip(wav)
    assert rate == sample.RATE and seconds == 1 and np.abs(mono - tone(1, rate))[500:-500].max() < 1e-3
