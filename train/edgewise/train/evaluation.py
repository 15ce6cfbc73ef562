"""How good the answers are: top-1, top-5, precision, recall, F1 and confusions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support


@dataclass(frozen=True)
class ClassMetrics:
    """One class among the answers."""

    label: str
    precision: float  # share of the photos called so that are so, 0-1; 0 where none is called so
    recall: float  # share of the photos that are so which are called so, 0-1
    f1: float  # harmonic mean of both, 0-1
    photos: int  # of this class


@dataclass(frozen=True)
class Metrics:
    """Answers compared with the truth."""

    photos: int
    top1: float  # share of right answers, 0-1
    top5: float  # share of photos whose class is among the five best, 0-1
    macro_f1: float  # mean F1 of the classes that occur as truth or as answer, 0-1
    classes: tuple[ClassMetrics, ...]  # in label order
    confusion: tuple[tuple[int, ...], ...]  # [truth][answer] photo counts, in label order

    def to_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def evaluate(probabilities: NDArray[np.float32], truth: NDArray[np.int64], labels: Sequence[str]) -> Metrics:
    """Compare answers with the truth.

    Args:
        probabilities: ``(n, classes)``, n >= 1.
        truth: ``(n,)`` class indices.
        labels: class names in index order.
    """
    answers = probabilities.argmax(axis=1)
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :5]
    indices = np.arange(len(labels))
    precision, recall, f1, counts = precision_recall_fscore_support(truth, answers, labels=indices, zero_division=0)
    rows = zip(labels, precision, recall, f1, counts, strict=True)
    return Metrics(
        photos=len(truth),
        top1=float((answers == truth).mean()),
        top5=float((best == truth[:, None]).any(axis=1).mean()),
        macro_f1=float(np.mean(f1[np.union1d(truth, answers)])),
        classes=tuple(ClassMetrics(label, float(p), float(r), float(f), int(n)) for label, p, r, f, n in rows),
        confusion=tuple(tuple(map(int, row)) for row in confusion_matrix(truth, answers, labels=indices)),
    )


@dataclass(frozen=True)
class Confusion:
    """Photos of one class that were taken for another."""

    truth: str
    answer: str
    photos: int  # count, > 0
    share: float  # of all photos of the true class, 0-1


def most_confused(metrics: Metrics, count: int) -> tuple[Confusion, ...]:
    """The pairs of classes that are mistaken most often, at most ``count``: by photos, then by share of the class."""
    labels = [row.label for row in metrics.classes]
    counts = np.array(metrics.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    wrong = np.where(np.eye(len(labels), dtype=bool), 0, counts)
    order = np.lexsort((-shares.ravel(), -wrong.ravel()))[:count]
    pairs = ((int(place) // len(labels), int(place) % len(labels)) for place in order)
    return tuple(
        Confusion(labels[truth], labels[answer], int(wrong[truth, answer]), float(shares[truth, answer]))
        for truth, answer in pairs
        if wrong[truth, answer]
    )
