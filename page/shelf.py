"""What stays between visits: the last projects that were spoken, and named settings.

Texts and numbers alone: the sound comes back from its seed. Shelf keeps them in a folder. The page has listen() once
outside its tabs, and build() where the panel shall be; shelf.js is both, with project files and dropped sounds.
"""

import base64
import binascii
import hashlib
import io
import json
import math
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import gradio as gr
import orjson

from infer.documents import audio
from infer.documents.audio import HEAD
from infer.documents.project import Project
from infer.files import alone, read, write_whole
from infer.request import BadRequest, SpeechError, SpeechRequest
from infer.settings import Settings
from page import answering, private, whole_characters

LARGEST = 4 << 20  # bytes of a project
LARGEST_PRESET = 64 << 10  # bytes
MOST_PRESETS = 200
LARGEST_FILE = MOST_PRESETS * LARGEST_PRESET  # bytes of a file here; a project with its title is smaller
MOST_ORDER = 2**53 - 1  # what JavaScript knows exactly; a higher one would not be read again
NAME, TITLE = 40, 24  # characters of a preset's name, of a title
PRESETS = "presets.json"
ASSETS = Path(__file__).resolve().parent

WORDS = {  # key -> Chinese, English
    "project": ("项目文件", "Project file"),
    "project.help": (
        "把项目文件，或在这里做的声音文件（wav、flac、mp3、ogg、opus）拖到页面上任何地方，一切就回到当时的样子。",
        "Drop a project file, or a sound made here (wav, flac, mp3, ogg, opus), anywhere on the page: everything is "
        "set as it was.",
    ),
    "save": ("保存项目", "Save project"),
    "open": ("打开文件……", "Open a file …"),
    "drop": ("松开鼠标，打开这个文件", "Let go to open this file"),
    "presets": ("预设", "Presets"),
    "presets.help": (
        "给现在的音色、情感、语速等设置起个名字，以后一点就能用。",
        "Give the voice, emotion, speed and other settings of this moment a name; later a click brings them back.",
    ),
    "presets.browser": ("预设保存在这个浏览器里。", "Presets are kept in this browser."),
    "preset.name": ("预设的名字", "Name of the preset"),
    "preset.save": ("保存预设", "Save preset"),
    "preset.delete": ("删除预设“{0}”", "Delete the preset “{0}”"),
    "preset.none": ("还没有预设。", "No preset yet."),
    "preset.saved": ("已保存预设“{0}”。", "Preset “{0}” saved."),
    "preset.replaced": ("已换掉原来的预设“{0}”。", "The preset “{0}” has been replaced."),
    "preset.applied": ("已用上预设“{0}”。", "Preset “{0}” is set."),
    "preset.deleted": ("已删除预设“{0}”。", "Preset “{0}” deleted."),
    "preset.unnamed": ("请先给预设起个名字。", "Give the preset a name first."),
    "history": ("历史", "History"),
    "history.keep": ("保留历史", "Keep a history"),
    "history.keep.help": ("此开关只管这个浏览器。", "This switch is for this browser alone."),
    "history.help": (
        "最近说过的 {0} 篇，只存在运行本页的这台机器上；不存声音，点开后会原样重新合成。",
        "The last {0} speeches, kept only on the machine that runs this page. No sound is kept: it is made again, "
        "the same, from its seed.",
    ),
    "history.none": ("还没有。朗读一段文字，它就会出现在这里。", "Nothing yet. Speak a text and it appears here."),
    "history.off": (
        "历史已关闭（设置 history 是空的）。",
        "History is switched off (the setting history is empty).",
    ),
    "history.shared": (
        "别的机器也能打开本页，而且没有密码，大家会看到彼此的文字，所以不保留历史。请设置 user 与 password，"
        "或只在本机使用（host: 127.0.0.1）。",
        "Other machines reach this page without a password and would see each other's texts, so there is no history. "
        "Set user and password, or let this machine alone use it (host: 127.0.0.1).",
    ),
    "history.delete": ("从历史中删除“{0}”", "Delete “{0}” from the history"),
    "history.deleted": ("已删除“{0}”。", "“{0}” deleted."),
    "history.clear": ("全部删除", "Delete all"),
    "history.sure": ("删除全部 {0} 条历史？", "Delete all {0} speeches of the history?"),
    "history.cleared": ("历史已全部删除。", "The history is empty now."),
    "yes": ("删除", "Delete"),
    "no": ("取消", "Cancel"),
    "undo": ("撤销", "Undo"),
    "close": ("关闭提示", "Close this message"),
    "now": ("刚才", "just now"),
    "seconds": ("{0} 秒", "{0} s"),
    "saved": ("已保存为 {0}。", "Saved as {0}."),
    "empty": (
        "还没有内容；请先在“朗读”里写一段文字。",
        "There is nothing to save yet; write a text under Speak first.",
    ),
    "opened": ("已打开“{0}”。", "“{0}” is open."),
    "undone": ("已恢复。", "It is as it was before."),
    "reading": ("正在读取“{0}”……", "Reading “{0}” …"),
    "not yet": ("页面还没有准备好，请稍候再试。", "The page is not ready yet; try again in a moment."),
    "lost": (
        "连不上服务器，什么都没有改动。请看它是否还在运行，再试一次。",
        "The server cannot be reached and nothing was changed. See whether it is still running, then try again.",
    ),
    "large": (
        "“{0}”太大了（项目文件最多 {1} MB）；请确认选对了文件。",
        "“{0}” is too large (a project has at most {1} MB); see whether it is the right file.",
    ),
    "unreadable": ("读不了“{0}”；请再选一次。", "“{0}” cannot be read; choose it again."),
    "broken": (
        "“{0}”已损坏，或不是 JSON 文件；请选用“保存项目”存下的 .bv2.json 文件。",
        "“{0}” is damaged or no JSON; choose a .bv2.json file that “Save project” has made.",
    ),
    "of": ("“{0}”：{1}", "“{0}”: {1}"),
    "unknown": (
        "打不开“{0}”：这里只能打开项目文件（.json）和在这里做的声音（wav、flac、mp3、ogg、opus）。",
        "“{0}” cannot be opened: projects (.json) and sounds made here (wav, flac, mp3, ogg, opus) can.",
    ),
}


