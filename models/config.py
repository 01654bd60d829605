"""What a checkpoint is: the table of families (VARIANTS) and the sizes in its config.json (docs/network.md, 1)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from models.source import Pitch
from words import Fault, Message, message


class CheckpointError(Fault, ValueError):
    """A checkpoint that cannot be used: why, and what to do."""


@dataclass(frozen=True)
class Variant:
    """The traits in which one checkpoint family differs from the others; all sizes are in the checkpoint's config.

    versions: how its configs call themselves, as beginnings of the version string; a hint, since some are wrong.
    bert: name of a feature slot (also the prefix of its projection) and its width, the language of `speaks` first.
    bert_pre: width of a feature that is first brought down to the first slot's width; such features are normalised.
    unused_slots: what a Chinese text feeds to the slots of other languages, as in training: zeros, uniform, normal.
    speaks: languages that the voice was trained on; this program has the Chinese front end only.
    tells_pitch: config.json may say where the latent tells the pitch, which then drives the decoder (models/source.py).
    table: which symbol table its ids count in (text.symbols): v2, v1.1 or v1.0.
    emotion: "clap" (a 512-vector, quantised), "codes" (one of the voice's own codes, or a 1024-vector of wav2vec 2.0
    that is quantised to one), "table" (weights over the voice's own emotions) or "none".
    """

    name: str
    versions: tuple[str, ...] = ()
    bert: tuple[tuple[str, int], ...] = (("bert", 1024),)
    bert_pre: int | None = None
    unused_slots: str = "zeros"
    speaks: tuple[str, ...] = ("ZH",)
    emotion: str = "none"
    emotion_activation: str = "gelu"
    code_search: str = "euclidean"
    codes: int = 0
    code_width: int = 0
    stochastic_durations: bool = True
    flow_layers_default: int = 6
    tells_pitch: bool = False
    table: str = "v2"
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


ZH_CLAP = Variant("zh-clap", ("2.3",), bert_pre=2048, emotion="clap", codes=64, code_width=32)
EXTRA = replace(ZH_CLAP, name="extra")
EXTRA_FIX = replace(ZH_CLAP, name="extra-fix", versions=("2.4",), emotion_activation="silu", code_search="cosine")
JAPANESE_EXTRA = replace(
    ZH_CLAP,
    name="japanese-extra",
    versions=("2.4",),
    bert_pre=None,
    code_search="cosine",
    codes=256,
    code_width=16,
    speaks=("JP",),
)
V2_0 = Variant(
    "v2.0.1",
    ("2.0",),
    bert=(("bert", 1024), ("ja_bert", 1024), ("en_bert", 1024)),
    speaks=("ZH", "JP", "EN"),
    flow_layers_default=4,
)
V2_1 = replace(V2_0, name="v2.1", versions=("2.1",), emotion="codes", codes=10, code_width=1024)
# The first 2.1 never saved its codes, and the original draws new ones at each start: there are no emotions to choose.
V2_1_FIRST = replace(V2_1, name="v2.1-first", codes=0)
V2_2 = replace(V2_0, name="v2.2", versions=("2.2",), unused_slots="uniform", emotion="clap", codes=64, code_width=32)
V2_3 = replace(V2_0, name="v2.3", versions=("2.3", "2.2"), unused_slots="normal")  # an early tree says 2.2
V1_1 = replace(
    V2_0,
    name="v1.1.1",
    versions=("1.1",),
    bert=(("bert", 1024), ("ja_bert", 768)),
    flow_layers_default=6,
    tones=11,
    table="v1.1",
)
V1_0 = replace(
    V1_1,
    name="v1.0.1",
    versions=("1.0",),
    bert=(("bert", 1024),),
    speaks=("ZH",),
    flow_layers_default=3,
    symbols=108,
    table="v1.0",
)
SMALL = Variant("small", bert=(), emotion="table", flow_layers_default=3, tells_pitch=True)  # our own

# The newest first: where nothing else decides between rows that fit a file, the first one is taken.
VARIANTS: Mapping[str, Variant] = {
    v.name: v
    for v in (EXTRA_FIX, ZH_CLAP, EXTRA, JAPANESE_EXTRA, V2_3, V2_2, V2_1, V2_1_FIRST, V2_0, V1_1, V1_0, SMALL)
}

CLAP_WIDTH = 512  # values in a CLAP vector
WAV2VEC_WIDTH = 1024  # values in the emotion vector of v2.1


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
    pitch: Pitch | None = None  # only voices of our own: where the latent tells it
    words: bool = False  # likewise: whether the text encoder is told where words begin, and where in the sentence it is

    @property
    def hop(self) -> int:
        """Samples a frame."""
        return math.prod(self.upsample_rates)

    @property
    def layers(self) -> int:
        """Of those that config.json repeats: attention layers and residual convolutions."""
        flow = self.n_flow_layer * (self.n_layers_trans_flow if self.use_transformer_flow else 1)
        blocks = len(self.upsample_rates) * len(self.resblock_kernel_sizes)
        return self.n_layers + flow + blocks

    @property
    def source_channels(self) -> int:
        """What drives the voice, in the latent that the decoder takes (models/source.py)."""
        return 2 * self.hop if self.pitch else 0

    @property
    def head_channels(self) -> int:
        """Of what the decoder's first part gives."""
        if not self.pitch:
            return self.upsample_initial_channel // 2
        bins = sum(window // 2 + 1 for window in self.upsample_kernel_sizes)
        return bins + self.source_channels // self.upsample_rates[0]

    @classmethod
    def from_json(cls, config: Mapping[str, Any], variant: Variant) -> "SynthesizerConfig":
        """From a parsed config.json of a release. Raises CheckpointError naming what is missing or impossible."""
        model, data = _block(config, "model"), _block(config, "data")
        if _flag(model, "flow_share_parameter", False):
            raise CheckpointError("checkpoint.shared_flow")
        if not _flag(model, "use_spk_conditioned_encoder", True) or model.get("gin_channels") == 0:
            raise CheckpointError("checkpoint.unconditioned")
        if data.get("n_speakers") == 0:
            raise CheckpointError("checkpoint.no_speakers")
        defaults = {"n_flow_layer": 4, "n_layers_trans_flow": variant.flow_layers_default}
        sizes: dict[str, Any] = {key: _size(data, key) for key in ("n_speakers", "sampling_rate")}
        sizes |= {key: _size(model, key, defaults.get(key)) for key in _SIZES}
        sizes |= {key: _integers(model.get(key), key) for key in _LISTS}
        dilations = model.get("resblock_dilation_sizes")
        if not isinstance(dilations, list) or len(dilations) != len(sizes["resblock_kernel_sizes"]):
            raise CheckpointError("checkpoint.dilation_lists")
        built = cls(
            variant=variant,
            resblock="1" if model.get("resblock", "1") == "1" else "2",
            resblock_dilation_sizes=tuple(_integers(d, "resblock_dilation_sizes") for d in dilations),
            use_transformer_flow=_flag(model, "use_transformer_flow", True),
            emotions=_emotions(model, variant),
            add_blank=_flag(data, "add_blank", True),
            pitch=_pitch(model, sizes["inter_channels"]) if variant.tells_pitch else None,
            words=variant.tells_pitch and _flag(model, "words", False),
            **sizes,
        )
        for rule, fits in _rules(built):
            if not fits:
                raise CheckpointError("checkpoint.contradiction", rule=rule)
        return built


_SIZES = (
    *("inter_channels", "hidden_channels", "filter_channels", "n_heads", "n_layers", "kernel_size", "gin_channels"),
    *("upsample_initial_channel", "n_flow_layer", "n_layers_trans_flow"),
)
_LISTS = ("resblock_kernel_sizes", "upsample_rates", "upsample_kernel_sizes")
# No size in a real config comes near these; a larger one is a mistake, or an attack on memory.
LARGEST_WIDTH = 8192
_LARGEST = {
    **dict.fromkeys(("inter_channels", "hidden_channels", "gin_channels", "upsample_initial_channel"), LARGEST_WIDTH),
    **dict.fromkeys(("n_layers", "n_layers_trans_flow", "n_heads"), 64),
    **dict.fromkeys(("kernel_size", "resblock_kernel_sizes", "resblock_dilation_sizes", "upsample_rates"), 64),
    "filter_channels": 32768,
    "n_flow_layer": 16,
    "upsample_kernel_sizes": 1024,
    "n_speakers": 65536,
    "sampling_rate": 192_000,  # Hz; libvorbis ends the process (SIGSEGV) from 256,000 on
}
_SMALLEST = {"sampling_rate": 8_000}  # Hz; below 250 a fade has no samples, and Opus resamples to 8,000 at least
_LARGEST_HOP = 8192  # samples a frame
_LARGEST_KERNEL = 128  # of an upsampling convolution; the windows of transforms may be longer
MOST_EMOTIONS = 256


def _rules(sizes: SynthesizerConfig) -> list[tuple[Message, bool]]:
    """What must be true of a network's sizes together, and whether it is."""
    flow_layers = sizes.n_layers_trans_flow if sizes.use_transformer_flow else 3
    dilations = 3 if sizes.resblock == "1" else 2
    return [
        *(_filter_rules(sizes) if sizes.pitch else _generator_rules(sizes)),
        (message("checkpoint.hop", most=_LARGEST_HOP), sizes.hop <= _LARGEST_HOP),
        (message("checkpoint.odd_kernels"), all(k % 2 for k in sizes.resblock_kernel_sizes)),
        (
            message("checkpoint.dilations", count=dilations),
            all(len(d) >= dilations for d in sizes.resblock_dilation_sizes),
        ),
        (message("checkpoint.heads"), sizes.hidden_channels % sizes.n_heads == 0),
        (message("checkpoint.halves"), sizes.inter_channels % 2 == 0),
        (message("checkpoint.three_layers"), min(sizes.n_layers, flow_layers) >= 3),
    ]


def _generator_rules(sizes: SynthesizerConfig) -> list[tuple[Message, bool]]:
    """For models.generator.Generator."""
    rates, kernels = sizes.upsample_rates, sizes.upsample_kernel_sizes
    even = all(kernel >= rate and (kernel - rate) % 2 == 0 for rate, kernel in zip(rates, kernels, strict=False))
    return [
        (message("checkpoint.stages"), len(rates) == len(kernels)),
        (message("checkpoint.even_rest"), even),
        (message("checkpoint.long_kernels", most=_LARGEST_KERNEL), max(kernels) <= _LARGEST_KERNEL),
        (message("checkpoint.halved_channels"), sizes.upsample_initial_channel >> len(rates) > 0),
    ]


def _filter_rules(sizes: SynthesizerConfig) -> list[tuple[Message, bool]]:
    """For models.filter.Filter: its short transforms must add up to what they took."""
    rates, windows, step = sizes.upsample_rates, sizes.upsample_kernel_sizes, sizes.upsample_rates[-1]
    whole = step % 2 == 0 and all(window % step == 0 and window >= 4 * step for window in windows)
    return [
        (message("checkpoint.two_windows"), len(rates) == len(windows) == 2),
        (message("checkpoint.filter_blocks"), sizes.resblock == "2"),
        (message("checkpoint.whole_steps"), whole),
    ]


def speakers(config: Mapping[str, Any], n_speakers: int) -> dict[str, int]:
    """Names (see `plain`) and ids of the speakers from config.json; numbers where it names none that can be used."""
    data = config.get("data")
    named = data.get("spk2id") if isinstance(data, Mapping) else None
    usable: dict[str, int] = {}
    for name, number in named.items() if isinstance(named, Mapping) else ():
        if type(number) is int and 0 <= number < n_speakers and (short := plain(name)):
            usable.setdefault(short, number)
    return usable or {str(i): i for i in range(n_speakers)}


def title_of(config: Mapping[str, Any]) -> str:
    """What a voice calls itself in config.json, or nothing."""
    title = config.get("title")
    return plain(title) if isinstance(title, str) else ""


def version_of(config: Mapping[str, Any]) -> str:
    """The version string of a config.json; releases 1.0 and 1.1 have none."""
    version = config.get("version", "")
    return plain(str(version)[:40]) if isinstance(version, str | int | float) else ""


def plain(name: str, most: int = 80) -> str:
    """A name out of a file that nobody vouches for, fit for a terminal, a page and a JSON file.

    One line of at most so many characters, without control characters and halves of surrogate pairs.
    """
    name = name[: 2 * most].strip()
    clean = "".join(c if c.isprintable() or c == "\u3000" else " " if c.isspace() else "?" for c in name[: most + 1])
    return clean if len(clean) <= most else f"{clean[: most - 1]}…"


def _block(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    block = config.get(key)
    if not isinstance(block, Mapping):
        raise CheckpointError("checkpoint.no_block", key=key)
    return block


def _size(block: Mapping[str, Any], key: str, default: int | None = None) -> int:
    value, least, most = block.get(key, default), _SMALLEST.get(key, 1), _LARGEST[key]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise CheckpointError("checkpoint.size", key=key, least=least, most=most, value=_short(value))
    return value


def _integers(values: Any, key: str) -> tuple[int, ...]:
    if not isinstance(values, list) or not 0 < len(values) <= 16:
        raise CheckpointError("checkpoint.integers", key=key)
    return tuple(_size({key: v}, key) for v in values)


def _flag(block: Mapping[str, Any], key: str, default: bool) -> bool:
    value = block.get(key, default)
    if not isinstance(value, bool):
        raise CheckpointError("checkpoint.flag", key=key, value=_short(value))
    return value


def _emotions(model: Mapping[str, Any], variant: Variant) -> tuple[str, ...]:
    """Names of the voice's own emotions; those of v2.1 are numbers unless its owner has named them."""
    if variant.emotion not in ("table", "codes"):
        return ()
    names = model.get("emotions", [str(i) for i in range(variant.codes)])
    least, most = (variant.codes, variant.codes) if variant.emotion == "codes" else (1, MOST_EMOTIONS)
    if not isinstance(names, list) or not least <= len(names) <= most or not all(isinstance(n, str) for n in names):
        count = most if least == most else message("checkpoint.range", least=least, most=most)
        raise CheckpointError("checkpoint.emotion_names", count=count)
    return tuple(map(plain, names))


def _pitch(model: Mapping[str, Any], channels: int) -> Pitch | None:
    """model.pitch: {"channel": …, "voiced": …, "base": Hz, "phase": "minimum"}; older voices have none, or no phase."""
    if model.get("pitch") is None:
        return None
    block = _block(model, "pitch")
    channel, voiced, base = (block.get(key, -1) for key in ("channel", "voiced", "base"))
    phase = block.get("phase", "zero")
    if not all(type(place) is int and 0 <= place < channels for place in (channel, voiced)):
        raise CheckpointError("checkpoint.pitch_channels", most=channels - 1)
    if type(base) not in (int, float) or not 1 <= base <= 10_000:
        raise CheckpointError("checkpoint.pitch_base")
    if phase not in ("zero", "minimum"):
        raise CheckpointError("checkpoint.pitch_phase", value=_short(phase))
    return Pitch(channel, voiced, float(base), phase == "minimum")


def _short(value: Any) -> str | Message:
    """A value of a config in an error: what is long or nested by its kind alone."""
    if isinstance(value, int) and abs(value) >= 1 << 63:
        return message("checkpoint.far_larger")
    if isinstance(value, str | int | float | None):
        return repr(value)[:40]
    return message("checkpoint.of_type", type=type(value).__name__)
