"""Native kernels equal the NumPy reference bit for bit; both equal Python's integers and NIST's vectors."""

from __future__ import annotations

import ctypes
import importlib.util
import mmap
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from targets import each_target, each_threads

from tacit import kernels
from tacit.errors import ShapeError, UsageError
from tacit.kernels import reference, shapes
from tacit.kernels.shapes import U128, Array, Masks
from tacit.kernels.table import KERNELS, Kernel

HAS_NATIVE = importlib.util.find_spec("tacit.kernels._native") is not None
if HAS_NATIVE:
    from tacit.kernels import _native, compiled

    TARGETS = _native.targets()
else:
    TARGETS = ["absent"]

needs_native = pytest.mark.skipif(not HAS_NATIVE, reason="the native kernels are not built")
CASES = [
    pytest.param(k, wide, id=f"{k.name}-{128 if wide else 64}")
    for k in KERNELS
    for wide in (False, True)[: 1 + k.wide]
]
Implementation = Any  # the module reference or compiled


def drawer(*label: object) -> Callable[[tuple[int, ...], bool], Array]:
    """Return draw(shape, wide), seeded by the label, which pytest shows when the test fails."""
    rng = np.random.default_rng(zlib.crc32(repr(label).encode()))

    def draw(shape: tuple[int, ...], wide: bool) -> Array:
        out = np.empty(shape, U128 if wide else np.uint64)
        for half in ("lo", "hi") if wide else (Ellipsis,):
            words = rng.integers(0, 2**64, shape, dtype=np.uint64)
            extreme = rng.integers(0, 8, shape)  # carries live at the edges
            words = np.where(extreme == 0, np.uint64(0), np.where(extreme == 1, np.uint64(2**64 - 1), words))
            out[half] = words
        return out

    return draw


def as_int(a: Array) -> Any:
    """Return an object array of Python integers."""
    if a.dtype == U128:
        return a["lo"].astype(object) + (a["hi"].astype(object) * 2**64)
    return a.astype(object)


def assert_same(expected: Any, got: Any) -> None:
    pairs = zip(expected, got, strict=True) if isinstance(expected, tuple) else [(expected, got)]
    for x, y in pairs:
        assert isinstance(y, np.ndarray)
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        assert x.tobytes() == y.tobytes()


def assert_same_low(expected: Array, got: Array, bits: int) -> None:
    """The low bits are the same, whatever those above are."""
    assert (expected.dtype, expected.shape) == (got.dtype, got.shape)
    assert not np.any((as_int(expected) ^ as_int(got)) & ((1 << bits) - 1))


@pytest.fixture(params=["reference", "compiled"])
def kernel_module(request: pytest.FixtureRequest) -> Implementation:
    if request.param == "reference":
        return reference
    if not HAS_NATIVE:
        pytest.skip("the native kernels are not built")
    return compiled


# --- native = reference -----------------------------------------------------------------------------------


@needs_native
@pytest.mark.parametrize(("kernel", "wide"), CASES)
@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 1000, 100_003])
def test_native_equals_reference(target: str, kernel: Kernel, wide: bool, n: int) -> None:
    if kernel.products and n > 1000:
        n = 90_000 if not wide else 10_000  # a 300 (100) sided matrix
    arguments = kernel.sample(drawer(kernel.name, wide, n), n, wide)
    assert_same(getattr(reference, kernel.name)(*arguments), getattr(compiled, kernel.name)(*arguments))


SIDE = st.one_of(st.integers(0, 9), st.integers(0, 100))


def in_rows(kernel_module: Any, operands: list[Array], role: int, some: int = 37, bits: int = 128) -> Array:
    """Return a role's part of a product, computed some rows at a time, the last of them first."""
    x, y = operands[0], operands[2]
    out = np.empty((x.shape[0], y.shape[1]), x.dtype)
    rows = kernel_module.rep3_matmul_rows(*operands, bits=bits)
    for start in reversed(range(0, len(out), some)):
        rows(start, out[start : start + some], role)
    return out


