"""The page: a table of controls, their layout, and thin handlers over Engine.stream.

python webui.py --port 7861 --device cpu --set max_characters=2000
"""

import argparse
import base64
import html
import json
import os
import re
import secrets
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from asyncio import sleep
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from pypinyin.contrib.tone_convert import to_tone

from infer import audio
from infer.pipeline import Engine
from infer.request import BadRequest, MissingFiles, Speech, SpeechError, SpeechRequest
from infer.settings import Settings, SettingsError, load_settings
from infer.voice import VoiceInfo
from text import Utterance

with warnings.catch_warnings():  # an audio package that Gradio imports and this page never uses asks for ffmpeg
    warnings.simplefilter("ignore")
    import gradio as gr

    from page import LOOPBACK, language_of, lines_html, voices

ASSETS = Path(__file__).resolve().parent / "page"
KEPT = 3600  # seconds that a finished file stays on disk for its listener
PATIENCE, POLL = 10.0, 0.02  # seconds: how long the player's question stays open, how often it is looked at
LISTENERS = 4  # speeches made at the same time; the others queue
SHORTCUTS = {"host": "host", "port": "webui.port", "device": "webui.device"}
PLAYER = '<div class="player" data-state="idle"><i></i><i></i><i></i><span class="player-time"></span></div>'


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
    Control("emotion_audio", "情感样本", "Emotion by sound", advanced=True, help=False),
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
    "whole": ("完整音频", "The whole speech"),
    "format": ("格式", "Format"),
    "download": ("下载 {0}", "Download {0}"),
    "preparing": ("准备中……", "Getting ready …"),
    "speaking": ("正在合成第 {0} / {1} 句", "Making sentence {0} of {1}"),
    "stopped": ("已停止。", "Stopped."),
    "finished": (
        "{0:.1f} 秒语音，用时 {1:.1f} 秒（实时率 {2:.2f}），{3:.2f} 秒后出声。",
        "{0:.1f} s of speech in {1:.1f} s (RTF {2:.2f}), first sound after {3:.2f} s.",
    ),
    "unexpected": (
        "出错了（{0}）。文字还在，请再试一次；仍不行请看终端里的说明。",
        "Something went wrong ({0}). Your text is still here: try again, or look into the terminal for the cause.",
    ),
}
STAGES = {
    "text": ("文本", "text"),
    "bert": ("BERT", "BERT"),
    "emotion": ("情感", "emotion"),
    "encode": ("编码", "encoder"),
    "flow": ("流", "flow"),
    "decode": ("解码", "decoder"),
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
LARGEST_UPLOAD = 20 << 20  # bytes
UNSURE = 0.8  # a reading with less confidence is marked
EMOTIONS = {  # prompt -> Chinese, English; a voice with emotions of its own shows those
    "neutral": ("平静", "neutral"),
    "happy": ("开心", "happy"),
    "sad": ("难过", "sad"),
    "angry": ("生气", "angry"),
    "surprised": ("惊讶", "surprised"),
    "fearful": ("害怕", "fearful"),
    "gentle": ("温柔", "gentle"),
    "excited": ("兴奋", "excited"),
}


@dataclass
class Run:
    """One speech of one listener: its pieces wait here for the player, and for another file format."""

    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    pieces: list[Speech] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)
    started: bool = False
    done: bool = False

    def samples(self, first: int = 0, end: int | None = None) -> np.ndarray:
        return np.concatenate([piece.samples for piece in self.pieces[first:end]])