@dataclass(frozen=True)
class Entry:
    """A project of the history. when: seconds since 1970; seconds: how long its sound is.

    order: the higher, the newer. Clocks are set back, and then `when` does not tell what came last.
    """

    id: str
    title: str
    when: float
    seconds: float
    order: int


class Shelf:
    """The last `most` projects and the presets, in a folder; without one nothing stays. Threads and servers may share
    it.

    What comes in and goes out are JSON values. Damaged files, and damaged entries of a file, are passed over. Methods
    raise BadRequest for what cannot be kept, and SpeechError where the disk refuses.
    """

    def __init__(self, folder: Path | None, most: int = 50) -> None:
        self.folder, self.most = folder, max(most, 0)

    def history(self) -> list[Entry]:
        """The newest first."""
        return self._entries()[: self.most]

    def add(self, project: Any, seconds: float, when: float | None = None, order: int | None = None) -> None:
        """Keeps a project that was spoken; one that sounds the same makes room for it.

        when, order: of the entry that was deleted and comes back to its place; by default it is the newest.
        """
        project, now = _clean(project, LARGEST), time.time()
        known = Project.from_dict(project)
        title = title_of(known)
        when = now if when is None else when
        if not title or not _is_number(seconds) or not _is_number(when) or not (order is None or _is_number(order)):
            raise BadRequest("A project without text or sound is not kept.", "没有文字或声音的项目不会保留。")
        same = json.dumps(known.without_takes().as_dict(), sort_keys=True)
        id = hashlib.sha256(same.encode()).hexdigest()[:32]
        if not self.folder or not self.most:
            return
        with self._writing():
            others = [entry for entry in self._entries() if entry.id != id]
            newest = min(1 + max((entry.order for entry in others), default=0), MOST_ORDER)
            entry = Entry(id, title, min(now, when), seconds, newest if order is None else min(int(order), newest))
            content = {name: value for name, value in asdict(entry).items() if name != "id"} | {"project": project}
            write_whole(self._path(id), json.dumps(content, ensure_ascii=False), mode=0o600)
            for old in _newest_first([*others, entry])[self.most :]:
                self._path(old.id).unlink(missing_ok=True)

    def project(self, id: str) -> dict[str, Any]:
        """What was given to `add`. Raises BadRequest when it has gone."""
        content = _content(self._path(id))
        if content is not None:
            Project.from_dict(content["project"])
            return content["project"]
        raise BadRequest(
            "This project is no longer in the history; perhaps it was deleted in another window.",
            "历史里已经没有这个项目了，也许在另一个窗口里删除了。",
        )

    def remove(self, id: str) -> None:
        path = self._path(id)
        with self._writing():
            path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Deletes the history, damaged files too. The presets stay."""
        with self._writing():
            for path in self._files():
                path.unlink(missing_ok=True)

    def presets(self) -> dict[str, dict[str, Any]]:
        """Values of controls by name."""
        return self._presets()[0]

    def save_preset(self, name: Any, values: Any) -> str:
        """Keeps values under a name, in the place of those it had; returns the name as it is kept."""
        name, values = preset_name(_clean(name, LARGEST_PRESET)), preset_values(values)
        with self._writing():
            presets, whole = self._presets()
            presets |= {name: values}
            if len(presets) > MOST_PRESETS:
                raise BadRequest(
                    f"There are {MOST_PRESETS} presets already; delete one first.",
                    f"已有 {MOST_PRESETS} 个预设，请先删除一个。",
                )
            self._write_presets(presets, whole)
        return name

    def delete_preset(self, name: Any) -> None:
        with self._writing():
            presets, whole = self._presets()
            if presets.pop(name, None) is not None:
                self._write_presets(presets, whole)

    def _presets(self) -> tuple[dict[str, dict[str, Any]], bool]:
        """Those that can be used, and whether that is all that the file holds."""
        file = self.folder and self.folder / PRESETS
        if file is None or not file.is_file():
            return {}, True
        found = _json(file)
        if not isinstance(found, dict):
            return {}, False
        fine = {name: values for name, values in found.items() if _is_preset(name, values)}
        return fine, len(fine) == len(found)

    def _write_presets(self, presets: dict[str, dict[str, Any]], whole: bool) -> None:
        file = self.folder / PRESETS
        if not whole:  # what is damaged makes room, and stays for whoever can mend it
            write_whole(self._damaged(), file.read_bytes(), mode=0o600)
        write_whole(file, json.dumps(presets, ensure_ascii=False, indent=1), mode=0o600)

    def _damaged(self) -> Path:
        """A name that is free."""
        names = (self.folder / f"presets{number or ''}.damaged" for number in count())
        return next(path for path in names if not path.exists())

    def _path(self, id: Any) -> Path:
        """An id is one that `add` could have made, or it never comes near a path."""
        if self.folder is None or not isinstance(id, str) or not re.fullmatch("[0-9a-f]{32}", id):
            raise BadRequest("The history has no such project.", "历史里没有这个项目。")
        return self.folder / f"{id}.json"

    def _files(self) -> list[Path]:
        found = self.folder.glob("*.json") if self.folder else ()
        return [path for path in found if re.fullmatch("[0-9a-f]{32}", path.stem) and path.is_file()]

    def _entries(self) -> list[Entry]:
        read = ((path.stem, _content(path)) for path in self._files())
        return _newest_first(
            Entry(id, got["title"], got["when"], got["seconds"], int(got.get("order", 0))) for id, got in read if got
        )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One writer at a time, of all servers, in a folder that nobody else may read."""
        if self.folder is None:
            raise BadRequest("Nothing is kept here; see the setting history.", "这里不保留任何内容；见设置 history。")
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with alone(self.folder, "*.json"):
                yield
        except OSError as error:
            raise SpeechError(
                f"The folder of the history cannot be written ({error.strerror}); make room or give the right to "
                "write, or name another folder in the setting history.",
                f"历史文件夹写不进去（{error.strerror}）；请腾出空间或给予写权限，或在设置 history 里换一个文件夹。",
            ) from error


