"""Companding: against an independent implementation, and exact return trips for every number of levels."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchaudio.functional import mu_law_decoding, mu_law_encoding

from seqgen_core.audio.codec import A_LAW, AudioCodec
from seqgen_core.errors import SeqgenError
from seqgen_core.settings.codec import AudioCodecSettings, SoundName

COMPANDINGS: tuple[SoundName, ...] = ("mu-law", "a-law", "linear")


def codec(companding: SoundName = "mu-law", levels: int = 256) -> AudioCodec:
    return AudioCodec(AudioCodecSettings(kind=companding, levels=levels))


@given(st.sampled_from(COMPANDINGS), st.integers(2, 65536))
def test_every_code_survives_decoding_and_encoding(companding, levels):
    one = codec(companding, levels)
    codes = np.arange(levels)
    waveform = one.decode(codes)
    assert waveform.dtype == np.float32
    assert np.abs(waveform).max() <= 1
    assert (np.diff(waveform) > 0).all()
    assert np.array_equal(one.encode(waveform), codes)


@pytest.mark.parametrize("companding", COMPANDINGS)
@pytest.mark.parametrize("levels", [2, 3, 255, 256, 257, 65535, 65536])
def test_the_ends_of_the_levels_survive_too(companding, levels):
    one = codec(companding, levels)
    assert np.array_equal(one.encode(one.decode(np.arange(levels))), np.arange(levels))


@given(st.integers(2, 65536), st.integers(0, 2**32 - 1))
def test_mu_law_is_torchaudios(levels, seed):
    waveform = np.random.default_rng(seed).uniform(-1, 1, 2000).astype(np.float32)
    waveform[:3] = 0, 1, -1
    one = codec("mu-law", levels)
    codes = one.encode(waveform)
    # in float64, since in float32 torchaudio itself puts a sample that lies on an edge into either code
    expected = mu_law_encoding(torch.from_numpy(waveform).double(), levels).numpy()
    assert np.array_equal(codes, expected)
    decoded = mu_law_decoding(torch.from_numpy(expected).double(), levels).numpy()
    np.testing.assert_allclose(one.decode(codes), decoded, rtol=0, atol=1e-6 if levels > 2**14 else 1e-7)


def test_mu_law_of_256_levels_is_torchaudios_in_float32_too():
    one = codec()
    codes = np.arange(256)
    middles = one.decode(codes)
    assert np.array_equal(mu_law_encoding(torch.from_numpy(middles), 256).numpy(), codes)
    np.testing.assert_allclose(middles, mu_law_decoding(torch.from_numpy(codes), 256).numpy(), atol=3e-7)


def test_a_law_follows_its_two_branches():
    levels = 65535  # so fine that the code is the curve
    edges = np.array([0.0, 0.5 / A_LAW, 1 / A_LAW, 0.1, 0.5, 1.0])
    log_a = 1 + np.log(A_LAW)
    expected = np.array([0, 0.5 / log_a, 1 / log_a, *(1 + np.log(A_LAW * edges[3:])) / log_a])
    codes = codec("a-law", levels).encode(np.concatenate([edges, -edges])).astype(float)
    np.testing.assert_allclose(codes / (levels - 1) * 2 - 1, np.concatenate([expected, -expected]), atol=2 / levels)


def test_linear_with_65536_levels_loses_nothing_of_16_bit_sound():
    samples = np.arange(-32768, 32768)
    one = codec("linear", 65536)
    assert np.array_equal(one.encode(samples / 32768), samples + 32768)
    assert np.array_equal(one.decode(samples + 32768), (samples / 32768).astype(np.float32))


@given(st.sampled_from(COMPANDINGS), st.integers(2, 65536), st.floats(-1, 1, width=32))
def test_the_error_is_at_most_half_a_step(companding, levels, sample):
    one = codec(companding, levels)
    code = int(one.encode(np.array([sample]))[0])
    nearest = np.arange(max(code - 1, 0), min(code + 2, levels))
    steps = one.decode(nearest).astype(float)
    assert steps[0] - 1e-9 <= sample <= steps[-1] + 1e-9 or (companding == "linear" and code in (0, levels - 1))


@pytest.mark.parametrize(("levels", "dtype"), [(2, np.uint8), (256, np.uint8), (257, np.uint16), (65536, np.uint16)])
def test_codes_take_the_narrowest_type(levels, dtype):
    assert codec(levels=levels).encode(np.zeros(3)).dtype == dtype


@pytest.mark.parametrize("companding", COMPANDINGS)
@pytest.mark.parametrize("levels", [2, 256, 65536])
def test_silence_is_the_quietest_code(companding, levels):
    one = codec(companding, levels)
    assert abs(one.decode(one.silence)) == np.abs(one.decode(np.arange(levels))).min()


def test_beyond_full_scale_is_clamped():
    one = codec()
    assert np.array_equal(one.encode(np.array([-7.0, -1.0, 1.0, 2.0])), [0, 0, 255, 255])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_with_its_place(bad):
    with pytest.raises(SeqgenError, match=f"sample 2 of 4 is {bad}"):
        codec().encode(np.array([0, 0, bad, 0]))


@pytest.mark.parametrize("code", [-1, 256])
def test_codes_that_do_not_exist_are_refused(code):
    with pytest.raises(SeqgenError, match=f"code {code} does not exist with 256 levels"):
        codec().decode(np.array([3, code]))


def test_shapes_are_kept():
    one = codec()
    assert one.encode(np.zeros((2, 3))).shape == (2, 3)
    assert one.decode(np.zeros((2, 3), np.uint8)).shape == (2, 3)
    assert one.encode(np.zeros(0)).shape == (0,)
