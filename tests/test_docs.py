"""The generated pages say what the program says; every setting is explained; the README's commands exist."""

import importlib.util
import re
from pathlib import Path

import pytest

from seqgen_cli.commands import COMMANDS
from seqgen_core.settings.model import MODEL_KINDS
from seqgen_core.settings.project import SECTIONS
from seqgen_core.settings.run import RunSettings

ROOT = Path(__file__).resolve().parents[1]


def pages():
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PAGES


@pytest.mark.parametrize("name", ["cli.md", "settings.md", "models.md"])
def test_generated_page_is_up_to_date(name):
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert pages()[name]() == written, f"docs/{name} is stale: run python docs/generate.py"


@pytest.mark.parametrize("settings", [*SECTIONS.values(), *MODEL_KINDS.values(), RunSettings])
def test_every_setting_has_its_sentence(settings):
    for name, field in settings.model_fields.items():
        sentence = (field.description or "").strip()
        assert sentence.endswith((".", ":")), f"{settings.__name__}.{name} is not explained: {sentence!r}"


def test_the_readme_names_commands_that_exist():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^(?:.*&& )?seqgen ([a-z]+)", readme, flags=re.MULTILINE))
    assert {"demo", "init", "download", "preprocess", "train", "generate", "evaluate", "info"} <= named
    assert named <= set(COMMANDS)


def test_links_of_the_pages_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"
