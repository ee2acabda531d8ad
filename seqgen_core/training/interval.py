"""Figures of training between two lines of the log."""

import time
from collections.abc import Sequence
from typing import Any


class Interval:
    """Figures between two lines of the log; a checkpoint keeps them, so that the next line comes out the same.

    bits: of each step. norm: the largest. rate: the latest. tokens and seconds: of the steps alone.
    """

    def __init__(
        self, bits: Sequence[float] = (), norm: float = 0.0, rate: float = 0.0, tokens: int = 0, seconds: float = 0.0
    ) -> None:
        self.bits = list(bits)
        self.norm, self.rate, self.tokens, self.seconds = norm, rate, tokens, seconds
        self.go_on()

    def go_on(self) -> None:
        """Do not count the time that has passed since the last step."""
        self.since = time.monotonic()

    def account(self) -> dict[str, Any]:
        """Itself as plain JSON; Interval(**account) is it again."""
        return {"bits": self.bits, "norm": self.norm, "rate": self.rate, "tokens": self.tokens, "seconds": self.seconds}

    def add(self, bits: float, norm: float, rate: float, tokens: int) -> None:
        """One step, just made; its bits count where it scored any tokens."""
        if tokens:
            self.bits.append(bits)
        self.norm, self.rate, self.tokens = max(self.norm, norm), rate, self.tokens + tokens
        now = time.monotonic()
        self.seconds, self.since = self.seconds + now - self.since, now

    def speed(self) -> float:
        """Tokens per second."""
        return self.tokens / max(1e-9, self.seconds)

    def figures(self) -> dict[str, float]:
        """A line of the log; there must be bits."""
        return {
            "bits": sum(self.bits) / len(self.bits),
            "gradient_norm": self.norm,
            "learning_rate": self.rate,
            "tokens_per_second": self.speed(),
        }
