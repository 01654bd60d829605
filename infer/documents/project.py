"""A speech in cards: every sentence may have options of its own, and a file holds the whole as JSON.

    text -> split -> Project(controls, cards) -> stream: the pieces of all cards, put end to end, pauses included

A card is spoken as a request of its own, so that another order or another sentence beside it changes nothing in it.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import groupby, pairwise
from typing import Any

from infer.request import BadRequest, Speech, SpeechRequest, shown, too_long
from text import Utterance

FORMAT, VERSION = "bert-vits2 project", 1
MOST_CARDS, MOST_TAKES = 2000, 50
ENDS = ("sentence", "paragraph")
Say = Callable[[SpeechRequest, Callable[[], bool]], Iterator[Speech]]  # Engine.stream, or Takes.stream

_OPTIONS = {option.name for option in fields(SpeechRequest)} - {"text", "emotion_audio"}


@dataclass(frozen=True)
class Card:
    """One sentence of a project.

    place: which sentence it was when the text was split; its seed is the project's plus that, unless `options` has
    one. ends: "sentence" or "paragraph". options: of a request, where they differ from the project's controls. pause:
    seconds after it; None: what the controls say for its end. locked: the page does not change it. takes: earlier ways
    to say it, each with a text and options.
    """

    text: str
    place: int = 0
    ends: str = "sentence"
    options: Mapping[str, Any] = field(default_factory=dict)
    pause: float | None = None
    locked: bool = False
    takes: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Project:
    """controls: options of a request that hold for all cards that say nothing else."""

    controls: Mapping[str, Any]
    cards: tuple[Card, ...]

    def request(self, card: Card) -> SpeechRequest:
        """What is asked of the engine for a card. Raises BadRequest."""
        seed = (self.controls.get("seed", 0) + card.place) % 2**32
        return SpeechRequest.from_dict({**self.controls, "seed": seed, **card.options, "text": card.text})

    def pause(self, card: Card) -> float:
        """Seconds of silence after a card that is not the last."""
        if card.pause is not None:
            return card.pause
        whole = SpeechRequest.from_dict({**self.controls, "text": "。"})
        return whole.paragraph_pause if card.ends == "paragraph" else whole.pause

    def without_takes(self) -> "Project":
        """What is heard, and no more: the recipe of a file."""
        return replace(self, cards=tuple(replace(card, takes=()) for card in self.cards))

    @property
    def text(self) -> str:
        """What is said, as one would type it."""
        ends = ["\n" if card.ends == "paragraph" else "" for card in self.cards[:-1]]
        return "".join(card.text + end for card, end in zip(self.cards, [*ends, ""][: len(self.cards)], strict=True))

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON; from_dict gives an equal project."""
        default = Card("")
        cards = [
            {k: v for k, v in asdict(card).items() if k == "text" or v != getattr(default, k)} for card in self.cards
        ]
        return {"format": FORMAT, "version": VERSION, "controls": dict(self.controls), "cards": cards}

    @classmethod
    def from_dict(cls, values: Any) -> "Project":
        """A project from JSON of anybody. Raises BadRequest that says what is wrong with it."""
        if not isinstance(values, Mapping) or values.get("format") != FORMAT:
            raise BadRequest(
                "This is no project file of this page; choose a .bv2.json file that it has saved.",
                "这不是本页面的项目文件；请选用在这里保存的 .bv2.json 文件。",
            )
        if values.get("version") != VERSION:
            raise BadRequest(
                f"The project has version {shown(values.get('version'))} and this program reads {VERSION}; update it.",
                f"项目文件的版本是 {shown(values.get('version'))}，本程序只认识 {VERSION}；请更新程序。",
            )
        controls, cards = values.get("controls", {}), values.get("cards", [])
        if not isinstance(controls, Mapping) or not isinstance(cards, Sequence) or isinstance(cards, str):
            raise BadRequest("The project's controls or cards are missing.", "项目文件缺少设置或句子。")
        if len(cards) > MOST_CARDS:
            raise BadRequest(
                f"The project has {len(cards)} cards and the limit is {MOST_CARDS}; split it.",
                f"项目有 {len(cards)} 句，上限是 {MOST_CARDS} 句；请拆开。",
            )
        asked = SpeechRequest.from_dict({**_options(controls, "controls"), "text": ""}).as_dict()
        del asked["text"]
        project = cls(asked, tuple(map(_card, cards)))
        for card in project.cards:  # every value is checked where it is defined
            project.request(card)
            project.pause(card)
        return project


def _options(values: Any, where: str) -> dict[str, Any]:
    """Options by name, once they are known to be good."""
    if not isinstance(values, Mapping):
        raise BadRequest(f"The project's {where} must be options by name.", f"项目的 {where} 应是选项名与值。")
    if strange := sorted(map(str, values.keys() - _OPTIONS)):
        raise BadRequest(
            f"{shown(strange[0])} is no option of a project; the options are {', '.join(sorted(_OPTIONS))}.",
            f"项目里没有名为 {shown(strange[0])} 的选项；可用的有：{'、'.join(sorted(_OPTIONS))}。",
        )
    SpeechRequest.from_dict({**values, "text": "。"})
    return dict(values)


