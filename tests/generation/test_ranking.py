"""Ranking: who is kept of several candidates, what of them is held meanwhile, and what a stop leaves."""

import numpy as np
import pytest

from seqgen_core.errors import UsageError
from seqgen_core.generation.clips import Clip
from seqgen_core.generation.ranking import Ranked, bounds, check_rank
from seqgen_core.generation.starts import Prime

PRIME = Prime("", np.zeros(1, np.int64))


def clips(bits):
    for number, value in enumerate(bits):
        yield Clip(number, PRIME, np.full(3, number), float(value))


def test_the_likeliest_within_bounds_are_kept():
    bits = np.random.default_rng(0).permutation(40) / 10
    ranked = Ranked(clips(bits), starts=1, of_start=40, keep=4)
    kept = list(ranked)
    assert bounds(40) == (16, 2)
    assert [clip.bits_per_token for clip in kept] == [0.2, 0.3, 0.4, 0.5]
    assert all(clip.tokens[0] == clip.number for clip in kept)
    assert [candidate.clip for candidate in ranked.candidates] == list(range(40))
    verdicts = {candidate.bits_per_token: candidate.verdict for candidate in ranked.candidates}
    by_bits = [verdicts[value] for value in sorted(verdicts)]
    assert by_bits == ["above the bounds"] * 2 + ["kept"] * 4 + ["not among the best"] * 18 + ["below the bounds"] * 16


def test_each_start_is_ranked_by_itself():
    bits = [9, 1, 8, 2, 7, 3, 6, 4]  # of starts 0 and 1 in turn
    ranked = Ranked(clips(bits), starts=2, of_start=4, keep=1)
    assert [(clip.number % 2, clip.bits_per_token) for clip in ranked] == [(0, 6.0), (1, 1.0)]
    assert [candidate.start for candidate in ranked.candidates] == [0, 1] * 4


def test_equals_go_by_their_numbers():
    assert [clip.number for clip in Ranked(clips([2, 1, 1, 1, 2]), starts=1, of_start=5, keep=2)] == [1, 2]


def test_only_what_may_still_be_kept_is_held():
    alive = set()

    class Counted(np.ndarray):
        pass

    def counted():
        import weakref

        for number in range(60):
            tokens = np.zeros(2).view(Counted)
            alive.add(number)
            weakref.finalize(tokens, alive.discard, number)
            yield Clip(number, PRIME, tokens, 1 + (number * 7 % 60) / 60)
            del tokens
            assert len(alive) <= 2 + 3 + 2  # kept, dropped as too likely, in passing

    assert len(list(Ranked(counted(), starts=1, of_start=60, keep=2))) == 2


def test_a_stop_ranks_what_is_whole():
    def stopped():
        yield from clips([5, 4, 3, 2])
        yield Clip(4, PRIME, np.zeros(1), 0.1, unfinished=True)
        raise KeyboardInterrupt

    ranked, kept = Ranked(stopped(), starts=1, of_start=40, keep=2), []
    with pytest.raises(KeyboardInterrupt):
        kept.extend(iter_all(ranked, kept))
    assert [clip.number for clip in kept] == [3, 2]
    assert [candidate.verdict for candidate in ranked.candidates] == ["below the bounds"] * 2 + ["kept"] * 2


def iter_all(ranked, kept):
    for clip in ranked:
        kept.append(clip)
    return []


def test_too_few_candidates_are_refused():
    check_rank(7, 4)
    check_rank(1, 1)
    with pytest.raises(UsageError, match="rank = 4 leaves 2 within the bounds, but 4 are to be kept") as caught:
        check_rank(4, 4)
    assert "--rank 6 is enough" in caught.value.hint
