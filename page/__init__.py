"""What the page's tabs share: the listener's language, lines of HTML, numbers in words, folders as a user knows them.

voices.py is the tab of voices and models, report.py the checkpoint doctor's report on it, downloads.py what fetches.
"""

import functools
import html
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import gradio as gr

from infer import log
from infer.request import BadRequest, SpeechError
from infer.settings import Settings

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def language_of(request: gr.Request) -> int:
    """Index into every pair of words: 0 for Chinese, 1 for all else, as chosen on the page or by the browser."""
    chosen = request.cookies.get("language")
    if chosen in ("zh", "en"):
        return ("zh", "en").index(chosen)
    return 0 if request.headers.get("accept-language", "").lower().startswith("zh") else 1


def private(settings: Settings) -> bool:
    """Whether none but its owner reaches the page: this machine alone does, or a password is asked for."""
    return bool(settings["user"]) or (settings["host"] in LOOPBACK and not settings["webui.share"])


def answering(work: Callable[[Any], Any]) -> Callable[[Any, gr.Request], Any]:
    """A server function for a script of the page: what went wrong comes back as {"error": [Chinese, English]}.

    It refuses what a page of another site asks for in the listener's name, which browsers tell by a header.
    """

    @functools.wraps(work, assigned=("__name__", "__doc__"))
    def answer(data: Any, request: gr.Request) -> Any:
        try:
            if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
                raise BadRequest("Another site has asked for this; use the page.", "这是别的网站发来的请求；请用本页。")
            return work(data)
        except SpeechError as error:
            return {"error": [error.zh, str(error)]}
        except Exception as error:  # whatever it was, the page goes on
            log.failure(work.__name__, error)
            name = type(error).__name__
            return {
                "error": [
                    f"出错了（{name}），什么都没有改动。请再试一次；仍不行请看终端里的说明。",
                    f"Something went wrong ({name}) and nothing was changed. Try again, or look into the terminal for "
                    "the cause.",
                ]
            }

    del answer.__wrapped__  # Gradio reads the signature, to know that the request is wanted
    return answer


def write_whole(path: Path, content: str, mode: int = 0o600) -> None:
    """A UTF-8 file that is there as a whole or not at all, also when two write it at once. Raises OSError."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as part:
        try:
            part.write(content.encode())
            part.close()
            Path(part.name).chmod(mode)
            Path(part.name).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(part.name).unlink()
            raise


def whole_characters(text: str) -> str:
    """Half a surrogate pair, which JSON from a browser may hold, can neither be written nor sent: U+FFFD instead."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


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
