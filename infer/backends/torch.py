"""Plain torch on any device: the reference for every other backend."""

import torch
from torch import Tensor

from infer.devices import Device
from models import Prior, Synthesizer


class TorchBackend:
    """The network on one device. Arguments and results are float32 on the CPU; shapes are those of Synthesizer."""

    def __init__(self, network: Synthesizer, device: Device) -> None:
        self.device = device
        self.network = network.to(device.torch, device.dtype)

    def _there(self, x: Tensor) -> Tensor:
        return x.to(self.device.torch, self.device.dtype if x.is_floating_point() else None)

    @torch.inference_mode()
    def encode(self, ids: tuple[Tensor, ...], bert: tuple[Tensor, ...], *rest: Tensor, sdp_ratio: float) -> Prior:
        """ids: phones, tones, languages and mask; rest: emotion, speaker and noise. See Synthesizer.encode."""
        prior = self.network.encode(
            *map(self._there, ids), tuple(map(self._there, bert)), *map(self._there, rest), sdp_ratio
        )
        return Prior(prior.mean.float().cpu(), prior.log_std.float().cpu(), prior.log_durations.float().cpu())

    @torch.inference_mode()
    def flow(self, z_p: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        """Prior sample [1, I, F] -> latent [1, I, F], zero under the mask."""
        z_p, mask, speaker = map(self._there, (z_p, mask, speaker))
        return (self.network.flow(z_p, mask, speaker) * mask).float().cpu()

    @torch.inference_mode()
    def generate(self, z: Tensor, speaker: Tensor, mask: Tensor | None) -> Tensor:
        """A window of the latent [1, I, size] -> samples [size * hop]."""
        mask = None if mask is None else self._there(mask)
        return self.network.dec(self._there(z), self._there(speaker), mask)[0, 0].float().cpu()
