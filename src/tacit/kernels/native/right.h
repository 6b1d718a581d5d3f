// Products of some rows at a time with a right operand that is packed once, for a sender that does not wait for the rest.
#pragma once

#include "product.h"

namespace tacit::TACIT_TARGET {
namespace {

// Packed: for each right operand, for each KC inner indices, for each NR columns, one panel.
template <class K> struct Panels {
    using T = typename K::type;
    size_t k, n;

    size_t strips() const { return (n + K::NR - 1) / K::NR; }
    size_t depth() const { return up(least(K::KC, k), K::PAD); }
    size_t panel() const { return up(K::B_BYTES * depth(), 64); }
    size_t bytes() const { return (k + K::KC - 1) / K::KC * strips() * panel(); }
    size_t at(size_t t, size_t l, size_t strip) const {
        return t * bytes() + (l / K::KC * strips() + strip) * panel();
    }

    void pack(u8 *to, const Term<T> *terms, size_t count, bool turned) const {
        const Panels p = *this;
        const Steps step = turned ? Steps{1, k} : Steps{n, 1};
        const size_t grain = WORTH / (k * K::NR) + 1;
        parallel(strips(), grain, [=](size_t s, size_t end) {
            for (; s < end; ++s)
                for (size_t t = 0; t < count; ++t)
                    for (size_t l = 0; l < p.k; l += K::KC) {
                        const size_t from = l * step.outer + s * K::NR * step.inner;
                        const T *more = terms[t].b2 ? terms[t].b2 + from : nullptr;
                        K::pack_b(to + p.at(t, l, s), terms[t].b + from, more, step,
                                  least(K::NR, p.n - s * K::NR), least(K::KC, p.k - l));
                    }
        });
    }

    // c (m,n) += sum of (a + a2) (m,k) @ packed right operand which[t]; return false for want of memory.
    bool rows(T *c, const Term<T> *terms, const size_t *which, size_t count, const u8 *packed, size_t m, Steps step) const {
        const Panels p = *this;
        const size_t a_panel = up(K::A_BYTES * depth(), 64), mc = least(K::MC, up(m, K::MR));
        const size_t share = least(m * k * n / WORTH + 1, size_t(get_threads())), scratch = a_panel * (mc / K::MR);
        const bool tall = m >= n;
        const size_t length = tall ? m : n, grain = up((length + share - 1) / share, tall ? K::MR : K::NR);
        const Buffer buffer(scratch * ((length + grain - 1) / grain));
        u8 *const own = buffer.as<u8>();
        if (!own) return false;
        parallel(length, grain, [=](size_t begin, size_t end) {
            u8 *const as = own + begin / grain * scratch;
            const size_t first = tall ? begin : 0, rest = tall ? end : m, left = tall ? 0 : begin, right = tall ? p.n : end;
            K::begin();
            for (size_t ic = first; ic < rest; ic += mc)
                for (size_t t = 0; t < count; ++t)
                    for (size_t l = 0; l < p.k; l += K::KC) {
                        const size_t some = least(mc, rest - ic), inner = least(K::KC, p.k - l);
                        for (size_t i = 0; i < some; i += K::MR) {
                            const size_t at = (ic + i) * step.outer + l * step.inner;
                            K::pack_a(as + i / K::MR * a_panel, terms[t].a + at,
                                      terms[t].a2 ? terms[t].a2 + at : nullptr, step, least(K::MR, some - i), inner);
                        }
                        for (size_t j = left; j < right; j += K::NR)
                            for (size_t i = 0; i < some; i += K::MR)
                                K::run(c + (ic + i) * p.n + j, p.n, as + i / K::MR * a_panel,
                                       packed + p.at(which[t], l, j / K::NR), least(K::MR, some - i),
                                       least(K::NR, right - j), inner);
                    }
            K::end();
        });
        return true;
    }
};

// Small: the micro kernel for right operands that do not fill Big's block. U: the elements as the module knows them.
template <class Big, class Small, class U> struct Choose {
    using T = typename Big::type;

    static bool fills(size_t k, size_t n) { return n >= Big::NR / 2 && k >= Big::PAD / 2; }
    static const Term<T> *as(const Term<U> *terms) { return reinterpret_cast<const Term<T> *>(terms); }

    static size_t bytes(size_t k, size_t n) {
        return fills(k, n) ? Panels<Big>{k, n}.bytes() : Panels<Small>{k, n}.bytes();
    }
    static void pack(u8 *to, const Term<U> *terms, size_t count, size_t k, size_t n, bool turned) {
        if (!k || !n) return;
        fills(k, n) ? Panels<Big>{k, n}.pack(to, as(terms), count, turned)
                    : Panels<Small>{k, n}.pack(to, as(terms), count, turned);
    }
    static bool rows(U *c, const Term<U> *terms, const size_t *which, size_t count, const u8 *packed, size_t m,
                     size_t whole, size_t k, size_t n, bool turned) {
        if (!m || !k || !n) return true;
        const Steps step = turned ? Steps{1, whole} : Steps{k, 1};
        T *const to = reinterpret_cast<T *>(c);
        return fills(k, n) ? Panels<Big>{k, n}.rows(to, as(terms), which, count, packed, m, step)
                           : Panels<Small>{k, n}.rows(to, as(terms), which, count, packed, m, step);
    }
    static Prepared<U> table() { return {bytes, pack, rows}; }
};

}  // namespace
}  // namespace tacit::TACIT_TARGET
