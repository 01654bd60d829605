"""python -m infer: speak from the command line. See infer/cli/say.py."""

from infer.cli import start

if __name__ == "__main__":
    start("say")
