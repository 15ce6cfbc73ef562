"""A model file that is read and verified while numpy, OpenCV and the engine are still being imported.

Both take about as long, and the one waits for the disk and for digests, the other for Python. So nothing here, nor
what it imports, may need numpy.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from edgewise.runtime.copies import private_copy, private_folder
from edgewise.runtime.modelfile import ModelFile, own_file, read_file
from edgewise.spec import Format

FEW = 8
"""Photos that are not worth several copies of the network."""

Found = tuple[ModelFile | None, Path | None]
"""A file of ours, without its content, which would be in memory twice; and the folder for what is made of it."""


def begin_for(path: Path, sources: Sequence[str]) -> Future[Found] | None:
    """As `begin`, where there are only a few photos to classify with it; else None."""
    few = len(sources) <= FEW and all(map(os.path.isfile, sources))
    return begin(path) if few else None


def begin(path: Path) -> Future[Found]:
    """Begin to read a file; the result is None and None for a file of another maker, or raises as `read_model`."""
    side = ThreadPoolExecutor(1, "reading")
    found = side.submit(_find, path)
    side.shutdown(wait=False)
    return found


def _find(path: Path) -> Found:
    file = read_file(path)
    if file.manifest is None:
        return None, None
    model = replace(own_file(file), content=b"")
    if file.format is Format.ONNX:
        return model, private_folder(file.sha256, len(file.content))
    copy = private_copy(file.content, file.sha256, path.suffix)
    return model, copy and copy.parent
