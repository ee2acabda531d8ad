"""The benchmarks of generation and of training run end to end; no speed is asserted."""

import json
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TINY_MODELS, make_data

from seqgen_core import models
from seqgen_core.data.store import PreparedData
from seqgen_core.errors import SeqgenError
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


@pytest.fixture
def training(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import configurations
    import training

    for kind in ("wavenet", "sequnet", "samplernn", "pixelcnn"):
        monkeypatch.setitem(configurations.CONFIGURATIONS, f"tiny-{kind}", TINY_MODELS[kind])
    monkeypatch.setattr(training, "PRODUCT", 64)
    monkeypatch.setattr(training, "TURN", 0.0)
    threads = torch.get_num_threads()
    yield training
    torch.set_num_threads(threads)


@pytest.fixture
def within(training, monkeypatch):
    """Sides are threads of this process, which begin at once; their memory is not their own then."""
    import trainees

    monkeypatch.setattr(trainees, "PROCESS", threading.Thread)
    return training


@pytest.fixture
def trained(training, tmp_path, capsys):
    def train(*words: object) -> tuple[dict, str]:
        file = tmp_path / "figures.json"
        training.main([*map(str, words), "--batch", "2", "--targets", "30", "--json", str(file)])
        return json.loads(file.read_text()), capsys.readouterr().out

    return train


@pytest.fixture
def sound(tmp_path) -> PreparedData:
    return make_data(tmp_path / "sound", levels=256, lengths={"train": (900, 400, 31), "valid": (300, 150), "test": ()})


def test_every_side_of_training_has_a_row_with_all_figures(within, trained) -> None:
    told, out = trained("tiny-sequnet", "tiny-samplernn", "tiny-pixelcnn", "--precision", "fp32,bf16", "--turns", 1)
    rows = told["speeds"]
    assert [(row["configuration"][5:], row["side"], row["precision"], row["targets"]) for row in rows] == [
        ("sequnet", "ours", "fp32", 32), ("sequnet", "ours", "bf16", 32),
        ("samplernn", "plain PyTorch", "fp32", 32),
        ("samplernn", "ours", "fp32", 32), ("samplernn", "ours", "bf16", 32),
        ("pixelcnn", "ours", "fp32", 784), ("pixelcnn", "ours", "bf16", 784),
    ]  # fmt: skip
    for row in rows:
        assert min(row["targets_per_second"], row["product_flops"], row["multiply_adds_per_target"]) > 0
        assert row["useful_flops"] == 6 * row["multiply_adds_per_target"] * row["targets_per_second"]
        assert row["product_share"] == row["useful_flops"] / row["product_flops"]
        assert row["peak_bytes"] >= row["step_bytes"] >= 0
    _, _, plain, fp32, bf16, *_ = rows
    for row in (fp32, bf16):
        assert row["compared_with"] == "plain PyTorch"
        assert row["compared_ratio"] == row["targets_per_second"] / plain["targets_per_second"]
    assert rows[0]["compared_with"] is rows[0]["compared_ratio"] is plain["compared_with"] is None
    assert len([line for line in out.splitlines() if line.startswith("| tiny-")]) == len(rows)


def test_held_out_bits_over_time(within, trained, sound, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(within, "POINTS", 2)
    words = ["--turns", 0, "--minutes", 0.002, "--data", sound.path, "--held-out", 60, "--learning-rate", 1e-2]
    told, out = trained("tiny-wavenet", "tiny-samplernn", *words, "--picture", tmp_path / "bits.png")
    assert told["speeds"] == []
    assert [(c["configuration"][5:], c["side"], c["windows"]) for c in told["curves"]] == [
        ("wavenet", "ours", "carried"), ("wavenet", "ours", "alone"),
        ("samplernn", "plain PyTorch", "carried"), ("samplernn", "ours", "carried"),
    ]  # fmt: skip
    for curve in told["curves"]:
        assert curve["points"][0] == 1
        assert len(curve["points"]) == len(curve["seconds"]) == len(curve["targets"]) == len(curve["bits"])
        assert curve["seconds"][-1] >= 0.12
        assert curve["targets"][0] > 0
        assert 0 < curve["bits"][-1] < 9
    assert "plain PyTorch's last bits" in out
    assert (tmp_path / "bits.png").read_bytes().startswith(b"\x89PNG")


def test_a_side_has_a_process_and_memory_of_its_own(training, sound) -> None:
    from trainees import Task, Trainee

    task = Task("ours", TINY_MODELS["sequnet"], CategoricalTokens(values=256), 2, 32, 1, data=sound.path, held_out=60)
    with Trainee(task) as trainee:
        seconds, targets = trainee.train(0.01)
        assert seconds >= 0.01
        assert targets >= 32
        peak, before = trainee.memory()
        assert peak >= before > 0
        assert 0 < trainee.score() < 9
        trainee._process.kill()
        with pytest.raises(SeqgenError, match="its process ended with exit code -9"):
            trainee.train()


def test_a_side_that_cannot_be_built_says_why(within, sound, trained) -> None:
    from trainees import Task, Trainee

    settings = TINY_MODELS["samplernn"].model_copy(update={"cell": "lstm"})
    with pytest.raises(SeqgenError, match="no skip connections"):
        Trainee(Task("plain PyTorch", settings, CategoricalTokens(values=256), 2, 32, 1))
    told, out = trained("tiny-wavenet", "--turns", 0, "--minutes", 0.001, "--data", sound.path.parent / "nowhere")
    assert told["curves"] == []
    assert "tiny-wavenet: ours (fp32) skipped: There is no prepared data in" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--minutes", "1"], "error: --minutes and --data go together."),
        (["--picture", "bits.png"], "error: --picture shows bits over time, which --minutes and --data measure."),
        (["--reference", "nowhere"], "error: nowhere has no raw_audio/generate.py."),
        (["no-such-preset"], "error: "),
        (["--precision", "int8"], "'int8'; choose from fp32, bf16"),
    ],
)
def test_misuse_of_the_benchmark_of_training(training, words, message, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ending:
        training.main(words)
    assert message in f"{ending.value.code} {capsys.readouterr().err}"


def test_what_is_scored_lies_behind_its_context(training, sound) -> None:
    from ours import held_out
    from trainees import Task

    task = Task("ours", TINY_MODELS["sequnet"], CategoricalTokens(values=256), 2, 32, 1, held_out=80, context=30)
    streams = held_out(sound, task)
    longest, second = (sound.tokens(item) for item in sound.items("valid"))
    assert [(stream.given, len(stream.tokens)) for stream in streams] == [(30, 70), (30, 70)]
    np.testing.assert_array_equal(streams[0].tokens, longest[130 - 30 : 170])
    np.testing.assert_array_equal(streams[1].tokens, second[55 - 30 : 95])
    (stream,) = held_out(sound, replace(task, context=79))
    np.testing.assert_array_equal(stream.tokens, longest[110 - 79 : 190])
    (stream,) = held_out(sound, replace(task, held_out=500, context=300))
    assert stream.given == 1
    np.testing.assert_array_equal(stream.tokens, longest)


def test_seconds_until_bits_are_reached(training, capsys) -> None:
    from curves import Curve, print_curves

    curve = Curve("", "ours", "fp32", "carried", 1e-3)
    for point, bits in ((1, 6.0), (2, 4.0), (4, 5.0)):
        curve.add(point, 10.0, 100, bits)
    assert curve.targets == [100, 200, 300]
    assert [curve.reaches(bits) for bits in (7.0, 6.0, 4.5, 3.9)] == [10.0, 10.0, 17.5, None]
    slow = Curve("", "reference", "fp32", "alone", 1e-3)
    slow.add(3, 25.0, 100, 4.5)
    print_curves([slow, curve])
    out = capsys.readouterr().out
    assert [[cell.strip() for cell in line.split("|")[1:3]] for line in out.splitlines() if " s " in line][:4] == [
        ["–", "6.0000 at 10 s"], ["–", "4.0000 at 20 s"], ["4.5000 at 25 s", "–"], ["–", "5.0000 at 30 s"]
    ]  # fmt: skip
    assert "reference's last bits, 4.5000 at 25 s: by ours, fp32, windows carried reached within 18 s" in out


def test_plain_samplernn_goes_on_from_its_state_and_hears_no_future(training) -> None:
    from plain_samplernn import PlainSampleRNN, multiply_adds

    settings = TINY_MODELS["samplernn"]
    model = PlainSampleRNN(settings).eval()
    past, state = model.silence(2)
    tokens = torch.randint(256, (2, 32), generator=torch.Generator().manual_seed(0))
    whole, after = model(torch.cat([past, tokens], dim=1), state)
    first, between = model(torch.cat([past, tokens[:, :16]], dim=1), state)
    second, last = model(tokens[:, 16 - past.shape[1] :], between)
    torch.testing.assert_close(torch.cat([first, second], dim=2), whole)
    torch.testing.assert_close(last, after)
    moved = tokens.clone()
    moved[:, 20] = 255 - moved[:, 20]
    heard = model(torch.cat([past, moved], dim=1), state)[0]
    torch.testing.assert_close(heard[:, :, :20], whole[:, :, :20])
    assert (heard[:, :, 20] - whole[:, :, 20]).abs().max() > 1e-3

    work = {8: [8 * 8, 6 * 64, 4 * 64], 2: [2 * 8, 6 * 64, 2 * 64], 1: [64, 8 * 256]}
    assert multiply_adds(settings) == sum(sum(parts) / size for size, parts in work.items())


@pytest.fixture
def checkout() -> Path:
    named = os.environ.get("SEQGEN_REFERENCE")
    if not named:
        pytest.skip("no checkout of github.com/f90/Seq-U-Net; name one in SEQGEN_REFERENCE")
    return Path(named)


def test_the_reference_code_itself_trains_beside(within, trained, sound, checkout, monkeypatch) -> None:
    monkeypatch.setattr(within, "POINTS", 1)
    words = ["--minutes", 0.002, "--data", sound.path, "--held-out", 60, "--turns", 1, "--reference", checkout]
    before = sorted(checkout.rglob("*"))
    told, _ = trained("tiny-sequnet", *words)
    assert [(row["side"], row["targets"], row["compared_with"]) for row in told["speeds"]] == [
        ("reference", 32, None), ("ours", 32, "reference")
    ]  # fmt: skip
    assert [(curve["side"], curve["windows"]) for curve in told["curves"]] == [
        ("reference", "alone"), ("ours", "carried"), ("ours", "alone")
    ]  # fmt: skip
    assert told["notes"] == []
    assert sorted(checkout.rglob("*")) == before


@pytest.mark.parametrize("settings", [WaveNetSettings(stacks=1, layers=3), TINY_MODELS["sequnet"]])
def test_both_sides_score_alike(training, sound, checkout, settings) -> None:
    from ours import OurTraining
    from reference_training import ReferenceTraining
    from trainees import Task

    from seqgen_core.models.reference import reference_state_dict

    # All levels of its Seq-U-Net tick at the newest token of a window; with this context so do ours, from the start.
    task = Task("ours", settings, CategoricalTokens(values=256), 2, 32, 1, data=sound.path, held_out=64, context=42)
    theirs, ours = ReferenceTraining(replace(task, reference=checkout)), OurTraining(task)
    weights = reference_state_dict(theirs._model.state_dict(), settings)
    ours._learner.model.load_state_dict(weights)
    ours._learner.average.load(weights)
    assert theirs.score() == pytest.approx(ours.score(), abs=1e-5)
