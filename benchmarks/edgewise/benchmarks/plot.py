"""The plot of accuracy against latency, as SVG that takes its colours from the page around it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from edgewise.benchmarks import text
from edgewise.benchmarks.results import Row
from edgewise.spec.svg import for_page

SIZES = {"wide": (8.4, 4.6), "narrow": (4.1, 4.4)}
"""Width and height in inches; text is in points, so that it stays readable in both."""

INKS = {
    "#010101": "var(--ink)",
    "#020202": "var(--quiet)",
    "#030303": "var(--line)",
    "#040404": "var(--litert)",
    "#050505": "var(--onnxruntime)",
    "#060606": "var(--keras)",
    "#070707": "var(--card)",
}
"""Colours that stand for the page's own, so that one drawing fits light and dark."""

INK, QUIET, LINE, *_, CARD = INKS
COLORS = {"litert": "#040404", "onnxruntime": "#050505", "keras": "#060606"}
MARKERS = {"litert": "o", "onnxruntime": "D", "keras": "s"}

MANY_TIMES = 6.0
"""Above this ratio of the slowest to the fastest row the latency axis is logarithmic."""

PLACES = [
    (horizontal, vertical, side)
    for distance in (1, 2, 3.2, 4.6, 6.2)
    for horizontal, vertical, side in (
        (9, 5 * distance, "left"),
        (9, -5 * distance - 8, "left"),
        (-9, 5 * distance, "right"),
        (-9, -5 * distance - 8, "right"),
        (0, 5 * distance + 7, "center"),
        (0, -5 * distance - 15, "center"),
    )
]
"""Where a label may stand: offset from its point in points, and which of its sides is there. First ones are best."""


def draw(rows: Sequence[Row], shape: str) -> str:
    """Draw the rows.

    Args:
        rows: at least one measured row.
        shape: a key of SIZES.

    Returns:
        An ``<svg>`` element for HTML, with names escaped, without links to anything outside.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": f"edgewise-{shape}", "font.size": 10}):
        figure = Figure(figsize=SIZES[shape], layout="constrained")
        axes = figure.add_subplot()
        for row in rows:
            _mark(axes, row)
        _scale(axes, rows)
        _style(axes)
        figure.draw_without_rendering()
        _label(axes, rows, FigureCanvasAgg(figure).get_renderer())
        written = io.StringIO()
        figure.savefig(
            written, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Type", "Format"))
        )
    return for_page(written.getvalue(), INKS)


def _mark(axes: Any, row: Row) -> None:
    color = COLORS.get(row.entry.backend, QUIET)
    accuracy, times = 100 * row.top1.share, row.latency
    axes.plot([times.p50] * 2, [100 * row.top1.low, 100 * row.top1.high], color=color, linewidth=1.6, alpha=0.55)
    if times.p10 is not None and times.p90 is not None:
        axes.plot([times.p10, times.p90], [accuracy] * 2, color=color, linewidth=1.6, alpha=0.55)
    axes.plot(
        times.p50,
        accuracy,
        marker=MARKERS.get(row.entry.backend, "o"),
        markersize=9,
        # An int8 row is hollow, so that the scheme shows without colour.
        markerfacecolor=CARD if row.entry.scheme == "int8" else color,
        markeredgecolor=color,
        markeredgewidth=2,
        linestyle="none",
    )


def _scale(axes: Any, rows: Sequence[Row]) -> None:
    """Latency from zero, or logarithmic where rows differ much; accuracy as close as the intervals allow."""
    fastest = min(row.latency.p10 or row.latency.p50 for row in rows)
    slowest = max(row.latency.p90 or row.latency.p50 for row in rows)
    if slowest / fastest > MANY_TIMES:
        from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

        axes.set_xscale("log")
        axes.set_xlim(fastest / 1.5, slowest * 2)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xlabel("latency of one photo, ms (logarithmic)  ← faster")
    else:
        axes.set_xlim(0, slowest * 1.3)
        axes.set_xlabel("latency of one photo, ms  ← faster")
    low, high = 100 * min(row.top1.low for row in rows), 100 * max(row.top1.high for row in rows)
    room = max(1.0, 0.18 * (high - low))
    bottom = max(0.0, low - room)
    axes.set_ylim(bottom, min(high + room, 100 + room / 3))
    axes.set_ylabel("top-1, %" + (" (axis does not start at 0)" if bottom > 0 else ""))


def _style(axes: Any) -> None:
    axes.grid(color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(LINE)
    axes.tick_params(colors=QUIET, length=0)
    axes.xaxis.label.set_color(QUIET)
    axes.yaxis.label.set_color(QUIET)


def _label(axes: Any, rows: Sequence[Row], renderer: Any) -> None:
    """Write each row's name beside its point, at the place where it covers least."""
    from matplotlib.transforms import Bbox

    inside = axes.get_window_extent(renderer)
    points = [axes.transData.transform((row.latency.p50, 100 * row.top1.share)) for row in rows]
    taken = [Bbox.from_bounds(x - 9, y - 9, 18, 18) for x, y in points]
    bars = [bar.get_window_extent(renderer) for bar in axes.lines]
    for row, name in zip(rows, _names(rows), strict=True):
        written = axes.annotate(
            name,
            (row.latency.p50, 100 * row.top1.share),
            (0, 0),
            textcoords="offset points",
            color=INK,
            fontsize=9,
            parse_math=False,
        )
        # Labels are placed within the axes as they are, so they must not move them.
        written.set_in_layout(False)
        costs = [_move(written, place, renderer, inside, taken, bars) for place in PLACES]
        _move(written, PLACES[costs.index(min(costs))], renderer, inside, taken, bars)
        taken.append(written.get_window_extent(renderer))


def _names(rows: Sequence[Row]) -> list[str]:
    """Scheme and backend where that tells the rows apart, or else the whole names."""
    short = [
        "Keras reference" if row.entry.is_reference else f"{row.entry.scheme} · {row.entry.backend_name}"
        for row in rows
    ]
    whole = [text.plain(f"{row.entry.name} · {row.entry.backend_name}") for row in rows]
    return short if len(set(short)) == len(short) else whole


def _move(
    written: Any,
    place: tuple[float, float, str],
    renderer: Any,
    inside: Any,
    taken: Sequence[Any],
    bars: Sequence[Any],
) -> float:
    """Move a label and tell how bad it is there.

    The worst is to cover a point or another label, or to be cut off at the end of the axes; then to cross an interval's
    bar, and to be far from the point.
    """
    horizontal, vertical, side = place
    written.set_position((horizontal, vertical))
    written.set_horizontalalignment(side)
    box = written.get_window_extent(renderer).padded(2)
    beyond = (inside.x0 - box.x0, box.x1 - inside.x1, inside.y0 - box.y0, box.y1 - inside.y1)
    outside = sum(max(0, pixels) for pixels in beyond)
    crossed = sum(box.overlaps(bar) for bar in bars)
    worst = sum(map(box.overlaps, taken)) + (outside > 0)
    return float(1000 * worst + 4 * outside + 20 * crossed + 2 * abs(vertical))
