"""The fastest variant that keeps to given limits, and how certain that is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path

from edgewise.benchmarks import text
from edgewise.benchmarks.results import Kind, Recommendation, Results, Row
from edgewise.benchmarks.side_by_side import is_slower
from edgewise.benchmarks.statistics import LEVEL, Interval, confidence, unpaired_points
from edgewise.benchmarks.verdict import LEAST_ROUNDS
from edgewise.runtime.selection import Selection, write_selection
from edgewise.spec import InputError
from edgewise.spec.files import path_text

USUAL_DROP = 1.0
"""Points of top-1 that may be lost where nothing else is said: what `edgewise export` allows too."""

NAMED = 3
"""Rivals of a toss-up that are named."""

_HAIR = 1e-9
"""For the rounding of shares, so that a drop of exactly the limit keeps to it."""


@dataclass(frozen=True)
class Limits:
    """What a variant has to keep to; None: no limit."""

    max_drop: float | None = None  # percentage points of top-1 below the reference, >= 0
    max_latency: float | None = None  # ms, of the median of single queries, > 0
    max_size: float | None = None  # bytes of the file, > 0

    def __post_init__(self) -> None:
        for name, value in self.given().items():
            if not isfinite(value):
                option = "--" + name.replace("_", "-")
                raise InputError(f"{option} {value:g}", "a number", f"leave {option} out, or give a large number")

    def given(self) -> Mapping[str, float]:
        """Those that were given, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class _Candidate:
    """A row with its top-1 below the reference."""

    row: Row
    drop: Interval  # points, positive where the row is worse
    base: str  # than what, in words

    @property
    def p50(self) -> float:
        return self.row.latency.p50

    @property
    def span(self) -> Interval:
        return self.row.latency.p50_interval


def recommend(rows: Sequence[Row], limits: Limits) -> Recommendation | None:
    """Recommend one of the measured variants.

    A limit is kept where the measured value keeps to it. Whether its 95% interval does too is told as the certainty,
    with the fastest variant of which that is true.

    Args:
        rows: measured rows, in any order.
        limits: without ``max_drop``, `USUAL_DROP` counts.

    Returns:
        The fastest variant; where none keeps to the limits, ``met`` is false and it is the one that is nearest. None
        where no variant's accuracy was measured.
    """
    candidates = sorted(_candidates(rows), key=lambda candidate: candidate.p50)
    if not candidates:
        return None
    drop = USUAL_DROP if limits.max_drop is None else limits.max_drop
    limits = Limits(drop, limits.max_latency, limits.max_size)
    fitting = [candidate for candidate in candidates if not _misses(candidate, limits)]
    if not fitting:
        return _nearest(candidates, limits)
    best = fitting[0]
    kept = f"{len(fitting)} of {len(candidates)} keep to it" if len(fitting) > 1 else "only this one keeps to it"
    reason = f"the fastest with {_asked(limits)} ({kept}): {_figures(best)}"
    certainty = "; ".join((_speed(best, fitting[1:]), *_doubts(best, fitting, limits), *_by_chance(candidates, limits)))
    return _made(best, limits, reason, certainty, met=True)


def select(results: Results, release: Path) -> Path:
    """Write the recommended variant where ``edgewise predict`` and ``edgewise package`` pick it up.

    Args:
        results: with a recommendation that keeps to its limits.
        release: the folder that was measured.

    Raises:
        InputError: nothing keeps to the limits, or ``release`` is no folder.
        OutputError: the folder cannot be written.
    """
    found = results.recommendation
    if found is None or not found.met:
        why = found.reason if found else "no variant's accuracy was measured"
        raise InputError(f"--select has nothing to choose: {why}", do="allow more, or export other variants")
    check_selectable(release)
    reason = f"{found.reason}; {found.certainty}"
    return write_selection(
        release, Selection(found.file, found.sha256, found.backend, found.provider, found.threads, reason)
    )


def check_selectable(release: Path) -> None:
    """Raise InputError where a choice could not be written beside what is measured."""
    if not release.is_dir():
        raise InputError(f"--select with {path_text(release)}, which is no folder", "a release folder")


def _candidates(rows: Sequence[Row]) -> Iterator[_Candidate]:
    measured = [row for row in rows if row.entry.kind is Kind.VARIANT and row.accuracy is not None]
    best = max((row.accuracy.top1 for row in measured if row.accuracy), key=lambda top1: top1.share, default=None)
    for row in measured:
        if row.accuracy is None:
            continue
        if row.accuracy.difference is not None:
            points = row.accuracy.difference.points
            yield _Candidate(row, Interval(-points.value, -points.high, -points.low), "the reference")
        else:
            # Without a reference, against the most accurate variant; photo by photo they were not compared.
            top1 = row.accuracy.top1
            gain = Interval(0.0, 0.0, 0.0) if best in (None, top1) else unpaired_points(best, top1)
            yield _Candidate(row, Interval(-gain.value, -gain.high, -gain.low), "the most accurate variant")


