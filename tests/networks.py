"""Golden networks for tests, each unpacked once."""

from functools import cache

import torch

from models import Synthesizer
from tests.conftest import golden
from tests.parity import load_folder


@cache
def golden_network(family: str = "extra-fix") -> Synthesizer:
    with torch.inference_mode(False):  # whoever asks first: others want ordinary tensors
        return load_folder(golden() / "models" / family)[0]
