"""From many things to classify to rows, in order: reading, the network and whoever takes the rows work side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from os import PathLike, fspath
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgewise.runtime.ahead import Ahead
from edgewise.runtime.classifier import Classifier
from edgewise.runtime.images import Picture
from edgewise.runtime.items import Given, Item
from edgewise.runtime.limits import Limits
from edgewise.runtime.rows import Row
from edgewise.runtime.sources import Rules, find, reading_threads
from edgewise.spec import EdgewiseError, InputError
from edgewise.spec.files import path_text

Source: TypeAlias = "str | PathLike[str] | bytes | NDArray[np.uint8]"
"""What `Classifier.stream` takes: what `edgewise.runtime.sources.find` takes, the content of an image file, or a
decoded ``(height, width, 3)`` uint8 RGB picture."""

_DOWNLOADS = 4  # threads, where waiting for a server may be most of the work


@dataclass(frozen=True)
class Engine:
    """What runs the network: how many batches at once, and how many pictures in each."""

    run: Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # called in ``streams`` threads at once
    streams: int = 1
    batch: int = 1


@dataclass(frozen=True)
class Wish:
    """What the answers should hold."""

    top_k: int = 5  # largest number of classes, at least 1
    among: tuple[int, ...] | None = None  # indices of the classes that may be answers; None: all
    keep: bool = False  # what was read stays at hand: see `Result.original`


@dataclass(frozen=True)
class Result:
    """A row, and what it is about."""

    row: Row
    item: Item
    original: bytes | Picture | None  # what was read, where it was to be kept and could be read


@dataclass(frozen=True)
class _Read:
    """An item once it has been read: its picture at the size of the network's input, or an error."""

    item: Item
    picture: Picture | None = field(default=None, repr=False)
    original: bytes | Picture | None = field(default=None, repr=False)
    error: EdgewiseError | None = None


def indices(classifier: Classifier, classes: Sequence[str] | None) -> tuple[int, ...] | None:
    """Places of the named classes among the model's labels, in that order; None for None.

    Raises:
        InputError: none is named, or one that the model does not know.
    """
    if classes is None:
        return None
    strangers = sorted(set(classes) - set(classifier.labels))
    if strangers or not classes:
        raise InputError(
            f"--classes: the model does not know {', '.join(map(repr, strangers)) or 'no class'}",
            "some of " + ", ".join(classifier.labels[:50]) + (" ..." if len(classifier.labels) > 50 else ""),
        )
    return tuple(index for index, label in enumerate(classifier.labels) if label in set(classes))


def results(
    classifier: Classifier, items: Iterable[Item], wish: Wish, engine: Engine | None = None
) -> Generator[Result, None, None]:
    """Classify ``items`` and yield a result for each, in their order.

    Batches are always made of the same neighbours, however fast each item is read, so that the same items give the same
    figures. At most three items per reading thread and three batches per stream are held at a time.

    Args:
        classifier: says how pictures are prepared and answers made.
        items: taken in another thread.
        wish: what the answers should hold.
        engine: what runs the network; None: the classifier, one picture at a time.
    """
    engine = engine or Engine(classifier.probabilities)

    def read(item: Item) -> _Read:
        try:
            original = item.content()
            picture = classifier.prepare(original, name=path_text(item.name))
        except EdgewiseError as error:
            return _Read(item, error=error)
        return _Read(item, picture, original if wish.keep else None)

    def run(batch: Sequence[_Read]) -> list[Result]:
        return list(_answered(classifier, batch, wish, engine))

    workers = max(reading_threads(), _DOWNLOADS)
    with (
        Ahead(read, items, workers=workers, ahead=3 * workers) as pictures,
        Ahead(run, _batches(pictures, engine.batch), workers=engine.streams, ahead=3 * engine.streams) as answered,
    ):
        for answers in answered:
            yield from answers


def _batches(pictures: Iterable[_Read], size: int) -> Iterator[tuple[_Read, ...]]:
    waiting = iter(pictures)
    while batch := tuple(islice(waiting, size)):
        yield batch


def _answered(classifier: Classifier, batch: Sequence[_Read], wish: Wish, engine: Engine) -> Iterator[Result]:
    pictures = [read.picture for read in batch if read.picture is not None]
    start = time.perf_counter()
    answers = iter(engine.run(np.stack(pictures)) if pictures else ())
    milliseconds = (time.perf_counter() - start) * 1000 / max(len(pictures), 1)
    for read in batch:
        if read.picture is None:
            row = Row(read.item.name, None, read.error, None)
        else:
            prediction = classifier.prediction(next(answers), wish.top_k, wish.among)
            row = Row(read.item.name, prediction, None, milliseconds)
        yield Result(row, read.item, read.original)


def stream(
    classifier: Classifier,
    sources: Source | Iterable[Source],
    top_k: int,
    classes: Sequence[str] | None,
    every: int | None,
    *,
    allow_url: bool,
    allow_private: bool,
    engine: Engine | None = None,
) -> Iterator[Row]:
    """See `Classifier.stream`; ``engine`` is what runs the network, None: the classifier, one picture at a time."""
    rules = Rules(every=every, limits=Limits(private=allow_private) if allow_url else None)
    wish = Wish(top_k, indices(classifier, classes))
    return _rows(results(classifier, items_of(sources, rules), wish, engine))


def _rows(found: Generator[Result, None, None]) -> Iterator[Row]:
    with closing(found):
        for result in found:
            yield result.row


def items_of(sources: Source | Iterable[Source], rules: Rules) -> Iterator[Item]:
    """Yield what ``sources`` hold, as they come.

    Raises:
        InputError: as `find`, when its turn comes.
    """
    several = [sources] if isinstance(sources, str | bytes | PathLike | np.ndarray) else sources
    for number, source in enumerate(several):
        if isinstance(source, bytes | np.ndarray):
            yield Given(f"#{number}", source)
        else:
            yield from find([fspath(source)], rules).items()
