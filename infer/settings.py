"""Settings: default_config.yml, then config.yml, then the environment, then the command line."""

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from infer.files import decode, read
from infer.request import BadRequest, SpeechError, shown

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT_PREFIX = "BV2_"
MOST = 1_000_000  # of any number here, whatever it counts

# Sections and keys of the original's config.yml that belong to training and tools: accepted, and not used here.
ORIGINAL_SECTIONS = frozenset(
    ("mirror", "openi_token", "resample", "preprocess_text", "bert_gen", "emo_gen", "train_ms", "server", "translate")
)
ORIGINAL_WEBUI_KEYS = frozenset(("language_identification_library", "v_model", "emo_model"))


class SettingsError(SpeechError):
    """A settings file, variable or flag that cannot be understood."""


class Settings(Mapping[str, Any]):
    """Settings by dotted path: settings["webui.port"]."""

    def __init__(self, values: Mapping[str, Any], root: Path = ROOT) -> None:
        self._values = dict(values)
        self.root = root

    def __getitem__(self, path: str) -> Any:
        return self._values[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def but(self, values: Mapping[str, Any]) -> "Settings":
        """With other values, by dotted path."""
        return Settings({**self._values, **values}, self.root)

    def path(self, value: str | Path) -> Path:
        """A path from the settings: relative ones start at the project's folder."""
        return Path(os.path.realpath(self.root / Path(value).expanduser()))  # resolve() raises for a loop of links


def load_settings(
    config: Path | None = None,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    root: Path = ROOT,
) -> Settings:
    """Read and merge all sources; `overrides` are "path=value". Raises SettingsError in one sentence."""
    values = dict(_flat(_read(ROOT / "default_config.yml")))
    file = config if config is not None else root / "config.yml"
    if config is not None and not file.is_file():
        raise SettingsError(f"The settings file {config} does not exist; check --config.", f"找不到设置文件 {config}。")
    if file.is_file():
        _merge(values, _flat(_without_the_originals(_read(file))), file.name)
    variables = {f"{ENVIRONMENT_PREFIX}{path.upper().replace('.', '_')}": path for path in values}
    for name, text in sorted((os.environ if environment is None else environment).items()):
        if name.startswith(ENVIRONMENT_PREFIX):
            path = variables.get(name, name)
            value = _parse(text, values.get(path), name)
            _merge(values, [(path, value)], "the environment", names=list(variables))
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals:
            raise SettingsError(f"--set {override}: write it as path=value, like webui.port=7861.")
        path = path.strip()
        _merge(values, [(path, _parse(text, values.get(path), path))], "--set")
    return Settings(values, root)


def _read(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(decode(read(file))[0])
    except BadRequest as error:
        raise SettingsError(f"{file.name}: {error}", f"{file.name}：{error.zh}") from error
    except (yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise SettingsError(
            f"{file.name} is not valid YAML: {reason}", f"{file.name} 不是有效的 YAML：{reason}"
        ) from error
    if not isinstance(content or {}, dict):
        raise SettingsError(f"{file.name} must hold lines of the form key: value.", f"{file.name} 应由“键: 值”组成。")
    return content or {}


def _parse(text: str, default: Any, name: str) -> Any:
    if isinstance(default, str):
        return text  # a password like 0123 or yes is text and stays as it is
    try:
        return yaml.safe_load(text) if text.strip() else ""
    except yaml.YAMLError as error:
        raise SettingsError(f"{name}: {text!r} is no value that YAML can read.") from error


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _without_the_originals(tree: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in tree.items() if key not in ORIGINAL_SECTIONS}
    if isinstance(kept.get("webui"), Mapping):
        kept["webui"] = {k: v for k, v in kept["webui"].items() if k not in ORIGINAL_WEBUI_KEYS}
    return kept


def _merge(
    values: dict[str, Any], changes: Iterator[tuple[str, Any]] | list, source: str, names: list[str] | None = None
) -> None:
    for path, value in changes:
        if value is None and any(known.startswith(f"{path}.") for known in values):
            continue  # a section with nothing in it
        if path not in values:
            near = difflib.get_close_matches(path, names or list(values), n=1, cutoff=0.0)[0]
            raise SettingsError(
                f"{source}: {path!r} is no setting; did you mean {near!r}?",
                f"{source}：没有设置项 {path!r}；是不是 {near!r}？",
            )
        values[path] = _checked(path, value, values[path], source)


def _checked(path: str, value: Any, default: Any, source: str) -> Any:
    """The value in the default's type, or an error that shows what is expected."""
    if value is None:
        value = ""
    if isinstance(default, list):
        value = value if isinstance(value, list) else [value]
        fits = bool(value) and all(isinstance(v, type(default[0])) and not isinstance(v, bool) for v in value)
    elif isinstance(default, bool | int):
        fits = type(value) is type(default)
    else:
        fits = isinstance(value, str | int | float) and not isinstance(value, bool)
        value = str(value) if fits else value
    if not fits:
        raise SettingsError(
            f"{source}: {path} cannot be {value!r}; it must be like {default!r}.",
            f"{source}：{path} 不能是 {value!r}；应形如 {default!r}。",
        )
    for number in value if isinstance(value, list) else [value]:
        if type(number) is int and not 0 <= number <= MOST:
            raise SettingsError(
                f"{source}: {path} cannot be {shown(number)}; it must be from 0 to {MOST}.",
                f"{source}：{path} 不能是 {shown(number)}；应在 0 到 {MOST} 之间。",
            )
    return value
