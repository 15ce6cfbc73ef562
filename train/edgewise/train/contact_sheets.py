"""Contact sheets: what the photos of a class look like, on one picture."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgewise.runtime.images import Picture, decode, fit, read
from edgewise.runtime.sources import load_ahead
from edgewise.spec.files import path_text, write_bytes
from edgewise.spec.progress import Reporter
from edgewise.train.audit import Audit, Photo

MOST = 100
"""Photos on one sheet; of more, a seeded choice is shown."""

COLUMNS, TILE, GAP, CAPTION, TITLE = 10, 120, 8, 18, 44
"""Photos in a row; and in pixels: side of a photo, space around it, height of its caption and of the sheet's title."""

PAPER, INK, QUIET = (255, 255, 255), (30, 28, 26), (110, 105, 100)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_STRANGE = re.compile(r"[^\w-]+")
_OURS = re.compile(r"\d{3,}-.*\.png")


def save_contact_sheets(audit: Audit, folder: Path, seed: int, reporter: Reporter) -> tuple[Path, ...]:
    """Draw a PNG for each class that has a photo; sheets of an earlier call in the same folder are removed.

    Args:
        audit: what was found; only photos that could be read are shown.
        folder: where the files go, made where it is missing; ``001-cat.png`` and so on.
        seed: decides which photos are shown where a class has more than MOST.
        reporter: is told about the progress.

    Raises:
        OutputError: a file cannot be written.
    """
    for old in folder.glob("*.png"):
        if _OURS.fullmatch(old.name):
            old.unlink()
    made: list[Path] = []
    with reporter.task("drawing contact sheets", len(audit.labels)) as step:
        for number, label in enumerate(audit.labels, 1):
            photos = [photo for photo in audit.photos if photo.label == label]
            if photos:
                # A label may hold anything, also a slash; the number keeps the names apart.
                path = folder / f"{number:03d}-{_STRANGE.sub('_', label)[:40]}.png"
                write_bytes(path, _png(contact_sheet(audit, label, photos, seed)))
                made.append(path)
            step()
    return tuple(made)


def contact_sheet(audit: Audit, label: str, photos: Sequence[Photo], seed: int) -> Picture:
    """One sheet: the photos in rows, each whole, with its name below.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    shown = list(photos)
    if len(shown) > MOST:
        chosen = random.Random(seed).sample(range(len(shown)), MOST)  # noqa: S311 - a choice to repeat, not a secret
        shown = [photos[index] for index in sorted(chosen)]
    rows = -(-len(shown) // COLUMNS)
    sheet = np.full((TITLE + rows * (TILE + CAPTION + GAP) + GAP, COLUMNS * (TILE + GAP) + GAP, 3), PAPER, np.uint8)
    count = f"{len(shown)} of {len(photos)} photos" if len(shown) < len(photos) else f"{len(photos)} photos"
    _write(sheet, f"{label}: {count}", (GAP, TITLE - 15), 0.8, sheet.shape[1] - 2 * GAP, INK)
    for index, found in enumerate(load_ahead([photo.path for photo in shown], _thumbnail)):
        top = TITLE + index // COLUMNS * (TILE + CAPTION + GAP)
        left = GAP + index % COLUMNS * (TILE + GAP)
        if found.content is not None:
            height, width = found.content.shape[:2]
            y, x = top + (TILE - height) // 2, left + (TILE - width) // 2
            sheet[y : y + height, x : x + width] = found.content
        split = "" if shown[index].split == "all" else f"{shown[index].split}: "
        _write(sheet, split + audit.name(found.path).rsplit("/", 1)[-1], (left, top + TILE + 13), 0.36, TILE, QUIET)
    return sheet


def _thumbnail(path: Path) -> Picture:
    """The whole photo, as large as it fits into a tile."""
    picture = decode(read(path), path_text(path), at_least=(TILE, TILE))
    height, width = picture.shape[:2]
    scale = TILE / max(height, width)
    return fit(picture, max(1, round(height * scale)), max(1, round(width * scale)))


def _write(
    sheet: NDArray[np.uint8], text: str, place: tuple[int, int], size: float, room: int, color: tuple[int, int, int]
) -> None:
    """Write one line from ``place`` (left, baseline), cut to ``room`` pixels."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text[:200])
    short = text
    while len(short) > 1 and cv2.getTextSize(short, _FONT, size, 1)[0][0] > room:
        text = text[:-1]
        short = text + ".."
    cv2.putText(sheet, short, place, _FONT, size, color, 1, cv2.LINE_AA)


def _png(picture: Picture) -> bytes:
    encoded: Any = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
    return bytes(encoded)
