"""Clips: each depends on (seed, number) alone, its likelihood is the model's, its prime is a real excerpt."""

import json
import math
import time
import tracemalloc
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import soundfile
import torch
from tiny import STREAM_MODELS, TINY_MODELS

from seqgen_core import models
from seqgen_core.audio.codec import AudioCodec
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.generation import clips, kept, render, stream
from seqgen_core.generation.engines import choose_engine
from seqgen_core.generation.engines.cpu import engine as cpu_engine
from seqgen_core.generation.engines.cpu import interpreter
from seqgen_core.generation.rendering import renderer_for
from seqgen_core.generation.sampling import ClipUniforms, Filters
from seqgen_core.generation.starts import Prime, draw_primes, from_nothing
from seqgen_core.generation.stream import draw_blocks, prime_state
from seqgen_core.generation.verify import verify
from seqgen_core.models.condition import Condition
from seqgen_core.models.tokens import random_tokens
from seqgen_core.progress import Silent
from seqgen_core.settings.codec import AudioCodecSettings, NotesCodecSettings, PixelsCodecSettings
from seqgen_core.streams import Stream, Upsampled

SOUND = AudioCodecSettings(rate=1000, levels=16)
CODEC = AudioCodec(SOUND)


def build(kind, codec=SOUND, **update):
    torch.manual_seed(1)
    model = models.build(TINY_MODELS[kind].model_copy(update=update), codec.tokens).eval()
    steps = 40 if model.longest is None else model.longest
    tokens = random_tokens(codec.tokens, 1, steps, torch.Generator().manual_seed(0))
    told = Condition(
        torch.tensor([0]) if model.classes else None,
        torch.randn(1, steps, model.local_features) if model.local_features else None,
    )
    with torch.no_grad():  # fresh weights predict next to nothing: make them say something
        while model(tokens, told).std() < 2:
            for parameter in model.parameters():
                parameter.mul_(1.1)
    return model


@pytest.fixture(params=STREAM_MODELS)
def model(request):
    return build(request.param)


@pytest.fixture(params=["cpu", "torch"], autouse=True)
def engine(request, monkeypatch):
    monkeypatch.setitem(ENGINE, "name", request.param)
    return request.param


ENGINE = {"name": "auto"}
"""By which engine `draw` draws."""


def draw(model, primes=None, count=5, codec=SOUND, filters=None, **options):
    settings = {"length": 20, "batch_size": 8, "seed": 7, **options}
    chosen = choose_engine(model, ENGINE["name"], filters)
    return list(clips.draw_clips(model, primes or from_nothing(codec, count), engine=chosen, **settings))


def some_primes(count, length=25):
    rng = np.random.default_rng(0)
    return draw_primes(
        [Stream("a", rng.integers(0, 16, 90)), Stream("b", rng.integers(0, 16, 40), 1)], length, count, seed=3
    )


@pytest.mark.parametrize("primed", [False, True])
def test_a_clip_depends_on_seed_and_number_alone(model, primed):
    reference = draw(model, some_primes(5) if primed else None)
    assert [clip.number for clip in reference] == [0, 1, 2, 3, 4]
    for options in ({"batch_size": 1}, {"batch_size": 2}, {"count": 3}, {"count": 3, "batch_size": 2}):
        again = draw(model, some_primes(options.get("count", 5)) if primed else None, **options)
        assert len(again) == options.get("count", 5)
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
        heard = clip.prime.tokens
        assert primed or heard.tolist() == [CODEC.silence]
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


def test_memory_does_not_grow_with_the_clip(monkeypatch):
    monkeypatch.setattr(kept, "IN_MEMORY", 1000)
    model = build("sequnet")
    choice = choose_engine(model, "cpu")

    def peak(length):
        tracemalloc.start()
        (clip,) = clips.draw_clips(model, from_nothing(SOUND, 1), length=length, batch_size=1, seed=0, engine=choice)
        assert len(clip.tokens) == length
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(10)  # compiles, or reads the compiled loop
    assert peak(200_000) < 1.2 * peak(20_000)


def test_labels_condition_the_clips():
    model = build("wavenet", classes=2)
    first, second = (draw(model, count=1, label=label)[0] for label in (0, 1))
    assert not np.array_equal(first.tokens, second.tokens)


def some_stream(length=60):
    return Stream("", np.random.default_rng(0).integers(0, 16, length))


def test_the_engine_is_the_forward(model, engine):
    for heard in (some_stream(), some_stream(1)):  # the one is long enough, the other is continued first
        found = verify(model, choose_engine(model, engine), heard, 40)
        assert found.steps == 40
        assert found.difference < 1e-4
        assert found.bits == pytest.approx(found.plain_bits, abs=1e-4)


def test_a_fault_in_stepping_is_found(model, engine):
    chosen = choose_engine(model, engine)

    def forgetful(count):
        made = chosen.make(count)
        begin = made.begin

        def begin_anew(start, outputs):
            begin(replace(start, state=model.initial_state(count)), outputs)

        made.begin = begin_anew
        return made

    assert verify(model, replace(chosen, make=forgetful), some_stream(), 40).difference > 1e-2


