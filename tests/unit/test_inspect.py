"""What `edgewise inspect` says about real files, compared with the formats' own tools and with sums by hand."""

from __future__ import annotations

import gzip
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from onnx import helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from edgewise.export.calibration import calibrate, float_head
from edgewise.export.conversion import convert
from edgewise.export.metadata import embed_onnx, embed_tflite
from edgewise.export.quantization import Numerics, Weights
from edgewise.export.reading import read_network
from edgewise.runtime.inspection import inspect_file
from edgewise.spec import Accuracy, Calibration, Format, InputSpec, Manifest, Scheme
from edgewise.spec.progress import Silent
from edgewise.train.framework import keras, tf

DATA = Path(__file__).parent.parent / "data"
SIZE = 12
layers = keras.layers
# By hand: four filters of 3 x 3 x 3 at 5 x 5 places; 3 x 3 for each of the 4 channels; 4 features to 3 classes.
PARAMETERS = (27 * 4 + 4) + (9 * 4 + 4) + (4 * 3 + 3)
MACS = 5 * 5 * 4 * 27 + 5 * 5 * 4 * 9 + 4 * 3
BUILTIN = OpResolverType.BUILTIN_REF  # any other puts nodes of its own in place of the file's
NAMES = ["fp32.tflite", "int8.tflite", "fp32.onnx", "int8.onnx"]


class Photos(CalibrationDataReader):  # type: ignore[misc]
    """Gives ONNX Runtime's quantizer four pictures."""

    def __init__(self, name: str) -> None:
        self._feeds = iter([{name: photo[np.newaxis]} for photo in photos()])

    def get_next(self) -> dict[str, Any] | None:
        return next(self._feeds, None)


