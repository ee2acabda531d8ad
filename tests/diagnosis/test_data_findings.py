"""Every fault planted in real sound is found, and real sound without one raises no alarm."""

import json

import numpy as np
import pytest
import soundfile
from real_sound import MUSIC, RATE, SPEECH, alarms, only, prepared, real, resampled
from tiny import make_data, make_images

from seqgen_core.data.store import MANIFEST, PreparedData, Rejected
from seqgen_core.data.writer import PreparedWriter
from seqgen_core.diagnosis.any_data import check_any_data
from seqgen_core.diagnosis.diagnose import diagnose_data
from seqgen_core.diagnosis.pieces import pieces, raw_file
from seqgen_core.settings.codec import (
    AudioCodecSettings,
    NotesCodecSettings,
    PixelsCodecSettings,
    TextCodecSettings,
)

SECOND = RATE


@pytest.fixture
def speech(shared_data):
    """Two readers, 12 s each."""
    return [real(shared_data / name, seconds=12) for name in SPEECH]


@pytest.fixture
def music(shared_data):
    return [real(shared_data / name, seconds=12) for name in MUSIC]


def looked_at(path, train, **options):
    """Findings of data whose held-out splits are stretches of the same sound that training lacks."""
    held_out = [wave[-2 * SECOND :] for wave in train]
    kept = [wave[: -2 * SECOND] for wave in train]
    return diagnose_data(prepared(path, kept, held_out[:1], held_out[-1:], **options))


@pytest.mark.parametrize("raw", [False, True], ids=["tokens", "raw files"])
def test_real_sound_raises_no_alarm(shared_data, tmp_path, raw):
    groups = {
        "librispeech": sorted((shared_data / "speech" / "librispeech").iterdir()),
        "fsdd": sorted((shared_data / "speech" / "fsdd").iterdir()),
        **{name: sorted((shared_data / "music" / name).iterdir()) for name in ("strings", "song", "produced")},
        "instruments": sorted((shared_data / "music" / "instruments").iterdir()),
    }
    for name, files in groups.items():
        rate = 8000 if name == "fsdd" else RATE
        waves = [real(file, rate, 20) for file in files]
        cut = [round(0.9 * len(wave)) for wave in waves]
        if len(files) > 20:  # whole words are held out, as preprocessing does
            train, valid, test = waves[::2], waves[1::4], waves[3::4]
            origins = files[::2]
        else:
            train = [wave[:end] for wave, end in zip(waves, cut, strict=True)]
            valid = test = [wave[end:] for wave, end in zip(waves, cut, strict=True)]
            valid, test, origins = valid[:1], test[-1:], files
        if len(files) == 1:
            valid, test = [waves[0][cut[0] : -SECOND]], [waves[0][-SECOND:]]
        elif name == "instruments":
            ends = [wave[end:] for wave, end in zip(waves, cut, strict=True)]
            valid, test = ends[:7], ends[7:]  # its sounds are short
        codec = AudioCodecSettings(rate=rate)
        data = prepared(tmp_path / name, train, valid, test, codec=codec, origins=origins if raw else ())
        found = diagnose_data(data)
        assert alarms(found) == {}, name
        assert only(found, "codec-noise").figures["decibels"] == pytest.approx(37.7, abs=1)


def test_silence(speech, tmp_path):
    quiet = [np.concatenate([wave, np.zeros(len(wave) * 2, np.float32)]) for wave in speech]
    found = only(looked_at(tmp_path / "half", quiet), "silence")
    assert found.severity == "warning"
    assert 0.6 < found.figures["share"] < 0.8
    assert "trim_silence" in found.advice
    most = [np.concatenate([wave[:SECOND], np.zeros(len(wave), np.float32), wave[:SECOND]]) for wave in speech]
    assert only(looked_at(tmp_path / "most", most), "silence").severity == "severe"


@pytest.mark.parametrize("raw", [False, True], ids=["tokens", "raw files"])
def test_clipping(music, speech, tmp_path, raw):
    waves = [np.clip(3 * wave / np.abs(wave).max(), -1, 1) * 0.6 for wave in [*music, speech[0]]]
    origins = []
    for number, wave in enumerate(waves if raw else []):
        soundfile.write(tmp_path / f"{number}.wav", wave, RATE, subtype="PCM_16")
        origins.append(tmp_path / f"{number}.wav")
    found = only(looked_at(tmp_path / "data", waves, origins=origins), "clipping")
    assert found.severity == "severe"
    assert found.figures["recordings"] >= 3
    assert "cut off" in found.sentence


