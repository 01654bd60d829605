"""python -m infer.models against a hub on this machine: what comes is whole and verified, or it does not come."""

import contextlib
import hashlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import namedtuple
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from filelock import FileLock
from safetensors import safe_open
from safetensors.torch import load_file

import bert
from infer.cli import models as command
from infer.cli.models import main
from infer.engine.voice import Features
from infer.hub import FetchError, download
from infer.hub.convert import convert
from infer.hub.download import bring
from infer.hub.listing import MODELS, Model, place, status
from infer.hub.listing import command as command_for
from infer.hub.repository import look_up
from infer.settings import Settings, load_settings
from tests.conftest import golden

ROOT = Path(__file__).resolve().parents[1]
MEGATRON = golden() / "bert" / "megatron-tiny"
COMMIT = "c0ffee" * 6 + "c0ff"
LARGE = (".bin", ".safetensors", ".onnx")  # what the hub keeps apart, by SHA-256, and serves from another host


class Hub(ThreadingHTTPServer):
    """The part of the hub's protocol that matters here. Attributes are what goes wrong; `log` is what was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos: dict[str, dict[str, bytes]] = {}
        self.announced: dict[str, str] = {}  # file name -> the SHA-256 it is said to have
        self.log: list[tuple[str, str, str, bool]] = []  # method, path, Range, signed in
        self.errors: dict[str, tuple[int, str]] = {}  # part of a path -> status, X-Error-Code
        self.break_after = 0  # bytes, then the connection ends
        self.breaks = 10**6  # how often
        self.ranges = True
        self.metadata = True  # sizes and hashes in the listing
        self.delay = 0.0  # seconds between pieces of 64 KiB

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def got(self, name: str) -> list[str]:
        """The Range of every request for the bytes of a file."""
        return [span for method, path, span, _ in self.log if method == "GET" and path.endswith(f"/cdn/{name}")]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path, hub = self.path.partition("?")[0], self.server
        hub.log.append((self.command, path, self.headers.get("Range", ""), "Authorization" in self.headers))
        for part, (code, name) in hub.errors.items():
            if part in path:
                return self.answer(code, b"", {"X-Error-Code": name} if name else {})
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/([^/]+)", path):
            return self.listing(*found.groups())
        if found := re.fullmatch(rf"/([^/]+/[^/]+)/resolve/{COMMIT}/(.+)", path):
            return self.resolve(*found.groups())
        if found := re.fullmatch(r"/([^/]+/[^/]+)/cdn/(.+)", path):
            return self.content(hub.repos[found[1]][found[2]])
        return self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})

    def listing(self, repo: str, revision: str) -> None:
        if repo not in self.server.repos:
            return self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        if revision not in ("main", COMMIT):
            return self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        siblings = []
        for name, data in self.server.repos[repo].items():
            entry = {"rfilename": name}
            if self.server.metadata:
                entry |= {"size": len(data), "blobId": git(data)}
                if name.endswith(LARGE):
                    entry |= {"blobId": "0" * 40}  # of the pointer, not of the file
                    entry["lfs"] = {"size": len(data), "sha256": self.sha256(name, data), "pointerSize": 134}
            siblings.append(entry)
        body = json.dumps({"id": repo, "sha": COMMIT, "siblings": siblings}).encode()
        return self.answer(200, body, {"Content-Type": "application/json"})

    def resolve(self, repo: str, name: str) -> None:
        data = self.server.repos[repo][name]
        if not name.endswith(LARGE):
            return self.content(data, {"ETag": f'"{git(data)}"', "X-Repo-Commit": COMMIT})
        headers = {
            "Location": f"http://localhost:{self.server.server_port}/{repo}/cdn/{name}",
            "X-Repo-Commit": COMMIT,
            "X-Linked-Size": str(len(data)),
            "X-Linked-Etag": f'"{self.sha256(name, data)}"',
        }
        return self.answer(302, b"", headers)

    def content(self, data: bytes, headers: dict[str, str] | None = None) -> None:
        start, code, headers = 0, 200, dict(headers or {})
        if self.server.ranges and (span := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))):
            start, code = int(span[1]), 206
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        broken = 0 < self.server.break_after < len(data) - start and self.server.breaks > 0
        self.answer(code, data[start:], headers, self.server.break_after if broken else None)

    def answer(self, code: int, body: bytes, headers: dict[str, str], cut: int | None = None) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        with contextlib.suppress(ConnectionError):
            for place in range(0, len(body[:cut]), 1 << 16):
                self.wfile.write(body[:cut][place : place + (1 << 16)])
                time.sleep(self.server.delay)
        if cut is not None:
            self.server.breaks -= 1
            self.close_connection = True

    def sha256(self, name: str, data: bytes) -> str:
        return self.server.announced.get(name) or hashlib.sha256(data).hexdigest()

    def log_message(self, *_) -> None:
        pass


def git(data: bytes) -> str:
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


def binary(table: object, **options: object) -> bytes:
    file = io.BytesIO()
    torch.save(table, file, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def release() -> dict[str, bytes]:
    """A repository with .bin only, as the published ones: another prefix, a head that shares its weights, a README."""
    state = {f"bert.{name}": tensor for name, tensor in load_file(MEGATRON / "model.safetensors").items()}
    state["cls.predictions.decoder.weight"] = state["bert.embeddings.word_embeddings.weight"]
    files = {name: (MEGATRON / name).read_bytes() for name in bert.FILES}
    return files | {"README.md": b"# no", "../escape.txt": b"no", "pytorch_model.bin": binary(state)}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, release: dict[str, bytes]):
    """A hub with one repository, which the calls in this process reach, and nothing else."""
    from huggingface_hub import constants

    look_up_name = socket.getaddrinfo

    def only_here(host, *arguments, **options):
        if host not in ("127.0.0.1", "localhost"):
            elsewhere.append(host)
            raise socket.gaierror(f"{host} is not this machine")
        return look_up_name(host, *arguments, **options)

    elsewhere: list[str] = []
    monkeypatch.setattr(socket, "getaddrinfo", only_here)
    with Hub() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        server.repos["tiny/bert"] = dict(release)
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", os.devnull)
        monkeypatch.setattr(download, "PAUSE_S", 0.01)
        yield server
        server.shutdown()
    assert elsewhere == []


@pytest.fixture
def settings(tmp_path: Path):
    return load_settings(environment={}, root=tmp_path)


@pytest.fixture
def folder(settings) -> Path:
    return settings.path(settings.bert_path)


@pytest.fixture
def item(release: dict[str, bytes]) -> Model:
    known = {"pytorch_model.bin": hashlib.sha256(release["pytorch_model.bin"]).hexdigest()}
    return replace(MODELS[0], repo="tiny/bert", sha256=known)


def fetch(model: Model, settings: Settings, progress=lambda *_: None, keep_bin=False, endpoint=None) -> list[str]:
    """Looks a model up and brings it; the proof of every file."""
    return list(map(str, bring(look_up(model, settings, endpoint), progress, keep_bin)))


def start(hub: Hub, tmp_path: Path, *arguments: str) -> subprocess.Popen:
    """python -m infer.models as a user starts it, with its folders under tmp_path."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("BV2_", "HF_"))}
    environment |= {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "infer.models", "--set", f"bert_path={tmp_path / 'bert'}", *arguments]
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    options["preexec_fn"] = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background job ignores it
    return subprocess.Popen(command, cwd=ROOT, env=environment, **options)


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()} - {".fetch.lock"}


