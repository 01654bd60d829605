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

import numpy as np

SAMPLE_RATE = 24_000
HOP = 300
FFT = 1024
MELS = 80
CHANNELS = 96
F0_BASE = 55.0
LOG2_F0 = 12
F0_CENTRE = 1.5  # octaves above F0_BASE, where LOG2_F0 is 0
TENTS = 12  # a quarter octave each
VOICED = 13
PITCH = {"channel": LOG2_F0, "voiced": VOICED, "base": F0_BASE * 2**F0_CENTRE, "phase": "minimum"}
PITCH_SLICE = slice(0, 14)
MEL_SLICE = slice(14, 94)
PERIODIC = 94
MEL_FLOOR = 1e-4
PERIODS = 3.0  # in the window of an envelope
BREATH = 172.0  # Hz, what stands for F0 there in what is unvoiced
NOISE_GAIN = float(np.sqrt(3 / 8 * FFT) / (FFT / 4))  # noise is as loud in an envelope as in log_mel


@lru_cache
def mel_filters(n_fft: int = FFT, n_mels: int = MELS, rate: int = SAMPLE_RATE, low: float = 0.0, high: float = 12e3):
    """Triangles on the mel scale (HTK's formula), each of height 1: [n_mels, n_fft//2+1] float32."""
    mel = np.linspace(2595 * np.log10(1 + low / 700), 2595 * np.log10(1 + high / 700), n_mels + 2)
    edge = 700 * (10 ** (mel / 2595) - 1)
    freq = np.arange(n_fft // 2 + 1) * rate / n_fft
    rise = (freq - edge[:-2, None]) / (edge[1:-1] - edge[:-2])[:, None]
    fall = (edge[2:, None] - freq) / (edge[2:] - edge[1:-1])[:, None]
    filters = np.maximum(0, np.minimum(rise, fall))
    return (filters / np.maximum(filters.sum(1, keepdims=True), 1e-3)).astype(np.float32)


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

    Window-corrected autocorrelation (Boersma 1993) of 46 ms frames, a Viterbi path over the best candidates.
    """
    size = FFT
    window = np.hanning(size + 1)[:-1]
    x = frames(wav, size, centres).astype(np.float64)
    x = (x - x.mean(1, keepdims=True)) * window
    n = 2 * size
    power = np.abs(np.fft.rfft(x, n, axis=1)) ** 2
    acf = np.fft.irfft(power, n, axis=1)[:, :size]
    norm = np.fft.irfft(np.abs(np.fft.rfft(window, n)) ** 2, n)[:size]
    energy = acf[:, :1]
    r = acf / np.maximum(energy, 1e-9) / (norm / norm[0])
    lag_low, lag_high = int(SAMPLE_RATE / high), min(int(SAMPLE_RATE / low) + 1, int(size * 0.62))
    part = r[:, lag_low : lag_high + 1].copy()
    lags = np.arange(lag_low, lag_high + 1)
    peak = np.zeros_like(part, bool)
    peak[:, 1:-1] = (part[:, 1:-1] >= part[:, :-2]) & (part[:, 1:-1] > part[:, 2:])
    score = np.where(peak, part - 0.02 * np.log2(lags / lag_low), -1.0)
    k = 5
    best = np.argsort(-score, axis=1)[:, :k]
    value = np.take_along_axis(score, best, 1)
    t = np.arange(len(part))[:, None]
    left, mid, right = part[t, np.maximum(best - 1, 0)], part[t, best], part[t, np.minimum(best + 1, len(lags) - 1)]
    shift = np.where(value > -1, 0.5 * (left - right) / np.minimum(left - 2 * mid + right, -1e-9), 0).clip(-0.5, 0.5)
    f0 = SAMPLE_RATE / (lags[best] + shift)
    log_f0 = np.log2(f0)
    cost = -value
    back = np.zeros((len(part), k), int)
    total = cost[0].copy() if len(part) else np.zeros(k)
    for i in range(1, len(part)):
        step = total[:, None] + 0.6 * np.abs(log_f0[i - 1][:, None] - log_f0[i][None, :])
        back[i] = step.argmin(0)
        total = step.min(0) + cost[i]
    path = np.zeros(len(part), int)
    if len(part):
        path[-1] = total.argmin()
        for i in range(len(part) - 1, 0, -1):
            path[i - 1] = back[i, path[i]]
    strength = value[np.arange(len(part)), path] if len(part) else np.zeros(0)
    rms = np.sqrt(np.maximum(energy[:, 0], 0) / norm[0])
    voiced = (strength > 0.5) & (rms > 0.006)
    inside = voiced.copy()  # a single frame is no voice, and a single hole no pause
    inside[1:-1] = (voiced[1:-1] & (voiced[:-2] | voiced[2:])) | (voiced[:-2] & voiced[2:] & (strength[1:-1] > 0.3))
    return np.where(inside, f0[np.arange(len(part)), path], 0.0), strength


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


def scale_mel(mel):
    return (mel + 5.0) / 2.0


def unscale_mel(mel):
    return mel * 2.0 - 5.0


def periodicity(wav: np.ndarray, f0: np.ndarray, centres: np.ndarray | None = None) -> np.ndarray:
    """How like itself the wave is one period later, -1 to 1, and how loud it is (RMS) [frames]; f0 > 0 everywhere."""
    size = FFT // 2
    lags = np.round(SAMPLE_RATE / f0).astype(int)[:, None]
    x = frames(wav, 2 * size, centres).astype(np.float64)
    at = np.arange(size) + (size - lags) // 2  # both halves lie evenly about the centre
    window = np.hanning(size + 2)[1:-1]
    early, late = (np.take_along_axis(x, place, 1) for place in (at, at + lags))
    powers = [(window * part**2).sum(1) / window.sum() for part in (early, late)]
    alike = (window * early * late).sum(1) / window.sum()
    return alike / np.maximum(np.sqrt(powers[0] * powers[1]), 1e-9), np.sqrt(sum(powers) / 2)


def voicing(periodic: np.ndarray, loud: np.ndarray) -> np.ndarray:
    """Of periodicity(): which frames are voiced. A single frame is no voice, and a single hole no pause."""
    voiced = (periodic > 0.5) & (loud > 0.006)
    out = voiced.copy()
    out[1:-1] = (voiced[1:-1] & (voiced[:-2] | voiced[2:])) | (voiced[:-2] & voiced[2:] & (periodic[1:-1] > 0.3))
    return out


def latent(wav: np.ndarray, f0: np.ndarray, centres: np.ndarray | None = None) -> np.ndarray:
    """float wave, F0 in Hz (everywhere, as it would be), frames' centres -> latent [frames, CHANNELS] float32."""
    periodic, loud = periodicity(wav, f0, centres)
    voiced = voicing(periodic, loud)
    out = np.zeros((len(f0), CHANNELS), np.float32)
    out[:, :TENTS] = tents(np.where(voiced, f0, 0))
    out[:, LOG2_F0] = np.log2(f0 / F0_BASE) - F0_CENTRE
    out[:, VOICED] = voiced
    out[:, MEL_SLICE] = scale_mel(envelope(wav, np.where(voiced, f0, 0), centres))
    out[:, PERIODIC] = periodic.clip(0, 1)
    return out
