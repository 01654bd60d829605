"""Which family a checkpoint belongs to: its text encoder's inputs, by name and shape, against those of each row."""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

import torch

from models.config import LARGEST_WIDTH, MOST_EMOTIONS, VARIANTS, SynthesizerConfig, Variant, plain
from models.encoder import TextEncoder

Shapes = Mapping[str, tuple[int, ...]]


class UnknownCheckpoint(ValueError):
    """The names in a state dict fit no known family, or contradict the family that was asked for."""


def detect(
    shapes: Shapes, version: str = "", override: str = "", unit_codes: bool | None = None
) -> tuple[Variant, str]:
    """Which family a state dict belongs to, and why, in words.

    shapes: the parameters that inference uses, by name. version: the config's version string, only a hint, since
    released configs carry wrong ones. override: what the owner wrote as `variant:`; it wins where it can fit.
    unit_codes: whether the rows of the code book have length 1, as extra-fix trains them; None where nobody looked.
    Raises UnknownCheckpoint with the cause and the remedy.
    """
    inputs = {name: tuple(shape) for name, shape in shapes.items() if _is_input(name)}
    symbols, channels = (inputs.get(f"enc_p.{name}.weight", ()) for name in ("emb", "proj"))
    widths = (*symbols[1:2], *channels[:1])
    if len(symbols) != 2 or len(widths) != 2 or not all(1 < width <= 2 * LARGEST_WIDTH for width in widths):
        raise UnknownCheckpoint(
            f"This is no Bert-VITS2 generator: it has no usable enc_p.emb.weight, but {listed(sorted(shapes), 5)}; "
            "choose the G_*.pth file."
        )
    emotions = next(iter(inputs.get("enc_p.emo_emb.weight", ())), 1)
    sizes = symbols[1], channels[0] // 2, min(max(emotions, 1), MOST_EMOTIONS)
    prints = {v.name: fingerprint(v, *sizes) for v in VARIANTS.values()}
    fitting = [v for v in VARIANTS.values() if prints[v.name] == inputs]
    if not fitting:
        raise UnknownCheckpoint(_strangeness(inputs, prints))
    names = " and ".join(v.name for v in fitting)
    if override:
        if override not in VARIANTS:
            raise UnknownCheckpoint(f"variant {override[:40]!r} is not known; known are {', '.join(VARIANTS)}.")
        if VARIANTS[override] not in fitting:
            raise UnknownCheckpoint(f"variant {override!r} does not fit this file, whose inputs are those of {names}.")
        return VARIANTS[override], f"variant in config.json says so, and the inputs of {names} fit"
    said = [v for v in fitting if version.startswith(v.versions or ("?",))]
    if len(fitting) == 1:
        doubt = f", although its config says version {version}" if version and not said and fitting[0].versions else ""
        return fitting[0], f"it has the inputs of {names} and of no other family{doubt}"
    if said:
        return said[0], f"it has the inputs of {names}, and its config says version {version}"
    claim = f"version {version!r} of its config" if version else "the absent version of its config"
    if unit_codes is not None:
        likely = [v for v in fitting if (v.code_search == "cosine") == unit_codes]
        if likely and len(likely) < len(fitting):
            rows = "have" if unit_codes else "do not have"
            return likely[0], f"it has the inputs of {names}; its codes {rows} length 1, and {claim} decides nothing"
    return fitting[0], f"it has the inputs of {names}; {claim} decides nothing, so the newest is taken"


@lru_cache(maxsize=256)
def fingerprint(variant: Variant, hidden: int, inter: int, emotions: int) -> Mapping[str, tuple[int, ...]]:
    """Names and shapes of the text encoder's inputs in this family at these sizes.

    They come from the encoder itself, built on no device: a row of VARIANTS is all that a family takes.
    """
    sizes = SynthesizerConfig(
        variant=variant,
        n_speakers=1,
        inter_channels=inter,
        hidden_channels=hidden,
        filter_channels=1,
        n_heads=1,
        n_layers=0,
        kernel_size=1,
        gin_channels=1,
        resblock="1",
        resblock_kernel_sizes=(),
        resblock_dilation_sizes=(),
        upsample_rates=(),
        upsample_initial_channel=1,
        upsample_kernel_sizes=(),
        emotions=("",) * emotions,
    )
    with torch.device("meta"):
        encoder = TextEncoder(sizes)
    state = {f"enc_p.{name}": tuple(value.shape) for name, value in encoder.state_dict().items()}
    return MappingProxyType({name: shape for name, shape in state.items() if _is_input(name)})


def _is_input(name: str) -> bool:
    """What every voice of a family has; the place in the sentence is a choice of a voice's config."""
    return name.startswith("enc_p.") and not name.startswith(("enc_p.encoder.", "enc_p.place."))


def _strangeness(inputs: Shapes, prints: Mapping[str, Shapes]) -> str:
    """How a file differs from the family that it resembles most."""
    nearest = min(prints, key=lambda name: len(inputs.items() ^ prints[name].items()))
    known = prints[nearest]
    parts = [
        f"has {listed(sorted(inputs.keys() - known.keys()))} besides" if inputs.keys() - known.keys() else "",
        f"lacks {listed(sorted(known.keys() - inputs.keys()))}" if known.keys() - inputs.keys() else "",
        listed(
            [
                f"has {plain(name)} of {inputs[name]} instead of {known[name]}"
                for name in sorted(inputs.keys() & known.keys())
                if inputs[name] != known[name]
            ],
            escape=False,
        ),
    ]
    return (
        f"This checkpoint belongs to no known family; compared with {nearest}, the nearest, it "
        f"{' and '.join(filter(None, parts))}; known are {', '.join(VARIANTS)}."
    )


def listed(items: list[str], most: int = 3, escape: bool = True) -> str:
    """The first few of a list, and how many more there are."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(plain(i) if escape else i for i in items[:most]) + more
