"""What stays between visits: the last projects that were spoken, and named settings.

Texts and numbers alone: the sound comes back from its seed. Shelf keeps them in a folder. The page has shelf_ears()
once outside its tabs, and shelf_panel() where the panel shall be; shelf.js is both, with project files and dropped
sounds.
"""

import base64
import hashlib
import io
import json
import math
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import gradio as gr
import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infer.documents import audio
from infer.documents.audio import HEAD
from infer.documents.project import Project
from infer.files import alone, read, write_whole
from infer.request import BadRequest, SpeechError, SpeechRequest
from infer.settings import Settings
from page import answers, panel, private
from page.guard import whole_characters
from words import pairs

LARGEST = 4 << 20  # bytes of a project
LARGEST_PRESET = 64 << 10  # bytes
MOST_PRESETS = 200
LARGEST_FILE = MOST_PRESETS * LARGEST_PRESET  # bytes of a file here; a project with its title is smaller
MOST_ORDER = 2**53 - 1  # what JavaScript knows exactly; a higher one would not be read again
NAME, TITLE = 40, 24  # characters of a preset's name, of a title
PRESETS = "presets.json"

Number = Annotated[int | float, Field(ge=0, le=MOST_ORDER, allow_inf_nan=False)]


class Entry(BaseModel):
    """A project of the history. when: seconds since 1970; seconds: how long its sound is.

    order: the higher, the newer. Clocks are set back, and then `when` does not tell what came last.
    """

    model_config = ConfigDict(frozen=True, strict=True)
    id: str
    title: str = Field(min_length=1)
    when: Number
    seconds: Number
    order: Number = 0


class Content(Entry):
    """A file of the history, with its name as `id`."""

    project: dict[str, Any]


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
        sound = Project.from_dict(project).without_takes()
        same = json.dumps(sound.as_dict(), sort_keys=True)
        id = hashlib.sha256(same.encode()).hexdigest()[:32]
        when, order = now if when is None else when, MOST_ORDER if order is None else order
        try:
            entry = Entry(id=id, title=title_of(sound), when=when, seconds=seconds, order=order)
        except ValidationError as error:
            raise BadRequest("shelf.nothing_said") from error
        if not self.folder or not self.most:
            return
        with self._writing() as folder:
            others = [other for other in self._entries() if other.id != id]
            newest = min(1 + max((other.order for other in others), default=0), MOST_ORDER)
            entry = entry.model_copy(update={"when": min(now, when), "order": min(order, newest)})
            content = entry.model_dump(exclude={"id"}) | {"project": project}
            write_whole(folder / f"{id}.json", json.dumps(content, ensure_ascii=False), mode=0o600)
            for old in _newest_first([*others, entry])[self.most :]:
                self._path(old.id).unlink(missing_ok=True)

    def project(self, id: str) -> dict[str, Any]:
        """What was given to `add`. Raises BadRequest when it has gone."""
        content = _content(self._path(id))
        if content is None:
            raise BadRequest("shelf.gone")
        Project.from_dict(content.project)
        return content.project

    def remove(self, id: str) -> None:
        path = self._path(id)
        with self._writing():
            path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Deletes the history, damaged files too. The presets stay."""
        with self._writing():
            for path, _ in self._files():
                path.unlink(missing_ok=True)

    def presets(self) -> dict[str, dict[str, Any]]:
        """Values of controls by name."""
        return self._presets()[0]

    def save_preset(self, name: Any, values: Any) -> str:
        """Keeps values under a name, in the place of those it had; returns the name as it is kept."""
        name, values = preset_name(_clean(name, LARGEST_PRESET)), preset_values(values)
        with self._changing_presets() as presets:
            presets[name] = values
            if len(presets) > MOST_PRESETS:
                raise BadRequest("shelf.full", most=MOST_PRESETS)
        return name

    def delete_preset(self, name: Any) -> None:
        with self._changing_presets() as presets:
            presets.pop(name, None)

    def _presets(self) -> tuple[dict[str, dict[str, Any]], bool]:
        """Those that can be used, and whether that is all that the file holds."""
        file = self.folder and self.folder / PRESETS
        if file is None or not file.is_file():
            return {}, True
        content = _json(file)
        if not isinstance(content, dict):
            return {}, False
        fine = {name: values for name, values in content.items() if _is_preset(name, values)}
        return fine, len(fine) == len(content)

    @contextmanager
    def _changing_presets(self) -> Iterator[dict[str, dict[str, Any]]]:
        """What becomes of the presets meanwhile is written. What is damaged stays for whoever can mend it."""
        with self._writing() as folder:
            file, (before, whole) = folder / PRESETS, self._presets()
            presets = dict(before)
            yield presets
            if presets == before:
                return
            if not whole:
                names = (folder / f"presets{number or ''}.damaged" for number in count())
                write_whole(next(path for path in names if not path.exists()), file.read_bytes(), mode=0o600)
            write_whole(file, json.dumps(presets, ensure_ascii=False, indent=1), mode=0o600)

    def _path(self, id: Any) -> Path:
        """An id is one that `add` could have made, or it never comes near a path."""
        if self.folder is None or not isinstance(id, str) or not re.fullmatch("[0-9a-f]{32}", id):
            raise BadRequest("shelf.no_project")
        return self.folder / f"{id}.json"

    def _files(self) -> Iterator[tuple[Path, tuple[int, ...]]]:
        """The files of the history, each with a stamp that changes when it does."""
        for path in self.folder.glob("*.json") if self.folder else ():
            with suppress(OSError):
                status = path.stat()
                if re.fullmatch("[0-9a-f]{32}", path.stem) and stat.S_ISREG(status.st_mode):
                    yield path, (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def _entries(self) -> list[Entry]:
        entries = (_entry(path, stamp) for path, stamp in self._files())
        return _newest_first(entry for entry in entries if entry)

    @contextmanager
    def _writing(self) -> Iterator[Path]:
        """The folder, which nobody else may read, for one writer of all servers at a time."""
        if self.folder is None:
            raise BadRequest("shelf.keeps_nothing")
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with alone(self.folder, "*.json"):
                yield self.folder
        except OSError as error:
            raise SpeechError("shelf.not_written", reason=error.strerror) from error


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
        raise BadRequest("shelf.unnamed")
    if len(name) > NAME:
        raise BadRequest("shelf.long_name", most=NAME, count=len(name))
    return name


def preset_values(values: Any) -> dict[str, Any]:
    """Values of a request's options and the id of a sample, each as SpeechRequest takes it. Raises BadRequest."""
    if not isinstance(values, dict) or not isinstance(values.get("sample", ""), str):
        raise BadRequest("shelf.no_values")
    values = {name: whole_characters(value) if isinstance(value, str) else value for name, value in values.items()}
    SpeechRequest.from_dict({"text": "", **{name: value for name, value in values.items() if name != "sample"}})
    return _clean(values, LARGEST_PRESET)


