"""Ranking: of several candidates for a clip, those that the model finds likely, but not suspiciously so, are kept.

Source: Goel et al. 2022 (SaShiMi, arXiv:2202.09729), appendix C.3.1 and the notes beside their code. They sort clips by
exact log-likelihood and drop the bottom 40 % and the top 5 %, where quality was worst: noise at one end, silence and
monotony at the other. Here the best of what is left are kept; shares are rounded to whole candidates, halves up.
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from seqgen_core.errors import UsageError
from seqgen_core.generation.clips import Clip

LOWEST, HIGHEST = 0.40, 0.05
"""Shares of the candidates that are dropped, from the least likely and from the most likely end."""
KEPT, BELOW, ABOVE, BEHIND = "kept", "below the bounds", "above the bounds", "not among the best"
"""What can become of a candidate."""


@dataclass(frozen=True)
class Candidate:
    """One that was drawn: the clip's number, what it starts from (0, 1, …), its mean bits, and what became of it."""

    clip: int
    start: int
    bits_per_token: float
    verdict: str


def bounds(candidates: int) -> tuple[int, int]:
    """How many of so many candidates are dropped as the least likely and as the most likely."""
    return int(LOWEST * candidates + 0.5), int(HIGHEST * candidates + 0.5)


def check_rank(candidates: int, keep: int) -> None:
    """Raise UsageError where fewer than `keep` of the candidates lie within the bounds."""
    if _left(candidates) < keep:
        enough = next(number for number in range(candidates, 3 * keep + 3) if _left(number) >= keep)
        raise UsageError(
            f"rank = {candidates} leaves {_left(candidates)} within the bounds, but {keep} are to be kept.",
            hint=f"Draw more candidates: --rank {enough} is enough; ten times as many as are kept do good.",
        )


class Ranked:
    """Iterating over it draws all candidates, then gives those that are kept: start by start, the likeliest first.

    clips: candidates in the order of their numbers; number n starts from start n % starts. of_start: candidates of
    each start, of which `keep` are kept. `candidates` lists all afterwards. A stop on the way ranks the whole
    candidates so far before it passes on. Meanwhile only the tokens of those that may still be kept are held.
    """

    def __init__(self, clips: Iterable[Clip], *, starts: int, of_start: int, keep: int) -> None:
        self.candidates: list[Candidate] = []
        self._clips, self._starts, self._keep = clips, starts, keep
        self._held = keep + bounds(of_start)[1]  # the most likely so far: no other can still be kept

    def __iter__(self) -> Iterator[Clip]:
        best: list[list[tuple[float, int, Clip]]] = [[] for _ in range(self._starts)]
        bits: list[list[tuple[float, int]]] = [[] for _ in range(self._starts)]
        stopped = False
        try:
            for clip in self._clips:
                if clip.unfinished:
                    continue
                start = clip.number % self._starts
                bits[start].append((clip.bits_per_token, clip.number))
                entry = (-clip.bits_per_token, -clip.number, clip)
                (heapq.heappush if len(best[start]) < self._held else heapq.heappushpop)(best[start], entry)
        except KeyboardInterrupt:
            stopped = True
        verdicts = [_verdicts(of_start, self._keep) for of_start in bits]
        self.candidates = sorted(
            (Candidate(number, start, value, verdicts[start][number]) for start in range(self._starts)
             for value, number in bits[start]),
            key=lambda candidate: candidate.clip,
        )  # fmt: skip
        for start in range(self._starts):
            held = {clip.number: clip for _, _, clip in best[start]}
            for _, number in sorted(bits[start]):
                if verdicts[start][number] == KEPT:
                    yield held[number]
        if stopped:
            raise KeyboardInterrupt


def _left(candidates: int) -> int:
    return candidates - sum(bounds(candidates))


def _verdicts(bits: list[tuple[float, int]], keep: int) -> dict[int, str]:
    """What becomes of each candidate, by its number; bits: mean bits and number of each."""
    lowest, highest = bounds(len(bits))
    verdicts = {}
    for place, (_, number) in enumerate(sorted(bits)):
        if place < highest:
            verdicts[number] = ABOVE
        elif place >= len(bits) - lowest:
            verdicts[number] = BELOW
        else:
            verdicts[number] = KEPT if place < highest + keep else BEHIND
    return verdicts
