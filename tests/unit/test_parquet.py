"""Rows as a Parquet file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow, of the extra 'parquet', is not installed")

from edgewise.runtime.classifier import Prediction, Score  # noqa: E402
from edgewise.runtime.parquet import ROWS_OF_A_GROUP, write_parquet  # noqa: E402
from edgewise.runtime.rows import Row  # noqa: E402
from edgewise.spec import PhotoError  # noqa: E402


def test_the_columns_are_those_of_the_json_lines(tmp_path: Path) -> None:
    top = (Score("red", 0, 0.75), Score("grün", 1, 0.25))
    rows = [
        Row("a.png", Prediction("red", 0.75, top), None, 1.25),
        Row(os.fsdecode(b"\xff.png"), None, PhotoError("bad"), None),
    ]
    write_parquet(rows, tmp_path / "out.parquet", {"backend": "litert"})
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == [
        {
            "path": "a.png",
            "label": "red",
            "probability": 0.75,
            "top": [{"label": "red", "probability": 0.75}, {"label": "grün", "probability": 0.25}],
            "error": None,
            "milliseconds": 1.25,
            "backend": "litert",
        },
        {
            "path": r"\xff.png",
            "label": None,
            "probability": None,
            "top": [],
            "error": "bad",
            "milliseconds": None,
            "backend": "litert",
        },
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


def test_rows_are_written_in_groups_and_may_be_none(tmp_path: Path) -> None:
    row = Row("a.png", None, PhotoError("bad"), None)
    write_parquet((row for _ in range(ROWS_OF_A_GROUP + 1)), tmp_path / "many.parquet", {})
    assert pq.ParquetFile(tmp_path / "many.parquet").num_row_groups == 2
    write_parquet([], tmp_path / "none.parquet", {})
    assert pq.read_table(tmp_path / "none.parquet").num_rows == 0
