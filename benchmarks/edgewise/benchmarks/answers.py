"""Every photo through one file on one backend: what it answers, as arrays with a line per photo.

Nothing grows with photos times classes: of each row of probabilities three numbers stay.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.benchmarks.entry import Kind
from edgewise.benchmarks.networks import Network, open_network
from edgewise.benchmarks.photos import check_labels
from edgewise.benchmarks.task import Answered, Task
from edgewise.runtime.ahead import Ahead
from edgewise.runtime.bulk import open_bulk
from edgewise.runtime.cpu import usable_cores
from edgewise.runtime.images import Picture, prepare
from edgewise.spec import PhotoError
from edgewise.spec.files import replacing, write_text

UNREADABLE = -1
"""In the place of a class index."""

SHOWN = 5
"""Photos that cannot be read and are named."""

REFERENCE_BATCH = 16


@dataclass(frozen=True)
class Listing:
    """Every photo of a benchmark."""

    labels: tuple[str, ...]  # of all files, in index order
    photos: tuple[str, ...]  # paths; those of the classes come first
    classes: tuple[int, ...]  # index of each photo's class; -1: a photo of none (``--ood``)

    def write(self, path: Path) -> None:
        """Write it as JSON; bytes of a path that are not UTF-8 survive. Raises OutputError."""
        write_text(path, json.dumps([self.labels, self.photos, self.classes]))

    def named(self) -> set[str]:
        """Labels of the photos."""
        return {self.labels[index] for index in self.classes if index >= 0}

    @staticmethod
    def read(path: Path) -> Listing:
        """Read what `write` wrote."""
        labels, photos, classes = json.loads(path.read_text(encoding="utf-8"))
        return Listing(tuple(labels), tuple(photos), tuple(classes))


@dataclass(frozen=True)
class Answers:
    """What a file answers, a line per photo of the listing."""

    answer: NDArray[np.int32]  # class index in the listing's labels; UNREADABLE
    probability: NDArray[np.float32]  # of the answer, 0-1
    truth: NDArray[np.float32]  # probability of the true class, 0-1; 0 for a photo of none
    rank: NDArray[np.int32]  # classes that are more probable than the true one, >= 0

    def write(self, path: Path) -> None:
        """Write the arrays into an .npz file. Raises OutputError."""
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **vars(self))

    @staticmethod
    def read(path: Path) -> Answers:
        """Read what `write` wrote. Raises OSError or ValueError for a file that is missing or torn."""
        with np.load(path, allow_pickle=False) as arrays:
            return Answers(*(arrays[name] for name in ("answer", "probability", "truth", "rank")))


def arrays_of(result: str) -> Path:
    """Where the arrays of a job lie whose answer is written to ``result``."""
    return Path(result).with_suffix(".npz")


def answer_all(task: Task) -> Answered:
    """Run every photo of the task's listing, and write the answers beside the task's result.

    Raises:
        EdgewiseError: the file cannot be loaded, or does not know a class.
    """
    listing = Listing.read(Path(task.listing))
    with ExitStack() as stack:
        network, run, batch = _open(task, stack)
        check_labels(listing.named(), network.labels, task.path)
        prepared = stack.enter_context(
            Ahead(
                lambda path: _prepare(path, network), listing.photos, workers=usable_cores(), ahead=4 * usable_cores()
            )
        )
        sheet = Sheet(listing, network.labels)
        collect(sheet, prepared, run, batch)
    sheet.answers.write(arrays_of(task.result))
    return sheet.told(network.threshold)


def _open(task: Task, stack: ExitStack) -> tuple[Network, Callable[[Iterable[Any]], Iterator[Any]], int]:
    """The network, how it runs batches of pictures, and how large they should be."""
    network = open_network(task)
    if task.kind is Kind.REFERENCE:
        return network, lambda batches: map(network.run, batches), REFERENCE_BATCH
    bulk = stack.enter_context(open_bulk(task.path, backend=task.backend, provider=task.provider, threads=task.threads))
    return network, bulk.run, bulk.batch


def _prepare(path: str, network: Network) -> Picture | PhotoError:
    try:
        return prepare(Path(path), network.height, network.width)
    except PhotoError as error:
        return error


class Sheet:
    """Answers to the photos of a listing, filled in one by one."""

    def __init__(self, listing: Listing, labels: Sequence[str]) -> None:
        """Begin with none.

        Args:
            listing: the photos.
            labels: of the network, in index order; each is one of the listing's.
        """
        count = len(listing.photos)
        self.answers = Answers(
            np.full(count, UNREADABLE, np.int32), np.zeros(count, np.float32), np.zeros(count, np.float32),
            np.zeros(count, np.int32),
        )  # fmt: skip
        self.unreadable: list[str] = []  # why photos could not be read
        self._labels, self._classes = tuple(labels), listing.classes
        self._places = [listing.labels.index(label) for label in labels]
        self._columns = {place: number for number, place in enumerate(self._places)}

    def put(self, photo: int, row: NDArray[np.float32]) -> None:
        """Fill in the ``(classes,)`` probabilities of a photo of the listing."""
        best = int(row.argmax())
        self.answers.answer[photo], self.answers.probability[photo] = self._places[best], row[best]
        if (true := self._columns.get(self._classes[photo])) is not None:
            self.answers.truth[photo], self.answers.rank[photo] = row[true], int((row > row[true]).sum())

    def told(self, threshold: float | None) -> Answered:
        """What there is to say of it, with the threshold that is stored in the network's file."""
        return Answered(
            photos=len(self._classes),
            unreadable=len(self.unreadable),
            unreadable_shown=tuple(self.unreadable[:SHOWN]),
            threshold=threshold,
            labels=self._labels,
        )


def collect(
    sheet: Sheet,
    pictures: Iterable[Picture | PhotoError],
    run: Callable[[Iterable[Any]], Iterator[NDArray[np.float32]]],
    batch: int,
) -> None:
    """Bring pictures through a network in batches.

    Args:
        sheet: where the answers are filled in.
        pictures: ``(height, width, 3)`` uint8 of each photo of its listing, in order, or why there is none.
        run: gives ``(n, classes)`` probabilities for each ``(n, height, width, 3)`` batch, in order.
        batch: pictures at once.
    """
    seen = list[int]()
    rows = (row for rows in run(_batches(pictures, seen, sheet.unreadable, batch)) for row in rows)
    for number, row in enumerate(rows):
        sheet.put(seen[number], row)


def _batches(
    pictures: Iterable[Picture | PhotoError], seen: list[int], errors: list[str], size: int
) -> Iterator[NDArray[np.uint8]]:
    """Pictures in batches; notes the place of each, and the errors of the others."""
    batch: list[Picture] = []
    for place, picture in enumerate(pictures):
        if isinstance(picture, PhotoError):
            errors.append(picture.got)
            continue
        seen.append(place)
        batch.append(picture)
        if len(batch) == size:
            yield np.stack(batch)
            batch.clear()
    if batch:
        yield np.stack(batch)
