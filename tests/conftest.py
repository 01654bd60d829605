"""What the tests share."""

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
