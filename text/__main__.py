"""python -m text "…": how a text is read, one JSON line per utterance. Without an argument the text is stdin."""

import argparse
import io
import json
import sys

from text import Utterance, analyse
from text.symbols import phone_ids, tone_ids


def line(utterance: Utterance) -> str:
    """One JSON object: text (as given), normalised, chars, phones, tones, word2ph, ids (without blanks), ..."""
    record = {
        "text": utterance.source,
        "normalised": utterance.text,
        "chars": [vars(char) for char in utterance.chars],
        "phones": utterance.phones,
        "tones": utterance.tones,
        "word2ph": utterance.word2ph,
        "ids": {"phone_ids": phone_ids(utterance.phones), "tone_ids": tone_ids(utterance.tones)},
        "bert_text": utterance.bert_text,
        "changes": [vars(item) for item in utterance.changes],
        "skipped": [vars(item) for item in utterance.skipped],
        "ends": utterance.ends,
    }
    return json.dumps(record, ensure_ascii=False)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m text", description="Shows how a Chinese text is read.")
    parser.add_argument("text", nargs="?", help="the text; without it, standard input is read")
    text = parser.parse_args().text
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a lone surrogate is no reason to stop
    for utterance in analyse(sys.stdin.read() if text is None else text):
        print(line(utterance))


if __name__ == "__main__":
    main()
