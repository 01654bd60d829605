"""`make test` on a machine that lacks something: what is brought, by whom, and what is said where nothing can be."""

import http.server
import importlib.util
import io
import os
import re
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from tests import needs
from tests.conftest import go_without

ROOT = Path(__file__).resolve().parents[1]
NOTE = """#!/bin/sh
for word; do case $word in -*|*=*) ;; *) said="$said $word";; esac; done
echo "${0##*/}$said" >>"${0%/*}/calls"
"""
SUDO = '[ "$1" = -n ] && shift && exec "$@"'
APT = 'case $* in *"install chromium libatomic1 fonts-noto-cjk") : >"${0%/*}/chromium";; esac'
PACKAGES = ["apt-get update", "apt-get install chromium libatomic1 fonts-noto-cjk"]


@pytest.fixture
def bare(tmp_path, monkeypatch) -> Path:
    """A folder of all the programs of a machine: `env` and `true`."""
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("env", "true"):
        (bare / name).symlink_to(f"/usr/bin/{name}")
    monkeypatch.setenv("PATH", str(bare))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "browsers"))
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.delenv("CI", raising=False)
    return bare


def add(bare: Path, name: str, shell: str) -> None:
    """A program that notes the words it was called with, without options, and then does what the line of shell says."""
    (bare / name).write_text(f"{NOTE}{shell}\n")
    (bare / name).chmod(0o755)


def calls(bare: Path) -> list[str]:
    return (bare / "calls").read_text().splitlines() if (bare / "calls").exists() else []


def bring(bare: Path, monkeypatch, user: int) -> None:
    """bring_browser() for a user whose downloads bring nothing; a file `chromium` is a browser that starts."""
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(needs, "fault", lambda: "" if (bare / "chromium").exists() else "there is no Chromium")
    monkeypatch.setattr(needs, "download_browser", lambda: (bare / "calls").open("a").write("download\n"))
    needs.bring_browser()


def test_root_installs_the_systems_package(bare, monkeypatch):
    add(bare, "apt-get", APT)
    bring(bare, monkeypatch, user=0)
    assert calls(bare) == PACKAGES


def test_a_sudo_that_does_not_ask_installs_where_a_download_did_not_help(bare, monkeypatch):
    add(bare, "sudo", SUDO)
    add(bare, "apt-get", APT)
    bring(bare, monkeypatch, user=1000)
    assert [call for call in calls(bare) if not call.startswith("sudo")] == ["download", *PACKAGES]
    assert calls(bare).count("sudo env apt-get update") == 1


def test_nobody_is_asked_for_a_password(bare, monkeypatch):
    add(bare, "sudo", "exit 1")
    add(bare, "apt-get", APT)
    with pytest.raises(needs.Missing, match="there is no Chromium"):
        bring(bare, monkeypatch, user=1000)
    assert calls(bare) == ["download", "sudo true"]


def test_root_downloads_where_no_package_helps(bare, monkeypatch):
    with pytest.raises(needs.Missing, match="there is no Chromium"):
        bring(bare, monkeypatch, user=0)
    assert calls(bare) == ["download"]


def test_a_browser_that_is_there_is_used(bare, monkeypatch):
    add(bare, "apt-get", APT)
    (bare / "chromium").touch()
    bring(bare, monkeypatch, user=0)
    assert not calls(bare)


@pytest.fixture
def driver() -> None:
    """Playwright's driver, without which nothing can be asked of a browser."""
    if wrong := needs.driver_fault():
        go_without(needs.Missing(f"Playwright cannot start ({wrong}); {needs.HOW}"))


@pytest.mark.usefixtures("driver")
def test_a_named_browser_is_that_one_or_none(bare, monkeypatch):
    add(bare, "apt-get", APT)
    monkeypatch.setenv("CHROMIUM", str(bare / "mine"))
    with pytest.raises(needs.Missing, match="bin/mine cannot start"):
        needs.bring_browser()
    assert not calls(bare)


def test_a_driver_that_lacks_a_library_is_a_line_with_the_reason(bare, monkeypatch):
    add(bare, "driver", "echo several >&2; echo '/a/b/node: no libatomic.so.1' >&2; exit 127")
    monkeypatch.setattr(needs, "PLAYWRIGHT", [str(bare / "driver")])
    assert needs.fault().startswith("Playwright cannot start (node: no libatomic.so.1); to have one: sudo apt install ")


