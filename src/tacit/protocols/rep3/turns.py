"""Protocols with unequal roles, run once, or three times at once with the roles turned.

In a two-operand protocol P0 sends several times what the others do. A large array is cut into three thirds, and in
third r party P_{i+r} plays the role of P_i: every party then sends the mean. The relation of neighbours, and with it
replicated sharing, is the same for the turned parties: P_{i+r} holds components i + r and i + r + 1.

A protocol is written as steps: a generator that sends, and yields what it waits for, once for each wave of messages;
all messages sent in one wave are waited for at its end, in the same order. Thirds advance together, so their rounds
are the same; streams of turned parties have labels of their own, so what they draw is independent.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Container, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from tacit.core.party import Party
from tacit.core.share import Planes, Share
from tacit.core.timing import LOOPBACK, Network
from tacit.errors import UsageError

if TYPE_CHECKING:
    from tacit.protocols.rep3 import Rep3

Array = npt.NDArray[Any]
T = TypeVar("T")
Expected = tuple[str, str, int]
"""Who sends, under which label, how many bytes."""
Steps = Generator[tuple[Expected, ...], list[Array], T]

TURNED_FROM = 3 << 13
"""Words of P0's message from which the roles are turned on loopback: with fewer, P0 had better be ahead (0068)."""
ROUNDS_WORTH = 2
"""On slower links they are turned from as many rounds as the bytes of P0's message are worth: turning saves some half
of them, and about a round is lost, as no party is ahead of the others."""
BLOCK_BYTES = 1 << 18
"""Most of P0's message that is a block: long enough to repay what a block costs, some 0.1 ms, on any link."""
BLOCKS, PER_SECOND = 16, 500
"""Where a link takes longer than 1/500 s for such a block, blocks of that time, but no more than so many of a third."""
LEAST = 3 << 6
"""Fewer elements have no third of a whole word of bits."""


