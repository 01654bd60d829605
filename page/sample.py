"""A sample of sound whose feeling a voice takes: chosen, dropped or recorded in the browser, kept here by its content.

file or microphone -> the browser: mono, 30 s, wav -> take_sample -> Samples -> its id, which a request names
"""

import base64
import binascii
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from emotional import resample
from infer.documents import audio, clips
from infer.request import BadRequest
from page import answering

LARGEST = 20 << 20  # bytes of a file
SECONDS = 30  # of a sample; what comes later is cut off
SHORTEST = 0.3  # seconds, in which nobody can say anything
QUIETEST = 1e-3  # peak; a microphone that is switched off gives less
EACH = 4  # samples of a listener
MOST_BYTES = 256 << 20  # of all listeners together
NAME = 64  # characters of a listener's name
IDLE = 1800.0  # seconds without use after which a sample is forsaken and may make room for another's
RATE = 48_000  # Hz that the browser decodes to, which is what CLAP hears, and the most that is kept

WORDS = {  # key -> Chinese, English
    "label": ("情感样本", "Emotion by sound"),
    "help": (
        "可选：一段几秒到 30 秒的声音，只取它的情绪，不取它的音色。",
        "Optional: some seconds of sound, 30 at most. Its feeling is taken, not its voice.",
    ),
    "choose": ("选择文件", "Choose a file"),
    "drop": ("或把声音文件拖到这里", "or drop a sound file here"),
    "record": ("录音", "Record"),
    "stop": ("停止录音", "Stop recording"),
    "recording": ("正在录音：{0} / {1} 秒", "Recording: {0} of {1} s"),
    "level": ("麦克风音量", "Level of the microphone"),
    "reading": ("正在读取……", "Reading …"),
    "play": ("播放", "Play"),
    "pause": ("停止播放", "Stop playing"),
    "remove": ("移除", "Remove"),
    "seconds": ("{0} 秒", "{0} s"),
    "recorded": ("录音", "Recording"),
    "kept": ("情感样本", "Sample"),
    "added": ("朗读时会用这段声音的情绪。", "The feeling of this sound will be used."),
    "removed": ("已移除样本。", "The sample was removed."),
    "cut": ("只用前 {0} 秒。", "Only the first {0} s are used."),
    "large": (
        "文件有 {0} MB，上限是 {1} MB；请截取几秒钟的一段。",
        "The file has {0} MB and the limit is {1} MB; cut a piece of some seconds out of it.",
    ),
    "empty": ("文件是空的，请另选一个。", "The file is empty; choose another one."),
    "short": (
        "太短了，听不出情绪；请至少说一秒钟。",
        "It is too short to hear a feeling; speak for a second.",
    ),
    "silent": (
        "听不到声音；请检查麦克风是否静音，或另选一段。",
        "There is no sound in it; see whether the microphone is muted, or choose another piece.",
    ),
    "insecure": (
        "浏览器只在本机或 https 页面上开放麦克风；请改为选择文件。",
        "Browsers open the microphone only on this machine itself or over https; choose a file instead.",
    ),
    "no microphone": (
        "没有找到麦克风；请接上一个，或选择文件。",
        "No microphone was found; connect one, or choose a file.",
    ),
    "refused": (
        "浏览器没有允许使用麦克风；请在地址栏的权限里允许，或选择文件。",
        "The browser was not allowed to use the microphone; allow it beside the address, or choose a file.",
    ),
    "busy": (
        "麦克风打不开，可能被别的程序占用；请关掉那个程序再试。",
        "The microphone cannot be opened, perhaps since another program has it; close that and try again.",
    ),
    "connection": (
        "连不上服务器；样本没有送到，请再试一次。",
        "The server was not reached and has no sample; try again.",
    ),
}
GONE = (
    "The sample of the emotion is no longer here; choose or record it again.",
    "情感样本已经不在了；请重新选择或录制。",
)
FULL = (
    "The server has no room for another sample just now, since too many listeners have brought one; try again later.",
    "带来样本的人太多，服务器暂时放不下了；请过一会儿再试。",
)


@dataclass
class Kept:
    """A sound that some listeners have brought, and when one of them last did something with it, by the clock."""

    data: bytes
    used: float
    listeners: set[str] = field(default_factory=set)


