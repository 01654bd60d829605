"""The tab of the device: what is here, what is used and why, the self-test, how fast it is now, and another device.

    device_look -> the cards in the listener's language; device_test, device_use -> what came of it, and a new look

The script (device.js) looks again every few seconds while the tab can be seen.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from statistics import median
from typing import Any

import gradio as gr
import torch

import bert
from infer.engine import devices, machine, selftest
from infer.engine.pipeline import Engine
from infer.files import bytes_in_words
from infer.request import BadRequest
from page import answers, in_language, panel, private
from words import LANGUAGES, Message, message, pairs

PRECISIONS = {  # names of those that can be chosen, made of fp16_run and int8_run -> what they are
    "": message("device.precision_full"),
    "half": message("device.precision_half"),
    "int8": message("device.precision_int8"),
    "half int8": message("device.precision_both"),
}
STAGES = {
    "text": message("device.stage_text"),
    "bert": message("device.stage_bert"),
    "emotion": message("device.stage_emotion"),
    "encode": message("device.stage_encode"),
    "flow": message("device.stage_flow"),
    "decode": message("device.stage_decode"),
}
UNKNOWN = message("device.unknown")

Line = tuple[Message, str]  # a sentence and its kind
Rows = list[tuple[Message, Any]]


class DeviceTab:
    """The answers to the script. Device and self-test are one matter for all listeners."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.allowed = private(engine.settings)
        self._busy = threading.Lock()

    def look(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """{"language"} -> the cards {name: {"badges", "facts", "lines"}}, "report" and "choices"."""
        cards = {
            "use": self._in_use(),
            "now": self._now(),
            "machine": _machine(),
            "report": self._report(),
            "choices": self._choices(),
            "refused": "" if self.allowed else message("device.refused"),
        }
        return in_language(cards, LANGUAGES[ask["language"] != 0])

    def test(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """Raises SpeechError when it cannot be done; what came out is in the engine's report."""
        with self._alone():
            selftest.check(self.engine)
        return self.look(ask)

    def use(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """{"device", "backend", "precision"} -> what has been done. Raises SpeechError, and all is as it was."""
        device, backend, precision = ask["device"], ask["backend"], ask["precision"]
        if precision not in PRECISIONS:
            raise BadRequest("device.no_precision", precision=precision)
        half, eight_bit = "half" in precision, "int8" in precision
        with self._alone():
            self.engine.use(device, backend, half, eight_bit, reason=message("device.chosen"))
        flags = f"fp16_run: {str(half).lower()}, int8_run: {str(eight_bit).lower()}"
        done = message("device.used", lines=f"webui: {{device: {device}, {flags}}}\nbackend: {backend}")
        return self.look(ask) | {"done": in_language(done, LANGUAGES[ask["language"] != 0])}

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One self-test or change at a time, where they are allowed."""
        if not self.allowed:
            raise BadRequest("device.refused")
        if not self._busy.acquire(blocking=False):
            raise BadRequest("device.busy")
        try:
            yield
        finally:
            self._busy.release()

    def _in_use(self) -> dict[str, Any]:
        engine, report = self.engine, self.engine.report
        on_cpu = engine.device.torch.type == "cpu"
        badge = ("device.untested", "") if report is None else ("device.passed", "ready")
        if report and not report.passed:
            badge = ("device.failed", "broken")
        rows: Rows = [
            (message("device.device"), machine.cpu_name() if on_cpu else engine.device.name),
            (message("device.backend"), engine.backend),
            (message("device.precision"), self._precision()),
        ]
        if on_cpu:
            threads = message("device.threads_of", used=torch.get_num_threads(), cores=machine.cores())
            rows.append((message("device.threads"), threads))
        return _card(rows, [(line, "why") for line in self._why()], [(message(badge[0]), badge[1])])

    def _precision(self) -> Message:
        webui, device = self.engine.settings.webui, self.engine.device
        of_bert, _ = bert.precision(device.torch.type, webui.fp16_run, webui.int8_run)
        dtype = message("device.int8") if of_bert == torch.int8 else _short(of_bert)
        return _list(message("device.voice_in", dtype=_short(device.dtype)), message("device.bert_in", dtype=dtype))

    def _why(self) -> list[Message]:
        """What was asked for, what that came to, and the sentences that the choice itself gave."""
        engine, here = self.engine, devices.available()
        device, backend = engine.settings.webui.device, engine.settings.backend
        lines = []
        if engine.reason and not (engine.report and engine.reason == engine.report.sentence):  # it has its own place
            lines.append(engine.reason)
        if device.strip().lower() in ("auto", ""):
            lines.append(message("device.why_best", devices=here) if here[1:] else message("device.why_only"))
        elif devices.matching(device, here):
            lines.append(message("device.why_set", device=device))
        if engine.device.note:
            lines.append(message("device.sentence", note=engine.device.note))
        if backend.strip().lower() not in ("auto", ""):
            return [*lines, message("device.backend_set", backend=backend)]
        if engine.device.torch.type != "cpu":
            return [*lines, message("device.backend_gpu", device=engine.device.torch)]
        return [*lines, message("device.backend_cpu" if engine.backend == "onnx" else "device.backend_lacks")]

    def _now(self) -> dict[str, Any]:
        engine, record = self.engine, self.engine.record
        rows: Rows = [(message("device.rtf_label"), message("device.silent"))]
        if rtf := record.rtf():
            rows = _speed(rtf, [one.sound for one in record.spoken])
        if record.firsts:
            last, middle = f"{record.firsts[-1]:.2f}", f"{median(record.firsts):.2f}"
            rows.append((message("device.first"), message("device.first_now", last=last, median=middle)))
        features = engine.features.loaded
        rows += [
            (message("device.process"), _bytes(machine.resident())),
            (message("device.voices"), bytes_in_words(engine.memory())),
            (message("device.features"), _list(*features) if features else message("device.none")),
        ]
        for voice in engine.in_memory:
            key = "device.warming" if voice.warmth.done < voice.warmth.total else "device.warm"
            facts: dict[str, Any] = {"size": bytes_in_words(voice.size)}
            if voice.warmth.error or key == "device.warming":
                facts |= {"done": voice.warmth.done, "total": voice.warmth.total}
            if voice.warmth.error:  # its kind alone: the rest may hold a path
                key, facts["cause"] = "device.cold", voice.warmth.error.partition(":")[0]
            rows.append((message("device.voice_row", voice=voice.id), message(key, **facts)))
        return _card(rows, [] if engine.in_memory else [(message("device.no_voice"), "hint")])

    def _report(self) -> dict[str, Any] | None:
        if (report := self.engine.report) is None:
            return None
        rows = [
            [STAGES[stage], f"{value:.1e}", _figure(report.rtf[stage])] for stage, value in report.differences.items()
        ]
        return {"passed": report.passed, "sentence": report.sentence, "rows": rows}

    def _choices(self) -> dict[str, Any]:
        """By field: [chosen, [[value, label], …]]."""
        settings, auto = self.engine.settings, {"auto": message("device.auto_choice")}
        names = {one.id: f"{one.id}（{one.name}）" for one in machine.accelerators()} | auto
        device, backend = (name.strip().lower() or "auto" for name in (settings.webui.device, settings.backend))
        here, backends = ["auto", *devices.available()], machine.backends()
        if device not in here:
            device = next(iter(devices.matching(device, here[1:])), "auto")
        if backend not in backends:
            backends.append(backend)  # openvino without a place
        kinds = auto | {"onnx": message("device.onnx_choice")}
        flags = (settings.webui.fp16_run, "half"), (settings.webui.int8_run, "int8")
        return {
            "device": [device, [[name, names.get(name, name)] for name in here]],
            "backend": [backend, [[name, kinds.get(name, name)] for name in backends]],
            "precision": [" ".join(name for flag, name in flags if flag), list(PRECISIONS.items())],
        }


def _speed(rtf: Mapping[str, float], sounds: list[float]) -> Rows:
    """How fast speech is made. rtf: by stage; sounds: seconds of each sentence that it was measured over."""
    whole, over = sum(rtf.values()), {"count": len(sounds), "seconds": f"{sum(sounds):.1f}"}
    fast = message("device.rtf_now", rtf=_figure(whole), times=f"{1 / whole:.1f}")
    shares = [(STAGES[stage], _figure(value)) for stage, value in rtf.items() if value >= 0.0005]
    stages = _list(*(message("device.stage_rtf", stage=stage, rtf=figure) for stage, figure in shares))
    return [
        (message("device.rtf_label"), fast if whole < 1 else message("device.rtf_slow", rtf=_figure(whole))),
        (message("device.stages"), stages),
        (message("device.over_label"), message("device.over" if len(sounds) > 1 else "device.over_one", **over)),
    ]


def _machine() -> dict[str, Any]:
    total, free = machine.memory()
    accelerators, openvino, packages = machine.accelerators(), machine.openvino(), machine.packages()
    gpus = [f"{one.id} {one.name}" + (f" ({bytes_in_words(one.memory)})" if one.memory else "") for one in accelerators]
    instructions = machine.instructions()
    rows: Rows = [
        (message("device.cpu"), machine.cpu_name() or UNKNOWN),
        (message("device.cores"), str(machine.cores())),
        (message("device.instructions"), _list(*instructions) if instructions else UNKNOWN),
        (message("device.memory"), message("device.free", total=_bytes(total), free=_bytes(free))),
        (message("device.gpus"), _list(*gpus) if gpus else message("device.no_gpu")),
    ]
    if openvino:
        rows.append((message("device.openvino"), _list(*(f"{device} {name}" for device, name in openvino.items()))))
    rows.append((message("device.packages"), _list(*(f"{name} {version}" for name, version in packages.items()))))
    return _card(rows, [] if "openvino" in packages else [(message("device.no_openvino"), "hint")])


def _card(rows: Rows, lines: list[Line], badges: list[Line] | None = None) -> dict[str, Any]:
    return {"badges": badges or [], "facts": rows, "lines": lines}


def _list(*items: Message | str) -> Message:
    return message("device.list", items=items)


def _bytes(count: int) -> str | Message:
    return bytes_in_words(count) if count else UNKNOWN


def _figure(rtf: float) -> str:
    return f"{rtf:.2f}" if rtf >= 0.1 else f"{rtf:.3f}"


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def device_panel(engine: Engine) -> gr.HTML:
    """Lays out the tab's contents where the caller is."""
    tab = DeviceTab(engine)
    return panel(
        '<div class="device"></div>',
        "device.js",
        functions=answers(device_look=tab.look, device_test=tab.test, device_use=tab.use),
        words=pairs("device"),
        apply_default_css=False,
        elem_id="device-panel",
    )
