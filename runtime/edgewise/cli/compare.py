"""``edgewise compare``: what changed from one result, or release, to another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgewise.spec.opening import MOST_THREADS

if TYPE_CHECKING:
    from edgewise.benchmarks.compare import Comparison
    from edgewise.benchmarks.compare_releases import Measured
    from edgewise.benchmarks.results import Results

RESULTS = "results.json"


def compare(
    before: Annotated[
        Path, typer.Argument(metavar="A", help="results.json or a folder with one; or a release or model file.")
    ],
    after: Annotated[Path, typer.Argument(metavar="B", help="The same, to compare with A.")],
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of labelled photos: two releases or model files are measured first, in turns."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, max=MOST_THREADS, help="With --data: threads. [default: all cores]")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="With --data: only so many photos, the same of each class.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="With --data: a short measurement.")] = False,
    across_machines: Annotated[
        bool, typer.Option("--across-machines", help="Compare although A and B are of different machines.")
    ] = False,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT:HOW MUCH",
            help="Exit with 1 if any row is slower:3% (for sure, and by so much), loses top1:0.5 points, or takes "
            "size:5% or memory:10% more. May be given several times.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a table for a pull request.")] = False,
) -> None:
    """Compare two results, or two releases: faster, slower, same, or cannot tell; and top-1, size and memory.

    Exit codes: 0 nothing of --fail-if is met, 1 something of it is met or an error is told, 2 wrong usage.
    """
    if as_json and markdown:
        raise typer.BadParameter("give --json or --markdown, not both")
    if data is None and (threads or limit or quick):
        raise typer.BadParameter("--threads, --limit and --quick are for what is measured now: give --data PHOTOS too")
    if data and across_machines:
        raise typer.BadParameter("with --data both are measured here: leave out --across-machines")
    from edgewise.benchmarks.compare import compare_results
    from edgewise.benchmarks.conditions import failures, parse_condition, undecided
    from edgewise.spec import InputError

    try:
        conditions = [parse_condition(text) for text in fail_if or ()]
    except InputError as error:
        raise typer.BadParameter(str(error)) from error
    if data is None:
        comparison = compare_results(*_read(before, after), across_machines=across_machines)
    else:
        measured = _measure(before, after, data, threads, limit, quick=quick)
        comparison = compare_results(measured.before, measured.after, changes=measured.changes)
    _print(comparison, as_json=as_json, markdown=markdown)
    met = [sentence for condition in conditions for sentence in failures(condition, comparison)]
    for sentence in (*met, *filter(None, (undecided(condition, comparison) for condition in conditions))):
        typer.echo(sentence, err=True)
    if met:
        raise typer.Exit(1)


def _read(before: Path, after: Path) -> tuple[Results, Results]:
    from edgewise.benchmarks.results import read_results

    files = [path / RESULTS if path.is_dir() else path for path in (before, after)]
    for path, file in zip((before, after), files, strict=True):
        if file.suffix != ".json":
            raise typer.BadParameter(f"{path} is not measured yet: give --data PHOTOS")
        if path.is_dir() and not file.is_file():
            raise typer.BadParameter(f"{path} has no {RESULTS}: give --data PHOTOS to measure it")
    return read_results(files[0]), read_results(files[1])


def _measure(before: Path, after: Path, data: Path, threads: int | None, limit: int | None, *, quick: bool) -> Measured:
    from edgewise.benchmarks.compare_releases import measure_in_turns
    from edgewise.cli.benchmark import progress

    with progress() as show:
        return measure_in_turns(before, after, data, threads=threads, limit=limit, quick=quick, progress=show)


def _print(comparison: Comparison, *, as_json: bool, markdown: bool) -> None:
    from edgewise.benchmarks import compare_text

    if as_json:
        typer.echo(json.dumps(compare_text.to_data(comparison)))
    elif markdown:
        typer.echo(compare_text.to_markdown(comparison), nl=False)
    else:
        _print_table(comparison)


def _print_table(comparison: Comparison) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from edgewise.benchmarks import compare_text
    from edgewise.benchmarks.text import plain

    console = Console()
    console.print(Text(plain(f"{comparison.before} → {comparison.after}")), style="bold")
    console.print()
    # Two lines per row fit a terminal of 80 columns.
    table = Table(box=None, pad_edge=False, collapse_padding=True, padding=(0, 2, 0, 0))
    table.add_column("row\np50", overflow="fold")
    for heading in ("verdict\nlatency", "top-1\npoints", "file\nmemory", "bulk\nstart"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in comparison.rows:
        title, p50, latency, verdict, top1, size, memory, *ratios = compare_text.cells(row)
        share, _, interval = top1.partition(" ")
        bulk, start = (text.partition(" ")[0] for text in ratios)  # Markdown and JSON have their intervals
        table.add_row(
            Text(title).append(f"\n{p50} ms", style="dim"), f"{verdict}\n{latency}", f"{share}\n{interval}",
            f"{size}\n{memory}", f"{bulk}\n{start}",
        )  # fmt: skip
    console.print(table)
    console.print()
    for remark in compare_text.remarks(comparison):
        console.print("•", Text(plain(remark)))
