"""Labelled photos in folders: one folder per class, or train/validation/test folders of class folders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewise.spec import DataError

SPLITS = ("train", "validation", "test")
"""Names of the split folders. ``val`` and ``valid`` are taken for ``validation``."""

_ALIASES = {"train": "train", "validation": "validation", "val": "validation", "valid": "validation", "test": "test"}

PHOTO_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""Suffixes, in lower case, of files that are taken for photos; others are left alone and counted."""


@dataclass(frozen=True)
class LabelledPhoto:
    """A photo and the class its folder says."""

    path: Path
    label: str


@dataclass(frozen=True)
class PhotoFolder:
    """What a folder of photos holds. Every list is sorted, so that the order never depends on the file system."""

    root: Path
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
                f"{self.root} has no {split} folder",
                "one of its splits: " + ", ".join(self.splits),
                "choose with --split",
            )
        return self.splits[split]


def read_labelled(root: Path, split: str | None) -> tuple[LabelledPhoto, ...]:
    """The labelled photos below ``root``: of one split, or of everything without splits or where ``split`` is None.

    Raises:
        DataError: see `read_folder` and `PhotoFolder.photos`.
    """
    return read_folder(root).photos(split)


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
    found = {_ALIASES[folder.name.lower()]: folder for folder in folders if folder.name.lower() in _ALIASES}
    if "train" not in found and not {"test", "validation"} <= set(found):
        labels, photos, ignored = _class_folders(root)
        return PhotoFolder(root, labels, {"all": photos}, ignored)
    strangers = [folder.name for folder in folders if folder.name.lower() not in _ALIASES]
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
        unknown = sorted(set(labels) - set(known))
        if unknown:
            raise DataError(
                f"{found[name]} has folders that train does not have: {', '.join(unknown)}",
                "the classes of train: " + shortened(known),
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
    _check_names(classes)
    photos: list[LabelledPhoto] = []
    ignored = 0
    for folder in classes:
        files = _files(folder)
        chosen = [file for file in files if is_photo(file)]
        ignored += len(files) - len(chosen)
        photos += [LabelledPhoto(file, folder.name) for file in chosen]
    return tuple(folder.name for folder in classes), tuple(photos), ignored


def _check_names(classes: Sequence[Path]) -> None:
    """Class names end up in model files as UTF-8 text, one a line."""
    for folder in classes:
        if not folder.name.isprintable():  # also false for bytes that are not UTF-8
            raise DataError(
                f"the folder name {folder.name!r} cannot be a class name",
                "printable text in UTF-8",
                "rename the folder",
            )


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
