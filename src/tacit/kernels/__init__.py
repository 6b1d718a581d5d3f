"""Array kernels: whole fused loops over ring elements and bit planes.

``reference`` (NumPy) is the specification; ``compiled`` gives the same bits from C++, where it is built.
"""

from __future__ import annotations

from tacit.kernels.choice import NATIVE, Info, info, notice, reuse_memory, set_threads
from tacit.kernels.shapes import U128, Array, Cut, Mask, Masks, Packed, Places, Scales, StreamPart, Terms

if NATIVE:
    from tacit.kernels.compiled import (
        KeyStream,
        add,
        add_planes,
        block_select,
        block_table,
        expanded,
        from_planes,
        gathered_matmul,
        matmul,
        mul,
        neg,
        pack_bool,
        pack_words,
        prg,
        rep3_matmul,
        rep3_matmul_rows,
        shl,
        shr,
        sub,
        to_planes,
        unpack_bool,
        unpack_words,
    )
    from tacit.kernels.compiled_rep3 import (
        add_masks,
        and_rows,
        bits_first,
        bits_second,
        lambda_rows,
        mix_rows,
        place_rows,
        rep3_products,
        select_first,
        select_second,
        select_trunc_first,
        select_trunc_second,
        sum_rows,
        table_first,
        table_second,
        trunc_first,
        trunc_second,
        trunc_third,
    )
else:
    from tacit.kernels.reference import (
        KeyStream,
        add,
        add_planes,
        block_select,
        block_table,
        expanded,
        from_planes,
        gathered_matmul,
        matmul,
        mul,
        neg,
        pack_bool,
        pack_words,
        prg,
        rep3_matmul,
        rep3_matmul_rows,
        shl,
        shr,
        sub,
        to_planes,
        unpack_bool,
        unpack_words,
    )
    from tacit.kernels.reference_rep3 import (
        add_masks,
        and_rows,
        bits_first,
        bits_second,
        lambda_rows,
        mix_rows,
        place_rows,
        rep3_products,
        select_first,
        select_second,
        select_trunc_first,
        select_trunc_second,
        sum_rows,
        table_first,
        table_second,
        trunc_first,
        trunc_second,
        trunc_third,
    )

__all__ = [
    "NATIVE", "U128", "Array", "Cut", "Info", "KeyStream", "Mask", "Masks", "Packed", "Places", "Scales", "StreamPart",
    "Terms", "add", "add_masks", "add_planes", "and_rows",
    "bits_first", "bits_second",
    "block_select", "block_table", "expanded",
    "from_planes", "gathered_matmul", "info", "lambda_rows", "matmul", "mix_rows", "mul",
    "neg", "notice", "pack_bool", "pack_words", "place_rows", "prg", "rep3_matmul",
    "rep3_matmul_rows", "rep3_products", "reuse_memory", "select_first", "select_second",
    "select_trunc_first", "select_trunc_second", "set_threads",
    "shl", "shr", "sub", "sum_rows", "table_first", "table_second", "to_planes", "trunc_first", "trunc_second", "trunc_third", "unpack_bool",
    "unpack_words",
]  # fmt: skip
