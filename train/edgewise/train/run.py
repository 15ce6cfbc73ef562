"""A run folder: everything one training made, as plain data.

    config.yaml             the network as data, how it was trained, on which photos
    labels.txt              class names, one a line, in index order
    photos.csv              path, label, split and SHA-256 of every photo used
    model.weights.h5        the best weights so far
    history.csv             one row per epoch
    metrics.json            accuracy on the held-out photos, and the calibration of the probabilities
    predictions.csv         the answer about every validation and test photo
    report.html             all of it for people, in one file
    learning_curves.png     confusion_matrix.png  class_f1.png  reliability.png
    learning_rate.png       loss over learning rate; only with ``--learning-rate auto``
    explain.png             what spoke for some answers; only with ``--explain``
    logs/                   the history for TensorBoard
    checkpoints/            the newest states to resume from

Nothing in it is executed on loading: the network is rebuilt by our own code from ``config.yaml``.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from reprlib import repr as short
from typing import Any

import yaml

from edgewise.runtime.photo_list import folder_of
from edgewise.spec import DataError, InputError, ModelError, OutputError
from edgewise.spec.csv_rows import CsvWriter
from edgewise.spec.files import sha256_file, write_bytes, write_text
from edgewise.train.architecture import Architecture
from edgewise.train.augmentation import Augmentation
from edgewise.train.dataset import Dataset, Example, Selection
from edgewise.train.recipe import Recipe

CONFIG, LABELS, PHOTOS, WEIGHTS = "config.yaml", "labels.txt", "photos.csv", "model.weights.h5"
HISTORY, METRICS, CURVES, MATRIX = "history.csv", "metrics.json", "learning_curves.png", "confusion_matrix.png"
PREDICTIONS, REPORT = "predictions.csv", "report.html"
CLASS_F1, RELIABILITY, EXPLAINED = "class_f1.png", "reliability.png", "explain.png"
RATES = "learning_rate.png"
LOGS = {part: f"logs/{part}/events.out.tfevents.edgewise" for part in ("training", "validation")}
FILES = (
    *(CONFIG, LABELS, PHOTOS, WEIGHTS, HISTORY, METRICS, PREDICTIONS, REPORT),
    *(CURVES, MATRIX, CLASS_F1, RELIABILITY, EXPLAINED, RATES, *LOGS.values()),
)
CHECKPOINTS = "checkpoints"
MAX_CONFIG_BYTES, MAX_CONFIG_DEPTH = 1 << 20, 8
PHOTO_COLUMNS = ["path", "label", "split", "sha256"]
MAX_TEXT_BYTES = 256 << 20
"""Largest text file of a run folder that is read, in bytes."""


@dataclass(frozen=True)
class Config:
    """What ``config.yaml`` holds."""

    architecture: Architecture
    recipe: Recipe
    data: Path  # the folder or the CSV file that names the photos, where it was
    data_sha256: str  # of the data set, see edgewise.train.dataset.Dataset
    weights_sha256: str | None  # of the initial weights file
    selection: Selection = field(default_factory=Selection)  # which of the photos

    @property
    def root(self) -> Path:
        """The folder that every photo lay below."""
        return folder_of(self.data)

    def to_yaml(self) -> str:
        """As a YAML document."""
        return yaml.safe_dump(
            {
                "edgewise": version("edgewise"),
                "data": str(self.data),
                "data_sha256": self.data_sha256,
                "weights_sha256": self.weights_sha256,
                "architecture": self.architecture.to_data(),
                "selection": self.selection.to_data(),
                "recipe": asdict(self.recipe),
            },
            sort_keys=False,
            allow_unicode=True,
        )

    @staticmethod
    def from_yaml(text: str, name: str) -> Config:
        """Read what `to_yaml` wrote, from a file that is not trusted.

        Raises:
            ModelError: not YAML, or a field is missing or out of range.
        """
        try:
            _refuse_bombs(text)
            data = yaml.safe_load(text)
            recipe = dict(data["recipe"])
            return Config(
                architecture=Architecture.from_data(data["architecture"], name),
                recipe=Recipe(**{**recipe, "augmentation": Augmentation(**recipe["augmentation"])}),
                data=Path(data["data"]),
                data_sha256=_digest(data["data_sha256"]),
                weights_sha256=None if data["weights_sha256"] is None else _digest(data["weights_sha256"]),
                selection=Selection.from_data(dict(data["selection"])),
            )
        except (yaml.YAMLError, TypeError, KeyError, ValueError, RecursionError, InputError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ModelError(f"{name} is not the configuration of a run: {reason}", do="train again") from error


@dataclass(frozen=True)
class Run:
    """A run folder on disk."""

    path: Path
    config: Config
    labels: tuple[str, ...]

    @property
    def weights_path(self) -> Path:
        """The best weights."""
        return self.path / WEIGHTS

    @property
    def finished(self) -> bool:
        """Whether the training has come to its end."""
        return self.is_finished(self.path)

    @staticmethod
    def is_finished(path: Path) -> bool:
        """Whether the training of a run folder has come to its end."""
        return (path / METRICS).is_file()

    @staticmethod
    def is_run(path: Path) -> bool:
        """Whether a folder is a run folder, by the files that every run has."""
        return all((path / name).is_file() for name in (CONFIG, LABELS, PHOTOS))

    @staticmethod
    def is_begun(path: Path) -> bool:
        """Whether a folder holds a run, or the part of one that a killed process left."""
        try:
            return Run.is_run(path) or bool(read_config(path / CONFIG))
        except ModelError:
            return False

    @staticmethod
    def clear(path: Path) -> None:
        """Remove what a run put into its folder, and nothing else. Raises OutputError."""
        try:
            if (path / CHECKPOINTS).exists():
                shutil.rmtree(path / CHECKPOINTS)
            _sweep(path)
            # The configuration goes last: by it, half an old run is still known to be one.
            for name in reversed(FILES):
                (path / name).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"the old run in {path} cannot be removed: {error}", do="choose another place with --out"
            ) from error

    @staticmethod
    def create(path: Path, config: Config, dataset: Dataset) -> Run:
        """Begin a run folder, or one that is continued. Raises OutputError."""
        _sweep(path)
        # The configuration comes first: with it alone the run can be continued.
        write_text(path / CONFIG, config.to_yaml())
        write_text(path / LABELS, "".join(f"{label}\n" for label in dataset.labels))
        write_bytes(path / PHOTOS, _photos_csv(dataset))
        return Run(path, config, dataset.labels)

    @staticmethod
    def open(path: Path) -> Run:
        """Read a run folder that is not trusted.

        Raises:
            ModelError: not a run folder, or damaged.
        """
        if not Run.is_run(path):
            raise ModelError(
                f"{path} is not a run folder: it has no {CONFIG}, {LABELS} or {PHOTOS}",
                "a folder that `edgewise train` made",
            )
        config = read_config(path / CONFIG)
        labels = tuple(_read_text(path / LABELS).splitlines())
        if len(labels) != config.architecture.classes or len(set(labels)) != len(labels):
            raise ModelError(
                f"{path / LABELS} has {len(labels)} names",
                f"{config.architecture.classes} different ones",
                "train again",
            )
        return Run(path, config, labels)

    def photos(self, split: str, data: Path | None = None) -> tuple[Example, ...]:
        """The photos that were used for ``split`` in this run.

        Args:
            split: "train", "validation" or "test".
            data: where the photos are now; None: where they were.

        Raises:
            DataError: the folder is not there, or a photo is missing or has changed.
        """
        root = folder_of(data or self.config.data)
        if not root.is_dir():
            raise DataError(f"the photos of this run are not at {root}", do="say where they are with --data")
        return tuple(self._examples(split, root))

    def _examples(self, split: str, root: Path) -> Iterator[Example]:
        index = {label: number for number, label in enumerate(self.labels)}
        for row in photo_rows(self.path / PHOTOS):
            if row["split"] != split:
                continue
            path = root / row["path"]
            outside = ".." in Path(row["path"]).parts or Path(row["path"]).is_absolute()
            if outside or row["label"] not in index or not path.is_file():
                raise DataError(
                    f"{path} is not there any more", "the photos of this run", "say where they are with --data"
                )
            if sha256_file(path) != row["sha256"]:
                raise DataError(f"{path} has changed since training", "the photos of this run", "train again")
            yield Example(path, row["label"], index[row["label"]], row["sha256"])


def read_config(path: Path) -> Config:
    """Read the ``config.yaml`` of a run, from a file that is not trusted.

    Raises:
        ModelError: it cannot be read, or is not the configuration of a run.
    """
    return Config.from_yaml(_read_text(path), str(path))


def _sweep(path: Path) -> None:
    """Remove the halves of files that a killed process left; see `edgewise.spec.files.replacing`."""
    for target in (*map(path.joinpath, FILES), path / CHECKPOINTS / "*"):
        for left in target.parent.glob(f".{target.name}.*"):
            left.unlink(missing_ok=True)


def _refuse_bombs(text: str) -> None:
    """Raise ValueError for YAML that takes more time or memory than it has any reason to."""
    refused = ValueError("it is too long or too deep, or repeats itself by aliases")
    if len(text) > MAX_CONFIG_BYTES:
        raise refused
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_CONFIG_DEPTH or isinstance(event, yaml.AliasEvent):
            raise refused


def _digest(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value):
        raise ValueError(f"{short(value)} is not a SHA-256")
    return value


def photo_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a ``photos.csv``, all columns there. Raises ModelError: it cannot be read, or is damaged."""
    try:
        rows = list(csv.DictReader(io.StringIO(_read_text(path), newline="")))
    except csv.Error as error:
        raise ModelError(f"{path} cannot be read as CSV: {error}", "a complete run folder", "train again") from error
    for row in rows:
        if list(row) != PHOTO_COLUMNS or None in row.values():
            raise ModelError(f"{path} has other columns", ", ".join(PHOTO_COLUMNS), "train again")
    return rows


def _photos_csv(dataset: Dataset) -> bytes:
    text = io.StringIO()
    writer = CsvWriter(text)
    writer.writerow(PHOTO_COLUMNS)
    for split, examples in dataset.splits.items():
        writer.writerows(
            [str(example.path.relative_to(dataset.root)), example.label, split, example.sha256] for example in examples
        )
    # A file name need not be UTF-8; its bytes are written as they are.
    return text.getvalue().encode("utf-8", "surrogateescape")


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise ModelError(f"{path} is {path.stat().st_size} bytes long", f"at most {MAX_TEXT_BYTES}")
        # As bytes: reading text would make a carriage return within a file's name a line feed.
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error}", "a complete run folder", "train again") from error
