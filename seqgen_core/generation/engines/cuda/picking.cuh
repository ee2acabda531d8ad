// Picking one of many weights by a uniform, all threads of a block together, in double precision as the heads do.

// Puts the values of all threads together, for all of them to know.
template <class T, class Fold> DEVICE T folded(const Here& here, T value, Fold fold) {
    for (int lanes = LANES / 2; lanes > 0; lanes /= 2) value = fold(value, shift_down(value, lanes));
    T* found = reinterpret_cast<T*>(here.exchange);
    if (THREAD % LANES == 0) found[THREAD / LANES] = value;
    sync();
    value = found[0];
    for (int warp = 1; warp < THREADS / LANES; ++warp) value = fold(value, found[warp]);
    sync();
    return value;
}

DEVICE double largest(const Here& here, double value) {
    return folded(here, value, [](double a, double b) { return a > b ? a : b; });
}

DEVICE double sum(const Here& here, double value) {
    return folded(here, value, [](double a, double b) { return a + b; });
}

DEVICE int least(const Here& here, int value) {
    return folded(here, value, [](int a, int b) { return a < b ? a : b; });
}

// The sum over the threads before this one; total: over all.
DEVICE double sum_before(const Here& here, double value, double& total) {
    double upto = value;
    for (int lanes = 1; lanes < LANES; lanes *= 2) {
        double other = shift_up(upto, lanes);
        if (THREAD % LANES >= lanes) upto += other;
    }
    double before = shift_up(upto, 1);
    if (THREAD % LANES == 0) before = 0;
    if (THREAD % LANES == LANES - 1) here.exchange[THREAD / LANES] = upto;
    sync();
    double earlier = 0;
    total = 0;
    for (int warp = 0; warp < THREADS / LANES; ++warp) {
        if (warp == THREAD / LANES) earlier = total;
        total += here.exchange[warp];
    }
    sync();
    return earlier + before;
}

// Numbers to work with: of every value its weight; the same in descending order, and which value each belongs to.
struct Work {
    double *weights, *sorted;
    int* order;
};

DEVICE int power_of_two(int count) {
    int power = 1;
    while (power < count) power *= 2;
    return power;
}

DEVICE Work work_of(const Here& here, int clip) {
    const Job& job = here.job;
    unsigned char* place = reinterpret_cast<unsigned char*>(here.inputs);
    if (job.work) place = job.work + clip * job.work_bytes;
    double* weights = reinterpret_cast<double*>(place);
    double* sorted = weights + job.weighed;
    return {weights, sorted, reinterpret_cast<int*>(sorted + power_of_two(int(job.weighed)))};
}

// The place in weights at the share of their sum that the uniform names. All threads must have written theirs.
DEVICE int pick(const Here& here, const double* weights, int count, double uniform) {
    int each = (count + THREADS - 1) / THREADS;
    int first = THREAD * each < count ? THREAD * each : count;
    int stop = first + each < count ? first + each : count;
    double mine = 0, total;
    for (int place = first; place < stop; ++place) mine += weights[place];
    double running = sum_before(here, mine, total), threshold = uniform * total;
    int hit = count, last = -1;
    for (int place = first; place < stop; ++place) {
        running += weights[place];
        if (weights[place] > 0) {
            last = place;
            if (hit == count && running > threshold) hit = place;
        }
    }
    // Rounding can leave a uniform close to 1 without a hit: it means the last possible place.
    int found = least(here, hit < count ? hit : 2 * count - last);
    if (found >= count) found = 2 * count - found;
    return found < 0 ? 0 : found;
}

// Sets weights to zero but the k largest (0: all), and of these but the fewest largest that reach the share p. Of
// equals the one at the lower place is kept.
DEVICE void keep_likeliest(const Here& here, const Work& work, int count, int k, double p) {
    int size = power_of_two(count);
    for (int place = THREAD; place < size; place += THREADS) {
        work.sorted[place] = place < count ? work.weights[place] : -1;
        work.order[place] = place;
    }
    for (int width = 2; width <= size; width *= 2) {
        for (int gap = width / 2; gap > 0; gap /= 2) {
            sync();
            for (int place = THREAD; place < size; place += THREADS) {
                int other = place ^ gap;
                if (other < place) continue;
                double a = work.sorted[place], b = work.sorted[other];
                int first = work.order[place], second = work.order[other];
                bool swapped = b > a || (b == a && second < first);
                if (swapped == !(place & width)) {
                    work.sorted[place] = b, work.sorted[other] = a;
                    work.order[place] = second, work.order[other] = first;
                }
            }
        }
    }
    sync();
    int kept = k > 0 && k < count ? k : count;
    for (int place = kept + THREAD; place < size; place += THREADS)
        if (work.order[place] < count) work.weights[work.order[place]] = 0;
    if (p < 1) {
        int each = (kept + THREADS - 1) / THREADS;
        int first = THREAD * each < kept ? THREAD * each : kept;
        int stop = first + each < kept ? first + each : kept;
        double mine = 0, total;
        for (int place = first; place < stop; ++place) mine += work.sorted[place];
        double likelier = sum_before(here, mine, total);
        for (int place = first; place < stop; ++place) {
            if (place > 0 && !(likelier < p * total)) work.weights[work.order[place]] = 0;
            likelier += work.sorted[place];
        }
    }
    sync();
}
