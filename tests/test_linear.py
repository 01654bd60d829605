"""Nothing that a stranger types takes more than its share: twice as long costs about twice as much, not four times.

Every regular expression of the repository is found by its syntax tree and run on strings made against it: what each of
its repeats takes, many times over, behind what leads there and before what does not fit. Costs are CPU time, the least
of several runs, at sizes where a square would cost ten times as much as what passes unasked.
"""

import ast
import functools
import importlib
import itertools
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from re import _constants as op  # the parser's own names; nothing public tells a pattern's repeats
from re import _parser

import pytest

from emotional import table
from infer.documents import batch
from infer.engine.voice import parse_mix
from infer.request import BadRequest
from page import glossary, report
from text import Glossary, analyse, english_sounds, numbers, parse_glossary, reading_rules
from text.markup import parse
from text.readings import PUNCTUATION_READING, Reading, usual_pinyin
from text.split import pieces, sentences
from text.symbols import PUNCTUATION

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("bert", "emotional", "infer", "models", "page", "text")
FLOOR = 0.001  # seconds; what costs less at LONG characters is not quadratic: that would be ten times as much
LONG = 3000

# Patterns that are put together where they are used; the tests below know them by another way.
MADE = {
    "emotional/table.py: re.compile(either)",
    "infer/cli/models.py: re.fullmatch(pattern, value, re.ASCII)",  # two short ones, for words of the command line
    "page/report.py: re.fullmatch(pattern, sentence, re.DOTALL)",
    "text/english_sounds.py: re.compile(pattern)",
    "text/numbers.py: re.compile(pattern, flags)",
    "text/reading_rules.py: re.compile(pattern)",
}


def cost(work: Callable[[str], object], given: str) -> float:
    began = time.thread_time()
    work(given)
    return time.thread_time() - began


def is_linear(work: Callable[[str], object], make: Callable[[int], str], size: int, floor: float = FLOOR) -> bool:
    """Whether twice the size costs at most 2.5 times. A square costs 4 times, however often one looks."""
    if cost(work, make(size)) < floor:
        return True
    for runs in (1, 2, 4, 8):
        once, twice = (min(cost(work, make(n)) for _ in range(runs)) for n in (size, 2 * size))
        if twice < 10 * floor or twice <= 2.5 * once:  # of less the machine's own noise is a part
            return True
    return False


# --- patterns --------------------------------------------------------------------------------------------------------


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """The calls of re's functions in a module, and their names."""
    for node in ast.walk(tree):
        name = re.fullmatch(r"re\.(?!escape)([a-z]+)", ast.unparse(node.func)) if isinstance(node, ast.Call) else None
        if name:
            yield node, name[1]


def uses(tree: ast.AST) -> dict[ast.AST, set[str]]:
    """Of a value that has a name in a module, the methods that are called by that name."""
    methods: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            methods.setdefault(node.value.id, set()).add(node.attr)
    named = [node for node in ast.walk(tree) if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)]
    return {node.value: methods.get(node.targets[0].id, set()) for node in named}


@functools.cache
def found() -> tuple[dict[str, tuple[re.Pattern, bool]], set[str]]:
    """Where -> pattern and whether it is anchored where it is tried; and the calls whose pattern is made elsewhere."""
    patterns, made = {}, set()
    for file in sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")):
        tree, where = ast.parse(file.read_text("utf-8")), file.relative_to(ROOT)
        if not (listed := list(calls(tree))):
            continue
        used = uses(tree)
        names = vars(importlib.import_module(".".join(where.with_suffix("").parts).removesuffix(".__init__")))
        for call, function in listed:
            try:
                written = eval(ast.unparse(call.args[0]), dict(names))
            except NameError:
                made.add(f"{where}: {ast.unparse(call)}")
                continue
            flags = [getattr(re, flag) for flag in re.findall(r"\bre\.([A-Z]+)", ast.unparse(call))]
            anchored = used.get(call, {function}) <= {"match", "fullmatch"}
            patterns[f"{where}:{call.lineno}"] = re.compile(written, *flags), anchored
    return patterns, made


def taken(item: tuple) -> list[str]:
    """A few of the characters that an item of a parsed pattern takes."""
    kind, value = item
    if kind is op.LITERAL:
        return [chr(value)]
    if kind in (op.ANY, op.NOT_LITERAL):
        return ["好", "-"]
    if kind is not op.IN:
        return []
    listed = [chr(v if k is op.LITERAL else v[0]) for k, v in value if k in (op.LITERAL, op.RANGE)]
    common = [char for char in "1a好 .A-_/\n,é" if _is_in(value, char)]
    return list(dict.fromkeys(common if value[0][0] is op.NEGATE else (*listed, *common)))[:5]


