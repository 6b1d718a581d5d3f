// Python names of waves.h; module.cpp includes this inside its namespace, after its buffers.

struct Packed : In {
    size_t stride, first;
    Packed(nb::handle object, size_t stride_, size_t first_, size_t rows, unsigned width, size_t n)
        : In(object), stride(stride_), first(first_) {
        if (width < 1 || width > 64) throw std::invalid_argument("width is 1 to 64");
        if (stride < width * n || (rows && size() < ((first + rows - 1) * stride + width * n + 7) / 8))
            throw std::invalid_argument("a buffer has the wrong size");
    }
    Rows rows() const { return {at<u8>(size()), stride, first, size()}; }
};

void bind_waves(nb::module_ &m) {
    m.def("waves_left", [](H out, H x, H masks, size_t stride, size_t first, u64 rate, unsigned step, double scale, size_t harmonics,
                           unsigned width) {
        const Out o(out);
        const In in(x);
        const size_t n = in.size() / 8;
        const Packed held(masks, stride, first, 2 * harmonics, width, n);
        u8 *const to = o.at<u8>(2 * harmonics * ((n * width + 7) / 8));
        const u64 *const px = in.at<u64>(n);
        const Unlocked free(o.size());
        wave_table.waves_left(to, px, held.rows(), rate, step, scale, harmonics, width, n);
    });
    m.def("waves_right", [](H out, H x, H rows, size_t stride, size_t first, u64 rate, unsigned step, H a, H b, unsigned width) {
        const Out o(out);
        const In in(x), cosines(a), sines(b);
        const size_t n = in.size() / 8, harmonics = sines.size() / 8;
        const Packed held(rows, stride, first, 2 * harmonics, width, n);
        u64 *const to = o.at<u64>(n);
        const u64 *const px = in.at<u64>(n);
        const double *const pb = sines.at<double>(harmonics);
        const double *const pa = cosines.size() ? cosines.at<double>(harmonics) : nullptr;
        const Unlocked free(o.size());
        wave_table.waves_right(to, px, held.rows(), rate, step, pa, pb, harmonics, width, n);
    });
    m.def("powers_left", [](H out, H x, H masks, size_t stride, size_t first, u64 rate, u64 offset, unsigned step, H table_,
                            unsigned bits, unsigned width) {
        const Out o(out);
        const In in(x), powers(table_);
        if (bits < 1 || bits > 16 || step < 1 || step > 120) throw std::invalid_argument("no such powers");
        const size_t n = in.size() / 8, digits = size_t(1) << bits;
        const Packed held(masks, stride, first, digits, width, n);
        u8 *const to = o.at<u8>(digits * ((n * width + 7) / 8));
        const u64 *const px = in.at<u64>(n);
        const double *const pt = powers.at<double>(digits);
        const Unlocked free(o.size());
        wave_table.powers_left(to, px, held.rows(), rate, offset, step, pt, bits, width, n);
    });
    m.def("powers_right", [](H out, H x, H rows, size_t stride, size_t first, u64 rate, unsigned step, double scale, unsigned bits,
                             unsigned width) {
        const Out o(out);
        const In in(x);
        if (bits < 1 || bits > 16 || step < 1 || step > 120) throw std::invalid_argument("no such powers");
        const size_t n = in.size() / 8;
        const Packed held(rows, stride, first, size_t(1) << bits, width, n);
        u64 *const to = o.at<u64>(n);
        const u64 *const px = in.at<u64>(n);
        const Unlocked free(o.size());
        wave_table.powers_right(to, px, held.rows(), rate, step, scale, bits, width, n);
    });
    m.def("look_up", [](H out, H x, H masks, size_t stride, size_t first, H tables, size_t size, unsigned width) {
        const Out o(out);
        const In in(x), held_tables(tables);
        const size_t n = in.size() / 8, sets = size ? held_tables.size() / 8 / size : 0;
        if (!size || size & (size - 1) || !sets || n % sets) throw std::invalid_argument("no such tables");
        const Packed held(masks, stride, first, size, width, n);
        u8 *const to = o.at<u8>(size * ((n * width + 7) / 8));
        const u64 *const px = in.at<u64>(n), *const pt = held_tables.at<u64>(sets * size);
        const Unlocked free(o.size());
        wave_table.look_up(to, px, held.rows(), pt, size, n / sets, width, n);
    });
    m.def("pick_rows", [](H out, H x, H rows, size_t stride, size_t first, size_t count, unsigned width) {
        const Out o(out);
        const In in(x);
        const size_t n = in.size() / 8;
        const Packed held(rows, stride, first, count, width, n);
        u64 *const to = o.at<u64>(n);
        const u64 *const px = in.at<u64>(n);
        const Unlocked free(o.size());
        wave_table.pick_rows(to, px, held.rows(), count, width, n);
    });
}