class Page:
    """The handlers of one page; what a listener has going on is kept by Gradio's session, apart from all others."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.voices = engine.voices()
        self.runs: dict[str, Run] = {}

    def info(self, voice: str | None) -> VoiceInfo:
        """What is known of a voice, also of one that another listener's refreshing has shown to be gone."""
        gone = (f"The voice {voice!r} is gone; choose another.", f"音色 {voice!r} 已不在，请另选一个。")
        return self.voices.get(voice) or VoiceInfo(voice or "", voice or "", (), (), 0, (gone,))

    def chosen(self, voice: str | None) -> str | None:
        """The voice, while it is there; else the one that a new listener gets."""
        return next((v for v in (voice, self.engine.default_voice, *self.voices) if v in self.voices), None)

    def visit(self, voice: str, request: gr.Request) -> tuple[Any, ...]:
        """A page has been opened: the voices as last looked for, which may be others than when it was built."""
        chosen = self.chosen(voice)
        return gr.Dropdown(choices=self.choices(), value=chosen), *self.arrive(chosen, request)

    def rescan(self, voice: str, request: gr.Request) -> tuple[Any, ...]:
        """Voices or models have come or gone: the list of voices, and what the chosen one lacks now.

        A listener whose voice is still there keeps all that was chosen and heard.
        """
        with suppress(SpeechError):  # the other tab says it
            self.voices = self.engine.voices()
        voices, *rest, missing = self.visit(voice, request)
        if self.chosen(voice) == voice:
            rest = [gr.Dropdown(choices=list(self.info(voice).speakers)), gr.skip(), gr.skip()]
        return voices, *rest, missing

    def choices(self) -> list[tuple[str, str]]:
        return [(info.title, info.id) for info in self.voices.values()]

    def arrive(self, voice: str, request: gr.Request) -> tuple[Any, Any, Any, Any]:
        """For a voice, and the listener's language: its speakers, emotions, player settings and what it lacks."""
        info, language = self.info(voice), language_of(request)
        names = info.emotions or tuple(EMOTIONS)
        emotions = [(EMOTIONS.get(n, (n, n))[language], "" if n == names[0] else n) for n in names]
        return (
            gr.Dropdown(choices=list(info.speakers), value=next(iter(info.speakers), None)),
            gr.Dropdown(choices=emotions, value=""),
            {"run": None, "rate": info.sampling_rate},
            gr.HTML(lines_html([(pair[1 - language], "notice") for pair in info.missing]), visible=bool(info.missing)),
        )

    def begin(self, voice: str, request: gr.Request) -> dict[str, Any]:
        """Ends what this listener was hearing, and tells the player which speech comes next."""
        self.leave(request)
        run = self.runs[request.session_hash] = Run()
        return {
            "player": {"run": run.id, "rate": self.info(voice).sampling_rate},
            "state": state_html(word("preparing", request)),
            "readings": "",
            "whole": gr.Column(visible=False),
        }

    def speak(self, request: gr.Request, *inputs: Any) -> Iterator[dict[str, Any]]:
        """Speaks the controls' values (then the format of the file), and tells the page's parts by name."""
        run = self.runs.get(request.session_hash)
        if run is None or run.started:
            yield {}  # a later click has taken over; Gradio would take no answer at all for an empty page
            return
        run.started = True
        language, ending = language_of(request), {}
        try:
            for update in self._speak(run, self.request(inputs[:-1]), inputs[-1], language):
                if run.cancelled.is_set():
                    break
                yield update
        except SpeechError as error:
            ending["state"] = state_html((error.zh, str(error))[language], "error")
        except Exception as error:  # whatever it was, the listener's text stays and the page goes on
            traceback.print_exc()
            ending["state"] = state_html(WORDS["unexpected"][language].format(type(error).__name__), "error")
        finally:
            run.done = True
        if run.cancelled.is_set():  # said again, since an update on its way may have overtaken the button's answer
            ending["state"] = state_html(WORDS["stopped"][language])
        yield ending if self.runs.get(request.session_hash) is run else {}

    def _speak(self, run: Run, wanted: SpeechRequest, format: str, language: int) -> Iterator[dict[str, Any]]:
        began = time.perf_counter()
        first_sound, notices, readings, stages = 0.0, [], [], Counter()
        with closing(self.engine.stream(wanted, run.cancelled.is_set)) as pieces:
            for piece in pieces:
                if not run.pieces:
                    first_sound = time.perf_counter() - began
                run.pieces.append(piece)
                notices += [(pair[1 - language], "notice") for pair in piece.notices]
                if piece.sentence == len(readings):
                    readings.append(ruby_html(piece.utterance))
                    step = WORDS["speaking"][language].format(piece.sentence + 1, piece.sentences)
                    state = state_html(step, done=piece.sentence / piece.sentences)
                    yield {"state": state + lines_html(notices), "readings": "".join(readings)}
                if piece.last:
                    stages.update(piece.timings)
        if not run.pieces:
            return
        spent = time.perf_counter() - began
        seconds = sum(piece.duration for piece in run.pieces)
        summary = WORDS["finished"][language].format(seconds, spent, spent / seconds, first_sound)
        with tempfile.TemporaryDirectory() as folder:  # Gradio copies what it shows, and deletes it after KEPT seconds
            yield {
                "state": state_html(summary, "done") + stages_html(stages, language) + lines_html(notices),
                "whole": gr.Column(visible=True),
                "audio": str(file_of(run, "wav", Path(folder))),
                "download": download_button(run, format, Path(folder), language),
            }

    def request(self, values: Sequence[Any]) -> SpeechRequest:
        """The controls' values, in CONTROLS' order, as a request. Raises BadRequest."""
        chosen = {control.name: value for control, value in zip(CONTROLS, values, strict=True)}
        for name, value in chosen.items():
            if isinstance(OPTIONS[name].default, bytes):
                chosen[name] = _uploaded(value)
            elif isinstance(OPTIONS[name].default, float) and isinstance(value, int):
                chosen[name] = float(value)  # browsers write 1.0 as 1
            elif value is None and isinstance(OPTIONS[name].default, str):
                chosen[name] = ""
        return SpeechRequest(**chosen)

    def convert(self, format: str, request: gr.Request) -> Iterator[Any]:
        """The last speech as a file of another format."""
        run = self.runs.get(request.session_hash)
        if run is None or not run.done or not run.pieces:
            yield gr.skip()
            return
        with tempfile.TemporaryDirectory() as folder:
            yield download_button(run, format, Path(folder), language_of(request))

    async def pieces(self, ask: Sequence[Any]) -> dict[str, Any]:
        """For the player: [id of a run, number of pieces it has] -> the next ones, as 16-bit samples in base64.

        Waits until there is something to say. The id is known to its listener alone.
        """
        id, first = ask
        run = next((run for run in self.runs.values() if run.id == id), None)
        if run is None:
            return {"done": True}
        for _ in range(round(PATIENCE / POLL)):
            done, end = run.done, len(run.pieces)  # done before the count: what came between is asked for again
            if end > first or done or run.cancelled.is_set():
                break
            await sleep(POLL)
        if run.cancelled.is_set() or end <= first:
            return {"next": first, "done": done or run.cancelled.is_set()}
        pcm = base64.b64encode(audio.to_pcm16(run.samples(first, end)).astype("<i2").tobytes())
        return {"pcm": pcm.decode(), "rate": run.pieces[0].sampling_rate, "next": end, "done": done}

    def stop(self, request: gr.Request) -> dict[str, Any]:
        """Ends the making within a decoder window; the player has stopped the sound by itself."""
        run = self.runs.get(request.session_hash)
        if run is None or run.done:
            return {}
        run.cancelled.set()
        return {"state": state_html(word("stopped", request))}

    def leave(self, request: gr.Request) -> None:
        """Forgets what this listener was hearing: another speech takes its place, or the tab was closed."""
        if run := self.runs.pop(request.session_hash, None):
            run.cancelled.set()


