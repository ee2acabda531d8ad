"""Text files: UTF-8 with any line ends is read; anything else is one clear line."""

import pytest

from seqgen_core.text.files import UnreadableTextError, read_text


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"one\ntwo\n", "one\ntwo\n"),
        (b"one\r\ntwo\rthree", "one\ntwo\nthree"),
        (b"\xef\xbb\xbfone", "one"),
        ("Ærøskøbing — 猫\n".encode(), "Ærøskøbing — 猫\n"),
        ("a\ufeffb".encode(), "a\ufeffb"),  # only at the very start is it a mark
    ],
)
def test_utf8_is_read_whatever_ends_its_lines(tmp_path, data, text):
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    assert read_text(path) == text


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"\xef\xbb\xbf", "it holds a byte order mark and nothing else"),
        (b"one\ncaf\xe9 two", "byte 0xe9 at offset 7 (line 2) is not UTF-8"),
        (b"\xef\xbb\xbfcaf\xe9 two", "byte 0xe9 at offset 6 (line 1) is not UTF-8"),
        (b"one\xc3", "byte 0xc3 at offset 3 (line 1) is not UTF-8"),
        ("one".encode("utf-16"), "it is UTF-16, as its first two bytes say"),
        (b"\xc3\xa9 \0 one", "byte 0x00 at offset 3 is no character of a text"),
    ],
)
def test_what_is_no_text_says_why(tmp_path, data, reason):
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    with pytest.raises(UnreadableTextError) as caught:
        read_text(path)
    assert caught.value.reason == reason
    assert caught.value.got == f"{path}: {reason}."


def test_a_wrong_encoding_says_how_to_convert(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"caf\xe9")
    with pytest.raises(UnreadableTextError) as caught:
        read_text(path)
    assert "iconv -f ISO-8859-1 -t UTF-8" in caught.value.hint


def test_a_folder_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(UnreadableTextError, match="it cannot be read: Is a directory"):
        read_text(tmp_path)
    with pytest.raises(UnreadableTextError, match=r"none\.txt: it cannot be read: No such file"):
        read_text(tmp_path / "none.txt")