def _is_in(items: list, char: str) -> bool:
    hit = False
    for kind, value in items:
        if kind is op.LITERAL:
            hit |= ord(char) == value
        elif kind is op.RANGE:
            hit |= value[0] <= ord(char) <= value[1]
        elif kind is op.CATEGORY:
            hit |= (
                re.match({"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}[value.name.rpartition("_")[2]], char)
                is not None
            )
            hit ^= "NOT" in value.name
    return hit != (items[0][0] is op.NEGATE)


def parts(parsed) -> Iterator[tuple[str, list]]:
    """Of a parsed pattern each item with the patterns in it: (kind, [patterns])."""
    for kind, value in parsed:
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            yield "repeat", [value[2]] * max(value[0], 1)
        elif kind is op.SUBPATTERN:
            yield "group", [value[3]]
        elif kind is op.ATOMIC_GROUP:
            yield "group", [value]
        elif kind is op.BRANCH:
            yield "branch", list(value[1])
        elif kind in (op.ASSERT, op.ASSERT_NOT):
            yield "beside", [value[1]]
        else:
            yield "item", [(kind, value)]


def sample(parsed) -> str:
    """Something that the pattern takes, nearly."""
    said = []
    for kind, inner in parts(parsed):
        if kind == "item":
            said += taken(inner[0])[:1]
        elif kind in ("repeat", "group"):
            said += [sample(one) for one in inner]
        elif kind == "branch":
            said.append(sample(inner[0]))
    return "".join(said)


def pumps(parsed, before: str = "") -> Iterator[tuple[str, str]]:
    """What leads to a repeat, and what it repeats; of everything else in the pattern that, alone."""
    for kind, inner in parts(parsed):
        if kind == "item":
            yield from (("", char) for char in taken(inner[0])[:3])
            before += "".join(taken(inner[0])[:1])
            continue
        for one in inner[:1] if kind == "repeat" else inner:
            if kind == "repeat":
                yield before, sample(one)
                yield from ((before, char) for k, i in parts(one) if k == "item" for char in taken(i[0]))
                yield "", before + sample(one)
            yield from pumps(one, before)
        before += "".join(sample(one) for one in (inner[:1] if kind == "branch" else inner) if kind != "beside")


def worst_of(pattern: re.Pattern, anchored: bool) -> tuple[str, str, str] | None:
    """Of the strings made against a pattern one that costs it more than its share."""
    parsed = _parser.parse(pattern.pattern, pattern.flags)
    search = pattern.match if anchored else lambda given: sum(1 for _ in pattern.finditer(given))
    as_bytes = isinstance(pattern.pattern, bytes)
    work = (lambda given: search(given.encode("latin-1"))) if as_bytes else search
    found = dict.fromkeys((*itertools.islice(dict.fromkeys(pumps(parsed)), 40), ("", sample(parsed))))
    for (before, unit), after in itertools.product(found, ("", "\0")):
        if unit and not is_linear(work, lambda n: before + unit * (n // len(unit)) + after, LONG):  # noqa: B023
            return before, unit, after
    return None


def test_every_pattern_is_linear():
    patterns, made = found()
    assert len(patterns) > 100 and made == MADE
    bad = {where: worst for where, given in patterns.items() if (worst := worst_of(*given))}
    assert not bad


def test_the_patterns_of_tables_are_linear():
    keywords = dict.fromkeys(table.WORDS["angry"], 0)
    rules = [pattern for char in reading_rules.RULES for _, pattern in reading_rules._patterns(char)]
    patterns = [(pattern, False) for pattern, _ in numbers._RULES] + [(pattern, True) for pattern in rules]
    patterns += [(table._pattern(keywords), False), (english_sounds._rules()[0], True)]
    assert not [(pattern.pattern, worst) for pattern, anchored in patterns if (worst := worst_of(pattern, anchored))]


def test_the_patterns_of_scripts_are_linear():
    """Read as Python's, which has no classes by name."""
    literal = re.compile(r"(?:match|replace|test|split|search|exec)\(/((?:[^/\\\n]|\\.){1,200})/")
    found = {match[1] for file in ROOT.glob("page/**/*.js") for match in literal.finditer(file.read_text("utf-8"))}
    assert found
    for written in found:
        pattern = re.compile(written.replace(r"\p{L}", "a-z").replace(r"\p{N}", "0-9"))
        assert worst_of(pattern, False) is None, written


def test_the_test_finds_what_is_not_linear():
    for pattern in (r"\s+$", r"(?:a|b)+c", r"[a-z]*@", r"<[^>]*>"):
        assert worst_of(re.compile(pattern), False), pattern


# --- what is made of them --------------------------------------------------------------------------------------------


def reader(text: str) -> list[Reading]:
    return [PUNCTUATION_READING if char in PUNCTUATION else _usual(char) for char in text]


@functools.cache
def _usual(char: str) -> Reading:
    return Reading(usual_pinyin(char), "pypinyin", 0.5)


def of(*units: str) -> list[Callable[[int], str]]:
    return [lambda n, unit=unit: unit * (n // len(unit)) for unit in units]


@pytest.mark.parametrize(
    "unit", ["好", "不", "好，", "“好。”", "👍。", "好[hao3]\n", "1", ",111", "a\u0301\u0316", "½%", "1-"]
)
def test_the_front_end(unit):
    analyse("好3a", reader)
    assert is_linear(lambda text: analyse(text, reader), *of(unit), 3000, 0.02)


@pytest.mark.parametrize("unit", ["“好。”", "(好.)", "。 ", "好。", '"', "“", "好", "a", "1", " ", "?!"])
def test_splitting(unit):
    assert is_linear(lambda text: list(sentences(text)), *of(unit), 5 * LONG)
    assert is_linear(
        lambda text: list(sentences(text, [(i, i + 2) for i in range(0, len(text), 3)])), *of(unit), 5 * LONG
    )


@pytest.mark.parametrize("unit", ["好", "a", "[", "[a", "好[hao3]", "a[hao3]", "好[hao3 hao3]", "[hao3]", "#"])
def test_inline_readings(unit):
    assert is_linear(lambda text: parse(text + "é[hao3]", {}), *of(unit), 5 * LONG)


@pytest.mark.parametrize("unit", ["好", "aB", "好a", "ß"])
def test_a_glossary_of_many_terms(unit):
    terms = {("好" * (1 + i % 40)) + chr(0x4E00 + i): ("hao3",) for i in range(2000)} | {"a" * 90: ("ei1",)}
    terms = Glossary(terms)
    assert is_linear(lambda text: list(terms.found_in(text)), *of(unit), 5 * LONG)


def test_lines_of_a_glossary():
    for line in ("好 hao3\n", "#\n", ";", "好= hao3;", " \n", "a    =   ei1\n"):
        assert is_linear(parse_glossary, *of(line), LONG)
    for line in ("a\n", "\n"):
        assert is_linear(lambda text: glossary.together(text, text + "好", text + "b\n"), *of(line), LONG)
    different = [lambda n: "\n".join(map(str, range(n)))]
    assert is_linear(lambda text: glossary.together("", text, text[::-1]), *different, LONG)


@pytest.mark.parametrize("unit", ["笑", "不", "不笑", "不太", "稍微", "not ", "a little ", " ", "好，", "开心不"])
def test_emotions(unit):
    names = ["neutral", "happy", "sad", "angry"]
    assert is_linear(lambda prompt: table.emotion_weights(prompt + "笑", names), *of(unit), LONG, 0.02)


@pytest.mark.parametrize("unit", [" ", "a ", "(", "a(", "（1", "+", "1)", "a(1)+", "\n", "a(1"])
def test_mixes_of_speakers(unit):
    def read(text: str) -> None:
        try:
            parse_mix(text + "x")
        except BadRequest as error:
            assert len(str(error)) < 200

    assert is_linear(read, *of(unit), 5 * LONG)


@pytest.mark.parametrize("unit", ["\n", "好\n", "a,b\n", ",", '"', '""', "0:0:1 --> 0:0:2\n好\n\n", "<b", "{\\", "&#1"])
def test_files_of_lines(unit):
    for read in (batch._lines, batch._paragraphs, batch._subtitles, lambda text: batch._rows("text\n" + text)):

        def work(text: str, read=read) -> None:
            try:
                read(text)
            except BadRequest as error:
                assert len(str(error)) < 500

        assert is_linear(work, *of(unit), 5 * LONG, 0.05)


def test_names_of_files():
    name = lambda text: batch.Item(1, text).file(1, "wav")  # noqa: E731
    assert all(is_linear(name, make, 5 * LONG) for make in of("a", "好", "a\u0301\u0316", "[", "-", "好[hao3]"))


def test_sentences_of_the_doctor():
    for pattern, _ in report.IN_CHINESE:
        shape = re.sub(r"\(\?:|[()\\+*]", "", pattern)
        assert all(is_linear(lambda text: report.in_words(text, 0), make, LONG, 0.05) for make in of(shape, shape[:9]))


def test_pieces_of_what_has_no_pause():
    """The network's work and memory grow with the square of a piece, so a text without marks has no longer ones."""
    for char in ("好", "一个人在家里看书", "a"):
        sizes = {len(u.text) for u in analyse((char * 3000)[:3000], reader)}
        assert max(sizes) <= 60
    assert max(map(len, pieces("好" * 290))) <= 50
