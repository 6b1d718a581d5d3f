"""The rows of jax.scipy, jax.numpy.linalg, jax.numpy.fft and jax.lax.linalg."""

# ruff: noqa: B008, E501 (tables, one line a call; the default arguments bind a loop variable)
from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import jax.scipy as sp
import numpy as np
from jax import lax
from parity_cases import FULL, Row, each, on, pair, rows

import tacit

DEFINITE = np.eye(3) * 2.0


def definite(m: Any) -> Any:
    """Return a definite matrix made of a secret one, and say how definite."""
    return m @ m.T + DEFINITE


def full(m: Any) -> Any:
    """Return a matrix that is far from singular, and say so."""
    return (
        tacit.conditioned(m * 0.1 + np.diag([3.0, 4.0, 5.0]), least=1.0)
        if hasattr(tacit, "conditioned")
        else m * 0.1 + np.diag([3.0, 4.0, 5.0])
    )


s, st = sp.special, sp.stats
SPECIAL: dict[str, Row] = {
    **{n: each(getattr(s, n), "R", 12) for n in ("erf", "erfc", "expit", "ndtr")},
    **{
        n: each(getattr(s, n), "U", 16)
        for n in (
            "erfcx",
            "log_ndtr",
            "i0",
            "i0e",
            "i1",
            "i1e",
            "dawsn",
            "exp1",
            "expi",
            "sici",
            "fresnel",
            "spence",
            "wofz",
        )
    },
    **{
        n: each(getattr(s, n), "P", 16)
        for n in ("digamma", "factorial", "gamma", "gammaln", "gammasgn", "loggamma", "bernoulli")
    },
    **{n: each(getattr(s, n), "Q", 16) for n in ("entr", "logit", "ndtri")},
    "erfinv": each(s.erfinv, "H", 16, FULL),
    **{
        n: pair(getattr(s, n), "QQ", 16)
        for n in ("kl_div", "rel_entr", "xlogy", "xlog1py", "boxcox", "boxcox1p")
    },
    **{
        n: pair(getattr(s, n), "PG", 24)
        for n in ("beta", "betaln", "comb", "poch", "zeta", "gammainc", "gammaincc", "owens_t")
    },
    "betainc": rows(16, on("Px Gx Qx", s.betainc)),
    "multigammaln": rows(16, on("Px", lambda x: s.multigammaln(x + 3, 2))),
    "polygamma": rows(16, on("Px", lambda x: s.polygamma(1, x))),
    "expn": rows(16, on("Px", lambda x: s.expn(2, x))),
    "hyp1f1": rows(16, on("Qx", lambda x: s.hyp1f1(1.0, 2.0, x))),
    "hyp2f1": rows(16, on("Qx", lambda x: s.hyp2f1(1.0, 2.0, 3.0, x))),
    "bessel_jn": rows(16, on("Qs", lambda x: s.bessel_jn(x, v=2))),
    "sph_harm_y": rows(16, on("Qo Qo", lambda a, b: s.sph_harm_y(np.array([1]), np.array([1]), a, b))),
    "softmax": rows(12, on("Rx", s.softmax)),
    "log_softmax": rows(12, on("Rx", s.log_softmax)),
    "logsumexp": rows(12, on("Rx", s.logsumexp), on("Rx", lambda x: s.logsumexp(x, axis=1))),
}
DISTRIBUTIONS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "bernoulli": ("K", (0.25,)), "beta": ("Q", (2.0, 3.0)), "binom": ("K", (10, 0.25)), "cauchy": ("R", ()), "expon": ("P", ()),
    "gamma": ("P", (2.0,)), "geom": ("N", (0.25,)), "laplace": ("R", ()), "logistic": ("R", ()), "nbinom": ("K", (3, 0.5)),
    "norm": ("R", (0.5, 2.0)), "pareto": ("P", (1.5, 0.0, 0.5)), "poisson": ("K", (2.5,)), "t": ("R", (3.0,)), "uniform": ("R", (-1.0, 3.0)),
    "chi2": ("P", (3.0,)), "betabinom": ("K", (10, 2.0, 3.0)), "gennorm": ("R", (1.5,)), "truncnorm": ("U", (-2.0, 2.0)),
    "vonmises": ("R", (1.5,)), "wrapcauchy": ("P", (0.5,)), "gumbel_r": ("U", ()), "gumbel_l": ("U", ()),
}  # fmt: skip
"""What a distribution is asked about, and its parameters, which are known."""


