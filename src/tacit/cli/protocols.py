"""`tacit protocols`: every protocol's cards, computed from the data that the tests hold against the meters."""

from __future__ import annotations

import argparse

INTRO = """# Protocols

What each functionality of each protocol costs, promises and leaks. `tacit protocols --markdown` prints this page; the
same cards predict the cost of every plan, and tests hold them against the meters byte for byte.

Bits are what each compute party sends for one element, over 65,536 elements of a 64-bit ring, with 16 fractional
bits and 62-bit comparisons where they matter; messages to or from a client or dealer are not counted here.
"""


def add_parser(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = sub.add_parser("protocols", help="print what every protocol costs and promises")
    parser.add_argument("--markdown", action="store_true", help="as the page docs/protocols.md")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the cards."""
    if args.markdown:
        print(page(), end="")
        return 0
    from tacit.cli.show import rows_table

    for name, (about, rows) in tables().items():
        rows_table(
            f"{name}: {about}",
            ("functionality", "rounds", "bits by party", "material"),
            [r[:4] for r in rows],
        )
    return 0


def tables() -> dict[str, tuple[str, list[tuple[str, ...]]]]:
    """Return, per protocol, a sentence and rows of (functionality, rounds, bits, material, leaks, source)."""
    from tacit import protocols
    from tacit.algebra.ring import Ring

    ring = Ring(64)
    found: dict[str, tuple[str, list[tuple[str, ...]]]] = {}
    for name, entry in protocols.REGISTRY.items():
        if name == "clear":
            continue
        parties = max(entry.parties[0], 3)
        rows: list[tuple[str, ...]] = []
        for card in protocols.load(name).cards.values():
            bits = card.bits(ring, parties, f=16)
            shown = " + ".join(f"{b:.4g}" for b in bits)
            rounds = str(card.rounds(ring, f=16, parties=parties))
            rows.append((card.functionality, rounds, shown, card.material, card.leaks, card.source))
        card = next(iter(protocols.load(name).cards.values()))
        about = f"{parties} parties, {card.corruptions} corrupted, {card.adversary}"
        found[name] = (about, rows)
    return found


def page() -> str:
    """Return docs/protocols.md."""
    out = [INTRO]
    for name, (about, rows) in tables().items():
        out.append(f"## {name}\n\n{about}.\n")
        out.append(
            "| functionality | rounds | bits by party | material | leaks | source |\n|---|---|---|---|---|---|"
        )
        out += ["| " + " | ".join(r) + " |" for r in rows]
        out.append("")
    return "\n".join(out)
