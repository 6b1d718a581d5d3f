// The Python module: buffers in, run-time choice of the dispatch target, interpreter lock released.
// compiled.py checks dtypes and shapes; the sizes are checked here once more, because memory safety hangs on them.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "pool.h"
#include "table.h"
#include "waves.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace nb = nanobind;
using namespace tacit;

namespace {

struct Target {
    const char *name;
    Kernels (*kernels)();
    WaveKernels (*waves)();
    bool (*here)();  // does this CPU offer it?
};

bool always() { return true; }
#if defined(__x86_64__)
bool has_avx2() { return __builtin_cpu_supports("avx2"); }
bool has_avx512() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
bool has_ifma() {
    return has_avx512() && __builtin_cpu_supports("avx512ifma") && __builtin_cpu_supports("avx512vnni");
}
bool has_amx() {
#if defined(__linux__)
    if (!has_avx512() || !__builtin_cpu_supports("avx512vbmi")) return false;
    unsigned a = 7, b = 0, c = 0, d = 0;
    __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    if (!(d >> 24 & 1) || !(d >> 25 & 1)) return false;  // amx-tile, amx-int8
    // Linux gives a process the tile registers on request (arch_prctl ARCH_REQ_XCOMP_PERM, XTILEDATA).
    return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
#else
    return false;
#endif
}
#endif

// From the newest to the oldest.
const Target TARGETS[] = {
#if defined(TACIT_HAS_AMX)
    {"amx", amx::kernels, amx::wave_kernels, has_amx},
#endif
#if defined(TACIT_HAS_IFMA)
    {"ifma", ifma::kernels, ifma::wave_kernels, has_ifma},
#endif
#if defined(TACIT_HAS_AVX512)
    {"avx512", avx512::kernels, avx512::wave_kernels, has_avx512},
#endif
#if defined(TACIT_HAS_AVX2)
    {"avx2", avx2::kernels, avx2::wave_kernels, has_avx2},
#endif
    {"baseline", baseline::kernels, baseline::wave_kernels, always},
};

Kernels table;
WaveKernels wave_table;
Aes aes;
const char *target = nullptr;

void use(const Target &t) {
    table = t.kernels();
    wave_table = t.waves();
    target = t.name;
    const std::string name = t.name;
    aes = find_aes(name != "baseline" && name != "avx2");
}

void set_target(const std::string &name) {
    for (const Target &t : TARGETS)
        if (name == t.name) {
            if (!t.here()) throw std::invalid_argument("this CPU does not offer the kernels' target '" + name + "'");
            return use(t);
        }
    throw std::invalid_argument("these kernels were built without a target '" + name + "'");
}

nb::list targets() {
    nb::list names;
    for (const Target &t : TARGETS)
        if (t.here()) names.append(t.name);
    return names;
}

// --- buffers ----------------------------------------------------------------------------------------------

class Bytes {
  public:
    Bytes(nb::handle object, bool writable) {
        if (PyObject_GetBuffer(object.ptr(), &view_, writable ? PyBUF_WRITABLE : PyBUF_SIMPLE)) {
            // An array in another order than C's is a ValueError: an input is copied then.
            if (writable || !PyErr_ExceptionMatches(PyExc_ValueError)) throw nb::python_error();
            PyErr_Clear();
            const nb::object turned = nb::module_::import_("numpy").attr("ascontiguousarray")(object);
            if (PyObject_GetBuffer(turned.ptr(), &view_, PyBUF_SIMPLE)) throw nb::python_error();
        }
        p_ = view_.buf;
        const bool loose = reinterpret_cast<std::uintptr_t>(p_) % 8 != 0 && view_.len > 0;
        if (loose && view_.itemsize != 1) {
            if (writable) {
                PyBuffer_Release(&view_);
                throw std::invalid_argument("the output is not aligned to 8 bytes");
            }
            copy_.resize((view_.len + 7) / 8);
            memcpy(copy_.data(), p_, view_.len);
            p_ = copy_.data();
        }
    }
    ~Bytes() { PyBuffer_Release(&view_); }
    Bytes(const Bytes &) = delete;
    Bytes &operator=(const Bytes &) = delete;

    size_t size() const { return view_.len; }
    template <class T> T *at(size_t count) const {
        if (size_t(view_.len) != count * sizeof(T)) throw std::invalid_argument("a buffer has the wrong size");
        return static_cast<T *>(p_);
    }

  private:
    Py_buffer view_;
    void *p_;
    std::vector<u64> copy_;
};

struct In : Bytes {
    In(nb::handle object) : Bytes(object, false) {}
    template <class T> const T *at(size_t count) const { return Bytes::at<T>(count); }
};

struct Out : Bytes {
    Out(nb::handle object) : Bytes(object, true) {}
};

// Release the interpreter lock where the work repays it (about a tenth of a microsecond).
class Unlocked {
  public:
    explicit Unlocked(size_t bytes) : state_(bytes > (1 << 14) ? PyEval_SaveThread() : nullptr) {}
    ~Unlocked() {
        if (state_) PyEval_RestoreThread(state_);
    }

  private:
    PyThreadState *state_;
};

// What is passed for an input that may be absent. An empty buffer is not: what it is to mask would not be.
bool nothing(nb::handle object) { return nb::isinstance<nb::tuple>(object) && !nb::len(object); }

class MaybeIn {
  public:
    MaybeIn(nb::handle object) {
        if (!nothing(object)) buffer_.emplace(object);
    }
    bool absent() const { return !buffer_; }
    template <class T> const T *at(size_t count) const { return buffer_ ? buffer_->template at<T>(count) : nullptr; }

