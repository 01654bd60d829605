"""Both halves into one voice folder, in half precision: `python -m train.export voices/xiaoyu`"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from models.checkpoint import load_checkpoint
from train.common import CONFIG, build, load
from train.data import RUNS
from train.prosody import PARTS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prosody", type=Path, default=RUNS / "prosody.pt")
    parser.add_argument("--decoder", type=Path, nargs="+", default=[RUNS / "finetune.pt"], help="several are averaged")
    args = parser.parse_args()
    net = build()
    prosody, decoders = load(args.prosody), [load(path) for path in args.decoder]
    decoder = decoders[0]
    for part in PARTS:
        net.get_submodule(part).load_state_dict(prosody[part])
    averages = [d["average"] for d in decoders]
    net.dec.load_state_dict({k: sum(a[k] for a in averages) / len(averages) for k in averages[0]})
    args.folder.mkdir(parents=True, exist_ok=True)
    path = args.folder / "G.safetensors"
    (args.folder / "config.json").write_text(json.dumps(CONFIG, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    save_file({name: value.to(torch.float16).contiguous() for name, value in net.state_dict().items()}, path)
    _, why = load_checkpoint(path)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB; prosody step {prosody['step']} ({prosody['seconds'] / 60:.0f} "
          f"min), decoder step {decoder['step']} ({decoder['seconds'] / 60:.0f} min); recognised: {why}")  # fmt: skip


if __name__ == "__main__":
    main()
