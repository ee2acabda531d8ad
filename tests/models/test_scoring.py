"""Scores of whole recordings: equal to one plain forward, however they are cut and batched."""

import math

import numpy as np
import pytest
import torch
from tiny import STREAM_MODELS, TINY_MODELS

from seqgen_core import models
from seqgen_core.errors import ShapeError
from seqgen_core.models import scoring
from seqgen_core.models.condition import Condition
from seqgen_core.models.scoring import Score, condition_of, score_streams
from seqgen_core.settings.tokens import BinaryTokens, CategoricalTokens
from seqgen_core.streams import Stream, Upsampled

EIGHT = CategoricalTokens(values=8)
LENGTHS = (70, 1, 33, 2, 70, 0, 9)
CUTS = [(16384, 4), (1, 1), (7, 3), (64, 7), (10, 2), (3, 100)]
"""(chunk, batch_size)"""


def build(kind, tokens=EIGHT, **update):
    torch.manual_seed(3)
    return models.build(TINY_MODELS[kind].model_copy(update=update), tokens).eval()


def streams_of(lengths=LENGTHS, **what):
    rng = np.random.default_rng(0)
    tokens = [rng.integers(0, 8, length).astype(np.uint8) for length in lengths]
    return [Stream(str(place), codes, **what) for place, codes in enumerate(tokens)]


def plain(model, stream, features=None):
    """Bits and hits by one forward over everything, from probabilities by hand."""
    first = stream.given - 1
    if len(stream.tokens) <= stream.given:
        return 0.0, 0, 0
    tokens = torch.from_numpy(stream.tokens.astype(np.int64))[None]
    condition = Condition(None if stream.label is None else torch.tensor([stream.label]), features)
    with torch.no_grad():
        shares = model(tokens[:, :-1], condition)[0].double().softmax(dim=-1)
    places = range(first, len(stream.tokens) - 1)
    bits = [-math.log2(shares[place, stream.tokens[place + 1]]) for place in places]
    hits = [int(shares[place].argmax()) == stream.tokens[place + 1] for place in places]
    return math.fsum(bits), sum(hits), len(bits)


@pytest.mark.parametrize(("chunk", "batch_size"), CUTS)
@pytest.mark.parametrize("kind", STREAM_MODELS)
def test_equals_the_plain_forward_for_any_chunk_and_batch(kind, chunk, batch_size):
    model, streams = build(kind), streams_of()
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
    (score,) = score_streams(model, [Stream("", start)])
    assert score.tokens == 2
    (single,) = score_streams(model, [Stream("", start[:1])])
    assert (single.bits, single.tokens) == (0.0, 0)
    assert math.isnan(single.bits_per_token)
    assert math.isnan(single.accuracy)


@pytest.mark.parametrize(("chunk", "batch_size"), CUTS)
@pytest.mark.parametrize("given", [2, 9, 30, 70, 99])
def test_what_is_given_is_heard_but_not_scored(given, chunk, batch_size):
    model, streams = build("wavenet"), streams_of(given=given)
    told = []
    scores = score_streams(model, streams, chunk=chunk, batch_size=batch_size, advanced=told.append)
    for score, stream in zip(scores, streams, strict=True):
        bits, hits, tokens = plain(model, stream)
        assert score.bits == pytest.approx(bits, rel=1e-5, abs=1e-6)
        assert (score.correct, score.tokens) == (hits, tokens)
    assert sum(told) == sum(max(0, length - given) for length in LENGTHS)


def test_labels_condition_each_recording():
    model = build("wavenet", classes=3)
    streams = [Stream("", stream.tokens, place % 3) for place, stream in enumerate(streams_of())]
    scores = score_streams(model, streams, chunk=20, batch_size=3)
    for score, stream in zip(scores, streams, strict=True):
        assert score.bits == pytest.approx(plain(model, stream)[0], rel=1e-5, abs=1e-6)
    assert plain(model, streams[0])[0] != plain(model, Stream("", streams[0].tokens, 1))[0]


@pytest.mark.parametrize(("chunk", "batch_size"), CUTS)
def test_features_tell_of_the_token_that_is_predicted(chunk, batch_size):
    model = build("wavenet", local_features=2)
    rng = np.random.default_rng(1)
    streams = [
        Stream("", stream.tokens, features=Upsampled(rng.normal(size=(1 + length // 10, 2)), 10, length))
        for stream, length in zip(streams_of(), LENGTHS, strict=True)
    ]
    scores = score_streams(model, streams, chunk=chunk, batch_size=batch_size)
    for score, stream in zip(scores, streams, strict=True):
        rows = stream.features[np.arange(1, len(stream.tokens))]
        assert score.bits == pytest.approx(plain(model, stream, torch.from_numpy(rows)[None])[0], rel=1e-5, abs=1e-6)
    for stream, length in zip(streams, LENGTHS, strict=True):  # rows that are laid out are as good
        laid_out = Stream("", stream.tokens, features=stream.features[np.arange(length)])
        (score,) = score_streams(model, [laid_out])
        assert score.bits == pytest.approx(score_streams(model, [stream])[0].bits, rel=1e-6)


def test_beyond_a_stream_its_last_features_stand():
    model = build("wavenet", local_features=2)
    features = np.arange(8.0).reshape(4, 2)
    told = condition_of(model, [Stream("", np.zeros(4, np.int64), features=features)], 1, 4)
    assert told.labels is None
    assert told.features is not None
    assert told.features.dtype == torch.float32
    assert told.features.tolist() == [[[4, 5], [6, 7], [6, 7], [6, 7]]]


def test_a_model_with_features_wants_them():
    with pytest.raises(ShapeError, match="no features beside the tokens of here"):
        score_streams(build("wavenet", local_features=2), [Stream("here", np.zeros(4, np.int64))])


def test_vectors_are_scored_as_wholes():
    model = build("wavenet", BinaryTokens(width=3))
    rolls = [np.random.default_rng(length).integers(0, 2, (length, 3)).astype(np.uint8) for length in (20, 7)]
    scores = score_streams(model, [Stream("", roll) for roll in rolls], chunk=5, batch_size=1)
    for roll, score in zip(rolls, scores, strict=True):
        tokens = torch.from_numpy(roll.astype(np.int64))[None]
        with torch.no_grad():
            shares = model(tokens)[0, :-1].double().sigmoid()
        chances = torch.where(tokens[0, 1:] == 1, shares, 1 - shares)
        assert score.bits == pytest.approx(-float(chances.log2().sum()), rel=1e-5)
        assert score.correct == int(((shares > 0.5) == (tokens[0, 1:] == 1)).all(dim=1).sum())
        assert score.tokens == len(roll) - 1


def test_nothing_to_score():
    assert score_streams(build("sequnet"), []) == []


def test_scores_add_up_by_tokens():
    total = Score(10.0, 1, 4) + Score(2.0, 2, 2)
    assert (total.bits_per_token, total.accuracy) == (2.0, 0.5)


def test_many_values_make_the_chunks_shorter_not_the_scores(monkeypatch):
    model, streams = build("wavenet"), streams_of()
    expected = score_streams(model, streams)
    told = []
    monkeypatch.setattr(scoring, "MOST_OUTPUTS", 5 * 8)  # five tokens of eight values
    scores = score_streams(model, streams, batch_size=1, advanced=told.append)
    assert max(told) == 5
    assert [score.bits for score in scores] == pytest.approx([score.bits for score in expected], rel=1e-5)
