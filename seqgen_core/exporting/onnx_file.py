"""One step of a trained model as an ONNX file, checked in ONNX Runtime before it gets its name.

The file's metadata have one entry, `seqgen`, a JSON object: `format` (seqgen-onnx), `format_version`, `seqgen` (the
version that wrote it), `name` of the run, `step`, `ema`; `state` and `next_state`, the names of inputs and outputs;
`codec` (its settings), `values` of a token, `start` (the token that comes before everything), `head` (categorical,
mixture or bernoulli), `labels`; of sound `rate` and `amplitudes`, one for each token value; of a mixture `log_scales`,
the least and the largest; where the model is told features, `features`.
"""

import importlib.metadata
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, helper

from seqgen_core.errors import SeqgenError
from seqgen_core.exporting.onnx_check import TOLERANCE, Comparison, compare
from seqgen_core.exporting.onnx_graph import NEXT, StepGraph
from seqgen_core.exporting.onnx_start import Beginning
from seqgen_core.exporting.weights_file import Exported, averaged, check_target, name_of
from seqgen_core.files import fsync_directory, temporary_sibling, write_bytes_atomically
from seqgen_core.models.base import CausalModel
from seqgen_core.models.heads import BernoulliHead, LogisticMixtureHead
from seqgen_core.models.heads.mixture import LOOSEST_LOG_SCALE
from seqgen_core.models.steps import step_program
from seqgen_core.models.steps.program import StepProgram
from seqgen_core.progress import Progress
from seqgen_core.runs import RunFolder
from seqgen_core.settings.run import RunSettings

SUFFIX = ".onnx"
FORMAT, FORMAT_VERSION = "seqgen-onnx", 1
OPSET, IR_VERSION = 17, 8
"""Versions of the operators and of the format, of 2022: what reads ONNX reads them."""
LARGEST = 2**31 - 2**20
"""Bytes of weights; one file holds 2 GiB."""


@dataclass(frozen=True)
class Written:
    """An ONNX file: where it is, whose weights it holds, how it compares with the model, and its nodes."""

    path: Path
    step: int
    ema: bool
    comparison: Comparison
    nodes: int


def write_onnx(
    run: RunFolder | Exported,
    path: Path,
    start: np.ndarray,
    amplitudes: np.ndarray | None = None,
    which: str = "best",
    *,
    ema: bool = True,
    progress: Progress | None = None,
) -> Written:
    """Write one step of a checkpoint of a run, or of an exported file, at `path`, whole and checked, or not at all.

    start: token (*shape) with which generation from nothing begins. amplitudes (V,): of sound, that of each token.
    Raises UsageError as `check_target` and the choice of a checkpoint do; SeqgenError where the file would be larger
    than ONNX allows, or computes something else than the model; OSError.
    """
    check_target(path, SUFFIX)
    model, step = run.model(which, ema=ema, progress=progress)
    averages = averaged(run, step, ema)
    account = {
        "seqgen": importlib.metadata.version("seqgen"),
        "name": name_of(run),
        "step": step,
        "ema": averages,
        **_told(run.settings, model, start, amplitudes),
    }
    program = step_program(model)
    period = math.lcm(*(operation.every for operation in program.operations))
    file = step_file(model, program, account)
    nodes = count_nodes(file.graph)
    temporary = temporary_sibling(path)
    try:
        write_bytes_atomically(temporary, file.SerializeToString())
        del file  # the weights are in memory often enough
        comparison = compare(model, temporary, start, period, progress)
        if comparison.difference > TOLERANCE:
            raise SeqgenError(
                f"ONNX Runtime and the model differ by {comparison.difference:.1e} over {comparison.tokens} tokens, "
                f"more than {TOLERANCE:g}; no file was written.",
                hint="Report this, with the run's settings.toml.",
            )
        temporary.replace(path)
        fsync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return Written(path, step, averages, comparison, nodes)


def step_file(model: CausalModel, program: StepProgram, account: Mapping[str, Any]) -> ModelProto:
    """A model's step program, with what is told about it. Raises SeqgenError where it is too large.

    Inputs are token int64 (B, *shape), label int64 (B,) and features (B, F) where the model has them, and the state;
    outputs are `outputs` (B, head.size), which predict the token after, and the next state.
    """
    file = ModelProto(ir_version=IR_VERSION, producer_name="seqgen")
    file.opset_import.append(helper.make_operatorsetid("", OPSET))
    step = StepGraph(program, Beginning(model, program), file.graph)
    step.write()
    size = sum(len(tensor.raw_data) for tensor in file.graph.initializer)
    if size > LARGEST:
        raise SeqgenError(f"The weights take {size:,} bytes; an ONNX file holds {LARGEST:,}.")
    state = [part.name for part in step.state]
    told = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        **account,
        "state": state,
        "next_state": [NEXT + name for name in state],
    }
    helper.set_model_props(file, {"seqgen": json.dumps(told)})
    return file


def count_nodes(graph: GraphProto) -> int:
    """Nodes of a graph, those in branches included."""
    inner = (attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g"))
    return len(graph.node) + sum(map(count_nodes, inner))


def head_account(model: CausalModel) -> dict[str, Any]:
    """What a reader needs to turn outputs into tokens."""
    head = model.head
    if isinstance(head, LogisticMixtureHead):
        return {"head": "mixture", "log_scales": [head.least_log_scale, LOOSEST_LOG_SCALE]}
    return {"head": "bernoulli" if isinstance(head, BernoulliHead) else "categorical"}


def _told(
    settings: RunSettings, model: CausalModel, start: np.ndarray, amplitudes: np.ndarray | None
) -> dict[str, Any]:
    """The head, and what tokens stand for."""
    data = settings.data
    told = {
        "codec": data.codec.model_dump(mode="json"),
        "values": model.tokens.values,
        "start": np.asarray(start).tolist(),
        "labels": list(data.label_names),
        **head_account(model),
    }
    if amplitudes is not None:
        told |= {"rate": data.codec.tokens_per_second, "amplitudes": [float(str(value)) for value in amplitudes]}
    if data.features is not None and model.local_features:
        told["features"] = data.features.model_dump(mode="json")
    return told