  private:
    std::optional<In> buffer_;
};

using H = nb::handle;

// One stream of AES-128 in counter mode, which is never rewound: a draw takes the next whole blocks.
class KeyStream {
  public:
    explicit KeyStream(const nb::bytes &key) {
        if (!aes.stream) throw std::runtime_error("this CPU has no AES instructions");
        if (key.size() != sizeof key_) throw std::invalid_argument("an AES-128 key has 16 bytes");
        memcpy(key_, key.data(), sizeof key_);
    }
    ~KeyStream() {
        volatile u8 *k = key_;
        for (size_t i = 0; i < sizeof key_; ++i) k[i] = 0;
    }

    void fill(H out, u64 keep_high, u64 keep_low) {
        const Out o(out);
        u8 *const to = o.at<u8>(o.size());
        const u64 first = skip(o.size());
        const Unlocked free(o.size());
        aes.stream(to, key_, 0, first, o.size(), {keep_low, keep_high});
    }
    // Take the next blocks without making them; return the first one's number.
    u64 skip(size_t bytes) {
        const u64 first = next_;
        next_ += bytes / 16 + (bytes % 16 != 0);  // of any size: a sum with 15 would wrap
        return first;
    }
    void part(H out, u64 block) const {
        const Out o(out);
        u8 *const to = o.at<u8>(o.size());
        const Unlocked free(o.size());
        aes.stream(to, key_, 0, block, o.size(), {~u64(0), ~u64(0)});
    }
    StreamPart made(u64 block) const { return {aes.blocks, aes.expand(key_, {~u64(0), ~u64(0)}), block}; }
    u64 blocks() const { return next_; }

  private:
    u8 key_[16];
    u64 next_ = 0;  // 2^64 blocks are more than a machine makes in a thousand years
};

// A `shapes.Mask`: a buffer, or the fields of a `StreamPart`; or nothing.
class MaskIn {
  public:
    MaskIn(nb::handle object) : absent_(nothing(object)) {
        if (absent_) return;
        if (!nb::isinstance<nb::tuple>(object)) {
            size_ = buffer_.emplace(object).size();
            return;
        }
        const nb::tuple fields = nb::cast<nb::tuple>(object);
        if (fields.size() != 3) throw std::invalid_argument("part of a stream: a stream, a block, a number of bytes");
        made_ = nb::cast<const KeyStream &>(fields[0]).made(nb::cast<u64>(fields[1]));
        size_ = nb::cast<size_t>(fields[2]);
    }

    bool absent() const { return absent_; }
    size_t size() const { return size_; }
    Octets at(size_t bytes) const {
        if (absent_ || size_ != bytes) throw std::invalid_argument("a buffer has the wrong size");
        if (buffer_) return {buffer_->at<u8>(bytes), nullptr};
        return {nullptr, &made_};
    }
    Octets maybe(size_t bytes) const { return absent_ ? Octets{nullptr, nullptr} : at(bytes); }

