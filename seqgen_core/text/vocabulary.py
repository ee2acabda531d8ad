"""Vocabularies: which characters or words some texts are made of, and in which order they are numbered.

A word is what white space parts; the end of a line is a word of its own, <eos>, as in the language models on Mikolov's
version of the Penn Treebank (Mikolov et al. 2010, Recurrent neural network based language model; 10,000 words with
it, over all three splits). As a character, the end of a line is the line feed itself: 50 kinds there. The loader that
the TCN and Seq-U-Net experiments call (`observations`) spells it <eos> with five characters, which makes 49 kinds and
3.3 % more characters that cost next to nothing, so that their bits per character come out lower by about that much.
"""

from collections import Counter
from collections.abc import Iterable

from seqgen_core.settings.codec import TextName

END_OF_LINE = "<eos>"


def vocabulary(kind: TextName, texts: Iterable[str]) -> tuple[str, ...]:
    """Characters in the order of Unicode; words from the most frequent on, those of one frequency by the alphabet."""
    if kind == "characters":
        return tuple(sorted(set().union(*texts)))
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(words_of(text))
    return tuple(sorted(counts, key=lambda word: (-counts[word], word)))


def words_of(text: str) -> list[str]:
    """The words of a text in order, <eos> for each end of a line; a last line that is not ended has none."""
    *ended, last = text.split("\n")
    words = [word for line in ended for word in (*line.split(), END_OF_LINE)]
    return words + last.split()
