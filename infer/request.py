"""What a user can choose (SpeechRequest), what comes back (Speech), and what can go wrong (SpeechError)."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from text import Utterance
from words import Fault, Message, message


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
    help: str,
    low: float | None = None,
    high: float | None = None,
    step: float = 0.05,
    most: int | None = None,
) -> Any:
    """A field with the key of its help: the page and the CLI are made from it.

    low, high: the range of a number. most: characters of a text.
    """
    return field(default=default, metadata={"help": help, "low": low, "high": high, "step": step, "most": most})


def help_of(option: Field) -> Message:
    """What an option of SpeechRequest is for."""
    return message(option.metadata["help"])


@dataclass(frozen=True)
class SpeechRequest:
    """One thing to say. Equal requests give equal samples, on every face.

    opens: whether more is said after this text, as after the first of several cards: its first sentence may be cut at
    a comma then, to be heard sooner (the setting first_piece). None: as the text itself has it. No person chooses it.
    """

    text: str = _option(MISSING, "options.text", most=MOST_TEXT)
    voice: str = _option("", "options.voice", most=500)
    speaker: str = _option("", "options.speaker", most=2000)
    emotion: str = _option("", "options.emotion", most=1000)
    emotion_audio: bytes = _option(b"", "options.emotion_audio")
    emotion_b: str = _option("", "options.emotion_b", most=1000)
    emotion_mix: float = _option(0.5, "options.emotion_mix", 0.0, 1.0)
    emotion_strength: float = _option(1.0, "options.emotion_strength", 0.0, 1.5)
    seed: int = _option(0, "options.seed", 0, 2**32 - 1, 1)
    speed: float = _option(1.0, "options.speed", 0.5, 2.0)
    sdp_ratio: float = _option(0.2, "options.sdp_ratio", 0.0, 1.0)
    noise: float = _option(0.6, "options.noise", 0.0, 1.5)
    noise_w: float = _option(0.8, "options.noise_w", 0.0, 1.5)
    length: float = _option(1.0, "options.length", 0.5, 2.0)
    style_text: str = _option("", "options.style_text", most=5000)
    style_weight: float = _option(0.7, "options.style_weight", 0.0, 1.0)
    readings: str = _option("", "options.readings", most=20_000)
    pause: float = _option(0.2, "options.pause", 0.0, 5.0)
    paragraph_pause: float = _option(0.6, "options.paragraph_pause", 0.0, 10.0)
    opens: bool | None = None

    def __post_init__(self) -> None:
        """Raises BadRequest for a value of the wrong type, too long or out of range."""
        for option in fields(self):
            name, value, limits = option.name, getattr(self, option.name), option.metadata
            if option.type is str:
                _check_text(name, value, limits["most"])
            elif option.name == "opens":
                if not (value is None or isinstance(value, bool)):
                    raise BadRequest("request.no_switch", option=name, value=shown(value))
            elif option.type is bytes:
                if not isinstance(value, bytes):
                    raise BadRequest("request.no_bytes", option=name)
            elif (
                isinstance(value, bool)
                or not isinstance(value, int if option.type is int else int | float)
                or not limits["low"] <= value <= limits["high"]  # NaN is in no range
            ):
                key = "request.no_whole_number" if option.type is int else "request.no_number"
                raise BadRequest(key, option=name, low=limits["low"], high=limits["high"], value=shown(value))

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
        options = {f.name for f in fields(cls)}
        if not isinstance(values, Mapping):
            raise BadRequest("request.no_options", value=shown(values))
        if strange := sorted(values.keys() - options, key=str):
            raise BadRequest("request.unknown_option", option=shown(strange[0]), options=sorted(options))
        if "text" not in values:
            raise BadRequest("request.no_text")
        return cls(**values)

    def but(self, **changes: Any) -> "SpeechRequest":
        return replace(self, **changes)


OPTIONS = tuple(option for option in fields(SpeechRequest) if option.name not in ("text", "opens"))  # for people


def _check_text(name: str, value: Any, most: int) -> None:
    """Raises BadRequest for an option that is no text, too long, or that no model can read."""
    if not isinstance(value, str):
        raise BadRequest("request.no_string", option=name, value=shown(value))
    if len(value) > most:
        raise BadRequest("request.too_many_characters", option=name, count=len(value), most=most)
    # Of the text what cannot be read is left out and told; the names of voices and speakers are compared, no more.
    if name not in ("text", "voice", "speaker") and any("\ud800" <= char <= "\udfff" for char in value):
        raise BadRequest("request.half_character", option=name)


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
    for this sentence so far. last: the sentence ends with this piece. notices: what the user should know, on the
    first piece it concerns. card: which of the lines it belongs to. forms: its sound as a face sends it, by name, made
    once however often it is heard.
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
    notices: tuple[Message, ...] = ()
    card: int = 0
    pause: float = 0.0
    forms: dict[str, str] = field(default_factory=dict, repr=False)

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
        return replace(self, samples=np.zeros(0, np.float32), pause=self.duration, forms={})


def too_long(limit: float) -> BadRequest:
    """What is asked for would sound for longer than `limit` seconds."""
    return BadRequest("request.too_long", seconds=limit)