def _newest_first(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: (-entry.order, -entry.when, entry.id))


def title_of(project: Project) -> str:
    """The first words of what is said."""
    line = " ".join(project.text.split())
    return line if len(line) <= TITLE else f"{line[:TITLE].rstrip()}…"


def preset_name(name: Any) -> str:
    """Any characters, without blanks around. Raises BadRequest."""
    name = " ".join(name.split()) if isinstance(name, str) else ""
    if not name:
        raise BadRequest("Give the preset a name first.", "请先给预设起个名字。")
    if len(name) > NAME:
        raise BadRequest(
            f"The name of a preset has at most {NAME} characters, and this one has {len(name)}; shorten it.",
            f"预设的名字最多 {NAME} 个字，现在有 {len(name)} 个；请改短些。",
        )
    return name


def preset_values(values: Any) -> dict[str, Any]:
    """Values of a request's options and the id of a sample, each as SpeechRequest takes it. Raises BadRequest."""
    if not isinstance(values, dict) or not isinstance(values.get("sample", ""), str):
        raise BadRequest("A preset holds the values of controls.", "预设只能保存各项设置的值。")
    values = {name: whole_characters(value) if isinstance(value, str) else value for name, value in values.items()}
    SpeechRequest.from_dict({"text": "", **{name: value for name, value in values.items() if name != "sample"}})
    return _clean(values, LARGEST_PRESET)


