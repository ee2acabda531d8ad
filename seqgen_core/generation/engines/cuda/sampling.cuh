// Sampling by one block: what the heads do with a clip's outputs and uniforms, in double precision as they do.

#define LN_2 0.6931471805599453
#define BEYOND_FLOAT 3.5e38  // no float but an infinity is as large

// Where the drawing of one clip's token reads and writes.
struct Draw {
    const float* x;          // outputs
    const double* uniforms;  // of this token
    const int* forced;       // the token to hear, or null
    int* token;              // gets what was drawn
    double* bits;
    Work work;
};

DEVICE void spoil(const Here& here, const Draw& draw) {
    for (int place = THREAD; place < here.job.places; place += THREADS) draw.token[place] = draw.forced ? draw.forced[place] : 0;
    if (THREAD == 0) here.job.control[CONTROL_SPOILT] = 1, *draw.bits = 0;
}

DEVICE void draw_categorical(const Here& here, const Draw& draw) {
    const Job& job = here.job;
    int count = int(job.size), token;
    double top = -BEYOND_FLOAT;
    for (int value = THREAD; value < count; value += THREADS) {
        double output = draw.x[value];
        if (!(output <= top)) top = output == output ? output : 2 * BEYOND_FLOAT;
    }
    top = largest(here, top);
    if (!(top > -BEYOND_FLOAT && top < BEYOND_FLOAT)) return spoil(here, draw);
    if (draw.forced) {
        token = draw.forced[0];
    } else if (job.temperature == 0) {
        token = count;
        for (int value = THREAD; value < count && token == count; value += THREADS)
            if (double(draw.x[value]) == top) token = value;
        token = least(here, token);
    } else {
        for (int value = THREAD; value < count; value += THREADS)
            draw.work.weights[value] = exp((double(draw.x[value]) - top) / job.temperature);
        sync();
        if (job.top_k || job.top_p < 1) keep_likeliest(here, draw.work, count, int(job.top_k), job.top_p);
        token = pick(here, draw.work.weights, count, draw.uniforms[0]);
    }
    double total = 0;
    for (int value = THREAD; value < count; value += THREADS) total += exp(double(draw.x[value]) - top);
    total = sum(here, total);
    if (THREAD == 0) {
        draw.token[0] = token;
        *draw.bits = (log(total) - (double(draw.x[token]) - top)) / LN_2;
    }
}

DEVICE void draw_bernoulli(const Here& here, const Draw& draw) {
    const Job& job = here.job;
    int count = int(job.size), numbers = 1;
    for (int place = THREAD; place < count; place += THREADS)
        if (draw.x[place] != draw.x[place]) numbers = 0;
    if (!least(here, numbers)) return spoil(here, draw);
    if (!draw.forced && job.temperature != 0) {
        for (int place = THREAD; place < count; place += THREADS) {
            double chance = 1 / (1 + exp(-double(draw.x[place]) / job.temperature));
            draw.work.weights[place] = chance >= 1 - job.top_p ? chance : 0;
        }
        sync();
        if (job.top_k > 0 && job.top_k < count) keep_likeliest(here, draw.work, count, int(job.top_k), 1);
    }
    double nats = 0;
    for (int place = THREAD; place < count; place += THREADS) {
        double output = draw.x[place];
        int one = draw.forced ? draw.forced[place]
                  : job.temperature == 0 ? output > 0
                                         : draw.uniforms[place] < draw.work.weights[place];
        draw.token[place] = one;
        nats += (output > 0 ? output : 0) - (one ? output : 0) + log1p(exp(-fabs(output)));
    }
    nats = sum(here, nats);
    if (THREAD == 0) *draw.bits = nats / LN_2;
}

DEVICE double log_sigmoid(double x) { return (x < 0 ? x : 0) - log1p(exp(-fabs(x))); }

// A mixture of logistics at a temperature: sums is what makes the weights one.
struct Mixture {
    const float* x;
    int count;
    double temperature, sums;
};

DEVICE double log_scale_of(const Job& job, const Mixture& mixture, int part) {
    double scale = mixture.x[2 * mixture.count + part];
    if (!(scale > job.least_log_scale)) scale = job.least_log_scale;
    return scale < job.loosest_log_scale ? scale : job.loosest_log_scale;
}

// Logarithm of a part's weight and of its probability of a code, added.
CALLED double log_part(const Job& job, const Mixture& mixture, int part, int code) {
    double log_scale = log_scale_of(job, mixture, part);
    if (mixture.temperature != 1) {
        log_scale += log(mixture.temperature);
        if (log_scale < job.least_log_scale) log_scale = job.least_log_scale;
        if (log_scale > job.loosest_log_scale) log_scale = job.loosest_log_scale;
    }
    double half = 1.0 / double(job.values - 1), sharp = exp(-log_scale);
    double centred = double(2 * code - int(job.values - 1)) * half - double(mixture.x[mixture.count + part]);
    double above = (centred + half) * sharp, below = (centred - half) * sharp, step;
    if (code == 0) step = log_sigmoid(above);
    else if (code == job.values - 1) step = log_sigmoid(-below);
    else step = log_sigmoid(above) + log_sigmoid(-below) + log(-expm1(-2 * half * sharp));
    return double(mixture.x[part]) / mixture.temperature - mixture.sums + step;
}

