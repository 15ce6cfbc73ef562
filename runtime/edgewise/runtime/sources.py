"""Where photos come from: files, folders and patterns in; prepared pictures, in order, out.

Reading and decoding run ahead in a few threads, a bounded number of photos at a time, so that a folder of a million
photos needs no more memory than a folder of ten.
"""

from __future__ import annotations

import glob
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

from edgewise.runtime.backends import usable_cores
from edgewise.runtime.folders import PHOTO_SUFFIXES
from edgewise.spec import InputError, PhotoError

T = TypeVar("T")


@dataclass(frozen=True)
class Found:
    """What the sources hold."""

    photos: tuple[Path, ...]  # in the order of the sources; those of one folder or pattern sorted by path
    ignored: int  # count of other files in the folders and patterns


@dataclass(frozen=True)
class Loaded(Generic[T]):
    """One photo: either what was read, or why it could not be."""

    path: Path
    content: T | None
    error: PhotoError | None


def find_photos(sources: Sequence[str]) -> Found:
    """List the photos that ``sources`` name.

    Args:
        sources: each a file (taken as it is), a folder (searched with all its subfolders; hidden files are left out)
            or a pattern with ``*``, ``?``, ``[...]`` or ``**``.

    Raises:
        InputError: a source does not exist, or holds no photo; the message names it.
    """
    photos: list[Path] = []
    ignored = 0
    for source in sources:
        found = _find(source)
        photos += found.photos
        ignored += found.ignored
    return Found(tuple(photos), ignored)


def _find(source: str) -> Found:
    if os.path.isdir(source):
        return _choose(_walk(source), f"the folder {source}")
    if os.path.exists(source):
        return Found((Path(source),), 0)
    if not glob.has_magic(source):
        raise InputError(f"there is no {source!r}", "a photo, a folder or a pattern such as 'photos/**/*.jpg'")
    matches = [Path(match) for match in glob.glob(source, recursive=True)]
    if not matches:
        raise InputError(
            f"nothing fits the pattern {source!r}",
            "a photo, a folder or a pattern such as 'photos/**/*.jpg'",
            "put the pattern in quotes, and use ** where photos may be in subfolders",
        )
    return _choose((match for match in matches if not match.is_dir()), f"the pattern {source!r}")


def _walk(folder: str) -> Iterator[Path]:
    """Yield every visible file under ``folder``, and each subfolder that cannot be listed (reading it tells why)."""
    unlisted: list[Path] = []
    for parent, folders, files in os.walk(
        folder, onerror=lambda error: unlisted.append(Path(os.fsdecode(error.filename)))
    ):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent, name) for name in files if not name.startswith("."))
    yield from unlisted


def _choose(files: Iterator[Path], where: str) -> Found:
    every = sorted(files)
    photos = tuple(path for path in every if path.suffix.lower() in PHOTO_SUFFIXES or path.is_dir())
    if not photos:
        raise InputError(
            f"{where} holds no photo" + (f", only other files: {len(every)}" if every else ""),
            "files that end in .jpg, .png, .webp, .tif or another picture suffix",
        )
    return Found(photos, len(every) - len(photos))


def load_ahead(paths: Sequence[Path], load: Callable[[Path], T], workers: int | None = None) -> Iterator[Loaded[T]]:
    """Apply ``load`` to each path in threads and yield the results in the order of ``paths``.

    At most three photos per thread are held at a time, however slowly the results are taken.

    Args:
        paths: the photos.
        load: reads one; a PhotoError that it raises becomes a result, anything else is raised here.
        workers: threads, at least 1; None: one per usable core, at most 4.
    """

    def attempt(path: Path) -> Loaded[T]:
        try:
            return Loaded(path, load(path), None)
        except PhotoError as error:
            return Loaded(path, None, error)

    workers = workers or min(4, usable_cores())
    waiting = iter(paths)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="photos")
    try:
        ahead: deque[Future[Loaded[T]]] = deque(pool.submit(attempt, path) for path in islice(waiting, 3 * workers))
        while ahead:
            result = ahead.popleft().result()
            ahead.extend(pool.submit(attempt, path) for path in islice(waiting, 1))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
