"""Pictures of training and of what came of it, small PNGs. matplotlib is needed here only (requirements-train.txt)."""

import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch

from train.features import HOP, SAMPLE_RATE, log_mel, pitch
from train.speakers import EMOTIONS, Speaker

FIGURE = re.compile(r"([a-z]+) (-?\d+\.\d+)")


def save(path: Path, figure) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(path, dpi=70, pil_kwargs={"optimize": True})
    plt.close(figure)


def read_log(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Lines "step 12  mel 0.31  …" of a stage -> (step, value) of each figure."""
    out: dict[str, list[tuple[int, float]]] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        step = re.match(r"step (\d+)  ", line)
        for name, value in FIGURE.findall(line[step.end() :]) if step else ():
            out.setdefault(name, []).append((int(step[1]), float(value)))
    return out


def curves(path: Path, log: Path) -> None:
    """One small curve for each figure that a stage prints; nothing where it printed none."""
    figures = read_log(log)
    if not figures:
        return
    figure, axes = plt.subplots(1, len(figures), figsize=(2.6 * len(figures), 2.4), squeeze=False)
    for axis, (name, points) in zip(axes[0], figures.items(), strict=True):
        axis.plot(*np.array(points).T, linewidth=1)
        axis.set_title(f"{log.stem}: {name}", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    save(path, figure)


def spectrograms(path: Path, tokens: list[str], teacher: np.ndarray, voice: np.ndarray) -> None:
    """Teacher above, voice below, 0 to 8 kHz."""
    figure, axes = plt.subplots(2, 1, figsize=(9, 5))
    for axis, title, wav in ((axes[0], "teacher", teacher), (axes[1], "voice", voice)):
        axis.specgram(wav + 1e-6, NFFT=768, noverlap=768 - HOP // 2, Fs=SAMPLE_RATE, vmin=-130, vmax=-35, cmap="gray_r")
        axis.set_ylim(0, 8000)
        axis.set_title(f"{title}: {' '.join(tokens)[:110]}", fontsize=8)
        axis.tick_params(labelsize=7)
    save(path, figure)


def mels(path: Path, rows: dict[str, np.ndarray]) -> None:
    """Log-mels of some waves, one above the other."""
    figure, axes = plt.subplots(len(rows), 1, figsize=(9, 2 * len(rows)), squeeze=False)
    for axis, (title, wav) in zip(axes[:, 0], rows.items(), strict=True):
        axis.imshow(log_mel(wav).T, origin="lower", aspect="auto", vmin=-9, vmax=0)
        axis.set_title(title, fontsize=8)
    save(path, figure)


def tones(path: Path, net, cast: tuple[Speaker, ...]) -> None:
    """F0 of ma in the four tones, each speaker and emotion."""
    from train.evaluate import Settings, speak

    figure, axes = plt.subplots(1, len(cast), figsize=(3 * len(cast), 2.8), squeeze=False)
    for s, (axis, speaker) in enumerate(zip(axes[0], cast, strict=True)):
        for e, mood in enumerate(EMOTIONS):
            tokens = ["ma1", ",", "ma2", ",", "ma3", ",", "ma4", "."]
            wav, _ = speak(net, tokens, s, e, Settings(noise_scale=0.0))
            f0, _ = pitch(wav, speaker.low * 0.8, speaker.high * 1.3)
            seconds = torch.arange(len(f0)).numpy() * HOP / SAMPLE_RATE
            axis.plot(seconds, np.where(f0 > 0, f0, np.nan), label=mood, linewidth=1.2)
        axis.set_title(f"speaker {s}: mā, má, mǎ, mà (Hz, s)", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    axes[0, 0].legend(fontsize=7)
    save(path, figure)
