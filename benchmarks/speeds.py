"""The figures of the speed of training, and how they are shown."""

from dataclasses import dataclass

from table import Table

OPERATIONS = 6
"""Per multiply-add: one multiplication and one addition in the forward pass, twice as many in the backward pass."""


@dataclass
class Speed:
    """One side's figures; None where there is no such thing.

    batch: windows side by side. targets: tokens predicted in each. useful_flops: operations per second that its
    targets need. product_flops: those of a product of large matrices; product_share: the share of it that is useful.
    compared_with: `reference`, the code of the paper, or `plain PyTorch`. peak_bytes: the most that its process had at
    once; step_bytes: how much of that is more than it had before its first step, libraries and weights left out.
    """

    configuration: str
    side: str
    precision: str
    batch: int
    targets: int
    threads: int
    targets_per_second: float
    multiply_adds_per_target: float = 0.0
    useful_flops: float = 0.0
    product_flops: float = 0.0
    product_share: float = 0.0
    peak_bytes: int = 0
    step_bytes: int = 0
    compared_with: str | None = None
    compared_ratio: float | None = None
    compared_peak_ratio: float | None = None
    compared_step_ratio: float | None = None

    def set_arithmetic(self, multiply_adds: float, product_flops: float) -> None:
        """What a target needs, and what the machine can do."""
        self.multiply_adds_per_target, self.product_flops = multiply_adds, product_flops
        self.useful_flops = OPERATIONS * multiply_adds * self.targets_per_second
        self.product_share = self.useful_flops / product_flops

    def set_compared(self, other: "Speed") -> None:
        """Put the figures beside another side's."""
        self.compared_with, self.compared_ratio = other.side, self.targets_per_second / other.targets_per_second
        self.compared_peak_ratio = self.peak_bytes / other.peak_bytes
        self.compared_step_ratio = self.step_bytes / max(1, other.step_bytes)


_HEADINGS = (
    "configuration", "side         ", "precision", "batch", "targets", "threads", "targets/s", "compared with", "ratio",
    "M multiply-adds", "useful GFLOP/s", "product GFLOP/s", "share", "peak GB", "of other's",
    "steps' GB", "of other's",
)  # fmt: skip
_LEFT = {0, 1, 2, 7}


def print_heading(widest: int) -> None:
    """The table's first lines; widest: characters of the longest configuration's name."""
    _table(widest).print_heading()


def print_speed(speed: Speed, widest: int) -> None:
    """One line of the table."""
    rate, peak, step = speed.compared_ratio, speed.compared_peak_ratio, speed.compared_step_ratio
    _table(widest).print_row(
        [
            speed.configuration,
            speed.side,
            speed.precision,
            str(speed.batch),
            f"{speed.targets:,}",
            str(speed.threads),
            f"{speed.targets_per_second:,.0f}",
            speed.compared_with or "–",
            "–" if rate is None else f"{rate:.2f}",
            f"{speed.multiply_adds_per_target / 1e6:.3f}",
            f"{speed.useful_flops / 1e9:.1f}",
            f"{speed.product_flops / 1e9:.1f}",
            f"{speed.product_share:.1%}",
            f"{speed.peak_bytes / 1e9:.2f}",
            "–" if peak is None else f"{peak:.0%}",
            f"{speed.step_bytes / 1e9:.2f}",
            "–" if step is None else f"{step:.0%}",
        ]
    )


def _table(widest: int) -> Table:
    return Table((_HEADINGS[0].ljust(widest), *_HEADINGS[1:]), _LEFT)
