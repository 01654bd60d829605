"""From nothing to a voice: `python -m train voices/NAME`, and again to go on after a break.

The stages run in order, each a process of its own, two side by side on the CPU. What is finished is skipped. A stage's
lines go to RUNS/STAGE.log; at the end the voice is written to its folder and measured, with figures, pictures and the
curves of all stages in RUNS/report. With --recordings the voice is trained on a list of own recordings, from the
weights of --from.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from threading import Thread

from train.common import load
from train.data import RUNS

# Steps of the recipe, in the order of need; those of one row do not wait for each other.
RECIPE = (
    {"ear": 1_600, "decoder": 12_000},
    {"prosody": 24_000, "recognise": 10_000},
    {"rhythm": 4_000, "finetune": 8_000},
)
UTTERANCES, JUDGE = 10_000, 2_000  # said by the speakers, and by strangers: 13 and 3 hours of speech
OWN = ({"ear": 800}, {"prosody": 5_000}, {"rhythm": 1_500, "finetune": 2_000})
STATES = {"recognise": "recogniser.pt"}  # the others are named as their stage
STARTS_FROM_A_VOICE = ("prosody", "finetune", "rhythm")


def steps_done(stage: str, runs: Path) -> int:
    path = runs / STATES.get(stage, f"{stage}.pt")
    return load(path)["step"] if path.exists() else 0


def python(module: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", f"train.{module}", *map(str, arguments)]


def stage(name: str, steps: int, args: argparse.Namespace) -> list[str]:
    """Its command line."""
    line = python(name, "--resume", "--runs", args.runs, "--steps", steps, "--device", args.device)
    if args.recordings and name in STARTS_FROM_A_VOICE:
        line += ["--from", str(args.voice)]
    return line


def run(jobs: dict[str, list[str]], runs: Path) -> None:
    """Side by side, lines on the terminal and in logs. Raises SystemExit if one fails, once all have ended."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}

    def follow(name: str, process: subprocess.Popen) -> None:
        with (runs / f"{name}.log").open("ab") as log:
            for line in process.stdout:
                log.write(line)
                log.flush()
                print(f"{name}: {line.decode('utf-8', 'replace').rstrip()}", flush=True)

    threads, processes = [], {}
    for name, line in jobs.items():
        print(f"python {' '.join(line[1:])}", flush=True)
        processes[name] = subprocess.Popen(line, env=environment, stdout=subprocess.PIPE)
        threads.append(Thread(target=follow, args=(name, processes[name])))
        threads[-1].start()
    for thread in threads:
        thread.join()
    failed = [f"train.{name}" for name, process in processes.items() if process.wait()]
    if failed:
        raise SystemExit(f"{' and '.join(failed)} ended with an error, see above; the same command goes on from there")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m train", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the voice is written: voices/NAME")
    parser.add_argument(
        "--recordings", type=Path, metavar="FILELIST", help="own ones: path|speaker|language|text a line"
    )
    parser.add_argument("--from", dest="voice", type=Path, default=Path("voices/xiaoyu"), help="where own ones start")
    parser.add_argument("--runs", type=Path, help="folder of data and states (train/runs/NAME)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or another one of torch's")
    parser.add_argument("--scale", type=float, default=1.0, help="of steps and minutes: 0.01 tries the whole way")
    args = parser.parse_args()
    args.runs = args.runs or RUNS / args.folder.name
    args.runs.mkdir(parents=True, exist_ok=True)
    if not (args.runs / "data" / "speakers.json").exists():
        if args.recordings:
            data = python("recordings", args.recordings, "--runs", args.runs, "--from", args.voice)
        else:
            run({"texts": python("texts", args.runs)}, args.runs)
            counts = (max(40, round(count * args.scale)) for count in (UTTERANCES, JUDGE))
            said = ("--utterances", next(counts), "--judge", next(counts))
            run({"generate": python("generate", "--runs", args.runs, *said)}, args.runs)
            data = python("data", "--runs", args.runs)
        run({"data": data}, args.runs)
    for row in OWN if args.recordings else RECIPE:
        wanted = {name: max(2, round(steps * args.scale)) for name, steps in row.items()}
        jobs = {
            name: stage(name, steps, args)
            for name, steps in wanted.items()
            if steps_done(name, args.runs) < wanted[name]
        }
        for part in [jobs] if args.device == "cpu" else [{name: line} for name, line in jobs.items()]:
            run(part, args.runs)
    run({"export": python("export", args.folder, "--runs", args.runs)}, args.runs)
    report = ("--full", "--report", args.runs / "report")
    run({"evaluate": python("evaluate", args.folder, "--runs", args.runs, *report)}, args.runs)


if __name__ == "__main__":
    main()
