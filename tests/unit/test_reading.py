"""A Keras network read as plain steps: what is fused, what is left out, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgewise.export.observation import answers
from edgewise.export.plain import Activation, Network, Operator, Window, pads
from edgewise.export.quantization import Numerics
from edgewise.export.reading import read_network, readable
from edgewise.train.framework import keras

layers = keras.layers
INPUT = (8, 8, 3)


def read(*chain: Any) -> Network:
    """The network of some layers, one after the other."""
    inputs = x = keras.Input(INPUT, name="pixels")
    for layer in chain:
        x = layer(x)
    model = keras.Model(inputs, x)
    assert readable(model)
    return read_network(model)


def listed(network: Network) -> list[tuple[str, str, str]]:
    return [(step.name, step.operator.value, step.activation.value) for step in network.steps[1:]]


def hard_swish(x: Any, sixth: float = 1 / 6, *, swapped: bool = False) -> Any:
    scaled = layers.Rescaling(sixth, name="sixth")(layers.ReLU(6.0, name="clip")(layers.Rescaling(1.0, 3.0)(x)))
    return layers.Multiply(name="product")([scaled, x] if swapped else [x, scaled])


def test_steps_have_the_shapes_and_weights_of_the_layers(small: Any) -> None:
    assert small.plain.input.shape == (20, 20, 3)
    assert small.plain.output.operator is Operator.SOFTMAX
    assert small.plain.output.shape == (4,)
    for step in small.plain.weighted():
        name = step.name.removesuffix("_linear").removesuffix("_logits")
        kernel, bias = small.keras.get_layer(name).get_weights()
        np.testing.assert_array_equal(step.kernel, kernel)
        np.testing.assert_array_equal(step.bias, bias)
        assert step.shape == small.keras.get_layer(name).output_shape[1:]


def test_the_steps_compute_what_keras_computes(small: Any, photos: Any) -> None:
    batch = photos(10)
    expected = np.asarray(small.keras(batch.astype(np.float32)))
    np.testing.assert_allclose(answers(small.plain, Numerics(), batch), expected, atol=1e-5)


def test_every_step_comes_after_what_it_takes(small: Any) -> None:
    done: set[str] = set()
    for step in small.plain.steps:
        assert done.issuperset(step.inputs)
        done.add(step.name)
    assert len(done) == len(small.plain.steps)


def test_a_following_rectification_is_fused() -> None:
    network = read(layers.Conv2D(4, 3, name="a"), layers.ReLU(), layers.DepthwiseConv2D(3, name="b"), layers.ReLU(6.0))
    assert listed(network) == [("a", "convolution", "relu"), ("b", "depthwise convolution", "relu6")]
    assert network.steps[2].inputs == ("a",)


def test_a_rectification_of_what_others_take_plain_is_a_step_of_its_own() -> None:
    inputs = keras.Input(INPUT)
    plain = layers.Conv2D(4, 3, name="a")(inputs)
    total = layers.Add(name="sum")([plain, layers.ReLU(name="cut")(plain)])
    network = read_network(keras.Model(inputs, total))
    assert listed(network) == [
        ("a", "convolution", "linear"), ("cut", "activation", "relu"), ("sum", "addition", "linear"),
    ]  # fmt: skip


def test_an_activation_that_no_step_fuses_stands_alone_and_keeps_the_name() -> None:
    network = read(layers.Conv2D(4, 3, activation="swish", name="a"), layers.Conv2D(4, 1, activation="relu", name="b"))
    assert listed(network) == [
        ("a_linear", "convolution", "linear"), ("a", "activation", "swish"), ("b", "convolution", "relu"),
    ]  # fmt: skip
    assert network.by_name["b"].inputs == ("a",)


def test_a_sum_takes_a_rectification_in_and_a_pool_does_not() -> None:
    inputs = keras.Input(INPUT)
    one, other = layers.Conv2D(4, 3, name="a")(inputs), layers.Conv2D(4, 3, name="b")(inputs)
    x = layers.Activation("relu")(layers.Add(name="sum")([one, other]))
    x = layers.ReLU(name="cut")(layers.AveragePooling2D(2, name="pool")(x))
    network = read_network(keras.Model(inputs, x))
    assert listed(network)[2:] == [
        ("sum", "addition", "relu"), ("pool", "average pool", "linear"), ("cut", "activation", "relu"),
    ]  # fmt: skip


def test_dropout_is_left_out_and_a_softmax_is_a_step_of_its_own() -> None:
    network = read(
        layers.GlobalAveragePooling2D(name="mean"), layers.Dropout(0.5), layers.Dense(3, "softmax", name="classes")
    )
    assert listed(network) == [
        ("mean", "mean", "linear"), ("classes_logits", "dense", "linear"), ("classes", "softmax", "linear"),
    ]  # fmt: skip
    assert network.by_name["classes_logits"].inputs == ("mean",)


@pytest.mark.parametrize("swapped", [False, True])
def test_four_layers_of_a_hard_swish_are_one_activation(swapped: bool) -> None:
    inputs = keras.Input(INPUT)
    x = hard_swish(layers.Conv2D(4, 3, name="a")(inputs), swapped=swapped)
    network = read_network(keras.Model(inputs, x))
    assert listed(network) == [("a", "convolution", "linear"), ("product", "activation", "hard swish")]


def test_a_hard_sigmoid_alone_is_no_hard_swish() -> None:
    inputs = keras.Input(INPUT)
    assert "hard swish" not in str(listed(read_network(keras.Model(inputs, hard_swish(inputs, sixth=1 / 5)))))
    gate = layers.Rescaling(1 / 6)(layers.ReLU(6.0)(layers.Rescaling(1.0, 3.0)(layers.Conv2D(3, 1)(inputs))))
    network = read_network(keras.Model(inputs, layers.Multiply()([inputs, gate])))
    assert network.counts()[Operator.SCALING] == 2
    assert Activation.HARD_SWISH not in {step.activation for step in network.steps}


def test_what_others_take_from_inside_of_a_hard_swish_stays(photos: Any) -> None:
    inputs = keras.Input((20, 20, 3))
    start = layers.Conv2D(4, 3, kernel_initializer=keras.initializers.RandomNormal(0, 0.01), name="a")(inputs)
    product = hard_swish(start)
    clipped = keras.Model(inputs, product).get_layer("clip").output
    x = layers.GlobalAveragePooling2D()(layers.Add()([product, clipped]))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(x))
    network = read_network(model)
    assert {"clip", "product"} <= network.by_name.keys()
    batch = photos(4)
    expected = np.asarray(model(batch.astype(np.float32)))
    np.testing.assert_allclose(answers(network, Numerics(), batch), expected, atol=1e-5)


def test_windows_and_pads_are_the_layers() -> None:
    network = read(
        layers.ZeroPadding2D(((1, 2), (3, 4)), name="pad"),
        layers.Conv2D(4, (3, 1), strides=2, use_bias=False, name="a"),
        layers.DepthwiseConv2D(3, dilation_rate=2, padding="same", name="b"),
        layers.MaxPooling2D(2, padding="same", name="c"),
    )
    assert network.by_name["pad"].padding == (1, 2, 3, 4)
    assert network.by_name["a"].window == Window((3, 1), (2, 2))
    assert np.asarray(network.by_name["a"].bias).tolist() == [0] * 4
    assert network.by_name["b"].window == Window((3, 3), dilation=(2, 2), same=True)
    assert network.by_name["c"].window == Window((2, 2), (2, 2), same=True)
    assert [step.shape for step in network.steps] == [(8, 8, 3), (11, 15, 3), (5, 8, 4), (5, 8, 4), (3, 4, 4)]


@pytest.mark.parametrize(
    ("size", "window", "expected"),
    [
        ((8, 8), Window((3, 3), (2, 2), same=True), (0, 0, 1, 1)),
        ((9, 8), Window((3, 3), (2, 2), same=True), (1, 0, 1, 1)),
        ((8, 8), Window((1, 7), same=True), (0, 3, 0, 3)),
        ((8, 8), Window((3, 3), dilation=(2, 2), same=True), (2, 2, 2, 2)),
        ((8, 8), Window((2, 2), (3, 3), same=True), (0, 0, 0, 0)),
        ((8, 8), Window((3, 3), (2, 2)), (0, 0, 0, 0)),
    ],
)
def test_a_window_that_reaches_over_the_edge_adds_the_odd_row_at_the_end(
    size: tuple[int, int], window: Window, expected: tuple[int, ...]
) -> None:
    assert pads(size, window) == expected


@pytest.mark.parametrize(
    "layer",
    [
        layers.ReLU(negative_slope=0.1),
        layers.ReLU(threshold=1.0),
        layers.ReLU(3.0),
        layers.Reshape((3, 64)),
        layers.Conv2D(3, 3, groups=3),
        layers.Conv2D(3, 3, activation="tanh"),
        layers.Conv2D(3, 3, activation="softmax"),
        layers.SeparableConv2D(4, 3),
        layers.BatchNormalization(),
        layers.Activation("tanh"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_other_layers_and_options_are_not_readable(layer: Any) -> None:
    inputs = keras.Input(INPUT)
    assert not readable(keras.Model(inputs, layer(inputs)))


def test_a_layer_that_is_called_twice_is_not_readable() -> None:
    inputs, shared = keras.Input(INPUT), layers.Conv2D(3, 3, padding="same")
    assert not readable(keras.Model(inputs, shared(shared(inputs))))
