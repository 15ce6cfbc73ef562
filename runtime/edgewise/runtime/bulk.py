"""Many pictures, as fast as the machine allows: several copies of one network side by side.

>>> with open_bulk("clothes-int8.tflite") as bulk:
...     for row in bulk.stream("new-photos"):
...         print(row.name, row.prediction.label if row.prediction else row.error)

Pictures that are in memory already:

>>> with open_bulk("clothes-int8.tflite") as bulk:
...     for rows in bulk.run(batches):  # each (n, height, width, 3) uint8, prepared by bulk.classifier.prepare
...         answers = [bulk.classifier.prediction(row) for row in rows]

Two copies with one thread each answer more pictures in a second than one with two threads, because no layer waits for
its slowest part. A single picture is answered sooner by one copy with all threads: `Classifier.open`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.runtime.backends import Backend
from edgewise.runtime.classifier import Classifier
from edgewise.runtime.loading import load_bulk
from edgewise.runtime.rows import Row
from edgewise.runtime.stream import Engine, Source, stream
from edgewise.spec.opening import Opening


class Bulk:
    """One model file in several copies, which compute at the same time. For use by one thread at a time."""

    def __init__(self, classifier: Classifier, copies: Iterable[Backend], batch: int) -> None:
        """Take what `open_bulk` opened.

        Args:
            classifier: the file on the first of the copies.
            copies: backends of the same file, at least one.
            batch: how many pictures `run` should be given at once, >= 1.
        """
        self.classifier = classifier
        self.batch = batch
        copies = tuple(copies)
        self.streams = len(copies)
        self._idle: SimpleQueue[Backend] = SimpleQueue()
        for copy in copies:
            self._idle.put(copy)
        self._pool = ThreadPoolExecutor(self.streams, thread_name_prefix="edgewise-bulk")

    def __enter__(self) -> Bulk:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop what is not begun yet, wait for the rest, and end the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def run(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.float32]]:
        """Classify prepared pictures.

        Args:
            batches: each ``(n, height, width, 3)`` uint8 RGB at the model's input size, best with n = `batch`. They
                are taken in the thread that iterates, two for each copy ahead of what was given back.

        Yields:
            ``(n, classes)`` float32 probabilities of each batch, in the order of the batches.

        Raises:
            InputError: a batch of another shape or dtype.
            ModelError: the engine gave up.
        """
        waiting: deque[Future[NDArray[np.float32]]] = deque()
        try:
            for batch in batches:
                waiting.append(self._pool.submit(self.probabilities, batch))
                if len(waiting) >= 2 * self.streams:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def stream(
        self,
        sources: Source | Iterable[Source],
        top_k: int = 5,
        *,
        classes: Sequence[str] | None = None,
        every: int | None = None,
        allow_url: bool = False,
        allow_private: bool = False,
    ) -> Iterator[Row]:
        """As `Classifier.stream`, with all copies at work; rows come in order, a batch at a time."""
        engine = Engine(self.probabilities, self.streams, self.batch)
        return stream(
            self.classifier, sources, top_k, classes, every,
            allow_url=allow_url, allow_private=allow_private, engine=engine,
        )  # fmt: skip

    def probabilities(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """As `Classifier.probabilities`, on whichever copy is idle. Several threads may call it at once."""
        self.classifier.check(batch)
        backend = self._idle.get()
        try:
            return backend.run(batch)
        finally:
            self._idle.put(backend)


def open_bulk(path: Path | str, opening: Opening | None = None, most: int | None = None, **fields: Any) -> Bulk:
    """Open a model file for many pictures. Arguments and errors as `Classifier.open`.

    ``most`` is the number of pictures, where it is known: there are no more copies of the network. ``threads`` is
    shared by all copies: without the backend "auto", each copy gets one thread.
    """
    opening = opening or Opening(**fields)
    loaded, copies, batch = load_bulk(Path(path), opening, most)
    return Bulk(Classifier(loaded.model, loaded.backend, opening.unknown_threshold), copies, batch)
