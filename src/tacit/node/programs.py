"""The programs of the small demonstrations: a bank's score, a group's salaries."""

from __future__ import annotations

from collections.abc import Sequence

from tacit.array import functions as fn
from tacit.array.interpret import Trace, reveal
from tacit.array.merge import optimise
from tacit.array.program import Program
from tacit.array.ranges import fit
from tacit.node.job import Job
from tacit.node.tables import Column

SERVERS = ("server-1", "server-2", "server-3")
INCOME = Column("income", "fixed", 0, 1_000_000)
DEBT = Column("debt", "fixed", 0, 10_000_000)
WEIGHTS = tuple(Column(name, "fixed", -1000, 1000) for name in ("a", "b", "c"))
SALARY = Column("salary", "fixed", 0, 10_000_000)


def _scalar(trace: Trace, owner: str, column: Column) -> fn.SecretArray:
    return trace.input(column.name, owner, (), column.kind, column.lo, column.hi)


def bank_program(clients: int, reader: str = "bank-a") -> Program:
    """Return y = a·income + b·debt + c per client, opened to `reader` alone."""
    trace = Trace()
    income = trace.input("income", "bank-a", (clients,), "fixed", INCOME.lo, INCOME.hi)
    debt = trace.input("debt", "bank-b", (clients,), "fixed", DEBT.lo, DEBT.hi)
    a, b, c = (_scalar(trace, "model-owner", column) for column in WEIGHTS)
    reveal(
        a * income + b * debt + c,
        to=reader,
        why="the bank decides on its clients' applications",
        name="score",
    )
    return trace.program()


def bank_job(clients: int, reader: str = "bank-a") -> Job:
    """Return the job of the bank demonstration: three owners, three servers."""
    program = optimise(bank_program(clients, reader))
    tables = {"bank-a": (INCOME,), "bank-b": (DEBT,), "model-owner": WEIGHTS}
    parties = (*SERVERS, "bank-a", "bank-b", "model-owner")
    return Job("score of shared clients", "rep3", fit(program), SERVERS, parties, program, tables)


def salaries_program(people: Sequence[str]) -> Program:
    """Return the sum and the mean of one number a person, opened to all."""
    trace = Trace()
    numbers = [_scalar(trace, person, SALARY) for person in people]
    total = numbers[0]
    for number in numbers[1:]:
        total = total + number
    total = reveal(total, why="everyone learns what the group earns together", name="sum")
    reveal(total * (1 / len(people)), why="everyone learns the average", name="mean")
    return trace.program()


def salaries_job(people: Sequence[str]) -> Job:
    """Return the job of the salaries demonstration: no servers, everyone computes."""
    program = optimise(salaries_program(people))
    tables = dict.fromkeys(people, (SALARY,))
    return Job("salaries", "semi2k", fit(program), tuple(people), tuple(people), program, tables)
