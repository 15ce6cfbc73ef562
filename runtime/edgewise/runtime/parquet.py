"""Rows as a Parquet file, for those who have many. Needs the extra ``parquet``."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from edgewise.runtime.rows import Row
from edgewise.runtime.sinks import record
from edgewise.spec.files import replacing

ROWS_OF_A_GROUP = 10_000
"""Rows that are held in memory and written at once."""

SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("probability", pa.float64()),
        pa.field("top", pa.list_(pa.struct([("label", pa.string()), ("probability", pa.float64())]))),
        pa.field("error", pa.string()),
        pa.field("milliseconds", pa.float64()),
    ]
)
"""The columns: those of the JSON lines, under the same names."""


def write_parquet(rows: Iterable[Row], path: Path) -> None:
    """Write all rows to a new file, whole or not at all. Raises OutputError."""
    waiting = iter(rows)
    with replacing(path) as temporary, pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
        while group := [record(row) for row in islice(waiting, ROWS_OF_A_GROUP)]:
            writer.write_table(pa.Table.from_pylist(group, SCHEMA))
