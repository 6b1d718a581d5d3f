"""Eager sessions behave like NumPy, say that they are simulations, and give nothing away by accident."""

from __future__ import annotations

import gc
import subprocess
import sys

import numpy as np
import pytest

import tacit
from tacit.array import functions as fn
from tacit.errors import (
    NotRealised,
    RangeError,
    ScaleError,
    SecretUsedAsPublic,
    ShapeError,
    TacitError,
    UsageError,
)


@pytest.fixture
def session() -> tacit.Session:
    with tacit.simulate("rep3", seed=1) as s:
        yield s


def test_the_known_answers(session: tacit.Session) -> None:
    three = [session.input(v, owner) for v, owner in ((3, "bob"), (6, "alice"), (1, "carol"))]
    total = tacit.reveal(three[0] + three[1] + three[2], why="the textbook's sum")
    product = tacit.reveal(three[0] * three[1], why="the textbook's product")
    assert (int(total), int(product)) == (10, 18)


def test_every_result_says_that_it_is_a_simulation(session: tacit.Session) -> None:
    x = session.input([1.0, 2.0], "alice") * session.input([3.0, 4.0], "bob")
    opened = tacit.reveal(x, why="test")
    assert "simulation" in repr(opened)
    assert "simulation" in repr(opened[:1])
    assert "simulation" in repr(x)
    assert "simulation" in repr(session)


def test_a_result_for_one_party_says_so(session: tacit.Session) -> None:
    opened = tacit.reveal(session.input(2.0, "alice") * session.input(3.0, "bob"), to="carol", why="test")
    assert "carol only" in repr(opened)
    assert float(opened) == 6.0


@pytest.mark.parametrize(
    "use",
    [
        bool,
        float,
        int,
        np.asarray,
        lambda x: [1, 2, 3][x],
        lambda x: 1 if x > 0 else 2,
        lambda x: np.sin(x) if False else np.array(x),
    ],
)
def test_python_cannot_read_a_secret(session: tacit.Session, use: object) -> None:
    x = session.input(1.0, "alice") * session.input(1.0, "bob")
    with pytest.raises(SecretUsedAsPublic, match=r"tacit\.reveal"):
        use(x)  # type: ignore[operator]


