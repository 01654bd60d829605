"""Chinese text -> what a voice needs to say it: normalised characters, their readings, phones and tones.

    >>> [utterance.text for utterance in analyse("现在是9:30。走吧！")]
    ['现在是九点三十分.', '走吧!']

Nothing is loaded before the first call of `analyse`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from text.normalize import Skipped, normalise
from text.phones import split_reading, syllable_phones
from text.readings import Reader, Reading, read, runs
from text.split import paragraphs, pieces, sentences
from text.symbols import PAD, PUNCTUATION
from text.tone_sandhi import spoken_readings

__all__ = ["Char", "Skipped", "Utterance", "analyse"]


@dataclass(frozen=True)
class Char:
    """One character of an utterance.

    reading: its syllable and tone where it stands ("hang2"); spoken: the same after tone sandhi; both "" for
    punctuation. source: who gave the reading (g2pm, pypinyin, rule, punctuation); confidence: 0-1.
    """

    text: str
    reading: str
    spoken: str
    source: str
    confidence: float


@dataclass(frozen=True)
class Utterance:
    """One sentence, or a piece of a long one, ready to be spoken.

    text: n normalised characters, Chinese or one of ! ? … , . ' -; chars: one each. source: the piece of the given
    text it was made from. phones, tones (0-5): as long as each other, a pad with tone 0 at both ends; word2ph: n + 2
    numbers of phones, of the pad, each character, and the pad. skipped: what is not spoken. paragraph_end: whether a
    paragraph ends here.
    """

    text: str
    source: str
    chars: tuple[Char, ...]
    phones: tuple[str, ...]
    tones: tuple[int, ...]
    word2ph: tuple[int, ...]
    skipped: tuple[Skipped, ...] = ()
    paragraph_end: bool = False

    def __post_init__(self) -> None:
        if not len(self.phones) == len(self.tones) == sum(self.word2ph):
            raise ValueError(
                f"{len(self.phones)} phones, {len(self.tones)} tones and a sum of {sum(self.word2ph)} in word2ph "
                "must be equal."
            )
        if not len(self.text) == len(self.chars) == len(self.word2ph) - 2:
            raise ValueError(
                f"{len(self.text)} characters need as many entries in chars ({len(self.chars)}) and two more in "
                f"word2ph ({len(self.word2ph)})."
            )
        if not (self.phones[0] == self.phones[-1] == PAD and self.tones[0] == self.tones[-1] == 0):
            raise ValueError(f"Phones begin and end with the pad {PAD!r}, tone 0.")


def analyse(text: str, reader: Reader = read) -> list[Utterance]:
    """Any text -> its utterances, in order. Never raises, whatever the string holds.

    Each utterance has something to pronounce. What is not spoken is in `skipped` of the utterance it stands in, or, of
    a sentence without any, in that of the one before (of the first, if there is none before). If there is nothing to
    say in the whole text, the result is one utterance with the text "" that carries `skipped`, or an empty list if
    nothing was skipped either (blanks and punctuation alone).
    `reader` gives the readings of a normalised utterance; see text.readings.
    """
    utterances: list[Utterance] = []
    waiting: list[Skipped] = []  # skipped before the first utterance
    for paragraph_start, paragraph in paragraphs(text):
        first = len(utterances)
        for start, sentence in sentences(paragraph):
            found, skipped = _sentence(sentence, paragraph_start + start, reader)
            if found:
                found[0] = replace(found[0], skipped=(*waiting, *found[0].skipped))
                waiting = []
                utterances += found
            elif utterances:
                utterances[-1] = replace(utterances[-1], skipped=utterances[-1].skipped + skipped)
            else:
                waiting += skipped
        if len(utterances) > first:
            utterances[-1] = replace(utterances[-1], paragraph_end=True)
    if waiting:
        utterances = [_utterance("", text, [], tuple(waiting))]
    return utterances


def _sentence(raw: str, start: int, reader: Reader) -> tuple[list[Utterance], tuple[Skipped, ...]]:
    """The utterances of a raw sentence that begins at index `start`, and, if there are none, what was skipped."""
    normalised = normalise(raw, start)
    utterances: list[Utterance] = []
    done = 0  # characters of the normalised sentence
    begin = start  # index in the given text
    for piece in pieces(normalised.text):
        done += len(piece)
        end = normalised.positions[done] if done < len(normalised.text) else start + len(raw)
        if all(char in PUNCTUATION for char in piece):
            continue
        skipped = tuple(item for item in normalised.skipped if begin <= item.position < end)
        utterances.append(_utterance(piece, raw[begin - start : end - start], reader(piece), skipped))
        begin = end
    return utterances, normalised.skipped


def _utterance(text: str, source: str, readings: Sequence[Reading], skipped: tuple[Skipped, ...]) -> Utterance:
    """Sandhi and phones. readings: one for each character of `text`."""
    spoken: list[str] = []
    for run, is_chinese in runs(text):
        own = [reading.pinyin for reading in readings[len(spoken) : len(spoken) + len(run)]]
        spoken += spoken_readings(run, own) if is_chinese else own
    phones, tones, word2ph = [PAD], [0], [1]
    for char, reading in zip(text, spoken, strict=True):
        if reading:
            syllable, tone = split_reading(reading)
            phones += syllable_phones(syllable)
            tones += [tone, tone]
        else:
            phones.append(char)
            tones.append(0)
        word2ph.append(2 if reading else 1)
    chars = [
        Char(char, reading.pinyin, said, reading.source, reading.confidence)
        for char, reading, said in zip(text, readings, spoken, strict=True)
    ]
    return Utterance(text, source.strip(), tuple(chars), (*phones, PAD), (*tones, 0), (*word2ph, 1), skipped)
