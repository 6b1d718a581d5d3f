"""`tacit identity`: make or show this party's identity and its card for a roster."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path


def add_parser(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = sub.add_parser("identity", help="make or show this party's identity")
    parser.add_argument("--name", required=True, help="this party's name")
    parser.add_argument(
        "--home", required=True, type=Path, help="folder that keeps the identity (made on first use)"
    )
    parser.add_argument("--host", default="", help="address at which the other parties reach this one")
    parser.add_argument("--port", type=int, default=0, help="its port; 0 if this party only calls others")
    parser.add_argument("--card", type=Path, help="write the card for the roster here (it holds no secret)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the fingerprint; write the card."""
    from tacit.crypto.sealed import naming
    from tacit.net.identity import load_identity, show_fingerprint

    identity = load_identity(args.home, args.name)
    print(f"{identity.name}: {show_fingerprint(identity.fingerprint)}")
    if args.card is not None:
        card = asdict(identity.party(args.host, args.port))
        with naming(args.card):
            args.card.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        print(f"card written to {args.card}; compare the fingerprint over a way you trust")
    return 0
