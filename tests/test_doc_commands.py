"""Every command of README.md and docs/ is run, in this process and in a temporary folder, or named here with a reason.

What makes them quick, and independent of the network, is in the tables: REPLACED and ADDED change words, PLACES and the
comment `<!-- run: … -->` before a block say what is there when it begins, NOT_RUN names what is not run.
"""

import dataclasses
import functools
import itertools
import json
import os
import shlex
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import stand_ins
from doc_checks import check_extras, check_script, check_tests, check_told, check_words
from doc_pages import PAGES, ROOT, Block, Command, blocks, inline
from tiny import TINY_MODELS, Program, make_data

from seqgen_core.settings.project import PROJECT_FILE, load_project

STEPS, MORE_STEPS = "2", "4"
REPLACED = {
    ("demo", "--max-time"): ["--max-time", "1s"],
    ("train", "--max-time"): ["--steps", STEPS],
    ("train", "--steps"): ["--steps", STEPS],
    ("train", "--epochs"): ["--steps", STEPS],
    ("train", "--devices"): ["--devices", "1"],  # several: tests/training/test_distributed.py
    ("tune", "--trials"): ["--trials", "2"],
    ("tune", "--steps-per-trial"): ["--steps-per-trial", STEPS],
    ("tune", "--max-time-per-trial"): ["--steps-per-trial", STEPS],
    ("preprocess", "--cluster"): [],  # a scheduler and workers: tests/data/test_cluster.py
    ("generate", "--seconds"): ["--seconds", "1"],
    ("generate", "--count"): ["--count", "2"],
    ("generate", "--rank"): ["--rank", "3"],
    ("evaluate", "--clips"): [],
    ("report", "--count"): [],
    ("report", "--seconds"): [],
}
"""(command, option) → the words that stand for the option and its value."""
LIMITS = [
    "batch_size=2",
    "window=32",
    "validate_every=2",
    "sample_count=0",
    "tensorboard=false",
    "device=cpu",
    "threads=1",
]
"""What `train` and `tune` get, before what the page says; with the sizes of tiny.py for their model."""
PLACES = {
    "https://example.org/": "ADDRESS",
    "/shared/music": "recordings",
    "/shared/recordings": "recordings",
    "/shared/prepared": "elsewhere/prepared",
    "~/recordings": "recordings",
}
"""How words begin that name a place that is not of this folder → what stands in for it."""
NOT_RUN = {
    "ffplay -nodisp -autoexit -f s16le -ar 16000 -": "plays aloud; that whole samples come out is checked",
    "dask scheduler": "tests/data/test_cluster.py starts one",
    "dask worker tcp://10.0.0.1:8786 --nworkers 8 --nthreads 1": "tests/data/test_cluster.py starts them",
    "torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint first-machine:29500 --rdzv-id any-name"
    " -m seqgen_cli train runs/big --preset sequnet-raw-audio": "several machines; tests/training/test_distributed.py",
    "python docs/generate.py": "tests/test_docs.py compares the pages with what it would write",
    "#!/bin/bash": "a script for SLURM; its grammar is checked, and seqgen's words as torchrun's are",
}
"""What pages show and this test does not run → why, and what tests it instead. A script is named by its first line."""


class QuietHandler(SimpleHTTPRequestHandler):
    """Files of a folder, and no lines about it."""

    def log_message(self, format: str, *args: object) -> None: ...


