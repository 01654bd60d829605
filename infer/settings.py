"""Settings: default_config.yml, then config.yml, then the environment, then the command line."""

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

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


@dataclass(frozen=True)
class WebUI:
    """The section webui: the keys of the original's, so that an owner's config.yml works as it is."""

    device: str
    model: str
    config_path: str
    port: int
    share: bool
    debug: bool
    fp16_run: bool
    int8_run: bool


@dataclass(frozen=True)
class Settings:
    """All settings. What each is for, and its default, stands in default_config.yml."""

    webui: WebUI
    dataset_path: str
    host: str
    user: str
    password: str
    voices: list[str]
    voice: str
    voices_mb: int
    bert_path: str
    bert_1024_path: str
    bert_idle_minutes: int
    clap_path: str
    g2pw_path: str
    glossary: str
    history: str
    history_entries: int
    missing_features: str
    max_characters: int
    max_seconds: int
    takes_mb: int
    max_joined_hours: int
    windows: list[int]
    backend: str
    cache_path: str
    first_piece: int
    threads: int
    root: Path = ROOT

    def but(self, webui: Mapping[str, Any] | None = None, /, **values: Any) -> "Settings":
        """With other values, and others in the section webui."""
        return replace(self, webui=replace(self.webui, **webui or {}), **values)

    def path(self, value: str | Path) -> Path:
        """A path from the settings: relative ones start at the project's folder."""
        return Path(os.path.realpath(self.root / Path(value).expanduser()))  # resolve() raises for a loop of links

    def flat(self) -> dict[str, Any]:
        """All values by dotted path: webui.port."""
        return dict(_flat({name: value for name, value in asdict(self).items() if name != "root"}))


TYPES: Mapping[str, Any] = {
    **{f"webui.{name}": kind for name, kind in get_type_hints(WebUI).items()},
    **{name: kind for name, kind in get_type_hints(Settings).items() if name not in ("webui", "root")},
}


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
        raise SettingsError("settings.no_file", file=config)
    if file.is_file():
        _merge(values, _flat(_without_the_originals(_read(file))), file.name)
    variables = {f"{ENVIRONMENT_PREFIX}{path.upper().replace('.', '_')}": path for path in values}
    for name, text in sorted((os.environ if environment is None else environment).items()):
        if name.startswith(ENVIRONMENT_PREFIX):
            path = variables.get(name, name)
            _merge(values, [(path, _parse(text, path, name))], "the environment", names=list(variables))
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals:
            raise SettingsError("settings.no_value", flag=override)
        path = path.strip()
        _merge(values, [(path, _parse(text, path, path))], "--set")
    section = {path.partition(".")[2]: value for path, value in values.items() if "." in path}
    return Settings(
        webui=WebUI(**section), root=root, **{path: value for path, value in values.items() if "." not in path}
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(decode(read(file))[0])
    except BadRequest as error:
        raise SettingsError("settings.unreadable", file=file.name, cause=error) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise SettingsError("settings.no_yaml", file=file.name, reason=" ".join(str(error).split())) from error
    if not isinstance(content or {}, dict):
        raise SettingsError("settings.no_keys", file=file.name)
    return content or {}


def _parse(text: str, path: str, name: str) -> Any:
    if TYPES.get(path) is str:
        return text  # a password like 0123 or yes is text and stays as it is
    try:
        return yaml.safe_load(text) if text.strip() else ""
    except yaml.YAMLError as error:
        raise SettingsError("settings.no_yaml_value", name=name, value=text) from error


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _without_the_originals(tree: Mapping[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in tree.items() if key not in ORIGINAL_SECTIONS}
    if isinstance(rest.get("webui"), Mapping):
        rest["webui"] = {k: v for k, v in rest["webui"].items() if k not in ORIGINAL_WEBUI_KEYS}
    return rest


def _merge(
    values: dict[str, Any], changes: Iterable[tuple[str, Any]], source: str, names: list[str] | None = None
) -> None:
    for path, value in changes:
        if value is None and any(name.startswith(f"{path}.") for name in values):
            continue  # a section with nothing in it
        if path not in values:
            near = difflib.get_close_matches(path, names or list(values), n=1, cutoff=0.0)[0]
            raise SettingsError("settings.unknown", source=source, name=path, near=near)
        values[path] = _checked(path, value, values[path], source)


def _checked(path: str, value: Any, default: Any, source: str) -> Any:
    """The value in the setting's type, or an error that shows what is expected."""
    kind = TYPES[path]
    if value is None:
        value = ""
    if kind in (list[str], list[int]):
        value = value if isinstance(value, list) else [value]
        fits = bool(value) and all(type(part) is kind.__args__[0] for part in value)
    elif kind is str:
        fits = isinstance(value, str | int | float) and not isinstance(value, bool)
        value = str(value) if fits else value
    else:
        fits = type(value) is kind
    if not fits:
        raise SettingsError("settings.wrong_type", source=source, name=path, value=value, default=default)
    for number in value if isinstance(value, list) else [value]:
        if type(number) is int and not 0 <= number <= MOST:
            raise SettingsError("settings.out_of_range", source=source, name=path, value=shown(number), most=MOST)
    return value
