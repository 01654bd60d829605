"""Another device while somebody listens, the self-test, the record of speeds, and what the machine is."""

import threading

import numpy as np
import pytest
import torch

import bert
from infer.cli.selftest import main
from infer.documents import audio
from infer.engine import devices, machine, selftest
from infer.engine.pipeline import Engine
from infer.engine.record import KEPT, Record, Spoken
from infer.request import SpeechError, SpeechRequest
from infer.settings import load_settings
from tests.voices import loaded, make_tiny_voice, speak

TEXT = "春天来了。小河解冻了，柳树发芽了。孩子们跑到田野里放风筝！" * 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("device")
    make_tiny_voice(folder / "voices" / "tiny")
    make_tiny_voice(folder / "voices" / "other", seed=1)
    return folder


@pytest.fixture
def engine(folder) -> Engine:
    overrides = [f"voices=[{folder / 'voices'}]", "voice=tiny", "webui.device=cpu", f"cache_path={folder / 'cache'}"]
    return Engine(load_settings(overrides=overrides, environment={}, root=folder))


def test_who_is_speaking_goes_on_and_the_next_request_has_the_new_backend(engine):
    request = SpeechRequest(TEXT)
    assert engine.backend == "onnx"
    whole, _ = speak(engine, request)
    begun, switched, pieces = threading.Event(), threading.Event(), []

    def listen():
        for piece in engine.speak([request]):
            pieces.append(piece)
            begun.set()
            assert switched.wait(60)

    listener = threading.Thread(target=listen)
    listener.start()
    assert begun.wait(60)
    old, of_bert = engine.load(), engine.features
    engine.use("cpu", "torch")
    switched.set()
    listener.join(60)
    assert np.array_equal(audio.joined(pieces), whole)

    assert engine.load() is not old and type(engine.load().backend).__name__ == "TorchBackend"
    assert engine.loaded == {"tiny"}  # others are loaded anew when they are asked for
    assert engine.features is of_bert  # gigabytes, which another backend does not move
    assert (engine.settings.webui.device, engine.settings.backend) == ("cpu", "torch")
    other, _ = speak(engine, request)
    assert other.shape == whole.shape and np.abs(other - whole).max() < 1e-3
    assert np.abs(speak(engine, SpeechRequest("你好。", voice="other"))[0]).max() > 0
    assert all(type(voice.backend).__name__ == "TorchBackend" for voice in engine.in_memory)


def test_many_listeners_and_many_changes(engine):
    request = SpeechRequest("你好，世界。再见！")
    by_backend = [speak(engine, request)[0]]
    engine.use("cpu", "torch")
    by_backend.append(speak(engine, request)[0])
    said, ended = [], threading.Event()

    def listen():
        while not ended.is_set():
            said.append(speak(engine, request)[0])

    listeners = [threading.Thread(target=listen) for _ in range(3)]
    for listener in listeners:
        listener.start()
    for backend in ("onnx", "torch", "onnx"):
        engine.use("cpu", backend)
    ended.set()
    for listener in listeners:
        listener.join(60)
    assert len(said) >= 3
    assert all(any(np.array_equal(sound, one) for one in by_backend) for sound in said)


def test_another_precision_is_another_bert(engine):
    of_bert = engine.features
    engine.use("cpu", "torch", eight_bit=True)
    assert engine.features is not of_bert and engine.features.eight_bit
    assert "int8_run" in str(engine.device.note) and "8 位" in engine.device.note.say("zh")


