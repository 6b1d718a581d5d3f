"""The sealed stream: any size; cut, reordered, repeated, extended or altered streams fail, and release no
more.
"""

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit.crypto import stream
from tacit.errors import DataError, UsageError
from tacit.threshold.vault_files import save

KEY = b"\x01" * 32
STEP = stream.SEGMENT_BYTES + stream.TAG_BYTES


def sealed(data: Any) -> Any:
    return b"".join(stream.seal(KEY, io.BytesIO(data).read, b"c"))


def opened(data: Any, key: Any = KEY, context: Any = b"c") -> Any:
    return b"".join(stream.open_sealed(key, io.BytesIO(data).read, context))


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 131_072, 200_001])
def test_sizes(size: Any) -> None:
    data = bytes(i * 7 & 255 for i in range(size))
    assert len(sealed(data)) == stream.sealed_bytes(size)
    assert opened(sealed(data)) == data


def test_cut_reordered_repeated_extended() -> None:
    data = sealed(bytes(200_000))
    first, second, third, last = (data[i : i + STEP] for i in range(0, len(data), STEP))
    for wrong in (
        b"",
        first,
        first + second,
        first + second + third,
        data[:-1],
        data[:-STEP],
        first + third + second + last,
        first + first + second + third + last,
        second + third + last,
        last,
        data + last,
        data + b"\0" * 16,
        data + b"\0",
    ):
        with pytest.raises(DataError):
            opened(wrong)
    with pytest.raises(DataError):
        opened(data, key=b"\x02" * 32)
    with pytest.raises(DataError):
        opened(data, context=b"d")


@settings(max_examples=60)
@given(st.integers(0, 140_000), st.integers(0, 7))
def test_any_flip_is_found_and_nothing_after_it_is_released(position: Any, bit: Any) -> None:
    plain = bytes(range(256)) * 540
    data = bytearray(sealed(plain))
    position %= len(data)
    data[position] ^= 1 << bit
    released = b""
    with pytest.raises(DataError):
        for chunk in stream.open_sealed(KEY, io.BytesIO(bytes(data)).read, b"c"):
            released += chunk
    assert plain.startswith(released) and len(released) <= position // STEP * stream.SEGMENT_BYTES


def test_a_dribbling_pipe_is_no_truncation() -> None:
    data = io.BytesIO(sealed(b"x" * 70_000))
    assert b"".join(stream.open_sealed(KEY, lambda n: data.read(min(n, 11)), b"c")) == b"x" * 70_000


def test_a_failed_opening_leaves_no_file(tmp_path: Any) -> None:
    data = sealed(bytes(100_000))[:-1]
    with pytest.raises(DataError):
        save(tmp_path / "out", stream.open_sealed(KEY, io.BytesIO(data).read, b"c"))
    assert list(tmp_path.iterdir()) == []
    save(tmp_path / "out", [b"a"])
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError):
        save(tmp_path / "out", [b"b"])
