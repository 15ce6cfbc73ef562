"""Two rows of one result against each other: they were measured in turns, so that their rounds belong together."""

from __future__ import annotations

from edgewise.benchmarks.results import Row
from edgewise.benchmarks.verdict import Change, Verdict, compare_rounds


def change(before: Row, after: Row) -> Change:
    """How the latency of ``after`` compares with that of ``before``; both with raw samples."""
    contended = before.contention.contended or after.contention.contended
    return compare_rounds(before.samples_ns, after.samples_ns, in_turns=True, contended=contended)


def is_slower(row: Row, than: Row) -> bool:
    """Whether a row is slower beyond chance."""
    return change(than, row).verdict is Verdict.SLOWER
