"""The page: tables and plots from the files of results."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.rig import floor, prediction
from bench.rig.engines import FACTS, ROOT
from bench.rig.relay import NETWORKS, Network
from bench.rig.workloads import all_workloads

RESULTS = ROOT / "bench" / "results"
PAGE = ROOT / "bench" / "RESULTS.md"
PEERS = ("spu", "crypten", "mpyc")
TITLES = {
    "loopback": "Loopback",
    "lan": "1 Gbit/s, 0.2 ms round trip",
    "wan": "100 Mbit/s, 40 ms round trip",
}
CLOSE = 0.1
"""How much more a run may take on a slow network than its rounds and bytes."""
Record = dict[str, Any]


def load(folder: Path, network: str) -> dict[str, Record]:
    """Return the results of one network by workload name, in the order of the workloads."""
    found = {}
    for w in all_workloads():
        path = folder / network / f"{w.key}.json"
        if path.exists():
            found[w.name] = json.loads(path.read_text())
    return found


def table(head: list[str], rows: Iterable[list[str]], words: bool = False) -> list[str]:
    """Return a table in Markdown, the first column to the left, the others as numbers or as words."""
    return [
        "| " + " | ".join(head) + " |",
        "|---|" + ("---|" if words else "--:|") * (len(head) - 1),
        *("| " + " | ".join(r) + " |" for r in rows),
    ]


def seconds(result: Record | None) -> str:
    """Return the median and the spread, or why there is none."""
    if result is None:
        return ""
    if "failed" in result:
        return short(result["failed"])
    mark = "" if result["right"] else " wrong"
    once = " (once)" if result["warm"] else " (once, cold)"
    spread = f" ({number(result['least'])}–{number(result['most'])})" if result["runs"] > 1 else once
    return f"{number(result['seconds'])}{spread}{mark}"


def short(reason: str) -> str:
    """Return a failure in a few words."""
    for sign, words in (
        ("NotImplementedError", "none"),
        ("no answer", "did not end in time"),
        ("process ended", "crashed"),
        ("RangeError", "refused: range"),
        ("NotRealised", "not supported"),
    ):
        if sign in reason:
            return words
    return "failed"


def number(x: float) -> str:
    """Return a number with two or three digits that count."""
    if x == 0:
        return "0"
    if x >= 100:
        return f"{x:.0f}"
    if x >= 10:
        return f"{x:.1f}"
    if x >= 0.1:
        return f"{x:.2f}"
    return f"{x:.3f}" if x >= 0.01 else f"{x:.2g}"


def size(nbytes: float) -> str:
    """Return bytes in units that read well."""
    for unit, one in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if nbytes >= one:
            return f"{number(nbytes / one)} {unit}"
    return f"{nbytes:.0f} B"


def ratio(record: Record, peer: str) -> str:
    """Return how many times as long as Tacit the peer takes; nothing where one of the two has no number."""
    factor = _factor(record, peer)
    return "" if factor is None else number(factor)


def times(found: dict[str, Record]) -> list[str]:
    """Return the table of seconds and ratios."""
    present = [p for p in PEERS if any(p in r["engines"] for r in found.values())]
    head = ["workload", "Tacit, s", *(f"{FACTS[p].title}, s" for p in present)]
    head += [f"{FACTS[p].title.split()[0]} / Tacit" for p in present]
    rows = []
    for name, r in found.items():
        e = r["engines"]
        row = [name, seconds(e.get("tacit")), *(_sized(r, p) for p in present)]
        rows.append(row + [ratio(r, p) for p in present])
    return table(head, rows)


def _sized(record: Record, peer: str) -> str:
    """Return the peer's time, with its size where that is another one than Tacit's."""
    ours, theirs = record["engines"].get("tacit"), record["engines"].get(peer)
    text = seconds(theirs)
    if theirs and ours and theirs["params"] != ours["params"] and text != "none":
        text += f" at {sized(theirs, ours)}"
    return text


def sized(theirs: Record, ours: Record) -> str:
    """Return where a peer's size is another one than Tacit's."""
    return ", ".join(f"{k} {v:,}" for k, v in theirs["params"].items() if ours["params"].get(k) != v)


def sizes(counts: list[int]) -> str:
    """Return what each of the parties sent, in one unit."""
    for unit, one in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if max(counts) >= one:
            return " / ".join(number(c / one) for c in counts) + f" {unit}"
    return " / ".join(map(str, counts)) + " B"


def over_live(e: Record) -> str:
    """Return Tacit's peak beyond what it held before the inputs, over the shares that the program has live at once."""
    inputs, most = e.get("live", (0, 0))
    if most < 10e6:
        return ""
    return number((max(0, e["peak"] - e["held"]) + inputs) / most)


