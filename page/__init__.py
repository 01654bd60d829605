"""What the page's tabs share: the listener's language, server functions, panels that a script fills, lines of HTML.

voices.py is the tab of voices and models, report.py the checkpoint doctor's report on it, downloads.py what fetches.
"""

import html
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from pydantic import ValidationError

from infer import log
from infer.request import BadRequest, SpeechError
from infer.settings import Settings
from page.asks import adapter
from page.guard import loopback
from words import LANGUAGES, Fault, Message

ASSETS = Path(__file__).resolve().parent
# For an event that shows nothing of itself. preprocess: Gradio takes a voice for an error that it has not offered to
# this page; ours is looked up.
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "preprocess": False}


def language_of(request: gr.Request) -> str:
    """The listener's: "zh" or "en", as chosen on the page, else Chinese for a browser that wants it."""
    chosen = request.cookies.get("language")
    if chosen in LANGUAGES:
        return chosen
    return "zh" if request.headers.get("accept-language", "").lower().startswith("zh") else "en"


def private(settings: Settings) -> bool:
    """Whether none but its owner reaches the page: this machine alone does, or a password is kind for."""
    return bool(settings.user) or (loopback(settings.host) and not settings.webui.share)


# --- what the page's scripts ask ------------------------------------------------------------------------------------


def answering(work: Callable[[Any], Any], name: str = "") -> Callable[[Any], Any]:
    """A server function for a script of the page: what went wrong comes back as {"error": [Chinese, English]}.

    What it is kind must be of the type that page/asks.py has under its name, by default the name of `work`.
    """
    name = name or work.__name__
    kind = adapter(name)

    def begin(data: Any) -> Any:
        try:
            kind.validate_python(data)
        except (ValidationError, RecursionError) as error:
            raise BadRequest("guard.useless") from error
        return work(data)

    def answer(data: Any) -> Any:
        try:
            return begin(data)
        except Exception as error:
            return _error(name, error)

    async def answer_later(data: Any) -> Any:
        try:
            return await begin(data)
        except Exception as error:
            return _error(name, error)

    function = answer_later if inspect.iscoroutinefunction(work) else answer
    function.__name__ = name  # by which the script calls it
    return function


def _error(where: str, error: Exception) -> dict[str, Any]:
    """What went wrong, for the page, which goes on whatever it was."""
    if not isinstance(error, SpeechError):
        log.failure(where, error)
        error = Fault("guard.unexpected", kind=type(error).__name__)
    return {"error": error.message.pair}


def answers(**works: Callable[[Any], Any]) -> list[Callable[[Any], Any]]:
    return [answering(work, name) for name, work in works.items()]


def panel(template: str, *scripts: str, functions: Sequence[Callable[[Any], Any]] = (), **options: Any) -> gr.HTML:
    """A part of the page that scripts of this folder fill, read as one.

    functions: what they may ask the server, see `answering`. options: gr.HTML's, and what they find in `props`.
    """
    source = "\n".join((ASSETS / script).read_text(encoding="utf-8") for script in scripts)
    return gr.HTML(html_template=template, js_on_load=source, server_functions=[*functions], **options)


# --- what the page shows --------------------------------------------------------------------------------------------


def in_language(value: Any, language: str) -> Any:
    """A JSON value in which every message is said in that language."""
    if isinstance(value, Fault | Message):
        return sentence(value, language)
    if isinstance(value, Mapping):
        return {key: in_language(part, language) for key, part in value.items()}
    return [in_language(part, language) for part in value] if isinstance(value, list | tuple) else value


def sentence(line: str | Fault | Message, language: str) -> str:
    if isinstance(line, Fault):
        line = line.message
    return line.say(language) if isinstance(line, Message) else line


def lines_html(lines: Sequence[tuple[str | Fault | Message, str]], language: str = "en") -> str:
    """Sentences and their kinds, a paragraph each."""
    return "".join(f'<p class="{kind}">{html.escape(sentence(line, language))}</p>' for line, kind in lines)


def place_name(folder: Path, settings: Settings) -> str:
    """A folder without what lies above the project; of one elsewhere the last two parts."""
    if folder.is_relative_to(settings.root):
        return str(folder.relative_to(settings.root))
    return "/".join(("…", *folder.parts[-2:]))
