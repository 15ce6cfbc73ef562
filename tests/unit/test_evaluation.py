"""Metrics against figures worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgewise.train.evaluation import evaluate, most_confused

LABELS = ("a", "b", "c")
# answers:     a    a    b    a    b    c
PROBABILITIES = np.array(
    [[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1], [0.3, 0.4, 0.3], [0.1, 0.1, 0.8]], np.float32
)
TRUTH = np.array([0, 0, 0, 1, 1, 2])


def test_figures_by_hand() -> None:
    metrics = evaluate(PROBABILITIES, TRUTH, LABELS)
    assert metrics.photos == 6
    assert metrics.top1 == pytest.approx(4 / 6)
    assert metrics.top5 == 1
    assert metrics.confusion == ((2, 1, 0), (1, 1, 0), (0, 0, 1))
    a, b, c = metrics.classes
    assert (a.label, a.photos, a.precision, a.recall, a.f1) == ("a", 3, *map(pytest.approx, (2 / 3, 2 / 3, 2 / 3)))
    assert (b.label, b.photos, b.precision, b.recall, b.f1) == ("b", 2, *map(pytest.approx, (1 / 2, 1 / 2, 1 / 2)))
    assert (c.label, c.photos, c.precision, c.recall, c.f1) == ("c", 1, 1, 1, 1)
    assert metrics.macro_f1 == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)


def test_top5_counts_the_five_best() -> None:
    labels = tuple("abcdefg")
    row = np.array([0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05], np.float32)
    metrics = evaluate(np.stack([row] * 7), np.arange(7), labels)
    assert metrics.top1 == pytest.approx(1 / 7)
    assert metrics.top5 == pytest.approx(5 / 7)


def test_a_class_that_is_never_answered_or_never_there_counts_zero() -> None:
    metrics = evaluate(PROBABILITIES[:2], TRUTH[:2], LABELS)
    assert [row.f1 for row in metrics.classes] == [1, 0, 0]
    assert [row.photos for row in metrics.classes] == [2, 0, 0]
    assert metrics.confusion == ((2, 0, 0), (0, 0, 0), (0, 0, 0))


def test_figures_are_plain_json() -> None:
    metrics = evaluate(PROBABILITIES, TRUTH, LABELS)
    data = json.loads(json.dumps(metrics.to_data()))
    assert data["confusion"] == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert set(data) == {"photos", "top1", "top5", "macro_f1", "classes", "confusion"}
    assert set(data["classes"][0]) == {"label", "precision", "recall", "f1", "photos"}


def test_classes_that_do_not_occur_do_not_lower_macro_f1() -> None:
    probabilities = np.eye(4, dtype=np.float32)[[0, 1, 1]]
    assert evaluate(probabilities, np.array([0, 1, 1]), ("a", "b", "c", "d")).macro_f1 == 1


def test_the_pairs_mistaken_most_often_come_first() -> None:
    truth = np.array([0] * 10 + [1] * 4 + [2] * 2)
    answers = np.array([1, 1, 2] + [0] * 7 + [2, 2, 1, 1] + [0, 2])
    found = most_confused(evaluate(np.eye(3, dtype=np.float32)[answers], truth, LABELS), 3)
    assert [(pair.truth, pair.answer, pair.photos, pair.share) for pair in found] == [
        ("b", "c", 2, 0.5),
        ("a", "b", 2, 0.2),
        ("c", "a", 1, 0.5),
    ]


def test_where_all_is_right_nothing_is_confused() -> None:
    assert most_confused(evaluate(np.eye(3, dtype=np.float32), np.arange(3), LABELS), 5) == ()
