"""Which model files can be fetched, where they belong, and what is here of them; nothing here asks a hub."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import bert
import emotional
from infer.settings import Settings
from text import g2pw
from words import Message, message


@dataclass(frozen=True)
class Model:
    """A model that can be fetched.

    files: needed, all of them. weights: one is needed, and the first that the repository has is taken. elsewhere: other
    repositories for files that the repository lacks. lenient: what none has is told, and the rest comes. sha256: of
    files that other deployments of the same checkpoints verify. size: bytes, about. setting: its folder, else `folder`.
    revision: no commit is known here for certain, so it is the branch; what comes is pinned by the hashes, and all of
    it is of the commit that the branch stands for when the download begins.
    """

    name: str
    repo: str
    folder: str
    size: int
    use: Message
    files: tuple[str, ...]
    weights: tuple[str, ...]
    setting: str
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    lenient: bool = False
    sha256: Mapping[str, str] = field(default_factory=dict)
    revision: str = "main"

    @property
    def any_weights(self) -> Message:
        """Names of the files of which one is needed."""
        return message("hub.any", names=self.weights)


ERLANGSHEN, ROBERTA = bert.REPOSITORIES

MODELS = (
    Model(
        name="bert",
        repo=bert.REPOSITORIES[ERLANGSHEN],
        folder=f"bert/{ERLANGSHEN}",
        size=5_000_000_000,
        use=message("hub.bert"),
        files=bert.FILES,
        weights=bert.WEIGHTS,
        setting="bert_path",
        sha256={"pytorch_model.bin": "3456bb8f2c7157985688a4cb5cecdb9e229cb1dcf785b01545c611462ffe3579"},
    ),
    Model(
        name="clap",
        repo=emotional.REPOSITORY,
        folder="emotional/clap-htsat-fused",
        size=600_000_000,
        use=message("hub.clap"),
        files=emotional.FILES,
        weights=emotional.WEIGHTS,
        setting="clap_path",
        sha256={"pytorch_model.bin": "1ed5d0215d887551ddd0a49ce7311b21429ebdf1e6a129d4e68f743357225253"},
    ),
    Model(
        name="roberta",
        repo=bert.REPOSITORIES[ROBERTA],
        folder=f"bert/{ROBERTA}",
        size=1_300_000_000,
        use=message("hub.roberta"),
        files=bert.FILES,
        weights=bert.WEIGHTS,
        setting="bert_1024_path",
        sha256={"pytorch_model.bin": "4ac62d49144d770c5ca9a5d1d3039c4995665a080febe63198189857c6bd11cd"},
    ),
    Model(
        name="g2pw",
        repo="ADT109119/G2PWModel-v2-onnx",
        folder="text/G2PWModel",
        size=600_000_000,
        use=message("hub.g2pw"),
        files=tuple(name for name in g2pw.FILES if name != g2pw.NETWORK),
        weights=(g2pw.NETWORK,),
        setting="g2pw_path",
        elsewhere={g2pw.VOCABULARY: "google-bert/bert-base-chinese"},
        lenient=True,
    ),
)


@dataclass(frozen=True)
class Status:
    """What a model's folder holds. here: bytes of each file. part: bytes of interrupted downloads."""

    model: Model
    folder: Path
    here: Mapping[str, int]
    missing: tuple[str | Message, ...]
    part: int

    @property
    def ready(self) -> bool:
        return not self.missing


def status(settings: Settings, models: Sequence[Model] = MODELS) -> list[Status]:
    """What is here and what is missing; looks at names and sizes only."""
    return [_status(model, place(model, settings)) for model in models]


def _status(model: Model, folder: Path) -> Status:
    here = {name: size for name in (*model.files, *model.weights) if (size := size_of(folder / name)) is not None}
    missing: list[str | Message] = [name for name in model.files if name not in here]
    if not any(name in here for name in model.weights):
        missing.append(model.any_weights)
    part = sum(file.stat().st_size for file in folder.glob("*.part"))
    return Status(model, folder, here, tuple(missing), part)


def size_of(path: Path) -> int | None:
    """Bytes of a file, None where there is none."""
    return path.stat().st_size if path.is_file() else None


def place(model: Model, settings: Settings) -> Path:
    """A model's folder."""
    return settings.path(getattr(settings, model.setting, model.folder))


def command(folder: Path) -> str:
    """What brings the model that belongs into this folder; under a name of the user's own, the list to choose from."""
    names = {Path(model.folder).name: model.name for model in MODELS}
    return f"python -m infer.models {names.get(folder.name, '')}".strip()
