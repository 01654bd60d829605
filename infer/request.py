"""What a user can choose (SpeechRequest), what comes back (Speech), and what can go wrong (SpeechError)."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from text import Utterance
from words import Fault


class SpeechError(Fault):
    """Why nothing can be spoken, and the cure, in one sentence."""


class BadRequest(SpeechError):
    """The request itself is at fault."""


class Busy(SpeechError):
    """So many are waiting already that nobody else is let in; see infer/engine/turns.py."""


class MissingFiles(SpeechError):
    """The voice needs model files that are not here."""


MOST_TEXT = 1_000_000  # characters, whatever max_characters says: 60 hours of speech


def shown(value: Any) -> str:
    """A value that is at fault, for a sentence: never more than 40 characters of it."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of more than 4,300 digits; a list in itself, as deep as can be
        return "this"
    return text if len(text) <= 40 else f"{text[:40]}…"


def _option(
    default: Any,
    en: str,
    zh: str,
    low: float | None = None,
    high: float | None = None,
    step: float = 0.05,
    most: int | None = None,
):
    """A field with its help in both languages: the page and the CLI are made from it.

    low, high: the range of a number. most: characters of a text.
    """
    return field(default=default, metadata={"en": en, "zh": zh, "low": low, "high": high, "step": step, "most": most})


