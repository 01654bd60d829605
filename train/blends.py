"""Who speaks, and in which moods: blends of the teacher's voices, each another one's than any of its sources.

Not all of the teacher's Chinese voices speak the standard language: by F0 zf_xiaoni has the tones of the north-west and
zf_xiaobei those of the north-east. Neither is used. An English or Japanese voice in a share of a third keeps the tones;
af_nicole, who whispers, makes a voice gentle in such a share and whisper in a larger one. README.md has the figures.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from train.teacher import Manner


@dataclass(frozen=True)
class Blend:
    """name: as the product shows it; male: who takes less of a whisperer; centre: F0 in Hz, about which moods are wider
    and narrower; semitones: by which the blend's own F0 is moved."""

    name: str
    voices: Mapping[str, float]
    male: bool
    centre: float
    semitones: float


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


BLENDS = (
    Blend("小雨", {"zf_xiaoxiao": 4, "af_heart": 2, "bf_emma": 1}, False, 200.0, -1.0),
    Blend("石磊", {"zm_yunjian": 4, "am_michael": 2, "zm_yunyang": 2}, True, 105.0, -1.0),
    Blend("晴晴", {"zf_xiaoyi": 2, "jf_alpha": 1, "af_heart": 1}, False, 250.0, 0.5),
    Blend("远山", {"zm_yunxi": 4, "bm_george": 2, "am_fenrir": 1}, True, 145.0, 1.0),
)
MOODS = (
    Mood("neutral", 5),
    Mood("happy", 1, 1.1, 1.25, 2.0, 0.3),
    Mood("sad", 1, 0.85, 0.65, -1.5, -0.5),
    Mood("angry", 1, 1.15, 1.4, 0.5, 0.6),
    Mood("gentle", 1, 0.93, 1.0, -0.5, -0.2, (0.35, 0.25)),
    Mood("whisper", 1, 0.9, 0.9, -1.0, -0.5, (0.65, 0.5)),
)


def manner(blend: Blend, mood: Mood, rate: float = 1.0) -> Manner:
    """How the teacher is asked; rate: over the mood's own speed."""
    share = mood.whisperer[blend.male]
    total = sum(blend.voices.values())
    voices = {name: weight / total * (1 - share) for name, weight in blend.voices.items()}
    if share:
        voices["af_nicole"] = share
    semitones = blend.semitones + mood.semitones
    return Manner(voices, mood.speed * rate, blend.centre, mood.range, semitones, mood.louder)
