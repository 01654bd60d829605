"""The fixed latent the voice is trained through: 96 numbers a frame that say what is heard and how high.

It is known, not learned, so text side and decoder train apart. The decoder is driven by pulses that follow F0
(models/source.py), so the latent's mels are an envelope: what the vocal tract does, without the harmonics.

    0-11   F0 as a soft one-hot over a quarter octave each, 55 Hz up; 0 where unvoiced
    12     log2(F0 / 55 Hz) - 1.5; where unvoiced, a line between its neighbours, so that nothing jumps at an edge
    13     voiced: 0 or 1
    14-93  log-mels of the envelope, scaled
    94     how periodic: the autocorrelation at F0, 0 to 1
    95     nothing
"""

from functools import lru_cache
from typing import TypeVar

import numpy as np
from torch import Tensor

T = TypeVar("T", np.ndarray, Tensor)
SAMPLE_RATE = 22050
HOP = 256
FFT = 1024
MELS = 80
CHANNELS = 96
F0_BASE = 55.0
LOG2_F0 = 12
F0_CENTRE = 1.5  # octaves above F0_BASE, where LOG2_F0 is 0
TENTS = 12  # a quarter octave each
VOICED = 13
PITCH = {"channel": LOG2_F0, "voiced": VOICED, "base": F0_BASE * 2**F0_CENTRE}
PITCH_SLICE = slice(0, 14)
MEL_SLICE = slice(14, 94)
PERIODIC = 94
MEL_FLOOR = 1e-4
PERIODS = 3.0  # in the window of an envelope
BREATH = 172.0  # Hz, what stands for F0 there in what is unvoiced
NOISE_GAIN = float(np.sqrt(3 / 8 * FFT) / (FFT / 4))  # noise is as loud in an envelope as in log_mel


@lru_cache
def mel_filters(mels: int = MELS, high: float = 8000.0) -> np.ndarray:
    """Triangles up to `high` Hz on the mel scale (HTK's formula), each of sum 1: [mels, FFT // 2 + 1] float32."""
    from librosa.filters import mel  # here, since it takes a while

    return mel(sr=SAMPLE_RATE, n_fft=FFT, n_mels=mels, fmax=high, htk=True, norm=1)


