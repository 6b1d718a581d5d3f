"""Time every kernel, native beside NumPy: ``python bench/kernels.py [--json] [--n N] [--seconds S]``.

Columns: milliseconds of both and their ratio; gigabytes a second through arguments and results, beside what
copying memory reaches here; for products, thousand millions of multiply-adds a second.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from tacit import kernels
from tacit.kernels import reference
from tacit.kernels.shapes import Array
from tacit.kernels.table import KERNELS


def drawer(seed: int) -> Callable[[tuple[int, ...], bool], Array]:
    """Return draw(shape, wide) of uniform elements."""
    rng = np.random.default_rng(seed)

    def draw(shape: tuple[int, ...], wide: bool) -> Array:
        words = rng.integers(0, 2**64, (*shape, 2) if wide else shape, dtype=np.uint64)
        return words.view(kernels.U128).reshape(shape) if wide else words

    return draw


def best(call: Callable[..., Any], arguments: tuple[Any, ...], seconds: float) -> float:
    """Return the shortest time of a call, in seconds, over calls that fill ``seconds``."""
    call(*arguments)  # warm: pages, threads
    end, least = perf_counter() + seconds, float("inf")
    while True:
        start = perf_counter()
        call(*arguments)
        now = perf_counter()
        least = min(least, now - start)
        if now > end:
            return least


def nbytes(values: Any) -> int:
    """Return the bytes of the arrays among ``values``."""
    return sum(
        v.nbytes for v in (values if isinstance(values, tuple) else (values,)) if isinstance(v, np.ndarray)
    )


def measure(n: int, seconds: float, with_reference: bool) -> dict[str, Any]:
    """Return all figures."""
    draw = drawer(1)
    source = draw((4 * n,), False)
    copy_s = best(np.copyto, (np.empty_like(source), source), seconds)
    rows: list[dict[str, Any]] = []
    for kernel in KERNELS:
        for wide in (False, True)[: 1 + kernel.wide]:
            arguments = kernel.sample(draw, n, wide)
            call = getattr(kernels, kernel.name)
            moved = nbytes(arguments) + nbytes(call(*arguments))
            native_s = best(call, arguments, seconds)
            numpy_s = best(getattr(reference, kernel.name), arguments, 0.0) if with_reference else None
            rows.append(
                {
                    "kernel": kernel.name,
                    "bits": 128 if wide else 64,
                    "native_s": native_s,
                    "numpy_s": numpy_s,
                    "ratio": numpy_s / native_s if numpy_s else None,
                    "gb_per_s": moved / native_s / 1e9,
                    "gmac_per_s": kernel.products(n) / native_s / 1e9 if kernel.products else None,
                }
            )
    if with_reference:  # NumPy's own integer product, which the reference only uses for small matrices
        side = 500
        a, b = draw((side, side), False), draw((side, side), False)
        plain = side**3 / best(np.matmul, (a, b), 0.0) / 1e9
    else:
        plain = None
    return {
        "machine": platform.machine(),
        "n": n,
        "info": kernels.info(),
        "copy_gb_per_s": 2 * source.nbytes / copy_s / 1e9,
        "numpy_integer_matmul_gmac_per_s": plain,
        "rows": rows,
    }


def show(result: dict[str, Any]) -> None:
    """Print the figures as a table."""

    def cell(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    info = result["info"]
    title = f"n = {result['n']:,}; {info['target']}, {info['threads']} threads, AES {info['aes']}"
    table = Table(title=title)
    for name in ("kernel", "bits", "ms", "NumPy ms", "ratio", "GB/s", "G mul-adds/s"):
        table.add_column(name, justify="left" if name == "kernel" else "right")
    for r in result["rows"]:
        numpy_ms = None if r["numpy_s"] is None else 1e3 * r["numpy_s"]
        table.add_row(
            r["kernel"],
            str(r["bits"]),
            f"{1e3 * r['native_s']:.3f}",
            cell(numpy_ms, ".2f"),
            cell(r["ratio"], ".1f"),
            f"{r['gb_per_s']:.1f}",
            cell(r["gmac_per_s"], ".2f"),
        )
    console = Console(width=100)
    console.print(table)
    console.print(f"copying memory, one thread: {result['copy_gb_per_s']:.1f} GB/s (read + written)")
    if result["numpy_integer_matmul_gmac_per_s"] is not None:
        console.print(f"numpy.matmul on uint64: {result['numpy_integer_matmul_gmac_per_s']:.2f} G mul-adds/s")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--n", type=int, default=10**6, help="elements in an array; matrices have this many entries"
    )
    parser.add_argument("--seconds", type=float, default=0.3, help="time for each native kernel")
    parser.add_argument("--threads", type=int, help="threads of the native kernels")
    parser.add_argument("--no-reference", action="store_true", help="skip NumPy")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if options.threads:
        kernels.set_threads(options.threads)
    result = measure(options.n, options.seconds, not options.no_reference)
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        show(result)


if __name__ == "__main__":
    main()
