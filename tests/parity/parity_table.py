"""All rows, in groups that run as one session each."""

from __future__ import annotations

import jax.scipy as sp
import parity_jnp
import parity_lax
import parity_scipy
from parity_cases import Row, on, rows


def _named(module: str, table: dict[str, Row]) -> dict[str, Row]:
    return {f"{module}.{name}": row for name, row in table.items()}


INTEGRALS = {"trapezoid": rows(4, on("Rx", sp.integrate.trapezoid))}

GROUPS: dict[str, dict[str, Row]] = {
    "jnp elementwise": _named("jnp", parity_jnp.ELEMENTWISE),
    "jnp pairs": _named("jnp", parity_jnp.PAIRS),
    "jnp reductions": _named("jnp", parity_jnp.REDUCTIONS),
    "jnp order": _named("jnp", parity_jnp.ORDER),
    "jnp moves": _named("jnp", parity_jnp.MOVES),
    "jnp products": _named("jnp", parity_jnp.PRODUCTS),
    "lax elementwise": _named("lax", parity_lax.ELEMENTWISE),
    "lax pairs": _named("lax", parity_lax.PAIRS),
    "lax reductions": _named("lax", parity_lax.REDUCTIONS),
    "lax moves": _named("lax", parity_lax.MOVES),
    "lax products": _named("lax", parity_lax.PRODUCTS),
    "lax control": _named("lax", parity_lax.CONTROL),
    "nn": _named("nn", parity_lax.ACTIVATIONS),
    "special": _named("special", parity_scipy.SPECIAL),
    "stats": _named("stats", parity_scipy.STATS),
    "jnp.linalg": _named("jnp.linalg", parity_scipy.MATRICES),
    "linalg": _named("linalg", parity_scipy.SCIPY_MATRICES) | _named("lax.linalg", parity_scipy.LAX_MATRICES),
    "signal": _named("signal", parity_scipy.SIGNALS) | _named("integrate", INTEGRALS),
    "fft": _named("jnp.fft", parity_scipy.FOURIER) | _named("fft", parity_scipy.TRANSFORMS),
}
ALL: dict[str, Row] = {name: row for table in GROUPS.values() for name, row in table.items()}

NO_SECRETS = frozenset(
    """
    jnp.arange jnp.array_repr jnp.array_str jnp.bartlett jnp.blackman jnp.broadcast_shapes jnp.can_cast
    jnp.diag_indices jnp.diag_indices_from jnp.einsum_path jnp.empty jnp.eye jnp.fft.fftfreq jnp.fft.rfftfreq
    jnp.from_dlpack jnp.frombuffer jnp.fromfile jnp.fromiter jnp.fromstring jnp.get_printoptions jnp.hamming
    jnp.hanning jnp.identity jnp.indices jnp.isdtype jnp.issubdtype jnp.kaiser jnp.load jnp.mask_indices jnp.ones
    jnp.printoptions jnp.promote_types jnp.result_type jnp.save jnp.savez jnp.set_printoptions jnp.tri
    jnp.tril_indices jnp.tril_indices_from jnp.triu_indices jnp.triu_indices_from jnp.zeros
    lax.ConvGeneralDilatedDimensionNumbers lax.DotDimensionNumbers lax.PrecisionLike lax.after_all lax.all_gather
    lax.all_to_all lax.axis_index lax.axis_size lax.broadcast_shapes lax.broadcasted_iota lax.conv_dimension_numbers
    lax.conv_general_permutations lax.conv_general_shape_tuple lax.conv_shape_tuple lax.conv_transpose_shape_tuple
    lax.create_token lax.empty lax.iota lax.padtype_to_pads lax.pbroadcast lax.pcast lax.pmax lax.pmean lax.pmin
    lax.ppermute lax.precv lax.psend lax.pshuffle lax.psum lax.psum_scatter lax.pswapaxes lax.ragged_all_to_all
    lax.reduce_window_shape_tuple lax.rng_bit_generator lax.rng_uniform lax.scatter_apply lax.stage
    linalg.dft linalg.hadamard linalg.helmert linalg.hilbert linalg.invhilbert linalg.invpascal linalg.pascal
    nn.get_scaled_dot_general_config
    """.split()  # noqa: SIM905
)
"""What makes constants, describes shapes and types, reads or prints, or talks between devices.

`lax.scatter_apply` is here because JAX itself fails to compile it for float64 with 64-bit indices.
"""
