"""What the tests share."""

import shutil
from pathlib import Path

from hypothesis import settings

# The same examples on every machine, and no failure because a machine is busy.
settings.register_profile("project", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("project")


def golden() -> Path:
    """The folder of golden fixtures: the full set beside the repository where there is one, else the committed part."""
    repository = Path(__file__).resolve().parents[1]
    shared = repository.parent / "shared" / "golden"
    return shared if shared.exists() else repository / "tests" / "golden"


def writable_copy(source: Path, target: Path) -> Path:
    """A copy of a folder's files to change; the fixtures themselves may be read-only."""
    target.mkdir(parents=True)
    for file in source.iterdir():
        shutil.copyfile(file, target / file.name)
    return target