COMPLETE = {"config.json", "vocab.txt", "model.safetensors"}


def test_the_command_brings_a_model_that_speaks(hub, tmp_path):
    process = start(hub, tmp_path, "bert", "--repo", "bert=tiny/bert")
    out, error = process.communicate(timeout=120)
    assert (process.returncode, error) == (0, "")
    assert "bert: tiny/bert -> " in out and "pytorch_model.bin: SHA-256" in out and "as the hub says" in out
    assert names(tmp_path / "bert") == COMPLETE and not any(f.is_symlink() for f in (tmp_path / "bert").iterdir())
    text, word2ph = "音乐让人快乐!", [2] * 9
    brought, original = bert.BertFeatures.load(tmp_path / "bert"), bert.BertFeatures.load(MEGATRON)
    assert torch.equal(brought(text, word2ph), original(text, word2ph))
    assert not (tmp_path / "escape.txt").exists()
    paths = {path for _, path, _, _ in hub.log}
    assert all("bert" in path for path in paths), "nothing but the model was asked for"
    assert not any("README" in path or "escape" in path for path in paths)

    asked = len(hub.log)
    process = start(hub, tmp_path, "bert")
    assert "everything is here" in process.communicate(timeout=120)[0] and process.returncode == 0
    assert len(hub.log) == asked


