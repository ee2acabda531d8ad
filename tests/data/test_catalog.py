"""The catalogue: every entry is whole, its sums are those of the real files, its next command is one that exists."""

import hashlib
import re
import shlex
from pathlib import Path

import pytest

from seqgen_core.data.catalog import CATALOG, find_dataset
from seqgen_core.data.datasets.entry import Dataset
from seqgen_core.data.kinds import looks_like_images, looks_like_notes, looks_like_text
from seqgen_core.errors import UsageError
from seqgen_core.settings.codec import CODEC_NAMES, SOUND_NAMES, TEXT_NAMES
from seqgen_core.settings.preprocess import PreprocessSettings

ENTRIES = pytest.mark.parametrize("dataset", CATALOG.values(), ids=lambda dataset: dataset.name)


def test_all_that_was_promised_is_there():
    assert set(CATALOG) == {
        *("sequnet-piano", "fsdd", "vctk", "ljspeech", "mnist", "cifar10", "penn-treebank", "tinyshakespeare"),
        *("jsb-chorales", "nottingham", "musedata", "piano-midi", "beethoven-sonatas", "maestro"),
    }


@ENTRIES
def test_an_entry_is_whole(dataset: Dataset):
    assert re.fullmatch(r"[a-z0-9-]+", dataset.name)
    assert dataset.description.endswith(".")
    assert dataset.licence
    assert dataset.unit
    assert dataset.page.startswith("http")
    assert dataset.splits
    assert all(dataset.splits.values())
    assert bool(dataset.files) != bool(dataset.lists)
    kinds = {"sound": SOUND_NAMES, "text": TEXT_NAMES, "notes": ("piano-roll",), "images": ("pixels",)}
    assert dataset.codec in CODEC_NAMES
    assert dataset.codec in kinds[dataset.kind]
    for file in dataset.files:
        assert file.addresses
        assert all(url.startswith("https://") for url in file.addresses)
        assert all(re.fullmatch(r"|[0-9a-f]{64}", one) for one in (file.sha256, file.content_sha256))
        assert re.fullmatch(r"|[0-9a-f]{32}", file.md5)
        assert "/" not in file.name
        assert dataset.most_bytes
    if dataset.size is not None and not any(file.is_archive or file.is_packed for file in dataset.files):
        assert dataset.size == dataset.most_bytes


@ENTRIES
def test_the_next_command_is_one_that_exists(dataset: Dataset):
    words = shlex.split(dataset.next_command(Path("a folder/x")))
    assert words[:3] == ["seqgen", "preprocess", "a folder/x"]
    names, values = words[3::2], words[4::2]
    given = {name.removeprefix("--").replace("-", "_"): value for name, value in zip(names, values, strict=True)}
    settings = PreprocessSettings.model_validate(given)
    assert settings.codec == dataset.codec


@ENTRIES
def test_what_is_unpacked_is_of_its_kind(dataset: Dataset):
    of_kind = {"notes": looks_like_notes, "images": looks_like_images, "text": looks_like_text}.get(dataset.kind)
    for file in dataset.files:
        if of_kind is not None and not file.is_archive:
            placed = dataset.place(file.content_name)
            assert placed is not None
            assert of_kind(Path(placed.path))
            assert placed.split in (None, *dataset.splits)


@pytest.mark.parametrize(
    ("name", "member", "place", "split"),
    [
        ("fsdd", "free-spoken-digit-dataset-1.0.10/recordings/7_theo_4.wav", "test/7_theo_4.wav", "test"),
        ("fsdd", "free-spoken-digit-dataset-1.0.10/recordings/7_theo_14.wav", "train/7_theo_14.wav", "train"),
        ("fsdd", "7_theo_14.wav", "train/7_theo_14.wav", "train"),
        ("fsdd", "free-spoken-digit-dataset-1.0.10/README.md", None, None),
        ("vctk", "wav48_silence_trimmed/p225/p225_001_mic1.flac", "p225/p225_001_mic1.flac", None),
        ("vctk", "wav48_silence_trimmed/p225/p225_001_mic2.flac", None, None),
        ("vctk", "txt/p225/p225_001.txt", None, None),
        ("ljspeech", "LJSpeech-1.1/wavs/LJ001-0001.wav", "LJ001-0001.wav", None),
        ("ljspeech", "LJSpeech-1.1/wavs/._LJ001-0001.wav", None, None),
        ("ljspeech", "LJSpeech-1.1/metadata.csv", None, None),
        ("mnist", "t10k-images-idx3-ubyte", "t10k-images-idx3-ubyte", "test"),
        ("cifar10", "cifar-10-batches-bin/data_batch_3.bin", "data_batch_3.bin", "train"),
        ("cifar10", "cifar-10-batches-bin/test_batch.bin", "test_batch.bin", "test"),
        ("cifar10", "cifar-10-batches-bin/batches.meta.txt", "batches.meta.txt", None),
        ("cifar10", "cifar-10-batches-bin/readme.html", None, None),
        ("penn-treebank", "valid.txt", "valid.txt", "valid"),
        ("beethoven-sonatas", "beethoven/3807.wav", "train/3807.wav", "train"),
        ("beethoven-sonatas", "beethoven/3808.wav", "valid/3808.wav", "valid"),
        ("beethoven-sonatas", "beethoven/4327.wav", "test/4327.wav", "test"),
        ("maestro", "maestro-v3.0.0/2018/a.midi", "a.midi", None),
        ("maestro", "maestro-v3.0.0/LICENSE", None, None),
        ("sequnet-piano", "test/abc-xyz.m4a", "test/abc-xyz.m4a", "test"),
        ("sequnet-piano", "abc-xyz.webm", "abc-xyz.webm", None),
        ("sequnet-piano", "sources.jsonl", None, None),
    ],
)
def test_where_files_go(name: str, member: str, place: str | None, split: str | None):
    placed = CATALOG[name].place(member)
    assert (None if placed is None else placed.path) == place
    if placed is not None:
        assert placed.split == split


def test_sums_are_those_of_the_real_files(shared_data: Path):
    real = {path.name: path for part in ("text", "symbolic", "images") for path in (shared_data / part).rglob("*.*")}
    compared = 0
    for name in ("penn-treebank", "tinyshakespeare", "jsb-chorales", "nottingham", "musedata", "piano-midi"):
        for file in CATALOG[name].files:
            content = real[file.name].read_bytes()
            assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)
            compared += 1
    assert compared == 8


@pytest.mark.parametrize(
    ("name", "near"), [("minst", "'mnist'"), ("MNIST", "'mnist'"), ("beethoven", "'beethoven-sonatas'"), ("zzz", "")]
)
def test_an_unknown_name_tells_the_nearest(name: str, near: str):
    with pytest.raises(UsageError) as caught:
        find_dataset(name)
    assert near in caught.value.got
    assert ("did you mean" in caught.value.got) == bool(near)
    assert "jsb-chorales" in caught.value.wanted
