"""What ails a run is found in its curves, its network and its data; a healthy one raises no alarm."""

import json

import numpy as np
import pytest
import torch
from real_sound import MUSIC, SPEECH, alarms, only, prepared, real
from tiny import TINY_MODELS, make_data, make_images, make_run

from seqgen_core import models
from seqgen_core.audio.codec import AudioCodec
from seqgen_core.audio.files import write_wav
from seqgen_core.data.store import PreparedData
from seqgen_core.data.writer import PreparedWriter
from seqgen_core.data.yardsticks import yardsticks
from seqgen_core.diagnosis.curves import check_curves
from seqgen_core.diagnosis.diagnose import diagnose_run
from seqgen_core.diagnosis.guessers import held_out_bits
from seqgen_core.diagnosis.hearing import check_reach, check_sureness, sound_periods
from seqgen_core.diagnosis.network import check_network, excerpts, watch
from seqgen_core.runs import Checkpoint, RunFolder
from seqgen_core.settings.codec import AudioCodecSettings
from seqgen_core.settings.model import WaveNetSettings

LEVELS = AudioCodecSettings(rate=8000, levels=64)


@pytest.fixture(scope="module")
def music(shared_data, tmp_path_factory) -> PreparedData:
    """Six seconds each of real speech and music at 8 kHz."""
    waves = [real(shared_data / name, 8000, seconds=8) for name in (*SPEECH, *MUSIC)]
    train, rest = [wave[:48000] for wave in waves], [wave[48000:] for wave in waves]
    return prepared(tmp_path_factory.mktemp("music") / "data", train, rest, rest[:1], codec=LEVELS)


def logged(path, data, trained, valid=(), **train) -> RunFolder:
    """A run that logged these bits, a line for every ten steps; valid: (step, bits)."""
    run = make_run(path, data, "wavenet", **train)
    lines = [{"step": 10 * n, "kind": "train", "bits": bits} for n, bits in enumerate(trained, start=1)]
    lines += [{"step": step, "kind": "valid", "bits": bits} for step, bits in valid]
    for line in sorted(lines, key=lambda line: line["step"]):
        run.log({"learning_rate": 1e-3, "gradient_norm": 1.0, "tokens_per_second": 1.0, **line})
    return run


