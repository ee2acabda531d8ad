"""Weights of the Seq-U-Net authors' own code (github.com/f90/Seq-U-Net, raw_audio), brought into ours.

Their snapshots are `torch.save({"model_state_dict": …})` or a bare state dict, with `module.` before every name where
they were trained on several devices. Axes: C channels, V token values, K taps.
"""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqgen_core.errors import SeqgenError
from seqgen_core.settings.model import SequnetSettings, WaveNetSettings


def load_snapshot(path: Path) -> dict[str, Tensor]:
    """Tensors of a snapshot by name, without the prefix. Nothing in the file is executed.

    Raises SeqgenError where the file is missing, is no such snapshot, or holds more than plain data.
    """
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise SeqgenError(f"{path} cannot be read: {error.strerror}.") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise SeqgenError(
            f"{path} is no snapshot that can be loaded safely: {str(error).splitlines()[0]}",
            "A file by torch.save that holds tensors and plain values only was expected.",
        ) from error
    tensors = loaded.get("model_state_dict", loaded) if isinstance(loaded, dict) else None
    if not isinstance(tensors, dict) or not tensors or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise SeqgenError(
            f"{path} holds {type(loaded).__name__}, not the tensors of a model.",
            "A state dict, or a dict with 'model_state_dict', was expected.",
        )
    return {name.removeprefix("module."): value for name, value in tensors.items()}


def reference_state_dict(
    snapshot: Mapping[str, Tensor], settings: WaveNetSettings | SequnetSettings
) -> dict[str, Tensor]:
    """Our state dict for a model of these settings, from the tensors of a snapshot.

    The residual 1×1 convolution of WaveNet's last layer is dropped: it reaches no output. A WaveNet with
    input="embedding" gets the one-hot convolution's bias added to its vectors, which is the same function.
    Raises SeqgenError naming the settings that differ from the snapshot, or the tensors that are missing,
    unexpected or of another shape.
    """
    names = {name.removeprefix("module."): value for name, value in snapshot.items()}
    described = describe_snapshot(names)
    differing = {key: value for key, value in described.items() if _as_built(settings, key) != value}
    if differing:
        there = ", ".join(f"{key}={_text(value)}" for key, value in differing.items())
        ours = ", ".join(f"{key}={_text(_as_built(settings, key))}" for key in differing)
        hint = "Give " + " ".join(_setting(key, value) for key, value in differing.items()) + "."
        raise SeqgenError(f"The snapshot holds a model of {there}.", f"The settings say {ours}.", hint)
    taken = _Taken(names)
    converted = _sequnet(taken, settings) if isinstance(settings, SequnetSettings) else _wavenet(taken, settings)
    taken.finish()
    return converted


def describe_snapshot(snapshot: Mapping[str, Tensor]) -> dict[str, Any]:
    """Settings that the names and shapes of a snapshot tell, and `kind`. Raises SeqgenError for an unknown model.

    WaveNet's tensors tell only how many layers there are in all, as `total_layers`.
    """
    names = {name.removeprefix("module."): value for name, value in snapshot.items()}
    if "input_conv.weight" in names and "bottlenecks.0.filter.weight" in names:
        features, _, taps = names["input_conv.weight"].shape
        levels = 1 + _count(names, r"downsampling_blocks\.(\d+)\.")
        depth = _count(names, r"bottlenecks\.(\d+)\.")
        return {"kind": "sequnet", "features": features, "levels": levels, "depth": depth, "kernel_size": taps}
    wanted = ("start_conv", "filter_convs.0", "skip_convs.0", "end_conv_1")
    if all(f"{name}.weight" in names for name in wanted):
        inner, channels, taps = names["filter_convs.0.weight"].shape
        return {
            "kind": "wavenet",
            "total_layers": _count(names, r"filter_convs\.(\d+)\."),
            "kernel_size": taps,
            "residual_channels": channels,
            "dilation_channels": inner,
            "skip_channels": names["skip_convs.0.weight"].shape[0],
            "output_channels": names["end_conv_1.weight"].shape[0],
            "bias": "filter_convs.0.bias" in names,
            "skip": "sum",
            "classes": 0,
        }
    raise SeqgenError(
        f"The snapshot's tensors ({', '.join(list(names)[:3])}, …) are of no model known here.",
        "The raw-audio Seq-U-Net (gated residual) or WaveNet of the reference code was expected.",
    )


def snapshot_values(snapshot: Mapping[str, Tensor]) -> int:
    """Token values V that the model of a snapshot reads and predicts."""
    names = {name.removeprefix("module."): value for name, value in snapshot.items()}
    entry = names.get("input_conv.weight", names.get("start_conv.weight"))
    if entry is None or entry.dim() != 3:
        raise SeqgenError("The snapshot has no input convolution over one-hot tokens.")
    return entry.shape[1]


