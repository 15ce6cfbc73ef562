"""Bad photos: each is one PhotoError with a message that helps, and none ends the process."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgewise.runtime import images
from edgewise.runtime.images import decode, prepare, read
from edgewise.spec import PhotoError


def encoded(suffix: str, *options: int) -> bytes:
    """A picture of 64 x 48 pixels with some detail."""
    y, x = np.mgrid[0:48, 0:64]
    picture = np.stack([x * 4, y * 5, (x * y) % 256], -1).astype(np.uint8)
    done, content = cv2.imencode(suffix, picture, list(options))
    assert done
    return content.tobytes()


FILES = {
    "jpeg": encoded(".jpg"),
    "progressive jpeg": encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "png": encoded(".png"),
    "lossy webp": encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 80),
    "lossless webp": encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 101),
    "tiff": encoded(".tif"),
    "plain tiff": encoded(".tif", cv2.IMWRITE_TIFF_COMPRESSION, 1),
    "bmp": encoded(".bmp"),
    "gif": encoded(".gif"),
}


def png_of_zeros(width: int, height: int) -> bytes:
    """A greyscale PNG of 1 bit that is tiny for its size in pixels."""
    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def read_error(path: Path) -> PhotoError:
    with pytest.raises(PhotoError) as caught:
        read(path)
    return caught.value


def test_decompression_bomb_is_refused_before_decoding() -> None:
    bomb = png_of_zeros(13_000, 13_000)
    assert len(bomb) < 30_000
    with pytest.raises(PhotoError) as caught:
        decode(bomb, "a.png")
    assert caught.value.got == "a.png has 13000 x 13000 = 169,000,000 pixels"
    assert caught.value.expected == "at most 100,000,000 pixels"
    assert caught.value.do == "make the picture smaller, or leave it out"


def test_opencv_has_the_same_limit_where_images_is_imported_first() -> None:
    script = "import edgewise.runtime.images, os; print(os.environ['OPENCV_IO_MAX_IMAGE_PIXELS'])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "100000000\n"


def test_long_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_BYTES", 1000)
    path = tmp_path / "a.bmp"
    path.write_bytes(FILES["bmp"])
    assert read_error(path).got == f"{path} is longer than 1,000 bytes"
    with pytest.raises(PhotoError, match=r"^the photo is longer than 1,000 bytes"):
        prepare(FILES["bmp"], 8, 8)


@pytest.mark.parametrize("form", FILES)
def test_truncated(form: str) -> None:
    """OpenCV's decoders refuse every kind that is cut, at full size and reduced."""
    content = FILES[form]
    cuts = {len(content) * part // 20 for part in range(20)} | {len(content) - 1}
    for cut in sorted(cuts):
        for at_least in (None, (8, 8)):
            with pytest.raises(PhotoError) as caught:
                decode(content[:cut], "a.jpg", at_least=at_least)
            assert "is empty (0 bytes)" in caught.value.got if cut == 0 else "a.jpg is " in caught.value.got


def test_truncated_data_message() -> None:
    with pytest.raises(PhotoError) as caught:
        decode(FILES["jpeg"][:-40], "a.jpg")
    assert caught.value.got == "a.jpg is truncated or damaged: its JPEG data cannot be decoded"
    assert caught.value.expected == "a whole JPEG file"
    assert caught.value.do == "replace the file by a good copy, convert it to JPEG or PNG, or leave it out"


@pytest.mark.parametrize("form", FILES)
def test_changed_bytes_are_a_picture_or_a_photo_error(form: str) -> None:
    random = np.random.default_rng(7)
    whole = FILES[form]
    for _ in range(200):
        content = bytearray(whole)
        # Half of the changes go to the first 64 bytes, where the structure is.
        end = 64 if random.random() < 0.5 else len(content)
        for at in random.integers(0, end, random.integers(1, 6)):
            content[at] = random.integers(0, 256)
        try:
            picture = prepare(bytes(content), 24, 32)
        except PhotoError:
            continue
        assert picture.shape == (24, 32, 3)


def test_a_message_about_bytes_says_the_photo() -> None:
    with pytest.raises(PhotoError, match=r"^the photo is empty \(0 bytes\)"):
        prepare(b"", 8, 8)


def test_zero_byte_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.touch()
    with pytest.raises(PhotoError) as caught:
        prepare(path, 8, 8)
    assert caught.value.got == f"{path} is empty (0 bytes)"


def test_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    caught = read_error(path)
    assert caught.got == f"{path} cannot be read: No such file or directory"
    assert caught.expected == "a photo"
    assert caught.do == "check the path and its permissions"


def test_folder(tmp_path: Path) -> None:
    caught = read_error(tmp_path)
    assert caught.got == f"{tmp_path} is a folder"
    assert caught.do == "name a file in it"


def test_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    os.mkfifo(path)
    assert read_error(path).got == f"{path} is not a regular file"


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read every file")
def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(FILES["jpeg"])
    path.chmod(0)
    assert read_error(path).got == f"{path} cannot be read: Permission denied"


def test_a_name_with_a_zero_byte() -> None:
    assert read_error(Path("a\0b")).got == "a\0b cannot be read: embedded null byte"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    path.write_bytes(FILES["png"])
    assert prepare(path, 8, 8).shape == (8, 8, 3)
    path.write_bytes(b"")
    with pytest.raises(PhotoError) as caught:
        prepare(path, 8, 8)
    assert str(caught.value).encode().startswith(f"{tmp_path}/caf\\xe9.png is empty".encode())


def test_no_words_of_opencv_on_stderr() -> None:
    """Apart from the lines of libpng, which knows no silence, but whose truncated files are found by their chunks."""
    script = """
import sys
from edgewise.runtime.images import decode
from edgewise.spec import PhotoError
content = sys.stdin.buffer.read()
for cut in range(0, len(content), len(content) // 20):
    try:
        decode(content[:cut], "a")
    except PhotoError:
        pass
"""
    for form in ("jpeg", "png", "lossy webp", "tiff", "gif"):
        done = subprocess.run([sys.executable, "-c", script], input=FILES[form], capture_output=True, check=True)
        assert done.stderr == b""