@pytest.mark.usefixtures("hub")
def test_every_file_is_proved(item, settings, folder):
    report = fetch(item, settings)
    assert [line.partition(":")[0] for line in report] == [*bert.FILES, "pytorch_model.bin", "model.safetensors"]
    assert "git blob" in report[0]
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert file.metadata() == {
            "format": "pt",
            "source": f"tiny/bert@{COMMIT}/pytorch_model.bin",
            "sha256": item.sha256["pytorch_model.bin"],
        }


@pytest.mark.usefixtures("hub")
def test_progress_counts_bytes(item, settings, release):
    seen: dict[str, list[tuple[int, int]]] = {}
    fetch(item, settings, lambda label, done, total: seen.setdefault(label, []).append((done, total)))
    size = len(release["pytorch_model.bin"])
    assert seen["bert: pytorch_model.bin"][0] == (0, size) and seen["bert: pytorch_model.bin"][-1] == (size, size)
    assert seen["bert: pytorch_model.bin (checking)"][-1] == (size, size)
    assert all(list(steps) == sorted(steps) for steps in seen.values())


def test_a_broken_connection_is_taken_up(hub, item, settings, folder, release):
    size = len(release["pytorch_model.bin"])
    hub.break_after = size // 3 + 1
    fetch(item, settings)
    assert hub.got("pytorch_model.bin") == ["", *(f"bytes={hub.break_after * i}-" for i in (1, 2))]
    assert names(folder) == COMPLETE


def test_an_interrupted_download_goes_on_the_next_time(hub, item, settings, folder, release):
    size = len(release["pytorch_model.bin"])
    hub.break_after, hub.breaks = size // 2, 1

    def then_the_hub_is_down(_: str, done: int, total: int) -> None:
        if done == total // 2 == size // 2:
            hub.errors["/resolve/"] = (503, "")

    with pytest.raises(FetchError, match=r"answers 503 for tiny/bert: .*; what is here already stays"):
        fetch(item, settings, then_the_hub_is_down)
    hub.errors.clear()
    assert list(map(str, bert.missing_files(folder))) == ["model.safetensors or pytorch_model.bin"]
    [now] = status(settings, [item])
    assert not now.ready and now.part == size // 2
    assert look_up(item, settings).size == size - size // 2
    fetch(item, settings)
    assert hub.got("pytorch_model.bin") == ["", f"bytes={size // 2}-"]
    assert names(folder) == COMPLETE


def test_a_server_without_ranges_starts_anew(hub, item, settings, folder, release):
    hub.ranges, hub.break_after, hub.breaks = False, len(release["pytorch_model.bin"]) // 2, 1
    fetch(item, settings)
    assert len(hub.got("pytorch_model.bin")) == 2 and names(folder) == COMPLETE


def test_a_connection_that_never_delivers_ends_in_a_sentence(hub, item, settings):
    hub.ranges, hub.break_after = False, 100_000
    with pytest.raises(FetchError, match="cannot be reached"):
        fetch(item, settings)
    assert len(hub.got("pytorch_model.bin")) == download.RETRIES + 2  # the first one brought something