def _card(values: Any) -> Card:
    known = {f.name for f in fields(Card)}
    if not isinstance(values, Mapping) or not values.keys() <= known or not isinstance(values.get("text"), str):
        raise BadRequest("A card of the project cannot be read; it needs a text.", "项目里有一句读不了；它需要文字。")
    card = Card(**{**values, "options": _options(values.get("options", {}), "card")})
    takes = card.takes
    if not isinstance(takes, Sequence) or isinstance(takes, str) or len(takes) > MOST_TAKES:
        raise BadRequest(f"A card has at most {MOST_TAKES} takes.", f"一句最多有 {MOST_TAKES} 个版本。")
    for take in takes:
        if not isinstance(take, Mapping) or not isinstance(take.get("text"), str):
            raise BadRequest("A take of the project cannot be read.", "项目里有一个版本读不了。")
        _options(take.get("options", {}), "take")
    whole = isinstance(card.place, int) and not isinstance(card.place, bool) and 0 <= card.place < 2**32
    number = isinstance(card.pause, int | float) and not isinstance(card.pause, bool) and 0 <= card.pause <= 10
    if not whole or not (number or card.pause is None) or card.ends not in ENDS or not isinstance(card.locked, bool):
        raise BadRequest(
            "A card of the project has a place, pause, end or lock that cannot be (pauses last 0 to 10 seconds).",
            "项目里有一句的位置、停顿、结尾或锁定不合法（停顿为 0 到 10 秒）。",
        )
    return replace(card, takes=tuple(dict(take) for take in takes))


def split(request: SpeechRequest, utterances: Sequence[Utterance]) -> Project:
    """A request's text in cards, a sentence each, from its utterances (Engine.read).

    Spoken card by card it sounds as the request itself: sentence n has the seed of the request and n more.
    """
    controls = {k: v for k, v in request.as_dict().items() if k != "text"}
    groups = sentences(utterances)
    begins = [0, *(group[0].start for group in groups[1:]), len(request.text)]
    cards: list[Card] = []
    place = 0
    for group, (begin, end) in zip(groups, pairwise(begins), strict=False):
        ends = "paragraph" if group[-1].ends == "paragraph" else "sentence"
        cards.append(Card(request.text[begin:end].strip(), place, ends))
        place += len(group)
    return Project(controls, tuple(cards))


def sentences(utterances: Sequence[Utterance]) -> list[list[Utterance]]:
    """The utterances of each sentence; long ones have several."""
    groups: list[list[Utterance]] = [[]]
    for utterance in utterances:
        if utterance.text:
            groups[-1].append(utterance)
            if utterance.ends in ENDS:
                groups.append([])
    return [group for group in groups if group]


def stream(
    project: Project, say: Say, cancelled: Callable[[], bool] = lambda: False, limit: float = math.inf
) -> Iterator[Speech]:
    """The speech of a project piece by piece; each piece has its card's number, and times from the whole's start.

    limit: seconds. Raises SpeechError; BadRequest if it lasts longer than that, and if the voices of two cards have
    different sampling rates.
    """
    pauses = [*(project.pause(card) for card in project.cards[:-1]), 0.0]
    if sum(pauses) > limit:
        raise too_long(limit)
    start, rate = 0.0, 0
    for number, (card, pause) in enumerate(zip(project.cards, pauses, strict=False)):
        began = start
        for piece in say(project.request(card), cancelled):
            rate = rate or piece.sampling_rate
            if piece.sampling_rate != rate:
                raise BadRequest(
                    f"Two cards have voices of {rate} and {piece.sampling_rate} Hz; give all cards voices of one rate.",
                    f"两句的音色采样率不同（{rate} 与 {piece.sampling_rate} Hz）；请用采样率相同的音色。",
                )
            moved = placed(piece, began, number, start)
            if piece.final:
                moved = replace(moved, pause=pause)
            start += moved.duration
            if start > limit:
                raise too_long(limit)
            yield moved
        if cancelled():
            return


def placed(piece: Speech, began: float, card: int, start: float) -> Speech:
    """A card's piece as a piece of the whole: the card began at `began`, the piece begins at `start`, in seconds."""
    return replace(
        piece,
        card=card,
        start=start,
        phones=tuple(phone.later(began) for phone in piece.phones),
        characters=tuple(character.later(began) for character in piece.characters),
    )


def by_card(pieces: Sequence[Speech]) -> list[list[Speech]]:
    """The pieces of each card, which belong to one request."""
    return [list(group) for _, group in groupby(pieces, lambda piece: piece.card)]
