"""A speech in cards: every sentence may have options of its own, and a file holds the whole as JSON.

    text -> split -> Project(controls, cards) -> requests, pauses -> Engine.speak

A card is spoken as a request of its own, so that another order or another sentence beside it changes nothing in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import groupby, pairwise
from typing import Any

from infer.request import OPTIONS, BadRequest, Speech, SpeechRequest, shown
from text import Utterance

FORMAT, VERSION = "bert-vits2 project", 1
MOST_CARDS, MOST_TAKES = 2000, 50
ENDS = ("sentence", "paragraph")
_OPTIONS = {option.name for option in OPTIONS} - {"emotion_audio"}


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
        """What is asked of the engine for a card. Raises BadRequest.

        Of several cards the first may be cut as the first sentence of a text is, and no other.
        """
        seed = (self.controls.get("seed", 0) + card.place) % 2**32
        own = {"text": card.text, "opens": card is self.cards[0] if len(self.cards) > 1 else None}
        return SpeechRequest.from_dict({**self.controls, "seed": seed, **card.options, **own})

    def pause(self, card: Card) -> float:
        """Seconds of silence after a card that is not the last."""
        if card.pause is not None:
            return card.pause
        whole = SpeechRequest.from_dict({**self.controls, "text": "。"})
        return whole.paragraph_pause if card.ends == "paragraph" else whole.pause

    @property
    def requests(self) -> list[SpeechRequest]:
        """What is asked of the engine, card by card. Raises BadRequest."""
        return [self.request(card) for card in self.cards]

    @property
    def pauses(self) -> list[float]:
        """Seconds of silence after each card; none after the last."""
        return [*(self.pause(card) for card in self.cards[:-1]), 0.0][: len(self.cards)]

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
            raise BadRequest("project.no_project")
        if values.get("version") != VERSION:
            raise BadRequest("project.version", version=shown(values.get("version")), ours=VERSION)
        controls, cards = values.get("controls", {}), values.get("cards", [])
        if not isinstance(controls, Mapping) or not _is_list(cards):
            raise BadRequest("project.lacks")
        if len(cards) > MOST_CARDS:
            raise BadRequest("project.too_many_cards", count=len(cards), most=MOST_CARDS)
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
        raise BadRequest("project.no_options", where=where)
    if strange := sorted(map(str, values.keys() - _OPTIONS)):
        raise BadRequest("project.unknown_option", option=shown(strange[0]), options=sorted(_OPTIONS))
    SpeechRequest.from_dict({**values, "text": "。"})
    return dict(values)


def _card(values: Any) -> Card:
    names = {f.name for f in fields(Card)}
    if not isinstance(values, Mapping) or not values.keys() <= names or not isinstance(values.get("text"), str):
        raise BadRequest("project.no_card")
    card = Card(**{**values, "options": _options(values.get("options", {}), "card")})
    if not _is_list(card.takes) or len(card.takes) > MOST_TAKES:
        raise BadRequest("project.too_many_takes", most=MOST_TAKES)
    for take in card.takes:
        if not isinstance(take, Mapping) or not isinstance(take.get("text"), str):
            raise BadRequest("project.no_take")
        _options(take.get("options", {}), "take")
    whole = isinstance(card.place, int) and not isinstance(card.place, bool) and 0 <= card.place < 2**32
    number = isinstance(card.pause, int | float) and not isinstance(card.pause, bool) and 0 <= card.pause <= 10
    if not whole or not (number or card.pause is None) or card.ends not in ENDS or not isinstance(card.locked, bool):
        raise BadRequest("project.bad_card")
    return replace(card, takes=tuple(dict(take) for take in card.takes))


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def split(request: SpeechRequest, utterances: Sequence[Utterance]) -> Project:
    """A request's text in cards, a sentence each, from its utterances (Engine.read).

    Spoken card by card it sounds as the request itself: sentence n has the seed of the request and n more.
    """
    controls = {k: v for k, v in request.as_dict().items() if k not in ("text", "opens")}
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


def by_card(pieces: Sequence[Speech]) -> list[list[Speech]]:
    """The pieces of each card, which belong to one request."""
    return [list(group) for _, group in groupby(pieces, lambda piece: piece.card)]