def test_the_engine_is_the_forward_with_features_too(engine):
    model = build("wavenet", local_features=2)
    frames = np.random.default_rng(0).normal(size=(7, 2))
    told = replace(some_stream(), features=Upsampled(frames, 10, 60))
    assert verify(model, choose_engine(model, engine), told, 40).difference < 1e-4


def test_narrow_weights_cost_bits_that_are_told():
    model = build("wavenet")
    found = verify(model, choose_engine(model, "cpu", weights="int8"), some_stream(), 40)
    assert found.difference > 1e-4
    assert found.bits != found.plain_bits
    assert found.bits == pytest.approx(found.plain_bits, abs=0.5)
    with pytest.raises(UsageError, match="torch engine has no int8 weights"):
        choose_engine(model, "torch", weights="int8")


def test_an_engine_that_does_not_work_here_is_refused():
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(UsageError, match="cuda engine does not work here: there is no CUDA device"):
        choose_engine(build("wavenet"), "cuda")


def test_each_block_is_for_all_clips(model, engine):
    heard = [Prime("", np.zeros(4, np.int64))] * 3
    made = choose_engine(model, engine).make(3)
    blocks = list(draw_blocks(made, model, heard, 6, ClipUniforms(0, range(3)), block=4))
    assert [block.tokens.shape for block in blocks] == [(3, 4), (3, 2)]
    assert all(block.bits.shape == block.tokens.shape for block in blocks)
    assert all(block.bits.dtype == np.float64 for block in blocks)


def test_outputs_that_are_no_numbers_end_in_words(model, engine):
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    with pytest.raises(SeqgenError, match="outputs are not finite"):
        draw(model, count=1)


def test_a_wait_for_the_compiler_is_explained(monkeypatch):
    loop = interpreter.compiled()

    class Uncompiled:
        signatures = ()

        def __call__(self, *arguments):
            time.sleep(0.2)
            loop(*arguments)

    class Told(Silent):
        lines: ClassVar[list[str]] = []

        def say(self, line):
            self.lines.append(line)

    monkeypatch.setattr(cpu_engine, "PATIENCE", 0.01)
    model = build("wavenet")
    chosen = choose_engine(model, "cpu", progress=Told())
    reference = draw(model, count=1)
    assert Told.lines == []
    monkeypatch.setattr(interpreter, "compiled", Uncompiled)
    (clip,) = clips.draw_clips(model, from_nothing(SOUND, 1), length=20, batch_size=8, seed=7, engine=chosen)
    assert Told.lines == ["compiling the sampling loop: once on a machine, ten seconds to a minute"]
    assert np.array_equal(clip.tokens, reference[0].tokens)


def test_long_clips_are_kept_in_files(model, monkeypatch, tmp_path):
    reference = draw(model, some_primes(2), count=2)
    monkeypatch.setattr(kept, "IN_MEMORY", 10)
    monkeypatch.setattr(kept, "PIECE", 7)
    for number, clip in enumerate(draw(model, some_primes(2), count=2)):
        assert isinstance(clip.tokens, kept.TokenFile)
        assert np.array_equal(np.asarray(clip.tokens), reference[number].tokens)
        assert clip.tokens[3:11:2].tolist() == reference[number].tokens[3:11:2].tolist()
        entry = render.write_clip(clip, renderer_for(SOUND), tmp_path / "file")
        whole = render.write_clip(reference[number], renderer_for(SOUND), tmp_path / "memory")
        assert entry["rms"] == pytest.approx(whole["rms"])  # summed up in another order
        assert {**entry, "rms": 0} == {**whole, "rms": 0}
        for name in entry["files"].values():
            assert (tmp_path / "file" / name).read_bytes() == (tmp_path / "memory" / name).read_bytes()


def test_each_prime_brings_its_own_label():
    model = build("wavenet", classes=2)
    primes = [Prime("a", np.array([1, 2]), 0), Prime("b", np.array([1, 2]), 1)]
    assert [prime.label for prime in clips.conditioned(model, primes, None)] == [0, 1]
    assert [prime.label for prime in clips.conditioned(model, primes, 1)] == [1, 1]
    own, one = draw(model, primes), draw(model, primes, label=1)
    alone = draw(model, [primes[1]] * 2)
    assert [clip.prime.label for clip in own] == [0, 1]
    assert np.array_equal(own[1].tokens, alone[1].tokens)
    assert np.array_equal(one[0].tokens, alone[0].tokens)
    assert not np.array_equal(own[0].tokens, alone[0].tokens)
    with pytest.raises(UsageError, match="none is known"):
        draw(model, [Prime("c", np.array([1]))])
    assert len(draw(build("wavenet"), primes)) == 2  # a model without classes hears of none


