"""The tab of the device as a person uses it, and its handlers alone."""

import re
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from infer.engine import devices, machine, selftest
from infer.engine.pipeline import Engine
from infer.request import BadRequest, SpeechRequest
from infer.settings import load_settings
from page.device import PRECISIONS, DeviceTab
from tests.test_page import PATIENT, Server, say, start, wait_until_finished
from tests.voices import loaded, make_tiny_voice, speak
from words import pairs

ZH, EN = {"language": 0}, {"language": 1}  # how a script asks
CHANGE = {"device": "cpu", "backend": "torch", "precision": ""} | EN


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    make_tiny_voice(folder / "tiny")
    return folder


@pytest.fixture(scope="module")
def server(voices, tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    process, running = start(voices, folder, "--set", f"cache_path={folder / 'cache'}")
    yield running
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    assert "Traceback" not in running.output.read_text()


@pytest.fixture
def visit(browser, server, voices):
    """Opens the tab as a new listener; in the end no page has shown where the server keeps its files."""
    pages: list[Page] = []

    def open_tab(address: str = server.url, **options) -> Page:
        page = browser.new_context(**({"locale": "zh-CN"} | options)).new_page()
        pages.append(page)
        page.set_default_timeout(PATIENT)
        page.goto(address)
        expect(page.locator("#speaker input")).to_have_value("甲", timeout=PATIENT)
        go(page)
        facts(page, "now").first.wait_for()
        return page

    yield open_tab
    for page in pages:
        assert str(voices.parent) not in page.content()
        page.context.close()


def go(page: Page, tab: int = -1) -> None:
    page.get_by_role("tab").nth(tab).click()


def part(page: Page, name: str) -> Locator:
    return page.locator(f".device [data-part={name}]")


def facts(page: Page, name: str) -> Locator:
    return part(page, name).locator("dl > div")


def fact(page: Page, name: str, label: str) -> Locator:
    row = facts(page, name).filter(has=page.locator("dt", has_text=re.compile(f"^{label}$")))
    return row.locator("dd")


def choose(page: Page, backend: str) -> None:
    part(page, "change").get_by_label("后端").select_option(backend)
    page.get_by_role("button", name="使用").click()


def test_what_is_here_and_what_is_used(visit):
    page = visit()
    expect(fact(page, "use", "后端")).to_have_text("onnx")
    expect(fact(page, "use", "精度")).to_have_text("声音 float32、BERT float32")
    expect(fact(page, "use", "线程")).to_have_text(f"用 1 个（共 {machine.cores()} 个核心）")
    expect(part(page, "use")).to_contain_text("设备 cpu：按设置。")
    expect(part(page, "use")).to_contain_text("后端 auto：onnxruntime 在 CPU 上最快。")
    expect(part(page, "use").locator(".badge")).to_have_text("尚未自检")
    expect(fact(page, "machine", "CPU")).to_have_text(machine.cpu_name())
    expect(fact(page, "machine", "软件")).to_contain_text(f"torch {torch.__version__}")
    expect(fact(page, "now", "音色 tiny")).to_contain_text("已预热")
    expect(fact(page, "now", "BERT 与 CLAP")).to_contain_text("未载入")
    expect(part(page, "machine").get_by_text("requirements-openvino.txt")).to_have_count(
        0 if "openvino" in machine.packages() else 1
    )


def test_the_self_test_by_keyboard_and_for_those_who_come_later(visit):
    page = visit()
    button = page.get_by_role("button", name="自检")
    expect(button).to_be_enabled()
    button.press("Enter")
    expect(part(page, "use").get_by_role("status")).to_have_text(
        re.compile("^通过：CPU 上的 onnx 与 CPU 上的 torch 结果一致，最大相差 .*e-0.*。$"), timeout=PATIENT
    )
    expect(part(page, "use").locator("tbody th")).to_have_text(["编码", "flow", "解码"])
    expect(part(page, "use").locator(".badge")).to_have_text("自检通过")
    expect(button).to_be_focused()
    other = visit(locale="en-US")
    expect(part(other, "use").get_by_role("status")).to_have_text(re.compile("^Passed: onnx on CPU agrees with plain"))


def test_figures_follow_what_is_spoken_and_rest_while_nobody_looks(visit):
    page = visit()
    asked = []
    page.on("request", lambda request: asked.append(request) if "device_look" in (request.post_data or "") else None)
    go(page, 0)
    page.wait_for_timeout(500)  # the last look may still be under way
    asked.clear()
    say(page, "你好。今天很冷。我们回家。")
    wait_until_finished(page)
    page.wait_for_timeout(2500)  # longer than from one look to the next
    assert not asked
    go(page)
    expect(fact(page, "now", "实时率（RTF）")).to_contain_text(re.compile("，速度是实时的|，比实时慢"))
    expect(fact(page, "now", "统计范围")).to_contain_text("秒语音")
    expect(fact(page, "now", "首次出声")).to_contain_text("秒（上一次）")
    expect(fact(page, "now", "程序占内存")).to_contain_text("B")
    before = len(asked)
    page.wait_for_function(
        "(dd) => dd.dataset.seen ? dd.textContent !== dd.dataset.seen : !(dd.dataset.seen = dd.textContent)",
        arg=fact(page, "machine", "内存").element_handle(),
    )
    assert len(asked) > before


def test_another_backend_is_used_tested_and_spoken_with(visit):
    page = visit()
    choose(page, "torch")
    done = part(page, "change").get_by_role("status")
    expect(done).to_contain_text("从下一次朗读起生效", timeout=PATIENT)
    expect(done).to_contain_text("webui: {device: cpu, fp16_run: false, int8_run: false}\nbackend: torch")
    expect(part(page, "use").get_by_role("status")).to_contain_text("通过：CPU 上的 torch", timeout=PATIENT)
    expect(fact(page, "use", "后端")).to_have_text("torch")
    expect(part(page, "use")).to_contain_text("在本页选定，到程序结束为止。")
    expect(fact(page, "now", "实时率（RTF）")).to_have_text("还没有人朗读")
    go(page, 0)
    say(page, "换了后端，照样说话。")
    wait_until_finished(page)
    go(page)
    expect(fact(page, "now", "统计范围")).to_contain_text("最近 1 句")
    choose(page, "auto")
    expect(fact(page, "use", "后端")).to_have_text("onnx", timeout=PATIENT)
    expect(part(page, "use").get_by_role("status")).to_contain_text("通过", timeout=PATIENT)


def test_what_cannot_be_used_is_a_sentence_and_the_old_stays(visit):
    page = visit()
    page.evaluate("document.querySelectorAll('.device select')[1].append(new Option('abacus', 'abacus'))")
    choose(page, "abacus")
    refusal = part(page, "change").get_by_role("alert")
    expect(refusal).to_contain_text("backend：没有 'abacus'", timeout=PATIENT)
    expect(fact(page, "use", "后端")).to_have_text("onnx")
    expect(part(page, "change").get_by_label("后端")).to_have_value("abacus")  # what was chosen is not taken away
    expect(page.get_by_role("button", name="使用")).to_be_enabled()


def test_a_server_that_is_gone_is_said_and_the_figures_stay(visit):
    page = visit()
    page.route("**/*", lambda route: route.abort())
    expect(page.locator(".device > [role=alert]")).to_contain_text("连不上服务器", timeout=PATIENT)
    expect(fact(page, "use", "后端")).to_have_text("onnx")
    page.unroute("**/*")
    expect(page.locator(".device > [role=alert]")).to_be_empty(timeout=PATIENT)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["zh-CN", "en-US"])
