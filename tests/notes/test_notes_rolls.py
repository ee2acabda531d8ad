"""Rolls as notes: frames of one key that follow on each other are one note."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from seqgen_core.notes.rolls import held_notes, note_name

rolls = arrays.arrays(np.uint8, st.tuples(st.integers(0, 12), st.integers(1, 6)), elements=st.integers(0, 1))


def test_notes_by_hand():
    roll = np.array([[1, 0], [1, 1], [0, 1], [1, 1]])
    assert held_notes(roll).tolist() == [[0, 2, 0], [1, 4, 1], [3, 4, 0]]


@given(rolls)
def test_notes_make_the_roll_again_and_never_touch(roll):
    again = np.zeros_like(roll)
    for start, stop, key in held_notes(roll).tolist():
        assert not again[max(0, start - 1) : stop + 1, key].any()
        again[start:stop, key] = 1
    assert np.array_equal(again, roll)


@pytest.mark.parametrize(("number", "name"), [(60, "C4"), (21, "A0"), (108, "C8"), (61, "C#4"), (0, "C-1")])
def test_names_of_notes(number, name):
    assert note_name(number) == name
