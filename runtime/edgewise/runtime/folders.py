"""Labelled photos in folders: one folder per class, or train/validation/test folders of class folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import TypeVar

from edgewise.spec import DataError

T = TypeVar("T")

SPLITS = ("train", "validation", "test")
"""Names of the split folders. ``val`` and ``valid`` are taken for ``validation``."""

SPLIT_NAMES = {"train": "train", "validation": "validation", "val": "validation", "valid": "validation", "test": "test"}
"""What a split may be called, in lower case, and which one it is."""

PHOTO_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""Suffixes, in lower case, of files that are taken for photos; others are left alone and counted."""


@dataclass(frozen=True, slots=True)
class LabelledPhoto:
    """A photo and its class, as its folder or a CSV file says."""

    path: Path
    label: str


@dataclass(frozen=True)
class PhotoFolder:
    """What a folder of photos holds. Every list is sorted, so that the order never depends on the file system."""

    root: Path  # the folder; of a CSV file the folder it lies in. Every photo is below it
    labels: tuple[str, ...]  # class names, sorted
    splits: dict[str, tuple[LabelledPhoto, ...]]  # "train", "validation", "test" as found, or "all" without splits
    ignored: int  # files that are not photos by their suffix

    def photos(self, split: str | None) -> tuple[LabelledPhoto, ...]:
        """The photos of one split; of everything where ``split`` is None or the folder has no splits.

        Raises:
            DataError: the folder has splits, but not this one.
        """
        if "all" in self.splits:
            return self.splits["all"]
        if split is None:
            return tuple(photo for photos in self.splits.values() for photo in photos)
        if split not in self.splits:
            raise DataError(
                f"{self.root} has no {split} photos",
                "one of its splits: " + ", ".join(self.splits),
                "choose with --split",
            )
        return self.splits[split]


def read_folder(root: Path) -> PhotoFolder:
    """Find the labelled photos below ``root``.

    Raises:
        DataError: no such folder, photos outside of class folders, class folders beside split folders, fewer than two
            classes, or a class that a split has and the train split does not know.
    """
    try:
        if not root.is_dir():
            raise DataError(f"there is no folder {root}", "a folder with one folder of photos per class")
        return _read_folder(root)
    except OSError as error:
        raise DataError(
            f"{error.filename or root} cannot be read: {error.strerror}", "folders that this user may read"
        ) from error


def _read_folder(root: Path) -> PhotoFolder:
    folders = _folders(root)
    found = {SPLIT_NAMES[folder.name.lower()]: folder for folder in folders if folder.name.lower() in SPLIT_NAMES}
    if "train" not in found and not {"test", "validation"} <= set(found):
        labels, photos, ignored = _class_folders(root)
        return PhotoFolder(root, labels, {"all": photos}, ignored)
    strangers = [folder.name for folder in folders if folder.name.lower() not in SPLIT_NAMES]
    if strangers or len(found) < len(folders):
        raise DataError(
            f"{root} has split folders and also: {', '.join(strangers) or 'two folders for one split'}",
            "either train, validation and test folders and nothing else, or one folder per class",
            "move or rename the others",
        )
    return _split_folders(root, {name: found[name] for name in SPLITS if name in found})


def _split_folders(root: Path, found: dict[str, Path]) -> PhotoFolder:
    parts = {name: _class_folders(folder) for name, folder in found.items()}
    known = (
        parts["train"][0]
        if "train" in parts
        else tuple(sorted({label for part in parts.values() for label in part[0]}))
    )
    for name, (labels, _, _) in parts.items():
        refuse_unknown(
            labels,
            known,
            f"{found[name]} has folders that train does not have",
            "the classes of train",
            "rename the folders, or add training photos of these classes",
        )
    return PhotoFolder(
        root, known, {name: part[1] for name, part in parts.items()}, sum(part[2] for part in parts.values())
    )


def _class_folders(root: Path) -> tuple[tuple[str, ...], tuple[LabelledPhoto, ...], int]:
    loose = [entry.name for entry in os.scandir(root) if entry.is_file() and is_photo(Path(entry.name))]
    if loose:
        raise DataError(
            f"{root} has photos outside of class folders, for example {sorted(loose)[0]}",
            "one folder of photos per class",
            "move each photo into the folder of its class",
        )
    classes = _folders(root)
    if len(classes) < 2:
        raise DataError(
            f"{root} has {len(classes)} class folder{'s' * (len(classes) != 1)}",
            "at least two folders of photos, one per class",
        )
    for folder in classes:
        check_class_name(folder.name, f"the folder name {folder.name!r}", "rename the folder")
    photos: list[LabelledPhoto] = []
    ignored = 0
    for folder in classes:
        files = _files(folder)
        chosen = [file for file in files if is_photo(file)]
        ignored += len(files) - len(chosen)
        photos += [LabelledPhoto(file, folder.name) for file in chosen]
    return tuple(folder.name for folder in classes), tuple(photos), ignored


def check_class_name(name: str, where: str, do: str) -> None:
    """Raise DataError for a name that cannot stand in model files, which keep class names as UTF-8 text, one a line."""
    if not name.isprintable() or not name.strip():  # text with bytes that are not UTF-8 is not printable either
        raise DataError(f"{where} cannot be a class name", "printable text in UTF-8", do)


def refuse_unknown(labels: Iterable[str], known: Sequence[str], problem: str, whose: str, do: str) -> None:
    """Raise DataError where some ``labels`` are not ``known``.

    Args:
        labels: class names of photos.
        known: class names that are right.
        problem: what is wrong, for example "x.onnx does not know these classes"; the names are added.
        whose: what the known names are, for example "the model's classes"; the names are added.
        do: what the user can do.
    """
    unknown = sorted(set(labels) - set(known))
    if unknown:
        raise DataError(f"{problem}: {shortened(unknown)}", f"{whose}: {shortened(known)}", do)


def in_turn(groups: Iterable[Iterable[T]]) -> Iterator[T]:
    """Take one of each group in turn, until every group has given all it has; each keeps its order."""
    missing = object()
    turns = chain.from_iterable(zip_longest(*groups, fillvalue=missing))
    return (item for item in turns if item is not missing)  # type: ignore[misc]


def is_photo(path: Path) -> bool:
    """Whether a file is taken for a photo, by its suffix; files that begin with a dot are not."""
    return path.suffix.lower() in PHOTO_SUFFIXES and not path.name.startswith(".")


def shortened(names: Sequence[str], most: int = 12) -> str:
    """Names joined by commas, cut after ``most`` with a count of the rest."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _folders(root: Path) -> list[Path]:
    return sorted(
        (Path(entry.path) for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith(".")),
        key=lambda path: path.name,
    )


def _raise(error: OSError) -> None:
    raise error


def _files(root: Path) -> list[Path]:
    """Every file below ``root``, sorted, hidden folders left out, links to folders not followed."""
    found: list[Path] = []
    for folder, inner, files in os.walk(root, onerror=_raise):
        inner[:] = [name for name in inner if not name.startswith(".")]
        found += [Path(folder, name) for name in files]
    return sorted(found)