CALLED double log_probability(const Job& job, const Mixture& mixture, int code) {
    double top = log_part(job, mixture, 0, code), total = 1;
    for (int part = 1; part < mixture.count; ++part) {
        double now = log_part(job, mixture, part, code);
        if (now > top) {
            total = total * exp(top - now) + 1;
            top = now;
        } else if (now > -HUGE_FLOAT64) {
            total += exp(now - top);
        }
    }
    return top + log(total);
}

DEVICE Mixture mixture_of(const Here& here, const float* x, double temperature) {
    int count = int(here.job.mixtures);
    double top = -BEYOND_FLOAT, total = 0;
    for (int part = THREAD; part < count; part += THREADS) top = x[part] > top ? double(x[part]) : top;
    top = largest(here, top);
    for (int part = THREAD; part < count; part += THREADS) total += exp((double(x[part]) - top) / temperature);
    return {x, count, temperature, top / temperature + log(sum(here, total))};
}

DEVICE int nearest_code(const Job& job, double x) {
    double code = floor((x + 1) / 2 * double(job.values - 1) + 0.5);
    return code > 0 ? code < double(job.values - 1) ? int(code) : int(job.values - 1) : 0;
}

DEVICE void draw_mixture(const Here& here, const Draw& draw) {
    const Job& job = here.job;
    int parts = int(job.mixtures), numbers = 1, token;
    for (int place = THREAD; place < 3 * parts; place += THREADS)
        if (!(fabs(double(draw.x[place])) < BEYOND_FLOAT)) numbers = 0;
    if (!least(here, numbers)) return spoil(here, draw);
    Mixture plain = mixture_of(here, draw.x, 1);
    if (draw.forced) {
        token = draw.forced[0];
    } else if (job.temperature == 0) {
        // The likeliest of the codes nearest to the means, the first of equals.
        double best = -HUGE_FLOAT64;
        int winner = parts;
        for (int part = THREAD; part < parts; part += THREADS) {
            double now = log_probability(job, plain, nearest_code(job, draw.x[parts + part]));
            if (now > best || winner == parts) best = now, winner = part;
        }
        double top = largest(here, best);
        winner = least(here, best == top ? winner : parts);
        token = nearest_code(job, draw.x[parts + (winner < parts ? winner : 0)]);
    } else if (job.top_k || job.top_p < 1) {
        Mixture cooled = mixture_of(here, draw.x, job.temperature);
        for (int code = THREAD; code < job.values; code += THREADS)
            draw.work.weights[code] = exp(log_probability(job, cooled, code));
        sync();
        keep_likeliest(here, draw.work, int(job.values), int(job.top_k), job.top_p);
        token = pick(here, draw.work.weights, int(job.values), draw.uniforms[0]);
    } else {
        for (int part = THREAD; part < parts; part += THREADS)
            draw.work.weights[part] = exp((double(draw.x[part]) - plain.sums) / job.temperature);
        sync();
        int part = pick(here, draw.work.weights, parts, draw.uniforms[0]);
        double place = draw.uniforms[1];
        if (place < 1e-300) place = 1e-300;
        if (place > 1 - 1.1102230246251565e-16) place = 1 - 1.1102230246251565e-16;
        double scale = exp(log_scale_of(job, plain, part)) * job.temperature;
        token = nearest_code(job, draw.x[parts + part] + scale * (log(place) - log1p(-place)));
    }
    double top = -HUGE_FLOAT64, total = 0;
    for (int part = THREAD; part < parts; part += THREADS) {
        double now = log_part(job, plain, part, token);
        top = now > top ? now : top;
    }
    top = largest(here, top);
    for (int part = THREAD; part < parts; part += THREADS) total += exp(log_part(job, plain, part, token) - top);
    total = sum(here, total);
    if (THREAD == 0) {
        draw.token[0] = token;
        *draw.bits = -(top + log(total)) / LN_2;
    }
}

// Draws, or hears, the token of a clip at this step, and lays it down as the newest code.
DEVICE void sample(const Here& here, int clip) {
    const Job& job = here.job;
    long long row = clip * job.steps + here.step;
    Draw draw;
    draw.x = value_of(here, int(job.outputs), clip, 0);
    draw.uniforms = job.uniforms + row * job.draws;
    draw.forced = job.forced ? job.forced + row * job.places : nullptr;
    draw.token = job.tokens + row * job.places;
    draw.bits = job.bits + row;
    draw.work = work_of(here, clip);
    if (job.heard)
        for (int place = THREAD; place < job.size; place += THREADS) job.heard[row * job.size + place] = draw.x[place];
    if (IS_HEAD(HEAD_CATEGORICAL)) draw_categorical(here, draw);
    if (IS_HEAD(HEAD_BERNOULLI)) draw_bernoulli(here, draw);
    if (IS_HEAD(HEAD_MIXTURE)) draw_mixture(here, draw);
    sync();
    int* codes = job.codes + (clip * job.taps + here.newest_code) * job.places;
    for (int place = THREAD; place < job.places; place += THREADS) codes[place] = draw.token[place];
}
