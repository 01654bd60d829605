"""The checkpoint doctor's report as HTML."""

import html
from collections.abc import Sequence

from models.checkpoint.doctor import Report
from models.config import plain
from page import lines_html
from words import LANGUAGES, Message, say

VERDICTS = {"error": "checkpoint.bad", "notice": "checkpoint.lacking", "good": "checkpoint.good"}


def report_html(report: Report, missing: Sequence[Message | tuple[str, str]], language: int) -> str:
    """Verdict, problems and notes first, then what the file is. missing: which model files, in sentences."""
    spoken = LANGUAGES[language]
    kind = "error" if not report.usable else "notice" if missing else "good"
    lines = [(say(VERDICTS[kind], {}, spoken), f"verdict {kind}")]
    lines += [(say("checkpoint.problem_is", {"problem": each}, spoken), "problem") for each in report.problems]
    lines += [(say("checkpoint.note_is", {"note": each}, spoken), "notice") for each in report.notes]
    lines += [(tuple(each)[1 - language], "notice") for each in missing]  # TRANSITION: (English, Chinese)
    rows = "".join(
        f"<dt>{say(label, {}, spoken)}</dt><dd>{html.escape(value.say(spoken))}</dd>" for label, value in report.rows()
    )
    return f'<section class="report" role="status">{lines_html(lines)}<dl>{rows}</dl></section>'


def some(names: Sequence[str], more: str, comma: str, most: int) -> str:
    """The first names of a list that may be long."""
    short = comma.join(map(plain, names[:most]))
    return more.format(short) if len(names) > most else short