def even_centres(samples: int) -> np.ndarray:
    """The middles of frames that follow each other without gaps."""
    return np.arange(samples // HOP) * HOP + HOP // 2


def frames(wav: np.ndarray, size: int, centres: np.ndarray | None = None) -> np.ndarray:
    """[samples] -> [frames, size], each centred at a sample (even_centres() if none are given); zeros outside."""
    centres = even_centres(len(wav)) if centres is None else centres
    padded = np.pad(wav, (size // 2, size))
    return np.lib.stride_tricks.sliding_window_view(padded, size)[centres]


def log_mel(wav: np.ndarray, centres: np.ndarray | None = None) -> np.ndarray:
    """float wave in -1..1 -> natural log of mel magnitudes [frames, MELS]."""
    spectrum = np.abs(np.fft.rfft(frames(wav, FFT, centres) * np.hanning(FFT + 1)[:-1], axis=1)).astype(np.float32)
    return np.log(np.maximum(spectrum @ mel_filters().T / (FFT / 4), MEL_FLOOR))


def pitch(wav: np.ndarray, low: float, high: float, centres: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """F0 [frames] in Hz (0 where unvoiced) and the best normalised autocorrelation [frames].

    Window-corrected autocorrelation (Boersma 1993) of 46 ms frames, a Viterbi path over the best candidates. Not one of
    librosa's: yin does not tell what is voiced, pyin takes eight times as long and calls more voiced than the released
    voice has learned, and both want frames at even steps, where ours lie at `centres`.
    """
    from librosa import autocorrelate  # here, since it takes a while

    x = frames(wav, FFT, centres).astype(np.float64)
    if not len(x):
        return np.zeros(0), np.zeros(0)
    window = np.hanning(FFT + 1)[:-1]
    acf = autocorrelate((x - x.mean(1, keepdims=True)) * window, axis=1)
    norm = autocorrelate(window)
    energy = acf[:, 0]
    r = acf / np.maximum(energy[:, None], 1e-9) / (norm / norm[0])
    lags = np.arange(int(SAMPLE_RATE / high), min(int(SAMPLE_RATE / low) + 1, int(FFT * 0.62)) + 1)
    f0, strength = likeliest(r[:, lags], lags)
    rms = np.sqrt(np.maximum(energy, 0) / norm[0])
    voiced = (strength > 0.5) & (rms > 0.006)
    inside = voiced.copy()  # a single frame is no voice, and a single hole no pause
    inside[1:-1] = (voiced[1:-1] & (voiced[:-2] | voiced[2:])) | (voiced[:-2] & voiced[2:] & (strength[1:-1] > 0.3))
    return np.where(inside, f0, 0.0), strength


def likeliest(r: np.ndarray, lags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Autocorrelation [frames, lags] -> F0 in Hz and its score, both [frames], of the path of least cost.

    Among the five best peaks of each frame; high notes a little better, each octave of a jump costs 0.6.
    """
    peak = np.zeros_like(r, bool)
    peak[:, 1:-1] = (r[:, 1:-1] >= r[:, :-2]) & (r[:, 1:-1] > r[:, 2:])
    score = np.where(peak, r - 0.02 * np.log2(lags / lags[0]), -1.0)
    best = np.argsort(-score, axis=1)[:, :5]
    score = np.take_along_axis(score, best, 1)
    left, middle, right = (np.take_along_axis(r, (best + step).clip(0, len(lags) - 1), 1) for step in (-1, 0, 1))
    shift = np.where(score > -1, 0.5 * (left - right) / np.minimum(left - 2 * middle + right, -1e-9), 0).clip(-0.5, 0.5)
    f0 = SAMPLE_RATE / (lags[best] + shift)
    back, total = np.zeros(best.shape, int), -score[0]
    for i in range(1, len(r)):
        step = total[:, None] + 0.6 * np.abs(np.log2(f0[i - 1])[:, None] - np.log2(f0[i]))
        back[i] = step.argmin(0)
        total = step.min(0) - score[i]
    path = np.zeros(len(r), int)
    path[-1] = total.argmin()
    for i in range(len(r) - 1, 0, -1):
        path[i - 1] = back[i, path[i]]
    rows = np.arange(len(r))
    return f0[rows, path], score[rows, path]


def envelope(wav: np.ndarray, f0: np.ndarray, centres: np.ndarray | None = None) -> np.ndarray:
    """Natural log of magnitudes in mel bands without the harmonics' ripple [frames, MELS].

    A window of three periods, and each frequency's power the mean over one F0 (as in Morise, 2015, without its
    sharpening): so F0 can be moved under an envelope, and what is short stays short.
    """
    f0 = np.where(f0 > 0, f0, BREATH)[:, None]
    n = np.arange(FFT) - FFT / 2 + 0.5
    width = np.minimum(FFT, PERIODS * SAMPLE_RATE / f0)
    window = np.where(np.abs(n) < width / 2, 0.5 + 0.5 * np.cos(2 * np.pi * n / width), 0)
    window /= np.sqrt(np.square(window).sum(1, keepdims=True))
    power = np.abs(np.fft.rfft(frames(wav, FFT, centres) * window, axis=1)) ** 2
    half = f0 / 2 * FFT / SAMPLE_RATE
    pad = int(half.max(initial=0)) + 2
    total = np.pad(np.cumsum(np.pad(power, ((0, 0), (pad, pad)), mode="reflect"), 1), ((0, 0), (1, 0)))

    def until(place: np.ndarray) -> np.ndarray:
        whole = place.astype(int)
        low, high = (np.take_along_axis(total, whole + k, 1) for k in (0, 1))
        return low + (high - low) * (place - whole)

    centre = np.arange(power.shape[1]) + pad + 0.5
    even = (until(centre + half) - until(centre - half)) / (2 * half)
    mel = np.sqrt(np.maximum(even, 0)).astype(np.float32) @ mel_filters().T
    return np.log(np.maximum(NOISE_GAIN * mel, MEL_FLOOR))


def tents(f0: np.ndarray) -> np.ndarray:
    """[frames] Hz -> [frames, TENTS]."""
    place = np.minimum(4 * np.log2(np.maximum(f0, F0_BASE) / F0_BASE), TENTS - 1)[:, None]
    return np.where(f0[:, None] > 0, np.maximum(0, 1 - np.abs(place - np.arange(TENTS))), 0)


def scale_mel(mel: T) -> T:
    """Log-mels as the latent and the ear have them, about -2 to 2."""
    return (mel + 5.0) / 2.0


def latent(
    wav: np.ndarray, low: float, high: float, centres: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """float wave, F0 limits in Hz, frames' centres -> latent [frames, CHANNELS] float32, F0 [frames]."""
    f0, periodic = pitch(wav, low, high, centres)
    voiced = f0 > 0
    out = np.zeros((len(f0), CHANNELS), np.float32)
    out[:, :TENTS] = tents(f0)
    if voiced.any():
        height = np.log2(f0[voiced] / F0_BASE) - F0_CENTRE
        out[:, LOG2_F0] = np.interp(np.arange(len(f0)), np.flatnonzero(voiced), height)
    out[:, VOICED] = voiced
    out[:, MEL_SLICE] = scale_mel(envelope(wav, f0, centres))
    out[:, PERIODIC] = periodic.clip(0, 1)
    return out, f0
