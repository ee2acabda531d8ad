"""What a person reads after a mistake: the cause with the value that was got, a hint, the exit code, and no trace."""

import errno
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny import make_data

TINY = ["--steps", "2", "--device", "cpu", "features=4", "levels=3", "sample_count=0"]


def write(name, text):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)


def no_runs():
    shutil.rmtree("runs")


def no_data():
    shutil.rmtree("data")


def bad_toml():
    write("seqgen.toml", "[train\nsteps = 1\n")


def several_problems():
    write("seqgen.toml", "[train]\nwindow = 0\nstep = 1\n")


def a_file_that_is_no_sound():
    write("x.wav", "not sound")


def changed_data():
    make_data(Path("data/prepared"), lengths={"train": (50,), "test": (50,)})
    settings = Path("runs/sequnet/settings.toml")
    settings.write_text(
        re.sub(r'(?m)^path = ".*"$', f'path = "{Path("data/prepared").resolve()}"', settings.read_text())
    )


def other_codec():
    make_data(Path("data/prepared"), levels=8)
    settings = Path("runs/sequnet/settings.toml")
    settings.write_text(
        re.sub(r'(?m)^path = ".*"$', f'path = "{Path("data/prepared").resolve()}"', settings.read_text())
    )


def data_gone():
    no_data()
    settings = Path("runs/sequnet/settings.toml")
    settings.write_text(re.sub(r'(?m)^(path|data) = ".*"$', r'\1 = "gone/prepared"', settings.read_text()))


def damaged_weights():
    Path("runs/sequnet/checkpoints/step-8/ema.safetensors").write_bytes(b"\xff" * 64)


def other_weights():
    settings = Path("runs/sequnet/settings.toml")
    settings.write_text(re.sub(r"(?m)^features = .*$", "features = 7", settings.read_text()))


def damaged_checkpoints():
    for file in Path("runs/sequnet/checkpoints").glob("*/optimizer.safetensors"):
        file.write_bytes(b"\xff" * 64)
    write("runs/sequnet/status.json", '{"status": "running", "step": 8, "reason": ""}')


def damaged_settings():
    write("runs/sequnet/settings.toml", "[model")


def no_checkpoint():
    shutil.rmtree("runs/sequnet/checkpoints")


def nothing_to_train_on():
    make_data(Path("data/prepared"), lengths={"train": (1,), "test": (50,)})


def no_test_split():
    shutil.rmtree("data")
    make_data(Path("data/prepared"), lengths={"train": (50,)})
    settings = Path("runs/sequnet/settings.toml")
    settings.write_text(
        re.sub(r'(?m)^path = ".*"$', f'path = "{Path("data/prepared").resolve()}"', settings.read_text())
    )


def nothing():
    pass