def _distributions() -> dict[str, Row]:
    found = {}
    for name, (family, parameters) in DISTRIBUTIONS.items():
        module = getattr(st, name)
        for function in dir(module):
            if function in ("pdf", "logpdf", "pmf", "logpmf", "cdf", "logcdf", "sf", "logsf"):
                f = getattr(module, function)
                found[f"{name}.{function}"] = each(lambda x, f=f, p=parameters: f(x, *p), family, 24)
            if function in ("ppf", "isf"):
                f = getattr(module, function)
                found[f"{name}.{function}"] = each(lambda q, f=f, p=parameters: f(q, *p), "Q", 64)
    return found


STATS: dict[str, Row] = {
    **_distributions(),
    "poisson.entropy": each(st.poisson.entropy, "P", 64),
    **{
        f"dirichlet.{n}": rows(
            64, on("Qx", lambda x, f=getattr(st.dirichlet, n): f(x / 3.0, np.array([2.0, 1.5, 3.0, 2.0])))
        )
        for n in ("pdf", "logpdf")
    },
    **{
        f"multinomial.{n}": rows(
            64, on("Kv", lambda k, f=getattr(st.multinomial, n): f(k, 30, np.full(6, 1 / 6)))
        )
        for n in ("pmf", "logpmf")
    },
    **{
        f"multivariate_normal.{n}": rows(
            24, on("Rx", lambda x, f=getattr(st.multivariate_normal, n): f(x, np.zeros(3), DEFINITE))
        )
        for n in ("pdf", "logpdf")
    },
    "mode": rows(0, on("Kv", lambda k: tuple(st.mode(k)))),
    "rankdata": rows(2, on("Rv", st.rankdata), on("Kv", st.rankdata)),
    "sem": rows(8, on("Rx", st.sem)),
}

_lin = jnp.linalg
MATRICES: dict[str, Row] = {
    "cholesky": rows(64, on("Um", lambda m: _lin.cholesky(definite(m)))),
    "cond": rows(256, on("Um", lambda m: _lin.cond(full(m)))),
    "cross": rows(2, on("Rx Rx", _lin.cross)),
    "det": rows(4096, on("Um", lambda m: _lin.det(full(m)))),
    "diagonal": rows(0, on("Rm", _lin.diagonal)),
    "eig": rows(64, on("Rm", _lin.eig)),
    "eigvals": rows(64, on("Rm", _lin.eigvals)),
    "eigh": rows(256, on("Um", lambda m: _eigen(_lin.eigh, definite(m)))),
    "eigvalsh": rows(256, on("Um", lambda m: _lin.eigvalsh(definite(m)))),
    "inv": rows(64, on("Um", lambda m: _lin.inv(full(m)))),
    "lstsq": rows(64, on("Um Rx", lambda m, x: _lin.lstsq(full(m), x.T)[0])),
    "matmul": rows(2, on("Rx Rm", _lin.matmul)),
    "matrix_norm": rows(16, on("Rm", _lin.matrix_norm)),
    "matrix_power": rows(64, on("Um", lambda m: _lin.matrix_power(m, 3))),
    "matrix_rank": rows(0, on("Um", lambda m: _lin.matrix_rank(full(m)))),
    "matrix_transpose": rows(0, on("Rt", _lin.matrix_transpose)),
    "multi_dot": rows(16, on("Ux Um Um", lambda a, b, c: _lin.multi_dot([a, b, c]))),
    "norm": rows(
        16,
        on("Rv", _lin.norm),
        on("Rx", lambda x: _lin.norm(x, axis=1)),
        on("Rx", lambda x: _lin.norm(x, 1, axis=0)),
    ),
    "outer": rows(1, on("Rv Rv", _lin.outer)),
    "pinv": rows(64, on("Um", lambda m: _lin.pinv(full(m)))),
    "qr": rows(64, on("Um", lambda m: _product(*_lin.qr(full(m))))),
    "slogdet": rows(64, on("Um", lambda m: _lin.slogdet(full(m)))),
    "solve": rows(64, on("Um Rx", lambda m, x: _lin.solve(full(m), x.T))),
    "svd": rows(256, on("Um", lambda m: _singular(_lin.svd, full(m)))),
    "svdvals": rows(256, on("Um", lambda m: _lin.svdvals(full(m)))),
    "tensordot": rows(2, on("Rx Rx", _lin.tensordot)),
    "tensorinv": rows(64, on("Um", lambda m: _lin.tensorinv(full(m), 1))),
    "tensorsolve": rows(64, on("Um Rr", lambda m, r: _lin.tensorsolve(full(m), r[0]))),
    "trace": rows(0, on("Rm", _lin.trace)),
    "vecdot": rows(2, on("Rx Rx", _lin.vecdot)),
    "vector_norm": rows(16, on("Rx", _lin.vector_norm), on("Rx", lambda x: _lin.vector_norm(x, axis=1))),
}


