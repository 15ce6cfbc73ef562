"""Which photos set the ranges of an int8 file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewise.export.calibration import typical
from edgewise.export.onnx_graph import onnx_graph
from edgewise.train.framework import keras

SIZE = 12
layers = keras.layers


def float_model(threshold: float) -> bytes:
    """A network in which only what is brighter than ``threshold`` has activations."""
    inputs = keras.Input((SIZE, SIZE, 3))
    convolution = layers.Conv2D(2, 1, activation="relu", bias_initializer=keras.initializers.Constant(-threshold))
    x = layers.GlobalAveragePooling2D()(convolution(inputs))
    network = keras.Model(inputs, layers.Dense(2, activation="softmax")(x))
    convolution.set_weights([np.full((1, 1, 3, 2), 1 / 3, np.float32), np.full(2, -threshold, np.float32)])
    return bytes(onnx_graph(network).SerializeToString())


def gray(*levels: int) -> NDArray[np.uint8]:
    """One flat photo per level, each with one pixel that is a little brighter."""
    photos = np.repeat(np.array(levels, np.uint8), SIZE * SIZE * 3).reshape(-1, SIZE, SIZE, 3)
    photos[:, 3, 4] += 1
    return photos


def test_the_photos_with_the_largest_activations_are_left_out() -> None:
    levels = [50 + number for number in range(18)]
    levels[3], levels[11] = 240, 250
    kept = typical(float_model(40), gray(*levels, 51, 52))
    assert kept.tolist() == [number for number in range(20) if number not in (3, 11)]


def test_a_tensor_that_most_photos_leave_at_zero_does_not_judge() -> None:
    kept = typical(float_model(200), gray(*[10] * 15, 201, 210, 220, 230, 250))
    assert kept.tolist() == list(range(18))


@pytest.mark.parametrize(("photos", "kept"), [(1, 1), (2, 2), (5, 4), (9, 8), (10, 9), (35, 32)])
def test_about_nine_tenths_are_kept_and_at_least_one(photos: int, kept: int) -> None:
    assert len(typical(float_model(0), gray(*range(10, 10 + photos)), threads=1)) == kept


def test_a_network_without_activations_to_look_at_keeps_the_first() -> None:
    inputs = keras.Input((SIZE, SIZE, 3))
    x: Any = layers.Dense(2, activation="softmax")(layers.GlobalAveragePooling2D()(inputs))
    content = onnx_graph(keras.Model(inputs, x)).SerializeToString()
    assert typical(content, gray(*range(20))).tolist() == list(range(18))