def _is_preset(name: str, values: Any) -> bool:
    try:
        return preset_name(name) == name == _clean(name, LARGEST_PRESET) and preset_values(values) == values
    except BadRequest:
        return False


def recipe(data: Any) -> dict[str, Any]:
    """The beginning of a sound file, in base64 -> how it was made: {"project": …} or {"request": …}.

    Raises BadRequest when it was not made here, or says no longer how.
    """
    try:
        head = base64.b64decode(data, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise BadRequest("The file did not come over whole; try again.", "文件没有传完整，请再试一次。") from error
    if len(head) > HEAD:
        raise BadRequest(
            f"Only the first {HEAD >> 20} MB of a sound file are looked at; send no more.",
            f"只看声音文件的前 {HEAD >> 20} MB；请不要多传。",
        )
    try:
        made = audio.metadata(io.BytesIO(head))
    except (RuntimeError, ValueError, TypeError):  # no sound file at all
        made = {}
    if "cards" in made:
        Project.from_dict(made)
        return {"project": made}
    if "text" in made:
        return {"request": SpeechRequest.from_dict(made).as_dict()}
    raise BadRequest(
        "This sound does not say how it was made: it comes from elsewhere, or another program has saved it anew. Use "
        "the file as it was downloaded here.",
        "这个声音文件里没有制作信息：它不是在这里做的，或者被别的软件重新保存过。请用当初在这里下载的原文件。",
    )


def shelf_of(settings: Settings) -> tuple[Shelf, str]:
    """The shelf that the settings ask for, and why it keeps nothing: "off", "shared" with strangers, or ""."""
    why = "off" if not settings.history else "" if private(settings) else "shared"
    return Shelf(None if why else settings.path(settings.history), settings.history_entries), why


def listen(settings: Settings) -> gr.HTML:
    """The part without a face, outside of all tabs: it hears what is spoken, and takes files dropped on the page.

    Gradio puts a tab's parts on the page when the tab is first opened, which would be too late for that.
    """
    shelf, why = shelf_of(settings)

    def everything() -> dict[str, Any]:
        return {"history": [asdict(entry) for entry in shelf.history()], "presets": shelf.presets()}

    @answering
    def list_kept(_: Any) -> dict[str, Any]:
        return everything()

    @answering
    def keep_project(data: Any) -> dict[str, Any]:
        shelf.add(data["project"], data["seconds"], data.get("when"), data.get("order"))
        return everything()

    @answering
    def kept_project(data: Any) -> dict[str, Any]:
        return {"project": shelf.project(data["id"])}

    @answering
    def remove_project(data: Any) -> dict[str, Any]:
        removed = shelf.project(data["id"])
        shelf.remove(data["id"])
        return everything() | {"project": removed}

    @answering
    def clear_history(_: Any) -> dict[str, Any]:
        shelf.clear()
        return everything()

    @answering
    def save_preset(data: Any) -> dict[str, Any]:
        shelf.save_preset(data["name"], data["values"])
        return everything()

    @answering
    def delete_preset(data: Any) -> dict[str, Any]:
        shelf.delete_preset(data["name"])
        return everything()

    @answering
    def check_preset(data: Any) -> dict[str, Any]:
        preset_values(data["values"])
        return {}

    @answering
    def check_project(data: Any) -> dict[str, Any]:
        Project.from_dict(data)
        return {}

    @answering
    def read_recipe(data: Any) -> dict[str, Any]:
        return recipe(data)

    return gr.HTML(
        html_template="<i></i>",
        js_on_load=(ASSETS / "shelf.js").read_text(encoding="utf-8"),
        server_functions=[
            list_kept,
            keep_project,
            kept_project,
            remove_project,
            clear_history,
            save_preset,
            delete_preset,
            check_preset,
            check_project,
            read_recipe,
        ],
        words=WORDS,
        why=why,
        most=shelf.most,
        limits={"project": LARGEST, "head": HEAD, "name": NAME},
        visible="hidden",
        elem_id="shelf-ears",
    )


def build() -> gr.HTML:
    """The panel, in a tab or wherever it shall be; `listen` must be on the page too."""
    return gr.HTML(
        html_template='<div class="shelf"></div>',
        js_on_load='window.projects.show(element.querySelector(".shelf"));',
        elem_id="shelf-panel",
    )


def _clean(value: Any, most: int) -> Any:
    """A JSON value that can be written, read again and sent to a page.

    Raises BadRequest: too large, too deep, no finite number, an integer beyond 64 bits.
    """
    try:
        whole = whole_characters(json.dumps(value, ensure_ascii=False, allow_nan=False))
        if len(whole.encode()) > most:
            raise BadRequest(
                f"This is larger than {most >> 10} kB and is not kept; split it.",
                f"内容超过 {most >> 10} kB，不能保留；请拆开。",
            )
        value = json.loads(whole)
        orjson.dumps(value)  # as Gradio will
    except (ValueError, TypeError, RecursionError) as error:
        raise BadRequest("This cannot be kept: it is no JSON value.", "内容不是 JSON，不能保留。") from error
    return value


def _json(path: Path) -> Any:
    """None for a file that is damaged or has gone; an integer that no 64 bits hold is infinite."""
    try:
        text = read(path, LARGEST_FILE).decode("utf-8-sig")
        return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 20 else math.inf)
    except (BadRequest, ValueError, RecursionError):
        return None


def _content(path: Path) -> dict[str, Any] | None:
    """What a file of the history holds, if it is all there and can be shown."""
    got = _json(path)
    fine = (
        isinstance(got, dict)
        and isinstance(got.get("project"), dict)
        and isinstance(got.get("title"), str)
        and all(_is_number(got.get(name, 0 if name == "order" else None)) for name in ("when", "seconds", "order"))
    )
    try:
        orjson.dumps(got)
    except TypeError:  # orjson.JSONEncodeError
        return None
    return got if fine else None


def _is_number(value: Any) -> bool:
    """Of seconds or of an order: one that JavaScript knows exactly."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MOST_ORDER
