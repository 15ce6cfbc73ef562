"""ONNX files made to harm: sealed by the one who made them, so that only their content can give them away."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from edgewise.export.metadata import embed_onnx
from edgewise.runtime import onnxfile
from edgewise.runtime.modelfile import read_model
from edgewise.runtime.protobuf import encode_field, encode_varint
from edgewise.spec import InputSpec, Manifest, ModelError, Scheme
from edgewise.spec.digest import BLANK, MARKER, seal

ONNX = (Path(__file__).parent.parent / "data" / "tiny.onnx").read_bytes()
MANIFEST = Manifest("m", ("a", "b"), InputSpec(8, 8), Scheme.FP32)


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        read_model(path)
    return str(caught.value)


def blanked(content: bytes) -> bytes:
    start = content.index(MARKER)
    return content[:start] + BLANK + content[start + len(BLANK) :]


def model_with(nodes: list[onnx.NodeProto], tensors: tuple[TensorProto, ...] = (), **more: object) -> bytes:
    graph = helper.make_graph(nodes, "g", [], [], list(tensors))
    return bytes(helper.make_model(graph, **more).SerializeToString())


def sealed_onnx(folder: Path, model: bytes) -> Path:
    return put(folder, "m.onnx", embed_onnx(model, MANIFEST))


def external() -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return tensor


def hidden(tensor: TensorProto, levels: int) -> onnx.NodeProto:
    """A Constant, buried in that many subgraphs."""
    node = helper.make_node("Constant", [], ["y"], value=tensor)
    for _ in range(levels):
        node = helper.make_node("If", ["c"], ["y"], then_branch=helper.make_graph([node], "b", [], []))
    return node


def sparse(tensor: TensorProto) -> onnx.SparseTensorProto:
    return onnx.SparseTensorProto(values=tensor, dims=[4])


def places_of_external_data() -> dict[str, bytes]:
    location_only = TensorProto(name="w", data_location=TensorProto.EXTERNAL)
    key_only = TensorProto(name="w")
    key_only.external_data.add(key="location", value="x")
    sparse_graph = onnx.GraphProto(sparse_initializer=[sparse(external())])
    indices = onnx.GraphProto(sparse_initializer=[onnx.SparseTensorProto(indices=external())])
    function = onnx.FunctionProto(name="f", domain="", node=[hidden(external(), 0)])
    default = onnx.FunctionProto(name="f", domain="")
    default.attribute_proto.add(name="a").t.CopyFrom(external())
    training = onnx.TrainingInfoProto(algorithm=onnx.GraphProto(initializer=[external()]))
    wide_location = encode_field(7, encode_field(5, encode_varint(14 << 3) + encode_varint((1 << 32) + 1)))
    lists = [
        helper.make_node("N", [], [], a=[external()]),
        helper.make_node("N", [], [], a=[helper.make_graph([hidden(external(), 0)], "b", [], [])]),
        helper.make_node("N", [], [], a=sparse(external())),
        helper.make_node("N", [], [], a=[sparse(external())]),
    ]
    return {
        "initializer": model_with([], (external(),)),
        "location only": model_with([], (location_only,)),
        "key only": model_with([], (key_only,)),
        "location with high bits": wide_location,
        "attribute": model_with([hidden(external(), 0)]),
        "subgraph": model_with([hidden(external(), 1)]),
        "deep subgraph": model_with([hidden(external(), 15)]),
        "sparse values": onnx.ModelProto(graph=sparse_graph).SerializeToString(),
        "sparse indices": onnx.ModelProto(graph=indices).SerializeToString(),
        "function": model_with([], functions=[function]),
        "default of a function": model_with([], functions=[default]),
        "training": onnx.ModelProto(graph=onnx.GraphProto(), training_info=[training]).SerializeToString(),
        "second piece of the graph": model_with([]) + encode_field(7, encode_field(5, external().SerializeToString())),
        **{f"list {number}": model_with([node]) for number, node in enumerate(lists)},
    }


@pytest.mark.parametrize("place", sorted(places_of_external_data()))
def test_external_data_is_refused_wherever_it_hides(tmp_path: Path, place: str) -> None:
    message = refused(sealed_onnx(tmp_path, places_of_external_data()[place]))
    assert "m.onnx keeps weights in other files (external data)" in message
    assert "Expected: an ONNX model in one file" in message


def test_foreign_operators_are_refused_wherever_they_hide(tmp_path: Path) -> None:
    node = helper.make_node("Evil", [], ["y"], domain="com.evil")
    inner = helper.make_node("If", ["c"], ["y"], then_branch=helper.make_graph([node], "b", [], []))
    opset = [helper.make_opsetid("", 18), helper.make_opsetid("com.evil", 1)]
    function = onnx.FunctionProto(name="f", domain="com.evil")
    function_opset = onnx.FunctionProto(name="f", opset_import=opset)
    models = (
        model_with([node]),
        model_with([inner]),
        model_with([], opset_imports=opset),
        model_with([], functions=[function]),
        model_with([], functions=[function_opset]),
    )
    for model in models:
        message = refused(sealed_onnx(tmp_path, model))
        assert "m.onnx needs operators of the domain 'com.evil'" in message
        assert "Expected: only operators of '', 'ai.onnx', 'ai.onnx.ml', 'com.microsoft'" in message
        assert "Do: export the model without custom operators" in message


def test_the_usual_domains_are_accepted(tmp_path: Path) -> None:
    opset = [helper.make_opsetid(domain, 1) for domain in ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")]
    nodes = [helper.make_node("N", [], [], domain=domain) for domain in ("ai.onnx.ml", "com.microsoft")]
    assert read_model(sealed_onnx(tmp_path, model_with(nodes, opset_imports=opset))).manifest == MANIFEST


def test_nesting_is_bounded(tmp_path: Path) -> None:
    message = refused(sealed_onnx(tmp_path, model_with([hidden(TensorProto(name="w"), 30)])))
    assert "its parts are nested more than 64 deep" in message


def test_work_is_bounded(tmp_path: Path) -> None:
    path = sealed_onnx(tmp_path, encode_field(7, b"\x08\x01" * (onnxfile.MAX_FIELDS + 1)))
    assert "it has too many fields" in refused(path)


def test_no_graph(tmp_path: Path) -> None:
    assert "is not an ONNX file: it holds no graph" in refused(put(tmp_path, "m.onnx", b"\x08\x09"))


def test_two_manifests(tmp_path: Path) -> None:
    again = encode_field(14, encode_field(1, b"edgewise.manifest") + encode_field(2, b"{}"))
    path = put(tmp_path, "m.onnx", seal(blanked(ONNX) + again))
    assert "carries 2 manifests\nExpected: one manifest" in refused(path)


def test_a_bad_manifest_names_its_field(tmp_path: Path) -> None:
    manifest = replace(MANIFEST, temperature=2.0).to_json().replace("2.0", '"hot"')
    entry = encode_field(14, encode_field(1, b"edgewise.manifest") + encode_field(2, manifest.encode()))
    assert "'temperature' in its manifest is 'hot'" in refused(put(tmp_path, "m.onnx", model_with([]) + entry))


@pytest.mark.parametrize("seed", range(300))
def test_mutated_onnx_raises_nothing_else(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    content = bytearray(blanked(ONNX))
    for _ in range(chance.randint(1, 8)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    if bytes(content).count(BLANK) != 1:
        return
    try:
        read_model(put(tmp_path, "m.onnx", seal(bytes(content))))
    except ModelError:
        return
