"""How near a voice comes to its teacher on held-out sentences, with its own durations.

`python -m train.evaluate voices/xiaoyu --full --report FOLDER`

Frames are matched by dynamic time warping on log-mels. With RUNS/recogniser.pt (train.recognise) phone and tone errors
are counted too, for the voice and for the teacher's own audio. It measures faithfulness to the teacher, not
naturalness: look at the pictures in the report's folder as well.
"""

import argparse
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from models.checkpoint import load_checkpoint
from models.stages import Sliders
from train.common import Utterance, corpus, is_syllable, speak, tokens_to_ids
from train.data import RUNS
from train.features import HOP, SAMPLE_RATE, log_mel, pitch
from train.pictures import curves, spectrograms, tones
from train.recognise import Recogniser, bare, count, labels, matched, wanted
from train.speakers import EMOTIONS, Speaker, read_cast

FRAME_RATE = SAMPLE_RATE / HOP
SOME = 8  # sentences of each speaker and emotion where every slider is tried
LEVEL = ["ta1 jin1 tian1 zhong1 gong1 kai1 che1", "ma1 ma1 chi1 xi1 gua1", "san1 feng1 shu1 xin1 du1 ji1 chu1"]


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


def final_frames(tones: Tensor, durations: Tensor) -> list[tuple[int, int, int]]:
    """(tone, first frame, end) of each final: blank, final, blank."""
    ends = np.cumsum(durations.numpy())
    rows = [t for t in range(len(tones)) if tones[t]][1::2]
    return [(int(tones[t]), int(ends[t - 2]), int(ends[t + 1])) for t in rows]


def semitones(f0: np.ndarray) -> np.ndarray:
    return 12 * np.log2(np.maximum(f0, 1) / 100)


def locked(f0: np.ndarray) -> float:
    """Share of voiced frames within 1 % of a multiple of the frame rate."""
    turns = f0[f0 > 0] / FRAME_RATE
    return float((np.abs(turns / np.maximum(turns.round(), 1) - 1) < 0.01).mean()) if len(turns) else 0.0


