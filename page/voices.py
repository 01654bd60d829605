"""The tab of voices and models: what is here, what it lacks, the doctor's report, and model files by a click."""

import html
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gradio as gr

from infer import log
from infer.engine.catalogue import VoiceInfo
from infer.engine.pipeline import Engine
from infer.files import bytes_in_words
from infer.hub.listing import MODELS, Model, Status, status
from infer.request import SpeechError
from infer.settings import Settings
from models.checkpoint.doctor import examine
from models.config import plain
from page import language_of, lines_html, private, shown
from page.downloads import Download, Downloads
from page.report import in_words, reason, report_html, some

TICK = 0.7  # seconds between two looks at the downloads, while there are any

WORDS = {  # key -> Chinese, English
    "tab.speak": ("朗读", "Speak"),
    "tab.voices": ("音色与模型", "Voices and models"),
    "voices": ("音色", "Voices"),
    "models": ("模型", "Models"),
    "refresh": ("刷新", "Refresh"),
    "fetch": ("下载", "Download"),
    "resume": ("继续下载", "Resume"),
    "halt": ("停止下载", "Stop"),
}
SAID = {  # what handlers say; key -> Chinese, English
    "put": (
        "把音色的文件夹（内有 config.json 和 G_*.pth 或 G.safetensors）放进 {0}，再按“刷新”。",
        "Put a voice's folder (config.json with G_*.pth or G.safetensors) into {0}, then press Refresh.",
    ),
    "none": ("还没有音色。", "There is no voice yet."),
    "ready": ("可用", "ready"),
    "lacks": ("缺模型", "lacks models"),
    "broken": ("不能用", "unusable"),
    "loaded": ("已载入", "loaded"),
    "family": ("类型", "Family"),
    "speakers": ("说话人", "Speakers"),
    "count": ("{0} 位：{1}", "{0}: {1}"),
    "more": ("{0} 等", "{0} …"),
    "rate": ("采样率", "Sampling rate"),
    "size": ("大小", "Size"),
    "notice": (
        "“{0}”还缺模型 {1}（约 {2:.1f} GB），下载后才能说话。",
        "“{0}” needs the model {1} (about {2:.1f} GB) before it can speak.",
    ),
    "bring": ("去下载", "Download it"),
    "lack": ("还不能说话：请在下面下载模型 {0}。", "It cannot speak yet: download {0} among the models below."),
    "by hand": ("自己放文件，或不用模型", "Bring the files by hand, or do without"),
    "comma": ("、", ", "),
    "check": ("检查", "Check"),
    "check of": ("检查音色 {0}", "Check the voice {0}"),
    "checking": ("正在检查……", "Checking …"),
    "unexpected": ("检查时出错（{0}），原因见终端。", "The check went wrong ({0}); the terminal has the cause."),
    "about": ("约 {0}", "about {0}"),
    "folder": ("位置", "Folder"),
    "here": ("已齐备", "here"),
    "part": ("下载了一部分", "partly here"),
    "missing": ("未下载", "missing"),
    "part.help": ("已有 {0}，会接着下载。", "{0} came before; a download goes on from there."),
    "lacking": (
        "模型仓库里没有 {0}，请自行放入。",
        "The model repository does not have {0}: put it there yourself.",
    ),
    "ask": ("正在询问文件清单……", "Asking for the list of files …"),
    "got": ("{0} / {1}（{2:.0%}）", "{0} of {1} ({2:.0%})"),
    "speed": ("{0}/s", "{0}/s"),
    "left": ("剩余约 {0}", "about {0} left"),
    "verify": ("下载完成，正在校验（{0:.0%}）……", "Checking what came ({0:.0%}) …"),
    "convert": ("正在转换为 safetensors……", "Turning it into safetensors …"),
    "halting": ("正在停止……", "Stopping …"),
    "halted": ("已停止，已下载的部分会保留。", "Stopped; what came stays."),
    "refused": (
        "本页对其他机器开放而没有密码，所以不能在这里下载：请设置 user 与 password，或在终端运行 "
        "python -m infer.models。",
        "Other machines reach this page without a password, so nothing can be fetched from here: set user and "
        "password, or run python -m infer.models in a terminal.",
    ),
    "hours": ("{0} 小时 {1} 分", "{0} h {1} min"),
    "minutes": ("{0} 分 {1} 秒", "{0} min {1} s"),
    "seconds": ("{0} 秒", "{0} s"),
}
# A click on a card's button tells its voice; the cards come and go, so the list listens.
ON_CLICK = """
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-voice]");
  if (button) trigger("click", { voice: button.dataset.voice });
});
"""
# The notice beside the controls leads to the row of the model that is missing; the tab's own button opens the tab.
TO_MODEL = """
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-bring]");
  if (!button) return;
  document.getElementById("tab-voices-button")?.click();
  const row = document.getElementById(`model-${button.dataset.bring}`);
  new IntersectionObserver((seen, watch) => {
    if (!row.offsetParent) return;
    watch.disconnect();
    row.scrollIntoView({ block: "center" });
    row.querySelector("button")?.focus();
  }).observe(row);
});
"""


