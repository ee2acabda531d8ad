"""What is measured of each kind of data: from tokens of clips, by a run's codec, to measures.

Axes: N tokens of a clip, F features.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from seqgen_core.errors import SeqgenError
from seqgen_core.evaluation.fidelity.bootstrap import Bootstrap
from seqgen_core.evaluation.fidelity.measure import Measure
from seqgen_core.settings.codec import (
    AudioCodecSettings,
    CodecSettings,
    NotesCodecSettings,
    PixelsCodecSettings,
    TextCodecSettings,
)

TokenArrays = Sequence[NDArray[np.integer]]
LEARNT_TOKENS = 2**22
"""Training tokens, at most, from which a kind learns what is usual."""
CLASSIFIED_COMPONENTS = 64
"""Principal components of images that a classifier is told."""


class Kind(Protocol):
    """Measures of one kind of data. Every clip is its tokens (N, *shape), what was drawn without what was given."""

    def measures(self, drawn: TokenArrays, real: TokenArrays, reference: TokenArrays, sure: Bootstrap) -> list[Measure]:
        """Of sets of clips, each of one or more; real clips stand where drawn ones would, the reference beside both."""
        ...

    def paired(self, drawn: TokenArrays, truth: TokenArrays, other: TokenArrays, sure: Bootstrap) -> list[Measure]:
        """Of continuations, what really followed, and other real excerpts in its place; none where it means little."""
        ...

    def features(self, clips: TokenArrays) -> NDArray[np.floating] | None:
        """What a classifier is told of clips (clips, F); None where the kind has no classifier."""
        ...


def kind_of(codec: CodecSettings, training: TokenArrays) -> Kind:
    """The measures of a codec's data; training: recordings of the training split, from which some learn."""
    if isinstance(codec, AudioCodecSettings):
        return SoundKind(codec)
    if isinstance(codec, TextCodecSettings):
        return TextKind(codec, training)
    if isinstance(codec, NotesCodecSettings):
        return NotesKind(codec)
    return PixelsKind(codec, training)


class SoundKind:
    """Waveforms by the codec of the run."""

    def __init__(self, codec: AudioCodecSettings) -> None:
        from seqgen_core.audio.codec import AudioCodec

        self._codec = AudioCodec(codec)

    def measures(self, drawn: TokenArrays, real: TokenArrays, reference: TokenArrays, sure: Bootstrap) -> list[Measure]:
        from seqgen_core.evaluation.fidelity.sound import sound_measures

        sets = (self._heard(clips) for clips in (drawn, real, reference))
        return sound_measures(*sets, self._codec.rate, sure)

    def paired(self, drawn: TokenArrays, truth: TokenArrays, other: TokenArrays, sure: Bootstrap) -> list[Measure]:
        from seqgen_core.evaluation.fidelity.sound import Followed, continuation_measures

        heard = zip(*(self._heard(clips) for clips in (drawn, truth, other)), strict=True)
        return continuation_measures([Followed(*three) for three in heard], self._codec.rate, sure)

    def features(self, clips: TokenArrays) -> NDArray[np.floating]:
        from seqgen_core.evaluation.fidelity.embedding import sound_features

        return sound_features(self._heard(clips), self._codec.rate)

    def _heard(self, clips: TokenArrays) -> list[NDArray[np.float32]]:
        return [self._codec.decode(np.asarray(tokens)) for tokens in clips]


class TextKind:
    """Texts by the codec of the run; the training text says which words there are."""

    def __init__(self, codec: TextCodecSettings, training: TokenArrays) -> None:
        from seqgen_core.evaluation.fidelity.texts import Known
        from seqgen_core.text.codec import TextCodec

        self._codec = TextCodec(codec)
        self._known = Known.of(self._codec.decode(tokens) for tokens in _first(training, LEARNT_TOKENS))

    def measures(self, drawn: TokenArrays, real: TokenArrays, reference: TokenArrays, sure: Bootstrap) -> list[Measure]:
        from seqgen_core.evaluation.fidelity.texts import text_measures

        sets = ([self._codec.decode(tokens) for tokens in clips] for clips in (drawn, real, reference))
        made_up = self._codec.settings.kind == "characters"
        return text_measures(*sets, self._known, sure, open_vocabulary=made_up)

    def paired(self, drawn: TokenArrays, truth: TokenArrays, other: TokenArrays, sure: Bootstrap) -> list[Measure]:
        return []  # texts that go on alike for a sentence are rare; bits per token say how likely the truth was

    def features(self, clips: TokenArrays) -> None:
        return None


class NotesKind:
    """Piano rolls."""

    def __init__(self, codec: NotesCodecSettings) -> None:
        self._codec = codec

    def measures(self, drawn: TokenArrays, real: TokenArrays, reference: TokenArrays, sure: Bootstrap) -> list[Measure]:
        from seqgen_core.evaluation.fidelity.rolls import roll_measures

        return roll_measures(drawn, real, reference, self._codec, sure)

    def paired(self, drawn: TokenArrays, truth: TokenArrays, other: TokenArrays, sure: Bootstrap) -> list[Measure]:
        return []

    def features(self, clips: TokenArrays) -> None:
        return None


class PixelsKind:
    """Images; their principal components are those of the training images."""

    def __init__(self, codec: PixelsCodecSettings, training: TokenArrays) -> None:
        from seqgen_core.evaluation.fidelity.embedding import COMPONENTS, PixelEmbedding

        self._levels, self._size = codec.levels, codec.tokens.length - 1
        images = np.asarray(self._seen(list(_first(training, LEARNT_TOKENS))), np.float64)
        self._told = PixelEmbedding(images, CLASSIFIED_COMPONENTS)
        self._embedding = self._told.first(COMPONENTS)

    def measures(self, drawn: TokenArrays, real: TokenArrays, reference: TokenArrays, sure: Bootstrap) -> list[Measure]:
        from seqgen_core.evaluation.fidelity.pictures import picture_measures

        sets = (self._seen(clips) for clips in (drawn, real, reference))
        return picture_measures(*sets, self._embedding, sure)

    def paired(self, drawn: TokenArrays, truth: TokenArrays, other: TokenArrays, sure: Bootstrap) -> list[Measure]:
        return []

    def features(self, clips: TokenArrays) -> NDArray[np.floating]:
        return self._told(self._seen(clips))

    def _seen(self, clips: TokenArrays) -> NDArray[np.float32]:
        """Intensities (images, F) from 0 to 1 of images without their first token, which says nothing."""
        for tokens in clips:
            if len(tokens) != self._size:
                raise SeqgenError(
                    f"A clip of {len(tokens)} intensities is no whole image.", f"{self._size}.", "Leave --length out."
                )
        return np.stack([np.asarray(tokens) for tokens in clips]).astype(np.float32) / (self._levels - 1)


def _first(recordings: TokenArrays, most: int) -> list[NDArray[np.integer]]:
    found, left = [], most
    for tokens in recordings:
        if left < len(tokens) and found:
            break
        found.append(tokens[:left])
        left -= len(tokens)
    return found
