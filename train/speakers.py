"""Who speaks, and in which moods: blends of the teacher's voices, each another one's than any of its sources.

Not all of the teacher's Chinese voices speak the standard language: by F0 zf_xiaoni has the tones of the north-west and
zf_xiaobei those of the north-east. Neither is used. An English or Japanese voice in a share of a third keeps the tones;
af_nicole, who whispers, makes a voice gentle in such a share and whisper in a larger one. README.md has the figures.
"""

import json
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from train.teacher import Manner


@dataclass(frozen=True)
class Speaker:
    name: str  # as the product shows it
    low: float  # F0 search range, Hz
    high: float
    vector: int  # which of the random vectors is the speaker's (common.build)
    voices: Mapping[str, float] = field(default_factory=dict)  # of the teacher's, and their weights; none for a person
    male: bool = False  # takes less of a whisperer
    centre: float = 200.0  # Hz, about which moods are wider and narrower
    semitones: float = 0.0  # by which the blend's own F0 is moved


@dataclass(frozen=True)
class Mood:
    """name, how many of ten utterances have it; speed, range, semitones and louder of train.teacher.Manner;
    whisperer: the share of af_nicole, for a woman and for a man."""

    name: str
    often: int
    speed: float = 1.0
    range: float = 1.0
    semitones: float = 0.0
    louder: float = 0.0
    whisperer: tuple[float, float] = (0.0, 0.0)


SPEAKERS = (
    Speaker("小雨", 80, 420, 0, {"zf_xiaoxiao": 4, "af_heart": 2, "bf_emma": 1}, False, 200.0, -1.0),
    Speaker("石磊", 50, 260, 1, {"zm_yunjian": 4, "am_michael": 2, "zm_yunyang": 2}, True, 105.0, -1.0),
    Speaker("晴晴", 100, 520, 2, {"zf_xiaoyi": 2, "jf_alpha": 1, "af_heart": 1}, False, 250.0, 0.5),
    Speaker("远山", 60, 340, 3, {"zm_yunxi": 4, "bm_george": 2, "am_fenrir": 1}, True, 145.0, 1.0),
)
MOODS = (
    Mood("neutral", 5),
    Mood("happy", 1, 1.1, 1.25, 2.0, 0.3),
    Mood("sad", 1, 0.85, 0.65, -1.5, -0.5),
    Mood("angry", 1, 1.15, 1.4, 0.5, 0.6),
    Mood("gentle", 1, 0.93, 1.0, -0.5, -0.2, (0.35, 0.25)),
    Mood("whisper", 1, 0.9, 0.9, -1.0, -0.5, (0.65, 0.5)),
)
EMOTIONS = tuple(mood.name for mood in MOODS)


def manner(speaker: Speaker, mood: Mood, rate: float = 1.0) -> Manner:
    """How the teacher is asked; rate: over the mood's own speed."""
    share = mood.whisperer[speaker.male]
    total = sum(speaker.voices.values())
    voices = {name: weight / total * (1 - share) for name, weight in speaker.voices.items()}
    if share:
        voices["af_nicole"] = share
    semitones = speaker.semitones + mood.semitones
    return Manner(voices, mood.speed * rate, speaker.centre, mood.range, semitones, mood.louder)


STANDARD = {name: name[1] == "m" for name in (*("zf_xiaoxiao", "zf_xiaoyi"), *("zm_yunjian", "zm_yunxi", "zm_yunyang"))}
OTHERS = ("af_heart", "af_bella", "af_nicole", "bf_emma", "jf_alpha", "am_michael", "am_adam", "am_fenrir", "bm_george")


def stranger(rng: random.Random) -> Manner:
    """A voice and a mood that nobody has, for the judge: between and beyond those of the speakers."""
    first = rng.choice(list(STANDARD))
    voices = {first: 1.0}
    for name in rng.sample([n for n in STANDARD if STANDARD[n] == STANDARD[first]], 2):
        voices[name] = voices.get(name, 0.0) + rng.uniform(0, 1)
    voices[rng.choice(OTHERS)] = sum(voices.values()) * rng.choice((0.0, rng.uniform(0, 0.6), rng.uniform(0, 1.2)))
    how = {"speed": 1.25 ** rng.uniform(-1, 1), "range": rng.uniform(0.65, 1.4), "semitones": rng.uniform(-3, 3)}
    return Manner(voices, **how, centre=125.0 if STANDARD[first] else 235.0, louder=rng.uniform(-0.6, 0.6))


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
