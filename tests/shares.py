"""The judge of sampling: whether uniforms lie in the share that a head's own distribution gives to a token.

Everything is in float64, by the head's own functions. What may be off is stated by `blur`: each of the model's outputs
by so much. Where it is 0, only rounding is allowed: ROUNDING of all probability at an edge between tokens, and of a
weight where the likeliest are chosen among nearly equal ones.
"""

import math

import numpy as np
import torch
from torch import Tensor

from seqgen_core.generation.sampling import Filters
from seqgen_core.models.heads import BernoulliHead, Head, LogisticMixtureHead
from seqgen_core.models.heads.categorical import _keep_likeliest

ROUNDING = 1e-12
"""A sum of up to 65536 float64 numbers is off by no more than 65536 * 2^-53 = 7e-12 of itself, and by 1e-14 on average;
measured here are differences up to 1e-13."""


def misfit(
    head: Head, outputs: Tensor, uniforms: np.ndarray, filters: Filters, token: np.ndarray, blur: float = 0.0
) -> float:
    """How far uniforms (draws,) lie outside of what outputs (size,) and filters allow for a token: 0 if they do not.

    As a share of all probability, beyond what rounding and blur explain; inf where the token cannot be drawn at all.
    """
    outputs = outputs.double()
    if filters.temperature == 0:
        return _misfit_of_mode(head, outputs, token, blur)
    if isinstance(head, BernoulliHead):
        return _misfit_of_vector(outputs, uniforms, filters, token, blur)
    if isinstance(head, LogisticMixtureHead):
        return _misfit_of_code(head, outputs, uniforms, filters, int(token), blur)
    spread = blur / filters.temperature
    weights = ((outputs - outputs.amax()) / filters.temperature).exp()
    return _misfit_of_place(weights, float(uniforms[0]), filters, int(token), spread, np.full(len(weights), 2 * spread))


def _misfit_of_mode(head: Head, outputs: Tensor, token: np.ndarray, blur: float) -> float:
    if isinstance(head, BernoulliHead):
        other = (token == 1) != (outputs > 0).numpy()
        return float(np.where(other, np.abs(outputs.numpy()) - blur, 0.0).clip(min=0).max())
    best = head.bits(outputs, head.mode(outputs))
    lost = float(head.bits(outputs, torch.tensor(int(token))) - best) * math.log(2)
    if isinstance(head, LogisticMixtureHead):
        means, sharpness = outputs[head.mixtures : 2 * head.mixtures], _sharpness(head, outputs, 1.0)
        codes = (means + 1) / 2 * (head.values - 1)
        aside = float((codes.clamp(0, head.values - 1) - int(token)).abs().min()) - 0.5
        if aside > ROUNDING + blur * head.values:
            return math.inf
        # the head's own logarithms are float32 there, whose places are 6e-8 of the whole range apart
        blur = blur * 2 * float(sharpness.max()) + 6e-8 * float(sharpness.max())
    return max(0.0, lost - 2 * blur)


def _misfit_of_place(
    weights: Tensor, uniform: float, filters: Filters, token: int, spread: float, off: np.ndarray
) -> float:
    """For weights (V). spread: what an edge may be off; off (V): what each weight may be, as a share of itself."""
    kept = weights
    if filters.top_k or filters.top_p < 1:
        kept = _keep_likeliest(weights[None], filters.top_k, filters.top_p)[0]
    unsure = _unsure(weights.numpy(), filters, spread, off)
    total = float(kept.sum())
    if float(kept[token]) == 0 and not unsure[token]:
        return math.inf
    edges = np.concatenate([[0.0], kept.cumsum(0).numpy()]) / total
    outside = max(edges[token] - uniform, uniform - edges[token + 1], 0.0)
    return max(0.0, outside - spread - ROUNDING - float(weights.numpy()[unsure].sum()) / total)


