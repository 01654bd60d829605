"""The decoder over a sentence: its two parts in windows, so that the samples are those of the whole, piece by piece."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from infer.engine import shapes
from infer.engine.backends import Backend
from models import SynthesizerConfig, halos


def decode(
    backend: Backend, config: SynthesizerConfig, z: Tensor, speaker: Tensor, sizes: Sequence[int], first: bool
) -> Iterator[Tensor]:
    """Latent [1, I, frames] -> samples, put end to end [frames * hop], each piece as soon as it can be had.

    The first part has nearly all of the context and a fifth of the work: what it gives is kept, so that the windows of
    the second, which needs two frames on each side, compute little twice. first: the sooner the better, so windows
    begin with the smallest and grow.
    """
    hop, rate, (_, halo) = config.hop, config.upsample_rates[0], halos(config)
    parts = _first_part(backend, config, z, speaker, sizes, min(sizes) if first else None)
    x = next(parts)
    for window in shapes.windows(z.shape[-1], halo, sizes, min(sizes) if first else None):
        begin, end = window.start * rate, (window.start + window.valid) * rate
        while x.shape[-1] < end:
            x = torch.cat((x, next(parts)), dim=-1)
        wave = backend.tail(shapes.pad(x[..., begin:end], window.size * rate), window.mask)
        yield wave[window.skip * hop : (window.skip + window.keep) * hop]


def _first_part(
    backend: Backend, config: SynthesizerConfig, z: Tensor, speaker: Tensor, sizes: Sequence[int], first: int | None
) -> Iterator[Tensor]:
    """What the decoder's first part gives, put end to end [1, C, frames * rate]. first: frames that are needed soon."""
    rate, (halo, _) = config.upsample_rates[0], halos(config)
    sizes = [size for size in sizes if size > 2 * halo]
    for window in shapes.windows(z.shape[-1], halo, sizes, first and first + halo):
        piece = shapes.pad(z[..., window.start : window.start + window.valid], window.size)
        x = backend.head(piece, speaker, window.mask)
        yield x[..., window.skip * rate : (window.skip + window.keep) * rate]
