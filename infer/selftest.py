"""python -m infer.selftest: does the device compute what plain torch on the CPU does? See infer/cli/selftest.py."""

from infer.cli import start

if __name__ == "__main__":
    start("selftest")
