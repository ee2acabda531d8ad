"""seqgen info receptive-field, model and presets, as typed."""

import json
import sys
from pathlib import Path

import pytest

from seqgen_cli.main import main


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def seqgen(monkeypatch: pytest.MonkeyPatch, line: str) -> int:
    monkeypatch.setattr(sys, "argv", ["seqgen", *line.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def result(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str) -> dict:
    assert seqgen(monkeypatch, line + " --json") == 0
    return json.loads(capsys.readouterr().out)


def test_the_measurement_decides_between_the_formulas(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = result(monkeypatch, capsys, "info receptive-field --model wavenet stacks=2 layers=3 --measure --rate 1000")
    assert found["receptive_field"] == found["measured"] == 15
    assert found["milliseconds"] == 15.0
    assert [(line["value"], line["confirmed"]) for line in found["formulas"]] == [(15, True), (64, False), (16, False)]
    assert [layer["receptive_field"] for layer in found["layers"]][:7] == [1, 2, 4, 8, 9, 11, 15]


def test_it_says_so_in_words(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert seqgen(monkeypatch, "info receptive-field --model wavenet stacks=2 layers=3 --measure") == 0
    shown = capsys.readouterr().out
    assert "receptive field: 15 samples, 0.94 ms" in shown
    assert "measured: 15 samples, as the formula says" in shown
    assert "(2^layers)^stacks" in shown
    assert "refuted: measured 15" in shown
    assert "do not multiply" in shown


def test_nothing_is_confirmed_unmeasured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = result(monkeypatch, capsys, "info receptive-field --preset wavenet-sequnet-baseline")
    assert found["receptive_field"] == 32765
    assert found["measured"] is None
    assert {line["confirmed"] for line in found["formulas"]} == {None}


def test_other_kernels_and_models_have_no_disputed_formulas(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert result(monkeypatch, capsys, "info receptive-field --model wavenet kernel_size=3")["formulas"] == []
    found = result(monkeypatch, capsys, "info receptive-field --model sequnet features=2 levels=3 --measure")
    assert found["formulas"] == []
    assert found["receptive_field"] == found["measured"] == 69
    assert found["period"] == 4


def test_a_recurrent_model_hears_all_that_came_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "info receptive-field --model samplernn frame_sizes=8,2 channels=4 embedding=3"
    found = result(monkeypatch, capsys, line)
    assert (found["receptive_field"], found["milliseconds"], found["period"]) == (None, None, 8)
    reaches = {layer["name"]: layer["receptive_field"] for layer in found["layers"]}
    assert (reaches["tier 1 layer 1"], reaches["newest tokens"], reaches["output"]) == (None, 2, None)
    assert seqgen(monkeypatch, line + " --rate 1000 --measure") == 0
    shown = capsys.readouterr().out
    assert "receptive field: all that came before" in shown
    assert "measured: nothing" in shown
    assert "None" not in shown
    rows = [row.split() for row in shown.splitlines()]
    assert ["tier", "1", "layer", "1", "8", "1", "8", "endless", "endless"] in rows
    assert ["newest", "tokens", "2", "1", "1", "2", "2.00"] in rows


def test_the_projects_own_model_is_the_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "seqgen.toml").write_text(
        '[model]\nkind = "wavenet"\nstacks = 1\nlayers = 2\n[preprocess]\nrate = 8000\n'
    )
    found = result(monkeypatch, capsys, "info receptive-field")
    assert (found["receptive_field"], found["rate"]) == (4, 8000)


def test_model_shows_both_counts_of_the_baseline(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = result(monkeypatch, capsys, "info model --preset wavenet-sequnet-baseline")
    assert (found["parameters"], found["reference_parameters"]) == (8_124_672, 8_141_184)
    assert found["tensors"]["output.weight"] == [256, 512, 1]
    assert seqgen(monkeypatch, "info model --preset wavenet-sequnet-baseline --tensors") == 0
    shown = capsys.readouterr().out
    assert "16,512 reach no output" in shown
    assert "256 × 512 × 1" in shown


def test_presets_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert seqgen(monkeypatch, "info presets") == 0
    shown = capsys.readouterr().out
    for name in ("sequnet-raw-audio", "wavenet-sequnet-baseline", "26,867,236", "8,124,672"):
        assert name in shown


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("info receptive-field --model wavnet", "wavnet"),
        ("info receptive-field --preset wavenet-smal", "wavenet-small"),
        ("info receptive-field --model wavenet stack=3", "stacks"),
        ("info model --model sequnet kernel_size=4", "so 3 or 5"),
        ("info receptive-field runs/absent", "runs/absent"),
        ("info receptive-field somewhere --model wavenet", "a run has its model already"),
        ("info receptive-field --rate 0", "--rate"),
    ],
)
def test_mistakes_are_one_clear_line_and_exit_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    assert seqgen(monkeypatch, line) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""
