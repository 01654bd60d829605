"""The tables in text/data, each read when it is first asked for; text/data/NOTICE.md says whose they are."""

import functools
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import yaml

from words import LOADER


def lines(name: str) -> list[str]:
    """The lines of a text file."""
    return files("text").joinpath("data", name).read_text("utf-8").splitlines()


@functools.cache
def table(name: str) -> dict[str, Any]:
    """What name.yml holds, the same object every time: nobody may change it."""
    return yaml.load(files("text").joinpath("data", f"{name}.yml").read_text("utf-8"), Loader=LOADER)


def with_parts(pattern: str, parts: Mapping[str, str]) -> str:
    """A regular expression with what «name» stands for put in; a part may have parts."""
    return re.sub(r"«([\w ]+)»", lambda name: with_parts(parts[name[1]], parts), pattern)
