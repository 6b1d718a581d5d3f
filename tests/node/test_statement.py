"""The statement says who learned what, from what one organisation can know as from what a launcher sees."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from jobs import OWNERS, VISITS

from tacit.array.interpret import Trace, reveal
from tacit.array.ranges import fit
from tacit.node.job import Job
from tacit.node.member import Outcome
from tacit.node.statement import statement

PARTIES = (*OWNERS, "dora")


def job() -> Job:
    """Everybody learns a total, bob a product, and dora deals nothing and provides nothing."""
    trace = Trace()
    a, b, c = (trace.input("visits", o, (3,), "fixed", 0, 100) for o in OWNERS)
    reveal((a + b + c).sum(), why="asked", name="total")
    reveal((a * b * c).sum(), to="bob", why="asked", name="product")
    made = trace.program()
    return Job("t", "rep3", fit(made), OWNERS, PARTIES, made, dict.fromkeys(OWNERS, (VISITS,)))


def outcome(party: str) -> Outcome:
    plan = job().plan()
    names = [d.name for d in plan.disclosures if d.to in (("all",), (party,))]
    return Outcome(party, dict.fromkeys(names, np.zeros(())), rounds=plan.cost.depth.get(party, 0))


def said(*who: str, **changes: Any) -> dict[str, list[str]]:
    rows = statement(job().plan(), {p: replace(outcome(p), **changes) for p in who}, "a test")
    found: dict[str, list[str]] = {}
    for heading, text in rows:
        found.setdefault(heading, []).append(text)
    return found


def test_where_all_parties_are_seen_it_says_what_each_learned() -> None:
    found = said(*PARTIES)
    assert found["learned"] == ["alice, carol, dora: total", "bob: total, product"]
    assert "opened to" not in found


@pytest.mark.parametrize("me", PARTIES)
def test_what_one_party_cannot_see_is_what_the_job_opens_to_the_others(me: str) -> None:
    found = said(me)
    assert found["learned"] == [f"{me}: total, product" if me == "bob" else f"{me}: total"]
    assert not any("nothing" in text for text in found["opened to"])
    others = ", ".join(p for p in PARTIES if p not in ("bob", me))
    assert f"{others}: total (as the job says; their own statements say what came)" in found["opened to"]
    assert any(text.startswith("bob: total, product (") for text in found["opened to"]) == (me != "bob")


def test_a_job_may_open_nothing_to_a_party() -> None:
    trace = Trace()
    a, b, c = (trace.input("visits", o, (3,), "fixed", 0, 100) for o in OWNERS)
    reveal((a + b + c).sum(), to="bob", why="asked", name="total")
    made = trace.program()
    plan = Job("t", "rep3", fit(made), OWNERS, OWNERS, made, dict.fromkeys(OWNERS, (VISITS,))).plan()
    rows = statement(plan, {"bob": Outcome("bob", {"total": np.zeros(())})}, "a test")
    assert (
        "opened to",
        "alice, carol: nothing (as the job says; their own statements say what came)",
    ) in rows


def test_rounds_are_compared_with_the_same_parties_prediction() -> None:
    depth = job().plan().cost.depth
    assert len(set(depth.values())) > 1  # else this compares nothing
    for me in PARTIES:
        own, longest = depth.get(me, 0), max(depth.values())
        more = "" if own == longest else f"; {longest} until the last party has finished"
        assert said(me)["rounds"] == [f"{own} (predicted {own}{more})"]
    assert said(*PARTIES)["rounds"] == [f"{max(depth.values())} (predicted {max(depth.values())})"]
    assert said("bob", rounds=99)["rounds"][0].startswith("99 (predicted ")


def test_seconds_say_whose_they_are() -> None:
    assert said("bob", seconds=2.0)["seconds"][0].startswith("2.00 at bob after meeting (estimated ")
    assert "until the last party has finished" in said("bob")["seconds"][0]
    assert said(*PARTIES, seconds=2.0)["seconds"][0].startswith("2.00 after meeting (estimated ")