def turned_from(network: Network) -> int:
    """Return from how many words the roles are turned: what they save is bytes, what they cost rounds."""
    if network.bytes_per_s >= LOOPBACK.bytes_per_s:
        return TURNED_FROM
    return max(LEAST, ROUNDS_WORTH * network.round_bytes // 8)


def one_role(n: int, network: Network = LOOPBACK, bits: int = 64) -> bool:
    """Return whether each party plays its own role for all n elements; P0 sends some `bits` for each.

    The more bits, the fewer elements are worth turning the roles for.
    """
    words = n * bits // 64 if bits < 64 else n * (bits // 64)
    return n < LEAST or words < turned_from(network)


def thirds(n: int, network: Network = LOOPBACK, bits: int = 64) -> list[tuple[int, int]]:
    """Return the bounds of the pieces that n elements are worked on in: three, of whole words of bits, or one."""
    if one_role(n, network, bits):
        return [(0, n)]
    step = -(-n // 192) * 64
    return [(min(r * step, n), min((r + 1) * step, n)) for r in range(3)]


def turned(party: Party, r: int) -> Party:
    """Return the party as it is seen with the roles turned by r."""
    if r == 0:
        return party
    seat = copy.copy(party)
    seat.compute = (*party.compute[r:], *party.compute[:r])
    seat.index = (party.index - r) % 3
    return seat  # its neighbours stay the same


def ends_at_once(p: Rep3) -> None:
    """Refuse what sends and receives at once while calls are left: messages of both would change places."""
    if p.waiting and not p.takes_along:
        raise UsageError(
            "calls were left for `later`; `settle` ends them before any other that may not be left"
        )


def alone(p: Rep3, steps: Steps[T]) -> T:
    """Run one protocol to its end."""
    ends_at_once(p)
    mesh, got = p.party.mesh, None
    recv = mesh.recv
    try:
        while True:
            wanted = steps.send(got)  # type: ignore[arg-type]
            if p.takes_along:
                p.take_along()
            got = [recv(*w) for w in wanted]
    except StopIteration as end:
        mesh.flush()
        return end.value


@dataclass(slots=True)
class Running:
    """A protocol on its way: what it waits for, and its result in the end."""

    steps: Steps[Any]
    early: bool = False
    """Whether this party is P0 in it: the others wait for what it sends first."""
    turned: bool = False
    """Whether it is one of three at least, with their roles turned."""
    number: int = 0
    """The call that it belongs to (`Protocol.number`)."""
    wanted: tuple[Expected, ...] | None = None
    result: Any = None
    ended: bool = False

    def go_on(self, p: Rep3, held: bool = False) -> bool:
        """Receive what is waited for and run to the next wave; say whether there is one.

        Its messages leave, or if `held` with those that follow, as long as this party need not wait.
        """
        mesh, wanted = p.party.mesh, self.wanted
        got = None if wanted is None else [mesh.recv(*w, held) for w in wanted]
        try:
            self.wanted = self.steps.send(got)  # type: ignore[arg-type]
        except StopIteration as end:
            self.result, self.ended = end.value, True
        if not held:
            mesh.flush()
        return not self.ended


def go_on_together(p: Rep3) -> None:
    """Let calls that were left go on by a wave, whose messages leave at once."""
    p.waiting.go_on(partial(Running.go_on, p=p, held=True))
    p.party.mesh.flush()


def begin(p: Rep3, running: list[Running]) -> list[Running]:
    """Let protocols send their first messages and return those that go on, in order.

    Those of which this party is P0 begin first: its line carries what the others wait for while it computes what they
    send it. In its first wave a party sends no neighbour messages of two roles, so their order stays.
    """
    if len(running) != 1:
        for r in sorted(running, key=lambda r: not r.early):
            r.go_on(p)
        return [r for r in running if not r.ended]
    return running if running[0].go_on(p) else []


def together(p: Rep3, running: list[Running]) -> list[Any]:
    """Run several protocols wave by wave; each goes on as soon as it has its messages, and what it sends leaves."""
    ends_at_once(p)
    live = begin(p, running)
    while live:
        p.take_along()
        live = [r for r in live if r.go_on(p)]
    return [r.result for r in running]


def leave(p: Rep3, running: list[Running]) -> None:
    """Begin protocols that write their results in place, and leave them until `settle` (decision 0072)."""
    if any(r.turned for r in running):
        alike(p)
    for r in running:
        r.number = p.number
    p.waiting.add(begin(p, running))


def alike(p: Rep3) -> None:
    """Before a call in which others than P0 send first: end what has gone on before, and all else with it later."""
    if p.waiting.older:
        p.settle()
    p.waiting.whole = True


def settle(p: Rep3, some: Container[int] | None = None) -> None:
    """Run what has been left to its end, wave by wave: all, or calls of `some` numbers, while others go on beside.

    P1 and P2 end a call after as many waves, and P0 has nothing that waits; where that is not so all ends.
    """
    if some is not None and not p.waiting.whole:
        while any(r.number in some for r in p.waiting):
            go_on_together(p)
        return
    while p.waiting:
        go_on_together(p)
    p.waiting.whole, p.waiting.together = False, 0
    while p.last:
        p.last.pop(0)()


def pieces(n: int, network: Network, bits: int) -> list[tuple[int, int, int]]:
    """Return (role, start, stop) of what n elements are worked on in, in the order of work.

    Thirds, and on links that are slower than the work, blocks of them, so that they carry the first while the next are
    computed, and the answers to it while they carry the next. Blocks are whole words of bits, so all of them take the
    bytes of their third.
    """
    bounds = thirds(n, network, bits)
    longest = max(1, *(stop - start for start, stop in bounds))
    step = block(longest, network, bits)
    return [
        (r, start + low, min(start + low + step, stop))
        for low in range(0, longest, step)
        for r, (start, stop) in enumerate(bounds)
        if low == 0 or start + low < stop
    ]


def block(n: int, network: Network, bits: int) -> int:
    """Return how many of n elements, of which some `bits` are sent, leave at a time: whole words of bits, or all."""
    if network.bytes_per_s >= LOOPBACK.bytes_per_s:
        return n
    each = min(BLOCK_BYTES, max(n * bits // 8 // BLOCKS, network.bytes_per_s // PER_SECOND))
    return max(64, each * 8 // bits // 64 * 64)


def run_alike(p: Rep3, n: int, make: Callable[[int, int], Steps[T]], bits: int) -> list[T]:
    """Run `make(start, stop)`, in which all parties do alike, on n elements, in blocks as they leave; in order."""
    step = max(1, block(n, p.party.network, bits))
    return together(p, [Running(make(low, min(low + step, n))) for low in range(0, max(1, n), step)])


ROWS = 128
"""A matrix product takes no more work so many rows, or a multiple, at a time than at once."""
ROW_ELEMENTS, ROW_PRODUCTS = 1 << 15, 1 << 23
"""Elements of such rows, as many as a block of P0's message holds, and products that repay a call."""
COLUMNS, INNER, FLAT = 64, 8, 4
"""A product of fewer columns or inner indices, or of more inner indices to each row, is computed at once."""


def rows_at_once(m: int, k: int, n: int, network: Network) -> int:
    """Return how many rows of an (m,k) @ (k,n) product are computed at a time, or 0 for all at once.

    Some where blocks of the result leave one by one. Thin products, most convolutions among them, are little work
    beside their bytes; a right operand much larger than the result, packed for all rows, takes memory for little time.
    """
    if n < COLUMNS or k < INNER or k > FLAT * m or one_role(m * n, network):
        return 0
    if len(pieces(m * n, network, 64)) <= 3:
        return 0
    rows = -(-max(ROW_ELEMENTS, ROW_PRODUCTS // k) // (n * ROWS)) * ROWS
    return rows if rows < m else 0


def run(p: Rep3, n: int, make: Callable[[Rep3, int, int], Steps[T]], bits: int = 64) -> list[T]:
    """Run `make(p, start, stop)` on the pieces of n elements, with the roles turned from third to third; in order."""
    some = found(p, n, bits)
    if len(some) == 1:
        return [alone(p, make(p, 0, n))]
    results = together(p, seated(p, some, make))
    order = sorted(range(len(some)), key=lambda i: some[i][1])
    return [results[i] for i in order]


def found(p: Rep3, n: int, bits: int) -> list[tuple[int, int, int]]:
    """Return the pieces of n elements on this party's network, soon where there is only one."""
    network = p.party.network
    if network.bytes_per_s >= LOOPBACK.bytes_per_s and one_role(n, network, bits):
        return [(0, 0, n)]
    return pieces(n, network, bits)


def leave_or_run(p: Rep3, n: int, make: Callable[[Rep3, int, int], Steps[Any]], bits: int = 64) -> None:
    """Run steps that write their results in place, or begin them, if they may be left.

    All that a piece draws it draws before it waits, so that streams are read in the order of calls, whichever waits
    for which.
    """
    if not p.patient:
        run(p, n, make, bits)
        return
    some = found(p, n, bits)
    if len(some) > 1:
        leave(p, seated(p, some, make))
        return
    one = Running(make(p, 0, n), number=p.number)
    if one.go_on(p):
        p.waiting.add([one])


def seated(
    p: Rep3, some: list[tuple[int, int, int]], make: Callable[[Rep3, int, int], Steps[Any]]
) -> list[Running]:
    """Return the steps of pieces, each with its roles."""
    if len(some) == 1:
        return [Running(make(p, *some[0][1:]))]
    turned = len({r for r, _, _ in some}) > 1
    seats = [p.turned(r) for r in range(3)] if turned else [p]
    return [Running(make(seats[r], low, high), seats[r].party.index == 0, turned) for r, low, high in some]


def joined(shares: list[Share], shape: tuple[int, ...]) -> Share:
    """Lay pieces of flat shares end to end."""
    if len(shares) == 1:
        return shares[0].reshape(*shape)
    parts = zip(*(s.parts for s in shares), strict=True)
    return Share(tuple(np.concatenate(ps, axis=-1).reshape(shape) for ps in parts))


def joined_planes(pieces: Sequence[Planes]) -> Planes:
    """Lay the lanes of pieces end to end; all but the last are whole words."""
    if len(pieces) == 1:
        return pieces[0]
    parts = zip(*(s.parts for s in pieces), strict=True)
    return Planes(tuple(np.concatenate(ps, axis=1) for ps in parts), sum(s.n for s in pieces))
