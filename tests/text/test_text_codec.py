"""Text to tokens and back: exact for characters, up to spaces for words; what is unknown is named with its place."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqgen_core.errors import SeqgenError
from seqgen_core.settings.codec import TextCodecSettings
from seqgen_core.text import codec as module
from seqgen_core.text.codec import TextCodec
from seqgen_core.text.vocabulary import vocabulary, words_of

characters = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
words = st.text(st.characters(exclude_categories=["Cs", "Zs", "Zl", "Zp", "Cc"]), min_size=1, max_size=5)


def codec_for(kind: str, *texts: str) -> TextCodec:
    """A codec of everything in the texts and a little more."""
    symbols = vocabulary(kind, texts)
    more = [symbol for symbol in ("\n", "x") if kind == "characters" and symbol not in symbols]
    more += [symbol for symbol in ("<eos>", "x") if kind == "words" and symbol not in symbols]
    return TextCodec(TextCodecSettings(kind=kind, vocabulary=(*symbols, *more)))


@given(characters)
def test_characters_come_back_exactly(text):
    codec = codec_for("characters", text)
    tokens = codec.encode(text)
    assert tokens.shape == (len(text),)
    assert codec.decode(tokens) == text


@given(st.lists(st.lists(words, max_size=4), min_size=1, max_size=4))
def test_words_come_back_with_single_spaces(lines):
    text = "\n".join(" ".join(line) for line in lines)
    codec = codec_for("words", text)
    assert codec.decode(codec.encode(text)) == text
    assert codec.decode(codec.encode(text.replace(" ", " \t "))) == text


@given(characters)
def test_any_text_of_words_comes_back_as_the_same_words(text):
    codec = codec_for("words", text)
    again = codec.decode(codec.encode(text))
    assert words_of(again) == words_of(text)


def test_tokens_are_numbers_in_the_vocabulary():
    codec = TextCodec(TextCodecSettings(vocabulary=("b", "a", "\n")))
    assert codec.encode("ab\n").tolist() == [1, 0, 2]
    assert codec.encode("ab\n").dtype == np.uint8
    codec = TextCodec(TextCodecSettings(kind="words", vocabulary=("the", "<eos>", "cat")))
    assert codec.encode(" the  cat\n\nthe").tolist() == [0, 2, 1, 1, 0]
    assert codec.decode([0, 2, 1, 1, 0]) == "the cat\n\nthe"


def test_without_line_ends_in_the_vocabulary_lines_are_spaces():
    codec = TextCodec(TextCodecSettings(kind="words", vocabulary=("0", "1")))
    assert codec.encode("0 1\n1\n").tolist() == [0, 1, 1]
    assert codec.decode([0, 1, 1]) == "0 1 1"


@pytest.mark.parametrize(
    ("kind", "symbols", "start"),
    [("characters", "ab\n", 2), ("characters", "ab", 0), ("words", ("a", "<eos>"), 1), ("words", ("a", "b"), 0)],
)
def test_generation_starts_where_a_line_ends(kind, symbols, start):
    codec = TextCodec(TextCodecSettings(kind=kind, vocabulary=tuple(symbols)))
    assert codec.start.shape == ()
    assert codec.start.dtype == np.int64
    assert codec.start == start


def test_unknown_characters_are_named_with_the_place_of_the_first():
    codec = TextCodec(TextCodecSettings(vocabulary=tuple("ab \n")))
    with pytest.raises(SeqgenError) as caught:
        codec.encode("ab\nabé b\né€")
    assert caught.value.got == "the text: unknown characters 'é', '€'; the first stands at line 2, column 3."
    assert caught.value.wanted == "The 4 characters of the training data."
    with pytest.raises(SeqgenError, match=re.escape("the text: unknown character 'é'; it stands at line 1, column 2.")):
        codec.encode("aé")
    with pytest.raises(SeqgenError, match="'c', 'd', 'e', 'f', 'g' and 2 more; the first stands at line 1, column 1"):
        codec.encode("cdefghi")


def test_unknown_words_are_named_with_the_place_of_the_first():
    codec = TextCodec(TextCodecSettings(kind="words", vocabulary=("a", "b", "<eos>")))
    with pytest.raises(SeqgenError) as caught:
        codec.encode("a b\n b dog a cat\n", "story.txt")
    assert caught.value.got == "story.txt: unknown words 'dog', 'cat'; the first stands at line 2, column 4."
    assert "<unk>" not in caught.value.hint
    codec = TextCodec(TextCodecSettings(kind="words", vocabulary=("a", "<unk>", "<eos>")))
    with pytest.raises(SeqgenError) as caught:
        codec.encode("a dog")
    assert "<unk>" in caught.value.hint


def test_an_unknown_character_of_a_later_block_has_its_place(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 4)
    codec = TextCodec(TextCodecSettings(vocabulary=tuple("ab\n")))
    assert codec.encode("abba\nabba\n").tolist() == [0, 1, 1, 0, 2, 0, 1, 1, 0, 2]
    with pytest.raises(SeqgenError, match="'x'; it stands at line 2, column 3"):
        codec.encode("abba\nabxa\n")


def test_broken_command_line_text_is_named():
    codec = TextCodec(TextCodecSettings(vocabulary=("a", "b")))
    with pytest.raises(SeqgenError, match=re.escape(r"'\udce9'")):
        codec.encode("a\udce9")  # how Python hands on an argument that is not UTF-8


@pytest.mark.parametrize("wrong", [[-1], [0, 3]])
def test_tokens_outside_are_refused(wrong):
    with pytest.raises(SeqgenError, match=f"token {wrong[-1]} does not exist with 3 characters"):
        TextCodec(TextCodecSettings(vocabulary=("a", "b", "c"))).decode(wrong)


def test_reading_a_file_names_it(tmp_path):
    path = tmp_path / "prime.txt"
    path.write_text("ab", encoding="utf-8")
    assert TextCodec(TextCodecSettings(vocabulary=("a", "b"))).read(path).tolist() == [0, 1]
    with pytest.raises(SeqgenError, match=r"prime\.txt: unknown character 'b'"):
        TextCodec(TextCodecSettings(vocabulary=("a", "c"))).read(path)


def test_words_are_ordered_by_frequency_then_alphabet():
    assert vocabulary("words", ["b a\n", "a c\n"]) == ("<eos>", "a", "b", "c")
    assert vocabulary("characters", ["ba", "c\n"]) == ("\n", "a", "b", "c")


def test_penn_treebank_has_the_counts_of_the_papers(shared_data):
    texts = {
        split: (shared_data / f"text/penn/{split}.txt").read_text(encoding="utf-8")
        for split in ("train", "valid", "test")
    }
    symbols = vocabulary("words", texts.values())
    assert len(symbols) == 10_000
    assert {"<eos>", "<unk>", "N"} < set(symbols)
    codec = TextCodec(TextCodecSettings(kind="words", vocabulary=symbols))
    assert {split: len(codec.encode(text)) for split, text in texts.items()} == {
        "train": 929_589,
        "valid": 73_760,
        "test": 82_430,
    }
    assert codec.decode(codec.encode(texts["test"])).split() == texts["test"].split()
    assert len(vocabulary("characters", texts.values())) == 50


def test_tinyshakespeare_has_65_characters_and_comes_back(shared_data):
    text = (shared_data / "text/tinyshakespeare.txt").read_text(encoding="utf-8")
    symbols = vocabulary("characters", [text])
    assert len(symbols) == 65
    codec = TextCodec(TextCodecSettings(vocabulary=symbols))
    assert codec.decode(codec.encode(text)) == text
