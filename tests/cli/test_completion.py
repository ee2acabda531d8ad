"""What the Tab key offers, asked as bash, zsh and fish ask it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import make_data, make_run

from seqgen_cli.commands import COMMANDS
from seqgen_core.data.catalog import CATALOG
from seqgen_core.settings.model import MODEL_KINDS
from seqgen_core.settings.presets import preset_names

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tab(program, monkeypatch):
    """`tab("seqgen train --mo")` → what bash is offered for the last word."""

    def ask(line: str) -> list[str]:
        words = line.split(" ")
        monkeypatch.setenv("_SEQGEN_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        out = program()
        monkeypatch.delenv("_SEQGEN_COMPLETE")
        assert (out.code, out.err) == (0, "")
        return out.out.split()

    return ask


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current folder: data/prepared, and runs of which the older is new enough."""
    monkeypatch.chdir(tmp_path)
    data = make_data(Path("data/prepared"), labels=2)
    for age, name in enumerate(("young", "older")):
        run = make_run(Path("runs") / name, data, "wavenet")
        os.utime(run.path / "settings.toml", (1e9 - age, 1e9 - age))
        for step in (4, 12)[: 2 - age]:
            (run.path / "checkpoints" / f"step-{step}").mkdir()
    return tmp_path


def test_commands_and_options(tab):
    assert tab("seqgen ") == list(COMMANDS)
    assert tab("seqgen tr") == ["train"]
    assert {"--model", "--preset", "--learning-rate"} <= set(tab("seqgen train --"))
    assert tab("seqgen train --ste") == ["--steps"]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("seqgen train --preset ", preset_names()),
        ("seqgen train --model ", list(MODEL_KINDS)),
        ("seqgen train --model s", ["sequnet", "sequnet_plain", "samplernn"]),
        ("seqgen train --device ", ["auto", "cpu", "cuda", "mps"]),
        ("seqgen train --precision ", ["fp32", "tf32", "bf16"]),
        ("seqgen train --data ", ["data/prepared"]),
        ("seqgen train ", ["young", "older"]),
        ("seqgen train runs/", ["runs/young", "runs/older"]),
        ("seqgen generate ", ["young", "older"]),
        ("seqgen generate y", ["young"]),
        ("seqgen generate older --checkpoint ", ["best", "last", "4"]),
        ("seqgen generate --checkpoint ", ["best", "last", "12", "4"]),
        ("seqgen generate --split ", ["train", "valid", "test"]),
        ("seqgen generate --split=v", ["valid"]),
        ("seqgen generate --label ", ["class", "0", "class", "1"]),
        ("seqgen download --dataset ", list(CATALOG)),
        ("seqgen download --dataset mn", ["mnist"]),
        ("seqgen train model.fea", ["model.features=", "model.features=64"]),
        ("seqgen train --model wavenet model.sta", ["model.stacks=", "model.stacks=3"]),
        ("seqgen train --preset wavenet-small model.stack", ["model.stacks=", "model.stacks=3"]),
        ("seqgen train sched", ["schedule=", "schedule=constant", "schedule=cosine", "schedule=linear"]),
        ("seqgen train --set train.accu", ["train.accumulate=", "train.accumulate=1"]),
        ("seqgen train gen", ["generate."]),
        ("seqgen train schedule = c", ["constant", "cosine"]),
        ("seqgen train --steps = 3 schedule = co", ["constant", "cosine"]),
        ("seqgen train model.kind = w", ["wavenet"]),
        ("seqgen generate young --conditional temp", ["temperature=", "temperature=1.0"]),
        ("seqgen evaluate young some-fi", []),
        ("seqgen train 'an open quote", []),
    ],
)
def test_values(project, tab, line, offered):
    assert tab(line) == offered


def test_the_settings_file_says_where_runs_are_and_which_model(project, tab):
    Path("seqgen.toml").write_text('[train]\nruns = "elsewhere"\n[model]\nkind = "tcn"\n')
    Path("runs").rename("elsewhere")
    assert tab("seqgen evaluate ") == ["young", "older"]
    assert tab("seqgen train model.drop")[0] == "model.dropout="
    Path("seqgen.toml").write_text("[train\n")  # broken: nothing is offered, and nothing is said
    assert tab("seqgen evaluate ") == []


def test_zsh_and_fish_are_told_what_each_offer_is(project, program, monkeypatch):
    monkeypatch.setenv("_SEQGEN_COMPLETE", "complete_zsh")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "seqgen train --preset wavenet-s")
    assert '"wavenet-small":"A WaveNet that learns something' in program().out
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "seqgen evaluate young some-fi")
    assert program().out.strip() == "_files"
    monkeypatch.setenv("_SEQGEN_COMPLETE", "complete_fish")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "seqgen train schedule=c")
    assert program().out.split("\n") == ["schedule=constant", "schedule=cosine", ""]
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "seqgen train --preset wavenet")
    assert all("\t" in line and len(line) < 100 for line in program().out.splitlines())
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "is-args")
    assert program().code == 0
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "seqgen evaluate young some-fi")
    assert program().code == 1  # so that fish offers files


def test_a_real_bash_completes_without_torch(project):
    program = Path("seqgen")
    program.write_text(
        f"#!{sys.executable}\nimport atexit, sys\nsys.path.insert(0, {str(ROOT)!r})\nsys.argv[0] = 'seqgen'\n"
        "from seqgen_cli.main import main\n"
        "atexit.register(lambda: open('loaded', 'w').write(' '.join(sys.modules)))\nmain()\n"
    )
    program.chmod(0o755)
    script = """
    eval "$(_SEQGEN_COMPLETE=source_bash seqgen)"
    complete -p seqgen
    COMP_WORDS=(seqgen info run ""); COMP_CWORD=3; _seqgen_completion seqgen; echo "${COMPREPLY[@]}"
    """
    path = f"{project}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env={**os.environ, "PATH": path})
    assert done.stdout.splitlines() == ["complete -o default -F _seqgen_completion seqgen", "young older"], done.stderr
    assert {"torch", "numpy", "rich", "yt_dlp"}.isdisjoint(Path("loaded").read_text().split())
