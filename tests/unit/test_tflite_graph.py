"""TFLite files of small networks: what they hold in each kind of numbers, and what LiteRT makes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from edgewise.export import tflite_numbers
from edgewise.export.calibration import calibrate
from edgewise.export.onnx_graph import onnx_graph
from edgewise.export.plain import Activation, Operator
from edgewise.export.quantization import Numerics, Weights
from edgewise.export.reading import read_network
from edgewise.export.tflite_file import ALIGNMENT
from edgewise.export.tflite_graph import INPUT, OUTPUT, tflite_graph
from edgewise.spec.progress import Silent
from edgewise.train.framework import keras

SIZE, CLASSES, SMALL = 20, 4, 70
SCHEMES = ("fp32", "fp16", "dynamic", "int8", "w8a16")
PLAIN = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES  # no XNNPACK
NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
TYPES = {value: name for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
Run = Callable[[bytes, NDArray[np.uint8]], NDArray[np.float32]]
layers = keras.layers


class Contents:
    """A file read with the schema, which no interpreter has changed yet."""

    def __init__(self, content: bytes) -> None:
        self.model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
        (graph,) = self.model.subgraphs
        self.tensors = graph.tensors
        codes = self.model.operatorCodes
        self.operators = [
            (NAMES[code.builtinCode], code.version, each)
            for each, code in ((operator, codes[operator.opcodeIndex]) for operator in graph.operators)
        ]

    def kinds(self) -> list[str]:
        return [name for name, _, _ in self.operators]

    def dtype(self, index: int) -> str:
        return TYPES[self.tensors[index].type]

    def name(self, index: int) -> str:
        return str(self.tensors[index].name.decode())

    def stored(self) -> dict[str, str]:
        """Type of every constant that is no shape and no axis, by its name."""
        return {
            self.name(index): self.dtype(index)
            for index, tensor in enumerate(self.tensors)
            if self.model.buffers[tensor.buffer].data is not None and not self.name(index).endswith("/by")
        }


@pytest.fixture(scope="module")
def files(small: Any, numerics: Mapping[str, Numerics]) -> dict[str, bytes]:
    """The small network in all numbers; of its kernels, those of less than `SMALL` numbers count as small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tflite_numbers, "SMALL_KERNEL", SMALL)
        return {name: tflite_graph(small.plain, each) for name, each in numerics.items()}


@pytest.fixture(scope="module")
def contents(files: dict[str, bytes]) -> dict[str, Contents]:
    """What is in `files`."""
    return {name: Contents(content) for name, content in files.items()}


def expected(network: Any, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(network(batch.astype(np.float32), training=False))


def at_once(content: bytes, batch: NDArray[np.uint8], **options: Any) -> NDArray[np.float32]:
    """The answers of an interpreter that was told to take the whole batch."""
    interpreter = Interpreter(model_content=content, num_threads=1, **options)
    source = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(source, batch.shape, strict=True)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source, batch)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


def test_floats_give_what_keras_gives(small: Any, files: Any, photos: Any, run_tflite: Run) -> None:
    batch = photos(30)
    answers = expected(small.keras, batch)
    assert len(set(answers.argmax(axis=1))) > 1
    got = run_tflite(files["fp32"], batch)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, answers, atol=1e-5)


@pytest.mark.parametrize(("name", "within"), [("fp16", 0.005), ("dynamic", 0.04), ("int8", 0.08), ("w8a16", 0.03)])
def test_other_numbers_stay_close(
    small: Any, files: Any, photos: Any, run_tflite: Run, name: str, within: float
) -> None:
    batch = photos(60)
    answers, got = expected(small.keras, batch), run_tflite(files[name], batch)
    assert got.dtype == np.float32
    assert 0 < np.abs(got - answers).max() < within
    np.testing.assert_allclose(got.sum(axis=1), 1, atol=0.01)
    clear = np.diff(np.sort(answers, axis=1)[:, -2:])[:, 0] > 0.2
    assert clear.sum() > 10
    np.testing.assert_array_equal(got.argmax(axis=1)[clear], answers.argmax(axis=1)[clear])


