"""What README.md tells people to do works: its commands, settings and links, in both languages."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from pypinyin.contrib.tone_convert import to_tone

from infer.cli.say import parser
from infer.settings import load_settings
from text import analyse

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
INFER = ".venv/bin/python -m infer "
TEXT = ".venv/bin/python -m text "
BATCH = ".venv/bin/python -m infer.batch "
DOCTORS = (".venv/bin/python -m infer.doctor ", ".venv/bin/python -m models.checkpoint ")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


LINES = list(dict.fromkeys(re.sub(r"\s+#.*", "", line) for block in blocks("sh") for line in block.splitlines()))
SPOKEN = [line for line in LINES if INFER in line]
MADE = [line for line in LINES if line.startswith("make ")]


def test_the_examples_are_found() -> None:
    assert len(SPOKEN) >= 5
    assert {"make webui", "make test"} <= set(MADE)
    assert any(line.startswith(TEXT) for line in LINES)


@pytest.mark.parametrize("line", SPOKEN)
def test_flags_exist(line: str) -> None:
    arguments = parser().parse_args(shlex.split(line.partition(INFER)[2]))
    load_settings(overrides=arguments.set, environment={})


@pytest.mark.parametrize("line", MADE)
def test_make_targets_exist(line: str) -> None:
    plan = subprocess.run(
        [*shlex.split(line), "--dry-run", "--always-make"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    goals = {"webui": "webui.py", "models": "-m infer.models", "test": "-m pytest", "bench": "-m benchmarks.speed"}
    goal = goals[shlex.split(line)[1]]
    assert f".venv/bin/python {goal}" in plan.stdout
    settings = [shlex.split(word)[1] for word in re.findall(r"--set \S+", line.replace('"', ""))]
    assert all(f"--set {setting}" in plan.stdout for setting in settings)
    load_settings(overrides=settings, environment={})


def plan(target: str) -> str:
    """All that make would run for a target on a machine that has nothing yet."""
    command = ["make", target, "--dry-run", "--always-make"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_test_command_brings_what_it_needs_and_the_page_no_test_tools() -> None:
    assert plan("test").index(" -m tests.needs") < plan("test").index(" -m pytest")
    assert "requirements-dev.txt" in plan("test") and "requirements-dev.txt" not in plan("webui")
    for target in ("webui", "test"):
        assert plan(target).index("tests/needs.py venv") < plan(target).index(" -m venv .venv")


def test_ci_runs_the_readmes_command_and_may_lack_nothing() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert lines[-2:] == ["make lint", "make test"] and "make test" in MADE and "export CI=true" in lines


@pytest.mark.parametrize("block", blocks("yaml"))
def test_settings_are_settings(tmp_path: Path, block: str) -> None:
    file = tmp_path / "readme.yml"
    file.write_text(block, encoding="utf-8")
    assert load_settings(file, environment={}).flat() != load_settings(environment={}, root=tmp_path).flat()


def test_variables_are_settings() -> None:
    variables = dict(re.findall(r"`(BV2_\w+)=(\S+)`", README))
    assert variables
    load_settings(environment=variables)


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert {"LICENSE", "NOTICE", "default_config.yml", "docs/page.png"} <= set(links)
    assert [link for link in links if not (ROOT / link).is_file()] == []


@pytest.mark.skipif(not list((ROOT / "voices").glob("*/config.json")), reason="the embedded voice is not made yet")
def test_the_embedded_voice_speaks_the_examples(tmp_path: Path) -> None:
    (tmp_path / "story.txt").write_text("从前有座山。\n山里有座庙。\n", encoding="utf-8")
    (tmp_path / "voices").symlink_to(ROOT / "voices")
    run = [line for line in LINES if any(program in line for program in (INFER, TEXT, BATCH, *DOCTORS))]
    script = "\n".join(["set -eo pipefail", *run])
    done = subprocess.run(
        ["bash", "-c", script.replace(".venv/bin/python", shlex.quote(sys.executable))],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if not k.startswith("BV2_")} | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=1200,  # sixteen programs that each import torch, on a machine that others may keep busy
    )
    assert done.returncode == 0, done.stderr
    assert "speakers:" in done.stdout
    assert '"reading": "hang2"' in done.stdout
    assert "this voice can be used" in done.stdout and (tmp_path / "small.safetensors").stat().st_size
    files = {parser().parse_args(shlex.split(line.partition(INFER)[2])).output for line in SPOKEN}
    files |= {tmp_path / name for name in ("story.srt", "story.zip", "book.wav")}
    assert [file for file in files if not (tmp_path / file).stat().st_size] == []


ROWS = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]*[āáǎàēéěèīíǐìōóǒòūúǔùǖǘǚǜ][^|]*) \|$", README, re.MULTILINE)


def test_both_halves_have_the_table() -> None:
    assert len(ROWS) >= 24 and ROWS[: len(ROWS) // 2] == ROWS[len(ROWS) // 2 :]


@pytest.mark.parametrize("row", ROWS[: len(ROWS) // 2])
def test_the_hard_sentences_are_read_as_the_table_says(row: tuple[str, str, str]) -> None:
    written, said, pinyin = row
    chars = [char for utterance in analyse(written) for char in utterance.chars]
    assert "".join(char.text for char in chars) == said
    assert " ".join(to_tone(char.spoken) if char.spoken else char.text for char in chars) == pinyin
