"""What `edgewise inspect` takes for float islands: what computes in float in a network of integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewise.export.conversion import convert
from edgewise.export.quantization import Numerics, Weights
from edgewise.runtime.inspection import inspect_file
from edgewise.spec import Format

HEAD = {Format.TFLITE: ["FULLY_CONNECTED", "SOFTMAX"], Format.ONNX: ["Gemm", "Softmax"]}


def looked_at(small: Any, numerics: Numerics, form: Format, folder: Path) -> dict[str, Any]:
    """What is in a file of a small network."""
    path = folder / f"m.{form.value}"
    path.write_bytes(convert(small.plain, numerics, form))
    return inspect_file(path).to_data()


@pytest.mark.parametrize("form", list(Format))
@pytest.mark.parametrize("scheme", ["fp32", "fp16"])
def test_float_networks_have_no_islands(small: Any, numerics: Any, tmp_path: Path, scheme: str, form: Format) -> None:
    data = looked_at(small, numerics[scheme], form, tmp_path)
    assert (data["arithmetic"], data["islands"]) == ("float", [])


@pytest.mark.parametrize("form", list(Format))
def test_the_classifier_is_the_only_island_of_int8_files(
    small: Any, numerics: Any, tmp_path: Path, form: Format
) -> None:
    data = looked_at(small, numerics["int8"], form, tmp_path)
    assert data["arithmetic"] == "integer"
    assert [entry["operator"] for entry in data["islands"]] == HEAD[form]


@pytest.mark.parametrize("form", list(Format))
def test_every_layer_that_was_left_in_float_is_an_island(small: Any, tmp_path: Path, form: Format) -> None:
    free = [step.name for step in list(small.plain.weighted())[1:3]]
    numerics = Numerics(Weights.INT8, small.ranges, floats=small.head | set(free))
    data = looked_at(small, numerics, form, tmp_path)
    assert data["arithmetic"] == "integer"
    found = [entry for entry in data["islands"] if entry["operator"] not in HEAD[form]]
    # An activation that ONNX does in a node of its own, after a layer in float, is in float as well.
    computing = [entry for entry in found if entry["operator"] not in ("Relu", "Clip")]
    assert [entry["name"].removesuffix("_conv") for entry in computing] == free
    assert {entry["operator"] for entry in computing} <= {"CONV_2D", "DEPTHWISE_CONV_2D", "Conv"}


def test_a_network_of_integers_only_has_no_islands(small: Any, tmp_path: Path) -> None:
    data = looked_at(small, Numerics(Weights.INT8, small.ranges), Format.TFLITE, tmp_path)
    assert (data["arithmetic"], data["dtypes"], data["islands"]) == ("integer", ["int8"], [])


def test_dequantized_inputs_alone_do_not_make_a_quantized_node(tmp_path: Path) -> None:
    def scaled(operator: str, source: str, target: str) -> Any:
        return helper.make_node(operator, [source, "scale", "zero"], [target])

    nodes = [
        scaled("DequantizeLinear", "pixels", "a"),
        helper.make_node("Identity", ["a"], ["b"]),
        helper.make_node("Sigmoid", ["b"], ["c"]),
        scaled("QuantizeLinear", "c", "d"),
        scaled("DequantizeLinear", "d", "e"),
        helper.make_node("Tanh", ["e"], ["f"]),
        helper.make_node("Add", ["e", "f"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, 4])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(np.float32(0.5), "scale"), numpy_helper.from_array(np.uint8(3), "zero")],
    )
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    data = inspect_file(tmp_path / "m.onnx").to_data()
    assert [(entry["index"], entry["operator"]) for entry in data["islands"]] == [(5, "Tanh"), (6, "Add")]
    assert data["inputs"][0]["quantization"] == {"scale": 0.5, "zero_point": 3, "channels": 1}
    assert data["parameters"] == 0
