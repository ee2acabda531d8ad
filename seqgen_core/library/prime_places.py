"""Seeds whose primes lie in different places, each with as much that is real after it as is drawn."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from seqgen_core.generation import starts
from seqgen_core.streams import Stream

if TYPE_CHECKING:
    from seqgen_core.library.run import Run

SEEDS = 100
"""Seeds that are tried."""


def seed_of_primes(
    run: "Run",
    streams: Sequence[Stream],
    count: int,
    seed: int,
    *,
    seconds: float | None = None,
    prime_seconds: float | None = None,
    device: str = "cpu",
) -> int:
    """The seed, from this one on, whose primes suit best; this one for images, tasks, and models with features.

    The places follow from the seed alone, so `generate` with it draws the same clips again.
    """
    codec, (model, _) = run.settings.data.codec, run.model("best", device=device)
    if codec.kind == "pixels" or model.local_features or any(stream.given > 1 for stream in streams):
        return seed
    lengths = {stream.origin: len(stream.tokens) for stream in streams}
    prime = starts.prime_length(model, codec, prime_seconds)
    best, most = seed, (-1, -1, -1)
    for tried in range(seed, seed + SEEDS):
        primes = starts.draw_primes(streams, prime, count, tried)
        new = starts.clip_length(codec, primes, length=None, seconds=seconds)
        spans = [(one.origin, one.start, one.start + len(one.tokens) + new) for one in primes]
        whole = sum(stop <= lengths[origin] for origin, _, stop in spans)
        alike = [
            (one, other)
            for place, one in enumerate(spans)
            for other in spans[:place]
            if one[0] == other[0]  # of one recording
        ]
        apart = count - len({one for one, other in alike if one[1] < other[2] and other[1] < one[2]})
        gap = min((abs(one[1] - other[1]) for one, other in alike), default=0)
        found = whole + apart, len({origin for origin, _, _ in spans}), gap
        if found > most:
            best, most = tried, found
        if whole + apart == 2 * count:
            break
    return best
