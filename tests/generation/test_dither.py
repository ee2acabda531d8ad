"""Dither: trapped clips are freed, others stay as they are, in every engine and every batch alike."""

import numpy as np
import pytest
import torch
from cuda_on_host import NEEDS_COMPILER, Host
from tiny import TINY_MODELS

from seqgen_core import models
from seqgen_core.errors import UsageError
from seqgen_core.generation import clips, dither
from seqgen_core.generation.dither import Dither, check_dither
from seqgen_core.generation.engines import Choice, choose_engine, folded
from seqgen_core.generation.engines.cuda import CudaEngine
from seqgen_core.generation.engines.torch_steps import TorchEngine
from seqgen_core.generation.sampling import ClipUniforms, Filters
from seqgen_core.generation.starts import Prime, from_nothing
from seqgen_core.generation.stream import draw_blocks
from seqgen_core.models.steps import step_program
from seqgen_core.progress import Silent
from seqgen_core.settings.codec import AudioCodecSettings, NotesCodecSettings

SOUND = AudioCodecSettings(rate=1000, levels=16)
COLD = Filters(temperature=0)
WINDOW, BURST, LENGTH = 10, 3, 42


def build(kind="wavenet", **update):
    torch.manual_seed(0)
    return models.build(TINY_MODELS[kind].model_copy(update=update), SOUND.tokens).eval()


def choose(model, name, filters):
    """An engine by name; those of a GPU work on the CPU here."""
    if name == "steps":
        return Choice(name, "", lambda clips: TorchEngine(step_program(folded(model)), clips, filters))
    if name == "cuda":
        program = step_program(folded(model))
        return Choice(name, "", lambda clips: CudaEngine(program, clips, filters, machine=Host()))
    return choose_engine(model, name, filters)


def draw(model, count=2, dithered=True, engine="cpu", length=LENGTH, primes=None, **options):
    made = Dither(choose(model, engine, Filters()), WINDOW, BURST) if dithered else None
    return list(
        clips.draw_clips(
            model,
            primes or from_nothing(SOUND, count),
            length=length,
            batch_size=options.pop("batch_size", 8),
            seed=4,
            engine=choose(model, engine, COLD),
            dither=made,
            **options,
        )
    )


def by_hand(model, number, length=LENGTH):
    """The rule, token by token, on the model as it is."""
    uniforms = ClipUniforms(4, [number]).draw(length)
    drawn, left = [], 0
    with torch.no_grad():
        for place in range(length):
            if place and place % WINDOW == 0:
                left = BURST if np.ptp(drawn[-WINDOW:]) <= dither.TOLERANCE else 0
            heard = torch.tensor([[*from_nothing(SOUND, 1)[0].tokens.tolist(), *drawn]])
            filters = Filters() if left else COLD
            token = model.head.sample(
                model(heard)[:, -1], torch.from_numpy(uniforms[:, place : place + 1]), temperature=filters.temperature
            )
            drawn.append(int(token))
            left = max(0, left - 1)
    return np.array(drawn)


@pytest.mark.parametrize(
    ("kind", "engine"), [("wavenet", "cpu"), ("sequnet", "cpu"), ("samplernn", "cpu"), ("tcn", "torch")]
)
def test_trapped_clips_are_freed_as_the_rule_says(kind, engine):
    model = build(kind)
    assert np.ptp(draw(model, 1, dithered=False, engine=engine)[0].tokens[WINDOW:]) <= dither.TOLERANCE
    drawn = draw(model, 2, engine=engine)
    for clip in drawn:
        np.testing.assert_array_equal(clip.tokens, by_hand(model, clip.number))
        assert np.ptp(clip.tokens[WINDOW:]) > dither.TOLERANCE
        assert 0 < clip.dithered <= LENGTH // WINDOW * BURST
    assert not np.array_equal(drawn[0].tokens, drawn[1].tokens)
    np.testing.assert_array_equal(draw(model, 2, engine=engine, batch_size=1)[1].tokens, drawn[1].tokens)


@pytest.mark.parametrize("engine", ["steps", pytest.param("cuda", marks=NEEDS_COMPILER)])
def test_engines_of_a_gpu_follow_the_rule_too(engine):
    model = build()
    for clip in draw(model, 2, engine=engine):
        np.testing.assert_array_equal(clip.tokens, by_hand(model, clip.number))
        assert clip.dithered


def test_blocks_of_any_size_give_the_same():
    model = build()
    (clip,) = draw(model, 1)
    made = Dither(choose_engine(model, "cpu"), WINDOW, BURST)
    for size in (1, 7, LENGTH):
        engine = made.over(choose_engine(model, "cpu", COLD).make(1))
        blocks = draw_blocks(engine, model, from_nothing(SOUND, 1), LENGTH, ClipUniforms(4, [0]), size)
        np.testing.assert_array_equal(np.concatenate([block.tokens[0] for block in blocks]), clip.tokens)
        assert engine.dithered == clip.dithered


def test_what_is_not_trapped_stays_and_is_told(monkeypatch):
    said = []

    class Told(Silent):
        def say(self, line):
            said.append(line)

    model = build()
    assert draw(model, 2, length=WINDOW, progress=Told())[0].dithered == 0  # trapped at the end: nothing follows
    draw(model, 2, progress=Told())
    monkeypatch.setattr(dither, "TOLERANCE", -1)
    (plain, freed) = (draw(model, 1, dithered=dithered)[0] for dithered in (False, True))
    np.testing.assert_array_equal(plain.tokens, freed.tokens)
    assert said[0] == "dither: clips that were trapped: 0 of 2"
    assert said[1].startswith("dither: clips that were trapped: 2 of 2, drawn again, ")


def test_features_and_labels_reach_both_engines():
    model = build(classes=2, local_features=3)
    told = np.random.default_rng(0).normal(size=(LENGTH + 2, 3)).astype(np.float32)
    prime = Prime("", np.array([8]), 1, told)
    one, two = draw(model, primes=[prime]), draw(model, primes=[prime], engine="torch")
    np.testing.assert_array_equal(one[0].tokens, two[0].tokens)


def test_long_clips_are_looked_at_in_pieces(monkeypatch):
    monkeypatch.setattr(dither, "PIECE", 25)
    made = Dither(choose_engine(build()), WINDOW, BURST)
    moving = np.tile(np.arange(10), 9)
    assert not made.trapped(moving)
    stuck = moving.copy()
    stuck[70:80] = 3
    assert made.trapped(stuck)
    assert not made.trapped(stuck[:80])
    assert not made.trapped(stuck[:5])


def test_dither_is_for_sound_that_is_bent():
    with pytest.raises(UsageError, match="--dither is for sound"):
        check_dither(NotesCodecSettings(lowest=60, keys=5, rate=4), COLD)
    with pytest.raises(UsageError, match="at temperature 1"):
        check_dither(SOUND, Filters(temperature=1.2))
    check_dither(SOUND, Filters(top_k=3))
