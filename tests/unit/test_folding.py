"""Folding: each step against direct computation, and the whole network against the one it was made from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewise.export.folding import fold, fold_normalization, fold_pixels
from edgewise.train.architecture import Architecture, keep_blocks
from edgewise.train.framework import keras, tf
from edgewise.train.network import NORMALIZATION_EPSILON, build
from edgewise.train.normalization import normalization_layers

ARCHITECTURE = Architecture(classes=7, image_size=75, blocks=keep_blocks((1, 1, 1)))


def chance() -> np.random.Generator:
    return np.random.default_rng(11)


def numbers(*shape: int) -> NDArray[np.float64]:
    return chance().normal(size=shape)


def convolved(x: NDArray[np.float64], kernel: NDArray[np.float64], padding: str) -> NDArray[np.float64]:
    return np.asarray(tf.nn.conv2d(x, kernel, strides=1, padding=padding))


@pytest.fixture(scope="module")
def trained(photos: NDArray[np.float32]) -> Any:
    """A network with normalization statistics as training leaves them: none is zero or one."""
    model = build(ARCHITECTURE)
    random = chance()
    for layer in normalization_layers(model):
        shape = layer.beta.shape
        layer.set_weights(
            [random.normal(0, 0.3, shape), random.normal(0, 0.5, shape), random.uniform(0.05, 2.0, shape)]
        )
    # The classifier looks at what differs between the pictures, so that the answers do too.
    head = model.get_layer("predictions")
    features = np.asarray(keras.Model(model.input, model.get_layer("avg_pool").output)(photos / 127.5 - 1))
    scores = (features - features.mean(axis=0)) @ head.kernel.numpy()
    kernel = head.kernel.numpy() * 0.5 / scores.std()
    head.set_weights([kernel, -features.mean(axis=0) @ kernel])
    return model


@pytest.fixture(scope="module")
def photos() -> NDArray[np.float32]:
    """Raw pixels: noise, black, white, and a picture with an edge."""
    batch = chance().integers(0, 256, (6, 75, 75, 3)).astype(np.float32)
    batch[1], batch[2] = 0, 255
    batch[3, :, :37], batch[3, :, 37:] = 0, 255
    return batch


def test_a_normalization_goes_into_its_convolution() -> None:
    x, kernel = numbers(2, 9, 8, 4), numbers(3, 3, 4, 5)
    beta, mean, variance = numbers(5), numbers(5) + 1, chance().uniform(0.01, 3, 5)
    expected = (convolved(x, kernel, "SAME") - mean) / np.sqrt(variance + 0.001) + beta
    folded, bias = fold_normalization(kernel, beta, mean, variance)
    np.testing.assert_allclose(convolved(x, folded, "SAME") + bias, expected, atol=1e-12)
    assert NORMALIZATION_EPSILON == 0.001


def test_it_is_what_the_layers_of_keras_compute() -> None:
    layer = keras.layers.BatchNormalization(scale=False, epsilon=NORMALIZATION_EPSILON)
    x = numbers(2, 5, 5, 3).astype(np.float32)
    layer.build(x.shape)
    beta, mean, variance = numbers(3), numbers(3) - 2, chance().uniform(0.01, 3, 3)
    layer.set_weights([beta, mean, variance])
    kernel, bias = fold_normalization(np.eye(3)[None, None], beta, mean, variance)
    np.testing.assert_allclose(np.asarray(layer(x, training=False)), x @ kernel[0, 0] + bias, atol=1e-5)


def test_raw_pixels_give_what_normalized_ones_gave() -> None:
    pixels, kernel, bias = chance().integers(0, 256, (2, 11, 11, 3)) * 1.0, numbers(3, 3, 3, 6), numbers(6)
    expected = convolved(pixels / 127.5 - 1, kernel, "VALID") + bias
    folded, moved = fold_pixels(kernel, bias)
    np.testing.assert_allclose(convolved(pixels, folded, "VALID") + moved, expected, atol=1e-11)


def test_the_first_convolution_is_padded_with_nothing(trained: Any) -> None:
    # Folding the pixels' normalization would be wrong at the border otherwise.
    first = trained.layers[1]
    assert (first.name, first.padding) == ("stem_1", "valid")


def test_the_folded_network_gives_the_same_probabilities(trained: Any, photos: NDArray[np.float32]) -> None:
    folded = fold(trained, ARCHITECTURE)
    expected = np.asarray(trained(photos / 127.5 - 1, training=False))
    assert np.ptp(expected, axis=0).max() > 0.1  # the answers depend on the picture
    np.testing.assert_allclose(np.asarray(folded(photos, training=False)), expected, atol=1e-5)


def test_nothing_but_convolutions_is_left(trained: Any) -> None:
    folded = fold(trained, ARCHITECTURE)
    kinds = {type(layer).__name__ for layer in folded.layers}
    assert "BatchNormalization" not in kinds
    assert "Rescaling" not in kinds
    assert {type(layer).__name__ for layer in folded.layers if layer.weights} == {"Conv2D", "Dense"}
    assert all(np.isfinite(array).all() for array in folded.get_weights())


@pytest.mark.parametrize("temperature", [0.5, 2.5])
def test_the_temperature_divides_the_scores(trained: Any, photos: NDArray[np.float32], temperature: float) -> None:
    plain = np.asarray(fold(trained, ARCHITECTURE)(photos, training=False)).astype(np.float64)
    scores = np.log(plain) / temperature
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    tempered = np.asarray(fold(trained, ARCHITECTURE, temperature)(photos, training=False))
    np.testing.assert_allclose(tempered, expected, atol=1e-5)
    np.testing.assert_array_equal(tempered.argmax(axis=1), plain.argmax(axis=1))


def test_the_network_that_was_folded_stays_as_it_was(trained: Any) -> None:
    before = trained.get_weights()
    fold(trained, ARCHITECTURE, 3.0)
    assert all(np.array_equal(one, other) for one, other in zip(before, trained.get_weights(), strict=True))