@pytest.mark.parametrize(("name", "within"), [("fp32", 1e-5), ("fp16", 1e-3), ("int8", 0.06), ("w8a16", 0.02)])
def test_both_formats_answer_alike(
    small: Any, numerics: Any, files: Any, photos: Any, run_onnx: Run, run_tflite: Run, name: str, within: float
) -> None:
    batch = photos(60)
    other = run_onnx(onnx_graph(small.plain, numerics[name]).SerializeToString(), batch)
    np.testing.assert_allclose(run_tflite(files[name], batch), other, atol=within)


def test_16_bit_activations_are_closer_than_8_bit_ones(small: Any, files: Any, photos: Any, run_tflite: Run) -> None:
    batch = photos(60)
    answers = expected(small.keras, batch)
    errors = {name: np.abs(run_tflite(files[name], batch) - answers).mean() for name in ("w8a16", "int8")}
    assert errors["w8a16"] < 0.6 * errors["int8"]


# XNNPACK rounds some integers to the neighbour of what the plain kernels give.
@pytest.mark.parametrize(("name", "within"), [("fp32", 1e-5), ("fp16", 1e-5), ("int8", 0.06), ("w8a16", 0.03)])
def test_answers_do_not_depend_on_xnnpack(files: Any, photos: Any, name: str, within: float) -> None:
    batch = photos(60)
    plain = at_once(files[name], batch, experimental_op_resolver_type=PLAIN)
    got = at_once(files[name], batch)
    np.testing.assert_allclose(got, plain, atol=within)
    clear = np.diff(np.sort(plain, axis=1)[:, -2:])[:, 0] > 0.1
    np.testing.assert_array_equal(got.argmax(axis=1)[clear], plain.argmax(axis=1)[clear])


@pytest.mark.parametrize("name", SCHEMES)
def test_files_take_any_batch(files: Any, photos: Any, run_tflite: Run, name: str) -> None:
    batch = photos(7)
    np.testing.assert_allclose(at_once(files[name], batch), run_tflite(files[name], batch), atol=1e-6)


@pytest.mark.parametrize("name", SCHEMES)
def test_files_take_uint8_pictures_and_give_floats(files: Any, name: str) -> None:
    interpreter = Interpreter(model_content=files[name])
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (INPUT, OUTPUT) == (source["name"], target["name"]) == ("pixels", "probabilities")
    assert (tuple(source["shape"]), source["dtype"]) == ((1, SIZE, SIZE, 3), np.uint8)
    assert (tuple(target["shape"]), target["dtype"]) == ((1, CLASSES), np.float32)
    assert source["shape_signature"].tolist() == [-1, SIZE, SIZE, 3]
    assert source["quantization"] == ((1.0, 0) if name == "int8" else (0.0, 0))


@pytest.mark.parametrize("size", [9, 10, 11, 12])
@pytest.mark.parametrize("window", [2, 3, (1, 7), 5])
@pytest.mark.parametrize("strides", [1, 2, 3])
def test_windows_that_reach_over_the_edge_see_the_same_pixels(
    run_tflite: Run, size: int, window: Any, strides: int
) -> None:
    inputs = keras.Input((size, size + 2, 3))
    x = layers.Conv2D(4, window, strides, padding="same", activation="relu")(inputs)
    x = layers.AveragePooling2D(window, strides, padding="same")(x)
    x = layers.GlobalAveragePooling2D()(layers.MaxPooling2D(window, strides, padding="same")(x))
    network = keras.Model(inputs, layers.Dense(3, activation="softmax", kernel_initializer="random_normal")(x))
    batch = np.random.default_rng(0).integers(0, 256, (3, size, size + 2, 3)).astype(np.uint8)
    got = run_tflite(tflite_graph(read_network(network)), batch)
    np.testing.assert_allclose(got, expected(network, batch), atol=1e-5)


