// The Python module: buffers in, run-time choice of the dispatch target, interpreter lock released.
// compiled.py checks dtypes and shapes; the sizes are checked here once more, because memory safety hangs on them.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "pool.h"
#include "table.h"

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
    bool (*here)();  // does this CPU offer it?
};

bool always() { return true; }
#if defined(__x86_64__)
bool has_avx2() { return __builtin_cpu_supports("avx2"); }
bool has_avx512() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
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
    {"amx", amx::kernels, has_amx},
#endif
#if defined(TACIT_HAS_AVX512)
    {"avx512", avx512::kernels, has_avx512},
#endif
#if defined(TACIT_HAS_AVX2)
    {"avx2", avx2::kernels, has_avx2},
#endif
    {"baseline", baseline::kernels, always},
};

Kernels table;
Aes aes;
const char *target = nullptr;

void use(const Target &t) {
    table = t.kernels();
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
        if (PyObject_GetBuffer(object.ptr(), &view_, writable ? PyBUF_WRITABLE : PyBUF_SIMPLE))
            throw nb::python_error();
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

template <class T> const Ring<T> &ring();
template <> const Ring<u64> &ring() { return table.narrow; }
template <> const Ring<u128> &ring() { return table.wide; }

using H = nb::handle;

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
    def("rep3_mul", [](H out, H x0, H x1, H y0, H y1, H z) {
        const Out o(out);
        const In a0(x0), a1(x1), b0(y0), b1(y1), c(z);
        const size_t n = o.size() / sizeof(T);
        T *const to = o.at<T>(n);
        const T *const p0 = a0.at<T>(n), *const p1 = a1.at<T>(n), *const q0 = b0.at<T>(n), *const q1 = b1.at<T>(n),
                       *const r = c.at<T>(n);
        const Unlocked free(o.size());
        ring<T>().rep3_mul(to, p0, p1, q0, q1, r, n);
    });
    def("rep3_dot", [](H out, H x0, H x1, H y0, H y1, H z, size_t terms) {
        const Out o(out);
        const In a0(x0), a1(x1), b0(y0), b1(y1), c(z);
        const size_t n = o.size() / sizeof(T), all = n * terms;
        T *const to = o.at<T>(n);
        const T *const p0 = a0.at<T>(all), *const p1 = a1.at<T>(all), *const q0 = b0.at<T>(all),
                       *const q1 = b1.at<T>(all), *const r = c.at<T>(n);
        const Unlocked free(o.size() + a0.size());
        ring<T>().rep3_dot(to, p0, p1, q0, q1, r, n, terms);
    });
    def("matmul", [](H out, H a, H b, size_t batch, size_t m, size_t k, size_t n) {
        const Out o(out);
        const In x(a), y(b);
        T *const to = o.at<T>(batch * m * n);
        const Term<T> term{x.at<T>(batch * m * k), y.at<T>(batch * k * n), nullptr};
        const Unlocked free(o.size() * k);
        memset(to, 0, o.size());
        ring<T>().product(to, &term, 1, batch, m, k, n);
    });
    def("rep3_matmul", [](H out, H x0, H x1, H y0, H y1, H z, size_t batch, size_t m, size_t k, size_t n) {
        const Out o(out);
        const In a0(x0), a1(x1), b0(y0), b1(y1), c(z);
        const size_t na = batch * m * k, nb_ = batch * k * n;
        T *const to = o.at<T>(batch * m * n);
        const T *const start = c.at<T>(batch * m * n);
        const T *const q0 = b0.at<T>(nb_);
        const Term<T> terms[2] = {{a0.at<T>(na), q0, b1.at<T>(nb_)}, {a1.at<T>(na), q0, nullptr}};
        const Unlocked free(o.size() * k);
        if (o.size()) memcpy(to, start, o.size());
        ring<T>().product(to, terms, 2, batch, m, k, n);
    });
    def("to_planes", [](H out, H words, size_t bits) {
        const Out o(out);
        const In w(words);
        const size_t n = w.size() / sizeof(T);
        u64 *const to = o.at<u64>(bits * ((n + 63) / 64));
        const T *const from = w.at<T>(n);
        const Unlocked free(w.size());
        ring<T>().to_planes(to, from, bits, n);
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

size_t table_rows(size_t m, unsigned radix) {
    if (radix < 1 || radix > 8) throw std::invalid_argument("radix is 1 to 8");
    return m / radix * ((size_t(1) << radix) - 1) + ((size_t(1) << m % radix) - 1);
}

void bind_bits(nb::module_ &m) {
    m.def("rep3_and", [](H out, H x0, H x1, H y0, H y1, H z) {
        const Out o(out);
        const In a0(x0), a1(x1), b0(y0), b1(y1), c(z);
        const size_t n = o.size() / 8;
        u64 *const to = o.at<u64>(n);
        const u64 *const p0 = a0.at<u64>(n), *const p1 = a1.at<u64>(n), *const q0 = b0.at<u64>(n),
                         *const q1 = b1.at<u64>(n), *const r = c.at<u64>(n);
        const Unlocked free(o.size());
        table.rep3_and(to, p0, p1, q0, q1, r, n);
    });
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
    m.def("block_table", [](H out, H a, size_t bits, size_t length, unsigned radix) {
        const Out o(out);
        const In x(a);
        u64 *const to = o.at<u64>(table_rows(bits, radix) * length);
        const u64 *const from = x.at<u64>(bits * length);
        const Unlocked free(o.size());
        table.block_table(to, from, bits, length, radix);
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
    m.def("prg", [](H out, nb::bytes key, u64 high, u64 low) {
        if (!aes.stream) throw std::runtime_error("this CPU has no AES instructions");
        if (key.size() != 16) throw std::invalid_argument("an AES-128 key has 16 bytes");
        const Out o(out);
        u8 *const to = o.at<u8>(o.size());
        const u8 *const k = static_cast<const u8 *>(key.data());
        const Unlocked free(o.size());
        aes.stream(to, k, high, low, o.size());
    });
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
    bind_bits(m);
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