class VoicesTab:
    """The handlers. What is fetched is one matter for all listeners; a report is for the one who asked."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.settings = engine, engine.settings
        self.downloads = Downloads(engine.settings)
        self.items = tuple(item for item in MODELS if getattr(self.settings, item.setting, item.folder))

    def voices(self, request: gr.Request, checked: str = "", report: str = "") -> str:
        """All voices as they are now, one of them with its report; of one that has gone it stands above all."""
        language = language_of(request)
        folders = ("、", ", ")[language].join(shown(self.settings.path(f), self.settings) for f in self.settings.voices)
        put = SAID["put"][language].format(folders)
        try:
            infos = self.engine.voices()
        except SpeechError as error:
            return lines_html([((error.zh, str(error))[language], "error"), (put, "hint")])
        cards = [
            voice_html(info, name in self.engine.loaded, language, report if name == checked else "")
            for name, info in infos.items()
        ]
        gone = report if checked not in infos else ""
        return lines_html([(put, "hint")]) + gone + ("".join(cards) or lines_html([(SAID["none"][language], "notice")]))

    def check(self, event: gr.EventData, request: gr.Request) -> Iterator[str]:
        """The doctor's report in the card whose button was clicked. It reads the whole file, which takes its time."""
        name, language = str((event._data or {}).get("voice", "")), language_of(request)
        yield self.voices(request, name, lines_html([(SAID["checking"][language], "checking")]))
        try:
            files = self.engine.files(name)
            report = examine(files.weights, files.config)
            missing = self.engine.features.missing(report.variant) if report.variant and report.usable else []
            shown_report = report_html(report, missing, language)
        except SpeechError as error:  # it has gone meanwhile
            shown_report = lines_html([((error.zh, str(error))[language], "error")])
        except Exception as error:
            log.failure(f"checking the voice {plain(name)!r}", error)
            shown_report = lines_html([(SAID["unexpected"][language].format(type(error).__name__), "error")])
        yield self.voices(request, name, shown_report)

    def models(self, request: gr.Request, ticking: bool = False) -> list[Any]:
        """For each model its row and its two buttons, then the timer and how many models have come.

        Only the timer's own tick ends it: an answer from before a click on Download may arrive after it.
        """
        running = self.downloads.running  # first, so that what comes meanwhile is seen by the next tick
        arrived = self.downloads.arrived
        language, allowed = language_of(request), may_fetch(self.settings)
        updates: list[Any] = []
        for state in status(self.settings, self.items):
            download = self.downloads.latest.get(state.model.name)
            busy = download is not None and download.running
            begun = bool(state.part or state.here)
            updates += [
                model_html(state, download, shown(state.folder, self.settings), language),
                gr.Button(
                    WORDS["resume" if begun else "fetch"][language], visible=allowed and not busy and not state.ready
                ),
                gr.Button(visible=allowed and busy, interactive=busy and not download.stopped.is_set()),
            ]
        return [*updates, gr.Timer(active=running) if running or ticking else gr.skip(), arrived]

    def start(self, item: Model) -> None:
        if may_fetch(self.settings):
            self.downloads.start(item)

    def stop(self, item: Model) -> None:
        if may_fetch(self.settings):
            self.downloads.stop(item)


def may_fetch(settings: Settings) -> bool:
    """Whether the page may start downloads.

    They fill the disk and the line of this machine with gigabytes and go on when the listener has left, which a
    stranger must not be able to ask for. So they take a page that this machine alone can reach, or one that asks for
    a password; elsewhere the owner has the command line.
    """
    return private(settings)


