"""Building an ONNX graph node by node: names, constants that are stored once, branches.

Axes: B batch.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import GraphProto, NodeProto, TensorProto, helper
from torch import Tensor

INT64, FLOAT = TensorProto.INT64, TensorProto.FLOAT
TYPES = {np.dtype(np.float32): FLOAT, np.dtype(np.int64): INT64}


class Nodes:
    """Nodes in the making; inside of `branches` those of a branch, which reads what stands before it.

    graph: gets them at the end, and constants at once.
    """

    def __init__(self, graph: GraphProto) -> None:
        self.graph = graph
        self._names = 0
        self._nodes: list[NodeProto] = []
        self._numbers: dict[tuple[Any, ...], str] = {}
        self._weights: dict[tuple[int, str], tuple[Tensor, str]] = {}

    def name(self, hint: str) -> str:
        """A name of its own."""
        self._names += 1
        return f"{hint}_{self._names}"

    def add(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """A node with one output: the name of that."""
        output = name or self.name(kind.lower())
        self._nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def split(self, x: str, count: int, axis: int) -> list[str]:
        """Equal parts of a tensor."""
        outputs = [self.name("part") for _ in range(count)]
        self._nodes.append(helper.make_node("Split", [x], outputs, axis=axis))
        return outputs

    def apart(self, x: str, widths: Sequence[int]) -> list[str]:
        """Parts of so many columns each of a matrix."""
        if len(widths) == 1:
            return [x]
        outputs = [self.name("part") for _ in widths]
        self._nodes.append(helper.make_node("Split", [x, self.whole(widths)], outputs, axis=1))
        return outputs

    def cut(self, x: str, first: int, stop: int) -> str:
        """Columns first to stop - 1 of a matrix."""
        return self.add("Slice", x, self.whole([first]), self.whole([stop]), self.whole([1]))

    def beside(self, parts: Sequence[str]) -> str:
        """Matrices side by side."""
        return parts[0] if len(parts) == 1 else self.add("Concat", *parts, axis=1)

    def whole(self, numbers: Sequence[int]) -> str:
        """Whole numbers, stored once."""
        key = ("whole", *numbers)
        if key not in self._numbers:
            self._numbers[key] = self.constant(np.array(numbers, np.int64), "numbers")
        return self._numbers[key]

    def zeros(self, columns: int) -> str:
        """A row (1, columns) of zeros, stored once."""
        if ("zeros", columns) not in self._numbers:
            self._numbers["zeros", columns] = self.constant(np.zeros((1, columns), np.float32), "zeros")
        return self._numbers["zeros", columns]

    def weight(self, value: Tensor, prepare: Callable[[Tensor], Tensor] = lambda value: value, how: str = "") -> str:
        """A weight in float32, prepared in a way that `how` names; stored once for each way."""
        key = (id(value), how)
        if key not in self._weights:
            array = prepare(value.detach().to("cpu", torch.float32)).detach().contiguous().numpy()
            self._weights[key] = (value, self.constant(array, "weight"))  # the value keeps its id while it is held
        return self._weights[key][1]

    def constant(self, array: np.ndarray, hint: str) -> str:
        """A constant of the file."""
        tensor = self.graph.initializer.add()  # in place: every copy of the weights costs their size again
        tensor.name, tensor.data_type = self.name(hint), TYPES[array.dtype]
        tensor.dims.extend(array.shape)
        tensor.raw_data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        return tensor.name

    def branches(
        self, condition: str, then: Callable[[], Sequence[str]], otherwise: Callable[[], Sequence[str]], hint: str
    ) -> list[str]:
        """One of two lists of tensors, equally long, of which each branch has made its own by nodes of its own."""
        made = [self._branch(body) for body in (then, otherwise)]
        outputs = [self.name(hint) for _ in made[0].output]
        self._nodes.append(
            helper.make_node("If", [condition], outputs, then_branch=made[0], else_branch=made[1], name=self.name("if"))
        )
        return outputs

    def _branch(self, body: Callable[[], Sequence[str]]) -> GraphProto:
        outer, self._nodes = self._nodes, []
        outputs = [helper.make_empty_tensor_value_info(name) for name in body()]
        graph = helper.make_graph(self._nodes, self.name("branch"), [], outputs)
        self._nodes = outer
        return graph

    def finish(self) -> None:
        """Put the nodes into the graph."""
        self.graph.node.extend(self._nodes)


def value_info(name: str, kind: int, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    """What an input or output is."""
    return helper.make_tensor_value_info(name, kind, list(shape))
