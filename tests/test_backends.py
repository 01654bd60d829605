"""Every backend computes what plain torch computes, in shapes of a fixed set, and says what it lacks."""

import copy
import importlib.util
import os
import shutil
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from infer.engine import backends, devices, shapes
from infer.engine.backends import graph, store
from infer.engine.backends.torch_backend import TorchBackend
from infer.engine.decoding import decode
from infer.engine.pipeline import Engine
from infer.engine.stages import noise
from infer.engine.warmth import Warmth, calls
from infer.request import SpeechError, SpeechRequest
from infer.settings import load_settings
from models import VARIANTS, Synthesizer, SynthesizerConfig, halos
from models.config import CLAP_WIDTH
from models.filter import LOUDEST
from models.stages import with_source
from tests.networks import golden_network
from tests.releases import config_of
from tests.voices import CONFIG, GENERATOR, loaded, make_tiny_voice, speak

SIZES = (15, 30, 60)
CPU = devices.choose("cpu")
PACKAGES = {"torch": "torch", "onnx": "onnxruntime", "openvino:cpu": "openvino", "ipex": "intel_extension_for_pytorch"}
HERE = [name for name, package in PACKAGES.items() if importlib.util.find_spec(package)]
EXPORTED = [name for name in HERE if name.startswith(("onnx", "openvino"))]


def tiny(family: str = "small", **model: object) -> Synthesizer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Synthesizer(SynthesizerConfig.from_json(config_of(family, **model), VARIANTS[family])).eval()


def made(name: str, network: Synthesizer, folder=None, sizes=SIZES) -> backends.Backend:
    return backends.make(name, copy.deepcopy(network), CPU, folder, sizes, threads=1)


def inputs(network: Synthesizer, length: int, seed: int = 0) -> tuple:
    """What encode() takes, of a sentence of `length` tokens in its bucket."""
    config, variant, random = network.config, network.config.variant, torch.Generator().manual_seed(seed)
    size = shapes.bucket(length, shapes.TOKEN_BUCKETS)

    def ids(count: int) -> torch.Tensor:
        return shapes.pad(torch.randint(0, count, (1, length), generator=random), size)

    def normal(channels: int, length: int, size: int) -> torch.Tensor:
        return shapes.pad(torch.randn(1, channels, length, generator=random), size)

    widths = [variant.bert_width, *(width for _, width in variant.bert[1:])] if variant.needs_bert else []
    emotion = torch.rand(1, CLAP_WIDTH if variant.needs_clap else len(config.emotions), generator=random)
    tokens = ids(variant.symbols), ids(variant.tones), ids(variant.languages), shapes.mask(length, size)
    bert = tuple(normal(width, length, size) for width in widths)
    return tokens, bert, emotion, normal(config.gin_channels, 1, 1), normal(2, length, size)


def close(ours: torch.Tensor, theirs: torch.Tensor, limit: float = 1e-4) -> bool:
    return bool((ours - theirs).abs().max() <= limit * theirs.abs().max()) and ours.shape == theirs.shape


def check_encode(backend, network: Synthesizer, length: int) -> None:
    given = inputs(network, length)
    with torch.inference_mode():
        plain = network.encode(*given[0], *given[1:], 0.4)
    prior = backend.encode(*given, sdp_ratio=0.4)
    for name in ("mean", "log_std", "log_durations"):
        assert close(getattr(prior, name)[..., :length], getattr(plain, name)[..., :length]), name


def check_frames(backend, network: Synthesizer, frames: int, sizes=SIZES) -> None:
    """The flow in its bucket and the decoder in its windows, against both whole."""
    config, random = network.config, torch.Generator().manual_seed(frames)
    z_p = torch.randn(1, config.inter_channels, frames, generator=random)
    speaker = torch.randn(1, config.gin_channels, 1, generator=random)
    with torch.inference_mode():
        z = network.flow(z_p, torch.ones(1, 1, frames), speaker)
        driven = with_source(z, config, noise(1, 0))
        wave = network.dec(driven, speaker)[0, 0]
    size = shapes.bucket(frames, shapes.FRAME_BUCKETS)
    ours = backend.flow(shapes.pad(z_p, size), shapes.mask(frames, size), speaker)
    assert close(ours[..., :frames], z) and not ours[..., frames:].any()
    for first in (True, False):
        assert close(torch.cat(list(decode(backend, config, driven, speaker, sizes, first))), wave)


