"""Every error that Tacit raises, sorted by whose fault it is.

A message names shapes, tags, parties and the remedy; it never contains a data value.

::

    TacitError
    ├── UsageError              your call or your data; raised before any message is sent
    │   ├── ShapeError          array shapes do not fit together
    │   ├── ScaleError          kinds or fixed-point scales do not fit together
    │   ├── RangeError          a value or a result may exceed what the ring can hold
    │   ├── DataError           a table, column or cell is not what the study declared
    │   ├── SecretUsedAsPublic  Python asked a secret for its value (``if x:``, ``float(x)``)
    │   └── NotRealised         this protocol or front end does not offer that operation
    ├── PeerError               another party (``.party`` names it)
    │   ├── PeerUnavailable     it cannot be reached, it stopped, or it is silent
    │   ├── PeerIncompatible    it runs another version, roster or program
    │   │   └── Desync          it sent another message than the one expected at this step
    │   └── PeerMisbehaved      it provably deviated (``.culprits``); the session is dead
    ├── MaterialError           correlated randomness or a key is missing, used up or damaged
    ├── JobError
    │   ├── NotApproved         an owner has not approved this job
    │   ├── PolicyViolation     a local policy forbids it
    │   ├── UndeclaredDisclosure  something asked to open a value the manifest does not name
    │   └── BudgetExceeded      the privacy budget does not allow it
    └── InternalError           a mistake in Tacit; please report it
"""

from __future__ import annotations

from collections.abc import Iterable


class TacitError(Exception):
    """Root of all errors raised on purpose by Tacit."""


class UsageError(TacitError):
    """The call or the data is wrong; nothing was sent."""


class ShapeError(UsageError):
    """Array shapes do not fit together."""


class ScaleError(UsageError):
    """Kinds (int, fixed, bool) or fixed-point scales do not fit together."""


class RangeError(UsageError):
    """A value or a possible result exceeds what was declared or what the ring can hold."""


class DataError(UsageError):
    """A table, column or cell is not what the study declared."""


class SecretUsedAsPublic(UsageError):
    """Python asked a secret value to act as a public one."""


class NotRealised(UsageError):
    """The chosen protocol or front end does not offer this operation."""


class PeerError(TacitError):
    """Another party is the cause; ``party`` names it."""

    def __init__(self, message: str, party: str) -> None:
        super().__init__(message)
        self.party = party

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.args[0], self.party))


class PeerUnavailable(PeerError):
    """The party cannot be reached, has stopped, or has been silent for too long."""


class PeerIncompatible(PeerError):
    """The party runs another version, roster, program or configuration."""


class Desync(PeerIncompatible):
    """The party sent another message than the one that this step expects."""


class PeerMisbehaved(PeerError):
    """One or more parties provably deviated. The session is dead, its keys destroyed."""

    def __init__(self, message: str, culprits: Iterable[str]) -> None:
        self.culprits = tuple(culprits)
        super().__init__(message, self.culprits[0] if self.culprits else "")

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.args[0], self.culprits))


class MaterialError(TacitError):
    """Correlated randomness or a key is missing, used up or damaged."""


class JobError(TacitError):
    """The job may not run as it stands."""


class NotApproved(JobError):
    """An owner has not approved this job."""


class PolicyViolation(JobError):
    """A local policy forbids this job."""


class UndeclaredDisclosure(JobError):
    """Something asked to open a value that the approved manifest does not name."""


class BudgetExceeded(JobError):
    """The privacy budget does not allow this release."""


class InternalError(TacitError):
    """A mistake in Tacit itself."""