def loudness(wav: np.ndarray) -> float:
    """dB of the louder half of the frames."""
    power = np.square(wav[: len(wav) // HOP * HOP].reshape(-1, HOP)).mean(1)
    return float(10 * np.log10(power[power >= np.median(power)].mean() + 1e-12))


def compare(u: Utterance, wav: np.ndarray, speaker: Speaker) -> dict:
    teacher = u.wav / 32768.0
    mel_t, mel_v = log_mel(teacher), log_mel(wav)
    i, j = warp(mel_t, mel_v)
    f0_t, _ = pitch(teacher, speaker.low, speaker.high)
    f0_v, _ = pitch(wav, speaker.low * 0.8, speaker.high * 1.3)
    a, b = f0_t[i], f0_v[j]
    both = (a > 0) & (b > 0)
    contours = defaultdict(list)
    for tone, *ends in final_frames(u.tones, u.durations):
        start, end = u.sample(np.array(ends)) / HOP  # in even frames
        inside = both & (i + 0.5 >= start) & (i + 0.5 < end)
        if inside.sum() >= 4:
            contours[tone].append((semitones(a[inside]), semitones(b[inside])))
    speech = (mel_t.max(1) > -7)[i]
    return {
        "mel": np.abs(mel_t[i] - mel_v[j])[speech].mean(),
        "gross": (np.abs(np.log2(b[both] / a[both])) > np.log2(1.2)).mean() if both.any() else 0.0,
        "voicing": ((a > 0) != (b > 0))[speech].mean(),
        "length": len(mel_v) / len(mel_t),
        "locked": locked(f0_v),
        "locked_teacher": locked(f0_t),
        "loudness": loudness(wav),
        "loudness_teacher": loudness(teacher),
        "contours": contours,
    }


def groups_of(tokens: list[str]) -> list[set[str]]:
    """What each syllable is looked at for."""
    words = [token for token in tokens if is_syllable(token)]
    out = []
    for i, word in enumerate(words):
        initial, _ = labels(word)
        beside = [words[k][-1] for k in (i - 1, i + 1) if 0 <= k < len(words)]
        named = {
            "third tones in a chain": word[-1] == "3" and "3" in beside,
            "neutral tones": word[-1] == "5",
            "initials m, n": initial in ("m", "n") and not word.startswith(("a", "e", "o")),
            "er": word[:-1] == "er",
        }
        out.append({name for name, inside in named.items() if inside})
    return out


def percent(errors: np.ndarray) -> str:
    wrong, phones, off, tones = errors
    return f"{100 * wrong / max(phones, 1):.1f} % | {100 * off / max(tones, 1):.1f} %"


class Measures:
    """A voice, what it is compared with, and what has been counted."""

    def __init__(self, folder: Path, runs: Path, sentences: int) -> None:
        self.net, _ = load_checkpoint(folder / "G.safetensors")
        self.cast = read_cast(runs / "data")
        if len(self.cast) != self.net.emb_g.num_embeddings:
            raise SystemExit(
                f"{folder} has other speakers than {runs / 'data'}; name the folder it was made in: --runs"
            )
        judges = [path for path in (runs / "recogniser.pt", RUNS / "recogniser.pt") if path.exists()]
        self.recogniser = Recogniser.load(judges[0]) if judges else None
        cells = defaultdict(list)
        for u in corpus("test", runs / "data"):
            if any(map(is_syllable, u.item.tokens)):
                cells[u.item.speaker, u.item.emotion].append(u)
        each = max(1, sentences // len(cells))
        self.chosen = {cell: rows[:each] for cell, rows in sorted(cells.items())}
        self.results: dict[tuple[int, int], list[dict]] = defaultdict(list)
        self.contours: dict[int, list] = defaultdict(list)
        self.errors, self.grouped = defaultdict(lambda: np.zeros(4)), defaultdict(lambda: np.zeros(4))
        self.mistaken: dict[str, Counter] = defaultdict(Counter)

    def heard(self, wav: np.ndarray, tokens: list[str]) -> list[tuple[str, str]]:
        return matched(wanted(tokens), self.recogniser.hear(wav))

    def misheard(self, how: Sliders, rows: list[tuple[list[str], int, int]]) -> np.ndarray:
        """Of (tokens, speaker, emotion) spoken in one way."""
        total = np.zeros(4)
        for tokens, speaker, emotion in tqdm(rows, desc=str(how), mininterval=10, leave=False):
            total += count(self.heard(speak(self.net, tokens, speaker, emotion, how)[0], tokens))
        return total

    def listen(self, pictures: Path | None) -> None:
        """Speak all chosen sentences and keep what the tables are made of."""
        for (s, e), rows in tqdm(self.chosen.items(), desc="speakers x emotions", mininterval=10):
            for n, u in enumerate(rows):
                wav, _ = speak(self.net, u.item.tokens, s, e, Sliders())
                row = compare(u, wav, self.cast[s])
                for tone, pairs in row.pop("contours").items():
                    self.contours[tone] += pairs
                self.results[s, e].append(row)
                for who, samples in (("voice", wav), ("teacher", u.wav / 32768.0)) if self.recogniser else ():
                    pairs = self.heard(samples, u.item.tokens)
                    self.errors[who, s, e] += count(pairs)
                    self.mistaken[who].update((bare(a), bare(b)) for a, b in pairs if bare(a) != bare(b))
                    spoken = [pair for pair in pairs if pair[0]]
                    for k, names in enumerate(groups_of(u.item.tokens)):
                        for name in names:
                            self.grouped[name, who] += count(spoken[2 * k : 2 * k + 2])
                if pictures and n == 0 and e == s % len(EMOTIONS):
                    spectrograms(pictures / f"spectrogram-{s}.png", u.item.tokens, u.wav / 32768.0, wav)

    def table(self) -> list[str]:
        """A line for each speaker and emotion, each speaker, each emotion, and all."""
        names = "speaker, emotion, phones, tones, teacher's phones, tones, log-mel L1, F0 gross, voicing, length"
        out = [f"| {names.replace(', ', ' | ')} |", "|" + "---|" * 10]

        def line(name: str, mood: str, cells: list[tuple[int, int]]) -> None:
            rows = [row for cell in cells for row in self.results[cell]]
            mean = {key: np.mean([row[key] for row in rows]) for key in ("mel", "gross", "voicing", "length")}
            voice, teacher = (sum(self.errors[who, *cell] for cell in cells) for who in ("voice", "teacher"))
            figures = f"{mean['mel']:.3f} | {100 * mean['gross']:.1f} % | {100 * mean['voicing']:.1f} %"
            out.append(
                f"| {name} | {mood} | {percent(voice)} | {percent(teacher)} | {figures} | {mean['length']:.2f} |"
            )

        moods = list(EMOTIONS)
        for s, speaker in enumerate(self.cast):
            mine = [cell for cell in self.chosen if cell[0] == s]
            for cell in mine:
                line(speaker.name, moods[cell[1]], [cell])
            line(f"**{speaker.name}**", "all", mine)
        for e in sorted({e for _, e in self.chosen}):
            line("all", moods[e], [cell for cell in self.chosen if cell[1] == e])
        line("**all**", "all", list(self.chosen))
        if self.recogniser:
            phones = np.mean([self.errors["voice", *cell][1] for cell in self.chosen])
            chance = 200 * (0.02 * 0.98 / phones) ** 0.5
            out += ["", f"A speaker's emotion has {phones:.0f} phones in the mean: 2 % of them is 2 ± {chance:.1f} %"]
        return out

    def evenness(self) -> list[str]:
        """Loudness, and how often F0 stands where the frame rate would have it."""
        rows = [row for cell in self.results.values() for row in cell]
        voice, teacher = (100 * np.array([row[key] for row in rows]) for key in ("locked", "locked_teacher"))
        chance = 2 * (voice - teacher).std() / len(rows) ** 0.5
        shares = f"{voice.mean():.1f} % of frames, teacher {teacher.mean():.1f} %, difference ± {chance:.1f}"
        out = [f"F0 within 1 % of a multiple of the frame rate: {shares}", ""]
        columns = [(name, {c for c in self.chosen if c[1] == e}) for e, name in enumerate(EMOTIONS)]
        columns += [(person.name, {c for c in self.chosen if c[0] == s}) for s, person in enumerate(self.cast)]
        columns = [(name, cells) for name, cells in columns if cells]
        out.append("| loudness, dB | " + " | ".join(name for name, _ in columns) + " | sentence to sentence |")
        out.append("|" + "---|" * (len(columns) + 2))
        for key, who in (("loudness", "voice"), ("loudness_teacher", "teacher")):
            by_cell = {cell: [row[key] for row in rows] for cell, rows in self.results.items()}
            means = [f"{np.mean([np.mean(by_cell[cell]) for cell in cells]):.1f}" for _, cells in columns]
            spread = np.mean([np.std(values) for values in by_cell.values()])
            out.append(f"| {who} | {' | '.join(means)} | ±{spread:.1f} |")
        return out

    def tones(self) -> list[str]:
        out = ["| F0 by tone | finals | RMSE, semitones | median distance | correlation |", "|" + "---|" * 5]
        for tone, pairs in sorted(self.contours.items()):
            rmse = np.sqrt(np.mean(np.concatenate([(a - b) ** 2 for a, b in pairs])))
            middle = np.median(np.concatenate([np.abs(a - b) for a, b in pairs]))
            r = np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs if a.std() > 0.2 and b.std() > 0.05] or [0])
            out.append(f"| {tone} | {len(pairs)} | {rmse:.2f} | {middle:.2f} | {r:.2f} |")
        return out

    def groups(self) -> list[str]:
        """What is known to be hard, and what is misheard most."""
        out = ["| group | syllables | phones | tones | teacher's phones | tones |", "|" + "---|" * 6]
        for name in dict.fromkeys(name for name, _ in self.grouped):
            voice, teacher = self.grouped[name, "voice"], self.grouped[name, "teacher"]
            out.append(f"| {name} | {voice[1] / 2:.0f} | {percent(voice)} | {percent(teacher)} |")
        for who, mistaken in self.mistaken.items():
            worst = (f"{a or 'nothing'} as {b or 'nothing'} {n}" for (a, b), n in mistaken.most_common(12))
            out += ["", f"Heard of the {who}: {', '.join(worst)}"]
        return out

    def conditions(self) -> list[str]:
        """Phone and tone errors over the sliders, and of long sentences."""
        rows = [(u.item.tokens, s, e) for (s, e), us in self.chosen.items() for u in us[:SOME]]
        usual = Sliders()
        ways = {
            "as above": usual,
            "length scale 0.8": replace(usual, length_scale=0.8),
            "length scale 1.25": replace(usual, length_scale=1.25),
            "noise scale 0": replace(usual, noise_scale=0.0),
            "noise scale 0.667": replace(usual, noise_scale=0.667),
            "SDP ratio 1, noise_w 0.8": replace(usual, sdp_ratio=1.0),
        }
        out = [f"| {len(rows)} sentences | phones | tones |", "|---|---|---|"]
        out += [f"| {name} | {percent(self.misheard(how, rows))} |" for name, how in ways.items()]
        long = []
        for (s, e), us in self.chosen.items():
            tokens: list[str] = []
            for u in us:
                tokens += [*u.item.tokens, *([] if u.item.tokens[-1] in ",.?!…" else [","])]
                if sum(map(is_syllable, tokens)) >= 30:
                    long.append((tokens, s, e))
                    break
        out.append(f"| {len(long)} of 30 syllables and more | {percent(self.misheard(usual, long))} |")
        return out

    def melodies(self) -> list[str]:
        """How a sentence of first tones ends, as a statement and as a question."""
        out = ["| last syllable less the first, semitones | statement | question |", "|---|---|---|"]
        for s, speaker in enumerate(self.cast):
            moves = []
            for mark in (".", "?"):
                change = []
                for text in LEVEL:
                    tokens = [*text.split(), mark]
                    wav, durations = speak(self.net, tokens, s, 0, Sliders(noise_scale=0.0))
                    f0, _ = pitch(wav, speaker.low * 0.8, speaker.high * 1.3)
                    finals = final_frames(torch.tensor(tokens_to_ids(tokens)[1]), durations)
                    heights = [np.median(semitones(x[x > 0])) for _, a, b in finals if (x := f0[a:b]).any()]
                    change.append(heights[-1] - heights[0] if heights else np.nan)  # nan: it hums nowhere
                moves.append(f"{np.mean(change):+.1f}")
            out.append(f"| {speaker.name} | {' | '.join(moves)} |")
        return out

    def rhythm(self) -> list[str]:
        """How much lengths vary with the seed, at SDP ratio 1."""
        out = ["| noise_w (SDP ratio 1) | spread of a phone's length | of a sentence's | length over the plain one's |"]
        out.append("|---|---|---|---|")
        rows = [(us[0].item.tokens, s, e) for (s, e), us in self.chosen.items()]
        for noise_w in (0.0, 0.4, 0.8, 1.2):
            phones, whole, over = [], [], []
            for row in rows:
                how = Sliders(sdp_ratio=1.0, noise_w=noise_w)
                lengths = np.array([speak(self.net, *row, how, seed, sound=False)[1].numpy() for seed in range(8)])
                plain = speak(self.net, *row, Sliders(), sound=False)[1].sum().item()
                long = lengths[:, lengths.mean(0) >= 4]  # rounding alone moves the short ones
                phones.append((long.std(0) / long.mean(0)).mean())
                whole.append(lengths.sum(1).std() / lengths.sum(1).mean())
                over.append(lengths.sum(1).mean() / plain)
            spread = f"{100 * np.mean(phones):.1f} % | {100 * np.mean(whole):.1f} %"
            out.append(f"| {noise_w} | {spread} | {np.mean(over):.2f} |")
        return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of a voice: config.json and G.safetensors")
    parser.add_argument("--sentences", type=int, default=64, help="spread over speakers and emotions")
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of the data and the recogniser")
    parser.add_argument("--full", action="store_true", help="sliders, long sentences, melody, rhythm, confusions too")
    parser.add_argument("--report", type=Path, help="folder for report.md and pictures")
    args = parser.parse_args()
    torch.set_num_threads(1)
    measures = Measures(args.folder, args.runs, args.sentences)
    measures.listen(args.report)
    tables = [measures.table, measures.evenness, measures.tones, *([measures.groups] if measures.recogniser else [])]
    if args.full:
        tables += [measures.melodies, measures.rhythm, *([measures.conditions] if measures.recogniser else [])]
    out: list[str] = []
    for table in tables:
        out += [*table(), ""]
    text = "\n".join(out)
    print(text)
    if args.report:
        tones(args.report / "tones.png", measures.net, measures.cast)
        for log in sorted(args.runs.glob("*.log")):
            curves(args.report / f"{log.stem}.png", log)
        (args.report / "report.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
