"""Clips: each depends on (seed, number) alone, its likelihood is the model's, its prime is a real excerpt."""

import json
import math

import numpy as np
import pytest
import soundfile
import torch
from tiny import STREAM_MODELS, TINY_MODELS

from seqgen_core import models
from seqgen_core.audio.codec import AudioCodec
from seqgen_core.errors import UsageError
from seqgen_core.generation import clips, render, stream
from seqgen_core.generation.clips import Stream
from seqgen_core.generation.sampling import ClipUniforms
from seqgen_core.generation.stream import Filters, draw_tokens, stepping_error
from seqgen_core.settings.codec import AudioCodecSettings

CODEC = AudioCodec(AudioCodecSettings(rate=1000, levels=16))


def build(kind, classes=0):
    torch.manual_seed(1)
    settings = TINY_MODELS[kind]
    if classes:
        settings = settings.model_copy(update={"classes": classes})
    model = models.build(settings, CODEC.tokens).eval()
    with torch.no_grad():  # fresh weights predict next to nothing: make them say something
        for parameter in model.parameters():
            parameter.mul_(3)
    return model


@pytest.fixture(params=STREAM_MODELS)
def model(request):
    return build(request.param)


def draw(model, primes=None, **options):
    settings = {"count": 5, "length": 20, "batch_size": 8, "seed": 7, **options}
    return list(clips.draw_clips(model, CODEC.silence, primes, **settings))


def some_primes(count, length=25):
    rng = np.random.default_rng(0)
    return clips.draw_primes(
        [Stream("a", rng.integers(0, 16, 90)), Stream("b", rng.integers(0, 16, 40), 1)], length, count, seed=3
    )


@pytest.mark.parametrize("primed", [False, True])
def test_a_clip_depends_on_seed_and_number_alone(model, primed):
    reference = draw(model, some_primes(5) if primed else None)
    assert [clip.number for clip in reference] == [0, 1, 2, 3, 4]
    for options in ({"batch_size": 1}, {"batch_size": 2}, {"count": 3}, {"count": 3, "batch_size": 2}):
        again = draw(model, some_primes(options.get("count", 5)) if primed else None, **options)
        for clip in again:
            assert np.array_equal(clip.tokens, reference[clip.number].tokens)
            assert clip.bits_per_token == pytest.approx(reference[clip.number].bits_per_token, rel=1e-5)
    tokens = {clip.tokens.tobytes() for clip in reference}
    assert len(tokens) == 5  # clips differ
    assert tokens.isdisjoint(clip.tokens.tobytes() for clip in draw(model, seed=8))  # and so do seeds


def test_a_longer_clip_begins_like_a_shorter_one(model):
    short, long = draw(model, count=1, length=10)[0], draw(model, count=1, length=30)[0]
    assert np.array_equal(long.tokens[:10], short.tokens)


def test_uniforms_do_not_depend_on_how_they_are_asked_for():
    whole = ClipUniforms(5, [0, 1, 2]).draw(100)
    parts = ClipUniforms(5, [0, 1, 2])
    assert np.array_equal(np.concatenate([parts.draw(1), parts.draw(40), parts.draw(59)], axis=1), whole)
    assert np.array_equal(ClipUniforms(5, [2]).draw(100)[0], whole[2])
    assert not np.array_equal(ClipUniforms(6, [2]).draw(100)[0], whole[2])
    assert len(np.unique(whole)) == 300
    assert whole.min() >= 0
    assert whole.max() < 1


def test_the_block_of_uniforms_changes_nothing(model, monkeypatch):
    reference = draw(model)
    monkeypatch.setattr(stream, "UNIFORM_BLOCK", 7)
    monkeypatch.setattr(stream, "PRIME_CHUNK", 3)
    for clip, other in zip(reference, draw(model), strict=True):
        assert np.array_equal(clip.tokens, other.tokens)


@pytest.mark.parametrize("primed", [False, True])
@pytest.mark.parametrize("filters", [Filters(), Filters(temperature=0.5, top_k=4)])
def test_likelihood_is_that_of_a_plain_forward_unfiltered(model, primed, filters):
    for clip in draw(model, some_primes(3) if primed else None, count=3, filters=filters):
        heard = clip.prime.tokens if clip.prime is not None else np.array([CODEC.silence])
        whole = torch.from_numpy(np.concatenate([heard, clip.tokens]))[None]
        with torch.no_grad():
            shares = model(whole)[0].double().softmax(dim=-1)
        first = len(heard) - 1
        bits = [-math.log2(shares[first + place, token]) for place, token in enumerate(clip.tokens)]
        assert clip.bits_per_token == pytest.approx(np.mean(bits), rel=1e-4)


