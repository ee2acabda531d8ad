"""The cuda engine: one persistent kernel that keeps weights on chip and walks a step program, token after token.

A block of threads runs on every multiprocessor of the GPU and stays there for a whole block of tokens. Each holds its
rows of every weight matrix in shared memory as far as they fit, in fp32 or bf16; the rest is read through the second
level cache. Slots lie in global memory. All blocks meet between stages of operations that depend on each other, and a
block samples in the same kernel.

The floor of a token is the time of its products one behind the other, each of which ends with a barrier over the whole
grid, and two more barriers are there for sampling. With the Seq-U-Net of the paper 13 barriers are due at a token on
average, with its WaveNet of four times 13 layers 108; at 1.2 µs for one, which is an estimate for a large GPU, that is
16 and 130 µs. Reading the weights takes less: a multiprocessor reads 128 bytes of its shared memory in a cycle. An
H100's 132 multiprocessors have 227 KB each, 30 MB in all; tables and what products gather take 20 to 50 KB of each, so
some 24 MB of weights stay on chip, 6 million in fp32 or 12 million in bf16, those that are read most often first.

The kernel is compiled at run time by NVRTC, which comes with torch's default build for Linux. It is tested on the CPU,
as the same source compiled for the host, and compiled for GPUs; none of this has been measured on a GPU yet.
"""

from seqgen_core.generation.engines.cuda.engine import CudaEngine
from seqgen_core.generation.engines.cuda.machine import problem

__all__ = ["CudaEngine", "problem"]
