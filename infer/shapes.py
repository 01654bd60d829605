"""Every length that a network sees: buckets for tokens and flow frames, windows for the decoder.

No text ever causes a shape that is not in these tables, so a device compiles or tunes each of them once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# Each is at most 1.5 times the one before, so padding costs little; beyond the last, multiples of it.
TOKEN_BUCKETS = (32, 48, 64, 96, 128, 192, 256, 384, 512)
FRAME_BUCKETS = (128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)


def bucket(length: int, sizes: Sequence[int]) -> int:
    """The smallest size that holds `length`; beyond the largest, the next multiple of it."""
    fitting = (size for size in sizes if size >= length)
    return next(fitting, -(-length // sizes[-1]) * sizes[-1])


def pad(x: Tensor, size: int) -> Tensor:
    """Zeros at the end of the last dimension, up to `size`."""
    return torch.nn.functional.pad(x, (0, size - x.shape[-1]))


def mask(length: int, size: int) -> Tensor:
    """[1, 1, size]: ones for what exists, zeros for padding."""
    return (torch.arange(size) < length).float()[None, None]


@dataclass(frozen=True)
class Window:
    """Frames start … start + size go through the decoder; of its output, `keep` frames after `skip` are sound.

    valid < size only where a whole sentence is shorter than the window: then the mask goes through the decoder.
    """

    start: int
    size: int
    valid: int
    skip: int
    keep: int


def windows(frames: int, halo: int, sizes: Sequence[int], first_small: bool = True) -> list[Window]:
    """Windows that together keep every frame once, each with the context that its kept frames depend on.

    The decoder pads with zeros at every layer where a sentence begins and ends. So the first window starts at the
    true start and the last ends at the true end; all others have `halo` frames on each side that are not kept.
    `first_small`: the first window is the smallest size, for an early first sound. Raises ValueError when a size
    is no larger than two halos.
    """
    small, large = min(sizes), max(sizes)
    if small <= 2 * halo:
        raise ValueError(f"A decoder window of {small} frames is too small: this voice needs more than {2 * halo}.")
    plan: list[Window] = []
    done = 0
    while done < frames:
        start = max(0, done - halo)
        size = min((s for s in sizes if s >= frames - start), default=large)
        if not plan and first_small:
            size = small
        if start + size < frames:
            keep = start + size - halo - done
        else:  # the last: moved back so that it ends with the sentence
            start, keep = max(0, frames - size), frames - done
        plan.append(Window(start, size, min(size, frames), done - start, keep))
        done += keep
    return plan


def noise(seed: int, place: int, stream: int, length: int, channels: int) -> Tensor:
    """Standard normal noise [channels, length], the same on every machine.

    Drawn frame by frame from a counter-based generator (Salmon et al., 2011) keyed by the request's seed, the
    sentence's place and the stream, so a longer draw begins with the shorter one and no other sentence is disturbed.
    Sentence n of a text draws what the seed n higher draws for a sentence alone: so any sentence can be said again by
    itself.
    """
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(((seed + place) % 2**32, 0, stream))))
    return torch.from_numpy(generator.standard_normal((length, channels), dtype=np.float32).T.copy())
