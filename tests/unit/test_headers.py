"""Headers: every container's size, orientation and transparency, and every way in which a header can be wrong."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest

from edgewise.runtime.headers import Header, read_header
from edgewise.spec import PhotoError


def encoded(suffix: str, *options: int, channels: int = 3) -> bytes:
    """A picture 40 wide and 24 high."""
    done, content = cv2.imencode(suffix, np.full((24, 40, channels), 90, np.uint8), list(options))
    assert done
    return content.tobytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, *extra: bytes) -> bytes:
    start = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + start + b"".join(extra) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def exif(orientation: int, order: str = "<") -> bytes:
    mark = b"II" if order == "<" else b"MM"
    return mark + struct.pack(f"{order}HIHHHIHHI", 42, 8, 1, 274, 3, 1, orientation, 0, 0)


def jpeg_with(data: bytes) -> bytes:
    segment = b"Exif\0\0" + data
    return b"\xff\xd8\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + encoded(".jpg")[2:]


def vp8x(flags: int) -> tuple[bytes, bytes]:
    return b"VP8X", struct.pack("<B3xHBHB", flags, 39, 0, 23, 0)


def error(content: bytes) -> PhotoError:
    with pytest.raises(PhotoError) as caught:
        read_header(content, "a.bin")
    return caught.value


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (encoded(".jpg"), Header("JPEG", 40, 24)),
        (encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1), Header("JPEG", 40, 24)),
        (encoded(".jpg", channels=1), Header("JPEG", 40, 24)),
        (encoded(".png"), Header("PNG", 40, 24)),
        (encoded(".png", channels=4), Header("PNG", 40, 24, has_alpha=True)),
        (encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 80), Header("WebP", 40, 24)),
        (encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 101), Header("WebP", 40, 24)),
        (encoded(".tif"), Header("TIFF", 40, 24)),
        (encoded(".bmp"), Header("BMP", 40, 24)),
        (b"BM" + bytes(12) + struct.pack("<IHH", 12, 40, 24), Header("BMP", 40, 24)),
        (b"BM" + bytes(12) + struct.pack("<Iii", 40, 40, -24), Header("BMP", 40, 24)),
        (b"GIF89a" + struct.pack("<HH", 40, 24), Header("GIF", 40, 24, has_alpha=True)),
    ],
)
def test_size_and_kind(content: bytes, expected: Header) -> None:
    assert read_header(content, "a") == expected


@pytest.mark.parametrize(
    ("content", "clear_grey"),
    [
        (png(5, 3, 8, 3, chunk(b"tRNS", b"\0")), -1),
        (png(5, 3, 8, 2, chunk(b"tRNS", bytes(6))), -1),
        (png(5, 3, 8, 0, chunk(b"tRNS", b"\0\x07")), 7),
        (png(5, 3, 16, 0, chunk(b"tRNS", b"\x01\x07")), 263),
        (png(5, 3, 4, 0, chunk(b"tRNS", b"\0\x02")), 34),
        (png(5, 3, 8, 4), -1),
    ],
)
def test_png_transparency(content: bytes, clear_grey: int) -> None:
    assert read_header(content, "a") == Header("PNG", 5, 3, has_alpha=True, clear_grey=clear_grey)


def test_webp_transparency() -> None:
    simple = struct.pack("<BI", 0x2F, 39 | 23 << 14 | 1 << 28)
    assert read_header(webp((b"VP8L", simple)), "a") == Header("WebP", 40, 24, has_alpha=True)
    assert read_header(webp(vp8x(0x10)), "a") == Header("WebP", 40, 24, has_alpha=True)
    assert read_header(webp(vp8x(0x00)), "a") == Header("WebP", 40, 24)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_in_every_container(orientation: int, order: str) -> None:
    block = exif(orientation, order)
    contents = [
        jpeg_with(block),
        png(40, 24, 8, 2, chunk(b"eXIf", block)),
        webp(vp8x(0x08), (b"odd ", b"123"), (b"EXIF", block)),
        webp(vp8x(0x08), (b"EXIF", b"Exif\0\0" + block)),
    ]
    for content in contents:
        header = read_header(content, "a")
        assert header.orientation == orientation
        assert header.upright == ((40, 24) if orientation >= 5 else (24, 40))


@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_orientation(order: str) -> None:
    entries = [(256, 4, 40), (257, 4, 24), (274, 3, 6)]
    packed = b"".join(
        struct.pack(f"{order}HHI{'HH' if kind == 3 else 'I'}", tag, kind, 1, *([value, 0] if kind == 3 else [value]))
        for tag, kind, value in entries
    )
    content = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(entries)) + packed + bytes(4)
    assert read_header(content, "a") == Header("TIFF", 40, 24, orientation=6)


@pytest.mark.parametrize(
    "block", [b"", b"II", exif(0), exif(9), exif(6)[:-7], b"XX" + exif(6)[2:], exif(6)[:4] + b"\xff" * 8]
)
def test_damaged_exif_counts_as_upright(block: bytes) -> None:
    assert read_header(jpeg_with(block), "a") == Header("JPEG", 40, 24)


def test_empty() -> None:
    caught = error(b"")
    assert caught.got == "a.bin is empty (0 bytes)"
    assert caught.expected == "a JPEG, PNG, WebP, TIFF, BMP or GIF picture"
    assert caught.do == "replace the file by a good copy, or leave it out"


def test_not_a_picture() -> None:
    caught = error(b"<!DOCTYPE html>")
    assert caught.got == "a.bin is not a picture that can be read: it begins with b'<!DOCTYP'"
    assert caught.expected == "a JPEG, PNG, WebP, TIFF, BMP or GIF picture"
    assert caught.do == "convert it to JPEG, or leave it out"


@pytest.mark.parametrize(
    ("brands", "kind"), [(b"heic", "HEIC"), (b"mif1\0\0\0\0mif1heic", "HEIC"), (b"mif1\0\0\0\0mif1avif", "AVIF")]
)
def test_phone_formats_are_named(brands: bytes, kind: str) -> None:
    caught = error(b"\0\0\0\x18ftyp" + brands)
    assert caught.got == f"a.bin is a {kind} picture, which is not read"
    assert caught.do == "convert it to JPEG"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"\xff\xd8\xff\xd9", "JPEG"),
        (b"\xff\xd8\xff\xda\0\x08", "JPEG"),
        (encoded(".png")[:-1], "PNG"),
        (png(0, 24, 8, 2), "PNG"),
        (encoded(".png").replace(b"IHDR", b"IHDX"), "PNG"),
        (webp((b"VP9 ", bytes(20))), "WebP"),
        (webp((b"VP8 ", bytes(20))), "WebP"),
        (webp((b"VP8L", bytes(20))), "WebP"),
        (webp(vp8x(0x08)), "WebP"),
        (b"II*\0\xff\xff\xff\xff", "TIFF"),
        (b"MM\0*\0\0\0\x08\0\0", "TIFF"),
        (b"BM" + bytes(12) + struct.pack("<Iii", 40, -1, 24), "BMP"),
        (b"GIF89a\0\0", "GIF"),
    ],
)
def test_damaged_header(content: bytes, kind: str) -> None:
    caught = error(content)
    assert caught.got == f"a.bin is truncated or damaged: its {kind} header cannot be read"
    assert caught.expected == f"a whole {kind} file"
    assert caught.do == "replace the file by a good copy, or leave it out"


def test_endless_parts_are_given_up() -> None:
    contents = [
        b"\xff\xd8" + b"\xff" * 3_000_000,
        b"\xff\xd8" + b"\xff\xe0\0\x02" * 1_000_000,
        b"\xff\xd8" + b"\xff\xe0\0\0" * 1_000_000,
        b"\xff\xd8\xff" + b"\xd0\xff" * 1_000_000,
        png(4, 4, 8, 2, chunk(b"junk", b"") * 200_000),
        webp(vp8x(0x08), *[(b"junk", b"")] * 200_000),
    ]
    for content in contents:
        assert "is truncated or damaged" in error(content).got


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".bmp"])
def test_a_header_cut_anywhere_is_a_photo_error_or_whole(suffix: str) -> None:
    whole = encoded(suffix)
    for length in range(len(whole)):
        try:
            header = read_header(whole[:length], "a")
        except PhotoError:
            continue
        assert (header.width, header.height) == (40, 24)


def test_enormous_sizes_are_only_reported() -> None:
    assert read_header(png(2**32 - 1, 2**32 - 1, 16, 6), "a").width == 2**32 - 1
