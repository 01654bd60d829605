"""Models that transformers reads from a folder here: what is missing there, how it is read, and what a user is told.

What bert and emotional share; nothing is fetched, and no file stays mapped.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from words import Fault, Message, message

WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # either is enough


class MissingModel(Fault, RuntimeError):
    """Files of the model are missing or cannot be used; the sentence names them, their place and their source."""


class Unfit(Fault, ValueError):
    """What is wrong with a file, as a part of a sentence."""


@dataclass(frozen=True)
class ModelFolder:
    """Where a model lies. files: what it needs beside its weights. repository: where they come from, if known."""

    path: Path
    files: tuple[str, ...]
    repository: str | None

    @property
    def name(self) -> str:
        """The last two parts: where a server keeps its files is nobody's business."""
        return "/".join(self.path.parts[-2:])

    def missing(self, *others: str) -> list[str | Message]:
        """Names of the files that are not there. others: what does in the place of the weights. Reads none of them."""
        names: list[str | Message] = [name for name in self.files if not (self.path / name).is_file()]
        there = any((self.path / name).is_file() for name in (*WEIGHTS, *others))
        return names if there else [*names, message("pretrained.either", names=WEIGHTS)]

    def refusal(self, key: str, **facts: object) -> MissingModel:
        """What is wrong with the files, as the middle of a sentence, and what brings better ones."""
        known = message("pretrained.repository", name=self.repository)
        source = known if self.repository else message("pretrained.model")
        needs = {"files": self.files, "weights": WEIGHTS, "source": source}
        return MissingModel("pretrained.refusal", folder=self.name, cause=message(key, **facts), **needs)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Whatever a reader raises, as MissingModel; transformers shows no bar and no report on parts left out."""
        from transformers.utils import logging

        verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        except MissingModel:
            raise
        except Exception as error:  # the readers of JSON, pickle and safetensors each have errors of their own
            words = " ".join(str(error).replace(str(self.path), self.name).split())[:300]
            reason = error.message if isinstance(error, Unfit) else words
            raise self.refusal("pretrained.unreadable", reason=reason) from error
        finally:
            logging.set_verbosity(verbosity)
            if bars:
                logging.enable_progress_bar()

    def check(self, absent: list[str]) -> None:
        """transformers would go on with random numbers for what is absent. Raises MissingModel."""
        if absent:
            raise self.refusal("pretrained.absent", count=len(absent), first=absent[0])


def in_memory(model: torch.nn.Module, device: str | torch.device) -> torch.nn.Module:
    """The model on its device, for inference. Some numbers lie in the mapped file: who overwrites that would end the
    process (SIGBUS), so they are copied out."""
    model = model.to(device).eval()
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()
    return model
