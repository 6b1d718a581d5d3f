"""docs/operations.md is what the tables say, and misses no primitive."""

from __future__ import annotations

from pathlib import Path

import jax

from tacit.frontends.jax import DTYPES
from tacit.frontends.jax_flat import flatten, x64
from tacit.frontends.jax_refused import REMEDIES
from tacit.frontends.jax_table import GROUPS, SPECS, listed, page, rules

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "run python -m tacit.frontends.jax_table > docs/operations.md"
    )


def test_every_rule_is_on_the_page_and_none_is_refused() -> None:
    assert listed() == rules()
    assert not rules() & set(REMEDIES)


def test_no_cell_is_missing() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `") and line.count("|") > 5]
    assert len(rows) == sum(len(g) for g in GROUPS.values())
    for row in rows:
        assert all(cell.strip() for cell in row.split("|")[1:6]), row


def test_each_example_uses_what_it_is_listed_for() -> None:
    for examples in GROUPS.values():
        for name, function in examples.items():
            specs = [SPECS[n] for n in function.__code__.co_varnames[: function.__code__.co_argcount]]
            with x64():
                shapes = [jax.ShapeDtypeStruct(a.shape, DTYPES[a.kind]) for a in specs]
                steps = flatten(jax.make_jaxpr(function)(*shapes)).steps
            assert name in {s.name for s in steps}