def test_control_c_leaves_what_can_go_on(hub, tmp_path):
    hub.repos["tiny/bert"]["model.safetensors"] = os.urandom(4 << 20)
    hub.delay = 0.5
    process = start(hub, tmp_path, "bert", "--repo", "bert=tiny/bert")
    folder = tmp_path / "bert"
    until = time.monotonic() + 60
    while not any(file.stat().st_size for file in folder.glob("model.safetensors.*.part")):
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and "Interrupted: run it again" in error and "Traceback" not in error
    assert list(map(str, bert.missing_files(folder))) == ["model.safetensors or pytorch_model.bin"]
    hub.delay = 0.0
    process = start(hub, tmp_path, "bert", "--repo", "bert=tiny/bert")
    assert "is here)" in process.communicate(timeout=120)[0] and process.returncode == 0
    first, second = hub.got("model.safetensors")
    assert first == "" and re.fullmatch(r"bytes=[1-9]\d+-", second)
    assert (folder / "model.safetensors").read_bytes() == hub.repos["tiny/bert"]["model.safetensors"]


def test_another_file_than_the_known_one_is_not_even_fetched(hub, item, settings, folder):
    item = replace(item, sha256={"pytorch_model.bin": "ab" * 32})
    with pytest.raises(FetchError, match=r"is refused: its hash is .* abababababab… was expected; .*--repo"):
        fetch(item, settings)
    assert not hub.got("pytorch_model.bin") and not folder.exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "config.json"])
def test_bytes_that_differ_from_the_hash_are_refused(hub, item, settings, folder, name):
    plan = look_up(item, settings)
    data = hub.repos["tiny/bert"][name]
    hub.repos["tiny/bert"][name] = data[:100] + bytes([data[100] ^ 1]) + data[101:]
    with pytest.raises(FetchError, match=rf"{name} of tiny/bert is refused"):
        bring(plan)
    assert not any(name in file.name or "safetensors" in file.name for file in folder.iterdir())
    assert bert.missing_files(folder)


def test_a_longer_file_than_announced_is_refused(hub, item, settings, folder):
    plan = look_up(item, settings)
    hub.repos["tiny/bert"]["config.json"] += b" "
    with pytest.raises(FetchError, match=r"does not send the whole of config.json"):
        bring(plan)
    assert not (folder / "config.json").exists()


@pytest.mark.parametrize(
    ("path", "error", "sentence"),
    [
        ("/api/", (404, "RepoNotFound"), r"knows no public model repository tiny/bert: name another one with --repo"),
        ("/api/", (401, "RepoNotFound"), r"knows no public model repository tiny/bert: .*HF_TOKEN"),
        ("/api/", (404, "RevisionNotFound"), r"has no revision 'main': correct --revision bert="),
        ("/api/", (403, "GatedRepo"), r"refuses access to tiny/bert \(403\): accept its terms .*HF_TOKEN"),
        ("/resolve/", (403, ""), r"refuses access to tiny/bert \(403\)"),
        ("/resolve/", (401, ""), r"HF_TOKEN"),
        ("/cdn/", (404, ""), r"knows no public|no longer"),
        ("/resolve/", (404, "EntryNotFound"), r"A file of tiny/bert is no longer on"),
        ("/cdn/", (503, ""), r"answers 503 for tiny/bert: try later, or set HF_ENDPOINT to a mirror"),
    ],
)
def test_what_the_hub_refuses_is_a_sentence_with_the_remedy(hub, item, settings, folder, path, error, sentence):
    hub.errors[path] = error
    with pytest.raises(FetchError, match=sentence) as caught:
        fetch(item, settings)
    assert "\n" not in str(caught.value) and re.search("[一-龥]", caught.value.message.say("zh"))
    assert bert.missing_files(folder)


