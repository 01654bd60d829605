"""The glossary's file on the page: how words are read, for every text. One listener's changes never undo another's."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr

import text
from infer.files import alone, write_whole
from infer.request import BadRequest, SpeechError
from infer.settings import Settings
from page import answering, private, whole_characters

ASSETS = Path(__file__).resolve().parent
LARGEST, MOST_LINES = 200_000, 20_000  # characters and lines that can be changed here; a larger file is still read

WORDS = {  # key -> Chinese, English
    "title": ("读音表", "Glossary"),
    "help": (
        "一行一个词：先写词，空一格，再写带声调的拼音（数字或符号都行），如：重庆 chong2 qing4。以 # 开头的行是备注。"
        "对所有文字都有效。",
        "A word a line, a blank, then its pinyin with tones, as digits or marks: 重庆 chong2 qing4. A line that begins "
        "with # is a note. It holds for every text.",
    ),
    "label": ("读音表的内容", "Content of the glossary"),
    "save": ("保存读音表", "Save glossary"),
    "unsaved": ("有未保存的改动（Ctrl + S 保存）", "Changes are not saved yet (Ctrl + S saves)"),
    "saved": ("已保存，共 {0} 个词。", "Saved, {0} words in all."),
    "count": ("共 {0} 个词。", "{0} words in all."),
    "off": ("没有读音表（设置 glossary 是空的）。", "There is no glossary (the setting glossary is empty)."),
    "shared": (
        "别的机器也能打开本页，而且没有密码，所以不能在这里改大家共用的读音表。请设置 user 与 password，"
        "或只在本机使用（host: 127.0.0.1）；只管自己这一次的读音，可写在“指定读音”里。",
        "Other machines reach this page without a password, so the glossary that all share cannot be changed here. Set "
        "user and password, or let this machine alone use it (host: 127.0.0.1); readings for your own text alone go "
        "into “Readings”.",
    ),
    "changed": (
        "读音表在别处改过了（也许是另一个窗口），所以还没有保存。下面已把两边的改动合在一起，请看一看再保存。",
        "The glossary was changed elsewhere meanwhile, perhaps in another window, so nothing is saved yet. Both "
        "changes are together in the field now: look, then save again.",
    ),
    "newer": (
        "读音表在别处改过了；保存时会把两边的改动合在一起。",
        "The glossary was changed elsewhere meanwhile; saving will bring both changes together.",
    ),
    "lost": (
        "连不上服务器，没有保存；写的内容还在。请看它是否还在运行，再试一次。",
        "The server cannot be reached and nothing is saved; what you wrote is still here. See whether it is running, "
        "then try again.",
    ),
}


def read(path: Path) -> str:
    """What the file holds; nothing where there is none. Raises BadRequest if it is no UTF-8 text, or too long."""
    try:
        content = text.glossary_lines(path)
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(
            "The glossary's file cannot be read; save it as UTF-8 text in an editor, then it can be changed here.",
            "读不了读音表文件；请先用编辑器把它存成 UTF-8 文本，再来这里修改。",
        ) from error
    except text.GlossaryError as error:
        raise BadRequest(str(error), "读音表文件太大；请先用编辑器删去一些词。") from error
    _check_size(content)
    return content


def _check_size(content: Any) -> None:
    """Raises BadRequest for what is no text, or too long to be brought together with what others wrote."""
    if not isinstance(content, str):
        raise BadRequest("The glossary's content must be text.", "读音表的内容应是文字。")
    if len(content) > LARGEST:
        raise BadRequest(
            f"The glossary has {len(content)} characters and the limit is {LARGEST}; take some words out.",
            f"读音表有 {len(content)} 字，上限是 {LARGEST} 字；请删去一些词。",
        )
    if (lines := content.count("\n") + 1) > MOST_LINES:
        raise BadRequest(
            f"The glossary has {lines} lines and the limit is {MOST_LINES}; take some words out.",
            f"读音表有 {lines} 行，上限是 {MOST_LINES} 行；请删去一些词。",
        )


def check(content: str) -> int:
    """How many words a glossary's text has. Raises BadRequest that names the line at fault."""
    _check_size(content)
    try:
        return len(text.parse_glossary(content))
    except text.GlossaryError:  # by line it takes longer, and is only needed to say where
        for number, line in enumerate(content.split("\n"), start=1):
            try:
                text.parse_glossary(line)
            except text.GlossaryError as error:
                raise BadLine(number, line, str(error)) from error
        raise


