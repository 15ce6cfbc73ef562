"""The data of ``edgewise demo``: drawn pictures of ten signs, as a webcam would see them on a sheet of paper.

The pictures are drawn, not photographed. They look enough like photos that a network trained on them recognises
signs that a person draws on paper and holds up to a webcam. No drawing is ever mirrored, nor turned by more than
25 degrees (arrows: 20), so that a direction stays what its label says.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgewise.spec import InputError, OutputError
from edgewise.spec.files import sha256
from edgewise.train.sign_camera import photograph
from edgewise.train.sign_pose import pose_for, sheet_corners
from edgewise.train.sign_scene import background, draw_ink, hold, lay_sheet, tinted
from edgewise.train.sign_shapes import SHAPES, strokes_of

__all__ = ["LABELS", "draw_sign", "write_signs"]

LABELS: tuple[str, ...] = tuple(sorted(SHAPES))

_SMALLEST = 32  # pixels; below this the thinnest pen is lost


def draw_sign(label: str, rng: np.random.Generator, size: int = 160) -> NDArray[np.uint8]:
    """Draw one photo-like picture of a hand-drawn sign.

    Args:
        label: one of ``LABELS``.
        rng: the source of all variation; a generator in the same state draws the same picture.
        size: side of the picture in pixels, 32 or more.

    Returns:
        (size, size, 3) uint8 RGB.

    Raises:
        InputError: there is no such sign, or ``size`` is too small.
    """
    if label not in SHAPES:
        raise InputError(f"'{label}' is not a sign", f"one of {', '.join(LABELS)}")
    _check(size)
    strokes = strokes_of(label, rng)
    pose = pose_for(strokes, 20.0 if label.startswith("arrow") else 25.0, size, rng)
    scene = lay_sheet(background(size, rng), sheet_corners(strokes, rng), pose, rng)
    cover, ink = draw_ink(strokes, pose, rng)
    scene *= 1 - tinted(cover, 1 - ink / np.float32(255))
    if rng.random() < 0.4:
        scene = hold(scene, cover, rng)
    return photograph(scene, rng).astype(np.uint8)


def _check(size: int) -> None:
    if size < _SMALLEST:
        raise InputError(f"a picture of {size} x {size} pixels is too small for a sign", f"{_SMALLEST} or more")


@dataclass(frozen=True)
class _Drawing:
    """One file to write. Its name alone, with the seed, decides what is on it."""

    seed: int
    split: str
    label: str
    number: int
    size: int

    @property
    def name(self) -> str:
        return f"{self.split}/{self.label}/{self.label}-{self.number:04d}.jpg"

    def write(self, root: Path) -> None:
        entropy = int(sha256(f"{self.seed}/{self.name}".encode()), 16)
        rng = np.random.default_rng(entropy)
        picture = draw_sign(self.label, rng, self.size)
        quality = int(rng.integers(60, 96))
        _, jpeg = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        (root / self.name).write_bytes(jpeg.tobytes())


def write_signs(
    root: Path,
    counts: Mapping[str, int],
    *,
    seed: int,
    size: int = 160,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write drawings as ``root/<split>/<label>/<label>-0001.jpg``, JPEG of quality 60 to 95.

    Each drawing depends only on ``seed``, split, label, number and ``size``: the same call writes the same bytes, more
    drawings leave the earlier ones as they are, and no two splits share a drawing. A split's folder appears when it is
    complete; where the work was interrupted, the next call starts that split again.

    Args:
        root: folder to write to; made where it is missing.
        counts: drawings per split in total, at least one of each sign; the first signs get one more where they do not
            divide evenly.
        seed: any integer.
        size: side of the pictures in pixels, 32 or more.
        progress: called after each drawing with the number of drawings done and the total.

    Raises:
        InputError: a count is too small, or ``size`` is.
        OutputError: a split's folder exists already, or cannot be written.
    """
    _check(size)
    _refuse(root, counts)
    done, total = 0, sum(counts.values())
    for split, count in counts.items():
        partial = root / f".{split}.partial"
        drawings = [_Drawing(seed, split, LABELS[i % len(LABELS)], i // len(LABELS) + 1, size) for i in range(count)]
        try:
            shutil.rmtree(partial, ignore_errors=True)
            for label in LABELS:
                (partial / split / label).mkdir(parents=True)
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                try:
                    for _ in pool.map(lambda drawing, to=partial: drawing.write(to), drawings):
                        done += 1
                        if progress:
                            progress(done, total)
                finally:
                    pool.shutdown(cancel_futures=True)
            (partial / split).replace(root / split)
            partial.rmdir()
        except OSError as error:
            raise OutputError(
                f"cannot write {root / split}: {error.strerror or error}", do="free some space or choose another folder"
            ) from error


def _refuse(root: Path, counts: Mapping[str, int]) -> None:
    for split, count in counts.items():
        if count < len(LABELS):
            raise InputError(f"{count} drawings for '{split}'", f"at least {len(LABELS)}, one of each sign")
        if (root / split).exists():
            raise OutputError(f"{root / split} exists already", do="delete it or choose another folder")
