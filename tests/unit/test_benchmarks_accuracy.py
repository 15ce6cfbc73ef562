from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgewise.benchmarks.accuracy import auroc, macro_f1, make_accuracy, reliability
from edgewise.benchmarks.answers import Answers, Listing, Sheet, collect
from edgewise.benchmarks.packing import unpack
from edgewise.benchmarks.task import Answered
from edgewise.spec import PhotoError

LABELS = ("a", "b", "c", "d", "e", "f")


def answers(answer: list[int], probability: list[float], truth: list[float], rank: list[int]) -> Answers:
    return Answers(
        np.array(answer, np.int32), np.array(probability, np.float32), np.array(truth, np.float32),
        np.array(rank, np.int32),
    )  # fmt: skip


# Four photos of classes, the last of which cannot be read, and two photos of none.
LISTING = Listing(LABELS, ("1.jpg", "2.jpg", "3.jpg", "4.jpg", "x.jpg", "y.jpg"), (0, 1, 2, 2, -1, -1))
FILE = answers([0, 0, 5, -1, 1, 2], [0.9, 0.6, 0.7, 0, 0.5, 0.95], [0.9, 0.25, 0.01, 0, 0, 0], [0, 1, 5, 0, 0, 0])
NETWORK = answers([0, 1, 2, -1, 1, 2], [0.99, 0.8, 0.9, 0, 0.5, 0.5], [0.99, 0.8, 0.9, 0, 0, 0], [0, 0, 0, 0, 0, 0])


def test_what_is_said_about_a_file() -> None:
    told = make_accuracy(LISTING, FILE, NETWORK, threshold=0.65)
    assert told is not None
    assert told.photos == 3
    assert (told.top1.successes, told.top1.total) == (1, 3)
    assert told.top5 is not None
    assert told.top5.successes == 2
    assert told.nll == pytest.approx(-(math.log(0.9) + math.log(0.25) + math.log(0.01)) / 3, abs=1e-6)
    assert told.unknown_share == pytest.approx(1 / 3)
    assert told.agreement is not None
    assert told.agreement.successes == 1
    assert told.difference is not None
    assert (told.difference.gained, told.difference.lost) == (0, 2)
    assert told.difference.points.value == pytest.approx(-66.67, abs=0.01)
    assert told.confusion[1] == (1, 0, 0, 0, 0, 0)
    assert told.confusion[2] == (0, 0, 0, 0, 0, 1)
    assert told.ece == pytest.approx((0.1 + 0.6 + 0.7) / 3, abs=1e-6)
    assert [(each.photo, each.label, each.reference, each.answer) for each in told.worst] == [
        ("3.jpg", "c", "c", "f"),
        ("2.jpg", "b", "b", "a"),
    ]
    assert list(unpack(told.answers)) == [0, 0, 5, -1]


def test_photos_of_none_of_the_classes_are_told_apart_by_probability() -> None:
    told = make_accuracy(LISTING, FILE, None, threshold=0.65)
    assert told is not None
    assert told.ood is not None
    assert told.ood.photos == 2
    # 0.9, 0.6 and 0.7 against 0.5 and 0.95: three of six pairs are the right way round.
    assert told.ood.auroc == 0.5
    assert told.ood.false_accepts is not None
    assert (told.ood.false_accepts.successes, told.ood.false_accepts.total) == (1, 2)
    unsure = make_accuracy(LISTING, FILE, None, threshold=None)
    assert unsure is not None
    assert unsure.ood is not None
    assert (unsure.ood.false_accepts, unsure.unknown_share, unsure.agreement) == (None, None, None)


def test_without_a_readable_photo_nothing_is_said() -> None:
    assert make_accuracy(LISTING, replace(FILE, answer=np.full(6, -1, np.int32)), None, None) is None


def test_few_classes_have_no_top_5() -> None:
    told = make_accuracy(Listing(("a", "b"), ("1.jpg",), (0,)), answers([0], [1], [1], [0]), None, None)
    assert told is not None
    assert told.top5 is None
    assert told.ece == 0


def test_macro_f1_is_that_of_scikit_learn() -> None:
    # sklearn.metrics.f1_score([0,0,1,1,1,2], [0,1,1,1,2,2], average="macro") = 0.66666...
    assert macro_f1(np.array([[1, 1, 0], [0, 2, 1], [0, 0, 1]])) == pytest.approx(2 / 3)
    # A class without photos does not count, one that is never answered counts as 0.
    assert macro_f1(np.array([[2, 0, 0], [1, 0, 0], [0, 0, 0]])) == pytest.approx(0.4)


def test_bins_are_of_equal_width_and_empty_ones_are_left_out() -> None:
    bins = reliability(np.array([0.05, 0.06, 1.0], np.float32), np.array([True, False, True]))
    assert [(each.photos, each.right) for each in bins] == [(2, 0.5), (1, 1.0)]
    assert bins[0].confidence == pytest.approx(0.055)


def test_auroc_counts_ties_as_half() -> None:
    assert auroc(np.array([0.9, 0.8], np.float32), np.array([0.1], np.float32)) == 1
    assert auroc(np.array([0.5], np.float32), np.array([0.5, 0.5], np.float32)) == 0.5


def test_answers_are_told_by_name_so_that_another_order_of_labels_is_no_matter(tmp_path: Path) -> None:
    listing = Listing(("a", "b", "c"), ("1", "2", "bad", "3"), (0, 1, 1, 2))
    rows = np.array([[0.1, 0.2, 0.7], [0.2, 0.5, 0.3], [0.6, 0.3, 0.1]], np.float32)
    pictures = [np.full((1, 1, 3), n, np.uint8) for n in range(3)]
    given = [pictures[0], pictures[1], PhotoError("bad is empty"), pictures[2]]
    sheet = Sheet(listing, ("c", "b", "a"))
    collect(sheet, given, lambda batches: (rows[batch[:, 0, 0, 0]] for batch in batches), batch=2)
    found = sheet.answers
    assert list(found.answer) == [0, 1, -1, 2]
    assert sheet.told(0.5) == Answered(
        photos=4, unreadable=1, unreadable_shown=("bad is empty",), threshold=0.5, labels=("c", "b", "a")
    )
    assert found.truth[[0, 1, 3]] == pytest.approx([0.7, 0.5, 0.6])
    found.write(tmp_path / "answers.npz")
    again = Answers.read(tmp_path / "answers.npz")
    assert np.array_equal(again.probability, found.probability)
