"""Many photos through one classifier: order, errors, arrays, videos, and no more held than promised."""

from __future__ import annotations

import dataclasses
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgewise.runtime import Classifier, open_bulk
from edgewise.runtime.items import Given, Item
from edgewise.runtime.stream import Engine, Wish, indices, results
from edgewise.spec import InputError

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.open(DATA / "tiny.onnx", threads=1)


def test_everything_that_predict_takes_and_more_is_answered_in_order(classifier: Classifier, tmp_path: Path) -> None:
    shutil.copy(DATA / "blue.png", tmp_path / "b.png")
    (tmp_path / "a.png").write_bytes(b"no picture")
    red = np.full((50, 40, 3), (255, 0, 0), np.uint8)
    rows = list(classifier.stream([tmp_path, (DATA / "green.png").read_bytes(), red, str(DATA / "red.png")], 2))
    assert [row.name for row in rows] == [
        str(tmp_path / "a.png"), str(tmp_path / "b.png"), "#1", "#2", str(DATA / "red.png"),
    ]  # fmt: skip
    assert [row.prediction and row.prediction.label for row in rows] == [None, "blue", "green", "red", "red"]
    assert str(rows[0].error).startswith(f"{tmp_path}/a.png is not a picture that can be read")
    assert rows[4].prediction == classifier.predict(DATA / "red.png", 2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        rows[0].name = "other"  # type: ignore[misc]


def test_several_copies_give_the_same_rows_in_the_same_order(classifier: Classifier, tmp_path: Path) -> None:
    names = ("red", "green", "blue", "red", "blue")
    for number, name in enumerate(names):
        shutil.copy(DATA / f"{name}.png", tmp_path / f"{number}.png")
    (tmp_path / "2b.png").write_bytes(b"no picture")
    with open_bulk(DATA / "tiny.onnx", threads=2) as bulk:
        assert bulk.streams == 2
        rows = list(bulk.stream(tmp_path, 2, classes=["red", "blue"]))
    alone = list(classifier.stream(tmp_path, 2, classes=["red", "blue"]))
    assert [(row.name, row.prediction, str(row.error)) for row in rows] == [
        (row.name, row.prediction, str(row.error)) for row in alone
    ]
    assert [row.error is None for row in rows] == [True, True, True, False, True, True]


def test_one_source_needs_no_list(classifier: Classifier) -> None:
    for source in (DATA / "red.png", str(DATA / "red.png"), (DATA / "red.png").read_bytes()):
        (row,) = classifier.stream(source)
        assert row.prediction
        assert row.prediction.label == "red"


def test_an_array_of_another_kind_is_a_row_with_an_error(classifier: Classifier) -> None:
    (row,) = classifier.stream([np.zeros((4, 4), np.float32)])  # type: ignore[list-item]
    assert "an array of shape (4, 4) and dtype float32" in str(row.error)


def test_a_source_that_is_not_there_is_raised_after_the_rows_before_it(classifier: Classifier) -> None:
    rows = classifier.stream([DATA / "red.png", "no-such-photo.jpg"])
    assert next(rows).error is None
    with pytest.raises(InputError, match=r"there is no 'no-such-photo\.jpg'"):
        next(rows)


def test_only_named_classes_are_answers_and_keep_their_probabilities(classifier: Classifier) -> None:
    every = classifier.predict(DATA / "red.png")
    (row,) = classifier.stream(DATA / "red.png", classes=["blue", "green"])
    assert row.prediction
    assert {score.label: score.probability for score in row.prediction.top} == {
        score.label: score.probability for score in every.top if score.label != "red"
    }
    assert row.prediction.label == row.prediction.top[0].label == "green"
    with pytest.raises(InputError) as caught:
        classifier.stream(DATA / "red.png", classes=["blue", "pink"])
    assert str(caught.value) == (
        "--classes: the model does not know 'pink'\nExpected: some of " + ", ".join(classifier.labels)
    )
    with pytest.raises(InputError, match="the model does not know no class"):
        indices(classifier, [])


def test_an_endless_source_is_read_a_bounded_number_ahead(classifier: Classifier) -> None:
    taken = []

    def pictures() -> Iterator[np.ndarray]:
        while True:
            taken.append(len(taken))
            yield np.zeros((8, 8, 3), np.uint8)

    rows = classifier.stream(pictures())
    for number in range(50):
        assert next(rows).name == f"#{number}"
    rows.close()  # type: ignore[attr-defined]
    assert len(taken) < 50 + 40


@pytest.mark.parametrize("batch", [1, 4])
def test_batches_hold_the_same_neighbours_and_errors_take_no_place(classifier: Classifier, batch: int) -> None:
    sizes, lock = [], threading.Lock()

    def run(pictures: np.ndarray) -> np.ndarray:
        with lock:
            sizes.append(len(pictures))
        return np.stack([classifier.probabilities(picture[np.newaxis])[0] for picture in pictures])

    red = (DATA / "red.png").read_bytes()
    items: list[Item] = [Given(str(number), b"bad" if number == 2 else red) for number in range(10)]
    found = list(results(classifier, items, Wish(keep=True), Engine(run, 1, batch)))
    assert [result.row.name for result in found] == [str(number) for number in range(10)]
    assert [result.row.error is None for result in found] == [number != 2 for number in range(10)]
    assert sizes == ([1] * 9 if batch == 1 else [3, 4, 2])
    assert [result.original for result in found] == [None if number == 2 else red for number in range(10)]
    assert all(result.original is None for result in results(classifier, items, Wish()))