def details(found: dict[str, Record]) -> list[str]:
    """Return the table with every column of every engine."""
    rows = []
    for name, r in found.items():
        for engine, e in r["engines"].items():
            if "seconds" not in e:
                continue
            rounds = "" if e["rounds"] is None else f"{e['rounds']:.0f}"
            wrong = f"{e['wrong_values']:,} of {e['values']:,}" if e["wrong_values"] else "0"
            error = "not finite" if e["error"] is None else f"{e['error']:.1e}"
            engine_name = FACTS[engine].title.split()[0]
            if e["params"] != r["engines"].get("tacit", e)["params"]:
                engine_name += " at " + ", ".join(
                    f"{k} {v:,}" for k, v in e["params"].items() if isinstance(v, int)
                )
            rows.append([
                name, engine_name, number(e["seconds"]), number(e.get("cold", e["seconds"])),
                ratio(r, engine) if engine in PEERS else "", sizes(e["wire"]),
                rounds, size(e["peak"]), size(max(0, e["peak"] - e["held"])), over_live(e), error, wrong,
                *FACTS[engine].brief, number(e["compile"]), e.get("commit", r.get("commit", "")),
            ])  # fmt: skip
    head = ["workload", "engine", "s", "s after a pause", "ratio", "bytes of each party", "rounds", "peak memory",
            "above inputs", "peak / live shares", "largest error", "wrong values", "adversary", "truncation",
            "preprocessing", "compile, s", "Tacit's commit"]  # fmt: skip
    return table(head, rows)


def per_round(seconds: float, e: Record) -> str:
    """Return microseconds a round; nothing of results from before there was such a figure, or without rounds."""
    return f"{1e6 * seconds / e['rounds']:.0f}" if seconds and e["rounds"] else ""


def floors(found: dict[str, Record], network: Network, measured: dict[str, float]) -> list[str]:
    """Return Tacit's times beside the floor, and the traffic that the cost model predicts beside the meters'."""
    kinds = ("shared", "alone")
    head = ["workload", "Tacit, s"]
    if network.rtt_s:
        head += ["floor, s", "Tacit / floor"]
    else:
        head += [f"{part} shared, s" for part in ("link", "products", "generator", "memory")]
        head += [f"floor {k}, s" for k in kinds] + [f"Tacit / floor {k}" for k in kinds]
    head += [
        "µs a round",
        "processor µs a round",
        "own µs a round",
        "rounds",
        "bytes of the busiest party",
        "as metered",
    ]
    rows = []
    for name, r in found.items():
        e = r["engines"].get("tacit", {})
        if "seconds" not in e or "predicted_bytes" not in e:
            continue
        busiest = max(e["predicted_bytes"])
        row = [name, number(e["seconds"])]
        if network.rtt_s:
            least = floor.far(network, e["predicted_rounds"], busiest)
            row += [number(least), over(e, least)]
        else:
            near = floor.near(
                measured, busiest, e.get("factors"), e.get("drawn") and max(e["drawn"]), e.get("passed")
            )
            row += [known(s) for s in near["shared"]]
            row += [known(near[k].whole) for k in kinds] + [over(e, near[k].whole) for k in kinds]
        same = e["predicted_bytes"] == e["payload"] and e["predicted_rounds"] == e["rounds"]
        exact = "yes" if same else f"{e['rounds']:.0f} rounds, {size(max(e['payload']))} metered"
        cpus = e.get("cpus", [0.0])
        own = [cpu - look for cpu, look in zip(cpus, e["looks"], strict=True)] if "looks" in e else [0.0]
        row += [per_round(s, e) for s in (e["seconds"], max(cpus), max(own))]
        rows.append([*row, f"{e['predicted_rounds']}", size(busiest), exact])
    return table(head, rows)


