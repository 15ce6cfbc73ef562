"""Which file of a release to use, and how: what ``edgewise benchmark --select`` has written beside the files.

``selected.json`` may come from anywhere, as the release it lies in: it can only name a file in its own folder, and only
one with the SHA-256 that was measured.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgewise.runtime.cpu import usable_cores
from edgewise.spec import Format, ModelError
from edgewise.spec.files import path_text, sha256_file, write_text
from edgewise.spec.opening import Opening

SELECTED = "selected.json"
"""The name of the file."""

SCHEMA = 1
"""Version of the file."""

MAX_BYTES = 1 << 16
"""Longest ``selected.json`` that is read, in bytes."""

MAX_THREADS = 4096

_EXPECTED = "a file that `edgewise benchmark --select` wrote"
_AGAIN = f"choose again with `edgewise benchmark RELEASE --data DATA --out OUT --select`, or remove {SELECTED}"
_PATTERNS = {
    "file": rf"[^/\x00-\x1f\x7f]+\.({'|'.join(form.value for form in Format)})",
    "sha256": r"[0-9a-f]{64}",
    "backend": r"[a-z0-9]{1,32}",
    "provider": r"[a-z0-9_:.-]{1,64}",
}
"""Fields of text, and what they may hold."""


@dataclass(frozen=True)
class Selection:
    """A file of a release and how it was fastest."""

    file: str  # its name in the folder
    sha256: str  # of its content, 64 lower-case hexadecimal digits
    backend: str  # such as "litert"
    provider: str  # such as "cpu"
    threads: int  # CPU threads, 1 to 4096
    reason: str = ""  # why this one, for people
    schema: int = SCHEMA


def write_selection(folder: Path, selection: Selection) -> Path:
    """Write ``selected.json`` into a release folder, over an earlier choice. Raises OutputError."""
    path = folder / SELECTED
    write_text(path, json.dumps(asdict(selection), indent=2) + "\n")
    return path


def selected(folder: Path) -> tuple[Path, Selection]:
    """The chosen file of a release folder.

    Returns:
        Its path and how to use it. Its content has the SHA-256 that was measured.

    Raises:
        ModelError: nothing was chosen, the choice cannot be read, or its file is gone or another one by now.
    """
    selection = _read(folder / SELECTED)
    path = folder / selection.file
    if not path.is_file():
        raise ModelError(
            f"{path_text(folder / SELECTED)} names {path_text(selection.file)}, which is not there", do=_AGAIN
        )
    if (found := sha256_file(path)) != selection.sha256:
        raise ModelError(
            f"{path_text(path)} is not the file that was measured: its SHA-256 is {found}",
            f"{selection.sha256}, as {SELECTED} says",
            _AGAIN,
        )
    return path, selection


def resolve(model: Path, opening: Opening) -> tuple[Path, Opening, Selection | None]:
    """What to open where a command is given a model file or a release folder.

    Args:
        model: a file, which is left as it is; or a release folder, of which the chosen file is taken.
        opening: how; what the user said goes before what was chosen.

    Raises:
        ModelError: as `selected`.
    """
    # A TensorFlow SavedModel is a folder too, and has a message of its own where model files are read.
    if not model.is_dir() or (model / "saved_model.pb").exists():
        return model, opening, None
    path, chosen = selected(model)
    if opening.backend is not None:
        return path, opening, chosen
    # More threads than cores are slower; the release may have moved since it was measured.
    threads = opening.threads or min(chosen.threads, usable_cores())
    provider = opening.provider or chosen.provider
    return path, replace(opening, backend=chosen.backend, provider=provider, threads=threads), chosen


def _read(path: Path) -> Selection:
    try:
        if path.exists() and not path.is_file():  # opening a pipe would wait for ever
            raise ModelError(f"{path_text(path)} is not a file", _EXPECTED, _AGAIN)
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise _nothing_chosen(path.parent) from error
    except OSError as error:
        raise ModelError(f"{path_text(path)} cannot be read: {error.strerror}", _EXPECTED, _AGAIN) from error
    try:
        data = json.loads(content) if len(content) <= MAX_BYTES else None
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise ModelError(f"{path_text(path)} is not a JSON object of at most {MAX_BYTES} bytes", _EXPECTED, _AGAIN)
    return _checked(data, path)


def _checked(data: dict[str, Any], path: Path) -> Selection:
    if data.get("schema") != SCHEMA:
        raise _bad(path, "schema", data.get("schema"))
    threads = data.get("threads")
    if type(threads) is not int or not 1 <= threads <= MAX_THREADS:
        raise _bad(path, "threads", threads)
    for name, pattern in _PATTERNS.items():
        if not isinstance(data.get(name), str) or not re.fullmatch(pattern, data[name], re.IGNORECASE | re.DOTALL):
            raise _bad(path, name, data.get(name))
    reason = data.get("reason")
    texts = {name: data[name] for name in _PATTERNS}
    return Selection(**texts, threads=threads, reason=reason if isinstance(reason, str) else "")


def _bad(path: Path, name: str, value: object) -> ModelError:
    return ModelError(f"{path_text(path)}: '{name}' is {_shown(value)}", _EXPECTED, _AGAIN)


def _shown(value: object) -> str:
    shown = ascii(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _nothing_chosen(folder: Path) -> ModelError:
    # The usual message of a folder first, because most people who name one have forgotten the file.
    return ModelError(
        f"{path_text(folder)} is a folder, and {SELECTED} in it, which would say which file to use, is not there",
        "a .tflite or .onnx file that Edgewise exported, or a release folder with a choice",
        "name one file in it, or choose one: `edgewise benchmark RELEASE --data DATA --out OUT --select`",
    )
