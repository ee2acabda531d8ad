"""The seqgen.toml that `init` writes: it parses, shows everything, and changes nothing but what is in force."""

import re
import tomllib
from pathlib import Path

import pytest

from seqgen_core.settings.model import MODEL_KINDS
from seqgen_core.settings.project import SECTIONS, Project, load_project
from seqgen_core.settings.template import project_template

SETTING = re.compile(r"^# (?=\w+ = )", re.MULTILINE)


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_as_written_it_equals_the_defaults_but_for_what_is_in_force(kind):
    Path("seqgen.toml").write_text(project_template(kind, {"train.max_time": "10m"}), encoding="utf-8")
    expected = Project(model=MODEL_KINDS[kind](), train={"max_time": 600})
    assert load_project() == expected


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_every_setting_is_shown_with_its_meaning_and_its_default(kind):
    text = project_template(kind)
    Path("seqgen.toml").write_text(SETTING.sub("", text), encoding="utf-8")  # everything uncommented
    tables = tomllib.loads(Path("seqgen.toml").read_text(encoding="utf-8"))
    joined = re.sub(r"(?<=\S)\n# (?!\w+ = )", " ", text)  # sentences of several lines in one
    for section, settings in {**SECTIONS, "model": MODEL_KINDS[kind]}.items():
        assert tables[section].keys() == settings.model_fields.keys()
        for name, field in settings.model_fields.items():
            sentence = " ".join(field.description.split())
            assert re.search(rf"{re.escape(sentence)}\n(# )?{name} = ", joined), name
    assert load_project() == Project(model=MODEL_KINDS[kind]())
    assert max(len(line) for line in text.splitlines() if line.startswith("# ") and " = " not in line) <= 80


def test_values_in_force_are_uncommented():
    text = project_template("wavenet", {"train.max_time": "10m", "preprocess.inputs": ["a b", "c"]})
    assert '\nmax_time = "10m"\n' in text
    assert '\ninputs = ["a b", "c"]\n' in text
    assert '\nkind = "wavenet"\n' in text
    assert "depth" not in text.split("[model]")[1].split("[train]")[0]
