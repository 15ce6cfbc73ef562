"""Makes the files beside it: a classifier of a photo's main colour, as tiny.tflite and tiny.onnx, and three photos.

Run it with the extra ``export`` installed: ``python tests/data/make_tiny.py``. The weights are set by hand: the score
of a colour is its mean in the picture minus half of the other two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgewise.export.metadata import embed_onnx, embed_tflite
from edgewise.spec import Accuracy, InputSpec, Manifest, Parity, Scheme

HERE = Path(__file__).parent
LABELS = ("blue", "green", "red")
SIDE = 32
PHOTOS = 300
# Rows are the channels R, G, B of a normalized picture, columns the labels.
WEIGHTS = 6 * np.array([[-0.5, -0.5, 1], [-0.5, 1, -0.5], [1, -0.5, -0.5]], np.float32)
BIAS = np.zeros(3, np.float32)

Network = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def photo(label: str, seed: int, height: int, width: int) -> NDArray[np.uint8]:
    """A softly lit surface of one main colour with a darker blob, (height, width, 3) RGB."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    middle_y, middle_x = random.uniform(0.2, 0.6, 2)
    blob = np.exp(-((y - middle_y) ** 2 + (x - middle_x) ** 2) / 0.05)
    light = 1 - 0.35 * blob + 0.15 * (x - y)
    color = random.uniform(20, 110, 3)
    color[{"red": 0, "green": 1, "blue": 2}[label]] = random.uniform(150, 220)
    return np.clip(light[..., None] * color, 0, 255).astype(np.uint8)


def numpy_network(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The same network in NumPy: what the two files are compared with."""
    score = (batch.astype(np.float32) / np.float32(127.5) - 1).mean(axis=(1, 2)) @ WEIGHTS + BIAS
    power = np.exp(score - score.max(axis=1, keepdims=True))
    return np.asarray(power / power.sum(axis=1, keepdims=True), np.float32)


def tflite() -> bytes:
    """The network as TFLite, one picture at a time."""

    class Tiny(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((1, SIDE, SIDE, 3), tf.uint8, "image")])
        def __call__(self, image: tf.Tensor) -> tf.Tensor:
            mean = tf.reduce_mean(tf.cast(image, tf.float32) / 127.5 - 1, axis=(1, 2))
            return tf.nn.softmax(tf.matmul(mean, WEIGHTS) + BIAS)

    network = Tiny()
    concrete = network.__call__.get_concrete_function()
    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete], network).convert())


def onnx_() -> bytes:
    """The network as ONNX, any number of pictures at a time."""
    constants = {
        "scale": np.float32(1 / 127.5),
        "one": np.float32(1),
        "weights": WEIGHTS,
        "bias": BIAS,
        "height_and_width": np.array([1, 2], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["pixels", "scale"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "one"], ["normalized"]),
        helper.make_node("ReduceMean", ["normalized", "height_and_width"], ["mean"], keepdims=0),
        helper.make_node("Gemm", ["mean", "weights", "bias"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probability"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["batch", len(LABELS)])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def run_tflite(content: bytes) -> Network:
    """The TFLite file as a function of a batch."""
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def run(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        rows = []
        for picture in batch:
            interpreter.set_tensor(source, picture[None])
            interpreter.invoke()
            rows.append(interpreter.get_tensor(target)[0])
        return np.stack(rows)

    return run


def run_onnx(content: bytes) -> Network:
    """The ONNX file as a function of a batch."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda batch: np.asarray(session.run(None, {"image": batch})[0])


def measured(manifest: Manifest, network: Network) -> Manifest:
    """The manifest with the accuracy of ``network`` and how it compares with NumPy, on drawn photos."""
    photos = [(label, photo(label, seed, SIDE, SIDE)) for seed in range(PHOTOS // 3) for label in LABELS]
    truth = np.array([LABELS.index(label) for label, _ in photos])
    batch = np.stack([picture for _, picture in photos])
    got, reference = network(batch), numpy_network(batch)
    difference = np.abs(got - reference)
    return replace(
        manifest,
        accuracy=Accuracy(float((got.argmax(1) == truth).mean()), PHOTOS, "held-out"),
        parity=Parity(
            reference_top1=float((reference.argmax(1) == truth).mean()),
            agreement=float((got.argmax(1) == reference.argmax(1)).mean()),
            max_difference=float(difference.max()),
            mean_difference=float(difference.mean()),
            photos=PHOTOS,
        ),
    )


def main() -> None:
    """Write the files."""
    provenance = {"recipe": "tests/data/make_tiny.py", "backbone": "none", "weights": "set by hand", "data": "drawn"}
    manifest = Manifest("tiny", LABELS, InputSpec(SIDE, SIDE), Scheme.FP32, provenance=provenance)
    plain_tflite, plain_onnx = tflite(), onnx_()
    (HERE / "tiny.tflite").write_bytes(embed_tflite(plain_tflite, measured(manifest, run_tflite(plain_tflite))))
    (HERE / "tiny.onnx").write_bytes(embed_onnx(plain_onnx, measured(manifest, run_onnx(plain_onnx))))
    for seed, label in enumerate(LABELS, 1000):
        cv2.imwrite(str(HERE / f"{label}.png"), cv2.cvtColor(photo(label, seed, 48, 64), cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
