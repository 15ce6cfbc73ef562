"""Two results side by side: what changed from the rows of one to their like in the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgewise.benchmarks.entry import Entry
from edgewise.benchmarks.packing import unpack
from edgewise.benchmarks.remarks import WITHOUT_SPLITS, named
from edgewise.benchmarks.results import Results, Row
from edgewise.benchmarks.statistics import Interval, Ratio, paired_points, ratio, unpaired_points
from edgewise.benchmarks.text import plain
from edgewise.benchmarks.verdict import Change, compare_rounds
from edgewise.spec import InputError

MEMORY_MAY_DIFFER = 0.02
"""Share by which the memory of one machine differs from one kernel to the next."""

MANY = 10
"""Rows from which on it is told that some verdicts are wrong by chance."""

Key = tuple[str, str, str, int, str]

RUN_VERSIONS = ("ai-edge-litert", "onnxruntime", "openvino", "numpy", "tensorflow", "edgewise", "python")
"""Software whose version may be why figures differ."""


@dataclass(frozen=True)
class RowChange:
    """One row in both results."""

    title: str
    latency: Change
    before_ms: float  # p50, > 0
    after_ms: float
    top1: Interval | None  # points, after minus before; None: a row without accuracy, such as a plain loop
    top1_paired: bool  # on the same photos, each compared with itself
    before_bytes: int  # file size
    after_bytes: int
    before_memory: int  # bytes; 0: not measured
    after_memory: int
    bulk: Ratio | None = None  # photos per second; None: one of them was not measured
    start: Ratio | None = None  # to the first label


@dataclass(frozen=True)
class Comparison:
    """What changed."""

    before: str  # name of the first result
    after: str
    rows: tuple[RowChange, ...]  # slowest change first
    only_before: tuple[str, ...]  # titles of rows that only the first has
    only_after: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())  # what a reader should know
    broken: tuple[str, ...] = ()  # rows that could be measured in the first result and not in the second, and why not


PairKey = tuple[Key, Key]
"""The keys of two rows."""


def compare_results(
    before: Results,
    after: Results,
    *,
    changes: Mapping[PairKey, Change] | None = None,
    across_machines: bool = False,
) -> Comparison:
    """Compare two results.

    Args:
        before: the first.
        after: the second.
        changes: how latencies compare, where both were measured in one run; None: it is told from their rounds.
        across_machines: compare even if they are of different machines.

    Raises:
        InputError: they are of different machines, or have no row in common.
    """
    differences = machine_differences(before, after)
    if differences and not across_machines:
        raise InputError(
            "the two results are of different machines: " + plain("; ".join(differences)),
            "two results of one machine",
            "measure both on one machine, or add --across-machines",
        )
    pairs, only_before, only_after = pair_rows(before.rows, after.rows)
    if not pairs:
        raise InputError(
            plain(f"the two results have no row in common: {_titles(before.rows)}; and {_titles(after.rows)}"),
            "the same kinds of files, backends and numbers of threads in both",
        )
    rows = [_row_change(old, new, before, after, changes or {}) for old, new in pairs]
    return Comparison(
        before=before.name,
        after=after.name,
        rows=tuple(sorted(rows, key=lambda row: -row.latency.ratio.value)),
        only_before=tuple(row.title for row in only_before),
        only_after=tuple(row.title for row in only_after),
        notes=(*_notes(before, after, differences, in_turns=changes is not None), *_on_chance(len(rows))),
        broken=tuple(_broken(before, after)),
    )


def _broken(before: Results, after: Results) -> Iterator[str]:
    """What failed in the second result and did not in the first."""
    known, measured = ({each.entry.key for each in rows} for rows in (before.failures, before.rows))
    # Two releases may be named differently: what has no namesake is told by what else they have in common.
    likes, still = ({_like(row.entry) for row in results.rows} for results in (before, after))
    failed = {failure.entry.key for failure in after.failures}
    older = Counter(_like(failure.entry) for failure in before.failures if failure.entry.key not in failed)
    for failure in after.failures:
        like = _like(failure.entry)
        if failure.entry.key in known:
            continue
        if failure.entry.key not in measured and older[like]:
            older[like] -= 1
        elif failure.entry.key in measured or like in likes - still or not failure.entry.backend:
            yield f"{failure.entry.title}: {failure.error}"


def _like(entry: Entry) -> tuple[Hashable, ...]:
    """What entries of two releases, which may be named differently, have in common."""
    return entry.format, entry.scheme, entry.backend, entry.provider, entry.threads, entry.kind


def machine_differences(before: Results, after: Results) -> tuple[str, ...]:
    """In what the two machines differ, in words: CPU and its features, cores, memory, system."""
    first, second = before.machine, after.machine
    facts = [
        ("CPU", first.cpu, second.cpu),
        ("board", first.board, second.board),
        ("architecture", first.architecture, second.architecture),
        ("cores", str(first.cores), str(second.cores)),
        ("system", first.system, second.system),
        ("CPU limit", _limit(first.cpu_limit, " cores"), _limit(second.cpu_limit, " cores")),
        ("memory limit", _limit(first.memory_limit_bytes, " bytes"), _limit(second.memory_limit_bytes, " bytes")),
        ("governor", first.governor, second.governor),
        ("GPU", ", ".join(first.gpus), ", ".join(second.gpus)),
    ]
    found = [f"{name} {old or 'unknown'} and {new or 'unknown'}" for name, old, new in facts if old != new]
    if changed := sorted(set(first.flags) ^ set(second.flags)):
        found.append(f"only one of them has {', '.join(changed)}")
    if abs(first.memory_bytes - second.memory_bytes) > MEMORY_MAY_DIFFER * max(first.memory_bytes, second.memory_bytes):
        found.append(f"memory {first.memory_bytes / 2**30:.1f} and {second.memory_bytes / 2**30:.1f} GiB")
    return tuple(found)


def _limit(most: float, unit: str) -> str:
    return f"{most:g}{unit}" if most else "none"


Pairs = list[tuple[Row, Row]]


def pair_rows(before: Sequence[Row], after: Sequence[Row]) -> tuple[Pairs, list[Row], list[Row]]:
    """Find each row's like: the pairs, and the rows of either side that have none.

    Rows of the same name, backend, provider, threads and kind belong together. Of those that are left, as two releases
    may be named differently: those of the same format and scheme on the same backend; then those on the same backend.
    """
    keys: tuple[Callable[[Row], Hashable], ...] = (
        lambda row: row.key,
        lambda row: (row.entry.format, row.entry.scheme, *row.key[1:]),
        lambda row: (row.entry.format, *row.key[1:]),
        lambda row: row.key[1:],
    )
    pairs, old, new = Pairs(), list(before), list(after)
    for key in keys:
        first, second = _unique(old, key), _unique(new, key)
        found = [(first[place], second[place]) for place in first if place in second]
        pairs += found
        taken = {id(row) for pair in found for row in pair}
        old, new = ([row for row in rows if id(row) not in taken] for rows in (old, new))
    return pairs, old, new


def _unique(rows: Sequence[Row], key: Callable[[Row], Hashable]) -> dict[Hashable, Row]:
    """The rows that nothing else on their side has the key of."""
    found: dict[Hashable, list[Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return {place: there[0] for place, there in found.items() if len(there) == 1}


def _row_change(old: Row, new: Row, before: Results, after: Results, changes: Mapping[PairKey, Change]) -> RowChange:
    top1, paired = _top1(old, new, before, after)
    title = new.title if old.entry.name == new.entry.name else f"{old.title} → {new.title}"
    return RowChange(
        title=title,
        latency=changes.get((old.key, new.key)) or _of_two_runs(old, new),
        before_ms=old.latency.p50,
        after_ms=new.latency.p50,
        top1=top1,
        top1_paired=paired,
        before_bytes=old.entry.bytes,
        after_bytes=new.entry.bytes,
        before_memory=old.memory_bytes,
        after_memory=new.memory_bytes,
        bulk=_bulk(old, new),
        start=ratio(old.start_ms, new.start_ms, min(len(old.rounds), len(new.rounds))),
    )


def _bulk(old: Row, new: Row) -> Ratio | None:
    before, after = (row.offline.images_per_second if row.offline else None for row in (old, new))
    rounds = min(row.offline.rounds if row.offline else 0 for row in (old, new))
    return ratio(before, after, rounds)


def _of_two_runs(old: Row, new: Row) -> Change:
    contended = old.contention.contended or new.contention.contended
    return compare_rounds(_times(old), _times(new), in_turns=False, contended=contended)


def _times(row: Row) -> list[tuple[int, ...]]:
    if not row.samples_ns:
        raise InputError(
            f"{row.title} has no times of single rounds", "a results.json as `edgewise benchmark` wrote it"
        )
    return row.samples_ns


def _top1(old: Row, new: Row, before: Results, after: Results) -> tuple[Interval | None, bool]:
    """The change of top-1 in points, and whether the same photos were compared one by one."""
    if not old.accuracy or not new.accuracy:
        return None, False
    if before.data.sha256 == after.data.sha256 and before.labels == after.labels:
        truth, first, second = map(unpack, (before.data.truth, old.accuracy.answers, new.accuracy.answers))
        if len(truth) and len(truth) == len(first) == len(second):
            readable = (first >= 0) & (second >= 0)
            right, still = first == truth, second == truth
            gained, lost = (int(np.count_nonzero(each & readable)) for each in (~right & still, right & ~still))
            if total := int(np.count_nonzero(readable)):
                return paired_points(gained, lost, total), True
    return unpaired_points(old.accuracy.top1, new.accuracy.top1), False


def _notes(before: Results, after: Results, differences: Sequence[str], *, in_turns: bool) -> Iterator[str]:
    if differences:
        yield "Different machines: " + "; ".join(differences) + "."
    if before.data.sha256 != after.data.sha256:
        yield "Measured on different photos, so that changes of top-1 are told with wider intervals."
    if not in_turns:
        yield (
            "Measured in two runs: what the machine did in one of them and not in the other is allowed for only "
            "roughly. Compare two releases with --data to measure both in turns."
        )
    else:
        yield "How latencies compare was measured in turns, and p50 of each row before that, for a short time."
        if after.data.split == "all":
            yield WITHOUT_SPLITS
    kernels = [results.machine.kernel for results in (before, after)]
    if kernels[0] != kernels[1]:
        yield f"Different kernels: {kernels[0] or 'unknown'} and {kernels[1] or 'unknown'}."
    changed = [
        f"{name} {before.versions.get(name, 'none')} and {after.versions.get(name, 'none')}"
        for name in RUN_VERSIONS
        if before.versions.get(name) != after.versions.get(name)
    ]
    if changed:
        yield "Different software: " + "; ".join(changed) + "."
    for results, which in ((before, "first"), (after, "second")):
        disturbed = [f"{row.title} ({', '.join(row.disturbed)})" for row in results.rows if row.disturbed]
        if disturbed:
            yield f"Disturbed while they were measured, in the {which}: {named(disturbed)}."


def _on_chance(rows: int) -> Iterator[str]:
    """Many comparisons at once: some are wrong by chance."""
    if rows >= MANY:
        yield (
            f"Each row is judged by itself, at 95%: where {rows} rows had equal code on both sides, about "
            f"{max(1, round(rows / 20))} would be called faster or slower by chance."
        )


def _titles(rows: Sequence[Row]) -> str:
    shown = ", ".join(row.title for row in rows[:3])
    return (shown + (", ..." if len(rows) > 3 else "")) or "nothing"
