"""``report.md``: the table, the machine and the remarks, for a pull request."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from itertools import compress

from edgewise.benchmarks import text
from edgewise.benchmarks.results import Results, Row
from edgewise.spec.files import path_text

COLUMNS = {
    **dict.fromkeys(("file", "backend"), "---"),
    "threads": "--:",
    **dict.fromkeys(("top-1 (95%)", "points to reference (95%)", "p50 ms ({spread})"), "---"),
    **dict.fromkeys(("p90 ms", "p99 ms", "bulk photos/s", "file size", "memory", "start", "of peak"), "--:"),
}
"""Headings, and to which side what stands below them is moved."""

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
        *_table(results),
        "",
        cell(_measured_on(results)),
        *(f"\n- {cell(note)}" for note in (*_failures(results), *text.peaks(results), *results.remarks)),
    ]
    reasons = list(_reasons(results))
    if reasons:
        lines += ["", "Why is it not faster?", *(f"\n- {cell(reason)}" for reason in reasons)]
    lines += ["", "<details><summary>Where and how</summary>", ""]
    lines += [f"- {cell(fact)}" for fact in _environment(results)] + ["", "</details>"]
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


def _table(results: Results) -> Iterator[str]:
    """Columns that hold anything, and the lines below them; nothing without rows."""
    lines = [_cells(row) for row in results.rows]
    shown = [any(cells) for cells in zip(*lines, strict=True)]
    headings = [heading.format(spread=text.spread(results.settings.rounds)) for heading in COLUMNS]
    head = (headings, COLUMNS.values()) if lines else ()
    for cells in (*head, *([cell(each) for each in line] for line in lines)):
        yield "| " + " | ".join(compress(cells, shown)) + " |"


def _cells(row: Row) -> tuple[str, ...]:
    accuracy = row.accuracy
    difference = accuracy.difference if accuracy else None
    return (
        row.entry.name,
        text.engine(row),
        str(row.threads),
        f"{text.percent(accuracy.top1.share)} ({text.interval(accuracy.top1)})" if accuracy else "",
        text.points(difference.points) if difference else "",
        f"{text.milliseconds(row.latency.p50)} ({text.span(row.latency.p50_interval)})" + _busy(row.contention.reasons),
        text.milliseconds(row.latency.p90),
        text.milliseconds(row.latency.p99),
        _bulk(row),
        text.megabytes(row.entry.bytes) if row.entry.bytes else "",
        text.megabytes(row.memory_bytes) if row.memory_bytes else "",
        f"{row.start_ms.value / 1000:.2f} s" + _busy(row.start_disturbed) if row.start_ms else "",
        text.of_peak(row),
    )


def _bulk(row: Row) -> str:
    if row.offline is None:
        return ""
    span = f" ({text.bulk(row)})" if text.bulk(row) else ""
    return text.rate(row.offline.images_per_second.value) + span + _busy(row.offline.disturbed)


def _busy(reasons: Sequence[str]) -> str:
    return " (contended)" if reasons else ""


def _measured_on(results: Results) -> str:
    machine = results.machine
    where = f"{machine.board or machine.cpu}, {machine.cores} cores, {machine.system}, Edgewise {results.edgewise}"
    threads = ", ".join(map(str, results.settings.threads))
    return f"{where}; photos: {results.data.photos:,} ({path_text(results.data.path)}); threads: {threads}."


def _environment(results: Results) -> Iterator[str]:
    """What it takes to measure the same again."""
    machine, settings = results.machine, results.settings
    yield f"Command: {shlex.join(results.command) or 'none'}"
    yield "Software: " + ", ".join(f"{name} {version}" for name, version in sorted(results.versions.items()))
    yield (
        f"Machine: governor {machine.governor or 'unknown'}, kernel {machine.kernel or 'unknown'}, "
        f"{machine.container or 'no container'}, CPU features {' '.join(machine.flags) or 'none'}"
    )
    bulk = f", bulk in {text.count(settings.offline_rounds, 'round')}" if settings.offline_rounds else ""
    how = f"{text.count(settings.rounds, 'round')} of {settings.seconds / settings.rounds:g} s{bulk}"
    yield f"Measured: {results.started}, {how}, seed {settings.seed}, photos SHA-256 {results.data.sha256}"
    for name, digest in {row.entry.name: row.entry.sha256 for row in results.rows if row.entry.sha256}.items():
        yield f"{name}: SHA-256 {digest}"


def _failures(results: Results) -> Iterator[str]:
    for failure in results.failures:
        yield f"{failure.entry.title} was not measured: {failure.error}"


def _reasons(results: Results) -> Iterator[str]:
    told = [row for row in text.fastest_of_each(results.rows) if row.reasons][:REASONS_OF]
    for row in told:
        yield f"{row.title}: {text.reasons(row)}"
