"""The tab of voices and models: what is here, what it lacks, the doctor's report, and model files by a click."""

import html
from collections.abc import Callable, Iterator, Sequence
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
from page import QUIET, language_of, lines_html, panel, place_name, private, sentence
from page.downloads import Download, Downloads
from page.report import report_html
from words import Message, message

TICK = 0.7  # seconds between two looks at the downloads, while there are any
NAMES = 4  # of a voice's speakers that its card shows

Line = tuple[Any, str]  # a sentence and its kind
Rows = list[tuple[Message, Any]]


class VoicesTab:
    """The handlers. What is fetched is one matter for all listeners; a report is for the one who asked.

    rescan: the chosen voice -> updates of `speaking`, so many components, for other voices or models.
    """

    def __init__(self, engine: Engine, rescan: Callable[[str, gr.Request], Sequence[Any]], speaking: int) -> None:
        self.engine, self.settings, self.rescan, self.speaking = engine, engine.settings, rescan, speaking
        self.downloads = Downloads(engine.settings)
        self.items = tuple(item for item in MODELS if getattr(self.settings, item.setting, item.folder))

    def open(self, voice: str, request: gr.Request) -> list[Any]:
        refused = lines_html([(message("voices.refused"), "notice")], language_of(request))
        return [*self.refresh(voice, request), *self.models(request), refused]

    def refresh(self, voice: str, request: gr.Request) -> list[Any]:
        return [self.voices(request), *self.rescan(voice, request)]

    def look(self, seen: int, voice: str, request: gr.Request, ticking: bool = False) -> list[Any]:
        """seen: how many models have come, as this page knows. Who lacked one that has come lacks it no more."""
        states = self.models(request, ticking)
        news = [gr.skip()] * (1 + self.speaking) if states[-1] == seen else self.refresh(voice, request)
        return [*news, *states]

    def tick(self, seen: int, voice: str, request: gr.Request) -> list[Any]:
        return self.look(seen, voice, request, ticking=True)

    def button(self, act: Callable[[Model], None], item: Model) -> Callable[[int, str, gr.Request], list[Any]]:
        def pressed(seen: int, voice: str, request: gr.Request) -> list[Any]:
            act(item)
            return self.look(seen, voice, request)

        return pressed

    def voices(self, request: gr.Request, checked: str = "", report: str = "") -> str:
        """All voices as they are now, one of them with its report; of one that has gone it stands above all."""
        language = language_of(request)
        folders = [place_name(self.settings.path(folder), self.settings) for folder in self.settings.voices]
        put: Line = message("voices.put", folders=folders), "hint"
        try:
            infos = self.engine.voices()
        except SpeechError as error:
            return lines_html([(error, "error"), put], language)
        cards = [
            voice_html(info, name in self.engine.loaded, language, report if name == checked else "")
            for name, info in infos.items()
        ]
        gone = report if checked not in infos else ""
        none = lines_html([(message("voices.none"), "notice")], language)
        return lines_html([put], language) + gone + ("".join(cards) or none)

    def check(self, event: gr.EventData, request: gr.Request) -> Iterator[str]:
        """The doctor's report in the card whose button was clicked. It reads the whole file, which takes its time."""
        name, language = str((event._data or {}).get("voice", "")), language_of(request)
        yield self.voices(request, name, lines_html([(message("voices.checking"), "checking")], language))
        try:
            files = self.engine.files(name)
            report = examine(files.weights, files.config)
            missing = self.engine.features.missing(report.variant) if report.variant and report.usable else []
            result = report_html(report, missing, language)
        except SpeechError as error:  # it has gone meanwhile
            result = lines_html([(error, "error")], language)
        except Exception as error:
            log.failure(f"checking the voice {plain(name)!r}", error)
            result = lines_html([(message("voices.unexpected", kind=type(error).__name__), "error")], language)
        yield self.voices(request, name, result)

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
            stopping = download is not None and download.stopped.is_set()
            fetch = message("voices.resume" if state.part or state.here else "voices.fetch").say(language)
            halt = message("voices.halt").say(language)
            updates += [
                model_html(state, download, place_name(state.folder, self.settings), language),
                gr.Button(fetch, visible=allowed and not busy and not state.ready),
                gr.Button(halt, visible=allowed and busy, interactive=busy and not stopping),
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


# --- as HTML: every word that comes from a file is escaped ------------------------------------------------------------


def voice_html(info: VoiceInfo, loaded: bool, language: str, report: str = "") -> str:
    """One voice as a card. report: in the place of what is wrong with it."""
    missing = info.missing
    lines: list[Line] = [(info.why, "why")] if info.why else []
    if not info.family:
        badge, rows = ("voices.broken", "broken"), []
        lines += [(each, "error") for each in missing]
    else:
        badge = ("voices.badge_lacks", "lacks") if missing else ("voices.ready", "ready")
        names: Any = [plain(name) for name in info.speakers[:NAMES]]
        if len(info.speakers) > NAMES:
            names = message("voices.more", names=names)
        rows = [
            (message("voices.family"), info.family),
            (message("voices.speakers"), message("voices.count", count=len(info.speakers), names=names)),
            (message("voices.rate"), f"{info.sampling_rate / 1000:g} kHz"),
            (message("voices.size"), bytes_in_words(info.size)),
        ]
    below = report or lines_html(lines, language) + (lacks_html(missing, language) if info.family else "")
    badges = [(message(badge[0]), badge[1]), *([(message("voices.loaded"), "")] if loaded else [])]
    label, id = _html(message("voices.check_of", voice=info.title), language), html.escape(info.id)
    button = (
        f'<button class="small-button" data-voice="{id}" aria-label="{label}">'
        f"{_html(message('voices.check'), language)}</button>"
    )
    name = info.id if info.id != info.title else ""
    return card_html(f'data-card="{id}"', info.title, name, badges, button, rows, below, language)


def model_html(state: Status, download: Download | None, folder: str, language: str) -> str:
    """One model: what for, how large, where it goes, and how it stands, also while it comes."""
    item, have = state.model, sum(state.here.values()) + state.part
    badge = ("voices.missing", "missing")
    if state.ready or have:
        badge = ("voices.here", "here") if state.ready else ("voices.part", "part")
    size = bytes_in_words(have) if state.ready else message("voices.about", size=f"{item.size / 1e9:.1f} GB")
    rows: Rows = [(message("voices.size"), size), (message("voices.folder"), folder)]
    if download is not None and download.running:
        below = download_html(download, language)
    else:
        lines: list[Line] = []
        if badge[1] == "part":
            lines = [(message("voices.part_help", size=bytes_in_words(have)), "hint")]
        if download is not None and not state.ready:
            if download.lacking:
                lines = [(message("voices.lacking", files=download.lacking), "notice")]
            if download.stopped.is_set():
                lines.insert(0, (message("voices.halted"), "hint"))
            if download.error:
                lines.insert(0, (download.error, "error"))
        below = lines_html(lines, language)
    badges = [(message(badge[0]), badge[1])]
    use = item.use.say(language)
    return card_html(f'data-model="{item.name}"', item.name, use, badges, "", rows, below, language)


def card_html(
    data: str, title: str, more: str, badges: Sequence[Line], button: str, rows: Rows, below: str, language: str
) -> str:
    """data: an attribute that names the card; it, `button` and `below` are HTML. more: in small letters."""
    small = f" <small>{html.escape(more)}</small>" if more else ""
    marks = "".join(f'<span class="badge {kind}">{_html(words, language)}</span>' for words, kind in badges)
    cells = "".join(
        f"<div><dt>{_html(label, language)}</dt><dd>{_html(value, language)}</dd></div>" for label, value in rows
    )
    facts = f'<dl class="facts">{cells}</dl>' if rows else ""
    head = f"<header><h3>{html.escape(title)}{small}</h3>{marks}{button}</header>"
    return f'<article class="card" {data}>{head}{facts}{below}</article>'


def lacks_html(missing: Sequence[Message], language: str) -> str:
    """What a voice lacks, by the names below, and the whole sentences for those who want to bring it by hand."""
    sentences = lines_html([(each, "notice") for each in missing], language)
    items = lacking(missing)
    if not missing or len(items) != len(missing):
        return sentences
    line = lines_html([(message("voices.lack", models=[item.name for item in items]), "notice")], language)
    return f"{line}<details><summary>{_html(message('voices.by_hand'), language)}</summary>{sentences}</details>"


def lacking(missing: Sequence[Message]) -> list[Model]:
    """The models that Features.missing names; none for a folder of the owner's own."""
    commands = [str(each.facts.get("command", "")) for each in missing]
    return [item for command in commands for item in MODELS if f"python -m infer.models {item.name}" in command]


def notice_html(info: VoiceInfo, language: str) -> str:
    """Beside the controls: why this voice cannot speak, in a sentence, and a button to the model that it lacks."""
    missing = info.missing
    items = lacking(missing) if info.family else []
    if not items or len(items) != len(missing):
        return lines_html([(each, "notice") for each in missing], language)
    size = f"{sum(item.size for item in items) / 1e9:.1f} GB"
    line = message("voices.notice", voice=info.title, models=[item.name for item in items], size=size)
    bring = _html(message("voices.bring"), language)
    button = f'<button class="small-button" data-bring="{items[0].name}">{bring}</button>'
    return f'<p class="notice">{_html(line, language)} {button}</p>'


def download_html(download: Download, language: str) -> str:
    """A bar and a line: bytes, share, rate, time left."""
    done, total, rate = download.done, download.total, download.rate()
    share = done / total if total else 0.0
    steps = {
        "ask": message("voices.ask"),
        "check": message("voices.verify", share=share),
        "convert": message("voices.convert"),
    }
    if download.stopped.is_set():
        line = [message("voices.halting")]
    elif download.step in steps:
        line = [steps[download.step]]
    else:
        line = [
            message("voices.got", done=bytes_in_words(done), total=bytes_in_words(total), share=share),
            message("voices.speed", rate=bytes_in_words(rate)),
        ]
        if rate >= 1:
            line.append(message("voices.left", time=time_in_words((total - done) / rate)))
    shares = download.step in ("fetch", "check") and total
    bar = f'<progress max="1" value="{share:.4f}"></progress>' if shares else "<progress></progress>"
    return f'{bar}<p class="progress">{"".join(f"<span>{_html(part, language)}</span>" for part in line)}</p>'


def time_in_words(seconds: float) -> Message:
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return message("voices.hours", hours=minutes // 60, minutes=minutes % 60)
    return (
        message("voices.minutes", minutes=minutes, seconds=rest) if minutes else message("voices.seconds", seconds=rest)
    )


def _html(line: Any, language: str) -> str:
    return html.escape(sentence(line, language))


# --- the tab ----------------------------------------------------------------------------------------------------------


def voices_tab(
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
    handlers = VoicesTab(engine, rescan, len(speaking))
    with gr.Row(elem_classes="section"):
        gr.HTML(i18n("voices"), html_template="<h2>${value}</h2>")
        refresh = gr.Button(i18n("refresh"), elem_id="refresh", size="sm", scale=0, min_width=90)
    voices = panel("${value}", "voices.js", elem_id="voices")
    with gr.Row(elem_classes="section"):
        gr.HTML(i18n("models"), html_template="<h2>${value}</h2>")
    refused = gr.HTML(js_on_load=None, visible=not may_fetch(engine.settings), elem_id="refused")
    rows: list[Any] = []
    hidden: dict[str, Any] = {"size": "sm", "scale": 0, "min_width": 110, "visible": False}
    for item in handlers.items:
        with gr.Row(elem_id=f"model-{item.name}", elem_classes="model"):
            rows.append(gr.HTML(js_on_load=None, scale=1))
            rows += [gr.Button("", **hidden, elem_classes=kind) for kind in ("fetch", "halt")]
    timer, arrived = gr.Timer(TICK, active=False), gr.State(0)
    changing = [voices, *speaking]
    everything = [*changing, *rows, timer, arrived]

    at_once = QUIET | {"queue": False}
    tab.select(handlers.open, voice, [*everything, refused], **at_once)
    refresh.click(handlers.refresh, voice, changing, **at_once)
    voices.click(handlers.check, None, voices, **QUIET, concurrency_limit=1)
    timer.tick(handlers.tick, [arrived, voice], everything, **at_once)
    for item, fetch, halt in zip(handlers.items, rows[1::3], rows[2::3], strict=True):
        for button, act in ((fetch, handlers.start), (halt, handlers.stop)):
            button.click(handlers.button(act, item), [arrived, voice], everything, **at_once)
