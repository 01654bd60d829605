"""What the teacher said, as the stages learn from it: `python -m train.data`, again whenever there is more.

runs/data/<split>-<shard>/wav.npy      int16 samples, all utterances one after another
                          centres.npy  int32 [frames], the sample of its utterance in each frame's middle
                          latent.npy   float16 [frames, 96]
                          items.json   one Item a line
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from train.features import HOP, SAMPLE_RATE, latent, periodicity, voicing
from train.generate import Record, records
from train.speakers import SPEAKERS, Speaker, write_cast
from train.teacher import RATE

RUNS = Path(__file__).parent / "runs"
LEAD, TAIL = 4, 9  # frames of silence around an utterance: blank, "_", blank; and the end's mark, blank, "_", blank
MARKS = frozenset(",.?!…'-")
LATE = (4, 3, 4)  # frames by which a start, an initial's end and an end are heard before the teacher's network has them
NEAR = 3  # frames, within which they are looked for
VOICELESS = tuple("b p f d t g k h j q x zh ch sh z c s".split())


@dataclass(frozen=True)
class Item:
    tokens: list[str]
    words: list[int]  # tokens of each
    durations: list[int]  # frames of each phone and blank: "_", syllables (two phones) and marks (one), "_"
    speaker: int
    emotion: int
    rate: float  # spoken rate over the emotion's own
    start: int = 0  # first frame of the file
    frames: int = 0
    first: int = 0  # sample of the file
    samples: int = 0


def timing(tokens: Sequence[str], intervals: Sequence[tuple[int, int, int]]) -> tuple[list[int], np.ndarray, int]:
    """Frames of every phone and blank, the sample at each frame's centre, samples of the whole.

    intervals: (start, end of the initial, end) of each syllable in samples. Each initial, final and pause is rounded to
    whole frames by itself, and its frames are spread over it. So a phone always begins where a frame does, and a burst
    lies at the same place in its frames: where in a frame a phone happens to begin, the text cannot tell, and a text
    side that is shown it anyhow blurs every initial by half a frame. (This teacher's phones do begin where frames do.)
    A final is three thirds, blank, final, blank; a pause belongs to its marks.
    """
    durations: list[int] = []
    edges, samples = [0], [0]  # what lies between two of these is stretched evenly

    def reach(edge: int, sample: int) -> None:
        samples.append(max(sample, samples[-1] + (edge - edges[-1]) * HOP // 2))  # never back, nor standing still
        edges.append(edge)

    def rest(parts: list[int]) -> None:
        durations.extend(parts)
        reach(edges[-1] + sum(parts), samples[-1] + sum(parts) * HOP)

    rest([1, LEAD - 2, 1])  # blank, "_", blank
    ahead = iter(intervals)
    upcoming = next(ahead, None)
    for is_mark, group in groupby(tokens, lambda token: token in MARKS):
        if is_mark:
            count = len(list(group))
            until = upcoming[0] + LEAD * HOP if upcoming else samples[-1] + (TAIL - 4) * HOP
            left = max(2 * count, round((until - samples[-1]) / HOP))
            reach(edges[-1] + left, until)
            for k in range(count, 0, -1):
                share = left // k
                left -= share
                blank = max(1, share // 5)
                durations += [share - blank, blank]
            continue
        for _ in group:
            _, split, end = (sample + LEAD * HOP for sample in upcoming)
            upcoming = next(ahead, None)
            initial = max(1, round((split - samples[-1]) / HOP))
            if initial > 2:  # its end is what is heard: there frames keep their distance
                reach(edges[-1] + 2, split - (initial - 2) * HOP)
                reach(edges[-1] + initial - 2, split)
            else:
                reach(edges[-1] + initial, split)
            final = max(3, round((end - samples[-1]) / HOP))
            reach(edges[-1] + final, end)
            durations += [initial, final // 3, final - 2 * (final // 3), final // 3]
    rest([3, 1])  # "_", blank
    return durations, np.interp(np.arange(edges[-1]) + 0.5, edges, samples).astype(np.int32), samples[-1]


def heard(record: Record, wav: np.ndarray, f0: np.ndarray) -> list[tuple[int, int, int]]:
    """Of each syllable (start, end of the initial, end) in samples where they are heard, not where the teacher's
    network counts them: that is about LATE frames later.

    Where an initial has no voice of its own, it lies between two voices, and that is looked for near there.
    """
    place = np.arange(len(wav) // HOP)
    voiced = voicing(*periodicity(wav, at(f0, (place + 0.5) * HOP)))
    onsets = np.flatnonzero(voiced[1:] & ~voiced[:-1]) + 1
    ends = np.flatnonzero(voiced[:-1] & ~voiced[1:]) + 1

    def near(places: np.ndarray, frame: int) -> int:
        best = places[np.abs(places - frame).argmin()] if len(places) else frame
        return int(best) if abs(best - frame) <= NEAR else frame

    out: list[tuple[int, int, int]] = []
    follows = False
    for token, span in zip(record.tokens, record.spans, strict=True):
        if token in MARKS:
            follows = False
            continue
        start, split, end = (max(0, round(sample / HOP) - late) for sample, late in zip(span, LATE, strict=True))
        if token.startswith(VOICELESS):
            split = near(onsets, split)
            start = min(near(ends, start) if follows else start, split - 1)
        if span[0] == span[1]:  # a vowel alone still has two phones here: the first takes a quarter
            split = start + max(1, round((end - start) / 4))
        if follows and start - out[-1][2] <= NEAR:  # words touch, whatever blank is between them
            out[-1] = (*out[-1][:2], start)
        out.append((start, split, max(end, split + 3)))
        follows = True
    return [tuple(HOP * frame for frame in row) for row in out]


def at(f0: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """The teacher's F0 at samples: its k-th value is what is heard at sample k * HOP."""
    return np.exp(np.interp(samples / HOP, np.arange(len(f0)), np.log(f0)))


def through(f0: np.ndarray, speaker: Speaker) -> np.ndarray:
    """F0 as it would be in what is silent, where the teacher's falls to nothing: a line between its neighbours."""
    known = np.flatnonzero(f0 >= speaker.low)
    if not len(known):
        return np.full(len(f0), speaker.centre)
    return np.exp(np.interp(np.arange(len(f0)), known, np.log(f0[known].clip(speaker.low, speaker.high))))


def utterance(record: Record, said: np.ndarray, f0: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, Item]:
    """The teacher's samples and its F0, a value each HOP samples -> samples, frames' centres, latent, item.

    Its own silence at both ends is cut to LEAD and TAIL.
    """
    f0 = through(f0.astype(np.float64), SPEAKERS[record.speaker])
    intervals = heard(record, said / 32768.0, f0)
    begin = intervals[0][0]
    durations, centres, length = timing(record.tokens, [tuple(s - begin for s in row) for row in intervals])
    wav, first = np.zeros(length, np.int16), begin - LEAD * HOP
    part = said[max(0, first) : first + length]
    wav[max(0, -first) :][: len(part)] = part
    values = latent(wav / 32768.0, at(f0, centres + first), centres)
    item = Item(record.tokens, record.words, durations, record.speaker, record.mood, record.rate)
    return wav, centres, values.astype(np.float16), item


def write(folder: Path, made: list[tuple[np.ndarray, np.ndarray, np.ndarray, Item]]) -> None:
    """Waves int16, the samples of their frames' centres, latents, and who says what: the layout that corpus() reads."""
    folder.mkdir(parents=True, exist_ok=True)
    waves, centres, latents, items = zip(*made, strict=True)
    np.save(folder / "wav.npy", np.concatenate(waves))
    np.save(folder / "centres.npy", np.concatenate(centres).astype(np.int32))
    np.save(folder / "latent.npy", np.concatenate(latents).astype(np.float16))
    starts, firsts = (np.cumsum([0, *map(len, parts)]) for parts in (latents, waves))
    placed = [
        replace(item, start=int(starts[i]), frames=len(latents[i]), first=int(firsts[i]), samples=len(waves[i]))
        for i, item in enumerate(items)
    ]
    lines = [json.dumps(asdict(item), ensure_ascii=False) for item in placed]
    (folder / "items.json").write_text("\n".join(lines) + "\n", encoding="utf-8")


def convert(shard: Path, folder: Path) -> float:
    """A shard of train.generate -> what corpus() reads; minutes of speech. Left alone if nothing was added since."""
    rows = records(shard)
    path = folder / "items.json"
    if not rows or (path.exists() and len(path.read_bytes().splitlines()) == len(rows)):
        return sum(row.samples for row in rows) / RATE / 60
    sound = np.memmap(shard / "sound.i16", "<i2", "r")
    curves = np.memmap(shard / "curves.f32", "<f4", "r").reshape(-1, 2)
    made = [
        utterance(row, sound[row.sample : row.sample + row.samples], curves[row.value : row.value + row.values, 0])
        for row in rows
    ]
    write(folder, made)
    return sum(len(wav) for wav, *_ in made) / SAMPLE_RATE / 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of data and states")
    args = parser.parse_args()
    folder = args.runs / "data"
    for split in ("test", "train"):
        minutes = [
            convert(shard, folder / f"{split}-{shard.name}") for shard in sorted((args.runs / "said" / split).iterdir())
        ]
        print(f"{split}: {len(minutes)} shards, {sum(minutes):.1f} minutes")
    write_cast(folder, SPEAKERS)


if __name__ == "__main__":
    main()
