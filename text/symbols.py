"""Symbol tables, tones and language ids as the released checkpoints were trained with them.

An id is a position in a table; id 0 is the pad `_`, which also serves as the blank between phones.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from words import Fault

PAD = "_"
PUNCTUATION = ("!", "?", "…", ",", ".", "'", "-")

# v1.1 and every later family.
_V2 = """
    _ AA E EE En N OO V a a: aa ae ah ai an ang ao aw ay b by c ch d dh dy e e: eh ei en eng er ey f g gy h hh hy
    i i0 i: ia ian iang iao ie ih in ing iong ir iu iy j jh k ky l m my n ng ny o o: ong ou ow oy p py q r ry s sh
    t th ts ty u u: ua uai uan uang uh ui un uo uw v van ve vn w x y z zh zy ! ? … , . ' - SP UNK
"""
SYMBOLS_V2 = tuple(_V2.split())

# v1.0.x: another Japanese set.
_V1 = """
    _ AA E EE En I N OO U V a aa ae ah ai an ang ao aw ay b by c ch cl d dh dy e eh ei en eng er ey f g gy h hh hy
    i i0 ia ian iang iao ie ih in ing iong ir iu iy j jh k ky l m my n ng ny o ong ou ow oy p py q r ry s sh t th
    ts u ua uai uan uang uh ui un uo uw v van ve vn w x y z zh ! ? … , . ' - SP UNK
"""
SYMBOLS_V1 = tuple(_V1.split())


@dataclass(frozen=True)
class SymbolTable:
    """What the embeddings of one generation of checkpoints count: phones, tones and languages."""

    symbols: tuple[str, ...]
    num_tones: int
    language_ids: dict[str, int]
    tone_starts: dict[str, int]  # where the tones of a language begin; Chinese has 0-5 everywhere

    @functools.cached_property
    def index(self) -> dict[str, int]:
        """Symbol -> its position."""
        return {symbol: i for i, symbol in enumerate(self.symbols)}


TABLE_V2 = SymbolTable(SYMBOLS_V2, 12, {"ZH": 0, "JP": 1, "EN": 2}, {"ZH": 0, "JP": 6, "EN": 8})
TABLE_V1_1 = SymbolTable(SYMBOLS_V2, 11, {"ZH": 0, "JP": 1, "EN": 2}, {"ZH": 0, "JP": 6, "EN": 7})
TABLE_V1_0 = SymbolTable(SYMBOLS_V1, 11, {"ZH": 0, "JA": 1, "EN": 2}, {"ZH": 0, "JA": 6, "EN": 7})


class UnknownPhone(Fault, ValueError):
    """A phone that a checkpoint was not trained with."""


def phone_ids(phones: Sequence[str], table: SymbolTable = TABLE_V2) -> list[int]:
    """Positions of `phones` in `table`. Raises UnknownPhone for one that the table lacks."""
    try:
        return [table.index[phone] for phone in phones]
    except KeyError as error:
        raise UnknownPhone("text.phone", phone=error.args[0], count=len(table.symbols)) from None


def tone_ids(tones: Sequence[int], language: str = "ZH", table: SymbolTable = TABLE_V2) -> list[int]:
    """Tones counted within their language (Chinese 0-5) -> rows of the tone embedding."""
    return [tone + table.tone_starts[language] for tone in tones]