class _Taken:
    """The snapshot's tensors, ticked off as they are used; missing and misshapen ones are told all at once."""

    def __init__(self, names: Mapping[str, Tensor]) -> None:
        self.names = names
        self.used: set[str] = set()
        self.problems: list[str] = []

    def take(self, name: str, *shape: int) -> Tensor:
        self.used.add(name)
        found = self.names.get(name)
        if found is None:
            self.problems.append(f"{name} is missing")
        elif tuple(found.shape) != shape:
            self.problems.append(f"{name} has shape {tuple(found.shape)}, not {shape}")
        else:
            return found
        return torch.zeros(shape)

    def gated(self, prefix: str, *shape: int, outputs: int) -> tuple[Tensor, Tensor]:
        """Filter above gate: weight (2C, …) along the axis of the outputs, and bias (2C,)."""
        weights = [self.take(f"{prefix}.{part}.weight", *shape) for part in ("filter", "gate")]
        biases = [self.take(f"{prefix}.{part}.bias", shape[outputs]) for part in ("filter", "gate")]
        return torch.cat(weights, dim=outputs), torch.cat(biases)

    def finish(self) -> None:
        self.problems += [f"{name} is unexpected" for name in self.names if name not in self.used]
        if self.problems:
            more = len(self.problems) - 5
            listed = "; ".join(self.problems[:5]) + (f"; and {more} more" if more > 0 else "")
            raise SeqgenError(
                f"The snapshot does not fit the model: {listed}.", hint="Check the settings after --model."
            )


def _sequnet(taken: _Taken, settings: SequnetSettings) -> dict[str, Tensor]:
    channels, taps = settings.features, settings.kernel_size
    values = snapshot_values(taken.names)
    entry = taken.take("input_conv.weight", channels, values, taps)
    ours = {
        "input.weight": entry.permute(2, 1, 0).reshape(taps * values, channels),  # (K * V, C)
        "input.bias": taken.take("input_conv.bias", channels),
        "output.weight": taken.take("output_conv.1.weight", values, channels, 1),
        "output.bias": taken.take("output_conv.1.bias", values),
    }

    def convolution(theirs: str, name: str, inputs: int) -> None:
        weight, bias = taken.gated(theirs, channels, inputs, taps, outputs=0)
        ours.update({f"{name}.gated.weight": weight, f"{name}.gated.bias": bias})

    for index in range(settings.depth):
        convolution(f"bottlenecks.{index}", f"bottleneck.{index}", channels)
    for level in range(settings.levels - 1):
        for index in range(settings.depth):
            convolution(f"downsampling_blocks.{level}.convs.{index}", f"down.{level}.convs.{index}", channels)
            convolution(f"upsampling_blocks.{level}.convs.{index}", f"up.{level}.convs.{index}", 2 * channels)
        convolution(f"downsampling_blocks.{level}.downconv", f"down.{level}.downsample", channels)
        # Transposed convolution (inputs, outputs, K), newest tap first; ours are (outputs, inputs, K), oldest first.
        prefix = f"up.{level}.upsample"
        weight, bias = taken.gated(f"upsampling_blocks.{level}.upconv", channels, channels, taps, outputs=1)
        ours[f"{prefix}.even.weight"] = weight[:, :, 0::2].flip(2).transpose(0, 1)
        ours[f"{prefix}.odd.weight"] = weight[:, :, 1::2].flip(2).transpose(0, 1)
        ours[f"{prefix}.even.bias"] = bias
    return {name: value.contiguous() for name, value in ours.items()}


def _wavenet(taken: _Taken, settings: WaveNetSettings) -> dict[str, Tensor]:
    channels, inner, skips = settings.residual_channels, settings.dilation_channels, settings.skip_channels
    width = settings.output_channels or skips
    values, count = snapshot_values(taken.names), settings.stacks * settings.layers
    table = taken.take("start_conv.weight", channels, values, 1)[:, :, 0].T  # (V, C)
    entry_bias = taken.take("start_conv.bias", channels) if settings.bias else None
    ours = {
        "mix.weight": taken.take("end_conv_1.weight", width, skips, 1),
        "mix.bias": taken.take("end_conv_1.bias", width),
        "output.weight": taken.take("end_conv_2.weight", values, width, 1),
        "output.bias": taken.take("end_conv_2.bias", values),
    }
    if settings.input == "embedding":
        ours["input.weight"] = table if entry_bias is None else table + entry_bias
    else:
        ours["input.weight"] = table
        if entry_bias is not None:
            ours["input.bias"] = entry_bias

    def convolution(theirs: str, *shape: int) -> dict[str, Tensor]:
        found = {"weight": taken.take(f"{theirs}.weight", *shape)}
        if settings.bias:
            found["bias"] = taken.take(f"{theirs}.bias", shape[0])
        return found

    for index in range(count):
        signal = convolution(f"filter_convs.{index}", inner, channels, settings.kernel_size)
        gate = convolution(f"gate_convs.{index}", inner, channels, settings.kernel_size)
        for part in signal:
            ours[f"layers.{index}.gated.{part}"] = torch.cat([signal[part], gate[part]])
        for part, value in convolution(f"skip_convs.{index}", skips, inner, 1).items():
            ours[f"layers.{index}.skip.{part}"] = value
        residual = convolution(f"residual_convs.{index}", channels, inner, 1)
        if index < count - 1:
            for part, value in residual.items():
                ours[f"layers.{index}.residual.{part}"] = value
    return {name: value.contiguous() for name, value in ours.items()}


def _as_built(settings: WaveNetSettings | SequnetSettings, key: str) -> Any:
    if isinstance(settings, WaveNetSettings):
        if key == "total_layers":
            return settings.stacks * settings.layers
        if key == "output_channels":
            return settings.output_channels or settings.skip_channels
    return getattr(settings, key, None)


def _setting(key: str, value: Any) -> str:
    if key == "total_layers":
        return f"stacks=… layers=… whose product is {value}"
    return f"{key}={_text(value)}"


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _count(names: Mapping[str, Tensor], pattern: str) -> int:
    numbers = [int(found[1]) for name in names if (found := re.match(pattern, name))]
    return 1 + max(numbers, default=-1)