TABLE = [
    # options and arguments
    (nothing, "trian", 2, "No such command 'trian'", "seqgen --help"),
    (
        nothing,
        "train --stesp 3",
        2,
        "No such option: --stesp (did you mean '--steps'?)",
        "seqgen train --help",
    ),
    (
        nothing,
        "train --steps three",
        2,
        "unable to parse string as an integer (got 'three')",
        "seqgen train --help",
    ),
    (nothing, "generate --seed", 2, "Option '--seed' requires an argument", "seqgen generate --help"),
    (nothing, "train a b", 2, "One run at a time; got a b", "seqgen train [RUN]"),
    (nothing, "generate a b", 2, "One run at a time; got a b", "seqgen generate [RUN]"),
    # settings
    (
        nothing,
        "train --steps 0",
        2,
        "train.steps = 0 is not right: input should be greater than or equal to 1",
        "seqgen init",
    ),
    (nothing, "train --max-time soon", 2, "'soon' is no duration; write seconds or, for example, 90s", "seqgen init"),
    (
        nothing,
        "train --device gpu",
        2,
        "= 'gpu' is not right: auto, cpu, cuda, cuda:N or mps (did you mean 'cuda'?)",
        "",
    ),
    (nothing, "train --precision bf61", 2, "train.precision = 'bf61' is not right", "seqgen init"),
    (nothing, "train --precision bf61", 2, "(did you mean 'bf16'?)", "seqgen init"),
    (nothing, "train precision=tf32", 2, "train.precision = tf32 is for CUDA; this is cpu", "fp32 or bf16"),
    (nothing, "train bach_size=3", 2, "no setting 'bach_size' here (did you mean 'batch_size'?)", "seqgen init"),
    (nothing, "train --set window", 2, "'window' is no setting", "key=value"),
    (nothing, "train --model wavnet", 2, "There is no model 'wavnet' (did you mean 'wavenet'?)", "--model"),
    (nothing, "train --preset wavenet-smal", 2, "There is no preset 'wavenet-smal'", "Did you mean wavenet-small?"),
    (
        nothing,
        "train --preset wavenet-small --model sequnet",
        2,
        "wavenet-small is a wavenet, not a sequnet",
        "not both",
    ),
    (nothing, "train kernel_size=4", 2, "4 is even; Seq-U-Net needs an odd kernel, so 3 or 5", "seqgen init"),
    (nothing, "generate --temperature -1", 2, "generate.temperature = -1.0 is not right", "seqgen init"),
    (nothing, "generate --top-p 2", 2, "generate.top_p = 2.0 is not right", "seqgen init"),
    (nothing, "generate --split tset", 2, "'tset' is not right: input should be 'train', 'valid' or 'test' (did", ""),
    (nothing, "generate --checkpoint first", 2, "generate.checkpoint = 'first' is not right", "seqgen init"),
    (nothing, "generate --checkpoint bset", 2, "best, last, or a step number (did you mean 'best'?)", "seqgen init"),
    (nothing, "evaluate dither=2", 2, "There is no setting 'dither' here", "seqgen init"),
    (nothing, "train --config my.toml", 2, "There is no settings file my.toml", "seqgen init"),
    (bad_toml, "train", 2, "seqgen.toml is not valid TOML", "seqgen init"),
    (several_problems, "train", 2, "There is no setting 'train.step' (did you mean 'steps'?)", "seqgen init"),
    # runs
    (no_runs, "generate", 2, "There is no run in runs", "seqgen train"),
    (no_runs, "evaluate", 2, "There is no run in runs", "seqgen train"),
    (no_runs, "train --resume", 2, "There is no run in runs", "seqgen train"),
    (nothing, "generate runs/nix", 2, "There is no run at runs/nix (no settings.toml in it)", "seqgen train"),
    (nothing, "generate wavenett", 2, "There is no run at wavenett", "Did you mean runs/wavenet?"),
    (nothing, "train wavenett --resume", 2, "There is no run at runs/wavenett", "Did you mean runs/wavenet?"),
    (nothing, "train runs/nix --resume", 2, "There is no run at runs/nix", "seqgen train"),
    (nothing, "train data/prepared", 2, "data/prepared is no run and not an empty folder", "new folder"),
    (nothing, "generate sequnet --checkpoint 5", 2, "holds no checkpoint of step 5", "Steps there: 4, 8."),
    (
        no_checkpoint,
        "generate sequnet",
        2,
        "runs/sequnet holds no checkpoint yet",
        "seqgen train --resume runs/sequnet",
    ),
    (damaged_weights, "generate sequnet --checkpoint 8", 1, "step-8 is damaged: ema.safetensors does not", "there: 4."),
    (
        damaged_checkpoints,
        "train sequnet",
        1,
        "No checkpoint of runs/sequnet is whole; runs/sequnet/checkpoints/step-8 is damaged: optimizer.safetensors",
        "from a copy, or train a new run",
    ),
    (damaged_checkpoints, "train sequnet --resume --steps 9", 1, "No checkpoint of runs/sequnet is whole", "new run"),
    (other_weights, "generate sequnet", 1, "step-8 does not hold the weights of this model", "--checkpoint"),
    (damaged_settings, "generate sequnet", 1, "runs/sequnet/settings.toml is damaged", "another run"),
    # going on
    (
        nothing,
        "train sequnet",
        2,
        "runs/sequnet holds a run that is finished",
        "--resume runs/sequnet --steps 16` prolongs",
    ),
    (nothing, "train sequnet --resume", 2, "runs/sequnet is finished: its limit is reached", "--steps, --epochs"),
    (nothing, "train sequnet --resume --steps 5", 2, "train.steps = 5 lies behind", "above 8"),
    (nothing, "train sequnet --resume --steps 9 --model wavenet", 2, "model of runs/sequnet cannot change", "new run"),
    (nothing, "train sequnet --resume --steps 9 features=6", 2, "model of runs/sequnet cannot change", "new run"),
    (
        nothing,
        "train sequnet --resume --steps 9 --window 8",
        2,
        "train.window of runs/sequnet is 32 and cannot",
        "new run",
    ),
    (
        nothing,
        "train sequnet --resume --steps 9 carry=true",
        2,
        "train.carry of runs/sequnet is None and cannot become True",
        "new run",
    ),
    (nothing, "train sequnet --resume --steps 9 --seed 8", 2, "train.seed of runs/sequnet is 0 and cannot", "new run"),
    (nothing, "train sequnet --resume --preset sequnet-small", 2, "A preset cannot change a run", "--preset"),
    (
        changed_data,
        "train sequnet --resume --steps 9",
        2,
        "has changed since runs/sequnet was begun",
        "restore the data",
    ),
    (
        other_codec,
        "train sequnet --resume --steps 9",
        2,
        "now holds mu-law, 8 levels, 1000 Hz; the run expects mu-law, 16 levels, 1000 Hz",
        "new run",
    ),
    (
        data_gone,
        "train sequnet --resume --steps 9",
        1,
        "There is no prepared data in gone/prepared",
        "seqgen preprocess",
    ),
    # data and devices
    (no_data, "train", 1, "There is no prepared data in data/prepared", "seqgen preprocess"),
    (nothing_to_train_on, "train", 1, "holds no recording to train on", "seqgen preprocess"),
    (nothing, "train --device cuda:7", 2, "There is no device 'cuda:7' on this machine", "--device auto"),
    (nothing, "generate sequnet --device cuda:7", 2, "There is no device 'cuda:7'", "--device auto"),
    (
        nothing,
        "train --model wavenet classes=3",
        2,
        "model.classes = 3, but data/prepared has no labels",
        "labels=folder",
    ),
    (
        nothing,
        "train --model wavenet local_features=3",
        2,
        "model.local_features = 3, but data/prepared has no features",
        "seqgen preprocess --features mel",
    ),
    (nothing, "train --model pixelcnn", 2, "pixelcnn needs images; the data are categorical tokens", "wavenet"),
    (nothing, "train --steps 3 carry=true window=33", 2, "train.window = 33 is no multiple of 128", "window=128"),
    (no_test_split, "evaluate sequnet", 1, "The test split of", "--split"),
    (no_test_split, "generate sequnet --conditional", 2, "The split holds no recording to continue", "--split"),
    (other_codec, "generate sequnet --conditional", 2, "the run was trained on", "Prepare the data again"),
    # what to start from
    (
        nothing,
        "generate sequnet --label dog",
        2,
        "trained without labels, so --label dog means nothing",
        "Leave it out",
    ),
    (nothing, "evaluate sequnet --label dog", 2, "--label dog is of files", "Leave it out"),
    (nothing, "generate sequnet --conditional --prime x.wav", 2, "--prime names a file", "Leave one of them out"),
    (nothing, "generate sequnet --stream --count 2", 2, "--stream writes one clip to stdout", "leave --stream out"),
    (nothing, "generate sequnet --prime nix.wav", 2, "There is no file nix.wav", "Check the name"),
    (nothing, "generate sequnet --rows 3", 2, "--rows is of images; the run was trained on mu-law", "Leave it out"),
    (nothing, "generate sequnet --features x.npy", 2, "runs/sequnet was trained without features", "Leave --features"),
    (
        nothing,
        "generate sequnet --conditional --features x.npy",
        2,
        "has features of its own, and --features names others",
        "Leave one of them out",
    ),
    (a_file_that_is_no_sound, "generate sequnet --prime x.wav", 1, "x.wav: ", ""),
    (a_file_that_is_no_sound, "evaluate sequnet x.wav", 1, "x.wav: ", ""),
    # init
    (bad_toml, "init", 2, "seqgen.toml is there already", "move it away"),
    (nothing, "init --model gan", 2, "There is no model 'gan'", "--model"),
]


