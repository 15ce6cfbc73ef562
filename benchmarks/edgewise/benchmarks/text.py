"""Figures and names as a reader sees them, the same in the terminal, in Markdown and on the page."""

from __future__ import annotations

from collections.abc import Sequence

from edgewise.benchmarks.results import Kind, Results, Row
from edgewise.benchmarks.side_by_side import change
from edgewise.benchmarks.statistics import LEVEL, Interval, Share, confidence
from edgewise.benchmarks.verdict import Verdict
from edgewise.runtime.engines.base import CPU

WITHHELD = "–"
"""Stands where a percentile is withheld."""

FEW = 50
"""Below so many photos the headline tells how many were right, and no share."""


def milliseconds(value: float | None) -> str:
    """Three significant digits; WITHHELD for None."""
    if value is None:
        return WITHHELD
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.01 else f"{value:.3f}"


def megabytes(value: int) -> str:
    """Bytes as MB (10^6 bytes), or kB below 100 kB."""
    if value < 100_000:
        return f"{value / 1e3:.1f} kB"
    return f"{value / 1e6:.1f} MB" if value < 1e8 else f"{value / 1e6:,.0f} MB"


def rate(value: float) -> str:
    """Images per second."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def percent(value: float) -> str:
    """A share as per cent, with one digit after the point."""
    return f"{100 * value:.1f}%"


def interval(share: Share) -> str:
    """The 95% interval as per cent."""
    return f"{100 * share.low:.1f}–{100 * share.high:.1f}%"


def plain(text: str) -> str:
    """``text`` on one line, without control characters and without bytes that UTF-8 cannot hold."""
    valid = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(character if character.isprintable() else " " for character in valid)


def span(interval: Interval) -> str:
    """The two ends of an interval of times."""
    return f"{milliseconds(interval.low)}–{milliseconds(interval.high)}"


def engine(row: Row) -> str:
    """What computes a row: its backend, and what is not the CPU; "plain" before it where it is the shortest script."""
    plain_loop = "plain " if row.entry.kind is Kind.PLAIN else ""
    return f"{plain_loop}{row.entry.backend_name}" + ("" if row.provider == CPU else f", {row.provider}")


def bulk(row: Row) -> str:
    """How far many photos at once went apart from round to round; empty where there was one round only."""
    found = row.offline.images_per_second if row.offline and row.offline.rounds > 1 else None
    return f"{rate(found.low)}–{rate(found.high)}" if found else ""


def spread(rounds: int) -> str:
    """What the two ends beside a median of so many rounds are: ``95%``, or of few rounds no more than their range."""
    if confidence(rounds) >= LEVEL:
        return "95%"
    return f"range of {count(rounds, 'round')}" if rounds > 1 else "one round"


def signed(value: float) -> str:
    """Points with their sign; a true minus, and no sign before what is rounded to nothing."""
    shown = f"{value:+.1f}"
    return "0.0" if float(shown) == 0 else shown.replace("-", "−")


def points_below(drop: float, base: str = "the reference") -> str:
    """Points of top-1 below or above what is compared with."""
    if abs(drop) < 0.05:
        return f"as often right as {base}"
    size = f"{abs(drop):.1f} points" if f"{abs(drop):.1f}" != "1.0" else "1.0 point"
    return f"{size} {'below' if drop > 0 else 'above'} {base}"


def count(number: int, thing: str) -> str:
    """A number of things: ``1 photo``, ``2,000 photos``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def shown_row(results: Results) -> Row | None:
    """The row to talk about: the recommended one, or else the fastest variant, or else the fastest row."""
    chosen = recommended_row(results) if results.recommendation and results.recommendation.met else None
    variants = (row for row in results.rows if row.entry.kind is Kind.VARIANT and row.accuracy)
    return chosen or next(variants, next(iter(results.rows), None))


def recommended_row(results: Results) -> Row | None:
    """The row that the recommendation is about."""
    found = results.recommendation
    if found is None:
        return None
    wanted = (found.file, found.backend, found.provider, found.threads, Kind.VARIANT.value)
    return next((row for row in results.rows if row.key == wanted), None)


def headline(results: Results) -> str:
    """The one sentence to take away."""
    row = shown_row(results)
    if row is None:
        return "Nothing could be measured."
    right = f"{_right(row.accuracy.top1)} in " if row.accuracy else ""
    return f"{right}{milliseconds(row.latency.p50)} ms per photo: {row.title}"


def _right(top1: Share) -> str:
    """Of few photos their number, because a share of them means little."""
    if top1.total < FEW:
        return f"{top1.successes} of {count(top1.total, 'photo')} right"
    return f"{percent(top1.share)} right"


