"""Rows as a Parquet file, for those who have many. Needs the extra ``parquet``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
"""The columns: those of the JSON lines, under the same names, but for what computed the answers."""


def write_parquet(rows: Iterable[Row], path: Path, ran: Mapping[str, str]) -> None:
    """Write all rows to a new file, whole or not at all. Raises OutputError.

    Args:
        rows: one for each photo.
        path: of the file.
        ran: what computed the answers, such as ``{"backend": "litert"}``: further columns.
    """
    waiting = iter(rows)
    schema = pa.schema([*SCHEMA, *(pa.field(name, pa.string(), nullable=False) for name in ran)])
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        while group := [{**record(row), **ran} for row in islice(waiting, ROWS_OF_A_GROUP)]:
            writer.write_table(pa.Table.from_pylist(group, schema))
