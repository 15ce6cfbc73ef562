"""Normalization statistics measured again: training mode and inference mode then agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewise.train.architecture import Architecture, keep_blocks
from edgewise.train.batches import clean_batches
from edgewise.train.framework import keras, seed_everything
from edgewise.train.network import build
from edgewise.train.normalization import StatisticsEstimator, normalization_layers


@pytest.fixture
def images() -> NDArray[np.uint8]:
    random = np.random.default_rng(0)
    return (random.uniform(0, 256, (32, 1, 1, 3)) * random.uniform(0.5, 1, (32, 8, 8, 3))).astype(np.uint8)


def convolutions(momentum: float) -> Any:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3)(inputs)
    x = keras.layers.BatchNormalization(scale=False, momentum=momentum)(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


@pytest.mark.parametrize("momentum", [0.9, 0.99])
def test_statistics_are_those_of_the_photos(images: NDArray[np.uint8], momentum: float) -> None:
    seed_everything(0)
    model = convolutions(momentum)
    StatisticsEstimator(model).estimate(images, seed=0)
    before_normalization = keras.Model(model.input, model.layers[1].output)
    features = np.concatenate([before_normalization(batch).numpy() for batch in clean_batches(images, 16)])
    (layer,) = normalization_layers(model)
    np.testing.assert_allclose(layer.moving_mean, features.mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, features.var(axis=(0, 1, 2)), rtol=0.01)


def test_the_trained_weights_stay_as_they_are(images: NDArray[np.uint8]) -> None:
    model = convolutions(0.9)
    before = [variable.numpy() for variable in model.trainable_variables]
    StatisticsEstimator(model).estimate(images, seed=1)
    for got, expected in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_it_can_be_repeated_and_takes_any_number_of_photos(images: NDArray[np.uint8]) -> None:
    model = convolutions(0.9)
    estimator = StatisticsEstimator(model)
    estimator.estimate(images, seed=1)
    first = model.get_weights()
    estimator.estimate(images[:3], seed=1)
    assert all(np.isfinite(array).all() for array in model.get_weights())
    estimator.estimate(images, seed=1)
    for got, expected in zip(model.get_weights(), first, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_training_and_inference_agree_on_the_network_itself() -> None:
    seed_everything(0)
    model = build(Architecture(3, 75, keep_blocks((1, 1, 1))), top=False, momentum=0.9)
    images = np.random.default_rng(1).integers(0, 256, (16, 75, 75, 3), np.uint8)
    (batch,) = clean_batches(images, 16)
    trained = model(batch, training=True).numpy()
    before = np.abs(model(batch, training=False).numpy() - trained).mean()
    StatisticsEstimator(model).estimate(images, seed=0)
    after = np.abs(model(batch, training=False).numpy() - trained).mean()
    assert after < 0.15 * trained.mean()
    assert after < 0.1 * before


def test_a_photo_on_which_activations_explode_spoils_nothing() -> None:
    seed_everything(0)
    model = build(Architecture(3, 75, keep_blocks((1, 1, 1))), top=False, momentum=0.9)
    images = np.random.default_rng(1).integers(100, 120, (80, 75, 75, 3)).astype(np.uint8)
    images[7] = np.random.default_rng(2).integers(0, 2, (75, 75, 1)) * 255
    StatisticsEstimator(model).estimate(images, seed=0)
    (batch,) = clean_batches(images, 80)
    trained, inferred = model(batch, training=True).numpy(), model(batch, training=False).numpy()
    assert np.abs(inferred - trained).mean() < 0.05 * trained.mean()
