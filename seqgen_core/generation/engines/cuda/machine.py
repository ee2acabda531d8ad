"""A CUDA device as the kernel sees it: compiling at run time through NVRTC, and launching on all multiprocessors."""

import ctypes
import importlib
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import torch

from seqgen_core.errors import SeqgenError
from seqgen_core.generation.engines.cuda.source import MOST_THREADS, Job, Variant, source
from seqgen_core.generation.engines.cuda.tables import HINT, Grid

OLDEST = (7, 0)
"""Compute capability from which memory has the ordered accesses that blocks meet by."""


class Machine(Protocol):
    """Where the kernel runs."""

    grid: Grid
    device: torch.device
    """Where the tensors lie that a job points to."""

    def load(self, variant: Variant) -> Callable[[Job], None]:
        """The kernel: runs a job after all that was begun on its tensors; what is begun on them later comes after."""
        ...


def problem() -> str | None:
    """Why the kernel cannot run on this machine, in a few words; None where it can."""
    if not torch.cuda.is_available():
        return "there is no CUDA device"
    capability = torch.cuda.get_device_capability()
    if capability < OLDEST:
        return f"the GPU has compute capability {capability[0]}.{capability[1]}, and it needs {OLDEST[0]}.{OLDEST[1]}"
    return compiler_problem()


def compiler_problem() -> str | None:
    """Why NVRTC cannot be used, in a few words; None where it can, with or without a GPU."""
    try:
        _checked(_bindings("nvrtc").nvrtcVersion())
    except ImportError as error:
        return f"the package cuda-bindings is missing ({error})"
    except Exception as error:  # a library that cannot be found or loaded: each version has an exception of its own
        return f"NVRTC cannot be loaded ({str(error).splitlines()[0]})"
    return None


@cache
def compile_kernel(capability: tuple[int, int], variant: Variant) -> bytes:
    """The kernel as machine code for a compute capability; where NVRTC does not know it, as PTX for the last before.

    Raises SeqgenError with the compiler's own words where it refuses.
    """
    nvrtc = _bindings("nvrtc")
    known = sorted(_checked(nvrtc.nvrtcGetSupportedArchs()))
    wanted = capability[0] * 10 + capability[1]
    before = [number for number in known if number <= wanted]
    if not before:
        raise SeqgenError(f"NVRTC knows no GPU of compute capability {capability[0]}.{capability[1]}.", hint=HINT)
    exact = before[-1] == wanted
    options = [f"--gpu-architecture={'sm' if exact else 'compute'}_{before[-1]}", "--std=c++17"]
    program = _checked(nvrtc.nvrtcCreateProgram(source(variant).encode(), b"seqgen.cu", 0, [], []))
    try:
        (result,) = nvrtc.nvrtcCompileProgram(program, len(options), [option.encode() for option in options])
        if result != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            log = bytearray(_checked(nvrtc.nvrtcGetProgramLogSize(program)))
            _checked(nvrtc.nvrtcGetProgramLog(program, log))
            words = log.rstrip(b"\0").decode(errors="replace").strip()
            raise SeqgenError(f"NVRTC refused the kernel: {words}", hint=HINT)
        size, get = (
            (nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN) if exact else (nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX)
        )
        code = bytearray(_checked(size(program)))
        _checked(get(program, code))
        return bytes(code)
    finally:
        nvrtc.nvrtcDestroyProgram(program)


class Gpu:
    """One CUDA device: a block on every multiprocessor, all at once, so that they may wait for each other.

    blocks, threads: other numbers than one block per multiprocessor and MOST_THREADS, for measurements.
    """

    def __init__(self, device: torch.device, blocks: int = 0, threads: int = MOST_THREADS) -> None:
        driver = _bindings("driver")
        self.device = torch.device("cuda", torch.cuda.current_device() if device.index is None else device.index)
        with torch.cuda.device(self.device):
            torch.cuda.synchronize()  # torch makes the device's context only when something is asked of it
            attribute = driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
            shared = _checked(driver.cuDeviceGetAttribute(attribute, _checked(driver.cuDeviceGet(self.device.index))))
        self._properties = torch.cuda.get_device_properties(self.device)
        self.grid = Grid(blocks or self._properties.multi_processor_count, threads, 32, shared)

    def load(self, variant: Variant) -> Callable[[Job], None]:
        """Compile the kernel, or take it as it was compiled before. It is launched on torch's stream at that time.

        Raises SeqgenError where so many blocks cannot run at once.
        """
        driver = _bindings("driver")
        function, grid = _loaded(self.device.index, variant, self.grid.shared), self.grid
        with torch.cuda.device(self.device):
            fitting = _checked(driver.cuOccupancyMaxActiveBlocksPerMultiprocessor(function, grid.threads, grid.shared))
        if fitting * self._properties.multi_processor_count < grid.blocks:
            raise SeqgenError(
                f"{grid.blocks} blocks of {grid.threads} threads cannot run at once on {self._properties.name}.",
                hint=HINT,
            )

        def run(job: Job) -> None:
            argument = (ctypes.c_void_p * 1)(ctypes.addressof(job))
            with torch.cuda.device(self.device):
                stream = torch.cuda.current_stream(self.device).cuda_stream
                blocks, threads = (grid.blocks, 1, 1), (grid.threads, 1, 1)
                _checked(
                    driver.cuLaunchCooperativeKernel(
                        function, *blocks, *threads, grid.shared, stream, ctypes.addressof(argument)
                    )
                )

        return run


@cache
def _loaded(index: int, variant: Variant, shared: int) -> Any:
    """The kernel on a device, whose blocks may have so many bytes of shared memory there."""
    driver = _bindings("driver")
    with torch.cuda.device(index):
        module = _checked(driver.cuModuleLoadData(compile_kernel(torch.cuda.get_device_capability(index), variant)))
        function = _checked(driver.cuModuleGetFunction(module, b"run"))
        attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        _checked(driver.cuFuncSetAttribute(function, attribute, shared))
    return function


def _bindings(name: str) -> Any:
    """A module of cuda-bindings, whose compiled modules tell type checkers nothing."""
    return importlib.import_module(f"cuda.bindings.{name}")


def _checked(answer: tuple[Any, ...]) -> Any:
    """What a call of a driver or compiler function gave, after its error code."""
    code, *values = answer
    if code.value:
        raise SeqgenError(f"A CUDA call failed: {code.name}.", hint=HINT)
    return values[0] if values else None