def comparison(results: Results) -> str:
    """How that row compares with the reference, or else with the slowest variant; empty where there is none."""
    shown = shown_row(results)
    others = [row for row in results.rows if row is not shown and row.accuracy]
    if shown is None or shown.accuracy is None or not others:
        return ""
    base = next((row for row in others if row.entry.is_reference), others[-1])
    fastest = min((row for row in results.rows if row is not base), key=lambda row: row.latency.p50)
    if base.entry.is_reference and change(base, fastest).verdict is Verdict.SLOWER:
        return "No exported file is faster here than the Keras network it was made from."
    assert base.accuracy is not None
    what = "the Keras network it was made from" if base.entry.is_reference else base.title
    right = _more_right(base.accuracy.top1, shown.accuracy.top1)
    return f"{_speed(base, shown)} {what} ({milliseconds(base.latency.p50)} ms), and {right}."


def _more_right(base: Share, shown: Share) -> str:
    photos, points = shown.successes - base.successes, 100 * (shown.share - base.share)
    if abs(points) < 0.05:
        return "as often right"
    if shown.total < FEW:
        return f"right for {count(abs(photos), 'photo')} {'more' if photos > 0 else 'fewer'}"
    return f"{abs(points):.1f} points {'more' if points > 0 else 'less'} often right"


def _speed(base: Row, shown: Row) -> str:
    """How fast a row is against another; about equal where the difference is small or may be chance."""
    one, other, verdict = base.latency.p50_interval, shown.latency.p50_interval, change(base, shown).verdict
    times = base.latency.p50 / shown.latency.p50
    overlap = one.low <= other.high and other.low <= one.high
    if verdict is Verdict.SAME or 0.95 < times < 1.05 or (verdict is Verdict.CANNOT_TELL and overlap):
        return "About as fast as"
    return f"{times:.1f} times as fast as" if times < 20 else f"{times:,.0f} times as fast as"


def short_names(rows: Sequence[Row]) -> list[str]:
    """Names for drawings, as short as tells the rows apart: ``int8.tflite · LiteRT · 2 threads``."""
    files = {row.entry.name for row in rows if not row.entry.is_reference}
    kinds = {(row.entry.format, row.entry.scheme) for row in rows if not row.entry.is_reference}
    whole = len(files) > len(kinds)
    names = [_short_name(row, whole=whole, threads=False) for row in rows]
    if len(set(names)) == len(names):
        return names
    return [_short_name(row, whole=whole, threads=True) for row in rows]


def _short_name(row: Row, *, whole: bool, threads: bool) -> str:
    entry = row.entry
    if entry.is_reference:
        return "Keras reference"
    parts = [
        plain(entry.name) if whole else plain(f"{entry.scheme}.{entry.format}"),
        f"plain {entry.backend_name}" if entry.kind is Kind.PLAIN else plain(entry.backend_name),
        *([] if entry.provider == "cpu" else [plain(entry.provider)]),
        *([count(entry.threads, "thread")] if threads else []),
    ]
    return " · ".join(parts)


def reasons(row: Row) -> str:
    """Why a row is not faster, in sentences."""
    return " ".join(f"{reason.text.rstrip('.')}." for reason in row.reasons)


def points(interval: Interval) -> str:
    """Points with the 95% interval: ``−0.4 (−1.2 to +0.3)``."""
    return f"{signed(interval.value)} ({signed(interval.low)} to {signed(interval.high)})"


def fastest_of_each(rows: Sequence[Row]) -> list[Row]:
    """Of rows that differ in threads only the fastest; without plain loops, in the order of ``rows``."""
    best: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        entry = row.entry
        if entry.kind is not Kind.PLAIN:
            best.setdefault((entry.name, entry.backend, entry.provider), row)
    return list(best.values())


def of_peak(row: Row) -> str:
    """The share of the machine's peak that a row reaches; nothing where it is not known."""
    if row.ceiling_share is None:
        return ""
    return f"{100 * row.ceiling_share:.0f}%" if row.ceiling_share >= 0.01 else "<1%"


def at_peak(results: Results, giga: float) -> str:
    """How long the network takes at 10^9 * ``giga`` operations a second; "" where there are several networks."""
    works = {row.macs for row in results.rows if row.macs}
    return f"{milliseconds(2 * works.pop() / giga / 1e6)} ms for a photo" if len(works) == 1 else ""


def peaks(results: Results) -> list[str]:
    """What the machine computes at most: the hardware's ceiling, for each number of threads."""
    told = []
    for ceiling in results.ceilings:
        rates = [(ceiling.fp32_gflops, "with 32-bit floats"), (ceiling.int8_gops, "with 8-bit whole numbers")]
        parts = []
        for giga, numbers in rates:
            if giga:
                photo = at_peak(results, giga)
                parts.append(f"{giga:,.0f} × 10⁹ a second {numbers}" + (f" ({photo})" if photo else ""))
        more = f"; it may be more, as {'; '.join(ceiling.disturbed)} meanwhile" if ceiling.disturbed else ""
        with_threads = f"with {count(ceiling.threads, 'thread')}"
        told.append(f"The most that this machine computes {with_threads}: {', '.join(parts)}{more}.")
    return told