def test_one_clipped_recording_among_good_ones(music, speech, shared_data, tmp_path):
    clipped = real(shared_data / "formats" / "bad" / "clipped.wav")
    good = [wave for wave in (*music, *speech)]
    found = only(looked_at(tmp_path / "a", [*good, *good[:2], np.tile(clipped, 2)]), "clipping")
    assert found.severity in ("warning", "severe")
    assert found.figures["recordings"] == 1


def test_offset(speech, shared_data, tmp_path):
    found = only(looked_at(tmp_path / "some", [speech[0], speech[1] + 0.04]), "offset")
    assert (found.severity, found.figures["worst"]) == ("warning", pytest.approx(0.04, abs=0.002))
    whale = real(shared_data / "formats" / "bad" / "dc_offset_whale.wav")
    found = looked_at(tmp_path / "whale", [np.tile(whale, 2)])
    assert only(found, "offset").severity == "severe"
    assert only(found, "codec-noise").severity == "warning", "mu-law is coarse out there"


def test_files_of_a_lower_rate(shared_data, tmp_path):
    words = sorted((shared_data / "speech" / "fsdd").glob("*_jackson_*.wav"))[:12]
    data = prepared(tmp_path / "a", [real(word) for word in words], origins=words)
    found = only(diagnose_data(data), "band-limit")
    assert found.severity == "warning"
    assert found.figures["file_rate"] == 8000
    assert "--rate 8000" in found.advice


def test_up_sampled_before_it_came(music, speech, tmp_path):
    narrow = [resampled(resampled(wave, RATE, 8000), 8000, RATE) for wave in (*music, *speech)]
    origins = []
    for number, wave in enumerate(narrow):
        soundfile.write(tmp_path / f"{number}.wav", wave, RATE, subtype="PCM_16")
        origins.append(tmp_path / f"{number}.wav")
    found = only(looked_at(tmp_path / "raw", narrow, origins=origins), "band-limit")
    assert found.severity == "warning"
    assert found.figures["hertz"] == pytest.approx(4000, rel=0.08)
    assert "--rate 8000" in found.advice
    told = only(looked_at(tmp_path / "tokens", narrow), "band-limit")
    assert told.severity == "warning"
    assert told.figures["hertz"] == pytest.approx(4000, rel=0.08)


def test_mp3_s_low_pass(shared_data, tmp_path):
    file = shared_data / "formats" / "clip_44k_stereo.mp3"
    wave = real(file, 44100)
    found = only(looked_at(tmp_path / "a", [wave], codec=AudioCodecSettings(rate=44100), origins=[file]), "band-limit")
    assert found.figures["hertz"] == pytest.approx(16000, rel=0.05)
    assert found.severity == "warning"


def test_too_quiet(speech, tmp_path):
    found = only(looked_at(tmp_path / "a", [wave * 0.005 for wave in speech]), "level")
    assert found.severity == "severe"
    assert "normalise=rms" in found.advice


@pytest.mark.parametrize("raw", [False, True], ids=["tokens", "raw files"])
def test_noise_of_the_codec(shared_data, speech, tmp_path, raw):
    files = [shared_data / name for name in SPEECH] if raw else []
    codec = AudioCodecSettings(kind="linear", levels=64, rate=RATE)
    found = only(looked_at(tmp_path / "linear", speech, codec=codec, origins=files), "codec-noise")
    assert found.severity in ("warning", "severe")
    assert ("raw files" in found.sentence) == raw
    plain = only(looked_at(tmp_path / "law", speech, origins=files), "codec-noise")
    assert plain.severity == "healthy"
    assert plain.figures["decibels"] == pytest.approx(37.7, abs=1)
    scaled = AudioCodecSettings(kind="samplernn-linear", rate=RATE)
    assert "rescales" in only(looked_at(tmp_path / "scaled", speech, codec=scaled), "codec-noise").sentence


def test_trimming(speech, tmp_path):
    found = only(looked_at(tmp_path / "a", speech, silence_dropped_seconds=100), "trimming")
    assert (found.severity, found.figures["seconds"]) == ("warning", 100)


def test_copies_between_splits(music, speech, tmp_path):
    sounds = [wave[: 6 * SECOND] for wave in (*music, *speech)]
    exact = diagnose_data(
        prepared(tmp_path / "exact", sounds, sounds[:1], [real_wave[-2 * SECOND :] for real_wave in speech])
    )
    found = only(exact, "copies-across-splits")
    assert (found.severity, found.figures["recordings"]) == ("severe", 1)
    assert "valid 0, which is train 0 (equal tokens)" in found.sentence
    near = diagnose_data(prepared(tmp_path / "near", sounds, [0.4 * sounds[3][7000:]], [speech[1][-2 * SECOND :]]))
    found = only(near, "copies-across-splits")
    assert found.figures["recordings"] == 1
    assert "valid 0, which is train 3" in found.sentence
    assert "s apart" in found.sentence