def voice_html(info: VoiceInfo, loaded: bool, language: int, report: str = "") -> str:
    """One voice as a card; every word of it that comes from its files is escaped."""
    said = {key: pair[language] for key, pair in SAID.items()}
    kind = "broken" if not info.family else "lacks" if info.missing else "ready"
    facts = {}
    if info.family:
        names = some(info.speakers, said["more"], said["comma"], most=4)
        facts = {
            "family": info.family,
            "speakers": said["count"].format(len(info.speakers), names),
            "rate": f"{info.sampling_rate / 1000:g} kHz",
            "size": bytes_in_words(info.size),
        }
    lines = [(reason(info.why, language), "why")] if info.why else []
    lines += [(in_words(pair[1 - language], language), "error") for pair in info.missing if kind == "broken"]
    below = report or lines_html(lines) + (lacks_html(info.missing, said, language) if kind == "lacks" else "")
    badges = f'<span class="badge {kind}">{said[kind]}</span>'
    badges += f'<span class="badge">{said["loaded"]}</span>' if loaded else ""
    name = f" <small>{html.escape(info.id)}</small>" if info.id != info.title else ""
    label = html.escape(said["check of"].format(info.title))
    return (
        f'<article class="card" data-card="{html.escape(info.id)}"><header><h3>{html.escape(info.title)}{name}</h3>'
        f'{badges}<button class="small-button" data-voice="{html.escape(info.id)}" aria-label="{label}">{said["check"]}'
        f"</button></header>{facts_html(facts, said)}{below}</article>"
    )


def lacks_html(missing: Sequence[tuple[str, str]], said: Mapping[str, str], language: int) -> str:
    """What a voice lacks, by the names below, and the whole sentences for those who want to bring it by hand."""
    sentences = lines_html([(pair[1 - language], "notice") for pair in missing])
    items = lacking(missing)
    if len(items) != len(missing):
        return sentences
    line = lines_html([(said["lack"].format(said["comma"].join(item.name for item in items)), "notice")])
    return f"{line}<details><summary>{said['by hand']}</summary>{sentences}</details>"


def lacking(missing: Sequence[tuple[str, str]]) -> list[Model]:
    """The models that sentences of Features.missing name; none for a folder of the owner's own."""
    names = [name for english, _ in missing for name in re.findall(r"python -m infer\.models (\w+)", english)]
    return [item for name in names for item in MODELS if item.name == name]


def notice_html(info: VoiceInfo, language: int) -> str:
    """Beside the controls: why this voice cannot speak, in a sentence, and a button to the model that it lacks."""
    items = lacking(info.missing) if info.family else []
    if not items or len(items) != len(info.missing):
        return lines_html([(in_words(pair[1 - language], language), "notice") for pair in info.missing])
    names = SAID["comma"][language].join(item.name for item in items)
    words = SAID["notice"][language].format(info.title, names, sum(item.size for item in items) / 1e9)
    button = f'<button class="small-button" data-bring="{items[0].name}">{SAID["bring"][language]}</button>'
    return f'<p class="notice">{html.escape(words)} {button}</p>'


def model_html(state: Status, download: Download | None, folder: str, language: int) -> str:
    """One model: what for, how large, where it goes, and how it stands, also while it comes."""
    said = {key: pair[language] for key, pair in SAID.items()}
    item, have = state.model, sum(state.here.values()) + state.part
    kind = "here" if state.ready else "part" if have else "missing"
    facts = {
        "size": bytes_in_words(have) if state.ready else said["about"].format(f"{item.size / 1e9:.1f} GB"),
        "folder": folder,
    }
    if download is not None and download.running:
        below = download_html(download, language)
    else:
        lines = [(said["part.help"].format(bytes_in_words(have)), "hint")] if kind == "part" else []
        if download is not None and not state.ready:
            if download.lacking:
                lines = [(said["lacking"].format(said["comma"].join(download.lacking)), "notice")]
            if download.stopped.is_set():
                lines = [(said["halted"], "hint"), *lines]
            if download.error:
                lines = [(download.error[language], "error"), *lines]
        below = lines_html(lines)
    badge = f'<span class="badge {kind}">{said[kind]}</span>'
    return (
        f'<article class="card" data-model="{item.name}"><header>'
        f"<h3>{item.name} <small>{item.use.pair[language]}</small></h3>{badge}</header>"
        f"{facts_html(facts, said)}{below}</article>"
    )


def download_html(download: Download, language: int) -> str:
    """A bar and a line: bytes, share, rate, time left."""
    said = {key: pair[language] for key, pair in SAID.items()}
    done, total, rate = download.done, download.total, download.rate()
    share = done / total if total else 0.0
    words = {"ask": said["ask"], "check": said["verify"].format(share), "convert": said["convert"]}
    if download.stopped.is_set():
        line = [said["halting"]]
    elif download.step in words:
        line = [words[download.step]]
    else:
        line = [said["got"].format(bytes_in_words(done), bytes_in_words(total), share)]
        line += [said["speed"].format(bytes_in_words(rate))]
        if rate >= 1:
            line += [said["left"].format(time_in_words((total - done) / rate, said))]
    known = download.step in ("fetch", "check") and total
    bar = f'<progress max="1" value="{share:.4f}"></progress>' if known else "<progress></progress>"
    return f'{bar}<p class="progress">{"".join(f"<span>{html.escape(part)}</span>" for part in line)}</p>'


