"""Words of a run of Chinese characters, with part-of-speech tags: jieba, loaded at the first call."""

import functools
import io
import logging
import os
from collections.abc import Iterator, Sequence
from importlib.resources import files
from itertools import groupby
from typing import Any


@functools.cache
def _jieba() -> tuple[Any, Any]:
    """jieba's two segmenters, without and with tags, on one reading of its dictionary.

    By itself jieba reads the dictionary twice and keeps a cache in the temporary folder, which is every user's. Here
    it is read once, as fast as that cache, and there is none.
    """
    import jieba

    jieba.setLogLevel(logging.WARNING)  # it reports its loading on stderr
    # The module's own tagger, which is not used here, reads the whole dictionary when it is imported.
    jieba.dt.dictionary = os.devnull
    try:
        import jieba.posseg
    finally:
        jieba.dt.dictionary = None

    class Tokenizer(jieba.Tokenizer):
        def get_dict_file(self) -> io.BytesIO:
            return io.BytesIO()

        def get_DAG(self, sentence: str) -> dict[int, list[int]]:
            """Where the words that begin at each character may end; jieba's own asks for all beginnings of words."""
            ends = {}
            for i, char in enumerate(sentence):
                last = min(i + longest.get(char, 1), len(sentence))
                ends[i] = [j for j in range(i, last) if self.FREQ.get(sentence[i : j + 1])] or [i]
            return ends

    entries = files("jieba").joinpath("dict.txt").read_text("utf-8").split()  # word, frequency, tag, word, ...
    words = entries[::3]
    longest: dict[str, int] = {}  # first character -> length of the longest word
    for word in words:
        if len(word) > longest.get(word[0], 0):
            longest[word[0]] = len(word)
    tokenizer = Tokenizer()
    tokenizer.FREQ = dict(zip(words, map(int, entries[1::3]), strict=True))
    tokenizer.total = sum(tokenizer.FREQ.values())
    tokenizer.initialized = True
    tagger = jieba.posseg.POSTokenizer(tokenizer)
    tagger.word_tag_tab = dict(zip(words, entries[2::3], strict=True))
    return tokenizer, tagger


def segment(run: str) -> list[tuple[str, str]]:
    """Words and tags (n, v, r, m, ... as in jieba's dictionary), in order; joined they are `run` again."""
    return list(_segment(run))


@functools.lru_cache(maxsize=256)
def _segment(run: str) -> tuple[tuple[str, str], ...]:  # the readings and the sandhi of a run both ask for it
    return tuple((pair.word, pair.flag) for pair in _jieba()[1].cut(run))


def cut(run: str) -> list[str]:
    """Words alone, which is faster than with tags; joined they are `run` again."""
    return list(_jieba()[0].cut(run))


def begins(text: str, is_spoken: Sequence[bool]) -> list[bool]:
    """Whether a word begins at each character. What is not spoken is a mark, and each of them stands alone."""
    out: list[bool] = []
    for is_word, run in groupby(zip(text, is_spoken, strict=True), key=lambda pair: pair[1]):
        chars = [char for char, _ in run]
        if not is_word:
            out += [True] * len(chars)
            continue
        for word, _tag in _segment("".join(chars)):
            out += [True, *[False] * (len(word) - 1)]
    return out


def is_known(word: str) -> bool:
    """Whether jieba's dictionary has this word."""
    return bool(_jieba()[0].FREQ.get(word))


def spans(run: str, longest: int = 8) -> Iterator[tuple[int, int]]:
    """(start, end) of the stretches of `run` that may be a phrase: of whole words, or a known word inside a word.

    None is shorter than two or longer than `longest` characters.
    """
    ends = [0]
    for word, _ in _segment(run):
        start = ends[-1]
        ends.append(start + len(word))
        for length in range(2, min(len(word) - 1, longest) + 1):
            for i in range(len(word) - length + 1):
                if is_known(word[i : i + length]):
                    yield start + i, start + i + length
    for i, start in enumerate(ends):
        for end in ends[i + 1 :]:
            if end - start > longest:
                break
            if end - start > 1:
                yield start, end


@functools.lru_cache(maxsize=4096)
def halves(word: str) -> tuple[str, str]:
    """A word cut in two at its shortest known part: 纸老虎 -> 纸 老虎. The second is "" if there is nothing to cut."""
    part = min(_jieba()[0].cut_for_search(word), key=len, default=word)
    if word.startswith(part):
        return part, word[len(part) :]
    return word[: -len(part)], word[-len(part) :]


def is_phrase(word: str) -> bool:
    """Whether pypinyin's dictionary of phrases holds it."""
    from pypinyin.constants import PHRASES_DICT

    return word in PHRASES_DICT