def test_temperature_zero_takes_the_likeliest(model):
    cold = draw(model, count=2, filters=Filters(temperature=0))
    assert np.array_equal(cold[0].tokens, draw(model, count=1, seed=99, filters=Filters(temperature=0))[0].tokens)
    assert np.array_equal(cold[0].tokens, cold[1].tokens)
    whole = torch.from_numpy(np.concatenate([[CODEC.silence], cold[0].tokens]))[None]
    with torch.no_grad():
        assert np.array_equal(model(whole)[0, :-1].argmax(dim=-1).numpy(), cold[0].tokens)


def test_top_one_is_temperature_zero(model):
    cold = draw(model, count=1, filters=Filters(temperature=0))[0]
    assert np.array_equal(draw(model, count=1, filters=Filters(top_k=1))[0].tokens, cold.tokens)


def test_labels_condition_the_clips():
    model = build("wavenet", classes=2)
    first, second = (draw(model, count=1, label=label)[0] for label in (0, 1))
    assert not np.array_equal(first.tokens, second.tokens)


def test_stepping_is_the_forward(model):
    tokens = np.random.default_rng(0).integers(0, 16, (2, 60))
    assert stepping_error(model, tokens, 40) < 1e-4


def test_a_fault_in_stepping_is_found(model, monkeypatch):
    tokens = np.random.default_rng(0).integers(0, 16, (1, 60))
    advance = type(model).advance

    def forgetful(self, given, state, condition=None):
        outputs, after = advance(self, given, state, condition)
        return outputs, [torch.zeros_like(part) if part.is_floating_point() else part for part in after]

    monkeypatch.setattr(type(model), "advance", forgetful)
    assert stepping_error(model, tokens, 40) > 1e-2


def test_each_step_is_for_all_clips(model):
    heard = np.zeros((3, 4), np.int64)
    steps = list(draw_tokens(model, heard, 6, ClipUniforms(0, range(3)), Filters()))
    assert len(steps) == 6
    assert all(step.tokens.shape == step.bits.shape == (3,) for step in steps)
    assert all(step.bits.dtype == np.float64 for step in steps)


def test_primes_are_the_excerpts_that_they_say():
    rng = np.random.default_rng(0)
    streams = {"a": rng.integers(0, 16, 90), "b": rng.integers(0, 16, 40), "short": rng.integers(0, 16, 5)}
    primes = clips.draw_primes([Stream(name, tokens) for name, tokens in streams.items()], 30, 1000, seed=1)
    for prime in primes:
        assert np.array_equal(prime.tokens, streams[prime.origin][prime.start : prime.start + 30])
    assert {prime.origin for prime in primes} == {"a", "b"}
    starts = {prime.start for prime in primes if prime.origin == "b"}
    assert {0, 10} <= starts <= set(range(11))  # every place can come, first and last too
    share = np.mean([prime.origin == "b" for prime in primes])
    assert share == pytest.approx(11 / (61 + 11), abs=0.04)


def test_primes_depend_on_seed_and_number_alone():
    many, few = some_primes(6), some_primes(2)
    assert [(p.origin, p.start) for p in many[:2]] == [(p.origin, p.start) for p in few]


def test_short_recordings_are_continued_from_excerpts_of_the_median_length():
    streams = [
        Stream("a", np.arange(3)),
        Stream("b", np.arange(8)),
        Stream("none", np.arange(0)),
        Stream("c", np.arange(6)),
    ]
    primes = clips.draw_primes(streams, 100, 50, seed=0)
    assert {len(prime.tokens) for prime in primes} == {6}
    assert {(prime.origin, prime.start) for prime in primes} == {("b", 0), ("b", 1), ("b", 2), ("c", 0)}
    (alone,) = clips.draw_primes([Stream("a", np.arange(3))], 100, 1, seed=0)
    assert (alone.start, len(alone.tokens)) == (0, 3)


@pytest.mark.parametrize("streams", [[], [Stream("empty", np.arange(0))]])
def test_nothing_to_continue(streams):
    with pytest.raises(UsageError, match="no recording to continue"):
        clips.draw_primes(streams, 10, 1, seed=0)


