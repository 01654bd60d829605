"""What a checkpoint is: the table of families (VARIANTS), how one is recognised, and the sizes in its config.json."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Variant:
    """The traits in which one checkpoint family differs from the others; all sizes are in the checkpoint's config.

    `bert` maps the name of a feature slot (also the prefix of its projection) to its width. `bert_pre` is the width
    of a feature that is first brought down to the slot's width. `emotion` is "clap" (a 512-vector, quantised),
    "table" (weights over the voice's own emotions) or "none".
    """

    name: str
    bert: tuple[tuple[str, int], ...] = (("bert", 1024),)
    bert_pre: int | None = 2048
    emotion: str = "clap"
    emotion_activation: str = "silu"
    code_search: str = "cosine"
    codes: int = 64
    code_width: int = 32
    stochastic_durations: bool = True
    flow_layers_default: int = 6
    symbols: int = 112
    tones: int = 12
    languages: int = 3

    @property
    def needs_bert(self) -> bool:
        return bool(self.bert)

    @property
    def bert_width(self) -> int:
        """Channels of the BERT feature that the network takes; 0 without BERT."""
        return (self.bert_pre or self.bert[0][1]) if self.bert else 0

    @property
    def needs_clap(self) -> bool:
        return self.emotion == "clap"


EXTRA_FIX = Variant("extra-fix")
ZH_CLAP = replace(EXTRA_FIX, name="zh-clap", emotion_activation="gelu", code_search="euclidean")
EXTRA = replace(ZH_CLAP, name="extra")
SMALL = replace(
    EXTRA_FIX, name="small", bert=(), bert_pre=None, emotion="table", stochastic_durations=False, flow_layers_default=3
)

VARIANTS: Mapping[str, Variant] = {v.name: v for v in (EXTRA_FIX, ZH_CLAP, EXTRA, SMALL)}

CLAP_WIDTH = 512  # values in a CLAP vector


class UnknownCheckpoint(ValueError):
    """The names in a state dict fit no known family, or contradict the family that was asked for."""


def detect(names: Collection[str], version: str = "", override: str = "") -> tuple[Variant, str]:
    """Which family a state dict belongs to, and why, in words.

    `names` are the parameter names of the state dict; `version` is the config's version string: only a hint, since
    released configs carry wrong ones; `override` is what the owner wrote as `variant:` and wins where it can fit.
    Raises UnknownCheckpoint with the cause and the remedy.
    """
    if "enc_p.emo_emb.weight" in names:
        found, why = SMALL, "it has an emotion table of its own"
    elif "enc_p.bert_pre_proj.weight" in names:
        if version.startswith("2.4"):
            found, why = EXTRA_FIX, f"2048-wide BERT, and its config says version {version}"
        elif version.startswith("2.3"):
            found, why = ZH_CLAP, f"2048-wide BERT, and its config says version {version}"
        else:
            found = EXTRA_FIX
            why = f"2048-wide BERT; version {version!r} decides nothing between extra-fix and zh-clap, so the newer"
    elif "enc_p.emb.weight" not in names:
        strange = ", ".join(sorted(names)[:5])
        raise UnknownCheckpoint(
            f"This is no Bert-VITS2 generator: it has no enc_p.emb.weight, but {strange} …; choose the G_*.pth file."
        )
    else:
        slots = sorted(n for n in names if n.startswith("enc_p.") and n.endswith(("_proj.weight", "embed")))
        raise UnknownCheckpoint(
            f"This checkpoint's family is not supported yet (text encoder inputs: {', '.join(slots)}); "
            f"supported are {', '.join(VARIANTS)}."
        )
    if not override:
        return found, why
    if override not in VARIANTS:
        raise UnknownCheckpoint(f"variant {override!r} is not known; known are {', '.join(VARIANTS)}.")
    wanted = VARIANTS[override]
    if (wanted.bert_pre, wanted.emotion) != (found.bert_pre, found.emotion):
        raise UnknownCheckpoint(f"variant {override!r} does not fit this file, which is {found.name}: {why}.")
    return wanted, "the config's variant says so"


@dataclass(frozen=True)
class SynthesizerConfig:
    """Sizes of one network. Channels unless said otherwise."""

    variant: Variant
    n_speakers: int
    inter_channels: int
    hidden_channels: int
    filter_channels: int
    n_heads: int
    n_layers: int
    kernel_size: int
    gin_channels: int
    resblock: str
    resblock_kernel_sizes: tuple[int, ...]
    resblock_dilation_sizes: tuple[tuple[int, ...], ...]
    upsample_rates: tuple[int, ...]
    upsample_initial_channel: int
    upsample_kernel_sizes: tuple[int, ...]
    n_flow_layer: int = 4
    n_layers_trans_flow: int = 6
    use_transformer_flow: bool = True
    emotions: tuple[str, ...] = ()
    sampling_rate: int = 44100
    add_blank: bool = True

    @property
    def hop(self) -> int:
        """Samples a frame."""
        return math.prod(self.upsample_rates)

    @classmethod
    def from_json(cls, config: Mapping[str, Any], variant: Variant) -> "SynthesizerConfig":
        """From a parsed config.json of a release. Raises ValueError naming what is missing or impossible."""
        model, data = _block(config, "model"), _block(config, "data")
        if model.get("flow_share_parameter"):
            raise ValueError(
                "config.json: model.flow_share_parameter is true, which no release could be trained with; remove it."
            )
        if not model.get("use_spk_conditioned_encoder", True):
            raise ValueError("config.json: model.use_spk_conditioned_encoder is false, which no release can build.")
        sizes: dict[str, Any] = {
            key: _positive(model, key)
            for key in (
                *("inter_channels", "hidden_channels", "filter_channels", "n_heads", "n_layers", "kernel_size"),
                *("gin_channels", "upsample_initial_channel"),
            )
        }
        sizes["n_flow_layer"] = _positive(model, "n_flow_layer", 4)
        sizes["n_layers_trans_flow"] = _positive(model, "n_layers_trans_flow", variant.flow_layers_default)
        for key in ("resblock_kernel_sizes", "upsample_rates", "upsample_kernel_sizes"):
            sizes[key] = _integers(model.get(key), key)
        dilations = model.get("resblock_dilation_sizes")
        if not isinstance(dilations, list) or len(dilations) != len(sizes["resblock_kernel_sizes"]):
            raise ValueError("config.json: model.resblock_dilation_sizes must hold one list for each resblock kernel.")
        if len(sizes["upsample_rates"]) != len(sizes["upsample_kernel_sizes"]):
            raise ValueError("config.json: model.upsample_rates and upsample_kernel_sizes must be equally long.")
        if sizes["hidden_channels"] % sizes["n_heads"]:
            raise ValueError("config.json: model.hidden_channels must be a multiple of model.n_heads.")
        if sizes["n_layers"] < 3:
            raise ValueError("config.json: model.n_layers must be at least 3; the speaker enters at the third layer.")
        return cls(
            variant=variant,
            n_speakers=_positive(data, "n_speakers"),
            resblock=str(model.get("resblock", "1")),
            resblock_dilation_sizes=tuple(_integers(d, "a dilation list") for d in dilations),
            use_transformer_flow=bool(model.get("use_transformer_flow", True)),
            emotions=tuple(model.get("emotions", ())),
            sampling_rate=_positive(data, "sampling_rate"),
            add_blank=bool(data.get("add_blank", True)),
            **sizes,
        )


_LARGEST = 1 << 20  # no size in a real config comes near; a larger one is a mistake or an attack on memory


def _block(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    block = config.get(key)
    if not isinstance(block, Mapping):
        raise ValueError(
            f"config.json: the block {key!r} is missing; use the config.json that belongs to the checkpoint."
        )
    return block


def _positive(block: Mapping[str, Any], key: str, default: int | None = None) -> int:
    value = block.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _LARGEST:
        raise ValueError(f"config.json: {key} must be a whole number from 1 to {_LARGEST}, not {value!r}.")
    return value


def _integers(values: Any, name: str) -> tuple[int, ...]:
    if not isinstance(values, list) or not 0 < len(values) <= 16:
        raise ValueError(f"config.json: {name} must be a list of 1 to 16 whole numbers.")
    return tuple(_positive({name: v}, name) for v in values)
