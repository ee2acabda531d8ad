"""The mixture of logistics: likelihood against scipy, up to both ends, in float32 and far out; samples; a real fit."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax
from scipy.stats import logistic

from seqgen_core import models
from seqgen_core.audio.codec import AudioCodec
from seqgen_core.audio.files import read_mono
from seqgen_core.errors import ShapeError, UsageError
from seqgen_core.models.heads import LogisticMixtureHead, build_head
from seqgen_core.models.heads.mixture import FINEST_STEPS
from seqgen_core.settings.codec import AudioCodecSettings
from seqgen_core.settings.model import WaveNetSettings
from seqgen_core.settings.tokens import AmplitudeTokens, CategoricalTokens, PixelTokens

BELOW_ONE = math.nextafter(1.0, 0.0)
LEVELS = st.sampled_from([2, 3, 5, 256, 65536])


def outputs_of(weights: list[float], means: list[float], log_scales: list[float]) -> torch.Tensor:
    return torch.tensor([[*weights, *means, *log_scales]], dtype=torch.float64)


def drawn_outputs(seed: int, mixtures: int, rows: int = 3) -> torch.Tensor:
    """Means within and around the range, scales from a hundredth of a thousandth of it to all of it."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(rows, mixtures, generator=generator, dtype=torch.float64)
    means = 2.4 * torch.rand(rows, mixtures, generator=generator, dtype=torch.float64) - 1.2
    log_scales = -9 * torch.rand(rows, mixtures, generator=generator, dtype=torch.float64)
    return torch.cat([weights, means, log_scales], dim=1)


def expected_probabilities(outputs: torch.Tensor, levels: int) -> np.ndarray:
    """By scipy's distribution, from whichever tail keeps the digits: (rows, levels)."""
    weights, means, log_scales = np.split(outputs.numpy()[:, :, None], 3, axis=1)
    codes = np.arange(levels)
    places, half = 2 * codes / (levels - 1) - 1, 1 / (levels - 1)
    scales = np.maximum(np.exp(log_scales), FINEST_STEPS * 2 * half)
    above = np.where(codes == levels - 1, np.inf, (places + half - means) / scales)
    below = np.where(codes == 0, -np.inf, (places - half - means) / scales)
    of_left, of_right = logistic.cdf(above) - logistic.cdf(below), logistic.sf(below) - logistic.sf(above)
    return (np.exp(log_softmax(weights, axis=1)) * np.where(above + below < 0, of_left, of_right)).sum(axis=1)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 3), LEVELS)
