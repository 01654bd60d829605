"""The page: a table of controls, their layout, and thin handlers. The speaking itself is page/editor.py's.

python webui.py --port 7861 --device cpu --set max_characters=2000
"""

if __name__ == "__main__":  # the imports take seconds, in which Ctrl+C is no error either
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import json
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import MISSING, dataclass, fields
from functools import partial
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from infer import log
from infer.ending import Interrupted, end_work, leave, listen
from infer.engine import selftest
from infer.engine.catalogue import BrokenVoice, VoiceInfo
from infer.engine.pipeline import Engine
from infer.files import TemporaryFolder, clear_away
from infer.request import MissingFiles, SpeechError, SpeechRequest, help_of
from infer.settings import Settings, SettingsError, load_settings

with warnings.catch_warnings():  # an audio package that Gradio imports and this page never uses asks for ffmpeg
    warnings.simplefilter("ignore")
    import gradio as gr
    from starlette.middleware import Middleware

    from page import batch, device, editor, glossary, language_of, private, sample, shelf, signin, voices
    from page.early import Early
    from page.files import TEMPORARY, Files
    from page.guard import Contract, Guard, loopback
    from page.sample import Samples
    from page.studio import EMOTIONS, PROMPTS, Studio

ASSETS = Path(__file__).resolve().parent / "page"
SESSION = """
const tell = () => {
  window.listener = props.value?.listener;
  window.studio?.arrive();
};
watch("value", tell);
tell();
"""
SESSIONS = 256  # open pages whose state is kept, 130 kB each; Gradio alone keeps 10,000
SHORTCUTS = {"host": "host", "port": "webui.port", "device": "webui.device"}


@dataclass(frozen=True)
class Control:
    """One option of SpeechRequest on the page; range, default and help come from the option itself."""

    name: str
    zh: str
    en: str
    advanced: bool = False
    help: bool = True  # False: the label says it all


CONTROLS = (
    Control("text", "文字", "Text"),
    Control("voice", "音色", "Voice"),
    Control("speaker", "说话人", "Speaker"),
    Control("emotion", "情感", "Emotion"),
    Control("speed", "语速", "Speed"),
    Control("seed", "随机种子", "Seed"),
    Control("emotion_strength", "情感强度", "Strength of the emotion", advanced=True),
    Control("emotion_b", "第二种情感", "Second emotion", advanced=True),
    Control("emotion_mix", "第二种情感的比例", "Share of the second emotion", advanced=True, help=False),
    Control("sdp_ratio", "节奏活跃度（SDP）", "Lively rhythm (SDP ratio)", advanced=True),
    Control("noise", "声音变化（noise）", "Sound variation (noise)", advanced=True),
    Control("noise_w", "节奏变化（noise_w）", "Rhythm variation (noise_w)", advanced=True),
    Control("length", "时长倍率（length）", "Length", advanced=True),
    Control("pause", "句间停顿（秒）", "Pause between sentences (s)", advanced=True, help=False),
    Control("paragraph_pause", "段间停顿（秒）", "Pause between paragraphs (s)", advanced=True, help=False),
    Control("readings", "指定读音", "Readings", advanced=True),
    Control("style_text", "辅助文本", "Style text", advanced=True),
    Control("style_weight", "辅助文本权重", "Weight of the style text", advanced=True, help=False),
)
OPTIONS = {option.name: option for option in fields(SpeechRequest)}

WORDS = {  # key -> Chinese, English
    "title": ("中文语音合成", "Chinese speech"),
    "placeholder": (
        "在这里输入要说的话……（Ctrl + Enter 朗读）",
        "Type what to say, in Chinese … (Ctrl + Enter speaks)",
    ),
    "emotion.help": ("可选，也可以自己写", "pick one, or write your own"),
    "speak": ("朗读", "Speak"),
    "stop": ("停止", "Stop"),
    "reroll": ("换一个", "New seed"),
    "advanced": ("高级设置", "Advanced"),
    "examples": ("试试：", "Try:"),
    "tab.batch": ("批量", "Batch"),
    "tab.projects": ("项目", "Projects"),
    "tab.device": ("设备", "Device"),
}
TITLE = {  # for title.js: key -> Chinese, English
    "language": ("English", "中文"),
    "look": ("深色或浅色", "Dark or light"),
    "leave": ("退出登录", "Sign out"),
}
EXAMPLES = (  # what each shows, and the text
    ("多音字", "Polyphones", "银行行长说，长大以后要去重庆和长城。他觉得睡觉很重要，音乐让人快乐。"),
    ("数字", "Numbers", "2024年3月5日，气温是-3.5℃，他花了128元买了2本书。"),
    ("诗", "A poem", "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。"),
    (
        "短文",
        "A story",
        "春天来了。小河解冻了，柳树发芽了，孩子们脱下厚厚的棉衣，跑到田野里放风筝。\n"
        "“你看，我的飞得最高！”弟弟一边跑一边喊。奶奶坐在门口，笑着说：“慢点儿，别摔着！”",
    ),
)


