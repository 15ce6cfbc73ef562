"""The FlatBuffers format, as far as reading needs it, for bytes from anywhere.

Source: the "Internals" page of the public FlatBuffers documentation. Every offset is checked against the end of the
file, and a `Budget` bounds the work, because tables and vectors may be shared: a small file can describe a huge tree.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from edgewise.runtime.protobuf import Budget, WireError

MAX_TEXT_BYTES = 1000
"""Longer names are cut off."""

_TEXT_BYTES_PER_FIELD = 8  # a text may be shared as well
_SIZES = {kind: struct.calcsize("<" + kind) for kind in "bBhHiIqQf"}


@dataclass(frozen=True)
class Table:
    """One table; fields are known by their index in the schema, and absent ones have the default.

    Raises (every method): WireError where an offset leads out of the file or the budget is spent.
    """

    data: memoryview  # the whole file, one byte per element
    at: int  # where the table starts
    budget: Budget

    @staticmethod
    def root(data: memoryview, budget: Budget) -> Table:
        """The outermost table of a file."""
        return Table(data, _number(data, 0, "I"), budget)

    def number(self, index: int, kind: str, default: int = 0) -> int:
        """A whole number; ``kind`` is its letter in the struct module."""
        at = self._field(index)
        return default if at is None else int(_number(self.data, at, kind))

    def text(self, index: int) -> str:
        """A text, cut off after MAX_TEXT_BYTES; "" where there is none."""
        start, count = self._vector(index, 1)
        count = min(count, MAX_TEXT_BYTES)
        self._spend(count // _TEXT_BYTES_PER_FIELD)
        return str(self.data[start : start + count], "utf-8", "replace")

    def table(self, index: int) -> Table | None:
        """A table, None where there is none."""
        at = self._field(index)
        return None if at is None else Table(self.data, at + _number(self.data, at, "I"), self.budget)

    def tables(self, index: int) -> Iterator[Table]:
        """The tables of a vector, one after the other."""
        start, count = self._vector(index, 4)
        for at in range(start, start + 4 * count, 4):
            self._spend(1)
            yield Table(self.data, at + _number(self.data, at, "I"), self.budget)

    def numbers(self, index: int, kind: str, most: int | None = None) -> tuple[float, ...]:
        """The numbers of a vector; the first ``most`` of them."""
        start, count = self._vector(index, _SIZES[kind])
        count = count if most is None else min(count, most)
        self._spend(count)
        return struct.unpack_from(f"<{count}{kind}", self.data, start)

    def span(self, index: int) -> tuple[int, int]:
        """Where a vector of bytes starts, and how many it has."""
        return self._vector(index, 1)

    def count(self, index: int, size: int) -> int:
        """How many elements of ``size`` bytes a vector has."""
        return self._vector(index, size)[1]

    def _spend(self, count: int) -> None:
        self.budget.fields -= max(count - 1, 0)
        self.budget.spend()

    def _field(self, index: int) -> int | None:
        """Where a field is. The table starts with the distance back to its list of field offsets."""
        self._spend(1)
        offsets = self.at - _number(self.data, self.at, "i")
        size = _number(self.data, offsets, "H")
        if 4 + 2 * index + 2 > size:
            return None
        distance = _number(self.data, offsets + 4 + 2 * index, "H")
        return self.at + distance if distance else None

    def _vector(self, index: int, size: int) -> tuple[int, int]:
        at = self._field(index)
        if at is None:
            return 0, 0
        at += _number(self.data, at, "I")
        count = _number(self.data, at, "I")
        if count * size > len(self.data) - at - 4:
            raise WireError(f"a list of {count} elements at byte {at} reaches past its end")
        return at + 4, count


def _number(data: memoryview, at: int, kind: str) -> int:
    if not 0 <= at <= len(data) - _SIZES[kind]:
        raise WireError(f"byte {at} is asked for, and it has {len(data)}")
    return int(struct.unpack_from("<" + kind, data, at)[0])
