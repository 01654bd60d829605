"""The tab of projects as a person uses it: presets, history, files, the glossary. The studio behind it is a fake."""

import json
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from infer.documents import audio
from infer.documents.project import Card, Project
from infer.request import SpeechRequest
from infer.settings import load_settings
from page import glossary, shelf
from tests.test_page import PATIENT, part, say, start, wait_until_finished
from tests.voices import make_tiny_voice

EVIL = "<img src=x onerror='hacked=1'>${hacked=1}"
# A studio as the editor makes it (page/editor.js), which notes what it is asked.
STUDIO = """<script>
window.pageLanguage = navigator.language.startsWith("zh") ? 0 : 1;
window.log = [];
window.studio = {
  now: { format: "bert-vits2 project", version: 1, controls: { seed: 3 }, cards: [{ text: "你好，世界。" }] },
  controls: { voice: "tiny", speed: 1.2, seed: 3, sample: "" },
  request: () => ({ ...studio.controls }),
  project: () => structuredClone(studio.now),
  set: (values) => Object.assign(studio.controls, values),
  async open(project) {
    log.push(["open", project]);
    if (project.fault) return { error: ["打不开", "no"] };
    studio.now = structuredClone(project);
    return {};
  },
  load: (text, controls) => void log.push(["load", text, controls]),
};
</script>"""


class Site:
    """A page with the tab alone, on settings of its own."""

    def __init__(self, folder: Path, *overrides: str) -> None:
        self.folder = folder
        paths = [f"history={folder / 'history'}", f"glossary={folder / 'words.txt'}"]
        settings = load_settings(overrides=[*paths, *overrides], environment={})
        with gr.Blocks(analytics_enabled=False) as self.blocks:
            shelf.shelf_ears(settings)
            with gr.Tabs():
                with gr.Tab("Speak", elem_id="tab-speak"):
                    gr.Textbox(elem_id="text")
                    self.upload = gr.HTML('<div id="zone">zone</div>', js_on_load=ZONE)
                with gr.Tab("Projects"):
                    shelf.shelf_panel()
                    glossary.glossary_panel(settings)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        style = Path(shelf.__file__).with_name("style.css")
        self.blocks.launch(server_port=port, prevent_thread_lock=True, quiet=True, head=STUDIO, css_paths=style)
        self.url = self.blocks.local_url


