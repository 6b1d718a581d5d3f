"""Measure what a call of each functionality takes a party's processor, by its size; write it as data.

Run: ./dev bench calibrate [--out FILE]. Three processes over TLS, processor time of all their threads: other work on
the machine hardly shows in it, but in the time that a message takes it does, so let the machine be quiet. The package's
own numbers are `src/tacit/core/machine.json`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import queue
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.rig.relay import NETWORKS, Relays
from bench.rig.runner import machine

from tacit import kernels, protocols, testing
from tacit.algebra.ring import Ring
from tacit.array import functions, order
from tacit.array.analyse import equation_kind, predict
from tacit.array.interpret import Trace
from tacit.array.loop import infer
from tacit.array.program import PUBLIC, Aval, Program, owned
from tacit.array.runtime import Format, Runtime, Value
from tacit.core.factors import Factors
from tacit.core.party import handshake
from tacit.core.rows import Column, index_ring
from tacit.core.share import Share
from tacit.core.timing import (
    EXCHANGED,
    FIRST,
    LOOPBACK,
    PRESETS,
    PRODUCTS,
    Curve,
    Machine,
    Network,
    load_machine,
    work,
)
from tacit.gadgets import separable, smooth
from tacit.kernels import reuse_memory
from tacit.net import stream
from tacit.net.identity import Identity, load_identity
from tacit.net.roster import Roster
from tacit.net.sockets import listen_on
from tacit.net.tls import connect_mesh
from tacit.protocols.rep3.arithmetic import local_matmul

NAMES = ("alice", "bob", "carol")
SIZES = (64, 1 << 10, 1 << 13, 1 << 14, 1 << 16, 1 << 18)
PAUSE_S = 1e-3
TOGETHER = 8
"""Kinds of calls that take turns: about as many as a program has."""
TWICE_FROM = 1 << 13
"""On so many elements it is data that caches hold or do not, on fewer it is code."""
MOST_PASSES, LEAST_PASSES, WORTH = 100, 7, 1 << 19
SIDES = (128, 256, 640, 1024)
OTHER_SIDES, OTHER_PASSES = (128, 256, 384), 3
"""Of products with instruction sets that this process would not choose, some of which take twenty times as long."""
EQUATION_SIZES = (SIZES[0], 1 << 10, 1 << 14, 1 << 17)
"""Elements of equations."""
INNER, COLUMNS, ATTRIBUTES = 256, 16, 100
"""Of the matrix by which the reading of operands is measured, and of a table."""
EQUATIONS, LIKE, STEPS, RUNS, FAR_RUNS = 24, 2, 8, 100, 40
LAN = PRESETS["lan"]
PLACES = tuple(range(24, 8, -2))
ONE = ("maximum", "sigmoid", "sqrt", "rsqrt")
"""Equations that would be worked on as one next to each other (decision 0074)."""
PARTS_OF = {"linear": EQUATIONS, "clear": 40}
"""What a call of `cases` does more than once: equations, operands read."""
Call = Callable[[], Any]
Points = list[tuple[float, float]]


def held(p: Any, shape: tuple[int, ...]) -> Share:
    """Return a party's shares of zeros, as programs have them: each part in one piece."""
    return testing.scatter(p, p.ring.zeros(shape)).map(np.ascontiguousarray)


