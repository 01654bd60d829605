"""The batch tab as a person uses it: a file in, a zip or one sound out, stopped and gone on with; on a small page."""

import io
import json
import os
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page, expect

from infer.documents import audio
from infer.engine.turns import Line, Turn
from infer.request import BadRequest, Busy, SpeechRequest
from page import batch, guard
from page.batch import Batches, Work, entries_from
from page.files import Files
from page.sample import Samples
from tests import test_page_sample
from tests.test_page import PATIENT
from tests.test_page_sample import Parts, drop, serving, shut_out, sound, tone
from tests.voices import speak

engine = test_page_sample.engine  # the fixture
CONTROLS = {"voice": "tiny", "speaker": "乙", "emotion": "", "speed": 1, "seed": 7, "pause": 0.2}  # of the small page
BASE = SpeechRequest("", voice="tiny", speaker="乙", seed=7)
SRT = """1
00:00:00,500 --> 00:00:04,000
你好，世界。

2
00:00:05,000 --> 00:00:05,300
这一行的时间太短了。

3
00:00:09,000 --> 00:00:08,000
反了。
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def parts(engine, folder) -> Iterator[Parts]:
    with serving(engine, folder) as running:
        yield running


@pytest.fixture
def visit(browser, parts):
    pages, stumbled = [], []

    def open_page(locale: str = "zh-CN", url: str = "") -> Page:
        context = browser.new_context(locale=locale)
        context.set_default_timeout(PATIENT)
        page = context.new_page()
        pages.append(page)
        page.on("pageerror", lambda error: stumbled.append(str(error)))
        page.goto(url or parts.url)
        page.locator(".batch-drop").wait_for()
        return page

    yield open_page
    for page in pages:
        page.context.close()
    assert not stumbled


def choose(page: Page, text: str | bytes, name: str = "story.txt") -> None:
    data = text if isinstance(text, bytes) else text.encode()
    page.locator(".batch input[type=file]").set_input_files({"name": name, "mimeType": "text/plain", "buffer": data})


def begin(page: Page) -> None:
    page.get_by_role("button", name="开始", exact=True).click()


def state(page: Page):
    return page.locator(".batch [role=status]")


def statuses(page: Page) -> list[str]:
    return page.locator(".batch-badge").all_inner_texts()


def downloaded(page: Page, name: str) -> tuple[str, bytes]:
    with page.expect_download() as download:
        page.get_by_role("button", name=name).click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


@pytest.fixture
def slow(engine, monkeypatch):
    """Lets every text wait for a word; what is spoken meanwhile is counted."""
    gate, spoken, speak_lines = threading.Event(), [], engine.speak

    def waiting(lines, cancelled=lambda: False):
        spoken.extend(lines)
        while len(spoken) > 1 and not gate.wait(0.02) and not cancelled():
            pass
        return speak_lines(lines, cancelled)

    monkeypatch.setattr(engine, "speak", waiting)
    yield gate, spoken
    gate.set()


def test_a_table_becomes_a_zip(visit, engine):
    page = visit()
    choose(
        page, 'text,speaker,name\n你好。,甲,开场\n再见。,,\n什么。,丁,\n你好,"x",y,z\n'.encode("gb18030"), "表 1.csv"
    )
    expect(page.locator(".batch-summary")).to_have_text("4 条，共 11 字")
    expect(page.locator(".batch-found")).to_contain_text("已按 GB18030 读取")
    expect(page.locator(".batch-lines li").first).to_contain_text("2你好。甲")
    faults = page.locator(".batch-notice li")
    expect(faults.nth(0)).to_contain_text("第 4 行：音色 'tiny' 没有说话人 '丁'")
    expect(faults.nth(1)).to_contain_text("第 5 行：这一行有 4 格")
    expect(page.locator(".batch")).to_contain_text("现在的设置：tiny · 乙 · 1×")
    page.get_by_label("声音格式").select_option("flac")
    begin(page)
    expect(state(page)).to_have_text("完成了。")
    assert statuses(page) == ["新做", "新做", "失败", "失败"]
    name, data = downloaded(page, "下载 zip")
    assert name == "表_1.zip"
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert sorted(archive.namelist()) == ["001-开场.flac", "002-再见.flac", "report.jsonl"]
    for file, text, speaker in (("001-开场.flac", "你好。", "甲"), ("002-再见.flac", "再见。", "乙")):
        samples, _ = soundfile.read(io.BytesIO(archive.read(file)), dtype="int16")
        expected, _ = speak(engine, BASE.but(text=text, speaker=speaker))
        np.testing.assert_array_equal(samples, audio.to_pcm16(expected))

    page.get_by_role("button", name="重试失败的").click()
    expect(page.locator(".batch-badge").first).to_have_text("已有")
    expect(state(page)).to_have_text("完成了。")
    assert statuses(page) == ["已有", "已有", "失败", "失败"]


def test_subtitles_are_fitted_and_joined_and_said_where_they_cannot_be(visit, engine):
    page = visit("en-US")
    drop(page, SRT.encode(), "talk.srt")
    expect(page.locator(".batch-summary")).to_contain_text("3 items, 19 characters · subtitles from 0:00.5 to 0:08.0")
    expect(page.locator(".batch-notice li")).to_contain_text("Line 10: The line ends before it begins")
    page.get_by_label("One sound file of all").check()
    page.get_by_role("button", name="Start").click()
    expect(state(page)).to_have_text("Finished.")
    assert statuses(page) == ["made", "too long", "failed"]
    expect(page.locator(".batch tbody tr").nth(1)).to_contain_text("at speed 2 and has 0.30 s")
    expect(page.locator(".batch section").last).to_contain_text("1 line did not fit into its time")
    page.mouse.move(0, 0)
    for dark, width in ((False, 1280), (True, 1280), (True, 390)):
        page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", dark)
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_timeout(500)  # colours change slowly
        assert not shut_out(page, ".batch")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    name, data = downloaded(page, "Download the wav")
    samples, rate = soundfile.read(io.BytesIO(data), dtype="int16")
    expected = audio.to_pcm16(speak(engine, BASE.but(text="你好，世界。"))[0])
    begins = round(0.5 * rate)
    np.testing.assert_array_equal(samples[begins : begins + len(expected)], expected)
    assert name == "talk.wav" and not samples[:begins].any()
    name, data = downloaded(page, "Download the report")
    assert name == "talk.report.jsonl" and [json.loads(line) for line in data.splitlines()][-1]["failed"] == 1

    page.get_by_label("Fit each line into its time").uncheck()  # one after the other, as fast as always
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".batch tbody tr").nth(1)).to_contain_text("1×")
    expect(state(page)).to_have_text("Finished.")
    assert statuses(page) == ["made", "made", "failed"]


def test_stopped_it_goes_on_also_after_a_reload(visit, slow):
    gate, spoken = slow
    page = visit()
    choose(page, "一。\n二。\n三。")
    begin(page)
    expect(page.locator(".batch-badge")).to_have_text(["新做"])
    expect(page.locator(".batch .batch-hint").filter(has_text="1 / 3 条")).to_contain_text("剩余约")
    expect(page.get_by_role("button", name="停止")).to_be_focused()
    page.keyboard.press("Enter")
    expect(state(page)).to_contain_text("已停止。做好的都还在")
    expect(page.get_by_role("button", name="继续")).to_be_visible()

    page.reload()
    expect(state(page)).to_contain_text("再选同一个文件")  # the page knows what it was doing, but not the file
    expect(page.locator(".batch-badge")).to_have_text(["新做"])
    spoken.clear()
    gate.set()
    choose(page, "一。\n二。\n三。")
    begin(page)
    expect(state(page)).to_have_text("完成了。")
    assert statuses(page) == ["已有", "新做", "新做"] and [request.text for request in spoken] == ["二。", "三。"]

    choose(page, "一。\n二。\n三。")  # all is there
    begin(page)
    expect(state(page)).to_have_text("完成了。")
    assert statuses(page) == ["已有"] * 3 and len(spoken) == 2
    page.get_by_label("声音格式").select_option("ogg")  # other settings are another batch
    begin(page)
    expect(page.locator(".batch-badge")).to_have_text(["新做"] * 3)


def test_a_reload_while_it_is_made_goes_on_looking(visit, slow):
    gate, _ = slow
    page = visit()
    choose(page, "一二。\n三四。")
    begin(page)
    expect(page.locator(".batch-badge")).to_have_text(["新做"])
    page.reload()
    expect(page.locator(".batch-badge")).to_have_text(["新做"])
    expect(page.get_by_role("button", name="停止")).to_be_visible()
    gate.set()
    expect(state(page)).to_have_text("完成了。")
    assert zipfile.ZipFile(io.BytesIO(downloaded(page, "下载 zip")[1])).testzip() is None


@pytest.fixture
def begun(monkeypatch) -> list[batch.Job]:
    """The batches that are begun, in their order."""
    jobs, start = [], Batches.start

    def noted(self, ask):
        job = start(self, ask)
        if job not in jobs:
            jobs.append(job)
        return job

    monkeypatch.setattr(Batches, "start", noted)
    return jobs


def wait_for_the_end(jobs: list[batch.Job]) -> None:
    assert jobs
    for job in jobs:
        assert job.ended.wait(PATIENT / 1000)


def test_a_tab_that_was_asleep_goes_on_by_itself(visit, slow, begun):
    gate, spoken = slow
    page = visit()
    choose(page, "日。\n月。")
    begin(page)
    expect(page.locator(".batch-badge")).to_have_text(["新做"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "ABANDONED", 0)  # as if a minute had gone by
        wait_for_the_end(begun[:1])
    gate.set()
    expect(state(page)).to_have_text("完成了。")
    assert statuses(page) == ["已有", "新做"] and [r.text for r in spoken].count("日。") == 1


def test_two_listeners_and_a_closed_tab(visit, slow, begun, monkeypatch):
    gate, spoken = slow
    monkeypatch.setattr(batch, "ABANDONED", 4)
    one, other = visit(), visit()
    for page in (one, other):
        choose(page, "甲乙。\n丙丁。")
        begin(page)
        page.locator(".batch [role=status]").filter(has_text="正在合成").wait_for()
    expect(one.locator(".batch-badge")).to_have_text(["新做"])
    one.context.close()
    wait_for_the_end(begun[:1])  # nobody looks any more
    expect(other.get_by_role("button", name="停止")).to_be_visible()
    gate.set()
    expect(state(other)).to_have_text("完成了。")
    assert len(statuses(other)) == 2 and "失败" not in statuses(other)
    assert [request.text for request in spoken].count("甲乙。") == 2, "each listener's own"


def test_a_server_that_was_started_anew_has_lost_nothing(visit, engine, tmp_path, slow, begun):
    gate, spoken = slow
    with serving(engine, tmp_path) as first:
        page = visit(url=first.url)
        choose(page, "天。\n地。")
        begin(page)
        expect(page.locator(".batch-badge")).to_have_text(["新做"])
    expect(state(page)).to_have_text("连不上服务器，正在重试……")
    with pytest.MonkeyPatch.context() as patch:  # a process that has ended would make nothing any more
        patch.setattr(batch, "ABANDONED", 0)
        wait_for_the_end(begun)
    spoken.clear()
    gate.set()
    with serving(engine, tmp_path, first.port):
        expect(state(page)).to_contain_text("服务器重新启动过")
        page.get_by_role("button", name="继续").click()
        expect(state(page)).to_have_text("完成了。")
        assert statuses(page) == ["已有", "新做"] and [request.text for request in spoken] == ["地。"]


@pytest.mark.parametrize(
    ("text", "name", "sentence"),
    [
        ("你好", "a.docx", "a.docx：扩展名须为 txt、csv、srt、vtt 之一"),
        ("", "a.txt", "a.txt 里没有要说的内容"),
        ("name\n你好", "a.csv", "其中必须有 text 一列"),
        (b"\0\1\2", "../../etc/passwd.txt", "文件不是文本"),
    ],
)
def test_a_file_at_fault_is_one_sentence(visit, text, name, sentence):
    page = visit()
    choose(page, text, name.rpartition("/")[2])
    expect(page.locator(".batch [role=alert]")).to_contain_text(sentence)
    expect(page.get_by_role("button", name="开始", exact=True)).to_have_count(0)
    choose(page, "好。")
    expect(page.locator(".batch-summary")).to_have_text("1 条，共 2 字")
    expect(page.locator(".batch [role=alert]")).to_be_empty()


def test_paragraphs_text_that_is_code_and_the_example(visit):
    page = visit("en-US")
    attack = "<img src=x onerror='window.hacked=1'>"
    choose(page, f"一。\n二。\n\n三{attack}。", f"{attack}.txt")
    expect(page.locator(".batch-summary")).to_have_text("3 items, 43 characters")
    page.get_by_label("By paragraphs").check()
    expect(page.locator(".batch-summary")).to_have_text("2 items, 44 characters")
    assert page.evaluate("window.hacked") is None and page.locator(".batch img").count() == 0
    page.locator(".batch summary").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download an example csv").click()
    entries = entries_from("example.csv", Path(download.value.path()).read_bytes())
    assert len(entries) == 3 and [entry.request(SpeechRequest("")).speed for entry in entries] == [1.0, 1.1, 0.9]


# --- without a browser -------------------------------------------------------------------------------------------


@pytest.fixture
def batches(engine, tmp_path) -> Iterator[Batches]:
    files = Files()
    yield Batches(engine, files, Samples(), tmp_path / "work")
    files.close()


def asked(text: str = "你好。\n再见。", **changes: object) -> dict:
    import base64

    ask = {"name": "a.txt", "data": base64.b64encode(text.encode()).decode(), "paragraphs": False, "fit": True}
    return ask | {"joined": False, "format": "wav", "request": dict(CONTROLS), "listener": "me"} | changes


def finish(job: batch.Job) -> dict:
    while not job.ended.wait(0.01):
        job.looked = time.monotonic()
    return job.shown(0)


def test_equal_batches_are_one_and_others_are_apart(batches, engine):
    key = batches.order(asked()).key
    assert batches.order(asked(request=CONTROLS | {"speed": 1.0, "text": "x"})).key == key
    sample = batches.samples.add(sound(tone(1)))
    for other in (
        asked("你好。"),
        asked(format="mp3"),
        asked(joined=True),
        asked(listener="you"),
        asked(request=CONTROLS | {"seed": 8}),
        asked(request=CONTROLS | {"sample": sample}),
    ):
        assert batches.order(other).key != key
    weights = engine.files("tiny").weights
    os.utime(weights, ns=(1, 1))
    assert batches.order(asked()).key != key, "another voice under the same name"


def test_the_sample_is_used_and_what_was_made_with_it_is_kept(batches, engine, monkeypatch):
    heard, speak_lines = [], engine.speak
    monkeypatch.setattr(
        engine, "speak", lambda lines, c: heard.extend(r.emotion_audio for r in lines) or speak_lines(lines, c)
    )
    data = sound(tone(1))
    ask = asked(request=CONTROLS | {"sample": batches.samples.add(data)})
    assert finish(batches.start(ask))["counts"] == {"made": 2, "skipped": 0, "failed": 0}
    assert heard == [data] * 2
    assert finish(batches.start(ask))["counts"] == {"made": 0, "skipped": 2, "failed": 0} and len(heard) == 2
    with pytest.raises(BadRequest, match="no longer here"):
        batches.start(asked(request=CONTROLS | {"sample": "gone"}))


@pytest.mark.parametrize("joined", [False, True])
def test_what_is_finished_is_taken_again_without_a_copy(batches, joined):
    job = batches.start(asked(joined=joined))
    assert finish(job)["counts"]["made"] == 2
    address = batches.take(job.id, "sound")
    assert batches.take(job.id, "sound") == address and job.out.stat().st_nlink == 2
    again = batches.start(asked(joined=joined))
    told = finish(again)
    assert told["counts"] == {"made": 0, "skipped": 2, "failed": 0} and told["size"] == job.out.stat().st_size
    job.out.unlink()
    again.offered.clear()
    with pytest.raises(BadRequest, match="start the batch again"):
        batches.take(again.id, "sound")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "exe"}, "'exe' is not known"),
        ({"data": "?"}, "did not come whole"),
        ({"name": "a.exe"}, "the ending must be one of"),
        ({"request": CONTROLS | {"speed": 9}}, "speed must be"),
        ({"request": CONTROLS | {"emotion_audio": "/etc/passwd"}}, "emotion_audio must be"),
        ({"request": CONTROLS | {"path": "x"}}, "'path' is no option"),
    ],
)
def test_what_no_page_asks_for_is_refused(batches, change, message):
    with pytest.raises(BadRequest, match=message):
        batches.start(asked(**change))
    assert not batches.jobs


@pytest.mark.parametrize("name", ["../../x.txt", "C:\\x.txt", "/etc/x.txt", "..txt", "好" * 300 + ".txt", ".txt"])
def test_no_name_leaves_its_folder(batches, name):
    job = batches.start(asked(name=name))
    assert finish(job)["state"] == "done"
    address = batches.take(job.id, "sound")
    assert address.startswith("made/") and ".." not in address and address.count("/") == 2


def test_a_full_disk_and_a_fault_of_ours_are_sentences(batches, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", str(batches.work.root))
        yield

    monkeypatch.setattr(batch.Batch, "steps", full)
    told = finish(batches.start(asked()))
    assert told["state"] == "failed" and "No space left" in told["error"][1]
    monkeypatch.setattr(batch.Batch, "steps", lambda *_, **__: 1 / 0)
    other = finish(batches.start(asked("好。")))
    assert "ZeroDivisionError" in other["error"][1]
    assert str(batches.work.root) not in str([told, other])


def start_from(address: str, batches: Batches, listener: str) -> batch.Job:
    told = guard.asker.set(f"{address} browser")
    try:
        return batches.start(asked(listener=listener))
    finally:
        guard.asker.reset(told)


def test_too_much_is_stopped_and_too_many_wait(batches, monkeypatch):
    monkeypatch.setattr(batch, "MOST_RUN", 1000)
    told = finish(batches.start(asked()))
    assert told["state"] == "failed" and "choose mp3 or ogg" in told["error"][1] and told["done"] == 1
    monkeypatch.undo()
    gate = threading.Event()

    def blocked(*_):
        gate.wait(60)
        yield

    monkeypatch.setattr(Batches, "_make", blocked)
    jobs = [start_from(f"10.0.0.{i}", batches, str(i)) for i in range(batch.AT_ONCE + batch.WAITING)]
    assert batches.start(asked(listener="0")) is jobs[0]
    with pytest.raises(Busy, match="Too many batches"):
        batches.start(asked(listener="more"))
    jobs[-1].stop.set()
    assert finish(jobs[-1])["state"] == "stopped" and jobs[-2].state == "waiting"
    gate.set()
    for job in jobs:
        finish(job)


def test_one_address_leaves_room_for_the_batches_of_another(batches, monkeypatch):
    monkeypatch.setattr(batches.engine.line, "enter", lambda _: None)
    for i in range(batch.AT_ONCE + batch.WAITING - batch.EACH):
        start_from("10.0.0.1", batches, f"invented {i}")
    with pytest.raises(Busy, match="Too many batches"):
        start_from("10.0.0.1", batches, "invented too")
    assert start_from("10.0.0.2", batches, "another").id in batches.jobs


def test_one_listener_has_two_of_the_ten_places(batches, monkeypatch):
    gate = threading.Event()

    def blocked(*_):
        gate.wait(60)
        yield

    monkeypatch.setattr(Batches, "_make", blocked)
    jobs = [batches.start(asked("一。" * (i + 1))) for i in range(batch.EACH)]
    with pytest.raises(Busy, match="2 batches of yours") as refusal:
        batches.start(asked("三。"))
    assert "等其中一个完成" in refusal.value.message.say("zh")
    jobs.append(batches.start(asked(listener="another")))
    assert len(batches.jobs) == 3 and sum(thread.name == "batch" for thread in threading.enumerate()) == 0
    with pytest.raises(BadRequest, match="1 to 64 characters"):
        batches.start(asked(listener="x" * 600))
    gate.set()
    for job in jobs:
        finish(job)
        assert job.entries == (), "its texts are let go of"
    batches.start(asked("三。"))


def test_the_rows_of_finished_batches_are_bounded(batches, monkeypatch):
    monkeypatch.setattr(batch, "MOST_ROWS", 5)
    jobs = [batches.start(asked("一。\n二。", listener=str(i))) for i in range(1)]
    for i in range(1, 4):
        finish(jobs[-1])
        jobs.append(batches.start(asked("一。\n二。", listener=str(i))))
    finish(jobs[-1])
    assert [job.id in batches.jobs for job in jobs] == [False, True, True, True]


def test_a_batch_and_a_listener_take_turns(batches, engine, monkeypatch):
    """Somebody who speaks does not wait for the end of an item."""
    noted, line = [], Line(workers=0)
    monkeypatch.setattr(engine, "line", line)
    job = batches.start(asked("春天来了，小河解冻了。" * 5 + "\n你好。", joined=True))

    class Other(Turn):
        listener = "somebody"

        def step(self):
            noted.append((len(job.rows), job.at))
            return len(noted) < 12

    line.enter(Other())
    while line.step():
        pass
    assert job.state == "done" and job.out.exists()
    assert [rows for rows, _ in noted] == [0] * 12 and len({at for _, at in noted}) > 1


@pytest.mark.parametrize("ending", ["zip", "flac"])
def test_what_is_joined_is_stopped_between_two_blocks(batches, engine, monkeypatch, ending):
    line = Line(workers=0)
    monkeypatch.setattr(engine, "line", line)
    job = batches.start(asked(joined=ending != "zip", format="wav" if ending == "zip" else ending))
    while len(job.rows) < 2:
        line.step()
    line.step()
    assert list(job.folder.glob(".out.*.part")) and not job.out.exists()
    job.stop.set()
    while line.step():
        pass
    assert job.state == "stopped" and not job.out.exists() and not list(job.folder.glob(".out.*"))
    again = batches.start(asked(joined=ending != "zip", format="wav" if ending == "zip" else ending))
    while line.step():
        pass
    assert again.shown(0)["counts"] == {"made": 0, "skipped": 2, "failed": 0} and again.out.exists()


def test_work_is_bounded_in_age_and_size(tmp_path, monkeypatch):
    work = Work(tmp_path / "work")
    names = [c * 64 for c in "abcd"]
    now = time.time()
    for i, name in enumerate(names):
        (work.folder(name) / "out.zip").write_bytes(bytes(100))
        os.utime(work.folder(name), (now - i * batch.AGE / 4,) * 2)
    (work.root / "mine").mkdir()
    os.utime(work.root / names[3], (now - 2 * batch.AGE,) * 2)
    monkeypatch.setattr(batch, "MOST_KEPT", 250)
    work.tidy({names[1]})
    assert sorted(path.name for path in work.root.iterdir()) == [names[0], names[1], "mine"]
    monkeypatch.setattr(batch, "MOST_KEPT", 50)
    work.tidy({names[1]})
    assert sorted(path.name for path in work.root.iterdir()) == [names[1], "mine"]


def test_a_folder_of_somebody_else_is_not_used(tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "ours").symlink_to(tmp_path / "theirs")
    work = Work(tmp_path / "ours")
    assert work.folder("a" * 64).parent not in (tmp_path / "theirs", tmp_path / "ours")
    assert not list((tmp_path / "theirs").iterdir())
