"""Networks of other makers: every kind of input and output, and an error that names the option for what is not known.

The files are listed in a SHA256SUMS, so that they are loaded at once; trying out has its own tests (test_trial.py).
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgewise.runtime import Classifier
from edgewise.spec import BackendError, InputError, ModelError

RED = (200, 60, 20)
BACKENDS = {".tflite": ("litert", "openvino"), ".onnx": ("onnxruntime", "openvino")}


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("red\ngreen\nblue\n")
    return path


def flat(color: tuple[int, int, int] = RED, size: int = 8) -> NDArray[np.uint8]:
    return np.full((size, size, 3), color, np.uint8)


def answer(path: Path, **opening: Any) -> NDArray[np.float32]:
    classifier = Classifier.open(path, threads=1, **opening)
    return classifier.probabilities(classifier.prepare(flat())[np.newaxis])[0]


def softmax(*logits: float) -> NDArray[np.float64]:
    values = np.exp(np.array(logits) - max(logits))
    return values / values.sum()


def refused(path: Path, kind: type[Exception] = ModelError, **opening: Any) -> str:
    with pytest.raises(kind) as caught:
        answer(path, **opening)
    return str(caught.value)


# What goes in


@pytest.mark.parametrize("backend", BACKENDS[".onnx"])
@pytest.mark.parametrize(
    ("normalize", "mean", "deviation"),
    [
        ("-1..1", 127.5, 127.5),
        ("0..1", 0, 255),
        ("imagenet", np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])),
        ("100,50,0/10,20,40", np.array([100, 50, 0]), np.array([10, 20, 40])),
    ],
)
def test_floats_are_normalized_as_asked(
    tmp_path: Path, labels: Path, foreign: ModuleType, backend: str, normalize: str, mean: Any, deviation: Any
) -> None:
    path = foreign.listed(foreign.foreign_onnx(tmp_path / "m.onnx"))
    got = answer(path, labels=labels, normalize=normalize, backend=backend, output_kind="logits")
    np.testing.assert_allclose(got, softmax(*((np.array(RED) - mean) / deviation)), atol=1e-5)


def test_nchw_and_nhwc_are_told_apart_by_the_channels(tmp_path: Path, labels: Path, foreign: ModuleType) -> None:
    first = foreign.listed(foreign.foreign_onnx(tmp_path / "a.onnx", shape=(1, 3, 8, 6)))
    last = foreign.listed(foreign.foreign_onnx(tmp_path / "b.onnx", shape=("n", 8, 6, 3), axes=(1, 2)))
    rows = [answer(path, labels=labels, normalize="-1..1") for path in (first, last)]
    np.testing.assert_allclose(*rows, atol=1e-6)
    size = Classifier.open(first, labels=labels, normalize="-1..1").manifest.input
    assert (size.height, size.width) == (8, 6)


def test_a_shape_that_may_be_either_is_asked_about(tmp_path: Path, labels: Path, foreign: ModuleType) -> None:
    path = foreign.listed(foreign.foreign_onnx(tmp_path / "m.onnx", shape=("n", 3, 8, 3), axes=(1, 2)))
    assert refused(path, labels=labels, normalize="-1..1") == (
        f"{path} takes float32 of shape (n, 3, 8, 3), which may be NHWC or NCHW\n"
        "Expected: one that is said\nDo: add --input-layout"
    )
    assert answer(path, labels=labels, normalize="-1..1", input_layout="NHWC").argmax() == 0
    told = refused(path, InputError, labels=labels, normalize="-1..1", input_layout="HWC")
    assert told == "--input-layout HWC\nExpected: NHWC or NCHW"


def test_a_layout_that_contradicts_the_shape(tmp_path: Path, labels: Path, foreign: ModuleType) -> None:
    path = foreign.listed(foreign.foreign_onnx(tmp_path / "m.onnx"))
    told = refused(path, InputError, labels=labels, normalize="-1..1", input_layout="NHWC")
    assert told == f"--input-layout NHWC for {path}, which takes float32 of shape (n, 3, 8, 8)\nExpected: NCHW"


@pytest.mark.parametrize("backend", [*BACKENDS[".onnx"], "litert"])
def test_pictures_of_any_size_need_one(tmp_path: Path, labels: Path, foreign: ModuleType, backend: str) -> None:
    if backend == "litert":
        path, shape = foreign.foreign_tflite(tmp_path / "m.tflite", any_size=True), "(1, n, n, 3)"
    else:
        path, shape = foreign.foreign_onnx(tmp_path / "m.onnx", shape=("n", 3, "h", "w")), "(n, 3, n, n)"
    foreign.listed(path)
    assert refused(path, labels=labels, normalize="-1..1", backend=backend) == (
        f"{path} takes float32 of shape {shape}, pictures of any size\n"
        "Expected: a size that is said\nDo: add --image-size PIXELS"
    )
    classifier = Classifier.open(path, labels=labels, normalize="-1..1", backend=backend, image_size=24)
    assert classifier.manifest.input.height == classifier.manifest.input.width == 24
    assert classifier.predict(flat()).label == "red"


def test_a_size_that_contradicts_the_file(tmp_path: Path, labels: Path, foreign: ModuleType) -> None:
    path = foreign.listed(foreign.foreign_onnx(tmp_path / "m.onnx"))
    told = refused(path, InputError, labels=labels, normalize="-1..1", image_size=9)
    assert told.startswith(f"--image-size 9 for {path}, which takes float32 of shape (n, 3, 8, 8)")


def test_floats_without_a_word_about_pixels_are_asked_about(tmp_path: Path, labels: Path, foreign: ModuleType) -> None:
    for path in (foreign.foreign_onnx(tmp_path / "m.onnx"), foreign.foreign_tflite(tmp_path / "m.tflite")):
        told = refused(foreign.listed(path), labels=labels)
        assert "and nothing says what pixels become\nExpected: --normalize with none, 0..1, -1..1, imagenet" in told
        assert told.endswith("Do: add --normalize as in the network's training")


@pytest.mark.parametrize("backend", BACKENDS[".tflite"])
@pytest.mark.parametrize("softmaxed", [False, True])
@pytest.mark.parametrize(("dtype", "zero_point"), [("uint8", 128), ("int8", 0)])
def test_whole_numbers_get_raw_pixels_and_are_scaled_back(
    tmp_path: Path, labels: Path, foreign: ModuleType, backend: str, softmaxed: bool, dtype: str, zero_point: int
) -> None:
    path = foreign.foreign_tflite(tmp_path / "m.tflite", dtype, 1 / 128, zero_point, softmax=softmaxed)
    got = answer(foreign.listed(path), labels=labels, backend=backend)
    np.testing.assert_allclose(got, softmax(*((np.array(RED) - 128) / 128)), atol=0.01)


def test_whole_numbers_are_normalized_where_that_is_asked(tmp_path: Path, labels: Path, foreign: ModuleType) -> None:
    path = foreign.listed(foreign.foreign_tflite(tmp_path / "m.tflite", "int8", 1 / 64, -20))
    got = answer(path, labels=labels, normalize="-1..1")
    np.testing.assert_allclose(got, softmax(*(np.array(RED) / 127.5 - 1)), atol=0.01)


def test_unscaled_whole_numbers_cannot_be_normalized(tmp_path: Path, labels: Path, foreign: ModuleType) -> None:
    path = foreign.foreign_onnx(tmp_path / "m.onnx", dtype=TensorProto.UINT8, shape=("n", 8, 8, 3), axes=(1, 2))
    assert answer(foreign.listed(path), labels=labels).argmax() == 0
    told = refused(path, InputError, labels=labels, normalize="-1..1")
    assert told == f"--normalize for {path}, which takes uint8 without a scale\nExpected: no --normalize"


def test_a_network_that_takes_blue_first(tmp_path: Path, labels: Path, foreign: ModuleType) -> None:
    path = foreign.listed(foreign.foreign_onnx(tmp_path / "m.onnx"))
    rows = [answer(path, labels=labels, normalize="-1..1", color_order=order) for order in ("rgb", "bgr")]
    np.testing.assert_allclose(rows[0], rows[1][::-1], atol=1e-6)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_a_normalization_is_that_of_red_green_and_blue_in_either_order(
    tmp_path: Path, labels: Path, foreign: ModuleType, order: str
) -> None:
    path = foreign.listed(foreign.foreign_onnx(tmp_path / "m.onnx"))
    words = {"labels": labels, "normalize": "124,116,103/58,57,57", "color_order": order}
    row = Classifier.open(path, **words).probabilities(np.full((1, 8, 8, 3), (124, 116, 103), np.uint8))[0]
    np.testing.assert_allclose(row, 1 / 3, atol=1e-6)


def test_a_network_of_grey_pictures(tmp_path: Path, labels: Path, foreign: ModuleType) -> None:
    path = foreign.foreign_onnx(tmp_path / "m.onnx", shape=("n", 1, 8, 8), channels=1, classes=4)
    labels.write_text("none\na\nb\nc\n")
    grey = round(0.299 * 200 + 0.587 * 60 + 0.114 * 20)
    got = answer(foreign.listed(path), labels=labels, normalize="-1..1", output_kind="logits")
    np.testing.assert_allclose(got, softmax(0, *[grey / 127.5 - 1] * 3), atol=1e-5)


def test_a_network_for_batches_of_four_takes_any_number(tmp_path: Path, labels: Path, foreign: ModuleType) -> None:
    path = foreign.listed(foreign.foreign_onnx(tmp_path / "m.onnx", shape=(4, 3, 8, 8)))
    classifier = Classifier.open(path, labels=labels, normalize="-1..1")
    batch = np.stack([flat((10 * number, 0, 255 - 10 * number)) for number in range(6)])
    rows = classifier.probabilities(batch)
    assert rows.shape == (6, 3)
    np.testing.assert_allclose(rows, [classifier.probabilities(picture[np.newaxis])[0] for picture in batch], atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 4, 8, 8), (1, 8), (1, 8, 8, 3, 1)])
def test_what_takes_no_pictures(tmp_path: Path, labels: Path, foreign: ModuleType, shape: tuple[int, ...]) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    graph = helper.make_graph([node], "g", values[:1], values[1:])
    path = tmp_path / "m.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    told = refused(foreign.listed(path), labels=labels, normalize="-1..1")
    assert told.endswith("Expected: an image classifier: pictures of 1 or 3 channels")


# What comes out


def test_probabilities_and_logits_are_told_apart(tmp_path: Path, labels: Path, foreign: ModuleType) -> None:
    logits = foreign.listed(foreign.foreign_onnx(tmp_path / "a.onnx"))
    shares = foreign.listed(foreign.foreign_onnx(tmp_path / "b.onnx", ending="Softmax"))
    rows = [answer(path, labels=labels, normalize="-1..1") for path in (logits, shares)]
    np.testing.assert_allclose(*rows, atol=1e-6)


def test_numbers_that_may_be_either_are_asked_about(tmp_path: Path, labels: Path, foreign: ModuleType) -> None:
    path = foreign.listed(foreign.foreign_onnx(tmp_path / "m.onnx", ending="Sigmoid"))
    assert refused(path, labels=labels, normalize="0..1") == (
        f"{path} gives numbers from 0 to 1 that do not sum to 1\n"
        "Expected: it to be said whether these are probabilities or logits\n"
        "Do: add --output-kind probabilities or --output-kind logits"
    )
    sigmoid = 1 / (1 + np.exp(-np.array(RED) / 255))
    got = answer(path, labels=labels, normalize="0..1", output_kind="probabilities")
    np.testing.assert_allclose(got, sigmoid, atol=1e-5)
    got = answer(path, labels=labels, normalize="0..1", output_kind="logits")
    np.testing.assert_allclose(got, softmax(*sigmoid), atol=1e-5)


def test_whole_numbers_that_nobody_explains_are_asked_about(tmp_path: Path, labels: Path, foreign: ModuleType) -> None:
    path = foreign.listed(foreign.foreign_onnx(tmp_path / "m.onnx", gives=TensorProto.UINT8))
    told = refused(path, labels=labels, normalize="none")
    assert told.startswith(f"{path} gives uint8 and does not say what the numbers stand for")
    assert "--output-kind probabilities" in told
    got = answer(path, labels=labels, normalize="none", output_kind="probabilities")
    np.testing.assert_allclose(got, np.array(RED) / sum(RED), atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS[".onnx"])
def test_1001_classes_and_1000_labels(tmp_path: Path, labels: Path, foreign: ModuleType, backend: str) -> None:
    labels.write_text("\n".join([*(f"class {number}" for number in range(997)), "red", "green", "blue"]))
    path = foreign.listed(foreign.foreign_onnx(tmp_path / "m.onnx", classes=1001))
    classifier = Classifier.open(path, labels=labels, normalize="none", backend=backend)
    prediction = classifier.predict(flat())
    assert (prediction.label, prediction.top[0].index) == ("red", 999 - 2)
    assert len(classifier.labels) == 1000
    assert classifier.probabilities(flat()[np.newaxis]).shape == (1, 1000)


def test_the_backgrounds_share_stays_its_own(tmp_path: Path, labels: Path, foreign: ModuleType) -> None:
    labels.write_text("\n".join(f"class {number}" for number in range(1000)))
    path = foreign.listed(foreign.foreign_onnx(tmp_path / "m.onnx", classes=1001))
    row = answer(path, labels=labels, normalize="-1..1")
    whole = softmax(*[0] * 998, *(np.array(RED) / 127.5 - 1))
    np.testing.assert_allclose(row, whole[1:], atol=1e-6)
    assert row.sum() == pytest.approx(1 - whole[0], abs=1e-5)


def test_labels_that_do_not_fit(tmp_path: Path, labels: Path, foreign: ModuleType) -> None:
    path = foreign.listed(foreign.foreign_onnx(tmp_path / "m.onnx", classes=5))
    told = refused(path, labels=labels, normalize="0..1")
    assert told.startswith(f"--labels {labels} has 3 names, and the network gives 5 numbers\nExpected: 5 names")


def test_numbers_that_are_not_finite(tmp_path: Path, labels: Path, foreign: ModuleType) -> None:
    path = foreign.listed(foreign.foreign_onnx(tmp_path / "m.onnx", ending="Log"))
    told = refused(path, labels=labels, normalize="-1..1")
    assert told == f"{path} gives numbers that are not finite\nExpected: probabilities or logits"


# What is said about a file


def test_without_labels_they_are_asked_for(tmp_path: Path, foreign: ModuleType) -> None:
    path = foreign.foreign_onnx(tmp_path / "m.onnx")
    assert refused(path, normalize="0..1") == (
        f"{path} carries no Edgewise manifest, and nothing says what its classes are called\n"
        "Expected: a file made by `edgewise export`, or --labels FILE with a class name a line\nDo: add --labels FILE"
    )


@pytest.mark.parametrize(
    ("options", "typed"),
    [
        ({"labels": Path("l.txt")}, "--labels"),
        ({"normalize": "0..1"}, "--normalize"),
        ({"image_size": 32}, "--image-size"),
        ({"output_kind": "logits"}, "--output-kind"),
    ],
)
def test_a_file_of_ours_describes_itself(options: dict[str, Any], typed: str) -> None:
    path = Path(__file__).parents[1] / "data" / "tiny.onnx"
    told = refused(path, InputError, **options)
    assert told == (f"{typed} for {path}, which describes itself\nExpected: {typed} with files of other makers only")


def test_an_engine_that_is_not_granted_is_no_matter_of_the_file(
    tmp_path: Path, labels: Path, foreign: ModuleType
) -> None:
    path = foreign.listed(foreign.foreign_onnx(tmp_path / "m.onnx"))
    told = refused(path, BackendError, labels=labels, normalize="0..1", provider="cuda")
    assert told.startswith("--provider cuda is not there with ONNX Runtime ")
