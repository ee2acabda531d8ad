"""Fingerprints know a recording again at another gain, offset and quantisation, and nothing else."""

from itertools import combinations

import numpy as np
import pytest
from real_sound import MUSIC, SPEECH, real, resampled

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.diagnosis.fingerprint import LEAST_FRAMES, chance_errors, fingerprint, match
from seqgen_core.settings.codec import AudioCodecSettings


def tune(seed: int, rate: int = 8000, seconds: float = 3.0) -> np.ndarray:
    """Notes of random pitches."""
    rng, time = np.random.default_rng(seed), np.arange(rate // 5) / rate
    notes = [
        sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 6)) * np.exp(-5 * time)
        for hertz in rng.uniform(200, 900, round(seconds * 5))
    ]
    return 0.2 * np.concatenate(notes)


def test_threshold_is_that_of_the_paper_for_its_blocks():
    assert chance_errors(256) == pytest.approx(0.35, abs=0.001)
    assert chance_errors(LEAST_FRAMES) < chance_errors(64) < chance_errors(1024) < 0.5


def test_a_part_at_another_gain_is_known_again_with_its_place():
    whole = tune(0)
    found = match(fingerprint(whole, 8000), fingerprint(0.1 * whole[8000:], 8000))
    assert found is not None
    assert found.seconds == pytest.approx(1.0, abs=0.02)
    assert found.share > 0.9
    assert found.errors < 0.1


def test_other_sound_and_silence_are_not():
    prints = [fingerprint(tune(seed), 8000) for seed in range(5)]
    assert not any(match(a, b) for a, b in combinations(prints, 2))
    silence = fingerprint(np.zeros(24000), 8000)
    assert match(silence, silence) is None
    assert match(prints[0], silence) is None


def test_real_sound_through_rates_and_mu_law(shared_data):
    names = [*SPEECH, *MUSIC]
    waves = {name: real(shared_data / name, seconds=8) for name in names}
    prints = {name: fingerprint(wave, 16000) for name, wave in waves.items()}
    assert not any(match(prints[a], prints[b]) for a, b in combinations(names, 2))
    codec = AudioCodec(AudioCodecSettings(rate=11025))
    for name, wave in waves.items():
        other = resampled(0.3 * wave[5000:], 16000, 11025)
        found = match(prints[name], fingerprint(codec.decode(codec.encode(other)), 11025))
        assert found is not None, name
        assert found.seconds == pytest.approx(5000 / 16000, abs=0.02)


def test_digits_of_the_same_speaker_are_told_apart(shared_data):
    words = [real(path, 8000) for path in sorted((shared_data / "speech" / "fsdd").glob("*_jackson_*.wav"))[::2]]
    prints = [fingerprint(wave, 8000) for wave in words]
    assert not any(match(a, b) for a, b in combinations(prints, 2))
    known = [match(a, fingerprint(0.5 * wave, 8000)) for a, wave in zip(prints, words, strict=True)]
    assert sum(found is not None for found in known) > 0.9 * len(words)
