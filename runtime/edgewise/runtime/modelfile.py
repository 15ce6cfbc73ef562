"""Opening a model file: digests first, then the manifest it carries, then what must not be in it.

A ``.tflite`` file carries the manifest in the zip archive at its end, where the TFLite metadata convention puts
associated files; an ``.onnx`` file carries it in ``metadata_props``. The bytes that were verified are the bytes that
the caller gets and loads: nothing is read from the disk twice.
"""

from __future__ import annotations

import io
import os
import stat
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from edgewise.runtime.onnxfile import EXPECTED, EXPORT_AGAIN, onnx_manifest, refuse_foreign_parts
from edgewise.runtime.tflitefile import (
    ARCHIVE_END,
    ARCHIVE_END_MARK,
    DAMAGED,
    check_archive,
    refuse_custom_operators,
)
from edgewise.spec import Format, Manifest, ModelError
from edgewise.spec.digest import verify
from edgewise.spec.files import sha256
from edgewise.spec.manifest import MAX_BYTES

MANIFEST_FILE = "edgewise.json"
"""The manifest's name in the archive of a TFLite file."""

LABELS_FILE = "labels.txt"
"""The labels' name in the archive of a TFLite file, one a line, for other tools."""

DIGEST_KEY = "edgewise.digest"
"""The digest's name among the metadata of either format."""

MAX_FILE_BYTES = 4 << 30
MAX_SUMS_BYTES = 1 << 20

TFLITE_MARK = b"TFL3"
_HDF5_MARK = b"\x89HDF\r\n\x1a\n"
_KERAS_SUFFIXES = frozenset({".h5", ".hdf5", ".keras"})


@dataclass(frozen=True)
class ModelFile:
    """A verified model file."""

    path: Path
    format: Format
    manifest: Manifest
    content: bytes = field(repr=False)  # the whole file; load this, never the path again
    sha256: str  # of ``content``, 64 lower-case hexadecimal digits


@dataclass(frozen=True)
class CheckedFile:
    """A file that was read and checked but never loaded: one of ours, or one of another maker."""

    path: Path
    format: Format
    manifest: Manifest | None  # None: of another maker
    content: bytes = field(repr=False)
    sha256: str
    has_digest: bool  # it carries one or is listed in SHA256SUMS; either fits


def read_model(path: Path) -> ModelFile:
    """Read a model file once, verify it, and take its manifest out.

    Args:
        path: a ``.tflite`` or ``.onnx`` file. Where a ``SHA256SUMS`` beside it lists the file, that is verified too.

    Raises:
        ModelError: no readable file, another kind of file, damaged, without manifest or digest, or with content that is
            not allowed (external data, foreign operators).
    """
    return own_file(read_file(path))


def own_file(file: CheckedFile) -> ModelFile:
    """A file that Edgewise exported. Raises ModelError for any other."""
    if file.manifest is None:
        raise ModelError(
            f"{file.path} carries no Edgewise manifest",
            EXPECTED,
            "export it with `edgewise export`; `edgewise predict` and `edgewise live` run it with --labels FILE",
        )
    return ModelFile(file.path, file.format, file.manifest, file.content, file.sha256)


def read_file(path: Path) -> CheckedFile:
    """As `read_model`, also for files of other makers, which have no manifest."""
    content = read_content(path)
    with ThreadPoolExecutor(1) as side:  # two digests at the same time: they take most of the time here
        verified = side.submit(verify, content, str(path))
        digest = sha256(content)
        listed = check_sums(path, digest)
    sealed = verified.result()
    form = format_of(path, content)
    manifest = (tflite_manifest if form is Format.TFLITE else onnx_manifest)(content, str(path))
    if manifest is not None and not sealed:
        raise ModelError(f"{path} carries an Edgewise manifest but no digest", EXPECTED, EXPORT_AGAIN)
    (refuse_custom_operators if form is Format.TFLITE else refuse_foreign_parts)(content, str(path))
    return CheckedFile(path, form, manifest, content, digest, listed or sealed)


