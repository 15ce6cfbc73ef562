"""Putting manifests into model files: what other tools and the runtimes then see."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ai_edge_litert.schema_py_generated as schema
import flatbuffers
import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter
from flatbuffers.number_types import Float32Flags, Int8Flags
from flatbuffers.table import Table
from numpy.typing import NDArray

from edgewise.export.metadata import embed_onnx, embed_tflite
from edgewise.export.tflite_metadata import metadata_prefix
from edgewise.runtime.modelfile import read_model
from edgewise.spec import Calibration, Format, InputSpec, Manifest, ModelError, Scheme
from edgewise.spec.digest import verify

DATA = Path(__file__).parent.parent / "data"
MANIFEST = Manifest(
    "fruit",
    ("äpple", "pear or quince", "red"),
    InputSpec(32, 32),
    Scheme.INT8,
    unknown_threshold=0.4,
    calibration=Calibration(300, "0" * 64, "min-max"),
    provenance={"seed": 1},
)


def plain_tflite() -> bytes:
    """The model as the converter wrote it: what was embedded stands before and behind it."""
    content = (DATA / "tiny.tflite").read_bytes()
    start = content.index(b"TFL3", 8) - 4
    return content[start : content.index(b"PK\x03\x04")]


def plain_onnx() -> bytes:
    model = onnx.load(DATA / "tiny.onnx")
    del model.metadata_props[:]
    return bytes(model.SerializeToString())


def pictures() -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


def litert(content: bytes) -> NDArray[np.float32]:
    interpreter = Interpreter(model_content=content, num_threads=1)
    runner = interpreter.get_signature_runner()
    return np.concatenate([next(iter(runner(image=picture[None]).values())) for picture in pictures()])


def ort(content: bytes) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": pictures()})[0])


def buffers(content: bytes) -> list[tuple[int, bytes]]:
    """Alignment and content of every buffer with data."""
    model = schema.Model.GetRootAs(content, 0)
    found = [model.Buffers(index) for index in range(model.BuffersLength())]
    return [
        (buffer._tab.Vector(buffer._tab.Offset(4)) % 16, buffer.DataAsNumpy().tobytes())
        for buffer in found
        if buffer.DataLength()
    ]


def metadata(content: bytes) -> dict[str, bytes]:
    model = schema.Model.GetRootAs(content, 0)
    entries = [model.Metadata(index) for index in range(model.MetadataLength())]
    return {entry.Name().decode(): model.Buffers(entry.Buffer()).DataAsNumpy().tobytes() for entry in entries}


@pytest.mark.parametrize("form", [Format.TFLITE, Format.ONNX])
def test_the_manifest_comes_back(tmp_path: Path, form: Format) -> None:
    embed, model = {Format.TFLITE: (embed_tflite, plain_tflite()), Format.ONNX: (embed_onnx, plain_onnx())}[form]
    path = tmp_path / f"fruit-int8.{form.value}"
    path.write_bytes(embed(model, MANIFEST))
    assert verify(path.read_bytes(), "it")
    assert read_model(path).manifest == MANIFEST
    assert embed(model, MANIFEST) == path.read_bytes()


def test_litert_computes_the_same() -> None:
    np.testing.assert_array_equal(litert(embed_tflite(plain_tflite(), MANIFEST)), litert(plain_tflite()))


def test_onnx_runtime_computes_the_same() -> None:
    np.testing.assert_array_equal(ort(embed_onnx(plain_onnx(), MANIFEST)), ort(plain_onnx()))


def test_the_shipped_files_agree() -> None:
    np.testing.assert_allclose(
        litert((DATA / "tiny.tflite").read_bytes()), ort((DATA / "tiny.onnx").read_bytes()), atol=1e-5
    )


def test_nothing_in_the_tflite_model_moves_or_changes() -> None:
    before, after = plain_tflite(), embed_tflite(plain_tflite(), MANIFEST)
    assert before in after
    assert after.index(before) % 16 == 0
    assert buffers(after)[: len(buffers(before))] == buffers(before)
    assert [alignment for alignment, _ in buffers(after)[len(buffers(before)) :]] == [0, 0]
    old, new = schema.ModelT.InitFromObj(schema.Model.GetRootAs(before)), schema.Model.GetRootAs(after)
    assert (new.Version(), new.Description()) == (old.version, old.description)
    assert new.SubgraphsLength() == len(old.subgraphs)
    assert new.OperatorCodesLength() == len(old.operatorCodes)
    assert new.SignatureDefs(0).SignatureKey() == old.signatureDefs[0].signatureKey
    assert list(metadata(after)) == [*metadata(before), "TFLITE_METADATA", "edgewise.digest"]


# The standard metadata, read by slot numbers of the public schema


def child(table: Table, *slots: int) -> Table:
    """Follow fields; where one is a vector of tables, its first element."""
    for slot in slots:
        place = table.Indirect(table.Pos + table.Offset(4 + 2 * slot))
        table = Table(table.Bytes, place)
    return table


def first(table: Table, slot: int) -> Table:
    return Table(table.Bytes, table.Indirect(table.Vector(table.Offset(4 + 2 * slot))))


def string(table: Table, slot: int) -> str:
    return str(table.String(table.Pos + table.Offset(4 + 2 * slot)).decode())


def number(table: Table, slot: int) -> int:
    return int(table.GetSlot(4 + 2 * slot, 0, Int8Flags))


def floats(table: Table, slot: int) -> list[float]:
    return list(table.GetVectorAsNumpy(Float32Flags, table.Offset(4 + 2 * slot)))


def standard() -> Table:
    content = metadata(embed_tflite(plain_tflite(), MANIFEST))["TFLITE_METADATA"]
    assert content[4:8] == b"M001"
    return Table(bytearray(content), struct.unpack_from("<I", content)[0])


def test_standard_metadata_of_the_model() -> None:
    model = standard()
    assert string(model, 0) == "fruit"
    assert string(model, 1) == "Image classifier of 3 classes."
    assert string(model, 7) == "1.0.0"
    assert string(first(model, 6), 0) == "edgewise.json"


def test_standard_metadata_of_the_input() -> None:
    image = first(first(standard(), 3), 2)
    assert string(image, 0) == "image"
    content, unit = child(image, 3), first(image, 4)
    assert number(content, 0) == 2  # ImageProperties
    assert number(child(content, 1), 0) == 1  # RGB
    assert number(unit, 0) == 1  # NormalizationOptions
    assert (floats(child(unit, 1), 0), floats(child(unit, 1), 1)) == ([0.0], [1.0])
    assert (floats(child(image, 5), 0), floats(child(image, 5), 1)) == ([255.0], [0.0])


def test_standard_metadata_of_the_output() -> None:
    output = first(first(standard(), 3), 3)
    labels = first(output, 6)
    assert string(output, 0) == "probability"
    assert string(labels, 0) == "labels.txt"
    assert number(labels, 2) == 2  # TENSOR_AXIS_LABELS
    assert (floats(child(output, 5), 0), floats(child(output, 5), 1)) == ([1.0], [0.0])


def test_the_archive_is_plain_and_its_places_count_from_the_start_of_the_file() -> None:
    content = embed_tflite(plain_tflite(), MANIFEST)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["labels.txt", "edgewise.json"]
        assert archive.read("labels.txt").decode() == "äpple\npear or quince\nred\n"
        assert archive.read("edgewise.json").decode() == MANIFEST.to_json()
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    directory = struct.unpack("<4s4H2LH", content[-22:])[6]
    assert content[directory : directory + 4] == b"PK\x01\x02"


def test_onnx_sees_its_properties() -> None:
    model = onnx.load_from_string(embed_onnx(plain_onnx(), MANIFEST))
    onnx.checker.check_model(model, full_check=True)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert Manifest.from_json(properties["edgewise.manifest"], "it") == MANIFEST
    assert properties["edgewise.digest"].startswith("edgewise-sha256:")


# What is refused


@pytest.mark.parametrize("label", ["a\nb", "a\r", "a\u2028b", "a\x0cb"])
def test_a_label_over_two_lines(label: str) -> None:
    with pytest.raises(ModelError) as caught:
        embed_tflite(plain_tflite(), replace(MANIFEST, labels=("x", label)))
    assert f"the label {label!r} holds a line break" in str(caught.value)
    assert "Expected: labels that fit on one line each\nDo: rename the class" in str(caught.value)


@pytest.mark.parametrize(("embed", "model"), [(embed_tflite, plain_tflite()), (embed_onnx, plain_onnx())])
def test_bad_manifests(embed: Callable[[bytes, Manifest], bytes], model: bytes) -> None:
    with pytest.raises(ModelError, match="a text of the manifest is not UTF-8"):
        embed(model, replace(MANIFEST, labels=("x", "\udcff")))
    with pytest.raises(ModelError, match="the manifest holds the text 'edgewise-sha256:'"):
        embed(model, replace(MANIFEST, labels=("x", "edgewise-sha256:")))
    with pytest.raises(ModelError, match="the manifest to be written: 'labels' in its manifest"):
        embed(model, replace(MANIFEST, labels=("x",)))


def test_embedding_twice() -> None:
    for embed, model in ((embed_tflite, plain_tflite()), (embed_onnx, plain_onnx())):
        with pytest.raises(ModelError) as caught:
            embed(embed(model, MANIFEST), MANIFEST)
        assert "a model that carries an Edgewise manifest already" in str(caught.value)
        assert "Do: embed the manifest into the converter's output" in str(caught.value)


def test_a_manifest_that_lost_its_digest_is_not_doubled() -> None:
    unsealed = embed_onnx(plain_onnx(), MANIFEST).replace(b"edgewise-sha256:", b"edgewise-nothing")
    with pytest.raises(ModelError, match="carries an Edgewise manifest already"):
        embed_onnx(unsealed, MANIFEST)


def test_foreign_tflite_metadata_is_not_doubled() -> None:
    model = metadata_prefix(plain_tflite(), {"TFLITE_METADATA": b"x"}) + plain_tflite()
    with pytest.raises(ModelError, match="carries TFLite metadata already"):
        embed_tflite(model, MANIFEST)


def test_what_is_no_model() -> None:
    with pytest.raises(ModelError, match="9 bytes that are not a TFLite model"):
        embed_tflite(b"something", MANIFEST)
    with pytest.raises(ModelError, match="the ONNX model is not a readable ONNX file"):
        embed_onnx(b"something", MANIFEST)


def test_weights_outside_of_the_flatbuffer() -> None:
    builder = flatbuffers.Builder(0)
    schema.ModelStartExternalBuffersVector(builder, 0)
    outside = builder.EndVector()
    schema.ModelStart(builder)
    schema.ModelAddExternalBuffers(builder, outside)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    with pytest.raises(ModelError, match="with external buffers or of a newer schema"):
        embed_tflite(bytes(builder.Output()), MANIFEST)
