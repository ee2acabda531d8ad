"""Checks of a trained network while it hears real excerpts: what its layers put out, its gates, its gradients.

The network runs in float64, where every gate is an operation of its own that can be watched; so the checks know nothing
of any model in particular.
Axes: B batch, T time, C channels.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from seqgen_core.data.store import PreparedData
from seqgen_core.diagnosis.finding import Finding, Severity, check, graded
from seqgen_core.models.base import CausalModel
from seqgen_core.models.scoring import condition_of
from seqgen_core.streams import Stream

EXCERPTS, TOKENS = 6, 512
"""What is heard: so many excerpts, evenly spread over the held-out recordings, of so many tokens (whole images)."""
LARGE = 5_000_000
"""Parameters of a model of which no more than two excerpts are heard; fewer than six from a quarter of it on."""
MOST_OUTPUTS = 2**22
SLOWEST = 8
"""Tokens per tick, beyond which a layer is heard too seldom in the excerpts to call what stays the same stuck."""
DEAD_WARNING, DEAD_SEVERE = 0.25, 0.75
SATURATED = 0.99  # of tanh; a sigmoid is shut where it is 1 - SATURATED or less
STUCK_WARNING, STUCK_SEVERE = 0.25, 0.75
GROWTH_WARNING, GROWTH_SEVERE = 1e3, 1e6
_FLAT = 1e-9  # of the layer's own size

WEIGHTS = check(
    "weights",
    "run",
    looks_at="whether all weights are numbers",
    thresholds="one that is not is severe",
    advice="Choose an earlier checkpoint (--checkpoint N), and train again with a lower learning rate.",
)
DEAD = check(
    "dead-channels",
    "run",
    looks_at="channels that stay the same whatever is heard: of what modules put out, of gates, and of rectifiers that "
    "never open, over real excerpts",
    thresholds=f"{DEAD_WARNING:.0%} of the channels of a layer a warning, {DEAD_SEVERE:.0%} severe",
    advice="Train again with a lower learning rate or a longer warm-up (warmup_steps).",
)
GATES = check(
    "saturated-gates",
    "run",
    looks_at=f"gates that stay at one end over all excerpts: tanh beyond {SATURATED:g} or below -{SATURATED:g}, "
    f"sigmoids below {1 - SATURATED:.2g}; gates that go from end to end are at work, however often they are there",
    thresholds=f"{STUCK_WARNING:.0%} of the channels of a layer a warning, {STUCK_SEVERE:.0%} severe",
    advice="Train again with a lower learning rate, or with weight_decay=0.01.",
)
GROWTH = check(
    "exploding-layers",
    "run",
    looks_at="the size (root mean square) of what modules put out, against the smallest of them",
    thresholds=f"{GROWTH_WARNING:g} times a warning, {GROWTH_SEVERE:g} times or no number at all severe",
    advice="Train again with a lower learning rate and clip_norm=1.",
)
GRADIENTS = check(
    "gradients",
    "run",
    looks_at="the gradient of the excerpts' bits by every weight",
    thresholds="a weight without any gradient a warning (half of them severe), one that is no number severe",
    advice="Look at dead-channels; where those are healthy, the excerpts may be silent.",
)


@dataclass
class Watched:
    """What was seen of a network: the size of each module's outputs, constant channels and saturated gates by place."""

    sizes: dict[str, float] = field(default_factory=dict)
    dead: dict[str, float] = field(default_factory=dict)
    saturated: dict[str, float] = field(default_factory=dict)
    gradients: dict[str, float] = field(default_factory=dict)
    bits: float = math.nan


def check_network(model: CausalModel, streams: Sequence[Stream], where: object) -> Iterator[Finding]:
    """Checks of a folded model over excerpts of real recordings, of which there is at least one."""
    bad = [name for name, weight in model.named_parameters() if not bool(weight.isfinite().all())]
    if bad:
        named = f"{len(bad)} weights hold what is no number, such as {bad[0]}"
        yield WEIGHTS.found("severe", named, where, weights=len(bad))
        return
    yield WEIGHTS.found("healthy", f"all {model.parameter_count:,} weights are numbers", where)
    seen = watch(model, streams)
    yield _worst(DEAD, seen.dead, "of the channels are constant", where, DEAD_WARNING, DEAD_SEVERE)
    if seen.saturated:
        yield _worst(GATES, seen.saturated, "of the gates never leave one end", where, STUCK_WARNING, STUCK_SEVERE)
    yield _growth(seen, where)
    yield _gradients(seen, where)


