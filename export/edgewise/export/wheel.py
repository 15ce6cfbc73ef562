"""Edgewise as a wheel, made of what is installed: no build tool, no compiler, no network.

A wheel is a zip of the packages and their metadata. An installation lists both in its RECORD; an editable one lists the
metadata there and has the packages in the checkout, where Python finds them. Either way the wheel holds the code that
is running.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath

import edgewise
from edgewise.spec import EdgewiseError

PACKAGE = "edgewise"

EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The time of every entry: zip knows no earlier one, and a fixed one makes equal input give equal files."""

_KEPT_METADATA = frozenset({"METADATA", "entry_points.txt"})  # the rest says how and where it was installed
_LICENSES = "licenses"
_WHEEL = "Wheel-Version: 1.0\nGenerator: edgewise package\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_AGAIN = "install Edgewise again with pip or uv"


@dataclass(frozen=True)
class Wheel:
    """A wheel that any Python installs."""

    name: str  # file name
    content: bytes = field(repr=False)
    metadata: str = field(repr=False)  # its METADATA
    version: str


def zip_entry(name: str, mode: int) -> zipfile.ZipInfo:
    """The header of a compressed regular file in a zip that is the same wherever it is made.

    Args:
        name: path in the archive.
        mode: permission bits, for example ``0o644``.
    """
    entry = zipfile.ZipInfo(name, EARLIEST)
    entry.create_system = 3  # Unix, so that the permissions count
    entry.external_attr = (0o100000 | mode) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def build_wheel(installed: Distribution | None = None) -> Wheel:
    """Make the wheel, without changing anything.

    Args:
        installed: the distribution to repack; None takes Edgewise as it runs now.

    Raises:
        EdgewiseError: it is not installed, or the installation does not list its files or lacks some.
    """
    try:
        found = installed or distribution(PACKAGE)
    except PackageNotFoundError as error:
        raise EdgewiseError(
            "Edgewise runs without being installed", "an installation to make a wheel of", _AGAIN
        ) from error
    metadata = found.read_text("METADATA")
    if not metadata or not found.files:
        raise EdgewiseError("the installation of Edgewise does not list its files", "METADATA and RECORD", _AGAIN)
    listed = {path.as_posix(): Path(str(path.locate())) for path in found.files}
    folder = next((name.partition("/")[0] for name in listed if name.endswith(".dist-info/METADATA")), "")
    code = {name: path for name, path in listed.items() if _is_code(name)} or dict(_checkout())
    described = {name: path for name, path in listed.items() if _is_metadata(name, folder)}
    try:
        files = {name: path.read_bytes() for name, path in sorted({**code, **described}.items())}
    except OSError as error:
        raise EdgewiseError(
            f"the installation of Edgewise is damaged: {error.filename}: {error.strerror}",
            "every file it lists",
            _AGAIN,
        ) from error
    files[f"{folder}/WHEEL"] = _WHEEL.encode()
    name = f"{folder.removesuffix('.dist-info')}-py3-none-any.whl"
    return Wheel(name, _pack(files, f"{folder}/RECORD"), metadata, found.version)


def _is_code(name: str) -> bool:
    path = PurePosixPath(name)
    unwanted = "__pycache__" in path.parts or any(part.startswith(".") for part in path.parts)
    return path.parts[0] == PACKAGE and not unwanted and path.suffix not in {".pyc", ".pyo"}


def _is_metadata(name: str, folder: str) -> bool:
    top, _, rest = name.partition("/")
    return top == folder and (rest in _KEPT_METADATA or rest.startswith(f"{_LICENSES}/"))


def _checkout() -> Iterator[tuple[str, Path]]:
    """The files of every folder that shares the namespace, by their names in a wheel."""
    for root in map(Path, edgewise.__path__):
        for path in root.rglob("*"):
            name = f"{PACKAGE}/{path.relative_to(root).as_posix()}"
            if path.is_file() and _is_code(name):
                yield name, path


def _pack(files: Mapping[str, bytes], record: str) -> bytes:
    rows = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in {**files, record: "\n".join([*rows, f"{record},,", ""]).encode()}.items():
            archive.writestr(zip_entry(name, 0o644), content)
    return buffer.getvalue()


def _digest(content: bytes) -> str:
    """The SHA-256 as RECORD writes it: base64 for addresses, without padding (PEP 427)."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
