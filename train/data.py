"""Teacher audio, latents and durations on disk: `python -m train.data` (about three minutes a speaker).

runs/data/<split>-<speaker>/wav.npy      int16 samples, all utterances one after another
                            centres.npy  int32 [frames], the sample of its utterance in each frame's middle
                            latent.npy   float16 [frames, 96]
                            items.json   one Item a line
"""

import json
import random
from dataclasses import asdict, dataclass, replace
from itertools import accumulate, groupby
from pathlib import Path

import numpy as np
from tqdm import tqdm

from train.espeak import Event, Style, Teacher
from train.features import HOP, SAMPLE_RATE, latent
from train.loop import RUNS, options
from train.sentences import is_syllable, sentences
from train.speakers import EMOTIONS, SPEAKERS, write_cast

LEAD, TAIL = 4, 9  # frames of silence around an utterance: blank, "_", blank; and the end's mark, blank, "_", blank
JITTER = 0.25  # the rate varies by up to this much either way, so that length_scale is inside the data
ENDS = (".", "?", "!", "…")
# By the mark at a sentence's end: semitones by which its last syllable, the one before … are moved, and its first ones.
# Only near an end: the text side sees a few syllables far, and what it cannot foretell blurs its pitch.
SHAPES = {
    ".": ((-1.3, -0.8, -0.4, -0.1), (0.4, 0.2)),
    "…": ((-0.8, -0.5, -0.2), (0.4, 0.2)),
    "!": ((-1.0, -0.5, -0.2), (0.8, 0.4)),
    "?": ((1.4, 0.8, 0.3), (0.2,)),
    ",": ((), (0.4, 0.2)),
}
SEMITONE = 0.19  # of one step of espeak-ng's pitch slider


@dataclass(frozen=True)
class Item:
    tokens: list[str]
    durations: list[int]  # frames of each phone and blank: "_", syllables (two phones) and marks (one), "_"
    speaker: int
    emotion: int
    rate: float  # spoken rate over the emotion's own
    start: int = 0  # first frame of the file
    frames: int = 0
    first: int = 0  # sample of the file
    samples: int = 0


def melody(tokens: list[str]) -> list[float]:
    """Semitones by which each token is spoken higher than the teacher would, who speaks all sentences alike.

    A sentence begins a little higher and falls at its end; a question rises there; before a comma it stays.
    """
    out: list[float] = []
    while len(out) < len(tokens):
        rest = tokens[len(out) :]
        length = next((i + 1 for i, token in enumerate(rest) if token in ENDS), len(rest))
        last, first = SHAPES.get(rest[length - 1], SHAPES["."])
        spoken = list(accumulate(map(is_syllable, rest[:length])))
        places = (((last, spoken[-1] - n), (first, n - 1)) for n in spoken)
        out += [sum(moves[k] for moves, k in place if 0 <= k < len(moves)) for place in places]
    return out


def pinyin(tokens: list[str], raised: list[float] | None = None, pitch: int = 50) -> str:
    """What espeak-ng reads; a quotation mark is silent, and the last mark must not start another pause.

    raised: semitones of each token above `pitch`, the slider's place.
    """
    out = []
    for i, token in enumerate(tokens):
        if is_syllable(token):
            place = round(pitch + raised[i] / SEMITONE) if raised else pitch
            out.append(token if place == pitch else f'<prosody pitch="{place}"> {token} </prosody>')
        elif token != "'" and any(map(is_syllable, tokens[i:])):
            out.append("," if token in ",-" else ";")
    return " ".join(out) + " . "


def syllable_intervals(events: list[Event], count: int) -> list[tuple[int, int, int]]:
    """(start, end of the initial, end) in samples of each syllable; raises ValueError if they cannot be matched."""
    rows, start, phonemes = [], 0, list[int]()
    for event in events:
        if event.kind == "word":
            start, phonemes = event.sample, []
        elif event.name == "_|" and phonemes:
            # A single phoneme (a1, yu2, er4) still has two phones here: the first takes a quarter.
            split = phonemes[1] if len(phonemes) > 1 else start + (event.sample - start) // 4
            rows.append((start, split, event.sample))
            phonemes = []
        elif not event.name.startswith("_"):
            phonemes.append(event.sample)
    if len(rows) != count:
        raise ValueError(f"{count} syllables asked, {len(rows)} heard")
    return rows


def vowel_first(syllable: str) -> bool:
    return syllable[0] in "aeo"


