"""A small judge: CTC over initials and final+tone, trained on OTHER espeak-ng variants. `python -m train.recognise`

It shares espeak-ng's phonemes, so it measures faithfulness to the teacher.
"""

import random
from itertools import groupby, pairwise, product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from text.phones import split_reading, syllable_phones
from train.data import melody, pinyin
from train.espeak import Style, Teacher
from train.features import FFT, HOP, SAMPLE_RATE, frames, mel_filters, pitch
from train.loop import Run, load, stage_options, warm_up
from train.sentences import is_syllable, sentences, third_tones
from train.speakers import variant

MELS = 64
WINDOW = 512  # samples: what tells d from z and t from c is shorter than the 46 ms that F0 needs
CHANNELS = 192
VOICES = 64


def voices(count: int, seed: int) -> dict[str, str]:
    """Variants for Teacher, drawn at random: pitches and vocal tracts between and beyond those of the voice's speakers.

    A tract is a scale of the formants, each a little off it, with strengths and widths of their own; the shorter it is
    the higher the pitch, give or take a third. None of them is one of speakers.SPEAKERS.
    """
    rng = random.Random(seed)
    out = {}
    for k in range(count):
        scale = rng.uniform(90, 126)
        low = 80 * 2 ** ((scale - 93) / 20 + rng.uniform(-0.4, 0.4))
        formants = []
        for formant in range(6):
            at = 100 + rng.uniform(-5, 5) if formant == 0 else scale + rng.uniform(-2, 2)
            formants.append(f"{at:.0f} {rng.uniform(85, 105):.0f} {rng.uniform(85, 130):.0f}")
        lines = [f"roughness {rng.choice((0, 0, 1, 2))}", f"flutter {rng.choice((0, 0, 2, 4))}"]
        lines += ["breath 0 1 2 2 2 2 2 1"] if rng.random() < 0.25 else []
        gender = "male" if scale < 104 else "female"
        out[f"j{k}"] = variant(f"j{k}", gender, f"{low:.0f} {low * 1.45:.0f}", formants, *lines)
    return out


def half_precision(device: torch.device) -> torch.autocast:
    """bfloat16 on a CPU that has it; elsewhere nothing changes. With AVX2 alone it is emulated, twenty times slower."""
    emulated = torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2")
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cpu" and not emulated)


def labels(syllable: str) -> tuple[str, str]:
    base, tone = split_reading(syllable)
    initial, final = syllable_phones(base)
    return initial, f"{final}{tone}"


def reference_labels(tokens: list[str]) -> list[str]:
    """Labels of what the teacher says: a third tone right before another one is spoken as the second."""
    spoken = third_tones([token for token in tokens if token != "'"])
    return [label for token in spoken if is_syllable(token) for label in labels(token)]


