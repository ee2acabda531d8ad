"""Real sound scores better than spoilt sound, measure by measure, as docs/quality.md has it."""

import numpy as np
import pytest
from spoilt import accuracies, measured, real_clips, spoilt

from seqgen_core.evaluation.fidelity.bootstrap import Bootstrap


@pytest.fixture(scope="module")
def found(shared_data):
    """Figures of each set of clips, by the measure's name."""
    real = real_clips(sorted((shared_data / "music" / "song").glob("*.flac")), 16000, 1.0, most=8)
    sets, others = spoilt(real.clips, real.rate), spoilt(real.other, real.rate)
    sure = Bootstrap(resamples=1)
    return {name: {m.name: m for m in measured(real, sets[name], others[name], sure)} for name in sets}


def values(found, measure):
    return {name: measures[measure].drawn.value for name, measures in found.items()}


def test_real_clips_in_place_of_drawn_ones_are_measured_alike(found):
    measure = found["real"]["Fréchet distance"]
    assert measure.drawn == measure.real
    assert found["silence"]["Fréchet distance"].real == measure.real


def test_the_frechet_distance_has_them_in_order(found):
    apart = values(found, "Fréchet distance")
    hardly, little = apart["real"], apart["crushed to 8 bits"]
    assert 0 < hardly < little
    rest = {name: value for name, value in apart.items() if name not in ("real", "crushed to 8 bits")}
    assert little < min(rest.values())
    assert max(rest, key=rest.__getitem__) == "silence"
    assert rest["samples shuffled"] < rest["uniform codes"]


def test_diversity_tells_repetition_and_noise(found):
    apart, alike = values(found, "diversity"), values(found, "near-identical pairs")
    assert apart["real"] == pytest.approx(1, abs=0.3)
    assert [apart["one clip again and again"], apart["silence"]] == pytest.approx([0, 0], abs=1e-6)
    assert alike["one clip again and again"] == alike["silence"] == 100
    assert alike["real"] == 0
    assert apart["white noise, same level"] < 0.6


def test_pitch_is_heard_in_real_sound_and_in_no_noise(found):
    heard = values(found, "frames with a pitch")
    assert heard["real"] > 10
    assert abs(heard["crushed to 8 bits"] - heard["real"]) < 5
    assert {heard[name] for name in ("samples shuffled", "white noise, same level", "uniform codes", "silence")} == {0}
    assert np.isnan(found["silence"]["median pitch"].drawn.value)
    moved = found["crushed to 8 bits"]["median pitch"].drawn.value - found["real"]["median pitch"].drawn.value
    assert abs(moved) < 100  # cents


def test_loudness_tells_silence_full_scale_and_flat_noise(found):
    loud, ranges = values(found, "loudness"), values(found, "loudness range")
    assert loud["silence"] == -70 < loud["real"] < loud["uniform codes"]
    assert loud["crushed to 8 bits"] == pytest.approx(loud["real"], abs=0.5)
    assert ranges["white noise, same level"] < 1 < ranges["real"]


def test_what_is_compared_with_the_truth_tells_noise_and_silence_by_the_log_mel_distance(found):
    apart, converged = values(found, "log-mel distance"), values(found, "spectral convergence")
    assert apart["real"] < apart["samples shuffled"] < apart["uniform codes"] < apart["silence"]
    assert converged["real"] < converged["uniform codes"]
    assert converged["silence"] == pytest.approx(1)  # less than most real excerpts have: why it does not stand alone


def test_the_classifier_knows_real_digits_and_no_noise(shared_data):
    heard = accuracies(shared_data / "speech" / "fsdd")
    assert heard["real"] > 85
    assert heard["real"] > heard["crushed to 8 bits"] > heard["crushed to 4 bits"]
    for noise in ("samples shuffled", "white noise, same level", "uniform codes", "silence"):
        assert heard[noise] <= 20