def timing(tokens: list[str], intervals: list[tuple[int, int, int]]) -> tuple[list[int], np.ndarray, int]:
    """Frames of every phone and blank, the sample at each frame's centre, samples of the whole.

    Each initial, final and pause is rounded to whole frames by itself, and its frames are spread over it. So a phone
    always begins where a frame does, and a burst lies at the same place in its frames: where in a frame a phone happens
    to begin, the text cannot tell, and a text side that is shown it anyhow blurs every initial by half a frame.
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
    syllables = [(start + LEAD * HOP, split + LEAD * HOP, end + LEAD * HOP) for start, split, end in intervals]
    for spoken, group in groupby(tokens, is_syllable):
        if not spoken:
            count = len(list(group))
            until = syllables[0][0] if syllables else samples[-1] + (TAIL - 4) * HOP
            left = max(2 * count, round((until - samples[-1]) / HOP))
            reach(edges[-1] + left, until)
            for k in range(count, 0, -1):
                share = left // k
                left -= share
                blank = max(1, share // 5)
                durations += [share - blank, blank]
            continue
        for token in group:
            start, split, end = syllables.pop(0)
            if vowel_first(token):
                split = start + (end - start) // 4
            initial = max(1, round((split - samples[-1]) / HOP))
            if initial > 2:  # its end is what is heard: there frames keep their distance
                reach(edges[-1] + 2, split - (initial - 2) * HOP)
            reach(edges[-1] + initial - 2 * (initial > 2), split)
            final = max(3, round((end - samples[-1]) / HOP))
            reach(edges[-1] + final, end)
            durations += [initial, final // 3, final - 2 * (final // 3), final // 3]
    rest([3, 1])  # "_", blank
    return durations, np.interp(np.arange(edges[-1]) + 0.5, edges, samples).astype(np.int32), samples[-1]


def utterance(
    teacher: Teacher, tokens: list[str], speaker: int, style: Style
) -> tuple[np.ndarray, list[int], np.ndarray]:
    """-> samples int16, durations, the sample at each frame's centre."""
    samples, events = teacher.say(pinyin(tokens, melody(tokens), style.pitch), f"s{speaker}", style)
    durations, centres, length = timing(tokens, syllable_intervals(events, sum(map(is_syllable, tokens))))
    wav = np.zeros(length, np.int16)
    inside = samples[: length - LEAD * HOP]
    wav[LEAD * HOP : LEAD * HOP + len(inside)] = inside
    return wav, durations, centres


def write(folder: Path, rows: list[tuple[np.ndarray, np.ndarray, np.ndarray, Item]]) -> None:
    """Waves int16, the samples of their frames' centres, latents, and who says what: the layout that corpus() reads."""
    folder.mkdir(parents=True, exist_ok=True)
    waves, centres, latents, items = zip(*rows, strict=True)
    np.save(folder / "wav.npy", np.concatenate(waves))
    np.save(folder / "centres.npy", np.concatenate(centres).astype(np.int32))
    np.save(folder / "latent.npy", np.concatenate(latents).astype(np.float16))
    starts, firsts = (np.cumsum([0, *map(len, parts)]).tolist() for parts in (latents, waves))
    with (folder / "items.json").open("w", encoding="utf-8") as file:
        for item, start, first, values, wav in zip(items, starts[:-1], firsts[:-1], latents, waves, strict=True):
            placed = replace(item, start=start, frames=len(values), first=first, samples=len(wav))
            file.write(json.dumps(asdict(placed), ensure_ascii=False) + "\n")


def build(split: str, speaker: int, minutes: float, seed: int, jitter: float, folder: Path) -> None:
    """The data of one speaker, moods in turn. jitter: of the rate."""
    folder.mkdir(parents=True, exist_ok=True)
    teacher, person = Teacher(folder, {f"s{i}": s.variant for i, s in enumerate(SPEAKERS)}), SPEAKERS[speaker]
    assert teacher.sample_rate == SAMPLE_RATE
    rng, source, styles = random.Random(seed), enumerate(sentences(seed)), list(EMOTIONS.values())
    rows: list[tuple[np.ndarray, np.ndarray, np.ndarray, Item]] = []
    done, failed, most = 0, 0, int(minutes * 60 * SAMPLE_RATE / HOP)  # frames, sentences, frames
    heights: list[list[np.ndarray]] = [[np.zeros(0)] for _ in EMOTIONS]
    with tqdm(total=most, desc=f"{split} {person.name}", unit="frame", mininterval=10) as bar:
        while done < most or not rows:
            n, tokens = next(source)
            emotion, rate = n % len(styles), (1 + jitter) ** rng.uniform(-1, 1)
            style = replace(styles[emotion], rate=round(styles[emotion].rate * rate))
            try:
                wav, durations, centres = utterance(teacher, tokens, speaker, style)
            except ValueError:
                failed += 1
                continue
            values, f0 = latent(wav / 32768.0, person.low, person.high, centres)
            item = Item(tokens, durations, speaker, emotion, style.rate / styles[emotion].rate)
            rows.append((wav, centres, values.astype(np.float16), item))
            heights[emotion].append(f0[f0 > 0])
            done += len(f0)
            bar.update(len(f0))
    write(folder, rows)
    for name, parts in zip(EMOTIONS, heights, strict=True):
        f0 = np.concatenate(parts)
        low, middle, high = np.percentile(f0, [5, 50, 95]) if len(f0) else (0, 0, 0)
        print(f"{person.name} {name}: F0 median {middle:.1f} Hz, 5-95 % {low:.0f} to {high:.0f}")
    print(f"{len(rows)} utterances, {done * HOP / SAMPLE_RATE / 60:.1f} minutes, {failed} not understood")


def main() -> None:
    args = options(__doc__, speaker=int, minutes=100.0, test_minutes=5.0, seed=1, runs=RUNS)
    folder = args.runs / "data"
    for speaker in range(len(SPEAKERS)) if args.speaker is None else [args.speaker]:
        seed = 1000 * args.seed + 10 * speaker
        build("test", speaker, args.test_minutes, seed + 1, 0.0, folder / f"test-{speaker}")
        build("train", speaker, args.minutes, seed, JITTER, folder / f"train-{speaker}")
    write_cast(folder, SPEAKERS)


if __name__ == "__main__":
    main()