class Samples:
    """Sounds that listeners have brought, by a hash of what is in them.

    Each listener has room for EACH, where the one used longest ago gives way to another. All of them together have a
    bounded room, where nobody's sound gives way to somebody else's before it has been left alone for IDLE seconds. Who
    knows an id knows the sound, so an id tells nobody what somebody else has brought.
    """

    def __init__(
        self, each: int = EACH, most_bytes: int = MOST_BYTES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.each, self.most_bytes, self.clock = each, most_bytes, clock
        self._kept: OrderedDict[str, Kept] = OrderedDict()  # the one used longest ago first
        self._lock = threading.Lock()

    def add(self, data: bytes, listener: str = "") -> str:
        """Keeps a sound file's bytes for a listener and returns their id. Raises BadRequest if there is no room."""
        id = hashlib.sha256(data).hexdigest()
        with self._lock:
            mine = [other for other, kept in self._kept.items() if listener in kept.listeners and other != id]
            leaving = mine[: max(0, len(mine) + 1 - self.each)]
            self._make_room(0 if id in self._kept else len(data), leaving, listener)
            for other in leaving:
                self._leave(other, listener)
            kept = self._kept.setdefault(id, Kept(data, 0))
            kept.listeners.add(listener)
            self._use(id)
        return id

    def get(self, id: str) -> bytes:
        """The bytes of an id, none for "". Raises BadRequest if they have made room for others."""
        if not id:
            return b""
        with self._lock:
            if id not in self._kept:
                raise BadRequest(*GONE)
            self._use(id)
            return self._kept[id].data

    def _use(self, id: str) -> None:
        self._kept[id].used = self.clock()
        self._kept.move_to_end(id)

    def _leave(self, id: str, listener: str) -> None:
        kept = self._kept[id]
        kept.listeners.discard(listener)
        if not kept.listeners:
            del self._kept[id]

    def _make_room(self, size: int, leaving: Sequence[str], listener: str) -> None:
        """Forgets forsaken sounds till `size` bytes fit once the listener's own have left. Raises BadRequest."""
        alone = [id for id in leaving if self._kept[id].listeners == {listener}]
        over = size + sum(len(kept.data) for id, kept in self._kept.items() if id not in alone) - self.most_bytes
        forsaken = []
        for id, kept in self._kept.items():
            if over <= 0 or self.clock() - kept.used < IDLE:
                break
            if id not in alone:
                forsaken.append(id)
                over -= len(kept.data)
        if over > 0:
            raise BadRequest(*FULL)
        for id in forsaken:
            del self._kept[id]


def decoded(data: str) -> bytes:
    """base64 as a page sends it -> bytes. Raises BadRequest."""
    if isinstance(data, str) and len(data) * 3 // 4 > LARGEST + 2:  # 2: what it is filled up with at the end
        raise _too_large(len(data) * 3 // 4, LARGEST)
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise BadRequest("The file did not come whole; send it again.", "文件没有完整送到；请再试一次。") from error


def prepared(data: bytes) -> tuple[bytes, float]:
    """A sound file -> a wav of at most SECONDS, mono, at most RATE, and its seconds. Raises BadRequest."""
    if len(data) > LARGEST:
        raise _too_large(len(data), LARGEST)
    samples, rate = clips.read_clip(data)
    samples = samples[: SECONDS * rate]
    if rate > RATE:
        samples, rate = resample(samples, rate, RATE), RATE
    for fault, key in ((len(samples) < SHORTEST * rate, "short"), (np.abs(samples).max() < QUIETEST, "silent")):
        if fault:
            raise BadRequest(*reversed(WORDS[key]))
    return audio.encode(samples, rate), len(samples) / rate


def component(samples: Samples, **shown: Any) -> gr.HTML:
    """The part of the page; `window.sample.id` is "" or what Samples.get takes. shown: gr.HTML's layout arguments."""

    @answering
    def take_sample(ask: Mapping[str, Any]) -> dict[str, Any]:
        """{data: a sound file in base64, listener} -> {"id", "seconds"}."""
        wav, seconds = prepared(decoded(ask["data"]))
        return {"id": samples.add(wav, str(ask["listener"])[:NAME]), "seconds": seconds}

    @answering
    def kept_sample(id: str) -> dict[str, Any]:
        """The wav of an id in base64: for a page that was loaded anew, or whose browser could not decode the file."""
        return {"wav": base64.b64encode(samples.get(str(id))).decode()}

    limits = {"largest": LARGEST, "seconds": SECONDS, "shortest": SHORTEST, "quietest": QUIETEST, "rate": RATE}
    script = Path(__file__).with_name("sample.js").read_text(encoding="utf-8")
    return gr.HTML(
        html_template='<div class="sample"></div>',
        js_on_load=script,
        server_functions=[take_sample, kept_sample],
        words=WORDS,
        limits=limits,
        apply_default_css=False,
        **({"elem_id": "sample"} | shown),
    )


def _too_large(size: int, limit: int) -> BadRequest:
    chinese, english = (words.format(f"{size / (1 << 20):.1f}", limit >> 20) for words in WORDS["large"])
    return BadRequest(english, chinese)