@pytest.mark.parametrize(
    ("device", "backend", "english", "chinese"),
    [
        ("cuda:9", "auto", "There is no device 'cuda:9' here; choose one of auto, ", "这里没有设备 'cuda:9'"),
        ("toaster", "auto", "There is no device 'toaster' here", "可选：auto、"),
        ("cpu", "abacus", "backend: 'abacus' is not known", "没有 'abacus'"),
        ("cpu", "openvino:toaster", "backend: openvino", "backend: openvino"),
    ],
)
def test_what_is_not_here_is_a_sentence_and_nothing_changes(engine, device, backend, english, chinese):
    voice, settings = engine.load(), engine.settings
    with pytest.raises(SpeechError) as refusal:
        engine.use(device, backend)
    assert english in str(refusal.value) and chinese.partition(":")[0] in refusal.value.message.say("zh")
    assert engine.load() is voice and engine.settings is settings and engine.reason is None
    assert (engine.device.torch.type, engine.backend) == ("cpu", "onnx")


def test_a_driver_that_throws_is_a_sentence_and_nothing_changes(engine, monkeypatch):
    voice = engine.load()

    def broken(*_):
        raise RuntimeError("no memory at /home/somebody")

    monkeypatch.setattr("infer.engine.backends.make", broken)
    with pytest.raises(SpeechError, match=r"cannot be loaded on cpu with torch .*; cpu with onnx stays") as refusal:
        engine.use("cpu", "torch")
    assert "/home" not in str(refusal.value) + refusal.value.message.say("zh") and "无法" in refusal.value.message.say(
        "zh"
    )
    monkeypatch.undo()
    assert engine.load() is voice and engine.backend == "onnx" and len(speak(engine, SpeechRequest("好。"))[0])


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_the_self_test_passes(engine, backend):
    engine.use("cpu", backend)
    report = selftest.check(engine)
    assert report.passed and engine.report is report and engine.backend == backend
    assert set(report.differences) == set(report.rtf) == {"encode", "flow", "decode"}
    assert report.worst < 1e-4 and all(rtf > 0 for rtf in report.rtf.values()) and report.seconds > 0.5
    assert str(report.sentence).startswith("Passed: ") and report.sentence.say("zh").startswith("通过：")
    engine.use("cpu", backend)
    assert engine.report is None  # it was about what had been loaded before


def too_loud(result):
    return result * 1.01


def no_number(result):
    return result * float("nan")


@pytest.mark.parametrize(("part", "stage"), [("flow", "flow"), ("head", "decode"), ("tail", "decode")])
@pytest.mark.parametrize("damage", [too_loud, no_number])
def test_a_backend_that_computes_wrong_is_found_and_left(engine, monkeypatch, caplog, part, stage, damage):
    backend = loaded(engine).backend
    right = getattr(backend, part)
    monkeypatch.setattr(backend, part, lambda *given: damage(right(*given)))
    report = selftest.check(engine)
    assert not report.passed and report.fell_back and report.differences[stage] > report.limit
    assert all(difference < 1e-4 for name, difference in report.differences.items() if name != stage)
    assert engine.report is report and engine.reason == report.sentence
    assert (engine.device.torch.type, engine.backend) == ("cpu", "torch")
    assert "goes on with torch on the CPU" in caplog.text and "已改用 CPU 上的 torch" in report.sentence.say("zh")
    assert selftest.check(engine).passed


def test_durations_that_are_wrong_are_found(engine, monkeypatch):
    backend = loaded(engine).backend
    right = backend.encode

    def later(*given, **options):
        prior = right(*given, **options)
        return type(prior)(prior.mean, prior.log_std, prior.log_durations + 0.1)

    monkeypatch.setattr(backend, "encode", later)
    assert not selftest.compare(engine).passed
    assert engine.backend == "onnx"  # to compare changes nothing


