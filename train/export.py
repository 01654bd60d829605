"""All parts into one voice folder, in half precision: `python -m train.export voices/xiaoyu`"""

import json

from safetensors.torch import save_file

from models.checkpoint import load_checkpoint
from train.common import build, config
from train.loop import RUNS, load, options
from train.prosody import parts_of
from train.speakers import read_cast


def main() -> None:
    args = options(__doc__, "folder", runs=RUNS, prosody=None, rhythm=None, decoder=[])
    cast = read_cast(args.runs / "data")
    net = build(cast)
    prosody, rhythm = load(args.prosody or args.runs / "prosody.pt"), load(args.rhythm or args.runs / "rhythm.pt")
    decoders = [load(path) for path in args.decoder or [args.runs / "finetune.pt"]]
    for name, part in parts_of(net).items():
        part.load_state_dict(prosody[name])
    net.sdp.load_state_dict(rhythm["sdp"])
    averages = [state["average"] for state in decoders]
    net.dec.load_state_dict({key: sum(a[key] for a in averages) / len(averages) for key in averages[0]})
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
