"""The files that a listener may fetch: how many, how large, whose, and what a full disk leaves."""

import errno
import os
from collections import namedtuple
from pathlib import Path

import pytest

from infer.request import BadRequest, SpeechError
from page import files
from page.files import EACH, KEPT, Files


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def made():
    folder = Files(most=200, most_bytes=10_000, clock=Clock())
    yield folder
    folder.close()


def offer(made: Files, owner: str, size: int = 10) -> str:
    return made.offer("speech.wav", lambda path: path.write_bytes(bytes(size)), owner)


def there(made: Files, addresses: list[str]) -> list[bool]:
    return [made.has(address) for address in addresses]


def on_disk(made: Files) -> list[Path]:
    return list(Path(made._folder.name).iterdir())


def test_all_files_together_have_a_limit_and_the_oldest_go(made):
    mine = [offer(made, "one", 1000) for _ in range(15)]
    assert there(made, mine) == [False] * 5 + [True] * 10
    assert sum(path.stat().st_size for path in on_disk(made)) == 10_000


def test_one_listener_has_a_limit_of_files(made):
    mine = [offer(made, "one") for _ in range(EACH + 3)]
    assert there(made, mine) == [False] * 3 + [True] * EACH and len(on_disk(made)) == EACH


def test_nobody_pushes_out_the_files_of_others_who_have_less(made):
    mine = [offer(made, "one", 2000), offer(made, "one", 2000)]
    for _ in range(300):
        theirs = offer(made, "another", 1500)
    assert there(made, [*mine, theirs]) == [True] * 3
    small = [offer(made, f"listener-{i}") for i in range(150)]
    for _ in range(300):
        offer(made, "another", 1)
        assert len(on_disk(made)) <= 200
    assert all(there(made, small + mine))


def test_inventing_browsers_pushes_out_nobody(made):
    mine = [offer(made, "10.0.0.1 mine") for _ in range(9)]
    for i in range(300):
        offer(made, f"10.0.0.2 invented {i}", 40)
    assert all(there(made, mine)) and len(on_disk(made)) == 200


def test_a_file_larger_than_all_room_stays_while_it_is_the_newest(made):
    mine = offer(made, "one", 50_000)
    assert made.has(mine) and len(on_disk(made)) == 1
    other = offer(made, "another")
    assert there(made, [mine, other]) == [False, True] and len(on_disk(made)) == 1


def test_files_are_forgotten_after_their_time(made):
    mine = offer(made, "one")
    made.clock.now += KEPT + 1
    assert not made.has(mine) and not on_disk(made)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), BadRequest("shelf.unnamed"), KeyboardInterrupt()]
)
def test_a_write_that_fails_leaves_no_file(made, error):
    def write(path):
        path.write_bytes(bytes(100))
        raise error

    expected = SpeechError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected) as told:
        made.offer("speech.wav", write)
    assert on_disk(made) == [] and made._made == {}
    if expected is SpeechError:
        assert "No space left" in str(told.value) and made._folder.name not in str(told.value) + told.value.message.say(
            "zh"
        )


def test_nothing_is_written_onto_a_disk_that_is_nearly_full(made, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage(10**12, 10**12, 10**6))
    with pytest.raises(SpeechError, match="make room"):
        made.offer("speech.wav", lambda _: pytest.fail("it was written"))
