"""Stand-ins for recordings, to try train.recordings on: espeak-ng variants that no voice has heard, as wavs and a list.

`python -m train.standins FOLDER --runs RUNS` renders them, throws the times away, has them found again and says how far
off they are.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import torch
from tqdm import tqdm

from models.checkpoint import load_checkpoint
from train.data import pinyin, syllable_intervals
from train.espeak import Style, Teacher
from train.loop import RUNS, options
from train.recordings import prepare, read_filelist, tokens_of
from train.sentences import dictionary_readings, is_syllable
from train.speakers import variant

VARIANTS = {
    "阿明": variant("aming", "male", "92 138", (), "formant 1 97", "formant 2 98"),
    "阿芳": variant("afang", "female", "168 240", (), "formant 1 115", "formant 2 116"),
}


def texts(seed: int) -> Iterator[str]:
    """Chinese sentences without end, of frequent words."""
    rng = random.Random(seed)
    readings, weights = dictionary_readings(20_000)
    words = list(readings)
    while True:
        parts = ["".join(rng.choices(words, [weights[w] for w in words], k=rng.randint(2, 4))) for _ in range(2)]
        yield "，".join(parts[: rng.randint(1, 2)]) + rng.choice("。。。？！")


def render(folder: Path, minutes: float, seed: int) -> dict[Path, list[float]]:
    """Wavs and list.txt -> each wav's path and the true seconds at which its syllables start."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {name: f"r{i}" for i, name in enumerate(VARIANTS)}
    teacher = Teacher(folder, {names[name]: text for name, text in VARIANTS.items()})
    rng, truth, lines = random.Random(seed), dict[Path, list[float]](), list[str]()
    for name in VARIANTS:
        seconds, source = 0.0, texts(seed)
        with tqdm(total=round(minutes * 60), desc=name, mininterval=10) as bar:
            while seconds < minutes * 60:
                text = next(source)
                tokens = tokens_of(text)
                style = Style(round(160 * rng.uniform(0.85, 1.15)), 50, 55, 75)
                samples, events = teacher.say(pinyin(tokens), names[name], style)
                try:
                    intervals = syllable_intervals(events, sum(map(is_syllable, tokens)))
                except ValueError:
                    continue
                path = folder / f"{names[name]}-{len(truth)}.wav"
                soundfile.write(path, samples, teacher.sample_rate)
                truth[path] = [start / teacher.sample_rate for start, _, _ in intervals]
                lines.append(f"{path.name}|{name}|ZH|{text}")
                seconds += len(samples) / teacher.sample_rate
                bar.update(len(samples) // teacher.sample_rate)
    (folder / "list.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return truth


def main() -> None:
    args = options(__doc__, "folder", minutes=6.0, runs=RUNS / "own", voice=Path("voices/xiaoyu"))
    torch.set_num_threads(1)
    truth = render(args.folder, args.minutes, 5)
    net, _ = load_checkpoint(args.voice / "G.safetensors")
    found = prepare(read_filelist(args.folder / "list.txt"), net, args.runs / "data")
    apart = 1000 * np.concatenate([np.abs(np.subtract(starts, truth[path])) for path, starts in found])
    spread = f"{np.percentile(apart, 90):.0f} ms in nine of ten, {100 * (apart > 50).mean():.1f} % more than 50 ms"
    print(f"{len(apart)} syllables are found {np.median(apart):.0f} ms (median) from where they start, {spread}")


if __name__ == "__main__":
    main()
