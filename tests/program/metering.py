"""What a run sends, held against what was predicted: the bytes on every link, and the rounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tacit.array import runtime, widths
from tacit.array.program import Program
from tacit.array.scales import USUAL
from tacit.array.session import Session
from tacit.array.steps import Prepared, prepared
from tacit.array.widths import Widths
from tacit.core.cost import Cost
from tacit.net.meter import Snapshot


def run_metered(
    session: Session, program: Program, data: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Any], dict[str, Snapshot]]:
    """Return what each party learns from a run, and what each sent for it."""
    before = session.traffic()
    learned = session.run(program, data)
    after = session.traffic()
    return learned, {name: after[name] - before[name] for name in after}


def assert_as_predicted(meters: Mapping[str, Snapshot], cost: Cost) -> None:
    """Compare meters with a prediction, link by link."""
    sent = Counter({(me, to): t.payload_sent for me, m in meters.items() for to, t in m.peers.items()})
    assert +sent == +Counter(cost.links)
    assert max(m.rounds for m in meters.values()) == cost.rounds


def with_all_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all values hold all bits of the format's ring, as in an eager session (decision 0077)."""

    def whole(groups: Any, outputs: Any, avals: Any, how: Any, p: Any, fmt: Any, *_: Any) -> Widths:
        return Widths([how.get(group[0].outs[0], USUAL) for group in groups], {})

    monkeypatch.setattr(widths, "widths", whole)
    # What was chosen before is not what is chosen now, nor what will be.
    monkeypatch.setattr(runtime, "prepared", _from_nothing)


def _from_nothing(program: Program, *how: Any) -> Prepared:
    return replace(prepared(program.replace(), *how), text=program)
