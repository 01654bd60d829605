"""What a checkpoint is and what is wrong with it, for a person; `python -m infer.doctor` and the page show it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from models import checkpoint
from models.config import SynthesizerConfig, Variant, plain, speakers, version_of
from models.families import detect, listed
from words import Message, message, say

_BERTS = {2048: "Erlangshen-MegatronBert-1.3B-Chinese (5 GB)", 1024: "chinese-roberta-wwm-ext-large (1.3 GB)"}
_LANGUAGES = {"ZH": "checkpoint.chinese", "JP": "checkpoint.japanese", "EN": "checkpoint.english"}
_SHOWN = 12  # speakers and emotions


@dataclass(frozen=True)
class Report:
    """One checkpoint, examined. problems: cause and cure, a sentence each; with none the voice can be used.

    variant, why: its family and how that was found. sizes: what config.json says, where it could be understood.
    parameters: numbers that speaking needs. bytes: of the file, of those numbers as stored, of what serves training.
    """

    file: str
    file_bytes: int = 0
    variant: Variant | None = None
    why: Message | None = None
    sizes: SynthesizerConfig | None = None
    parameters: int = 0
    speaking_bytes: int = 0
    training_bytes: int = 0
    precision: str = ""
    speakers: tuple[str, ...] = ()
    problems: tuple[Message, ...] = ()
    notes: tuple[Message, ...] = ()

    @property
    def usable(self) -> bool:
        return not self.problems

    def rows(self) -> list[tuple[str, Message]]:
        """Keys of labels, and what they label."""
        variant, sizes = self.variant, self.sizes
        file = message("checkpoint.named_size", name=plain(self.file), megabytes=self.file_bytes / 1e6)
        rows = [("checkpoint.file", file)]
        if variant and self.why:
            taught = [message(_LANGUAGES[code]) for code in variant.speaks]
            rows += [
                ("checkpoint.family", message("checkpoint.family_why", name=variant.name, why=self.why)),
                ("checkpoint.taught", message("checkpoint.list", names=taught)),
            ]
        if self.parameters:
            numbers = {"megabytes": self.speaking_bytes / 1e6, "count": self.parameters, "precision": self.precision}
            rows += [
                ("checkpoint.speaking", message("checkpoint.numbers", **numbers)),
                ("checkpoint.training", message("checkpoint.megabytes", megabytes=self.training_bytes / 1e6)),
            ]
        if sizes:
            time = {"rate": sizes.sampling_rate, "hop": sizes.hop, "ms": 1000 * sizes.hop / sizes.sampling_rate}
            rows.append(("checkpoint.sound", message("checkpoint.frames", **time)))
        if self.speakers:
            names = listed(list(map(plain, self.speakers)), _SHOWN)
            rows.append(("checkpoint.speakers", message("checkpoint.counted", count=len(self.speakers), names=names)))
        if sizes:
            free = message("checkpoint.own_words" if sizes.variant.needs_clap else "checkpoint.no_emotions")
            own = message("checkpoint.list", names=listed(list(map(plain, sizes.emotions)), _SHOWN))
            rows.append(("checkpoint.emotions", own if sizes.emotions else free))
        return rows + ([("checkpoint.needs", _needs(variant))] if variant else [])

    def text(self) -> str:
        """The report for a terminal, in English."""
        verdict = message("checkpoint.usable" if self.usable else "checkpoint.unusable", name=plain(self.file))
        rows = [
            *self.rows(),
            *(("checkpoint.note", note) for note in self.notes),
            *(("checkpoint.problem", problem) for problem in self.problems),
        ]
        return "\n".join([str(verdict), *(f"  {say(label, {}, 'en'):<20}{value}" for label, value in rows)])


def _needs(variant: Variant) -> Message:
    """Model files beside the voice."""
    if "ZH" not in variant.speaks:
        return message("checkpoint.japanese_front_end")
    bert = [_BERTS[variant.bert_width]] if variant.needs_bert else []
    names = [*bert, *([message("checkpoint.clap")] if variant.needs_clap else [])]
    return message("checkpoint.list", names=names) if names else message("checkpoint.alone")


def examine(path: Path, config_file: Path | None = None) -> Report:
    """Everything about a checkpoint that can be told, with all that is wrong with it. Raises nothing for a bad file.

    config_file: by default the one that find_config finds.
    """
    about: dict[str, Any] = {"file": path.name}
    problems: list[Message] = []
    notes: list[Message] = []
    config: Mapping[str, Any] | None = None
    try:
        config = checkpoint.read_config(config_file or checkpoint.find_config(path))
    except checkpoint.CheckpointError as error:
        problems.append(error.message)
    try:
        with checkpoint.opened(path) as file:
            about |= {"file_bytes": path.stat().st_size} | _weigh(file.described, file.other_bytes)
            state = checkpoint.inference_state(file.described)
            unit_codes, claims = checkpoint.have_unit_codes(file), config or {}
            shapes = {key: tuple(value.shape) for key, value in state.items()}
            variant, why = detect(shapes, version_of(claims), str(claims.get("variant", ""))[:40], unit_codes)
            about |= {"variant": variant, "why": why}
            notes += _doubts(variant, version_of(claims), unit_codes, "variant" in claims)
            if config is not None:
                sizes = SynthesizerConfig.from_json(config, variant)
                about |= {"sizes": sizes, "speakers": tuple(speakers(config, sizes.n_speakers))}
                notes += _unnamed(config, sizes.n_speakers)
                network = checkpoint.outline(sizes, len(state))
                remedy = checkpoint.cure(network, state)
                misfits = checkpoint.misfits(network, state)
                problems += [message("checkpoint.it", misfit=misfit, cure=remedy) for misfit in misfits]
                if not problems:  # only now the numbers are read
                    checkpoint.build(sizes, checkpoint.inference_state(checkpoint.stored(file)), path.name)
            if "ZH" not in variant.speaks:
                problems.append(message("checkpoint.japanese_alone"))
    except checkpoint.CheckpointError as error:  # without a family, a lost config.json is no news
        problems = [*problems, error.message] if "variant" in about else [error.message]
    return Report(**about, problems=tuple(problems), notes=tuple(notes))


def _weigh(described: Mapping[str, Tensor], other_bytes: int) -> dict[str, Any]:
    """Sizes of what is stored, for Report."""
    speaking = [value for name, value in described.items() if not checkpoint.is_training_only(name)]
    training = [value for name, value in described.items() if checkpoint.is_training_only(name)]
    return {
        "parameters": sum(value.numel() for value in speaking),
        "speaking_bytes": sum(value.nbytes for value in speaking),
        "training_bytes": sum(value.nbytes for value in training) + other_bytes,
        "precision": ", ".join(sorted({checkpoint.kind_of(value) for value in speaking})),
    }


def _doubts(variant: Variant, version: str, unit_codes: bool | None, settled: bool) -> list[Message]:
    """What might be wrong about the family, and what its owner should know."""
    notes = []
    if variant.bert_pre and unit_codes and variant.code_search != "cosine" and not settled:
        notes.append(message("checkpoint.doubt", version=version))
    if variant.emotion == "codes" and not variant.codes:
        notes.append(message("checkpoint.lost_emotions"))
    return notes


def _unnamed(config: Mapping[str, Any], n_speakers: int) -> list[Message]:
    """Whether the names of config.json can be used."""
    named, usable = config["data"].get("spk2id"), speakers(config, n_speakers)
    names = named if isinstance(named, Mapping) else {}
    if named and usable == speakers({}, n_speakers) and usable != names:
        return [message("checkpoint.numbered")]
    notes = []
    if len(names) > len(usable):
        notes.append(message("checkpoint.nobody", count=len(names) - len(usable)))
    if names and (changed := len(usable.keys() - names.keys())):
        notes.append(message("checkpoint.shortened", count=changed))
    return notes
