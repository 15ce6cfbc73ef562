"""Files that were damaged or made to harm: inspecting them ends in a ModelError or an answer, soon."""

from __future__ import annotations

import json
import random
import struct
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

from edgewise.cli.main import main
from edgewise.runtime import onnx_graph_reader, tflite_graph
from edgewise.runtime.inspection import inspect_file
from edgewise.runtime.protobuf import encode_field, encode_varint
from edgewise.spec import ModelError
from edgewise.spec.digest import MARKER

DATA = Path(__file__).parent.parent / "data"
# Without digest, or every change would be noticed before anything is parsed; without the archive, as foreign files are.
TFLITE = (DATA / "tiny.tflite").read_bytes().replace(MARKER, b"edgewise-nothing").partition(b"PK\x03\x04")[0]
ONNX = (DATA / "tiny.onnx").read_bytes().replace(MARKER, b"edgewise-nothing")


def quantized() -> bytes:
    """A QDQ convolution with its weights in every kind of field."""
    scale, zero = numpy_helper.from_array(np.float32(0.1), "s"), numpy_helper.from_array(np.uint8(3), "z")
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "s", "z"], ["a"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["b"], axis=0),
        helper.make_node("Conv", ["a", "b"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], auto_pad="NOTSET"),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("QuantizeLinear", ["d", "s", "z"], ["e"]),
        helper.make_node("Reshape", ["e", "shape"], ["y"]),
    ]
    tensors = [
        *(scale, zero),
        helper.make_tensor("w", TensorProto.INT8, [2, 3, 3, 3], list(range(54))),
        helper.make_tensor("ws", TensorProto.FLOAT, [2], [0.1, 0.2]),
        helper.make_tensor("wz", TensorProto.INT8, [2], b"\0\0", raw=True),
        helper.make_tensor("shape", TensorProto.INT64, [2], [0, -1]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.UINT8, ["n", 3, 4, 4]) for name in "xy"]
    model = helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors))
    return bytes(model.SerializeToString())


SOUND = {"tiny.tflite": TFLITE, "tiny.onnx": ONNX, "quantized.onnx": quantized()}


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def looked_at(path: Path) -> str:
    """What inspecting gives: a JSON text, or the message of the only error there may be."""
    try:
        return json.dumps(inspect_file(path).to_data(graph=True), allow_nan=False)
    except ModelError as error:
        return str(error)


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        inspect_file(path)
    return str(caught.value)


def model_of(*nodes: onnx.NodeProto, tensors: tuple[TensorProto, ...] = (), sizes: tuple[Any, ...] = (1, 4)) -> bytes:
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes)
    return bytes(
        helper.make_model(helper.make_graph(list(nodes), "g", [source], [], list(tensors))).SerializeToString()
    )


@pytest.mark.parametrize("name", SOUND)
def test_the_sound_files_are_read(tmp_path: Path, name: str) -> None:
    data = json.loads(looked_at(put(tmp_path, name, SOUND[name])))
    assert data["parameters"] == {"tiny.tflite": 11, "tiny.onnx": 14, "quantized.onnx": 54}[name]
    assert data["macs"] == (4 * 4 * 2 * 27 if name == "quantized.onnx" else 9)
    assert data["islands"] == []


@pytest.mark.parametrize("name", SOUND)
def test_files_cut_short(tmp_path: Path, name: str) -> None:
    content = SOUND[name]
    for length in range(1, len(content), 11):
        message = looked_at(put(tmp_path, name, content[:length]))
        assert message.startswith("{") or "Do: copy or export the file again" in message


