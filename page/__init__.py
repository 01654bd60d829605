"""What the page's tabs share: the listener's language, lines of HTML, numbers in words, folders as a user knows them.

voices.py is the tab of voices and models, report.py the checkpoint doctor's report on it, downloads.py what fetches.
"""

import html
from collections.abc import Sequence
from pathlib import Path

import gradio as gr

from infer.settings import Settings

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def language_of(request: gr.Request) -> int:
    """Index into every pair of words: 0 for Chinese, 1 for all else, by the browser's first language."""
    return 0 if request.headers.get("accept-language", "").lower().startswith("zh") else 1


def lines_html(lines: Sequence[tuple[str, str]]) -> str:
    """Sentences and their kinds, a paragraph each."""
    return "".join(f'<p class="{kind}">{html.escape(line)}</p>' for line, kind in lines)


def bytes_in_words(count: float) -> str:
    for unit, size, digits in (("GB", 1e9, 2), ("MB", 1e6, 1), ("kB", 1e3, 0)):
        if count >= size:
            return f"{count / size:.{digits}f} {unit}"
    return f"{count:.0f} B"


def shown(folder: Path, settings: Settings) -> str:
    """A folder without what lies above the project; of one elsewhere the last two parts."""
    return str(folder.relative_to(settings.root)) if folder.is_relative_to(settings.root) else _tail(folder)


def _tail(folder: Path) -> str:
    return "/".join(("…", *folder.parts[-2:]))