def _misses(candidate: _Candidate, limits: Limits) -> dict[str, float]:
    """How far a row misses each limit that it misses, as a share of the limit, by what it is in words."""
    row, misses = candidate.row, {}
    if limits.max_drop is not None and candidate.drop.value > limits.max_drop + _HAIR:
        words = f"{text.points_below(candidate.drop.value, candidate.base)}, at most {limits.max_drop:g}"
        misses[words] = (candidate.drop.value - limits.max_drop) / max(limits.max_drop, 1.0)
    if limits.max_latency is not None and candidate.p50 > limits.max_latency:
        words = f"{text.milliseconds(candidate.p50)} ms, at most {text.milliseconds(limits.max_latency)}"
        misses[words] = candidate.p50 / limits.max_latency - 1
    if limits.max_size is not None and row.entry.bytes > limits.max_size:
        words = f"{text.megabytes(row.entry.bytes)}, at most {text.megabytes(int(limits.max_size))}"
        misses[words] = row.entry.bytes / limits.max_size - 1
    return misses


def _nearest(candidates: Sequence[_Candidate], limits: Limits) -> Recommendation:
    nearest = min(candidates, key=lambda candidate: sum(_misses(candidate, limits).values()))
    missed = "; ".join(_misses(nearest, limits))
    reason = f"nothing that was measured keeps to {_asked(limits)}; the nearest is {nearest.row.title}: {missed}"
    reason = "; ".join((reason, *_by_chance(candidates, limits)))
    return _made(nearest, limits, reason, "it misses what was asked for", met=False)


def _by_chance(candidates: Sequence[_Candidate], limits: Limits) -> Iterator[str]:
    """How many files, each engine by itself, were ruled out by their drop alone, though their interval does not."""
    others = Limits(None, limits.max_latency, limits.max_size)
    most = limits.max_drop or 0.0
    ruled_out = [each for each in candidates if _misses(each, limits) and not _misses(each, others)]
    entries = (each.row.entry for each in ruled_out if each.drop.low <= most + _HAIR)
    if others_too := {(entry.path, entry.backend, entry.provider) for entry in entries}:
        points = f"{most:g} point{'' if most == 1 else 's'}"
        were = "1 other was" if len(others_too) == 1 else f"{len(others_too)} others were"
        yield f"{were} left out for losing over {points}, which these photos do not prove"


def _asked(limits: Limits) -> str:
    """The limits in words."""
    said = {
        "max_drop": lambda value: f"at most {value:g} point{'' if value == 1 else 's'} of top-1 lost",
        "max_latency": lambda value: f"at most {text.milliseconds(value)} ms",
        "max_size": lambda value: f"at most {text.megabytes(int(value))}",
    }
    parts = [said[name](value) for name, value in limits.given().items()]
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _figures(best: _Candidate) -> str:
    return (
        f"{text.milliseconds(best.p50)} ms, {text.points_below(best.drop.value, best.base)}, "
        f"{text.megabytes(best.row.entry.bytes)}"
    )


def _speed(best: _Candidate, others: Sequence[_Candidate]) -> str:
    """Whether it is the fastest for certain."""
    rounds = len(best.row.rounds)
    if others and rounds < LEAST_ROUNDS:
        return f"whether it is the fastest of them for certain, {text.count(rounds, 'round')} cannot tell"
    rivals = [other for other in others if not is_slower(other.row, best.row)]
    if not others:
        return "there is nothing to compare its speed with"
    if not rivals:
        return "certainly the fastest of them: measured in turns with it, each other one is slower beyond chance"
    named = [f"{rival.row.title} ({text.milliseconds(rival.p50)} ms)" for rival in rivals[:NAMED]]
    more = [f"{len(rivals) - NAMED} more"] if len(rivals) > NAMED else []
    return f"a toss-up with {' and '.join((*named, *more))}: what was measured does not tell them apart"


def _doubts(best: _Candidate, fitting: Sequence[_Candidate], limits: Limits) -> Iterator[str]:
    """What the intervals leave open."""
    if limits.max_drop is not None:
        yield _drop(best, fitting, limits.max_drop)
    if limits.max_latency is not None and best.span.high > limits.max_latency:
        yield f"its median may be over the limit ({text.span(best.span)} ms)"
    elif limits.max_latency is not None and confidence(len(best.row.rounds)) < LEVEL:
        rounds = len(best.row.rounds)
        tell = "round hardly tells" if rounds == 1 else "rounds hardly tell"
        yield f"that its median keeps to the limit, {rounds} {tell}"
    if best.row.contention.contended:
        yield "something else used the machine while it was measured, so that its time is uncertain"


def _drop(best: _Candidate, fitting: Sequence[_Candidate], most: float) -> str:
    """Whether it keeps to the drop for certain, and otherwise which one does."""
    interval = f"{text.signed(-best.drop.high)} to {text.signed(-best.drop.low)} points against {best.base}"
    if best.drop.high <= most + _HAIR:
        return f"it certainly keeps to the drop (95% interval {interval})"
    photos = text.count(best.row.accuracy.photos, "photo") if best.row.accuracy else "these photos"
    doubt = f"that it keeps to the drop is likely, but {photos} do not prove it (95% interval {interval})"
    sure = next((other for other in fitting if other.drop.high <= most + _HAIR), None)
    if sure is None:
        return doubt
    return f"{doubt}; the fastest that certainly does is {sure.row.title} ({text.milliseconds(sure.p50)} ms)"


def _made(candidate: _Candidate, limits: Limits, reason: str, certainty: str, *, met: bool) -> Recommendation:
    row = candidate.row
    return Recommendation(
        file=row.entry.name,
        backend=row.entry.backend,
        threads=row.entry.threads,
        provider=row.provider,
        reason=reason,
        certainty=certainty,
        limits=limits.given(),
        met=met,
        sha256=row.entry.sha256,
    )
