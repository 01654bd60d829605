"""The glossary's file on the page: how words are read, for every text. One listener's changes never undo another's."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr

import text
from infer.files import alone, write_whole
from infer.request import BadRequest, SpeechError
from infer.settings import Settings
from page import answers, panel, private
from page.guard import whole_characters
from words import pairs

LARGEST, MOST_LINES = 200_000, 20_000  # characters and lines that can be changed here; a larger file is still read


class BadLine(BadRequest):
    """A line of the glossary that cannot be used."""


def read(path: Path) -> str:
    """What the file holds; nothing where there is none. Raises BadRequest if it is no UTF-8 text, or too long."""
    try:
        content = text.glossary_lines(path)
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest("terms.no_file") from error
    except text.GlossaryError as error:
        raise BadRequest("terms.unusable", cause=error) from error
    _check_size(content)
    return content


def _check_size(content: str) -> None:
    """Raises BadRequest for what is too long to be brought together with what others wrote."""
    lines = content.count("\n") + 1
    if len(content) > LARGEST:
        raise BadRequest("terms.too_long", count=len(content), most=LARGEST)
    if lines > MOST_LINES:
        raise BadRequest("terms.too_many", count=lines, most=MOST_LINES)


def check(content: str) -> int:
    """How many words a glossary's text has. Raises BadRequest, of a single line BadLine with its number."""
    _check_size(content)
    try:
        return len(text.parse_glossary(content))
    except text.GlossaryError as whole:  # by line it takes longer, and is only needed to say where
        for number, line in enumerate(content.split("\n"), start=1):
            try:
                text.parse_glossary(line)
            except text.GlossaryError as error:
                raise BadLine("terms.bad_line", number=number, line=line.strip()[:60], cause=error) from error
        raise BadRequest("terms.unusable", cause=whole) from whole


def save(path: Path, content: str, base: str) -> str | None:
    """Writes the glossary as it was changed from `base`.

    If the file is no longer `base`, nothing is written: returns both changes put together, to be looked at, and None
    when all is well. Raises BadRequest or SpeechError.
    """
    _check_size(content)
    _check_size(base)
    content = whole_characters(content)
    check(content)
    with _changing(path):
        theirs = read(path)
        if theirs not in (base, content):
            return together(base, content, theirs)
        write_whole(path, content)
    return None


def together(base: str, mine: str, theirs: str) -> str:
    """Their text without the lines that I took out, then those that I brought in: of a word said twice, mine wins."""
    old, new, lines = base.split("\n"), mine.split("\n"), theirs.split("\n")
    before = {*old, *lines}
    additions = [line for line in new if line not in before]
    removals = set(old) - set(new)
    lines = [line for line in lines if line not in removals]
    while additions and lines and not lines[-1].strip():
        lines.pop()
    return "\n".join([*lines, *additions, *([""] if additions else [])])


def remember(path: Path, term: Any, reading: Any) -> None:
    """Adds a word with its pinyin, and takes away what the file said of it before. Raises BadRequest or SpeechError."""
    line = whole_characters(f"{term} {reading}"[:LARGEST])
    try:
        entry = text.parse_glossary(line)
    except text.GlossaryError as error:
        raise BadRequest("terms.bad_reading", term=term, reading=reading, cause=error) from error
    if list(entry) != [term]:
        raise BadRequest("terms.no_term", term=term)
    with _changing(path):
        lines = [old for old in read(path).strip("\n").split("\n") if not (term in old and _term(old) == term)]
        content = "\n".join([*lines, line, ""]).lstrip("\n")  # of a word said twice the last counts
        check(content)
        write_whole(path, content)


def _term(line: str) -> str | None:
    """The word of a line that speaks of one."""
    try:
        terms = list(text.parse_glossary(line))
    except text.GlossaryError:
        return None
    return terms[0] if len(terms) == 1 else None


@contextmanager
def _changing(path: Path) -> Iterator[None]:
    """Between reading what is there and writing what follows from it: for all pages of all servers, being short."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with alone(path):
            yield
    except OSError as error:
        raise SpeechError("terms.not_written", reason=error.strerror) from error


def glossary_panel(settings: Settings) -> gr.HTML:
    """The editor of the file that the setting glossary names."""
    why = "off" if not settings.glossary else "" if private(settings) else "shared"  # why it cannot be changed here

    def file() -> Path:
        if why:
            raise BadRequest("terms.off" if why == "off" else "terms.shared")
        return settings.path(settings.glossary)

    def now(_: Any) -> dict[str, Any]:
        content = read(file())
        try:
            return {"text": content, "count": check(content)}
        except BadLine:  # changed by hand: shown, so that it can be mended
            return {"text": content, "count": None}

    def change(ask: Mapping[str, str]) -> dict[str, Any]:
        try:
            both = save(file(), ask["text"], ask["base"])
        except BadLine as error:
            return {"error": error.message.pair, "line": error.message.facts["number"]}
        return now(ask) if both is None else now(ask) | {"both": both}

    return panel(
        '<div class="glossary"></div>',
        "glossary.js",
        functions=answers(read_glossary=now, save_glossary=change),
        words=pairs("terms"),
        why=why,
        most=LARGEST,
        elem_id="glossary-panel",
    )
