"""``report.html``: one page that needs nothing from outside, for people."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from edgewise.benchmarks import text
from edgewise.benchmarks.class_changes import class_changes
from edgewise.benchmarks.disagreements import worst_disagreements
from edgewise.benchmarks.environment import Machine
from edgewise.benchmarks.figures import Reason
from edgewise.benchmarks.plot import accuracy_against_latency, pareto
from edgewise.benchmarks.plot_reliability import reliability
from edgewise.benchmarks.plot_times import distributions, sustained
from edgewise.benchmarks.results import Kind, Results, Row
from edgewise.benchmarks.side_by_side import change
from edgewise.benchmarks.statistics import LEVEL, confidence
from edgewise.benchmarks.tables import accuracy_table, speed_table
from edgewise.benchmarks.verdict import Verdict
from edgewise.spec import ExtraMissingError

TEMPLATE, STYLE, SCRIPT = "report.html.j2", "report.css", "report.js"

MOST = 16
"""Rows in drawings and lists that show each file on each backend once; of more, the fastest."""

PANELS = 9
"""Reliability diagrams."""

STAGES = ("read", "decode", "resize", "inference", "rest")

METHOD = (
    "Latency, start and stages of each row were measured in {rounds}{bulk}, every round in a fresh child process for "
    "each row and in changing order, so that a machine that changes meanwhile hits all rows alike. No query of a round "
    "was left out; of a round that was disturbed and measured again, after all others, the less disturbed one counts.",
    "Latency is one query at a time with one prepared photo, from pixels to probabilities, after a warm-up until "
    "times were stable; percentiles are nearest-rank, p90 is given from 64 queries on and p99 from 662 on, "
    "as in the MLPerf Inference rules. {interval}",
    "Bulk is the most photos per second from prepared pixels, with the batch and the number of copies that were "
    "best.{quick}",
    "Top-1 is the share of photos whose most probable label is right; its interval is exact (Clopper-Pearson, 95%). "
    "The difference to the reference is paired: the same photos, and an interval (95% or more) from the exact ones of "
    "what was gained and what was lost.",
    "Memory is the largest proportional set of a process of its own while loading and running, over that of a bare "
    "Python. Accuracy is of one process too: it does not depend on time.",
    "Start is from a fresh Python to the first label: importing the backend, reading and verifying the file, "
    "preparing the network and the first photo. Other work on the machine is looked for "
    "from the moment on at which the process knows its task.",
    "Of peak is the share of what this machine computes at most, measured with a large matrix product before and after "
    "everything else; the higher figure counts.",
)


QUICK = (
    " A quick run tries no batches on the CPU, and measures neither bulk nor memory of the Keras network, nor the "
    "shortest scripts."
)
INTERVAL = "The interval of the median is a bootstrap over rounds (95%)."
ONE = "Beside the median stands what the queries of one process leave open; another process may differ more."
RANGE = "Beside the median stands the {spread}, which holds that of further rounds in about {sure:.0%} of all cases."


@dataclass(frozen=True)
class Bar:
    """A row's time from a file to its label, in its parts."""

    name: str
    parts: tuple[tuple[str, float, float], ...]  # stage, ms, and width in per cent of the longest bar
    total: float  # ms
    disturbed: tuple[str, ...]  # what else used the machine, in plain words


@dataclass(frozen=True)
class Overhead:
    """What the toolkit adds to the shortest script."""

    name: str
    plain: float  # ms, median
    ours: float  # ms, median
    verdict: Verdict  # of Edgewise against the script


def to_html(results: Results) -> str:
    """Make the page: one HTML text, every name in it escaped. Photos that are named as the worst are read.

    Raises:
        ExtraMissingError: jinja2 or matplotlib is not installed.
    """
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise ExtraMissingError("bench", "jinja2") from error
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        loader=jinja2.FunctionLoader(_part),
    )  # fmt: skip
    environment.filters.update(
        ms=text.milliseconds, mb=text.megabytes, rate=text.rate, percent=text.percent, plain=text.plain,
        signed=text.signed, interval=text.interval, count=text.count, stop=lambda told: told.rstrip(".") + ".",
    )  # fmt: skip
    return environment.get_template(TEMPLATE).render(**_context(results))


def _part(name: str) -> str:
    return files("edgewise.benchmarks").joinpath("templates", name).read_text(encoding="utf-8")


def _context(results: Results) -> dict[str, Any]:
    from markupsafe import Markup

    script = _part(SCRIPT)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    rows = text.fastest_of_each(results.rows)
    front = pareto([row for row in results.rows if row.accuracy])
    return {
        "results": results,
        # Both are our own files, without anything from outside.
        "style": Markup(_part(STYLE)),  # noqa: S704
        "script": Markup(script),  # noqa: S704
        "script_digest": digest,
        "headline": text.plain(text.headline(results)),
        "comparison": text.plain(text.comparison(results)),
        "recommended": text.recommended_row(results),
        "speed": speed_table(results, front),
        "accuracy": accuracy_table(results),
        "plots": _plots(results, rows),
        "more_rows": max(len(rows) - MOST, 0),
        "reasons": _reasons(rows)[:MOST],
        "bars": tuple(_bars(rows[:MOST])),
        "stages": STAGES,
        "sizes": _sizes(rows),
        "overheads": tuple(_overheads(results.rows)),
        "changes": class_changes(results),
        "worst": worst_disagreements(results),
        "ran_long": [row for row in results.rows if row.sustained],
        "facts": _machine(results.machine),
        "command": text.plain(shlex.join(results.command)),
        "files": {row.entry.name: row.entry.sha256 for row in results.rows if row.entry.sha256},
        "of_latency": _of_latency(results.settings.rounds),
        "at_peak": text.at_peak,
        "method": list(_method(results)),
    }


