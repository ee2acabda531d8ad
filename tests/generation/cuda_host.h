// Stands for a CUDA device where the kernel is compiled for the host: every thread of every block is a thread of the
// host, warps have LANES of them, and shared memory is filled with what is no number.

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <sched.h>
#include <thread>
#include <vector>

#define DEVICE static inline
#define CALLED static
#define KERNEL extern "C" void
#define ARGUMENT const

struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};

struct Barrier {
    int waiting = 0, turn = 0;

    void wait(int all) {
        if (all == 1) return;
        int turn_now = __atomic_load_n(&turn, __ATOMIC_ACQUIRE);
        if (__atomic_add_fetch(&waiting, 1, __ATOMIC_ACQ_REL) == all) {
            __atomic_store_n(&waiting, 0, __ATOMIC_RELAXED);
            __atomic_store_n(&turn, turn_now + 1, __ATOMIC_RELEASE);
        } else {
            while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) == turn_now) sched_yield();
        }
    }
};

struct Block {
    Barrier all;
    std::vector<Barrier> warps;
    std::vector<double> lanes;
    unsigned char* memory;
};

struct Place {
    int thread, threads, block, blocks;
    Block* shared;
};
static thread_local Place here_is;

#define THREAD (here_is.thread)
#define THREADS (here_is.threads)
#define BLOCK (here_is.block)
#define BLOCKS (here_is.blocks)
#define shared_memory (here_is.shared->memory)

DEVICE void sync() { here_is.shared->all.wait(THREADS); }

template <class T> static T from_lane(T value, int lane) {
    if (LANES == 1) return value;
    int warp = THREAD / LANES;
    Barrier& barrier = here_is.shared->warps[warp];
    memcpy(&here_is.shared->lanes[THREAD], &value, sizeof value);
    barrier.wait(LANES);
    if (lane >= 0 && lane < LANES) memcpy(&value, &here_is.shared->lanes[warp * LANES + lane], sizeof value);
    barrier.wait(LANES);
    return value;
}

template <class T> DEVICE T shift_down(T value, int lanes) { return from_lane(value, THREAD % LANES + lanes); }
template <class T> DEVICE T shift_up(T value, int lanes) { return from_lane(value, THREAD % LANES - lanes); }

DEVICE float as_float(unsigned bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

DEVICE void arrive(unsigned* counter) { __atomic_fetch_add(counter, 1u, __ATOMIC_RELEASE); }

DEVICE unsigned glance(const unsigned* counter) {
    sched_yield();
    return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

struct Job;
extern "C" void run(const Job job);
static void run_here(const Job* job);

extern "C" void launch(const Job* job, int blocks, int threads, long shared) {
    std::vector<Block> all(blocks);
    std::vector<std::thread> running;
    for (int block = 0; block < blocks; ++block) {
        all[block].warps.resize(threads / LANES);
        all[block].lanes.resize(threads);
        all[block].memory = static_cast<unsigned char*>(aligned_alloc(128, (shared + 127) / 128 * 128));
        memset(all[block].memory, 0xff, shared);
        for (int thread = 0; thread < threads; ++thread)
            running.emplace_back([=, &all] {
                here_is = {thread, threads, block, blocks, &all[block]};
                run_here(job);
            });
    }
    for (std::thread& each : running) each.join();
    for (Block& block : all) free(block.memory);
}
