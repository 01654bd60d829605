"""Every length that a network sees: buckets for tokens and flow frames, windows for the decoder.

No text ever causes a shape that is not in these tables, so a device compiles or tunes each of them once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# Four to an octave, so that padding costs an eighth at most and half of that as a rule; beyond the last, multiples.
TOKEN_BUCKETS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512)
FRAME_BUCKETS = (
    *(64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024),
    *(1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096),
)


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
    """Frames start … start + size go through a part of the decoder; of its output, `keep` frames after `skip` are good.

    valid < size only where a whole sentence is shorter than the smallest window: then a mask goes through, too.
    """

    start: int
    size: int
    valid: int
    skip: int
    keep: int

    @property
    def mask(self) -> Tensor | None:
        return None if self.valid == self.size else mask(self.valid, self.size)


def windows(frames: int, halo: int, sizes: Sequence[int], first: int | None = None) -> Iterator[Window]:
    """Windows that together keep every frame once, each with the context that its kept frames depend on.

    The decoder pads with zeros at every layer where a sentence begins and ends. So the first window starts at the
    true start and the last ends at the true end; all others have `halo` frames on each side that are not kept.
    first: for an early first sound, the first window is the smallest that has as many frames, and those that follow
    grow. Raises ValueError when a size is no larger than two halos.
    """
    sizes = sorted(sizes)
    if sizes[0] <= 2 * halo:
        raise ValueError(f"A decoder window of {sizes[0]} frames is too small: this voice needs more than {2 * halo}.")
    if frames < sizes[0]:
        yield Window(0, sizes[0], frames, 0, frames)
        return
    fitting = [size for size in sizes if size <= frames]
    growing = [size for size in fitting if first is not None and size >= min(first, fitting[-1])]
    done = 0
    while done < frames:
        start = max(0, done - halo)
        size = next((size for size in fitting if size >= frames - start), fitting[-1])
        if growing:
            size = min(size, growing.pop(0))
        keep = start + size - halo - done
        if start + size >= frames:  # the last: moved back so that it ends with the sentence
            start, keep = frames - size, frames - done
        yield Window(start, size, size, done - start, keep)
        done += keep


def noise(seed: int, place: int, stream: int, length: int, channels: int) -> Tensor:
    """Standard normal noise [channels, length], the same on every machine.

    Drawn frame by frame from a counter-based generator (Salmon et al., 2011) keyed by the request's seed, the
    sentence's place and the stream, so a longer draw begins with the shorter one and no other sentence is disturbed.
    Sentence n of a text draws what the seed n higher draws for a sentence alone: so any sentence can be said again by
    itself.
    """
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(((seed + place) % 2**32, 0, stream))))
    return torch.from_numpy(generator.standard_normal((length, channels), dtype=np.float32).T.copy())
