"""Functions that are refused, by what the message must say: the primitive in quotes, or the reason."""

from __future__ import annotations

_BY_WORD: dict[str, str] = {
    "2^-16": """
        jnp.unwrap
    """,
    "NaN or infinite": """
        stats.bernoulli.cdf stats.bernoulli.logpmf stats.betabinom.logpmf stats.betabinom.pmf
        stats.binom.logpmf stats.dirichlet.logpdf stats.multinomial.logpmf stats.nbinom.logpmf
        stats.poisson.logpmf stats.uniform.logpdf stats.uniform.pdf stats.wrapcauchy.logpdf
        stats.wrapcauchy.pdf
    """,
    "Python asked": """
        jnp.argwhere jnp.compress jnp.extract jnp.flatnonzero jnp.intersect1d jnp.nonzero jnp.roots
        jnp.setdiff1d jnp.setxor1d jnp.trim_zeros jnp.union1d jnp.unique jnp.unique_all jnp.unique_counts
        jnp.unique_inverse jnp.unique_values special.bernoulli
    """,
    "approx_top_k": """
        lax.approx_max_k lax.approx_min_k
    """,
    "bessel_i0e": """
        jnp.i0 lax.bessel_i0e special.i0 special.i0e
    """,
    "bessel_i1e": """
        lax.bessel_i1e special.i1 special.i1e
    """,
    "bitcast_convert_type": """
        jnp.copysign jnp.frexp jnp.ldexp jnp.signbit jnp.spacing lax.bitcast_convert_type special.beta
        special.gamma special.gammasgn special.poch
    """,
    "cholesky_update": """
        lax.linalg.cholesky_update
    """,
    "complex": """
        fft.dct fft.dctn fft.idct fft.idctn jnp.fft.fft jnp.fft.fft2 jnp.fft.fftn jnp.fft.hfft jnp.fft.ifft
        jnp.fft.ifft2 jnp.fft.ifftn jnp.fft.irfft jnp.fft.irfft2 jnp.fft.irfftn jnp.sort_complex lax.complex
        lax.imag lax.real linalg.rsf2csf linalg.solve_sylvester linalg.sqrtm signal.istft special.wofz
    """,
    "composite": """
        lax.composite
    """,
    "conj": """
        lax.conj
    """,
    "cumlogsumexp": """
        lax.cumlogsumexp
    """,
    "dce_sink": """
        lax.dce_sink
    """,
    "eig": """
        jnp.linalg.eig jnp.linalg.eigvals lax.linalg.eig
    """,
    "fft": """
        jnp.fft.ihfft jnp.fft.rfft jnp.fft.rfft2 jnp.fft.rfftn lax.fft signal.csd signal.fftconvolve
        signal.stft signal.welch
    """,
    "geqrf": """
        linalg.qr_multiply
    """,
    "grow without bound": """
        special.bessel_jn
    """,
    "hessenberg": """
        lax.linalg.hessenberg linalg.hessenberg
    """,
    "householder_product": """
        lax.linalg.householder_product
    """,
    "igamma": """
        lax.igamma special.gammainc stats.chi2.cdf stats.chi2.logcdf stats.gamma.cdf stats.gamma.logcdf
        stats.gennorm.cdf
    """,
    "igamma_grad_a": """
        lax.igamma_grad_a
    """,
    "igammac": """
        lax.igammac special.gammaincc stats.chi2.logsf stats.chi2.sf stats.gamma.logsf stats.gamma.sf
        stats.poisson.cdf
    """,
    "lu_pivots_to_permutation": """
        lax.linalg.lu_pivots_to_permutation linalg.lu_solve
    """,
    "may be negative": """
        jnp.corrcoef special.sph_harm_y
    """,
    "may be zero": """
        jnp.geomspace jnp.polyfit lax.linalg.qdwh lax.random_gamma_grad linalg.expm
        linalg.expm_frechet linalg.polar special.dawsn special.erfcx special.exp1 special.expi
        special.fresnel special.ndtri special.sici special.spence stats.norm.isf stats.norm.ppf
        stats.poisson.entropy stats.truncnorm.cdf stats.truncnorm.logcdf stats.truncnorm.logsf
        stats.truncnorm.sf
    """,
    "may overflow": """
        stats.binom.pmf stats.multinomial.pmf stats.nbinom.pmf
    """,
    "may wrap": """
        jnp.packbits
    """,
    "mulhi": """
        lax.mulhi
    """,
    "nextafter": """
        jnp.nextafter lax.nextafter
    """,
    "not strictly between": """
        special.comb
    """,
    "ormqr": """
        lax.linalg.ormqr
    """,
    "overflow": """
        stats.multivariate_normal.pdf
    """,
    "polygamma": """
        lax.polygamma special.polygamma
    """,
    "ragged_dot_general": """
        lax.ragged_dot lax.ragged_dot_general
    """,
    "regularized_incomplete_beta": """
        lax.betainc special.betainc stats.beta.cdf stats.beta.logcdf stats.beta.logsf stats.beta.sf
    """,
    "scaled_dot": """
        lax.scaled_dot
    """,
    "scaled_matmul_wrapper": """
        nn.scaled_matmul
    """,
    "schur": """
        lax.linalg.schur linalg.funm linalg.schur
    """,
    "sharding_constraint": """
        lax.with_sharding_constraint
    """,
    "shift_left": """
        jnp.bitwise_left_shift jnp.left_shift lax.shift_left
    """,
    "shift_right_arithmetic": """
        jnp.bitwise_right_shift jnp.right_shift lax.shift_right_arithmetic
    """,
    "shift_right_logical": """
        lax.shift_right_logical
    """,
    "singular": """
        lax.linalg.triangular_solve linalg.solve_triangular
    """,
    "symmetric_product": """
        lax.linalg.symmetric_product
    """,
    "tridiagonal": """
        lax.linalg.tridiagonal
    """,
    "tridiagonal_solve": """
        lax.linalg.tridiagonal_solve
    """,
    "while": """
        jnp.gcd jnp.lcm linalg.eigh_tridiagonal special.expn special.hyp1f1 special.hyp2f1
    """,
    "zeta": """
        lax.zeta special.zeta
    """,
}

REFUSED: dict[str, str] = {name: word for word, names in _BY_WORD.items() for name in names.split()}
