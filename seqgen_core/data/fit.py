"""Whether a process, perhaps on another machine, can do a run's work: has the same seqgen, sees the same files."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Fitness:
    """What a process is like.

    host: its machine. seqgen: version and digest of the code that makes tokens. versions: those of the packages that
    sound passes through. trouble: what it cannot see or do, said of "it". mark: ends the name of the file that it
    wrote beside the token.
    """

    host: str
    seqgen: str
    versions: dict[str, str] = field(default_factory=dict)
    trouble: str = ""
    mark: str = ""


def fitness_test() -> Callable[[str, str, dict[str, int]], dict[str, Any]]:
    """A function (run, token, files) → the fields of a Fitness.

    token: path of a file whose content is the run's name; another is written beside it. files: sizes of some of the
    files to be read, by path. It travels with its code, so that a process without seqgen can run it too.
    """

    def test(run: str, token: str, files: dict[str, int]) -> dict[str, Any]:
        import hashlib
        import importlib.metadata
        import importlib.util
        import os
        import socket
        import uuid
        from pathlib import Path

        def version(package: str) -> str:
            try:
                return importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                return "none"

        digest, place = hashlib.sha256(), importlib.util.find_spec("seqgen_core")
        for root in (place.submodule_search_locations or []) if place else []:
            for part in ("audio", "data", "settings"):
                for file in sorted(Path(root, part).rglob("*.py")):
                    digest.update(file.read_bytes())
        found: dict[str, Any] = {
            "host": socket.gethostname(),
            "seqgen": f"{version('seqgen')} (code {digest.hexdigest()[:8]})" if place else "none",
            "versions": {name: version(name) for name in ("av", "numpy", "scipy", "soundfile", "soxr")},
            "mark": uuid.uuid4().hex[:12],
            "trouble": "",
        }
        try:
            if Path(token).read_text(encoding="utf-8") != run:
                found["trouble"] = f"sees another file at {token}"
            for path, size in files.items():
                with open(path, "rb") as stream:
                    if os.fstat(stream.fileno()).st_size != size:
                        found["trouble"] = f"sees another file at {path}"
            Path(f"{token}-{found['mark']}").write_text(run, encoding="utf-8")
        except OSError as error:
            found["trouble"] = f"cannot use {error.filename}: {error.strerror or error}"
        return found

    return test
