"""ONNX files of small networks: what they hold in each kind of numbers, and what ONNX Runtime makes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tf2onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from edgewise.export.observation import open_session
from edgewise.export.onnx_graph import INPUT, OPSET, OPSET_16_BITS, OUTPUT, onnx_graph
from edgewise.export.plain import WEIGHTED
from edgewise.export.quantization import Numerics, Weights
from edgewise.export.reading import read_network
from edgewise.train.framework import keras, tf

SIZE, CLASSES = 20, 4
SCHEMES = ("fp32", "fp16", "dynamic", "int8", "w8a16")
Run = Callable[[bytes, NDArray[np.uint8]], NDArray[np.float32]]
layers = keras.layers


@pytest.fixture(scope="module")
def models(small: Any, numerics: Mapping[str, Numerics]) -> dict[str, Any]:
    """The small network in all numbers."""
    return {name: onnx_graph(small.plain, each) for name, each in numerics.items()}


def expected(network: Any, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(network(batch.astype(np.float32), training=False))


def constants(model: Any) -> dict[str, NDArray[Any]]:
    return {value.name: numpy_helper.to_array(value) for value in model.graph.initializer}


def makers(model: Any) -> dict[str, Any]:
    return {output: node for node in model.graph.node for output in node.output}


def kinds(model: Any) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def multipliers(model: Any) -> list[Any]:
    return [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]


def random_pixels(size: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (3, size, size + 2, 3)).astype(np.uint8)


def classified(inputs: Any, x: Any) -> Any:
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax", kernel_initializer="random_normal")(x))


def test_floats_give_what_keras_gives(small: Any, models: Any, photos: Any, run_onnx: Run) -> None:
    batch = photos(30)
    answers = expected(small.keras, batch)
    assert len(set(answers.argmax(axis=1))) > 1
    got = run_onnx(models["fp32"].SerializeToString(), batch)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, answers, atol=1e-5)


@pytest.mark.parametrize(("name", "within"), [("fp16", 0.005), ("dynamic", 0.06), ("int8", 0.08), ("w8a16", 0.03)])
def test_other_numbers_stay_close(
    small: Any, models: Any, photos: Any, run_onnx: Run, name: str, within: float
) -> None:
    batch = photos(60)
    answers, got = expected(small.keras, batch), run_onnx(models[name].SerializeToString(), batch)
    assert got.dtype == np.float32
    assert 0 < np.abs(got - answers).max() < within
    np.testing.assert_allclose(got.sum(axis=1), 1, atol=0.01)
    second, first = np.sort(answers, axis=1).T[-2:]
    clear = first - second > 0.2
    assert clear.sum() > 10
    np.testing.assert_array_equal(got.argmax(axis=1)[clear], answers.argmax(axis=1)[clear])


def test_16_bit_activations_are_closer_than_8_bit_ones(small: Any, models: Any, photos: Any, run_onnx: Run) -> None:
    batch = photos(60)
    answers = expected(small.keras, batch)
    errors = {
        name: np.abs(run_onnx(models[name].SerializeToString(), batch) - answers).mean() for name in ("w8a16", "int8")
    }
    assert errors["w8a16"] < 0.6 * errors["int8"]


def test_the_graph_gives_what_a_general_converter_gives(small: Any, models: Any, photos: Any, run_onnx: Run) -> None:
    signature = [tf.TensorSpec((None, SIZE, SIZE, 3), tf.uint8, name=INPUT)]
    function = tf.function(lambda pixels: {OUTPUT: small.keras(tf.cast(pixels, tf.float32), training=False)})
    general, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    batch = photos(30)
    other = run_onnx(general.SerializeToString(), batch)
    np.testing.assert_allclose(run_onnx(models["fp32"].SerializeToString(), batch), other, atol=2e-6)


@pytest.mark.parametrize("size", [9, 10, 11, 12])
@pytest.mark.parametrize("window", [2, 3, (1, 7), 5])
@pytest.mark.parametrize("strides", [1, 2, 3])
def test_windows_that_reach_over_the_edge_see_the_same_pixels(
    run_onnx: Run, size: int, window: Any, strides: int
) -> None:
    inputs = keras.Input((size, size + 2, 3))
    x = layers.Conv2D(4, window, strides, padding="same", activation="relu")(inputs)
    x = layers.AveragePooling2D(window, strides, padding="same")(x)
    x = layers.MaxPooling2D(window, strides, padding="same")(x)
    network, batch = classified(inputs, x), random_pixels(size)
    got = run_onnx(onnx_graph(read_network(network)).SerializeToString(), batch)
    np.testing.assert_allclose(got, expected(network, batch), atol=1e-5)


@pytest.mark.parametrize("size", [9, 10])
@pytest.mark.parametrize("multiplier", [1, 2])
def test_the_layers_of_mobile_networks_see_the_same_pixels(run_onnx: Run, size: int, multiplier: int) -> None:
    inputs = keras.Input((size, size + 2, 3))
    x = layers.Rescaling([0.01, 0.02, 0.03], [-1.0, 0.0, 1.0])(inputs)
    x = layers.ZeroPadding2D(((0, 1), (2, 3)))(x)
    x = layers.DepthwiseConv2D(3, 2, depth_multiplier=multiplier, bias_initializer="random_normal")(x)
    x = layers.ReLU(6.0)(x)
    x = layers.DepthwiseConv2D(5, padding="same", activation="swish")(x)
    pooled = layers.GlobalAveragePooling2D()(x)
    weighed = layers.Conv2D(3 * multiplier, 1, activation="sigmoid")(layers.Reshape((1, 1, 3 * multiplier))(pooled))
    x = layers.Multiply()([x, weighed])
    mean = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Multiply()([x, layers.Rescaling(1 / 6)(layers.ReLU(6.0)(layers.Rescaling(1.0, 3.0)(mean)))])
    network, batch = classified(inputs, layers.ReLU()(x)), random_pixels(size)
    got = run_onnx(onnx_graph(read_network(network)).SerializeToString(), batch)
    np.testing.assert_allclose(got, expected(network, batch), atol=1e-5)


@pytest.mark.parametrize("name", SCHEMES)
def test_files_take_any_batch_of_uint8_pictures(models: Any, photos: Any, run_onnx: Run, name: str) -> None:
    model = models[name]
    onnx.checker.check_model(model, full_check=True)
    (source,), (target,) = model.graph.input, model.graph.output
    assert (source.name, target.name) == (INPUT, OUTPUT) == ("pixels", "probabilities")
    assert source.type.tensor_type.elem_type == TensorProto.UINT8
    assert target.type.tensor_type.elem_type == TensorProto.FLOAT
    assert [dim.dim_value for dim in source.type.tensor_type.shape.dim][1:] == [SIZE, SIZE, 3]
    batch, content = photos(5), model.SerializeToString()
    one_by_one = np.concatenate([run_onnx(content, picture[np.newaxis]) for picture in batch])
    np.testing.assert_allclose(run_onnx(content, batch), one_by_one, atol=1e-5)


@pytest.mark.parametrize("name", SCHEMES)
def test_the_operator_sets_are_those_of_every_runtime(models: Any, name: str) -> None:
    wanted = OPSET_16_BITS if name == "w8a16" else OPSET
    assert (OPSET, OPSET_16_BITS) == (17, 21)
    assert [(entry.domain, entry.version) for entry in models[name].opset_import] == [("", wanted)]
    assert {node.domain for node in models[name].graph.node} == {""}


def test_fp16_stores_and_computes_in_16_bits(small: Any, models: Any) -> None:
    weights = [constants(models["fp16"])[name] for node in multipliers(models["fp16"]) for name in node.input[1:]]
    assert len(weights) == 2 * sum(1 for _ in small.plain.weighted())
    assert {weight.dtype for weight in weights} == {np.dtype(np.float16)}
    assert len(models["fp16"].SerializeToString()) < 0.8 * len(models["fp32"].SerializeToString())


def test_dynamic_stores_int8_weights_and_computes_in_floats(small: Any, models: Any) -> None:
    model = models["dynamic"]
    assert not kinds(model).keys() & {"ConvInteger", "MatMulInteger", "DynamicQuantizeLinear", "QuantizeLinear"}
    values, made_by = constants(model), makers(model)
    assert len(multipliers(model)) == sum(1 for _ in small.plain.weighted())
    for node in multipliers(model):
        kernel = made_by[node.input[1]]
        assert kernel.op_type == "DequantizeLinear"
        assert values[kernel.input[0]].dtype == np.int8
        assert values[node.input[2]].dtype == np.float32


@pytest.mark.parametrize(("name", "dtype"), [("int8", np.uint8), ("w8a16", np.int16)])
def test_every_convolution_stands_between_integers(small: Any, models: Any, name: str, dtype: Any) -> None:
    model = models[name]
    assert not kinds(model).keys() & {"ConvInteger", "MatMulInteger", "DynamicQuantizeLinear", "QLinearConv"}
    values, made_by = constants(model), makers(model)
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == sum(step.operator in WEIGHTED for step in small.plain.steps) - 1
    for node in convolutions:
        picture, kernel = (made_by[each] for each in node.input[:2])
        assert (picture.op_type, kernel.op_type) == ("DequantizeLinear", "DequantizeLinear")
        weights, scales = values[kernel.input[0]], values[kernel.input[1]]
        assert weights.dtype == np.int8
        assert np.abs(weights.astype(int)).max(axis=(1, 2, 3)).tolist() == [127] * len(weights)
        assert scales.shape == weights.shape[:1]
        assert {entry.name: entry.i for entry in kernel.attribute}["axis"] == 0
        assert not values[kernel.input[2]].any()
        assert values[picture.input[2]].dtype == dtype


def test_the_scales_of_unequal_filters_differ(small: Any, models: Any) -> None:
    scales = [value for name, value in constants(models["int8"]).items() if name == "stem_1_kernel_scale"]
    assert all(np.ptp(np.log10(each)) > 2 for each in scales)
    assert len(scales) == ("stem_1" in small.plain.by_name)


def test_int8_takes_the_pixels_as_they_are(small: Any, models: Any) -> None:
    model, values = models["int8"], constants(models["int8"])
    first = next(node for node in model.graph.node if node.op_type in ("Conv", "Pad"))
    before = list(model.graph.node)[: list(model.graph.node).index(first)]
    restored = [node for node in before if node.output[0] == first.input[0]]
    assert [node.op_type for node in restored] == ["DequantizeLinear"]
    assert (float(values[restored[0].input[1]]), int(values[restored[0].input[2]])) == (1.0, 0)
    assert Counter(node.op_type for node in before).keys() <= {"Transpose", "DequantizeLinear"}
    assert kinds(model)["Transpose"] == 1
    assert not kinds(model).keys() & {"BatchNormalization", "Sub", "Div", "Cast"}
    products = {step.name for step in small.plain.steps if step.operator.value == "multiplication"}
    swishes = {step.name for step in small.plain.steps if step.activation.value == "swish"}
    assert {node.name for node in model.graph.node if node.op_type == "Mul"} == {
        *(f"{name}_mul" for name in products),
        *(f"{name}_swish" for name in swishes),
    }


def test_int8_classifies_in_floats(small: Any, models: Any) -> None:
    model, values = models["int8"], constants(models["int8"])
    (classifier,) = [node for node in model.graph.node if node.op_type == "Gemm"]
    assert small.head == {"predictions", "predictions_logits"}
    assert [values[name].dtype for name in classifier.input[1:]] == [np.float32] * 2
    taken = Counter(name for node in model.graph.node for name in node.input)
    assert taken[classifier.output[0]] == 1
    assert [node.op_type for node in model.graph.node][-2:] == ["Gemm", "Softmax"]


def test_a_layer_left_in_float_keeps_its_weights_and_neighbours_stay_integers(
    small: Any, photos: Any, run_onnx: Run
) -> None:
    free = next(step for step in list(small.plain.weighted())[1:] if step.name not in small.head)
    model = onnx_graph(small.plain, Numerics(Weights.INT8, small.ranges, floats=small.head | {free.name}))
    kernels = {node.name: node.input[1] for node in multipliers(model)}
    values = constants(model)
    assert values[kernels[f"{free.name}_conv"]].dtype == np.float32
    others = [name for step, name in kernels.items() if step not in (f"{free.name}_conv", "predictions_logits_gemm")]
    assert others
    assert {values[f"{name}_quantized"].dtype for name in others} == {np.dtype(np.int8)}
    batch = photos(30)
    got = run_onnx(model.SerializeToString(), batch)
    assert np.abs(got - expected(small.keras, batch)).max() < 0.08


@pytest.mark.parametrize("name", ["fp32", "int8"])
def test_watched_outputs_are_those_of_the_keras_layers(small: Any, numerics: Any, photos: Any, name: str) -> None:
    watched = [step.name for step in small.plain.steps]
    batch = photos(3)
    session = open_session(small.plain, numerics[name], 1, watched=watched)
    assert isinstance(session, onnxruntime.InferenceSession)
    found = dict(zip(watched, session.run(None, {INPUT: batch})[1:], strict=True))
    np.testing.assert_array_equal(found["pixels"], batch.transpose(0, 3, 1, 2))
    inner = keras.Model(small.keras.input, small.keras.get_layer("avg_pool").output)
    answer = expected(inner, batch)
    np.testing.assert_allclose(found["avg_pool"], answer, atol=(1e-5 if name == "fp32" else 0.1) * np.abs(answer).max())