@pytest.mark.parametrize("multiplier", [1, 2])
def test_scaled_pixels_and_depthwise_filters_see_the_same_pixels(run_tflite: Run, multiplier: int) -> None:
    inputs = keras.Input((9, 11, 3))
    x = layers.Rescaling([0.01, 0.02, 0.03], [-1.0, 0.0, 1.0])(inputs)
    x = layers.ZeroPadding2D(((0, 1), (2, 3)))(x)
    x = layers.DepthwiseConv2D(3, 2, depth_multiplier=multiplier, bias_initializer="random_normal")(x)
    x = layers.DepthwiseConv2D(5, padding="same", activation="swish")(layers.ReLU(6.0)(x))
    mean = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.GlobalAveragePooling2D()(layers.Multiply()([x, layers.Rescaling(2.0, 1.0)(mean)]))
    network = keras.Model(inputs, layers.Dense(3, activation="softmax", kernel_initializer="random_normal")(x))
    batch = np.random.default_rng(0).integers(0, 256, (3, 9, 11, 3)).astype(np.uint8)
    got = run_tflite(tflite_graph(read_network(network)), batch)
    np.testing.assert_allclose(got, expected(network, batch), atol=1e-5)


def test_fp16_stores_16_bits(files: Any, contents: Any) -> None:
    stored = contents["fp16"].stored()
    assert {dtype for name, dtype in stored.items() if "kernel" in name} == {"FLOAT16"}
    assert {dtype for name, dtype in stored.items() if "bias" in name} == {"FLOAT32"}
    assert len(files["fp16"]) < len(files["fp32"])


def test_dynamic_stores_int8_and_computes_on_floats(small: Any, contents: Any) -> None:
    found = contents["dynamic"]
    stored, dequantized = found.stored(), [each for each in found.operators if each[0] == "DEQUANTIZE"]
    restored = {operator.outputs[0]: (version, operator.inputs[0]) for _, version, operator in dequantized}
    steps = {step.name: step for step in small.plain.weighted()}
    for name, version, operator in found.operators:
        if name not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            continue
        picture, kernel, bias = operator.inputs
        if name == "DEPTHWISE_CONV_2D":  # which old interpreters cannot compute from int8: restored on loading
            dequantize, kernel = restored[kernel]
            assert (version, dequantize) == (1, 5)
        step = steps[found.name(kernel).removesuffix("/kernel")]
        whole = step.kernel.size >= SMALL and step.operator is not Operator.DENSE
        assert stored[f"{step.name}/kernel"] == ("INT8" if whole else "FLOAT32")
        assert [found.dtype(index) for index in (picture, bias, operator.outputs[0])] == ["FLOAT32"] * 3
        if whole:
            assert name == "DEPTHWISE_CONV_2D" or version == 5
            assert len(found.tensors[kernel].quantization.scale) == step.channels
            assert not found.tensors[kernel].quantization.zeroPoint.any()
    assert list(stored.values()).count("INT8") > 2
    assert "QUANTIZE" not in found.kinds()


def test_int8_has_no_floats_but_the_classifiers(contents: Any) -> None:
    found = contents["int8"]
    assert [name for name, _, _ in found.operators][-3:] == ["DEQUANTIZE", "FULLY_CONNECTED", "SOFTMAX"]
    assert Counter(found.kinds())["DEQUANTIZE"] == 1
    floats = {found.name(index) for index in range(len(found.tensors)) if found.dtype(index) == "FLOAT32"}
    head = "predictions_logits"
    assert floats == {"avg_pool/float", f"{head}/kernel", f"{head}/bias", head, OUTPUT}


def test_int8_has_nothing_in_front_of_the_first_layer_but_the_change_to_int8(small: Any, contents: Any) -> None:
    kinds = contents["int8"].kinds()
    assert kinds[0] == "QUANTIZE"
    assert kinds[1] in ("CONV_2D", "PAD")
    assert Counter(kinds)["QUANTIZE"] == 1
    assert not {"SUB", "DIV", "CAST", "TRANSPOSE"} & set(kinds)
    products = [step for step in small.plain.steps if step.operator is Operator.MULTIPLICATION]
    swishes = [step for step in small.plain.steps if step.activation is Activation.SWISH]
    assert Counter(kinds)["MUL"] == len(products) + len(swishes)


