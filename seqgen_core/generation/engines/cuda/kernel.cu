// One persistent kernel: it runs a step program over a block of tokens and samples between the steps.

DEVICE void move_on(const Here& here, int slot, int values) {
    int position = here.positions[slot] + values, kept = FIELD(here.slots, slot, SLOT_SIZE, SLOT_KEPT);
    here.positions[slot] = position >= kept ? position - kept : position;
}

// Waits until all blocks are here. Meanwhile the slots move on that were written by operations number first to stop of
// those due: within a stage nobody else reads them.
DEVICE void meet(Here& here, int first, int stop) {
    sync();
    if (THREAD == 0) {
        if (BLOCKS > 1) arrive(here.job.control + CONTROL_ARRIVALS);
        for (int number = first; number < stop; ++number) {
            const int* op = here.operations + (here.due[number] >> 1) * OP_SIZE;
            move_on(here, op[OP_OUT], op[OP_MOVES]);
            if (op[OP_SECOND] >= 0) move_on(here, op[OP_SECOND], op[OP_MOVES]);
        }
        here.meetings += BLOCKS;
        // A difference, for the counter may turn over.
        while (BLOCKS > 1 && int(glance(here.job.control + CONTROL_ARRIVALS) - here.meetings) < 0) {
        }
    }
    sync();
}

template <class T> DEVICE void copy(T* out, const T* x, long long count) {
    for (long long place = THREAD; place < count; place += THREADS) out[place] = x[place];
}

KERNEL run(ARGUMENT Job job) {
    int* tables = reinterpret_cast<int*>(shared_memory);
    Here here = {job,
                 tables,
                 tables + job.segments_at,
                 tables + job.slots_at,
                 tables + job.due_at,
                 tables + job.starts_at,
                 tables + job.positions_at,
                 reinterpret_cast<float*>(shared_memory + job.inputs_at),
                 reinterpret_cast<float*>(shared_memory + job.sums_at),
                 reinterpret_cast<double*>(shared_memory + job.exchange_at),
                 shared_memory + job.resident_at,
                 job.weights + job.chunks[BLOCK],
                 0,
                 int(job.newest_code),
                 job.residents[BLOCK],
                 0};
    copy(tables, job.operations + BLOCK * job.segments_at, job.segments_at);
    copy(tables + job.segments_at, job.tables, job.positions_at - job.segments_at);
    copy(here.positions, job.positions, job.slot_count);
    copy(reinterpret_cast<float4*>(shared_memory + job.resident_at), reinterpret_cast<const float4*>(here.chunk),
         here.resident_bytes / 16);
    sync();

    long long phase = job.phase;
    for (; here.step < job.steps; ++here.step) {
        if (here.step > 0 || job.pending) {
            int set = job.set_of[phase];
            phase = phase + 1 == job.period ? 0 : phase + 1;
            int first = here.starts[set], stop = here.starts[set + 1];
            for (int number = first; number < stop; ++number) {
                if (here.due[number] & 1) {  // a stage begins
                    meet(here, first, number);
                    first = number;
                }
                const int* op = here.operations + (here.due[number] >> 1) * OP_SIZE;
                if (op[OP_COUNT] == 0) continue;
                if (op[OP_KIND] == KIND_PRODUCT) product(here, op);
                else elementwise(here, op);
            }
            meet(here, first, stop);
        }
        here.newest_code = here.newest_code + 1 == job.taps ? 0 : here.newest_code + 1;
        for (int clip = BLOCK; clip < job.clips; clip += BLOCKS) sample(here, clip);
        meet(here, 0, 0);
    }
    if (BLOCK == 0) copy(job.positions, here.positions, job.slot_count);
}
