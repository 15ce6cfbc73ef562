"""One zip that takes a model file to a board: model, Edgewise, what to install, a service, and how to use it all."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from edgewise.export.handout import readme
from edgewise.export.targets import BOARDS, Target, download_bytes, requirements
from edgewise.export.wheel import Wheel, build_wheel, zip_entry
from edgewise.runtime.modelfile import ModelFile, read_model
from edgewise.spec import InputError
from edgewise.spec.files import path_text, refuse_overwrite, replacing, sha256, sha256_file

REQUIREMENTS, README, CLASSIFY, UNIT, INSTALL = (
    "requirements.txt", "README.md", "classify.py", "edgewise-live.service", "install.sh",
)  # fmt: skip
SUMS = "SHA256SUMS"

_LONGEST_STEM = 100


@dataclass(frozen=True)
class Package:
    """A zip that was written."""

    path: Path
    bytes: int
    sha256: str
    folder: str  # what it unpacks to, and the only thing at its top
    model: str  # the name of the model file in it
    names: tuple[str, ...]  # of all files in the folder, in order


def package(model: Path, target: Target, out: Path, *, overwrite: bool = False) -> Package:
    """Pack a model file for a board. Equal input gives an equal file. Needs no network.

    Args:
        model: a ``.tflite`` or ``.onnx`` file that Edgewise exported.
        target: kind of board.
        out: the zip to write.
        overwrite: replace a file that is there.

    Raises:
        InputError: ``out`` is not the name of a zip.
        OutputError: it exists and may not be replaced, or cannot be written.
        ModelError: the model cannot be read, is damaged or foreign.
        EdgewiseError: Edgewise is not installed in a way that a wheel can be made of.
    """
    if out.suffix.lower() != ".zip" or out.is_dir():
        what = "a folder" if out.is_dir() else "not the name of a zip"
        raise InputError(f"--out {path_text(out)} is {what}", "the name of a file that ends in .zip")
    refuse_overwrite(out, overwrite=overwrite, is_ours=Path.is_file)
    verified = read_model(model)
    name = plain_name(model)
    parts = dict(_parts(verified, name, target, build_wheel()))
    parts[SUMS] = "".join(f"{sha256(content)}  {part}\n" for part, content in sorted(parts.items())).encode()
    folder = f"{name.rpartition('.')[0]}-{target.value}"
    with replacing(out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for part, content in sorted(parts.items()):
            archive.writestr(zip_entry(f"{folder}/{part}", 0o755 if part == INSTALL else 0o644), content)
    return Package(out, out.stat().st_size, sha256_file(out), folder, name, tuple(sorted(parts)))


def plain_name(model: Path) -> str:
    """A name for the model file that no shell, unit or page reads as anything else: ASCII letters, digits, ``._-``.

    Args:
        model: any path with the suffix of a model file. A plain name is kept as it is.
    """
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", model.stem)[:_LONGEST_STEM].strip("-.")
    return (stem or "model") + model.suffix.lower()


def template(name: str, **values: str) -> bytes:
    """A file of the folder ``board`` with every ``@{name}`` filled in, as UTF-8.

    The at sign, because shells and units have a meaning for the dollar and the percent sign.
    """
    text = files("edgewise.export").joinpath(f"board/{name}.in").read_text(encoding="utf-8")
    return re.sub(r"@\{([a-z]+)\}", lambda found: values[found[1]], text).encode()


def _parts(model: ModelFile, name: str, target: Target, wheel: Wheel) -> Iterator[tuple[str, bytes]]:
    """Yields every file but the sums, by name."""
    board = BOARDS[target]
    yield name, model.content
    yield wheel.name, wheel.content
    yield REQUIREMENTS, requirements(target, model.format, wheel.metadata).encode()
    yield CLASSIFY, template(CLASSIFY, model=name)
    yield UNIT, template(UNIT, model=name)
    yield README, template(README, **readme(model, name, target, wheel))
    megabytes = download_bytes(target, model.format) / 1e6
    yield (
        INSTALL,
        template(
            INSTALL,
            model=name,
            wheel=wheel.name,
            platform=board.platform,
            pythons=" ".join(board.pythons),
            candidates=" ".join(f"python{python}" for python in reversed(board.pythons)),
            expected=f"{board.platform or 'any system'} with Python {', '.join(board.pythons)}",
            download=f": about {megabytes:.0f} MB to download" if megabytes else "",
        ),
    )
