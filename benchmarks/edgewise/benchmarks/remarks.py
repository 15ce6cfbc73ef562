"""What a reader of the figures should know, in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from edgewise.benchmarks.environment import Machine
from edgewise.benchmarks.results import Data, Row
from edgewise.benchmarks.statistics import ENOUGH_FOR_P90, ENOUGH_FOR_P99

DRIFT = 0.10
"""Difference of the rounds' medians that is worth a word, as a share."""

DROP = 0.01
"""Loss of top-1 through quantization that is worth a word, as a share."""


def make_remarks(rows: tuple[Row, ...], data: Data, machine: Machine, threads: int) -> tuple[str, ...]:
    """Remarks on measured rows, the most important first."""
    return (
        *_on_quantization(rows),
        *_on_accuracy(rows),
        *_on_photos(rows, data),
        *_on_quiet(rows, machine),
        *_on_threads(rows, threads),
        *_on_percentiles(rows),
    )


def _on_quantization(rows: tuple[Row, ...]) -> Iterator[str]:
    floats = {(row.entry.format, row.entry.backend): row for row in rows if row.entry.scheme == "fp32"}
    for row in rows:
        base = floats.get((row.entry.format, row.entry.backend))
        if base is None or row.entry.scheme == "fp32":
            continue
        if row.latency.p50 >= base.latency.p50:
            yield (
                f"{row.title} is not faster than its float twin here "
                f"({row.latency.p50:.3g} against {base.latency.p50:.3g} ms): on this machine it saves size only."
            )
        if base.top1.share - row.top1.share > DROP:
            lost = 100 * (base.top1.share - row.top1.share)
            yield f"{row.title} loses {lost:.1f} points of top-1 to its float twin."


def _on_accuracy(rows: tuple[Row, ...]) -> Iterator[str]:
    shares = [row.top1 for row in rows]
    if len(shares) > 1 and max(share.low for share in shares) <= min(share.high for share in shares):
        yield (
            f"The intervals of top-1 all overlap: {shares[0].total:,} photos do not show by themselves "
            "that one row is more accurate than another."
        )


def _on_photos(rows: tuple[Row, ...], data: Data) -> Iterator[str]:
    if data.photos < data.available:
        yield (
            f"Measured on {data.photos:,} of {data.available:,} photos, chosen with a fixed seed, "
            "as many of each class as there are."
        )
    if data.split == "all":
        yield (
            "The folder of photos has no splits, so all of them count: top-1 is too good where the network was "
            "trained on some of them."
        )
    unreadable = tuple(dict.fromkeys(bad for row in rows for done in row.rounds for bad in done.unreadable))
    if unreadable:
        shown = "; ".join(unreadable[:5]) + ("; ..." if len(unreadable) > 5 else "")
        yield f"Photos that cannot be read, left out of every figure: {len(unreadable)} ({shown})."


def _on_quiet(rows: tuple[Row, ...], machine: Machine) -> Iterator[str]:
    if machine.load_average and machine.load_average[0] > machine.cores / 2:
        yield (
            f"The machine was busy with other things when this began (load average {machine.load_average[0]:.1f} "
            f"on {machine.cores} cores): latencies may be too high."
        )
    for row in rows:
        medians = [median(done.samples_ns) / 1e6 for done in row.rounds if done.samples_ns]
        if medians and max(medians) > (1 + DRIFT) * min(medians):
            shown = " and ".join(f"{value:.3g}" for value in medians)
            yield f"{row.title}: the rounds differ ({shown} ms), so the machine was not steady."
        if not all(done.stable for done in row.rounds):
            yield f"{row.title}: the warm-up ended by time, before latencies were stable; give it more --seconds."


def _on_threads(rows: tuple[Row, ...], threads: int) -> Iterator[str]:
    for row in rows:
        if row.threads != threads:
            yield f"{row.title} ran with {row.threads} threads, not the {threads} that were asked for."


def _on_percentiles(rows: tuple[Row, ...]) -> Iterator[str]:
    if any(row.latency.p99 is None for row in rows):
        yield (
            f"A percentile is given only where there are enough queries for it ({ENOUGH_FOR_P90} for p90, "
            f"{ENOUGH_FOR_P99} for p99, as in the MLPerf rules); more --seconds give more queries."
        )
