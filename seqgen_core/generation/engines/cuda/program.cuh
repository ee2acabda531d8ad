// The operations of a step program, each by a block for its own share of the channels. layout.py makes the tables.

// What a block has at hand.
struct Here {
    const Job& job;
    const int *operations, *segments, *slots, *due, *starts;
    int* positions;                // of each slot's newest value
    float *inputs, *sums;          // what a product reads; what it makes
    double* exchange;              // a number for each warp
    const unsigned char* resident; // weights of this block in shared memory
    const unsigned char* chunk;    // all weights of this block
    long long step;
    int newest_code, resident_bytes;
    unsigned meetings;
};

#define FIELD(table, row, size, column) ((table)[(row) * (size) + (column)])

// Where the value lies that comes so many after a slot's newest one (or before, below zero).
DEVICE float* value_of(const Here& here, int slot, int clip, int after) {
    const int* row = here.slots + slot * SLOT_SIZE;
    int kept = row[SLOT_KEPT], position = here.positions[slot] + after;
    position += position < 0 ? kept : position >= kept ? -kept : 0;
    return here.job.store + row[SLOT_PLACE] + (clip * kept + position) * row[SLOT_STRIDE];
}

DEVICE const unsigned char* weights_at(const Here& here, int place) {
    return place < here.resident_bytes ? here.resident + place : here.chunk + place;
}

DEVICE float sigmoid(float x) { return 1 / (1 + expf(-x)); }

template <int FORM> DEVICE float4 four_weights(const unsigned char* row, int group) {
    if (FORM == FORM_FP32) return reinterpret_cast<const float4*>(row)[group];
    uint2 words = reinterpret_cast<const uint2*>(row)[group];
    return {as_float(words.x << 16), as_float(words.x & 0xffff0000u), as_float(words.y << 16),
            as_float(words.y & 0xffff0000u)};
}

// Multiplies ROWS rows at a time with VECTORS inputs at a time. The columns of a row are shared by 2^split warps, whose
// sums stand side by side. first: column of the rows at which the inputs begin; fresh: there are no sums yet.
template <int FORM, int ROWS, int VECTORS>
DEVICE void multiply(const Here& here, const int* op, const unsigned char* weights, int first, int columns, bool fresh) {
    const int size = FORM == FORM_FP32 ? 4 : 2, split = op[OP_SPLIT], rows = op[OP_ROWS], groups = columns / 4;
    const int stride = op[OP_COLUMNS] * size, lane = THREAD % LANES;
    for (int task = THREAD / LANES; task < (rows / ROWS) << split; task += THREADS / LANES) {
        int row = (task >> split) * ROWS, part = task & ((1 << split) - 1);
        const unsigned char* place = weights + row * stride + first * size;
        float sums[ROWS][VECTORS] = {};
        for (int group = part * LANES + lane; group < groups; group += LANES << split) {
            float4 w[ROWS];
#pragma unroll
            for (int r = 0; r < ROWS; ++r) w[r] = four_weights<FORM>(place + r * stride, group);
#pragma unroll
            for (int v = 0; v < VECTORS; ++v) {
                float4 x = reinterpret_cast<const float4*>(here.inputs + v * columns)[group];
#pragma unroll
                for (int r = 0; r < ROWS; ++r)
                    sums[r][v] += w[r].x * x.x + w[r].y * x.y + w[r].z * x.z + w[r].w * x.w;
            }
        }
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
#pragma unroll
            for (int v = 0; v < VECTORS; ++v) {
                float total = sums[r][v];
#pragma unroll
                for (int lanes = LANES / 2; lanes > 0; lanes /= 2) total += shift_down(total, lanes);
                float* out = here.sums + (part * rows + row + r) * VECTORS + v;
                if (lane == 0) *out = fresh ? total : *out + total;
            }
        }
    }
}

