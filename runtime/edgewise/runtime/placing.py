"""Copies of photos in folders of their own, and nothing that was there is ever overwritten."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from itertools import count
from pathlib import Path

import cv2

from edgewise.runtime.classifier import UNKNOWN
from edgewise.runtime.images import Picture
from edgewise.runtime.items import Photo
from edgewise.runtime.stream import Result
from edgewise.spec import OutputError
from edgewise.spec.files import path_text, write_bytes

_LONGEST_SUFFIX = 16  # bytes
_LONGEST_NAME = 200  # bytes; most file systems take 255, and a number and a temporary suffix have to fit too


class Way(str, Enum):
    """How a photo gets into the folder of its class."""

    COPY = "copy"
    HARDLINK = "hardlink"
    SYMLINK = "symlink"


class Sorter:
    """Puts photos into a folder per predicted class. What could not be read is left out.

    Args:
        root: where the folders are made.
        labels: all class names.
        way: how; what is no file, such as a frame or a download, is always written as a copy.
    """

    def __init__(self, root: Path, labels: Sequence[str], way: Way) -> None:
        self._root, self._way = root, way
        self._folders = folder_names((*labels, UNKNOWN))

    def place(self, result: Result, *, again: bool = False) -> Path | None:
        """Put one photo where it belongs.

        Args:
            result: with its original.
            again: it may have been placed already, before an interruption; the same bytes are not placed twice.

        Returns:
            The new path; None for an error.

        Raises:
            OutputError: it cannot be written.
        """
        if result.row.prediction is None or result.original is None:
            return None
        folder = self._root / self._folders[result.row.prediction.label]
        item = result.item
        if self._way is not Way.COPY and isinstance(item, Photo):
            return _linked(Path(item.name), folder, self._way, again=again)
        is_frame = not isinstance(result.original, bytes)
        return placed(folder, file_name(item.name, ".png" if is_frame else ""), encoded(result.original), again=again)


def encoded(original: bytes | Picture, suffix: str = ".png") -> bytes:
    """An image file: the one that was read, or a picture ``(height, width, 3)`` uint8 RGB as a new one."""
    if isinstance(original, bytes):
        return original
    return cv2.imencode(suffix, cv2.cvtColor(original, cv2.COLOR_RGB2BGR))[1].tobytes()


def placed(folder: Path, name: str, content: bytes, *, again: bool = False) -> Path:
    """Write a new file; where the name is taken, ``name-2`` and so on. Arguments and errors as `Sorter.place`."""

    def same(path: Path) -> bool:
        # An interruption between taking the name and writing leaves an empty file.
        return path.is_file() and path.stat().st_size in (0, len(content)) and path.read_bytes() in (b"", content)

    path = _taken(folder, name, lambda path: os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o666)), again and same)
    write_bytes(path, content)
    return path


def _linked(source: Path, folder: Path, way: Way, *, again: bool) -> Path:
    target = source.resolve()

    def link(path: Path) -> None:
        (os.link if way is Way.HARDLINK else os.symlink)(target, path)

    return _taken(folder, file_name(str(source)), link, again and (lambda path: path.resolve().samefile(target)))


def _taken(folder: Path, name: str, make: Callable[[Path], None], is_mine: Callable[[Path], bool] | bool) -> Path:
    """Make the first of the names that is free, or give the first that ``is_mine``."""
    stem, suffix = os.path.splitext(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            path = folder / (name if number == 1 else f"{stem}-{number}{suffix}")
            try:
                make(path)
            except FileExistsError:
                if callable(is_mine) and is_mine(path):
                    return path
                continue
            return path
    except OSError as error:
        raise OutputError(
            f"cannot write into {path_text(folder)}: {error.strerror or error}",
            do="free some space or choose another folder"
            + ("; hard links need the same disk" if error.errno == 18 else ""),
        ) from error
    raise AssertionError  # count() never ends


def file_name(name: str, suffix: str = "") -> str:
    """A file name for what an item is called: the last part of it, with nothing that a file system or shell minds.

    Args:
        name: path, URL or ``video.mp4#frame=120``.
        suffix: instead of the old one; empty: the old one stays.
    """
    last = re.sub(r"\?\*\*\*$", "", name).rstrip("/").rpartition("/")[2]
    stem, old = os.path.splitext(last) if "#frame=" not in last else (last, "")
    if len(os.fsencode(old)) > _LONGEST_SUFFIX:  # no suffix, but some other part after a dot
        stem, old = last, ""
    text = _safe(stem) or "photo"
    while len(os.fsencode(text)) > _LONGEST_NAME:
        text = text[:-1]
    return text + (suffix or _safe(old))


def folder_names(labels: Sequence[str]) -> dict[str, str]:
    """A folder name for each class, no two of which any file system takes for the same."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for label in dict.fromkeys(labels):
        stem = _safe(label)[: _LONGEST_NAME // 4].strip(". ") or "_"
        names[label] = next(name for name in _numbered(stem) if name.casefold() not in taken)
        taken.add(names[label].casefold())
    return names


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    for number in count(2):
        yield f"{stem}-{number}"


def _safe(text: str) -> str:
    """``text`` without separators, control characters and what Windows does not take in names."""
    return "".join("_" if char in '/\\:*?"<>|' or not char.isprintable() else char for char in text)
