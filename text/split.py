"""Where a text is cut: paragraphs, sentences, and pieces short enough for BERT, for memory and for a first sound."""

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence

from text.normalize import LINE_BREAKS
from text.readings import runs
from text.symbols import PUNCTUATION
from text.words import cut

COMFORTABLE = 60  # characters; a longer sentence is cut at a pause
LEAST = 4  # characters of a first piece that goes ahead
MOST = 90  # characters; no piece is longer, with or without a pause in it
# Characters of the pieces of what is longer than that and has no pause: the work and the memory of the network grow
# with the square of a piece, and voices were taught sentences that are no longer.
BREATH = 40
RAW_MOST = 300  # characters of unnormalised text in one piece: bounds the work on texts without punctuation

LONGEST_WORD = 20  # characters that are looked at to find one
_CLOSERS = r"”’」』》】）)〕］\]"
# 。！？ in any width; a full stop too where it ends a word and neither a number nor a name goes on after it.
_SENTENCE_END = re.compile(
    rf"(?:[。｡！!？?]+|(?<![.\d])\.(?=\s|$)|(?<=[\u3400-\u9fff])\.(?![.\w]))[。｡！!？?.]*[{_CLOSERS}]*"
)
_SOFT_BREAK = re.compile(r"[，,；;、：\s…—]")
_WORD = re.compile(r"[\w.:/%-]*", re.ASCII)
_QUOTATION = re.compile(r"“[^“”]*”|「[^「」]*」|『[^『』]*』|《[^《》]*》|（[^（）]*）|\([^()]*\)|\"[^\"]*\"")
_IDEOGRAPH = re.compile(r"[\u3400-\u9fff]")
_OTHER_WORD = re.compile(r"[^\W\u3400-\u9fff]")


def paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """(index, text) of each line that holds more than blanks, its line break included."""
    start = 0
    for end in [i + 1 for i, char in enumerate(text) if char in LINE_BREAKS] + [len(text)]:
        if text[start:end].strip():
            yield start, text[start:end]
        start = end


def sentences(paragraph: str, whole: Sequence[tuple[int, int]] = ()) -> Iterator[tuple[int, str]]:
    """(index, text) of each sentence; joined they are the paragraph again.

    Not cut are the stretches [start, end) in `whole`, and quotations that are comfortably short. A sentence of a single
    character (嗯。吧！) stays with the next one, at the end of a paragraph with the one before.
    """
    quoted = [m.span() for m in _QUOTATION.finditer(paragraph) if m.end() - m.start() <= COMFORTABLE]
    spans = _joined([*whole, *((start, end - 1) for start, end in quoted)])  # before the closing mark goes behind it
    begins = [begin for begin, _ in spans]

    def around(place: int) -> int | None:
        """Where the stretch begins that a cut at `place` would break."""
        i = bisect_left(begins, place) - 1
        return begins[i] if i >= 0 and place < spans[i][1] else None

    ends = [match.end() for match in _SENTENCE_END.finditer(paragraph)]
    ends = [end for end in ends if around(end) is None]
    start = 0
    for end in [*_worth_a_sentence(paragraph, ends), len(paragraph)]:
        end = _past_straight_quote(paragraph, start, end)
        while end - start > RAW_MOST:
            place = start + _last_soft_break(paragraph[start : start + RAW_MOST])
            begin = around(place)
            place = begin if begin is not None and begin > start else place
            yield start, paragraph[start:place]
            start = place
        if end > start:
            yield start, paragraph[start:end]
            start = end


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """In order, those that overlap as one."""
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if joined and begin < joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((begin, end))
    return joined


def _worth_a_sentence(paragraph: str, ends: list[int]) -> list[int]:
    """Those of the ends of sentences that have more than one character since the one before, and after them."""
    worth: list[int] = []
    start, count = 0, 0  # the end before, and the characters since the last that is worth it
    for end in ends:
        count += _sayable(paragraph[start:end])
        start = end
        if count > 1:
            worth.append(end)
            count = 0
    rest = paragraph[worth[-1] :] if worth else ""
    return worth[:-1] if rest.strip() and _sayable(rest) < 2 else worth


def _sayable(part: str) -> int:
    """How many things there are to pronounce in it, up to two: characters, or a word of another script for two."""
    return min(2, len(_IDEOGRAPH.findall(part))) if not _OTHER_WORD.search(part) else 2


def pieces(text: str, tied: Collection[int] = (), lead: int = 0, whole: int = MOST) -> list[str]:
    """Cuts a normalised sentence to pieces of at most `MOST` characters; joined they are `text`.

    lead: for a first sound that comes soon, a sentence of more than so many characters is first cut at its first pause.
    whole: what has at most so many and no pause is not cut.

    A cut falls behind a pause near the middle or the third, if there is one, else between two words; never at the
    places in `tied`, as long as there are others.
    """
    if lead and len(text) > lead:
        place = next((i for i in _behind_pauses(text) if LEAST <= i <= lead and i not in tied), None)
        if place:
            return [text[:place], *pieces(text[place:], {i - place for i in tied if i > place})]
    if len(text) <= COMFORTABLE:
        return [text]
    ideal = len(text) / -(-len(text) // COMFORTABLE)
    places = [i for i in _behind_pauses(text) if ideal / 2 <= i <= COMFORTABLE and i < len(text) and i not in tied]
    if not places and len(text) <= whole:
        return [text]
    if not places:
        whole = COMFORTABLE
        ideal = len(text) / -(-len(text) // BREATH)
        places = [i for i in _behind_words(text[:MOST]) if i < len(text) and i not in tied]
    place = min(places, key=lambda i: abs(i - ideal), default=COMFORTABLE)
    return [text[:place], *pieces(text[place:], {i - place for i in tied if i > place}, whole=whole)]


def ends_with(piece: str) -> str:
    """What ends with a piece of a normalised sentence: "sentence", "clause" or, where it was cut, "word"."""
    last = piece.rstrip("'")[-1:]
    return "clause" if last in (",", "-") else "sentence" if last in PUNCTUATION else "word"


def _behind_pauses(text: str) -> list[int]:
    return [i for i in range(1, len(text)) if text[i - 1] in ",.!?…-" and text[i] not in PUNCTUATION]


def _behind_words(text: str) -> list[int]:
    """Ends of the words of `text`, but for the last, which may go on, and those that punctuation follows."""
    ends, end = [], 0
    for run, is_chinese in runs(text):
        for word in cut(run) if is_chinese else run:
            end += len(word)
            ends.append(end)
    return [end for end in ends[:-1] if text[end] not in PUNCTUATION]


def _last_soft_break(text: str) -> int:
    places = [match.end() for match in _SOFT_BREAK.finditer(text)]
    if places and places[-1] > len(text) // 2:
        return places[-1]
    # No pause: not inside a number or a Latin word, unless it fills the whole piece.
    tail = _WORD.match(text[::-1])
    word = len(text) - (tail.end() if tail else 0)
    if len(text) // 2 < word < len(text):
        return word
    # Nor inside a Chinese word: before the last one, which may go on.
    words = cut(text[-LONGEST_WORD:]) if _IDEOGRAPH.match(text[-1]) else []
    return len(text) - len(words[-1]) if len(words) > 1 else len(text)


def _past_straight_quote(paragraph: str, start: int, end: int) -> int:
    """A straight quotation mark behind a full stop closes if one was opened in this sentence."""
    quote = paragraph[end : end + 1]
    return end + 1 if quote in ("'", '"') and paragraph.count(quote, start, end) % 2 else end