def test_each_prime_brings_its_own_label():
    model = build("wavenet", classes=2)
    primes = [clips.Prime(np.array([1, 2]), "a", label=0), clips.Prime(np.array([1, 2]), "b", label=1)]
    assert clips.condition_of(model, primes, None, 2).tolist() == [0, 1]
    assert clips.condition_of(model, primes, 1, 2).tolist() == [1, 1]
    with pytest.raises(UsageError, match="none is known"):
        clips.condition_of(model, [clips.Prime(np.array([1]), "c")], None, 1)
    assert clips.condition_of(build("wavenet"), primes, None, 2) is None


def test_length_of_a_prime(model):
    assert clips.prime_length(model, CODEC, 0.05) == 50
    assert clips.prime_length(model, CODEC, 1e-9) == 1
    assert clips.prime_length(model, CODEC, None) == 2000
    model.receptive_field = 2500
    assert clips.prime_length(model, CODEC, None) == 2500
    model.receptive_field = None
    assert clips.prime_length(model, CODEC, None) == 2000


def test_a_person_s_recording_is_continued_from_its_end(tmp_path):
    waveform = np.linspace(-1, 1, 100, dtype=np.float32)
    prime = clips.prime_from_waveform(waveform, CODEC, tmp_path / "x.wav", 30)
    assert np.array_equal(prime.tokens, CODEC.encode(waveform)[-30:])
    assert (prime.start, prime.origin) == (70, str(tmp_path / "x.wav"))
    assert len(clips.prime_from_waveform(waveform, CODEC, tmp_path / "x.wav", 999).tokens) == 100
    with pytest.raises(UsageError, match="holds no sound"):
        clips.prime_from_waveform(waveform[:0], CODEC, tmp_path / "x.wav", 30)


def test_files_and_sheet_of_a_continuation(model, tmp_path):
    drawn = draw(model, some_primes(2), count=2)
    entries = [render.write_clip(clip, CODEC, tmp_path / "out") for clip in drawn]
    sheet = render.write_sheet(tmp_path / "out", {"run": "r", "näme": 1}, entries)
    read = json.loads(sheet.read_text(encoding="utf-8"))
    assert (read["run"], read["näme"], len(read["clips"])) == ("r", 1, 2)
    for clip, entry in zip(drawn, read["clips"], strict=True):
        sounds = {}
        for part, name in entry["files"].items():
            sounds[part], rate = soundfile.read(tmp_path / "out" / name, dtype="int16")
            assert rate == 1000
        assert sounds.keys() == {"prime", "continuation", "joined"}
        assert np.array_equal(sounds["joined"], np.concatenate([sounds["prime"], sounds["continuation"]]))
        expected = CODEC.decode(clip.tokens)
        assert np.abs(sounds["continuation"] / 32768 - expected).max() < 1e-4
        assert np.abs(sounds["prime"] / 32768 - CODEC.decode(clip.prime.tokens)).max() < 1e-4
        assert entry["bits_per_sample"] == clip.bits_per_token
        assert entry["peak"] == pytest.approx(np.abs(expected).max())
        assert entry["rms"] == pytest.approx(np.sqrt(np.mean(expected.astype(float) ** 2)))
        assert entry["seconds"] == 0.02
        assert entry["prime"] == {
            "origin": clip.prime.origin,
            "start_seconds": clip.prime.start / 1000,
            "seconds": 0.025,
        }


def test_a_clip_from_silence_is_one_file(model, tmp_path):
    (clip,) = draw(model, count=1)
    entry = render.write_clip(clip, CODEC, tmp_path)
    assert entry["files"] == {"clip": "clip-000.wav"}
    assert "prime" not in entry
    assert len(soundfile.read(tmp_path / "clip-000.wav")[0]) == 20


def test_progress_counts_every_token_and_ends(model):
    from seqgen_core.progress import Silent

    told = []

    class Told(Silent):
        def begin(self, task, total, unit):
            told.append(("begin", total))

        def update(self, done, **figures):
            told.append((done, sorted(figures)))

        def end(self):
            told.append("end")

    draw(model, count=3, batch_size=2, length=70, progress=Told(), rate=1000)
    assert told[0] == ("begin", 210)
    assert told[-2] == (210, ["real-time factor", "tokens/s"])
    assert told[-1] == "end"
