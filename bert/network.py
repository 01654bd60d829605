"""The network by transformers and torch: on any device, in float32, bfloat16 or float16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bert.files import UNUSED_LAYERS, model_folder
from pretrained import in_memory


class TorchNetwork:
    """hidden_states[-3] of a window of tokens. positions: how many fit."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.device, self.dtype = model.device, model.dtype
        self.positions: int = model.config.max_position_embeddings

    @classmethod
    def load(cls, folder: Path, device: str | torch.device, dtype: torch.dtype) -> TorchNetwork:
        """Raises MissingModel."""
        options = {"local_files_only": True, "trust_remote_code": False}
        with model_folder(folder).reading():
            from transformers import AutoConfig, AutoModel

            config = AutoConfig.from_pretrained(folder, **options)
            config.num_hidden_layers -= UNUSED_LAYERS
            model, info = AutoModel.from_pretrained(
                folder,
                config=config,
                dtype=dtype,
                add_pooling_layer=False,
                weights_only=True,
                output_loading_info=True,
                **options,
            )
        model_folder(folder).check(sorted(info["missing_keys"]))
        if hasattr(model.encoder, "ln"):  # Megatron's norm after the last layer: the feature is the stream before it
            model.encoder.ln = torch.nn.Identity()
        return cls(in_memory(model, device))

    @torch.no_grad()
    def __call__(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids, mask [1, size] of the CPU, ones for what exists -> float32 [size, hidden] on the device."""
        output = self.model(input_ids=ids.to(self.device), attention_mask=mask.to(self.device))
        return output.last_hidden_state[0].float()


def bfloat16_is_fast() -> bool:
    """Whether this CPU multiplies bfloat16 by itself; without, half precision is several times slower than float32."""
    if not hasattr(torch.cpu, "get_capabilities"):  # torch before 2.10
        return torch.cpu._is_amx_tile_supported() or getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()
    can = torch.cpu.get_capabilities()
    return any(can.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
