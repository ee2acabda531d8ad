"""The generated pages say what the program says; every setting is explained; the README's commands exist."""

import html
import importlib.util
import json
import re
from pathlib import Path

import pytest

from seqgen_cli.commands import COMMANDS
from seqgen_core.settings.model import MODEL_KINDS
from seqgen_core.settings.project import SECTIONS
from seqgen_core.settings.run import RunSettings

ROOT = Path(__file__).resolve().parents[1]


def script(name):
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cli.md", "settings.md", "models.md"])
def test_generated_page_is_up_to_date(name):
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert script("generate").PAGES[name]() == written, f"docs/{name} is stale: run python docs/generate.py"


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
    table = set(re.findall(r"^\| `seqgen ([a-z]+)", readme, flags=re.MULTILINE))
    assert table == set(COMMANDS), "the table of commands"


def test_pictures_of_the_models_show_the_models_of_today():
    architecture = script("architecture")
    assert {page.replace("-", "_") for page in architecture.PAGES} == set(MODEL_KINDS)
    for page in architecture.PAGES:
        picture = (ROOT / "docs" / "models" / f"{page}.svg").read_text(encoding="utf-8")
        (shown,) = re.findall(r"<dc:description>(.*?)</dc:description>", picture, flags=re.DOTALL)
        stale = f"docs/models/{page}.svg is stale: run python docs/architecture.py"
        assert json.loads(html.unescape(shown)) == architecture.figures(page), stale


@pytest.mark.parametrize("page", ["sequnet", "tcn", "samplernn", "pixelcnn"])
def test_a_picture_is_drawn(page, tmp_path):
    script("architecture").draw(page, tmp_path / "drawn.svg")
    assert (tmp_path / "drawn.svg").stat().st_size > 20_000


@pytest.mark.parametrize("page", ["sequnet", "sequnet-plain", "tcn", "wavenet"])
def test_the_drawn_ways_reach_exactly_as_far_as_the_model_declares(page):
    architecture = script("architecture")
    data = architecture.figures(page)
    first = architecture.connections(data["sketch"])[0]
    assert {lag for lags in first.values() for lag in lags} == set(range(data["receptive_field"]))


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        named = page.relative_to(ROOT / "docs").as_posix()
        assert named == "README.md" or f"]({named})" in index, f"docs/README.md does not name {named}"


def test_every_model_has_its_page():
    for kind in MODEL_KINDS:
        assert (ROOT / "docs" / "models" / f"{kind.replace('_', '-')}.md").exists()


def test_the_page_about_codecs_names_what_is_there():
    page = (ROOT / "docs" / "adding-a-codec.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:seqgen_core|seqgen_cli|tests)/[\w/]+\.py)`(?:: ((?:`\w+`(?:, )?)+))?", page)
    assert len(named) >= 8
    for path, names in named:
        text = (ROOT / path).read_text(encoding="utf-8")
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"^ *(?:class |def )?{name}\b", text, flags=re.MULTILINE), f"{path} has no {name}"


def test_links_of_the_pages_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"