ZONE = """
const zone = element.querySelector("#zone");
zone.addEventListener("dragover", (event) => event.preventDefault());
zone.addEventListener("drop", (event) => { event.preventDefault(); log.push(["zone"]); });
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Callable[..., Site]]:
    """Sites by their settings, each started once."""
    sites: dict[tuple[str, ...], Site] = {}

    def start(*overrides: str) -> Site:
        if overrides not in sites:
            sites[overrides] = Site(tmp_path_factory.mktemp("site"), *overrides)
        return sites[overrides]

    start()  # before a browser runs in this thread
    yield start
    for one in sites.values():
        one.blocks.close(verbose=False)


@pytest.fixture
def visit(site, browser):
    pages: list[Page] = []
    errors: list[str] = []

    def open_page(*overrides: str, locale: str = "zh-CN", **context) -> Page:
        page = browser.new_context(locale=locale, **context).new_page()
        pages.append(page)
        page.set_default_timeout(PATIENT)
        page.on("pageerror", lambda error: errors.append(f"{error}"))
        page.goto(site(*overrides).url)
        page.wait_for_function("window.projects")
        return page

    expect.set_options(timeout=PATIENT)
    folder = site().folder
    for file in [*folder.glob("history/*"), *folder.glob("words.txt")]:
        file.unlink()
    yield open_page
    for page in pages:
        assert page.evaluate("window.hacked") is None
        assert str(folder.parent) not in page.content(), "no path of the server is shown"
        page.context.close()
    expect.set_options(timeout=5000)  # as it was
    assert errors == []


def project(text: str = "床前明月光。", **controls) -> dict:
    return Project(controls, (Card(text),)).as_dict()


def go(page: Page) -> None:
    page.get_by_role("tab", name=re.compile("^(Projects|项目)$")).click()
    page.locator(".shelf h2").first.wait_for()


def spoken(page: Page, project: dict, seconds: float) -> None:
    """What the editor does at the end of a speech."""
    with page.expect_response(lambda response: "component_server" in response.url):
        page.evaluate(
            "(detail) => document.dispatchEvent(new CustomEvent('studio:spoken', { detail }))",
            {"project": project, "seconds": seconds},
        )


def entries(page: Page) -> Locator:
    return page.locator(".shelf-open > span")


def said(page: Page, text: str, role: str = "status") -> None:
    expect(page.locator(f".shelf-toast [role={role}]")).to_contain_text(text)


def undo(page: Page) -> None:
    page.locator(".shelf-toast").get_by_role("button", name="撤销").click()
    said(page, "已恢复")


def drop(page: Page, file: Path, place: str = "body", taken: bool = True) -> None:
    """A drag from the desktop: by the browser itself, which would show the file if the page did not prevent it."""
    box = page.locator(place).bounding_box()
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] - 5}
    data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
    session, veil = page.context.new_cdp_session(page), page.locator(".shelf-veil")

    def drag(kind: str) -> None:
        session.send("Input.dispatchDragEvent", {"type": kind, **at, "data": data})

    drag("dragEnter")
    for _ in range(50):  # a hand that is never quite still
        drag("dragOver")
        page.wait_for_timeout(20)
        if veil.is_visible() == taken:
            break
    expect(veil).to_be_visible(visible=taken)
    for _ in range(10):  # a busy browser may lose a drop, which then nobody sees: the file is let go of again
        drag("drop")
        with suppress(AssertionError):
            expect(veil).to_be_hidden(timeout=5000)
            break
        drag("dragEnter")
        drag("dragOver")
    expect(veil).to_be_hidden()
    session.detach()


def log(page: Page) -> list:
    return page.evaluate("log")


# --- history ---------------------------------------------------------------------------------------------------------


def test_what_was_spoken_is_found_again(visit):
    page = visit()
    spoken(page, project("一二三。"), 12.34)  # before the tab was ever opened
    spoken(page, project(EVIL), 83.0)
    go(page)
    expect(entries(page)).to_have_text([EVIL[:24] + "…", "一二三。"])
    expect(page.locator(".shelf-open small")).to_have_text(["刚才 · 1:23", "刚才 · 12.3 秒"])
    spoken(page, project("一二三。"), 12.34)
    expect(entries(page)).to_have_text(["一二三。", EVIL[:24] + "…"])

    page.reload()
    page.wait_for_function("window.projects")
    go(page)
    entries(page).nth(0).click()
    said(page, "已打开“一二三。”")
    assert log(page) == [["open", project("一二三。")]]
    expect(page.get_by_role("tab").nth(0)).to_have_attribute("aria-selected", "true")
    undo(page)
    assert page.evaluate("studio.now.cards") == [{"text": "你好，世界。"}], "what was there before is back"

    another = visit(locale="en-US")
    go(another)
    expect(entries(another)).to_have_text(["一二三。", EVIL[:24] + "…"])
    expect(another.locator(".shelf-open small").first).to_have_text("just now · 12.3 s")


def test_deleting_can_be_undone_and_clearing_is_asked(visit, site):
    page = visit()
    for seed in range(3):
        spoken(page, project(f"第{seed}。"), 1.0)
    go(page)
    page.get_by_role("button", name="从历史中删除“第1。”").click()
    expect(entries(page)).to_have_text(["第2。", "第0。"])
    expect(page.locator(".shelf-open").nth(1)).to_be_focused()
    undo(page)
    expect(entries(page)).to_have_text(["第2。", "第1。", "第0。"])

    page.get_by_role("button", name="全部删除").click()
    expect(page.get_by_role("group", name="删除全部 3 条历史？")).to_be_visible()
    expect(page.get_by_role("button", name="取消")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="全部删除")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="取消")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_role("button", name="删除", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    said(page, "历史已全部删除")
    expect(page.locator(".shelf-history")).to_have_text("还没有。朗读一段文字，它就会出现在这里。")
    assert not list((site().folder / "history").glob("*.json"))


def test_a_browser_can_stay_out_of_the_history(visit):
    page = visit()
    spoken(page, project("留。"), 1.0)
    go(page)
    page.get_by_role("switch", name="保留历史").uncheck()
    page.reload()
    page.wait_for_function("window.projects")
    page.evaluate(
        "(project) => document.dispatchEvent(new CustomEvent('studio:spoken', { detail: { project, seconds: 1 } }))",
        project("不留。"),
    )
    go(page)
    expect(page.get_by_role("switch", name="保留历史")).not_to_be_checked()
    expect(entries(page)).to_have_text(["留。"])
    page.get_by_role("switch", name="保留历史").check()
    spoken(page, project("又留。"), 1.0)
    expect(entries(page)).to_have_text(["又留。", "留。"])


def test_an_entry_that_another_window_deleted(visit):
    page, another = visit(), visit()
    spoken(page, project("好。"), 1.0)
    for one in (page, another):
        go(one)
        expect(entries(one)).to_have_text(["好。"])
    another.locator(".shelf-history .shelf-remove").click()
    expect(entries(another)).to_have_count(0)
    entries(page).click()
    said(page, "历史里已经没有这个项目了", role="alert")
    expect(entries(page)).to_have_count(0)
    assert log(page) == []


@pytest.mark.parametrize(
    "overrides,reason", [(("history=",), "历史已关闭"), (("host=0.0.0.0",), "别的机器也能打开本页，而且没有密码")]
)
def test_without_a_history_presets_stay_in_the_browser(visit, site, overrides, reason):
    page = visit(*overrides)
    page.evaluate(
        "document.dispatchEvent(new CustomEvent('studio:spoken', { detail: { project: studio.now, seconds: 1 } }))"
    )
    go(page)
    expect(page.locator(".shelf section").nth(2)).to_contain_text(reason)
    page.get_by_label("预设的名字").fill("慢")
    page.keyboard.press("Enter")
    said(page, "已保存预设“慢”")
    page.reload()
    page.wait_for_function("window.projects")
    go(page)
    page.evaluate("studio.set({ speed: 2 })")
    page.get_by_role("button", name="慢", exact=True).click()
    said(page, "已用上预设“慢”")
    assert page.evaluate("studio.controls.speed") == 1.2
    page.get_by_role("button", name="删除预设“慢”").click()
    expect(page.locator(".shelf-presets")).to_have_text("还没有预设。")
    assert not (site(*overrides).folder / "history").exists()


# --- presets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overrides", [(), ("history=",)], ids=["server", "browser"])
def test_a_seed_that_nothing_can_hold_is_one_sentence_and_the_others_stay(visit, site, overrides):
    page = visit(*overrides)
    go(page)
    name = page.get_by_label("预设的名字")
    for preset, seed in (("好", 3), ("坏", 100000000000000000000), ("乙", 4)):
        page.evaluate(f"studio.set({{ seed: {seed} }})")
        name.fill(preset)
        page.keyboard.press("Enter")
        if preset == "坏":
            said(page, "seed 必须是 0 到 4294967295 之间的整数", role="alert")
        else:
            said(page, f"已保存预设“{preset}”")
    expect(page.locator(".shelf-presets li")).to_have_count(2)

    if overrides:  # as an earlier page has kept it
        page.evaluate("localStorage['bv2.presets'] = JSON.stringify({ 好: { seed: 3 }, 坏: { seed: 1e20 } })")
    else:
        (site().folder / "history" / "presets.json").write_text('{"好": {"seed": 3}, "坏": {"seed": 1e400}}', "utf-8")
    page.reload()
    page.wait_for_function("window.projects")
    go(page)
    if overrides:
        page.get_by_role("button", name="坏", exact=True).click()
        said(page, "seed 必须是", role="alert")
    page.get_by_role("button", name="好", exact=True).click()
    said(page, "已用上预设“好”")
    assert page.evaluate("studio.controls.seed") == 3


def test_presets_are_saved_applied_replaced_and_deleted(visit):
    page = visit()
    go(page)
    name = page.get_by_label("预设的名字")
    page.get_by_role("button", name="保存预设").click()
    said(page, "请先给预设起个名字", role="alert")
    for preset in ("慢", "__proto__", EVIL, " 新闻  播报 "):
        name.fill(preset)
        page.keyboard.press("Enter")
        said(page, f"已保存预设“{' '.join(preset.split())[:40]}”")
    expect(page.locator(".shelf-presets li")).to_have_count(4)

    page.evaluate("studio.set({ speed: 0.7, emotion: 'sad' })")
    name.fill("慢")
    page.keyboard.press("Enter")
    said(page, "已换掉原来的预设“慢”")
    page.evaluate("studio.set({ speed: 2, emotion: 'happy' })")
    page.get_by_role("button", name="慢", exact=True).click()
    assert page.evaluate("[studio.controls.speed, studio.controls.emotion]") == [0.7, "sad"]
    undo(page)
    assert page.evaluate("[studio.controls.speed, studio.controls.emotion]") == [2, "happy"]

    page.get_by_role("button", name="删除预设“__proto__”").click()
    said(page, "已删除预设“__proto__”")
    expect(page.locator(".shelf-presets li")).to_have_count(3)
    undo(page)
    expect(page.locator(".shelf-presets li")).to_have_count(4)

    another = visit()
    go(another)
    another.get_by_role("button", name="__proto__", exact=True).click()
    said(another, "已用上预设“__proto__”")
    another.get_by_role("button", name="新闻 播报", exact=True).click()
    said(another, "已用上预设“新闻 播报”")


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_project_is_saved_and_opened_again(visit, tmp_path):
    page = visit()
    go(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="保存项目").click()
    assert download.value.suggested_filename == "你好世界.bv2.json"
    file = tmp_path / "again.bv2.json"
    download.value.save_as(file)
    assert Project.from_dict(json.loads(file.read_text())) == Project({"seed": 3}, (Card("你好，世界。"),))

    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="打开文件").click()
    chooser.value.set_files(file)
    said(page, "已打开“again.bv2.json”")
    assert log(page) == [["open", page.evaluate("studio.now")]]

    page.evaluate("studio.now.cards = []")
    page.get_by_role("tab").nth(1).click()
    page.get_by_role("button", name="保存项目").click()
    said(page, "还没有内容", role="alert")
    page.get_by_role("tab").nth(0).click()
    page.locator("#text textarea").fill("写了，还没有说。")
    page.get_by_role("tab").nth(1).click()
    with page.expect_download() as download:
        page.get_by_role("button", name="保存项目").click()
    assert json.loads(Path(download.value.path()).read_text())["cards"] == [{"text": "写了，还没有说。"}]


def test_a_dropped_project_opens_and_the_page_stays(visit, tmp_path):
    page = visit()
    (tmp_path / "好.json").write_text("\ufeff" + json.dumps(project(seed=5)))
    drop(page, tmp_path / "好.json")
    said(page, "已打开“好.json”")
    assert log(page) == [["open", project(seed=5)]]
    assert page.url.rstrip("/") == page.evaluate("location.origin")
    drop(page, tmp_path / "好.json", "#zone", taken=False)
    assert log(page)[1:] == [["zone"]], "a place of its own takes its files itself"


@pytest.mark.parametrize("format", audio.FORMATS)
def test_a_dropped_sound_sets_everything_as_it_was(visit, tmp_path, format):
    page = visit()
    request = SpeechRequest("“银行”的行长说：长大。\n" * 9, speaker="乙", seed=2**32 - 1, speed=1.25, emotion="sad")
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 24000 * 60).astype(np.float32)  # a wav and flac of 2.9 MB
    (tmp_path / f"out.{format}").write_bytes(audio.encode(noise, 24000, format, request))
    drop(page, tmp_path / f"out.{format}")
    said(page, f"已打开“out.{format}”")
    controls = request.as_dict()
    assert log(page) == [["load", controls.pop("text"), controls]]


BAD = {
    "broken.json": (b'{"format":', "已损坏，或不是 JSON 文件"),
    "other.json": (b'{"a": 1}', "不是本页面的项目文件"),
    "newer.json": (json.dumps(project() | {"version": 99}).encode(), "版本是 99"),
    "large.json": (b" " * (shelf.LARGEST + 1), "太大了（项目文件最多 4 MB）"),
    "fault.json": (json.dumps(project() | {"fault": 1}).encode(), "打不开"),
    "plain.wav": (audio.encode(np.zeros(9999, np.float32), 22050, "wav"), "没有制作信息"),
    "no.mp3": (b"no sound", "没有制作信息"),
    "text.txt": ("你好".encode(), "只能打开项目文件"),
}


def test_what_cannot_be_opened_is_said_and_changes_nothing(visit, tmp_path):
    page = visit()
    for name, (content, sentence) in BAD.items():
        (tmp_path / name).write_bytes(content)
        drop(page, tmp_path / name)
        said(page, sentence, role="alert")
        said(page, name, role="alert")
    assert page.evaluate("studio.now.cards") == [{"text": "你好，世界。"}]
    page.route("**/component_server**", lambda route: route.abort())
    (tmp_path / "good.json").write_text(json.dumps(project()))
    drop(page, tmp_path / "good.json")
    said(page, "连不上服务器", role="alert")
    page.locator(".shelf-close").click()
    expect(page.locator(".shelf-toast")).to_have_text("")


# --- glossary --------------------------------------------------------------------------------------------------------


def test_the_glossary_is_changed_on_the_page(visit, site):
    file = site().folder / "words.txt"
    file.write_text("# 人名\n单 shan4\n")
    page = visit()
    file.write_text("# 人名\n单 shan4\n")  # `visit` has tidied up
    go(page)
    field, save = page.get_by_label("读音表的内容"), page.get_by_role("button", name="保存读音表")
    expect(field).to_have_value("# 人名\n单 shan4\n")
    expect(page.locator(".glossary [role=status]")).to_have_text("共 1 个词。")
    expect(save).to_be_disabled()
    field.fill("# 人名\n单 shan4\n重庆 chong2\n")
    expect(page.locator(".glossary [role=status]")).to_contain_text("有未保存的改动")
    page.keyboard.press("Control+s")
    expect(page.locator(".glossary [role=alert]")).to_contain_text("第 3 行“重庆 chong2”有误")
    assert page.evaluate("getSelection().toString()") == "重庆 chong2"
    assert file.read_text() == "# 人名\n单 shan4\n"
    field.fill("# 人名\n单 shan4\n重庆 chong2 qing4\n")
    save.click()
    expect(page.locator(".glossary [role=status]")).to_have_text("已保存，共 2 个词。")
    expect(page.locator(".glossary [role=alert]")).to_have_text("")
    assert file.read_text() == "# 人名\n单 shan4\n重庆 chong2 qing4\n"


def test_two_who_change_the_glossary_keep_both(visit, site):
    page, another = visit(), visit()
    for one in (page, another):
        go(one)
        expect(one.get_by_label("读音表的内容")).to_be_enabled()
    page.get_by_label("读音表的内容").fill("单 shan4\n")
    another.get_by_label("读音表的内容").fill("查 zha1\n")
    page.keyboard.press("Control+s")
    expect(page.locator(".glossary [role=status]")).to_have_text("已保存，共 1 个词。")
    another.get_by_role("button", name="保存读音表").click()
    expect(another.locator(".glossary [role=alert]")).to_contain_text("读音表在别处改过了")
    expect(another.get_by_label("读音表的内容")).to_have_value("单 shan4\n查 zha1\n")
    assert (site().folder / "words.txt").read_text() == "单 shan4\n"
    another.get_by_role("button", name="保存读音表").click()
    expect(another.locator(".glossary [role=status]")).to_have_text("已保存，共 2 个词。")
    assert (site().folder / "words.txt").read_text() == "单 shan4\n查 zha1\n"

    page.get_by_label("读音表的内容").fill("单 shan4\n解 xie4\n")
    page.get_by_role("tab").nth(0).click()
    page.get_by_role("tab").nth(1).click()
    expect(page.locator(".glossary [role=alert]")).to_contain_text("保存时会把两边的改动合在一起")
    expect(page.get_by_label("读音表的内容")).to_have_value("单 shan4\n解 xie4\n")


def test_nothing_written_is_lost_when_the_server_is_gone(visit):
    page = visit()
    go(page)
    expect(page.get_by_label("读音表的内容")).to_be_enabled()
    page.route("**/component_server**", lambda route: route.abort())
    page.get_by_label("读音表的内容").fill("单 shan4")
    page.keyboard.press("Control+s")
    expect(page.locator(".glossary [role=alert]")).to_contain_text("写的内容还在")
    expect(page.get_by_label("读音表的内容")).to_have_value("单 shan4")


@pytest.mark.parametrize("overrides,reason", [(("glossary=",), "没有读音表"), (("host=0.0.0.0",), "不能在这里改")])
def test_a_glossary_that_is_not_to_be_changed(visit, overrides, reason):
    page = visit(*overrides)
    go(page)
    expect(page.locator(".glossary")).to_contain_text(reason)
    assert page.locator(".glossary textarea").count() == 0


# --- for everyone ----------------------------------------------------------------------------------------------------


def test_english_dark_and_narrow(visit):
    page = visit(locale="en-US", viewport={"width": 390, "height": 800})
    spoken(page, project("这是一句很长很长的话" * 9), 5.0)
    go(page)
    expect(page.locator(".shelf h2")).to_have_text(["Project file", "Presets", "History"])
    page.get_by_label("Name of the preset").fill("a" * 40)
    page.keyboard.press("Enter")
    expect(page.locator(".shelf-presets li")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out of a phone's page"
    for button in page.locator(".shelf button, .glossary button, .shelf-toast button").all():
        assert button.evaluate("(it) => (it.ariaLabel || it.innerText).trim()") not in ("", "×")


def test_on_the_real_page_everything_comes_back(browser, tmp_path):
    make_tiny_voice(tmp_path / "voices" / "tiny")
    process, server = start(tmp_path / "voices", tmp_path / "server", "--set", f"history={tmp_path / 'history'}")
    try:
        page = opened(browser, server.url)
        page.locator("#speaker input").click()
        page.get_by_role("option", name="乙").click()
        page.locator("#seed input").fill("7")
        say(page, "今天天气很好。我们去公园吧！")
        wait_until_finished(page)
        with page.expect_download() as download:
            part(page, "download").click()
        download.value.save_as(tmp_path / "again.wav")
        page.close()

        page = opened(browser, server.url)
        say(page, "别的话。")
        wait_until_finished(page)
        page.locator("#text textarea").fill("别的话，改了。")
        go(page)
        expect(entries(page)).to_have_text(["别的话。", "今天天气很好。我们去公园吧！"], timeout=PATIENT)
        entries(page).nth(1).click()
        as_it_was(page)
        page.locator(".shelf-toast").get_by_role("button", name="撤销").click()
        expect(page.locator("#text textarea")).to_have_value("别的话，改了。", timeout=PATIENT)
        expect(page.locator("#seed input")).to_have_value("0", timeout=PATIENT)
        drop(page, tmp_path / "again.wav", "#title")
        as_it_was(page)

        go(page)
        page.get_by_label("预设的名字").fill("乙七")
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="乙七", exact=True)).to_be_visible(timeout=PATIENT)
        another = opened(browser, server.url)
        go(another)
        another.get_by_role("button", name="乙七", exact=True).click()
        another.get_by_role("tab").nth(0).click()
        expect(another.locator("#speaker input")).to_have_value("乙", timeout=PATIENT)
        expect(another.locator("#seed input")).to_have_value("7", timeout=PATIENT)
        assert "Traceback" not in server.output.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def opened(browser: Browser, url: str) -> Page:
    page = browser.new_context(locale="zh-CN").new_page()
    page.set_default_timeout(PATIENT)
    page.goto(url)
    expect(page.locator("#speaker input")).to_have_value("甲", timeout=PATIENT)
    page.wait_for_function("window.projects && window.studio")
    return page


def as_it_was(page: Page) -> None:
    expect(page.locator("#text textarea")).to_have_value("今天天气很好。我们去公园吧！", timeout=PATIENT)
    expect(page.locator("#speaker input")).to_have_value("乙", timeout=PATIENT)
    expect(page.locator("#seed input")).to_have_value("7", timeout=PATIENT)
    expect(page.get_by_role("tab").nth(0)).to_have_attribute("aria-selected", "true")
