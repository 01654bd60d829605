"""The page: a table of controls, their layout, and thin handlers. The speaking itself is page/studio.py's.

python webui.py --port 7861 --device cpu --set max_characters=2000
"""

if __name__ == "__main__":  # the imports take seconds, in which Ctrl+C is no error either
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)

import json
import logging
import os
import threading
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import MISSING, fields
from functools import partial
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from infer.cli import Parser, exit_code, local, settings_of
from infer.documents.project import MOST_TAKES
from infer.ending import end_work, leave, listen
from infer.engine import selftest
from infer.engine.catalogue import BrokenVoice, VoiceInfo
from infer.engine.pipeline import Engine
from infer.files import Recent, TemporaryFolder, clear_away
from infer.request import MissingFiles, SpeechError, SpeechRequest, help_of
from infer.settings import Settings, SettingsError
from words import LANGUAGES, message, pairs

with warnings.catch_warnings():  # an audio package that Gradio imports and this page never uses asks for ffmpeg
    warnings.simplefilter("ignore")
    import gradio as gr
    from starlette.middleware import Middleware

    from page import (
        QUIET,
        batch,
        device,
        glossary,
        language_of,
        panel,
        private,
        sample,
        shelf,
        signin,
        voices,
    )
    from page.early import Early
    from page.files import TEMPORARY, Files
    from page.guard import Contract, Guard, loopback
    from page.sample import Samples
    from page.studio import FORMATS, Studio

ASSETS = Path(__file__).resolve().parent / "page"
TELL_CONTROLS = "(...values) => { window.studio?.controls(values) }"
# Every click counts, also one that comes while the last is still being served.
AT_ONCE = QUIET | {"queue": False, "trigger_mode": "multiple"}
SESSIONS = 256  # open pages whose state is kept, 130 kB each; Gradio alone keeps 10,000
SHORTCUTS = {"host": "host", "port": "webui.port", "device": "webui.device"}
ADVANCED = (
    *("emotion_strength", "emotion_b", "emotion_mix", "sdp_ratio", "noise", "noise_w", "length", "pause"),
    *("paragraph_pause", "readings", "style_text", "style_weight"),
)
# Options of SpeechRequest on the page, in order; range, default and help come from the options themselves.
CONTROLS = ("text", "voice", "speaker", "emotion", "speed", "seed", *ADVANCED)
PLAIN = frozenset(("emotion_mix", "pause", "paragraph_pause", "style_weight"))  # their labels say it all
OPTIONS = {option.name: option for option in fields(SpeechRequest)}
EXAMPLES = {  # what each shows, and the text
    "example_polyphones": "银行行长说，长大以后要去重庆和长城。他觉得睡觉很重要，音乐让人快乐。",
    "example_figures": "2024年3月5日，气温是-3.5℃，他花了128元买了2本书。",
    "example_poem": "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。",
    "example_story": "春天来了。小河解冻了，柳树发芽了，孩子们脱下厚厚的棉衣，跑到田野里放风筝。\n"
    "“你看，我的飞得最高！”弟弟一边跑一边喊。奶奶坐在门口，笑着说：“慢点儿，别摔着！”",
}