def test_every_look_of_it_can_be_read(visit, scheme, locale):
    page = visit(locale=locale, color_scheme=scheme)
    page.get_by_role("button", name=pairs("device")["test"][locale == "en-US"]).click()
    page.locator(".device tbody").wait_for()
    page.wait_for_timeout(300)  # colours fade
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert not [(v["id"], v["nodes"][0]["html"][:150]) for v in found if v["impact"] in ("serious", "critical")]
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.fixture
def engine(voices, tmp_path) -> Engine:
    return Engine(settings(voices, tmp_path))


def settings(voices, root, *changes):
    own = [f"voices=[{voices}]", "webui.device=cpu", "cache_path=", *changes]
    return load_settings(overrides=own, environment={}, root=root)


def test_a_page_for_others_shows_all_and_changes_nothing(voices, tmp_path, visit):
    shared = DeviceTab(Engine(settings(voices, tmp_path, "host=0.0.0.0")))
    assert "user 与 password" in shared.look(ZH)["refused"] and shared.look(EN)["use"]["facts"]
    for refused in (lambda: shared.test(ZH), lambda: shared.use(CHANGE)):
        with pytest.raises(BadRequest, match="without a password"):
            refused()
    assert shared.engine.backend == "onnx" and shared.engine.report is None
    assert DeviceTab(Engine(settings(voices, tmp_path, "host=0.0.0.0", "user=a", "password=b"))).allowed

    process, running = start(voices, tmp_path / "server", "--set", "host=0.0.0.0", "--set", "cache_path=")
    try:
        page = visit(running.url)
        expect(part(page, "change")).to_contain_text("请设置 user 与 password")
        expect(page.locator(".device :is(button, select):disabled")).to_have_count(5)
        expect(fact(page, "use", "后端")).to_have_text("onnx")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_one_at_a_time(engine, monkeypatch):
    tab, begun, go_on = DeviceTab(engine), threading.Event(), threading.Event()
    monkeypatch.setattr(selftest, "check", lambda _: begun.set() or go_on.wait(60))
    tester = threading.Thread(target=tab.test, args=(EN,))
    tester.start()
    assert begun.wait(60)
    with pytest.raises(BadRequest, match="under way"):
        tab.use(CHANGE)
    go_on.set()
    tester.join(60)
    tab.use(CHANGE)
    assert engine.backend == "torch"


