"""The one preprocessing: from a photo's bytes to the pixels a network sees.

Training, calibration, evaluation, benchmarks and inference all call `prepare` (or `decode` and `fit`), so that equal
photos give equal bits on every path. What comes out is RGB, uint8, upright, at exactly the size that was asked for:

1. the size in pixels is read from the header and judged before anything is decoded (`edgewise.runtime.headers`);
2. the picture is decoded: greyscale becomes three equal channels, CMYK becomes RGB, 16 bit lose their lower 8, and of
   an animation or of several pages the first is taken;
3. transparent pixels of PNG, WebP and GIF are laid over white (TIFF with alpha comes over black, BMP as stored);
4. the EXIF orientation is applied;
5. the whole picture is stretched to the size of the network's input (`fit`).

A large JPEG is decoded at 1/2, 1/4 or 1/8 of its size where that is still no smaller than the size asked for
(scaling inside the inverse DCT, as libjpeg offers it). This is part of the rule, not an option: it changes pixels.

Damage that leaves a file whole in form, such as a few changed bytes inside its compressed data, cannot always be seen:
JPEG, WebP, TIFF, BMP and GIF decoders then return a picture with a flaw.
libjpeg and libpng may write a line about such a file to stderr; OpenCV offers no way to silence them.
"""

from __future__ import annotations

import os
import stat
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgewise.runtime.headers import MAX_PIXELS, Header, read_header
from edgewise.spec.errors import PhotoError
from edgewise.spec.files import path_text

# OpenCV reads both only while it is being imported; every failure it would log is raised as a PhotoError here.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
import cv2

MAX_BYTES = 256 << 20
"""Longest file that is read, in bytes."""

LARGE_PIXELS = 16_000_000
"""Larger pictures are decoded one at a time, so that several threads need the memory of one of them."""

PREPROCESSING_VERSION = f"2 opencv-{cv2.__version__}"
"""Changes whenever equal files may give other pixels: count up with the rules above; OpenCV brings its decoders."""

Picture: TypeAlias = NDArray[np.uint8]
"""Pixels of shape (height, width, 3), RGB, 0-255, C-contiguous."""

_Stored: TypeAlias = NDArray[np.integer[Any] | np.floating[Any]]  # grey, BGR or BGRA of 8 or 16 bit, as OpenCV decodes

_one_large = threading.Lock()
_STRIP = 256  # rows

_REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}

# EXIF orientation: whether rows and columns are exchanged, and then the flip (1: left-right, 0: up-down, -1: both).
_TURNS: dict[int, tuple[bool, int | None]] = {
    2: (False, 1),
    3: (False, -1),
    4: (False, 0),
    5: (True, None),
    6: (True, 1),
    7: (True, -1),
    8: (True, 0),
}


def prepare(source: Path | bytes, height: int, width: int, *, name: str = "the photo") -> Picture:
    """Read, decode and resize one photo.

    Args:
        source: path of the photo, or its whole content.
        height: height of the result in pixels, > 0.
        width: width of the result in pixels, > 0.
        name: how content without a path is called in error messages.

    Returns:
        A new array of shape (height, width, 3), RGB uint8.

    Raises:
        PhotoError: the photo cannot be read or decoded; the message names it.
    """
    content, name = (source, name) if isinstance(source, bytes) else (read(source), path_text(source))
    # Twice the size: a reduced JPEG keeps enough detail for the averaging that follows, and large ones still gain most.
    # Of 300 enlarged photos, at most 1% get another top-1 than from all their pixels; at 1.25 times the size, 2%.
    return fit(decode(content, name, at_least=(2 * height, 2 * width)), height, width)


