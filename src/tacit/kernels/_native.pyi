"""Types of the native module: outputs first; buffers are contiguous, sized by compiled.py."""

from tacit.kernels.shapes import Array, Mask

def add_64(out: Array, a: Array, b: Array) -> None: ...

add_128 = add_64

def sub_64(out: Array, a: Array, b: Array) -> None: ...

sub_128 = sub_64

def mul_64(out: Array, a: Array, b: Array) -> None: ...

mul_128 = mul_64

def neg_64(out: Array, a: Array) -> None: ...

neg_128 = neg_64

def shl_64(out: Array, a: Array, s: int) -> None: ...

shl_128 = shl_64

def shr_64(out: Array, a: Array, s: int) -> None: ...

shr_128 = shr_64

def matmul_64(
    out: Array,
    a: Array,
    b: Array,
    batch: int,
    m: int,
    k: int,
    n: int,
    a_turned: bool,
    b_turned: bool,
    bits: int,
) -> None: ...

matmul_128 = matmul_64

def gathered_matmul_64(
    out: Array,
    role: int,
    x0: Array,
    x1: Array | tuple[()],
    y0: Array,
    y1: Array | tuple[()],
    x_batch: Array,
    x_first: Array,
    x_second: Array,
    y_batch: Array,
    y_first: Array,
    y_second: Array,
    to_rows: Array,
    step: int,
    bits: int,
) -> None: ...

gathered_matmul_128 = gathered_matmul_64

def rep3_matmul_64(
    out: Array,
    role: int,
    x0: Array,
    x1: Array,
    y0: Array,
    y1: Array,
    batch: int,
    m: int,
    k: int,
    n: int,
    x_turned: bool,
    y_turned: bool,
    bits: int,
) -> None: ...

rep3_matmul_128 = rep3_matmul_64

def right_bytes_64(k: int, n: int, bits: int) -> int: ...
def pack_right_64(right: Array, y0: Array, y1: Array, k: int, n: int, turned: bool, bits: int) -> None: ...
def rep3_rows_64(
    out: Array,
    role: int,
    x0: Array,
    x1: Array,
    right: Array,
    start: int,
    whole: int,
    k: int,
    n: int,
    turned: bool,
    bits: int,
) -> None: ...

right_bytes_128 = right_bytes_64
pack_right_128 = pack_right_64
rep3_rows_128 = rep3_rows_64

def to_planes_64(out: Array, words: Array, plus: Array | tuple[()], bits: int) -> None: ...

to_planes_128 = to_planes_64

def from_planes_64(out: Array, planes: Array, bits: int, length: int) -> None: ...

from_planes_128 = from_planes_64

def pack_words_64(out: Array, words: Array, bits: int) -> None: ...

pack_words_128 = pack_words_64

def unpack_words_64(out: Array, buf: Array, bits: int) -> None: ...

unpack_words_128 = unpack_words_64

def pack_bool(out: Array, a: Array) -> None: ...
def unpack_bool(out: Array, words: Array) -> None: ...
def add_planes(out: Array, a: Array, b: Array, bits: int, length: int) -> None: ...
def block_table(
    out: Array, a: Array, mask: Array | tuple[()], bits: int, length: int, radix: int
) -> None: ...
def block_select(
    g: Array, p: Array, t: Array, b: Array, bits: int, length: int, radix: int, lead: bool
) -> None: ...

class KeyStream:
    def __init__(self, key: bytes) -> None: ...
    def fill(self, out: Array, keep_high: int = ..., keep_low: int = ...) -> None: ...
    def skip(self, nbytes: int) -> int: ...
    def part(self, out: Array, block: int) -> None: ...
    @property
    def blocks(self) -> int: ...