def test_repr_and_errors_hold_no_value(session: tacit.Session) -> None:
    canary = 271828.1828
    x = session.input([canary], "alice")
    shown = [repr(x), str(x.aval), repr(session)]
    for bad in (lambda: x @ x, lambda: x[5], lambda: x + np.ones(3), lambda: x / (x - canary)):
        try:
            bad()
        except TacitError as exc:
            shown.append(str(exc))
    assert not [s for s in shown if "271828" in s]


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda s: s.input([1.0, np.nan], "alice"), UsageError, "NaN"),
        (lambda s: s.input([1.0], "nobody"), UsageError, "nobody"),
        (lambda s: s.input(["a"], "alice"), UsageError, "numeric"),
        (lambda s: s.input(np.ma.array([1.0, 2.0], mask=[0, 1]), "alice"), UsageError, "masked"),
        (lambda s: s.input([[1.0], [2.0, 3.0]], "alice"), UsageError, "different lengths"),
        (lambda s: s.input([1.0], "alice") + (2 + 3j), UsageError, "complex128 is not a number"),
        (lambda s: s.input([1.0], "alice") + "3", UsageError, "<U1 is not a number"),
        (
            lambda s: s.input([1.0], "alice") < np.array(["2020-01-01"], "datetime64[D]"),
            UsageError,
            "datetime64",
        ),
        (lambda s: s.input([1.0], "alice") + {}, UsageError, "object is not a number"),
        (lambda s: s.input([1.0], "alice") + np.ma.array([1.0], mask=[1]), UsageError, "masked"),
        (lambda s: fn.add(s.input([1.0, 2.0], "alice"), [[1], [2, 3]]), UsageError, "different lengths"),
        (
            lambda s: fn.concat([s.input(np.ones(3), "alice")] * 2, axis=1),
            ShapeError,
            "axis 1 does not exist",
        ),
        (lambda s: fn.stack([s.input(np.ones(3), "alice")] * 2, axis=2), ShapeError, "axis 2 does not exist"),
        (lambda s: fn.expand_dims(s.input(np.ones(3), "alice"), -3), ShapeError, "axis -3 does not exist"),
        (lambda s: fn.take(s.input(np.ones(3), "alice"), [0], axis=1), ShapeError, "axis 1 does not exist"),
        (lambda s: s.input(np.ones((2, 3)), "alice").transpose(3, 0), ShapeError, "does not permute"),
        (lambda s: s.input(np.ones(3), "alice").mT, ShapeError, "two axes"),
        (
            lambda s: s.input(np.ones(3), "alice")[np.array([True, False])],
            ShapeError,
            "mask of 2 .* axis of 3",
        ),
        (lambda s: s.input(np.ones(3), "alice")[True], UsageError, "an index is"),
        (lambda s: s.input(np.ones(3), "alice")[1.0], UsageError, "an index is"),
        (lambda s: s.input(np.ones(3), "alice")["a"], UsageError, "an index is"),
        (lambda s: s.input(np.ones((2, 2)), "alice")[np.eye(2) > 0], UsageError, "an index is"),
        (
            lambda s: s.input(np.ones((2, 3, 4)), "alice")[0, :, [0, 1]],
            NotRealised,
            "one step after the other",
        ),
        (lambda s: f"{s.input([1.0], 'alice').sum():.2f}", SecretUsedAsPublic, "formatting"),
        (
            lambda s: tacit.reveal(s.input([1.0], "alice"), to=["all", "bob"], why="x"),
            UsageError,
            "all.* stands alone",
        ),
        (lambda s: tacit.reveal(s.input([1.0], "alice"), to=[], why="x"), TacitError, "'to'"),
        (lambda s: tacit.reveal(s.input([1.0], "alice"), why=3), UsageError, "reason"),
        (lambda s: s.input([5.0], "alice", bound=4), RangeError, "declared"),
        (lambda s: s.input([5.0], "alice", bound=(4, 1)), UsageError, "empty"),
        (lambda s: s.input(np.ones(3), "alice") + s.input(np.ones(4), "bob"), ShapeError, "broadcast"),
        (lambda s: s.input(np.ones(3), "alice").reshape(2, 2), ShapeError, "reshape"),
        (lambda s: s.input(np.ones((2, 3)), "alice") @ s.input(np.ones((2, 3)), "bob"), ShapeError, "matmul"),
        (lambda s: s.input([True], "alice") & s.input([1.0], "bob"), ScaleError, "bool"),
        (lambda s: s.input([1.0], "alice") / s.input([0.0], "bob"), RangeError, "zero"),
        (lambda s: s.input([1e9], "alice") * s.input([1e9], "bob"), RangeError, "overflow"),
        (lambda s: s.input([-1.0], "alice") ** 1.5, RangeError, "power"),
        (lambda s: tacit.reveal(s.input([1.0], "alice"), why=" "), UsageError, "reason"),
        (lambda s: tacit.reveal(np.ones(1), why="x"), UsageError, "public already"),
        (lambda s: tacit.reveal(s.input([1.0], "alice"), to="nobody", why="x"), UsageError, "nobody"),
    ],
)
def test_bad_use_is_refused_before_any_message(
    session: tacit.Session, make: object, error: type[Exception], says: str
) -> None:
    before = session.traffic()["alice"].total.frames_sent
    with pytest.raises(error, match=says):
        make(session)  # type: ignore[operator]
    assert session.traffic()["alice"].total.frames_sent == before
    # The session is still good.
    assert float(tacit.reveal(session.input(2.0, "alice") * session.input(4.0, "bob"), why="test")) == 8.0


def test_values_do_not_cross_sessions(session: tacit.Session) -> None:
    with tacit.simulate("rep3") as other, pytest.raises(UsageError, match="another session"):
        session.input(1.0, "alice") + other.input(1.0, "alice")


