// Bit planes: the 64x64 bit transpose, packing of bits and of narrow words.
#pragma once

#include "packed.h"
#include "vector.h"
#if defined(__AVX512BW__)
#include <immintrin.h>
#endif

namespace tacit::TACIT_TARGET {
namespace {

constexpr size_t BLOCKS = 8;  // 64x64 blocks transposed side by side: eight words fill a cache line of a plane
constexpr size_t GROUP = 64 * BLOCKS;

struct alignas(64) Tile {
    u64 w[64][BLOCKS];
};

// Swap bit log2(J) of the row index with that of the bit index, in all blocks at once. Only as far as it is needed when
// the first `rows` count in the end, and smaller J follow.
template <unsigned J> inline void exchange(Tile &t, u64 mask, size_t rows) {
    const V m = all(mask);
    for (unsigned row = 0; row < 64 && (row & ~(J - 1)) < rows; row = (row + J + 1) & ~J) {
        for (size_t c = 0; c < BLOCKS; c += LANES) {
            const V low = load(&t.w[row][c]), high = load(&t.w[row + J][c]);
            const V swap = ((low >> J) ^ high) & m;
            store(&t.w[row][c], low ^ (swap << J));
            store(&t.w[row + J][c], high ^ swap);
        }
    }
}

inline void transpose(Tile &t, size_t rows = 64) {
    exchange<32>(t, 0x00000000FFFFFFFFull, rows);
    exchange<16>(t, 0x0000FFFF0000FFFFull, rows);
    exchange<8>(t, 0x00FF00FF00FF00FFull, rows);
    exchange<4>(t, 0x0F0F0F0F0F0F0F0Full, rows);
    exchange<2>(t, 0x3333333333333333ull, rows);
    exchange<1>(t, 0x5555555555555555ull, rows);
}

inline u64 half_of(u64 a, size_t) { return a; }
inline u64 half_of(u128 a, size_t half) { return half ? a.hi : a.lo; }

// The planes of one half of up to `GROUP` words (+ more, which may be null), `step` words apart.
template <class T>
inline void planes_of_group(u64 *out, size_t step, const T *from, const T *more, size_t half, size_t bits, size_t count) {
    Tile t;
    if (count < GROUP) {
        memset(&t, 0, sizeof t);
        for (size_t i = 0; i < count; ++i) t.w[i % 64][i / 64] = half_of(more ? from[i] + more[i] : from[i], half);
    } else if (more) {
        for (size_t i = 0; i < 64; ++i)
            for (size_t b = 0; b < BLOCKS; ++b) t.w[i][b] = half_of(from[64 * b + i] + more[64 * b + i], half);
    } else {
        for (size_t i = 0; i < 64; ++i)
            for (size_t b = 0; b < BLOCKS; ++b) t.w[i][b] = half_of(from[64 * b + i], half);
    }
    transpose(t, bits);
    if (count == GROUP) {
        for (size_t bit = 0; bit < bits; ++bit) memcpy(out + bit * step, t.w[bit], sizeof t.w[bit]);
    } else {
        for (size_t bit = 0; bit < bits; ++bit) memcpy(out + bit * step, t.w[bit], 8 * ((count + 63) / 64));
    }
}

// The planes of one half of words (+ plus, which may be null).
template <class T>
inline void planes_of_half(u64 *out, const T *words, const T *plus, size_t half, size_t bits, size_t n) {
    const size_t length = (n + 63) / 64;
    parallel((length + BLOCKS - 1) / BLOCKS, 64, [=](size_t group, size_t end) {
        for (; group < end; ++group) {
            const size_t first = group * GROUP, count = n - first < GROUP ? n - first : GROUP;
            planes_of_group(out + group * BLOCKS, length, words + first, plus ? plus + first : nullptr, half, bits, count);
        }
    });
}

inline void half_of_planes(u64 *out, const u64 *planes, size_t step, size_t bits, size_t length, size_t n) {
    parallel((n + GROUP - 1) / GROUP, 64, [=](size_t group, size_t end) {
        Tile t;
        for (; group < end; ++group) {
            const size_t at = group * BLOCKS, left = length - at < BLOCKS ? length - at : BLOCKS;
            memset(&t, 0, sizeof t);
            for (size_t bit = 0; bit < bits; ++bit) memcpy(t.w[bit], planes + bit * length + at, 8 * left);
            transpose(t);
            const size_t first = group * GROUP, count = n - first < GROUP ? n - first : GROUP;
            u64 *to = out + first * step;
            if (count == GROUP) {
                for (size_t b = 0; b < BLOCKS; ++b)
                    for (size_t i = 0; i < 64; ++i) to[(64 * b + i) * step] = t.w[i][b];
            } else {
                for (size_t i = 0; i < count; ++i) to[i * step] = t.w[i % 64][i / 64];
            }
        }
    });
}

template <class T> void to_planes(u64 *out, const T *words, const T *plus, size_t bits, size_t n) {
    planes_of_half(out, words, plus, 0, bits < 64 ? bits : 64, n);
    if (bits > 64) planes_of_half(out + 64 * ((n + 63) / 64), words, plus, 1, bits - 64, n);
}

template <class T> void from_planes(T *out, const u64 *planes, size_t bits, size_t length, size_t n) {
    constexpr size_t step = sizeof(T) / 8;
    u64 *w = reinterpret_cast<u64 *>(out);
    half_of_planes(w, planes, step, bits < 64 ? bits : 64, length, n);
    if (step == 2) half_of_planes(w + 1, planes + 64 * length, step, bits > 64 ? bits - 64 : 0, length, n);
}

// --- Booleans ---------------------------------------------------------------------------------------------

[[maybe_unused]] void pack_bool(u64 *out, const u8 *a, size_t n) {
    parallel((n + 63) / 64, 1 << 13, [=](size_t j, size_t end) {
        for (; j < end; ++j) {
            u8 tail[64] = {};
            const u8 *from = a + 64 * j;
            if (n - 64 * j < 64) from = static_cast<const u8 *>(memcpy(tail, from, n - 64 * j));
            u64 word = 0;
            for (int i = 0; i < 8; ++i) {
                u64 eight;
                memcpy(&eight, from + 8 * i, 8);
                // Byte b's bit 8b lands at bit 56 + b; all partial products fall on distinct bits.
                word |= (((eight & 0x0101010101010101ull) * 0x0102040810204080ull) >> 56) << (8 * i);
            }
            out[j] = word;
        }
    });
}

inline void spread(u8 *out, u64 word) {  // to 64 bytes
#if defined(__AVX512BW__)
    const __m512i bytes = _mm512_maskz_set1_epi8(word, 1);
    memcpy(out, &bytes, 64);
#else
    for (int i = 0; i < 8; ++i) {
        const u64 bits = ((word >> (8 * i)) & 0xFF) * 0x0101010101010101ull & 0x8040201008040201ull;
        const u64 bytes = ((bits + 0x00406070787C7E7Full) >> 7) & 0x0101010101010101ull;
        memcpy(out + 8 * i, &bytes, 8);
    }
#endif
}

[[maybe_unused]] void unpack_bool(u8 *out, const u64 *words, size_t n) {
    parallel((n + 63) / 64, 1 << 13, [=](size_t j, size_t end) {
        for (; j < end; ++j) {
            if (n - 64 * j >= 64) {
                spread(out + 64 * j, words[j]);
            } else {
                u8 tail[64];
                spread(tail, words[j]);
                memcpy(out + 64 * j, tail, n - 64 * j);
            }
        }
    });
}

// --- words of a few bits ----------------------------------------------------------------------------------

// 64 elements fill exactly `bits` words, so groups of 64 are independent and start at a byte of their own.
template <class T> inline void pack_group(u8 *out, const T *words, size_t bits, size_t count) {
    const u64 *w = reinterpret_cast<const u64 *>(words);
    u64 pairs[32];
    if (sizeof(T) == 8 && bits <= 32 && count == 64) {  // pairs of elements: half as many steps that wait for the last
        const u64 mask = (u64(1) << bits) - 1;
        for (size_t i = 0; i < 32; ++i) pairs[i] = (w[2 * i] & mask) | (w[2 * i + 1] & mask) << bits;
        w = pairs;
        count = 32;
        bits *= 2;
    }
    u64 full[128 + 1];  // the packed group: at most 128 words
    u64 open = 0;
    size_t used = 0, at = 0;  // bits in `open`, words in `full`
    const auto push = [&](u64 x, size_t width) {
        if (width < 64) x &= (u64(1) << width) - 1;
        open |= x << used;
        if (used + width >= 64) {
            full[at++] = open;
            open = used ? x >> (64 - used) : 0;
            used = used + width - 64;
        } else {
            used += width;
        }
    };
    for (size_t i = 0; i < count; ++i) {
        if (sizeof(T) == 8) {
            push(w[i], bits);
        } else {
            push(w[2 * i], bits < 64 ? bits : 64);
            if (bits > 64) push(w[2 * i + 1], bits - 64);
        }
    }
    full[at] = open;
    memcpy(out, full, (count * bits + 7) / 8);
}

template <class T> inline void unpack_group(T *out, const u8 *buf, size_t bits, size_t count) {
    u64 full[128 + 1];
    const size_t nbytes = (count * bits + 7) / 8;
    full[nbytes / 8] = full[bits] = 0;  // zero the unread part of the last word, and one word beyond
    memcpy(full, buf, nbytes);
    u64 *w = reinterpret_cast<u64 *>(out);
    if (sizeof(T) == 8 && bits <= 57) {  // then eight bytes from the one where an element begins hold it all
        const u64 mask = (u64(1) << bits) - 1;
        const u8 *bytes = reinterpret_cast<const u8 *>(full);
        for (size_t i = 0; i < count; ++i) {
            u64 x;
            memcpy(&x, bytes + i * bits / 8, 8);
            w[i] = x >> (i * bits % 8) & mask;
        }
        return;
    }
    const auto pull = [&](size_t at, size_t width) {
        const size_t word = at / 64, used = at % 64;
        u64 x = full[word] >> used;
        if (used + width > 64) x |= full[word + 1] << (64 - used);
        return width < 64 ? x & ((u64(1) << width) - 1) : x;
    };
    for (size_t i = 0; i < count; ++i) {
        if (sizeof(T) == 8) {
            w[i] = pull(i * bits, bits);
        } else {
            w[2 * i] = pull(i * bits, bits < 64 ? bits : 64);
            w[2 * i + 1] = bits > 64 ? pull(i * bits + 64, bits - 64) : 0;
        }
    }
}

// Elements of a whole number of bytes that the compiler knows.
template <class W, class T> inline void pack_as(u8 *out, const T *words, size_t n) {
    constexpr size_t step = sizeof(T) / 8;
    const u64 *w = reinterpret_cast<const u64 *>(words);
    for (size_t i = 0; i < n; ++i) {
        const W x = W(w[step * i]);
        memcpy(out + sizeof(W) * i, &x, sizeof(W));
    }
}

template <class W, class T> inline void unpack_as(T *out, const u8 *buf, size_t n) {
    constexpr size_t step = sizeof(T) / 8;
    u64 *w = reinterpret_cast<u64 *>(out);
    for (size_t i = 0; i < n; ++i) {
        W x;
        memcpy(&x, buf + sizeof(W) * i, sizeof(W));
        w[step * i] = x;
        if (step == 2) w[2 * i + 1] = 0;
    }
}

// Any number of elements, the first at a byte of its own.
template <class T> inline void pack_run(u8 *out, const T *words, size_t bits, size_t n) {
    if (bits == 8) return pack_as<u8>(out, words, n);
    if (bits == 16) return pack_as<std::uint16_t>(out, words, n);
    if (bits == 32) return pack_as<u32>(out, words, n);
    if (bits == 8 * sizeof(T)) return void(memcpy(out, words, n * sizeof(T)));
#if defined(TACIT_EIGHTS)
    if (sizeof(T) == 8 && bits > 8 && bits < 64)
        return pack_eights(out, reinterpret_cast<const u64 *>(words), unsigned(bits), n);
#endif
    for (size_t i = 0; i < n; i += 64) pack_group(out + i / 8 * bits, words + i, bits, n - i < 64 ? n - i : 64);
}

template <class T> inline void unpack_run(T *out, const u8 *buf, size_t bits, size_t n) {
    if (bits == 8) return unpack_as<u8>(out, buf, n);
    if (bits == 16) return unpack_as<std::uint16_t>(out, buf, n);
    if (bits == 32) return unpack_as<u32>(out, buf, n);
    if (bits == 8 * sizeof(T)) return void(memcpy(out, buf, n * sizeof(T)));
#if defined(TACIT_EIGHTS)
    if (sizeof(T) == 8 && bits < 64)
        return unpack_eights(reinterpret_cast<u64 *>(out), buf, (n * bits + 7) / 8, 0, unsigned(bits), n);
#endif
    for (size_t i = 0; i < n; i += 64) unpack_group(out + i, buf + i / 8 * bits, bits, n - i < 64 ? n - i : 64);
}

template <class T> void pack_words(u8 *out, const T *words, size_t bits, size_t n) {
    if (!bits) return;
    parallel((n + 63) / 64, 1 << 10, [=](size_t group, size_t end) {
        const size_t last = 64 * end < n ? 64 * end : n;
        pack_run(out + group * 8 * bits, words + 64 * group, bits, last - 64 * group);
    });
}

template <class T> void unpack_words(T *out, const u8 *buf, size_t bits, size_t n) {
    if (!bits) return void(memset(out, 0, n * sizeof(T)));
    parallel((n + 63) / 64, 1 << 10, [=](size_t group, size_t end) {
        const size_t last = 64 * end < n ? 64 * end : n;
        unpack_run(out + 64 * group, buf + group * 8 * bits, bits, last - 64 * group);
    });
}

}  // namespace
}  // namespace tacit::TACIT_TARGET
