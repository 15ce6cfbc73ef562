"""What makes a comparison fail, for continuous integration: ``--fail-if slower:3%``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from edgewise.benchmarks.compare import Comparison, RowChange
from edgewise.benchmarks.text import plain
from edgewise.benchmarks.verdict import Verdict
from edgewise.spec import InputError

KINDS = "slower:PERCENT%, top1:POINTS, size:PERCENT%, memory:PERCENT%"


@dataclass(frozen=True)
class Condition:
    """One condition."""

    kind: str  # "slower", "top1", "size" or "memory"
    limit: float  # per cent, for top1 percentage points, >= 0

    @property
    def text(self) -> str:
        """As it is given."""
        return f"{self.kind}:{self.limit:g}{'' if self.kind == 'top1' else '%'}"

    def met_by(self, row: RowChange) -> str:
        """What a row does that meets the condition, in words; empty: nothing."""
        return _CHECKS[self.kind](row, self.limit)


def parse_condition(text: str) -> Condition:
    """Read ``slower:3%`` and the like. Raises InputError."""
    found = re.fullmatch(r"(slower|size|memory):(\d+(?:\.\d+)?)%|(top1):(\d+(?:\.\d+)?)", text.strip())
    if not found:
        raise InputError(f"--fail-if {text!r}", f"one of {KINDS}", "for example --fail-if slower:3% --fail-if top1:0.5")
    kind, limit, points, number = found.groups()
    return Condition(kind or points, float(limit or number))


def failures(condition: Condition, comparison: Comparison) -> tuple[str, ...]:
    """One sentence for each row that meets the condition."""
    told = ((row.title, condition.met_by(row)) for row in comparison.rows)
    met = [f"{condition.text} is met: {title} {what}" for title, what in told if what]
    # What cannot be measured any longer is worse than whatever is asked about.
    return tuple(map(plain, (*met, *(f"{condition.text} counts as met: {broken}" for broken in comparison.broken))))


def undecided(condition: Condition, comparison: Comparison) -> str:
    """For how many rows nobody can tell whether they meet the condition; empty: for none."""
    changes = [row.latency for row in comparison.rows] if condition.kind == "slower" else []
    open_ones = sum(change.verdict is Verdict.CANNOT_TELL and not change.failed for change in changes)
    if not open_ones:
        return ""
    return f"{condition.text} cannot be told for {open_ones} of {len(changes)} rows, which fail nothing: see the table"


def _slower(row: RowChange, limit: float) -> str:
    """Only what is slower for sure, or cannot be compared at all; where it cannot be told, nothing fails."""
    if row.latency.failed:
        return f"cannot be compared: {row.latency.why}"
    percent = 100 * (row.latency.ratio.value - 1)
    met = row.latency.verdict is Verdict.SLOWER and percent >= limit
    return f"is {percent:.1f}% slower" if met else ""


def _top1(row: RowChange, limit: float) -> str:
    lost = -row.top1.value if row.top1 else 0.0
    # A hair's breadth for the rounding of shares, so that a loss of exactly the limit passes.
    if row.top1 is None or lost <= limit + 1e-9:
        return ""
    chance = f", which may be chance ({row.top1.low:+.1f} to {row.top1.high:+.1f})" if row.top1.high >= 0 else ""
    return f"loses {lost:.2f} points of top-1{chance}"


def _larger(what: str, before: int, after: int, limit: float) -> str:
    percent = 100 * (after / before - 1) if before and after else 0.0
    return f"{what} {percent:.1f}% more" if percent > limit + 1e-9 else ""


_CHECKS: dict[str, Callable[[RowChange, float], str]] = {
    "slower": _slower,
    "top1": _top1,
    "size": lambda row, limit: _larger("takes on disk", row.before_bytes, row.after_bytes, limit),
    "memory": lambda row, limit: _larger("takes in memory", row.before_memory, row.after_memory, limit),
}
