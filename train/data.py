"""Teacher audio, latents and durations on disk: `python -m train.data` (about three minutes a speaker).

runs/data/<split>-<speaker>/wav.npy      int16 samples, all utterances one after another
                            latent.npy   float16 [frames, 96]
                            f0.npy       float32 [frames]
                            items.json   one Item a line
"""

import argparse
import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from train.espeak import Event, Style, Teacher
from train.features import HOP, SAMPLE_RATE, latent
from train.sentences import Token, sentences
from train.speakers import EMOTIONS, SPEAKERS, write_cast

RUNS = Path(__file__).parent / "runs"
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
    start: int  # first frame
    frames: int
    tokens: list[str]
    durations: list[int]  # frames of each phone and blank: "_", syllables (two phones) and marks (one), "_"
    speaker: int
    emotion: int
    rate: float  # spoken rate over the emotion's own


def melody(tokens: list[Token]) -> list[float]:
    """Semitones by which each token is spoken higher than the teacher would, who speaks all sentences alike.

    A sentence begins a little higher and falls at its end; a question rises there; before a comma it stays.
    """
    out: list[float] = []
    while len(out) < len(tokens):
        rest = tokens[len(out) :]
        length = next((i + 1 for i, token in enumerate(rest) if token.text in ENDS), len(rest))
        last, first = SHAPES.get(rest[length - 1].text, SHAPES["."])
        spoken, count = 0, sum(not token.is_mark for token in rest[:length])
        for token in rest[:length]:
            spoken += not token.is_mark
            out.append(
                sum(moves[k] for moves, k in ((last, count - spoken), (first, spoken - 1)) if 0 <= k < len(moves))
            )
    return out


def pinyin(tokens: list[Token], raised: list[float] | None = None, pitch: int = 50) -> str:
    """What espeak-ng reads; a quotation mark is silent, and the last mark must not start another pause.

    raised: semitones of each token above `pitch`, the slider's place.
    """
    out = []
    for i, token in enumerate(tokens):
        if not token.is_mark:
            place = round(pitch + raised[i] / SEMITONE) if raised else pitch
            out.append(token.text if place == pitch else f'<prosody pitch="{place}"> {token.text} </prosody>')
        elif token.text == "'" or i == len(tokens) - 1 or all(t.is_mark for t in tokens[i:]):
            continue
        else:
            out.append("," if token.text in ",-" else ";")
    return " ".join(out) + " . "


def syllable_intervals(events: list[Event], count: int) -> list[tuple[int, int, int]]:
    """(start, end of the initial, end) in samples of each syllable; raises ValueError if they cannot be matched."""
    rows, start, phonemes = [], 0, []
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


def boundaries(tokens: list[Token], intervals: list[tuple[int, int, int]], lead: int) -> tuple[list[float], int]:
    """Ends, in frames, of every phone and blank. An initial is its interval; a final is three thirds: blank, final,
    blank. A pause belongs to its marks. -> ends, number of frames."""
    to_frame = lambda sample: lead + sample / HOP  # noqa: E731
    ends: list[float] = [1, lead - 1, lead]  # blank, "_", blank
    i = 0
    for n, token in enumerate(tokens):
        if not token.is_mark:
            start, split, end = intervals[i]
            i += 1
            if vowel_first(token.text):
                split = start + (end - start) // 4
            s, e = to_frame(split), to_frame(end)
            ends += [s, s + (e - s) / 3, s + 2 * (e - s) / 3, e]
            continue
        run = 1  # marks in a row share the pause
        while n + run < len(tokens) and tokens[n + run].is_mark:
            run += 1
        begin = ends[-1]
        if i < len(intervals):
            until = to_frame(intervals[i][0])
            ends += [begin + (until - begin) / run * 0.8, begin + (until - begin) / run]
        else:
            ends += [begin + (TAIL - 4) / run - 1, begin + (TAIL - 4) / run]
    ends += [ends[-1] + 3, ends[-1] + 4]  # "_", blank
    rounded = []
    for end in ends:
        rounded.append(max(round(end), rounded[-1] + 1 if rounded else 1))
    return rounded, rounded[-1]


