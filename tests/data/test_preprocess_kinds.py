"""The common road of every kind but sound: found, gathered, split, cut or left whole, labelled, stored."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seqgen_core.data import preprocess as stage
from seqgen_core.data.preprocess import PreprocessReport, preprocess
from seqgen_core.data.store import SPLITS, PreparedData
from seqgen_core.errors import SeqgenError
from seqgen_core.progress import Silent
from seqgen_core.settings.preprocess import PreprocessSettings


def prepare(raw: Path, out: Path, **settings: Any) -> PreprocessReport:
    return preprocess(PreprocessSettings(inputs=(raw,), out=out, jobs=1, **settings))


def texts(folder: Path, *contents: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(contents):
        (folder / f"{number}.txt").write_text(content)
    return folder


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (3, 2), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def text_of(data: PreparedData, split: Any) -> list[str]:
    vocabulary = data.manifest.codec.vocabulary  # ty: ignore[unresolved-attribute]
    return ["".join(vocabulary[token] for token in data.tokens(item)) for item in data.items(split)]


def test_one_text_is_cut_along_its_characters(tmp_path: Path) -> None:
    content = "".join(f"line {number}\n" for number in range(100))
    report = prepare(texts(tmp_path / "raw", content), tmp_path / "out")
    data = PreparedData.open(tmp_path / "out")
    data.verify()
    assert "".join(text_of(data, split)[0] for split in SPLITS) == content
    (last,) = data.items("test")
    assert last.origin == f"{tmp_path / 'raw' / '0.txt'} [{len(content) - last.length:,}–{len(content):,}]"
    assert report.seconds("train") is None
    assert report.tokens("train") == data.items("train")[0].length
    assert any("only one recording to split: cut along time" in line for line in report.manifest.warnings)
    assert len({item.key for item in data.manifest.items}) == 3


def test_a_text_too_short_to_cut_is_for_training(tmp_path: Path) -> None:
    prepare(texts(tmp_path / "raw", "abc"), tmp_path / "out")
    data = PreparedData.open(tmp_path / "out")
    assert (text_of(data, "train"), text_of(data, "valid"), text_of(data, "test")) == (["abc"], [], [])


def test_images_are_never_cut(tmp_path: Path) -> None:
    for count in (1, 2):
        report = prepare(pictures(tmp_path / str(count), count), tmp_path / f"out {count}", levels=4)
        data = PreparedData.open(tmp_path / f"out {count}")
        assert [item.length for item in data.items("train")] == [7] * count
        assert len(data.manifest.items) == count
        assert any("all for training, none for test or valid" in line for line in report.manifest.warnings)
    three = prepare(pictures(tmp_path / "3", 3), tmp_path / "out 3", levels=4)
    assert [len(three.items(split)) for split in SPLITS] == [1, 1, 1]


def test_a_task_is_never_cut(tmp_path: Path) -> None:
    task: dict[str, Any] = {"task": "copy-memory", "task_length": 5, "task_count": 4}
    preprocess(PreprocessSettings(out=tmp_path / "out", **task))
    data = PreparedData.open(tmp_path / "out")
    assert {(item.length, item.given) for item in data.manifest.items} == {(26, 16)}
    assert len(data.manifest.items) == 4


def test_whole_recordings_are_drawn_and_folders_are_labels(tmp_path: Path) -> None:
    for name in ("prose", "verse"):
        texts(tmp_path / "raw" / name, *(f"{name} number {number}\n" for number in range(10)))
    report = prepare(tmp_path / "raw", tmp_path / "out", labels="folder", valid_share=0.2, test_share=0.2)
    manifest = report.manifest
    assert manifest.label_names == ("prose", "verse")
    assert {item.split for item in manifest.items} == set(SPLITS)
    assert len(manifest.items) == 20
    for item in manifest.items:
        assert item.label is not None
        assert manifest.label_names[item.label] in item.origin
        assert "[" not in item.origin


def test_copies_stay_on_one_side_and_are_told(tmp_path: Path) -> None:
    report = prepare(texts(tmp_path / "raw", *["the same\n"] * 3, *(f"{n}\n" for n in range(20))), tmp_path / "out")
    assert any(line == "2 are copies of another; all are used" for line in report.manifest.warnings)
    sides = {item.split for item in report.manifest.items if Path(item.origin).stem in "012"}
    assert len(sides) == 1


def test_finished_work_is_recognised_and_changed_work_is_not(tmp_path: Path) -> None:
    raw = texts(tmp_path / "raw", "one\n", "two\n", "three\n")
    assert prepare(raw, tmp_path / "out").fresh
    again = prepare(raw, tmp_path / "out")
    assert not again.fresh
    assert prepare(raw, tmp_path / "out", codec="words").fresh
    assert len(list((tmp_path / "out").glob("*.bin"))) == 1


def test_the_old_data_stand_where_new_ones_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = texts(tmp_path / "raw", "one\n", "two\n", "three\n")
    before = prepare(raw, tmp_path / "out").manifest

    def fail(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(stage.PreparedWriter, "finish", fail)
    with pytest.raises(ZeroDivisionError):
        prepare(raw, tmp_path / "out", codec="words")
    data = PreparedData.open(tmp_path / "out")
    data.verify()
    assert data.manifest == before
    assert len(list((tmp_path / "out").glob("*.bin"))) == 1


@pytest.mark.parametrize(
    ("codec", "said"),
    [
        ("pixels", "There is no image in"),
        ("piano-roll", "There is no MIDI file or piano roll in"),
        ("mu-law", "There is no sound in"),
    ],
)
def test_a_codec_of_another_kind_finds_nothing(tmp_path: Path, codec: str, said: str) -> None:
    with pytest.raises(SeqgenError, match=f"{said} .*raw; 1 file is no") as caught:
        prepare(texts(tmp_path / "raw", "one\n"), tmp_path / "out", codec=codec)
    assert caught.value.wanted
    assert "seqgen preprocess FOLDER" in caught.value.hint


def test_nothing_usable_names_the_reasons(tmp_path: Path) -> None:
    (texts(tmp_path / "raw") / "0.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SeqgenError, match=r"None of 1 files? could be used: .*0\.txt: "):
        prepare(tmp_path / "raw", tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_settings_of_another_kind_are_told_and_a_failure_leaves_no_folder(tmp_path):
    class Told(Silent):
        def __init__(self):
            self.warnings = []

        def warn(self, line):
            self.warnings.append(line)

    (tmp_path / "a.txt").write_text("some words to read\n" * 9)
    told = Told()
    settings = PreprocessSettings(inputs=(tmp_path / "a.txt",), out=tmp_path / "out", levels=12, features="mel")
    preprocess(settings, told)
    assert told.warnings == [
        "preprocess.features means nothing for text: it is not used",
        "preprocess.levels means nothing for text: it is not used",
    ]
    (tmp_path / "cut.mid").write_bytes(b"MThd\x00\x00")
    with pytest.raises(SeqgenError, match="None of 1 could be used"):
        preprocess(PreprocessSettings(inputs=(tmp_path / "cut.mid",), out=tmp_path / "gone"))
    assert not (tmp_path / "gone").exists()
