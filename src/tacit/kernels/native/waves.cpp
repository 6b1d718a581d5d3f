// Compiled once for each dispatch target; see waves.h. Constants and the order of operations are kernels/reference_waves.py's.
#include "waves.h"

#include <cmath>

#include "lift.h"
#include "packed.h"
#include "pool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tacit::TACIT_TARGET {
namespace {

constexpr size_t BLOCK = 512;  // a multiple of 8: whole blocks of any width end at a byte
constexpr size_t GRAIN = 32;   // blocks in one piece of work

constexpr double TURN = 3.4061215800865545e-19;  // 2π / 2^64
constexpr double LN2 = 0.6931471805599453;
constexpr double SIN[] = {
    -1.6666666666666666e-01, 8.3333333333333333e-03, -1.9841269841269841e-04, 2.7557319223985893e-06,
    -2.5052108385441720e-08, 1.6059043836821613e-10, -7.6471637318198165e-13};
constexpr double COS[] = {
    -5.0000000000000000e-01, 4.1666666666666664e-02, -1.3888888888888889e-03, 2.4801587301587302e-05,
    -2.7557319223985888e-07, 2.0876756987868100e-09, -1.1470745597729725e-11, 4.7794773323873853e-14};
constexpr double EXP[] = {
    1.0, 5.0000000000000000e-01, 1.6666666666666666e-01, 4.1666666666666664e-02, 8.3333333333333332e-03,
    1.3888888888888889e-03, 1.9841269841269841e-04, 2.4801587301587302e-05, 2.7557319223985893e-06,
    2.7557319223985888e-07, 2.5052108385441720e-08, 2.0876756987868100e-09, 1.6059043836821613e-10};

template <size_t N> inline double series(double z, const double (&c)[N]) {
    double out = c[N - 1];
    for (size_t i = N - 1; i-- > 0;) {
        out = out * z;
        out = out + c[i];
    }
    out = out * z;
    return out + 1.0;
}

inline u64 bits_of(double v) {
    u64 bits;
    memcpy(&bits, &v, 8);
    return bits;
}

inline double of_bits(u64 bits) {
    double v;
    memcpy(&v, &bits, 8);
    return v;
}

// rint as a word: the sum with 3·2^51 rounds to a whole number. |v| < 2^51.
inline u64 whole(double v) {
    constexpr double MAGIC = 6755399441055744.0;
    return bits_of(v + MAGIC) - bits_of(MAGIC);
}

// The same of |v| < 2^63. Without an instruction that rounds to a double, compilers make a branch of std::rint, and v is
// secret; one that rounds to a word is as old as SSE2.
inline u64 whole_of_any(double v) {
#if defined(__x86_64__) && !defined(__AVX512DQ__)
    return u64(_mm_cvtsd_si64(_mm_set_sd(v)));
#else
    return u64(std::int64_t(std::rint(v)));
#endif
}

constexpr std::int64_t LEAST_POWER = -1022;  // of a normal number; what is multiplied by it rounds to zero

inline double power_of_two(u64 e) { return of_bits((e + 1023) << 52); }

void turn(double *cos, double *sin, const u64 *x, u64 rate, size_t n) {
    for (size_t i = 0; i < n; ++i) {
        const u64 angle = x[i] * rate, quarter = (angle + (u64(1) << 61)) >> 62;
        const double theta = double(std::int64_t(angle - (quarter << 62))) * TURN, z = theta * theta;
        // A quarter turn takes (cos, sin) to (−sin, cos). Angles are secret: of a `?:` compilers make branches.
        const u64 s = bits_of(series(z, SIN) * theta), c = bits_of(series(z, COS)), swap = (s ^ c) & (0 - (quarter & 1));
        cos[i] = of_bits(c ^ swap ^ ((quarter + 1) >> 1 << 63));
        sin[i] = of_bits(s ^ swap ^ (quarter >> 1 << 63));
    }
}

// 2^(step·u) for u = fraction / 2^64.
inline double power(u64 fraction, unsigned step) {
    const u64 u = (fraction >> 7) * step, up = (u + (u64(1) << 56)) >> 57;
    const double rest = double(std::int64_t(u - (up << 57))) * 0x1p-57;
    return series(rest * LN2, EXP) * power_of_two(up);
}

inline u64 below(unsigned width) { return width == 64 ? ~u64(0) : (u64(1) << width) - 1; }

// The n words of `width` bits from bit `at` < 8 of p on; `bytes` from p on may be read, and p is copied where loads
// would leave them.
void unpack(u64 *out, const u8 *p, [[maybe_unused]] size_t bytes, size_t at, unsigned width, size_t n) {
#if defined(TACIT_EIGHTS)
    if (width < 64) return unpack_eights(out, p, bytes, unsigned(at), width, n);
#endif
    u8 held[BLOCK * 8 + 32];
    memcpy(held, p, (at + n * width + 7) / 8);
    const u64 mask = below(width);
    if (width <= 57) {
        for (size_t i = 0; i < n; ++i, at += width) {
            u64 v;
            memcpy(&v, held + (at >> 3), 8);
            out[i] = v >> (at & 7) & mask;
        }
        return;
    }
    for (size_t i = 0; i < n; ++i, at += width) {
        u64 v;
        memcpy(&v, held + (at >> 3), 8);
        const unsigned s = at & 7;
        out[i] = (v >> s | u64(held[(at >> 3) + 8]) << 1 << (63 - s)) & mask;
    }
}

// Elements first … first + n of row r.
void unpack(u64 *out, const Rows &rows, size_t r, size_t first, unsigned width, size_t n) {
    const size_t bit = r * rows.stride + first * width, start = bit >> 3;
    if (rows.from.p) return unpack(out, rows.from.p + start, rows.bytes - start, bit & 7, width, n);
    alignas(64) u8 room[BLOCK * 8 + 8 + StreamPart::SLACK];
    const u8 *const p = rows.from.made->read(room, start, ((bit & 7) + n * width + 7) / 8);
    unpack(out, p, size_t(room + sizeof room - p), bit & 7, width, n);
}

// Pack n words below 2^width from a byte on.
void pack(u8 *out, const u64 *words, unsigned width, size_t n) {
#if defined(TACIT_EIGHTS)
    if (width > 8 && width < 64) return pack_eights(out, words, width, n);
#endif
    u8 held[BLOCK * 8 + 16];
    u8 *p = held;
    if (width <= 57) {  // without branches: at most 7 bits wait, and 8 bytes are written each time
        u64 waiting = 0;
        size_t at = 0;
        for (size_t i = 0; i < n; ++i, at += width) {
            const unsigned before = at & 7, bytes = (before + width) >> 3;
            waiting |= words[i] << before;
            memcpy(held + (at >> 3), &waiting, 8);
            waiting = waiting >> 4 * bytes >> 4 * bytes;
        }
        memcpy(held + (at >> 3), &waiting, 8);
        memcpy(out, held, (n * width + 7) / 8);
        return;
    }
    u64 filling = 0;
    unsigned have = 0;
    for (size_t i = 0; i < n; ++i) {
        const u64 v = words[i];
        filling |= v << have;
        have += width;
        if (have >= 64) {
            memcpy(p, &filling, 8);
            p += 8;
            have -= 64;
            filling = have ? v >> (width - have) : 0;
        }
    }
    memcpy(p, &filling, 8);
    memcpy(out, held, (n * width + 7) / 8);
}

struct Masked {
    u8 *out;
    Rows masks;
    unsigned width;
    size_t n;

