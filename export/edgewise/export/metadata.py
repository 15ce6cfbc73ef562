"""Putting a manifest into a model file, together with what other tools read, and sealing it.

`edgewise.runtime.modelfile.read_model` is the other side.
"""

from __future__ import annotations

import io
import zipfile

from edgewise.export.tflite_metadata import METADATA_NAME, metadata_prefix, model_metadata
from edgewise.runtime.modelfile import DIGEST_KEY, LABELS_FILE, MANIFEST_FILE
from edgewise.runtime.onnxfile import MANIFEST_KEY, onnx_manifest
from edgewise.runtime.protobuf import encode_field
from edgewise.spec import Manifest, ModelError
from edgewise.spec.digest import BLANK, MARKER, seal

_EARLIEST = (1980, 1, 1, 0, 0, 0)  # zip knows no earlier time; a fixed one makes equal input give equal files
_READABLE = 0o644 << 16
_METADATA_PROPS = 14  # of onnx.ModelProto


def embed_tflite(model: bytes, manifest: Manifest) -> bytes:
    """Give a TFLite model its manifest and the standard TFLite metadata.

    Args:
        model: a TFLite flatbuffer with one uint8 image input and one float32 output, as a converter wrote it.
        manifest: what the file shall say about itself.

    Returns:
        The sealed file. It ends with a zip archive of ``labels.txt`` and ``edgewise.json``; equal input gives equal
        bytes, and every buffer keeps its alignment.

    Raises:
        ModelError: a model that carries metadata already, a label that does not fit on a line, or a bad manifest.
    """
    labels = _label_lines(manifest.labels)
    text = _manifest_json(model, manifest)
    entries = {METADATA_NAME: model_metadata(manifest), DIGEST_KEY: BLANK}
    file = io.BytesIO()
    file.write(metadata_prefix(model, entries))
    file.write(model)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in ((LABELS_FILE, labels.encode()), (MANIFEST_FILE, text)):
            entry = zipfile.ZipInfo(name, _EARLIEST)
            entry.external_attr = _READABLE
            entry.create_system = 3  # Unix on every machine
            archive.writestr(entry, content)
    return seal(file.getvalue())


def embed_onnx(model: bytes, manifest: Manifest) -> bytes:
    """Give an ONNX model its manifest, as metadata properties.

    The properties are appended: protocol buffers join the parts of a repeated field, so the graph is not parsed.

    Args:
        model: a serialized ``onnx.ModelProto`` in one piece.
        manifest: what the file shall say about itself.

    Returns:
        The sealed file; equal input gives equal bytes.

    Raises:
        ModelError: not an ONNX model, one that carries a manifest already, or a bad manifest.
    """
    text = _manifest_json(model, manifest)
    if onnx_manifest(model, "the ONNX model") is not None:
        raise _carries_already()
    return seal(b"".join((model, _property(MANIFEST_KEY, text), _property(DIGEST_KEY, BLANK))))


def _property(key: str, value: bytes) -> bytes:
    return encode_field(_METADATA_PROPS, encode_field(1, key.encode()) + encode_field(2, value))


def _manifest_json(model: bytes, manifest: Manifest) -> bytes:
    """The manifest as it will be read, checked by reading it."""
    try:
        text = manifest.to_json().encode("utf-8")
    except UnicodeEncodeError as error:
        raise ModelError(
            f"a text of the manifest is not UTF-8: {error.object[error.start : error.end]!r}",
            do="rename the class folder or file that it comes from",
        ) from error
    if MARKER in model:
        raise _carries_already()
    if MARKER in text:
        raise ModelError(
            f"the manifest holds the text {MARKER.decode()!r}", "the mark of the digest, which is reserved"
        )
    Manifest.from_json(text, "the manifest to be written")
    return text


def _carries_already() -> ModelError:
    return ModelError(
        "a model that carries an Edgewise manifest already",
        "a model as the converter wrote it",
        "embed the manifest into the converter's output",
    )


def _label_lines(labels: tuple[str, ...]) -> str:
    for label in labels:
        if label.splitlines() != [label]:
            raise ModelError(
                f"the label {label!r} holds a line break", "labels that fit on one line each", "rename the class"
            )
    return "".join(f"{label}\n" for label in labels)
