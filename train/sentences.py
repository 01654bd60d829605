"""Words of a dictionary and the syllables that they use."""

from pathlib import Path

# Syllables that the teacher's table lacks.
UNSPEAKABLE = {"m", "n", "ng", "hm", "hng", "ê", "fiao", "lo", "rua", "yo"}


def tonal_syllables(readings: dict[str, list[str]]) -> list[str]:
    """Every syllable some dictionary word uses, in the order of the alphabet."""
    return sorted({syllable for word in readings.values() for syllable in word})


def dictionary_readings(limit: int) -> tuple[dict[str, list[str]], dict[str, float]]:
    """Words of jieba's dictionary -> pinyin with tone digits (third tones inside a word resolved), and weights."""
    import jieba
    from pypinyin import Style, lazy_pinyin

    rows = []
    for line in (Path(jieba.__file__).parent / "dict.txt").read_text(encoding="utf-8").splitlines():
        word, count, _tag = line.split(" ")
        if 1 <= len(word) <= 4 and all("\u4e00" <= c <= "\u9fa5" for c in word):
            rows.append((int(count), word))
    rows.sort(key=lambda row: (-row[0], row[1]))
    readings, weights = {}, {}
    for count, word in rows[:limit]:
        syllables = lazy_pinyin(word, style=Style.TONE3, neutral_tone_with_five=True, v_to_u=False)
        if len(syllables) != len(word) or not all(speakable(s) for s in syllables):
            continue
        readings[word] = third_tones(syllables)
        weights[word] = count**0.35
    return readings, weights


def speakable(syllable: str) -> bool:
    """Pinyin with a tone digit; pypinyin gives a character it cannot read back as it is."""
    return syllable.isascii() and syllable[-1].isdigit() and syllable[:-1] not in UNSPEAKABLE


def third_tones(syllables: list[str]) -> list[str]:
    """The third tone before another one, inside a word, is spoken as the second."""
    out = list(syllables)
    for i in range(len(out) - 1):
        if out[i].endswith("3") and out[i + 1].endswith("3"):
            out[i] = out[i][:-1] + "2"
    return out
