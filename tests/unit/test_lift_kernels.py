"""The native steps from additive parts to shares equal the NumPy reference, and both do what the lift needs."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tacit import kernels
from tacit.algebra.ring import Ring, ring_of
from tacit.core.factors import lifted_bits
from tacit.kernels import reference_lift as ref
from tacit.kernels.reference import pack_words
from tacit.protocols.rep3.lift import Lift, lift_of

Array = npt.NDArray[Any]
HAS_NATIVE = importlib.util.find_spec("tacit.kernels._native") is not None
if HAS_NATIVE:
    from tacit.kernels import compiled_waves as native

SIZES = (0, 1, 7, 8, 63, 64, 65, 511, 512, 513, 20_000)
LIFTS = [
    (64, 16, 64),
    (63, 33, 64),
    (34, 10, 64),
    (20, 0, 21),
    (8, 3, 63),
    (58, 30, 45),
    (2, 0, 64),
    (64, 1, 64),
    (41, 16, 25),
    (64, 16, 40),
    (20, 8, 9),
    (30, 0, 30),
    (128, 44, 128),
    (104, 51, 128),
    (128, 78, 128),
    (64, 0, 128),
    (24, 4, 128),
    (100, 40, 64),
    (65, 1, 65),
    (98, 44, 54),
    (128, 44, 84),
    (110, 40, 70),
]
"""Widths, shifts, and rings; in those that leave k <= w - f bits the wrap does not count."""
EMPTY = np.empty(0, np.uint8)


def words(rng: np.random.Generator, n: int, bits: int) -> Array:
    """Return n words that hold elements of `bits` bits; what lies above these is arbitrary up to 64 bits."""
    if bits <= 64:
        return rng.integers(0, 2**64, n, dtype=np.uint64)
    return Ring(bits).reduce(
        rng.integers(0, 2**64, (n, 2), dtype=np.uint64).view(Ring(bits).dtype).reshape(n)
    )


def whole(rng: np.random.Generator, bits: int) -> int:
    """Return a number of up to 64 bits or, for a wider ring, 128."""
    return int.from_bytes(rng.bytes(16 if bits > 64 else 8), "little")


def packed(rng: np.random.Generator, n: int, bits: int) -> Array:
    """Return n packed elements."""
    return pack_words(words(rng, n, bits), bits)


@pytest.mark.parametrize(("w", "f", "k"), LIFTS)
def test_native_lifts_equal_the_reference(target: str, w: int, f: int, k: int) -> None:
    bits = max(0, k - w + f)
    for n in SIZES:
        rng = np.random.default_rng([5, n, w])
        m, t = words(rng, n, w), words(rng, n, k)
        alpha, beta, hat = (packed(rng, n, 1) if bits else EMPTY for _ in range(3))
        gamma, add, after = packed(rng, n, bits) if bits else EMPTY, whole(rng, w), whole(rng, max(w, k))
        if bits:
            product = (alpha, beta, gamma, bits, n)
            assert np.array_equal(native.lift_product(*product), ref.lift_product(*product))
            assert np.array_equal(native.lift_bit(m, alpha, add, w), ref.lift_bit(m, alpha, add, w))
        for lead in (True, False):
            part = (m, hat, beta, alpha, gamma, Ring(k).low(t), add, after, w, f, lead, k)
            assert np.array_equal(native.lift_part(*part), ref.lift_part(*part)), f"{n} {lead}"


@pytest.mark.parametrize("width", [1, 8, 44, 57, 58, 64])
@pytest.mark.parametrize("aligned", [True, False])
def test_native_sums_of_bits_equal_the_reference(target: str, width: int, aligned: bool) -> None:
    for n in SIZES:
        rng, count = np.random.default_rng([6, n, width]), 5
        planes = rng.integers(0, 2**64, (count, -(-n // 64)), dtype=np.uint64)
        stride = -(-n * width // 8) * 8 if aligned else n * width
        rows = rng.integers(0, 256, -(-count * stride // 8), dtype=np.uint8)
        left = (planes, rows, stride, width, n)
        assert np.array_equal(native.bits_left(*left), ref.bits_left(*left))
        for outs in (1, 3):
            weights = rng.integers(0, 2**64, (outs, count), dtype=np.uint64)
            masks = rng.integers(0, 2**64, (outs, n), dtype=np.uint64)
            for lead in (True, False):
                right = (planes, rows, stride, weights, masks, lead, width)
                assert np.array_equal(native.bits_right(*right), ref.bits_right(*right)), f"{n} {outs} {lead}"


@pytest.mark.parametrize(("w", "f", "k"), [*LIFTS, (4, 1, 8), (5, 0, 6)])
def test_both_parts_add_up_to_the_shifted_sum(w: int, f: int, k: int) -> None:
    """Of every split of sums in (−2^(w−2), 2^(w−2)): floor(z / 2^f) or, if that is not exact, one more."""
    rng, n, ring = np.random.default_rng([7, w]), 3000, Ring(k)
    quarter = max(1 << w >> 2, 1)
    z = np.array([whole(rng, w) % (2 * quarter - 1) + 1 - quarter for _ in range(n)], object)
    z[:3] = [1 - quarter, 0, quarter - 1]
    m2, source = words(rng, n, w), Ring(128 if w > 64 else 64)
    m1 = source.sub(source.encode_ints(z), m2)
    how, bits = Lift(w, f, "", k), max(0, k - w + f)
    assert bits == how.bits == lifted_bits(k, w, f)
    add, constant, t = how.add, how.after, ring.zeros((n,))
    alpha = beta = gamma = rest = one = two = EMPTY
    if bits:
        alpha, beta, gamma = packed(rng, n, 1), packed(rng, n, 1), packed(rng, n, bits)
        rest = ref.lift_product(alpha, beta, gamma, bits, n)
        one, two = ref.lift_bit(m1, alpha, add, w), ref.lift_bit(m2, beta, 0, w)
    first = ref.lift_part(m1, one, two, alpha, rest, t, add, constant, w, f, True, k)
    second = ref.lift_part(m2, two, one, beta, gamma, t, 0, 0, w, f, False, k)
    total = ring.add(ring.unpack(first, (n,)), ring.unpack(second, (n,)))
    # Where the wrap does not count, what is shifted counts mod 2^k alone.
    error = ring.to_ints(ring.sub(total, ring.encode_ints(z >> f)))
    if not bits:
        cut = kernels.Cut(how.to, None, how.add, how.after, how.shift)
        led = ring.unpack(kernels.add_masks(m1.copy(), kernels.Masks(), w, cut), (n,))
        other = ring.zeros((n,))
        how.shifted(ring, m2, other)
        assert np.array_equal(ring.add(led, other), total), "as parties compute it that have nothing to mask"
    assert np.all((error == 0) | ((error == 1) & (z % (1 << f) != 0)))


@pytest.mark.skipif(not HAS_NATIVE, reason="the native kernels are not built")
def test_buffers_of_another_size_are_refused() -> None:
    nine, bits = np.zeros(9, np.uint64), np.zeros(2, np.uint8)
    with pytest.raises(ValueError, match="size"):
        native.lift_bit(nine, bits[:1], 0, 5)
    with pytest.raises(ValueError, match="size"):
        native.lift_product(bits, bits, bits, 7, 9)
    with pytest.raises(ValueError, match="no such lift"):
        native.lift_part(nine, bits, bits, bits, bits, nine, 0, 0, 64, 64, True, 64)
    with pytest.raises(ValueError, match="size"):
        native.lift_part(nine, bits, bits, bits, bits, nine, 0, 0, 64, 0, True, 65)
    with pytest.raises(ValueError, match="size"):
        native.bits_left(nine.reshape(9, 1), bits, 20, 20, 1)


def test_what_is_kept_of_a_lift_follows_from_all_that_it_depends_on() -> None:
    some = [
        (w, f, label, k)
        for w in (8, 40, 64, 90)
        for f in (0, 3)
        for label in ("a.b", "c")
        for k in (16, 61, 64)
    ]
    for each in (*some, *reversed(some)):
        assert lift_of(*each) is lift_of(*each) and lift_of(*each) == Lift(*each)
    assert len({lift_of(*each) for each in some}) == len(some)
    for width in range(1, 129):
        assert ring_of(width) == Ring(width) and ring_of(width).dtype == Ring(width).dtype
        assert ring_of(width).keep == Ring(width).keep and ring_of(width).wide == (width > 64)
