"""Settings from file, preset, overrides and flags: who wins, and what is said about mistakes."""

from pathlib import Path

import pytest

from seqgen_core.errors import UsageError
from seqgen_core.settings.model import MODEL_KINDS, SequnetSettings, WaveNetSettings
from seqgen_core.settings.presets import load_preset, preset_names
from seqgen_core.settings.project import Project, load_project, parse_value

SECTIONS = ["train", "model"]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(text, name="seqgen.toml"):
    Path(name).write_text(text)
    return Path(name)


def refusal(**arguments):
    with pytest.raises(UsageError) as caught:
        load_project(**{"sections": SECTIONS, **arguments})
    assert caught.value.hint
    return caught.value.got.splitlines()


def test_without_anything_the_defaults_stand():
    assert load_project() == Project()


def test_later_sources_win():
    write("[train]\nwindow = 1\nbatch_size = 1\nlearning_rate = 0.1\nsteps = 1\n[model]\nfeatures = 3\n")
    preset = load_preset("sequnet-small")
    assert load_project().train.window == 1
    mixed = load_project(
        sections=SECTIONS,
        preset="sequnet-small",
        overrides=["batch_size=5", "train.window=6"],
        flags={"train.window": 7, "train.steps": None},
    )
    assert mixed.train.steps == 1  # the file's; a flag that is None was not given
    assert mixed.train.learning_rate == preset["train"]["learning_rate"]  # the preset's
    assert mixed.train.batch_size == 5  # the override's
    assert mixed.train.window == 7  # the flag's
    assert mixed.model.features == preset["model"]["features"]  # not the file's: the preset's model stands whole


def test_a_named_file_in_place_of_the_usual_one():
    write("[train]\nsteps = 1\n")
    other = write("[train]\nsteps = 2\n", "other.toml")
    assert load_project(other).train.steps == 2
    with pytest.raises(UsageError, match=r"no settings file nowhere\.toml"):
        load_project(Path("nowhere.toml"))


def test_bare_keys_are_looked_up_in_the_command_s_sections():
    found = load_project(sections=SECTIONS, overrides=["steps=3", "features=5", "seed=2"])
    assert (found.train.steps, found.model.features, found.train.seed) == (3, 5, 2)
    assert found.generate.seed == 0
    assert load_project(sections=["generate"], overrides=["seed=2"]).generate.seed == 2
    assert refusal(overrides=["temperature=2"])[0].startswith("There is no setting 'temperature' here")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-3", 1e-3),
        ("true", True),
        ('"a b"', "a b"),
        ("10m", "10m"),
        ("[1, 2]", [1, 2]),
        ("none", "none"),
        ("a/b", "a/b"),
        ("2026-11-21", "2026-11-21"),
        ("", ""),
    ],
)
def test_values_are_toml_or_themselves(text, value):
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


def test_none_unsets_what_can_be_unset_everywhere():
    assert load_project(sections=SECTIONS, overrides=["clip_norm=none"]).train.clip_norm is None
    assert load_project(sections=SECTIONS, overrides=["clip_norm=None"]).train.clip_norm is None
    write('[train]\nclip_norm = "none"\nsteps = "none"\n[preprocess]\nnormalise = "none"\n')
    project = load_project()
    assert project.train.clip_norm is None
    assert project.train.steps is None
    assert project.preprocess.normalise == "none"  # a value of its own there
    assert load_project(sections=["preprocess"], overrides=["normalise=none"]).preprocess.normalise == "none"
    wavenet = load_project(overrides=["model.kind=wavenet", "model.output_channels=none"]).model
    assert wavenet.output_channels is None
    assert "train.window = 'none' is not right" in refusal(overrides=["window=none"])[0]


def test_numbers_and_dates_where_text_is_meant():
    found = load_project(
        sections=["generate"], overrides=["checkpoint=500", "generate.label=3", "generate.out=2026-11-21"]
    ).generate
    assert (found.checkpoint, found.label, found.out) == ("500", "3", Path("2026-11-21"))


def test_unknown_names_get_the_nearest_known_one():
    write("[train]\nstep = 1\n[modle]\nx = 1\n")
    assert sorted(refusal(overrides=["model.feature=3", "bach_size=1", "model.kind=sequnet"])) == [
        "There is no setting 'bach_size' here (did you mean 'batch_size'?).",
        "There is no setting 'model.feature' (did you mean 'features'?).",
        "There is no setting 'modle' (did you mean 'model'?).",
        "There is no setting 'train.step' (did you mean 'steps'?).",
    ]


