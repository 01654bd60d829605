"""The tab of the device: what is here, what is used and why, the self-test, how fast it is now, and another device.

    device_look -> the cards in the listener's language; device_test, device_use -> what came of it, and a new look

The script (device.js) looks again every few seconds while the tab can be seen.
"""

import threading
from pathlib import Path
from statistics import median
from typing import Any

import gradio as gr
import torch

import bert
from infer.engine import devices, machine, selftest
from infer.engine.pipeline import Engine
from infer.request import BadRequest
from page import answering, bytes_in_words, private

ASSETS = Path(__file__).resolve().parent
PRECISIONS = ("", "half", "int8", "half int8")  # fp16_run and int8_run

WORDS = {  # for device.js: key -> Chinese, English
    "use": ("正在使用", "In use"),
    "now": ("现在的速度与内存", "Speed and memory now"),
    "change": ("更换", "Change"),
    "machine": ("这台机器", "This machine"),
    "test": ("自检", "Self-test"),
    "testing": ("正在自检……", "Testing …"),
    "stage": ("阶段", "Stage"),
    "difference": ("相差", "Difference"),
    "rtf": ("实时率", "RTF"),
    "device": ("设备", "Device"),
    "backend": ("后端", "Backend"),
    "precision": ("精度", "Precision"),
    "apply": ("使用", "Use it"),
    "applying": ("正在更换，重新载入音色……", "Changing; the voice is loaded anew …"),
    "lost": (
        "连不上服务器，下面是之前的数字；请看看程序是否还开着。",
        "The server does not answer, these are earlier figures; see whether the program is running.",
    ),
}
SAID = {  # what handlers say: key -> Chinese, English
    "comma": ("、", ", "),
    "device": ("设备", "Device"),
    "backend": ("后端", "Backend"),
    "precision": ("精度", "Precision"),
    "threads": ("线程", "Threads"),
    "threads.of": ("用 {0} 个（共 {1} 个核心）", "{0} of {1} cores"),
    "passed": ("自检通过", "self-test passed"),
    "failed": ("自检未通过", "self-test failed"),
    "untested": ("尚未自检", "not tested yet"),
    "voice in": ("声音 {0}", "voice {0}"),
    "bert in": ("BERT {0}", "BERT {0}"),
    "int8": ("8 位权重", "8-bit weights"),
    "why.only": ("设备 auto：torch 在这里只找到 CPU。", "Device auto: the CPU is all that torch finds here."),
    "why.best": ("设备 auto：{0} 里最好的。", "Device auto: the best of {0}."),
    "why.said": ("设备 {0}：按设置。", "Device {0}: as set."),
    "backend.said": ("后端 {0}：按设置。", "Backend {0}: as set."),
    "backend.cpu": ("后端 auto：onnxruntime 在 CPU 上最快。", "Backend auto: onnxruntime, the fastest on a CPU."),
    "backend.gpu": ("后端 auto：设备是 {0}，所以用 torch。", "Backend auto: torch, since the device is {0}."),
    "backend.lacks": (
        "后端 auto：没有安装 onnxruntime 与 onnx，所以用 torch；装上后 CPU 会更快。",
        "Backend auto: torch, since onnxruntime and onnx are not both installed; they would be faster on a CPU.",
    ),
    "chosen": ("在本页选定，到程序结束为止。", "Chosen on this page, until the program ends."),
    "used": (
        "从下一次朗读起生效，到程序结束为止。要一直这样，请在 config.yml 里写：\n{0}",
        "In use from the next request until the program ends. To keep it, write into config.yml:\n{0}",
    ),
    "rtf": ("实时率（RTF）", "RTF"),
    "rtf.now": ("{0}，速度是实时的 {1} 倍", "{0}, {1} × the speed of real time"),
    "rtf.slow": ("{0}，比实时慢", "{0}, slower than real time"),
    "over": ("最近 {0} 句，共 {1} 秒语音", "the last {0} sentences, {1} s of speech"),
    "over.one": ("最近 1 句，共 {1} 秒语音", "the last sentence, {1} s of speech"),
    "over.label": ("统计范围", "Measured over"),
    "stages": ("其中", "Of which"),
    "first": ("首次出声", "First sound"),
    "first.now": ("{0} 秒（上一次），{1} 秒（中位）", "{0} s (last), {1} s (median)"),
    "silent": ("还没有人朗读", "nobody has spoken yet"),
    "process": ("程序占内存", "Program's memory"),
    "voices": ("音色占内存", "Voices' memory"),
    "features": ("BERT 与 CLAP", "BERT and CLAP"),
    "none": ("未载入，用到时才载入", "not loaded; they come when needed"),
    "voice": ("音色 {0}", "Voice {0}"),
    "warm": ("{0}，已预热", "{0}, warmed up"),
    "warming": ("{0}，预热中 {1} / {2}", "{0}, warming up {1} of {2}"),
    "cold": ("{0}，预热停在 {1} / {2}（{3}）", "{0}, its warm-up stopped at {1} of {2} ({3})"),
    "no voice": ("没有载入的音色", "no voice is loaded"),
    "cpu": ("CPU", "CPU"),
    "cores": ("核心", "Cores"),
    "instructions": ("指令集", "Instructions"),
    "memory": ("内存", "Memory"),
    "free": ("共 {0}，可用 {1}", "{0}, {1} of it free"),
    "gpus": ("GPU（torch）", "GPUs (torch)"),
    "no gpu": ("没有找到", "none found"),
    "openvino": ("OpenVINO", "OpenVINO"),
    "no openvino": (
        "没有安装 OpenVINO：Intel 的核显、独显与 NPU 可以通过它使用，运行 "
        ".venv/bin/pip install -r requirements-openvino.txt 再重新启动即可。",
        "OpenVINO is not installed, which is another way to use Intel GPUs and NPUs: run .venv/bin/pip install -r "
        "requirements-openvino.txt and start again.",
    ),
    "packages": ("软件", "Packages"),
    "unknown": ("未知", "unknown"),
    "auto": ("auto（自动）", "auto"),
    "torch": ("torch", "torch"),
    "onnx": ("onnx（onnxruntime，CPU）", "onnx (onnxruntime, CPU)"),
    "precision.": ("float32", "float32"),
    "precision.half": (
        "fp16_run：GPU 用 float16；CPU 上只有 BERT 用 bfloat16",
        "fp16_run: float16 on a GPU; on a CPU bfloat16 for BERT alone",
    ),
    "precision.int8": ("int8_run：BERT 用 8 位权重", "int8_run: BERT with 8-bit weights"),
    "precision.half int8": ("fp16_run 和 int8_run", "fp16_run and int8_run"),
    "refused": (
        "本页对其他机器开放而没有密码，所以不能在这里自检或更换设备：请设置 user 与 password，"
        "或改 config.yml 后重新启动。",
        "Other machines reach this page without a password, so nothing can be tested or changed from here: set user "
        "and password, or change config.yml and start again.",
    ),
    "stage.text": ("文字", "text"),
    "stage.bert": ("BERT", "BERT"),
    "stage.emotion": ("情感", "emotion"),
    "stage.encode": ("编码", "encode"),
    "stage.flow": ("flow", "flow"),
    "stage.decode": ("解码", "decode"),
}


