"""Settings: which source wins, what an owner's old config.yml does, and what is said when something is wrong."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from infer.settings import ROOT, Settings, SettingsError, load_settings

# The form of the original project's config.yml: one section a tool, all of them in one file.
OWNERS = """
mirror: ""
openi_token: ""
dataset_path: "Data/mine"
resample:
  sampling_rate: 44100
  in_dir: "audios/raw"
  out_dir: "audios/wavs"
preprocess_text:
  transcription_path: "filelists/mine.list"
  val_per_lang: 4
bert_gen:
  config_path: "config.json"
  num_processes: 2
  device: "cuda"
  use_multi_device: false
emo_gen:
  config_path: "config.json"
  num_processes: 2
  device: "cuda"
train_ms:
  env:
    MASTER_ADDR: "localhost"
    MASTER_PORT: 10086
  base:
    use_base_model: false
  model: "models"
  config_path: "config.json"
  keep_ckpts: 8
webui:
  device: "cuda"
  model: "models/G_8000.pth"
  v_model: ""
  config_path: "config.json"
  port: 7865
  share: false
  debug: true
  language_identification_library: "langid"
  fp16_run: true
  int8_run: false
server:
  port: 5000
  device: "cuda"
  models:
    - model: ""
      config: ""
      device: "cuda"
      language: "ZH"
      speakers: []
translate:
  "app_key": ""
  "secret_key": ""
