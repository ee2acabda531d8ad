"""Text files to recordings: splits by name, one vocabulary over all, what is no text set aside."""

import numpy as np
import pytest

from seqgen_core.data.discover import RawFile
from seqgen_core.data.kinds import text as module
from seqgen_core.data.kinds.text import gather, split_of_name
from seqgen_core.errors import SeqgenError
from seqgen_core.progress import Silent
from seqgen_core.settings.preprocess import PreprocessSettings
from seqgen_core.text.codec import TextCodec


def raw(path, given=None, label=None):
    return RawFile(path, str(path), given, label, path.stat().st_size, 0)


def write(folder, **files):
    """Raw files of name=content; an underscore in a name is a dot."""
    made = []
    for name, content in files.items():
        path = folder / f"{name.replace('_', '.')}.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        made.append(raw(path))
    return made


def gathered(files, **settings):
    return gather(PreprocessSettings(**settings), files, Silent())


def test_files_become_streams_of_one_vocabulary(tmp_path):
    found = gathered(write(tmp_path, one="ab\r\nb", two="cb"))
    assert found.codec.vocabulary == ("\n", "a", "b", "c")
    assert [r.tokens.tolist() for r in found.recordings] == [[1, 2, 0, 2], [3, 2]]
    assert [r.split for r in found.recordings] == [None, None]
    assert [r.given for r in found.recordings] == [1, 1]
    assert [r.origin for r in found.recordings] == [str(tmp_path / "one.txt"), str(tmp_path / "two.txt")]
    assert found.recordings[0].content != found.recordings[1].content


def test_words_on_request(tmp_path):
    found = gathered(write(tmp_path, one="the cat\nthe dog\n"), codec="words")
    assert found.codec.vocabulary == ("<eos>", "the", "cat", "dog")
    assert TextCodec(found.codec).decode(found.recordings[0].tokens) == "the cat\nthe dog\n"


def test_names_that_say_a_split_are_believed(tmp_path):
    found = gathered(write(tmp_path, train="ab", ptb_valid="ab", TEST="ab", latest="ab"))
    assert [r.split for r in found.recordings] == ["train", "valid", "test", None]
    assert split_of_name("my-test") is None


def test_folders_and_lists_outweigh_names(tmp_path):
    files = write(tmp_path, train="ab")
    found = gathered([raw(files[0].path, given="valid", label="poem")])
    assert (found.recordings[0].split, found.recordings[0].label) == ("valid", "poem")


def test_what_is_no_text_is_set_aside_with_the_reason(tmp_path):
    found = gathered(write(tmp_path, good="ab\n", empty="", latin=b"caf\xe9", short="a"))
    assert [r.origin for r in found.recordings] == [str(tmp_path / "good.txt")]
    assert {r.origin.rpartition("/")[2]: r.reason for r in found.rejected} == {
        "empty.txt": "it is empty",
        "latin.txt": "byte 0xe9 at offset 3 (line 1) is not UTF-8",
        "short.txt": "too short: 1 character; 2 are needed",
    }


def test_two_copies_have_one_content(tmp_path):
    one, two = gathered(write(tmp_path, one="ab\n", two="\ufeffab\r\n")).recordings
    assert one.content == two.content


def test_nothing_usable_says_why(tmp_path):
    with pytest.raises(SeqgenError, match=r"None of 2 files could be used: .*one\.txt: it is empty; .*two\.txt: byte"):
        gathered(write(tmp_path, one="", two=b"\xff\xff"))
    with pytest.raises(SeqgenError, match=r"The text holds the one character 'a' alone; nothing can be predicted"):
        gathered(write(tmp_path, one="aaa"))
    with pytest.raises(SeqgenError, match="The text holds no words at all"):
        gathered(write(tmp_path, one="   "), codec="words")


def test_too_many_words_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_VOCABULARY", 3)
    with pytest.raises(SeqgenError, match="The text has 4 different words") as caught:
        gathered(write(tmp_path, one="a b c d"), codec="words")
    assert "--codec characters" in caught.value.hint


def test_penn_treebank_falls_into_its_splits(shared_data):
    files = [raw(shared_data / f"text/penn/{split}.txt") for split in ("test", "train", "valid")]
    words = gathered(files, codec="words")
    assert {r.split: len(r.tokens) for r in words.recordings} == {"train": 929_589, "valid": 73_760, "test": 82_430}
    assert len(words.codec.vocabulary) == 10_000
    assert words.codec.vocabulary[:3] == ("the", "<unk>", "<eos>")
    characters = gathered(files)
    assert len(characters.codec.vocabulary) == 50
    assert {r.split: len(r.tokens) for r in characters.recordings} == {
        "train": 5_101_618,
        "valid": 399_782,
        "test": 449_945,
    }
    assert all(r.tokens.dtype == np.uint8 for r in characters.recordings)
