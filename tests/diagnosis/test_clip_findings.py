"""Clips with what models get wrong are found; stretches of real sound, taken as clips, raise no alarm."""

import json

import numpy as np
import pytest
import soundfile
from real_sound import MUSIC, RATE, SPEECH, alarms, only, prepared, real

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.data.store import PreparedData
from seqgen_core.data.writer import PreparedWriter
from seqgen_core.diagnosis import sound
from seqgen_core.diagnosis.clips import check_clip, gathered
from seqgen_core.diagnosis.diagnose import diagnose_clips
from seqgen_core.diagnosis.measures import real_measures
from seqgen_core.diagnosis.rolls_and_images import check_entries
from seqgen_core.diagnosis.sheets import Drawn, run_of_clips
from seqgen_core.diagnosis.temperature import better_temperature, check_temperature
from seqgen_core.diagnosis.texts import check_text_clip, final_loop, repeated_share
from seqgen_core.errors import UsageError
from seqgen_core.settings.codec import AudioCodecSettings, NotesCodecSettings

SECONDS = 2
CODEC = AudioCodec(AudioCodecSettings(rate=RATE))


@pytest.fixture(scope="module")
def beside(shared_data, tmp_path_factory):
    """What real speech and music measure, in pieces as long as the clips; the rest of each is for clips."""
    waves = [real(shared_data / name, seconds=13)[: 9 * RATE] for name in (*SPEECH, *MUSIC)]
    return real_measures(prepared(tmp_path_factory.mktemp("real") / "data", waves), SECONDS)


def findings(wave, beside=None):
    return list(check_clip(CODEC.decode(CODEC.encode(wave)), RATE, "clip.wav", beside))


def stretches(shared_data):
    for name in (*SPEECH, *MUSIC):
        wave = real(shared_data / name, seconds=13)
        yield from (wave[start : start + SECONDS * RATE] for start in (9 * RATE, 11 * RATE))


def test_real_stretches_raise_no_alarm(shared_data, beside):
    for wave in stretches(shared_data):
        assert alarms(findings(wave, beside)) == {}
        assert alarms(findings(wave)) == {}


def test_single_sounds_raise_no_alarm(shared_data):
    files = [*(shared_data / "music" / "instruments").iterdir(), *(shared_data / "speech" / "fsdd").glob("*_25.wav")]
    for file in [*files, shared_data / "music" / "piano" / "piano.wav"]:
        wave, rate = soundfile.read(file)
        assert alarms(check_clip(wave[: 6 * rate], rate, file)) == {}, file