def known(x: float | None) -> str:
    """Return a number; nothing of what was not measured."""
    return "" if x is None else number(x)


def over(e: Record, least: float | None) -> str:
    """Return how many times the least time that a result took, where there is such a time."""
    return number(e["seconds"] / least) if least else ""


def formula(found: dict[str, Record]) -> list[str]:
    """Return Tacit's times on a slow network beside rounds × latency + bytes / bandwidth of the links as measured."""
    ours = {n: r["engines"]["tacit"] for n, r in found.items() if "seconds" in r["engines"].get("tacit", {})}
    links = [e["network"] for e in ours.values() if "network" in e]
    if not links:
        return []
    rows, near = [], 0
    for name, e in ours.items():
        link = e.get("network", links[0])
        way = e["rounds"] * link["round_trip_us"] / 2e6
        line = max(e["payload"]) / link["bytes_per_s"]
        times = e["seconds"] / (way + line)
        near += times <= 1 + CLOSE
        rows.append([name, number(e["seconds"]), number(way), number(line), number(way + line), f"{times:.2f}",
                     number(e["cpu"] / 3)])  # fmt: skip
    head = ["workload", "Tacit, s", "rounds × latency, s", "bytes / bandwidth, s", "sum, s", "Tacit / sum",
            "processor of one party, s"]  # fmt: skip
    return [
        f"{near} of {len(rows)} within {CLOSE:.0%} of rounds × latency + bytes of the busiest party / bandwidth, links "
        "as the parties measured them through the relay before the run. Processor time includes looking for messages.",
        "",
        *table(head, rows),
    ]


def scaling(folder: Path, total: int) -> list[str]:
    """Return the section on numbers of cores: Tacit's times, and how much shorter than on the fewest."""
    found, where = load(folder, f"cores-{total}"), machine(folder / f"cores-{total}")
    numbers = sorted({int(e.partition("@")[2]) for r in found.values() for e in r["engines"]})
    head = ["workload", *(f"{n} core{'s' * (n > 1)}, s" for n in numbers)]
    head += [f"{numbers[0]} / {n}" for n in numbers[1:]]
    rows = []
    for name, r in found.items():
        on = [r["engines"].get(f"tacit@{n}") for n in numbers]
        shorter = [
            number(on[0]["seconds"] / e["seconds"])
            if e and on[0] and "seconds" in e and "seconds" in on[0]
            else ""
            for e in on[1:]
        ]
        rows.append([name, *(seconds(e) for e in on), *shorter])
    return [
        f"{where['processor']}, {where['cores']} cores, Tacit at commit {where['commit']}, {where['date']}.",
        "",
        *table(head, rows),
        "",
    ]


def behind(found: dict[str, Record]) -> list[str]:
    """Return, in words, every workload at which a peer takes less time, whatever its answer, or Tacit has none."""
    lines = []
    for name, r in found.items():
        ours = r["engines"].get("tacit", {})
        if "seconds" not in ours:
            lines.append(f"- {name}: Tacit has no result ({short(ours.get('failed', ''))}).")
            continue
        for peer in PEERS:
            theirs, factor = r["engines"].get(peer, {}), _factor(r, peer)
            if factor is None:
                continue
            same = theirs["params"] == ours["params"]
            if theirs["seconds"] < ours["seconds"] if same else factor < 1:
                answer = "" if theirs["right"] else f"; {wrong(theirs)}"
                at = "" if same else f" at {sized(theirs, ours)}"
                lines.append(f"- {name}: {FACTS[peer].title} takes {1 / factor:.1f} times less{at}{answer}.")
    return lines or [f"In none of these {len(found)} workloads."]


def wrong(e: Record) -> str:
    """Say how wrong a wrong answer is."""
    return f"{e['wrong_values']:,} of its {e['values']:,} values are wrong"


def machine(folder: Path) -> Record:
    """Return what is recorded of the machine."""
    path = folder / "machine.json"
    return json.loads(path.read_text()) if path.exists() else {}