template <int FORM, int VECTORS>
DEVICE void multiply_rows(const Here& here, const int* op, int first, int columns, bool fresh) {
    int place = op[OP_WEIGHT], tile = op[OP_TILE];
    if (place < here.resident_bytes) {  // twice, for what is known to lie in shared memory is read faster
        const unsigned char* weights = here.resident + place;
        if (tile == 4) multiply<FORM, 4, VECTORS>(here, op, weights, first, columns, fresh);
        else if (tile == 2) multiply<FORM, 2, VECTORS>(here, op, weights, first, columns, fresh);
        else multiply<FORM, 1, VECTORS>(here, op, weights, first, columns, fresh);
    } else {
        const unsigned char* weights = here.chunk + place;
        if (tile == 4) multiply<FORM, 4, VECTORS>(here, op, weights, first, columns, fresh);
        else if (tile == 2) multiply<FORM, 2, VECTORS>(here, op, weights, first, columns, fresh);
        else multiply<FORM, 1, VECTORS>(here, op, weights, first, columns, fresh);
    }
}

template <int FORM> DEVICE void multiply_all(const Here& here, const int* op, int vectors, int first, int columns, bool fresh) {
    if (HAS_ONE && vectors == 1) multiply_rows<FORM, 1>(here, op, first, columns, fresh);
    if (HAS_FEW && vectors == FEW_VECTORS) multiply_rows<FORM, FEW_VECTORS>(here, op, first, columns, fresh);
    if (HAS_MOST && vectors == MOST_VECTORS) multiply_rows<FORM, MOST_VECTORS>(here, op, first, columns, fresh);
}

// Lays the sources of an operation side by side in shared memory, those of segments first to stop, for some vectors.
DEVICE void gather(const Here& here, const int* op, int first, int stop, int vector, int vectors, int columns) {
    const int pixels = op[OP_PIXELS], step = op[OP_STEP], lane = THREAD % LANES;
    const int begin = FIELD(here.segments, first, SEGMENT_SIZE, SEGMENT_PLACE);
    for (int task = THREAD / LANES; task < (stop - first) * vectors; task += THREADS / LANES) {
        int number = vectors == 1 ? task : task / vectors, v = task - number * vectors;
        const int* segment = here.segments + (first + number) * SEGMENT_SIZE;
        int clip = vector + v, pixel = 0;
        if (pixels > 1) clip /= pixels, pixel = vector + v - clip * pixels;
        int beside = pixel + segment[SEGMENT_SHIFT];
        float4* out = reinterpret_cast<float4*>(here.inputs + v * columns + segment[SEGMENT_PLACE] - begin);
        const float4* x = nullptr;
        if (beside >= 0 && beside < pixels)
            x = reinterpret_cast<const float4*>(
                value_of(here, segment[SEGMENT_SLOT], clip, pixel * step - segment[SEGMENT_LAG]) + segment[SEGMENT_FIRST]);
        for (int group = lane; group < segment[SEGMENT_COUNT] / 4; group += LANES)
            out[group] = x ? x[group] : float4{0, 0, 0, 0};
    }
}

// What is added to a channel's sums, and to what becomes of them.
struct Beside {
    float row, gate, residual;
};

