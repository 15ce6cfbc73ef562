"""The photos of a benchmark: found, chosen, and written down for its processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgewise.benchmarks.answers import Listing
from edgewise.benchmarks.asking import Photos
from edgewise.benchmarks.packing import pack
from edgewise.benchmarks.photos import check_labels, choose, digest, held_out
from edgewise.benchmarks.plan import Plan
from edgewise.benchmarks.request import Request
from edgewise.benchmarks.results import Data
from edgewise.runtime.folders import LabelledPhoto, is_photo
from edgewise.runtime.images import prepare
from edgewise.runtime.photo_list import read_photos
from edgewise.spec import DataError, InputError, PhotoError
from edgewise.spec.files import path_text

NO_CLASS = -1


@dataclass(frozen=True)
class Chosen:
    """The photos that are measured."""

    photos: tuple[LabelledPhoto, ...]  # of the classes
    ood: tuple[Path, ...]  # of none of them
    data: Data  # what the report says of them
    ood_sha256: str  # digest of those of none


def read_data(request: Request, plan: Plan) -> Chosen:
    """Choose the photos.

    Raises:
        DataError: there are none, or a class is one that a model file does not know.
        InputError: the folder of ``--ood`` has no photos.
    """
    folder = read_photos(request.data)
    everything = folder.photos(request.split)
    split = "all" if "all" in folder.splits else request.split
    if split == "all" and plan.run is not None:
        everything, split = held_out(everything, plan.run)
    if not everything:
        raise DataError(f"{request.data} has no photos", "a folder with one folder of photos per class")
    chosen = choose(everything, request.limit, request.seed)
    for path, model in plan.models.items():
        check_labels((photo.label for photo in chosen), model.labels, path)
    places = {label: place for place, label in enumerate(plan.labels)}
    ood = _out_of_class(request.ood) if request.ood else ()
    data = Data(
        path=str(request.data),
        split=split,
        photos=len(chosen),
        available=len(everything),
        classes=len({photo.label for photo in chosen}),
        available_classes=len({photo.label for photo in everything}),
        sha256=digest(chosen),
        truth=pack(np.array([places[photo.label] for photo in chosen], np.int32)),
    )
    return Chosen(chosen, ood, data, digest([LabelledPhoto(path, "") for path in ood]) if ood else "")


def _out_of_class(folder: Path) -> tuple[Path, ...]:
    found = tuple(path for path in sorted(folder.rglob("*")) if is_photo(path) and path.is_file())
    if not found:
        raise InputError(f"--ood {path_text(folder)} has no photos", "a folder of photos that show none of the classes")
    return found


def photos_for(plan: Plan, chosen: Chosen, folder: Path) -> Photos:
    """Write what the processes read: the list of photos, and the query at each size of an input.

    Raises:
        InputError: not one of the photos can be read.
    """
    places = {label: place for place, label in enumerate(plan.labels)}
    listing = Listing(
        labels=plan.labels,
        photos=(*(str(photo.path) for photo in chosen.photos), *(str(path) for path in chosen.ood)),
        classes=(*(places[photo.label] for photo in chosen.photos), *(NO_CLASS for _ in chosen.ood)),
    )
    listing.write(folder / "photos.json")
    query = first_readable(chosen.photos)
    pictures = {}
    for size in {(model.height, model.width) for model in plan.models.values()}:
        pictures[size] = folder / f"query-{size[0]}x{size[1]}.npy"
        np.save(pictures[size], prepare(query, *size)[None])
    return Photos(listing, folder / "photos.json", str(query), pictures)


def first_readable(photos: Sequence[LabelledPhoto]) -> Path:
    """The first of the photos that can be read. Raises InputError where none can."""
    reasons: list[str] = []
    for photo in photos:
        try:
            prepare(photo.path, 1, 1)
        except PhotoError as error:  # noqa: PERF203 - the first readable photo ends the loop
            reasons.append(error.got)
        else:
            return photo.path
    raise InputError(f"none of the {len(photos)} photos can be read; the first: {reasons[0]}", do="look at the files")