@dataclass(frozen=True)
class SpeechRequest:
    """One thing to say. Equal requests give equal samples, on every face."""

    text: str = field(metadata={"en": "what to say", "zh": "要说的话", "most": MOST_TEXT})
    voice: str = _option("", "voice id; empty: the default voice", "音色；留空用默认音色", most=500)
    speaker: str = _option(
        "",
        "speaker's name, or a mix: a(2)+b(1); empty: the voice's first",
        "说话人，也可混合：甲(2)+乙(1)；留空用第一位",
        most=2000,
    )
    emotion: str = _option("", "how to say it, in words: happy, 温柔地", "用文字描述情感：happy、温柔地", most=1000)
    emotion_audio: bytes = _option(
        b"", "a sound file whose feeling is taken, in the place of the words", "一段声音文件：用它的情感代替文字描述"
    )
    emotion_b: str = _option(
        "", "a second emotion, in words, to blend in", "第二种情感（文字），与第一种混合", most=1000
    )
    emotion_mix: float = _option(0.5, "share of the second emotion", "第二种情感的比例", 0.0, 1.0)
    emotion_strength: float = _option(
        1.0,
        "how strong the emotion is: 0 neutral, 1 as described, above 1 overdone",
        "情感强度：0 平静，1 如所述，大于 1 更夸张",
        0.0,
        1.5,
    )
    seed: int = _option(0, "the same seed gives the same speech", "同一种子得到同样的语音", 0, 2**32 - 1, 1)
    speed: float = _option(1.0, "how fast: 2 is twice as fast", "语速：2 为两倍快", 0.5, 2.0)
    sdp_ratio: float = _option(
        0.2, "share of the stochastic durations: livelier, less even rhythm", "随机时长的比例：越大节奏越活", 0.0, 1.0
    )
    noise: float = _option(0.6, "variation of the sound", "音色与语调的随机程度", 0.0, 1.5)
    noise_w: float = _option(0.8, "variation of the rhythm", "节奏的随机程度", 0.0, 1.5)
    length: float = _option(
        1.0, "length of every phone, as in the original's page", "整体时长倍率，同原版 length", 0.5, 2.0
    )
    style_text: str = _option("", "a text whose feeling BERT blends in", "辅助文本：把它的语气融入", most=5000)
    style_weight: float = _option(0.7, "weight of the style text", "辅助文本的权重", 0.0, 1.0)
    readings: str = _option(
        "", "how words are read: 重庆 chong2 qing4; 单 shan4", "指定读音：重庆 chong2 qing4；单 shan4", most=20_000
    )
    pause: float = _option(0.2, "seconds between sentences", "句间停顿（秒）", 0.0, 5.0)
    paragraph_pause: float = _option(0.6, "seconds between paragraphs", "段间停顿（秒）", 0.0, 10.0)

    def __post_init__(self) -> None:
        """Raises BadRequest for a value of the wrong type, too long or out of range."""
        for option in fields(self):
            value, low, high = getattr(self, option.name), option.metadata.get("low"), option.metadata.get("high")
            if option.type in (str, "str"):
                _check_text(option.name, value, option.metadata["most"])
                continue
            if option.type in (bytes, "bytes"):
                if not isinstance(value, bytes):
                    raise BadRequest(f"{option.name} must be a file's bytes.", f"{option.name} 必须是文件内容。")
                continue
            whole = option.type in (int, "int")
            number = isinstance(value, int) if whole else isinstance(value, int | float)
            if not number or isinstance(value, bool) or not low <= value <= high:  # NaN is in no range
                kind, kind_zh = ("a whole number", "整数") if whole else ("a number", "数")
                raise BadRequest(
                    f"{option.name} must be {kind} from {low:g} to {high:.10g}, not {shown(value)}.",
                    f"{option.name} 必须是 {low:g} 到 {high:.10g} 之间的{kind_zh}，而不是 {shown(value)}。",
                )

    @property
    def length_scale(self) -> float:
        return self.length / self.speed

    def as_dict(self) -> dict[str, Any]:
        """Only what differs from the defaults, and the text: the recipe of a file. A sample of sound is left out."""
        defaults = {f.name: f.default for f in fields(self) if f.default is not MISSING}
        values = {k: v for k, v in asdict(self).items() if not isinstance(v, bytes)}
        return {k: v for k, v in values.items() if k not in defaults or v != defaults[k]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "SpeechRequest":
        """Raises BadRequest for what is no set of options, and for a value that __post_init__ refuses."""
        known = {f.name for f in fields(cls)}
        if not isinstance(values, Mapping):
            raise BadRequest(
                f"A request is a set of options by name, not {shown(values)}.", "请求应是一组“选项: 值”，而不是别的。"
            )
        if strange := sorted(values.keys() - known, key=str):
            raise BadRequest(
                f"{shown(strange[0])} is no option of a request; the options are {', '.join(sorted(known))}.",
                f"没有名为 {shown(strange[0])} 的选项；可用的有：{'、'.join(sorted(known))}。",
            )
        if "text" not in values:
            raise BadRequest("There is no text to say; give some.", "没有要说的文字，请先输入。")
        return cls(**values)

    def but(self, **changes: Any) -> "SpeechRequest":
        return replace(self, **changes)


def _check_text(name: str, value: Any, most: int) -> None:
    """Raises BadRequest for an option that is no text, too long, or that no model can read."""
    if not isinstance(value, str):
        raise BadRequest(f"{name} must be text, not {shown(value)}.", f"{name} 必须是文字。")
    if len(value) > most:
        raise BadRequest(
            f"{name} has {len(value)} characters and the limit is {most}; shorten it.",
            f"{name} 有 {len(value)} 字，上限是 {most} 字；请缩短。",
        )
    # Of the text what cannot be read is left out and told; the names of voices and speakers are compared, no more.
    if name not in ("text", "voice", "speaker") and any("\ud800" <= char <= "\udfff" for char in value):
        raise BadRequest(
            f"{name} holds half a character, which nothing can read; type it again.",
            f"{name} 里有半个字符，读不了；请重新输入。",
        )


@dataclass(frozen=True)
class Timed:
    """A phone or a character and when it sounds: seconds from the start of the whole speech."""

    text: str
    start: float
    end: float

    def later(self, seconds: float) -> "Timed":
        return Timed(self.text, self.start + seconds, self.end + seconds)


@dataclass(frozen=True, eq=False)
class Speech:
    """The next piece of sound: pieces put end to end are the whole speech, each with its pause behind it.

    samples: float32 mono in -1..1. pause: seconds of silence after them, which whoever plays or writes the piece makes
    of the number: nobody keeps zeros. start: seconds from the beginning of the whole. sentence, sentences: which
    sentence of how many. phones, characters: times of the whole sentence. timings: seconds that each stage has taken
    for this sentence so far. last: the sentence ends with this piece. notices: what the user should know (English,
    Chinese), on the first piece they concern. card: which card of a project (infer/documents/project.py) it belongs to.
    """

    samples: np.ndarray
    sampling_rate: int
    start: float
    sentence: int
    sentences: int
    utterance: Utterance
    phones: tuple[Timed, ...]
    characters: tuple[Timed, ...]
    timings: Mapping[str, float]
    request: SpeechRequest
    last: bool
    notices: tuple[tuple[str, str], ...] = ()
    card: int = 0
    pause: float = 0.0

    @property
    def final(self) -> bool:
        """Whether the speech of its request ends with this piece."""
        return self.last and self.sentence == self.sentences - 1

    @property
    def silence(self) -> int:
        """How many samples the pause has."""
        return round(self.pause * self.sampling_rate)

    @property
    def duration(self) -> float:
        """Seconds of this piece, its pause included."""
        return (len(self.samples) + self.silence) / self.sampling_rate

    def silent(self) -> "Speech":
        """A pause of the same length in its place: for who needs the times and no samples any more."""
        return replace(self, samples=np.zeros(0, np.float32), pause=self.duration)


def too_long(limit: float) -> BadRequest:
    """What is asked for would sound for longer than `limit` seconds."""
    return BadRequest(
        f"The sound, pauses included, would last more than {limit:g} s; say it in parts, faster or with shorter "
        "pauses, or raise max_seconds in config.yml.",
        f"声音（含停顿）会超过 {limit:g} 秒；请分几次说、加快语速或缩短停顿，或在 config.yml 里调高 max_seconds。",
    )
