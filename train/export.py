"""All parts into one voice folder, in half precision: `python -m train.export voices/xiaoyu`"""

import argparse
import json
from pathlib import Path

from safetensors.torch import save_file

from models.checkpoint import load_checkpoint
from train.common import build, config, load
from train.data import RUNS
from train.prosody import PARTS
from train.speakers import read_cast


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of data and states")
    parser.add_argument("--prosody", type=Path, help="RUNS/prosody.pt")
    parser.add_argument("--rhythm", type=Path, help="RUNS/rhythm.pt")
    parser.add_argument("--decoder", type=Path, nargs="+", help="RUNS/finetune.pt; several are averaged")
    args = parser.parse_args()
    cast = read_cast(args.runs / "data")
    net = build(cast)
    prosody, rhythm = load(args.prosody or args.runs / "prosody.pt"), load(args.rhythm or args.runs / "rhythm.pt")
    decoders = [load(path) for path in args.decoder or [args.runs / "finetune.pt"]]
    for part in PARTS:
        net.get_submodule(part).load_state_dict(prosody[part])
    net.sdp.load_state_dict(rhythm["sdp"])
    averages = [d["average"] for d in decoders]
    net.dec.load_state_dict({k: sum(a[k] for a in averages) / len(averages) for k in averages[0]})
    args.folder.mkdir(parents=True, exist_ok=True)
    path = args.folder / "G.safetensors"
    text = json.dumps(config(cast), ensure_ascii=False, indent=2) + "\n"
    (args.folder / "config.json").write_text(text, encoding="utf-8")
    save_file({name: value.half().contiguous() for name, value in net.state_dict().items()}, path)
    _, why = load_checkpoint(path)
    states = (("text side", prosody), ("rhythm", rhythm), ("decoder", decoders[0]))
    trained = ", ".join(f"{name} step {s['step']} ({s['seconds'] / 60:.0f} min)" for name, s in states)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB; {trained}; recognised: {why}")


if __name__ == "__main__":
    main()
