"""A package beside the function."""

from pathlib import Path

GREETING = (Path(__file__).parent / "greeting.txt").read_text(encoding="utf-8").strip()


def fail(number):
    return 1 / number