class DeviceTab:
    """The handlers. Device and self-test are one matter for all listeners; language: an index into every pair."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.allowed = private(engine.settings)
        self._busy = threading.Lock()

    def look(self, language: int) -> dict[str, Any]:
        """The cards: {name: {"badges", "facts", "lines"}}, "report" and "choices"."""
        said = {key: pair[language] for key, pair in SAID.items()}
        return {
            "use": self._in_use(said, language),
            "now": self._now(said),
            "machine": _machine(said),
            "report": self._report(said, language),
            "choices": self._choices(said),
            "refused": "" if self.allowed else said["refused"],
        }

    def test(self) -> None:
        """Raises SpeechError when it cannot be done; what came out is in the engine's report."""
        with self._alone():
            selftest.check(self.engine)

    def use(self, ask: dict[str, Any], language: int) -> str:
        """{"device", "backend", "precision"} -> what has been done. Raises SpeechError, and all is as it was."""
        precision = ask["precision"]
        if precision not in PRECISIONS:
            raise BadRequest(f"There is no precision {precision!r}.", f"没有精度 {precision!r}。")
        half, eight_bit = "half" in precision, "int8" in precision
        device, backend = str(ask["device"]), str(ask["backend"])
        with self._alone():
            self.engine.use(device, backend, half, eight_bit, reason=SAID["chosen"][::-1])
        flags = f"fp16_run: {str(half).lower()}, int8_run: {str(eight_bit).lower()}"
        return SAID["used"][language].format(f"webui: {{device: {device}, {flags}}}\nbackend: {backend}")

    def _alone(self) -> "_Alone":
        if not self.allowed:
            raise BadRequest(*SAID["refused"][::-1])
        return _Alone(self._busy)

    def _in_use(self, said: dict[str, str], language: int) -> dict[str, Any]:
        engine, report = self.engine, self.engine.report
        kind = "untested" if report is None else "passed" if report.passed else "failed"
        badge = {"untested": "", "passed": "ready", "failed": "broken"}[kind]
        facts = {
            "device": machine.cpu_name() if engine.device.torch.type == "cpu" else engine.device.name,
            "backend": engine.backend,
            "precision": said["comma"].join(self._precision(said)),
        }
        if engine.device.torch.type == "cpu":
            facts["threads"] = said["threads.of"].format(torch.get_num_threads(), machine.cores())
        lines = [(sentence, "why") for sentence in self._why(said, language)]
        return {"badges": [[said[kind], badge]], "facts": _labelled(facts, said), "lines": lines}

    def _precision(self, said: dict[str, str]) -> list[str]:
        webui = self.engine.settings.webui
        half, eight_bit = webui.fp16_run, webui.int8_run
        of_bert, _ = bert.precision(self.engine.device.torch.type, half, eight_bit)
        return [
            said["voice in"].format(_short(self.engine.device.dtype)),
            said["bert in"].format(said["int8"] if of_bert == torch.int8 else _short(of_bert)),
        ]

    def _why(self, said: dict[str, str], language: int) -> list[str]:
        """What was asked for, what that came to, and the sentences that the choice itself gave."""
        engine, here = self.engine, devices.available()
        device, backend = engine.settings.webui.device, engine.settings.backend
        found = [engine.reason.pair[language]] if engine.reason else []
        if engine.report and engine.reason == engine.report.sentence:
            found = []  # it stands under the self-test
        if device.strip().lower() in ("auto", ""):
            found.append(said["why.only" if len(here) == 1 else "why.best"].format(said["comma"].join(here)))
        elif devices.matching(device, here):
            found.append(said["why.said"].format(device))
        if note := (engine.device.note_zh, engine.device.note)[language]:
            found.append(f"{note}{'。.'[language]}")
        if backend.strip().lower() not in ("auto", ""):
            key = "said"
        elif engine.device.torch.type != "cpu":
            key = "gpu"
        else:
            key = "cpu" if engine.backend == "onnx" else "lacks"
        name = engine.device.torch if key == "gpu" else backend
        return [*found, said[f"backend.{key}"].format(name)]

    def _now(self, said: dict[str, str]) -> dict[str, Any]:
        engine = self.engine
        spoken, rtf, firsts = engine.record.spoken, engine.record.rtf(), engine.record.firsts
        facts = {"rtf": said["silent"]}
        if rtf:
            whole = sum(rtf.values())
            facts["rtf"] = said["rtf.now" if whole < 1 else "rtf.slow"].format(_figure(whole), f"{1 / whole:.1f}")
            shown = [f"{said[f'stage.{stage}']} {_figure(value)}" for stage, value in rtf.items() if value >= 0.0005]
            facts["stages"] = " · ".join(shown)
            over = said["over" if len(spoken) > 1 else "over.one"]
            facts["over.label"] = over.format(len(spoken), f"{sum(one.sound for one in spoken):.1f}")
        if firsts:
            facts["first"] = said["first.now"].format(f"{firsts[-1]:.2f}", f"{median(firsts):.2f}")
        facts["process"] = _bytes(machine.resident(), said)
        facts["voices"] = bytes_in_words(engine.memory())
        facts["features"] = said["comma"].join(engine.features.loaded) or said["none"]
        rows = _labelled(facts, said)
        for voice in engine.in_memory:
            warmth, size = voice.warmth, bytes_in_words(voice.size)
            key = "cold" if warmth.error else "warm" if warmth.done == warmth.total else "warming"
            kind = warmth.error.partition(":")[0]  # not the rest, which may hold a path
            rows.append([said["voice"].format(voice.id), said[key].format(size, warmth.done, warmth.total, kind)])
        lines = [] if engine.in_memory else [(said["no voice"], "hint")]
        return {"badges": [], "facts": rows, "lines": lines}

    def _report(self, said: dict[str, str], language: int) -> dict[str, Any] | None:
        report = self.engine.report
        if report is None:
            return None
        rows = [
            [said[f"stage.{stage}"], f"{value:.1e}", _figure(report.rtf[stage])]
            for stage, value in report.differences.items()
        ]
        return {"passed": report.passed, "sentence": report.sentence.pair[language], "rows": rows}

    def _choices(self, said: dict[str, str]) -> dict[str, Any]:
        """By field: [chosen, [[value, label], …]]."""
        settings = self.engine.settings
        names = {one.id: f"{one.id}（{one.name}）" for one in machine.accelerators()} | {"auto": said["auto"]}
        device, backend = (name.strip().lower() or "auto" for name in (settings.webui.device, settings.backend))
        here = ["auto", *devices.available()]
        if device not in here:
            device = next(iter(devices.matching(device, here[1:])), "auto")
        backends = machine.backends()
        if backend not in backends:
            backends.append(backend)  # openvino without a place
        flags = (settings.webui.fp16_run, "half"), (settings.webui.int8_run, "int8")
        precision = " ".join(name for flag, name in flags if flag)
        return {
            "device": [device, [[name, names.get(name, name)] for name in here]],
            "backend": [backend, [[name, said.get(name, name)] for name in backends]],
            "precision": [precision, [[name, said[f"precision.{name}"]] for name in PRECISIONS]],
        }


