"""What a data set holds before anything is trained on it: counts, sizes, bad files, photos that stand there twice.

Nothing is changed, and what is found is no error: a person decides what to do about it.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgewise.runtime.folders import LabelledPhoto, PhotoFolder, shortened
from edgewise.runtime.headers import read_header
from edgewise.runtime.images import decode, read
from edgewise.runtime.photo_list import read_photos
from edgewise.runtime.sources import load_ahead
from edgewise.spec import DataError
from edgewise.spec.files import path_text, sha256
from edgewise.spec.progress import Reporter
from edgewise.train.dataset import Dataset, order_classes
from edgewise.train.similarity import close_groups, perceptual_hash

NEAR = 4
"""Most of 64 bits that near duplicates differ in. Of 200 clothes photos, 99% of the copies saved at half the size or at
JPEG quality 30 were within 4 bits; at 6, photos of different clothes in the same pose began to be taken for copies."""

LARGE_IMBALANCE = 10.0
"""From this ratio of the largest to the smallest class on, a remark advises to weight the classes."""

DECODED = (128, 128)
"""Height and width in pixels that a photo is decoded at, at least, to be hashed."""


@dataclass(frozen=True)
class Photo:
    """One readable photo."""

    path: Path
    label: str
    split: str  # "train", "validation", "test", or "all" where the data has no splits
    sha256: str  # of the file
    width: int  # pixels, upright
    height: int  # pixels, upright
    hash: int | None  # see `edgewise.train.similarity.perceptual_hash`


@dataclass(frozen=True)
class Unreadable:
    """A photo that cannot be read or decoded, and why."""

    path: Path
    label: str
    split: str
    reason: str


@dataclass(frozen=True)
class Spread:
    """The least, the middle and the greatest of some values."""

    min: float
    median: float
    max: float


@dataclass(frozen=True)
class Group:
    """Photos that are equal, or nearly."""

    photos: tuple[Photo, ...]

    @property
    def splits(self) -> tuple[str, ...]:
        """In which splits they stand, sorted; more than one: the network is measured on what it has learned."""
        return tuple(sorted({photo.split for photo in self.photos}))

    @property
    def labels(self) -> tuple[str, ...]:
        """In which classes they stand, sorted; more than one: at least one label is wrong."""
        return tuple(sorted({photo.label for photo in self.photos}))

    @property
    def straddles(self) -> bool:
        """Whether they stand in several splits or classes."""
        return len(self.splits) > 1 or len(self.labels) > 1


@dataclass(frozen=True)
class Audit:
    """The result of `audit`."""

    folder: PhotoFolder
    source: Path
    labels: tuple[str, ...]  # in the order of the class names that were given, else sorted
    photos: tuple[Photo, ...]
    unreadable: tuple[Unreadable, ...]
    equal: tuple[Group, ...]  # the same bytes
    near: tuple[Group, ...]  # the same looks, at least two different contents

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Readable photos by class and split, zeros included."""
        found = Counter((photo.label, photo.split) for photo in self.photos)
        return {label: {split: found[label, split] for split in self.folder.splits} for label in self.labels}

    @property
    def imbalance(self) -> float | None:
        """Photos of the largest class for each of the smallest, 1 or more; None where that one is empty."""
        return _ratio({label: sum(row.values()) for label, row in self.counts.items()})

    def spreads(self) -> dict[str, Spread]:
        """Of width and height in pixels, and of aspect (width / height)."""
        values: dict[str, list[float]] = {
            "width": [photo.width for photo in self.photos],
            "height": [photo.height for photo in self.photos],
            "aspect": [photo.width / photo.height for photo in self.photos],
        }
        return {name: Spread(min(some), statistics.median(some), max(some)) for name, some in values.items()}

    def remarks(self) -> tuple[str, ...]:
        """What a person should know, in sentences; nothing where all is well."""
        lines = [remark_on({label: sum(row.values()) for label, row in self.counts.items()})]
        if self.unreadable:
            lines.append(f"photos that cannot be read and would be left out: {len(self.unreadable)}")
        if self.folder.ignored:
            lines.append(f"files that are not photos by their suffix: {self.folder.ignored}")
        for kind, groups in (("equal", self.equal), ("nearly equal", self.near)):
            across_splits = [group for group in groups if len(group.splits) > 1]
            across_classes = [group for group in groups if len(group.labels) > 1]
            if across_splits:
                lines.append(f"{kind} photos in several splits make figures too good: {_sizes(across_splits)}")
            if across_classes:
                lines.append(f"{kind} photos in several classes, so that labels are wrong: {_sizes(across_classes)}")
        return tuple(line for line in lines if line)

    def to_data(self) -> dict[str, Any]:
        r"""Plain data for JSON; paths relative to ``root``, bytes of names that are not UTF-8 as ``\xNN``."""
        return {
            "source": path_text(self.source),
            "root": path_text(self.folder.root),
            "splits": list(self.folder.splits),
            "photos": len(self.photos),
            "classes": [{"label": label, "photos": row} for label, row in self.counts.items()],
            "sizes": {name: asdict(spread) for name, spread in self.spreads().items()},
            "imbalance": self.imbalance,
            "unreadable": [
                {"path": self.name(bad.path), "label": bad.label, "split": bad.split, "reason": bad.reason}
                for bad in self.unreadable
            ],
            "ignored_files": self.folder.ignored,
            "exact_duplicates": [self._group_data(group) for group in self.equal],
            "near_duplicates": [self._group_data(group) for group in self.near],
            "remarks": list(self.remarks()),
        }

    def name(self, path: Path) -> str:
        """A photo's path below ``root`` as text that can be printed."""
        return path_text(path.relative_to(self.folder.root))

    def _group_data(self, group: Group) -> dict[str, Any]:
        return {
            "photos": [
                {"path": self.name(photo.path), "label": photo.label, "split": photo.split} for photo in group.photos
            ],
            "straddles_splits": len(group.splits) > 1,
            "straddles_classes": len(group.labels) > 1,
        }