def falling(steps: int, last: float, seed: int = 0) -> list[float]:
    """Bits of a healthy training: down a power law, with a little noise."""
    course = last + 2 * np.arange(1, steps // 10 + 1) ** -1.0
    return list(course + np.random.default_rng(seed).normal(0, 0.02, len(course)))


def test_a_healthy_course(music, tmp_path):
    valid = [(500 * n, 3.5 + 0.5 / n**2) for n in range(1, 9)]
    run = logged(tmp_path / "run", music, falling(4000, 3.4), valid)
    save(run)
    found = list(check_curves(run, music, 1000))
    assert {finding.check: finding.severity for finding in found} == dict.fromkeys(
        ["status", "yardsticks", "over-training", "under-training", "loss-spikes", "capacity"], "healthy"
    )


def save(run: RunFolder, model=None) -> None:
    model = model or models.build(run.settings.model, run.settings.tokens)
    run.save(Checkpoint(dict(model.state_dict()), {}, {}, {"step": 8}), best=True, keep=0)


def test_worse_than_simple_guessers(music, tmp_path):
    order0, order1 = held_out_bits(music, "valid")
    for bits, severity, words in (
        (6.5, "severe", "it knows nothing"),
        (order0 + 0.05, "severe", "how often values occur"),
        (order1 + 0.05, "warning", "a table of pairs knows more"),
        (order1 - 0.05, "healthy", "beat uniform 6.000"),
    ):
        run = logged(tmp_path / f"{bits}", music, [6.0], [(500, bits)])
        found = only(check_curves(run, music, None), "yardsticks")
        assert found.severity == severity
        assert words in found.sentence
        assert "of the held-out part" in found.sentence


def test_guessers_on_their_own_data_need_its_entropy(tmp_path):
    data = make_data(tmp_path / "a", lengths={"train": (60_000,), "valid": (60_000,)})
    order0, order1 = held_out_bits(data, "train")
    known = yardsticks(data)
    assert order0 == pytest.approx(known.order0, abs=0.01)
    assert order1 == pytest.approx(known.order1, abs=0.02)
    task = make_data(tmp_path / "task", given=20)
    assert held_out_bits(task, "valid") == (None, None)


def test_over_training(music, tmp_path):
    valid = [(500, 3.9), (1000, 3.6), (1500, 3.65), (2000, 3.8), (2500, 4.0)]
    found = only(check_curves(logged(tmp_path / "a", music, falling(2500, 2.5), valid), music, None), "over-training")
    assert (found.severity, found.figures["best_step"]) == ("warning", 1000)
    valid[-1] = (2500, 4.9)
    found = only(check_curves(logged(tmp_path / "b", music, falling(2500, 2.5), valid), music, None), "over-training")
    assert found.severity == "severe"


def test_under_training(music, tmp_path):
    steep = [(250 * 2**n, 5.5 - 0.4 * n) for n in range(5)]
    found = only(check_curves(logged(tmp_path / "a", music, falling(4000, 3.4), steep), music, None), "under-training")
    assert (found.severity, found.figures["gain"]) == ("warning", pytest.approx(0.4))
    assert "--resume" in found.advice
    few = only(check_curves(logged(tmp_path / "b", music, falling(100, 4.0)), music, None), "under-training")
    assert (few.severity, few.figures["steps"]) == ("warning", 100)
    slow = [(500 * n, 4.0 - 0.06 * np.log2(n)) for n in range(1, 9)]
    run = logged(tmp_path / "c", music, falling(4000, 3.9), slow, schedule="cosine", learning_rate=2e-2)
    found = only(check_curves(run, music, None), "under-training")
    assert found.severity == "info"
    assert "end of its schedule" in found.sentence


def test_under_training_by_few_validations(music, tmp_path):
    course = falling(2000, 3.5)
    hump = [*course, *(np.array(course[-50:]) + np.linspace(0.3, 0, 50)), *course[-50:]]
    settled = only(check_curves(logged(tmp_path / "a", music, hump), music, None), "under-training")
    assert "training bits" in settled.sentence
    assert 0 <= settled.figures["gain"] < 0.2
    found = only(check_curves(logged(tmp_path / "b", music, hump[:220]), music, None), "under-training")
    assert (found.severity, "cannot be told" in found.sentence) == ("info", True)
    run = logged(tmp_path / "c", music, falling(10, 5.0))
    run.set_status("finished", 14)
    assert "trained for 14 steps" in only(check_curves(run, music, None), "under-training").sentence


def test_spikes_and_figures_that_are_no_numbers(music, tmp_path):
    course = falling(2000, 3.5)
    for place in (50, 90, 150):
        course[place] += 1.5
    found = only(check_curves(logged(tmp_path / "a", music, course), music, None), "loss-spikes")
    assert (found.severity, found.figures["jumps"]) == ("warning", 3)
    assert "step 510" in found.sentence
    one = falling(2000, 3.5)
    one[50] += 1.5
    assert (
        "1 jump of the" in only(check_curves(logged(tmp_path / "one", music, one), music, None), "loss-spikes").sentence
    )
    course[100] = float("nan")
    found = only(check_curves(logged(tmp_path / "b", music, course), music, None), "status")
    assert (found.severity, found.figures["step"]) == ("severe", 1010)
    failed = logged(tmp_path / "c", music, falling(500, 4))
    failed.set_status("failed", 480, "The loss is no number any more at step 481.")
    found = only(check_curves(failed, music, None), "status")
    assert found.severity == "severe"
    assert "step 481" in found.sentence


def test_too_large_a_model(music, tmp_path):
    run = logged(tmp_path / "a", music, falling(2500, 2.0), [(500, 3.9), (2500, 3.5)])
    found = only(check_curves(run, music, 100_000_000), "capacity")
    assert found.severity == "warning"
    assert only(check_curves(run, music, 10_000), "capacity").severity == "healthy"


# the network


def network(music, kind="wavenet", **changes):
    torch.manual_seed(0)
    settings = TINY_MODELS[kind]
    if changes:
        settings = WaveNetSettings(**changes)
    return models.build(settings, music.manifest.tokens).eval().fold()


def heard(model, data):
    return list(check_network(model, excerpts(model, data), "run"))


@pytest.mark.parametrize("kind", [kind for kind in TINY_MODELS if kind != "pixelcnn"])
def test_new_networks_are_healthy(music, kind):
    """Of so few channels some are shut from the beginning; those of presets are not (docs/doctor.md)."""
    found = alarms(heard(network(music, kind), music))
    assert found.keys() <= {"dead-channels"}


def test_a_network_of_images_is_healthy(tmp_path):
    data = make_images(tmp_path)
    torch.manual_seed(0)
    model = models.build(TINY_MODELS["pixelcnn"], data.manifest.tokens).eval()
    found = heard(model, data)
    assert not [finding for finding in found if finding.severity == "severe"]


def test_watching_changes_nothing(music):
    model = network(music)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    seen = watch(model, excerpts(model, music))
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert all(weight.grad is None for weight in model.parameters())
    assert "layers.0 tanh" in seen.saturated


def test_weights_that_are_no_numbers(music):
    model = network(music)
    model.layers[1].gated.weight.data[0, 0, 0] = float("nan")
    found = only(heard(model, music), "weights")
    assert found.severity == "severe"
    assert "layers.1.gated.weight" in found.sentence


def test_dead_channels_and_lost_gradients(music):
    model = network(music)
    model.layers[0].gated.weight.data[:] = 0
    model.layers[2].skip.weight.data[:] = 0
    found = heard(model, music)
    assert only(found, "dead-channels").severity == "severe"
    assert "layers.0" in only(found, "dead-channels").sentence
    assert only(found, "gradients").severity == "warning"
    shut = network(music)
    shut.mix.bias.data[:] = -100
    found = heard(shut, music)
    assert only(found, "dead-channels").severity == "severe", "rectifiers that never open"
    assert only(found, "gradients").severity == "severe"


def test_stuck_gates(music):
    model = network(music)
    model.layers[1].gated.bias.data[:6] = 50
    found = only(heard(model, music), "saturated-gates")
    assert found.severity == "severe"
    assert "layers.1 tanh" in found.sentence
    closed = network(music)
    closed.layers[1].gated.bias.data[6:] = -50
    assert "sigmoid" in only(heard(closed, music), "saturated-gates").sentence


def test_exploding_layers(music):
    model = network(music)
    model.layers[1].residual.weight.data *= 1e5
    assert only(heard(model, music), "exploding-layers").severity == "warning"
    model.layers[1].residual.weight.data *= 1e300
    found = heard(model, music)
    assert "severe" in {finding.severity for finding in found}


def test_reach_beside_the_periods(music, tmp_path):
    pitch, _ = sound_periods(music, LEVELS)
    assert pitch is not None
    assert 0.002 < pitch < 0.02
    run = make_run(tmp_path / "run", music, "wavenet")
    short = only(check_reach(run, network(music), music), "reach")
    assert short.severity == "warning"
    assert "the model hears 1 ms; the pitch period is" in short.sentence
    long = network(music, stacks=2, layers=9, residual_channels=2, dilation_channels=2, skip_channels=2)
    assert only(check_reach(run, long, music), "reach").severity in ("healthy", "info")
    assert "recurrent" in only(check_reach(run, network(music, "samplernn"), music), "reach").sentence


def test_a_model_that_is_too_sure_of_itself(tmp_path):
    """A network that knows how often each value comes and nothing else; then its log-probabilities times 2, and 1/2."""
    shares = np.array([8, 4, 2, 1, 1]) / 16
    tokens = np.random.default_rng(0).choice(5, size=6200, p=shares)
    with PreparedWriter(tmp_path / "data", AudioCodecSettings(rate=1000, levels=5)) as writer:
        for split in ("train", "valid"):
            writer.add(tokens, origin=split, split=split)
        writer.finish()
    data = PreparedData.open(tmp_path / "data")
    run, model = make_run(tmp_path / "run", data, "wavenet"), network(data)
    model.output.weight.data[:] = 0
    for factor, severity, low, high in (
        (1.0, "healthy", 0.9, 1.1),
        (2.0, "warning", 1.8, 2.0),
        (0.5, "warning", 0.5, 0.6),
    ):
        model.output.bias.data[:] = factor * torch.tensor(np.log(shares), dtype=torch.float32)
        found = only(check_sureness(run, model, data), "sureness")
        assert found.severity == severity
        assert low <= found.figures["temperature"] <= high


# whole runs


def test_data_that_changed_or_are_gone(tmp_path):
    data = make_data(tmp_path / "data")
    run = make_run(tmp_path / "run", data, "wavenet")
    save(run)
    assert only(diagnose_run(run, data), "data-now").severity == "healthy"
    assert only(diagnose_run(run, None), "data-now").severity == "info"
    other = make_data(tmp_path / "data", lengths={"train": (700,), "valid": (300,), "test": (50,)})
    assert only(diagnose_run(run, other), "data-now").severity == "warning"
    coarse = make_data(tmp_path / "data", levels=8)
    found = diagnose_run(run, coarse)
    assert only(found, "data-now").severity == "severe"
    assert "8 levels" in only(found, "data-now").sentence
    assert not [finding for finding in found if finding.check == "yardsticks"]


def test_a_run_without_a_checkpoint_and_with_a_damaged_one(tmp_path):
    data = make_data(tmp_path / "data")
    run = make_run(tmp_path / "run", data, "wavenet")
    found = only(diagnose_run(run, data), "status")
    assert (found.severity, "--resume" in found.advice) == ("severe", True)
    save(run)
    (run.path / "checkpoints" / "step-8" / "model.safetensors").write_bytes(b"damaged")
    assert only(diagnose_run(run, data), "weights").severity == "severe"


def test_the_newest_samples_are_looked_at(music, tmp_path):
    run = make_run(tmp_path / "run", music, "wavenet")
    save(run)
    run.log({"step": 8, "kind": "valid", "bits": 4.0})
    folder = run.path / "samples" / "one"
    folder.mkdir(parents=True)
    entry = {"clip": 0, "bits_per_token": 0.5, "files": {"clip": "a.wav"}}
    (folder / "sheet.json").write_text(json.dumps({"clips": [entry], "settings": {"temperature": 0.5}}))
    write_wav(folder / "a.wav", np.zeros(8000), 8000)
    found = diagnose_run(run, music)
    assert only(found, "silence-trap").severity == "severe"
    assert only(found, "temperature").severity == "severe"
    assert found[0].severity == "severe", "the worst comes first"


def test_a_healthy_run_raises_no_alarm(music, shared_data, tmp_path):
    """Its data are real, its curves fall, its network lives, its clips are real stretches that it never saw."""
    run = logged(tmp_path / "run", music, falling(4000, 3.4), [(500 * n, 3.5 + 0.5 / n**2) for n in range(1, 9)])
    model = network(music, stacks=2, layers=8, residual_channels=16, dilation_channels=16, skip_channels=32)
    model.mix.bias.data[:] = 1.0
    model.output.weight.data *= 0.01
    settings = WaveNetSettings(stacks=2, layers=8, residual_channels=16, dilation_channels=16, skip_channels=32)
    run.replace_settings(run.settings.model_copy(update={"model": settings}))
    save(run, model)
    folder = run.path / "samples" / "one"
    folder.mkdir(parents=True)
    entries = []
    for number, item in enumerate(music.items("valid")[1:]):
        write_wav(folder / f"{number}.wav", AudioCodec(LEVELS).decode(music.tokens(item)), LEVELS.rate)
        entries.append({"clip": number, "bits_per_token": 3.4, "files": {"clip": f"{number}.wav"}})
    (folder / "sheet.json").write_text(json.dumps({"clips": entries}))
    prime = tmp_path / "prime.wav"
    write_wav(prime, real(shared_data / MUSIC[1], 8000, seconds=12)[64000:], 8000)
    found = diagnose_run(run, music, prime=prime)
    assert alarms(found) == {}
    assert len(found) > 35
