"""Stand-ins for recordings, to try train.recordings on: two blends of the teacher's that no voice has heard.

`python -m train.standins FOLDER --runs RUNS` renders them, throws the times away, has them found again and says how far
off they are.
"""

import argparse
from pathlib import Path

import numpy as np
import soundfile
import torch
from tqdm import tqdm

from models.checkpoint import load_checkpoint
from train.data import RUNS, heard, through
from train.generate import Record
from train.recordings import prepare, read_filelist
from train.speakers import Speaker
from train.teacher import RATE, Manner, Teacher
from train.texts import OWN, Text, read, texts

STRANGERS = {
    "阿明": Speaker("阿明", 50, 300, 0, {"zm_yunyang": 2, "am_adam": 1}, True, 115.0),
    "阿芳": Speaker("阿芳", 90, 450, 0, {"zf_xiaoyi": 2, "zf_xiaoxiao": 2, "af_bella": 1}, False, 235.0),
}


def render(folder: Path, minutes: float, teacher: Teacher) -> dict[Path, list[float]]:
    """Wavs and list.txt -> each wav's path and the true seconds at which its syllables start."""
    folder.mkdir(parents=True, exist_ok=True)
    truth, lines = {}, []
    for number, speaker in enumerate(STRANGERS.values()):
        seconds = 0.0
        for text in tqdm(texts(read(OWN), "own", 8), desc=speaker.name, mininterval=10):
            said = teacher.say(text.tokens, text.words, Manner(speaker.voices, centre=speaker.centre))
            path = folder / f"r{number}-{len(truth)}.wav"
            soundfile.write(path, said.wav, RATE)
            truth[path] = starts(text, said, speaker)
            lines.append(f"{path.name}|{speaker.name}|ZH|{text.text}")
            seconds += len(said.wav) / RATE
            if seconds > minutes * 60:
                break
    (folder / "list.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return truth


def starts(text: Text, said, speaker: Speaker) -> list[float]:
    record = Record(text.text, text.tokens, text.words, text.kind, 0, 0, 1.0, said.spans)
    f0 = through(said.f0.astype(np.float64), speaker)
    return [start / RATE for start, *_ in heard(record, said.wav, f0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="for the wavs and list.txt")
    parser.add_argument("--minutes", type=float, default=6, help="of each of the two")
    parser.add_argument("--runs", type=Path, default=RUNS / "own", help="folder of data and states")
    parser.add_argument("--from", dest="voice", type=Path, default=Path("voices/xiaoyu"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    truth = render(args.folder, args.minutes, Teacher(args.runs / "teacher"))
    net, _ = load_checkpoint(args.voice / "G.safetensors")
    found = prepare(read_filelist(args.folder / "list.txt"), net, args.runs / "data")
    apart = 1000 * np.concatenate([np.abs(np.subtract(starts, truth[path])) for path, starts in found])
    spread = f"{np.percentile(apart, 90):.0f} ms in nine of ten, {100 * (apart > 50).mean():.1f} % more than 50 ms"
    print(f"{len(apart)} syllables are found {np.median(apart):.0f} ms (median) from where they start, {spread}")


if __name__ == "__main__":
    main()