def test_a_closed_session_says_so() -> None:
    s = tacit.simulate("rep3")
    x = s.input(1.0, "alice")
    s.close()
    with pytest.raises(UsageError, match="closed"):
        x + 1.0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"protocol": "rep4"}, "rep4"),
        ({"protocol": "rep3", "parties": 4}, "3 to 3"),
        ({"protocol": "rep3", "parties": ("a", "b", "a")}, "share a name"),
        ({"protocol": "rep3", "width": 32}, "width 64 or 128"),
        ({"protocol": "rep3", "frac_bits": 60}, "fractional"),
        ({"protocol": "rep3", "dealer": "dan"}, "rep3 needs no dealer; leave dealer= out"),
    ],
)
def test_a_session_that_cannot_be_is_refused(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        tacit.simulate(**arguments)  # type: ignore[arg-type]


def test_arrays_behave_like_numpys(session: tacit.Session) -> None:
    rng = np.random.default_rng(3)
    a, b = rng.uniform(-3, 3, (4, 5)), rng.uniform(1, 3, (4, 5))
    x, y = session.input(a, "alice", 3), session.input(b, "bob", (1, 3))
    cases = {
        "index": (lambda u, v: (u * v)[1:3, ::-2], 2),
        "row": (lambda u, v: (u * v)[-1], 2),
        "new axis": (lambda u, v: (u * v)[:, None, 2], 2),
        "list": (lambda u, v: (u * v)[[3, 0, 3]], 2),
        "transpose": (lambda u, v: (u * v).T.reshape(2, -1), 2),
        "sum": (lambda u, v: (u * v).sum(axis=1, keepdims=True), 6),
        "mean": (lambda u, v: (u * v).mean(axis=0), 3),
        "var": (lambda u, v: (u * v).var(axis=0, ddof=1), 60),
        "max": (lambda u, v: (u - v).max(axis=1), 1),
        "min": (lambda u, v: (u - v).min(), 1),
        "matmul": (lambda u, v: u @ v.T, 2),
        "vector": (lambda u, v: u[0] @ v[1], 2),
        "power": (lambda u, v: u**3 - 2 / v + abs(u), 60),
        "clip": (lambda u, v: (u * v).clip(-1, 1), 2),
        "broadcast": (lambda u, v: u * v[0] + v[:, :1], 2),
        "compare": (lambda u, v: (u > v) | (u <= -1.0), 0),
    }
    for name, (study, ulps) in cases.items():
        got = np.asarray(tacit.reveal(study(x, y), why="test"))
        want = study(a, b)
        assert got.shape == np.shape(want), name
        assert np.max(np.abs(got.astype(float) - np.asarray(want, float))) <= ulps * 2.0**-16 * 4, name


def test_axes_are_counted_as_numpy_counts_them(session: tacit.Session) -> None:
    stack = np.arange(24.0).reshape(2, 3, 4)
    x = session.input(stack, "alice")
    for mine, theirs in (
        (x.mT, np.swapaxes(stack, 1, 2)),
        (x.T, stack.T),
        (fn.stack([x[0], x[1]], axis=-1), np.stack([stack[0], stack[1]], axis=-1)),
        (fn.concat([x, x], axis=-2), np.concatenate([stack, stack], axis=-2)),
        (fn.expand_dims(x, -1), stack[..., None]),
        (fn.take(x, [0, 2], axis=-1), stack[..., [0, 2]]),
        (x[:, [True, False, True]], stack[:, [True, False, True]]),
        (x[0, [0, 2]], stack[0, [0, 2]]),
        (x[:, :0][:, []], stack[:, :0][:, []]),
        (x[np.int64(1), ..., np.array(2)], stack[1, :, 2]),
    ):
        assert np.array_equal(tacit.reveal(mine, why="test"), theirs)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("argmax", "it is tacit.array.order.argmax"),
        ("take", r"it is x.__array_namespace__\(\).take"),
        ("setflags", "SecretArray"),
    ],
)
def test_methods_that_are_functions_here_are_named(session: tacit.Session, name: str, says: str) -> None:
    x = session.input([1.0], "alice")
    assert not hasattr(x, name)
    with pytest.raises(AttributeError, match=says):
        getattr(x, name)


def test_numpy_on_the_left_of_a_secret_leaves_it_to_the_secret(session: tacit.Session) -> None:
    x, left = session.input([1.0, 2.0], "alice"), np.array([3.0, 5.0])
    for mine, theirs in (
        (left + x, [4, 7]),
        (left @ x, 13),
        (left < x, [False] * 2),
        (np.float64(2) * x, [2, 4]),
    ):
        assert np.array_equal(tacit.reveal(mine, why="test"), theirs)


def test_a_session_that_nobody_refers_to_ends_its_parties() -> None:
    s = tacit.simulate("rep3")
    threads = list(s.cluster._threads)
    del s
    gc.collect()
    for thread in threads:
        thread.join(timeout=10)
    assert not any(thread.is_alive() for thread in threads)


def test_a_script_that_closes_no_session_ends_without_complaint() -> None:
    script = "import tacit; s = tacit.simulate(); x = s.input([1.0]) + s.input([2.0], 'bob'); print(len(x))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


def test_salaries_need_no_server_and_no_dealer() -> None:
    with tacit.simulate("semi2k", 5) as s:
        numbers = [s.input(float(v), n) for v, n in zip((3, 6, 1, 4, 5), s.compute, strict=True)]
        total = numbers[0]
        for n in numbers[1:]:
            total = total + n
        assert float(tacit.reveal(total, why="test")) == 19.0


def test_a_product_without_dealer_is_refused_and_with_one_is_stamped() -> None:
    with tacit.simulate("semi2k", 2) as s, pytest.raises(NotRealised, match="dealer"):
        s.input(2.0, "alice") * s.input(3.0, "bob")
    with tacit.simulate("semi2k", 2, dealer="dora") as s:
        opened = tacit.reveal(s.input(2.0, "alice") * s.input(3.0, "bob"), why="test")
        assert abs(float(opened) - 6.0) <= 2**-16
        assert "dora deals" in repr(opened)


def test_variables_nobody_holds_are_dropped(session: tacit.Session) -> None:
    x = session.input(np.ones(10), "alice")
    for _ in range(50):
        x = x + 1.0
    tacit.reveal(x, why="test")
    held = len(session.cluster.workers["alice"].values)
    assert held < 10


def test_a_dealer_receives_no_result() -> None:
    with tacit.simulate("semi2k", 2, dealer="dora") as s:
        before = s.traffic()["dora"].total.payload_received
        tacit.reveal(s.input(2.0, "alice") * s.input(3.0, "bob"), why="test")
        assert s.traffic()["dora"].total.payload_received == before
