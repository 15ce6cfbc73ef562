"""Drawings of times: how the latencies of single queries are spread, and how they go over a sustained run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.benchmarks.drawing import COLORS, INK, QUIET, draw, scale_of_times, style
from edgewise.benchmarks.results import Row
from edgewise.benchmarks.text import milliseconds, short_names

STRIPES = 90
"""Into so many parts the axis of times is divided: the page keeps counts in place of samples."""

EDGES = 0.005
"""Share of all samples on either side that may lie beyond the axis; they are counted at its ends."""

DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)))


def distributions(rows: Sequence[Row], shape: str) -> str:
    """Draw for each row how often which latency was seen, with the median and the percentiles that there are.

    Args:
        rows: at least one, each with raw samples.
        shape: "wide" or "narrow".

    Returns:
        As `drawing.draw`.
    """
    samples = [np.concatenate(row.samples_ns) / 1e6 for row in rows]
    low = min(float(np.quantile(each, EDGES)) for each in samples)
    high = max(float(np.quantile(each, 1 - EDGES)) for each in samples)

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        scale_of_times(axes, low, high, "one photo")
        for place, (row, name, times) in enumerate(zip(rows, short_names(rows), samples, strict=True)):
            _ridge(axes, len(rows) - 1 - place, row, times)
            _name(axes, len(rows) - 1 - place, name, times)
        axes.set_ylim(-0.15, len(rows))
        axes.set_yticks([])
        style(axes, grid="x")
        axes.spines["left"].set_visible(False)

    return draw(shape, 0.8 + 0.52 * len(rows), paint, "times")


def _ridge(axes: Any, floor: int, row: Row, times: NDArray[np.float64]) -> None:
    left, right = axes.get_xlim()
    spaced = np.geomspace if axes.get_xscale() == "log" else np.linspace
    edges = spaced(max(left, 1e-6) if axes.get_xscale() == "log" else left, right, STRIPES + 1)
    counts, _ = np.histogram(np.clip(times, edges[0], edges[-1]), edges)
    heights = 0.55 * counts / counts.max()
    color = COLORS.get(row.entry.backend, QUIET)
    seen = np.flatnonzero(counts)
    inside = slice(seen[0], seen[-1] + 1)
    axes.stairs(
        floor + heights[inside], edges[inside.start : inside.stop + 1], baseline=floor, fill=True, color=color,
        alpha=0.45, linewidth=0,
    )  # fmt: skip
    axes.plot([row.latency.p50] * 2, [floor, floor + 0.6], color=INK, linewidth=2, solid_capstyle="butt")
    for tail in filter(None, (row.latency.p90, row.latency.p99)):
        axes.plot([tail] * 2, [floor, floor + 0.28], color=INK, linewidth=1.2)


def _name(axes: Any, floor: int, name: str, times: NDArray[np.float64]) -> None:
    """The row's name over its ridge, and the slowest query where it lies beyond the axis."""
    edge = axes.get_xlim()[1]
    beyond = int((times > edge).sum())
    told = f"   {beyond} slower, up to {milliseconds(float(times.max()))} ms" if beyond else ""
    axes.annotate(
        name + told, (0, floor + 0.66), xycoords=("axes fraction", "data"), color=INK, fontsize=9, va="bottom"
    )  # fmt: skip


def sustained(rows: Sequence[Row], shape: str) -> str:
    """Draw how the median latency of each row goes over its sustained run, against its beginning.

    Args:
        rows: those that ran sustained are drawn; at least one.
        shape: "wide" or "narrow".

    Returns:
        As `drawing.draw`.
    """
    shown = [row for row in rows if row.sustained and row.sustained.series_ms]

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        for number, (row, name) in enumerate(zip(shown, short_names(shown), strict=True)):
            assert row.sustained is not None
            series = np.asarray(row.sustained.series_ms)
            minutes = (np.arange(len(series)) + 0.5) * row.sustained.minutes / len(series)
            color = COLORS.get(row.entry.backend, QUIET)
            axes.plot(
                minutes, 100 * series / series[0], color=color, linestyle=DASHES[number % len(DASHES)], label=name
            )
        axes.set(xlabel="minutes", ylabel="latency, % of the beginning")
        axes.set_ylim(bottom=min(95, axes.get_ylim()[0]), top=max(105, axes.get_ylim()[1]))
        style(axes)
        columns = 2 if shape == "wide" else 1
        figure.legend(loc="outside lower left", ncols=columns, frameon=False, labelcolor=INK, fontsize=9)

    return draw(shape, 3.0 + 0.2 * len(shown) / (2 if shape == "wide" else 1), paint, "sustained")