class _Alone:
    """One self-test or change at a time."""

    def __init__(self, lock: threading.Lock) -> None:
        self.lock = lock

    def __enter__(self) -> None:
        if not self.lock.acquire(blocking=False):
            raise BadRequest(
                "A self-test or a change of the device is under way; wait for its end.",
                "正在自检或更换设备，请等它完成。",
            )

    def __exit__(self, *_: object) -> None:
        self.lock.release()


def _machine(said: dict[str, str]) -> dict[str, Any]:
    total, free = machine.memory()
    accelerators, openvino = machine.accelerators(), machine.openvino()
    gpus = [f"{one.id} {one.name}" + (f" ({bytes_in_words(one.memory)})" * bool(one.memory)) for one in accelerators]
    facts = {
        "cpu": machine.cpu_name() or said["unknown"],
        "cores": str(machine.cores()),
        "instructions": said["comma"].join(machine.instructions()) or said["unknown"],
        "memory": said["free"].format(_bytes(total, said), _bytes(free, said)),
        "gpus": said["comma"].join(gpus) or said["no gpu"],
    }
    if openvino:
        facts["openvino"] = said["comma"].join(f"{device} {name}" for device, name in openvino.items())
    facts["packages"] = said["comma"].join(f"{name} {version}" for name, version in machine.packages().items())
    lines = [] if "openvino" in machine.packages() else [(said["no openvino"], "hint")]
    return {"badges": [], "facts": _labelled(facts, said), "lines": lines}


