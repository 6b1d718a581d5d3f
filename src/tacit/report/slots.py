"""What goes into slots: reservations (a one-time key and a length) and texts, as vectors of scalars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tacit.crypto.groups import Element, Group, Scalar
from tacit.crypto.hashing import digest
from tacit.errors import DataError, UsageError
from tacit.report.sums import Vector

LENGTH_BYTES = 4
CHECK_BYTES = 16


@dataclass(frozen=True, slots=True)
class Reservation:
    """A slot that somebody won: its one-time owner key and how many bytes will follow."""

    owner: Element
    size: int


def cell_bytes(group: Group) -> int:
    """Return how many bytes fit into one scalar."""
    return (group.order.bit_length() - 1) // 8


def to_cells(group: Group, data: bytes) -> Vector:
    """Write bytes as scalars, the last one padded with zero bytes."""
    size = cell_bytes(group)
    return tuple(
        group.scalar(int.from_bytes(data[i : i + size].ljust(size, b"\0"))) for i in range(0, len(data), size)
    )


def from_cells(group: Group, cells: Sequence[Scalar], size: int) -> bytes:
    """Read `size` bytes back; DataError if the cells hold anything else."""
    width = cell_bytes(group)
    values = [cell.vartime_int() for cell in cells]
    if any(value >> 8 * width for value in values):
        raise DataError("a slot does not hold text")
    data = b"".join(value.to_bytes(width) for value in values)
    if len(data) < size or any(data[size:]):
        raise DataError("a slot does not hold text of the announced length")
    return data[:size]


def cells_for(group: Group, size: int) -> int:
    """Return how many scalars `size` bytes take."""
    return -(-size // cell_bytes(group))


def reservation_size(group: Group) -> int:
    """Return the bytes of one reservation."""
    return group.element_bytes + LENGTH_BYTES + CHECK_BYTES


def _check(context: bytes, body: bytes) -> bytes:
    return digest("report/reservation", context, body)[:CHECK_BYTES]


def encode_reservation(reservation: Reservation, context: bytes) -> Vector:
    """Write a reservation with a check value, so that a collision is seen to be one."""
    body = reservation.owner.encode() + reservation.size.to_bytes(LENGTH_BYTES)
    return to_cells(reservation.owner.group, body + _check(context, body))


def decode_reservation(group: Group, cells: Vector, context: bytes, max_bytes: int) -> Reservation | None:
    """Read one slot: None if it is empty, DataError if it is neither empty nor one person's reservation."""
    if all(cell.is_zero() for cell in cells):
        return None
    data = from_cells(group, cells, reservation_size(group))
    body, check = data[:-CHECK_BYTES], data[-CHECK_BYTES:]
    if check != _check(context, body):
        raise DataError("two reservations fell into one slot")
    size = int.from_bytes(body[-LENGTH_BYTES:])
    if not 1 <= size <= max_bytes:
        raise DataError("a reservation asks for an impossible length")
    return Reservation(group.decode_element(body[:-LENGTH_BYTES]), size)


def check_text(text: bytes, max_bytes: int) -> None:
    """Refuse an empty or oversized text before anything is sent."""
    if not 1 <= len(text) <= max_bytes:
        raise UsageError(f"a report has between 1 and {max_bytes} bytes")
