"""Own recordings as training data: `python -m train.recordings FILELIST --runs FOLDER --from voices/xiaoyu`

FILELIST has the original's format, one `path|speaker|language|text` a line; language ZH. Paths start at the list's own
folder unless they are absolute. The readings come from text/; no times are needed: they are found by monotonic
alignment search, in a few rounds between the sounds of phones and where they lie.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from scipy.fft import dct
from tqdm import tqdm

from models.checkpoint import load_checkpoint
from models.stages import Sliders
from models.synthesizer import Synthesizer
from text import analyse
from train.common import speak, tokens_to_ids
from train.data import LEAD, TAIL, Item, vowel_first, write
from train.features import HOP, MEL_SLICE, SAMPLE_RATE, even_centres, latent, pitch
from train.loop import RUNS, options
from train.sentences import MARKS, is_syllable
from train.speakers import SPEAKERS, Speaker, write_cast

LEVEL = 0.08  # root mean square that recordings are brought to
QUIET = 40.0  # dB under the loudest frame: silence at the ends
SECONDS = (0.4, 20.0)
ROUNDS = 12  # of alignment
CEPSTRA = 16
TEST = 50  # one recording of so many is held out


@dataclass(frozen=True)
class Entry:
    path: Path
    speaker: str
    text: str


def read_filelist(path: Path) -> list[Entry]:
    """Raises ValueError with the line's number, what is wrong with it and what would be right."""
    entries = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        name, speaker, language, text = [field.strip() for field in f"{line}|||".split("|")][:4]
        sound = path.parent / name  # an absolute path stays as it is
        if not all((name, speaker, language, text)):
            fault = f"{line[:60]!r} is not path|speaker|language|text; write all four, with | between"
        elif language.upper() not in ("ZH", "CH"):
            fault = f"the language {language[:20]!r} cannot be trained; only ZH can, leave others out"
        elif not sound.is_file():
            fault = f"{name!r} is not there; correct the path, it starts at the list's folder"
        else:
            entries.append(Entry(sound, speaker, text))
            continue
        raise ValueError(f"{path.name}, line {number}: {fault}")
    if not entries:
        raise ValueError(f"{path.name} has no line; write one path|speaker|language|text for each recording")
    return entries


def tokens_of(text: str) -> list[str]:
    """Spoken readings and marks, the latter as the teacher's sentences have them: no two marks alike in a row."""
    out: list[str] = []
    for utterance in analyse(text):
        for char in utterance.chars:
            token = char.spoken or char.text
            if is_syllable(token) or (token in MARKS and (not out or out[-1] != token)):
                out.append(token)
    return out


def read_sound(path: Path) -> tuple[np.ndarray, int]:
    """Mono float at SAMPLE_RATE, of even level, without the silence at its ends; samples cut off at its start."""
    import librosa  # here, since it takes a while

    wav, rate = soundfile.read(path, dtype="float64", always_2d=True)
    wav = librosa.resample(wav.mean(1), orig_sr=rate, target_sr=SAMPLE_RATE)
    if not wav.any():
        return np.zeros(0), 0
    wav, (start, _) = librosa.effects.trim(wav, top_db=QUIET, frame_length=HOP, hop_length=HOP)
    wav = wav * LEVEL / np.sqrt(np.mean(wav**2))
    return wav * min(1, 0.98 / np.abs(wav).max()), int(start)


def monotonic_alignment(scores: np.ndarray) -> np.ndarray:
    """The durations that give the highest sum of scores (Kim et al., 2020, Glow-TTS, algorithm 1).

    scores [T, F], of token t at frame f; each token in its turn for one frame or more -> [T], their sum F. Raises
    ValueError if there are fewer frames than tokens.
    """
    from librosa.sequence import dtw

    tokens, frames = scores.shape
    if frames < tokens:
        raise ValueError(f"{tokens} tokens do not fit {frames} frames")
    # From one frame to the next: stay, or go on to the next token.
    _, path = dtw(C=-scores, step_sizes_sigma=np.array([[0, 1], [1, 1]]))
    return np.bincount(path[:, 0], minlength=tokens)


def syllables(tokens: list[str]) -> Iterator[tuple[str, int]]:
    """Each syllable, and the place of its initial among phones and blanks."""
    place = 3
    for token in tokens:
        if is_syllable(token):
            yield token, place
        place += 4 if is_syllable(token) else 2


