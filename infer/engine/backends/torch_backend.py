"""Plain torch on any device: the reference for every other backend."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infer.engine.devices import Device
from models import Prior, Synthesizer


class TorchBackend:
    """The network on one device. Arguments and results are float32 on the CPU; shapes are those of Synthesizer."""

    flattens = True  # the decoder's convolutions, on a CPU

    def __init__(self, network: Synthesizer, device: Device) -> None:
        self.device = device
        self.compiles = device.torch.type != "cpu"  # a GPU's libraries choose their kernels by shape
        self.network = network.to(device.torch, device.dtype)
        self.size = sum(t.numel() * t.element_size() for t in self.network.state_dict().values())
        if self.flattens and device.torch.type == "cpu":
            _flatten(self.network.dec)

    def _there(self, x: Tensor) -> Tensor:
        return x.to(self.device.torch, self.device.dtype if x.is_floating_point() else None)

    @torch.inference_mode()
    def encode(self, ids: tuple[Tensor, ...], bert: tuple[Tensor, ...], *rest: Tensor, sdp_ratio: float) -> Prior:
        """ids: phones, tones, languages and mask; rest: emotion, speaker and noise. See Synthesizer.encode."""
        phones, tones, languages, mask = map(self._there, ids)
        emotion, speaker, noise = map(self._there, rest)
        features = tuple(map(self._there, bert))
        prior = self.network.encode(phones, tones, languages, mask, features, emotion, speaker, noise, sdp_ratio)
        return Prior(prior.mean.float().cpu(), prior.log_std.float().cpu(), prior.log_durations.float().cpu())

    @torch.inference_mode()
    def flow(self, z_p: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        """Prior sample [1, I, F] -> latent [1, I, F], zero under the mask."""
        z_p, mask, speaker = map(self._there, (z_p, mask, speaker))
        return (self.network.flow(z_p, mask, speaker) * mask).float().cpu()

    @torch.inference_mode()
    def head(self, z: Tensor, speaker: Tensor, mask: Tensor | None) -> Tensor:
        """A window of the latent [1, I, size] -> the decoder's first stage [1, C, size * rate], left on the device."""
        mask = None if mask is None else self._there(mask)
        return self.network.dec.head(self._there(z), self._there(speaker), mask)

    @torch.inference_mode()
    def tail(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """A window of the first stage [1, C, size * rate] -> samples [size * hop]."""
        mask = None if mask is None else self._there(mask)
        return self.network.dec.tail(self._there(x), mask)[0, 0].float().cpu()


class _Conv(nn.Conv1d):
    """Over time as a 2-D one of height 1: in channels-last memory a CPU is a tenth to a half faster."""

    def forward(self, x: Tensor) -> Tensor:
        assert isinstance(self.padding, tuple)  # a word only where a layer was made with one
        (padding,), (dilation,) = self.padding, self.dilation
        x = x.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        return F.conv2d(x, self.weight.unsqueeze(2), self.bias, 1, (0, padding), (1, dilation)).squeeze(2)


class _ConvTranspose(nn.ConvTranspose1d):
    def forward(self, x: Tensor, _: list[int] | None = None) -> Tensor:
        assert isinstance(self.padding, tuple)
        (stride,), (padding,) = self.stride, self.padding
        x = x.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        return F.conv_transpose2d(x, self.weight.unsqueeze(2), self.bias, (1, stride), (0, padding)).squeeze(2)


def _flatten(decoder: nn.Module) -> None:
    """Changes how the layers compute; names and shapes of the weights stay."""
    for module in decoder.modules():
        if type(module) is nn.Conv1d:
            module.__class__ = _Conv
        elif type(module) is nn.ConvTranspose1d:
            module.__class__ = _ConvTranspose
