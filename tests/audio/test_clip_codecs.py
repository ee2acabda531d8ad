"""The codecs of SampleRNN and SaShiMi, which rescale clips, against what those papers' code computes; 16-bit sound."""

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.audio.files import read_mono, write_wav
from seqgen_core.errors import SeqgenError
from seqgen_core.settings.codec import AudioCodecSettings, SoundName

CLIP_CODECS: tuple[SoundName, ...] = ("samplernn-mu-law", "samplernn-a-law", "samplernn-linear")


def codec(kind: SoundName, levels: int = 256) -> AudioCodec:
    return AudioCodec(AudioCodecSettings(kind=kind, levels=levels))


def clip(seed: int, samples: int = 3000) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.uniform(-0.3, 0.3) + rng.uniform(0.01, 0.5) * rng.normal(size=samples)).astype(np.float32)


def unit(waveform: np.ndarray) -> np.ndarray:
    """Min-max scaling to [0, 1] as in both papers' code."""
    x = waveform.astype(np.float64)
    x = x - x.min()
    return x / x.max()


@given(st.integers(0, 10**6), st.integers(2, 16))
def test_linear_is_samplernns(seed, bits):
    # datasets/dataset.py of soroushmehr/sampleRNN_ICLR2017: the unit interval times levels less 1e-5, half of it added
    levels, waveform = 2**bits, clip(seed)
    expected = (unit(waveform) * (levels - 1e-5) + 0.5e-5).astype(np.int32)
    assert np.array_equal(codec("samplernn-linear", levels).encode(waveform), expected)


@given(st.integers(0, 10**6))
def test_mu_law_is_sashimis(seed):
    # src/dataloaders/audio.py of state-spaces/s4, in float64: the companded clip in 256 steps, their ends 0.01 wide
    waveform = clip(seed)
    x = 2 * unit(waveform) - 1
    companded = np.sign(x) * np.log1p(255 * np.abs(x)) / np.log1p(255)
    expected = ((companded + 1) / 2 * (256 - 0.01) + 0.005).astype(int)
    codes = codec("samplernn-mu-law").encode(waveform)
    differing = codes != expected
    assert differing.mean() < 0.01  # our ends are SampleRNN's: an edge between steps moves by 0.005 of one at most
    assert np.abs(codes.astype(int) - expected).max() <= 1


def test_mu_law_and_a_law_lay_their_steps_along_the_curves():
    edges = np.linspace(-1, 1, 17)
    for kind, expand in (
        ("samplernn-mu-law", lambda y: np.expm1(y * np.log1p(15)) / 15),
        ("samplernn-a-law", lambda y: np.where(y * (1 + np.log(87.6)) < 1, y * (1 + np.log(87.6)) / 87.6,
                                               np.exp(y * (1 + np.log(87.6)) - 1) / 87.6)),
    ):  # fmt: skip
        borders = np.sign(edges) * expand(np.abs(edges))
        one = codec(kind, 16)
        for nudge, code in ((1e-4, np.arange(16)), (-1e-4, np.arange(16) - 1)):
            inside = borders[:-1] + nudge * np.diff(borders)
            assert np.array_equal(one.encode(inside, (-1.0, 1.0)), code.clip(min=0))


@given(st.sampled_from(CLIP_CODECS), st.integers(2, 65536))
def test_every_code_survives_decoding_and_encoding(kind, levels):
    one = codec(kind, levels)
    codes = np.arange(levels)
    waveform = one.decode(codes)
    assert waveform.dtype == np.float32
    assert np.abs(waveform).max() < 1
    assert (np.diff(waveform) > 0).all()
    assert np.array_equal(one.encode(waveform, (-1.0, 1.0)), codes)


@pytest.mark.parametrize("kind", CLIP_CODECS)
@pytest.mark.parametrize("levels", [2, 16, 255, 256, 65536])
def test_loudness_and_offset_are_lost_and_every_clip_fills_the_codes(kind, levels):
    one, waveform = codec(kind, levels), clip(3).astype(np.float64)
    codes = one.encode(waveform)
    assert (codes.min(), codes.max()) == (0, levels - 1)
    # powers of two, so that nothing is rounded
    assert np.array_equal(one.encode(waveform / 1024), codes)
    moved = np.abs(one.encode(waveform + 0.25).astype(int) - codes)
    assert moved.max() <= 1
    assert moved.mean() < 0.001


@pytest.mark.parametrize("kind", CLIP_CODECS)
def test_silence_becomes_the_lowest_code_but_generation_starts_in_the_middle(kind):
    one = codec(kind)
    assert np.array_equal(one.encode(np.zeros(5)), np.zeros(5))
    assert one.rescales
    assert one.silence == 128  # SampleRNN and SaShiMi start from levels // 2
    assert codec(kind, 16).silence == 8
    assert abs(one.decode(one.silence)) < 0.01
    assert one.encode(np.zeros(0)).shape == (0,)


@pytest.mark.parametrize("kind", CLIP_CODECS)
def test_parts_of_a_clip_are_told_its_extremes(kind):
    one, waveform = codec(kind), clip(4)
    extremes = float(waveform.min()), float(waveform.max())
    parts = [one.encode(part, extremes) for part in np.array_split(waveform, 7)]
    assert np.array_equal(np.concatenate(parts), one.encode(waveform))
    with pytest.raises(SeqgenError, match="sample 1 of 3 is nan"):
        one.encode(np.array([0, np.nan, 1]))


def test_the_other_codecs_do_not_rescale():
    for kind in ("mu-law", "a-law", "linear", "pcm16"):
        one = AudioCodec(AudioCodecSettings.model_validate({"kind": kind}))
        assert not one.rescales
        assert np.array_equal(one.encode(0.1 * clip(5), (-0.2, 0.2)), one.encode(0.1 * clip(5)))


def test_16_bit_files_come_back_bit_for_bit(shared_data, tmp_path):
    one = AudioCodec(AudioCodecSettings.model_validate({"kind": "pcm16", "rate": 8000}))
    assert one.settings.levels == 65536
    assert one.dtype == np.uint16
    files = sorted((shared_data / "speech" / "fsdd").glob("*_5.wav"))[:10]
    assert files
    for path in files:
        samples, rate = soundfile.read(path, dtype="int16")
        codes = one.encode(read_mono(path, rate))
        assert np.array_equal(codes.astype(int) - 32768, samples)
        write_wav(tmp_path / "again.wav", one.decode(codes), rate)
        assert np.array_equal(soundfile.read(tmp_path / "again.wav", dtype="int16")[0], samples)


def test_pcm16_holds_every_16_bit_sample_and_silence():
    one = AudioCodec(AudioCodecSettings.model_validate({"kind": "pcm16"}))
    samples = np.arange(-32768, 32768)
    assert np.array_equal(one.encode(samples / 32768), samples + 32768)
    assert np.array_equal(one.decode(samples + 32768), (samples / 32768).astype(np.float32))
    assert one.silence == 32768
    assert one.encode(np.array([1.0, 5.0])).tolist() == [65535, 65535]
