"""The photos of a run: which are for training, which for validation, which for the test, by content and seed.

A photo is known by the SHA-256 of its file. Equal photos stay on one side of every split.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from reprlib import repr as short
from typing import Any

from edgewise.runtime.ahead import Ahead
from edgewise.runtime.folders import LabelledPhoto, PhotoFolder, check_class_name, shortened
from edgewise.runtime.photo_list import read_photos
from edgewise.spec import DataError, InputError
from edgewise.spec.files import path_text, sha256_file
from edgewise.spec.progress import Reporter, Silent
from edgewise.train.splitting import Example, Skipped, split_examples, take_fraction

__all__ = [
    "MAX_NAMES_BYTES",
    "Dataset",
    "Example",
    "Selection",
    "Skipped",
    "load_dataset",
    "order_classes",
    "read_class_names",
    "require_every_class",
]

EMPTY = hashlib.sha256(b"").hexdigest()

MAX_NAMES_BYTES = 1 << 20
"""Longest file of class names that is read, in bytes."""


NAMED_SKIPS = 5
"""Skipped photos that are named one by one; the rest are counted."""

_READERS = 8
"""Threads that read photos for their digests; more than most machines have cores, because disks are waited for."""


@dataclass(frozen=True)
class Selection:
    """Which of the photos that are there a run uses, and how. Plain data, so that a run can be repeated.

    Raises:
        InputError: a value is out of range; the message names its option.
    """

    class_names: tuple[str, ...] | None = None  # fixes the order of the classes; None: sorted by name
    fraction: float = 1.0  # share of every class's training photos that is used, above 0, at most 1
    val_split: float = 0.15  # share set aside for validation where the data has no such split, above 0, below 1
    test_split: float = 0.15  # share set aside for the test where the data has no splits, 0 or more, below 1

    def __post_init__(self) -> None:
        _check_share("--fraction", self.fraction, "a number above 0, at most 1", lambda share: 0 < share <= 1)
        _check_share("--val-split", self.val_split, "a number above 0, below 1", lambda share: 0 < share < 1)
        _check_share("--test-split", self.test_split, "a number from 0 on, below 1", lambda share: 0 <= share < 1)
        if self.val_split + self.test_split >= 1:
            raise InputError(
                f"--val-split {self.val_split} and --test-split {self.test_split} leave no photo to train on",
                "together less than 1",
            )

    def shares(self) -> Selection:
        """How the data was split, alone: for measuring, where all photos count and some classes may be missing."""
        return Selection(val_split=self.val_split, test_split=self.test_split)

    def to_data(self) -> dict[str, Any]:
        """Plain data for YAML or JSON; the names as a list."""
        return {**asdict(self), "class_names": None if self.class_names is None else list(self.class_names)}

    @staticmethod
    def from_data(data: Mapping[str, Any]) -> Selection:
        """Read what `to_data` gave, from a file that is not trusted.

        Raises:
            TypeError: a field that does not exist.
            InputError: a value is of the wrong type or out of range.
        """
        names = data.get("class_names")
        if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise InputError(f"the class names are {short(names)}", "a list of names")
        return Selection(**{**data, "class_names": None if names is None else tuple(names)})


def _check_share(option: str, value: Any, expected: str, right: Callable[[float], bool]) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not right(value):
        raise InputError(f"{option} {short(value)}", expected)


@dataclass(frozen=True)
class Dataset:
    """Photos in splits. Equal content never stands in two of them."""

    root: Path  # the folder that every photo is below
    labels: tuple[str, ...]
    splits: Mapping[str, tuple[Example, ...]]  # "train", "validation", "test"
    skipped: tuple[Skipped, ...]
    sha256: str  # over labels, splits and contents; independent of paths, of the classes' order and of a fraction
    split_by_us: bool  # the data had no splits
    source: Path  # the folder or the CSV file that was read
    set_aside: frozenset[str] = frozenset()  # splits that the data had not, and that were made here

    def summary(self) -> str:
        """One line: classes and photos per split."""
        counts = ", ".join(f"{len(examples)} {name}" for name, examples in self.splits.items())
        return f"{len(self.labels)} classes, {counts}" + (" (split by seed)" if self.split_by_us else "")


def load_dataset(
    root: Path,
    *,
    seed: int,
    training: bool = True,
    selection: Selection | None = None,
    reporter: Reporter | None = None,
) -> Dataset:
    """Read, check and split labelled photos.

    Args:
        root: one folder per class, train/validation/test folders of class folders, or a CSV file
            (`edgewise.runtime.photo_list`).
        seed: decides the split where the data does not, and the fraction. The same contents and seed give the same
            photos wherever the files lie and whatever they are called.
        training: require a training photo of every class.
        selection: which photos are used; None: all of them.
        reporter: is told about the reading.

    Raises:
        DataError: the data cannot be used (see `edgewise.runtime.photo_list.read_photos`), the class names of the
            selection are not those of the photos, a class has no photo left for training, or no photo is left for
            validation.
    """
    selection = selection or Selection()
    folder = read_photos(root)
    labels = order_classes(folder.labels, selection.class_names)
    examples, skipped = _digest(folder, reporter or Silent())
    if folder.ignored:
        skipped.append(Skipped(root, f"{folder.ignored} files are not photos by their suffix"))
    given = {name for name, part in examples.items() if part}
    splits = split_examples(examples, seed, selection.val_split, selection.test_split, skipped)
    if training:
        require_every_class(root, folder.labels, splits["train"])
        if not splits["validation"]:
            raise DataError(f"{root} has too few photos to set some aside for validation", "at least 4 of a class")
    ordered = {name: splits[name] for name in ("train", "validation", "test") if splits.get(name)}
    digest = _digest_of(folder.labels, ordered)
    if "train" in ordered:
        ordered["train"] = take_fraction(ordered["train"], selection.fraction, seed + 2)
    if labels != folder.labels:
        ordered = {name: _indexed(part, labels) for name, part in ordered.items()}
    made = frozenset(ordered) if "all" in folder.splits else frozenset({"validation"} & (ordered.keys() - given))
    return Dataset(folder.root, labels, ordered, tuple(skipped), digest, "all" in folder.splits, root, made)


def order_classes(found: Sequence[str], names: Sequence[str] | None) -> tuple[str, ...]:
    """The classes that were found, in the order of ``names``; as they are where there are no names.

    Raises:
        DataError: the names are not exactly the classes that were found.
    """
    if names is None:
        return tuple(found)
    missing, unknown = sorted(set(found) - set(names)), sorted(set(names) - set(found))
    if missing or unknown or len(set(names)) != len(names):
        lacks = [f"they lack {shortened(missing)}"] if missing else []
        lacks += [f"there are no photos of {shortened(unknown)}"] if unknown else []
        raise DataError(
            "the class names do not fit the photos: " + ("; ".join(lacks) or "one stands there twice"),
            "each of these once: " + shortened(found),
            "mend the file given with --class-names",
        )
    return tuple(names)


def read_class_names(path: Path) -> tuple[str, ...]:
    """Read a text file of class names in UTF-8, one a line; empty lines and spaces around names are left out.

    Raises:
        InputError: it cannot be read, is longer than MAX_NAMES_BYTES, holds no name, a name twice, or one that
            cannot be printed.
    """
    got = f"the class names in {path_text(path)}"
    try:
        if not path.is_file():
            raise InputError(f"there is no file {path_text(path)}", "a text file with one class name a line")
        with path.open("rb") as file:
            content = file.read(MAX_NAMES_BYTES + 1)
    except OSError as error:
        raise InputError(f"{got} cannot be read: {error.strerror}", "a file that this user may read") from error
    if len(content) > MAX_NAMES_BYTES:
        raise InputError(f"{got} are longer than {MAX_NAMES_BYTES:,} bytes", "one class name a line")
    lines: dict[str, int] = {}
    text = content.decode("utf-8-sig", "surrogateescape")
    for number, line in enumerate(text.split("\n"), 1):
        if not (name := line.strip()):
            continue
        check_class_name(name, f"{got}, line {number}: {name!r}", "change it")
        if name in lines:
            raise InputError(f"{got}: {name} stands in lines {lines[name]} and {number}", "each name once")
        lines[name] = number
    if not lines:
        raise InputError(f"{got}: there are none", "one class name a line")
    return tuple(lines)


def _indexed(examples: Iterable[Example], labels: Sequence[str]) -> tuple[Example, ...]:
    """The photos with the index their class has in ``labels``."""
    index = {label: number for number, label in enumerate(labels)}
    return tuple(replace(example, index=index[example.label]) for example in examples)


def _digest(folder: PhotoFolder, reporter: Reporter) -> tuple[dict[str, list[Example]], list[Skipped]]:
    """Know every photo by its content, and leave out the empty and unreadable ones."""
    index = {label: number for number, label in enumerate(folder.labels)}
    examples: dict[str, list[Example]] = {}
    skipped: list[Skipped] = []
    total = sum(map(len, folder.splits.values()))
    with reporter.task("reading photos", total) as step:
        for name, photos in folder.splits.items():
            examples[name] = []
            for photo, digest in zip(photos, _digests(photos), strict=True):
                step()
                if len(digest) != len(EMPTY):
                    skipped.append(Skipped(photo.path, digest))
                elif digest == EMPTY:
                    skipped.append(Skipped(photo.path, "is empty (0 bytes)"))
                else:
                    examples[name].append(Example(photo.path, photo.label, index[photo.label], digest))
    return examples, skipped


def _digests(photos: Iterable[LabelledPhoto]) -> Iterator[str]:
    """What `_try_digest` says of each. Asked for all at once, a pool would hold 1 KB for every photo there is."""
    with Ahead(_try_digest, photos, workers=_READERS, ahead=3 * _READERS) as digests:
        yield from digests


def _try_digest(photo: LabelledPhoto) -> str:
    """The photo's digest, or the reason why there is none (which is never 64 characters of hexadecimal digits)."""
    try:
        # Asked before opening: a named pipe would be waited for, and a device may have no end.
        if not stat.S_ISREG(photo.path.stat().st_mode):
            return "is not a regular file"
        return sha256_file(photo.path)
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def require_every_class(root: Path, labels: Sequence[str], train: Iterable[Example]) -> None:
    """Raise DataError where a class has no photo in ``train``, naming the classes."""
    missing = sorted(set(labels) - {example.label for example in train})
    if missing:
        raise DataError(
            f"{root}: no photo to train on for {shortened(missing)}",
            "at least one readable training photo per class",
            "add photos, or remove the empty folders",
        )


def _digest_of(labels: Sequence[str], splits: Mapping[str, Sequence[Example]]) -> str:
    digest = hashlib.sha256("\0".join(labels).encode("utf-8", "surrogateescape"))
    for name, examples in splits.items():
        for line in sorted(f"{name}\0{example.index}\0{example.sha256}\n" for example in examples):
            digest.update(line.encode())
    return digest.hexdigest()


def report_skipped(skipped: Sequence[Skipped], reporter: Reporter) -> None:
    """Name the photos that are left out, up to `NAMED_SKIPS`, and count the rest."""
    for skip in skipped[:NAMED_SKIPS]:
        reason = skip.reason if str(skip.path) in skip.reason else f"{skip.path}: {skip.reason}"
        reporter.say(f"left out: {reason}")
    if len(skipped) > NAMED_SKIPS:
        rest = [str(skip.path.name) for skip in skipped[NAMED_SKIPS:]]
        reporter.say(f"left out: {len(rest)} more ({shortened(rest, 3)})")