def test_int8_has_a_weight_scale_per_filter(small: Any, contents: Any) -> None:
    found = contents["int8"]
    for name, _, operator in found.operators:
        if name not in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            continue
        picture, kernel, bias = (found.tensors[index] for index in operator.inputs)
        form = kernel.quantization
        assert found.dtype(operator.inputs[1]) == "INT8"
        assert form.quantizedDimension == (0 if name == "CONV_2D" else 3)
        assert len(form.scale) == kernel.shape[form.quantizedDimension] == found.tensors[operator.outputs[0]].shape[-1]
        assert not form.zeroPoint.any()
        assert found.dtype(operator.inputs[2]) == "INT32"
        np.testing.assert_allclose(bias.quantization.scale, picture.quantization.scale * form.scale, rtol=1e-6)
        if found.name(operator.inputs[1]) == "stem_1/kernel":
            assert np.ptp(np.log10(form.scale)) > 2
    assert sum(name == "CONV_2D" for name in found.kinds()) == small.plain.counts()[Operator.CONVOLUTION]


def test_w8a16_has_16_bit_convolutions(small: Any, contents: Any) -> None:
    found = contents["w8a16"]
    convolutions = [each for name, _, each in found.operators if name == "CONV_2D"]
    assert len(convolutions) == small.plain.counts()[Operator.CONVOLUTION]
    for operator in convolutions:
        assert [found.dtype(index) for index in operator.inputs] == ["INT16", "INT8", "INT64"]
        assert not found.tensors[operator.outputs[0]].quantization.zeroPoint.any()


def test_a_layer_left_in_float_keeps_its_weights(small: Any, photos: Any, run_tflite: Run) -> None:
    free = next(step for step in list(small.plain.weighted())[1:] if step.name not in small.head)
    content = tflite_graph(small.plain, Numerics(Weights.INT8, small.ranges, floats=small.head | {free.name}))
    stored = {name: dtype for name, dtype in Contents(content).stored().items() if name.endswith("/kernel")}
    in_float = {f"{free.name}/kernel", "predictions_logits/kernel"}
    assert {name for name, dtype in stored.items() if dtype == "FLOAT32"} == in_float
    assert {dtype for name, dtype in stored.items() if name not in in_float} == {"INT8"}
    batch = photos(30)
    assert np.abs(run_tflite(content, batch) - expected(small.keras, batch)).max() < 0.08


@pytest.mark.parametrize("name", SCHEMES)
def test_weights_lie_where_kernels_can_read_them_in_the_file(files: Any, contents: Any, name: str) -> None:
    found = contents[name]
    buffers = [found.model.buffers[tensor.buffer] for tensor in found.tensors if b"kernel" in tensor.name]
    places = [files[name].find(bytes(bytearray(buffer.data))) for buffer in buffers if buffer.data is not None]
    assert len(places) > 3
    assert [place % ALIGNMENT for place in places] == [0] * len(places)


def test_padded_pixels_mean_the_same_after_dull_calibration_photos(
    small: Any, photos: Any, run_onnx: Run, run_tflite: Run
) -> None:
    dull = np.minimum(photos(40, seed=9), 120)
    ranges = calibrate(small.plain, dull, Silent()).trials[0].ranges
    numerics, batch = Numerics(Weights.INT8, ranges, floats=small.head), np.minimum(photos(40), 120)
    got = run_tflite(tflite_graph(small.plain, numerics), batch)
    assert np.abs(got - expected(small.keras, batch)).max() < 0.08
    other = run_onnx(onnx_graph(small.plain, numerics).SerializeToString(), batch)
    assert np.abs(got - other).max() < 0.06