def features(wav: np.ndarray) -> np.ndarray:
    """[samples] -> [frames, MELS + 2] float32: log-mels less their mean, F0 over its median in octaves, voicing."""
    wav = wav[: len(wav) // HOP * HOP]
    windowed = frames(wav, WINDOW) * np.hanning(WINDOW + 1)[:-1]
    spectrum = np.abs(np.fft.rfft(windowed, FFT, axis=1)).astype(np.float32)
    mel = np.log(np.maximum(spectrum @ mel_filters(MELS, 7600.0).T / (WINDOW / 4), 1e-3))
    f0, _ = pitch(wav, 45, 540)
    voiced = f0 > 0
    middle = np.median(f0[voiced]) if voiced.any() else 100.0
    tone = np.where(voiced, np.log2(np.maximum(f0, 1) / middle), 0)
    return np.column_stack((mel - mel.mean(), 4 * tone, voiced)).astype(np.float32)


class Recogniser(nn.Module):
    def __init__(self, table: list[str], channels: int = CHANNELS) -> None:
        super().__init__()
        self.table = table  # position 0 is CTC's blank
        shape = ((5, 1, 1), (5, 2, 1), (5, 1, 1), (5, 1, 2), (5, 1, 4), (5, 1, 1), (3, 1, 1))
        layers, width = [], MELS + 2
        for kernel, stride, dilation in shape:
            layers += [
                nn.Conv1d(width, channels, kernel, stride, dilation * (kernel // 2), dilation),
                nn.BatchNorm1d(channels),
                nn.ReLU(),
                nn.Dropout(0.1),
            ]
            width = channels
        self.net = nn.Sequential(*layers, nn.Conv1d(channels, len(table), 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, MELS + 2, F] -> log probabilities [B, labels, about F/2]."""
        return self.net(x).log_softmax(1)

    @classmethod
    def load(cls, path: Path) -> "Recogniser":
        state = load(path)
        model = cls(state["table"], len(state["model"]["net.0.bias"]))
        model.load_state_dict(state["model"])
        return model.eval()

    @torch.inference_mode()
    def hear(self, wav: np.ndarray) -> list[str]:
        best = self(torch.from_numpy(features(wav).T)[None])[0].argmax(0).tolist()
        return [self.table[i] for i, _ in groupby(best) if i]


def bare(label: str) -> str:
    """Without its tone."""
    return label.rstrip("12345")


def match(reference: list[str], hypothesis: list[str]) -> list[tuple[str, str]]:
    """Pairs of the alignment with the fewest errors in phones, then in tones; "" where one side has nothing."""
    from librosa.sequence import dtw  # here, since it takes a while

    cost = np.zeros((len(reference) + 1, len(hypothesis) + 1))  # the first row and column: before their first labels
    for (i, a), (j, b) in product(enumerate(reference, 1), enumerate(hypothesis, 1)):
        cost[i, j] = (bare(a) != bare(b)) + 1e-3 * (a != b)
    steps, change, gap = np.array([[1, 1], [1, 0], [0, 1]]), np.array([1.0, 0, 0]), np.array([0.0, 1, 1])
    _, path = dtw(C=cost, step_sizes_sigma=steps, weights_mul=change, weights_add=gap)
    places = pairwise(path[::-1].tolist())
    return [(reference[i - 1] if i > k else "", hypothesis[j - 1] if j > m else "") for (k, m), (i, j) in places]


def count(pairs: list[tuple[str, str]]) -> np.ndarray:
    """match() -> (phones wrong, phones, tones wrong, tones); tones are counted where the final was heard right."""
    finals = [(a, b) for a, b in pairs if bare(a) == bare(b) and a[-1].isdigit()]
    wrong = sum(bare(a) != bare(b) for a, b in pairs)
    return np.array([wrong, sum(bool(a) for a, _ in pairs), sum(a != b for a, b in finals), len(finals)])


def spoiled(wav: np.ndarray, rng: random.Random, noise: np.random.Generator) -> np.ndarray:
    """With noise, an equaliser, another loudness and turned phases."""
    spectrum = np.fft.rfft(wav)
    place = np.linspace(0, 1, len(spectrum))
    gain = np.interp(place, np.linspace(0, 1, 8), noise.uniform(-0.5, 0.5, 8))
    turn = np.interp(place, np.linspace(0, 1, 30), noise.uniform(-np.pi, np.pi, 30))
    wav = np.fft.irfft(spectrum * np.exp(gain + 1j * turn), len(wav)) * rng.uniform(0.4, 1.2)
    return wav + noise.normal(0, 10 ** rng.uniform(-4, -2.3), len(wav))


def make(minutes: float, seed: int, folder: Path) -> list[tuple[np.ndarray, list[str]]]:
    """(features, labels) of random voices, rates and pitches, spoiled."""
    variants = voices(VOICES, seed)
    teacher = Teacher(folder, variants)
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    out: list[tuple[np.ndarray, list[str]]] = []
    source, most, done = sentences(seed), minutes * 60 * SAMPLE_RATE, 0
    with tqdm(total=int(most), desc="judge's data", unit="sample", unit_scale=True, mininterval=10) as bar:
        while done <= most:
            tokens = next(source)
            style = Style(rng.randint(120, 215), rng.randint(35, 65), rng.randint(35, 100), 80)
            raised = melody(tokens) if rng.random() < 0.5 else None
            samples, _ = teacher.say(pinyin(tokens, raised, style.pitch), rng.choice(list(variants)), style)
            wav = spoiled(samples / 32768.0, rng, noise)
            out.append((features(wav).astype(np.float16), reference_labels(tokens)))
            done += len(wav)
            bar.update(len(wav))
    return out


def batch(rows: list[tuple[np.ndarray, list[str]]], rng: np.random.Generator) -> Tensor:
    """-> features side by side [B, MELS + 2, F], with noise and a hidden band."""
    x = np.zeros((len(rows), max(len(values) for values, _ in rows), MELS + 2), np.float32)
    for k, (values, _) in enumerate(rows):
        x[k, : len(values)] = values
        x[k, : len(values)] += rng.normal(0, 0.1, values.shape)
        low = rng.integers(MELS - 8)
        x[k, :, low : low + rng.integers(8)] = 0
    return torch.from_numpy(x).mT


def main() -> None:
    args = stage_options(__doc__, "recogniser.pt", voice=False, minutes=500.0, steps=10_000, lr=2e-3)
    torch.manual_seed(0)
    data = make(args.minutes, 777, args.runs / "judge")
    table = ["", *sorted({label for _, labels in data for label in labels})]
    model, ctc = Recogniser(table).to(args.device), nn.CTCLoss(zero_infinity=True)
    run = Run(args, {"model": model}, torch.optim.AdamW(model.parameters(), args.lr, weight_decay=1e-2), table=table)
    order = sorted(range(len(data)), key=lambda i: len(data[i][0]))
    groups = [order[i : i + 16] for i in range(0, len(order), 16)]

    def learn(step: int) -> tuple[Tensor, dict[str, Tensor]]:
        rng = np.random.default_rng(step)
        rows = [data[i] for i in groups[rng.integers(len(groups))]]
        with half_precision(args.device):
            scores = model.net(batch(rows, rng).to(args.device))
        lengths = torch.tensor([(len(values) + 1) // 2 for values, _ in rows])
        targets = torch.tensor([table.index(label) for _, labels in rows for label in labels])
        counts = torch.tensor([len(labels) for _, labels in rows])
        loss = ctc(scores.float().log_softmax(1).permute(2, 0, 1), targets.to(args.device), lengths, counts)
        return loss, {"loss": loss}

    run.loop(learn, warm_up(args, 100, 0.95))


if __name__ == "__main__":
    main()
