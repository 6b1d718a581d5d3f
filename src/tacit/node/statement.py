"""The statement after a run: who learned what, who must be trusted, what it cost."""

from __future__ import annotations

from collections.abc import Mapping

from tacit import protocols
from tacit.array.analyse import Plan
from tacit.node.member import Outcome


def statement(plan: Plan, outcomes: Mapping[str, Outcome], how: str) -> list[tuple[str, str]]:
    """Return the statement as (heading, text) pairs, from the plan and the parties' own meters."""
    entry = protocols.entry(plan.protocol)
    rows: list[tuple[str, str]] = []
    by_result: dict[tuple[str, ...], list[str]] = {}
    for party in plan.parties:
        learned = tuple(outcomes[party].results) if party in outcomes else ()
        by_result.setdefault(learned, []).append(party)
    for learned, who in by_result.items():
        names = "everyone" if len(who) == len(plan.parties) > 1 else ", ".join(who)
        rows.append(("learned", f"{names}: {', '.join(learned) if learned else 'nothing'}"))
    rows.append(("computed by", f"{', '.join(plan.compute)} with protocol {plan.protocol}, {plan.fmt}"))
    rows.append(("trusted", plan.trust()))
    rows.append(("promises", entry.gives))
    rows.append(("does not", entry.does_not_give))
    rows += [("assumed", line) for line in plan.assumptions]
    rows.append(("ran as", how))
    rounds = max((o.rounds for o in outcomes.values()), default=0)
    rows.append(("rounds", f"{rounds} (predicted {plan.cost.rounds})"))
    for party in (p for p in plan.parties if p in outcomes):
        o = outcomes[party]
        for peer, size in o.sent.items():
            predicted = plan.cost.links.get((party, peer), 0)
            if not size and not predicted:
                continue
            rows.append(
                (
                    "bytes",
                    f"{party} → {peer}: {size:,} (predicted {predicted:,}; {o.wire[peer]:,} on the wire)",
                )
            )
    took = max((o.seconds for o in outcomes.values()), default=0)
    rows.append(
        ("seconds", f"{took:.2f} after meeting (estimated {plan.cost.seconds:.2g}, for {plan.network})")
    )
    digests = {o.digest for o in outcomes.values()}
    rows.append(("job", ", ".join(sorted(digests))))
    return rows
