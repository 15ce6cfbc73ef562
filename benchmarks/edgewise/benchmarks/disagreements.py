"""The worst disagreements between files and the reference, with small pictures of their photos."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgewise.benchmarks.figures import Disagreement
from edgewise.benchmarks.results import Results, Row
from edgewise.benchmarks.text import fastest_of_each, short_names
from edgewise.runtime.images import Picture, decode, fit, read
from edgewise.spec import PhotoError
from edgewise.spec.files import path_text

SHOWN = 12
"""Photos on the page."""

SIDE = 168
"""Longest side of a picture in pixels."""

MAX_BYTES = 300_000
"""Of all pictures together, before base64."""


@dataclass(frozen=True)
class Shown:
    """A photo and what is said of it."""

    name: str  # its path below the folder of photos
    label: str  # true class
    reference: str
    reference_probability: float  # 0-1
    answer: str
    probability: float  # 0-1
    who: str  # the row that answers so
    others: int  # further rows that answer so too
    picture: str  # data URI of a JPEG; empty where there is none


def worst_disagreements(results: Results) -> tuple[Shown, ...]:
    """Those photos of all rows first that both sides are surest of, each once, at most `SHOWN`.

    Photos that cannot be read any more, and those beyond `MAX_BYTES`, come without a picture.
    """
    rows = fastest_of_each(results.rows)
    names = dict(zip((row.key for row in rows), short_names(rows), strict=True))
    found: dict[str, list[tuple[Row, Disagreement]]] = {}
    for row in rows:
        for each in row.accuracy.worst if row.accuracy else ():
            found.setdefault(each.photo, []).append((row, each))
    ranked = sorted(found.values(), key=lambda told: -_sureness(told[0][1]))[:SHOWN]
    shown, room = [], MAX_BYTES
    for told in ranked:
        content = _thumbnail(Path(told[0][1].photo))
        content, room = (content, room - len(content)) if len(content) <= room else (b"", room)
        shown.append(_shown(told, names, results.data.path, content))
    return tuple(shown)


def _sureness(told: Disagreement) -> float:
    return min(told.reference_probability, told.probability)


def _shown(
    told: Sequence[tuple[Row, Disagreement]],
    names: dict[tuple[str, str, str, int, str], str],
    root: str,
    content: bytes,
) -> Shown:
    row, first = told[0]
    return Shown(
        name=_below(first.photo, root),
        label=first.label,
        reference=first.reference,
        reference_probability=first.reference_probability,
        answer=first.answer,
        probability=first.probability,
        who=names[row.key],
        others=sum(other.answer == first.answer for _, other in told) - 1,
        picture="data:image/jpeg;base64," + base64.b64encode(content).decode("ascii") if content else "",
    )


def _below(photo: str, root: str) -> str:
    path = Path(photo)
    return path_text(path.relative_to(root) if path.is_relative_to(root) else path.name)


def _thumbnail(path: Path) -> bytes:
    """A photo as a JPEG of at most `SIDE` pixels, empty where it cannot be read."""
    try:
        return _jpeg(decode(read(path), path_text(path), at_least=(SIDE, SIDE)))
    except PhotoError:
        return b""


def _jpeg(photo: Picture) -> bytes:
    import cv2  # not before edgewise.runtime.images, which sets OpenCV's limits

    height, width = photo.shape[:2]
    scale = min(SIDE / max(height, width), 1)
    small = fit(photo, max(round(height * scale), 1), max(round(width * scale), 1))
    written = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    return np.asarray(written).tobytes()
