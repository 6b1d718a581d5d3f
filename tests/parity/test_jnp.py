"""Functions of jax.numpy on shares equal JAX in float64, on every protocol."""

from __future__ import annotations

import pytest
from parity_run import differences

from tacit import protocols

GROUPS = ["jnp elementwise", "jnp pairs", "jnp reductions", "jnp order", "jnp moves", "jnp products"]


@pytest.mark.parametrize("protocol", protocols.REGISTRY)
@pytest.mark.parametrize("group", GROUPS)
def test_equals_jax(group: str, protocol: str) -> None:
    found = differences(group, protocol)
    assert not found, "\n".join(found)
