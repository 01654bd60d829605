"""What the teacher is asked to say: real sentences, and words for the syllables that are rare in them.

`python -m train.texts RUNS` writes RUNS/texts.jsonl, a Text a line. Beside this file: own.txt, written for it, and
cpp.txt, of the data set of g2pM.
"""

import json
import random
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import cycle, islice, pairwise
from pathlib import Path

from text import Utterance, analyse
from text.symbols import PUNCTUATION
from text.words import begins
from train.loop import options
from train.sentences import dictionary_readings, tonal_syllables

OWN, CPP = (Path(__file__).with_name(name) for name in ("own.txt", "cpp.txt"))
FEWEST, MOST = 2, 30  # syllables
OFTEN = 10  # a tonal syllable that is said less often is added in words
HELD_OUT, OWN_HELD_OUT = 16, 8  # one real sentence, and of our own, of so many is never trained on


@dataclass(frozen=True)
class Text:
    """tokens: readings as spoken ("ni2") and marks; words: how many tokens each word has."""

    text: str
    tokens: list[str]
    words: list[int]
    kind: str  # own, real or rare
    held_out: bool = False

    @property
    def syllables(self) -> int:
        return sum(token not in PUNCTUATION for token in self.tokens)


def tokens_of(utterance: Utterance) -> tuple[list[str], list[int]]:
    """-> readings and marks, as the product has them, and how many of them each word has (a mark is a word)."""
    starts = begins(utterance.text, [bool(char.spoken) for char in utterance.chars])
    places = [i for i, start in enumerate(starts) if start]
    tokens = [char.spoken or char.text for char in utterance.chars]
    return tokens, [end - start for start, end in pairwise([*places, len(tokens)])]


def read(path: Path) -> list[str]:
    """Sentences, one a line, once each; lines with # are remarks."""
    lines = (line.strip() for line in path.read_text("utf-8").splitlines())
    return list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))


def texts(lines: Iterable[str], kind: str, one_of: int) -> list[Text]:
    """The sentences of lines that can be said as they are: of FEWEST to MOST syllables (our own may be single words and
    longer), and nothing is left out of them. One of so many is held out; which, follows from the sentence alone."""
    out = []
    for line in lines:
        for utterance in analyse(line):
            tokens, words = tokens_of(utterance)
            shown = utterance.source.strip()
            text = Text(shown, tokens, words, kind, zlib.crc32(shown.encode()) % one_of == 0)
            fits = 0 < text.syllables <= 2 * MOST if kind == "own" else FEWEST <= text.syllables <= MOST
            if fits and not utterance.skipped:
                out.append(text)
    return out


def rare(said: Iterable[Text], known: int = 120_000, seed: int = 1) -> list[Text]:
    """Lists of words for the tonal syllables that are said less than OFTEN times: frequent words that have them, of the
    `known` most frequent ones, and the syllable alone where there is none."""
    counts = Counter(token for text in said for token in text.tokens)
    readings, _ = dictionary_readings(known)
    having = defaultdict[str, list[str]](list)
    for word, syllables in readings.items():
        for syllable in set(syllables):
            if len(having[syllable]) < OFTEN and len(word) > 1:
                having[syllable].append(word)
    wanted = []
    for syllable in tonal_syllables(readings):
        times = max(0, OFTEN - counts[syllable]) // 2
        wanted += [(syllable, word) for word in islice(cycle(having[syllable] or [""]), times)]
    rng = random.Random(seed)
    rng.shuffle(wanted)
    out = []
    while wanted:
        group = [wanted.pop() for _ in range(min(len(wanted), rng.randint(2, 5)))]
        spoken = [readings[word] if word else [syllable] for syllable, word in group]
        tokens = [token for part in spoken for token in (*part, ",")][:-1]
        words = [count for part in spoken for count in (len(part), 1)]
        shown = "，".join(word or syllable for syllable, word in group)
        out.append(Text(shown, [*tokens, rng.choice((".", ".", ".", "?", "!"))], words, "rare"))
    return out


def gather() -> list[Text]:
    own, real = texts(read(OWN), "own", OWN_HELD_OUT), texts(read(CPP), "real", HELD_OUT)
    random.Random(1).shuffle(own)
    random.Random(2).shuffle(real)
    return own + real + rare(own + real)


def load(path: Path) -> list[Text]:
    return [Text(**json.loads(line)) for line in path.read_text("utf-8").splitlines()]


def main() -> None:
    args, rows = options(__doc__, "runs"), gather()
    args.runs.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(asdict(row), ensure_ascii=False) for row in rows]
    (args.runs / "texts.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    for kind in ("own", "real", "rare"):
        chosen = [row for row in rows if row.kind == kind]
        lengths = sum(row.syllables for row in chosen)
        print(f"{kind}: {len(chosen)} texts, {lengths} syllables, {sum(row.held_out for row in chosen)} held out")


if __name__ == "__main__":
    main()