def _unsure(weights: np.ndarray, filters: Filters, spread: float, off: np.ndarray) -> np.ndarray:
    """Which weights (V) may or may not be among the likeliest, because of what they may be off."""
    unsure = np.zeros(len(weights), bool)
    order = np.argsort(-weights, kind="stable")
    if 0 < filters.top_k < len(weights):
        unsure |= _near(weights, weights[order[filters.top_k - 1]], off)
        order = order[: filters.top_k]
    if filters.top_p < 1:
        ordered = weights[order]
        before = np.cumsum(ordered) - ordered
        beyond = before / ordered.sum() - filters.top_p
        unsure[order] |= np.abs(beyond) <= spread + ROUNDING
        unsure |= _near(weights, ordered[max(0, int((beyond < 0).sum()) - 1)], off)
    return unsure


def _near(weights: np.ndarray, least: float, off: np.ndarray) -> np.ndarray:
    """Which weights may come before or after the least kept one: equals do not, where nothing is off."""
    near = np.abs(weights - least) <= (2 * off + ROUNDING) * least
    if near.sum() == 1 or (not off.any() and (weights[near] == least).all()):
        near[:] = False
    return near


def _misfit_of_vector(outputs: Tensor, uniforms: np.ndarray, filters: Filters, token: np.ndarray, blur: float) -> float:
    chances = (outputs / filters.temperature).sigmoid().numpy()
    spread = blur / filters.temperature / 4 + ROUNDING
    kept = chances * (chances >= 1 - filters.top_p) if filters.top_p < 1 else chances
    unsure = np.abs(chances - (1 - filters.top_p)) <= spread if filters.top_p < 1 else np.zeros(len(chances), bool)
    if 0 < filters.top_k < len(chances):
        order = np.argsort(-kept, kind="stable")
        unsure |= _near(kept, kept[order[filters.top_k - 1]], np.full(len(kept), blur / filters.temperature))
        kept[order[filters.top_k :]] = 0
    # An unsure place may be one or not, wherever its uniform is below its chance.
    fits = np.where(token == 1, uniforms < kept, uniforms >= kept) | (unsure & (token == 0))
    possible = np.where(unsure, chances, kept)
    outside = np.where(fits, 0.0, np.abs(uniforms - possible) - spread)
    return float(np.where((token == 1) & (possible == 0), math.inf, outside.clip(min=0)).max())


def _misfit_of_code(
    head: LogisticMixtureHead, outputs: Tensor, uniforms: np.ndarray, filters: Filters, token: int, blur: float
) -> float:
    temperature, values, mixtures = filters.temperature, head.values, head.mixtures
    log_weights, means, log_scales = head._parts(outputs)
    # What the edges of codes are off, in units of a logistic's scale: rounding of places, and the blur of its numbers.
    loose = (1e-15 + blur) * _sharpness(head, outputs, temperature)
    if filters.top_k or filters.top_p < 1:
        cooled = torch.cat([log_weights / temperature, means, log_scales + math.log(temperature)])
        off = float(loose.max()) * 4 + blur * (2 / temperature + 60)
        spread = float(loose.max()) + blur * (1 / temperature + 1)
        return _misfit_of_place(
            head.probabilities(cooled), float(uniforms[0]), filters, token, spread, np.full(values, off)
        )
    shares = (log_weights / temperature).softmax(dim=0)
    best = math.inf
    for chosen in range(mixtures):
        aside = _misfit_of_place(shares, float(uniforms[0]), Filters(), chosen, blur / temperature, np.zeros(mixtures))
        edge = torch.tensor([2 * token - values, 2 * token + 2 - values]).double() / (values - 1)
        below, above = (edge - means[chosen]) / (log_scales[chosen].exp() * temperature)
        low = 0.0 if token == 0 else float(below.sigmoid())
        high = 1.0 if token == values - 1 else float(above.sigmoid())
        outside = max(low - uniforms[1], uniforms[1] - high, 0.0)
        # The slope of a sigmoid is at most 1/4; that of sigmoid(x exp(b)) by b is at most 0.23.
        allowed = float(loose[chosen]) / 4 + blur * 0.23 + ROUNDING
        best = min(best, max(aside, outside - allowed))
    return max(0.0, best)


def _sharpness(head: LogisticMixtureHead, outputs: Tensor, temperature: float) -> Tensor:
    return (-head._parts(outputs)[2]).exp() / temperature
