"""Every other backbone from its official weights to exported files, at a small size with random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from edgewise.export.conversion import convert
from edgewise.export.folding import fold
from edgewise.export.observation import observe
from edgewise.export.quantization import Numerics, Weights, settled
from edgewise.export.reading import read_network, readable
from edgewise.spec import Format, ModelError
from edgewise.train.architecture import Architecture, choose
from edgewise.train.backbones import BACKBONES
from edgewise.train.forward import dropout_layers, training_answers
from edgewise.train.framework import keras, seed_everything, tf
from edgewise.train.graph import sources
from edgewise.train.network import build
from edgewise.train.normalization import normalization_layers
from edgewise.train.stages import layers_from, unfreeze_points
from edgewise.train.weights import load_initial, load_weights, save_weights

applications = keras.applications

ROUNDING = 5e-4
"""What probabilities of random weights, which exaggerate, may differ by where sums are taken in another order."""

ORIGINALS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "inception_v3": (applications.InceptionV3, applications.inception_v3.preprocess_input),
    "mobilenet_v2": (applications.MobileNetV2, applications.mobilenet_v2.preprocess_input),
    "mobilenet_v3_small": (applications.MobileNetV3Small, applications.mobilenet_v3.preprocess_input),
    "mobilenet_v3_large": (applications.MobileNetV3Large, applications.mobilenet_v3.preprocess_input),
    "efficientnet_v2_b0": (applications.EfficientNetV2B0, applications.efficientnet_v2.preprocess_input),
}


def photos(count: int, size: int, seed: int = 3) -> NDArray[np.uint8]:
    """Smooth colours with a little noise."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, 6, 6, 3)).astype(np.float32)
    smooth = np.stack([cv2.resize(picture, (size, size)) for picture in coarse])
    return np.clip(smooth + random.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)


@dataclass
class Case:
    """A backbone with weights as training leaves them."""

    architecture: Architecture
    file: Path  # of the original's weights, without classifier, as Keras writes it
    original: Any
    model: Any  # ours, filled from the file
    pixels: NDArray[np.uint8]

    @property
    def name(self) -> str:
        return self.architecture.backbone

    @property
    def signed(self) -> NDArray[np.float32]:
        return self.pixels.astype(np.float32) / np.float32(127.5) - np.float32(1)

    @cached_property
    def answers(self) -> NDArray[np.float32]:
        return np.asarray(self.model(self.signed, training=False))

    @cached_property
    def folded(self) -> Any:
        return fold(self.model)


def awake(architecture: Architecture, pixels: NDArray[np.uint8]) -> Any:
    """A network with statistics of these pictures, and answers that depend on them."""
    model = build(architecture, momentum=0.0)
    random = np.random.default_rng(1)
    for layer in normalization_layers(model):
        layer.beta.assign(random.normal(0.1, 0.3, layer.beta.shape))
        if layer.scale:
            layer.gamma.assign(random.uniform(0.6, 1.4, layer.gamma.shape))
    signed = pixels.astype(np.float32) / 127.5 - 1
    model(signed, training=True)  # without momentum, the statistics become those of this batch
    features = np.asarray(keras.Model(model.input, model.get_layer("avg_pool").output)(signed, training=False))
    head = model.get_layer("predictions")
    kernel, center = head.kernel.numpy(), features.mean(axis=0)
    kernel *= 1.5 / ((features - center) @ kernel).std(axis=0)
    head.set_weights([kernel, -center @ kernel])
    return model


def made(name: str, folder: Path) -> Case:
    seed_everything(0)
    size = 75 if name == "inception_v3" else 64
    architecture, pixels = choose(name, 5, image_size=size), photos(12, size)
    model = awake(architecture, pixels)
    weights = model.get_weights()
    original = ORIGINALS[name][0](include_top=False, weights=None, input_shape=(size, size, 3), pooling="avg")
    original.set_weights(weights[:-2])
    original.save_weights(folder / "official.h5")
    model.set_weights([*map(np.zeros_like, weights[:-2]), *weights[-2:]])
    load_initial(model, str(folder / "official.h5"))
    return Case(architecture, folder / "official.h5", original, model, pixels)


