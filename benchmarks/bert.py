"""python -m benchmarks.bert [FOLDER]: what 8-bit weights and bfloat16 save, against float32 on this CPU.

The 8-bit weights are made anew, beside the others. Without a folder a random Megatron-BERT of the full size is made in
a temporary one (7 GB of disk, 5 GB of memory). How near its features are says how rounding adds up in 22 layers; only
the released weights, as FOLDER, tell what it does to speech. Memory is that of a process of its own; times are CPU
seconds of one thread, the precisions in turn in one process, medians. Memory that is mapped from a file and could be
let go at once counts, too. The last line is JSON.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F

from bert import BertFeatures
from bert.network import bfloat16_is_fast
from bert.quantise import quantise

TEXT = "今天天气真好，我们去公园散步吧。音乐让人快乐，你叫什么名字？欢迎来到这里，请慢慢听我说。" * 8
LENGTHS = (14, 30, 62, 126)  # characters


def make_random(folder: Path) -> Path:
    """A random network of the size of Erlangshen-MegatronBert-1.3B."""
    from safetensors.torch import save_file
    from transformers import MegatronBertConfig, MegatronBertModel

    config = MegatronBertConfig(
        vocab_size=21248, hidden_size=2048, num_hidden_layers=24, num_attention_heads=32, intermediate_size=8192
    )
    with torch.device("meta"):
        shapes = {name: p.shape for name, p in MegatronBertModel(config, add_pooling_layer=False).named_parameters()}
    random = torch.Generator().manual_seed(0)
    weights = {name: torch.empty(shape).normal_(0, 0.02, generator=random) for name, shape in shapes.items()}
    for name in weights:
        if name.endswith("ln.weight"):
            weights[name] += 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(folder)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*special, *sorted(set(TEXT))]
    words += [f"[unused{i}]" for i in range(21248 - len(words))]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    return folder


def alone(work: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a function in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def convert(folder: Path) -> dict[str, float]:
    start = time.process_time()
    file = quantise(folder)
    return {"cpu_s": time.process_time() - start, "peak_gb": peak(), "file_gb": file.stat().st_size / 1e9}


def resident(folder: Path, dtype: torch.dtype) -> dict[str, float]:
    """Of a process that has loaded BERT and spoken a sentence."""
    torch.set_num_threads(1)
    features = BertFeatures.load(folder, dtype=dtype)
    features(TEXT[:30], [1] * 32)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {"resident_gb": pages * resource.getpagesize() / 1e9, "peak_gb": peak()}


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def times(folder: Path, dtypes: Sequence[torch.dtype], rounds: int) -> list[dict]:
    """CPU seconds by text length and precision, and how near the features are to float32."""
    torch.set_num_threads(1)
    loaded = {dtype: BertFeatures.load(folder, dtype=dtype) for dtype in dtypes}
    rows = []
    for length in LENGTHS:
        ids = loaded[torch.float32].character_ids(TEXT[:length])
        seconds: dict[torch.dtype, list[float]] = {dtype: [] for dtype in dtypes}
        hidden: dict[torch.dtype, torch.Tensor] = {}
        for _ in range(rounds + 1):  # the first brings the weights into memory
            for dtype, features in loaded.items():
                start = time.process_time()
                hidden[dtype] = F.normalize(features._hidden(ids), dim=0).flatten()
                seconds[dtype].append(time.process_time() - start)
        row: dict[str, Any] = {"characters": length}
        for dtype in dtypes:
            cosine = F.cosine_similarity(hidden[dtype], hidden[torch.float32], dim=0).item()
            row[name(dtype)] = {"cpu_s": median(seconds[dtype][1:]), "cosine": cosine}
        rows.append(row)
    return rows


def name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.bert", description="Measure BERT's precisions on this CPU.")
    parser.add_argument(
        "folder", nargs="?", type=Path, help="with config.json, vocab.txt and weights; else random ones"
    )
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    dtypes = [torch.float32, torch.int8, *([torch.bfloat16] if bfloat16_is_fast() else [])]
    with tempfile.TemporaryDirectory() as place:
        folder = options.folder or alone(make_random, Path(place))
        result: dict = {"weights": "random" if options.folder is None else folder.name}
        result["conversion"] = alone(convert, folder)
        print(
            "to 8 bits:    {cpu_s:.0f} s of CPU, peak {peak_gb:.2f} GB, file {file_gb:.2f} GB".format_map(
                result["conversion"]
            )
        )
        result["memory"] = {name(dtype): alone(resident, folder, dtype) for dtype in dtypes}
        for dtype, memory in result["memory"].items():
            print(f"{dtype:9}     {memory['resident_gb']:.2f} GB resident, peak {memory['peak_gb']:.2f} GB")
        result["times"] = alone(times, folder, dtypes, options.rounds)
    for row in result["times"]:
        plain = row["float32"]["cpu_s"]
        cells = (
            f"{dtype} {cell['cpu_s']:.3f} s ({plain / cell['cpu_s']:.2f} x, cosine {cell['cosine']:.5f})"
            for dtype, cell in row.items()
            if dtype != "characters"
        )
        print(f"{row['characters']:4} characters:", "   ".join(cells))
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
