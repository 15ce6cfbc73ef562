"""Which photos are measured: all, or a seeded choice with the same number of each class."""

from __future__ import annotations

import csv
import hashlib
import random
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from edgewise.runtime.folders import in_turn, refuse_unknown
from edgewise.spec import InputError
from edgewise.spec.files import sha256_file

if TYPE_CHECKING:
    from pathlib import Path

    from edgewise.runtime.folders import LabelledPhoto


def choose(photos: Sequence[LabelledPhoto], limit: int | None, seed: int) -> tuple[LabelledPhoto, ...]:
    """Take ``limit`` photos, class by class in turn, each class in seeded order; all of them without a limit.

    Raises:
        InputError: ``limit`` is not positive.
    """
    if limit is None or limit >= len(photos):
        return tuple(photos)
    if limit < 1:
        raise InputError(f"--limit is {limit}", "a number of photos from 1 on")
    classes: dict[str, list[LabelledPhoto]] = {}
    for photo in sorted(photos, key=lambda photo: (photo.label, photo.path)):
        classes.setdefault(photo.label, []).append(photo)
    order = random.Random(seed)  # noqa: S311 - a choice to repeat, not a secret
    for members in classes.values():
        order.shuffle(members)
    turns = list(classes.values())
    if limit < len(turns):  # the first ones of the alphabet have no precedence
        order.shuffle(turns)
    return tuple(islice(in_turn(turns), limit))


def held_out(photos: Sequence[LabelledPhoto], run: Path) -> tuple[tuple[LabelledPhoto, ...], str]:
    """Of photos without splits, those that a run has set aside for its test, known by their content.

    Args:
        photos: labelled photos.
        run: a run folder; its ``photos.csv`` says which photos were for what.

    Returns:
        The test photos and "test"; all photos and "all" where none of them is known to the run.
    """
    try:
        with (run / "photos.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            tested = {row.get("sha256") for row in csv.DictReader(file) if row.get("split") == "test"}
    except (OSError, csv.Error):
        return tuple(photos), "all"
    known = tuple(photo for photo in photos if _digest(photo.path) in tested)
    return (known, "test") if known else (tuple(photos), "all")


def _digest(path: Path) -> str | None:
    """None where it cannot be read: such a photo is none of the test's."""
    try:
        return sha256_file(path)
    except OSError:
        return None


def digest(photos: Sequence[LabelledPhoto]) -> str:
    """SHA-256 over each photo's label and content in order.

    Reading every file also brings them all into memory's cache, so that the first row is not the only one that waits
    for the disk.
    """
    total = hashlib.sha256()
    for photo in photos:
        total.update(hashlib.sha256(photo.label.encode("utf-8", "surrogateescape")).digest())
        try:
            total.update(hashlib.sha256(photo.path.read_bytes()).digest())
        except OSError:
            total.update(b"unreadable")
    return total.hexdigest()


def check_labels(photo_labels: Iterable[str], labels: Sequence[str], name: str) -> None:
    """Raise DataError where a photo's class is one the model does not know."""
    refuse_unknown(
        photo_labels,
        labels,
        f"the photos have classes that {name} does not know",
        "some of",
        "give the data set the model was trained on, or photos in folders of the same names",
    )
