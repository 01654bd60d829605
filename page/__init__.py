"""What the page's tabs share: the listener's language, lines of HTML, numbers in words, folders as a user knows them.

voices.py is the tab of voices and models, report.py the checkpoint doctor's report on it, downloads.py what fetches.
"""

import functools
import html
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from pydantic import ValidationError

from infer import log
from infer.request import BadRequest, SpeechError
from infer.settings import Settings
from page.asks import adapter
from page.guard import loopback


def language_of(request: gr.Request) -> int:
    """Index into every pair of words: 0 for Chinese, 1 for all else, as chosen on the page or by the browser."""
    chosen = request.cookies.get("language")
    if chosen in ("zh", "en"):
        return ("zh", "en").index(chosen)
    return 0 if request.headers.get("accept-language", "").lower().startswith("zh") else 1


def private(settings: Settings) -> bool:
    """Whether none but its owner reaches the page: this machine alone does, or a password is asked for."""
    return bool(settings.user) or (loopback(settings.host) and not settings.webui.share)


def answering(work: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A server function for a script of the page: what went wrong comes back as {"error": [Chinese, English]}.

    What it is asked must be of the type that page/asks.py has under its name.
    """
    asked = adapter(work.__name__)

    def check(data: Any) -> None:
        try:
            asked.validate_python(data)
        except (ValidationError, RecursionError) as error:
            raise BadRequest(
                "The page has sent what is of no use here; reload it.", "页面发来的内容不对；请刷新页面。"
            ) from error

    @functools.wraps(work, assigned=("__name__", "__doc__"))
    def answer(data: Any) -> Any:
        try:
            check(data)
            return work(data)
        except Exception as error:
            return _fault(work.__name__, error)

    @functools.wraps(work, assigned=("__name__", "__doc__"))
    async def answer_later(data: Any) -> Any:
        try:
            check(data)
            return await work(data)
        except Exception as error:
            return _fault(work.__name__, error)

    made = answer_later if inspect.iscoroutinefunction(work) else answer
    del made.__wrapped__  # Gradio reads the signature, to know what is wanted
    return made


def _fault(where: str, error: Exception) -> dict[str, Any]:
    """What went wrong, for the page, which goes on whatever it was."""
    if isinstance(error, SpeechError):
        return {"error": [error.zh, str(error)]}
    log.failure(where, error)
    name = type(error).__name__
    return {
        "error": [
            f"出错了（{name}），什么都没有改动。请再试一次；仍不行请看终端里的说明。",
            f"Something went wrong ({name}) and nothing was changed. Try again, or look into the terminal for the "
            "cause.",
        ]
    }


def whole_characters(text: str) -> str:
    """Half a surrogate pair, which JSON from a browser may hold, can neither be written nor sent: U+FFFD instead."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def lines_html(lines: Sequence[tuple[str, str]]) -> str:
    """Sentences and their kinds, a paragraph each."""
    return "".join(f'<p class="{kind}">{html.escape(line)}</p>' for line, kind in lines)


def shown(folder: Path, settings: Settings) -> str:
    """A folder without what lies above the project; of one elsewhere the last two parts."""
    return str(folder.relative_to(settings.root)) if folder.is_relative_to(settings.root) else _tail(folder)


def _tail(folder: Path) -> str:
    return "/".join(("…", *folder.parts[-2:]))