@pytest.mark.parametrize(
    ("prepare", "command", "code", "cause", "hint"),
    [pytest.param(*row, id=f"{row[0].__name__}: {row[1]}") for row in TABLE],
)
def test_mistakes_are_told_in_one_line_with_a_hint(trained_project, program, prepare, command, code, cause, hint):
    prepare()
    before = sorted(Path("runs").iterdir()) if Path("runs").exists() else []
    arguments = command.split()
    if arguments[0] == "train" and "--device" not in arguments:
        arguments += ["--device", "cpu"] if "--steps" in arguments else TINY[2:] if "kernel_size=4" in arguments else []
    out = program(*arguments)
    lines = out.err.splitlines()
    causes = [line for line in lines if line.startswith("error: ")]
    assert out.code == code, out.err
    assert any(cause in line for line in causes), out.err
    assert out.out == ""
    assert "Traceback" not in out.err
    assert "Internal fault" not in out.err
    helping = [line for line in lines if line.startswith(("hint: ", "wanted: "))]
    assert helping, out.err
    assert any(hint in line for line in helping), out.err
    assert (sorted(Path("runs").iterdir()) if Path("runs").exists() else []) == before  # no run left half-made


def test_several_problems_come_in_one_go(trained_project, program):
    several_problems()
    out = program("train", "nonsense=1")
    assert len([line for line in out.err.splitlines() if line.startswith("error: ")]) == 3


