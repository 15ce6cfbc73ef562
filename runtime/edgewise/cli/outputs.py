"""Files that a command must not write over."""

from __future__ import annotations

from pathlib import Path

from edgewise.spec import InputError
from edgewise.spec.files import path_text
from edgewise.spec.manifest import Format


def refuse_input(option: str, path: Path | None) -> None:
    """Raise InputError where a list of answers would be written to what by its name is a photo, a video or a model."""
    from edgewise.runtime.folders import PHOTO_SUFFIXES
    from edgewise.runtime.items import VIDEO_SUFFIXES

    models = {f".{each.value}" for each in Format}
    if path is not None and path.suffix.lower() in PHOTO_SUFFIXES | VIDEO_SUFFIXES | models:
        raise InputError(
            f"{option} {path_text(path)} has the name of a photo, a video or a model", "another name for the answers"
        )