def sounds(tokens: list[str]) -> list[str]:
    """What each phone and blank sounds like: an initial; a final's three thirds; a pause."""
    phones, _ = tokens_to_ids(tokens)
    out = ["pause"] * len(phones)
    for _, place in syllables(tokens):
        initial, final = phones[place], phones[place + 2]
        out[place : place + 4] = [f"i{initial}", f"f{final}.0", f"f{final}.1", f"f{final}.2"]
    return out


def cepstra(mel: np.ndarray) -> np.ndarray:
    """Scaled log-mels [F, MELS] -> cepstra less their mean, and their slope [F, 2 * CEPSTRA]."""
    values = dct(mel, axis=1, norm="ortho")[:, :CEPSTRA]
    values = values - values.mean(0) * (np.arange(CEPSTRA) > 0)  # loudness stays: it is what tells a pause
    return np.concatenate((values, np.gradient(values, axis=0)), axis=1)


def align_all(features: list[np.ndarray], names: list[list[str]], first: list[np.ndarray]) -> list[np.ndarray]:
    """Durations of every token, by rounds of: a Gaussian for each sound from where it lies now; search again.

    features [frames, 2 * CEPSTRA] of each recording; names: the sound of each token; first: durations to begin with.
    """
    x, table = np.concatenate(features), sorted({name for row in names for name in row})
    ids, durations, scale = [np.searchsorted(table, row) for row in names], first, x.std(0)
    for _ in tqdm(range(ROUNDS), desc="alignment"):
        sound = np.concatenate([np.repeat(row, d) for row, d in zip(ids, durations, strict=True)])  # of each frame
        groups = [x[sound == k] for k in range(len(table))]
        share = np.array(
            [[len(group) / (len(group) + 20)] for group in groups]
        )  # few frames say little of their spread
        mean, variance = (np.stack([getattr(group, name)(0) for group in groups]) for name in ("mean", "var"))
        deviation = np.sqrt(share * variance + (1 - share) * (0.5 * scale) ** 2) + 0.05 * scale
        durations = []
        for values, row in zip(features, ids, strict=True):
            apart = np.square((values - mean[row, None]) / deviation[row, None]).sum(2)
            durations.append(monotonic_alignment(-0.5 * apart - np.log(deviation[row]).sum(1)[:, None]))
    return durations


def stretched(net: Synthesizer, tokens: list[str], frames: int) -> np.ndarray:
    """The released voice's durations, made longer or shorter to fill the recording: where the search begins."""
    _, durations = speak(net, tokens, 0, 0, Sliders(), sound=False)
    ends = np.cumsum(durations.numpy()) / durations.sum().item() * frames
    rounded = np.zeros(len(ends) + 1, int)
    for i, end in enumerate(ends, 1):
        rounded[i] = max(rounded[i - 1] + 1, min(round(end), frames - (len(ends) - i)))
    return np.diff(rounded)


def intervals(tokens: list[str], durations: np.ndarray) -> list[tuple[int, int, int]]:
    """(start, end of the initial, end) in samples of each syllable, from the durations of phones and blanks."""
    ends = (HOP * np.cumsum(durations)).tolist()
    return [(ends[place - 1], ends[place], ends[place + 3]) for _, place in syllables(tokens)]