@pytest.mark.usefixtures("bare")
def test_without_a_browser_one_line_says_how_to_get_one(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["needs"])
    monkeypatch.setattr(needs, "fault", lambda: f"Chromium is not here; {needs.HOW}")
    monkeypatch.setattr(needs, "download_browser", lambda: None)
    monkeypatch.setattr(needs, "bring_ffmpeg", lambda: None)
    needs.main()
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "will be left out: Chromium is not here; " in said
    assert all(way in said for way in ("apt install chromium", "playwright install --with-deps chromium", "CHROMIUM="))
    monkeypatch.setenv("CI", "true")
    with pytest.raises(SystemExit, match="Chromium is not here"):
        needs.main()


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(("ci", "status", "said"), [("", 0, "1 not run: "), ("true", 1, "Failed: ")])
def test_what_was_not_run_is_counted_at_the_end_and_fails_in_ci(ci, status, said):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"{__file__}::test_a_browser_opens"],
        cwd=ROOT,
        env=os.environ | {"CI": ci},
        capture_output=True,
        text=True,
    )
    assert done.returncode == status
    assert re.search(said + r"(Chromium is not here|Playwright cannot start \(.+\)); to have one: ", done.stdout)


class Hub(http.server.BaseHTTPRequestHandler):
    """Where Playwright downloads from: each archive holds a browser and an ffmpeg that end at once."""

    def do_GET(self) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name in ("chrome-headless-shell-linux64/chrome-headless-shell", "ffmpeg-linux"):
                file = zipfile.ZipInfo(name)
                file.external_attr = 0o100755 << 16
                archive.writestr(file, "#!/bin/sh\nexit 1\n")
        self.send_response(200)
        self.send_header("Content-Length", str(len(buffer.getvalue())))
        self.end_headers()
        self.wfile.write(buffer.getvalue())

    def log_message(self, *_) -> None:
        pass


@pytest.mark.usefixtures("driver", "bare")
def test_playwrights_own_is_downloaded_and_found(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as hub:
        threading.Thread(target=hub.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("PLAYWRIGHT_DOWNLOAD_HOST", f"http://127.0.0.1:{hub.server_port}")
        assert needs.fault().startswith("Chromium is not here; ")
        needs.download_browser()
        hub.shutdown()
    assert needs.fault().startswith("Playwright's Chromium cannot start; ")  # as that of the hub does not


def test_a_download_without_end_is_ended_with_its_children(bare, monkeypatch):
    os.mkfifo(bare / "alive")
    child = f"with open({str(bare / 'alive')!r}, 'w') as alive: print('up', file=alive, flush=True); time.sleep(60); "
    parent = f"import os, time; os.fork()\n{child} print('survived', file=alive)"
    monkeypatch.setattr(needs, "PLAYWRIGHT", [sys.executable, "-c", parent])

    class Slow(subprocess.Popen):
        def wait(self, timeout: float | None = None) -> int:
            if timeout is None:
                return super().wait()
            self.alive = (bare / "alive").open()
            assert [self.alive.readline() for _ in range(2)] == ["up\n", "up\n"]
            began.append(self)
            raise subprocess.TimeoutExpired(self.args, timeout)

    began: list[Slow] = []
    monkeypatch.setattr(subprocess, "Popen", Slow)
    needs.download_browser()
    with began[0].alive as alive:
        assert alive.read() == "", "both were ended"


@pytest.mark.parametrize("brought", [True, False])
def test_ffmpeg_is_brought_or_named(bare, monkeypatch, brought):
    add(bare, "apt-get", ': >"${0%/*}/ffmpeg"; /bin/chmod +x "${0%/*}/ffmpeg"' if brought else "exit 1")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    if brought:
        needs.bring_ffmpeg()
        needs.bring_ffmpeg()
    else:
        with pytest.raises(needs.Missing, match="ffmpeg is not here; to have it: sudo apt install ffmpeg"):
            needs.bring_ffmpeg()
    assert calls(bare) == ["apt-get update", "apt-get install ffmpeg"]


@pytest.mark.parametrize("brought", [True, False])
def test_what_makes_the_environment_is_brought_or_named(bare, monkeypatch, brought):
    package = f"python3.{sys.version_info.minor}-venv"
    add(bare, "apt-get", f': >"${{0%/*}}/{package}"' if brought else "exit 1")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: (bare / package).exists())
    if brought:
        needs.bring_venv()
    else:
        with pytest.raises(needs.Missing, match=f"no ensurepip.*: sudo apt install {package}"):
            needs.bring_venv()
    assert calls(bare) == ["apt-get update", f"apt-get install {package}"]


def test_before_any_package_is_there_the_standard_library_is_enough():
    done = subprocess.run([sys.executable, "-I", "-S", "tests/needs.py", "venv"], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_a_browser_opens(browser):  # the last: the tests above start browsers of their own, and there is one at a time
    page = browser.new_page()
    page.set_content("<h1>你好</h1>")
    assert page.locator("h1").inner_text() == "你好"
    page.close()
