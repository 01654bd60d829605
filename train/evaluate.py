"""How near a voice comes to its teacher on held-out sentences, with its own durations.

`python -m train.evaluate voices/xiaoyu --full --report FOLDER`

Frames are matched by dynamic time warping on log-mels. With RUNS/recogniser.pt (train.recognise) phone and tone errors
are counted too, for the voice and for the teacher's own audio. It measures faithfulness to the teacher, not
naturalness: look at the pictures in the report's folder as well.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from models.checkpoint import load_checkpoint
from models.stages import Sliders
from train.common import Utterance, corpus, speak, tokens_to_ids
from train.features import HOP, SAMPLE_RATE, log_mel, pitch
from train.loop import RUNS, options
from train.pictures import curves, spectrograms, tones
from train.recognise import Recogniser, bare, count, labels, match, reference_labels
from train.sentences import is_syllable
from train.speakers import EMOTIONS, Speaker, read_cast

FRAME_RATE = SAMPLE_RATE / HOP
SOME = 8  # sentences of each speaker and emotion where every slider is tried
LEVEL = ["ta1 jin1 tian1 zhong1 gong1 kai1 che1", "ma1 ma1 chi1 xi1 gua1", "san1 feng1 shu1 xin1 du1 ji1 chu1"]
USUAL = Sliders()  # the rhythm is the plain predictor's but where it is what is measured
Cell = tuple[int, int]  # speaker, emotion


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


Contours = dict[int, list[tuple[np.ndarray, np.ndarray]]]  # by tone, semitones of finals: teacher, voice


def compare(u: Utterance, wav: np.ndarray, speaker: Speaker, contours: Contours) -> dict[str, float]:
    """Figures of a sentence of the voice beside the teacher's; its finals are added to `contours`."""
    from librosa.sequence import dtw  # here, since it takes a while

    teacher = u.wav / 32768.0
    mel_t, mel_v = log_mel(teacher), log_mel(wav)
    i, j = dtw(mel_t.T, mel_v.T, metric="cityblock")[1][::-1].T
    f0_t, _ = pitch(teacher, speaker.low, speaker.high)
    f0_v, _ = pitch(wav, speaker.low * 0.8, speaker.high * 1.3)
    a, b = f0_t[i], f0_v[j]
    both = (a > 0) & (b > 0)
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
    }


def groups_of(tokens: list[str]) -> list[set[str]]:
    """What each syllable is looked at for."""
    words = list(filter(is_syllable, tokens))
    out = []
    for i, word in enumerate(words):
        initial, _ = labels(word)
        beside = [words[k][-1] for k in (i - 1, i + 1) if 0 <= k < len(words)]
        groups = {
            "third tones in a chain": word[-1] == "3" and "3" in beside,
            "neutral tones": word[-1] == "5",
            "initials m, n": initial in ("m", "n") and not word.startswith(("a", "e", "o")),
            "er": word[:-1] == "er",
        }
        out.append({name for name, inside in groups.items() if inside})
    return out


def percent(errors: np.ndarray) -> str:
    """What count() gives, two cells of a table."""
    wrong, phones, off, tones = errors
    return f"{100 * wrong / max(phones, 1):.1f} % | {100 * off / max(tones, 1):.1f} %"


