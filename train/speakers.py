"""Who speaks, and in which moods: espeak-ng variants and sliders."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from train.espeak import Style

_PLAIN = "roughness 0\nflutter 0\necho 0 0\n"


@dataclass(frozen=True)
class Speaker:
    name: str  # as the product shows it
    variant: str  # text of espeak-ng's variant file; "" for a person
    low: float  # F0 search range, Hz
    high: float
    vector: int  # which of the random vectors is the speaker's (common.build)


SPEAKERS = (
    Speaker(
        "小雨",
        "language variant\nname xiaoyu\ngender female\npitch 151 215\n"
        "formant 0 105 90 130\nformant 1 112 90 120\nformant 2 113 90 120\nformant 3 114 90 120\n"
        "formant 4 115 80 120\nformant 5 115 80 120\n" + _PLAIN,
        90,
        380,
        0,
    ),
    Speaker("石磊", "language variant\nname shilei\ngender male\npitch 78 115\n" + _PLAIN, 48, 200, 1),
    Speaker(
        "晴晴",
        "language variant\nname qingqing\ngender female\npitch 203 286\n"
        "formant 0 105 90 130\nformant 1 120 90 130\nformant 2 121 90 130\nformant 3 122 90 130\n"
        "formant 4 122 80 120\nformant 5 122 80 120\n" + _PLAIN,
        130,
        520,
        2,
    ),
    Speaker(
        "远山",
        "language variant\nname yuanshan\ngender male\npitch 100 148\n"
        "formant 0 100 100 100\nformant 1 94 100 100\nformant 2 93 100 100\nformant 3 95 95 100\n"
        "formant 4 96 95 100\n" + _PLAIN,
        60,
        260,
        3,
    ),
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
