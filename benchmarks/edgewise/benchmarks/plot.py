"""The plot of accuracy against latency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgewise.benchmarks.drawing import CARD, COLORS, INK, MARKERS, QUIET, draw, scale_of_times, style
from edgewise.benchmarks.entry import WHOLE_NUMBERS
from edgewise.benchmarks.results import Row
from edgewise.benchmarks.statistics import Share
from edgewise.benchmarks.text import short_names

HEIGHTS = {"wide": 4.8, "narrow": 4.8}
"""In inches, by the shape of the screen."""

FEW = 8
"""Up to so many rows, each has its name beside it; of more, those on the front and the reference."""

SMALLEST, LARGEST = 45.0, 320.0
"""Areas of marks in square points: of an empty file, and of the largest one."""

PLACES = [
    (horizontal, vertical, side)
    for distance in (1, 2, 3.2, 4.6, 6.2)
    for horizontal, vertical, side in (
        (11, 5 * distance, "left"),
        (11, -5 * distance - 8, "left"),
        (-11, 5 * distance, "right"),
        (-11, -5 * distance - 8, "right"),
        (0, 5 * distance + 9, "center"),
        (0, -5 * distance - 17, "center"),
    )
]
"""Where a label may stand: offset from its point in points, and which of its sides is there. First ones are best."""


def accuracy_against_latency(rows: Sequence[Row], shape: str) -> str:
    """Draw rows with their 95% intervals, marks as large as their files, and the Pareto front.

    Args:
        rows: those with an accuracy are drawn; at least one.
        shape: "wide" or "narrow".

    Returns:
        As `drawing.draw`.
    """
    shown = [row for row in rows if row.accuracy]
    best = pareto(shown)
    named = shown if len(shown) <= FEW else [row for row in shown if row in best or row.entry.is_reference]

    def paint(figure: Any) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        axes = figure.add_subplot()
        _front(axes, best)
        largest = max(row.entry.bytes for row in shown) or 1
        for row in shown:
            _mark(axes, row, row.entry.bytes / largest, strong=row in named)
        _scale(axes, shown)
        style(axes)
        figure.draw_without_rendering()
        _label(axes, shown, named, FigureCanvasAgg(figure).get_renderer())

    return draw(shape, HEIGHTS[shape], paint, "accuracy")


def pareto(rows: Sequence[Row]) -> list[Row]:
    """The rows that no other row beats in both median latency and top-1, fastest first."""
    front: list[Row] = []
    for row in sorted(rows, key=lambda row: (row.latency.p50, -_top1(row).share)):
        if not front or _top1(row).share > _top1(front[-1]).share:
            front.append(row)
    return front


def _top1(row: Row) -> Share:
    assert row.accuracy is not None
    return row.accuracy.top1


def _front(axes: Any, front: Sequence[Row]) -> None:
    """A staircase: whatever lies right of it or below it is beaten by a row on it."""
    times, shares = [row.latency.p50 for row in front], [100 * _top1(row).share for row in front]
    axes.plot(
        [*times, 1e9], [*shares, shares[-1]], drawstyle="steps-post", color=QUIET, linewidth=1, linestyle=(0, (4, 3))
    )
    axes.plot([times[0]] * 2, [-1e3, shares[0]], color=QUIET, linewidth=1, linestyle=(0, (4, 3)))


def _mark(axes: Any, row: Row, size: float, *, strong: bool) -> None:
    color, fade = COLORS.get(row.entry.backend, QUIET), 1.0 if strong else 0.45
    top1, median = _top1(row), row.latency.p50_interval
    bar = {"color": color, "linewidth": 1.6, "alpha": 0.6 * fade, "zorder": 2}
    axes.plot([median.value] * 2, [100 * top1.low, 100 * top1.high], **bar)
    axes.plot([median.low, median.high], [100 * top1.share] * 2, **bar)
    axes.scatter(
        [row.latency.p50],
        [100 * top1.share],
        marker=MARKERS.get(row.entry.backend, "o"),
        s=SMALLEST + (LARGEST - SMALLEST) * size,
        # Hollow, so that the scheme shows without colour.
        facecolor=CARD if row.entry.scheme in WHOLE_NUMBERS else color,
        edgecolor=color,
        linewidth=2,
        alpha=0.85 if strong else fade,
        zorder=3,
    )


def _scale(axes: Any, rows: Sequence[Row]) -> None:
    """Latency from zero, or logarithmic where rows differ much; accuracy as close as the intervals allow."""
    fastest = min(row.latency.p50_interval.low for row in rows)
    slowest = max(row.latency.p50_interval.high for row in rows)
    scale_of_times(axes, fastest, slowest, "median of one photo")
    low, high = 100 * min(_top1(row).low for row in rows), 100 * max(_top1(row).high for row in rows)
    room = max(1.0, 0.18 * (high - low))
    bottom = max(0.0, low - room)
    axes.set_ylim(bottom, min(high + room, 100 + room / 3))
    axes.set_ylabel("top-1, %" + (" (axis does not start at 0)" if bottom > 0 else ""))


def _label(axes: Any, rows: Sequence[Row], named: Sequence[Row], renderer: Any) -> None:
    """Write names beside their points, each at the place where it covers least."""
    from matplotlib.transforms import Bbox

    inside = axes.get_window_extent(renderer)
    points = [axes.transData.transform((row.latency.p50, 100 * _top1(row).share)) for row in rows]
    taken = [Bbox.from_bounds(x - 9, y - 9, 18, 18) for x, y in points]
    bars = [bar.get_window_extent(renderer) for bar in axes.lines]
    leaders: list[Any] = []
    for row, name in zip(named, short_names(named), strict=True):
        place = (row.latency.p50, 100 * _top1(row).share)
        point = axes.transData.transform(place)
        written = axes.annotate(
            name, place, (0, 0), textcoords="offset points", color=INK, fontsize=9, zorder=4,
            arrowprops={"arrowstyle": "-", "color": QUIET, "linewidth": 0.8, "shrinkA": 1, "shrinkB": 7},
        )  # fmt: skip
        # Labels are placed within the axes as they are, so they must not move them.
        written.set_in_layout(False)
        costs = []
        for where in PLACES:
            cost = _move(written, where, renderer, inside, taken, bars)
            box, leader = _extent(written, renderer), _leader(point, written, renderer)
            crossed = sum(leader.intersects_bbox(label, filled=False) for label in taken[len(points) :])
            crossed += sum(other.intersects_bbox(box, filled=False) for other in leaders)
            costs.append(cost + 500 * crossed)
        _move(written, PLACES[costs.index(min(costs))], renderer, inside, taken, bars)
        taken.append(_extent(written, renderer))
        leaders.append(_leader(point, written, renderer))


def _leader(point: tuple[float, float], written: Any, renderer: Any) -> Any:
    """The line from a point to the nearest side of its label."""
    from matplotlib.path import Path

    box = _extent(written, renderer)
    ends = zip(point, (box.x0, box.y0), (box.x1, box.y1), strict=True)
    return Path([tuple(point), tuple(min(max(at, low), high) for at, low, high in ends)])


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
    box = _extent(written, renderer).padded(2)
    beyond = (inside.x0 - box.x0, box.x1 - inside.x1, inside.y0 - box.y0, box.y1 - inside.y1)
    outside = sum(max(0, pixels) for pixels in beyond)
    crossed = sum(box.overlaps(bar) for bar in bars)
    worst = sum(map(box.overlaps, taken)) + (outside > 0)
    return float(1000 * worst + 4 * outside + 20 * crossed + 2 * abs(vertical))


def _extent(written: Any, renderer: Any) -> Any:
    """The box of a label's text, without the line to its point."""
    from matplotlib.text import Text

    # The position is in points beside the mark; only drawing brings it to the text.
    written.update_positions(renderer)
    return Text.get_window_extent(written, renderer)
