"""Programs on shares of every party, what each provides by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tacit import testing
from tacit.array.program import Program
from tacit.array.runtime import Format, Runtime

OWNERS = ("alice", "bob", "carol")


def run_on_shares(
    program: Program, inputs: Mapping[str, Mapping[str, Any]], protocol: str, fmt: Format, seed: int
) -> dict[str, Any]:
    """Return what carol learns from a run."""
    found = testing.run(
        protocol,
        fmt.width,
        lambda p: Runtime(p, fmt, OWNERS).run(program, inputs.get(p.party.name, {})),
        dealer=testing.dealer_of(protocol, "dealer"),
        seed=seed,
    )
    return found["carol"]