def table(header: str, rows: Iterable[Sequence[str]]) -> list[str]:
    """Markdown. header: with | between, as cells that stand for several."""
    return [f"| {header} |", "|" + "---|" * (header.count("|") + 1), *(f"| {' | '.join(row)} |" for row in rows)]


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
        self.chosen: dict[Cell, list[Utterance]] = {cell: rows[:each] for cell, rows in sorted(cells.items())}
        self.results = defaultdict[Cell, list[dict[str, float]]](list)
        self.contours: Contours = defaultdict(list)
        self.errors = defaultdict[tuple, np.ndarray](lambda: np.zeros(4))  # of voice and teacher, by cell and by group
        self.groups = dict[str, None]()
        self.mistakes = defaultdict[str, Counter](Counter)

    def pairs(self, wav: np.ndarray, tokens: list[str]) -> list[tuple[str, str]]:
        """What is said and what is heard, side by side."""
        assert self.recogniser
        return match(reference_labels(tokens), self.recogniser.hear(wav))

    def misheard(self, how: Sliders, rows: list[tuple[list[str], int, int]]) -> str:
        """Of (tokens, speaker, emotion) spoken in one way."""
        total = np.zeros(4)
        for tokens, s, e in tqdm(rows, desc=str(how), mininterval=10, leave=False):
            total += count(self.pairs(speak(self.net, tokens, s, e, how)[0], tokens))
        return percent(total)

    def listen(self, pictures: Path | None) -> None:
        """Speak all chosen sentences and keep what the tables are made of."""
        for (s, e), rows in tqdm(self.chosen.items(), desc="speakers x emotions", mininterval=10):
            for n, u in enumerate(rows):
                teacher, wav = u.wav / 32768.0, speak(self.net, u.item.tokens, s, e, USUAL)[0]
                self.results[s, e].append(compare(u, wav, self.cast[s], self.contours))
                if self.recogniser:
                    self.judge("voice", (s, e), wav, u.item.tokens)
                    self.judge("teacher", (s, e), teacher, u.item.tokens)
                if pictures and n == 0 and e == s % len(EMOTIONS):
                    spectrograms(pictures / f"spectrogram-{s}.png", u.item.tokens, teacher, wav)

    def judge(self, who: str, cell: Cell, wav: np.ndarray, tokens: list[str]) -> None:
        """Count what is misheard of a sentence."""
        pairs = self.pairs(wav, tokens)
        self.errors[who, *cell] += count(pairs)
        self.mistakes[who].update((bare(a), bare(b)) for a, b in pairs if bare(a) != bare(b))
        spoken = [pair for pair in pairs if pair[0]]
        for k, names in enumerate(groups_of(tokens)):
            for name in names:
                self.groups[name] = None
                self.errors[who, name] += count(spoken[2 * k : 2 * k + 2])

    def mean(self, key: str, cells: Iterable[Cell]) -> float:
        return float(np.mean([row[key] for cell in cells for row in self.results[cell]]))

    def by_speaker_and_emotion(self) -> list[str]:
        """A line for each speaker and emotion, each speaker, each emotion, and all."""

        def line(name: str, mood: str, cells: list[Cell]) -> list[str]:
            errors = [percent(np.sum([self.errors[who, *cell] for cell in cells], 0)) for who in ("voice", "teacher")]
            mel, gross, voicing, length = (self.mean(key, cells) for key in ("mel", "gross", "voicing", "length"))
            figures = f"{mel:.3f} | {100 * gross:.1f} % | {100 * voicing:.1f} % | {length:.2f}"
            return [name, mood, *errors, figures]

        rows, moods = [], list(EMOTIONS)
        for s, speaker in enumerate(self.cast):
            mine = [cell for cell in self.chosen if cell[0] == s]
            rows += [line(speaker.name, moods[cell[1]], [cell]) for cell in mine]
            rows.append(line(f"**{speaker.name}**", "all", mine))
        for e in sorted({e for _, e in self.chosen}):
            rows.append(line("all", moods[e], [cell for cell in self.chosen if cell[1] == e]))
        rows.append(line("**all**", "all", list(self.chosen)))
        header = "speaker, emotion, phones, tones, teacher's phones, tones, log-mel L1, F0 gross, voicing, length"
        out = table(header.replace(", ", " | "), rows)
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
        columns = {name: [c for c in self.chosen if c[1] == e] for e, name in enumerate(EMOTIONS)}
        columns |= {person.name: [c for c in self.chosen if c[0] == s] for s, person in enumerate(self.cast)}
        columns = {name: cells for name, cells in columns.items() if cells}
        lines = []
        for key, who in (("loudness", "voice"), ("loudness_teacher", "teacher")):
            by_cell = {cell: [row[key] for row in rows] for cell, rows in self.results.items()}
            means = [f"{np.mean([np.mean(by_cell[cell]) for cell in cells]):.1f}" for cells in columns.values()]
            lines.append([who, *means, f"±{np.mean([np.std(values) for values in by_cell.values()]):.1f}"])
        header = " | ".join(["loudness, dB", *columns, "sentence to sentence"])
        return [f"F0 within 1 % of a multiple of the frame rate: {shares}", "", *table(header, lines)]

    def tones(self) -> list[str]:
        """How far the pitch of finals is from the teacher's."""
        rows = []
        for tone, pairs in sorted(self.contours.items()):
            apart = np.concatenate([a - b for a, b in pairs])
            r = np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs if a.std() > 0.2 and b.std() > 0.05] or [0])
            distances = f"{np.sqrt(np.mean(apart**2)):.2f}", f"{np.median(np.abs(apart)):.2f}"
            rows.append([str(tone), str(len(pairs)), *distances, f"{r:.2f}"])
        return table("F0 by tone | finals | RMSE, semitones | median distance | correlation", rows)

    def confusions(self) -> list[str]:
        """What is known to be hard, and what is misheard most."""
        rows = []
        for name in self.groups:
            voice, teacher = self.errors["voice", name], self.errors["teacher", name]
            rows.append([name, f"{voice[1] / 2:.0f}", percent(voice), percent(teacher)])
        out = table("group | syllables | phones | tones | teacher's phones | tones", rows)
        for who, mistakes in self.mistakes.items():
            worst = (f"{a or 'nothing'} as {b or 'nothing'} {n}" for (a, b), n in mistakes.most_common(12))
            out += ["", f"Heard of the {who}: {', '.join(worst)}"]
        return out

    def conditions(self) -> list[str]:
        """Phone and tone errors over the sliders, and of long sentences."""
        rows = [(u.item.tokens, s, e) for (s, e), us in self.chosen.items() for u in us[:SOME]]
        ways = {
            "as above": USUAL,
            "length scale 0.8": replace(USUAL, length_scale=0.8),
            "length scale 1.25": replace(USUAL, length_scale=1.25),
            "noise scale 0": replace(USUAL, noise_scale=0.0),
            "noise scale 0.667": replace(USUAL, noise_scale=0.667),
            "SDP ratio 1, noise_w 0.8": replace(USUAL, sdp_ratio=1.0),
        }
        lines = [[name, self.misheard(how, rows)] for name, how in ways.items()]
        long = []
        for (s, e), us in self.chosen.items():
            tokens: list[str] = []
            for u in us:
                tokens += [*u.item.tokens, *([] if u.item.tokens[-1] in ",.?!…" else [","])]
                if sum(map(is_syllable, tokens)) >= 30:
                    long.append((tokens, s, e))
                    break
        lines.append([f"{len(long)} of 30 syllables and more", self.misheard(USUAL, long)])
        return table(f"{len(rows)} sentences | phones | tones", lines)

    def melodies(self) -> list[str]:
        """How a sentence of first tones ends, as a statement and as a question."""

        def move(s: int, tokens: list[str]) -> float:
            """Semitones from the first syllable to the last; nan: it hums nowhere."""
            wav, durations = speak(self.net, tokens, s, 0, Sliders(noise_scale=0.0))
            f0, _ = pitch(wav, self.cast[s].low * 0.8, self.cast[s].high * 1.3)
            finals = final_frames(torch.tensor(tokens_to_ids(tokens)[1]), durations)
            heights = [np.median(semitones(x[x > 0])) for _, a, b in finals if (x := f0[a:b]).any()]
            return float(heights[-1] - heights[0]) if heights else np.nan

        rows = []
        for s, speaker in enumerate(self.cast):
            moves = (np.mean([move(s, [*text.split(), mark]) for text in LEVEL]) for mark in ".?")
            rows.append([speaker.name, *(f"{mean:+.1f}" for mean in moves)])
        return table("last syllable less the first, semitones | statement | question", rows)

    def rhythm(self) -> list[str]:
        """How much lengths vary with the seed, at SDP ratio 1."""
        rows = []
        for noise_w in (0.0, 0.4, 0.8, 1.2):
            phones, whole, over = [], [], []
            for (s, e), us in self.chosen.items():
                row = us[0].item.tokens, s, e
                how = Sliders(sdp_ratio=1.0, noise_w=noise_w)
                lengths = np.array([speak(self.net, *row, how, seed, sound=False)[1].numpy() for seed in range(8)])
                plain = speak(self.net, *row, USUAL, sound=False)[1].sum().item()
                long = lengths[:, lengths.mean(0) >= 4]  # rounding alone moves the short ones
                phones.append((long.std(0) / long.mean(0)).mean())
                whole.append(lengths.sum(1).std() / lengths.sum(1).mean())
                over.append(lengths.sum(1).mean() / plain)
            spreads = f"{100 * np.mean(phones):.1f} %", f"{100 * np.mean(whole):.1f} %"
            rows.append([str(noise_w), *spreads, f"{np.mean(over):.2f}"])
        header = "noise_w (SDP ratio 1) | spread of a phone's length | of a sentence's | length over the plain one's"
        return table(header, rows)


def main() -> None:
    args = options(__doc__, "folder", sentences=64, runs=RUNS, full=False, report=None)
    torch.set_num_threads(1)
    measures = Measures(args.folder, args.runs, args.sentences)
    measures.listen(args.report)
    tables = [measures.by_speaker_and_emotion, measures.evenness, measures.tones]
    tables += [measures.confusions] if measures.recogniser else []
    if args.full:
        tables += [measures.melodies, measures.rhythm, *([measures.conditions] if measures.recogniser else [])]
    text = "\n".join(line for table in tables for line in [*table(), ""])
    print(text)
    if args.report:
        tones(args.report / "tones.png", measures.net, measures.cast)
        for log in sorted(args.runs.glob("*.log")):
            curves(args.report / f"{log.stem}.png", log)
        (args.report / "report.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
