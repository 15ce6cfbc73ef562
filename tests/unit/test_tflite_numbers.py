"""TFLite files written without a converter: what they hold, and that interpreters compute what the steps say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from edgewise.export.folding import fold
from edgewise.export.keras_network import ACTIVATIONS, keras_network
from edgewise.export.metadata import embed_tflite
from edgewise.export.plain import WEIGHTED, Activation, Network, Operator, Step, Window
from edgewise.export.quantization import (
    Numerics,
    Range,
    Weights,
    per_output,
    quantized_kernel,
    settled,
)
from edgewise.export.reading import read_network
from edgewise.export.tflite_graph import tflite_graph
from edgewise.runtime.inspection import inspect_file
from edgewise.runtime.islands import Arithmetic
from edgewise.runtime.modelfile import read_model
from edgewise.spec import InputSpec, Manifest, Scheme
from edgewise.train.architecture import choose
from edgewise.train.backbones import BACKBONES
from edgewise.train.framework import keras, seed_everything, tf
from edgewise.train.network import build
from edgewise.train.normalization import normalization_layers

SIZE, CLASSES = 12, 5
CHANCE = np.random.default_rng(0)
NAMES = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
XNNPACK, PLAIN = OpResolverType.AUTO, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
ENGINES = pytest.mark.parametrize("engine", [XNNPACK, PLAIN], ids=["xnnpack", "plain"])


@cache
def album(size: int) -> NDArray[np.uint8]:
    chance = np.random.default_rng(3)
    colors = chance.integers(0, 256, (40, 1, 1, 3))
    return np.clip(colors + chance.integers(-40, 41, (40, size, size, 3)), 0, 255).astype(np.uint8)


def photos(count: int, size: int = SIZE) -> NDArray[np.uint8]:
    """Flat colours with a little noise, so that the answers differ."""
    return album(size)[:count]


def drawn(*shape: int, spread: float = 0.3) -> NDArray[np.float32]:
    return CHANCE.normal(0, spread, shape).astype(np.float32)


def convolution(name: str, source: str, shape: tuple[int, ...], kernel: tuple[int, ...], **more: Any) -> Step:
    window = more.pop("window", Window(kernel[:2], same=True))
    operator = more.pop("operator", Operator.CONVOLUTION)
    return Step(operator, name, (source,), shape, kernel=drawn(*kernel), bias=drawn(shape[-1]), window=window, **more)


@cache
def everything() -> Network:
    """Every operator and every activation."""
    o, a, full = Operator, Activation, (12, 12, 3)
    unequal = np.float32([0.01, 0.02, 0.015]), np.float32([-1, -2, 0])
    halved = Window((3, 3), (2, 2), same=True)
    steps = (
        Step(o.INPUT, "photo", (), full),
        Step(o.SCALING, "centered", ("photo",), full, kernel=unequal[0], bias=unequal[1]),
        convolution("stem", "centered", (6, 6, 8), (3, 3, 3, 8), window=halved, activation=a.RELU6),
        Step(o.PADDING, "border", ("stem",), (8, 8, 8), padding=(0, 2, 1, 1)),
        convolution("deep", "border", (6, 6, 16), (3, 3, 8, 2), operator=o.DEPTHWISE, window=Window((3, 3))),
        Step(o.ACTIVATION, "hard", ("deep",), (6, 6, 16), a.HARD_SWISH),
        Step(o.MEAN, "squeeze", ("hard",), (16,)),
        Step(o.RESHAPE, "place", ("squeeze",), (1, 1, 16)),
        convolution("gate", "place", (1, 1, 16), (1, 1, 16, 16)),
        Step(o.SCALING, "third", ("gate",), (1, 1, 16), kernel=np.float32([0.3]), bias=np.float32([0])),
        Step(o.ACTIVATION, "share", ("third",), (1, 1, 16), a.SIGMOID),
        Step(o.MULTIPLICATION, "excited", ("hard", "share"), (6, 6, 16)),
        convolution("wide", "excited", (6, 6, 16), (3, 3, 16, 16)),
        Step(o.ACTIVATION, "swished", ("wide",), (6, 6, 16), a.SWISH),
        Step(o.ADDITION, "sum", ("swished", "hard"), (6, 6, 16), a.RELU),
        Step(o.MAX_POOL, "largest", ("sum",), (3, 3, 16), window=halved),
        Step(o.AVERAGE_POOL, "average", ("sum",), (3, 3, 16), window=halved),
        Step(o.CONCATENATION, "both", ("largest", "average"), (3, 3, 32)),
        Step(o.ACTIVATION, "cut", ("both",), (3, 3, 32), a.RELU6),
        Step(o.MEAN, "features", ("cut",), (32,)),
        Step(o.DENSE, "logits", ("features",), (CLASSES,), kernel=drawn(32, CLASSES, spread=2), bias=drawn(CLASSES)),
        Step(o.SOFTMAX, "answer", ("logits",), (CLASSES,)),
    )  # fmt: skip
    return Network("everything", steps)


@cache
def backbone(name: str) -> tuple[Any, Network]:
    """A network whose answers depend on the picture, in Keras and read."""
    seed_everything(0)
    size = 75 if "inception" in name else 64
    model = build(choose(name, CLASSES, image_size=size, counts=(1, 1, 1) if "resnet" in name else None), momentum=0.0)
    chance, signed = np.random.default_rng(1), photos(8, size).astype(np.float32) / 127.5 - 1
    for layer in normalization_layers(model):
        layer.beta.assign(chance.normal(0.1, 0.3, layer.beta.shape))
    model(signed, training=True)  # without momentum, the statistics become those of this batch
    head = model.get_layer("predictions")
    features = np.asarray(keras.Model(model.input, model.get_layer("avg_pool").output)(signed, training=False))
    kernel, center = head.kernel.numpy(), features.mean(axis=0)
    kernel *= 1.5 / ((features - center) @ kernel).std(axis=0)
    head.set_weights([kernel, -center @ kernel])
    return model, read_network(fold(model))


def computed(step: Step, inputs: list[NDArray[np.float32]], kernel: Any) -> NDArray[np.float32]:
    """What a step gives in floats; ``kernel`` may be another one than its own."""
    o, x, window = Operator, inputs[0], step.window or Window((1, 1))
    pads, (high, wide) = "SAME" if window.same else "VALID", window.strides
    above, below, left, right = step.padding
    one: Mapping[Operator, Any] = {
        o.CONVOLUTION: lambda: tf.nn.conv2d(x, kernel, window.strides, pads) + step.bias,
        o.DEPTHWISE: lambda: tf.nn.depthwise_conv2d(x, kernel, (1, high, wide, 1), pads) + step.bias,
        o.DENSE: lambda: x @ kernel + step.bias,
        o.MAX_POOL: lambda: tf.nn.max_pool2d(x, window.size, window.strides, pads),
        o.AVERAGE_POOL: lambda: tf.nn.avg_pool2d(x, window.size, window.strides, pads),
        o.MEAN: lambda: x.mean(axis=(1, 2), keepdims=len(step.shape) == 3),
        o.CONCATENATION: lambda: np.concatenate(inputs, axis=-1),
        o.ADDITION: lambda: x + inputs[1],
        o.MULTIPLICATION: lambda: x * inputs[1],
        o.SCALING: lambda: x * kernel + step.bias,
        o.PADDING: lambda: np.pad(x, ((0, 0), (above, below), (left, right), (0, 0))),
        o.RESHAPE: lambda: x.reshape(-1, *step.shape),
        o.SOFTMAX: lambda: tf.nn.softmax(x),
        o.ACTIVATION: lambda: x,
    }
    return np.asarray(ACTIVATIONS[step.activation](tf.convert_to_tensor(one[step.operator]())), np.float32)


def walked(network: Network, batch: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """The outputs of all steps in floats."""
    found = {network.input.name: batch.astype(np.float32)}
    for step in network.steps[1:]:
        found[step.name] = computed(step, [found[name] for name in step.inputs], step.kernel)
    return found


@cache
def ranges(network: Network, size: int = SIZE) -> dict[str, Range]:
    outputs = walked(network, photos(40 if size == SIZE else 8, size))
    return settled(network, {name: (float(x.min()), float(x.max())) for name, x in outputs.items()})


def opened(content: bytes, engine: Any = XNNPACK, batch: int = 1, *, keep: bool = False) -> Any:
    interpreter = Interpreter(
        model_content=content, num_threads=1,
        experimental_op_resolver_type=engine, experimental_preserve_all_tensors=keep,
    )  # fmt: skip
    (source,) = interpreter.get_input_details()
    if batch != 1:
        interpreter.resize_tensor_input(source["index"], (batch, *source["shape"][1:]))
    interpreter.allocate_tensors()
    return interpreter


def run(interpreter: Any, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows, count = [], source["shape"][0]
    for start in range(0, len(batch), count):
        interpreter.set_tensor(source["index"], batch[start : start + count])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(target["index"]))
    return np.concatenate(rows)


def parsed(content: bytes) -> Any:
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))


def operators(content: bytes) -> Counter[tuple[str, int]]:
    """Names and versions."""
    model = parsed(content)
    codes = [model.operatorCodes[each.opcodeIndex] for each in model.subgraphs[0].operators]
    return Counter((NAMES[code.builtinCode], code.version) for code in codes)


def named(content: bytes, operator: str) -> int:
    return sum(count for (name, _), count in operators(content).items() if name == operator)


def kernels(content: bytes) -> Counter[str]:
    """The dtypes of stored weights."""
    names = {number: name for name, number in vars(schema.TensorType).items() if isinstance(number, int)}
    tensors = [each for each in parsed(content).subgraphs[0].tensors if each.name.endswith(b"/kernel")]
    return Counter(names[each.type] for each in tensors)


def assert_every_step_is_exact(network: Network, numerics: Numerics, photo: NDArray[np.uint8]) -> None:
    """Each step's integers are within one of what its own inputs say, simulated in floats."""
    interpreter = opened(tflite_graph(network, numerics), PLAIN, keep=True)
    run(interpreter, photo)
    found, forms = {}, {}
    for tensor in interpreter.get_tensor_details():
        scale, zero = tensor["quantization"]
        if tensor["name"] in network.by_name and scale:
            forms[tensor["name"]] = scale, zero, tensor["dtype"]
            found[tensor["name"]] = np.float32(scale) * (
                interpreter.get_tensor(tensor["index"]).astype(np.float32) - zero
            )
    assert set(forms) == set(network.by_name)
    for step in network.steps[1:]:
        kernel: Any = step.kernel
        if step.operator in WEIGHTED:
            whole, scales = quantized_kernel(step)
            kernel = (whole.reshape(per_output(step).shape) * scales).reshape(whole.shape)
        scale, zero, dtype = forms[step.name]
        limits = np.iinfo(dtype)
        exact = np.rint(computed(step, [found[name] for name in step.inputs], kernel) / scale) + zero
        got = found[step.name] / scale + zero
        # The softmax of 16 bits looks its exponentials up in a table.
        steps = 8 if step.operator is Operator.SOFTMAX and numerics.bits == 16 else 1
        assert np.abs(np.clip(exact, limits.min, limits.max) - got).max() < steps + 0.01, step.name


