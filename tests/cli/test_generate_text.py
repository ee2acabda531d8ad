"""Text from the command line: primes that are words, streams that read as the files do."""

from pathlib import Path

import pytest


@pytest.fixture(params=["characters", "words"])
def project(request, tmp_path, monkeypatch, program):
    """The current folder: data and a run of text, by characters and by words."""
    monkeypatch.chdir(tmp_path)
    Path("raw").mkdir()
    for number in range(5):
        Path(f"raw/{number}.txt").write_text("the cat and the dog\nsat on the mat\n" * (4 + number))
    assert program("preprocess", "raw", "--codec", request.param, "--out", "data", "jobs=1").code == 0
    out = program("train", "run", "--model", "tcn", "--data", "data", "--steps", 3, "--device", "cpu", "--window", 32,
                  "channels=8", "levels=2", "threads=1", "tensorboard=false")  # fmt: skip
    assert out.code == 0, out.err
    return tmp_path


@pytest.mark.parametrize("prime", [[], ["--prime", "the dog sat\n"]])
def test_a_stream_is_the_text_of_the_file(project, program, prime):
    written = program("generate", "run", "--length", 40, "--seed", 3, "--out", "clips", *prime, "--json")
    assert written.code == 0, written.err
    files = written.json["clips"][0]["files"]
    text = (Path("clips") / (files["continuation"] if prime else files["clip"])).read_text()
    streamed = program("generate", "run", "--length", 40, "--seed", 3, "--stream", *prime)
    assert streamed.code == 0, streamed.err
    assert streamed.out == text
    assert len(text) >= 40


def test_a_prime_comes_first_and_is_shown(project, program):
    out = program("generate", "run", "--length", 10, "--prime", "the dog sat\n", "--out", "clips")
    assert out.code == 0, out.err
    assert "the dog sat\n" in out.out
    assert Path("clips/clip-000-prime.txt").read_text() == "the dog sat\n"
    assert Path("clips/clip-000-joined.txt").read_text().startswith("the dog sat\n")
    Path("own").write_text("the dog sat\n")
    again = program("generate", "run", "--length", 10, "--prime", "own", "--out", "again", "--json")
    assert Path("again/clip-000-joined.txt").read_bytes() == Path("clips/clip-000-joined.txt").read_bytes()
    assert again.json["clips"][0]["prime"]["origin"] == "own"


def test_what_means_nothing_for_text_is_told(project, program):
    for arguments, said in (
        (["--seconds", 3], "Text takes no time, so --seconds"),
        (["--prime", "the dog", "--prime-seconds", 3], "Text takes no time, so prime_seconds"),
        (["--prime", "zebra"], "zebra"),
    ):
        out = program("generate", "run", *arguments)
        assert out.code in (1, 2)
        assert "Traceback" not in out.err
        assert said in out.err or "'z'" in out.err
