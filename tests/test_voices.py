"""Voices on disk: whatever lies among them, the program starts, the good ones speak and the others say why not."""

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import safetensors.torch

from infer import log
from infer.cli.say import main
from infer.engine import catalogue as voices
from infer.engine.catalogue import BrokenVoice, Catalogue
from infer.engine.pipeline import Engine
from infer.request import BadRequest, SpeechError
from infer.settings import Settings, load_settings
from tests.conftest import golden, writable_copy
from tests.voices import CONFIG, make_tiny_voice

ROOT = Path(__file__).resolve().parents[1]
NO_UTF8 = os.fsdecode("坏".encode("gbk") + b"\x1b\n")


def settings(folder: Path, *overrides: str) -> Settings:
    return load_settings(
        overrides=[f"voices=[{folder}]", "webui.device=cpu", "cache_path=", *overrides], environment={}, root=folder
    )


@cache
def tiny_files() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return {file.name: file.read_bytes() for file in make_tiny_voice(Path(folder)).iterdir()}


def tiny(place: Path) -> Path:
    """A good voice, many times over."""
    place.mkdir()
    for name, data in tiny_files().items():
        (place / name).write_bytes(data)
    return place


def config_with(place: Path, **changes: object) -> None:
    (tiny(place) / "config.json").write_text(json.dumps(CONFIG | changes))


def content(place: Path, config: bytes) -> None:
    (tiny(place) / "config.json").write_bytes(config)


def replaced(place: Path, name: str, put: Callable[[Path], object]) -> None:
    (tiny(place) / name).unlink()
    put(place / name)


