"""Streams, and features at the rate of the tokens without ever laying them out."""

import numpy as np
import pytest

from seqgen_core.streams import Stream, Upsampled, token_dtype

FRAMES = np.array([[0.0, 10.0], [4.0, 10.0], [2.0, 30.0]])


def test_frames_stand_at_their_places_and_change_linearly_between():
    told = Upsampled(FRAMES, 4, 14)
    assert len(told) == 14
    rows = told[np.arange(14)]
    assert rows.dtype == np.float32
    assert rows[:, 0].tolist() == [0, 1, 2, 3, 4, 3.5, 3, 2.5, 2, 2, 2, 2, 2, 2]  # beyond the last frame it stands
    assert rows[:, 1].tolist() == [10] * 5 + [15, 20, 25] + [30] * 6


@pytest.mark.parametrize(
    "places", [slice(None), slice(3, 9), slice(5, None), slice(-3, None), slice(4, 2), slice(2, 99)]
)
def test_a_slice_is_what_indexing_gives(places):
    told = Upsampled(FRAMES, 4, 14)
    part = told[places]
    assert isinstance(part, Upsampled)
    expected = told[np.arange(14)][places]
    assert len(part) == len(expected)
    assert np.array_equal(part[np.arange(len(part))], expected)
    twice = part[1:]
    assert isinstance(twice, Upsampled)
    assert np.array_equal(twice[np.arange(len(twice))], expected[1:])


def test_a_slice_with_a_step_is_laid_out():
    told = Upsampled(FRAMES, 4, 14)
    rows = told[3:][1::3]
    assert isinstance(rows, np.ndarray)
    assert np.array_equal(rows, told[np.arange(14)][4::3])


def test_one_frame_stands_for_all():
    assert Upsampled(FRAMES[:1], 7, 20)[np.array([0, 6, 19])].tolist() == [[0, 10]] * 3


def test_nothing_is_laid_out_before_it_is_asked_for():
    hours = Upsampled(np.zeros((2, 3), np.float32), 10**9, 10**10)
    assert hours[5 * 10**9 :][np.array([0, 10**9])].shape == (2, 3)


def test_a_stream_is_cut_with_its_features():
    tokens = np.arange(14)
    for features in (Upsampled(FRAMES, 4, 14), Upsampled(FRAMES, 4, 14)[np.arange(14)]):
        cut = Stream("here", tokens, 3, features, 2).cut(6)
        assert (cut.origin, cut.label, cut.given) == ("here", 3, 2)
        assert cut.tokens.tolist() == list(range(6))
        assert cut.features is not None
        assert np.array_equal(cut.features[np.arange(6)], features[np.arange(6)])
        assert len(cut.features) == 6
    assert Stream("", tokens).cut(6).features is None


def test_tokens_are_kept_as_narrow_as_can_be():
    assert [token_dtype(values) for values in (2, 256, 257, 65536)] == [np.uint8, np.uint8, np.uint16, np.uint16]
