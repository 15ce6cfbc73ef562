"""Pictures of a training: learning curves and confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from edgewise.spec.files import replacing
from edgewise.train.checkpoint import Epoch
from edgewise.train.evaluation import Metrics

TRAINING, VALIDATION = "#0072B2", "#D55E00"
"""Blue and vermilion of Okabe and Ito's palette, which colour-blind people can tell apart."""

MAX_WRITTEN_CLASSES = 30
"""Up to so many classes, the matrix has its counts written into the cells."""


def save_learning_curves(history: Sequence[Epoch], best_epoch: int, path: Path) -> None:
    """Draw loss and accuracy over the epochs as PNG. Raises OutputError."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    epochs = [epoch.epoch for epoch in history]
    panels = (("loss", "loss", "val_loss"), ("accuracy", "accuracy", "val_accuracy"))
    for axes, (title, training, validation) in zip(figure.subplots(1, 2), panels, strict=True):
        for name, key, color in (("training", training, TRAINING), ("validation", validation, VALIDATION)):
            axes.plot(epochs, [getattr(epoch, key) for epoch in history], color=color, marker="o", ms=4, label=name)
        if best_epoch:
            axes.axvline(best_epoch, color="0.6", linestyle=":", label=f"kept: epoch {best_epoch}")
        axes.set(xlabel="epoch", title=title)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    figure.axes[1].yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1, decimals=0))
    _save(figure, path)


def save_confusion_matrix(metrics: Metrics, labels: Sequence[str], path: Path, title: str) -> None:
    """Draw the confusion matrix as PNG, rows normalized to shares of the true class. Raises OutputError."""
    counts = np.array(metrics.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(max(4.5, 2 + 0.5 * len(labels)), 24)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    font = min(10, 400 / max(len(labels), 1))
    crowded = len(labels) > 5 or max(map(len, labels)) > 8
    axes.set_xticks(range(len(labels)), map(_plain, labels), rotation=90 if crowded else 0, fontsize=font)
    axes.set_yticks(range(len(labels)), map(_plain, labels), fontsize=font)
    axes.set(xlabel="answer", ylabel="truth", title=f"{title}: {metrics.top1:.1%} of {metrics.photos} right")
    if len(labels) <= MAX_WRITTEN_CLASSES:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                color = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=color, fontsize=font)
    figure.colorbar(
        image, ax=axes, fraction=0.046, format=mpl.ticker.PercentFormatter(1, decimals=0), label="of the class"
    )
    _save(figure, path)


def _plain(label: str) -> str:
    """A label that matplotlib does not take for mathematics, and that leaves room for the matrix."""
    return (label if len(label) <= 24 else label[:23] + "…").replace("$", r"\$")


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120, bbox_inches="tight")
