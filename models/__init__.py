"""The network: VITS2 as Bert-VITS2 shapes it, reverse direction only. Torch alone; names no device."""

from models.checkpoint import CheckpointError, load_checkpoint
from models.config import VARIANTS, SynthesizerConfig, Variant, detect
from models.synthesizer import Prior, Synthesizer, align

__all__ = [
    "VARIANTS",
    "CheckpointError",
    "Prior",
    "Synthesizer",
    "SynthesizerConfig",
    "Variant",
    "align",
    "detect",
    "load_checkpoint",
]