def test_a_backend_that_throws_is_found_and_left(engine, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("out of /home/somebody")

    monkeypatch.setattr(loaded(engine).backend, "flow", broken)
    report = selftest.check(engine)
    assert report.error == "RuntimeError" and not report.passed and engine.backend == "torch"
    assert "stops with RuntimeError" in str(report.sentence) and "/home" not in "".join(report.sentence.pair)


def test_what_is_safe_has_nothing_to_fall_back_to(engine, monkeypatch):
    engine.use("cpu", "torch")
    voice = loaded(engine)
    right = voice.backend.flow
    monkeypatch.setattr(voice.backend, "flow", lambda *given: right(*given) + 1)
    report = selftest.check(engine)
    assert not report.passed and not report.fell_back and engine.load() is voice
    assert "report this line" in str(report.sentence)


def test_which_devices_are_tested_at_the_start(engine):
    assert not selftest.is_due(engine)
    for backend in ("openvino:gpu", "ipex"):
        engine.backend = backend
        assert selftest.is_due(engine)
    engine.backend, engine.device = "torch", devices.Device(torch.device("cuda"), torch.float16)
    assert selftest.is_due(engine)


def test_the_self_test_in_a_terminal(folder, capsys, monkeypatch):
    for name, value in {"VOICES": f"[{folder / 'voices'}]", "WEBUI_DEVICE": "cpu", "CACHE_PATH": ""}.items():
        monkeypatch.setenv(f"BV2_{name}", value)
    assert main(["other"]) == 0
    said = capsys.readouterr().out
    assert "voice other, " in said and "decode " in said and "Passed: onnx on CPU agrees" in said
    assert main(["nobody"]) == 2
    assert "There is no voice 'nobody'" in capsys.readouterr().err
    monkeypatch.setattr(selftest, "LIMITS", dict.fromkeys(selftest.LIMITS, -1.0))
    assert main([]) == 1
    assert "Failed: onnx on CPU" in capsys.readouterr().out


def test_the_record_of_what_was_spoken(engine):
    assert engine.record.rtf() == {} and engine.record.firsts == []
    pieces = list(engine.speak([SpeechRequest("你好。今天很冷。", pause=3.0)]))
    spoken = engine.record.spoken
    assert len(spoken) == 2 and len(engine.record.firsts) == 1
    sound = sum(piece.duration for piece in pieces) - 3.0
    assert sum(one.sound for one in spoken) == pytest.approx(sound)  # a pause costs nothing and flatters nobody
    assert list(engine.record.rtf()) == ["text", "emotion", "bert", "encode", "flow", "decode"]
    work = sum(value for one in spoken for value in one.stages.values())
    assert sum(engine.record.rtf().values()) == pytest.approx(work / sound)
    engine.use("cpu", "torch")
    assert engine.record.spoken == []  # another device, other speeds


def test_the_record_moves_on_and_is_shared():
    record = Record()

    def speak_much():
        for _ in range(200):
            record.add(Spoken(2.0, {"flow": 1.0}))
            record.first(0.5)
            assert record.rtf() == {"flow": pytest.approx(0.5)}

    threads = [threading.Thread(target=speak_much) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(record.spoken) == len(record.firsts) == KEPT
    record.add(Spoken(2.0, {"flow": 1.0, "bert": 8.0}))
    assert record.rtf()["bert"] == pytest.approx(8.0 / (2.0 * KEPT))


def test_what_the_machine_is():
    total, free = machine.memory()
    assert total >= free >= 0 and machine.resident() >= 0 and machine.cores() >= 1 and machine.cpu_name()
    assert machine.packages()["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert machine.backends()[:2] == ["auto", "torch"]
    assert [one.id for one in machine.accelerators()] == devices.available()[:-1]


def test_a_machine_without_proc(monkeypatch):
    def no_proc(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(machine.Path, "read_text", no_proc)
    assert isinstance(machine.cpu_name.__wrapped__(), str)
    assert all(size >= 0 for size in (*machine.memory(), machine.resident()))


def test_what_bert_computes_in_is_said_in_chinese():
    for half, eight_bit in ((True, False), (False, True), (True, True)):
        chosen = devices.choose("cpu", half, eight_bit)
        _, note = bert.precision("cpu", half, eight_bit)
        assert note.say("en") in str(chosen.note) and note.say("zh") in chosen.note.say("zh")
    assert "cuda:9" in devices.choose("cuda:9").note.say("zh")
