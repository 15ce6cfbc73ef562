"""Let ``edgewise predict`` read a folder that somebody made to break it, and see that every file gets its row.

    python benchmarks/attack_images.py tests/data/tiny.tflite --count 5000 --out attack.json

The folder holds ``--count`` files: mutations of 20 seeds in all formats that are read (bits flipped, cut off, pieces
lost, doubled and exchanged between files, sizes in the header that are lies), decompression bombs, text and nothing
under the names of photos, and what only looks like a file: pipes, sockets, devices, links that lead nowhere or in
circles, folders with the names of photos, files that may not be read, names that are not UTF-8 or hold a line end. One
process reads it all, with a limit on its memory. It has to end in time, with an exit code
that is its own, and one row for each file, which is an answer or an error. The same ``--seed`` makes the same files.
"""

from __future__ import annotations

import argparse
import ctypes
import io
import json
import os
import random
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from edgewise.spec.files import path_text, write_text

PROGRAM = (sys.executable, "-c", "import sys; from edgewise.cli.main import main; sys.exit(main())", "predict")
DROP_FROM_BOUNDING_SET, DAC_OVERRIDE, DAC_READ_SEARCH = 24, 1, 2  # of prctl(2) and capabilities(7)


def picture(width: int, height: int, channels: int = 3) -> np.ndarray:
    """Shapes and noise, (height, width, channels) uint8."""
    chance = np.random.default_rng(width * height)
    canvas = chance.integers(0, 60, (height, width, 3), np.uint8)
    cv2.circle(canvas, (width // 2, height // 2), height // 3, (200, 120, 40), -1)
    cv2.rectangle(canvas, (5, 5), (width // 3, height // 2), (20, 220, 90), 3)
    alpha = np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))[..., np.newaxis]
    return np.concatenate([canvas, alpha], axis=2)[..., :channels]


def with_pillow(image: Image.Image, kind: str, **options: object) -> bytes:
    """The file that Pillow writes."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@cache
def seeds() -> dict[str, bytes]:
    """Twenty good files in all formats, by their names."""
    small, large, clear = (Image.fromarray(picture(*size)) for size in ((160, 120), (900, 700), (160, 120, 4)))
    exif = Image.Exif()
    exif[274] = 6
    grey16 = cv2.imencode(".png", picture(160, 120)[..., 0].astype(np.uint16) * 257)[1].tobytes()
    tiff16 = cv2.imencode(".tiff", picture(160, 120).astype(np.uint16) * 257)[1].tobytes()
    frames = [small.rotate(angle) for angle in (90, 180)]
    return {
        "plain.jpg": with_pillow(small, "JPEG"),
        "large.jpg": with_pillow(large, "JPEG", quality=90),
        "progressive.jpg": with_pillow(large, "JPEG", progressive=True),
        "turned.jpeg": with_pillow(small, "JPEG", exif=exif),
        "grey.jpg": with_pillow(small.convert("L"), "JPEG"),
        "cmyk.jpg": with_pillow(small.convert("CMYK"), "JPEG"),
        "plain.png": with_pillow(small, "PNG"),
        "clear.png": with_pillow(clear, "PNG"),
        "palette.png": with_pillow(small.quantize(16), "PNG"),
        "bilevel.png": with_pillow(small.convert("1"), "PNG"),
        "grey16.png": grey16,
        "plain.webp": with_pillow(small, "WEBP"),
        "lossless.webp": with_pillow(clear, "WEBP", lossless=True),
        "moving.webp": with_pillow(small, "WEBP", save_all=True, append_images=frames),
        "plain.tif": with_pillow(small, "TIFF"),
        "packed.tiff": with_pillow(small, "TIFF", compression="tiff_lzw"),
        "deep.tiff": tiff16,
        "plain.bmp": with_pillow(small, "BMP"),
        "palette.bmp": with_pillow(small.quantize(16), "BMP"),
        "moving.gif": with_pillow(small, "GIF", save_all=True, append_images=frames),
    }


def flip_bits(content: bytearray, chance: random.Random) -> None:
    """Some bits anywhere."""
    for _ in range(chance.choice((1, 2, 8, 64))):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def spoil_header(content: bytearray, chance: random.Random) -> None:
    """Some of the first bytes become others."""
    for _ in range(chance.choice((1, 2, 4))):
        content[chance.randrange(min(64, len(content)))] = chance.randrange(256)


def cut_off(content: bytearray, chance: random.Random) -> None:
    """The end is missing."""
    del content[chance.randrange(len(content)) :]


def lose(content: bytearray, chance: random.Random) -> None:
    """A piece in the middle is missing."""
    at = chance.randrange(len(content))
    del content[at : at + chance.choice((1, 16, 512))]


def double(content: bytearray, chance: random.Random) -> None:
    """A piece comes many times."""
    at = chance.randrange(len(content))
    content[at:at] = content[at : at + chance.choice((1, 16, 512))] * chance.choice((2, 50))


def exchange(content: bytearray, chance: random.Random) -> None:
    """The end is that of another file."""
    other = chance.choice(list(seeds().values()))
    content[chance.randrange(len(content)) :] = other[chance.randrange(len(other)) :]


def silence(content: bytearray, chance: random.Random) -> None:
    """A piece becomes zeros, or ones."""
    at = chance.randrange(len(content))
    length = min(chance.choice((4, 64, 2048)), len(content) - at)
    content[at : at + length] = bytes([chance.choice((0, 255))]) * length


def lie(content: bytearray, chance: random.Random) -> None:
    """The size in the header becomes another, often a huge one; sums over the header are mended."""
    width, height = (chance.choice((0, 1, 7, 9_000, 16_383, 65_535, 2**31 - 1, 2**32 - 1)) for _ in range(2))
    if content.startswith(b"\x89PNG"):
        struct.pack_into(">II", content, 16, width, height)
        struct.pack_into(">I", content, 29, zlib.crc32(content[12:29]))
    elif content.startswith(b"BM"):
        struct.pack_into("<II", content, 18, width, height)
    elif content.startswith(b"GIF"):
        struct.pack_into("<HH", content, chance.choice((6, content.find(b",") + 5)), width & 0xFFFF, height & 0xFFFF)
    elif content.startswith(b"RIFF"):
        struct.pack_into("<HH", content, chance.choice((24, 26)), width & 0xFFFF, height & 0xFFFF)
    elif content.startswith(b"\xff\xd8"):
        at = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2"))
        struct.pack_into(">HH", content, at + 5, height & 0xFFFF, width & 0xFFFF)
    else:
        directory = struct.unpack_from("<I", content, 4)[0] % max(len(content) - 30, 1)
        struct.pack_into("<I", content, directory + 10, width)
        struct.pack_into("<I", content, directory + 22, height)


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    flip_bits, spoil_header, cut_off, lose, double, exchange, silence, lie,
)  # fmt: skip


def bombs() -> dict[str, bytes]:
    """Small files that become large pictures: allowed ones of nearly 100 megapixels, and others."""

    def png(width: int, height: int, colour: int, samples: int) -> bytes:
        packer, row = zlib.compressobj(9), bytes(1 + width * samples)
        data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
        chunks = (
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)),
            (b"IDAT", data),
            (b"IEND", b""),
        )
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in chunks
        )

    flat = Image.new("RGB", (9_900, 9_900))
    return {
        "allowed.png": png(9_999, 9_999, 2, 3),
        "allowed-clear.png": png(9_999, 9_999, 6, 4),
        "allowed.jpg": with_pillow(flat, "JPEG", quality=1),
        "allowed.webp": with_pillow(flat, "WEBP", quality=0),
        "allowed.gif": with_pillow(flat, "GIF"),
        "allowed.tiff": with_pillow(flat, "TIFF", compression="tiff_deflate"),
        "forbidden.png": png(13_000, 13_000, 2, 3),
        "forbidden.jpg": with_pillow(Image.new("L", (20_000, 20_000)), "JPEG", quality=1),
    }


def make_mutations(folder: Path, count: int, seed: int) -> None:
    """Write ``count`` mutations of the seeds, some of them twice mutated."""
    chance, good = random.Random(seed), seeds()  # noqa: S311 - repeatable, not secret
    for number in range(count):
        name = list(good)[number % len(good)]
        content = bytearray(good[name])
        for _ in range(chance.choice((1, 1, 2))):
            if len(content) > 80:
                chance.choice(MUTATIONS)(content, chance)
        (folder / f"{number:05}-{name}").write_bytes(content)


def make_others(folder: Path) -> None:
    """Write what is no photo, or has a name that breaks naive programs."""
    good = seeds()["plain.png"]
    (folder / "text.jpg").write_text("This is no photo.\n")
    (folder / "script.png").write_text("<svg onload=alert(1)>")
    (folder / "empty.webp").touch()
    (folder / "one-byte.gif").write_bytes(b"G")
    (folder / "folder.jpg").mkdir()
    (folder / "folder.jpg" / "inside.png").write_bytes(good)
    os.mkfifo(folder / "pipe.jpg")
    server = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(folder)  # the address of a socket is short
    server.bind("socket.jpg")
    os.chdir(here)
    server.close()
    for name, target in (("zero.jpg", "/dev/zero"), ("nowhere.jpg", "no-such-file"), ("circle.jpg", "circle.jpg")):
        (folder / name).symlink_to(target)
    (folder / "around").symlink_to(folder, target_is_directory=True)
    (folder / "ring").mkdir()
    (folder / "ring" / "ring").symlink_to("../ring", target_is_directory=True)
    secret = folder / "secret.png"
    secret.write_bytes(good)
    secret.chmod(0)
    closed = folder / "closed"
    closed.mkdir()
    (closed / "in-it.png").write_bytes(good)
    closed.chmod(0)
    names = (b"line\nend.png", b"tab\tand\x1b[31mred.png", b"\xff\xfe.png", "星 Größe é.png".encode(), b"-rf.png")
    for bare in (*names, b" .png", b"[red].png", b"'\"`$(ls).png", b"n" * 251 + b".png", b"x.PNG", b"a?*.png"):
        (folder / os.fsdecode(bare)).write_bytes(good)
    deep = folder
    for _ in range(60):
        deep = deep / ("d" * 40)
        deep.mkdir()
    (deep / "deep.png").write_bytes(good)


def make(folder: Path, count: int, seed: int, *, large: bool = True) -> None:
    """Make the folder: the strange ones, the bombs unless not ``large``, and mutations up to ``count`` files."""
    make_others(folder)
    for name, content in bombs().items() if large else ():
        (folder / f"bomb-{name}").write_bytes(content)
    make_mutations(folder, count - len(expected(folder)), seed)


def expected(folder: Path) -> list[str]:
    """What there has to be a row for, as text; also the folder that cannot be listed."""
    found = [os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names]
    files = [path for path in found if not path.endswith("/closed/in-it.png")]  # root sees it
    files += [str(folder / "closed")]
    return sorted(path_text(path) for path in files)


def wrong_rows(rows: list[dict[str, object]], wanted: list[str]) -> list[str]:
    """What is missing, doubled, neither an answer nor an error, or large, allowed and yet not read."""
    got = Counter(str(row["path"]) for row in rows)
    differing = (got - Counter(wanted)) + (Counter(wanted) - got)
    unclear = (row for row in rows if (row["label"] is None) == (row["error"] is None))
    unread = (row for row in rows if "/bomb-allowed" in str(row["path"]) and row["error"])
    return sorted(differing) + [str(row["path"]) for row in (*unclear, *unread)]


def limited(memory: int) -> Callable[[], None]:
    """What the child does first: bound its memory in bytes; root gives up the right to read what is not permitted."""
    libc = ctypes.CDLL(None)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        for right in (DAC_OVERRIDE, DAC_READ_SEARCH):
            libc.prctl(DROP_FROM_BOUNDING_SET, right, 0, 0, 0)

    return limit


def attack(model: Path, folder: Path, seconds: float, memory: int) -> dict[str, object]:
    """Run the command on the folder; give the figures."""
    wanted, started = expected(folder), time.monotonic()
    command = [*PROGRAM, str(model.resolve()), str(folder), "--json"]
    result = subprocess.run(
        command, capture_output=True, timeout=seconds, check=False, preexec_fn=limited(memory), cwd=folder
    )
    took = time.monotonic() - started
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    errors = Counter(str(row["error"]).partition(" ")[2].partition(":")[0][:40] for row in rows if row["error"])
    return {
        "files": len(wanted),
        "rows": len(rows),
        "classified": sum(row["error"] is None for row in rows),
        "refused": sum(row["error"] is not None for row in rows),
        "wrong": wrong_rows(rows, wanted)[:20],
        "exit_code": result.returncode,
        "seconds": round(took, 1),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10,
        "traceback": b"Traceback" in result.stderr,
        "last_message": result.stderr.decode("utf-8", "replace")[-500:],
        "commonest_errors": errors.most_common(8),
    }


def main() -> None:
    """Make the folder, attack, print and save the figures; exit with 1 where a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=600, help="limit of time")
    parser.add_argument("--memory", type=float, default=4, help="limit of the address space in GiB")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="attack-"))
    folder.chmod(0o755)
    try:
        make(folder, options.count, options.seed)
        figures = attack(options.model, folder, options.seconds, int(options.memory * 2**30))
    finally:
        (folder / "closed").chmod(0o755)
        shutil.rmtree(folder)
    text = json.dumps(figures, indent=2, ensure_ascii=False)
    sys.stdout.write(text + "\n")
    if options.out:
        write_text(options.out, text + "\n")
    good = figures["exit_code"] == 0 and not figures["wrong"] and not figures["traceback"]
    sys.exit(0 if good and figures["rows"] == figures["files"] == options.count else 1)


if __name__ == "__main__":
    main()
