"""From nothing to a voice: `python -m train voices/NAME`, and again to go on after a break.

The stages run in order, each a process of its own, two side by side on the CPU. What is finished is skipped. A stage's
lines go to RUNS/STAGE.log; at the end the voice is written to its folder and measured, with figures, pictures and the
curves of all stages in RUNS/report. With --recordings the voice is trained on a list of own recordings, from the
weights of --from.
"""

import os
import subprocess
import sys
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from train.loop import RUNS, load, options

# Steps of the recipe, in the order of need; those of one row do not wait for each other.
RECIPE: tuple[dict[str, int], ...] = (
    {"ear": 1_600, "decoder": 4_000},
    {"prosody": 16_000, "recognise": 10_000},
    {"rhythm": 4_000, "finetune": 6_000},
)
OWN: tuple[dict[str, int], ...] = ({"ear": 800}, {"prosody": 5_000}, {"rhythm": 1_500, "finetune": 2_000})
STATES = {"recognise": "recogniser.pt"}  # the others are named as their stage
STARTS_FROM_A_VOICE = ("prosody", "finetune", "rhythm")


def steps_done(stage: str, runs: Path) -> int:
    path = runs / STATES.get(stage, f"{stage}.pt")
    return load(path)["step"] if path.exists() else 0


def python(module: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", f"train.{module}", *map(str, arguments)]


def stage(name: str, steps: int, args: Namespace) -> list[str]:
    """Its command line."""
    line = python(name, "--resume", "--runs", args.runs, "--steps", steps, "--device", args.device)
    if args.recordings and name in STARTS_FROM_A_VOICE:
        line += ["--from", str(args.voice)]
    if name == "recognise":
        line += ["--minutes", str(max(2.0, 500 * args.scale))]
    return line


def run(jobs: dict[str, list[str]], runs: Path) -> None:
    """Side by side, lines on the terminal and in logs. Raises SystemExit if one fails, once all have ended."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}

    def follow(name: str) -> int:
        print(f"python {' '.join(jobs[name][1:])}", flush=True)
        process = subprocess.Popen(jobs[name], env=environment, stdout=subprocess.PIPE)
        assert process.stdout
        with (runs / f"{name}.log").open("ab") as log:
            for line in process.stdout:
                log.write(line)
                log.flush()
                print(f"{name}: {line.decode('utf-8', 'replace').rstrip()}", flush=True)
        return process.wait()

    with ThreadPoolExecutor(max(1, len(jobs))) as pool:
        failed = [f"train.{name}" for name, code in zip(jobs, pool.map(follow, jobs), strict=True) if code]
    if failed:
        raise SystemExit(f"{' and '.join(failed)} ended with an error, see above; the same command goes on from there")


def main() -> None:
    voice = Path("voices/xiaoyu")
    args = options(__doc__, "folder", recordings=None, voice=voice, runs=None, device="cpu", scale=1.0)
    args.runs = args.runs or RUNS / args.folder.name
    args.runs.mkdir(parents=True, exist_ok=True)
    if not (args.runs / "data" / "speakers.json").exists():
        if args.recordings:
            data = python("recordings", args.recordings, "--runs", args.runs, "--from", args.voice)
        else:
            lengths = ("--minutes", 100 * args.scale, "--test-minutes", max(0.5, 5 * args.scale))
            data = python("data", "--runs", args.runs, *lengths)
        run({"data": data}, args.runs)
    for row in OWN if args.recordings else RECIPE:
        steps = {name: max(2, round(count * args.scale)) for name, count in row.items()}
        jobs = {name: stage(name, n, args) for name, n in steps.items() if steps_done(name, args.runs) < n}
        for part in [jobs] if args.device == "cpu" else [{name: line} for name, line in jobs.items()]:
            run(part, args.runs)
    run({"export": python("export", args.folder, "--runs", args.runs)}, args.runs)
    report = ("--full", "--report", args.runs / "report")
    run({"evaluate": python("evaluate", args.folder, "--runs", args.runs, *report)}, args.runs)


if __name__ == "__main__":
    main()
