"""Prepared photos on disk, for later epochs and later runs.

Photos are known by the SHA-256 of their files, so it does not matter where they lie and what they are called; and by
how they were prepared. They lie in shards (`edgewise.train.shards`) in one private folder. A shard in use is locked;
of the others, those unused for longest go first when the cache would grow beyond its limit. The cache never gives
cause for an error: what it cannot hold is decoded again.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgewise.runtime.images import Picture
from edgewise.spec import OutputError
from edgewise.spec.cache import cache_folder
from edgewise.spec.files import path_text
from edgewise.train.shards import (
    SUFFIX,
    Shard,
    ShardWriter,
    open_private,
    open_shard,
    remove_unused,
    rows_at_most,
    rows_within,
    shard_bytes,
)

DEFAULT_LIMIT = 20_000_000_000
"""Most bytes the cache takes."""

DISK_SHARE = 0.5
"""Largest share of the disk space that would be free without the cache."""

_FOLDER = "photos-1"  # the number is that of the shards' format
_LOCK = "lock"

Place = tuple[Shard, int]
"""Where a photo's pixels are: a shard, and the row in it."""


class PhotoCache:
    """The cache of this user; several processes may use it at the same time.

    Attributes:
        limit: most bytes it takes, >= 0. Zero turns it off.
        folder: where its shards are.
        usable: photos can be read from it.
        problem: why nothing is stored any more, once that is so; else None.
    """

    def __init__(self, folder: Path | None = None, limit: int = DEFAULT_LIMIT) -> None:
        self.limit = limit
        self.folder = (folder or cache_folder()) / _FOLDER
        self.problem: str | None = None
        self._complained = False
        self.usable = limit > 0 and self._prepare()

    def find(self, digests: Iterable[str], size: int) -> dict[str, Place]:
        """Look photos up.

        Args:
            digests: SHA-256 of the photos' files, 64 hexadecimal digits each.
            size: height and width in pixels.

        Returns:
            Where the pixels are, for those that are there.
        """
        wanted = {digest.encode(): digest for digest in digests}
        found: dict[str, Place] = {}
        if not self.usable:
            return found
        self._keep_limit()
        for path in sorted(self.folder.glob(f"{size}-*{SUFFIX}")):
            if shard := open_shard(path, size):
                rows = [(wanted.pop(key), row) for row, key in enumerate(shard.keys.tolist()) if key in wanted]
                found.update((digest, (shard, row)) for digest, row in rows)
                if rows:
                    shard.touch()
        return found

    @contextmanager
    def storing(self, size: int, count: int) -> Iterator[Storing]:
        """Take up at most ``count`` photos of ``size`` x ``size`` pixels; an interruption loses none that was added."""
        storing = Storing(self, size, count)
        try:
            yield storing
        finally:
            storing.finish()

    def begin(self, size: int, rows: int) -> ShardWriter | None:
        """Begin a shard for up to ``rows`` photos; None where the cache is full.

        Raises:
            OSError, OutputError: the folder cannot be written or locked.
        """
        rows = min(rows, rows_at_most(size))
        with self._locked():
            rows = min(rows, rows_within(self._make_room(shard_bytes(rows, size)), size))
            return ShardWriter(self.folder / f"{size}-{secrets.token_hex(8)}{SUFFIX}", size, rows) if rows else None

    def stop(self, error: OSError | OutputError) -> None:
        """Store nothing more, because of ``error``; what is there can still be read."""
        self.problem = self.problem or _reason(error)

    def complaint(self) -> str | None:
        """What the user should know about `problem`, once."""
        if self.problem is None or self._complained:
            return None
        self._complained = True
        return f"the photo cache {path_text(self.folder)} takes no photos: {self.problem}; this only costs time"

    def size(self) -> int:
        """Bytes the cache takes now."""
        return sum(length for _, length, _ in self._files())

    def clear(self) -> int:
        """Remove everything that is not in use, and return how many bytes that frees."""
        return sum(length for _, length, path in self._files() if remove_unused(path))

    def _prepare(self) -> bool:
        """Make the folder, and tell whether it is there and safe to use."""
        try:
            for folder in (*reversed(self.folder.parents), self.folder):
                with suppress(FileExistsError, PermissionError):
                    folder.mkdir(mode=0o700)
            found = self.folder.stat()
            if found.st_uid != os.geteuid() or found.st_mode & 0o022:
                raise PermissionError(None, "others can write to it")
        except OSError as error:
            self.stop(error)
            return False
        return True

    def _keep_limit(self) -> None:
        try:
            with self._locked():
                self._make_room(0)
        except OSError as error:
            self.stop(error)

    def _make_room(self, wanted: int) -> int:
        """Remove what is over the limit with ``wanted`` more bytes; return how many may be added; needs the lock."""
        files = sorted(self._files())
        for _, _, path in files:
            if path.name.startswith("."):
                remove_unused(path)  # what a killed process left behind
        files = [entry for entry in files if not entry[2].name.startswith(".") or entry[2].exists()]
        used = sum(length for _, length, _ in files)
        allowed = min(self.limit, int(DISK_SHARE * (shutil.disk_usage(self.folder).free + used)))
        for _, length, path in files:
            if used + wanted <= allowed:
                break
            if remove_unused(path):
                used -= length
        return max(allowed - used, 0)

    def _files(self) -> list[tuple[float, int, Path]]:
        """Time of last use, length in bytes and path of every shard, those that are being written included."""
        files = []
        with suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.endswith(SUFFIX) and entry.is_file(follow_symlinks=False):
                    with suppress(OSError):
                        found = entry.stat(follow_symlinks=False)
                        files.append((found.st_mtime, found.st_size, Path(entry.path)))
        return files

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Be the only process that adds and removes shards. Raises OSError, also where there are no locks (NFS)."""
        descriptor = open_private(self.folder / _LOCK, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


class Storing:
    """Photos on their way into the cache.

    Attributes:
        stored: where they are, once their shard is whole.
    """

    def __init__(self, cache: PhotoCache, size: int, count: int) -> None:
        self.stored: dict[str, Place] = {}
        self._cache, self._size, self._left = cache, size, count
        self._writer: ShardWriter | None = None
        self._added: set[str] = set()
        self._closed = not cache.usable or cache.problem is not None

    def add(self, sha256: str, picture: Picture) -> None:
        """Store one photo, where there is room and it is not stored yet.

        Args:
            sha256: of the photo's file, 64 hexadecimal digits.
            picture: ``(size, size, 3)`` uint8.
        """
        if self._closed or sha256 in self._added:
            return
        try:
            self._writer = self._writer or self._cache.begin(self._size, self._left)
            if self._writer is None:
                self._closed = True
                return
            self._writer.add(sha256, picture)
        except (OSError, OutputError) as error:
            self._fail(error)
            return
        self._added.add(sha256)
        self._left -= 1
        if self._writer.full:
            self.finish()

    def finish(self) -> None:
        """Close the shard that is being written."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            writer.finish()
        except (OSError, OutputError) as error:
            self._writer = writer
            self._fail(error)
            return
        if shard := open_shard(writer.path, self._size):
            self.stored.update((key.decode(), (shard, row)) for row, key in enumerate(shard.keys.tolist()))

    def _fail(self, error: OSError | OutputError) -> None:
        if self._writer is not None:
            self._writer.abandon(error)
        self._writer, self._closed = None, True
        self._cache.stop(error)


def _reason(error: OSError | OutputError) -> str:
    cause = error.__cause__ if isinstance(error, OutputError) else error
    reason = getattr(cause, "strerror", None) or str(error).partition("\n")[0]
    return path_text(reason)