class Page:
    """The handlers around the editor: which voices there are, and what the controls offer for one."""

    def __init__(self, engine: Engine, studio: Studio) -> None:
        self.engine = engine
        self.studio = studio
        self.voices = engine.voices()
        # By Gradio's session the name that the editor goes by. A forgotten one is a page that was never closed: what
        # it says then, it says as a stranger.
        self.listeners: Recent[str, str] = Recent(SESSIONS)

    def info(self, voice: str | None) -> VoiceInfo:
        """What is known of a voice, also of one that another listener's refreshing has shown to be gone."""
        gone = message("voices.gone", voice=voice)
        return self.voices.get(voice or "") or VoiceInfo(voice or "", voice or "", (), (), 0, (gone,))

    def available(self, voice: str | None) -> str | None:
        """The voice, while it is there; else the one that a new listener gets."""
        return next((v for v in (voice, self.engine.default_voice, *self.voices) if v in self.voices), None)

    def visit(self, voice: str, request: gr.Request) -> tuple[Any, ...]:
        """A page has been opened: who listens, and the voices as last looked for."""
        listener = self.listeners.get(str(request.session_hash)) or token_urlsafe(16)
        self.listeners.put(str(request.session_hash), listener)
        return {"listener": listener}, *self.offer(voice, request)

    def offer(self, voice: str, request: gr.Request) -> tuple[Any, ...]:
        voice_or_default = self.available(voice)
        return gr.Dropdown(choices=self.choices(), value=voice_or_default), *self.arrive(voice_or_default, request)

    def rescan(self, voice: str, request: gr.Request) -> tuple[Any, ...]:
        """Voices or models have come or gone: the list of voices, and what the chosen one lacks now.

        A listener whose voice is still there keeps all that was chosen.
        """
        with suppress(SpeechError):  # the other tab says it
            self.voices = self.engine.voices()
        voices, *rest, missing = self.offer(voice, request)
        if self.available(voice) == voice:
            rest = [gr.Dropdown(choices=list(self.info(voice).speakers)), gr.skip()]
        return voices, *rest, missing

    def choices(self) -> list[tuple[str, str]]:
        return [(info.title, info.id) for info in self.voices.values()]

    def arrive(self, voice: str | None, request: gr.Request) -> tuple[Any, Any, Any]:
        """For a voice, and the listener's language: its speakers, its emotions, and what it lacks."""
        info, language = self.info(voice), language_of(request)
        return (
            gr.Dropdown(choices=list(info.speakers), value=next(iter(info.speakers), None)),
            gr.Dropdown(choices=self.emotions(info, language), value=""),
            gr.HTML(voices.notice_html(info, language), visible=bool(info.missing)),
        )

    def emotions(self, info: VoiceInfo, language: str) -> list[tuple[str, str]]:
        """What an emotion is called, and its prompt; the first needs none."""
        labels = pairs("emotions")
        names = info.emotions or tuple(labels)
        place = LANGUAGES.index(language)
        return [(labels.get(name, (name, name))[place], "" if name == names[0] else name) for name in names]

    def apply(self, recipe: str, request: gr.Request) -> list[Any]:
        """The controls set as a project or a recipe says, {option: value}; what it does not say has its default.

        What no page would say changes nothing.
        """
        try:
            values = json.loads(recipe)  # a preset's `sample` is no control, and the browser's own
            values = defaults() | {name: values[name] for name in values if name != "sample"}
            SpeechRequest.from_dict(values)
        except (ValueError, TypeError, SpeechError):
            return [gr.skip() for _ in CONTROLS[1:]]
        info, language = self.info(self.available(values["voice"])), language_of(request)
        choices: dict[str, Any] = {
            "voice": self.choices(),
            "speaker": list(info.speakers),
            "emotion": self.emotions(info, language),
        }
        values |= {
            "voice": self.available(values["voice"]),
            "speaker": values["speaker"] or next(iter(info.speakers), ""),
        }
        if info.emotions and values["emotion"] == info.emotions[0]:
            values["emotion"] = ""
        return [
            gr.Dropdown(choices=choices[name], value=values[name]) if name in choices else values[name]
            for name in CONTROLS[1:]
        ]

    def leave(self, request: gr.Request) -> None:
        """The tab was closed."""
        if listener := self.listeners.get(str(request.session_hash)):
            self.listeners.remove(str(request.session_hash))
            self.studio.leave(listener)


def defaults() -> dict[str, Any]:
    """The options that have a control, the text first."""
    return {name: "" if OPTIONS[name].default is MISSING else OPTIONS[name].default for name in CONTROLS}


def component(name: str, page: Page, i18n: gr.I18n) -> gr.components.Component:
    """A control, made from its option of SpeechRequest."""
    value: Any = OPTIONS[name].default
    limits = OPTIONS[name].metadata
    options: dict[str, Any] = {"label": i18n(name), "elem_id": name}
    if name == "text":
        return gr.Textbox(**options, placeholder=i18n("placeholder"), lines=5, max_lines=10, autofocus=True)
    if name == "voice":
        return gr.Dropdown(page.choices(), value=page.engine.default_voice, **options)
    if name == "speaker":
        return gr.Dropdown([], allow_custom_value=True, info=i18n("speaker.help"), **options)
    if name == "emotion":
        return gr.Dropdown([], value="", allow_custom_value=True, info=i18n("emotion_help"), **options)
    if name == "seed":
        return gr.Number(value, precision=0, min_width=120, **options)
    if name not in PLAIN:
        options["info"] = i18n(f"{name}.help")
    if limits["low"] is None:
        return gr.Textbox(value, **options)
    return gr.Slider(limits["low"], limits["high"], value, step=limits["step"], **options)


def translations() -> gr.I18n:
    helps = {f"{name}.help": help_of(OPTIONS[name]).pair for name in CONTROLS}
    labels = pairs("page") | pairs("controls") | helps
    chinese, english = ({key: pair[i] for key, pair in labels.items()} for i in (0, 1))
    return gr.I18n(**{"zh": chinese, "zh-CN": chinese, "zh-TW": chinese, "en": english})


