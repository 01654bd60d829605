"""Files: read with an end and in any usual encoding, written whole, changed by one program at a time, cleared away."""

import codecs
import errno
import glob
import os
import secrets
import shutil
import stat
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar

from filelock import FileLock, Timeout

from infer.request import BadRequest, SpeechError
from words import Message, message

MOST_BYTES = 10_000_000  # of a text, a table, a project: more is a mistake, or has no end
PATIENCE, POLL = 20.0, 0.005  # seconds that a writer waits for another's writing, which takes milliseconds
Key = TypeVar("Key")
Value = TypeVar("Value")
PART, STEM = ".part", 40  # ends the name of a file that is being written, after so many characters of its own

# --- reading ---------------------------------------------------------------------------------------------------------


def read(path: Path, most: int = MOST_BYTES) -> bytes:
    """What a file holds, and no more than `most` bytes of memory, whatever it is. Raises BadRequest."""
    with _opened(path) as file:
        return read_from(file, path.name or str(path), most)


def head(path: Path, most: int) -> bytes:
    """The first `most` bytes of a file, or all. Raises BadRequest."""
    with _opened(path) as file:
        return file.read(most)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            yield file
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        reason = getattr(error, "strerror", None) or str(error)
        raise BadRequest("files.unreadable", file=path, reason=reason) from error


def read_from(opened: BinaryIO, name: str, most: int = MOST_BYTES) -> bytes:
    """The rest of an open file or pipe, called `name`. Raises BadRequest for more than `most` bytes, and OSError."""
    return within(opened.read(most + 1), name, most)


def within(data: bytes, name: str, most: int = MOST_BYTES) -> bytes:
    """The data of what is called `name`. Raises BadRequest if they are more than `most` bytes."""
    if len(data) > most:
        raise BadRequest("files.too_large", name=name, megabytes=most / 1e6)
    return data


def decode(data: bytes) -> tuple[str, tuple[Message, ...]]:
    """UTF-8, UTF-16 with its mark, or else GB18030, and the notice that it was guessed. Raises BadRequest."""
    notices: tuple[Message, ...] = ()
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            text = data.decode("utf-16")
        else:
            text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("gb18030", errors="replace")
        notices = (message("files.gb18030"),)
    if "\0" in text or ("\ufffd" in text and notices):
        raise BadRequest("files.no_text")
    return text, notices


def _without_waiting(path: str, flags: int) -> int:
    """Opens a file for reading; a pipe to which nobody writes is empty, where open() alone would wait for ever."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if hasattr(os, "O_NONBLOCK"):
        os.set_blocking(descriptor, True)
    return descriptor


# --- writing ---------------------------------------------------------------------------------------------------------


@contextmanager
def whole(path: Path, mode: int | None = None, keep: Callable[[], bool] = lambda: True) -> Iterator[Path]:
    """A place to write to, which becomes `path` when all went well: a file is whole, or as it was before.

    mode: its permissions; by default those of the file that is there, else what the umask leaves. keep: asked when all
    is written, whether it shall be there. Raises OSError.
    """
    path = Path(os.path.realpath(path))  # through links, as open() would go; one of a loop makes room
    there = path.stat() if path.exists() else None
    if there and not stat.S_ISREG(there.st_mode):
        raise OSError(errno.EEXIST, "it is there already and is no file", str(path))
    if mode is None and there:
        mode = stat.S_IMODE(there.st_mode)
    part = path.with_name(f".{path.name[:STEM]}.{secrets.token_hex(4)}{PART}")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666 if mode is None else 0o600))
        yield part
        if not keep():
            return
        if mode is not None:
            part.chmod(mode)
        settle(part, path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def settle(part: Path, path: Path) -> None:
    """Gives what was written as `part` its name, once it is on the disk: power may fail. Raises OSError."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(path)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Around writing what a user has asked for: its folder is made, and what goes wrong is a SpeechError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise SpeechError("files.unwritable", file=path, reason=error.strerror or str(error)) from error


