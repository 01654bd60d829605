"""What a checkpoint is and what is wrong with it, in words (examine), and a smaller, safer file of it (convert)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from models.checkpoint import (
    CheckpointError,
    build,
    cures,
    find_config,
    have_unit_codes,
    inference_state,
    is_training_only,
    load_checkpoint,
    misfits,
    opened,
    outline,
    read_config,
)
from models.config import SynthesizerConfig, Variant, plain, speakers, version_of
from models.families import detect

_BERTS = {
    2048: "BERT of 2048 values a character: Erlangshen-MegatronBert-1.3B-Chinese (5 GB)",
    1024: "BERT of 1024 values a character: chinese-roberta-wwm-ext-large (1.3 GB)",
}
_CLAP = "CLAP, which reads the emotion you write: clap-htsat-fused (0.6 GB)"
_LANGUAGES = {"ZH": "Chinese", "JP": "Japanese", "EN": "English"}
_SHOWN = 12  # speakers


@dataclass(frozen=True)
class Report:
    """One checkpoint, examined. problems: cause and cure, a sentence each; with none the voice can be used.

    variant, why: its family and how that was found. sizes: what config.json says, where it could be understood.
    parameters: numbers that speaking needs. bytes: of the file, of those numbers as stored, of what serves training.
    """

    file: str
    file_bytes: int = 0
    variant: Variant | None = None
    why: str = ""
    sizes: SynthesizerConfig | None = None
    parameters: int = 0
    speaking_bytes: int = 0
    training_bytes: int = 0
    precision: str = ""
    speakers: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        return not self.problems

    @property
    def needs(self) -> tuple[str, ...]:
        """Model files beside the voice, in words."""
        if self.variant is None:
            return ()
        if "ZH" not in self.variant.speaks:
            return ("a Japanese front end, which is not here",)
        bert = [_BERTS[self.variant.bert_width]] if self.variant.needs_bert else []
        return (*bert, *([_CLAP] if self.variant.needs_clap else []))

    def text(self) -> str:
        """The report for a terminal."""
        rows: list[tuple[str, str]] = []
        if self.variant:
            languages = ", ".join(_LANGUAGES[code] for code in self.variant.speaks)
            rows += [("family", f"{self.variant.name}: {self.why}"), ("was taught", languages)]
        if self.parameters:
            rows += [
                ("size", f"{_megabytes(self.file_bytes)} on the disk"),
                ("  speaking", f"{_megabytes(self.speaking_bytes)}, {self.parameters:,} numbers ({self.precision})"),
                ("  training only", f"{_megabytes(self.training_bytes)}" if self.training_bytes else "nothing"),
            ]
        if self.sizes:
            rate, hop = self.sizes.sampling_rate, self.sizes.hop
            rows += [("sound", f"{rate:,} samples a second, {hop} a frame ({1000 * hop / rate:.1f} ms)")]
        if self.speakers:
            more = f" and {len(self.speakers) - _SHOWN} more" if len(self.speakers) > _SHOWN else ""
            rows += [("speakers", f"{len(self.speakers)}: {', '.join(map(plain, self.speakers[:_SHOWN]))}{more}")]
        if self.sizes:
            emotions = ", ".join(map(plain, self.sizes.emotions[:_SHOWN]))
            words = "in your own words" if self.variant and self.variant.needs_clap else "none to choose"
            rows += [("emotions", emotions or words)]
        if self.variant:
            rows += [("needs", need) for need in self.needs or ("no other model",)]
        rows += [("note", note) for note in self.notes] + [("PROBLEM", problem) for problem in self.problems]
        verdict = "this voice can be used" if self.usable else "this file cannot be used"
        return "\n".join([f"{plain(self.file)}: {verdict}", *(f"  {name:<16}{words}" for name, words in rows)])


def examine(path: Path, config_file: Path | None = None) -> Report:
    """Everything about a checkpoint that can be told, with all that is wrong with it. Raises nothing for a bad file.

    config_file: by default the one that find_config finds.
    """
    about: dict[str, Any] = {"file": path.name}
    problems: list[str] = []
    notes: list[str] = []
    config: Mapping[str, Any] | None = None
    try:
        config = read_config(config_file or find_config(path))
    except CheckpointError as error:
        problems.append(str(error))
    try:
        with opened(path) as file:
            about |= {"file_bytes": path.stat().st_size} | _weigh(file.described, file.other_bytes)
            state = inference_state(file.described)
            unit_codes = have_unit_codes(file)
            said = config or {}
            variant, about["why"] = detect(
                {key: tuple(value.shape) for key, value in state.items()},
                version_of(said),
                str(said.get("variant", ""))[:40],
                unit_codes,
            )
            about["variant"] = variant
            notes += _doubts(variant, version_of(said), unit_codes, "variant" in said)
            if config is not None:
                sizes = SynthesizerConfig.from_json(config, variant)
                about |= {"sizes": sizes, "speakers": tuple(speakers(config, sizes.n_speakers))}
                notes += _unnamed(config, sizes.n_speakers)
                network = outline(sizes, len(state))
                cure = cures(network, state)
                problems += [f"It {problem}; {cure}." for problem in misfits(network, state)]
                if not problems:  # only now the numbers are read
                    numbers = {name: file.read(name) for name in file.described if not is_training_only(name)}
                    build(sizes, inference_state(numbers), path.name)
            if "ZH" not in variant.speaks:
                problems.append("It was taught Japanese alone, and this program reads Chinese; choose another voice.")
    except ValueError as error:  # CheckpointError is one; without a family, a lost config.json is no news
        problems = [*problems, str(error)] if "variant" in about else [str(error)]
    return Report(**about, problems=tuple(problems), notes=tuple(notes))


def _weigh(described: Mapping[str, Tensor], other_bytes: int) -> dict[str, Any]:
    """Sizes of what is stored, for Report."""
    speaking = [value for name, value in described.items() if not is_training_only(name)]
    training = [value for name, value in described.items() if is_training_only(name)]
    kinds = sorted({str(value.dtype).removeprefix("torch.") for value in speaking})
    return {
        "parameters": sum(value.numel() for value in speaking),
        "speaking_bytes": sum(value.nbytes for value in speaking),
        "training_bytes": sum(value.nbytes for value in training) + other_bytes,
        "precision": " and ".join(kinds),
    }


def _doubts(variant: Variant, version: str, unit_codes: bool | None, settled: bool) -> list[str]:
    """What might be wrong about the family, and what its owner should know."""
    notes = []
    if variant.bert_pre and unit_codes and variant.code_search != "cosine" and not settled:
        notes.append(
            f"Its config says version {version}, but its codes have length 1 as those of extra-fix do; "
            'if its emotions sound wrong, add "variant": "extra-fix" to config.json.'
        )
    if variant.emotion == "codes" and not variant.codes:
        notes.append(
            "The first release 2.1 never saved its ten emotions, and the original draws random ones at each start; "
            "here the voice is always neutral."
        )
    return notes


def _unnamed(config: Mapping[str, Any], n_speakers: int) -> list[str]:
    """Whether the names of config.json can be used."""
    named, found = config["data"].get("spk2id"), speakers(config, n_speakers)
    names = named if isinstance(named, Mapping) else {}
    if named and found == speakers({}, n_speakers) and found != names:
        return ["The names in data.spk2id cannot be used, so the speakers are numbered; correct config.json."]
    notes = []
    if len(names) > len(found):
        notes += [f"{len(names) - len(found)} of the names in data.spk2id belong to no speaker and are left out."]
    if names and (changed := len(found.keys() - names.keys())):
        notes += [f"{changed} of the names in data.spk2id are long or cannot be shown as they are, and are shortened."]
    return notes


def convert(path: Path, target: Path, config_file: Path | None = None, half: bool = False, force: bool = False) -> None:
    """Write what speaking needs as safetensors, under the release's own names, and config.json beside it.

    half: float16, but for the code books, where rounding could choose another code. force: write over what is there.
    The new file is read back before it gets its name. Raises CheckpointError; then nothing is written.
    """
    if target.suffix != ".safetensors":
        raise CheckpointError(f"{target.name} must end in .safetensors; choose another name.")
    source_config, config_target = config_file or find_config(path), target.parent / "config.json"
    config = read_config(source_config)
    content = source_config.read_bytes()
    if target.exists() and (not force or target.samefile(path)):
        raise CheckpointError(f"{target.name} is already there; choose another name or add --force.")
    if config_target.exists() and config_target.read_bytes() != content and not force:
        raise CheckpointError(f"Another config.json lies beside {target.name}; choose another folder or add --force.")
    load_checkpoint(path, config)
    with opened(path) as file:
        kept = {name: file.read(name).contiguous() for name in file.described if not is_training_only(name)}
    if half:
        kept = {name: value if "codebook" in name else value.half() for name, value in kept.items()}
        if large := [name for name, value in kept.items() if not value.isfinite().all()]:
            raise CheckpointError(
                f"{path.name} has numbers too large for float16 ({large[0]}); convert without --fp16."
            )
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        save_file(kept, partial, metadata={"format": "pt"})
        load_checkpoint(partial, config)
        partial.chmod(path.stat().st_mode & 0o666)  # safetensors writes for the owner alone
        partial.replace(target)
        config_target.write_bytes(content)
    except OSError as error:
        raise CheckpointError(f"{target.name} cannot be written ({error.strerror}); choose another folder.") from error
    finally:
        partial.unlink(missing_ok=True)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
