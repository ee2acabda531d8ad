"""Measures of samples: each against what is known of it by theory, by a standard, or by another way to compute it."""

import math

import numpy as np
import pytest
import scipy.linalg

from seqgen_core.errors import SeqgenError
from seqgen_core.evaluation.fidelity import loudness, pitch, spectra
from seqgen_core.evaluation.fidelity.bootstrap import Bootstrap
from seqgen_core.evaluation.fidelity.classifier import Classifier
from seqgen_core.evaluation.fidelity.diversity import distances, mean_distance, near_identical
from seqgen_core.evaluation.fidelity.embedding import PixelEmbedding, SoundEmbedding, sound_features
from seqgen_core.evaluation.fidelity.frechet import FrechetDistance, Normal, fitted
from seqgen_core.evaluation.fidelity.kinds import kind_of
from seqgen_core.evaluation.fidelity.rolls import keys_at_once, notes_per_second, pitch_classes
from seqgen_core.evaluation.fidelity.texts import Known, distinct, text_measures, total_variation
from seqgen_core.settings.codec import PixelsCodecSettings

QUICK = Bootstrap(resamples=20)


def tone(hertz, rate, seconds=1.0, amplitude=1.0):
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def by_name(measures):
    return {measure.name: measure for measure in measures}


# intervals


def test_the_interval_of_a_mean_is_as_wide_as_theory_has_it():
    values = np.random.default_rng(0).normal(5, 2, 200)
    found = Bootstrap(2000).mean(values)
    assert found.value == pytest.approx(values.mean())
    assert found.clips == 200
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(200), rel=0.1)
    assert found.low < found.value < found.high


def test_the_same_seed_gives_the_same_interval_and_undefined_clips_are_left_out():
    values = [1.0, 2.0, math.nan, 4.0]
    found = Bootstrap(50, seed=3).median(values)
    assert found == Bootstrap(50, seed=3).median([1.0, 2.0, 4.0])
    assert found.value == 2.0
    spread = np.random.default_rng(0).normal(size=30)
    assert Bootstrap(50, seed=3).mean(spread) != Bootstrap(50, seed=4).mean(spread)


def test_without_a_figure_there_is_no_interval_and_json_says_none():
    assert QUICK.mean([math.nan]).as_json() == {"value": None, "low": None, "high": None, "clips": 0}
    found = QUICK.estimate(lambda chosen: math.nan, 5)
    assert math.isnan(found.value)
    assert found.clips == 5


def test_an_interval_of_a_distance_is_moved_back_by_what_repeated_clips_add():
    rng = np.random.default_rng(0)
    distance = FrechetDistance(rng.normal(size=(400, 6)))
    clips = rng.normal(size=(30, 6))
    plain = Bootstrap(200).estimate(lambda chosen: distance(clips[chosen]), 30)
    moved = Bootstrap(200).estimate(lambda chosen: distance(clips[chosen]), 30, centred=True)
    assert moved.low < plain.low
    assert moved.low <= moved.value <= moved.high


# loudness


@pytest.mark.parametrize("rate", [4000, 8000, 16000, 44100, 48000])
def test_a_sine_of_997_hz_at_full_scale_is_as_loud_as_the_standard_says(rate):
    # ITU-R BS.1770-4, annex 1: -3.01 LKFS
    assert loudness.integrated_loudness(tone(997, rate, 2), rate) == pytest.approx(-3.01, abs=0.01)


def test_loudness_follows_the_gain_and_leaves_pauses_out():
    quiet = tone(997, 8000, 2, amplitude=0.1)
    assert loudness.integrated_loudness(quiet, 8000) == pytest.approx(-23.01, abs=0.01)
    with_pause = np.concatenate([quiet, np.zeros(16000)])
    assert loudness.integrated_loudness(with_pause, 8000) == pytest.approx(-23.01, abs=0.5)


def test_silence_is_at_the_gate_and_has_no_range():
    silence = np.zeros(8000)
    assert loudness.integrated_loudness(silence, 8000) == loudness.ABSOLUTE_GATE
    assert math.isnan(loudness.momentary_range(silence, 8000))


def test_the_range_spans_a_step_of_loudness():
    step = np.concatenate([tone(997, 8000, 4, 0.5), tone(997, 8000, 4, 0.25)])
    assert loudness.momentary_range(step, 8000) == pytest.approx(6.02, abs=0.1)


# pitch


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("hertz", [60.0, 220.3, 440.0])
def test_the_pitch_of_a_tone_with_overtones_is_found_within_ten_cents(rate, hertz):
    sound = sum(tone(hertz * k, rate, 0.3, 0.3 / k) for k in (1, 2, 3))
    heard = pitch.frame_pitches(sound, rate)
    assert np.isfinite(heard).all()
    assert np.abs(1200 * np.log2(heard / hertz)).max() < 10


