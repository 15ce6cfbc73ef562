"""``report.md``: the table, the machine and the remarks, for a pull request."""

from __future__ import annotations

from collections.abc import Iterator

from edgewise.benchmarks import text
from edgewise.benchmarks.results import Results, Row
from edgewise.spec.files import path_text

HEADINGS = ("file", "backend", "threads", "top-1 (95%)", "points to reference (95%)", "p50 ms ({spread})", "p90 ms",
            "p99 ms", "bulk photos/s", "file size", "memory", "start", "of peak")  # fmt: skip

REASONS_OF = 8
"""Rows of which it is told why they are not faster."""


def to_markdown(results: Results) -> str:
    """Make a Markdown text in which every name is text."""
    lines = [
        f"### Benchmark of {cell(results.name)}",
        "",
        cell(". ".join(filter(None, (text.headline(results), text.comparison(results))))),
        "",
        *(f"**{title}** {cell(told)}\n" for title, told in _recommended(results)),
        "| " + " | ".join(HEADINGS).format(spread=text.spread(results.settings.rounds)) + " |",
        "|---|---|--:|---|---|---|--:|--:|--:|--:|--:|--:|--:|",
        *(_row(row) for row in results.rows),
        "",
        cell(_measured_on(results)),
        *(f"\n- {cell(note)}" for note in (*_failures(results), *text.peaks(results), *results.remarks)),
    ]
    reasons = list(_reasons(results))
    if reasons:
        lines += ["", "Why is it not faster?", *(f"\n- {cell(reason)}" for reason in reasons)]
    return "\n".join(lines) + "\n"


def cell(value: str) -> str:
    """Text that Markdown takes as text: no markup, no HTML, no link, no end of the cell."""
    value = text.plain(value).replace("\\", "\\\\").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for mark in "|`*_[]~":
        value = value.replace(mark, "\\" + mark)
    # A page on a forge turns @names and addresses into links; a joiner without width stops that.
    return value.replace("@", "@\N{WORD JOINER}").replace("://", ":\N{WORD JOINER}//")


def _recommended(results: Results) -> Iterator[tuple[str, str]]:
    found = results.recommendation
    if found and found.met:
        row = text.recommended_row(results)
        yield "Recommended:", f"{row.title if row else found.file}, {found.reason}. Certainty: {found.certainty}."
    elif found:
        yield "No recommendation:", f"{found.reason}."


def _row(row: Row) -> str:
    accuracy = row.accuracy
    difference = accuracy.difference if accuracy else None
    busy = " (contended)" if row.contention.contended else ""
    cells = (
        row.entry.name,
        f"plain {row.entry.backend_name}" if accuracy is None else row.entry.backend_name,
        str(row.threads),
        f"{text.percent(accuracy.top1.share)} ({text.interval(accuracy.top1)})" if accuracy else "",
        text.points(difference.points) if difference else "",
        f"{text.milliseconds(row.latency.p50)} ({text.span(row.latency.p50_interval)}){busy}",
        text.milliseconds(row.latency.p90),
        text.milliseconds(row.latency.p99),
        f"{text.rate(row.offline.images_per_second.value)}{' (contended)' * bool(row.offline.disturbed)}"
        if row.offline
        else "",
        text.megabytes(row.entry.bytes) if row.entry.bytes else "",
        text.megabytes(row.memory_bytes) if row.memory_bytes else "",
        f"{row.start_ms.value / 1000:.2f} s" if row.start_ms else "",
        text.of_peak(row),
    )
    return "| " + " | ".join(cell(each) for each in cells) + " |"


def _measured_on(results: Results) -> str:
    machine = results.machine
    where = f"{machine.board or machine.cpu}, {machine.cores} cores, {machine.system}, Edgewise {results.edgewise}"
    threads = ", ".join(map(str, results.settings.threads))
    return f"{where}; photos: {results.data.photos:,} ({path_text(results.data.path)}); threads: {threads}."


def _failures(results: Results) -> Iterator[str]:
    for failure in results.failures:
        yield f"{failure.entry.title} was not measured: {failure.error}"


def _reasons(results: Results) -> Iterator[str]:
    told = [row for row in text.fastest_of_each(results.rows) if row.reasons][:REASONS_OF]
    for row in told:
        yield f"{row.title}: {text.reasons(row)}"
