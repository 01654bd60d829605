"""A small judge: CTC over initials and final+tone, of voices that no speaker has. `python -m train.recognise`

It knows the teacher's speech alone, so it measures faithfulness to it.
"""

import argparse
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from text.phones import split_reading, syllable_phones
from train.common import Clock, arguments, load, save
from train.features import FFT, HOP, frames, mel_filters, pitch
from train.generate import records

MELS = 64
WINDOW = 512  # samples: what tells d from z and t from c is shorter than the 46 ms that F0 needs
CHANNELS = 192


def half_precision(device: torch.device) -> torch.autocast:
    """bfloat16 on a CPU that has it; elsewhere nothing changes. With AVX2 alone it is emulated, twenty times slower."""
    emulated = torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2")
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cpu" and not emulated)


def labels(syllable: str) -> tuple[str, str]:
    base, tone = split_reading(syllable)
    initial, final = syllable_phones(base)
    return initial, f"{final}{tone}"


def wanted(tokens: list[str]) -> list[str]:
    """Labels of what the teacher was asked for, which is after tone sandhi."""
    return [label for token in tokens if token[-1].isdigit() for label in labels(token)]


def features(wav: np.ndarray) -> np.ndarray:
    """[samples] -> [frames, MELS + 2] float32: log-mels less their mean, F0 over its median in octaves, voicing."""
    wav = wav[: len(wav) // HOP * HOP]
    windowed = frames(wav, WINDOW) * np.hanning(WINDOW + 1)[:-1]
    spectrum = np.abs(np.fft.rfft(windowed, FFT, axis=1)).astype(np.float32)
    mel = np.log(np.maximum(spectrum @ mel_filters(FFT, MELS, high=7600.0).T / (WINDOW / 4), 1e-3))
    f0, _ = pitch(wav, 45, 540)
    voiced = f0 > 0
    middle = np.median(f0[voiced]) if voiced.any() else 100.0
    tone = np.where(voiced, np.log2(np.maximum(f0, 1) / middle), 0)
    return np.column_stack((mel - mel.mean(), 4 * tone, voiced)).astype(np.float32)


class Recogniser(nn.Module):
    def __init__(self, table: list[str], channels: int = CHANNELS):
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


def matched(said: list[str], heard: list[str]) -> list[tuple[str, str]]:
    """Pairs of the alignment with the fewest errors in phones, then in tones; "" where one side has nothing."""
    n, m = len(said), len(heard)
    cost = np.zeros((n + 1, m + 1))
    cost[:, 0], cost[0] = np.arange(n + 1), np.arange(m + 1)
    change = np.array([[(bare(a) != bare(b)) + 1e-3 * (a != b) for b in heard] for a in said]).reshape(n, m)
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            swap = cost[i - 1, j - 1] + change[i - 1, j - 1]
            cost[i, j] = min(swap, cost[i - 1, j] + 1, cost[i, j - 1] + 1)
    pairs, i, j = [], n, m
    while i or j:
        if i and j and abs(cost[i, j] - cost[i - 1, j - 1] - change[i - 1, j - 1]) < 1e-6:
            i, j = i - 1, j - 1
            pairs.append((said[i], heard[j]))
        elif i and abs(cost[i, j] - cost[i - 1, j] - 1) < 1e-6:
            i -= 1
            pairs.append((said[i], ""))
        else:
            j -= 1
            pairs.append(("", heard[j]))
    return pairs[::-1]


def count(pairs: list[tuple[str, str]]) -> np.ndarray:
    """matched() -> (phones wrong, phones, tones wrong, tones); tones are counted where the final was heard right."""
    finals = [(a, b) for a, b in pairs if bare(a) == bare(b) and a[-1].isdigit()]
    wrong = sum(bare(a) != bare(b) for a, b in pairs)
    return np.array([wrong, sum(bool(a) for a, _ in pairs), sum(a != b for a, b in finals), len(finals)])


def make(said: Path, seed: int) -> list[tuple[np.ndarray, list[str]]]:
    """(features, labels) of what strangers said (train.generate), with noise, an equaliser and turned phases."""
    noise, out = np.random.default_rng(seed), []
    for shard in tqdm(sorted(said.glob("*")), desc="judge's data", mininterval=10):
        sound = np.memmap(shard / "sound.i16", "<i2", "r")
        for row in records(shard):
            wav = sound[row.sample : row.sample + row.samples] / 32768.0
            spectrum = np.fft.rfft(wav)
            place = np.linspace(0, 1, len(spectrum))
            gain = np.interp(place, np.linspace(0, 1, 8), noise.uniform(-0.5, 0.5, 8))
            turn = np.interp(place, np.linspace(0, 1, 30), noise.uniform(-np.pi, np.pi, 30))
            wav = np.fft.irfft(spectrum * np.exp(gain + 1j * turn), len(wav)) * noise.uniform(0.4, 1.2)
            wav += noise.normal(0, 10 ** noise.uniform(-4, -2.3), len(wav))
            out.append((features(wav).astype(np.float16), wanted(row.tokens)))
    if not out:
        raise SystemExit(f"{said} holds nothing; run train.generate first (train/README.md)")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=10_000)
    args = arguments(parser, "recogniser.pt", voice=False)
    device = args.device
    torch.manual_seed(0)
    data = make(args.runs / "said" / "judge", 777)
    table = ["", *sorted({label for _, said in data for label in said})]
    model = Recogniser(table).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=1e-2)
    step, seconds = 0, 0.0
    if args.resume and args.out.exists():
        state = load(args.out)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, seconds = state["step"], state["seconds"]
    ctc, clock, seen = nn.CTCLoss(zero_infinity=True), Clock(seconds), []
    order = sorted(range(len(data)), key=lambda i: len(data[i][0]))
    groups = [order[i : i + 16] for i in range(0, len(order), 16)]
    while step < args.steps:
        rng = np.random.default_rng(step)
        rows = [data[i] for i in groups[rng.integers(len(groups))]]
        longest = max(len(x) for x, _ in rows)
        x = np.zeros((len(rows), longest, MELS + 2), np.float32)
        for k, (values, _) in enumerate(rows):
            x[k, : len(values)] = values
            x[k, : len(values)] += rng.normal(0, 0.1, values.shape)
            low = rng.integers(MELS - 8)
            x[k, :, low : low + rng.integers(8)] = 0
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 100) * (1 - 0.95 * step / args.steps)
        with half_precision(device):
            scores = model.net(torch.from_numpy(x).mT.to(device))
        out = scores.float().log_softmax(1).permute(2, 0, 1)
        lengths = torch.tensor([(len(values) + 1) // 2 for values, _ in rows])
        targets = [torch.tensor([table.index(label) for label in said]) for _, said in rows]
        loss = ctc(out, torch.cat(targets).to(device), lengths, torch.tensor([len(t) for t in targets]))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seen.append(loss.item())
        step += 1
        say, keep = clock.tick()
        if say:
            print(f"step {step}  loss {np.mean(seen):.4f}  {clock.spent:.0f} s", flush=True)
            seen = []
        if keep or step == args.steps:
            save(args.out, model=model.state_dict(), optimizer=optimizer.state_dict(), table=table, step=step,
                 seconds=clock.spent)  # fmt: skip


if __name__ == "__main__":
    main()
