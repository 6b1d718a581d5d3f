// Python names of waves.h; module.cpp includes this inside its namespace, after its buffers.

// Packed rows.
struct Packed : MaskIn {
    Packed(nb::handle object, size_t stride_, size_t rows, unsigned width, size_t n)
        : MaskIn(object), stride(stride_) {
        if (width < 1 || width > 64) throw std::invalid_argument("width is 1 to 64");
        if (stride < width * n || (rows && size() < ((rows - 1) * stride + width * n + 7) / 8))
            throw std::invalid_argument("a buffer has the wrong size");
    }
    Rows rows() const { return {at(size()), stride, size()}; }

  private:
    size_t stride;
};

void bind_waves(nb::module_ &m) {
    m.def("waves_left", [](H out, H x, H masks, size_t stride, u64 rate, unsigned step, double scale, size_t harmonics,
                           unsigned width) {
        const Out o(out);
        const In in(x);
        const size_t n = in.size() / 8;
        const Packed held(masks, stride, 2 * harmonics, width, n);
        u8 *const to = o.at<u8>(2 * harmonics * ((n * width + 7) / 8));
        const u64 *const px = in.at<u64>(n);
        const Unlocked free(o.size());
        wave_table.waves_left(to, px, held.rows(), rate, step, scale, harmonics, width, n);
    });
    m.def("waves_right", [](H out, H x, H rows, size_t stride, u64 rate, unsigned step, H a, H b, unsigned width) {
        const Out o(out);
        const In in(x), cosines(a), sines(b);
        const size_t n = in.size() / 8, harmonics = sines.size() / 8;
        const Packed held(rows, stride, 2 * harmonics, width, n);
        u64 *const to = o.at<u64>(n);
        const u64 *const px = in.at<u64>(n);
        const double *const pb = sines.at<double>(harmonics);
        const double *const pa = cosines.size() ? cosines.at<double>(harmonics) : nullptr;
        const Unlocked free(o.size());
        wave_table.waves_right(to, px, held.rows(), rate, step, pa, pb, harmonics, width, n);
    });
    m.def("powers_left", [](H out, H x, H masks, size_t stride, u64 rate, u64 offset, unsigned step, unsigned bits,
                            std::int64_t slope, std::int64_t base, std::int64_t most, unsigned width) {
        const Out o(out);
        const In in(x);
        constexpr std::int64_t FAR = 1 << 20;
        if (bits < 1 || bits > 16 || step < 1 || step > 120 || slope < 0 || slope > FAR || base < -FAR || base > FAR ||
            most < -FAR || most > 1000)
            throw std::invalid_argument("no such powers");
        const size_t n = in.size() / 8, digits = size_t(1) << bits;
        const Packed held(masks, stride, digits, width, n);
        u8 *const to = o.at<u8>(digits * ((n * width + 7) / 8));
        const u64 *const px = in.at<u64>(n);
        const Unlocked free(o.size());
        wave_table.powers_left(to, px, held.rows(), rate, offset, step, {bits, slope, base, most}, width, n);
    });
    m.def("powers_right", [](H out, H x, H rows, size_t stride, u64 rate, unsigned step, double scale, unsigned bits,
                             unsigned width) {
        const Out o(out);
        const In in(x);
        if (bits < 1 || bits > 16 || step < 1 || step > 120) throw std::invalid_argument("no such powers");
        const size_t n = in.size() / 8;
        const Packed held(rows, stride, size_t(1) << bits, width, n);
        u64 *const to = o.at<u64>(n);
        const u64 *const px = in.at<u64>(n);
        const Unlocked free(o.size());
        wave_table.powers_right(to, px, held.rows(), rate, step, scale, bits, width, n);
    });
    m.def("lift_product", [](H out, H alpha, H beta, H gamma, unsigned bits, size_t n) {
        const Out o(out);
        const In a(alpha), b(beta), g(gamma);
        if (bits < 1 || bits > 128) throw std::invalid_argument("no such lift");
        const size_t few = (n + 7) / 8, bytes = (n * bits + 7) / 8;
        u8 *const to = o.at<u8>(bytes);
        const u8 *const pa = a.at<u8>(few), *const pb = b.at<u8>(few), *const pg = g.at<u8>(bytes);
        const Unlocked free(o.size());
        wave_table.lift_product(to, pa, pb, pg, bits, n);
    });
    // Words of a ring of more than 64 bits are two; numbers are given as their low and high 64 bits.
    m.def("lift_bit", [](H out, H m1, H mask, u64 low, u64 high, unsigned w) {
        const Out o(out);
        const In x(m1), s(mask);
        if (w < 1 || w > 128) throw std::invalid_argument("no such lift");
        const size_t words = w > 64 ? 2 : 1, n = x.size() / 8 / words, few = (n + 7) / 8;
        u8 *const to = o.at<u8>(few);
        const u64 *const px = x.at<u64>(words * n);
        const u8 *const ps = s.at<u8>(few);
        const Unlocked free(x.size());
        wave_table.lift_bit(to, px, ps, {low, high}, w, n);
    });
    m.def("lift_part", [](H out, H m1, H mine, H theirs, H own, H gamma, H t, u64 low, u64 high, u64 low_after, u64 high_after,
                          unsigned w, unsigned f, bool lead, unsigned k) {
        const Out o(out);
        const In x(m1), a(mine), b(theirs), c(own), g(gamma), u(t);
        if (w < 1 || w > 128 || k < 1 || k > 128 || f >= w || k + f > w + 128) throw std::invalid_argument("no such lift");
        const bool wide = w > 64 || k > 64;
        if (!wide && k + f > w + 64) throw std::invalid_argument("no such lift");
        const size_t words = w > 64 ? 2 : 1, n = x.size() / 8 / words;
        const size_t bits = k + f > w ? k + f - w : 0, few = bits ? (n + 7) / 8 : 0;
        u8 *const to = o.at<u8>((n * k + 7) / 8);
        const u64 *const px = x.at<u64>(words * n), *const pu = u.at<u64>((k > 64 ? 2 : 1) * n);
        const u8 *const pa = a.at<u8>(few), *const pb = b.at<u8>(few), *const pc = c.at<u8>(few),
                       *const pg = g.at<u8>((n * bits + 7) / 8);
        const Unlocked free(x.size());
        wave_table.lift_part(to, px, pa, pb, pc, pg, pu, {low, high}, {low_after, high_after}, w, f, lead, k, n);
    });
    m.def("bits_left", [](H out, H bits, H masks, size_t stride, size_t count, unsigned width, size_t n) {
        const Out o(out);
        const In b(bits);
        const Packed held(masks, stride, count, width, n);
        u8 *const to = o.at<u8>(count * ((n * width + 7) / 8));
        const u64 *const pb = b.at<u64>(count * ((n + 63) / 64));
        const Unlocked free(o.size());
        wave_table.bits_left(to, pb, held.rows(), count, width, n);
    });
    m.def("bits_right", [](H out, H bits, H rows, size_t stride, H weights, H masks, bool lead, size_t count, size_t outs,
                           unsigned width) {
        const Out o(out);
        const In b(bits), c(weights), u(masks);
        const size_t n = outs ? o.size() / 8 / outs : 0;
        const Packed held(rows, stride, count, width, n);
        u64 *const to = o.at<u64>(outs * n);
        const u64 *const pb = b.at<u64>(count * ((n + 63) / 64)), *const pc = c.at<u64>(outs * count),
                         *const pu = u.at<u64>(outs * n);
        const Unlocked free(o.size());
        wave_table.bits_right(to, pb, held.rows(), pc, pu, lead, count, outs, width, n);
    });
}