def floor_in_words(m: dict[str, float]) -> str:
    """Say what the floor on loopback is made of."""
    one, both = m["tls_shared_one"], m["tls_shared_both"]
    way = "each to one neighbour" if one >= both else "each to both others, all links busy both ways"

    def rate(what: str, how: str) -> str:
        found = m.get(f"{what}_{how}")
        return f"{what} not measured yet" if found is None else f"{what} {found / 1e9:.1f} GB/s"

    return (
        "The floor on loopback is bytes of the busiest party over the bandwidth of its links, plus the products, plus "
        "the bytes that the party draws which draws most, in whole blocks of AES-CTR, over the generator's peak, plus "
        "memory: the Program's inputs and results, those that no core's own cache holds, read or written once; "
        "rounds, bit operations and all other memory are left out. A matrix product or convolution "
        "takes five thirds of its multiply-adds over the kernels' peak, or the reading of those factors that no core's "
        "own cache holds, whichever is longer. Shared: all three parties at once on the same cores, as in a workload, "
        "which gives each "
        f"{max(one, both) / 1e9:.2f} GB/s through TLS ({way}; the other way {min(one, both) / 1e9:.2f}), "
        f"{m['products_shared'] / 1e9:.1f} thousand million products a second, "
        f"{rate('reading', 'shared')}, {rate('generator', 'shared')}. Alone: one link one way, one process on all "
        f"cores: {m['tls_alone'] / 1e9:.2f} GB/s, {m['products_alone'] / 1e9:.1f} thousand million, "
        f"{rate('reading', 'alone')}, {rate('generator', 'alone')}. A TLS round "
        f"of three takes {1e6 * m['tls_round_s']:.0f} µs here. All are medians or, of products and draws, the best of "
        "some sizes (`bench/net.py`, `bench/rig/floor.py`)."
    )


ROUNDS = (
    "µs a round is the time from start to end over the rounds: where three parties share the cores it contains waiting "
    "for the others. Processor µs a round is the processor time of the busiest party's process, all threads and the "
    "kernel on its behalf, TLS included, over the rounds: no waiting asleep is in it, but looking for messages is, at "
    "most 250 µs a receive, in which others that have work run first. Own µs a round is the same without that."
)

CORES = """
Only Tacit, on loopback, its processes bound to cores. Fewer than three cores are shared by the three parties; of
more each party has a third to itself, and its kernels use as many threads. `./dev bench peers --cores 1 2` measures
it; the numbers of one row are of runs taken in turn.
"""

METHOD = """
Three processes of one engine are started once and stay; so do the others'. For every workload each engine
compiles, shares the inputs, runs once to warm up, and then Tacit and the peers run in turn. A time goes from a
common start, set in advance on the machine's monotonic clock, until the slowest party holds its shares of the
result; sharing inputs and opening results are left out, except for the statistics, where Tacit's owners start from
their own columns and sharing is part of its time. What takes less than 0.1 s is run four times or more in close
succession, and the median of the later half counts, for every engine alike; the first, which follows a pause in
which other engines used the same caches and cores, is "after a pause". Given are the median and, in brackets,
least and most. What takes more than 15 s runs once and cold. A ratio is against the runs of Tacit beside that peer's.

Bytes are what the kernel's TCP counters say a process sent, TLS and all, for every engine alike. Peak memory is a
process's resident peak during the runs, libraries included; "above inputs" is that less what it held before the
first run, free memory given back. "Peak / live shares", given where those are 10 MB or more, is what is above inputs
and the inputs' own shares, over the most that inputs and variables of the Program take as shares at one moment
(`bench/rig/live.py`). Adversary: "1 curious" is any one of three parties, honest but curious. Rounds: Tacit's are
the longest chain of messages, SPU's the messages that its busiest party received (a bound), CrypTen's
the calls of its communicator.

Inputs are multiples of 2^-16 in known bounds. Errors are against NumPy in float64; a value is wrong if it misses
by more than 2^-6 of max(1, its magnitude). Tacit and SPU run the same jax.numpy text (`bench/rig/programs.py`),
CrypTen and MPyC a driver each. For Tacit some of it states a range that intervals do not find (`bounded` there,
which is `tacit.assume`). Tacit computes in its 64-bit ring with 16 fractional bits; SPU in FM64 with its default
of 18; CrypTen and MPyC with 16 (MPyC's reciprocal with 32). Every engine's results stay shared and are opened after
the time that is measured. Tacit plans a Program together with its openings, as a user's Program has them: results, and
values on the way to them, are exchanged with those bits of 64 that ranges and readers leave open (decision 0077).
Kept for more computation over all 64 bits, a product of 10^6 takes three rounds and 8.75 MB a party here. The
variance is written as a difference of moments, which owners can add up alone; `jnp.var` as it stands is not
owner-local.

The letters of the networks follow the order SecureML, Chameleon, MiniONN, LeNet. Images are random, four fifths of
them background, weights are He's initialisation; training takes minibatches of 128 on the mean cross-entropy by
`jax.grad` (CrypTen: its own derivatives).
"""

