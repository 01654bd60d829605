"""The editor's component: its scripts, and the server functions behind them (studio.py)."""

from collections.abc import Mapping
from typing import Any

import gradio as gr

from infer.documents.project import MOST_TAKES
from page import panel
from page.look import WORDS as LOOK
from page.studio import FORMATS, Studio
from words import pairs


def editor_panel(studio: Studio, options: Mapping[str, Any]) -> gr.HTML:
    """The editor; its scripts make `window.studio`. options: the page's controls and their defaults, text first."""
    return panel(
        '<div class="editor"></div>',
        *("look.js", "player.js", "cards.js", "editor.js"),  # in this order, as one
        functions=studio.functions(),
        words=pairs("editor") | LOOK,
        options=list(options.items()),
        formats=list(FORMATS),
        most_takes=MOST_TAKES,
        apply_default_css=False,
        elem_id="editor",
    )
