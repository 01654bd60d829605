"""How near a voice comes to its teacher on held-out sentences, with its own durations.

`python -m train.evaluate voices/xiaoyu`

Frames are matched by dynamic time warping on log-mels. With runs/recogniser.pt (train.recognise) phone and tone
errors are counted too, for the voice and for the teacher's own audio. It measures faithfulness to the teacher,
not naturalness: look at the pictures (--plots FOLDER) as well.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from models.checkpoint import load_checkpoint
from models.synthesizer import Synthesizer, align, sample_prior
from train.common import Utterance, corpus, speakers
from train.data import RUNS
from train.features import HOP, SAMPLE_RATE, log_mel, pitch
from train.speakers import EMOTIONS, SPEAKERS


@torch.inference_mode()
def speak(net: Synthesizer, u: Utterance, noise_scale: float = 0.6, length_scale: float = 1.0, seed: int = 0):
    """-> float samples, durations [T]."""
    g = speakers(net, torch.tensor([u.item.speaker]))
    mask = torch.ones(1, 1, len(u.phones))
    emotion = torch.eye(len(EMOTIONS))[[u.item.emotion]]
    zeros = torch.zeros_like(u.phones)[None]
    prior = net.encode(u.phones[None], u.tones[None], zeros, mask, (), emotion, g, torch.zeros(1, 2, 1), 0.0)
    durations = align(prior.log_durations, mask, length_scale)[0]
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(prior.mean.shape[1], int(durations.sum()), generator=generator)
    z_p = sample_prior(prior.mean[0], prior.log_std[0], durations, noise, noise_scale)[None]
    wav = net.decode(z_p, torch.ones(1, 1, z_p.shape[-1]), g)
    return wav[0, 0].numpy().astype(np.float64), durations


def warp(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Dynamic time warping of [N, C] and [M, C], L1: the matched indices of both."""
    n, m = len(a), len(b)
    cost = np.abs(a[:, None] - b[None]).mean(2)
    total = np.full((n + 1, m + 1), np.inf)
    total[0, 0] = 0
    for d in range(2, n + m + 1):  # one anti-diagonal after another
        i = np.arange(max(1, d - m), min(n, d - 1) + 1)
        j = d - i
        best = np.minimum(np.minimum(total[i - 1, j], total[i, j - 1]), total[i - 1, j - 1])
        total[i, j] = cost[i - 1, j - 1] + best
    i, j, path = n, m, []
    while i and j:
        path.append((i - 1, j - 1))
        step = np.argmin((total[i - 1, j - 1], total[i - 1, j], total[i, j - 1]))
        i, j = (i - 1, j - 1) if step == 0 else (i - 1, j) if step == 1 else (i, j - 1)
    left, right = np.array(path[::-1]).T
    return left, right


def final_frames(u: Utterance) -> list[tuple[int, int, int]]:
    """(tone, first frame, end) of each final: blank, final, blank."""
    ends = np.cumsum(u.durations.numpy())
    rows = [t for t in range(len(u.tones)) if u.tones[t]][1::2]
    return [(int(u.tones[t]), int(ends[t - 2]), int(ends[t + 1])) for t in rows]


def semitones(f0: np.ndarray) -> np.ndarray:
    return 12 * np.log2(np.maximum(f0, 1) / 100)


