"""Tacit: several organisations compute one answer from data that none of them shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tacit.array.functions import concat, stack, where
    from tacit.array.interpret import Trace, reveal
    from tacit.array.program import Program
    from tacit.array.secret import SecretArray
    from tacit.array.session import Revealed, Session, simulate
    from tacit.declare import assume, conditioned
    from tacit.errors import TacitError
    from tacit.node.local import local
    from tacit.node.tables import Column
    from tacit.study import Result, Study, Table

_WHERE = {
    "Column": "tacit.node.tables",
    "Network": "tacit.core.timing",
    "Program": "tacit.array.program",
    "Result": "tacit.study",
    "Revealed": "tacit.array.session",
    "SecretArray": "tacit.array.secret",
    "Session": "tacit.array.session",
    "Study": "tacit.study",
    "Table": "tacit.study",
    "TacitError": "tacit.errors",
    "Trace": "tacit.array.interpret",
    "assume": "tacit.declare",
    "concat": "tacit.array.functions",
    "conditioned": "tacit.declare",
    "local": "tacit.node.local",
    "reveal": "tacit.array.interpret",
    "simulate": "tacit.array.session",
    "stack": "tacit.array.functions",
    "where": "tacit.array.functions",
}

__all__ = [
    "Column",
    "Network",
    "Program",
    "Result",
    "Revealed",
    "SecretArray",
    "Session",
    "Study",
    "Table",
    "TacitError",
    "Trace",
    "assume",
    "concat",
    "conditioned",
    "local",
    "reveal",
    "simulate",
    "stack",
    "where",
]


def __getattr__(name: str) -> Any:
    # Names load on first use, so that `import tacit` costs milliseconds.
    if name not in _WHERE:
        raise AttributeError(f"module 'tacit' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