def _is_preset(name: str, values: Any) -> bool:
    try:
        return preset_name(name) == name == _clean(name, LARGEST_PRESET) and preset_values(values) == values
    except BadRequest:
        return False


def recipe_of(data: Any) -> dict[str, Any]:
    """The beginning of a sound file, in base64 -> how it was made: {"project": …} or {"request": …}.

    Raises BadRequest when it was not made here, or says no longer how.
    """
    try:
        head = base64.b64decode(data, validate=True)
    except (TypeError, ValueError) as error:
        raise BadRequest("shelf.cut_off") from error
    if len(head) > HEAD:
        raise BadRequest("shelf.too_much", most=HEAD >> 20)
    try:
        recipe = audio.metadata(io.BytesIO(head))
    except (RuntimeError, ValueError, TypeError):  # no sound file at all
        recipe = {}
    if "cards" in recipe:
        Project.from_dict(recipe)
        return {"project": recipe}
    if "text" in recipe:
        return {"request": SpeechRequest.from_dict(recipe).as_dict()}
    raise BadRequest("shelf.no_recipe")


def shelf_of(settings: Settings) -> tuple[Shelf, str]:
    """The shelf that the settings ask for, and why it keeps nothing: "off", "shared" with strangers, or ""."""
    why = "off" if not settings.history else "" if private(settings) else "shared"
    return Shelf(None if why else settings.path(settings.history), settings.history_entries), why


def shelf_ears(settings: Settings) -> gr.HTML:
    """The part without a face, outside of all tabs: it hears what is spoken, and takes files dropped on the page.

    Gradio puts a tab's parts on the page when the tab is first opened, which would be too late for that.
    """
    shelf, why = shelf_of(settings)

    def then_all(change: Callable[[Any], dict[str, Any] | None]) -> Callable[[Any], dict[str, Any]]:
        """An answer that ends with all that is kept now."""

        def answer(ask: Any) -> dict[str, Any]:
            changed = change(ask) or {}
            return {"history": [entry.model_dump() for entry in shelf.history()], "presets": shelf.presets()} | changed

        return answer

    def remove(ask: Any) -> dict[str, Any]:
        project = shelf.project(ask["id"])
        shelf.remove(ask["id"])
        return {"project": project}

    def save_preset(ask: Any) -> None:
        shelf.save_preset(ask["name"], ask["values"])

    return panel(
        "<i></i>",
        "shelf.js",
        functions=answers(
            list_kept=then_all(lambda _: None),
            keep_project=then_all(
                lambda ask: shelf.add(ask["project"], ask["seconds"], ask.get("when"), ask.get("order"))
            ),
            kept_project=lambda ask: {"project": shelf.project(ask["id"])},
            remove_project=then_all(remove),
            clear_history=then_all(lambda _: shelf.clear()),
            save_preset=then_all(save_preset),
            delete_preset=then_all(lambda ask: shelf.delete_preset(ask["name"])),
            check_preset=lambda ask: {"values": len(preset_values(ask["values"]))},
            check_project=lambda ask: {"cards": len(Project.from_dict(ask).cards)},
            read_recipe=recipe_of,
        ),
        words=pairs("shelf"),
        why=why,
        most=shelf.most,
        limits={"project": LARGEST, "head": HEAD, "name": NAME},
        visible="hidden",
        elem_id="shelf-ears",
    )


def shelf_panel() -> gr.HTML:
    """The panel, in a tab or wherever it shall be; shelf_ears must be on the page too."""
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
            raise BadRequest("shelf.too_large", most=most >> 10)
        value = json.loads(whole)
        orjson.dumps(value)  # as Gradio will
    except (ValueError, TypeError, RecursionError) as error:
        raise BadRequest("shelf.no_json") from error
    return value


def _json(path: Path) -> Any:
    """None for a file that is damaged or has gone; an integer that no 64 bits hold is infinite."""
    try:
        text = read(path, LARGEST_FILE).decode("utf-8-sig")
        return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 20 else math.inf)
    except (BadRequest, ValueError, RecursionError):
        return None


def _content(path: Path) -> Content | None:
    """What a file of the history holds, if it is all there and can be shown."""
    content = _json(path)
    try:
        orjson.dumps(content)
        return Content.model_validate(content | {"id": path.stem})
    except (TypeError, ValidationError):  # TypeError: no object, or orjson.JSONEncodeError
        return None


@lru_cache(1024)
def _entry(path: Path, _: tuple[int, ...]) -> Entry | None:
    """The head of a file of the history, read once for each stamp."""
    content = _content(path)
    return content and Entry(**content.model_dump(exclude={"project"}))