class BadLine(BadRequest):
    """A line of the glossary that cannot be used; number: from 1."""

    def __init__(self, number: int, line: str, why: str) -> None:
        super().__init__(
            f"Line {number} has a fault, so nothing is saved yet. {why}",
            f"第 {number} 行“{line.strip()[:60]}”有误，所以整个读音表都还没有保存。应先写词，再写带声调的拼音，"
            "每个汉字一个音节，如：重庆 chong2 qing4。",
        )
        self.number = number


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
        there = read(path)
        if there not in (base, content):
            return together(base, content, there)
        write_whole(path, content)
    return None


def together(base: str, mine: str, theirs: str) -> str:
    """Their text without the lines that I took out, then those that I brought in: of a word said twice, mine wins."""
    before, now, there = base.split("\n"), mine.split("\n"), theirs.split("\n")
    out, known = set(before) - set(now), {*before, *there}
    lines = [line for line in there if line not in out]
    brought = [line for line in now if line not in known]
    while brought and lines and not lines[-1].strip():
        lines.pop()
    return "\n".join([*lines, *brought, *([""] if brought else [])])


def remember(path: Path, term: Any, reading: Any) -> None:
    """Adds a word with its pinyin, and takes away what the file said of it before. Raises BadRequest or SpeechError."""
    line = whole_characters(f"{term} {reading}"[:LARGEST])
    try:
        settled = text.parse_glossary(line)
    except text.GlossaryError as error:
        raise BadRequest(
            f"This reading cannot be remembered. {error}",
            f"记不了“{term}”的读音“{reading}”：拼音要带声调，每个汉字一个音节，如：重庆 chong2 qing4。",
        ) from error
    if list(settled) != [term]:
        raise BadRequest(
            f"{term!r} cannot stand in the glossary: a word has no blank, semicolon, line break, = or # in it.",
            f"“{term}”不能写进读音表：词里不能有空格、分号、换行、等号，也不能以 # 开头。",
        )
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
        raise SpeechError(
            f"The glossary's file cannot be written ({error.strerror}); make room or give the right to write, then "
            "save again.",
            f"读音表文件写不进去（{error.strerror}）；请腾出空间或给予写权限，再保存一次。",
        ) from error


def build(settings: Settings) -> gr.HTML:
    """The editor of the file that the setting glossary names."""

    def now() -> dict[str, Any]:
        content = read(_allowed(settings))
        try:
            return {"text": content, "count": check(content)}
        except BadLine:  # changed by hand: shown, so that it can be mended
            return {"text": content, "count": None}

    @answering
    def read_glossary(_: Any) -> dict[str, Any]:
        return now()

    @answering
    def save_glossary(data: Any) -> dict[str, Any]:
        try:
            both = save(_allowed(settings), data["text"], data["base"])
        except BadLine as error:
            return {"error": [error.zh, str(error)], "line": error.number}
        return now() if both is None else now() | {"both": both}

    return gr.HTML(
        html_template='<div class="glossary"></div>',
        js_on_load=(ASSETS / "glossary.js").read_text(encoding="utf-8"),
        server_functions=[read_glossary, save_glossary],
        words=WORDS,
        why=_why_not(settings),
        most=LARGEST,
        elem_id="glossary-panel",
    )


def _why_not(settings: Settings) -> str:
    """Why the file cannot be changed from the page, as a key of WORDS; "" if it can."""
    return "off" if not settings.glossary else "" if private(settings) else "shared"


def _allowed(settings: Settings) -> Path:
    if why := _why_not(settings):
        raise BadRequest(WORDS[why][1], WORDS[why][0])
    return settings.path(settings.glossary)