def utterance(teacher: Teacher, tokens: list[Token], speaker: int, style: Style):
    """-> samples int16 (a whole number of frames), durations."""
    samples, events = teacher.say(pinyin(tokens, melody(tokens), style.pitch), f"s{speaker}", style)
    intervals = syllable_intervals(events, sum(not t.is_mark for t in tokens))
    ends, total = boundaries(tokens, intervals, LEAD)
    wav = np.zeros(total * HOP, np.int16)
    spoken = samples[: min(len(samples), (total - LEAD) * HOP)]
    wav[LEAD * HOP : LEAD * HOP + len(spoken)] = spoken
    return wav, np.diff([0, *ends]).tolist()


def build(split: str, speaker: int, minutes: float, seed: int, jitter: float, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    teacher = Teacher(folder, {f"s{i}": s.variant for i, s in enumerate(SPEAKERS)})
    assert teacher.sample_rate == SAMPLE_RATE
    rng = random.Random(seed)
    wavs, latents, pitches, items, start, failed = [], [], [], [], 0, 0
    wanted = int(minutes * 60 * SAMPLE_RATE / HOP)
    with tqdm(total=wanted, desc=f"{split} {SPEAKERS[speaker].name}", unit="frame", mininterval=10) as bar:
        for n, tokens in enumerate(sentences(seed)):
            emotion = n % len(EMOTIONS)
            base = list(EMOTIONS.values())[emotion]
            rate = (1 + jitter) ** rng.uniform(-1, 1)
            style = Style(round(base.rate * rate), base.pitch, base.range, base.volume)
            try:
                wav, durations = utterance(teacher, tokens, speaker, style)
            except ValueError:
                failed += 1
                continue
            values, f0 = latent(wav / 32768.0, SPEAKERS[speaker].low, SPEAKERS[speaker].high)
            wavs.append(wav)
            latents.append(values.astype(np.float16))
            pitches.append(f0.astype(np.float32))
            rate = style.rate / base.rate
            items.append(Item(start, len(f0), [t.text for t in tokens], durations, speaker, emotion, rate))
            start += len(f0)
            bar.update(len(f0))
            if start >= wanted:
                break
    np.save(folder / "wav.npy", np.concatenate(wavs))
    np.save(folder / "latent.npy", np.concatenate(latents))
    np.save(folder / "f0.npy", np.concatenate(pitches))
    lines = [json.dumps(asdict(item), ensure_ascii=False) for item in items]
    (folder / "items.json").write_text("\n".join(lines) + "\n")
    f0 = np.concatenate(pitches)
    for e, name in enumerate(EMOTIONS):
        part = np.concatenate([f0[i.start : i.start + i.frames] for i in items if i.emotion == e])
        print(f"{SPEAKERS[speaker].name} {name}: F0 median {np.median(part[part > 0]):.1f} Hz, "
              f"5-95 % {np.percentile(part[part > 0], [5, 95]).round(0)}")  # fmt: skip
    print(f"{len(items)} utterances, {start * HOP / SAMPLE_RATE / 60:.1f} minutes, {failed} not understood")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speaker", type=int, choices=range(len(SPEAKERS)), help="only this one (default: all)")
    parser.add_argument("--minutes", type=float, default=100, help="of speech for each speaker")
    parser.add_argument("--test-minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of data and states")
    args = parser.parse_args()
    folder = args.runs / "data"
    for speaker in range(len(SPEAKERS)) if args.speaker is None else [args.speaker]:
        seed = 1000 * args.seed + 10 * speaker
        build("test", speaker, args.test_minutes, seed + 1, 0.0, folder / f"test-{speaker}")
        build("train", speaker, args.minutes, seed, JITTER, folder / f"train-{speaker}")
    write_cast(folder, SPEAKERS)


if __name__ == "__main__":
    main()
