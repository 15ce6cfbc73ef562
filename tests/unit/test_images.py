"""The one preprocessing: every form a photo comes in gives the right pixels, and every bad file one clear error."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgewise.runtime.images import Picture, decode, fit, prepare

PROGRESSIVE = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
LOSSLESS = (cv2.IMWRITE_WEBP_QUALITY, 101)
ADOBE = b"Adobe\x00d\x00\x00\x00\x00"
# Four upright bars of 8 x 16 pixels, (200, 30, 40), (30, 160, 60), (40, 60, 200) and (245, 245, 240), as CMYK JPEG.
CMYK = base64.b64decode(
    "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwADAgIDAgIDAwMDBAMDBAUIBQUEBAUKBwcGCAwKDAwLCgsLDQ4SEA0OEQ4LCxAWEBETFBUVFQwPFxgWFBgS"
    "FBUU/8AAFAgAEAAgBEMRAE0RAFkRAEsRAP/EAB8AAAEFAQEBAQEBAAAAAAAAAAABAgMEBQYHCAkKC//EALUQAAIBAwMCBAMFBQQEAAABfQECAwAE"
    "EQUSITFBBhNRYQcicRQygZGhCCNCscEVUtHwJDNicoIJChYXGBkaJSYnKCkqNDU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6"
    "g4SFhoeIiYqSk5SVlpeYmZqio6Slpqeoqaqys7S1tre4ubrCw8TFxsfIycrS09TV1tfY2drh4uPk5ebn6Onq8fLz9PX29/j5+v/aAA4EQwBNAFkA"
    "SwAAPwD7Ar8+q+FK/VOvw6r9Wq7aitqvz1r9daK/ojr97a9rorwev5wq/npor8Oq/Vqu2orar89a/XWiv6I6/e2va6K//9k="
)


def scene(height: int = 48, width: int = 64) -> Picture:
    """Smooth, and different in each corner, so that every turn and every exchange of channels shows."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 200 // width, y * 200 // height, 255 - (x + y) * 200 // (width + height)], -1).astype(np.uint8)