def _eigen(fn: Any, a: Any) -> Any:
    """Return what does not depend on the signs of eigenvectors."""
    w, v = fn(a)
    return w, (v * w) @ v.T


def _singular(fn: Any, a: Any) -> Any:
    u, w, vt = fn(a)
    return w, (u * w) @ vt


def _product(*factors: Any) -> Any:
    out = factors[0]
    for f in factors[1:]:
        out = out @ f
    return out


la = sp.linalg
SCIPY_MATRICES: dict[str, Row] = {
    "block_diag": rows(0, on("Rm Rr", la.block_diag)),
    "cho_factor": rows(64, on("Um", lambda m: jnp.triu(la.cho_factor(definite(m))[0]))),
    "cho_solve": rows(64, on("Um Rx", lambda m, x: la.cho_solve(la.cho_factor(definite(m)), x.T))),
    "cholesky": rows(64, on("Um", lambda m: la.cholesky(definite(m)))),
    "circulant": rows(0, on("Rv", la.circulant)),
    "companion": rows(64, on("Pv", la.companion)),
    "convolution_matrix": rows(0, on("Rv", lambda v: la.convolution_matrix(v, 3))),
    "det": rows(4096, on("Um", lambda m: la.det(full(m)))),
    "eigh": rows(256, on("Um", lambda m: _eigen(la.eigh, definite(m)))),
    "eigh_tridiagonal": rows(
        64, on("Rv Ro", lambda d, e: la.eigh_tridiagonal(d, jnp.broadcast_to(e, (5,)), eigvals_only=True))
    ),
    "expm": rows(64, on("Um", la.expm)),
    "expm_frechet": rows(64, on("Um Um", la.expm_frechet)),
    "fiedler": rows(0, on("Rv", la.fiedler)),
    "fiedler_companion": rows(64, on("Pv", la.fiedler_companion)),
    "funm": rows(64, on("Um", lambda m: la.funm(m, jnp.exp))),
    "hankel": rows(0, on("Rv Rv", la.hankel)),
    "hessenberg": rows(64, on("Um", la.hessenberg)),
    "inv": rows(64, on("Um", lambda m: la.inv(full(m)))),
    "leslie": rows(0, on("Qv", lambda v: la.leslie(v, v[:5]))),
    "lu": rows(64, on("Um", lambda m: _product(*la.lu(full(m))))),
    "lu_factor": rows(64, on("Um", lambda m: la.lu_factor(full(m)))),
    "lu_solve": rows(64, on("Um Rx", lambda m, x: la.lu_solve(la.lu_factor(full(m)), x.T))),
    "polar": rows(64, on("Um", lambda m: la.polar(full(m)))),
    "qr": rows(64, on("Um", lambda m: _product(*la.qr(full(m))))),
    "qr_multiply": rows(64, on("Um Rx", lambda m, x: la.qr_multiply(full(m), x))),
    "rsf2csf": rows(64, on("Um Um", la.rsf2csf)),
    "schur": rows(64, on("Um", la.schur)),
    "solve": rows(64, on("Um Rx", lambda m, x: la.solve(full(m), x.T))),
    "solve_sylvester": rows(64, on("Um Um Um", la.solve_sylvester)),
    "solve_triangular": rows(
        64, on("Um Rx", lambda m, x: la.solve_triangular(jnp.tril(full(m)), x.T, lower=True))
    ),
    "sqrtm": rows(64, on("Um", la.sqrtm)),
    "svd": rows(256, on("Um", lambda m: _singular(la.svd, full(m)))),
    "toeplitz": rows(0, on("Rv", la.toeplitz)),
}
ll = lax.linalg
LAX_MATRICES: dict[str, Row] = {
    "cholesky": rows(64, on("Um", lambda m: ll.cholesky(definite(m)))),
    "cholesky_update": rows(64, on("Um Rr", lambda m, r: ll.cholesky_update(m, r[0]))),
    "eig": rows(64, on("Um", ll.eig)),
    "eigh": rows(256, on("Um", lambda m: _eigen(lambda a: ll.eigh(a)[::-1], definite(m)))),
    "hessenberg": rows(64, on("Um", ll.hessenberg)),
    "householder_product": rows(64, on("Um Rv", lambda m, v: ll.householder_product(m, v[:3]))),
    "lu": rows(64, on("Um", lambda m: ll.lu(full(m))[0])),
    "lu_pivots_to_permutation": rows(
        0, on("Kv", lambda k: ll.lu_pivots_to_permutation(k.astype(jnp.int32), 11))
    ),
    "ormqr": rows(64, on("Um Rv Rx", lambda m, v, x: ll.ormqr(m, v[:3], x.T))),
    "qdwh": rows(64, on("Um", ll.qdwh)),
    "qr": rows(64, on("Um", lambda m: _product(*ll.qr(full(m), full_matrices=False)))),
    "schur": rows(64, on("Um", ll.schur)),
    "svd": rows(256, on("Um", lambda m: _singular(lambda a: ll.svd(a, full_matrices=False), full(m)))),
    "symmetric_product": rows(
        4, on("Um Um", lambda a, c: ll.symmetric_product(a, c + c.T, symmetrize_output=True))
    ),
    "triangular_solve": rows(
        64, on("Um Rx", lambda m, x: ll.triangular_solve(jnp.tril(full(m)), x.T, left_side=True, lower=True))
    ),
    "tridiagonal": rows(64, on("Um", lambda m: ll.tridiagonal(definite(m)))),
    "tridiagonal_solve": rows(
        64, on("Rv Pv Rv Rv", lambda a, b, c, d: ll.tridiagonal_solve(a, b, c, d[:, None]))
    ),
}
SIGNALS: dict[str, Row] = {
    **{
        n: rows(16, on("Rv Ro", lambda v, o, f=getattr(sp.signal, n): f(v, jnp.append(o, 0.5))))
        for n in ("convolve", "correlate", "fftconvolve")
    },
    **{
        n: rows(16, on("Rx Rx", lambda v, o, f=getattr(sp.signal, n): f(v, o[:2, :2], mode="same")))
        for n in ("convolve2d", "correlate2d")
    },
    "csd": rows(64, on("Rv Rv", lambda v, w: sp.signal.csd(v, w, nperseg=4))),
    "detrend": rows(
        16, on("Rv", lambda v: sp.signal.detrend(v, type="constant")), on("Rv", sp.signal.detrend)
    ),
    "stft": rows(64, on("Rv", lambda v: sp.signal.stft(v, nperseg=4))),
    "istft": rows(64, on("Rx", lambda v: sp.signal.istft(v, nperseg=6))),
    "welch": rows(64, on("Rv", lambda v: sp.signal.welch(v, nperseg=4))),
}
TRANSFORMS: dict[str, Row] = {
    n: rows(64, on("Rx", getattr(sp.fft, n))) for n in ("dct", "dctn", "idct", "idctn")
}
FOURIER: dict[str, Row] = {
    **{
        n: rows(64, on("Rx", getattr(jnp.fft, n)))
        for n in (
            "fft",
            "fft2",
            "fftn",
            "hfft",
            "ifft",
            "ifft2",
            "ifftn",
            "ihfft",
            "irfft",
            "irfft2",
            "irfftn",
            "rfft",
            "rfft2",
            "rfftn",
        )
    },
    **{n: rows(0, on("Rx", getattr(jnp.fft, n))) for n in ("fftshift", "ifftshift")},
}
