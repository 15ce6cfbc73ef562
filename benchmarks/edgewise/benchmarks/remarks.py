"""What a reader of the figures should know, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from edgewise.benchmarks.environment import Machine
from edgewise.benchmarks.results import Data, Row
from edgewise.benchmarks.side_by_side import change
from edgewise.benchmarks.statistics import ENOUGH_FOR_P90, ENOUGH_FOR_P99, LEVEL, confidence
from edgewise.benchmarks.text import count, fastest_of_each, milliseconds, points
from edgewise.benchmarks.verdict import Verdict
from edgewise.runtime.engines import KINDS
from edgewise.runtime.engines.base import CPU
from edgewise.spec import Scheme
from edgewise.spec.files import path_text

DRIFT = 0.10
"""Difference between quartiles of the rounds' medians that is worth a word, as a share."""

WITHOUT_SPLITS = (
    "The folder of photos has no splits, so all of them count: top-1 is too good where the network was trained on some "
    "of them."
)
"""Of data whose split is "all"."""

NAMED = 5
"""Rows or photos that a remark names; of more it tells the number."""


def make_remarks(rows: Sequence[Row], data: Data, machine: Machine, left_out: Sequence[str] = ()) -> tuple[str, ...]:
    """Remarks on measured rows, fastest first, and on what there was no time for; the most important remark first."""
    return (
        *_on_time(left_out),
        *_on_contention(rows),
        *_on_quantization(rows),
        *_on_cut_sums(rows, machine),
        *_on_accuracy(rows),
        *_on_photos(data),
        *_on_gpus(rows, machine),
        *_on_quiet(rows, machine),
        *_on_peak(rows),
        *_on_threads(rows),
        *_on_percentiles(rows),
        *_on_rounds(rows),
    )


def _on_time(left_out: Sequence[str]) -> Iterator[str]:
    if left_out:
        told = ", ".join(left_out)
        yield f"Not measured, because --quick had no time left for it: {told}. Without --quick everything is."


def _on_contention(rows: Sequence[Row]) -> Iterator[str]:
    contended = [row for row in rows if row.contention.contended]
    for row in contended[:NAMED]:
        why = "; ".join(row.contention.reasons) or "something else used the machine"
        yield f"{row.title} was contended to the end, so that its times are not to be relied on: {why}."
    if len(contended) > NAMED:
        yield f"Contended as well: {count(len(contended) - NAMED, 'further row')}, marked in the table."
    for figure in ("many photos at once", "start", "stages", "long run"):
        found = [(row.title, row.disturbed[figure]) for row in rows if figure in row.disturbed]
        if found:
            why = named(list(dict.fromkeys(reason for _, reasons in found for reason in reasons)))
            yield f"Not to be relied on, {figure}: {named([title for title, _ in found])} ({why})."
    repeats = sum(row.contention.repeats for row in rows)
    if repeats:
        yield f"Rounds that were measured again because something disturbed them: {repeats:,}."


def _on_quantization(rows: Sequence[Row]) -> Iterator[str]:
    shown = fastest_of_each(rows)
    not_shown = list[str]()
    floats = {(row.entry.format, row.entry.backend): row for row in shown if row.entry.scheme == "fp32"}
    for row in shown:
        base = floats.get((row.entry.format, row.entry.backend))
        if base is None or row.entry.scheme == "fp32":
            continue
        verdict = change(base, row).verdict
        medians = f"{milliseconds(row.latency.p50)} against {milliseconds(base.latency.p50)} ms"
        if verdict in (Verdict.SLOWER, Verdict.SAME):
            yield f"{row.title} is not faster than its float twin here ({medians}): on this machine it saves size only."
        elif verdict is Verdict.CANNOT_TELL and row.latency.p50 >= base.latency.p50:
            not_shown.append(f"{row.title} ({medians})")
    if not_shown:
        yield f"Not shown to be faster than the float twin here: {named(not_shown)}."
    for row in shown:
        difference = row.accuracy.difference if row.accuracy else None
        if difference and difference.points.high < 0:
            lost = points(difference.points)
            yield f"{row.title} is less often right than the reference, beyond chance: {lost} points."


def _on_cut_sums(rows: Sequence[Row], machine: Machine) -> Iterator[str]:
    told: dict[str, list[str]] = {}
    for row in fastest_of_each(rows):
        kind = next((kind for kind in KINDS if kind.name == row.entry.backend and row.entry.provider == CPU), None)
        scheme = next((scheme for scheme in Scheme if scheme.value == row.entry.scheme), None)
        if kind and (caution := kind.caution(scheme, frozenset(machine.flags))):
            told.setdefault(caution, []).append(path_text(row.entry.name))
    for caution, names in told.items():
        yield f"{caution}: {named(names)}."