    void row(size_t r, u64 *words, size_t first, size_t count) const {
        u64 mask[BLOCK];
        unpack(mask, masks, r, first, width, count);
        const u64 keep = below(width);
        for (size_t i = 0; i < count; ++i) words[i] = (words[i] - mask[i]) & keep;
        pack(out + r * ((n * width + 7) / 8) + first * width / 8, words, width, count);
    }
};

template <class F> void blocks(size_t n, F body) {
    parallel((n + BLOCK - 1) / BLOCK, GRAIN, [&](size_t begin, size_t end) {
        for (size_t b = begin; b < end; ++b) {
            const size_t first = b * BLOCK;
            body(first, n - first < BLOCK ? n - first : BLOCK);
        }
    });
}

struct Turning {
    double cos[BLOCK], sin[BLOCK], by_cos[BLOCK], by_sin[BLOCK];

    void start(const u64 *x, u64 rate, unsigned step, size_t n) {
        turn(cos, sin, x, rate, n);
        if (step != 1) return turn(by_cos, by_sin, x, rate * step, n);
        memcpy(by_cos, cos, n * 8);
        memcpy(by_sin, sin, n * 8);
    }
    void next(size_t n) {
        for (size_t i = 0; i < n; ++i) {
            const double c = cos[i], s = sin[i];
            cos[i] = c * by_cos[i] - s * by_sin[i];
            sin[i] = s * by_cos[i] + c * by_sin[i];
        }
    }
};

void waves_left(u8 *out, const u64 *x, Rows masks, u64 rate, unsigned step, double scale, size_t harmonics,
                unsigned width, size_t n) {
    const Masked to{out, masks, width, n};
    blocks(n, [&](size_t first, size_t count) {
        Turning t;
        u64 words[BLOCK];
        t.start(x + first, rate, step, count);
        for (size_t j = 0; j < harmonics; ++j) {
            for (size_t i = 0; i < count; ++i) words[i] = whole(t.cos[i] * scale);
            to.row(2 * j, words, first, count);
            for (size_t i = 0; i < count; ++i) words[i] = whole(t.sin[i] * scale);
            to.row(2 * j + 1, words, first, count);
            t.next(count);
        }
    });
}

void waves_right(u64 *out, const u64 *x, Rows rows, u64 rate, unsigned step, const double *a, const double *b,
                 size_t harmonics, unsigned width, size_t n) {
    blocks(n, [&](size_t first, size_t count) {
        Turning t;
        u64 row[BLOCK], sum[BLOCK] = {};
        t.start(x + first, rate, step, count);
        for (size_t j = 0; j < harmonics; ++j) {
            const double bj = b[j], aj = a ? a[j] : 0;
            unpack(row, rows, 2 * j, first, width, count);
            for (size_t i = 0; i < count; ++i)
                sum[i] += row[i] * whole(a ? t.cos[i] * aj + t.sin[i] * bj : t.sin[i] * bj);
            unpack(row, rows, 2 * j + 1, first, width, count);
            for (size_t i = 0; i < count; ++i)
                sum[i] += row[i] * whole(a ? t.cos[i] * bj - t.sin[i] * aj : t.cos[i] * bj);
            t.next(count);
        }
        memcpy(out + first, sum, count * 8);
    });
}

// Digits are secret: what they choose is computed, or compared with all, and no address or branch depends on them.
void powers_left(u8 *out, const u64 *x, Rows masks, u64 rate, u64 offset, unsigned step, const Scales &scales,
                 unsigned width, size_t n) {
    const Masked to{out, masks, width, n};
    const unsigned bits = scales.bits;
    const std::int64_t slope = scales.slope, base = scales.base, most = scales.most;
    blocks(n, [&](size_t first, size_t count) {
        double value[BLOCK];
        u64 digit[BLOCK], words[BLOCK];
        for (size_t i = 0; i < count; ++i) {
            const u64 at = x[first + i] * rate + offset;
            digit[i] = at >> (64 - bits);
            value[i] = power(at << bits, step);
        }
        for (size_t j = 0; j < size_t(1) << bits; ++j) {
            const u64 last = (u64(1) << bits) - 1;
            for (size_t i = 0; i < count; ++i) {
                std::int64_t e = std::int64_t((digit[i] + j) & last) * slope + base;
                e = e < most ? e : most;
                e = e > LEAST_POWER ? e : LEAST_POWER;
                words[i] = whole_of_any(value[i] * power_of_two(u64(e)));
            }
            to.row(j, words, first, count);
        }
    });
}

void powers_right(u64 *out, const u64 *x, Rows rows, u64 rate, unsigned step, double scale, unsigned bits,
                  unsigned width, size_t n) {
    blocks(n, [&](size_t first, size_t count) {
        u64 words[BLOCK];
        for (size_t i = 0; i < count; ++i) words[i] = whole(power(x[first + i] * rate << bits, step) * scale);
        u64 row[BLOCK], digit[BLOCK], found[BLOCK] = {};
        for (size_t i = 0; i < count; ++i) digit[i] = x[first + i] * rate >> (64 - bits);
        for (size_t r = 0; r < size_t(1) << bits; ++r) {
            unpack(row, rows, r, first, width, count);
            for (size_t i = 0; i < count; ++i) found[i] |= row[i] & (0 - u64(digit[i] == r));
        }
        for (size_t i = 0; i < count; ++i) out[first + i] = words[i] * found[i];
    });
}

// The bits of planes from element `first` on, a multiple of 64.
inline void bits_of_plane(u64 *out, const u64 *plane, size_t first, size_t n) {
    for (size_t g = 0; g < n; g += 64) {
        const u64 word = plane[(first + g) / 64];
        const size_t left = n - g < 64 ? n - g : 64;
        for (size_t i = 0; i < left; ++i) out[g + i] = word >> i & 1;
    }
}

void bits_left(u8 *out, const u64 *bits, Rows masks, size_t count, unsigned width, size_t n) {
    const Masked to{out, masks, width, n};
    const size_t length = (n + 63) / 64;
    blocks(n, [&](size_t first, size_t many) {
        u64 words[BLOCK];
        for (size_t r = 0; r < count; ++r) {
            bits_of_plane(words, bits + r * length, first, many);
            to.row(r, words, first, many);
        }
    });
}

void bits_right(u64 *out, const u64 *bits, Rows rows, const u64 *weights, const u64 *masks, bool lead, size_t count,
                size_t outs, unsigned width, size_t n) {
    const size_t length = (n + 63) / 64;
    blocks(n, [&](size_t first, size_t many) {
        u64 row[BLOCK], bit[BLOCK];
        for (size_t o = 0; o < outs; ++o)
            for (size_t i = 0; i < many; ++i) out[o * n + first + i] = 0 - masks[o * n + first + i];
        for (size_t r = 0; r < count; ++r) {
            unpack(row, rows, r, first, width, many);
            bits_of_plane(bit, bits + r * length, first, many);
            for (size_t i = 0; i < many; ++i) row[i] = (row[i] ^ (0 - bit[i])) + bit[i] + (lead ? bit[i] : 0);
            for (size_t o = 0; o < outs; ++o) {
                const u64 c = weights[o * count + r];
                u64 *const to = out + o * n + first;
                for (size_t i = 0; i < many; ++i) to[i] += c * row[i];
            }
        }
    });
}

}  // namespace

WaveKernels wave_kernels() {
    return {waves_left,   waves_right, powers_left, powers_right, lift_product,
            lift_bit,     lift_part,   bits_left,   bits_right};
}

}  // namespace tacit::TACIT_TARGET