@pytest.fixture(scope="module", params=ORIGINALS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return made(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def mobile(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """The smallest of them, which has layers in groups of others in its official file."""
    return made("mobilenet_v3_small", tmp_path_factory.mktemp("mobile"))


def test_it_answers_raw_pixels_as_the_original_does(case: Case) -> None:
    preprocessed = ORIGINALS[case.name][1](case.pixels.astype(np.float32))
    expected = np.asarray(case.original(preprocessed, training=False))
    features = keras.Model(case.model.input, case.model.get_layer("avg_pool").output)
    got = np.asarray(features(case.signed, training=False))
    assert expected.std() > 0.05
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert got.shape == (12, BACKBONES[case.name].features)


def test_it_is_plain_layers_whose_names_depend_on_nothing_else(case: Case) -> None:
    assert not any("lambda" in type(layer).__name__.lower() for layer in case.model.layers)
    numbered = {
        "inception_v3": ("stem_conv2d_1", "mixed0_conv2d_6", "mixed10_conv2d_94"),
        "mobilenet_v2": ("Conv1", "block_16_project_BN"),
        "mobilenet_v3_small": ("Conv_BatchNorm", "re_lu_1", "multiply_1", "rescaling_2"),
        "mobilenet_v3_large": ("Conv_BatchNorm", "re_lu_1", "multiply_1", "rescaling_2"),
        "efficientnet_v2_b0": ("preprocessing", "stem_conv", "block6h_se_excite"),
    }
    assert {*numbered[case.name], "avg_pool", "dropout", "predictions"} <= {layer.name for layer in case.model.layers}


def test_its_own_weights_survive_into_a_network_built_later(mobile: Case, tmp_path: Path) -> None:
    save_weights(mobile.model, tmp_path / "own.h5")
    later = build(mobile.architecture)
    load_weights(later, tmp_path / "own.h5")
    np.testing.assert_array_equal(np.asarray(later(mobile.signed, training=False)), mobile.answers)


def test_each_block_can_be_the_first_that_learns(case: Case) -> None:
    points = unfreeze_points(case.architecture)
    parts = [layers_from(case.model, point) for point in points]
    outside = {layer.name for layer in case.model.layers if layer.weights} - set(parts[0])
    assert not outside  # from the first block on is the whole network
    for point, longer, shorter in zip(points, parts, parts[1:], strict=False):
        assert longer[-len(shorter) :] == shorter
        assert any(case.model.get_layer(name).trainable_weights for name in longer[: -len(shorter)]), point
        assert len(entrances(case.model, set(shorter))) == 1, point


def entrances(model: Any, learning: set[str]) -> set[str]:
    """The frozen layers whose outputs the learning ones take."""
    taken = {source.name for layer in model.layers[1:] if layer.name in learning for source in sources(layer)}
    return taken - learning


def test_dropout_depends_on_the_step_alone_and_is_off_in_inference(case: Case) -> None:
    dropouts = dropout_layers(case.model)
    assert dropouts[-1].name == "dropout"
    assert len(dropouts) == (16 if case.name == "efficientnet_v2_b0" else 1)

    def trained(step: int) -> NDArray[np.float32]:
        return np.asarray(training_answers(case.model, case.signed[:4], 0, tf.constant(step)))

    moving = [(layer, layer.get_weights()) for layer in normalization_layers(case.model)]
    first, again, other = trained(1), trained(1), trained(2)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    for layer, weights in moving:
        layer.set_weights(weights)
    still, same = (np.asarray(case.model(case.signed[:4], training=False)) for _ in range(2))
    np.testing.assert_array_equal(still, same)
    assert not np.array_equal(first, still)


def test_the_folded_network_and_its_onnx_file_answer_as_it_does(case: Case) -> None:
    expected, folded = case.answers, case.folded
    assert np.ptp(expected, axis=0).max() > 0.3  # the answers depend on the picture
    assert not normalization_layers(folded)
    got = np.asarray(folded(case.pixels.astype(np.float32), training=False))
    np.testing.assert_allclose(got, expected, atol=ROUNDING)
    assert readable(folded)
    network = read_network(folded)
    content = convert(network, Numerics(), Format.ONNX)
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"pixels": case.pixels})[0], expected, atol=ROUNDING)
    lite = opened(convert(network, Numerics(), Format.TFLITE))
    np.testing.assert_allclose(run(lite, case.pixels), expected, atol=ROUNDING)