def excerpts(model: CausalModel, data: PreparedData) -> list[Stream]:
    """Up to EXCERPTS of what is held out, evenly spread; of images and of tasks, whole recordings."""
    items = [item for item in (data.items("valid") or data.items("test")) if item.length > item.given]
    if not items:
        return []
    # All are cut to the shortest, so the shorter half is left out where they are short.
    least = min(TOKENS, int(np.median([item.length for item in items])))
    items = [item for item in items if item.length >= max(2, least)]
    if not items:
        return []
    ends = np.cumsum([item.length for item in items])
    found = dict[tuple[int, int], Stream]()
    count = max(2, min(EXCERPTS, EXCERPTS * LARGE // (4 * max(1, model.parameter_count))))
    for number in range(count):
        middle = (number + 0.5) / count * ends[-1]
        place = int(np.searchsorted(ends, middle, "right"))
        item, stream = items[place], data.stream(items[place])
        whole = model.longest is not None or item.given > 1
        inside = int(middle - ends[place] + item.length) - TOKENS // 2
        start = 0 if whole else max(0, min(inside, item.length - TOKENS - 1))
        stop = item.length if whole else min(item.length, start + TOKENS + 1)
        features = None if stream.features is None else stream.features[start:stop]
        found[place, start] = replace(stream, tokens=stream.tokens[start:stop], features=features)
    return list(found.values())


def watch(model: CausalModel, streams: Sequence[Stream]) -> Watched:
    """Run a copy of the model over excerpts, cut to the shortest of them, forwards and backwards."""
    shortest = min(len(stream.tokens) for stream in streams) - 1
    steps = min(shortest, max(16, MOST_OUTPUTS // len(streams) // model.head.size))
    net = copy.deepcopy(model).cpu().double().eval().requires_grad_(True)
    tokens = torch.from_numpy(np.stack([stream.tokens[: steps + 1] for stream in streams]).astype("int64"))
    condition = condition_of(net, streams, 0, steps)
    least = max(1, len(streams) * steps // SLOWEST)
    seen, inside = Watched(), list[str]()
    hooks = []
    for name, module in net.named_modules():
        if name and "parametrizations" not in name:
            hooks += _watch_module(name, module, seen, inside, least)
    with _Operations(seen, inside, least):
        outputs = net(tokens[:, :-1], condition)
    for hook in hooks:
        hook.remove()
    bits = net.head.bits(outputs, tokens[:, 1:])
    seen.bits = float(bits.detach().mean())
    seen.sizes["outputs"] = _size(outputs)
    bits.mean().backward()
    for name, weight in net.named_parameters():
        seen.gradients[name] = 0.0 if weight.grad is None else float(weight.grad.norm())
    return seen


def _watch_module(name: str, module: nn.Module, seen: Watched, inside: list[str], least: int) -> list[Any]:
    def enter(module: nn.Module, inputs: object) -> None:
        inside.append(name)

    def leave(module: nn.Module, inputs: object, outputs: object) -> None:
        inside.pop()
        shown = outputs[0] if isinstance(outputs, tuple) else outputs
        if isinstance(shown, Tensor) and shown.is_floating_point() and shown.dim() in (3, 4):
            seen.sizes[name] = _size(shown)
            last = shown if shown.dim() == 3 else shown.movedim(1, -1)
            if last[..., 0].numel() >= least:
                seen.dead[name] = _constant_share(last)

    return [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]


class _Operations(TorchDispatchMode):
    """Sees every tanh, sigmoid and rectifier, wherever a model calls them."""

    def __init__(self, seen: Watched, inside: list[str], least: int) -> None:
        super().__init__()
        self._seen, self._inside, self._least, self._count = seen, inside, least, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        kind = func.overloadpacket.__name__.removesuffix("_")
        if kind not in ("tanh", "sigmoid", "relu") or not isinstance(result, Tensor) or result.dim() < 3:
            return result
        self._count += 1
        if result[..., 0].numel() >= self._least:
            place = f"{self._inside[-1]} {kind}" if self._inside else f"operation {self._count} ({kind})"
            if kind == "relu":
                shut = (result <= 0).flatten(0, -2).all(dim=0)
                self._seen.dead[place] = float(shut.double().mean())
            else:
                flat = result.flatten(0, -2)
                low, high = flat.amin(dim=0), flat.amax(dim=0)
                stuck = (low > SATURATED) | (high < -SATURATED) if kind == "tanh" else high < 1 - SATURATED
                self._seen.saturated[place] = float(stuck.double().mean())
                self._seen.dead[place] = _constant_share(result)
        return result


def _constant_share(outputs: Tensor) -> float:
    """Share of the channels of (…, C) that are the same at all times."""
    flat = outputs.detach().flatten(0, -2)  # (B * T, C)
    if len(flat) < 2:
        return 0.0
    still = (flat.amax(dim=0) - flat.amin(dim=0)) <= _FLAT * max(1e-30, float(flat.abs().amax()))
    return float(still.double().mean())


def _size(outputs: Tensor) -> float:
    return float(outputs.detach().square().mean().sqrt())


def _worst(kind: Any, shares: dict[str, float], what: str, where: object, warning: float, severe: float) -> Finding:
    name, share = max(shares.items(), key=lambda pair: pair[1], default=("any layer", 0.0))
    sentence = f"{share:.0%} {what} at most, in {name}"
    return kind.found(graded(share, warning, severe), sentence, where, share=share)


def _growth(seen: Watched, where: object) -> Finding:
    lost = [name for name, size in seen.sizes.items() if not math.isfinite(size)]
    if lost or not math.isfinite(seen.bits):
        sentence = f"what {lost[0] if lost else 'the head'} puts out is no number"
        return GROWTH.found("severe", sentence, where, modules=len(lost))
    sizes = {name: size for name, size in seen.sizes.items() if size > 0}
    large, small = max(sizes, key=sizes.__getitem__), min(sizes, key=sizes.__getitem__)
    ratio = sizes[large] / sizes[small]
    sentence = f"sizes go from {sizes[small]:.2g} ({small}) to {sizes[large]:.2g} ({large})"
    return GROWTH.found(graded(ratio, GROWTH_WARNING, GROWTH_SEVERE), sentence, where, ratio=ratio)


def _gradients(seen: Watched, where: object) -> Finding:
    lost = [name for name, norm in seen.gradients.items() if not math.isfinite(norm)]
    without = [name for name, norm in seen.gradients.items() if norm == 0]
    if lost:
        sentence = f"the gradient by {lost[0]} is no number"
        return GRADIENTS.found("severe", sentence, where, weights=len(lost))
    count = len(seen.gradients)
    severity: Severity = "severe" if 2 * len(without) >= count else "warning" if without else "healthy"
    such = f", such as {without[0]}" if without else ""
    sentence = f"{len(without)} of {count} weights have no gradient{such}"
    return GRADIENTS.found(severity, sentence, where, weights=len(without))