def test_features_tell_of_the_token_that_is_drawn(monkeypatch):
    monkeypatch.setattr(stream, "UNIFORM_BLOCK", 7)
    model = build("wavenet", local_features=2)
    frames = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    told = Upsampled(frames, 10, 41)
    (clip,) = draw(model, from_nothing(SOUND, 1, features=told))
    whole = np.concatenate([clip.prime.tokens, clip.tokens])
    rows = torch.from_numpy(told[np.arange(1, len(whole))])[None]
    with torch.no_grad():
        shares = model(torch.from_numpy(whole[None, :-1]), Condition(features=rows))[0].double().softmax(dim=-1)
    bits = [-math.log2(shares[place, token]) for place, token in enumerate(clip.tokens)]
    assert clip.bits_per_token == pytest.approx(np.mean(bits), rel=1e-4)
    with pytest.raises(UsageError, match="trained with features, and none are known"):
        draw(model, count=1)


def test_the_features_of_an_excerpt_go_on_where_it_ends():
    model = build("wavenet", local_features=2)
    frames = np.random.default_rng(0).normal(size=(9, 2))
    recording = Stream("a", np.random.default_rng(1).integers(0, 16, 80), features=Upsampled(frames, 10, 80))
    (prime,) = draw_primes([recording], 30, 1, seed=0)
    (clip,) = draw(model, [prime], length=15)
    other = Upsampled(np.concatenate([frames[:6], frames[6:] + 5]), 10, 80)
    (same,) = draw(model, [Prime("a", prime.tokens, features=other)], length=15)
    assert np.array_equal(clip.tokens, same.tokens)  # token 44, the last, hears of nothing after frame 5
    later = Upsampled(np.concatenate([frames[:4], frames[4:] + 5]), 10, 80)
    (changed,) = draw(model, [Prime("a", prime.tokens, features=later)], length=15)
    assert not np.array_equal(clip.tokens, changed.tokens)
    assert np.array_equal(clip.tokens[:1], changed.tokens[:1])  # token 30 is told of frame 3 alone


@pytest.mark.parametrize("kind", ["wavenet", "sequnet"])
def test_vectors_are_drawn_place_by_place(kind):
    codec = NotesCodecSettings(keys=5)
    model = build(kind, codec)
    drawn = draw(model, codec=codec, count=3)
    assert [clip.tokens.shape for clip in drawn] == [(20, 5)] * 3
    assert {int(code) for clip in drawn for code in clip.tokens.ravel()} == {0, 1}
    again = draw(model, codec=codec, count=3, batch_size=1)
    assert all(np.array_equal(one.tokens, other.tokens) for one, other in zip(drawn, again, strict=True))
    clip = drawn[2]
    whole = torch.from_numpy(np.concatenate([clip.prime.tokens, clip.tokens]))[None]
    with torch.no_grad():
        bits = model.head.bits(model(whole[:, :-1]), whole[:, 1:])
    assert clip.bits_per_token == pytest.approx(float(bits.mean()), rel=1e-4)


def test_images_are_drawn_whole():
    codec = PixelsCodecSettings(height=3, width=2, levels=4)
    model = build("pixelcnn", codec)
    for clip in draw(model, codec=codec, count=2, length=6):
        assert clip.prime.tokens.tolist() == [0]
        whole = torch.from_numpy(render.whole(clip))[None]
        with torch.no_grad():
            bits = model.head.bits(model(whole[:, :-1]), whole[:, 1:])
        assert clip.bits_per_token == pytest.approx(float(bits.mean()), rel=1e-4)


def test_a_prime_of_nothing_is_a_fault(model):
    with pytest.raises(ValueError, match="at least one token"):
        prime_state(model, [Prime("", np.zeros(0, np.int64))])


def test_files_and_sheet_of_a_continuation(model, tmp_path):
    drawn = draw(model, some_primes(2), count=2)
    entries = [render.write_clip(clip, renderer_for(SOUND), tmp_path / "out") for clip in drawn]
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
        assert entry["bits_per_token"] == clip.bits_per_token
        assert entry.get("label") == clip.prime.label
        assert entry["tokens"] == 20
        assert entry["peak"] == pytest.approx(np.abs(expected).max())
        assert entry["rms"] == pytest.approx(np.sqrt(np.mean(expected.astype(float) ** 2)))
        assert entry["seconds"] == 0.02
        assert entry["prime"] == {
            "origin": clip.prime.origin,
            "start": clip.prime.start,
            "tokens": 25,
        }


def test_a_clip_from_silence_is_one_file(model, tmp_path):
    (clip,) = draw(model, count=1)
    entry = render.write_clip(clip, renderer_for(SOUND), tmp_path)
    assert entry["files"] == {"clip": "clip-000.wav"}
    assert "prime" not in entry
    assert len(soundfile.read(tmp_path / "clip-000.wav")[0]) == 20


def test_progress_counts_every_token_and_ends(model):
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
