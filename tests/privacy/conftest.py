"""Shared by the privacy tests."""

from __future__ import annotations

import pytest
from privacy_lanes import lane_stream


@pytest.fixture(autouse=True)
def _client_streams(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enumerate the streams that a client's seeds stand for as well (sampled tests use the real ones)."""
    if request.module.__name__ == "test_sampled":
        return
    monkeypatch.setattr("tacit.protocols.rep3.Stream", lane_stream)
    monkeypatch.setattr("tacit.protocols.rep3.client.Stream", lane_stream)


@pytest.fixture(autouse=True)
def _roles_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not turn the roles on thirds of the lanes: every lane is a run of its own (trials say when they do)."""
    monkeypatch.setattr("tacit.protocols.rep3.turns.TURNED_FROM", 1 << 62)
