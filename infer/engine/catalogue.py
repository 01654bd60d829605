"""Voices on disk: which there are, what each offers, and what is wrong with one that cannot be used."""

import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from infer import log
from infer.request import SpeechError
from infer.settings import Settings
from models import CheckpointError, Variant, recognise
from models.checkpoint import find_config, read_config
from models.config import plain, speakers, title_of
from words import Fault, Message, message

EMBEDDED = "xiaoyu"  # the voice that comes with the program


class BrokenVoice(SpeechError):
    """A voice's own files are at fault; other voices may speak."""


@dataclass(frozen=True)
class VoiceFiles:
    """Where a voice lies: its id, its checkpoint and its config.json.

    fault: why it has none of them; `weights` and `config` are then the place where they should be.
    """

    id: str
    weights: Path
    config: Path
    fault: Message | None = None

    def stamp(self) -> tuple:
        """Changes when the files do, or whether they can be read: then the voice is loaded anew."""
        return tuple(_stamp(file) for file in (self.weights, self.config))

    def broken(self, why: Message | Fault) -> BrokenVoice:
        """What whoever wants this voice is told."""
        return BrokenVoice("catalogue.broken", voice=plain(self.id), cause=why)


@dataclass(frozen=True)
class VoiceInfo:
    """What a face shows of a voice. missing: sentences about model files that are not here.

    family: the name of its Variant, "" for one that cannot be used. why: how that was found. size: bytes of its file.
    """

    id: str
    title: str
    speakers: tuple[str, ...]
    emotions: tuple[str, ...]
    sampling_rate: int
    missing: tuple[Message, ...] = ()
    family: str = ""
    why: Message | None = None
    size: int = 0


class Catalogue:
    """The voices that the settings name, looked for at each call; a voice is read anew when its files have changed."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._known: dict[str, tuple[tuple, VoiceInfo, Variant | None]] = {}  # by id: stamp, and what was read
        self._lock = threading.Lock()

    def find(self) -> dict[str, VoiceFiles]:
        """Every voice by id, an owner's `webui.model` first; what is broken is among them. Reads folders only."""
        found = [self._own()] if self.settings.webui.model else []
        for folder in self.settings.voices:
            found += _in_folder(self.settings.path(folder))
        by_id: dict[str, VoiceFiles] = {}
        for files in found:
            by_id.setdefault(files.id, files)
        wanted = self.settings.voice
        if by_id and wanted and wanted not in by_id:
            by_id[wanted] = self._lost(wanted, list(by_id))
        with self._lock:
            self._known = {id: known for id, known in self._known.items() if id in by_id}
        return by_id

    def default(self) -> str:
        """The id of the voice of who asks for none: as the settings say, else an owner's own checkpoint, else the
        embedded one; where that is gone, the first that can be used. Empty without any voice.

        A folder that was merely put beside them is never taken while there is one of these.
        """
        found = self.find()
        if self.settings.voice or self.settings.webui.model:
            return self.settings.voice or self._own().id
        if EMBEDDED in found:
            return EMBEDDED
        usable = (id for id, files in found.items() if self.describe(files, lambda _: []).family)
        return next(usable, next(iter(found), ""))

    def describe(self, files: VoiceFiles, missing: Callable[[Variant], list[Message]]) -> VoiceInfo:
        """What a face shows of a voice; one that cannot be used is shown with the reason.

        missing: which model files a family needs and lacks, in sentences; asked each time.
        """
        with self._lock:
            stamp = files, files.stamp()
            known = self._known.get(files.id)
            if known is None or known[0] != stamp:
                known = self._known[files.id] = stamp, *_read(files)
        _, info, variant = known
        return info if variant is None else replace(info, missing=tuple(missing(variant)))

    def _own(self) -> VoiceFiles:
        """The checkpoint that `webui.model` names, as in the original's config.yml."""
        settings = self.settings
        base = settings.path(settings.dataset_path or ".")
        weights = base / settings.webui.model
        id = _id(base.name if settings.dataset_path else weights.parent.name)
        fault = None
        try:
            config = base / settings.webui.config_path if settings.webui.config_path else find_config(weights)
        except CheckpointError:
            config = weights.parent / "config.json"
        if lost := next((file for file in (weights, config) if not os.path.lexists(file)), None):
            fault = message("catalogue.no_file", file=folder_name(lost))
        return VoiceFiles(id, weights, config, fault)

    def _lost(self, wanted: str, others: list[str]) -> VoiceFiles:
        """What stands for the voice of the setting `voice` where there is none."""
        fault = message("catalogue.no_folder", folders=self.settings.voices, voices=some(others))
        place = self.settings.path(self.settings.voices[0])
        return VoiceFiles(wanted, place, place, fault)


