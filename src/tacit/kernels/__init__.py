"""Array kernels: whole fused loops over ring elements and bit planes. ``reference`` is the specification."""

from __future__ import annotations

from tacit.kernels.reference import (
    add,
    add_planes,
    block_select,
    block_table,
    from_planes,
    matmul,
    mul,
    neg,
    pack_bool,
    pack_words,
    prg,
    rep3_and,
    rep3_dot,
    rep3_matmul,
    rep3_mul,
    shl,
    shr,
    sub,
    to_planes,
    unpack_bool,
    unpack_words,
)
from tacit.kernels.shapes import U128, Array

__all__ = [
    "U128", "Array", "add", "add_planes", "block_select", "block_table", "from_planes", "matmul", "mul", "neg",
    "pack_bool", "pack_words", "prg", "rep3_and", "rep3_dot", "rep3_matmul", "rep3_mul", "shl", "shr", "sub",
    "to_planes", "unpack_bool", "unpack_words",
]  # fmt: skip
