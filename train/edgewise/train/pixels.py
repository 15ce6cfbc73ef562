"""Photos as arrays, through the one preprocessing that inference uses too: in memory, or from the cache on disk."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgewise.runtime.folders import in_turn
from edgewise.runtime.images import Picture, prepare, read
from edgewise.spec import DataError, PhotoError
from edgewise.spec.files import path_text, sha256
from edgewise.spec.progress import Reporter, Silent
from edgewise.train.cache import PhotoCache, Place
from edgewise.train.dataset import Example, Skipped

IN_MEMORY = 1 << 30
"""Most bytes of photos that are kept in memory where the cache cannot be used."""

_AHEAD = 64
"""Photos that are decoded before they are asked for."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Images(Protocol):
    """Prepared photos, wherever they are. A Protocol, because a plain NumPy array is one as well."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(n, size, size, 3)``."""
        ...

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """Of the pixels: RGB, 0-255."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int | slice | NDArray[np.intp], /) -> NDArray[np.uint8]:
        """Bring one photo, ``(size, size, 3)``, or several, ``(m, size, size, 3)``, into memory.

        Raises:
            IndexError: there is no such photo.
            PhotoError: the photo must be decoded again and has changed or gone.
        """
        ...


@dataclass(frozen=True)
class Pixels:
    """Prepared photos."""

    images: Images  # (n, size, size, 3) RGB
    labels: NDArray[np.int64]  # (n,) class indices
    examples: tuple[Example, ...]  # (n,) where they came from
    skipped: tuple[Skipped, ...]  # photos that could not be read

    def subset(self, indices: NDArray[np.intp]) -> Pixels:
        """Some of the photos, in the order of ``indices``, in memory."""
        return Pixels(
            self.images[indices], self.labels[indices], tuple(self.examples[index] for index in indices), self.skipped
        )


class CachedImages:
    """Photos from the cache, and decoded from their files where the cache has none; an `Images`."""

    def __init__(self, examples: Sequence[Example], size: int, places: Sequence[Place | None]) -> None:
        self._examples = examples
        self._shards = list({id(place[0]): place[0] for place in places if place}.values())
        numbers = {id(shard): number for number, shard in enumerate(self._shards)}
        # Arrays, because a Python object for every photo would take more memory than all the rest.
        self._shard = np.array([numbers[id(place[0])] if place else -1 for place in places], np.int32)
        self._row = np.array([place[1] if place else 0 for place in places], np.int32)
        self.shape = (len(examples), size, size, 3)
        self.dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int | slice | NDArray[np.intp], /) -> NDArray[np.uint8]:
        """See `Images`."""
        chosen = np.arange(len(self))[index]
        pictures = np.empty((chosen.size, *self.shape[1:]), np.uint8)
        missing = [
            (number, out)
            for number, out in zip(chosen.ravel().tolist(), pictures, strict=True)
            if not self._read(number, out)
        ]
        for (_, out), picture in _in_order(lambda item: self._decode(item[0]), missing):
            out[:] = picture
        return pictures.reshape(*chosen.shape, *self.shape[1:])

    def _read(self, number: int, out: Picture) -> bool:
        shard = self._shard[number]
        return bool(shard >= 0) and self._shards[shard].read(self._row[number], out)

    def _decode(self, number: int) -> Picture:
        result = _try_decode(self._examples[number], self.shape[1])
        if isinstance(result, str):
            raise PhotoError(
                result, "the photos as they were when this began", "put it back, and begin or resume again"
            )
        return result


def load_pixels(
    examples: Sequence[Example],
    size: int,
    *,
    name: str = "photos",
    reporter: Reporter | None = None,
    cache: PhotoCache | None = None,
) -> Pixels:
    """Decode and resize photos, with all cores, in order; those that cannot be read are left out.

    Args:
        examples: the photos.
        size: height and width of the result in pixels.
        name: how the photos are called in the progress bar.
        reporter: is told about the progress.
        cache: where prepared photos are kept for the next time; memory then stays flat however many there are, and
            ``images`` is a `CachedImages`. None: all are decoded into one array in memory.

    Raises:
        DataError: none of them can be read.
    """
    reporter = reporter or Silent()
    if cache is None or (not cache.usable and len(examples) * size * size * 3 <= IN_MEMORY):
        images, bad = _into_memory(examples, size, name, reporter)
    else:
        images, bad = _through_cache(examples, size, name, reporter, cache)
    if cache is not None and (complaint := cache.complaint()):
        reporter.say(complaint)
    skipped = tuple(Skipped(examples[number].path, reason) for number, reason in sorted(bad.items()))
    if len(bad) == len(examples):
        raise DataError(
            f"none of the {len(examples)} {name} can be read", do="look at the files; the first: " + _first(skipped)
        )
    kept = tuple(example for number, example in enumerate(examples) if number not in bad)
    return Pixels(images, np.array([example.index for example in kept], np.int64), kept, skipped)


def _into_memory(
    examples: Sequence[Example], size: int, name: str, reporter: Reporter
) -> tuple[Images, dict[int, str]]:
    """All photos in one array; and why some are not, by their numbers."""
    images = np.empty((len(examples), size, size, 3), np.uint8)
    bad: dict[int, str] = {}
    with reporter.task(f"decoding {name}", len(examples)) as step:
        results = _in_order(lambda example: _try_prepare(example, size), examples)
        for number, (_, result) in enumerate(results):
            if isinstance(result, str):
                bad[number] = result
            else:
                images[number - len(bad)] = result
            step()
    return images[: len(examples) - len(bad)], bad


def _through_cache(
    examples: Sequence[Example], size: int, name: str, reporter: Reporter, cache: PhotoCache
) -> tuple[Images, dict[int, str]]:
    """All photos where they are; and why some are not. What the cache lacks is decoded now, and stored if it fits."""
    places = cache.find((example.sha256 for example in examples), size)
    missing = [number for number, example in enumerate(examples) if example.sha256 not in places]
    bad: dict[int, str] = {}
    if missing:
        with reporter.task(f"decoding {name}", len(missing)) as step, cache.storing(size, len(missing)) as storing:
            for number, result in _in_order(lambda number: _try_decode(examples[number], size), missing):
                if isinstance(result, str):
                    bad[number] = result
                else:
                    storing.add(examples[number].sha256, result)
                step()
        places |= storing.stored
    kept = [example for number, example in enumerate(examples) if number not in bad]
    homeless = sum(example.sha256 not in places for example in kept)
    if homeless and cache.usable and cache.problem is None:
        reporter.say(
            f"{homeless} of {len(kept)} {name} do not fit into the photo cache of {cache.limit / 1e9:.3g} GB "
            "or would fill the disk: they are decoded again each time they are needed"
        )
    return CachedImages(kept, size, [places.get(example.sha256) for example in kept]), bad


def class_balanced(examples: Sequence[Example], count: int, seed: int) -> list[Example]:
    """Choose ``count`` photos, as equally many of every class as there are, by content and seed.

    Classes take turns, so that a class with few photos gives all it has and others make up for it.
    """
    by_class: dict[int, list[Example]] = {}
    for example in sorted(examples, key=lambda e: hashlib.sha256(f"{seed}:{e.sha256}".encode()).digest()):
        by_class.setdefault(example.index, []).append(example)
    queues = [by_class[index] for index in sorted(by_class)]
    return list(islice(in_turn(queues), count))


def digest_of(examples: Iterable[Example]) -> str:
    """SHA-256 over the photos' digests, in order."""
    return hashlib.sha256("\n".join(example.sha256 for example in examples).encode()).hexdigest()


def _in_order(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[tuple[_Item, _Result]]:
    """Items with their results, worked out by all cores, a few ahead: results do not pile up in memory."""
    with ThreadPoolExecutor() as pool:
        waiting: deque[tuple[_Item, Future[_Result]]] = deque()
        for item in items:
            waiting.append((item, pool.submit(function, item)))
            if len(waiting) > _AHEAD:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()


def _try_prepare(example: Example, size: int) -> Picture | str:
    try:
        return prepare(example.path, size, size)
    except PhotoError as error:
        return error.got


def _try_decode(example: Example, size: int) -> Picture | str:
    """The same pixels, but only if the file is still the one the example stands for: nothing else may be cached."""
    name = path_text(example.path)
    try:
        content = read(example.path)
    except PhotoError as error:
        return error.got
    if sha256(content) != example.sha256:
        return f"{name} has changed since it was first read"
    try:
        return prepare(content, size, size)
    except PhotoError as error:
        return f"{name}: {error.got}"


def _first(skipped: Sequence[Skipped]) -> str:
    return skipped[0].reason if skipped else "there are none"
