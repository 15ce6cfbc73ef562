"""Pictures of a training: learning curves, confusion matrix, F1 of the classes, reliability.

Every picture is drawn as a PNG file on white, and for the report as SVG that takes its colours from the page, for a
wide and for a narrow screen.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from edgewise.spec.files import replacing
from edgewise.spec.svg import for_page
from edgewise.train.checkpoint import Epoch
from edgewise.train.evaluation import ClassMetrics, Metrics
from edgewise.train.temperature import Bin

MAX_WRITTEN_CLASSES = 30
"""Up to so many classes, the matrix has its counts written into the cells."""

MAX_BARS, BARS_OF_A_COLUMN = 120, 40
"""Of the F1 plot: more classes than bars show the weakest ones."""

FEW_PHOTOS = 5
"""A bin with fewer photos is drawn pale: its accuracy is chance."""

RIGHT, WRONG = "#0072B2", "#D55E00"
"""Blue and vermilion of Okabe and Ito's palette, which colour-blind people can tell apart."""


@dataclass(frozen=True)
class Look:
    """Colours and shape of a picture."""

    ink: str = "#1c1e21"
    quiet: str = "#5c6166"
    line: str = "#dcdcd6"
    first: str = RIGHT
    second: str = WRONG
    narrow: bool = False  # for a phone: panels below each other

    @property
    def width(self) -> float:
        """In inches; text is in points, so that it stays readable in both."""
        return 4.1 if self.narrow else 8.4


PAPER = Look()
PAGES = {
    name: Look("#010101", "#020202", "#030303", "#040404", "#050505", narrow=name == "narrow")
    for name in ("wide", "narrow")
}
INKS = {
    "#010101": "var(--ink)",
    "#020202": "var(--quiet)",
    "#030303": "var(--line)",
    "#040404": "var(--first)",
    "#050505": "var(--second)",
}
"""Colours that stand for the page's own, so that one drawing fits light and dark."""


def save_learning_curves(history: Sequence[Epoch], best_epoch: int, path: Path) -> None:
    """Draw loss and accuracy over the epochs as PNG. Raises OutputError."""
    save(learning_curves(history, best_epoch, PAPER), path)


def save_confusion_matrix(metrics: Metrics, labels: Sequence[str], path: Path, title: str) -> None:
    """Draw the confusion matrix as PNG, shaded by shares of the true class. Raises OutputError."""
    figure = confusion_matrix(metrics, labels, PAPER)
    figure.axes[0].set_title(f"{title}: {metrics.top1:.1%} of {metrics.photos} right")
    save(figure, path)


def learning_curves(history: Sequence[Epoch], best_epoch: int, look: Look) -> Figure:
    """Draw loss and accuracy over the epochs."""
    figure = _figure(look, 5.6 if look.narrow else 3.3)
    epochs = [epoch.epoch for epoch in history]
    panels = (("loss", "loss", "val_loss"), ("accuracy", "accuracy", "val_accuracy"))
    shape = (2, 1) if look.narrow else (1, 2)
    for axes, (title, training, validation) in zip(figure.subplots(*shape).flat, panels, strict=True):
        for name, key, color in (("training", training, look.first), ("validation", validation, look.second)):
            values = [getattr(epoch, key) for epoch in history]
            axes.plot(epochs, values, color=color, marker="o" if len(epochs) < 40 else None, ms=4, label=name)
        if best_epoch:
            axes.axvline(best_epoch, color=look.quiet, linestyle=":", label=f"kept: epoch {best_epoch}")
        axes.set(xlabel="epoch", title=title)
        axes.xaxis.get_major_locator().set_params(integer=True)
        _style(axes, look)
        axes.legend(frameon=False, labelcolor=look.ink)
    figure.axes[1].yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1))
    return figure


