"""The standard TFLite metadata of an image classifier, and how it gets into a model without repacking it.

The layout is that of the public metadata schema of TFLite (identifier M001) and of the TFLite model schema (identifier
TFL3); tables are written by their slot numbers. Other tools (MediaPipe Tasks, Android) read the labels and the
normalization from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import flatbuffers
from flatbuffers.number_types import UOffsetTFlags
from flatbuffers.table import Table

from edgewise.runtime.modelfile import LABELS_FILE, MANIFEST_FILE, TFLITE_MARK
from edgewise.spec import Manifest, ModelError

METADATA_NAME = "TFLITE_METADATA"
"""Name under which TFLite tools look for the metadata buffer."""

MAX_FLATBUFFER_BYTES = (1 << 31) - 1
"""Offsets in a flatbuffer are 32 bits; larger models keep their weights at absolute places behind it."""

_IDENTIFIER = b"M001"
_MIN_PARSER_VERSION = "1.0.0"  # every field used here is in the first version of the schema
_RGB, _IMAGE_PROPERTIES, _NORMALIZATION, _TENSOR_AXIS_LABELS = 1, 2, 1, 2
_ALIGNMENT = 16  # of buffers, as the TFLite schema demands
_VERSION_SLOT, _BUFFERS_SLOT, _METADATA_SLOT, _MODEL_SLOTS = 0, 4, 6, 8


def model_metadata(manifest: Manifest) -> bytes:
    """The ModelMetadata flatbuffer for a classifier of raw RGB pixels.

    It says: one RGB image, normalized by mean 0 and deviation 1 (the network normalizes by itself), values 0-255; one
    row of probabilities, 0-1, with the labels in ``labels.txt``.
    """
    builder = flatbuffers.Builder(1024)
    subgraph = _table(
        builder,
        {2: _offsets(builder, [_input(builder, manifest)]), 3: _offsets(builder, [_output(builder)])},
    )
    carried = _associated_file(builder, MANIFEST_FILE, "The Edgewise manifest.")
    model = _table(
        builder,
        {
            0: builder.CreateString(manifest.name),
            1: builder.CreateString(f"Image classifier of {len(manifest.labels)} classes."),
            3: _offsets(builder, [subgraph]),
            6: _offsets(builder, [carried]),
            7: builder.CreateString(_MIN_PARSER_VERSION),
        },
    )
    builder.Finish(model, _IDENTIFIER)
    return bytes(builder.Output())


def metadata_prefix(model: bytes, entries: Mapping[str, bytes]) -> bytes:
    """Build what gives a TFLite model further metadata buffers when it is put before the model.

    Offsets in a flatbuffer point forwards and are relative, so a new root table with longer lists of buffers and
    metadata is put before the model, and points into it. Its length is a multiple of 16, so every buffer keeps its
    alignment. Nothing is repacked: the work does not grow with the weights.

    Args:
        model: a TFLite flatbuffer.
        entries: content of each new buffer by its metadata name.

    Returns:
        The bytes to be put before ``model``.

    Raises:
        ModelError: not a TFLite model, one of a newer schema, larger than 2 GiB, or with TFLite metadata already.
    """
    old = _root(model)
    builder = flatbuffers.Builder(4096)
    builder.Prep(_ALIGNMENT, 0)
    buffers, metadata = _elements(old, _BUFFERS_SLOT), _elements(old, _METADATA_SLOT)
    _refuse_metadata(old, metadata)
    new_buffers = [_buffer(builder, content) for content in entries.values()]
    new_metadata = [
        _table(builder, {0: builder.CreateString(name)}, uint32={1: len(buffers) + index})
        for index, name in enumerate(entries)
    ]
    # A place in the old model is behind the end of what is built here, where flatbuffers counts from: hence the minus.
    kept = {slot: -_target(old, slot) for slot in range(1, _MODEL_SLOTS) if old.Offset(4 + 2 * slot)}
    kept[_BUFFERS_SLOT] = _offsets(builder, [-place for place in buffers] + new_buffers)
    kept[_METADATA_SLOT] = _offsets(builder, [-place for place in metadata] + new_metadata)
    version = old.GetSlot(4 + 2 * _VERSION_SLOT, 0, flatbuffers.number_types.Uint32Flags)
    builder.Finish(_table(builder, kept, uint32={_VERSION_SLOT: version}), TFLITE_MARK)
    return bytes(builder.Output())


def _input(builder: flatbuffers.Builder, manifest: Manifest) -> int:
    size = _table(builder, {}, uint32={0: manifest.input.width, 1: manifest.input.height})
    image = _table(builder, {1: size}, int8={0: _RGB})
    options = _table(builder, {0: _floats(builder, [0.0]), 1: _floats(builder, [1.0])})
    return _table(
        builder,
        {
            0: builder.CreateString("image"),
            1: builder.CreateString("RGB picture, raw pixel values 0-255."),
            3: _table(builder, {1: image}, int8={0: _IMAGE_PROPERTIES}),
            4: _offsets(builder, [_table(builder, {1: options}, int8={0: _NORMALIZATION})]),
            5: _stats(builder, 0.0, 255.0),
        },
    )


def _output(builder: flatbuffers.Builder) -> int:
    labels = _associated_file(builder, LABELS_FILE, "Class names, one a line.", _TENSOR_AXIS_LABELS)
    return _table(
        builder,
        {
            0: builder.CreateString("probability"),
            1: builder.CreateString("Probability of each class."),
            5: _stats(builder, 0.0, 1.0),
            6: _offsets(builder, [labels]),
        },
    )


def _stats(builder: flatbuffers.Builder, low: float, high: float) -> int:
    return _table(builder, {0: _floats(builder, [high]), 1: _floats(builder, [low])})


def _associated_file(builder: flatbuffers.Builder, name: str, description: str, kind: int = 0) -> int:
    return _table(builder, {0: builder.CreateString(name), 1: builder.CreateString(description)}, int8={2: kind})


def _table(
    builder: flatbuffers.Builder,
    offsets: Mapping[int, int],
    *,
    uint32: Mapping[int, int] | None = None,
    int8: Mapping[int, int] | None = None,
) -> int:
    """Write one table from its fields by slot. The things that offsets point to must be written before."""
    numbers, small = uint32 or {}, int8 or {}
    builder.StartObject(1 + max((*offsets, *numbers, *small)))
    for slot, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    for slot, number in numbers.items():
        builder.PrependUint32Slot(slot, number, 0)
    for slot, number in small.items():
        builder.PrependInt8Slot(slot, number, 0)
    return int(builder.EndObject())


def _offsets(builder: flatbuffers.Builder, targets: Sequence[int]) -> int:
    builder.StartVector(4, len(targets), 4)
    for target in reversed(targets):
        builder.PrependUOffsetTRelative(target)
    return int(builder.EndVector())


def _floats(builder: flatbuffers.Builder, values: Sequence[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return int(builder.EndVector())


def _buffer(builder: flatbuffers.Builder, content: bytes) -> int:
    builder.StartVector(1, len(content), _ALIGNMENT)
    for byte in reversed(content):
        builder.PrependByte(byte)
    return _table(builder, {0: int(builder.EndVector())})


def _root(model: bytes) -> Table:
    if model[4:8] != TFLITE_MARK or len(model) > MAX_FLATBUFFER_BYTES:
        raise ModelError(f"{len(model)} bytes that are not a TFLite model", "a TFLite flatbuffer below 2 GiB")
    root = Table(model, flatbuffers.encode.Get(UOffsetTFlags.packer_type, model, 0))
    vtable = root.Pos - flatbuffers.encode.Get(flatbuffers.packer.soffset, model, root.Pos)
    slots = (flatbuffers.encode.Get(flatbuffers.packer.voffset, model, vtable) - 4) // 2
    if slots > _MODEL_SLOTS and any(root.Offset(4 + 2 * slot) for slot in range(_MODEL_SLOTS, slots)):
        raise ModelError("a TFLite model with external buffers or of a newer schema", "a model in one file")
    return root


def _target(table: Table, slot: int) -> int:
    """Where the thing that an offset field points to starts, in bytes from the start of the model."""
    return int(table.Indirect(table.Pos + table.Offset(4 + 2 * slot)))


def _elements(table: Table, slot: int) -> list[int]:
    """Where the tables in a vector field start; empty where the field is absent."""
    field = table.Offset(4 + 2 * slot)
    if not field:
        return []
    start = table.Vector(field)
    return [table.Indirect(start + 4 * index) for index in range(table.VectorLen(field))]


def _refuse_metadata(old: Table, metadata: Sequence[int]) -> None:
    for place in metadata:
        entry = Table(old.Bytes, place)
        if entry.String(place + entry.Offset(4)) == METADATA_NAME.encode():
            raise ModelError(
                "a TFLite model that carries TFLite metadata already",
                "a model as the converter wrote it",
                "embed the manifest into the converter's output",
            )
