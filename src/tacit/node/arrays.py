"""Arrays as JSON values, for result files and the pipes between a launcher and its own processes."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt

from tacit.errors import DataError

Array = npt.NDArray[Any]
_TYPES = {"f": "<f8", "i": "<i8", "b": "|b1", "u": "<u8"}


def pack(value: Any) -> dict[str, Any]:
    """Return a JSON form of an array; integers beyond 64 bits become decimal text."""
    a = np.asarray(value)
    if a.dtype == object:
        return {"shape": list(a.shape), "dtype": "int", "values": [str(v) for v in a.reshape(-1)]}
    dtype = _TYPES[a.dtype.kind]
    raw = np.asarray(a, order="C").astype(dtype).tobytes()
    return {"shape": list(a.shape), "dtype": dtype, "b64": base64.b64encode(raw).decode()}


def unpack(form: Any) -> Array:
    """Invert `pack`; DataError if the form is malformed."""
    try:
        shape = tuple(int(s) for s in form["shape"])
        if form["dtype"] == "int":
            out = np.empty(len(form["values"]), object)
            out[:] = [int(v) for v in form["values"]]
            return out.reshape(shape)
        if form["dtype"] not in _TYPES.values():
            raise ValueError
        raw = base64.b64decode(form["b64"], validate=True)
        return np.frombuffer(raw, form["dtype"]).reshape(shape).copy()
    except (KeyError, TypeError, ValueError):
        raise DataError("an array in a file or pipe is malformed") from None
