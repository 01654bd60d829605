"""The teacher says the texts: `python -m train.generate --runs RUNS`, at any time again to go on after a break.

RUNS/said/<split>/<shard>/sound.i16     samples at 24 kHz, all utterances one after another
                          curves.f32    F0 (Hz) and energy as the teacher's decoder had them, a pair each 300 samples
                          said.jsonl    a Record a line, written after its sound: what has no line has not been said

Any beginning of it is balanced: each forty utterances have every speaker and mood as often as MOODS says. Killed at
any moment, it loses the utterance that is being made.
"""

import argparse
import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from train.speakers import MOODS, SPEAKERS, manner, stranger
from train.teacher import RATE, Manner, Said, Teacher
from train.texts import Text, load

SHARD = 100  # utterances
TEST = 12  # one utterance of a held-out text for so many others
JITTERED, JITTER = 0.35, 0.25  # share of utterances at another speed, and by how much: so length_scale is in the data
NOBODY = -1  # speaker and mood of a stranger
CELLS = [(s, m) for s in range(len(SPEAKERS)) for m, mood in enumerate(MOODS) for _ in range(mood.often)]


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
    spans: list[tuple[int, int, int]] = field(default_factory=list)
    sample: int = 0
    samples: int = 0
    value: int = 0
    values: int = 0


def plan(texts: list[Text], split: str) -> Iterator[tuple[Record, Manner]]:
    """One utterance after another, without end: what is said, by whom, and how it is asked.

    train: one of eight is of our own texts, one a list of rare words. test: real and our own ones in turn, all at the
    mood's own speed. Texts begin anew when they are used up, by then with other speakers.
    """
    test = split == "test"
    kinds = {kind: [t for t in texts if t.kind == kind and t.held_out == test] for kind in ("own", "real", "rare")}
    order = ("real", "own") if test else ("real", "real", "own", "real", "real", "real", "rare", "real")
    used, n = dict.fromkeys(kinds, 0), 0
    while True:
        rng = random.Random(f"{split} {n // len(CELLS)}")
        for speaker, mood in rng.sample(CELLS, len(CELLS)):
            kind = order[n % len(order)]
            if not kinds[kind]:
                kind = next(name for name in ("real", "own") if kinds[name])
            text = kinds[kind][used[kind] % len(kinds[kind])]
            rate = (1 + JITTER) ** rng.uniform(-1, 1) if not test and rng.random() < JITTERED else 1.0
            used[kind] += 1
            n += 1
            how = manner(SPEAKERS[speaker], MOODS[mood], round(rate, 3))
            yield Record(text.text, text.tokens, text.words, text.kind, speaker, mood, round(rate, 3)), how


def strangers(texts: list[Text]) -> Iterator[tuple[Record, Manner]]:
    """What the judge learns from (train.recognise): sentences that are not held out, each by another voice."""
    rng = random.Random("judge")
    while True:
        for text in rng.sample(texts, len(texts)):
            how = stranger(rng)
            if not text.held_out:
                yield Record(text.text, text.tokens, text.words, text.kind, NOBODY, NOBODY, 1.0), how


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
        before = records(shard)
        last = before[-1] if before else None
        samples, values = (last.sample + last.samples, last.value + last.values) if last else (0, 0)
        wav = np.round(said.wav.clip(-1, 1) * 32767).astype("<i2")
        curves = np.stack((said.f0, said.energy), 1).astype("<f4")
        put(shard / "sound.i16", 2 * samples, wav.tobytes())
        put(shard / "curves.f32", 8 * values, curves.tobytes())
        row = asdict(record) | {"spans": said.spans, "sample": samples, "samples": len(wav)}
        row |= {"value": values, "values": len(curves)}
        put(shard / "said.jsonl", whole_lines(shard), (json.dumps(row, ensure_ascii=False) + "\n").encode())
        self.count += 1


def put(path: Path, at: int, content: bytes) -> None:
    """Write there, and nothing after it."""
    path.touch()
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)
        file.truncate()


def whole_lines(shard: Path) -> int:
    """Bytes of said.jsonl without a last line that was cut off."""
    path = shard / "said.jsonl"
    return path.read_bytes().rfind(b"\n") + 1 if path.exists() else 0


def records(shard: Path) -> list[Record]:
    size = whole_lines(shard)
    lines = (shard / "said.jsonl").read_bytes()[:size].splitlines() if size else []
    return [Record(**json.loads(line)) for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, help="folder of texts.jsonl; the data go there")
    parser.add_argument("--teacher", type=Path, help="where its weights are or will be (RUNS/teacher)")
    parser.add_argument("--utterances", type=int, default=12_000, help="to learn from")
    parser.add_argument("--judge", type=int, default=2_000, help="utterances of other voices, for the judge")
    args = parser.parse_args()
    teacher, texts = Teacher(args.teacher or args.runs / "teacher"), load(args.runs / "texts.jsonl")
    plans = {"train": plan(texts, "train"), "test": plan(texts, "test"), "judge": strangers(texts)}
    shards = {split: Shards(args.runs / "said" / split) for split in plans}
    for split, given in plans.items():
        for _ in range(shards[split].count):
            next(given)
    seconds = 0.0
    while shards["train"].count < args.utterances or shards["judge"].count < args.judge:
        split = "test" if shards["test"].count * TEST < shards["train"].count else "train"
        if shards["train"].count >= args.utterances * (shards["judge"].count + 1) / (args.judge + 1):
            split = "judge"  # from the first to the last shard there are as many as shall be
        record, how = next(plans[split])
        said = teacher.say(record.tokens, record.words, how)
        shards[split].add(record, said)
        seconds += len(said.wav) / RATE
        if shards["train"].count % 20 == 0 and split == "train":
            print(
                f"train {shards['train'].count}  test {shards['test'].count}  {seconds / 60:.1f} min in this run",
                flush=True,
            )


if __name__ == "__main__":
    main()
