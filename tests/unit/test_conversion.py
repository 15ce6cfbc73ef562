"""The converters on a small network of every kind of layer that InceptionResNetV2 has: what the files hold and give."""

from __future__ import annotations

import logging
import os
from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tf2onnx
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from onnx import numpy_helper

from edgewise.export.conversion import (
    ConversionError,
    onnx_fp32,
    onnx_int8,
    spanning,
    tflite_fp32,
    tflite_int8,
)
from edgewise.export.onnx_graph import INPUT, OPSET, OUTPUT, onnx_graph, writable
from edgewise.train.framework import keras, tf

SIZE, CLASSES = 20, 4
layers = keras.layers


def photos(count: int, seed: int = 5) -> NDArray[np.uint8]:
    """Flat colours with a little noise, so that the answers differ."""
    chance = np.random.default_rng(seed)
    colors = chance.integers(0, 256, (count, 1, 1, 3))
    return np.clip(colors + chance.integers(-20, 21, (count, SIZE, SIZE, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def network() -> Any:
    """A folded network in small: raw pixels in, probabilities out."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((SIZE, SIZE, 3), name="pixels")
    x = layers.Conv2D(8, 3, strides=2, activation="relu", name="stem_1")(inputs)
    narrow = layers.Conv2D(4, (1, 7), padding="same", activation="relu")(x)
    pooled = layers.AveragePooling2D(3, strides=1, padding="same")(x)
    up = layers.Conv2D(8, 1)(layers.Concatenate()([narrow, pooled]))
    x = layers.Activation("relu")(layers.Add()([x, up]))
    x = layers.MaxPooling2D(3, strides=2)(x)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dense(CLASSES, activation="softmax", name="predictions")(layers.Dropout(0.2)(x))
    model = keras.Model(inputs, x)
    kernel, bias = model.get_layer("stem_1").get_weights()
    # Very unequal filters, as folding makes them: one scale for all of them would ruin the small ones.
    model.get_layer("stem_1").set_weights([kernel * np.geomspace(1e-4, 1, 8) / 20, bias])
    # The classifier looks at what differs between the pictures, so that the answers do too.
    head, batch = model.get_layer("predictions"), photos(60).astype(np.float32)
    features = np.asarray(keras.Model(inputs, model.get_layer("avg_pool").output)(batch))
    kernel, center = head.kernel.numpy(), features.mean(axis=0)
    kernel /= ((features - center) @ kernel).std(axis=0)
    head.set_weights([kernel, -center @ kernel])
    return model


@pytest.fixture(scope="module")
def files(network: Any) -> dict[str, bytes]:
    """Every file of the network, made once."""
    calibration = photos(40, seed=9)
    float_onnx = onnx_fp32(network)
    return {
        "fp32.tflite": tflite_fp32(network),
        "int8.tflite": tflite_int8(network, calibration),
        "fp32.onnx": float_onnx,
        "int8.onnx": onnx_int8(float_onnx, calibration),
    }


def opened(content: bytes) -> Any:
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def run(name: str, content: bytes, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    if name.endswith(".onnx"):
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        return np.asarray(session.run([OUTPUT], {INPUT: batch})[0])
    interpreter, rows = opened(content), []
    for picture in batch:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[np.newaxis])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    return np.concatenate(rows)


@pytest.mark.parametrize(("name", "within"), [("fp32.tflite", 1e-4), ("fp32.onnx", 1e-4)])
def test_float_files_give_what_keras_gives(network: Any, files: dict[str, bytes], name: str, within: float) -> None:
    batch = photos(30)
    expected = np.asarray(network(batch.astype(np.float32), training=False))
    assert len(set(expected.argmax(axis=1))) > 1
    got = run(name, files[name], batch)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=within)


def test_the_onnx_graph_gives_what_a_general_converter_gives(network: Any, files: dict[str, bytes]) -> None:
    signature = [tf.TensorSpec((None, SIZE, SIZE, 3), tf.uint8, name=INPUT)]
    function = tf.function(lambda pixels: {OUTPUT: network(tf.cast(pixels, tf.float32), training=False)})
    general, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    batch = photos(30)
    expected = run("general.onnx", general.SerializeToString(), batch)
    np.testing.assert_allclose(run("own.onnx", files["fp32.onnx"], batch), expected, atol=1e-6)


@pytest.mark.parametrize("size", [9, 10, 11, 12])
@pytest.mark.parametrize("window", [2, 3, (1, 7), 5])
@pytest.mark.parametrize("strides", [1, 2, 3])
def test_windows_that_reach_over_the_edge_see_the_same_pixels(size: int, window: Any, strides: int) -> None:
    inputs = keras.Input((size, size + 2, 3))
    x = layers.Conv2D(4, window, strides, padding="same", activation="relu")(inputs)
    x = layers.AveragePooling2D(window, strides, padding="same")(x)
    x = layers.MaxPooling2D(window, strides, padding="same")(x)
    x = layers.GlobalAveragePooling2D()(x)
    network = keras.Model(inputs, layers.Dense(3, activation="softmax", kernel_initializer="random_normal")(x))
    batch = np.random.default_rng(0).integers(0, 256, (3, size, size + 2, 3)).astype(np.uint8)
    assert writable(network)
    got = run("x.onnx", onnx_graph(network).SerializeToString(), batch)
    np.testing.assert_allclose(got, network(batch.astype(np.float32)), atol=1e-5)


@pytest.mark.parametrize("size", [9, 10])
@pytest.mark.parametrize("multiplier", [1, 2])
def test_the_layers_of_mobile_networks_see_the_same_pixels(size: int, multiplier: int) -> None:
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
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    network = keras.Model(inputs, layers.Dense(3, activation="softmax", kernel_initializer="random_normal")(x))
    batch = np.random.default_rng(0).integers(0, 256, (3, size, size + 2, 3)).astype(np.uint8)
    assert writable(network)
    got = run("x.onnx", onnx_graph(network).SerializeToString(), batch)
    np.testing.assert_allclose(got, network(batch.astype(np.float32)), atol=1e-5)


@pytest.mark.parametrize(
    "layer", [layers.ReLU(negative_slope=0.1), layers.ReLU(threshold=1.0), layers.Reshape((3, 64))]
)
def test_a_known_layer_with_other_options_is_left_to_the_general_converter(layer: Any) -> None:
    inputs = keras.Input((8, 8, 3))
    assert not writable(keras.Model(inputs, layer(inputs)))


def test_layers_that_the_graph_writer_does_not_know_are_converted_all_the_same() -> None:
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.GlobalAveragePooling2D()(layers.SeparableConv2D(4, 3)(inputs))
    network = keras.Model(inputs, layers.Dense(3, activation="softmax")(x))
    assert not writable(network)
    batch = photos(5)
    np.testing.assert_allclose(run("x.onnx", onnx_fp32(network), batch), network(batch.astype(np.float32)), atol=1e-5)


@pytest.mark.parametrize("name", ["int8.tflite", "int8.onnx"])
def test_int8_files_stay_close_to_keras(network: Any, files: dict[str, bytes], name: str) -> None:
    batch = photos(60)
    expected = np.asarray(network(batch.astype(np.float32), training=False))
    got = run(name, files[name], batch)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got.sum(axis=1), 1, atol=0.02)
    assert np.abs(got - expected).max() < 0.1
    first, second = np.sort(expected, axis=1).T[-1], np.sort(expected, axis=1).T[-2]
    clear = first - second > 0.2
    assert clear.sum() > 10
    np.testing.assert_array_equal(got.argmax(axis=1)[clear], expected.argmax(axis=1)[clear])


def test_tflite_files_take_one_uint8_picture_and_give_floats(files: dict[str, bytes]) -> None:
    for name in ("fp32.tflite", "int8.tflite"):
        interpreter = opened(files[name])
        (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
        assert (tuple(source["shape"]), source["dtype"]) == ((1, SIZE, SIZE, 3), np.uint8)
        assert (tuple(target["shape"]), target["dtype"]) == ((1, CLASSES), np.float32)


@pytest.mark.parametrize("name", ["fp32.onnx", "int8.onnx"])
def test_onnx_files_take_any_batch_of_uint8_pictures(files: dict[str, bytes], name: str) -> None:
    model = onnx.load_from_string(files[name])
    onnx.checker.check_model(model, full_check=True)
    (source,), (target,) = model.graph.input, model.graph.output
    assert (source.name, target.name) == (INPUT, OUTPUT) == ("pixels", "probabilities")
    assert source.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert target.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert [dim.dim_value for dim in source.type.tensor_type.shape.dim][1:] == [SIZE, SIZE, 3]
    batch = photos(5)
    one_by_one = np.concatenate([run(name, files[name], picture[np.newaxis]) for picture in batch])
    np.testing.assert_allclose(run(name, files[name], batch), one_by_one, atol=1e-6)


def test_the_operator_sets_are_those_of_every_runtime(files: dict[str, bytes]) -> None:
    for name in ("fp32.onnx", "int8.onnx"):
        model = onnx.load_from_string(files[name])
        assert {entry.domain: entry.version for entry in model.opset_import}[""] == OPSET == 17
        assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}


def test_int8_tflite_computes_with_integers_only(files: dict[str, bytes]) -> None:
    interpreter = opened(files["int8.tflite"])
    (output,) = interpreter.get_output_details()
    floats = [t["index"] for t in interpreter.get_tensor_details() if t["dtype"] is np.float32]
    assert floats == [output["index"]]
    *kernels, last = [entry["op_name"] for entry in interpreter._get_ops_details() if entry["op_name"] != "DELEGATE"]
    assert last == "DEQUANTIZE"
    assert "DEQUANTIZE" not in kernels


def test_int8_tflite_takes_the_pixels_as_they_are(files: dict[str, bytes]) -> None:
    (source,) = opened(files["int8.tflite"]).get_input_details()
    assert source["quantization"] == (1.0, 0)


def test_int8_tflite_has_a_weight_scale_per_filter(files: dict[str, bytes]) -> None:
    details = opened(files["int8.tflite"]).get_tensor_details()
    kernels = [t for t in details if t["dtype"] is np.int8 and len(t["shape"]) == 4 and t["shape"][0] in (4, 8)]
    per_filter = [t["quantization_parameters"] for t in kernels if len(t["quantization_parameters"]["scales"]) > 1]
    assert sorted(len(parameters["scales"]) for parameters in per_filter) == [4, 8, 8]
    assert all(parameters["quantized_dimension"] == 0 for parameters in per_filter)
    assert all(not parameters["zero_points"].any() for parameters in per_filter)
    assert max(np.ptp(np.log10(parameters["scales"])) for parameters in per_filter) > 2


def test_int8_onnx_has_quantized_weights_per_filter_around_every_convolution(files: dict[str, bytes]) -> None:
    model = onnx.load_from_string(files["int8.onnx"])
    kinds = Counter(node.op_type for node in model.graph.node)
    assert kinds["Conv"] == 3
    assert not kinds.keys() & {"ConvInteger", "MatMulInteger", "DynamicQuantizeLinear", "QLinearConv"}
    made_by = {output: node for node in model.graph.node for output in node.output}
    values = {value.name: numpy_helper.to_array(value) for value in model.graph.initializer}
    for node in (node for node in model.graph.node if node.op_type == "Conv"):
        picture, kernel = (made_by[name] for name in node.input[:2])
        assert (picture.op_type, kernel.op_type) == ("DequantizeLinear", "DequantizeLinear")
        weights, scales = values[kernel.input[0]], values[kernel.input[1]]
        assert weights.dtype == np.int8
        assert scales.shape == weights.shape[:1]
        assert {entry.name: entry.i for entry in kernel.attribute}["axis"] == 0
        assert not values[kernel.input[2]].any()
        assert values[picture.input[2]].dtype == np.uint8


def test_int8_onnx_takes_the_pixels_as_they_are(files: dict[str, bytes]) -> None:
    model = onnx.load_from_string(files["int8.onnx"])
    values = {value.name: numpy_helper.to_array(value) for value in model.graph.initializer}
    first = next(node for node in model.graph.node if node.op_type == "QuantizeLinear")
    assert (float(values[first.input[1]]), int(values[first.input[2]])) == (1.0, 0)


def test_calibration_spans_all_pixel_values_and_leaves_the_photos_alone() -> None:
    grey = np.full((3, SIZE, SIZE, 3), 128, np.uint8)
    spanned = spanning(grey)
    assert (spanned.min(), spanned.max()) == (0, 255)
    assert (spanned != grey).sum() == 6  # two pixels of the first photo
    assert (grey == 128).all()
    assert (spanned[1:] == grey[1:]).all()


def test_dull_calibration_photos_do_not_move_the_input_scale(network: Any) -> None:
    (source,) = opened(tflite_int8(network, np.full((2, SIZE, SIZE, 3), 100, np.uint8))).get_input_details()
    assert source["quantization"] == (1.0, 0)


def test_a_tool_that_fails_gives_one_message(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConversionError) as caught:
        onnx_int8(b"no model", photos(1))
    assert str(caught.value).startswith("converting to ONNX int8 failed: ")
    assert str(caught.value).endswith("\nDo: report it with this message")
    assert str(caught.value).count("\n") == 1
    assert capfd.readouterr() == ("", "")


def test_the_tools_are_quiet_and_logging_works_again_afterwards(
    network: Any, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    onnx_fp32(network)
    assert capfd.readouterr() == ("", "")
    logging.getLogger("elsewhere").warning("heard")
    assert "heard" in caplog.text
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"
