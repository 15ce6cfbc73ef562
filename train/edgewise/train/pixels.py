"""Photos as arrays, through the one preprocessing that inference uses too."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewise.runtime.images import Picture, prepare
from edgewise.spec import DataError, PhotoError
from edgewise.spec.progress import Reporter, Silent
from edgewise.train.dataset import Example, Skipped


@dataclass(frozen=True)
class Pixels:
    """Prepared photos in memory."""

    images: NDArray[np.uint8]  # (n, size, size, 3) RGB
    labels: NDArray[np.int64]  # (n,) class indices
    examples: tuple[Example, ...]  # (n,) where they came from
    skipped: tuple[Skipped, ...]  # photos that could not be read

    def subset(self, indices: NDArray[np.intp]) -> Pixels:
        """Some of the photos, in the order of ``indices``."""
        return Pixels(
            self.images[indices], self.labels[indices], tuple(self.examples[index] for index in indices), self.skipped
        )


def load_pixels(
    examples: Sequence[Example], size: int, *, name: str = "photos", reporter: Reporter | None = None
) -> Pixels:
    """Decode and resize photos, with all cores, in order.

    Args:
        examples: the photos.
        size: height and width of the result in pixels.
        name: how the photos are called in the progress bar.
        reporter: is told about the progress.

    Raises:
        DataError: none of them can be read.
    """
    images = np.empty((len(examples), size, size, 3), np.uint8)
    kept: list[Example] = []
    skipped: list[Skipped] = []
    with (reporter or Silent()).task(f"decoding {name}", len(examples)) as step, ThreadPoolExecutor() as pool:
        for example, result in zip(examples, pool.map(lambda e: _try_prepare(e, size), examples), strict=True):
            step()
            if isinstance(result, str):
                skipped.append(Skipped(example.path, result))
            else:
                images[len(kept)] = result
                kept.append(example)
    if not kept:
        raise DataError(
            f"none of the {len(examples)} {name} can be read", do="look at the files; the first: " + _first(skipped)
        )
    labels = np.array([example.index for example in kept], np.int64)
    return Pixels(images[: len(kept)], labels, tuple(kept), tuple(skipped))


def class_balanced(examples: Sequence[Example], count: int, seed: int) -> list[Example]:
    """Choose ``count`` photos, as equally many of every class as there are, by content and seed.

    Classes take turns, so that a class with few photos gives all it has and others make up for it.
    """
    by_class: dict[int, list[Example]] = {}
    for example in sorted(examples, key=lambda e: hashlib.sha256(f"{seed}:{e.sha256}".encode()).digest()):
        by_class.setdefault(example.index, []).append(example)
    queues = [by_class[index] for index in sorted(by_class)]
    turns = (queue[turn] for turn in range(max(map(len, queues), default=0)) for queue in queues if turn < len(queue))
    return [example for example, _ in zip(turns, range(count), strict=False)]


def digest_of(examples: Iterable[Example]) -> str:
    """SHA-256 over the photos' digests, in order."""
    return hashlib.sha256("\n".join(example.sha256 for example in examples).encode()).hexdigest()


def _try_prepare(example: Example, size: int) -> Picture | str:
    try:
        return prepare(example.path, size, size)
    except PhotoError as error:
        return error.got


def _first(skipped: Sequence[Skipped]) -> str:
    return skipped[0].reason if skipped else "there are none"