@needs_native
@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    st.integers(0, 3),
    SIDE,
    st.one_of(SIDE, st.integers(190, 600)),
    st.one_of(SIDE, st.integers(100, 300)),
    st.booleans(),
    st.integers(0, 3),
)
def test_products_of_any_shape(batch: int, m: int, k: int, n: int, wide: bool, turned: int) -> None:
    """Also of operands that lie in memory as their transposes."""
    draw = drawer(batch, m, k, n, wide, turned)
    lead = (batch,) if batch else ()

    def matrix(rows: int, columns: int, turn: int) -> Array:
        if turn:
            return draw((*lead, columns, rows), wide).swapaxes(-1, -2)
        return draw((*lead, rows, columns), wide)

    x = [matrix(m, k, turned & 1) for _ in range(2)]
    y = [matrix(k, n, turned & 2) for _ in range(2)]
    plain, parts = reference.matmul(x[0], y[0]), [reference.rep3_matmul(role, *x, *y) for role in range(3)]
    for _ in each_target():
        assert_same(plain, compiled.matmul(x[0], y[0]))
        for role, part in enumerate(parts):
            assert_same(part, compiled.rep3_matmul(role, *x, *y))
            if not batch:
                assert_same(part, in_rows(compiled, [*x, *y], role))
        for bits in (31, 52, 53):
            assert_same_low(plain, compiled.matmul(x[0], y[0], bits=bits), bits)
            for role, part in enumerate(parts):
                assert_same_low(part, compiled.rep3_matmul(role, *x, *y, bits=bits), bits)
                if not batch:
                    assert_same_low(part, in_rows(compiled, [*x, *y], role, bits=bits), bits)


