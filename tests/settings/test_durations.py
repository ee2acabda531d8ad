"""Durations as people write them."""

import pytest
from pydantic import TypeAdapter, ValidationError

from seqgen_core.settings.durations import Duration, parse_duration
from seqgen_core.settings.train import TrainSettings

READ = TypeAdapter(Duration)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("1.5m", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("1H 30M", 5400),
        ("1d", 86400),
        ("1e3", 1000),
        (90, 90),
        (0.5, 0.5),
    ],
)
def test_seconds(text, seconds):
    assert READ.validate_python(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "10 minutes", "m", "1m2", "1x", "--3"])
def test_what_is_none(text):
    with pytest.raises(ValidationError, match="is no duration; write seconds or, for example"):
        READ.validate_python(text)


@pytest.mark.parametrize("text", ["-5", "0", "0s", "nan", "inf", "-inf"])
def test_a_limit_must_be_a_positive_number(text):
    with pytest.raises(ValidationError):
        TrainSettings(max_time=text)


def test_other_things_are_left_to_pydantic():
    assert parse_duration(None) is None
    assert parse_duration([1]) == [1]
