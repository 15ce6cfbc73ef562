"""The reports: ``results.json`` for machines, ``report.md`` for a pull request, ``report.html`` for people."""

from __future__ import annotations

import shlex
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

from edgewise.benchmarks import text
from edgewise.benchmarks.plot import draw
from edgewise.benchmarks.results import Results, Row
from edgewise.spec import ExtraMissingError
from edgewise.spec.files import write_text

RESULTS, MARKDOWN, PAGE = "results.json", "report.md", "report.html"
TEMPLATE = "templates/report.html.j2"

METHOD = (
    "Each row was measured in a fresh child process, {rounds} times, down the list and up again, so that a machine "
    "that changes meanwhile hits all rows alike.",
    "Latency is one query at a time with one prepared photo, from pixels to probabilities, after a warm-up until "
    "times were stable; percentiles are nearest-rank, p90 is given from 64 queries on and p99 from 662 on, "
    "as in the MLPerf Inference rules.",
    "Photos per second is from file to label, one photo after the other: reading, decoding, resizing and inference.",
    "Top-1 is the share of photos whose most probable label is right; its interval is exact (Clopper-Pearson, 95%).",
    "Memory is the largest resident memory of the whole process; in brackets, what a bare Python takes of it.",
    "First answer is from a bare Python to the first label: importing the backend, reading and verifying the file, "
    "preparing the network and the first photo.",
)


def require_extra() -> None:
    """Raise ExtraMissingError where a module that draws the report is not installed."""
    for module in ("jinja2", "matplotlib"):
        _require(module)


def _require(module: str) -> None:
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        raise ExtraMissingError("bench", module) from error


def write_reports(results: Results, out: Path) -> None:
    """Write the three files into ``out``, each whole or not at all.

    Raises:
        OutputError: ``out`` cannot be written.
        ExtraMissingError: jinja2 or matplotlib is not installed.
    """
    write_text(out / RESULTS, results.to_json() + "\n")
    write_text(out / MARKDOWN, to_markdown(results))
    write_text(out / PAGE, to_html(results))


def to_markdown(results: Results) -> str:
    """Make a Markdown text with the table, the machine and the remarks."""
    lines = [
        f"### Benchmark of {_cell(results.name)}",
        "",
        _cell(". ".join(filter(None, (text.headline(results), text.comparison(results))))),
        "",
        "| file | backend | top-1 (95%) | p50 ms | p90 ms | p99 ms | photos/s | file size | memory | first answer |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|",
        *(_markdown_row(row) for row in results.rows),
        "",
        _cell(f"{_machine_line(results)}; photos: {results.data.photos:,}; threads: {results.settings.threads[-1]}."),
    ]
    notes = [f"{failure.entry.title} was not measured: {failure.error}" for failure in results.failures]
    for remark in (*notes, *results.remarks):
        lines += ["", f"- {_cell(remark)}"]
    return "\n".join(lines) + "\n"


def _markdown_row(row: Row) -> str:
    cells = (
        row.entry.name,
        row.entry.backend_name,
        f"{text.percent(row.top1.share)} ({text.interval(row.top1)})",
        text.milliseconds(row.latency.p50),
        text.milliseconds(row.latency.p90),
        text.milliseconds(row.latency.p99),
        text.rate(row.images_per_second),
        text.megabytes(row.entry.bytes),
        text.megabytes(row.memory_bytes),
        f"{row.load_ms / 1000:.2f} s",
    )
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(value: str) -> str:
    """Text that Markdown takes as text: no markup, no HTML, no end of the cell."""
    value = text.plain(value).replace("\\", "\\\\").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for mark in "|`*_[]":
        value = value.replace(mark, "\\" + mark)
    return value


def _machine_line(results: Results) -> str:
    machine = results.machine
    return f"{machine.board or machine.cpu}, {machine.cores} cores, {machine.system}, Edgewise {results.edgewise}"


def to_html(results: Results) -> str:
    """Make the page: one HTML text that needs nothing from outside.

    Raises:
        ExtraMissingError: jinja2 or matplotlib is not installed.
    """
    require_extra()
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        ms=text.milliseconds, mb=text.megabytes, rate=text.rate, percent=text.percent, plain=text.plain
    )
    template = environment.from_string(files("edgewise.benchmarks").joinpath(TEMPLATE).read_text(encoding="utf-8"))
    largest = max((row.entry.bytes for row in results.rows), default=0) or 1
    return template.render(
        results=results,
        headline=text.plain(text.headline(results)),
        comparison=text.plain(text.comparison(results)),
        plots=_plots(results),
        interval=text.interval,
        bar=lambda row: round(100 * row.entry.bytes / largest, 2),
        command=text.plain(shlex.join(results.command)),
        method=[sentence.format(rounds=results.settings.rounds) for sentence in METHOD],
        withheld=text.WITHHELD,
    )


def _plots(results: Results) -> dict[str, Any]:
    """The plot for a wide and for a narrow screen, as SVG that is safe to insert."""
    from markupsafe import Markup

    # draw() escapes every name itself, so that its SVG can be inserted as it is.
    return {shape: Markup(draw(results.rows, shape)) for shape in ("wide", "narrow")} if results.rows else {}  # noqa: S704
