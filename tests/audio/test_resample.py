"""Resampling in blocks is resampling the whole."""

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen_core.audio.resample import ResampleStream


def in_blocks(waveform: np.ndarray, rate_in: int, rate_out: int, cuts: list[int]) -> np.ndarray:
    stream = ResampleStream(rate_in, rate_out)
    parts = [stream.push(block) for block in np.split(waveform, sorted(cuts))]
    return np.concatenate([*parts, stream.finish()])


@settings(max_examples=30)
@given(
    st.sampled_from([(44100, 16000), (48000, 16000), (8000, 16000), (16000, 44100), (192000, 16000), (22050, 8000)]),
    st.lists(st.integers(0, 20000), max_size=6),
    st.integers(0, 2**32 - 1),
)
def test_blocks_equal_one_shot(rates, cuts, seed):
    waveform = np.random.default_rng(seed).uniform(-1, 1, 20000).astype(np.float32)
    whole = soxr.resample(waveform, *rates, quality="HQ")
    blocks = in_blocks(waveform, *rates, cuts)
    assert blocks.dtype == np.float32
    assert len(blocks) == len(whole)
    np.testing.assert_allclose(blocks, whole, atol=1e-6)


def test_equal_rates_pass_untouched():
    waveform = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    assert np.array_equal(in_blocks(waveform, 16000, 16000, [10, 500]), waveform)


@pytest.mark.parametrize(("hertz", "kept"), [(1000, True), (7000, True), (9000, False), (15000, False)])
def test_what_lies_beyond_the_new_nyquist_is_gone(hertz, kept):
    time = np.arange(44100) / 44100
    tone = np.sin(2 * np.pi * hertz * time).astype(np.float32)
    middle = in_blocks(tone, 44100, 16000, [10000, 30000])[2000:-2000]
    level = 20 * np.log10(np.sqrt(2 * np.square(middle).mean()))
    assert abs(level) < 0.05 if kept else level < -90


def test_time_is_kept():
    click = np.zeros(44100, np.float32)
    click[22050] = 1
    assert np.abs(in_blocks(click, 44100, 16000, [22000])).argmax() == 8000
