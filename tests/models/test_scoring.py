"""Scores of whole recordings: equal to one plain forward, however they are cut and batched."""

import math

import numpy as np
import pytest
import torch
from tiny import TINY_MODELS

from seqgen_core import models
from seqgen_core.models import scoring
from seqgen_core.models.scoring import Score, score_streams
from seqgen_core.settings.tokens import CategoricalTokens

LENGTHS = (70, 1, 33, 2, 70, 0, 9)


def build(kind, classes=0):
    torch.manual_seed(3)
    settings = TINY_MODELS[kind]
    if classes:
        settings = settings.model_copy(update={"classes": classes})
    return models.build(settings, CategoricalTokens(values=8)).eval()


@pytest.fixture
def streams():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 8, length).astype(np.uint8) for length in LENGTHS]


def plain(model, stream, label=None):
    """Bits and hits by one forward over everything, from probabilities by hand."""
    if len(stream) < 2:
        return 0.0, 0, 0
    tokens = torch.from_numpy(stream.astype(np.int64))[None]
    condition = torch.tensor([label]) if label is not None else None
    with torch.no_grad():
        shares = model(tokens, condition)[0, :-1].double().softmax(dim=-1)
    bits = [-math.log2(shares[place, stream[place + 1]]) for place in range(len(stream) - 1)]
    hits = [int(shares[place].argmax()) == stream[place + 1] for place in range(len(stream) - 1)]
    return math.fsum(bits), sum(hits), len(bits)


@pytest.mark.parametrize(("chunk", "batch_size"), [(16384, 4), (1, 1), (7, 3), (64, 7), (10, 2), (3, 100)])
@pytest.mark.parametrize("kind", TINY_MODELS)
def test_equals_the_plain_forward_for_any_chunk_and_batch(streams, kind, chunk, batch_size):
    model = build(kind)
    told = []
    scores = score_streams(model, streams, chunk=chunk, batch_size=batch_size, advanced=told.append)
    for score, stream in zip(scores, streams, strict=True):
        bits, hits, tokens = plain(model, stream)
        assert score.bits == pytest.approx(bits, rel=1e-5, abs=1e-6)
        assert (score.correct, score.tokens) == (hits, tokens)
    assert sum(told) == sum(max(0, length - 1) for length in LENGTHS)


def test_the_first_token_is_given_not_scored():
    model = build("wavenet")
    start = np.array([3, 1, 4], np.uint8)
    (score,) = score_streams(model, [start])
    assert score.tokens == 2
    (single,) = score_streams(model, [start[:1]])
    assert (single.bits, single.tokens) == (0.0, 0)
    assert math.isnan(single.bits_per_token)
    assert math.isnan(single.accuracy)


def test_labels_condition_each_recording(streams):
    model = build("wavenet", classes=3)
    labels = [place % 3 for place in range(len(streams))]
    scores = score_streams(model, streams, labels, chunk=20, batch_size=3)
    for score, stream, label in zip(scores, streams, labels, strict=True):
        assert score.bits == pytest.approx(plain(model, stream, label)[0], rel=1e-5, abs=1e-6)
    assert plain(model, streams[0], 0)[0] != plain(model, streams[0], 1)[0]


def test_nothing_to_score():
    assert score_streams(build("sequnet"), []) == []


def test_scores_add_up_by_tokens():
    total = Score(10.0, 1, 4) + Score(2.0, 2, 2)
    assert (total.bits_per_token, total.accuracy) == (2.0, 0.5)


def test_many_values_make_the_chunks_shorter_not_the_scores(streams, monkeypatch):
    model = build("wavenet")
    expected = score_streams(model, streams)
    told = []
    monkeypatch.setattr(scoring, "MOST_OUTPUTS", 5 * 8)  # five tokens of eight values
    scores = score_streams(model, streams, batch_size=1, advanced=told.append)
    assert max(told) == 5
    assert [score.bits for score in scores] == pytest.approx([score.bits for score in expected], rel=1e-5)
