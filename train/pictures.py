"""Pictures of training and of what came of it, small PNGs. matplotlib is needed here only (requirements-train.txt)."""

import re
from collections import defaultdict
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.stages import Sliders
from models.synthesizer import Synthesizer
from train.common import speak
from train.features import HOP, SAMPLE_RATE, pitch
from train.speakers import EMOTIONS, Speaker

FIGURE = re.compile(r"([a-z]+) (-?\d+\.\d+)")


def sheet(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    """A figure and its axes [rows, columns]; who makes no picture needs no matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.tick_params(labelsize=7)
    return figure, axes


def save(path: Path, figure: Any) -> None:
    """In 24 colours: a third of the size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    drawn = BytesIO()
    figure.savefig(drawn, dpi=66, format="png")
    Image.open(drawn).convert("RGB").quantize(24).save(path, optimize=True)


def read_log(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Lines "step 12  mel 0.31  …" of a stage -> (step, value) of each figure."""
    out = defaultdict[str, list[tuple[int, float]]](list)
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if step := re.match(r"step (\d+)  ", line):
            for name, value in FIGURE.findall(line[step.end() :]):
                out[name].append((int(step[1]), float(value)))
    return out


def curves(path: Path, log: Path) -> None:
    """One small curve for each figure that a stage prints; nothing where it printed none."""
    if not (figures := read_log(log)):
        return
    figure, axes = sheet(1, len(figures), (2.6 * len(figures), 2.4))
    for axis, (name, points) in zip(axes[0], figures.items(), strict=True):
        axis.plot(*np.array(points).T, linewidth=1)
        axis.set_title(f"{log.stem}: {name}", fontsize=8)
        axis.grid(alpha=0.3)
    save(path, figure)


def spectrograms(path: Path, tokens: list[str], teacher: np.ndarray, voice: np.ndarray) -> None:
    """Teacher above, voice below, 0 to 8 kHz."""
    figure, axes = sheet(2, 1, (8.5, 4.6))
    for axis, title, wav in zip(axes.flat, ("teacher", "voice"), (teacher, voice), strict=True):
        axis.specgram(wav + 1e-6, NFFT=768, noverlap=768 - HOP // 2, Fs=SAMPLE_RATE, vmin=-130, vmax=-35, cmap="gray_r")
        axis.set_ylim(0, 8000)
        axis.set_title(f"{title}: {' '.join(tokens)[:110]}", fontsize=8)
    save(path, figure)


def tones(path: Path, net: Synthesizer, cast: tuple[Speaker, ...]) -> None:
    """F0 of ma in the four tones, each speaker and emotion."""
    figure, axes = sheet(1, len(cast), (3 * len(cast), 2.8))
    for s, (axis, speaker) in enumerate(zip(axes[0], cast, strict=True)):
        for e, mood in enumerate(EMOTIONS):
            wav, _ = speak(net, "ma1 , ma2 , ma3 , ma4 .".split(), s, e, Sliders(noise_scale=0.0))
            f0, _ = pitch(wav, speaker.low * 0.8, speaker.high * 1.3)
            seconds = np.arange(len(f0)) * HOP / SAMPLE_RATE
            axis.plot(seconds, np.where(f0 > 0, f0, np.nan), label=mood, linewidth=1.2)
        axis.set_title(f"speaker {s}: mā, má, mǎ, mà (Hz, s)", fontsize=8)
        axis.grid(alpha=0.3)
    axes[0, 0].legend(fontsize=7)
    save(path, figure)