def some(names: list[str], most: int = 8) -> str:
    """The first few names of a list that may be long."""
    return ", ".join(map(plain, names[:most])) + (f" … ({len(names)})" if len(names) > most else "")


def folder_name(folder: Path) -> str:
    """A folder as a user knows it: without what lies above the project."""
    return _id("/".join(folder.parts[-2:]))


def check_language(variant: Variant) -> None:
    """Raises SpeechError for a voice that was never taught Chinese."""
    if "ZH" not in variant.speaks:
        raise SpeechError("catalogue.japanese", family=variant.name)


def _in_folder(folder: Path) -> list[VoiceFiles]:
    """The voices in one of the settings' folders: each of its folders is one, and so is a link to nothing."""
    if not os.path.lexists(folder):
        return []
    try:
        places = sorted(place for place in folder.iterdir() if not place.name.startswith("."))
    except OSError as error:
        return [_faulty(_id(folder.name), folder, error)]
    found: dict[str, VoiceFiles] = {}
    for place in places:
        if _is_folder(place):
            id = _id(place.name)
            while id in found:  # two names that differ only in what cannot be shown
                id += "'"
            if files := _in_place(id, place):
                found[id] = files
    return list(found.values())


def _is_folder(place: Path) -> bool:
    """Also one that leads to nothing, or that nobody may look into."""
    try:
        return place.is_dir() or (place.is_symlink() and not place.is_file())
    except OSError:
        return True


def _in_place(id: str, place: Path) -> VoiceFiles | None:
    """The voice in a folder: our own G.safetensors, else the checkpoint with the most training steps.

    None where other files lie, and nothing that a voice has.
    """
    try:
        files = list(place.iterdir())
        if (place / "models").is_dir():
            files += (place / "models").iterdir()
    except OSError as error:
        return _faulty(id, place, error)
    there, files = files, [file for file in files if re.fullmatch(r"G.*\.(pth|safetensors)", file.name, re.DOTALL)]
    if not files and any(map(os.path.isfile, there)) and not any(_is_of_a_voice(file.name) for file in there):
        return None
    if not files:
        return VoiceFiles(id, place, place, message("catalogue.no_checkpoint"))
    weights = max(files, key=_steps)
    try:
        return VoiceFiles(id, weights, find_config(weights))
    except CheckpointError as error:
        return VoiceFiles(id, weights, weights, error.message)


def _is_of_a_voice(name: str) -> bool:
    return name == "config.json" or name.endswith((".pth", ".safetensors"))


def _steps(file: Path) -> tuple[int, int]:
    number = re.search(r"\d+", file.stem)
    return int(number.group()) if number else -1, int(file.suffix == ".safetensors")


def _faulty(id: str, place: Path, error: OSError) -> VoiceFiles:
    lost = isinstance(error, FileNotFoundError)
    why = message("catalogue.link_to_nothing") if lost else message("catalogue.no_folder_read", reason=error.strerror)
    return VoiceFiles(id, place, place, why)


def _id(name: str) -> str:
    """A folder's name, which may be any bytes, as text that can be shown and sent."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return "".join(c if c.isprintable() or c == "\u3000" else "\ufffd" for c in text) or "voice"


def _stamp(file: Path) -> tuple:
    try:
        told = file.stat()
    except OSError as error:
        return str(file), error.errno
    return str(file), told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns


def _read(files: VoiceFiles) -> tuple[VoiceInfo, Variant | None]:
    """What describe() keeps: without a Variant if the voice cannot be used."""
    try:
        if files.fault:
            raise files.broken(files.fault)
        config = read_config(files.config)
        sizes, why = recognise(files.weights, config)
        check_language(sizes.variant)
        size = files.weights.stat().st_size
    except BrokenVoice as error:
        fault = error
    except (CheckpointError, SpeechError) as error:
        fault = files.broken(error)
    except Exception as error:  # whatever it is, the other voices are shown
        log.failure(f"reading the voice {plain(files.id)!r}", error)
        fault = files.broken(message("catalogue.unexpected", kind=type(error).__name__))
    else:
        names = tuple(speakers(config, sizes.n_speakers))
        info = VoiceInfo(files.id, title_of(config) or files.id, names, sizes.emotions, sizes.sampling_rate)
        return replace(info, family=sizes.variant.name, why=why, size=size), sizes.variant
    return VoiceInfo(files.id, files.id, (), (), 0, (fault.message,)), None