@pytest.mark.parametrize("name", SOUND)
def test_files_with_changed_bytes(tmp_path: Path, name: str) -> None:
    chance, answers = random.Random(5), set[bool]()
    for _ in range(600):
        changed = bytearray(SOUND[name])
        for _ in range(chance.randint(1, 4)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        answers.add(looked_at(put(tmp_path, name, bytes(changed))).startswith("{"))
    assert answers == {True, False}


@pytest.mark.parametrize("value", [0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 0xFFFF, 0])
def test_every_number_of_a_tflite_file_made_absurd(tmp_path: Path, value: int) -> None:
    for at in [0, *range(8, len(TFLITE) - 4, 4)]:
        looked_at(put(tmp_path, "m.tflite", TFLITE[:at] + struct.pack("<I", value) + TFLITE[at + 4 :]))


def test_a_tflite_file_whose_tensors_are_all_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of the same table over and over: a small file that describes a large one."""
    builder = flatbuffers.Builder()
    schema.SubGraphStart(builder)
    graph = schema.SubGraphEnd(builder)
    schema.ModelStartSubgraphsVector(builder, 5000)
    for _ in range(5000):
        builder.PrependUOffsetTRelative(graph)
    graphs = builder.EndVector()
    schema.ModelStart(builder)
    schema.ModelAddSubgraphs(builder, graphs)
    builder.Finish(schema.ModelEnd(builder), file_identifier=b"TFL3")
    path = put(tmp_path, "m.tflite", bytes(builder.Output()))
    assert inspect_file(path).remarks[0].startswith("4999 further graphs")
    monkeypatch.setattr(tflite_graph, "MAX_FIELDS", 1000)
    assert "is not a readable TFLite file: it has too many fields" in refused(path)


def test_an_onnx_file_with_too_much_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_graph_reader, "MAX_FIELDS", 1000)
    many = model_of(*(helper.make_node("Relu", ["x"], [f"y{number}"]) for number in range(400)))
    assert "is not a readable ONNX file: it has too many fields" in refused(put(tmp_path, "m.onnx", many))
    packed = encode_field(1, bytes(5000))  # the dimensions of a tensor
    tensor = encode_field(7, encode_field(5, packed))
    assert "it has too many fields" in refused(put(tmp_path, "m.onnx", tensor))


def test_an_empty_tflite_file_has_no_graph(tmp_path: Path) -> None:
    path = put(tmp_path, "m.tflite", struct.pack("<I4sHHi", 12, b"TFL3", 4, 4, 4))
    assert "m.tflite is not a readable TFLite file: it holds no graph" in refused(path)


@pytest.mark.parametrize(
    ("dims", "message"),
    [
        ([1 << 62, 1 << 62], "a constant has the shape"),
        ([-3], "a constant has the shape"),
        ([1] * 17, "more than 16 dimensions"),
        ([1000], "a constant of 1000 numbers is 8 bytes long"),
    ],
)
def test_constants_that_claim_more_than_they_hold(tmp_path: Path, dims: list[int], message: str) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=bytes(8))
    content = model_of(helper.make_node("Mul", ["x", "w"], ["y"]), tensors=(tensor,))
    assert message in refused(put(tmp_path, "m.onnx", content))


def test_shapes_that_grow_without_end_become_unknown(tmp_path: Path) -> None:
    nodes, name = [], "x"
    for number in range(400):  # each pair squares the count of numbers
        nodes += [
            helper.make_node("Flatten", [name], [f"f{number}"], axis=0),
            helper.make_node("MatMul", [f"t{number}", f"f{number}"], [f"m{number}"]),
        ]
        nodes.insert(-1, helper.make_node("Transpose", [f"f{number}"], [f"t{number}"]))
        name = f"m{number}"
    nodes.append(helper.make_node("Gemm", [name, name], ["last"]))
    data = json.loads(looked_at(put(tmp_path, "m.onnx", model_of(*nodes, sizes=(2, 1 << 20)))))
    assert data["macs_complete"] is False


def test_long_chains_and_circles_take_no_longer_than_their_length(tmp_path: Path) -> None:
    names = ["x", *(f"y{number}" for number in range(20_000))]
    chain = [helper.make_node("Relu", [source], [target]) for source, target in pairwise(names)]
    ends = [
        helper.make_node("DequantizeLinear", ["q", "x"], ["x"]),
        helper.make_node("QuantizeLinear", [names[-1], "x"], ["q"]),
    ]
    circle = [helper.make_node("Reshape", ["b"], ["a"]), helper.make_node("Reshape", ["a"], ["b"])]
    data = json.loads(looked_at(put(tmp_path, "m.onnx", model_of(*ends[:1], *chain, *ends[1:], *circle))))
    assert data["operators"]["Relu"] == 20_000


def test_attributes_that_do_not_fit_leave_the_shape_unknown(tmp_path: Path) -> None:
    for attributes in (
        {"kernel_shape": [3], "strides": [0, 0]},
        {"kernel_shape": [3, 3], "strides": [1]},
        {"kernel_shape": [9, 9]},
        {"kernel_shape": [3, 3], "pads": [-1]},
    ):
        node = helper.make_node("MaxPool", ["x"], ["y"], **attributes)
        graph = json.loads(looked_at(put(tmp_path, "m.onnx", model_of(node, sizes=(1, 3, 4, 4)))))["graph"]
        assert graph[0]["shape"] is None, attributes


def test_provenance_nested_too_deep(tmp_path: Path) -> None:
    deep = '{"a":' * 300 + "1" + "}" * 300
    fields = {"name": "m", "labels": ["a", "b"], "scheme": "fp32", "temperature": 1, "schema": 1}
    fields["input"] = {"height": 8, "width": 8, "layout": "NHWC", "color": "RGB", "dtype": "uint8", "resize": "stretch"}
    fields["output"] = {"kind": "probabilities", "dtype": "float32"}
    text = json.dumps(fields)[:-1] + f', "provenance": {deep}}}'
    model = onnx.load_from_string(model_of(helper.make_node("Relu", ["x"], ["y"])))
    model.metadata_props.add(key="edgewise.manifest", value=text)
    message = refused(put(tmp_path, "m.onnx", model.SerializeToString()))
    assert "'provenance' in its manifest is nested deeper than 8 levels" in message


def test_what_edgewise_would_not_run_is_shown_with_a_remark(tmp_path: Path) -> None:
    external = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    external.external_data.add(key="location", value="../../etc/passwd")
    path = put(tmp_path, "m.onnx", model_of(helper.make_node("Mul", ["x", "w"], ["y"]), tensors=(external,)))
    (remark,) = inspect_file(path).remarks
    assert remark.startswith("Edgewise does not run it: ")
    assert remark.endswith("keeps weights in other files (external data)")


def test_names_from_the_file_do_not_steer_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    node = helper.make_node("Evil\x1b[2J", ["x"], ["y"], name="n\x07\u202e" + "m" * 1000, domain="d\x1b")
    path = put(tmp_path, "m.onnx", model_of(node))
    monkeypatch.setattr(sys, "argv", ["edgewise", "inspect", str(path), "--graph"])
    with pytest.raises(SystemExit) as stopped:
        main()
    out = capsys.readouterr().out
    assert stopped.value.code == 0
    assert "Evil\\x1b[2J" in out
    assert "n\\x07\\u202emmm" in out
    assert all(char.isprintable() or char == "\n" for char in out)
    assert "m" * 60 not in out


def test_random_bytes(tmp_path: Path) -> None:
    chance = random.Random(3)
    make: dict[str, Callable[[bytes], bytes]] = {
        "m.tflite": lambda noise: noise[:4] + b"TFL3" + noise[4:],
        "m.onnx": lambda noise: encode_field(7, encode_varint(chance.choice((10, 42, 90))) + noise),
    }
    for _ in range(300):
        for name, wrap in make.items():
            looked_at(put(tmp_path, name, wrap(chance.randbytes(chance.randint(1, 300)))))


@pytest.mark.parametrize("zero", [float("nan"), float("inf"), 3.0])
def test_a_zero_point_that_is_no_number(tmp_path: Path, zero: float) -> None:
    constants = [numpy_helper.from_array(np.float32(value), name) for value, name in ((0.1, "s"), (zero, "z"))]
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "s", "z"], ["a"]),
        helper.make_node("Cast", ["a"], ["y"], to="nowhere"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.UINT8, ["n", 3, 4, 4]) for name in "xy"]
    model = helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], constants))
    assert '"operators"' in looked_at(put(tmp_path, "m.onnx", model.SerializeToString()))