  private:
    bool absent_;
    std::optional<In> buffer_;
    StreamPart made_{};
    size_t size_ = 0;
};

template <class T> const Ring<T> &ring();
template <> const Ring<u64> &ring() { return table.narrow; }
template <> const Ring<u128> &ring() { return table.wide; }


// Three tables of which any three entries add up to a place below `size`.
Places places(const In &batch, const In &first, const In &second, size_t nb_, size_t rows, size_t columns,
              size_t size) {
    const auto greatest = [size](const std::int64_t *at, size_t n) {
        std::int64_t most = 0;
        for (size_t i = 0; i < n; ++i) {
            if (at[i] < 0 || at[i] >= std::int64_t(size)) throw std::invalid_argument("no such place");
            if (at[i] > most) most = at[i];
        }
        return size_t(most);
    };
    const Places at{batch.at<std::int64_t>(nb_), first.at<std::int64_t>(rows), second.at<std::int64_t>(columns)};
    if (nb_ && rows && columns && greatest(at.batch, nb_) + greatest(at.first, rows) + greatest(at.second, columns) >= size)
        throw std::invalid_argument("no such place");
    return at;
}

// Where the panels of a packed operand begin in its buffer.
template <class P> P *panels(P *p) { return reinterpret_cast<P *>((reinterpret_cast<std::uintptr_t>(p) + 63) / 64 * 64); }

// A party's part of a replicated product, of nine five by three parties: P0 computes (x0 + x1)(y0 + y1), which are four,
// P1 x1 (y0 + y1) + x0 y1, P2 x0 y1 + x1 y0, each of its own first and second component.
template <class T> struct Part {
    enum : size_t { FIRST, SECOND, SUM };
    Term<T> terms[2];
    size_t right[2], count = 2;  // right: which of y0, y1, y0 + y1 a term multiplies

    // left_sums: P1 adds parts of x instead of y.
    Part(unsigned role, bool left_sums, const T *x0, const T *x1, const T *y0, const T *y1) {
        if (role > 2) throw std::invalid_argument("roles are 0, 1 and 2");
        if (role == 0) {
            set(0, x0, x1, y0, y1, SUM);
            count = 1;
        } else {
            set(0, x0, role == 1 && left_sums ? x1 : nullptr, y1, nullptr, SECOND);
            const bool both = role == 1 && !left_sums;
            set(1, x1, nullptr, y0, both ? y1 : nullptr, both ? SUM : FIRST);
        }
    }

  private:
    void set(size_t t, const T *a, const T *a2, const T *b, const T *b2, size_t of) {
        terms[t] = {a, a2, b, b2};
        right[t] = of;
    }
};

// What multiplies matrices of which so many bits count.
template <class T> const Products<T> &products(unsigned bits) {
    const Ring<T> &r = ring<T>();
    return bits <= LOW_BITS && r.low.product ? r.low : r.whole;
}

// --- one binding for each kernel, for both widths ---------------------------------------------------------

template <class T> void bind_ring(nb::module_ &m, const std::string &suffix) {
    const auto def = [&](const char *name, auto f) { m.def((name + suffix).c_str(), f); };
    const auto binary = [&](const char *name, auto member) {
        def(name, [member](H out, H a, H b) {
            const Out o(out);
            const In x(a), y(b);
            const size_t n = o.size() / sizeof(T);
            T *const to = o.at<T>(n);
            const T *const px = x.at<T>(n), *const py = y.at<T>(n);
            const Unlocked free(o.size());
            (ring<T>().*member)(to, px, py, n);
        });
    };
    const auto shift = [&](const char *name, auto member) {
        def(name, [member](H out, H a, unsigned s) {
            const Out o(out);
            const In x(a);
            const size_t n = o.size() / sizeof(T);
            T *const to = o.at<T>(n);
            const T *const px = x.at<T>(n);
            const Unlocked free(o.size());
            (ring<T>().*member)(to, px, s, n);
        });
    };
    binary("add", &Ring<T>::add);
    binary("sub", &Ring<T>::sub);
    binary("mul", &Ring<T>::mul);
    shift("shl", &Ring<T>::shl);
    shift("shr", &Ring<T>::shr);
    def("neg", [](H out, H a) {
        const Out o(out);
        const In x(a);
        const size_t n = o.size() / sizeof(T);
        T *const to = o.at<T>(n);
        const T *const px = x.at<T>(n);
        const Unlocked free(o.size());
        ring<T>().neg(to, px, n);
    });
    def("matmul", [](H out, H a, H b, size_t batch, size_t m, size_t k, size_t n, bool a_turned, bool b_turned,
                     unsigned bits) {
        const Out o(out);
        const In x(a), y(b);
        T *const to = o.at<T>(batch * m * n);
        const Term<T> term{x.at<T>(batch * m * k), nullptr, y.at<T>(batch * k * n), nullptr};
        const Unlocked free(o.size() * k);
        memset(to, 0, o.size());
        products<T>(bits).product(to, &term, 1, {batch, m, k, n, a_turned, b_turned, {}, {}});
    });
    def("rep3_matmul", [](H out, unsigned role, H x0, H x1, H y0, H y1, size_t batch, size_t m, size_t k, size_t n,
                          bool x_turned, bool y_turned, unsigned bits) {
        const Out o(out);
        const In a0(x0), a1(x1), b0(y0), b1(y1);
        const size_t na = batch * m * k, nb_ = batch * k * n;
        T *const to = o.at<T>(batch * m * n);
        // Parts of a large right operand are read once each.
        const Part<T> part(role, m <= 4 && m < n, a0.at<T>(na), a1.at<T>(na), b0.at<T>(nb_), b1.at<T>(nb_));
        const Unlocked free(o.size() * k);
        memset(to, 0, o.size());
        products<T>(bits).product(to, part.terms, part.count, {batch, m, k, n, x_turned, y_turned, {}, {}});
    });
    def("right_bytes", [](size_t k, size_t n, unsigned bits) { return 3 * products<T>(bits).prepared.bytes(k, n) + 64; });
    def("pack_right", [](H right, H y0, H y1, size_t k, size_t n, bool turned, unsigned bits) {
        const Prepared<T> &prepared = products<T>(bits).prepared;
        const Out o(right);
        const In b0(y0), b1(y1);
        const T *const q0 = b0.at<T>(k * n), *const q1 = b1.at<T>(k * n);
        u8 *const to = panels(o.at<u8>(3 * prepared.bytes(k, n) + 64));
        const Term<T> terms[3] = {{nullptr, nullptr, q0, nullptr}, {nullptr, nullptr, q1, nullptr}, {nullptr, nullptr, q0, q1}};
        const Unlocked free(o.size());
        prepared.pack(to, terms, 3, k, n, turned);
    });
    // Rows `start` and following, as many as fit into `out`, of `whole` ones.
    def("rep3_rows", [](H out, unsigned role, H x0, H x1, H right, size_t start, size_t whole, size_t k, size_t n, bool turned,
                        unsigned bits) {
        const Out o(out);
        const Prepared<T> &prepared = products<T>(bits).prepared;
        const In a0(x0), a1(x1), r(right);
        const size_t m = n ? o.size() / sizeof(T) / n : 0;
        if (start > whole || m > whole - start) throw std::invalid_argument("no such rows");
        T *const to = o.at<T>(m * n);
        const size_t from = turned ? start : start * k;
        const u8 *const packed = panels(r.at<u8>(3 * prepared.bytes(k, n) + 64));
        const Part<T> part(role, false, a0.at<T>(whole * k) + from, a1.at<T>(whole * k) + from, nullptr, nullptr);
        const Unlocked free(o.size() * k);
        memset(to, 0, o.size());
        if (!prepared.rows(to, part.terms, part.right, part.count, packed, m, whole, k, n, turned))
            throw std::bad_alloc();
    });
    def("gathered_matmul", [](H out, unsigned role, H x0, H x1, H y0, H y1, H x_batch, H x_first, H x_second, H y_batch,
                              H y_first, H y_second, H to_rows, size_t step, unsigned bits) {
        const Out o(out);
        const In rows(to_rows);
        const In a0(x0), b0(y0), xb(x_batch), xf(x_first), xs(x_second), yb(y_batch), yf(y_first), ys(y_second);
        const MaybeIn a1(x1), b1(y1);
        const size_t batch = xb.size() / 8, m = xf.size() / 8, k = xs.size() / 8, n = ys.size() / 8;
        const size_t na = a0.size() / sizeof(T), nb_ = b0.size() / sizeof(T);
        const Places x_at = places(xb, xf, xs, batch, m, k, na), y_at = places(yb, yf, ys, batch, k, n, nb_);
        const size_t apart = batch ? o.size() / sizeof(T) / batch : 0;
        T *const to = o.at<T>(batch * apart);
        const std::int64_t *const rows_at = rows.at<std::int64_t>(m);
        for (size_t i = 0; batch && n && i < m; ++i)
            if (rows_at[i] < 0 || size_t(rows_at[i]) >= apart || (n - 1 && (apart - 1 - size_t(rows_at[i])) / (n - 1) < step))
                throw std::invalid_argument("no such place");
        const T *const p0 = a0.at<T>(na), *const p1 = a1.at<T>(na), *const q0 = b0.at<T>(nb_), *const q1 = b1.at<T>(nb_);
        if (!p1 != !q1 && na && nb_) throw std::invalid_argument("one operand has two parts, the other one");
        const Term<T> plain = {p0, nullptr, q0, nullptr};
        const Part<T> part(role, false, p0, p1, q0, q1);
        const Unlocked free(o.size() * k);
        products<T>(bits).product(to, p1 ? part.terms : &plain, p1 ? part.count : 1,
                          {batch, m, k, n, false, false, x_at, y_at, rows_at, step, apart});
    });
    def("to_planes", [](H out, H words, H plus, size_t bits) {
        const Out o(out);
        const In w(words);
        const MaybeIn p(plus);
        const size_t n = w.size() / sizeof(T);
        u64 *const to = o.at<u64>(bits * ((n + 63) / 64));
        const T *const from = w.at<T>(n), *const more = p.at<T>(n);
        const Unlocked free(w.size());
        ring<T>().to_planes(to, from, more, bits, n);
    });
    def("from_planes", [](H out, H planes, size_t bits, size_t length) {
        const Out o(out);
        const In p(planes);
        const size_t n = o.size() / sizeof(T);
        T *const to = o.at<T>(n);
        const u64 *const from = p.at<u64>(bits * length);
        if (n > 64 * length || bits > 8 * sizeof(T)) throw std::invalid_argument("too few planes for the elements");
        const Unlocked free(o.size());
        ring<T>().from_planes(to, from, bits, length, n);
    });
    def("pack_words", [](H out, H words, size_t bits) {
        const Out o(out);
        const In w(words);
        const size_t n = w.size() / sizeof(T);
        u8 *const to = o.at<u8>((n * bits + 7) / 8);
        const T *const from = w.at<T>(n);
        const Unlocked free(w.size());
        ring<T>().pack_words(to, from, bits, n);
    });
    def("unpack_words", [](H out, H buf, size_t bits) {
        const Out o(out);
        const In b(buf);
        const size_t n = o.size() / sizeof(T);
        T *const to = o.at<T>(n);
        const u8 *const from = b.at<u8>((n * bits + 7) / 8);
        const Unlocked free(o.size());
        ring<T>().unpack_words(to, from, bits, n);
    });
}

// The bytes of n packed elements of k bits.
template <class T> size_t row_bytes(unsigned k, size_t n) {
    if (k < 1 || k > 8 * sizeof(T)) throw std::invalid_argument("no such width");
    return (n * k + 7) / 8;
}

// The bytes of n packed elements, after checking that Z/2^k holds them shifted by f.
template <class T> size_t packed_bytes(unsigned f, unsigned k, size_t n) {
    if (k > 8 * sizeof(T) || f < 1 || f + 2 > k) throw std::invalid_argument("a shift does not fit the ring");
    return (n * f + 7) / 8;
}

template <class T>
Masks masks_of(const MaskIn &plus, const MaskIn &minus, const MaskIn &moved, unsigned bits, bool less, unsigned k, size_t n) {
    if (bits > 8 * sizeof(T) || !bits != moved.absent())
        throw std::invalid_argument("no such masks");
    const size_t bytes = row_bytes<T>(k, n);
    return {plus.maybe(bytes), minus.maybe(bytes), moved.maybe((n * bits + 7) / 8), bits, less};
}

// Words that a kernel takes away, and writes where it makes them; or nothing.
template <class T> class DrawnIn {
  public:
    DrawnIn(H words, H made) : part_(made) {
        if (nothing(words)) {
            if (!part_.absent()) throw std::invalid_argument("what is made has no place");
            return;
        }
        if (part_.absent())
            in_.emplace(words);
        else
            out_.emplace(words);
    }
    Drawn<T> at(size_t n) const {
        if (in_) return {const_cast<T *>(in_->template at<T>(n)), nullptr};  // read
        if (!out_) throw std::invalid_argument("a buffer has the wrong size");
        return {out_->template at<T>(n), part_.at(n * sizeof(T)).made};
    }
    Drawn<T> maybe(size_t n) const { return in_ || out_ ? at(n) : Drawn<T>{nullptr, nullptr}; }

  private:
    MaskIn part_;
    std::optional<In> in_;
    std::optional<Out> out_;
};

template <class T> T word(u128 x);
template <> u64 word<u64>(u128 x) { return x.lo; }
template <> u128 word<u128>(u128 x) { return x; }

template <class T>
Cut<T> cut_of(const Out &out, const DrawnIn<T> &t, u128 add, u128 constant, unsigned shift, unsigned bits, size_t n) {
    if (!bits) return {};
    if (shift >= 8 * sizeof(T)) throw std::invalid_argument("no such shift");
    return {out.at<u8>(row_bytes<T>(bits, n)), t.maybe(n), word<T>(add), word<T>(constant), shift, bits};
}

// Numbers are given as their low and high 64 bits.
template <class T> void bind_rep3(nb::module_ &m, const std::string &suffix) {
    const auto def = [&](const char *name, auto f) { m.def((name + suffix).c_str(), f); };
    def("rep3_products", [](H out, H x0, H x1, H y0, H y1, H plus, H minus, H moved, unsigned bits, bool less, H t, H made, u64 low,
                            u64 high, u64 low_after, u64 high_after, unsigned shift, unsigned to, size_t rows, unsigned k) {
        const Out o(out);
        const In a0(x0), a1(x1), b0(y0), b1(y1);
        const MaskIn p(plus), q(minus), e(moved);
        const DrawnIn<T> d(t, made);
        if (!rows) throw std::invalid_argument("no rows to add");
        const size_t all = a0.size() / sizeof(T), n = all / rows;
        const Masks masks = masks_of<T>(p, q, e, bits, less, k, n);
        const Cut<T> cut = cut_of<T>(o, d, {low, high}, {low_after, high_after}, shift, to, n);
        T *const words = to ? nullptr : o.at<T>(n);
        const T *const p0 = a0.at<T>(rows * n), *const p1 = a1.at<T>(all), *const q0 = b0.at<T>(all),
                       *const q1 = b1.at<T>(all);
        const Unlocked free(a0.size());
        ring<T>().rep3_products(words, p0, p1, q0, q1, masks, cut, rows, k, n);
    });
    // Where nothing is cut, into `into`, and `out` is empty.
    def("add_masks", [](H into, H out, H plus, H minus, H moved, unsigned bits, bool less, H t, H made, u64 low, u64 high,
                        u64 low_after, u64 high_after, unsigned shift, unsigned to, unsigned k) {
        const Out i(into), o(out);
        const MaskIn p(plus), q(minus), e(moved);
        const DrawnIn<T> d(t, made);
        const size_t n = i.size() / sizeof(T);
        const Masks masks = masks_of<T>(p, q, e, bits, less, k, n);
        const Cut<T> cut = cut_of<T>(o, d, {low, high}, {low_after, high_after}, shift, to, n);
        T *const words = i.at<T>(n);
        const Unlocked free(i.size());
        ring<T>().add_masks(words, masks, cut, k, n);
    });
    def("trunc_first", [](H c1, H message, H out0, H out1, H x, H y, H c0, H s0, H t02, H t01,
                          unsigned round_up, unsigned f, unsigned k) {
        const Out d(c1), o(message), o0(out0), o1(out1);
        const In a(x), b(y), c(c0), s(s0), t2(t02), t1(t01);
        const size_t n = d.size() / sizeof(T), bytes = packed_bytes<T>(f, k, n);
        T *const pd = d.at<T>(n), *const p0 = o0.at<T>(n), *const p1 = o1.at<T>(n);
        u8 *const po = o.at<u8>(bytes);
        const T *const pa = a.at<T>(n), *const pb = b.at<T>(n), *const pc = c.at<T>(n);
        const u8 *const ps = s.at<u8>(bytes), *const pt2 = t2.at<u8>(bytes), *const pt1 = t1.at<u8>(bytes);
        const Unlocked free(d.size());
        ring<T>().trunc_first(pd, po, p0, p1, pa, pb, pc, ps, pt2, pt1, round_up, f, k, n);
    });
    def("trunc_second", [](H message, H s, H b, H t, unsigned f, unsigned k) {
        const Out o(message);
        const In u(s), c(b), v(t);
        const size_t n = c.size() / sizeof(T), bytes = packed_bytes<T>(f, k, n);
        u8 *const to = o.at<u8>(bytes);
        const u8 *const pu = u.at<u8>(bytes), *const pv = v.at<u8>(bytes);
        const T *const pc = c.at<T>(n);
        const Unlocked free(c.size());
        ring<T>().trunc_second(to, pu, pc, pv, f, k, n);
    });
    def("trunc_third", [](H edge, H last, H c, H t, H b, H mine, H theirs, unsigned round_up, unsigned f, unsigned k) {
        const Out o(edge), l(last);
        const In x(c), u(t), y(b), v(mine), w(theirs);
        const size_t n = o.size() / sizeof(T), bytes = packed_bytes<T>(f, k, n);
        T *const po = o.at<T>(n), *const pl = l.at<T>(n);
        const T *const px = x.at<T>(n), *const py = y.at<T>(n);
        const u8 *const pu = u.at<u8>(bytes), *const pv = v.at<u8>(bytes), *const pw = w.at<u8>(bytes);
        const Unlocked free(o.size());
        ring<T>().trunc_third(po, pl, px, pu, py, pv, pw, round_up, f, k, n);
    });
    def("select_first", [](H out, H bits0, H bits1, H x, H y, H rho0, H rho1, unsigned k) {
        const Out o(out);
        const In w0(bits0), w1(bits1), a(x), b(y);
        const MaskIn r(rho0), s(rho1);
        const size_t n = a.size() / sizeof(T), words = (n + 63) / 64, bytes = row_bytes<T>(k, n);
        u8 *const to = o.at<u8>(2 * bytes);
        const u64 *const p0 = w0.at<u64>(words), *const p1 = w1.at<u64>(words);
        const T *const pa = a.at<T>(n), *const pb = b.at<T>(n);
        const Octets pr = r.at(bytes), ps = s.at(bytes);
        const Unlocked free(a.size());
        ring<T>().select_first(to, p0, p1, pa, pb, pr, ps, k, n);
    });
    def("select_second", [](H out, H m0, H m1, H bits, H x, H b, H t, H made, bool lead, unsigned k) {
        const Out o(out);
        const MaskIn r(m0), s(m1);
        const In w(bits), a(x), c(b);
        const DrawnIn<T> u(t, made);
        const size_t n = a.size() / sizeof(T), bytes = row_bytes<T>(k, n);
        u8 *const to = o.at<u8>(bytes);
        const Octets pr = r.at(bytes), ps = s.at(bytes);
        const T *const pa = a.at<T>(n), *const pc = c.at<T>(n);
        const Drawn<T> pu = u.at(n);
        const u64 *const pw = w.at<u64>((n + 63) / 64);
        const Unlocked free(a.size());
        ring<T>().select_second(to, pr, ps, pw, pa, pc, pu, lead, k, n);
    });
    def("select_trunc_first", [](H out, H wraps, H chosen, H bits0, H bits1, H x, H y, H rho, H s0, H s1, unsigned f,
                                 unsigned k) {
        const Out o(out), m(wraps), c(chosen);
        const In w0(bits0), w1(bits1), a(x), b(y), r(rho), u(s0), v(s1);
        const size_t n = a.size() / sizeof(T), words = (n + 63) / 64, bytes = packed_bytes<T>(f, k, n);
        T *const to = o.at<T>(3 * n);
        u8 *const pm = m.at<u8>(bytes), *const pc = c.at<u8>(bytes);
        const u64 *const p0 = w0.at<u64>(words), *const p1 = w1.at<u64>(words);
        const T *const pa = a.at<T>(n), *const pb = b.at<T>(n), *const pr = r.at<T>(3 * n);
        const u8 *const pu = u.at<u8>(bytes), *const pv = v.at<u8>(bytes);
        const Unlocked free(o.size());
        ring<T>().select_trunc_first(to, pm, pc, p0, p1, pa, pb, pr, pu, pv, f, k, n);
    });
    def("select_trunc_second", [](H out, H m0, H m1, H x, H s, H r, H bits, H b, H t, bool lead, unsigned f, unsigned k) {
        const Out o(out);
        const In first(m0), second(m1), a(x), u(s), v(r), w(bits), c(b), d(t);
        const size_t n = o.size() / sizeof(T), bytes = packed_bytes<T>(f, k, n);
        T *const to = o.at<T>(n);
        const T *const p0 = first.at<T>(n), *const p1 = second.at<T>(n), *const pa = a.at<T>(n), *const pc = c.at<T>(n),
                       *const pd = d.at<T>(n);
        const u8 *const pu = u.at<u8>(bytes), *const pv = v.at<u8>(bytes);
        const u64 *const pw = w.at<u64>((n + 63) / 64);
        const Unlocked free(o.size());
        ring<T>().select_trunc_second(to, p0, p1, pa, pu, pv, pw, pc, pd, lead, f, k, n);
    });
    def("bits_first", [](H out, H bits0, H bits1, H rho, size_t rows, unsigned k) {
        const Out o(out);
        const In w0(bits0), w1(bits1), r(rho);
        const size_t n = rows ? o.size() / sizeof(T) / rows : 0, words = rows * ((n + 63) / 64);
        T *const to = o.at<T>(rows * n);
        const u64 *const p0 = w0.at<u64>(words), *const p1 = w1.at<u64>(words);
        const T *const pr = r.at<T>(rows * n);
        const Unlocked free(o.size());
        ring<T>().bits_first(to, p0, p1, pr, rows, k, n);
    });
    def("bits_second", [](H out, H received, H bits, H t, bool lead, size_t rows, unsigned k) {
        const Out o(out);
        const In r(received), w(bits), u(t);
        const size_t n = rows ? o.size() / sizeof(T) / rows : 0;
        T *const to = o.at<T>(rows * n);
        const T *const pr = r.at<T>(rows * n), *const pu = u.at<T>(rows * n);
        const u64 *const pw = w.at<u64>(rows * ((n + 63) / 64));
        const Unlocked free(o.size());
        ring<T>().bits_second(to, pr, pw, pu, lead, rows, k, n);
    });
}

constexpr size_t NO_WORDS = 1 << 30;  // rows without words: there may be any number of them

// Row numbers below `limit`; -1 where `none` allows it.
const std::int64_t *row_numbers(const In &in, size_t rows, size_t limit, bool none = false) {
    const std::int64_t *at = in.at<std::int64_t>(rows);
    for (size_t r = 0; r < rows; ++r)
        if (at[r] < (none ? -1 : 0) || at[r] >= std::int64_t(limit)) throw std::invalid_argument("no such row");
    return at;
}

// Numbers of rows below `limit`, of products before (−2, −3, …), and −1 where `one` allows it.
const std::int64_t *numbers(const In &in, size_t count, size_t limit, size_t products, bool growing, bool one) {
    const std::int64_t *at = in.at<std::int64_t>(count);
    for (size_t r = 0; r < count; ++r) {
        const size_t made = growing ? r : products;
        if (at[r] >= std::int64_t(limit) || (at[r] == -1 && !one) || (at[r] <= -2 && std::uint64_t(-2 - at[r]) >= made))
            throw std::invalid_argument("no such row");
    }
    return at;
}

void bind_rows(nb::module_ &m) {
    m.def("lambda_rows", [](H out, H s0, H s1, H x, H y, H mask, size_t length) {
        const Out o(out);
        const In a(s0), b(s1), i(x), j(y), e(mask);
        const size_t rows = i.size() / 8, held = length ? a.size() / 8 / length : NO_WORDS;
        u64 *const to = o.at<u64>(rows * length);
        const u64 *const pa = a.at<u64>(held * length), *const pb = b.at<u64>(held * length),
                         *const pe = e.at<u64>(rows * length);
        const std::int64_t *const pi = numbers(i, rows, held, 0, true, false), *const pj = numbers(j, rows, held, 0, true, false);
        const Unlocked free(o.size());
        if (length) table.lambda_rows(to, pa, pb, pi, pj, pe, held, rows, length);
    });
    m.def("sum_rows", [](H out, H w, H share, H sets, H u, H v, H begins, H of_w, H of_share, H mask, bool lead,
                         size_t length) {
        const Out o(out);
        const In a(w), b(share), c(sets), i(u), j(v), first(begins), k(of_w), l(of_share), e(mask);
        const size_t products = i.size() / 8, terms = k.size() / 8, sums = first.size() / 8 - 1,
                     held = length ? a.size() / 8 / length : NO_WORDS, made = length ? c.size() / 8 / length : NO_WORDS;
        if (first.size() < 8) throw std::invalid_argument("these are not the terms of so many sums");
        u64 *const to = o.at<u64>(sums * length);
        const u64 *const pa = a.at<u64>(held * length), *const pb = b.at<u64>(held * length),
                         *const pc = c.at<u64>(made * length), *const pe = e.at<u64>(sums * length);
        const Terms all{numbers(i, products, held, 0, true, false), numbers(j, products, held, 0, true, false),
                        first.at<std::int64_t>(sums + 1), numbers(k, terms, held, products, false, true),
                        numbers(l, terms, held, made, false, true), products};
        for (size_t r = 0; r < sums; ++r)
            if (all.begins[r] > all.begins[r + 1]) throw std::invalid_argument("these are not the terms of so many sums");
        if (all.begins[0] != 0 || all.begins[sums] != std::int64_t(terms))
            throw std::invalid_argument("these are not the terms of so many sums");
        const Unlocked free(o.size());
        if (length) table.sum_rows(to, pa, pb, pc, all, pe, lead, sums, length);
    });
    m.def("and_rows", [](H out, H s0, H s1, H a, H b, H plus, H minus, size_t begin, size_t length) {
        const Out o(out);
        const In x(s0), y(s1), i(a), j(b);
        const MaskIn p(plus), q(minus);
        const size_t rows = i.size() / 8, held = length ? x.size() / 8 / length : NO_WORDS;
        u64 *const to = o.at<u64>(rows * length);
        const u64 *const px = x.at<u64>(held * length), *const py = y.at<u64>(held * length);
        const size_t drawn = length ? p.size() / 8 / length : NO_WORDS;
        if (begin > drawn || rows > drawn - begin) throw std::invalid_argument("no such row");
        const Octets pp = p.at(8 * drawn * length), pq = q.at(8 * drawn * length);
        const std::int64_t *const pi = row_numbers(i, rows, held), *const pj = row_numbers(j, rows, held);
        const Unlocked free(o.size());
        table.and_rows(to, px, py, pi, pj, pp, pq, begin, rows, length);
    });
    m.def("mix_rows", [](H out, H s, H z, H a, H b, size_t length) {
        const Out o(out);
        const In x(s), y(z), i(a), j(b);
        const size_t rows = i.size() / 8, first = length ? x.size() / 8 / length : NO_WORDS,
                     second = length ? y.size() / 8 / length : NO_WORDS;
        u64 *const to = o.at<u64>(rows * length);
        const u64 *const px = x.at<u64>(first * length), *const py = y.at<u64>(second * length);
        const std::int64_t *const pi = row_numbers(i, rows, first, true), *const pj = row_numbers(j, rows, second, true);
        for (size_t r = 0; r < rows; ++r)
            if (pi[r] < 0 && pj[r] < 0) throw std::invalid_argument("a row is made of nothing");
        const Unlocked free(o.size());
        table.mix_rows(to, px, py, pi, pj, rows, length);
    });
}

size_t table_rows(size_t m, unsigned radix) {
    if (radix < 1 || radix > 8) throw std::invalid_argument("radix is 1 to 8");
    return m / radix * ((size_t(1) << radix) - 1) + ((size_t(1) << m % radix) - 1);
}

#include "seats_bind.h"
#include "signs_bind.h"
#include "sort_bind.h"
#include "waves_bind.h"

void bind_bits(nb::module_ &m) {
    m.def("pack_bool", [](H out, H a) {
        const Out o(out);
        const In x(a);
        const size_t n = x.size();
        u64 *const to = o.at<u64>((n + 63) / 64);
        const u8 *const from = x.at<u8>(n);
        const Unlocked free(n);
        table.pack_bool(to, from, n);
    });
    m.def("unpack_bool", [](H out, H words) {
        const Out o(out);
        const In w(words);
        const size_t n = o.size();
        if (n > 8 * w.size()) throw std::invalid_argument("too few words for the bits");
        u8 *const to = o.at<u8>(n);
        const u64 *const from = w.at<u64>(w.size() / 8);
        const Unlocked free(n);
        table.unpack_bool(to, from, n);
    });
    m.def("add_planes", [](H out, H a, H b, size_t bits, size_t length) {
        const Out o(out);
        const In x(a), y(b);
        u64 *const to = o.at<u64>(bits * length);
        const u64 *const px = x.at<u64>(bits * length), *const py = y.at<u64>(bits * length);
        const Unlocked free(o.size());
        table.add_planes(to, px, py, bits, length);
    });
    m.def("block_table", [](H out, H a, H mask, size_t bits, size_t length, unsigned radix) {
        const Out o(out);
        const In x(a);
        const MaybeIn y(mask);
        const size_t words = table_rows(bits, radix) * length;
        u64 *const to = o.at<u64>(words);
        const u64 *const from = x.at<u64>(bits * length), *const add = y.at<u64>(words);
        const Unlocked free(o.size());
        table.block_table(to, from, add, bits, length, radix);
    });
    m.def("block_select", [](H g, H p, H t, H b, size_t bits, size_t length, unsigned radix, bool lead) {
        const Out og(g), op(p);
        const In x(t), y(b);
        const u64 *const from = x.at<u64>(table_rows(bits, radix) * length);
        const u64 *const by = y.at<u64>(bits * length);
        const size_t blocks = (bits + radix - 1) / radix;
        u64 *const to_g = og.at<u64>(blocks * length), *const to_p = op.at<u64>(blocks * length);
        const Unlocked free(x.size());
        table.block_select(to_g, to_p, from, by, bits, length, radix, lead);
    });
    m.def("prg", [](H out, nb::bytes key, u64 high, u64 low, u64 keep_high, u64 keep_low) {
        if (!aes.stream) throw std::runtime_error("this CPU has no AES instructions");
        if (key.size() != 16) throw std::invalid_argument("an AES-128 key has 16 bytes");
        const Out o(out);
        u8 *const to = o.at<u8>(o.size());
        const u8 *const k = static_cast<const u8 *>(key.data());
        const Unlocked free(o.size());
        aes.stream(to, k, high, low, o.size(), {keep_low, keep_high});
    });
    nb::class_<KeyStream>(m, "KeyStream")
        .def(nb::init<const nb::bytes &>())
        .def("fill", &KeyStream::fill, nb::arg(), nb::arg() = ~u64(0), nb::arg() = ~u64(0))
        .def("skip", &KeyStream::skip)
        .def("part", &KeyStream::part)
        .def_prop_ro("blocks", &KeyStream::blocks);
}

}  // namespace

