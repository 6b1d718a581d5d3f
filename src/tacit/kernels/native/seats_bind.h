// Python names of seats.h; module.cpp includes this inside its namespace, after its buffers.

// Bits that lie in a buffer of whole words, from any place on.
void within(size_t bits, const Bytes &words) {
    if (bits > words.size() * 8) throw std::invalid_argument("a buffer has the wrong size");
}

Seats seats(size_t rows, size_t columns, bool turned, size_t k, size_t groups, size_t apart, size_t step, size_t first) {
    if (k < 2 || k > MOST_SEATS || !step || (groups && !rows))
        throw std::invalid_argument("groups have 2 to 64 rows");
    return {rows, columns, turned ? 1 : columns, turned ? rows : 1, k, groups, apart, step, first};
}

void bind_seats(nb::module_ &m) {
    m.def("seat_gaps", [](H out, H x, size_t rows, size_t columns, bool turned, size_t k, size_t groups, size_t apart,
                          size_t step, size_t first, unsigned bits) {
        const Out o(out);
        const In a(x);
        const Seats s = seats(rows, columns, turned, k, groups, apart, step, first);
        u64 *const to = o.at<u64>(k * (k - 1) / 2 * groups * columns);
        const u64 *const from = a.at<u64>(rows * columns);
        const Unlocked free(o.size());
        table.seat_gaps(to, from, s, bits);
    });
    m.def("seat_sums", [](H out, H steps, H x, size_t rows, size_t columns, bool turned, size_t k, size_t groups,
                          size_t apart, size_t step, size_t first, unsigned bits) {
        const Out o(out);
        const In a(x), b(steps);
        const Seats s = seats(rows, columns, turned, k, groups, apart, step, first);
        u64 *const to = o.at<u64>(groups * columns);
        const u64 *const from = a.at<u64>(rows * columns), *const more = b.at<u64>((k - 1) * groups * columns);
        const Unlocked free(b.size());
        table.seat_sums(to, more, from, s, bits);
    });
    m.def("seat_wins", [](H out, H met, size_t k, size_t n, bool one) {
        const Out o(out);
        const In a(met);
        const size_t length = ((k - 1) * n + 63) / 64;
        within(k * (k - 1) / 2 * n, a);
        u64 *const to = o.at<u64>((k - 1) * length);
        const u64 *const from = a.at<u64>(a.size() / 8);
        const Unlocked free(o.size());
        table.seat_wins(to, from, k, n, one, length);
    });
    m.def("won_rows", [](H out, size_t at, H hot, bool one, size_t rows, size_t alone, size_t k, size_t columns) {
        const Out o(out);
        const In a(hot);
        if (k < 2 || k > MOST_SEATS) throw std::invalid_argument("groups have 2 to 64 rows");
        within(at + (rows + alone) * columns, o);
        within((k - 1) * ((rows + k - 1) / k) * columns, a);
        u64 *const to = o.at<u64>(o.size() / 8);
        const u64 *const from = a.at<u64>(a.size() / 8);
        const Unlocked free(o.size());
        table.won_rows(to, at, from, one, rows, alone, k, columns);
    });
    m.def("rows_below", [](H out, size_t at, H above, size_t start, size_t rows, size_t k, size_t columns) {
        const Out o(out);
        const In a(above);
        if (k < 1 || k > MOST_SEATS) throw std::invalid_argument("groups have up to 64 rows");
        within(at + rows * columns, o);
        within(start + (rows + k - 1) / k * columns, a);
        u64 *const to = o.at<u64>(o.size() / 8);
        const u64 *const from = a.at<u64>(a.size() / 8);
        const Unlocked free(o.size());
        table.rows_below(to, at, from, start, rows, k, columns);
    });
    m.def("row_numbers", [](H out, H held, H room, size_t count, size_t columns) {
        const Out o(out), h(held), r(room);
        const size_t length = (columns + 63) / 64, words = ((columns << count) + 63) / 64;
        u64 *const to = o.at<u64>(count * length), *const marks = h.at<u64>(words), *const more = r.at<u64>(words);
        const Unlocked free(h.size());
        table.row_numbers(to, marks, more, count, columns, length);
    });
}
