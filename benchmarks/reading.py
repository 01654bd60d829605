"""python -m benchmarks.reading [FILE.tsv …]: how often the asked character of a sentence is read right.

Files are laid out as CPP, the data set of the g2pM paper (Park and Lee, Interspeech 2020): sentence, index of the asked
character, its syllable and tone, with tabs between. Without a file the development part is read, from the shared
fixtures where they are, else the 200 lines in tests/golden. What is compared is the reading before tone sandhi that
`text.analyse` gives that character. The last line is JSON.
"""

import argparse
import itertools
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from text import Char, analyse
from text.g2pw import missing_files, reader
from text.phones import spelling
from text.readings import Reader

REPOSITORY = Path(__file__).resolve().parents[1]
STEPS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.995, 1.01)  # of the confidence, for the table


def default_file() -> Path:
    shared = REPOSITORY.parent / "shared" / "golden" / "text" / "polyphones_dev.tsv"
    return shared if shared.exists() else REPOSITORY / "tests" / "golden" / "text" / "polyphones_dev.tsv"


def questions(file: Path) -> list[tuple[str, int, str]]:
    """(sentence, index, reading) of each line. Raises ValueError for a line that is none."""
    rows = []
    for number, line in enumerate(file.read_text("utf-8").split("\n"), 1):
        if not line.strip():
            continue
        try:
            sentence, index, reading = line.rstrip("\r").split("\t")
            sentence[int(index)]
        except (ValueError, IndexError):
            raise ValueError(f"{file}, line {number}: write a sentence, an index in it and a reading.") from None
        rows.append((sentence, int(index), spelling(reading.strip())))
    return rows


def answer(sentence: str, index: int, read_by: Reader) -> Char | None:
    """The asked character as it is read; None where it is not spoken."""
    chars = [char for utterance in analyse(sentence, read_by) for char in utterance.chars if char.position == index]
    return next((char for char in chars if char.reading), None)


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(file: Path, read_by: Reader) -> dict[str, float]:
    """Asks all of a file, prints how it was answered, and returns the figures."""
    rows = questions(file)
    right, total, mistakes = Counter[str](), Counter[str](), Counter[str]()
    sure: list[tuple[float, bool]] = []
    start = time.perf_counter()
    for sentence, index, correct in tqdm(rows, desc=file.name, unit="sentence", disable=None):
        char = answer(sentence, index, read_by)
        given, source, confidence = (char.reading, char.source, char.confidence) if char else ("-", "not spoken", 0.0)
        total[source] += 1
        right[source] += given == correct
        sure.append((confidence, given == correct))
        if given != correct:
            mistakes[f"{sentence[index]}: {correct}, given {given}"] += 1
    seconds = time.perf_counter() - start
    n = len(rows)
    print(f"{file.name}: {right.total()} of {n} right, {right.total() / max(n, 1):.2%}")
    for source, count in total.most_common():
        print(f"  by {source:10} {right[source]:6} of {count:6}, {right[source] / count:.2%}")
    print("  confidence     characters  mean confidence  right")
    for low, high in itertools.pairwise(STEPS):
        bin_ = [(confidence, ok) for confidence, ok in sure if low <= confidence < high]
        if bin_:
            mean, share = sum(c for c, _ in bin_) / len(bin_), sum(ok for _, ok in bin_) / len(bin_)
            print(f"  {low:.3f} - {min(high, 1):.3f}  {len(bin_):10}  {mean:15.3f}  {share:.3f}")
    print("  most frequent mistakes:")
    for mistake, count in mistakes.most_common(15):
        print(f"  {count:4}  {mistake}")
    chars_per_second = sum(len(sentence) for sentence, _, _ in rows) / seconds
    return {"n": n, "right": right.total(), "seconds": seconds, "chars_per_second": chars_per_second}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reading", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE.tsv")
    parser.add_argument("--g2pw", type=Path, metavar="FOLDER", help="read with g2pW's model in this folder")
    arguments = parser.parse_args()
    if arguments.g2pw and (missing := missing_files(arguments.g2pw)):
        parser.error(f"{arguments.g2pw} lacks {', '.join(missing)}")
    read_by = reader(arguments.g2pw)
    files = arguments.files or [default_file()]
    load = timed(lambda: analyse("今天有3个人去银行。", read_by))
    thousand = "".join(sentence for sentence, _, _ in questions(files[0]))[:1000]
    front_end = timed(lambda: analyse(thousand, read_by))
    print(f"load at the first call {load:.2f} s; then {len(thousand)} characters in {front_end:.2f} s")
    results = [measure(file, read_by) for file in files]
    n = sum(result["n"] for result in results)
    summary = {
        "accuracy": round(sum(result["right"] for result in results) / max(n, 1), 6),
        "n": n,
        "files": [file.name for file in files],
        "accuracy_of_files": [round(result["right"] / max(result["n"], 1), 6) for result in results],
        "characters_per_second": round(results[0]["chars_per_second"]),
        "load_seconds": round(load, 3),
        "seconds_for_1000_characters": round(front_end, 3),
    }
    print(json.dumps(summary, ensure_ascii=False))


if __name__ == "__main__":
    main()