def read(path: Path) -> bytes:
    """Read a photo's bytes.

    Raises:
        PhotoError: missing, a folder, not a regular file, not permitted, or longer than MAX_BYTES.
    """
    try:
        # Asked before opening, because opening a named pipe would wait for ever.
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise PhotoError(f"{path_text(path)} is a folder", "a photo", "name a file in it")
        if not stat.S_ISREG(status.st_mode):
            raise PhotoError(f"{path_text(path)} is not a regular file", "a photo", "name a file")
        with path.open("rb") as file:
            # Python makes room for as many bytes as are asked for, and room for MAX_BYTES takes longer than reading.
            content = file.read(min(status.st_size, MAX_BYTES) + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PhotoError(
            f"{path_text(path)} cannot be read: {reason}", "a photo", "check the path and its permissions"
        ) from error
    _check_length(len(content), path_text(path))
    return content


def decode(content: bytes, name: str, *, at_least: tuple[int, int] | None = None) -> Picture:
    """Decode one photo to upright RGB.

    Args:
        content: the whole file.
        name: how the photo is called in error messages.
        at_least: (height, width) in pixels. A JPEG is decoded at the strongest of the reductions 1/8, 1/4 and 1/2 that
            leaves neither side smaller than this; None decodes at full size.

    Returns:
        A new array of shape (height, width, 3), RGB uint8.

    Raises:
        PhotoError: empty, not a picture, truncated, damaged, longer than MAX_BYTES or larger than MAX_PIXELS.
    """
    _check_length(len(content), name)
    header = read_header(content, name)
    if header.width * header.height > MAX_PIXELS:
        raise PhotoError(
            f"{name} has {header.width} x {header.height} = {header.width * header.height:,} pixels",
            f"at most {MAX_PIXELS:,} pixels",
            "make the picture smaller, or leave it out",
        )
    with _one_large if header.width * header.height > LARGE_PIXELS else nullcontext():
        stored = _decode_stored(content, name, header, _flags(header, at_least))
        return _turn(_to_rgb(stored, header), header)


def fit(picture: Picture, height: int, width: int) -> Picture:
    """Resize by the rule "stretch": the whole picture, squeezed to the new size, nothing cropped.

    A picture whose sides are both even and at least twice as long as they shall be is halved first (means of 2 x 2
    pixels, rounded), as often as that is so: OpenCV does this with SIMD, and nothing else of what follows. Where no
    side grows, each new pixel is the mean of the area it covers (cv2.INTER_AREA), so that fine patterns do not alias.
    Otherwise the interpolation is bilinear with half-pixel centres (cv2.INTER_LINEAR); enlarging then equals
    ``tf.image.resize(..., "bilinear")`` to within rounding.

    Args:
        picture: shape (any height, any width, 3), uint8.
        height: new height in pixels, > 0.
        width: new width in pixels, > 0.

    Returns:
        A new C-contiguous array of shape (height, width, 3), uint8, that shares nothing with ``picture``; where the
        size is right already, a copy.
    """
    picture = _halved(picture, height, width)
    old_height, old_width = picture.shape[:2]
    if (old_height, old_width) == (height, width):
        return np.array(picture, dtype=np.uint8, order="C")
    shrinks = height <= old_height and width <= old_width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return _as_uint8(cv2.resize(np.ascontiguousarray(picture), (width, height), interpolation=method))


def _halved(picture: Picture, height: int, width: int) -> Picture:
    """The first part of `fit`."""
    while not any(picture.shape[axis] % 2 or picture.shape[axis] < 2 * new for axis, new in enumerate((height, width))):
        half = picture.shape[1] // 2, picture.shape[0] // 2
        picture = _as_uint8(cv2.resize(np.ascontiguousarray(picture), half, interpolation=cv2.INTER_AREA))
    return picture


def _check_length(length: int, name: str) -> None:
    if length > MAX_BYTES:
        raise PhotoError(
            f"{name} is longer than {MAX_BYTES:,} bytes", "a photo", "make the picture smaller, or leave it out"
        )


def _flags(header: Header, at_least: tuple[int, int] | None) -> int:
    """How OpenCV is to decode; the orientation is never left to it, because its versions differ in what they honour."""
    if header.has_alpha:
        return cv2.IMREAD_UNCHANGED
    flag = cv2.IMREAD_COLOR
    if header.kind == "JPEG" and at_least is not None:
        flag = next((flag for factor, flag in _REDUCED.items() if _stays(header, factor, at_least)), flag)
    return flag | cv2.IMREAD_IGNORE_ORIENTATION


def _stays(header: Header, factor: int, at_least: tuple[int, int]) -> bool:
    """Tell whether both sides, divided by ``factor`` and rounded up as libjpeg does, are still ``at_least`` as long."""
    return all(-(-side // factor) >= least for side, least in zip(header.upright, at_least, strict=True))


def _decode_stored(content: bytes, name: str, header: Header, flags: int) -> _Stored:
    try:
        stored = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:
        stored = None
    if stored is None:
        raise PhotoError(
            f"{name} is truncated or damaged: its {header.kind} data cannot be decoded",
            f"a whole {header.kind} file",
            "replace the file by a good copy, convert it to JPEG or PNG, or leave it out",
        )
    return stored


def _to_rgb(stored: _Stored, header: Header) -> Picture:
    """Make RGB of 8 bit; a grey that the file declares transparent becomes white."""
    pixels = _as_uint8(stored // 256 if stored.dtype == np.uint16 else stored)
    if stored.ndim == 2:
        opacity = np.where(stored == header.clear_grey, 0, 255).astype(np.uint8)
        return _over_white(np.dstack([pixels, pixels, pixels, opacity]))
    if stored.shape[2] == 3:
        return _as_uint8(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
    return _over_white(_as_uint8(cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA)))


def _over_white(rgba: NDArray[np.uint8]) -> Picture:
    """Lay straight (not premultiplied) RGBA over white, rounding to nearest."""
    rgb = np.empty((*rgba.shape[:2], 3), np.uint8)
    for top in range(0, len(rgba), _STRIP):  # a strip at a time, because the sums need twice the memory
        strip = rgba[top : top + _STRIP]
        alpha = strip[..., 3].astype(np.uint16)
        white = 255 * (255 - alpha) + 127
        for channel in range(3):
            rgb[top : top + _STRIP, :, channel] = (strip[..., channel] * alpha + white) // 255
    return rgb


def _turn(picture: Picture, header: Header) -> Picture:
    """Apply the EXIF orientation. TIFF is excepted: OpenCV turns it in every mode, asked or not."""
    if header.orientation == 1 or header.kind == "TIFF":
        return picture
    transposed, flip = _TURNS[header.orientation]
    turned = cv2.transpose(picture) if transposed else picture
    return _as_uint8(turned if flip is None else cv2.flip(turned, flip))


def _as_uint8(pixels: _Stored) -> NDArray[np.uint8]:
    return np.ascontiguousarray(pixels, dtype=np.uint8)
