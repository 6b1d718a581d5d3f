"""Sums of sines and powers of masked numbers: native where it is built, else NumPy, bit for bit alike."""

from __future__ import annotations

from tacit.kernels.choice import NATIVE
from tacit.kernels.reference_waves import turn

if NATIVE:
    from tacit.kernels.compiled_waves import (
        bits_left,
        bits_right,
        lift_bit,
        lift_part,
        lift_product,
        powers_left,
        powers_right,
        waves_left,
        waves_right,
    )
else:
    from tacit.kernels.reference_lift import bits_left, bits_right, lift_bit, lift_part, lift_product
    from tacit.kernels.reference_waves import powers_left, powers_right, waves_left, waves_right

__all__ = [
    "bits_left", "bits_right", "lift_bit", "lift_part", "lift_product", "powers_left", "powers_right", "turn",
    "waves_left", "waves_right",
]  # fmt: skip
