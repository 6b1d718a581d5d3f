"""Rows that are sorted and moved: native where it is built, else NumPy, bit for bit alike."""

from __future__ import annotations

from tacit.kernels.choice import NATIVE
from tacit.kernels.reference_rows import ADD, SUBTRACT, XOR

if NATIVE:
    from tacit.kernels.compiled_rows import (
        digit_ranks,
        hot_first,
        hot_second,
        moved,
        permutation,
        placed,
        places,
        sum_planes,
    )
else:
    from tacit.kernels.reference_rows import (
        digit_ranks,
        hot_first,
        hot_second,
        moved,
        permutation,
        placed,
        places,
        sum_planes,
    )

__all__ = [
    "ADD", "SUBTRACT", "XOR", "digit_ranks", "hot_first", "hot_second", "moved", "permutation", "placed", "places",
    "sum_planes",
]  # fmt: skip
