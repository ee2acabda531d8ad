"""Slow, obvious versions of the two models, tick by tick in numpy, from the papers: judges of the fast ones.

They read weights by the names and shapes of the reference code's snapshots, so they also judge the import.
Nothing heard is zero at every layer. Axes of every signal: (ticks, channels).
"""

from collections.abc import Callable

import numpy as np

Weights = dict[str, np.ndarray]


def causal_convolution(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, dilation: int = 1) -> np.ndarray:
    """weight (outputs, inputs, taps), oldest tap first."""
    taps = weight.shape[2]
    y = np.zeros((len(x), weight.shape[0]))
    for now in range(len(x)):
        for tap in range(taps):
            then = now - (taps - 1 - tap) * dilation
            if then >= 0:
                y[now] += weight[:, :, tap] @ x[then]
        if bias is not None:
            y[now] += bias
    return y


def gated(weights: Weights, name: str, layer: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    signal = layer(weights[f"{name}.filter.weight"], weights[f"{name}.filter.bias"])
    gate = layer(weights[f"{name}.gate.weight"], weights[f"{name}.gate.bias"])
    return np.tanh(signal) / (1 + np.exp(-gate))


def sequnet(weights: Weights, tokens: np.ndarray, levels: int, depth: int) -> np.ndarray:
    """Stoller et al. 2019, section 3: outputs (ticks, values). Every level is computed at every token it ticks at."""
    values = weights["input_conv.weight"].shape[1]
    x = causal_convolution(np.eye(values)[tokens], weights["input_conv.weight"], weights["input_conv.bias"])
    shortcuts = []
    for level in range(levels - 1):
        for index in range(depth):
            x = _residual(weights, f"downsampling_blocks.{level}.convs.{index}", x, x)
        shortcuts.append(x)
        # A convolution of stride 2 is the convolution of stride 1 of which every other output is thrown away.
        x = _residual(weights, f"downsampling_blocks.{level}.downconv", x, x)[::2]
    for index in range(depth):
        x = _residual(weights, f"bottlenecks.{index}", x, x)
    for level in reversed(range(levels - 1)):
        shortcut = shortcuts[level]
        beside = _upsampled(weights, f"upsampling_blocks.{level}.upconv", x, len(shortcut))
        for index in range(depth):
            both = np.concatenate([shortcut, beside], axis=1)
            shortcut = _residual(weights, f"upsampling_blocks.{level}.convs.{index}", both, shortcut)
        x = shortcut
    return np.maximum(x, 0) @ weights["output_conv.1.weight"][:, :, 0].T + weights["output_conv.1.bias"]


def _residual(weights: Weights, name: str, x: np.ndarray, identity: np.ndarray) -> np.ndarray:
    return identity + gated(weights, name, lambda weight, bias: causal_convolution(x, weight, bias))


def _upsampled(weights: Weights, name: str, slow: np.ndarray, ticks: int) -> np.ndarray:
    """A transposed convolution: zeros are put between the slow ticks, and the newest tap comes first in the weight."""
    stretched = np.zeros((ticks, slow.shape[1]))
    stretched[::2] = slow

    def layer(weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        return causal_convolution(stretched, weight.transpose(1, 0, 2)[:, :, ::-1], bias)

    held = np.repeat(slow, 2, axis=0)[:ticks]
    return held + gated(weights, name, layer)


def wavenet(weights: Weights, tokens: np.ndarray, stacks: int, layers: int) -> np.ndarray:
    """van den Oord et al. 2016, section 2: outputs (ticks, values)."""
    values = weights["start_conv.weight"].shape[1]
    x = causal_convolution(np.eye(values)[tokens], weights["start_conv.weight"], weights.get("start_conv.bias"))
    skip = np.zeros(())
    for index in range(stacks * layers):
        dilation = 2 ** (index % layers)
        signal, gate = (
            causal_convolution(x, weights[f"{part}.{index}.weight"], weights.get(f"{part}.{index}.bias"), dilation)
            for part in ("filter_convs", "gate_convs")
        )
        z = np.tanh(signal) / (1 + np.exp(-gate))
        skip = skip + causal_convolution(
            z, weights[f"skip_convs.{index}.weight"], weights.get(f"skip_convs.{index}.bias")
        )
        x = x + causal_convolution(
            z, weights[f"residual_convs.{index}.weight"], weights.get(f"residual_convs.{index}.bias")
        )
    x = np.maximum(skip, 0)
    x = np.maximum(causal_convolution(x, weights["end_conv_1.weight"], weights["end_conv_1.bias"]), 0)
    return causal_convolution(x, weights["end_conv_2.weight"], weights["end_conv_2.bias"])


def random_sequnet(rng: np.random.Generator, values: int, features: int, levels: int, depth: int, taps: int) -> Weights:
    """Weights of any Seq-U-Net as a snapshot names them."""
    weights = {
        "input_conv.weight": rng.normal(size=(features, values, taps)),
        "input_conv.bias": rng.normal(size=features),
        "output_conv.1.weight": rng.normal(size=(values, features, 1)),
        "output_conv.1.bias": rng.normal(size=values),
    }
    layers = {f"bottlenecks.{index}": (features, features, taps) for index in range(depth)}
    for level in range(levels - 1):
        down, up = f"downsampling_blocks.{level}", f"upsampling_blocks.{level}"
        layers[f"{down}.downconv"] = (features, features, taps)
        layers[f"{up}.upconv"] = (features, features, taps)
        for index in range(depth):
            layers[f"{down}.convs.{index}"] = (features, features, taps)
            layers[f"{up}.convs.{index}"] = (features, 2 * features, taps)
    for name, shape in layers.items():
        for part in ("filter", "gate"):
            weights[f"{name}.{part}.weight"] = rng.normal(size=shape) / np.sqrt(shape[1] * taps)
            weights[f"{name}.{part}.bias"] = 0.3 * rng.normal(size=features)
    return weights


def random_wavenet(
    rng: np.random.Generator,
    values: int,
    stacks: int,
    layers: int,
    taps: int,
    channels: tuple[int, int, int],
    bias: bool,
) -> Weights:
    """Weights of any WaveNet as a snapshot names them; channels: residual, dilation, skip."""
    residual, inner, skips = channels
    shapes = {"start_conv": (residual, values, 1)}
    for index in range(stacks * layers):
        shapes[f"filter_convs.{index}"] = shapes[f"gate_convs.{index}"] = (inner, residual, taps)
        shapes[f"residual_convs.{index}"] = (residual, inner, 1)
        shapes[f"skip_convs.{index}"] = (skips, inner, 1)
    shapes |= {"end_conv_1": (skips, skips, 1), "end_conv_2": (values, skips, 1)}
    weights = {}
    for name, shape in shapes.items():
        weights[f"{name}.weight"] = rng.normal(size=shape) / np.sqrt(shape[1] * shape[2])
        if bias or name.startswith("end_conv"):
            weights[f"{name}.bias"] = 0.3 * rng.normal(size=shape[0])
    return weights