def prg(out: Array, key: bytes, high: int, low: int, keep_high: int, keep_low: int) -> None: ...
def has_aes() -> bool: ...
def aes() -> str: ...
def target() -> str: ...
def targets() -> list[str]: ...
def set_target(name: str) -> None: ...
def set_threads(n: int) -> None: ...
def get_threads() -> int: ...
def reuse_memory(nbytes: int) -> bool: ...
def place_rows(out: Array, words: Mask, rows: int, at: int, length: int) -> None: ...
def and_rows(
    out: Array, s0: Array, s1: Array, a: Array, b: Array, plus: Mask, minus: Mask, first: int, length: int
) -> None: ...
def lambda_rows(out: Array, s0: Array, s1: Array, x: Array, y: Array, mask: Array, length: int) -> None: ...
def sum_rows(
    out: Array,
    w: Array,
    share: Array,
    sets: Array,
    u: Array,
    v: Array,
    begins: Array,
    of_w: Array,
    of_share: Array,
    mask: Array,
    lead: bool,
    length: int,
) -> None: ...
def hot_first(out: Array, bits0: Array, bits1: Array, rho: Array, bits: int, k: int) -> None: ...
def hot_second(out: Array, held: Array, digit: Array, t: Array, lead: bool, bits: int, k: int) -> None: ...
def sum_planes(out: Array, a: Array, b: Array, k: int, length: int) -> None: ...
def digit_ranks(
    message: Array,
    at0: Array,
    at1: Array,
    parts0: list[Array],
    parts1: list[Array],
    rows: list[int],
    one0: int,
    one1: int,
    plus: Array,
    minus: Array,
    bits: int,
    blocks: int,
    k: int,
) -> None: ...
def moved_64(
    out: Array,
    packed: bool,
    x: Array,
    y: Array | tuple[()],
    at: Array,
    masks: Array | tuple[()],
    sum: int,
    how: int,
    k: int,
) -> None: ...

moved_128 = moved_64

def placed_64(
    out: Array, a: Array, b: Array | tuple[()], at: Array | tuple[()], how: int, k: int
) -> None: ...

placed_128 = placed_64

def places_64(out: Array, seen: Array, a: Array, b: Array, how: int, k: int, blocks: int) -> bool: ...

places_128 = places_64

def permutation(out: Array, draws: Array, blocks: int) -> bool: ...
def mix_rows(out: Array, s: Array, z: Array, a: Array, b: Array, length: int) -> None: ...
def waves_left(
    out: Array,
    x: Array,
    masks: Mask,
    stride: int,
    rate: int,
    step: int,
    scale: float,
    harmonics: int,
    width: int,
) -> None: ...
def waves_right(
    out: Array,
    x: Array,
    rows: Mask,
    stride: int,
    rate: int,
    step: int,
    a: Array,
    b: Array,
    width: int,
) -> None: ...
def powers_left(
    out: Array,
    x: Array,
    masks: Mask,
    stride: int,
    rate: int,
    offset: int,
    step: int,
    bits: int,
    slope: int,
    base: int,
    most: int,
    width: int,
) -> None: ...
def powers_right(
    out: Array,
    x: Array,
    rows: Mask,
    stride: int,
    rate: int,
    step: int,
    scale: float,
    bits: int,
    width: int,
) -> None: ...
def lift_product(out: Array, alpha: Array, beta: Array, gamma: Array, bits: int, n: int) -> None: ...
def lift_bit(out: Array, m1: Array, mask: Array, low: int, high: int, w: int) -> None: ...
def lift_part(
    out: Array,
    m1: Array,
    mine: Array,
    theirs: Array,
    own: Array,
    gamma: Array,
    t: Array,
    low: int,
    high: int,
    low_after: int,
    high_after: int,
    w: int,
    f: int,
    lead: bool,
    k: int,
) -> None: ...
def bits_left(out: Array, bits: Array, masks: Mask, stride: int, count: int, width: int, n: int) -> None: ...
def bits_right(
    out: Array,
    bits: Array,
    rows: Mask,
    stride: int,
    weights: Array,
    masks: Array,
    lead: bool,
    count: int,
    outs: int,
    width: int,
) -> None: ...
def seat_gaps(
    out: Array,
    x: Array,
    rows: int,
    columns: int,
    turned: bool,
    k: int,
    groups: int,
    apart: int,
    step: int,
    first: int,
    bits: int,
) -> None: ...
def seat_sums(
    out: Array,
    steps: Array,
    x: Array,
    rows: int,
    columns: int,
    turned: bool,
    k: int,
    groups: int,
    apart: int,
    step: int,
    first: int,
    bits: int,
) -> None: ...
def seat_wins(out: Array, met: Array, k: int, n: int, one: bool) -> None: ...
def won_rows(
    out: Array, at: int, hot: Array, one: bool, rows: int, alone: int, k: int, columns: int
) -> None: ...
def rows_below(out: Array, at: int, above: Array, start: int, rows: int, k: int, columns: int) -> None: ...
def row_numbers(out: Array, held: Array, room: Array, count: int, columns: int) -> None: ...