def test_every_problem_is_reported_at_once():
    write("[train]\nwindow = 0\nschedule = 'wavy'\n[generate]\ntemperature = -1\n")
    lines = refusal(overrides=["model.levels=99", "nonsense=1"], flags={"train.max_time": "soon"})
    assert len(lines) == 6
    for part in ("train.window = 0", "train.schedule = 'wavy'", "generate.temperature = -1", "model.levels = 99"):
        assert any(part in line for line in lines), part
    assert any("'soon' is no duration" in line for line in lines)


def test_rules_about_several_settings_do_not_print_the_table():
    (line,) = refusal(overrides=["preprocess.valid_share=0.6", "preprocess.test_share=0.6"])
    assert line.startswith("preprocess is not right: valid_share + test_share is 1.2")


def test_another_model_drops_the_settings_of_the_one_before():
    write('[model]\nkind = "sequnet"\nfeatures = 9\n')
    assert load_project().model == SequnetSettings(features=9)
    assert load_project(flags={"model.kind": "sequnet"}).model == SequnetSettings(features=9)
    assert load_project(flags={"model.kind": "wavenet"}).model == WaveNetSettings()
    chosen = load_project(sections=SECTIONS, overrides=["kind=wavenet", "stacks=2"])
    assert chosen.model == WaveNetSettings(stacks=2)
    assert "did you mean 'layers'?" in refusal(flags={"model.kind": "wavenet"}, overrides=["layer=2"])[0]


@pytest.mark.parametrize("kind", ["wavnet", "3", "[1]", "true"])
def test_no_such_model(kind):
    (line,) = refusal(overrides=[f"model.kind={kind}"])
    assert line.startswith("There is no model ")
    assert ("did you mean 'wavenet'?" in line) == (kind == "wavnet")


def refused(**arguments):
    with pytest.raises(UsageError) as caught:
        load_project(**arguments)
    return caught.value


def test_presets_and_models_that_contradict_each_other():
    error = refused(preset="sequnet-small", flags={"model.kind": "wavenet"})
    assert error.got == "The preset sequnet-small is a sequnet, not a wavenet."
    assert load_project(preset="wavenet-small", flags={"model.kind": "wavenet"}).model.kind == "wavenet"


def test_unknown_presets_list_the_known():
    error = refused(preset="sequnet-smal")
    assert "no preset 'sequnet-smal'" in error.got
    assert all(name in error.wanted for name in preset_names())
    assert error.hint == "Did you mean sequnet-small?"


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_valid_and_described(name):
    tables = load_preset(name)
    assert tables["description"]
    assert load_project(preset=name).model.kind == tables["model"]["kind"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("train = 3\n", "train = 3 in seqgen.toml is not right: train is a table"),
        ('model = "wavenet"\n', "model = 'wavenet' in seqgen.toml is not right"),
        ("[train\n", "seqgen.toml is not valid TOML"),
        ("[train]\nsteps = 1\nsteps = 2\n", "seqgen.toml is not valid TOML"),
    ],
)
def test_files_that_are_not_right(text, part):
    write(text)
    assert part in refused().got
    assert part in refused(preset="sequnet-small").got


def test_a_file_that_is_no_text():
    Path("seqgen.toml").write_bytes(b"\xff\xfe\x00")
    assert "seqgen.toml is not valid TOML" in refused().got
    Path("folder.toml").mkdir()
    assert "folder.toml cannot be read" in refused(file=Path("folder.toml")).got


@pytest.mark.parametrize("text", ["steps", "=3", "  =3"])
def test_overrides_that_are_none(text):
    assert "is no setting" in refused(overrides=[text]).got


def test_a_setting_below_a_value():
    assert "seed is no table" in refused(overrides=["train.seed=1", "train.seed.x=1"]).got


def test_the_source_is_not_changed():
    base = {"train": {"steps": 1}}
    load_project(base=base, flags={"train.steps": 2, "model.kind": "wavenet"})
    assert base == {"train": {"steps": 1}}


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_every_field_has_a_sentence(kind):
    for settings in (MODEL_KINDS[kind], *(field.annotation for field in Project.model_fields.values())):
        for name, field in getattr(settings, "model_fields", {}).items():
            assert field.description, name
            assert field.description.rstrip().endswith("."), name