def test_the_likelihood_is_scipys(seed, mixtures, levels):
    head, outputs = LogisticMixtureHead(levels, mixtures), drawn_outputs(seed, mixtures)
    expected = expected_probabilities(outputs, levels)
    probabilities = head.probabilities(outputs).numpy()
    np.testing.assert_allclose(probabilities, expected, rtol=1e-7, atol=1e-300)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=0, atol=1e-12)
    codes = torch.tensor(sorted({0, 1, levels // 2, levels - 2, levels - 1}))
    bits = head.bits(outputs[:, None].expand(3, len(codes), head.size), codes.expand(3, len(codes)))
    seen = expected[:, codes.numpy()]
    np.testing.assert_allclose(torch.exp2(-bits).numpy(), seen, rtol=1e-7, atol=1e-300)


@pytest.mark.parametrize("levels", [2, 256, 65536])
def test_the_ends_gather_all_that_lies_beyond(levels):
    head = LogisticMixtureHead(levels, 1)
    for mean, code in ((-3.0, 0), (3.0, levels - 1)):
        outputs = outputs_of([0.0], [mean], [-4.0])
        assert float(head.bits(outputs, torch.tensor([code]))) == pytest.approx(0, abs=1e-5)
    # A logistic as wide as can be leaves half of itself to each end.
    wide = outputs_of([0.0], [0.0], [300.0])
    for code in (0, levels - 1):
        assert float(head.bits(wide, torch.tensor([code]))) == pytest.approx(1, abs=1e-4)


def test_the_narrowest_logistic_leaves_next_to_nothing_beside_its_code():
    head = LogisticMixtureHead(65536, 1)
    centre = 2 * 40000 / 65535 - 1
    outputs = outputs_of([0.0], [centre], [-300.0])
    assert float(head.bits(outputs, torch.tensor([40000]))) == pytest.approx(0, abs=0.02)
    assert float(head.bits(outputs, torch.tensor([40001]))) > 5


@given(st.integers(0, 10**6), LEVELS)
def test_float32_is_nearly_as_good(seed, levels):
    head, outputs = LogisticMixtureHead(levels, 3), drawn_outputs(seed, 3)
    codes = torch.from_numpy(np.random.default_rng(seed).integers(0, levels, (3, 200)))
    fine = outputs.float().double()[:, None].expand(3, 200, 9)  # the very numbers that float32 has
    bits = head.bits(fine.float(), codes)
    assert bits.dtype == torch.float32
    torch.testing.assert_close(bits.double(), head.bits(fine, codes), rtol=1e-3, atol=2e-3)
    assert head.bits(fine.bfloat16(), codes).dtype == torch.float32


EXTREMES = [0.0, 1.0, -1.0, 5.0, -1e3, 1e6, -1e20, 1e30]


@pytest.mark.parametrize("levels", [2, 256, 65536])
@pytest.mark.parametrize("mean", EXTREMES)
def test_outputs_far_out_have_finite_bits_and_gradients_in_float32(levels, mean):
    head = LogisticMixtureHead(levels, 2)
    for log_scale, weight in itertools.product((-1e30, -100.0, 0.0, 20.0, 100.0, 1e30), (0.0, -1e30)):
        outputs = torch.tensor([[weight, 0.0, mean, -mean, log_scale, log_scale]]).expand(3, 6).clone()
        outputs.requires_grad_()
        bits = head.bits(outputs, torch.tensor([0, levels // 2, levels - 1]))
        bits.sum().backward()
        assert outputs.grad is not None
        assert bool(bits.isfinite().all()), (log_scale, weight, bits)
        assert bool(outputs.grad.isfinite().all()), (log_scale, weight, outputs.grad)
        uniforms = torch.tensor([[0.0, 0.0], [0.5, 0.5], [BELOW_ONE, BELOW_ONE]], dtype=torch.float64)
        for temperature in (0.0, 1e-3, 1.0):
            drawn = head.sample(outputs.detach(), uniforms, temperature)
            assert 0 <= int(drawn.min()) <= int(drawn.max()) < levels


def test_gradients_are_those_of_differences():
    head = LogisticMixtureHead(256, 3)
    outputs = drawn_outputs(0, 3, rows=6).clamp(min=-5).requires_grad_()
    codes = torch.tensor([0, 1, 77, 128, 254, 255])
    assert torch.autograd.gradcheck(lambda x: head.bits(x, codes), (outputs,), eps=1e-7, atol=1e-4)


@pytest.mark.parametrize(("levels", "how"), [(65536, {}), (256, {}), (256, {"temperature": 0.6}), (5, {"top_k": 5})])
def test_samples_come_as_often_as_they_should(levels, how):
    head, draws = LogisticMixtureHead(levels, 3), 20_000
    generator = torch.Generator().manual_seed(1)
    for row in drawn_outputs(5, 3).clamp(min=-4):  # no scale so fine that its floor shows
        uniforms = torch.rand(draws, 2, generator=generator, dtype=torch.float64)
        codes = head.sample(row.expand(draws, 9), uniforms, **how)
        weights, means, log_scales = row.split(3)
        warmth = how.get("temperature", 1.0)
        cooled = torch.cat([weights / warmth, means, log_scales + math.log(warmth)])
        expected = head.probabilities(cooled[None])[0].cumsum(0)
        found = torch.bincount(codes, minlength=levels).cumsum(0) / draws
        assert float((found - expected).abs().max()) < 1.95 / math.sqrt(draws)  # Kolmogorov and Smirnov, one in 1000


def test_a_sample_depends_on_its_own_uniforms_alone_and_grows_with_them():
    head = LogisticMixtureHead(65536, 1)
    outputs = outputs_of([0.0], [0.1], [-3.0]).expand(50, 3)
    line = torch.linspace(0, BELOW_ONE, 50, dtype=torch.float64)
    uniforms = torch.stack([torch.zeros(50, dtype=torch.float64), line], dim=1)
    together = head.sample(outputs, uniforms)
    assert bool((together.diff() >= 0).all())
    assert (int(together[0]), int(together[-1])) == (0, 65535)
    apart = [head.sample(outputs[:1], uniforms[place : place + 1]) for place in range(50)]
    assert torch.equal(together, torch.cat(apart))


def test_the_mode_is_where_the_density_peaks():
    head = LogisticMixtureHead(256, 2)
    outputs = outputs_of([0.0, 1.0], [-0.5, 0.25], [-5.0, -3.0])  # the lighter one is so narrow that it is higher
    probabilities = head.probabilities(outputs)
    assert int(head.mode(outputs)) == int(probabilities.argmax()) == round((1 - 0.5) / 2 * 255)
    assert int(head.sample(outputs, torch.full((1, 2), 0.9, dtype=torch.float64), temperature=0)) == int(
        head.mode(outputs)
    )
    batch = drawn_outputs(3, 2, rows=12).view(3, 4, 6)
    assert head.mode(batch).shape == (3, 4)
    assert head.mode(batch).dtype == torch.int64


def test_low_temperatures_tend_to_one_mean():
    head = LogisticMixtureHead(256, 2)
    outputs = outputs_of([0.5, 0.0], [-0.5, 0.5], [-2.0, -2.0]).expand(400, 6)
    uniforms = torch.rand(400, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert set(head.sample(outputs, uniforms, temperature=1e-4).tolist()) == {64}
    spread = [float(head.sample(outputs, uniforms, temperature=warmth).double().std()) for warmth in (0.5, 1.0, 2.0)]
    assert spread == sorted(spread)


def test_top_k_and_top_p_keep_the_likeliest_codes():
    head = LogisticMixtureHead(256, 2)
    outputs = outputs_of([0.0, 0.0], [-0.5, 0.5], [-4.0, -4.0])
    probabilities = head.probabilities(outputs)[0]
    grid = (torch.arange(1000, dtype=torch.float64) + 0.5)[:, None] / 1000
    uniforms, many = torch.cat([grid, 0.5 + 0 * grid], dim=1), outputs.expand(1000, 6)
    order = probabilities.argsort(descending=True, stable=True)
    assert set(head.sample(many, uniforms, top_k=4).tolist()) == set(order[:4].tolist())
    kept = int((probabilities[order].cumsum(0) < 0.5).sum()) + 1
    assert set(head.sample(many, uniforms, top_p=0.5).tolist()) == set(order[:kept].tolist())


def test_tables_are_laid_out_in_pieces(monkeypatch):
    from seqgen_core.models.heads import mixture

    head, outputs = LogisticMixtureHead(256, 3), drawn_outputs(0, 3)
    whole = head.probabilities(outputs)
    monkeypatch.setattr(mixture, "CODES_AT_ONCE", 100)
    assert torch.equal(head.probabilities(outputs), whole)
    assert head.probabilities(outputs.view(3, 1, 9)).shape == (3, 1, 256)


def test_shapes_are_checked_and_named():
    head = LogisticMixtureHead(256, 2)
    with pytest.raises(ShapeError, match=r"\(2, 6\) for targets \(3,\); wanted 6 per target"):
        head.bits(torch.zeros(2, 6), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ShapeError, match=r"\(1, 6\) and uniforms \(1, 1\); wanted \(B, 6\), \(B, 2\)"):
        head.sample(torch.zeros(1, 6), torch.zeros(1, 1, dtype=torch.float64))
    for bad in (math.nan, math.inf):
        with pytest.raises(ShapeError, match="NaN or infinities"):
            head.sample(torch.full((1, 6), bad), torch.zeros(1, 2, dtype=torch.float64))


def test_which_tokens_get_a_mixture():
    assert build_head(AmplitudeTokens()).size == 30
    assert build_head(AmplitudeTokens(), 4).size == 12
    assert build_head(CategoricalTokens(values=256, ordered=True), 5).size == 15
    assert build_head(PixelTokens(height=2, width=2), 5).size == 15
    with pytest.raises(UsageError, match=r"model\.mixtures = 5 asks for a mixture of logistics, but the data are cat"):
        build_head(CategoricalTokens(values=256), 5)


@pytest.mark.parametrize(("kind", "begins", "ends"), [("pcm16", 16.0, 13.3), ("mu-law", 8.1, 6.8)])
def test_a_tiny_wavenet_learns_real_speech(shared_data, kind, begins, ends):
    codec = AudioCodec(AudioCodecSettings.model_validate({"kind": kind, "rate": 8000}))

    def digits(take: int) -> torch.Tensor:
        files = [shared_data / "speech" / "fsdd" / f"{digit}_jackson_{take}.wav" for digit in (1, 2, 5, 7)]
        return torch.from_numpy(
            np.concatenate([codec.encode(read_mono(file, 8000)) for file in files]).astype(np.int64)
        )

    heard, held_out = digits(5), digits(15)
    torch.manual_seed(0)
    small = WaveNetSettings(stacks=1, layers=5, residual_channels=16, dilation_channels=16, skip_channels=24)
    model = models.build(small, codec.tokens)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    rng = np.random.default_rng(0)

    def bits(tokens: torch.Tensor) -> torch.Tensor:
        return model.head.bits(model(tokens[:, :-1]), tokens[:, 1:]).mean()

    with torch.no_grad():
        assert float(bits(held_out[None])) < begins  # near the bits of one who knows nothing, never far beyond
    for _ in range(30):
        starts = rng.integers(0, len(heard) - 801, 4)
        loss = bits(torch.stack([heard[start : start + 801] for start in starts]))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        assert float(bits(held_out[None])) < ends
