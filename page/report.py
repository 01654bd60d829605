"""The checkpoint doctor's report as HTML."""

import html
from collections.abc import Sequence

from models.checkpoint.doctor import Report
from page import lines_html
from words import Message, message, say

VERDICTS = {"error": "checkpoint.bad", "notice": "checkpoint.lacking", "good": "checkpoint.good"}


def report_html(report: Report, missing: Sequence[Message], language: str) -> str:
    """Verdict, problems and notes first, then what the file is. missing: which model files, in sentences."""
    kind = "error" if not report.usable else "notice" if missing else "good"
    lines = [(message(VERDICTS[kind]), f"verdict {kind}")]
    lines += [(message("checkpoint.problem_is", problem=each), "problem") for each in report.problems]
    lines += [(message("checkpoint.note_is", note=each), "notice") for each in report.notes]
    lines += [(each, "notice") for each in missing]
    rows = "".join(
        f"<dt>{say(label, {}, language)}</dt><dd>{html.escape(value.say(language))}</dd>"
        for label, value in report.rows()
    )
    return f'<section class="report" role="status">{lines_html(lines, language)}<dl>{rows}</dl></section>'