def _plots(results: Results, rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Per drawing and shape of screen, SVG that is safe to insert; drawings without anything to show are left out."""
    from markupsafe import Markup

    judged = _distinct([row for row in rows if row.accuracy])[:PANELS]
    drawings: dict[str, tuple[Callable[[Sequence[Row], str], str], Sequence[Row]]] = {
        "accuracy": (accuracy_against_latency, [row for row in results.rows if row.accuracy]),
        "times": (distributions, [row for row in rows[:MOST] if row.samples_ns]),
        "sustained": (sustained, [row for row in results.rows if row.sustained and row.sustained.series_ms]),
        "reliability": (reliability, [row for row in judged if row.accuracy and row.accuracy.reliability]),
    }
    # Drawing escapes every name itself, so that its SVG can be inserted as it is.
    return {
        name: {shape: Markup(how(shown, shape)) for shape in ("wide", "narrow")}  # noqa: S704
        for name, (how, shown) in drawings.items()
        if shown
    }


def _method(results: Results) -> Iterator[str]:
    """How it was measured, in sentences."""
    settings = results.settings
    sure = confidence(settings.rounds)
    few = RANGE.format(spread=text.spread(settings.rounds), sure=sure) if settings.rounds > 1 else ONE
    told = {
        "rounds": text.count(settings.rounds, "round"),
        "bulk": f", bulk in {text.count(settings.offline_rounds, 'round')}" if settings.offline_rounds else "",
        "interval": INTERVAL if sure >= LEVEL else few,
        "quick": QUICK if settings.mode == "quick" else "",
    }
    for sentence in METHOD:
        yield sentence.format(**told)


def _of_latency(rounds: int) -> str:
    """What bars of latency are, beside those of accuracy."""
    spread = "range within its one round" if rounds == 1 else text.spread(rounds)
    return "" if spread == "95%" else f", of latency the {spread}"


def _distinct(rows: Sequence[Row]) -> list[Row]:
    """One row for each set of answers, the reference first."""
    found: dict[Any, Row] = {}
    for row in sorted(rows, key=lambda row: not row.entry.is_reference):
        found.setdefault(row.accuracy and (row.accuracy.reliability, row.accuracy.nll), row)
    return list(found.values())


def _bars(rows: Sequence[Row]) -> Iterator[Bar]:
    timed = [(row, row.stages) for row in rows if row.stages]
    names = text.short_names([row for row, _ in timed])
    totals = [sum(getattr(stages, stage) for stage in STAGES) for _, stages in timed]
    longest = max(totals, default=0) or 1
    for name, (_, stages), total in zip(names, timed, totals, strict=True):
        parts = tuple((stage, getattr(stages, stage), 100 * getattr(stages, stage) / longest) for stage in STAGES)
        yield Bar(name, parts, total, stages.disturbed)


def _reasons(rows: Sequence[Row]) -> list[tuple[list[str], tuple[Reason, ...]]]:
    """Titles of rows with the same reasons, and the reasons."""
    found: dict[tuple[Reason, ...], list[str]] = {}
    for row in rows:
        if row.reasons:
            found.setdefault(row.reasons, []).append(row.title)
    return [(titles, reasons) for reasons, titles in found.items()]


def _sizes(rows: Sequence[Row]) -> list[tuple[Row, float]]:
    """One row for each file, the smallest first, with its size in per cent of the largest."""
    files_ = {row.entry.path: row for row in reversed(rows) if row.entry.bytes}
    largest = max((row.entry.bytes for row in files_.values()), default=1)
    ordered = sorted(files_.values(), key=lambda row: (row.entry.bytes, row.entry.name))
    return [(row, round(100 * row.entry.bytes / largest, 2)) for row in ordered]


def _overheads(rows: Sequence[Row]) -> Iterator[Overhead]:
    variants = {row.key[:-1]: row for row in rows if row.entry.kind is Kind.VARIANT}
    for plain in rows:
        ours = variants.get(plain.key[:-1]) if plain.entry.kind is Kind.PLAIN else None
        if ours:
            yield Overhead(ours.title, plain.latency.p50, ours.latency.p50, change(plain, ours).verdict)


def _machine(machine: Machine) -> dict[str, str]:
    """What is known of the machine, by what it is called."""
    clock = f"{machine.clock_hz / 1e9:.1f} GHz" + (
        f" of at most {machine.max_clock_hz / 1e9:.1f}" if machine.max_clock_hz else ""
    )
    facts = {
        "CPU": f"{machine.cpu}{', ' + machine.board if machine.board else ''} ({machine.architecture}), "
        f"{text.count(machine.cores, 'core')} to use",
        "CPU features": ", ".join(machine.flags) or "not known",
        "Graphics": ", ".join(machine.gpus),
        "Clock": clock if machine.clock_hz else "",
        "Memory": f"{machine.memory_bytes / 1e9:.1f} GB" if machine.memory_bytes else "",
        "System": f"{machine.system} {machine.kernel}".rstrip()
        + (f", frequency governor {machine.governor}" if machine.governor else ""),
        "Container": ", ".join(_container(machine)),
        "Stolen by the hypervisor": f"{machine.steal_share:.1%} of the time since it started"
        if machine.steal_share
        else "",
        "Load before": f"{', '.join(map(str, machine.load_average))} (over 1, 5 and 15 minutes)"
        if machine.load_average
        else "",
    }
    return {name: text.plain(fact) for name, fact in facts.items() if fact}


def _container(machine: Machine) -> Iterator[str]:
    if machine.container:
        yield machine.container
    if machine.cpu_limit:
        yield f"at most {machine.cpu_limit:g} cores' worth of time"
    if machine.memory_limit_bytes:
        yield f"at most {machine.memory_limit_bytes / 1e9:.1f} GB"
