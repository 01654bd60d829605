"""Every sentence for people, in Chinese and English: the only place that has any.

zh.yml and en.yml hold the same keys, `section.name`; say(key, facts, language) fills in the facts. What goes wrong is
raised as a Fault, what is worth knowing is a Message: both carry the key and the facts, and become words at the edge,
where the listener's language is known. tests/test_say.py compares the files with each other and with their uses.
"""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self

import yaml

LANGUAGES = ("zh", "en")  # the order of every pair
JOINTS = {
    "zh": {"": "、", "or": " 或 ", "and": "、", "then": "；"},
    "en": {"": ", ", "or": " or ", "and": " and ", "then": "; "},
}
# The parser in C takes a hundredth of a second and is in the wheels; the one in Python is as good, and slower.
LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Message:
    """Something to tell a person: which sentence, and what fills its gaps."""

    key: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.say("en")

    def say(self, language: str) -> str:
        return say(self.key, self.facts, language)

    @property
    def pair(self) -> tuple[str, str]:
        """In Chinese and in English, for who cannot know the language: a page that can be switched."""
        return self.say("zh"), self.say("en")


class Fault(Exception):
    """What went wrong, and the cure, in one sentence. As text it is English, for logs and terminals."""

    def __init__(self, key: str, /, **facts: Any) -> None:
        super().__init__(key, facts)
        self.message = Message(key, facts)

    @classmethod
    def of(cls, message: Message) -> Self:
        """This kind of fault with the sentence of another."""
        return cls(message.key, **message.facts)

    def __str__(self) -> str:
        return str(self.message)


def message(key: str, /, **facts: Any) -> Message:
    return Message(key, facts)


def say(key: str, facts: Mapping[str, Any], language: str) -> str:
    """The sentence with its facts.

    A fact is text, a number, another Message or Fault, which is said in the same language, or a sequence of these:
    {names} joins it with commas, {names:or} and {names:and} with that word, {names:then} with semicolons. Raises
    KeyError for a key or fact that is not there.
    """
    section, _, name = key.partition(".")
    return _Sentence(language).vformat(_sentences(language)[section][name], (), facts)


def pairs(section: str) -> dict[str, tuple[str, str]]:
    """All of a section as they stand, in Chinese and English: the labels of a part of the page."""
    chinese, english = (_sentences(language)[section] for language in LANGUAGES)
    return {name: (chinese[name], english[name]) for name in chinese}


@cache
def _sentences(language: str) -> dict[str, dict[str, str]]:
    file = Path(__file__).with_name(f"{language}.yml")
    return yaml.load(file.read_text(encoding="utf-8"), Loader=LOADER)


class _Sentence(string.Formatter):
    """str.format with joined sequences, and messages in the language of the sentence."""

    def __init__(self, language: str) -> None:
        self.language = language

    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            return JOINTS[self.language][format_spec].join(self.format_field(part, "") for part in value)
        if isinstance(value, Fault):
            value = value.message
        if isinstance(value, Message):
            return value.say(self.language)
        return format(value, format_spec)
