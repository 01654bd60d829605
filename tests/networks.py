"""Golden networks for tests, each unpacked once."""

from functools import cache

from models import Synthesizer
from tests.conftest import golden
from tests.golden import load_folder


@cache
def golden_network(family: str = "extra-fix") -> Synthesizer:
    return load_folder(golden() / "models" / family)[0]
