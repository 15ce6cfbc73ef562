"""Grad-CAM: where a network that looks at one place only says it looks, and which layer can show places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgewise.train.architecture import Architecture
from edgewise.train.dataset import Example
from edgewise.train.explain import deepest_layer, explain, explain_answers, overlay, save_sheet
from edgewise.train.framework import keras
from edgewise.train.network import build
from edgewise.train.pixels import Pixels
from edgewise.train.predictions import Answers

LABELS = ("red", "blue")


@pytest.fixture(scope="module")
def eye() -> Any:
    """A network whose class 0 is red and whose class 1 is blue, wherever in the picture."""
    layers = keras.layers
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(2, 4, strides=4, activation="relu", name="seen")(inputs)
    left, right = layers.Activation("linear", name="left")(x), layers.Activation("linear", name="right")(x)
    x = layers.Add(name="joined")([left, right])
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(2, activation="softmax", name="predictions")(x))
    kernel = np.zeros((4, 4, 3, 2), np.float32)
    kernel[..., 0, 0] = kernel[..., 2, 1] = 1 / 16
    model.get_layer("seen").set_weights([kernel, np.zeros(2, np.float32)])
    model.get_layer("predictions").set_weights([np.eye(2, dtype=np.float32) * 4, np.zeros(2, np.float32)])
    return model


def picture(red: tuple[int, int], blue: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Black, with a red and a blue square at (row, column)."""
    canvas = np.zeros((32, 32, 3), np.uint8)
    for channel, (row, column) in ((0, red), (2, blue)):
        canvas[row : row + 8, column : column + 8, channel] = 255
    return canvas


@pytest.mark.parametrize("answer", [0, 1])
def test_the_heat_lies_where_the_class_is(eye: Any, answer: int) -> None:
    places = ((4, 4), (20, 16))
    found = explain(eye, np.stack([picture(*places)] * 5), np.full(5, answer))
    assert (found.layer, found.places) == ("joined", (8, 8))
    assert found.heat.shape == (5, 32, 32)
    row, column = np.unravel_index(found.heat[4].argmax(), (32, 32))
    top, left = places[answer]
    assert top <= row < top + 8
    assert left <= column < left + 8
    assert found.heat.max() == 1
    other = places[1 - answer]
    assert found.heat[0][other[0] + 2 : other[0] + 6, other[1] + 2 : other[1] + 6].max() < 0.1


def test_nothing_that_speaks_for_an_answer_gives_no_heat(eye: Any) -> None:
    found = explain(eye, np.zeros((1, 32, 32, 3), np.uint8), np.array([0]))
    assert np.array_equal(found.heat, np.zeros((1, 32, 32), np.float32))


@pytest.mark.parametrize(("size", "name", "places"), [(75, "block17_20_ac", 3), (150, "conv_7b_ac", 3)])
def test_the_deepest_layer_that_everything_flows_through(size: int, name: str, places: int) -> None:
    smallest = Architecture(2, size, {"block35": (10,), "block17": (20,), "block8": (10,)})
    layer = deepest_layer(build(smallest))
    assert layer.name == name
    assert layer.output_shape[1:3] == (places, places)


def test_an_overlay_is_grey_where_nothing_spoke() -> None:
    photo = np.full((8, 8, 3), (200, 100, 50), np.uint8)
    heat = np.zeros((8, 8), np.float32)
    heat[4:] = 1
    shown = overlay(photo, heat)
    assert (np.ptp(shown[:4], axis=2) == 0).all()
    assert (np.ptp(shown[4:].astype(int), axis=2) > 50).all()


def test_right_and_wrong_answers_on_one_sheet(eye: Any, tmp_path: Path) -> None:
    images = np.stack([picture((0, 0), (20, 20))] * 6)
    truth = np.array([0, 0, 1, 1, 0, 0])
    examples = tuple(Example(Path(f"{n}.jpg"), LABELS[t], int(t), "0" * 64) for n, t in enumerate(truth))
    sure = np.array([0.9, 0.8, 0.7, 0.95, 0.6, 0.5], np.float32)
    answers = Answers("test", Pixels(images, truth, examples, ()), np.stack([sure, 1 - sure], axis=1), LABELS)
    explained = explain_answers(eye, answers, 2)
    assert [(each.truth, each.answer, each.right) for each in explained.answers] == [
        ("blue", "red", False),
        ("blue", "red", False),
        ("red", "red", True),
        ("red", "red", True),
    ]
    assert [each.probability for each in explained.answers] == pytest.approx([0.95, 0.7, 0.9, 0.8])
    assert explained.remark == "Grad-CAM at layer joined, which has 8 × 8 places"
    save_sheet(explained, tmp_path / "explain.png")
    sheet = cv2.imread(str(tmp_path / "explain.png"))
    assert sheet is not None
    assert (sheet < 60).all(axis=2).mean() > 0.1
