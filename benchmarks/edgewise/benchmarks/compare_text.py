"""A comparison as a reader sees it: lines for the terminal, Markdown, and plain data for JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from edgewise.benchmarks.compare import Comparison, RowChange
from edgewise.benchmarks.statistics import Interval, Ratio
from edgewise.benchmarks.text import milliseconds, plain
from edgewise.benchmarks.verdict import Change

HEADINGS = ("row", "p50, ms", "latency", "verdict", "top-1, points", "file", "memory", "bulk", "start")

UNBOUNDED = 10.0
"""Ratios beyond this and below its reciprocal are told as such: an interval of two rounds is nearly without bounds."""


def cells(row: RowChange) -> tuple[str, ...]:
    """One row of the table, under HEADINGS."""
    return (
        plain(row.title),
        f"{milliseconds(row.before_ms)} → {milliseconds(row.after_ms)}",
        latency(row.latency),
        row.latency.verdict.value,
        points(row.top1),
        relative(row.before_bytes, row.after_bytes),
        relative(row.before_memory, row.after_memory),
        of_figure(row.bulk),
        of_figure(row.start),
    )


def latency(change: Change) -> str:
    """Such as ``+3.1% (+2.2 to +4.0)``."""
    return of_ratio(change.ratio)


def of_figure(ratio: Ratio | None) -> str:
    """The same of any figure, without an interval where there is none; a dash for None."""
    if ratio is None:
        return "–"
    return of_ratio(ratio.interval) if ratio.interval else f"{_percent(ratio.value)}%"


def of_ratio(ratio: Interval) -> str:
    """Such as ``+3.1% (+2.2 to +4.0)``."""
    if ratio.high > UNBOUNDED or ratio.low < 1 / UNBOUNDED:
        return f"{_percent(ratio.value)}% (interval too wide)"
    return f"{_percent(ratio.value)}% ({_percent(ratio.low)} to {_percent(ratio.high)})"


def points(top1: Interval | None) -> str:
    """Such as ``-0.4 (-1.1 to +0.3)``."""
    return f"{top1.value:+.1f} ({top1.low:+.1f} to {top1.high:+.1f})" if top1 else "–"


def relative(before: int, after: int) -> str:
    """Such as ``-74.0%``; a dash where one of them is not known."""
    return f"{_percent(after / before)}%" if before and after else "–"


def remarks(comparison: Comparison) -> Iterator[str]:
    """What is to be said beside the table."""
    untold: dict[str, list[str]] = {}
    for row in comparison.rows:
        if row.latency.why:
            untold.setdefault(row.latency.why, []).append(row.title)
    for why, titles in untold.items():
        yield f"Cannot be told: {why}. That is so of {', '.join(titles)}."
    for where, missing in ((comparison.before, comparison.only_before), (comparison.after, comparison.only_after)):
        if missing:
            yield f"Only in {where}: {', '.join(missing)}."
    for broken in comparison.broken:
        yield f"Not measured any longer: {broken}."
    yield from comparison.notes


def to_markdown(comparison: Comparison) -> str:
    """For a pull request."""
    lines = [
        f"**{_escaped(comparison.before)} → {_escaped(comparison.after)}**",
        "",
        "| " + " | ".join(HEADINGS) + " |",
        "|---|---:|---:|---|---:|---:|---:|---:|---:|",
        *("| " + " | ".join(map(_escaped, cells(row))) + " |" for row in comparison.rows),
        "",
        *(f"- {_escaped(remark)}" for remark in remarks(comparison)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def to_data(comparison: Comparison) -> Mapping[str, Any]:
    """For JSON: the fields of `Comparison` under their names; a verdict is its text."""
    return asdict(comparison)


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f}"


def _escaped(text: str) -> str:
    """As it is, whatever Markdown would make of it."""
    return "".join(f"\\{char}" if char in "\\`*_[]<>|#~" else char for char in plain(text))
