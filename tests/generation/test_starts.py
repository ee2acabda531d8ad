"""What clips start from: nothing, excerpts, a person's own file or words; how long primes and clips get."""

from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from PIL import Image

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.generation import starts
from seqgen_core.generation.starts import Prime
from seqgen_core.notes.codec import NotesCodec
from seqgen_core.notes.midi import write_midi
from seqgen_core.settings.codec import (
    AudioCodecSettings,
    NotesCodecSettings,
    PixelsCodecSettings,
    TextCodecSettings,
)
from seqgen_core.settings.features import MelSettings
from seqgen_core.settings.run import DataAccount
from seqgen_core.streams import Stream, Upsampled

SOUND = AudioCodecSettings(rate=1000, levels=16)
TEXT = TextCodecSettings(vocabulary=("\n", *"abcdef "))
WORDS = TextCodecSettings(kind="words", vocabulary=("<eos>", "once", "upon", "a"))
NOTES = NotesCodecSettings(rate=4, keys=88)
IMAGES = PixelsCodecSettings(height=5, width=3, channels=3, levels=4)
MEL = MelSettings(rate=1000, bands=2, hop=100, window=64)


def model_of(receptive_field):
    return SimpleNamespace(receptive_field=receptive_field)


def told(length):
    return Upsampled(np.arange(2 * (1 + length // 10)).reshape(-1, 2), 10, length)


# how long primes are


def test_length_of_a_prime_of_sound():
    assert starts.prime_length(model_of(10), SOUND, 0.05) == 50
    assert starts.prime_length(model_of(10), SOUND, 1e-9) == 1
    assert starts.prime_length(model_of(10), SOUND, None) == 2000
    assert starts.prime_length(model_of(2500), SOUND, None) == 2500
    assert starts.prime_length(model_of(2500), SOUND, 0.05) == 50
    assert starts.prime_length(model_of(None), SOUND, None) == 2000


def test_length_of_a_prime_of_notes_text_and_images():
    assert starts.prime_length(model_of(3), NOTES, None) == 8
    assert starts.prime_length(model_of(30), NOTES, None) == 30
    assert starts.prime_length(model_of(30), NOTES, 3.0) == 12
    for text in (TEXT, WORDS):
        assert starts.prime_length(model_of(30), text, None) == 100
        assert starts.prime_length(model_of(300), text, None) == 300
    assert starts.prime_length(model_of(None), IMAGES, None) == 1 + 2 * 9
    assert starts.prime_length(model_of(None), IMAGES, None, rows=0) == 1
    assert starts.prime_length(model_of(None), IMAGES, None, rows=4) == 1 + 4 * 9


@pytest.mark.parametrize(
    ("codec", "seconds", "rows", "said"),
    [
        (IMAGES, 1.0, None, "Images take no time, so prime_seconds"),
        (IMAGES, None, 5, "rows = 5, but the images have 5: nothing is left to draw"),
        (TEXT, 1.0, None, "Text takes no time, so prime_seconds"),
        (SOUND, None, 2, "--rows is of images; the run was trained on mu-law"),
        (NOTES, None, 0, "--rows is of images"),
        (WORDS, None, 2, "--rows is of images"),
    ],
)
def test_lengths_of_a_prime_that_cannot_be(codec, seconds, rows, said):
    with pytest.raises(UsageError, match=said) as caught:
        starts.prime_length(model_of(10), codec, seconds, rows)
    assert caught.value.hint


# how long clips are


@pytest.mark.parametrize(
    ("codec", "length", "seconds", "expected"),
    [
        (SOUND, None, None, 2000),
        (SOUND, None, 0.5, 500),
        (SOUND, None, 1e-9, 1),
        (SOUND, 7, 0.5, 7),
        (NOTES, None, None, 120),
        (NOTES, None, 2.0, 8),
        (TEXT, None, None, 500),
        (WORDS, 7, None, 7),
    ],
)
def test_length_of_a_clip(codec, length, seconds, expected):
    primes = starts.from_nothing(codec, 2)
    assert starts.clip_length(codec, primes, length=length, seconds=seconds) == expected


def test_an_image_is_completed():
    nothing, half = starts.from_nothing(IMAGES, 1), [Prime("", np.zeros(1 + 2 * 9, np.int64))]
    assert starts.clip_length(IMAGES, nothing, length=None, seconds=None) == 45
    assert starts.clip_length(IMAGES, half, length=None, seconds=None) == 27
    assert starts.clip_length(IMAGES, half, length=27, seconds=None) == 27
    with pytest.raises(UsageError, match="length = 28, but 27 intensities complete the image"):
        starts.clip_length(IMAGES, half, length=28, seconds=None)


def test_clips_are_as_long_as_their_features():
    nothing = starts.from_nothing(SOUND, 2, features=told(31))
    assert starts.clip_length(SOUND, nothing, length=None, seconds=None) == 30
    assert starts.clip_length(SOUND, nothing, length=4, seconds=None) == 4
    assert starts.clip_length(SOUND, nothing, length=None, seconds=0.01) == 10
    primes = [Prime("", np.zeros(10, np.int64), features=told(length)) for length in (25, 60, 40)]
    assert starts.clip_length(SOUND, primes, length=None, seconds=None) == 50


@pytest.mark.parametrize(("codec", "said"), [(IMAGES, "Images take no time"), (TEXT, "Text takes no time")])
def test_seconds_of_what_takes_no_time(codec, said):
    with pytest.raises(UsageError, match=f"{said}, so --seconds"):
        starts.clip_length(codec, starts.from_nothing(codec, 1), length=None, seconds=1.0)


# nothing


def test_nothing_is_one_token():
    first = {codec.kind: starts.from_nothing(codec, 3, 1) for codec in (SOUND, TEXT, WORDS, NOTES, IMAGES)}
    assert {kind: primes[0].tokens.tolist() for kind, primes in first.items() if kind != "piano-roll"} == {
        "mu-law": [AudioCodec(SOUND).silence],
        "characters": [0],  # the end of a line
        "words": [0],
        "pixels": [0],
    }
    assert np.array_equal(first["piano-roll"][0].tokens, np.zeros((1, 88)))
    for primes in first.values():
        assert [(prime.origin, prime.label, prime.features, prime.given) for prime in primes] == [("", 1, None, 1)] * 3
        assert primes[0].tokens.dtype == np.int64


# excerpts


def test_primes_are_the_excerpts_that_they_say():
    rng = np.random.default_rng(0)
    streams = {"a": rng.integers(0, 16, 90), "b": rng.integers(0, 16, 40), "short": rng.integers(0, 16, 5)}
    primes = starts.draw_primes([Stream(name, tokens) for name, tokens in streams.items()], 30, 1000, seed=1)
    for prime in primes:
        assert np.array_equal(prime.tokens, streams[prime.origin][prime.start : prime.start + 30])
    assert {prime.origin for prime in primes} == {"a", "b"}
    places = {prime.start for prime in primes if prime.origin == "b"}
    assert {0, 10} <= places <= set(range(11))  # every place can come, first and last too
    share = np.mean([prime.origin == "b" for prime in primes])
    assert share == pytest.approx(11 / (61 + 11), abs=0.04)


def test_primes_depend_on_seed_and_number_alone():
    streams = [Stream("a", np.arange(90)), Stream("b", np.arange(40), 1)]
    many, few = (starts.draw_primes(streams, 25, count, seed=3) for count in (6, 2))
    assert [(p.origin, p.start) for p in many[:2]] == [(p.origin, p.start) for p in few]
    other = starts.draw_primes(streams, 25, 6, seed=4)
    assert [(p.origin, p.start) for p in many] != [(p.origin, p.start) for p in other]
    assert {(prime.origin, prime.label) for prime in many} <= {("a", None), ("b", 1)}


def test_short_recordings_are_continued_from_excerpts_of_the_median_length():
    streams = [
        Stream("a", np.arange(3)),
        Stream("b", np.arange(8)),
        Stream("none", np.arange(0)),
        Stream("c", np.arange(6)),
    ]
    primes = starts.draw_primes(streams, 100, 50, seed=0)
    assert {len(prime.tokens) for prime in primes} == {6}
    assert {(prime.origin, prime.start) for prime in primes} == {("b", 0), ("b", 1), ("b", 2), ("c", 0)}
    (alone,) = starts.draw_primes([Stream("a", np.arange(3))], 100, 1, seed=0)
    assert (alone.start, len(alone.tokens)) == (0, 3)


def test_whole_recordings_are_equally_likely_and_taken_from_their_beginning():
    streams = [Stream("long", np.arange(1000)), Stream("b", np.arange(40)), Stream("c", np.arange(40))]
    primes = starts.draw_primes(streams, 30, 600, seed=1, whole=True)
    assert {prime.start for prime in primes} == {0}
    assert {tuple(prime.tokens) for prime in primes} == {tuple(range(30))}
    for origin in ("long", "b", "c"):
        assert np.mean([prime.origin == origin for prime in primes]) == pytest.approx(1 / 3, abs=0.06)


def test_what_is_given_is_the_prime():
    streams = [Stream(str(number), np.arange(20) + number, given=13) for number in range(3)]
    for prime in starts.draw_primes(streams, 5, 20, seed=0):
        assert (prime.start, prime.given) == (0, 13)
        assert np.array_equal(prime.tokens, np.arange(13) + int(prime.origin))


def test_vectors_are_cut_along_time():
    roll = np.random.default_rng(0).integers(0, 2, (50, 3))
    for prime in starts.draw_primes([Stream("", roll)], 8, 5, seed=0):
        assert prime.tokens.dtype == np.int64
        assert np.array_equal(prime.tokens, roll[prime.start : prime.start + 8])


def test_with_features_the_beginning_is_taken_and_something_is_left():
    streams = [Stream("a", np.arange(40), features=told(40)), Stream("b", np.arange(20), features=told(20))]
    for prime in starts.draw_primes(streams, 12, 20, seed=0):
        assert (prime.start, len(prime.tokens)) == (0, 12)
        whole = streams["ab".index(prime.origin)].features
        assert prime.features is not None
        assert len(prime.features) == len(whole)
        assert np.array_equal(prime.features[np.arange(20)], whole[np.arange(20)])
    assert {len(prime.tokens) for prime in starts.draw_primes(streams, 999, 20, seed=0)} == {15}
    assert len(starts.draw_primes([Stream("", np.arange(1), features=told(1))], 9, 1, seed=0)[0].tokens) == 1


@pytest.mark.parametrize("streams", [[], [Stream("empty", np.arange(0))]])
def test_nothing_to_continue(streams):
    with pytest.raises(UsageError, match="no recording to continue"):
        starts.draw_primes(streams, 10, 1, seed=0)


# a person's own


def test_a_recording_is_continued_from_its_end(tmp_path):
    waveform = np.linspace(-1, 1, 100, dtype=np.float32)
    soundfile.write(tmp_path / "x.wav", waveform, 1000, subtype="FLOAT")
    path = str(tmp_path / "x.wav")
    prime = starts.own_prime(path, DataAccount(codec=SOUND), 30, 2)
    assert np.array_equal(prime.tokens, AudioCodec(SOUND).encode(waveform)[-30:])
    assert (prime.start, prime.origin, prime.label, prime.features) == (70, path, 2, None)
    assert len(starts.own_prime(path, DataAccount(codec=SOUND), 999).tokens) == 100
    loud = starts.own_prime(path, DataAccount(codec=SOUND, gain=0.5), 30)
    assert np.array_equal(loud.tokens, AudioCodec(SOUND).encode(waveform / 2)[-30:])


def test_a_recording_with_features_is_begun_and_its_features_tell_the_rest(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.sin(np.arange(800) / 3).astype(np.float32) / 2, 1000)
    account = DataAccount(codec=SOUND, features=MEL)
    for length, heard in ((30, 30), (9999, 400)):
        prime = starts.own_prime(str(tmp_path / "x.wav"), account, length)
        assert (prime.start, len(prime.tokens)) == (0, heard)
        assert prime.features is not None
        assert len(prime.features) == 800


def test_words_are_a_prime_themselves_or_name_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad").write_text("cab\nfed\n")
    account = DataAccount(codec=TEXT)
    prime = starts.own_prime("a bed", account, 100)
    assert (prime.tokens.tolist(), prime.origin) == ([1, 7, 2, 5, 4], "")
    prime = starts.own_prime("bad", account, 100, 1)  # there is a file of this name
    assert (prime.tokens.tolist(), prime.origin, prime.label) == ([3, 1, 2, 0, 6, 5, 4, 0], "bad", 1)
    assert starts.own_prime("once upon a", DataAccount(codec=WORDS), 1).tokens.tolist()[:3] == [1, 2, 3]
    assert len(starts.own_prime("bad\nbad", account, 3).tokens) == 7  # never cut: all of it was meant
    with pytest.raises(SeqgenError, match="z"):
        starts.own_prime("a z", account, 100)
    with pytest.raises(UsageError, match="The prime is empty"):
        starts.own_prime("", account, 100)


def test_notes_are_continued_from_their_end(tmp_path):
    roll = np.zeros((20, 88), np.uint8)
    roll[np.arange(20), 30 + np.arange(20)] = 1
    write_midi(tmp_path / "x.mid", roll, NOTES)
    account = DataAccount(codec=NOTES)
    whole = NotesCodec(NOTES).read(tmp_path / "x.mid")
    prime = starts.own_prime(str(tmp_path / "x.mid"), account, 6)
    assert np.array_equal(prime.tokens, whole[-6:])
    assert prime.tokens.dtype == np.int64
    assert prime.start == len(whole) - 6


def test_an_image_is_begun(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    prime = starts.own_prime(str(tmp_path / "x.png"), DataAccount(codec=IMAGES), 1 + 2 * 9)
    assert prime.tokens[0] == 0
    assert np.array_equal(prime.tokens[1:], (pixels[:2] // 64).ravel())
    assert prime.origin == str(tmp_path / "x.png")


def test_own_files_that_are_none(tmp_path):
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.float32), 1000)
    with pytest.raises(SeqgenError, match=r"empty\.wav"):
        starts.own_prime(str(tmp_path / "empty.wav"), DataAccount(codec=SOUND), 30)
    for codec in (SOUND, NOTES):
        with pytest.raises(UsageError, match=r"There is no file .*nix"):
            starts.own_prime(str(tmp_path / "nix"), DataAccount(codec=codec), 30)
    with pytest.raises(SeqgenError):
        starts.own_prime(str(tmp_path / "nix.png"), DataAccount(codec=IMAGES), 10)


def test_a_prime_that_is_meant_as_a_file_must_be_there():
    account = DataAccount(codec=TextCodecSettings(vocabulary=tuple("abc. tx")))
    with pytest.raises(UsageError, match=r"There is no file a\.txt"):
        starts.own_prime("a.txt", account, 9)
    assert len(starts.own_prime("a. txt", account, 9).tokens) == 6


def test_text_takes_no_time_even_beside_a_length():
    primes = starts.from_nothing(TextCodecSettings(vocabulary=("a", "b")), 1)
    with pytest.raises(UsageError, match="Text takes no time"):
        starts.clip_length(TextCodecSettings(vocabulary=("a", "b")), primes, length=5, seconds=2.0)
