"""What the teacher is asked to say: words by frequency, a shuffled bag of all syllables, punctuation."""

import random
import re
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

MARKS = (",", ".", "?", "!", "…", "'", "-")
PARTICLES = ("de5", "le5", "ma5", "ne5", "ba5", "zi5", "men5", "zhe5", "tou5", "guo5", "shang5", "li5")
HANZI = re.compile("[\u4e00-\u9fa5]{1,4}")
# Syllables that espeak-ng's pinyin does not say, or says as something else.
UNSPEAKABLE = {"m", "n", "ng", "hm", "hng", "ê", "fiao", "lo", "rua", "yo"}


def is_syllable(token: str) -> bool:
    """A token is a pinyin syllable with its tone digit ("ni3"), or one of MARKS."""
    return token[-1].isdigit()


def tonal_syllables(readings: dict[str, list[str]]) -> list[str]:
    """Every syllable some dictionary word uses, in the order of the alphabet."""
    return sorted({syllable for word in readings.values() for syllable in word})


def dictionary_readings(limit: int) -> tuple[dict[str, list[str]], dict[str, float]]:
    """Words of jieba's dictionary -> pinyin with tone digits (third tones inside a word resolved), and weights."""
    import jieba
    from pypinyin import Style, lazy_pinyin

    lines = (Path(jieba.__file__).parent / "dict.txt").read_text(encoding="utf-8").splitlines()
    rows = ((-int(count), word) for word, count, _ in (line.split(" ") for line in lines) if HANZI.fullmatch(word))
    readings, weights = {}, {}
    for count, word in sorted(rows)[:limit]:
        syllables = lazy_pinyin(word, style=Style.TONE3, neutral_tone_with_five=True, v_to_u=False)
        if len(syllables) == len(word) and all(map(speakable, syllables)):
            readings[word], weights[word] = third_tones(syllables), (-count) ** 0.35
    return readings, weights


def speakable(syllable: str) -> bool:
    """Pinyin with a tone digit; pypinyin gives a character it cannot read back as it is."""
    return syllable.isascii() and is_syllable(syllable) and syllable[:-1] not in UNSPEAKABLE


def third_tones(syllables: list[str]) -> list[str]:
    """The third tone before another one, inside a word, is spoken as the second."""
    out = list(syllables)
    for i in range(len(out) - 1):
        if out[i].endswith("3") and out[i + 1].endswith("3"):
            out[i] = out[i][:-1] + "2"
    return out


def sentences(seed: int, words: int = 60_000) -> Iterator[list[str]]:
    """Utterances without end, of the `words` most frequent words, the same for the same seed: 1 to 30 syllables."""
    rng = random.Random(seed)
    readings, weights = dictionary_readings(words)
    names, cumulated = list(readings), list(accumulate(weights.values()))
    every = tonal_syllables(readings)
    bag: list[str] = []

    def clause(length: int) -> list[str]:
        out: list[str] = []
        shuffled = rng.random() < 0.3
        while len(out) < length:
            if shuffled:
                if not bag:
                    bag.extend(rng.sample(every, len(every)))
                out.append(bag.pop())
            elif out and rng.random() < 0.12:
                out.append(rng.choice(PARTICLES))
            else:
                out.extend(readings[rng.choices(names, cum_weights=cumulated)[0]])
        return out

    while True:
        limit = rng.choices((2, 4, 8, 14, 30), weights=(8, 22, 40, 22, 8))[0]
        length, spoken, tokens = rng.randint(limit // 2, limit), 0, list[str]()
        while spoken < length:
            part = clause(min(length - spoken, rng.choice((2, 3, 4, 5, 6, 7, 9))))
            spoken += len(part)
            if rng.random() < 0.04:
                part.insert(rng.randrange(len(part)), "'")
            tokens += part
            if spoken < length:
                tokens += rng.choices(MARKS, weights=(80, 3, 3, 3, 6, 1, 4))
        if rng.random() < 0.9:
            tokens += rng.choices((".", "?", "!", "…", ","), weights=(55, 13, 13, 6, 13))
            if rng.random() < 0.04:
                tokens.append(rng.choice(("!", "…", "'", "?")))
        yield tokens
