"""What ``edgewise benchmark`` prints: a table that fits a terminal of 80 columns, or JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import compress
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.text import Text

    from edgewise.benchmarks.results import Results, Row

LONG = ("confusion", "reliability", "worst", "answers")
"""Fields of the accuracy that only results.json has."""

REASONS_OF = 3
"""Rows of which it is told why they are not faster; the page has all."""


def print_json(results: Results) -> None:
    """One line per row, without raw samples, then one per failure, then the recommendation."""
    for row in results.rows:
        typer.echo(json.dumps(_short(row)))
    for failure in results.failures:
        typer.echo(json.dumps(asdict(failure)))
    if results.recommendation:
        typer.echo(json.dumps({"recommendation": asdict(results.recommendation)}))


def _short(row: Row) -> dict[str, Any]:
    data = asdict(replace(row, rounds=(), rates=()))
    del data["rounds"], data["rates"]
    for name in LONG if data["accuracy"] else ():
        data["accuracy"].pop(name, None)
    return data


def print_table(results: Results) -> None:
    """The headline, every row, the recommendation, the reasons and the remarks, on standard output."""
    from rich.console import Console

    from edgewise.benchmarks import text

    console = Console()
    console.print(_text(text.headline(results)), style="bold")
    if text.comparison(results):
        console.print(_text(text.comparison(results)))
    if results.rows:
        console.print()
        console.print(_table(results))
    console.print()
    for title, told in _told(results):
        console.print(_text(title).append(" ").append(_text(told)))
    for note in _notes(results):
        console.print("•", _text(note))


def _table(results: Results) -> Any:
    from rich.table import Table

    from edgewise.benchmarks import text

    # Without lines and with two lines per row it fits a terminal of 80 columns.
    table = Table(box=None, pad_edge=False, collapse_padding=True, padding=(0, 2, 0, 0))
    table.add_column("file\nbackend", overflow="fold", min_width=20)
    beside, rows = text.spread(results.settings.rounds).removeprefix("range of "), results.rows
    columns = {  # and whether they have a place: not where nothing was measured
        "top-1\npoints": True,
        f"p50 ms\n{beside}": True,
        "p90\np99": any(row.latency.p90 is not None for row in rows),
        "bulk\nper s": any(row.offline for row in rows),
        "size\nmemory" if any(row.memory_bytes for row in rows) else "size\n": True,
        "start\ns": True,
    }
    for heading in compress(columns, columns.values()):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*compress(_cells(row), [True, *columns.values()]))
    return table


def _cells(row: Row) -> Iterator[Text | str]:
    from edgewise.benchmarks import text

    entry, latency, accuracy = row.entry, row.latency, row.accuracy
    threads = f", {text.count(row.threads, 'thread')}" if entry.shows_threads else ""
    yield _text(entry.name).append("\n").append(_text(f"{text.engine(row)}{threads}", "dim"))
    difference = accuracy.difference if accuracy else None
    yield "\n".join(
        (
            text.percent(accuracy.top1.share) if accuracy else "",
            text.signed(difference.points.value) if difference else "reference" if entry.is_reference else "",
        )
    )
    busy = _text("busy" if row.contention.contended else text.span(latency.p50_interval))
    yield _text(text.milliseconds(latency.p50)).append("\n").append(busy)
    yield f"{text.milliseconds(latency.p90)}\n{text.milliseconds(latency.p99)}"
    yield _watched(text.rate(row.offline.images_per_second.value), row.offline.disturbed) if row.offline else ""
    yield "\n".join(text.megabytes(size) if size else "" for size in (entry.bytes, row.memory_bytes))
    yield _watched(f"{row.start_ms.value / 1000:.2f}", row.start_disturbed) if row.start_ms else ""


def _watched(figure: str, disturbed: Sequence[str]) -> str:
    """A figure, and below it a word where something else used the machine."""
    return f"{figure}\nbusy" if disturbed else figure


def _told(results: Results) -> Iterator[tuple[str, str]]:
    """What to do, and why it is not faster."""
    from edgewise.benchmarks import text

    if (found := results.recommendation) is not None:
        row = text.recommended_row(results)
        if found.met:
            yield "Recommended:", f"{row.title if row else found.file}, {found.reason}."
            yield "How certain:", f"{found.certainty}."
        else:
            yield "Nothing to recommend:", f"{found.reason}."
    told = [row for row in text.fastest_of_each(results.rows) if row.reasons]
    for row in told[:REASONS_OF]:
        yield f"Why is {row.title} not faster?", text.reasons(row)
    if len(told) > REASONS_OF:
        yield f"The page tells it of {len(told) - REASONS_OF} more.", ""


def _notes(results: Results) -> Iterator[str]:
    from edgewise.benchmarks import text

    for bad in results.failures:
        yield f"{bad.entry.title} was not measured: {bad.error}"
    yield from text.peaks(results)
    yield from results.remarks


def _text(value: str, style: str = "") -> Text:
    """A name as text that rich does not read as markup."""
    from rich.text import Text

    from edgewise.benchmarks.text import plain

    return Text(plain(value), style=style)
