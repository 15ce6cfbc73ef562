"""Measure any model on a labelled folder: a run folder, a .tflite or an .onnx file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgewise.runtime.backends import Backend
from edgewise.runtime.classifier import Classifier
from edgewise.runtime.folders import refuse_unknown
from edgewise.spec import DataError, InputError
from edgewise.spec.files import refuse_overwrite, write_text
from edgewise.spec.opening import Opening
from edgewise.spec.progress import Reporter
from edgewise.train.cache import PhotoCache
from edgewise.train.dataset import Dataset, Example, Selection, Skipped, load_dataset, report_skipped
from edgewise.train.evaluation import Metrics, evaluate
from edgewise.train.pixels import IN_MEMORY, load_pixels
from edgewise.train.plots import save_confusion_matrix
from edgewise.train.reference import KerasReference
from edgewise.train.run import Run

BATCH = 32
FIGURES, MATRIX = "metrics.json", "confusion_matrix.png"


@dataclass(frozen=True)
class Assessment:
    """The result of `assess`."""

    model: str
    split: str  # "train", "validation", "test", or "all"
    labels: tuple[str, ...]
    metrics: Metrics

    def to_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"model": self.model, "split": self.split, "labels": list(self.labels), **self.metrics.to_data()}

    def save(self, folder: Path) -> None:
        """Write ``metrics.json`` and ``confusion_matrix.png``. Raises OutputError."""
        write_text(folder / FIGURES, json.dumps(self.to_data(), indent=2, ensure_ascii=False))
        save_confusion_matrix(self.metrics, self.labels, folder / MATRIX, f"{self.split} photos")


def refuse_existing(folder: Path, *, overwrite: bool) -> None:
    """Raise OutputError where figures are in ``folder`` already and may not be replaced."""
    for name in (FIGURES, MATRIX):
        refuse_overwrite(folder / name, overwrite=overwrite)


@dataclass(frozen=True)
class _Subject:
    """What is measured, whatever kind of model it is."""

    backend: Backend
    labels: tuple[str, ...]
    size: int  # pixels
    seed: int  # of the split it was trained with
    data_sha256: str  # of the data it was trained on
    selection: Selection  # how that was split


def assess(
    model: Path, data: Path, *, split: str | None = None, opening: Opening | None = None, reporter: Reporter
) -> Assessment:
    """Measure a model on labelled photos.

    Args:
        model: a run folder, or a .tflite or .onnx file; one of another maker needs ``opening.labels``.
        data: a folder of photos. Where it has no splits and is the one the model was trained on, the split of the
            training is used, so that no photo is measured that the model has learned from.
        split: "train", "validation" or "test"; None takes test photos where there are splits, else all.
        opening: how a model file is opened; of a run folder, only the threads.
        reporter: is told about the progress.

    Raises:
        DataError: the folder cannot be used, or has classes that the model does not know.
        ModelError, BackendError: the model cannot be used.
    """
    subject = _open(model, opening or Opening())
    dataset = load_dataset(data, seed=subject.seed, training=False, selection=subject.selection, reporter=reporter)
    name, examples = _choose(dataset, split, subject)
    if name == "all":
        reporter.say("all photos are measured: if the network was trained on some of them, the figures are too good")
    many = len(examples) * subject.size**2 * 3 > IN_MEMORY
    pixels = load_pixels(
        _aligned(examples, dataset, subject.labels), subject.size, name=f"{name} photos", reporter=reporter,
        cache=PhotoCache() if many else None,
    )  # fmt: skip
    report_skipped((*_concerning(dataset, examples), *pixels.skipped), reporter)
    results = []
    with reporter.task(f"classifying {name} photos", len(pixels.labels)) as step:
        for start in range(0, len(pixels.labels), BATCH):
            results.append(subject.backend.run(pixels.images[start : start + BATCH]))
            step(len(results[-1]))
    metrics = evaluate(np.concatenate(results), pixels.labels, subject.labels)
    return Assessment(str(model), name, subject.labels, metrics)


def _open(path: Path, opening: Opening) -> _Subject:
    if path.is_dir():
        if given := [option for option in opening.given_options() if option != "--threads"]:
            raise InputError(
                f"{', '.join(given)} for the run folder {path}", "such options only with .tflite and .onnx files"
            )
        run = Run.open(path)
        config = run.config
        reference = KerasReference(run, opening.threads)
        size, seed = config.architecture.image_size, config.recipe.seed
        return _Subject(reference, run.labels, size, seed, config.data_sha256, config.selection.shares())
    classifier = Classifier.open(path, opening)
    made: Any = classifier.manifest.provenance
    seed = made.get("seed") if isinstance(made.get("seed"), int) else 0
    size, data = classifier.manifest.input.height, str(made.get("data_sha256"))
    return _Subject(classifier.backend, classifier.labels, size, seed, data, _split_of(made))


def _split_of(made: Any) -> Selection:
    """The shares a file says its data was split by; the usual ones where it says none that could be."""
    try:
        return Selection(val_split=made["val_split"], test_split=made["test_split"])
    except (KeyError, InputError):
        return Selection()


def _choose(dataset: Dataset, split: str | None, subject: _Subject) -> tuple[str, Sequence[Example]]:
    if not dataset.splits:
        raise DataError(
            f"no photo in {dataset.root} can be used: {len(dataset.skipped)} were left out", "photos",
            f"look at them with `edgewise data check {dataset.root}`",
        )  # fmt: skip
    # What this program set aside from somebody's training photos says nothing about a model that is not of this data.
    known = dataset.sha256 == subject.data_sha256
    given = [name for name in dataset.splits if known or name not in dataset.set_aside]
    if split is None and (not given or given == ["train"]):
        return "all", [example for examples in dataset.splits.values() for example in examples]
    name = split or next(name for name in ("test", "validation") if name in given)
    if name not in given:
        there = "these splits: " + ", ".join(given) if given else "no split folders"
        raise DataError(f"--split {name}: {dataset.root} has {there}", do="choose another --split or leave it out")
    return name, dataset.splits[name]


def _concerning(dataset: Dataset, examples: Sequence[Example]) -> list[Skipped]:
    """The photos left out of what is measured: in split folders, those in the folders of the measured split."""
    if dataset.split_by_us:
        return list(dataset.skipped)
    measured = {_split_folder(example.path, dataset.root) for example in examples}
    return [skip for skip in dataset.skipped if _split_folder(skip.path, dataset.root) in measured]


def _split_folder(path: Path, root: Path) -> str:
    """The first folder below ``root``; for what is not below it, its own name."""
    parts = path.relative_to(root).parts if path.is_relative_to(root) else ()
    return parts[0] if parts else str(path)


def _aligned(examples: Sequence[Example], dataset: Dataset, labels: Sequence[str]) -> list[Example]:
    """Give every photo the index its class has in the model, by name."""
    refuse_unknown(
        dataset.labels, labels, f"{dataset.root} has classes the model does not know", "the model's classes",
        "rename or remove these folders",
    )  # fmt: skip
    index = {label: number for number, label in enumerate(labels)}
    return [replace(example, index=index[example.label]) for example in examples]