def test_debug_shows_the_trace(trained_project, program):
    out = program("generate", "nix", "--debug")
    assert out.code == 2
    assert "Traceback" in out.err
    assert "error: There is no run at nix" in out.err


def test_quiet_still_shows_errors(trained_project, program):
    out = program("generate", "nix", "-q")
    assert out.code == 2
    assert "error: There is no run at nix" in out.err


def test_json_is_not_half_written_on_errors(trained_project, program):
    assert program("generate", "nix", "--json").out == ""


def test_an_internal_fault_says_so(trained_project, program, monkeypatch):
    from seqgen_core.evaluation import likelihood

    def fail(*arguments, **options):
        raise KeyError("planted")

    monkeypatch.setattr(likelihood, "evaluate", fail)
    out = program("evaluate", "sequnet")
    assert out.code == 1
    assert "error: Internal fault: KeyError: 'planted'" in out.err
    assert "--debug" in out.err
    assert "Traceback" not in out.err


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ENOSPC, "no space is left on the disk"),
        (errno.EACCES, "Permission denied"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_faults_of_the_disk(trained_project, program, monkeypatch, number, text):
    from seqgen_core.generation.rendering import sound

    def fail(*arguments, **options):
        raise OSError(number, os.strerror(number), "clips/clip-000.wav")

    monkeypatch.setattr(sound, "write_sound", fail)
    out = program("generate", "sequnet", "--length", "3", "--out", "clips")
    assert out.code == 1
    assert f"error: clips/clip-000.wav: {text}" in out.err


def test_the_reader_of_a_stream_goes_away(trained_project):
    """As with `seqgen generate --stream | head -c 100`."""
    import subprocess
    import sys

    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-m", "seqgen_cli.main", "generate", "sequnet", "--stream", "--length", "20000"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert len(process.stdout.read(100)) == 100
        process.stdout.close()
        told = process.stderr.read().decode()
    assert process.returncode == 1
    assert told.splitlines()[-1] == "error: The reader of the output went away."
    assert "Traceback" not in told


def test_sound_for_priming_that_is_empty(trained_project, program):
    soundfile.write("empty.wav", np.zeros(0, np.float32), 1000)
    out = program("generate", "sequnet", "--prime", "empty.wav", "--length", "3")
    assert out.code in (1, 2)
    assert "empty.wav" in out.err
    assert "Internal fault" not in out.err