def lay_out(engine: Engine, files: Files) -> gr.Blocks:
    """The page of an engine; `launch` serves it."""
    settings, samples, i18n = engine.settings, Samples(), translations()
    page = Page(engine, Studio(engine, files, samples))
    with gr.Blocks(analytics_enabled=False, title="Bert-VITS2") as blocks:
        panel(
            "<h1>Bert-VITS2 <small>${value}</small></h1><div></div>",
            "title.js",
            value=i18n("title"),
            words=pairs("title"),
            password=bool(settings.user),
            apply_default_css=False,
            elem_id="title",
        )
        session = panel("", "session.js", elem_id="session")
        recipe = gr.Textbox(visible="hidden", elem_id="wanted")
        apply = gr.Button(visible="hidden", elem_id="apply")
        shelf.shelf_ears(settings)
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab(i18n("tab_speak"), id="speak", elem_id="tab-speak"):
                parts = speak_tab(page, samples, i18n)
            with gr.Tab(i18n("tab_batch"), id="batch", elem_id="tab-batch"):
                batch.build(engine, files, samples)
            with gr.Tab(i18n("tab_projects"), id="projects", elem_id="tab-projects"):
                shelf.shelf_panel()
                glossary.glossary_panel(settings)
            with gr.Tab(i18n("tab_voices"), id="voices", elem_id="tab-voices") as tab:
                speaking = [parts[name] for name in ("voice", "speaker", "emotion", "missing")]
                voices.voices_tab(engine, i18n, tab, parts["voice"], page.rescan, speaking)
            with gr.Tab(i18n("tab_device"), id="device", elem_id="tab-device"):
                device.device_panel(engine)

        controls = connect(page, parts)
        blocks.load(page.visit, parts["voice"], [session, *speaking], **AT_ONCE).then(
            None, controls, None, js=TELL_CONTROLS
        )
        apply.click(page.apply, recipe, controls[1:], js="() => window.studio.wanted", **AT_ONCE).then(
            None, controls, None, js="(...values) => { window.studio.applied(values) }"
        )
        blocks.unload(page.leave)
    return blocks


def speak_tab(page: Page, samples: Samples, i18n: gr.I18n) -> dict[str, Any]:
    """Where a text is written and spoken. Returns its parts by name, a control by its option's."""
    parts: dict[str, Any] = {}

    def add(name: str) -> None:
        parts[name] = component(name, page, i18n)

    with gr.Row(elem_id="columns"):
        with gr.Column(scale=3, min_width=320):
            add("text")
            with gr.Row(elem_id="examples"):
                gr.HTML(i18n("examples"), min_width=0)
                for name, text in EXAMPLES.items():
                    example = gr.Button(i18n(name), size="sm", min_width=0)
                    example.click(None, None, parts["text"], js=f"() => {json.dumps(text)}")
            with gr.Row(elem_id="buttons"):
                parts["speak"] = gr.Button(i18n("speak"), variant="primary", elem_id="speak", scale=3)
                parts["stop"] = gr.Button(i18n("stop"), elem_id="stop", scale=1, min_width=80)
            panel(
                '<div class="editor"></div>',
                *("look.js", "player.js", "cards.js", "editor.js"),  # window.studio
                functions=page.studio.functions(),
                words=pairs("editor") | pairs("picture"),
                options=list(defaults().items()),
                formats=list(FORMATS),
                most_takes=MOST_TAKES,
                apply_default_css=False,
                elem_id="editor",
            )
        with gr.Column(scale=2, min_width=300, elem_id="controls"):
            parts["missing"] = panel("${value}", "missing.js", visible=False, elem_id="missing")
            for name in ("voice", "speaker", "emotion", "speed"):
                add(name)
            with gr.Row(elem_id="seeds"):
                add("seed")
                reroll = gr.Button(i18n("reroll"), elem_id="reroll", min_width=90, scale=0)
                reroll.click(None, None, parts["seed"], js="() => Math.floor(Math.random() * 2 ** 32)")
            with gr.Accordion(i18n("advanced"), open=False, elem_id="advanced"):
                for name in ADVANCED:
                    add(name)
                    if name == "emotion_strength":
                        sample.component(samples)
    return parts


def connect(page: Page, parts: dict[str, Any]) -> list[gr.components.Component]:
    """The events of the tab where a text is spoken. Returns its controls, the text first."""
    controls = [parts[name] for name in CONTROLS]
    parts["speak"].click(None, controls, None, js="(...values) => { window.studio.speak(values) }", **AT_ONCE)
    parts["stop"].click(None, None, None, js="() => { window.studio.stop() }", **AT_ONCE)
    gr.on([part.change for part in controls], None, controls, None, js=TELL_CONTROLS, **AT_ONCE)
    for_voice = [parts["speaker"], parts["emotion"], parts["missing"]]
    parts["voice"].input(page.arrive, parts["voice"], for_voice, **AT_ONCE)
    return controls


