"""Which classes a file hurt or helped: its confusion matrix against that of the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewise.benchmarks.figures import Accuracy
from edgewise.benchmarks.results import Results, Row
from edgewise.benchmarks.text import fastest_of_each, short_names

MAX_COLUMNS, MAX_CLASSES, MAX_PAIRS = 6, 12, 8
"""What is shown: those that changed most."""


@dataclass(frozen=True)
class Column:
    """A row of the benchmark, or several that answer alike."""

    name: str
    alike: int  # further rows that take the same classes for each other as often


@dataclass(frozen=True)
class Cell:
    """A class in a column."""

    points: float  # change of the share that is answered right, in points
    photos: int  # the same in photos: net, negative where they are fewer


@dataclass(frozen=True)
class Line:
    """A class."""

    label: str
    photos: int
    right: float  # share that the reference answers right, 0-1
    cells: tuple[Cell, ...]  # one for each column


@dataclass(frozen=True)
class Pair:
    """A mistake that became more frequent."""

    column: str
    truth: str
    answer: str
    before: int  # photos, by the reference
    after: int


@dataclass(frozen=True)
class Changes:
    """What became of the classes."""

    columns: tuple[Column, ...]  # the most changed first
    lines: tuple[Line, ...]  # the most hurt first
    pairs: tuple[Pair, ...]  # the most grown first
    unchanged: int  # rows that take no class for another more or less often than the reference
    more_columns: int  # that are not shown
    more_lines: int


def class_changes(results: Results) -> Changes | None:
    """Compare every variant with the reference; None where there is no reference or nothing to compare it with."""
    reference = next((row.accuracy for row in results.rows if row.entry.is_reference and row.accuracy), None)
    rows = [row for row in fastest_of_each(results.rows) if row.accuracy and not row.entry.is_reference]
    if reference is None or not rows:
        return None
    before = np.array(reference.confusion)
    groups = _alike(rows)
    changed = [group for group in groups if not np.array_equal(_matrix(group[0]), before)]
    changed.sort(key=lambda group: -int(np.abs(_net(group[0], before)).sum()))
    shown = changed[:MAX_COLUMNS]
    columns = _columns(shown, rows)
    matrices = [_matrix(group[0]) for group in shown]
    order = _order(matrices, before)
    lines = tuple(_line(index, results.labels, before, matrices) for index in order[:MAX_CLASSES])
    return Changes(
        columns=columns,
        lines=lines,
        pairs=_pairs(columns, matrices, before, results.labels),
        unchanged=sum(len(group) for group in groups) - sum(len(group) for group in changed),
        more_columns=len(changed) - len(shown),
        more_lines=max(len(order) - MAX_CLASSES, 0),
    )


def _alike(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows with equal confusion matrices together, each group led by its fastest."""
    groups: dict[tuple[tuple[int, ...], ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(_accuracy(row).confusion, []).append(row)
    return list(groups.values())


def _accuracy(row: Row) -> Accuracy:
    assert row.accuracy is not None
    return row.accuracy


def _matrix(row: Row) -> NDArray[np.int64]:
    return np.array(_accuracy(row).confusion)


def _net(row: Row, before: NDArray[np.int64]) -> NDArray[np.int64]:
    """Photos of each class (classes,) that are right and were not, less those that were and are not."""
    return np.asarray(_matrix(row).diagonal() - before.diagonal())


def _columns(groups: Sequence[Sequence[Row]], rows: Sequence[Row]) -> tuple[Column, ...]:
    names = dict(zip((row.key for row in rows), short_names(rows), strict=True))
    return tuple(Column(names[group[0].key], len(group) - 1) for group in groups)


def _order(matrices: Sequence[NDArray[np.int64]], before: NDArray[np.int64]) -> list[int]:
    """Classes of which more or fewer are right in any column, the most hurt first."""
    if not matrices:
        return []
    net = np.array([matrix.diagonal() - before.diagonal() for matrix in matrices])
    touched = np.flatnonzero(np.abs(net).max(axis=0))
    return sorted(map(int, touched), key=lambda index: (int(net[:, index].min()), -int(net[:, index].max())))


def _line(index: int, labels: Sequence[str], before: NDArray[np.int64], matrices: Sequence[NDArray[np.int64]]) -> Line:
    photos = int(before[index].sum())
    net = [int(matrix[index, index] - before[index, index]) for matrix in matrices]
    cells = tuple(Cell(100 * change / max(photos, 1), change) for change in net)
    return Line(labels[index], photos, float(before[index, index] / max(photos, 1)), cells)


def _pairs(
    columns: Sequence[Column], matrices: Sequence[NDArray[np.int64]], before: NDArray[np.int64], labels: Sequence[str]
) -> tuple[Pair, ...]:
    """Of each pair of classes the column where it grew most."""
    grown: dict[tuple[int, int], Pair] = {}
    for column, matrix in zip(columns, matrices, strict=True):
        growth = matrix - before
        np.fill_diagonal(growth, 0)
        for flat in np.argsort(-growth, axis=None, kind="stable")[:MAX_PAIRS]:
            truth, answer = divmod(int(flat), len(labels))
            pair = Pair(
                column.name, labels[truth], labels[answer], int(before[truth, answer]), int(matrix[truth, answer])
            )
            known = grown.get((truth, answer))
            if pair.after > pair.before and (known is None or pair.after > known.after):
                grown[truth, answer] = pair
    return tuple(sorted(grown.values(), key=lambda pair: pair.before - pair.after)[:MAX_PAIRS])