class Page:
    """The handlers around the editor: which voices there are, and what the controls offer for one."""

    def __init__(self, engine: Engine, studio: Studio) -> None:
        self.engine = engine
        self.studio = studio
        self.voices = engine.voices()
        self.listeners: dict[str, str] = {}  # by Gradio's session: the name that the editor goes by

    def info(self, voice: str | None) -> VoiceInfo:
        """What is known of a voice, also of one that another listener's refreshing has shown to be gone."""
        gone = (f"The voice {voice!r} is gone; choose another.", f"音色 {voice!r} 已不在，请另选一个。")
        return self.voices.get(voice) or VoiceInfo(voice or "", voice or "", (), (), 0, (gone,))

    def chosen(self, voice: str | None) -> str | None:
        """The voice, while it is there; else the one that a new listener gets."""
        return next((v for v in (voice, self.engine.default_voice, *self.voices) if v in self.voices), None)

    def visit(self, voice: str, request: gr.Request) -> tuple[Any, ...]:
        """A page has been opened: who listens, and the voices as last looked for."""
        listener = self.listeners.setdefault(request.session_hash, token_urlsafe(16))
        while len(self.listeners) > SESSIONS:  # a page that was never closed: what it says now, it says as a stranger
            del self.listeners[next(iter(self.listeners))]
        return {"listener": listener}, *self.offer(voice, request)

    def offer(self, voice: str, request: gr.Request) -> tuple[Any, ...]:
        chosen = self.chosen(voice)
        return gr.Dropdown(choices=self.choices(), value=chosen), *self.arrive(chosen, request)

    def rescan(self, voice: str, request: gr.Request) -> tuple[Any, ...]:
        """Voices or models have come or gone: the list of voices, and what the chosen one lacks now.

        A listener whose voice is still there keeps all that was chosen.
        """
        with suppress(SpeechError):  # the other tab says it
            self.voices = self.engine.voices()
        voices, *rest, missing = self.offer(voice, request)
        if self.chosen(voice) == voice:
            rest = [gr.Dropdown(choices=list(self.info(voice).speakers)), gr.skip()]
        return voices, *rest, missing

    def choices(self) -> list[tuple[str, str]]:
        return [(info.title, info.id) for info in self.voices.values()]

    def arrive(self, voice: str, request: gr.Request) -> tuple[Any, Any, Any]:
        """For a voice, and the listener's language: its speakers, its emotions, and what it lacks."""
        info, language = self.info(voice), language_of(request)
        return (
            gr.Dropdown(choices=list(info.speakers), value=next(iter(info.speakers), None)),
            gr.Dropdown(choices=self.emotions(info, language), value=""),
            gr.HTML(voices.notice_html(info, language), visible=bool(info.missing)),
        )

    def emotions(self, info: VoiceInfo, language: int) -> list[tuple[str, str]]:
        """What an emotion is called, and its prompt; the first needs none."""
        known = EMOTIONS | PROMPTS
        names = info.emotions or tuple(known)
        return [(known.get(n, (n, n))[language], "" if n == names[0] else n) for n in names]

    def apply(self, wanted: str, request: gr.Request) -> list[Any]:
        """The controls set as a project or a recipe says, {option: value}; what it does not say has its default.

        What no page would say changes nothing.
        """
        try:
            said = json.loads(wanted)  # a preset's `sample` is no control, and the browser's own
            values = defaults() | {name: said[name] for name in said if name != "sample"}
            SpeechRequest.from_dict(values)
        except (ValueError, TypeError, SpeechError):
            return [gr.skip() for _ in CONTROLS[1:]]
        info, language = self.info(self.chosen(values["voice"])), language_of(request)
        choices = {
            "voice": self.choices(),
            "speaker": list(info.speakers),
            "emotion": self.emotions(info, language),
        }
        values |= {"voice": self.chosen(values["voice"]), "speaker": values["speaker"] or next(iter(info.speakers), "")}
        if info.emotions and values["emotion"] == info.emotions[0]:
            values["emotion"] = ""
        return [
            gr.Dropdown(choices=choices[c.name], value=values[c.name]) if c.name in choices else values[c.name]
            for c in CONTROLS[1:]
        ]

    def leave(self, request: gr.Request) -> None:
        """The tab was closed."""
        if listener := self.listeners.pop(request.session_hash, None):
            self.studio.leave(listener)