# name of the folder -> how it is made, and what is said of it
BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "0 empty": (Path.mkdir, "no G_*.pth and no G.safetensors"),
    "0 too deep": (lambda p: (p / "voice").mkdir(parents=True), "no G_*.pth and no G.safetensors"),
    "0 named otherwise": (lambda p: tiny(p).joinpath("G.safetensors").rename(p / "x.safetensors"), "no G_*.pth"),
    "0 gone": (lambda p: p.symlink_to("/nowhere/at/all"), "a link to nothing"),
    "0 loop": (lambda p: p.symlink_to(p), "cannot be looked into"),
    "0 device": (lambda p: p.symlink_to("/dev/zero"), "cannot be looked into"),
    "0 models gone": (lambda p: (p.mkdir(), (p / "models").symlink_to("/nowhere"))[0], "no G_*.pth"),
    "0 dangling": (lambda p: replaced(p, "G.safetensors", lambda f: f.symlink_to("/nowhere")), "does not exist"),
    "0 pipe": (lambda p: replaced(p, "G.safetensors", os.mkfifo), "a folder or a device"),
    "0 zero": (lambda p: replaced(p, "G.safetensors", lambda f: f.symlink_to("/dev/zero")), "a folder or a device"),
    "0 folder": (lambda p: replaced(p, "G.safetensors", Path.mkdir), "a folder or a device"),
    "0 half a file": (lambda p: os.truncate(tiny(p) / "G.safetensors", 3000), "was refused"),
    "0 no config": (lambda p: (tiny(p) / "config.json").unlink(), "no config.json beside"),
    "0 config folder": (lambda p: replaced(p, "config.json", Path.mkdir), "a folder or a device"),
    "0 config pipe": (lambda p: replaced(p, "config.json", os.mkfifo), "a folder or a device"),
    "0 config loop": (lambda p: replaced(p, "config.json", lambda f: f.symlink_to(f)), "leads back to itself"),
    "0 config gone": (lambda p: replaced(p, "config.json", lambda f: f.symlink_to("/nowhere")), "cannot be read"),
    "0 config list": (lambda p: content(p, b"[]"), "must hold an object"),
    "0 config NaN": (lambda p: content(p, b'{"model": NaN}'), "no number of JSON"),
    "0 config deep": (lambda p: content(p, b"[" * 200_000), "not valid JSON"),
    "0 config large": (lambda p: content(p, b'{"title": "' + b"x" * (5 << 20) + b'"}'), "far too large"),
    "0 config GBK": (lambda p: content(p, '{"title": "小雨"}'.encode("gbk")), "is GBK text and must be UTF-8"),
    "0 config pointer": (lambda p: content(p, b"version https://git-lfs.github.com/spec/v1\n"), "Git LFS pointer"),
    "0 config page": (lambda p: content(p, b"<!doctype html>"), "a web page"),
    "0 speakers": (lambda p: config_with(p, data=CONFIG["data"] | {"n_speakers": 65536}), "set data.n_speakers to 2"),
    "0 layers": (
        lambda p: config_with(p, model=CONFIG["model"] | {"n_flow_layer": 16, "n_layers_trans_flow": 64}),
        "can hold",
    ),
}
ODD: dict[str, Callable[[Path], object]] = {  # these speak, by names that can be shown
    NO_UTF8: tiny,
    "0 half": lambda p: config_with(p, title="\ud800 half"),
    "0 escapes": lambda p: config_with(p, title="\x1b[2J\n\u202eevil"),
    "0 long": lambda p: config_with(p, title="题" * 600_000),
    "0 title of a list": lambda p: config_with(p, title=["x"]),
    "0 names": lambda p: config_with(p, data=CONFIG["data"] | {"spk2id": {"\udc80": 0, "乙" * 99_999: 1}}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Every kind of broken voice, sorted before the good one."""
    folder = tmp_path_factory.mktemp("clumsy")
    for name, (make, _) in BROKEN.items():
        make(folder / name)
    for name, make in ODD.items():
        make(folder / name)
    (folder / "a file").write_text("no voice")
    (folder / ".hidden").mkdir()
    (folder / "other things").mkdir()
    (folder / "other things" / "graph.onnx").write_text("no voice")
    tiny(folder / "good")
    return folder


@pytest.fixture(scope="module")
def engine(folder) -> Engine:
    return Engine(settings(folder))


def test_what_is_broken_is_listed_with_its_fault_and_the_good_one_is_the_default(folder, engine):
    infos = engine.voices()
    assert len(infos) == len(BROKEN) + len(ODD) + 1
    assert infos[engine.default_voice].family == "small"
    for name, (_, reason) in BROKEN.items():
        info = infos[name]
        [missing] = info.missing
        chinese, english = missing.pair
        assert not info.family and reason in english and english.startswith(f"The voice {name!r} cannot be used: ")
        assert chinese.startswith(f"音色 {name!r} 不能用：") and str(folder) not in english + chinese
        with pytest.raises(BrokenVoice) as caught:
            engine.load(name)
        assert (str(caught.value), caught.value.message.say("zh")) == (english, chinese)


def test_names_that_cannot_be_shown_or_sent_are_changed_and_speak(engine):
    infos = engine.voices()
    words = [
        w
        for info in infos.values()
        for w in (info.id, info.title, *info.speakers, *(w for m in info.missing for w in m.pair))
    ]
    assert json.loads(json.dumps(words, ensure_ascii=False).encode()) == words
    assert all(word.isprintable() and len(word) < 1200 for word in words)
    odd = next(id for id in infos if "\ufffd" in id)
    assert engine.load(odd).id == odd == infos[odd].title
    assert [infos[f"0 {name}"].title for name in ("half", "escapes", "title of a list")] == [
        *("? half", "?[2J ?evil", "0 title of a list")
    ]
    assert infos["0 long"].title == "题" * 79 + "…"
    assert infos["0 names"].speakers == ("?", "乙" * 79 + "…")


def test_no_voice_in_an_error_or_a_list_goes_on_for_ever(engine):
    with pytest.raises(BadRequest) as caught:
        engine.load("\x1b" + "x" * 100_000)
    assert len(str(caught.value)) < 400 and str(caught.value).isprintable()


def test_two_names_that_look_the_same_are_two_voices(tmp_path):
    make_tiny_voice(tmp_path / "a\x01")
    make_tiny_voice(tmp_path / "a\x02", seed=1)
    assert list(Catalogue(settings(tmp_path)).find()) == ["a\ufffd", "a\ufffd'"]


def test_the_command_line_lists_them_and_speaks(folder, tmp_path, capsys):
    given = [word for o in (f"voices=[{folder}]", "webui.device=cpu", "threads=1") for word in ("--set", o)]
    assert main(["--list", *given]) == 0
    told = capsys.readouterr().out
    assert "good\tspeakers: 甲, 乙" in told and "0 gone\tThe voice '0 gone' cannot be used: " in told
    assert all(line.isprintable() for line in told.replace("\t", "").splitlines())
    assert main(["你好。", "-q", "--voice", "0 gone", "-o", str(tmp_path / "a.wav"), *given]) == 1
    assert "a link to nothing" in capsys.readouterr().err
    assert main(["你好。", "-q", "--voice", "good", "-o", str(tmp_path / "a.wav"), *given]) == 0


def test_the_page_starts_among_them_and_with_a_broken_default(folder, tmp_path):
    from tests.test_page import start

    process, server = start(folder, tmp_path, "--set", "voice=0 half a file")
    try:
        with urllib.request.urlopen(server.url, timeout=60) as answer:
            assert answer.status == 200 and b"0 half a file" in answer.read()
        told = server.output.read_text()
        assert told.startswith("The voice '0 half a file' cannot be used: G.safetensors") and "Traceback" not in told
    finally:
        process.terminate()
        process.wait(timeout=60)


def test_the_default_is_what_the_settings_say_else_the_owner_s_else_the_embedded(tmp_path):
    for name in ("00 new", "xiaoyu", "mine"):
        make_tiny_voice(tmp_path / "voices" / name)
    make_tiny_voice(tmp_path / "own")

    def default(*overrides: str) -> str:
        return Catalogue(settings(tmp_path, f"voices=[{tmp_path / 'voices'}]", *overrides)).default()

    own = f"webui.model={tmp_path}/own/G.safetensors"
    assert default() == "xiaoyu"
    assert default(own) == "own"
    assert default(own, "voice=mine") == "mine"
    shutil.rmtree(tmp_path / "voices" / "xiaoyu")
    (tmp_path / "voices" / "00 new" / "G.safetensors").write_bytes(b"")
    assert default() == "mine"  # the first that can be used
    assert default(own) == "own"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("voice=gone", "the setting voice names it, .* there are good: correct voice in config.yml"),
        ("voice=torn", "was refused, since it is empty"),
        ("webui.model=no/G_1.pth", "there is no file no/G_1.pth; correct config.yml"),
    ],
)
def test_a_default_that_is_broken_says_so_and_others_speak(override, told, tmp_path):
    make_tiny_voice(tmp_path / "good")
    if override == "voice=torn":
        (make_tiny_voice(tmp_path / "torn") / "G.safetensors").write_bytes(b"")
    engine = Engine(settings(tmp_path, override))
    with pytest.raises(BrokenVoice, match=told):
        engine.load()
    assert engine.load("good").id == "good"
    assert not engine.voices()[engine.default_voice].family


def test_a_broken_voice_is_read_once_until_its_files_change(tmp_path, monkeypatch):
    make_tiny_voice(tmp_path / "good")
    torn = make_tiny_voice(tmp_path / "torn") / "G.safetensors"
    good = torn.read_bytes()
    torn.write_bytes(b"no voice")
    seen = []
    read = voices.recognise
    monkeypatch.setattr(voices, "recognise", lambda file, config: seen.append(file.parent.name) or read(file, config))
    engine = Engine(settings(tmp_path))
    for _ in range(3):
        assert [bool(info.family) for info in engine.voices().values()] == [True, False]
    assert seen == ["good", "torn"]
    torn.write_bytes(good)
    assert engine.voices()["torn"].family and seen == ["good", "torn", "torn"]
    torn.unlink()
    assert not engine.voices()["torn"].family and len(seen) == 3  # nothing to read
    engine.catalogue.find()
    shutil.rmtree(tmp_path / "torn")
    assert list(engine.voices()) == ["good"]


def test_what_nobody_foresaw_is_told_beside_the_voice(tmp_path, monkeypatch):
    make_tiny_voice(tmp_path / "a")
    monkeypatch.setattr(voices, "recognise", lambda *_: 1 / 0)
    chinese, english = Engine(settings(tmp_path)).voices()["a"].missing[0].pair
    assert "ZeroDivisionError" in english and "ZeroDivisionError" in chinese


@pytest.fixture
def forbidden() -> Iterator[tuple[Path, Settings]]:
    """A good voice, a folder that nobody may look into, and a file that nobody may read; and we are not root.

    Settings of these voices, which are read before: the repository itself may be root's alone.
    """
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    make_tiny_voice(folder / "good").chmod(0o755)
    make_tiny_voice(folder / "file")
    make_tiny_voice(folder / "folder")
    for file in folder.rglob("*"):
        file.chmod(0o755)
    (folder / "file" / "G.safetensors").chmod(0)
    (folder / "folder").chmod(0)
    root, read = os.geteuid() == 0, settings(folder)
    Engine(read).voices()  # imports what it needs
    if root:
        os.seteuid(65534)
    try:
        yield folder, read
    finally:
        if root:
            os.seteuid(0)
        (folder / "folder").chmod(0o755)
        shutil.rmtree(folder)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions as on Unix")
def test_no_permission_is_told_and_noticed_when_it_comes(forbidden):
    folder, read = forbidden
    engine = Engine(read)
    assert engine.default_voice == "good"
    infos = engine.voices()
    assert "cannot be looked into (Permission denied)" in infos["folder"].missing[0].say("en")
    assert "cannot be read (Permission denied)" in infos["file"].missing[0].say("en")
    if os.getuid() == 0:
        os.seteuid(0)
    (folder / "file" / "G.safetensors").chmod(0o644)
    (folder / "folder").chmod(0o755)
    if os.getuid() == 0:
        os.seteuid(65534)
    assert all(info.family for info in engine.voices().values())


OVERWRITTEN = """
import sys
from pathlib import Path
from infer.engine.pipeline import Engine
from infer.request import SpeechError, SpeechRequest
from infer.settings import load_settings
folder = Path(sys.argv[1])
for backend in ("torch", "onnx"):
    own = [f"voices=[{folder}]", f"voice={backend}", f"backend={backend}", "webui.device=cpu", "cache_path="]
    engine = Engine(load_settings(overrides=own, environment={}))
    pieces = engine.speak([SpeechRequest("你好，世界。银行里有两个人！")])
    count = len(next(pieces).samples)
    for name in ("G.safetensors", "config.json"):
        with (folder / backend / name).open("r+b") as file:
            file.truncate(0)
    print(backend, "spoke", count + sum(len(piece.samples) for piece in pieces), flush=True)
    try:
        next(engine.speak([SpeechRequest("你好。")]))
    except SpeechError as error:
        print(error, flush=True)

import torch
from bert import BertFeatures
from bert.quantise import quantise
from emotional import ClapEmotion
quantise(folder / "bert")
models = {
    "bert": BertFeatures.load(folder / "bert"),
    "int8": BertFeatures.load(folder / "bert", dtype=torch.int8),
    "clap": ClapEmotion.load(folder / "clap"),
}
for file in (*folder.glob("bert/*.safetensors"), *folder.glob("clap/*.safetensors")):
    with file.open("r+b") as stream:
        stream.truncate(0)
for name, model in models.items():
    print(name, len(model.text("happy") if name == "clap" else model("你好", [1, 2, 2, 1])), flush=True)
"""


def test_a_file_that_is_overwritten_while_its_voice_speaks_ends_nothing(tmp_path):
    for name in ("torch", "onnx"):
        weights = make_tiny_voice(tmp_path / name) / "G.safetensors"
        state = {name: value.float() for name, value in safetensors.torch.load(weights.read_bytes()).items()}
        safetensors.torch.save_file(state, weights)  # in float32 the library's tensors are the mapped file itself
    for source, name in ((golden() / "bert" / "megatron-tiny", "bert"), (golden() / "clap-tiny", "clap")):
        weights = writable_copy(source, tmp_path / name) / "model.safetensors"
        state = {name: value.float() for name, value in safetensors.torch.load(weights.read_bytes()).items()}
        safetensors.torch.save_file(state, weights, metadata={"format": "pt"})
    run = subprocess.run(
        [sys.executable, "-c", OVERWRITTEN, tmp_path],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, (run.returncode, run.stdout, run.stderr[-2000:])  # -7 is SIGBUS
    lines = run.stdout.splitlines()
    assert [line.split()[0] for line in (*lines[:4:2], *lines[4:])] == ["torch", "onnx", "bert", "int8", "clap"]
    assert all("cannot be used: config.json is not valid JSON" in line for line in lines[1:4:2])


@pytest.fixture
def told(monkeypatch, capsys) -> Callable[[bool], str]:
    """What stands in the terminal after errors: two that were logged, one of a thread."""

    def tell(debug: bool) -> str:
        log.set_up(debug)
        monkeypatch.setattr(logging.root, "handlers", [])  # as outside of tests
        try:
            int("no\nnumber")
        except ValueError as error:
            log.failure("counting 100%", error)
            logging.getLogger("some.library").exception("of a %s", "library")
        thread = threading.Thread(target=lambda: int("thread"))
        thread.start()
        thread.join()
        return capsys.readouterr().err

    return tell


def test_debug_shows_tracebacks_and_without_it_each_error_is_a_line(told):
    short = told(False).splitlines()
    assert len(short) == 3 and all("ValueError: invalid literal" in line for line in short)
    assert short[0].startswith("counting 100% went wrong (ValueError: ") and "webui.debug: true" in short[0]
    assert short[1].startswith("of a library (")
    assert told(True).count("Traceback (most recent call last)") == 3


def test_nothing_prints_a_traceback_of_its_own():
    """All goes through infer/log.py."""
    places = [*(ROOT / "infer").rglob("*.py"), *(ROOT / "page").rglob("*.py"), ROOT / "webui.py"]
    guilty = [
        file.name for file in places if "print_exc" in (text := file.read_text("utf-8")) or "exc_info=True" in text
    ]
    assert guilty == []


def test_an_error_of_a_voice_is_one_of_speech():
    assert issubclass(BrokenVoice, SpeechError)
