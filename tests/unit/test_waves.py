"""The native sums of sines and powers equal the NumPy reference bit for bit, and both are near the exact values."""

from __future__ import annotations

import hashlib
import importlib.util
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tacit.gadgets import smooth
from tacit.gadgets import waves as series
from tacit.kernels import KeyStream, Scales, StreamPart, reference
from tacit.kernels import reference_lift as lift_ref
from tacit.kernels import reference_waves as ref

Array = npt.NDArray[Any]
HAS_NATIVE = importlib.util.find_spec("tacit.kernels._native") is not None
if HAS_NATIVE:
    from tacit.kernels import compiled_waves as native
    from tacit.kernels.compiled import prg

SIZES = (0, 1, 7, 8, 511, 512, 513, 20_000)
WIDTHS = (1, 8, 41, 57, 58, 63, 64)


def drawn(n: int, rows: int, width: int, aligned: bool, seed: int) -> tuple[Array, Array, int]:
    """Return operands with the edges first, and packed rows with their distance in bits."""
    rng = np.random.default_rng([seed, n, width])
    x = rng.integers(0, 2**64, n, dtype=np.uint64)
    edges = np.array([0, 1, 2**64 - 1, 2**63, 2**61, 2**61 - 1, 3 << 61, 2**62], np.uint64)
    x[: min(n, 8)] = edges[:n]
    stride = -(-n * width // 8) * 8 if aligned else n * width
    return x, rng.integers(0, 256, -(-rows * stride // 8), dtype=np.uint8), stride


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("width", WIDTHS)
def test_native_waves_equal_the_reference(target: str, width: int, aligned: bool) -> None:
    for n in SIZES:
        x, rows, stride = drawn(n, 6, width, aligned, 1)
        a, b = np.array([0.3, -7.5, 1e5]) * 2.0**9, np.array([1.25, 0.0, -0.01]) * 2.0**20
        for step in (1, 2):
            left = (x, rows, stride, 123456789123, step, 2.0**28, 3, width)
            assert np.array_equal(native.waves_left(*left), ref.waves_left(*left)), f"{n} {step}"
            for cosines in (a, np.empty(0)):
                right = (x, rows, stride, 0xFEDCBA9876543210, step, cosines, b, width)
                assert np.array_equal(native.waves_right(*right), ref.waves_right(*right)), f"{n} {step}"


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("width", WIDTHS)
def test_native_powers_equal_the_reference(target: str, width: int, aligned: bool) -> None:
    for n in SIZES:
        for bits, step in ((1, 1), (3, 4), (4, 37)):
            x, rows, stride = drawn(n, 1 << bits, width, aligned, 2)
            scales = Scales(bits, step, -3 * step, 61 - step)
            left = (x, rows, stride, 987654321987, 1 << 60, step, scales, width)
            assert np.array_equal(native.powers_left(*left), ref.powers_left(*left)), f"{n} {bits}"
            right = (x, rows, stride, 0xABCDEF0123456789, step, 2.0**11, bits, width)
            assert np.array_equal(native.powers_right(*right), ref.powers_right(*right)), f"{n} {bits}"


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("width", WIDTHS)
def test_rows_of_a_key_stream_are_those_in_memory(target: str, width: int, aligned: bool) -> None:
    key = bytes(range(16))
    a, b = np.array([0.3, -7.5]) * 2.0**9, np.array([1.25, -0.01]) * 2.0**20
    scales = Scales(3, 4, -12, 57)
    for n, block in ((1, 0), (7, 2**63 - 9), (513, 2**32 - 40), (5000, 3 << 40)):
        x, rows, stride = drawn(n, 8, width, aligned, 3)
        made = StreamPart(KeyStream(key), block, rows.size)
        held = prg(key, block, rows.size)
        planes = np.random.default_rng(n).integers(0, 2**64, (8, -(-n // 64)), dtype=np.uint64)
        weights, t = np.arange(8, dtype=np.uint64).reshape(1, 8), x.reshape(1, n)
        for kernel, before, after in (
            ("waves_left", (x,), (123456789123, 2, 2.0**28, 2, width)),
            ("waves_right", (x,), (0xFEDCBA9876543210, 2, a, b, width)),
            ("powers_left", (x,), (987654321987, 1 << 60, 4, scales, width)),
            ("powers_right", (x,), (0xABCDEF0123456789, 4, 2.0**11, 3, width)),
            ("bits_left", (planes,), (width, n)),
            ("bits_right", (planes,), (weights, t, True, width)),
        ):
            expected = getattr(native, kernel)(*before, held, stride, *after)
            assert np.array_equal(getattr(native, kernel)(*before, made, stride, *after), expected), kernel
            if n < 100:
                of = lift_ref if kernel.startswith("bits") else ref
                assert np.array_equal(getattr(of, kernel)(*before, made, stride, *after), expected), kernel


def test_a_key_stream_does_not_show_its_key() -> None:
    for stream in (KeyStream(b"0123456789abcdef"), reference.KeyStream(b"0123456789abcdef")):
        assert "0123456789abcdef" not in repr(StreamPart(stream, 1, 48))


def test_sines_and_powers_are_near_the_exact_ones() -> None:
    x = np.random.default_rng(3).integers(0, 2**64, 200, dtype=np.uint64)
    x[:5] = [0, 2**61, 2**61 + 1, 2**62, 2**64 - 1]
    cos, sin = ref.turn(x)
    values = ref.power(x, 5)
    with localcontext(prec=50):
        pi = Decimal("3.14159265358979323846264338327950288419716939937510")
        for i, v in enumerate(x):
            angle = 2 * pi * int(v) / 2**64
            term, c, s = Decimal(1), Decimal(0), Decimal(0)
            for n in range(80):
                c, s = (c + (-1) ** (n // 2) * term, s) if n % 2 == 0 else (c, s + (-1) ** (n // 2) * term)
                term *= angle / (n + 1)
            assert abs(Decimal(float(cos[i])) - c) < Decimal(2) ** -51
            assert abs(Decimal(float(sin[i])) - s) < Decimal(2) ** -51
            exact = Decimal(2) ** (Decimal(5 * int(v)) / 2**64)
            assert abs(Decimal(float(values[i])) / exact - 1) < Decimal(2) ** -50


def test_rows_at_any_bit() -> None:
    words = np.arange(77, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for width in WIDTHS:
        packed = reference.pack_words(np.concatenate([words, words[::-1]]), width)
        kept = words & np.uint64((1 << width) - 1)
        assert np.array_equal(ref.row(packed, 0, 77 * width, width, 77), kept)
        assert np.array_equal(ref.row(packed, 1, 77 * width, width, 77), kept[::-1])


@pytest.mark.skipif(not HAS_NATIVE, reason="the native kernels are not built")
def test_buffers_of_another_size_are_refused() -> None:
    x, rows = np.zeros(9, np.uint64), np.zeros(40, np.uint8)
    with pytest.raises(ValueError, match="wrong size"):
        native.waves_left(x, rows, 9 * 41, 1, 1, 1.0, 1, 41)
    with pytest.raises(ValueError, match="wrong size"):
        native.powers_right(x, rows, 8 * 41, 1, 1, 1.0, 1, 41)
    with pytest.raises(ValueError, match="powers"):
        native.powers_right(x, rows, 9 * 8, 1, 121, 1.0, 1, 8)
    with pytest.raises(ValueError, match="wrong size"):
        native.waves_left(x, StreamPart(KeyStream(bytes(16)), 0, 92), 9 * 41, 1, 1, 1.0, 1, 41)


def test_coefficients_are_summed_one_after_the_other() -> None:
    """`numpy.sum` takes another order with other instructions, so parties would find other coefficients."""
    values = np.random.default_rng(4).standard_normal((5, 322)) * 10.0 ** np.arange(5)[:, None]
    for row, found in zip(values, series._added(values), strict=True):
        known = 0.0
        for v in row.tolist():
            known += v
        assert found == known


def test_coefficients_are_the_same_on_every_machine() -> None:
    found = hashlib.sha256()
    for fn, lo, odd in (
        (Decimal.ln, 0.5, False),
        (Decimal.sqrt, 0.25, False),
        (smooth.ODD["tanh"].fn, -1.0, True),
    ):
        made = series.fit(fn, lo, 1.0, 1.6 if not odd else 4.5, 2.0**-20, odd)
        found.update(np.array([made.constant, *made.cosines, *made.sines]).tobytes())
    assert found.hexdigest()[:16] == "2cd8fbafab9f4fee"


@pytest.mark.parametrize("period", [1.0, 1.6, 2.0])
def test_a_fit_is_as_near_as_it_says_between_its_nodes(period: float) -> None:
    for bits in (12, 20, 27):
        found = series.fit(Decimal.ln, 0.5, 1.0, period, 2.0**-bits)
        x = np.linspace(0.5, 1, 3001)
        turns = 2 * np.pi * np.outer(x, 1 + np.arange(found.harmonics)) / period
        near = found.constant + np.cos(turns) @ found.cosines + np.sin(turns) @ found.sines
        assert float(np.max(np.abs(near - np.log(x)))) < 1.05 * 2.0**-bits
        assert found.weight < 1.5 * series.LARGEST
