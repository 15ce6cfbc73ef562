"""The tables of the page as plain data: what stands in each cell, and what it is sorted by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from edgewise.benchmarks import text
from edgewise.benchmarks.figures import Accuracy
from edgewise.benchmarks.results import Kind, Results, Row
from edgewise.benchmarks.statistics import Share


@dataclass(frozen=True)
class Cell:
    """One figure."""

    shown: str
    note: str = ""  # below it, smaller
    sort: float | None = None  # None: not measured, comes last in any order
    strong: bool = False
    warning: str = ""  # below it, in the colour of trouble


@dataclass(frozen=True)
class Column:
    """What stands in a column."""

    name: str
    unit: str
    make: Callable[[Row], Cell]
    descending: bool = False  # large is good, so that the first click brings large ones to the top


@dataclass(frozen=True)
class Line:
    """One row."""

    row: Row
    badges: tuple[str, ...]  # such as "recommended"
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """Columns that hold anything, and the lines below them."""

    columns: tuple[Column, ...]
    lines: tuple[Line, ...]


NOTHING = Cell("")


def speed_table(results: Results, front: Sequence[Row]) -> Table:
    """Every row: how right, how fast, how large."""
    counts = {"spread": results.settings.rounds, "bulk": results.settings.offline_rounds}
    spreads = {name: text.spread(rounds).removeprefix("range of ") for name, rounds in counts.items()}
    columns = [replace(column, unit=column.unit.format(**spreads)) for column in SPEED]
    return _table(results, results.rows, columns, front)


def accuracy_table(results: Results) -> Table:
    """Every file on every backend once, whatever number of threads: how right in detail."""
    return _table(results, [row for row in text.fastest_of_each(results.rows) if row.accuracy], RIGHT, ())


def _table(results: Results, rows: Sequence[Row], columns: Sequence[Column], front: Sequence[Row]) -> Table:
    made = [[column.make(row) for column in columns] for row in rows]
    kept = [place for place in range(len(columns)) if any(cells[place].shown for cells in made)]
    chosen = text.recommended_row(results) if results.recommendation and results.recommendation.met else None
    lines = tuple(
        Line(row, tuple(_badges(row, chosen, front)), tuple(cells[place] for place in kept))
        for row, cells in zip(rows, made, strict=True)
    )
    return Table(tuple(columns[place] for place in kept), lines)


def _badges(row: Row, chosen: Row | None, front: Sequence[Row]) -> Iterator[str]:
    if row is chosen:
        yield "recommended"
    if row.entry.is_reference:
        yield "the reference"
    if row.entry.kind is Kind.PLAIN:
        yield "plain loop, for comparison"
    if row in front:
        yield "on the front"


def _top1(row: Row) -> Cell:
    return _share(row.accuracy.top1, strong=True) if row.accuracy else NOTHING


def _share(share: Share | None, *, strong: bool = False) -> Cell:
    return Cell(text.percent(share.share), text.interval(share), share.share, strong) if share else NOTHING


def _difference(row: Row) -> Cell:
    difference = row.accuracy.difference if row.accuracy else None
    if difference is None:
        return NOTHING
    span = f"{text.signed(difference.points.low)} to {text.signed(difference.points.high)}"
    return Cell(text.signed(difference.points.value), span, difference.points.value)


def _p50(row: Row) -> Cell:
    median = row.latency.p50_interval
    warning = "contended" if row.contention.contended else ""
    return Cell(text.milliseconds(row.latency.p50), text.span(median), row.latency.p50, strong=True, warning=warning)


def _milliseconds(value: float | None) -> Cell:
    return Cell(text.milliseconds(value), sort=value)


def _start(row: Row) -> Cell:
    if row.start_ms is None:
        return NOTHING
    value, low, high = (f"{each / 1e3:.2f}" for each in (row.start_ms.value, row.start_ms.low, row.start_ms.high))
    beside = f"{low}–{high}" if len(row.rounds) > 1 else ""  # one process starts once
    return Cell(value, beside, row.start_ms.value / 1e3, warning="contended" if row.start_disturbed else "")


def _bulk(row: Row) -> Cell:
    if row.offline is None:
        return NOTHING
    way = f"batch {row.offline.batch}, {text.count(row.offline.streams, 'stream')}"
    how = "; ".join(filter(None, (text.bulk(row), way)))
    warning = "contended" if row.offline.disturbed else ""
    value = row.offline.images_per_second.value
    return Cell(text.rate(value), how, value, warning=warning)


def _size(row: Row) -> Cell:
    if not row.entry.bytes:
        return NOTHING
    packed = f"{text.megabytes(row.entry.gzip_bytes)} as gzip" if row.entry.gzip_bytes else ""
    return Cell(text.megabytes(row.entry.bytes), packed, float(row.entry.bytes))


def _memory(row: Row) -> Cell:
    return Cell(text.megabytes(row.memory_bytes), sort=float(row.memory_bytes)) if row.memory_bytes else NOTHING


def _ceiling(row: Row) -> Cell:
    return Cell(text.of_peak(row), sort=row.ceiling_share)


def _energy(row: Row) -> Cell:
    return Cell(f"{row.energy.joules_per_image:.3g}", sort=row.energy.joules_per_image) if row.energy else NOTHING


SPEED = (
    Column("top-1", "95% interval", _top1, descending=True),
    Column("to reference", "points", _difference, descending=True),
    Column("p50", "ms, {spread}", _p50),
    Column("p90", "ms", lambda row: _milliseconds(row.latency.p90)),
    Column("p99", "ms", lambda row: _milliseconds(row.latency.p99)),
    Column("bulk", "photos/s, {bulk}", _bulk, descending=True),
    Column("start", "s, {spread}", _start),
    Column("memory", "of the process", _memory),
    Column("file", "size", _size),
    Column("energy", "J/photo", _energy),
    Column("of peak", "", _ceiling, descending=True),
)
"""Of the table of every row."""


def _of(make: Callable[[Accuracy], Cell]) -> Callable[[Row], Cell]:
    """What stands in a cell of a row whose accuracy was measured."""
    return lambda row: make(row.accuracy) if row.accuracy else NOTHING


def _number(value: float | None, show: str) -> Cell:
    return NOTHING if value is None else Cell(format(value, show), sort=value)


def _changed(accuracy: Accuracy) -> Cell:
    found = accuracy.difference
    if found is None:
        return NOTHING
    return Cell(f"+{found.gained:,} −{found.lost:,}", sort=float(found.gained - found.lost))


RIGHT = (
    Column("top-1", "95% interval", _top1, descending=True),
    Column("to reference", "points", _difference, descending=True),
    Column("photos", "gained, lost", _of(_changed), descending=True),
    Column("agreement", "with reference", _of(lambda found: _share(found.agreement)), descending=True),
    Column("top-5", "", _of(lambda found: _share(found.top5)), descending=True),
    Column("macro F1", "", _of(lambda found: _number(found.macro_f1, ".3f")), descending=True),
    Column("ECE", "", _of(lambda found: _number(found.ece, ".1%"))),
    Column("NLL", "nats", _of(lambda found: _number(found.nll, ".3f"))),
    Column("unknown", "of the photos", _of(lambda found: _number(found.unknown_share, ".1%"))),
    Column("AUROC", "strange photos",
           _of(lambda found: _number(found.ood.auroc if found.ood else None, ".3f")), descending=True),
    Column("accepted", "strange photos", _of(lambda found: _share(found.ood.false_accepts if found.ood else None))),
)  # fmt: skip
"""Of the table of accuracy."""
