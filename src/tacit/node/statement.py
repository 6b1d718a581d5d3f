"""The statement after a run: who learned what, who must be trusted, what it cost."""

from __future__ import annotations

from collections.abc import Mapping

from tacit import protocols
from tacit.array.analyse import Plan
from tacit.node.member import Outcome


def statement(plan: Plan, outcomes: Mapping[str, Outcome], how: str) -> list[tuple[str, str]]:
    """Return the statement as (heading, text) pairs, from the plan and the parties' own meters.

    Between organisations one party's outcome is all there is: of the others it says what the job opens to them.
    """
    entry = protocols.entry(plan.protocol)
    rows: list[tuple[str, str]] = []
    learned: dict[tuple[str, ...], list[str]] = {}
    opened: dict[tuple[str, ...], list[str]] = {}
    for party in plan.parties:
        if party in outcomes:
            learned.setdefault(tuple(outcomes[party].results), []).append(party)
        else:
            results = tuple(d.name for d in plan.disclosures if "all" in d.to or party in d.to)
            opened.setdefault(results, []).append(party)
    for heading, groups, source in (
        ("learned", learned, ""),
        ("opened to", opened, " (as the job says; their own statements say what came)"),
    ):
        for results, who in groups.items():
            names = "everyone" if len(who) == len(plan.parties) > 1 else ", ".join(who)
            rows.append((heading, f"{names}: {', '.join(results) if results else 'nothing'}{source}"))
    rows.append(("computed by", f"{', '.join(plan.compute)} with protocol {plan.protocol}, {plan.fmt}"))
    rows.append(("trusted", plan.trust()))
    rows.append(("promises", entry.gives))
    rows.append(("does not", entry.does_not_give))
    rows += [("assumed", line) for line in plan.assumptions]
    rows.append(("ran as", how))
    rounds = max((o.rounds for o in outcomes.values()), default=0)
    predicted = max((plan.cost.depth.get(p, 0) for p in outcomes), default=0)
    last = " until the last party has finished"
    more = f"; {plan.cost.rounds}{last}" if predicted < plan.cost.rounds else ""
    rows.append(("rounds", f"{rounds} (predicted {predicted}{more})"))
    for party in (p for p in plan.parties if p in outcomes):
        o = outcomes[party]
        for peer, size in o.sent.items():
            expected = plan.cost.links.get((party, peer), 0)
            if not size and not expected:
                continue
            rows.append(
                (
                    "bytes",
                    f"{party} → {peer}: {size:,} (predicted {expected:,}; {o.wire[peer]:,} on the wire)",
                )
            )
    took = max((o.seconds for o in outcomes.values()), default=0)
    at, until = (f" at {', '.join(outcomes)}", last) if opened else ("", "")
    estimate = f"estimated {plan.cost.seconds:.2g}{until}, for {plan.network}"
    rows.append(("seconds", f"{took:.2f}{at} after meeting ({estimate})"))
    digests = {o.digest for o in outcomes.values()}
    rows.append(("job", ", ".join(sorted(digests))))
    return rows
