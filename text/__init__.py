"""Chinese text -> what a voice needs to say it: normalised characters, their readings, phones and tones.

    >>> [utterance.text for utterance in analyse("现在是9:30。走吧！")]
    ['现在是九点三十分.', '走吧!']

Nothing is loaded before the first call of `analyse`.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from text.homophones import carrier
from text.markup import Glossary, GlossaryError, Marked, glossary_lines, parse, parse_glossary, read_glossary
from text.normalize import Change, Normalised, Override, Skipped, normalise
from text.phones import split_reading, syllable_phones
from text.readings import Reader, Reading, read, runs
from text.split import ends_with, paragraphs, pieces, sentences
from text.symbols import PAD, PUNCTUATION
from text.tone_sandhi import spoken_readings

__all__ = [
    "Change", "Char", "Glossary", "GlossaryError", "Skipped", "Utterance", "analyse", "glossary_lines",
    "parse_glossary", "read", "read_glossary",
]  # fmt: skip


@dataclass(frozen=True)
class Char:
    """One character of an utterance.

    reading: its syllable and tone where it stands ("hang2"); spoken: the same after tone sandhi; both "" for
    punctuation. source: who gave the reading (user, glossary, g2pw, g2pm, pypinyin, lexicon, rule; letters, word or
    approximation for foreign words; punctuation); confidence: 0-1. others: what else it could be. position: the index
    in the given text that it came from.
    """

    text: str
    reading: str
    spoken: str
    source: str
    confidence: float
    others: tuple[str, ...] = ()
    position: int = 0


@dataclass(frozen=True)
class Utterance:
    """One sentence, or a piece of a long one, ready to be spoken.

    text: n normalised characters, Chinese or one of ! ? … , . ' -; chars: one each. source: the piece of the given
    text it was made from. phones, tones (0-5): as long as each other, a pad with tone 0 at both ends; word2ph: n + 2
    numbers of phones, of the pad, each character, and the pad. skipped: what is not spoken; changes: what is said
    otherwise than it was written. bert_text: what BERT shall read, as long as `text`: a character to which the user
    gave an unexpected reading is replaced by one that is usually read so, since BERT's feature of a character carries
    its usual sound and pulls the voice toward it, whatever the phones say. ends: what ends here, "paragraph",
    "sentence", "clause" (cut at a comma) or "word" (cut between words). start: the index in the given text where its
    piece begins.
    """

    text: str
    source: str
    chars: tuple[Char, ...]
    phones: tuple[str, ...]
    tones: tuple[int, ...]
    word2ph: tuple[int, ...]
    skipped: tuple[Skipped, ...] = ()
    changes: tuple[Change, ...] = ()
    bert_text: str = ""
    ends: str = "sentence"
    start: int = 0

    def __post_init__(self) -> None:
        phones, tones, total = len(self.phones), len(self.tones), sum(self.word2ph)
        if not phones == tones == total:
            raise ValueError(f"{phones} phones, {tones} tones and a sum of {total} in word2ph must be equal.")
        n = len(self.text)
        if not n == len(self.bert_text) == len(self.chars) == len(self.word2ph) - 2:
            raise ValueError(f"{n} characters need as many in bert_text, as many chars and two more in word2ph.")
        if not (self.phones[0] == self.phones[-1] == PAD and self.tones[0] == self.tones[-1] == 0):
            raise ValueError(f"Phones begin and end with the pad {PAD!r}, tone 0.")


SETTLED = ("user", "glossary")  # sources of readings that win over everything
SPOKEN = ("user", "letters", "word", "approximation")  # sources whose readings are said as they are, without sandhi


def analyse(
    text: str,
    reader: Reader = read,
    glossary: Mapping[str, tuple[str, ...]] | None = None,
    lead: int = 0,
    more: bool = False,
) -> list[Utterance]:
    """Any text -> its utterances, in order. Never raises, whatever the string holds.

    Each utterance has something to pronounce. What is not spoken is in `skipped` of the utterance it stands in, or, of
    a sentence without any, in that of the one before (of the first, if there is none before). If there is nothing to
    say in the whole text, the result is one utterance with the text "" that carries `skipped`, or an empty list if
    nothing was skipped either (blanks and punctuation alone).
    `reader` gives the readings of a normalised utterance (text.readings). Inline readings (银行[yin2 hang2]) win over
    the `glossary` (term -> readings, see parse_glossary), and that over the reader. lead: where more text follows, a
    first sentence of more than so many characters is cut at its first pause, so that it can be heard sooner. more: more
    follows in any case, beyond this text.
    """
    marked = parse(text, glossary or {})
    last = len(marked.text.rstrip())
    utterances: list[Utterance] = []
    waiting = list(marked.skipped)  # what was skipped since the last utterance, or before the first
    for paragraph_start, paragraph in paragraphs(marked.text):
        first = len(utterances)
        overrides = _between(marked.overrides, paragraph_start, paragraph_start + len(paragraph))
        whole = [(o.start - paragraph_start, o.end - paragraph_start) for o in overrides]
        for start, sentence in sentences(paragraph, whole):
            goes_on = more or paragraph_start + start + len(sentence) < last
            ahead = lead if goes_on and not utterances else 0
            own, skipped = _sentence(sentence, paragraph_start + start, marked, reader, ahead)
            if not own:
                waiting += skipped
                continue
            if utterances:
                utterances[-1] = replace(utterances[-1], skipped=(*utterances[-1].skipped, *waiting))
            else:
                own[0] = replace(own[0], skipped=(*waiting, *own[0].skipped))
            waiting = []
            utterances += own
        if len(utterances) > first:
            utterances[-1] = replace(utterances[-1], ends="paragraph")
    if waiting and utterances:
        utterances[-1] = replace(utterances[-1], skipped=(*utterances[-1].skipped, *waiting))
    elif waiting:
        utterances = [replace(_utterance("", "", [], []), source=text.strip(), skipped=tuple(waiting))]
    return utterances


def _between(overrides: Sequence[Override], start: int, end: int) -> Sequence[Override]:
    """Those that begin in the stretch [start, end) of the marked text."""
    places = [bisect_left(overrides, place, key=lambda override: override.start) for place in (start, end)]
    return overrides[slice(*places)]


def _sentence(
    raw: str, start: int, marked: Marked, reader: Reader, lead: int
) -> tuple[list[Utterance], tuple[Skipped, ...]]:
    """The utterances of a raw sentence at `start` of the marked text, and, if there are none, what was skipped."""
    overrides = _between(marked.overrides, start, start + len(raw))
    normalised = _in_the_given_text(normalise(raw, start, overrides), marked)
    utterances: list[Utterance] = []
    done = 0  # characters of the normalised sentence
    begin = marked.places[start]  # index in the given text
    for piece in pieces(normalised.text, _tied(normalised), lead):
        place, done = done, done + len(piece)
        last = start + len(raw) - 1
        end = normalised.positions[done] if done < len(normalised.text) else marked.places[last] + 1
        if all(char in PUNCTUATION for char in piece):
            continue
        skipped = tuple(item for item in normalised.skipped if begin <= item.position < end)
        changes = tuple(item for item in normalised.changes if begin <= item.position < end)
        expected = reader(piece)
        readings = _with_settled(expected, normalised.readings[place:done], normalised.sources[place:done])
        utterance = _utterance(piece, _for_bert(piece, expected, readings), readings, normalised.positions[place:done])
        source = "".join(c for c, i in zip(raw, marked.places[start : last + 1], strict=True) if begin <= i < end)
        utterances.append(
            replace(
                utterance,
                source=source.strip(),
                skipped=skipped,
                changes=changes,
                ends=ends_with(piece),
                start=begin,
            )
        )
        begin = end
    return utterances, normalised.skipped


def _in_the_given_text(normalised: Normalised, marked: Marked) -> Normalised:
    """Positions as indices of the text with its inline readings."""
    if marked.places[-1] == len(marked.places) - 1:
        return normalised
    return replace(
        normalised,
        positions=tuple(marked.places[i] for i in normalised.positions),
        skipped=tuple(replace(item, position=marked.places[item.position]) for item in normalised.skipped),
        changes=tuple(replace(item, position=marked.places[item.position]) for item in normalised.changes),
    )


def _tied(normalised: Normalised) -> set[int]:
    """Places between two characters that belong to one number, one foreign word or one settled reading."""
    spans = [(item.position, item.position + len(item.text)) for item in normalised.changes]
    inside = {i for start, end in spans for i in range(start, end)}
    tied = set()
    for i, (a, b) in enumerate(pairwise(normalised.positions), 1):
        settled = normalised.sources[i - 1] in SETTLED and normalised.sources[i] in SETTLED
        if settled or (a in inside and any(start <= a and b < end for start, end in spans)):
            tied.add(i)
    return tied


def _with_settled(readings: Sequence[Reading], settled: Sequence[str], sources: Sequence[str]) -> list[Reading]:
    """The reader's readings, but for those that are settled already; the reader's own become alternatives."""
    out = []
    for reading, pinyin, source in zip(readings, settled, sources, strict=True):
        if pinyin:
            others = tuple(dict.fromkeys(r for r in (reading.pinyin, *reading.others) if r not in ("", pinyin)))
            reading = Reading(pinyin, source, 0.5 if source == "approximation" else 1.0, others)
        out.append(reading)
    return out


def _for_bert(text: str, expected: Sequence[Reading], readings: Sequence[Reading]) -> str:
    """`text` with a homophone of the settled reading where the reader expects another one."""
    return "".join(
        carrier(reading.pinyin) if reading.source in SETTLED and reading.pinyin != usual.pinyin else char
        for char, usual, reading in zip(text, expected, readings, strict=True)
    )


def _utterance(text: str, bert_text: str, readings: Sequence[Reading], positions: Sequence[int]) -> Utterance:
    """Sandhi and phones. readings, positions: one for each character of `text`."""
    aloud: list[str] = []  # the readings as spoken
    for run, is_chinese in runs(text):
        own = readings[len(aloud) : len(aloud) + len(run)]
        plain = [reading.pinyin for reading in own]
        after = spoken_readings(run, plain) if is_chinese else plain
        aloud += [r.pinyin if r.source in SPOKEN else changed for r, changed in zip(own, after, strict=True)]
    phones, tones, word2ph = [PAD], [0], [1]
    for char, reading in zip(text, aloud, strict=True):
        syllable, tone = split_reading(reading) if reading else ("", 0)
        own_phones = syllable_phones(syllable) if reading else (char,)
        phones += own_phones
        tones += [tone] * len(own_phones)
        word2ph.append(len(own_phones))
    chars = tuple(
        Char(char, reading.pinyin, pinyin, reading.source, reading.confidence, reading.others, position)
        for char, reading, pinyin, position in zip(text, readings, aloud, positions, strict=True)
    )
    return Utterance(text, "", chars, (*phones, PAD), (*tones, 0), (*word2ph, 1), bert_text=bert_text)
