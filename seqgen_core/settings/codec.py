"""Settings of the codecs: how the outside world becomes tokens and back. A codec's name is its `kind`."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from seqgen_core.settings.base import Settings
from seqgen_core.settings.tokens import AmplitudeTokens, BinaryTokens, CategoricalTokens, PixelTokens, TokenSpec

SoundName = Literal["mu-law", "a-law", "linear", "pcm16", "samplernn-mu-law", "samplernn-a-law", "samplernn-linear"]
TextName = Literal["characters", "words"]
CodecName = Literal[SoundName, TextName, "piano-roll", "pixels"]
"""Every codec, by the word that names it everywhere."""
SOUND_NAMES: tuple[str, ...] = get_args(SoundName)
TEXT_NAMES: tuple[str, ...] = get_args(TextName)
CODEC_NAMES: tuple[str, ...] = (*SOUND_NAMES, *TEXT_NAMES, "piano-roll", "pixels")


class AudioCodecSettings(Settings):
    """Mono sound at one rate, each sample one of `levels` codes."""

    kind: SoundName = "mu-law"
    """Curve between amplitude and code: mu-law, a-law, linear or pcm16; samplernn-… rescale every item first."""
    rate: int = Field(16000, ge=100, le=768000)
    """Sampling rate in Hz."""
    levels: int = Field(256, ge=2, le=65536)
    """Number of codes, 2 to 65536."""

    @model_validator(mode="before")
    @classmethod
    def _levels_of_pcm16(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("kind") == "pcm16":
            return {"levels": 65536, **values}
        return values

    @model_validator(mode="after")
    def _sixteen_bits(self) -> "AudioCodecSettings":
        if self.kind == "pcm16" and self.levels != 65536:
            raise ValueError(f"pcm16 has 65536 levels, not {self.levels}; for other numbers there is linear")
        return self

    @property
    def tokens(self) -> TokenSpec:
        """What one token of this codec is: pcm16 leaves it to the model how the amplitude is distributed."""
        if self.kind == "pcm16":
            return AmplitudeTokens(levels=self.levels)
        return CategoricalTokens(values=self.levels, ordered=True)

    @property
    def unit(self) -> str:
        """What one token is called."""
        return "sample"

    @property
    def tokens_per_second(self) -> float:
        """Tokens that sound in a second."""
        return float(self.rate)

    def __str__(self) -> str:
        return f"{self.kind}, {self.levels} levels, {self.rate} Hz"


class TextCodecSettings(Settings):
    """Text as numbers of its characters or of its words."""

    kind: TextName = "characters"
    """Whether a token is a character or a word; words are parted by white space, each line ends with <eos>."""
    vocabulary: tuple[str, ...] = Field(min_length=2, max_length=65536)
    """The characters or words, in the order of their numbers."""

    @model_validator(mode="after")
    def _told_apart(self) -> "TextCodecSettings":
        if len(set(self.vocabulary)) < len(self.vocabulary):
            raise ValueError("the vocabulary holds an entry twice; every number needs one of its own")
        if self.kind == "characters" and any(len(entry) != 1 for entry in self.vocabulary):
            raise ValueError("the vocabulary of characters holds an entry that is not one character")
        return self

    @property
    def tokens(self) -> TokenSpec:
        """What one token of this codec is."""
        return CategoricalTokens(values=len(self.vocabulary))

    @property
    def unit(self) -> str:
        """What one token is called."""
        return "character" if self.kind == "characters" else "word"

    @property
    def tokens_per_second(self) -> None:
        """Text takes no time."""

    def __str__(self) -> str:
        return f"{len(self.vocabulary)} {self.kind}"


class NotesCodecSettings(Settings):
    """Piano rolls: which keys sound in each frame of time."""

    kind: Literal["piano-roll"] = "piano-roll"
    """Name of the codec."""
    rate: float = Field(4.0, gt=0, le=1000)
    """Frames per second, for writing MIDI and sound."""
    lowest: int = Field(21, ge=0, le=127)
    """MIDI number of the first key; 21 is the A of 27.5 Hz with which a piano begins."""
    keys: int = Field(88, ge=1, le=128)
    """Number of keys."""

    @model_validator(mode="after")
    def _midi_ends(self) -> "NotesCodecSettings":
        if self.lowest + self.keys > 128:
            highest = self.lowest + self.keys - 1
            raise ValueError(f"the highest key would be number {highest}; MIDI ends with 127")
        return self

    @property
    def tokens(self) -> TokenSpec:
        """What one token of this codec is."""
        return BinaryTokens(width=self.keys)

    @property
    def unit(self) -> str:
        """What one token is called."""
        return "frame"

    @property
    def tokens_per_second(self) -> float:
        """Tokens that sound in a second."""
        return self.rate

    def __str__(self) -> str:
        return f"piano-roll, {self.keys} keys, {self.rate:g} frames per second"


class PixelsCodecSettings(Settings):
    """Images of one size, each colour of each pixel one of `levels` intensities."""

    kind: Literal["pixels"] = "pixels"
    """Name of the codec."""
    height: int = Field(ge=1, le=4096)
    """Rows."""
    width: int = Field(ge=1, le=4096)
    """Columns."""
    channels: int = Field(1, ge=1, le=4)
    """1 for grey, 3 for red, green and blue."""
    levels: int = Field(256, ge=2, le=256)
    """Intensities that each colour can have."""

    @property
    def tokens(self) -> PixelTokens:
        """What one token of this codec is."""
        return PixelTokens(height=self.height, width=self.width, channels=self.channels, levels=self.levels)

    @property
    def unit(self) -> str:
        """What one token is called, as in bits per dimension."""
        return "dimension"

    @property
    def tokens_per_second(self) -> None:
        """Images take no time."""

    def __str__(self) -> str:
        return f"{self.tokens}"


def _from_version_0_1(values: Any) -> Any:
    """Runs and data of version 0.1 say kind = "audio" and name the curve beside it."""
    if isinstance(values, dict) and values.get("kind") == "audio":
        rest = {name: value for name, value in values.items() if name not in ("kind", "companding")}
        return {**rest, "kind": values.get("companding", "mu-law")}
    return values


CodecSettings = Annotated[
    Annotated[
        AudioCodecSettings | TextCodecSettings | NotesCodecSettings | PixelsCodecSettings, Field(discriminator="kind")
    ],
    BeforeValidator(_from_version_0_1),
]
"""Settings of any codec, told apart by `kind`. All have tokens, unit and tokens_per_second (None outside of time)."""
