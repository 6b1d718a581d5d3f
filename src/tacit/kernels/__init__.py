"""Array kernels: whole fused loops over ring elements and bit planes.

``reference`` (NumPy) is the specification; ``compiled`` gives the same bits from C++, where it is built.
"""

from __future__ import annotations

from tacit.kernels.choice import NATIVE, Info, info, notice, set_threads
from tacit.kernels.shapes import U128, Array

if NATIVE:
    from tacit.kernels.compiled import (
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
else:
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

__all__ = [
    "NATIVE", "U128", "Array", "Info", "add", "add_planes", "block_select", "block_table", "from_planes",
    "info", "matmul", "mul", "neg", "notice", "pack_bool", "pack_words", "prg", "rep3_and", "rep3_dot",
    "rep3_matmul", "rep3_mul", "set_threads", "shl", "shr", "sub", "to_planes", "unpack_bool",
    "unpack_words",
]  # fmt: skip
