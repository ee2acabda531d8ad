"""Codecs by name, and what a token of each is."""

import math

import pytest
from pydantic import TypeAdapter, ValidationError

from seqgen_core.settings.codec import (
    CODEC_NAMES,
    SOUND_NAMES,
    AudioCodecSettings,
    CodecSettings,
    NotesCodecSettings,
    PixelsCodecSettings,
    TextCodecSettings,
)
from seqgen_core.settings.preprocess import PreprocessSettings
from seqgen_core.settings.tokens import AmplitudeTokens, BinaryTokens, CategoricalTokens, PixelTokens, TokenSpec

READ = TypeAdapter(CodecSettings).validate_python
MORE = {
    "characters": {"vocabulary": ("a", "b")},
    "words": {"vocabulary": ("one", "two")},
    "pixels": {"height": 3, "width": 2},
}


@pytest.mark.parametrize("name", CODEC_NAMES)
def test_a_codec_is_named_by_its_kind_and_comes_back(name):
    codec = READ({"kind": name, **MORE.get(name, {})})
    assert codec.kind == name
    assert TypeAdapter(CodecSettings).validate_json(codec.model_dump_json()) == codec
    assert str(codec)
    assert codec.unit
    assert codec.tokens.uniform_bits > 0
    timed = name in (*SOUND_NAMES, "piano-roll")
    assert (codec.tokens_per_second is not None) == timed


@pytest.mark.parametrize(
    ("codec", "tokens"),
    [
        (AudioCodecSettings(levels=16), CategoricalTokens(values=16, ordered=True)),
        (AudioCodecSettings(kind="pcm16"), AmplitudeTokens(levels=65536)),
        (AudioCodecSettings(kind="samplernn-linear"), CategoricalTokens(values=256, ordered=True)),
        (TextCodecSettings(vocabulary=("a", "b", "c")), CategoricalTokens(values=3)),
        (NotesCodecSettings(keys=5), BinaryTokens(width=5)),
        (
            PixelsCodecSettings(height=3, width=2, channels=3, levels=8),
            PixelTokens(height=3, width=2, channels=3, levels=8),
        ),
    ],
    ids=str,
)
def test_what_one_token_is(codec: CodecSettings, tokens: TokenSpec) -> None:
    assert codec.tokens == tokens


def test_pcm16_has_16_bits():
    assert READ({"kind": "pcm16"}).levels == 65536
    assert READ({"kind": "mu-law"}).levels == 256
    with pytest.raises(ValidationError, match="pcm16 has 65536 levels, not 256; for other numbers there is linear"):
        READ({"kind": "pcm16", "levels": 256})
    assert PreprocessSettings(codec="pcm16").sound_codec == AudioCodecSettings(kind="pcm16", levels=65536)
    assert PreprocessSettings(levels=16, rate=8000).sound_codec == AudioCodecSettings(levels=16, rate=8000)
    with pytest.raises(ValidationError, match="pcm16 has 65536 levels"):
        PreprocessSettings(codec="pcm16", levels=256)


@pytest.mark.parametrize("curve", ["mu-law", "a-law", "linear"])
def test_the_names_of_version_0_1_are_read(curve):
    old = {"kind": "audio", "rate": 8000, "companding": curve, "levels": 64}
    assert READ(old) == AudioCodecSettings(kind=curve, rate=8000, levels=64)
    assert old["kind"] == "audio"  # what was given is left alone
    assert READ({"kind": "audio"}) == AudioCodecSettings()


@pytest.mark.parametrize(
    ("tokens", "shape", "values", "bits", "ordered"),
    [
        (CategoricalTokens(values=50), (), 50, math.log2(50), False),
        (CategoricalTokens(values=256, ordered=True), (), 256, 8.0, True),
        (BinaryTokens(width=88), (88,), 2, 88.0, False),
        (AmplitudeTokens(), (), 65536, 16.0, True),
        (PixelTokens(height=2, width=3, channels=3, levels=4), (), 4, 2.0, True),
    ],
    ids=str,
)
def test_every_sort_of_token_says_the_same_of_itself(tokens: TokenSpec, shape, values, bits, ordered) -> None:
    assert (tokens.shape, tokens.values, tokens.ordered) == (shape, values, ordered)
    assert tokens.uniform_bits == pytest.approx(bits)
    assert TypeAdapter(TokenSpec).validate_json(tokens.model_dump_json()) == tokens


def test_an_image_has_a_token_before_its_first():
    assert PixelTokens(height=2, width=3, channels=3).length == 1 + 18
