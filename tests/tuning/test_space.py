"""Texts about what to search: what they mean, and what is said where they mean nothing."""

import pytest

from seqgen_core.errors import UsageError
from seqgen_core.settings.model import MODEL_KINDS
from seqgen_core.settings.project import Project
from seqgen_core.settings.train import TrainSettings
from seqgen_core.settings.tune import TuneSettings
from seqgen_core.tuning.space import TRAINING, Choice, Range, assigned, dimensions

optuna = pytest.importorskip("optuna")


def about(*texts: str, model: str = "sequnet") -> Project:
    return Project(model=MODEL_KINDS[model](), tune=TuneSettings(search=texts))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("train.learning_rate=1e-4..1e-2 log", Range("train.learning_rate", 1e-4, 1e-2, whole=False, log=True)),
        ("learning_rate = 0.001 .. 0.01", Range("train.learning_rate", 0.001, 0.01, whole=False)),
        ("clip_norm=1..10", Range("train.clip_norm", 1, 10, whole=False)),
        ("model.levels=6..10", Range("model.levels", 6, 10, whole=True)),
        ("features=32..128 step 32", Range("model.features", 32, 128, whole=True, step=32)),
        ("batch_size=1..64 log", Range("train.batch_size", 1, 64, whole=True, log=True)),
        ("features=32,64,96", Choice("model.features", (32, 64, 96))),
        ("schedule=constant,cosine", Choice("train.schedule", ("constant", "cosine"))),
        ("clip_norm=none, 0.5", Choice("train.clip_norm", ("none", 0.5))),
        ("carry=true,false", Choice("train.carry", (True, False))),
    ],
)
def test_what_a_text_means(text, meant):
    assert dimensions(about(text)) == [meant]


def test_lists_are_values_too():
    (sizes,) = dimensions(about("frame_sizes=[16],[8, 2]", model="samplernn"))
    assert sizes == Choice("model.frame_sizes", ([16], [8, 2]))
    chosen = sizes.suggest(optuna.trial.FixedTrial({"model.frame_sizes": "[8, 2]"}))
    assert assigned(about(model="samplernn"), {"model.frame_sizes": chosen}).model.frame_sizes == (8, 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("learning_rate", "it is no NAME=LOW..HIGH and no NAME=VALUE,VALUE"),
        ("learning_rat=1..2", "there is no setting 'learning_rat' of training or of a sequnet (did you mean 'learning"),
        ("stacks=1,2", "there is no setting 'stacks' of training or of a sequnet"),
        ("model.feature=1,2", "(did you mean 'model.features'?)"),
        ("steps=10,20", "steps can be set, but not searched"),
        ("train.validate_tokens=10,20", "train.validate_tokens can be set, but not searched"),
        ("model.kind=tcn,wavenet", "model.kind can be set, but not searched"),
        ("features=32", "a choice has two or more values, all different"),
        ("features=32,32", "a choice has two or more values, all different"),
        ("features=64..32", "64 is not below 32"),
        ("features=32..64.5", "model.features is a whole number"),
        ("features=32..64 step 0.5", "model.features is a whole number"),
        ("features=32..many", "'many' is no number"),
        ("learning_rate=0..1 log", "begins above 0"),
        ("learning_rate=0.1..1 log step 0.1", "goes without log"),
        ("learning_rate=0.1..1 step 2", "no wider than the range"),
        ("learning_rate=0.1..1 linear", "after a range there is log, step S or nothing, not 'linear'"),
        ("schedule=1..2", "train.schedule is no number: name values, with commas between them"),
        ("learning_rate=1e-4..5", "train.learning_rate = 5 is not right"),
        ("kernel_size=3,4", "model.kernel_size = 4 is not right: 4 is even"),
        ("schedule=constant,sine", "train.schedule = 'sine' is not right"),
    ],
)
def test_what_means_nothing_is_said(text, words):
    with pytest.raises(UsageError) as caught:
        dimensions(about(text))
    assert words in caught.value.got
    assert "--search" in caught.value.hint


def test_every_problem_is_told_at_once():
    with pytest.raises(UsageError) as caught:
        dimensions(about("features=0,1", "lr=1..2", "learning_rate=1..2", "ema=0..0.5", "train.ema=0.5..0.9"))
    lines = caught.value.got.splitlines()
    assert [word for word in ("features", "lr", "learning_rate", "ema") if any(word in line for line in lines)]
    assert len(lines) == 4
    assert any("searched twice" in line for line in lines)


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_every_model_has_a_search_of_its_own_where_nothing_is_named(kind):
    found = dimensions(about(model=kind))
    assert found[0].name == "train.learning_rate"
    assert any(one.name.startswith("model.") for one in found)
    assert {one.name.partition(".")[2] for one in found if one.name.startswith("train.")} <= set(TRAINING)


def test_the_settings_of_training_that_are_searched_exist():
    assert set(TRAINING) <= set(TrainSettings.model_fields)


def test_values_are_within_their_ranges_and_of_their_kind():
    wanted = dimensions(about("learning_rate=1e-4..1e-2 log", "levels=6..10", "features=32..128 step 32", "ema=0,0.9"))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    drawn = [[one.suggest(trial) for one in wanted] for trial in (study.ask() for _ in range(40))]
    rates, levels, features, ema = zip(*drawn, strict=True)
    assert all(1e-4 <= rate <= 1e-2 for rate in rates)
    assert sum(rate < 1e-3 for rate in rates) > 10  # half of them, spread by orders of magnitude
    assert set(levels) == {6, 7, 8, 9, 10}
    assert set(features) == {32, 64, 96, 128}
    assert set(ema) == {0, 0.9}


@pytest.mark.parametrize(
    ("text", "stands"),
    [
        ("learning_rate=1e-4..1e-2 log", 1e-3),
        ("learning_rate=2e-3..1e-2", None),
        ("features=32,64,96", 64),
        ("features=32,96", None),
        ("features=16..96 step 16", 64),
        ("features=10..96 step 16", None),
        ("clip_norm=none,1", 1),
        ("carry=none,true", "none"),
        ("context=100..200", None),
    ],
)
def test_what_stands_is_tried_first_where_the_search_holds_it(text, stands):
    project = about(text)
    assert dimensions(project)[0].stands(project) == stands