def audit(source: Path, reporter: Reporter, *, class_names: Sequence[str] | None = None, distance: int = NEAR) -> Audit:
    """Read and decode every photo of a data set, and say what is there.

    Args:
        source: a folder of photos or a CSV file (`edgewise.runtime.photo_list.read_photos`).
        reporter: is told about the progress.
        class_names: the order of the classes; must be exactly those that are there.
        distance: most of 64 bits that near duplicates differ in, 0-64.

    Raises:
        DataError: the data cannot be used, the class names are not those of the photos, or no photo can be read.
    """
    folder = read_photos(source)
    labels = order_classes(folder.labels, class_names)
    photos: list[Photo] = []
    unreadable: list[Unreadable] = []
    total = sum(map(len, folder.splits.values()))
    with reporter.task("reading photos", total) as step:
        for split, some in folder.splits.items():
            for labelled, found in zip(some, load_ahead([photo.path for photo in some], _look), strict=True):
                step()
                if found.content is not None:
                    photos.append(Photo(labelled.path, labelled.label, split, *found.content))
                else:
                    unreadable.append(_unreadable(labelled, split, found.error.got if found.error else ""))
    if not photos:
        first = f", for example: {unreadable[0].reason}" if unreadable else ""
        raise DataError(f"{source} has no photo that can be read{first}", "JPEG, PNG, WebP, TIFF, BMP or GIF photos")
    return Audit(folder, source, labels, tuple(photos), tuple(unreadable), _equal(photos), _near(photos, distance))


def remark_on(counts: dict[str, int]) -> str:
    """One line about classes of very different size; nothing where they are not.

    Args:
        counts: photos by class.
    """
    empty = [label for label, count in counts.items() if not count]
    if empty:
        return f"no photos of {shortened(empty)}"
    ratio = _ratio(counts) or 1
    if ratio < LARGE_IMBALANCE:
        return ""
    least, most = min(counts, key=lambda name: counts[name]), max(counts, key=lambda name: counts[name])
    return (
        f"{most} has {ratio:.0f} times as many photos as {least} ({counts[most]} and {counts[least]}): "
        "weight the classes, or add photos"
    )


def quick_findings(dataset: Dataset) -> tuple[str, ...]:
    """At most three lines about a data set that is about to be trained on, without decoding anything.

    The classes and their sizes; what was left out, by reason; a remark about very different sizes.
    """
    counts = Counter(example.label for example in dataset.splits.get("train", ()))
    sizes = [counts[label] for label in dataset.labels]
    spread = f"{min(sizes)} to {max(sizes)}" if min(sizes) < max(sizes) else f"{max(sizes)}"
    lines = [f"{dataset.summary()}; {spread} training photos per class"]
    reasons = Counter(skip.reason for skip in dataset.skipped)
    if reasons:
        told = [f"{reason}: {count}" if count > 1 else reason for reason, count in reasons.most_common()]
        lines.append("not used: " + shortened(told, 4))
    remark = remark_on({label: counts[label] for label in dataset.labels})
    return (*lines, remark) if remark else tuple(lines)


def _look(path: Path) -> tuple[str, int, int, int | None]:
    """Digest, width, height and perceptual hash of one photo. Raises PhotoError."""
    content, name = read(path), path_text(path)
    picture = decode(content, name, at_least=DECODED)
    height, width = read_header(content, name).upright
    return sha256(content), width, height, perceptual_hash(picture)


def _unreadable(photo: LabelledPhoto, split: str, reason: str) -> Unreadable:
    # The message begins with the path, which stands beside it already.
    return Unreadable(photo.path, photo.label, split, reason.removeprefix(path_text(photo.path)).strip())


def _equal(photos: Iterable[Photo]) -> tuple[Group, ...]:
    return _groups(photos, lambda photo: photo.sha256)


def _near(photos: Sequence[Photo], distance: int) -> tuple[Group, ...]:
    known = [photo for photo in photos if photo.hash is not None]
    different = sorted({photo.hash for photo in known if photo.hash is not None})
    group_of = {
        different[index]: number
        for number, group in enumerate(close_groups(np.array(different, np.uint64), distance))
        for index in group
    }
    groups = _groups(known, lambda photo: group_of.get(photo.hash or 0, f"hash {photo.hash}"))
    return tuple(group for group in groups if len({photo.sha256 for photo in group.photos}) > 1)


def _groups(photos: Iterable[Photo], key: Callable[[Photo], Hashable]) -> tuple[Group, ...]:
    """Photos with the same key, where there are several; those that straddle splits or classes first."""
    found: dict[Hashable, list[Photo]] = defaultdict(list)
    for photo in photos:
        found[key(photo)].append(photo)
    groups = [Group(tuple(members)) for members in found.values() if len(members) > 1]
    return tuple(sorted(groups, key=lambda group: not group.straddles))


def _sizes(groups: Sequence[Group]) -> str:
    return f"{sum(len(group.photos) for group in groups)} photos in {len(groups)} group{'s' * (len(groups) != 1)}"


def _ratio(counts: dict[str, int]) -> float | None:
    """Photos of the largest class for each of the smallest; None where that one is empty."""
    return max(counts.values()) / min(counts.values()) if min(counts.values()) else None
