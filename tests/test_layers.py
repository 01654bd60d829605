"""Who may import whom, and that importing does nothing: read off the source, then seen in a process of its own."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("words", "text", "models", "pretrained", "bert", "emotional", "infer", "train", "page")
FACES = ("webui.py", "server.py")
SOURCES = sorted(
    file
    for file in [*(f for p in PACKAGES for f in (ROOT / p).rglob("*.py")), *(ROOT / f for f in FACES)]
    if file.exists() and "runs" not in file.parts
)

LEAVES = {"text", "models", "bert", "emotional"}
PAGE = {"webui", "page", "server", "gradio", "fastapi", "starlette", "uvicorn"}
FORBIDDEN = {leaf: (LEAVES - {leaf}) | PAGE | {"infer", "train", "benchmarks"} for leaf in LEAVES} | {
    "infer": PAGE | {"train", "benchmarks"},
    "train": PAGE | {"infer", "bert", "emotional", "benchmarks"},
    "webui": {"train"},
    "page": {"train", "webui", "server"},  # parts of the page know nothing of the whole
    "server": {"train"},
}
FORBIDDEN["words"] = LEAVES | PAGE | {"infer", "train", "benchmarks", "torch", "numpy"}
FORBIDDEN["pretrained"] = LEAVES | PAGE | {"infer", "train", "benchmarks"}  # below bert and emotional
FORBIDDEN["text"] |= {"pretrained", "torch", "torchaudio", "transformers", "safetensors"}
FORBIDDEN["models"] |= {"pretrained", "transformers"}

# At import a value may be built, but nothing may be read, fetched, loaded, shown or started.
WORK = ("open", "read", "load", "download", "from_pretrained", "print", "input", "getenv", "write", "mkdir", "unlink")
WORK += ("exists", "is_file", "is_dir", "iterdir", "glob", "rglob", "run", "Popen", "Thread", "Engine", "manual_seed")

DEFINITIONS = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def imported(tree: ast.AST) -> Iterator[str]:
    """The top-level name of everything imported from outside the module's own package, function bodies included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


def executed(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when the node does: not the bodies of functions."""
    yield node
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from executed(child)


def is_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("__name__ == '__main__'", "TYPE_CHECKING")


def is_quiet_import(node: ast.stmt) -> bool:
    """Imports under warnings.catch_warnings(), which puts the filters back."""
    return (
        isinstance(node, ast.With)
        and [ast.unparse(item) for item in node.items] == ["warnings.catch_warnings()"]
        and all(
            isinstance(child, ast.Import | ast.ImportFrom)
            or ast.unparse(child).startswith(("warnings.simplefilter(", "warnings.filterwarnings("))
            for child in node.body
        )
    )


def is_bound(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def work(tree: ast.Module) -> Iterator[str]:
    """What a module's body does beyond imports, definitions and constants, as "line: source"."""
    own = {name.id for node in tree.body for name in ast.walk(node) if is_bound(name)}
    for node in tree.body:
        if is_guard(node) or is_quiet_import(node):
            continue
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        definition = isinstance(node, DEFINITIONS)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        constant = isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) and all(
            isinstance(target, ast.Name | ast.Tuple)
            or (isinstance(target, ast.Subscript) and ast.unparse(target.value) in own)
            for target in targets
        )
        if not (docstring or definition or constant):
            yield f"{node.lineno}: {ast.unparse(node).splitlines()[0]}"
            continue
        for part in executed(node):
            if isinstance(part, ast.Call):
                name = ast.unparse(part.func).rpartition(".")[2]
                if any(name == verb or name.startswith(f"{verb}_") for verb in WORK):
                    yield f"{part.lineno}: {ast.unparse(part)}"


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_source(file: Path) -> None:
    layer = file.relative_to(ROOT).parts[0].removesuffix(".py")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assert not FORBIDDEN[layer] & set(imported(tree))
    assert not list(work(tree))


