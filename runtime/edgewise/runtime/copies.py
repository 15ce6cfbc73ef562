"""Private copies of model files, which can be mapped into memory and stay there for the next start.

A file that its owner may truncate must not be mapped: the process would be killed where it reads past the new end. A
copy in the cache folder is for this program alone. It is written as a whole or not at all, compared with the verified
bytes at every start, replaced by renaming only, and named by its SHA-256, so that it never becomes another file.

What is gained: the pages of a mapping belong to all processes that map it, and what an engine made of a file can be
kept beside it (`edgewise.runtime.engines.packed`).
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from edgewise.spec.cache import cache_folder
from edgewise.spec.errors import OutputError
from edgewise.spec.files import write_bytes

MIN_BYTES = 8 << 20
"""Smaller files are not copied: there is little to gain."""

MAX_FOLDER_BYTES = 2 << 30
"""Size from which the copies that were not used for longest are deleted, in bytes."""

_PIECE = 1 << 16  # bytes that are read at once; more would be new memory each time


def private_folder(digest: str, length: int) -> Path | None:
    """Make sure that there is a private folder for what belongs to one file.

    Args:
        digest: SHA-256 of the file, 64 hexadecimal digits.
        length: of the file, in bytes.

    Returns:
        The folder, or None where there is none: the file is small, the folder is not this user's alone or cannot be
        written, or the disk is nearly full.
    """
    if length < MIN_BYTES:
        return None
    try:
        home = _own_folder(cache_folder() / "models")
        folder = home / digest
        if not folder.exists():
            _check_space(home, length)
            _delete_old(home)
        _own_folder(folder)
        os.utime(folder)
    except OSError:
        return None
    return folder


def private_copy(content: bytes, digest: str, suffix: str) -> Path | None:
    """Make sure that there is a private copy of a verified file.

    Args:
        content: the whole file.
        digest: its SHA-256, 64 hexadecimal digits.
        suffix: of the copy's name, with the dot.

    Returns:
        The copy's path, or None where there is none (see `private_folder`).
    """
    folder = private_folder(digest, len(content))
    if folder is None:
        return None
    path = folder / f"model{suffix}"
    try:
        if not _holds(path, content):
            write_bytes(path, content)
    except (OSError, OutputError):
        return None
    return path


def _own_folder(folder: Path) -> Path:
    """Make a folder that nobody else can look into. Raises PermissionError where there is another one already."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise PermissionError(folder)
    return folder


def _holds(path: Path, content: bytes) -> bool:
    """Tell whether a file has exactly this content; read in pieces, so that no second copy is in memory."""
    try:
        with path.open("rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size != len(content):
                return False
            starts = range(0, len(content), _PIECE)
            return all(file.read(_PIECE) == content[start : start + _PIECE] for start in starts)
    except FileNotFoundError:
        return False


def _check_space(folder: Path, length: int) -> None:
    """Raise OSError unless there is room for the copy, what an engine makes of it, and as much again."""
    if shutil.disk_usage(folder).free < 4 * length:
        raise OSError(f"{folder} is nearly full")


def _delete_old(home: Path) -> None:
    """Deleting is safe while a process still maps what is deleted: the pages stay until it ends."""
    room = MAX_FOLDER_BYTES
    for folder in sorted(home.iterdir(), key=lambda entry: entry.stat().st_mtime, reverse=True):
        room -= sum(file.stat().st_size for file in folder.rglob("*"))
        if room < 0:
            shutil.rmtree(folder)
