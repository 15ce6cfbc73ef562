"""One network to measure, in any of the three ways, behind one face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewise.benchmarks.entry import Kind
from edgewise.benchmarks.task import Task
from edgewise.spec import ExtraMissingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

REFERENCES = "edgewise.references"
"""Entry point group of networks to compare with; `name = module:open(run: Path, threads: int | None)`."""

CPU, FP32 = "cpu", "fp32"


@dataclass(frozen=True)
class Network:
    """A loaded variant, plain loop or reference."""

    run: Callable[[NDArray[Any]], NDArray[Any]]  # (n, h, w, 3) uint8 -> (n, classes) float32
    query: NDArray[Any]  # (1, h, w, 3) uint8: the photo that is asked for again and again
    threads: int  # as the backend reports
    provider: str = CPU
    precision: str = FP32
    sha256: str = ""  # of the file that was loaded; empty for the reference
    labels: tuple[str, ...] = ()  # none for a plain loop, which does not know them
    height: int = 0  # pixels
    width: int = 0
    threshold: float | None = None  # probability below which the answer is "unknown"


def open_network(task: Task) -> Network:
    """Load what a task names, and prepare its first photo.

    Raises:
        EdgewiseError: it cannot be loaded, or the photo cannot be read.
    """
    if task.kind is Kind.PLAIN:
        return _open_plain(task)
    if task.kind is Kind.REFERENCE:
        return _open_reference(task)
    from edgewise.runtime.classifier import Classifier

    classifier = Classifier.open(task.path, backend=task.backend, provider=task.provider, threads=task.threads)
    size, backend = classifier.manifest.input, classifier.backend
    return Network(
        classifier.probabilities,
        _prepared(task, size.height, size.width),
        backend.threads,
        backend.provider,
        backend.precision,
        classifier.model.sha256,
        tuple(classifier.labels),
        size.height,
        size.width,
        classifier.unknown_threshold,
    )


def _prepared(task: Task, height: int, width: int) -> NDArray[Any]:
    from edgewise.runtime.images import prepare

    return prepare(Path(task.photos[0]), height, width)[None]


def _open_plain(task: Task) -> Network:
    import numpy as np

    from edgewise.benchmarks.plain import LOOPS
    from edgewise.spec.files import sha256_file

    pixels = np.load(task.picture, allow_pickle=False)
    return Network(
        LOOPS[task.backend](task.path, task.threads), pixels, task.threads, sha256=sha256_file(Path(task.path))
    )


def _open_reference(task: Task) -> Network:
    for entry in entry_points(group=REFERENCES, name="keras"):
        try:
            opened = entry.load()(Path(task.path), task.threads)
        except ModuleNotFoundError as error:
            raise ExtraMissingError("train", error.name or str(error)) from error
        size = opened.input
        query = _prepared(task, size.height, size.width)
        return Network(
            opened.run, query, opened.threads, labels=tuple(opened.labels), height=size.height, width=size.width
        )
    raise ExtraMissingError("train", "edgewise.train.reference")
