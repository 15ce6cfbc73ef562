"""Folding: each step against direct computation, and the whole network against the one it was made from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewise.export.folding import fold, fold_normalization, fold_pixels
from edgewise.train.architecture import Architecture, keep_blocks
from edgewise.train.framework import keras, tf
from edgewise.train.network import build
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


def normalization(channels: int, *, scale: bool) -> Any:
    """With statistics and weights of which none is zero or one."""
    layer = keras.layers.BatchNormalization(scale=scale, epsilon=0.002)
    layer.build((None, 5, 5, channels))
    gamma = [chance().uniform(0.3, 2, channels)] if scale else []
    layer.set_weights([*gamma, numbers(channels), numbers(channels) - 2, chance().uniform(0.01, 3, channels)])
    return layer


@pytest.mark.parametrize("scale", [False, True])
def test_a_normalization_goes_into_its_convolution(scale: bool) -> None:
    x, kernel, bias, layer = numbers(2, 9, 8, 4), numbers(3, 3, 4, 5), numbers(5), normalization(5, scale=scale)
    expected = layer(convolved(x, kernel, "SAME") + bias, training=False)
    folded, moved = fold_normalization(kernel, bias, layer)
    np.testing.assert_allclose(convolved(x, folded, "SAME") + moved, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("multiplier", [1, 2])
def test_a_normalization_goes_into_its_depthwise_convolution(multiplier: int, scale: bool) -> None:
    x, kernel, layer = numbers(2, 9, 8, 3), numbers(3, 3, 3, multiplier), normalization(3 * multiplier, scale=scale)

    def depthwise(weights: NDArray[np.float64]) -> Any:
        return tf.nn.depthwise_conv2d(x, weights, (1, 1, 1, 1), "SAME")

    folded, moved = fold_normalization(kernel, np.zeros(3 * multiplier), layer)
    expected = layer(depthwise(kernel), training=False)
    np.testing.assert_allclose(depthwise(folded) + moved, expected, rtol=1e-5, atol=1e-5)


def test_raw_pixels_give_what_scaled_ones_gave() -> None:
    pixels, kernel, bias = chance().integers(0, 256, (2, 11, 11, 3)) * 1.0, numbers(3, 3, 3, 6), numbers(6)
    center, spread = np.array([120.0, 110.0, 100.0]), np.array([58.0, 57.0, 127.5])
    expected = convolved((pixels - center) / spread, kernel, "VALID") + bias
    folded, moved = fold_pixels(kernel, bias, center, spread)
    np.testing.assert_allclose(convolved(pixels, folded, "VALID") + moved, expected, atol=1e-11)


def test_the_folded_network_gives_the_same_probabilities(trained: Any, photos: NDArray[np.float32]) -> None:
    folded = fold(trained)
    expected = np.asarray(trained(photos / 127.5 - 1, training=False))
    assert np.ptp(expected, axis=0).max() > 0.1  # the answers depend on the picture
    np.testing.assert_allclose(np.asarray(folded(photos, training=False)), expected, atol=1e-5)


def test_nothing_but_convolutions_is_left(trained: Any) -> None:
    folded = fold(trained)
    kinds = {type(layer).__name__ for layer in folded.layers}
    assert "BatchNormalization" not in kinds
    assert "Rescaling" not in kinds
    assert {type(layer).__name__ for layer in folded.layers if layer.weights} == {"Conv2D", "Dense"}
    assert all(np.isfinite(array).all() for array in folded.get_weights())


def test_its_weights_are_to_the_bit_what_the_formulas_give(trained: Any) -> None:
    folded = fold(trained)
    for name in ("stem_1", "stem_2", "block17_20_b1_2", "conv_7b"):
        kernel = trained.get_layer(name).get_weights()[0].astype(np.float64)
        beta, mean, variance = (array.astype(np.float64) for array in trained.get_layer(f"{name}_bn").get_weights())
        factor = 1 / np.sqrt(variance + 0.001)
        kernel, bias = kernel * factor, beta - mean * factor
        if name == "stem_1":
            kernel, bias = kernel / 127.5, bias - kernel.sum(axis=(0, 1, 2))
        got = folded.get_layer(name).get_weights()
        np.testing.assert_array_equal(got[0], kernel.astype(np.float32))
        np.testing.assert_array_equal(got[1], bias.astype(np.float32))


def test_a_normalization_that_is_not_alone_behind_its_convolution_stays() -> None:
    inputs = keras.Input((12, 12, 3))
    x = keras.layers.Conv2D(4, 3)(inputs)
    both = [keras.layers.BatchNormalization(momentum=0.0)(x), x]
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Concatenate()(both))
    model = keras.Model(inputs, keras.layers.Dense(3)(x))
    batch = chance().integers(0, 256, (4, 12, 12, 3)).astype(np.float32)
    model(batch / 127.5 - 1, training=True)
    expected = np.asarray(model(batch / 127.5 - 1, training=False))
    np.testing.assert_allclose(np.asarray(fold(model)(batch, training=False)), expected, atol=1e-4)


def test_the_network_that_was_folded_stays_as_it_was(trained: Any) -> None:
    before = trained.get_weights()
    fold(trained)
    assert all(np.array_equal(one, other) for one, other in zip(before, trained.get_weights(), strict=True))