def compare(u: Utterance, wav: np.ndarray) -> dict:
    speaker = SPEAKERS[u.item.speaker]
    teacher = u.wav / 32768.0
    mel_t, mel_v = log_mel(teacher), log_mel(wav)
    i, j = warp(mel_t, mel_v)
    f0_t, _ = pitch(teacher, speaker.low, speaker.high)
    f0_v, _ = pitch(wav, speaker.low * 0.8, speaker.high * 1.3)
    a, b = f0_t[i], f0_v[j]
    both = (a > 0) & (b > 0)
    contours = defaultdict(list)
    for tone, start, end in final_frames(u):
        inside = both & (i >= start) & (i < end)
        if inside.sum() >= 4:
            contours[tone].append((semitones(a[inside]), semitones(b[inside])))
    speech = (mel_t.max(1) > -7)[i]
    return {
        "mel": np.abs(mel_t[i] - mel_v[j])[speech].mean(),
        "gross": (np.abs(np.log2(b[both] / a[both])) > np.log2(1.2)).mean(),
        "voicing": ((a > 0) != (b > 0))[speech].mean(),
        "length": len(mel_v) / len(mel_t),
        "contours": contours,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of a voice: config.json and G.safetensors")
    parser.add_argument("--sentences", type=int, default=64, help="spread over speakers and emotions")
    parser.add_argument("--length-scale", type=float, default=1.0)
    parser.add_argument("--noise-scale", type=float, default=0.6)
    parser.add_argument("--recogniser", type=Path, default=RUNS / "recogniser.pt")
    parser.add_argument("--plots", type=Path, help="folder for spectrograms and wavs of the first sentences")
    args = parser.parse_args()
    torch.set_num_threads(1)
    net, _ = load_checkpoint(args.folder / "G.safetensors")
    recogniser = None
    if args.recogniser.exists():
        from train.recognise import Recogniser

        recogniser = Recogniser.load(args.recogniser)
    groups = defaultdict(list)
    for u in corpus("test"):
        groups[u.item.speaker, u.item.emotion].append(u)
    each = max(1, args.sentences // len(groups))
    results, contours = [], defaultdict(list)
    errors = defaultdict(lambda: np.zeros(4))  # phones wrong, phones, tones wrong, tones
    for (speaker, emotion), rows in tqdm(groups.items(), mininterval=10):
        for n, u in enumerate(rows[:each]):
            wav, _ = speak(net, u, args.noise_scale, args.length_scale)
            row = compare(u, wav)
            for tone, pairs in row.pop("contours").items():
                contours[tone] += pairs
            results.append(row | {"speaker": speaker, "emotion": emotion})
            if recogniser:
                syllables = [t for t in u.item.tokens if t[-1].isdigit()]
                for who, samples in (("voice", wav), ("teacher", u.wav / 32768.0)):
                    counts = np.array(recogniser.errors(samples, syllables))
                    for key in (who, (who, speaker), (who, list(EMOTIONS)[emotion])):
                        errors[key] += counts
            if args.plots and n < 1:
                plot(args.plots / f"{SPEAKERS[speaker].name}-{list(EMOTIONS)[emotion]}", u, wav)
    print(f"{len(results)} sentences, length scale {args.length_scale}, noise scale {args.noise_scale}")
    for key in ("mel", "gross", "voicing", "length"):
        by_speaker = "  ".join(
            f"{s.name} {np.mean([r[key] for r in results if r['speaker'] == i]):.3f}" for i, s in enumerate(SPEAKERS)
        )
        print(f"{key:8s} {np.mean([r[key] for r in results]):.3f}   {by_speaker}")
    for tone, pairs in sorted(contours.items()):
        rmse = np.sqrt(np.mean(np.concatenate([(a - b) ** 2 for a, b in pairs])))
        middle = np.median(np.concatenate([np.abs(a - b) for a, b in pairs]))
        r = [np.corrcoef(a, b)[0, 1] for a, b in pairs if a.std() > 0.2 and b.std() > 0.05]
        print(f"tone {tone}   {len(pairs)} finals  RMSE {rmse:.2f} st  median {middle:.2f} st  r {np.mean(r):.2f}")
    for key, (wrong, phones, off, tones) in errors.items():
        name = key if isinstance(key, str) else f"{key[0]} {SPEAKERS[key[1]].name if key[1] in (0, 1) else key[1]}"
        print(f"{name:18s} phone errors {100 * wrong / phones:.1f} %  tone errors {100 * off / max(tones, 1):.1f} %")
    print(json.dumps({name: float(np.mean([r[name] for r in results])) for name in ("mel", "gross")}))


def plot(stem: Path, u: Utterance, wav: np.ndarray) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import soundfile

    stem.parent.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(2, 1, figsize=(12, 7))
    for axis, title, samples in ((axes[0], "teacher", u.wav / 32768.0), (axes[1], "voice", wav)):
        axis.specgram(samples + 1e-6, NFFT=1024, noverlap=1024 - HOP // 2, Fs=SAMPLE_RATE, vmin=-140, vmax=-30)
        axis.set_ylim(0, 5000)
        axis.set_title(f"{title}: {' '.join(u.item.tokens)}", fontsize=8)
    figure.tight_layout()
    figure.savefig(stem.with_suffix(".png"), dpi=70)
    plt.close(figure)
    soundfile.write(stem.with_suffix(".wav"), wav, SAMPLE_RATE)
    soundfile.write(stem.with_suffix(".teacher.wav"), u.wav, SAMPLE_RATE)


if __name__ == "__main__":
    main()
