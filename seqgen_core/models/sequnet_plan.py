"""Which ticks of which level a stretch of tokens needs in a Seq-U-Net: whole-number arithmetic, without tensors.

Ticks of a level with clock c are numbered by token // c, tokens counted so that tick 0 of every level meets token 0.
"""

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class BlockPlan:
    """Outputs that one block has to give, each the newest so many.

    convs: of each gated residual convolution. resampled: of the layer that halves or doubles the clock.
    behind: 1 where the level's newest tick lies between two ticks of the next slower level, else 0.
    """

    convs: tuple[int, ...]
    resampled: int
    behind: int


@dataclass(frozen=True)
class TickPlan:
    """Outputs that every layer has to give: of the input layer (entry), and of the blocks, fastest first."""

    entry: int
    down: tuple[BlockPlan, ...]
    bottleneck: tuple[int, ...]
    up: tuple[BlockPlan, ...]


@lru_cache(maxsize=4096)  # a generator meets each clock value again and again
def plan_ticks(begin: int, tokens: int, last: int, levels: int, depth: int, taps: int) -> TickPlan:
    """What has to be computed for the `last` newest outputs of tokens number begin to begin + tokens - 1.

    Ticks before `begin` are known and never asked for; so with last = tokens, all ticks from begin on are.
    """
    past = taps - 1
    clocks = [2**level for level in range(levels)]
    first = [-(-begin // clock) for clock in clocks]  # first tick that is not known yet
    end = [-(-(begin + tokens) // clock) for clock in clocks]

    def chain(level: int, start: int) -> tuple[tuple[int, ...], int]:
        """Counts of convolutions whose final outputs are wanted from tick `start`; first input tick wanted."""
        starts = [max(first[level], start - step * past) for step in range(depth + 1)]
        return tuple(end[level] - tick for tick in reversed(starts[:-1])), starts[-1]

    up, start = [], begin + tokens - last
    features = []  # first tick at which each level's shortcut is wanted on the way up
    for level in range(levels - 1):
        counts, start = chain(level, start)
        features.append(start)
        up.append(BlockPlan(counts, end[level] - start, (end[level] - 1) % 2))
        start = max(first[level + 1], (start + 1) // 2 - past // 2)
    bottleneck, start = chain(levels - 1, start)
    down: list[BlockPlan] = []
    for level in reversed(range(levels - 1)):
        resampled = end[level + 1] - start
        start = min(features[level], max(first[level], 2 * start - past))
        counts, start = chain(level, start)
        down.append(BlockPlan(counts, resampled, (end[level] - 1) % 2))
    return TickPlan(end[0] - start, tuple(reversed(down)), bottleneck, tuple(up))