def _labelled(facts: dict[str, str], said: dict[str, str]) -> list[list[str]]:
    return [[said[key], value] for key, value in facts.items()]


def _bytes(count: int, said: dict[str, str]) -> str:
    return bytes_in_words(count) if count else said["unknown"]


def _figure(rtf: float) -> str:
    return f"{rtf:.2f}" if rtf >= 0.1 else f"{rtf:.3f}"


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def build(engine: Engine) -> gr.HTML:
    """Lays out the tab's contents where the caller is."""
    tab = DeviceTab(engine)

    @answering
    def device_look(ask: dict) -> dict[str, Any]:
        return tab.look(_language(ask))

    @answering
    def device_test(ask: dict) -> dict[str, Any]:
        tab.test()
        return tab.look(_language(ask))

    @answering
    def device_use(ask: dict) -> dict[str, Any]:
        done = tab.use(ask, _language(ask))
        return tab.look(_language(ask)) | {"done": done}

    return gr.HTML(
        html_template='<div class="device"></div>',
        js_on_load=(ASSETS / "device.js").read_text(encoding="utf-8"),
        server_functions=[device_look, device_test, device_use],
        words=WORDS,
        apply_default_css=False,
        elem_id="device-panel",
    )


def _language(ask: dict) -> int:
    return int(ask["language"] != 0)
