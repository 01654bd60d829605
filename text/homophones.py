"""One common character for each syllable and tone, to stand in where only the sound is given.

A voice's BERT sees characters, and a character pulls the sound toward its usual reading even where the phones say
otherwise. Where the user's reading is another one, or where there is no character at all (a foreign word), a
character that is usually read so takes the place.
"""

import functools

from text.phones import split_reading, syllable_phones
from text.tables import lines

NEAREST_TONES = (1, 4, 2, 3, 5)  # for a syllable that no common character has with the tone


def carrier(reading: str) -> str:
    """A common character for "hang2", with another tone where none has this one.

    For a syllable that can be said and is none of Mandarin ("bong1", "biang2") it is one that rhymes.
    Raises ValueError for what is no reading.
    """
    syllable, tone = split_reading(reading)
    phones, table = syllable_phones(syllable), _table()
    same = next((table[phones, t] for t in (tone, *NEAREST_TONES) if (phones, t) in table), None)
    return same or next(char for ((_, final), _), char in table.items() if final == phones[1])


@functools.cache
def _table() -> dict[tuple[tuple[str, str], int], str]:
    """(phones, tone) -> character; text/data/NOTICE.md says how the list was made."""
    table = {}
    for line in lines("carriers.txt"):
        reading, char = line.split()
        syllable, tone = split_reading(reading)
        table[syllable_phones(syllable), tone] = char
    return table