DEVICE Beside beside(const Here& here, const int* op, int clip, int channel) {
    const Job& job = here.job;
    const bool gated = op[OP_ACTIVATION] == ACTIVATION_GATED;
    const int each = gated ? 2 : 1, rows = op[OP_COUNT] * each;
    Beside found = {0, 0, 0};
    if (op[OP_BIAS] >= 0) {
        const float* bias = reinterpret_cast<const float*>(weights_at(here, op[OP_BIAS])) + channel * each;
        found.row = bias[0];
        if (gated) found.gate = bias[1];
    }
    if (op[OP_PLUS] >= 0) {
        const float* plus = value_of(here, op[OP_PLUS], clip, 0) + op[OP_FIRST] + channel;
        found.row += plus[0];
        if (gated) found.gate += plus[FIELD(here.slots, op[OP_OUT], SLOT_SIZE, SLOT_CHANNELS)];
    }
    if (op[OP_RESIDUAL] >= 0) found.residual = value_of(here, op[OP_RESIDUAL], clip, 0)[op[OP_FIRST] + channel];
    if (op[OP_TABLE] >= 0) {
        const float* table = reinterpret_cast<const float*>(weights_at(here, op[OP_TABLE])) + channel * each;
        for (int tap = 0; tap < op[OP_TAPS]; ++tap) {
            int place = here.newest_code - (op[OP_TAPS] - 1 - tap);
            if (place < 0) place += int(job.taps);
            int code = job.codes[(clip * job.taps + place) * job.places];
            if (code < 0) continue;
            const float* row = table + (tap * op[OP_VALUES] + code) * rows;
            found.row += row[0];
            if (gated) found.gate += row[1];
        }
    }
    return found;
}

// From the sums of a channel to its value, which is written.
DEVICE void finish(const Here& here, const int* op, int vector, int v, int vectors, int channel, const Beside& add) {
    const bool gated = op[OP_ACTIVATION] == ACTIVATION_GATED;
    const int each = gated ? 2 : 1, pixels = op[OP_PIXELS], at = op[OP_FIRST] + channel;
    int clip = vector + v, pixel = 0;
    if (pixels > 1) clip /= pixels, pixel = vector + v - clip * pixels;
    float row = add.row, gate = add.gate;
    if (op[OP_COLUMNS] > 0) {
        const float* sums = here.sums + channel * each * vectors + v;
        for (int part = 0; part < 1 << op[OP_SPLIT]; ++part) {
            row += sums[part * op[OP_ROWS] * vectors];
            if (gated) gate += sums[(part * op[OP_ROWS] + 1) * vectors];
        }
    }
    if (op[OP_SECOND] >= 0) {
        float* out = value_of(here, op[OP_SECOND], clip, 1 + pixel) + at;
        out[0] = row;
        if (gated) out[FIELD(here.slots, op[OP_OUT], SLOT_SIZE, SLOT_CHANNELS)] = gate;
    }
    if (gated) row = tanhf(row) * sigmoid(gate);
    else if (op[OP_ACTIVATION] == ACTIVATION_RELU) row = row > 0 ? row : 0;
    else if (op[OP_ACTIVATION] == ACTIVATION_LEAKY_RELU) row = row > 0 ? row : row * float(LEAK);
    row += add.residual;
    if (op[OP_THEN] == ACTIVATION_RELU) row = row > 0 ? row : 0;
    value_of(here, op[OP_OUT], clip, 1 + pixel)[at] = row;
}

// A layer, or a convolution over a row of pixels: this block's channels of it.
DEVICE void product(const Here& here, const int* op) {
    const Job& job = here.job;
    const int all = int(job.clips) * op[OP_PIXELS], count = op[OP_COUNT], pixels = op[OP_PIXELS];
    const int tile = op[OP_VECTORS];
    const int segments = op[OP_SEGMENTS], at_once = int(job.input_numbers) / (tile * SEGMENT_MOST);
    for (int vector = 0; vector < all; vector += tile) {
        int vectors = all - vector < tile ? all - vector : tile;
        // Read early, so that they come while the inputs do; by the threads that have least to gather.
        int pair = THREADS - 1 - THREAD, v = 0, channel = 0;
        Beside early = {0, 0, 0};
        if (pair < count * vectors) {
            v = vectors == 1 ? 0 : pair / count, channel = pair - v * count;
            early = beside(here, op, pixels == 1 ? vector + v : (vector + v) / pixels, channel);
        }
        for (int first = 0; first < segments; first += at_once) {
            int stop = first + at_once < segments ? first + at_once : segments;
            const int* table = here.segments + op[OP_FIRST_SEGMENT] * SEGMENT_SIZE;
            int begin = FIELD(table, first, SEGMENT_SIZE, SEGMENT_PLACE);
            int end = stop < segments ? FIELD(table, stop, SEGMENT_SIZE, SEGMENT_PLACE) : op[OP_COLUMNS];
            if (first > 0) sync();
            gather(here, op, op[OP_FIRST_SEGMENT] + first, op[OP_FIRST_SEGMENT] + stop, vector, vectors, end - begin);
            sync();
            if (IS_FORM(FORM_FP32)) multiply_all<FORM_FP32>(here, op, tile, begin, end - begin, first == 0);
            if (IS_FORM(FORM_BF16)) multiply_all<FORM_BF16>(here, op, tile, begin, end - begin, first == 0);
        }
        if (segments > 0) sync();
        for (; pair < count * vectors; pair += THREADS) {
            if (pair >= THREADS) {
                v = pair / count, channel = pair - v * count;
                early = beside(here, op, pixels == 1 ? vector + v : (vector + v) / pixels, channel);
            }
            finish(here, op, vector, v, tile, channel, early);
        }
    }
}