def test_the_network_of_these_tests_has_everything() -> None:
    assert set(everything().counts()) == set(Operator)
    assert {step.activation for step in everything().steps} == set(Activation)


@ENGINES
@pytest.mark.parametrize("batch", [1, 3])
def test_floats_are_those_of_the_steps(engine: Any, batch: int) -> None:
    content = tflite_graph(everything())
    expected = walked(everything(), photos(9))["answer"]
    assert np.ptp(expected, axis=0).max() > 0.3
    np.testing.assert_allclose(run(opened(content, engine, batch), photos(9)), expected, atol=1e-5)


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_answers_as_keras_does(name: str) -> None:
    model, network = backbone(name)
    pixels = photos(6, network.input.shape[0])
    expected = np.asarray(model(pixels.astype(np.float32) / 127.5 - 1, training=False))
    assert np.ptp(expected, axis=0).max() > 0.3
    content = tflite_graph(network)
    for engine, batch in ((XNNPACK, 1), (PLAIN, 1), (XNNPACK, 3), (PLAIN, 3)):
        np.testing.assert_allclose(run(opened(content, engine, batch), pixels), expected, atol=5e-4)


@pytest.mark.parametrize("name", BACKBONES)
def test_every_step_of_every_backbone_is_exact_in_int8(name: str) -> None:
    network = backbone(name)[1]
    size = network.input.shape[0]
    assert_every_step_is_exact(network, Numerics(Weights.INT8, ranges(network, size)), photos(1, size))


