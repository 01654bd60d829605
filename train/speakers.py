"""Who speaks, and in which moods: espeak-ng variants and sliders."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from train.espeak import Style


@dataclass(frozen=True)
class Speaker:
    name: str  # as the product shows it
    variant: str  # text of espeak-ng's variant file; "" for a person
    low: float  # F0 search range, Hz
    high: float
    vector: int  # which of the random vectors is the speaker's (common.build)


def variant(name: str, gender: str, pitch: str, formants: Sequence[str] = (), *lines: str) -> str:
    """espeak-ng's file of a voice. pitch: Hz, low and high; formants: per cent of frequency, strength and width."""
    tract = (f"formant {i} {values}" for i, values in enumerate(formants))
    rows = ["language variant", f"name {name}", f"gender {gender}", f"pitch {pitch}", *tract, *lines]
    return "\n".join(rows) + "\n"


_PLAIN = ("roughness 0", "flutter 0", "echo 0 0")
_HIGH = ("105 90 130", "112 90 120", "113 90 120", "114 90 120", "115 80 120", "115 80 120")
_HIGHER = ("105 90 130", "120 90 130", "121 90 130", "122 90 130", "122 80 120", "122 80 120")
_LOW = ("100 100 100", "94 100 100", "93 100 100", "95 95 100", "96 95 100")
SPEAKERS = (
    Speaker("小雨", variant("xiaoyu", "female", "151 215", _HIGH, *_PLAIN), 90, 380, 0),
    Speaker("石磊", variant("shilei", "male", "78 115", (), *_PLAIN), 48, 200, 1),
    Speaker("晴晴", variant("qingqing", "female", "203 286", _HIGHER, *_PLAIN), 130, 520, 2),
    Speaker("远山", variant("yuanshan", "male", "100 148", _LOW, *_PLAIN), 60, 260, 3),
)

EMOTIONS: dict[str, Style] = {
    "neutral": Style(rate=160, pitch=50, range=75, volume=75),
    "happy": Style(rate=185, pitch=60, range=85, volume=82),
    "sad": Style(rate=125, pitch=41, range=50, volume=55),
    "angry": Style(rate=195, pitch=53, range=95, volume=95),
}


def write_cast(folder: Path, speakers: tuple[Speaker, ...]) -> None:
    """Who speaks in a data folder, for the stages after it."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [json.dumps(asdict(speaker), ensure_ascii=False) for speaker in speakers]
    (folder / "speakers.json").write_text("\n".join(rows) + "\n", encoding="utf-8")


def read_cast(folder: Path) -> tuple[Speaker, ...]:
    path = folder / "speakers.json"
    if not path.exists():
        raise SystemExit(f"{path} is not there; run train.data or train.recordings first (train/README.md)")
    known = {field.name for field in fields(Speaker)}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return tuple(Speaker(**{key: value for key, value in row.items() if key in known}) for row in rows)
