// Python names of sort.h and rows.h; module.cpp includes this inside its namespace, after its buffers.

size_t digit_planes(unsigned bits, unsigned k) {
    if (bits < 1 || bits > 4 || k < 1 || k > 32) throw std::invalid_argument("digits have 1 to 4 bits, places at most 32");
    return ((size_t(1) << bits) - 1) * k;
}

// Places below n, which is where rows are taken from or put.
template <class Input> const u32 *places_below(const Input &in, size_t n) {
    const u32 *const at = in.template at<u32>(n);
    u32 most = 0;
    for (size_t i = 0; i < n; ++i) most = at[i] > most ? at[i] : most;
    if (n && most >= n) throw std::invalid_argument("no such row");
    return at;
}

template <class T> void bind_moves(nb::module_ &m, const std::string &suffix) {
    const auto def = [&](const char *name, auto f) { m.def((name + suffix).c_str(), f); };
    def("moved", [](H out, bool packed, H x, H y, H at, H masks, unsigned sum, unsigned how, unsigned k) {
        const Out o(out);
        const In a(x), i(at);
        const MaybeIn b(y), w(masks);
        const size_t n = a.size() / sizeof(T), bytes = row_bytes<T>(k, n);
        T *const words = packed ? nullptr : o.at<T>(n);
        u8 *const message = packed ? o.at<u8>(bytes) : nullptr;
        const T *const px = a.at<T>(n), *const py = b.at<T>(n);
        const u8 *const pw = w.at<u8>(bytes);
        const Unlocked free(a.size());
        ring<T>().moved(words, message, px, py, places_below(i, n), pw, sum, how, k, n);
    });
    def("placed", [](H out, H a, H b, H at, unsigned how, unsigned k) {
        const Out o(out);
        const In x(a);
        const MaybeIn y(b), i(at);
        const size_t n = o.size() / sizeof(T), bytes = row_bytes<T>(k, n);
        T *const to = o.at<T>(n);
        const u8 *const px = x.at<u8>(bytes), *const py = y.at<u8>(bytes);
        const Unlocked free(o.size());
        ring<T>().placed(to, px, py, i.absent() ? nullptr : places_below(i, n), how, k, n);
    });
    def("places", [](H out, H seen, H a, H b, unsigned how, unsigned k, size_t blocks) {
        const Out o(out), s(seen);
        const In x(a), y(b);
        const size_t n = o.size() / 4, bytes = row_bytes<T>(k, n);
        if (blocks ? n % blocks : n) throw std::invalid_argument("blocks have one size");
        u32 *const to = o.at<u32>(n);
        u64 *const marks = s.at<u64>((n + 63) / 64);
        const u8 *const px = x.at<u8>(bytes), *const py = y.at<u8>(bytes);
        const Unlocked free(o.size());
        return ring<T>().places(to, marks, px, py, how, k, blocks, blocks ? n / blocks : 0);
    });
}

void bind_sort(nb::module_ &m) {
    bind_moves<u64>(m, "_64");
    bind_moves<u128>(m, "_128");
    m.def("hot_first", [](H out, H bits0, H bits1, H rho, unsigned bits, unsigned k) {
        const Out o(out);
        const In x(bits0), y(bits1), r(rho);
        const size_t planes = digit_planes(bits, k), length = o.size() / 8 / planes;
        u64 *const to = o.at<u64>(planes * length);
        const u64 *const px = x.at<u64>(bits * length), *const py = y.at<u64>(bits * length),
                         *const pr = r.at<u64>(planes * length);
        const Unlocked free(o.size());
        table.hot_first(to, px, py, pr, bits, k, length);
    });
    m.def("hot_second", [](H out, H held, H digit, H t, bool lead, unsigned bits, unsigned k) {
        const Out o(out);
        const In x(held), y(digit), r(t);
        const size_t planes = digit_planes(bits, k), length = o.size() / 8 / planes;
        u64 *const to = o.at<u64>(planes * length);
        const u64 *const px = x.at<u64>(planes * length), *const py = y.at<u64>(bits * length),
                         *const pr = r.at<u64>(planes * length);
        const Unlocked free(o.size());
        table.hot_second(to, px, py, pr, lead, bits, k, length);
    });
    m.def("sum_planes", [](H out, H a, H b, unsigned k, size_t length) {
        const Out o(out);
        const In x(a), y(b);
        const size_t words = o.size() / 8;
        if (!k || (length ? words % (k * length) : words)) throw std::invalid_argument("numbers have k planes each");
        u64 *const to = o.at<u64>(words);
        const u64 *const px = x.at<u64>(words), *const py = y.at<u64>(words);
        const Unlocked free(o.size());
        if (words) table.sum_planes(to, px, py, words / (k * length), k, length);
    });
    m.def("digit_ranks", [](H message, H at0, H at1, nb::list parts0, nb::list parts1, std::vector<size_t> rows, u32 one0,
                            u32 one1, H plus, H minus, unsigned bits, size_t blocks, unsigned k) {
        const Out w(message), o(at0), l(at1);
        const In p(plus), q(minus);
        const size_t n = o.size() / 8, planes = digit_planes(bits, k), bytes = row_bytes<u64>(k, n);
        if (parts0.size() != rows.size() || parts1.size() != rows.size()) throw std::invalid_argument("two parts of each third");
        if (blocks ? n % blocks : n) throw std::invalid_argument("blocks have one size");
        std::vector<std::unique_ptr<In>> held;
        std::vector<Third> thirds;
        size_t first = 0;
        for (size_t i = 0; i < rows.size(); ++i) {
            const size_t length = (rows[i] + 63) / 64;
            if ((rows[i] && first % 64) || rows[i] > n - first) throw std::invalid_argument("thirds are whole words of bits, but the last");
            held.push_back(std::make_unique<In>(parts0[i]));
            held.push_back(std::make_unique<In>(parts1[i]));
            thirds.push_back({held[2 * i]->at<u64>(planes * length), held[2 * i + 1]->at<u64>(planes * length), first,
                              rows[i], length});
            first += rows[i];
        }
        if (first != n) throw std::invalid_argument("the thirds are not all rows");
        u8 *const pw = w.at<u8>(bytes);
        u64 *const po = o.at<u64>(n), *const pl = l.at<u64>(n);
        const u8 *const pp = p.at<u8>(bytes), *const pq = q.at<u8>(bytes);
        const Unlocked free(planes * n / 8);
        if (n) table.digit_ranks(pw, po, pl, thirds.data(), thirds.size(), one0, one1, pp, pq, bits, n / blocks, k);
    });
    m.def("permutation", [](H out, H draws, size_t blocks) {
        const Out o(out);
        const In d(draws);
        const size_t n = o.size() / 4;
        if (blocks ? n % blocks : n) throw std::invalid_argument("blocks have one size");
        u32 *const to = o.at<u32>(n);
        const u64 *const from = d.at<u64>(n);
        const Unlocked free(o.size());
        return !n || table.permutation(to, from, blocks, n / blocks);
    });
}