def test_only_what_is_exact_at_the_border_is_folded_into_the_first_convolution(case: Case) -> None:
    kinds = [type(layer).__name__ for layer in case.folded.layers[:3]]
    expected = ["Conv2D", "Activation"] if case.name == "inception_v3" else ["Rescaling", "Conv2D"]
    assert kinds == ["InputLayer", *expected]


def test_an_integer_file(mobile: Case) -> None:
    network = read_network(mobile.folded)
    ranges = settled(network, observe(network, photos(20, 64, seed=9)).bounds())
    int8 = opened(convert(network, Numerics(Weights.INT8, ranges), Format.TFLITE))
    floats = [t["index"] for t in int8.get_tensor_details() if t["dtype"] is np.float32]
    assert floats == [int8.get_output_details()[0]["index"]]
    np.testing.assert_allclose(run(int8, mobile.pixels).sum(axis=1), 1, atol=0.02)
    assert "HARD_SWISH" in {entry["op_name"] for entry in int8._get_ops_details()}


def test_weights_of_another_backbone_are_refused(mobile: Case) -> None:
    with pytest.raises(ModelError) as refused:
        load_initial(build(choose("mobilenet_v2", 2, image_size=64)), str(mobile.file))
    assert "of MobileNetV2, or " in refused.value.expected
    assert refused.value.do == "use a weights file of MobileNetV2 in tf_keras.applications"


def test_a_layer_in_a_group_that_leads_elsewhere_is_refused(mobile: Case, tmp_path: Path) -> None:
    path = tmp_path / "linked.h5"
    path.write_bytes(mobile.file.read_bytes())
    with h5py.File(path, "r+") as file:
        del file["Conv/BatchNorm"]
        file["Conv/BatchNorm"] = h5py.ExternalLink(str(mobile.file), "/Conv/BatchNorm")
    with pytest.raises(ModelError, match="lists the layer 'Conv/BatchNorm' but does not have it"):
        load_initial(mobile.model, str(path))


def test_a_file_with_another_classifier_fills_the_backbone(mobile: Case, tmp_path: Path) -> None:
    path = tmp_path / "top.h5"
    path.write_bytes(mobile.file.read_bytes())
    with h5py.File(path, "r+") as file:  # as Keras writes them with its two dense layers on top
        for name, shape in (("Conv_2", (1, 1, 576, 1024)), ("Logits", (1, 1, 1024, 1000))):
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/kernel:0", f"{name}/bias:0"]
            group.create_dataset(f"{name}/kernel:0", shape, "f4")
            group.create_dataset(f"{name}/bias:0", shape[-1:], "f4")
        names = [str(name) for name in file.attrs["layer_names"]]
        file.attrs["layer_names"] = [name.encode() for name in (*names, "Conv_2", "Logits")]
    before = mobile.model.get_weights()
    load_initial(mobile.model, str(path))
    for got, expected in zip(mobile.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, expected)


def opened(content: bytes) -> Any:
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def run(interpreter: Any, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for picture in batch:
        interpreter.set_tensor(source["index"], picture[np.newaxis])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(target["index"]))
    return np.concatenate(rows)
