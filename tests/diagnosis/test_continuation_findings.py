"""Continuations that are louder than their primes are found; what helps against noise is told with a run's figures."""

import numpy as np
import pytest
import soundfile
from real_sound import MUSIC, RATE, SPEECH, only, prepared, real
from tiny import make_run

from seqgen_core.diagnosis.continuations import check_seams
from seqgen_core.diagnosis.remedies import against_noise
from seqgen_core.diagnosis.sheets import Drawn
from seqgen_core.settings.codec import AudioCodecSettings

CODEC = AudioCodecSettings(rate=RATE)


@pytest.fixture
def continued(tmp_path):
    """Writes a sheet of pairs of waveforms, primes and what follows; says what is found beside data, if any."""

    def check(pairs, data=None, starts=None):
        entries = []
        for number, (before, after) in enumerate(pairs):
            soundfile.write(tmp_path / f"{number}-prime.wav", before, RATE)
            soundfile.write(tmp_path / f"{number}.wav", after, RATE)
            files = {"prime": f"{number}-prime.wav", "continuation": f"{number}.wav"}
            start = number if starts is None else starts[number]
            entries.append({"files": files, "prime": {"origin": "a", "start": start}})
        return list(check_seams(tmp_path, entries, CODEC, data))

    return check


def test_louder_than_the_prime(shared_data, tmp_path, continued):
    waves = [real(shared_data / name, seconds=13) for name in (*SPEECH, *MUSIC)]
    data = prepared(tmp_path / "data", [wave[: 9 * RATE] for wave in waves])
    pairs = [(wave[9 * RATE : 11 * RATE], wave[11 * RATE :]) for wave in waves]
    (found,) = continued(pairs, data)
    assert (found.check, found.severity) == ("louder-than-prime", "healthy")
    louder = [(before, after * 10 ** (9 / 20)) for before, after in pairs]
    (raised,) = continued(louder, data)
    assert (raised.severity, raised.figures["primes"]) == ("warning", 5)
    assert raised.figures["rise"] == pytest.approx(found.figures["rise"] + 9, abs=0.5)
    gains = np.repeat([1, 0.5, 0.5, 1, 1], 2 * RATE)[: 9 * RATE]
    lively = prepared(tmp_path / "lively", [wave[: 9 * RATE] * gains for wave in waves])
    assert only(continued(louder, lively), "louder-than-prime").severity == "warning"
    (same,) = continued(louder, lively, starts=[0] * 5)
    assert same.severity == "healthy", "five clips of one prime tell as much as one"
    assert "than their prime;" in same.sentence
    assert continued([(before * 1e-4, after) for before, after in pairs], data) == []
    for decibels, severity in ((9, "healthy"), (20, "info")):
        (alone,) = continued([(before / 10, before / 10 * 10 ** (decibels / 20)) for before, _ in pairs])
        assert alone.severity == severity
    assert list(check_seams(tmp_path, [{"files": {"clip": "0.wav"}}, {}], CODEC, data)) == []


def test_what_to_do_about_noise(tmp_path):
    data = prepared(tmp_path / "data", [np.zeros(30 * RATE, np.float32)])
    run = make_run(tmp_path / "run", data)
    assert against_noise(run, data, Drawn()).startswith("Train longer: `seqgen train --resume ")
    for number in range(1, 5):
        run.log({"step": 500 * number, "kind": "train", "bits": 4.0, "elapsed": 60.0 * number})
        run.log({"step": 500 * number, "kind": "valid", "bits": 4.2 - 0.05 * number, "elapsed": 60.0 * number})
    advice = against_noise(run, data, Drawn())
    assert "It had 2,000 steps in 4 min and came to 4.00 held-out bits" in advice
    assert "by their course twice the steps come to 3.9" in advice
    assert advice.index("Train longer") < advice.index("Find more than 30 s of sound: papers use hours")
    assert "Meanwhile try --temperature 0.95." in advice
    run.log({"step": 2500, "kind": "train", "bits": 2.0, "elapsed": 300.0})
    advice = against_noise(run, None, Drawn(0.95))
    assert "on what it trains on it has 2.00, so more data help most" in advice
    assert "Meanwhile" not in advice
    assert against_noise(run, data, Drawn()).index("Find more") < against_noise(run, data, Drawn()).index(
        "Train longer"
    )
