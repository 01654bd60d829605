"""The teacher says the texts: `python -m train.generate --runs RUNS`, at any time again to go on after a break.

RUNS/said/<split>/<shard>/sound.i16     samples at 24 kHz, all utterances one after another
                          curves.f32    F0 (Hz) and energy as the teacher's decoder had them, a pair each 300 samples
                          said.jsonl    a Record a line, written after its sound: what has no line has not been said

Any beginning of it is balanced: each forty utterances have every speaker and mood as often as MOODS says. Killed at
any moment, it loses the utterance that is being made.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import count, cycle, islice
from pathlib import Path

import numpy as np

from train.blends import BLENDS, MOODS, manner
from train.loop import RUNS, options
from train.teacher import RATE, Said, Teacher
from train.texts import Text, load

SHARD = 100  # utterances
TEST = 12  # one utterance of a held-out text for so many others
JITTERED, JITTER = 0.35, 0.25  # share of utterances at another speed, and by how much: so length_scale is in the data
CELLS = [(s, m) for s in range(len(BLENDS)) for m, mood in enumerate(MOODS) for _ in range(mood.often)]


@dataclass(frozen=True)
class Record:
    """One utterance; spans as in train.teacher.Said; rate: over the mood's own speed; sample, samples: its sound in
    sound.i16; value, values: its pairs in curves.f32."""

    text: str
    tokens: list[str]
    words: list[int]
    kind: str
    speaker: int
    mood: int
    rate: float
    spans: list[tuple[int, int, int]]
    sample: int = 0
    samples: int = 0
    value: int = 0
    values: int = 0


def plan(texts: list[Text], split: str) -> Iterator[tuple[Text, int, int, float]]:
    """Text, speaker, mood and rate of one utterance after another, without end.

    train: one of eight is of our own texts, one a list of rare words. test: real and our own ones in turn, all at the
    mood's own speed. Texts begin anew when they are used up, by then with other speakers.
    """
    test = split == "test"
    order = ("real", "own") if test else ("real", "real", "own", "real", "real", "real", "rare", "real")
    kinds = {kind: [t for t in texts if t.kind == kind and t.held_out == test] for kind in ("real", "own", "rare")}
    sources = {kind: cycle(chosen) for kind, chosen in kinds.items() if chosen}
    usual = next(iter(sources.values()))  # where there are none of the kind that is due
    for n in count(0, len(CELLS)):
        rng = random.Random(f"{split} {n // len(CELLS)}")
        for k, (speaker, mood) in enumerate(rng.sample(CELLS, len(CELLS)), n):
            rate = (1 + JITTER) ** rng.uniform(-1, 1) if not test and rng.random() < JITTERED else 1.0
            yield next(sources.get(order[k % len(order)], usual)), speaker, mood, round(rate, 3)


class Shards:
    """What has been said of one split, and where the next utterance goes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        last = max(folder.glob("*/said.jsonl"), default=None)
        self.count = 0 if last is None else SHARD * int(last.parent.name) + len(records(last.parent))

    def add(self, record: Record, said: Said) -> None:
        """The sound first, then its line: only what has a line counts, and what lies after it is overwritten."""
        shard = self.folder / f"{self.count // SHARD:04}"
        shard.mkdir(parents=True, exist_ok=True)
        *_, last = [record, *records(shard)]  # a new one is of nothing yet
        sample, value = last.sample + last.samples, last.value + last.values
        wav = np.round(said.wav.clip(-1, 1) * 32767).astype("<i2")
        curves = np.stack((said.f0, said.energy), 1).astype("<f4")
        row = replace(record, sample=sample, samples=len(wav), value=value, values=len(curves))
        put(shard / "sound.i16", 2 * sample, wav.tobytes())
        put(shard / "curves.f32", 8 * value, curves.tobytes())
        put(
            shard / "said.jsonl", len(whole_lines(shard)), (json.dumps(asdict(row), ensure_ascii=False) + "\n").encode()
        )
        self.count += 1


def put(path: Path, at: int, content: bytes) -> None:
    """Write there, and nothing after it."""
    path.touch()
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)
        file.truncate()


def whole_lines(shard: Path) -> bytes:
    """said.jsonl without a last line that was cut off."""
    path = shard / "said.jsonl"
    content = path.read_bytes() if path.exists() else b""
    return content[: content.rfind(b"\n") + 1]


def records(shard: Path) -> list[Record]:
    return [Record(**json.loads(line)) for line in whole_lines(shard).splitlines()]


def main() -> None:
    args = options(__doc__, runs=RUNS, teacher=None, utterances=12_000)
    teacher, texts = Teacher(args.teacher or args.runs / "teacher"), load(args.runs / "texts.jsonl")
    shards = {split: Shards(args.runs / "said" / split) for split in ("train", "test")}
    plans = {split: islice(plan(texts, split), shards[split].count, None) for split in shards}
    seconds = 0.0
    while shards["train"].count < args.utterances:
        split = "test" if shards["test"].count * TEST < shards["train"].count else "train"
        text, speaker, mood, rate = next(plans[split])
        said = teacher.say(text.tokens, text.words, manner(BLENDS[speaker], MOODS[mood], rate))
        record = Record(text.text, text.tokens, text.words, text.kind, speaker, mood, rate, said.spans)
        shards[split].add(record, said)
        seconds += len(said.wav) / RATE
        if shards["train"].count % 20 == 0 and split == "train":
            counts = "  ".join(f"{name} {shard.count}" for name, shard in shards.items())
            print(f"{counts}  {seconds / 60:.1f} min in this run", flush=True)


if __name__ == "__main__":
    main()
