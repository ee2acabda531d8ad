// What the kernel asks of the machine, on a CUDA device. Tests compile the kernel for the host behind a header that
// gives the same names.

#define DEVICE static __device__ __forceinline__
#define CALLED static __device__ __noinline__
#define KERNEL extern "C" __global__ void __launch_bounds__(MOST_THREADS, 1)
#define ARGUMENT const __grid_constant__

#define LANES 32
#define THREAD int(threadIdx.x)
#define THREADS int(blockDim.x)
#define BLOCK int(blockIdx.x)
#define BLOCKS int(gridDim.x)

extern __shared__ __align__(128) unsigned char shared_memory[];

DEVICE void sync() { __syncthreads(); }

// The value of the thread so many lanes further on, or before; its own where there is none.
template <class T> DEVICE T shift_down(T value, int lanes) { return __shfl_down_sync(0xffffffffu, value, lanes); }
template <class T> DEVICE T shift_up(T value, int lanes) { return __shfl_up_sync(0xffffffffu, value, lanes); }

DEVICE float as_float(unsigned bits) { return __uint_as_float(bits); }

// Adds one, after all that this block's threads wrote before their last sync.
DEVICE void arrive(unsigned* counter) {
    asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(counter) : "memory");
}

// The counter; what others wrote before they arrived is there once it is seen.
DEVICE unsigned glance(const unsigned* counter) {
    unsigned seen;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(counter) : "memory");
    return seen;
}
