"""What a speech looks like: waveform, mel spectrogram and pitch over time, with the phones and characters they carry.

Everything is cut into the same columns, at most COLUMNS of them whatever the length, so that a page can draw it and a
browser can hold it. Analysis frames lie at most FRAME_STEP apart, up to FRAMES_A_COLUMN in each column: up to 80
seconds every moment is heard, and of longer speeches evenly spaced ones.
"""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import soxr
from scipy import fft

from infer.documents import audio
from infer.request import Speech, Timed

COLUMNS = 1600
COLUMN_SECONDS = 0.005  # the narrowest
FRAME_STEP = 0.0125
FRAMES_A_COLUMN = 4
BANDS = 80
BAND_TOP = 11025.0  # Hz; voices of a higher rate have little above it
RANGE_DB = 75.0  # from the loudest to what is drawn as silence
QUIET_DB = -40.0  # the loudest of a sound is taken to be at least this, or silence would show its noise

PITCH_LOW, PITCH_HIGH = 60.0, 600.0  # Hz
PITCH_RATE = 8000  # Hz at least: the first harmonics stand in it, and enough of the hiss to be known as hiss
FINER = 2  # lags of the autocorrelation for each sample: a narrow peak between two samples would look lower than it is
CANDIDATES = 5  # for each frame, beside "unvoiced"
NEAR = (0.65, 1.7)  # times the lower and the upper quartile of a speech: where its pitch is looked for again
# Boersma's costs, as he recommends them for speech, but for the jump (0.35): a curve without spikes is easier to read.
VOICING, SILENCE, OCTAVE_COST, OCTAVE_JUMP, VOICING_CHANGE = 0.45, 0.03, 0.01, 0.7, 0.14


@dataclass(frozen=True)
class Segment:
    """A phone or a character: when it sounds, in seconds, and its tone (1-5; 0: none)."""

    text: str
    tone: int
    start: float
    end: float


