"""The normalising flow from the prior to the decoder's latent, reverse direction (docs/network.md, 6)."""

import torch
from torch import Tensor, nn

from models.config import SynthesizerConfig
from models.encoder import AttentionStack

KERNEL = 5
WAVENET_COUPLINGS = 4  # without transformers, `n_flow_layer` counts the layers of each coupling instead


class WaveNetStack(nn.Module):
    """Gated convolutions with skip connections, conditioned on the speaker; an encoder of older configs."""

    def __init__(self, hidden: int, gin: int, n_layers: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.cond_layer = nn.Conv1d(gin, 2 * hidden * n_layers, 1)
        self.in_layers = nn.ModuleList(
            nn.Conv1d(hidden, 2 * hidden, KERNEL, padding=KERNEL // 2) for _ in range(n_layers)
        )
        self.res_skip_layers = nn.ModuleList(
            nn.Conv1d(hidden, 2 * hidden if i < n_layers - 1 else hidden, 1) for i in range(n_layers)
        )

    def forward(self, x: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        conditions = self.cond_layer(speaker).split(2 * self.hidden, dim=1)
        out = torch.zeros_like(x)
        for layer, res_skip, condition in zip(self.in_layers, self.res_skip_layers, conditions, strict=True):
            filtered, gate = (layer(x) + condition).chunk(2, dim=1)
            result = res_skip(torch.tanh(filtered) * torch.sigmoid(gate))
            if result.shape[1] > self.hidden:
                residual, result = result.chunk(2, dim=1)
                x = (x + residual) * mask
            out = out + result
        return out * mask


class Coupling(nn.Module):
    """Shifts one half of the channels by a function of the other (mean only, so there is no scale to undo)."""

    def __init__(self, config: SynthesizerConfig) -> None:
        super().__init__()
        half = config.inter_channels // 2
        self.pre = nn.Conv1d(half, config.hidden_channels, 1)
        self.enc: nn.Module
        if config.use_transformer_flow:
            self.enc = AttentionStack(config, config.n_layers_trans_flow, KERNEL)
        else:
            self.enc = WaveNetStack(config.hidden_channels, config.gin_channels, config.n_flow_layer)
        self.post = nn.Conv1d(config.hidden_channels, half, 1)

    def forward(self, x: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        x0, x1 = x.chunk(2, dim=1)
        h = self.enc(self.pre(x0) * mask, mask, speaker)
        return torch.cat((x0, (x1 - self.post(h) * mask) * mask), dim=1)


class Flow(nn.Module):
    """Couplings with channel flips between; files number the couplings 0, 2, 4, … (the odd ones are the flips)."""

    def __init__(self, config: SynthesizerConfig) -> None:
        super().__init__()
        n_couplings = config.n_flow_layer if config.use_transformer_flow else WAVENET_COUPLINGS
        self.flows = nn.ModuleDict({str(2 * i): Coupling(config) for i in range(n_couplings)})

    def forward(self, z_p: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        """Prior sample [B, I, F], mask [B, 1, F], speaker [B, G, 1] -> latent [B, I, F]."""
        x = z_p
        for coupling in reversed(list(self.flows.values())):
            x = coupling(x.flip(1), mask, speaker)
        return x