def _uploaded(path: str | None) -> bytes:
    """Content of a file that Gradio has put into its own folder; no other path comes so far. Raises BadRequest."""
    if not path:
        return b""
    if Path(path).stat().st_size > LARGEST_UPLOAD:
        raise BadRequest(
            f"The sound file is larger than {LARGEST_UPLOAD >> 20} MB; cut a piece of some seconds out of it.",
            f"声音文件超过 {LARGEST_UPLOAD >> 20} MB；请截取几秒钟的一段。",
        )
    return Path(path).read_bytes()


def file_of(run: Run, format: str, folder: Path) -> Path:
    """The run's whole speech, written by the same code as the command line's, named after what is said."""
    request = run.pieces[0].request
    name = re.sub(r"\W+", "", request.text)[:16] or "speech"
    path = folder / f"{name}-{request.seed}.{format}"
    audio.write(path, run.samples(), run.pieces[0].sampling_rate, request)
    return path


def download_button(run: Run, format: str, folder: Path, language: int) -> gr.DownloadButton:
    """The button says which file it gives, so that a click right after another choice surprises nobody."""
    return gr.DownloadButton(WORDS["download"][language].format(format), value=str(file_of(run, format, folder)))


def word(key: str, request: gr.Request) -> str:
    return WORDS[key][language_of(request)]


