"""What an analyst knows of a value and interval arithmetic does not see, stated where the value is used."""

from __future__ import annotations

from typing import Any

import numpy as np

from tacit.array import functions
from tacit.array.ops import clear_assume
from tacit.array.secret import SecretArray
from tacit.errors import RangeError, UsageError


def assume(x: Any, lo: float, hi: float, why: str = "") -> Any:
    """State that x lies in [lo, hi], as computed. Nothing checks it on secrets: a false statement gives wrong numbers.

    It works on arrays of a session or trace, and on JAX arrays inside a function that is traced; a check on sample
    data tests it, and every plan lists it. On NumPy arrays it is checked at once.
    """
    if isinstance(x, SecretArray):
        return functions.assume(x, lo, hi, why)
    if isinstance(x, np.ndarray | np.generic | float | int):
        return clear_assume([np.asarray(x)], {"lo": lo, "hi": hi})[0]
    from tacit.frontends.jax_facts import state_range

    return state_range(x, lo, hi, why)


def conditioned(a: Any, least: float, definite: bool = False) -> Any:
    """State that no singular value of the matrices `a` is below `least`, inside a JAX function.

    With `definite`, a is symmetric and no eigenvalue is below `least`. Inverses, solutions and factorisations take
    their ranges from it. On NumPy arrays it is checked at once.
    """
    if not 0 < least < 2.0**300:
        raise UsageError(f"least must be a positive number, not {least}")
    if isinstance(a, SecretArray):
        raise UsageError(
            "pass least=... to the function of tacit.array.linalg or tacit.array.eigen that takes the matrix"
        )
    if isinstance(a, np.ndarray):
        found = np.linalg.eigvalsh(a) if definite else np.linalg.svd(a, compute_uv=False)
        if found.size and found.min() < least * (1 - 1e-9):
            raise RangeError(f"a matrix stated to keep {least:g} away from singular ones does not")
        return a
    from tacit.frontends.jax_facts import state_conditioned

    return state_conditioned(a, least, definite)