@pytest.mark.usefixtures("hub")
def test_no_hub_is_a_sentence(item, settings):
    with pytest.raises(FetchError, match=r"http://127.0.0.1:1 cannot be reached .*HF_ENDPOINT"):
        fetch(item, settings, endpoint="http://127.0.0.1:1")
    with pytest.raises(FetchError, match=r"mirror.example cannot be reached"):
        fetch(item, settings, endpoint="mirror.example")


def test_offline_is_a_sentence_and_asks_nobody(hub, item, settings, monkeypatch, capsys, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(FetchError, match=r"HF_HUB_OFFLINE is set, so bert is not fetched: unset it"):
        fetch(item, settings)
    assert main(["bert", "--set", f"bert_path={tmp_path / 'bert'}"]) == 1
    assert "HF_HUB_OFFLINE is set" in capsys.readouterr().err
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert main(["bert", "--set", f"bert_path={tmp_path / 'bert'}"]) == 1
    assert capsys.readouterr().err.startswith("已设置 HF_HUB_OFFLINE")
    assert not hub.log


def test_safetensors_are_preferred(hub, item, settings, folder):
    hub.repos["tiny/bert"]["model.safetensors"] = (MEGATRON / "model.safetensors").read_bytes()
    fetch(item, settings)
    assert not hub.got("pytorch_model.bin") and names(folder) == COMPLETE
    assert (folder / "model.safetensors").read_bytes() == (MEGATRON / "model.safetensors").read_bytes()


@pytest.mark.usefixtures("hub")
def test_keep_bin(item, settings, folder, release):
    fetch(item, settings, keep_bin=True)
    assert names(folder) == COMPLETE | {"pytorch_model.bin"}
    assert (folder / "pytorch_model.bin").read_bytes() == release["pytorch_model.bin"]


@pytest.mark.parametrize("legacy", [False, True])
def test_a_hostile_bin_is_refused_and_does_not_run(hub, item, settings, folder, tmp_path, legacy):
    class Bomb:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    hub.repos["tiny/bert"]["pytorch_model.bin"] = binary({"w": Bomb()}, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(FetchError, match=r"is not a plain table of tensors .* nothing in it was run"):
        fetch(replace(item, sha256={}), settings)
    assert not (tmp_path / "ran").exists()
    assert list(map(str, bert.missing_files(folder))) == ["model.safetensors or pytorch_model.bin"]
    assert not list(folder.glob("*.bin*")) and not list(folder.glob("*.safetensors*"))


@pytest.mark.parametrize("legacy", [False, True])
def test_conversion_keeps_every_bit(tmp_path, legacy):
    shared = torch.randn(6, 4)
    table = {
        "a": shared,
        "tied": shared,
        "slice": shared[2:4],
        "turned": shared.T,
        "half": torch.randn(3).bfloat16(),
        "ids": torch.arange(5)[None],
        "scalar": torch.tensor(1.5, dtype=torch.float64),
        "empty": torch.zeros(0, 3),
        "weight": torch.nn.Parameter(torch.randn(2, 2)),
    }
    source, target = tmp_path / "pytorch_model.bin", tmp_path / "model.safetensors"
    source.write_bytes(binary(table, _use_new_zipfile_serialization=not legacy))
    convert(source, target, {})
    written = load_file(target)
    assert written.keys() == table.keys()
    for name, tensor in table.items():
        assert written[name].dtype == tensor.dtype and torch.equal(written[name], tensor), name
    assert names(tmp_path) == {"pytorch_model.bin", "model.safetensors"}
    assert target.stat().st_mode == source.stat().st_mode


@pytest.mark.parametrize(
    "table",
    [{"big": torch.zeros(1).expand(10**12)}, [torch.zeros(1)], {"a": 1}, {}, {1: torch.zeros(2)}],
    ids=["a terabyte of one number", "a list", "a number", "nothing", "a name that is none"],
)
def test_what_is_no_table_of_tensors_is_refused(tmp_path, table):
    (tmp_path / "pytorch_model.bin").write_bytes(binary(table))
    with pytest.raises(FetchError, match="not a plain table of tensors"):
        convert(tmp_path / "pytorch_model.bin", tmp_path / "model.safetensors", {})
    assert names(tmp_path) == {"pytorch_model.bin"}


def test_too_small_a_disk_is_said_before_anything_comes(hub, item, settings, folder, release, monkeypatch):
    size = len(release["pytorch_model.bin"])
    usage = namedtuple("usage", "total used free")
    # Room for the download, but not for the safetensors beside it.
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: usage(0, 0, download.SPARE + size + size // 2))
    with pytest.raises(FetchError, match=r"bert needs [\d.]+ MB of disk space and [\d.]+ MB is free: make room"):
        fetch(item, settings)
    assert not hub.got("pytorch_model.bin") and not folder.exists()
    hub.repos["tiny/bert"]["model.safetensors"] = (MEGATRON / "model.safetensors").read_bytes()
    fetch(item, settings)


@pytest.mark.usefixtures("hub")
def test_a_disk_that_fills_up_meanwhile_is_a_sentence(item, settings, folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download, "settle", full)
    with pytest.raises(FetchError, match=r"The disk is full: make room for bert"):
        fetch(item, settings)
    assert bert.missing_files(folder)


def test_a_mirror_that_lists_names_only_is_asked_for_the_rest(hub, item, settings, folder):
    hub.metadata = False
    fetch(item, settings)
    assert names(folder) == COMPLETE
    assert {path.rpartition("/")[2] for method, path, _, _ in hub.log if method == "HEAD"} == {
        "config.json",
        "vocab.txt",
        "pytorch_model.bin",
    }


def test_a_token_goes_to_the_hub_and_not_to_its_storage(hub, item, settings, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch(item, settings)
    signed = {path.split("/")[3] if "/api/" not in path else "api": token for _, path, _, token in hub.log}
    assert signed == {"api": True, "resolve": True, "cdn": False}


def test_a_repository_without_a_needed_file(hub, item, settings):
    del hub.repos["tiny/bert"]["vocab.txt"]
    with pytest.raises(FetchError, match=r"tiny/bert does not have vocab.txt: name another one with --repo bert="):
        fetch(item, settings)
    del hub.repos["tiny/bert"]["pytorch_model.bin"]
    with pytest.raises(FetchError, match=r"vocab.txt, model.safetensors or pytorch_model.bin"):
        fetch(item, settings)


@pytest.mark.usefixtures("hub")
def test_what_is_here_already_stays(item, settings, folder):
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("mine")
    fetch(item, settings)
    assert (folder / "vocab.txt").read_text() == "mine" and names(folder) == COMPLETE


def test_g2pw_takes_what_there_is_and_says_what_is_not(hub, settings):
    hub.repos["tiny/g2pw"] = {"g2pw.onnx": os.urandom(3000), "POLYPHONIC_CHARS.txt": b"x\ty\n", "other.onnx": b"no"}
    hub.repos["google-bert/bert-base-chinese"] = {"vocab.txt": b"[PAD]\n", "pytorch_model.bin": b"no"}
    item = replace(next(item for item in MODELS if item.name == "g2pw"), repo="tiny/g2pw")
    plan = look_up(item, settings)
    assert plan.lacking == ("MONOPHONIC_CHARS.txt", "bopomofo_to_pinyin_wo_tune_dict.json")
    assert any("MONOPHONIC_CHARS.txt is not there: put it here yourself" in line for line in command.outline(plan))
    fetch(item, settings)
    assert names(settings.path("text/G2PWModel")) == {"g2pw.onnx", "POLYPHONIC_CHARS.txt", "vocab.txt"}
    [now] = status(settings, [item])
    assert now.missing == plan.lacking
    assert not look_up(item, settings).files

    del hub.repos["tiny/g2pw"]["g2pw.onnx"]
    (now.folder / "g2pw.onnx").unlink()
    with pytest.raises(FetchError, match=r"does not have .*g2pw.onnx"):
        look_up(item, settings)


@pytest.mark.usefixtures("hub")
def test_two_processes_do_not_write_one_file(item, settings):
    plan = look_up(item, settings)
    plan.folder.mkdir(parents=True)
    with FileLock(plan.folder / ".fetch.lock"), pytest.raises(FetchError, match="Another process is fetching bert"):
        bring(plan)


def test_the_list_needs_no_terminal_and_no_hub(tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BV2_")} | {"HF_ENDPOINT": "http://no.where"}
    command = [sys.executable, "-m", "infer.models", "--set", f"bert_path={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for item in MODELS:
        assert item.name in done.stdout and str(item.use) in done.stdout
    assert "about 5.0 GB  missing: config.json, vocab.txt, model.safetensors or pytorch_model.bin" in done.stdout
    assert "python -m infer.models bert clap" in done.stdout


@pytest.mark.usefixtures("hub")
def test_at_a_terminal_one_picks_from_the_list(item, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "MODELS", (item, *MODELS[1:]))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    arguments = ["--set", f"bert_path={tmp_path / 'bert'}"]
    for answers, there in ((["", "y"], False), (["1", "n"], False), (["1", ""], True)):
        replies = iter(answers)
        monkeypatch.setattr("builtins.input", lambda _, replies=replies: next(replies))
        assert main(arguments) == 0
        assert (tmp_path / "bert" / "model.safetensors").exists() is there
    assert "to fetch" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["brt"], "did you mean 'bert'"),
        (["bert", "--repo", "brt=a/b"], "did you mean 'bert'"),
        (["bert", "--repo", "bert=../x"], "write it as bert=IDEA-CCNL/"),
        (["bert", "--repo", "bert"], "write it as bert="),
        (["bert", "--revision", "bert=a b"], "write it as bert=main"),
        (["bert", "--set", "bert_pat=x"], "did you mean 'bert_path'"),
        (
            ["bert", "--sett", "bert_pat=x"],
            "unrecognized arguments: --sett bert_pat=x; see python -m infer.models",
        ),
    ],
)
def test_a_mistake_is_a_sentence_and_exit_code_2(hub, capsys, arguments, message):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not hub.log


def test_another_repository_or_revision():
    items = {item.name: item for item in command.altered(["bert=a/b"], ["clap=v1.0"])}
    assert (items["bert"].repo, items["bert"].sha256) == ("a/b", {})  # the known hash is of another repository's file
    assert items["clap"].revision == "v1.0" and items["clap"].sha256
    assert items["roberta"] in MODELS


def test_folders_follow_the_settings(tmp_path):
    settings = load_settings(overrides=["bert_path=disk/b", "g2pw_path=x"], environment={}, root=tmp_path)
    places = {item.name: str(place(item, settings).relative_to(tmp_path)) for item in MODELS}
    assert places == {item.name: item.folder for item in MODELS} | {"bert": "disk/b", "g2pw": "x"}


def test_a_folder_tells_the_command_that_fills_it():
    for item in MODELS:
        assert command_for(Path("/somewhere") / item.folder) == f"python -m infer.models {item.name}"
    assert command_for(Path("/somewhere/mine")) == "python -m infer.models"  # not five gigabytes of a guess


def test_known_hashes_are_hashes():
    digests = [digest for item in MODELS for digest in item.sha256.values()]
    assert len(digests) == 3 and all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)
    assert {name for item in MODELS for name in item.sha256} == {"pytorch_model.bin"}


def test_what_a_voice_lacks_names_the_command(settings):
    variant = SimpleNamespace(needs_bert=True, needs_clap=True, bert_width=2048)
    sentences = Features(settings, device=None).missing(variant)
    for sentence, name in zip(sentences, ("bert", "clap"), strict=True):
        chinese, english = sentence.pair
        assert f"run make models or python -m infer.models {name}," in english
        assert f"请运行 make models 或 python -m infer.models {name} 下载" in chinese
