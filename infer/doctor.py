"""python -m infer.doctor: can this checkpoint speak here? See infer/cli/doctor.py."""

from infer.cli import start

if __name__ == "__main__":
    start("doctor")