DEVICE void gru(const Here& here, const int* op, int clip, int channel) {
    const float* gates = value_of(here, op[OP_GATES], clip, 0) + channel;
    float reset = sigmoid(gates[0]), update = sigmoid(gates[FIELD(here.slots, op[OP_OUT], SLOT_SIZE, SLOT_CHANNELS)]);
    float fresh = value_of(here, op[OP_FRESH], clip, 0)[channel], past = value_of(here, op[OP_PAST], clip, 0)[channel];
    float candidate = tanhf(fresh + reset * past), before = value_of(here, op[OP_OUT], clip, 0)[channel];
    value_of(here, op[OP_OUT], clip, 1)[channel] = candidate + update * (before - candidate);
}

DEVICE void lstm(const Here& here, const int* op, int clip, int channel) {
    const float* gates = value_of(here, op[OP_GATES], clip, 0) + channel;
    const int channels = FIELD(here.slots, op[OP_OUT], SLOT_SIZE, SLOT_CHANNELS);
    float cells = sigmoid(gates[channels]) * value_of(here, op[OP_SECOND], clip, 0)[channel];
    cells += sigmoid(gates[0]) * tanhf(gates[2 * channels]);
    value_of(here, op[OP_SECOND], clip, 1)[channel] = cells;
    value_of(here, op[OP_OUT], clip, 1)[channel] = sigmoid(gates[3 * channels]) * tanhf(cells);
}

DEVICE void elementwise(const Here& here, const int* op) {
    const Job& job = here.job;
    const int count = op[OP_COUNT], kind = op[OP_KIND];
    for (int pair = THREAD; pair < count * job.clips; pair += THREADS) {
        int clip = pair / count, channel = op[OP_FIRST] + pair - clip * count;
        if (kind == KIND_HEAR) {
            int code = job.codes[(clip * job.taps + here.newest_code) * job.places + channel];
            const float* values = reinterpret_cast<const float*>(weights_at(here, op[OP_TABLE]));
            value_of(here, op[OP_OUT], clip, 1)[channel] = code < 0 ? 0 : values[code];
        } else if (kind == KIND_TELL) {
            float told = job.told[(clip * job.steps + here.step) * job.features + channel];
            value_of(here, op[OP_OUT], clip, 1)[channel] = told;
        } else if (kind == KIND_GRU) {
            gru(here, op, clip, channel);
        } else if (kind == KIND_LSTM) {
            lstm(here, op, clip, channel);
        } else if (kind == KIND_TURN) {
            value_of(here, op[OP_OUT], clip, 1)[channel] = value_of(here, op[OP_OUT], clip, -op[OP_LAG])[channel];
        } else if (kind == KIND_CLEAR) {
            for (int after = 0; after < FIELD(here.slots, op[OP_OUT], SLOT_SIZE, SLOT_KEPT); ++after)
                value_of(here, op[OP_OUT], clip, -after)[channel] = 0;
        }
    }
}

