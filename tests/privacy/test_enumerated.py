"""Exact privacy on tiny rings: the view's distribution is the same for all secrets, over all random draws.

Ideal functionality compared with, for every operation whose output stays shared: the corrupted parties give
their input shares and learn nothing. The output is right in every lane, and the corrupted parties' shares
determine the honest ones, so equal views mean exact simulation, outputs included. Truncations compare with
F_trunc as its card says (see `test_disclosed.py`), reveals with F_reveal (there too).
"""

from __future__ import annotations

import pytest
from privacy_lanes import Key, draws
from privacy_trials import TRIALS, Trial, check, ids, pinnings
from privacy_widths import NARROWING

ALL = [*TRIALS, *NARROWING]


def _set_radix(monkeypatch: pytest.MonkeyPatch, radix: int) -> None:
    """Make blocks of fewer bits, so that a tiny ring has a tree to walk."""
    for module in ("semi2k.boolean", "semi2k.material", "semi2k.client"):
        monkeypatch.setattr(f"tacit.protocols.{module}.RADIX", radix)
    monkeypatch.setattr("tacit.protocols.rep3.bits.block_bits", lambda bits, n, network: radix)


def _set_thirds(monkeypatch: pytest.MonkeyPatch, thirds: bool) -> None:
    """Turn the roles on arrays of any size."""
    if thirds:
        monkeypatch.setattr("tacit.protocols.rep3.turns.TURNED_FROM", 1)


@pytest.mark.parametrize("trial", ALL, ids=ids)
def test_view_is_independent_of_the_secrets(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    _set_radix(monkeypatch, trial.radix)
    _set_thirds(monkeypatch, trial.thirds)
    check(trial)


def _masks_a_message(trial: Trial) -> bool:
    """Tell whether every draw does: an additive input by a compute party sends nothing that could leak."""
    silent = trial.setting.protocol == "semi2k" and trial.owner in ("alice", "bob", "carol")
    # Thirds run side by side what the turned trials run alone.
    return not silent and not trial.thirds and trial.name != "two products"


def _shows_elsewhere(trial: Trial, key: Key) -> bool:
    """Tell whether a shuffle's draw hides rows (seen while they stay shared) or their way (once opened).

    A draw for rounding hides how an opened product was rounded (`test_disclosed.py`).
    """
    if key[-2].startswith("rep3/rounding"):
        return True
    if trial.name == "shuffle":
        return key[-2] == "rep3/shuffle-permutation" or key[1:] == (
            "alice",
            "bob",
            "rep3/shuffle-mask",
            key[-1],
        )
    return trial.name == "shuffle, opened" and key[-2] == "rep3/shuffle-share"


@pytest.mark.parametrize("trial", filter(_masks_a_message, ALL), ids=ids)
def test_every_mask_is_needed(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: leave out any single draw of any stream; the view then depends on the secrets."""
    _set_radix(monkeypatch, trial.radix)
    _set_thirds(monkeypatch, trial.thirds)
    keys = draws(trial.setting, trial.program(trial.secrets[0]), pinnings(trial)[0][1])
    assert keys
    for left_out in (k for k in keys if not _shows_elsewhere(trial, k)):
        with pytest.raises(AssertionError, match="depends on the secrets"):
            check(trial, lambda key, left_out=left_out: key == left_out)  # type: ignore[misc]
