"""Programs on whole numbers: shifts by public amounts, masks, unsigned types; on shares beside JAX with 64 bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax_shared import same, shared
from window_cases import record

from tacit.array import functions as fn
from tacit.array import order
from tacit.array.interpret import Trace
from tacit.errors import NotRealised, RangeError, UsageError
from tacit.frontends.jax import trace_jax
from tacit.frontends.jax_refused import INSTEAD

BYTES, SIGNED = np.array([0, 5, 200, 255, 77]), np.array([-100, -7, 0, 3, 100])
PLACES, LARGE = np.array([0, 1, 3, 7, 2]), BYTES * 2**24 + 5


def summed(turn: Callable[[Any, Any], Any], x: Any, turns: int = 8) -> Any:
    """Add up what each turn of a loop gives."""
    return lax.fori_loop(0, turns, lambda i, c: c + turn(x, i), jnp.zeros_like(x))


def scanned(x: Any, places: Any) -> Any:
    """Shift both ways by what a loop walks along."""
    return lax.scan(lambda c, p: (c + (x >> p), x << p), jnp.zeros_like(x), places)


SHIFTS: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "a bit of each turn": (lambda x: summed(lambda x, i: (x >> i) & 1, x), [BYTES]),
    "negative numbers": (lambda x: summed(lambda x, i: x >> i, x), [SIGNED]),
    "logical": (lambda x: summed(lambda x, i: lax.shift_right_logical(x, jnp.full(x.shape, i)), x), [BYTES]),
    "to the left": (lambda x: summed(lambda x, i: x << i, x), [SIGNED]),
    "no room to multiply first": (lambda x: summed(lambda x, i: (x >> i) & 1, x, 32), [LARGE]),
    "large and negative": (lambda x: summed(lambda x, i: x >> (i + 3), x, 20), [SIGNED * 2**24 + 5]),
    "numbers walked along": (lambda x: scanned(x, jnp.arange(8)), [BYTES]),
    "arrays walked along": (lambda x: scanned(x, jnp.arange(10).reshape(2, 5)), [BYTES]),
    "more places than elements": (lambda x: scanned(x[0], jnp.arange(3))[1] + x[1], [BYTES]),
    "loops within loops": (
        lambda x: summed(
            lambda x, i: summed(lambda x, j: (x >> i) + (x >> (i + j)) + ((1 << i) & x), x, 3), x
        ),
        [BYTES],
    ),
    "vmap": (lambda x: jax.vmap(lambda p: summed(lambda x, i: x >> (p + i), x, 3))(jnp.arange(3)), [SIGNED]),
    "what is advised to the left": (lambda x, k: x * 2**k, [SIGNED, PLACES]),
    "what is advised to the right": (
        lambda x, k: sum(jnp.where(k == i, x >> i, 0) for i in range(8)),
        [SIGNED, PLACES],
    ),
}


@pytest.mark.parametrize("name", SHIFTS)
def test_shifts_by_what_is_public(name: str) -> None:
    same(*SHIFTS[name])


JOINED: dict[str, Callable[..., Any]] = {
    "append": lambda k: jnp.append(k, 0.5),
    "concatenate": lambda k: jnp.concatenate([k.astype(float), jnp.array([0.5, -0.75])]),
    "hstack": lambda k: jnp.hstack([jnp.array([-0.25]), k]),
    "pad": lambda k: jnp.pad(k.astype(float), 1, constant_values=0.5),
    "median": lambda k: jnp.median(jnp.append(k[:4], 0.5)),
    "sorted search": lambda k: jnp.searchsorted(jnp.array([-2.8125, -1.875, 0.5]), k, method="sort"),
    "whole floats": lambda k: jnp.append(k, 2.0),
}


@pytest.mark.parametrize("name", JOINED)
def test_whole_numbers_are_joined_with_fractions(name: str) -> None:
    """A fraction beside whole numbers lost what it had behind the point."""
    same(JOINED[name], [np.array([-2, 0, 3, 7, -3])])


def test_shifts_by_secrets_are_refused() -> None:
    with pytest.raises(NotRealised, match=r"secret number of places.*write x \* 2\*\*k"):
        same(lambda x, k: x << k, [SIGNED, PLACES])
    with pytest.raises(NotRealised, match=r"secret number of places.*jnp.where\(k == i, x >> i, 0\)"):
        same(lambda x, k: x >> k, [SIGNED, PLACES])


@pytest.mark.parametrize(
    "turn",
    [
        lambda c: (c << 1) & 0xFF,
        lambda c: ((c ^ (c >> 1)) & 0xFFFF) ^ ((c << 1) & 0xFF),
        lambda c: ((c << 1) & 0xFFFF) ^ jnp.where((c >> 15) & 1 == 1, 0x1021, 0),
    ],
    ids=["shifted", "mixed", "a CRC"],
)
def test_words_that_grow_in_loops_settle(turn: Callable[[Any], Any]) -> None:
    """From a bit to all that the mask leaves, one at a time."""
    same(lambda x: lax.fori_loop(0, 20, lambda i, c: turn(c), x), [np.array([0, 1, 1, 0, 1])])


def mixed(turn: Callable[[Any, Any], Any], start: int, x: Any) -> Any:
    """Mix whole numbers into one, one after the other."""
    return lax.scan(lambda c, v: (turn(c, v), None), jnp.full((), start, x.dtype), x)[0]


def shifted_apart(c: Any, v: Any) -> Any:
    """Mix as a generator of 16 bits does."""
    c = c ^ (c << 7) & 0xFFFF
    return c ^ c >> 9 ^ v


MASKS: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "a narrow type afterwards": (lambda a, b: ((a + b) & 255).astype(jnp.uint8), [BYTES, BYTES]),
    "doubled": (lambda x: lax.fori_loop(0, 9, lambda i, c: (c * 2) & 255, x), [BYTES]),
    "a polynomial hash": (lambda x: mixed(lambda c, v: (31 * c + v) & 0xFFFF, 0, x), [BYTES]),
    "djb2": (lambda x: mixed(lambda c, v: (33 * c + v) & 0xFFFFFFFF, 5381, x), [BYTES]),
    "xorshift": (lambda x: mixed(shifted_apart, 1, x), [BYTES]),
    "feedback": (lambda x: lax.fori_loop(0, 6, lambda i, c: c >> 1 ^ (c & 1) * 0xB8, x), [BYTES]),
    "bits in between, of negative numbers": (lambda x: (x & 0b1010, x & 1, x & 96), [SIGNED]),
    "negative masks": (lambda x, y: (x & -4, y & -4, x & -1), [BYTES, SIGNED]),
    "a mask of each": (lambda x: x & jnp.array([0, 1, 255, 7, 6]), [SIGNED]),
    "nothing": (lambda x: (x & 0, x[:0] & 3, x[0] & jnp.array([], int)), [SIGNED]),
    "two secrets": (lambda x, y: (x & y, y & x, x | y, x ^ y), [BYTES, SIGNED]),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks(name: str) -> None:
    same(*MASKS[name])


@pytest.mark.parametrize(
    ("function", "ends"),
    [
        (lambda x, y: x & 255, (0, 255)),
        (lambda x, y: x & 0b1010, (0, 10)),
        (lambda x, y: y & 255, (0, 20)),
        (lambda x, y: x & y, (0, 20)),
        (lambda x, y: y & -2, (0, 20)),
        (lambda x, y: y | 3, (0, 31)),
        (lambda x, y: y ^ 31, (0, 31)),
    ],
)
def test_ranges_of_bits(function: Callable[..., Any], ends: tuple[int, int]) -> None:
    trace = Trace()
    x, y = trace.input("x", "alice", (2,), "int", -5000, 5000), trace.input("y", "bob", (2,), "int", 0, 20)
    found = trace_jax(function, [x, y])
    assert (found.aval.lo, found.aval.hi) == ends


def test_bits_of_what_is_too_large_say_so() -> None:
    x = Trace().input("x", "alice", (2,), "int", 0, 2**62)
    with pytest.raises(
        RangeError, match=r"bitwise_or of a value in .* keep its low bits where it is smaller"
    ):
        trace_jax(lambda x: x | 255, [x])
    found = trace_jax(lambda x: x & 255, [x])
    assert (found.aval.lo, found.aval.hi) == (0, 255)


UNSIGNED = [np.uint8, np.uint16, np.uint32, np.uint64]
LEAVING: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, top: x + top // 2 + top // 2,
    "sub": lambda x, top: x - 1,
    "mul": lambda x, top: x * (top // 16),
    "neg": lambda x, top: -x,
}


@pytest.mark.parametrize("dtype", UNSIGNED)
@pytest.mark.parametrize("name", LEAVING)
def test_what_may_leave_an_unsigned_type_is_refused(name: str, dtype: Any) -> None:
    x, top = Trace().input("x", "alice", (2,), "int", 0, 100), dtype(np.iinfo(dtype).max)
    said = (
        rf"test_jax_whole.py:\d+: jax primitive '{name}' may leave {dtype.__name__}, .*convert to int64 first"
    )
    with pytest.raises(RangeError, match=said):
        trace_jax(lambda x: LEAVING[name](x.astype(dtype), top), [x])


MULTIPLIER = 2654435761
KEPT: dict[str, Callable[[Any], Any]] = {
    "within the type": lambda x: (x.astype(np.uint32) * np.uint32(2**24) + np.uint32(7)) >> 24,
    "what is advised": lambda x: ((x * MULTIPLIER) & 0xFFFFFFFF) >> 24,
    "JAX's own": lambda x: (x.astype(np.uint32) * np.uint32(2**24)).sum(),
    **{f"not {d.__name__}": lambda x, d=d: ~x.astype(d) for d in UNSIGNED[:3]},
}


@pytest.mark.parametrize("name", KEPT)
def test_what_stays_in_an_unsigned_type(name: str) -> None:
    same(KEPT[name], [BYTES])


def test_not_of_64_bits_without_a_sign_is_refused() -> None:
    with pytest.raises(RangeError, match="'not' may leave uint64"):
        same(lambda x: ~x.astype(np.uint64), [BYTES])


def test_signed_types_of_32_and_64_bits_never_wrap() -> None:
    x = np.array([2**30, 7])
    got = shared(lambda x: (x.astype(np.int32) * np.int32(8), x * 2**40), [x])
    assert np.array_equal(got[0], x * 8)
    assert [int(v) for v in got[1]] == [int(v) * 2**40 for v in x]


def added(x: Any) -> Any:
    """Add up a column from a start of 32 bits."""
    return lax.scan(lambda c, v: (c + v, None), jnp.int32(0), x)[0]


NARROWER: dict[str, tuple[Callable[[Any], Any], str]] = {
    "scan": (added, "int32.*int64"),
    "loop": (lambda x: lax.fori_loop(0, 4, lambda i, c: c + x[i], jnp.int32(0)), "int32.*int64"),
    "branches": (lambda x: lax.cond(x[0] > 0, lambda: x[0], lambda: jnp.int32(0)), "int64.*int32"),
    "select": (
        lambda x: lax.select(x > 0, jnp.zeros(4, jnp.int32), x),
        "lax.select requires .* int64, int32",
    ),
    "add": (lambda x: lax.add(x, jnp.zeros(4, jnp.int32)), "lax.add requires .* int64, int32"),
    "fractions": (
        lambda x: lax.max(x * 0.5, jnp.zeros(4, jnp.float32)),
        "lax.max requires .* float64, float32",
    ),
}


@pytest.mark.parametrize("name", NARROWER)
def test_types_of_32_bits_beside_columns_are_told(name: str) -> None:
    function, said = NARROWER[name]
    x = Trace().input("x", "alice", (4,), "int", -100, 100)
    with pytest.raises(
        UsageError, match=rf"(?s)^test_jax_whole.py:\d+: .*{said}.*columns are int64.*x\.dtype"
    ):
        trace_jax(function, [x])


def test_what_is_advised_beside_columns_works() -> None:
    same(lambda x: lax.scan(lambda c, v: (c + v, None), jnp.zeros((), x.dtype), x)[0], [SIGNED])
    same(lambda x: lax.max(x, jnp.arange(5, dtype=jnp.int32).astype(x.dtype)), [SIGNED])


def test_other_type_errors_are_the_functions_own() -> None:
    x = Trace().input("x", "alice", (4,), "int", -100, 100)
    with pytest.raises(TypeError, match="unsupported operand"):
        trace_jax(lambda x: x + "a", [x])


@pytest.mark.parametrize("draw", [jax.random.randint, jax.random.uniform])
def test_draws_from_a_fixed_key_are_those_of_their_type(draw: Callable[..., Any]) -> None:
    ends = {"minval": 0, "maxval": 1000}
    dtype = jnp.int32 if draw is jax.random.randint else jnp.float32
    drawn = np.asarray(draw(jax.random.key(3), (5,), dtype=dtype, **ends))
    got = shared(lambda x: x * 0 + draw(jax.random.key(3), (5,), dtype=dtype, **ends), [SIGNED])[0]
    assert np.allclose(got.astype(float), drawn, atol=2.0**-10)


TABLE = np.array([[5, 200, 7, 255, 6], [13, 0, 3, 17, 96], [1, 2, 64, 31, 99]])
TURNED = TABLE - 100
REDUCED: dict[str, Callable[..., Any]] = {"and": lax.reduce_and, "or": lax.reduce_or, "xor": lax.reduce_xor}


@pytest.mark.parametrize("name", REDUCED)
def test_bits_of_all_elements(name: str) -> None:
    reduce = REDUCED[name]
    same(lambda x: (reduce(x, (0,)), reduce(x, (1,)), reduce(x, (0, 1)), reduce(x[:, :0], (1,))), [TABLE])
    same(lambda x: reduce(x, (1,)), [TURNED])
    same(lambda x: (reduce(x > 30, (0,)), reduce(x > 30, (0, 1)), reduce(x[:, :0] > 0, (1,))), [TABLE])


def test_a_divisor_of_both_signs_is_refused_with_what_works() -> None:
    said = r"may be zero by what is known of it \(a range with both signs.*maximum\(abs\(y\), 1\), with s = where"
    y = Trace().input("y", "alice", (4,), "int", -100, 100)
    for function in (lambda y: 7 // jnp.where(y == 0, 1, y), lambda y: 1 / jnp.where(y == 0, 1, y)):
        with pytest.raises(RangeError, match=said):
            trace_jax(function, [y])

    def apart(x: Any, y: Any) -> Any:
        s = jnp.where(y < 0, -1, 1)
        return (x * s) // jnp.maximum(jnp.abs(y), 1), (x * s) / jnp.maximum(jnp.abs(y), 1)

    x, y = np.array([100, -7, 7, 0, -100]), np.array([-100, 2, -2, 3, 7])
    got = shared(apart, [x, y])
    assert np.array_equal(got[0], x // y)
    assert np.allclose(got[1], x / y, atol=2.0**-14)


def euclid(x: Any, y: Any) -> Any:
    """Take the steps that are advised instead of jnp.gcd, as they are written there."""
    return eval(INSTEAD["gcd"].partition("below 100: ")[2], {"lax": lax, "jnp": jnp, "x": x, "y": y})


@pytest.mark.parametrize("function", [jnp.gcd, jnp.lcm])
def test_the_greatest_common_divisor_names_the_steps(function: Callable[..., Any]) -> None:
    with pytest.raises(NotRealised, match=r"jnp.gcd: its steps go on .*lax.fori_loop"):
        same(lambda x: function(x, 6), [BYTES])
    x, y = np.array([55, 89, 12, 0, 99, 99]), np.array([89, 55, 18, 7, 0, 99])
    assert np.array_equal(shared(euclid, [x, y])[0], np.gcd(x, y))
    x, y = np.mgrid[:100, :100]
    assert np.array_equal(jax.jit(euclid)(x, y), np.gcd(x, y))


def test_names_of_other_modules_are_pointed_to() -> None:
    with pytest.raises(AttributeError, match=r"'argmax'; it is tacit\.array\.order\.argmax"):
        fn.argmax  # noqa: B018
    with pytest.raises(AttributeError, match=r"'isin'; tacit\.frontends\.jax\.trace_jax"):
        fn.isin  # noqa: B018
    x = Trace().input("x", "alice", (4,), "int", 0, 100)
    assert trace_jax(jnp.isin, [x, np.array([1, 5])]).dtype == "bool"
    assert order.argmax(x).dtype == "int"


WIDE, FRACTIONS = (
    np.array([-(2**40), -17, -16, -1, 0, 1, 15, 16, 2**40 + 3]),
    np.arange(-16, 17) / 4 + 2.0**-16,
)
QUOTIENTS: dict[str, tuple[Callable[..., Any], Any]] = {
    "by a power of two": (lambda x: (x // 16, x % 16, x // 1, x % 1), WIDE),
    "by minus one": (lambda x: (x // -16, x % -16), WIDE),
    "both": (lambda x: (jnp.divmod(x, 16), jnp.divmod(x, -7)), WIDE),
    "beyond all": (lambda x: (x // 2**50, x % 2**50), WIDE),
    "nearly one": (lambda x: (x // (2**50 - 1), x % (2**50 + 1)), WIDE),
    "of none below zero": (lambda x: (x // 8, x % 8, x % 256, x // 256), BYTES),
    "by others": (lambda x: (x // 7, x % 7, x // -7, x % -7), WIDE),
    "by several": (lambda x: (x // np.array([1, 2, 4, 8, -8]), x % np.array([1, 2, 4, 8, -8])), SIGNED),
    "cut off": (lambda x: (lax.div(x, jnp.full(9, 16)), lax.rem(x, jnp.full(9, 16))), WIDE),
    "of fractions": (lambda x: (x // 4.0, x % 4.0, x // 0.25, x % 0.25), FRACTIONS),
    "of fractions by minus": (lambda x: (x // -4.0, x % -4.0, x // -0.25, x % -0.25), FRACTIONS),
    "what is beyond the point": (lambda x: (jnp.mod(x, 1.0), jnp.fmod(x, 1.0), x - jnp.floor(x)), FRACTIONS),
}


@pytest.mark.parametrize("name", QUOTIENTS)
def test_quotients_by_known_numbers_are_rounded_down(name: str) -> None:
    function, x = QUOTIENTS[name]
    same(function, [x], atol=0 if x.dtype.kind == "i" else 2.0**-16, lo=-5, hi=5)


@pytest.mark.parametrize("function", [lambda x: x // 16, lambda x: x % 16, lambda x: jnp.divmod(x, 16)])
def test_quotients_by_powers_of_two_are_bits(function: Callable[..., Any]) -> None:
    program, _ = record(function, [SIGNED], [(-100, 100)])
    assert {e.op for e in program.eqns} <= {
        "add",
        "assume",
        "broadcast",
        "const",
        "mul",
        "part",
        "reveal",
        "sub",
    }


def test_a_function_of_the_users_may_have_the_name_of_one_of_jax() -> None:
    @jax.jit
    def remainder(x: Any, y: Any) -> Any:
        return x - y

    same(lambda x: remainder(x, 16), [SIGNED])


def turned(x: Any, by: int, bits: int) -> Any:
    """Rotate words of so many bits to the left."""
    word = x.astype(f"uint{bits}")
    return ((word << by) | (word >> (bits - by))).astype(int)


WORDS = np.array([0, 1, 2, 3, 255, 256, 40000, 65535])
WORDS_AS_BITS: dict[str, tuple[Callable[..., Any], Any]] = {
    "a sign": (
        lambda x: (x >> 63, x >> 31, x.astype(jnp.int32) >> 31, x >> np.array([63, 62, 1, 0, 63])),
        SIGNED,
    ),
    "of a large number": (lambda x: x >> 63, WIDE * 2**21),
    "none below zero": (lambda x: (x >> 63, lax.shift_right_logical(x, jnp.full(8, 63))), WORDS),
    "signbit of whole numbers": (jnp.signbit, SIGNED),
    "leading zeros": (
        lambda x: (lax.clz(x), lax.clz(x.astype(jnp.int32)), lax.clz(x.astype(jnp.uint16))),
        WORDS,
    ),
    "rotated": (lambda x: (turned(x, 5, 32), turned(x, 13, 16), turned(x * 65537, 31, 32)), WORDS),
    "shifted out": (lambda x: (x.astype(jnp.uint16) << 15, x.astype(jnp.uint32) << 0), WORDS),
    "bits of bytes": (lambda x: (jnp.unpackbits(x.astype(jnp.uint8)), jnp.bitwise_count(x)), BYTES),
    "bits to bytes": (
        lambda x: (x[:8] > 2).astype(int).reshape(-1, 8) @ 2 ** jnp.arange(7, -1, -1),
        np.array([3, 0, 5, 1, 7, 7, 2, 9]),
    ),
}


@pytest.mark.parametrize("name", WORDS_AS_BITS)
def test_words_as_bits(name: str) -> None:
    function, x = WORDS_AS_BITS[name]
    same(function, [x], atol=0, lo=-5, hi=5)


def test_what_is_refused_of_bits_names_what_works() -> None:
    with pytest.raises(RangeError, match=r"'clz'.*may be negative.*x & 0xFFFF"):
        same(lax.clz, [SIGNED])
    same(lambda x: lax.clz(x & 0xFFFF), [SIGNED])
    with pytest.raises(RangeError, match=r"packbits: .*reshape\(-1, 8\) @ 2 \*\* jnp.arange\(7, -1, -1\)"):
        same(lambda x: jnp.packbits(x > 3), [WORDS])
    with pytest.raises(RangeError, match="a number of places is from 0 to 62"):
        same(lambda x: x * 2**60 >> 63, [BYTES])