def _on_accuracy(rows: Sequence[Row]) -> Iterator[str]:
    shares = [row.accuracy.top1 for row in rows if row.accuracy]
    paired = any(row.accuracy and row.accuracy.difference for row in rows)
    overlap = bool(shares) and max(share.low for share in shares) <= min(share.high for share in shares)
    if len(shares) > 1 and overlap and not paired:
        yield (
            f"The intervals of top-1 all overlap: {shares[0].total:,} photos do not show by themselves "
            "that one row is more accurate than another."
        )


def _on_photos(data: Data) -> Iterator[str]:
    if data.photos < data.available:
        yield (
            f"Measured on {data.photos:,} of {data.available:,} photos, chosen with a fixed seed, "
            "spread evenly over the classes."
        )
    if data.classes < data.available_classes:
        yield (
            f"Only {data.classes:,} of {data.available_classes:,} classes have a photo among them, so that nothing is "
            "known of the others: give a higher --limit."
        )
    if data.split == "all":
        yield WITHOUT_SPLITS
    if data.unreadable:
        shown = "; ".join(path_text(bad) for bad in data.unreadable_shown[:NAMED])
        more = "; ..." if data.unreadable > len(data.unreadable_shown[:NAMED]) else ""
        yield f"Photos that cannot be read, left out of every figure: {data.unreadable:,} ({shown}{more})."


def _on_gpus(rows: Sequence[Row], machine: Machine) -> Iterator[str]:
    if rows and machine.gpus and all(row.provider == CPU for row in rows):
        yield f"Nothing was measured on the machine's GPU ({', '.join(machine.gpus)}): no engine here computes on it."


def _on_quiet(rows: Sequence[Row], machine: Machine) -> Iterator[str]:
    if machine.busy:
        yield f"When this began, the machine was not quiet: {'; '.join(machine.busy)}."
    elif machine.load_average and machine.load_average[0] > machine.cores / 2:
        yield (
            f"The machine was busy with other things when this began (load average {machine.load_average[0]:.1f} "
            f"on {count(machine.cores, 'core')}): latencies may be too high."
        )
    drifting = [row.title for row in rows if _spread(row) > DRIFT]
    if drifting:
        yield f"The rounds differ by more than {DRIFT:.0%}, so that the machine was not steady: {named(drifting)}."
    cold = [row.title for row in rows if not all(done.stable for done in row.rounds)]
    if cold:
        yield f"A warm-up ended by time, before latencies were stable; give more --seconds: {named(cold)}."


def _spread(row: Row) -> float:
    """Difference between the quartiles of the rounds' medians, as a share of their median."""
    medians = sorted(median(samples) for samples in row.samples_ns)
    if len(medians) < 2:
        return 0.0
    edge = len(medians) // 4
    return (medians[-1 - edge] - medians[edge]) / median(medians)


def named(titles: Sequence[str]) -> str:
    """The first few of them, and how many more there are."""
    more = [f"{len(titles) - NAMED} more"] if len(titles) > NAMED else []
    return "; ".join((*titles[:NAMED], *more))


def _on_peak(rows: Sequence[Row]) -> Iterator[str]:
    most = max((row.ceiling_share or 0.0 for row in rows), default=0.0)
    if most > 1:
        yield (
            f"Networks reach up to {most:.0%} of the peak, so what was taken for the most this machine computes is not "
            "that: it was measured while the machine was slower, or other kernels are faster. Its shares are too high."
        )


def _on_threads(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        if row.entry.threads and row.threads != row.entry.threads:
            yield f"{row.title} ran with {count(row.threads, 'thread')}, not the {row.entry.threads} asked for."


def _on_rounds(rows: Sequence[Row]) -> Iterator[str]:
    rounds = min((len(row.samples_ns) for row in rows), default=0)
    if rounds == 1:
        yield "Every p50 is of one round, which does not tell by how much rounds differ."
    elif rounds and confidence(rounds) < LEVEL:
        yield (
            f"Beside p50 and start stands the range of {count(rounds, 'round')}: it holds the median of further rounds "
            f"in about {confidence(rounds):.0%} of all cases. Without --quick there are rounds enough for 95%, "
            "and the shortest scripts to compare with."
        )


def _on_percentiles(rows: Sequence[Row]) -> Iterator[str]:
    if any(row.latency.p99 is None for row in rows):
        yield (
            f"A percentile is given only where there are enough queries for it ({ENOUGH_FOR_P90} for p90, "
            f"{ENOUGH_FOR_P99} for p99, as in the MLPerf rules); more --seconds give more queries."
        )