def defaults() -> dict[str, Any]:
    """The options that have a control, the text first."""
    return {c.name: "" if OPTIONS[c.name].default is MISSING else OPTIONS[c.name].default for c in CONTROLS}


def component(control: Control, page: Page, i18n: gr.I18n) -> gr.components.Component:
    """The control's part of the page, made from its option of SpeechRequest."""
    option = OPTIONS[control.name]
    low, high = option.metadata.get("low"), option.metadata.get("high")
    shown: dict[str, Any] = {"label": i18n(control.name), "elem_id": control.name}
    if control.name == "text":
        return gr.Textbox(**shown, placeholder=i18n("placeholder"), lines=5, max_lines=10, autofocus=True)
    if control.name == "voice":
        return gr.Dropdown(page.choices(), value=page.engine.default_voice, **shown)
    if control.name == "speaker":
        return gr.Dropdown([], allow_custom_value=True, info=i18n("speaker.help"), **shown)
    if control.name == "emotion":
        return gr.Dropdown([], value="", allow_custom_value=True, info=i18n("emotion.help"), **shown)
    if control.name == "seed":
        return gr.Number(option.default, precision=0, min_width=120, **shown)
    if control.help:
        shown["info"] = i18n(f"{control.name}.help")
    if low is None:
        return gr.Textbox(option.default, **shown)
    return gr.Slider(low, high, option.default, step=option.metadata["step"], **shown)


def translations() -> gr.I18n:
    pairs = WORDS | voices.WORDS
    for control in CONTROLS:
        pairs[control.name] = (control.zh, control.en)
        pairs.setdefault(f"{control.name}.help", help_of(OPTIONS[control.name]).pair)
    pairs |= {f"example.{i}": example[:2] for i, example in enumerate(EXAMPLES)}
    chinese, english = ({key: pair[i] for key, pair in pairs.items()} for i in (0, 1))
    return gr.I18n(**{"zh": chinese, "zh-CN": chinese, "zh-TW": chinese, "en": english})


def build(engine: Engine, files: Files) -> gr.Blocks:
    """The page of an engine; `launch` serves it."""
    settings, samples, i18n = engine.settings, Samples(), translations()
    studio = Studio(engine, files, samples)
    page = Page(engine, studio)
    with gr.Blocks(analytics_enabled=False, title="Bert-VITS2") as blocks:
        gr.HTML(
            i18n("title"),
            html_template="<h1>Bert-VITS2 <small>${value}</small></h1><div></div>",
            js_on_load=(ASSETS / "title.js").read_text(encoding="utf-8"),
            words=TITLE,
            password=bool(settings.user),
            apply_default_css=False,
            elem_id="title",
        )
        session = gr.HTML(html_template="", js_on_load=SESSION, elem_id="session")
        wanted = gr.Textbox(visible="hidden", elem_id="wanted")
        apply = gr.Button(visible="hidden", elem_id="apply")
        shelf.listen(settings)
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab(i18n("tab.speak"), id="speak", elem_id="tab-speak"), gr.Row(elem_id="columns"):
                with gr.Column(scale=3, min_width=320):
                    parts = {"text": component(CONTROLS[0], page, i18n)}
                    with gr.Row(elem_id="examples"):
                        gr.HTML(i18n("examples"), min_width=0)
                        examples = [
                            gr.Button(i18n(f"example.{i}"), size="sm", min_width=0) for i in range(len(EXAMPLES))
                        ]
                    with gr.Row(elem_id="buttons"):
                        speak = gr.Button(i18n("speak"), variant="primary", elem_id="speak", scale=3)
                        stop = gr.Button(i18n("stop"), elem_id="stop", scale=1, min_width=80)
                    editor.component(studio, defaults())
                with gr.Column(scale=2, min_width=300, elem_id="controls"):
                    missing = gr.HTML(js_on_load=voices.TO_MODEL, visible=False, elem_id="missing")
                    for control in CONTROLS[1:]:
                        if not control.advanced and control.name != "seed":
                            parts[control.name] = component(control, page, i18n)
                    with gr.Row(elem_id="seeds"):
                        parts["seed"] = component(CONTROLS[5], page, i18n)
                        reroll = gr.Button(i18n("reroll"), elem_id="reroll", min_width=90, scale=0)
                    with gr.Accordion(i18n("advanced"), open=False, elem_id="advanced"):
                        for control in CONTROLS:
                            if control.advanced:
                                parts[control.name] = component(control, page, i18n)
                            if control.name == "emotion_strength":
                                sample.component(samples)
            with gr.Tab(i18n("tab.batch"), id="batch", elem_id="tab-batch"):
                batch.build(engine, files, samples)
            with gr.Tab(i18n("tab.projects"), id="projects", elem_id="tab-projects"):
                shelf.build()
                glossary.build(settings)
            with gr.Tab(i18n("tab.voices"), id="voices", elem_id="tab-voices") as tab:
                for_voice = [parts["speaker"], parts["emotion"], missing]
                voices.build(engine, i18n, tab, parts["voice"], page.rescan, [parts["voice"], *for_voice])
            with gr.Tab(i18n("tab.device"), id="device", elem_id="tab-device"):
                device.build(engine)

        controls = [parts[control.name] for control in CONTROLS]
        # preprocess: Gradio takes a voice for an error that it has not offered to this page; ours is looked up.
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "queue": False}
        quiet |= {"preprocess": False}
        # Every click counts, also one that comes while the last is still being served.
        always = quiet | {"trigger_mode": "multiple"}
        speak.click(None, controls, None, js="(...values) => { window.studio.speak(values) }", **always)
        stop.click(None, None, None, js="() => { window.studio.stop() }", **always)
        gr.on(
            [part.change for part in controls],
            None,
            controls,
            None,
            js="(...values) => { window.studio?.controls(values) }",
            **always,
        )
        blocks.load(page.visit, parts["voice"], [session, parts["voice"], *for_voice], **always).then(
            None, controls, None, js="(...values) => { window.studio?.controls(values) }"
        )
        parts["voice"].input(page.arrive, parts["voice"], for_voice, **always)
        apply.click(page.apply, wanted, controls[1:], js="() => window.studio.wanted", **always).then(
            None, controls, None, js="(...values) => { window.studio.applied(values) }"
        )
        reroll.click(None, None, parts["seed"], js="() => Math.floor(Math.random() * 2 ** 32)")
        for button, example in zip(examples, EXAMPLES, strict=True):
            button.click(None, None, parts["text"], js=f"() => {json.dumps(example[2])}")
        blocks.unload(page.leave)
    return blocks


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
    parser = argparse.ArgumentParser(prog="webui.py", description="Open the page in a browser to type and listen.")
    parser.add_argument("--config", type=Path, help="settings file (config.yml)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting: webui.device=cpu")
    for name, path in SHORTCUTS.items():
        parser.add_argument(f"--{name}", help=f"short for --set {path}=…")
    arguments = parser.parse_args(argv)
    shortcuts = [f"{path}={getattr(arguments, name)}" for name, path in SHORTCUTS.items() if getattr(arguments, name)]
    try:
        settings = load_settings(arguments.config, [*arguments.set, *shortcuts])
        log.set_up(settings.webui.debug)
        serve(settings)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except SpeechError as error:
        print(error, file=sys.stderr)
        return 1
    except Interrupted as told:
        return told.code if told.code == 130 else 0  # a service manager asks for it: that is no failure
    return 0


