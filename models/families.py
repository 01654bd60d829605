"""Which family a checkpoint belongs to: its text encoder's inputs, by name and shape, against those of each row."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import torch

from models.config import LARGEST_WIDTH, MOST_EMOTIONS, VARIANTS, CheckpointError, SynthesizerConfig, Variant, plain
from models.encoder import TextEncoder
from words import Message, message

Shapes = Mapping[str, tuple[int, ...]]


class UnknownCheckpoint(CheckpointError):
    """The names in a state dict fit no known family, or contradict the family that was asked for."""


def detect(
    shapes: Shapes, version: str = "", override: str = "", unit_codes: bool | None = None
) -> tuple[Variant, Message]:
    """Which family a state dict belongs to, and a sentence that says why.

    shapes: the parameters that inference uses, by name. version: the config's version string, only a hint, since
    released configs carry wrong ones. override: what the owner wrote as `variant:`; it wins where it can fit.
    unit_codes: whether the rows of the code book have length 1, as extra-fix trains them; None where nobody looked.
    Raises UnknownCheckpoint with the cause and the remedy.
    """
    inputs = {name: tuple(shape) for name, shape in shapes.items() if _is_input(name)}
    symbols, channels = (inputs.get(f"enc_p.{name}.weight", ()) for name in ("emb", "proj"))
    widths = (*symbols[1:2], *channels[:1])
    if len(symbols) != 2 or len(widths) != 2 or not all(1 < width <= 2 * LARGEST_WIDTH for width in widths):
        raise UnknownCheckpoint("checkpoint.no_generator", names=listed(list(map(plain, sorted(shapes))), 5))
    emotions = next(iter(inputs.get("enc_p.emo_emb.weight", ())), 1)
    sizes = symbols[1], channels[0] // 2, min(max(emotions, 1), MOST_EMOTIONS)
    prints = {v.name: fingerprint(v, *sizes) for v in VARIANTS.values()}
    fitting = [v for v in VARIANTS.values() if prints[v.name] == inputs]
    if not fitting:
        raise _unknown(inputs, prints)
    names = [v.name for v in fitting]
    if override:
        if override not in VARIANTS:
            raise UnknownCheckpoint("checkpoint.unknown_variant", name=repr(override[:40]), known=list(VARIANTS))
        if override not in names:
            raise UnknownCheckpoint("checkpoint.other_variant", name=repr(override), names=names)
        return VARIANTS[override], message("checkpoint.why_variant", names=names)
    claimants = [v for v in fitting if version.startswith(v.versions or ("?",))]
    if len(fitting) == 1:
        if version and not claimants and fitting[0].versions:
            return fitting[0], message("checkpoint.why_despite", names=names, version=version)
        return fitting[0], message("checkpoint.why_only", names=names)
    if claimants:
        return claimants[0], message("checkpoint.why_version", names=names, version=version)
    claim = message("checkpoint.claim", version=repr(version)) if version else message("checkpoint.no_claim")
    if unit_codes is not None:
        likely = [v for v in fitting if (v.code_search == "cosine") == unit_codes]
        if likely and len(likely) < len(fitting):
            key = "checkpoint.why_unit_codes" if unit_codes else "checkpoint.why_other_codes"
            return likely[0], message(key, names=names, claim=claim)
    return fitting[0], message("checkpoint.why_newest", names=names, claim=claim)


@lru_cache(maxsize=256)
def fingerprint(variant: Variant, hidden: int, inter: int, emotions: int) -> Mapping[str, tuple[int, ...]]:
    """Names and shapes of the text encoder's inputs in this family at these sizes.

    They come from the encoder itself, built on no device: a row of VARIANTS is all that a family takes.
    """
    ones = ("n_speakers", "filter_channels", "n_heads", "kernel_size", "gin_channels", "upsample_initial_channel")
    lists = ("resblock_kernel_sizes", "resblock_dilation_sizes", "upsample_rates", "upsample_kernel_sizes")
    others: dict[str, Any] = dict.fromkeys(ones, 1) | dict.fromkeys(lists, ()) | {"n_layers": 0, "resblock": "1"}
    named = ("",) * emotions
    sizes = SynthesizerConfig(variant, inter_channels=inter, hidden_channels=hidden, emotions=named, **others)
    with torch.device("meta"):
        encoder = TextEncoder(sizes)
    state = {f"enc_p.{name}": tuple(value.shape) for name, value in encoder.state_dict().items()}
    return MappingProxyType({name: shape for name, shape in state.items() if _is_input(name)})


def _is_input(name: str) -> bool:
    """What every voice of a family has; the place in the sentence is a choice of a voice's config."""
    return name.startswith("enc_p.") and not name.startswith(("enc_p.encoder.", "enc_p.place."))


def _unknown(inputs: Shapes, prints: Mapping[str, Shapes]) -> UnknownCheckpoint:
    """How a file differs from the family that it resembles most."""
    nearest = min(prints, key=lambda name: len(inputs.items() ^ prints[name].items()))
    known, parts = prints[nearest], []
    if more := sorted(inputs.keys() - known.keys()):
        parts.append(message("checkpoint.besides", names=listed(list(map(plain, more)))))
    if fewer := sorted(known.keys() - inputs.keys()):
        parts.append(message("checkpoint.lacks", names=listed(fewer)))
    if others := [name for name in sorted(inputs.keys() & known.keys()) if inputs[name] != known[name]]:
        parts.append(message("checkpoint.has", names=listed([mismatch(n, inputs[n], known[n]) for n in others])))
    return UnknownCheckpoint("checkpoint.no_family", nearest=nearest, parts=parts, known=list(VARIANTS))


def mismatch(name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> Message:
    """A tensor of another shape than a network takes."""
    return message("checkpoint.mismatch", name=plain(name), shape=str(tuple(shape)), expected=str(tuple(expected)))


def listed(items: Sequence[str | Message], most: int = 3) -> Sequence[str | Message] | Message:
    """The first few of a list, and how many more there are, as a fact of a sentence."""
    return message("checkpoint.more", names=items[:most], count=len(items) - most) if len(items) > most else items