def state_html(sentence: str, kind: str = "", done: float | None = None) -> str:
    """Where a speech stands, in a live region that screen readers speak; done: 0..1 shows a bar."""
    bar = "" if done is None else f'<progress max="1" value="{done:.3f}"></progress>'
    return f'<p class="state {kind}" role="{"alert" if kind == "error" else "status"}">{html.escape(sentence)}</p>{bar}'


def stages_html(stages: Mapping[str, float], language: int) -> str:
    """Seconds of each stage as one line."""
    names = {name: STAGES.get(name, (name, name))[language] for name in stages}
    parts = (f"<span>{html.escape(names[k])} <b>{v:.2f}</b></span>" for k, v in stages.items() if v >= 0.005)
    return f'<p class="stages">{"".join(parts)}</p>'


def ruby_html(utterance: Utterance) -> str:
    """A sentence with the pinyin that is spoken over each character.

    The dictionary's reading and the other possible ones show on hovering; unsure ones and approximations are marked.
    """
    cells = []
    for char in utterance.chars:
        if not char.reading:
            cells.append(html.escape(char.text))
            continue
        known = [to_tone(reading) for reading in (char.reading, *char.others)]
        title = f' title="{html.escape(" / ".join(known))}"' if known != [to_tone(char.spoken)] else ""
        if char.source == "approximation":
            title += ' class="approximation"'
        elif char.confidence < UNSURE:
            title += ' class="unsure"'
        cells.append(f"<ruby{title}>{html.escape(char.text)}<rt>{html.escape(to_tone(char.spoken))}</rt></ruby>")
    return f'<p class="reading" lang="zh">{"".join(cells)}</p>'


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
    if control.name == "emotion_audio":
        return gr.Audio(sources=["upload", "microphone"], type="filepath", **shown)
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
        pairs.setdefault(
            f"{control.name}.help", (OPTIONS[control.name].metadata["zh"], OPTIONS[control.name].metadata["en"])
        )
    pairs |= {f"example.{i}": example[:2] for i, example in enumerate(EXAMPLES)}
    chinese, english = ({key: pair[i] for key, pair in pairs.items()} for i in (0, 1))
    return gr.I18n(**{"zh": chinese, "zh-CN": chinese, "zh-TW": chinese, "en": english})