def encode(pixels: NDArray[np.uint8] | NDArray[np.uint16], suffix: str, *options: int) -> bytes:
    """Encode RGB, RGBA or grey."""
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}
    bgr = pixels if pixels.ndim == 2 else pixels[..., order[pixels.shape[2]]]
    done, content = cv2.imencode(suffix, bgr, list(options))
    assert done
    return content.tobytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    """A PNG of rows that carry their filter byte already."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(rows, 9))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(extra) + data + chunk(b"IEND", b"")


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def exif(orientation: int) -> bytes:
    return b"Exif\0\0II" + struct.pack("<HIHHHIHHI", 42, 8, 1, 274, 3, 1, orientation, 0, 0)


def turned_jpeg(content: bytes, orientation: int) -> bytes:
    block = exif(orientation)
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + content[2:]


def turned_png(content: bytes, orientation: int) -> bytes:
    return content[:33] + chunk(b"eXIf", exif(orientation)[6:]) + content[33:]


def turned_webp(content: bytes, orientation: int) -> bytes:
    size = struct.pack("<B3xHBHB", 0x08, 63, 0, 47, 0)
    return webp((b"VP8X", size), (b"VP8L", content[20:]), (b"EXIF", exif(orientation)))


def turned_tiff(content: bytes, orientation: int) -> bytes:
    at = struct.unpack_from("<I", content, 4)[0]
    count = struct.unpack_from("<H", content, at)[0]
    entries = [content[at + 2 + 12 * i : at + 14 + 12 * i] for i in range(count)]
    entries.append(struct.pack("<HHIHH", 274, 3, 1, orientation, 0))
    entries.sort(key=lambda entry: struct.unpack_from("<H", entry)[0])
    content += b"\0" * (len(content) % 2)
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return content[:4] + struct.pack("<I", len(content)) + content[8:] + directory


def difference(got: NDArray[np.uint8], expected: NDArray[np.uint8]) -> int:
    assert got.shape == expected.shape
    assert got.dtype == np.uint8
    assert got.flags.c_contiguous
    assert got.flags.writeable
    return int(np.abs(got.astype(int) - expected).max())


FORMS: dict[str, tuple[bytes, int]] = {  # content, and how far from `scene` its pixels may be
    "jpeg": (encode(scene(), ".jpg"), 12),
    "progressive jpeg": (encode(scene(), ".jpg", *PROGRESSIVE), 12),
    "png": (encode(scene(), ".png"), 0),
    "16-bit png": (encode(scene().astype(np.uint16) * 256 + 200, ".png"), 0),
    "opaque rgba png": (encode(np.dstack([scene(), np.full((48, 64), 255, np.uint8)]), ".png"), 0),
    "lossless webp": (encode(scene(), ".webp", *LOSSLESS), 0),
    "lossy webp": (encode(scene(), ".webp", cv2.IMWRITE_WEBP_QUALITY, 90), 16),
    "tiff": (encode(scene(), ".tif"), 0),
    "16-bit tiff": (encode(scene().astype(np.uint16) * 256, ".tif"), 1),
    "bmp": (encode(scene(), ".bmp"), 0),
}


@pytest.mark.parametrize("form", FORMS)
def test_form(form: str) -> None:
    content, tolerance = FORMS[form]
    assert difference(decode(content, form), scene()) <= tolerance


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp"])
def test_grey_becomes_three_equal_channels(suffix: str) -> None:
    grey = scene()[..., 0]
    assert difference(decode(encode(grey, suffix), "a"), np.dstack([grey] * 3)) <= 4


def test_cmyk_and_ycck_jpeg() -> None:
    ycck = CMYK.replace(ADOBE + b"\0", ADOBE + b"\2")
    assert ycck != CMYK
    # What Pillow makes of the same two files.
    for content, bars in (
        (CMYK, [(200, 30, 40), (30, 160, 60), (40, 60, 200), (245, 245, 240)]),
        (ycck, [(178, 0, 229), (255, 187, 168), (114, 243, 255), (0, 130, 0)]),
    ):
        picture = decode(content, "a.jpg")
        assert picture.shape == (16, 32, 3)
        assert np.abs(picture[8, 4::8].astype(int) - bars).max() <= 2
        reduced = decode(content, "a.jpg", at_least=(8, 16))
        assert np.abs(reduced[4, 2::4].astype(int) - bars).max() <= 4


def test_alpha_is_laid_over_white() -> None:
    alpha = np.arange(64, dtype=np.uint8)[None, :].repeat(48, 0) * 4
    weight = alpha[..., None] / 255
    expected = np.rint(scene() * weight + 255 * (1 - weight)).astype(np.uint8)
    rgba = np.dstack([scene(), alpha])
    assert difference(decode(encode(rgba, ".png"), "a"), expected) == 0
    assert difference(decode(encode(rgba.astype(np.uint16) * 256, ".png"), "a"), expected) == 0
    assert difference(decode(encode(rgba, ".webp", *LOSSLESS), "a"), expected) == 0


def test_transparent_png_of_each_colour_type() -> None:
    white = [255, 255, 255]
    la = png(2, 1, 8, 4, b"\0" + bytes([90, 0, 90, 255]))
    grey = png(2, 1, 8, 0, b"\0" + bytes([7, 90]), chunk(b"tRNS", b"\0\7"))
    grey4 = png(2, 1, 4, 0, b"\0" + bytes([0x26]), chunk(b"tRNS", b"\0\2"))
    grey16 = png(2, 1, 16, 0, b"\0" + bytes([1, 7, 1, 8]), chunk(b"tRNS", b"\1\7"))
    rgb = png(2, 1, 8, 2, b"\0" + bytes([1, 2, 3, 1, 2, 4]), chunk(b"tRNS", bytes([0, 1, 0, 2, 0, 3])))
    palette = chunk(b"PLTE", bytes([9, 9, 9, 200, 30, 10])) + chunk(b"tRNS", b"\0")
    indexed = png(2, 1, 8, 3, b"\0" + bytes([0, 1]), palette)
    for content, second in ((la, 90), (grey, 90), (grey4, 6 * 17), (grey16, 1)):
        assert decode(content, "a").tolist() == [[white, [second] * 3]]
    assert decode(rgb, "a").tolist() == [[white, [1, 2, 4]]]
    assert decode(indexed, "a").tolist() == [[white, [200, 30, 10]]]


def test_first_frame_of_animations() -> None:
    red, blue = (np.full((24, 40, 3), colour, np.uint8) for colour in ((252, 0, 0), (0, 36, 255)))
    frames = [encode(colour, ".webp", *LOSSLESS)[12:] for colour in (red, blue)]
    place = bytes(6) + struct.pack("<HBHB", 39, 0, 23, 0) + b"\x64\0\0\0"
    size = struct.pack("<B3xHBHB", 0x02, 39, 0, 23, 0)
    moving = webp((b"VP8X", size), (b"ANIM", b"\xff" * 4 + bytes(2)), *[(b"ANMF", place + frame) for frame in frames])
    assert difference(decode(moving, "a.webp"), red) == 0

    rows = [zlib.compress(b"".join(b"\0" + row.tobytes() for row in colour)) for colour in (red, blue)]
    frame = [chunk(b"fcTL", struct.pack(">IIIIIHHBB", n, 40, 24, 0, 0, 1, 10, 0, 0)) for n in (0, 1)]
    start = encode(red, ".png")[:33] + chunk(b"acTL", struct.pack(">II", 2, 0)) + frame[0] + chunk(b"IDAT", rows[0])
    moving = start + frame[1] + chunk(b"fdAT", struct.pack(">I", 2) + rows[1]) + chunk(b"IEND", b"")
    assert difference(decode(moving, "a.png"), red) == 0

    done, gif = cv2.imencodemulti(".gif", [red[..., ::-1].copy(), blue[..., ::-1].copy()])
    assert done
    assert difference(decode(gif.tobytes(), "a.gif"), red) == 0  # colours of the palette that OpenCV writes


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation: int) -> None:
    upright = {
        1: scene(),
        2: scene()[:, ::-1],
        3: scene()[::-1, ::-1],
        4: scene()[::-1],
        5: scene().transpose(1, 0, 2),
        6: np.rot90(scene(), -1),
        7: np.rot90(scene(), 2).transpose(1, 0, 2),
        8: np.rot90(scene()),
    }[orientation]
    forms: list[tuple[Callable[[bytes, int], bytes], bytes, int]] = [
        (turned_jpeg, FORMS["jpeg"][0], 12),
        (turned_png, FORMS["png"][0], 0),
        (turned_png, FORMS["opaque rgba png"][0], 0),
        (turned_webp, FORMS["lossless webp"][0], 0),
        (turned_tiff, FORMS["tiff"][0], 0),
        (turned_tiff, FORMS["16-bit tiff"][0], 1),
    ]
    for turn, content, tolerance in forms:
        assert difference(decode(turn(content, orientation), "a"), upright) <= tolerance
    jpeg = turned_jpeg(FORMS["jpeg"][0], orientation)
    half = fit(np.ascontiguousarray(upright), upright.shape[0] // 2, upright.shape[1] // 2)
    assert difference(decode(jpeg, "a", at_least=(half.shape[0], half.shape[1])), half) <= 16


def test_gif_transparency_is_laid_over_white() -> None:
    # Two pixels, red and a transparent green: codes clear, 0, 1, end of 3 bits each.
    head = b"GIF89a" + struct.pack("<HHBBB", 2, 1, 0x80, 0, 0) + bytes([250, 10, 20, 0, 255, 0])
    control = b"\x21\xf9\x04\x01\0\0\x01\0"
    data = b"\x02\x02" + (4 | 0 << 3 | 1 << 6 | 5 << 9).to_bytes(2, "little") + b"\0"
    content = head + control + b"\x2c" + struct.pack("<HHHHB", 0, 0, 2, 1, 0) + data + b"\x3b"
    assert decode(content, "a.gif").tolist() == [[[250, 10, 20], [255, 255, 255]]]


@pytest.mark.parametrize(
    ("at_least", "shape"),
    [
        ((26, 51), (26, 51, 3)),  # 101 x 203 divided by 4 and rounded up, as libjpeg does
        ((27, 51), (51, 102, 3)),
        ((51, 103), (101, 203, 3)),
        ((5, 5), (13, 26, 3)),
        ((500, 5), (101, 203, 3)),
        (None, (101, 203, 3)),
    ],
)
def test_reduced_jpeg_is_never_smaller_than_asked(
    at_least: tuple[int, int] | None, shape: tuple[int, int, int]
) -> None:
    for options in ((), PROGRESSIVE):
        picture = decode(encode(scene(101, 203), ".jpg", *options), "a.jpg", at_least=at_least)
        assert picture.shape == shape
        assert difference(picture, fit(scene(101, 203), *shape[:2])) <= 12


def test_reduced_decoding_is_for_jpeg_only() -> None:
    assert decode(encode(scene(), ".png"), "a.png", at_least=(5, 5)).shape == (48, 64, 3)


def test_fit_shrinks_by_area() -> None:
    fine = np.zeros((64, 64, 3), np.uint8)
    fine[:, ::2] = 200
    assert difference(fit(fine, 16, 16), np.full((16, 16, 3), 100, np.uint8)) == 0
    assert difference(fit(fine, 64, 16), np.full((64, 16, 3), 100, np.uint8)) == 0


def test_fit_halves_even_pictures_by_means_of_four_before_anything_else() -> None:
    large = scene(96, 128)
    means = large.reshape(48, 2, 64, 2, 3).mean(axis=(1, 3))
    assert np.abs(fit(large, 48, 64) - means).max() <= 0.5
    assert np.array_equal(fit(large, 40, 50), fit(fit(large, 48, 64), 40, 50))
    for picture, height in ((large, 49), (large[:95], 40)):  # half of it is too small, half of an odd side is none
        mean = cv2.resize(picture, (50, height), interpolation=cv2.INTER_AREA)
        assert np.array_equal(fit(picture, height, 50), mean)


def test_fit_enlarges_with_half_pixel_centres() -> None:
    row = np.array([0, 100, 200], np.uint8)[None, :, None].repeat(3, 2)
    expected = np.array([0, 25, 75, 125, 175, 200], np.uint8)
    for channel in range(3):
        assert np.abs(fit(row, 1, 6)[0, :, channel].astype(int) - expected).max() <= 1
    mixed = fit(scene(), 96, 16)
    assert mixed.shape == (96, 16, 3)
    assert np.abs(mixed[::2, :].astype(int) - fit(scene(), 48, 16)).max() <= 4


def test_fit_squeezes_the_whole_picture() -> None:
    small = fit(scene(300, 400), 20, 20)
    assert (
        np.abs(small[[0, 0, -1, -1], [0, -1, 0, -1]].astype(int) - scene(300, 400)[::299, ::399].reshape(4, 3)).max()
        <= 8
    )


def test_results_share_nothing_with_their_input() -> None:
    picture = scene()
    for result in (fit(picture, 48, 64), fit(picture[:, ::-1], 48, 64), fit(picture[::2], 24, 64)):
        assert not np.shares_memory(result, picture)
        assert result.flags.c_contiguous
    content = FORMS["png"][0]
    prepare(content, 48, 64)[:] = 0
    assert difference(prepare(content, 48, 64), scene()) == 0


def test_prepare_is_read_decode_fit_for_path_and_bytes(tmp_path: Path) -> None:
    content = turned_jpeg(encode(scene(480, 640), ".jpg"), 6)
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    expected = fit(decode(content, "a.jpg", at_least=(150, 150)), 75, 75)
    assert np.array_equal(prepare(path, 75, 75), expected)
    assert np.array_equal(prepare(content, 75, 75), expected)
    assert difference(expected, fit(np.ascontiguousarray(np.rot90(scene(480, 640), -1)), 75, 75)) <= 8


@pytest.mark.parametrize("form", FORMS)
def test_prepare_gives_the_same_small_picture_for_every_form(form: str) -> None:
    assert difference(prepare(FORMS[form][0], 24, 32), fit(scene(), 24, 32)) <= 12
