"""Where a text is cut: paragraphs, sentences, and pieces short enough for BERT, for memory and for a first sound."""

import re
from collections.abc import Iterator

from text.normalize import LINE_BREAKS
from text.readings import runs
from text.symbols import PUNCTUATION
from text.words import cut

COMFORTABLE = 60  # characters; a longer sentence is cut at a pause
MOST = 90  # characters; no piece is longer, with or without a pause in it
RAW_MOST = 300  # characters of unnormalised text in one piece: bounds the work on texts without punctuation

_CLOSERS = r"”’」』》】）)〕］\]"
# 。！？ in any width; a full stop too where it ends a word and neither a number nor a name goes on after it.
_SENTENCE_END = re.compile(
    rf"(?:[。｡！!？?]+|(?<![.\d])\.(?=\s|$)|(?<=[\u3400-\u9fff])\.(?![.\w]))[。｡！!？?.]*[{_CLOSERS}]*"
)
_SOFT_BREAK = re.compile(r"[，,；;、：\s…—]")


def paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """(index, text) of each line that holds more than blanks, its line break included."""
    start = 0
    for end in [i + 1 for i, char in enumerate(text) if char in LINE_BREAKS] + [len(text)]:
        if text[start:end].strip():
            yield start, text[start:end]
        start = end


def sentences(paragraph: str) -> Iterator[tuple[int, str]]:
    """(index, text) of each sentence; joined they are the paragraph again."""
    start = 0
    for end in [match.end() for match in _SENTENCE_END.finditer(paragraph)] + [len(paragraph)]:
        end = _past_straight_quote(paragraph, start, end)
        while end - start > RAW_MOST:
            place = start + _last_soft_break(paragraph[start : start + RAW_MOST])
            yield start, paragraph[start:place]
            start = place
        if end > start:
            yield start, paragraph[start:end]
            start = end


def pieces(text: str) -> list[str]:
    """Cuts a normalised sentence to pieces of at most `MOST` characters; joined they are `text`.

    A cut falls behind a pause near the middle or the third, if there is one, else between two words.
    """
    if len(text) <= COMFORTABLE:
        return [text]
    wanted = len(text) / -(-len(text) // COMFORTABLE)
    places = [i for i in _behind_pauses(text) if wanted / 2 <= i <= COMFORTABLE and i < len(text)]
    if not places and len(text) <= MOST:
        return [text]
    places = places or [i for i in _behind_words(text[:MOST]) if i < len(text)]
    place = min(places, key=lambda i: abs(i - wanted), default=COMFORTABLE)
    return [text[:place], *pieces(text[place:])]


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
    tail = re.search(r"[\w.:/%-]*$", text, re.ASCII)
    return tail.start() if tail and tail.start() > len(text) // 2 else len(text)


def _past_straight_quote(paragraph: str, start: int, end: int) -> int:
    """A straight quotation mark behind a full stop closes if one was opened in this sentence."""
    quote = paragraph[end : end + 1]
    return end + 1 if quote in ("'", '"') and paragraph.count(quote, start, end) % 2 else end