def time_in_words(seconds: float, said: Mapping[str, str]) -> str:
    whole = round(seconds)
    if whole >= 3600:
        return said["hours"].format(whole // 3600, whole % 3600 // 60)
    return said["minutes"].format(*divmod(whole, 60)) if whole >= 60 else said["seconds"].format(whole)


def facts_html(facts: Mapping[str, str], said: Mapping[str, str]) -> str:
    cells = "".join(f"<div><dt>{said[key]}</dt><dd>{html.escape(value)}</dd></div>" for key, value in facts.items())
    return f'<dl class="facts">{cells}</dl>' if facts else ""


def build(
    engine: Engine,
    i18n: gr.I18n,
    tab: gr.Tab,
    voice: gr.Dropdown,
    rescan: Callable[[str, gr.Request], Sequence[Any]],
    speaking: Sequence[gr.components.Component],
) -> None:
    """Lay out the tab and connect it. rescan: chosen voice -> updates of `speaking`, for other voices or models.

    Nothing is looked at before the tab is opened: a page must not read every checkpoint's head for each listener.
    """
    handlers = VoicesTab(engine)
    with gr.Row(elem_classes="section"):
        gr.HTML(i18n("voices"), html_template="<h2>${value}</h2>")
        refresh = gr.Button(i18n("refresh"), elem_id="refresh", size="sm", scale=0, min_width=90)
    voices = gr.HTML(js_on_load=ON_CLICK, elem_id="voices")
    with gr.Row(elem_classes="section"):
        gr.HTML(i18n("models"), html_template="<h2>${value}</h2>")
    refused = gr.HTML(js_on_load=None, visible=not may_fetch(engine.settings), elem_id="refused")
    rows: list[gr.components.Component] = []
    buttons = []
    for item in handlers.items:
        with gr.Row(elem_id=f"model-{item.name}", elem_classes="model"):
            row = gr.HTML(js_on_load=None, scale=1)
            fetch = gr.Button(i18n("fetch"), size="sm", scale=0, min_width=110, visible=False, elem_classes="fetch")
            halt = gr.Button(i18n("halt"), size="sm", scale=0, min_width=110, visible=False, elem_classes="halt")
        rows += [row, fetch, halt]
        buttons.append((item, fetch, halt))
    timer, arrived = gr.Timer(TICK, active=False), gr.State(0)
    rows += [timer, arrived]
    changing = [voices, *speaking]

    def on_refresh(chosen: str, request: gr.Request) -> list[Any]:
        return [handlers.voices(request), *rescan(chosen, request)]

    def on_open(chosen: str, request: gr.Request) -> list[Any]:
        sentence = lines_html([(SAID["refused"][language_of(request)], "notice")])
        return [*on_refresh(chosen, request), *handlers.models(request), sentence]

    def on_check(event: gr.EventData, request: gr.Request) -> Iterator[str]:
        yield from handlers.check(event, request)

    def look(seen: int, chosen: str, request: gr.Request, ticking: bool = False) -> list[Any]:
        states = handlers.models(request, ticking)
        if states[-1] == seen:
            return [gr.skip()] * len(changing) + states
        return on_refresh(chosen, request) + states  # a model has come: who lacked it lacks it no more

    def on_tick(seen: int, chosen: str, request: gr.Request) -> list[Any]:
        return look(seen, chosen, request, ticking=True)

    def on_button(act: Callable[[Model], None], item: Model) -> Callable:
        def pressed(seen: int, chosen: str, request: gr.Request) -> list[Any]:
            act(item)
            return look(seen, chosen, request)

        return pressed

    # preprocess: the chosen voice may be one that Gradio has not offered to this page.
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "preprocess": False}
    at_once = quiet | {"queue": False}
    tab.select(on_open, voice, [*changing, *rows, refused], **at_once)
    refresh.click(on_refresh, voice, changing, **at_once)
    voices.click(on_check, None, voices, **quiet, concurrency_limit=1)
    timer.tick(on_tick, [arrived, voice], [*changing, *rows], **at_once)
    for item, fetch, halt in buttons:
        fetch.click(on_button(handlers.start, item), [arrived, voice], [*changing, *rows], **at_once)
        halt.click(on_button(handlers.stop, item), [arrived, voice], [*changing, *rows], **at_once)