def test_every_layer_is_looked_at() -> None:
    assert {file.relative_to(ROOT).parts[0] for file in SOURCES} >= {*PACKAGES, "webui.py"}


@pytest.mark.parametrize(
    "line",
    [
        "TABLE = open('table.txt').read()",
        "TABLE = json.loads(Path('table.json').read_text())",
        "model = torch.load('G.pth')",
        "model = AutoModel.from_pretrained('bert')",
        "WORDS: dict = load_words()",
        "print('loading')",
        "torch.set_num_threads(1)",
        "os.environ['HF_HUB_OFFLINE'] = '1'",
        "jieba.dt.tmp_dir = '/tmp'",
        "for name in names: pass",
        "with warnings.catch_warnings():\n    load()",
        "with open('a') as file:\n    import json",
        "if Path('config.yml').exists():\n    x = 1",
        "class A:\n    table = json.load(open('a'))",
        "def f(table=open('a')): ...",
        "@cache(load('a'))\ndef f(): ...",
    ],
)
def test_work_at_import_is_seen(line: str) -> None:
    assert list(work(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        "PATTERN = re.compile('[0-9]+')",
        "LOG = logging.getLogger(__name__)",
        "ROOT = Path(__file__).resolve().parent",
        "@dataclass(frozen=True)\nclass A:\n    x: int = field(default=1)",
        "@cache\ndef table(): return json.loads(open('a').read())",
        "read = lambda: open('a')",
        "TABLE = dict(a=1)\nTABLE['b'] = 2",
        "with warnings.catch_warnings():\n    warnings.simplefilter('ignore')\n    import gradio",
        "if __name__ == '__main__':\n    print(open('a').read())",
    ],
)
def test_definitions_are_no_work(line: str) -> None:
    assert not list(work(ast.parse(line)))


# Imports the modules named on the command line; tells what came along and what was done meanwhile.
PROBE = """
import importlib, json, logging, os, sys
root, events = sys.argv[1], []
def watch(event, args):
    if event == "open" and isinstance(args[0], str):
        path = os.path.abspath(args[0])
        inside = path.startswith(root + os.sep) and not path.startswith(os.path.join(root, ".venv") + os.sep)
        if inside and not path.endswith((".py", ".pyc")) and "__pycache__" not in path:
            events.append(f"open {path}")
    elif event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system"):
        events.append(f"{event} {args[:1]}")
sys.addaudithook(watch)
for module in sys.argv[2:]:
    importlib.import_module(module)
torch = sys.modules.get("torch")
print(json.dumps({
    "modules": sorted({name.partition(".")[0] for name in sys.modules}),
    "events": events,
    "handlers": len(logging.root.handlers),
    "gradients": torch is None or torch.is_grad_enabled(),
}))
"""


def probe(temporary: Path, *modules: str) -> set[str]:
    """Import them in a fresh process: silently, with no file of ours read, no cache written. Returns what is loaded."""
    environment = os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROBE, str(ROOT), *modules]
    done = subprocess.run(command, cwd=temporary, env=environment, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["events"] == []
    assert told["handlers"] == 0
    assert told["gradients"]
    assert list(temporary.iterdir()) == []
    return set(told["modules"])


def test_text_needs_no_torch(tmp_path: Path) -> None:
    loaded = probe(tmp_path, "text", "text.symbols", "text.phones", "text.tone_sandhi")
    assert "text" in loaded
    assert not loaded & FORBIDDEN["text"]


def test_infer_needs_no_page(tmp_path: Path) -> None:
    loaded = probe(tmp_path, "models", "bert", "emotional", "infer.engine.pipeline", "infer.__main__")
    assert {"infer", "torch"} <= loaded
    assert not loaded & FORBIDDEN["infer"]


def test_importing_the_page_does_nothing(tmp_path: Path) -> None:
    assert {"webui", "gradio"} <= probe(tmp_path, "webui")
