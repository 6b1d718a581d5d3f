"""The rows of jax.numpy."""

# ruff: noqa: B008 (tables, one line a call; the default arguments bind a loop variable)
from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from parity_cases import FULL, Row, each, on, pair, reduction, rows

PICK = np.array([2, 0])
GRID = np.linspace(-5, 5, 7)

ELEMENTWISE: dict[str, Row] = {
    **{
        n: each(getattr(jnp, n), "R", 0)
        for n in ("abs", "absolute", "fabs", "negative", "positive", "sign", "signbit")
    },
    **{
        n: each(getattr(jnp, n), "R", 0)
        for n in ("floor", "ceil", "rint", "round", "around", "trunc", "modf")
    },
    **{
        n: each(getattr(jnp, n), "R", 0)
        for n in ("isfinite", "isinf", "isnan", "isneginf", "isposinf", "isreal", "iscomplex")
    },
    **{
        n: each(getattr(jnp, n), "R", 0)
        for n in ("real", "conj", "conjugate", "nan_to_num", "copy", "asarray", "array")
    },
    **{n: each(getattr(jnp, n), "R", 4) for n in ("square", "deg2rad", "radians")},
    **{n: each(getattr(jnp, n), "R", 70) for n in ("rad2deg", "degrees")},
    **{
        n: each(getattr(jnp, n), "R", 8)
        for n in ("exp", "exp2", "expm1", "sinh", "cosh", "tanh", "sin", "cos", "sinc", "arctan", "atan")
    },
    "tan": each(jnp.tan, "U", 16),
    **{
        n: each(getattr(jnp, n), "P", 8)
        for n in ("log", "log2", "log10", "log1p", "sqrt", "cbrt", "reciprocal")
    },
    **{
        n: each(getattr(jnp, n), "U", 8)
        for n in ("arcsin", "asin", "arccos", "acos", "arcsinh", "asinh", "i0")
    },
    **{n: each(getattr(jnp, n), "P", 8) for n in ("arccosh", "acosh")},
    **{n: each(getattr(jnp, n), "H", 8, FULL) for n in ("arctanh", "atanh")},
    **{
        n: each(getattr(jnp, n), "K", 0) for n in ("bitwise_not", "bitwise_invert", "invert", "bitwise_count")
    },
    "logical_not": each(jnp.logical_not, "B", 0),
    "angle": each(jnp.angle, "P", 8),
    "imag": each(jnp.imag, "R", 0),
    "frexp": each(jnp.frexp, "P", 0),
    "spacing": each(jnp.spacing, "P", 0),
    "unwrap": rows(8, on("Rv", jnp.unwrap)),
    "nonzero": rows(0, on("Rv", jnp.nonzero), on("Rv", lambda v: jnp.nonzero(v, size=3))),
    "astype": rows(
        0,
        on("Kx", lambda x: jnp.astype(x, float)),
        on("Bx", lambda x: jnp.astype(x, int)),
        on("Rx", lambda x: jnp.astype(x, int)),
    ),
}
PAIRS: dict[str, Row] = {
    **{n: pair(getattr(jnp, n), "RR", 0) for n in ("add", "subtract", "maximum", "minimum", "fmax", "fmin")},
    **{
        n: pair(getattr(jnp, n), "RR", 0)
        for n in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
    },
    **{n: pair(getattr(jnp, n), "RR", 0) for n in ("logical_and", "logical_or", "logical_xor", "copysign")},
    "multiply": pair(jnp.multiply, "RR", 1),
    **{n: pair(getattr(jnp, n), "RP", 8) for n in ("divide", "true_divide", "arctan2", "atan2", "hypot")},
    **{n: pair(getattr(jnp, n), "RR", 8) for n in ("logaddexp", "logaddexp2")},
    **{n: pair(getattr(jnp, n), "JN", 0) for n in ("floor_divide", "mod", "remainder", "fmod", "divmod")},
    **{
        n: pair(getattr(jnp, n), "KN", 0)
        for n in (
            "bitwise_and",
            "bitwise_or",
            "bitwise_xor",
            "bitwise_left_shift",
            "bitwise_right_shift",
            "left_shift",
            "right_shift",
            "gcd",
            "lcm",
            "ldexp",
        )
    },
    **{
        n: rows(
            16,
            on("Rx", lambda x, f=getattr(jnp, n): f(x, 3)),
            on("Pa", lambda x, f=getattr(jnp, n): f(x, 2)),
            on("Gz", lambda x, f=getattr(jnp, n): f(x, 2)),
            on("Ps", lambda x, f=getattr(jnp, n): f(x, 0.5)),
        )
        for n in ("power", "pow", "float_power")
    },
    "heaviside": pair(jnp.heaviside, "RR", 0),
    "nextafter": pair(jnp.nextafter, "RR", 0),
    **{n: pair(getattr(jnp, n), "RR", 0) for n in ("isclose", "array_equiv")},
    **{
        n: rows(
            0,
            on("Rx Rx", getattr(jnp, n)),
            on("Rz Rz", getattr(jnp, n)),
            on("Rs Rs", getattr(jnp, n)),
            on("Ra Ra", getattr(jnp, n)),
        )
        for n in ("allclose", "array_equal")
    },
    "clip": rows(
        0,
        on("Rx", lambda x: jnp.clip(x, -1, 1)),
        on("Rz", lambda x: jnp.clip(x, 0)),
        on("Rs", lambda x: jnp.clip(x, max=0)),
        on("Ra Gs", lambda x, y: jnp.clip(x, -y, y)),
    ),
    "where": rows(
        0,
        on("Bx Rx Rr", jnp.where),
        on("Bz Rz Rz", jnp.where),
        on("Bs Rs Rx", jnp.where),
        on("Ba Ra", lambda c, x: jnp.where(c, x, 0.0)),
    ),
    "select": rows(
        0,
        on("Rx Px", lambda x, y: jnp.select([x > 1, x < -1], [x, y], 0.5)),
        on("Rz", lambda x: jnp.select([x > 1], [x])),
    ),
    "piecewise": rows(1, on("Rv", lambda v: jnp.piecewise(v, [v < 0], [lambda a: -a, lambda a: a * 2]))),
    "choose": rows(0, on("Kv", lambda k: jnp.choose(k, [1, 2, 3], mode="clip"))),
}
REDUCTIONS: dict[str, Row] = {
    **{n: reduction(getattr(jnp, n), "R", 1) for n in ("sum", "nansum")},
    **{n: reduction(getattr(jnp, n), "U", 8) for n in ("prod", "nanprod")},
    **{
        n: reduction(getattr(jnp, n), "R", 8, empty=False)
        for n in ("mean", "nanmean", "var", "nanvar", "std", "nanstd", "average")
    },
    **{
        n: reduction(getattr(jnp, n), "R", 0, empty=False)
        for n in ("max", "min", "amax", "amin", "nanmax", "nanmin", "ptp")
    },
    **{
        n: reduction(getattr(jnp, n), "R", 0, empty=False)
        for n in ("argmax", "argmin", "nanargmax", "nanargmin")
    },
    **{n: reduction(getattr(jnp, n), "B", 0) for n in ("any", "all", "count_nonzero")},
    **{n: reduction(getattr(jnp, n), "R", 2, empty=False) for n in ("median", "nanmedian")},
    **{
        n: reduction(lambda x, axis=None, f=getattr(jnp, n): f(x, 0.3, axis=axis), "R", 4, empty=False)
        for n in ("quantile", "nanquantile")
    },
    **{
        n: reduction(lambda x, axis=None, f=getattr(jnp, n): f(x, 30, axis=axis), "R", 4, empty=False)
        for n in ("percentile", "nanpercentile")
    },
    **{
        n: rows(
            1,
            on("Rx", getattr(jnp, n)),
            on("Rx", lambda x, f=getattr(jnp, n): f(x, axis=0)),
            on("Rz", getattr(jnp, n)),
            on("Rr", lambda x, f=getattr(jnp, n): f(x, axis=1)),
        )
        for n in ("cumsum", "nancumsum")
    },
    **{
        n: rows(
            8,
            on("Ux", getattr(jnp, n)),
            on("Ux", lambda x, f=getattr(jnp, n): f(x, axis=0)),
            on("Uz", getattr(jnp, n)),
        )
        for n in ("cumprod", "nancumprod")
    },
    "cumulative_sum": rows(
        1,
        on("Rv", jnp.cumulative_sum),
        on("Rx", lambda x: jnp.cumulative_sum(x, axis=1, include_initial=True)),
    ),
    "cumulative_prod": rows(
        8, on("Uv", jnp.cumulative_prod), on("Ux", lambda x: jnp.cumulative_prod(x, axis=1))
    ),
    "apply_along_axis": rows(1, on("Rx", lambda x: jnp.apply_along_axis(jnp.sum, 0, x))),
    "apply_over_axes": rows(1, on("Rt", lambda x: jnp.apply_over_axes(jnp.sum, x, [0, 2]))),
    "trace": rows(0, on("Rm", jnp.trace), on("Rx", lambda x: jnp.trace(x, 1)), on("Rt", jnp.trace)),
    "cov": rows(8, on("Rx", jnp.cov), on("Rv Rv", jnp.cov)),
    "corrcoef": rows(64, on("Rv Pv", lambda v, w: jnp.corrcoef(v + jnp.arange(6.0), w * jnp.arange(6.0)))),
    "histogram": rows(
        2, on("Rv", lambda v: jnp.histogram(v, GRID))
    ),  # own edges are rounded: a value at one may move
    "histogram2d": rows(0, on("Rv Rv", lambda v, w: jnp.histogram2d(v, w, [GRID, GRID]))),
    "histogramdd": rows(0, on("Rx", lambda x: jnp.histogramdd(x, [GRID] * 3))),
    "histogram_bin_edges": rows(4, on("Rv", jnp.histogram_bin_edges)),
    "bincount": rows(0, on("Kv", lambda k: jnp.bincount(k, length=11))),
    "digitize": rows(0, on("Rv", lambda v: jnp.digitize(v, GRID)), on("Rx", lambda v: jnp.digitize(v, GRID))),
    "searchsorted": rows(
        0,
        on("Rv", lambda v: jnp.searchsorted(GRID, v)),
        on("Rv Rs", lambda v, s: jnp.searchsorted(jnp.sort(v), s)),
    ),
    "interp": rows(8, on("Rv", lambda v: jnp.interp(v, GRID, GRID**2))),
    "trapezoid": rows(4, on("Rx", jnp.trapezoid), on("Rv", lambda v: jnp.trapezoid(v, dx=0.5))),
    "diff": rows(
        0,
        on("Rx", jnp.diff),
        on("Rx", lambda x: jnp.diff(x, 2, axis=0)),
        on("Rr", lambda x: jnp.diff(x, axis=0)),
    ),
    "ediff1d": rows(0, on("Rx", jnp.ediff1d)),
    "gradient": rows(2, on("Rv", jnp.gradient), on("Rx", jnp.gradient)),
}
ORDER: dict[str, Row] = {
    "sort": rows(
        0,
        on("Rx", jnp.sort),
        on("Rx", lambda x: jnp.sort(x, axis=0, descending=True)),
        on("Kv", jnp.sort),
        on("Rr", jnp.sort),
    ),
    "argsort": rows(
        0, on("Rx", jnp.argsort), on("Kv", jnp.argsort), on("Rv", lambda v: jnp.argsort(v, descending=True))
    ),
    "lexsort": rows(0, on("Kv Rv", lambda k, v: jnp.lexsort((v, k)))),
    "sort_complex": rows(0, on("Rv", jnp.sort_complex)),
    "partition": rows(0, on("Rv", lambda v: jnp.sort(jnp.partition(v, 2)[:3]))),
    "argpartition": rows(0, on("Rv", lambda v: jnp.sort(jnp.argpartition(v, 2)[:3]))),
    **{
        n: rows(
            0, on("Kv", getattr(jnp, n)), on("Kv", lambda k, f=getattr(jnp, n): f(k, size=6, fill_value=-1))
        )
        for n in ("unique", "unique_values")
    },
    **{n: rows(0, on("Kv", getattr(jnp, n))) for n in ("unique_all", "unique_counts", "unique_inverse")},
    **{n: rows(0, on("Kv Jv", getattr(jnp, n))) for n in ("union1d", "intersect1d", "setdiff1d", "setxor1d")},
    "isin": rows(0, on("Kv Jv", jnp.isin), on("Kx", lambda k: jnp.isin(k, PICK))),
    "flatnonzero": rows(0, on("Rv", jnp.flatnonzero)),
    "argwhere": rows(0, on("Rx", jnp.argwhere)),
    "trim_zeros": rows(0, on("Kv", jnp.trim_zeros)),
    "extract": rows(0, on("Rv", lambda v: jnp.extract(v > 0, v))),
    "compress": rows(0, on("Rx", lambda x: jnp.compress(np.array([True, False, True]), x, axis=1))),
}
MOVES: dict[str, Row] = {
    **{
        n: rows(
            0,
            on("Rx", getattr(jnp, n)),
            on("Rs", getattr(jnp, n)),
            on("Rz", getattr(jnp, n)),
            on("Ra", getattr(jnp, n)),
        )
        for n in ("ravel", "transpose", "atleast_1d", "atleast_2d", "atleast_3d", "squeeze")
    },
    **{
        n: rows(0, on("Rs", getattr(jnp, n)), on("Rz", getattr(jnp, n)), on("Kx", getattr(jnp, n)))
        for n in (
            "zeros_like",
            "ones_like",
            "empty_like",
            "ndim",
            "shape",
            "size",
            "iterable",
            "isscalar",
            "iscomplexobj",
            "isrealobj",
        )
    },
    "full_like": rows(0, on("Rx", lambda x: jnp.full_like(x, 2.5)), on("Rx Rs", jnp.full_like)),
    "full": rows(0, on("Rs", lambda s: jnp.full((2, 3), s))),
    "reshape": rows(
        0,
        on("Rx", lambda x: jnp.reshape(x, (2, 6))),
        on("Rx", lambda x: jnp.reshape(x, -1, order="F")),
        on("Rz", lambda x: jnp.reshape(x, (3, 0))),
    ),
    "resize": rows(0, on("Rv", lambda v: jnp.resize(v, (4, 4)))),
    "broadcast_to": rows(
        0, on("Rr", lambda x: jnp.broadcast_to(x, (4, 3))), on("Rs", lambda x: jnp.broadcast_to(x, (2,)))
    ),
    "broadcast_arrays": rows(0, on("Rr Rv", lambda x, v: jnp.broadcast_arrays(x, v[:, None]))),
    "expand_dims": rows(0, on("Rx", lambda x: jnp.expand_dims(x, (0, 2)))),
    "swapaxes": rows(0, on("Rt", lambda x: jnp.swapaxes(x, 0, 2))),
    "moveaxis": rows(0, on("Rt", lambda x: jnp.moveaxis(x, 0, -1))),
    "rollaxis": rows(0, on("Rt", lambda x: jnp.rollaxis(x, 2))),
    "permute_dims": rows(0, on("Rt", lambda x: jnp.permute_dims(x, (2, 0, 1)))),
    "matrix_transpose": rows(0, on("Rt", jnp.matrix_transpose)),
    **{
        n: rows(0, on("Rx Rr", lambda x, r, f=getattr(jnp, n): f([x, r])))
        for n in ("concatenate", "concat", "vstack")
    },
    "hstack": rows(
        0, on("Rx Px", lambda x, y: jnp.hstack([x, y])), on("Rv Ro", lambda x, y: jnp.hstack([x, y]))
    ),
    "dstack": rows(0, on("Rx Px", lambda x, y: jnp.dstack([x, y]))),
    "column_stack": rows(0, on("Rv Pv", lambda x, y: jnp.column_stack([x, y]))),
    "stack": rows(
        0, on("Rx Px", lambda x, y: jnp.stack([x, y], 1)), on("Rs Ps", lambda x, y: jnp.stack([x, y]))
    ),
    "unstack": rows(0, on("Rx", jnp.unstack)),
    "block": rows(0, on("Rm Rm", lambda x, y: jnp.block([[x, y], [y, x]]))),
    "append": rows(0, on("Rv Rs", jnp.append), on("Rx Rr", lambda x, r: jnp.append(x, r, axis=0))),
    "insert": rows(0, on("Rv Rs", lambda v, s: jnp.insert(v, 2, s))),
    "delete": rows(0, on("Rv", lambda v: jnp.delete(v, 2)), on("Rx", lambda v: jnp.delete(v, PICK, axis=0))),
    "split": rows(0, on("Rx", lambda x: jnp.split(x, 2)), on("Rv", lambda x: jnp.split(x, [1, 4]))),
    "array_split": rows(0, on("Rx", lambda x: jnp.array_split(x, 3))),
    "hsplit": rows(0, on("Rx", lambda x: jnp.hsplit(x, 3))),
    "vsplit": rows(0, on("Rx", lambda x: jnp.vsplit(x, 2))),
    "dsplit": rows(0, on("Rt", lambda x: jnp.dsplit(x, 2))),
    "flip": rows(0, on("Rx", jnp.flip), on("Rt", lambda x: jnp.flip(x, 1))),
    "fliplr": rows(0, on("Rx", jnp.fliplr)),
    "flipud": rows(0, on("Rx", jnp.flipud)),
    "rot90": rows(0, on("Rx", jnp.rot90)),
    "roll": rows(0, on("Rx", lambda x: jnp.roll(x, 2)), on("Rx", lambda x: jnp.roll(x, (1, -1), (0, 1)))),
    "tile": rows(0, on("Rx", lambda x: jnp.tile(x, (2, 1, 2)))),
    "repeat": rows(
        0, on("Rx", lambda x: jnp.repeat(x, 2, axis=1)), on("Rv", lambda x: jnp.repeat(x, np.arange(6)))
    ),
    "pad": rows(
        0,
        on("Rx", lambda x: jnp.pad(x, 1)),
        *(
            on("Rx", lambda x, m=m: jnp.pad(x, ((1, 0), (2, 1)), mode=m))
            for m in ("edge", "reflect", "symmetric", "wrap")
        ),
    ),
    **{
        n: rows(0, on("Rm", getattr(jnp, n)), on("Rx", lambda x, f=getattr(jnp, n): f(x, 1)))
        for n in ("tril", "triu", "diagonal")
    },
    "diag": rows(0, on("Rv", jnp.diag), on("Rm", jnp.diag), on("Rv", lambda v: jnp.diag(v, 1))),
    "diagflat": rows(0, on("Rx", jnp.diagflat)),
    "fill_diagonal": rows(0, on("Rm", lambda m: jnp.fill_diagonal(m, 7.0, inplace=False))),
    "take": rows(
        0,
        on("Rx", lambda x: jnp.take(x, PICK, axis=0)),
        on("Rx", lambda x: jnp.take(x, 5)),
        on("Rv Kv", lambda v, k: jnp.take(v, k, mode="clip")),
    ),
    "take_along_axis": rows(
        0,
        on("Rx", lambda x: jnp.take_along_axis(x, np.array([[0], [2], [1], [0]]), axis=1)),
        on("Rv Nv", lambda v, k: jnp.take_along_axis(v, k - 1, 0, mode="clip")),
    ),
    "put": rows(0, on("Rv", lambda v: jnp.put(v, PICK, 3.5, inplace=False))),
    "place": rows(0, on("Rv", lambda v: jnp.place(v, np.arange(6) > 3, np.array([1.5]), inplace=False))),
    "put_along_axis": rows(
        0, on("Rx", lambda x: jnp.put_along_axis(x, np.array([[0], [2], [1], [0]]), 9.0, 1, inplace=False))
    ),
    "meshgrid": rows(0, on("Rv Pv", jnp.meshgrid)),
    "vander": rows(64, on("Uv", lambda v: jnp.vander(v, 4))),
    "packbits": rows(0, on("Bv", jnp.packbits)),
    "unpackbits": rows(0, on("Kv", lambda k: jnp.unpackbits(k.astype(jnp.uint8)))),
    "unravel_index": rows(0, on("Kv", lambda k: jnp.unravel_index(k, (3, 4)))),
    "ravel_multi_index": rows(0, on("Nv", lambda k: jnp.ravel_multi_index((k, k), (9, 9), mode="clip"))),
    "ix_": rows(0, on("Kv", jnp.ix_)),
    "linspace": rows(4, on("Rs Ps", lambda a, b: jnp.linspace(a, b, 5))),
    "logspace": rows(64, on("Us", lambda a: jnp.logspace(a, 1.0, 4))),
    "geomspace": rows(64, on("Ps", lambda a: jnp.geomspace(a, 9.5, 4))),
    "vectorize": rows(1, on("Rx Px", lambda x, y: jnp.vectorize(lambda a, b: a * b)(x, y))),
    "frompyfunc": rows(1, on("Rx Px", lambda x, y: jnp.frompyfunc(lambda a, b: a + b, 2, 1)(x, y))),
    "fromfunction": rows(1, on("Rs", lambda s: jnp.fromfunction(lambda i, j: i * s + j, (2, 3)))),
}
PRODUCTS: dict[str, Row] = {
    "dot": rows(2, on("Rv Rv", jnp.dot), on("Rx Rm", jnp.dot), on("Rs Rx", jnp.dot)),
    "vdot": rows(2, on("Rx Rx", jnp.vdot)),
    "vecdot": rows(2, on("Rx Rx", jnp.vecdot)),
    "inner": rows(2, on("Rx Rm", jnp.inner)),
    "outer": rows(1, on("Rv Rx", jnp.outer)),
    "matmul": rows(
        2,
        on("Rx Rm", jnp.matmul),
        on("Rz Rm", jnp.matmul),
        on("Rt Rx", jnp.matmul),
        on("Ra Rt", lambda a, t: a @ t[0, :2]),
    ),
    "matvec": rows(2, on("Rm Rr", lambda m, r: jnp.matvec(m, r[0]))),
    "vecmat": rows(2, on("Rm Rr", lambda m, r: jnp.vecmat(r[0], m))),
    "tensordot": rows(
        2, on("Rx Rx", jnp.tensordot), on("Rt Rx", lambda t, x: jnp.tensordot(t, x, ((2,), (0,))))
    ),
    "einsum": rows(
        2,
        on("Rx Rx", lambda x, y: jnp.einsum("ij,kj->ik", x, y)),
        on("Rt", lambda t: jnp.einsum("iij->j", t[:, :2])),
        on("Rm Rm Rv", lambda m, n, v: jnp.einsum("ij,jk,k->i", m, n, v[:3])),
    ),
    "kron": rows(1, on("Rm Rr", jnp.kron)),
    "cross": rows(2, on("Rx Rr", jnp.cross)),
    **{
        n: rows(
            8,
            on("Rv Ro", lambda v, o, f=getattr(jnp, n): f(v, jnp.append(o, 2.0))),
            on("Rv Rv", lambda v, w, f=getattr(jnp, n): f(v, w, mode="same")),
        )
        for n in ("convolve", "correlate")
    },
    "polyval": rows(200, on("Rr Uv", lambda p, v: jnp.polyval(p[0], v))),
    "poly": rows(64, on("Uv", jnp.poly)),
    "polyadd": rows(0, on("Rv Ro", jnp.polyadd)),
    "polysub": rows(0, on("Rv Ro", jnp.polysub)),
    "polymul": rows(8, on("Rv Rv", lambda v, w: jnp.polymul(v, w))),
    "polyder": rows(8, on("Rv", jnp.polyder)),
    "polyint": rows(8, on("Rv", jnp.polyint)),
    "polydiv": rows(64, on("Rv Pr", lambda v, w: jnp.polydiv(v, w[0]))),
    "polyfit": rows(64, on("Rv Rv", lambda v, w: jnp.polyfit(v, w, 1))),
    "roots": rows(64, on("Rv", jnp.roots)),
}
