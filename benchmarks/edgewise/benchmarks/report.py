"""The reports: ``results.json`` and ``results.csv`` for machines, ``report.md`` for a pull request, ``report.html``."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from edgewise.benchmarks.csv_table import to_csv
from edgewise.benchmarks.markdown import to_markdown
from edgewise.benchmarks.page import to_html
from edgewise.benchmarks.results import Results
from edgewise.spec import ExtraMissingError
from edgewise.spec.files import write_text

RESULTS, TABLE, MARKDOWN, PAGE = "results.json", "results.csv", "report.md", "report.html"


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
    """Write the four files into ``out``, each whole or not at all.

    Raises:
        OutputError: ``out`` cannot be written.
        ExtraMissingError: jinja2 or matplotlib is not installed.
    """
    require_extra()
    # What was measured first: should the drawing fail, hours of measuring are not lost.
    write_text(out / RESULTS, results.to_json() + "\n")
    write_text(out / TABLE, to_csv(results))
    write_text(out / MARKDOWN, to_markdown(results))
    write_text(out / PAGE, to_html(results))