def test_silence_trap(shared_data, beside):
    wave = next(stretches(shared_data)).copy()
    wave[RATE // 2 :] = 0.0
    found = only(findings(wave, beside), "silence-trap")
    assert (found.severity, found.figures["share"]) == ("severe", pytest.approx(0.75, abs=0.02))
    stuck = wave.copy()
    stuck[RATE:] = 0.4
    stuck[:RATE] = next(stretches(shared_data))[:RATE]
    assert only(findings(stuck, beside), "silence-trap").severity == "warning"
    assert only(findings(stuck), "silence-trap").severity == "warning"
    hiss = stuck.copy()
    hiss[RATE:] = np.random.default_rng(0).normal(0, 2e-4, RATE)
    assert only(findings(hiss, beside), "silence-trap").severity == "warning"


def test_constant_tone(shared_data, beside):
    time = np.arange(SECONDS * RATE) / RATE
    wave = next(stretches(shared_data)).copy()
    wave[RATE // 2 :] = 0.3 * np.sin(2 * np.pi * 330 * time[RATE // 2 :])
    assert only(findings(wave, beside), "constant-tone").severity == "warning"
    assert only(findings(wave), "constant-tone").severity == "info"


def test_noise_runaway(shared_data, beside):
    wave = next(stretches(shared_data))
    rising = wave + np.random.default_rng(0).normal(0, 0.2, len(wave)) * np.linspace(0, 1, len(wave))
    found = only(findings(rising, beside), "noise-runaway")
    assert found.severity in ("warning", "severe")
    assert "--temperature" in found.advice
    noise = np.random.default_rng(0).normal(0, 0.1, len(wave))
    assert only(findings(noise, beside), "noise-runaway").severity == "severe"
    assert only(findings(noise), "noise-runaway").severity == "severe"


def coloured_noise(wave, rng):
    """Gaussian noise of the same level and spectrum, as seen with lines 250 Hz apart."""
    _, power = sound.mean_spectrum(wave, RATE, 64)
    noise = np.convolve(rng.normal(size=len(wave)), np.fft.fftshift(np.fft.irfft(np.sqrt(power))), "same")
    return noise * wave.std() / noise.std()


def test_noise_of_the_right_colour(shared_data, beside):
    rng = np.random.default_rng(0)
    for wave in stretches(shared_data):
        assert only(findings(wave, beside), "no-pitch").severity == "healthy"
        pieces = wave.reshape(-1, RATE // 200)
        for noise in (coloured_noise(wave, rng), rng.permutation(pieces).ravel()):
            found = findings(noise, beside)
            assert only(found, "no-pitch").severity == "warning"
            assert only(found, "noise-runaway").severity == "healthy", "by its colour it is music"
    found = only(findings(noise), "no-pitch")
    assert (found.severity, "noise of any colour: about 2.2" in found.sentence) == ("info", True)
    pause = 0.05 * coloured_noise(wave, rng)
    assert only(findings(pause, beside), "no-pitch").severity == "healthy", "as quiet as pauses between words"
    assert only(findings(wave[: RATE // 10], beside), "no-pitch").severity == "healthy"


def test_sound_that_is_noise_may_be_drawn_as_noise(tmp_path):
    rain = np.random.default_rng(0).normal(0, 0.1, (2, 8 * RATE))
    beside = real_measures(prepared(tmp_path / "rain", [rain[0]]), SECONDS)
    assert beside.tonality == pytest.approx(sound.NOISE_DB, abs=0.1)
    assert only(findings(rain[1][: SECONDS * RATE], beside), "no-pitch").severity == "healthy"


def test_repeated_loop(shared_data, beside):
    for wave in stretches(shared_data):
        loop = np.tile(wave[: RATE // 5], 5 * SECONDS)
        if np.var(loop) < 1e-4:
            continue
        found = only(findings(loop, beside), "repeated-loop")
        assert (found.severity, found.figures["seconds"]) == ("severe", pytest.approx(0.2, abs=1e-3))
    near = loop + np.random.default_rng(0).normal(0, 0.05 * loop.std(), len(loop))
    assert only(findings(near), "repeated-loop").severity == "warning"


def test_loops_that_are_long_or_late(shared_data, beside):
    wave = real(shared_data / MUSIC[1], seconds=13)[: 4 * RATE]
    for loop, seconds, of in (
        (np.tile(wave[: round(1.3 * RATE)], 4)[: 4 * RATE], 1.3, "whole"),
        (np.concatenate([wave[: round(2.6 * RATE)], np.tile(wave[: RATE // 4], 6)])[: 4 * RATE], 0.25, "last quarter"),
    ):
        found = only(findings(loop, beside), "repeated-loop")
        assert (found.severity, found.figures["seconds"]) == ("severe", pytest.approx(seconds, abs=1e-3))
        assert f"its {of} repeats itself" in found.sentence


def test_what_can_hardly_be_heard(shared_data, beside):
    for wave in stretches(shared_data):
        for known in (beside, None):
            found = alarms(check_clip(wave * 10 ** (-42 / 20), RATE, "clip.wav", known))
            assert found.keys() & {"loudness", "silence-trap"}
    click = np.zeros(len(wave))
    click[-RATE // 10 :] = wave[: RATE // 10]
    found = only(check_clip(click, RATE, "clip.wav"), "loudness")
    assert (found.severity, "95% of it silent" in found.sentence) == ("warning", True)


def test_clipped_and_too_quiet(shared_data, beside):
    wave = list(stretches(shared_data))[5]
    cut = np.clip(4 * wave / np.abs(wave).max(), -1, 1) * 0.7
    assert only(findings(cut, beside), "clipped-samples").severity == "warning"
    assert only(findings(wave * 10 ** (-25 / 20), beside), "loudness").severity == "warning"
    assert only(findings(wave, beside), "loudness").severity == "healthy"


def test_an_offset(shared_data, beside):
    wave = list(stretches(shared_data))[5]
    found = only(findings(wave + 0.06, beside), "clip-offset")
    assert (found.severity, found.figures["mean"]) == ("warning", pytest.approx(0.06, abs=0.005))
    whale, rate = soundfile.read(shared_data / "formats" / "bad" / "dc_offset_whale.wav")
    assert alarms(check_clip(whale, rate, "whale.wav")).keys() == {"clip-offset"}
    (found,) = check_clip(wave[:3], RATE, "short.wav")
    assert (found.check, found.severity) == ("clip-unreadable", "warning")


def test_findings_of_clips_are_gathered_by_check(shared_data):
    good, bad = next(stretches(shared_data)), np.random.default_rng(0).normal(0, 0.1, RATE)
    every = [finding for wave in (good, good, bad) for finding in findings(wave)]
    found = only(gathered(every, "clips", 3), "noise-runaway")
    assert found.sentence.startswith("1 of 3 clips, such as clip.wav: ")
    assert only(gathered(every, "clips", 3), "silence-trap").sentence.startswith("no clip of 3")


def test_a_folder_of_sounds_without_a_sheet(shared_data, tmp_path):
    with pytest.raises(UsageError, match="holds no clips"):
        diagnose_clips(tmp_path, None, None)
    for number, wave in enumerate(stretches(shared_data)):
        soundfile.write(tmp_path / f"{number}.wav", wave, RATE)
    assert alarms(diagnose_clips(tmp_path, None, None)) == {}
    (tmp_path / "no.wav").write_bytes(b"no sound")
    assert alarms(diagnose_clips(tmp_path, None, None)).keys() == {"clip-unreadable"}


def test_a_sheet_says_what_was_drawn(shared_data, tmp_path):
    wave = next(stretches(shared_data))
    soundfile.write(tmp_path / "a-prime.wav", np.zeros(RATE), RATE)
    soundfile.write(tmp_path / "a-continuation.wav", wave, RATE)
    files = {"prime": "a-prime.wav", "continuation": "a-continuation.wav"}
    (tmp_path / "sheet.json").write_text(json.dumps({"clips": [{"files": files}], "run": "gone"}))
    assert run_of_clips(tmp_path) is None
    found = diagnose_clips(tmp_path, None, None)
    assert alarms(found) == {}
    assert only(found, "silence-trap").severity == "healthy", "the silent prime was not drawn"


def test_empty_rolls_and_blank_images(shared_data, tmp_path):
    from seqgen_core.notes.mat import read_mat

    with PreparedWriter(tmp_path, NotesCodecSettings()) as writer:
        for roll in read_mat(shared_data / "symbolic" / "JSB_Chorales.mat")["train"]:
            writer.add(roll, origin="a chorale", split="train")
        writer.finish()
    data = PreparedData.open(tmp_path)
    for keys, severity in (
        ([3.8, 3.9], "healthy"),
        ([3.8, 0.0], "severe"),
        ([0.2, 0.3], "warning"),
        ([40.0], "warning"),
    ):
        (found,) = check_entries([{"keys_per_frame": count} for count in keys], data, "clips")
        assert (found.check, found.severity) == ("empty-clips", severity)
        assert "training rolls have 3.9 keys per frame" in found.sentence
    for contrast, severity in ((0.4, "healthy"), (0.0, "severe")):
        (found,) = check_entries([{"contrast": contrast}], None, "clips")
        assert found.severity == severity
    assert list(check_entries([{"seconds": 2.0}], None, "clips")) == []


@pytest.mark.parametrize(
    ("bits", "temperature", "severity", "low", "high"),
    [
        (5.2, 1.0, "healthy", 0.9, 1.1),
        (2.84, 0.5, "warning", 0.85, 1.0),  # measured on music, as are the next three
        (6.98, 1.5, "warning", 0.9, 1.0),
        (3.75, 0.9, "warning", 0.94, 0.96),
        (1.70, 0.0, "warning", 0.9, 1.0),
        (0.9, 0.0, "severe", 0.9, 1.0),
        (2.0, 1.0, "warning", 1.05, 1.2),
        (9.0, 1.0, "severe", 0.7, 0.8),
    ],
)
def test_temperature(bits, temperature, severity, low, high):
    (found,) = check_temperature([bits, bits], 5.39, Drawn(temperature), "clips")
    assert found.severity == severity
    assert low <= better_temperature(temperature, bits / 5.39) <= high
    assert severity == "healthy" or f"--temperature {found.figures['advised']:g}" in found.advice


def test_text_loops(shared_data, tmp_path):
    play = (shared_data / "text" / "tinyshakespeare.txt").read_text()
    for start in range(0, 200_000, 20_000):
        (found,) = check_text_clip(play[start : start + 2000], "a.txt")
        assert found.severity == "healthy"
    assert final_loop("abc" + "the king " * 10) == (9, 90)
    assert final_loop(play[:500])[1] < 10
    (found,) = check_text_clip(play[:100] + "the king of the king of " * 40, "a.txt")
    assert found.severity == "severe"
    (found,) = check_text_clip(play[:300] + "and so \n" * 10, "a.txt")
    assert found.severity == "warning"
    (found,) = check_text_clip((play[:200] + "x") * 4 + play[500:600], "a.txt")
    assert (found.severity, repeated_share(play[:2000]) < 0.1) == ("warning", True)
    (tmp_path / "a.txt").write_text("so so so " * 50)
    assert only(diagnose_clips(tmp_path, None, None), "text-loop").severity == "severe"


def test_silence_is_no_loop(tmp_path):
    wave = np.zeros(4000)
    wave[:40] = np.random.default_rng(0).normal(0, 0.3, 40)  # what a clip did before it was trapped
    found = {one.check for one in check_clip(wave, 1000, tmp_path) if one.alarming}
    assert "silence-trap" in found
    assert "repeated-loop" not in found