@pytest.fixture(scope="module", params=HERE)
def of_golden(request):
    network = golden_network("extra-fix")
    return made(request.param, network), network


@pytest.mark.parametrize("length", [1, 31, 32, 33, 112, 113, 127, 129])
def test_encode_at_the_edges_of_buckets(of_golden, length):
    check_encode(*of_golden, length)


@pytest.mark.parametrize("frames", [1, 14, 15, 16, 29, 30, 31, 41, 59, 60, 61, 63, 64, 65, 81, 96, 97, 200])
def test_flow_and_decoder_at_the_edges_of_buckets_and_windows(of_golden, frames):
    check_frames(*of_golden, frames)


@pytest.mark.parametrize("size", shapes.TOKEN_BUCKETS)
def test_every_token_bucket(size):
    network = tiny()
    backend = made("onnx", network)
    check_encode(backend, network, size)
    check_encode(backend, network, size + 1)


@pytest.mark.parametrize("size", [size for size in shapes.FRAME_BUCKETS if size <= 1024])
def test_every_frame_bucket(size):
    network = tiny()
    backend = made("onnx", network)
    check_frames(backend, network, size, (15, 30, 60, 90, 120))
    check_frames(backend, network, size + 1, (15, 30, 60, 90, 120))


OTHERS = {  # of our own family
    "wavenet": {"use_transformer_flow": False, "n_flow_layer": 3},
    "words": {"words": True, "pitch": CONFIG["model"]["pitch"] | {"phase": "minimum"}},
}


@pytest.mark.parametrize("family", [*VARIANTS, *OTHERS])
@pytest.mark.parametrize("name", EXPORTED)
def test_every_family(name, family):
    network = tiny("small", **OTHERS[family]) if family in OTHERS else tiny(family)
    backend = made(name, network)
    check_encode(backend, network, 21)
    check_frames(backend, network, 47)


@pytest.mark.parametrize("name", EXPORTED)
def test_filters_as_loud_as_can_be(name):
    """Both limits are reached: that of the filters and that of the samples."""
    network = tiny()
    network.dec.conv_post.bias.data.add_(LOUDEST)
    check_frames(made(name, network), network, 47)


@pytest.mark.parametrize("kernel", [2, 3, 5, 7, 9, 11, 12, 13])
@pytest.mark.parametrize(("dilation", "length"), [(1, 6), (1, 7), (1, 101), (3, 54), (3, 30), (5, 150), (5, 35)])
def test_toom_cook_convolutions_are_convolutions(kernel, dilation, length, monkeypatch):
    """Odd lengths, kernels of one block and of several, even ones, all against torch in float64."""
    import onnxruntime

    monkeypatch.setattr(graph, "WORTH", 0)
    random = torch.Generator().manual_seed(kernel)
    x, weight = torch.randn(1, 16, length, generator=random), torch.randn(32, 16, kernel, generator=random)
    bias, before = torch.randn(32, generator=random), (kernel - 1) // 2 * dilation
    after = (kernel - 1) * dilation - before
    g = graph.Graph(toom=True)
    y = g.convolve(g.input("x", 16), weight.numpy(), bias, dilation, (before, after), multiple=length)
    kinds = [node.op_type for node in g.nodes]
    assert kinds.count("Conv") == 2 and ("Slice" in kinds) == (length % (6 * dilation) > 0)
    session = onnxruntime.InferenceSession(g.serialised(y=y), providers=["CPUExecutionProvider"])
    (ours,) = session.run(None, {"x": x[:, :, None].numpy()})
    padded = torch.nn.functional.pad(x.double(), (before, after))
    theirs = torch.nn.functional.conv1d(padded, weight.double(), bias.double(), dilation=dilation)
    assert close(torch.from_numpy(ours)[:, :, 0], theirs, 5e-5)


@pytest.mark.parametrize("decoder", ["generator", "filter"])
def test_wide_convolutions_of_full_size_are_toom_cook_and_narrow_ones_are_not(decoder):
    sizes = {"upsample_initial_channel": 512, "hidden_channels": 96, "filter_channels": 192}
    network = tiny("small", **(GENERATOR if decoder == "generator" else {}) | sizes)
    head = graph.head if decoder == "generator" else graph.filter_head
    count = {}
    for toom in (True, False):
        g = graph.Graph(toom)
        head(g, network.dec, g.input("z", 16 + network.config.source_channels), g.input("speaker", 8, 1), 15)
        count[toom] = sum(node.op_type == "Conv" for node in g.nodes)
    assert count[True] > count[False]
    backend = made("onnx", network)
    check_frames(backend, network, 75)
    check_frames(made("onnx", network, sizes=(16, 32)), network, 75, (16, 32))  # no multiple of a dilation


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    make_tiny_voice(folder / "tiny")
    return folder