def write_whole(path: Path, content: str | bytes, mode: int | None = None) -> None:
    """A file of bytes, or of UTF-8 text, that is there as a whole or not at all; see `whole`. Raises OSError."""
    with whole(path, mode) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def alone(path: Path, files: str = "*") -> Iterator[None]:
    """Between reading a file and writing what follows from it: no thread and no other program does the same meanwhile.

    path: the file, or a folder for those `files` in it (a pattern). The lock is a file beside it, or in it, that stays.
    What another had begun to write when it was killed goes. Raises OSError.
    """
    folder = path.is_dir()
    home, lock = (path, ".lock") if folder else (path.parent, f".{path.name}.lock")
    files = files if folder else glob.escape(path.name[:STEM])
    if not os.access(home, os.W_OK):  # the lock would be tried for as long as another's is
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(home))
    try:
        with FileLock(home / lock, timeout=PATIENCE, mode=0o600 if folder else -1, poll_interval=POLL):
            for part in home.glob(f".{files}.*{PART}"):
                part.unlink(missing_ok=True)
            yield
    except Timeout as error:
        raise OSError(errno.ETIMEDOUT, "another program is writing there", str(home)) from error


# --- what must not stay ----------------------------------------------------------------------------------------------


class TemporaryFolder:
    """A folder among the temporary files that goes with this process: at its end, or if it was killed, when another
    one clears away. `name` is its path.

    A lock beside it is held for as long as the process lives, by the system: no number is read that another process
    may have by now.
    """

    def __init__(self, prefix: str) -> None:
        self.name = str(Path(tempfile.gettempdir(), f"{prefix}{secrets.token_hex(8)}"))
        self._lock = FileLock(f"{self.name}.lock", mode=0o600, thread_local=False)
        self._lock.acquire()  # before there is a folder: whoever finds one without a lock finds a dead one
        Path(self.name).mkdir(mode=0o700)
        self._end = weakref.finalize(self, _remove, Path(self.name), self._lock)

    def cleanup(self) -> None:
        self._end()

    def __enter__(self) -> str:
        return self.name

    def __exit__(self, *_: object) -> None:
        self.cleanup()


def clear_away(prefix: str) -> int:
    """Removes the TemporaryFolders of processes of this user that were killed, and says how many there were."""
    count = 0
    for path in Path(tempfile.gettempdir()).glob(f"{glob.escape(prefix)}{'[0-9a-f]' * 16}.lock"):
        if not _own(path, stat.S_ISREG):
            continue
        lock = FileLock(path, mode=0o600)
        try:
            lock.acquire(timeout=0)
        except OSError:  # Timeout, too: it lives
            continue
        count += _remove(path.with_suffix(""), lock)
    return count


def _remove(folder: Path, lock: FileLock) -> bool:
    """Links in it are removed and not followed. Says whether there was a folder."""
    there = _own(folder, stat.S_ISDIR)
    if there:
        shutil.rmtree(folder, ignore_errors=True)
    for step in (lambda: None, lock.release):  # Windows does not remove what is open
        step()
        with suppress(OSError):
            Path(lock.lock_file).unlink(missing_ok=True)
    return there


def _own(path: Path, kind: Callable[[int], bool]) -> bool:
    """Whether it is of that kind, no link, and this user's."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return kind(status.st_mode) and (not hasattr(os, "getuid") or status.st_uid == os.getuid())


# --- in memory -------------------------------------------------------------------------------------------------------


class Recent(Generic[Key, Value]):
    """Values by key, of no more than `most` in all: those used longest ago go. Not safe between threads.

    weigh: what a value counts, 1 by default.
    """

    def __init__(self, most: float, weigh: Callable[[Value], float] = lambda _: 1) -> None:
        self.most, self.weigh, self.weight = most, weigh, 0.0
        self._values: dict[Key, Value] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._values

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Key) -> Value | None:
        """The value, which now is the one used last."""
        if key not in self._values:
            return None
        value = self._values[key] = self._values.pop(key)
        return value

    def put(self, key: Key, value: Value) -> None:
        self.remove(key)
        self._values[key] = value
        self.weight += self.weigh(value)
        while self.weight > self.most:
            self.remove(next(iter(self._values)))

    def remove(self, key: Key) -> None:
        if key in self._values:
            self.weight -= self.weigh(self._values.pop(key))


def bytes_in_words(count: float) -> str:
    """1.30 GB, 12.5 MB, 3 kB, 7 B."""
    for unit, size, digits in (("GB", 1e9, 2), ("MB", 1e6, 1), ("kB", 1e3, 0)):
        if count >= size:
            return f"{count / size:.{digits}f} {unit}"
    return f"{count:.0f} B"
