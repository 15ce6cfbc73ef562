"""A network in training mode: dropout by the number of the step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgewise.train.forward import training_answers
from edgewise.train.framework import keras, tf


def dropped(rate: float, step: int, seed: int = 0, noise_shape: tuple[int | None, ...] | None = None) -> Any:
    inputs = keras.Input((10, 10, 8))
    model = keras.Model(inputs, keras.layers.Dropout(rate, noise_shape=noise_shape)(inputs))
    return np.asarray(training_answers(model, tf.ones((64, 10, 10, 8)), seed, tf.constant(step)))


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_the_share_that_is_dropped_and_the_mean_that_stays(rate: float) -> None:
    got = dropped(rate, 1)
    assert np.mean(got == 0) == pytest.approx(rate, abs=0.01)
    assert set(np.unique(got)) == {np.float32(0), np.float32(1) / np.float32(1 - rate)}
    assert got.mean() == pytest.approx(1, abs=0.02)


def test_equal_steps_drop_the_same_and_others_something_else() -> None:
    np.testing.assert_array_equal(dropped(0.5, 3), dropped(0.5, 3))
    assert not np.array_equal(dropped(0.5, 3), dropped(0.5, 4))
    assert not np.array_equal(dropped(0.5, 3), dropped(0.5, 3, seed=1))


def test_whole_pictures_can_be_dropped() -> None:
    got = dropped(0.25, 1, noise_shape=(None, 1, 1, 1)).reshape(64, -1)
    assert all(len(set(row)) == 1 for row in got)
    assert 4 < np.sum(got[:, 0] == 0) < 30


def test_two_layers_drop_differently() -> None:
    inputs = keras.Input((100,))
    both = [keras.layers.Dropout(0.5)(inputs) for _ in range(2)]
    model = keras.Model(inputs, keras.layers.Concatenate()(both))
    got = np.asarray(training_answers(model, tf.ones((4, 100)), 0, tf.constant(1)))
    assert not np.array_equal(got[:, :100], got[:, 100:])


def test_nothing_is_dropped_at_rate_zero() -> None:
    np.testing.assert_array_equal(dropped(0.0, 1), np.ones((64, 10, 10, 8), np.float32))
