"""Functions of jax.lax and jax.nn on shares equal JAX in float64, on every protocol."""

from __future__ import annotations

import pytest
from parity_run import differences

from tacit import protocols

GROUPS = ["lax elementwise", "lax pairs", "lax reductions", "lax moves", "lax products", "lax control", "nn"]


@pytest.mark.parametrize("protocol", protocols.REGISTRY)
@pytest.mark.parametrize("group", GROUPS)
def test_equals_jax(group: str, protocol: str) -> None:
    found = differences(group, protocol)
    assert not found, "\n".join(found)
