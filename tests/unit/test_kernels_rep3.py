"""The fused steps of replicated sharing: native equals the NumPy reference, on every instruction set."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from targets import each_target, everywhere

from tacit import kernels
from tacit.algebra.ring import Ring
from tacit.errors import ShapeError
from tacit.kernels import reference_rep3
from tacit.kernels.shapes import Array, Cut, Made, Masks, Packed, StreamPart

HAS_NATIVE = importlib.util.find_spec("tacit.kernels._native") is not None
needs_native = pytest.mark.skipif(not HAS_NATIVE, reason="the native kernels are not built")
if HAS_NATIVE:
    from tacit.kernels import compiled, compiled_rep3, compiled_rows

RUNS = [0, 1, 63, 64, 65, 255, 256, 257, 1000]


class Draw:
    """Uniform arguments."""

    def __init__(self, *label: int) -> None:
        self.rng = np.random.default_rng(label)

    def words(self, *shape: int) -> Array:
        return self.rng.integers(0, 2**64, shape, dtype=np.uint64)

    def octets(self, n: int) -> Array:
        return self.rng.integers(0, 256, n, dtype=np.uint8)

    def ring(self, ring: Ring, *shape: int) -> Array:
        out = np.empty(shape, ring.dtype)
        for half in ("lo", "hi") if ring.wide else (...,):
            out[half] = self.words(*shape)
        return ring.reduce(out)


def arguments(draw: Draw, name: str, n: int, k: int, f: int) -> tuple[Any, ...]:
    """Return arguments of one kernel."""
    ring = Ring(k)
    lanes, packed, whole = -(-n // 64), (n * f + 7) // 8, (n * k + 7) // 8
    e = lambda *shape: draw.ring(ring, *(shape or (n,)))  # noqa: E731
    made: dict[str, Callable[[], tuple[Any, ...]]] = {
        "rep3_products": lambda: (*(e() for _ in range(4)), Masks(draw.octets(whole), draw.octets(whole)), k),
        "trunc_first": lambda: (e(), e(), e(), *(draw.octets(packed) for _ in range(3)), f & 1, f, k),
        "trunc_second": lambda: (draw.octets(packed), e(), draw.octets(packed), f, k),
        "trunc_third": lambda: (
            e(), draw.octets(packed), e(), draw.octets(packed), draw.octets(packed), f & 1, f, k,
        ),
        "select_first": lambda: (
            draw.words(lanes), draw.words(lanes), e(), e(), draw.octets(whole), draw.octets(whole), k,
        ),
        "select_second": lambda: (
            draw.octets(whole), draw.octets(whole), draw.words(lanes), e(), e(), e(), bool(f & 1), k,
        ),
        "select_trunc_first": lambda: (
            draw.words(lanes), draw.words(lanes), e(), e(), e(3, n), draw.octets(packed), draw.octets(packed), f, k,
        ),
        "select_trunc_second": lambda: (
            e(), e(), e(), draw.octets(packed), draw.octets(packed), draw.words(lanes), e(), e(), bool(f & 1), f, k,
        ),
        "bits_first": lambda: (draw.words(3, lanes), draw.words(3, lanes), e(3, n), k),
        "bits_second": lambda: (e(3, n), draw.words(3, lanes), e(3, n), bool(f & 1), k),
    }  # fmt: skip
    return made[name]()


def assert_same(expected: Any, got: Any) -> None:
    pairs = zip(expected, got, strict=True) if isinstance(expected, tuple) else [(expected, got)]
    for x, y in pairs:
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        assert x.tobytes() == y.tobytes()


STEPS = [
    "rep3_products", "trunc_first", "trunc_second", "trunc_third", "select_first", "select_second",
    "select_trunc_first", "select_trunc_second", "bits_first", "bits_second",
]  # fmt: skip


@needs_native
@pytest.mark.parametrize("name", STEPS)
def test_native_equals_reference_across_threads(name: str) -> None:
    """No thread may take another one's masks: enough elements for several pieces of work."""
    n = 2 * 64 * 256 + 77
    for k, f in ((64, 13), (100, 70), (23, 8)):
        given_to = arguments(Draw(n, k), name, n, k, f)
        assert_same(getattr(reference_rep3, name)(*given_to), getattr(compiled_rep3, name)(*given_to))


