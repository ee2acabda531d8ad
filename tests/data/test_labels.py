"""Class labels from folders, patterns of file names and CSV files, and what is said where they do not fit."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqgen_core.data.discover import RawFile
from seqgen_core.data.labels import UnlabelledError, label_files, labeller
from seqgen_core.errors import UsageError

FSDD = "{label}_{speaker}_{index}.wav"


def raw(path: str, label: str | None = "folder", given=None) -> RawFile:
    return RawFile(path=Path(path), origin=path, given=given, label=label, size=1, mtime=1)


def label_of(labels: str, path: str) -> str | None:
    return labeller(labels)(raw(path))[0]


def csv_file(folder: Path, text: str, name: str = "labels.csv") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_none_and_folder():
    assert labeller("none")(raw("a/b.wav")) == (None, None)
    assert labeller("folder")(raw("a/b.wav", label="a")) == ("a", None)


@pytest.mark.parametrize(
    ("pattern", "path", "label"),
    [
        (FSDD, "x/7_jackson_3.wav", "7"),
        (FSDD, "x/7_jackson_3.WAV", "7"),
        ("{digit}_{label}_{index}.wav", "x/7_jackson_3.wav", "jackson"),
        ("{}_{label}_{}.wav", "x/7_jackson_3.wav", "jackson"),
        ("{ digit }_{ label }_{}", "x/7_jackson_3.flac", "jackson"),
        ("{label}_{}", "x/p225_001.wav", "p225"),
        ("{label}_{}", "x/p225_001_mic1.wav", "p225"),  # as few characters as it can take, from the left
        ("{}_{label}", "x/7_jackson_3.wav", "jackson_3"),
        ("{label}.{}", "x/cat.0.jpg", "cat"),
        ("img-{label}.png", "x/img-(a+b).png", "(a+b)"),
        ("{label}/{}", "x/Anna/1.mp3", "Anna"),
        ("{label}/{}/{}.flac", "x/198/209/198-209-0000.flac", "198"),
        ("SPEAKER{label}", "x/speakerAnna.wav", "Anna"),  # capitals count in fields alone
    ],
)
def test_patterns(pattern, path, label):
    assert label_of(pattern, path) == label


def test_the_real_names_of_spoken_digits(shared_data):
    files = [raw(str(path)) for path in sorted((shared_data / "speech" / "fsdd").glob("*.wav"))]
    kept, rejected = label_files(FSDD, files)
    assert sorted({file.label for file in kept if file.label}) == list("0123456789")
    kept, rejected = label_files("{digit}_{label}_{index}.wav", files)
    assert {file.label for file in kept} == {"george", "jackson", "lucas", "nicolas", "theo", "yweweler"}
    assert not rejected
    assert len(kept) == len(files)


def test_accents_may_be_composed_or_not():
    assert label_of("é_{label}", unicodedata.normalize("NFD", "x/é_ü.wav")) == "ü"


@given(st.lists(st.text("ab12-", min_size=1), min_size=2, max_size=4), st.integers(0, 3))
def test_fields_without_the_separator_are_found_exactly(fields, place):
    place %= len(fields)
    pattern = "_".join("{label}" if number == place else "{}" for number in range(len(fields)))
    assert label_of(pattern, "x/" + "_".join(fields) + ".wav") == fields[place]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("{digit}_{speaker}.wav", r"\{speaker\}\.wav\" has no \{label\}"),
        ("{label}_{label}.wav", "has {label} twice"),
        ("{label}_{.wav", "a brace without its partner"),
        ("label}_{}", r"has no \{label\}"),
    ],
)
def test_a_pattern_that_cannot_be_meant(pattern, said):
    with pytest.raises(UsageError, match=said):
        labeller(pattern)


def test_a_pattern_without_label_hints_at_its_fields():
    with pytest.raises(UsageError) as caught:
        labeller("{digit}_{}_{speaker}")
    assert caught.value.hint == "If {digit} or {speaker} is the label, write {label} there."


def test_names_that_do_not_fit_are_set_aside():
    kept, rejected = label_files(FSDD, [raw("x/7_jackson_3.wav", given="test"), raw("x/readme.wav")])
    assert [(file.label, file.given) for file in kept] == [("7", "test")]
    assert [(one.origin, one.reason) for one in rejected] == [
        ("x/readme.wav", f'its name does not fit the pattern of labels "{FSDD}"')
    ]


def test_where_no_name_fits_it_is_an_error():
    with pytest.raises(UsageError, match=r"Not one of 2 files gets a label: x/a.wav: its name does not fit"):
        label_files(FSDD, [raw("x/a.wav"), raw("x/b.wav")])
    assert label_files(FSDD, []) == ([], [])


def test_a_list_names_files_by_the_end_of_their_path(tmp_path):
    labels = labeller(
        csv_file(
            tmp_path,
            "file,label,split\n"
            "a.wav,cat,\n"
            "./deep/b.wav,dog,valid\n"
            "deep\\c.wav,dog,Test\n"
            'b.wav,"cat, small",train\n'
            f"{tmp_path}/whole.wav,fish,dev\n"
            "LJ001-0001,word,\n",
        )
    )
    assert labels(raw("x/a.wav")) == ("cat", None)
    assert labels(raw("y/z/a.wav")) == ("cat", None)
    assert labels(raw("x/deep/b.wav")) == ("dog", "valid")
    assert labels(raw("x/c/b.wav")) == ("cat, small", "train")
    assert labels(raw("x/deep/c.wav")) == ("dog", "test")
    assert labels(raw(f"{tmp_path}/whole.wav")) == ("fish", "valid")
    assert labels(raw("x/LJ001-0001.flac")) == ("word", None)
    for absent in ("x/c.wav", "whole.wav", "x/aa.wav", "x/a.wav/d.wav"):
        with pytest.raises(UnlabelledError, match=r"labels\.csv does not name it"):
            labels(raw(absent))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_list_of_any_common_program(tmp_path, delimiter):
    text = "\ufeffLabel, File\r\n\r\n cat,a.wav\r\ncat,a.wav\r\n".replace(",", delimiter)
    assert label_of(csv_file(tmp_path, text), "x/a.wav") == "cat"


def test_a_split_of_the_list_goes_before_the_folders(tmp_path):
    path = csv_file(tmp_path, "file,label,split\na.wav,cat,test\nb.wav,cat,\n")
    kept, rejected = label_files(path, [raw("x/a.wav", given="train"), raw("x/b.wav", given="valid"), raw("x/c.wav")])
    assert [file.given for file in kept] == ["test", "valid"]
    assert [one.origin for one in rejected] == ["x/c.wav"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,label\na.wav,cat\na.wav,dog\n", "line 3 says a.wav is dog, line 2 that it is cat"),
        ("file,label,split\na.wav,cat,test\na.wav,cat,\n", "line 3 says a.wav is cat, line 2 that it is cat, test"),
        ("name,class\na.wav,cat\n", "no column file and no column label: its first line names name, class"),
        ("file,class\na.wav,cat\n", "has no column label"),
        ("", "names nothing"),
        ("file,label\n", "names no file"),
        ("file,label\na.wav,\n", "line 2 names no label"),
        ("file,label\na.wav\n", "line 2 names no label"),
        ("file,label\n,cat\n", "line 2 names no file"),
        ("file,label,split\na.wav,cat,later\n", 'line 2 names the split "later"'),
        ('file,label\n"a.wav,cat\n', "cannot be read"),
    ],
)
def test_a_list_that_cannot_be_meant(tmp_path, text, said):
    with pytest.raises(UsageError, match=said):
        labeller(csv_file(tmp_path, text))


def test_a_list_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(UsageError, match="there is no such file") as caught:
        labeller("speakers")
    assert "a pattern with {label}" in caught.value.wanted
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        labeller(str(tmp_path))
    (tmp_path / "latin.csv").write_bytes("file,label\na.wav,früh\n".encode("latin-1"))
    with pytest.raises(UsageError, match="cannot be read"):
        labeller(str(tmp_path / "latin.csv"))
