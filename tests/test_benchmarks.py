"""The benchmark of generation runs end to end; no speed is asserted."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TINY_MODELS

from seqgen_core import models
from seqgen_core.models.steps import step_program
from seqgen_core.settings.model import SequnetSettings, WaveNetSettings
from seqgen_core.settings.tokens import BinaryTokens, CategoricalTokens

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
FIGURES = {
    "configuration", "engine", "weights", "batch", "threads", "samples_per_second", "real_time_factor",
    "floor_samples_per_second", "floor_ratio", "floor_bytes_per_second", "compared_with",
    "compared_samples_per_second", "compared_ratio", "multiply_adds_per_sample", "bytes_per_sample",
}  # fmt: skip


@pytest.fixture
def generation(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import generation

    for kind in ("wavenet", "sequnet", "samplernn", "pixelcnn"):
        monkeypatch.setitem(generation.CONFIGURATIONS, f"tiny-{kind}", TINY_MODELS[kind])
    threads = torch.get_num_threads()
    yield generation
    torch.set_num_threads(threads)


@pytest.fixture
def measured(generation, tmp_path, capsys):
    def measure(*words: str) -> tuple[dict, str]:
        file = tmp_path / "figures.json"
        generation.main([*words, "--seconds", "0.005", "--json", str(file)])
        return json.loads(file.read_text()), capsys.readouterr().out

    return measure


def test_every_side_of_a_configuration_has_a_row_with_all_figures(measured) -> None:
    told, out = measured("tiny-wavenet", "--engine", "cpu,eager,forward", "--weights", "fp32,bf16", "--batch", "1,2")
    sides = [("cpu", "fp32"), ("cpu", "bf16"), ("eager", "fp32"), ("forward", "fp32")]
    rows = told["rows"]
    assert [(row["engine"], row["weights"], row["batch"]) for row in rows] == [(*s, b) for b in (1, 2) for s in sides]
    for row in rows:
        assert set(row) == FIGURES
        assert min(row["samples_per_second"], row["real_time_factor"], row["floor_ratio"]) > 0
        assert row["floor_ratio"] == row["samples_per_second"] / row["floor_samples_per_second"]
        assert row["compared_with"] == (None if row["engine"] == "eager" else "eager")
    costs = {(row["weights"], row["batch"]): row["bytes_per_sample"] for row in rows}
    assert costs["fp32", 1] == 2 * costs["bf16", 1] == 2 * costs["fp32", 2] == 4 * rows[0]["multiply_adds_per_sample"]
    assert {"processor", "torch", "numba"} <= set(told["machine"])
    assert len([line for line in out.splitlines() if line.startswith("| tiny-wavenet")]) == len(rows)


def test_threads_clocks_and_images(measured) -> None:
    told, _ = measured("tiny-sequnet", "tiny-pixelcnn", "--batch", "1", "--threads", "1,2", "--engine", "cpu")
    assert [(row["configuration"], row["threads"], row["real_time_factor"] is None) for row in told["rows"]] == [
        ("tiny-sequnet", 1, False), ("tiny-sequnet", 2, False),
        ("tiny-pixelcnn", 1, True), ("tiny-pixelcnn", 2, True),
    ]  # fmt: skip


def test_what_cannot_be_measured_is_told(measured) -> None:
    told, out = measured("tiny-samplernn", "--engine", "forward,cuda", "--batch", "1")
    assert told["rows"] == []
    assert "tiny-samplernn: forward skipped: a recurrent model hears all of its past" in told["notes"]
    if not torch.cuda.is_available():
        assert "tiny-samplernn: cuda skipped: there is no CUDA device" in told["notes"]
    assert all(note in out.splitlines() for note in told["notes"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tiny-wavenet", "--reference", "nowhere"], "error: nowhere has no raw_audio/generate.py."),
        (["no-such-preset"], "error: "),
        (["--engine", "steam"], "'steam'; choose from cpu, eager, forward, torch, cuda"),
        (["--batch", "0"], "0; wanted more than 0"),
    ],
)
def test_misuse_is_told_in_words(generation, words, message, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ending:
        generation.main(words)
    assert message in f"{ending.value.code} {capsys.readouterr().err}"


@pytest.mark.parametrize("clips", [1, 3, 9])
def test_the_floor_multiplies_whole_matrices_at_their_clock(generation, clips) -> None:
    from products import Products, weights_read

    model = models.build(SequnetSettings(features=40, levels=3, depth=1, kernel_size=3), CategoricalTokens(values=70))
    program = step_program(model.eval())
    products = Products(program, clips, 1, "fp32", model.period)
    at = [countdowns.copy() for countdowns in products._countdowns]
    products._run(3 * model.period)
    for before, after in zip(at, products._countdowns, strict=True):
        np.testing.assert_array_equal(before, after)
    assert weights_read(program, clips) == pytest.approx(program.multiply_adds / clips)
    *_, last = program.layers()
    assert last.weight is not None
    weight = last.weight.detach().numpy()
    rows, columns = weight.shape
    heard = products._inputs[0][: clips * columns].reshape(clips, columns)
    made = products._outputs[0][: clips * (rows + 64)].reshape(clips, rows + 64)[:, :rows]
    np.testing.assert_allclose(made, heard @ weight.T, rtol=0, atol=1e-4)


FAKE = """
import argparse
import tqdm
import h5py
import librosa
import torch
from utils import load_latest_model_from

