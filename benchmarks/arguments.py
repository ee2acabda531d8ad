"""What the benchmarks take on their command lines."""

import argparse
from collections.abc import Callable, Sequence


def listed(kind: Callable[[str], object], allowed: Sequence[str] = ()) -> Callable[[str], list]:
    """Values divided by commas, each of a kind, or one of those allowed."""

    def parse(text: str) -> list:
        parts = [part.strip() for part in text.split(",")]
        wrong = [part for part in parts if allowed and part not in allowed]
        if wrong:
            raise argparse.ArgumentTypeError(f"{wrong[0]!r}; choose from {', '.join(allowed)}")
        return [kind(part) for part in parts]

    return parse


def positive(kind: type) -> Callable[[str], object]:
    """A number above 0."""

    def parse(text: str) -> object:
        number = kind(text)
        if number <= 0:
            raise argparse.ArgumentTypeError(f"{text}; wanted more than 0")
        return number

    return parse
