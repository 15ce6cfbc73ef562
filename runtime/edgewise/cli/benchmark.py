"""``edgewise benchmark``: accuracy, latency, size and memory of every variant of a release, on this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from edgewise.cli import benchmark_options as options
from edgewise.spec.files import path_text

if TYPE_CHECKING:
    from edgewise.benchmarks.asking import Step
    from edgewise.benchmarks.request import Request
    from edgewise.benchmarks.results import Results


def benchmark(
    release: options.Release,
    data: options.Data,
    out: options.Out,
    threads: options.Threads = "",
    backend: options.Backends = None,
    provider: options.Providers = None,
    reference: options.Reference = None,
    split: options.Split = "test",
    limit: options.Limit = None,
    ood: options.OutOfClass = None,
    seed: options.Seed = 0,
    seconds: options.Seconds = None,
    quick: options.Quick = False,
    thorough: options.Thorough = False,
    sustain: options.Sustain = 0.0,
    max_drop: options.MaxDrop = None,
    max_latency: options.MaxLatency = None,
    max_size: options.MaxSize = None,
    choose: options.Select = False,
    as_json: options.AsJson = False,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Measure accuracy, latency, size and memory of every variant on this machine."""
    if quick and thorough:
        raise typer.BadParameter("give --quick or --thorough, not both")
    if quick and seconds is not None:
        raise typer.BadParameter("give --quick or --seconds, not both")
    from edgewise.benchmarks.recommendation import Limits, check_selectable, select
    from edgewise.benchmarks.request import Request
    from edgewise.cli.benchmark_view import print_json, print_table

    if choose:
        check_selectable(release)  # told before minutes of measuring
    request = Request(
        release, data, out, reference, threads, tuple(backend or ()), tuple(provider or ()), split, limit, seed,
        seconds=seconds, mode="quick" if quick else "thorough" if thorough else "", ood=ood, sustain_minutes=sustain,
        resume=resume, overwrite=overwrite, command=("edgewise", *sys.argv[1:]),
        limits=Limits(max_drop, max_latency, None if max_size is None else 1e6 * max_size),
    )  # fmt: skip
    results = measured(request)
    print_json(results) if as_json else print_table(results)
    typer.echo(f"report: {out / 'report.html'}", err=True)
    if choose:
        typer.echo(f"chosen: {path_text(select(results, release))}", err=True)
    if not results.rows:
        raise typer.Exit(1)


def measured(request: Request) -> Results:
    """Run a benchmark, with its progress on standard error."""
    from edgewise.benchmarks.runner import run_benchmark

    with progress() as show:
        return run_benchmark(request, show)


@contextmanager
def progress() -> Iterator[Callable[[Step], None]]:
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
    # Drawing takes time from what is measured, so it is done once a second.
    with Progress(*columns, console=Console(stderr=True), speed_estimate_period=3600, refresh_per_second=1) as bars:
        bar = bars.add_task("reading the release and the photos", total=None)

        def show(step: Step) -> None:
            bars.update(bar, description=escape(step.title), completed=step.done, total=step.total)

        yield show
