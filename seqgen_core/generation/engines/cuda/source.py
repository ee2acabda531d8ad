"""The kernel's source, and what it takes: names and structures that Python and C++ share are declared here once."""

import ctypes
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from seqgen_core.generation.engines.cuda.tables import (
    ACTIVATIONS,
    FEW_VECTORS,
    FORMS,
    MOST_VECTORS,
    SEGMENT_MOST,
    Kind,
    Op,
    Segment,
    SlotColumn,
)
from seqgen_core.models.steps.program import LEAK

MOST_THREADS = 512
"""Threads of a block, at most: so many that each may use 128 registers."""


class HeadKind(IntEnum):
    """How outputs become a token."""

    CATEGORICAL = 0
    BERNOULLI = 1
    MIXTURE = 2


class Control(IntEnum):
    """Places in the numbers that all blocks write."""

    ARRIVALS = 0
    SPOILT = 32
    """Not zero once outputs were not finite. A cache line away from what blocks wait for."""
    SIZE = 64


PARTS = ("program.cuh", "picking.cuh", "sampling.cuh", "kernel.cu")
"""Files of the source, in their order."""

_POINTERS = {
    "operations": "const int*",
    "tables": "const int*",
    "set_of": "const int*",
    "weights": "const unsigned char*",
    "chunks": "const long long*",
    "residents": "const int*",
    "store": "float*",
    "positions": "int*",
    "codes": "int*",
    "told": "const float*",
    "uniforms": "const double*",
    "forced": "const int*",
    "tokens": "int*",
    "bits": "double*",
    "heard": "float*",
    "work": "unsigned char*",
    "control": "unsigned*",
}
_WHOLE = (
    *("clips", "steps", "pending", "phase", "period", "newest_code", "taps", "places", "features", "draws"),
    *("outputs", "slot_count", "form", "input_numbers", "weighed", "work_bytes"),
    *("segments_at", "slots_at", "due_at", "starts_at", "positions_at"),
    *("inputs_at", "sums_at", "exchange_at", "resident_at"),
    *("head", "size", "values", "mixtures", "top_k"),
)
_FRACTIONS = ("temperature", "top_p", "least_log_scale", "loosest_log_scale")


class Job(ctypes.Structure):
    """What one launch of the kernel works on: pointers into the device's memory, sizes, how to sample.

    forced, heard and work may be null: tokens to hear in place of drawing, where outputs go, room for sampling where
    shared memory has none. weighed: weights that sampling one token lays out. Places as in `layout.Layout`.
    """

    _fields_ = (
        *((name, ctypes.c_void_p) for name in _POINTERS),
        *((name, ctypes.c_longlong) for name in _WHOLE),
        *((name, ctypes.c_double) for name in _FRACTIONS),
    )


@dataclass(frozen=True)
class Variant:
    """What a kernel is compiled for, and nothing else: format of the weights, head, numbers of inputs at a time."""

    form: int
    head: int
    vectors: tuple[int, ...]

    def declarations(self) -> str:
        """What the kernel asks, as constants."""
        asked = {"ONE": 1, "FEW": FEW_VECTORS, "MOST": MOST_VECTORS}
        lines = [f"#define HAS_{name} {int(count in self.vectors)}" for name, count in asked.items()]
        lines += [f"#define IS_FORM(x) ((x) == {self.form})", f"#define IS_HEAD(x) ((x) == {self.head})"]
        return "\n".join(lines)


ANY = """#define HAS_ONE 1
#define HAS_FEW 1
#define HAS_MOST 1
#define IS_FORM(x) ((x) == job.form)
#define IS_HEAD(x) ((x) == job.head)"""
"""The same for a kernel that asks at run time, which takes a GPU's compiler a minute."""


def source(variant: Variant | None = None, machine: str | None = None) -> str:
    """The whole source in C++: for one variant, or for all; for a CUDA device, or for what stands for one in C++."""
    folder = Path(__file__).parent
    numbers = {
        **{f"OP_{name}": value for name, value in Op.__members__.items()},
        **{f"SEGMENT_{name}": value for name, value in Segment.__members__.items()},
        **{f"SLOT_{name}": value for name, value in SlotColumn.__members__.items()},
        **{f"KIND_{name}": value for name, value in Kind.__members__.items()},
        **{f"HEAD_{name}": value for name, value in HeadKind.__members__.items()},
        **{f"CONTROL_{name}": value for name, value in Control.__members__.items()},
        **{f"ACTIVATION_{name.upper()}": value for name, value in ACTIVATIONS.items()},
        **{f"FORM_{name.upper()}": value for name, value in FORMS.items()},
        "SEGMENT_MOST": SEGMENT_MOST,
        "FEW_VECTORS": FEW_VECTORS,
        "MOST_VECTORS": MOST_VECTORS,
        "MOST_THREADS": MOST_THREADS,
    }
    fields = [f"{kind} {name};" for name, kind in _POINTERS.items()]
    fields += [f"long long {name};" for name in _WHOLE] + [f"double {name};" for name in _FRACTIONS]
    parts = [
        "".join(f"#define {name} {int(value)}\n" for name, value in numbers.items()),
        f"#define LEAK {LEAK}\n#define HUGE_FLOAT64 1.7e308\n",
        ANY if variant is None else variant.declarations(),
        (folder / "device.cuh").read_text(encoding="utf-8") if machine is None else machine,
        "struct Job {\n" + "\n".join(fields) + "\n};\n",
    ]
    parts += [(folder / name).read_text(encoding="utf-8") for name in PARTS]
    return "\n".join(parts)