NB_MODULE(_native, m) {
#if defined(__x86_64__)
    __builtin_cpu_init();
#endif
    for (const Target &t : TARGETS)
        if (t.here()) {
            use(t);
            break;
        }
    bind_ring<u64>(m, "_64");
    bind_ring<u128>(m, "_128");
    bind_rep3<u64>(m, "_64");
    bind_rep3<u128>(m, "_128");
    bind_bits(m);
    bind_rows(m);
    bind_waves(m);
    bind_seats(m);
    bind_signs<u64>(m, "_64");
    bind_signs<u128>(m, "_128");
    bind_placing(m);
    bind_sort(m);
    m.def("reuse_memory", [](size_t bytes) {
#if defined(__GLIBC__)
        // Freed memory stays with the process, and large arrays come from it: mapping and clearing pages anew
        // for every array took a quarter of the time of large operations.
        return mallopt(M_MMAP_THRESHOLD, int(bytes)) && mallopt(M_TRIM_THRESHOLD, int(bytes));
#else
        return false;
#endif
    });
    m.def("targets", targets);
    m.def("set_target", set_target);
    m.def("target", [] { return std::string(target); });
    m.def("aes", [] { return std::string(aes.name); });
    m.def("has_aes", [] { return aes.stream != nullptr; });
    m.def("set_threads", [](int n) {
        if (n < 1) throw std::invalid_argument("at least one thread");
        const nb::gil_scoped_release free;  // a running kernel may have to end first
        set_threads(n);
    });
    m.def("get_threads", get_threads);
}
