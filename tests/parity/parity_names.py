"""Every public callable of the modules that the parity suite covers."""

from __future__ import annotations

import types
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.fft
import jax.scipy.integrate
import jax.scipy.linalg
import jax.scipy.signal
import jax.scipy.special
import jax.scipy.stats

MODULES: dict[str, Any] = {
    "jnp": jnp,
    "jnp.linalg": jnp.linalg,
    "jnp.fft": jnp.fft,
    "nn": jax.nn,
    "lax": jax.lax,
    "lax.linalg": jax.lax.linalg,
    "special": jax.scipy.special,
    "linalg": jax.scipy.linalg,
    "signal": jax.scipy.signal,
    "fft": jax.scipy.fft,
    "integrate": jax.scipy.integrate,
    "stats": jax.scipy.stats,
    **{f"stats.{n}": m for n, m in vars(jax.scipy.stats).items() if isinstance(m, types.ModuleType)},
}


def public(module: Any) -> set[str]:
    """Return the names of functions; types (dtypes, options, warnings) take no arrays."""
    found = set()
    for name in dir(module):
        thing = getattr(module, name)
        plain = isinstance(thing, type | type(jnp.float32))
        if not name.startswith("_") and callable(thing) and not plain:
            found.add(name)
    return found


def everything() -> set[str]:
    """Return "module.function" of all of them."""
    return {f"{at}.{name}" for at, module in MODULES.items() for name in public(module)}
