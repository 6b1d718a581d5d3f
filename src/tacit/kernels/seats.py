"""Levels of a tournament: native where it is built, else NumPy, bit for bit alike."""

from __future__ import annotations

from tacit.kernels.choice import NATIVE
from tacit.kernels.reference_seats import Seating, pairs

if NATIVE:
    from tacit.kernels.compiled_seats import (
        row_numbers,
        rows_below,
        seat_gaps,
        seat_sums,
        seat_wins,
        won_rows,
    )
else:
    from tacit.kernels.reference_seats import (
        row_numbers,
        rows_below,
        seat_gaps,
        seat_sums,
        seat_wins,
        won_rows,
    )

__all__ = [
    "Seating", "pairs", "row_numbers", "rows_below", "seat_gaps", "seat_sums", "seat_wins", "won_rows",
]  # fmt: skip