def photos() -> Any:
    return np.random.default_rng(1).integers(0, 256, (4, SIZE, SIZE, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def network() -> Any:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(4, 3, strides=2, activation="relu", bias_initializer="random_normal")(inputs)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu", bias_initializer="random_normal")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(3, "softmax", bias_initializer="random_normal", name="classes")(x))


@pytest.fixture(scope="module")
def files(network: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The network in every format, as the converters of others would leave it: without manifest."""
    folder, plain = tmp_path_factory.mktemp("models"), read_network(network)
    ranges = calibrate(plain, photos(), Silent()).best.ranges
    numbers = {"fp32": Numerics(), "int8": Numerics(Weights.INT8, ranges, floats=float_head(plain))}
    for name in NAMES:
        scheme, form = name.split(".")
        (folder / name).write_bytes(convert(plain, numbers[scheme], Format(form)))
    return {name: folder / name for name in NAMES}


@pytest.fixture
def edgewise(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs a command line in this process; gives its exit code."""
    from edgewise.cli.main import main

    def run(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["edgewise", *map(str, words)])
        try:
            main()
        except SystemExit as stopped:
            return int(stopped.code or 0)
        return 0

    return run


def kinds(path: Path) -> Counter[str]:
    """Operator counts by the format's own tools."""
    if path.suffix == ".onnx":
        return Counter(node.op_type for node in onnx.load(path).graph.node)
    interpreter = Interpreter(model_path=str(path), experimental_op_resolver_type=BUILTIN)
    return Counter(entry["op_name"] for entry in interpreter._get_ops_details())


def known(tensor: Any) -> list[int | None]:
    """The shape that an interpreter gives; None: the batch, which may be changed."""
    return [None if length < 0 else length for length in tensor["shape_signature"].tolist()]


def islands(path: Path) -> list[str]:
    return [entry["operator"] for entry in inspect_file(path).to_data()["islands"]]


@pytest.mark.parametrize("name", NAMES)
def test_operators_are_those_that_the_formats_own_tools_count(files: dict[str, Path], name: str) -> None:
    operators = inspect_file(files[name]).operators
    assert operators == dict(kinds(files[name]))
    assert list(operators.values()) == sorted(operators.values(), reverse=True)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_and_macs_are_those_counted_by_hand(files: dict[str, Path], network: Any, name: str) -> None:
    data = inspect_file(files[name]).to_data(graph=True)
    assert network.count_params() == PARAMETERS
    assert (data["macs"], data["macs_complete"]) == (MACS, True)
    assert sorted(node["macs"] for node in data["graph"] if node["macs"]) == [12, 900, 2700]
    assert data["parameters"] == PARAMETERS
    weights = {dtype: (entry["count"], entry["bytes"]) for dtype, entry in data["weights"].items()}
    if "fp32" in name:
        assert weights == {"float32": (PARAMETERS, 4 * PARAMETERS)}
    else:
        assert weights["int8"] >= (27 * 4 + 9 * 4, 27 * 4 + 9 * 4)
        assert sum(count for count, _ in weights.values()) == PARAMETERS


@pytest.mark.parametrize("name", ["fp32.tflite", "int8.tflite"])
def test_tflite_inputs_and_outputs_are_the_interpreters(files: dict[str, Path], name: str) -> None:
    data, interpreter = inspect_file(files[name]).to_data(), Interpreter(model_path=str(files[name]))
    for ours, theirs in zip(
        data["inputs"] + data["outputs"],
        interpreter.get_input_details() + interpreter.get_output_details(),
        strict=True,
    ):
        assert (ours["name"], ours["shape"]) == (theirs["name"], known(theirs))
        assert ours["dtype"] == np.dtype(theirs["dtype"]).name
        scale, zero_point = theirs["quantization"]
        expected = {"scale": scale, "zero_point": zero_point, "channels": 1} if scale else None
        assert ours["quantization"] == expected


@pytest.mark.parametrize("name", ["fp32.tflite", "int8.tflite"])
def test_tflite_nodes_are_the_interpreters(files: dict[str, Path], name: str) -> None:
    inspection = inspect_file(files[name])
    interpreter = Interpreter(model_path=str(files[name]), experimental_op_resolver_type=BUILTIN)
    tensors = {entry["index"]: entry for entry in interpreter.get_tensor_details()}
    for node, theirs in zip(inspection.graph.nodes, interpreter._get_ops_details(), strict=True):
        assert node.operator == theirs["op_name"]
        assert [int(key) for key in node.inputs] == theirs["inputs"].tolist()
        shape = inspection.graph.shape(node.outputs[0])
        assert list(shape or ()) == known(tensors[int(node.outputs[0])])


@pytest.mark.parametrize("name", ["fp32.onnx", "int8.onnx"])
def test_shapes_that_an_onnx_file_leaves_out_are_those_of_the_onnx_package(files: dict[str, Path], name: str) -> None:
    model = onnx.load(files[name])
    del model.graph.value_info[:]
    bare = files[name].with_name("bare.onnx")
    bare.write_bytes(model.SerializeToString())
    ours, compared = inspect_file(bare).graph, 0
    for value in onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.value_info:
        tensor = value.type.tensor_type
        assert ours.shape(value.name) == tuple(
            dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim
        )
        assert ours.dtype(value.name) == helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
        compared += 1
    assert compared > 5
    assert inspect_file(bare).to_data()["macs"] == MACS


def test_float_networks_have_no_islands_and_integer_ones_have_their_classifier(files: dict[str, Path]) -> None:
    found = {name: inspect_file(path).to_data() for name, path in files.items()}
    assert [found[name]["arithmetic"] for name in NAMES] == ["float", "integer", "float", "integer"]
    assert [found[name]["dtypes"][0] for name in NAMES] == ["float32", "int8", "float32", "uint8"]
    assert [found[name]["dtypes"][1:] for name in NAMES] == [[], ["float32"], [], ["float32"]]
    assert {name: islands(path) for name, path in files.items()} == {
        "fp32.tflite": [],
        "int8.tflite": ["FULLY_CONNECTED", "SOFTMAX"],
        "fp32.onnx": [],
        "int8.onnx": ["Gemm", "Softmax"],
    }


def test_an_operator_without_integer_kernel_is_an_island_in_tflite(tmp_path: Path) -> None:
    weights = tf.random.stateless_normal((3, 3, 3, 4), (1, 2))

    @tf.function(input_signature=[tf.TensorSpec((1, SIZE, SIZE, 3), tf.float32)])
    def network(pixels: Any) -> Any:
        return tf.nn.conv2d(tf.sin(tf.nn.conv2d(pixels, weights, 1, "SAME")[..., :3]), weights, 1, "SAME")

    converter = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([photo[np.newaxis].astype(np.float32)] for photo in photos())
    (tmp_path / "m.tflite").write_bytes(converter.convert())
    assert islands(tmp_path / "m.tflite") == ["SIN"]


def test_a_node_left_out_of_quantization_is_an_island_in_onnx(
    files: dict[str, Path], tmp_path: Path, edgewise: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load(files["fp32.onnx"])
    excluded = [node for node in model.graph.node if node.op_type in ("Conv", "Softmax")][1:]
    quantize_static(
        files["fp32.onnx"],
        tmp_path / "m.onnx",
        Photos(model.graph.input[0].name),
        quant_format=QuantFormat.QDQ,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=[node.name for node in excluded],
    )
    found = inspect_file(tmp_path / "m.onnx").to_data()["islands"]
    names = [entry["name"] for entry in found]
    assert [node.name for node in excluded if node.name in names] == [node.name for node in excluded]
    # What clips the result of a convolution that is not quantized works in float as well.
    assert {entry["operator"] for entry in found} <= {"Conv", "Softmax", "Relu"}
    assert edgewise("inspect", tmp_path / "m.onnx") == 0
    text = capsys.readouterr().out
    assert f"computes in   integers, with {len(found)} float islands, see below" in text
    assert f"  {found[0]['index']:>5}  {found[0]['operator']}  {found[0]['name']}\n" in text


def test_a_foreign_file_has_no_manifest(
    files: dict[str, Path], edgewise: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    content = files["int8.tflite"].read_bytes()
    data = inspect_file(files["int8.tflite"]).to_data()
    assert (data["manifest"], data["sealed"]) == (None, False)
    assert data["bytes"] == len(content)
    assert abs(data["gzip_bytes"] - len(gzip.compress(content, 6))) < 20  # the name in the header
    assert edgewise("inspect", files["int8.tflite"]) == 0
    text = capsys.readouterr().out
    assert "manifest      none: not made by `edgewise export`\n" in text
    assert f"MACs          {MACS:,} for one picture\n" in text
    assert "computes in   integers, with 2 float islands, see below\n" in text
    assert "FULLY_CONNECTED  classes_logits\n" in text


@pytest.mark.parametrize("name", ["int8.tflite", "int8.onnx"])
def test_a_manifest_is_printed(
    files: dict[str, Path], name: str, tmp_path: Path, edgewise: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tuple(f"class-{number}" for number in range(7))
    manifest = Manifest(
        *("hats", labels, InputSpec(SIZE, SIZE), Scheme.INT8),
        temperature=1.5,
        unknown_threshold=0.25,
        calibration=Calibration(40, "0" * 64, "min-max"),
        accuracy=Accuracy(0.875, 80, "test"),
        provenance={"backbone": "small\x1b[2J", "seed": 3},
    )
    embed = embed_tflite if name.endswith("tflite") else embed_onnx
    (tmp_path / name).write_bytes(embed(files[name].read_bytes(), manifest))
    assert edgewise("inspect", tmp_path / name, "--graph") == 0
    text = capsys.readouterr().out
    for line in (
        "manifest      hats, int8, its digest fits",
        "labels        7: class-0, class-1, class-2, class-3, class-4, ...",
        "calibration   40 photos, min-max",
        "accuracy      top-1 87.50% on 80 test photos",
        "temperature   1.5",
        "unknown       below a probability of 0.25",
        "provenance    backbone: small\\x1b[2J",
        "provenance    seed: 3",
    ):
        assert f"{line}\n" in text
    assert "2,700  " in text
    assert edgewise("inspect", tmp_path / name, "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert {"schema": 1, **data["manifest"]} == json.loads(manifest.to_json())
    assert "graph" not in data
