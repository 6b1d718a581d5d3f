"""The demo's default data: clinical rows that scikit-learn ships, split among three hospitals."""

from __future__ import annotations

import csv
import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tacit.errors import UsageError

Array = npt.NDArray[Any]

COLUMNS = ("age", "sex", "bmi", "bp", "tc", "ldl", "hdl", "tch", "ltg", "glu", "progression")
HOSPITALS = {"north": 5, "south": 3, "west": 2}
"""Of every ten consecutive rows, how many each hospital holds: 222, 132 and 88 of the 442 rows."""


def hospital_tables(out_dir: str | Path) -> dict[str, Path]:
    """Write one CSV a hospital and return the files by hospital name.

    The rows are those of Efron, Hastie, Johnstone and Tibshirani, "Least angle regression", 2004, as
    `sklearn.datasets.load_diabetes(scaled=False)` has them: 442 patients, ten measurements in their own units and
    the progression of the disease after a year; nothing is missing. Row i goes by i mod 10, so each hospital gets a
    cross-section and every run the same one. UsageError if scikit-learn is not installed.
    """
    rows = _rows()
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    slots = [name for name, share in HOSPITALS.items() for _ in range(share)]
    files = {}
    for name in HOSPITALS:
        mine = [row for i, row in enumerate(rows) if slots[i % len(slots)] == name]
        files[name] = out / f"{name}.csv"
        with files[name].open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(COLUMNS)
            writer.writerows([f"{v:.10g}" for v in row] for row in mine)
    return files


def _rows() -> Array:
    """Return the rows of the demo, (442, 11)."""
    found = importlib.util.find_spec("sklearn")
    if found is None:
        raise UsageError(
            "the demo's default data ships with scikit-learn, which is not installed; in your clone of Tacit "
            "run: .venv/bin/pip install -e '.[demo]', or give your own tables with --data DIR"
        )
    # To import scikit-learn takes a second, a third of the demo; where its files lie elsewhere, it is imported.
    held = [Path(p) / "datasets" / "data" for p in found.submodule_search_locations or ()]
    for folder in held:
        data, target = folder / "diabetes_data_raw.csv.gz", folder / "diabetes_target.csv.gz"
        if data.is_file() and target.is_file():
            return np.column_stack([np.loadtxt(data), np.loadtxt(target)])
    loaded = importlib.import_module("sklearn.datasets").load_diabetes(scaled=False)
    return np.column_stack([loaded.data, loaded.target])