def serve(settings: Settings) -> None:
    """Loads, says what was loaded, and serves until interrupted. Raises SpeechError."""
    if bool(settings.user) != bool(settings.password):
        raise SettingsError("user and password belong together; set both, or neither.", "user 与 password 须同时设置。")
    began = time.perf_counter()
    engine = Engine(settings)
    if engine.device.note:
        print(engine.device.note)
    try:
        voice = engine.load()
        for _ in engine.stream(SpeechRequest("你好。")):  # so that the first listener does not wait for it
            pass
        print(
            f"Voice {voice.id} ({voice.config.variant.name}, {len(voice.speakers)} speakers) on {engine.device.name}, "
            f"ready after {time.perf_counter() - began:.1f} s"
        )
        if selftest.is_due(engine):
            print(selftest.check(engine).sentence)
    except (MissingFiles, BrokenVoice) as error:
        print(error)  # the page says it too, and other voices may do without
    port, host = settings.webui.port, settings.host
    clear_away(TEMPORARY)
    files = Files()
    with TemporaryFolder(TEMPORARY) as folder, closing(files):
        os.environ["GRADIO_TEMP_DIR"] = folder
        blocks = build(engine, files)
        try:
            launch(blocks, files, settings)
        except OSError as error:
            raise SpeechError(
                f"Port {port} on {host} cannot be used, perhaps since another program has it; "
                f"choose one with: python webui.py --port {port + 1}",
            ) from error
        print(f"Page: {blocks.local_url} (Ctrl+C ends it)", flush=True)
        if not loopback(host) and not settings.user:
            print("Every machine that reaches this one can use the page; set user and password to ask for both.")
        try:
            threading.Event().wait()
        finally:
            end_work(0)  # first of all: the server waits for the answers that it owes
            blocks.close(verbose=False)
            end_work()


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
    app.middleware_stack = Guard(app.middleware_stack, Contract(blocks), allowed, *([loopback] if alone else []))
    yield


if __name__ == "__main__":
    listen()
    leave(main())
