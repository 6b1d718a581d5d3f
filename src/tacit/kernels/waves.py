"""Sums of sines and powers of masked numbers: native where it is built, else NumPy, bit for bit alike."""

from __future__ import annotations

from tacit.kernels.choice import NATIVE
from tacit.kernels.reference_waves import mask_rows, power, row, turn

if NATIVE:
    from tacit.kernels.compiled_waves import (
        bits_left,
        bits_right,
        lift_bit,
        lift_part,
        lift_product,
        look_up,
        pick_rows,
        powers_left,
        powers_right,
        waves_left,
        waves_right,
    )
else:
    from tacit.kernels.reference_lift import bits_left, bits_right, lift_bit, lift_part, lift_product
    from tacit.kernels.reference_waves import (
        look_up,
        pick_rows,
        powers_left,
        powers_right,
        waves_left,
        waves_right,
    )

__all__ = [
    "bits_left", "bits_right", "lift_bit", "lift_part", "lift_product", "look_up", "mask_rows", "pick_rows",
    "power", "powers_left", "powers_right", "row", "turn", "waves_left", "waves_right",
]  # fmt: skip
