"""Labelled photos in a CSV file, and one call for both kinds of data: a folder or such a file.

    path,label,split
    images/1.jpg,cat,train
    images/2.jpg,dog,validation

- The first row names the columns: ``path`` and ``label``, and ``split`` if there is one, in any order, and no others:
  a misspelt ``split`` that was silently ignored would put test photos into the training.
- Columns are parted by commas; the text is UTF-8, with or without a byte order mark.
- Paths are relative to the folder of the CSV file. A full path may stand there too if it leads below that folder.
  Paths that lead out of it are refused, so that the folder can be moved as a whole, and a file from elsewhere cannot
  name any other file of this machine.
- Splits have the names of split folders, ``val`` and ``valid`` included. Where all are empty, the photos are split as
  those of a folder without splits.
- A photo stands there once. Photos that are not there are left out and named later, as unreadable ones are.
"""

from __future__ import annotations

import csv
import io
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewise.runtime.folders import (
    SPLIT_NAMES,
    SPLITS,
    LabelledPhoto,
    PhotoFolder,
    check_class_name,
    read_folder,
    refuse_unknown,
    shortened,
)
from edgewise.spec import DataError
from edgewise.spec.files import path_text

COLUMNS = ("path", "label", "split")
MAX_CSV_BYTES = 256 << 20
"""Longest CSV file that is read, in bytes."""

_HEADER = "a first row that names the columns: path,label or path,label,split"


@dataclass(frozen=True)
class _Row:
    line: int  # in the file, from 1
    path: Path  # below the file's folder
    label: str
    split: str  # "train", "validation", "test", or "" for none


def read_photos(source: Path) -> PhotoFolder:
    """Find the labelled photos of a folder (`edgewise.runtime.folders.read_folder`) or a CSV file (see above).

    Raises:
        DataError: neither is there, the folder cannot be used, or a line of the file is not as it should be.
    """
    if source.suffix.lower() == ".csv" and not os.path.isdir(source):
        return _read_csv(source)
    if os.path.exists(source) and not os.path.isdir(source):
        raise DataError(
            f"{path_text(source)} is neither a folder nor a .csv file",
            "a folder of photos, or a CSV file with the columns path and label",
        )
    return read_folder(source)


def folder_of(source: Path) -> Path:
    """The folder that the paths of ``source``, a folder or a CSV file, are relative to."""
    return source.parent if os.path.isfile(source) else source


def _read_csv(path: Path) -> PhotoFolder:
    rows = list(_rows(path))
    if not rows:
        raise DataError(f"{path} names no photos", "a row for each photo")
    _check_once(path, rows)
    _check_splits(path, rows)
    if not any(os.path.isfile(row.path) for row in rows):
        raise DataError(
            f"none of the {len(rows)} photos of {path} is there, for example {path_text(rows[0].path)}",
            f"paths relative to {path.parent}",
            "move the CSV file into the folder its paths start from, or mend the paths",
        )
    labels = tuple(sorted({row.label for row in rows}))
    if len(labels) < 2:
        raise DataError(f"{path} has one class: {labels[0]}", "at least two classes")
    splits: dict[str, list[LabelledPhoto]] = {}
    for name in SPLITS if rows[0].split else ("",):
        chosen = [LabelledPhoto(row.path, row.label) for row in rows if row.split == name]
        if chosen:
            splits[name or "all"] = sorted(chosen, key=lambda photo: (photo.label, photo.path))
    if "train" in splits:
        known = sorted({photo.label for photo in splits["train"]})
        problem = f"{path} has classes without a train row"
        refuse_unknown(labels, known, problem, "the classes of train", "add training photos of these classes")
    return PhotoFolder(path.parent, labels, {name: tuple(photos) for name, photos in splits.items()}, 0)


def _rows(path: Path) -> Iterator[_Row]:
    """The rows below the header, every cell judged."""
    reader = csv.reader(io.StringIO(_read_text(path), newline=""), skipinitialspace=True, strict=True)
    try:
        columns = _columns(path, next(reader, []))
        for cells in reader:
            if not any(cells):
                continue
            where = f"{path}, line {reader.line_num}"
            if len(cells) != len(columns):
                do = "put a name with a comma in it in double quotes"
                raise DataError(
                    f"{where} has {len(cells)} cell{'s' * (len(cells) != 1)}",
                    f"{len(columns)}: " + ",".join(columns),
                    do,
                )
            yield _row(dict(zip(columns, cells, strict=True)), where, path.parent, reader.line_num)
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}, cannot be read as CSV: {error}", "cells parted by commas"
        ) from error


def _columns(path: Path, cells: Sequence[str]) -> list[str]:
    names = [cell.strip().lower() for cell in cells]
    strange = [name for name in names if name not in COLUMNS]
    if strange or len(set(names)) != len(names) or not {"path", "label"} <= set(names):
        shown = shortened([repr(name) for name in names]) or "nothing"
        raise DataError(f"{path} has the columns {shown}", _HEADER, "rename the columns, and remove others")
    return names


def _row(cells: dict[str, str], where: str, folder: Path, line: int) -> _Row:
    label, split = cells["label"].strip(), cells.get("split", "").strip()
    check_class_name(label, f"{where}: {label!r}", "rename the class")
    if split and split.lower() not in SPLIT_NAMES:
        raise DataError(f"{where}: the split is {split!r}", "train, validation or test, or nothing at all")
    return _Row(line, _below(cells["path"], where, folder), label, SPLIT_NAMES.get(split.lower(), ""))


def _below(text: str, where: str, folder: Path) -> Path:
    """The photo's path, judged by its text alone; links are followed as those inside of a folder are."""
    path = Path(text)
    inside = path.is_relative_to(folder.absolute()) if path.is_absolute() else bool(path.parts)
    if not inside or ".." in path.parts or "\0" in text:
        raise DataError(
            f"{where}: the path is {text!r}",
            f"a path below the folder of the CSV file, {path_text(folder)}",
            "move the CSV file up to a folder that holds all photos",
        )
    return folder / (path.relative_to(folder.absolute()) if path.is_absolute() else path)


def _check_once(path: Path, rows: Sequence[_Row]) -> None:
    first: dict[Path, int] = {}
    for row in rows:
        before = first.setdefault(row.path, row.line)
        if before != row.line:
            raise DataError(
                f"{path}, line {row.line}: {path_text(row.path)} stands in line {before} already",
                "each photo once, with one class",
            )


def _check_splits(path: Path, rows: Sequence[_Row]) -> None:
    """Either every row has a split or none has."""
    for row in rows:
        if bool(row.split) != bool(rows[0].split):
            have, lack = (rows[0], row) if rows[0].split else (row, rows[0])
            raise DataError(
                f"{path}, line {lack.line} has no split, and line {have.line} has one",
                "a split in every row, or in none",
            )


def _read_text(path: Path) -> str:
    try:
        # Asked before opening, because opening a named pipe would wait for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"{path} is not a regular file", "a CSV file")
        with path.open("rb") as file:
            content = file.read(MAX_CSV_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{path} cannot be read: {reason}", "a CSV file that this user may read") from error
    if len(content) > MAX_CSV_BYTES:
        raise DataError(f"{path} is longer than {MAX_CSV_BYTES:,} bytes", "a row for each photo")
    # A path need not be UTF-8; a label is looked at later.
    text = content.decode("utf-8-sig", "surrogateescape")
    if "\0" in text:
        raise DataError(f"{path} is not text in UTF-8", "a CSV file in UTF-8", "save it again as 'CSV UTF-8'")
    return text
