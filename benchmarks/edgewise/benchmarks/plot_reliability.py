"""Reliability diagrams: is an answer as often right as its probability says?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgewise.benchmarks.drawing import COLORS, QUIET, draw, style
from edgewise.benchmarks.figures import Accuracy
from edgewise.benchmarks.results import Row
from edgewise.benchmarks.text import percent, short_names

COLUMNS = {"wide": 3, "narrow": 2}
PANEL = {"wide": 2.7, "narrow": 2.35}
"""Panels beside each other, and the height of one in inches, by the shape of the screen."""

FEW_PHOTOS = 5
"""A bin with fewer photos is drawn pale: how often it is right is chance."""


def reliability(rows: Sequence[Row], shape: str) -> str:
    """Draw a panel for each row: how often answers are right, over how sure they are.

    Args:
        rows: those with an accuracy are drawn; at least one.
        shape: "wide" or "narrow".

    Returns:
        As `drawing.draw`.
    """
    shown = [(row, row.accuracy) for row in rows if row.accuracy]
    columns = min(COLUMNS[shape], len(shown))
    lines = -(-len(shown) // columns)

    def paint(figure: Any) -> None:
        panels = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).flat
        names = short_names([row for row, _ in shown])
        for axes, name, (row, accuracy) in zip(panels, names, shown, strict=False):
            _panel(axes, accuracy, COLORS.get(row.entry.backend, QUIET))
            axes.set_title(f"{_broken(name)}\nECE {percent(accuracy.ece)}", fontsize=8.5)
        for axes in panels[len(shown) :]:
            axes.set_visible(False)
        figure.supxlabel("how sure the answer is, %", fontsize=9.5, color=QUIET)
        figure.supylabel("how often it is right, %", fontsize=9.5, color=QUIET)

    return draw(shape, 0.5 + PANEL[shape] * lines, paint, "reliability")


def _panel(axes: Any, accuracy: Accuracy, color: str) -> None:
    """A mark for each bin, as large as its photos are many, and a line to where it should be."""
    axes.plot([0, 100], [0, 100], color=QUIET, linestyle="--", linewidth=1)
    bins = accuracy.reliability
    most = max((part.photos for part in bins), default=1)
    sure, right = [100 * part.confidence for part in bins], [100 * part.right for part in bins]
    fade = [0.9 if part.photos >= FEW_PHOTOS else 0.3 for part in bins]
    axes.vlines(sure, sure, right, color=color, linewidth=1.5, alpha=fade)
    sizes = [14 + 60 * part.photos / most for part in bins]
    axes.scatter(sure, right, s=sizes, color=color, alpha=fade, linewidth=0, zorder=3)
    axes.set(xlim=(0, 103), ylim=(0, 103), xticks=(0, 50, 100), yticks=(0, 50, 100))
    axes.set_aspect("equal")
    style(axes)


def _broken(name: str) -> str:
    """A name on two lines, broken at its first point between parts."""
    first, _, rest = name.partition(" · ")
    return f"{first}\n{rest}" if rest else f"{first}\n "
