"""What a photo's first bytes say, before anything is decoded: container, size, orientation, transparency.

A decoder allocates whatever a header asks for, so the size is read here, in Python, and judged first. Nothing in this
module reads past the end of its input, and every walk over parts of a file is bounded by `MAX_PARTS`.

Sources: ITU-T T.81 (JPEG), CIPA DC-008 (EXIF), the PNG specification (third edition), RFC 9649 (WebP), TIFF 6.0,
GIF89a, and the Windows BITMAPCOREHEADER and BITMAPINFOHEADER structures (BMP).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace

from edgewise.spec.errors import PhotoError

FORMATS = "a JPEG, PNG, WebP, TIFF, BMP or GIF picture"
"""What is read, in words, for messages."""

MAX_PIXELS = 100_000_000
"""Largest picture that is decoded, width times height in pixels."""

MAX_PARTS = 1 << 17
"""Most parts (segments, chunks, blocks) of one file that are looked at."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Fill bytes (0xff again and again) are skipped by looking at one pair at a time, in linear time.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\xff])")
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length: TEM, restart markers, start of image
_JPEG_SCAN, _JPEG_END, _JPEG_APP1 = 0xDA, 0xD9, 0xE1
_EXIF_PREFIX = b"Exif\0\0"
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_ORIENTATION = 256, 257, 274


@dataclass(frozen=True)
class Header:
    """What is known of a picture without decoding it."""

    kind: str  # "JPEG", "PNG", "WebP", "TIFF", "BMP" or "GIF"
    width: int  # pixels as stored, > 0
    height: int  # pixels as stored, > 0
    has_alpha: bool = False  # transparent pixels are possible; for TIFF and BMP always False
    orientation: int = 1  # EXIF 1-8: how the stored pixels are to be turned; 1: upright
    clear_grey: int = -1  # the grey, as decoded, that a greyscale PNG declares transparent; -1: none

    @property
    def upright(self) -> tuple[int, int]:
        """Height and width in pixels once the orientation is applied."""
        return (self.width, self.height) if self.orientation >= 5 else (self.height, self.width)


class _DamagedError(ValueError):
    """A header contradicts its format."""


def read_header(content: bytes, name: str) -> Header:
    """Read the header of a picture.

    Args:
        content: the whole file.
        name: how the file is called in error messages.

    Raises:
        PhotoError: the file is empty, not a picture, of a format that is not read, or its header is damaged.
    """
    if not content:
        raise PhotoError(f"{name} is empty (0 bytes)", FORMATS, "replace the file by a good copy, or leave it out")
    for signature, kind, parse in _FORMATS:
        if signature.match(content):
            return _checked(content, name, kind, parse)
    raise _unknown(content, name)


def _checked(content: bytes, name: str, kind: str, parse: Callable[[bytes], Header]) -> Header:
    try:
        header = parse(content)
        if header.width <= 0 or header.height <= 0:
            raise _DamagedError
    except (struct.error, _DamagedError) as error:
        raise PhotoError(
            f"{name} is truncated or damaged: its {kind} header cannot be read",
            f"a whole {kind} file",
            "replace the file by a good copy, or leave it out",
        ) from error
    return header


def _unknown(content: bytes, name: str) -> PhotoError:
    if content[4:8] == b"ftyp":
        brands = content[8:64]
        for kind, marks in (("AVIF", (b"avif", b"avis")), ("HEIC", (b"heic", b"heix", b"hevc", b"hevx", b"mif1"))):
            if any(mark in brands for mark in marks):
                return PhotoError(f"{name} is a {kind} picture, which is not read", FORMATS, "convert it to JPEG")
    return PhotoError(
        f"{name} is not a picture that can be read: it begins with {content[:8]!r}",
        FORMATS,
        "convert it to JPEG, or leave it out",
    )


def _orientation(tags: dict[int, int]) -> int:
    value = tags.get(_TIFF_ORIENTATION, 1)
    return value if 1 <= value <= 8 else 1


def _exif_orientation(exif: bytes) -> int:
    """Orientation in an EXIF block; damaged EXIF says nothing about the picture and counts as upright."""
    try:
        return _orientation(_tiff_tags(exif.removeprefix(_EXIF_PREFIX)))
    except (struct.error, _DamagedError):
        return 1


def _jpeg(content: bytes) -> Header:
    at, orientation = 2, 0
    for _ in range(MAX_PARTS):
        found = _JPEG_MARKER.search(content, at)
        if found is None:
            raise _DamagedError
        marker, at = found[1][0], found.end()
        if marker in _JPEG_ALONE:
            continue
        if marker in (_JPEG_SCAN, _JPEG_END):
            raise _DamagedError
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", content, at + 3)
            return Header("JPEG", width, height, orientation=orientation or 1)
        (length,) = struct.unpack_from(">H", content, at)
        if marker == _JPEG_APP1 and not orientation and content.startswith(_EXIF_PREFIX, at + 2):
            orientation = _exif_orientation(content[at + 2 : at + length])
        at += max(length, 2)
    raise _DamagedError