def test_a_missing_fundamental_is_heard():
    sound = sum(tone(150 * k, 16000, 0.3, 0.2) for k in (2, 3, 4))
    assert np.median(pitch.frame_pitches(sound, 16000)) == pytest.approx(150, rel=0.01)


def test_noise_and_silence_have_no_pitch():
    noise = np.random.default_rng(0).normal(0, 0.1, 8000)
    assert pitch.voiced_share(pitch.frame_pitches(noise, 8000)) == 0
    assert pitch.voiced_share(pitch.frame_pitches(np.zeros(8000), 8000)) == 0
    assert math.isnan(pitch.median_cents([np.array([np.nan])], np.array([0])))


def test_the_vectorised_differences_are_those_of_the_paper():
    frames = np.random.default_rng(0).normal(size=(3, 60))
    difference, normalised = pitch._differences(frames, window=40, lags=15)
    for frame, d, dn in zip(frames, difference, normalised, strict=True):
        plain = [np.square(frame[:40] - frame[lag : lag + 40]).sum() for lag in range(16)]
        assert d == pytest.approx(plain, abs=1e-9)
        assert dn == pytest.approx([1] + [plain[t] * t / sum(plain[1 : t + 1]) for t in range(1, 16)])


def test_pitch_statistics_are_in_cents_of_the_frames_with_a_pitch():
    clips = [np.array([440.0, np.nan, 880.0]), np.array([220.0, np.nan])]
    assert pitch.median_cents(clips, np.array([0])) == pytest.approx(600)
    assert pitch.median_cents(clips, np.array([0, 1])) == pytest.approx(0)
    assert pitch.spread_cents(clips, np.array([0, 1])) == pytest.approx(1200)
    assert pitch.voiced_share(clips[0]) == pytest.approx(2 / 3)


# spectra


def test_spectra_compare_with_what_followed():
    rng = np.random.default_rng(0)
    truth, other = rng.normal(0, 0.1, (2, 4000))
    mel = spectra.mel_measure(8000)
    assert spectra.spectral_convergence(truth, truth, 8000) == 0
    assert spectra.spectral_convergence(truth, 0 * truth, 8000) == pytest.approx(1)
    assert spectra.spectral_convergence(truth, 3 * truth, 8000) == pytest.approx(2)
    assert math.isnan(spectra.spectral_convergence(0 * truth, truth, 8000))
    assert spectra.log_mel_distance(truth, truth / 2, mel) == pytest.approx(6.02, abs=0.01)
    assert spectra.log_mel_distance(truth, other, mel) > 3


@pytest.mark.parametrize("rate", [100, 1000, 192000])
def test_there_are_mel_bands_for_every_rate(rate):
    assert np.isfinite(spectra.decibels(tone(rate / 5, rate, 0.5), spectra.mel_measure(rate))).all()


# sets of clips


def test_the_frechet_distance_is_that_of_a_general_matrix_root():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(50, 4)), rng.normal(size=(60, 4)) @ rng.normal(size=(4, 4)) + 1
    one, two = fitted(first), fitted(second)
    root = scipy.linalg.sqrtm(one.covariance @ two.covariance)
    expected = np.square(one.mean - two.mean).sum() + np.trace(one.covariance + two.covariance - 2 * np.real(root))
    assert FrechetDistance(first)(second) == pytest.approx(expected)
    assert FrechetDistance(first)(first) == pytest.approx(0, abs=1e-9)


def test_between_normal_distributions_of_one_shape_it_is_the_squared_shift():
    distance = FrechetDistance(np.random.default_rng(0).normal(size=(40, 3)))
    own = distance._reference
    assert distance.between(Normal(own.mean + 2, own.covariance)) == pytest.approx(12)


def test_the_covariance_of_few_vectors_is_shrunk_as_ledoit_and_wolf_have_it():
    vectors = np.random.default_rng(0).normal(size=(12, 5)) * [1, 2, 3, 4, 5]
    apart = vectors - vectors.mean(axis=0)
    sample = sum(np.outer(x, x) for x in apart) / 12
    level = np.trace(sample) / 5
    distance = np.square(sample - level * np.eye(5)).sum()
    noise = sum(np.square(np.outer(x, x) - sample).sum() for x in apart) / 12**2
    weight = min(noise, distance) / distance
    assert 0.05 < weight < 0.95
    assert fitted(vectors).covariance == pytest.approx(weight * level * np.eye(5) + (1 - weight) * sample)
    assert (fitted(vectors[:1]).covariance == 0).all()