def build(engine: Engine) -> gr.Blocks:
    """The page of an engine; launch it with **look()."""
    page, i18n = Page(engine), translations()
    with gr.Blocks(analytics_enabled=False, title="Bert-VITS2", delete_cache=(KEPT // 4, KEPT)) as blocks:
        gr.HTML(i18n("title"), html_template="<h1>Bert-VITS2 <small>${value}</small></h1>", elem_id="title")
        with gr.Tabs(elem_id="tabs"):
            with (
                gr.Tab(i18n("tab.speak"), id="speak", elem_id="tab-speak"),
                gr.Row(elem_id="columns"),
            ):
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
                    player = gr.HTML(
                        html_template=PLAYER,
                        js_on_load=(ASSETS / "player.js").read_text(encoding="utf-8"),
                        server_functions=[_server_function(page)],
                        elem_id="player",
                    )
                    state = gr.HTML(js_on_load=None, elem_id="state")
                    with gr.Column(visible=False, elem_id="whole") as whole:
                        sound = gr.Audio(label=i18n("whole"), interactive=False, buttons=[], elem_id="audio")
                        with gr.Row(elem_id="files"):
                            format = gr.Radio(
                                list(audio.FORMATS),
                                value="wav",
                                show_label=False,
                                container=False,
                                elem_id="format",
                            )
                            download = gr.DownloadButton("", elem_id="download", size="md")
                    readings = gr.HTML(js_on_load=None, elem_id="readings")
                with gr.Column(scale=2, min_width=300, elem_id="controls"):
                    missing = gr.HTML(js_on_load=None, visible=False, elem_id="missing")
                    for control in CONTROLS[1:]:
                        if not control.advanced and control.name != "seed":
                            parts[control.name] = component(control, page, i18n)
                    with gr.Row(elem_id="seeds"):
                        parts["seed"] = component(CONTROLS[5], page, i18n)
                        reroll = gr.Button(i18n("reroll"), elem_id="reroll", min_width=90, scale=0)
                    with gr.Accordion(i18n("advanced"), open=False):
                        for control in CONTROLS:
                            if control.advanced:
                                parts[control.name] = component(control, page, i18n)
            with gr.Tab(i18n("tab.voices"), id="voices", elem_id="tab-voices") as tab:
                for_voice = [parts["speaker"], parts["emotion"], player, missing]
                voices.build(engine, i18n, tab, parts["voice"], page.rescan, [parts["voice"], *for_voice])

        outputs = {
            "player": player,
            "state": state,
            "readings": readings,
            "whole": whole,
            "audio": sound,
            "download": download,
        }

        def named(update: dict[str, Any]) -> list[Any]:
            return [update.get(name, gr.skip()) for name in outputs]

        def on_begin(voice: str, request: gr.Request) -> Any:
            return named(page.begin(voice, request))

        def on_speak(request: gr.Request, *inputs: Any) -> Iterator[Any]:
            yield from map(named, page.speak(request, *inputs))

        def on_stop(request: gr.Request) -> Any:
            return named(page.stop(request))

        # Every click counts, also one that comes while the last is still being served.
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "trigger_mode": "multiple"}
        at_once = quiet | {"queue": False}
        everything = list(outputs.values())
        speak.click(on_begin, parts["voice"], everything, **at_once).then(
            on_speak, [*(parts[c.name] for c in CONTROLS), format], everything, **quiet, concurrency_limit=LISTENERS
        )
        stop.click(on_stop, None, everything, **at_once)
        format.input(page.convert, format, download, **quiet)
        blocks.load(page.visit, parts["voice"], [parts["voice"], *for_voice], **at_once)
        parts["voice"].input(page.arrive, parts["voice"], for_voice, **at_once)
        reroll.click(None, None, parts["seed"], js="() => Math.floor(Math.random() * 2 ** 32)")
        for button, example in zip(examples, EXAMPLES, strict=True):
            button.click(None, None, parts["text"], js=f"() => {json.dumps(example[2])}")
        blocks.unload(page.leave)
    return blocks


def _server_function(page: Page) -> Callable:
    async def pieces(ask: list) -> dict[str, Any]:  # Gradio marks the function, so it cannot be a bound method
        return await page.pieces(ask)

    return pieces


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
    return {"theme": theme, "css_paths": ASSETS / "style.css", "i18n": translations(), "footer_links": []}


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
        serve(settings)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except SpeechError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def serve(settings: Settings) -> None:
    """Loads, says what was loaded, and serves until interrupted. Raises SpeechError."""
    if bool(settings["user"]) != bool(settings["password"]):
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
    except MissingFiles as error:
        print(error)  # the page says it too, and other voices may do without
    port, host = settings["webui.port"], settings["host"]
    with tempfile.TemporaryDirectory(prefix="speech-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        blocks = build(engine)
        try:
            blocks.queue(max_size=64).launch(
                server_name=host,
                server_port=port,
                share=settings["webui.share"],
                auth=(settings["user"], settings["password"]) if settings["user"] else None,
                debug=False,
                quiet=True,
                run_history=False,
                enable_monitoring=False,
                prevent_thread_lock=True,
                **look(),
            )
        except OSError as error:
            raise SpeechError(
                f"Port {port} on {host} cannot be used, perhaps since another program has it; "
                f"choose one with: python webui.py --port {port + 1}",
            ) from error
        print(f"Page: {blocks.local_url} (Ctrl+C ends it)", flush=True)
        if host not in LOOPBACK and not settings["user"]:
            print("Every machine that reaches this one can use the page; set user and password to ask for both.")
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended by a service manager: tidy up as well
        try:
            threading.Event().wait()
        finally:
            blocks.close(verbose=False)


if __name__ == "__main__":
    raise SystemExit(main())
