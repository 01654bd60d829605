"""infer/files.py: what is read has an end, what is written is whole, what two programs change loses nothing."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from infer import files
from infer.files import Recent, TemporaryFolder, alone, bytes_in_words, clear_away, decode, read, whole, write_whole
from infer.request import BadRequest

ROOT = Path(__file__).resolve().parents[1]
PATIENT = 60  # seconds; only what hangs comes near


def python(code: str, *arguments: object, **options) -> subprocess.Popen:
    """Another program of this project, whose standard streams are pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        **options,
    )


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gbk", "gb18030"])
def test_texts_of_every_usual_encoding(encoding):
    text, notices = decode("银行行长，你好。\n".encode(encoding))
    assert text == "银行行长，你好。\n" and bool(notices) == encoding.startswith("gb")


@pytest.mark.parametrize("data", [b"\x7fELF\0\1", b"\xff\xfe\0\0a\0\0\0", b"\xff\xfe\0\xd8", b"\xa0\xff\xff", bytes(9)])
def test_what_is_no_text_is_one_sentence(data):
    with pytest.raises(BadRequest, match="no text"):
        decode(data)


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(13 << 30)  # without a block on the disk
    with pytest.raises(BadRequest, match="large has more than 10 MB"):
        read(large)
    large.write_bytes(bytes(files.MOST_BYTES))
    assert len(read(large)) == files.MOST_BYTES


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no /dev/zero")
def test_a_file_without_an_end_is_refused():
    with pytest.raises(BadRequest, match="zero has more than 10 MB"):
        read(Path("/dev/zero"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_read_to_its_end_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert read(tmp_path / "pipe") == b"", "nobody writes to it"
    hold = os.open(tmp_path / "pipe", os.O_RDWR)
    os.write(hold, b"abcdef")
    with pytest.raises(BadRequest, match="more than"):
        read(tmp_path / "pipe", most=5)
    os.close(hold)
    reading, writing = os.pipe()
    os.write(writing, b"abcdef")
    os.close(writing)
    assert read(Path(f"/dev/fd/{reading}")) == b"abcdef", "as -f <(echo abcdef) has it"
    os.close(reading)


@pytest.mark.parametrize("name", ["", "none", "none/none", "a\0b", "长" * 300])
def test_what_cannot_be_read_is_one_sentence(tmp_path, name):
    with pytest.raises(BadRequest, match="cannot be read") as refused:
        read(tmp_path / name)
    assert refused.value.message.say("zh").startswith("读不了") and "\n" not in str(refused.value)


# --- writing ---------------------------------------------------------------------------------------------------------


def test_a_file_is_whole_or_as_it_was(tmp_path, monkeypatch):
    write_whole(tmp_path / "a", "旧")
    with pytest.raises(RuntimeError), whole(tmp_path / "a") as part:
        part.write_text("half")
        raise RuntimeError

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_whole(tmp_path / "a", "新")
        with pytest.raises(OSError, match="No space"):
            write_whole(tmp_path / "b", "新")
    assert (tmp_path / "a").read_text() == "旧" and [path.name for path in tmp_path.iterdir()] == ["a"]


def test_permissions_stay_or_are_what_is_asked_for(tmp_path):
    previous = os.umask(0o027)
    try:
        write_whole(tmp_path / "new", b"")
        write_whole(tmp_path / "own", b"", mode=0o600)
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "own").stat().st_mode) == 0o600
    (tmp_path / "own").chmod(0o444)
    write_whole(tmp_path / "own", b"again")
    assert stat.S_IMODE((tmp_path / "own").stat().st_mode) == 0o444 and (tmp_path / "own").read_bytes() == b"again"


def test_links_are_written_through_and_what_is_no_file_stays(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "file")
    write_whole(tmp_path / "link", "你好")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "folder" / "file").read_text("utf-8") == "你好"
    with pytest.raises(OSError, match="no file"):
        write_whole(tmp_path / "folder", "")
    write_whole(tmp_path / ("长" * 80), "")  # 240 bytes, where 255 are the most