parser = argparse.ArgumentParser()
for name in ("model", "features", "levels", "conditional", "num_batches"):
    parser.add_argument("--" + name)
arguments = parser.parse_args()

class Sequnet(torch.nn.Module):
    def __init__(self, inputs, features, levels, outputs, kernel_size, target_output_size, depth):
        super().__init__()
        self.input_size = 7
        assert (inputs, outputs, target_output_size) == (256, 256, 1)

def generate(model, classes, sample_length, device, fast, batch_size):
    assert (classes, device, fast) == (256, "cpu", True)
    with torch.no_grad(), tqdm(total=sample_length) as bar:
        for sample in range(sample_length):
            bar.update(1)

load_latest_model_from(None, None, arguments.model)
"""


@pytest.fixture
def fake_checkout(tmp_path) -> Path:
    folder = tmp_path / "checkout" / "raw_audio"
    folder.mkdir(parents=True)
    (folder / "generate.py").write_text(FAKE)
    (folder / "utils.py").write_text("def load_latest_model_from(*arguments):\n    raise OSError('no snapshot')\n")
    return folder.parent


def test_a_reference_runs_beside_and_leaves_no_trace(measured, fake_checkout) -> None:
    before = (dict(sys.modules), list(sys.path), list(sys.argv), sorted(fake_checkout.rglob("*")))
    told, _ = measured("tiny-sequnet", "tiny-samplernn", "--batch", "2", "--reference", str(fake_checkout))
    assert [(row["engine"], row["compared_with"]) for row in told["rows"]] == [
        ("reference", None), ("cpu", "reference"), ("eager", "reference"), ("cpu", "eager"), ("eager", None)
    ]  # fmt: skip
    assert any("Python 2 and Theano" in note for note in told["notes"])
    assert all(sys.modules.get(name) is before[0].get(name) for name in ("utils", "generate", "tqdm", "h5py"))
    assert (list(sys.path), list(sys.argv), sorted(fake_checkout.rglob("*"))) == before[1:]


def test_a_reference_that_fails_is_not_waited_for(generation, fake_checkout) -> None:
    from reference import ReferenceCode

    code = ReferenceCode(fake_checkout)
    with pytest.raises(AttributeError, match="WaveNetModel"):
        code.start(WaveNetSettings(), 1, 1, 1)
    generate = fake_checkout / "raw_audio" / "generate.py"
    generate.write_text(FAKE.replace("for sample in", "raise OSError('broken')\n        for sample in"))
    with pytest.raises(OSError, match="broken"):
        ReferenceCode(fake_checkout).start(SequnetSettings(), 1, 1, 1)


def test_what_the_reference_code_cannot_do(generation, fake_checkout) -> None:
    from reference import ReferenceCode

    code, sound = ReferenceCode(fake_checkout), CategoricalTokens(values=256)
    assert code.lacks(SequnetSettings(), sound) is code.lacks(WaveNetSettings(), sound) is None
    for settings in (WaveNetSettings(kernel_size=3), WaveNetSettings(output_channels=3), WaveNetSettings(classes=2)):
        assert code.lacks(settings, sound) == "the reference code has no such configuration"
    assert code.lacks(SequnetSettings(), BinaryTokens()) == "the reference code has no such configuration"
    assert code.lacks(TINY_MODELS["tcn"], sound) == "the reference code has no such model"


def test_the_reference_code_itself_runs_beside(measured) -> None:
    named = os.environ.get("SEQGEN_REFERENCE")
    if not named:
        pytest.skip("no checkout of github.com/f90/Seq-U-Net; name one in SEQGEN_REFERENCE")
    told, _ = measured("tiny-sequnet", "tiny-wavenet", "--batch", "1,2", "--reference", named)
    assert sum(row["engine"] == "reference" for row in told["rows"]) == 4
