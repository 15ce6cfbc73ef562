"""Files that are whole or absent: temporary name, fsync, rename; digests."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgewise.spec.errors import OutputError

_LONGEST_SUFFIX = 16  # bytes; what is longer is the rest of a name that has a dot


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success fsync it and rename it to ``path``.

    Readers see the old file or the new one, never half of either. The temporary name keeps the suffix, because
    writers look at it.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        suffix = path.suffix if len(os.fsencode(path.suffix)) <= _LONGEST_SUFFIX else ""
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        # mkstemp makes the file private; an artefact gets the permissions any new file would.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}",
            do="free some space or choose another place with --out",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` atomically. Raises OutputError."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write ``content`` to ``path`` atomically as UTF-8. Raises OutputError."""
    write_bytes(path, content.encode("utf-8"))


def path_text(path: Path | str) -> str:
    r"""Write a path as text that can be printed: bytes in a name that are not UTF-8 become ``\xNN``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def sha256(content: bytes) -> str:
    """SHA-256 of ``content`` as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of the file at ``path`` as 64 lower-case hexadecimal digits, read in 1 MiB pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def refuse_overwrite(path: Path, *, overwrite: bool, is_ours: Callable[[Path], bool] = lambda _: True) -> None:
    """Raise OutputError where ``path`` exists and may not be replaced.

    Args:
        path: file or folder about to be written.
        overwrite: the user said ``--overwrite``.
        is_ours: tells whether an existing folder is something this command made; others are never overwritten.
    """
    try:
        if not path.exists() or (path.is_dir() and not any(path.iterdir())):
            return
    except OSError as error:
        raise OutputError(
            f"{path} cannot be looked at: {error.strerror}", do="choose another place with --out"
        ) from error
    if not is_ours(path):
        raise OutputError(
            f"{path} exists and was not made by this command", do="choose another place with --out; nothing was changed"
        )
    if not overwrite:
        raise OutputError(f"{path} exists already", do="add --overwrite to replace it, or choose another --out")
