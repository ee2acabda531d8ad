"""A file that a run cannot well continue is told from one that it can."""

import numpy as np
import pytest
import soundfile
from real_sound import MUSIC, RATE, alarms, only, prepared, real
from tiny import make_images, make_run

from seqgen_core.diagnosis.primes import check_prime


@pytest.fixture(scope="module")
def trained(shared_data, tmp_path_factory):
    """Data of real music, and a run on them (never trained)."""
    folder = tmp_path_factory.mktemp("primes")
    waves = [real(shared_data / name, seconds=20)[: 15 * RATE] for name in MUSIC]
    data = prepared(folder / "data", waves)
    return make_run(folder / "run", data, "wavenet"), data


def checked(path, wave, trained, rate=RATE):
    soundfile.write(path / "prime.wav", wave, rate)
    return list(check_prime(path / "prime.wav", *trained))


def test_real_music_raises_no_alarm(shared_data, trained, tmp_path):
    for name in MUSIC:
        assert alarms(checked(tmp_path, real(shared_data / name, seconds=20)[15 * RATE :], trained)) == {}


def test_faults(shared_data, trained, tmp_path):
    wave = real(shared_data / MUSIC[1], seconds=20)[15 * RATE :]
    slow = checked(tmp_path, wave[::2], trained, RATE // 2)
    assert only(slow, "prime-rate").severity == "warning"
    assert only(checked(tmp_path, wave * 0, trained), "prime-silent").severity == "severe"
    ending = np.concatenate([wave, np.zeros(RATE)])
    assert only(checked(tmp_path, ending, trained), "prime-silent").severity == "warning"
    cut = np.clip(4 * wave / np.abs(wave).max(), -1, 1)
    assert only(checked(tmp_path, cut, trained), "prime-clipped").severity == "warning"
    assert only(checked(tmp_path, wave * 0.02, trained), "prime-level").severity == "warning"
    noise = np.random.default_rng(0).normal(0, 0.1, len(wave))
    assert only(checked(tmp_path, noise, trained), "prime-spectrum").severity == "warning"
    (tmp_path / "prime.wav").write_bytes(b"no sound")
    assert only(check_prime(tmp_path / "prime.wav", *trained), "prime-unreadable").severity == "severe"


def test_files_of_another_kind(tmp_path):
    data = make_images(tmp_path / "images")
    run = make_run(tmp_path / "run", data, "pixelcnn")
    (tmp_path / "a.png").write_text("no image")
    assert only(check_prime(tmp_path / "a.png", run, data), "prime-unreadable").severity == "severe"
