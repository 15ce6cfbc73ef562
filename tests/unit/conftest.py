"""What the tests of the export share: two small networks with every kind of layer, and their files in all numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

SIZE, CLASSES = 20, 4
"""Pixels of a side of the small networks' pictures, and their classes."""


class Small(NamedTuple):
    """A small network in both forms, and the ranges of its activations."""

    keras: Any
    plain: Any  # edgewise.export.plain.Network
    ranges: Mapping[str, tuple[float, float]]  # settled
    widest: Mapping[str, tuple[float, float]]  # settled, of everything that was seen
    head: frozenset[str]  # the steps that stay in float


Run = Callable[[bytes, NDArray[np.uint8]], NDArray[np.float32]]
"""From a file's content and pictures to probabilities."""


def flat_photos(count: int, seed: int = 5, size: int = SIZE) -> NDArray[np.uint8]:
    """Flat colours with a little noise, so that the answers differ."""
    chance = np.random.default_rng(seed)
    colors = chance.integers(0, 256, (count, 1, 1, 3))
    return np.clip(colors + chance.integers(-20, 21, (count, size, size, 3)), 0, 255).astype(np.uint8)


def inception() -> Any:
    """Raw pixels in, probabilities out: windows of many shapes, a concatenation, a sum, pools."""
    from edgewise.train.framework import keras

    layers = keras.layers
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
    return model


def mobile() -> Any:
    """Depthwise convolutions, a pad, a swish, a hard swish and a gate for each channel, as mobile networks have."""
    from edgewise.train.framework import keras

    layers = keras.layers
    inputs = keras.Input((SIZE, SIZE, 3), name="pixels")
    x = layers.ZeroPadding2D(((0, 1), (0, 1)))(inputs)
    x = layers.Conv2D(8, 3, strides=2, kernel_initializer=keras.initializers.RandomNormal(0, 0.004))(x)
    x = layers.Multiply()([x, layers.Rescaling(1 / 6)(layers.ReLU(6.0)(layers.Rescaling(1.0, 3.0)(x)))])
    x = layers.DepthwiseConv2D(3, padding="same", depthwise_initializer="random_normal", name="depthwise")(x)
    x = layers.ReLU(6.0)(layers.Conv2D(8, 1)(x))
    x = layers.Conv2D(8, 3, padding="same", activation="swish")(x)
    gate = layers.GlobalAveragePooling2D()(x)
    gate = layers.Conv2D(8, 1, activation="sigmoid")(layers.Reshape((1, 1, 8))(gate))
    x = layers.GlobalAveragePooling2D(name="avg_pool")(layers.Multiply()([x, gate]))
    return keras.Model(inputs, layers.Dense(CLASSES, activation="softmax", name="predictions")(x))


@pytest.fixture(scope="session")
def photos() -> Callable[..., NDArray[np.uint8]]:
    """`flat_photos`."""
    return flat_photos


@pytest.fixture(scope="session", params=["inception", "mobile"])
def small(request: pytest.FixtureRequest) -> Small:
    """A small network whose answers to `flat_photos` differ."""
    from edgewise.export.calibration import calibrate, float_head
    from edgewise.export.quantization import settled
    from edgewise.export.reading import read_network
    from edgewise.spec.progress import Silent
    from edgewise.train.framework import keras

    keras.utils.set_random_seed(3)
    model = {"inception": inception, "mobile": mobile}[request.param]()
    # The classifier looks at what differs between the pictures, so that the answers do too.
    head, batch = model.get_layer("predictions"), flat_photos(60).astype(np.float32)
    features = np.asarray(keras.Model(model.input, model.get_layer("avg_pool").output)(batch))
    kernel, center = head.kernel.numpy(), features.mean(axis=0)
    kernel /= ((features - center) @ kernel).std(axis=0)
    head.set_weights([kernel, -center @ kernel])
    plain = read_network(model)
    calibration = calibrate(plain, flat_photos(40, seed=9), Silent())
    return Small(model, plain, calibration.best.ranges, settled(plain, calibration.widest, bits=16), float_head(plain))


@pytest.fixture(scope="session")
def numerics(small: Small) -> Mapping[str, Any]:
    """In which numbers the small network is written, by the name of the scheme."""
    from edgewise.export.quantization import Numerics, Weights

    return {
        "fp32": Numerics(),
        "fp16": Numerics(Weights.FLOAT16),
        "dynamic": Numerics(Weights.INT8),
        "int8": Numerics(Weights.INT8, small.ranges, floats=small.head),
        "w8a16": Numerics(Weights.INT8, small.widest, bits=16, floats=small.head),
    }


@pytest.fixture(scope="session")
def run_onnx() -> Run:
    """Gives what ONNX Runtime gives for a file."""
    import onnxruntime

    from edgewise.runtime.engines.onnxruntime import EXACT_PRODUCTS

    def run(content: bytes, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry(*EXACT_PRODUCTS)
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return np.asarray(session.run(["probabilities"], {"pixels": batch})[0])

    return run


@pytest.fixture(scope="session")
def run_tflite() -> Run:
    """Gives what LiteRT gives for a file, picture by picture."""
    from ai_edge_litert.interpreter import Interpreter

    def run(content: bytes, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        interpreter, rows = Interpreter(model_content=content, num_threads=1), []
        interpreter.allocate_tensors()
        for picture in batch:
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[np.newaxis])
            interpreter.invoke()
            rows.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
        return np.concatenate(rows)

    return run


@pytest.fixture(scope="session")
def foreign() -> ModuleType:
    """Writers of small networks as other tools export them: the module ``foreign_models.py``."""
    spec = spec_from_file_location("foreign_models", Path(__file__).with_name("foreign_models.py"))
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
