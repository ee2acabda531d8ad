"""Cutting silence: what goes, what stays, and that blocks do not matter."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen_core.audio.silence import SilenceTrimmer

RATE = 1000  # frames of 20 samples, a guard of 50


def sound(samples: int) -> np.ndarray:
    return (0.5 * np.sin(np.arange(samples))).astype(np.float32)


def quiet(samples: int, level: float = 1e-4) -> np.ndarray:
    return (level * np.sin(np.arange(samples))).astype(np.float32)


def trim(waveform: np.ndarray, cuts: list[int] | None = None, threshold: float = -40, longest: float = 1.0):
    trimmer = SilenceTrimmer(RATE, threshold, longest)
    parts = [trimmer.push(block) for block in np.split(waveform, sorted(cuts or []))]
    return np.concatenate([*parts, trimmer.finish()]), trimmer.dropped


def test_both_ends_are_cut_but_for_the_guard():
    kept, dropped = trim(np.concatenate([quiet(500), sound(400), quiet(600)]))
    assert np.array_equal(kept, np.concatenate([quiet(500)[-50:], sound(400), quiet(600)[:50]]))
    assert dropped == 1500 - 500


def test_a_long_silence_inside_is_shortened_to_its_ends():
    silence = quiet(3000)
    kept, dropped = trim(np.concatenate([sound(400), silence, sound(400)]))
    assert np.array_equal(kept, np.concatenate([sound(400), silence[:500], silence[-500:], sound(400)]))
    assert dropped == 2000


def test_a_pause_is_left_alone():
    waveform = np.concatenate([sound(400), quiet(1000), sound(400)])
    kept, dropped = trim(waveform)
    assert np.array_equal(kept, waveform)
    assert dropped == 0


def test_the_threshold_is_in_dbfs_of_the_rms():
    tone = (0.1 * np.sqrt(2) * np.sin(np.arange(2000) * 2 * np.pi / 20)).astype(np.float32)  # RMS 0.1: -20 dBFS
    assert len(trim(tone, threshold=-20.5)[0]) == 2000
    assert len(trim(tone, threshold=-19.5)[0]) == 0


def test_an_offset_is_no_sound():
    assert trim(np.full(2000, 0.3, np.float32))[1] == 2000


def test_silence_alone_leaves_nothing():
    kept, dropped = trim(quiet(5000), cuts=[70, 2100])
    assert len(kept) == 0
    assert dropped == 5000


def test_memory_does_not_grow_with_a_silence():
    trimmer = SilenceTrimmer(RATE, -40, 1.0)
    trimmer.push(sound(400))
    for _ in range(200):
        trimmer.push(quiet(1000))
        assert len(trimmer._silence) <= 2 * RATE
    kept = trimmer.push(sound(400))
    assert len(kept) == 1400
    trimmer.finish()
    assert trimmer.dropped == 199_000


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 3000)), min_size=1, max_size=8),
    st.lists(st.integers(0, 12000), max_size=8),
    st.floats(0.1, 2.0),
)
def test_blocks_do_not_matter_and_all_samples_are_accounted_for(stretches, cuts, longest):
    waveform = np.concatenate([sound(n) if loud else quiet(n) for loud, n in stretches])
    whole, dropped = trim(waveform, longest=longest)
    pieces, dropped_in_pieces = trim(waveform, [min(cut, len(waveform)) for cut in cuts], longest=longest)
    assert np.array_equal(whole, pieces)
    assert dropped == dropped_in_pieces == len(waveform) - len(whole)
    again, dropped_again = trim(whole, longest=longest)
    assert dropped_again <= 2 * 20 * len(stretches) + 40  # but for the frames' edges, trimming twice is trimming once
    assert len(again) == len(whole) - dropped_again