@needs_native
@pytest.mark.parametrize("name", STEPS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.one_of(st.sampled_from(RUNS), st.integers(0, 700)), st.integers(3, 128), st.data())
def test_native_equals_reference(name: str, n: int, k: int, data: st.DataObject) -> None:
    f = data.draw(
        st.one_of(st.sampled_from([v for v in (8, 16, 32) if v <= k - 2] or [1]), st.integers(1, k - 2))
    )
    given_to = arguments(Draw(n, k, f), name, n, k, f)
    expected = getattr(reference_rep3, name)(*given_to)
    for _ in each_target():
        assert_same(expected, getattr(compiled_rep3, name)(*given_to))


MASKED = (
    st.one_of(st.sampled_from(RUNS), st.integers(0, 700), st.just(2 * 64 * 256 + 77)),
    st.one_of(st.integers(3, 128), st.sampled_from([8, 16, 32, 64, 128])),
    st.sets(st.sampled_from(["plus", "minus", "moved", "cut", "t"])),
    st.data(),
)


def masked(draw: Draw, n: int, k: int, present: set[str], data: st.DataObject) -> tuple[Masks, Cut | None]:
    """Return those of the masks, and what is cut, that are asked for."""
    bits, to, shift = (data.draw(st.integers(1, k)) for _ in range(3))
    octets = {name: draw.octets((n * k + 7) // 8) for name in ("plus", "minus")}
    moved = Packed(draw.octets((n * bits + 7) // 8), bits, data.draw(st.booleans()))
    t = draw.ring(Ring(k), n) if "t" in present else None
    low, high, low_after, high_after = (int(c) for c in draw.words(4))
    constants = (high << 64 | low, high_after << 64 | low_after)
    masks = Masks(
        *(octets[name] if name in present else None for name in octets), moved if "moved" in present else None
    )
    return masks, Cut(to, t, *constants, shift - 1) if "cut" in present else None


def by_hand(ring: Ring, z: Array, masks: Masks, cut: Cut | None) -> Array:
    """Return what becomes of z, in the ring's own operations."""
    n = z.size
    if masks.plus is not None:
        z = ring.add(z, ring.unpack(masks.plus, (n,)))
    if masks.minus is not None:
        z = ring.sub(z, ring.unpack(masks.minus, (n,)))
    if masks.moved is not None:
        words = ring.unpack(masks.moved.octets, (n,), masks.moved.bits)
        z = (ring.sub if masks.moved.less else ring.add)(z, words)
    if cut is None:
        return z
    z = ring.add(ring.shr(ring.add(z, ring.constant(cut.add)), cut.shift), ring.constant(cut.constant))
    return ring.pack(z if cut.t is None else ring.sub(z, cut.t), cut.bits)


@needs_native
@settings(max_examples=80, deadline=None, derandomize=True)
@given(*MASKED)
def test_masks_are_added_in_place_or_the_sums_are_cut(
    n: int, k: int, present: set[str], data: st.DataObject
) -> None:
    draw, ring = Draw(n, k), Ring(k)
    masks, cut = masked(draw, n, k, present, data)
    z = draw.ring(ring, n)
    expected = by_hand(ring, z, masks, cut)
    for steps in everywhere(reference_rep3, compiled_rep3):
        beside = np.concatenate([z, z])
        into = beside[:n]
        got = steps.add_masks(into, masks, k, cut)
        assert_same(expected, got)
        assert got is into or cut is not None
        assert_same(z, beside[n:])
        assert cut is None or np.array_equal(z, into)


@needs_native
@settings(max_examples=80, deadline=None, derandomize=True)
@given(*MASKED)
def test_products_are_masked_and_cut(n: int, k: int, present: set[str], data: st.DataObject) -> None:
    draw, ring, rows = Draw(n, k), Ring(k), data.draw(st.integers(1, 3))
    masks, cut = masked(draw, n, k, present, data)
    x0, x1, y0, y1 = (draw.ring(ring, rows, n) for _ in range(4))
    each = ring.add(ring.mul(x0, ring.add(y0, y1)), ring.mul(x1, y0))
    expected = by_hand(ring, ring.sum(each, (0,)), masks, cut)
    for steps in everywhere(reference_rep3, compiled_rep3):
        assert_same(expected, steps.rep3_products(x0, x1, y0, y1, masks, k, summed=True, cut=cut))
        if rows == 1:
            flat = (x0[0], x1[0], y0[0], y1[0])
            assert_same(expected, steps.rep3_products(*flat, masks, k, cut=cut))


@needs_native
@pytest.mark.parametrize("k", [3, 8, 41, 64, 100, 128])
def test_words_that_are_taken_away_are_made_and_kept(k: int) -> None:
    stream, ring = kernels.KeyStream(bytes(range(16))), Ring(k)
    for n, block in ((0, 5), (1, 0), (257, 2**32 - 20), (2 * 64 * 256 + 77, 2**63)):
        draw = Draw(n, k)
        x, y, z = (draw.ring(ring, n) for _ in range(3))
        masks, bits = [draw.octets((n * k + 7) // 8) for _ in range(2)], draw.words(-(-n // 64))
        part = StreamPart(stream, block, n * ring.dtype.itemsize)
        to = max(k - 1, 1) if k <= 64 else k
        drawn = [Ring(b).reduce(kernels.expanded(part).view(ring.dtype).copy()) for b in (to, k)]
        for steps in everywhere(reference_rep3, compiled_rep3):
            for call, held in (
                (lambda t: steps.add_masks(x.copy(), Masks(), k, Cut(to, t, 3, 4, 1)), drawn[0]),  # noqa: B023
                (lambda t: steps.rep3_products(x, y, z, x, Masks(), k, cut=Cut(to, t)), drawn[0]),  # noqa: B023
                (lambda t: steps.select_second(*masks, bits, x, y, t, True, k), drawn[1]),  # noqa: B023
            ):
                kept = np.empty(n + 2, ring.dtype)
                assert_same(call(held), call(Made(kept[1:-1], part)))
                assert_same(kept[1:-1], held)
        for wrong in (Made(kept, part), Made(kept[1:-1], part._replace(size=part.size + 1))):
            with pytest.raises(ValueError, match="size"):
                compiled_rep3.select_second(*masks, bits, x, y, wrong, True, k)


@needs_native
@pytest.mark.parametrize("k", [3, 8, 41, 64, 100, 128])
def test_masks_of_a_key_stream_are_those_in_memory(k: int) -> None:
    stream, ring = kernels.KeyStream(bytes(range(16))), Ring(k)
    for n, block in ((1, 0), (257, 2**32 - 20), (2 * 64 * 256 + 77, 2**63)):
        draw, lanes = Draw(n, k), -(-n // 64)
        x, y, z, t = (draw.ring(ring, n) for _ in range(4))
        bits = [draw.words(lanes) for _ in range(2)]

        def mask(at: int, width: int) -> StreamPart:
            return StreamPart(stream, block + at, (n * width + 7) // 8)  # noqa: B023

        made = mask(0, k), mask(1000, k), Packed(mask(5000, 2), 2, True)
        held = *(kernels.expanded(m) for m in made[:2]), Packed(kernels.expanded(made[2].octets), 2, True)
        cut = Cut(min(k, 17), t, 3, 4, 1)
        calls: list[Callable[[Any, Any], Any]] = [
            lambda steps, m: steps.rep3_products(x, y, z, t, Masks(*m), k),  # noqa: B023
            lambda steps, m: steps.add_masks(x.copy(), Masks(m[0], None, m[2]), k, cut),  # noqa: B023
            lambda steps, m: steps.select_first(*bits, x, y, *m[:2], k),  # noqa: B023
            lambda steps, m: steps.select_second(*m[:2], bits[0], x, y, t, True, k),  # noqa: B023
        ]
        for steps in everywhere(reference_rep3, compiled_rep3):
            for call in calls if steps is compiled_rep3 or n < 1000 else ():
                assert_same(call(compiled_rep3, held), call(steps, made))


@needs_native
def test_masks_of_another_size_are_refused() -> None:
    z = np.zeros(70, np.uint64)
    wrong = [Masks(z[:69].view(np.uint8)), Masks(None, z[:69].view(np.uint8))]
    wrong += [
        Masks(StreamPart(kernels.KeyStream(bytes(16)), 0, 559)),
        Masks(None, StreamPart(kernels.KeyStream(bytes(16)), 0, 561)),
    ]
    wrong += [Masks(None, None, Packed(np.zeros(length, np.uint8), 16, False)) for length in (0, 139)]
    for masks in wrong:
        with pytest.raises(ValueError, match=r"size|masks"):
            compiled_rep3.add_masks(z, masks, 64)
        with pytest.raises(ValueError, match=r"size|masks"):
            compiled_rep3.rep3_products(z, z, z, z, masks, 64)
    for cut in (Cut(65), Cut(8, z[:69]), Cut(8, z, shift=64)):
        with pytest.raises(ValueError, match=r"size|width|shift"):
            compiled_rep3.add_masks(z, Masks(), 64, cut)
        with pytest.raises(ValueError, match=r"size|width|shift"):
            compiled_rep3.rep3_products(z, z, z, z, Masks(), 64, cut=cut)
    with pytest.raises(ShapeError):
        compiled_rep3.add_masks(z.reshape(7, 10), Masks(), 64)


@needs_native
def test_what_stands_for_no_array_is_refused_where_one_is_given() -> None:
    """Natively an empty tuple says that there is no mask: nobody else may say so."""
    z, none, bits = np.zeros(70, np.uint64), cast(Any, ()), np.zeros(2, np.uint64)
    packed = np.zeros(560, np.uint8)
    calls: list[Callable[[], object]] = [
        lambda: compiled_rep3.add_masks(z.copy(), Masks(none), 64),
        lambda: compiled_rep3.add_masks(z.copy(), Masks(None, none), 64),
        lambda: compiled_rep3.add_masks(z.copy(), Masks(None, None, Packed(none, 16, False)), 64),
        lambda: compiled_rep3.add_masks(z.copy(), Masks(), 64, Cut(64, none)),
        lambda: compiled_rep3.rep3_products(z, z, z, z, Masks(none), 64),
        lambda: compiled_rep3.select_first(bits, bits, z, z, none, packed, 64),
        lambda: compiled.block_table(np.zeros((3, 2), np.uint64), 3, none),
        lambda: compiled_rows.placed(packed, none, None, compiled_rows.ADD, 64, 70, False),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="tuple"):
            call()


@needs_native
@pytest.mark.parametrize("name", ["trunc_first", "trunc_third"])
@pytest.mark.parametrize("k", [17, 64, 100])
def test_truncations_write_into_parts_of_larger_arrays(name: str, k: int) -> None:
    given = arguments(Draw(k), name, 300, k, 8)
    for module in (reference_rep3, compiled_rep3):
        whole = [np.zeros(400, Ring(k).dtype) for _ in range(2)]
        into = (whole[0][64:364], whole[1][64:364])
        found = getattr(module, name)(*given, into)
        assert_same(getattr(module, name)(*given), found)
        for part, row in zip(into, whole, strict=True):
            assert np.shares_memory(found[-2 if row is whole[0] else -1], part)
            assert not row[:64].tobytes().strip(b"\0") and not row[364:].tobytes().strip(b"\0")


@needs_native
@pytest.mark.parametrize("lanes", [0, 1, 7, 1025])
def test_rows(lanes: int) -> None:
    draw = Draw(lanes)
    s0, s1, own, previous = (
        draw.words(9, lanes),
        draw.words(9, lanes),
        draw.words(4, lanes),
        draw.words(4, lanes),
    )
    a, b = np.array([0, 8, 3, 3]), np.array([8, 0, 3, 4])
    z = reference_rep3.and_rows(s0, s1, a, b, own, previous)
    assert_same(z, compiled_rep3.and_rows(s0, s1, a, b, own, previous))
    old, new = np.array([-1, 8, 2, 0, -1]), np.array([3, -1, 0, 1, 0])
    assert_same(reference_rep3.mix_rows(s0, z, old, new), compiled_rep3.mix_rows(s0, z, old, new))


@needs_native
@pytest.mark.parametrize("lanes", [0, 1, 31, 33, 700])
@pytest.mark.parametrize("lead", [True, False])
def test_sums_of_products_of_rows(lanes: int, lead: bool) -> None:
    draw = Draw(lanes, lead)
    s0, s1 = draw.words(5, lanes), draw.words(5, lanes)
    x, y = np.array([0, -2, 4, -4]), np.array([3, 1, -3, -2])
    sets = reference_rep3.lambda_rows(s0, s1, x, y, draw.words(4, lanes) * 0)
    known = s0 ^ s1
    assert_same(sets[2], known[4] & known[0] & known[3] & known[1])
    mask = draw.words(4, lanes)
    assert_same(sets ^ mask, compiled_rep3.lambda_rows(s0, s1, x, y, mask))
    begins = np.array([0, 3, 3, 7])
    of_w, of_share = np.array([-1, 2, -3, -1, 0, -5, 4]), np.array([-1, 4, -2, 3, -1, -5, 0])
    given = (s0, s1, sets, kernels.Terms(x, y, begins, of_w, of_share), mask[:3], lead)
    out = reference_rep3.sum_rows(*given)
    assert_same(out, compiled_rep3.sum_rows(*given))
    assert_same(out[1], mask[1])
    ones = np.uint64(2**64 - 1 if lead else 0)
    assert_same(out[0], mask[0] ^ ones ^ (s0[2] & s1[4]) ^ (s0[0] & s0[3] & s0[1] & sets[0]))


@pytest.mark.parametrize("module", ["reference", pytest.param("native", marks=needs_native)])
def test_products_that_are_not_made_yet_are_refused(module: str) -> None:
    from_ = reference_rep3 if module == "reference" else compiled_rep3
    s, two, none = np.zeros((3, 2), np.uint64), np.zeros((2, 2), np.uint64), np.zeros(0, np.int64)
    for bad in ([3, 0], [-1, 0], [-2, 0], [0, -3]):
        with pytest.raises(ValueError, match="row"):
            from_.lambda_rows(s, s, np.array(bad), np.array([0, 0]), two)
    for p, share in ((3, 0), (-2, 0), (0, 3), (0, -4)):
        with pytest.raises(ValueError, match="row"):
            terms = kernels.Terms(none, none, np.array([0, 0, 1]), np.array([p]), np.array([share]))
            from_.sum_rows(s, s, two, terms, two, True)
    for begins in ([0, 1], [1, 1, 1], [0, 2, 1], [0, 0, 2]):
        with pytest.raises(ValueError, match=r"terms|bytes|size"):
            terms = kernels.Terms(none, none, np.array(begins), np.array([0]), np.array([0]))
            from_.sum_rows(s, s, two, terms, two, True)


@pytest.mark.parametrize("rows", [[9], [-1]])
def test_rows_that_are_not_there_are_refused(rows: list[int]) -> None:
    s, one = np.zeros((9, 2), np.uint64), np.zeros((1, 2), np.uint64)
    at = np.array(rows)
    with pytest.raises(ValueError, match="row"):
        kernels.and_rows(s, s, at, np.array([0]), one, one)
    with pytest.raises(ValueError, match="row"):
        kernels.mix_rows(s, one, at, np.array([-1]))


def test_shifts_that_do_not_fit_are_refused() -> None:
    x = np.zeros(4, np.uint64)
    for f, k in ((0, 64), (63, 64), (1, 2), (1, 65)):
        with pytest.raises(ValueError, match="shift"):
            kernels.trunc_second(
                np.zeros((4 * f + 7) // 8, np.uint8), x, np.zeros((4 * f + 7) // 8, np.uint8), f, k
            )
