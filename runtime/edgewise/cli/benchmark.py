"""``edgewise benchmark``: accuracy, latency, size and memory of every variant of a release, on this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.text import Text

    from edgewise.benchmarks.results import Results
    from edgewise.benchmarks.runner import Step

SECONDS = 10.0
QUICK_SECONDS = 3.0


def benchmark(
    release: Annotated[Path, typer.Argument(help="Release folder, folder of model files, or one model file.")],
    data: Annotated[Path, typer.Option(help="Folder of labelled photos, with or without split folders.")],
    out: Annotated[Path, typer.Option(help="Folder for results.json, report.md and report.html.")],
    threads: Annotated[int | None, typer.Option(min=1, help="Threads for every backend. [default: all cores]")] = None,
    reference: Annotated[
        str | None,
        typer.Option(metavar="RUN|none", help="Run folder to compare with. [default: the one the release names]"),
    ] = None,
    split: Annotated[str, typer.Option(help="Which split of DATA, where it has split folders.")] = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many photos, the same of each class.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the choice that --limit makes.")] = 0,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help=f"Time for the latency of each row. [default: {SECONDS:g}]")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help=f"The same as --seconds {QUICK_SECONDS:g}.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per row in place of the table.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier report in OUT.")] = False,
) -> None:
    """Measure accuracy, latency, size and memory of every variant on this machine."""
    if quick and seconds is not None:
        raise typer.BadParameter("give --quick or --seconds, not both")
    from edgewise.benchmarks.runner import run_benchmark

    with _progress() as progress:
        results = run_benchmark(
            release,
            data,
            out,
            reference=reference,
            threads=threads,
            split=split,
            limit=limit,
            seed=seed,
            seconds=QUICK_SECONDS if quick else seconds or SECONDS,
            overwrite=overwrite,
            command=("edgewise", *sys.argv[1:]),
            progress=progress,
        )
    _print_json(results) if as_json else _print_table(results)
    typer.echo(f"report: {out / 'report.html'}", err=True)
    if not results.rows:
        raise typer.Exit(1)


@contextmanager
def _progress() -> Iterator[Callable[[Step], None]]:
    """Show on stderr which measurement runs, and about how long the rest will take."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        # Measurements are long and few: the speed of the last minute would be unknown most of the time.
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), speed_estimate_period=3600) as bars:
        bar = bars.add_task("reading the release and the photos", total=None)

        def show(step: Step) -> None:
            bars.update(bar, description=escape(step.title), completed=step.done, total=step.total)

        yield show


def _print_json(results: Results) -> None:
    """One line per row, without raw samples, then one per failure."""
    for row in results.rows:
        shown = asdict(row)
        del shown["rounds"]
        typer.echo(json.dumps(shown))
    for failure in results.failures:
        typer.echo(json.dumps(asdict(failure)))


def _print_table(results: Results) -> None:
    from rich.console import Console
    from rich.table import Table

    from edgewise.benchmarks import text

    console = Console()
    # Without lines and with two lines per row it fits a terminal of 80 columns.
    table = Table(box=None, pad_edge=False, collapse_padding=True, padding=(0, 2, 0, 0))
    table.add_column("file\nbackend", overflow="fold")
    for heading in ("top-1\n95%", "p50\nms", "p90\nms", "p99\nms", "photos\nper s", "file\nsize", "peak\nmemory"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in results.rows:
        table.add_row(
            _text(row.entry.name).append(f"\n{row.entry.backend_name}", style="dim"),
            f"{text.percent(row.top1.share)}\n{text.interval(row.top1)}",
            *(text.milliseconds(value) for value in (row.latency.p50, row.latency.p90, row.latency.p99)),
            text.rate(row.images_per_second),
            text.megabytes(row.entry.bytes),
            text.megabytes(row.memory_bytes),
        )
    console.print(_text(text.headline(results)), style="bold")
    if text.comparison(results):
        console.print(_text(text.comparison(results)))
    console.print()
    console.print(table)
    console.print()
    for note in (*(f"{bad.entry.title} was not measured: {bad.error}" for bad in results.failures), *results.remarks):
        console.print("•", _text(note))


def _text(value: str) -> Text:
    """A name as text that rich does not read as markup."""
    from rich.text import Text

    from edgewise.benchmarks.text import plain

    return Text(plain(value))