def read_content(path: Path) -> bytes:
    """The bytes of what may be a model file, by its name and kind. Raises ModelError."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise _folder_error(path)
        if path.suffix.lower() in _KERAS_SUFFIXES:
            raise _keras_error(path)
        if path.suffix.lower() == ".pb":
            raise ModelError(
                f"{path} is a TensorFlow graph; export the run with `edgewise export tflite RUN`", EXPECTED
            )
        if path.suffix.lower() not in {".tflite", ".onnx"}:
            raise ModelError(f"{path} is not a model file, by its suffix '{path.suffix}'", EXPECTED)
        if not stat.S_ISREG(status.st_mode):
            raise ModelError(f"{path} is not a regular file", EXPECTED)
        if status.st_size > MAX_FILE_BYTES:
            raise ModelError(f"{path} is {status.st_size} bytes large", f"at most {MAX_FILE_BYTES} bytes")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist", EXPECTED, "check the path") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}", EXPECTED) from error
    if not content:
        raise ModelError(f"{path} is empty", EXPECTED, EXPORT_AGAIN)
    return content


def _folder_error(path: Path) -> ModelError:
    if (path / "saved_model.pb").exists():
        return ModelError(
            f"{path} is a TensorFlow SavedModel, which can run code on loading; "
            "export it with `edgewise export tflite RUN`",
            EXPECTED,
        )
    return ModelError(
        f"{path} is a folder", EXPECTED, "name one file in it, or export one: `edgewise export tflite RUN`"
    )


def _keras_error(path: Path) -> ModelError:
    return ModelError(
        f"{path} is a Keras file, which can run code on loading; export it with `edgewise export tflite RUN`", EXPECTED
    )


def check_sums(path: Path, digest: str) -> bool:
    """Compare with the line for this file in SHA256SUMS (format of the sha256sum command), where there is one.

    Returns:
        True where there is one and it fits, False where there is none.

    Raises:
        ModelError: it does not fit, or SHA256SUMS cannot be read.
    """
    sums = path.parent / "SHA256SUMS"
    if sums.exists() and not sums.is_file():  # opening a pipe would wait for ever
        raise ModelError(f"{sums} is not a file", "a file as `sha256sum` writes it")
    try:
        with sums.open("rb") as file:
            lines = file.read(MAX_SUMS_BYTES).splitlines()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ModelError(f"{sums} cannot be read: {error.strerror}", "a file as `sha256sum` writes it") from error
    name, found = os.fsencode(path.name), False
    for line in lines:
        listed, _, rest = line.partition(b" ")
        # The second column starts with a blank (text) or a star (binary); both mean the same here.
        if rest[1:] != name:
            continue
        if listed.lower() != digest.encode():
            raise ModelError(
                f"{path} is damaged: its SHA-256 is {digest}",
                f"{listed.decode('ascii', 'replace')}, as {sums} says",
                EXPORT_AGAIN,
            )
        found = True
    return found


def format_of(path: Path, content: bytes) -> Format:
    """The format of a model file, by its content and its suffix. Raises ModelError."""
    is_tflite = content[4:8] == TFLITE_MARK
    if content.startswith(_HDF5_MARK):
        raise _keras_error(path)
    if path.suffix.lower() == ".tflite":
        if not is_tflite:
            raise ModelError(f"{path} is not a TFLite file: the mark TFL3 is missing", EXPECTED, EXPORT_AGAIN)
        return Format.TFLITE
    if is_tflite:
        raise ModelError(f"{path} is a TFLite file with the suffix of ONNX", do="rename it to .tflite")
    return Format.ONNX


def tflite_manifest(content: bytes, name: str) -> Manifest | None:
    """The manifest in the archive at the end of a TFLite file, or None where there is no such archive or entry.

    Args:
        content: the whole file.
        name: how the file is called in error messages.

    Raises:
        ModelError: the archive is not one that Edgewise writes (other names, compressed, too large), or a bad manifest.
    """
    if content[-ARCHIVE_END.size :][:4] != ARCHIVE_END_MARK or not check_archive(content, name):
        return None
    try:
        # BytesIO shares the bytes it is given, so this copies nothing.
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if MANIFEST_FILE not in {entry.filename for entry in entries}:
                return None
            return Manifest.from_json(_manifest_entry(archive, entries, name), name)
    except DAMAGED as error:
        raise ModelError(f"{name}: the archive at its end is damaged ({error})", do=EXPORT_AGAIN) from error


def _manifest_entry(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], name: str) -> bytes:
    names = [entry.filename for entry in entries]
    if sorted(names) != sorted((LABELS_FILE, MANIFEST_FILE)):
        raise ModelError(
            f"{name}: the archive at its end holds {', '.join(map(repr, names))}", f"{LABELS_FILE} and {MANIFEST_FILE}"
        )
    entry = archive.getinfo(MANIFEST_FILE)
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
        raise ModelError(f"{name}: the manifest in it is compressed", "a manifest that is stored as it is")
    if entry.file_size > MAX_BYTES:
        raise ModelError(f"{name}: its manifest is {entry.file_size} bytes long", f"at most {MAX_BYTES} bytes")
    return archive.read(entry)