def test_a_failure_is_shown_with_what_it_came_to(engine, monkeypatch):
    tab = DeviceTab(engine)
    backend = loaded(engine).backend
    monkeypatch.setattr(backend, "flow", lambda z, mask, _: z * mask)
    tab.test(EN)
    for language, words in enumerate(("未通过", "Failed")):
        shown = tab.look({"language": language})
        assert not shown["report"]["passed"] and shown["report"]["sentence"].startswith(words)
        assert shown["use"]["badges"] == [[pairs("device")["failed"][language], "broken"]]
        assert shown["report"]["sentence"] not in [line for line, _ in shown["use"]["lines"]]  # once is enough
        assert shown["choices"]["backend"][0] == "torch"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_precisions_are_the_two_flags(engine, precision):
    tab = DeviceTab(engine)
    done = tab.use(CHANGE | {"precision": precision})["done"]
    flags = engine.settings.webui.fp16_run, engine.settings.webui.int8_run
    assert flags == ("half" in precision, "int8" in precision)
    assert f"fp16_run: {str(flags[0]).lower()}, int8_run: {str(flags[1]).lower()}" in done
    assert tab.look(ZH)["choices"]["precision"][0] == precision
    of_bert = dict(tab.look(EN)["use"]["facts"])["Precision"]
    assert ("8-bit weights" in of_bert) == flags[1]
    with pytest.raises(BadRequest):
        tab.use(CHANGE | {"precision": "double"})


def test_other_machines_are_described_too(engine, monkeypatch):
    """A GPU that is not here, OpenVINO with a GPU and an NPU, no onnxruntime, a voice that is warming up."""
    monkeypatch.setattr(devices, "available", lambda: ["xpu:0", "cpu"])
    arc = machine.Accelerator("xpu:0", "Intel(R) Arc(TM) A770", 16 << 30)
    monkeypatch.setattr(machine, "accelerators", lambda: [arc])
    monkeypatch.setattr(machine, "openvino", lambda: {"CPU": "Core", "GPU.0": "Arc", "NPU": "AI Boost"})
    monkeypatch.setattr(machine, "packages", lambda: {"openvino": "2026.4"})
    tab = DeviceTab(engine)
    shown = dict(tab.look(EN)["machine"]["facts"])
    assert shown["GPUs (torch)"] == "xpu:0 Intel(R) Arc(TM) A770 (17.18 GB)" and shown["OpenVINO"].endswith("AI Boost")
    assert tab.look(EN)["machine"]["lines"] == []
    choices = tab.look(EN)["choices"]
    assert [value for value, _ in choices["device"][1]] == ["auto", "xpu:0", "cpu"]
    assert [value for value, _ in choices["backend"][1]][-3:] == ["openvino:cpu", "openvino:gpu", "openvino:npu"]

    engine.settings = engine.settings.but({"device": "auto"})
    engine.device, engine.backend = replace(engine.device, torch=torch.device("xpu")), "torch"
    monkeypatch.setattr(devices.Device, "name", arc.name)
    assert [line for line, _ in tab.look(EN)["use"]["lines"]] == [
        "Device auto: the best of xpu:0, cpu.",
        "Backend auto: torch, since the device is xpu.",
    ]


def test_a_slow_warm_up_and_a_failed_one_are_told(engine):
    tab, voice = DeviceTab(engine), loaded(engine)
    assert "warmed up" in dict(tab.look(EN)["now"]["facts"])["Voice tiny"]
    voice.warmth.done = 1
    assert f"warming up 1 of {voice.warmth.total}" in dict(tab.look(EN)["now"]["facts"])["Voice tiny"]
    voice.warmth.error = "RuntimeError: /home/somebody"
    told = dict(tab.look(EN)["now"]["facts"])["Voice tiny"]
    assert "stopped at 1" in told and "(RuntimeError)" in told and "/home" not in told
    speak(engine, SpeechRequest("好。"))
    assert "the last sentence" in dict(tab.look(EN)["now"]["facts"])["Measured over"]
