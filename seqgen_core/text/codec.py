"""Text to tokens and back: each character, or each word, becomes its number in the vocabulary.

Axes: N tokens, V vocabulary.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqgen_core.errors import SeqgenError
from seqgen_core.settings.codec import TextCodecSettings
from seqgen_core.settings.tokens import TokenSpec
from seqgen_core.streams import token_dtype
from seqgen_core.text.files import read_text
from seqgen_core.text.vocabulary import END_OF_LINE, words_of

_BLOCK = 2**22  # characters encoded at a time: memory beyond text and tokens does not depend on the text's length
_NAMED = 5  # unknown characters or words that a message names


class TextCodec:
    """The codec that the settings describe.

    Of characters, decode gives back exactly the text that was encoded. Of words, it gives them back with one space
    between two, and lines as they were where the vocabulary has <eos>.
    """

    def __init__(self, settings: TextCodecSettings) -> None:
        self.settings = settings
        self.dtype = token_dtype(len(settings.vocabulary))
        self._numbers = {symbol: number for number, symbol in enumerate(settings.vocabulary)}
        self._has_lines = END_OF_LINE in self._numbers
        self._table = None if settings.kind == "words" else self._character_table()

    @property
    def tokens(self) -> TokenSpec:
        """What one token is."""
        return self.settings.tokens

    @property
    def start(self) -> NDArray[np.int64]:
        """What generation from nothing begins with, int64 (): the end of a line; where there is none, token 0."""
        end = "\n" if self.settings.kind == "characters" else END_OF_LINE
        return np.array(self._numbers.get(end, 0), np.int64)

    def encode(self, text: str, origin: str = "the text") -> NDArray[np.unsignedinteger]:
        """A text -> tokens (N,) in `dtype`. origin: what messages call the text.

        Raises SeqgenError that names characters or words which the vocabulary lacks, with the place of the first.
        """
        if self._table is not None:
            return self._encode_characters(text, self._table, origin)
        words = words_of(text) if self._has_lines else text.split()
        try:
            return np.array([self._numbers[word] for word in words], self.dtype)
        except KeyError:
            raise self._unknown(text, re.finditer(r"\S+", text), origin) from None

    def decode(self, tokens: ArrayLike) -> str:
        """Tokens (N,), integers in [0, V) -> their text. Raises SeqgenError where a token lies outside."""
        numbers = np.asarray(tokens)
        vocabulary = self.settings.vocabulary
        if numbers.size and (numbers.min() < 0 or numbers.max() >= len(vocabulary)):
            outside = numbers.max() if numbers.max() >= len(vocabulary) else numbers.min()
            raise SeqgenError(
                f"token {outside} does not exist with {len(vocabulary)} {self.settings.kind}.",
                f"Tokens from 0 to {len(vocabulary) - 1}.",
            )
        symbols = [vocabulary[number] for number in numbers.tolist()]
        if self.settings.kind == "characters":
            return "".join(symbols)
        return "\n".join(" ".join(line) for line in _lines(symbols))

    def read(self, path: Path) -> NDArray[np.unsignedinteger]:
        """A file's text as tokens (N,). Raises SeqgenError where it is no text, or holds what the codec lacks."""
        return self.encode(read_text(path), str(path))

    def _encode_characters(self, text: str, table: NDArray[np.int32], origin: str) -> NDArray[np.unsignedinteger]:
        tokens = np.empty(len(text), self.dtype)
        for start in range(0, len(text), _BLOCK):
            block = text[start : start + _BLOCK].encode("utf-32-le", "surrogatepass")
            numbers = table[np.minimum(np.frombuffer(block, "<u4"), len(table) - 1)]
            if numbers.min() < 0:
                raise self._unknown(text, re.finditer(r"(?s).", text), origin)
            tokens[start : start + len(numbers)] = numbers
        return tokens

    def _character_table(self) -> NDArray[np.int32]:
        """The number of each code point, -1 for those that have none; the last entry stands for all beyond."""
        points = [ord(character) for character in self.settings.vocabulary]
        table = np.full(max(points) + 2, -1, np.int32)
        table[points] = np.arange(len(points))
        return table

    def _unknown(self, text: str, symbols: Iterable[re.Match[str]], origin: str) -> SeqgenError:
        places: dict[str, int] = {}  # where each unknown symbol stands first
        for found in symbols:
            if found[0] not in self._numbers:
                places.setdefault(found[0], found.start())
        first = next(iter(places.values()))
        line = text.count("\n", 0, first) + 1
        column = first - (text.rfind("\n", 0, first) + 1) + 1
        what = self.settings.kind if len(places) > 1 else self.settings.kind.removesuffix("s")
        named = ", ".join(repr(symbol) for symbol in list(places)[:_NAMED])
        more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
        where = "the first" if len(places) > 1 else "it"
        hint = "Write <unk> for them, or prepare" if "<unk>" in self._numbers else "Leave them out, or prepare"
        return SeqgenError(
            f"{origin}: unknown {what} {named}{more}; {where} stands at line {line}, column {column}.",
            f"The {len(self._numbers)} {self.settings.kind} of the training data.",
            f"{hint} the data with this text among the inputs: `seqgen preprocess`.",
        )


def _lines(words: Iterable[str]) -> Iterator[list[str]]:
    line: list[str] = []
    for word in words:
        if word == END_OF_LINE:
            yield line
            line = []
        else:
            line.append(word)
    yield line
