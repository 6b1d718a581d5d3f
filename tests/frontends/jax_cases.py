"""Functions of jax.numpy by subject; each runs traced on shares and plainly in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Array = Any
PICK, TWICE = np.array([0, 2]), np.array([0, 1, 1])


def loss(w: Array, x: Array, y: Array) -> Array:
    """Logistic loss of labels in {0, 1}."""
    return jnp.mean(jnp.log1p(jnp.exp(-jnp.where(y, 1.0, -1.0) * (x @ w))))


def logistic_regression(x: Array, b: Array) -> Array:
    """Twelve steps of gradient descent."""

    def step(_: int, w: Array) -> Array:
        return w - 0.2 * x.T @ (jax.nn.sigmoid(x @ w) - b) / x.shape[0]

    return lax.fori_loop(0, 12, step, jnp.zeros(x.shape[1]))


def newton_root(y: Array) -> Array:
    """Heron's method, its range stated by clipping."""
    return lax.fori_loop(0, 6, lambda i, r: jnp.clip(0.5 * (r + y / r), 0.5, 9.0), jnp.full(y.shape, 3.0))


# x fixed (6, 3) in [-4, 4], y fixed (6, 3) in [1, 9], k int (6,) in [0, 10], b bool (6,)
CASES: dict[str, dict[str, Callable[[Array, Array, Array, Array], Array]]] = {
    "arithmetic": {
        "add": lambda x, y, k, b: (x + y, x + 1, x - y, 2 - x, -x),
        "mul": lambda x, y, k, b: (x * y, x * 0.3, x * 4, k * 2 + k, k - 1, k * x[:, 0]),
        "div": lambda x, y, k, b: (x / y, x / 7, 1 / y, k / 3),
        "powers": lambda x, y, k, b: (
            x * x,
            x**2,
            x**3,
            y**-1,
            y**-2,
            y**0.5,
            y**1.5,
            y**-0.5,
            y**-1.5,
            k**2,
        ),
        "abs": lambda x, y, k, b: (jnp.abs(x), jnp.sign(x), jnp.square(x), jnp.abs(k - 5)),
        "round": lambda x, y, k, b: (
            jnp.floor(x),
            jnp.ceil(x),
            jnp.round(x),
            lax.round(x),
            jnp.round(4 * x) / 4,
        ),
        "convert": lambda x, y, k, b: (
            b.astype(float) * 0.3,
            k.astype(float),
            x.astype(int),
            b.astype(int),
            k > 0,
        ),
        "mixed": lambda x, y, k, b: (b * x[:, 0], (b * 1.0).sum(), k.astype(float) * 0.37 + x[:, 1]),
    },
    "functions": {
        "roots": lambda x, y, k, b: (jnp.sqrt(y), lax.rsqrt(y), jnp.sqrt(jnp.abs(x))),
        "exp": lambda x, y, k, b: (jnp.exp(x), jnp.exp2(x), jnp.expm1(x), jnp.sinh(x), jnp.cosh(x)),
        "log": lambda x, y, k, b: (jnp.log(y), jnp.log1p(y), jnp.log2(y), jnp.log10(y)),
        "sigmoid": lambda x, y, k, b: (jax.nn.sigmoid(x), jnp.tanh(x), jax.nn.softplus(x), jax.nn.silu(x)),
        "networks": lambda x, y, k, b: (jax.nn.relu(x), jax.nn.gelu(x), jax.nn.elu(x), jax.nn.leaky_relu(x)),
        "softmax": lambda x, y, k, b: (jax.nn.softmax(x), jax.nn.log_softmax(x), jax.nn.softmax(x, 0)),
        "logsumexp": lambda x, y, k, b: (jax.nn.logsumexp(x, 1), jax.nn.logsumexp(x)),
    },
    "comparison": {
        "extremes": lambda x, y, k, b: (
            jnp.maximum(x, y),
            jnp.minimum(x, 1),
            jnp.clip(x, -1, 1),
            jnp.clip(x, 0),
        ),
        "order": lambda x, y, k, b: (x < y, x <= 0, x > 1, y >= x, k == 3, k != 4, k < 5),
        "logic": lambda x, y, k, b: ((x < y) & (x > 0), (x < 0) | (y > 3), ~b, b ^ (k > 3), b == (k > 2)),
        "select": lambda x, y, k, b: (
            jnp.where(b, k, 7),
            jnp.where(b[:, None], x, y),
            jnp.where(x > 0, 1.0, 0.0),
        ),
        "choose": lambda x, y, k, b: (
            lax.select_n((k > 5).astype(int), k, -k),
            jnp.select([x > 1, x < -1], [x, -x], 0.0),
            jnp.where(np.arange(3) == 1, x, y),
        ),
        "cond": lambda x, y, k, b: (
            lax.cond(x[0, 0] > 0, lambda v: v * 2, lambda v: -v, x),
            lax.switch(k[0], [lambda v: v, lambda v: v * 2, lambda v: v * 3], x),
        ),
    },
    "movement": {
        "shape": lambda x, y, k, b: (
            x.T,
            x.reshape(3, 6),
            x[None],
            x.ravel(),
            jnp.squeeze(x[:1]),
            x[:, None, :],
        ),
        "index": lambda x, y, k, b: (x[:, 0], x[1], x[-1, 2], x[::2, 1:], x[::-1], x[1:3]),
        "take": lambda x, y, k, b: (
            x[PICK],
            x[:, TWICE],
            x[PICK, TWICE[:2]],
            jnp.take(x, TWICE, axis=1),
            x[TWICE][:, PICK],
        ),
        "join": lambda x, y, k, b: (
            jnp.concatenate([x, y]),
            jnp.stack([x, y], 1),
            jnp.tile(x, 2),
            jnp.hstack([x, y]),
        ),
        "pad": lambda x, y, k, b: (
            jnp.pad(x, 1),
            jnp.pad(x, ((1, 0), (0, 2)), constant_values=3),
            lax.pad(x, 0.0, ((-1, 0, 1), (0, 1, 2))),
        ),
        "update": lambda x, y, k, b: (
            x.at[0].set(1.0),
            x.at[:, 1].add(2.0),
            x.at[np.array([1, 1, 3])].add(y[:3]),
            x.at[PICK].set(y[:2]),
        ),
        "build": lambda x, y, k, b: (
            jnp.diag(x[0]),
            jnp.diag(x),
            jnp.tril(x),
            jnp.roll(x, 1, 0),
            jnp.split(x, 2)[1],
        ),
        "slices": lambda x, y, k, b: (
            lax.dynamic_slice(x, (2, 1), (2, 2)),
            lax.dynamic_update_slice(x, y[:2], (1, 0)),
            lax.dynamic_index_in_dim(x, 3),
        ),
        "one_hot": lambda x, y, k, b: (jax.nn.one_hot(k, 11), jnp.arange(11) == k[:, None]),
    },
    "reductions": {
        "sums": lambda x, y, k, b: (
            x.sum(),
            x.sum(0),
            x.mean(),
            x.mean(1),
            k.sum(),
            b.sum(),
            jnp.count_nonzero(b),
        ),
        "extremes": lambda x, y, k, b: (x.max(), x.min(1), k.max(), jnp.ptp(x, 0)),
        "logic": lambda x, y, k, b: (jnp.any(b), jnp.all(b), jnp.all(x > -5), jnp.any(x > 3, 0)),
        "products": lambda x, y, k, b: (y[:4, 0].prod(), jnp.cumprod(y[:4, 0]), (k[:3] + 1).prod()),
        "places": lambda x, y, k, b: (jnp.argmax(x, 0), jnp.argmin(x), jnp.argmax(k), jnp.argmin(x, 1)),
        "running": lambda x, y, k, b: (
            jnp.cumsum(x, 0),
            lax.cumsum(x, 0, reverse=True),
            lax.cummax(x, 0),
            lax.cummin(x, 1, reverse=True),
        ),
        "moments": lambda x, y, k, b: (jnp.var(x), jnp.var(x, 0, ddof=1), jnp.std(y, 0), jnp.linalg.norm(x)),
        "average": lambda x, y, k, b: (jnp.average(x, weights=y), jnp.average(x, 0, y)),
    },
    "products": {
        "matmul": lambda x, y, k, b: (x @ y.T, x.T @ y, x @ jnp.ones(3), jnp.dot(x[0], y[0]), k @ k),
        "einsum": lambda x, y, k, b: (
            jnp.einsum("ij,ij->i", x, y),
            jnp.einsum("ij,kl->ikjl", x, y),
            jnp.einsum("ij,kj,k->i", x, y, x[:, 0]),
            jnp.einsum("ij->j", x),
        ),
        "tensordot": lambda x, y, k, b: (
            jnp.tensordot(x, y),
            jnp.tensordot(x, y, ((0,), (0,))),
            jnp.kron(x[0], y[0]),
        ),
        "batched": lambda x, y, k, b: (jax.vmap(jnp.outer)(x, y), x.reshape(2, 3, 3) @ y.reshape(2, 3, 3)),
        "covariance": lambda x, y, k, b: (jnp.cov(x.T), jnp.cov(x[:, 0], y[:, 0])),
        "constant": lambda x, y, k, b: (x @ np.linspace(-1, 1, 12).reshape(3, 4), np.eye(2, 6) @ x),
    },
    "transforms": {
        "grad": lambda x, y, k, b: jax.grad(loss)(jnp.full(3, 0.1), x, b),
        "value_and_grad": lambda x, y, k, b: jax.value_and_grad(lambda v: jnp.sum(jnp.tanh(v) ** 2))(x),
        "vmap_grad": lambda x, y, k, b: jax.vmap(jax.grad(lambda r: jnp.sum(jnp.exp(r) / 2)))(x),
        "gather_grad": lambda x, y, k, b: jax.grad(lambda v: jnp.sum(v[TWICE] * x[:3]))(x),
        "jacobian": lambda x, y, k, b: (
            jax.jacobian(lambda v: v * v)(x[0]),
            jax.hessian(lambda v: (v**3).sum())(x[0]),
        ),
        "jvp": lambda x, y, k, b: jax.jvp(jnp.sqrt, (y,), (x,)),
        "relu_grad": lambda x, y, k, b: jax.grad(lambda v: jax.nn.relu(v).sum())(x),
        "jit": lambda x, y, k, b: jax.jit(lambda v: jax.jit(jnp.sum)(v * 2))(x),
        "checkpoint": lambda x, y, k, b: jax.grad(jax.checkpoint(lambda v: jnp.sum(jax.nn.sigmoid(v))))(x),
        "softmax_grad": lambda x, y, k, b: jax.grad(lambda v: -jnp.sum(jax.nn.log_softmax(v)[:, 0]))(x),
        "tree": lambda x, y, k, b: {"a": [x, (y, k)], "none": None, "c": 3.5},
    },
    "integers": {
        "quotient": lambda x, y, k, b: (k // 3, k // -3, (k - 5) // 3, (5 - k) // (k + 1), k // (k + 1)),
        "remainder": lambda x, y, k, b: (k % 3, (k - 5) % 3, (k - 5) % -4, 100 % (k + 1), jnp.mod(k, 2)),
        "toward_zero": lambda x, y, k, b: (
            lax.div(k - 5, jnp.full(6, 3)),
            lax.rem(k - 5, jnp.full(6, -3)),
            lax.rem(5 - k, k + 2),
            jnp.fmod(k - 5, 4),
        ),
        "many": lambda x, y, k, b: (jnp.divmod(k - 5, np.array([1, 2, 3, -4, 5, -6])), (k * 10**6) // 7),
        "wide": lambda x, y, k, b: ((k * 10**9 + k) // 1000, (k * 10**7) // (k + 1)),
        "floats": lambda x, y, k, b: (x % 2.0, x % -0.5, jnp.fmod(x, 1.5), jnp.floor_divide(x, 0.25), y // 2),
        "parts": lambda x, y, k, b: (jnp.trunc(x), jnp.modf(x), jnp.rint(x)),
        "float_by_secret": lambda x, y, k, b: (x % y, jnp.floor_divide(x, y), lax.rem(x, y), x % -y),
        "bits": lambda x, y, k, b: (
            k & 3,
            k | 4,
            k ^ 5,
            ~k,
            k & (k * 3),
            (k - 5) & 6,
            (k - 5) | (k * 2),
            (k - 5) ^ k,
        ),
        "shifts": lambda x, y, k, b: (
            k << 3,
            (k - 5) >> 1,
            k >> np.array([0, 1, 2, 3, 0, 1]),
            jnp.bitwise_count(k),
        ),
    },
    "elementary": {
        "angles": lambda x, y, k, b: (jnp.sin(x), jnp.cos(x * 20), jnp.sin(k), jnp.sinc(y)),
        "tangent": lambda x, y, k, b: jnp.tan(x / 4),
        "inverse": lambda x, y, k, b: (jnp.arctan(x), jnp.arctan2(x, y), jnp.arctan2(y, x), jnp.angle(y)),
        "error": lambda x, y, k, b: (lax.erf(x), lax.erfc(x), jax.scipy.stats.norm.cdf(x)),
        "gelu": lambda x, y, k, b: (jax.nn.gelu(x, approximate=False), jax.nn.gelu(x)),
        "gelu_grad": lambda x, y, k, b: jax.grad(lambda v: jax.nn.gelu(v, approximate=False).sum())(x),
        "sin_grad": lambda x, y, k, b: jax.grad(lambda v: (jnp.sin(v) * jnp.arctan(v)).sum())(x),
        "roots": lambda x, y, k, b: (jnp.cbrt(y), jnp.log2(y), jnp.log10(y), jnp.exp2(x)),
        "arcs": lambda x, y, k, b: (jnp.arcsin(x / 4), jnp.arccos(x / 4), jnp.arcsinh(x), jnp.arccosh(y)),
        "areas": lambda x, y, k, b: (
            jnp.arctanh(x / 5),
            jax.scipy.special.erfinv(x / 5),
            jax.scipy.special.ndtr(x),
        ),
        "gamma": lambda x, y, k, b: (jax.scipy.special.gammaln(y) / 4, jax.scipy.special.digamma(y)),
        "lengths": lambda x, y, k, b: (jnp.hypot(x, y), jnp.logaddexp(x, y), jnp.sinc(x), jnp.sinc(0 * x)),
        "entropies": lambda x, y, k, b: (
            jax.scipy.special.xlogy(x, y),
            jax.scipy.special.entr(y),
            jax.scipy.special.rel_entr(y, 2 * y[::-1]),
            jax.scipy.special.xlog1py(x, y),
        ),
        "secret_powers": lambda x, y, k, b: (y ** (x / 4), 2.0 ** (x / 4), y**0.3, jnp.float_power(y, x / 8)),
        "finite": lambda x, y, k, b: (
            jnp.isnan(x),
            jnp.isfinite(x),
            jnp.isinf(x),
            jnp.nan_to_num(x),
            jnp.sign(0 * x),
        ),
        "arc_grad": lambda x, y, k, b: jax.grad(lambda v: (jnp.arcsinh(v) + jnp.arctan(v)).sum())(x),
    },
    "loops": {
        "fori": lambda x, y, k, b: lax.fori_loop(0, 4, lambda i, c: c + x[i], jnp.zeros(3)),
        "scan": lambda x, y, k, b: lax.scan(lambda c, r: (c * 0.5 + r, c.sum()), jnp.zeros(3), x),
        "reverse": lambda x, y, k, b: lax.scan(lambda c, r: (c * 0.5 + r, c), jnp.zeros(3), x, reverse=True),
        "while": lambda x, y, k, b: lax.while_loop(
            lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * 0.5), (0, x)
        ),
        "map": lambda x, y, k, b: lax.map(lambda r: r.sum(), x),
        "update": lambda x, y, k, b: lax.fori_loop(0, 3, lambda i, c: c.at[i].set(c[i] * 2), x),
        "nested": lambda x, y, k, b: lax.fori_loop(
            0, 3, lambda i, c: lax.fori_loop(0, 2, lambda j, d: d + i * x[j], c), jnp.zeros(3)
        ),
        "parity": lambda x, y, k, b: lax.fori_loop(
            0, 6, lambda i, c: c + jnp.where(i % 2 == 0, 1.0, -1.0) * x[i], jnp.zeros(3)
        ),
        "grad": lambda x, y, k, b: jax.grad(
            lambda w: lax.fori_loop(0, 3, lambda i, c: c * w + x[i].sum(), 0.0)
        )(0.5 * x[0, 0]),
        "empty": lambda x, y, k, b: lax.fori_loop(0, 0, lambda i, c: c + x[i], jnp.zeros(3)),
        "pairs": lambda x, y, k, b: lax.scan(
            lambda c, r: ((c[0] + r[0], c[1] + r[1]), r), (jnp.zeros(3), 0), (x, k)
        ),
        "schedule": lambda x, y, k, b: lax.scan(
            lambda c, r: (c + r[0] * jnp.sin(r[1]), None), jnp.zeros(3), (x, np.linspace(0, 1, 6))
        )[0],
        "heron": lambda x, y, k, b: newton_root(y[0]),
        "regression": lambda x, y, k, b: logistic_regression(x, b),
    },
}

# Each is refused, with this error, this word in the message and the line of the function below.
REFUSED: dict[str, tuple[Callable[[Array, Array], Array], str, str]] = {
    "arcsine": (lambda x, k: jnp.arcsin(x), "RangeError", "clip"),
    "correlation": (
        lambda x, k: jnp.corrcoef(x, k),
        "RangeError",
        "jnp.corrcoef: a column that does not vary",
    ),
    "polynomial": (lambda x, k: jnp.polyfit(x, k, 2), "RangeError", "tacit.stats.ols says whether"),
    "incomplete": (lambda x, k: jax.scipy.special.gammainc(x, x), "NotRealised", "'igamma'"),
    "next": (lambda x, k: jnp.nextafter(x, 1.0), "NotRealised", "'nextafter'"),
    "copysign": (lambda x, k: jnp.copysign(x, -x), "NotRealised", "compare with zero"),
    "gcd": (lambda x, k: jnp.gcd(k, k), "NotRealised", "'while'"),
    "secret_shift": (lambda x, k: k << k, "NotRealised", "write x * 2**k"),
    "wide_shift": (lambda x, k: k << 63, "RangeError", "62"),
    "gamma_pole": (lambda x, k: jax.scipy.special.gammaln(x), "RangeError", "lgamma"),
    "big_angle": (lambda x, k: jnp.sin(x * 1e6), "RangeError", "bound its argument"),
    "pole": (lambda x, k: jnp.tan(x), "RangeError", "pole"),
    "origin": (lambda x, k: jnp.arctan2(x, x), "RangeError", "both be zero"),
    "int_zero": (lambda x, k: 7 // k, "RangeError", "may be zero"),
    "float_rem": (lambda x, k: x % 0.3, "NotRealised", "2^-16"),
    "float_rem_secret": (lambda x, k: x % (x + 3), "RangeError", "may be zero"),
    "root_of_zero": (lambda x, k: jnp.cbrt(x), "RangeError", "zero"),
    "leaving_index": (lambda x, k: jnp.take(x, k[0] + 3), "NotRealised", "mode='clip'"),
    "secret_while": (
        lambda x, k: lax.while_loop(lambda c: c[0] > 0, lambda c: c - 1, x),
        "NotRealised",
        "'while'",
    ),
    "endless": (
        lambda x, k: lax.while_loop(lambda s: s[0] >= 0, lambda s: (s[0] + 1, s[1] * 0.5), (0, x))[1],
        "NotRealised",
        "'while'",
    ),
    "python_if": (lambda x, k: x if x[0] > 0 else -x, "SecretUsedAsPublic", "jnp.where"),
    "python_range": (lambda x, k: jnp.zeros(int(k[0])), "SecretUsedAsPublic", "fixed size"),
    "numpy": (lambda x, k: np.asarray(x), "SecretUsedAsPublic", "NumPy"),
    "mask": (lambda x, k: x[x > 0], "SecretUsedAsPublic", "jnp.where"),
    "inverse": (lambda x, k: jnp.linalg.inv(x[:4].reshape(2, 2)), "RangeError", "tacit.conditioned"),
    "zero_division": (lambda x, k: 1 / x, "RangeError", "may be zero"),
    "log": (lambda x, k: jnp.log(x), "RangeError", "zero or negative"),
    "sqrt": (lambda x, k: jnp.sqrt(x), "RangeError", "negative"),
    "big_exp": (lambda x, k: jnp.exp(x * 1000), "RangeError", "3000"),
    "growth": (lambda x, k: lax.fori_loop(0, 500, lambda i, c: c * c, x), "RangeError", "loop"),
    "secret_power": (lambda x, k: x**x, "RangeError", "base positive"),
    "odd_power": (lambda x, k: x**0.3, "RangeError", "base positive"),
    "fft": (lambda x, k: jnp.fft.fft(x), "NotRealised", "complex"),
    "complex": (lambda x, k: x + 1j, "NotRealised", "complex"),
    "nan": (lambda x, k: jnp.nan * x, "RangeError", "NaN"),
    "outside": (lambda x, k: jnp.take(x, 9), "RangeError", "NaN"),
    "print": (lambda x, k: jax.debug.print("{}", x) or x, "NotRealised", "reveal"),
    "narrow": (lambda x, k: (k * 100).astype(jnp.int8), "RangeError", "may wrap"),
}
