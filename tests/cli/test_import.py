"""seqgen import: a snapshot becomes a run that gives the snapshot's outputs."""

import json
import sys
from pathlib import Path

import pytest
import torch
from tiny import make_data

from seqgen_cli.main import main
from seqgen_core.models.reference import load_snapshot, reference_state_dict
from seqgen_core.runs import RunFolder


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def seqgen(monkeypatch: pytest.MonkeyPatch, line: str) -> int:
    monkeypatch.setattr(sys, "argv", ["seqgen", *line.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def wavenet_snapshot(path: Path, *, layers: int = 4, values: int = 16) -> None:
    """Two residual, three dilation, four skip channels; named as by a trainer on several devices."""
    torch.manual_seed(0)
    modules: dict[str, torch.nn.Conv1d] = {"start_conv": torch.nn.Conv1d(values, 2, 1)}
    for index in range(layers):
        modules[f"filter_convs.{index}"] = torch.nn.Conv1d(2, 3, 2)
        modules[f"gate_convs.{index}"] = torch.nn.Conv1d(2, 3, 2)
        modules[f"residual_convs.{index}"] = torch.nn.Conv1d(3, 2, 1)
        modules[f"skip_convs.{index}"] = torch.nn.Conv1d(3, 4, 1)
    modules["end_conv_1"], modules["end_conv_2"] = torch.nn.Conv1d(4, 4, 1), torch.nn.Conv1d(4, values, 1)
    tensors = {
        f"module.{name}.{part}": value for name, conv in modules.items() for part, value in conv.state_dict().items()
    }
    torch.save({"model_state_dict": tensors, "optimizer_state_dict": {"state": {}}, "step": 3}, path)


def test_a_snapshot_becomes_a_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    wavenet_snapshot(tmp_path / "snapshot")
    line = "import snapshot --model wavenet stacks=2 layers=2 --rate 8000 --out run --json"
    assert seqgen(monkeypatch, line) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["receptive_field"], told["rate"], told["tokens"]["values"]) == (7, 8000, 16)

    run = RunFolder.open(tmp_path / "run")
    assert run.status["status"] == "imported"
    settings = run.settings.model
    assert settings.kind == "wavenet"
    assert (settings.residual_channels, settings.dilation_channels, settings.skip_channels) == (2, 3, 4)
    assert run.settings.data.codec.levels == 16
    model, step = run.model("best")
    assert step == 0
    expected = reference_state_dict(load_snapshot(tmp_path / "snapshot"), settings)
    held = model.state_dict()
    assert held.keys() == expected.keys()
    assert all(torch.equal(held[name], value) for name, value in expected.items())


def test_the_run_is_understood_by_info(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    wavenet_snapshot(tmp_path / "snapshot")
    assert seqgen(monkeypatch, "import snapshot stacks=2 layers=2") == 0
    assert "runs/imported-snapshot" in capsys.readouterr().out
    assert seqgen(monkeypatch, "info receptive-field --measure --json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["receptive_field"] == found["measured"] == 7


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("import", 2, "CHECKPOINT"),
        ("import absent", 1, "absent"),
        ("import snapshot snapshot", 2, "2 checkpoints"),
        ("import snapshot --model sequnet", 2, "holds a wavenet"),
        ("import snapshot stacks=1 layers=3", 1, "whose product is 4"),
        ("import snapshot stacks=2 layers=2 skip_channels=9", 1, "Give skip_channels=4"),
        ("import snapshot stacks=2 layers=2 levels=9", 2, "16"),
        ("import snapshot stacks=2 layers=2 skip=mean", 1, "Give skip=sum"),
        ("import snapshot stacks=2 layers=2 classes=2", 1, "Give classes=0"),
        ("import text", 1, "text is no snapshot"),
    ],
)
def test_what_does_not_fit_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, line: str, code: int, said: str
) -> None:
    wavenet_snapshot(tmp_path / "snapshot")
    (tmp_path / "text").write_text("no snapshot")
    assert seqgen(monkeypatch, line + " --out run" if line != "import" else line) == code
    shown = capsys.readouterr()
    assert said in shown.err
    assert "Traceback" not in shown.err
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_there_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    wavenet_snapshot(tmp_path / "snapshot")
    line = "import snapshot stacks=2 layers=2 --out run"
    assert seqgen(monkeypatch, line) == 0
    before = (tmp_path / "run" / "settings.toml").read_bytes()
    assert seqgen(monkeypatch, line) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert (tmp_path / "run" / "settings.toml").read_bytes() == before


def test_an_imported_run_is_trained_on_the_projects_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also where the data lie at the default place, which the run's settings name already."""
    data = make_data(tmp_path / "data" / "prepared")
    manifest = tmp_path / "data" / "prepared" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "gain": 0.5}))
    codec = data.manifest.codec
    wavenet_snapshot(tmp_path / "snapshot", values=codec.levels)
    chosen = f"preprocess.rate={codec.rate} preprocess.codec={codec.kind}"
    small = "batch_size = 2\nwindow = 32\nthreads = 1\nsample_count = 0\ntensorboard = false\n"
    (tmp_path / "seqgen.toml").write_text(f"[train]\n{small}")
    assert seqgen(monkeypatch, f"import snapshot stacks=2 layers=2 {chosen} --out run") == 0
    assert seqgen(monkeypatch, "train run --resume --steps 2 --device cpu") == 0
    account = RunFolder.open(tmp_path / "run").settings.data
    assert (account.path, account.gain) == (tmp_path / "data" / "prepared", 0.5)
    assert account.content_hash == data.content_hash()
