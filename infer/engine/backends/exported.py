"""What all backends share that run the graphs of graph.py."""

import contextlib
import ctypes
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from infer.engine.backends import graph
from infer.engine.backends.store import fingerprint, kept
from models import Prior, Synthesizer


class ExportedBackend:
    """The network as graphs, in float32. Lookups stay in torch, and what happens too seldom to be worth a graph.

    Those are the embeddings and the emotion, the stochastic durations with their search in a spline, and the decoder
    under a mask: a sentence shorter than the smallest window.
    """

    compiles = False
    toom = True

    def __init__(self, network: Synthesizer, store: Path | None, multiple: int) -> None:
        """store: where graphs are kept. multiple: what divides every window. The network's large parts are let go."""
        key = fingerprint(network, Path(graph.__file__), self.toom, multiple)
        self.size = 0
        for part in graph.PARTS:
            make = partial(graph.export, network, part, multiple, self.toom)
            model = kept(store, f"{part}-{key}.onnx", make)
            self._load(part, model)
            self.size += len(model)
        self.network = network
        del network.flow, network.dp, network.enc_p.encoder, network.enc_p.proj
        self.size += sum(t.numel() * t.element_size() for t in network.state_dict().values())
        del model
        # glibc keeps what loading took, as much again as the weights, unless it is asked for it.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)

    def _load(self, part: str, model: bytes) -> None:
        raise NotImplementedError

    def _run(self, part: str, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        raise NotImplementedError

    @torch.inference_mode()
    def encode(self, ids: tuple[Tensor, ...], bert: tuple[Tensor, ...], *rest: Tensor, sdp_ratio: float) -> Prior:
        """ids: phones, tones, languages and mask; rest: emotion, speaker and noise. See Synthesizer.encode."""
        mask, (emotion, speaker, noise) = ids[-1], rest
        phones, tones, languages, _ = ids
        hidden = self.network.enc_p.embed(phones, tones, languages, mask, bert, emotion)
        given = {"hidden": _flat(hidden), "mask": _flat(mask), "speaker": _flat(speaker)}
        x, mean, log_std, log_durations = (torch.from_numpy(y)[:, :, 0] for y in self._run("encode", given))
        if self.network.config.variant.stochastic_durations:
            stochastic = self.network.sdp(x, mask, speaker, noise)
            log_durations = stochastic * sdp_ratio + log_durations * (1 - sdp_ratio)
        return Prior(mean, log_std, log_durations)

    def flow(self, z_p: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        """Prior sample [1, I, F] -> latent [1, I, F], zero under the mask."""
        (z,) = self._run("flow", {"z_p": _flat(z_p), "mask": _flat(mask), "speaker": _flat(speaker)})
        return torch.from_numpy(z)[:, :, 0]

    @torch.inference_mode()
    def head(self, z: Tensor, speaker: Tensor, mask: Tensor | None) -> Tensor:
        """A window of the latent [1, I, size] -> the decoder's first stage [1, C, size * rate]."""
        if mask is not None:
            return self.network.dec.head(z, speaker, mask)
        (x,) = self._run("head", {"z": _flat(z), "speaker": _flat(speaker)})
        return torch.from_numpy(x)[:, :, 0]

    @torch.inference_mode()
    def tail(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """A window of the first stage [1, C, size * rate] -> samples [size * hop]."""
        if mask is not None:
            return self.network.dec.tail(x, mask)[0, 0]
        (wave,) = self._run("tail", {"x": _flat(x)})
        return torch.from_numpy(wave)[0, 0, 0]


def _flat(x: Tensor) -> np.ndarray:
    """[1, C, T] -> [1, C, 1, T]."""
    return np.ascontiguousarray(x.detach().unsqueeze(2).numpy())
