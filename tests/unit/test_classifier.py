"""The runtime's front door: a photo in any form goes in, a label comes out, and no training framework is near."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgewise.runtime import UNKNOWN, Classifier, Prediction, Score
from edgewise.runtime.backends import open_backend
from edgewise.runtime.images import decode
from edgewise.runtime.modelfile import read_model
from edgewise.spec import InputError, ModelError, PhotoError

DATA = Path(__file__).parent.parent / "data"
MODELS = [DATA / "tiny.tflite", DATA / "tiny.onnx"]
COLORS = ["red", "green", "blue"]
each_format = pytest.mark.parametrize("model", MODELS, ids=lambda path: path.suffix)


def opened(model: Path, **options: float) -> Classifier:
    return Classifier.open(model, threads=1, unknown_threshold=options.get("unknown_threshold"))


@each_format
@pytest.mark.parametrize("color", COLORS)
def test_each_photo_gets_its_colour(model: Path, color: str) -> None:
    prediction = opened(model).predict(DATA / f"{color}.png")
    assert prediction.label == color
    assert prediction.probability == prediction.top[0].probability > 0.9
    assert prediction.top[0].label == color
    assert sum(score.probability for score in prediction.top) == pytest.approx(1, abs=1e-5)
    assert [score.probability for score in prediction.top] == sorted(
        (score.probability for score in prediction.top), reverse=True
    )


@each_format
def test_a_path_a_text_bytes_and_an_array_are_the_same_photo(model: Path) -> None:
    classifier, path = opened(model), DATA / "green.png"
    expected = classifier.predict(path)
    assert classifier.predict(str(path)) == expected
    assert classifier.predict(path.read_bytes()) == expected
    assert classifier.predict(decode(path.read_bytes(), "it")) == expected
    assert classifier.predict(classifier.prepare(path)) == expected


@each_format
def test_a_batch_gives_what_single_photos_give(model: Path) -> None:
    classifier = opened(model)
    batch = np.stack([classifier.prepare(DATA / f"{color}.png") for color in COLORS])
    predictions = [classifier.prediction(row) for row in classifier.probabilities(batch)]
    assert [prediction.label for prediction in predictions] == COLORS
    for color, prediction in zip(COLORS, predictions, strict=True):
        assert prediction.probability == pytest.approx(classifier.predict(DATA / f"{color}.png").probability, abs=1e-6)


def test_both_engines_agree() -> None:
    rows = [opened(model).probabilities(opened(model).prepare(DATA / "red.png")[np.newaxis]) for model in MODELS]
    np.testing.assert_allclose(*rows, atol=1e-5)


@pytest.mark.parametrize(("top_k", "count"), [(1, 1), (2, 2), (3, 3), (99, 3), (0, 1), (-1, 1)])
def test_as_many_classes_as_asked_for_and_there_are(top_k: int, count: int) -> None:
    prediction = opened(MODELS[0]).predict(DATA / "red.png", top_k)
    assert len(prediction.top) == count
    assert prediction.label == "red"


def test_an_answer_in_all_its_parts() -> None:
    probabilities = np.array([0.25, 0.625, 0.125], np.float32)
    assert opened(MODELS[0]).prediction(probabilities, 2) == Prediction(
        "green", 0.625, (Score("green", 1, 0.625), Score("blue", 0, 0.25))
    )


def test_equal_probabilities_come_in_label_order() -> None:
    prediction = opened(MODELS[0]).prediction(np.full(3, 1 / 3, np.float32))
    assert [score.index for score in prediction.top] == [0, 1, 2]


# Unknown


@pytest.mark.parametrize(("threshold", "label"), [(0.625, "green"), (0.626, UNKNOWN), (0.0, "green"), (1.0, UNKNOWN)])
def test_an_answer_below_the_threshold_is_unknown(threshold: float, label: str) -> None:
    classifier = opened(MODELS[0], unknown_threshold=threshold)
    prediction = classifier.prediction(np.array([0.25, 0.625, 0.125], np.float32))
    assert prediction.label == label
    assert prediction.probability == 0.625  # of the best class, also where it is unknown
    assert prediction.top[0].label == "green"


def test_without_a_threshold_nothing_is_unknown() -> None:
    assert opened(MODELS[0]).unknown_threshold is None
    assert opened(MODELS[0]).prediction(np.array([0.1, 0.1, 0.11], np.float32)).label == "red"


def test_the_models_own_threshold_counts_unless_another_is_given() -> None:
    model = read_model(MODELS[0])
    careful = replace(model, manifest=replace(model.manifest, unknown_threshold=0.9))
    backend = open_backend(model, threads=1)
    row = np.array([0.1, 0.8, 0.1], np.float32)
    assert Classifier(careful, backend).prediction(row).label == UNKNOWN
    assert Classifier(careful, backend, 0.5).prediction(row).label == "green"


@pytest.mark.parametrize("threshold", [-0.1, 1.01, float("nan")])
def test_a_threshold_that_is_no_probability(threshold: float) -> None:
    with pytest.raises(InputError) as caught:
        opened(MODELS[0], unknown_threshold=threshold)
    assert str(caught.value) == f"--unknown-threshold {threshold}\nExpected: a probability from 0 to 1"


# What is refused


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((1, 8, 8, 3), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
    ],
    ids=["grey", "alpha", "batch", "float", "empty"],
)
def test_an_array_that_is_no_picture(array: NDArray[np.uint8]) -> None:
    with pytest.raises(InputError) as caught:
        opened(MODELS[0]).predict(array)
    assert str(caught.value) == (
        f"an array of shape {array.shape} and dtype {array.dtype}\nExpected: (height, width, 3) uint8 RGB"
    )


@each_format
@pytest.mark.parametrize(
    "array",
    [
        np.zeros((32, 32, 3), np.uint8),
        np.zeros((2, 31, 32, 3), np.uint8),
        np.zeros((1, 32, 32, 3), np.float32),
        np.zeros((0, 32, 32, 3), np.uint8),
    ],
    ids=["single", "size", "float", "none"],
)
def test_a_batch_that_is_not_prepared(model: Path, array: NDArray[np.uint8]) -> None:
    with pytest.raises(InputError) as caught:
        opened(model).probabilities(array)
    assert str(caught.value) == (
        f"an array of shape {array.shape} and dtype {array.dtype}\nExpected: (n, 32, 32, 3) uint8 RGB"
    )


def test_a_photo_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "zero.jpg").touch()
    with pytest.raises(PhotoError, match=r"zero\.jpg is empty"):
        opened(MODELS[0]).predict(tmp_path / "zero.jpg")
    with pytest.raises(PhotoError):
        opened(MODELS[0]).predict(tmp_path / "not-there.jpg")
    with pytest.raises(PhotoError):
        opened(MODELS[0]).predict(b"no photo")


def test_a_model_that_is_not_there() -> None:
    with pytest.raises(ModelError, match=r"nope\.tflite does not exist"):
        Classifier.open("nope.tflite")


@each_format
def test_what_it_says_about_itself(model: Path) -> None:
    classifier = Classifier.open(str(model), threads=1)
    assert classifier.labels == classifier.manifest.labels == ("blue", "green", "red")
    assert classifier.model.path == model
    assert classifier.backend.threads == 1


def test_a_picture_of_any_size_is_brought_to_the_models() -> None:
    classifier = opened(MODELS[0])
    for height, width in ((32, 32), (1, 1), (500, 20), (33, 700)):
        picture = np.zeros((height, width, 3), np.uint8)
        picture[..., 2] = 240
        assert classifier.prepare(picture).shape == (32, 32, 3)
        assert classifier.predict(picture).label == "blue"


def test_no_framework_is_imported_and_nothing_is_said() -> None:
    code = """
import sys
from edgewise.runtime import Classifier
for model in sys.argv[1:3]:
    print(Classifier.open(model, threads=1).predict(sys.argv[3]).label)
print(sorted({"tensorflow", "keras", "tf_keras", "onnx", "tf2onnx", "h5py"} & set(sys.modules)))
"""
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, MODELS), str(DATA / "red.png")],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert result.stdout.splitlines() == ["red", "red", "[]"]
    assert result.stderr == ""


def test_colours_are_not_swapped_on_the_way(tmp_path: Path) -> None:
    # OpenCV writes and reads blue first; the classifier must not.
    path = tmp_path / "blue.png"
    cv2.imwrite(str(path), np.full((40, 40, 3), (240, 0, 0), np.uint8))
    assert opened(MODELS[1]).predict(path).label == "blue"