def _png(content: bytes) -> Header:
    """Walk all chunks, so that a file that ends before its last chunk is known as truncated before it is decoded."""
    width, height, depth, colour = struct.unpack_from(">IIBB", content, 16)
    if content[12:16] != b"IHDR":
        raise _DamagedError
    header = Header("PNG", width, height, has_alpha=colour in (4, 6))
    at = len(_PNG_SIGNATURE)
    for _ in range(MAX_PARTS):
        length, kind = struct.unpack_from(">I4s", content, at)
        at += 12 + length
        if at > len(content):
            raise _DamagedError
        if kind == b"tRNS":
            header = replace(header, has_alpha=True, clear_grey=_clear_grey(content, at - 4 - length, depth, colour))
        elif kind == b"eXIf":
            header = replace(header, orientation=_exif_orientation(content[at - 4 - length : at - 4]))
        elif kind == b"IEND":
            return header
    raise _DamagedError


def _clear_grey(content: bytes, at: int, depth: int, colour: int) -> int:
    """Read the one transparent grey of a PNG; decoders widen 1, 2 and 4 bit to the full range of 8 bit."""
    if colour != 0:
        return -1
    (grey,) = struct.unpack_from(">H", content, at)
    return int(grey) * 255 // ((1 << depth) - 1) if depth in (1, 2, 4) else int(grey)


def _webp(content: bytes) -> Header:
    kind = content[12:16]
    if kind == b"VP8 ":
        start_code, width, height = struct.unpack_from("<3sHH", content, 23)
        if start_code != b"\x9d\x01\x2a":
            raise _DamagedError
        return Header("WebP", width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L":
        signature, bits = struct.unpack_from("<BI", content, 20)
        if signature != 0x2F:
            raise _DamagedError
        return Header("WebP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, has_alpha=bool(bits >> 28 & 1))
    if kind == b"VP8X":
        flags, width, width_high, height, height_high = struct.unpack_from("<B3xHBHB", content, 20)
        return Header(
            "WebP",
            (width | width_high << 16) + 1,
            (height | height_high << 16) + 1,
            has_alpha=bool(flags & 0x10),
            orientation=_webp_orientation(content) if flags & 0x08 else 1,
        )
    raise _DamagedError


def _webp_orientation(content: bytes) -> int:
    at = 12
    for _ in range(MAX_PARTS):
        kind, length = struct.unpack_from("<4sI", content, at)
        if kind == b"EXIF":
            return _exif_orientation(content[at + 8 : at + 8 + length])
        at += 8 + length + length % 2
    raise _DamagedError


def _tiff(content: bytes) -> Header:
    tags = _tiff_tags(content)
    return Header("TIFF", tags.get(_TIFF_WIDTH, 0), tags.get(_TIFF_HEIGHT, 0), orientation=_orientation(tags))


def _tiff_tags(content: bytes) -> dict[int, int]:
    """Single numbers in the first directory of a TIFF file or EXIF block, by tag."""
    order = {b"II": "<", b"MM": ">"}.get(content[:2])
    if order is None:
        raise _DamagedError
    magic, directory = struct.unpack_from(f"{order}HI", content, 2)
    if magic != 42:
        raise _DamagedError
    (entries,) = struct.unpack_from(f"{order}H", content, directory)
    tags: dict[int, int] = {}
    for at in range(directory + 2, directory + 2 + 12 * entries, 12):
        tag, kind, count = struct.unpack_from(f"{order}HHI", content, at)
        if count == 1 and kind in (3, 4):
            (tags[tag],) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", content, at + 8)
    return tags


def _bmp(content: bytes) -> Header:
    (size,) = struct.unpack_from("<I", content, 14)
    width, height = struct.unpack_from("<HH" if size == 12 else "<ii", content, 18)
    return Header("BMP", width, abs(height))  # a negative height means that the rows run from top to bottom


def _gif(content: bytes) -> Header:
    width, height = struct.unpack_from("<HH", content, 6)
    return Header("GIF", width, height, has_alpha=True)


_FORMATS: tuple[tuple[re.Pattern[bytes], str, Callable[[bytes], Header]], ...] = (
    (re.compile(rb"\xff\xd8\xff"), "JPEG", _jpeg),
    (re.compile(re.escape(_PNG_SIGNATURE)), "PNG", _png),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "WebP", _webp),
    (re.compile(rb"II\*\x00|MM\x00\*"), "TIFF", _tiff),
    (re.compile(rb"BM"), "BMP", _bmp),
    (re.compile(rb"GIF8[79]a"), "GIF", _gif),
)