def engine(folder, *overrides):
    every = [f"voices=[{folder}]", "webui.device=cpu", *overrides]
    return Engine(load_settings(overrides=every, environment={}, root=folder))


# F0 turns the pulses of a filter, so that a latent's last digits are louder there than in the parts alone (above).
@pytest.mark.parametrize(("model", "bound"), [(GENERATOR, 1e-4), ({}, 2e-3)], ids=["generator", "filter"])
@pytest.mark.parametrize("name", HERE)
def test_an_engine_speaks_the_same_through_each(name, model, bound, tmp_path):
    folder = make_tiny_voice(tmp_path / "tiny", **model).parent
    request = SpeechRequest("今天天气很好，我们去公园。他说，银行在前面！", seed=2)
    plain, _ = speak(engine(folder, "backend=torch"), request)
    ours, _ = speak(engine(folder, f"backend={name}"), request)
    assert ours.shape == plain.shape and np.abs(ours - plain).max() <= bound * np.abs(plain).max()


class Recorder:
    """Writes down the shapes that reach a backend, or, without one, would."""

    compiles = True  # so that calls() gives the whole set

    def __init__(self, backend=None) -> None:
        self.seen: set[tuple] = set()
        for name in ("encode", "flow", "head", "tail"):
            setattr(self, name, partial(self._note, name, getattr(backend, name, None)))

    def _note(self, name, call, *arguments, **options):
        flat = [x for a in arguments for x in (a if isinstance(a, tuple) else (a,)) if x is not None]
        self.seen.add((name, *(tuple(x.shape) for x in flat)))
        return call and call(*arguments, **options)


def test_200_texts_cause_no_shape_beyond_the_fixed_set(folder):
    speaker = engine(folder)
    voice, sizes = speaker.load(), speaker.settings.windows
    warm = Recorder()
    fixed = calls(warm, voice.config, voice.halos, sizes, len(voice.config.emotions), voice.speaker("甲"))
    for step in fixed:
        step()
    count = len(shapes.TOKEN_BUCKETS) + len(shapes.FRAME_BUCKETS) + 2 * len(sizes) + 2
    assert len(warm.seen) == len(fixed) == count
    voice.backend = Recorder(voice.backend)
    random, letters = np.random.default_rng(0), list("天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏，。！？")
    for seed in range(200):
        said = "好" + "".join(random.choice(letters, int(random.integers(0, 24))))
        for _ in speaker.speak([SpeechRequest(said, seed=seed, speed=float(random.uniform(0.5, 2)))]):
            pass
    assert voice.backend.seen <= warm.seen and len(voice.backend.seen) > 20


def test_a_warm_up_goes_on_in_the_background_and_stops_when_told():
    gate, taken = threading.Event(), []
    warmth = Warmth()
    warmth.start([lambda: taken.append(1), lambda: gate.wait(10), lambda: taken.append(2)])
    assert not warmth.wait(0.01) and warmth.total == 3
    warmth.stop()
    gate.set()
    assert not warmth.wait(10) and taken == [1] and warmth.done == 2
    warmth = Warmth()
    warmth.start([lambda: 1 / 0, lambda: taken.append(3)])
    assert not warmth.wait(10) and "ZeroDivisionError" in warmth.error and taken == [1]


def test_a_voice_that_makes_room_warms_no_longer(folder, tmp_path):
    for name in "ab":
        shutil.copytree(folder / "tiny", tmp_path / name)
    speaker = engine(tmp_path, "voices_mb=0")
    first = speaker.load("a").warmth
    speaker.load("b")
    assert first._stopped.is_set()


def test_graphs_are_kept_by_content(tmp_path, monkeypatch):
    network = tiny()
    exported = []
    real = graph.export
    monkeypatch.setattr(graph, "export", lambda *a: exported.append(a[1]) or real(*a))
    made("onnx", network, tmp_path)
    files = sorted(tmp_path.iterdir())
    assert exported == list(graph.PARTS) and len(files) == len(graph.PARTS)
    made("onnx", network, tmp_path)
    assert len(exported) == 4  # found
    with torch.no_grad():
        network.dec.conv_post.weight[0, 0, 0] += 1e-3
    backend = made("onnx", network, tmp_path)
    assert len(exported) == 8  # other weights
    check_frames(backend, network, 20)
    made("onnx", network, tmp_path, sizes=(16, 32))
    assert len(exported) == 12  # other options
    source = tmp_path / "graph.py"
    source.write_text("another exporter")
    assert store.fingerprint(network, source) != store.fingerprint(network, Path(graph.__file__))