@needs_native
@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    st.integers(0, 3),
    st.one_of(SIDE, st.integers(500, 1100)),
    st.one_of(SIDE, st.integers(190, 600)),
    SIDE,
    st.booleans(),
    st.booleans(),
    st.sampled_from([1, 4, 5, 8, 20]),
    st.sampled_from([1, 4, 8, 20]),
)
def test_products_of_matrices_that_lie_anywhere(
    batch: int, m: int, k: int, n: int, wide: bool, two: bool, row: int, column: int
) -> None:
    """Places come in runs, as those of windows in a row do, of some length for rows and for columns."""
    draw = drawer("gathered", batch, m, k, n, wide, two, row, column)

    def places(size: int, run: int) -> Array:
        starts = (draw((-(-size // run),), False) % np.uint64(50 - run)).astype(np.int64)
        return (starts[:, None] + np.arange(run)).reshape(-1)[:size]

    def tables(batch: int, rows: int, columns: int) -> tuple[Array, Array, Array]:
        return places(batch, 1), places(rows, row), places(columns, column)

    x, y = (tuple(draw((148,), wide) for _ in range(1 + two)) for _ in range(2))
    x_at, y_at = tables(batch, m, k), tables(batch, k, n)
    want = [reference.gathered_matmul(x, x_at, y, y_at, role) for role in range(3)]
    # Each element to a place of its own, in runs or not, with room between them.
    columns_first = (np.arange(m) // row * (n + 1) * row + np.arange(m) % row, row)
    spread = (np.argsort(draw((m,), False)).astype(np.int64) * 2 * n, 2)
    room = (-(-m // row) * (n + 1) * row, 2 * m * n)
    placed = []
    for (rows, step), size in zip((columns_first, spread), room, strict=True):
        where = rows[:, None] + step * np.arange(n)
        placed.append((rows, step, where, size))
        out = np.zeros((batch, size), x[0].dtype)
        reference.gathered_matmul(x, x_at, y, y_at, 1, (out, rows, step))
        assert_same(want[1], out[:, where])
    for _ in each_target():
        for role in range(3):
            assert_same(want[role], compiled.gathered_matmul(x, x_at, y, y_at, role))
            low = compiled.gathered_matmul(x, x_at, y, y_at, role, bits=52)
            assert_same_low(want[role], low, 52)
            for rows, step, where, size in placed:
                out = np.zeros((batch, size), x[0].dtype)
                expected = out.copy()
                expected[:, where] = want[role]
                compiled.gathered_matmul(x, x_at, y, y_at, role, (out, rows, step))
                assert_same(expected, out)


@needs_native
@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.integers(0, 700), st.integers(0, 128), st.booleans(), st.integers(1, 8))
def test_bits_of_any_width(n: int, bits: int, wide: bool, radix: int) -> None:
    bits = bits if wide else min(bits, 64)
    draw = drawer(n, bits, wide, radix)
    words, more = draw((n,), wide), draw((n,), wide)
    for _ in each_target():
        planes = compiled.to_planes(words, bits)
        assert_same(reference.to_planes(words, bits), planes)
        assert_same(reference.to_planes(words, bits, more), compiled.to_planes(words, bits, more))
        assert_same(reference.from_planes(planes, n, wide), compiled.from_planes(planes, n, wide))
        packed = compiled.pack_words(words, bits)
        assert_same(reference.pack_words(words, bits), packed)
        assert_same(
            reference.unpack_words(packed, bits, n, wide), compiled.unpack_words(packed, bits, n, wide)
        )
        table = compiled.block_table(planes, radix)
        assert_same(reference.block_table(planes, radix), table)
        for lead in (False, True):
            assert_same(
                reference.block_select(table, planes, radix, lead),
                compiled.block_select(table, planes, radix, lead),
            )


@needs_native
def test_strided_unaligned_and_read_only_inputs(target: str) -> None:
    draw = drawer("strides")
    for wide in (False, True):
        a, b = draw((60, 80), wide), draw((80, 60), wide)
        assert_same(reference.matmul(b.T[::2], a.T), compiled.matmul(b.T[::2], a.T))
        assert_same(reference.add(a, b.T), compiled.add(a, b.T))
        loose = np.frombuffer(b"\1" + a.tobytes(), np.uint8)[1:].view(a.dtype)
        assert_same(reference.mul(loose, loose), compiled.mul(loose, loose))
        frozen = np.frombuffer(a.tobytes(), a.dtype)
        assert_same(reference.neg(frozen), compiled.neg(frozen))


@needs_native
@pytest.mark.parametrize(("kernel", "wide"), CASES)
def test_results_do_not_depend_on_threads(kernel: Kernel, wide: bool) -> None:
    n = 250_000
    arguments = kernel.sample(drawer("threads", kernel.name, wide), n, wide)
    alone, *parts = (getattr(compiled, kernel.name)(*arguments) for _ in each_threads(1, 2, 3, 8))
    for part in parts:
        assert_same(alone, part)


@needs_native
@pytest.mark.parametrize("bits", [52, 64])
@pytest.mark.parametrize(
    ("m", "k", "n"), [(48, 64, 200), (20, 6_000, 24), (3, 1_500, 4), (700, 9, 11), (5, 3, 4)]
)
def test_windows_in_place_on_threads(m: int, k: int, n: int, bits: int) -> None:
    """Of few windows each thread has some results; long sums come in pieces; results have places of their own."""
    draw, zero = drawer("in place", m, k, n), np.zeros(1, np.int64)
    x, y = (tuple(draw((size,), False) for _ in range(2)) for size in (m + k, k * n))
    x_at, y_at = (zero, np.arange(m), np.arange(k)), (zero, np.arange(k), np.arange(n) * k)
    for role in range(3):
        want = np.full((1, m * n), 7, np.uint64)
        reference.gathered_matmul(x, x_at, y, y_at, role, (want, np.arange(m), m))
        for _ in each_target():
            for _ in each_threads(1, 2, 3):
                got = np.full((1, m * n), 7, np.uint64)
                compiled.gathered_matmul(x, x_at, y, y_at, role, (got, np.arange(m), m), bits=bits)
                assert_same_low(want, got, bits)


class Guarded:
    """Copies of arrays that end, or begin, where a page begins that nobody may read or write."""

    def __init__(self) -> None:
        self.libc, self.held = ctypes.CDLL(None, use_errno=True), list[mmap.mmap]()
        self.libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

    def __call__(self, a: Array, front: bool) -> Array:
        """Return a copy; what lies before it (or behind) is forbidden."""
        if not a.nbytes:
            return a
        page = mmap.PAGESIZE
        room = mmap.mmap(-1, (-(-a.nbytes // page) + 2) * page)
        self.held.append(room)
        first = ctypes.addressof(ctypes.c_char.from_buffer(room))
        for at in (first, first + len(room) - page):
            assert self.libc.mprotect(at, page, 0) == 0
        begin = page if front else len(room) - page - a.nbytes
        out = np.frombuffer(room, a.dtype, a.size, begin).reshape(a.shape)
        out[...] = a
        return out


@needs_native
@pytest.mark.skipif(os.name != "posix", reason="pages are forbidden by mprotect")
@pytest.mark.parametrize("front", [False, True])
def test_products_read_and_write_nothing_beside_their_arrays(front: bool) -> None:
    """Also where a row is no whole register: a read beyond ends this process."""
    zero = np.zeros(1, np.int64)
    for m, k, n in ((1, 3, 13), (1, 70, 129), (4, 8, 16), (9, 5, 17), (33, 20, 3), (2, 300, 5), (12, 1, 9)):
        draw, keep = drawer("guarded", m, k, n), Guarded()
        for turned in range(4):
            x = [keep(draw((k, m) if turned & 1 else (m, k), False), front) for _ in range(2)]
            y = [keep(draw((n, k) if turned & 2 else (k, n), False), front) for _ in range(2)]
            x, y = [a.T for a in x] if turned & 1 else x, [a.T for a in y] if turned & 2 else y
            want = [reference.rep3_matmul(role, *x, *y) for role in range(3)]
            for _ in each_target():
                for bits in (52, 64):
                    for role in range(3):
                        assert_same_low(want[role], compiled.rep3_matmul(role, *x, *y, bits=bits), bits)
                        assert_same_low(want[role], in_rows(compiled, [*x, *y], role, 2, bits), bits)
        x, y = ([keep(draw((size,), False), front) for _ in range(2)] for size in (m + k - 1, k + n - 1))
        at = [keep(np.arange(size), front) for size in (m, k, n)]
        places = (zero, at[0], at[1]), (zero, at[1], at[2])
        for role in range(3):
            whole = reference.gathered_matmul(tuple(x), places[0], tuple(y), places[1], role)[0].T.reshape(
                1, -1
            )
            for _ in each_target():
                for bits in (52, 64):
                    out = keep(np.zeros((1, m * n), np.uint64), front)
                    into = (out, at[0], m)
                    compiled.gathered_matmul(tuple(x), places[0], tuple(y), places[1], role, into, bits=bits)
                    assert_same_low(whole, out, bits)


@needs_native
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("bits", [52, 128])
@pytest.mark.parametrize(
    ("m", "k", "n"), [(1, 9_000, 100), (1, 5_000, 129), (90, 9_001, 1), (1, 600_000, 1), (1, 3, 200_000)]
)
def test_threads_add_up_some_of_a_vectors_products_each(
    m: int, k: int, n: int, bits: int, wide: bool
) -> None:
    """Sums of long vectors are cut along them, those of a matrix that is turned as well."""
    draw = drawer("sums", m, k, n, wide)
    x, y = (draw((k, m), wide).T for _ in range(2)), (draw((k, n), wide) for _ in range(2))
    operands = [*x, *y]
    want = [reference.rep3_matmul(role, *operands) for role in range(3)]
    for _ in each_threads(1, 2, 5):
        for role in range(3):
            got = compiled.rep3_matmul(role, *operands, bits=bits)
            assert_same_low(want[role], got, min(bits, 128 if wide else 64))


@needs_native
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(("m", "k", "n"), [(3, 400, 700), (700, 400, 3), (40, 60, 200)])
def test_threads_write_their_part_of_a_product_where_it_belongs(m: int, k: int, n: int, wide: bool) -> None:
    """Of few rows each thread has some columns; each element has a place of its own."""
    draw = drawer("placed", m, n, wide)
    x, y = ((draw((500,), wide),) for _ in range(2))
    x_at, y_at = (
        tuple((draw((size,), False) % np.uint64(160)).astype(np.int64) for size in (1, *sides))
        for sides in ((m, k), (k, n))
    )
    rows, step = np.argsort(draw((m,), False)).astype(np.int64) * 2 * n, 2
    parts = []
    for _ in each_threads(1, 2, 5):
        out = np.zeros((1, 2 * m * n), x[0].dtype)
        compiled.gathered_matmul(x, x_at, y, y_at, 0, (out, rows, step))
        parts.append(out)
    out = np.zeros_like(parts[0])
    reference.gathered_matmul(x, x_at, y, y_at, 0, (out, rows, step))
    for part in parts:
        assert_same(out, part)


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("TACIT_")} | environment
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)


@needs_native
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_threads_survive_fork() -> None:
    code = """
import os, numpy as np
from tacit import kernels
kernels.set_threads(4)
a = np.arange(10**6, dtype=np.uint64)
kernels.mul(a, a)
child = os.fork()
ok = bool((kernels.mul(a, a) == a * a).all())
if child == 0:
    os._exit(0 if ok else 1)
assert ok and os.waitpid(child, 0)[1] == 0
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr


def test_the_command_says_which_kernels_run() -> None:
    """Installation without a compiler succeeds silently; this is where its user learns of it."""
    code = "from tacit.cli.main import main; main(['--version'])"
    done = run_python(code, TACIT_KERNELS="reference")
    assert done.returncode == 0 and "without native kernels" in done.stdout
    if HAS_NATIVE:
        assert f"native kernels ({TARGETS[0]}" in run_python(code).stdout
    absent = "import sys; sys.modules['tacit.kernels._native'] = None; "
    assert "reinstall it with a C++ compiler" in run_python(absent + code).stderr


# --- known answers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (4, 5)])
def test_arithmetic_is_that_of_integers(
    kernel_module: Implementation, shape: tuple[int, ...], wide: bool
) -> None:
    width = 128 if wide else 64
    draw = drawer("integers", shape, wide)
    a, b = (draw(shape, wide) for _ in range(2))
    ia, ib = as_int(a), as_int(b)
    expected = {"add": ia + ib, "sub": ia - ib, "mul": ia * ib, "neg": -ia}
    got = {
        "add": kernel_module.add(a, b), "sub": kernel_module.sub(a, b), "mul": kernel_module.mul(a, b),
        "neg": kernel_module.neg(a),
    }  # fmt: skip
    for name, value in expected.items():
        assert got[name].shape == shape
        assert np.array_equal(as_int(got[name]), np.asarray(value % 2**width, object)), name
    for s in (0, 1, 31, 63, 64, 65, 127, 128):
        if s <= width:
            assert np.array_equal(as_int(kernel_module.shl(a, s)), np.asarray(ia * 2**s % 2**width, object))
            assert np.array_equal(as_int(kernel_module.shr(a, s)), np.asarray(ia // 2**s, object))


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(
    ("m", "k", "n"), [(1, 1, 1), (3, 200, 5), (17, 33, 40), (40, 70, 33), (0, 3, 2), (2, 0, 3)]
)
def test_matrix_products_are_those_of_integers(
    kernel_module: Implementation, wide: bool, m: int, k: int, n: int
) -> None:
    draw = drawer("matrices", wide, m, k, n)
    modulus = 2 ** (128 if wide else 64)
    a, b = draw((3, m, k), wide), draw((3, k, n), wide)
    ia, ib = as_int(a), as_int(b)
    if k:
        assert np.array_equal(as_int(kernel_module.matmul(a[0], b[0])), ia[0] @ ib[0] % modulus)
        held = [[*a[[i, (i + 1) % 3]], *b[[i, (i + 1) % 3]]] for i in range(3)]
        whole = ia.sum(0) @ ib.sum(0) % modulus
        parts = [as_int(kernel_module.rep3_matmul(role, *of)) for role, of in enumerate(held)]
        assert np.array_equal(sum(parts) % modulus, whole)
        parts = [as_int(in_rows(kernel_module, of, role, 2)) for role, of in enumerate(held)]
        assert np.array_equal(sum(parts) % modulus, whole)
        batched = as_int(kernel_module.matmul(a, b))
        assert np.array_equal(batched[1], ia[1] @ ib[1] % modulus)
    else:
        assert not kernel_module.matmul(a, b).tobytes().strip(b"\0")


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 600])
def test_planes_and_packing_follow_their_definition(
    kernel_module: Implementation, wide: bool, n: int
) -> None:
    words = drawer("planes", wide, n)((n,), wide)
    values = [int(v) for v in as_int(words)]
    for bits in (0, 1, 13, 64, *((65, 128) if wide else ())):
        planes = kernel_module.to_planes(words, bits)
        assert planes.shape == (bits, -(-n // 64))
        for b in {0, bits // 2, bits - 1} & set(range(bits)):
            plane = sum(int(w) << (64 * j) for j, w in enumerate(planes[b]))
            assert plane == sum((v >> b & 1) << i for i, v in enumerate(values))
        low = [v % 2**bits for v in values]
        assert list(as_int(kernel_module.from_planes(planes, n, wide))) == low
        packed = kernel_module.pack_words(words, bits)
        assert int.from_bytes(packed.tobytes(), "little") == sum(v << (bits * i) for i, v in enumerate(low))
        assert packed.size == -(-n * bits // 8)
        assert list(as_int(kernel_module.unpack_words(packed, bits, n, wide))) == low
    flags = np.array([v & 1 for v in values], np.uint8)
    assert np.array_equal(kernel_module.pack_bool(flags), kernel_module.to_planes(words, 1)[0])
    assert np.array_equal(kernel_module.unpack_bool(kernel_module.pack_bool(flags), n), flags)


@pytest.mark.parametrize("radix", range(1, 9))
@pytest.mark.parametrize("m", [1, 8, 13])
def test_shares_of_a_block_table_select_shares_of_the_carries(
    kernel_module: Implementation, radix: int, m: int
) -> None:
    n, mask = 700, np.uint64(2**m - 1)
    draw = drawer("blocks", radix, m)
    a, b = draw((n,), False) & mask, draw((n,), False) & mask
    a_planes, b_planes = kernel_module.to_planes(a, m), kernel_module.to_planes(b, m)
    total = kernel_module.from_planes(kernel_module.add_planes(a_planes, b_planes), n)
    assert np.array_equal(total, (a + b) & mask)

    table = kernel_module.block_table(a_planes, radix)
    mine = draw(table.shape, False)
    p0, g0 = np.split(kernel_module.block_select(mine, b_planes, radix, True), 2)
    p1, g1 = np.split(kernel_module.block_select(table ^ mine, b_planes, radix, False), 2)
    assert_same(table ^ mine, kernel_module.block_table(a_planes, radix, mine))
    lows = range(0, m, radix)
    assert g0.shape == p0.shape == (len(lows), -(-n // 64))
    for block, low in enumerate(lows):
        size = 2 ** min(radix, m - low)
        s = (a >> np.uint64(low)) % size + (b >> np.uint64(low)) % size
        assert np.array_equal(kernel_module.unpack_bool((g0 ^ g1)[block], n), s >= size)
        assert np.array_equal(kernel_module.unpack_bool((p0 ^ p1)[block], n), s == size - 1)


def test_aes_counter_mode_of_nist(kernel_module: Implementation) -> None:
    # NIST SP 800-38A, F.5.1 (CTR-AES128.Encrypt): key stream = plaintext xor ciphertext.
    plain = (
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    )
    cipher = (
        "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff"
        "5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee"
    )
    stream = bytes(x ^ y for x, y in zip(bytes.fromhex(plain), bytes.fromhex(cipher), strict=True))
    key = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
    start = int("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", 16)
    for nbytes in (0, 1, 15, 16, 17, 64):
        assert kernel_module.prg(key, start, nbytes).tobytes() == stream[:nbytes]
    assert kernel_module.prg(key, start + 2, 32).tobytes() == stream[32:]


@pytest.mark.parametrize("start", [2**64 - 1, 2**64 - 40, 2**128 - 1, 2**128 - 40])
def test_the_counter_carries_and_wraps(kernel_module: Implementation, start: int) -> None:
    key = bytes(range(16))
    whole = kernel_module.prg(key, start, 16 * 100 + 3).tobytes()
    each = b"".join(kernel_module.prg(key, (start + i) % 2**128, 16).tobytes() for i in range(101))
    assert whole == each[: len(whole)]
    assert whole == reference.prg(key, start, 16 * 100 + 3).tobytes()
    for keep in (0, 0x1F | 0x1F << 64, 2**93 - 1):
        out = np.empty(201, np.uint64)
        assert kernel_module.prg(key, start, out.nbytes, out, keep) is out
        words = np.frombuffer(reference.prg(key, start, 1608).tobytes(), np.uint64).copy()
        words[::2] &= np.uint64(keep % 2**64)
        words[1::2] &= np.uint64(keep >> 64)
        assert np.array_equal(out, words)


def test_a_key_stream_takes_whole_blocks_and_never_the_same(kernel_module: Implementation) -> None:
    key, keep = bytes(range(16)), 0x1F | 0x7F << 64
    stream, at = kernel_module.KeyStream(key), 0
    for shape, dtype in (((5,), np.uint8), ((2, 3), np.uint64), ((0,), np.uint8), ((70,), U128)):
        for kept in ((), (keep >> 64, keep % 2**64)):
            out = np.ones(shape, dtype)
            stream.fill(out, *kept)
            expected = reference.prg(key, at, out.nbytes, None, keep if kept else shapes.ALL)
            assert out.tobytes() == expected.tobytes()
            at += -(-out.nbytes // 16)
            assert stream.blocks == at
    assert "KeyStream" in repr(stream) and key.hex() not in repr(stream)
    with pytest.raises(ValueError):
        kernel_module.KeyStream(b"short")
    with pytest.raises((ValueError, BufferError)):
        stream.fill(np.zeros((4, 4), np.uint64)[:, ::2])
    assert stream.blocks == at  # what is refused takes nothing
    assert stream.skip(0) == at and stream.skip(17) == at and stream.skip(2**64 - 1) == at + 2
    assert stream.blocks == at + 2 + 2**60
    if kernel_module is not reference:
        readonly = np.zeros(2, np.uint64)
        readonly.flags.writeable = False
        with pytest.raises((ValueError, BufferError)):
            stream.fill(readonly)


# --- refusals and choice ----------------------------------------------------------------------------------


def test_wrong_shapes_and_dtypes_are_refused(kernel_module: Implementation) -> None:
    draw = drawer("wrong")
    a, w = draw((3, 4), False), draw((3, 4), True)
    with pytest.raises(ShapeError):
        kernel_module.add(a, a.T)
    with pytest.raises(ShapeError):
        kernel_module.matmul(a, a)
    rows = kernel_module.rep3_matmul_rows(a, a, a.T, a.T)
    for start, out in ((0, a), (-1, a[:1, :1]), (len(a), np.empty((1, len(a)), np.uint64))):
        with pytest.raises(ShapeError):
            rows(start, out, 0)
    with pytest.raises(ShapeError):
        rows(0, np.empty((len(a), len(a)), np.uint64).T[:, : len(a)], 0)
    with pytest.raises(TypeError):
        rows(0, np.zeros((1, len(a)), U128), 0)
    for role in (-1, 3):
        with pytest.raises(ValueError):
            rows(0, np.empty((1, len(a)), np.uint64), role)
        with pytest.raises(ValueError):
            kernel_module.rep3_matmul(role, a, a, a.T, a.T)
    with pytest.raises(ShapeError):
        kernel_module.rep3_matmul_rows(*[np.zeros((1, 2, 2), np.uint64)] * 4)
    with pytest.raises(ShapeError):
        kernel_module.from_planes(a, 300)
    with pytest.raises(ShapeError):
        kernel_module.unpack_words(np.zeros(3, np.uint8), 8, 4)
    with pytest.raises(ShapeError):
        kernel_module.block_select(a, a, 2, True)
    with pytest.raises(TypeError):
        kernel_module.mul(a, w)
    with pytest.raises(TypeError):
        kernel_module.add(a.astype(np.int64), a.astype(np.int64))
    with pytest.raises(ValueError):
        kernel_module.shl(a, 65)
    with pytest.raises(ValueError):
        kernel_module.prg(b"short", 0, 16)
    zero, far, back = (np.array([at]) for at in (0, 4, -1))
    at, flat = (zero, zero, zero), a[0]
    with pytest.raises(ValueError):
        kernel_module.gathered_matmul((flat,), at, (flat,), (zero, far, zero))
    with pytest.raises(ValueError):
        kernel_module.gathered_matmul((flat,), (far - 1, zero, back), (flat,), at)
    with pytest.raises(ShapeError):
        kernel_module.gathered_matmul((flat,), (zero, zero, np.arange(2)), (flat,), at)
    with pytest.raises(ShapeError):
        kernel_module.gathered_matmul((flat, flat), at, (flat,), at)
    with pytest.raises(ShapeError):
        kernel_module.gathered_matmul((a,), at, (flat,), at)
    with pytest.raises(TypeError):
        kernel_module.gathered_matmul((flat,), at, (w[0],), at)
    room = np.zeros((1, 3), np.uint64)
    for rows, step in ((far, 1), (back, 1), (np.array([2]), 1), (zero, -1), (zero, 3)):
        with pytest.raises(ValueError):
            kernel_module.gathered_matmul(
                (flat,), at, (flat,), (zero, zero, np.arange(2)), into=(room, rows, step)
            )
    for out, rows in ((room[:, ::2], zero), (room, np.arange(2)), (room.reshape(3, 1), zero)):
        with pytest.raises(ShapeError):
            kernel_module.gathered_matmul((flat,), at, (flat,), at, into=(out, rows, 1))
    with pytest.raises(TypeError):
        kernel_module.gathered_matmul((flat,), at, (flat,), at, into=(w[:1], zero, 1))


@needs_native
def test_memory_safety_does_not_hang_on_the_wrapper() -> None:
    zero, flat, none = np.zeros(1, np.int64), np.zeros(4, np.uint64), np.empty(0, np.uint64)
    for bad in (np.array([4]), np.array([-1]), np.array([2**62])):
        for place in range(6):
            tables = [bad if i == place else zero for i in range(6)]
            with pytest.raises(ValueError):
                _native.gathered_matmul_64(
                    np.zeros(1, np.uint64), 0, flat, none, flat, none, *tables, zero, 1, 64
                )
        with pytest.raises(ValueError):
            _native.gathered_matmul_64(
                np.zeros(4, np.uint64), 0, flat, none, flat, none, *[zero] * 6, bad, 1, 64
            )
    two = [*[zero] * 5, np.array([0, 1])]
    for step in (4, 2**63, 2**64 - 1):
        with pytest.raises(ValueError):
            _native.gathered_matmul_64(
                np.zeros(4, np.uint64), 0, flat, none, flat, none, *two, zero, step, 64
            )
    right = np.zeros(_native.right_bytes_64(2, 2, 64), np.uint8)
    with pytest.raises(ValueError):
        _native.pack_right_64(right[1:], flat, flat, 2, 2, False, 64)
    with pytest.raises(ValueError):
        _native.pack_right_64(right, flat[1:], flat, 2, 2, False, 64)
    for start, packed, whole in (
        (0, right[1:], 2),
        (1, right, 2),
        (0, right, 1),
        (0, right, 3),
        (2**64 - 1, right, 2),
    ):
        with pytest.raises(ValueError):
            _native.rep3_rows_64(np.zeros(4, np.uint64), 0, flat, flat, packed, start, whole, 2, 2, False, 64)
    with pytest.raises(ValueError):
        _native.gathered_matmul_64(np.zeros(2, np.uint64), 0, flat, none, flat, none, *two, zero[:0], 1, 64)
    with pytest.raises(ValueError):
        _native.gathered_matmul_64(np.zeros(1, np.uint64), 3, flat, none, flat, none, *[zero] * 7, 1, 64)


def test_the_table_names_every_kernel() -> None:
    by_calls = {"rep3_matmul_rows", "KeyStream", "expanded"}  # compared by tests of their own
    assert sorted(k.name for k in KERNELS) == sorted(set(reference.__all__) - by_calls)
    assert set(reference.__all__) <= set(kernels.__all__)
    if HAS_NATIVE:
        assert sorted(compiled.__all__) == sorted(reference.__all__)


def test_reference_can_be_asked_for() -> None:
    done = run_python("from tacit import kernels; print(kernels.info()['native'])", TACIT_KERNELS="reference")
    assert done.stdout.strip() == "False", done.stderr


def test_without_the_native_part_one_notice_is_given() -> None:
    code = """
import sys
sys.modules["tacit.kernels._native"] = None  # an import now fails
import numpy as np
from tacit import kernels
assert not kernels.info()["native"]
assert "native" in kernels.notice() and kernels.notice() == ""
a = np.arange(5, dtype=np.uint64)
assert (kernels.add(a, a) == 2 * a).all()
"""
    done = run_python(code)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "not built" in run_python(code, TACIT_KERNELS="native").stderr


@needs_native
def test_a_target_can_be_forced() -> None:
    code = "from tacit import kernels; print(kernels.info()['target'])"
    for name in TARGETS:
        assert run_python(code, TACIT_TARGET=name).stdout.strip() == name
    assert "TACIT_TARGET" in run_python(code, TACIT_TARGET="abacus").stderr
    with pytest.raises(UsageError):
        kernels.set_threads(0)


@needs_native
def test_threads_are_those_asked_for_or_as_many_as_cores() -> None:
    code = "from tacit import kernels; print(kernels.info()['threads'])"
    assert run_python(code, TACIT_THREADS="3").stdout.strip() == "3"
    for nonsense in ("0", "-1", "many", "1.5"):
        assert f"TACIT_THREADS is a number of threads from 1 to 1024, not {nonsense!r}" in (
            run_python(code, TACIT_THREADS=nonsense).stderr
        )
    if hasattr(os, "sched_setaffinity"):
        one = f"import os; os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}}); {code}"
        assert run_python(one).stdout.strip() == "1"


@needs_native
def test_reused_memory_is_not_cleared_again() -> None:
    code = """
import resource, numpy as np
from tacit import kernels
if not kernels.reuse_memory():
    raise SystemExit  # not glibc
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.full(10**6, 7, np.uint64)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
assert faults() < 1000, "every array was mapped anew: 20 of them have 39,000 pages"
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr


@needs_native
def test_a_mask_without_bytes_is_refused_not_left_out() -> None:
    """What is to be masked is never made without a mask, because that came out empty."""
    from tacit.kernels import compiled_rep3, compiled_rows

    x, none = np.arange(1, 9, dtype=np.uint64), np.empty(0, np.uint8)
    for masks in (
        Masks(none),
        Masks(None, none),
        Masks(None, None, (none, 3, False)),
        Masks(None, None, (none, 0, False)),
    ):
        with pytest.raises(ValueError):
            compiled_rep3.rep3_products(x, x, x, x, masks, 64)
        with pytest.raises(ValueError):
            compiled_rep3.add_masks(x.copy(), masks, 64)
    for out in (np.empty(512, np.uint64), np.empty(2 * 15, np.uint64)):
        with pytest.raises(ValueError):
            _native.block_table(out, np.ones(8, np.uint64), none, 8, 1, 4)
    for pack in (False, True):
        with pytest.raises(ValueError):
            compiled_rows.moved(x, None, np.arange(8, dtype=np.uint32), none, compiled_rows.ADD, 64, pack)
