"""Where the files of each data set go, by their names; what is not asked for is left out by None."""

import re

from seqgen_core.data.datasets.entry import Place, Placed, flat
from seqgen_core.data.fetching.sources import Split


def fsdd(name: str) -> Placed | None:
    """Recordings 0 to 4 of each speaker and digit are for the test, by the README."""
    match = re.search(r"(?:^|/)(\d_[a-z]+_(\d+)\.wav)$", name)
    if match is None:
        return None
    split: Split = "test" if int(match[2]) < 5 else "train"
    return Placed(f"{split}/{match[1]}", split)


def recording(name: str) -> Placed | None:
    """A file of sound, below a folder train or test where it lies in one."""
    match = re.search(r"(?:^|/)(?:(train|test)/)?([^/.][^/]*\.(?:wav|flac|ogg|opus|mp3|m4a|webm))$", name)
    if match is None:
        return None
    split: Split | None = "train" if match[1] == "train" else "test" if match[1] == "test" else None
    return Placed(f"{split}/{match[2]}" if split else match[2], split)


def vctk(name: str) -> Placed | None:
    """One of two microphones, the one with which all speakers were recorded; a folder for each speaker."""
    match = re.search(r"(?:^|/)(\w+/\w+_mic1\.flac)$", name)
    return None if match is None else Placed(match[1])


def ending(*suffixes: str) -> Place:
    """Every file with one of these endings, without its folders; hidden ones are left out."""
    return lambda name: flat(name) if name.endswith(suffixes) and "/." not in f"/{name}" else None


def named(**places: Split | None) -> Place:
    """Files whose names begin so; two underscores stand for a dash."""
    heads = {head.replace("__", "-"): split for head, split in places.items()}

    def place(name: str) -> Placed | None:
        short = name.rpartition("/")[2]
        return next((Placed(short, split) for head, split in heads.items() if short.startswith(head)), None)

    return place


def beethoven(name: str) -> Placed | None:
    """Clips 0 to 3807 are for training, the next 260 for validation, the last 260 for the test."""
    match = re.search(r"(?:^|/)(\d+)\.wav$", name)
    if match is None:
        return None
    split: Split = "train" if int(match[1]) < 3808 else "valid" if int(match[1]) < 4068 else "test"
    return Placed(f"{split}/{match[1]}.wav", split)