def test_a_damaged_graph_is_made_anew_and_an_unwritable_folder_does_no_harm(tmp_path):
    network = tiny()
    made("onnx", network, tmp_path)
    whole = {file: file.read_bytes() for file in tmp_path.iterdir()}
    for file, content in whole.items():
        file.write_bytes(content[: len(content) // 2])
    check_frames(made("onnx", network, tmp_path), network, 20)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == whole
    (tmp_path / "a file").write_text("no folder")
    check_frames(made("onnx", network, tmp_path / "a file"), network, 20)
    assert (tmp_path / "a file").read_text() == "no folder"


def test_a_write_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    assert store.kept(tmp_path, "x.onnx", lambda: b"graph") == b"graph"
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_program_left_makes_room_and_what_is_being_written_does_not(tmp_path):
    for name, when in ((".a.onnx.0.part", 0), (".b.onnx.1.part", time.time())):
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (when, when))
    store.kept(tmp_path, "c.onnx", lambda: b"graph")
    assert sorted(f.name for f in tmp_path.iterdir()) == [".b.onnx.1.part", "c.onnx"]


def test_the_files_used_longest_ago_make_room(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "MOST", 300)
    for i, name in enumerate("abc"):
        store.kept(tmp_path, f"{name}.onnx", lambda: bytes(100))
        os.utime(tmp_path / f"{name}.onnx", (i, i))
    assert sorted(f.name for f in tmp_path.iterdir()) == ["b.onnx", "c.onnx"]
    assert store.kept(tmp_path, "b.onnx", lambda: b"made again") == bytes(100)
    store.kept(tmp_path, "d.onnx", lambda: bytes(100))
    assert sorted(f.name for f in tmp_path.iterdir()) == ["b.onnx", "d.onnx"]


def test_what_is_chosen(monkeypatch):
    assert backends.choose("auto", CPU) == "onnx"
    gpu = devices.Device(torch.device("cuda"), torch.float16)
    assert backends.choose("auto", gpu) == "torch" and backends.choose("onnx", gpu) == "onnx"
    assert backends.choose(" OpenVINO:GPU ", CPU) == "openvino:gpu"
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert backends.choose("auto", CPU) == "torch"
    for wanted in ("tensorrt", "onnx:gpu"):
        with pytest.raises(SpeechError, match="is not known; choose one of auto, onnx, torch") as caught:
            backends.choose(wanted, CPU)
        assert caught.value.message.say("zh") != str(caught.value)


def test_an_old_torch_learns_of_an_intel_gpu_from_its_extension(tmp_path, monkeypatch):
    (tmp_path / "intel_extension_for_pytorch.py").write_text(
        "import torch\ntorch.xpu.is_available = lambda: True\ntorch.xpu.device_count = lambda: 1\n"
    )
    monkeypatch.setattr(torch.xpu, "is_available", lambda: False)
    monkeypatch.setattr(torch.xpu, "device_count", lambda: 0)
    monkeypatch.delitem(sys.modules, devices.IPEX, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert devices.available()[0] == "xpu:0"
    del sys.modules[devices.IPEX]  # not by monkeypatch, which would bring the stand-in back for the tests after this
    (tmp_path / "intel_extension_for_pytorch.py").write_text("raise OSError('no driver')")
    monkeypatch.setattr(torch.xpu, "is_available", lambda: False)
    assert "xpu:0" not in devices.available()


@pytest.mark.parametrize("name", ["openvino", "ipex"])
def test_a_missing_package_is_a_sentence_with_the_remedy(name, monkeypatch, folder):
    monkeypatch.setitem(sys.modules, PACKAGES.get(name, "openvino"), None)
    with pytest.raises(SpeechError, match=r"(requirements-openvino\.txt|make test-ipex).* backend: auto") as caught:
        engine(folder, f"backend={name}").load()
    assert "\n" not in str(caught.value) and caught.value.message.say("zh") != str(caught.value)


def test_a_missing_driver_is_a_sentence_with_the_remedy():
    from infer.engine.backends.openvino_backend import _device

    assert _device(["CPU"], "auto") == "CPU" and _device(["CPU", "GPU.0", "GPU.1"], "") == "GPU.0"
    assert _device(["CPU", "GPU.0", "GPU.1"], "gpu.1") == "GPU.1" and _device(["CPU", "NPU"], "npu") == "NPU"
    for wanted, remedy in (("gpu", "intel-opencl-icd"), ("npu", "NPU driver"), ("fpga", "one of those")):
        with pytest.raises(SpeechError, match=f"finds no {wanted.upper()} here, only CPU; install .*{remedy}"):
            _device(["CPU"], wanted)


@pytest.mark.skipif("openvino:cpu" not in HERE, reason="OpenVINO is not installed")
def test_openvino_compiles_each_shape_once_where_it_must(tmp_path, monkeypatch):
    """What a GPU gets, here on the CPU: fixed shapes."""
    network = tiny()
    backend = made("openvino:cpu", network, tmp_path)
    backend.compiles = True
    backend._ready.clear()
    compiled = []
    real = backend._compiled
    monkeypatch.setattr(backend, "_compiled", lambda *a: compiled.append(a[0]) or real(*a))
    for _ in range(2):
        check_encode(backend, network, 20)
        check_frames(backend, network, 47)
    assert sorted(compiled) == ["encode", "flow", "head", "head", "tail", "tail"]  # windows of 15 and 30


def test_the_next_sentence_is_prepared_meanwhile_and_its_error_comes_in_its_turn(folder, monkeypatch):
    speaker = engine(folder)
    voice = loaded(speaker)
    threads, said = [], "你好。" * 3
    encode = voice.backend.encode

    def failing(*arguments, **options):
        threads.append(threading.current_thread().name)
        if len(threads) == 3:
            raise RuntimeError("the third")
        return encode(*arguments, **options)

    monkeypatch.setattr(voice.backend, "encode", failing)
    heard = []
    with pytest.raises(RuntimeError, match="the third"):
        for piece in speaker.speak([SpeechRequest(said)]):
            heard.append(piece.sentence)
    assert sorted(set(heard)) == [0, 1]
    # The first, for which its listener waits anyhow, in the listener's own thread.
    assert threads == [threading.current_thread().name, "next-sentence", "next-sentence"]
    assert not any(t.name.startswith("next-sentence") and t.is_alive() for t in _joined())


def _joined() -> list[threading.Thread]:
    for thread in threading.enumerate():
        if thread.name.startswith("next-sentence"):
            thread.join(10)
    return threading.enumerate()


def test_a_long_first_sentence_is_cut_at_a_comma_where_more_follows(folder):
    speaker = engine(folder)
    first = "今天天气很好，我们一起去公园散步然后再去吃一顿晚饭吧。"

    def spoken(text, chosen=speaker):
        return list(dict.fromkeys((p.sentence, p.utterance.text) for p in chosen.speak([SpeechRequest(text)])))

    assert next(t for _, t in spoken(first + "再见。")) == "今天天气很好,"
    assert len(spoken(first)) == 1  # alone it is said as it is written
    assert len(spoken("你好吗，朋友。" + first)) == 2  # the first is short, and others are not cut
    assert len(spoken(first + "再见。", engine(folder, "first_piece=0"))) == 2


def test_the_first_window_is_the_smallest(folder, monkeypatch):
    speaker = engine(folder)
    voice = loaded(speaker)
    lengths = []
    tail = voice.backend.tail
    monkeypatch.setattr(voice.backend, "tail", lambda x, mask: lengths.append(x.shape[-1]) or tail(x, mask))
    next(speaker.speak([SpeechRequest("今天天气很好我们去公园。")]))
    assert lengths == [15 * voice.config.upsample_rates[0]]


def test_the_parts_of_the_decoder_are_the_decoder():
    network = golden_network("extra-fix")
    z, speaker = torch.randn(1, network.config.inter_channels, 20), torch.randn(1, network.config.gin_channels, 1)
    with torch.inference_mode():
        whole = network.dec(z, speaker)
        assert torch.equal(network.dec.tail(network.dec.head(z, speaker)), whole)
        flat = TorchBackend(copy.deepcopy(network), CPU)
        assert close(flat.tail(flat.head(z, speaker, None), None), whole[0, 0], 1e-5)
    assert halos(network.config) == (11, 2)
