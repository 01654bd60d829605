"""What the stages' programs share: the command line, states on disk, and the one loop that takes the steps."""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from models.checkpoint import load_checkpoint

RUNS = Path(__file__).parent / "runs"
SAY, STORE = 30, 120  # seconds of training between two lines, and between two states


def options(doc: str | None, *places: str, **defaults: object) -> argparse.Namespace:
    """The command line: paths in their order, then options, described by options.yml and the first line of `doc`.

    defaults: None for a path, a type for a value that may be left out, False for a switch, [] for some paths. The
    option `voice` is written --from.
    """
    helps = yaml.safe_load(Path(__file__).with_name("options.yml").read_text("utf-8"))
    program = f"python -m train.{Path(sys.argv[0]).stem}".removesuffix(".__main__")
    parser = argparse.ArgumentParser(program, description=(doc or "").partition("\n")[0])
    for name in places:
        parser.add_argument(name, type=Path, help=helps[name])
    for name, default in defaults.items():
        way: dict[str, Any] = {"type": Path if default in (None, []) else type(default), "default": default}
        if default is False:
            way = {"action": "store_true"}
        elif isinstance(default, type):
            way = {"type": default}
        elif isinstance(default, list):
            way["nargs"] = "+"
        flag = "from" if name == "voice" else name.replace("_", "-")
        shown = f" ({default})" if default and not isinstance(default, type) else ""
        parser.add_argument(f"--{flag}", dest=name, help=helps[name] + shown, **way)
    return parser.parse_args()


def stage_options(doc: str | None, state: str, voice: bool = True, **defaults: object) -> argparse.Namespace:
    """The command line of a stage that keeps RUNS/state; voice: it can start from a released one.

    One thread on the CPU, since stages run side by side. Raises SystemExit if torch cannot use the device.
    """
    common = {"resume": False, "runs": RUNS, "out": None, "device": "cpu"} | ({"voice": None} if voice else {})
    args = options(doc, **defaults, **common)
    args.out = args.out or args.runs / state
    torch.set_num_threads(1)
    try:
        torch.zeros(1, device=args.device)
    except (RuntimeError, AssertionError) as error:
        why = f"torch cannot use the device {args.device!r} ({str(error).splitlines()[0]})"
        raise SystemExit(f"{why}; leave --device out to train on the CPU") from None
    args.device = torch.device(args.device)
    return args


def save(path: Path, **content: object) -> None:
    """Written whole or not at all: a killed run leaves the file before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def load(path: Path) -> dict[str, Any]:
    """A stage's state. Raises SystemExit if it is not there."""
    if not path.exists():
        raise SystemExit(f"{path} is not there; run the stage before first (train/README.md)")
    return torch.load(path, weights_only=True, map_location="cpu")


def take_over(folder: Path, parts: Mapping[str, nn.Module]) -> None:
    """Put a released voice's weights into parts of the network, by their names in it."""
    released, _ = load_checkpoint(folder / "G.safetensors")
    for name, part in parts.items():
        part.load_state_dict(released.get_submodule(name).state_dict())


def adam(module: nn.Module, lr: float) -> Optimizer:
    """As the decoder and the stochastic durations are trained."""
    return torch.optim.AdamW(module.parameters(), lr, betas=(0.8, 0.99), weight_decay=0.0)


def warm_up(args: argparse.Namespace, warm: int = 50, fall: float = 0.9) -> Callable[[int], float]:
    """Learning rate of a step: up to args.lr over `warm` steps, then down evenly by `fall` of it."""
    return lambda step: args.lr * min(1, (step + 1) / warm) * (1 - fall * step / args.steps)


class Run:
    """A stage under way. step, seconds: steps taken and time trained so far, breaks not counted."""

    def __init__(
        self,
        args: argparse.Namespace,
        parts: Mapping[str, nn.Module],
        optimizer: Optimizer,
        decay: float = 0.0,
        before: Path | None = None,
        **more: object,
    ) -> None:
        """Weights come from args.out where that is resumed, else from the voice args.voice, else from `before`.

        parts: what is trained, by its names in the state. decay: a running average of the first part's weights is
        kept (what a voice is made of), this much of it at each step. before: the state of an earlier stage, whose
        average it begins with. more: is kept in the state, too.
        """
        self.args, self.parts, self.optimizer, self.more = args, parts, optimizer, more
        self.step, self.seconds = 0, 0.0
        first, state = next(iter(parts.values())), dict[str, Any]()
        if args.resume and args.out.exists():
            state = load(args.out)
            for name, part in parts.items():
                part.load_state_dict(state[name])
            optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds = state["step"], state["seconds"]
        elif getattr(args, "voice", None):
            take_over(args.voice, parts)
        elif before:
            earlier = load(before)
            first.load_state_dict(earlier["average"])
            self.seconds = earlier["seconds"]
        self.average = AveragedModel(first, multi_avg_fn=get_ema_multi_avg_fn(decay)) if decay else None
        if self.average:
            self.average.n_averaged.fill_(1)  # the weights that it begins with count as one step's
            if "average" in state:
                self.average.module.load_state_dict(state["average"])

    def loop(
        self,
        learn: Callable[[int], tuple[Tensor, dict[str, Tensor]]],
        rate: Callable[[int], float],
        clip: float = 1.0,
    ) -> None:
        """Take the steps that are left; a line each half minute, the state every two, and both at the end.

        learn: step -> loss and the figures that are printed, of which the line has the means. clip: the gradient's
        largest norm.
        """
        first, began = next(iter(self.parts.values())), time.monotonic() - self.seconds
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        seen: list[dict[str, float]] = []
        say, store = self.seconds + SAY, self.seconds + STORE
        while self.step < self.args.steps:
            for group in self.optimizer.param_groups:
                group["lr"] = rate(self.step)
            loss, figures = learn(self.step)
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, clip)
            self.optimizer.step()
            if self.average:
                self.average.update_parameters(first)
            seen.append({name: value.item() for name, value in figures.items()})
            self.step, self.seconds = self.step + 1, time.monotonic() - began
            last = self.step == self.args.steps
            if last or self.seconds >= say:
                means = "  ".join(f"{name} {np.mean([row[name] for row in seen]):.4f}" for name in figures)
                print(f"step {self.step}  {means}  {self.seconds:.0f} s", flush=True)
                seen, say = [], self.seconds + SAY
            if last or self.seconds >= store:
                self.store()
                store = self.seconds + STORE
        if not self.args.out.exists():  # a released voice's weights, that need no step more
            self.store()

    def store(self) -> None:
        """Write the state that the next run goes on from, and later stages load."""
        weights = {name: part.state_dict() for name, part in self.parts.items()}
        average = {"average": self.average.module.state_dict()} if self.average else {}
        save(self.args.out, **weights, **average, **self.more, optimizer=self.optimizer.state_dict(),
             step=self.step, seconds=self.seconds)  # fmt: skip