def look() -> dict[str, Any]:
    """Theme, style and languages: arguments of launch(). Fonts are the system's own; nothing comes from elsewhere."""
    theme = gr.themes.Base(
        primary_hue="teal",
        neutral_hue="slate",
        radius_size="lg",
        font=["system-ui", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(  # enough contrast for small text, and for white on the accent
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_600",
        body_text_color_subdued="*neutral_500",
        block_info_text_color="*neutral_500",
        block_label_text_color="*neutral_600",
        block_title_text_color="*neutral_600",
        slider_color="*primary_600",
        input_background_fill="*neutral_50",
    )
    styles = [ASSETS / "style.css", ASSETS / "editor.css"]
    return {"theme": theme, "css_paths": styles, "i18n": translations(), "footer_links": []}


def main(argv: list[str] | None = None) -> int:
    def run() -> None:
        parser = Parser("webui.py", message("webui.description"))
        for name, path in SHORTCUTS.items():
            parser.flag(f"--{name}", message("webui.shortcut", setting=path))
        arguments = parser.parse_args(argv)
        shortcuts = {path: getattr(arguments, name) for name, path in SHORTCUTS.items()}
        arguments.set += [f"{path}={value}" for path, value in shortcuts.items() if value]
        serve(settings_of(arguments))

    code = exit_code(run)
    return 0 if code == 143 else code  # a service manager asks for it: that is no failure


def serve(settings: Settings) -> None:
    """Loads, says what was loaded, and serves until interrupted. Raises SpeechError."""
    if bool(settings.user) != bool(settings.password):
        raise SettingsError("webui.half_a_sign_in")
    engine = Engine(settings)
    if engine.device.note:
        print(local(engine.device.note))
    try:
        load(engine)
    except (MissingFiles, BrokenVoice) as error:
        print(local(error))  # the page says it too, and other voices may do without
    clear_away(TEMPORARY)
    files = Files()
    with TemporaryFolder(TEMPORARY) as folder, closing(files):
        os.environ["GRADIO_TEMP_DIR"] = folder
        blocks = lay_out(engine, files)
        port, host = settings.webui.port, settings.host
        try:
            launch(blocks, files, settings)
        except OSError as error:
            raise SpeechError("webui.port_taken", port=port, host=host, other=port + 1) from error
        print(local(message("webui.address", address=blocks.local_url)), flush=True)
        if not loopback(host) and not settings.user:
            print(local(message("webui.open_to_all")))
        try:
            threading.Event().wait()
        finally:
            end_work(0)  # first of all: the server waits for the answers that it owes
            blocks.close(verbose=False)
            end_work()


def load(engine: Engine) -> None:
    """Has the default voice ready, so that the first listener does not wait for it. Raises SpeechError."""
    began = time.perf_counter()
    voice = engine.load()
    for _ in engine.speak([SpeechRequest("你好。")]):
        pass
    about = {"voice": voice.id, "family": voice.config.variant.name, "count": len(voice.speakers)}
    seconds = time.perf_counter() - began
    print(local(message("webui.ready", **about, device=engine.device.name, seconds=seconds)))
    if selftest.is_due(engine):
        print(local(selftest.check(engine).sentence))


def launch(blocks: gr.Blocks, files: Files, settings: Settings) -> None:
    """Serves a page in the background, with the files that it makes. Raises OSError when the port is taken."""
    host = settings.host.strip("[]")
    blocks.queue(max_size=64).launch(
        server_name=f"[{host}]" if ":" in host else host,  # so that addresses made of it can be read
        server_port=settings.webui.port,
        share=settings.webui.share,
        auth=signin.Door(settings.user, settings.password) if settings.user else None,
        debug=False,
        quiet=True,
        run_history=False,
        enable_monitoring=False,
        prevent_thread_lock=True,
        state_session_capacity=SESSIONS,
        app_kwargs={
            "middleware": [Middleware(Early, script=(ASSETS / "early.js").read_text("utf-8"))],
            "lifespan": partial(guarded, blocks, settings),
        },
        **look(),
    )
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # not a line for all that is no HTTP
    files.mount(blocks.app, partial(signin.signed_in, blocks.app))
    signin.mount(blocks.app)


@asynccontextmanager
async def guarded(blocks: gr.Blocks, settings: Settings, app: Any) -> AsyncIterator[None]:
    """Puts the guard in front of all that Gradio has, its own middleware too, which may run only here.

    A page for this machine alone answers to no other name: else a site whose name is made to point here could speak
    with it from the listener's browser.
    """
    alone = private(settings) and not settings.user
    allowed = partial(signin.signed_in, app)
    app.middleware_stack = Guard(app.middleware_stack, Contract(blocks), allowed, loopback if alone else lambda _: True)
    yield


if __name__ == "__main__":
    listen()
    leave(main())
