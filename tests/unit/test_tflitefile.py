"""What a TFLite file says about itself in the words of other tools, and what must not be in it."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgewise.runtime import Classifier
from edgewise.runtime.modelfile import read_file
from edgewise.runtime.tflitefile import tflite_metadata
from edgewise.spec import ModelError

DATA = Path(__file__).parents[1] / "data"


def table(builder: flatbuffers.Builder, fields: dict[int, tuple[str, int]]) -> int:
    """A table from its fields: ``("at", offset)`` or ``("byte", number)`` each, by place."""
    builder.StartObject(max(fields) + 1)
    for place, (kind, value) in fields.items():
        if kind == "at":
            builder.PrependUOffsetTRelativeSlot(place, value, 0)
        else:
            builder.PrependInt8Slot(place, value, 0)
    return int(builder.EndObject())


def vector(builder: flatbuffers.Builder, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def floats(builder: flatbuffers.Builder, values: list[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return int(builder.EndVector())


def metadata(mean: list[float], deviation: list[float], labels: str) -> bytes:
    """Metadata as TensorFlow Lite Support writes it: normalization of the input, a file of labels for the output."""
    builder = flatbuffers.Builder(1024)
    options = table(builder, {0: ("at", floats(builder, mean)), 1: ("at", floats(builder, deviation))})
    unit = table(builder, {0: ("byte", 1), 1: ("at", options)})
    picture = table(builder, {4: ("at", vector(builder, [unit]))})
    file = table(builder, {0: ("at", builder.CreateString(labels)), 2: ("byte", 2)})
    answer = table(builder, {6: ("at", vector(builder, [file]))})
    subgraph = table(builder, {2: ("at", vector(builder, [picture])), 3: ("at", vector(builder, [answer]))})
    builder.Finish(table(builder, {3: ("at", vector(builder, [subgraph]))}), b"M001")
    return bytes(builder.Output())


def described(
    path: Path,
    foreign: ModuleType,
    *,
    mean: Any = (127.5,),
    deviation: Any = (127.5,),
    labels: bytes = b"red\ngreen\nblue\n",
    way: int = zipfile.ZIP_STORED,
) -> Path:
    """A float network with metadata, and the archive of labels at its end."""
    content = foreign.foreign_tflite(path).read_bytes()
    model = schema.ModelT.InitFromPackedBuf(content)
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(metadata(list(mean), list(deviation), "labels.txt"), np.uint8)
    entry.name, entry.buffer = b"TFLITE_METADATA", len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [entry]
    foreign.write_tflite(path, model)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", way) as file:
        file.writestr("labels.txt", labels)
    path.write_bytes(path.read_bytes() + archive.getvalue())
    return path


def test_labels_and_normalization_are_taken_from_the_metadata(tmp_path: Path, foreign: ModuleType) -> None:
    path = foreign.listed(described(tmp_path / "m.tflite", foreign))
    for backend in ("litert", "openvino"):
        classifier = Classifier.open(path, backend=backend)
        assert classifier.labels == ("red", "green", "blue")
        row = classifier.probabilities(np.full((1, 8, 8, 3), (200, 60, 20), np.uint8))[0]
        logits = np.exp(np.array([200, 60, 20]) / 127.5 - 1)
        np.testing.assert_allclose(row, logits / logits.sum(), atol=1e-5)


@pytest.mark.parametrize("way", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA], ids=["deflated", "lzma"])
def test_labels_that_are_compressed_and_damaged(tmp_path: Path, foreign: ModuleType, way: int) -> None:
    path = described(tmp_path / "m.tflite", foreign, labels=b"red\ngreen\nblue\n" * 100, way=way)
    content = path.read_bytes()
    place = content.rindex(b"labels.txt", 0, content.rindex(b"PK\x01\x02")) + 12
    path.write_bytes(content[:place] + b"\xff" * 8 + content[place + 8 :])
    with pytest.raises(ModelError, match=r"the archive at its end is damaged|compressed in an unusual way"):
        Classifier.open(foreign.listed(path))


def test_an_archive_of_very_many_files_is_not_listed(tmp_path: Path, foreign: ModuleType) -> None:
    path = described(tmp_path / "m.tflite", foreign)
    with zipfile.ZipFile(path, "a") as file:
        for number in range(200):
            file.writestr(f"{number}.txt", b"")
        file.comment = b"x"
    with pytest.raises(ModelError, match=r"the archive at its end lists 201 files in \d+ bytes"):
        Classifier.open(foreign.listed(path))


def test_what_the_user_says_counts_more(tmp_path: Path, foreign: ModuleType) -> None:
    path = foreign.listed(described(tmp_path / "m.tflite", foreign))
    labels = tmp_path / "l.txt"
    labels.write_text("rot\ngrün\nblau\n", encoding="utf-8")
    classifier = Classifier.open(path, labels=labels, normalize="none")
    prediction = classifier.predict(np.full((8, 8, 3), (200, 60, 20), np.uint8))
    assert (prediction.label, prediction.probability) == ("rot", 1.0)


@pytest.mark.parametrize(
    ("mean", "deviation"), [((), ()), ((1, 2), (1, 2)), ((0.0,), (0.0,)), ((float("nan"),), (1.0,))]
)
def test_a_normalization_that_is_none_is_asked_for(
    tmp_path: Path, foreign: ModuleType, mean: tuple[float, ...], deviation: tuple[float, ...]
) -> None:
    path = foreign.listed(described(tmp_path / "m.tflite", foreign, mean=mean, deviation=deviation))
    with pytest.raises(ModelError) as caught:
        Classifier.open(path)
    assert caught.value.do == "add --normalize as in the network's training"


def test_labels_that_do_not_fit_are_those_of_the_file(tmp_path: Path, foreign: ModuleType) -> None:
    path = foreign.listed(described(tmp_path / "m.tflite", foreign, labels=b"a\nb\n"))
    with pytest.raises(ModelError) as caught:
        Classifier.open(path)
    assert caught.value.got == f"the list of labels in {path} has 2 names, and the network gives 3 numbers"


def test_an_own_file_is_understood_as_other_tools_do() -> None:
    content = (DATA / "tiny.tflite").read_bytes()
    found = tflite_metadata(content, "it")
    assert found.labels == ("blue", "green", "red")
    assert found.normalization
    assert (found.normalization.mean, found.normalization.deviation) == ((0.0,), (1.0,))


def test_damaged_metadata_is_an_error_and_never_another_exception(tmp_path: Path, foreign: ModuleType) -> None:
    content = described(tmp_path / "m.tflite", foreign).read_bytes()
    at, answers = content.index(b"M001") - 4, set()
    for place in range(at, len(content), 3):
        for value in (0, 7, 255):
            damaged = content[:place] + bytes([value]) + content[place + 1 :]
            try:
                answers.add(type(tflite_metadata(damaged, "it")).__name__)
            except ModelError as error:
                answers.add(error.got.partition(" damaged")[0])
    assert answers >= {"TfliteMetadata", "it: its metadata is", "it: the archive at its end is"}


@pytest.mark.parametrize("name", [b"FlexErf", b"TFLite_Detection_PostProcess", b""])
def test_custom_operators_are_refused(tmp_path: Path, foreign: ModuleType, name: bytes) -> None:
    path = foreign.foreign_tflite(tmp_path / "m.tflite")
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes())
    model.operatorCodes[0].builtinCode = model.operatorCodes[0].deprecatedBuiltinCode = 32
    model.operatorCodes[0].customCode = name
    with pytest.raises(ModelError) as caught:
        read_file(foreign.write_tflite(path, model))
    assert caught.value.got == f"{path} needs the custom operator {name.decode()!r}"


def test_weights_in_other_files_are_refused(tmp_path: Path, foreign: ModuleType) -> None:
    path = foreign.foreign_tflite(tmp_path / "m.tflite")
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes())
    group = schema.ExternalBufferGroupT()
    group.name = b"../../secret"
    model.externalBufferGroups = [group]
    with pytest.raises(ModelError) as caught:
        read_file(foreign.write_tflite(path, model))
    assert str(caught.value) == (
        f"{path} keeps weights in other files\nExpected: a TFLite model in one file\nDo: export it again"
    )


def test_a_table_that_leads_out_of_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(struct.pack("<I", 1 << 30) + b"TFL3" + bytes(64))
    with pytest.raises(ModelError) as caught:
        read_file(path)
    assert caught.value.got.startswith(f"{path} is not a readable TFLite file: byte ")