def test_copies_within(speech, tmp_path):
    found = only(looked_at(tmp_path / "a", [speech[0], speech[0], speech[1]]), "copies-within")
    assert (found.severity, found.figures["copies"]) == ("warning", 1)


def test_too_little_and_nothing_held_out(speech, tmp_path):
    found = diagnose_data(prepared(tmp_path / "a", [speech[0][: 5 * SECOND]]))
    assert only(found, "amount").severity == "warning"
    assert only(found, "splits").severity == "warning"
    some = only(diagnose_data(prepared(tmp_path / "d", [speech[0]])), "amount")
    assert (some.severity, some.advice) == ("info", "")
    assert "12 s of sound to train on; a model soon knows it by heart, and papers use hours" in some.sentence
    tiny = diagnose_data(prepared(tmp_path / "b", [speech[0][:SECOND]]))
    assert only(tiny, "amount").severity == "severe"
    none = diagnose_data(prepared(tmp_path / "c", [], [speech[0]]))
    assert only(none, "splits").severity == "severe"


@pytest.mark.parametrize(
    ("held", "severity", "words"),
    [
        ((3800, 60_000), "warning", "the valid split is one recording of 3.8 s: figures on it say little"),
        ((9000, 60_000), "info", "the valid split is one recording of 9.0 s: figures on it say little"),
        ((60_000, 60_000), "healthy", "shares of the splits"),
    ],
)
def test_little_held_out(tmp_path, held, severity, words):
    halves = [(length // 2, length // 2) for length in held]
    lengths = {"train": (150_000, 150_000), "valid": held[:1] if held[0] < 60_000 else halves[0], "test": halves[1]}
    found = next(one for one in check_any_data(make_data(tmp_path, lengths=lengths)) if one.check == "splits")
    assert (found.severity, words in found.sentence) == (severity, True)
    assert ("--test-share" in found.advice) == (severity != "healthy")


def test_a_constant_has_no_entropy(tmp_path):
    found = diagnose_data(prepared(tmp_path / "a", [np.zeros(20 * SECOND)], [np.zeros(SECOND)], [np.zeros(SECOND)]))
    assert only(found, "entropy").severity == "severe"
    assert only(found, "silence").severity == "severe"


def test_labels(tmp_path):
    lengths = {"train": (900,) * 12, "valid": (300,), "test": (300,)}
    even = make_data(tmp_path / "even", labels=2, lengths=lengths)
    assert only(diagnose_data(even), "labels").severity == "healthy"
    poor = make_data(tmp_path / "poor", labels=4, lengths=lengths)
    assert only(diagnose_data(poor), "labels").severity == "warning"
    missing = make_data(tmp_path / "missing", labels=20, lengths=lengths)
    found = only(diagnose_data(missing), "labels")
    assert (found.severity, found.figures["fewest"]) == ("severe", 0)


def test_files_set_aside(speech, tmp_path):
    rejected = [Rejected(origin=f"bad{n}.wav", reason="it is empty") for n in range(3)]
    found = only(looked_at(tmp_path / "a", speech, rejected=rejected), "set-aside")
    assert (found.severity, found.figures["share"]) == ("warning", pytest.approx(3 / 7))
    assert "bad0.wav" in found.sentence


def text_data(path, train, held_out, words=False):
    symbols = sorted({s for text in (train, held_out) for s in (text.split() if words else text)})
    codec = TextCodecSettings(kind="words" if words else "characters", vocabulary=tuple(symbols))
    with PreparedWriter(path, codec) as writer:
        for split, text in (("train", train), ("valid", held_out), ("test", held_out.partition(" ")[2])):
            parts = text.split() if words else text
            writer.add(np.array([symbols.index(s) for s in parts]), origin=split, split=split)
        writer.finish()
    return PreparedData.open(path)


def test_text(shared_data, tmp_path):
    play = (shared_data / "text" / "tinyshakespeare.txt").read_text()
    train, held_out = play[:40_000], play[50_000:53_000]
    assert alarms(diagnose_data(text_data(tmp_path / "good", train, held_out))) == {}
    found = diagnose_data(text_data(tmp_path / "unseen", train, held_out.replace("e", "é")))
    assert only(found, "unseen-symbols").severity == "severe"
    assert "'é'" in only(found, "unseen-symbols").sentence
    misread = train.replace("e", "é", 500).encode().decode("latin-1")
    assert (
        only(diagnose_data(text_data(tmp_path / "misread", misread, held_out)), "unknown-symbols").severity == "warning"
    )
    lost = train.replace("e", "\ufffd", 50)
    assert only(diagnose_data(text_data(tmp_path / "lost", lost, held_out)), "unknown-symbols").severity == "warning"
    same = only(diagnose_data(text_data(tmp_path / "same", train, train)), "copies-across-splits")
    assert same.severity == "severe"


def test_words(shared_data, tmp_path):
    penn = (shared_data / "text" / "penn" / "valid.txt").read_text()[:90_000]
    good = diagnose_data(text_data(tmp_path / "good", penn, penn[:3000].rpartition(" ")[0], words=True))
    assert only(good, "unknown-symbols").severity == "healthy"
    unknown = " ".join(word if n % 3 else "<unk>" for n, word in enumerate(penn.split()))
    bad = diagnose_data(text_data(tmp_path / "bad", unknown, "<unk> the", words=True))
    assert only(bad, "unknown-symbols").severity == "warning"


def test_notes(shared_data, tmp_path):
    from seqgen_core.notes.mat import read_mat

    rolls = read_mat(shared_data / "symbolic" / "JSB_Chorales.mat")

    def found(name, change):
        with PreparedWriter(tmp_path / name, NotesCodecSettings()) as writer:
            for split in ("train", "valid", "test"):
                for number, roll in enumerate(rolls[split]):
                    writer.add(
                        change(np.array(roll, np.int64)) if split == "train" else roll,
                        origin=f"{split}{number}",
                        split=split,
                    )
            writer.finish()
        return diagnose_data(PreparedData.open(tmp_path / name))

    assert alarms(found("good", lambda roll: roll)) == {}
    empty = found("empty", lambda roll: roll * (np.arange(len(roll)) < 0.2 * len(roll))[:, None])
    assert only(empty, "empty-rolls").severity == "warning"
    silent = found("silent", lambda roll: roll * 0)
    assert only(silent, "empty-rolls").severity == "severe"

    def held(roll):
        roll[:, 30] = 1
        return roll

    stuck = only(found("stuck", held), "stuck-keys")
    assert (stuck.severity, stuck.figures["keys"]) == ("warning", 1)
    assert "MIDI key 51" in stuck.sentence


def test_images(tmp_path):
    assert only(diagnose_data(make_images(tmp_path / "good")), "blank-images").severity == "healthy"
    codec = PixelsCodecSettings(height=4, width=4, levels=64)
    with PreparedWriter(tmp_path / "blank", codec) as writer:
        for number, split in enumerate(("train",) * 6 + ("valid", "test")):
            pixels = np.full(16, number) if number % 2 else np.arange(16) % 4
            writer.add(np.concatenate([[0], pixels]), origin=str(number), split=split)
        writer.finish()
    found = diagnose_data(PreparedData.open(tmp_path / "blank"))
    assert only(found, "blank-images").severity == "severe"
    assert only(found, "intensities").severity == "warning"
    assert only(found, "amount").severity == "warning"


def test_long_recordings_are_looked_at_in_parts(tmp_path):
    data = prepared(tmp_path, [np.zeros(40_000), np.zeros(9_000)], codec=AudioCodecSettings(rate=1000))
    parts = pieces(data, "train", most=5000, longest=500)
    assert sum(len(part.tokens) for part in parts) == 5000
    assert {part.item.origin for part in parts} == {"train 0", "train 1"}
    assert max(part.start for part in parts if part.item.origin == "train 0") > 30_000
    every = pieces(data, "train", most=10**6, longest=500)
    assert sum(len(part.tokens) for part in every) == 49_000


def test_raw_files_are_found_where_an_item_is_a_part_of_one(tmp_path, speech):
    file = tmp_path / "a [1].wav"
    soundfile.write(file, speech[0], RATE)
    data = prepared(tmp_path / "data", [speech[0]], origins=[f"{file} [0.00–10.00 s]"])
    assert raw_file(data.items("train")[0]) == file
    gone = prepared(tmp_path / "gone", [speech[0]], origins=["https://example.org/a.mp3"])
    assert raw_file(gone.items("train")[0]) is None
    assert json.loads((tmp_path / "gone" / MANIFEST).read_text())["version"] == 1
