"""The rows of jax.lax and jax.nn."""

# ruff: noqa: B008 (tables, one line a call; the default arguments bind a loop variable)
from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from parity_cases import FULL, Row, each, on, pair, rows

PICK = np.array([[2], [0]])
TAKE = lax.GatherDimensionNumbers(offset_dims=(1,), collapsed_slice_dims=(0,), start_index_map=(0,))
PUT = lax.ScatterDimensionNumbers(
    update_window_dims=(1,), inserted_window_dims=(0,), scatter_dims_to_operand_dims=(0,)
)


def _same(name: str) -> Any:
    f = getattr(lax, name)
    return lambda x, y: f(*jnp.broadcast_arrays(x, y))


def _scatter(name: str) -> Row:
    f = getattr(lax, name)
    return rows(1, on("Rx Px", lambda x, y: f(x, PICK, y[:2], PUT)))


ELEMENTWISE: dict[str, Row] = {
    **{
        n: each(getattr(lax, n), "R", 0)
        for n in (
            "abs",
            "neg",
            "sign",
            "floor",
            "ceil",
            "round",
            "is_finite",
            "conj",
            "stop_gradient",
            "optimization_barrier",
        )
    },
    **{
        n: each(getattr(lax, n), "R", 8)
        for n in (
            "exp",
            "exp2",
            "expm1",
            "sinh",
            "cosh",
            "tanh",
            "sin",
            "cos",
            "logistic",
            "atan",
            "erf",
            "erfc",
            "square",
        )
    },
    "tan": each(lax.tan, "U", 16),
    **{n: each(getattr(lax, n), "P", 8) for n in ("log", "log1p", "sqrt", "rsqrt", "cbrt", "reciprocal")},
    **{n: each(getattr(lax, n), "P", 16) for n in ("lgamma", "digamma", "acosh")},
    **{n: each(getattr(lax, n), "U", 16) for n in ("asin", "acos", "asinh", "bessel_i0e", "bessel_i1e")},
    **{n: each(getattr(lax, n), "H", 16, FULL) for n in ("atanh", "erf_inv")},
    **{n: each(getattr(lax, n), "K", 0) for n in ("bitwise_not", "population_count", "clz")},
    "real": each(lambda x: lax.real(lax.complex(x, x))),
    "imag": each(lambda x: lax.imag(lax.complex(x, x))),
    "integer_pow": each(lambda x: lax.integer_pow(x, 3), "R", 100),
    "convert_element_type": rows(
        0,
        on("Rx", lambda x: lax.convert_element_type(x, int)),
        on("Bx", lambda x: lax.convert_element_type(x, float)),
    ),
    "bitcast_convert_type": each(lambda x: lax.bitcast_convert_type(x, jnp.int64), "R", 0),
    "reduce_precision": each(lambda x: lax.reduce_precision(x * 1.0, 8, 23), "K", 0),
    "nextafter": pair(_same("nextafter"), "RR", 0),
    "clamp": rows(
        0,
        on("Rx", lambda x: lax.clamp(-1.0, x, 1.0)),
        on("Rz", lambda x: lax.clamp(-1.0, x, 1.0)),
        on("Rx Rx Px", lambda a, x, b: lax.clamp(a, x, a + b)),
    ),
}
PAIRS: dict[str, Row] = {
    **{n: pair(_same(n), "RR", 0) for n in ("add", "sub", "max", "min", "eq", "ne", "lt", "le", "gt", "ge")},
    "mul": pair(_same("mul"), "RR", 1),
    "div": pair(_same("div"), "RP", 8),
    "atan2": pair(_same("atan2"), "RP", 8),
    "rem": pair(_same("rem"), "JN", 0),
    **{n: pair(_same(n), "BB", 0) for n in ("bitwise_and", "bitwise_or", "bitwise_xor")},
    **{
        n: pair(_same(n), "KN", 0)
        for n in ("shift_left", "shift_right_arithmetic", "shift_right_logical", "mulhi")
    },
    "pow": rows(
        16,
        on("Px", lambda x: lax.pow(x, 1.5)),
        on("Rx", lambda x: lax.pow(x, 2)),
        on("Gz", lambda x: lax.pow(x, 2.0)),
    ),
    "complex": pair(_same("complex"), "RR", 0),
    **{
        n: pair(_same(n), "PG", 16)
        for n in ("igamma", "igammac", "igamma_grad_a", "zeta", "random_gamma_grad")
    },
    "polygamma": rows(16, on("Px", lambda x: lax.polygamma(1.0, x))),
    "betainc": rows(16, on("Px Gx Qx", lax.betainc)),
    "select": rows(0, on("Bx Rx Px", lax.select)),
    "select_n": rows(
        0,
        on("Bx Rx Px", lax.select_n),
        on("Kv Rv Pv", lambda k, v, w: lax.select_n((k > 3).astype(jnp.int32), v, w)),
    ),
}
REDUCTIONS: dict[str, Row] = {
    **{
        n: rows(
            2,
            on("Ux", lambda x, f=getattr(lax, n): f(x, (0,))),
            on("Ua", lambda x, f=getattr(lax, n): f(x, (0, 2))),
            on("Ur", lambda x, f=getattr(lax, n): f(x, (0, 1))),
        )
        for n in ("reduce_sum", "reduce_max", "reduce_min", "reduce_prod")
    },
    **{
        n: rows(
            0,
            on("Bx", lambda x, f=getattr(lax, n): f(x, (0,))),
            on("Ba", lambda x, f=getattr(lax, n): f(x, (0, 2))),
        )
        for n in ("reduce_and", "reduce_or", "reduce_xor")
    },
    **{
        n: rows(
            0,
            on("Rx", lambda x, f=getattr(lax, n): f(x, 0, jnp.int32)),
            on("Rr", lambda x, f=getattr(lax, n): f(x, 1, jnp.int64)),
        )
        for n in ("argmax", "argmin")
    },
    **{
        n: rows(
            1,
            on("Rx", lambda x, f=getattr(lax, n): f(x, 0)),
            on("Rx", lambda x, f=getattr(lax, n): f(x, 1, reverse=True)),
            on("Rz", getattr(lax, n)),
        )
        for n in ("cumsum", "cummax", "cummin")
    },
    "cumprod": rows(8, on("Ux", lax.cumprod), on("Ux", lambda x: lax.cumprod(x, 1, reverse=True))),
    "cumlogsumexp": rows(8, on("Rx", lax.cumlogsumexp)),
    "fft": rows(64, on("Rx", lambda x: lax.fft(x, "RFFT", (3,)))),
    "reduce": rows(
        1,
        on("Rx", lambda x: lax.reduce(x, 0.0, lax.add, (0,))),
        on("Rx", lambda x: lax.reduce(x, -np.inf, lax.max, (1,))),
    ),
    "reduce_window": rows(
        1,
        on("Rx", lambda x: lax.reduce_window(x, 0.0, lax.add, (2, 2), (1, 1), "VALID")),
        on("Rx", lambda x: lax.reduce_window(x, -np.inf, lax.max, (2, 1), (2, 1), "SAME")),
    ),
    "associative_scan": rows(
        1,
        on("Rx", lambda x: lax.associative_scan(jnp.add, x)),
        on("Rv", lambda x: lax.associative_scan(jnp.maximum, x)),
    ),
    "sort": rows(0, on("Rx", lax.sort), on("Kv Rv", lambda k, v: lax.sort((k, v), num_keys=2))),
    "sort_key_val": rows(0, on("Rv Kv", lax.sort_key_val)),
    "top_k": rows(0, on("Rx", lambda x: lax.top_k(x, 2))),
    "approx_max_k": rows(0, on("Rx", lambda x: lax.approx_max_k(x, 2))),
    "approx_min_k": rows(0, on("Rx", lambda x: lax.approx_min_k(x, 2))),
}
MOVES: dict[str, Row] = {
    "broadcast": rows(0, on("Rx", lambda x: lax.broadcast(x, (2,)))),
    "broadcast_in_dim": rows(0, on("Rv", lambda v: lax.broadcast_in_dim(v, (2, 6), (1,)))),
    "broadcast_to_rank": rows(0, on("Rv", lambda v: lax.broadcast_to_rank(v, 3))),
    "broadcast_like": rows(0, on("Rr Rx", lax.broadcast_like)),
    "collapse": rows(0, on("Rt", lambda t: lax.collapse(t, 1))),
    "concatenate": rows(0, on("Rx Rr", lambda x, r: lax.concatenate([x, r], 0))),
    "expand_dims": rows(0, on("Rx", lambda x: lax.expand_dims(x, (0,)))),
    "squeeze": rows(0, on("Rr", lambda x: lax.squeeze(x, (0,)))),
    "reshape": rows(
        0, on("Rx", lambda x: lax.reshape(x, (2, 6))), on("Rx", lambda x: lax.reshape(x, (12,), (1, 0)))
    ),
    "rev": rows(0, on("Rx", lambda x: lax.rev(x, (0,)))),
    "transpose": rows(0, on("Rt", lambda t: lax.transpose(t, (2, 0, 1)))),
    "tile": rows(0, on("Rx", lambda x: lax.tile(x, (2, 1)))),
    "pad": rows(
        0,
        on("Rx", lambda x: lax.pad(x, 0.5, ((1, -1, 1), (0, 2, 0)))),
        on("Rz", lambda x: lax.pad(x, 0.5, ((1, 1, 0), (0, 0, 0)))),
    ),
    "slice": rows(0, on("Rx", lambda x: lax.slice(x, (1, 0), (4, 2), (2, 1)))),
    "slice_in_dim": rows(0, on("Rx", lambda x: lax.slice_in_dim(x, 1, 3))),
    "index_in_dim": rows(0, on("Rx", lambda x: lax.index_in_dim(x, 1))),
    "index_take": rows(0, on("Rx", lambda x: lax.index_take(x, (np.array([2, 0]),), (0,)))),
    "dynamic_slice": rows(
        0,
        on("Rx", lambda x: lax.dynamic_slice(x, (1, 1), (2, 2))),
        on("Rx Ks", lambda x, k: lax.dynamic_slice(x, (k, 0), (2, 2))),
    ),
    "dynamic_slice_in_dim": rows(0, on("Rx", lambda x: lax.dynamic_slice_in_dim(x, 1, 2))),
    "dynamic_index_in_dim": rows(
        0,
        on("Rx", lambda x: lax.dynamic_index_in_dim(x, 2)),
        on("Rx Ks", lambda x, k: lax.dynamic_index_in_dim(x, k)),
    ),
    "dynamic_update_slice": rows(0, on("Rx Rr", lambda x, r: lax.dynamic_update_slice(x, r, (2, 0)))),
    "dynamic_update_slice_in_dim": rows(
        0, on("Rx Rr", lambda x, r: lax.dynamic_update_slice_in_dim(x, r, 2, 0))
    ),
    "dynamic_update_index_in_dim": rows(
        0, on("Rx Rr", lambda x, r: lax.dynamic_update_index_in_dim(x, r[0], 2, 0))
    ),
    "gather": rows(0, on("Rx", lambda x: lax.gather(x, PICK, TAKE, (1, 3)))),
    **{
        n: _scatter(n)
        for n in ("scatter", "scatter_add", "scatter_sub", "scatter_max", "scatter_min", "scatter_mul")
    },
    "split": rows(0, on("Rx", lambda x: lax.split(x, (1, 3)))),
    "stack": rows(0, on("Rx Px", lambda x, y: lax.stack([x, y]))),
    "unstack": rows(0, on("Rx", lax.unstack)),
    "full_like": rows(0, on("Rx", lambda x: lax.full_like(x, 2.0))),
    "full": rows(0, on("Rs", lambda s: lax.full((2, 2), s))),
    "dtype": rows(0, on("Rx", lambda x: jnp.zeros(2, lax.dtype(x)))),
    "shape_as_value": rows(0, on("Rx", lambda x: jnp.asarray(x.shape))),
}
PRODUCTS: dict[str, Row] = {
    "dot": rows(2, on("Rx Rm", lax.dot), on("Rv Rv", lax.dot)),
    "dot_general": rows(2, on("Rt Rt", lambda a, b: lax.dot_general(a, b, (((2,), (2,)), ((0,), (0,)))))),
    "batch_matmul": rows(2, on("Rt Rt", lambda a, b: lax.batch_matmul(a, b.transpose(0, 2, 1)))),
    "ragged_dot": rows(2, on("Rx Rt", lambda x, t: lax.ragged_dot(x, t, np.array([2, 2])))),
    "ragged_dot_general": rows(
        2,
        on(
            "Rx Rt",
            lambda x, t: lax.ragged_dot_general(
                x, t, np.array([2, 2]), lax.RaggedDotDimensionNumbers((((1,), (1,)), ((), ())), [0], [0])
            ),
        ),
    ),
    "scaled_dot": rows(8, on("Rx Rm", lambda x, m: lax.scaled_dot(x, m))),
    "conv": rows(8, on("Ra Ra", lambda x, w: lax.conv(x, w, (1, 1), "SAME"))),
    "conv_general_dilated": rows(
        8,
        on(
            "Ra Ra",
            lambda x, w: lax.conv_general_dilated(x, w, (1, 1), ((0, 1), (1, 0)), lhs_dilation=(2, 1)),
        ),
    ),
    "conv_general_dilated_local": rows(
        8,
        on(
            "Ra",
            lambda x: lax.conv_general_dilated_local(x, jnp.full((3, 2, 2, 2), 0.5), (1, 1), "VALID", (2, 1)),
        ),
    ),
    "conv_general_dilated_patches": rows(
        0, on("Ra", lambda x: lax.conv_general_dilated_patches(x, (2, 1), (1, 1), "VALID"))
    ),
    "conv_transpose": rows(
        8,
        on(
            "Ra Rx",
            lambda x, w: lax.conv_transpose(
                x,
                w.reshape(1, 2, 2, 3),
                (1, 1),
                "SAME",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            ),
        ),
    ),
    "conv_with_general_padding": rows(
        8, on("Ra Ra", lambda x, w: lax.conv_with_general_padding(x, w, (1, 1), ((1, 1), (0, 0)), None, None))
    ),
}
CONTROL: dict[str, Row] = {
    "scan": rows(4, on("Rx", lambda x: lax.scan(lambda c, r: (c * 0.5 + r, c), jnp.zeros(3), x))),
    "map": rows(2, on("Rx", lambda x: lax.map(jnp.sum, x))),
    "fori_loop": rows(4, on("Rx", lambda x: lax.fori_loop(0, 4, lambda i, c: c * 0.5 + x[i], jnp.zeros(3)))),
    "while_loop": rows(
        4, on("Rx", lambda x: lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * 0.5), (0, x))[1])
    ),
    "cond": rows(2, on("Rs Rx", lambda s, x: lax.cond(s > 0, lambda v: v, lambda v: -v, x))),
    "switch": rows(2, on("Ks Rx", lambda k, x: lax.switch(k, [lambda v: v, lambda v: -v], x))),
    "platform_dependent": rows(2, on("Rx", lambda x: lax.platform_dependent(x, default=lambda v: v * 2))),
    "custom_root": rows(
        64,
        on(
            "Ps",
            lambda p: lax.custom_root(
                lambda z: z * z - p,
                1.0,
                lambda f, z: lax.fori_loop(0, 9, lambda i, w: jnp.clip(0.5 * (w + p / w), 0.5, 9.0), z),
                lambda g, y: y / g(1.0),
            ),
        ),
    ),
    "custom_linear_solve": rows(
        64,
        on(
            "Px Px",
            lambda a, b: lax.custom_linear_solve(lambda z: a * z, b, lambda f, v: v / a, symmetric=True),
        ),
    ),
    "composite": rows(2, on("Rx", lambda x: lax.composite(lambda v: v * 2, name="tacit.twice")(x))),
    "dce_sink": rows(2, on("Rx", lambda x: lax.dce_sink(x) or x)),
    "with_sharding_constraint": rows(
        0,
        on(
            "Rx",
            lambda x: lax.with_sharding_constraint(x, jax.sharding.SingleDeviceSharding(jax.devices()[0])),
        ),
    ),
}
nn = jax.nn
ACTIVATIONS: dict[str, Row] = {
    **{
        n: each(getattr(nn, n), "R", 12)
        for n in (
            "celu",
            "elu",
            "gelu",
            "hard_sigmoid",
            "hard_silu",
            "hard_swish",
            "log_sigmoid",
            "selu",
            "sigmoid",
            "silu",
            "swish",
            "softplus",
            "soft_sign",
            "squareplus",
            "sparse_plus",
            "tanh",
        )
    },
    **{n: each(getattr(nn, n), "R", 0) for n in ("relu", "relu6", "hard_tanh", "identity")},
    "mish": each(nn.mish, "R", 24),
    "sparse_sigmoid": each(nn.sparse_sigmoid, "R", 2),
    "leaky_relu": each(nn.leaky_relu, "R", 2),
    "log1mexp": each(nn.log1mexp, "P", 16),
    "glu": rows(12, on("Rt", nn.glu), on("Ra", nn.glu)),
    **{
        n: rows(
            12,
            on("Rx", getattr(nn, n)),
            on("Rx", lambda x, f=getattr(nn, n): f(x, axis=0)),
            on("Rr", getattr(nn, n)),
            on("Ra", getattr(nn, n)),
        )
        for n in ("softmax", "log_softmax")
    },
    **{
        n: rows(
            12,
            on("Rx", getattr(nn, n)),
            on("Rx", lambda x, f=getattr(nn, n): f(x, axis=0)),
            on("Rs", getattr(nn, n)),
            on("Ra", lambda x, f=getattr(nn, n): f(x, axis=(0, 2))),
        )
        for n in ("logsumexp", "logmeanexp")
    },
    "standardize": rows(64, on("Rt", nn.standardize)),
    "one_hot": rows(0, on("Kv", lambda k: nn.one_hot(k, 11)), on("Ks", lambda k: nn.one_hot(k, 5))),
    "dot_product_attention": rows(24, on("Ua Ua Ua", nn.dot_product_attention)),
    "scaled_dot_general": rows(
        24, on("Rx Rm", lambda x, m: nn.scaled_dot_general(x, m, (((1,), (0,)), ((), ()))))
    ),
    "scaled_matmul": rows(24, on("Rt Rt Pt Pt", nn.scaled_matmul)),
}