def even(tokens: list[str], durations: np.ndarray) -> list[int]:
    """As the released voice has them: a final in three even thirds, a quarter for an initial without sound."""
    out = durations.tolist()
    for token, place in syllables(tokens):
        whole = sum(out[place : place + 4])
        initial = max(1, round(whole / 4)) if vowel_first(token) else out[place]
        rest = whole - initial
        out[place : place + 4] = [initial, rest // 3, rest - rest // 3 - rest // 3, rest // 3]
    return out


def cast_of(pitches: dict[str, list[np.ndarray]]) -> tuple[Speaker, ...]:
    """Speakers with their F0 [voiced frames]. Each starts from the released one of nearest pitch that is still free."""
    free = {speaker.vector: np.sqrt(speaker.low * speaker.high) for speaker in SPEAKERS}
    out = list[Speaker]()
    for name, parts in sorted(pitches.items()):
        low, middle, high = np.percentile(np.concatenate(parts), [2, 50, 98])
        vector = min(free, key=lambda v: abs(np.log(free[v] / middle)), default=100 + len(out))
        free.pop(vector, None)
        out.append(Speaker(name, "", round(low / 1.3), round(high * 1.3), vector))
    return tuple(out)


@dataclass(frozen=True)
class Recording:
    entry: Entry
    tokens: list[str]
    wav: np.ndarray  # with LEAD and TAIL frames of silence
    f0: np.ndarray  # of its voiced frames
    cut: int  # samples that were cut off at its start


class LeftOut(ValueError):
    """Why a recording is not used."""


def recording(entry: Entry) -> Recording:
    """Raises LeftOut, or SystemExit if it cannot be read at all."""
    tokens = tokens_of(entry.text)
    try:
        wav, cut = read_sound(entry.path)
    except soundfile.LibsndfileError as error:
        raise SystemExit(f"{entry.path} is no sound that can be read ({error}); leave it out of the list") from None
    if not any(map(is_syllable, tokens)):
        raise LeftOut("nothing to say")
    if not SECONDS[0] * SAMPLE_RATE <= len(wav) <= SECONDS[1] * SAMPLE_RATE:
        raise LeftOut(f"not {SECONDS[0]:g} to {SECONDS[1]:g} s long")
    wav = np.concatenate((np.zeros(LEAD * HOP), wav, np.zeros(TAIL * HOP)))
    f0, _ = pitch(wav, 50, 550)
    if not (f0 > 0).any() or len(wav) // HOP < 2 * len(sounds(tokens)):
        raise LeftOut("no voice, or too short for its text")
    return Recording(entry, tokens, wav, f0[f0 > 0], cut)


def prepare(entries: list[Entry], net: Synthesizer, folder: Path) -> list[tuple[Path, list[float]]]:
    """Write the data of all speakers -> each recording's path and the seconds at which its syllables start."""
    rows, pitches, left_out = [], defaultdict[str, list[np.ndarray]](list), Counter[str]()
    for entry in tqdm(entries, desc="recordings", mininterval=10):
        try:
            rows.append(recording(entry))
            pitches[entry.speaker].append(rows[-1].f0)
        except LeftOut as reason:
            left_out[str(reason)] += 1
    if not rows:
        raise SystemExit(f"no recording is left: {dict(left_out)}; check the list's texts and sounds")
    print(f"{len(rows)} recordings; left out: {dict(left_out) or 'none'}")
    cast = cast_of(pitches)
    write_cast(folder, cast)
    starts = []
    for number, speaker in enumerate(cast):
        starts += align(folder, number, speaker, [row for row in rows if row.entry.speaker == speaker.name], net)
    return starts


def align(
    folder: Path, number: int, speaker: Speaker, rows: list[Recording], net: Synthesizer
) -> list[tuple[Path, list[float]]]:
    """Write one speaker's data -> as prepare()."""
    latents = [latent(row.wav, speaker.low, speaker.high)[0] for row in tqdm(rows, desc=speaker.name)]
    first = [stretched(net, row.tokens, len(values)) for row, values in zip(rows, latents, strict=True)]
    features = [cepstra(values[:, MEL_SLICE]) for values in latents]
    dataset, starts = [], []
    aligned = align_all(features, [sounds(row.tokens) for row in rows], first)
    for row, values, durations in zip(rows, latents, aligned, strict=True):
        item = Item(row.tokens, even(row.tokens, durations), number, 0, 1.0)
        samples = (row.wav[: len(values) * HOP] * 32767).astype(np.int16)
        dataset.append((samples, even_centres(len(samples)), values, item))
        begins = [start + row.cut - LEAD * HOP for start, _, _ in intervals(row.tokens, durations)]
        starts.append((row.entry.path, [begin / SAMPLE_RATE for begin in begins]))
    held_out = [i for i in range(len(dataset)) if i % TEST == TEST // 2] or [len(dataset) - 1]
    write(folder / f"test-{number}", [dataset[i] for i in held_out])
    write(folder / f"train-{number}", [m for i, m in enumerate(dataset) if i not in held_out or len(dataset) == 1])
    return starts


def main() -> None:
    args = options(__doc__, "filelist", runs=RUNS / "own", voice=Path("voices/xiaoyu"))
    torch.set_num_threads(1)
    net, _ = load_checkpoint(args.voice / "G.safetensors")
    try:
        entries = read_filelist(args.filelist)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from None
    prepare(entries, net, args.runs / "data")


if __name__ == "__main__":
    main()
