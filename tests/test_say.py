"""Every sentence for people is in words/, in both languages, with the same gaps, and is used as it is meant."""

import ast
import re
import string
from pathlib import Path

import pytest
import yaml

from words import LANGUAGES, Fault, message, pairs, say

ROOT = Path(__file__).resolve().parents[1]
SENTENCES = {
    language: {
        f"{section}.{name}": sentence
        for section, named in yaml.safe_load((ROOT / "words" / f"{language}.yml").read_text("utf-8")).items()
        for name, sentence in (named or {}).items()
    }
    for language in LANGUAGES
}
FOLDERS = ("text", "models", "pretrained", "bert", "emotional", "infer", "page", "server", "benchmarks", "words")
SOURCES = sorted(file for place in ("*.py", *(f"{folder}/**/*.py" for folder in FOLDERS)) for file in ROOT.glob(place))
TREES = {file: ast.parse(file.read_text("utf-8")) for file in SOURCES}
KEY = re.compile(r"[a-z0-9_]+\.[A-Za-z0-9_]+")


def gaps(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


def uses() -> list[tuple[str, set[str] | None, str]]:
    """Key, names of its facts (None: not known from the source) and place of every call that is given a key."""
    found = []
    for file, tree in TREES.items():
        for node in ast.walk(tree):
            key = first_argument(node)
            if key in SENTENCES["en"]:
                plain = len(node.args) == 1 and all(keyword.arg for keyword in node.keywords)
                facts = {keyword.arg for keyword in node.keywords} if plain else None
                found.append((key, facts, f"{file.relative_to(ROOT)}:{node.lineno}"))
    return found


def first_argument(node: ast.AST) -> str | None:
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        return node.args[0].value if isinstance(node.args[0].value, str) else None
    return None


def faults() -> set[str]:
    """Names of all classes that derive from Fault, read off the source."""
    classes = [node for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    bases = {node.name: {ast.unparse(base).rpartition(".")[2] for base in node.bases} for node in classes}
    known = {"Fault"}
    while more := {name for name, parents in bases.items() if parents & known} - known:
        known |= more
    return known


def raises() -> list[tuple[str, str]]:
    """The first argument, where it is a constant, and the place of every making of a Fault or Message."""
    makers, found = {*faults(), "message"}, []
    for file, tree in TREES.items():
        for node in ast.walk(tree):
            if (key := first_argument(node)) is not None and ast.unparse(node.func).rpartition(".")[2] in makers:
                found.append((key, f"{file.relative_to(ROOT)}:{node.lineno}"))
    return found


def test_both_languages_have_the_same_sentences_with_the_same_gaps() -> None:
    assert SENTENCES["zh"].keys() == SENTENCES["en"].keys()
    assert [key for key in SENTENCES["en"] if gaps(SENTENCES["zh"][key]) != gaps(SENTENCES["en"][key])] == []
    assert all(name.isidentifier() for key in SENTENCES["en"] for name in gaps(SENTENCES["en"][key]))


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_key_stands_twice(language: str) -> None:
    """YAML takes the last of them without a word."""
    lines = (ROOT / "words" / f"{language}.yml").read_text("utf-8").splitlines()
    section, keys = "", list[str]()
    for line in lines:
        if head := re.match(r"( {2})?([\w.]+):", line):
            section = section if head[1] else head[2]
            keys.append(f"{section}.{head[2]}" if head[1] else section)
    assert sorted(set(keys)) == sorted(keys) and len(keys) > 500


def test_every_fault_has_a_sentence() -> None:
    assert [(key, place) for key, place in raises() if key not in SENTENCES["en"]] == []


def test_every_sentence_is_given_its_facts() -> None:
    wrong = [(key, place) for key, facts, place in uses() if facts is not None and facts != gaps(SENTENCES["en"][key])]
    assert wrong == []


def test_no_sentence_is_unused() -> None:
    sources = "\n".join(file.read_text("utf-8") for file in SOURCES)
    whole = set(re.findall(r"""pairs\(["']([a-z_]+)["']\)""", sources))
    scripts = "\n".join(file.read_text("utf-8") for file in sorted(ROOT.glob("page/**/*.js")))
    named = set(re.findall(r"""["']([a-z0-9_]+\.[A-Za-z0-9_]+)["']""", sources))
    unused = [key for key in SENTENCES["en"] if key not in named and key.partition(".")[0] not in whole]
    assert unused == []
    labels = [key for key in SENTENCES["en"] if key.partition(".")[0] in whole and key not in named]
    made = set(re.findall(r"([a-z.]+\.)\$\{", scripts))  # beginnings of keys: `option.${name}`

    def is_used(label: str) -> bool:
        return any(map(label.startswith, made)) or re.search(rf"\b{label}\b", scripts + sources) is not None

    assert [key for key in labels if not is_used(key.partition(".")[2])] == []


def test_facts_are_said_in_the_language_of_the_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {
        "zh": {"a": {"list": "可选：{names:or}；{cause}", "cause": "{count:,} 个"}},
        "en": {"a": {"list": "choose {names:or}; {cause}", "cause": "{count:,} of them"}},
    }
    monkeypatch.setattr("words._sentences", lambda language: tables[language])
    fault = Fault("a.list", names=["x", "y", "z"], cause=message("a.cause", count=1200))
    assert str(fault) == "choose x or y or z; 1,200 of them"
    assert fault.message.pair == ("可选：x 或 y 或 z；1,200 个", str(fault))
    assert say("a.list", {"names": ["{names}"], "cause": fault}, "zh").startswith("可选：{names}；可选：x")
    assert pairs("a")["cause"] == ("{count:,} 个", "{count:,} of them")
    with pytest.raises(KeyError):
        say("a.none", {}, "zh")
