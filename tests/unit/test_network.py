"""The network: equal to Keras' own, of standard layers only, in every size and depth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgewise.train.architecture import Architecture, keep_blocks
from edgewise.train.backbones import STAGES
from edgewise.train.framework import keras
from edgewise.train.network import RESIDUAL_SCALE, build, residual_scale
from edgewise.train.weights import load_official

SMALL = keep_blocks((1, 1, 1))


@pytest.fixture(scope="module")
def network(official_file: Path) -> Any:
    """Our network at full depth with the weights of Keras' file."""
    model = build(Architecture(5, 75))
    load_official(model, official_file)
    return model


@pytest.fixture(scope="module")
def small() -> Any:
    return build(Architecture(3, 75, SMALL))


def pictures(size: int) -> NDArray[np.float32]:
    """Two pictures of random colours, coarse and fine, in [-1, 1]."""
    random = np.random.default_rng(3)
    coarse = random.uniform(-1, 1, (2, 7, 7, 3)).astype(np.float32)
    smooth = np.stack([cv2.resize(picture, (size, size), interpolation=cv2.INTER_LINEAR) for picture in coarse])
    return np.clip(smooth + random.normal(0, 0.1, smooth.shape), -1, 1).astype(np.float32)


def outputs(model: Any, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Features and probabilities."""
    both = keras.Model(model.input, [model.get_layer("avg_pool").output, model.output])
    features, probabilities = both(batch, training=False)
    return features.numpy(), probabilities.numpy()


def assert_equal_networks(ours: Any, official: Any, size: int) -> None:
    batch = pictures(size)
    got_features, got = outputs(ours, batch)
    expected_features, expected = outputs(official, batch)
    # The comparison says something only where the network is awake and tells the pictures apart.
    assert expected_features.std() > 0.1
    assert np.abs(expected[0] - expected[1]).max() > 1e-3
    assert 0.01 < expected.max() < 0.999
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(got_features, expected_features, rtol=1e-4, atol=1e-4)


def test_equals_keras_at_75_pixels(network: Any, official_network: Any) -> None:
    assert_equal_networks(network, official_network, 75)


def test_equals_keras_at_299_pixels(network: Any, official_network: Any) -> None:
    ours = build(Architecture(5, 299))
    ours.set_weights(network.get_weights())
    official = keras.applications.InceptionResNetV2(weights=None, input_shape=(299, 299, 3), classes=5)
    official.set_weights(official_network.get_weights())
    assert_equal_networks(ours, official, 299)


def test_every_block_has_its_residual_scale_folded_into_the_up_projection(network: Any, official_network: Any) -> None:
    for stage, count in STAGES.items():
        for number in range(1, count + 1):
            name = f"{stage}_{number}_conv"
            scale = 1.0 if name == "block8_10_conv" else {"block35": 0.17, "block17": 0.1, "block8": 0.2}[stage]
            folded, original = network.get_layer(name).get_weights(), official_network.get_layer(name).get_weights()
            for ours, theirs in zip(folded, original, strict=True):
                np.testing.assert_allclose(ours, scale * theirs, rtol=1e-6, atol=0, err_msg=name)


def test_the_last_block_has_scale_one_and_no_activation(network: Any) -> None:
    assert residual_scale("block8", 10) == 1
    assert residual_scale("block8", 9) == RESIDUAL_SCALE["block8"]
    names = {layer.name for layer in network.layers}
    assert "block8_9_ac" in names
    assert "block8_10_ac" not in names


def test_there_are_as_many_parameters_as_in_keras(network: Any, official_network: Any) -> None:
    assert network.count_params() == official_network.count_params()


def test_a_subset_of_blocks_gets_its_own_weights_from_the_full_file(network: Any, official_file: Path) -> None:
    model = build(Architecture(5, 75, keep_blocks((2, 1, 2))))
    load_official(model, official_file)
    blocks = {layer.name.rsplit("_", 1)[0] for layer in model.layers if layer.name.endswith("_add")}
    assert blocks == {"block35_5", "block35_10", "block17_20", "block8_5", "block8_10"}
    for layer in model.layers:
        for got, expected in zip(layer.get_weights(), network.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(got, expected, err_msg=layer.name)
    _, probabilities = outputs(model, pictures(75))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("classes", [2, 3, 1000])
def test_any_number_of_classes(classes: int) -> None:
    model = build(Architecture(classes, 75, SMALL))
    probabilities = model(pictures(75), training=False).numpy()
    assert probabilities.shape == (2, classes)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_without_top_the_features_come_out() -> None:
    assert build(Architecture(3, 75, SMALL), top=False).output_shape == (None, 1536)


def test_every_layer_is_a_standard_one_in_a_flat_graph(network: Any) -> None:
    kinds = {type(layer) for layer in network.layers}
    assert kinds == {
        keras.layers.InputLayer,
        keras.layers.Conv2D,
        keras.layers.BatchNormalization,
        keras.layers.Activation,
        keras.layers.MaxPooling2D,
        keras.layers.AveragePooling2D,
        keras.layers.Concatenate,
        keras.layers.Add,
        keras.layers.GlobalAveragePooling2D,
        keras.layers.Dropout,
        keras.layers.Dense,
    }


def test_the_whole_of_it_can_be_trained_quantization_aware(small: Any) -> None:
    tfmot = pytest.importorskip("tensorflow_model_optimization")
    quantized = tfmot.quantization.keras.quantize_model(small)
    assert quantized.output_shape == (None, 3)
    wrapped = [layer for layer in quantized.layers if type(layer).__name__.startswith("QuantizeWrapper")]
    assert len(wrapped) == len(small.layers) - 1  # all but the input