class Reader:
    """Does what a page says, as somebody who follows it would, but quickly."""

    def __init__(self, program: Program, address: str, mirror: Path) -> None:
        self.program, self.address, self.mirror, self.home = program, address, mirror, Path.cwd()

    def begin(self, block: Block) -> None:
        """Lay out what the block's comment asks for: prepared data, a run or runs/NAME, recordings by name."""
        stand_ins.recordings(self.home / "recordings")
        for wanted in block.before:
            if wanted == "prepared":
                make_data(Path("data/prepared"), levels=256, rate=stand_ins.RATE)
            elif wanted.startswith("run"):
                named = [wanted] if "/" in wanted else []
                assert self.program("train", *named, *LIMITS, *sizes("sequnet"), "--steps", STEPS).code == 0
            elif wanted.endswith(".wav"):
                stand_ins.recording(Path(wanted), 1.2)
            else:
                stand_ins.recordings(Path(wanted))

    def follow(self, command: Command) -> None:
        """Run one command. A name that is neither known here nor among NOT_RUN fails."""
        while "=" in command.words[0]:  # a variable for the program alone
            command = dataclasses.replace(command, words=command.words[1:])
        name = command.words[0]
        known = {
            "seqgen": self.seqgen,
            "pip": check_extras,
            "python": run_script,
            "cd": change_folder,
            "pytest": check_tests,
        }
        if shlex.join(command.words) in NOT_RUN:
            check_told(command.words)
        elif name in ("mkdir", "cp"):
            subprocess.run(["bash", "-c", " ".join([name, *map(self.place, command.words[1:])])], check=True)
        else:
            assert name in known, f"{command.where}: `{command}` is neither run nor a listed exception"
            known[name](command)

    def seqgen(self, command: Command) -> None:
        """Run the program with words changed as the tables say."""
        out = self.program(*self.adapt([*command.words[1:]]))
        good = (0, 1) if command.words[1] == "doctor" else (0,)  # 1: it has found something
        assert out.code in good, f"{command.where}: `{command}` ended with {out.code}\n{out.err}"
        for piped in command.piped:
            assert shlex.join(piped) in NOT_RUN, f"{command.where}: `{shlex.join(piped)}` is no listed exception"
            assert out.raw, f"{command.where}: nothing comes out"
            assert len(out.raw) % 2 == 0, f"{command.where}: half a sample comes out"

    def adapt(self, words: list[str]) -> list[str]:
        """The words of a command of seqgen, made small and kept off the network."""
        name, *rest = words
        said, changed = iter(rest), [name, *self.added(name, rest)]
        for word in said:
            option, _, _ = word.partition("=")
            if (name, option) in REPLACED:
                if "=" not in word:
                    next(said)
                changed += REPLACED[name, option]
            else:
                changed.append(self.place(word))
        if name == "train" and "--steps" not in changed:
            changed += ["--steps", STEPS]
        if "--resume" in changed and name == "train":
            changed[changed.index("--steps") + 1] = MORE_STEPS
        if "--resume" in changed and name == "tune":
            changed += ["--trials", "3"]
        return changed

    def added(self, name: str, words: list[str]) -> list[str]:
        """What is put before the words of the page."""
        if name == "demo":
            return ["--data", str(self.home / "recordings"), f"steps={STEPS}", *LIMITS, *sizes("sequnet")]
        if name == "preprocess":
            return ["jobs=1"]
        if name == "download" and "--dataset" in words:
            return ["--mirror", str(self.mirror)]
        if name == "report":
            return ["--count", "1", "--seconds", "0.2"]
        if name == "evaluate" and "--quality" in words:
            return ["--clips", "3", "--length", "40"]
        if name == "generate" and "torch" in words and not {"--seconds", "--length"} & {*words}:
            return ["--length", "20"]
        if name not in ("train", "tune") or {"--resume", "--config"} & {*words}:
            return []
        option = dict(itertools.pairwise(words))
        base: dict[str, Any] | None = None if PROJECT_FILE.exists() else {}
        kind = option.get("--model") or load_project(base=base, preset=option.get("--preset")).model.kind
        return [*LIMITS, *sizes(kind)]

    def place(self, word: str) -> str:
        """A word, or where its stand-in lies."""
        for begins, stands in PLACES.items():
            if word.startswith(begins):
                where = self.address if stands == "ADDRESS" else str(self.home / stands)
                return where + word.removeprefix(begins)
        return word


def sizes(kind: str) -> list[str]:
    """Settings of a tiny model."""
    settings = TINY_MODELS[kind].model_dump(exclude={"kind"}, exclude_defaults=True)
    return [f"model.{name}={json.dumps(value)}" for name, value in settings.items()]


def run_script(command: Command) -> None:
    """python: an example of docs/ is run, for less sound; of other scripts the words are checked."""
    example = ROOT / command.words[1]
    if example.parent != ROOT / "docs":
        check_script(command)
        return
    *words, seconds = command.words[2:]
    assert float(seconds) > 0
    subprocess.run([sys.executable, str(example), *words, "0.02"], check=True)


def change_folder(command: Command) -> None:
    """cd, which stays in force until the page's end."""
    os.chdir(command.words[1])


@pytest.fixture
def reader(program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A reader in an empty folder, with a web server and a mirror at hand; what `auto` finds out is known."""
    from seqgen_core.training import fitting, range_test

    # For real: tests/cli/test_fitting_cli.py.
    tested = range_test.judge([(10.0**-place, 8.0 - (place < 3)) for place in range(6, -1, -1)])
    monkeypatch.setattr(fitting, "fit_batch", lambda *arguments: 2)
    monkeypatch.setattr(range_test, "range_test", lambda *arguments: tested)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    mirror = stand_ins.mirror(tmp_path / "mirror", monkeypatch)
    stand_ins.recording(tmp_path / "served" / "a.mp3", 1.2)
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    served = functools.partial(QuietHandler, directory=tmp_path / "served")
    with ThreadingHTTPServer(("127.0.0.1", 0), served) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield Reader(program, f"http://127.0.0.1:{server.server_port}/", mirror)
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_the_commands_of_a_page_work_one_after_another(page: str, reader: Reader) -> None:
    for block in blocks(page):
        reader.begin(block)
        if block.script:
            subprocess.run(["bash", "-n"], input=block.script, text=True, check=True)
        for command in block.commands:
            if block.script:
                check_told(command.words)
            else:
                reader.follow(command)


def test_a_command_that_nobody_argued_for_is_found(reader: Reader) -> None:
    with pytest.raises(AssertionError, match=r"here:1: `curl -O there` is neither run nor a listed exception"):
        reader.follow(Command("here:1", ("curl", "-O", "there")))
    with pytest.raises(AssertionError, match=r"there is no setting model\.colour=1"):
        check_words(("train", "model.colour=1"))
    with pytest.raises(AssertionError, match=r"train has no option --colour"):
        check_words(("train", "--colour"))


def test_what_is_not_run_is_still_shown_somewhere() -> None:
    every = [block for page in PAGES for block in blocks(page)]
    words = {
        shlex.join(words) for one in every for command in one.commands for words in (command.words, *command.piped)
    }
    scripts = {one.script.partition("\n")[0] for one in every if one.script}
    assert {*NOT_RUN} <= words | scripts
    assert scripts <= {*NOT_RUN}


@pytest.mark.parametrize("page", PAGES)
def test_commands_within_sentences_exist_with_their_options(page: str) -> None:
    for command in inline(page):
        check_words(command.words[1:])
