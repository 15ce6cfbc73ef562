"""What is read out of a TFLite file without loading it: what must not be in it, and what other tools say in it.

Sources: schema.fbs of TensorFlow Lite (schema version 3) and metadata_schema.fbs of TensorFlow Lite Support.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass

from edgewise.runtime.flatbuffer import Table
from edgewise.runtime.normalization import Normalization
from edgewise.runtime.onnxfile import EXPECTED, EXPORT_AGAIN, MAX_FIELDS
from edgewise.runtime.protobuf import Budget, WireError
from edgewise.spec import ModelError

MAX_LABEL_BYTES = 8 << 20
MAX_DIRECTORY_BYTES = 4096  # of the archive behind a model: two entries need about 120

DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, RuntimeError, ValueError, OSError, EOFError, OverflowError,
)  # fmt: skip
"""What zipfile raises about archives that are none."""

ARCHIVE_END = struct.Struct("<4s4H2LH")
ARCHIVE_END_MARK = b"PK\x05\x06"
_LONGEST_COMMENT = (1 << 16) - 1
_ZIP64_LOCATOR_BYTES, _ZIP64_LOCATOR_MARK = 20, b"PK\x06\x07"
_METADATA = "TFLITE_METADATA"
_CODES, _BUFFERS, _ENTRIES, _OUTSIDE_GROUPS, _OUTSIDE = 1, 4, 6, 8, 9  # of the model
_CUSTOM = 32
_SUBGRAPHS, _INPUTS, _OUTPUTS = 3, 2, 3  # of the metadata
_PROCESS_UNITS, _FILES = 4, 6  # of a tensor's metadata
_NORMALIZATION, _AXIS_LABELS, _VALUE_LABELS = 1, 2, 3


@dataclass(frozen=True)
class TfliteMetadata:
    """What the metadata of a TFLite file says that running it takes. Empty where it says nothing."""

    normalization: Normalization | None = None
    labels: tuple[str, ...] = ()  # lines of the file that names the classes


def refuse_custom_operators(content: bytes, name: str) -> None:
    """Refuse a TFLite model that needs foreign code, or weights in other files.

    Args:
        content: the whole file.
        name: how the file is called in error messages.

    Raises:
        ModelError: a custom operator, external buffers, or bytes that are not TFLite.
    """
    try:
        model = Table.root(memoryview(content), Budget(MAX_FIELDS))
        custom = [
            code.text(1) for code in model.tables(_CODES) if _CUSTOM in (code.number(0, "b"), code.number(3, "i"))
        ]
        outside = model.count(_OUTSIDE_GROUPS, 4) or model.count(_OUTSIDE, 4)
    except WireError as error:
        raise ModelError(f"{name} is not a readable TFLite file: {error}", EXPECTED, EXPORT_AGAIN) from error
    if custom:
        raise ModelError(
            f"{name} needs the custom operator {custom[0]!r}",
            "only operators of TensorFlow Lite itself",
            "export the model without custom operators",
        )
    if outside:
        raise ModelError(f"{name} keeps weights in other files", "a TFLite model in one file", "export it again")


def tflite_metadata(content: bytes, name: str) -> TfliteMetadata:
    """Read how the first input is normalized and how the classes are called, where the file says so.

    Args:
        content: the whole file.
        name: how the file is called in error messages.

    Raises:
        ModelError: the metadata, or the archive that holds the labels, is damaged.
    """
    try:
        model = Table.root(memoryview(content), Budget(MAX_FIELDS))
        found = _metadata_buffer(model, content)
        if found is None:
            return TfliteMetadata()
        subgraph = next(Table.root(found, Budget(MAX_FIELDS)).tables(_SUBGRAPHS), None)
        if subgraph is None:
            return TfliteMetadata()
        normalization = _normalization(subgraph)
        labels = _labels_file(subgraph)
    except WireError as error:
        raise ModelError(f"{name}: its metadata is damaged: {error}", do=EXPORT_AGAIN) from error
    return TfliteMetadata(normalization, _archived_lines(content, labels, name) if labels else ())


def _metadata_buffer(model: Table, content: bytes) -> memoryview | None:
    index = next((each.number(1, "I") for each in model.tables(_ENTRIES) if each.text(0) == _METADATA), None)
    if index is None:
        return None
    for place, buffer in enumerate(model.tables(_BUFFERS)):
        if place == index:
            start, size = buffer.span(0)
            return memoryview(content)[start : start + size]
    raise WireError(f"buffer {index} is asked for, which is not there")


def _normalization(subgraph: Table) -> Normalization | None:
    tensor = next(subgraph.tables(_INPUTS), None)
    for unit in tensor.tables(_PROCESS_UNITS) if tensor else ():
        options = unit.table(1)
        if unit.number(0, "B") == _NORMALIZATION and options:
            with suppress(ValueError):
                return Normalization(options.numbers(0, "f", most=4), options.numbers(1, "f", most=4))
    return None


def _labels_file(subgraph: Table) -> str:
    tensor = next(subgraph.tables(_OUTPUTS), None)
    for file in tensor.tables(_FILES) if tensor else ():
        if file.number(2, "b") in (_AXIS_LABELS, _VALUE_LABELS):
            return file.text(0)
    return ""


def _archived_lines(content: bytes, entry: str, name: str) -> tuple[str, ...]:
    """The lines of a file in the archive at the end of the model, () where there is none of that name."""
    if not check_archive(content, name):
        return ()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            info = next((each for each in archive.infolist() if each.filename == entry), None)
            if info is None:
                return ()
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ModelError(f"{name}: its labels are compressed in an unusual way", "deflated, or stored")
            if info.file_size > MAX_LABEL_BYTES:
                raise ModelError(f"{name}: its labels are {info.file_size} bytes", f"at most {MAX_LABEL_BYTES} bytes")
            with archive.open(info) as file:
                return tuple(file.read(MAX_LABEL_BYTES).decode("utf-8", "replace").splitlines())
    except DAMAGED as error:
        raise ModelError(f"{name}: the archive at its end is damaged ({error})", do=EXPORT_AGAIN) from error


def check_archive(content: bytes, name: str) -> bool:
    """Whether there is an archive at the end of a file, as zipfile looks for it.

    Raises:
        ModelError: its directory is longer than any that belongs to a model. zipfile trusts the counts that it states.
    """
    last = len(content) - ARCHIVE_END.size  # where a whole record can begin
    at = content.rfind(ARCHIVE_END_MARK, max(0, last - _LONGEST_COMMENT), max(0, last + len(ARCHIVE_END_MARK)))
    if at < 0:
        return False
    _, disk, start, here, total, size, _, _ = ARCHIVE_END.unpack_from(content, at)
    locator = content[max(0, at - _ZIP64_LOCATOR_BYTES) :][:4]
    if (disk, start) != (0, 0) or here != total or size > MAX_DIRECTORY_BYTES or locator == _ZIP64_LOCATOR_MARK:
        raise ModelError(
            f"{name}: the archive at its end lists {total} files in {size} bytes",
            f"at most {MAX_DIRECTORY_BYTES} bytes, in one part",
            EXPORT_AGAIN,
        )
    return True
