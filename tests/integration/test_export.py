"""What the files of a release hold and give: an InceptionResNetV2, converted for real."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter

from edgewise.export import preparation
from edgewise.export.preparation import Preparation
from edgewise.export.provenance import provenance
from edgewise.export.ranges import METHODS
from edgewise.runtime.classifier import Classifier
from edgewise.runtime.inspection import inspect_file
from edgewise.runtime.modelfile import read_model
from edgewise.spec import Scheme
from edgewise.spec.progress import Silent
from edgewise.train.pixels import digest_of, load_pixels
from edgewise.train.reference import KerasReference
from edgewise.train.run import Run

NAMES = ["small-fp32.onnx", "small-fp32.tflite", "small-int8.onnx", "small-int8.tflite"]
Check = Callable[[Path], None]
each_file = pytest.mark.parametrize("name", NAMES)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def index(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((folder / "index.json").read_text())["variants"]
    return rows


def prepare(run: Path, held_out: int | None = None) -> Preparation:
    return Preparation(Run.open(run), None, None, held_out, None, Silent())


# What is in the folder


def test_the_folder_holds_the_files_their_index_and_their_sums(
    sums_fit: Check, small_release: Path, small_run: Path
) -> None:
    assert names(small_release) == ["SHA256SUMS", "index.json", "release.md", *NAMES]
    data = json.loads((small_release / "index.json").read_text())
    assert (data["schema"], data["name"], data["run"]) == (1, "small", str(small_run))
    assert [row["file"] for row in data["variants"]] == NAMES
    sums_fit(small_release)


@each_file
def test_index_and_manifest_say_the_same(small_release: Path, name: str) -> None:
    model = read_model(small_release / name)
    row = next(row for row in index(small_release) if row["file"] == name)
    manifest = model.manifest
    assert manifest.accuracy is not None
    assert manifest.parity is not None
    assert (row["sha256"], row["bytes"]) == (model.sha256, (small_release / name).stat().st_size)
    assert (row["format"], row["scheme"]) == (model.format.value, manifest.scheme.value)
    assert (row["top1"], row["photos"], row["split"]) == (manifest.accuracy.top1, 40, "test+validation")
    assert row["parity"]["agreement"] == manifest.parity.agreement
    assert manifest.name == name.rpartition(".")[0]


def test_int8_files_are_a_quarter_as_large(small_release: Path) -> None:
    for suffix in ("tflite", "onnx"):
        large, small = ((small_release / f"small-{scheme}.{suffix}").stat().st_size for scheme in ("fp32", "int8"))
        assert 3.5 < large / small < 4.2


@each_file
def test_the_accuracy_in_a_file_is_the_one_a_user_measures(small_release: Path, small_run: Path, name: str) -> None:
    classifier, run = Classifier.open(small_release / name), Run.open(small_run)
    photos = [photo for split in ("test", "validation") for photo in run.photos(split)]
    # The most likely class, also where it is too unlikely to be given as the answer.
    right = sum(classifier.predict(photo.path).top[0].label == photo.label for photo in photos)
    assert classifier.manifest.accuracy is not None
    assert classifier.manifest.accuracy.top1 == pytest.approx(right / len(photos))
    assert classifier.manifest.accuracy.photos == len(photos) == 40
    assert classifier.labels == run.labels


@pytest.mark.parametrize("name", ["small-fp32.onnx", "small-fp32.tflite"])
def test_float_files_give_what_keras_gives(
    small_release: Path, small_run: Path, reference: KerasReference, name: str
) -> None:
    pixels = load_pixels(Run.open(small_run).photos("test"), 75).images
    expected = reference.run(pixels)
    np.testing.assert_allclose(Classifier.open(small_release / name).probabilities(pixels), expected, atol=1e-4)
    parity = read_model(small_release / name).manifest.parity
    assert parity is not None
    assert parity.agreement == 1.0
    assert parity.max_difference < 1e-4
    assert 0 <= parity.mean_difference <= parity.max_difference


@pytest.mark.parametrize("scheme", [Scheme.FP32, Scheme.INT8])
def test_onnx_gives_the_same_for_a_batch_and_for_single_photos(
    small_release: Path, small_run: Path, scheme: Scheme
) -> None:
    classifier = Classifier.open(small_release / f"small-{scheme.value}.onnx")
    pixels = load_pixels(Run.open(small_run).photos("test")[:5], 75).images
    single = np.concatenate([classifier.probabilities(picture[np.newaxis]) for picture in pixels])
    np.testing.assert_allclose(classifier.probabilities(pixels), single, atol=1e-5)


# What the files are made of


def test_tflite_int8_has_no_float_but_the_classifier(small_release: Path) -> None:
    interpreter = Interpreter(model_content=(small_release / "small-int8.tflite").read_bytes())
    (source,) = interpreter.get_input_details()
    floats = {entry["name"] for entry in interpreter.get_tensor_details() if entry["dtype"] is np.float32}
    assert all(name.startswith(("predictions", "avg_pool", "probabilities")) for name in floats)
    assert (source["dtype"], source["quantization"]) == (np.uint8, (1.0, 0))
    kinds = Counter(entry["op_name"] for entry in interpreter._get_ops_details() if entry["op_name"] != "DELEGATE")
    assert kinds["DEQUANTIZE"] == 1
    assert set(kinds) <= {
        "QUANTIZE", "CONV_2D", "MAX_POOL_2D", "AVERAGE_POOL_2D", "CONCATENATION", "ADD", "MEAN", "FULLY_CONNECTED",
        "SOFTMAX", "DEQUANTIZE",
    }  # fmt: skip


@pytest.mark.parametrize("suffix", ["tflite", "onnx"])
def test_the_float_islands_are_those_that_the_file_names(small_release: Path, suffix: str) -> None:
    path = small_release / f"small-int8.{suffix}"
    named = read_model(path).manifest.provenance["float_layers"]
    assert named == ["predictions", "predictions_logits"]
    islands = inspect_file(path).to_data()["islands"]
    assert islands
    assert all(island["name"].startswith(("predictions", "probabilities")) for island in islands)


def test_tflite_int8_has_a_scale_per_filter(small_release: Path) -> None:
    interpreter = Interpreter(model_content=(small_release / "small-int8.tflite").read_bytes())
    details = {entry["index"]: entry for entry in interpreter.get_tensor_details()}
    convolutions = [op for op in interpreter._get_ops_details() if op["op_name"] == "CONV_2D"]
    assert len(convolutions) > 30
    for convolution in convolutions:
        kernel = details[convolution["inputs"][1]]
        assert kernel["dtype"] is np.int8
        assert len(kernel["quantization_parameters"]["scales"]) == kernel["shape"][0] > 1


@pytest.mark.parametrize("suffix", ["tflite", "onnx"])
def test_nothing_normalizes_any_more(small_release: Path, suffix: str) -> None:
    path = small_release / f"small-fp32.{suffix}"
    if suffix == "tflite":
        kinds = {op["op_name"] for op in Interpreter(model_content=path.read_bytes())._get_ops_details()}
        assert not kinds & {"SUB", "MUL", "DIV", "RSQRT"}
        assert {"CAST", "CONV_2D", "SOFTMAX"} <= kinds
        return
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    assert not kinds & {"BatchNormalization", "Sub", "Mul", "Div"}
    assert {"Cast", "Conv", "Softmax"} <= kinds


def test_onnx_int8_is_quantized_around_every_convolution(small_release: Path) -> None:
    model = onnx.load(small_release / "small-int8.onnx")
    onnx.checker.check_model(model)
    made_by = {output: node for node in model.graph.node for output in node.output}
    sizes = {value.name: list(value.dims) for value in model.graph.initializer}
    kinds = Counter(node.op_type for node in model.graph.node)
    assert kinds["Conv"] > 30
    assert not kinds.keys() & {"ConvInteger", "DynamicQuantizeLinear", "BatchNormalization"}
    for node in model.graph.node:
        if node.op_type != "Conv":
            continue
        picture, kernel = (made_by[name] for name in node.input[:2])
        assert (picture.op_type, kernel.op_type) == ("DequantizeLinear", "DequantizeLinear")
        assert sizes[kernel.input[1]] == sizes[kernel.input[0]][:1]
        assert {entry.name: entry.i for entry in kernel.attribute}["axis"] == 0


def test_onnx_inputs_and_outputs_have_their_names(small_release: Path) -> None:
    for scheme in ("fp32", "int8"):
        graph = onnx.load(small_release / f"small-{scheme}.onnx").graph
        assert [value.name for value in (*graph.input, *graph.output)] == ["pixels", "probabilities"]


# Which photos were used


def test_calibration_photos_are_training_photos_and_named_by_digest(small_release: Path, small_run: Path) -> None:
    run = Run.open(small_run)
    for name in NAMES:
        calibration = read_model(small_release / name).manifest.calibration
        if "fp32" in name:
            assert calibration is None
            continue
        assert calibration is not None
        assert (calibration.photos, calibration.method in METHODS) == (60, True)
        assert re.fullmatch("[0-9a-f]{64}", calibration.sha256)
    prepared = prepare(small_run)
    chosen, train = prepared.calibration_photos.examples, run.photos("train")
    assert {example.sha256 for example in chosen} <= {example.sha256 for example in train}
    assert calibration is not None
    assert calibration.sha256 == digest_of(chosen)
    held_out = {example.sha256 for example in prepared.held_out.pixels.examples}
    assert len(held_out) == 40
    assert not held_out & {example.sha256 for example in chosen}


def test_few_calibration_photos_are_equally_many_of_each_class(
    small_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "CALIBRATION_PHOTOS", 20)
    examples = prepare(small_run).calibration_photos.examples
    assert set(Counter(example.label for example in examples).values()) == {2}
    assert len(examples) == 20


def test_validation_photos_help_only_where_the_test_is_small(small_run: Path, converted: pytest.MonkeyPatch) -> None:
    converted.setattr(preparation, "MIN_HELD_OUT", 20)
    held_out = prepare(small_run, held_out=10).held_out
    assert (held_out.split, len(held_out.pixels.labels)) == ("test", 10)
    assert len(set(held_out.pixels.labels)) == 10


# Where it came from


@each_file
def test_no_path_of_the_machine_gets_into_a_file(
    small_release: Path, small_run: Path, signs_folder: Path, name: str
) -> None:
    content = (small_release / name).read_bytes()
    for path in (small_run, signs_folder, small_release, Path.home(), Path(__file__).parent):
        assert str(path).encode() not in content
    source = read_model(small_release / name).manifest.provenance
    assert source["backbone"] == "inception_resnet_v2"
    assert source["blocks"] == {"block35": [10], "block17": [20], "block8": [10]}
    assert (source["weights"], source["weights_sha256"], source["seed"]) == ("none", None, 0)
    assert source["data_sha256"] == Run.open(small_run).config.data_sha256
    assert {"edgewise", "tensorflow", "ai-edge-litert", "onnxruntime", "python"} <= set(source["versions"])


def test_of_a_weights_file_only_the_name_is_told(run_copy: Path, tmp_path: Path) -> None:
    text = (run_copy / "config.yaml").read_text()
    (run_copy / "config.yaml").write_text(text.replace(" weights: none", " weights: /home/ann/secret/mine.h5"))
    told = provenance(Run.open(run_copy))
    assert told["weights"] == "mine.h5"
    assert "ann" not in json.dumps(told)
