"""The word auto where a number is meant that training finds out."""

import pytest

from seqgen_core.errors import UsageError
from seqgen_core.settings.project import load_project
from seqgen_core.settings.template import changed_settings, project_template
from seqgen_core.settings.toml import read_toml, to_toml
from seqgen_core.settings.train import AUTOMATIC, TrainSettings


def test_auto_is_read_from_a_file_an_override_and_a_flag(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('[train]\nbatch_size = "auto"\nlearning_rate = 3e-4\n')
    train = load_project(file, sections=["train"], overrides=["learning_rate=Auto"]).train
    assert (train.batch_size, train.learning_rate) == (0, 0)
    train = load_project(file, flags={"train.batch_size": "6", "train.learning_rate": "auto"}).train
    assert (train.batch_size, train.learning_rate) == (6, 0)
    train = load_project(file, flags={"train.learning_rate": "2e-3"}).train
    assert (train.batch_size, train.learning_rate) == (0, 2e-3)


def test_auto_is_written_as_the_word(tmp_path):
    train = TrainSettings(batch_size="auto", learning_rate="auto")
    (tmp_path / "train.toml").write_text(to_toml(train))
    assert 'batch_size = "auto"' in to_toml(train)
    assert read_toml(TrainSettings, tmp_path / "train.toml") == train
    assert TrainSettings.model_validate(train.model_dump()) == train
    project = load_project(base={}, flags={"train.batch_size": "auto"})
    assert changed_settings(project)["train.batch_size"] == "auto"
    assert 'batch_size = "auto"' in project_template("sequnet", changed_settings(project))
    assert load_project(base=project.model_dump()) == project


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("batch_size=0", "greater than or equal to 1"),
        ("batch_size=automatic", "unable to parse string as an integer"),
        ("learning_rate=0", "greater than 0"),
        ("learning_rate=1.5", "less than or equal to 1"),
    ],
)
def test_other_words_and_numbers_are_refused_as_ever(setting, said):
    with pytest.raises(UsageError, match=said):
        load_project(base={}, sections=["train"], overrides=[setting])


def test_settled_takes_the_numbers_of_others_where_it_is_auto():
    mine, others = TrainSettings(batch_size="auto", learning_rate=0.5), TrainSettings(batch_size=3, learning_rate=0.1)
    assert mine.settled(others) == TrainSettings(batch_size=3, learning_rate=0.5)
    assert others.settled(mine) == others
    assert set(AUTOMATIC) == {name for name in TrainSettings.model_fields if name != "device" and _takes_auto(name)}


def _takes_auto(name):
    try:
        return getattr(TrainSettings(**{name: "auto"}), name) == 0
    except ValueError:
        return False