"""


def load(
    root: Path, config: str = "", environment: Mapping[str, str] | None = None, overrides: Sequence[str] = ()
) -> Settings:
    (root / "config.yml").write_text(config, encoding="utf-8")
    return load_settings(overrides=overrides, environment=environment or {}, root=root)


def complaint(root: Path, *arguments, **named) -> str:
    with pytest.raises(SettingsError) as caught:
        load(root, *arguments, **named)
    assert "\n" not in str(caught.value)
    assert "\n" not in caught.value.message.say("zh")
    return str(caught.value)


def test_defaults_are_the_files(tmp_path: Path) -> None:
    settings = load_settings(environment={}, root=tmp_path)
    written = yaml.safe_load((ROOT / "default_config.yml").read_text(encoding="utf-8"))
    assert {f"webui.{key}": value for key, value in written.pop("webui").items()} | written == settings.flat()
    assert settings.webui.port == 7860
    assert settings.host == "127.0.0.1"


def test_precedence(tmp_path: Path) -> None:
    file, variable, flag = "webui: {port: 1}", {"BV2_WEBUI_PORT": "2"}, ["webui.port=3"]
    assert load(tmp_path).webui.port == 7860
    assert load(tmp_path, file).webui.port == 1
    assert load(tmp_path, file, variable).webui.port == 2
    assert load(tmp_path, file, variable, flag).webui.port == 3
    assert load(tmp_path, file, variable, [*flag, "webui.port=4"]).webui.port == 4


def test_a_source_changes_only_what_it_names(tmp_path: Path) -> None:
    settings = load(tmp_path, "webui: {port: 1}", {"BV2_MAX_CHARACTERS": "7", "PATH": "/bin"}, ["user=me"])
    defaults = load(tmp_path)
    changed = {path for path, value in settings.flat().items() if value != defaults.flat()[path]}
    assert changed == {"webui.port", "max_characters", "user"}


def test_an_owners_config_works_as_it_is(tmp_path: Path) -> None:
    settings = load(tmp_path, OWNERS)
    assert {key: getattr(settings.webui, key) for key in ("device", "model", "config_path", "port", "fp16_run")} == {
        "device": "cuda",
        "model": "models/G_8000.pth",
        "config_path": "config.json",
        "port": 7865,
        "fp16_run": True,
    }
    assert settings.dataset_path == "Data/mine"
    assert settings.flat().keys() == load(tmp_path).flat().keys()


def test_another_file_by_name(tmp_path: Path) -> None:
    (tmp_path / "other.yml").write_text("voice: mine", encoding="utf-8")
    (tmp_path / "config.yml").write_text("voice: not this", encoding="utf-8")
    assert load_settings(tmp_path / "other.yml", environment={}, root=tmp_path).voice == "mine"
    with pytest.raises(SettingsError, match=r"nowhere\.yml does not exist"):
        load_settings(tmp_path / "nowhere.yml", environment={}, root=tmp_path)


@pytest.mark.parametrize(
    ("config", "environment", "overrides", "named"),
    [
        ("webui: {prot: 1}", {}, [], ("config.yml", "'webui.prot'", "'webui.port'")),
        ("web_ui: {share: true}", {}, [], ("config.yml", "'webui.share'")),
        ("max_charactres: 1", {}, [], ("config.yml", "'max_characters'")),
        ("webui: {port: {number: 1}}", {}, [], ("config.yml", "'webui.port.number'", "'webui.port'")),
        ("", {"BV2_WEBUI_PROT": "1"}, [], ("environment", "'BV2_WEBUI_PROT'", "'BV2_WEBUI_PORT'")),
        ("", {}, ["webui.devcie=cpu"], ("--set", "'webui.devcie'", "'webui.device'")),
    ],
)
def test_an_unknown_key_names_the_nearest(
    tmp_path: Path, config: str, environment: dict[str, str], overrides: list[str], named: tuple[str, ...]
) -> None:
    told = complaint(tmp_path, config, environment, overrides)
    assert all(part in told for part in named), told


@pytest.mark.parametrize(
    ("config", "path", "example"),
    [
        ("webui: {port: high}", "webui.port", "7860"),
        ("webui: {port: 7860.5}", "webui.port", "7860"),
        ("webui: {port: true}", "webui.port", "7860"),
        ("webui: {port:}", "webui.port", "7860"),
        ("webui: {share: 1}", "webui.share", "False"),
        ("webui: {share: 'yes'}", "webui.share", "False"),
        ("webui: {device: [cpu]}", "webui.device", "'auto'"),
        ("voice: true", "voice", "''"),
        ("windows: []", "windows", "[15, 30, 60, 90, 120]"),
        ("windows: [64, wide]", "windows", "[15, 30, 60, 90, 120]"),
    ],
)
def test_a_wrong_type_shows_a_right_one(tmp_path: Path, config: str, path: str, example: str) -> None:
    told = complaint(tmp_path, config)
    assert told.startswith("config.yml:")
    assert f"{path} cannot be" in told
    assert f"like {example}" in told


@pytest.mark.parametrize("config", ["webui: [", "webui:\n\tport: 1", "- a\n- b", "just words", "[" * 2000])
def test_a_file_that_is_no_settings_file(tmp_path: Path, config: str) -> None:
    assert complaint(tmp_path, config).startswith("config.yml")


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_bytes(b"voice: \0\xff")
    with pytest.raises(SettingsError, match=r"config\.yml: .* save it as UTF-8"):
        load_settings(environment={}, root=tmp_path)


@pytest.mark.parametrize("encoding", ["gbk", "utf-16"])
def test_a_file_as_editors_on_windows_save_it_is_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "config.yml").write_bytes("voice: 我的".encode(encoding))
    assert load_settings(environment={}, root=tmp_path).voice == "我的"


@pytest.mark.parametrize("override", ["threads=-5", "threads=99999999999", "max_seconds=-1", "windows=[15, -1]"])
def test_no_number_is_below_zero_or_beyond_all_sense(tmp_path: Path, override: str) -> None:
    assert "must be from 0 to 1000000" in complaint(tmp_path, overrides=[override])


@pytest.mark.parametrize("override", ["webui.port", "", "webui.port=["])
def test_a_flag_that_is_no_setting(tmp_path: Path, override: str) -> None:
    assert complaint(tmp_path, overrides=[override])


def test_variables_and_flags_are_read_as_yaml(tmp_path: Path) -> None:
    settings = load(tmp_path, "", {"BV2_WEBUI_SHARE": "true", "BV2_WINDOWS": "[32, 64]"}, ["webui.device=cuda:1"])
    assert (settings.webui.share, settings.windows, settings.webui.device) == (True, [32, 64], "cuda:1")


def test_one_folder_stands_for_a_list_of_one(tmp_path: Path) -> None:
    assert load(tmp_path, "voices: mine").voices == ["mine"]


def test_a_number_stands_for_text(tmp_path: Path) -> None:
    assert load(tmp_path, "password: 1234").password == "1234"


@pytest.mark.parametrize("password", ["0123", "yes", "a: b", "null"])
def test_text_from_the_command_line_and_the_environment_stays_as_it_is(tmp_path: Path, password: str) -> None:
    given = load_settings(overrides=[f"password={password}"], environment={}, root=tmp_path)
    assert given.password == password
    given = load_settings(environment={"BV2_PASSWORD": password}, root=tmp_path)
    assert given.password == password


def test_a_mark_from_windows_editors_does_no_harm(tmp_path: Path) -> None:
    assert load(tmp_path, "\ufeffvoice: 我的").voice == "我的"


@pytest.mark.parametrize("section", ["", "webui: {}", "webui:", "webui:\n  # port: 1\n", "# nothing"])
def test_an_empty_section_changes_nothing(tmp_path: Path, section: str) -> None:
    assert load(tmp_path, section) == load(tmp_path)


def test_relative_paths_start_at_the_project(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.path("voices/mine") == tmp_path.resolve() / "voices" / "mine"
    assert settings.path(tmp_path / "elsewhere") == tmp_path.resolve() / "elsewhere"
    assert settings.path("~/mine") == Path.home().resolve() / "mine"


def test_a_link_that_leads_to_itself_is_a_path_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert load(tmp_path).path("loop/voices").name == "voices"
