"""No function is forgotten: it is in the table, refused with a reason and a remedy, or takes no array of values."""

from __future__ import annotations

import jax
import parity_names
import pytest
from parity_refused import REFUSED
from parity_run import trace
from parity_table import ALL, NO_SECRETS

from tacit.errors import TacitError, UsageError

VERSION = "0.10"
"""The JAX whose functions are listed; others have more or fewer."""
REMEDIES = (
    "secrets are",
    "use",
    "write",
    "keep",
    "clip",
    "bound",
    "take",
    "compare",
    "eigh",
    "state",
    "multiply by",
    "add a",
)


def test_every_function_is_accounted_for() -> None:
    assert not set(ALL) & NO_SECRETS
    assert set(REFUSED) <= set(ALL)
    assert len(set(ALL) - set(REFUSED)) >= 500
    assert sum(len(row.cases) for name, row in ALL.items() if name not in REFUSED) >= 1500
    if not jax.__version__.startswith(VERSION + "."):
        pytest.skip(f"the tables are those of JAX {VERSION}")
    assert sorted(parity_names.everything() ^ (set(ALL) | NO_SECRETS)) == []


@pytest.mark.parametrize("part", range(4))
def test_refused_while_tracing_with_reason_and_remedy(part: int) -> None:
    wrong = []
    for name in sorted(REFUSED)[part::4]:
        try:
            trace(name, ALL[name].cases[0], 0)
        except UsageError as exc:
            said = str(exc)
            if REFUSED[name] not in said:
                wrong.append(f"{name}: {REFUSED[name]!r} is not in {said!r}")
            elif not any(word in said for word in REMEDIES):
                wrong.append(f"{name}: no remedy in {said!r}")
        except TacitError as exc:
            wrong.append(f"{name}: {exc!r} is not a usage error")
        else:
            wrong.append(f"{name} is supported now: take it off the list")
    assert not wrong, "\n".join(wrong)
