"""python -m infer.models: the large model files See infer/cli/models.py."""

from infer.cli import start

if __name__ == "__main__":
    start("models")
