"""python -m infer.batch: many texts at once See infer/cli/batch.py."""

from infer.cli import start

if __name__ == "__main__":
    start("batch")