def test_a_link_that_leads_to_itself_makes_room(tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    write_whole(loop, "x")
    assert loop.read_text() == "x" and [file.name for file in tmp_path.iterdir()] == ["loop"]


def test_what_was_half_written_when_a_program_was_killed_goes(tmp_path):
    for name in (".words.txt.00112233.part", ".other.txt.00112233.part"):
        (tmp_path / name).write_text("half")
    with alone(tmp_path / "words.txt"):
        assert [path.name for path in tmp_path.glob(".*.part")] == [".other.txt.00112233.part"]
    with alone(tmp_path, "*.json"):
        assert [path.name for path in tmp_path.glob(".*.part")] == [".other.txt.00112233.part"]
    with alone(tmp_path):
        assert not list(tmp_path.glob(".*.part"))


ADDER = """
import os, sys
from pathlib import Path
from infer.files import alone, write_whole
file = Path(sys.argv[1])
os.fsync = lambda _: None  # a busy disk takes most of the time, and has no part in this
print("ready", flush=True)
sys.stdin.readline()
for _ in range(30):
    with alone(file):
        write_whole(file, str(int(file.read_text()) + 1))
"""


def test_two_programs_lose_nothing(tmp_path):
    file = tmp_path / "count"
    file.write_text("0")
    both = [python(ADDER, file) for _ in range(2)]
    for one in both:
        assert one.stdout.readline() == "ready\n"
    for one in both:
        one.stdin.write("\n")
        one.stdin.flush()
    assert [one.communicate(timeout=PATIENT) and one.returncode for one in both] == [0, 0]
    assert file.read_text() == "60"


def test_a_writer_does_not_wait_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "PATIENCE", 0.1)
    with alone(tmp_path), pytest.raises(OSError) as refused, alone(tmp_path):
        pass
    assert refused.value.strerror == "another program is writing there"


# --- temporary folders -----------------------------------------------------------------------------------------------


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


HOLDER = """
import sys, tempfile
from infer.files import TemporaryFolder
tempfile.tempdir = sys.argv[1]
folder = TemporaryFolder("speech-")
print(folder.name, flush=True)
sys.stdin.readline()
"""


def test_a_temporary_folder_goes_at_the_end(temporary):
    with TemporaryFolder("speech-") as name:
        assert stat.S_IMODE(Path(name).stat().st_mode) == 0o700 and Path(name).parent == temporary
        Path(name, "file").write_text("")
        assert clear_away("speech-") == 0 and Path(name, "file").exists(), "it lives"
    assert not list(temporary.iterdir())
    assert python(HOLDER, temporary).communicate("\n", timeout=PATIENT)[0], "forgotten, but not killed"
    assert not list(temporary.iterdir())


def test_folders_of_killed_programs_are_cleared_away_and_of_no_other(temporary, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("mine")
    dead, living = python(HOLDER, temporary), python(HOLDER, temporary)
    left, kept = (Path(one.stdout.readline().strip()) for one in (dead, living))
    (left / "sound.wav").write_text("")
    (left / "link").symlink_to(tmp_path / "precious", target_is_directory=True)
    dead.kill()
    dead.communicate(timeout=PATIENT)
    (temporary / "speech-notes").mkdir()
    (temporary / f"speech-{'0' * 16}").mkdir()  # without a lock: not ours
    (temporary / f"speech-{'1' * 16}.lock").symlink_to(tmp_path / "precious" / "file")
    (temporary / f"speech-{'2' * 16}.lock").write_text("")
    (temporary / f"speech-{'2' * 16}").symlink_to(tmp_path / "precious", target_is_directory=True)

    assert clear_away("speech-") == 1
    assert not left.exists() and kept.exists() and (tmp_path / "precious" / "file").read_text() == "mine"
    names = {f"speech-{'0' * 16}", f"speech-{'1' * 16}.lock", f"speech-{'2' * 16}", "speech-notes"}
    assert {path.name for path in temporary.iterdir()} == {kept.name, f"{kept.name}.lock", *names}
    living.communicate("\n", timeout=PATIENT)
    assert not kept.exists()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="this system tells users otherwise")
@pytest.mark.usefixtures("temporary")
def test_folders_of_other_users_stay(monkeypatch):
    folder = TemporaryFolder("speech-")
    folder._lock.release()
    with monkeypatch.context() as patched:
        patched.setattr(os, "getuid", lambda: -1)
        assert clear_away("speech-") == 0 and Path(folder.name).exists()
    assert clear_away("speech-") == 1 and not Path(folder.name).exists()


# --- in memory -------------------------------------------------------------------------------------------------------


def test_what_was_used_longest_ago_makes_room():
    recent: Recent[str, bytes] = Recent(10, len)
    for key in "abc":
        recent.put(key, bytes(3))
    assert recent.get("a") == bytes(3) and recent.weight == 9
    recent.put("d", bytes(5))
    assert [key for key in "abcd" if key in recent] == ["a", "d"] and recent.weight == 8
    recent.put("a", bytes(1))
    recent.remove("none")
    assert recent.get("b") is None and (len(recent), recent.weight) == (2, 6)
    recent.put("large", bytes(11))
    assert (len(recent), recent.weight) == (0, 0)


def test_bytes_in_words():
    assert [bytes_in_words(count) for count in (7, 3e3, 12.5e6, 1.3e9)] == ["7 B", "3 kB", "12.5 MB", "1.30 GB"]