def cases(p: Any, n: int) -> dict[str, tuple[Call, dict[str, Any]]]:
    """Return a call of each functionality on n elements, and its sizes."""
    ring = p.ring
    x = held(p, (n,))
    planes = testing.scatter_planes(p, np.zeros((8, -(-n // 64)), np.uint64), n)
    narrow = index_ring(n)
    column = Column(x.reshape(1, n), ring)
    at = Column(
        testing.scatter(
            p.over(narrow), np.arange(n, dtype=np.uint64).reshape(1, n) % (1 << narrow.width)
        ).map(np.ascontiguousarray),
        narrow,
    )
    how = smooth.plan(p, "sigmoid", 16, -8.0, 8.0, n)
    narrower = held(p.over(Ring(40)), (n,))
    weights = ring.encode_ints(np.arange(16).reshape(2, 8))
    power = separable.exp_plan(64, 16, -8.0, 8.0, 20)
    assert how is not None and power is not None
    tall, wide = x.reshape(n, 1), x[:1].reshape(1, 1)
    runtime, shape = Runtime(p, Format(64, 16), NAMES), Aval((n,), "fixed", -1, 1, "secret")
    chain = _chain(shape)
    found: dict[str, tuple[Call, dict[str, Any]]] = {
        "mul": (lambda: p.mul(x, x), {}),
        "mul_early": (lambda: p.mul_early(x, x), {}),
        "mul_trunc": (lambda: p.mul_trunc(x, x, 16), {"f": 16}),
        "trunc": (lambda: p.trunc(x, 16), {"f": 16}),
        "trunc_exact": (lambda: p.trunc_exact(x, 16), {"f": 16}),
        "matmul": (lambda: p.matmul(tall, wide), {}),
        "matmul_early": (lambda: p.matmul_early(tall, wide), {}),
        "matmul_trunc": (lambda: p.matmul_trunc(tall, wide, 16), {"f": 16}),
        "mul_into": (
            lambda: p.over(Ring(40)).mul_into(narrower, narrower, 20, ring),
            {"over": 40, "f": 20, "into": 64},
        ),
        "matmul_into": (lambda: p.matmul_into(tall, wide, 16, Ring(20)), {"f": 16, "into": 20}),
        "trunc_into": (lambda: p.trunc_into(x, 16, Ring(20)), {"f": 16, "into": 20}),
        "below": (lambda: p.below(x, 27, PLACES), {"bits": 27, "at": PLACES}),
        "combine": (lambda: p.combine(planes, weights, (40, 32)), {"planes": 8, "widths": (40, 32)}),
        "and_": (lambda: p.and_(planes[:2], planes[:2]), {"planes": 2}),
        "and_all": (lambda: p.and_all(planes), {"planes": 8}),
        "sign": (lambda: p.sign(x, 24), {"bits": 24}),
        "is_zero": (lambda: p.is_zero(x, 24), {"bits": 24}),
        "decompose": (lambda: p.decompose(x, 24), {"bits": 24}),
        "to_arith": (lambda: p.to_arith(planes[:1]), {"planes": 1}),
        "select": (lambda: p.select(planes[:1], x), {}),
        "select_trunc": (lambda: p.select_trunc(planes[:1], x, 16), {"f": 16}),
        "dot": (lambda: p.dot(x.reshape(1, n), x.reshape(1, n)), {"inner": 1}),
        "digit_ranks": (lambda: p.over(narrow).digit_ranks(planes[:3], 1, n), {"bits": 3}),
        "factored Waves": (lambda: p.factored(x, how.series), _sizes(how.series)),
        "factored Powers": (lambda: p.factored(x, power), _sizes(power)),
        "shuffle": (lambda: p.shuffle([column]), {"widths": (64,)}),
        "place": (lambda: p.place(at, [column]), {"widths": (64,)}),
        "fetch": (lambda: p.fetch(at, [column]), {"widths": (64,)}),
        "share_input": (lambda: p.share_input("alice", ring.zeros((n,)), (n,)), {}),
        "share_bits": (lambda: p.share_bits("alice", np.zeros(n, np.uint8), (n,)), {}),
        "reveal": (lambda: p.reveal(x, NAMES), {}),
        "reveal_bits": (lambda: p.reveal_bits(p.unpack(planes[:1], (n,)), NAMES), {}),
        "agree": (lambda: p.agree(ring.zeros((n,))), {}),
        "linear": (lambda: runtime.block(chain, [Value(shape, None, x)]), {}),
        "own": (lambda: p.add(x, x), {}),
        "clear": (_owners_work(runtime, 8 * n), {}),
    }
    return found


def _chain(of: Aval) -> Program:
    """Return a Program of EQUATIONS that need no message."""
    trace = Trace()
    x = trace.parameter(of)
    for i in range(EQUATIONS):
        x = -x if i % 2 else x[::-1]
    return trace.program([x])


def _owners_work(runtime: Runtime, n: int) -> Call:
    """Return a call in which every party adds up products of its own columns of n rows."""
    trace, columns = Trace(), []
    for name in NAMES:
        columns += [trace.parameter(Aval((n,), "fixed", -1, 1, owned(name))) for _ in range(2)]
    pairs = zip(columns[::2], columns[1::2], strict=True)
    program = trace.program([functions.sum(of) for x, y in pairs for of in (x * y, functions.square(x))])
    given = [
        Value(i.aval, np.linspace(-1, 1, n) if i.aval.owner == runtime.me else None) for i in program.inputs
    ]
    return lambda: runtime.block(program, given)


def _sizes(how: Factors) -> dict[str, int]:
    return {"terms": how.terms, "width": how.width, "shift": how.shift}


def equations(n: int, wide: bool = False) -> dict[str, tuple[Program, int]]:
    """Return Programs of some equations of one kind each, on n elements, and the elements that each equation reads.

    Kinds that are more than their calls: tournaments gather pairs, public numbers are encoded, rows are repeated; on
    few elements also what takes about as long on any number. Over rings wider than a word roots and quotients are many
    small calls, and every step between them takes longer.
    """
    kinds: list[Callable[[Any], Any]] = [lambda x: x * 0.3, lambda x: functions.maximum(x, 0.0)]
    if not wide:
        kinds += [
            functions.max,
            order.argmax,
            lambda x: x.reshape(n // 32, 32) + x[:32],
        ]
    if n == SIZES[0]:
        kinds += [lambda x: x / 3.0, lambda x: x + 0.3]
        many: list[Callable[[Any], Any]] = [
            lambda x: x * x,
            lambda x: x + x,
            functions.rsqrt,
            functions.sqrt,
            lambda x: x / x,
        ]
        kinds += many if wide else [functions.sigmoid]
    found = {}
    for made in kinds:
        trace = Trace()
        low, high = 0.25 if wide else -64.0, 64.0
        x = trace.parameter(Aval((n,), "fixed", low, high, "secret"))
        results = [made(x)]
        for _ in range(LIKE - 1):
            if trace.eqns[-1].op in ONE + ("div",) * wide:
                x = x[::-1]
            results.append(made(x))
        program = trace.program(results)
        avals, last = infer(program), program.eqns[-1]
        public = any(avals[v].where == PUBLIC for v in last.ins)
        found[equation_kind(last, public) + " wide" * wide] = program, sum(avals[v].size for v in last.ins)
    return found


def small_program() -> Program:
    """Return a Program of a few kinds of calls on few elements, each on what the one before found."""
    trace = Trace()
    x = trace.parameter(Aval((SIZES[0],), "fixed", -1, 1, "secret"))
    for _ in range(STEPS):
        x = functions.maximum(x * x, -x)
    return trace.program([x])


def products(p: Any, side: int) -> dict[str, tuple[Call, int]]:
    """Return products of square, of narrow and of public matrices, and with vectors, and what each is counted by."""
    x = held(p, (side, side))
    public = p.ring.zeros((side, side))
    tall, narrow = x.reshape(side * side // INNER, INNER), held(p, (INNER, COLUMNS))
    table = x.reshape(side * side)[: side * side // ATTRIBUTES * ATTRIBUTES]
    table = table.reshape(table.size // ATTRIBUTES, ATTRIBUTES)
    weights, errors = (held(p, (n, 1)) for n in reversed(table.shape))
    return {
        "products": (lambda: local_matmul(p, x, x), side**3),
        "public products": (lambda: p.matmul_public(x, public), side**3),
        "operands": (lambda: local_matmul(p, tall, narrow), side**2),
        # Gradients take the transpose of what predictions take.
        "vectors": (
            lambda: [local_matmul(p, table, weights), local_matmul(p, table.map(np.transpose), errors)],
            table.size,
        ),
    }


def by_target(p: Any) -> dict[str, Points]:
    """Return what products take with other instruction sets of this processor, for processors that have no newer."""
    found: dict[str, Points] = {}
    if not kernels.info()["native"]:
        return found
    from tacit.kernels import _native

    own = _native.target()
    try:
        for target in _native.targets():
            _native.set_target(target)
            for side in OTHER_SIDES if target != own else ():
                some = {what: products(p, side)[what] for what in PRODUCTS}
                took = _times(p, {what: call for what, (call, _) in some.items()}, OTHER_PASSES, True)
                for what, (_, units) in some.items():
                    found.setdefault(f"{what} {target}", []).append((units, took[what]))
    finally:
        _native.set_target(own)
    return found


def _times(
    p: Any, calls: dict[str, Call], passes: int, twice: bool = False, pause_s: float = 0.0
) -> dict[str, float]:
    """Return processor seconds of each call, the median of some passes.

    Some take turns, as in loops, and may follow a pause, as what a program does once finds no warm cache; or, if
    `twice`, each runs twice in a row and the mean counts: a program's operands are partly in the cache, where what
    made them left them.
    """
    found: dict[str, list[float]] = {what: [] for what in calls}
    left = list(calls)
    while left:
        some, left = left[:TOGETHER], left[TOGETHER:]
        for what in some * (passes + 1):
            p.party.flush()
            time.sleep(pause_s)
            start = time.process_time()
            for _ in range(1 + twice):
                calls[what]()
                p.party.flush()
            found[what].append((time.process_time() - start) / (1 + twice))
    return {what: statistics.median(times[1:]) for what, times in found.items()}


def _curves(p: Any) -> dict[str, Points]:
    """Return points of units of work and processor seconds for each functionality."""
    found: dict[str, Points] = {}
    for n in SIZES:
        some = cases(p, n)
        passes = max(LEAST_PASSES, min(MOST_PASSES, WORTH // n))
        calls = {what: call for what, (call, _) in some.items()}
        took = _times(p, calls, passes, n >= TWICE_FROM)
        first = took if n >= TWICE_FROM else _times(p, calls, passes, pause_s=PAUSE_S)
        for what, (_, sizes) in some.items():
            each = PARTS_OF.get(what, 1)
            # A call that takes several planes counts the bits of all.
            rows = sizes["planes"] if what == "combine" else 1
            width = index_ring(n).width if what == "digit_ranks" else 64
            name = what.split(" ")[0]
            over = Ring(sizes.pop("over", 64))
            sent = 0
            if name in EXCHANGED:
                waves = p.card(name).pattern(over, n, parties=len(NAMES), network=LOOPBACK, **sizes)
                sent = sum(size for wave in waves for _, _, size in wave)
            units = work(name, n * rows, sizes, width, sent)
            found.setdefault(what, []).append((units, took[what] / each))
            found.setdefault(what + FIRST, []).append((units, first[what] / each))
    for once in ("", FIRST):
        found["factored" + once] = found["factored Waves" + once]  # other kinds
        # Which is not for many, as its roles are not turned.
        found["select_narrowed" + once] = found["select_trunc" + once]
    for side in SIDES:
        some = products(p, side)
        passes = max(LEAST_PASSES, min(MOST_PASSES, WORTH // side**2))
        took = _times(p, {what: call for what, (call, _) in some.items()}, passes, True)
        for what, (_, units) in some.items():
            found.setdefault(what, []).append((units, took[what]))
    found["vectors"] = [(n, s / 2) for n, s in found["vectors"]]
    # The rest of a product of matrices is the reading of its operands.
    macs = Machine({"mul": tuple(found["products"])})
    found["operands"] = [(n, s - macs.processor("mul", n * COLUMNS)) for n, s in found["operands"]]
    own = {f"{what} {kernels.info()['target']}": found[what] for what in PRODUCTS}
    return found | own | by_target(p) | _glue(p, found)


def _glue(p: Any, curves: dict[str, Points]) -> dict[str, Points]:
    """Return what equations of some kinds take besides the calls that they make."""
    first = Machine({what: tuple(points) for what, points in curves.items()})
    again = Machine({what: points for what, points in first.curves.items() if not what.endswith(FIRST)})
    found: dict[str, Points] = {}
    for n, fmt in [*((n, Format(64, 16)) for n in EQUATION_SIZES), (SIZES[0], Format(128, 44))]:
        over = p.over(Ring(fmt.width))
        programs = equations(n, wide=fmt.width > 64)
        runtime, share = Runtime(over, fmt, NAMES), held(over, (n,))
        calls: dict[str, Call] = {
            what: partial(runtime.block, of, [Value(of.inputs[0].aval, None, share)])
            for what, (of, _) in programs.items()
        }
        passes = max(LEAST_PASSES, min(MOST_PASSES, WORTH // n))
        for once, known, pause_s in (("", again, 0.0), (FIRST, first, PAUSE_S)):
            for what, took in _times(p, calls, passes, pause_s=pause_s).items():
                program, units = programs[what]
                cost = predict(program, "rep3", fmt, NAMES, NAMES, machine=known)
                rest = max(0.0, took - statistics.mean(cost.working.values())) / LIKE
                found.setdefault(what + once, []).append((units, rest))
    for points in found.values():
        if len(points) == 1:  # measured on few elements, and as long on any
            points.append((2 * points[0][0], points[0][1]))
    return found


Meeting = tuple[str, Identity, Roster, socket.socket]
"""Its name, keys, the others, and where it listens: what a party meets them with."""


@contextmanager
def _met(meeting: Meeting, network: Network) -> Iterator[Any]:
    """Meet the other parties, and yield the protocol."""
    name, identity, roster, listener = meeting
    with connect_mesh(identity, roster, name, listen=listener) as mesh:
        party = handshake(mesh, NAMES, b"calibrate".ljust(32), roster.hash(), network=network)
        reuse_memory()
        yield protocols.load("rep3")(party, Ring(64))


def _small(p: Any, runs: int, clock: Callable[[], float]) -> float:
    """Return what a run of the small program takes by a clock, the median of some."""
    program, runtime = small_program(), Runtime(p, Format(64, 16), NAMES)
    given, took = held(p, (SIZES[0],)), []
    for _ in range(runs):
        p.agree(p.ring.zeros((1,)))  # a common start, nearly
        start = clock()
        runtime.block(program, [Value(program.inputs[0].aval, None, given)])
        p.party.flush()
        took.append(clock() - start)
    p.agree(p.ring.zeros((1,)))
    return statistics.median(took)


def _party(meeting: Meeting, out: multiprocessing.queues.Queue[Any]) -> None:
    with _met(meeting, LOOPBACK) as p:
        elapsed = _small(p, RUNS, time.monotonic)
        stream.LOOK_S = 0.0  # to look for a message is to wait, not to work
        near = _small(p, FAR_RUNS, time.process_time)
        out.put((_curves(p), elapsed, near))


def _far(meeting: Meeting, out: multiprocessing.queues.Queue[Any]) -> None:
    """Run the small program between parties that sleep until messages come; put what it takes the processor."""
    stream.LOOK_S = 0.0
    with _met(meeting, LAN) as p:
        out.put(_small(p, FAR_RUNS, time.process_time))


def _next(out: multiprocessing.queues.Queue[Any], processes: list[Any]) -> Any:
    """Return what a party found; RuntimeError when one has failed."""
    while True:
        try:
            return out.get(timeout=1)
        except queue.Empty:
            if any(process.exitcode for process in processes):
                raise RuntimeError("a party has failed") from None


def _of_parties(party: Callable[..., None], relays: Relays | None = None) -> list[Any]:
    """Run three processes, which meet through relays if there are any; return what each put."""
    context = multiprocessing.get_context("fork")
    out: multiprocessing.queues.Queue[Any] = context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        identities = {n: load_identity(Path(folder) / n, n) for n in NAMES}
        listeners = {n: listen_on("127.0.0.1") for n in NAMES}
        ports = {n: listeners[n].getsockname()[1] for n in NAMES}

        def roster(rank: int) -> Roster:
            seen = {
                n: relays.address(rank, other, ports[n]) if relays and other != rank else ports[n]
                for other, n in enumerate(NAMES)
            }
            return Roster(tuple(identities[n].party("127.0.0.1", seen[n]) for n in NAMES))

        processes = [
            context.Process(target=party, args=((n, identities[n], roster(rank), listeners[n]), out))
            for rank, n in enumerate(NAMES)
        ]
        for process in processes:
            process.start()
        try:
            return [_next(out, processes) for _ in NAMES]
        finally:
            for process in processes:
                process.join(timeout=5)
                process.kill()
            for listener in listeners.values():
                listener.close()


def measure() -> tuple[dict[str, Points], float, float]:
    """Run three parties, near and far from one another.

    Return curves, the mean of the parties; seconds of the small program; how many processor seconds more it takes all
    parties far away.
    """
    tables = _of_parties(_party)
    curves = {
        what: [
            (units, float(np.mean([t[what][i][1] for t, _, _ in tables])))
            for i, (units, _) in enumerate(points)
        ]
        for what, points in tables[0][0].items()
    }
    relays = Relays(NETWORKS["lan"])
    try:
        far = sum(_of_parties(_far, relays))
    finally:
        relays.stop()
    return curves, max(seconds for _, seconds, _ in tables), far - sum(near for _, _, near in tables)


def combined(every: list[dict[str, Points]]) -> dict[str, Curve]:
    """Return the medians of several measurements, made to grow with the units."""
    found: dict[str, Curve] = {}
    for what, points in every[0].items():
        seconds = [max(0.0, statistics.median(e[what][i][1] for e in every)) for i in range(len(points))]
        grown = np.maximum.accumulate(seconds)
        found[what] = tuple(
            (float(units), float(f"{s:.3g}")) for (units, _), s in zip(points, grown, strict=True)
        )
    return found


def waking(machine: Machine, seconds: float) -> float:
    """Return what a message takes, besides work, for the small program to take so long."""
    here = replace(machine, cores=len(os.sched_getaffinity(0)) / len(NAMES), together=True)
    found = predict(small_program(), "rep3", Format(64, 16), NAMES, NAMES, machine=here)
    return max(0.0, seconds - found.seconds) / found.rounds


def cooling(machine: Machine, longer: float) -> float:
    """Return what work takes longer after each wait, for the small program to take all processors so much longer."""
    found = predict(small_program(), "rep3", Format(64, 16), NAMES, NAMES, network=LAN, machine=machine)
    return max(0.0, longer) / found.clock.sleeps


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).resolve().parents[1] / "src/tacit/core/machine.json"
    )
    parser.add_argument("--rounds", type=int, default=3, help="measure so often; medians are kept")
    args = parser.parse_args()
    known = load_machine(args.out).curves if args.out.exists() else {}
    every = [measure() for _ in range(args.rounds)]
    about = machine()
    source = f"{about['processor']}, {about['date']}, `./dev bench calibrate`"
    found = combined([curves for curves, _, _ in every])
    # What this processor has no instructions for stays as it was measured elsewhere.
    others = {what: curve for what, curve in known.items() if what.startswith(PRODUCTS) and what not in found}
    made = Machine(found | others, source=source)
    wake_s = waking(made, statistics.median(seconds for _, seconds, _ in every))
    cold_s = cooling(made, statistics.median(longer for _, _, longer in every))
    made = replace(made, wake_s=float(f"{wake_s:.2g}"), cold_s=float(f"{cold_s:.2g}"))
    content = made.content()
    curves = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in content.pop("curves").items())
    head = json.dumps(content, indent=1)[:-2]
    args.out.write_text(f'{head},\n "curves": {{\n{curves}\n }}\n}}\n')
    print(f"{'functionality':<18}" + "  µs a call at so many units of work")
    for what, curve in made.curves.items():
        print(f"{what:<18}" + "".join(f"{1e6 * s:>10.1f} @ {n:<9.0f}" for n, s in curve))
    print(f"a message wakes its receiver in {1e6 * made.wake_s:.1f} µs")
    print(f"work after a wait for another machine takes {1e6 * made.cold_s:.0f} µs longer")
    print(f"written to {args.out}; load average {os.getloadavg()[0]:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
