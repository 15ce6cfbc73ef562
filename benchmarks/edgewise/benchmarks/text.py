"""Figures and names as a reader sees them, the same in the terminal, in Markdown and on the page."""

from __future__ import annotations

from edgewise.benchmarks.results import Results
from edgewise.benchmarks.statistics import Share

WITHHELD = "–"
"""Stands where a percentile is withheld."""


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


def headline(results: Results) -> str:
    """The one sentence to take away."""
    if not results.rows:
        return "Nothing could be measured."
    fastest = results.rows[0]
    accuracy, speed = percent(fastest.top1.share), milliseconds(fastest.latency.p50)
    return f"{accuracy} right in {speed} ms per photo: {fastest.entry.title}"


def comparison(results: Results) -> str:
    """How the fastest row compares with the reference, or else with the slowest row; empty for a single row."""
    if len(results.rows) < 2:
        return ""
    fastest = results.rows[0]
    base = next((row for row in results.rows if row.entry.is_reference), results.rows[-1])
    if base is fastest:
        return "No exported file is faster here than the Keras network it was made from."
    times = base.latency.p50 / fastest.latency.p50
    points = 100 * (fastest.top1.share - base.top1.share)
    factor = f"{times:.1f}" if times < 20 else f"{times:,.0f}"
    speed = f"{factor} times as fast as" if times >= 1.05 else "About as fast as"
    what = "the Keras network it was made from" if base.entry.is_reference else base.entry.title
    more = "more" if points > 0 else "less"
    right = "as often right" if abs(points) < 0.05 else f"{abs(points):.1f} points {more} often right"
    return f"{speed} {what} ({milliseconds(base.latency.p50)} ms), and {right}."
