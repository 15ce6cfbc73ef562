"""Files of prepared photos, written once and then only mapped into memory.

A shard is the pixels of up to `MAX_ROWS` photos, one after the other, then one record per photo (the SHA-256 of the
photo's file as 64 hexadecimal digits, the CRC-32 of its pixels), then a footer (format, preprocessing, number of
photos, CRC-32 of records and footer). It gets its name only when it is whole, and never changes after that.

Checksums find damage. They do not help against someone who can write with the user's own rights.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import stat
import struct
import zlib
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgewise.runtime.images import PREPROCESSING_VERSION, Picture
from edgewise.spec import OutputError
from edgewise.spec.files import replacing

SUFFIX = ".pixels"
MAX_ROWS = 4096
MAX_BYTES = 256 << 20
"""Most photos in a shard, and most bytes of pixels. A killed process loses less than one shard of its work."""

_MAGIC = b"edgewise-pixels1"
_RECORD = np.dtype([("sha256", "S64"), ("crc32", "<u4")])
_FOOTER = struct.Struct("<16s32sI")  # magic, preprocessing, rows; then the CRC-32
_CRC = struct.Struct("<I")
_TAIL = _FOOTER.size + _CRC.size


def row_bytes(size: int) -> int:
    """Bytes of one photo of ``size`` x ``size`` pixels in a shard, its record included."""
    return size * size * 3 + _RECORD.itemsize


def rows_at_most(size: int) -> int:
    """Most photos of ``size`` x ``size`` pixels in one shard, >= 1."""
    return max(min(MAX_ROWS, MAX_BYTES // row_bytes(size)), 1)


def rows_within(room: int, size: int) -> int:
    """How many photos a shard of at most ``room`` bytes holds, >= 0."""
    return max((room - _TAIL) // row_bytes(size), 0)


def shard_bytes(rows: int, size: int) -> int:
    """Length in bytes of a shard of ``rows`` photos."""
    return rows * row_bytes(size) + _TAIL


def open_private(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open a regular file that belongs to this user, and return its descriptor; links and pipes are not followed.

    Raises:
        OSError: it is something else, belongs to someone else, or cannot be opened.
    """
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
        return descriptor
    os.close(descriptor)
    raise PermissionError(f"{path} is not a file of this user")


class ShardWriter:
    """A shard in the making; nobody sees it before `finish`.

    Raises:
        OSError, OutputError: it cannot be written or locked; from every method.
    """

    def __init__(self, path: Path, size: int, rows: int) -> None:
        self.path, self.rows = path, rows
        self._size = size
        self._records: list[tuple[bytes, int]] = []
        self._stack = ExitStack()
        try:
            temporary = self._stack.enter_context(replacing(path))
            self._file = self._stack.enter_context(temporary.open("r+b"))
            # Locked while its writer lives, and as long as it will be: others see what is taken, and what is left over.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file.truncate(shard_bytes(rows, size))
        except OSError as error:
            self.abandon(error)
            raise

    @property
    def full(self) -> bool:
        """Whether there is no place for another photo."""
        return len(self._records) >= self.rows

    def add(self, sha256: str, picture: Picture) -> None:
        """Append one photo: its file's SHA-256 in hexadecimal digits, and ``(size, size, 3)`` uint8."""
        content = picture.tobytes()
        self._file.write(content)
        self._records.append((sha256.encode(), zlib.crc32(content)))

    def finish(self) -> None:
        """Make it a shard, at least one photo long."""
        records = np.array(self._records, _RECORD).tobytes()
        footer = _FOOTER.pack(_MAGIC, _preprocessing(self._size), len(self._records))
        # Closed after the renaming: a temporary file that is not locked may be removed by anyone.
        lock = os.dup(self._file.fileno())
        try:
            # Not where the last write ended: an interruption may have cut that one short.
            self._file.seek(len(self._records) * self._size * self._size * 3)
            self._file.write(records + footer + _CRC.pack(zlib.crc32(records + footer)))
            self._file.truncate()
            self._stack.close()
        finally:
            os.close(lock)

    def abandon(self, error: Exception) -> None:
        """Leave nothing behind, because of ``error``."""
        with suppress(OSError, OutputError), self._stack:
            raise error


class Shard:
    """A whole shard, mapped into memory and protected from removal for as long as this object lives.

    Attributes:
        path: of its file.
        keys: SHA-256 of each photo's file, ``(rows,)`` of 64 bytes of hexadecimal digits.
    """

    def __init__(self, path: Path, descriptor: int, size: int, records: NDArray[np.void]) -> None:
        self.path = path
        self.keys = records["sha256"]
        self._crc32 = records["crc32"]
        self._checked = bytearray(len(records))
        self._length = len(records) * size * size * 3
        # The mapping duplicates the descriptor, and with it the lock.
        self._mapping = mmap.mmap(descriptor, self._length, access=mmap.ACCESS_READ)
        self._pixels = np.frombuffer(self._mapping, np.uint8).reshape(-1, size, size, 3)

    def read(self, row: int, out: Picture) -> bool:
        """Copy the photo of ``row`` to ``out``, ``(size, size, 3)`` uint8.

        Returns:
            False where the shard has been damaged, which also removes it; ``out`` then holds nothing of use.
        """
        # Touching a page behind the end of a file that someone cut short would kill the process.
        if self._mapping.size() < self._length:
            return False
        np.copyto(out, self._pixels[row])
        if not self._checked[row]:
            if zlib.crc32(out.tobytes()) != self._crc32[row]:
                _remove(self.path)
                return False
            self._checked[row] = 1
        return True

    def touch(self) -> None:
        """Note that it was used now; the shard unused for longest is the first to go."""
        with suppress(OSError):
            os.utime(self.path)


def open_shard(path: Path, size: int) -> Shard | None:
    """Open a shard for photos of ``size`` x ``size`` pixels; a damaged one is removed.

    Returns:
        None where it is damaged, was prepared otherwise, is being removed, or cannot be opened, locked or mapped.
    """
    try:
        descriptor = open_private(path)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        records = _records(descriptor, size)
        if records is None:
            return None
        if not len(records):
            _remove(path)
            return None
        return Shard(path, descriptor, size, records)
    except (OSError, ValueError):
        return None
    finally:
        os.close(descriptor)


def remove_unused(path: Path) -> bool:
    """Remove a file that nobody reads or writes at the moment; tell whether it is gone."""
    try:
        descriptor = open_private(path, os.O_RDWR)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _preprocessing(size: int) -> bytes:
    return hashlib.sha256(f"{PREPROCESSING_VERSION} {size}".encode()).digest()


def _records(descriptor: int, size: int) -> NDArray[np.void] | None:
    """The records of a shard; none where it is damaged, None where it was prepared otherwise."""
    damaged = np.empty(0, _RECORD)
    length = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, _TAIL, max(length - _TAIL, 0))
    if len(tail) != _TAIL or not tail.startswith(_MAGIC):
        return damaged
    _, preprocessing, rows = _FOOTER.unpack_from(tail)
    if preprocessing != _preprocessing(size):
        return None
    if rows > MAX_ROWS or length != shard_bytes(rows, size):
        return damaged
    index = os.pread(descriptor, rows * _RECORD.itemsize, rows * size * size * 3)
    (crc32,) = _CRC.unpack_from(tail, _FOOTER.size)
    if zlib.crc32(index + tail[: _FOOTER.size]) != crc32:
        return damaged
    return np.frombuffer(index, _RECORD)