def test_diversity_counts_pairs_of_different_clips():
    between = distances(np.array([[0.0, 0], [3, 4], [0, 0.1]]))
    assert between == pytest.approx(between.T)
    assert between[0, 1] == pytest.approx(5)
    assert mean_distance(between) == pytest.approx((5 + 0.1 + math.hypot(3, 3.9)) / 3)
    assert mean_distance(between, np.array([0, 0, 1])) == pytest.approx(5)  # a clip beside itself is no pair
    assert near_identical(between, real=5.0) == pytest.approx(1 / 3)
    assert math.isnan(mean_distance(between, np.array([1, 1])))


def test_sound_is_embedded_by_half_seconds_and_shorter_sound_as_a_whole():
    embedding = SoundEmbedding(8000)
    assert embedding.windows(tone(440, 8000, 1.7)).shape == (3, 60)
    assert embedding.windows(tone(440, 8000, 0.2)).shape == (1, 60)
    assert np.isfinite(embedding.windows(np.zeros(1))).all()


@pytest.mark.parametrize("count", [5, 40])
def test_principal_components_are_those_of_the_training_images(count):
    images = np.random.default_rng(0).random((count, 6))
    _, values, axes = np.linalg.svd(images - images.mean(axis=0))
    found = PixelEmbedding(images, 4).first(2)(images)
    assert np.abs(found) == pytest.approx(np.abs((images - images.mean(axis=0)) @ axes[:2].T))
    assert np.linalg.norm(found, axis=0) == pytest.approx(values[:2])


def test_a_half_drawn_image_is_refused():
    codec = PixelsCodecSettings(height=2, width=2, levels=4)
    kind = kind_of(codec, [np.array([1, 2, 3, 0])] * 3)
    with pytest.raises(SeqgenError, match="2 intensities is no whole image"):
        kind.features([np.array([1, 2])])


# the classifier


def test_the_classifier_learns_real_labels_and_repeats_itself():
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    clips = [tone(300 * (label + 1) * rng.uniform(0.95, 1.05), 4000, 0.2, 0.3) for label in labels]
    features = sound_features(clips, 4000)
    classifier = Classifier(features[:60], labels[:60], 3)
    assert (classifier.predict(features[60:]) == labels[60:]).mean() > 0.9
    again = Classifier(features[:60], labels[:60], 3)
    assert (again.predict(features) == classifier.predict(features)).all()


def test_features_of_sound_do_not_hang_on_its_level_or_on_quiet_ends():
    sound = tone(500, 4000, 0.3, 0.5)
    padded = np.concatenate([np.zeros(800), sound / 4, np.zeros(800)])
    first, second = sound_features([sound, padded], 4000)
    assert np.abs(first[:-1] - second[:-1]).mean() < 3  # dB
    assert second[-1] == pytest.approx(first[-1], abs=0.04)  # s
    assert np.isfinite(sound_features([np.zeros(400)], 4000)).all()


# texts


def test_texts_are_measured_by_their_words():
    known = Known.of(["the cat sat on the mat and the dog"])
    real = ["a the cat sat on the mat b"] * 4
    found = by_name(
        text_measures(["a the cat zzz the cat b"] * 2, real[:2], real[2:], known, QUICK, open_vocabulary=True)
    )
    assert found["words from training"].drawn.value == pytest.approx(80)
    assert found["words from training"].real.value == 100
    assert found["distinct-1"].drawn.value == pytest.approx(60)
    assert found["distinct-2"].drawn.value == pytest.approx(75)
    assert found["5 words as in training"].drawn.value == 0
    assert found["5 words as in training"].real.value == 100
    assert found["character histogram"].real.value == 0
    assert found["character histogram"].drawn.value > 0


def test_a_closed_vocabulary_has_no_unknown_words_to_count():
    found = text_measures(["a b c d"], ["a b c e"], ["a b c e"], Known.of(["a b"]), QUICK, open_vocabulary=False)
    assert by_name(found)["word histogram"].drawn.value == pytest.approx(25)
    assert "words from training" not in by_name(found)


def test_histograms_and_sequences_by_hand():
    assert total_variation(np.array([1.0, 3]), np.array([2.0, 2])) == pytest.approx(0.25)
    assert math.isnan(total_variation(np.zeros(2), np.ones(2)))
    assert distinct(["a", "b", "a", "b"], 2) == pytest.approx(200 / 3)
    assert math.isnan(distinct([], 1))


# notes


def test_rolls_are_measured_by_their_notes():
    roll = np.zeros((8, 24), np.uint8)
    roll[:4, 0] = roll[2:8, 4] = roll[6:, 12] = 1
    assert pitch_classes(roll, lowest=21) == pytest.approx([0, 6, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0])
    assert notes_per_second(roll, rate=4.0) == pytest.approx(1.5)
    assert keys_at_once(roll) == pytest.approx(12 / 8)