NETS = """
The slower networks are a relay process of ours (`bench/rig/relay.py`) through which every link of every engine
runs, the peers' too: `tc netem` is not in this kernel. 1 Gbit/s and 100 Mbit/s are each party's uplink, shared by
what it sends to both others; 0.2 ms and 40 ms are round trips, so a message is on its way for half of that.
Headers, loss and congestion control are not modelled. The relay takes processor time of its own from the same
cores. The floor is rounds x half a round trip + bytes of the busiest party / bandwidth.
"""

CRYPTEN = """
CrypTen 0.4.1 does not import beside the one version of torch that installs here (2.13, CPU): its ONNX importer
asks for `torch.onnx._internal.registration`, which is gone. The driver puts an empty module in its place before
the import; nothing of it is used, since the networks are written with CrypTen's tensors. Three processes, its
default provider: the first party makes all triples, so it could open everything. With three parties its truncation
corrects for a wrap count and is now and then off by one whole unit: "wrong" in its rows is mostly that, and the
number of values is in the table below. The count of rounds makes it take microseconds a call more.
"""


MPYC = """
MPyC 0.11 on loopback alone, three processes with its own options: prime fields, arrays of `SecFxp(64, 16)`, shares of
truncation masks and random bits from pseudorandom functions. Its driver (`bench/rig/engine_mpyc.py`) is written as
its demonstrations are: whole arrays, ReLU as `(x >= 0) * x`, means as its statistics module takes them, convolutions as
products with patches. Its division of arrays scales by 2^(f - 63), which with 16 fractional bits of 64 is 0 and so is
every quotient; it gets 32, which is MPyC's own default. It has no exponential function, logarithm, sigmoid, hyperbolic
tangent or square root of arrays, and so no logistic regression and no training on cross-entropy either: "none". Where
the size of the row takes minutes, it and the Tacit beside it run at the one that is given with its time, and the ratio
is of these two.
"""


def facts() -> list[str]:
    """Return the table of what the engines are."""
    head = ["engine", "adversary", "truncation", "preprocessing", "links"]
    return table(
        head,
        ([f.title, f.security, f.truncation, f.preprocessing, f.links] for f in FACTS.values()),
        words=True,
    )


