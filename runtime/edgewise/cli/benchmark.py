"""``edgewise benchmark``: accuracy, latency, size and memory of every variant of a release, on this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgewise.spec.files import path_text

if TYPE_CHECKING:
    from edgewise.benchmarks.campaign import Step
    from edgewise.benchmarks.request import Request
    from edgewise.benchmarks.results import Results

SECONDS = 10.0
"""As `edgewise.benchmarks.request.EFFORTS` has it; the help must not import that."""

ADVICE = "What to recommend"
"""Panel of the help."""


def benchmark(
    release: Annotated[Path, typer.Argument(help="Release folder, folder of model files, or one model file.")],
    data: Annotated[Path, typer.Option(help="Folder of labelled photos, with or without split folders.")],
    out: Annotated[Path, typer.Option(help="Folder for results.json and the reports.")],
    threads: Annotated[
        str,
        typer.Option(metavar="1,2,all", help="Numbers of threads to measure.", show_default="1,all; with --quick: all"),
    ] = "",
    backend: Annotated[
        list[str] | None,
        typer.Option(help="Only this backend; may be repeated.", show_default="all that are installed"),
    ] = None,
    provider: Annotated[
        list[str] | None, typer.Option(help="Only this provider; may be repeated.", show_default="all there are")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(metavar="RUN|none", help="Run folder to compare with.", show_default="the one the release names"),
    ] = None,
    split: Annotated[str, typer.Option(help="Which split of DATA, where it has split folders.")] = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many photos, the same of each class.")] = None,
    ood: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Photos that show none of the classes: are they told apart?")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the choice that --limit makes, and of the order of rounds.")] = 0,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="Time for the latency of each row.", show_default=f"{SECONDS:g}")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="About a minute for a small release: 2 short rounds.")] = False,
    thorough: Annotated[bool, typer.Option("--thorough", help="20 rounds and more time for each.")] = False,
    sustain: Annotated[
        float, typer.Option(metavar="MIN", min=0, help="Also run each file for so many minutes: does it slow down?")
    ] = 0.0,
    max_drop: Annotated[
        float | None,
        typer.Option(
            metavar="POINTS",
            min=0,
            rich_help_panel=ADVICE,
            help="Top-1 that may be lost against the reference, in percentage points.",
            show_default="1",
        ),
    ] = None,
    max_latency: Annotated[
        float | None,
        typer.Option(metavar="MS", min=0.001, rich_help_panel=ADVICE, help="Longest median time for one photo."),
    ] = None,
    max_size: Annotated[
        float | None, typer.Option(metavar="MB", min=0.001, rich_help_panel=ADVICE, help="Largest file, in 10^6 bytes.")
    ] = None,
    choose: Annotated[
        bool,
        typer.Option(
            "--select",
            rich_help_panel=ADVICE,
            help="Write the fastest variant within the limits into the release, where predict and package pick it up.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per row in place of the table.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a benchmark that was interrupted.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier report in OUT.")] = False,
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
        release=release,
        data=data,
        out=out,
        reference=reference,
        threads=threads,
        backends=tuple(backend or ()),
        providers=tuple(provider or ()),
        split=split,
        limit=limit,
        seed=seed,
        seconds=seconds,
        mode="quick" if quick else "thorough" if thorough else "",
        ood=ood,
        sustain_minutes=sustain,
        resume=resume,
        overwrite=overwrite,
        command=("edgewise", *sys.argv[1:]),
        limits=Limits(max_drop, max_latency, None if max_size is None else 1e6 * max_size),
    )
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
    with Progress(*columns, console=Console(stderr=True), speed_estimate_period=3600) as bars:
        bar = bars.add_task("reading the release and the photos", total=None)

        def show(step: Step) -> None:
            bars.update(bar, description=escape(step.title), completed=step.done, total=step.total)

        yield show
