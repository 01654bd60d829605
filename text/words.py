"""Words of a run of Chinese characters, with part-of-speech tags: jieba, loaded at the first call."""

import functools
import logging


@functools.cache
def _jieba():
    import jieba
    import jieba.posseg

    jieba.setLogLevel(logging.WARNING)  # it reports its loading on stderr
    return jieba


def segment(run: str) -> list[tuple[str, str]]:
    """Words and tags (n, v, r, m, ... as in jieba's dictionary), in order; joined they are `run` again."""
    return [(pair.word, pair.flag) for pair in _jieba().posseg.cut(run)]


def cut(run: str) -> list[str]:
    """Words alone, which is faster than with tags; joined they are `run` again."""
    return list(_jieba().cut(run))


def search_words(run: str) -> list[tuple[str, int]]:
    """Words of `run` and the shorter words within them, each with the place where it begins."""
    return [(word, start) for word, start, _ in _jieba().tokenize(run, mode="search")]


@functools.lru_cache(maxsize=4096)
def halves(word: str) -> tuple[str, str]:
    """A word cut in two at its shortest known part: 纸老虎 -> 纸 老虎. The second is "" if there is nothing to cut."""
    part = min(_jieba().cut_for_search(word), key=len, default=word)
    if word.startswith(part):
        return part, word[len(part) :]
    return word[: -len(part)], word[-len(part) :]
