"""The tab of voices and models as a person uses it, with model files from a hub on this machine."""

import json
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from playwright.sync_api import Page, expect

import bert
from infer.engine.catalogue import VoiceInfo
from infer.engine.pipeline import Engine
from infer.hub import convert, listing
from infer.hub.listing import MODELS, ROBERTA
from infer.settings import load_settings
from models import VARIANTS
from models.checkpoint.doctor import Report, examine
from page import downloads, report, voices
from tests.releases import make_release
from tests.test_fetch import Hub
from tests.test_hostile import POINTER
from tests.test_page import PATIENT, Server, say, start, wait_until_finished
from tests.voices import make_tiny_voice
from words import LANGUAGES, message

EVIL = "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'>"
REPO = bert.REPOSITORIES[ROBERTA]
SIZE = 3 << 20  # bytes of the weights on the hub: what is in them matters to nobody here


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with Hub() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        server.repos[REPO] = {"config.json": b"{}", "vocab.txt": b"[PAD]\n", "model.safetensors": bytes(SIZE)}
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A good voice, a broken one, one that lacks a model, and one with a name that is code."""
    folder = tmp_path_factory.mktemp("page")
    make_tiny_voice(folder / "voices" / "tiny")
    make_release(folder / "voices" / "old", "v1.0.1")
    broken = make_tiny_voice(folder / "voices" / "broken") / "G.safetensors"
    broken.write_bytes(broken.read_bytes()[:-1000])
    config = make_tiny_voice(folder / "voices" / "evil<script>") / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"title": EVIL}))
    return folder


@pytest.fixture(scope="module")
def server(hub, folder) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", hub.endpoint)
        patch.setenv("HF_HOME", str(folder / "home"))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        process, running = start(
            folder / "voices", folder / "server", "--set", f"bert_1024_path={folder / 'bert' / ROBERTA}"
        )
    yield running
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    assert "Traceback" not in running.output.read_text()
    addresses = set((folder / "server" / "network").read_text().split())
    assert addresses <= {"127.0.0.1", "localhost", "unix"}


@pytest.fixture
def visit(browser, server, folder):
    """Opens the second tab as a new listener; in the end no page has shown where the server keeps its files."""
    pages: list[Page] = []

    def open_tab(locale: str = "zh-CN") -> Page:
        page = browser.new_context(locale=locale).new_page()
        pages.append(page)
        page.set_default_timeout(PATIENT)
        page.goto(server.url)
        expect(page.locator("#speaker input")).to_have_value("甲", timeout=PATIENT)
        go(page, 3)
        card(page, "tiny").wait_for()
        return page

    yield open_tab
    for page in pages:
        assert str(folder.parent) not in page.content()
        assert page.evaluate("window.hacked") is None
        page.context.close()


def go(page: Page, tab: int) -> None:
    page.get_by_role("tab").nth(tab).click()


def card(page: Page, voice: str):
    return page.locator(f'[data-card="{voice}"]')


def model(page: Page, name: str):
    return page.locator(f"#model-{name}")


def test_a_voice_appears_speaks_and_disappears_without_a_restart(visit, folder):
    page = visit()
    expect(card(page, "tiny").locator(".badge").nth(1)).to_have_text("已载入")
    make_tiny_voice(folder / "voices" / "new", seed=3)
    page.locator("#refresh").click()
    expect(card(page, "new")).to_contain_text("2 位：甲、乙", timeout=PATIENT)
    expect(card(page, "new").locator(".badge")).to_have_text(["可用"])
    go(page, 0)
    page.locator("#voice input").click()
    page.get_by_role("option", name="new").click()
    say(page, "你好，世界。")
    wait_until_finished(page)

    shutil.rmtree(folder / "voices" / "new")
    go(page, 3)
    page.locator("#refresh").click()
    expect(card(page, "new")).to_have_count(0, timeout=PATIENT)
    go(page, 0)
    expect(page.locator("#voice input")).to_have_value("tiny", timeout=PATIENT)
    page.locator("#voice input").click()
    expect(page.get_by_role("option", name="new")).to_have_count(0)
    page.get_by_role("option", name="tiny").click()
    say(page, "你好。")
    wait_until_finished(page)


def test_the_doctors_report_of_a_good_and_a_broken_voice(visit):
    page = visit()
    card(page, "tiny").get_by_role("button").click()
    expect(card(page, "tiny").locator(".report .good")).to_contain_text("没有发现问题", timeout=PATIENT)
    expect(card(page, "tiny").locator(".report dl")).to_contain_text("每秒 22,050 个采样")
    card(page, "broken").get_by_role("button").click()
    expect(card(page, "broken").locator(".report .problem")).to_contain_text("G.safetensors 已损坏", timeout=PATIENT)
    expect(page.locator(".report")).to_have_count(1)
    page = visit("en-US")
    card(page, "broken").get_by_role("button").click()
    expect(card(page, "broken").locator(".report .problem")).to_contain_text("was refused", timeout=PATIENT)


def test_a_model_comes_is_stopped_goes_on_and_the_voice_lacks_it_no_more(visit, hub, folder):
    page = visit()
    expect(card(page, "old").locator(".badge")).to_have_text(["缺模型"])
    go(page, 0)
    page.locator("#voice input").click()
    page.get_by_role("option", name="old").click()
    expect(page.locator("#missing p")).to_have_text(
        "“old”还缺模型 roberta（约 1.3 GB），下载后才能说话。 去下载", timeout=PATIENT
    )
    page.locator("#missing button").click()  # opens the other tab, at the model
    row = model(page, "roberta")
    expect(row.locator(".badge")).to_have_text("未下载", timeout=PATIENT)
    expect(page.get_by_role("tab").nth(3)).to_have_attribute("aria-selected", "true")
    expect(row).to_be_in_viewport(timeout=PATIENT)

    hub.errors["/api/"] = (503, "")
    row.locator(".fetch").click()
    expect(row.locator(".error")).to_contain_text("返回 503", timeout=PATIENT)
    hub.errors.clear()

    hub.delay = 0.2
    row.locator(".fetch").click()
    expect(row.locator(".progress")).to_contain_text("/s", timeout=PATIENT)
    expect(row.locator(".progress")).to_contain_text("/ 3.1 MB")
    expect(row.locator(".progress")).to_contain_text("剩余约", timeout=PATIENT)
    other = model(visit("en-US"), "roberta")  # another listener sees it, and no second one can be begun
    expect(other.locator("progress")).to_be_visible(timeout=PATIENT)
    expect(other.locator(".fetch")).to_be_hidden()
    row.locator(".halt").click()
    expect(row).to_contain_text("已停止", timeout=PATIENT)
    expect(row.locator(".badge")).to_have_text("下载了一部分")
    expect(other).to_contain_text("Stopped; what came stays.", timeout=PATIENT)

    hub.delay = 0.0
    expect(row.locator(".fetch")).to_have_text("继续下载")
    row.locator(".fetch").click()
    expect(row.locator(".badge")).to_have_text("已齐备", timeout=PATIENT)
    expect(row.locator("button")).to_have_count(0)
    first, second = hub.got("model.safetensors")
    assert first == "" and second.startswith("bytes=") and second != "bytes=0-"
    assert not bert.missing_files(folder / "bert" / ROBERTA)
    expect(card(page, "old").locator(".badge")).to_have_text(["可用"], timeout=PATIENT)
    go(page, 0)
    expect(page.locator("#voice input")).to_have_value("old")
    expect(page.locator("#missing")).to_be_hidden()


def test_an_english_browser_reads_english_and_names_are_no_code(visit):
    page = visit("en-US")
    expect(page.get_by_role("tab").nth(3)).to_have_text("Voices and models")
    expect(page.locator("#refresh")).to_have_text("Refresh")
    expect(model(page, "bert")).to_contain_text("features of the text")
    expect(model(page, "bert").locator(".fetch")).to_have_text("Download")
    evil = page.locator(".card", has_text=EVIL)
    expect(evil.locator(".badge").first).to_have_text("ready")
    evil.get_by_role("button").click()
    expect(evil.locator(".report .good")).to_contain_text("nothing is wrong", timeout=PATIENT)
    assert page.locator("#voices script, #voices img").count() == 0


# --- without a browser -------------------------------------------------------------------------------------------


def wait(download: downloads.Download) -> None:
    until = time.monotonic() + 60
    while download.running:
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("offline", "endpoint", "chinese", "english"),
    [
        (True, "http://127.0.0.1:1", "已设置 HF_HUB_OFFLINE", "HF_HUB_OFFLINE is set"),
        (False, "http://127.0.0.1:1", "连不上", "cannot be reached"),
    ],
)
def test_no_hub_is_a_sentence(tmp_path, monkeypatch, offline, endpoint, chinese, english):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    settings = load_settings(environment={}, root=tmp_path)
    all_of_them = downloads.Downloads(settings)
    download = all_of_them.start(MODELS[0])
    wait(download)
    assert chinese in download.error.say("zh") and english in str(download.error)
    [state] = listing.status(settings, MODELS[:1])
    for language, sentence in zip(LANGUAGES, (chinese, english), strict=True):
        assert sentence in voices.model_html(state, download, "bert", language)
    assert all_of_them.arrived == 0 and not all_of_them.running


def test_one_model_is_never_fetched_twice_at_once(tmp_path, monkeypatch):
    gate, asked = threading.Event(), []

    def slow(item, settings):
        asked.append(item)
        gate.wait(60)
        raise RuntimeError(f"at {settings.root}")

    monkeypatch.setattr(downloads, "look_up", slow)
    all_of_them = downloads.Downloads(load_settings(environment={}, root=tmp_path))
    first = all_of_them.start(MODELS[0])
    assert all_of_them.start(MODELS[0]) is first and all_of_them.start(MODELS[1]) is not first
    gate.set()
    wait(first)
    assert asked.count(MODELS[0]) == 1 and "RuntimeError" in str(first.error)
    assert str(tmp_path) not in "".join(first.error.pair)
    assert all_of_them.start(MODELS[0]) is not first


def test_stopped_while_it_is_converted_what_came_stays(tmp_path):
    source = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.zeros(3)}, source)
    download = downloads.Download(MODELS[0])
    download.stopped.set()
    with pytest.raises(downloads.Stopped):  # not a FetchError, after which `bring` throws the source away
        convert.convert(source, tmp_path / "model.safetensors", {}, download.progress)
    assert [file.name for file in tmp_path.iterdir()] == ["pytorch_model.bin"]


def test_progress_is_of_all_files_and_an_earlier_try_is_no_speed(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(downloads.time, "monotonic", lambda: now[0])
    download = downloads.Download(MODELS[0])
    files = (SimpleNamespace(name="vocab.txt", size=1000), SimpleNamespace(name="model.safetensors", size=9_000_000))
    download.expect(SimpleNamespace(files=files, lacking=()))
    download.progress("bert: vocab.txt", 1000, 1000)
    for step in range(5):
        now[0] = float(step)
        download.progress("bert: model.safetensors", 5_000_000 + step * 500_000, 9_000_000)
    assert (download.done, download.total, download.rate()) == (7_001_000, 9_001_000, 500_000)
    shown = voices.download_html(download, "en")
    assert "7.0 MB of 9.0 MB (78%)" in shown and "500 kB/s" in shown and "about 4 s left" in shown
    download.progress("bert: model.safetensors (checking)", 3, 4)
    assert "正在校验（75%）" in voices.download_html(download, "zh")


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        ([], True),
        (["host=0.0.0.0"], False),
        (["webui.share=true"], False),
        (["host=0.0.0.0", "user=a", "password=b"], True),
    ],
)
def test_strangers_cannot_fill_the_disk(folder, monkeypatch, changes, allowed):
    begun = []
    monkeypatch.setattr(downloads.Downloads, "start", lambda _, item: begun.append(item))
    settings = load_settings(overrides=[f"voices=[{folder / 'voices'}]", "voice=tiny", *changes], environment={})
    tab = voices.VoicesTab(Engine(settings), lambda *_: (), 0)
    tab.start(MODELS[1])
    assert voices.may_fetch(settings) is allowed and bool(begun) is allowed


def test_what_files_say_is_escaped(tmp_path):
    evil = "<img src=x>"
    why = message("checkpoint.list", names=evil)
    info = VoiceInfo(evil, f"{evil}!", (evil,) * 9, (), 22050, (why,), evil, why, 5)
    shown = voices.voice_html(info, True, "zh") + voices.voice_html(info, False, "en")
    about = Report(evil, 1, why=why, variant=VARIANTS["small"], speakers=(evil,), problems=(why,), notes=(why,))
    shown += report.report_html(about, [why], "zh")
    settings = load_settings(environment={}, root=tmp_path)
    [state] = listing.status(settings, MODELS[:1])
    download = downloads.Download(
        MODELS[0], running=False, error=message("voices.went_wrong", model=evil, kind=evil), lacking=(evil,)
    )
    shown += voices.model_html(state, download, evil, "zh")
    assert "<img" not in shown and shown.count("&lt;img") >= 20


def test_a_voice_that_cannot_speak_says_why_in_one_sentence():
    item = MODELS[0]
    command = f"python -m infer.models {item.name}"
    lacks = message("engine.needs", model="BERT", command=command, files=["a"], source="b", folder="c")
    info = VoiceInfo("a", EVIL, ("甲",), (), 22050, (lacks,), "small")
    for language, words in (("zh", f"还缺模型 {item.name}（约"), ("en", f"needs the model {item.name} (about")):
        shown = voices.notice_html(info, language)
        assert words in shown and f'data-bring="{item.name}"' in shown and shown.count("<p") == 1
        assert "<script" not in shown and "make models" not in shown
    broken = VoiceInfo("a", "a", (), (), 0, (message("catalogue.broken", voice="a", cause="<b>"),))
    assert voices.notice_html(broken, "zh") == "<p class=\"notice\">音色 'a' 不能用：&lt;b&gt;</p>".replace(
        "'", "&#x27;"
    )
    assert "<button" not in voices.notice_html(broken, "en")


@pytest.mark.parametrize("family", VARIANTS)
def test_why_it_is_of_its_family_is_said_in_chinese(family, tmp_path):
    about = examine(make_release(tmp_path, family))
    for sentence in (about.why, *about.problems, *about.notes):
        chinese, english = sentence.pair
        assert re.search("[\u4e00-\u9fff]", chinese) and not re.search("[\u4e00-\u9fff]", english)
    assert "检查完毕" in report.report_html(about, (), "zh") or not about.usable


def test_what_is_wrong_is_said_in_chinese(tmp_path):
    def changed(name: str, **model: object) -> Path:
        file = make_release(tmp_path / name, "extra-fix")
        config = json.loads((tmp_path / name / "config.json").read_text())
        config["model"] |= model
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        return file

    empty, text, lost = changed("empty"), changed("text"), changed("lost")
    empty.write_bytes(b"")
    text.write_text("no checkpoint")
    (lost.parent.parent / "config.json").unlink()
    no_json = changed("no json")
    (no_json.parent.parent / "config.json").write_text("{")
    torn = changed("torn")
    torn.write_bytes(torn.read_bytes()[:-5000])
    unspoken, gone = changed("unspoken"), changed("gone")
    state = torch.load(unspoken)["model"]
    torch.save({name: value for name, value in state.items() if name != "emb_g.weight"}, unspoken)
    gone.unlink()
    pointer, page = changed("pointer"), changed("page")
    pointer.write_bytes(POINTER)
    page.write_bytes(b"<!doctype html>")
    contents = {"gbk": '{"title": "小雨"}'.encode("gbk"), "config pointer": POINTER, "config page": b"<html></html>"}
    for name, content in contents.items():
        changed(name)
        (tmp_path / name / "config.json").write_bytes(content)
    other = [tmp_path / name / "models" / "G_100.pth" for name in contents]
    files = (
        *other,
        unspoken,
        gone,
        pointer,
        page,
        empty,
        text,
        lost,
        no_json,
        torn,
        changed("other", gin_channels=9),
        changed("odd", n_layers=0),
    )
    for file in files:
        about = examine(file)
        assert about.problems, file
        for sentence in about.problems:
            chinese = sentence.say("zh")
            assert re.search("[\u4e00-\u9fff]", chinese) and chinese in report.report_html(about, (), "zh")