def test_every_step_is_exact_with_16_bits() -> None:
    steps = (replace(s, activation=Activation.RELU) if s.name == "hard" else s for s in everything().steps)
    network = replace(everything(), steps=tuple(steps))  # hard swish has no kernel for them
    assert_every_step_is_exact(network, Numerics(Weights.INT8, ranges(network), bits=16), photos(1))


@ENGINES
def test_int8_has_integers_everywhere_but_in_its_output(engine: Any) -> None:
    content = tflite_graph(everything(), Numerics(Weights.INT8, ranges(everything())))
    interpreter = opened(content, PLAIN)
    floats = [each["name"] for each in interpreter.get_tensor_details() if each["dtype"] in (np.float32, np.float16)]
    assert floats == ["probabilities"]
    assert (named(content, "QUANTIZE"), named(content, "DEQUANTIZE"), named(content, "CAST")) == (1, 1, 0)
    assert kernels(content) == {"INT8": 7}  # the two scalings are convolutions of one place
    expected = walked(everything(), photos(40))["answer"]
    for batch in (1, 4):
        got = run(opened(content, engine, batch), photos(40))
        assert np.abs(got - expected).mean() < 0.01
        assert (got.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.9


@ENGINES
def test_16_bits_are_much_closer_than_8(engine: Any) -> None:
    # Kernels that int8 holds exactly, so that only activations count.
    steps = (replace(s, kernel=rounded(s)) if s.operator in WEIGHTED else s for s in everything().steps)
    network = replace(everything(), steps=tuple(steps))
    errors = {}
    for bits in (8, 16):
        content = tflite_graph(network, Numerics(Weights.INT8, ranges(network), bits))
        errors[bits] = np.abs(run(opened(content, engine), photos(40)) - walked(network, photos(40))["answer"]).mean()
    assert errors[16] < errors[8] / 30


def rounded(step: Step) -> NDArray[np.float32]:
    whole, scales = quantized_kernel(step)
    return np.asarray((whole.reshape(per_output(step).shape) * scales).reshape(whole.shape), np.float32)


@ENGINES
def test_float16_weights_are_restored(engine: Any) -> None:
    content = tflite_graph(everything(), Numerics(Weights.FLOAT16))
    assert kernels(content) == {"FLOAT16": 5}
    assert operators(content)["DEQUANTIZE", 3] == 5
    np.testing.assert_allclose(
        run(opened(content, engine, 3), photos(9)), walked(everything(), photos(9))["answer"], atol=5e-3
    )


@ENGINES
def test_int8_weights_without_ranges(engine: Any) -> None:
    network = backbone("mobilenet_v3_small")[1]
    content = tflite_graph(network, Numerics(Weights.INT8))
    small = [step.name for step in network.weighted() if step.kernel is not None and step.kernel.size < 1024]
    counts = network.counts()
    assert len(small) > 1
    assert kernels(content)["FLOAT32"] == len({*small, network.output.inputs[0]})
    assert operators(content)["CONV_2D", 5] + operators(content)["CONV_2D", 1] == counts[Operator.CONVOLUTION]
    assert operators(content)["FULLY_CONNECTED", 1] == 1
    assert named(content, "DEQUANTIZE") == operators(content)["DEQUANTIZE", 5] < counts[Operator.DEPTHWISE]
    expected = run(opened(tflite_graph(network)), photos(30, 64))
    for batch in (1, 3):
        got = run(opened(content, engine, batch), photos(30, 64))
        assert np.abs(got - expected).mean() < 0.04
    assert len(content) < 0.4 * len(tflite_graph(network))


@ENGINES
@pytest.mark.parametrize(
    ("floats", "quantize", "dequantize", "cast"),
    [
        ({"logits", "answer"}, 1, 1, 0),  # the features, once
        ({"centered", "stem"}, 1, 1, 1),  # what stem gives, and the answer
        ({"centered"}, 1, 1, 1),
        ({"wide", "swished"}, 2, 2, 0),  # neighbours give each other floats
        ({"hard"}, 2, 2, 0),  # three take it
        ({"largest", "both"}, 2, 3, 0),  # sum and average
    ],
)
def test_floats_among_integers(engine: Any, floats: set[str], quantize: int, dequantize: int, cast: int) -> None:
    numerics = Numerics(Weights.INT8, ranges(everything()), floats=frozenset(floats))
    content = tflite_graph(everything(), numerics)
    counts = named(content, "QUANTIZE"), named(content, "DEQUANTIZE"), named(content, "CAST")
    assert counts == (quantize, dequantize, cast)
    expected = walked(everything(), photos(20))["answer"]
    assert np.abs(run(opened(content, engine), photos(20)) - expected).mean() < 0.02


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs")
def test_the_versions_are_those_that_the_converter_chooses() -> None:
    """An older interpreter refuses a version that it does not know, instead of computing something else."""
    network, model = everything(), keras_network(everything())

    def converted(*, quantized: bool) -> bytes:
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        if quantized:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.representative_dataset = lambda: ([photo[None].astype(np.float32)] for photo in photos(4))
        return bytes(converter.convert())

    whole = Numerics(Weights.INT8, ranges(network))
    for content, numerics in ((converted(quantized=False), Numerics()), (converted(quantized=True), whole)):
        theirs, ours = dict(operators(content).keys()), dict(operators(tflite_graph(network, numerics)).keys())
        common = set(theirs) & set(ours) - {"MUL"}  # whose version depends on the ranges
        assert len(common) >= 8
        assert {name: ours[name] for name in common} == {name: theirs[name] for name in common}


@pytest.mark.parametrize("finer", [False, True])
def test_a_multiplication_with_finer_steps_than_its_inputs_says_so(finer: bool) -> None:
    bounds = {**ranges(everything()), **({"excited": (-1e-3, 1e-3)} if finer else {"excited": (-50.0, 50.0)})}
    found = {
        version
        for name, version in operators(tflite_graph(everything(), Numerics(Weights.INT8, bounds)))
        if name == "MUL"
    }
    assert (3 if finer else 2) in found


@pytest.mark.parametrize("bits", [8, 16])
def test_a_sigmoid_that_shares_its_range_works_in_floats(bits: int) -> None:
    before, (after, *rest) = everything().steps[:11], everything().steps[11:]
    joined = Step(Operator.CONCATENATION, "joined", ("third", "share"), (1, 1, 32))
    mixed = convolution("mixed", "joined", (1, 1, 16), (1, 1, 32, 16))
    network = replace(everything(), steps=(*before, joined, mixed, replace(after, inputs=("hard", "mixed")), *rest))
    content = tflite_graph(network, Numerics(Weights.INT8, ranges(network), bits))
    assert operators(content)["LOGISTIC", 1] == 1
    alone = tflite_graph(everything(), Numerics(Weights.INT8, ranges(everything()), bits))
    assert operators(alone)["LOGISTIC", 1] == 0
    assert np.isfinite(run(opened(content, PLAIN), photos(2))).all()


def test_scalings_that_change_nothing() -> None:
    one, none = np.float32([1]), np.float32([0])
    for kernel, bias, factors, offsets in ((one, none, 0, 0), (2 * one, none, 1, 0), (one, 2 + none, 0, 1)):
        steps = (replace(s, kernel=kernel, bias=bias) if s.name == "third" else s for s in everything().steps)
        network = replace(everything(), steps=tuple(steps))
        content = tflite_graph(network)
        assert (named(content, "MUL"), named(content, "ADD")) == (3 + factors, 2 + offsets)
        np.testing.assert_allclose(run(opened(content), photos(3)), walked(network, photos(3))["answer"], atol=1e-5)


@pytest.mark.parametrize("numerics", [Numerics(), Numerics(Weights.INT8, ranges(everything()))], ids=["fp32", "int8"])
def test_what_is_around_the_network(numerics: Numerics) -> None:
    content = tflite_graph(everything(), numerics)
    assert content == tflite_graph(everything(), numerics)
    model = parsed(content)
    assert (model.version, model.description) == (3, b"Edgewise")
    runner = opened(content).get_signature_runner()
    assert list(runner.get_input_details()) == ["pixels"]
    assert list(runner.get_output_details()) == ["probabilities"]
    (source,), (target,) = opened(content).get_input_details(), opened(content).get_output_details()
    assert (source["name"], source["dtype"], source["shape_signature"].tolist()) == (
        "pixels",
        np.uint8,
        [-1, 12, 12, 3],
    )
    assert (target["name"], target["dtype"], target["shape_signature"].tolist()) == (
        "probabilities",
        np.float32,
        [-1, 5],
    )
    np.testing.assert_array_equal(runner(pixels=photos(1))["probabilities"], run(opened(content), photos(1)))


def test_the_rest_of_the_package_reads_it(tmp_path: Path) -> None:
    labels = tuple("abcde")
    manifest = Manifest("m", labels, InputSpec(SIZE, SIZE), Scheme.INT8)
    floats = frozenset({"logits", "answer"})
    content = tflite_graph(everything(), Numerics(Weights.INT8, ranges(everything()), floats=floats))
    path = tmp_path / "m.tflite"
    path.write_bytes(embed_tflite(content, manifest))
    assert read_model(path).manifest.labels == labels
    np.testing.assert_array_equal(run(opened(path.read_bytes()), photos(3)), run(opened(content), photos(3)))
    seen = inspect_file(path)
    assert seen.numerics.arithmetic is Arithmetic.INTEGER
    assert [seen.graph.nodes[index].operator for index in seen.numerics.islands] == ["FULLY_CONNECTED", "SOFTMAX"]
    assert None not in seen.macs