def confusion_matrix(metrics: Metrics, labels: Sequence[str], look: Look) -> Figure:
    """Draw the confusion matrix: right answers blue, wrong ones vermilion, darker for a larger share of the class."""
    counts = np.array(metrics.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    many = len(labels) > MAX_WRITTEN_CLASSES
    side = min(max(4.1, 1.6 + (0.105 if many else 0.42) * len(labels)), 24)
    figure = _figure(look, side, width=side)
    axes = figure.subplots()
    # The root of the share, so that a rare mistake is seen too.
    colors = np.where(np.eye(len(labels), dtype=bool)[..., None], to_rgb(RIGHT), to_rgb(WRONG))
    axes.imshow(np.dstack([colors, np.sqrt(shares)]), interpolation="none")
    font = max(min(10.0, 72 * (side - 1.6) / len(labels) * 0.85), 1.0)
    crowded = len(labels) > 5 or max(map(len, labels)) > 8
    shown = [plain(label) for label in labels]
    axes.set_xticks(range(len(labels)), shown, rotation=90 if crowded else 0, fontsize=font)
    axes.set_yticks(range(len(labels)), shown, fontsize=font)
    axes.set(xlabel="answer", ylabel="truth")
    _style(axes, look, grid=False)
    if many:
        axes.set_xticks(np.arange(-0.5, len(labels), 5), minor=True)
        axes.set_yticks(np.arange(-0.5, len(labels), 5), minor=True)
        axes.tick_params(which="minor", length=0)
        axes.grid(which="minor", color=look.line, linewidth=0.4)
        return figure
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = "white" if shares[row, column] > 0.45 else look.ink
            axes.text(column, row, str(count), ha="center", va="center", color=color, fontsize=font)
    return figure


def class_f1(metrics: Metrics, look: Look) -> Figure:
    """Draw F1 per class with photos as bars, the weakest first; of very many classes the weakest `MAX_BARS`."""
    rows = sorted((row for row in metrics.classes if row.photos), key=lambda row: (row.f1, row.label))[:MAX_BARS]
    columns = 1 if look.narrow else -(-len(rows) // BARS_OF_A_COLUMN)
    each = -(-len(rows) // columns)
    figure = _figure(look, 0.9 + 0.22 * each, width=look.width if columns < 3 else 11)
    panels = figure.subplots(1, columns, squeeze=False)[0]
    for number, axes in enumerate(panels):
        _bars(axes, rows[number * each : (number + 1) * each], each, look)
    return figure


def reliability_diagram(parts: Sequence[tuple[str, Sequence[Bin]]], look: Look) -> Figure:
    """Draw accuracy over confidence, one panel per (title, bins); on the diagonal both are equal."""
    count = len(parts)
    figure = _figure(look, 3.9 * (count if look.narrow else 1), width=4.1 if look.narrow else 4.2 * count)
    shape = (count, 1) if look.narrow else (1, count)
    for axes, (title, bins) in zip(figure.subplots(*shape, squeeze=False).flat, parts, strict=True):
        for part in bins:
            if part.photos:
                middle, width = (part.low + part.high) / 2, part.high - part.low
                alpha = 0.9 if part.photos >= FEW_PHOTOS else 0.3
                axes.bar(middle, part.accuracy, width * 0.88, color=look.first, alpha=alpha)
                axes.plot([part.confidence], [part.accuracy], "o", color=look.second, ms=4)
        axes.plot([0, 1], [0, 1], color=look.quiet, linestyle="--", linewidth=1)
        axes.set(
            xlim=(0, 1), ylim=(0, 1.02), title=title, xlabel="how sure the network is", ylabel="how often it is right"
        )
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(mpl.ticker.PercentFormatter(1, decimals=0))
        _style(axes, look)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG. Raises OutputError."""
    with replacing(path) as temporary, _no_glyph_warnings():
        figure.savefig(temporary, format="png", dpi=120, bbox_inches="tight", facecolor="white")


def page_svg(figure: Figure, salt: str) -> str:
    """Turn a figure with one of `PAGES`' looks into an ``<svg>`` element, with names escaped.

    Args:
        figure: what was drawn.
        salt: different for every drawing of a page, so that their inner names differ.
    """
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": f"edgewise-{salt}"}), _no_glyph_warnings():
        written = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Type", "Format"))
        figure.savefig(written, format="svg", transparent=True, metadata=nothing)
    return for_page(written.getvalue(), INKS)


def plain(label: str, longest: int = 24) -> str:
    """A label that matplotlib does not take for mathematics, and that leaves room for the picture."""
    label = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in label)
    return (label if len(label) <= longest else label[: longest - 1] + "…").replace("$", r"\$")


def _bars(axes: Any, rows: Sequence[ClassMetrics], most: int, look: Look) -> None:
    axes.barh(range(len(rows)), [row.f1 for row in rows], 0.72, color=look.first)
    axes.set_yticks(range(len(rows)), [plain(row.label, 20) for row in rows], fontsize=8.5)
    for place, row in enumerate(rows):
        inside = row.f1 > 0.25
        color, shift = ("white", -0.012) if inside else (look.ink, 0.012)
        axes.text(
            row.f1 + shift, place, f"{row.f1:.2f}", ha="right" if inside else "left", va="center_baseline",
            color=color, fontsize=7.5,
        )  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(most - 0.4, -0.6), xlabel="F1")
    _style(axes, look)
    axes.grid(visible=False, axis="y")


def _figure(look: Look, height: float, *, width: float | None = None) -> Figure:
    return Figure(figsize=(width or look.width, height), layout="constrained")


def _style(axes: Any, look: Look, *, grid: bool = True) -> None:
    if grid:
        axes.grid(color=look.line, linewidth=0.8)
        axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(not grid or name in ("left", "bottom"))
        spine.set_color(look.line)
    axes.tick_params(colors=look.quiet, length=0, pad=5)
    for text in (axes.xaxis.label, axes.yaxis.label):
        text.set_color(look.quiet)
    axes.title.set_color(look.ink)


@contextmanager
def _no_glyph_warnings() -> Any:
    """A name in a script that matplotlib's font lacks is shown as boxes; the warning helps nobody."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        yield
