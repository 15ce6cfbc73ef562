"""CSV as RFC 4180 has it, but for lines that end as Unix ones do."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import Any, Protocol


class Writable(Protocol):
    """What text can be written to."""

    def write(self, text: str, /) -> object:
        """Take a text."""


class CsvWriter:
    """Writes rows. Before version 3.13 Python's own writer does not quote a carriage return, which ends a row, too."""

    def __init__(self, stream: Writable) -> None:
        self._usual = csv.writer(stream, lineterminator="\n")
        self._quoting = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def writerow(self, cells: Iterable[Any]) -> None:
        """Write one row."""
        row = list(cells)
        breaks = any(isinstance(cell, str) and "\r" in cell for cell in row)
        (self._quoting if breaks else self._usual).writerow(row)

    def writerows(self, rows: Iterable[Iterable[Any]]) -> None:
        """Write several rows."""
        for row in rows:
            self.writerow(row)