@dataclass(frozen=True, eq=False)
class Picture:
    """Column c of n covers the seconds from c * duration / n to (c + 1) * duration / n.

    envelope: int8 [n, 2], the lowest and highest sample, 127 for 1.0. mel: uint8 [BANDS, n], lowest band first, 255
    for the loudest and 0 for RANGE_DB below it; centres: Hz of its bands. pitch: float32 [n], Hz, 0 where unvoiced.
    """

    duration: float
    sampling_rate: int
    envelope: np.ndarray
    mel: np.ndarray
    centres: np.ndarray
    pitch: np.ndarray
    phones: tuple[Segment, ...]
    characters: tuple[Segment, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: matrices as the base64 of their bytes, row by row; segments as [text, tone, start, end]."""
        phones, characters = (
            [[s.text, s.tone, round(s.start, 3), round(s.end, 3)] for s in segments]
            for segments in (self.phones, self.characters)
        )
        return {
            "duration": round(self.duration, 4),
            "sampling_rate": self.sampling_rate,
            "columns": len(self.pitch),
            "bands": len(self.mel),
            "envelope": base64.b64encode(self.envelope.tobytes()).decode(),
            "mel": base64.b64encode(self.mel.tobytes()).decode(),
            "centres": np.round(self.centres).astype(int).tolist(),
            "pitch": [round(float(hz), 1) for hz in self.pitch],
            "phones": phones,
            "characters": characters,
        }


def picture_of(pieces: Sequence[Speech]) -> Picture:
    """Pieces that follow each other, from whichever on -> how they look; times count from the first of them.

    Raises ValueError when they hold no sound.
    """
    samples = audio.joined(pieces)
    if not len(samples):
        raise ValueError("There is no sound to look at; make some first.")
    rate, begin = pieces[0].sampling_rate, pieces[0].start
    seconds = len(samples) / rate
    columns = min(COLUMNS, math.ceil(seconds / COLUMN_SECONDS))
    frames = columns * min(FRAMES_A_COLUMN, math.ceil(seconds / columns / FRAME_STEP))
    mel, centres = mel_spectrogram(samples, rate, columns, frames)
    phones, characters = _segments(pieces, begin, seconds)
    return Picture(
        duration=seconds,
        sampling_rate=rate,
        envelope=_envelope(samples, columns),
        mel=mel,
        centres=centres,
        pitch=_by_column(pitch(samples, rate, frames), columns),
        phones=phones,
        characters=characters,
    )


def mel_spectrogram(samples: np.ndarray, rate: int, columns: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Float samples [n] -> uint8 [BANDS, columns] as in Picture, and the bands' centres in Hz [BANDS].

    frames: how many Hann windows of about 46 ms, a multiple of `columns`; a column is their mean power.
    """
    size = 2 ** round(math.log2(0.046 * rate))
    filters, centres = _mel_filters(size, rate)
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    spectrum = fft.rfft(_frames(samples, size, frames) * window, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2) @ filters / (size / 4) ** 2  # a full sine wave is about 1
    decibels = 10 * np.log10(np.maximum(power.reshape(columns, -1, BANDS).mean(1), 1e-12))
    loudest = max(float(decibels.max()), QUIET_DB)
    return np.round(255 * np.clip(1 + (decibels.T - loudest) / RANGE_DB, 0, 1)).astype(np.uint8), centres


@lru_cache(maxsize=4)
def _mel_filters(size: int, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Slaney's bands, of height 1 [size // 2 + 1, BANDS], and their centres in Hz [BANDS]."""
    import librosa  # a third of a second, and only pictures need it
    import numba

    # Nothing here needs compiling, and where numba finds no folder that it may keep compiled code in it raises.
    config: Any = numba.config
    config.DISABLE_JIT = 1
    try:
        mel, frequencies = librosa.filters.mel, librosa.mel_frequencies
    finally:
        config.DISABLE_JIT = 0
    top = min(BAND_TOP, rate / 2)
    edges = frequencies(n_mels=BANDS + 2, fmin=0, fmax=top)
    # They come with an area of 1: for norm=None librosa would load what takes numba 14 s to compile.
    filters = mel(sr=rate, n_fft=size, n_mels=BANDS, fmax=top).T * (edges[2:] - edges[:-2]) / 2
    return filters.astype(np.float32), edges[1:-1]


def pitch(samples: np.ndarray, rate: int, frames: int) -> np.ndarray:
    """Float samples [n] -> the fundamental in Hz at the middles of `frames` equal parts, 0 where unvoiced.

    P. Boersma (1993), Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a
    sampled sound: the autocorrelation of a window over that of the window itself, and the cheapest path through the
    best candidates of all frames. For the paper's sinc interpolation the spectrum is padded with zeros, then a parabola
    laid through the highest three points. A second pass looks only near the quartiles of the first, as D. Hirst
    proposed: what lies far from the rest of a speech is a harmonic or a hiss.
    """
    step = len(samples) / rate / frames
    lower_rate = rate / max(1, rate // PITCH_RATE)
    sound = soxr.resample(samples, rate, lower_rate)
    cut = _frames(sound, math.ceil(3 * lower_rate / PITCH_LOW), frames)  # three periods of the lowest
    cut -= cut.mean(1, keepdims=True)
    hertz, strength = _candidates(cut, lower_rate)
    loudness = np.abs(cut).max(1) / max(float(np.abs(sound).max()), 1e-4)
    unvoiced = VOICING + np.maximum(0, 2 - loudness * (1 + VOICING) / SILENCE)
    hertz = np.column_stack([np.zeros(frames), hertz])
    strength = np.column_stack([unvoiced, strength])
    path = _cheapest_path(hertz, strength, 0.01 / step)
    if path.any():
        lower, upper = np.quantile(path[path > 0], (0.25, 0.75)) * NEAR
        strength[:, 1:][(hertz[:, 1:] < lower) | (hertz[:, 1:] > upper)] = -1
        path = _cheapest_path(hertz, strength, 0.01 / step)
    return path.astype(np.float32)


def _candidates(cut: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Frames [t, size] -> Hz and strength of the highest autocorrelation peaks [t, CANDIDATES]; strength -1: none."""
    size = cut.shape[1]
    window = np.hanning(size + 2)[1:-1].astype(np.float32)
    length = fft.next_fast_len(2 * size, real=True)
    power = np.abs(fft.rfft(np.stack([window, *(cut * window)]), length, axis=1)) ** 2
    rate *= FINER
    correlation = fft.irfft(power, FINER * length, axis=1)[:, : math.ceil(rate / PITCH_LOW) + 2]
    own, correlation = correlation[0], correlation[1:]
    ratio = correlation / np.maximum(correlation[:, :1], 1e-9) / (own / own[0])
    first = math.floor(rate / PITCH_HIGH)
    left, middle, right = ratio[:, first - 1 : -2], ratio[:, first:-1], ratio[:, first + 1 :]
    peaks = (middle > left) & (middle >= right) & (middle > 0)
    bend = np.minimum(left - 2 * middle + right, -1e-9)
    shift = np.where(peaks, (left - right) / (2 * bend), 0)
    hertz = rate / (np.arange(first, first + middle.shape[1]) + shift)
    # A peak at twice the period is as high as the first: the octave cost prefers the shorter period.
    height = np.minimum(middle - (left - right) ** 2 / (8 * bend), 1)
    strength = np.where(peaks, height - OCTAVE_COST * np.log2(PITCH_LOW / hertz), -1)
    best = np.argpartition(-strength, CANDIDATES, axis=1)[:, :CANDIDATES]
    return np.take_along_axis(hertz, best, 1), np.take_along_axis(strength, best, 1)


def _cheapest_path(hertz: np.ndarray, strength: np.ndarray, pace: float) -> np.ndarray:
    """Hz to take in each row [t]; column 0 is "unvoiced", 0 Hz. pace: how dear a change is from one row to the next."""
    octaves = np.log2(np.maximum(hertz, 1))
    jump = OCTAVE_JUMP * np.abs(octaves[:-1, :, None] - octaves[1:, None, :])
    voiced = hertz > 0
    change = np.where(voiced[:-1, :, None] & voiced[1:, None, :], jump, VOICING_CHANGE)
    change[:, 0, 0] = 0
    change *= pace
    total, came_from = -strength[0], np.zeros(hertz.shape, int)
    for t in range(1, len(hertz)):
        ways = total[:, None] + change[t - 1]
        came_from[t] = ways.argmin(0)
        total = ways.min(0) - strength[t]
    path = [int(total.argmin())]
    for t in range(len(hertz) - 1, 0, -1):
        path.append(int(came_from[t, path[-1]]))
    return hertz[np.arange(len(hertz)), path[::-1]]


def _by_column(hertz: np.ndarray, columns: int) -> np.ndarray:
    """Pitch [frames] -> [columns]: the middle one of those that are voiced, where at least half are."""
    parts = np.sort(hertz.reshape(columns, -1), axis=1)  # the unvoiced, 0, come first
    count = parts.shape[1]
    voiced = (parts > 0).sum(1)
    middle = parts[np.arange(columns), count - np.maximum(1, (voiced + 1) // 2)]
    return np.where(2 * voiced >= count, middle, 0)


def _envelope(samples: np.ndarray, columns: int) -> np.ndarray:
    begins = np.arange(columns) * len(samples) // columns
    lowest, highest = np.minimum.reduceat(samples, begins), np.maximum.reduceat(samples, begins)
    return np.round(127 * np.clip(np.column_stack([lowest, highest]), -1, 1)).astype(np.int8)


def _frames(samples: np.ndarray, size: int, count: int) -> np.ndarray:
    """[n] -> [count, size]: around the middles of `count` equal parts; zeros beyond the ends."""
    middles = ((np.arange(count) + 0.5) * len(samples) / count).astype(int)
    return np.lib.stride_tricks.sliding_window_view(np.pad(samples, (size // 2, size)), size)[middles]


def _segments(
    pieces: Sequence[Speech], begin: float, seconds: float
) -> tuple[tuple[Segment, ...], tuple[Segment, ...]]:
    """Phones and characters of all sentences, as far as they sound in these pieces."""
    phones: list[tuple[Timed, int]] = []
    characters: list[tuple[Timed, int]] = []
    for i, piece in enumerate(pieces):
        if piece.last or i == len(pieces) - 1:  # every piece tells all of its sentence
            tones = (int(c.spoken[-1]) if c.spoken[-1:].isdigit() else 0 for c in piece.utterance.chars)
            phones += zip(piece.phones, piece.utterance.tones, strict=True)
            characters += zip(piece.characters, tones, strict=True)

    def within(timed: list[tuple[Timed, int]]) -> tuple[Segment, ...]:
        moved = (Segment(t.text, tone, t.start - begin, t.end - begin) for t, tone in timed)
        return tuple(s for s in moved if s.end > 0 and s.start < seconds)

    return within(phones), within(characters)