def write(folder: Path, note: str, page: Path = PAGE) -> None:
    """Write the page and, where matplotlib is installed, its plots."""
    where = machine(folder)
    results = {name: load(folder, name) for name in NETWORKS}
    lines = ["# Tacit beside its peers", ""]
    if note:
        lines += [f"**{note}**", ""]
    runs = [(e, r) for found in results.values() for r in found.values() for e in r["engines"].values()]
    loads = [e.get("load", r.get("load_before", 0.0)) for e, r in runs]
    commits = sorted({e.get("commit", r.get("commit", "")) for e, r in runs} - {""})
    dates = sorted({e.get("taken", r.get("taken", ""))[:10] for e, r in runs} - {""})
    ours = {n: {w: r["engines"].get("tacit", {}) for w, r in found.items()} for n, found in results.items()}
    kinds = Counter(e.get("kernels", "not recorded") for found in ours.values() for e in found.values() if e)
    if where and loads:
        when = " to ".join(dict.fromkeys((dates[0], dates[-1])))
        which = f"{'commit' if len(commits) == 1 else 'commits'} {', '.join(commits)}"
        lines += [
            f"{where['processor']}, {where['cores']} cores that all three parties share, {where['memory_gib']} GiB; "
            f"{where['system']}, TCP {where.get('congestion', 'as it came')} (Tacit on loopback addresses: reno), "
            f"Python {where['python']}, NumPy {where['numpy']}. Taken {when} "
            f"with Tacit at {which}. Load average before each workload: {min(loads):.1f} to {max(loads):.1f}, of "
            "which the benchmark's own processes are part. "
            f"Instruction set of Tacit's kernels: {', '.join(f'{t} in {n} rows' for t, n in kinds.most_common())}.",
            "",
        ]
    lines += ["`./dev bench peers` makes the peers' environments from the package index and takes all of this again; "
              "`./dev bench peers --help` says how to choose.", "", "## The engines", "", *facts(), ""]  # fmt: skip
    for name, network in NETWORKS.items():
        found = results[name]
        if not found:
            continue
        lines += [f"## {TITLES[name]}", "", *times(found), ""]
        figure = plot(found, page.parent / f"{page.stem.lower()}-{name}.svg", TITLES[name])
        if figure:
            lines += [f"![Time of the peers over Tacit's]({figure})", ""]
        lines += ["Where Tacit is behind:", "", *behind(found), ""]
        absent = [w.name for w in all_workloads() if w.name not in found]
        if absent and not any(r.get("small") for r in found.values()):
            lines += [f"Not measured on this network: {'; '.join(absent)}.", ""]
        if "products_shared" in where.get("measured", {}):
            lines += ["### Beside the floor", "", *floors(found, network, where["measured"]), ""]
            if network.rtt_s:
                lines += ["### Beside rounds × latency + bytes / bandwidth", "", *formula(found), ""]
            else:
                lines += [floor_in_words(where["measured"]), "", ROUNDS, ""]
        lines += [f"### Every column: {TITLES[name]}", "", *details(found), ""]
    numbers = sorted(int(p.name.removeprefix("cores-")) for p in folder.glob("cores-*"))
    if numbers:
        lines += [
            "## Tacit on fewer and more cores",
            CORES,
            *(line for n in numbers for line in scaling(folder, n)),
        ]
    lines += prediction.section(ours)
    lines += ["## How it is measured", METHOD]
    if any(results[n] for n in results if n != "loopback"):
        lines += ["## The slower networks", NETS]
    lines += ["## CrypTen", CRYPTEN, "## MPyC", MPYC]
    page.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def plot(found: dict[str, Record], path: Path, title: str) -> str:
    """Draw the ratios as bars; return the file's name, or "" without matplotlib or ratios."""
    try:
        import matplotlib
    except ImportError:
        return ""
    matplotlib.use("svg")
    matplotlib.rcParams["svg.fonttype"] = "none"
    matplotlib.rcParams["svg.hashsalt"] = "tacit"
    from matplotlib import pyplot

    names = [n for n, r in found.items() if any(_factor(r, p) for p in PEERS)]
    peers = [p for p in PEERS if any(_factor(found[n], p) for n in names)]
    if not names:
        return ""
    figure, axes = pyplot.subplots(figsize=(8, 0.9 + 0.26 * len(names)))
    height = 0.8 / len(peers)
    for k, peer in enumerate(peers):
        values = [_factor(found[n], peer) or 1.0 for n in names]
        places = [i + (k - (len(peers) - 1) / 2) * height for i in range(len(names))]
        axes.barh(places, [v - 1 for v in values], height, left=1, label=FACTS[peer].title)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set(
        xscale="log",
        yticks=range(len(names)),
        xlabel="times as long as Tacit (left of 1: faster)",
        title=title,
    )
    axes.set_yticklabels(names, fontsize=7)
    axes.invert_yaxis()
    axes.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path.name


def _factor(record: Record, peer: str) -> float | None:
    """Return the peer's time over that of Tacit at the same size, in the runs taken in turn with the peer's."""
    ours, theirs = record["engines"].get("tacit", {}), record["engines"].get(peer, {})
    if "seconds" not in ours or "seconds" not in theirs:
        return None
    if theirs["params"] != theirs.get("beside_params", ours["params"]):
        return None
    return float(theirs["seconds"] / theirs.get("beside", ours["seconds"]))
