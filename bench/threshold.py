"""Measure threshold signing: round 2 and aggregation, 2 of 3 and 67 of 100, beside a plain signature.

Run: python bench/threshold.py [--json] [--quick]

Round 2 is one signer's work, aggregation the combiner's (with the check of the result). For comparison, published by
the Zcash Foundation for FROST in Rust (ristretto255): 0.4 ms and 7 ms for the sum of the two.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from os import urandom

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console
from rich.table import Table

from tacit.threshold import dealer, frost
from tacit.threshold.suites import SUITE_NAMES, suite_named

SIZES = ((2, 3, 3.0), (67, 100, 100.0))  # t, n, the most milliseconds for round 2 and aggregation together
MESSAGE = b"give 500 mg amoxicillin"


def median_ms(work: Callable[[], object], repeats: int) -> float:
    """Return the median time of a call in milliseconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def measure(suite_name: str, t: int, n: int, repeats: int) -> dict[str, float]:
    """Measure one suite and size."""
    dealt = dealer.deal(suite_named(suite_name), t, [f"member {i}" for i in range(1, n + 1)], urandom)
    shares = [share for share, _ in dealt.values()][:t]
    group_key = shares[0].group_key
    kept = [frost.commit(share, urandom) for share in shares]
    sent = [commitment for _, commitment in kept]
    others = {
        share.identifier: frost.sign(share, nonces, MESSAGE, sent)
        for share, (nonces, _) in zip(shares, kept, strict=True)
    }

    def fresh() -> Callable[[], object]:
        nonces, commitment = frost.commit(shares[0], urandom)
        package = [commitment, *sent[1:]]
        return lambda: frost.sign(shares[0], nonces, MESSAGE, package)

    round_2 = statistics.median(median_ms(fresh(), 1) for _ in range(repeats))
    round_1 = median_ms(lambda: frost.commit(shares[0], urandom), repeats)
    combine = median_ms(lambda: frost.aggregate(group_key, MESSAGE, sent, others), repeats)
    return {
        "round_1_ms": round_1,
        "round_2_ms": round_2,
        "aggregate_ms": combine,
        "sum_ms": round_2 + combine,
    }


def main() -> int:
    """Print the figures; the status is 1 if a target is missed."""
    parser = argparse.ArgumentParser(description="Measure threshold signing.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    args = parser.parse_args()
    repeats = 5 if args.quick else 51
    key = Ed25519PrivateKey.generate()
    plain = median_ms(lambda: key.public_key().verify(key.sign(MESSAGE), MESSAGE), repeats)
    rows, missed = [], False
    for t, n, target_ms in SIZES:
        for suite_name in SUITE_NAMES:
            row = {
                "suite": suite_name,
                "t": t,
                "n": n,
                "target_ms": target_ms,
                **measure(suite_name, t, n, repeats),
            }
            missed |= row["sum_ms"] > target_ms
            rows.append(row)
    if args.json:
        print(json.dumps({"plain_ed25519_sign_verify_ms": plain, "rows": rows}, indent=1))
        return int(missed)
    table = Table("suite", "t of n", "round 1", "round 2", "aggregate", "2 + aggregate", "target")
    for row in rows:
        times = [f"{row[name]:.2f} ms" for name in ("round_1_ms", "round_2_ms", "aggregate_ms", "sum_ms")]
        table.add_row(row["suite"], f"{row['t']} of {row['n']}", *times, f"{row['target_ms']:g} ms")
    Console().print(table)
    print(f"one plain Ed25519 signature and its check in the same run: {plain:.2f} ms")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
