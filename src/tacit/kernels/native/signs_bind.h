// Python names of signs.h; module.cpp includes this inside its namespace, after its buffers.

// Rows of `step` words, of which `length` from word `at` on are written.
class RowsOut {
  public:
    RowsOut(H object, size_t rows, size_t at, size_t length) : out_(object), step_(rows ? out_.size() / 8 / rows : 0) {
        first_ = out_.at<u64>(rows * step_);
        if (rows && (at > step_ || length > step_ - at)) throw std::invalid_argument("a buffer has the wrong size");
        first_ = rows ? first_ + at : nullptr;
    }
    u64 *first() const { return first_; }
    size_t step() const { return step_; }

  private:
    const Out out_;
    size_t step_;
    u64 *first_;
};

template <class T> void bind_signs(nb::module_ &m, const std::string &suffix) {
    m.def(("table_first" + suffix).c_str(), [](H out, H kept, H x, H y, H mask, size_t bits, bool top, unsigned radix,
                                               size_t at) {
        const Out o(out);
        const In a(x), b(y);
        const MaskIn e(mask);
        const size_t n = a.size() / sizeof(T), length = (n + 63) / 64, words = (table_rows(bits, radix) + top) * length;
        if (bits + top > 8 * sizeof(T)) throw std::invalid_argument("more bits than elements have");
        const RowsOut k(kept, top, at, length);
        u64 *const to = o.at<u64>(words);
        const T *const pa = a.at<T>(n), *const pb = b.at<T>(n);
        const Octets masks = e.at(8 * words);
        const Unlocked free(a.size());
        ring<T>().table_first(to, k.first(), pa, pb, masks, bits, top, radix, n);
    });
    m.def(("table_second" + suffix).c_str(), [](H out, H kept, H top_own, H top_table, H b, H t, H mask, size_t bits,
                                                bool top, unsigned radix, bool lead, size_t skip, size_t count, size_t at) {
        const Out o(out);
        const In x(b);
        const MaskIn held(t), e(mask);
        const size_t n = x.size() / sizeof(T), length = (n + 63) / 64, rows = table_rows(bits, radix) + top;
        if (bits + top > 8 * sizeof(T)) throw std::invalid_argument("more bits than elements have");
        const size_t made = 2 * ((bits + radix - 1) / radix);
        if (count && (skip > made || count > made - skip)) throw std::invalid_argument("no such row");
        const RowsOut k(kept, count, at, length), own(top_own, top, at, length), other(top_table, top, at, length);
        u64 *const to = o.at<u64>(count * length);
        const T *const px = x.at<T>(n);
        const Octets from = held.at(8 * rows * length), masks = e.at(8 * count * length);
        const Unlocked free(x.size());
        ring<T>().table_second(to, {k.first(), k.step(), own.first(), other.first()}, px, from, masks, bits, top, radix,
                               lead, skip, count, n);
    });
}

void bind_placing(nb::module_ &m) {
    m.def("place_rows", [](H out, H from, size_t rows, size_t at, size_t length) {
        const RowsOut o(out, rows, at, length);
        const MaskIn x(from);
        const Octets words = x.at(8 * rows * length);
        const Unlocked free(x.size());
        table.place_rows(o.first(), o.step(), words, rows, length);
    });
}
