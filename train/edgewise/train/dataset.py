"""The photos of a run: which are for training, which for validation, which for the test, by content and seed.

A photo is known by the SHA-256 of its file. Equal photos stay on one side of every split.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from edgewise.runtime.folders import LabelledPhoto, PhotoFolder, read_folder, shortened
from edgewise.spec import DataError
from edgewise.spec.files import sha256_file
from edgewise.spec.progress import Reporter, Silent

VALIDATION_SHARE = 0.15
TEST_SHARE = 0.15
"""Shares of a class that go to validation and test where the folder has no splits of its own."""

EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Example:
    """One photo of a data set."""

    path: Path
    label: str
    index: int  # of the label in the data set's labels
    sha256: str  # of the file


@dataclass(frozen=True)
class Skipped:
    """A photo that is left out, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Dataset:
    """Photos in splits. Equal content never stands in two of them."""

    root: Path
    labels: tuple[str, ...]
    splits: Mapping[str, tuple[Example, ...]]  # "train", "validation", "test"
    skipped: tuple[Skipped, ...]
    sha256: str  # over labels, splits and contents; independent of paths
    split_by_us: bool  # the folder had no splits

    def summary(self) -> str:
        """One line: classes and photos per split."""
        counts = ", ".join(f"{len(examples)} {name}" for name, examples in self.splits.items())
        return f"{len(self.labels)} classes, {counts}" + (" (split by seed)" if self.split_by_us else "")


def load_dataset(root: Path, *, seed: int, training: bool = True, reporter: Reporter | None = None) -> Dataset:
    """Read, check and split a folder of photos.

    Args:
        root: one folder per class, or train/validation/test folders of class folders.
        seed: decides the split where the folder does not. The same contents and seed give the same split wherever
            the files lie and whatever they are called.
        training: require a training photo of every class.
        reporter: is told about the reading.

    Raises:
        DataError: the folder cannot be used (see `edgewise.runtime.folders.read_folder`), or a class has no photo
            left for training, or no photo is left for validation.
    """
    folder = read_folder(root)
    examples, skipped = _digest(folder, reporter or Silent())
    if folder.ignored:
        skipped.append(Skipped(root, f"{folder.ignored} files are not photos by their suffix"))
    splits = _split(examples, seed, skipped)
    if training:
        require_every_class(root, folder.labels, splits["train"])
        if not splits["validation"]:
            raise DataError(f"{root} has too few photos to set some aside for validation", "at least 4 of a class")
    ordered = {name: splits[name] for name in ("train", "validation", "test") if splits.get(name)}
    return Dataset(
        root, folder.labels, ordered, tuple(skipped), _digest_of(folder.labels, ordered), "all" in folder.splits
    )


def _digest(folder: PhotoFolder, reporter: Reporter) -> tuple[dict[str, list[Example]], list[Skipped]]:
    """Know every photo by its content, and leave out the empty and unreadable ones."""
    index = {label: number for number, label in enumerate(folder.labels)}
    examples: dict[str, list[Example]] = {}
    skipped: list[Skipped] = []
    total = sum(map(len, folder.splits.values()))
    with reporter.task("reading photos", total) as step, ThreadPoolExecutor() as pool:
        for name, photos in folder.splits.items():
            examples[name] = []
            for photo, digest in zip(photos, pool.map(_try_digest, photos), strict=True):
                step()
                if len(digest) != len(EMPTY):
                    skipped.append(Skipped(photo.path, digest))
                elif digest == EMPTY:
                    skipped.append(Skipped(photo.path, "is empty (0 bytes)"))
                else:
                    examples[name].append(Example(photo.path, photo.label, index[photo.label], digest))
    return examples, skipped


def _try_digest(photo: LabelledPhoto) -> str:
    """The photo's digest, or the reason why there is none (which is never 64 characters of hexadecimal digits)."""
    try:
        return sha256_file(photo.path)
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _split(examples: dict[str, list[Example]], seed: int, skipped: list[Skipped]) -> dict[str, tuple[Example, ...]]:
    """Make train, validation and test out of what the folder has."""
    everything = [example for part in examples.values() for example in part]
    contradicting = _contradicting(everything)
    skipped += [
        Skipped(example.path, "the same photo is in two classes")
        for example in everything
        if example.sha256 in contradicting
    ]
    parts = {name: [e for e in part if e.sha256 not in contradicting] for name, part in examples.items()}
    if "all" in parts:
        rest, test = _set_aside(parts["all"], TEST_SHARE, seed)
        train, validation = _set_aside(rest, VALIDATION_SHARE / (1 - TEST_SHARE), seed + 1)
        return {"train": tuple(train), "validation": tuple(validation), "test": tuple(test)}
    train = parts.get("train", [])
    for name in ("test", "validation"):
        # The photos that measure stay where they are; the training set gives way.
        train = _without(train, parts.get(name, []), name, skipped)
    parts["validation"] = _without(parts.get("validation", []), parts.get("test", []), "test", skipped)
    if not parts["validation"]:
        train, parts["validation"] = _set_aside(train, VALIDATION_SHARE, seed + 1)
    return {**{name: tuple(part) for name, part in parts.items()}, "train": tuple(train)}


def _contradicting(examples: Iterable[Example]) -> set[str]:
    labels: dict[str, set[str]] = defaultdict(set)
    for example in examples:
        labels[example.sha256].add(example.label)
    return {digest for digest, named in labels.items() if len(named) > 1}


def _without(
    examples: Sequence[Example], others: Sequence[Example], name: str, skipped: list[Skipped]
) -> list[Example]:
    held = {example.sha256 for example in others}
    skipped += [Skipped(e.path, f"the same photo is in {name}") for e in examples if e.sha256 in held]
    return [example for example in examples if example.sha256 not in held]


def _set_aside(examples: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Split off ``share`` of every class, by content: (what stays, what is set aside).

    A class of at least three different photos always gives one; one photo always stays.
    """
    aside: set[str] = set()
    by_label: dict[str, Counter[str]] = defaultdict(Counter)
    for example in examples:
        by_label[example.label][example.sha256] += 1
    for counts in by_label.values():
        wanted = max(round(share * counts.total()), 1 if len(counts) >= 3 else 0)
        order = sorted(counts, key=lambda digest: hashlib.sha256(f"{seed}:{digest}".encode()).digest())
        taken = 0
        for digest in order[:-1]:
            if taken >= wanted:
                break
            aside.add(digest)
            taken += counts[digest]
    return [e for e in examples if e.sha256 not in aside], [e for e in examples if e.sha256 in aside]


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
