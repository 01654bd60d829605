"""The network: VITS2 as Bert-VITS2 shapes it, reverse direction only. Torch alone; names no device."""

from models.checkpoint import CheckpointError, load_checkpoint, recognise
from models.config import VARIANTS, SynthesizerConfig, Variant
from models.families import UnknownCheckpoint, detect
from models.synthesizer import Prior, Synthesizer, align, halos

__all__ = [
    "VARIANTS",
    "CheckpointError",
    "Prior",
    "Synthesizer",
    "SynthesizerConfig",
    "UnknownCheckpoint",
    "Variant",
    "align",
    "detect",
    "halos",
    "load_checkpoint",
    "recognise",
]
